//! Connections are taken from a queue, each for a place under the limit.

use std::cell::RefCell;
use std::io::Read;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rocket_core::accept::Peer;
use rocket_core::driver::closed::Closed;
use rocket_core::driver::{Driver, Event};
use rocket_core::places::Places;
use rocket_core::scoreboard::{Board, Layout};
use rocket_core::server::{Accepted, BATCH, Server, Stop};

use crate::app::Lines;
use crate::rig::{PATIENCE, Rig, SETTINGS, START};

const LAYOUT: Layout = Layout {
    words: 6 + 2 * 4,
    max_connections: 0,
    watermark: 1,
    slots: 6,
    slot_words: 4,
    claims: 0,
    connections: 1,
    waiting: 2,
    peak: 3,
};

/// A server in front of a queue, with the first of two slots. Who connects to a Unix socket is in its queue at once;
/// over TCP that may take a moment.
struct Scene {
    server: Server<Lines>,
    driver: Rc<RefCell<Box<dyn Driver>>>,
    memory: Rc<[AtomicU64; LAYOUT.words]>,
    listening: UnixListener,
    clients: Vec<UnixStream>,
}

impl Scene {
    fn new(driver: &Rc<RefCell<Box<dyn Driver>>>, limit: u64, doorbells: Vec<RawFd>) -> Self {
        let memory = Rc::new([const { AtomicU64::new(0) }; LAYOUT.words]);
        memory[LAYOUT.max_connections].store(limit, Relaxed);
        memory[LAYOUT.watermark].store(2, Relaxed);
        let base = memory.as_ptr().cast::<u64>().cast_mut();
        // SAFETY: the places keep the memory, whose words are atomic.
        let board = unsafe { Board::new(base, LAYOUT, 0) }.unwrap();
        let places = Places::shared(board, doorbells, Box::new(Rc::clone(&memory)));
        let server = Server::new(Lines::at(START), SETTINGS, Rc::clone(driver), places);
        // An address without a name has the kernel choose one.
        let listening = UnixListener::bind("").unwrap();
        listening.set_nonblocking(true).unwrap();
        Self { server, driver: Rc::clone(driver), memory, listening, clients: Vec::new() }
    }

    fn knock(&mut self, count: usize) {
        let address = self.listening.local_addr().unwrap();
        self.clients.extend((0..count).map(|_| UnixStream::connect_addr(&address).unwrap()));
    }

    fn accept(&self, most: usize) -> (usize, Stop) {
        let accepted = self.server.accept(self.listening.as_raw_fd(), most, |_, peer| {
            assert_eq!(Peer::Unix([].into()), peer);
            7
        });
        (accepted.taken, accepted.stop)
    }

    fn cell(&self, slot: usize, word: usize) -> &AtomicU64 {
        &self.memory[LAYOUT.slots + slot * LAYOUT.slot_words + word]
    }

    fn places(&self) -> (u64, u64) {
        (self.cell(0, LAYOUT.claims).load(Relaxed), self.cell(0, LAYOUT.connections).load(Relaxed))
    }

    /// Whether the driver tells of newcomers, and of nothing else, within a time.
    fn is_told_within(&self, time: Duration) -> bool {
        let name = self.listening.as_raw_fd().cast_unsigned();
        let (began, mut events) = (Instant::now(), Vec::new());
        loop {
            let left = time.saturating_sub(began.elapsed());
            self.driver.borrow_mut().wait(Some(left), &mut events).unwrap();
            let is_ours =
                |event: &Event| matches!(event, Event::Acceptable { listener } if *listener == name);
            assert!(events.iter().all(is_ours), "{events:?}");
            if !events.is_empty() || left.is_zero() {
                return !events.is_empty();
            }
        }
    }
}

pub fn every_connection_has_a_place_and_gives_it_back(rig: Rig) {
    let mut scene = Scene::new(&rig.driver, 2, Vec::new());
    assert_eq!((0, Stop::Empty), scene.accept(BATCH));
    assert_eq!((0, 0), scene.places());
    scene.knock(3);
    assert_eq!((1, Stop::Enough), scene.accept(1));
    assert_eq!((1, Stop::Full), scene.accept(BATCH));
    assert_eq!((2, 2), scene.places());
    assert_eq!(2, scene.server.len());

    scene.server.abort_all();
    assert_eq!((0, 0), scene.places());
    assert_eq!((1, Stop::Empty), scene.accept(BATCH));
    assert_eq!((1, 1), scene.places());
    assert_eq!(2, scene.cell(0, LAYOUT.peak).load(Relaxed));
    scene.server.abort_all();
    assert_eq!(3, scene.server.app().told().len());
}

pub fn a_claim_without_a_connection_is_given_back(rig: Rig) {
    let scene = Scene::new(&rig.driver, 2, Vec::new());
    let accepted = scene.server.accept(-1, BATCH, |_, _| 7);

    assert_eq!(Accepted { taken: 0, stop: Stop::Failed(libc::EBADF) }, accepted);
    assert_eq!((0, 0), scene.places());
}

pub fn what_cannot_be_served_is_closed_and_leaves_no_trace(rig: Rig) {
    *rig.driver.borrow_mut() = Box::new(Closed);
    let mut scene = Scene::new(&rig.driver, 2, Vec::new());
    scene.knock(1);

    assert_eq!((0, Stop::Unopened(libc::EBADF)), scene.accept(BATCH));
    assert_eq!(0, scene.clients[0].read(&mut [0]).unwrap());
    assert_eq!((0, 0), scene.places());
    assert!(scene.server.is_empty());
    assert!(scene.server.app().told().is_empty());
}

pub fn whoever_waits_for_a_place_hears_of_one(rig: Rig) {
    // SAFETY: no memory is involved; the descriptors are new.
    let doorbells: Vec<RawFd> = (0..2).map(|_| unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) }).collect();
    let mut scene = Scene::new(&rig.driver, 1, doorbells.clone());
    for slot in 0..2 {
        scene.cell(slot, LAYOUT.waiting).store(1, Relaxed);
    }
    scene.knock(1);
    assert_eq!((1, Stop::Full), scene.accept(BATCH));
    scene.server.abort_all();

    let is_rung = |doorbell: &RawFd| {
        let mut count = 0_u64;
        // SAFETY: the kernel writes eight bytes, which are there.
        let read = unsafe { libc::read(*doorbell, (&raw mut count).cast(), size_of::<u64>()) };
        // SAFETY: nobody else has it.
        unsafe { libc::close(*doorbell) };
        (read, count) == (8, 1)
    };
    let rung: Vec<bool> = doorbells.iter().map(is_rung).collect();
    assert_eq!([false, true], rung[..], "only the other one");
}

pub fn newcomers_are_told_of_while_they_are_listened_for(rig: Rig) {
    let mut scene = Scene::new(&rig.driver, 9, Vec::new());
    let listening = scene.listening.as_raw_fd();
    scene.knock(1);
    assert!(!scene.is_told_within(Duration::ZERO));
    scene.server.listen(listening).unwrap();
    assert!(scene.server.is_listening(listening));
    assert!(scene.is_told_within(PATIENCE));
    assert_eq!((1, Stop::Empty), scene.accept(BATCH));
    assert!(!scene.is_told_within(Duration::ZERO));

    scene.knock(1);
    scene.server.unlisten(listening);
    assert!(!scene.server.is_listening(listening));
    assert!(!scene.is_told_within(Duration::ZERO));
    scene.server.abort_all();
}
