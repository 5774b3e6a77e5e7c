//! From what a handler returned to the bytes of its answer, as `rocket_sup/exchange.py` writes them.
//!
//! The results that applications return all day are recognised by their exact types and written without a
//! Python object in between. Everything else, and everything wrong, goes through
//! `rocket_sup.response.answer_from`, which alone says what may become an answer. An answer is written when
//! it is known as a whole: after an error nothing of it is in the output.

use std::ptr;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple, PyType};
use pyo3::{ffi, intern};
use rocket_core::answer::{self, Answer, Connection, has_content, serialise, write_plain_200};

/// What one answer was, for counting, logging and closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// 200 to 999.
    pub status: u16,
    /// Bytes of content, as the access log tells them; none to HEAD.
    pub body_bytes: usize,
    /// It is the last answer of its connection.
    pub closes: bool,
}

/// What became of a result.
pub enum Wrote<'py> {
    /// Its answer stands in the output.
    Whole(Written),
    /// It is an answer whose content comes in pieces: nothing is written.
    Pieces(Bound<'py, PyAny>),
}

/// What an answer depends on besides the result of the handler.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// The Date field with its CRLF.
    pub date_line: &'a [u8],
    /// The connection goes on, unless the application wants it closed.
    pub keep_alive: bool,
    /// The request came over HTTP/1.0.
    pub is_1_0: bool,
    /// The request was HEAD.
    pub is_head: bool,
}

/// What turns results into answers; looked up once.
pub struct Answers {
    dumps: Py<PyAny>,
    answer_from: Py<PyAny>,
    answer_class: Py<PyType>,
}

