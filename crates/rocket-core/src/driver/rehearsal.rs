//! A driver without a kernel: the same bytes arrive again and again, and whatever is sent is gone. What is left
//! is the price of user space, for `benchmarks/isolation.py`.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use super::{Accepting, Chunk, Driver, Event, Receive, Token};

/// See the module's description.
#[derive(Debug)]
pub struct Rehearsal {
    bytes: Vec<u8>,
    events: usize,
    tokens: Vec<Token>,
    sent: usize,
}

impl Rehearsal {
    /// Bytes that all connections receive in turn, so many times in each `wait`.
    pub const fn new(bytes: Vec<u8>, events: usize) -> Self {
        Self { bytes, events, tokens: Vec::new(), sent: 0 }
    }
}

impl Driver for Rehearsal {
    fn attach(&mut self, token: Token, _fd: RawFd) -> io::Result<()> {
        self.tokens.push(token);
        Ok(())
    }

    fn set_reading(&mut self, _token: Token, _fd: RawFd, _is_reading: bool) {}

    fn want_write(&mut self, _token: Token, _fd: RawFd) {}

    fn close(&mut self, token: Token, _fd: RawFd) {
        self.tokens.retain(|&each| each != token);
    }

    fn detach(&mut self, token: Token, fd: RawFd) -> Vec<u8> {
        self.close(token, fd);
        Vec::new()
    }

    fn receive(&mut self, _token: Token, _fd: RawFd) -> Receive {
        Receive::Bytes(Chunk { start: self.bytes.as_ptr(), length: self.bytes.len(), buffer: 0 })
    }

    fn give_back(&mut self, _chunk: Chunk) {}

    fn send(&mut self, _fd: RawFd, data: &[u8]) -> io::Result<usize> {
        self.sent += data.len();
        Ok(data.len())
    }

    fn watch(&mut self, _fd: RawFd, _mask: u32) -> io::Result<()> {
        Ok(())
    }

    fn unwatch(&mut self, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    fn listen(&mut self, _listener: u32, _fd: RawFd) -> io::Result<()> {
        Ok(())
    }

    fn set_accepting(&mut self, _listener: u32, _accepting: Accepting) {}

    fn unlisten(&mut self, _listener: u32) {}

    fn wait(&mut self, _timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        events.extend(self.tokens.iter().cycle().take(self.events).map(|&token| Event::Readable(token)));
        Ok(())
    }

    fn fileno(&self) -> RawFd {
        -1
    }
}
