//! Deadlines on whatever the client controls: when they begin, what extends them and what does not.

use rocket_core::http1::{NEVER, Phase};

use crate::app::BIG;
use crate::rig::{Rig, START, begun, chunked, get, settings};

#[test]
fn silence_after_accept() {
    let mut rig = Rig::new();
    assert_eq!(10_000, rig.left());
    rig.bytes(b"\r");
    assert_eq!((Phase::Head, 20_000), (rig.phase(), rig.left()));
}

#[test]
fn a_head_has_its_time_from_its_first_byte() {
    let mut rig = Rig::new();
    rig.bytes(&get("/"));
    rig.pass(39_000);
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n" {
        rig.bytes(&[*byte]);
        rig.pass(100);
    }
    assert_eq!(20_000 - 25 * 100, rig.left());
    rig.read();
    rig.wait();
    assert_eq!("408 - close\n", rig.read());
    rig.wait();
    assert_eq!(vec!["half-closed", "cut", "closed 7: 408"], rig.told());
}

#[test]
fn blank_lines_are_no_request_that_was_begun() {
    let mut rig = Rig::new();
    rig.bytes(b"\r\n");
    rig.wait();
    assert_eq!(("".to_owned(), vec!["closed".to_owned(), "closed 7".to_owned()]), (rig.read(), rig.told()));
}

#[test]
fn an_idle_connection_has_its_time_from_its_last_answer() {
    let mut rig = Rig::new();
    rig.app.handler_ns.set(3_000_000_000);
    rig.pass(1_000);
    rig.bytes(&get("/"));
    assert_eq!((Phase::Idle, (START + 1_000) * 1_000_000), (rig.phase(), rig.it().idle_since_ns));
    assert_eq!(37_000, rig.left(), "a batch has one moment");
}

#[test]
fn a_request_that_came_just_in_time_is_read_first() {
    for begin in [Vec::new(), get("/")] {
        let mut rig = Rig::new();
        if !begin.is_empty() {
            rig.bytes(&begin);
        }
        rig.has_unread = true;
        rig.wait();
        assert!(rig.left() == 0 && rig.it().is_reading, "it is asked again");
        rig.bytes(&get("/"));
        assert_eq!(40_000, rig.left());
        rig.has_unread = false;
        rig.wait();
        assert!(rig.connection.is_none());
    }
}

#[test]
fn content_is_extended_by_progress_above_the_least_rate() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/echo", &"x".repeat(100), 1));
    assert_eq!((Phase::Content, 30_000), (rig.phase(), rig.left()));
    rig.pass(29_000);
    rig.bytes(&[b'x'; 49]);
    // 10 bytes a second: 50 of them are worth five seconds beyond the thirty.
    assert_eq!(6_000, rig.left());
    rig.pass(5_999);
    rig.bytes(&[b'x'; 10]);
    assert_eq!(1_001, rig.left());
    rig.wait();
    assert_eq!("408 /echo close\n", rig.read());
}

#[test]
fn framing_is_no_progress() {
    let mut rig = Rig::new();
    rig.bytes(&chunked("/echo", "1;"));
    rig.pass(10_000);
    rig.bytes(b"extension=value");
    assert_eq!(20_000, rig.left());
    rig.bytes(b"\r\nx");
    assert_eq!(20_100, rig.left());
}

#[test]
fn a_handler_has_its_time_from_its_beginning() {
    let mut rig = Rig::new();
    rig.bytes(&get("/wait"));
    rig.pass(59_000);
    rig.bytes(&get("/"));
    assert_eq!(1_000, rig.left());
    rig.wait();
    assert_eq!("503 /wait close\n", rig.read());
    assert_eq!(vec!["half-closed", "given up /wait"], rig.told());
    rig.handled();
    assert_eq!("", rig.read(), "its result comes too late");
    rig.end();
    assert_eq!(vec!["closed", "closed 7: TooSlow"], rig.told());
}

#[test]
fn what_is_held_while_a_handler_waits_has_no_deadline_until_it_is_looked_at() {
    let mut rig = Rig::new();
    rig.bytes(&get("/wait"));
    rig.bytes(b"GET");
    rig.handled();
    assert_eq!((Phase::Idle, NEVER), (rig.phase(), rig.it().deadline));
    rig.turn();
    assert_eq!((Phase::Head, 20_000), (rig.phase(), rig.left()));
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&get("/big"));
    assert_eq!(50_000, rig.left());
    rig.wait();
    assert_eq!(vec!["cut", "closed 7: Unread"], rig.told());
}

#[test]
fn a_client_that_takes_a_little_has_a_little_longer() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&get("/big"));
    for _ in 0..5 {
        rig.pass(9_000);
        rig.take(20);
    }
    assert_eq!(5_000, rig.left());
    rig.wait();
    // 100 bytes at 10 a second.
    assert_eq!(10_000, rig.left());
    rig.wait();
    assert!(rig.connection.is_none(), "it took nothing more");
}

#[test]
fn an_answer_that_is_added_neither_hides_progress_nor_looks_like_it() {
    for (taken, is_cut) in [(0, true), (5, false)] {
        let mut rig = Rig::new();
        rig.room = 0;
        rig.bytes(&[get("/big"), get("/wait")].concat());
        rig.pass(1_000);
        rig.room = taken;
        rig.handled();
        rig.wait();
        assert_eq!(is_cut, rig.connection.is_none());
    }
}

#[test]
fn after_a_pause_by_the_client_every_deadline_begins_anew() {
    for (rest, phase, left) in [
        (Vec::new(), Phase::Idle, 40_000),
        (b"GET".to_vec(), Phase::Head, 20_000),
        (begun("/echo", "x", 0), Phase::Content, 30_000),
        (get("/close"), Phase::Linger, 2_000),
    ] {
        let mut rig = Rig::new();
        rig.room = 0;
        rig.bytes(&[get("/big"), rest].concat());
        rig.pass(45_000);
        rig.take(2 * BIG);
        rig.turn();
        assert_eq!((phase, left, true), (rig.phase(), rig.left(), rig.it().is_reading));
    }
}

#[test]
fn a_handlers_time_is_not_prolonged_by_a_pause_of_the_client() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&[get("/big"), get("/wait")].concat());
    rig.pass(45_000);
    rig.take(2 * BIG);
    assert_eq!((Phase::Handler, 15_000), (rig.phase(), rig.left()));
}

#[test]
fn content_after_a_pause_of_the_client_has_its_rate_from_then() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&[get("/big"), begun("/echo", &"x".repeat(100), 20)].concat());
    rig.pass(45_000);
    rig.take(2 * BIG);
    rig.pass(29_000);
    rig.bytes(b"x");
    assert_eq!(1_000 + 2_100, rig.left());
}

#[test]
fn zero_is_never() {
    let mut rig = Rig::with(settings(|settings| {
        let timeouts = &mut settings.timeouts;
        (timeouts.first_byte, timeouts.head, timeouts.body) = (0, 0, 0);
        (timeouts.idle, timeouts.write, timeouts.handler) = (0, 0, 0);
        timeouts.body_min_rate = 0;
    }));
    let mut deadlines = vec![rig.it().deadline];
    for bytes in [&b"GET / H"[..], b"TTP/1.1\r\nHost: a\r\n\r\n", &begun("/wait", "ab", 0), b"a", b"b"] {
        rig.bytes(bytes);
        deadlines.push(rig.it().deadline);
    }
    rig.room = 0;
    rig.handled();
    deadlines.push(rig.it().deadline);
    assert_eq!(vec![NEVER; 7], deadlines);
    assert!(rig.it().is_blocked());
}
