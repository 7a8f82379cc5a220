//! A whole RDB: keys of all databases, between a signature and a checksum.
//!
//! ```text
//!   "VALKEY080"                        signature and version; "REDIS0010" before 80
//!   FA name value                      about the whole, or what follows: any number,
//!                                      anywhere, skipped where unknown
//!   FE number  FB keys volatile        a database, and how large it is
//!     [FC ms] [F8 idle | F9 uses]      what is known of the next key
//!     type key value
//!   FF crc64                           the end; 0 stands for no checksum
//! ```
//!
//! **Invariant:** nothing that is read is believed. Every length is a promise that
//! memory is taken for only as bytes come; every error says where it is.

use std::fmt;
use std::io::{self, Read, Write};

use super::{FOREIGN, FOREIGN_TYPE_MIN, Input, LoadError, Loaded, Output, Rules, VERSION, kind};
use crate::base::hash::crc64;
use crate::store::entry::Value;

/// What stands in the place of a value's type.
mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = super::super::FUNCTION;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE: u8 = 251;
    pub const DEADLINE_MS: u8 = 252;
    pub const DEADLINE_S: u8 = 253;
    pub const DATABASE: u8 = 254;
    pub const END: u8 = 255;
}

/// The first version whose end is a checksum.
const WITH_SUM: u16 = 5;
/// The first version with libraries of functions.
const WITH_FUNCTIONS: u16 = 10;
/// The first version that is Valkey's own.
const VALKEYS: u16 = 80;
/// What is gathered before it is written, in bytes.
const GATHERED: usize = 64 * 1024;

/// How much an entry was used, as far as the eviction policy knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// Seconds since the last use.
    Idle(u64),
    /// The logarithmic count of uses.
    Frequency(u8),
}

// ----- writing --------------------------------------------------------------------

/// Writes an RDB.
pub struct Writer<W> {
    out: Output,
    sink: W,
    sum: u64,
    has_sum: bool,
}

impl<W: Write> Writer<W> {
    /// Begins one of a version: 80, or one up to 11 for older readers.
    pub fn begin(sink: W, version: u16, compresses: bool, has_sum: bool) -> io::Result<Self> {
        let mut out = Output::of_version(version, compresses);
        out.raw(match version >= VALKEYS {
            true => b"VALKEY",
            false => b"REDIS0",
        });
        out.raw(format!("{version:03}").as_bytes());
        Ok(Writer {
            out,
            sink,
            sum: 0,
            has_sum,
        })
    }

    /// Says something about the whole.
    pub fn aux(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        self.out.raw(&[opcode::AUX]);
        self.out.string(name.as_bytes());
        self.out.string(value);
        self.flow()
    }

    /// Says something about what follows that is not worth compressing.
    pub fn brief_aux(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        self.out.raw(&[opcode::AUX]);
        self.out.length(name.len() as u64);
        self.out.raw(name.as_bytes());
        self.out.length(value.len() as u64);
        self.out.raw(value);
        self.flow()
    }

    /// Writes a library of functions, where readers of the version know of them.
    pub fn function(&mut self, text: &[u8]) -> io::Result<()> {
        if self.out.version() >= WITH_FUNCTIONS {
            self.out.raw(&[opcode::FUNCTION]);
            self.out.string(text);
        }
        self.flow()
    }

    /// Goes on to another database, of so many keys.
    pub fn database(&mut self, db: u32, keys: usize, volatile: usize) -> io::Result<()> {
        self.out.raw(&[opcode::DATABASE]);
        self.out.length(db.into());
        self.out.raw(&[opcode::RESIZE]);
        self.out.length(keys as u64);
        self.out.length(volatile as u64);
        self.flow()
    }

