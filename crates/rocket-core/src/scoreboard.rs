//! The places under `max_connections`, and the request in flight, in memory shared by all acceptors.
//!
//! The memory and its layout are made by `rocket_sup/scoreboard.py`, which also explains them; the indices of
//! its words arrive here in a `Layout`. A slot is written by its owner alone and read by everyone, a word at a
//! time. The limit is exact because of the order of three steps: add to your own cell, fence, sum all cells;
//! over the limit, take it back. Two processes that race for the last place may both step back; they never
//! both get it.

use std::ptr;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, fence};

/// Readings of a few cells in a microsecond: two that differ are rare, so many in a row do not happen.
const READINGS: usize = 16;

/// Where things stand in the shared memory; all counted in words of 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Words of the whole memory.
    pub words: usize,
    /// The limit, in the header.
    pub max_connections: usize,
    /// How many slots were ever used, in the header.
    pub watermark: usize,
    /// The first slot.
    pub slots: usize,
    /// Words of one slot.
    pub slot_words: usize,
    /// In a slot: places asked for.
    pub claims: usize,
    /// In a slot: places in use.
    pub connections: usize,
    /// In a slot: 1 while its owner wants a place and there is none.
    pub waiting: usize,
    /// In a slot: the highest total of connections its owner has seen.
    pub peak: usize,
}

impl Layout {
    /// Slots that the memory has.
    const fn capacity(&self) -> usize {
        (self.words - self.slots) / self.slot_words
    }

    fn is_sound(&self, own: usize) -> bool {
        let header = self.max_connections.max(self.watermark);
        let slot = self.claims.max(self.connections).max(self.waiting).max(self.peak);
        header < self.slots && self.slots <= self.words && slot < self.slot_words && own < self.capacity()
    }
}

/// One acceptor's view of the shared memory. Everything is on one thread.
#[derive(Debug)]
pub struct Board {
    base: *mut u64,
    layout: Layout,
    own: usize,
    /// A reading of all connections, kept for its memory.
    reading: Vec<u64>,
}

impl Board {
    /// A view for the owner of a slot; None when the layout is at odds with itself, or has no such slot.
    ///
    /// # Safety
    /// `layout.words` words from `base` are mapped and aligned as long as the board is used, and everybody writes
    /// them a whole word at a time. Whoever else of this process writes them, or has a board for this slot, is
    /// on this thread.
    pub unsafe fn new(base: *mut u64, layout: Layout, own: usize) -> Option<Self> {
        layout.is_sound(own).then(|| Self { base, layout, own, reading: Vec::new() })
    }

    /// Ask for one place under `max_connections`; true when it is ours.
    pub fn try_claim(&mut self) -> bool {
        self.add(self.layout.claims);
        fence(SeqCst);
        if self.sum(self.layout.claims) <= self.word(self.layout.max_connections).load(Relaxed) {
            return true;
        }
        self.unclaim();
        false
    }

    /// Give back a place that was claimed and not used.
    pub fn unclaim(&mut self) {
        self.take(self.layout.claims);
    }

    /// Use a claimed place for a connection.
    pub fn occupy(&mut self) {
        self.add(self.layout.connections);
        if self.sum(self.layout.claims) > self.own(self.layout.peak).load(Relaxed) {
            let connections = self.connections();
            let peak = self.own(self.layout.peak);
            peak.store(peak.load(Relaxed).max(connections), Relaxed);
        }
    }

    /// Give back the place of a connection that ended: the slots of others that wait for one, to be rung.
    pub fn vacate(&mut self) -> Vec<usize> {
        self.take(self.layout.connections);
        self.take(self.layout.claims);
        fence(SeqCst);
        let is_waiting =
            |&index: &usize| index != self.own && self.slot(index, self.layout.waiting).load(Relaxed) != 0;
        (0..self.used()).filter(is_waiting).collect()
    }

    /// Connections of all acceptors; never above `max_connections` unless that was lowered.
    ///
    /// The cells are read one after the other, and a place that moves meanwhile from a later one to an earlier
    /// would be missed, the other way round counted twice. So they are read until two readings agree.
    fn connections(&mut self) -> u64 {
        let mut reading = std::mem::take(&mut self.reading);
        reading.clear();
        for _ in 0..READINGS {
            let cells = (0..self.used()).map(|index| self.slot(index, self.layout.connections).load(Relaxed));
            let mut is_same = reading.len() == self.used();
            for (index, cell) in cells.enumerate() {
                match reading.get_mut(index) {
                    Some(known) => is_same &= std::mem::replace(known, cell) == cell,
                    None => reading.push(cell),
                }
            }
            if is_same {
                break;
            }
        }
        let sum = reading.iter().sum();
        self.reading = reading;
        sum
    }

