//! One connection as its handler has it.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rocket_core::driver::Token;
use rocket_core::tcp::{Input, News, Streams};

use super::{Guest, Shell, Tcp, TcpBytes, TcpFlush, TcpRead, TcpWait, millis, refused};

/// A year.
const MOST_SECONDS: f64 = 31_536_000.0;

/// See `raw.RawLink`.
#[pyclass(frozen, weakref, module = "rocket_sup.engine._native")]
pub struct TcpConnection {
    tcp: Py<Tcp>,
    pub(super) token: Token,
    /// The client's address as its socket names it.
    #[pyo3(get)]
    client: Py<PyAny>,
}

#[pymethods]
impl TcpConnection {
    /// See `raw.Connection`.
    #[pyo3(signature = (limit=None, /))]
    fn read(slf: &Bound<'_, Self>, limit: Option<i64>) -> PyResult<TcpRead> {
        let limit = match limit {
            None => usize::MAX,
            Some(limit @ 1..) => usize::try_from(limit).unwrap_or(usize::MAX),
            Some(limit) => {
                return Err(PyValueError::new_err(format!("the limit is {limit}; it is at least 1")));
            }
        };
        Ok(TcpRead::new(slf.clone().unbind(), limit, false))
    }

    /// See `raw.Connection`.
    fn read_view(slf: &Bound<'_, Self>) -> TcpRead {
        TcpRead::new(slf.clone().unbind(), usize::MAX, true)
    }

    /// See `raw.Connection`.
    #[pyo3(signature = (data, /))]
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        if let Ok(bytes) = data.cast::<PyBytes>() {
            return self.stage(py, bytes.as_bytes());
        }
        let buffer = PyBuffer::<u8>::get(data)?;
        if !buffer.is_c_contiguous() {
            return Err(PyTypeError::new_err("only bytes that lie one behind the other can be written"));
        }
        // SAFETY: the buffer is held until the bytes are copied, and nobody else runs meanwhile: `stage` keeps the
        // interpreter's lock and calls nothing of Python's.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
        self.stage(py, bytes)
    }

    /// See `raw.Connection`.
    fn flush(slf: &Bound<'_, Self>) -> TcpFlush {
        TcpFlush::new(slf.clone().unbind())
    }

    /// See `raw.Connection`.
    fn write_eof(&self, py: Python<'_>) -> PyResult<()> {
        self.act(py, |streams, news| streams.end(self.token, news))?.map_err(refused)
    }

    /// See `raw.Connection`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.act(py, |streams, news| streams.close(self.token, news))
    }

    /// See `raw.Connection`.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.act(py, |streams, news| streams.abort(self.token, news))
    }

    /// See `raw.RawLink`.
    fn drop(&self, py: Python<'_>) -> PyResult<()> {
        self.act(py, |streams, news| streams.leave(self.token, news))
    }

    #[getter]
    fn is_open(&self, py: Python<'_>) -> bool {
        self.shell(py).streams.is_open(self.token)
    }

    #[getter]
    fn has_timed_out(&self, py: Python<'_>) -> bool {
        self.shell(py).streams.has_timed_out(self.token)
    }

    #[getter]
    fn idle_s(&self, py: Python<'_>) -> f64 {
        self.shell(py).streams.idle(self.token) as f64 / 1e3
    }

    #[setter]
    fn set_idle_s(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        if !(0.0..=MOST_SECONDS).contains(&seconds) {
            let message = format!("idle_s is {seconds}; it is 0 to 31536000 seconds");
            return Err(PyValueError::new_err(message));
        }
        self.shell(py).streams.set_idle(self.token, millis(seconds));
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<TcpConnection with {}>", self.client.bind(py).repr()?))
    }
}

impl TcpConnection {
    pub(super) fn new(tcp: Py<Tcp>, token: Token, client: Py<PyAny>) -> Self {
        Self { tcp, token, client }
    }

    fn shell(&self, _py: Python<'_>) -> &Shell {
        &self.tcp.get().shell
    }

    /// The loop that everything happens on.
    pub(super) fn event_loop(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.shell(py).event_loop(py)
    }

    /// Do something that may concern others, and tell them through the loop.
    pub(super) fn act<R>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Streams<Guest>, &mut News<Guest>) -> R,
    ) -> PyResult<R> {
        self.shell(py).act(py, self.token, act)
    }

    fn stage(&self, py: Python<'_>, bytes: &[u8]) -> PyResult<()> {
        self.shell(py).streams()?.stage(self.token, bytes).map_err(refused)
    }

    /// Take bytes, up to a limit.
    pub(super) fn take(&self, py: Python<'_>, limit: usize) -> PyResult<Input<Py<PyAny>>> {
        let streams = self.shell(py).streams()?;
        Ok(streams.take(self.token, limit, |bytes| PyBytes::new(py, bytes).into_any().unbind()))
    }

    /// Take all bytes, where they are.
    pub(super) fn take_view(&self, py: Python<'_>) -> PyResult<Input<Py<PyAny>>> {
        Ok(match self.shell(py).streams()?.take_view(self.token) {
            Input::Bytes(view) => Input::Bytes(TcpBytes::memoryview(py, view)?.into_any().unbind()),
            Input::End => Input::End,
            Input::Waits => Input::Waits,
            Input::Broken(errno) => Input::Broken(errno),
            Input::Closed => Input::Closed,
        })
    }

    /// Refuse a second reader.
    pub(super) fn check_reader(&self, py: Python<'_>) -> PyResult<()> {
        let streams = self.shell(py).streams()?;
        // A reader that nobody else refers to was thrown away with its coroutine.
        // SAFETY: the object is alive.
        let is_awaited = |wait: &Py<TcpWait>| unsafe { ffi::Py_REFCNT(wait.as_ptr()) } > 1;
        let is_taken = |guest: &mut Guest| guest.reader.as_ref().is_some_and(is_awaited);
        if streams.guest(self.token, is_taken) == Some(true) {
            let message = "another read of this connection is waiting: one at a time";
            return Err(PyRuntimeError::new_err(message));
        }
        Ok(())
    }

    /// Be told when there is something to be read.
    pub(super) fn await_input(&self, py: Python<'_>, wait: &Py<TcpWait>) -> PyResult<()> {
        let streams = self.shell(py).streams()?;
        let wait = wait.clone_ref(py);
        let before = streams.guest(self.token, |guest| guest.reader.replace(wait));
        streams.await_input(self.token);
        drop(before);
        Ok(())
    }

    /// Be told when everything is sent.
    pub(super) fn await_output(&self, py: Python<'_>, wait: &Py<TcpWait>) -> PyResult<()> {
        let wait = wait.clone_ref(py);
        self.shell(py).streams()?.guest(self.token, |guest| guest.flushers.push(wait));
        Ok(())
    }

    /// Be told no more.
    pub(super) fn forget(&self, py: Python<'_>, wait: &Bound<'_, TcpWait>) -> PyResult<()> {
        let streams = self.shell(py).streams()?;
        let taken = streams.guest(self.token, |guest| {
            if let Some(place) = guest.flushers.iter().position(|each| each.is(wait)) {
                return (Some(guest.flushers.swap_remove(place)), false);
            }
            let is_reader = guest.reader.as_ref().is_some_and(|reader| reader.is(wait));
            (if is_reader { guest.reader.take() } else { None }, is_reader)
        });
        if let Some((_, true)) = taken {
            streams.forget_input(self.token);
        }
        drop(taken);
        Ok(())
    }
}
