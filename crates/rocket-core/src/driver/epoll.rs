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
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::socket::{self, check};
use super::{Chunk, Driver, Event, READ, Receive, Token, WRITE, place};

/// Events of one wait. One batch of this size between two turns of an event loop is still fair to the loop.
const BATCH: usize = 512;

/// Bytes of the one receive buffer: what a loopback sender has under way at once, in one call.
const BUFFER: usize = 64 * 1024;

/// Marks of what is not a connection, in the two top bits of epoll's data.
const MARKS: u64 = 0b11 << 62;
const FOREIGN: u64 = 0b10 << 62;
const LISTENER: u64 = 0b11 << 62;

const IN: u32 = libc::EPOLLIN.cast_unsigned();
const OUT: u32 = libc::EPOLLOUT.cast_unsigned();
const GONE: u32 = (libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
/// Hang-ups and errors cannot be masked; edge-triggered they are told once instead of always.
const QUIET: u32 = libc::EPOLLET.cast_unsigned();

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

struct Listener {
    name: u32,
    fd: RawFd,
    is_accepting: bool,
}

/// The driver. Connections that are still attached when it is dropped are not closed.
pub struct Epoll {
    epoll: OwnedFd,
    /// By the place in the token.
    connections: Vec<Watched>,
    /// Masks of READ and WRITE by descriptor; zero is not watched.
    foreign: Vec<u8>,
    /// A handful.
    listeners: Vec<Listener>,
    /// What the kernel told in the last wait.
    told: Vec<libc::epoll_event>,
    /// BUFFER bytes from `Box`; a raw pointer, because a chunk points into them while the driver is used.
    buffer: *mut u8,
    is_chunk_out: bool,
    /// The kernel has `epoll_pwait2`, which takes nanoseconds (Linux 5.11).
    has_nanoseconds: bool,
}

impl Epoll {
    /// A driver that watches nothing yet.
    ///
    /// # Errors
    /// As of `epoll_create1`.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved; the descriptor is new and ours.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        let buffer = Box::<[u8; BUFFER]>::new_uninit();
        let mut driver = Self {
            epoll,
            connections: Vec::new(),
            foreign: Vec::new(),
            listeners: Vec::new(),
            told: Vec::with_capacity(BATCH),
            buffer: Box::into_raw(buffer).cast(),
            is_chunk_out: false,
            has_nanoseconds: true,
        };
        driver.has_nanoseconds = driver.wait_nanoseconds(Duration::ZERO).is_ok();
        Ok(driver)
    }

    fn control(&self, operation: i32, fd: RawFd, mask: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: mask, u64: data };
        // SAFETY: the kernel reads one event.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    fn connection(&mut self, token: Token) -> Option<&mut Watched> {
        self.connections.get_mut(place(token)).filter(|watched| watched.token == token)
    }

    /// Have epoll watch a connection for exactly this.
    fn arm(&mut self, token: Token, mask: u32) {
        let Some(watched) = self.connection(token) else { return };
        watched.armed = mask;
        let fd = watched.fd;
        // Fails only for a descriptor that somebody closed behind our back: there is nothing left to watch.
        let _ = self.control(libc::EPOLL_CTL_MOD, fd, mask, token);
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
            let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        }
    }

    fn tell_connection(&mut self, token: Token, got: u32, events: &mut Vec<Event>) {
        let Some(watched) = self.connection(token) else { return };
        let wanted = watched.wanted();
        let is_gone = got & GONE != 0;
        if watched.is_reading {
            // Also when it is gone: bytes that came before are received before the error is.
            if got & (IN | GONE) != 0 {
                events.push(Event::Readable(token));
            }
        } else if is_gone {
            let was_told = std::mem::replace(&mut watched.is_broken, true);
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

    fn tell_foreign(&self, fd: RawFd, got: u32, events: &mut Vec<Event>) {
        // A hang-up or an error is for readers and writers alike, as in Python's selectors.
        let mut mask = 0;
        if got & !IN != 0 {
            mask |= WRITE;
        }
        if got & !OUT != 0 {
            mask |= READ;
        }
        mask &= self.watched_mask(fd);
        if mask != 0 {
            events.push(Event::Foreign(fd, mask));
        }
    }

    fn watched_mask(&self, fd: RawFd) -> u32 {
        usize::try_from(fd).ok().and_then(|index| self.foreign.get(index)).map_or(0, |mask| u32::from(*mask))
    }

    fn wait_nanoseconds(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // SAFETY: the kernel writes at most BATCH events, for which there is room, and reads one timespec.
        let count = check(unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                self.told.as_mut_ptr(),
                BATCH,
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0,
            ) as libc::c_int
        })?;
        Ok(count.cast_unsigned() as usize)
    }

    /// Milliseconds, rounded up; None waits for ever.
    fn wait_milliseconds(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout
            .map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        // SAFETY: the kernel writes at most BATCH events, for which there is room.
        let count = check(unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.told.as_mut_ptr(), BATCH as i32, timeout)
        })?;
        Ok(count.cast_unsigned() as usize)
    }

    /// Fill `told`.
    fn wait_kernel(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.told.clear();
        let result = match timeout {
            Some(timeout) if self.has_nanoseconds && !timeout.is_zero() => self.wait_nanoseconds(timeout),
            _ => self.wait_milliseconds(timeout),
        };
        let count = match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        // SAFETY: the kernel wrote that many.
        unsafe { self.told.set_len(count) };
        Ok(())
    }
}

