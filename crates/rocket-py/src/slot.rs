//! A place for one Python object inside a class of ours.

use std::cell::UnsafeCell;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// A reference that may be missing, and may be replaced from any thread: the GIL is its lock. An atomic one
/// would cost 10 ns for each look.
pub struct Slot(UnsafeCell<Option<Py<PyAny>>>);

// SAFETY: whoever looks into a slot holds the GIL and is done before any other code can run: references go
// in and come out whole, and none to the inside is given away.
unsafe impl Sync for Slot {}

impl Slot {
    /// With a value, or without.
    pub const fn new(value: Option<Py<PyAny>>) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// What is there.
    pub fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        // SAFETY: as said at `Sync`; counting a reference runs no other code.
        unsafe { (*self.0.get()).as_ref() }.map(|value| value.bind(py).clone())
    }

    /// Put a value in; the old one comes out, as dropping it may run any Python code.
    pub fn replace(&self, _py: Python<'_>, value: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        // SAFETY: as said at `Sync`; nothing is dropped in here.
        unsafe { self.0.get().replace(value) }
    }

    /// Drop the value, if there is one.
    pub fn empty(&self, py: Python<'_>) {
        // SAFETY: as said at `Sync`; what is there is dropped outside.
        if unsafe { (*self.0.get()).is_some() } {
            drop(self.replace(py, None));
        }
    }

    /// Put a value in, and drop the old one.
    pub fn set(&self, value: Bound<'_, PyAny>) {
        let py = value.py();
        drop(self.replace(py, Some(value.unbind())));
    }

    /// What is there, or what is made now and stays there.
    ///
    /// # Errors
    /// Whatever `make` raised; the slot stays as it is.
    pub fn get_or_make<'py>(
        &self,
        py: Python<'py>,
        make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(value) = self.get(py) {
            return Ok(value);
        }
        let value = make()?;
        self.set(value.clone());
        Ok(value)
    }

    /// Show the value to the garbage collector.
    pub fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: as said at `Sync`; the collector holds the GIL and only counts.
        visit.call(unsafe { &*self.0.get() })
    }
}
