//! The reactor: a selector for asyncio that serves HTTP inside `select`, until asyncio has work.
//!
//! One driver watches the descriptors of asyncio and all connections. `select` stays inside, and no turn of
//! Python's loop runs, as long as only connections have something: it returns when a descriptor of asyncio's
//! is ready, a callback is, a timer came or changed, the loop is to stop, or the time is over. Under a loop that
//! is not ours (uvloop) the same reactor is turned by `turn`, whenever `fileno` is readable.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use rocket_core::clock::monotonic_ns;
use rocket_core::driver::closed::Closed;
use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::probe;
use rocket_core::driver::rehearsal::Rehearsal;
use rocket_core::driver::uring::{RingOptions, Uring};
use rocket_core::driver::{Driver, Event, Token};

/// After this long in one batch the loop gets its turn: handlers may be slow.
const BATCH_NS: u64 = 2_000_000;
/// For who comes from another thread.
pub const WAITING: &str = "the loop waits in another thread: call_soon_threadsafe is the way in";

/// What a descriptor is ready for: itself, and a mask of EVENT_READ and EVENT_WRITE.
type Ready = (i32, u32);

/// What tells that asyncio has work. Three attributes of `BaseEventLoop` that have no public name; a loop
/// without them gets its turn after every batch.
struct Loop {
    event_loop: Py<PyAny>,
    ready: Py<PyAny>,
}

/// What a reactor serves: HTTP connections, or others. One reactor serves one kind.
pub trait Resident {
    /// A batch begins: read the clock.
    fn refresh(&self);
    /// Monotonic nanoseconds, as last read.
    fn now_ns(&self) -> u64;
    /// See `Event::Readable`.
    fn on_readable(&self, token: Token);
    /// See `Event::Writable`.
    fn on_writable(&self, token: Token);
    /// See `Event::Broken`.
    fn on_broken(&self, token: Token);
    /// See `Event::Acceptable`; told to whoever listens.
    fn on_acceptable(&self, _listener: u32) {}
    /// Do what was left for the next turn: one thing, and more until the time is over.
    fn go_on(&self, until_ns: u64);
    /// Do what was left to be done before the driver waits; true if there was something.
    fn flush(&self) -> bool {
        false
    }
    /// Something was left for the next turn.
    fn has_more(&self) -> bool;
    /// `select` is entered, or left: tasks that let others go first ask here for their turn, or ask the loop.
    fn keep_turns(&self, _is_kept: bool) {}
    /// Give those turns; true if somebody waited.
    fn give_turns(&self) -> bool {
        false
    }
    /// Act on deadlines that have passed; monotonic milliseconds.
    fn on_time(&self, now: u64);
    /// When `on_time` may next have something to do.
    fn next_deadline(&self) -> Option<u64>;
    /// What has to leave `select`, an interrupt for example.
    ///
    /// # Errors
    /// That.
    fn check(&self) -> PyResult<()>;
}

/// See the module's description.
#[pyclass(frozen, module = "rocket_sup.engine._native")]
pub struct Reactor {
    driver: Rc<RefCell<Box<dyn Driver>>>,
    resident: RefCell<Option<Rc<dyn Resident>>>,
    event_loop: RefCell<Option<Loop>>,
    events: RefCell<Vec<Event>>,
    /// Events of an earlier batch that had no time, in reverse.
    left: RefCell<Vec<Event>>,
    /// Descriptors that handlers have had unwatched since the last wait: what was told of them is of the past, and
    /// their numbers may be somebody else's by now.
    unwatched: RefCell<Vec<i32>>,
    is_inside: Cell<bool>,
}

// SAFETY: every method takes the interpreter's lock, which gives one thread at a time all of it. The lock is
// let go in `wait` alone, and there the driver stays borrowed: whoever comes meanwhile gets an error.
unsafe impl Send for Reactor {}
// SAFETY: as above.
unsafe impl Sync for Reactor {}

#[pymethods]
impl Reactor {
    /// Make a reactor on epoll, or on io_uring with the options of `[engine.io_uring]`.
    #[new]
    #[pyo3(signature = (ring=None))]
    fn new(ring: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let driver: Box<dyn Driver> = match ring {
            None => Box::new(Epoll::new()?),
            Some(options) => Box::new(Uring::new(&read_ring(options)?)?),
        };
        Ok(Self::on(driver))
    }

