//! Bytes, ends and failures.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rocket_core::driver::{Driver, Event, READ, Receive};

use crate::rig::{Dice, Rig, pattern, raise_file_limit, reset};

pub fn bytes_of_any_size_arrive_whole_and_in_order(mut rig: Rig<impl Driver>) {
    for length in [1, 63, 64, 65, 127, 1000, 8191, 8192, 8193, 65_536, 1_000_000] {
        let sent = pattern(length, length);
        let (unix, mut unix_client) = rig.unix();
        let (tcp, mut tcp_client) = rig.tcp();
        thread::scope(|scope| {
            scope.spawn(|| unix_client.write_all(&sent).unwrap());
            scope.spawn(|| tcp_client.write_all(&sent).unwrap());
            rig.until("all bytes", |rig| rig.bytes(unix).len() >= length && rig.bytes(tcp).len() >= length);
        });

        assert!(rig.bytes(unix) == sent, "{length} bytes by a Unix socket");
        assert!(rig.bytes(tcp) == sent, "{length} bytes by TCP");
        rig.close(unix);
        rig.close(tcp);
    }
}

pub fn many_connections_do_not_mix(mut rig: Rig<impl Driver>) {
    raise_file_limit();
    let mut pairs: Vec<_> = (0..1000).map(|_| rig.unix()).collect();
    for (number, (_, client)) in pairs.iter_mut().enumerate() {
        client.write_all(&pattern(100, number)).unwrap();
    }
    rig.until("everybody's bytes", |rig| pairs.iter().all(|(token, _)| rig.bytes(*token).len() >= 100));

    for (number, (token, _)) in pairs.iter().enumerate() {
        assert_eq!(pattern(100, number), rig.bytes(*token));
        rig.close(*token);
    }
}

pub fn few_buffers_slow_and_lose_nothing(mut rig: Rig<impl Driver>) {
    let mut pairs: Vec<_> = (0..256).map(|_| rig.unix()).collect();
    for (number, (_, client)) in pairs.iter_mut().enumerate() {
        client.write_all(&pattern(10_000, number)).unwrap();
    }
    rig.until("everybody's bytes", |rig| pairs.iter().all(|(token, _)| rig.bytes(*token).len() >= 10_000));

    for (number, (token, _)) in pairs.iter().enumerate() {
        assert!(pattern(10_000, number) == rig.bytes(*token));
        rig.close(*token);
    }
}

pub fn a_hog_starves_nobody(mut rig: Rig<impl Driver>) {
    let (hog, mut hog_client) = rig.unix();
    let (modest, mut modest_client) = rig.unix();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                hog_client.write_all(&[b'x'; 4096]).unwrap();
            }
        });
        rig.until("the hog is at it", |rig| rig.bytes(hog).len() > 10_000);
        for round in 1..=20 {
            modest_client.write_all(b"please").unwrap();
            rig.until("a modest client's bytes", |rig| rig.bytes(modest).len() == round * 6);
        }
        is_over.store(true, Ordering::Relaxed);
        // It may be in the middle of a write that takes all there is to read.
        while !rig.seen.get(hog).unwrap().bytes.is_empty() {
            rig.seen.get_mut(hog).unwrap().bytes.clear();
            rig.settle();
        }
    });
}

pub fn paused_connections_take_no_buffers(mut rig: Rig<impl Driver>) {
    let mut paused: Vec<_> = (0..300).map(|_| rig.unix()).collect();
    rig.settle();
    for (token, client) in &mut paused {
        rig.set_reading(*token, false);
        client.write_all(b"for later").unwrap();
    }
    rig.settle();
    let (token, mut client) = rig.unix();
    client.write_all(&pattern(10_000, 6)).unwrap();
    rig.until("bytes of somebody else", |rig| rig.bytes(token).len() >= 10_000);
    for (token, _) in &paused {
        assert_eq!(b"", rig.bytes(*token));
        rig.set_reading(*token, true);
    }
    rig.until("everybody's bytes", |rig| paused.iter().all(|(token, _)| rig.bytes(*token) == b"for later"));
}

