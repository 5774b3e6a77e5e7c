//! The driver on io_uring: armed once, a connection is received from until it ends, into buffers that all share.
//!
//! What a connection should be doing is decided at once; the kernel is told at the next `wait`, together with
//! everything else, in the system call that waits anyway. So a pause that ends in the same batch costs nothing,
//! and no submission names a descriptor that was closed, and its number given to another, in between.
//!
//! A paused connection holds no buffer: what had come is copied, so that whoever is slow takes nothing from
//! others. A connection that finds no buffer is armed again when buffers are back, in turn; meanwhile its bytes
//! wait in the socket.
//!
//! Descriptors of somebody else are watched by an epoll of ours, which the ring polls. That is level-triggered
//! as asyncio expects it, with the semantics of epoll to the letter. The same epoll tells what receiving does not:
//! room to write, and breakage while nobody receives.
//!
//! What io_uring promises about all this is in io_uring_enter(2) and io_uring_prep_recv_multishot(3).

mod bell;
mod buffers;
mod completions;
mod connection;
mod listeners;
mod ring;
mod submissions;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::process;
use std::time::Duration;

use io_uring::cqueue;

use self::bell::Bell;
use self::buffers::Buffers;
use self::connection::{Connection, Finish, Receiving};
use self::listeners::Listeners;
use self::ring::Ring;
pub use self::ring::RingOptions;
use super::socket;
use super::watchlist::Watchlist;
use super::{Accepting, Chunk, Driver, Event, Receive, Token};
use crate::slab::place_of;

/// What a completion is about, in the top four bits of its name; below stand 60 bits of a token, or of what else
/// the kind says.
const KINDS: u64 = 0xf << 60;
const RECEIVE: u64 = 1 << 60;
const WATCHLIST: u64 = 2 << 60;
const ACCEPT: u64 = 3 << 60;
/// To be added to the name of what is cancelled.
const CANCEL: u64 = 8 << 60;

/// The buffer number of a chunk that is memory of its own.
const OWN_MEMORY: u32 = u32::MAX;

/// How long a cancellation may take before it is looked into again.
const PATIENCE: Duration = Duration::from_millis(10);

/// The driver. Connections that are still attached when it is dropped are not closed.
pub struct Uring {
    // Dropped in this order: the kernel writes into buffers as long as there is a ring.
    ring: Ring,
    buffers: Buffers,
    watchlist: Watchlist,
    is_watchlist_polled: bool,
    listeners: Listeners,
    /// By the place in the token.
    connections: Vec<Connection>,
    /// Connections for which the kernel may have to be told something.
    dirty: Vec<Token>,
    /// Connections that found no buffer, those that wait longest first.
    starved: VecDeque<Token>,
    /// What is to be cancelled, by name.
    cancels: Vec<u64>,
    /// What is under way for connections that are gone.
    dying: HashSet<u64>,
    /// Events to be told before the kernel is asked for more.
    early: Vec<Event>,
    /// Completions of this wait; kept for its memory.
    completed: Vec<cqueue::Entry>,
    batch: usize,
    bell: Bell,
    /// The process that made it.
    owner: u32,
}

impl Uring {
    /// A driver that watches nothing yet.
    ///
    /// # Errors
    /// The kernel has no io_uring, forbids it, or lacks something we need (`probe` says what); options that
    /// cannot be.
    pub fn new(options: &RingOptions) -> io::Result<Self> {
        let ring = Ring::open(options)?;
        let buffers = Buffers::new(&ring.submitter(), options.buffers, options.buffer_size)?;
        Ok(Self {
            ring,
            buffers,
            watchlist: Watchlist::new()?,
            is_watchlist_polled: false,
            listeners: Listeners::default(),
            connections: Vec::new(),
            dirty: Vec::new(),
            starved: VecDeque::new(),
            cancels: Vec::new(),
            dying: HashSet::new(),
            early: Vec::new(),
            completed: Vec::new(),
            batch: options.batch.max(1),
            bell: Bell::new()?,
            owner: process::id(),
        })
    }

