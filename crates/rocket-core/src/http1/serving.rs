//! From received bytes to answers: every complete request in them is served, the rest is kept.

use std::mem;

use super::connection::{After, CONTENT_CUT, Connection, HEAD_CUT, Phase, READ_AHEAD, Waiting};
use super::ending::after_ns;
use super::{App, Moment, Reply, Settings, Terms, Why};
use crate::head::{Content, parse_head};

/// Of answers in one batch: then they are written, and the client has to take them.
const OWED_BYTES: usize = 65_536;

impl<A: App> Connection<A> {
    pub(super) fn serve_pending(&mut self, app: &A, settings: &Settings, at: Moment) {
        let data = mem::take(&mut self.pending);
        self.serve(&data, app, settings, at);
    }

    /// Answer every complete request in received bytes and keep the rest.
    pub(super) fn serve(&mut self, data: &[u8], app: &A, settings: &Settings, at: Moment) {
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
    pub(super) fn settle(&mut self, rest: &[u8], is_full: bool, app: &A, settings: &Settings, at: Moment) {
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
            Phase::Idle if self.is_half_closed && is_blank(rest) => return self.close_with(at),
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
            Phase::Lent => return self.on_lent_bytes(rest, app, settings, at),
            Phase::Content if self.is_half_closed => {
                return self.refuse(&CONTENT_CUT, None, app, at);
            }
            _ => return,
        }
        if self.is_half_closed && self.is_idle() {
            self.close_with(at);
        }
    }

    pub(super) fn on_reply(
        &mut self,
        reply: Reply<A::Running>,
        terms: Terms,
        settings: &Settings,
        at: Moment,
    ) {
        match reply {
            Reply::Done { closes: false } => {}
            Reply::Done { closes: true } => self.close_with(at),
            Reply::Later(running) => {
                self.phase = Phase::Handler;
                self.deadline = after_ns(terms.started_ns, settings.timeouts.handler);
                self.waiting = Some(Box::new(Waiting { running, terms, lease: None }));
            }
            Reply::Lent(running, lease) => {
                self.phase = Phase::Lent;
                self.waiting = Some(Box::new(Waiting { running, terms, lease: Some(lease) }));
            }
            Reply::Cut => {
                self.why.get_or_insert_with(|| Box::new(Why::Unfinished));
                self.after = After::Abort;
            }
            Reply::Drop => self.close_when_sent(at),
        }
    }
}

/// Nothing but line ends, which may stand before a request (RFC 9112 §2.2), and are none.
pub(super) fn is_blank(data: &[u8]) -> bool {
    data.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}
