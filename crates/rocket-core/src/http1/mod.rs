//! HTTP/1.1 connections: bytes in, answers out, in order, with a deadline on whatever the client controls.
//!
//! `Connection` is a machine: it takes bytes, ends, deadlines and the results of handlers, and leaves what is
//! to be done in itself (`output`, `after`, `is_reading`). `server.rs` is its shell. What an application is
//! stays behind the trait `App`. The portable engine (`rocket_sup/connection.py` and its layers) is the
//! reference for every decision.

mod connection;
mod content;
mod delivery;
mod ending;
mod lease;
mod lent;
mod serving;

pub use connection::{After, Connection, Phase};
pub use content::Receiving;
pub use lease::{Finish, Framing, Lease, News, Part};

use std::rc::Rc;

use crate::fault::Fault;
use crate::head::Head;
use crate::limits::Limits;

/// Milliseconds; `NEVER` for none.
pub type Millis = u64;

/// A deadline that does not come.
pub const NEVER: Millis = u64::MAX;

/// How long a client may take; 0 for as long as it likes.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Silence after accept.
    pub first_byte: Millis,
    /// The whole head, however it drips.
    pub head: Millis,
    /// Content without progress; then a floor of `body_min_rate`.
    pub body: Millis,
    /// Bytes a second.
    pub body_min_rate: u64,
    /// Kept alive, between requests.
    pub idle: Millis,
    /// A client that does not read.
    pub write: Millis,
    /// A handler.
    pub handler: Millis,
}

/// What all connections of one server share and read.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bounds on heads and chunks.
    pub limits: Limits,
    /// How long a client may take.
    pub timeouts: Timeouts,
    /// Answers owed before more requests are read.
    pub pipeline: usize,
}

/// The moment of an event: one clock read serves all that happens in it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic nanoseconds.
    pub now_ns: u64,
    /// Every answer from now on is the last of its connection.
    pub is_draining: bool,
}

impl Moment {
    /// Monotonic milliseconds.
    pub fn now(&self) -> Millis {
        self.now_ns / 1_000_000
    }

    /// The deadline of a timeout, of which 0 means never.
    pub fn after(&self, timeout: Millis) -> Millis {
        if timeout == 0 { NEVER } else { self.now() + timeout }
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Reply<R> {
    /// Its answer stands in the output; `closes` when it is the last.
    Done {
        /// The connection ends after it.
        closes: bool,
    },
    /// Its handler waits: the answer comes by `Connection::on_handled`.
    Later(R),
    /// The exchange is lent: see `Lease`.
    Lent(R, Rc<Lease>),
    /// No answer: the connection is dropped.
    Drop,
    /// It is cut, so that what was sent cannot look whole.
    Cut,
}

/// What becomes of content, decided by the head alone.
#[derive(Debug)]
pub enum Intake<A> {
    /// A route wants it, up to so many bytes.
    Wanted {
        /// The request, its route found.
        asked: A,
        /// 413 beyond it.
        max_body: u64,
    },
    /// A route wants it as it comes, up to so many bytes: see `App::lend`.
    Lent {
        /// The request, its route found.
        asked: A,
        /// 413 beyond it.
        max_body: u64,
    },
    /// The answer stands in the output already, the content is read and forgotten; unless it `closes`.
    Answered {
        /// The connection ends after it.
        closes: bool,
    },
    /// No answer: the connection is dropped.
    Drop,
}

/// How a request is to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The connection goes on after the answer, if the answer allows it.
    pub keep_alive: bool,
    /// Monotonic nanoseconds at which the request was begun.
    pub started_ns: u64,
}

/// What an application is to its connections.
pub trait App {
    /// What the application keeps for each connection.
    type Guest;
    /// A request whose content is still to come.
    type Asked;
    /// A handler that waits; dropping it gives it up.
    type Running;

    /// Answer a request without content, or begin to. Spans of `head` count in `data`.
    fn answer(
        &self,
        guest: &mut Self::Guest,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Self::Running>;

    /// Decide about a request with content, or with an expectation nobody promised. `terms.keep_alive` already
    /// says whether an answer that wants no content may keep the connection.
    fn intake(
        &self,
        guest: &mut Self::Guest,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Intake<Self::Asked>;

    /// Answer a request whose content is whole, or begin to.
    fn answer_received(
        &self,
        guest: &mut Self::Guest,
        asked: Self::Asked,
        content: &[u8],
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Self::Running>;

    /// Answer a request whose content comes as it is wanted, or begin to. `terms.keep_alive` says what the client
    /// wants; the rest is the lease's.
    fn lend(
        &self,
        guest: &mut Self::Guest,
        asked: Self::Asked,
        lease: &Rc<Lease>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Self::Running>;

    /// Let whoever an exchange is lent to know something.
    fn tell(&self, running: &Self::Running, news: News<'_>);

    /// The answer of a lent exchange is written: true when the connection ends after it. Its handler may run on.
    fn finished(
        &self,
        guest: &mut Self::Guest,
        running: Self::Running,
        lease: &Lease,
        finish: Finish,
        terms: Terms,
    ) -> bool;

    /// Answer a fault of the client; `asked` when its head was read.
    fn refuse(
        &self,
        guest: &mut Self::Guest,
        fault: &Fault,
        asked: Option<Self::Asked>,
        terms: Terms,
        output: &mut Vec<u8>,
    );

    /// Answer for a handler that took too long, and give it up.
    fn give_up(&self, guest: &mut Self::Guest, running: Self::Running, started_ns: u64, output: &mut Vec<u8>);

    /// A connection is gone; `why` when it was cut.
    fn closed(&self, guest: Self::Guest, running: Option<Self::Running>, why: Option<&Why>);

    /// Bytes came in or went out.
    fn count_bytes(&self, received: usize, sent: usize);

    /// Monotonic nanoseconds, as of the last handler or the beginning of the batch.
    fn now_ns(&self) -> u64;
}

/// Why a connection was closed other than by agreement.
#[derive(Clone, Debug)]
pub enum Why {
    /// The client's fault.
    Fault(Fault),
    /// The client does not read its answer.
    Unread,
    /// The handler's deadline passed.
    TooSlow,
    /// The connection broke: errno.
    Broken(i32),
    /// An answer was begun and not finished.
    Unfinished,
    /// A file was shorter than whoever wanted it sent had said.
    Short,
}
