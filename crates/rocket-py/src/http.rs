//! HTTP connections as Python sees them: the native part of a wire (`rocket_sup/engine/native.py`).

use std::cell::OnceCell;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use rocket_core::driver::Token;
use rocket_core::http1::{App, Reply, Settings, Timeouts};
use rocket_core::limits::Limits;
use rocket_core::server::{BATCH, Server, Stop};

use crate::app::{Guest, PyApp};
use crate::client::Client;
use crate::places::read_places;
use crate::reactor::{Reactor, Resident, WAITING};
use crate::task::{Sink, TaskRuntime};

/// The connections of one wire.
#[pyclass(frozen, module = "rocket_sup.engine._native")]
pub struct Http {
    server: Rc<Server<PyApp>>,
}

// SAFETY: every method takes the interpreter's lock, which gives one thread at a time all of it; handlers, which
// may let it go, run while nothing here is borrowed but the reactor's `is_inside`.
unsafe impl Send for Http {}
// SAFETY: as above.
unsafe impl Sync for Http {}

#[pymethods]
impl Http {
    /// Serve what a desk describes (`rocket_sup/engine/desk.py`), on a reactor.
    #[new]
    fn new(py: Python<'_>, reactor: &Bound<'_, Reactor>, desk: &Bound<'_, PyAny>) -> PyResult<Self> {
        let place: Place = Place::default();
        let sink = Box::new(Hand(Rc::clone(&place)));
        let tasks = Py::new(py, TaskRuntime::new(&desk.getattr("loop")?, sink)?)?;
        let app = PyApp::new(py, desk, tasks, Rc::clone(&place))?;
        let places = read_places(&desk.getattr("places")?)?;
        let server = Rc::new(Server::new(app, read_settings(desk)?, reactor.get().driver(), places));
        let _ = place.set(Rc::downgrade(&server));
        reactor.get().house(Rc::new(Residence(Rc::clone(&server))))?;
        Ok(Self { server })
    }

    /// Serve a connected, non-blocking socket, which is ours from now on; `client` as its socket names it,
    /// `timeouts` instead of those of the desk.
    #[pyo3(signature = (fd, client, timeouts=None))]
    fn open(&self, fd: i32, client: Py<PyAny>, timeouts: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let server = self.idle()?;
        server.app().refresh();
        let own = timeouts.map(|timeouts| read_timeouts(&timeouts)).transpose()?;
        let own = own.map(|timeouts| Rc::new(Settings { timeouts, ..*server.settings() }));
        server.open_with(fd, own, |token| Guest::new(token, Client::Named(client)))?;
        Ok(())
    }

    /// Take connections from a listening socket whenever there are any.
    fn listen(&self, fd: i32) -> PyResult<()> {
        Ok(self.idle()?.listen(fd)?)
    }

    /// Leave a listening socket alone.
    fn unlisten(&self, fd: i32) -> PyResult<()> {
        self.idle()?.unlisten(fd);
        Ok(())
    }

    /// Take up to so many connections; see `Doorman.accept`.
    fn accept(&self, fd: i32, most: usize) -> PyResult<(usize, &'static str, i32)> {
        self.idle()?.app().refresh();
        Ok(accept(&self.server, fd, most))
    }

    /// Open connections.
    fn __len__(&self) -> usize {
        self.server.len()
    }

    /// A wire without connections is a wire.
    fn __bool__(&self) -> bool {
        true
    }

    #[getter]
    fn is_draining(&self) -> bool {
        self.server.is_draining()
    }

    #[setter]
    fn set_is_draining(&self, is_draining: bool) {
        self.server.set_draining(is_draining);
    }

    #[getter]
    fn is_telling(&self) -> bool {
        self.server.app().is_telling()
    }

    #[setter]
    fn set_is_telling(&self, is_telling: bool) {
        self.server.app().set_telling(is_telling);
    }

    /// See `Wire.held_bytes`.
    fn held_bytes(&self) -> PyResult<(usize, usize)> {
        if self.server.is_touched() {
            // What waits for the next turn only is not held: the socket takes it.
            self.idle()?.app().refresh();
            self.server.flush();
            self.server.app().check()?;
        }
        Ok(self.server.held_bytes())
    }