    /// A reactor without a kernel: its connections receive the same bytes in turn, so many times in each
    /// `select(0)`. For measurements.
    #[staticmethod]
    fn rehearse(data: Vec<u8>, events: usize) -> Self {
        Self::on(Box::new(Rehearsal::new(data, events)))
    }

    /// Know the loop whose selector this is.
    fn attach_loop(&self, event_loop: &Bound<'_, PyAny>) {
        let find = |name: &str| event_loop.getattr(name).ok().map(Bound::unbind);
        if let (Some(ready), Some(_), Some(_)) = (find("_ready"), find("_scheduled"), find("_stopping")) {
            *self.event_loop.borrow_mut() = Some(Loop { event_loop: event_loop.clone().unbind(), ready });
        }
    }

    /// Watch a descriptor for a mask of EVENT_READ and EVENT_WRITE, or for another mask than before.
    fn watch(&self, fd: i32, mask: u32) -> PyResult<()> {
        Ok(self.idle_driver()?.watch(fd, mask)?)
    }

    /// Watch it no more.
    fn unwatch(&self, fd: i32) -> PyResult<()> {
        self.idle_driver()?.unwatch(fd)?;
        if self.is_inside.get() {
            self.unwatched.borrow_mut().push(fd);
        }
        self.left.borrow_mut().retain(|event| !matches!(event, Event::Foreign(told, _) if *told == fd));
        Ok(())
    }

    /// Give everything up: descriptors, connections and what they refer to.
    fn close(&self) -> PyResult<()> {
        *self.idle_driver()? = Box::new(Closed);
        *self.resident.borrow_mut() = None;
        *self.event_loop.borrow_mut() = None;
        Ok(())
    }

    /// A descriptor that is readable when `turn` has something to do.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.idle_driver()?.fileno())
    }

    /// Serve until asyncio has work: the descriptors that are ready.
    ///
    /// `timeout` in seconds; None for ever, zero or less for one look.
    fn select(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<Ready>> {
        if self.is_inside.replace(true) {
            return Err(PyRuntimeError::new_err("select is running already"));
        }
        let resident = self.resident.borrow().clone();
        resident.iter().for_each(|resident| resident.keep_turns(true));
        let result = self.serve(py, timeout);
        resident.iter().for_each(|resident| resident.keep_turns(false));
        self.is_inside.set(false);
        result
    }

    /// Serve what there is, for a loop that is not ours: true when there is more.
    fn turn(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_inside.replace(true) {
            return Ok(true); // a handler turns the reactor that called it
        }
        let mut ready = Vec::new();
        let flushed = self.flush();
        let result = flushed
            .and_then(|_| self.wait(py, Some(Duration::ZERO)))
            .and_then(|()| self.run_batch(&mut ready));
        self.is_inside.set(false);
        result?;
        Ok(self.has_more())
    }
}

impl Reactor {
    fn on(driver: Box<dyn Driver>) -> Self {
        Self {
            driver: Rc::new(RefCell::new(driver)),
            resident: RefCell::new(None),
            event_loop: RefCell::new(None),
            events: RefCell::new(Vec::with_capacity(512)),
            left: RefCell::new(Vec::new()),
            unwatched: RefCell::new(Vec::new()),
            is_inside: Cell::new(false),
        }
    }

    /// The driver, for what is served on it.
    pub fn driver(&self) -> Rc<RefCell<Box<dyn Driver>>> {
        Rc::clone(&self.driver)
    }

