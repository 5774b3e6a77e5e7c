//! Bytes that are no head: not complete yet, or never to become one, and why.
//!
//! A peer's mistake is answered at once and not when its deadline passes.

use memchr::memmem;

use super::{CRLF, HEAD_END};
use crate::fault::Fault;
use crate::limits::Limits;
use crate::octets;

/// Look for the end of a head: the index of its final CRLF CRLF; refuse at once what can never become one.
///
/// `start` is where the head begins. What was `scanned` in an earlier call is looked at again only as far as
/// the end could lie across.
#[cold]
pub(super) fn find_end(
    data: &[u8],
    start: usize,
    limits: &Limits,
    scanned: usize,
) -> Result<Option<usize>, Fault> {
    let resume = start.max(scanned.saturating_sub(HEAD_END.len() - 1));
    let end = memmem::find(&data[resume..], HEAD_END).map(|index| resume + index);
    let until = end.unwrap_or(data.len());
    // A line of exactly the limit may have its CR already and its LF not yet. And when more than that was
    // scanned, the earlier call found the end of the line.
    let allowed = limits.request_line + usize::from(data.ends_with(b"\r"));
    if data.len() - start > allowed && scanned <= start + limits.request_line + 1 {
        let enough = data.len().min(start + limits.request_line + CRLF.len());
        if octets::find_crlf(&data[start..enough]).is_none() {
            return Err(line_too_long(limits));
        }
    }
    if octets::has_forbidden(&data[..until], resume) {
        return Err(Fault::bad("a bare CR, bare LF or control character in the head (RFC 9112 §2.2)"));
    }
    let final_bytes = if end.is_some() { HEAD_END.len() } else { 0 };
    if until - start + final_bytes > limits.head {
        return Err(head_too_large(limits));
    }
    Ok(end)
}

/// Say why a complete head without forbidden bytes does not match the grammar; `head` is without its end.
#[cold]
pub(super) fn explain(head: &[u8]) -> Fault {
    let line_end = octets::find_crlf(head).unwrap_or(head.len());
    let (line, mut rest) = head.split_at(line_end);
    if let Some(fault) = explain_line(line) {
        return fault;
    }
    while let Some(after) = rest.strip_prefix(CRLF) {
        let end = octets::find_crlf(after).unwrap_or(after.len());
        if let Some(fault) = explain_field(&after[..end]) {
            return fault;
        }
        rest = &after[end..];
    }
    Fault::bad("the head does not follow the grammar (RFC 9112 §2.1)")
}

fn explain_line(line: &[u8]) -> Option<Fault> {
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Some(Fault::bad("not a request line: method SP target SP version (RFC 9112 §3)"));
    };
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']);
    if version.starts_with(b"HTTP/") && !is_version {
        return Some(Fault::bad("the protocol version is not HTTP/d.d (RFC 9112 §2.3)"));
    }
    let is_target = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    if octets::is_token(method) && is_target && is_version {
        return None;
    }
    Some(Fault::bad("not a request line: method SP target SP version (RFC 9112 §3)"))
}

fn explain_field(field: &[u8]) -> Option<Fault> {
    if let [b' ' | b'\t', ..] = field {
        return Some(Fault::bad("a field line begins with a blank (RFC 9112 §2.2, §5.2)"));
    }
    let colon = memchr::memchr(b':', field);
    let name = &field[..colon.unwrap_or(field.len())];
    if colon.is_none() || !octets::is_token(name) {
        if let [.., b' ' | b'\t'] = name {
            return Some(Fault::bad("a blank between field name and colon (RFC 9112 §5.1)"));
        }
        return Some(Fault::bad("a field name is not a token, or has no colon (RFC 9112 §5)"));
    }
    if !octets::is_field_line(field) {
        return Some(Fault::bad("a field value holds a control character (RFC 9110 §5.5)"));
    }
    None
}

/// 414.
#[cold]
pub(super) fn line_too_long(limits: &Limits) -> Fault {
    let allowed = limits.request_line;
    Fault::with_limit(414, format!("the request line is longer than {allowed} bytes (RFC 9112 §3)"))
}

/// 431.
#[cold]
pub(super) fn head_too_large(limits: &Limits) -> Fault {
    let (allowed, headers) = (limits.head, limits.headers);
    Fault::with_limit(
        431,
        format!("the head is larger than {allowed} bytes or {headers} fields (RFC 6585 §5)"),
    )
}
