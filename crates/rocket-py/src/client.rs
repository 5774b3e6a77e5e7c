//! Who is at the other end of a connection, as Python names him.

use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::{IntoPyObjectExt, ffi};
use rocket_core::accept::Peer;

/// A client. Most handlers do not ask who he is: then no Python object is made of his address.
pub enum Client {
    /// To be named when somebody asks.
    Address(SocketAddr),
    /// As his socket names him.
    Named(Py<PyAny>),
}

impl Client {
    /// Whom a connection was accepted from.
    pub fn of_peer(py: Python<'_>, peer: Peer) -> Self {
        match peer {
            Peer::Internet(address) => Self::Address(address),
            Peer::Unix(name) => Self::Named(name_of_unix(py, &name).unbind()),
            Peer::Other => Self::Named(PyString::intern(py, "").into_any().unbind()),
        }
    }

    /// What `socket.getpeername` says of him.
    ///
    /// # Errors
    /// Python has no memory.
    pub fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Address(address) => name_of_address(py, *address),
            Self::Named(name) => Ok(name.bind(py).clone()),
        }
    }

    /// His address without the port, for logs; "-" when he has none.
    pub fn host(&self, py: Python<'_>) -> Box<str> {
        match self {
            Self::Address(address) => address.ip().to_string().into(),
            Self::Named(name) => {
                let name = name.bind(py);
                let first = name.cast::<PyTuple>().ok().and_then(|address| address.get_item(0).ok());
                let host = first.as_ref().unwrap_or(name).extract::<String>().unwrap_or_default();
                if host.is_empty() { "-".into() } else { host.into() }
            }
        }
    }
}

/// An address and a port, of version 6 with flow and scope.
///
/// # Errors
/// Python has no memory.
pub fn name_of_address(py: Python<'_>, address: SocketAddr) -> PyResult<Bound<'_, PyAny>> {
    let host = address.ip().to_string();
    match address {
        SocketAddr::V4(_) => (host, address.port()).into_bound_py_any(py),
        SocketAddr::V6(address) => {
            (host, address.port(), address.flowinfo(), address.scope_id()).into_bound_py_any(py)
        }
    }
}

/// A path is text, as the file system encodes it; an abstract name is bytes.
fn name_of_unix<'py>(py: Python<'py>, name: &[u8]) -> Bound<'py, PyAny> {
    if name.first() == Some(&0) {
        return PyBytes::new(py, name).into_any();
    }
    // SAFETY: the function reads so many bytes and returns a new reference or null.
    unsafe {
        let text = ffi::PyUnicode_DecodeFSDefaultAndSize(name.as_ptr().cast(), name.len() as ffi::Py_ssize_t);
        Bound::from_owned_ptr_or_opt(py, text).unwrap_or_else(|| PyString::intern(py, "").into_any())
    }
}
