//! A forked child that lets go of its copy of a driver harms neither itself nor its parent.

use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::probe::probe_uring;
use rocket_core::driver::uring::{RingOptions, Uring};
use rocket_core::driver::{Driver, Receive};

fn check(driver: impl Driver) {
    let mut driver = Some(driver);
    let ours = driver.as_mut().unwrap();
    let (server, mut client) = UnixStream::pair().unwrap();
    let (token, fd) = (1 << 32, server.into_raw_fd());
    let mut events = Vec::new();
    ours.attach(token, fd).unwrap();
    ours.wait(Some(Duration::ZERO), &mut events).unwrap();
    client.write_all(b"before").unwrap();
    ours.set_reading(token, fd, false);
    ours.wait(Some(Duration::from_millis(1)), &mut events).unwrap();
    // SAFETY: the child does nothing but free memory and leave.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(driver.take());
        // SAFETY: leaves without running what is the parent's to run.
        unsafe { libc::_exit(0) };
    }
    let mut status = -1;
    // SAFETY: the kernel writes one number.
    assert_eq!(child, unsafe { libc::waitpid(child, &raw mut status, 0) });
    assert_eq!(0, status, "the child ended badly");

    ours.set_reading(token, fd, true);
    client.write_all(b" and after").unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < 16 {
        ours.wait(Some(Duration::from_secs(30)), &mut events).unwrap();
        for _ in events.drain(..) {
            if let Receive::Bytes(chunk) = ours.receive(token, fd) {
                bytes.extend_from_slice(&chunk);
                ours.give_back(chunk);
            }
        }
    }
    assert_eq!(b"before and after", &bytes[..]);
    ours.close(token, fd);
}

#[test]
fn a_childs_copy_is_harmless() {
    check(Epoll::new().unwrap());
    match probe_uring() {
        Ok(()) => {
            check(Uring::new(&RingOptions::default()).unwrap());
            check(Uring::new(&RingOptions { single_issuer: false, ..RingOptions::default() }).unwrap());
        }
        Err(reason) => eprintln!("not checked: {reason}"),
    }
}