    /// The driver, while nobody waits with it.
    fn idle_driver(&self) -> PyResult<RefMut<'_, Box<dyn Driver>>> {
        self.driver.try_borrow_mut().map_err(|_| PyRuntimeError::new_err(WAITING))
    }

    /// Give it connections to serve.
    ///
    /// # Errors
    /// It has some.
    pub fn house(&self, resident: Rc<dyn Resident>) -> PyResult<()> {
        let mut place = self.resident.borrow_mut();
        if place.is_some() {
            return Err(PyRuntimeError::new_err("this reactor serves already"));
        }
        *place = Some(resident);
        Ok(())
    }

    fn serve(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<Ready>> {
        let began = monotonic_ns();
        let until = match timeout {
            None => None,
            Some(seconds) if seconds <= 0.0 => Some(began),
            Some(seconds) => Some(began.saturating_add((seconds * 1e9) as u64)),
        };
        let timer = self.first_timer(py);
        let mut ready = Vec::new();
        let mut now = began;
        loop {
            // Before anything else of this round: what the loop had ready has run, and what comes is behind.
            let has_given = self.give_turns()?;
            // Also what is flushed may leave work for the loop.
            let is_asked = self.flush()? && self.has_loop_work(py, timer)?;
            let patience =
                if has_given || is_asked { Some(Duration::ZERO) } else { self.patience(until, now) };
            self.wait(py, patience)?;
            self.run_batch(&mut ready)?;
            now = monotonic_ns();
            if !ready.is_empty()
                || until.is_some_and(|until| now >= until)
                || self.has_loop_work(py, timer)?
            {
                return Ok(ready);
            }
        }
    }

    /// Let tasks go on that let others go first; true if there were some, who may have left work for the loop.
    fn give_turns(&self) -> PyResult<bool> {
        let resident = self.resident.borrow().clone();
        let Some(resident) = resident else { return Ok(false) };
        let has_given = resident.give_turns();
        resident.check()?;
        Ok(has_given)
    }

    /// See `Resident::flush`.
    fn flush(&self) -> PyResult<bool> {
        let resident = self.resident.borrow().clone();
        let Some(resident) = resident else { return Ok(false) };
        let has_acted = resident.flush();
        resident.check()?;
        Ok(has_acted)
    }

    /// How long the driver may wait.
    fn patience(&self, until: Option<u64>, now: u64) -> Option<Duration> {
        if self.has_more() {
            return Some(Duration::ZERO);
        }
        let left = until.map(|until| Duration::from_nanos(until.saturating_sub(now)));
        let due = self.resident.borrow().as_ref().and_then(|resident| resident.next_deadline());
        let due = due.map(|due| Duration::from_nanos((due * 1_000_000).saturating_sub(now)));
        match (left, due) {
            (Some(left), Some(due)) => Some(left.min(due)),
            (left, due) => left.or(due),
        }
    }

    fn has_more(&self) -> bool {
        !self.left.borrow().is_empty()
            || self.resident.borrow().as_ref().is_some_and(|resident| resident.has_more())
    }

    /// Wait for events; other threads run meanwhile, if there is anything to wait for.
    fn wait(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<()> {
        if !self.left.borrow().is_empty() {
            return Ok(());
        }
        self.look()?;
        if !self.events.borrow().is_empty() || timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        // Python's handlers of signals run when somebody asks, and while nothing happens nobody else does.
        py.check_signals()?;
        self.sleep(py, timeout)?;
        if self.events.borrow().is_empty() { py.check_signals() } else { Ok(()) }
    }

    fn look(&self) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        events.clear();
        self.driver.borrow_mut().wait(Some(Duration::ZERO), &mut events)
    }

    fn sleep(&self, py: Python<'_>, timeout: Option<Duration>) -> io::Result<()> {
        let mut driver = self.driver.borrow_mut();
        let mut events = self.events.borrow_mut();
        let alone = Alone((&mut **driver, &mut *events));
        py.detach(move || alone.wait(timeout))
    }

    /// Act on what was waited for, on what is left from before and on deadlines, within the time of a batch.
    fn run_batch(&self, ready: &mut Vec<Ready>) -> PyResult<()> {
        let resident = self.resident.borrow().clone();
        let Some(resident) = resident else {
            for event in self.events.borrow_mut().drain(..) {
                if let Event::Foreign(fd, mask) = event {
                    ready.push((fd, mask));
                }
            }
            return Ok(());
        };
        resident.refresh();
        let began = resident.now_ns();
        let mut batch = std::mem::take(&mut *self.left.borrow_mut());
        if batch.is_empty() {
            std::mem::swap(&mut batch, &mut *self.events.borrow_mut());
            batch.reverse();
        }
        let served = Self::serve_events(&*resident, &mut batch, ready, began + BATCH_NS);
        // Also when something leaves `select`: the driver will not tell everything again.
        if batch.is_empty() {
            *self.events.borrow_mut() = batch;
        } else {
            *self.left.borrow_mut() = batch;
        }
        served?;
        resident.go_on(began + BATCH_NS);
        resident.on_time(resident.now_ns() / 1_000_000);
        resident.flush();
        self.forget_unwatched(ready);
        resident.check()
    }

    fn serve_events(
        resident: &dyn Resident,
        batch: &mut Vec<Event>,
        ready: &mut Vec<Ready>,
        until_ns: u64,
    ) -> PyResult<()> {
        while let Some(event) = batch.pop() {
            match event {
                Event::Readable(token) => resident.on_readable(token),
                Event::Writable(token) => resident.on_writable(token),
                Event::Broken(token) => resident.on_broken(token),
                Event::Foreign(fd, mask) => {
                    ready.push((fd, mask));
                    continue;
                }
                Event::Acceptable { listener } => resident.on_acceptable(listener),
                Event::Accepted { .. } => continue, // nobody is told to take
            }
            resident.check()?;
            if resident.now_ns() > until_ns {
                break;
            }
        }
        Ok(())
    }

    /// Tell nothing of what handlers have had unwatched meanwhile.
    fn forget_unwatched(&self, ready: &mut Vec<Ready>) {
        let mut unwatched = self.unwatched.borrow_mut();
        if unwatched.is_empty() {
            return;
        }
        ready.retain(|(fd, _)| !unwatched.contains(fd));
        self.left
            .borrow_mut()
            .retain(|event| !matches!(event, Event::Foreign(fd, _) if unwatched.contains(fd)));
        unwatched.clear();
    }

    /// The timer that comes first, by its address, and how many there are: changes when handlers make timers.
    fn first_timer(&self, py: Python<'_>) -> (usize, usize) {
        let event_loop = self.event_loop.borrow();
        let Some(event_loop) = &*event_loop else { return (0, 0) };
        // Asked for anew each time: the loop replaces the list when many timers were cancelled.
        let Ok(scheduled) = event_loop.event_loop.bind(py).getattr(intern!(py, "_scheduled")) else {
            return (0, 0);
        };
        let count = scheduled.len().unwrap_or(0);
        let first =
            if count == 0 { 0 } else { scheduled.get_item(0).map_or(0, |first| first.as_ptr() as usize) };
        (first, count)
    }

    fn has_loop_work(&self, py: Python<'_>, timer: (usize, usize)) -> PyResult<bool> {
        {
            let event_loop = self.event_loop.borrow();
            let Some(event_loop) = &*event_loop else { return Ok(true) };
            if event_loop.ready.bind(py).len()? > 0 {
                return Ok(true);
            }
            if event_loop.event_loop.bind(py).getattr(intern!(py, "_stopping"))?.is_truthy()? {
                return Ok(true);
            }
        }
        Ok(self.first_timer(py) != timer)
    }
}

