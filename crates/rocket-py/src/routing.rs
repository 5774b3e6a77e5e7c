//! Doors for tests: parts of the core that have a counterpart in Python, one call each.
//!
//! The engine uses these parts from Rust. Here they can be compared with the portable engine, which is the
//! reference, on any input that a test makes up.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rocket_core::accesslog::{Facts, Format, Lines, Version};
use rocket_core::answer::{Answer, Connection, serialise, write_plain_200};
use rocket_core::date::push_http_date;
use rocket_core::router::{Params, Router};
use rocket_core::statistics::Statistics;

/// Put the doors into the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Routes>()?;
    module.add_function(wrap_pyfunction!(access_lines, module)?)?;
    module.add_function(wrap_pyfunction!(http_date, module)?)?;
    module.add_function(wrap_pyfunction!(answer, module)?)?;
    module.add_function(wrap_pyfunction!(plain_answer, module)?)?;
    module.add_function(wrap_pyfunction!(count_answers, module)?)
}

/// A table of routes that answers with ids.
#[pyclass(module = "rocket_sup.engine._native")]
struct Routes {
    router: Router,
    params: Params,
}

#[pymethods]
impl Routes {
    /// Build the table from (method, pattern, id).
    #[new]
    fn new(routes: Vec<(String, String, u32)>) -> PyResult<Self> {
        let router = Router::new(routes).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { router, params: Params::default() })
    }

    /// Find a route: its id and the parameters, or None.
    fn find<'py>(
        &mut self,
        py: Python<'py>,
        method: &str,
        path: &[u8],
    ) -> PyResult<Option<(u32, Bound<'py, PyDict>)>> {
        let Some(id) = self.router.find(method.as_bytes(), path, &mut self.params) else { return Ok(None) };
        let found = PyDict::new(py);
        for (index, key) in self.router.keys(&self.params).iter().enumerate() {
            found.set_item(&**key, self.params.value(index, path))?;
        }
        Ok(Some((id, found)))
    }
}

/// Of `rocket_sup.accesslog.Entry`, with text as bytes.
type Entry = (u64, Vec<u8>, Vec<u8>, Vec<u8>, String, u16, u64, f64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Write access lines.
#[pyfunction]
fn access_lines<'py>(py: Python<'py>, format: &str, entries: Vec<Entry>) -> Bound<'py, PyBytes> {
    let mut lines = Lines::new(if format == "json" { Format::Json } else { Format::Combined });
    let mut out = Vec::new();
    for (unix_s, host, method, target, version, status, body_bytes, duration_s, referer, user_agent) in
        &entries
    {
        let version = match &version[..] {
            "1.1" => Version::Http11,
            "1.0" => Version::Http10,
            _ => Version::Unknown,
        };
        let facts = Facts {
            unix_s: *unix_s,
            host,
            method,
            target,
            version,
            status: *status,
            body_bytes: *body_bytes,
            duration_s: *duration_s,
            referer: referer.as_deref().unwrap_or_default(),
            user_agent: user_agent.as_deref().unwrap_or_default(),
        };
        lines.append(&mut out, &facts);
    }
    PyBytes::new(py, &out)
}

/// Write a time since the epoch as IMF-fixdate.
#[pyfunction]
fn http_date(py: Python<'_>, unix_s: u64) -> Bound<'_, PyBytes> {
    let mut out = Vec::new();
    push_http_date(&mut out, unix_s);
    PyBytes::new(py, &out)
}

/// Write an answer; `connection` is 0 for persist, 1 for persist over HTTP/1.0, 2 for close.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "those of the function in Python, which it is compared with")]
fn answer<'py>(
    py: Python<'py>,
    status: u16,
    date_line: &[u8],
    fields: &[u8],
    body: &[u8],
    connection: usize,
    is_head: bool,
    length: u64,
) -> Bound<'py, PyBytes> {
    let connection = [Connection::Persist, Connection::Persist10, Connection::Close][connection];
    let mut out = Vec::new();
    serialise(&mut out, &Answer { status, date_line, fields, body, connection, is_head, length });
    PyBytes::new(py, &out)
}

/// Write a 200 by the short way.
#[pyfunction]
fn plain_answer<'py>(
    py: Python<'py>,
    date_line: &[u8],
    media_type: &[u8],
    body: &[u8],
) -> Bound<'py, PyBytes> {
    let mut out = Vec::new();
    write_plain_200(&mut out, date_line, media_type, body);
    PyBytes::new(py, &out)
}

/// Count answers, given as status and seconds: requests, statuses, latency.
#[pyfunction]
fn count_answers(answers: Vec<(u16, f64)>) -> (u64, Vec<u64>, Vec<u64>) {
    let mut statistics = Statistics::default();
    for (status, duration_s) in answers {
        statistics.count(status, duration_s);
    }
    (statistics.requests(), statistics.statuses().to_vec(), statistics.latency().to_vec())
}