    /// See `Wire.drain`.
    fn drain(&self) -> PyResult<()> {
        self.idle()?.app().refresh();
        self.server.drain();
        self.server.app().check()
    }

    /// See `Wire.abort_all`.
    fn abort_all(&self) -> PyResult<()> {
        self.idle()?.abort_all();
        self.server.app().check()
    }

    /// See `Wire.longest_idle_since`.
    fn longest_idle_since(&self) -> Option<f64> {
        self.server.app().refresh();
        self.server.longest_idle_since().map(|since| since as f64 / 1e9)
    }

    /// See `Wire.close_longest_idle`.
    fn close_longest_idle(&self) -> PyResult<bool> {
        self.idle()?.app().refresh();
        let is_closed = self.server.close_longest_idle();
        self.server.app().check()?;
        Ok(is_closed)
    }

    /// A handler in a thread has ended: its value, or its exception.
    fn on_thread(
        &self,
        py: Python<'_>,
        token: Token,
        value: Bound<'_, PyAny>,
        is_error: bool,
    ) -> PyResult<()> {
        let result = if is_error { Err(PyErr::from_value(value)) } else { Ok(value) };
        self.idle()?;
        hand_over(py, &self.server, token, result);
        self.server.app().check()
    }

    /// The access log's lines since the last call.
    fn take_log<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.server.app().take_log().unwrap_or_default())
    }

    #[getter]
    fn requests(&self) -> u64 {
        self.server.app().statistics().requests()
    }

    #[getter]
    fn bytes_received(&self) -> u64 {
        self.server.app().statistics().bytes_received
    }

    #[getter]
    fn bytes_sent(&self) -> u64 {
        self.server.app().statistics().bytes_sent
    }

    #[getter]
    fn in_flight(&self) -> u64 {
        self.server.app().statistics().in_flight
    }

    #[getter]
    fn statuses(&self) -> Vec<u64> {
        self.server.app().statistics().statuses().to_vec()
    }

    #[getter]
    fn latency(&self) -> Vec<u64> {
        self.server.app().statistics().latency().to_vec()
    }
}

impl Http {
    /// The server, while no other thread waits with its driver.
    fn idle(&self) -> PyResult<&Server<PyApp>> {
        if self.server.is_waiting() {
            return Err(PyRuntimeError::new_err(WAITING));
        }
        Ok(&self.server)
    }
}

/// Take connections; what is said is what `Accepted` says.
fn accept(server: &Server<PyApp>, listening: RawFd, most: usize) -> (usize, &'static str, i32) {
    let accepted = server.accept(listening, most, |token, peer| server.app().welcome(token, peer));
    let (stop, errno) = match accepted.stop {
        Stop::Empty => ("empty", 0),
        Stop::Enough => ("enough", 0),
        Stop::Full => ("full", 0),
        Stop::Failed(errno) => ("failed", errno),
        Stop::Unopened(errno) => ("unopened", errno),
    };
    (accepted.taken, stop, errno)
}

/// Where the server will be found once it is made.
pub type Place = Rc<OnceCell<Weak<Server<PyApp>>>>;

/// Hands on what tasks come to.
struct Hand(Place);

// SAFETY: as of `Http`.
unsafe impl Send for Hand {}
// SAFETY: as of `Http`.
unsafe impl Sync for Hand {}

impl Sink for Hand {
    fn traverse(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(()) // the server is given up by `Reactor.close`, not by the collector
    }

    fn ended<'py>(&self, py: Python<'py>, token: Token, outcome: PyResult<Bound<'py, PyAny>>) {
        if let Some(server) = self.0.get().and_then(Weak::upgrade) {
            hand_over(py, &server, token, outcome);
        }
    }
}

/// Bring the result of a handler that waited to its connection, or drop it when nobody waits any more.
fn hand_over(py: Python<'_>, server: &Rc<Server<PyApp>>, token: Token, result: PyResult<Bound<'_, PyAny>>) {
    let app = server.app();
    app.refresh();
    if PyApp::is_lent(token) {
        return bring_back(py, server, token, result);
    }
    let mut result = Some(result);
    server.on_handled(token, |guest, running, terms, output| match result.take() {
        Some(result) => app.conclude(py, guest, running, result, terms, output),
        None => Reply::Cut,
    });
    if let Some(result) = result {
        app.drop_result(py, token, result);
    }
    if server.has_more() {
        app.wake(py);
    }
}

