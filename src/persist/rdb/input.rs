//! Reading: lengths, strings and numbers.

use std::fmt;
use std::io::Read;

use super::{kind, special};
use crate::base::lzf;
use crate::base::num::{self, IntText};

/// Why there is no value to be had.
#[derive(Debug)]
pub enum LoadError {
    /// The bytes end before the value does, or cannot be read.
    Read(std::io::Error),
    /// They are no value; what is wrong with them, in words that operators know.
    Corrupt(&'static str),
    /// They are a value without elements, which no key holds.
    Empty,
    /// Of this type there is no value.
    UnknownType(u8),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Read(error) => write!(f, "Short read: {error}"),
            LoadError::Corrupt(what) => f.write_str(what),
            LoadError::Empty => f.write_str("Empty key"),
            LoadError::UnknownType(kind) => write!(f, "Unknown RDB encoding type {kind}"),
        }
    }
}

impl From<std::io::Error> for LoadError {
    fn from(error: std::io::Error) -> LoadError {
        LoadError::Read(error)
    }
}

/// The memory that is taken at once on the strength of a length that was read,
/// in bytes; more only as there are bytes to fill it.
const RESERVED_MAX: u64 = 1 << 16;

/// Where values are read from.
pub struct Input<R> {
    source: R,
}

/// What stands where a length is expected.
enum Length {
    Of(u64),
    Special(u8),
}

impl<R: Read> Input<R> {
    /// From a file, or a slice.
    pub fn new(source: R) -> Input<R> {
        Input { source }
    }

    /// Where it is read from.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// So many bytes as they are.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, LoadError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn vec(&mut self, length: u64) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::with_capacity(length.min(RESERVED_MAX) as usize);
        let read = self.source.by_ref().take(length).read_to_end(&mut bytes)?;
        match read as u64 == length {
            true => Ok(bytes),
            false => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// The type of the value that follows.
    pub fn kind(&mut self) -> Result<u8, LoadError> {
        match self.byte()? {
            known @ 0..=kind::LAST if known != kind::UNUSED => Ok(known),
            unknown => Err(LoadError::UnknownType(unknown)),
        }
    }

    fn length_or_special(&mut self) -> Result<Length, LoadError> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Length::Of(low.into()),
            (1, _) => Length::Of(u16::from_be_bytes([low, self.byte()?]).into()),
            (2, 0) => Length::Of(u32::from_be_bytes(self.array()?).into()),
            (2, 1) => Length::Of(u64::from_be_bytes(self.array()?)),
            (2, _) => return Err(LoadError::Corrupt("Unknown length encoding")),
            _ => Length::Special(low),
        })
    }

    /// A length, or another number without a sign.
    pub fn length(&mut self) -> Result<u64, LoadError> {
        match self.length_or_special()? {
            Length::Of(length) => Ok(length),
            Length::Special(_) => Err(LoadError::Corrupt("a string where a length is expected")),
        }
    }

    /// The number of a value's elements, of which there must be some.
    pub fn count(&mut self) -> Result<u64, LoadError> {
        match self.length()? {
            0 => Err(LoadError::Empty),
            count => Ok(count),
        }
    }

    /// A string.
    pub fn string(&mut self) -> Result<Vec<u8>, LoadError> {
        let integer = match self.length_or_special()? {
            Length::Of(length) => return self.vec(length),
            Length::Special(special::LZF) => return self.compressed(),
            Length::Special(special::INT8) => i8::from_le_bytes(self.array()?).into(),
            Length::Special(special::INT16) => i16::from_le_bytes(self.array()?).into(),
            Length::Special(special::INT32) => i32::from_le_bytes(self.array()?).into(),
            Length::Special(_) => {
                return Err(LoadError::Corrupt("Unknown RDB string encoding type"));
            }
        };
        Ok(IntText::new(integer).as_bytes().to_vec())
    }

    fn compressed(&mut self) -> Result<Vec<u8>, LoadError> {
        let (compressed, bytes) = (self.length()?, self.length()?);
        let compressed = self.vec(compressed)?;
        usize::try_from(bytes)
            .ok()
            .and_then(|bytes| lzf::decompress(&compressed, bytes))
            .ok_or(LoadError::Corrupt("Invalid LZF compressed string"))
    }

    /// A number with a sign.
    pub fn signed(&mut self) -> Result<i64, LoadError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A floating-point number.
    pub fn double(&mut self) -> Result<f64, LoadError> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A floating-point number as older versions wrote it: as text, behind its
    /// length, or a number that stands for one that has no digits.
    pub fn double_as_text(&mut self) -> Result<f64, LoadError> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            length => {
                let text = self.vec(length.into())?;
                num::parse_f64_saturating(&text)
                    .ok_or(LoadError::Corrupt("a score that is no number"))
            }
        }
    }

    /// What is left of a source.
    pub fn into_source(self) -> R {
        self.source
    }
}
