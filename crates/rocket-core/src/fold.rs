//! A fast hash of short keys, for tables that are filled once at start.
//!
//! It has no secret. In a table that clients could fill, one of them would choose keys that collide and make
//! every insertion walk past all others. The tables of routes are filled by the application alone; how far a
//! lookup walks is decided by the keys that are in the table, not by the key that is looked up.

use std::hash::{BuildHasher, Hasher};

/// An odd number without pattern: the fraction of the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Makes hashers for `HashMap`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fold;

/// Multiplies eight bytes at a time, and folds the product's upper half onto its lower one.
#[derive(Debug)]
pub struct Folded(u64);

impl Folded {
    const fn mix(&mut self, word: u64) {
        let product = (self.0 ^ word) as u128 * MULTIPLIER as u128;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl BuildHasher for Fold {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(!MULTIPLIER)
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        // Loads of fixed size that overlap are several times faster than a copy of 1 to 7 bytes.
        if let Some(&last) = bytes.last_chunk::<8>() {
            if !rest.is_empty() {
                self.mix(u64::from_le_bytes(last));
            }
        } else if let (Some(&first), Some(&last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            self.mix(u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last)));
        } else if let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) {
            let middle = bytes[bytes.len() / 2];
            self.mix(u64::from(first) << 16 | u64::from(middle) << 8 | u64::from(last));
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.mix(length as u64); // of the slice, which tells a key from a longer one
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_that_differ_a_little_differ_in_both_ends_of_the_hash() {
        let mut hashes = HashSet::new();
        let mut low = HashSet::new();
        let mut high = HashSet::new();
        let mut keys = 0;
        for length in 0..40_usize {
            for place in 0..length {
                for byte in [0, 1, 0x80, 0xFF] {
                    let mut key = vec![b'a'; length];
                    key[place] = byte;
                    let hash = Fold.hash_one(&key[..]);
                    hashes.insert(hash);
                    low.insert(hash % 1024); // a table takes its place from the lower bits, its tag from the upper
                    high.insert(hash >> 57);
                    keys += 1;
                }
            }
        }

        assert_eq!(keys, hashes.len());
        assert!(low.len() > 900, "{}", low.len());
        assert_eq!(128, high.len());
    }
}
