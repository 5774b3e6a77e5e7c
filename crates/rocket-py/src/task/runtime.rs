//! What the tasks of one loop share: what of asyncio they call, looked up once, and who is told of their ends.

use super::object::NativeTask;
use super::turns::Turns;
use super::{FirstStep, Sink, start};
use crate::spare::Spare;
use crate::unlimited::{call, call_method, copy_context, copy_current_context};
use pyo3::ffi::c_str;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use std::cell::Cell;

/// What needs the words `await` and `yield`.
const HELPERS: &std::ffi::CStr = c_str!(
    "
async def awaited(awaitable):
    return await awaitable


def wait(task):
    if not task.done():
        task._asyncio_future_blocking = True
        yield task
    if not task.done():
        raise RuntimeError(\"await wasn't used with future\")
    return task.result()
"
);

/// What the tasks of one loop share.
#[pyclass(frozen, module = "rocket_sup.engine._native")]
pub struct TaskRuntime {
    pub(super) event_loop: Py<PyAny>,
    pub(super) call_soon: Py<PyAny>,
    pub(super) current: Current,
    pub(super) register: Py<PyAny>,
    pub(super) task_class: Py<PyAny>,
    pub(super) coroutine_class: Py<PyAny>,
    pub(super) cancelled_error: Py<PyType>,
    pub(super) invalid_state_error: Py<PyType>,
    pub(super) base_tasks: Py<PyModule>,
    count_weak: Py<PyAny>,
    pub(super) is_coroutine: Py<PyAny>,
    pub(super) awaited: Py<PyAny>,
    pub(super) wait: Py<PyAny>,
    /// `("context",)` and `("msg",)`, names of arguments.
    pub(super) context_name: Py<PyTuple>,
    pub(super) message_name: Py<PyTuple>,
    /// Every handler gets a copy of this, so that no context variable of one request is seen by another.
    context: Py<PyAny>,
    pub(super) sink: Box<dyn Sink>,
    /// Tasks that nobody knows, for the next coroutines.
    spare: Spare<NativeTask>,
    /// How many tasks were asked for a name that they had not been given.
    named: Cell<u64>,
    /// Of tasks that yielded to others.
    pub turns: Turns,
}

// SAFETY: whoever looks at `named` holds the GIL, and nothing runs between a read and the write that follows.
unsafe impl Sync for TaskRuntime {}

impl TaskRuntime {
    /// Look up everything for a loop.
    ///
    /// # Errors
    /// `AttributeError`: this asyncio has not what a task needs.
    pub fn new(event_loop: &Bound<'_, PyAny>, sink: Box<dyn Sink>) -> PyResult<Self> {
        let py = event_loop.py();
        let asyncio = py.import("asyncio")?;
        let tasks = py.import("asyncio.tasks")?;
        let helpers = PyModule::from_code(py, HELPERS, c"rocket_sup/engine/_native", c"_native_tasks")?;
        Ok(Self {
            event_loop: event_loop.clone().unbind(),
            call_soon: event_loop.getattr("call_soon")?.unbind(),
            current: Current::find(&tasks)?,
            register: tasks.getattr("_register_task")?.unbind(),
            task_class: asyncio.getattr("Task")?.unbind(),
            coroutine_class: py.import("types")?.getattr("CoroutineType")?.unbind(),
            cancelled_error: asyncio.getattr("CancelledError")?.cast_into::<PyType>()?.unbind(),
            invalid_state_error: asyncio.getattr("InvalidStateError")?.cast_into::<PyType>()?.unbind(),
            base_tasks: py.import("asyncio.base_tasks")?.unbind(),
            count_weak: py.import("weakref")?.getattr("getweakrefcount")?.unbind(),
            is_coroutine: asyncio.getattr("iscoroutine")?.unbind(),
            awaited: helpers.getattr("awaited")?.unbind(),
            wait: helpers.getattr("wait")?.unbind(),
            context_name: PyTuple::new(py, ["context"])?.unbind(),
            message_name: PyTuple::new(py, ["msg"])?.unbind(),
            context: copy_current_context(py)?.unbind(),
            sink,
            spare: Spare::new(),
            named: Cell::new(0),
            turns: Turns::default(),
        })
    }

    /// A context for one request: a copy of the one in which the runtime was made.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn new_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        copy_context(self.context.bind(py))
    }

    /// A task of the loop is taking a step, whosever it is.
    pub fn is_task_running(&self, py: Python<'_>) -> bool {
        self.current.is_there(self.event_loop.bind(py))
    }

    /// Have the loop call something soon, in a context.
    pub(super) fn call_soon<'py, const N: usize>(
        &self,
        arguments: [&Bound<'py, PyAny>; N],
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = arguments[0].py();
        call(self.call_soon.bind(py), arguments, Some(self.context_name.bind(py)))
    }

    /// Ask a future to be cancelled.
    pub(super) fn cancel_future<'py>(
        &self,
        future: &Bound<'py, PyAny>,
        message: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<bool> {
        let py = future.py();
        let none = py.None().into_bound(py);
        let arguments = [future, message.unwrap_or(&none)];
        call_method(intern!(py, "cancel"), arguments, Some(self.message_name.bind(py)))?.is_truthy()
    }

    /// Whatever may be awaited, as a coroutine.
    pub(super) fn as_coroutine<'py>(&self, awaitable: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = awaitable.py();
        if awaitable.get_type().as_ptr() == self.coroutine_class.as_ptr()
            || call(self.is_coroutine.bind(py), [&awaitable], None)?.is_truthy()?
        {
            return Ok(awaitable);
        }
        call(self.awaited.bind(py), [&awaitable], None)
    }

    /// A task that nobody knows, for the next coroutine.
    pub(super) fn take_spare<'py>(&self, py: Python<'py>) -> Option<Bound<'py, NativeTask>> {
        self.spare.take_if(py, |task| self.is_unknown(task))
    }

    /// Keep a task that nobody knows for the next coroutine. May run any Python code.
    pub(super) fn recycle(&self, task: Bound<'_, NativeTask>) {
        task.get().forget(task.py());
        self.spare.keep(task);
    }

    /// Whether nobody but the caller knows a task, or may ever ask for it. asyncio has a weak reference to one
    /// that is registered; it stays so, for that costs more than all the rest of a turn.
    pub(super) fn is_unknown(&self, task: &Bound<'_, NativeTask>) -> bool {
        if task.get().has_callbacks() {
            return false;
        }
        if !task.get().is_registered.get() {
            return self.spare.is_alone(task);
        }
        let count = || call(self.count_weak.bind(task.py()), [task.as_any()], None)?.extract::<usize>();
        self.spare.is_held_once(task) && count().is_ok_and(|count| count == 1)
    }

    /// A number for the name of a task, never given twice.
    pub(super) fn next_number(&self) -> u64 {
        self.named.set(self.named.get() + 1);
        self.named.get()
    }
}