    /// Slots to look at: no more were ever used.
    fn used(&self) -> usize {
        (self.word(self.layout.watermark).load(Relaxed) as usize).min(self.layout.capacity())
    }

    fn sum(&self, word: usize) -> u64 {
        (0..self.used()).map(|index| self.slot(index, word).load(Relaxed)).sum()
    }

    // Only the owner writes its cells, so that a load and a store need not be one step.
    fn add(&self, word: usize) {
        let cell = self.own(word);
        cell.store(cell.load(Relaxed) + 1, Relaxed);
    }

    fn take(&self, word: usize) {
        let cell = self.own(word);
        cell.store(cell.load(Relaxed) - 1, Relaxed);
    }

    fn own(&self, word: usize) -> &AtomicU64 {
        self.slot(self.own, word)
    }

    fn slot(&self, index: usize, word: usize) -> &AtomicU64 {
        self.word(self.layout.slots + index * self.layout.slot_words + word)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.layout.words);
        // SAFETY: the maker of the board promised that so many words are mapped, aligned, and shared by
        // whole-word accesses only.
        unsafe { AtomicU64::from_ptr(self.base.add(index)) }
    }
}

/// Shared memory in which the request about to be handled outlives the process.
#[derive(Debug)]
pub struct FlightBox {
    start: *mut u8,
    bytes: usize,
    /// Bytes of the request that is there; behind it are zeros.
    used: usize,
}

impl FlightBox {
    /// A box, and what is in it is forgotten.
    ///
    /// # Safety
    /// So many bytes from `start` are mapped as long as the box is used, and nobody else writes them.
    pub unsafe fn new(start: *mut u8, bytes: usize) -> Self {
        // SAFETY: as above.
        unsafe { ptr::write_bytes(start, 0, bytes) };
        Self { start, bytes, used: 0 }
    }

