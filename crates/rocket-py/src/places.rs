//! The places under `max_connections`, in memory that Python has mapped (`rocket_sup/scoreboard.py`).

use std::cell::RefCell;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rocket_core::places::Places;
use rocket_core::scoreboard::{Board, Layout};

/// Read what `Slot.share` gave; as many places as anybody wants for None.
///
/// # Errors
/// It is neither, or at odds with itself.
pub fn read_places(shared: &Bound<'_, PyAny>) -> PyResult<Places> {
    if shared.is_none() {
        return Ok(Places::unlimited());
    }
    let memory = PyBuffer::<u8>::get(&shared.getattr("memory")?)?;
    let base = memory.buf_ptr().cast::<u64>();
    if memory.readonly() || !memory.is_c_contiguous() || !base.is_aligned() {
        return Err(PyValueError::new_err("a scoreboard has to be writable, whole and aligned memory"));
    }
    let number = |name: &str| shared.getattr(name)?.extract::<usize>();
    let layout = Layout {
        words: memory.len_bytes() / size_of::<u64>(),
        max_connections: number("max_connections")?,
        watermark: number("watermark")?,
        slots: number("slots")?,
        slot_words: number("slot_words")?,
        claims: number("claims")?,
        connections: number("connections")?,
        waiting: number("waiting")?,
        peak: number("peak")?,
    };
    // SAFETY: the buffer keeps so many bytes mapped, and is kept as long as the board. Processes write whole words;
    // in ours, the slot and its boards belong to the thread of the loop.
    let board = unsafe { Board::new(base, layout, number("own")?) };
    let board =
        board.ok_or_else(|| PyValueError::new_err("no such slot, or a layout at odds with itself"))?;
    Ok(Places::shared(board, shared.getattr("doorbells")?.extract()?, Box::new(memory)))
}

/// A door for tests: places alone, beside those of the portable engine.
#[pyclass(frozen, name = "Places", module = "rocket_sup.engine._native")]
pub struct PyPlaces(RefCell<Places>);

// SAFETY: every method takes the interpreter's lock, which gives one thread at a time all of it, and runs no other
// code.
unsafe impl Send for PyPlaces {}
// SAFETY: as above.
unsafe impl Sync for PyPlaces {}

#[pymethods]
impl PyPlaces {
    #[new]
    fn new(shared: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(RefCell::new(read_places(shared)?)))
    }

    fn try_claim(&self) -> bool {
        self.0.borrow_mut().try_claim()
    }

    fn unclaim(&self) {
        self.0.borrow_mut().unclaim();
    }

    fn occupy(&self) {
        self.0.borrow_mut().occupy();
    }

    fn vacate(&self) {
        self.0.borrow_mut().vacate();
    }
}
