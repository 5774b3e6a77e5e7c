//! An exchange that is lent: what its borrower wants, and what came for him.
//!
//! A lease has two holders, the connection and the borrower. The connection is out of its table while anything
//! happens to it, and the borrower may be called in there; so what he does is left in the lease, and whoever has
//! the connection next acts on it (`Connection::settle_lease`). Content is decoded where it is wanted: received
//! bytes are held undecoded until then, with whatever follows the content.

use std::cell::{Cell, RefCell};
use std::mem;
use std::os::fd::RawFd;

use super::connection::READ_AHEAD;
use super::{Millis, NEVER};
use crate::chunked::Chunked;
use crate::fault::Fault;

/// With more than this unsent the borrower is asked to wait; what one send takes easily.
const ENOUGH_UNSENT: usize = 65_536;
/// Content that nobody wants is read up to this to keep the connection; with more it is closed.
pub(super) const DISCARDED_CONTENT: u64 = 65_536;

/// What a borrower is told.
#[derive(Debug)]
pub enum News<'a> {
    /// Content, decoded; after an upgrade whatever the client sends.
    Content(&'a [u8]),
    /// The content is whole: its trailers, field lines that are each preceded by CRLF.
    End(&'a [u8]),
    /// The content will never be whole.
    Failed(&'a Fault),
    /// The socket has taken everything.
    Room,
    /// The client has closed its side.
    Left,
}

/// How the content of a request is found in what is received.
#[derive(Debug)]
pub enum Framing {
    /// It has ended; what follows is the next request, or belongs to what the connection was upgraded to.
    Whole,
    /// So many bytes are still to come, at least one.
    Length(u64),
    /// Chunks.
    Chunks(Box<Chunked>),
    /// It is broken: nobody knows what follows.
    Broken(Fault),
}

/// A part of a file that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The borrower's.
    pub fd: RawFd,
    /// Where it begins.
    pub offset: u64,
    /// Bytes still to be sent.
    pub left: u64,
}

/// What a borrower says of an answer that he has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// As sent.
    pub status: u16,
    /// Of the answer, without framing.
    pub content_bytes: u64,
    /// The connection goes on, if nothing else forbids it.
    pub keep_alive: bool,
}

/// What was received and is not delivered.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) held: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) trailers: Vec<u8>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Lease {
    pub(super) incoming: RefCell<Incoming>,
    pub(super) staged: RefCell<Vec<u8>>,
    pub(super) finish: Cell<Option<Finish>>,
    pub(super) part: Cell<Option<Part>>,
    /// Bytes that were staged before the part of a file, and go before it.
    pub(super) ahead: Cell<usize>,
    /// Of the connection's output, as of the last send.
    pub(super) unsent: Cell<usize>,
    pub(super) is_blocked: Cell<bool>,
    pub(super) wants_room: Cell<bool>,
    /// Bytes of content that were delivered.
    pub(super) delivered: Cell<u64>,
    /// The window in which the client has to send.
    pub(super) window: Cell<Window>,
    /// Monotonic nanoseconds at which the borrower last got what he needs to go on.
    pub(super) since_ns: Cell<u64>,
    pub(super) has_borrower: Cell<bool>,
    pub(super) is_wanted: Cell<bool>,
    pub(super) was_wanted: Cell<bool>,
    /// The client waits for `100 Continue`.
    pub(super) is_awaited: Cell<bool>,
    /// The content is of a length that may be read and forgotten.
    pub(super) is_short: bool,
    pub(super) is_end_told: Cell<bool>,
    pub(super) is_fault_told: Cell<bool>,
    pub(super) is_left_told: Cell<bool>,
    pub(super) is_half_closed: Cell<bool>,
    pub(super) is_begun: Cell<bool>,
    pub(super) is_upgraded: Cell<bool>,
    pub(super) is_aborted: Cell<bool>,
    pub(super) is_over: Cell<bool>,
    pub(super) is_pumping: Cell<bool>,
    pub(super) is_touched: Cell<bool>,
}

/// See `Lease::window`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// When it began; `NEVER` when there is none.
    pub(super) since: Millis,
    /// What was delivered before.
    pub(super) first: u64,
    /// When it ends, if nothing more comes.
    pub(super) end: Millis,
}

impl Window {
    pub(super) const NONE: Self = Self { since: NEVER, first: 0, end: NEVER };
}

