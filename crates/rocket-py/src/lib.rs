//! The native engine as a Python module: converts and maps errors, decides nothing.

use pyo3::prelude::*;

pub mod answers;
pub mod doors;
pub mod request;
mod routing;
pub mod slot;
pub mod spare;
pub mod task;
pub mod unlimited;

/// The module `rocket_sup.engine._native`.
#[pymodule(gil_used = true)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<request::Request>()?;
    module.add_class::<task::NativeTask>()?;
    module.add_class::<task::TaskRuntime>()?;
    doors::register(module)?;
    routing::register(module)
}
