//! What does I/O and decides nothing: sockets are watched, bytes are received, readiness is told.
//!
//! Two drivers behave alike: `epoll`, which is always there, and `uring`, where the kernel allows it.

pub mod closed;
pub mod epoll;
pub mod probe;
pub mod rehearsal;
mod socket;
pub mod uring;
mod watchlist;

use std::io;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::time::Duration;

/// Names one connection: its place in the table (the low 32 bits), and how often that place was used before (31
/// bits above them). A token of a closed connection never names the next one. The top bit is always zero: the
/// drivers mark with it what is not a connection.
pub type Token = u64;

/// `selectors.EVENT_READ` of Python.
pub const READ: u32 = 1;
/// `selectors.EVENT_WRITE` of Python.
pub const WRITE: u32 = 2;

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A connection has bytes, an end or an error to be received: call `Driver::receive` once.
    Readable(Token),
    /// A connection takes bytes again; told once for each `Driver::want_write`.
    Writable(Token),
    /// A connection broke while nobody read it; told once.
    Broken(Token),
    /// A listener has connections in its queue: take them with `accept`.
    Acceptable {
        /// As given to `Driver::listen`.
        listener: u32,
    },
    /// The kernel took this connection from a listener's queue, as `Accepting::Take` allows: a blocking socket,
    /// close-on-exec, now the caller's. After an errno the listener is left alone, as by `Accepting::No`.
    Accepted {
        /// As given to `Driver::listen`.
        listener: u32,
        /// The connection, or the errno of `accept`.
        connection: Result<RawFd, i32>,
    },
    /// A descriptor of somebody else's is ready: mask of READ and WRITE.
    Foreign(RawFd, u32),
}

/// What becomes of the connections in a listener's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// They stay there.
    No,
    /// They stay there and `Event::Acceptable` is told, as long as there are any. For whoever keeps an exact
    /// limit: a place is claimed first, then a connection is taken.
    Tell,
    /// A driver that can take them itself does, and tells `Event::Accepted`; any other tells `Acceptable`. How
    /// many it takes before it can be stopped nobody knows, so a limit is not exact.
    Take,
}

/// What a connection had for us.
#[derive(Debug)]
pub enum Receive {
    /// Bytes, at least one; to be given back with `Driver::give_back` before the next `wait`.
    Bytes(Chunk),
    /// The client sends no more.
    End,
    /// Nothing, after all.
    Nothing,
    /// The connection broke: errno.
    Failed(i32),
}

/// Received bytes in memory of the driver's.
///
/// It borrows from the driver without the compiler's help, because a handler that is called with these bytes
/// may call the driver again: to watch a descriptor, say. The driver leaves the memory alone until
/// `give_back`.
#[derive(Debug)]
pub struct Chunk {
    /// First byte.
    pub(crate) start: *const u8,
    /// Bytes.
    pub(crate) length: usize,
    /// Which of the driver's buffers it is.
    pub(crate) buffer: u32,
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the driver neither frees nor writes this memory until the chunk is given back, and giving
        // back takes the chunk.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// Watches sockets. Everything is on one thread.
pub trait Driver {
    /// Watch a connected socket: from now on it is read. No two attached connections have one place.
    ///
    /// Whether the socket blocks is the driver's affair from now on: one that does costs `Uring` least, and `Epoll`
    /// does not care. Whoever goes on with it after `detach` sets what it needs.
    ///
    /// # Errors
    /// The kernel gives no more.
    fn attach(&mut self, token: Token, fd: RawFd) -> io::Result<()>;

    /// Stop or go on reading. Bytes that the kernel had handed over before may still be told of. Cheap: a pause
    /// that ends before more bytes arrive costs no system call.
    ///
    /// An end or a failure, once received, stops reading too.
    fn set_reading(&mut self, token: Token, fd: RawFd, is_reading: bool);

    /// Tell once when the socket takes bytes again.
    fn want_write(&mut self, token: Token, fd: RawFd);

    /// Forget and close a socket: no later `wait` names this token. An event that is already in a list from
    /// `wait` is the caller's to recognise, by the generation in the token.
    fn close(&mut self, token: Token, fd: RawFd);

    /// Forget a socket without closing it; somebody else goes on with it, after the bytes that are returned:
    /// those that had come but were not received here.
    #[must_use]
    fn detach(&mut self, token: Token, fd: RawFd) -> Vec<u8>;

    /// Receive what a `Readable` told of: once for each, before the next `wait`, unless reading stopped meanwhile.
    ///
    /// # Panics
    /// `Epoll`: the chunk before was not given back.
    fn receive(&mut self, token: Token, fd: RawFd) -> Receive;

    /// Whether a connection that is read has something to be received, told or not.
    fn has_unread(&mut self, _token: Token, fd: RawFd) -> bool {
        socket::has_unread(fd)
    }

    /// Take back received bytes.
    fn give_back(&mut self, chunk: Chunk);

    /// Leave a chunk alone beyond the next `wait`, until it is given back whenever that may be. It costs others a
    /// buffer meanwhile: whoever keeps chunks keeps few.
    fn keep(&mut self, _chunk: &Chunk) {}

    /// Send what the socket takes at once: bytes taken.
    ///
    /// # Errors
    /// `WouldBlock`, or the connection broke.
    fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize>;

    /// Watch a descriptor of somebody else's, level-triggered, for a mask of READ and WRITE; again: with another
    /// mask.
    ///
    /// # Errors
    /// As of `epoll_ctl`: the descriptor cannot be watched.
    fn watch(&mut self, fd: RawFd, mask: u32) -> io::Result<()>;

    /// Stop watching it.
    ///
    /// # Errors
    /// As of `epoll_ctl`; closed descriptors are forgotten silently.
    fn unwatch(&mut self, fd: RawFd) -> io::Result<()>;

    /// Know a listening socket; its queue is left alone until `set_accepting`.
    ///
    /// # Errors
    /// The kernel gives no more.
    fn listen(&mut self, listener: u32, fd: RawFd) -> io::Result<()>;

    /// Say what becomes of the connections in its queue. Lasts until the next call.
    fn set_accepting(&mut self, listener: u32, accepting: Accepting);

    /// Forget a listening socket without closing it.
    fn unlisten(&mut self, listener: u32);

    /// Wait for events and append them to an empty list; None waits for ever, zero only looks.
    ///
    /// # Errors
    /// As of `epoll_wait`; interrupted by a signal it succeeds without events.
    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()>;

    /// A descriptor that is readable when `wait(0)` has something, to be watched by another loop.
    fn fileno(&self) -> RawFd;
}
