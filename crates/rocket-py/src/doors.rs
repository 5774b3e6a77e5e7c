//! Doors for tests: parts of the native engine, each alone, compared with the portable one from Python.

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rocket_core::head::parse_head;
use rocket_core::limits::Limits;

use crate::answers::{Answering, Answers, Wrote};
use crate::client::Client;
use crate::places::PyPlaces;
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
    let request = Request::new(py, data, &head, &Client::Named(client))?;
    if head.end < data.len() {
        request.get().set_content(PyBytes::new(py, &data[head.end..]));
    }
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

/// Write one answer after another one: its bytes, its status, how many of the bytes are content, and whether
/// the connection ends.
#[pyfunction]
fn write_answer<'py>(
    py: Python<'py>,
    result: &Bound<'py, PyAny>,
    date_line: &[u8],
    keep_alive: bool,
    is_1_0: bool,
    is_head: bool,
) -> PyResult<(Bound<'py, PyBytes>, u16, usize, bool)> {
    const EARLIER: &[u8] = b"earlier";
    let mut out = EARLIER.to_vec();
    let how = Answering { date_line, keep_alive, is_1_0, is_head };
    let written = Answers::new(py)?.write(py, result, &how, &mut out);
    if written.is_err() && out != EARLIER {
        return Err(PyRuntimeError::new_err("half an answer was written"));
    }
    let Wrote::Whole(written) = written? else {
        return Err(PyRuntimeError::new_err("the content comes in pieces"));
    };
    let answer = out.strip_prefix(EARLIER).ok_or_else(|| PyRuntimeError::new_err("an answer was lost"))?;
    Ok((PyBytes::new(py, answer), written.status, written.body_bytes, written.closes))
}

/// Put the doors into the module.
///
/// # Errors
/// Python has no memory.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyPlaces>()?;
    module.add_function(wrap_pyfunction!(read_request, module)?)?;
    module.add_function(wrap_pyfunction!(handle_request, module)?)?;
    module.add_function(wrap_pyfunction!(write_answer, module)?)
}
