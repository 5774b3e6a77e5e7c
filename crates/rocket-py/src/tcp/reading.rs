//! What `read`, `read_view` and `flush` return: awaitables that are done at once when they can be.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rocket_core::tcp::{Input, News, Output, View};

use super::{TcpBytes, TcpConnection, TcpWait, closed_here, os_error};

/// How far an awaitable is.
enum Stage {
    New,
    Waits(Py<TcpWait>),
    Over,
}

impl Stage {
    /// Go on: what was waited for, if anything was.
    fn go_on(&mut self) -> PyResult<Option<Py<TcpWait>>> {
        match std::mem::replace(self, Self::Over) {
            Self::New => Ok(None),
            Self::Waits(wait) => Ok(Some(wait)),
            Self::Over => Err(PyRuntimeError::new_err("it was awaited before")),
        }
    }
}

/// A read, about to be awaited.
#[pyclass(module = "rocket_sup.engine._native")]
pub struct TcpRead {
    connection: Py<TcpConnection>,
    limit: usize,
    is_view: bool,
    stage: Stage,
}

#[pymethods]
impl TcpRead {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<TcpWait>> {
        let waited = self.stage.go_on()?;
        let connection = self.connection.get();
        if let Some(wait) = &waited {
            connection.forget(py, wait.bind(py))?;
        }
        connection.check_reader(py)?;
        let input = if self.is_view { connection.take_view(py) } else { connection.take(py, self.limit) }?;
        match input {
            Input::Bytes(value) => Err(PyStopIteration::new_err((value,))),
            Input::End if self.is_view => {
                let empty = TcpBytes::memoryview(py, View::Own(Vec::new()))?;
                Err(PyStopIteration::new_err((empty.unbind(),)))
            }
            Input::End => Err(PyStopIteration::new_err((PyBytes::new(py, b"").unbind(),))),
            Input::Broken(errno) => Err(os_error(errno)),
            Input::Closed => Err(closed_here()),
            Input::Waits if waited.is_some_and(|wait| wait.borrow(py).is_late()) => Err(late()),
            Input::Waits => {
                let wait = TcpWait::begin(py, self.connection.clone_ref(py), connection.event_loop(py)?)?;
                connection.await_input(py, &wait)?;
                self.stage = Stage::Waits(wait.clone_ref(py));
                Ok(wait)
            }
        }
    }
}

impl TcpRead {
    pub(super) fn new(connection: Py<TcpConnection>, limit: usize, is_view: bool) -> Self {
        Self { connection, limit, is_view, stage: Stage::New }
    }
}

/// A flush, about to be awaited.
#[pyclass(module = "rocket_sup.engine._native")]
pub struct TcpFlush {
    connection: Py<TcpConnection>,
    stage: Stage,
}

#[pymethods]
impl TcpFlush {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Py<TcpWait>> {
        let connection = self.connection.get();
        let output = match self.stage.go_on()? {
            Some(wait) => wait.borrow(py).output().unwrap_or(Output::Closed),
            None => {
                connection.act(py, |streams, news: &mut News<_>| streams.flush(connection.token, news))?
            }
        };
        match output {
            Output::Sent => Err(PyStopIteration::new_err((py.None(),))),
            Output::Late => Err(late()),
            Output::Broken(errno) => Err(os_error(errno)),
            Output::Closed => Err(closed_here()),
            Output::Waits => {
                let wait = TcpWait::begin(py, self.connection.clone_ref(py), connection.event_loop(py)?)?;
                connection.await_output(py, &wait)?;
                self.stage = Stage::Waits(wait.clone_ref(py));
                Ok(wait)
            }
        }
    }
}

impl TcpFlush {
    pub(super) fn new(connection: Py<TcpConnection>) -> Self {
        Self { connection, stage: Stage::New }
    }
}

fn late() -> PyErr {
    PyTimeoutError::new_err("the client was idle for too long")
}
