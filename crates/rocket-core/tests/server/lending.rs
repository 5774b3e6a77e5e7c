//! Exchanges that are lent, on real sockets: what was written leaves before the driver waits, files leave the kernel
//! by themselves.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use rocket_core::driver::Token;
use rocket_core::http1::{Finish, Lease, Part};

use crate::rig::{Rig, get, take};

const FILE: usize = 3_000_000;

/// A connection whose only request was lent.
fn lend(rig: &mut Rig) -> (Token, UnixStream, Rc<Lease>) {
    let (token, mut client) = rig.open();
    client.write_all(&get("/lend")).unwrap();
    rig.turn();
    let lease = Rc::clone(rig.app().leases.borrow().last().expect("it is lent"));
    (token, client, lease)
}

/// Say that a borrower has left something to be done.
fn touch(rig: &Rig, token: Token, lease: &Lease) {
    assert!(lease.touch());
    rig.server.touch(token);
}

fn finish(lease: &Lease) {
    lease.finish(Finish { status: 200, content_bytes: 0, keep_alive: true });
}

/// A file that no name leads to.
fn file(content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("rocket-lending-{}-{}", std::process::id(), content.len()));
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(&path).expect("a file");
    std::fs::remove_file(path).expect("it is there");
    file.write_all(content).expect("room");
    file
}

pub fn what_is_written_in_many_pieces_leaves_at_once(mut rig: Rig) {
    let (token, mut client, lease) = lend(&mut rig);
    touch(&rig, token, &lease);
    for piece in [&b"one "[..], b"two ", b"three"] {
        assert!(lease.write(piece));
        assert!(!lease.touch(), "it is known already");
    }
    assert_eq!(Some(Vec::new()), take(&mut client));
    assert!(rig.server.has_more() && rig.server.flush());
    assert_eq!(Some(b"one two three".to_vec()), take(&mut client));
    assert!(!rig.server.has_more() && !rig.server.flush());
    finish(&lease);
    touch(&rig, token, &lease);
    rig.server.flush();
    assert_eq!("200 /\n", rig.ask(&mut client, &get("/"), "\n"));
    lease.write(b"nobody's any more");
    rig.server.touch(token);
    assert!(!rig.server.flush());
}

pub fn a_file_leaves_between_what_was_written_before_and_behind(mut rig: Rig) {
    let content: Vec<u8> = (0..FILE).map(|index| (index % 251) as u8).collect();
    let file = file(&content);
    let (token, mut client, lease) = lend(&mut rig);
    client.set_nonblocking(false).unwrap();
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; FILE - 7 + 11];
        client.read_exact(&mut got).unwrap();
        (client, got)
    });
    lease.write(b"before ");
    lease.send_file(Part { fd: file.as_raw_fd(), offset: 7, left: (FILE - 7) as u64 });
    lease.write(b" end");
    finish(&lease);
    touch(&rig, token, &lease);
    rig.server.flush();
    rig.until(|rig| rig.app().story.borrow().iter().any(|what| what.starts_with("finished")));
    let (_client, got) = reader.join().unwrap();
    assert_eq!(b"before ", &got[..7]);
    assert!(content[7..] == got[7..got.len() - 4]);
    assert_eq!(b" end", &got[got.len() - 4..]);
    assert_eq!(got.len(), rig.app().counted.get().1);
}

pub fn a_file_that_is_shorter_cuts(mut rig: Rig) {
    let file = file(b"short");
    let (token, mut client, lease) = lend(&mut rig);
    lease.send_file(Part { fd: file.as_raw_fd(), offset: 0, left: 6 });
    touch(&rig, token, &lease);
    rig.server.flush();
    assert!(rig.server.is_empty());
    assert_eq!(Some(b"short".to_vec()), take(&mut client));
    assert_eq!(vec!["closed 1 with /lend: Short"], rig.app().told());
}
