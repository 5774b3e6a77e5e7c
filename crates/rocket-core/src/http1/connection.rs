//! One client: what its bytes mean, what it is owed, and which deadline runs.

use std::os::fd::RawFd;

use std::rc::Rc;

use super::ending::{LINGER_TOTAL, after_ns};
use super::serving::is_blank;
use super::{App, Lease, Millis, Moment, NEVER, Receiving, Reply, Settings, Terms, Why};
use crate::fault::Fault;
use crate::head::parse_head;

/// Received bytes held while a handler runs; then the client has to wait.
pub(super) const READ_AHEAD: usize = 65_536;
/// After the last answer: closed when the client has been silent for this long.
pub(super) const LINGER_QUIET: Millis = 2_000;
/// A new connection this silent may be closed in favour of others.
const FRESH_IDLE: Millis = 1_000;
/// While draining, a new connection's first request is waited for no longer than this.
const DRAIN_FRESH: Millis = 1_000;

pub(super) const HEAD_CUT: Fault = Fault::bad("the request ends in the middle of its head (RFC 9112 §8)");
pub(super) const CONTENT_CUT: Fault = Fault::bad("the content is cut short (RFC 9112 §8)");
const HEAD_SLOW: Fault = Fault::new(408, "the head took too long (RFC 9110 §15.5.9)");
const CONTENT_SLOW: Fault = Fault::new(408, "the content came too slowly (RFC 9110 §15.5.9)");

/// What a connection waits for, and so what received bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first byte after accept.
    Fresh,
    /// The next request, on a connection that has served one.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a request's content.
    Content,
    /// A handler.
    Handler,
    /// Whoever the exchange was lent to: content goes to him, and the answer comes from him, as it is made.
    Lent,
    /// The client, to read the last answer and close; what it sends is forgotten.
    Linger,
}

/// What the shell does with the socket once the output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Stay,
    /// Half-close, so that the client can read the last answer (RFC 9112 §9.6).
    HalfClose,
    /// Close.
    Close,
    /// Close at once; what is unsent is lost.
    Abort,
}

/// A client that does not take what was written.
#[derive(Debug)]
pub(super) struct Blocked {
    /// When that began.
    pub(super) since: Millis,
    /// Bytes unsent then.
    pub(super) first: usize,
    /// Bytes unsent at the last look.
    pub(super) last: usize,
    /// Bytes unsent now.
    pub(super) left: usize,
}

/// A handler that waits.
#[derive(Debug)]
pub(super) struct Waiting<R> {
    pub(super) running: R,
    pub(super) terms: Terms,
    /// What the exchange was lent by.
    pub(super) lease: Option<Rc<Lease>>,
}

/// One client. `G` is what the application keeps for it; see `App`.
pub struct Connection<A: App> {
    /// The socket.
    pub fd: RawFd,
    /// See `Phase`.
    pub phase: Phase,
    /// What the shell does next.
    pub after: After,
    /// The shell is to receive.
    pub is_reading: bool,
    /// There may be whole requests in what was received: the shell calls `go_on` in its next turn.
    pub has_more: bool,
    /// The shell has told the driver to read.
    pub is_watched: bool,
    /// For when the shell has put it among the timers.
    pub timed_for: Millis,
    pub(super) is_half_closed: bool,
    pub(super) scanned: u32,
    /// When `on_deadline` is due.
    pub deadline: Millis,
    /// Monotonic nanoseconds since when nothing was asked or owed; means something while `is_idle`.
    pub idle_since_ns: u64,
    pub(super) linger_until: Millis,
    pub(super) pending: Vec<u8>,
    /// Answers, as long as some of it is unsent.
    pub output: Vec<u8>,
    /// Bytes of the output that the client has taken.
    pub(super) sent: usize,
    pub(super) blocked: Option<Box<Blocked>>,
    pub(super) receiving: Option<Box<Receiving<A::Asked>>>,
    pub(super) waiting: Option<Box<Waiting<A::Running>>>,
    /// What the application keeps.
    pub guest: A::Guest,
    /// Its own settings, instead of the server's.
    pub own: Option<Rc<Settings>>,
    pub(super) why: Option<Box<Why>>,
}

impl<A: App> Connection<A> {
    /// A connection that was just accepted.
    pub fn new(fd: RawFd, guest: A::Guest, settings: &Settings, at: Moment) -> Self {
        Self {
            fd,
            phase: Phase::Fresh,
            after: After::Stay,
            is_reading: true,
            has_more: false,
            is_watched: true,
            timed_for: NEVER,
            is_half_closed: false,
            scanned: 0,
            deadline: at.after(settings.timeouts.first_byte),
            idle_since_ns: at.now_ns,
            linger_until: 0,
            pending: Vec::new(),
            output: Vec::new(),
            sent: 0,
            blocked: None,
            receiving: None,
            waiting: None,
            guest,
            own: None,
            why: None,
        }
    }

