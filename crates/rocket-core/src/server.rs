//! The shell around HTTP connections: what the driver tells becomes events of the machine, and what the machine
//! wants is done to the socket.
//!
//! A connection is taken out of the table while anything happens to it, so that a handler which comes back
//! into the engine (to watch a descriptor, to close the longest-idle connection) finds everything but itself.

mod accepting;
mod sending;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::driver::{Driver, Receive, Token};
use crate::http1::{After, App, Connection, Millis, Moment, NEVER, Phase, Reply, Settings, Terms};
use crate::places::Places;
use crate::slab::Slab;
use crate::wheel::Wheel;

pub use accepting::{Accepted, BATCH, Stop};

/// Output memory that is kept for the next connection; a larger one is given back.
const KEPT_OUTPUT: usize = 1 << 18;

/// Deadlines are in seconds: a quarter late hurts nobody.
const TICK: Millis = 250;

type Seat<A> = Option<Box<Connection<A>>>;

/// The connections of one application on one driver.
pub struct Server<A: App> {
    app: A,
    settings: Settings,
    driver: Rc<RefCell<Box<dyn Driver>>>,
    /// Every connection has one.
    places: RefCell<Places>,
    /// Sockets whose newcomers the driver tells of.
    listening: RefCell<Vec<RawFd>>,
    table: RefCell<Slab<Seat<A>>>,
    wheel: RefCell<Wheel>,
    more: RefCell<VecDeque<Token>>,
    /// Connections whose borrowers have left something to be done.
    touched: RefCell<Vec<Token>>,
    /// Connections to be cut when what is happening to them is over.
    doomed: RefCell<Vec<Token>>,
    output: RefCell<Vec<u8>>,
    is_draining: Cell<bool>,
    /// Longest idle last; see `longest_idle`.
    idle: RefCell<Vec<(u64, Token)>>,
}

impl<A: App> Server<A> {
    /// A server without connections.
    pub fn new(app: A, settings: Settings, driver: Rc<RefCell<Box<dyn Driver>>>, places: Places) -> Self {
        let now = app.now_ns() / 1_000_000;
        Self {
            app,
            settings,
            driver,
            places: RefCell::new(places),
            listening: RefCell::new(Vec::new()),
            table: RefCell::new(Slab::new()),
            wheel: RefCell::new(Wheel::new(now, TICK)),
            more: RefCell::new(VecDeque::new()),
            touched: RefCell::new(Vec::new()),
            doomed: RefCell::new(Vec::new()),
            output: RefCell::new(Vec::new()),
            is_draining: Cell::new(false),
            idle: RefCell::new(Vec::new()),
        }
    }

    /// What connections share and read that have no settings of their own.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is served.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// Every answer from now on is the last of its connection, or not any more.
    pub fn set_draining(&self, is_draining: bool) {
        self.is_draining.set(is_draining);
    }

    /// Every answer from now on is the last of its connection.
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Open connections.
    pub fn len(&self) -> usize {
        self.table.borrow().len()
    }

    /// No connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Serve a connected, non-blocking socket, which is ours from now on, and so is the place that was occupied for
    /// it; `guest` is made with its token.
    ///
    /// # Errors
    /// It cannot be watched. Socket and place stay the caller's.
    pub fn open(&self, fd: RawFd, guest: impl FnOnce(Token) -> A::Guest) -> io::Result<Token> {
        self.open_with(fd, None, guest)
    }

