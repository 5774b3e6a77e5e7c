//! A server with its driver, turned by hand, and clients on the other end of socket pairs.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rocket_core::driver::{Driver, Event, Token};
use rocket_core::http1::{Settings, Timeouts};
use rocket_core::limits::Limits;
use rocket_core::places::Places;
use rocket_core::server::Server;

use crate::app::{Lines, done};

/// Only a check that fails waits this long.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// When a test begins, in milliseconds.
pub const START: u64 = 1_000_000;

pub const SETTINGS: Settings = Settings {
    limits: Limits { request_line: 8190, head: 1000, headers: 20, chunk_extensions: 100, trailers: 100 },
    timeouts: Timeouts {
        first_byte: 10_000,
        head: 20_000,
        body: 30_000,
        body_min_rate: 10,
        idle: 40_000,
        write: 50_000,
        handler: 60_000,
    },
    pipeline: 4,
};

pub struct Rig {
    pub server: Rc<Server<Lines>>,
    pub driver: Rc<RefCell<Box<dyn Driver>>>,
    /// Told by the driver and not acted upon.
    pub events: Vec<Event>,
    opened: u32,
}

impl Rig {
    pub fn new(driver: Box<dyn Driver>) -> Self {
        let driver = Rc::new(RefCell::new(driver));
        let server =
            Rc::new(Server::new(Lines::at(START), SETTINGS, Rc::clone(&driver), Places::unlimited()));
        Self { server, driver, events: Vec::new(), opened: 0 }
    }

    pub fn app(&self) -> &Lines {
        self.server.app()
    }

    /// Open a connection; the first is 1.
    pub fn open(&mut self) -> (Token, UnixStream) {
        self.opened += 1;
        open(&self.server, self.opened)
    }

    /// Wait until the driver tells something, and leave it untouched.
    pub fn hear(&mut self) {
        let began = Instant::now();
        while self.events.is_empty() {
            assert!(began.elapsed() < PATIENCE, "nothing happens");
            self.driver.borrow_mut().wait(Some(PATIENCE), &mut self.events).unwrap();
        }
    }

    /// Act on what was told.
    pub fn act(&mut self) {
        for event in self.events.drain(..) {
            match event {
                Event::Readable(token) => self.server.on_readable(token),
                Event::Writable(token) => self.server.on_writable(token),
                Event::Broken(token) => self.server.on_broken(token),
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    /// Turn once, with all that is left to be done.
    pub fn turn(&mut self) {
        self.hear();
        self.act();
        while self.server.has_more() {
            self.server.go_on(u64::MAX);
            self.server.flush();
        }
    }

    /// Turn until a condition holds.
    pub fn until(&mut self, mut condition: impl FnMut(&Self) -> bool) {
        while !condition(self) {
            self.turn();
        }
    }

    /// Send, and turn until the client has got an answer that ends so.
    pub fn ask(&mut self, client: &mut UnixStream, request: &[u8], end: &str) -> String {
        client.write_all(request).unwrap();
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            self.turn();
            got.extend(take(client).expect("it has ended"));
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Let time pass, and act on deadlines.
    pub fn pass(&self, milliseconds: u64) {
        let now_ns = self.app().now_ns.get() + milliseconds * 1_000_000;
        self.app().now_ns.set(now_ns);
        self.server.on_time(now_ns / 1_000_000);
    }

    /// The handler that waits on a connection has its result.
    pub fn handled(&self, token: Token) {
        self.server.on_handled(token, done(self.app()));
    }

    /// Wait until the client of a connection hears that it is left.
    pub fn is_left(&mut self, client: &mut UnixStream) -> bool {
        let began = Instant::now();
        while take(client).is_some() {
            assert!(began.elapsed() < PATIENCE, "it is not left");
            self.driver.borrow_mut().wait(Some(Duration::from_millis(1)), &mut self.events).unwrap();
        }
        true
    }
}

/// Open a connection by this name.
pub fn open(server: &Server<Lines>, name: u32) -> (Token, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (server.open(ours.into_raw_fd(), |_| name).unwrap(), theirs)
}

/// What has come to a client; None when nothing more will.
pub fn take(client: &mut UnixStream) -> Option<Vec<u8>> {
    let mut got = Vec::new();
    match client.read_to_end(&mut got) {
        Ok(_) if got.is_empty() => None,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
        Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
        _ => Some(got),
    }
}

/// A GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}
