//! The bounds on what a client may send; read once from the configuration.

/// Bounds on one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the request line without its CRLF: 414.
    pub request_line: usize,
    /// Bytes of the head with its final empty line: 431.
    pub head: usize,
    /// Field lines: 431.
    pub headers: usize,
    /// Bytes of chunk extensions in one message: 400.
    pub chunk_extensions: usize,
    /// Bytes of trailers in one message: 431.
    pub trailers: usize,
}
