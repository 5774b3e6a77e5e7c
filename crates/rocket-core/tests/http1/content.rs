//! Content: wanted or not, announced or in chunks, asked for with 100 or sent at once.

use rocket_core::http1::Phase;

use crate::app::MAX_BODY;
use crate::rig::{Rig, begun, chunked, post};

const EXPECT: &[u8] = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn who_waits_for_100_gets_it_once() {
    let mut rig = Rig::new();
    rig.bytes(&EXPECT[..EXPECT.len() - 1]);
    assert_eq!("", rig.read());
    rig.bytes(b"\n");
    assert_eq!("HTTP/1.1 100 Continue\r\n\r\n", rig.read());
    rig.bytes(b"ab");
    rig.bytes(b"cde");
    assert_eq!("200 /echo [abcde]\n", rig.read());
}

#[test]
fn who_does_not_wait_for_100_gets_none() {
    let mut rig = Rig::new();
    rig.bytes(&[EXPECT, b"a"].concat());
    rig.bytes(b"bcde");
    rig.bytes(&[EXPECT, b"abcde"].concat());
    assert_eq!("200 /echo [abcde]\n".repeat(2), rig.read());
}

#[test]
fn content_that_is_expected_but_not_wanted_is_not_waited_for() {
    let mut rig = Rig::new();
    let text = String::from_utf8_lossy(EXPECT).replace("/echo", "/nobody");
    rig.bytes(text.as_bytes());
    assert_eq!(("405 /nobody close\n".to_owned(), Phase::Linger), (rig.read(), rig.phase()));
}

#[test]
fn too_much_content_is_refused_by_its_head() {
    let most = "x".repeat(MAX_BODY as usize);
    let mut rig = Rig::new();
    rig.bytes(&post("/echo", &most));
    assert_eq!(format!("200 /echo [{most}]\n"), rig.read());
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n";
    rig.bytes(head.as_bytes());
    assert_eq!("413 /echo close\n", rig.read());
}

#[test]
fn too_much_content_in_chunks_is_refused_when_it_is_announced() {
    let mut rig = Rig::new();
    rig.bytes(&chunked("/echo", "64\r\n"));
    rig.bytes("x".repeat(100).as_bytes());
    assert_eq!("", rig.read());
    rig.bytes(b"\r\n1\r\n");
    assert_eq!("413 /echo close\n", rig.read());
}

#[test]
fn a_little_content_that_nobody_wants_keeps_the_connection() {
    for (length, closes) in [(1, ""), (65_536, ""), (65_537, " close")] {
        let mut rig = Rig::new();
        let content = "x".repeat(length);
        rig.bytes(&begun("/nobody", &content, 0));
        assert_eq!(format!("405 /nobody{closes}\n"), rig.read());
        rig.bytes(content.as_bytes());
        let phase = if closes.is_empty() { Phase::Idle } else { Phase::Linger };
        assert_eq!((phase, String::new()), (rig.phase(), rig.read()));
    }
}

#[test]
fn content_that_nobody_wants_and_that_does_not_come_ends_the_connection_without_a_second_answer() {
    let endings: [fn(&mut Rig); 2] = [Rig::wait, Rig::end];
    for ending in endings {
        let mut rig = Rig::new();
        rig.bytes(&begun("/nobody", "x", 0));
        assert_eq!("405 /nobody\n", rig.read());
        ending(&mut rig);
        assert_eq!("", rig.read());
        assert!(rig.connection.is_none() || rig.phase() == Phase::Linger);
    }
}

#[test]
fn a_dropped_request_has_no_answer_but_those_before_it() {
    let mut rig = Rig::new();
    rig.bytes(&[post("/echo", "a"), post("/drop", "b"), post("/echo", "c")].concat());
    assert_eq!("200 /echo [a]\n", rig.read());
    assert_eq!(vec!["closed", "closed 7"], rig.told());
}

#[test]
fn a_handler_is_begun_when_its_content_is_whole() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/wait", "content", 6));
    assert_eq!(Phase::Content, rig.phase());
    rig.pass(5_000);
    rig.bytes(b"t");
    assert_eq!((Phase::Handler, 60_000), (rig.phase(), rig.left()));
    rig.handled();
    assert_eq!("200 /wait [content]\n", rig.read());
}
