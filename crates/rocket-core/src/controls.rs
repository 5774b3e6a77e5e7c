//! Where the control characters of a text are.
//!
//! A head is lines, and every line ends in two control characters; there are no others in it but HTAB. So a map
//! of them gives the lines and the proof that nothing forbidden is between, 64 bytes at a time and without a
//! branch for each byte. Specified in RFC 9110 §5.5.

/// Bytes looked at in one step: one bit for each fits into a register.
const BLOCK: usize = 64;
/// Bytes that one instruction compares.
const PIECE: usize = 16;

/// The indices of all control characters, in order; HTAB is one.
pub(crate) struct Controls<'a> {
    data: &'a [u8],
    /// Of the bits in `found`, which index the lowest stands for.
    base: usize,
    /// One bit for each control character that was found and not told yet.
    found: u64,
    /// Up to where was looked.
    seen: usize,
}

impl<'a> Controls<'a> {
    /// From an index on.
    #[inline(always)]
    pub(crate) const fn new(data: &'a [u8], from: usize) -> Self {
        Self { data, base: from, found: 0, seen: from }
    }

    #[inline(always)]
    fn look(&mut self) {
        self.base = self.seen;
        match self.data[self.seen..].first_chunk::<BLOCK>() {
            Some(block) => {
                self.found = map_block(block);
                self.seen += BLOCK;
            }
            None => self.look_at_last(),
        }
    }

    /// Fewer bytes than a block.
    #[inline]
    fn look_at_last(&mut self) {
        let (pieces, rest) = self.data[self.seen..].as_chunks();
        // Looked at together with some bytes before them, where there are any.
        let last = match self.data.last_chunk() {
            Some(piece) => map(piece) >> (PIECE - rest.len()),
            None => map_plainly(rest),
        };
        let found = pieces.iter().rev().fold(0, |found, piece| found << PIECE | map(piece));
        self.found = found | last << (pieces.len() * PIECE);
        self.seen = self.data.len();
    }
}

impl Iterator for Controls<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            if self.seen >= self.data.len() {
                return None;
            }
            self.look();
        }
        let index = self.base + self.found.trailing_zeros() as usize;
        self.found &= self.found - 1;
        Some(index)
    }
}

/// `map`, piece after piece; of a known number of them, so that no loop is left.
#[inline(always)]
fn map_block(block: &[u8; BLOCK]) -> u64 {
    let mut found = 0;
    for (index, piece) in block.as_chunks().0.iter().enumerate() {
        found |= map(piece) << (index * PIECE);
    }
    found
}

/// One bit for each control character, the lowest for the first byte.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn map(piece: &[u8; PIECE]) -> u64 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    // SAFETY: every x86_64 has SSE2; the load reads the sixteen bytes of the array, aligned or not.
    let bits = unsafe {
        let bytes = _mm_loadu_si128(piece.as_ptr().cast());
        let low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        _mm_movemask_epi8(_mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f))))
    };
    u64::from(bits as u16)
}

/// One bit for each control character, the lowest for the first byte.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn map(piece: &[u8; PIECE]) -> u64 {
    map_plainly(piece)
}

/// The same, byte by byte.
fn map_plainly(piece: &[u8]) -> u64 {
    piece.iter().rev().fold(0, |found, byte| found << 1 | u64::from(byte.is_ascii_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_found(data: &[u8]) {
        for from in (0..=data.len()).step_by(if cfg!(miri) { 9 } else { 1 }) {
            let expected: Vec<usize> = (from..data.len()).filter(|&at| data[at].is_ascii_control()).collect();
            assert_eq!(expected, Controls::new(data, from).collect::<Vec<_>>(), "{data:?} {from}");
        }
    }

    #[test]
    fn every_byte_is_told_apart() {
        assert_found(&(0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn every_place_in_texts_of_every_length_is_looked_at() {
        for length in (0..200).step_by(if cfg!(miri) { 7 } else { 1 }) {
            assert_found(&vec![b'a'; length]);
            assert_found(&vec![b'\n'; length]);
            if let Some(last) = length.checked_sub(1) {
                for place in [0, length / 2, last] {
                    let mut data = vec![0xff; length];
                    data[place] = 0x7f;
                    assert_found(&data);
                }
            }
        }
    }
}
