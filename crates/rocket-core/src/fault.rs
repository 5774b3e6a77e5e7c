//! What a client did wrong, in the words of the answer it gets.

use std::borrow::Cow;

/// A fault of the client. The connection ends after its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Status of the answer, 400 to 599.
    pub status: u16,
    /// What was found and where that is forbidden, for example
    /// `content-length and transfer-encoding together (RFC 9112 §6.3)`. Nothing of what the client sent.
    pub reason: Cow<'static, str>,
}

impl Fault {
    /// A 400.
    pub const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }

    /// Any status.
    pub const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason: Cow::Borrowed(reason) }
    }

    /// With a limit of the configuration in its reason.
    pub const fn with_limit(status: u16, reason: String) -> Self {
        Self { status, reason: Cow::Owned(reason) }
    }
}
