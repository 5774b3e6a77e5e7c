//! Doors for tests: parts of the native engine, each alone, compared with the portable one from Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rocket_core::head::parse_head;
use rocket_core::limits::Limits;

use crate::request::Request;

/// Wide enough for any test.
const LIMITS: Limits =
    Limits { request_line: 65_536, head: 65_536, headers: 1000, chunk_extensions: 65_536, trailers: 65_536 };

/// Read a head and make a request of it; what follows the head is its content.
#[pyfunction]
fn read_request(py: Python<'_>, data: &[u8], client: Py<PyAny>) -> PyResult<Py<Request>> {
    let head = parse_head(data, &LIMITS, 0)
        .map_err(|fault| PyValueError::new_err(fault.reason))?
        .ok_or_else(|| PyValueError::new_err("not a whole head"))?;
    let request = Request::new(py, data, &head, &client)?;
    request.get().set_content(PyBytes::new(py, &data[head.end..]));
    Ok(request)
}

/// Do with a request what the engine does: make it, call the handler, give it up.
#[pyfunction]
fn handle_request(
    py: Python<'_>,
    data: &[u8],
    client: Py<PyAny>,
    handler: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let request = read_request(py, data, client)?;
    let result = handler.call1((&request,))?;
    Request::recycle(py, request);
    Ok(result.unbind())
}

/// Put the doors into the module.
///
/// # Errors
/// Python has no memory.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(read_request, module)?)?;
    module.add_function(wrap_pyfunction!(handle_request, module)?)
}
