//! The floor under both drivers: every head, found by its empty line and not understood, gets one fixed answer.
//!
//! What a server costs above this is its own doing.
//!
//! ```text
//! cargo run --release --example echo_floor -- 127.0.0.1:8000 epoll
//! cargo run --release --example echo_floor -- 127.0.0.1:8000 uring buffers=64 buffer_size=4096 take=1
//! ```

use std::error::Error;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::uring::{RingOptions, Uring};
use rocket_core::driver::{Accepting, Driver, Event, Receive, Token};
use rocket_core::slab::Slab;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver: rocket-sup\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
content-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
const HEAD_END: &[u8] = b"\r\n\r\n";

struct Connection {
    fd: RawFd,
    /// Bytes of HEAD_END that the last chunk ended with.
    matched: usize,
    /// Bytes of answers that the socket did not take.
    unsent: Vec<u8>,
}

/// Heads that end in these bytes.
fn count_heads(bytes: &[u8], matched: &mut usize) -> usize {
    let mut heads = 0;
    for &byte in bytes {
        // Within CR LF CR LF, a CR that does not go on is the beginning of another try.
        *matched = if byte == HEAD_END[*matched] { *matched + 1 } else { usize::from(byte == b'\r') };
        if *matched == HEAD_END.len() {
            *matched = 0;
            heads += 1;
        }
    }
    heads
}

struct Server<D> {
    driver: D,
    connections: Slab<Connection>,
    listener: TcpListener,
    answers: Vec<u8>,
}

impl<D: Driver> Server<D> {
    fn close(&mut self, token: Token) {
        if let Some(gone) = self.connections.remove(token) {
            self.driver.close(token, gone.fd);
        }
    }

    fn attach(&mut self, fd: RawFd) -> Result<(), Box<dyn Error>> {
        let token = self.connections.insert(Connection { fd, matched: 0, unsent: Vec::new() });
        Ok(self.driver.attach(token, fd)?)
    }

    fn on_readable(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        match self.driver.receive(token, connection.fd) {
            Receive::Bytes(chunk) => {
                let heads = count_heads(&chunk, &mut connection.matched);
                self.driver.give_back(chunk);
                self.answers.clear();
                for _ in 0..heads {
                    self.answers.extend_from_slice(ANSWER);
                }
                let mut answers = std::mem::take(&mut self.answers);
                self.send(token, &answers);
                answers.clear();
                self.answers = answers;
            }
            Receive::Nothing => {}
            Receive::End | Receive::Failed(_) => self.close(token),
        }
    }

    fn send(&mut self, token: Token, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        if !connection.unsent.is_empty() {
            connection.unsent.extend_from_slice(bytes);
            return;
        }
        let sent = match self.driver.send(connection.fd, bytes) {
            Ok(sent) => sent,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(_) => return self.close(token),
        };
        if sent < bytes.len() {
            connection.unsent.extend_from_slice(&bytes[sent..]);
            self.driver.want_write(token, connection.fd);
        }
    }

    fn on_writable(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(token) {
            let unsent = std::mem::take(&mut connection.unsent);
            self.send(token, &unsent);
        }
    }

    fn serve(&mut self) -> Result<(), Box<dyn Error>> {
        let mut events = Vec::new();
        loop {
            self.driver.wait(None, &mut events)?;
            for event in events.drain(..) {
                match event {
                    Event::Readable(token) => self.on_readable(token),
                    Event::Writable(token) => self.on_writable(token),
                    Event::Broken(token) => self.close(token),
                    Event::Acceptable { .. } => self.attach(self.listener.accept()?.0.into_raw_fd())?,
                    Event::Accepted { connection, .. } => {
                        let fd = connection.map_err(std::io::Error::from_raw_os_error)?;
                        self.attach(fd)?;
                    }
                    Event::Foreign(..) => {}
                }
            }
        }
    }
}

fn run(mut driver: impl Driver, listener: TcpListener, accepting: Accepting) -> Result<(), Box<dyn Error>> {
    driver.listen(0, listener.as_raw_fd())?;
    driver.set_accepting(0, accepting);
    Server { driver, connections: Slab::new(), listener, answers: Vec::new() }.serve()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, driver, settings @ ..] = &arguments[..] else {
        return Err("usage: echo_floor ADDRESS epoll|uring [NAME=NUMBER...]".into());
    };
    let mut options = RingOptions::default();
    let mut accepting = Accepting::Tell;
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or("a setting is NAME=NUMBER")?;
        let value: u32 = value.parse()?;
        match name {
            "entries" => options.entries = value,
            "buffers" => options.buffers = value,
            "buffer_size" => options.buffer_size = value,
            "batch" => options.batch = value as usize,
            "single_issuer" => options.single_issuer = value > 0,
            "sqpoll" => options.sqpoll = value > 0,
            "sqpoll_cpu" => options.sqpoll_cpu = Some(value),
            "sqpoll_idle_ms" => options.sqpoll_idle_ms = value,
            "take" => accepting = if value > 0 { Accepting::Take } else { Accepting::Tell },
            _ => return Err(format!("no such setting: {name}").into()),
        }
    }
    let listener = TcpListener::bind(address)?;
    match driver.as_str() {
        "epoll" => run(Epoll::new()?, listener, accepting),
        "uring" => run(Uring::new(&options)?, listener, accepting),
        _ => Err(format!("no such driver: {driver}").into()),
    }
}
