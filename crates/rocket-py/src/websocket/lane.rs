//! The lane of a WebSocket: see `rocket_sup/wslane.py`, which says what every lane does.
//!
//! What is written is staged in the conduit's lease and leaves in one send before the driver waits, so that
//! nothing has to be gathered here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3::{PyTraverseError, PyVisit, ffi};
use rocket_core::websocket::{Event, Frames as Machine, opcode, pack_control};

use super::done::done;
use super::receiving::{Receive, Wake};
use super::{Deflate, FAILED};
use crate::conduit::Conduit;
use crate::slot::Slot;

/// A handler that sends more than this without waiting for anything lets others have a turn.
const MUCH: usize = 64 * 1024;

/// Places in the queue that are kept when it is empty.
const KEPT: usize = 64;

/// See the module's description.
#[pyclass(frozen, weakref, module = "rocket_sup.engine._native")]
pub struct Lane {
    owner: Slot,
    conduit: Py<Conduit>,
    pub(super) event_loop: Py<PyAny>,
    machine: RefCell<Machine>,
    /// Messages, and the bytes of each.
    queue: RefCell<VecDeque<(Py<PyAny>, usize)>>,
    queued: Cell<usize>,
    most_bytes: usize,
    most_queued: usize,
    /// The `Receive` that waits.
    pub(super) reader: Slot,
    /// The latest `Receive`, to be used again.
    pub(super) spare: Slot,
    owed_pong: RefCell<Option<Vec<u8>>>,
    /// Bytes sent since the handler last let others have a turn.
    gathered: Cell<usize>,
    #[pyo3(get)]
    sent: Cell<u64>,
    pub(super) is_open: Cell<bool>,
    is_full: Cell<bool>,
    is_heard: Cell<bool>,
    is_paused: Cell<bool>,
}

// SAFETY: every method takes the interpreter's lock, which gives one thread at a time all of it; nothing is
// borrowed while Python code runs.
unsafe impl Send for Lane {}
// SAFETY: as above.
unsafe impl Sync for Lane {}

#[pymethods]
impl Lane {
    /// See `PortableLane`.
    #[new]
    fn new(
        owner: Bound<'_, PyAny>,
        conduit: Py<Conduit>,
        event_loop: Py<PyAny>,
        max_message: usize,
        most_queued: usize,
        deflate: Option<Deflate>,
    ) -> Self {
        Self {
            owner: Slot::new(Some(owner.unbind())),
            conduit,
            event_loop,
            machine: RefCell::new(Machine::new(max_message, deflate.map(Into::into))),
            queue: RefCell::new(VecDeque::new()),
            queued: Cell::new(0),
            most_bytes: max_message,
            most_queued,
            reader: Slot::new(None),
            spare: Slot::new(None),
            owed_pong: RefCell::new(None),
            gathered: Cell::new(0),
            sent: Cell::new(0),
            is_open: Cell::new(true),
            is_full: Cell::new(false),
            is_heard: Cell::new(false),
            is_paused: Cell::new(false),
        }
    }

    #[getter]
    fn is_open(&self) -> bool {
        self.is_open.get()
    }

    #[getter]
    fn is_full(&self) -> bool {
        self.is_full.get()
    }

    #[getter]
    fn is_paused(&self) -> bool {
        self.is_paused.get()
    }

    #[getter]
    fn is_heard(&self) -> bool {
        self.is_heard.get()
    }

    #[setter]
    fn set_is_heard(&self, is_heard: bool) {
        self.is_heard.set(is_heard);
    }

