//! Nothing stays behind: one test, alone in its process, because descriptors are counted for the whole of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::probe::probe_uring;
use rocket_core::driver::uring::{RingOptions, Uring};
use rocket_core::driver::{Accepting, Driver, Event, READ};

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Connections in every state there is, some of them never closed by the driver.
fn use_and_drop(mut driver: impl Driver) {
    let mut events = Vec::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    driver.listen(0, listener.as_raw_fd()).unwrap();
    driver.set_accepting(0, Accepting::Take);
    driver.fileno();
    let mut clients = Vec::new();
    let mut left = Vec::new();
    for place in 0..60_u64 {
        let (ours, mut client) = UnixStream::pair().unwrap();
        let (token, fd) = (1 << 32 | place, ours.into_raw_fd());
        driver.attach(token, fd).unwrap();
        client.write_all(b"some bytes").unwrap();
        driver.watch(client.as_raw_fd(), READ).unwrap();
        if place % 2 == 0 {
            driver.set_reading(token, fd, false);
        }
        if place % 3 == 0 {
            driver.want_write(token, fd);
        }
        driver.wait(Some(Duration::from_millis(1)), &mut events).unwrap();
        match place % 3 {
            0 => driver.close(token, fd),
            1 => {
                let _ = driver.detach(token, fd);
                // SAFETY: the driver has given it up.
                drop(unsafe { UnixStream::from_raw_fd(fd) });
            }
            _ => left.push(fd),
        }
        clients.push((client, place % 3 == 2));
    }
    // Taken from the queue, told or not.
    let address = listener.local_addr().unwrap();
    let _waiting = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    for event in events {
        if let Event::Accepted { connection: Ok(fd), .. } = event {
            left.push(fd);
        }
    }
    drop(driver);
    for fd in left {
        // SAFETY: the driver is gone and did not close it.
        drop(unsafe { UnixStream::from_raw_fd(fd) });
    }
    for (mut client, was_left) in clients {
        // Nobody holds the other end any more. With bytes unread that is a reset.
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let heard = client.read(&mut [0; 1]);
        let is_reset = heard.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ECONNRESET));
        assert!(is_reset || heard.as_ref().is_ok_and(|count| *count == 0), "{heard:?}, left: {was_left}");
    }
}

#[test]
fn no_descriptor_stays_open() {
    let before = open_descriptors();
    for _ in 0..3 {
        use_and_drop(Epoll::new().unwrap());
        assert_eq!(before, open_descriptors());
    }
    if let Err(reason) = probe_uring() {
        eprintln!("not checked: {reason}");
        return;
    }
    assert_eq!(before, open_descriptors(), "the probe left something");
    for options in [
        RingOptions::default(),
        RingOptions { single_issuer: false, ..RingOptions::default() },
        RingOptions { buffers: 2, buffer_size: 64, entries: 2, ..RingOptions::default() },
        RingOptions { sqpoll: true, ..RingOptions::default() },
    ] {
        use_and_drop(Uring::new(&options).unwrap());
        assert_eq!(before, open_descriptors(), "{options:?}");
    }
    assert!(Uring::new(&RingOptions { buffers: 0, ..RingOptions::default() }).is_err());
    assert_eq!(before, open_descriptors(), "a ring that could not be made left something");
}
