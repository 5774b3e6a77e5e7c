//! The system calls on sockets that both drivers make.

use std::io;
use std::os::fd::RawFd;

/// The result of a system call: what it returned, or errno.
///
/// # Errors
/// errno, when the call returned a negative number.
pub(super) fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Receive what is there, up to `length` bytes; zero is the end.
///
/// # Errors
/// `WouldBlock`, or the connection broke.
///
/// # Safety
/// `length` bytes from `start` may be written.
pub(super) unsafe fn receive(fd: RawFd, start: *mut u8, length: usize) -> io::Result<usize> {
    loop {
        // SAFETY: the caller vouches for the memory.
        let got = unsafe { libc::recv(fd, start.cast(), length, libc::MSG_DONTWAIT) };
        if got >= 0 {
            return Ok(got.cast_unsigned());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether the kernel holds bytes that nobody has received.
pub(super) fn has_unread(fd: RawFd) -> bool {
    let mut unread: libc::c_int = 0;
    // SAFETY: the kernel writes one int, to which a valid pointer is given.
    let result = unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut unread) };
    result == 0 && unread > 0
}

/// Send what the socket takes at once: bytes taken.
///
/// # Errors
/// `WouldBlock`, or the connection broke.
pub(super) fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    loop {
        // SAFETY: the kernel reads within the slice.
        let sent = unsafe {
            libc::send(fd, data.as_ptr().cast(), data.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        if sent >= 0 {
            return Ok(sent.cast_unsigned());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Make a socket one that blocks: the kernel waits for its bytes only where a caller would.
///
/// # Errors
/// It is no descriptor.
pub(super) fn set_blocking(fd: RawFd) -> io::Result<()> {
    let mut no: libc::c_int = 0;
    // SAFETY: the kernel reads one number.
    check(unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut no) })?;
    Ok(())
}

/// Close a descriptor. What `close` returns says nothing that anybody could act on: it is closed in any case.
pub(super) fn close(fd: RawFd) {
    // SAFETY: the caller owns the descriptor and forgets it.
    unsafe { libc::close(fd) };
}

/// Fail for what is no descriptor.
pub(super) fn check_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: a system call without pointers.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(drop)
}