    /// Leave `METHOD target` there, cut to the size of the box.
    pub fn record_in_flight(&mut self, method: &[u8], target: &[u8]) {
        let mut end = 0;
        for piece in [method, b" ", target] {
            let size = piece.len().min(self.bytes - end);
            // SAFETY: `end + size` bytes are in the box, which nobody else writes, and the piece is not in it:
            // shared memory holds no requests but this one. Readers look when this process is dead, or at
            // worst see a text half written.
            unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), self.start.add(end), size) };
            end += size;
        }
        if end < self.used {
            // SAFETY: `used` is at most `bytes`.
            unsafe { ptr::write_bytes(self.start.add(end), 0, self.used - end) };
        }
        self.used = end;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    const SLOTS: usize = 4;
    const LAYOUT: Layout = Layout {
        words: 8 + SLOTS * 16,
        max_connections: 2,
        watermark: 3,
        slots: 8,
        slot_words: 16,
        claims: 5,
        connections: 6,
        waiting: 7,
        peak: 9,
    };

    struct Memory(Vec<AtomicU64>);

    impl Memory {
        fn new(limit: u64) -> Self {
            let memory = Self((0..LAYOUT.words).map(|_| AtomicU64::new(0)).collect());
            memory.0[LAYOUT.max_connections].store(limit, Relaxed);
            memory.0[LAYOUT.watermark].store(SLOTS as u64, Relaxed);
            memory
        }

        fn board(&self, own: usize) -> Board {
            // SAFETY: the memory outlives the boards of a test, its words are atomic, and slots have one board.
            unsafe { Board::new(self.0.as_ptr().cast::<u64>().cast_mut(), LAYOUT, own) }.unwrap()
        }

        fn cell(&self, slot: usize, word: usize) -> &AtomicU64 {
            &self.0[LAYOUT.slots + slot * LAYOUT.slot_words + word]
        }
    }

    #[test]
    fn the_limit_counts_the_places_of_all() {
        let memory = Memory::new(3);
        let (mut first, mut second) = (memory.board(0), memory.board(1));

        assert!(first.try_claim());
        first.occupy();
        assert!(second.try_claim());
        assert!(second.try_claim());
        assert!(!first.try_claim());
        assert!(!second.try_claim());
        second.unclaim();
        assert!(first.try_claim());
        first.occupy();

        assert_eq!([2, 1], [0, 1].map(|slot| memory.cell(slot, LAYOUT.claims).load(Relaxed)));
        assert_eq!([2, 0], [0, 1].map(|slot| memory.cell(slot, LAYOUT.connections).load(Relaxed)));
        assert_eq!([2, 0], [0, 1].map(|slot| memory.cell(slot, LAYOUT.peak).load(Relaxed)));
    }

    #[test]
    fn whoever_waits_is_named_when_a_place_is_free() {
        let memory = Memory::new(1);
        let mut board = memory.board(1);
        assert!(board.try_claim());
        board.occupy();
        for slot in [0, 1, 3] {
            memory.cell(slot, LAYOUT.waiting).store(1, Relaxed);
        }

        assert_eq!(vec![0, 3], board.vacate());
        assert!(board.try_claim());
        assert_eq!(1, memory.cell(1, LAYOUT.peak).load(Relaxed));
    }

    #[test]
    fn slots_beyond_the_watermark_are_not_looked_at() {
        let memory = Memory::new(1);
        memory.0[LAYOUT.watermark].store(2, Relaxed);
        memory.cell(2, LAYOUT.claims).store(9, Relaxed);
        memory.cell(3, LAYOUT.waiting).store(1, Relaxed);
        let mut board = memory.board(0);

        assert!(board.try_claim());
        board.occupy();
        assert!(board.vacate().is_empty());
        memory.0[LAYOUT.watermark].store(u64::MAX, Relaxed);
        assert!(!board.try_claim(), "nor is anything beyond the memory");
    }

    #[test]
    fn racing_owners_never_get_more_than_the_limit() {
        const LIMIT: u64 = 5;
        const CLAIMS: usize = 4000;
        let memory = Memory::new(LIMIT);
        let (inside, all) = (AtomicU64::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for slot in 0..SLOTS {
                let (memory, inside, all) = (&memory, &inside, &all);
                scope.spawn(move || {
                    let mut board = memory.board(slot);
                    let mut held = 0;
                    for turn in 0..CLAIMS {
                        if board.try_claim() {
                            assert!(inside.fetch_add(1, SeqCst) < LIMIT);
                            board.occupy();
                            held += 1;
                            all.fetch_add(1, Relaxed);
                        }
                        if held > 0 && (held == 3 || turn % 3 == 0) {
                            inside.fetch_sub(1, SeqCst);
                            board.vacate();
                            held -= 1;
                        }
                    }
                    while held > 0 {
                        inside.fetch_sub(1, SeqCst);
                        board.vacate();
                        held -= 1;
                    }
                });
            }
        });

        assert!(all.load(Relaxed) > 0, "places were given");
        for slot in 0..SLOTS {
            assert_eq!(0, memory.cell(slot, LAYOUT.claims).load(Relaxed));
            assert_eq!(0, memory.cell(slot, LAYOUT.connections).load(Relaxed));
            assert!(memory.cell(slot, LAYOUT.peak).load(Relaxed) <= LIMIT);
        }
    }

    #[test]
    fn a_layout_at_odds_with_itself_is_refused() {
        let memory = Memory::new(1);
        let base = memory.0.as_ptr().cast::<u64>().cast_mut();
        for (layout, own) in [
            (LAYOUT, SLOTS),
            (Layout { words: 0, ..LAYOUT }, 0),
            (Layout { words: LAYOUT.words - 1, ..LAYOUT }, SLOTS - 1),
            (Layout { claims: 16, ..LAYOUT }, 0),
            (Layout { watermark: 8, ..LAYOUT }, 0),
        ] {
            // SAFETY: a refused board touches nothing.
            assert!(unsafe { Board::new(base, layout, own) }.is_none(), "{layout:?}");
        }
    }

    #[test]
    fn the_box_holds_the_last_request_and_zeros() {
        let mut memory = [b'?'; 24];
        // SAFETY: the array outlives the box, which has all but its ends.
        let mut flight = unsafe { FlightBox::new(memory.as_mut_ptr().add(4), 16) };
        flight.record_in_flight(b"GET", b"/a/long/target?with=query");
        flight.record_in_flight(b"GET", b"/a");
        assert_eq!(*b"????GET /a\0\0\0\0\0\0\0\0\0\0????", memory);

        // SAFETY: as above.
        let mut flight = unsafe { FlightBox::new(memory.as_mut_ptr().add(4), 16) };
        assert_eq!([0; 16], memory[4..20]);
        flight.record_in_flight(b"PROPFIND", b"/0123456789");
        assert_eq!(*b"????PROPFIND /012345????", memory);
        flight.record_in_flight(b"A-METHOD-LONGER-THAN-THE-BOX", b"/");
        assert_eq!(*b"????A-METHOD-LONGER-????", memory);
    }
}
