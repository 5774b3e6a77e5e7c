//! Deadlines, and connections that are closed for this reason or that.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};

use crate::rig::{Rig, START, get, take};

pub fn deadlines_are_kept_and_looked_at_no_earlier_than_needed(mut rig: Rig) {
    let (_, mut silent) = rig.open();
    let (_, mut asking) = rig.open();
    rig.ask(&mut asking, &get("/"), "\n");
    assert_eq!(Some(START + 10_000), rig.server.next_deadline());
    rig.pass(9_999);
    assert_eq!(2, rig.server.len());
    rig.pass(1);
    assert!(rig.is_left(&mut silent));
    assert_eq!(1, rig.server.len());
    // The other one was looked at too, and is looked at again when it has been idle for long enough.
    assert_eq!(Some(START + 40_000), rig.server.next_deadline());
    rig.pass(29_000);
    rig.ask(&mut asking, &get("/"), "\n");
    rig.pass(39_999);
    assert_eq!(1, rig.server.len());
    rig.pass(250);
    assert_eq!((0, None), (rig.server.len(), rig.server.next_deadline()));
    assert_eq!(vec!["closed 1", "closed 2"], rig.app().told());
}

pub fn a_request_that_came_just_in_time_is_read_first(mut rig: Rig) {
    let (_, mut client) = rig.open();
    client.write_all(&get("/")).unwrap();
    rig.hear();
    rig.pass(20_000);
    assert_eq!(1, rig.server.len());
    rig.act();
    assert_eq!(Some(b"200 /\n".to_vec()), take(&mut client));
}

pub fn draining_closes_what_is_idle_and_nothing_that_was_asked(mut rig: Rig) {
    let mut clients: Vec<_> = (0..3).map(|_| rig.open().1).collect();
    for client in &mut clients[..2] {
        rig.ask(client, &get("/"), "\n");
    }
    clients[1].write_all(&get("/asked")).unwrap();
    rig.hear();
    assert!(!rig.server.is_draining());
    rig.server.drain();
    assert!(rig.server.is_draining());
    assert!(rig.is_left(&mut clients[0]));
    assert_eq!(2, rig.server.len());
    rig.act();
    assert_eq!(Some(b"200 /asked close\n".to_vec()), take(&mut clients[1]));
    // Who has just come is left a second.
    rig.pass(1_250);
    assert!(rig.is_left(&mut clients[2]));
}

pub fn the_longest_idle_connection_is_closed_first(mut rig: Rig) {
    assert_eq!((None, false), (rig.server.longest_idle_since(), rig.server.close_longest_idle()));
    let mut clients: Vec<_> = (0..4).map(|_| rig.open().1).collect();
    assert_eq!(None, rig.server.longest_idle_since(), "they have just come");
    for client in &mut clients[..3] {
        rig.pass(100);
        rig.ask(client, &get("/"), "\n");
    }
    assert_eq!(Some((START + 100) * 1_000_000), rig.server.longest_idle_since());
    rig.pass(100);
    rig.ask(&mut clients[0], &get("/"), "\n");
    clients[2].write_all(b"GET").unwrap();
    rig.turn();
    assert_eq!(Some((START + 200) * 1_000_000), rig.server.longest_idle_since());
    assert!(rig.server.close_longest_idle() && rig.is_left(&mut clients[1]));
    assert!(rig.server.close_longest_idle() && rig.is_left(&mut clients[0]));
    assert!(!rig.server.close_longest_idle(), "one asks, one has just come");
    rig.pass(1_000);
    assert!(rig.server.close_longest_idle() && rig.is_left(&mut clients[3]));
    assert_eq!(vec!["closed 2", "closed 1", "closed 4"], rig.app().told());
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, client)
}

/// Close so that the other side is told by a reset.
fn reset(client: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the kernel reads one struct of that size.
    let done = unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
        libc::setsockopt(client.as_raw_fd(), level, name, (&raw const linger).cast(), size)
    };
    assert_eq!(0, done);
}

pub fn a_reset_is_told_with_its_reason(mut rig: Rig) {
    let (ours, client) = tcp_pair();
    rig.server.open(ours.into_raw_fd(), |_| 1).unwrap();
    reset(client);
    rig.until(|rig| rig.server.is_empty());
    assert_eq!(vec!["closed 1: Broken(104)"], rig.app().told());
}

pub fn a_reset_is_told_while_nobody_reads(mut rig: Rig) {
    let (ours, mut client) = tcp_pair();
    rig.server.open(ours.into_raw_fd(), |_| 1).unwrap();
    client.write_all(&[get("/wait"), get("/").repeat(5_000)].concat()).unwrap();
    rig.until(|rig| rig.server.held_bytes().0 >= 65_536);
    reset(client);
    rig.until(|rig| rig.server.is_empty());
    assert_eq!(vec!["closed 1 with /wait: Broken(104)"], rig.app().told());
}

pub fn aborting_cuts_everybody(mut rig: Rig) {
    let (_, mut idle) = rig.open();
    let (_, mut waiting) = rig.open();
    let (_, mut slow) = rig.open();
    rig.ask(&mut idle, &get("/"), "\n");
    waiting.write_all(&get("/wait")).unwrap();
    slow.write_all(&get("/big").repeat(20)).unwrap();
    rig.until(|rig| rig.server.held_bytes().1 > 0);
    rig.server.abort_all();
    assert!(rig.server.is_empty());
    assert!(rig.is_left(&mut idle));
    assert!(rig.is_left(&mut slow));
    let mut told = rig.app().told();
    told.sort();
    assert!(
        told == ["closed 1", "closed 2 with /wait", "closed 3"]
            || told == ["closed 1", "closed 2", "closed 3"]
    );
}
