//! Deadlines of many connections, looked at together once per batch and never touched by a request.
//!
//! The owner of a connection keeps its true deadline; here stands only when to look at it again. When that
//! moment comes the owner is called, compares, and schedules anew if the deadline has moved later meanwhile.
//! So a request only writes a number, and a connection is in the wheel at most once.
//!
//! The wheel is a ring of slots, one for each tick; a slot is a list through the entries, which are held by
//! place (see `slab`). A place that gets a new connection takes over the entry of the old one: there are never
//! more entries than places, however fast connections come and go. A deadline beyond the ring stays in its
//! slot for as many rounds as it needs: with 512 slots of a quarter of a second an hour is looked at 28 times.

use crate::driver::Token;
use crate::slab::place_of;

/// Slots of the ring; a power of two.
const SLOTS: u64 = 512;
/// Ends a list.
const NONE: u32 = u32::MAX;

/// When to look at which connection. Times are milliseconds of one monotonic clock.
#[derive(Debug)]
pub struct Wheel {
    tick_ms: u64,
    /// The last tick that was looked at.
    tick: u64,
    /// First place of each slot's list.
    slots: Box<[u32; SLOTS as usize]>,
    entries: Vec<Entry>,
    len: usize,
}

/// Of one place.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When it is due; it stands in the slot of this tick.
    tick: u64,
    /// Of the token.
    generation: u32,
    /// Neighbours in the slot's list. Without an entry a place is its own `next`.
    previous: u32,
    next: u32,
}

impl Wheel {
    /// An empty wheel.
    ///
    /// # Panics
    /// When a tick takes no time.
    pub fn new(now_ms: u64, tick_ms: u64) -> Self {
        assert!(tick_ms > 0);
        Self {
            tick_ms,
            tick: now_ms / tick_ms,
            slots: Box::new([NONE; SLOTS as usize]),
            entries: Vec::new(),
            len: 0,
        }
    }

    /// Entries.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is scheduled.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Look at a connection once its deadline is over: up to a tick later, never before. What was scheduled
    /// for its place is forgotten. A deadline that is over already is due at the next tick.
    pub fn schedule(&mut self, token: Token, deadline_ms: u64) {
        let place = place_of(token);
        while self.entries.len() <= place as usize {
            let free = self.entries.len() as u32;
            self.entries.push(Entry { tick: 0, generation: 0, previous: NONE, next: free });
        }
        self.unlink(place);
        let tick = deadline_ms.div_ceil(self.tick_ms).max(self.tick + 1);
        let first = &mut self.slots[slot_of(tick)];
        let next = std::mem::replace(first, place);
        if next != NONE {
            self.entries[next as usize].previous = place;
        }
        self.entries[place as usize] = Entry { tick, generation: (token >> 32) as u32, previous: NONE, next };
        self.len += 1;
    }

    /// Forget what was scheduled for a connection, if it was. Need not be called: of a connection that is gone
    /// the owner is told, too, unless its place was scheduled again.
    pub fn cancel(&mut self, token: Token) {
        let place = place_of(token);
        if self.entries.get(place as usize).is_some_and(|entry| entry.generation == (token >> 32) as u32) {
            self.unlink(place);
        }
    }

    /// Move on, and call back for each connection that is due, roughly in the order of the deadlines. Each is
    /// out of the wheel then; collect them and schedule those anew that are to be looked at again.
    pub fn advance(&mut self, now_ms: u64, on_due: &mut impl FnMut(Token)) {
        let now = now_ms / self.tick_ms;
        if now <= self.tick {
            return;
        }
        let first = self.tick + 1;
        self.tick = now;
        if self.len == 0 {
            return;
        }
        for tick in first..=now.min(first + SLOTS - 1) {
            let mut place = self.slots[slot_of(tick)];
            while place != NONE {
                let entry = self.entries[place as usize];
                if entry.tick <= now {
                    self.unlink(place);
                    on_due(u64::from(entry.generation) << 32 | u64::from(place));
                }
                place = entry.next;
            }
        }
    }

    /// When `advance` may next have something to do; None when nothing is scheduled.
    pub fn next_ms(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let mut ticks = self.tick + 1..=self.tick + SLOTS;
        ticks.find(|&tick| self.slots[slot_of(tick)] != NONE).map(|tick| tick * self.tick_ms)
    }

