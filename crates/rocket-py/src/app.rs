//! An application of routes and handlers, as the native connections call it.
//!
//! A request that a route answers enters Python once, for its handler. Everything rare is asked of Python
//! (`rocket_sup/engine/desk.py`): hooks, methods and paths without a route, faults, failures. So there is one
//! truth about these, and it is the portable engine's.

mod answering;
mod deciding;
mod lending;
mod running;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyException, PyKeyboardInterrupt};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use rocket_core::accept::Peer;
use rocket_core::clock::monotonic_ns;
use rocket_core::date::DateLine;
use rocket_core::driver::Token;
use rocket_core::http1::{Reply, Terms};
use rocket_core::router::{Params, Router};
use rocket_core::slab::Slab;
use rocket_core::statistics::Statistics;

use crate::answers::Answers;
use crate::client::Client;
use crate::conduit::Conduit;
use crate::flight::Flight;
use crate::http::Place;
use crate::journal::Journal;
use crate::request::Request;
use crate::task::{NativeTask, TaskRuntime};

/// How a handler is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Called at once.
    Plain,
    /// A coroutine.
    Coroutine,
    /// In a thread.
    Blocking,
    /// A coroutine that borrows the exchange.
    Conduit,
}

/// A route of the application.
struct Route {
    handler: Py<PyAny>,
    manner: Manner,
    max_body: u64,
    /// See `rocket_sup.router.Route`.
    outlives_client: bool,
    /// Of `path_params`; made when the route is first found.
    keys: OnceCell<Vec<Py<PyString>>>,
}

impl Route {
    fn keys(&self, py: Python<'_>, names: &[Box<str>]) -> &[Py<PyString>] {
        self.keys.get_or_init(|| names.iter().map(|name| PyString::intern(py, name).unbind()).collect())
    }
}

/// What is kept for each client.
pub struct Guest {
    token: Token,
    client: Client,
    /// Its name in the access log; made when it is first needed.
    host: OnceCell<Box<str>>,
    /// What its connection was aborted with.
    error: OnceCell<Py<PyAny>>,
}

impl Guest {
    /// A client, and the name of his connection.
    pub fn new(token: Token, client: Client) -> Self {
        Self { token, client, host: OnceCell::new(), error: OnceCell::new() }
    }
}

/// A request with what its answer has to know of it.
struct Call {
    request: Py<Request>,
    is_head: bool,
    is_1_0: bool,
}

/// A request whose content is still to come.
pub struct Asked {
    call: Call,
    wants: Wants,
}

/// What a request goes to once its content has come, or as it comes.
enum Wants {
    Route(Rc<Route>),
    /// An answer whose content comes in pieces.
    Answer(Py<PyAny>),
}

enum Work {
    Task(Py<NativeTask>),
    Thread(Py<PyAny>),
    /// The exchange is lent; without a task when its handler has ended and only sending is left.
    Lent {
        task: Option<Py<NativeTask>>,
        conduit: Py<Conduit>,
    },
}

/// A handler that waits.
pub struct Running {
    call: Call,
    work: Work,
}

enum Decision<'py> {
    Route(Rc<Route>),
    Answer(Bound<'py, PyAny>),
    Drop,
}

