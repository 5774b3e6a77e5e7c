//! What the kernel is told: before each wait, the difference between what it does for a connection and what it
//! should do.

use std::mem;

use io_uring::squeue::Flags;
use io_uring::{opcode, squeue, types};

use super::buffers::GROUP;
use super::connection::Receiving;
use super::{CANCEL, RECEIVE, Uring, WATCHLIST, find, name_of};
use crate::driver::watchlist::{OUT, QUIET};
use crate::driver::{Event, Token};

impl Uring {
    /// Put into the queue what the kernel has to be told.
    pub(super) fn prepare(&mut self) {
        while let Some(name) = self.cancels.pop() {
            self.push_cancel(name);
        }
        while let Some(token) = self.dirty.pop() {
            self.reconcile(token);
        }
        self.feed();
        while let Some(accept) = self.listeners.arm() {
            self.push(&accept);
        }
        if !mem::replace(&mut self.is_watchlist_polled, true) {
            let poll = opcode::PollAdd::new(types::Fd(self.watchlist.fileno()), libc::POLLIN as u32).build();
            self.push(&poll.user_data(WATCHLIST));
        }
    }

    /// Whether `prepare` would find something.
    pub(super) fn is_due(&self) -> bool {
        !self.is_watchlist_polled
            || !self.cancels.is_empty()
            || !self.dirty.is_empty()
            || !self.starved.is_empty() && self.buffers.free() > 0
            || self.listeners.is_any_due()
    }

    /// Compare what a connection should be doing with what the kernel does for it.
    fn reconcile(&mut self, token: Token) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        connection.is_dirty = false;
        if connection.is_reading {
            for _ in connection.told..connection.pending {
                self.early.push(Event::Readable(token));
            }
            connection.told = connection.pending;
        }
        match (connection.is_reading, connection.receiving) {
            (true, Receiving::Idle) if connection.finish.is_none() && !connection.is_starved => {
                self.push_receive(token);
            }
            (false, Receiving::Armed) if connection.pending > 0 => {
                connection.receiving = Receiving::Stopping;
                self.push_cancel(name_of(RECEIVE, token));
            }
            (false, Receiving::Idle) if connection.is_gone => {
                self.early.extend(connection.break_off());
            }
            _ => {}
        }
        self.watch_connection(token);
    }

    /// Have epoll watch a connection for what receiving does not tell: room to write, and breakage while nobody
    /// receives.
    ///
    /// The ring's own polls end at once, for ever again, when a client has half-closed its connection: they tell
    /// of that unasked.
    fn watch_connection(&mut self, token: Token) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        let is_idle = !connection.is_reading && connection.receiving == Receiving::Idle;
        let wanted = if connection.wants_write {
            OUT
        } else if is_idle && !connection.is_broken {
            QUIET
        } else {
            return;
        };
        let operation = match connection.watched {
            None => libc::EPOLL_CTL_ADD,
            // Breakage is told in any case.
            Some(mask) if wanted == QUIET || mask == wanted => return,
            Some(_) => libc::EPOLL_CTL_MOD,
        };
        match self.watchlist.control(operation, connection.fd, wanted, token) {
            Ok(()) => connection.watched = Some(wanted),
            // The kernel gives no more: whoever waits must not wait for ever.
            Err(_) => self.early.extend(connection.break_off()),
        }
    }

    /// Arm as many of those that found no buffer as there are buffers now. More would fail again and only cost.
    fn feed(&mut self) {
        let mut left = self.buffers.free();
        while left > 0
            && let Some(token) = self.starved.pop_front()
        {
            let Some(connection) = find(&mut self.connections, token) else { continue };
            connection.is_starved = false;
            if connection.is_reading && connection.receiving == Receiving::Idle && connection.finish.is_none()
            {
                self.push_receive(token);
                left -= 1;
            }
        }
    }

    /// Put a submission into the queue.
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: our submissions point to nothing but buffers, which live as long as the ring.
        unsafe { self.ring.push(entry) };
    }

    pub(super) fn push_cancel(&mut self, name: u64) {
        // It completes only when it fails; what it cancels completes in any case.
        let cancel = opcode::AsyncCancel::new(name).build().flags(Flags::SKIP_SUCCESS);
        self.push(&cancel.user_data(CANCEL | name));
    }

    fn push_receive(&mut self, token: Token) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        connection.receiving = Receiving::Armed;
        connection.was_served = false;
        let receive = opcode::RecvMulti::new(types::Fd(connection.fd), GROUP).build();
        self.push(&receive.user_data(name_of(RECEIVE, token)));
    }
}
