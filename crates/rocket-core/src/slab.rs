//! A table whose places are used again, and whose names are not.
//!
//! A connection is named by a `Token`: its place in the low half, how often that place was used before in the
//! high half. Whoever holds the token of a connection that is gone (a list of events, a timer, a handler that
//! answers late) finds nothing with it, even when the place has a new owner. Values stand in the table itself,
//! one behind the other; the place freed last is the next to be used, because it is still in the cache.

use crate::driver::Token;

/// Ends the list of free places.
const NONE: u32 = u32::MAX;

/// The top bit of a token is always zero, so generations have 31 bits.
const LAST_GENERATION: u32 = u32::MAX >> 1;

/// The place that a token names, whoever has it now.
pub const fn place_of(token: Token) -> u32 {
    token as u32
}

/// A table of values by token. No token is zero.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Place<T> {
    /// Of the value that is there, or of the next one to come.
    generation: u32,
    /// The free place after this one; means nothing while there is a value.
    next: u32,
    value: Option<T>,
}

impl<T> Place<T> {
    /// Whether it has the value that a token names.
    fn is(&self, token: Token) -> bool {
        self.generation == (token >> 32) as u32
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slab<T> {
    /// An empty table; it takes memory when it gets values.
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: NONE, len: 0 }
    }

    /// Values in the table.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Put a value in, and name it.
    ///
    /// # Panics
    /// With more than four thousand million values.
    pub fn insert(&mut self, value: T) -> Token {
        self.len += 1;
        let index = self.free;
        if index == NONE {
            let index = u32::try_from(self.places.len()).ok().filter(|&index| index != NONE);
            let index = index.expect("the table is full");
            self.places.push(Place { generation: 1, next: NONE, value: Some(value) });
            return token(1, index);
        }
        let place = &mut self.places[index as usize];
        self.free = place.next;
        place.value = Some(value);
        token(place.generation, index)
    }

    /// The value of a token; None when it is gone.
    pub fn get(&self, token: Token) -> Option<&T> {
        let place = self.places.get(place_of(token) as usize)?;
        if place.is(token) { place.value.as_ref() } else { None }
    }

    /// The value of a token, to be changed; None when it is gone.
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let place = self.places.get_mut(place_of(token) as usize)?;
        if place.is(token) { place.value.as_mut() } else { None }
    }

    /// Take a value out; None when it is gone already.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let index = place_of(token);
        let place = self.places.get_mut(index as usize)?;
        if !place.is(token) {
            return None;
        }
        let value = place.value.take()?;
        // A place would have to be used two thousand million times before a token came again.
        place.generation = if place.generation == LAST_GENERATION { 1 } else { place.generation + 1 };
        place.next = self.free;
        self.free = index;
        self.len -= 1;
        Some(value)
    }

    /// The tokens of all values, by place.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + '_ {
        self.iter().map(|(token, _)| token)
    }

    /// All values with their tokens, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> + '_ {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            place.value.as_ref().map(|value| (token(place.generation, index as u32), value))
        })
    }
}

const fn token(generation: u32, index: u32) -> Token {
    (generation as u64) << 32 | index as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Dice;

    #[test]
    fn a_token_of_something_gone_names_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(Some("first"), slab.remove(first));
        let second = slab.insert("second");

        assert_eq!(place_of(first), place_of(second));
        assert_ne!(first, second);
        assert_eq!(None, slab.get(first));
        assert_eq!(None, slab.get_mut(first));
        assert_eq!(None, slab.remove(first));
        assert_eq!(Some(&"second"), slab.get(second));
    }

    #[test]
    fn made_up_tokens_name_nothing() {
        let mut slab = Slab::new();
        let only = slab.insert(());

        for token in [0, 1, only + 1, only + (1 << 32), u64::MAX] {
            assert_eq!(None, slab.get(token));
            assert_eq!(None, slab.remove(token));
        }
        slab.remove(only);
        assert_eq!(None, slab.get(only + (1 << 32)), "the next owner has not come yet");
        assert_eq!(None, slab.remove(only + (1 << 32)));
    }

    #[test]
    fn a_place_used_up_begins_anew_without_the_token_zero() {
        let mut slab = Slab::new();
        let token = slab.insert(());
        slab.remove(token);
        slab.places[0].generation = LAST_GENERATION;
        let last = slab.insert(());
        slab.remove(last);

        assert_eq!(1 << 32, slab.insert(()));
    }

    #[test]
    fn it_behaves_like_a_map() {
        let mut dice = Dice::new(7);
        let mut slab = Slab::new();
        let mut model = HashMap::new();
        let mut gone = Vec::new();
        for step in 0..20_000_u32 {
            let live: Vec<Token> = slab.tokens().collect();
            if live.is_empty() || dice.below(100) < if step % 4000 < 2000 { 60 } else { 40 } {
                let token = slab.insert(step);
                assert!(model.insert(token, step).is_none(), "a token came twice");
            } else {
                let token = live[dice.below(live.len() as u64) as usize];
                assert_eq!(model.remove(&token), slab.remove(token));
                gone.push(token);
            }
            assert_eq!(model.len(), slab.len());
            assert_eq!(model.is_empty(), slab.is_empty());
            if let Some(&token) = gone.get(dice.below(gone.len().max(1) as u64) as usize) {
                assert_eq!(None, slab.get(token));
            }
        }
        let mut found: HashMap<Token, u32> = slab.iter().map(|(token, &value)| (token, value)).collect();
        assert_eq!(model, found);
        for (token, value) in &mut found {
            assert_eq!(Some(value), slab.get_mut(*token));
        }
    }

    #[test]
    fn a_place_costs_its_value_and_eight_bytes() {
        assert_eq!(size_of::<Box<u8>>() + 8, size_of::<Place<Box<u8>>>());
    }
}
