//! A descriptor that is readable when there is something to be waited for.
//!
//! The ring's own descriptor will not do: when the kernel defers its work to the call that waits, an epoll that
//! watches the ring is never woken (seen on Linux 6.18). A registered eventfd is.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::Submitter;

use crate::driver::socket::check;

/// The descriptor; silent, until somebody asks for it: ringing costs.
pub(super) struct Bell {
    eventfd: OwnedFd,
    is_wanted: Cell<bool>,
    is_rung: Cell<bool>,
}

impl Bell {
    /// Make one.
    ///
    /// # Errors
    /// As of `eventfd`.
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: no memory is involved; the descriptor is new and ours.
        let eventfd = unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, flags))?) };
        Ok(Self { eventfd, is_wanted: Cell::new(false), is_rung: Cell::new(false) })
    }

    /// The descriptor. From now on the kernel rings when something completes.
    pub(super) fn fileno(&self, submitter: &Submitter<'_>) -> RawFd {
        if !self.is_wanted.replace(true) {
            // Refused, it would leave the other loop deaf to the kernel: better to fail here and now.
            submitter.register_eventfd(self.eventfd.as_raw_fd()).expect("the ring takes an eventfd");
            // For what completed before.
            self.ring();
        }
        self.eventfd.as_raw_fd()
    }

    /// Ask for a `wait`.
    pub(super) fn ring(&self) {
        if self.is_wanted.get() && !self.is_rung.replace(true) {
            let one = 1_u64;
            // SAFETY: the kernel reads eight bytes. It fails only when the count is near 2^64: it is readable then.
            unsafe { libc::write(self.eventfd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
        }
    }

    /// Begin a `wait`.
    pub(super) fn silence(&self) {
        if self.is_wanted.get() {
            self.is_rung.set(false);
            let mut count = 0_u64;
            // SAFETY: the kernel writes eight bytes, or none when the count is zero.
            unsafe { libc::read(self.eventfd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
        }
    }
}
