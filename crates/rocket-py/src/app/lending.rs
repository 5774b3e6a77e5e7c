//! Exchanges that are lent: the handlers that take a conduit, and answers whose content comes in pieces.

use std::rc::Rc;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rocket_core::clock::monotonic_ns;
use rocket_core::driver::Token;
use rocket_core::fault::Fault;
use rocket_core::http1::{Finish, Lease, Reply, Terms, Why};

use super::deciding::words_of;
use super::{Call, Guest, PyApp, Route, Running, Work};
use crate::answers::Wrote;
use crate::conduit::{Conduit, Lending, is_interrupt};
use crate::request::Request;
use crate::task::{FirstStep, NativeTask, start};
use crate::unlimited;

/// Marks the name of a task whose exchange is lent; no connection's has this bit.
const LENT: u64 = 1 << 63;

/// Who gets a conduit.
#[derive(Clone, Copy)]
pub enum Borrower<'a> {
    /// The handler of a route.
    Route(&'a Route),
    /// What writes an answer whose content comes in pieces.
    Answer(&'a Py<PyAny>),
}

impl PyApp {
    /// Lend an exchange: call whoever borrows it, and take his first step.
    #[inline(never)]
    pub(super) fn lend_to(
        &self,
        guest: &Guest,
        borrower: Borrower<'_>,
        call: Call,
        lease: &Rc<Lease>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let py = self.py();
        let outlives = matches!(borrower, Borrower::Route(route) if route.outlives_client);
        let lending = Lending {
            lease: Rc::clone(lease),
            token: guest.token,
            place: Rc::clone(&self.place),
            keep_alive: terms.keep_alive,
            outlives,
            request: call.request.clone_ref(py),
        };
        let conduit = match Conduit::new(py, lending) {
            Ok(conduit) => conduit,
            Err(error) => return self.fail(py, guest, call, error, terms, output),
        };
        let request = call.request.bind(py).as_any();
        let coroutine = match borrower {
            Borrower::Route(route) => {
                unlimited::call(route.handler.bind(py), [request, conduit.as_any()], None)
            }
            Borrower::Answer(answer) => self.stream(py, request, answer.bind(py), &conduit),
        };
        self.step_into(guest, call, conduit, coroutine, terms, output)
    }

    fn stream<'py>(
        &self,
        py: Python<'py>,
        request: &Bound<'py, PyAny>,
        answer: &Bound<'py, PyAny>,
        conduit: &Bound<'py, Conduit>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.desk.bind(py).call_method1(intern!(py, "stream_answer"), (request, answer, conduit))
    }

    /// Take the first step of a borrower's coroutine.
    fn step_into(
        &self,
        guest: &Guest,
        call: Call,
        conduit: Bound<'_, Conduit>,
        coroutine: PyResult<Bound<'_, PyAny>>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let py = self.py();
        let context = unlimited::copy_context(self.context.bind(py));
        let step = match (coroutine, context) {
            (Ok(coroutine), Ok(context)) => start(self.tasks.bind(py), coroutine, context, guest.token),
            (Err(error), _) | (_, Err(error)) => FirstStep::Raised(error),
        };
        let outcome = match step {
            FirstStep::Returned(value) => Ok(value.into_bound(py)),
            FirstStep::Raised(error) => Err(error),
            FirstStep::Suspended(task) => {
                let name = self.lent.borrow_mut().insert(conduit.clone().unbind()) | LENT;
                task.get().set_token(name);
                return self.lent(call, Some(task), conduit);
            }
        };
        self.come_back(guest, call, conduit, outcome, terms, output)
    }

    fn lent(&self, call: Call, task: Option<Py<NativeTask>>, conduit: Bound<'_, Conduit>) -> Reply<Running> {
        if task.is_some() && conduit.get().set_counted(true) {
            self.statistics.borrow_mut().in_flight += 1;
        }
        self.now_ns.set(monotonic_ns()); // as in `wait`
        let lease = Rc::clone(conduit.get().lease());
        Reply::Lent(Running { call, work: Work::Lent { task, conduit: conduit.unbind() } }, lease)
    }

    /// A borrower's coroutine has ended.
    #[inline(never)]
    fn come_back(
        &self,
        guest: &Guest,
        call: Call,
        conduit: Bound<'_, Conduit>,
        outcome: PyResult<Bound<'_, PyAny>>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let py = self.py();
        let lease = conduit.get().lease();
        if lease.is_finished() {
            if let Err(error) = outcome {
                self.blame(py, &call.request, error);
            }
            return match lease.settle(output) {
                Some(finish) => {
                    let is_kept = terms.keep_alive && finish.keep_alive && conduit.get().is_kept_alive();
                    lease.end();
                    self.note_finish(py, guest, &call, finish, terms);
                    drop(conduit.get().leave(py));
                    drop(conduit);
                    Request::recycle(py, call.request);
                    Reply::Done { closes: !is_kept }
                }
                None => self.lent(call, None, conduit), // a file is still to be sent
            };
        }
        if lease.is_begun() || lease.is_aborted() {
            if let Some(error) = self.tell_gone(py, conduit.get(), Some(&Why::Unfinished)) {
                let _ = guest.error.set(error);
            }
            if let Err(error) = outcome {
                self.blame(py, &call.request, error);
            }
            return Reply::Cut;
        }
        let terms = Terms { keep_alive: terms.keep_alive && conduit.get().is_kept_alive(), ..terms };
        lease.settle(output);
        match outcome {
            Ok(value) => self.respond_lent(guest, call, conduit, value, terms, output),
            Err(error) => {
                lease.end();
                drop(conduit.get().leave(py));
                self.fail(py, guest, call, error, terms, output)
            }
        }
    }

    /// Answer with what a borrower returned who has begun no answer himself.
    fn respond_lent(
        &self,
        guest: &Guest,
        call: Call,
        conduit: Bound<'_, Conduit>,
        value: Bound<'_, PyAny>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let py = self.py();
        match self.write(py, &call, &value, terms, output) {
            None => Reply::Cut,
            Some(Wrote::Whole(written)) => {
                conduit.get().lease().end();
                drop(conduit.get().leave(py));
                Reply::Done { closes: self.note_written(py, guest, &call, written, terms) }
            }
            Some(Wrote::Pieces(answer)) => {
                let coroutine = self.stream(py, call.request.bind(py).as_any(), &answer, &conduit);
                self.step_into(guest, call, conduit, coroutine, terms, output)
            }
        }
    }

    /// The task of a lent exchange has ended: the conduit, when the name is of one.
    pub fn take_lent<'py>(&self, py: Python<'py>, name: Token) -> Option<Bound<'py, Conduit>> {
        if name & LENT == 0 {
            return None;
        }
        let conduit = self.lent.borrow_mut().remove(name & !LENT)?.into_bound(py);
        self.uncount(conduit.get());
        Some(conduit)
    }

    /// Nobody waits for a handler any more, or it has ended.
    fn uncount(&self, conduit: &Conduit) {
        if conduit.set_counted(false) {
            self.statistics.borrow_mut().in_flight -= 1;
        }
    }

    /// Whether a name is of the task of a lent exchange.
    pub const fn is_lent(name: Token) -> bool {
        name & LENT != 0
    }

    /// Answer with what the handler of a lent exchange came to, which nobody has answered yet.
    #[inline(never)]
    pub fn conclude_lent(
        &self,
        py: Python<'_>,
        guest: &Guest,
        running: Running,
        outcome: PyResult<Bound<'_, PyAny>>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let Running { call, work } = running;
        let Work::Lent { conduit, .. } = work else { return Reply::Cut };
        if let Err(error) = &outcome
            && is_interrupt(py, error)
        {
            return Reply::Cut; // told to the loop by the step that raised it
        }
        self.come_back(guest, call, conduit.into_bound(py), outcome, terms, output)
    }

    /// A borrower wrote his whole answer: count and log it; true when the connection ends.
    pub(super) fn finish_lent(
        &self,
        py: Python<'_>,
        guest: &Guest,
        running: Running,
        finish: Finish,
        terms: Terms,
    ) -> bool {
        self.note_finish(py, guest, &running.call, finish, terms);
        if let Work::Lent { conduit, .. } = &running.work {
            drop(conduit.get().leave(py));
        }
        !(terms.keep_alive && finish.keep_alive)
    }

    fn note_finish(&self, py: Python<'_>, guest: &Guest, call: &Call, finish: Finish, terms: Terms) {
        let content = if call.is_head { 0 } else { finish.content_bytes as usize };
        self.note(py, guest, Some(&call.request), finish.status, content, terms);
    }

    /// The connection of a lent exchange is gone, or answered by somebody else: tell the receiver, and cancel the
    /// handler unless it outlives its client. What the exchange was aborted with.
    pub(super) fn end_lent(
        &self,
        py: Python<'_>,
        conduit: &Conduit,
        task: Option<Py<NativeTask>>,
        why: Option<&Why>,
    ) -> Option<Py<PyAny>> {
        let given = self.tell_gone(py, conduit, why);
        if !conduit.outlives()
            && let Some(task) = task
        {
            self.uncount(conduit);
            self.keep(task.get().cancel(py, None).err());
        }
        given
    }

    fn tell_gone(&self, py: Python<'_>, conduit: &Conduit, why: Option<&Why>) -> Option<Py<PyAny>> {
        conduit.lease().end();
        let (receiver, given) = conduit.leave(py);
        let (kind, status, text) = words_of(why);
        let arguments = (conduit.request(), receiver, kind, status, text, given.as_ref());
        if let Err(error) = self.desk.call_method1(py, intern!(py, "tell_gone"), arguments) {
            self.blame(py, conduit.request(), error);
        }
        given.map(Bound::unbind)
    }

    /// Log what somebody raised whom nobody waits for.
    pub fn blame(&self, py: Python<'_>, request: &Py<Request>, error: PyErr) {
        if is_interrupt(py, &error) {
            return self.keep(Some(error));
        }
        if error.is_instance_of::<PyException>(py) {
            let told = self.desk.call_method1(py, intern!(py, "log_failure"), (request, error));
            self.keep(told.err());
        }
    }

    /// What a receiver is told of a fault.
    ///
    /// # Errors
    /// Python has no memory.
    pub fn content_error<'py>(&self, py: Python<'py>, fault: &Fault) -> PyResult<Bound<'py, PyAny>> {
        let arguments = (fault.status, fault.reason.as_ref());
        self.desk.bind(py).call_method1(intern!(py, "content_error"), arguments)
    }

    /// See `Conduit.date_line`.
    pub fn date_line<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.date.borrow().as_bytes())
    }

    /// Where rare things are asked.
    pub fn desk<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.desk.bind(py)
    }
}
