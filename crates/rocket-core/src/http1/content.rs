//! Content on its way in.

use super::Terms;
use crate::chunked::Chunked;

/// A request whose content is being received; nobody wants the content when `asked` is None.
#[derive(Debug)]
pub struct Receiving<A> {
    /// The request.
    pub asked: Option<A>,
    /// How it is to be answered.
    pub terms: Terms,
    /// What came so far.
    pub content: Vec<u8>,
    /// Bytes announced; unknown with chunks.
    pub needed: u64,
    /// The decoder of chunks.
    pub chunks: Option<Chunked>,
    /// Milliseconds since when the client may send.
    pub started: u64,
}

impl<A> Receiving<A> {
    /// Take received bytes: how many belong to this content when it is whole, else None.
    ///
    /// # Errors
    /// The chunks are broken or too large.
    pub fn take(&mut self, data: &[u8]) -> Result<Option<usize>, crate::fault::Fault> {
        if let Some(chunks) = &mut self.chunks {
            return chunks.feed(data, &mut self.content);
        }
        let missing = self.needed as usize - self.content.len();
        let taken = missing.min(data.len());
        self.content.extend_from_slice(&data[..taken]);
        Ok((taken == missing).then_some(taken))
    }
}
