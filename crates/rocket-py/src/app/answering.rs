//! From what a handler gave to bytes, counted and logged.

use std::rc::Rc;

use pyo3::intern;
use pyo3::prelude::*;
use rocket_core::clock::monotonic_ns;
use rocket_core::http1::{Lease, Reply, Terms};

use super::lending::Borrower;
use super::{Call, Guest, PyApp, Running};
use crate::answers::{Answering, Written, Wrote};
use crate::request::Request;

impl PyApp {
    /// Write an answer, or begin to.
    pub(super) fn respond(
        &self,
        py: Python<'_>,
        guest: &Guest,
        call: Call,
        result: &Bound<'_, PyAny>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        match self.write(py, &call, result, terms, output) {
            None => Reply::Done { closes: true },
            Some(Wrote::Whole(written)) => {
                let closes = self.note_written(py, guest, &call, written, terms);
                Request::recycle(py, call.request);
                Reply::Done { closes }
            }
            Some(Wrote::Pieces(answer)) => self.send_pieces(guest, &answer.unbind(), call, terms, output),
        }
    }

    #[inline(never)]
    fn send_pieces(
        &self,
        guest: &Guest,
        answer: &Py<PyAny>,
        call: Call,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let lease = Rc::new(Lease::whole(terms.started_ns));
        self.lend_to(guest, Borrower::Answer(answer), call, &lease, terms, output)
    }

    /// Write an answer that is whole; None when something has to leave the engine.
    pub(super) fn write<'py>(
        &self,
        py: Python<'py>,
        call: &Call,
        result: &Bound<'py, PyAny>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Option<Wrote<'py>> {
        let date = self.date.borrow();
        let how = Answering {
            date_line: date.as_bytes(),
            keep_alive: terms.keep_alive,
            is_1_0: call.is_1_0,
            is_head: call.is_head,
        };
        let written = self.answers.write(py, result, &how, output).or_else(|error| {
            let Some(answer) = self.failed(py, call, error) else { return Err(None) };
            self.answers.write(py, &answer, &how, output).map_err(Some)
        });
        written.map_err(|error| self.keep(error)).ok()
    }

    /// Count and log an answer that is whole: true when the connection ends after it.
    pub(super) fn note_written(
        &self,
        py: Python<'_>,
        guest: &Guest,
        call: &Call,
        written: Written,
        terms: Terms,
    ) -> bool {
        let content = if call.is_head { 0 } else { written.body_bytes };
        self.note(py, guest, Some(&call.request), written.status, content, terms);
        written.closes || !terms.keep_alive
    }

    /// Count and log one answer.
    pub(super) fn note(
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
            let announced = request.and_then(|request| request.announced_host(py));
            let host =
                announced.as_deref().unwrap_or_else(|| guest.host.get_or_init(|| guest.client.host(py)));
            let full = journal.borrow_mut().append(host, request, status, content, duration_s);
            if full {
                let told = self.desk.call_method0(py, intern!(py, "flush_log"));
                self.keep(told.err());
            }
        }
    }
}
