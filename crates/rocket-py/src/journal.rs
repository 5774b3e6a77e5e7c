//! The access log of a native wire: lines are written here, and taken from here to be put into their file.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use rocket_core::accesslog::{Facts, Format, Lines, Version};
use rocket_core::head::find_field;

use crate::request::Request;

/// Lines are handed on when there are so many bytes of them.
const FULL: usize = 1 << 16;

/// Lines that nobody took yet.
pub struct Journal {
    lines: Lines,
    text: Vec<u8>,
}

impl Journal {
    /// The journal of a desk; None when nothing is to be logged.
    ///
    /// # Errors
    /// The desk has no such format.
    pub fn of(desk: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let format = match desk.getattr("access_format")?.extract::<String>()?.as_str() {
            "" => return Ok(None),
            "json" => Format::Json,
            _ => Format::Combined,
        };
        Ok(Some(Self { lines: Lines::new(format), text: Vec::with_capacity(FULL) }))
    }

    /// Note one answered request; without a request when it could not be read. True when it is time to take
    /// the lines.
    pub fn append(
        &mut self,
        host: &str,
        request: Option<&Request>,
        status: u16,
        content: usize,
        duration_s: f64,
    ) -> bool {
        let mut facts = Facts {
            unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            host: host.as_bytes(),
            method: b"-",
            target: b"-",
            version: Version::Unknown,
            status,
            body_bytes: content as u64,
            duration_s,
            referer: b"",
            user_agent: b"",
        };
        if let Some(request) = request {
            let head = request.head();
            let fields = request.bytes_of(head.fields);
            facts.method = request.bytes_of(head.method);
            facts.target = request.bytes_of(head.target);
            facts.version = if head.minor == 0 { Version::Http10 } else { Version::Http11 };
            facts.referer = find_field(fields, "referer").unwrap_or_default();
            facts.user_agent = find_field(fields, "user-agent").unwrap_or_default();
        }
        self.lines.append(&mut self.text, &facts);
        self.text.len() >= FULL
    }

    /// Take the lines.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::replace(&mut self.text, Vec::with_capacity(FULL))
    }
}
