//! Decode chunked content: a machine that takes received bytes and gives the content.
//!
//! Lines are matched against the grammar as a whole and end in CRLF; data is followed by exactly CRLF. Chunk
//! extensions are checked, counted and thrown away: they change nothing. Trailers are checked, counted and kept
//! for whoever asks for them. What has to be held to
//! find the end of a line is bounded by what is left of those two limits, and a chunk's size is compared with
//! the limit before any of its data is kept. Specified in RFC 9112 §7.1.

use std::borrow::Cow;

use crate::fault::Fault;
use crate::head::CRLF;
use crate::limits::Limits;
use crate::octets::{self, BLANK, HEX, TOKEN};

/// Digits that hold any 64-bit size; more are only leading zeros, and refused.
const SIZE_DIGITS: usize = 16;

/// What the decoder expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A chunk-size line.
    Size,
    /// Chunk data: so many bytes are still to come, at least one.
    Data(u64),
    /// The CRLF after chunk data.
    DataEnd,
    /// A trailer field or the final empty line.
    Trailers,
    /// Nothing: the content is complete.
    Done,
}

/// Decodes the content of one message.
#[derive(Debug)]
pub struct Chunked {
    limits: Limits,
    max_body: u64,
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Bytes of content announced so far.
    announced: u64,
    /// Bytes that extensions, then trailers, may still take.
    spare: usize,
    fields: usize,
    /// The trailer fields, each preceded by CRLF; bounded like what they are counted against.
    trailers: Vec<u8>,
}

impl Chunked {
    /// Before the first chunk; `max_body` bytes of content are allowed.
    pub fn new(limits: &Limits, max_body: u64) -> Self {
        Self {
            limits: *limits,
            max_body,
            state: State::Size,
            line: Vec::new(),
            announced: 0,
            spare: limits.chunk_extensions,
            fields: 0,
            trailers: Vec::new(),
        }
    }

    /// Take received bytes; append what they hold of the content to `content`.
    ///
    /// Gives Some when the content is complete: how many of these bytes belonged to it; after that, zero of any
    /// further ones do.
    ///
    /// # Errors
    /// 400 for a broken frame or too many extensions, 413 for too much content, 431 for too many trailers.
    pub fn feed(&mut self, data: &[u8], content: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        let mut position = 0;
        while self.state != State::Done && position < data.len() {
            if let State::Data(needed) = self.state {
                let rest = &data[position..];
                let taken = rest.len().min(usize::try_from(needed).unwrap_or(usize::MAX));
                content.extend_from_slice(&rest[..taken]);
                position += taken;
                self.state = match needed - taken as u64 {
                    0 => State::DataEnd,
                    needed => State::Data(needed),
                };
                continue;
            }
            let Some((line, next)) = self.take_line(data, position) else {
                self.keep(data, position)?;
                return Ok(None);
            };
            self.on_line(&line)?;
            position = next;
        }
        Ok((self.state == State::Done).then_some(position))
    }

