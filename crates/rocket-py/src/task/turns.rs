//! Whose turn comes next: tasks that let others go first, by a bare `yield` (`asyncio.sleep(0)`).
//!
//! Where the reactor is the loop's selector it gives these turns itself. It saves a handle and a turn of Python's
//! loop, together more than a microsecond.
//!
//! The order is asyncio's: first goes whatever was ready before. For a task that gives way inside `select` that
//! is what the loop holds ready: it runs when `select` returns. So the task may go on at the beginning of the
//! next `select`, or of a further round inside, which there is only while the loop holds nothing ready. For a
//! task that gives way in a callback of the loop, other callbacks may be in between, of which the reactor knows
//! nothing: it asks the loop for its turn. So it does on a loop that is not ours.

use std::cell::{Cell, UnsafeCell};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::object::NativeTask;
use super::step;

/// Tasks that wait for nothing but their turn.
#[derive(Default)]
pub struct Turns {
    is_kept: Cell<bool>,
    tasks: UnsafeCell<Vec<Py<NativeTask>>>,
}

// SAFETY: whoever looks inside holds the GIL, and nothing else runs before it has looked away: tasks go in and
// come out whole, and none is dropped in here.
unsafe impl Sync for Turns {}

impl Turns {
    /// From now on turns are asked for here, or at the loop: true inside `select`.
    pub fn keep(&self, is_kept: bool) {
        self.is_kept.set(is_kept);
    }

    /// Wait for a turn; false when the loop has to be asked.
    pub(super) fn wait(&self, task: &Bound<'_, NativeTask>) -> bool {
        if self.is_kept.get() {
            // SAFETY: as said at `Sync`.
            unsafe { &mut *self.tasks.get() }.push(task.clone().unbind());
        }
        self.is_kept.get()
    }

    /// Somebody waits.
    pub fn has_some(&self) -> bool {
        // SAFETY: as said at `Sync`.
        !unsafe { &*self.tasks.get() }.is_empty()
    }

    /// Give those a turn that wait now; who asks again meanwhile waits for the next time.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, which is for the loop; those not served yet keep their turn.
    pub fn give(&self, py: Python<'_>) -> PyResult<()> {
        let mut tasks = self.empty().into_iter();
        while let Some(task) = tasks.next() {
            if let Err(interrupt) = step::take_turn(task.into_bound(py)) {
                // SAFETY: as said at `Sync`.
                unsafe { &mut *self.tasks.get() }.splice(..0, tasks);
                return Err(interrupt);
            }
        }
        Ok(())
    }

    /// Give all of them up; whoever drops them may run any Python code.
    pub(super) fn empty(&self) -> Vec<Py<NativeTask>> {
        // SAFETY: as said at `Sync`.
        std::mem::take(unsafe { &mut *self.tasks.get() })
    }

    /// Show them to the garbage collector.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: as said at `Sync`; the collector holds the GIL and only counts.
        unsafe { &*self.tasks.get() }.iter().try_for_each(|task| visit.call(task))
    }
}
