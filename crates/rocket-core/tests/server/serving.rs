//! Requests and answers.

use std::io::Write;
use std::net::Shutdown;

use crate::app::BIG_ANSWER;
use crate::rig::{Rig, get, take};

pub fn a_connection_is_served_until_its_client_leaves(mut rig: Rig) {
    let (_, mut client) = rig.open();
    assert_eq!("200 /\n", rig.ask(&mut client, &get("/"), "\n"));
    assert_eq!("200 /a\n200 /b\n", rig.ask(&mut client, &[get("/a"), get("/b")].concat(), "/b\n"));
    assert_eq!((1, (0, 0)), (rig.server.len(), rig.server.held_bytes()));
    assert_eq!((get("/").len() * 3 + 2, "200 /\n".len() * 3 + 2), rig.app().counted.get());
    client.shutdown(Shutdown::Write).unwrap();
    rig.until(|rig| rig.server.is_empty());
    assert!(rig.is_left(&mut client));
    assert_eq!(vec!["closed 1"], rig.app().told());
}

pub fn a_client_that_reads_late_gets_everything(mut rig: Rig) {
    let (token, mut client) = rig.open();
    client.write_all(&get("/big").repeat(20)).unwrap();
    client.write_all(&get("/wait")).unwrap();
    rig.until(|rig| rig.server.held_bytes().1 > 0);
    let mut got = 0;
    while got < 20 * BIG_ANSWER {
        match take(&mut client).expect("it goes on") {
            piece if piece.is_empty() => rig.turn(),
            piece => got += piece.len(),
        }
    }
    rig.until(|rig| rig.server.held_bytes() == (0, 0));
    rig.handled(token);
    assert_eq!("200 /wait\n200 /\n", rig.ask(&mut client, &get("/"), "200 /\n"));
}

pub fn the_last_answer_is_followed_by_our_end_and_then_by_the_clients(mut rig: Rig) {
    let (_, mut client) = rig.open();
    client.write_all(&[get("/close"), get("/forgotten")].concat()).unwrap();
    rig.turn();
    assert_eq!(Some(b"200 /close close\n".to_vec()), take(&mut client));
    assert_eq!((None, 1), (take(&mut client), rig.server.len()));
    client.write_all(b"more").unwrap();
    rig.turn();
    assert_eq!(1, rig.server.len());
    drop(client);
    rig.until(|rig| rig.server.is_empty());
    assert_eq!(vec!["closed 1"], rig.app().told());
}

pub fn an_answer_that_comes_later_finds_its_connection(mut rig: Rig) {
    let (first, mut one) = rig.open();
    let (second, mut other) = rig.open();
    for client in [&mut one, &mut other] {
        client.write_all(&[get("/wait"), get("/")].concat()).unwrap();
    }
    rig.until(|rig| rig.server.held_bytes().0 == 2 * get("/").len());
    rig.handled(second);
    assert!(rig.server.has_more());
    rig.server.go_on(u64::MAX);
    assert_eq!(Some(b"200 /wait\n200 /\n".to_vec()), take(&mut other));
    assert_eq!(Some(Vec::new()), take(&mut one));
    rig.handled(first);
    assert_eq!(Some(b"200 /wait\n".to_vec()), take(&mut one));
}

pub fn an_answer_that_comes_too_late_finds_nobody(mut rig: Rig) {
    let (token, mut client) = rig.open();
    client.write_all(&get("/wait")).unwrap();
    rig.turn();
    rig.server.abort_all();
    assert_eq!(vec!["closed 1 with /wait"], rig.app().told());
    let (next, mut other) = rig.open();
    other.write_all(&get("/wait")).unwrap();
    rig.turn();
    assert_ne!(token, next);
    rig.server.on_handled(token, |_, _, _, _| panic!("nobody waits for it"));
    rig.handled(next);
    assert_eq!(Some(b"200 /wait\n".to_vec()), take(&mut other));
}

pub fn what_was_held_back_is_served_in_turns_of_limited_time(mut rig: Rig) {
    rig.app().handler_ns.set(1_000_000);
    let mut clients: Vec<_> = (0..3).map(|_| rig.open().1).collect();
    for client in &mut clients {
        client.write_all(&get("/").repeat(12)).unwrap();
        rig.hear();
        rig.act();
    }
    let mut answered = 12;
    while rig.server.has_more() {
        // Four answers of a millisecond are more than that: one connection gets its turn, those who wait first.
        rig.server.go_on(rig.app().now_ns.get() + 3_000_000);
        answered += 4;
        let got = clients.iter_mut().map(|client| take(client).unwrap().len() / "200 /\n".len());
        assert_eq!(if answered == 16 { 16 } else { 4 }, got.sum::<usize>());
    }
    assert_eq!(36, answered);
}

pub fn what_cannot_be_watched_stays_the_callers(rig: Rig) {
    assert!(rig.server.open(-1, |_| panic!("nobody is to be its guest")).is_err());
    assert!(rig.server.is_empty());
    assert!(rig.app().told().is_empty());
}

pub fn made_up_tokens_name_nothing(mut rig: Rig) {
    let (token, _client) = rig.open();
    for other in [0, token + 1, token + (1 << 32), u64::MAX] {
        rig.server.on_readable(other);
        rig.server.on_writable(other);
        rig.server.on_broken(other);
        rig.server.on_handled(other, |_, _, _, _| panic!("nobody waits for it"));
    }
    assert_eq!(1, rig.server.len());
}