    /// The trailer fields so far, each preceded by CRLF.
    pub fn take_trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    /// A whole line without its CRLF, and the index after that; None when its end has not come.
    fn take_line<'a>(&mut self, data: &'a [u8], position: usize) -> Option<(Cow<'a, [u8]>, usize)> {
        if self.line.last() == Some(&b'\r') && data[position] == b'\n' {
            let mut line = std::mem::take(&mut self.line);
            line.pop();
            return Some((Cow::Owned(line), position + 1));
        }
        let rest = &data[position..];
        let end = octets::find_crlf(rest)?;
        let next = position + end + CRLF.len();
        if self.line.is_empty() {
            return Some((Cow::Borrowed(&rest[..end]), next));
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&rest[..end]);
        Some((Cow::Owned(line), next))
    }

    fn on_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        match self.state {
            State::Size => self.on_size_line(line),
            State::Trailers => self.on_trailer_line(line),
            State::DataEnd if line.is_empty() => {
                self.state = State::Size;
                Ok(())
            }
            State::DataEnd | State::Data(_) | State::Done => Err(no_crlf_after_data()),
        }
    }

    fn on_size_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        let Some((size, extensions)) = read_size_line(line) else {
            return Err(Fault::bad("not a chunk-size line (RFC 9112 §7.1)"));
        };
        let Some(spare) = self.spare.checked_sub(extensions) else {
            return Err(self.too_many_extensions());
        };
        self.spare = spare;
        if size == 0 {
            self.state = State::Trailers;
            self.spare = self.limits.trailers;
        } else if size > self.max_body - self.announced {
            let allowed = self.max_body;
            let reason = format!("the content is larger than {allowed} bytes (RFC 9110 §15.5.14)");
            return Err(Fault::with_limit(413, reason));
        } else {
            self.announced += size;
            self.state = State::Data(size);
        }
        Ok(())
    }

    fn on_trailer_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if line.is_empty() {
            self.state = State::Done;
            return Ok(());
        }
        self.fields += 1;
        match self.spare.checked_sub(line.len() + CRLF.len()) {
            Some(spare) if self.fields <= self.limits.headers => self.spare = spare,
            _ => return Err(self.too_many_trailers()),
        }
        if octets::is_field_line(line) {
            self.trailers.extend_from_slice(CRLF);
            self.trailers.extend_from_slice(line);
            return Ok(());
        }
        Err(Fault::bad("a trailer is not a field line (RFC 9112 §7.1.2)"))
    }

    /// Hold the beginning of a line, unless it can never become one.
    fn keep(&mut self, data: &[u8], position: usize) -> Result<(), Fault> {
        let rest = &data[position..];
        // Held before: without anything forbidden, but maybe with a CR at its end that now lacks its LF.
        let is_cr_bare = self.line.last() == Some(&b'\r');
        if is_cr_bare || octets::has_forbidden(data, position) {
            return Err(Fault::bad("a bare CR, bare LF or control character between chunks (RFC 9112 §7.1)"));
        }
        let held = self.line.len() + rest.len();
        match self.state {
            State::DataEnd if rest != b"\r" => return Err(no_crlf_after_data()),
            State::Size if held > self.spare + SIZE_DIGITS + 1 => return Err(self.too_many_extensions()),
            State::Trailers if held > self.spare + 1 => return Err(self.too_many_trailers()),
            _ => {}
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    #[cold]
    fn too_many_extensions(&self) -> Fault {
        let allowed = self.limits.chunk_extensions;
        Fault::with_limit(
            400,
            format!(
                "a chunk-size line is too long, or extensions take more than {allowed} bytes (RFC 9112 §7.1.1)"
            ),
        )
    }

    #[cold]
    fn too_many_trailers(&self) -> Fault {
        let (allowed, headers) = (self.limits.trailers, self.limits.headers);
        Fault::with_limit(
            431,
            format!("the trailers are larger than {allowed} bytes or {headers} fields (RFC 9110 §6.5.1)"),
        )
    }
}

const fn no_crlf_after_data() -> Fault {
    Fault::bad("chunk data is not followed by CRLF (RFC 9112 §7.1)")
}

/// The size, and how many bytes of extensions follow it; None when the line does not match the grammar.
///
/// ```abnf
/// chunk-size = 1*HEXDIG
/// chunk-ext  = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
/// ```
fn read_size_line(line: &[u8]) -> Option<(u64, usize)> {
    let digits = octets::skip(line, 0, HEX);
    if digits == 0 || digits > SIZE_DIGITS {
        return None;
    }
    let size = u64::from_str_radix(str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
    let mut position = digits;
    while position < line.len() {
        position = after_extension(line, position)?;
    }
    Some((size, line.len() - digits))
}

fn after_extension(line: &[u8], from: usize) -> Option<usize> {
    let semicolon = octets::skip(line, from, BLANK);
    if line.get(semicolon) != Some(&b';') {
        return None;
    }
    let name_end = after_token(line, octets::skip(line, semicolon + 1, BLANK))?;
    let equals = octets::skip(line, name_end, BLANK);
    if line.get(equals) != Some(&b'=') {
        return Some(name_end);
    }
    let value = octets::skip(line, equals + 1, BLANK);
    if line.get(value) == Some(&b'"') { after_quoted(line, value + 1) } else { after_token(line, value) }
}

fn after_token(line: &[u8], from: usize) -> Option<usize> {
    let end = octets::skip(line, from, TOKEN);
    (end > from).then_some(end)
}

/// After the closing quote. A line has been checked for nothing yet: controls end the match.
fn after_quoted(line: &[u8], from: usize) -> Option<usize> {
    let mut position = from;
    loop {
        match *line.get(position)? {
            b'"' => return Some(position + 1),
            b'\\' if octets::is(*line.get(position + 1)?, octets::TEXT) => position += 2,
            byte if byte != b'\\' && octets::is(byte, octets::TEXT) => position += 1,
            _ => return None,
        }
    }
}