    /// Writes an entry of the current database.
    pub fn entry(
        &mut self,
        key: &[u8],
        value: Value<'_>,
        deadline: Option<u64>,
        usage: Option<Usage>,
    ) -> io::Result<()> {
        if let Some(ms) = deadline {
            self.out.raw(&[opcode::DEADLINE_MS]);
            self.out.raw(&ms.to_le_bytes());
        }
        match usage {
            Some(Usage::Idle(seconds)) => {
                self.out.raw(&[opcode::IDLE]);
                self.out.length(seconds);
            }
            Some(Usage::Frequency(uses)) => self.out.raw(&[opcode::FREQUENCY, uses]),
            None => {}
        }
        self.out.name(key);
        super::save(value, &mut self.out);
        if self.out.is_beyond() {
            let why = format!(
                "Can't store key '{}' in RDB version {}",
                key.escape_ascii(),
                self.out.version()
            );
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        self.flow()
    }

    /// Writes the end, and gives back what was written to.
    pub fn end(mut self) -> io::Result<W> {
        self.out.raw(&[opcode::END]);
        self.flush()?;
        let sum = if self.has_sum { self.sum } else { 0 };
        self.sink.write_all(&sum.to_le_bytes())?;
        Ok(self.sink)
    }

    fn flow(&mut self) -> io::Result<()> {
        match self.out.bytes().len() < GATHERED {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.has_sum {
            self.sum = crc64(self.sum, self.out.bytes());
        }
        self.sink.write_all(self.out.bytes())?;
        self.out.clear();
        Ok(())
    }
}

// ----- reading --------------------------------------------------------------------

/// Why an RDB cannot be read, in the words that operators know.
#[derive(Debug)]
pub enum ReadError {
    /// It does not begin like one.
    Signature,
    /// Of this version none is read.
    Version(u32),
    /// Of this type there is nothing, as far as is known of the RDB's version.
    Type(u8, u16),
    /// A value is none; where it ends, in bytes from the start, and its type.
    Value(u64, u8, LoadError),
    /// Something between the values is wrong.
    Frame(u64, LoadError),
    /// The checksum is another one: expected, and found.
    Sum(u64, u64),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Signature => f.write_str("Wrong signature trying to load DB from file"),
            ReadError::Version(version) => {
                write!(f, "Can't handle RDB format version {version}")
            }
            ReadError::Type(kind, version) if FOREIGN.contains(version) => write!(
                f,
                "Can't handle foreign type or opcode {kind} in RDB with version {version}"
            ),
            ReadError::Type(kind, _) => write!(
                f,
                "Unknown type or opcode when loading DB. Unrecoverable error, aborting now. It is {kind}"
            ),
            ReadError::Value(at, kind, error) => {
                write!(f, "{error}: a value of type {kind} before offset {at}")
            }
            ReadError::Frame(at, error) => write!(f, "{error}: before offset {at}"),
            ReadError::Sum(expected, found) => write!(
                f,
                "Wrong RDB checksum expected: ({expected:x}) but got ({found:x}). Aborting now. RDB CRC error"
            ),
        }
    }
}

/// What an RDB holds, piece by piece.
pub enum Piece {
    /// Something about the whole, or what follows: its name, and what it says.
    Aux(Vec<u8>, Vec<u8>),
    /// What follows is in this database.
    Database(u64),
    /// The source of functions, which scripts call.
    Function(Vec<u8>),
    /// A key that holds nothing, as no key can.
    EmptyKey(Vec<u8>),
    /// An entry of the current database.
    Entry {
        /// Its key.
        key: Vec<u8>,
        /// Its value.
        value: Loaded,
        /// When it ends, in Unix milliseconds.
        deadline: Option<u64>,
        /// How it was used.
        usage: Option<Usage>,
    },
}

/// Counts and sums up what is read.
struct Summed<R> {
    source: R,
    sum: u64,
    has_sum: bool,
    bytes: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        if self.has_sum {
            self.sum = crc64(self.sum, &buffer[..n]);
        }
        self.bytes += n as u64;
        Ok(n)
    }
}

/// Reads an RDB. What it reads from should have a buffer.
pub struct Reader<R> {
    input: Input<Summed<R>>,
    version: u16,
    rules: Rules,
    /// What is known of the next key.
    deadline: Option<u64>,
    usage: Option<Usage>,
}

