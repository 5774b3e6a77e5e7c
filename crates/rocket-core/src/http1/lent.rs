//! A connection whose exchange is lent: what it does with what its borrower wants.

use std::rc::Rc;

use super::connection::{After, CONTENT_CUT, Connection, Phase, READ_AHEAD};
use super::content::too_large;
use super::ending::after_ns;
use super::lease::{Framing, Lease, Part, Window};
use super::{App, Moment, NEVER, Reply, Settings, Terms, Why};
use crate::chunked::Chunked;
use crate::fault::Fault;
use crate::head::{Content, Head};

const CONTENT_SLOW: Fault = Fault::new(408, "the content came too slowly (RFC 9110 §15.5.9)");

impl<A: App> Connection<A> {
    /// Lend a request as soon as its head has come: how many bytes of `data` belong to it.
    #[inline(never)]
    pub(super) fn lend(
        &mut self,
        (asked, max_body): (A::Asked, u64),
        data: &[u8],
        head: &Head,
        app: &A,
        settings: &Settings,
        at: Moment,
    ) -> usize {
        let framing = match head.content {
            Content::None => Framing::Whole,
            Content::Length(length) if length > max_body => {
                self.refuse(&too_large(max_body), Some(asked), app, at);
                return data.len();
            }
            Content::Length(length) => Framing::Length(length),
            Content::Chunked => Framing::Chunks(Box::new(Chunked::new(&settings.limits, max_body))),
        };
        let held = data[head.end..].to_vec();
        let lease = Rc::new(Lease::new(framing, held, head.expects_continue, at.now_ns));
        lease.is_half_closed.set(self.is_half_closed);
        let terms = Terms { keep_alive: head.keep_alive, started_ns: at.now_ns };
        let reply = app.lend(&mut self.guest, asked, &lease, terms, &mut self.output);
        let rest = self.on_lent_reply(reply, &lease, terms, settings, at);
        data.len() - rest.len()
    }

    /// Do what a borrower's first or last step came to; what belongs to the next request.
    #[inline(never)]
    pub(super) fn on_lent_reply(
        &mut self,
        reply: Reply<A::Running>,
        lease: &Rc<Lease>,
        terms: Terms,
        settings: &Settings,
        at: Moment,
    ) -> Vec<u8> {
        let is_answered = matches!(reply, Reply::Done { closes: false });
        if matches!(reply, Reply::Lent(..)) {
            self.on_reply(reply, terms, settings, at);
            return Vec::new();
        }
        lease.end();
        self.on_reply(reply, terms, settings, at);
        if is_answered { self.take_back(lease, settings, at) } else { Vec::new() }
    }

    /// The answer is written: go on with what follows the content; the bytes of it that are here.
    fn take_back(&mut self, lease: &Lease, settings: &Settings, at: Moment) -> Vec<u8> {
        match lease.give_back() {
            None => self.close_with(at),
            // Nobody will send what is left of it.
            Some((_, 1..)) if self.is_half_closed => {
                self.why = Some(Box::new(Why::Fault(CONTENT_CUT)));
                self.close_with(at);
            }
            Some((rest, 0)) => {
                self.is_reading = !self.is_half_closed && !self.is_blocked() && rest.len() < READ_AHEAD;
                return rest;
            }
            Some((_, left)) => self.forget_content(left, settings, at),
        }
        Vec::new()
    }

    pub(super) fn lease(&self) -> Option<Rc<Lease>> {
        self.waiting.as_ref().and_then(|waiting| waiting.lease.clone())
    }

    /// Let the borrower know what came.
    #[inline(never)]
    pub(super) fn on_lent_bytes(&mut self, data: &[u8], app: &A, settings: &Settings, at: Moment) {
        let Some(lease) = self.lease() else { return };
        lease.is_half_closed.set(self.is_half_closed);
        let before = lease.delivered();
        self.pump(&lease, data, app);
        if lease.delivered() != before {
            lease.since_ns.set(at.now_ns);
            extend_window(&lease, settings, at);
        }
    }

    /// The client has sent everything.
    pub(super) fn on_lent_end(&mut self, app: &A) {
        let Some(lease) = self.lease() else { return };
        lease.is_half_closed.set(true);
        self.pump(&lease, &[], app);
    }

    fn pump(&mut self, lease: &Lease, data: &[u8], app: &A) {
        lease.touch(); // whatever the borrower wants now, the shell acts on it as soon as this is over
        if let Some(waiting) = &self.waiting {
            lease.pump(data, &mut |news| app.tell(&waiting.running, news));
        }
    }

