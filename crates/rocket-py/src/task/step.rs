//! How a task gets on: one step of its coroutine, and what is done with what it came to.
//!
//! A step runs Python code, which may do anything: cancel the task, forget it, start another one within. So
//! nothing of a task is held across a step but references.

use super::FirstStep;
use super::object::{NativeTask, Phase};
use super::runtime::TaskRuntime;
use crate::unlimited::{call, call_method, in_context};
use crate::websocket::Receive;
use pyo3::exceptions::{PyAttributeError, PyKeyboardInterrupt, PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

/// What a coroutine returned or raised.
type Outcome<'py> = PyResult<Bound<'py, PyAny>>;

/// What one step came to.
enum Came<'py> {
    /// The coroutine has ended.
    Ended(Outcome<'py>),
    /// It waits for this.
    Waits(Bound<'py, PyAny>),
}

/// Begin to run a coroutine as a task: take its first step at once, in a context of its own.
///
/// To be called in the loop's thread while the loop runs; another task may be current. The coroutine may be
/// anything else that can be awaited; nobody else may have entered the context. The token is for the sink.
pub fn start<'py>(
    runtime: &Bound<'py, TaskRuntime>,
    coroutine: Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
    token: u64,
) -> FirstStep {
    match try_start(runtime, coroutine, context, token) {
        Ok(step) => step,
        Err(error) => FirstStep::Raised(error),
    }
}

fn try_start<'py>(
    runtime: &Bound<'py, TaskRuntime>,
    awaitable: Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
    token: u64,
) -> PyResult<FirstStep> {
    let shared = runtime.get();
    let coroutine = shared.as_coroutine(awaitable)?;
    let task = NativeTask::begin(runtime, coroutine.clone(), context.clone(), token)?;
    let event_loop = shared.event_loop.bind(runtime.py());
    let previous = shared.current.enter(event_loop, task.as_any())?;
    let came = in_context(&context, || resume(&coroutine));
    shared.current.leave(event_loop, previous);
    let outcome = match came? {
        Came::Ended(outcome) => outcome,
        Came::Waits(awaited) => match suspend(&task, &awaited) {
            Ok(()) => return Ok(FirstStep::Suspended(task.unbind())),
            Err(error) => Err(error),
        },
    };
    if shared.is_unknown(&task) {
        shared.recycle(task);
    } else {
        finish(&task, &outcome);
    }
    Ok(match outcome {
        Ok(value) => FirstStep::Returned(value.unbind()),
        Err(error) => FirstStep::Raised(error),
    })
}

/// Take a further step; the task's context is entered.
///
/// # Errors
/// `KeyboardInterrupt`, which is for the loop too.
pub(super) fn go_on(task: &Bound<'_, NativeTask>, error: Option<PyErr>) -> PyResult<()> {
    let outcome = match try_step(task, error) {
        Ok(Came::Ended(outcome)) => outcome,
        Ok(Came::Waits(awaited)) => match suspend(task, &awaited) {
            Ok(()) => return Ok(()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let interrupt = match &outcome {
        Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(task.py()) => {
            Err(error.clone_ref(task.py()))
        }
        _ => Ok(()),
    };
    end(task, outcome);
    interrupt
}

/// Tell everybody how a task ended that had suspended.
fn end(task: &Bound<'_, NativeTask>, outcome: Outcome<'_>) {
    finish(task, &outcome);
    let this = task.get();
    this.runtime.get().sink.ended(task.py(), this.token.get(), outcome);
}

/// Take a further step because it is the task's turn; recycle the task if it has ended.
///
/// # Errors
/// `KeyboardInterrupt`.
pub fn take_turn(task: Bound<'_, NativeTask>) -> PyResult<()> {
    let (py, this) = (task.py(), task.get());
    if this.phase.get() != Phase::Suspended {
        return Ok(());
    }
    let Some(context) = this.context.get(py) else { return Ok(()) };
    let error = this.take_thrown(py);
    let gone_on = in_context(&context, || go_on(&task, error)).unwrap_or_else(|error| {
        end(&task, Err(error));
        Ok(())
    });
    drop(context);
    if this.is_done() && this.runtime.get().is_unknown(&task) {
        let runtime = this.runtime.clone_ref(py);
        runtime.get().recycle(task);
    }
    gone_on
}

fn try_step<'py>(task: &Bound<'py, NativeTask>, error: Option<PyErr>) -> PyResult<Came<'py>> {
    let (py, this) = (task.py(), task.get());
    let shared = this.runtime.get();
    let coroutine = this.coroutine.get(py).ok_or_else(collected)?;
    this.phase.set(Phase::Running);
    drop(this.waiter.replace(py, None));
    let error = interruption(task, error)?;
    let event_loop = shared.event_loop.bind(py);
    let previous = shared.current.enter(event_loop, task.as_any())?;
    let came = match error {
        None => resume(&coroutine),
        Some(error) => throw(&coroutine, error),
    };
    shared.current.leave(event_loop, previous);
    Ok(came)
}

/// The collector has emptied a task that something still calls; no reference that it counted leads there.
fn collected() -> PyErr {
    PyRuntimeError::new_err("the task was collected as garbage")
}

/// What to throw: a cancellation that could not be given to a future comes before anything else.
fn interruption(task: &Bound<'_, NativeTask>, error: Option<PyErr>) -> PyResult<Option<PyErr>> {
    let (py, this) = (task.py(), task.get());
    if !this.must_cancel.replace(false) {
        return Ok(error);
    }
    match error {
        Some(error) if error.is_instance(py, this.runtime.get().cancelled_error.bind(py)) => Ok(Some(error)),
        _ => this.cancelled_error(py).map(|error| Some(PyErr::from_value(error))),
    }
}

/// Let a coroutine run until it waits or ends.
fn resume<'py>(coroutine: &Bound<'py, PyAny>) -> Came<'py> {
    let py = coroutine.py();
    let mut came = std::ptr::null_mut();
    // SAFETY: this thread is attached and both objects are alive; what came is owned, or null with an exception.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut came) {
            ffi::PySendResult::PYGEN_RETURN => Came::Ended(Ok(Bound::from_owned_ptr(py, came))),
            ffi::PySendResult::PYGEN_NEXT => Came::Waits(Bound::from_owned_ptr(py, came)),
            ffi::PySendResult::PYGEN_ERROR => Came::Ended(Err(PyErr::fetch(py))),
        }
    }
}