    /// Nothing is asked, owed or unsent.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Fresh) && self.pending.is_empty() && !self.is_blocked()
    }

    /// It may be closed in favour of others; a new connection is left a moment to ask.
    pub fn is_idle_enough(&self, at: Moment) -> bool {
        self.is_idle()
            && (self.phase == Phase::Idle
                || at.now_ns.saturating_sub(self.idle_since_ns) >= FRESH_IDLE * 1_000_000)
    }

    /// The client does not take what was written.
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Bytes received and not served yet, answered and not sent yet.
    pub fn held_bytes(&self) -> (usize, usize) {
        let (held, staged) = self.lease().map_or((0, 0), |lease| (lease.held(), lease.staged()));
        (self.pending.len() + held, self.unsent().len() + staged)
    }

    /// Take bytes.
    pub fn on_bytes(&mut self, data: &[u8], app: &A, settings: &Settings, at: Moment) {
        match self.phase {
            Phase::Idle | Phase::Fresh if self.pending.is_empty() && !self.is_blocked() => {
                self.serve(data, app, settings, at);
            }
            Phase::Head => {
                self.pending.extend_from_slice(data);
                // Asked here, so that dripping bytes neither move what came before nor extend the deadline.
                match parse_head(&self.pending, &settings.limits, self.scanned as usize) {
                    Ok(None) => self.scanned = self.pending.len() as u32,
                    _ => self.serve_pending(app, settings, at),
                }
            }
            Phase::Content => self.on_content(data, app, settings, at),
            Phase::Lent => self.on_lent_bytes(data, app, settings, at),
            // A client that has not read the last answer yet has the time that any client has for that.
            Phase::Linger if self.is_blocked() => {}
            Phase::Linger => self.deadline = (at.now() + LINGER_QUIET).min(self.linger_until),
            _ => {
                self.pending.extend_from_slice(data);
                self.is_reading &= self.pending.len() < READ_AHEAD;
            }
        }
    }

    /// The client has sent everything: what is complete is still answered, what is not is refused.
    pub fn on_end(&mut self, app: &A, at: Moment) {
        self.is_half_closed = true;
        self.is_reading = false;
        match self.phase {
            Phase::Linger => self.after = After::Close,
            Phase::Head if !is_blank(&self.pending) => {
                self.refuse(&HEAD_CUT, None, app, at);
            }
            Phase::Content => self.refuse(&CONTENT_CUT, None, app, at),
            Phase::Handler => {}
            Phase::Lent => self.on_lent_end(app),
            _ if self.is_blocked() || (self.phase != Phase::Head && !self.pending.is_empty()) => {}
            _ => self.close_when_sent(at),
        }
    }

    /// The connection broke.
    pub fn on_broken(&mut self, errno: i32) {
        self.why.get_or_insert_with(|| Box::new(Why::Broken(errno)));
        self.after = After::Abort;
    }

    /// A handler that waited has its result: `write` puts the answer into the output, or says what else comes of
    /// it.
    pub fn on_handled(
        &mut self,
        settings: &Settings,
        at: Moment,
        write: impl FnOnce(&mut A::Guest, A::Running, Terms, &mut Vec<u8>) -> Reply<A::Running>,
    ) {
        let Some(waiting) = self.waiting.take() else { return };
        self.phase = Phase::Idle;
        let Waiting { running, terms, lease } = *waiting;
        let is_last = at.is_draining && self.pending.is_empty();
        let terms = Terms { keep_alive: terms.keep_alive && !is_last, ..terms };
        match lease {
            None => {
                let reply = write(&mut self.guest, running, terms, &mut self.output);
                self.on_reply(reply, terms, settings, at);
            }
            Some(lease) => {
                lease.take_staged(&mut self.output);
                let terms = Terms { keep_alive: terms.keep_alive && lease.may_go_on(), ..terms };
                let reply = write(&mut self.guest, running, terms, &mut self.output);
                let rest = self.on_lent_reply(reply, &lease, terms, settings, at);
                self.pending.extend_from_slice(&rest); // behind what was held before it was lent
            }
        }
        self.rest(settings, at);
    }

    /// A handler's answer is written: go on with what was held back meanwhile.
    pub(super) fn rest(&mut self, settings: &Settings, at: Moment) {
        if self.phase != Phase::Idle {
            return;
        }
        self.idle_since_ns = at.now_ns;
        if !self.is_blocked() {
            self.deadline = if self.pending.is_empty() { at.after(settings.timeouts.idle) } else { NEVER };
        }
        self.has_more = !self.pending.is_empty() || self.is_half_closed;
    }

    /// A handler waits.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Serve what was held back, unless it has to wait again.
    pub fn go_on(&mut self, app: &A, settings: &Settings, at: Moment) {
        self.has_more = false;
        if self.is_blocked() || !matches!(self.phase, Phase::Idle | Phase::Head) {
            return;
        }
        if self.phase == Phase::Idle && !self.pending.is_empty() {
            self.serve_pending(app, settings, at);
        } else if self.is_half_closed && self.phase == Phase::Idle {
            self.close_with(at);
        }
        let is_held = self.phase == Phase::Idle && !self.pending.is_empty();
        let is_enough = self.phase == Phase::Handler && self.pending.len() >= READ_AHEAD;
        if !(self.is_blocked() || is_held || is_enough || self.is_half_closed) {
            self.is_reading = true;
        }
    }

    /// Act on what took too long. `has_unread` says whether something of the client was not received yet.
    pub fn on_deadline(
        &mut self,
        app: &A,
        settings: &Settings,
        at: Moment,
        has_unread: impl FnOnce() -> bool,
    ) {
        if self.is_blocked() {
            self.on_write_deadline(settings, at);
            return;
        }
        match self.phase {
            Phase::Linger => self.after = After::Abort,
            Phase::Fresh | Phase::Idle => {
                // A request that came just in time is read before it is asked again.
                if self.pending.is_empty() && !(self.is_reading && has_unread()) {
                    self.close_idle(at);
                }
            }
            Phase::Head if is_blank(&self.pending) => self.close_idle(at),
            Phase::Head => self.refuse(&HEAD_SLOW, None, app, at),
            Phase::Content => self.refuse(&CONTENT_SLOW, None, app, at),
            Phase::Handler => self.give_up(app, at),
            Phase::Lent => self.on_lent_deadline(app, at),
        }
    }

    /// The handler took too long.
    pub(super) fn give_up(&mut self, app: &A, at: Moment) {
        if let Some(waiting) = self.waiting.take() {
            self.why = Some(Box::new(Why::TooSlow));
            let Waiting { running, terms, .. } = *waiting;
            app.give_up(&mut self.guest, running, terms.started_ns, &mut self.output);
            self.close_with(at);
        }
    }

    /// Close an idle connection: nothing is owed that the client would have to read first.
    pub fn close_idle(&mut self, at: Moment) {
        self.close_when_sent(at);
        self.after = After::Close;
    }

    /// Close it if nothing is asked of it; else its next answer is its last.
    pub fn drain(&mut self, at: Moment, has_unread: impl FnOnce() -> bool) {
        if self.phase == Phase::Idle && self.is_idle() && !has_unread() {
            self.close_idle(at);
        } else if self.phase == Phase::Fresh {
            self.deadline = self.deadline.min(at.now() + DRAIN_FRESH);
        }
    }

    /// What is to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// The socket took so many bytes of what is unsent; the client has to make room for the rest.
    pub fn on_sent(&mut self, taken: usize, settings: &Settings, at: Moment) {
        self.sent += taken;
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            if self.blocked.take().is_some() {
                self.on_room(settings, at);
            }
            return;
        }
        // Half of it at a time, so that many small pieces of a large answer do not move it each.
        if self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        self.block(self.unsent().len(), taken, settings, at);
    }

    /// So much is left of what is to be sent, of which so much was taken: the client has to make room.
    pub(super) fn block(&mut self, left: usize, taken: usize, settings: &Settings, at: Moment) {
        match &mut self.blocked {
            None => {
                self.blocked = Some(Box::new(Blocked { since: at.now(), first: left, last: left, left }));
                self.deadline = at.after(settings.timeouts.write);
                // Whoever has a lease says himself what he wants to read meanwhile.
                if !matches!(self.phase, Phase::Linger | Phase::Lent) {
                    self.is_reading = false;
                }
            }
            Some(blocked) => {
                // What was answered meanwhile counts as unsent from the beginning.
                let added = left + taken - blocked.left;
                blocked.first += added;
                blocked.last += added;
                blocked.left = left;
            }
        }
    }

    /// The client has taken everything: go on where we stopped.
    pub(super) fn on_room(&mut self, settings: &Settings, at: Moment) {
        let timeouts = &settings.timeouts;
        match self.phase {
            Phase::Linger => {
                self.linger_until = at.now() + LINGER_TOTAL;
                self.deadline = at.now() + LINGER_QUIET;
            }
            Phase::Handler => {
                self.deadline = self
                    .waiting
                    .as_ref()
                    .map_or(NEVER, |waiting| after_ns(waiting.terms.started_ns, timeouts.handler));
                // Here, because the handler's end resumes it only when something was held.
                self.is_reading = !self.is_half_closed && self.pending.len() < READ_AHEAD;
            }
            Phase::Lent => {
                if let Some(lease) = self.lease() {
                    self.time_lent(&lease, settings, at);
                }
            }
            Phase::Content => {
                if let Some(receiving) = &mut self.receiving {
                    receiving.started = at.now();
                }
                self.deadline = at.after(timeouts.body);
                self.is_reading = !self.is_half_closed;
            }
            phase => {
                self.idle_since_ns = at.now_ns;
                self.deadline = at.after(if phase == Phase::Head { timeouts.head } else { timeouts.idle });
                self.has_more = true;
            }
        }
    }

    /// It is gone: tell the application.
    pub fn closed(self, app: &A) {
        let running = self.waiting.map(|waiting| {
            waiting.lease.iter().for_each(|lease| lease.end());
            waiting.running
        });
        app.closed(self.guest, running, self.why.as_deref());
    }
}