/// Bring what the handler of a lent exchange came to: it may have answered, and nobody may wait any more.
fn bring_back(py: Python<'_>, server: &Rc<Server<PyApp>>, token: Token, result: PyResult<Bound<'_, PyAny>>) {
    let app = server.app();
    let Some(conduit) = app.take_lent(py, token) else { return };
    let mut result = Some(result);
    if !conduit.get().lease().is_over() {
        server.on_handled(conduit.get().token(), |guest, running, terms, output| match result.take() {
            Some(result) => app.conclude_lent(py, guest, running, result, terms, output),
            None => Reply::Cut,
        });
    }
    if let Some(Err(error)) = result {
        app.blame(py, conduit.get().request(), error);
    }
    if server.has_more() {
        app.wake(py);
    }
}

fn read_settings(desk: &Bound<'_, PyAny>) -> PyResult<Settings> {
    let py = desk.py();
    let limits = desk.getattr(intern!(py, "limits"))?;
    let timeouts = desk.getattr(intern!(py, "timeouts"))?;
    let limit = |name: &str| limits.getattr(name)?.extract::<usize>();
    Ok(Settings {
        limits: Limits {
            request_line: limit("request_line")?,
            head: limit("head")?,
            headers: limit("headers")?,
            chunk_extensions: limit("chunk_extensions")?,
            trailers: limit("trailers")?,
        },
        timeouts: read_timeouts(&timeouts)?,
        pipeline: limit("pipeline")?,
    })
}

fn read_timeouts(timeouts: &Bound<'_, PyAny>) -> PyResult<Timeouts> {
    let millis =
        |name: &str| Ok::<u64, PyErr>((timeouts.getattr(name)?.extract::<f64>()? * 1e3).ceil() as u64);
    Ok(Timeouts {
        first_byte: millis("first_byte")?,
        head: millis("head")?,
        body: millis("body")?,
        body_min_rate: timeouts.getattr("body_min_rate")?.extract::<f64>()? as u64,
        idle: millis("idle")?,
        write: millis("write")?,
        handler: millis("handler")?,
    })
}

/// The server, as its reactor sees it.
struct Residence(Rc<Server<PyApp>>);

impl Resident for Residence {
    fn refresh(&self) {
        self.0.app().refresh();
    }

    fn now_ns(&self) -> u64 {
        self.0.app().now_ns()
    }

    fn on_readable(&self, token: Token) {
        self.0.on_readable(token);
    }

    fn on_writable(&self, token: Token) {
        self.0.on_writable(token);
    }

    fn on_broken(&self, token: Token) {
        self.0.on_broken(token);
    }

    fn on_acceptable(&self, listener: u32) {
        let listening = listener.cast_signed();
        if !self.0.is_listening(listening) {
            return; // told before it was left alone
        }
        let accepted = accept(&self.0, listening, BATCH);
        if !matches!(accepted.1, "empty" | "enough") {
            self.0.app().on_stuck(listening, accepted);
        }
    }

    fn go_on(&self, until_ns: u64) {
        self.0.go_on(until_ns);
    }

    fn keep_turns(&self, is_kept: bool) {
        self.0.app().keep_turns(is_kept);
    }

    fn give_turns(&self) -> bool {
        let has_some = self.0.app().has_turns();
        if has_some {
            self.0.app().give_turns();
        }
        has_some
    }

    fn flush(&self) -> bool {
        if !self.0.is_touched() {
            return false;
        }
        self.0.app().refresh();
        self.0.flush()
    }

    fn has_more(&self) -> bool {
        self.0.has_more() || self.0.app().has_turns()
    }

    fn on_time(&self, now: u64) {
        self.0.on_time(now);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.0.next_deadline()
    }

    fn check(&self) -> PyResult<()> {
        self.0.app().check()
    }
}
