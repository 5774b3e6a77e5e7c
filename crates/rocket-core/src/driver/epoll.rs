//! The driver that is always there: one level-triggered epoll for connections, listeners and the descriptors of
//! somebody else.
//!
//! What epoll watches a connection for is corrected lazily. A connection that stops reading stays watched until
//! bytes really come; one that was told it may write stays watched for that until the kernel says so once more.
//! Most pauses end before, and then cost no system call.
//!
//! Edge-triggered, nothing was won that could be measured, and an end that arrives together with bytes would be
//! lost without further care.

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::RawFd;
use std::time::Duration;

use super::socket;
use super::watchlist::{GONE, IN, OUT, QUIET, Told, Watchlist};
use super::{Accepting, Chunk, Driver, Event, Receive, Token};
use crate::slab::place_of;

/// Bytes of the one receive buffer: what a loopback sender has under way at once, in one call.
const BUFFER: usize = 64 * 1024;

/// How a connection stands with epoll.
#[derive(Clone, Copy)]
struct Watched {
    token: Token,
    fd: RawFd,
    /// What epoll watches for: everything wanted, and sometimes still more.
    armed: u32,
    is_reading: bool,
    wants_write: bool,
    /// It broke and that was told.
    is_broken: bool,
}

impl Watched {
    /// Of a place without a connection; no token has this value.
    const VACANT: Self =
        Self { token: u64::MAX, fd: -1, armed: 0, is_reading: false, wants_write: false, is_broken: false };

    fn wanted(&self) -> u32 {
        let reading = if self.is_reading { IN } else { 0 };
        let writing = if self.wants_write { OUT } else { 0 };
        reading | writing
    }
}

/// The driver. Connections that are still attached when it is dropped are not closed.
pub struct Epoll {
    watchlist: Watchlist,
    /// By the place in the token.
    connections: Vec<Watched>,
    /// BUFFER bytes from `Box`; a raw pointer, because a chunk points into them while the driver is used.
    buffer: *mut u8,
    is_chunk_out: bool,
    /// The next buffer, when this one is kept.
    spare: Option<*mut u8>,
}

impl Epoll {
    /// A driver that watches nothing yet.
    ///
    /// # Errors
    /// As of `epoll_create1`.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            watchlist: Watchlist::new()?,
            connections: Vec::new(),
            buffer: new_buffer(),
            is_chunk_out: false,
            spare: None,
        })
    }

    fn connection(&mut self, token: Token) -> Option<&mut Watched> {
        self.connections.get_mut(place_of(token) as usize).filter(|watched| watched.token == token)
    }

    /// Have epoll watch a connection for exactly this.
    fn arm(&mut self, token: Token, mask: u32) {
        let Some(watched) = self.connection(token) else { return };
        watched.armed = mask;
        let fd = watched.fd;
        // Fails only for a descriptor that somebody closed behind our back: there is nothing left to watch.
        let _ = self.watchlist.control(libc::EPOLL_CTL_MOD, fd, mask, token);
    }

    /// Have epoll watch a connection at least for what is wanted.
    fn arm_wanted(&mut self, token: Token) {
        let Some(watched) = self.connection(token) else { return };
        let wanted = watched.wanted();
        if watched.armed & wanted != wanted || watched.armed & QUIET != 0 {
            self.arm(token, wanted);
        }
    }

    fn forget(&mut self, token: Token, fd: RawFd) {
        if let Some(watched) = self.connection(token) {
            *watched = Watched::VACANT;
            // Closing alone does not end the watch when a forked child holds the socket too.
            let _ = self.watchlist.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        }
    }

    fn tell(&mut self, token: Token, got: u32, events: &mut Vec<Event>) {
        let Some(watched) = self.connection(token) else { return };
        let wanted = watched.wanted();
        let is_gone = got & GONE != 0;
        if watched.is_reading {
            // Also when it is gone: bytes that came before are received before the error is.
            if got & (IN | GONE) != 0 {
                events.push(Event::Readable(token));
            }
        } else if is_gone {
            let was_told = mem::replace(&mut watched.is_broken, true);
            watched.wants_write = false;
            if !was_told {
                events.push(Event::Broken(token));
            }
            if watched.armed != QUIET {
                self.arm(token, QUIET);
            }
            return;
        }
        if watched.wants_write && got & (OUT | GONE) != 0 {
            watched.wants_write = false;
            events.push(Event::Writable(token));
        }
        if got & !wanted & (IN | OUT) != 0 {
            let wanted = watched.wanted();
            self.arm(token, wanted);
        }
    }
}

