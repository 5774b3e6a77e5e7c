//! A lent exchange as Python sees it; `rocket_sup/conduit.py` says what it promises.
//!
//! What the borrower wants is left in the lease and acted on before the driver waits: an answer that is written
//! in many pieces leaves in one send. What comes is told at once, to the receiver's methods.

use std::cell::Cell;
use std::rc::Rc;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};
use rocket_core::driver::Token;
use rocket_core::http1::{Finish, Lease, News, Part};
use rocket_core::server::Server;

use crate::app::PyApp;
use crate::http::Place;
use crate::request::Request;
use crate::slot::Slot;
use crate::spare::make;
use crate::unlimited::call_method;
use crate::websocket::Lane;

/// See the module's description.
#[pyclass(frozen, weakref, module = "rocket_sup.engine._native")]
pub struct Conduit {
    lease: Rc<Lease>,
    /// Of the connection.
    token: Token,
    place: Place,
    /// The client wants the connection to go on.
    keep_alive: bool,
    /// Its handler runs on when the client leaves.
    outlives: bool,
    request: Py<Request>,
    receiver: Slot,
    /// Why it was aborted.
    error: Slot,
    /// Its handler is counted as under way.
    is_counted: Cell<bool>,
}

// SAFETY: every method takes the interpreter's lock, which gives one thread at a time all of it; nothing of a
// lease is borrowed while Python code runs.
unsafe impl Send for Conduit {}
// SAFETY: as above.
unsafe impl Sync for Conduit {}

/// What a conduit is made of.
pub struct Lending {
    pub lease: Rc<Lease>,
    pub token: Token,
    pub place: Place,
    pub keep_alive: bool,
    pub outlives: bool,
    pub request: Py<Request>,
}

impl Conduit {
    /// Make the conduit of a lease.
    ///
    /// # Errors
    /// Python has no memory.
    pub fn new(py: Python<'_>, lending: Lending) -> PyResult<Bound<'_, Self>> {
        let Lending { lease, token, place, keep_alive, outlives, request } = lending;
        let conduit = Self {
            lease,
            token,
            place,
            keep_alive,
            outlives,
            request,
            receiver: Slot::new(None),
            error: Slot::new(None),
            is_counted: Cell::new(false),
        };
        make(py, conduit)
    }

    pub fn lease(&self) -> &Rc<Lease> {
        &self.lease
    }

    pub fn token(&self) -> Token {
        self.token
    }

    pub fn outlives(&self) -> bool {
        self.outlives
    }

    pub fn request(&self) -> &Py<Request> {
        &self.request
    }

    /// Its handler is under way, or not any more; whether that is news.
    pub fn set_counted(&self, is_counted: bool) -> bool {
        self.is_counted.replace(is_counted) != is_counted
    }

    /// Nothing is told any more: the receiver, and what the conduit was aborted with.
    pub fn leave<'py>(&self, py: Python<'py>) -> (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>) {
        let bind = |value: Option<Py<PyAny>>| value.map(|value| value.into_bound(py));
        (bind(self.receiver.replace(py, None)), bind(self.error.replace(py, None)))
    }

    /// Let the receiver know something. What he raises is logged, and cuts the connection.
    pub fn tell(&self, py: Python<'_>, app: &PyApp, news: &News<'_>) {
        let Some(receiver) = self.receiver.get(py) else { return };
        let told = match news {
            News::Content(content) => match receiver.cast_exact::<Lane>() {
                Ok(lane) => Lane::take(lane, content).map(|()| py.None().into_bound(py)),
                Err(_) => {
                    let content = PyBytes::new(py, content);
                    call_method(intern!(py, "on_content"), [&receiver, content.as_any()], None)
                }
            },
            News::End(trailers) => {
                let trailers = PyBytes::new(py, trailers);
                call_method(intern!(py, "on_content_end"), [&receiver, trailers.as_any()], None)
            }
            News::Failed(fault) => app
                .content_error(py, fault)
                .and_then(|error| call_method(intern!(py, "on_content_error"), [&receiver, &error], None)),
            News::Room => call_method(intern!(py, "on_room"), [&receiver], None),
            News::Left => call_method(intern!(py, "on_left"), [&receiver], None),
        };
        if let Err(error) = told {
            self.lease.abort();
            self.touch(py);
            app.blame(py, &self.request, error);
        }
    }

