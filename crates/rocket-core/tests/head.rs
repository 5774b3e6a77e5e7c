//! Heads are read strictly, the same however they arrive, and told apart to the last reason.

use rocket_core::fault::Fault;
use rocket_core::head::{Content, Head, Path, find_field, parse_head};
use rocket_core::limits::Limits;

const LIMITS: Limits =
    Limits { request_line: 8192, head: 32768, headers: 128, chunk_extensions: 4096, trailers: 8192 };

/// Between places that are tried: all of them, but under Miri, which is slow.
const STEP: usize = if cfg!(miri) { 17 } else { 1 };

fn read(data: &[u8]) -> Result<Option<Head>, Fault> {
    parse_head(data, &LIMITS, 0)
}

fn accepted(data: &[u8]) -> Head {
    read(data).expect("valid").expect("complete")
}

/// The head of a request with these field lines.
fn with_fields(lines: &str) -> Vec<u8> {
    format!("POST /p HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[test]
fn a_head_says_everything_that_is_decided() {
    let data =
        b"\r\nPOST /a%20b?c=d?e HTTP/1.0\r\nConnection: x, keep-alive\r\nContent-Length: 0042\r\n\r\nrest";
    let head = accepted(data);

    assert_eq!(b"POST", head.method.of(data));
    assert_eq!(b"/a%20b?c=d?e", head.target.of(data));
    assert!(matches!(head.path, Path::Sent(path) if path.of(data) == b"/a%20b"));
    assert_eq!(b"c=d?e", head.query.of(data));
    assert_eq!(0, head.minor);
    assert_eq!(b"\r\nConnection: x, keep-alive\r\nContent-Length: 0042", head.fields.of(data));
    assert_eq!(None, head.authority);
    assert_eq!(Content::Length(42), head.content);
    assert!(head.keep_alive);
    assert!(!head.expects_continue && !head.unmet_expectation);
    assert_eq!(b"rest", &data[head.end..]);
}

#[test]
fn targets_have_the_form_that_the_method_allows() {
    // Method and target; path, query and authority.
    let rows: [(&str, &str, &str, Option<&str>); 12] = [
        ("GET /", "/", "", None),
        ("GET //x", "//x", "", None),
        ("GET /?", "/", "", None),
        ("GET /a?b/c", "/a", "b/c", None),
        ("OPTIONS *", "*", "", None),
        ("CONNECT a:80", "a:80", "", None),
        ("GET http://h", "/", "", Some("h")),
        ("GET HTTP://h/p?q", "/p", "q", Some("h")),
        ("GET https://h:1?q/r", "/", "q/r", Some("h:1")),
        ("OPTIONS http://h", "*", "", Some("h")),
        ("OPTIONS http://h?", "/", "", Some("h")),
        ("OPTIONS http://h/", "/", "", Some("h")),
    ];
    for (line, path, query, authority) in rows {
        let data = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        let head = accepted(&data);
        let found = match head.path {
            Path::Sent(span) => span.of(&data),
            Path::Root => b"/",
            Path::Asterisk => b"*",
        };
        assert_eq!(path.as_bytes(), found, "{line}");
        assert_eq!(query.as_bytes(), head.query.of(&data), "{line}");
        assert_eq!(authority.map(str::as_bytes), head.authority.map(|span| span.of(&data)), "{line}");
    }
}

#[test]
fn refusals_say_what_was_found() {
    let rows: [(&[u8], u16, &str); 32] = [
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "only HTTP/1.x is spoken here (RFC 9110 §15.6.6)"),
        (b"GET / HTTP/x\r\nHost: a\r\n\r\n", 400, "the protocol version is not HTTP/d.d (RFC 9112 §2.3)"),
        (b"GET /\r\nHost: a\r\n\r\n", 400, "not a request line: method SP target SP version (RFC 9112 §3)"),
        (b"GET  / HTTP/1.1\r\n\r\n", 400, "not a request line: method SP target SP version (RFC 9112 §3)"),
        (b"G@T / HTTP/1.1\r\n\r\n", 400, "not a request line: method SP target SP version (RFC 9112 §3)"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400, "not a request line: method SP target SP version (RFC 9112 §3)"),
        (b"\r\n\r\n\r\n", 400, "not a request line: method SP target SP version (RFC 9112 §3)"),
        (b"GET / HTTP/1.1\r\n X: a\r\n\r\n", 400, "a field line begins with a blank (RFC 9112 §2.2, §5.2)"),
        (
            b"GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n",
            400,
            "a field line begins with a blank (RFC 9112 §2.2, §5.2)",
        ),
        (b"GET / HTTP/1.1\r\nX : a\r\n\r\n", 400, "a blank between field name and colon (RFC 9112 §5.1)"),
        (b"GET / HTTP/1.1\r\nX \r\n\r\n", 400, "a blank between field name and colon (RFC 9112 §5.1)"),
        (b"GET / HTTP/1.1\r\nX\r\n\r\n", 400, "a field name is not a token, or has no colon (RFC 9112 §5)"),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", 400, "a field name is not a token, or has no colon (RFC 9112 §5)"),
        (b"GET / HTTP/1.1\r\nX: a\r\r\n\r\n", 400, "a field value holds a control character (RFC 9110 §5.5)"),
        (
            b"GET / HTTP/1.1\r\nX: a\n",
            400,
            "a bare CR, bare LF or control character in the head (RFC 9112 §2.2)",
        ),
        (b"GET\x00", 400, "a bare CR, bare LF or control character in the head (RFC 9112 §2.2)"),
        (b"CONNECT / HTTP/1.1\r\n\r\n", 400, "CONNECT takes host:port as its target (RFC 9112 §3.2.3)"),
        (b"CONNECT a: HTTP/1.1\r\n\r\n", 400, "CONNECT takes host:port as its target (RFC 9112 §3.2.3)"),
        (b"GET /?a#b HTTP/1.1\r\n\r\n", 400, "a fragment in the request target (RFC 9112 §3.2)"),
        (b"GET * HTTP/1.1\r\n\r\n", 400, "the target * is for OPTIONS only (RFC 9112 §3.2.4)"),
        (
            b"GET a:80 HTTP/1.1\r\n\r\n",
            400,
            "the request target has no form that this method allows (RFC 9112 §3.2)",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host field (RFC 9112 §3.2)"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n", 400, "more than one Host field (RFC 9112 §3.2)"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "the Host field is not host[:port] (RFC 9112 §3.2)"),
        (
            b"GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "the target's authority is not host[:port] (RFC 9110 §4.2)",
        ),
        (b"GET http:///p HTTP/1.0\r\n\r\n", 400, "the target's authority is not host[:port] (RFC 9110 §4.2)"),
        (
            b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "transfer-encoding in HTTP/1.0 (RFC 9112 §6.1)",
        ),
        (
            b"GET / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "content-length and transfer-encoding together (RFC 9112 §6.3)",
        ),
        (
            b"GET / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            400,
            "more than one content-length (RFC 9112 §6.3)",
        ),
        (
            b"GET / HTTP/1.0\r\nContent-Length: +1\r\n\r\n",
            400,
            "content-length is not a decimal number (RFC 9110 §8.6)",
        ),
        (
            b"GET / HTTP/1.0\r\nContent-Length:\r\n\r\n",
            400,
            "content-length is not a decimal number (RFC 9110 §8.6)",
        ),
        (
            b"GET / HTTP/1.0\r\nContent-Length: 1000000000000000000\r\n\r\n",
            413,
            "the content is too large (RFC 9110 §15.5.14)",
        ),
    ];
    for (data, status, reason) in rows {
        let fault = read(data).expect_err(&String::from_utf8_lossy(data));
        assert_eq!((status, reason), (fault.status, &*fault.reason), "{}", String::from_utf8_lossy(data));
    }
}

#[test]
fn codings_are_one_final_chunked() {
    for value in ["chunked", "Chunked", " \tchunked\t "] {
        assert_eq!(
            Content::Chunked,
            accepted(&with_fields(&format!("Transfer-Encoding:{value}\r\n"))).content
        );
    }
    for (value, status) in [
        ("gzip", 501),
        ("gzip, chunked", 501),
        ("chunked, gzip", 400),
        ("chunked, chunked", 400),
        ("", 400),
        ("chunked,", 400),
        (",chunked", 400),
        ("chunked\x0b", 400),
        ("x y", 400),
        ("\"chunked\"", 400),
        ("gzip\r\nTransfer-Encoding: chunked", 501),
        ("chunked\r\nTransfer-Encoding: chunked", 400),
    ] {
        let fault = read(&with_fields(&format!("Transfer-Encoding: {value}\r\n"))).expect_err(value);
        assert_eq!(status, fault.status, "{value}");
    }
}

#[test]
fn close_wins_wherever_it_stands() {
    for (lines, minor, expected) in [
        ("", 1, true),
        ("", 0, false),
        ("keep-alive", 0, true),
        ("Keep-Alive , x", 0, true),
        ("CLOSE", 1, false),
        ("keep-alive\r\nConnection: x, close", 0, false),
        ("close\r\nConnection: keep-alive", 1, false),
        ("closed", 1, true),
        ("x keep-alive", 0, false),
        ("upgrade", 7, true),
    ] {
        let data = format!("GET / HTTP/1.{minor}\r\nHost: a\r\nConnection: {lines}\r\n\r\n").into_bytes();
        assert_eq!(expected, accepted(&data).keep_alive, "{lines} {minor}");
    }
}

#[test]
fn only_100_continue_before_content_is_waited_for() {
    for (lines, expected) in [
        ("Expect: 100-Continue\r\nContent-Length: 1\r\n", (true, false)),
        ("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", (true, false)),
        ("Expect: 100-continue\r\n", (false, false)),
        ("Expect: 100-continue\r\nContent-Length: 00\r\n", (false, false)),
        ("Expect: 200-maybe\r\n", (false, true)),
        ("Expect: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", (true, true)),
    ] {
        let head = accepted(&with_fields(lines));
        assert_eq!(expected, (head.expects_continue, head.unmet_expectation), "{lines}");
    }
    let head = accepted(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
    assert!(!head.expects_continue && !head.unmet_expectation);
}

#[test]
fn limits_are_exact() {
    let data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let exact = Limits { request_line: 14, head: data.len(), headers: 1, ..LIMITS };

    assert!(parse_head(data, &exact, 0).expect("within").is_some());
    assert!(parse_head(data, &exact, data.len() - 1).expect("within").is_some());
    for (limits, status, reason) in [
        (Limits { request_line: 13, ..exact }, 414, "the request line is longer than 13 bytes (RFC 9112 §3)"),
        (
            Limits { head: data.len() - 1, ..exact },
            431,
            "the head is larger than 26 bytes or 1 fields (RFC 6585 §5)",
        ),
        (Limits { headers: 0, ..exact }, 431, "the head is larger than 27 bytes or 0 fields (RFC 6585 §5)"),
    ] {
        for scanned in [0, data.len() - 1] {
            let fault = parse_head(data, &limits, scanned).expect_err(reason);
            assert_eq!((status, reason), (fault.status, &*fault.reason));
        }
    }
}

#[test]
fn what_can_never_fit_is_refused_before_it_ends() {
    let limits = Limits { request_line: 20, head: 40, ..LIMITS };
    for (data, expected) in [
        ("GET /aaaaaa HTTP/1.1", Ok(None)),
        ("GET /aaaaaa HTTP/1.1\r", Ok(None)),
        ("GET /aaaaaaa HTTP/1.1", Err(414)),
        ("GET /aaaaaaaaaaaaaaaaaaaaa\r", Err(414)),
        ("GET /aaaaaa HTTP/1.1\r\nX: aaaaaaaaaaaaaaa", Ok(None)),
        ("GET /aaaaaa HTTP/1.1\r\nX: aaaaaaaaaaaaaaaa", Err(431)),
    ] {
        for scanned in [0, 3, 19] {
            let found = parse_head(data.as_bytes(), &limits, scanned).map_err(|fault| fault.status);
            assert_eq!(expected, found, "{data} {scanned}");
        }
    }
}

#[test]
fn every_part_of_a_valid_head_is_incomplete() {
    let data = b"\r\nPUT http://[::1]:80/?a HTTP/1.1\r\nHost: b\r\nX:\t\r\nContent-Length: 3\r\n\r\n";
    for end in (0..data.len()).step_by(STEP) {
        for scanned in [0, end / 2, end.saturating_sub(1), end] {
            assert_eq!(Ok(None), parse_head(&data[..end], &LIMITS, scanned), "{end} {scanned}");
        }
    }
    for scanned in (0..data.len()).step_by(STEP) {
        assert_eq!(Ok(Some(accepted(data))), parse_head(data, &LIMITS, scanned));
    }
}

#[test]
fn fields_are_found_by_name() {
    let data = b"GET / HTTP/1.1\r\nHost: a\r\nx-b: \t 1 2\t\r\nX-B: 3\r\nX-:\r\n\r\n";
    let fields = accepted(data).fields.of(data).to_vec();

    assert_eq!(Some(&b"a"[..]), find_field(&fields, "host"));
    assert_eq!(Some(&b"1 2"[..]), find_field(&fields, "X-b"));
    assert_eq!(Some(&b""[..]), find_field(&fields, "x-"));
    for name in ["", "x", "x-bb", "a", "hos"] {
        assert_eq!(None, find_field(&fields, name), "{name}");
    }
    assert_eq!(None, find_field(b"", "host"));
}