/// How asyncio is told which task runs.
pub(super) enum Current {
    /// A dictionary from loops to tasks, which asyncio's own functions look at (3.11 to 3.13).
    Table(Py<PyDict>),
    /// `_swap_current_task` (3.12 on). It costs 10 ns more, twice per request.
    Swap(Py<PyAny>),
}

impl Current {
    /// Find out what this asyncio looks at, by trying.
    fn find(tasks: &Bound<'_, PyModule>) -> PyResult<Self> {
        let py = tasks.py();
        if let Ok(table) = tasks.getattr("_current_tasks")
            && let Ok(table) = table.cast_into::<PyDict>()
        {
            let (no_loop, no_task) = (PyTuple::new(py, [1, 2])?, PyTuple::new(py, [3, 4])?);
            table.set_item(&no_loop, &no_task)?;
            let found = tasks.getattr("current_task")?.call1((&no_loop,));
            table.del_item(&no_loop)?;
            if found.is_ok_and(|found| found.is(&no_task)) {
                return Ok(Self::Table(table.unbind()));
            }
        }
        Ok(Self::Swap(tasks.getattr("_swap_current_task")?.unbind()))
    }

    /// Make a task the current one; the one before is returned.
    pub(super) fn enter<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        task: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Table(table) => {
                let table = table.bind(task.py());
                let previous = if table.is_empty() { None } else { table.get_item(event_loop)? };
                table.set_item(event_loop, task)?;
                Ok(previous)
            }
            Self::Swap(swap) => {
                let previous = call(swap.bind(task.py()), [event_loop, task], None)?;
                Ok(if previous.is_none() { None } else { Some(previous) })
            }
        }
    }

    /// Whether there is one.
    fn is_there(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        let py = event_loop.py();
        match self {
            Self::Table(table) => {
                let table = table.bind(py);
                !table.is_empty() && table.contains(event_loop).unwrap_or(true)
            }
            Self::Swap(swap) => {
                let none = py.None().into_bound(py);
                let Ok(current) = call(swap.bind(py), [event_loop, &none], None) else { return true };
                if current.is_none() {
                    return false;
                }
                self.leave(event_loop, Some(current));
                true
            }
        }
    }

    /// Make the one before current again.
    pub(super) fn leave<'py>(&self, event_loop: &Bound<'py, PyAny>, previous: Option<Bound<'py, PyAny>>) {
        let py = event_loop.py();
        let left = match (self, previous) {
            (Self::Table(table), None) => table.bind(py).del_item(event_loop),
            (Self::Table(table), Some(previous)) => table.bind(py).set_item(event_loop, previous),
            (Self::Swap(swap), previous) => {
                let previous = previous.unwrap_or_else(|| py.None().into_bound(py));
                call(swap.bind(py), [event_loop, &previous], None).map(drop)
            }
        };
        if let Err(error) = left {
            error.write_unraisable(py, Some(event_loop)); // the coroutine has meddled with it
        }
    }
}

