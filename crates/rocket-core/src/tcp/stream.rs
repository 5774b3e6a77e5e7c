//! One connection below HTTP: a machine that is told what happened and keeps what has to be kept.
//!
//! Bytes that nobody has asked for wait in the inbox, bytes that the socket did not take in the outbox. Who owns
//! the connection closes it; then what is staged still leaves, our end is sent, and what the client sends is
//! dropped for a moment, so that it can read what it got: a socket that is closed while it holds unread bytes
//! resets the connection, and takes the last answer with it.

use std::mem;

use super::{Input, Output};

/// Monotonic milliseconds.
pub type Millis = u64;

/// Tells the time; asked only where it matters, because it costs as much as the rest.
pub(super) type Clock<'a> = &'a dyn Fn() -> Millis;

/// No deadline.
pub(super) const NEVER: Millis = Millis::MAX;

/// After our end a client that is silent for this long is left alone,
const LINGER_QUIET: Millis = 2_000;
/// and any other after this long. As the HTTP connections have it.
const LINGER_TOTAL: Millis = 10_000;

/// An emptied outbox this large is kept for the next bytes; a larger one gives its memory back.
const KEPT_OUTBOX: usize = 1 << 16;

/// What one connection may take and how long its client may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// With this many bytes unread nothing more is received. What the driver had received already is kept.
    pub unread: usize,
    /// With more than this staged and unsent, nothing more can be staged.
    pub unsent: usize,
    /// How long somebody waits for the client without a byte; zero: for ever.
    pub idle: Millis,
    /// How long, once closed, the client may take no byte of what is staged.
    pub close: Millis,
}

/// How it stands with the client's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    /// More may come.
    Open,
    /// The client sends no more.
    Ended,
    /// The connection broke: errno.
    Broken(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its owner uses it.
    Open,
    /// Closed by its owner; staged bytes leave.
    Closing,
    /// Everything is sent, our end too; what comes is dropped.
    Lingering,
}

/// How it stands with our end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// To be sent behind what is staged.
    Wanted,
    Sent,
}

/// What has to be done to the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Stay,
    /// Send our end.
    SendEnd,
    /// Close the socket; the connection stays for its owner, who has not closed it.
    Release,
    /// Close the socket; nobody wants the connection any more.
    Close,
}

/// Why bytes cannot be staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection was closed here.
    Closed,
    /// It broke: errno.
    Broken(i32),
    /// Our end is, or will be, sent already.
    Ended,
    /// Too much is staged: so many bytes.
    Full(usize),
}

/// See the module.
pub(super) struct Stream<G> {
    /// Whatever belongs to it.
    pub(super) guest: G,
    /// -1 when the socket is closed.
    pub(super) fd: i32,
    /// The driver reads it.
    pub(super) is_reading: bool,
    /// It is in the list of those with something to be sent.
    pub(super) is_dirty: bool,
    /// The wheel will look at it then, or earlier.
    pub(super) timed_for: Millis,
    /// Somebody waits for bytes.
    awaits_input: bool,
    /// Somebody waits until everything is sent.
    awaits_output: bool,
    options: Options,
    received: Received,
    phase: Phase,
    end: End,
    has_timed_out: bool,
    inbox: Vec<u8>,
    taken: usize,
    outbox: Vec<u8>,
    sent: usize,
    read_deadline: Millis,
    write_deadline: Millis,
    linger_until: Millis,
}

impl<G> Stream<G> {
    pub(super) fn new(fd: i32, guest: G, options: Options) -> Self {
        Self {
            guest,
            fd,
            is_reading: true,
            is_dirty: false,
            timed_for: NEVER,
            awaits_input: false,
            awaits_output: false,
            options,
            received: Received::Open,
            phase: Phase::Open,
            end: End::Open,
            has_timed_out: false,
            inbox: Vec::new(),
            taken: 0,
            outbox: Vec::new(),
            sent: 0,
            read_deadline: NEVER,
            write_deadline: NEVER,
            linger_until: NEVER,
        }
    }

    // --- what came ---

    /// Keep bytes, or drop those of a closed connection.
    pub(super) fn on_bytes(&mut self, bytes: &[u8], clock: Clock<'_>) {
        if self.phase != Phase::Open {
            self.linger(clock);
            return;
        }
        if self.taken > 0 {
            self.inbox.drain(..self.taken);
            self.taken = 0;
        }
        self.inbox.extend_from_slice(bytes);
    }

