//! Connections below HTTP as Python sees them (`rocket_sup/engine/raw.py` tells what they promise).
//!
//! Whoever awaits a connection is an ordinary task of asyncio, which waits for an object of ours (`waiting`). When
//! bytes come, that object calls the task back from within the batch: no turn of the loop, no callback in its
//! queue. It does so from a batch only, where no other task is running; what a handler does to a connection that
//! others wait for goes through the loop.

mod connection;
mod reading;
mod view;
mod waiting;

use std::cell::RefCell;
use std::rc::Rc;

use pyo3::exceptions::{PyBufferError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use rocket_core::clock::monotonic_ns;
use rocket_core::driver::Token;
use rocket_core::tcp::{News, Options, Output, Refusal, Streams};

pub use self::connection::TcpConnection;
pub use self::reading::{TcpFlush, TcpRead};
pub use self::view::TcpBytes;
pub use self::waiting::TcpWait;
use self::waiting::{Fate, Wake};
use crate::reactor::{Reactor, Resident};

/// What belongs to a connection.
struct Guest {
    /// Who waits for bytes.
    reader: Option<Py<TcpWait>>,
    /// Who waits until everything is sent.
    flushers: Vec<Py<TcpWait>>,
    /// To be called when the socket is closed.
    on_closed: Py<PyAny>,
}

/// The connections of one reactor.
#[pyclass(frozen, module = "rocket_sup.engine._native")]
pub struct Tcp {
    shell: Rc<Shell>,
}

// SAFETY: every method takes the interpreter's lock, which gives one thread at a time all of it; while the lock is
// let go, to wait, `Shell::streams` refuses; handlers run while nothing here is borrowed.
unsafe impl Send for Tcp {}
// SAFETY: as above.
unsafe impl Sync for Tcp {}

#[pymethods]
impl Tcp {
    /// Serve on a reactor; at most so many of its buffers are lent to handlers at a time.
    #[new]
    fn new(reactor: &Bound<'_, Reactor>, most_views: usize) -> PyResult<Self> {
        let clock = || monotonic_ns() / 1_000_000;
        let streams = Streams::new(reactor.get().driver(), most_views, clock);
        let shell = Rc::new(Shell { streams, event_loop: RefCell::default(), failure: RefCell::default() });
        reactor.get().house(Rc::clone(&shell) as Rc<dyn Resident>)?;
        Ok(Self { shell })
    }

    /// Serve a connected, non-blocking socket, which is ours from now on; see `raw.Streams.open`.
    fn open(
        slf: &Bound<'_, Self>,
        fd: i32,
        client: Py<PyAny>,
        limits: &Bound<'_, PyAny>,
        on_closed: Py<PyAny>,
    ) -> PyResult<TcpConnection> {
        let options = Options {
            unread: limits.getattr("unread")?.extract()?,
            unsent: limits.getattr("unsent")?.extract()?,
            idle: millis(limits.getattr("idle_s")?.extract()?),
            close: millis(limits.getattr("close_s")?.extract()?),
        };
        let guest = Guest { reader: None, flushers: Vec::new(), on_closed };
        let token = slf.get().shell.streams()?.open(fd, options, guest)?;
        Ok(TcpConnection::new(slf.clone().unbind(), token, client))
    }

    /// Buffers of the reactor that handlers have views of.
    fn views_out(&self) -> usize {
        self.shell.streams.loans()
    }

    /// Close all connections; nobody is told.
    fn abandon(&self) -> PyResult<()> {
        let streams = self.shell.streams()?;
        let mut gone = Vec::new();
        for token in streams.tokens() {
            let mut news = News::default();
            streams.leave(token, &mut news);
            gone.push(news.gone);
        }
        // Only now: whoever is dropped with them may come back in here.
        drop((gone, self.shell.event_loop.take()));
        Ok(())
    }
}

/// The connections, between the reactor and Python.
struct Shell {
    streams: Streams<Guest>,
    /// The reactor's, from the first wait on: asking for the running one costs a system call on 3.11.
    event_loop: RefCell<Option<Py<PyAny>>>,
    /// What has to leave `select`.
    failure: RefCell<Option<PyErr>>,
}

impl Shell {
    /// The connections, while nobody waits with their driver.
    fn streams(&self) -> PyResult<&Streams<Guest>> {
        if self.streams.is_busy() {
            let message = "the loop waits in another thread: call_soon_threadsafe is the way in";
            return Err(PyRuntimeError::new_err(message));
        }
        Ok(&self.streams)
    }

    /// The loop whose reactor this is.
    ///
    /// # Errors
    /// No loop runs.
    fn event_loop(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Some(event_loop) = &*self.event_loop.borrow() {
            return Ok(event_loop.clone_ref(py));
        }
        static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = RUNNING.import(py, "asyncio", "get_running_loop")?.call0()?.unbind();
        *self.event_loop.borrow_mut() = Some(event_loop.clone_ref(py));
        Ok(event_loop)
    }

    /// Tell those whom it concerns.
    fn deliver(&self, py: Python<'_>, token: Token, news: News<Guest>, wake: Wake) {
        let mut waits = Vec::new();
        let mut on_closed = None;
        if let Some(guest) = news.gone {
            waits.extend(guest.reader.map(|wait| (wait, Fate::Woken)));
            let fate = Fate::Flushed(news.output.unwrap_or(Output::Closed));
            waits.extend(guest.flushers.into_iter().map(|wait| (wait, fate.clone_ref(py))));
            on_closed = Some(guest.on_closed);
        } else {
            self.streams.guest(token, |guest| {
                if news.has_input || news.is_input_late {
                    let fate = if news.is_input_late { Fate::Late } else { Fate::Woken };
                    waits.extend(guest.reader.take().map(|wait| (wait, fate)));
                }
                if let Some(output) = news.output {
                    waits.extend(guest.flushers.drain(..).map(|wait| (wait, Fate::Flushed(output))));
                }
            });
        }
        for (wait, fate) in waits {
            self.keep(TcpWait::end(wait.bind(py), fate, wake));
        }
        if let Some(on_closed) = on_closed {
            self.keep(on_closed.call0(py).map(drop));
        }
    }

    /// Keep the first failure for `check`.
    fn keep(&self, result: PyResult<()>) {
        if let Err(error) = result {
            self.failure.borrow_mut().get_or_insert(error);
        }
    }

    /// Do something that may concern others, and tell them through the loop.
    fn act<R>(
        &self,
        py: Python<'_>,
        token: Token,
        act: impl FnOnce(&Streams<Guest>, &mut News<Guest>) -> R,
    ) -> PyResult<R> {
        let mut news = News::default();
        let result = act(self.streams()?, &mut news);
        self.deliver(py, token, news, Wake::Soon);
        Ok(result)
    }
}

impl Resident for Shell {
    fn refresh(&self) {}

    fn now_ns(&self) -> u64 {
        monotonic_ns()
    }

    fn on_readable(&self, token: Token) {
        self.streams.on_readable(token, |news| self.deliver(attached(), token, news, Wake::Now));
    }

    fn on_writable(&self, token: Token) {
        let news = self.streams.on_writable(token);
        self.deliver(attached(), token, news, Wake::Now);
    }

    fn on_broken(&self, token: Token) {
        let news = self.streams.on_broken(token);
        self.deliver(attached(), token, news, Wake::Now);
    }

    fn go_on(&self, _until_ns: u64) {
        self.streams.go_on(|token, news| self.deliver(attached(), token, news, Wake::Now));
    }

    fn has_more(&self) -> bool {
        self.streams.has_more()
    }

    fn on_time(&self, now: u64) {
        self.streams.on_time(now, |token, news| self.deliver(attached(), token, news, Wake::Now));
    }

    fn next_deadline(&self) -> Option<u64> {
        self.streams.next_deadline()
    }

    fn check(&self) -> PyResult<()> {
        self.failure.borrow_mut().take().map_or(Ok(()), Err)
    }
}

/// The interpreter, in what a reactor calls.
fn attached<'py>() -> Python<'py> {
    // SAFETY: the methods of `Resident` are called by a reactor, which holds the interpreter's lock then.
    unsafe { Python::assume_attached() }
}

/// Milliseconds that are not over before these seconds.
fn millis(seconds: f64) -> u64 {
    (seconds * 1e3).ceil() as u64
}

/// The exception for an errno; Python chooses the class.
fn os_error(errno: i32) -> PyErr {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    // Rust's text ends in "(os error N)", which Python says in front.
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    PyOSError::new_err((errno, text))
}

/// The exception for using what was closed here.
fn closed_here() -> PyErr {
    PyOSError::new_err((libc::ECONNABORTED, "the connection was closed here"))
}

fn refused(refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::Closed => closed_here(),
        Refusal::Broken(errno) => os_error(errno),
        Refusal::Ended => PyRuntimeError::new_err("write after write_eof"),
        Refusal::Full(unsent) => {
            PyBufferError::new_err(format!("{unsent} bytes are staged and unsent: flush first"))
        }
    }
}
