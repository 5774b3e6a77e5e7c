//! One epoll, and what both drivers watch with it: the descriptors of somebody else, and listening sockets.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::socket::check;
use super::{Accepting, Event, READ, WRITE};

/// Events of one wait. A batch of this size between two turns of an event loop is still fair to the loop.
const BATCH: usize = 512;

/// Marks of what is not a connection, in the two top bits of epoll's data.
const MARKS: u64 = 0b11 << 62;
const FOREIGN: u64 = 0b10 << 62;
const LISTENER: u64 = 0b11 << 62;

/// Bytes, an end, or a connection to accept.
pub(super) const IN: u32 = libc::EPOLLIN.cast_unsigned();
/// Room for bytes.
pub(super) const OUT: u32 = libc::EPOLLOUT.cast_unsigned();
/// Hang-ups and errors; epoll tells them unasked.
pub(super) const GONE: u32 = (libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned();
/// Nothing is wanted: edge-triggered, a hang-up or an error is told once instead of for ever.
pub(super) const QUIET: u32 = libc::EPOLLET.cast_unsigned();

struct Listener {
    name: u32,
    fd: RawFd,
    accepting: Accepting,
}

/// What the kernel told of one descriptor.
pub(super) enum Told {
    /// Of a connection: its token, and epoll's mask.
    Connection(u64, u32),
    /// Of anything else.
    Event(Event),
    /// Of something that nobody waits for any more.
    Nothing,
}

/// The epoll and what it knows.
pub(super) struct Watchlist {
    epoll: OwnedFd,
    /// Masks of READ and WRITE by descriptor; zero is not watched.
    foreign: Vec<u8>,
    /// A handful.
    listeners: Vec<Listener>,
    /// What the kernel told in the last wait.
    told: Vec<libc::epoll_event>,
    /// The kernel has `epoll_pwait2`, which takes nanoseconds (Linux 5.11).
    has_nanoseconds: bool,
}

impl Watchlist {
    /// One that watches nothing yet.
    ///
    /// # Errors
    /// As of `epoll_create1`.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved; the descriptor is new and ours.
        let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        let mut watchlist = Self {
            epoll,
            foreign: Vec::new(),
            listeners: Vec::new(),
            told: Vec::with_capacity(BATCH),
            has_nanoseconds: true,
        };
        watchlist.has_nanoseconds = watchlist.wait_nanoseconds(Duration::ZERO).is_ok();
        Ok(watchlist)
    }

    /// The epoll's own descriptor.
    pub(super) fn fileno(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Call `epoll_ctl`.
    pub(super) fn control(&self, operation: i32, fd: RawFd, mask: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: mask, u64: data };
        // SAFETY: the kernel reads one event.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// As `Driver::watch`.
    pub(super) fn watch(&mut self, fd: RawFd, mask: u32) -> io::Result<()> {
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

    /// As `Driver::unwatch`.
    pub(super) fn unwatch(&mut self, fd: RawFd) -> io::Result<()> {
        if self.watched_mask(fd) == 0 {
            return Ok(());
        }
        self.foreign[fd.cast_unsigned() as usize] = 0;
        match self.control(libc::EPOLL_CTL_DEL, fd, 0, 0) {
            // It was closed, and its number is unused or somebody else's now.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF | libc::EPERM)) => {
                Ok(())
            }
            other => other,
        }
    }

    fn watched_mask(&self, fd: RawFd) -> u32 {
        usize::try_from(fd).ok().and_then(|index| self.foreign.get(index)).map_or(0, |mask| u32::from(*mask))
    }

    /// As `Driver::listen`.
    pub(super) fn listen(&mut self, listener: u32, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, QUIET, LISTENER | u64::from(listener))?;
        self.listeners.push(Listener { name: listener, fd, accepting: Accepting::No });
        Ok(())
    }

    /// As `Driver::set_accepting`, where `Take` is as good as `Tell`.
    pub(super) fn set_accepting(&mut self, listener: u32, accepting: Accepting) {
        let Some(found) = self.listeners.iter_mut().find(|each| each.name == listener) else { return };
        if std::mem::replace(&mut found.accepting, accepting) != accepting {
            let fd = found.fd;
            let mask = if accepting == Accepting::No { QUIET } else { IN };
            // Fails only for a descriptor that somebody closed behind our back.
            let _ = self.control(libc::EPOLL_CTL_MOD, fd, mask, LISTENER | u64::from(listener));
        }
    }

    /// As `Driver::unlisten`.
    pub(super) fn unlisten(&mut self, listener: u32) {
        if let Some(index) = self.listeners.iter().position(|each| each.name == listener) {
            let found = self.listeners.swap_remove(index);
            let _ = self.control(libc::EPOLL_CTL_DEL, found.fd, 0, 0);
        }
    }

    /// Wait, and keep what the kernel tells; None waits for ever.
    ///
    /// # Errors
    /// As of `epoll_wait`, except interruption, which is as good as nothing.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
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
        Ok(count)
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

    /// Rounded up, so that a deadline has passed when this returns.
    fn wait_milliseconds(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout
            .map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        // SAFETY: the kernel writes at most BATCH events, for which there is room.
        let count = check(unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.told.as_mut_ptr(), BATCH as i32, timeout)
        })?;
        Ok(count.cast_unsigned() as usize)
    }

    /// One of the things told in the last wait.
    pub(super) fn told(&self, index: usize) -> Told {
        let libc::epoll_event { events: mask, u64: data } = self.told[index];
        match data & MARKS {
            FOREIGN => self.foreign_event((data as u32).cast_signed(), mask),
            LISTENER => {
                let listener = data as u32;
                let is_wanted = self
                    .listeners
                    .iter()
                    .any(|each| each.name == listener && each.accepting != Accepting::No);
                if is_wanted { Told::Event(Event::Acceptable { listener }) } else { Told::Nothing }
            }
            _ => Told::Connection(data, mask),
        }
    }

    fn foreign_event(&self, fd: RawFd, got: u32) -> Told {
        // A hang-up or an error is for readers and writers alike, as in Python's selectors.
        let mut mask = 0;
        if got & !IN != 0 {
            mask |= WRITE;
        }
        if got & !OUT != 0 {
            mask |= READ;
        }
        mask &= self.watched_mask(fd);
        if mask == 0 { Told::Nothing } else { Told::Event(Event::Foreign(fd, mask)) }
    }
}
