//! What a request is and where it ends: decided strictly, once, before anything is believed.
//!
//! `parse_head` reads a head in one pass: request line, field lines, and on the way the few fields that decide
//! about framing, persistence and validity. It matches the grammar as a whole or is refused; there is no
//! repairing. Only bytes that do not match are looked at again, to tell a head that is not complete yet from
//! one that can never become valid (`refusal`). The portable engine's `http/framing.py` decides the same, in
//! the same words. Specified in RFC 9112 §2-6, RFC 9110 §7.2, §8.6, §10.1.1.

use crate::controls::Controls;
use crate::fault::Fault;
use crate::limits::Limits;
use crate::octets::{self, PATH, QUERY, TARGET, TOKEN};

mod decisive;
mod host;
mod refusal;
mod target;

use decisive::Decisive;

/// Ends a line.
pub(crate) const CRLF: &[u8] = b"\r\n";
/// Ends a head.
pub(crate) const HEAD_END: &[u8] = b"\r\n\r\n";

/// A piece of the bytes that a head was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u32,
    /// Index after the last byte.
    pub end: u32,
}

impl Span {
    /// From indices; a head is far shorter than 4 GiB.
    #[inline(always)]
    const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes it stands for.
    pub fn of<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.start as usize..self.end as usize]
    }
}

/// How the content of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is none (or Content-Length: 0).
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// The path of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// As received, still percent-encoded; of CONNECT the authority, of `OPTIONS *` the asterisk.
    Sent(Span),
    /// Absolute-form without a path: "/".
    Root,
    /// OPTIONS in absolute-form without path and query: "*".
    Asterisk,
}

/// One valid request head. Spans count from the start of the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// As received.
    pub method: Span,
    /// As received.
    pub target: Span,
    /// Of the target.
    pub path: Path,
    /// Of the target, without the question mark; empty when there is none.
    pub query: Span,
    /// Minor version: 0 or 1; a higher one is served as 1 (RFC 9110 §2.5).
    pub minor: u8,
    /// The field lines as received, each preceded by CRLF; without the CRLF that ends the last.
    pub fields: Span,
    /// Of absolute-form: replaces the Host field (RFC 9112 §3.2.2).
    pub authority: Option<Span>,
    /// How its content is framed.
    pub content: Content,
    /// The client wants the connection to go on.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends the content; never without content.
    pub expects_continue: bool,
    /// It expects something nobody promised.
    pub unmet_expectation: bool,
    /// Index of the first byte after the head.
    pub end: usize,
}

/// Read one request head.
///
/// `data` begins with it; one empty line before it is skipped (RFC 9112 §2.2). `scanned` is how many of these
/// bytes an earlier call saw without an end of a head in them, so that dripping bytes do not cost a scan each;
/// 0 at first. Gives None when the head is not complete and may still become valid.
///
/// # Errors
/// It is not, or can never become, a valid head; the status says which answer is due.
///
/// Spec: RFC 9112 §3, §5, §6
pub fn parse_head(data: &[u8], limits: &Limits, scanned: usize) -> Result<Option<Head>, Fault> {
    let start = if data.starts_with(CRLF) { CRLF.len() } else { 0 };
    if scanned > 0 && refusal::find_end(data, start, limits, scanned)?.is_none() {
        return Ok(None);
    }
    match read(data, start) {
        Some(lines) => decide(data, start, limits, &lines).map(Some),
        None => match refusal::find_end(data, start, limits, scanned)? {
            Some(end) => Err(refusal::explain(&data[start..end])),
            None => Ok(None),
        },
    }
}

/// The value of the first field of this name, letter case aside, without blanks around it.
///
/// `fields` are field lines as in `Head::fields`.
pub fn find_field<'a>(fields: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let name = name.as_bytes();
    let mut lines = memchr::memchr_iter(b'\r', fields);
    while let Some(line) = lines.next() {
        let (start, colon) = (line + CRLF.len(), line + CRLF.len() + name.len());
        if fields.get(colon) == Some(&b':') && fields[start..colon].eq_ignore_ascii_case(name) {
            let end = lines.next().unwrap_or(fields.len());
            return Some(octets::trim(&fields[colon + 1..end]));
        }
    }
    None
}

