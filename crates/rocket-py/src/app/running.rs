//! Handlers: called at once, as a task, or in a thread, each in a context of its own.

use std::rc::Rc;

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use rocket_core::clock::monotonic_ns;
use rocket_core::http1::{Lease, Reply, Terms, Why};

use super::lending::Borrower;
use super::{Call, Guest, Manner, PyApp, Route, Running, Work};
use crate::request::Request;
use crate::task::{FirstStep, start};
use crate::unlimited;

impl PyApp {
    pub(super) fn run(
        &self,
        py: Python<'_>,
        guest: &Guest,
        route: &Route,
        call: Call,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        self.record_flight(&call);
        match route.manner {
            Manner::Plain => match self.call_in_context(py, &route.handler, &call.request) {
                Ok(value) if self.is_awaitable(&value) => {
                    self.start_awaiting(py, guest, value, call, terms, output)
                }
                Ok(value) => self.respond(py, guest, call, &value, terms, output),
                Err(error) => self.fail(py, guest, call, error, terms, output),
            },
            Manner::Coroutine => {
                match unlimited::call(route.handler.bind(py), [call.request.bind(py).as_any()], None) {
                    Ok(coroutine) => self.start(py, guest, coroutine, call, terms, output),
                    Err(error) => self.fail(py, guest, call, error, terms, output),
                }
            }
            Manner::Conduit => {
                let lease = Rc::new(Lease::whole(terms.started_ns));
                self.lend_to(guest, Borrower::Route(route), call, &lease, terms, output)
            }
            Manner::Blocking => {
                let started = self.desk.call_method1(
                    py,
                    intern!(py, "start_thread"),
                    (&route.handler, &call.request, guest.token),
                );
                match started {
                    Ok(future) => self.wait(call, Work::Thread(future)),
                    Err(error) => self.fail(py, guest, call, error, terms, output),
                }
            }
        }
    }

    /// Leave what is about to be handled where it outlives the process.
    pub(super) fn record_flight(&self, call: &Call) {
        let request = call.request.get();
        let head = request.head();
        self.flight.record(request.bytes_of(head.method), request.bytes_of(head.target));
    }

    pub(super) fn call_in_context<'py>(
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
    pub(super) fn is_awaitable(&self, value: &Bound<'_, PyAny>) -> bool {
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

    pub(super) fn start_awaiting(
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
            Err(error) => self.fail(py, guest, call, error, terms, output),
        }
    }

    pub(super) fn start(
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
            Err(error) => return self.fail(py, guest, call, error, terms, output),
        };
        match start(self.tasks.bind(py), coroutine, context, guest.token) {
            FirstStep::Returned(value) => self.respond(py, guest, call, value.bind(py), terms, output),
            FirstStep::Raised(error) => self.fail(py, guest, call, error, terms, output),
            FirstStep::Suspended(task) => self.wait(call, Work::Task(task)),
        }
    }

    fn wait(&self, call: Call, work: Work) -> Reply<Running> {
        self.statistics.borrow_mut().in_flight += 1;
        self.now_ns.set(monotonic_ns()); // what ran so far counts towards the time of the batch
        Reply::Later(Running { call, work })
    }

    pub(super) fn fail(
        &self,
        py: Python<'_>,
        guest: &Guest,
        call: Call,
        error: PyErr,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        match self.failed(py, &call, error) {
            Some(answer) => self.respond(py, guest, call, &answer, terms, output),
            None => Reply::Drop,
        }
    }

    /// Make an answer of what a handler raised; None for what has to leave the engine.
    pub(super) fn failed<'py>(
        &self,
        py: Python<'py>,
        call: &Call,
        error: PyErr,
    ) -> Option<Bound<'py, PyAny>> {
        if error.is_instance_of::<PyKeyboardInterrupt>(py) {
            self.keep(Some(error));
            return None;
        }
        self.failure(py, call, error)
    }

    /// Make an answer of a failure, whatever it is.
    pub(super) fn failure<'py>(
        &self,
        py: Python<'py>,
        call: &Call,
        error: PyErr,
    ) -> Option<Bound<'py, PyAny>> {
        match self.desk.bind(py).call_method1(intern!(py, "failure"), (&call.request, error)) {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.keep(Some(error));
                None
            }
        }
    }

    pub(super) fn keep(&self, error: Option<PyErr>) {
        if error.is_some() {
            self.fatal.set(error);
        }
    }

    /// Nobody waits for a handler any more: cancel it as far as that is possible; whatever it still gives is dropped.
    pub(super) fn end(&self, py: Python<'_>, guest: &Guest, running: Running, why: Option<&Why>) {
        let Running { call, work } = running;
        if let Work::Lent { task, conduit } = work {
            if let Some(error) = self.end_lent(py, conduit.get(), task, why) {
                let _ = guest.error.set(error);
            }
            return;
        }
        let token = guest.token;
        self.statistics.borrow_mut().in_flight -= 1;
        let is_thread = matches!(work, Work::Thread(_));
        self.unwanted.borrow_mut().insert(token, call.request);
        let cancelled = match work {
            Work::Task(task) => task.bind(py).call_method0(intern!(py, "cancel")),
            Work::Thread(future) => future.into_bound(py).call_method0(intern!(py, "cancel")),
            Work::Lent { .. } => return,
        };
        // A thread that had not begun never will: it gives nothing that would have to be dropped.
        match cancelled.and_then(|cancelled| cancelled.is_truthy()) {
            Ok(true) if is_thread => drop(self.unwanted.borrow_mut().remove(&token)),
            Ok(_) => {}
            Err(error) => self.keep(Some(error)),
        }
    }
}
