//! An application of routes and handlers, as the native connections call it.
//!
//! A request that a route answers enters Python once, for its handler. Everything rare is asked of Python
//! (`rocket_sup/engine/desk.py`): hooks, methods and paths without a route, faults, failures. So there is one
//! truth about these, and it is the portable engine's.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use rocket_core::clock::monotonic_ns;
use rocket_core::date::DateLine;
use rocket_core::driver::Token;
use rocket_core::fault::Fault;
use rocket_core::head::{Head, Path};
use rocket_core::http1::{App, Intake, Reply, Terms, Why};
use rocket_core::router::{Params, Router};
use rocket_core::statistics::Statistics;

use crate::answers::{Answering, Answers};
use crate::flight::Flight;
use crate::journal::{Journal, host_of};
use crate::request::Request;
use crate::task::{FirstStep, NativeTask, TaskRuntime, start};
use crate::unlimited;

/// How a handler is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Called at once.
    Plain,
    /// A coroutine.
    Coroutine,
    /// In a thread.
    Blocking,
}

/// A route of the application.
struct Route {
    handler: Py<PyAny>,
    manner: Manner,
    max_body: u64,
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
    client: Py<PyAny>,
    /// Its name in the access log; made when it is first needed.
    host: OnceCell<Box<str>>,
}

