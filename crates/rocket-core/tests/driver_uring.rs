//! What only the driver on io_uring has: buffers that run out, and a bell instead of a descriptor of the kernel's.

use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::probe::probe_uring;
use rocket_core::driver::uring::{RingOptions, Uring};
use rocket_core::driver::{Driver, Event, Receive};

/// A driver with that many buffers of 64 bytes; None where there is no io_uring.
fn make(buffers: u32) -> Option<Uring> {
    let options = RingOptions { buffers, buffer_size: 64, ..RingOptions::default() };
    match probe_uring() {
        Ok(()) => Some(Uring::new(&options).unwrap()),
        Err(reason) => {
            eprintln!("not checked: {reason}");
            None
        }
    }
}

/// Whether another loop that watches the driver would be called, within so many milliseconds.
fn is_rung(driver: &Uring, timeout_ms: i32) -> bool {
    let mut poll = libc::pollfd { fd: driver.fileno(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the kernel writes one `pollfd`.
    1 == unsafe { libc::poll(&raw mut poll, 1, timeout_ms) }
}

fn receive_one(driver: &mut Uring, token: u64, fd: i32) -> Receive {
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, Event::Readable(_))) {
        driver.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
    }
    driver.receive(token, fd)
}

#[test]
fn a_buffer_that_comes_back_calls_for_those_who_wait() {
    let Some(mut driver) = make(1) else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (token, fd) = (1 << 32, ours.into_raw_fd());
    driver.fileno();
    driver.attach(token, fd).unwrap();
    theirs.write_all(b"one").unwrap();
    let Receive::Bytes(kept) = receive_one(&mut driver, token, fd) else { panic!("no bytes") };
    theirs.write_all(b"two").unwrap();
    // There is no buffer, and nothing to be done about it: after a while nobody is called any more.
    let mut events = Vec::new();
    for _ in 0..10 {
        driver.wait(Some(Duration::from_millis(1)), &mut events).unwrap();
    }
    assert!(events.is_empty() && !is_rung(&driver, 0));
    assert_eq!(b"one", &*kept);
    driver.give_back(kept);

    assert!(is_rung(&driver, 10_000));
    let Receive::Bytes(chunk) = receive_one(&mut driver, token, fd) else { panic!("no bytes") };
    assert_eq!(b"two", &*chunk);
    driver.give_back(chunk);
    driver.close(token, fd);
}

#[test]
fn who_got_no_buffer_comes_before_who_got_all() {
    let Some(mut driver) = make(2) else { return };
    // Alone they would take all buffers each time; the order in which they come is theirs for ever.
    let (ours, mut hog) = UnixStream::pair().unwrap();
    let (hog_token, hog_fd) = (1 << 32, ours.into_raw_fd());
    let (ours, mut modest) = UnixStream::pair().unwrap();
    let (modest_token, modest_fd) = (1 << 32 | 1, ours.into_raw_fd());
    hog.write_all(&[b'x'; 100_000]).unwrap();
    modest.write_all(b"please").unwrap();
    driver.attach(modest_token, modest_fd).unwrap();
    driver.attach(hog_token, hog_fd).unwrap();
    let mut taken = 0;
    let mut events = Vec::new();
    'all: loop {
        driver.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
        for event in events.drain(..) {
            let Event::Readable(token) = event else { panic!("{event:?}") };
            let fd = if token == hog_token { hog_fd } else { modest_fd };
            let Receive::Bytes(chunk) = driver.receive(token, fd) else { panic!("no bytes") };
            if token == modest_token {
                driver.give_back(chunk);
                break 'all;
            }
            taken += chunk.len();
            driver.give_back(chunk);
        }
    }
    assert!(taken < 1000, "a modest client waited for {taken} bytes of another's");
    driver.close(hog_token, hog_fd);
    driver.close(modest_token, modest_fd);
}

#[test]
fn who_asks_late_for_the_descriptor_misses_nothing() {
    let Some(mut driver) = make(4) else { return };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (token, fd) = (1 << 32, ours.into_raw_fd());
    driver.attach(token, fd).unwrap();
    driver.wait(Some(Duration::ZERO), &mut Vec::new()).unwrap();
    theirs.write_all(b"bytes").unwrap();

    assert!(is_rung(&driver, 10_000));
    let Receive::Bytes(chunk) = receive_one(&mut driver, token, fd) else { panic!("no bytes") };
    driver.give_back(chunk);
    driver.close(token, fd);
}

#[test]
fn impossible_rings_are_refused() {
    if probe_uring().is_err() {
        return;
    }
    for (buffers, buffer_size) in [(0, 64), (1 << 16, 64), (4, 0)] {
        let options = RingOptions { buffers, buffer_size, ..RingOptions::default() };
        let refused = Uring::new(&options).err().unwrap();

        assert!(refused.to_string().contains("buffers"), "{refused}");
    }
}