impl Driver for Epoll {
    fn attach(&mut self, token: Token, fd: RawFd) -> io::Result<()> {
        self.watchlist.control(libc::EPOLL_CTL_ADD, fd, IN, token)?;
        let index = place_of(token) as usize;
        if index >= self.connections.len() {
            self.connections.resize(index + 1, Watched::VACANT);
        }
        self.connections[index] =
            Watched { token, fd, armed: IN, is_reading: true, wants_write: false, is_broken: false };
        Ok(())
    }

    fn set_reading(&mut self, token: Token, _fd: RawFd, is_reading: bool) {
        let Some(watched) = self.connection(token) else { return };
        watched.is_reading = is_reading;
        if is_reading {
            self.arm_wanted(token);
        }
    }

    fn want_write(&mut self, token: Token, _fd: RawFd) {
        let Some(watched) = self.connection(token) else { return };
        if !watched.is_broken {
            watched.wants_write = true;
            self.arm_wanted(token);
        }
    }

    fn close(&mut self, token: Token, fd: RawFd) {
        self.forget(token, fd);
        socket::close(fd);
    }

    fn detach(&mut self, token: Token, fd: RawFd) -> Vec<u8> {
        self.forget(token, fd);
        Vec::new()
    }

    fn receive(&mut self, token: Token, fd: RawFd) -> Receive {
        assert!(!self.is_chunk_out, "the chunk before was not given back");
        // SAFETY: the buffer has that many bytes, and no chunk borrows them.
        let received = match unsafe { socket::receive(fd, self.buffer, BUFFER) } {
            Ok(0) => Receive::End,
            Ok(length) => {
                self.is_chunk_out = true;
                return Receive::Bytes(Chunk { start: self.buffer, length, buffer: 0 });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Receive::Nothing,
            Err(error) => Receive::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        };
        if let Some(watched) = self.connection(token) {
            watched.is_reading = false;
            watched.is_broken |= matches!(received, Receive::Failed(_));
        }
        received
    }

    fn give_back(&mut self, chunk: Chunk) {
        debug_assert_eq!(chunk.buffer, 0, "a chunk of another driver");
        if cfg!(debug_assertions) {
            // Whoever reads what he gave back is found out.
            // SAFETY: the buffer has that many bytes, and giving back takes the only chunk that borrows them.
            unsafe { chunk.start.cast_mut().write_bytes(0xdd, chunk.length) };
        }
        if chunk.start == self.buffer.cast_const() {
            self.is_chunk_out = false;
        } else if let Some(buffer) = self.spare.replace(chunk.start.cast_mut()) {
            // SAFETY: nothing points into it: it was kept, and given back.
            unsafe { free_buffer(buffer) };
        }
    }

    fn keep(&mut self, chunk: &Chunk) {
        if chunk.start == self.buffer.cast_const() {
            self.buffer = self.spare.take().unwrap_or_else(new_buffer);
            self.is_chunk_out = false;
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
        self.watchlist.listen(listener, fd)
    }

    fn set_accepting(&mut self, listener: u32, accepting: Accepting) {
        self.watchlist.set_accepting(listener, accepting);
    }

    fn unlisten(&mut self, listener: u32) {
        self.watchlist.unlisten(listener);
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        for index in 0..self.watchlist.wait(timeout)? {
            match self.watchlist.told(index) {
                Told::Connection(token, mask) => self.tell(token, mask, events),
                Told::Event(event) => events.push(event),
                Told::Nothing => {}
            }
        }
        Ok(())
    }

    fn fileno(&self) -> RawFd {
        self.watchlist.fileno()
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // A chunk that is still out keeps its memory: a leak harms less than reading what was freed.
        let idle = if self.is_chunk_out { None } else { Some(self.buffer) };
        for buffer in [idle, self.spare.take()].into_iter().flatten() {
            // SAFETY: nothing points into it.
            unsafe { free_buffer(buffer) };
        }
    }
}

fn new_buffer() -> *mut u8 {
    Box::into_raw(Box::<[u8; BUFFER]>::new_uninit()).cast()
}

/// Free what `new_buffer` made.
///
/// # Safety
/// That; and nothing points into it.
unsafe fn free_buffer(buffer: *mut u8) {
    // SAFETY: it was allocated with this type.
    drop(unsafe { Box::from_raw(buffer.cast::<MaybeUninit<[u8; BUFFER]>>()) });
}
