//! Frames of a WebSocket as a server reads and writes them: bytes go in, messages come out.
//!
//! What is received is judged as soon as its header has come: nothing is kept of a frame that is malformed, and
//! none that is larger than a message may be. Fragments are put together, compressed messages inflated up to the
//! same limit. The same bytes give the same events here and in the portable machine
//! (`rocket_sup/http/wsframes.py`), however they are cut. Specified in RFC 6455 §5 and RFC 7692 §7.

mod deflate;
mod mask;
mod writing;

use std::borrow::Cow;
use std::mem;
use std::str;

pub use deflate::Agreed;
use deflate::{Deflater, Inflated, Inflater};
pub use writing::pack_control;

/// Opcodes, RFC 6455 §5.2.
pub mod opcode {
    /// The next fragment of a message.
    pub const CONTINUATION: u8 = 0;
    /// A message of text, or its first fragment.
    pub const TEXT: u8 = 1;
    /// A message of bytes, or its first fragment.
    pub const BINARY: u8 = 2;
    /// Goodbye.
    pub const CLOSE: u8 = 8;
    /// A question for a `PONG`.
    pub const PING: u8 = 9;
    /// The answer to a `PING`.
    pub const PONG: u8 = 10;
}

use opcode::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};

/// Payload of a control frame, RFC 6455 §5.5.
pub const MOST_CONTROL: usize = 125;
/// Inflated bytes given at once; what was received behind them waits for the next call.
const INFLATED_AT_ONCE: usize = 256 * 1024;
/// A buffer larger than this is not kept for the next frame: most connections are silent most of the time.
const KEPT: usize = 4 * 1024;

