//! How long a wait takes, and what ends it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rocket_core::driver::{Driver, READ};

use crate::rig::{Rig, reset};

pub fn a_timeout_passes_in_full(mut rig: Rig<impl Driver>) {
    rig.settle();
    for timeout in [Duration::from_micros(150), Duration::from_micros(1_700), Duration::from_millis(5)] {
        // A wait may end early without events; together they take as long as they have to.
        let begin = Instant::now();
        while begin.elapsed() < timeout {
            assert!(rig.wait(timeout.saturating_sub(begin.elapsed())).is_empty());
        }
        let begin = Instant::now();
        let waits = (0..100).take_while(|_| {
            let events = rig.wait(timeout);
            assert!(events.is_empty());
            begin.elapsed() < timeout
        });

        assert!(waits.count() < 10, "it hardly waits");
    }
}

pub fn connections_at_rest_end_no_waits(mut rig: Rig<impl Driver>) {
    let (paused, mut paused_client) = rig.unix();
    let (ended, ended_client) = rig.tcp();
    let (broken, broken_client) = rig.tcp();
    let (writable, mut writable_client) = rig.unix();
    rig.settle();
    rig.set_reading(paused, false);
    rig.set_reading(broken, false);
    paused_client.write_all(b"not read").unwrap();
    ended_client.shutdown(Shutdown::Write).unwrap();
    reset(broken_client);
    let mut sent = 0;
    while let Ok(count) = rig.send(writable, &[0; 65_536]) {
        sent += count;
    }
    rig.want_write(writable);
    writable_client.read_exact(&mut vec![0; sent]).unwrap();
    rig.until("all is told", |rig| {
        rig.seen.get(ended).unwrap().ends
            + rig.seen.get(broken).unwrap().breakages
            + rig.seen.get(writable).unwrap().writables
            == 3
    });
    rig.settle();
    let begin = Instant::now();
    let waits = (0..1000).take_while(|_| {
        assert!(rig.wait(Duration::from_millis(20)).is_empty());
        begin.elapsed() < Duration::from_millis(20)
    });

    assert!(waits.count() < 10, "it hardly waits");
}

pub fn zero_only_looks(mut rig: Rig<impl Driver>) {
    let (token, mut client) = rig.unix();
    for _ in 0..100 {
        assert!(rig.wait(Duration::ZERO).is_empty());
    }
    client.write_all(b"x").unwrap();
    rig.until("looking finds it", |rig| {
        rig.turn(Duration::ZERO);
        rig.bytes(token) == b"x"
    });
}

pub fn another_thread_ends_an_endless_wait(mut rig: Rig<impl Driver>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    rig.driver.watch(ours.as_raw_fd(), READ).unwrap();
    let (token, mut client) = rig.unix();
    thread::scope(|scope| {
        scope.spawn(move || {
            client.write_all(b"x").unwrap();
            theirs.write_all(b"x").unwrap();
            client
        });
        while rig.bytes(token).is_empty() || !rig.foreign.contains_key(&ours.as_raw_fd()) {
            let mut events = Vec::new();
            rig.driver.wait(None, &mut events).unwrap();
            for event in events {
                rig.take(event);
            }
        }
    });
}

extern "C" fn on_signal(_: libc::c_int) {}

pub fn a_signal_ends_a_wait_without_events(mut rig: Rig<impl Driver>) {
    let handler: extern "C" fn(libc::c_int) = on_signal;
    // SAFETY: the handler does nothing; a zeroed `sigaction` has no flags and an empty mask.
    let us = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        assert_eq!(0, libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()));
        libc::pthread_self()
    };
    rig.settle();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // SAFETY: the thread waits in this scope.
                unsafe { libc::pthread_kill(us, libc::SIGUSR1) };
                thread::yield_now();
            }
        });
        let mut events = Vec::new();
        let result = rig.driver.wait(None, &mut events);
        is_over.store(true, Ordering::Relaxed);

        assert!(result.is_ok() && events.is_empty());
    });
}

/// Turn until something is so, waiting for the driver's descriptor as another event loop would.
fn outside<D: Driver>(rig: &mut Rig<D>, what: &str, is_so: impl Fn(&Rig<D>) -> bool) {
    loop {
        let mut poll = libc::pollfd { fd: rig.driver.fileno(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the kernel writes one `pollfd`.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 30_000) };
        assert_eq!(1, ready, "the descriptor was never ready: {what}");
        rig.turn(Duration::ZERO);
        if is_so(rig) {
            return;
        }
    }
}

pub fn another_loop_can_watch_the_driver(mut rig: Rig<impl Driver>) {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let fd = ours.as_raw_fd();
    let (token, mut client) = rig.unix();
    client.write_all(b"one").unwrap();
    outside(&mut rig, "bytes", |rig| rig.bytes(token) == b"one");
    rig.driver.watch(fd, READ).unwrap();
    theirs.write_all(b"x").unwrap();
    for _ in 0..3 {
        rig.foreign.clear();
        outside(&mut rig, "a foreign descriptor, as long as it is ready", |rig| {
            rig.foreign.contains_key(&fd)
        });
    }
    ours.read_exact(&mut [0]).unwrap();
    rig.set_reading(token, false);
    client.write_all(b"two").unwrap();
    rig.settle();
    rig.set_reading(token, true);
    outside(&mut rig, "bytes after a pause", |rig| rig.bytes(token) == b"onetwo");
    let mut sent = 0;
    while let Ok(count) = rig.send(token, &[0; 65_536]) {
        sent += count;
    }
    rig.want_write(token);
    thread::scope(|scope| {
        scope.spawn(|| client.read_exact(&mut vec![0; sent]).unwrap());
        outside(&mut rig, "room", |rig| rig.seen.get(token).unwrap().writables == 1);
    });
    client.write_all(&[1; 20_000]).unwrap();
    outside(&mut rig, "many bytes", |rig| rig.bytes(token).len() == 20_006);
    let (late, mut late_client) = rig.unix();
    late_client.write_all(b"late").unwrap();
    outside(&mut rig, "a connection that came between waits", |rig| rig.bytes(late) == b"late");
    rig.close(late);
    // Whatever it takes for the socket to be really closed, the other loop is called for it.
    late_client.set_nonblocking(true).unwrap();
    while late_client.read(&mut [0]).is_err() {
        outside(&mut rig, "there is something to do about the closed connection", |_| true);
    }
}