    /// Look at a connection before the next wait.
    fn touch(&mut self, token: Token) {
        if let Some(connection) = find(&mut self.connections, token)
            && !mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push(token);
            self.bell.ring();
        }
    }

    /// Have what is under way for a connection cancelled, and its completions swallowed.
    fn bury(&mut self, name: u64) {
        self.dying.insert(name);
        self.cancels.push(name);
    }

    /// Take completions and see what they mean.
    fn collect(&mut self, most: usize, events: &mut Vec<Event>) {
        let mut completed = mem::take(&mut self.completed);
        self.ring.take(most, &mut completed);
        for entry in completed.drain(..) {
            self.complete(&entry, events);
        }
        self.completed = completed;
    }

    /// Whether an event that waited to be told is still true.
    fn is_current(&self, event: &Event) -> bool {
        let (Event::Readable(token) | Event::Writable(token) | Event::Broken(token)) = event else {
            return true;
        };
        self.connections.get(place_of(*token) as usize).is_some_and(|each| each.token == *token)
    }

    /// What is under way for a connection.
    fn under_way(&mut self, token: Token) -> Option<u64> {
        let connection = find(&mut self.connections, token)?;
        (connection.receiving != Receiving::Idle).then(|| name_of(RECEIVE, token))
    }

    /// Forget a connection; the bytes that had come for it.
    fn forget(&mut self, token: Token, fd: RawFd) -> Vec<u8> {
        let Some(connection) = find(&mut self.connections, token) else { return Vec::new() };
        let mut gone = mem::replace(connection, Connection::vacant());
        let bytes = gone.take_spill();
        gone.discard(&mut self.buffers);
        if gone.watched.is_some() {
            // Closing alone does not end the watch when a forked child holds the socket too.
            let _ = self.watchlist.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        }
        bytes
    }
}

/// The connection that a token, or the name of what it had under way, is about; if it is still there.
fn find(connections: &mut [Connection], name: u64) -> Option<&mut Connection> {
    connections.get_mut(place_of(name) as usize).filter(|each| (each.token ^ name) & !KINDS == 0)
}

/// The name of what a connection has under way.
fn name_of(kind: u64, token: Token) -> u64 {
    kind | token & !KINDS
}

impl Driver for Uring {
    fn attach(&mut self, token: Token, fd: RawFd) -> io::Result<()> {
        socket::check_open(fd)?; // the kernel hears of it later, when nobody can be told any more
        let index = place_of(token) as usize;
        if index >= self.connections.len() {
            self.connections.resize_with(index + 1, Connection::vacant);
        }
        self.connections[index] = Connection::new(token, fd);
        self.touch(token);
        Ok(())
    }

