//! What a connection holds is bounded: whoever sends too much, or reads too little, has to wait.

use rocket_core::http1::{Connection, Moment, Phase};

use crate::app::{BIG, BIG_ANSWER, Lines};
use crate::rig::{Rig, get, settings};

#[test]
fn a_batch_ends_after_so_many_answers() {
    let mut rig = Rig::new();
    rig.bytes(&get("/").repeat(10));
    assert_eq!("200 /\n".repeat(4), rig.read());
    assert!(!rig.it().is_reading && rig.it().has_more);
    rig.turn_once();
    assert_eq!("200 /\n".repeat(4), rig.read());
    rig.turn_once();
    assert_eq!("200 /\n".repeat(2), rig.read());
    assert!(rig.it().is_reading && !rig.it().has_more);
}

#[test]
fn a_batch_ends_after_so_many_bytes() {
    let mut rig = Rig::with(settings(|settings| settings.pipeline = 100));
    rig.bytes(&get("/big").repeat(5));
    assert_eq!(2 * BIG_ANSWER, rig.got.len());
    rig.turn_once();
    assert_eq!(4 * BIG_ANSWER, rig.got.len());
}

#[test]
fn a_client_that_does_not_read_is_not_served() {
    let mut rig = Rig::new();
    rig.room = 10;
    rig.bytes(&get("/big").repeat(5));
    assert!(!rig.it().is_reading && rig.it().has_more);
    rig.turn_once();
    assert!(!rig.it().has_more, "only room begins it again");
    assert_eq!((3 * get("/big").len(), 2 * BIG_ANSWER - 10), rig.it().held_bytes());
    rig.take(2 * BIG_ANSWER - 10);
    assert!(rig.it().has_more && !rig.it().is_reading);
    rig.turn_once();
    assert_eq!((get("/big").len(), 2 * BIG_ANSWER), rig.it().held_bytes());
}

#[test]
fn what_is_held_while_a_handler_waits_is_bounded() {
    let mut rig = Rig::new();
    rig.bytes(&get("/wait"));
    let mut sent = 0;
    while rig.offer(&get("/").repeat(100)) {
        sent += 100;
    }
    let held = rig.it().held_bytes().0;
    assert!((65_536..65_536 + 100 * get("/").len()).contains(&held), "{held}");
    rig.handled();
    assert!(!rig.it().is_reading);
    rig.turn();
    assert_eq!(sent + 1, rig.read().lines().count());
    assert!(rig.it().is_reading);
}

#[test]
fn what_is_held_behind_a_handler_that_follows_is_bounded_too() {
    let mut rig = Rig::new();
    rig.bytes(&[get("/wait"), get("/wait"), get("/").repeat(5_000)].concat());
    rig.handled();
    rig.turn();
    assert_eq!((Phase::Handler, false), (rig.phase(), rig.it().is_reading));
    rig.handled();
    rig.turn();
    assert!(rig.it().is_reading);
}

#[test]
fn reading_goes_on_when_the_client_has_read_though_a_handler_waits() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&[get("/big"), get("/wait")].concat());
    assert!(!rig.it().is_reading);
    rig.take(2 * BIG);
    assert!(rig.it().is_reading);
    rig.handled();
    assert!(rig.offer(&get("/")));

    // Unless it has sent enough, or everything.
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&[get("/big"), get("/wait"), get("/").repeat(5_000)].concat());
    rig.take(2 * BIG);
    assert!(!rig.it().is_reading);
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&[get("/big"), get("/wait")].concat());
    rig.end();
    rig.take(2 * BIG);
    assert!(!rig.it().is_reading);
}

#[test]
fn a_large_answer_is_given_back_while_it_is_sent() {
    let mut rig = Rig::new();
    rig.room = 0;
    rig.bytes(&get("/big"));
    let (all, mut moved) = (rig.it().output.len(), 0);
    while rig.it().is_blocked() {
        let before = rig.it().output.len();
        rig.take(100);
        let after = rig.it().output.len();
        moved += if after < before { after } else { 0 };
        assert!(after <= 2 * rig.it().held_bytes().1.max(100));
    }
    assert!(moved <= all, "{moved} bytes were moved, of {all}");
}

#[test]
fn an_idle_connection_holds_nothing_but_itself() {
    let mut rig = Rig::new();
    for bytes in get("/").chunks(7) {
        rig.bytes(bytes);
    }
    assert_eq!((0, 0), rig.it().held_bytes());
    assert!(size_of::<Connection<Lines>>() <= 256, "{}", size_of::<Connection<Lines>>());
}

#[test]
fn a_head_is_bounded_while_it_drips() {
    let settings = settings(|_| {});
    let app = Lines::at(0);
    let at = Moment { now_ns: 0, is_draining: false };
    let mut connection = Connection::new(-1, 0, &settings, at);
    connection.on_bytes(b"GET / HTTP/1.1\r\nX: ", &app, &settings, at);
    while connection.phase == Phase::Head {
        connection.on_bytes(b"x", &app, &settings, at);
        assert!(connection.held_bytes().0 <= settings.limits.head + 1);
    }
    assert_eq!(b"431 - close\n", connection.unsent());
}