    fn unlink(&mut self, place: u32) {
        let Entry { tick, previous, next, .. } = self.entries[place as usize];
        if next == place {
            return;
        }
        match previous {
            NONE => self.slots[slot_of(tick)] = next,
            previous => self.entries[previous as usize].next = next,
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        self.entries[place as usize].next = place;
        self.len -= 1;
    }
}

const fn slot_of(tick: u64) -> usize {
    (tick % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Dice;

    const TICK_MS: u64 = 250;

    fn due(wheel: &mut Wheel, now_ms: u64) -> Vec<Token> {
        let mut due = Vec::new();
        wheel.advance(now_ms, &mut |token| due.push(token));
        due.sort_unstable();
        due
    }

    const fn token(generation: u64, place: u64) -> Token {
        generation << 32 | place
    }

    #[test]
    fn nothing_is_due_before_its_deadline_nor_a_tick_after_it() {
        for deadline_ms in [0, 1, 999, 1000, 1001, 1249, 1250, 75_000, 128_000, 129_000, 86_400_000] {
            let mut wheel = Wheel::new(1000, TICK_MS);
            wheel.schedule(token(1, 3), deadline_ms);
            let latest = deadline_ms.max(1000) + TICK_MS;
            let mut now = 1000;
            while due(&mut wheel, now).is_empty() {
                assert_eq!(1, wheel.len());
                now += 50;
                assert!(now <= latest, "{deadline_ms}");
            }
            assert!(now >= deadline_ms, "{deadline_ms}");
            assert!(wheel.is_empty());
            assert_eq!(None, wheel.next_ms());
        }
    }

    #[test]
    fn a_jump_over_hours_misses_nothing() {
        let mut wheel = Wheel::new(0, TICK_MS);
        for place in 0..2000 {
            wheel.schedule(token(1, place), place * 10_000);
        }

        assert_eq!(1001, due(&mut wheel, 10_000_000).len());
        assert_eq!(999, due(&mut wheel, u64::MAX).len());
    }

    #[test]
    fn a_place_is_in_the_wheel_once() {
        let mut wheel = Wheel::new(0, TICK_MS);
        wheel.schedule(token(1, 0), 5000);
        wheel.schedule(token(1, 0), 1000);
        wheel.schedule(token(2, 0), 2000);

        assert_eq!(1, wheel.len());
        assert_eq!(Some(2000), wheel.next_ms());
        assert!(due(&mut wheel, 1999).is_empty());
        assert_eq!(vec![token(2, 0)], due(&mut wheel, 2000));
        assert!(due(&mut wheel, 10_000).is_empty());
    }

    #[test]
    fn cancelling_takes_only_its_own_entry() {
        let mut wheel = Wheel::new(0, TICK_MS);
        for place in 0..3 {
            wheel.schedule(token(2, place), 1000);
        }
        wheel.cancel(token(1, 0));
        wheel.cancel(token(2, 1));
        wheel.cancel(token(2, 1));
        wheel.cancel(token(1, 7));

        assert_eq!(vec![token(2, 0), token(2, 2)], due(&mut wheel, 1000));
    }

    #[test]
    fn time_that_stands_still_or_goes_back_does_nothing() {
        let mut wheel = Wheel::new(10_000, TICK_MS);
        wheel.schedule(token(1, 0), 0);

        assert!(due(&mut wheel, 10_000).is_empty());
        assert!(due(&mut wheel, 0).is_empty());
        assert_eq!(vec![token(1, 0)], due(&mut wheel, 10_250));
    }

    #[test]
    fn it_behaves_like_a_sorted_list() {
        let mut dice = Dice::new(3);
        for _ in 0..40 {
            let tick_ms = 1 + dice.below(300);
            let mut now = dice.below(1_000_000);
            let mut wheel = Wheel::new(now, tick_ms);
            let mut model: BTreeMap<u64, (Token, u64)> = BTreeMap::new();
            for _ in 0..600 {
                let place = dice.below(50);
                let name = token(1 + dice.below(3), place);
                match dice.below(10) {
                    0..6 => {
                        let range = [tick_ms, 1000, 100_000, 10_000_000][dice.below(4) as usize];
                        let deadline = (now + dice.below(range)).saturating_sub(500);
                        wheel.schedule(name, deadline);
                        let tick = deadline.div_ceil(tick_ms).max(now / tick_ms + 1);
                        model.insert(place, (name, tick));
                    }
                    6 => {
                        wheel.cancel(name);
                        if model.get(&place).is_some_and(|&(held, _)| held == name) {
                            model.remove(&place);
                        }
                    }
                    _ => {
                        let range = [tick_ms, 2000, 200_000][dice.below(3) as usize];
                        now += dice.below(range);
                        let is_due = |&(_, tick): &(Token, u64)| tick <= now / tick_ms;
                        let mut expected: Vec<Token> =
                            model.values().filter(|entry| is_due(entry)).map(|&(token, _)| token).collect();
                        expected.sort_unstable();
                        model.retain(|_, entry| !is_due(entry));
                        assert_eq!(expected, due(&mut wheel, now));
                    }
                }
                assert_eq!(model.len(), wheel.len());
                let soonest = model.values().map(|&(_, tick)| tick * tick_ms).min();
                assert_eq!(soonest.is_none(), wheel.next_ms().is_none());
                assert!(wheel.next_ms() <= soonest, "something would be late");
            }
        }
    }
}
