//! Exchanges that are lent: content as it is wanted, the answer as it is made, and whose fault it is that nothing
//! happens.

use std::rc::Rc;

use rocket_core::http1::{Finish, Lease, NEVER, Part, Phase};

use crate::app::{Lines, MAX_BODY};
use crate::rig::{Rig, begun, chunked, get, post};

/// The lease of the exchange that was lent last.
fn lease(rig: &Rig) -> Rc<Lease> {
    Rc::clone(rig.app.leases.borrow().last().expect("something is lent"))
}

/// Let the borrower do something, and the connection act on it.
fn borrow(rig: &mut Rig, act: impl FnOnce(&Lease, &Lines)) {
    let lease = lease(rig);
    act(&lease, &rig.app);
    rig.act(|_, _, _, _| {});
}

fn resume(rig: &mut Rig) {
    borrow(rig, |lease, app| lease.resume(&mut |news| app.hear(&news)));
}

fn answer(rig: &mut Rig, text: &str) {
    borrow(rig, |lease, _| {
        lease.begin();
        lease.write(text.as_bytes());
        lease.finish(Finish { status: 200, content_bytes: 1, keep_alive: true });
    });
}

#[test]
fn content_is_held_until_it_is_wanted() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/lend", "content", 3));
    assert_eq!((Phase::Lent, false), (rig.phase(), rig.it().is_reading), "the client has to wait");
    assert_eq!(Vec::<String>::new(), rig.told());
    resume(&mut rig);
    assert_eq!(vec!["content con"], rig.told());
    assert!(rig.it().is_reading);
    rig.bytes(b"te");
    rig.bytes(&[b"nt", &get("/next")[..]].concat());
    assert_eq!(vec!["content te", "content nt", "end"], rig.told());
    answer(&mut rig, "answered\n");
    assert_eq!(vec!["finished /lend 200 1"], rig.told());
    rig.turn();
    assert_eq!("answered\n200 /next\n", rig.read());
}

#[test]
fn chunks_are_decoded_and_trailers_told() {
    let mut rig = Rig::new();
    rig.bytes(&chunked("/lend", "3\r\nabc\r\n2\r\nd"));
    resume(&mut rig);
    rig.bytes(b"e\r\n0\r\nA: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(vec!["content abcd", "content e", "end A: 1"], rig.told());
    answer(&mut rig, "answered\n");
    rig.turn();
    assert_eq!("answered\n200 /next\n", rig.read());
}

#[test]
fn whoever_pauses_gets_nothing_and_the_client_has_to_wait() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/lend", "content", 1));
    resume(&mut rig);
    borrow(&mut rig, |lease, _| lease.pause());
    assert!(!rig.it().is_reading);
    assert_eq!(60_000, rig.left(), "now it is the borrower's time");
    rig.bytes(b"on"); // on its way already
    assert_eq!((2, 0), rig.it().held_bytes());
    assert_eq!(vec!["content c"], rig.told());
    resume(&mut rig);
    assert_eq!(vec!["content on"], rig.told());
}

#[test]
fn wanted_content_has_its_time_and_more_while_it_keeps_its_rate() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/lend", &"x".repeat(99), 0));
    assert_eq!(60_000, rig.left());
    resume(&mut rig);
    assert_eq!(30_000, rig.left());
    rig.pass(20_000);
    rig.bytes(b"xx"); // ten bytes a second are owed: these two earn a fifth of one
    assert_eq!(10_200, rig.left());
    rig.wait();
    assert_eq!(vec!["content xx", "failed 408"], rig.told());
    assert_eq!((60_000, false), (rig.left(), rig.it().is_reading));
    answer(&mut rig, "408\n");
    assert_eq!(("408\n".to_owned(), Phase::Linger), (rig.read(), rig.phase()));
}

