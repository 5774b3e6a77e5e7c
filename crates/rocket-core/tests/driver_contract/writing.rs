//! Room to write.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;

use rocket_core::driver::{Driver, Token};

use crate::rig::{Rig, reset};

/// Send until the socket takes no more: bytes taken.
fn fill(rig: &mut Rig<impl Driver>, token: Token) -> usize {
    let mut taken = 0;
    loop {
        match rig.send(token, &[b'x'; 65_536]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn writable_is_told_once_when_there_is_room(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    for round in 1..=3 {
        let taken = fill(&mut rig, token);
        rig.want_write(token);
        rig.settle();

        assert_eq!(round - 1, rig.seen.get(token).unwrap().writables);
        client.read_exact(&mut vec![0; taken]).unwrap();
        rig.until("room", |rig| rig.seen.get(token).unwrap().writables >= round);
        rig.settle();

        assert_eq!(round, rig.seen.get(token).unwrap().writables);
    }
}

pub fn half_closed_clients_are_waited_for(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.tcp();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until("the end", |rig| rig.seen.get(token).unwrap().ends > 0);
    let taken = fill(&mut rig, token);
    rig.want_write(token);
    rig.settle();

    assert_eq!(0, rig.seen.get(token).unwrap().writables);
    client.read_exact(&mut vec![0; taken]).unwrap();
    rig.until("room", |rig| rig.seen.get(token).unwrap().writables > 0);
    rig.settle();

    assert_eq!((1, 0), (rig.seen.get(token).unwrap().writables, rig.seen.get(token).unwrap().breakages));
}

pub fn waiting_for_room_ends_with_a_reset(mut rig: Rig<impl Driver>) {
    let (reading, reading_client) = rig.tcp();
    let (paused, paused_client) = rig.tcp();
    rig.set_reading(paused, false);
    for token in [reading, paused] {
        fill(&mut rig, token);
        rig.want_write(token);
    }
    rig.settle();
    reset(reading_client);
    reset(paused_client);
    rig.until("both are told", |rig| {
        let reading = rig.seen.get(reading).unwrap();
        let paused = rig.seen.get(paused).unwrap();
        !reading.failures.is_empty() && paused.breakages == 1
    });

    for token in [reading, paused] {
        assert!(rig.send(token, b"x").is_err());
        rig.close(token);
    }
}

pub fn half_closed_clients_get_their_answers(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.tcp();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until("the end", |rig| rig.seen.get(token).unwrap().ends > 0);
    rig.send(token, b"answer").unwrap();
    rig.close(token);
    rig.settle();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();

    assert_eq!(b"answer", &answer[..]);
}
