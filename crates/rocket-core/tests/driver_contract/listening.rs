//! Listening sockets.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

use rocket_core::driver::{Accepting, Driver};

use crate::rig::Rig;

fn listen(rig: &mut Rig<impl Driver>, name: u32) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    rig.driver.listen(name, listener.as_raw_fd()).unwrap();
    listener
}

fn connect(listener: &TcpListener) -> TcpStream {
    TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

pub fn a_queue_is_told_until_it_is_taken(mut rig: Rig<impl Driver>) {
    let listener = listen(&mut rig, 7);
    rig.driver.set_accepting(7, Accepting::Tell);
    let clients = [connect(&listener), connect(&listener)];
    for _ in &clients {
        for _ in 0..3 {
            let before = rig.acceptable;
            rig.until("the queue is told", |rig| rig.acceptable > before);
        }
        listener.accept().unwrap();
    }
    // One that was on its way is told at most.
    rig.settle();
    let before = rig.acceptable;
    rig.settle();

    assert_eq!(before, rig.acceptable);
    assert!(rig.accepted.is_empty());
}

pub fn a_queue_is_left_alone_when_nobody_may_take(mut rig: Rig<impl Driver>) {
    let listener = listen(&mut rig, 0);
    let _client = connect(&listener);
    rig.settle();
    assert_eq!(0, rig.acceptable);

    rig.driver.set_accepting(0, Accepting::Tell);
    rig.until("the queue is told", |rig| rig.acceptable > 0);
    rig.driver.set_accepting(0, Accepting::No);
    let before = rig.acceptable;
    rig.settle();

    assert_eq!(before, rig.acceptable);
    listener.accept().unwrap();
}

pub fn the_kernel_may_take(mut rig: Rig<impl Driver>) {
    let listener = listen(&mut rig, 3);
    rig.driver.set_accepting(3, Accepting::Take);
    let mut clients: Vec<_> = (0..20).map(|_| connect(&listener)).collect();
    rig.until("they are taken, or told of", |rig| rig.accepted.len() == 20 || rig.acceptable > 0);
    if rig.acceptable > 0 {
        return;
    }
    let accepted: Vec<_> = rig.accepted.drain(..).collect();
    for (client, fd) in clients.iter_mut().zip(accepted) {
        // SAFETY: the descriptor was told of once, and is nobody else's.
        let token = rig.attach(unsafe { TcpStream::from_raw_fd(fd) });
        client.write_all(b"hello").unwrap();
        rig.until("bytes", |rig| rig.bytes(token) == b"hello");
        rig.close(token);
    }
    rig.driver.set_accepting(3, Accepting::No);
    rig.settle();
    let _later = connect(&listener);
    rig.settle();

    assert!(rig.accepted.is_empty());
    listener.accept().unwrap();
}

pub fn forgotten_listeners_are_silent(mut rig: Rig<impl Driver>) {
    for accepting in [Accepting::Tell, Accepting::Take] {
        let listener = listen(&mut rig, 1);
        rig.driver.set_accepting(1, accepting);
        rig.settle();
        rig.driver.unlisten(1);
        rig.settle();
        let _client = connect(&listener);
        rig.settle();

        assert_eq!((0, 0), (rig.acceptable, rig.accepted.len()));
        listener.accept().unwrap();
    }
    // One name may be used again.
    let listener = listen(&mut rig, 1);
    rig.driver.set_accepting(1, Accepting::Tell);
    let _client = connect(&listener);
    rig.until("the queue is told", |rig| rig.acceptable > 0);
}