#[test]
fn a_borrower_has_the_time_of_a_handler_until_he_begins() {
    let mut rig = Rig::new();
    rig.bytes(&post("/lend", "x"));
    rig.pass(50_000);
    resume(&mut rig);
    assert_eq!(10_000, rig.left());
    borrow(&mut rig, |lease, _| lease.begin());
    assert_eq!(NEVER, rig.it().deadline);
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    rig.wait();
    assert!(lease(&rig).is_over());
    assert_eq!("503 /lend close\n", rig.read());
    borrow(&mut rig, |lease, _| {
        lease.write(b"too late");
        lease.finish(Finish { status: 200, content_bytes: 8, keep_alive: true });
    });
    assert_eq!("", rig.read());
}

#[test]
fn faults_of_the_content_are_told_and_close() {
    for (sent, news) in [
        (chunked("/lend", "zz\r\n"), "failed 400"),
        (chunked("/lend", &format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(101))), "failed 413"),
    ] {
        let mut rig = Rig::new();
        rig.bytes(&sent);
        assert!(lease(&rig).may_go_on() || !lease(&rig).is_begun());
        resume(&mut rig);
        assert_eq!(vec![news], rig.told());
        assert!(!lease(&rig).may_go_on());
        answer(&mut rig, "sorry\n");
        assert_eq!(("sorry\n".to_owned(), Phase::Linger), (rig.read(), rig.phase()));
    }
    let mut rig = Rig::new();
    rig.bytes(&post("/lend", &"x".repeat(MAX_BODY as usize + 1)));
    assert!(rig.app.leases.borrow().is_empty(), "refused before anybody is asked");
    assert_eq!("413 /lend close\n", rig.read());
}

#[test]
fn content_that_is_cut_short_is_told_when_it_is_wanted() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/lend", "content", 3));
    rig.end();
    assert_eq!(Vec::<String>::new(), rig.told());
    resume(&mut rig);
    assert_eq!(vec!["content con", "failed 400"], rig.told());
    answer(&mut rig, "cut\n");
    assert_eq!(vec!["closed", "finished /lend 200 1", "closed 7: 400"], rig.told());
}

#[test]
fn a_client_who_waits_is_told_to_go_on_once_and_not_behind_an_answer() {
    let expecting = b"POST /lend HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let mut rig = Rig::new();
    rig.bytes(expecting);
    assert!(!lease(&rig).may_go_on(), "nobody knows what it sends after an early answer");
    resume(&mut rig);
    borrow(&mut rig, |lease, _| lease.pause());
    resume(&mut rig);
    assert_eq!("HTTP/1.1 100 Continue\r\n\r\n", rig.read());
    assert!(lease(&rig).may_go_on());
    let mut rig = Rig::new();
    rig.bytes(expecting);
    borrow(&mut rig, |lease, _| lease.begin());
    resume(&mut rig);
    assert_eq!("", rig.read());
    assert!(!lease(&rig).may_go_on());
}

#[test]
fn little_that_nobody_reads_is_forgotten() {
    let mut rig = Rig::new();
    rig.bytes(&begun("/lend", "content", 3));
    answer(&mut rig, "early\n");
    assert_eq!((Phase::Content, true), (rig.phase(), rig.it().is_reading));
    rig.bytes(&[b"tent", &get("/next")[..]].concat());
    assert_eq!("early\n200 /next\n", rig.read());
    let mut rig = Rig::new();
    rig.bytes(&[post("/lend", "content"), get("/next")].concat());
    answer(&mut rig, "early\n");
    rig.turn();
    assert_eq!("early\n200 /next\n", rig.read());
    let mut rig = Rig::new();
    rig.bytes(&chunked("/lend", "3\r\n"));
    assert!(!lease(&rig).may_go_on());
    answer(&mut rig, "early\n");
    assert_eq!(Phase::Linger, rig.phase());
}