impl Guest {
    /// A client by the name of its connection, and as its socket names it.
    pub fn new(token: Token, client: Py<PyAny>) -> Self {
        Self { token, client, host: OnceCell::new() }
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
    route: Rc<Route>,
}

enum Work {
    Task(Py<NativeTask>),
    Thread(Py<PyAny>),
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
    /// By the address of the Python route, which `keeps` keeps alive.
    by_route: HashMap<usize, Rc<Route>>,
    desk: Py<PyAny>,
    wake: Option<Py<PyAny>>,
    has_pre_routing: bool,
    context: Py<PyAny>,
    answers: Answers,
    tasks: Py<TaskRuntime>,
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
    pub fn new(py: Python<'_>, desk: &Bound<'_, PyAny>, tasks: Py<TaskRuntime>) -> PyResult<Self> {
        let max_body = desk.getattr("max_body")?.extract()?;
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
        Ok(Self {
            router,
            routes,
            by_route,
            wake: desk.getattr("wake")?.extract()?,
            has_pre_routing: desk.getattr("has_pre_routing")?.is_truthy()?,
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

    /// Have the reactor turned soon, if its loop has to be told.
    pub fn wake(&self, py: Python<'_>) {
        if let Some(wake) = &self.wake {
            self.keep(wake.call0(py).err());
        }
    }

    /// What has to leave the engine.
    ///
    /// # Errors
    /// That.
    pub fn check(&self) -> PyResult<()> {
        self.fatal.take().map_or(Ok(()), Err)
    }

    /// Answer with what a handler that waited came to: true when the connection ends after it.
    pub fn conclude(
        &self,
        py: Python<'_>,
        guest: &Guest,
        running: Running,
        result: PyResult<Bound<'_, PyAny>>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> bool {
        self.statistics.borrow_mut().in_flight -= 1;
        self.refresh();
        match result {
            Ok(value) => self.respond(py, guest, &running.call, &value, terms, output),
            Err(error) => match self.failed(py, &running.call, error) {
                Some(answer) => self.respond(py, guest, &running.call, &answer, terms, output),
                None => true,
            },
        }
    }

    /// A handler ended that nobody waits for any more.
    pub fn drop_result(&self, py: Python<'_>, token: Token, result: PyResult<Bound<'_, PyAny>>) {
        let Some(request) = self.unwanted.borrow_mut().remove(&token) else { return };
        let Err(error) = result else { return };
        if !error.is_instance_of::<CancelledError>(py) {
            let told = self.desk.call_method1(py, intern!(py, "log_failure"), (request, error));
            self.keep(told.err());
        }
    }

    // --- running handlers ---

    fn run(
        &self,
        py: Python<'_>,
        guest: &Guest,
        route: &Route,
        call: Call,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        {
            let request = call.request.get();
            let head = request.head();
            self.flight.record(request.bytes_of(head.method), request.bytes_of(head.target));
        }
        match route.manner {
            Manner::Plain => match self.call_in_context(py, &route.handler, &call.request) {
                Ok(value) if self.is_awaitable(&value) => {
                    self.start_awaiting(py, guest, value, call, terms, output)
                }
                Ok(value) => {
                    let closes = self.respond(py, guest, &call, &value, terms, output);
                    Request::recycle(py, call.request);
                    Reply::Done { closes }
                }
                Err(error) => self.fail(py, guest, &call, error, terms, output),
            },
            Manner::Coroutine => {
                match unlimited::call(route.handler.bind(py), [call.request.bind(py).as_any()], None) {
                    Ok(coroutine) => self.start(py, guest, coroutine, call, terms, output),
                    Err(error) => self.fail(py, guest, &call, error, terms, output),
                }
            }
            Manner::Blocking => {
                let started = self.desk.call_method1(
                    py,
                    intern!(py, "start_thread"),
                    (&route.handler, &call.request, guest.token),
                );
                match started {
                    Ok(future) => {
                        self.statistics.borrow_mut().in_flight += 1;
                        Reply::Later(Running { call, work: Work::Thread(future) })
                    }
                    Err(error) => self.fail(py, guest, &call, error, terms, output),
                }
            }
        }
    }

    fn call_in_context<'py>(
        &self,
        py: Python<'py>,
        handler: &Py<PyAny>,
        request: &Py<Request>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let context = unlimited::copy_context(self.context.bind(py))?;
        unlimited::in_context(&context, || {
            unlimited::call(handler.bind(py), [request.bind(py).as_any()], None)
        })?
    }

    /// A plain handler may return a coroutine, or another awaitable. The usual results are recognised by type.
    fn is_awaitable(&self, value: &Bound<'_, PyAny>) -> bool {
        let py = value.py();
        let kind = value.get_type_ptr();
        let plain = [
            PyString::type_object_raw(py),
            PyDict::type_object_raw(py),
            PyBytes::type_object_raw(py),
            PyList::type_object_raw(py),
            PyTuple::type_object_raw(py),
            PyInt::type_object_raw(py),
        ];
        if plain.contains(&kind) || value.is_none() {
            return false;
        }
        let asked = self.desk.call_method1(py, intern!(py, "is_awaitable"), (value,));
        asked.and_then(|answer| answer.is_truthy(py)).unwrap_or(false)
    }

    fn start_awaiting(
        &self,
        py: Python<'_>,
        guest: &Guest,
        awaitable: Bound<'_, PyAny>,
        call: Call,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        match self.desk.bind(py).call_method1(intern!(py, "wait_for"), (awaitable,)) {
            Ok(coroutine) => self.start(py, guest, coroutine, call, terms, output),
            Err(error) => self.fail(py, guest, &call, error, terms, output),
        }
    }

    fn start(
        &self,
        py: Python<'_>,
        guest: &Guest,
        coroutine: Bound<'_, PyAny>,
        call: Call,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let context = match unlimited::copy_context(self.context.bind(py)) {
            Ok(context) => context,
            Err(error) => return self.fail(py, guest, &call, error, terms, output),
        };
        match start(self.tasks.bind(py), coroutine, context, guest.token) {
            FirstStep::Returned(value) => {
                let closes = self.respond(py, guest, &call, value.bind(py), terms, output);
                Request::recycle(py, call.request);
                Reply::Done { closes }
            }
            FirstStep::Raised(error) => self.fail(py, guest, &call, error, terms, output),
            FirstStep::Suspended(task) => {
                self.statistics.borrow_mut().in_flight += 1;
                Reply::Later(Running { call, work: Work::Task(task) })
            }
        }
    }

    fn fail(
        &self,
        py: Python<'_>,
        guest: &Guest,
        call: &Call,
        error: PyErr,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        match self.failed(py, call, error) {
            Some(answer) => Reply::Done { closes: self.respond(py, guest, call, &answer, terms, output) },
            None => Reply::Drop,
        }
    }

    /// Make an answer of what a handler raised; None for what has to leave the engine.
    fn failed<'py>(&self, py: Python<'py>, call: &Call, error: PyErr) -> Option<Bound<'py, PyAny>> {
        if error.is_instance_of::<PyKeyboardInterrupt>(py) {
            self.keep(Some(error));
            return None;
        }
        match self.desk.bind(py).call_method1(intern!(py, "failure"), (&call.request, error)) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.keep(Some(error));
                None
            }
        }
    }

    fn keep(&self, error: Option<PyErr>) {
        if error.is_some() {
            self.fatal.set(error);
        }
    }

    // --- answering ---

    /// Write an answer: true when the connection ends after it.
    fn respond(
        &self,
        py: Python<'_>,
        guest: &Guest,
        call: &Call,
        result: &Bound<'_, PyAny>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> bool {
        let written = {
            let date = self.date.borrow();
            let how = Answering {
                date_line: date.as_bytes(),
                keep_alive: terms.keep_alive,
                is_1_0: call.is_1_0,
                is_head: call.is_head,
            };
            self.answers.write(py, result, &how, output).or_else(|error| {
                let Some(answer) = self.failed(py, call, error) else { return Err(()) };
                self.answers.write(py, &answer, &how, output).map_err(|error| self.keep(Some(error)))
            })
        };
        let Ok(written) = written else { return true };
        let content = if call.is_head { 0 } else { written.body_bytes };
        self.note(py, guest, Some(&call.request), written.status, content, terms);
        written.closes || !terms.keep_alive
    }

    /// Count and log one answer.
    fn note(
        &self,
        py: Python<'_>,
        guest: &Guest,
        request: Option<&Py<Request>>,
        status: u16,
        content: usize,
        terms: Terms,
    ) {
        self.now_ns.set(monotonic_ns());
        let duration_s = self.now_ns.get().saturating_sub(terms.started_ns) as f64 / 1e9;
        self.statistics.borrow_mut().count(status, duration_s);
        if let Some(journal) = &self.journal {
            let request = request.map(|request| request.get());
            let host = guest.host.get_or_init(|| host_of(guest.client.bind(py)));
            let full = journal.borrow_mut().append(host, request, status, content, duration_s);
            if full {
                let told = self.desk.call_method0(py, intern!(py, "flush_log"));
                self.keep(told.err());
            }
        }
    }

    // --- deciding ---

    fn call_of(&self, py: Python<'_>, guest: &Guest, data: &[u8], head: &Head) -> PyResult<Call> {
        let request = Request::new(py, data, head, &guest.client)?;
        Ok(Call { request, is_head: head.method.of(data) == b"HEAD", is_1_0: head.minor == 0 })
    }

    /// Find the route of a request, or what answers it.
    fn decide<'py>(&self, py: Python<'py>, data: &[u8], head: &Head, call: &Call) -> PyResult<Decision<'py>> {
        if !self.has_pre_routing {
            let mut params = self.params.borrow_mut();
            let path = match head.path {
                Path::Sent(span) => span.of(data),
                Path::Root => b"/",
                Path::Asterisk => b"*",
            };
            if let Some(id) = self.router.find(head.method.of(data), path, &mut params) {
                let route = &self.routes[id as usize];
                if !params.is_empty() {
                    let dict = PyDict::new(py);
                    for (index, key) in route.keys(py, self.router.keys(&params)).iter().enumerate() {
                        dict.set_item(key, params.value(index, path))?;
                    }
                    call.request.get().set_params(dict);
                }
                return Ok(Decision::Route(Rc::clone(route)));
            }
        }
        let decided = self.desk.bind(py).call_method1(intern!(py, "decide"), (&call.request,))?;
        if decided.is_none() {
            return Ok(Decision::Drop);
        }
        Ok(match self.by_route.get(&(decided.as_ptr() as usize)) {
            Some(route) => Decision::Route(Rc::clone(route)),
            None => Decision::Answer(decided),
        })
    }

    fn py(&self) -> Python<'_> {
        // SAFETY: connections are served by `Reactor`'s methods alone, which Python calls.
        unsafe { Python::assume_attached() }
    }
}

