//! Frames of WebSockets: bounded, and the same however they arrive.

use rocket_core::websocket::{Agreed, Event, Frames};

use crate::input::Input;

const MOST: usize = 200;

/// Panics when something does not hold.
pub fn check(input: &[u8]) {
    let choice = input.first().copied().unwrap_or_default();
    let takeover = choice & 4 == 0;
    let agreed = (choice & 2 != 0).then_some(Agreed { in_takeover: takeover, ..Agreed::default() });
    let input = Input::new(input);
    let whole = events(agreed, std::iter::once(input.data));
    assert_eq!(whole, events(agreed, input.pieces()));
    assert_eq!(whole, events(agreed, input.data.chunks(1)), "byte by byte");
}

/// An event: 1 for text, 2 for bytes, an opcode, or 16 for a fault.
type Told = (u8, Vec<u8>);

fn events<'a>(agreed: Option<Agreed>, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Told> {
    let mut frames = Frames::new(MOST, agreed);
    let mut told = Vec::new();
    for piece in pieces {
        frames.feed(piece, |event| take(&mut told, &event));
        while frames.is_holding() {
            frames.feed(b"", |event| take(&mut told, &event));
        }
    }
    told
}

fn take(told: &mut Vec<Told>, event: &Event<'_>) {
    assert!(!told.last().is_some_and(|(kind, _)| matches!(kind, 8 | 16)), "nothing comes after the end");
    told.push(match event {
        Event::Text(text) => {
            assert!(text.len() <= MOST);
            (1, text.as_bytes().to_vec())
        }
        Event::Binary(bytes) => {
            assert!(bytes.len() <= MOST);
            (2, bytes.to_vec())
        }
        Event::Control(opcode, payload) => {
            assert!(payload.len() <= 125 && matches!(opcode, 8..=10));
            (*opcode, payload.to_vec())
        }
        Event::Failed(payload) => {
            assert!(matches!(payload, [0x03, 0xea | 0xef | 0xf1, ..]) && payload.len() <= 125);
            (16, payload.to_vec())
        }
    });
}
