//! What `receive` returns: a coroutine that is done at once when a message waits, and else the future that its
//! task waits for, in one object.

use std::cell::Cell;

use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

use super::Lane;
use crate::slot::Slot;
use crate::spare::make;
use crate::task::{NativeTask, go_on_now};
use crate::unlimited::{call, in_context};

/// What a task looks for in what is awaited.
const MARK: &str = "_asyncio_future_blocking";

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has awaited it.
    New,
    /// For a message, or the end.
    Waits,
    /// Its task has still to look why.
    Woken,
    /// Its task was, while it waited.
    Cancelled,
    /// It has given what there was.
    Over,
}

/// How its task is called back.
#[derive(Clone, Copy)]
pub enum Wake {
    /// At once: no task is running.
    Now,
    /// By the loop.
    Soon,
}

/// See the module's description.
#[pyclass(frozen, module = "rocket_sup.engine._native")]
pub struct Receive {
    lane: Py<Lane>,
    stage: Cell<Stage>,
    /// The end is that of an iteration.
    iterates: Cell<bool>,
    /// Set while it is handed from the coroutine to its task, as asyncio asks for.
    is_blocking: Cell<bool>,
    /// The task's, and the context to call it in.
    callback: Slot,
    context: Slot,
    /// Of the cancellation.
    message: Slot,
}

// SAFETY: every method takes the interpreter's lock, and nothing is looked at while other code runs.
unsafe impl Sync for Receive {}

#[pymethods]
impl Receive {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, Self>>> {
        let (py, this) = (slf.py(), slf.get());
        if this.stage.get() == Stage::Over {
            return Err(PyRuntimeError::new_err("it was awaited before"));
        }
        let lane = this.lane.bind(py);
        if let Some(message) = Lane::next(lane)? {
            this.stage.set(Stage::Over);
            // Not within a tuple: the interpreter then makes no exception of it before 3.12.
            return Err(PyStopIteration::new_err(message));
        }
        let refusal = if !lane.get().is_open.get() {
            if this.iterates.get() {
                Some(PyStopAsyncIteration::new_err(()))
            } else {
                Some(lane.get().closed(py))
            }
        } else if lane.get().is_awaited(py, slf) {
            Some(second_reader(py))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            this.stage.set(Stage::Over);
            return Err(refusal);
        }
        lane.get().reader.set(slf.clone().into_any());
        this.stage.set(Stage::Waits);
        this.is_blocking.set(true);
        Ok(Some(slf.clone()))
    }

    #[pyo3(signature = (_value, /))]
    fn send<'py>(slf: &Bound<'py, Self>, _value: Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Self>>> {
        Self::__next__(slf)
    }

    #[pyo3(signature = (kind, value=None, traceback=None, /))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        drop(traceback);
        Self::close(slf);
        Err(thrown(kind, value))
    }

    fn close(slf: &Bound<'_, Self>) {
        slf.get().stage.set(Stage::Over);
        slf.get().lane.get().forget(slf);
    }

    // --- the future, as far as a task looks

    /// The mark of a future. Not of the class: whoever looks for it there, as `ensure_future` does, is to see a
    /// coroutine.
    fn __getattr__(&self, name: &str) -> PyResult<bool> {
        match name {
            MARK => Ok(self.is_blocking.get()),
            _ => Err(PyAttributeError::new_err(name.to_owned())),
        }
    }

    fn __setattr__(&self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if name != MARK {
            return Err(PyAttributeError::new_err(name.to_owned()));
        }
        self.is_blocking.set(value.is_truthy()?);
        Ok(())
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.lane.get().event_loop.clone_ref(py)
    }

    #[pyo3(signature = (callback, *, context))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Bound<'_, PyAny>,
        context: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        slf.get().callback.set(callback);
        slf.get().context.set(context);
        if slf.get().stage.get() == Stage::Waits { Ok(()) } else { Self::call_back(slf.clone(), Wake::Soon) }
    }

    fn done(&self) -> bool {
        !matches!(self.stage.get(), Stage::New | Stage::Waits)
    }

    /// Nothing, or the cancellation; the message is taken by the coroutine.
    fn result(&self, py: Python<'_>) -> PyResult<()> {
        if self.stage.get() == Stage::Cancelled { Err(cancelled(py, self.message.get(py))?) } else { Ok(()) }
    }

    /// Give up the wait: whether there was one.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let this = slf.get();
        if this.stage.get() != Stage::Waits {
            return Ok(false);
        }
        this.stage.set(Stage::Cancelled);
        drop(this.message.replace(slf.py(), msg.map(Bound::unbind)));
        this.lane.get().forget(slf);
        Self::call_back(slf.clone(), Wake::Soon)?;
        Ok(true)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.lane)?;
        self.callback.traverse(visit)?;
        self.context.traverse(visit)?;
        self.message.traverse(visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        for slot in [&self.callback, &self.context, &self.message] {
            drop(slot.replace(py, None));
        }
    }
}