    /// Act on what the borrower wants, before anything is sent.
    #[inline(never)]
    pub fn settle_lease(&mut self, app: &A, settings: &Settings, at: Moment) {
        let Some(lease) = self.lease() else { return };
        lease.take_touched();
        if self.why.is_none()
            && let Some(fault) = lease.fault()
        {
            self.why = Some(Box::new(Why::Fault(fault)));
        }
        if lease.is_aborted() {
            self.after = After::Abort;
            return;
        }
        if let Some(finish) = lease.settle(&mut self.output) {
            return self.on_finish(&lease, finish, app, settings, at);
        }
        self.is_reading = lease.wants_bytes();
        self.time_lent(&lease, settings, at);
    }

    fn on_finish(
        &mut self,
        lease: &Rc<Lease>,
        finish: super::Finish,
        app: &A,
        settings: &Settings,
        at: Moment,
    ) {
        let Some(waiting) = self.waiting.take() else { return };
        let terms = Terms { keep_alive: waiting.terms.keep_alive && !at.is_draining, ..waiting.terms };
        let closes = app.finished(&mut self.guest, waiting.running, lease, finish, terms);
        self.phase = Phase::Idle;
        let rest = self.on_lent_reply(Reply::Done { closes }, lease, terms, settings, at);
        self.pending.extend_from_slice(&rest); // behind what was held before it was lent
        self.rest(settings, at);
    }

    /// Say what was sent, and to the borrower, if he waits for it, that there is room.
    pub fn tell_room(&mut self, app: &A) {
        let Some(waiting) = &self.waiting else { return };
        let Some(lease) = &waiting.lease else { return };
        lease.unsent.set(self.unsent().len());
        lease.is_blocked.set(self.is_blocked());
        if lease.unsent() == 0 && lease.wants_room.replace(false) && !lease.is_over() {
            app.tell(&waiting.running, super::News::Room);
        }
    }

    /// The borrower wants something more.
    pub fn is_touched(&self) -> bool {
        self.waiting
            .as_ref()
            .and_then(|waiting| waiting.lease.as_ref())
            .is_some_and(|lease| lease.is_touched())
    }

    /// The part of a file that is to be sent behind the output.
    pub fn part(&self) -> Option<Part> {
        self.waiting.as_ref()?.lease.as_ref()?.part.get()
    }

    /// The file is shorter than was said: what was sent must not look whole.
    pub fn on_short_file(&mut self) {
        self.why.get_or_insert_with(|| Box::new(Why::Short));
        self.after = After::Abort;
    }

    /// The socket took so many bytes of the file. Whatever is left waits for the client, also when the socket would
    /// have taken more just now: nobody says beforehand whether it will.
    pub fn on_part_sent(&mut self, taken: u64, settings: &Settings, at: Moment) {
        let Some(lease) = self.lease() else { return };
        let Some(part) = lease.part.get() else { return };
        let left = part.left - taken;
        lease.part.set((left > 0).then_some(Part { offset: part.offset + taken, left, ..part }));
        if left == 0 {
            lease.touch(); // what was written behind it, or that it was all
            if self.blocked.take().is_some() {
                self.on_room(settings, at);
            }
            return;
        }
        self.block(left as usize, taken as usize, settings, at);
    }

    /// Which deadline runs while nothing is unsent.
    pub(super) fn time_lent(&mut self, lease: &Lease, settings: &Settings, at: Moment) {
        let wants_content = lease.wants_content();
        if !wants_content {
            lease.window.set(Window::NONE);
        } else if lease.window.get().since == NEVER {
            let first = lease.delivered();
            let end = at.after(settings.timeouts.body);
            lease.window.set(Window { since: at.now(), first, end });
        }
        if self.is_blocked() {
            return;
        }
        self.deadline = if wants_content {
            lease.window.get().end
        } else if lease.is_untimed() {
            NEVER
        } else {
            after_ns(lease.since_ns.get(), settings.timeouts.handler)
        };
    }

    /// What was waited for took too long.
    pub(super) fn on_lent_deadline(&mut self, app: &A, at: Moment) {
        let Some(lease) = self.lease() else { return };
        if lease.wants_content() {
            lease.since_ns.set(at.now_ns);
            lease.fail(&CONTENT_SLOW);
            self.pump(&lease, &[], app);
        } else if !lease.is_untimed() {
            lease.end();
            lease.take_staged(&mut self.output);
            self.give_up(app, at);
        }
    }
}

/// Content has `timeouts.body` to arrive, and longer only while it keeps the least rate.
fn extend_window(lease: &Lease, settings: &Settings, at: Moment) {
    let window = lease.window.get();
    let timeouts = &settings.timeouts;
    if window.since == NEVER || timeouts.body == 0 {
        return;
    }
    let mut end = at.after(timeouts.body);
    let received = lease.delivered() - window.first;
    if let Some(earned) = (received * 1_000).checked_div(timeouts.body_min_rate) {
        end = end.min(window.since + timeouts.body + earned);
    }
    lease.window.set(Window { end, ..window });
}
