//! What the driver remembers about one connection: what is under way in the kernel, and what came and was not
//! received yet.

use std::os::fd::RawFd;

use super::buffers::{Buffers, NONE};
use crate::driver::{Event, Token};

/// How the receiving of a connection stands with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Nothing is under way.
    Idle,
    /// The kernel fills buffers as bytes come.
    Armed,
    /// It was told to stop, and has not said yet that it did.
    Stopping,
}

/// How receiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The client sends no more.
    End,
    /// errno.
    Failed(i32),
}

/// One connection. What came stands in this order: `spill`, then the list of buffers, then `finish`.
pub(super) struct Connection {
    pub(super) token: Token,
    pub(super) fd: RawFd,
    pub(super) receiving: Receiving,
    pub(super) is_reading: bool,
    pub(super) wants_write: bool,
    /// What epoll watches it for; None is not at all.
    pub(super) watched: Option<u32>,
    /// It broke, as epoll says.
    pub(super) is_gone: bool,
    /// It broke, and that was told.
    pub(super) is_broken: bool,
    /// It stands in the list of those to be looked at before the next wait.
    pub(super) is_dirty: bool,
    /// It stands in the queue of those that found no buffer.
    pub(super) is_starved: bool,
    /// It got a buffer since it was armed.
    pub(super) was_served: bool,
    pub(super) finish: Option<Finish>,
    /// `Readable` events that it was not asked to receive for yet.
    pub(super) told: u16,
    /// How often something can be received.
    pub(super) pending: u16,
    first: u16,
    last: u16,
    /// Bytes that came while nobody read, copied so that the buffers are free for others.
    spill: Vec<u8>,
}

impl Connection {
    /// One that is read, with nothing under way.
    pub(super) const fn new(token: Token, fd: RawFd) -> Self {
        Self {
            token,
            fd,
            receiving: Receiving::Idle,
            is_reading: true,
            wants_write: false,
            watched: None,
            is_gone: false,
            is_broken: false,
            is_dirty: false,
            is_starved: false,
            was_served: false,
            finish: None,
            told: 0,
            pending: 0,
            first: NONE,
            last: NONE,
            spill: Vec::new(),
        }
    }

    /// Nobody's; no token has this value.
    pub(super) const fn vacant() -> Self {
        Self::new(Token::MAX, -1)
    }

    /// A buffer came for it.
    pub(super) fn push(&mut self, buffers: &mut Buffers, buffer: u16) {
        if self.first == NONE {
            self.first = buffer;
        } else {
            buffers.link(self.last, buffer);
        }
        self.last = buffer;
        self.pending += 1;
    }

    /// Take the oldest buffer.
    pub(super) fn pop(&mut self, buffers: &Buffers) -> Option<u16> {
        if self.first == NONE {
            return None;
        }
        let buffer = self.first;
        self.first = buffers.next(buffer);
        Some(buffer)
    }

    /// Copy what is in buffers and give them back to the kernel.
    pub(super) fn spill(&mut self, buffers: &mut Buffers) {
        let was_empty = self.spill.is_empty();
        while let Some(buffer) = self.pop(buffers) {
            // SAFETY: the kernel filled that many bytes, and has no use of the buffer before `give`.
            let bytes = unsafe { std::slice::from_raw_parts(buffers.start(buffer), buffers.length(buffer)) };
            self.spill.extend_from_slice(bytes);
            buffers.give(buffer);
            self.pending -= 1;
        }
        if was_empty && !self.spill.is_empty() {
            self.pending += 1;
        }
    }

    /// The bytes that were copied; empty when none were.
    pub(super) fn take_spill(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spill)
    }

    /// Nothing more will come; whether that is news.
    pub(super) const fn finish(&mut self, finish: Finish) -> bool {
        let is_news = self.finish.is_none();
        if is_news {
            self.finish = Some(finish);
            self.pending += 1;
        }
        is_news
    }

    /// It broke while nobody read it; the event, if that was not told yet.
    pub(super) fn break_off(&mut self) -> Option<Event> {
        self.wants_write = false;
        let was_told = std::mem::replace(&mut self.is_broken, true);
        (!was_told).then_some(Event::Broken(self.token))
    }

    /// Forget what came.
    pub(super) fn discard(&mut self, buffers: &mut Buffers) {
        while let Some(buffer) = self.pop(buffers) {
            buffers.give(buffer);
        }
        self.spill = Vec::new();
        self.pending = 0;
    }
}
