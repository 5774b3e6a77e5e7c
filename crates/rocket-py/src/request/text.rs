//! What a request becomes when somebody asks: text, or an object that a Python function makes of it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

/// The Python functions and classes that do the longer work; looked up once.
pub(super) struct Shared {
    pub(super) class: Py<PyType>,
    pub(super) head_class: Py<PyAny>,
    pub(super) headers_from_block: Py<PyAny>,
    pub(super) parse_query: Py<PyAny>,
    pub(super) cut_path: Py<PyAny>,
    pub(super) read_json: Py<PyAny>,
    pub(super) read_text: Py<PyAny>,
    pub(super) parse_form: Py<PyAny>,
    pub(super) unquote: Py<PyAny>,
}

impl Shared {
    pub(super) fn of(py: Python<'_>) -> PyResult<&Self> {
        static SHARED: PyOnceLock<Shared> = PyOnceLock::new();
        SHARED.get_or_try_init(py, || {
            let request = py.import("rocket_sup.request")?;
            let get = |name: &str| request.getattr(name).map(Bound::unbind);
            Ok(Self {
                class: request.getattr("Request")?.cast_into::<PyType>()?.unbind(),
                head_class: get("RequestHead")?,
                headers_from_block: request.getattr("Headers")?.getattr("from_block")?.unbind(),
                parse_query: get("parse_query")?,
                cut_path: get("cut_path")?,
                read_json: get("read_json")?,
                read_text: get("read_text")?,
                parse_form: get("parse_form")?,
                unquote: get("unquote")?,
            })
        })
    }
}

/// Put the authority of an absolute-form target in the place of the Host received.
pub(super) fn with_host(authority: &[u8], fields: &[u8]) -> Vec<u8> {
    let mut lines = [b"\r\nHost: ", authority].concat();
    for line in fields.split(|byte| *byte == b'\r').skip(1) {
        if !line[1..].get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) {
            lines.push(b'\r');
            lines.extend_from_slice(line);
        }
    }
    lines
}

/// Text of bytes that stand for one character each.
pub(super) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    // SAFETY: pointer and length are of one slice, which is only read; what comes back is a new reference to
    // a str, or null with an exception set.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), bytes.len() as isize, std::ptr::null());
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked())
    }
}