    /// The client sends no more: whether somebody waited for bytes. The driver has stopped reading by itself.
    pub(super) fn on_end(&mut self) -> bool {
        self.is_reading = false;
        self.received = Received::Ended;
        self.end_input_wait()
    }

    /// The socket is closed.
    pub(super) fn on_released(&mut self) {
        self.fd = -1;
        self.is_reading = false;
    }

    /// The connection broke. Bytes that came before can still be read.
    pub(super) fn on_broken(&mut self, errno: i32) {
        self.received = Received::Broken(errno);
        self.outbox = Vec::new();
        self.sent = 0;
    }

    /// What there is for a reader: all bytes, and how many of them were taken before. What is not used goes back
    /// with `put_back`.
    pub(super) fn take_input(&mut self) -> Input<(Vec<u8>, usize)> {
        match (self.phase, self.received) {
            (Phase::Closing | Phase::Lingering, _) => Input::Closed,
            _ if self.unread() > 0 => Input::Bytes((mem::take(&mut self.inbox), mem::take(&mut self.taken))),
            (_, Received::Open) => Input::Waits,
            (_, Received::Ended) => Input::End,
            (_, Received::Broken(errno)) => Input::Broken(errno),
        }
    }

    /// Bytes of the inbox of which only so many were taken.
    pub(super) fn put_back(&mut self, inbox: Vec<u8>, taken: usize) {
        if taken < inbox.len() {
            self.inbox = inbox;
            self.taken = taken;
        }
    }

    fn unread(&self) -> usize {
        self.inbox.len() - self.taken
    }

    /// Whether the driver is to read.
    pub(super) fn should_read(&self) -> bool {
        self.received == Received::Open && (self.phase != Phase::Open || self.unread() < self.options.unread)
    }

    // --- what leaves ---

    /// Append to what will be sent.
    ///
    /// # Errors
    /// It cannot be sent, or too much is staged already.
    pub(super) fn stage(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.may_stage()?;
        self.outbox.extend_from_slice(bytes);
        Ok(())
    }

    fn may_stage(&self) -> Result<(), Refusal> {
        match (self.phase, self.received, self.end) {
            (Phase::Closing | Phase::Lingering, _, _) => Err(Refusal::Closed),
            (_, Received::Broken(errno), _) => Err(Refusal::Broken(errno)),
            (_, _, End::Wanted | End::Sent) => Err(Refusal::Ended),
            _ if self.unsent().len() > self.options.unsent => Err(Refusal::Full(self.unsent().len())),
            _ => Ok(()),
        }
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.outbox[self.sent..]
    }

    /// The socket took this many.
    pub(super) fn on_sent(&mut self, count: usize, clock: Clock<'_>) {
        self.sent += count;
        if self.sent == self.outbox.len() {
            self.sent = 0;
            self.outbox.clear();
            if self.outbox.capacity() > KEPT_OUTBOX {
                self.outbox = Vec::new();
            }
            self.write_deadline = NEVER;
        } else if count > 0 {
            self.expect_progress(clock);
        }
    }

    /// Send our end behind what is staged. Done before, it is no error.
    ///
    /// # Errors
    /// The connection is closed or broken.
    pub(super) fn end(&mut self) -> Result<(), Refusal> {
        match self.may_stage() {
            Err(refusal @ (Refusal::Closed | Refusal::Broken(_))) => Err(refusal),
            _ => {
                if self.end == End::Open {
                    self.end = End::Wanted;
                }
                Ok(())
            }
        }
    }

    /// Its owner is done with it: whether somebody waited for bytes. Done before, it changes nothing.
    pub(super) fn close(&mut self, clock: Clock<'_>) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        self.phase = Phase::Closing;
        self.inbox = Vec::new();
        self.taken = 0;
        if self.end == End::Open {
            self.end = End::Wanted;
        }
        self.expect_progress(clock);
        self.end_input_wait()
    }

    /// Our end left.
    pub(super) fn on_end_sent(&mut self) {
        self.end = End::Sent;
    }

