//! What only epoll has: buffers of its own for chunks that are kept.

use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rocket_core::driver::epoll::Epoll;
use rocket_core::driver::{Driver, Receive};

#[test]
fn a_kept_chunk_outlives_what_is_received_after_it() {
    let mut driver = Epoll::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (token, fd) = (1 << 32, ours.into_raw_fd());
    driver.attach(token, fd).unwrap();
    let mut kept = Vec::new();
    for letter in b'a'..=b'e' {
        theirs.write_all(&[letter; 5]).unwrap();
        let mut events = Vec::new();
        driver.wait(Some(Duration::from_secs(10)), &mut events).unwrap();
        let Receive::Bytes(chunk) = driver.receive(token, fd) else { panic!("nothing came") };
        driver.keep(&chunk);
        kept.push((letter, chunk));
        if letter == b'c' {
            // The buffer of one that came back is used again, of all the others it is not.
            driver.give_back(kept.remove(1).1);
        }
    }
    for (letter, chunk) in kept {
        assert_eq!([letter; 5], *chunk);
        driver.give_back(chunk);
    }
    driver.close(token, fd);
}
