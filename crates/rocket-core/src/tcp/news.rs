//! What is told about raw connections.

use super::Loan;

/// Who can go on after an event.
#[derive(Debug)]
pub struct News<G> {
    /// Whoever waits for bytes: there are some, or there will be none.
    pub has_input: bool,
    /// Whoever waits for bytes has waited too long.
    pub is_input_late: bool,
    /// Those who wait until everything is sent.
    pub output: Option<Output>,
    /// The connection is gone, and this is what belonged to it.
    pub gone: Option<G>,
}

impl<G> Default for News<G> {
    fn default() -> Self {
        Self { has_input: false, is_input_late: false, output: None, gone: None }
    }
}

impl<G> News<G> {
    /// Anybody can go on.
    pub(super) fn is_news(&self) -> bool {
        self.has_input || self.is_input_late || self.output.is_some() || self.gone.is_some()
    }
}

/// How it went with what was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The socket has all of it.
    Sent,
    /// Not yet.
    Waits,
    /// The client has taken nothing for too long.
    Late,
    /// The connection broke: errno.
    Broken(i32),
    /// The connection was cut here.
    Closed,
}

/// What there is for a reader.
#[derive(Debug)]
pub enum Input<T> {
    /// Bytes, at least one.
    Bytes(T),
    /// The client sends no more.
    End,
    /// Nothing yet.
    Waits,
    /// The connection broke: errno.
    Broken(i32),
    /// The connection was closed here.
    Closed,
}

impl<T> Input<T> {
    pub(super) fn map<R>(self, act: impl FnOnce(T) -> R) -> Input<R> {
        match self {
            Self::Bytes(bytes) => Input::Bytes(act(bytes)),
            Self::End => Input::End,
            Self::Waits => Input::Waits,
            Self::Broken(errno) => Input::Broken(errno),
            Self::Closed => Input::Closed,
        }
    }
}

/// Bytes that a reader has for itself.
#[derive(Debug)]
pub enum View {
    /// Where the driver has them.
    Lent(Loan),
    /// Copied, or collected before.
    Own(Vec<u8>),
}
