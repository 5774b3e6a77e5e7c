//! From a head to the route that serves it, and what the connections ask of an application.

use std::rc::Rc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rocket_core::fault::Fault;
use rocket_core::head::{Head, Path};
use rocket_core::http1::{App, Finish, Intake, Lease, News, Reply, Terms, Why};

use super::lending::Borrower;
use super::{Asked, Call, Decision, Guest, Manner, PyApp, Running, Wants, Work};
use crate::answers::{Answering, Wrote};
use crate::request::Request;

impl PyApp {
    pub(super) fn call_of(&self, py: Python<'_>, guest: &Guest, data: &[u8], head: &Head) -> PyResult<Call> {
        let request = Request::new(py, data, head, &guest.client)?;
        Ok(Call { request, is_head: head.method.of(data) == b"HEAD", is_1_0: head.minor == 0 })
    }

    /// Find the route of a request, or what answers it.
    pub(super) fn decide<'py>(
        &self,
        py: Python<'py>,
        data: &[u8],
        head: &Head,
        call: &Call,
    ) -> PyResult<Decision<'py>> {
        if !self.has_pre_routing {
            if let Some(route) = &self.sole_route
                && head.method.of(data) != b"CONNECT"
            {
                return Ok(Decision::Route(Rc::clone(route)));
            }
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

    pub(super) fn py(&self) -> Python<'_> {
        // SAFETY: connections are served by `Reactor`'s methods alone, which Python calls.
        unsafe { Python::assume_attached() }
    }
}

impl PyApp {
    fn tear_down(&self, py: Python<'_>, guest: &Guest, why: Option<&Why>) -> PyResult<()> {
        let (kind, status, text) = words_of(why);
        let arguments = (guest.client.name(py)?, kind, status, text, guest.error.get());
        self.desk.call_method1(py, intern!(py, "tear_down"), arguments)?;
        Ok(())
    }
}

/// What the desk is told of an end.
pub(super) fn words_of(why: Option<&Why>) -> (&'static str, i32, &str) {
    match why {
        None => ("", 0, ""),
        Some(Why::Fault(fault)) => ("fault", i32::from(fault.status), fault.reason.as_ref()),
        Some(Why::Unread) => ("unread", 0, ""),
        Some(Why::TooSlow) => ("slow", 0, ""),
        Some(Why::Broken(errno)) => ("broken", *errno, ""),
        Some(Why::Unfinished) => ("unfinished", 0, ""),
        Some(Why::Short) => ("short", 0, ""),
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
            Ok(Decision::Answer(answer)) => self.respond(py, guest, call, &answer, terms, output),
            Ok(Decision::Drop) => Reply::Drop,
            Err(error) => self.fail(py, guest, call, error, terms, output),
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
                let is_lent = route.manner == Manner::Conduit;
                let asked = Asked { call, wants: Wants::Route(route) };
                return if is_lent {
                    Intake::Lent { asked, max_body }
                } else {
                    Intake::Wanted { asked, max_body }
                };
            }
            Ok(Decision::Drop) => return Intake::Drop,
            Ok(Decision::Answer(answer)) => Some(answer),
            Err(error) => self.failed(py, &call, error),
        };
        let Some(answer) = answer else { return Intake::Drop };
        match self.write(py, &call, &answer, terms, output) {
            None => Intake::Drop,
            Some(Wrote::Whole(written)) => {
                Intake::Answered { closes: self.note_written(py, guest, &call, written, terms) }
            }
            Some(Wrote::Pieces(answer)) => {
                let asked = Asked { call, wants: Wants::Answer(answer.unbind()) };
                Intake::Lent { asked, max_body: u64::MAX }
            }
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
        let Asked { call, wants: Wants::Route(route) } = asked else { return Reply::Drop };
        call.request.get().set_content(PyBytes::new(py, content));
        self.run(py, guest, &route, call, terms, output)
    }

    fn lend(
        &self,
        guest: &mut Guest,
        asked: Asked,
        lease: &Rc<Lease>,
        terms: Terms,
        output: &mut Vec<u8>,
    ) -> Reply<Running> {
        let Asked { call, wants } = asked;
        match &wants {
            Wants::Route(route) => {
                self.record_flight(&call);
                self.lend_to(guest, Borrower::Route(route), call, lease, terms, output)
            }
            Wants::Answer(answer) => {
                self.lend_to(guest, Borrower::Answer(answer), call, lease, terms, output)
            }
        }
    }

    fn tell(&self, running: &Running, news: News<'_>) {
        if let Work::Lent { conduit, .. } = &running.work {
            conduit.get().tell(self.py(), self, &news);
        }
    }

    fn finished(
        &self,
        guest: &mut Guest,
        running: Running,
        _lease: &Lease,
        finish: Finish,
        terms: Terms,
    ) -> bool {
        self.finish_lent(self.py(), guest, running, finish, terms)
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
        let refused = guest.client.name(py).and_then(|client| {
            let arguments = (fault.status, fault.reason.as_ref(), client);
            let answer = self.desk.bind(py).call_method1(intern!(py, "refuse"), arguments)?;
            let date = self.date.borrow();
            let how = Answering { date_line: date.as_bytes(), keep_alive: false, is_1_0: false, is_head };
            self.answers.write_answer(&answer, &how, output)
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
                if let Some(Wrote::Whole(written)) = self.write(py, &running.call, &answer, terms, output) {
                    self.note_written(py, guest, &running.call, written, terms);
                }
            }
            Err(error) => self.keep(Some(error)),
        }
        self.end(py, guest, running, Some(&Why::TooSlow));
    }

    fn closed(&self, guest: Guest, running: Option<Running>, why: Option<&Why>) {
        let py = self.py();
        if let Some(running) = running {
            self.end(py, &guest, running, why);
        }
        if self.has_teardown {
            self.keep(self.tear_down(py, &guest, why).err());
        }
        if self.is_telling.get() {
            self.keep(self.desk.call_method0(py, intern!(py, "on_closed")).err());
        }
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