    /// What is to be done to the socket now; asked again after it is done.
    pub(super) fn next(&mut self, clock: Clock<'_>) -> Next {
        let is_owned = self.phase == Phase::Open;
        if matches!(self.received, Received::Broken(_)) {
            return match (is_owned, self.fd) {
                (false, _) => Next::Close,
                (true, -1) => Next::Stay,
                (true, _) => Next::Release,
            };
        }
        if !self.unsent().is_empty() {
            return Next::Stay;
        }
        if self.end == End::Wanted {
            return Next::SendEnd;
        }
        if is_owned {
            return Next::Stay;
        }
        if self.received == Received::Ended {
            return Next::Close;
        }
        if self.phase == Phase::Closing {
            self.phase = Phase::Lingering;
            self.write_deadline = NEVER;
            self.linger_until = clock() + LINGER_TOTAL;
            self.linger(clock);
        }
        Next::Stay
    }

    // --- time ---

    /// Somebody waits for bytes from now on.
    pub(super) fn await_input(&mut self, clock: Clock<'_>) {
        self.awaits_input = true;
        self.read_deadline = if self.options.idle > 0 { clock() + self.options.idle } else { NEVER };
    }

    /// Nobody does any more: whether somebody did.
    pub(super) fn end_input_wait(&mut self) -> bool {
        let is_awaited = mem::replace(&mut self.awaits_input, false);
        if is_awaited {
            self.read_deadline = NEVER;
        }
        is_awaited
    }

    /// Somebody wants to wait until everything is sent; there is a wait only if it is not.
    pub(super) fn await_output(&mut self, clock: Clock<'_>) -> Output {
        match (self.phase, self.received) {
            (Phase::Closing | Phase::Lingering, _) => return Output::Closed,
            (_, Received::Broken(errno)) => return Output::Broken(errno),
            _ if self.unsent().is_empty() => return Output::Sent,
            _ => {}
        }
        self.awaits_output = true;
        if self.write_deadline == NEVER {
            self.expect_progress(clock);
        }
        Output::Waits
    }

    /// Nobody does any more: whether somebody did.
    pub(super) fn end_output_wait(&mut self) -> bool {
        let is_awaited = mem::replace(&mut self.awaits_output, false);
        if self.phase == Phase::Open {
            self.write_deadline = NEVER;
        }
        is_awaited
    }

    fn expect_progress(&mut self, clock: Clock<'_>) {
        self.write_deadline = match self.phase {
            Phase::Open if self.awaits_output && self.options.idle > 0 => clock() + self.options.idle,
            Phase::Closing => clock() + self.options.close,
            _ => NEVER,
        };
    }

    fn linger(&mut self, clock: Clock<'_>) {
        if self.phase == Phase::Lingering {
            self.read_deadline = self.linger_until.min(clock() + LINGER_QUIET);
        }
    }

    /// The next moment at which something has to happen.
    pub(super) fn deadline(&self) -> Millis {
        self.read_deadline.min(self.write_deadline)
    }

    /// The reader has waited too long; told once.
    pub(super) fn is_input_late(&mut self, now: Millis) -> bool {
        let is_late = self.phase == Phase::Open && self.read_deadline <= now;
        self.has_timed_out |= is_late;
        is_late
    }

    /// Those who wait until everything is sent have waited too long; told once.
    pub(super) fn is_output_late(&mut self, now: Millis) -> bool {
        let is_late = self.phase == Phase::Open && self.write_deadline <= now;
        self.has_timed_out |= is_late;
        is_late
    }

    /// The client has had time enough to take what was staged, or to read it.
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.phase != Phase::Open && self.deadline() <= now
    }

    /// Another patience from the next wait on.
    pub(super) fn set_idle(&mut self, idle: Millis) {
        self.options.idle = idle;
    }

    pub(super) fn idle(&self) -> Millis {
        self.options.idle
    }

    pub(super) fn has_timed_out(&self) -> bool {
        self.has_timed_out
    }

    /// Its owner has not closed it.
    pub(super) fn is_owned(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Nor is it broken.
    pub(super) fn is_open(&self) -> bool {
        self.is_owned() && !matches!(self.received, Received::Broken(_))
    }

    /// Something is staged that the socket has not taken, our end included.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent().is_empty() || self.end == End::Wanted
    }
}
