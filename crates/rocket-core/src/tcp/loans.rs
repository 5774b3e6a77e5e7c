//! Received bytes that somebody reads where the driver has them.
//!
//! A `Loan` may be ended on any thread: what is ended there waits until the thread of the driver collects it.
//! How many are out is bounded, because each holds a buffer that others could be received into.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::driver::{Chunk, Driver};

/// A chunk without its thread.
#[derive(Debug)]
struct Carried(Chunk);

// SAFETY: a chunk that is kept is memory that nobody writes to before it is given back, and it is given back on
// the driver's thread alone (`Lender::collect`).
unsafe impl Send for Carried {}
// SAFETY: as above; it is only read.
unsafe impl Sync for Carried {}

#[derive(Debug, Default)]
struct Shared {
    returned: Mutex<Vec<Carried>>,
    /// Something is in `returned`: looked at without the lock, after every call of a handler.
    count: AtomicUsize,
}

/// Lends the chunks of one driver.
#[derive(Debug)]
pub(super) struct Lender {
    shared: Arc<Shared>,
    most: usize,
    out: usize,
}

impl Lender {
    /// A lender of at most so many chunks at a time.
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most, out: 0 }
    }

    /// Chunks that have not come back.
    pub(super) fn out(&self) -> usize {
        self.out
    }

    /// Whether another one may go out.
    pub(super) fn can_lend(&self) -> bool {
        self.out < self.most
    }

    /// Lend one.
    pub(super) fn lend(&mut self, chunk: Chunk, driver: &mut dyn Driver) -> Loan {
        driver.keep(&chunk);
        self.out += 1;
        Loan { carried: Some(Carried(chunk)), home: Arc::clone(&self.shared) }
    }

    /// Give the driver what has come back.
    pub(super) fn collect(&mut self, driver: &mut dyn Driver) {
        if self.shared.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut returned = self.shared.returned.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.count.store(0, Ordering::Release);
        for Carried(chunk) in returned.drain(..) {
            self.out -= 1;
            driver.give_back(chunk);
        }
    }
}

/// Received bytes where the driver has them, until this is dropped.
///
/// A driver that is dropped earlier leaves the memory of chunks that are out alone.
#[derive(Debug)]
pub struct Loan {
    /// None only while it is being dropped.
    carried: Option<Carried>,
    home: Arc<Shared>,
}

impl Deref for Loan {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.carried.as_ref().map_or(&[], |carried| &carried.0)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut returned = self.home.returned.lock().unwrap_or_else(PoisonError::into_inner);
        returned.extend(self.carried.take());
        self.home.count.fetch_add(1, Ordering::Release);
    }
}