impl<R: Read> Reader<R> {
    /// Begins, if it is one that can be read.
    pub fn begin(source: R, rules: &Rules) -> Result<Reader<R>, ReadError> {
        let mut input = Input::new(Summed {
            source,
            sum: 0,
            has_sum: rules.checks_sums,
            bytes: 0,
        });
        let head: [u8; 9] = input.array().map_err(|_| ReadError::Signature)?;
        let (is_valkeys, digits) = match (&head[..5], &head[..6]) {
            (b"REDIS", _) => (false, &head[5..]),
            (_, b"VALKEY") => (true, &head[6..]),
            _ => return Err(ReadError::Signature),
        };
        let digit = |n: u32, d: &u8| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0'));
        let version = digits.iter().try_fold(0, digit);
        let version = version.ok_or(ReadError::Signature)?;
        let known = u16::try_from(version).map_err(|_| ReadError::Version(version))?;
        let is_read = !rules.is_strict || known <= VERSION && !FOREIGN.contains(&known);
        if known == 0 || !is_read || is_valkeys != (known >= VALKEYS) {
            return Err(ReadError::Version(version));
        }
        Ok(Reader {
            input,
            version: known,
            rules: *rules,
            deadline: None,
            usage: None,
        })
    }

    /// The version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Bytes that were read.
    pub fn bytes(&self) -> u64 {
        self.input.source().bytes
    }

    /// The next piece; `None` at the end, which was right.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, ReadError> {
        loop {
            let kind = self.framed(Input::byte)?;
            match kind {
                opcode::DEADLINE_MS => {
                    let ms = self.framed(Input::signed)?;
                    self.deadline = Some(u64::try_from(ms).unwrap_or(0));
                }
                opcode::DEADLINE_S => {
                    let seconds = i32::from_le_bytes(self.framed(Input::array)?);
                    self.deadline = Some(u64::try_from(seconds).unwrap_or(0) * 1000);
                }
                opcode::IDLE => self.usage = Some(Usage::Idle(self.framed(Input::length)?)),
                opcode::FREQUENCY => {
                    self.usage = Some(Usage::Frequency(self.framed(Input::byte)?));
                }
                opcode::RESIZE => {
                    self.framed(Input::length)?;
                    self.framed(Input::length)?;
                }
                opcode::SLOT_INFO => {
                    for _ in 0..3 {
                        self.framed(Input::length)?;
                    }
                }
                opcode::AUX => {
                    let name = self.framed(Input::string)?;
                    return Ok(Some(Piece::Aux(name, self.framed(Input::string)?)));
                }
                opcode::FUNCTION => {
                    return Ok(Some(Piece::Function(self.framed(Input::string)?)));
                }
                opcode::DATABASE => {
                    return Ok(Some(Piece::Database(self.framed(Input::length)?)));
                }
                opcode::END => return self.end(),
                kind => return self.entry(kind).map(Some),
            }
        }
    }

    fn entry(&mut self, kind: u8) -> Result<Piece, ReadError> {
        let (deadline, usage) = (self.deadline.take(), self.usage.take());
        let is_foreign = FOREIGN.contains(&self.version) && kind >= FOREIGN_TYPE_MIN;
        if is_foreign || kind > kind::LAST {
            return Err(ReadError::Type(kind, self.version));
        }
        let key = self.framed(Input::string)?;
        match super::load(kind, &mut self.input, &self.rules) {
            Ok(value) => Ok(Piece::Entry {
                key,
                value,
                deadline,
                usage,
            }),
            Err(LoadError::Empty) => Ok(Piece::EmptyKey(key)),
            Err(error) => Err(ReadError::Value(self.bytes(), kind, error)),
        }
    }

    fn end(&mut self) -> Result<Option<Piece>, ReadError> {
        if self.version < WITH_SUM {
            return Ok(None);
        }
        let found = self.input.source().sum;
        let expected = u64::from_le_bytes(self.framed(Input::array)?);
        match self.rules.checks_sums && expected != 0 && expected != found {
            true => Err(ReadError::Sum(expected, found)),
            false => Ok(None),
        }
    }

    fn framed<T>(
        &mut self,
        read: impl FnOnce(&mut Input<Summed<R>>) -> Result<T, LoadError>,
    ) -> Result<T, ReadError> {
        read(&mut self.input).map_err(|error| ReadError::Frame(self.input.source().bytes, error))
    }
}