/// See the module's description.
pub struct PyApp {
    router: Router,
    routes: Vec<Rc<Route>>,
    /// By the address of the Python route, which the desk keeps alive.
    by_route: HashMap<usize, Rc<Route>>,
    /// Serves every request, when nobody has to be asked.
    sole_route: Option<Rc<Route>>,
    desk: Py<PyAny>,
    wake: Option<Py<PyAny>>,
    has_pre_routing: bool,
    has_teardown: bool,
    /// Somebody wants to know when a connection is gone.
    is_telling: Cell<bool>,
    context: Py<PyAny>,
    answers: Answers,
    tasks: Py<TaskRuntime>,
    place: Place,
    /// Conduits whose handlers have not ended, by the names of their tasks.
    lent: RefCell<Slab<Py<Conduit>>>,
    params: RefCell<Params>,
    date: RefCell<DateLine>,
    /// Monotonic; when `date` is to be written anew.
    date_until_ns: Cell<u64>,
    /// Monotonic; see `refresh`.
    now_ns: Cell<u64>,
    flight: Flight,
    journal: Option<RefCell<Journal>>,
    statistics: RefCell<Statistics>,
    /// Requests whose handler runs on though nobody waits, by the name of their connection.
    unwanted: RefCell<HashMap<Token, Py<Request>>>,
    /// What has to leave `select`: an interrupt, no memory.
    fatal: Cell<Option<PyErr>>,
}

impl PyApp {
    /// Read the application from its desk (`rocket_sup/engine/desk.py`).
    ///
    /// # Errors
    /// The desk is not one.
    pub fn new(
        py: Python<'_>,
        desk: &Bound<'_, PyAny>,
        tasks: Py<TaskRuntime>,
        place: Place,
    ) -> PyResult<Self> {
        let max_body = desk.getattr("max_body")?.extract()?;
        let wake: Option<Py<PyAny>> = desk.getattr("wake")?.extract()?;
        let mut routes = Vec::new();
        let mut by_route = HashMap::new();
        let mut patterns = Vec::new();
        for item in desk.getattr("routes")?.try_iter()? {
            let item = item?;
            let route = Rc::new(read_route(&item, max_body)?);
            by_route.insert(item.as_ptr() as usize, Rc::clone(&route));
            let pattern: String = item.getattr("pattern")?.extract()?;
            if !pattern.is_empty() {
                patterns.push((item.getattr("method")?.extract::<String>()?, pattern, routes.len() as u32));
            }
            routes.push(route);
        }
        let router = Router::new(patterns)
            .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        let sole = desk.getattr("sole_route")?;
        Ok(Self {
            router,
            routes,
            sole_route: by_route.get(&(sole.as_ptr() as usize)).cloned(),
            place,
            lent: RefCell::new(Slab::new()),
            by_route,
            wake,
            has_pre_routing: desk.getattr("has_pre_routing")?.is_truthy()?,
            has_teardown: desk.getattr("has_teardown")?.is_truthy()?,
            is_telling: Cell::new(false),
            context: desk.getattr("context")?.unbind(),
            answers: Answers::new(py)?,
            tasks,
            params: RefCell::new(Params::default()),
            date: RefCell::new(DateLine::new(0)),
            date_until_ns: Cell::new(0),
            now_ns: Cell::new(monotonic_ns()),
            flight: Flight::new(&desk.getattr("flight_box")?)?,
            journal: Journal::of(desk)?.map(RefCell::new),
            statistics: RefCell::new(Statistics::default()),
            unwanted: RefCell::new(HashMap::new()),
            fatal: Cell::new(None),
            desk: desk.clone().unbind(),
        })
    }

