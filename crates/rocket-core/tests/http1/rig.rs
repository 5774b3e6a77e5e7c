//! One connection with a client that takes as much as the test lets it: a shell like `server.rs`, without sockets.

use rocket_core::http1::{After, Connection, Moment, Phase, Settings, Timeouts};
use rocket_core::limits::Limits;

use crate::app::{Lines, done};

/// Everything takes another number of milliseconds, so that a deadline tells what it is for.
pub const TIMEOUTS: Timeouts = Timeouts {
    first_byte: 10_000,
    head: 20_000,
    body: 30_000,
    body_min_rate: 10,
    idle: 40_000,
    write: 50_000,
    handler: 60_000,
};
/// When a test begins, in milliseconds.
pub const START: u64 = 1_000_000;

/// Settings in which one thing is different.
pub fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        limits: Limits { request_line: 8190, head: 1000, headers: 20, chunk_extensions: 100, trailers: 100 },
        timeouts: TIMEOUTS,
        pipeline: 4,
    };
    change(&mut settings);
    settings
}

/// A connection, its shell and its client.
pub struct Rig {
    pub app: Lines,
    pub settings: Settings,
    pub connection: Option<Connection<Lines>>,
    pub is_draining: bool,
    /// Bytes that the client still takes.
    pub room: usize,
    /// The kernel holds bytes that nobody has received.
    pub has_unread: bool,
    /// What the client has got.
    pub got: Vec<u8>,
    /// How it ended: "half-closed", "closed", "cut".
    pub ends: Vec<&'static str>,
    /// Every phase in turn.
    pub phases: Vec<Phase>,
}

impl Rig {
    /// A connection that was just accepted, with usual settings and a client that takes everything.
    pub fn new() -> Self {
        Self::with(settings(|_| {}))
    }

    pub fn with(settings: Settings) -> Self {
        let app = Lines::at(START);
        let at = Moment { now_ns: START * 1_000_000, is_draining: false };
        let connection = Some(Connection::new(-1, 7, &settings, at));
        Self {
            app,
            settings,
            connection,
            is_draining: false,
            room: usize::MAX,
            has_unread: false,
            got: Vec::new(),
            ends: Vec::new(),
            phases: vec![Phase::Fresh],
        }
    }

    /// The connection, which has not ended.
    pub fn it(&self) -> &Connection<Lines> {
        self.connection.as_ref().expect("it has ended")
    }

    pub fn phase(&self) -> Phase {
        self.it().phase
    }

    /// Milliseconds until the deadline.
    pub fn left(&self) -> u64 {
        self.it().deadline.saturating_sub(self.now())
    }

    pub fn now(&self) -> u64 {
        self.app.now_ns.get() / 1_000_000
    }

    pub fn pass(&mut self, milliseconds: u64) {
        self.app.now_ns.set(self.app.now_ns.get() + milliseconds * 1_000_000);
    }

    pub fn bytes(&mut self, data: &[u8]) {
        self.act(|connection, app, settings, at| connection.on_bytes(data, app, settings, at));
    }

    /// Bytes, if the shell would receive them.
    pub fn offer(&mut self, data: &[u8]) -> bool {
        let is_reading = self.connection.as_ref().is_some_and(|connection| connection.is_reading);
        if is_reading {
            self.bytes(data);
        }
        is_reading
    }

    pub fn end(&mut self) {
        self.act(|connection, app, _, at| connection.on_end(app, at));
    }

    pub fn broken(&mut self) {
        self.act(|connection, _, _, _| connection.on_broken(104));
    }

    pub fn handled(&mut self) {
        self.act(|connection, app, settings, at| connection.on_handled(settings, at, done(app)));
    }

    /// Turn until nothing is left to be done.
    pub fn turn(&mut self) {
        while self.connection.as_ref().is_some_and(|connection| connection.has_more) {
            self.turn_once();
        }
    }

    pub fn turn_once(&mut self) {
        self.act(|connection, app, settings, at| connection.go_on(app, settings, at));
    }

    /// Say that the deadline has passed, whenever it is.
    pub fn deadline(&mut self) {
        let has_unread = self.has_unread;
        self.act(|connection, app, settings, at| connection.on_deadline(app, settings, at, || has_unread));
    }

    /// Wait for the deadline, and say so.
    pub fn wait(&mut self) {
        self.pass(self.left());
        self.deadline();
    }

    pub fn drain(&mut self) {
        self.is_draining = true;
        let has_unread = self.has_unread;
        self.act(|connection, _, _, at| connection.drain(at, || has_unread));
    }

    pub fn close_idle(&mut self) {
        self.act(|connection, _, _, at| connection.close_idle(at));
    }

    /// The client takes so many bytes more.
    pub fn take(&mut self, room: usize) {
        self.room = self.room.saturating_add(room);
        self.act(|_, _, _, _| {});
    }

    /// What the client got since the last call.
    pub fn read(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.got)).into_owned()
    }

    /// What happened since the last call, endings first.
    pub fn told(&mut self) -> Vec<String> {
        let ends = std::mem::take(&mut self.ends);
        ends.into_iter().map(str::to_owned).chain(self.app.told()).collect()
    }

    /// Let something happen, and do what the connection wants.
    pub fn act(&mut self, event: impl FnOnce(&mut Connection<Lines>, &Lines, &Settings, Moment)) {
        let Some(mut connection) = self.connection.take() else { panic!("it has ended") };
        event(&mut connection, &self.app, &self.settings, self.at());
        let is_lent = connection.phase == Phase::Lent;
        if is_lent {
            connection.settle_lease(&self.app, &self.settings, self.at());
        }
        if connection.after != After::Abort && !connection.output.is_empty() {
            self.send(&mut connection);
        }
        if is_lent {
            connection.tell_room(&self.app);
        }
        if connection.phase != *self.phases.last().unwrap() {
            self.phases.push(connection.phase);
        }
        if connection.output.is_empty() || connection.after == After::Abort {
            match connection.after {
                After::Stay => {}
                After::HalfClose => {
                    self.ends.push("half-closed");
                    connection.after = After::Stay;
                }
                After::Close | After::Abort => {
                    self.ends.push(if connection.after == After::Close { "closed" } else { "cut" });
                    connection.closed(&self.app);
                    return;
                }
            }
        }
        self.connection = Some(connection);
    }

    fn at(&self) -> Moment {
        Moment { now_ns: self.app.now_ns.get(), is_draining: self.is_draining }
    }

    fn send(&mut self, connection: &mut Connection<Lines>) {
        let taken = self.room.min(connection.unsent().len());
        self.room -= if self.room == usize::MAX { 0 } else { taken };
        self.got.extend_from_slice(&connection.unsent()[..taken]);
        connection.on_sent(taken, &self.settings, self.at());
    }
}

/// A GET.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// A POST with content.
pub fn post(path: &str, content: &str) -> Vec<u8> {
    let length = content.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{content}").into_bytes()
}

/// A POST of whose content only so many bytes have come.
pub fn begun(path: &str, content: &str, come: usize) -> Vec<u8> {
    let mut request = post(path, content);
    request.truncate(request.len() - content.len() + come);
    request
}

/// A POST with chunks as they are on the wire.
pub fn chunked(path: &str, chunks: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
}
