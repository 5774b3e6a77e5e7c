//! Connections below HTTP: the shell around them, on any driver. What is in them is their owner's affair.
//!
//! Nothing here calls the owner. Each event returns `News`: who can go on now; and the owner, when it is asked to
//! go on, takes what there is. Bytes that come while a reader waits stay where the driver has them until the
//! reader was called (`settle`), so that it can take them without a copy in between, or borrow them.

mod loans;
mod news;
mod socket;
mod stream;

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::driver::{Chunk, Driver, Receive, Token};
use crate::slab::Slab;
use crate::wheel::Wheel;

use self::loans::Lender;
pub use self::loans::Loan;
pub use self::news::{Input, News, Output, View};
pub use self::stream::{Millis, Options, Refusal};
use self::stream::{NEVER, Next, Stream};

/// Deadlines are in seconds: a quarter late hurts nobody.
const TICK: Millis = 250;

/// Fewer bytes than this are copied rather than lent: it costs less, and holds no buffer.
const LENT: usize = 1024;

/// A driver that others use, too.
pub type SharedDriver = Rc<RefCell<Box<dyn Driver>>>;

/// Connections on one driver. `G` is what belongs to each of them.
pub struct Streams<G> {
    driver: SharedDriver,
    clock: Box<dyn Fn() -> Millis>,
    table: RefCell<Slab<Stream<G>>>,
    wheel: RefCell<Wheel>,
    lender: RefCell<Lender>,
    /// Came for a reader that is being called.
    arriving: Cell<Option<(Token, Chunk)>>,
    /// Connections with something to be sent.
    dirty: RefCell<Vec<Token>>,
}

impl<G> Streams<G> {
    /// No connections yet.
    ///
    /// `most_loans` bounds the buffers of the driver that are lent at a time; `clock` tells monotonic
    /// milliseconds.
    pub fn new(driver: SharedDriver, most_loans: usize, clock: impl Fn() -> Millis + 'static) -> Self {
        let now = clock();
        Self {
            driver,
            clock: Box::new(clock),
            table: RefCell::new(Slab::new()),
            wheel: RefCell::new(Wheel::new(now, TICK)),
            lender: RefCell::new(Lender::new(most_loans)),
            arriving: Cell::new(None),
            dirty: RefCell::new(Vec::new()),
        }
    }

    /// Open connections, those included that only wait for the client's end.
    pub fn len(&self) -> usize {
        self.table.borrow().len()
    }

    /// No connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All connections.
    pub fn tokens(&self) -> Vec<Token> {
        self.table.borrow().tokens().collect()
    }

    /// Buffers of the driver that somebody reads in.
    pub fn loans(&self) -> usize {
        self.lender.borrow().out()
    }

    /// Take over a connected socket, with what belongs to it.
    ///
    /// # Errors
    /// It cannot be watched, and stays the caller's.
    pub fn open(&self, fd: RawFd, options: Options, guest: G) -> io::Result<Token> {
        let token = self.table.borrow_mut().insert(Stream::new(fd, guest, options));
        if let Err(error) = self.driver.borrow_mut().attach(token, fd) {
            let stream = self.table.borrow_mut().remove(token);
            drop(stream); // outside the table: dropping a guest may come back in here
            return Err(error);
        }
        Ok(token)
    }

    /// Do something to what belongs to a connection, without coming back in here; None when it is gone.
    pub fn guest<R>(&self, token: Token, act: impl FnOnce(&mut G) -> R) -> Option<R> {
        self.with(token, |stream| act(&mut stream.guest))
    }

    // --- events of the driver ---