impl Lease {
    /// Of a request without content, or whose content somebody has already.
    pub fn whole(started_ns: u64) -> Self {
        Self::new(Framing::Whole, Vec::new(), false, started_ns)
    }

    /// Of a request whose content is still to come.
    ///
    /// `held` are the bytes that came behind its head; `is_awaited` when the client waits for `100 Continue`.
    pub fn new(framing: Framing, held: Vec<u8>, is_awaited: bool, started_ns: u64) -> Self {
        let is_short = match framing {
            Framing::Whole => true,
            Framing::Length(length) => length <= DISCARDED_CONTENT,
            Framing::Chunks(_) | Framing::Broken(_) => false,
        };
        Self {
            incoming: RefCell::new(Incoming { held, framing, trailers: Vec::new() }),
            staged: RefCell::new(Vec::new()),
            finish: Cell::new(None),
            part: Cell::new(None),
            ahead: Cell::new(0),
            unsent: Cell::new(0),
            is_blocked: Cell::new(false),
            wants_room: Cell::new(false),
            delivered: Cell::new(0),
            window: Cell::new(Window::NONE),
            since_ns: Cell::new(started_ns),
            has_borrower: Cell::new(false),
            is_wanted: Cell::new(false),
            was_wanted: Cell::new(false),
            is_awaited: Cell::new(is_awaited),
            is_short,
            is_end_told: Cell::new(false),
            is_fault_told: Cell::new(false),
            is_left_told: Cell::new(false),
            is_half_closed: Cell::new(false),
            is_begun: Cell::new(false),
            is_upgraded: Cell::new(false),
            is_aborted: Cell::new(false),
            is_over: Cell::new(false),
            is_pumping: Cell::new(false),
            // What is wanted in the handler's first step is acted on as soon as that is over.
            is_touched: Cell::new(true),
        }
    }

    // --- the borrower's side ---

    /// The exchange is finished, or its connection gone or as good as gone: nothing has any effect any more.
    pub fn is_over(&self) -> bool {
        self.is_over.get() || self.is_aborted.get() || self.finish.get().is_some()
    }

    /// The connection has taken the exchange back, or is gone.
    pub fn is_ended(&self) -> bool {
        self.is_over.get()
    }

    /// The borrower answers, and nobody else.
    pub fn is_begun(&self) -> bool {
        self.is_begun.get()
    }

    /// The borrower has written his answer.
    pub fn is_finished(&self) -> bool {
        self.finish.get().is_some()
    }

    /// The borrower wants the connection cut.
    pub fn is_aborted(&self) -> bool {
        self.is_aborted.get()
    }

    /// As far as the content goes, another request may follow: it was read, is being read, or may be forgotten.
    pub fn may_go_on(&self) -> bool {
        if self.is_upgraded.get() {
            return false;
        }
        match self.incoming.borrow().framing {
            Framing::Whole => true,
            Framing::Broken(_) => false,
            // Nobody knows whether a client sends what he was not told to send.
            _ if self.is_awaited.get() => false,
            // Of content that is being read it is believed that all of it will be.
            Framing::Length(_) => self.is_short || self.was_wanted.get(),
            Framing::Chunks(_) => self.was_wanted.get(),
        }
    }

    /// Bytes that the socket has not taken.
    pub fn unsent(&self) -> usize {
        let left = self.part.get().map_or(0, |part| part.left as usize);
        self.unsent.get() + self.staged.borrow().len() + left
    }

    /// The answer's head comes next.
    pub fn begin(&self) {
        if !self.is_over() {
            self.is_begun.set(true);
        }
    }

    /// Send bytes; false when it would be well to wait for room.
    pub fn write(&self, data: &[u8]) -> bool {
        self.write_both(data, &[])
    }

    /// Send bytes that lie in two places.
    pub fn write_both(&self, first: &[u8], second: &[u8]) -> bool {
        if self.is_over() {
            return true;
        }
        let mut staged = self.staged.borrow_mut();
        staged.reserve(first.len() + second.len());
        staged.extend_from_slice(first);
        staged.extend_from_slice(second);
        drop(staged);
        let has_room = !self.is_blocked.get() && self.unsent() <= ENOUGH_UNSENT;
        if !has_room {
            self.wants_room.set(true);
        }
        has_room
    }

    /// Send a part of a file; room is told when it is sent.
    pub fn send_file(&self, part: Part) {
        if self.is_over() {
            return;
        }
        if self.part.get().is_some() {
            return self.abort(); // there is no order in which both could be sent
        }
        self.ahead.set(self.staged.borrow().len());
        self.part.set(Some(part).filter(|part| part.left > 0));
        self.wants_room.set(true);
    }

