//! Frames of WebSockets: what a client may send, what it may not, and what is sent to it. `tests/engine` holds this
//! machine to the events of the portable one, for all that can be made up; here is what a reader wants to see.

use rocket_core::websocket::{Agreed, Event, Frames, opcode, pack_control};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const MOST: usize = 1000;

/// A frame as a client writes it; `first` has the final bit, the reserved ones and the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        size @ 0..126 => frame.push(0x80 | size as u8),
        size @ 126..0x1_0000 => {
            frame.push(0xfe);
            frame.extend((size as u16).to_be_bytes());
        }
        size => {
            frame.push(0xff);
            frame.extend((size as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// What comes of pieces: each event as text.
fn told(frames: &mut Frames, pieces: &[&[u8]]) -> Vec<String> {
    let mut told = Vec::new();
    for piece in pieces {
        frames.feed(piece, |event| told.push(name(&event)));
        while frames.is_holding() {
            frames.feed(b"", |event| told.push(name(&event)));
        }
    }
    told
}

fn name(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) => format!("text {text}"),
        Event::Binary(bytes) => format!("bytes {}", bytes.len()),
        Event::Control(opcode, payload) => format!("control {opcode} {}", payload.escape_ascii()),
        Event::Failed(payload) => format!("failed {}", u16::from_be_bytes([payload[0], payload[1]])),
    }
}

fn all(received: &[u8]) -> Vec<String> {
    told(&mut Frames::new(MOST, None), &[received])
}

#[test]
fn messages_fragments_and_control_frames() {
    let received = [
        frame(0x81, b"Hello"),
        frame(0x82, &[0; 300]),
        frame(0x01, b"Hel"),
        frame(0x89, b"?"),
        frame(0x80, b"lo"),
        frame(0x88, b"\x03\xe8bye"),
        frame(0x81, b"more"),
    ]
    .concat();

    let expected = ["text Hello", "bytes 300", "control 9 ?", "text Hello", "control 8 \\x03\\xe8bye"];
    assert_eq!(all(&received), expected);
}

#[test]
fn any_cut_gives_the_same_events() {
    let received = [frame(0x01, "é".as_bytes()), frame(0x80, &[b'x'; 200]), frame(0x82, b"")].concat();
    let whole = all(&received);
    for cut in 0..=received.len() {
        let (head, tail) = received.split_at(cut);

        assert_eq!(told(&mut Frames::new(MOST, None), &[head, tail]), whole);
    }
}

#[test]
fn faults_are_the_last_event() {
    for (received, code) in [
        (b"\x81\x01a".to_vec(), 1002),
        (frame(0xc1, b"a"), 1002),
        (frame(0x83, b"a"), 1002),
        (frame(0x09, b""), 1002),
        (frame(0x80, b"a"), 1002),
        (frame(0x89, &[0; 126]), 1002),
        ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        (b"\x82\xfe\x00\x7d".to_vec(), 1002),
        ([b"\x82\xff".as_slice(), &(1_u64 << 63).to_be_bytes()].concat(), 1002),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x88, b"\x03\xed"), 1002),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x82, &[0; MOST + 1]), 1009),
        ([frame(0x02, &[0; MOST]), frame(0x80, b"a")].concat(), 1009),
    ] {
        let mut frames = Frames::new(MOST, None);

        assert_eq!(told(&mut frames, &[&received, &frame(0x81, b"ignored")]), [format!("failed {code}")]);
    }
}

#[test]
fn a_frame_that_is_too_large_is_refused_by_its_header() {
    assert_eq!(all(&[b"\x82\xff".as_slice(), &(1_u64 << 62).to_be_bytes()].concat()), ["failed 1009"]);
}

#[test]
fn what_is_packed_has_the_shortest_length_and_no_mask() {
    let mut frames = Frames::new(MOST, None);
    for (size, header) in [
        (125, vec![0x82, 125]),
        (126, vec![0x82, 126, 0, 126]),
        (0x1_0000, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let message = vec![0; size];
        let written = frames.pack(opcode::BINARY, &message, |header, payload| {
            assert_eq!(payload, message);
            header.to_vec()
        });

        assert_eq!(written, header);
    }
    assert_eq!(pack_control(opcode::PONG, b"p", |header, payload| [header, payload].concat()), b"\x8a\x01p");
}

/// What one side packs, as the other side of the same kind would have sent it.
fn turned(frames: &mut Frames, message: &[u8]) -> Vec<u8> {
    frames.pack(opcode::TEXT, message, |header, payload| frame(header[0], payload))
}

#[test]
fn what_is_compressed_can_be_inflated() {
    for takeover in [true, false] {
        let agreed = Agreed { in_bits: 12, in_takeover: takeover, out_bits: 12, out_takeover: takeover };
        let (mut from, mut to) = (Frames::new(1 << 20, Some(agreed)), Frames::new(1 << 20, Some(agreed)));
        let noise: String =
            (0..5000_u32).map(|number| char::from(b'a' + (number * number % 23) as u8)).collect();
        for message in ["many words ".repeat(100), "many words ".repeat(100), noise, "short".to_owned()] {
            let received = turned(&mut from, message.as_bytes());

            assert_eq!(received[0] & 0x40 != 0, message.len() >= 128);
            assert_eq!(told(&mut to, &[&received]), [format!("text {message}")]);
        }
    }
}

#[test]
fn what_inflates_too_far_is_refused() {
    let agreed = Some(Agreed::default());
    let received = turned(&mut Frames::new(MOST, agreed), &[b'x'; MOST + 1]);

    assert_eq!(told(&mut Frames::new(MOST, agreed), &[&received]), ["failed 1009"]);
}

#[test]
fn what_cannot_be_inflated_is_refused() {
    let received = frame(0xc1, b"\xff\xff\xff");

    assert_eq!(told(&mut Frames::new(MOST, Some(Agreed::default())), &[&received]), ["failed 1007"]);
}

#[test]
fn inflated_messages_are_given_in_portions() {
    let agreed = Some(Agreed { in_takeover: false, out_takeover: false, ..Agreed::default() });
    let received = turned(&mut Frames::new(200_000, agreed), &[b'x'; 200_000]).repeat(5);
    let mut frames = Frames::new(200_000, agreed);
    let mut given = 0;

    frames.feed(&received, |_| given += 1);
    assert_eq!((given, frames.is_holding()), (2, true));
    while frames.is_holding() {
        frames.feed(b"", |_| given += 1);
    }
    assert_eq!(given, 5);
}