    fn server(&self) -> PyResult<Rc<Server<PyApp>>> {
        let server = self.place.get().and_then(std::rc::Weak::upgrade);
        server.ok_or_else(|| PyRuntimeError::new_err("the wire is closed"))
    }

    /// Have the connection act on what is in the lease, before the driver waits.
    pub fn touch(&self, py: Python<'_>) {
        if self.lease.touch()
            && let Ok(server) = self.server()
            && server.touch(self.token)
        {
            server.app().wake(py);
        }
    }

    /// Write two pieces as one; they leave once the conduit is touched. False when it would be well to wait for
    /// room.
    pub fn stage(&self, first: &[u8], second: &[u8]) -> bool {
        self.lease.write_both(first, second)
    }

    /// Whoever is called now interrupts no task.
    pub fn is_no_task_running(&self, py: Python<'_>) -> bool {
        self.server().is_ok_and(|server| !server.app().is_task_running(py))
    }

    /// Do something that may tell the receiver at once.
    fn with_news(&self, py: Python<'_>, act: impl FnOnce(&Lease, &mut dyn FnMut(News<'_>))) {
        if self.lease.is_over() {
            return;
        }
        let Ok(server) = self.server() else { return };
        act(&self.lease, &mut |news| self.tell(py, server.app(), &news));
        self.touch(py);
    }
}

#[pymethods]
impl Conduit {
    #[getter(keep_alive)]
    pub fn is_kept_alive(&self) -> bool {
        self.keep_alive
            && self.lease.may_go_on()
            && !self.lease.is_ended()
            && self.server().is_ok_and(|server| !server.is_draining())
    }

    #[getter]
    fn date_line<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self.server()?.app().date_line(py))
    }

    #[getter]
    fn unsent(&self) -> usize {
        if self.lease.is_over() { 0 } else { self.lease.unsent() }
    }

    #[getter]
    fn is_begun(&self) -> bool {
        self.lease.is_begun()
    }

    #[getter]
    fn sessions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.server()?.app().desk(py).getattr(intern!(py, "sessions"))
    }

    #[getter]
    fn executor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.server()?.app().desk(py).getattr(intern!(py, "executor"))
    }

    fn attach(&self, receiver: Bound<'_, PyAny>) {
        if self.lease.is_over() {
            return;
        }
        let py = receiver.py();
        self.receiver.set(receiver);
        self.with_news(py, |lease, tell| lease.attach(tell));
    }

    pub fn resume_reading(&self, py: Python<'_>) {
        self.with_news(py, |lease, tell| lease.resume(tell));
    }

    pub fn pause_reading(&self, py: Python<'_>) {
        self.lease.pause();
        self.touch(py);
    }

    fn begin(&self, py: Python<'_>) {
        self.lease.begin();
        self.touch(py);
    }

    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        let has_room = match data.cast_exact::<PyBytes>() {
            Ok(bytes) => self.lease.write(bytes.as_bytes()),
            Err(_) => self.lease.write(&PyBuffer::<u8>::get(data)?.to_vec(data.py())?),
        };
        self.touch(data.py());
        Ok(has_room)
    }

    fn send_file(&self, py: Python<'_>, fd: i32, offset: u64, count: u64) -> PyResult<bool> {
        if i64::try_from(offset.saturating_add(count)).is_err() {
            return Err(PyValueError::new_err("no file is that long"));
        }
        self.lease.send_file(Part { fd, offset, left: count });
        self.touch(py);
        Ok(self.lease.is_over())
    }

    fn upgrade(&self, py: Python<'_>) {
        self.with_news(py, |lease, tell| lease.upgrade(tell));
    }

    #[pyo3(signature = (status, content_bytes, *, keep_alive=true))]
    fn finish(&self, py: Python<'_>, status: u16, content_bytes: u64, keep_alive: bool) {
        self.lease.finish(Finish { status, content_bytes, keep_alive });
        self.touch(py);
    }

    #[pyo3(signature = (error=None))]
    fn abort(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) {
        if self.lease.is_over() {
            return;
        }
        drop(self.error.replace(py, error.map(Bound::unbind)));
        self.lease.abort();
        self.touch(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.request)?;
        self.receiver.traverse(visit)?;
        self.error.traverse(visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.receiver.replace(py, None));
        drop(self.error.replace(py, None));
    }
}

/// What has to go through instead of being logged.
pub fn is_interrupt(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py)
}
