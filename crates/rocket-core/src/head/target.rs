//! The four forms of a request target, and which method takes which.
//!
//! Specified in RFC 9112 §3.2.

use super::{Lines, Path, Span, host};
use crate::fault::Fault;

/// Path, query, and of absolute-form the authority, not yet checked.
#[inline]
pub(super) fn read(data: &[u8], lines: &Lines<'_>) -> Result<(Path, Span, Option<Span>), Fault> {
    let whole = lines.target;
    let (start, end) = (whole.start as usize, whole.end as usize);
    let target = &data[start..end];
    if lines.method.of(data) == b"CONNECT" {
        if host::port_of(target).is_none_or(<[u8]>::is_empty) {
            return Err(Fault::bad("CONNECT takes host:port as its target (RFC 9112 §3.2.3)"));
        }
        return Ok((Path::Sent(whole), Span::default(), None));
    }
    if lines.has_fragment {
        return Err(Fault::bad("a fragment in the request target (RFC 9112 §3.2)"));
    }
    let path_end = lines.question.unwrap_or(end);
    let query = lines.question.map_or(Span::default(), |question| Span::new(question + 1, end));
    if target[0] == b'/' {
        return Ok((Path::Sent(Span::new(start, path_end)), query, None));
    }
    let is_options = lines.method.of(data) == b"OPTIONS";
    if target == b"*" {
        if !is_options {
            return Err(Fault::bad("the target * is for OPTIONS only (RFC 9112 §3.2.4)"));
        }
        return Ok((Path::Sent(whole), query, None));
    }
    let Some(scheme) = scheme_length(target) else {
        return Err(Fault::bad("the request target has no form that this method allows (RFC 9112 §3.2)"));
    };
    let authority_start = start + scheme;
    let slash = memchr::memchr(b'/', &data[authority_start..path_end]).map(|index| authority_start + index);
    let path = match slash {
        Some(slash) => Path::Sent(Span::new(slash, path_end)),
        None if is_options && lines.question.is_none() => Path::Asterisk,
        None => Path::Root,
    };
    Ok((path, query, Some(Span::new(authority_start, slash.unwrap_or(path_end)))))
}

/// Bytes of `http://` or `https://` in any letter case.
fn scheme_length(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}
