//! Frames as a server writes them: never masked, each message whole.

use super::deflate::{Agreed, Deflater};
use super::{COMPRESSED, FINAL, Frames};

/// Below this many bytes deflate saves less than a packet's header, and costs more than everything else.
const LEAST_DEFLATED: usize = 128;
/// The longest header.
const MOST_HEADER: usize = 10;

/// The beginning of a frame.
pub struct Header {
    bytes: [u8; MOST_HEADER],
    size: usize,
}

impl Header {
    /// Of a frame without a mask, its length in the shortest way.
    pub fn new(first: u8, size: usize) -> Self {
        let mut bytes = [0; MOST_HEADER];
        bytes[0] = first;
        let header = if size < 126 {
            bytes[1] = size as u8;
            2
        } else if size < 0x1_0000 {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(size as u16).to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(size as u64).to_be_bytes());
            10
        };
        Self { bytes, size: header }
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

impl Frames {
    /// Write a message as a frame: `write` gets its header and its payload.
    pub fn pack<R>(&mut self, opcode: u8, message: &[u8], write: impl FnOnce(&[u8], &[u8]) -> R) -> R {
        match self.agreed {
            Some(agreed) if message.len() >= LEAST_DEFLATED => {
                let payload = self.deflate(message, agreed);
                let header = Header::new(FINAL | COMPRESSED | opcode, payload.len());
                write(header.as_bytes(), &payload)
            }
            _ => write(Header::new(FINAL | opcode, message.len()).as_bytes(), message),
        }
    }

    fn deflate(&mut self, message: &[u8], agreed: Agreed) -> Vec<u8> {
        let mut deflater = self.deflater.take().unwrap_or_else(|| Deflater::new(agreed.out_bits));
        let compressed = deflater.deflate(message);
        if agreed.out_takeover {
            self.deflater = Some(deflater);
        }
        compressed
    }
}

/// Write a control frame, whose payload has at most 125 bytes.
pub fn pack_control<R>(opcode: u8, payload: &[u8], write: impl FnOnce(&[u8], &[u8]) -> R) -> R {
    write(Header::new(FINAL | opcode, payload.len()).as_bytes(), payload)
}
