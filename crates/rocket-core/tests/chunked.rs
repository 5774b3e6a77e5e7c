//! Chunked content is decoded the same however it is cut, and strictly.

use rocket_core::chunked::Chunked;
use rocket_core::fault::Fault;
use rocket_core::limits::Limits;

const LIMITS: Limits =
    Limits { request_line: 100, head: 100, headers: 2, chunk_extensions: 60, trailers: 60 };
const MAX_BODY: u64 = 200;

/// Between places that are tried: all of them, but under Miri, which is slow.
const STEP: usize = if cfg!(miri) { 17 } else { 1 };

type Outcome = Result<(Option<usize>, Vec<u8>), Fault>;

/// Feed pieces; where the content ended, and the content.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut machine = Chunked::new(&LIMITS, MAX_BODY);
    let mut content = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        if let Some(end) = machine.feed(piece, &mut content)? {
            return Ok((Some(fed + end), content));
        }
        fed += piece.len();
    }
    Ok((None, content))
}

#[test]
fn valid_content_is_the_same_for_every_two_cuts() {
    let data =
        b"3\r\nabc\r\n000A ; x=\"\\\"; \xff\";y\r\n\r\n\r\n\r\n\r\n\r\n\r\n0;z\r\nX: a\r\nY:\r\n\r\nrest";
    let expected = (Some(data.len() - 4), b"abc\r\n\r\n\r\n\r\n\r\n".to_vec());

    assert_eq!(Ok(expected.clone()), decode([&data[..]]));
    assert_eq!(Ok(expected.clone()), decode(data.chunks(1)));
    for first in (0..data.len()).step_by(STEP) {
        for second in (first..data.len()).step_by(STEP) {
            let pieces = [&data[..first], &data[first..second], &data[second..]];
            assert_eq!(Ok(expected.clone()), decode(pieces), "{first} {second}");
        }
    }
}

#[test]
fn every_part_of_valid_content_is_incomplete() {
    let data = b"3;a=b\r\nabc\r\n0\r\nX: a\r\n\r\n";
    for end in 0..data.len() {
        assert!(matches!(decode([&data[..end]]), Ok((None, _))), "{end}");
    }
}

#[test]
fn refusals_say_what_was_found() {
    let size = "not a chunk-size line (RFC 9112 §7.1)";
    let after_data = "chunk data is not followed by CRLF (RFC 9112 §7.1)";
    let controls = "a bare CR, bare LF or control character between chunks (RFC 9112 §7.1)";
    let long = "a chunk-size line is too long, or extensions take more than 60 bytes (RFC 9112 §7.1.1)";
    let trailers = "the trailers are larger than 60 bytes or 2 fields (RFC 9110 §6.5.1)";
    let field = "a trailer is not a field line (RFC 9112 §7.1.2)";
    let large = "the content is larger than 200 bytes (RFC 9110 §15.5.14)";
    let rows: [(&str, u16, &str); 30] = [
        ("\r\n", 400, size),
        ("+1\r\n", 400, size),
        ("0x1\r\n", 400, size),
        ("1 \r\n", 400, size),
        ("1;\r\n", 400, size),
        ("1;a=\r\n", 400, size),
        ("1;a=\"\r\n", 400, size),
        ("1;a=\"b\"c\r\n", 400, size),
        ("1;a b\r\n", 400, size),
        ("1;a=\"\\\"\r\n", 400, size),
        ("1;a=\"\x01\"\r\n", 400, size),
        ("1;a=\"\\\x01\"\r\n", 400, size),
        ("1\r2\r\n", 400, size),
        ("00000000000000001\r\n", 400, size),
        ("1\r\naa\r\n", 400, after_data),
        ("1\r\naab", 400, after_data),
        ("1\r\n\r\n\r", 400, after_data),
        ("1\n", 400, controls),
        ("1;a\x00", 400, controls),
        ("1\rx", 400, controls),
        ("1\r\na\rx", 400, controls),
        ("0\r\nX: \x7f", 400, controls),
        ("0\r\nX\r\n", 400, field),
        ("0\r\n X: a\r\n", 400, field),
        ("C9\r\n", 413, large),
        ("C8\r\n", 0, ""),
        ("FFFFFFFFFFFFFFFF\r\n", 413, large),
        ("0\r\nX:\r\nX:\r\nX:\r\n", 431, trailers),
        ("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 400, long),
        ("0\r\nX:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 431, trailers),
    ];
    for (data, status, reason) in rows {
        match decode([data.as_bytes()]) {
            Ok(_) => assert_eq!(0, status, "{data:?}"),
            Err(fault) => assert_eq!((status, reason), (fault.status, &*fault.reason), "{data:?}"),
        }
    }
}

#[test]
fn a_cr_at_a_cut_still_wants_its_lf() {
    for pieces in [["1\r", "x"], ["1\r\na\r", "x"], ["1", "\n"], ["1\r\na", "\n"]] {
        let fault = decode(pieces.map(str::as_bytes)).expect_err("bare");
        assert_eq!("a bare CR, bare LF or control character between chunks (RFC 9112 §7.1)", fault.reason);
    }
}

#[test]
fn a_line_without_an_end_is_bounded() {
    for raw in [&b"0"[..], b"1;a", b"0\r\nX: "] {
        let mut machine = Chunked::new(&LIMITS, MAX_BODY);
        let mut content = Vec::new();
        machine.feed(raw, &mut content).expect("a beginning");
        let refused = (0..100).position(|_| machine.feed(b"0", &mut content).is_err());
        assert!(refused.is_some_and(|fed| fed <= 80), "{refused:?}");
    }
}

#[test]
fn chunks_together_are_held_against_the_limit() {
    let hundred = [b"64\r\n", &[b'a'; 100][..], b"\r\n"].concat();
    let whole = [&hundred[..], &hundred, b"1\r\n"].concat();

    assert_eq!(413, decode([&whole[..]]).expect_err("201 bytes").status);
    assert_eq!(Ok((None, vec![b'a'; 200])), decode([&whole[..whole.len() - 3]]));
}

#[test]
fn extensions_of_all_chunks_share_one_limit() {
    let chunk = b"1;aaaaaaaaaaaaaaaaaaa\r\nb\r\n";

    assert!(decode([&chunk.repeat(3)[..]]).is_ok());
    assert!(decode([&chunk.repeat(4)[..]]).is_err());
}

#[test]
fn after_the_end_nothing_more_belongs_to_the_content() {
    let mut machine = Chunked::new(&LIMITS, MAX_BODY);
    let mut content = Vec::new();

    assert_eq!(Ok(Some(5)), machine.feed(b"0\r\n\r\n1\r\na", &mut content));
    assert_eq!(Ok(Some(0)), machine.feed(b"1\r\na", &mut content));
    assert!(content.is_empty());
}
