//! The contract of drivers, on epoll.

use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::{Driver, Event, Receive};

#[test]
fn bytes_and_the_end_arrive() {
    let mut driver = Epoll::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (token, fd) = (7 << 32 | 3, ours.into_raw_fd());
    driver.attach(token, fd).unwrap();
    theirs.write_all(b"hello").unwrap();
    drop(theirs);
    let mut received = Vec::new();
    let mut is_ended = false;
    while !is_ended {
        let mut events = Vec::new();
        driver.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
        for event in events {
            assert!(matches!(event, Event::Readable(told) if told == token), "{event:?}");
            match driver.receive(token, fd) {
                Receive::Bytes(chunk) => {
                    received.extend_from_slice(&chunk);
                    driver.give_back(chunk);
                }
                Receive::End => is_ended = true,
                other => panic!("{other:?}"),
            }
        }
    }
    driver.close(token, fd);
    assert_eq!(received, b"hello");
}
