//! One request as a handler sees it: the same as `rocket_sup.request.Request`, and as lazy.
//!
//! A request owns a copy of its head and the spans that the parser found in it; text is made of them when
//! somebody asks. The driver's buffer is free again as soon as the request is made. What is longer than a
//! look at the bytes (JSON, forms, charsets, queries) is done by the same Python functions that serve the
//! portable engine, so that there is one truth about it.

mod text;

use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};
use rocket_core::head::{Content, Head, Path, Span, each_field, find_field};

use crate::client::{Client, name_of_address};
use crate::slot::Slot;
use crate::spare::{Spare, make};
use text::{Shared, latin1, with_host};

/// A request; `rocket_sup.Request` says what it offers.
///
/// `dict` lets applications set attributes, as on any Python object.
#[pyclass(frozen, dict, weakref, module = "rocket_sup.engine._native")]
pub struct Request {
    /// Only read, but for the moment in which `Request::new` fills a request that nobody else has.
    sent: UnsafeCell<Sent>,
    client: Slot,
    body: Slot,
    path_params: Slot,
    headers: Slot,
    query_params: Slot,
    forwarded: Slot,
}

// SAFETY: `sent` is written by `Request::new` alone, when no other reference to the request exists.
unsafe impl Sync for Request {}

/// To allocate and free a request costs 100 ns, a quarter of all that a pipelined request costs; to fill one
/// again, 20.
static SPARE: Spare<Request> = Spare::new();
/// A longer head gives its memory back.
const MAX_SPARE_BYTES: usize = 2048;

/// What was received, up to the end of the field lines, and where what lies in it.
struct Sent {
    bytes: Vec<u8>,
    head: Head,
    /// The client's, as long as nobody asked for it.
    address: Option<SocketAddr>,
}

impl Request {
    /// Make a request of a head that was parsed.
    ///
    /// `data` is what `head` was read from; its first bytes, up to the end of the fields, are copied.
    ///
    /// # Errors
    /// Python has no memory.
    pub fn new(py: Python<'_>, data: &[u8], head: &Head, client: &Client) -> PyResult<Py<Self>> {
        let bytes = &data[..head.fields.end as usize];
        let (address, client) = match client {
            Client::Address(address) => (Some(*address), None),
            Client::Named(name) => (None, Some(name.clone_ref(py))),
        };
        if let Some(request) = SPARE.take(py) {
            let this = request.get();
            // SAFETY: nobody else has a reference, and so nobody reads.
            let sent = unsafe { &mut *this.sent.get() };
            sent.bytes.clear();
            sent.bytes.extend_from_slice(bytes);
            sent.head = head.clone();
            sent.address = address;
            this.client.replace(py, client);
            return Ok(request.unbind());
        }
        let request = Self {
            sent: UnsafeCell::new(Sent { bytes: bytes.to_vec(), head: head.clone(), address }),
            client: Slot::new(client),
            body: Slot::new(None),
            path_params: Slot::new(None),
            headers: Slot::new(None),
            query_params: Slot::new(None),
            forwarded: Slot::new(None),
        };
        make(py, request).map(Bound::unbind)
    }

    /// Give up a request whose answer was written. If nobody else has it, it serves again.
    pub fn recycle(py: Python<'_>, request: Py<Self>) {
        let request = request.into_bound(py);
        if request.get().sent().bytes.capacity() > MAX_SPARE_BYTES || !SPARE.is_alone(&request) {
            return;
        }
        for slot in request.get().slots() {
            slot.empty(py);
        }
        SPARE.keep(request);
    }

    fn sent(&self) -> &Sent {
        // SAFETY: it is written only when nobody else has a reference; see `Sync`.
        unsafe { &*self.sent.get() }
    }

    /// The head, whose spans `bytes_of` reads.
    pub fn head(&self) -> &Head {
        &self.sent().head
    }

    /// What a span of the head stands for.
    pub fn bytes_of(&self, span: Span) -> &[u8] {
        span.of(&self.sent().bytes)
    }

    /// The target's path, still percent-encoded.
    pub fn path_bytes(&self) -> &[u8] {
        match self.head().path {
            Path::Sent(span) => self.bytes_of(span),
            Path::Root => b"/",
            Path::Asterisk => b"*",
        }
    }

