//! The fields that decide about framing, persistence and validity, gathered while the lines are read.
//!
//! Every other field is passed over by its length alone. Nothing is judged before the whole head is known, so
//! that the order of the lines does not decide which of several faults is told.

use super::{Content, host};
use crate::fault::Fault;
use crate::octets::{is_token, trim};

/// The largest number of digits that always fits into 63 bits.
const LENGTH_DIGITS: usize = 18;

/// What the decisive fields of one head said so far.
pub(super) struct Decisive<'a> {
    is_1_0: bool,
    host: Option<&'a [u8]>,
    has_more_hosts: bool,
    length: Option<&'a [u8]>,
    has_more_lengths: bool,
    codings: Codings,
    says_close: bool,
    says_keep_alive: bool,
    /// RFC 9110 §10.1.1.
    pub(super) expects_continue: bool,
    /// Only 100-continue is defined.
    pub(super) unmet_expectation: bool,
}

/// The elements of all Transfer-Encoding lines.
#[derive(Default)]
struct Codings {
    count: usize,
    is_chunked_last: bool,
    is_chunked_before: bool,
    has_invalid: bool,
}

impl<'a> Decisive<'a> {
    /// Of a head that has no fields yet.
    #[inline(always)]
    pub(super) fn new(is_1_0: bool) -> Self {
        Self {
            is_1_0,
            host: None,
            has_more_hosts: false,
            length: None,
            has_more_lengths: false,
            codings: Codings::default(),
            says_close: false,
            says_keep_alive: false,
            expects_continue: false,
            unmet_expectation: false,
        }
    }

    /// Note a field, if it decides anything; the value may have blanks around it.
    #[inline(always)]
    pub(super) fn take(&mut self, name: &[u8], value: &'a [u8]) {
        match name.len() {
            4 if is_name(name, b"host") => {
                self.has_more_hosts |= self.host.replace(trim(value)).is_some();
            }
            6 if is_name(name, b"expect") => self.take_expectation(value),
            10 if is_name(name, b"connection") => self.take_options(value),
            14 if is_name(name, b"content-length") => {
                self.has_more_lengths |= self.length.replace(trim(value)).is_some();
            }
            17 if is_name(name, b"transfer-encoding") => self.codings.take(value),
            _ => {}
        }
    }

    /// It means nothing in HTTP/1.0.
    #[cold]
    fn take_expectation(&mut self, value: &[u8]) {
        if !trim(value).eq_ignore_ascii_case(b"100-continue") {
            self.unmet_expectation = true;
        } else if !self.is_1_0 {
            self.expects_continue = true;
        }
    }

    #[inline]
    fn take_options(&mut self, value: &[u8]) {
        let value = trim(value);
        if is_name(value, b"keep-alive") {
            self.says_keep_alive = true;
        } else {
            self.take_list(value);
        }
    }

    fn take_list(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(trim) {
            self.says_close |= option.eq_ignore_ascii_case(b"close");
            self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 §9.3: close wins over keep-alive, in whichever line or order they stand.
    #[inline]
    pub(super) fn persists(&self) -> bool {
        !self.says_close && (!self.is_1_0 || self.says_keep_alive)
    }

    /// RFC 9112 §3.2: one Host, and it is valid even where the target's authority replaces it.
    #[inline]
    pub(super) fn check_host(&self, authority: Option<&[u8]>) -> Result<(), Fault> {
        match self.host {
            _ if self.has_more_hosts => return Err(Fault::bad("more than one Host field (RFC 9112 §3.2)")),
            Some(host) if !host::is_authority(host) => {
                return Err(Fault::bad("the Host field is not host[:port] (RFC 9112 §3.2)"));
            }
            None if !self.is_1_0 => return Err(Fault::bad("no Host field (RFC 9112 §3.2)")),
            _ => {}
        }
        match authority {
            Some(authority) if !host::is_authority(authority) => {
                Err(Fault::bad("the target's authority is not host[:port] (RFC 9110 §4.2)"))
            }
            _ => Ok(()),
        }
    }

    /// RFC 9112 §6.3: how the content is framed, if there is any.
    #[inline]
    pub(super) fn content(&self) -> Result<Content, Fault> {
        if self.codings.count > 0 {
            return self.chunked_content();
        }
        match self.length {
            None => Ok(Content::None),
            Some(_) if self.has_more_lengths => {
                Err(Fault::bad("more than one content-length (RFC 9112 §6.3)"))
            }
            Some(digits) => read_length(digits),
        }
    }

    /// One final `chunked` and nothing else.
    fn chunked_content(&self) -> Result<Content, Fault> {
        let codings = &self.codings;
        if self.length.is_some() {
            return Err(Fault::bad("content-length and transfer-encoding together (RFC 9112 §6.3)"));
        }
        if self.is_1_0 {
            return Err(Fault::bad("transfer-encoding in HTTP/1.0 (RFC 9112 §6.1)"));
        }
        if codings.count == 1 && codings.is_chunked_last {
            return Ok(Content::Chunked);
        }
        if !codings.is_chunked_before && !codings.has_invalid {
            return Err(Fault::new(501, "a transfer coding other than chunked (RFC 9112 §6.1)"));
        }
        Err(Fault::bad("transfer-encoding is not one final chunked (RFC 9112 §6.1)"))
    }
}

impl Codings {
    #[cold]
    fn take(&mut self, value: &[u8]) {
        for coding in value.split(|&byte| byte == b',').map(trim) {
            self.is_chunked_before |= self.is_chunked_last;
            self.is_chunked_last = coding.eq_ignore_ascii_case(b"chunked");
            self.has_invalid |= !is_token(coding);
            self.count += 1;
        }
    }
}

/// Is this the name, letter case aside? Of a known length, so that it costs a comparison or two. No control
/// character becomes a letter here, but it would become a hyphen: the text must have none.
#[inline(always)]
fn is_name<const N: usize>(text: &[u8], small: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else { return false };
    text.iter().zip(small).fold(0, |differences, (byte, small)| differences | ((byte | 0x20) ^ small)) == 0
}

/// RFC 9110 §8.6: digits and nothing else.
fn read_length(digits: &[u8]) -> Result<Content, Fault> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::bad("content-length is not a decimal number (RFC 9110 §8.6)"));
    }
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    let digits = &digits[zeros..];
    if digits.len() > LENGTH_DIGITS {
        return Err(Fault::new(413, "the content is too large (RFC 9110 §15.5.14)"));
    }
    match digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0')) {
        0 => Ok(Content::None),
        length => Ok(Content::Length(length)),
    }
}