impl Receive {
    /// One that nobody has awaited: that of the last message, if nobody has it any more.
    ///
    /// # Errors
    /// Python has no memory.
    pub fn begin<'py>(lane: &Bound<'py, Lane>, iterates: bool) -> PyResult<Bound<'py, Self>> {
        let py = lane.py();
        if let Some(spare) = lane.get().spare.get(py)
            && let Ok(spare) = spare.cast_into::<Self>()
            // SAFETY: the object is alive; the lane has it, and we.
            && unsafe { ffi::Py_REFCNT(spare.as_ptr()) } == 2
            && spare.get().stage.get() == Stage::Over
        {
            spare.get().stage.set(Stage::New);
            spare.get().iterates.set(iterates);
            return Ok(spare);
        }
        let receive = Self {
            lane: lane.clone().unbind(),
            stage: Cell::new(Stage::New),
            iterates: Cell::new(iterates),
            is_blocking: Cell::new(false),
            callback: Slot::new(None),
            context: Slot::new(None),
            message: Slot::new(None),
        };
        let receive = make(py, receive)?;
        lane.get().spare.set(receive.clone().into_any());
        Ok(receive)
    }

    /// Have a task of ours called, without the protocol that futures of others need.
    pub fn hand_to(&self, task: Bound<'_, PyAny>, context: Bound<'_, PyAny>) {
        self.is_blocking.set(false);
        self.callback.set(task);
        self.context.set(context);
    }

    /// The loop of the tasks that may wait for it.
    pub fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.lane.get().event_loop.bind(py)
    }

    /// End the wait, and call the task back.
    ///
    /// # Errors
    /// What the task does not keep to itself.
    pub fn wake(slf: Bound<'_, Self>, wake: Wake) -> PyResult<()> {
        if slf.get().stage.get() != Stage::Waits {
            return Ok(());
        }
        slf.get().stage.set(Stage::Woken);
        Self::call_back(slf, wake)
    }

    fn call_back(slf: Bound<'_, Self>, wake: Wake) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let Some(callback) = this.callback.replace(py, None) else { return Ok(()) };
        let context = this.context.replace(py, None);
        let callback = callback.into_bound(py);
        let context = context.unwrap_or_else(|| py.None()).into_bound(py);
        match wake {
            Wake::Now => match callback.cast_into_exact::<NativeTask>() {
                Ok(task) => {
                    drop(context);
                    drop(slf); // the task's next `receive` may use it again
                    go_on_now(task)
                }
                Err(error) => {
                    let callback = error.into_inner();
                    in_context(&context, || call(&callback, [slf.as_any()], None))?.map(drop)
                }
            },
            Wake::Soon => {
                let names = PyDict::new(py);
                names.set_item(intern!(py, "context"), context)?;
                let event_loop = this.lane.get().event_loop.bind(py);
                event_loop.call_method(intern!(py, "call_soon"), (callback, &slf), Some(&names)).map(drop)
            }
        }
    }
}

/// What somebody has thrown, in either of the two ways there are.
pub fn thrown(kind: Bound<'_, PyAny>, value: Option<Bound<'_, PyAny>>) -> PyErr {
    match value {
        Some(value) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => {
            PyErr::from_value(value)
        }
        Some(value) if !value.is_none() => match kind.call1((value,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        },
        _ => PyErr::from_value(kind),
    }
}

fn cancelled(py: Python<'_>, message: Option<Bound<'_, PyAny>>) -> PyResult<PyErr> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.import(py, "asyncio", "CancelledError")?;
    let error = match message {
        None => class.call0()?,
        Some(message) => class.call1((message,))?,
    };
    Ok(PyErr::from_value(error))
}

fn second_reader(py: Python<'_>) -> PyErr {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let message = "another task waits for a message of this WebSocket: one at a time";
    let error =
        CLASS.import(py, "rocket_sup.errors", "LocalProtocolError").and_then(|class| class.call1((message,)));
    error.map_or_else(|error| error, PyErr::from_value)
}