    /// The field lines, each preceded by CRLF. Of absolute-form the Host is the target's (RFC 9112 §3.2.2).
    pub fn field_lines(&self) -> Cow<'_, [u8]> {
        let fields = self.bytes_of(self.head().fields);
        match self.head().authority {
            None => Cow::Borrowed(fields),
            Some(authority) => Cow::Owned(with_host(self.bytes_of(authority), fields)),
        }
    }

    /// The client's address, if a trusted proxy has named another than the connection's.
    pub fn announced_host(&self, py: Python<'_>) -> Option<String> {
        self.forwarded.get(py)?;
        let client = self.client.get(py)?.cast_into::<PyTuple>().ok()?;
        client.get_item(0).ok()?.extract().ok()
    }

    /// Give it its content.
    pub fn set_content(&self, body: Bound<'_, PyBytes>) {
        self.body.set(body.into_any());
    }

    /// Give it what its route took from the path.
    pub fn set_params(&self, params: Bound<'_, PyDict>) {
        self.path_params.set(params.into_any());
    }

    fn content_type<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_header(py, intern!(py, "content-type"), Some(intern!(py, "").clone().into_any()))
    }

    fn slots(&self) -> [&Slot; 6] {
        [&self.client, &self.body, &self.path_params, &self.headers, &self.query_params, &self.forwarded]
    }

    /// What the Python class gives for it, where nothing native would be faster.
    fn of_class<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let class = Shared::of(slf.py())?.class.bind(slf.py());
        let found = class.getattr(name)?;
        found.call_method1(intern!(slf.py(), "__get__"), (slf, class))
    }
}

#[pymethods]
impl Request {
    /// `isinstance(request, rocket_sup.Request)` asks the type first and then this; a class written in Rust
    /// cannot inherit from one written in Python.
    #[getter(__class__)]
    fn class<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyType>> {
        Ok(Shared::of(py)?.class.bind(py).clone())
    }