impl Answers {
    /// Look up the Python functions.
    ///
    /// # Errors
    /// `rocket_sup` or orjson cannot be imported.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let response = py.import("rocket_sup.response")?;
        Ok(Self {
            dumps: py.import("orjson")?.getattr("dumps")?.unbind(),
            answer_from: response.getattr("answer_from")?.unbind(),
            answer_class: response.getattr("Answer")?.cast_into::<PyType>()?.unbind(),
        })
    }

    /// Append the answer that a result is. The result is no awaitable: those are awaited before.
    ///
    /// # Errors
    /// It cannot become an answer; `out` is as before.
    pub fn write<'py>(
        &self,
        py: Python<'py>,
        result: &Bound<'py, PyAny>,
        how: &Answering<'_>,
        out: &mut Vec<u8>,
    ) -> PyResult<Wrote<'py>> {
        if let Some(written) = self.try_plain(result, how, out)? {
            return Ok(Wrote::Whole(written));
        }
        let answer = match result.is_instance(self.answer_class.bind(py))? {
            true => result.clone(),
            false => self.answer_from.bind(py).call1((result,))?,
        };
        if !answer.getattr(intern!(py, "source"))?.is_none() {
            return Ok(Wrote::Pieces(answer));
        }
        self.write_answer(&answer, how, out).map(Wrote::Whole)
    }

    /// Append a `rocket_sup.response.Answer`.
    ///
    /// # Errors
    /// It is none; `out` is as before.
    pub fn write_answer(
        &self,
        answer: &Bound<'_, PyAny>,
        how: &Answering<'_>,
        out: &mut Vec<u8>,
    ) -> PyResult<Written> {
        let py = answer.py();
        let status = answer.getattr(intern!(py, "status"))?.extract()?;
        let fields = answer.getattr(intern!(py, "fields"))?.cast_into::<PyBytes>()?;
        let body = answer.getattr(intern!(py, "body"))?.cast_into::<PyBytes>()?;
        let closes: bool = answer.getattr(intern!(py, "closes"))?.extract()?;
        let has_date: bool = answer.getattr(intern!(py, "has_date"))?.extract()?;
        let length = match how.is_head {
            true => answer.getattr(intern!(py, "length"))?.extract()?,
            false => body.as_bytes().len() as u64,
        };
        let how = Answering {
            date_line: if has_date { b"" } else { how.date_line },
            keep_alive: how.keep_alive && !closes,
            ..*how
        };
        Ok(how.write(status, fields.as_bytes(), body.as_bytes(), length, out))
    }

    /// Append the answer if the exact type of the result says all about it.
    fn try_plain(
        &self,
        result: &Bound<'_, PyAny>,
        how: &Answering<'_>,
        out: &mut Vec<u8>,
    ) -> PyResult<Option<Written>> {
        if let Some(written) = self.try_body(200, result, how, out)? {
            return Ok(Some(written));
        }
        if result.is_none() {
            return Ok(Some(how.write(204, b"", b"", 0, out)));
        }
        if let Some(status) = status_of(result) {
            return Ok(Some(how.write(status, b"", b"", 0, out)));
        }
        let Ok(pair) = result.cast_exact::<PyTuple>() else {
            return Ok(None);
        };
        if pair.len() != 2 {
            return Ok(None);
        }
        let Some(status) = status_of(&pair.get_item(0)?) else {
            return Ok(None);
        };
        let body = pair.get_item(1)?;
        if body.is_none() {
            return Ok(Some(how.write(status, b"", b"", 0, out)));
        }
        self.try_body(status, &body, how, out)
    }

    /// Append an answer with this content, if its exact type says how it is encoded.
    fn try_body(
        &self,
        status: u16,
        body: &Bound<'_, PyAny>,
        how: &Answering<'_>,
        out: &mut Vec<u8>,
    ) -> PyResult<Option<Written>> {
        let written = if let Ok(text) = body.cast_exact::<PyString>() {
            how.write_content(status, answer::TEXT, text.to_str()?.as_bytes(), out)
        } else if body.is_exact_instance_of::<PyDict>() || body.is_exact_instance_of::<PyList>() {
            let json = self.json_of(body)?;
            how.write_content(status, answer::JSON, json.as_bytes(), out)
        } else if let Ok(bytes) = body.cast_exact::<PyBytes>() {
            how.write_content(status, answer::BINARY, bytes.as_bytes(), out)
        } else {
            return Ok(None);
        };
        Ok(Some(written))
    }

    /// Encode as JSON. `call1` would do the same, but makes a tuple first, which costs 25 of 190 ns.
    fn json_of<'py>(&self, document: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let end = ptr::null_mut::<ffi::PyObject>();
        // SAFETY: what is called and its argument are objects, and a null ends the arguments; what comes back
        // is a new reference, or null with an exception set.
        let json = unsafe {
            let json = ffi::PyObject_CallFunctionObjArgs(self.dumps.as_ptr(), document.as_ptr(), end);
            Bound::from_owned_ptr_or_err(document.py(), json)?
        };
        Ok(json.cast_into()?)
    }
}

impl Answering<'_> {
    /// Append an answer with content of a type; a status without content drops both.
    fn write_content(&self, status: u16, media_type: &[u8], body: &[u8], out: &mut Vec<u8>) -> Written {
        if status == 200 && self.keep_alive && !self.is_1_0 && !self.is_head {
            write_plain_200(out, self.date_line, media_type, body);
            return Written { status, body_bytes: body.len(), closes: false };
        }
        if !has_content(status) {
            return self.write(status, b"", b"", 0, out);
        }
        let field = [b"Content-Type: ", media_type, b"\r\n"].concat();
        self.write(status, &field, body, body.len() as u64, out)
    }

    fn write(&self, status: u16, fields: &[u8], body: &[u8], length: u64, out: &mut Vec<u8>) -> Written {
        let connection = match (self.keep_alive, self.is_1_0) {
            (false, _) => Connection::Close,
            (true, true) => Connection::Persist10,
            (true, false) => Connection::Persist,
        };
        let Self { date_line, is_head, .. } = *self;
        serialise(out, &Answer { status, date_line, fields, body, connection, is_head, length });
        Written { status, body_bytes: if is_head { 0 } else { body.len() }, closes: !self.keep_alive }
    }
}

/// A final status, if it is one: an `int` and nothing that only looks like one, as `bool` does.
fn status_of(value: &Bound<'_, PyAny>) -> Option<u16> {
    let status = value.cast_exact::<PyInt>().ok()?.extract().ok()?;
    (200..=999).contains(&status).then_some(status)
}
