//! Whose turn comes next: tasks that let others go first, by a bare `yield` (`asyncio.sleep(0)`).
//!
//! Where the reactor is the loop's selector it gives these turns itself, once per batch and after whatever the
//! loop had ready, which is the order asyncio would give them. It saves a handle and a turn of Python's loop,
//! together more than a microsecond. On a loop that is not ours `call_soon` does it.

use std::cell::{Cell, RefCell};

use pyo3::prelude::*;

use super::object::NativeTask;
use crate::unlimited::in_context;

/// Tasks that wait for nothing but their turn.
#[derive(Default)]
pub struct Turns {
    is_kept: Cell<bool>,
    tasks: RefCell<Vec<Py<NativeTask>>>,
}

impl Turns {
    /// From now on turns are asked for here.
    pub fn keep(&self) {
        self.is_kept.set(true);
    }

    /// Wait for a turn; false when the loop has to be asked.
    pub fn wait(&self, task: &Bound<'_, NativeTask>) -> bool {
        if self.is_kept.get() {
            self.tasks.borrow_mut().push(task.clone().unbind());
        }
        self.is_kept.get()
    }

    /// Somebody waits.
    pub fn has_some(&self) -> bool {
        !self.tasks.borrow().is_empty()
    }

    /// Give those a turn that wait now; who asks again meanwhile waits for the next time.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, which is for the loop; those not served yet keep their turn.
    pub fn give(&self, py: Python<'_>) -> PyResult<()> {
        let mut tasks = std::mem::take(&mut *self.tasks.borrow_mut()).into_iter();
        while let Some(task) = tasks.next() {
            let task = task.into_bound(py);
            let Some(context) = task.get().context(py) else { continue };
            let came = in_context(&context, || NativeTask::take_turn(&task));
            if let Err(error) = came.and_then(|came| came) {
                self.tasks.borrow_mut().extend(tasks);
                return Err(error);
            }
        }
        Ok(())
    }
}
