//! From what a handler gave to bytes, counted and logged.

use pyo3::intern;
use pyo3::prelude::*;
use rocket_core::clock::monotonic_ns;
use rocket_core::http1::Terms;

use super::{Call, Guest, PyApp};
use crate::answers::Answering;
use crate::request::Request;

impl PyApp {
    /// Write an answer: true when the connection ends after it.
    pub(super) fn respond(
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
            let host = guest.host.get_or_init(|| guest.client.host(py));
            let full = journal.borrow_mut().append(host, request, status, content, duration_s);
            if full {
                let told = self.desk.call_method0(py, intern!(py, "flush_log"));
                self.keep(told.err());
            }
        }
    }
}
