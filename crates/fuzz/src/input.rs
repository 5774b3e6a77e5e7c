//! How the bytes of a fuzzer are read: limits, cuts, and what a client sends.

use rocket_core::limits::Limits;

/// Wide enough for anything a fuzzer makes up.
const WIDE: Limits =
    Limits { request_line: 4096, head: 8192, headers: 100, chunk_extensions: 4096, trailers: 4096 };
/// Narrow enough for a fuzzer to go past.
const NARROW: Limits = Limits { request_line: 24, head: 72, headers: 3, chunk_extensions: 12, trailers: 24 };

/// One input: a byte that chooses the limits, a byte that counts the cuts, a byte for each cut, and the rest.
pub struct Input<'a> {
    /// Of the connection.
    pub limits: Limits,
    /// Bytes in each piece; then again from the first.
    pub lengths: &'a [u8],
    /// What the client sends.
    pub data: &'a [u8],
}

impl<'a> Input<'a> {
    /// Of any bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        let (&choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let (&cuts, rest) = rest.split_first().unwrap_or((&0, &[]));
        let (lengths, data) = rest.split_at((cuts as usize % 16).min(rest.len()));
        Self { limits: if choice % 2 == 0 { WIDE } else { NARROW }, lengths, data }
    }

    /// What is sent, as it arrives: never an empty piece.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut lengths = self.lengths.iter().cycle();
        let mut rest = self.data;
        std::iter::from_fn(move || {
            let length =
                lengths.next().map_or(rest.len(), |&length| rest.len().min(usize::from(length).max(1)));
            let (piece, left) = rest.split_at(length);
            rest = left;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
