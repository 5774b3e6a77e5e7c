//! The parsers alone, for tests that compare them with the portable engine's and with others'.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rocket_core::chunked::Chunked;
use rocket_core::fault::Fault;
use rocket_core::head::{self, Content, Path, Span};
use rocket_core::limits::Limits;

/// Bytes of the request line and of the head, fields, bytes of chunk extensions and of trailers.
type Bounds = (usize, usize, usize, usize, usize);

fn limits((request_line, head, headers, chunk_extensions, trailers): Bounds) -> Limits {
    Limits { request_line, head, headers, chunk_extensions, trailers }
}

/// A ValueError of status and reason.
fn refusal(fault: Fault) -> PyErr {
    PyValueError::new_err((fault.status, fault.reason.into_owned()))
}

/// Read a head: what it says under the names that the portable `RequestHead` uses, and its authority; None
/// when it is not complete.
#[pyfunction]
fn parse_head<'py>(
    py: Python<'py>,
    data: &[u8],
    bounds: Bounds,
    scanned: usize,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(head) = head::parse_head(data, &limits(bounds), scanned).map_err(refusal)? else {
        return Ok(None);
    };
    let text = |span: Span| String::from_utf8(span.of(data).to_vec());
    let path = match head.path {
        Path::Sent(span) => text(span)?,
        Path::Root => "/".to_owned(),
        Path::Asterisk => "*".to_owned(),
    };
    let content_length = match head.content {
        Content::None => 0,
        Content::Length(length) => length.try_into()?,
        Content::Chunked => -1,
    };
    let facts = PyDict::new(py);
    facts.set_item("method", text(head.method)?)?;
    facts.set_item("target", text(head.target)?)?;
    facts.set_item("path", path)?;
    facts.set_item("query", text(head.query)?)?;
    facts.set_item("version", if head.minor == 0 { "1.0" } else { "1.1" })?;
    facts.set_item("fields", PyBytes::new(py, head.fields.of(data)))?;
    facts.set_item("authority", head.authority.map(|span| PyBytes::new(py, span.of(data))))?;
    facts.set_item::<_, i64>("content_length", content_length)?;
    facts.set_item("keep_alive", head.keep_alive)?;
    facts.set_item("expects_continue", head.expects_continue)?;
    facts.set_item("unmet_expectation", head.unmet_expectation)?;
    facts.set_item("end", head.end)?;
    Ok(Some(facts))
}

/// Look a field up in the lines of a head.
#[pyfunction]
fn find_field<'py>(py: Python<'py>, fields: &[u8], name: &str) -> Option<Bound<'py, PyBytes>> {
    head::find_field(fields, name).map(|value| PyBytes::new(py, value))
}

/// Decode pieces of chunked content: how many of all bytes belong to it, -1 when it has not ended, and what
/// was decoded.
#[pyfunction]
fn parse_chunked<'py>(
    py: Python<'py>,
    pieces: Vec<Vec<u8>>,
    bounds: Bounds,
    max_body: u64,
) -> PyResult<(i64, Bound<'py, PyBytes>)> {
    let mut machine = Chunked::new(&limits(bounds), max_body);
    let mut content = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        if let Some(end) = machine.feed(&piece, &mut content).map_err(refusal)? {
            return Ok(((fed + end).try_into()?, PyBytes::new(py, &content)));
        }
        fed += piece.len();
    }
    Ok((-1, PyBytes::new(py, &content)))
}

/// Put them into the module.
///
/// # Errors
/// Python has no memory.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(parse_head, module)?)?;
    module.add_function(wrap_pyfunction!(find_field, module)?)?;
    module.add_function(wrap_pyfunction!(parse_chunked, module)?)
}
