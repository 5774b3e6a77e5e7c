//! How a connection ends: by a fault, by agreement, by a deadline, by a client that does not read.

use super::connection::{After, Connection, LINGER_QUIET, Phase};
use super::{App, Millis, Moment, NEVER, Settings, Terms, Why};
use crate::fault::Fault;

/// The client has so long to read the last answer; nginx waits 30 seconds.
pub(super) const LINGER_TOTAL: Millis = 10_000;

impl<A: App> Connection<A> {
    /// Answer a fault of the client, after what was owed before it, and close.
    pub(super) fn refuse(&mut self, fault: &Fault, asked: Option<A::Asked>, app: &A, at: Moment) {
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
    pub(super) fn close_with(&mut self, at: Moment) {
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
            self.is_reading = true; // what it still sends would otherwise cost it the answer
        }
    }

    /// Close without a further answer, when what is owed was sent.
    pub(super) fn close_when_sent(&mut self, at: Moment) {
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
    pub(super) fn on_write_deadline(&mut self, settings: &Settings, at: Moment) {
        let timeouts = &settings.timeouts;
        let unsent = self.unsent().len();
        let left = if unsent > 0 { unsent } else { self.part().map_or(0, |part| part.left as usize) };
        let Some(blocked) = &mut self.blocked else { return };
        let mut deadline = at.after(timeouts.write);
        let taken = (blocked.first - left.min(blocked.first)) as u64 * 1_000;
        if let Some(earned) = taken.checked_div(timeouts.body_min_rate) {
            deadline = deadline.min(blocked.since + timeouts.write + earned);
        }
        if left >= blocked.last || at.now() >= deadline {
            self.why = Some(Box::new(Why::Unread));
            self.after = After::Abort;
            return;
        }
        blocked.last = left;
        self.deadline = deadline;
    }
}

/// The deadline of a timeout that began so long ago.
pub(super) fn after_ns(started_ns: u64, timeout: Millis) -> Millis {
    if timeout == 0 { NEVER } else { started_ns / 1_000_000 + timeout }
}