/// A sink in Python: `on_ended(token, value, exception)`.
struct PythonSink(Py<PyAny>);

impl Sink for PythonSink {
    fn ended<'py>(&self, py: Python<'py>, token: u64, outcome: PyResult<Bound<'py, PyAny>>) {
        let told = match outcome {
            Ok(value) => self.0.call1(py, (token, value, py.None())),
            Err(error) => self.0.call1(py, (token, py.None(), error)),
        };
        if let Err(error) = told {
            error.write_unraisable(py, Some(self.0.bind(py)));
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

#[pymethods]
impl TaskRuntime {
    /// Prepare to run tasks on a loop; `on_ended(token, value, exception)` is told of every end.
    #[new]
    fn py_new(event_loop: &Bound<'_, PyAny>, on_ended: Py<PyAny>) -> PyResult<Self> {
        Self::new(event_loop, Box::new(PythonSink(on_ended)))
    }

    /// Take the first step of a coroutine, in a context of its own or the one given; return its task if it has
    /// suspended.
    #[pyo3(name = "start", signature = (coroutine, token, context=None))]
    fn py_start<'py>(
        slf: &Bound<'py, Self>,
        coroutine: Bound<'py, PyAny>,
        token: u64,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Py<NativeTask>>> {
        let (py, this) = (slf.py(), slf.get());
        let context = context.map_or_else(|| this.new_context(py), Ok)?;
        match start(slf, coroutine, context, token) {
            FirstStep::Returned(value) => this.sink.ended(py, token, Ok(value.into_bound(py))),
            FirstStep::Raised(error) => this.sink.ended(py, token, Err(error)),
            FirstStep::Suspended(task) => return Ok(Some(task)),
        }
        Ok(None)
    }

    /// See `Turns::keep`.
    fn keep_turns(&self, is_kept: bool) {
        self.turns.keep(is_kept);
    }

    /// See `Turns::has_some`.
    fn has_turns(&self) -> bool {
        self.turns.has_some()
    }

    /// See `Turns::give`.
    fn give_turns(&self, py: Python<'_>) -> PyResult<()> {
        self.turns.give(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.call_soon)?;
        self.spare.traverse(&visit)?;
        self.turns.traverse(&visit)?;
        self.sink.traverse(&visit)
    }

    fn __clear__(&self) {
        drop(self.spare.empty());
        drop(self.turns.empty());
    }
}
