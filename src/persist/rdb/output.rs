//! Writing: lengths, strings and numbers.

use super::{VERSION, special};
use crate::base::lzf;
use crate::base::num::{self, IntText};

/// Where values are written to.
pub struct Output {
    bytes: Vec<u8>,
    compresses: bool,
    version: u16,
    /// What belongs behind the type of the next value.
    key: Option<Vec<u8>>,
    is_beyond: bool,
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
        Output::of_version(VERSION, compresses)
    }

    /// For readers that know this version of the format.
    pub fn of_version(version: u16, compresses: bool) -> Output {
        Output {
            bytes: Vec::new(),
            compresses,
            version,
            key: None,
            is_beyond: false,
        }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written since it was last taken.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was written, which is elsewhere now.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Whether something was to be written that the version has no form for.
    pub fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    /// Notes that the version has no form for what is to be written.
    pub fn go_beyond(&mut self) {
        self.is_beyond = true;
    }

    /// Puts a key behind the type of the value that is written next.
    pub fn name(&mut self, key: &[u8]) {
        self.key = Some(key.to_vec());
    }

    /// The type of a value, and its key where it has one.
    pub fn kind(&mut self, kind: u8) {
        self.raw(&[kind]);
        if let Some(key) = self.key.take() {
            self.string(&key);
        }
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
