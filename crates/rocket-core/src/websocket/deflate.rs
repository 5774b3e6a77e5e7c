//! permessage-deflate: both directions' windows (RFC 7692 §7).

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// What the sender of a message leaves out at its end, RFC 7692 §7.2.1.
pub const SYNC_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// zlib's own default.
const LEVEL: i32 = 6;
/// Of 9: 16 KiB for each connection that sends compressed, instead of 256.
const MEMORY: i32 = 5;

/// What was agreed about compression.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// Window of what the client sends: 8 to 15 bits.
    pub in_bits: u8,
    /// The client's window outlives a message.
    pub in_takeover: bool,
    /// Window of what we send: 9 to 15 bits.
    pub out_bits: u8,
    /// Our window outlives a message.
    pub out_takeover: bool,
}

impl Default for Agreed {
    fn default() -> Self {
        Self { in_bits: 15, in_takeover: true, out_bits: 15, out_takeover: true }
    }
}

/// What became of a compressed message.
pub enum Inflated {
    /// It is this.
    Whole(Vec<u8>),
    /// It is larger than allowed.
    TooLarge,
    /// It is none.
    Broken,
}

/// The client's window.
pub struct Inflater {
    stream: Inflate,
    bits: u8,
}

impl Inflater {
    /// Before the first message.
    pub fn new(bits: u8) -> Self {
        Self { stream: Inflate::new(false, bits), bits }
    }

    /// Inflate a message of at most so many bytes.
    pub fn inflate(&mut self, compressed: &[u8], most: usize) -> Inflated {
        let mut message = Vec::new();
        let is_good = self.take(compressed, &mut message, most) && self.take(&SYNC_TAIL, &mut message, most);
        if message.len() > most {
            Inflated::TooLarge
        } else if is_good {
            Inflated::Whole(message)
        } else {
            Inflated::Broken
        }
    }

    /// Inflate a part, to one byte more than allowed; whether that went well.
    fn take(&mut self, mut part: &[u8], message: &mut Vec<u8>, most: usize) -> bool {
        loop {
            let filled = message.len();
            if filled > most {
                return false;
            }
            let room = part.len().saturating_mul(4).clamp(256, 64 * 1024).min(most + 1 - filled);
            message.resize(filled + room, 0);
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(part, &mut message[filled..], InflateFlush::SyncFlush);
            let taken = (self.stream.total_in() - taken) as usize;
            let given = (self.stream.total_out() - given) as usize;
            message.truncate(filled + given);
            part = &part[taken..];
            match status {
                // A block that says it is the last: allowed, and what follows is a new stream (RFC 7692 §7.2.3.4).
                Ok(Status::StreamEnd) => self.stream = Inflate::new(false, self.bits),
                Ok(_) if given == room => {}
                Ok(_) => return part.is_empty(),
                Err(_) => return false,
            }
            if part.is_empty() && given < room {
                return true;
            }
        }
    }
}

/// Our window.
pub struct Deflater {
    stream: Deflate,
}

impl Deflater {
    /// Before the first message.
    pub fn new(bits: u8) -> Self {
        let config = DeflateConfig {
            level: LEVEL,
            window_bits: -i32::from(bits),
            mem_level: MEMORY,
            ..DeflateConfig::default()
        };
        Self { stream: Deflate::new_with_config(config) }
    }

    /// Compress a message.
    pub fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        let mut rest = message;
        loop {
            let filled = compressed.len();
            let room = rest.len() / 2 + 64;
            compressed.resize(filled + room, 0);
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(rest, &mut compressed[filled..], DeflateFlush::SyncFlush);
            rest = &rest[(self.stream.total_in() - taken) as usize..];
            let given = (self.stream.total_out() - given) as usize;
            compressed.truncate(filled + given);
            // An error would be one of ours: the stream is valid, and memory is never refused here.
            if given < room || status.is_err() {
                break;
            }
        }
        compressed.truncate(compressed.len().saturating_sub(SYNC_TAIL.len()));
        compressed
    }
}
