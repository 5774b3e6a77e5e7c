//! WebSockets for Python: the lanes that messages take, and the framing alone, for tests that compare it with
//! the portable one. `rocket_sup/wslane.py` and `rocket_sup/http/wsframes.py` say what both do.

mod done;
mod lane;
mod receiving;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use rocket_core::websocket::{Agreed, Event, Frames as Machine, opcode, pack_control};

pub use done::Done;
pub use lane::Lane;
pub use receiving::Receive;

/// As in `wsframes`: no opcode, but a fault.
const FAILED: u8 = 16;

/// See `wsframes.Frames`.
#[pyclass(module = "rocket_sup.engine._native")]
pub struct Frames {
    machine: Machine,
}

#[pymethods]
impl Frames {
    /// Behind the handshake; `deflate` is a `wsframes.Deflate`.
    #[new]
    #[pyo3(signature = (max_message, deflate=None))]
    fn new(max_message: usize, deflate: Option<Deflate>) -> Self {
        Self { machine: Machine::new(max_message, deflate.map(Into::into)) }
    }

    #[getter]
    fn is_holding(&self) -> bool {
        self.machine.is_holding()
    }

    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let events = PyList::empty(py);
        let mut outcome = Ok(());
        self.machine.feed(data, |event| {
            if outcome.is_ok() {
                outcome = object_of(py, &event).and_then(|object| events.append(object));
            }
        });
        outcome.map(|()| events)
    }

    fn pack_text<'py>(&mut self, py: Python<'py>, message: &str) -> PyResult<Bound<'py, PyBytes>> {
        self.machine.pack(opcode::TEXT, message.as_bytes(), |header, payload| join(py, header, payload))
    }

    fn pack_bytes<'py>(&mut self, py: Python<'py>, message: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.machine.pack(opcode::BINARY, message, |header, payload| join(py, header, payload))
    }

    #[staticmethod]
    fn pack_control<'py>(py: Python<'py>, opcode: u8, payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        pack_control(opcode, payload, |header, payload| join(py, header, payload))
    }
}

/// A `wsframes.Deflate`.
#[derive(FromPyObject)]
struct Deflate {
    in_bits: u8,
    in_takeover: bool,
    out_bits: u8,
    out_takeover: bool,
}

impl From<Deflate> for Agreed {
    fn from(deflate: Deflate) -> Self {
        let Deflate { in_bits, in_takeover, out_bits, out_takeover } = deflate;
        Self { in_bits, in_takeover, out_bits, out_takeover }
    }
}

/// An event as `wsframes.Event` has it.
fn object_of<'py>(py: Python<'py>, event: &Event<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match *event {
        Event::Text(text) => PyString::new(py, text).into_any(),
        Event::Binary(bytes) => PyBytes::new(py, bytes).into_any(),
        Event::Control(opcode, payload) => (opcode, PyBytes::new(py, payload)).into_pyobject(py)?.into_any(),
        Event::Failed(payload) => (FAILED, PyBytes::new(py, payload)).into_pyobject(py)?.into_any(),
    })
}

/// A frame as bytes of Python.
fn join<'py>(py: Python<'py>, header: &[u8], payload: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, header.len() + payload.len(), |frame| {
        let (start, rest) = frame.split_at_mut(header.len());
        start.copy_from_slice(header);
        rest.copy_from_slice(payload);
        Ok(())
    })
}
