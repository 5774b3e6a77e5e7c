//! Received bytes as a memoryview's object: they last as long as any view of them.

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use rocket_core::tcp::View;

/// What a memoryview of received bytes is of. Views refer to it; it goes with the last of them, on whatever
/// thread, and gives the bytes back then.
#[pyclass(frozen, module = "rocket_sup.engine._native")]
pub struct TcpBytes {
    view: View,
}

#[pymethods]
impl TcpBytes {
    /// Lend the bytes, to be read.
    ///
    /// # Safety
    /// `buffer` is what CPython fills buffers into.
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        buffer: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = slf.get().bytes();
        let length = isize::try_from(bytes.len()).map_err(|_| PyBufferError::new_err("too long"))?;
        let (start, readonly) = (bytes.as_ptr().cast_mut().cast(), 1);
        // SAFETY: the buffer keeps a reference to `slf`, which never changes and keeps the bytes where they are; the
        // interpreter lets nobody write, for it is told so.
        if unsafe { ffi::PyBuffer_FillInfo(buffer, slf.as_ptr(), start, length, readonly, flags) } < 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

impl TcpBytes {
    /// A memoryview of received bytes.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn memoryview(py: Python<'_>, view: View) -> PyResult<Bound<'_, PyMemoryView>> {
        PyMemoryView::from(Bound::new(py, Self { view })?.as_any())
    }

    fn bytes(&self) -> &[u8] {
        match &self.view {
            View::Lent(loan) => loan,
            View::Own(bytes) => bytes,
        }
    }
}