    /// What follows is no HTTP any more; what of it is held is delivered, if it is wanted.
    pub fn upgrade(&self, tell: &mut dyn FnMut(News<'_>)) {
        if !self.is_over() {
            self.is_upgraded.set(true);
            self.pump(&[], tell);
        }
    }

    /// Everything was written.
    pub fn finish(&self, finish: Finish) {
        if !self.is_over() {
            self.finish.set(Some(finish));
        }
    }

    /// Have the connection cut.
    pub fn abort(&self) {
        if !self.is_over() {
            self.is_aborted.set(true);
        }
    }

    /// Remember that the connection has to act; false when that was known.
    pub fn touch(&self) -> bool {
        !self.is_touched.replace(true)
    }

    /// What the borrower has said of his answer, if all of it is staged: it is moved into the output.
    pub fn settle(&self, output: &mut Vec<u8>) -> Option<Finish> {
        if self.part.get().is_some() {
            output.extend(self.staged.borrow_mut().drain(..self.ahead.take()));
            return None;
        }
        self.take_staged(output);
        self.finish.get()
    }

    // --- the connection's side ---

    /// There is something to act on; not any more.
    pub(super) fn take_touched(&self) -> bool {
        self.is_touched.replace(false)
    }

    pub(super) fn is_touched(&self) -> bool {
        self.is_touched.get()
    }

    /// It has no more effect.
    pub fn end(&self) {
        self.is_over.set(true);
    }

    /// Move what is to be sent behind what is unsent.
    pub(super) fn take_staged(&self, output: &mut Vec<u8>) {
        let mut staged = self.staged.borrow_mut();
        if output.is_empty() {
            mem::swap(output, &mut staged);
        } else {
            output.extend_from_slice(&staged);
        }
        *staged = Vec::new(); // a conversation that is silent holds no memory
    }

    /// The client has to send now, or will be too slow.
    pub(super) fn wants_content(&self) -> bool {
        let is_open = matches!(self.incoming.borrow().framing, Framing::Length(_) | Framing::Chunks(_));
        is_open && self.is_wanted.get()
    }

    /// The connection is to be read.
    pub(super) fn wants_bytes(&self) -> bool {
        let incoming = self.incoming.borrow();
        let held = incoming.held.len();
        match incoming.framing {
            _ if self.is_half_closed.get() => false,
            Framing::Whole if self.is_upgraded.get() => self.is_wanted.get(),
            // To hear of a client who leaves; he may have asked for more.
            Framing::Whole => held < READ_AHEAD,
            Framing::Length(left) => self.is_wanted.get() || left <= held as u64 && held < READ_AHEAD,
            Framing::Chunks(_) => self.is_wanted.get(),
            Framing::Broken(_) => false,
        }
    }

    /// No deadline runs for the borrower.
    pub(super) fn is_untimed(&self) -> bool {
        self.is_begun.get() || self.is_upgraded.get()
    }

    /// Bytes of content that were delivered.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// Bytes received and not delivered.
    pub(super) fn held(&self) -> usize {
        self.incoming.borrow().held.len()
    }

    /// Bytes written and not moved into the output.
    pub(super) fn staged(&self) -> usize {
        self.staged.borrow().len()
    }

    /// What was wrong with the content.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &self.incoming.borrow().framing {
            Framing::Broken(fault) => Some(fault.clone()),
            _ => None,
        }
    }

    /// The content will never be whole.
    pub(super) fn fail(&self, fault: &Fault) {
        let mut incoming = self.incoming.borrow_mut();
        incoming.framing = Framing::Broken(fault.clone());
        incoming.held = Vec::new();
    }

    /// Give the connection back: what belongs to the next request, and how much content is still to be forgotten.
    /// None when the connection cannot go on.
    pub(super) fn give_back(&self) -> Option<(Vec<u8>, u64)> {
        if !self.may_go_on() {
            return None;
        }
        let mut incoming = self.incoming.borrow_mut();
        let mut held = mem::take(&mut incoming.held);
        let forgotten = match incoming.framing {
            Framing::Whole => 0,
            Framing::Length(left) if left <= DISCARDED_CONTENT => left,
            _ => return None,
        };
        let here = forgotten.min(held.len() as u64);
        held.drain(..here as usize);
        Some((held, forgotten - here))
    }
}
