//! One connection, its client, and a clock of ours.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rocket_core::driver::{Driver, Event, Token};
use rocket_core::tcp::{Input, News, Options, Output, SharedDriver, Streams};

/// Makes a driver.
pub type Make = fn() -> Box<dyn Driver>;

pub const OPTIONS: Options = Options { unread: 4096, unsent: 1 << 20, idle: 5_000, close: 3_000 };

/// One connection, its client, and what there was to be told.
pub struct Bench {
    pub driver: SharedDriver,
    pub streams: Streams<&'static str>,
    pub now: Rc<Cell<u64>>,
    pub token: Token,
    pub client: TcpStream,
}

impl Bench {
    pub fn new(make: Make, options: Options) -> Self {
        let driver = Rc::new(RefCell::new(make()));
        let now = Rc::new(Cell::new(1_000_000));
        let clock = Rc::clone(&now);
        let streams = Streams::new(Rc::clone(&driver), 2, move || clock.get());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let token = streams.open(socket.into_raw_fd(), options, "guest").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { driver, streams, now, token, client }
    }

    /// Wait for the driver, tell what it says, send what is staged; `act` is called when a reader can go on.
    pub fn turn_with(&self, act: impl FnMut(&Self)) -> Vec<News<&'static str>> {
        let began = Instant::now();
        let mut events = self.events(Duration::from_secs(1));
        while events.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "nothing happens");
            events = self.events(Duration::from_secs(1));
        }
        self.tell(events, act)
    }

    pub fn turn(&self) -> Vec<News<&'static str>> {
        self.turn_with(|_| {})
    }

    /// Let the driver tell what it wants to, should that be nothing.
    pub fn may_turn(&self) -> Vec<News<&'static str>> {
        self.tell(self.events(Duration::from_millis(20)), |_| {})
    }

    pub fn events(&self, patience: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        self.driver.borrow_mut().wait(Some(patience), &mut events).unwrap();
        events
    }

    fn tell(&self, events: Vec<Event>, mut act: impl FnMut(&Self)) -> Vec<News<&'static str>> {
        let mut told = Vec::new();
        for event in events {
            match event {
                Event::Readable(token) => self.streams.on_readable(token, |news| {
                    act(self);
                    told.push(news);
                }),
                Event::Writable(token) => told.push(self.streams.on_writable(token)),
                Event::Broken(token) => told.push(self.streams.on_broken(token)),
                other => panic!("{other:?}"),
            }
        }
        self.streams.go_on(|_, news| told.push(news));
        told
    }

    pub fn take(&self, limit: usize) -> Vec<u8> {
        match self.streams.take(self.token, limit, <[u8]>::to_vec) {
            Input::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    pub fn input(&self) -> Input<Vec<u8>> {
        self.streams.take(self.token, usize::MAX, <[u8]>::to_vec)
    }

    /// Stage and send until the socket takes no more: how many bytes.
    pub fn fill(&self) -> usize {
        let mut count = 0;
        loop {
            self.streams.stage(self.token, &[7; 65536]).unwrap();
            count += 65536;
            match self.streams.flush(self.token, &mut News::default()) {
                Output::Sent => {}
                Output::Waits => return count,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Let time pass until something comes of it.
    pub fn pass(&self, millis: u64) -> Vec<News<&'static str>> {
        self.now.set(self.now.get() + millis);
        let mut told = Vec::new();
        self.streams.on_time(self.now.get(), |_, news| told.push(news));
        told
    }

    /// Read everything that the client gets: the bytes, or the error.
    pub fn client_reads(&mut self) -> Result<usize, std::io::ErrorKind> {
        let mut sink = Vec::new();
        self.client.read_to_end(&mut sink).map_err(|error| error.kind())
    }
}
