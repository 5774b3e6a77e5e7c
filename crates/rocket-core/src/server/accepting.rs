//! The way in: connections are taken from listening sockets, each for a place that was claimed before.
//!
//! What happens when there is no place, or `accept` fails, is decided elsewhere (`rocket_sup/admission.py`): here
//! it only ends the batch. The kernel could take connections by itself (`Accepting::Take`), but not stop at a
//! limit (docs/adr/0011-a-place-is-claimed-before-accept.md).

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use super::Server;
use crate::accept::{Peer, accept};
use crate::driver::{Accepting, Token};
use crate::http1::App;

/// Connections taken in one go before others get their turn.
pub const BATCH: usize = 64;

/// What became of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Connections that are served now.
    pub taken: usize,
    /// Why no more were taken.
    pub stop: Stop,
}

/// Why no more connections were taken from a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// There are no more.
    Empty,
    /// That was enough for now.
    Enough,
    /// There is no place; perhaps there is no newcomer either.
    Full,
    /// `accept` failed: errno.
    Failed(i32),
    /// One was taken that could not be served, and was closed: errno.
    Unopened(i32),
}

impl<A: App> Server<A> {
    /// Have the driver tell of newcomers, under the descriptor's number: `accept` them then.
    ///
    /// # Errors
    /// The kernel gives no more.
    pub fn listen(&self, listening: RawFd) -> io::Result<()> {
        let mut driver = self.driver.borrow_mut();
        driver.listen(listening.cast_unsigned(), listening)?;
        driver.set_accepting(listening.cast_unsigned(), Accepting::Tell);
        self.listening.borrow_mut().push(listening);
        Ok(())
    }

    /// Have it tell no more.
    pub fn unlisten(&self, listening: RawFd) {
        self.driver.borrow_mut().unlisten(listening.cast_unsigned());
        self.listening.borrow_mut().retain(|each| *each != listening);
    }

    /// The driver is to tell of newcomers. What it told before it was not to may still be in a list of events.
    pub fn is_listening(&self, listening: RawFd) -> bool {
        self.listening.borrow().contains(&listening)
    }

    /// Take up to so many connections from a queue and serve them; `guest` is made of the name of the connection
    /// and that of its peer.
    pub fn accept(&self, listening: RawFd, most: usize, guest: impl Fn(Token, Peer) -> A::Guest) -> Accepted {
        let mut taken = 0;
        let stop = loop {
            if taken == most {
                break Stop::Enough;
            }
            match self.accept_one(listening, &guest) {
                Ok(()) => taken += 1,
                Err(stop) => break stop,
            }
        };
        Accepted { taken, stop }
    }

    fn accept_one(&self, listening: RawFd, guest: impl Fn(Token, Peer) -> A::Guest) -> Result<(), Stop> {
        if !self.places.borrow_mut().try_claim() {
            return Err(Stop::Full);
        }
        let (socket, peer) = accept(listening).map_err(|error| {
            self.places.borrow_mut().unclaim();
            match error.kind() {
                io::ErrorKind::WouldBlock => Stop::Empty,
                _ => Stop::Failed(errno_of(&error)),
            }
        })?;
        self.places.borrow_mut().occupy();
        match self.open(socket.as_raw_fd(), |token| guest(token, peer)) {
            Ok(_) => {
                let _ = socket.into_raw_fd(); // the connection's now
                Ok(())
            }
            Err(error) => {
                drop(socket);
                self.places.borrow_mut().vacate();
                Err(Stop::Unopened(errno_of(&error)))
            }
        }
    }
}

fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
