//! One client: what its bytes mean, what it is owed, and which deadline runs.

use std::mem;
use std::os::fd::RawFd;

use super::{App, Intake, Millis, Moment, NEVER, Receiving, Reply, Settings, Terms, Why};
use crate::chunked::Chunked;
use crate::fault::Fault;
use crate::head::{Content, Head, parse_head};

/// Of answers in one batch: then they are written, and the client has to take them.
const OWED_BYTES: usize = 65_536;
/// Received bytes held while a handler runs; then the client has to wait.
const READ_AHEAD: usize = 65_536;
/// Content that nobody wants is read up to this to keep the connection; with more it is closed.
const DISCARDED_CONTENT: u64 = 65_536;
/// After the last answer: closed when the client has been silent for this long,
const LINGER_QUIET: Millis = 2_000;
/// or at the latest after this; nginx waits 5 and 30 seconds.
const LINGER_TOTAL: Millis = 10_000;
/// A new connection this silent may be closed in favour of others.
const FRESH_IDLE: Millis = 1_000;
/// While draining, a new connection's first request is waited for no longer than this.
const DRAIN_FRESH: Millis = 1_000;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const HEAD_CUT: Fault = Fault::bad("the request ends in the middle of its head (RFC 9112 §8)");
const CONTENT_CUT: Fault = Fault::bad("the content is cut short (RFC 9112 §8)");
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
struct Unsent {
    since: Millis,
    first: usize,
    last: usize,
}

/// A handler that waits.
#[derive(Debug)]
struct Waiting<R> {
    running: R,
    terms: Terms,
}

/// One client. `G` is what the application keeps for it; see `App`.
pub struct Connection<A: App> {
    /// The socket.
    pub fd: RawFd,
    /// See `Phase`.
    pub phase: Phase,
    /// What the shell does next.
    pub after: After,
    /// The shell has half-closed.
    pub has_said_goodbye: bool,
    /// The shell is to receive.
    pub is_reading: bool,
    /// There may be whole requests in what was received: the shell calls `go_on` in its next turn.
    pub has_more: bool,
    /// The shell has told the driver to read.
    pub is_watched: bool,
    /// For when the shell has put it among the timers.
    pub timed_for: Millis,
    is_half_closed: bool,
    scanned: u32,
    /// When `on_deadline` is due.
    pub deadline: Millis,
    /// Monotonic nanoseconds since when nothing was asked or owed; means something while `is_idle`.
    pub idle_since_ns: u64,
    linger_until: Millis,
    pending: Vec<u8>,
    /// To be sent; the shell removes what was.
    pub output: Vec<u8>,
    unsent: Option<Box<Unsent>>,
    receiving: Option<Box<Receiving<A::Asked>>>,
    waiting: Option<Box<Waiting<A::Running>>>,
    /// What the application keeps.
    pub guest: A::Guest,
    why: Option<Box<Why>>,
}

