//! How a connection ends: by agreement so that the client can read the last answer, in favour of others, while the
//! server leaves, and by breaking.

use rocket_core::http1::Phase;

use crate::app::{BIG, BIG_ANSWER};
use crate::rig::{Rig, begun, get, post};

#[test]
fn the_last_answer_is_followed_by_our_end_and_then_by_the_clients() {
    let mut rig = Rig::new();
    rig.bytes(&[get("/"), get("/close"), get("/")].concat());
    assert_eq!("200 /\n200 /close close\n", rig.read());
    assert_eq!(vec!["half-closed"], rig.told());
    rig.bytes(b"what it still sends is forgotten");
    rig.end();
    assert_eq!(("".to_owned(), vec!["closed".to_owned(), "closed 7".to_owned()]), (rig.read(), rig.told()));
}

#[test]
fn a_client_that_goes_on_sending_is_left_after_a_while() {
    let mut rig = Rig::new();
    rig.bytes(&get("/close"));
    for _ in 0..9 {
        rig.pass(1_000);
        rig.bytes(b"noise");
        assert!((1_000..=2_000).contains(&rig.left()));
    }
    assert_eq!(1_000, rig.left(), "ten seconds after the last answer");
    rig.wait();
    assert_eq!(vec!["half-closed", "cut", "closed 7"], rig.told());
}

#[test]
fn a_client_that_ended_first_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.bytes(&[get("/wait"), get("/")].concat());
    rig.end();
    assert!(rig.told().is_empty());
    rig.handled();
    rig.turn();
    assert_eq!("200 /wait\n200 /\n", rig.read());
    assert_eq!(vec!["closed", "closed 7"], rig.told());
}

#[test]
fn a_client_that_ended_gets_what_it_does_not_take_at_once() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&get("/big"));
    rig.end();
    assert_eq!(50_000, rig.left());
    rig.take(BIG_ANSWER);
    rig.turn();
    assert_eq!(BIG_ANSWER, rig.got.len());
    assert_eq!(vec!["closed", "closed 7"], rig.told());
}

#[test]
fn a_refusal_behind_unread_answers_is_waited_for_and_what_still_comes_is_read() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&[get("/big"), begun("/echo", "x", 0)].concat());
    rig.bytes(b"xnonsense\r\n\r\n");
    assert_eq!((Phase::Linger, true), (rig.phase(), rig.it().is_reading));
    let left = rig.left();
    rig.bytes(b"more of it");
    assert_eq!(left, rig.left(), "it has the time to read that any client has");
    rig.take(2 * BIG);
    assert!(rig.read().ends_with("200 /echo [x]\n400 - close\n"));
    assert_eq!((2_000, true, vec!["half-closed".to_owned()]), (rig.left(), rig.it().is_reading, rig.told()));
}

#[test]
fn one_more_request_is_waited_for_by_nobody_who_drains() {
    let mut rig = Rig::new();
    rig.drain();
    assert_eq!(1_000, rig.left(), "who has just come may ask once");
    rig.bytes(&get("/"));
    assert_eq!("200 / close\n", rig.read());

    let mut rig = Rig::new();
    rig.bytes(&get("/"));
    rig.has_unread = true;
    rig.drain();
    rig.bytes(&get("/"));
    assert_eq!("200 /\n200 / close\n", rig.read());
}

#[test]
fn draining_every_request_that_came_is_answered_and_the_last_says_so() {
    let mut rig = Rig::new();
    rig.bytes(&get("/wait"));
    rig.drain();
    rig.bytes(&[get("/"), get("/")].concat());
    rig.handled();
    rig.turn();
    assert_eq!("200 /wait\n200 /\n200 / close\n", rig.read());

    let mut rig = Rig::new();
    rig.bytes(&get("/wait"));
    rig.drain();
    rig.handled();
    assert_eq!("200 /wait close\n", rig.read());

    let mut rig = Rig::new();
    rig.drain();
    rig.bytes(&[post("/echo", "a"), get("/")].concat());
    assert_eq!("200 /echo [a] close\n", rig.read(), "after content it is the last in any case");

    let mut rig = Rig::new();
    rig.drain();
    rig.bytes(&post("/nobody", "a"));
    assert_eq!("405 /nobody close\n", rig.read());
}

#[test]
fn a_new_connection_is_left_a_moment_before_it_may_be_closed_for_others() {
    let mut rig = Rig::new();
    let is_enough = |rig: &Rig| {
        let at = rocket_core::http1::Moment { now_ns: rig.app.now_ns.get(), is_draining: false };
        rig.it().is_idle_enough(at)
    };
    assert!(rig.it().is_idle() && !is_enough(&rig));
    rig.pass(1_000);
    assert!(is_enough(&rig));
    rig.bytes(&get("/"));
    assert!(is_enough(&rig));
    rig.bytes(b"GET");
    assert!(!rig.it().is_idle() && !is_enough(&rig));
    rig.bytes(b" / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.close_idle();
    assert_eq!(vec!["closed", "closed 7"], rig.told());
}

#[test]
fn the_first_reason_is_the_one_that_is_told() {
    let mut rig = Rig::new();
    rig.bytes(b"nonsense\r\n\r\n");
    rig.broken();
    assert_eq!(vec!["half-closed", "cut", "closed 7: 400"], rig.told());
}

#[test]
fn whoever_is_gone_gives_up_his_handler() {
    let mut rig = Rig::new();
    rig.bytes(&post("/wait", "content"));
    rig.broken();
    assert_eq!(vec!["cut", "closed 7 with /wait [content]: Broken(104)"], rig.told());
}
