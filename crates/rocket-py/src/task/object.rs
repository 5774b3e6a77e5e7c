//! The task as Python sees it: the methods of `asyncio.Task`, and the details of it that others rely on.

use super::runtime::TaskRuntime;
use super::step;
use crate::slot::Slot;
use crate::spare::make;
use crate::unlimited::{call_method, copy_current_context};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use std::cell::Cell;

/// What a task is at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its coroutine takes a step.
    Running,
    /// It waits for a future or for its turn.
    Suspended,
    /// Its coroutine has returned or raised.
    Finished,
    /// Its coroutine was cancelled.
    Cancelled,
}

/// Called when a task is done, each in its context.
type Callbacks = Vec<(Py<PyAny>, Py<PyAny>)>;

/// A task of `asyncio`, but not one of its classes.
#[pyclass(frozen, weakref, dict, module = "rocket_sup.engine._native")]
pub struct NativeTask {
    pub(super) runtime: Py<TaskRuntime>,
    pub(super) token: Cell<u64>,
    pub(super) phase: Cell<Phase>,
    pub(super) coroutine: Slot,
    pub(super) context: Slot,
    /// The future that it waits for.
    pub(super) waiter: Slot,
    /// What is to be thrown into the coroutine at its next step.
    pub(super) thrown: Slot,
    /// What it returned, or the exception that ended it, a cancellation included.
    pub(super) outcome: Slot,
    pub(super) is_raised: Cell<bool>,
    /// It is among `all_tasks()`.
    pub(super) is_registered: Cell<bool>,
    /// The next step is to be a cancellation.
    pub(super) must_cancel: Cell<bool>,
    pub(super) cancel_message: Slot,
    cancels_requested: Cell<usize>,
    /// Somebody awaits it; the protocol of futures.
    is_blocking: Cell<bool>,
    pub(super) callbacks: Cell<Callbacks>,
    name: Slot,
}

// SAFETY: whoever looks into the cells holds the GIL, and nothing runs between a read and the write that follows.
unsafe impl Sync for NativeTask {}

impl NativeTask {
    /// Make a task for a coroutine, of one that nobody knows where there is one.
    pub(super) fn begin<'py>(
        runtime: &Bound<'py, TaskRuntime>,
        coroutine: Bound<'py, PyAny>,
        context: Bound<'py, PyAny>,
        token: u64,
    ) -> PyResult<Bound<'py, Self>> {
        let (coroutine, context) = (Some(coroutine.unbind()), Some(context.unbind()));
        let py = runtime.py();
        if let Some(spare) = runtime.get().take_spare(py) {
            let this = spare.get();
            this.token.set(token);
            this.phase.set(Phase::Running);
            this.coroutine.replace(py, coroutine);
            this.context.replace(py, context);
            return Ok(spare);
        }
        let this = Self {
            runtime: runtime.clone().unbind(),
            token: Cell::new(token),
            phase: Cell::new(Phase::Running),
            coroutine: Slot::new(coroutine),
            context: Slot::new(context),
            waiter: Slot::new(None),
            thrown: Slot::new(None),
            outcome: Slot::new(None),
            is_raised: Cell::new(false),
            is_registered: Cell::new(false),
            must_cancel: Cell::new(false),
            cancel_message: Slot::new(None),
            cancels_requested: Cell::new(0),
            is_blocking: Cell::new(false),
            callbacks: Cell::new(Vec::new()),
            name: Slot::new(None),
        };
        make(py, this)
    }

    /// Forget everything that belongs to the coroutine that has ended. May run any Python code.
    pub(super) fn forget(&self, py: Python<'_>) {
        self.phase.set(Phase::Finished); // `all_tasks()` may still list it
        self.cancels_requested.set(0);
        self.must_cancel.set(false);
        self.is_blocking.set(false);
        self.is_raised.set(false);
        for slot in self.slots() {
            drop(slot.replace(py, None));
        }
    }

    fn slots(&self) -> [&Slot; 7] {
        let Self { coroutine, context, waiter, thrown, outcome, cancel_message, name, .. } = self;
        [coroutine, context, waiter, thrown, outcome, cancel_message, name]
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.phase.get(), Phase::Finished | Phase::Cancelled)
    }

    fn not_ready(&self, py: Python<'_>, what: &'static str) -> PyErr {
        PyErr::from_type(self.runtime.get().invalid_state_error.bind(py).clone(), what)
    }

    /// The cancellation to raise: the one that ended the coroutine, or a new one with the message given.
    pub(super) fn cancelled_error<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.is_raised.get()
            && self.phase.get() == Phase::Cancelled
            && let Some(error) = self.outcome.get(py)
        {
            return Ok(error);
        }
        let class = self.runtime.get().cancelled_error.bind(py);
        match self.cancel_message.get(py) {
            Some(message) => class.call1((message,)),
            None => class.call0(),
        }
    }

    /// What is to be thrown at the next step, which is now.
    pub(super) fn take_thrown(&self, py: Python<'_>) -> Option<PyErr> {
        self.thrown.replace(py, None).map(|error| PyErr::from_value(error.into_bound(py)))
    }

    pub(super) fn has_callbacks(&self) -> bool {
        // SAFETY: nothing else looks at the list before this has returned.
        !unsafe { &*self.callbacks.as_ptr() }.is_empty()
    }

    /// Give it another name for the sink; before its next step.
    pub fn set_token(&self, token: u64) {
        self.token.set(token);
    }

    /// Have the callbacks called soon; the task is done.
    pub(super) fn tell_callbacks(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        for (callback, context) in slf.get().callbacks.take() {
            slf.get().runtime.get().call_soon([callback.bind(py), slf.as_any(), context.bind(py)])?;
        }
        Ok(())
    }
}