pub fn a_paused_client_cannot_send_for_ever(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    rig.settle();
    rig.set_reading(token, false);
    client.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let mut rounds = 0;
    loop {
        let before = sent;
        while let Ok(count) = client.write(&[b'x'; 16_384]) {
            sent += count;
        }
        if sent == before {
            break;
        }
        rig.settle();
        rounds += 1;
        assert!(rounds < 20, "{sent} bytes, and still no end");
    }
    rig.set_reading(token, true);
    rig.until("all of it", |rig| rig.bytes(token).len() == sent);
}

pub fn nothing_is_told_while_paused(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    client.write_all(b"one ").unwrap();
    rig.until("the first bytes", |rig| rig.bytes(token) == b"one ");
    rig.set_reading(token, false);
    for word in [b"two ", b"six ", b"ten "] {
        client.write_all(word).unwrap();
        rig.settle();

        assert_eq!(b"one ", rig.bytes(token));
    }
    rig.set_reading(token, true);
    rig.until("the rest", |rig| rig.bytes(token).len() >= 16);
    client.write_all(b"end").unwrap();
    rig.until("and what came after", |rig| rig.bytes(token).len() >= 19);

    assert_eq!(b"one two six ten end", rig.bytes(token));
}

pub fn a_pause_within_one_batch_loses_nothing(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    client.write_all(&pattern(1000, 1)).unwrap();
    // Told, and paused before it was received.
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, Event::Readable(_))) {
        events = rig.wait(Duration::from_secs(10));
    }
    rig.set_reading(token, false);
    rig.set_reading(token, true);
    rig.set_reading(token, false);
    rig.settle();

    assert_eq!(b"", rig.bytes(token));
    rig.set_reading(token, true);
    rig.set_reading(token, false);
    rig.set_reading(token, true);
    rig.until("the bytes", |rig| rig.bytes(token).len() >= 1000);

    assert_eq!(pattern(1000, 1), rig.bytes(token));
}

pub fn pauses_at_any_moment_lose_nothing(mut rig: Rig<impl Driver>) {
    const LENGTH: usize = 300_000;
    let mut dice = Dice(11);
    let mut pairs: Vec<_> = (0..4).map(|_| rig.unix()).collect();
    thread::scope(|scope| {
        let mut tokens = Vec::new();
        for (number, (token, client)) in pairs.iter_mut().enumerate() {
            tokens.push(*token);
            scope.spawn(move || {
                for part in pattern(LENGTH, number).chunks(997) {
                    client.write_all(part).unwrap();
                }
            });
        }
        rig.until("all bytes", |rig| {
            for token in &tokens {
                rig.set_reading(*token, dice.below(3) > 0);
            }
            // Somebody who has not got everything is read, or there would be nothing to wait for.
            if let Some(token) = tokens.iter().find(|token| rig.bytes(**token).len() < LENGTH) {
                rig.set_reading(*token, true);
            }
            tokens.iter().all(|token| rig.bytes(*token).len() >= LENGTH)
        });
    });

    for (number, (token, _)) in pairs.iter().enumerate() {
        assert!(pattern(LENGTH, number) == rig.bytes(*token));
    }
}

pub fn bytes_stay_while_other_things_happen(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    let (other, mut other_client) = rig.unix();
    let (gone, _gone_client) = rig.unix();
    let (pipe, _pipe_end) = std::io::pipe().unwrap();
    client.write_all(b"first").unwrap();
    let mut readable = false;
    while !readable {
        readable = rig
            .wait(Duration::from_secs(10))
            .iter()
            .any(|event| matches!(event, Event::Readable(told) if *told == token));
    }
    let fd = rig.fd(token);
    let Receive::Bytes(chunk) = rig.driver.receive(token, fd) else { panic!("no bytes") };
    // As a handler may do that is called with these bytes.
    other_client.write_all(&pattern(10_000, 2)).unwrap();
    client.write_all(b"second").unwrap();
    rig.driver.watch(pipe.as_raw_fd(), READ).unwrap();
    rig.set_reading(token, false);
    rig.set_reading(other, false);
    rig.close(gone);

    assert_eq!(b"first", &chunk[..]);
    rig.driver.give_back(chunk);
    rig.set_reading(token, true);
    rig.set_reading(other, true);
    rig.until("the rest", |rig| rig.bytes(token) == b"second" && rig.bytes(other).len() >= 10_000);
}

