//! Writing: lengths, strings and numbers.

use super::special;
use crate::base::lzf;
use crate::base::num::{self, IntText};

/// Where values are written to.
pub struct Output {
    bytes: Vec<u8>,
    compresses: bool,
}

/// Texts up to this length may be an integer of 32 bits.
const INT_TEXT_MAX: usize = 11;
/// Shorter ones are not worth compressing, nor is it to save less than this.
const COMPRESSED_MIN: usize = 21;
const SAVED_MIN: usize = 4;
/// The three leading bits of a special string.
const SPECIAL: u8 = 0xc0;

impl Output {
    /// With nothing in it.
    pub fn new(compresses: bool) -> Output {
        let bytes = Vec::new();
        Output { bytes, compresses }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A length, or another number without a sign.
    pub fn length(&mut self, n: u64) {
        match n {
            0..0x40 => self.raw(&[n as u8]),
            0x40..0x4000 => self.raw(&(n as u16 | 0x4000).to_be_bytes()),
            0x4000..=0xffff_ffff => {
                self.raw(&[0x80]);
                self.raw(&(n as u32).to_be_bytes());
            }
            _ => {
                self.raw(&[0x81]);
                self.raw(&n.to_be_bytes());
            }
        }
    }

    /// The text of an integer.
    pub fn int(&mut self, n: i64) {
        if let Ok(n) = i8::try_from(n) {
            self.raw(&[SPECIAL | special::INT8, n as u8]);
        } else if let Ok(n) = i16::try_from(n) {
            self.raw(&[SPECIAL | special::INT16]);
            self.raw(&n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.raw(&[SPECIAL | special::INT32]);
            self.raw(&n.to_le_bytes());
        } else {
            let text = IntText::new(n);
            self.length(text.as_bytes().len() as u64);
            self.raw(text.as_bytes());
        }
    }

    /// A string.
    pub fn string(&mut self, text: &[u8]) {
        if text.len() <= INT_TEXT_MAX
            && let Some(n) = num::parse_i64(text)
            && i32::try_from(n).is_ok()
        {
            return self.int(n);
        }
        if !(self.compresses && text.len() >= COMPRESSED_MIN && self.compressed(text)) {
            self.length(text.len() as u64);
            self.raw(text);
        }
    }

    fn compressed(&mut self, text: &[u8]) -> bool {
        let mut compressed = Vec::new();
        let is_worth_it = lzf::compress(text, text.len() - SAVED_MIN, &mut compressed).is_some();
        if is_worth_it {
            self.raw(&[SPECIAL | special::LZF]);
            self.length(compressed.len() as u64);
            self.length(text.len() as u64);
            self.raw(&compressed);
        }
        is_worth_it
    }
}
