//! What a request is and where it ends: decided strictly, once, before anything is believed.

use crate::fault::Fault;
use crate::limits::Limits;

/// A piece of the bytes that a head was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Index of the first byte.
    pub start: u32,
    /// Index after the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes it stands for.
    pub fn of<'a>(&self, data: &'a [u8]) -> &'a [u8] {
        &data[self.start as usize..self.end as usize]
    }
}

/// How the content of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is none (or Content-Length: 0).
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// The path of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// As received, still percent-encoded; of CONNECT the authority, of `OPTIONS *` the asterisk.
    Sent(Span),
    /// Absolute-form without a path: "/".
    Root,
    /// OPTIONS in absolute-form without path and query: "*".
    Asterisk,
}

/// One valid request head. Spans count from the start of the bytes it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// As received.
    pub method: Span,
    /// As received.
    pub target: Span,
    /// Of the target.
    pub path: Path,
    /// Of the target, without the question mark; empty when there is none.
    pub query: Span,
    /// Minor version: 0 or 1; a higher one is served as 1 (RFC 9110 §2.5).
    pub minor: u8,
    /// The field lines as received, each preceded by CRLF; without the CRLF that ends the last.
    pub fields: Span,
    /// Of absolute-form: replaces the Host field (RFC 9112 §3.2.2).
    pub authority: Option<Span>,
    /// How its content is framed.
    pub content: Content,
    /// The client wants the connection to go on.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends the content; never without content.
    pub expects_continue: bool,
    /// It expects something nobody promised.
    pub unmet_expectation: bool,
    /// Index of the first byte after the head.
    pub end: usize,
}

/// Read one request head.
///
/// # Errors
/// It is not, or can never become, a valid head.
pub fn parse_head(_data: &[u8], _limits: &Limits, _scanned: usize) -> Result<Option<Head>, Fault> {
    Ok(None)
}