pub fn a_kept_chunk_outlives_later_waits(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    let fd = rig.fd(token);
    let mut kept = None;
    for round in 0..10 {
        client.write_all(&pattern(50, round)).unwrap();
        let mut is_readable = false;
        while !is_readable {
            is_readable = !rig.wait(Duration::from_secs(10)).is_empty();
        }
        let Receive::Bytes(chunk) = rig.driver.receive(token, fd) else { panic!("nothing came") };
        rig.driver.keep(&chunk);
        if let Some(before) = kept.replace(chunk) {
            assert_eq!(pattern(50, round - 1), *before);
            rig.driver.give_back(before);
        }
    }
    rig.driver.give_back(kept.unwrap());
}

pub fn the_end_comes_after_the_bytes_and_once(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.tcp();
    client.write_all(&pattern(20_000, 3)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until("the end", |rig| rig.seen.get(token).unwrap().ends > 0);
    rig.settle();

    let seen = rig.seen.get(token).unwrap();
    assert!(pattern(20_000, 3) == seen.bytes);
    assert_eq!((1, 0), (seen.ends, seen.breakages));
    // Whoever wants to read on is told again.
    rig.set_reading(token, true);
    rig.until("the end again", |rig| rig.seen.get(token).unwrap().ends == 2);
}

pub fn an_end_while_paused_is_told_when_reading_goes_on(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.tcp();
    rig.settle();
    rig.set_reading(token, false);
    client.write_all(b"last words").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    rig.settle();

    let seen = rig.seen.get(token).unwrap();
    assert_eq!((0, 0, 0), (seen.bytes.len(), seen.ends, seen.breakages));
    rig.set_reading(token, true);
    rig.until("the end", |rig| rig.seen.get(token).unwrap().ends > 0);

    assert_eq!(b"last words", rig.bytes(token));
}

pub fn a_reset_is_a_failure(mut rig: Rig<impl Driver>) {
    let (token, client) = rig.tcp();
    rig.settle();
    reset(client);
    rig.until("the failure", |rig| !rig.seen.get(token).unwrap().failures.is_empty());
    rig.settle();

    let seen = rig.seen.get(token).unwrap();
    assert_eq!((&vec![libc::ECONNRESET], 0), (&seen.failures, seen.breakages));
    rig.close(token);
}

pub fn a_reset_while_paused_is_told_once(mut rig: Rig<impl Driver>) {
    let (quiet, quiet_client) = rig.tcp();
    let (busy, mut busy_client) = rig.tcp();
    rig.settle();
    rig.set_reading(quiet, false);
    rig.set_reading(busy, false);
    busy_client.write_all(b"not read").unwrap();
    rig.settle();
    reset(quiet_client);
    reset(busy_client);
    rig.until("both are broken", |rig| {
        [quiet, busy].iter().all(|token| rig.seen.get(*token).unwrap().breakages > 0)
    });
    rig.settle();

    for token in [quiet, busy] {
        assert_eq!(1, rig.seen.get(token).unwrap().breakages);
        rig.close(token);
    }
}

pub fn a_reset_after_the_end_is_told(mut rig: Rig<impl Driver>) {
    let (token, client) = rig.tcp();
    client.shutdown(Shutdown::Write).unwrap();
    rig.until("the end", |rig| rig.seen.get(token).unwrap().ends > 0);
    rig.settle();

    assert_eq!(0, rig.seen.get(token).unwrap().breakages);
    // Bytes for a client that reads no more are answered with a reset.
    client.shutdown(Shutdown::Read).unwrap();
    drop(client);
    rig.send(token, b"answer").unwrap();
    rig.until("the reset", |rig| rig.seen.get(token).unwrap().breakages > 0);
    rig.close(token);
}
