//! Paths cut into segments, and percent-encoding undone.
//!
//! A path is cut first and decoded then, so that `%2F` never makes a segment. What does not decode to UTF-8 is
//! text to nobody, and is refused as a whole.
//!
//! Spec: RFC 3986 §2.1, §3.3

use crate::head::Span;

/// Cut a path as it was sent, and decode each segment.
///
/// Args:
///     path: without the query.
///     segments: where the segments go (`/` has one, empty; `/a/` has two); it is cleared first.
///     decoded: filled only when the path has an escape: the decoded segments, each with a `/` before it.
///
/// Returns: whether the segments are pieces of `decoded` rather than of the path; None when the path does not
/// start with `/`, has a malformed escape or is not UTF-8 (overlong forms and surrogates included).
pub fn split(path: &[u8], segments: &mut Vec<Span>, decoded: &mut Vec<u8>) -> Option<bool> {
    segments.clear();
    let (b'/', rest) = path.split_first()? else { return None };
    let mut start = 1;
    let mut seen = 0;
    let mut has_escape = false;
    for (index, &byte) in rest.iter().enumerate() {
        seen |= byte;
        if byte == b'/' {
            segments.push(Span { start, end: index as u32 + 1 });
            start = index as u32 + 2;
        }
        has_escape |= byte == b'%';
    }
    segments.push(Span { start, end: path.len() as u32 });
    if !has_escape {
        return (seen < 0x80 || std::str::from_utf8(path).is_ok()).then_some(false);
    }
    decoded.clear();
    for segment in segments.iter_mut() {
        decoded.push(b'/');
        let start = decoded.len() as u32;
        decode(segment.of(path), decoded)?;
        *segment = Span { start, end: decoded.len() as u32 };
    }
    // The slashes between segments keep a sequence from being completed by the next segment.
    std::str::from_utf8(decoded).ok().map(|_| true)
}

/// Append a text with its escapes undone; None when one is malformed.
fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    while let Some(escape) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(&rest[..escape]);
        let &[high, low] = rest[escape + 1..].first_chunk()?;
        out.push(hex(high)? << 4 | hex(low)?);
        rest = &rest[escape + 3..];
    }
    out.extend_from_slice(rest);
    Some(())
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_path(path: &[u8]) -> Option<Vec<String>> {
        let (mut segments, mut decoded) = (vec![Span::default()], b"of an earlier path".to_vec());
        let is_decoded = split(path, &mut segments, &mut decoded)?;
        let text = if is_decoded { &decoded } else { path };
        Some(segments.iter().map(|segment| String::from_utf8(segment.of(text).to_vec()).unwrap()).collect())
    }

    #[test]
    fn a_path_is_cut_before_it_is_decoded() {
        for (path, segments) in [
            ("/", &[""][..]),
            ("/a", &["a"]),
            ("/a/", &["a", ""]),
            ("//a", &["", "a"]),
            ("/a%2Fb/c", &["a/b", "c"]),
            ("/a%2fb", &["a/b"]),
            ("/caf%C3%A9", &["café"]),
            ("/café", &["café"]),
            ("/%2E%2E/x", &["..", "x"]),
            ("/a+b", &["a+b"]),
            ("/a%00b", &["a\0b"]),
            ("/%252F", &["%2F"]),
            ("/%41%42/%43/", &["AB", "C", ""]),
        ] {
            assert_eq!(Some(segments.iter().map(ToString::to_string).collect()), split_path(path.as_bytes()));
        }
    }

    #[test]
    fn what_is_not_text_has_no_segments() {
        for path in ["", "*", "a/b", "http://a/", "/%", "/%4", "/%zz", "/%%41", "/a%4", "/%u0041", "/% 41"] {
            assert_eq!(None, split_path(path.as_bytes()), "{path}");
        }
        for path in [
            "/%FF",
            "/%C3",
            "/%C3/%A9",
            "/%A9",
            "/%C0%AF",
            "/%E0%80%AF",
            "/%ED%A0%80",
            "/%F4%90%80%80",
            "/%+41",
        ] {
            assert_eq!(None, split_path(path.as_bytes()), "{path}");
        }
        assert_eq!(None, split_path(b"/\xFF"));
        assert_eq!(None, split_path(b"/\xFF/%41"));
        assert_eq!(None, split_path(b"/\xC3/\xA9"));
    }
}
