//! The request about to be handled, left where it outlives the process.

use std::cell::RefCell;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rocket_core::scoreboard::FlightBox;

/// A flight box in memory that Python has mapped; nothing when there is none.
pub struct Flight(Option<(RefCell<FlightBox>, PyBuffer<u8>)>);

impl Flight {
    /// Take a writable buffer, or None.
    ///
    /// # Errors
    /// It is neither.
    pub fn new(memory: &Bound<'_, PyAny>) -> PyResult<Self> {
        if memory.is_none() {
            return Ok(Self(None));
        }
        let buffer = PyBuffer::<u8>::get(memory)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            return Err(PyValueError::new_err("the flight box has to be writable bytes"));
        }
        // SAFETY: the buffer keeps its bytes mapped, and is kept beside the box; the slot they are in has one
        // owner, this process.
        let place = unsafe { FlightBox::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
        Ok(Self(Some((RefCell::new(place), buffer))))
    }

    /// Leave method and target there.
    pub fn record(&self, method: &[u8], target: &[u8]) {
        if let Some((place, _)) = &self.0 {
            place.borrow_mut().record_in_flight(method, target);
        }
    }
}