const FINAL: u8 = 0x80;
/// RSV1, RFC 7692 §6.
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTROL: u8 = 0x08;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message of text.
    Text(&'a str),
    /// A message of bytes.
    Binary(&'a [u8]),
    /// A control frame: its opcode and payload; that of a Close is valid.
    Control(u8, &'a [u8]),
    /// What was received is no WebSocket: the payload of the Close to send. Nothing comes after it.
    Failed(&'a [u8]),
}

/// What was received so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Whole messages.
    Between,
    /// The beginning of a text message.
    InText,
    /// The beginning of a binary message.
    InBinary,
    /// A Close, or a fault: whatever else comes is dropped.
    Ended,
}

/// What the peer did wrong.
struct Fault {
    code: u16,
    reason: Cow<'static, str>,
}

impl Fault {
    fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn protocol(reason: &'static str) -> Self {
        Self::new(1002, reason)
    }
}

/// One connection's framing, both ways.
pub struct Frames {
    state: State,
    max_message: usize,
    agreed: Option<Agreed>,
    /// The beginning of a frame, or what was held back.
    held: Vec<u8>,
    /// Bytes of it without which nothing more can be said.
    needed: usize,
    /// The fragments of a message.
    gathered: Vec<u8>,
    /// That message is compressed.
    is_compressed: bool,
    is_holding: bool,
    /// A payload without its mask.
    bare: Vec<u8>,
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
}

impl Frames {
    /// Behind the handshake: `max_message` bytes of a message are allowed, as sent and inflated; at least 125.
    pub fn new(max_message: usize, agreed: Option<Agreed>) -> Self {
        Self {
            state: State::Between,
            max_message,
            agreed,
            held: Vec::new(),
            needed: 2,
            gathered: Vec::new(),
            is_compressed: false,
            is_holding: false,
            bare: Vec::new(),
            inflater: None,
            deflater: None,
        }
    }

    /// There are whole messages that were not given yet: `feed` again, if need be with nothing.
    pub fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// Take received bytes, and give what they complete, in order; after a Close or a fault always nothing.
    pub fn feed(&mut self, data: &[u8], mut give: impl FnMut(Event<'_>)) {
        if self.state == State::Ended {
            return;
        }
        if self.held.is_empty() {
            match self.advance(data, &mut give) {
                Ok(position) => self.held.extend_from_slice(&data[position..]),
                Err(fault) => self.fail(&fault, give),
            }
            return;
        }
        self.held.extend_from_slice(data);
        if self.held.len() < self.needed {
            return;
        }
        let mut held = mem::take(&mut self.held);
        match self.advance(&held, &mut give) {
            Ok(position) => {
                if position == held.len() && held.capacity() > KEPT {
                    return;
                }
                held.drain(..position);
                self.held = held;
            }
            Err(fault) => self.fail(&fault, give),
        }
    }

    fn fail(&mut self, fault: &Fault, mut give: impl FnMut(Event<'_>)) {
        self.state = State::Ended;
        self.held = Vec::new();
        self.gathered = Vec::new();
        let mut payload = fault.code.to_be_bytes().to_vec();
        payload.extend_from_slice(fault.reason.as_bytes());
        payload.truncate(MOST_CONTROL); // our own reasons are ASCII
        give(Event::Failed(&payload));
    }

    /// Take whole frames; give where the first begins that is not.
    fn advance(&mut self, data: &[u8], give: &mut impl FnMut(Event<'_>)) -> Result<usize, Fault> {
        let mut position = 0;
        let mut inflated = 0;
        self.is_holding = false;
        self.needed = 2;
        while let Some(header) = self.read_header(&data[position..])? {
            let Header { first, next, key, start, end } = header;
            let rest = &data[position..];
            if rest.len() < end {
                self.needed = end;
                break;
            }
            position += end;
            let mut bare = mem::take(&mut self.bare);
            mask::take_off(&rest[start..end], key, &mut bare);
            let given = if first & CONTROL != 0 {
                self.on_control(first & 15, &bare, give).map(|()| 0)
            } else {
                self.on_data(first, &bare, give)
            };
            if bare.capacity() <= KEPT {
                self.bare = bare;
            }
            inflated += given?;
            self.state = next;
            if next == State::Ended {
                return Ok(data.len());
            }
            if inflated >= INFLATED_AT_ONCE && position < data.len() {
                self.is_holding = true;
                break;
            }
        }
        Ok(position)
    }

    /// Judge the header of a frame; None, with `needed` set, when there is too little of it.
    fn read_header(&mut self, data: &[u8]) -> Result<Option<Header>, Fault> {
        let [first, second, ..] = *data else { return Ok(None) };
        let next = self.judge(first)?;
        if second & MASKED == 0 {
            return Err(Fault::protocol("a frame is not masked (RFC 6455 5.1)"));
        }
        let short = usize::from(second & !MASKED);
        if first & CONTROL != 0 && short > MOST_CONTROL {
            return Err(Fault::protocol("a control frame has more than 125 bytes (RFC 6455 5.5)"));
        }
        let width = if short <= MOST_CONTROL { 0 } else { if short == 126 { 2 } else { 8 } };
        let Some(written) = data.get(2..2 + width) else {
            self.needed = 2 + width;
            return Ok(None);
        };
        let size = match width {
            0 => short as u64,
            _ => long_size(written)?,
        };
        let room = self.max_message - self.gathered.len();
        let size = match usize::try_from(size) {
            Ok(size) if size <= room || first & CONTROL != 0 => size,
            _ => {
                let reason = format!("a message has more than {} bytes", self.max_message);
                return Err(Fault::new(1009, reason));
            }
        };
        let start = 2 + width + 4;
        let Some(key) = data[2 + width..].first_chunk::<4>() else {
            self.needed = start + size;
            return Ok(None);
        };
        Ok(Some(Header { first, next, key: *key, start, end: start + size }))
    }

    /// Judge the first byte of a frame: what was received when the frame is whole.
    fn judge(&self, first: u8) -> Result<State, Fault> {
        let (opcode, is_final) = (first & 15, first & FINAL != 0);
        let reserved = first & RESERVED;
        if reserved != 0
            && !(reserved == COMPRESSED && self.agreed.is_some() && matches!(opcode, TEXT | BINARY))
        {
            return Err(Fault::protocol("a reserved bit is set (RFC 6455 5.2)"));
        }
        match (self.state, opcode, is_final) {
            (State::Between, TEXT | BINARY, true) => Ok(State::Between),
            (State::Between, TEXT, false) => Ok(State::InText),
            (State::Between, BINARY, false) => Ok(State::InBinary),
            (State::InText | State::InBinary, CONTINUATION, true) => Ok(State::Between),
            (state @ (State::InText | State::InBinary), CONTINUATION, false) => Ok(state),
            (state, PING | PONG, true) => Ok(state),
            (_, CLOSE, true) => Ok(State::Ended),
            (_, CLOSE | PING | PONG, false) => {
                Err(Fault::protocol("a control frame is fragmented (RFC 6455 5.5)"))
            }
            (_, CONTINUATION, _) => Err(Fault::protocol("a continuation without a beginning (RFC 6455 5.4)")),
            (_, TEXT | BINARY, _) => Err(Fault::protocol("a message begins within another (RFC 6455 5.4)")),
            (_, unknown, _) => {
                Err(Fault::new(1002, format!("the opcode {unknown} is unknown (RFC 6455 5.2)")))
            }
        }
    }

    fn on_control(
        &mut self,
        opcode: u8,
        payload: &[u8],
        give: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Fault> {
        if opcode == CLOSE && !payload.is_empty() {
            let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
            if !is_close_code(code) {
                return Err(Fault::protocol("a close code is not valid (RFC 6455 7.4)"));
            }
            if str::from_utf8(&payload[2..]).is_err() {
                return Err(Fault::new(1007, "the reason of a Close is not UTF-8 (RFC 6455 5.5.1)"));
            }
        }
        give(Event::Control(opcode, payload));
        Ok(())
    }

    /// Take a frame of a message; give the message if it is whole, and how many bytes were inflated.
    fn on_data(
        &mut self,
        first: u8,
        payload: &[u8],
        give: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, Fault> {
        let is_text = first & 15 == TEXT || self.state == State::InText;
        if first & 15 != CONTINUATION {
            self.is_compressed = first & COMPRESSED != 0;
        }
        if first & FINAL == 0 {
            self.gathered.extend_from_slice(payload);
            return Ok(0);
        }
        let gathered = mem::take(&mut self.gathered);
        let whole =
            if gathered.is_empty() { Cow::Borrowed(payload) } else { [&gathered, payload].concat().into() };
        if !self.is_compressed {
            return give_message(&whole, is_text, give).map(|()| 0);
        }
        let inflated = self.inflate(&whole)?;
        give_message(&inflated, is_text, give).map(|()| inflated.len())
    }

    fn inflate(&mut self, compressed: &[u8]) -> Result<Vec<u8>, Fault> {
        let agreed = self.agreed.unwrap_or_default();
        let mut inflater = self.inflater.take().unwrap_or_else(|| Inflater::new(agreed.in_bits));
        match inflater.inflate(compressed, self.max_message) {
            Inflated::Whole(message) => {
                self.inflater = agreed.in_takeover.then_some(inflater);
                Ok(message)
            }
            Inflated::TooLarge => {
                Err(Fault::new(1009, format!("a message inflates to more than {} bytes", self.max_message)))
            }
            Inflated::Broken => {
                Err(Fault::new(1007, "a compressed message cannot be inflated (RFC 7692 7.2.2)"))
            }
        }
    }
}

/// A frame whose payload lies at `start..end`.
struct Header {
    first: u8,
    next: State,
    key: [u8; 4],
    start: usize,
    end: usize,
}

/// Read a length of two bytes or eight.
fn long_size(written: &[u8]) -> Result<u64, Fault> {
    let size = written.iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
    let least = if written.len() == 2 { 126 } else { 0x1_0000 };
    if size < least {
        return Err(Fault::protocol("a length is not written in the shortest way (RFC 6455 5.2)"));
    }
    if size >> 63 != 0 {
        return Err(Fault::protocol("a length has its highest bit set (RFC 6455 5.2)"));
    }
    Ok(size)
}

fn give_message(message: &[u8], is_text: bool, give: &mut impl FnMut(Event<'_>)) -> Result<(), Fault> {
    if !is_text {
        give(Event::Binary(message));
        return Ok(());
    }
    match str::from_utf8(message) {
        Ok(text) => give(Event::Text(text)),
        Err(_) => return Err(Fault::new(1007, "a text message is not UTF-8 (RFC 6455 8.1)")),
    }
    Ok(())
}

/// Whether a code may be on the wire (RFC 6455 §7.4, and IANA's registry).
fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