    /// Counters.
    pub fn statistics(&self) -> std::cell::Ref<'_, Statistics> {
        self.statistics.borrow()
    }

    /// The access log's lines since the last call.
    pub fn take_log(&self) -> Option<Vec<u8>> {
        self.journal.as_ref().map(|journal| journal.borrow_mut().take())
    }

    /// Read the clock, and write the date anew if its second is over. One reading serves until the next
    /// handler has run: a call of the system costs as much as parsing a head.
    pub fn refresh(&self) {
        let now_ns = monotonic_ns();
        self.now_ns.set(now_ns);
        if now_ns >= self.date_until_ns.get() {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.date.borrow_mut().refresh(since.as_secs());
            self.date_until_ns.set(now_ns + 1_000_000_000 - u64::from(since.subsec_nanos()));
        }
    }

    /// Tasks wait for nothing but their turn.
    pub fn has_turns(&self) -> bool {
        self.tasks.get().turns.has_some()
    }

    /// See `Turns::keep`.
    pub fn keep_turns(&self, is_kept: bool) {
        self.tasks.get().turns.keep(is_kept);
    }

    /// Give tasks their turn that let others go first.
    pub fn give_turns(&self) {
        self.keep(self.tasks.get().turns.give(self.py()).err());
    }

    /// See `Wire.is_telling`.
    pub fn is_telling(&self) -> bool {
        self.is_telling.get()
    }

    /// See `Wire.is_telling`.
    pub fn set_telling(&self, is_telling: bool) {
        self.is_telling.set(is_telling);
    }

    /// A client who was accepted.
    pub fn welcome(&self, token: Token, peer: Peer) -> Guest {
        Guest::new(token, Client::of_peer(self.py(), peer))
    }

    /// A queue cannot be emptied; see `Doorman.watch`.
    pub fn on_stuck(&self, listening: RawFd, (taken, stop, errno): (usize, &str, i32)) {
        let py = self.py();
        let arguments = (listening, taken, stop, errno);
        self.keep(self.desk.call_method1(py, intern!(py, "on_stuck"), arguments).err());
    }

    /// Have the reactor turned soon, if its loop has to be told.
    pub fn wake(&self, py: Python<'_>) {
        if let Some(wake) = &self.wake {
            self.keep(wake.call0(py).err());
        }
    }

    /// A task is taking a step: whoever is called now was called by it.
    pub fn is_task_running(&self, py: Python<'_>) -> bool {
        self.tasks.get().is_task_running(py)
    }

    /// What has to leave the engine.
    ///
    /// # Errors
    /// That.
    pub fn check(&self) -> PyResult<()> {
        self.fatal.take().map_or(Ok(()), Err)
    }

    /// Answer with what a handler that waited came to.
    pub fn conclude(
        &self,
        py: Python<'_>,
        guest: &Guest,
        running: Running,
        result: PyResult<Bound<'_, PyAny>>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        self.statistics.borrow_mut().in_flight -= 1;
        self.refresh();
        match result {
            Ok(value) => self.respond(py, guest, running.call, &value, terms, output),
            // Told to the loop by the step that raised it.
            Err(error)
                if matches!(running.work, Work::Task(_))
                    && error.is_instance_of::<PyKeyboardInterrupt>(py) =>
            {
                Reply::Done { closes: true }
            }
            // In a thread nobody is interrupted: whatever it raised is the handler's.
            Err(error) => match self.failure(py, &running.call, error) {
                Some(answer) => self.respond(py, guest, running.call, &answer, terms, output),
                None => Reply::Done { closes: true },
            },
        }
    }

    /// A handler ended that nobody waits for any more.
    pub fn drop_result(&self, py: Python<'_>, token: Token, result: PyResult<Bound<'_, PyAny>>) {
        let Some(request) = self.unwanted.borrow_mut().remove(&token) else { return };
        let Err(error) = result else { return };
        if error.is_instance_of::<PyException>(py) {
            let told = self.desk.call_method1(py, intern!(py, "log_failure"), (request, error));
            self.keep(told.err());
        }
    }
}

fn read_route(route: &Bound<'_, PyAny>, max_body: u64) -> PyResult<Route> {
    let manner = if route.getattr("takes_conduit")?.is_truthy()? {
        Manner::Conduit
    } else if route.getattr("is_async")?.is_truthy()? {
        Manner::Coroutine
    } else if route.getattr("blocking")?.is_truthy()? {
        Manner::Blocking
    } else {
        Manner::Plain
    };
    let own: Option<u64> = route.getattr("max_body")?.extract()?;
    Ok(Route {
        handler: route.getattr("handler")?.unbind(),
        manner,
        outlives_client: route.getattr("outlives_client")?.is_truthy()?,
        max_body: own.unwrap_or(max_body),
        keys: OnceCell::new(),
    })
}
