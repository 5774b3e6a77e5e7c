//! A task for the coroutines of handlers: an `asyncio.Task` to whoever asks, at a fraction of its price.
//!
//! Most coroutines of handlers never suspend. Theirs is a task all the same, and it is the current one from
//! the first step on: timeouts, task groups and anyio's scopes are bound to the task that they find, and one
//! that appeared only later would not be theirs. But the first step is taken at once, without a turn of the
//! loop, and a coroutine that returns in it has touched neither the loop nor `all_tasks()`; its task is used
//! again for the next one unless somebody holds it.
//!
//! A coroutine that suspends goes on as in asyncio: its future calls the task back, in its context. The rules
//! are those of CPython's `Task` (`Modules/_asynciomodule.c`), of 3.13 where versions differ. What asyncio
//! does not document but anyio and `asyncio.base_tasks` read is there too: `_fut_waiter`, `_must_cancel`,
//! `_callbacks`, `_coro`.
//!
//! `object` is the Python object, `runtime` what all tasks of a loop share, `step` how one gets on, `turns` who
//! goes on next without having waited for anything.

mod object;
mod runtime;
mod step;
mod turns;

pub use object::NativeTask;
pub use runtime::TaskRuntime;
pub use step::{start, take_turn as go_on_now};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// What a coroutine came to at its first step.
pub enum FirstStep {
    /// It has ended, with this value. The sink is not told.
    Returned(Py<PyAny>),
    /// It has ended, with this exception. The sink is not told.
    Raised(PyErr),
    /// It waits. When it ends the sink is told, exactly once, unless it is collected as garbage.
    Suspended(Py<NativeTask>),
}

/// Is told when a task ends that had suspended.
pub trait Sink: Send + Sync {
    /// Take what a coroutine returned or raised.
    ///
    /// Its context is entered, its task is current no more. A coroutine that returned although its task was to
    /// be cancelled has returned; only its task counts as cancelled.
    fn ended<'py>(&self, py: Python<'py>, token: u64, outcome: PyResult<Bound<'py, PyAny>>);

    /// Show the garbage collector which objects are held.
    ///
    /// # Errors
    /// Those of `visit`.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}