    /// The driver has something to be received. Whoever is told may come back in here.
    pub fn on_readable(&self, token: Token, tell: impl FnOnce(News<G>)) {
        let fd = self.with(token, |stream| stream.is_reading.then_some(stream.fd)).flatten();
        let Some(fd) = fd else { return };
        let received = self.driver.borrow_mut().receive(token, fd);
        let mut news = News::default();
        match received {
            Receive::Bytes(chunk) => {
                news.has_input = self.with(token, Stream::end_input_wait) == Some(true);
                self.arriving.set(Some((token, chunk)));
            }
            Receive::End => {
                news.has_input = self.with(token, Stream::on_end) == Some(true);
            }
            Receive::Failed(errno) => self.fail(token, errno, &mut news),
            Receive::Nothing => return,
        }
        self.proceed(token, &mut news);
        if news.is_news() {
            tell(news);
        }
        self.settle(token);
    }

    /// Keep what a reader did not take, and give the driver what came back.
    fn settle(&self, token: Token) {
        let mut driver = self.driver.borrow_mut();
        if let Some((_, chunk)) = self.arriving.take() {
            self.with(token, |stream| stream.on_bytes(&chunk, &*self.clock));
            driver.give_back(chunk);
            drop(driver);
            // Nothing can be gone: more bytes are no reason to close.
            self.proceed(token, &mut News::default());
            driver = self.driver.borrow_mut();
        }
        self.lender.borrow_mut().collect(&mut **driver);
    }

    /// The socket takes bytes again.
    pub fn on_writable(&self, token: Token) -> News<G> {
        let mut news = News::default();
        self.send(token, &mut news);
        self.proceed(token, &mut news);
        news
    }

    /// The connection broke while nobody read it; or both ends are closed, and bytes can be read still.
    pub fn on_broken(&self, token: Token) -> News<G> {
        let mut news = News::default();
        match self.with(token, |stream| socket::take_error(stream.fd)) {
            Some(0) => self.send(token, &mut news),
            Some(errno) => self.fail(token, errno, &mut news),
            None => {}
        }
        self.proceed(token, &mut news);
        news
    }

    /// Something is left to be done without waiting for the driver.
    pub fn has_more(&self) -> bool {
        !self.dirty.borrow().is_empty()
    }

    /// Send what was staged.
    pub fn go_on(&self, mut tell: impl FnMut(Token, News<G>)) {
        if self.has_more() {
            for token in mem::take(&mut *self.dirty.borrow_mut()) {
                self.with(token, |stream| stream.is_dirty = false);
                let news = self.on_writable(token);
                if news.is_news() {
                    tell(token, news);
                }
            }
        }
        self.lender.borrow_mut().collect(&mut **self.driver.borrow_mut());
    }

    /// Act on deadlines that have passed.
    pub fn on_time(&self, now: Millis, mut tell: impl FnMut(Token, News<G>)) {
        let mut due = Vec::new();
        self.wheel.borrow_mut().advance(now, &mut |token| due.push(token));
        for token in due {
            let mut news = News::default();
            let is_over = self.with(token, |stream| {
                stream.timed_for = NEVER;
                news.is_input_late = stream.is_input_late(now) && stream.end_input_wait();
                if stream.is_output_late(now) && stream.end_output_wait() {
                    news.output = Some(Output::Late);
                }
                stream.is_over(now)
            });
            if is_over == Some(true) {
                self.leave(token, &mut news);
            } else {
                self.proceed(token, &mut news);
            }
            if news.is_news() {
                tell(token, news);
            }
        }
    }

