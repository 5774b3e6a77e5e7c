//! The driver that is left when a reactor was closed: it has nothing and takes nothing.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::{Accepting, Chunk, Driver, Event, Receive, Token};

/// See the module's description.
#[derive(Debug)]
pub struct Closed;

fn refused<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(libc::EBADF))
}

impl Driver for Closed {
    fn attach(&mut self, _token: Token, _fd: RawFd) -> io::Result<()> {
        refused()
    }

    fn set_reading(&mut self, _token: Token, _fd: RawFd, _is_reading: bool) {}

    fn want_write(&mut self, _token: Token, _fd: RawFd) {}

    fn close(&mut self, _token: Token, fd: RawFd) {
        // SAFETY: whoever calls `close` gives the descriptor up.
        unsafe { libc::close(fd) };
    }

    fn detach(&mut self, _token: Token, _fd: RawFd) -> Vec<u8> {
        Vec::new()
    }

    fn receive(&mut self, _token: Token, _fd: RawFd) -> Receive {
        Receive::Nothing
    }

    fn give_back(&mut self, _chunk: Chunk) {}

    fn send(&mut self, _fd: RawFd, _data: &[u8]) -> io::Result<usize> {
        refused()
    }

    fn watch(&mut self, _fd: RawFd, _mask: u32) -> io::Result<()> {
        refused()
    }

    fn unwatch(&mut self, _fd: RawFd) -> io::Result<()> {
        refused()
    }

    fn listen(&mut self, _listener: u32, _fd: RawFd) -> io::Result<()> {
        refused()
    }

    fn set_accepting(&mut self, _listener: u32, _accepting: Accepting) {}

    fn unlisten(&mut self, _listener: u32) {}

    fn wait(&mut self, _timeout: Option<Duration>, _events: &mut Vec<Event>) -> io::Result<()> {
        refused()
    }

    fn fileno(&self) -> RawFd {
        -1
    }
}