impl Driver for Epoll {
    fn attach(&mut self, token: Token, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, IN, token)?;
        let index = place(token);
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

    fn detach(&mut self, token: Token, fd: RawFd) {
        self.forget(token, fd);
    }

    fn receive(&mut self, token: Token, fd: RawFd) -> Receive {
        assert!(!self.is_chunk_out, "the chunk before was not given back");
        // SAFETY: the buffer has that many bytes, and no chunk borrows them.
        let received = match unsafe { socket::receive(fd, self.buffer, BUFFER) } {
            Ok(0) => Receive::End,
            Ok(length) => {
                self.is_chunk_out = true;
                return Receive::Bytes(Chunk { start: self.buffer, length });
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
        debug_assert_eq!(chunk.start, self.buffer.cast_const(), "a chunk of another driver");
        self.is_chunk_out = false;
    }

    fn send(&mut self, fd: RawFd, data: &[u8]) -> io::Result<usize> {
        socket::send(fd, data)
    }

    fn watch(&mut self, fd: RawFd, mask: u32) -> io::Result<()> {
        let index = usize::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        if mask == 0 || mask & !(READ | WRITE) != 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let wanted = if mask & READ != 0 { IN } else { 0 } | if mask & WRITE != 0 { OUT } else { 0 };
        let data = FOREIGN | u64::from(fd.cast_unsigned());
        let is_known = self.watched_mask(fd) != 0;
        let first = if is_known { libc::EPOLL_CTL_MOD } else { libc::EPOLL_CTL_ADD };
        let added = match self.control(first, fd, wanted, data) {
            // Closed in between, and its number given to something new.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                self.control(libc::EPOLL_CTL_ADD, fd, wanted, data)
            }
            other => other,
        };
        if index >= self.foreign.len() {
            self.foreign.resize(index + 1, 0);
        }
        self.foreign[index] = if added.is_ok() { mask as u8 } else { 0 };
        added
    }

    fn unwatch(&mut self, fd: RawFd) -> io::Result<()> {
        if self.watched_mask(fd) == 0 {
            return Ok(());
        }
        self.foreign[fd.cast_unsigned() as usize] = 0;
        match self.control(libc::EPOLL_CTL_DEL, fd, 0, 0) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF | libc::EPERM)) => {
                Ok(())
            }
            other => other,
        }
    }

    fn listen(&mut self, listener: u32, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, QUIET, LISTENER | u64::from(listener))?;
        self.listeners.push(Listener { name: listener, fd, is_accepting: false });
        Ok(())
    }

    fn set_accepting(&mut self, listener: u32, is_accepting: bool) {
        let Some(found) = self.listeners.iter_mut().find(|each| each.name == listener) else { return };
        if std::mem::replace(&mut found.is_accepting, is_accepting) != is_accepting {
            let fd = found.fd;
            let mask = if is_accepting { IN } else { QUIET };
            // Fails only for a descriptor that somebody closed behind our back.
            let _ = self.control(libc::EPOLL_CTL_MOD, fd, mask, LISTENER | u64::from(listener));
        }
    }

    fn unlisten(&mut self, listener: u32) {
        if let Some(index) = self.listeners.iter().position(|each| each.name == listener) {
            let found = self.listeners.swap_remove(index);
            let _ = self.control(libc::EPOLL_CTL_DEL, found.fd, 0, 0);
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        self.wait_kernel(timeout)?;
        for index in 0..self.told.len() {
            let libc::epoll_event { events: got, u64: data } = self.told[index];
            match data & MARKS {
                FOREIGN => self.tell_foreign((data as u32).cast_signed(), got, events),
                LISTENER => {
                    let listener = data as u32;
                    if self.listeners.iter().any(|each| each.name == listener && each.is_accepting) {
                        events.push(Event::Acceptable { listener });
                    }
                }
                _ => self.tell_connection(data, got, events),
            }
        }
        Ok(())
    }

    fn fileno(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // A chunk that is still out keeps its memory: a leak harms less than reading what was freed.
        if !self.is_chunk_out {
            // SAFETY: allocated in `new` with this type, and nothing points into it.
            drop(unsafe { Box::from_raw(self.buffer.cast::<std::mem::MaybeUninit<[u8; BUFFER]>>()) });
        }
    }
}