/// Raise an exception where a coroutine waits.
fn throw<'py>(coroutine: &Bound<'py, PyAny>, error: PyErr) -> Came<'py> {
    let py = coroutine.py();
    match call_method(intern!(py, "throw"), [coroutine, error.value(py).as_any()], None) {
        Ok(awaited) => Came::Waits(awaited),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            Came::Ended(error.value(py).getattr(intern!(py, "value")))
        }
        Err(error) => Came::Ended(Err(error)),
    }
}

/// Remember how the coroutine ended, and have the callbacks called.
fn finish(task: &Bound<'_, NativeTask>, outcome: &Outcome<'_>) {
    let (py, this) = (task.py(), task.get());
    let is_cancelled = match outcome {
        Ok(value) => {
            this.outcome.set(value.clone());
            this.must_cancel.get()
        }
        Err(error) => {
            this.outcome.set(error.value(py).clone().into_any());
            this.is_raised.set(true);
            error.is_instance(py, this.runtime.get().cancelled_error.bind(py))
        }
    };
    this.must_cancel.set(false);
    this.phase.set(if is_cancelled { Phase::Cancelled } else { Phase::Finished });
    if let Err(error) = NativeTask::tell_callbacks(task) {
        error.write_unraisable(py, Some(task)); // the loop is closed
    }
}

/// Wait for what the coroutine yielded. What nobody can wait for is an error in the coroutine, at its next step.
///
/// # Errors
/// The loop is closed.
fn suspend(task: &Bound<'_, NativeTask>, awaited: &Bound<'_, PyAny>) -> PyResult<()> {
    let (py, this) = (task.py(), task.get());
    this.phase.set(Phase::Suspended);
    if !this.is_registered.replace(true) {
        call(this.runtime.get().register.bind(py), [task.as_any()], None)?;
    }
    if awaited.is_none() {
        return call_again(task);
    }
    if let Err(error) = wait_for(task, awaited) {
        this.thrown.set(error.into_value(py).into_bound(py).into_any());
        return call_again(task);
    }
    if this.must_cancel.get() {
        let message = this.cancel_message.get(py);
        if this.runtime.get().cancel_future(awaited, message.as_ref())? {
            this.must_cancel.set(false);
        }
    }
    Ok(())
}

/// Have the task go on in its next turn.
fn call_again(task: &Bound<'_, NativeTask>) -> PyResult<()> {
    if task.get().runtime.get().turns.wait(task) {
        return Ok(());
    }
    let context = task.get().context.get(task.py()).ok_or_else(collected)?;
    task.get().runtime.get().call_soon([task.as_any(), &context]).map(drop)
}

/// Have a future call the task when it is done.
fn wait_for(task: &Bound<'_, NativeTask>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let (py, this) = (task.py(), task.get());
    let shared = this.runtime.get();
    if let Ok(receive) = future.cast_exact::<Receive>()
        && receive.get().event_loop(py).is(&shared.event_loop)
    {
        let context = this.context.get(py).ok_or_else(collected)?;
        receive.get().hand_to(task.clone().into_any(), context);
        this.waiter.set(future.clone());
        return Ok(());
    }
    let name = intern!(py, "_asyncio_future_blocking");
    let is_blocking = match future.getattr(name) {
        Ok(is_blocking) if !is_blocking.is_none() => is_blocking.is_truthy()?,
        Err(error) if !error.is_instance_of::<PyAttributeError>(py) => return Err(error),
        _ => return Err(bad_yield(task, future)?),
    };
    let complaint = if !call_method(intern!(py, "get_loop"), [future], None)?.is(&shared.event_loop) {
        format!("Task {} got Future {} attached to a different loop", task.repr()?, future.repr()?)
    } else if !is_blocking {
        format!("yield was used instead of yield from in task {} with {}", task.repr()?, future.repr()?)
    } else if future.is(task) {
        format!("Task cannot await on itself: {}", task.repr()?)
    } else {
        future.setattr(name, false)?;
        let context = this.context.get(py).ok_or_else(collected)?;
        let arguments = [future, task.as_any(), &context];
        call_method(intern!(py, "add_done_callback"), arguments, Some(shared.context_name.bind(py)))?;
        this.waiter.set(future.clone());
        return Ok(());
    };
    Err(PyRuntimeError::new_err(complaint))
}

/// What to say of something yielded that is not a future.
fn bad_yield(task: &Bound<'_, NativeTask>, yielded: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let what = yielded.repr()?;
    Ok(PyRuntimeError::new_err(if yielded.get_type().name()? == "generator" {
        format!("yield was used instead of yield from for generator in task {} with {what}", task.repr()?)
    } else {
        format!("Task got bad yield: {what}")
    }))
}