fn read_ring(options: &Bound<'_, PyAny>) -> PyResult<RingOptions> {
    let cpu: i64 = options.getattr("sqpoll_cpu")?.extract()?;
    let idle_s: f64 = options.getattr("sqpoll_idle")?.extract()?;
    Ok(RingOptions {
        entries: options.getattr("entries")?.extract()?,
        buffer_size: options.getattr("buffer_size")?.extract()?,
        buffers: options.getattr("buffers")?.extract()?,
        batch: options.getattr("batch")?.extract()?,
        single_issuer: options.getattr("single_issuer")?.extract()?,
        sqpoll: options.getattr("sqpoll")?.extract()?,
        sqpoll_cpu: u32::try_from(cpu).ok(),
        sqpoll_idle_ms: (idle_s * 1e3) as u32,
    })
}

/// Say why io_uring cannot be used here; None when it can.
#[pyfunction]
pub fn probe_uring() -> Option<String> {
    probe::probe_uring().err()
}

/// A wait with the driver, on whatever thread; nobody else has it meanwhile, for it is borrowed.
struct Alone<'a>((&'a mut dyn Driver, &'a mut Vec<Event>));

// SAFETY: `Reactor` is bound to one thread; the closure that gets this runs on that thread, before `detach`
// returns.
unsafe impl Send for Alone<'_> {}

impl Alone<'_> {
    fn wait(self, timeout: Option<Duration>) -> io::Result<()> {
        let (driver, events) = self.0;
        driver.wait(timeout, events)
    }
}