    fn set_reading(&mut self, token: Token, _fd: RawFd, is_reading: bool) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        connection.is_reading = is_reading;
        if !is_reading {
            connection.spill(&mut self.buffers);
            connection.told = 0;
        }
        self.touch(token);
    }

    fn want_write(&mut self, token: Token, _fd: RawFd) {
        let Some(connection) = find(&mut self.connections, token) else { return };
        if !connection.is_broken {
            connection.wants_write = true;
            self.touch(token);
        }
    }

    fn close(&mut self, token: Token, fd: RawFd) {
        // No submission may name the descriptor when its number is free for another.
        self.ring.flush();
        // What is under way holds the socket, and the client would not hear that it is closed.
        if let Some(name) = self.under_way(token) {
            self.bury(name);
            self.bell.ring();
        }
        self.forget(token, fd);
        socket::close(fd);
    }

    fn detach(&mut self, token: Token, fd: RawFd) -> Vec<u8> {
        self.set_reading(token, fd, false);
        self.ring.flush();
        let mut early = mem::take(&mut self.early);
        while let Some(name) = self.under_way(token) {
            self.push_cancel(name);
            // A cancellation takes effect at once, or is tried again.
            if self.ring.enter(Some(PATIENCE)).is_err() {
                break;
            }
            self.collect(usize::MAX, &mut early);
        }
        early.append(&mut self.early);
        self.early = early;
        self.forget(token, fd)
    }

    fn receive(&mut self, token: Token, _fd: RawFd) -> Receive {
        let found = find(&mut self.connections, token);
        let Some(connection) = found.filter(|each| each.pending > 0) else { return Receive::Nothing };
        connection.pending -= 1;
        connection.told = connection.told.saturating_sub(1);
        let spill = connection.take_spill();
        if !spill.is_empty() {
            let length = spill.len();
            let start = Box::into_raw(spill.into_boxed_slice()).cast::<u8>().cast_const();
            return Receive::Bytes(Chunk { start, length, buffer: OWN_MEMORY });
        }
        if let Some(buffer) = connection.pop(&self.buffers) {
            let (start, length) = (self.buffers.start(buffer), self.buffers.length(buffer));
            return Receive::Bytes(Chunk { start, length, buffer: buffer.into() });
        }
        connection.is_reading = false;
        let finish = connection.finish.take();
        connection.is_broken |= matches!(finish, Some(Finish::Failed(_)));
        self.touch(token);
        match finish {
            Some(Finish::End) => Receive::End,
            Some(Finish::Failed(errno)) => Receive::Failed(errno),
            None => Receive::Nothing,
        }
    }

    fn has_unread(&mut self, token: Token, fd: RawFd) -> bool {
        // What the ring has received may not have been looked at yet.
        let mut early = mem::take(&mut self.early);
        self.collect(usize::MAX, &mut early);
        if !early.is_empty() {
            self.bell.ring();
        }
        self.early = early;
        find(&mut self.connections, token).is_some_and(|each| each.pending > 0) || socket::has_unread(fd)
    }

    fn give_back(&mut self, chunk: Chunk) {
        if chunk.buffer == OWN_MEMORY {
            let bytes = std::ptr::slice_from_raw_parts_mut(chunk.start.cast_mut(), chunk.length);
            // SAFETY: made by `receive` of a box of this length; giving back takes the chunk, so it is the only
            // one to free it.
            drop(unsafe { Box::from_raw(bytes) });
            return;
        }
        self.buffers.give(chunk.buffer as u16);
        if !self.starved.is_empty() {
            self.bell.ring();
        }
    }

    fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        socket::send(fd, data)
    }

    fn watch(&mut self, fd: RawFd, mask: u32) -> io::Result<()> {
        self.watchlist.watch(fd, mask)
    }

    fn unwatch(&mut self, fd: RawFd) -> io::Result<()> {
        self.watchlist.unwatch(fd)
    }

    fn listen(&mut self, listener: u32, fd: RawFd) -> io::Result<()> {
        self.watchlist.listen(listener, fd)?;
        self.listeners.add(listener, fd);
        Ok(())
    }

    fn set_accepting(&mut self, listener: u32, accepting: Accepting) {
        let is_taking = accepting == Accepting::Take;
        self.watchlist.set_accepting(listener, if is_taking { Accepting::No } else { accepting });
        self.cancels.extend(self.listeners.set_taking(listener, is_taking));
        self.bell.ring();
    }

    fn unlisten(&mut self, listener: u32) {
        self.ring.flush();
        self.watchlist.unlisten(listener);
        if let Some(name) = self.listeners.remove(listener) {
            self.bury(name);
            self.bell.ring();
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        self.bell.silence();
        self.prepare();
        let has_news = !self.early.is_empty() || self.ring.has_completions();
        self.ring.enter(if has_news { Some(Duration::ZERO) } else { timeout })?;
        let mut early = mem::take(&mut self.early);
        events.extend(early.drain(..).filter(|event| self.is_current(event)));
        self.early = early;
        self.collect(self.batch, events);
        if self.is_due() || self.ring.has_completions() {
            self.bell.ring();
        }
        Ok(())
    }

    fn fileno(&self) -> RawFd {
        self.bell.fileno(&self.ring.submitter())
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // A forked child has the object but not the memory that is shared with the kernel, and no say in what is
        // under way for its parent.
        if process::id() != self.owner {
            return;
        }
        for mut connection in mem::take(&mut self.connections) {
            connection.discard(&mut self.buffers);
        }
        self.ring.cancel_all();
        // Every buffer that is not in a chunk comes back; so the buffers see whether chunks are still out.
        let mut events = mem::take(&mut self.early);
        self.collect(usize::MAX, &mut events);
        for event in events {
            if let Event::Accepted { connection: Ok(fd), .. } = event {
                socket::close(fd);
            }
        }
    }
}
