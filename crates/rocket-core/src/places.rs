//! The places of one wire under `max_connections`: claimed before a connection is taken from its queue, occupied
//! by it, vacated when it is gone. `scoreboard.rs` counts them; here those who wait for one are woken, too.

use std::any::Any;
use std::os::fd::RawFd;

use crate::scoreboard::Board;

/// Places on a board that all acceptors share; without one, as many as anybody wants.
#[derive(Debug)]
pub struct Places(Option<Shared>);

#[derive(Debug)]
struct Shared {
    board: Board,
    /// Eventfds by slot, which others may watch; they outlive the board.
    doorbells: Vec<RawFd>,
    /// Keeps the board's memory mapped; dropped last.
    _memory: Box<dyn Any>,
}

impl Places {
    /// As many as anybody wants.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Those of a board.
    ///
    /// `doorbells` are eventfds by slot, `memory` is whatever keeps the board's memory mapped.
    pub fn shared(board: Board, doorbells: Vec<RawFd>, memory: Box<dyn Any>) -> Self {
        Self(Some(Shared { board, doorbells, _memory: memory }))
    }

    /// Ask for one place; true when it is ours.
    pub fn try_claim(&mut self) -> bool {
        self.0.as_mut().is_none_or(|shared| shared.board.try_claim())
    }

    /// Give back a place that was claimed and not used.
    pub fn unclaim(&mut self) {
        if let Some(shared) = &mut self.0 {
            shared.board.unclaim();
        }
    }

    /// Use a claimed place for a connection.
    pub fn occupy(&mut self) {
        if let Some(shared) = &mut self.0 {
            shared.board.occupy();
        }
    }

    /// Give back the place of a connection that ended, and wake the others who wait for one.
    pub fn vacate(&mut self) {
        let Some(shared) = &mut self.0 else { return };
        for index in shared.board.vacate() {
            if let Some(&doorbell) = shared.doorbells.get(index) {
                ring(doorbell);
            }
        }
    }
}

/// Wake the owner of a doorbell. One whose counter is full is ringing already.
fn ring(doorbell: RawFd) {
    let once = 1_u64;
    // SAFETY: the kernel reads eight bytes, which are there.
    unsafe { libc::write(doorbell, (&raw const once).cast(), size_of::<u64>()) };
}