#[pymethods]
impl NativeTask {
    /// `asyncio.Task`, so that `isinstance` says yes: asyncio, anyio and others ask.
    #[getter(__class__)]
    fn class(&self) -> &Py<PyAny> {
        &self.runtime.get().task_class
    }

    /// Go on: because the future that was waited for is done, or because it is the task's turn.
    ///
    /// The task itself is the callback, which saves a bound method for each suspension.
    #[pyo3(signature = (future=None))]
    fn __call__(slf: &Bound<'_, Self>, future: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().phase.get() != Phase::Suspended {
            return Err(slf.get().not_ready(py, "the task is not suspended"));
        }
        let error = match future {
            None => slf.get().take_thrown(py),
            Some(future) => call_method(intern!(py, "result"), [future], None).err(),
        };
        step::go_on(slf, error)
    }

    /// Have the coroutine cancelled where it waits, or as soon as it waits; false when it has ended.
    ///
    /// # Errors
    /// Those of the future that it waits for.
    #[pyo3(signature = (msg=None))]
    pub fn cancel(&self, py: Python<'_>, msg: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        if self.is_done() {
            return Ok(false);
        }
        self.cancels_requested.set(self.cancels_requested.get() + 1);
        if let Some(waiter) = self.waiter.get(py)
            && self.runtime.get().cancel_future(&waiter, msg.as_ref())?
        {
            return Ok(true); // its callback goes on, with the cancellation
        }
        self.must_cancel.set(true);
        drop(self.cancel_message.replace(py, msg.map(Bound::unbind)));
        Ok(true)
    }

    fn cancelling(&self) -> usize {
        self.cancels_requested.get()
    }

    fn uncancel(&self) -> usize {
        let left = self.cancels_requested.get().saturating_sub(1);
        self.cancels_requested.set(left);
        if left == 0 {
            self.must_cancel.set(false);
        }
        left
    }

    fn cancelled(&self) -> bool {
        self.phase.get() == Phase::Cancelled
    }

    fn done(&self) -> bool {
        self.is_done()
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.phase.get() {
            Phase::Cancelled => Err(PyErr::from_value(self.cancelled_error(py)?)),
            Phase::Finished => {
                let outcome = self.outcome.get(py).unwrap_or_else(|| py.None().into_bound(py));
                if self.is_raised.get() { Err(PyErr::from_value(outcome)) } else { Ok(outcome) }
            }
            _ => Err(self.not_ready(py, "Result is not ready.")),
        }
    }

    fn exception<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.phase.get() {
            Phase::Cancelled => Err(PyErr::from_value(self.cancelled_error(py)?)),
            Phase::Finished => Ok(if self.is_raised.get() { self.outcome.get(py) } else { None }),
            _ => Err(self.not_ready(py, "Exception is not set.")),
        }
    }

    fn set_result(&self, _result: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Task does not support set_result operation"))
    }

    fn set_exception(&self, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyRuntimeError::new_err("Task does not support set_exception operation"))
    }

    #[pyo3(signature = (callback, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        callback: Bound<'_, PyAny>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let context = context.map_or_else(|| copy_current_context(slf.py()), Ok)?;
        let this = slf.get();
        let mut callbacks = this.callbacks.take();
        callbacks.push((callback.unbind(), context.unbind()));
        this.callbacks.set(callbacks);
        if this.is_done() { Self::tell_callbacks(slf) } else { Ok(()) }
    }

    fn remove_done_callback(&self, callback: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = callback.py();
        let (mut kept, mut removed) = (Vec::new(), 0);
        for (each, context) in self.callbacks.take() {
            if each.bind(py).eq(callback)? {
                removed += 1;
            } else {
                kept.push((each, context));
            }
        }
        kept.append(&mut self.callbacks.take()); // what a comparison has added
        self.callbacks.set(kept);
        Ok(removed)
    }

    fn get_loop(&self) -> &Py<PyAny> {
        &self.runtime.get().event_loop
    }

    fn get_coro<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.coroutine.get(py)
    }

    fn get_context<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.context.get(py)
    }

    fn get_name<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.name.get(py).unwrap_or_else(|| {
            let name = PyString::new(py, &format!("Handler-{}", self.runtime.get().next_number())).into_any();
            self.name.set(name.clone());
            name
        })
    }

    fn set_name(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.name.set(value.str()?.into_any());
        Ok(())
    }

    #[pyo3(signature = (*, limit=None))]
    fn get_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().runtime.get().base_tasks.bind(slf.py()).call_method1("_task_get_stack", (slf, limit))
    }

    #[pyo3(signature = (*, limit=None, file=None))]
    fn print_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<Bound<'py, PyAny>>,
        file: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let base_tasks = slf.get().runtime.get().base_tasks.bind(slf.py());
        base_tasks.call_method1("_task_print_stack", (slf, limit, file))
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().runtime.get().wait.bind(slf.py()).call1((slf,))
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::__await__(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let info =
            slf.get().runtime.get().base_tasks.bind(slf.py()).call_method1("_task_repr_info", (slf,))?;
        Ok(format!("<Task {}>", info.extract::<Vec<String>>()?.join(" ")))
    }

    #[getter(_asyncio_future_blocking)]
    fn is_blocking(&self) -> bool {
        self.is_blocking.get()
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, value: bool) {
        self.is_blocking.set(value);
    }

    fn _make_cancelled_error<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.cancelled_error(py)
    }

    /// Whoever waits for it is told by the sink: no exception is ever lost.
    #[getter(_log_traceback)]
    fn logs_traceback(&self) -> bool {
        false
    }

    #[setter(_log_traceback)]
    fn set_logs_traceback(&self, value: bool) -> PyResult<()> {
        if value { Err(PyValueError::new_err("_log_traceback can only be set to False")) } else { Ok(()) }
    }

    #[getter]
    fn _state(&self) -> &'static str {
        match self.phase.get() {
            Phase::Running | Phase::Suspended => "PENDING",
            Phase::Finished => "FINISHED",
            Phase::Cancelled => "CANCELLED",
        }
    }

    #[getter]
    fn _result<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if !self.is_raised.get() && self.phase.get() == Phase::Finished { self.outcome.get(py) } else { None }
    }

    #[getter]
    fn _exception<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if self.is_raised.get() && self.phase.get() == Phase::Finished { self.outcome.get(py) } else { None }
    }

    #[getter]
    fn _callbacks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        if !self.has_callbacks() {
            return Ok(None);
        }
        // SAFETY: the list is copied, running no Python code, before anything is made of it.
        let callbacks = unsafe { &*self.callbacks.as_ptr() }.iter();
        let pairs: Vec<_> =
            callbacks.map(|(each, context)| (each.clone_ref(py), context.clone_ref(py))).collect();
        PyList::new(py, pairs).map(Some)
    }

    #[getter]
    fn _loop(&self) -> &Py<PyAny> {
        self.get_loop()
    }

    #[getter]
    fn _coro<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.get_coro(py)
    }

    #[getter]
    fn _fut_waiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.waiter.get(py)
    }

    #[getter]
    fn _must_cancel(&self) -> bool {
        self.must_cancel.get()
    }

    #[getter]
    fn _cancel_message<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.cancel_message.get(py)
    }

    #[getter]
    fn _source_traceback(&self) -> Option<Py<PyTuple>> {
        None
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.runtime)?;
        // SAFETY: the collector runs while nothing else does.
        for (callback, context) in unsafe { &*self.callbacks.as_ptr() } {
            visit.call(callback)?;
            visit.call(context)?;
        }
        self.slots().iter().try_for_each(|slot| slot.traverse(visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.callbacks.take());
        for slot in self.slots() {
            drop(slot.replace(py, None));
        }
    }
}