    /// Do so with settings of its own.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(
        &self,
        fd: RawFd,
        own: Option<Rc<Settings>>,
        guest: impl FnOnce(Token) -> A::Guest,
    ) -> io::Result<Token> {
        let token = self.table.borrow_mut().insert(None);
        if let Err(error) = self.driver.borrow_mut().attach(token, fd) {
            self.table.borrow_mut().remove(token);
            return Err(error);
        }
        let settings = own.as_deref().unwrap_or(&self.settings);
        let mut connection = Box::new(Connection::new(fd, guest(token), settings, self.moment()));
        connection.own = own;
        self.watch_time(token, &mut connection);
        self.put(token, connection);
        Ok(token)
    }

    /// Another thread waits with the driver: nothing may be done to connections meanwhile.
    pub fn is_waiting(&self) -> bool {
        self.driver.try_borrow_mut().is_err()
    }

    /// Bytes held for all connections: received and not served yet, answered and not sent yet.
    pub fn held_bytes(&self) -> (usize, usize) {
        let table = self.table.borrow();
        let held =
            table.iter().filter_map(|(_, seat)| seat.as_ref()).map(|connection| connection.held_bytes());
        held.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    }

    // --- events ---

    /// The driver has something to be received.
    pub fn on_readable(&self, token: Token) {
        let Some(mut connection) = self.take(token) else { return };
        if !connection.is_reading {
            self.put(token, connection); // an event from before it stopped reading: the driver keeps the bytes
            return;
        }
        let received = self.driver.borrow_mut().receive(token, connection.fd);
        match received {
            Receive::Bytes(chunk) => {
                self.app.count_bytes(chunk.len(), 0);
                let own = connection.own.clone();
                connection.on_bytes(&chunk, &self.app, self.settings_of(&own), self.moment());
                self.driver.borrow_mut().give_back(chunk);
            }
            Receive::End => connection.on_end(&self.app, self.moment()),
            Receive::Failed(errno) => connection.on_broken(errno),
            Receive::Nothing => {}
        }
        self.finish(token, connection);
    }

    /// The socket takes bytes again.
    pub fn on_writable(&self, token: Token) {
        let Some(connection) = self.take(token) else { return };
        self.finish(token, connection);
    }

    /// The connection broke while nobody read it.
    pub fn on_broken(&self, token: Token) {
        let Some(mut connection) = self.take(token) else { return };
        connection.on_broken(error_of(connection.fd));
        self.finish(token, connection);
    }

    /// A handler that waited has its result; see `Connection::on_handled`.
    pub fn on_handled(
        &self,
        token: Token,
        write: impl FnOnce(&mut A::Guest, A::Running, Terms, &mut Vec<u8>) -> Reply<A::Running>,
    ) {
        let Some(mut connection) = self.take(token) else { return };
        let own = connection.own.clone();
        connection.on_handled(self.settings_of(&own), self.moment(), write);
        self.finish(token, connection);
    }

    /// Something is left to be done without waiting for the driver.
    pub fn has_more(&self) -> bool {
        !self.more.borrow().is_empty() || !self.touched.borrow().is_empty()
    }

    /// A borrower has left something to be done in the lease of a connection: true if nobody had before him.
    pub fn touch(&self, token: Token) -> bool {
        let mut touched = self.touched.borrow_mut();
        touched.push(token);
        touched.len() == 1
    }

    /// Somebody has something to be done before the driver waits.
    pub fn is_touched(&self) -> bool {
        !self.touched.borrow().is_empty()
    }

    /// Do what borrowers have left to be done: many pieces that were written one after the other leave in one send.
    /// True if there was something.
    pub fn flush(&self) -> bool {
        let touched = mem::take(&mut *self.touched.borrow_mut());
        let mut has_acted = false;
        for token in touched {
            let Some(connection) = self.take(token) else { continue };
            if connection.is_touched() {
                has_acted = true;
                self.finish(token, connection);
            } else {
                self.put(token, connection);
            }
        }
        has_acted
    }

    /// Serve what was held back, those first who wait longest: one connection, and more until the time is over.
    pub fn go_on(&self, until_ns: u64) {
        let waiting = self.more.borrow().len();
        for _ in 0..waiting {
            let next = self.more.borrow_mut().pop_front();
            let Some(token) = next else { return };
            if let Some(mut connection) = self.take(token) {
                let own = connection.own.clone();
                connection.go_on(&self.app, self.settings_of(&own), self.moment());
                self.finish(token, connection);
            }
            if self.app.now_ns() >= until_ns {
                return;
            }
        }
    }

    /// Act on deadlines that have passed.
    pub fn on_time(&self, now: Millis) {
        let mut due = Vec::new();
        self.wheel.borrow_mut().advance(now, &mut |token| due.push(token));
        for token in due {
            let Some(mut connection) = self.take(token) else { continue };
            connection.timed_for = NEVER;
            if connection.deadline <= now {
                let fd = connection.fd;
                let has_unread = || self.driver.borrow_mut().has_unread(token, fd);
                let own = connection.own.clone();
                connection.on_deadline(&self.app, self.settings_of(&own), self.moment(), has_unread);
            }
            self.finish(token, connection);
        }
    }

    /// When `on_time` may next have something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wheel.borrow().next_ms()
    }

    // --- from outside ---

    /// Keep no connection alive from now on.
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.for_each(|token, connection, at| {
            let fd = connection.fd;
            connection.drain(at, || self.driver.borrow_mut().has_unread(token, fd));
        });
    }

    /// Cut every connection; one whose handler calls this, when the handler has returned.
    pub fn abort_all(&self) {
        let table = self.table.borrow();
        let busy = table.iter().filter(|(_, seat)| seat.is_none()).map(|(token, _)| token);
        self.doomed.borrow_mut().extend(busy);
        drop(table);
        self.for_each(|_, connection, _| connection.after = After::Abort);
    }

    /// When the longest-idle connection became idle, in monotonic nanoseconds.
    pub fn longest_idle_since(&self) -> Option<u64> {
        self.longest_idle().map(|(since, _)| since)
    }

    /// Close the longest-idle connection; false when none is idle.
    pub fn close_longest_idle(&self) -> bool {
        let Some((_, token)) = self.longest_idle() else { return false };
        let Some(mut connection) = self.take(token) else { return false };
        connection.close_idle(self.moment());
        self.finish(token, connection);
        true
    }

    /// Find the longest-idle connection without looking at all of them each time.
    ///
    /// Whatever became idle after the queue was made has been idle for less time than everything in it, so a
    /// queued connection that is still idle since the same moment is the longest of all.
    fn longest_idle(&self) -> Option<(u64, Token)> {
        let mut queue = self.idle.borrow_mut();
        let table = self.table.borrow();
        while let Some(&(since, token)) = queue.last() {
            let seat = table.get(token).and_then(|seat| seat.as_ref());
            if seat.is_some_and(|connection| connection.idle_since_ns == since && connection.is_idle()) {
                return Some((since, token));
            }
            queue.pop();
        }
        let at = self.moment();
        let idle = table.iter().filter_map(|(token, seat)| {
            let connection = seat.as_ref().filter(|connection| connection.is_idle_enough(at))?;
            Some((connection.idle_since_ns, token))
        });
        queue.extend(idle);
        queue.sort_unstable_by_key(|&(since, _)| std::cmp::Reverse(since));
        queue.last().copied()
    }

    fn for_each(&self, mut act: impl FnMut(Token, &mut Connection<A>, Moment)) {
        let tokens: Vec<Token> = self.table.borrow().tokens().collect();
        for token in tokens {
            if let Some(mut connection) = self.take(token) {
                act(token, &mut connection, self.moment());
                self.finish(token, connection);
            }
        }
    }

    // --- the table ---

    fn moment(&self) -> Moment {
        Moment { now_ns: self.app.now_ns(), is_draining: self.is_draining.get() }
    }

    /// Take a connection out; None when it is gone, or something is happening to it.
    fn take(&self, token: Token) -> Option<Box<Connection<A>>> {
        let mut connection = self.table.borrow_mut().get_mut(token)?.take()?;
        if connection.output.capacity() == 0 {
            connection.output = mem::take(&mut *self.output.borrow_mut());
        }
        Some(connection)
    }

    /// Put a connection back that nothing was written to.
    fn put(&self, token: Token, mut connection: Box<Connection<A>>) {
        if connection.output.is_empty() {
            self.keep_output(mem::take(&mut connection.output));
        }
        if let Some(seat) = self.table.borrow_mut().get_mut(token) {
            *seat = Some(connection);
        }
    }

    fn keep_output(&self, output: Vec<u8>) {
        if output.capacity() <= KEPT_OUTPUT {
            *self.output.borrow_mut() = output;
        }
    }

    fn settings_of<'a>(&'a self, own: &'a Option<Rc<Settings>>) -> &'a Settings {
        own.as_deref().unwrap_or(&self.settings)
    }

    /// Do to the socket what the connection wants, and put it back or close it.
    fn finish(&self, token: Token, mut connection: Box<Connection<A>>) {
        if !self.doomed.borrow().is_empty() {
            self.judge(token, &mut connection);
        }
        let is_lent = connection.phase == Phase::Lent;
        if is_lent {
            let own = connection.own.clone();
            connection.settle_lease(&self.app, self.settings_of(&own), self.moment());
        }
        if connection.after != After::Abort && !connection.output.is_empty() {
            self.send(token, &mut connection);
        }
        if is_lent && connection.after != After::Abort {
            self.serve_borrower(token, &mut connection);
        }
        if connection.after != After::Stay
            && (connection.output.is_empty() || connection.after == After::Abort)
        {
            if connection.after != After::HalfClose {
                return self.close(token, connection);
            }
            connection.after = After::Stay;
            // SAFETY: a system call on a descriptor that is ours; a client that has left makes it fail, which
            // is found out by reading.
            unsafe { libc::shutdown(connection.fd, libc::SHUT_WR) };
        }
        if connection.is_reading != connection.is_watched {
            connection.is_watched = connection.is_reading;
            self.driver.borrow_mut().set_reading(token, connection.fd, connection.is_reading);
        }
        if connection.has_more {
            connection.has_more = false;
            self.more.borrow_mut().push_back(token);
        }
        self.watch_time(token, &mut connection);
        self.put(token, connection);
    }

    /// Cut a connection if that was asked for while it was out of the table.
    #[cold]
    fn judge(&self, token: Token, connection: &mut Connection<A>) {
        let mut doomed = self.doomed.borrow_mut();
        let before = doomed.len();
        doomed.retain(|each| *each != token);
        if doomed.len() < before {
            connection.after = After::Abort;
        }
    }

    /// See that the wheel wakes us at the connection's deadline, or earlier.
    fn watch_time(&self, token: Token, connection: &mut Connection<A>) {
        if connection.deadline < connection.timed_for {
            connection.timed_for = connection.deadline;
            self.wheel.borrow_mut().schedule(token, connection.deadline);
        }
    }

    #[expect(clippy::boxed_local, reason = "it comes out of the table as it is")]
    fn close(&self, token: Token, mut connection: Box<Connection<A>>) {
        self.driver.borrow_mut().close(token, connection.fd);
        self.table.borrow_mut().remove(token);
        self.places.borrow_mut().vacate();
        if connection.output.is_empty() {
            self.keep_output(mem::take(&mut connection.output));
        }
        connection.closed(&self.app);
    }
}

/// Why a socket is broken: errno, and 0 when it is not.
fn error_of(fd: RawFd) -> i32 {
    let mut errno: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int, to which a valid pointer is given with its size.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut errno).cast(), &raw mut size)
    };
    if result == 0 { errno } else { 0 }
}