    fn receive<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Receive>> {
        Receive::begin(slf, false)
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Receive>> {
        Receive::begin(slf, true)
    }

    fn send(&self, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = message.py();
        if !self.is_open.get() || self.is_full.get() {
            return self.ask(py, "send_slowly", (message,));
        }
        let (opcode, bytes) = if let Ok(text) = message.cast::<PyString>() {
            (opcode::TEXT, text.to_str()?.as_bytes())
        } else if let Ok(bytes) = message.cast::<PyBytes>() {
            (opcode::BINARY, bytes.as_bytes())
        } else {
            return self.ask(py, "send_slowly", (message,));
        };
        let conduit = self.conduit.get();
        let mut machine = self.machine.borrow_mut();
        let written = machine.pack(opcode, bytes, |header, payload| self.stage(conduit, header, payload));
        drop(machine);
        conduit.touch(py);
        let gathered = self.gathered.get() + written;
        if gathered > MUCH {
            self.gathered.set(0);
            return self.ask(py, "take_turn", ());
        }
        self.gathered.set(gathered);
        done(py)
    }

    fn put_control(&self, py: Python<'_>, opcode: u8, payload: &[u8]) {
        self.stage_control(opcode, payload);
        self.conduit.get().touch(py);
    }

    /// The conduit does it before the driver waits.
    fn flush(&self) {}

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        this.is_open.set(false);
        this.is_paused.set(false);
        this.wake_reader(py, Wake::Soon)?;
        Self::feed_held(slf)?;
        this.conduit.get().resume_reading(py);
        Ok(())
    }

    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.is_open.set(false);
        self.wake_reader(py, Wake::Soon)?;
        drop(self.spare.replace(py, None));
        Ok(())
    }

    // --- the conduit's receiver

    fn on_content(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        Self::take(slf, data)
    }

    fn on_content_end(&self, trailers: Py<PyAny>) {
        drop(trailers);
    }

    fn on_content_error(&self, error: Py<PyAny>) {
        drop(error);
    }

    fn on_room(&self, py: Python<'_>) -> PyResult<()> {
        self.is_full.set(false);
        let owed = self.owed_pong.borrow_mut().take();
        if let Some(payload) = owed.filter(|_| self.is_open.get()) {
            self.put_control(py, opcode::PONG, &payload);
        }
        self.ask(py, "on_room", ()).map(drop)
    }

    fn on_left(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, "on_left", ()).map(drop)
    }

    fn on_gone(&self, py: Python<'_>, error: Py<PyAny>) -> PyResult<()> {
        self.ask(py, "on_gone", (error,)).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.conduit)?;
        visit.call(&self.event_loop)?;
        self.owner.traverse(visit)?;
        self.reader.traverse(visit)?;
        self.spare.traverse(visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        for slot in [&self.owner, &self.reader, &self.spare] {
            drop(slot.replace(py, None));
        }
    }
}

impl Lane {
    /// Take received bytes: queue messages, wake who waits for one, and answer everything else.
    ///
    /// # Errors
    /// What a task does not keep to itself, and what the owner raises.
    pub fn take(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        slf.get().is_heard.set(true);
        Self::feed(slf, data)?;
        if !slf.get().is_open.get() {
            return Self::feed_held(slf);
        }
        Ok(())
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// As `take`: there may be more, now that there is room for it.
    pub(super) fn next(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let this = slf.get();
        let message = this.pop();
        if !this.is_paused.get() {
            return Ok(message);
        }
        Self::resume(slf)?;
        Ok(message.or_else(|| this.pop()))
    }

    /// Somebody else waits for a message. Whom nobody refers to was thrown away with its coroutine.
    pub(super) fn is_awaited(&self, py: Python<'_>, by: &Bound<'_, Receive>) -> bool {
        let Some(reader) = self.reader.get(py) else { return false };
        let is_spare = self.spare.get(py).is_some_and(|spare| spare.is(&reader));
        // SAFETY: the object is alive; the lane has it once or twice, and we have it.
        let has_others = unsafe { ffi::Py_REFCNT(reader.as_ptr()) } > 2 + isize::from(is_spare);
        !reader.is(by) && has_others
    }

    /// It waits no more.
    pub(super) fn forget(&self, receive: &Bound<'_, Receive>) {
        let py = receive.py();
        if self.reader.get(py).is_some_and(|reader| reader.is(receive)) {
            drop(self.reader.replace(py, None));
        }
    }

    /// What is raised once there are no more messages.
    pub(super) fn closed(&self, py: Python<'_>) -> PyErr {
        self.ask(py, "closed", ()).map_or_else(|error| error, |error| PyErr::from_value(error.into_bound(py)))
    }

    fn ask<'py, A>(&self, py: Python<'py>, what: &str, arguments: A) -> PyResult<Py<PyAny>>
    where
        A: pyo3::call::PyCallArgs<'py>,
    {
        match self.owner.get(py) {
            Some(owner) => owner.call_method1(what, arguments).map(Bound::unbind),
            None => Ok(py.None()), // collected as garbage: there is nobody who could wait
        }
    }

