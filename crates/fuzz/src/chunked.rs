//! Chunked content: bounded, and the same however it arrives.

use rocket_core::chunked::Chunked;

use crate::input::Input;

const MAX_BODY: u64 = 100;

/// Panics when something does not hold.
pub fn check(input: &[u8]) {
    let input = Input::new(input);
    let whole = decode(&input, std::iter::once(input.data));
    let in_pieces = decode(&input, input.pieces());
    assert_eq!(whole, in_pieces);
    assert_eq!(whole, decode(&input, input.data.chunks(1)), "byte by byte");
    if let Some((Some(end), content)) = whole {
        assert!(input.data[..end].ends_with(b"\r\n\r\n"));
        assert!(end >= content.len() + 5);
        let before = decode(&input, std::iter::once(&input.data[..end - 1]));
        assert_eq!(Some((None, content)), before, "it ends with its last byte");
    }
}

/// Where the content ends, when it does, and what came of it; None when it is refused.
fn decode<'a>(input: &Input<'_>, pieces: impl Iterator<Item = &'a [u8]>) -> Option<(Option<usize>, Vec<u8>)> {
    let mut machine = Chunked::new(&input.limits, MAX_BODY);
    let mut content = Vec::new();
    let mut fed = 0;
    for piece in pieces {
        let fed_now = machine.feed(piece, &mut content);
        assert!(content.len() as u64 <= MAX_BODY);
        match fed_now {
            Ok(None) => fed += piece.len(),
            Ok(Some(end)) => {
                assert_eq!(Ok(Some(0)), machine.feed(b"more", &mut content), "it has ended");
                return Some((Some(fed + end), content));
            }
            Err(fault) => {
                assert!(matches!(fault.status, 400 | 413 | 431), "{fault:?}");
                return None;
            }
        }
    }
    Some((None, content))
}