impl<A: App> Connection<A> {
    /// A connection that was just accepted.
    pub fn new(fd: RawFd, guest: A::Guest, settings: &Settings, at: Moment) -> Self {
        Self {
            fd,
            phase: Phase::Fresh,
            after: After::Stay,
            has_said_goodbye: false,
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
            unsent: None,
            receiving: None,
            waiting: None,
            guest,
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
        self.unsent.is_some()
    }

    /// Bytes received and not served yet, answered and not sent yet.
    pub fn held_bytes(&self) -> (usize, usize) {
        (self.pending.len(), self.output.len())
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
            Phase::Head if self.pending.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) => {
                self.refuse(&HEAD_CUT, None, app, at);
            }
            Phase::Content => self.refuse(&CONTENT_CUT, None, app, at),
            Phase::Handler => {}
            _ if self.is_blocked() || (self.phase != Phase::Head && !self.pending.is_empty()) => {}
            _ => self.close_when_sent(at),
        }
    }

    /// The connection broke.
    pub fn on_broken(&mut self, errno: i32) {
        self.why.get_or_insert_with(|| Box::new(Why::Broken(errno)));
        self.after = After::Abort;
    }

    /// A handler that waited has its result: `write` puts the answer into the output and says whether the
    /// connection ends after it.
    pub fn on_handled(
        &mut self,
        settings: &Settings,
        at: Moment,
        write: impl FnOnce(&mut A::Guest, A::Running, Terms, &mut Vec<u8>) -> bool,
    ) {
        let Some(waiting) = self.waiting.take() else { return };
        self.phase = Phase::Idle;
        let is_last = at.is_draining && self.pending.is_empty();
        let terms = Terms { keep_alive: waiting.terms.keep_alive && !is_last, ..waiting.terms };
        if write(&mut self.guest, waiting.running, terms, &mut self.output) {
            self.close_with(at);
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

    /// Act on what took too long. `has_unread` says whether the kernel holds bytes of the client.
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
                if self.pending.is_empty() && !has_unread() {
                    self.close_idle(at);
                }
            }
            Phase::Head if self.pending.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {
                self.close_idle(at)
            }
            Phase::Head => self.refuse(&HEAD_SLOW, None, app, at),
            Phase::Content => self.refuse(&CONTENT_SLOW, None, app, at),
            Phase::Handler => {
                if let Some(waiting) = self.waiting.take() {
                    self.why = Some(Box::new(Why::TooSlow));
                    let Waiting { running, terms } = *waiting;
                    app.give_up(&mut self.guest, running, terms.started_ns, &mut self.output);
                    self.close_with(at);
                }
            }
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

    /// The socket did not take all of the output: so many bytes are left.
    pub fn on_unsent(&mut self, settings: &Settings, at: Moment) {
        let left = self.output.len();
        match &mut self.unsent {
            None => {
                self.unsent = Some(Box::new(Unsent { since: at.now(), first: left, last: left }));
                self.deadline = at.after(settings.timeouts.write);
                if self.phase != Phase::Linger {
                    self.is_reading = false;
                }
            }
            Some(unsent) if left > unsent.last => {
                let more = left - unsent.last;
                unsent.first += more;
                unsent.last += more;
            }
            Some(_) => {}
        }
    }

    /// The client has taken everything: go on where we stopped.
    pub fn on_sent(&mut self, settings: &Settings, at: Moment) {
        if self.unsent.take().is_none() {
            return;
        }
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
        let running = self.waiting.map(|waiting| waiting.running);
        app.closed(self.guest, running, self.why.as_deref());
    }

    // --- serving ---

    fn serve_pending(&mut self, app: &A, settings: &Settings, at: Moment) {
        let data = mem::take(&mut self.pending);
        self.serve(&data, app, settings, at);
    }

    /// Answer every complete request in received bytes and keep the rest.
    fn serve(&mut self, data: &[u8], app: &A, settings: &Settings, at: Moment) {
        let mut position = 0;
        let mut answers = 0;
        let mut is_full = false;
        let mut at = at;
        let owed = self.output.len();
        self.phase = Phase::Idle;
        while position < data.len() {
            let rest = &data[position..];
            let head = match parse_head(rest, &settings.limits, 0) {
                Ok(Some(head)) => head,
                Ok(None) => break,
                Err(fault) => return self.refuse(&fault, None, app, at),
            };
            if head.content == Content::None && !head.unmet_expectation {
                position += head.end;
                let is_last = at.is_draining && position == data.len();
                let terms = Terms { keep_alive: head.keep_alive && !is_last, started_ns: at.now_ns };
                let reply = app.answer(&mut self.guest, rest, &head, terms, &mut self.output);
                self.on_reply(reply, terms, settings, at);
            } else {
                position += self.begin_content(rest, &head, app, settings, at);
            }
            if self.phase != Phase::Idle {
                break;
            }
            answers += 1;
            if answers >= settings.pipeline || self.output.len() - owed >= OWED_BYTES {
                is_full = true;
                break;
            }
            if position < data.len() {
                at.now_ns = app.now_ns();
            }
        }
        self.settle(&data[position..], is_full, app, settings, at);
    }

    /// Keep what was not served, and set the deadline that runs now.
    fn settle(&mut self, rest: &[u8], is_full: bool, app: &A, settings: &Settings, at: Moment) {
        let is_timed_by_write = self.is_blocked();
        match self.phase {
            Phase::Idle if rest.is_empty() => {
                self.idle_since_ns = at.now_ns;
                if !is_timed_by_write {
                    self.deadline = at.after(settings.timeouts.idle);
                }
            }
            Phase::Idle if is_full => {
                self.pending.extend_from_slice(rest);
                self.is_reading = false;
                self.has_more = true;
            }
            Phase::Idle if self.is_half_closed => return self.refuse(&HEAD_CUT, None, app, at),
            Phase::Idle => {
                self.phase = Phase::Head;
                self.pending.extend_from_slice(rest);
                self.scanned = rest.len() as u32;
                // The head's time runs from its first byte, however often more of it comes.
                self.deadline = at.after(settings.timeouts.head);
            }
            Phase::Handler => {
                self.pending.extend_from_slice(rest);
                self.is_reading &= self.pending.len() < READ_AHEAD;
            }
            Phase::Content if self.is_half_closed => {
                return self.refuse(&CONTENT_CUT, None, app, at);
            }
            _ => return,
        }
        if self.is_half_closed && self.is_idle() {
            self.close_with(at);
        }
    }

    fn on_reply(&mut self, reply: Reply<A::Running>, terms: Terms, settings: &Settings, at: Moment) {
        match reply {
            Reply::Done { closes: false } => {}
            Reply::Done { closes: true } => self.close_with(at),
            Reply::Later(running) => {
                self.phase = Phase::Handler;
                self.deadline = after_ns(terms.started_ns, settings.timeouts.handler);
                self.waiting = Some(Box::new(Waiting { running, terms }));
            }
            Reply::Drop => self.close_when_sent(at),
        }
    }

    // --- content ---

    /// Decide about a request that has content, or an expectation, and take what of its content is there: how
    /// many bytes belong to it.
    fn begin_content(&mut self, data: &[u8], head: &Head, app: &A, settings: &Settings, at: Moment) -> usize {
        let length = match head.content {
            Content::None => Some(0),
            Content::Length(length) => Some(length),
            Content::Chunked => None,
        };
        // Content that nobody wants is read and forgotten if it is short and surely comes.
        let may_discard = length.is_some_and(|length| length <= DISCARDED_CONTENT) && !head.expects_continue;
        let mut terms =
            Terms { keep_alive: head.keep_alive && may_discard && !at.is_draining, started_ns: at.now_ns };
        let (asked, max_body) = match app.intake(&mut self.guest, data, head, terms, &mut self.output) {
            Intake::Wanted { asked, max_body } => {
                if length.is_some_and(|length| length > max_body) {
                    let fault = too_large(max_body);
                    self.refuse(&fault, Some(asked), app, at);
                    return data.len();
                }
                (Some(asked), max_body)
            }
            Intake::Answered { closes: true } => {
                self.close_with(at);
                return data.len();
            }
            Intake::Answered { closes: false } => (None, DISCARDED_CONTENT),
            Intake::Drop => {
                self.close_when_sent(at);
                return data.len();
            }
        };
        terms.keep_alive = head.keep_alive;
        let body = &data[head.end..];
        if let Some(length) = length
            && body.len() as u64 >= length
        {
            let content = &body[..length as usize];
            self.complete_content(asked, content, terms, app, settings, at);
            return head.end + content.len();
        }
        let mut receiving = Box::new(Receiving {
            asked,
            terms,
            content: Vec::new(),
            needed: length.unwrap_or(0),
            chunks: length.is_none().then(|| Chunked::new(&settings.limits, max_body)),
            started: at.now(),
        });
        self.phase = Phase::Content;
        self.deadline = at.after(settings.timeouts.body);
        if body.is_empty() {
            if head.expects_continue {
                self.output.extend_from_slice(CONTINUE);
            }
            self.receiving = Some(receiving);
            return head.end;
        }
        match receiving.take(body) {
            Ok(Some(taken)) => {
                let Receiving { asked, content, .. } = *receiving;
                self.complete_content(asked, &content, terms, app, settings, at);
                head.end + taken
            }
            Ok(None) => {
                self.receiving = Some(receiving);
                data.len()
            }
            Err(fault) => {
                self.receiving = Some(receiving);
                self.refuse(&fault, None, app, at);
                data.len()
            }
        }
    }

    fn on_content(&mut self, data: &[u8], app: &A, settings: &Settings, at: Moment) {
        let Some(receiving) = &mut self.receiving else { return };
        let before = receiving.content.len();
        match receiving.take(data) {
            Err(fault) => self.refuse(&fault, None, app, at),
            Ok(None) => self.extend_content_deadline(before, settings, at),
            Ok(Some(taken)) => {
                if let Some(receiving) = self.receiving.take() {
                    let Receiving { asked, content, terms, .. } = *receiving;
                    let terms = Terms { started_ns: at.now_ns, ..terms };
                    self.complete_content(asked, &content, terms, app, settings, at);
                }
                if self.phase == Phase::Idle {
                    self.serve(&data[taken..], app, settings, at);
                } else {
                    self.settle(&data[taken..], false, app, settings, at);
                }
            }
        }
    }

    /// Content has `timeouts.body` to arrive, and longer only while it keeps the least rate.
    fn extend_content_deadline(&mut self, before: usize, settings: &Settings, at: Moment) {
        let Some(receiving) = &self.receiving else { return };
        let received = receiving.content.len();
        if received == before || self.is_blocked() {
            return;
        }
        let timeouts = &settings.timeouts;
        let mut deadline = at.after(timeouts.body);
        if timeouts.body != 0
            && let Some(earned) = (received as u64 * 1_000).checked_div(timeouts.body_min_rate)
        {
            deadline = deadline.min(receiving.started + timeouts.body + earned);
        }
        self.deadline = deadline;
    }

    /// Run the handler of a request whose content is whole, or forget content that nobody wants.
    fn complete_content(
        &mut self,
        asked: Option<A::Asked>,
        content: &[u8],
        terms: Terms,
        app: &A,
        settings: &Settings,
        at: Moment,
    ) {
        self.phase = Phase::Idle;
        let Some(asked) = asked else { return };
        let terms = Terms { keep_alive: terms.keep_alive && !at.is_draining, ..terms };
        let reply = app.answer_received(&mut self.guest, asked, content, terms, &mut self.output);
        self.on_reply(reply, terms, settings, at);
    }

    // --- ending ---

    /// Answer a fault of the client, after what was owed before it, and close.
    fn refuse(&mut self, fault: &Fault, asked: Option<A::Asked>, app: &A, at: Moment) {
        self.why = Some(Box::new(Why::Fault(fault.clone())));
        let asked = match self.receiving.take().map(|receiving| receiving.asked) {
            // Answered before: only its content was still to come.
            Some(None) => return self.close_with(at),
            Some(received) => received,
            None => asked,
        };
        let terms = Terms { keep_alive: false, started_ns: at.now_ns };
        app.refuse(&mut self.guest, fault, asked, terms, &mut self.output);
        self.close_with(at);
    }

    /// The last answer stands in the output: close so that the client can read it (RFC 9112 §9.6).
    fn close_with(&mut self, at: Moment) {
        self.phase = Phase::Linger;
        self.pending = Vec::new();
        self.receiving = None;
        self.linger_until = at.now() + LINGER_TOTAL;
        if !self.is_blocked() {
            self.deadline = at.now() + LINGER_QUIET;
        }
        if self.is_half_closed {
            self.after = After::Close;
        } else if self.after == After::Stay {
            self.after = After::HalfClose;
            self.is_reading = !self.is_blocked() || self.is_reading;
        }
    }

    /// Close without a further answer, when what is owed was sent.
    fn close_when_sent(&mut self, at: Moment) {
        self.phase = Phase::Linger;
        self.pending = Vec::new();
        self.linger_until = at.now() + LINGER_QUIET;
        if !self.is_blocked() {
            self.deadline = self.linger_until;
        }
        self.is_reading = false;
        self.after = After::Close;
    }

    /// Cut a client that reads nothing, or so little that it is only holding on.
    fn on_write_deadline(&mut self, settings: &Settings, at: Moment) {
        let timeouts = &settings.timeouts;
        let left = self.output.len();
        let Some(unsent) = &mut self.unsent else { return };
        let mut deadline = at.after(timeouts.write);
        let taken = (unsent.first - left.min(unsent.first)) as u64 * 1_000;
        if let Some(earned) = taken.checked_div(timeouts.body_min_rate) {
            deadline = deadline.min(unsent.since + timeouts.write + earned);
        }
        if left >= unsent.last || at.now() >= deadline {
            self.why = Some(Box::new(Why::Unread));
            self.after = After::Abort;
            return;
        }
        unsent.last = left;
        self.deadline = deadline;
    }
}

fn after_ns(started_ns: u64, timeout: Millis) -> Millis {
    if timeout == 0 { NEVER } else { started_ns / 1_000_000 + timeout }
}

fn too_large(max_body: u64) -> Fault {
    Fault {
        status: 413,
        reason: format!("the content is larger than {max_body} bytes (RFC 9110 §15.5.14)").into(),
    }
}