impl App for PyApp {
    type Guest = Guest;
    type Asked = Asked;
    type Running = Running;

    fn answer(
        &self,
        guest: &mut Guest,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let py = self.py();
        let call = match self.call_of(py, guest, data, head) {
            Ok(call) => call,
            Err(error) => {
                self.keep(Some(error));
                return Reply::Drop;
            }
        };
        match self.decide(py, data, head, &call) {
            Ok(Decision::Route(route)) => self.run(py, guest, &route, call, terms, output),
            Ok(Decision::Answer(answer)) => {
                Reply::Done { closes: self.respond(py, guest, &call, &answer, terms, output) }
            }
            Ok(Decision::Drop) => Reply::Drop,
            Err(error) => self.fail(py, guest, &call, error, terms, output),
        }
    }

    fn intake(
        &self,
        guest: &mut Guest,
        data: &[u8],
        head: &Head,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Intake<Asked> {
        let py = self.py();
        let call = match self.call_of(py, guest, data, head) {
            Ok(call) => call,
            Err(error) => {
                self.keep(Some(error));
                return Intake::Drop;
            }
        };
        let decided = if head.unmet_expectation {
            let reason = "only 100-continue can be expected (RFC 9110 §10.1.1)";
            let refused = self.desk.bind(py).call_method1(intern!(py, "refusal"), (417, reason));
            refused.map(Decision::Answer)
        } else {
            self.decide(py, data, head, &call)
        };
        let answer = match decided {
            Ok(Decision::Route(route)) => {
                let max_body = route.max_body;
                return Intake::Wanted { asked: Asked { call, route }, max_body };
            }
            Ok(Decision::Drop) => return Intake::Drop,
            Ok(Decision::Answer(answer)) => Some(answer),
            Err(error) => self.failed(py, &call, error),
        };
        match answer {
            Some(answer) => {
                Intake::Answered { closes: self.respond(py, guest, &call, &answer, terms, output) }
            }
            None => Intake::Drop,
        }
    }

    fn answer_received(
        &self,
        guest: &mut Guest,
        asked: Asked,
        content: &[u8],
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let py = self.py();
        asked.call.request.get().set_content(PyBytes::new(py, content));
        self.run(py, guest, &asked.route, asked.call, terms, output)
    }

    fn refuse(
        &self,
        guest: &mut Guest,
        fault: &Fault,
        asked: Option<Asked>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) {
        let py = self.py();
        let is_head = asked.as_ref().is_some_and(|asked| asked.call.is_head);
        let client = guest.client.bind(py);
        let arguments = (fault.status, fault.reason.as_ref(), client);
        let refused = self.desk.bind(py).call_method1(intern!(py, "refuse"), arguments).and_then(|answer| {
            let date = self.date.borrow();
            let how = Answering { date_line: date.as_bytes(), keep_alive: false, is_1_0: false, is_head };
            self.answers.write(py, &answer, &how, output)
        });
        match refused {
            Ok(written) => {
                let request = asked.as_ref().map(|asked| &asked.call.request);
                let content = if is_head { 0 } else { written.body_bytes };
                let at_once = Terms { started_ns: self.now_ns(), ..terms };
                self.note(py, guest, request, written.status, content, at_once);
            }
            Err(error) => self.keep(Some(error)),
        }
    }

    fn give_up(&self, guest: &mut Guest, running: Running, started_ns: u64, output: &mut Vec<u8>) {
        let py = self.py();
        let answer = self.desk.bind(py).call_method1(intern!(py, "too_slow"), (&running.call.request,));
        match answer {
            Ok(answer) => {
                let terms = Terms { keep_alive: false, started_ns };
                self.refresh();
                self.respond(py, guest, &running.call, &answer, terms, output);
            }
            Err(error) => self.keep(Some(error)),
        }
        self.cancel(py, guest.token, running);
    }

    fn closed(&self, guest: Guest, running: Option<Running>, why: Option<&Why>) {
        let py = self.py();
        if let Some(running) = running {
            self.cancel(py, guest.token, running);
        }
        let (kind, status, text) = match why {
            None => ("", 0, ""),
            Some(Why::Fault(fault)) => ("fault", i32::from(fault.status), fault.reason.as_ref()),
            Some(Why::Unread) => ("unread", 0, ""),
            Some(Why::TooSlow) => ("slow", 0, ""),
            Some(Why::Broken(errno)) => ("broken", *errno, ""),
        };
        let told = self.desk.call_method1(py, intern!(py, "on_closed"), (guest.client, kind, status, text));
        self.keep(told.err());
    }

    fn count_bytes(&self, received: usize, sent: usize) {
        let mut statistics = self.statistics.borrow_mut();
        statistics.bytes_received += received as u64;
        statistics.bytes_sent += sent as u64;
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
}

impl PyApp {
    /// Cancel a handler as far as that is possible; whatever it still gives is dropped.
    fn cancel(&self, py: Python<'_>, token: Token, running: Running) {
        self.statistics.borrow_mut().in_flight -= 1;
        let Running { call, work } = running;
        self.unwanted.borrow_mut().insert(token, call.request);
        let cancelled = match work {
            Work::Task(task) => task.bind(py).call_method0(intern!(py, "cancel")),
            Work::Thread(future) => future.into_bound(py).call_method0(intern!(py, "cancel")),
        };
        self.keep(cancelled.err());
    }
}

fn read_route(route: &Bound<'_, PyAny>, max_body: u64) -> PyResult<Route> {
    let manner = if route.getattr("is_async")?.is_truthy()? {
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
        max_body: own.unwrap_or(max_body),
        keys: OnceCell::new(),
    })
}
