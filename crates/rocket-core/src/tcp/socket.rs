//! The system calls on sockets that only raw connections need. What they return is of no use: a client that has
//! left makes them fail, which is found out by reading.

use std::os::fd::RawFd;

/// Send our end.
pub(super) fn send_end(fd: RawFd) {
    // SAFETY: no memory is involved.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Have `close` reset the connection and drop what is unsent.
pub(super) fn reset_on_close(fd: RawFd) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the kernel reads one `linger`.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const at_once).cast(), size) };
}

/// The error that the socket has for us, which is forgotten by it; zero is none.
pub(super) fn take_error(fd: RawFd) -> i32 {
    let mut errno: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int, and its size.
    unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut errno).cast(), &raw mut size) };
    errno
}
