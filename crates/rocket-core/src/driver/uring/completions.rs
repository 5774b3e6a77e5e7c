//! What the kernel says: completions, and the events that come of them.

use std::mem;
use std::time::Duration;

use io_uring::cqueue;

use super::connection::{Finish, Receiving};
use super::{ACCEPT, CANCEL, KINDS, RECEIVE, Uring, WATCHLIST, find};
use crate::driver::watchlist::{GONE, QUIET, Told};
use crate::driver::{Event, Token, socket};

impl Uring {
    /// See what a completion means.
    pub(super) fn complete(&mut self, entry: &cqueue::Entry, events: &mut Vec<Event>) {
        let name = entry.user_data();
        let is_over = !cqueue::more(entry.flags());
        if is_over && !self.dying.is_empty() {
            self.dying.remove(&name);
        }
        match name & KINDS {
            RECEIVE => self.on_received(entry, is_over, events),
            WATCHLIST => self.on_watchlist(events),
            ACCEPT => events.extend(self.listeners.on_accepted(name, entry.result(), is_over)),
            _ => self.on_cancel_failed(name ^ CANCEL),
        }
    }

    fn on_received(&mut self, entry: &cqueue::Entry, is_over: bool, events: &mut Vec<Event>) {
        let result = entry.result();
        let buffer = cqueue::buffer_select(entry.flags());
        if let Some(buffer) = buffer {
            self.buffers.on_received(buffer, result.max(0).cast_unsigned());
        }
        let Some(connection) = find(&mut self.connections, entry.user_data()) else {
            if let Some(buffer) = buffer {
                self.buffers.give(buffer);
            }
            return;
        };
        let token = connection.token;
        if is_over {
            connection.receiving = Receiving::Idle;
        }
        match (result, buffer) {
            (1.., Some(buffer)) => {
                connection.was_served = true;
                connection.push(&mut self.buffers, buffer);
                if !connection.is_reading {
                    connection.spill(&mut self.buffers);
                }
            }
            (_, Some(buffer)) => self.buffers.give(buffer),
            (_, None) => {}
        }
        let is_news = match -result {
            ..0 => true,
            0 => connection.finish(Finish::End),
            libc::ENOBUFS => self.starve(token),
            libc::ECANCELED | libc::EINTR => false,
            // Somebody made it non-blocking; the kernel waits for bytes only where a caller would.
            libc::EAGAIN => {
                socket::set_blocking(connection.fd).is_err()
                    && connection.finish(Finish::Failed(libc::EAGAIN))
            }
            errno => connection.finish(Finish::Failed(errno)),
        };
        let Some(connection) = find(&mut self.connections, token) else { return };
        let is_paused = !connection.is_reading;
        if is_news && !is_paused {
            connection.told += 1;
            events.push(Event::Readable(token));
        } else if matches!(connection.finish, Some(Finish::Failed(_))) {
            events.extend(connection.break_off());
        }
        if is_over || is_paused {
            self.touch(token);
        }
    }

    /// No buffer was left for a connection: it waits in turn, before others if it got none at all.
    fn starve(&mut self, token: Token) -> bool {
        let Some(connection) = find(&mut self.connections, token) else { return false };
        if !mem::replace(&mut connection.is_starved, true) {
            if connection.was_served {
                self.starved.push_back(token);
            } else {
                self.starved.push_front(token);
            }
        }
        false
    }

    /// The poll has ended, and is begun again at the next wait; if something is still ready then, it ends at
    /// once. That makes it level-triggered.
    fn on_watchlist(&mut self, events: &mut Vec<Event>) {
        self.is_watchlist_polled = false;
        for index in 0..self.watchlist.wait(Some(Duration::ZERO)).unwrap_or(0) {
            match self.watchlist.told(index) {
                Told::Connection(token, mask) => self.on_connection_watched(token, mask, events),
                Told::Event(event) => events.push(event),
                Told::Nothing => {}
            }
        }
    }

    fn on_connection_watched(&mut self, token: Token, mask: u32, events: &mut Vec<Event>) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        connection.is_gone |= mask & GONE != 0;
        if connection.is_gone && !connection.is_reading {
            events.extend(connection.break_off());
        }
        if mem::replace(&mut connection.wants_write, false) {
            events.push(Event::Writable(token));
        } else if connection.watched != Some(QUIET) {
            // Told once more than was wanted. Most who wait for room wait again at once, so only now it is
            // watched for no longer.
            connection.watched = Some(QUIET);
            let _ = self.watchlist.control(libc::EPOLL_CTL_MOD, connection.fd, QUIET, token);
        }
    }

    /// The kernel found nothing to cancel, or found it in the middle of something: it completes by itself, or
    /// has to be cancelled once more.
    fn on_cancel_failed(&mut self, name: u64) {
        if self.dying.contains(&name) || self.listeners.is_unwanted(name) {
            self.cancels.push(name);
        } else if name & KINDS == RECEIVE
            && let Some(connection) = find(&mut self.connections, name)
            && connection.receiving == Receiving::Stopping
        {
            connection.receiving = Receiving::Armed;
            let token = connection.token;
            self.touch(token);
        }
    }
}