#[test]
fn room_is_told_to_whoever_was_asked_to_wait() {
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    borrow(&mut rig, |lease, _| assert!(lease.write(b"little")));
    assert_eq!(Vec::<String>::new(), rig.told());
    borrow(&mut rig, |lease, _| assert!(!lease.write(&[b'.'; 70_000])));
    assert_eq!(vec!["room"], rig.told());
    rig.room = 10;
    borrow(&mut rig, |lease, _| assert!(lease.write(&[b'.'; 30])));
    assert_eq!((20, 50_000), (lease(&rig).unsent(), rig.left()), "the time of a client who does not read");
    assert!(rig.it().is_reading, "what it sends may still be wanted");
    borrow(&mut rig, |lease, _| assert!(!lease.write(b"!")));
    rig.take(20);
    assert_eq!(Vec::<String>::new(), rig.told());
    rig.take(1);
    assert_eq!(vec!["room"], rig.told());
    assert_eq!(0, lease(&rig).unsent());
    assert_eq!(60_000, rig.left(), "nothing was begun: it is the borrower's time again");
}

#[test]
fn what_is_held_behind_the_content_is_bounded() {
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    while rig.offer(&get("/").repeat(100)) {}
    let held = rig.it().held_bytes().0;
    assert!((65_536..65_536 + 100 * get("/").len()).contains(&held), "{held}");
    answer(&mut rig, "first\n");
    rig.turn();
    assert!(rig.read().ends_with("200 /\n") && rig.it().is_reading);
}

#[test]
fn after_an_upgrade_bytes_are_bytes() {
    let mut rig = Rig::new();
    rig.bytes(&[&get("/lend")[..], b"GET"].concat());
    borrow(&mut rig, |lease, app| {
        lease.begin();
        lease.upgrade(&mut |news| app.hear(&news));
    });
    assert!(!rig.it().is_reading && rig.it().deadline == NEVER);
    resume(&mut rig);
    rig.bytes(b"\x00 /");
    assert_eq!(vec!["content GET", "content \0 /"], rig.told());
    rig.end();
    assert_eq!(vec!["left"], rig.told());
    borrow(&mut rig, |lease, _| {
        lease.write(b"bye");
        lease.finish(Finish { status: 101, content_bytes: 0, keep_alive: true });
    });
    assert_eq!(vec!["closed", "finished /lend 101 0", "closed 7"], rig.told());
    assert_eq!("bye", rig.read());
}

#[test]
fn a_client_who_leaves_behind_requests_waits_for_their_answers() {
    let mut rig = Rig::new();
    rig.bytes(&[get("/lend"), get("/next")].concat());
    rig.end();
    assert_eq!(Vec::<String>::new(), rig.told());
    answer(&mut rig, "first\n");
    rig.turn();
    assert_eq!("first\n200 /next\n", rig.read());
}

#[test]
fn whoever_aborts_cuts() {
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    borrow(&mut rig, |lease, _| {
        lease.write(b"lost");
        lease.abort();
        lease.finish(Finish { status: 200, content_bytes: 4, keep_alive: true });
    });
    assert_eq!(vec!["cut", "closed 7 with /lend"], rig.told());
    assert_eq!("", rig.read());
}

#[test]
fn two_files_at_once_have_no_order() {
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    borrow(&mut rig, |lease, _| {
        lease.send_file(Part { fd: -1, offset: 0, left: 5 });
        lease.write(b"behind");
        lease.finish(Finish { status: 200, content_bytes: 5, keep_alive: true });
    });
    assert_eq!((11, Vec::new()), (lease(&rig).unsent(), rig.told()), "the file is still to be sent");
    assert_eq!(Some(Part { fd: -1, offset: 0, left: 5 }), rig.it().part());
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    borrow(&mut rig, |lease, _| {
        lease.send_file(Part { fd: -1, offset: 0, left: 5 });
        lease.send_file(Part { fd: -1, offset: 5, left: 5 });
    });
    assert_eq!(vec!["cut", "closed 7 with /lend"], rig.told());
}

#[test]
fn a_draining_connection_ends_with_the_answer() {
    let mut rig = Rig::new();
    rig.bytes(&get("/lend"));
    rig.drain();
    assert_eq!(Phase::Lent, rig.phase());
    answer(&mut rig, "last\n");
    assert_eq!(Phase::Linger, rig.phase());
}