    fn pop(&self) -> Option<Py<PyAny>> {
        let mut queue = self.queue.borrow_mut();
        let (message, size) = queue.pop_front()?;
        if queue.is_empty() && queue.capacity() > KEPT {
            queue.shrink_to(0); // a read was full of messages; most are not
        }
        drop(queue);
        self.queued.set(self.queued.get() - size);
        Some(message)
    }

    fn push(&self, message: Py<PyAny>, size: usize) {
        if self.is_open.get() {
            self.queued.set(self.queued.get() + size);
            self.queue.borrow_mut().push_back((message, size));
        }
    }

    fn has_messages(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    /// Write a frame, for which the conduit has to be touched; how many bytes it has.
    fn stage(&self, conduit: &Conduit, header: &[u8], payload: &[u8]) -> usize {
        if !conduit.stage(header, payload) {
            self.is_full.set(true);
        }
        let size = header.len() + payload.len();
        self.sent.set(self.sent.get() + size as u64);
        size
    }

    fn stage_control(&self, opcode: u8, payload: &[u8]) {
        pack_control(opcode, payload, |header, payload| self.stage(self.conduit.get(), header, payload));
    }

    fn feed(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let mut goodbye = None;
        this.machine.borrow_mut().feed(data, |event| match event {
            Event::Text(text) => this.push(PyString::new(py, text).into_any().unbind(), text.len()),
            Event::Binary(bytes) => this.push(PyBytes::new(py, bytes).into_any().unbind(), bytes.len()),
            Event::Control(opcode::PING, payload) => this.on_ping(payload),
            Event::Control(opcode::PONG, _) => {}
            Event::Control(opcode, payload) => goodbye = Some((opcode, payload.to_vec())),
            Event::Failed(payload) => goodbye = Some((FAILED, payload.to_vec())),
        });
        this.conduit.get().touch(py);
        if this.has_messages() {
            let is_idle = this.conduit.get().is_no_task_running(py);
            this.wake_reader(py, if is_idle { Wake::Now } else { Wake::Soon })?;
        }
        if let Some((opcode, payload)) = goodbye {
            this.ask(py, "on_goodbye", (opcode, PyBytes::new(py, &payload)))?;
        }
        this.hold_back(py);
        Ok(())
    }

    /// Look for a goodbye behind messages that nobody wants any more.
    fn feed_held(slf: &Bound<'_, Self>) -> PyResult<()> {
        while slf.get().machine.borrow().is_holding() {
            Self::feed(slf, &[])?;
        }
        Ok(())
    }

    fn on_ping(&self, payload: &[u8]) {
        if self.is_full.get() {
            *self.owed_pong.borrow_mut() = Some(payload.to_vec()); // the latest is enough (RFC 6455 §5.5.3)
        } else if self.is_open.get() {
            self.stage_control(opcode::PONG, payload);
        }
    }

    /// Let go on who waits for a message.
    fn wake_reader(&self, py: Python<'_>, wake: Wake) -> PyResult<()> {
        let Some(reader) = self.reader.replace(py, None) else { return Ok(()) };
        match reader.into_bound(py).cast_into::<Receive>() {
            Ok(reader) => Receive::wake(reader, wake),
            Err(_) => Ok(()),
        }
    }

    /// Read no more if the handler has enough to do.
    fn hold_back(&self, py: Python<'_>) {
        if !self.is_open.get() || self.is_paused.get() {
            return;
        }
        let has_enough = self.queue.borrow().len() > self.most_queued || self.queued.get() > self.most_bytes;
        if has_enough || self.machine.borrow().is_holding() {
            self.is_paused.set(true);
            self.conduit.get().pause_reading(py);
        }
    }

    /// Read again once half of what may wait was taken.
    fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.queue.borrow().len() > this.most_queued / 2 || !this.is_open.get() {
            return Ok(());
        }
        this.is_paused.set(false);
        let is_holding = this.machine.borrow().is_holding();
        if is_holding {
            Self::feed(slf, &[])?;
        }
        if !this.is_paused.get() {
            this.conduit.get().resume_reading(py);
        }
        Ok(())
    }
}