/// Names and values of field lines as received, in order; blanks around a value are no part of it.
pub fn each_field(fields: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        start += CRLF.len();
        let line = fields.get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\r', line).unwrap_or(line.len());
        let colon = memchr::memchr(b':', &line[..end])?;
        start += end;
        Some((&line[..colon], octets::trim(&line[colon + 1..end])))
    })
}

/// A head that matches the grammar, before anything is decided about it.
struct Lines<'a> {
    method: Span,
    target: Span,
    /// Index of the target's first question mark, and whether there is a fragment.
    question: Option<usize>,
    has_fragment: bool,
    major: u8,
    minor: u8,
    fields: Span,
    count: usize,
    decisive: Decisive<'a>,
    end: usize,
}

/// Match the grammar, in one pass; None when the bytes do not match, for whatever reason.
#[inline]
fn read(data: &[u8], start: usize) -> Option<Lines<'_>> {
    let method_end = octets::skip(data, start, TOKEN);
    if method_end == start || *data.get(method_end)? != b' ' {
        return None;
    }
    let target_start = method_end + 1;
    let mut target_end = octets::skip(data, target_start, PATH);
    let mut question = None;
    if data.get(target_end) == Some(&b'?') {
        question = Some(target_end);
        target_end = octets::skip(data, target_end, QUERY);
    }
    let has_fragment = data.get(target_end) == Some(&b'#');
    if has_fragment {
        target_end = octets::skip(data, target_end, TARGET);
    }
    if target_end == target_start {
        return None;
    }
    let &[b' ', b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] =
        data.get(target_end..target_end + 9)?
    else {
        return None;
    };
    let line_end = target_end + 9;
    let mut controls = Controls::new(data, line_end);
    let mut decisive = Decisive::new(minor == b'0');
    let mut position = controls.next()?;
    if position != line_end {
        return None;
    }
    let mut count = 0;
    loop {
        let name_start = position + CRLF.len();
        controls.next()?;
        if data.get(position..name_start)? != CRLF {
            return None;
        }
        let name_end = octets::skip_name(data, name_start);
        if name_end == name_start {
            if data.get(name_start..name_start + CRLF.len())? != CRLF {
                return None;
            }
            return Some(Lines {
                method: Span::new(start, method_end),
                target: Span::new(target_start, target_end),
                question,
                has_fragment,
                major,
                minor,
                fields: Span::new(line_end, position),
                count,
                decisive,
                end: name_start + CRLF.len(),
            });
        }
        if *data.get(name_end)? != b':' {
            return None;
        }
        position = controls.next()?;
        while data[position] == b'\t' {
            position = controls.next()?;
        }
        count += 1;
        decisive.take(&data[name_start..name_end], &data[name_end + 1..position]);
    }
}

/// Hold a head against the limits and the rules; the order decides which of several faults is told.
#[inline]
fn decide(data: &[u8], start: usize, limits: &Limits, lines: &Lines<'_>) -> Result<Head, Fault> {
    if lines.fields.start as usize - start > limits.request_line {
        return Err(refusal::line_too_long(limits));
    }
    if lines.end - start > limits.head || lines.count > limits.headers {
        return Err(refusal::head_too_large(limits));
    }
    if lines.major != b'1' {
        return Err(Fault::new(505, "only HTTP/1.x is spoken here (RFC 9110 §15.6.6)"));
    }
    let (path, query, authority) = target::read(data, lines)?;
    let decisive = &lines.decisive;
    decisive.check_host(authority.map(|authority| authority.of(data)))?;
    let content = decisive.content()?;
    Ok(Head {
        method: lines.method,
        target: lines.target,
        path,
        query,
        minor: u8::from(lines.minor != b'0'),
        fields: lines.fields,
        authority,
        content,
        keep_alive: decisive.persists(),
        expects_continue: decisive.expects_continue && content != Content::None,
        unmet_expectation: decisive.unmet_expectation,
        end: lines.end,
    })
}