    /// When `on_time` may next have something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.wheel.borrow().next_ms()
    }

    // --- what the owner reads ---

    /// Take bytes that have come, up to `limit`. `act` sees them, and does not come back in here.
    pub fn take<R>(&self, token: Token, limit: usize, act: impl FnOnce(&[u8]) -> R) -> Input<R> {
        if let Some(chunk) = self.take_arriving(token) {
            let count = chunk.len().min(limit);
            let result = act(&chunk[..count]);
            if count < chunk.len() {
                self.with(token, |stream| stream.on_bytes(&chunk[count..], &*self.clock));
            }
            self.driver.borrow_mut().give_back(chunk);
            return Input::Bytes(result);
        }
        self.take_inbox(token).map(|(inbox, taken)| {
            let count = (inbox.len() - taken).min(limit);
            let result = act(&inbox[taken..taken + count]);
            self.with(token, |stream| stream.put_back(inbox, taken + count));
            self.proceed(token, &mut News::default());
            result
        })
    }

    /// Take all bytes that have come, where they are.
    pub fn take_view(&self, token: Token) -> Input<View> {
        if let Some(chunk) = self.take_arriving(token) {
            let mut driver = self.driver.borrow_mut();
            let mut lender = self.lender.borrow_mut();
            if chunk.len() >= LENT && lender.can_lend() {
                return Input::Bytes(View::Lent(lender.lend(chunk, &mut **driver)));
            }
            let copy = chunk.to_vec();
            driver.give_back(chunk);
            return Input::Bytes(View::Own(copy));
        }
        self.take_inbox(token).map(|(mut inbox, taken)| {
            inbox.drain(..taken);
            self.proceed(token, &mut News::default());
            View::Own(inbox)
        })
    }

    fn take_arriving(&self, token: Token) -> Option<Chunk> {
        let (of, chunk) = self.arriving.take()?;
        if of == token && self.with(token, |stream| stream.is_owned()) == Some(true) {
            return Some(chunk);
        }
        self.arriving.set(Some((of, chunk)));
        None
    }

    fn take_inbox(&self, token: Token) -> Input<(Vec<u8>, usize)> {
        self.with(token, Stream::take_input).unwrap_or(Input::Closed)
    }

    /// Somebody waits for bytes, and will be told once.
    pub fn await_input(&self, token: Token) {
        self.with(token, |stream| stream.await_input(&*self.clock));
        self.proceed(token, &mut News::default());
    }

    /// Nobody waits for bytes any more.
    pub fn forget_input(&self, token: Token) {
        self.with(token, Stream::end_input_wait);
    }

    // --- what the owner writes ---

    /// Append to what is sent when the handler next waits, or asks for it.
    ///
    /// # Errors
    /// It cannot be sent, or too much is staged already.
    pub fn stage(&self, token: Token, bytes: &[u8]) -> Result<(), Refusal> {
        let is_new = self.with(token, |stream| {
            stream.stage(bytes)?;
            Ok(!mem::replace(&mut stream.is_dirty, true))
        });
        if is_new.unwrap_or(Err(Refusal::Closed))? {
            self.dirty.borrow_mut().push(token);
        }
        Ok(())
    }

    /// Send what is staged. After `Waits` those who wait will be told.
    pub fn flush(&self, token: Token, news: &mut News<G>) -> Output {
        self.send(token, news);
        let output = self.with(token, |stream| stream.await_output(&*self.clock)).unwrap_or(Output::Closed);
        self.proceed(token, news);
        output
    }

    /// Send our end behind what is staged.
    ///
    /// # Errors
    /// The connection is closed or broken.
    pub fn end(&self, token: Token, news: &mut News<G>) -> Result<(), Refusal> {
        self.with(token, Stream::end).unwrap_or(Err(Refusal::Closed))?;
        self.send(token, news);
        self.proceed(token, news);
        Ok(())
    }

    /// Be done with a connection: what is staged still leaves.
    pub fn close(&self, token: Token, news: &mut News<G>) {
        news.has_input |= self.with(token, |stream| stream.close(&*self.clock)) == Some(true);
        self.send(token, news);
        self.proceed(token, news);
    }

    /// Cut a connection, so that the client can tell it from an end.
    pub fn abort(&self, token: Token, news: &mut News<G>) {
        self.with(token, |stream| socket::reset_on_close(stream.fd));
        self.remove(token, news);
    }

    /// Close a connection at once; cut it if something is unsent.
    pub fn leave(&self, token: Token, news: &mut News<G>) {
        self.with(token, |stream| {
            if stream.has_unsent() {
                socket::reset_on_close(stream.fd);
            }
        });
        self.remove(token, news);
    }

    /// The connection is its owner's: neither closed nor broken.
    pub fn is_open(&self, token: Token) -> bool {
        self.with(token, |stream| stream.is_open()) == Some(true)
    }

    /// Somebody waited too long.
    pub fn has_timed_out(&self, token: Token) -> bool {
        self.with(token, |stream| stream.has_timed_out()) == Some(true)
    }

    /// How long somebody waits for the client without a byte; zero: for ever.
    pub fn idle(&self, token: Token) -> Millis {
        self.with(token, |stream| stream.idle()).unwrap_or(0)
    }

    /// Have another patience, from the next wait on.
    pub fn set_idle(&self, token: Token, idle: Millis) {
        self.with(token, |stream| stream.set_idle(idle));
    }

    /// Somebody waits with the driver, on another thread: nothing here can be called.
    pub fn is_busy(&self) -> bool {
        self.driver.try_borrow_mut().is_err()
    }

    // --- the table ---

    /// Do something to a connection, without coming back in here.
    fn with<R>(&self, token: Token, act: impl FnOnce(&mut Stream<G>) -> R) -> Option<R> {
        self.table.borrow_mut().get_mut(token).map(act)
    }

    fn send(&self, token: Token, news: &mut News<G>) {
        let mut driver = self.driver.borrow_mut();
        let failure = self.with(token, |stream| {
            if stream.fd < 0 || stream.unsent().is_empty() {
                return None;
            }
            match driver.send(stream.fd, stream.unsent()) {
                Ok(count) => stream.on_sent(count, &*self.clock),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Some(error.raw_os_error().unwrap_or(libc::EIO)),
            }
            if !stream.unsent().is_empty() {
                driver.want_write(token, stream.fd);
            } else if stream.end_output_wait() {
                news.output = Some(Output::Sent);
            }
            None
        });
        drop(driver);
        if let Some(errno) = failure.flatten() {
            self.fail(token, errno, news);
        }
    }

    /// The connection broke.
    fn fail(&self, token: Token, errno: i32, news: &mut News<G>) {
        self.with(token, |stream| {
            stream.on_broken(errno);
            news.has_input |= stream.end_input_wait();
            if stream.end_output_wait() {
                news.output = Some(Output::Broken(errno));
            }
        });
    }

    /// Do to the socket what the connection wants.
    fn proceed(&self, token: Token, news: &mut News<G>) {
        loop {
            let Some((next, fd)) = self.with(token, |stream| (stream.next(&*self.clock), stream.fd)) else {
                return;
            };
            match next {
                Next::Stay => break,
                Next::SendEnd => {
                    socket::send_end(fd);
                    self.with(token, Stream::on_end_sent);
                }
                Next::Release => {
                    self.driver.borrow_mut().close(token, fd);
                    self.with(token, Stream::on_released);
                }
                Next::Close => return self.remove(token, news),
            }
        }
        let mut driver = self.driver.borrow_mut();
        let mut wheel = self.wheel.borrow_mut();
        self.with(token, |stream| {
            let should_read = stream.should_read();
            if stream.fd >= 0 && stream.is_reading != should_read {
                stream.is_reading = should_read;
                driver.set_reading(token, stream.fd, should_read);
            }
            if stream.deadline() < stream.timed_for {
                stream.timed_for = stream.deadline();
                wheel.schedule(token, stream.timed_for);
            }
        });
    }

    fn remove(&self, token: Token, news: &mut News<G>) {
        let Some(mut stream) = self.table.borrow_mut().remove(token) else { return };
        if stream.fd >= 0 {
            self.driver.borrow_mut().close(token, stream.fd);
        }
        news.has_input |= stream.end_input_wait();
        if stream.end_output_wait() {
            news.output = Some(Output::Closed);
        }
        news.gone = Some(stream.guest);
    }
}
