//! What a task waits for: a future, as far as a task looks.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{intern, types::PyDict};
use rocket_core::tcp::Output;

use super::TcpConnection;
use crate::unlimited::{call, in_context};

/// What became of a wait.
pub(super) enum Fate {
    /// Nothing yet.
    Pending,
    /// There is something to be read, or there will be nothing.
    Woken,
    /// It took too long.
    Late,
    /// How it went with what was to be sent.
    Flushed(Output),
    /// Given up, with this message.
    Cancelled(Py<PyAny>),
}

impl Fate {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Pending => Self::Pending,
            Self::Woken => Self::Woken,
            Self::Late => Self::Late,
            Self::Flushed(output) => Self::Flushed(*output),
            Self::Cancelled(message) => Self::Cancelled(message.clone_ref(py)),
        }
    }
}

/// How a task is called back.
#[derive(Clone, Copy)]
pub(super) enum Wake {
    /// From a batch, where no task is running.
    Now,
    /// By the loop.
    Soon,
}

/// What a task waits for, and is called back by.
#[pyclass(module = "rocket_sup.engine._native")]
pub struct TcpWait {
    connection: Py<TcpConnection>,
    event_loop: Py<PyAny>,
    /// Set while it is handed from the coroutine to its task, as asyncio asks for.
    #[pyo3(get, set, name = "_asyncio_future_blocking")]
    is_blocking: bool,
    /// The task's, and the context to call it in.
    callback: Option<(Py<PyAny>, Py<PyAny>)>,
    fate: Fate,
}

#[pymethods]
impl TcpWait {
    /// The loop of the task.
    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    /// Have the task called when the wait is over.
    #[pyo3(signature = (callback, *, context))]
    fn add_done_callback(slf: &Bound<'_, Self>, callback: Py<PyAny>, context: Py<PyAny>) -> PyResult<()> {
        let is_over = {
            let mut this = slf.borrow_mut();
            if this.callback.is_some() {
                return Err(PyRuntimeError::new_err("a wait is for one task"));
            }
            this.callback = Some((callback, context));
            !matches!(this.fate, Fate::Pending)
        };
        if is_over { Self::call_back(slf, Wake::Soon) } else { Ok(()) }
    }

    /// Whether the wait is over.
    fn done(&self) -> bool {
        !matches!(self.fate, Fate::Pending)
    }

    /// Nothing, or the cancellation; what was waited for is taken by the coroutine.
    fn result(&self, py: Python<'_>) -> PyResult<()> {
        match &self.fate {
            Fate::Cancelled(message) => Err(cancelled(py, message)?),
            Fate::Pending => Err(PyRuntimeError::new_err("the wait is not over")),
            _ => Ok(()),
        }
    }

    /// Give up the wait: whether there was one.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let connection = {
            let this = slf.borrow();
            if this.done() {
                return Ok(false);
            }
            this.connection.clone_ref(py)
        };
        connection.get().forget(py, slf)?;
        Self::end(slf, Fate::Cancelled(msg.unwrap_or_else(|| py.None())), Wake::Soon)?;
        Ok(true)
    }
}

impl TcpWait {
    /// A wait of the task that runs.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn begin(
        py: Python<'_>,
        connection: Py<TcpConnection>,
        event_loop: Py<PyAny>,
    ) -> PyResult<Py<Self>> {
        Py::new(py, Self { connection, event_loop, is_blocking: true, callback: None, fate: Fate::Pending })
    }

    /// It took too long.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.fate, Fate::Late)
    }

    /// How it went with what was to be sent.
    pub(super) fn output(&self) -> Option<Output> {
        if let Fate::Flushed(output) = self.fate { Some(output) } else { None }
    }

    /// End it, and call the task back.
    ///
    /// # Errors
    /// What the task does not keep to itself.
    pub(super) fn end(slf: &Bound<'_, Self>, fate: Fate, wake: Wake) -> PyResult<()> {
        slf.borrow_mut().fate = fate;
        Self::call_back(slf, wake)
    }

    fn call_back(slf: &Bound<'_, Self>, wake: Wake) -> PyResult<()> {
        let py = slf.py();
        let Some((callback, context)) = slf.borrow_mut().callback.take() else { return Ok(()) };
        let (callback, context) = (callback.bind(py), context.bind(py));
        match wake {
            Wake::Now => in_context(context, || call(callback, [slf.as_any()], None))?.map(drop),
            Wake::Soon => {
                let event_loop = slf.borrow().event_loop.clone_ref(py);
                let names = PyDict::new(py);
                names.set_item(intern!(py, "context"), context)?;
                event_loop.call_method(py, intern!(py, "call_soon"), (callback, slf), Some(&names)).map(drop)
            }
        }
    }
}

fn cancelled(py: Python<'_>, message: &Py<PyAny>) -> PyResult<PyErr> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.import(py, "asyncio", "CancelledError")?;
    let error = if message.is_none(py) { class.call0()? } else { class.call1((message,))? };
    Ok(PyErr::from_value(error))
}
