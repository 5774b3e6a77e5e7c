//! The native engine as a Python module: converts and maps errors, decides nothing.

use pyo3::prelude::*;

/// The module `rocket_sup.engine._native`.
#[pymodule(gil_used = true)]
fn _native(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
