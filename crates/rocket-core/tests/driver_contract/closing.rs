//! Connections that go.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::{Driver, Event, Token};

use crate::rig::{Dice, Rig, pattern, tcp_pair};

pub fn a_closed_connection_is_not_named_again(mut rig: Rig<impl Driver>) {
    let mut pairs: Vec<_> = (0..20).map(|_| rig.unix()).collect();
    for (_, client) in &mut pairs {
        client.write_all(&pattern(1000, 0)).unwrap();
    }
    // Some of them are in the list, some in the kernel, some nowhere yet. `wait` checks every later event.
    let events = rig.wait(Duration::from_secs(10));
    for (token, _) in pairs.drain(..) {
        rig.close(token);
    }
    for event in events {
        rig.take_if_alive(event);
    }
    rig.settle();
}

pub fn the_client_learns_that_it_was_closed(mut rig: Rig<impl Driver>) {
    // Armed, paused, paused with bytes, waiting for room, not even armed.
    let (armed, mut armed_client) = rig.tcp();
    let (paused, mut paused_client) = rig.tcp();
    let (spilled, mut spilled_client) = rig.unix();
    let (writing, mut writing_client) = rig.unix();
    rig.settle();
    rig.set_reading(paused, false);
    rig.set_reading(spilled, false);
    spilled_client.write_all(b"unread").unwrap();
    while rig.send(writing, &[0; 65_536]).is_ok() {}
    rig.want_write(writing);
    rig.settle();
    let (young, mut young_client) = rig.tcp();
    for token in [armed, paused, spilled, writing, young] {
        rig.close(token);
    }
    rig.settle();

    for client in [&mut armed_client, &mut paused_client, &mut young_client] {
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(0, client.read(&mut [0]).unwrap());
    }
    for client in [&mut spilled_client, &mut writing_client] {
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A Unix socket closed with unread bytes is reset, as TCP is.
        let _ = client.read_to_end(&mut Vec::new()).map_err(|error| {
            assert_eq!(std::io::ErrorKind::ConnectionReset, error.kind());
        });
    }
}

pub fn a_new_connection_with_an_old_descriptor_gets_its_bytes(mut rig: Rig<impl Driver>) {
    for round in 0..50 {
        let (old, _old_client) = rig.unix();
        if round % 2 == 0 {
            rig.settle();
        }
        // The next socket gets the same number, and the next token the same place.
        rig.close(old);
        let (new, mut client) = rig.unix();
        client.write_all(&pattern(5000, round)).unwrap();
        rig.until("the bytes", |rig| rig.bytes(new).len() >= 5000);

        assert!(pattern(5000, round) == rig.bytes(new));
        rig.close(new);
    }
}

pub fn a_detached_socket_keeps_its_bytes(mut rig: Rig<impl Driver>) {
    for is_settled in [false, true] {
        for is_paused in [false, true] {
            let (ours, mut client) = tcp_pair();
            let token = rig.attach(ours);
            if is_settled {
                rig.settle();
            }
            if is_paused {
                rig.set_reading(token, false);
            }
            client.write_all(&pattern(3000, 4)).unwrap();
            // Told, but not received.
            let _ = rig.wait(Duration::from_millis(1));
            let seen = rig.seen.remove(token).unwrap();
            let mut bytes = rig.driver.detach(token, seen.fd);
            client.write_all(b"and on").unwrap();
            drop(client);
            rig.settle();
            // SAFETY: the driver has given the descriptor up.
            let mut socket = unsafe { TcpStream::from_raw_fd(seen.fd) };
            socket.set_nonblocking(false).unwrap();
            socket.read_to_end(&mut bytes).unwrap();

            assert!([&pattern(3000, 4)[..], b"and on"].concat() == bytes);
        }
    }
}

/// A client, what it has sent in all, and the connection.
type Pair = (Token, UnixStream, Vec<u8>);

fn connect(rig: &mut Rig<impl Driver>) -> Pair {
    let (token, client) = rig.unix();
    client.set_nonblocking(true).unwrap();
    (token, client, Vec::new())
}

pub fn connections_come_and_go(mut rig: Rig<impl Driver>) {
    let mut dice = Dice(5);
    let mut pairs: Vec<Pair> = (0..16).map(|_| connect(&mut rig)).collect();
    for step in 0..3000 {
        let index = dice.below(16) as usize;
        let (token, client, sent) = &mut pairs[index];
        match dice.below(20) {
            0..8 => {
                let part = pattern(dice.below(3000) as usize + 1, step);
                // A full socket takes a part or nothing.
                let taken = client.write(&part).unwrap_or(0);
                sent.extend_from_slice(&part[..taken]);
            }
            8..12 => rig.set_reading(*token, false),
            12..16 => rig.set_reading(*token, true),
            16 => rig.want_write(*token),
            17 => {
                assert!(sent.starts_with(rig.bytes(*token)), "step {step}");
                rig.close(*token);
                pairs[index] = connect(&mut rig);
            }
            18 => {
                let seen = rig.seen.remove(*token).unwrap();
                let rest = rig.driver.detach(*token, seen.fd);
                // SAFETY: the driver has given the descriptor up.
                drop(unsafe { UnixStream::from_raw_fd(seen.fd) });
                assert!(sent.starts_with(&[seen.bytes, rest].concat()), "step {step}");
                pairs[index] = connect(&mut rig);
            }
            _ => rig.turn(Duration::ZERO),
        }
    }
    for (token, ..) in &pairs {
        rig.set_reading(*token, true);
    }
    rig.until("all bytes", |rig| pairs.iter().all(|(token, _, sent)| rig.bytes(*token).len() >= sent.len()));

    for (token, _, sent) in pairs {
        assert!(sent == rig.bytes(token));
    }
}

impl<D: Driver> Rig<D> {
    /// As a caller does with an event that was in a list when its connection was closed.
    fn take_if_alive(&mut self, event: Event) {
        match event {
            Event::Readable(token) | Event::Writable(token) | Event::Broken(token)
                if self.seen.get(token).is_none() => {}
            event => self.take(event),
        }
    }
}
