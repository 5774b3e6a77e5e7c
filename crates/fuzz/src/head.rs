//! Heads: an accepted one is what the standard says, and how it arrived makes no difference.

use rocket_core::head::{Content, Head, Path, find_field, parse_head};

use crate::input::Input;

/// Panics when something does not hold.
pub fn check(input: &[u8]) {
    let input = Input::new(input);
    let (data, limits) = (input.data, &input.limits);
    let whole = parse_head(data, limits, 0);
    if let Ok(Some(head)) = &whole {
        assert!(head.end - empty_line(data) <= limits.head);
        check_accepted(data, head);
    }
    let mut scanned = 0;
    for piece in input.pieces() {
        let arrived = &data[..scanned + piece.len()];
        let found = parse_head(arrived, limits, scanned);
        assert_eq!(parse_head(arrived, limits, 0), found, "what was scanned before decides nothing");
        match found {
            Ok(None) => scanned = arrived.len(),
            Ok(Some(head)) => {
                assert_eq!(Ok(Some(head)), whole, "what follows a head decides nothing");
                return;
            }
            Err(fault) => {
                assert!(matches!(fault.status, 400 | 413 | 414 | 431 | 501 | 505), "{fault:?}");
                assert!(fault.reason.contains("RFC "), "{fault:?}");
                assert!(!matches!(whole, Ok(Some(_))), "a part of a valid head is refused: {fault:?}");
                return;
            }
        }
    }
    assert_eq!(Ok(None), whole);
}

fn empty_line(data: &[u8]) -> usize {
    if data.starts_with(b"\r\n") { 2 } else { 0 }
}

/// The grammar once more, written for plainness and not for speed.
fn check_accepted(data: &[u8], head: &Head) {
    let text = &data[empty_line(data)..head.end];
    let lines: Vec<&[u8]> =
        text.strip_suffix(b"\r\n\r\n").expect("an end").split(|&byte| byte == b'\n').collect();
    let (first, fields) = lines.split_first().expect("a request line");
    let version = if head.minor == 0 { "HTTP/1.0" } else { "HTTP/1.x" };
    let parts = [head.method.of(data), head.target.of(data), version.as_bytes()].join(&b' ');
    let line = if fields.is_empty() { *first } else { first.strip_suffix(b"\r").expect("CRLF") };
    assert_eq!(parts.len(), line.len());
    assert!(line.starts_with(&parts[..parts.len() - 1]));
    assert!(is_token(head.method.of(data)));
    assert!(!head.target.of(data).is_empty() && head.target.of(data).iter().all(u8::is_ascii_graphic));
    let joined: Vec<u8> = fields.iter().flat_map(|field| [b"\n", *field].concat()).collect();
    assert_eq!(head.fields.of(data), if fields.is_empty() { vec![] } else { [b"\r", &joined[..]].concat() });
    check_fields(data, head, fields);
    let path = match head.path {
        Path::Sent(span) => span.of(data),
        Path::Root => b"/",
        Path::Asterisk => b"*",
    };
    assert!(!path.is_empty() && (head.method.of(data) == b"CONNECT" || !path.contains(&b'?')));
    assert!(!head.query.of(data).contains(&b'#'));
    assert!(head.authority.is_none_or(|authority| !authority.of(data).is_empty()));
}

fn check_fields(data: &[u8], head: &Head, fields: &[&[u8]]) {
    let mut lengths = 0;
    let mut codings = 0;
    let mut hosts = 0;
    for field in fields {
        let field = field.strip_suffix(b"\r").unwrap_or(field);
        let colon = field.iter().position(|&byte| byte == b':').expect("a colon");
        let (name, value) = (&field[..colon], &field[colon + 1..]);
        assert!(is_token(name));
        assert!(value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)), "{value:?}");
        let name = str::from_utf8(name).expect("ASCII");
        let first = find_field(head.fields.of(data), &name.to_ascii_uppercase()).expect("it is there");
        assert_eq!(first.trim_ascii(), first);
        lengths += usize::from(name.eq_ignore_ascii_case("content-length"));
        codings += usize::from(name.eq_ignore_ascii_case("transfer-encoding"));
        hosts += usize::from(name.eq_ignore_ascii_case("host"));
    }
    assert!(hosts == 1 || (hosts == 0 && head.minor == 0));
    assert!(lengths + codings <= 1);
    match head.content {
        Content::None => assert_eq!((0, false), (codings, head.expects_continue)),
        Content::Length(length) => assert!(lengths == 1 && length > 0 && length < 1 << 63),
        Content::Chunked => assert_eq!((1, 1), (codings, head.minor)),
    }
}

fn is_token(text: &[u8]) -> bool {
    const SYMBOLS: &[u8] = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || SYMBOLS.contains(byte))
}