    #[getter]
    fn client<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.sent().address {
            Some(address) => self.client.get_or_make(py, || name_of_address(py, address)).map(Some),
            None => Ok(self.client.get(py)),
        }
    }

    #[setter]
    fn set_client(&self, value: Bound<'_, PyAny>) {
        self.client.set(value);
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.body.get(py).unwrap_or_else(|| PyBytes::new(py, b"").into_any())
    }

    #[setter]
    fn set_body(&self, value: Bound<'_, PyAny>) {
        self.body.set(value);
    }

    #[getter]
    fn path_params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.path_params.get_or_make(py, || Ok(PyDict::new(py).into_any()))
    }

    #[setter]
    fn set_path_params(&self, value: Bound<'_, PyAny>) {
        self.path_params.set(value);
    }

    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let known = match self.bytes_of(self.head().method) {
            b"GET" => intern!(py, "GET"),
            b"POST" => intern!(py, "POST"),
            b"HEAD" => intern!(py, "HEAD"),
            b"PUT" => intern!(py, "PUT"),
            b"DELETE" => intern!(py, "DELETE"),
            b"PATCH" => intern!(py, "PATCH"),
            b"OPTIONS" => intern!(py, "OPTIONS"),
            other => return latin1(py, other),
        };
        Ok(known.clone())
    }

    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        latin1(py, self.bytes_of(self.head().target))
    }

    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        latin1(py, self.path_bytes())
    }

    #[getter]
    fn query_string<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        latin1(py, self.bytes_of(self.head().query))
    }

    #[getter]
    fn http_version<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        if self.head().minor == 0 { intern!(py, "1.0") } else { intern!(py, "1.1") }.clone()
    }

    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.field_lines())
    }

    /// What the parser found, as the portable engine's `RequestHead`.
    #[getter(head)]
    fn head_object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parts =
            (self.method(py)?, self.target(py)?, self.http_version(py), self.fields(py), self.head().end);
        let head = Shared::of(py)?.head_class.bind(py).call1(parts)?;
        head.setattr("path", self.path(py)?)?;
        head.setattr("query", self.query_string(py)?)?;
        match self.head().content {
            Content::None => head.setattr("content_length", 0)?,
            Content::Length(length) => head.setattr("content_length", length)?,
            Content::Chunked => head.setattr("content_length", -1)?,
        }
        head.setattr("keep_alive", self.head().keep_alive)?;
        head.setattr("expects_continue", self.head().expects_continue)?;
        head.setattr("unmet_expectation", self.head().unmet_expectation)?;
        Ok(head)
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.headers.get_or_make(py, || Shared::of(py)?.headers_from_block.bind(py).call1((self.fields(py),)))
    }

    /// A field line is compared where it lies; only the value that is wanted becomes text. Once `headers`
    /// were decoded they are asked: a handler may have changed them.
    #[pyo3(signature = (name, default=None))]
    fn get_header<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        if let Some(headers) = self.headers.get(py) {
            return headers.call_method1(intern!(py, "get"), (name, default));
        }
        match find_field(&self.field_lines(), name.to_str()?) {
            Some(value) => Ok(latin1(py, value)?.into_any()),
            None => Ok(default),
        }
    }

    /// Names in lower case, values as received: what ASGI applications are given.
    fn asgi_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let fields = self.field_lines();
        let pairs = PyList::empty(py);
        for (name, value) in each_field(&fields) {
            let lowered = PyBytes::new_with(py, name.len(), |buffer| {
                buffer.copy_from_slice(name);
                buffer.make_ascii_lowercase();
                Ok(())
            })?;
            pairs.append((lowered, PyBytes::new(py, value)))?;
        }
        Ok(pairs)
    }

    /// The scope of an ASGI application, of which `base` has what all its scopes have in common.
    fn asgi_scope<'py>(
        &self,
        py: Python<'py>,
        base: &Bound<'py, PyDict>,
        outer_path: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let raw = self.path_bytes();
        let mut path = self.path(py)?;
        let mut raw_path = PyBytes::new(py, raw);
        if raw.contains(&b'%') {
            path = Shared::of(py)?.unquote.bind(py).call1((path,))?.cast_into()?;
        }
        if !outer_path.is_empty()? {
            raw_path = PyBytes::new(py, &[outer_path.to_str()?.as_bytes(), raw].concat());
            path = outer_path.add(path)?.cast_into()?;
        }
        let client = match self.client(py)? {
            Some(client) => client.cast_into::<PyTuple>().ok().map(|address| address.get_slice(0, 2)),
            None => None,
        };
        let scope = base.copy()?;
        scope.set_item(intern!(py, "http_version"), self.http_version(py))?;
        scope.set_item(intern!(py, "method"), self.method(py)?)?;
        scope.set_item(intern!(py, "path"), path)?;
        scope.set_item(intern!(py, "raw_path"), raw_path)?;
        scope.set_item(intern!(py, "query_string"), PyBytes::new(py, self.bytes_of(self.head().query)))?;
        scope.set_item(intern!(py, "headers"), self.asgi_headers(py)?)?;
        scope.set_item(intern!(py, "client"), client)?;
        Ok(scope)
    }

    /// The environ of a WSGI application, of which `base` has what the field lines say and every key; the path
    /// is still encoded.
    fn wsgi_environ<'py>(
        &self,
        py: Python<'py>,
        base: &Bound<'py, PyDict>,
        content: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = base.copy()?;
        let target = self.target(py)?;
        environ.set_item(intern!(py, "REQUEST_METHOD"), self.method(py)?)?;
        environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
        environ.set_item(intern!(py, "RAW_URI"), target)?;
        environ.set_item(intern!(py, "PATH_INFO"), self.path(py)?)?;
        environ.set_item(intern!(py, "QUERY_STRING"), self.query_string(py)?)?;
        if self.head().minor == 0 {
            environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
        }
        environ.set_item(intern!(py, "wsgi.input"), content)?;
        let client = self.client(py)?;
        match client.as_ref().and_then(|client| client.cast::<PyTuple>().ok()) {
            Some(address) => {
                environ.set_item(intern!(py, "REMOTE_ADDR"), address.get_item(0)?)?;
                environ.set_item(intern!(py, "REMOTE_PORT"), address.get_item(1)?.str()?)?;
            }
            None => {
                environ.set_item(intern!(py, "REMOTE_ADDR"), client)?;
                environ.del_item(intern!(py, "REMOTE_PORT"))?;
            }
        }
        Ok(environ)
    }

    #[getter]
    fn forwarded<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.forwarded.get(py)
    }

    #[setter]
    fn set_forwarded(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        drop(self.forwarded.replace(py, value));
    }

    #[getter]
    fn scheme<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "scheme"))
    }

    fn stream<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "stream"))?.call0()
    }

    fn read<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "read"))?.call0()
    }

    #[getter]
    fn trailers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "trailers"))
    }

    #[getter]
    fn is_disconnected<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "is_disconnected"))
    }

    fn disconnected<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "disconnected"))?.call0()
    }

    fn early_hints<'py>(slf: &Bound<'py, Self>, links: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::of_class(slf, intern!(slf.py(), "early_hints"))?.call1((links,))
    }

    #[getter]
    fn host<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_header(py, intern!(py, "host"), Some(intern!(py, "").clone().into_any()))
    }

    #[getter]
    fn path_segments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Shared::of(py)?.cut_path.bind(py).call1((self.path(py)?,))
    }

    #[getter]
    fn query_params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.query_params
            .get_or_make(py, || Shared::of(py)?.parse_query.bind(py).call1((self.query_string(py)?,)))
    }

    #[pyo3(signature = (name, default=None))]
    fn get_query_param<'py>(
        &self,
        py: Python<'py>,
        name: Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.query_params(py)?.call_method1(intern!(py, "get"), (name, default))
    }

    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Shared::of(py)?.read_json.bind(py).call1((self.body(py),))
    }

    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Shared::of(py)?.read_text.bind(py).call1((self.content_type(py)?, self.body(py)))
    }

    fn form<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Shared::of(py)?.parse_form.bind(py).call1((self.content_type(py)?, self.body(py)))
    }

    fn __repr__(&self) -> String {
        let text = |span| String::from_utf8_lossy(self.bytes_of(span));
        format!("<Request {} {}>", text(self.head().method), text(self.head().target))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.slots().iter().try_for_each(|slot| slot.traverse(visit))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.slots().iter().for_each(|slot| drop(slot.replace(py, None)));
    }
}
