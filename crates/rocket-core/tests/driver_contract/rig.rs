//! A driver with connections, and what was told of them so far.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rocket_core::driver::{Driver, Event, Receive, Token};
use rocket_core::slab::Slab;

/// No check takes this long, on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection as the server sees it.
#[derive(Default)]
pub struct Seen {
    pub fd: RawFd,
    pub bytes: Vec<u8>,
    pub ends: usize,
    pub failures: Vec<i32>,
    pub breakages: usize,
    pub writables: usize,
}

pub struct Rig<D> {
    pub driver: D,
    pub seen: Slab<Seen>,
    /// How often each foreign descriptor was told ready, for what.
    pub foreign: HashMap<RawFd, Vec<u32>>,
    pub acceptable: usize,
    pub accepted: Vec<RawFd>,
    deadline: Instant,
}

impl<D: Driver> Rig<D> {
    pub fn new(driver: D) -> Self {
        Self {
            driver,
            seen: Slab::new(),
            foreign: HashMap::new(),
            acceptable: 0,
            accepted: Vec::new(),
            deadline: Instant::now() + PATIENCE,
        }
    }

    pub fn attach(&mut self, socket: impl IntoRawFd) -> Token {
        let fd = socket.into_raw_fd();
        let token = self.seen.insert(Seen { fd, ..Seen::default() });
        self.driver.attach(token, fd).unwrap();
        token
    }

    /// A connection over a pair of Unix sockets, and its client.
    pub fn unix(&mut self) -> (Token, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (self.attach(ours), theirs)
    }

    /// A connection over TCP, and its client. Its socket does not block, as many a server makes them.
    pub fn tcp(&mut self) -> (Token, TcpStream) {
        let (ours, theirs) = tcp_pair();
        ours.set_nonblocking(true).unwrap();
        (self.attach(ours), theirs)
    }

    pub fn close(&mut self, token: Token) {
        let seen = self.seen.remove(token).unwrap();
        self.driver.close(token, seen.fd);
    }

    pub fn fd(&self, token: Token) -> RawFd {
        self.seen.get(token).unwrap().fd
    }

    pub fn bytes(&self, token: Token) -> &[u8] {
        &self.seen.get(token).unwrap().bytes
    }

    pub fn set_reading(&mut self, token: Token, is_reading: bool) {
        let fd = self.fd(token);
        self.driver.set_reading(token, fd, is_reading);
    }

    pub fn want_write(&mut self, token: Token) {
        let fd = self.fd(token);
        self.driver.want_write(token, fd);
    }

    pub fn send(&mut self, token: Token, data: &[u8]) -> io::Result<usize> {
        let fd = self.fd(token);
        self.driver.send(fd, data)
    }

    /// Wait once, without receiving.
    pub fn wait(&mut self, timeout: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        self.driver.wait(Some(timeout), &mut events).unwrap();
        for event in &events {
            if let Event::Readable(token) | Event::Writable(token) | Event::Broken(token) = event {
                assert!(self.seen.get(*token).is_some(), "a closed connection was named: {event:?}");
            }
        }
        events
    }

    /// Take in one event.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Readable(token) => self.receive(token),
            Event::Writable(token) => self.seen.get_mut(token).unwrap().writables += 1,
            Event::Broken(token) => self.seen.get_mut(token).unwrap().breakages += 1,
            Event::Foreign(fd, mask) => self.foreign.entry(fd).or_default().push(mask),
            Event::Acceptable { .. } => self.acceptable += 1,
            Event::Accepted { connection, .. } => self.accepted.push(connection.unwrap()),
        }
    }

    pub fn receive(&mut self, token: Token) {
        let Some(seen) = self.seen.get_mut(token) else { return };
        match self.driver.receive(token, seen.fd) {
            Receive::Bytes(chunk) => {
                assert!(!chunk.is_empty());
                seen.bytes.extend_from_slice(&chunk);
                self.driver.give_back(chunk);
            }
            Receive::End => seen.ends += 1,
            Receive::Nothing => {}
            Receive::Failed(errno) => seen.failures.push(errno),
        }
    }

    /// Wait once and take in what is told.
    pub fn turn(&mut self, timeout: Duration) {
        for event in self.wait(timeout) {
            self.take(event);
        }
    }

    /// Turn until something is so. It waits for events and nothing else: one that is not told is found out.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        while !is_so(self) {
            self.turn(self.deadline.saturating_duration_since(Instant::now()));
            assert!(Instant::now() < self.deadline, "it did not happen in time: {what}");
        }
    }

    /// Turn until all that the kernel knew when this was called has been told: three times until a descriptor
    /// that became ready only then is told ready.
    pub fn settle(&mut self) {
        for _ in 0..3 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let fd = ours.as_raw_fd();
            self.driver.watch(fd, rocket_core::driver::READ).unwrap();
            drop(theirs);
            self.until("the mark is told", |rig| rig.foreign.contains_key(&fd));
            self.driver.unwatch(fd).unwrap();
            self.foreign.remove(&fd);
        }
    }
}

pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (ours, theirs)
}

/// Close a TCP connection so that the other side gets a reset.
pub fn reset(socket: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the option's value is a `linger`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        )
    };
    assert_eq!(0, result);
}

/// Bytes that are different everywhere.
pub fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| ((index * 31 + index / 251 + seed * 7) % 251) as u8).collect()
}

/// Numbers that look random and are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Allow as many open files as the system does.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given one `rlimit`.
    unsafe {
        assert_eq!(0, libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit));
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(0, libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit));
    }
}
