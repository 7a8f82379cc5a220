//! RDB, the format of Redis's snapshots: how one value is written and read.
//!
//! The version written is Valkey 9's; read is whatever Redis up to 7.2 and
//! Valkey up to 9 wrote, back to the ziplists and zipmaps of the first ones.
//!
//! Source: Valkey's `rdb.h` and `rdb.c`, and the formats that their comments
//! describe.

mod envelope;
mod input;
mod legacy;
mod load;
mod output;
mod save;
mod stream;
#[cfg(test)]
mod tests;

use crate::base::hash::crc64;
use crate::config::{Settings, param};
use crate::store::entry::{BLOB_MIN, NewValue, Value};
use crate::types::object::Object;
use crate::types::{hash, list, set, zset};

pub use envelope::{Piece, ReadError, Reader, Usage, Writer};
pub use input::{Input, LoadError};
pub use load::load;
pub use output::Output;
pub use save::{save, save_object};

/// The version that is written.
pub const VERSION: u16 = 80;
/// Versions of Redis that went another way.
const FOREIGN: std::ops::RangeInclusive<u16> = 12..=79;
/// The first type that those may mean otherwise.
const FOREIGN_TYPE_MIN: u8 = 22;

/// What the first byte says that a value is.
mod kind {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET_TEXT: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_ZIPLISTS: u8 = 14;
    /// A stream that does not know how many entries were added.
    pub const STREAM_1: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_LISTPACKS: u8 = 18;
    /// A stream whose consumers do not know when they were active.
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM: u8 = 21;
    /// A hash with a deadline behind every field.
    pub const HASH_WITH_DEADLINES: u8 = 22;
    /// One that is no more, between those of values.
    pub const UNUSED: u8 = 8;
    /// The last one of a value.
    pub const LAST: u8 = 22;
}

/// Behind a field that stays.
const NO_DEADLINE: i64 = -1;

/// What is special about a string.
mod special {
    pub const INT8: u8 = 0;
    pub const INT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const LZF: u8 = 3;
}

/// How a node of a list lies.
mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// Up to where values are packed, and what else of the configuration matters.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Of lists.
    pub list: list::Limits,
    /// Of hashes.
    pub hash: hash::Limits,
    /// Of sets.
    pub set: set::Limits,
    /// Of sorted sets.
    pub zset: zset::Limits,
    /// Whether strings are written compressed where that saves something.
    pub compresses: bool,
    /// Whether versions that nobody knows yet are refused.
    pub is_strict: bool,
    /// Whether a payload's checksum must be right.
    pub checks_sums: bool,
    /// How long to wait for each key, in microseconds; below 0, one for each so many.
    pub key_delay_us: i64,
}

impl Rules {
    /// What the configuration says.
    pub fn of(settings: &Settings) -> Rules {
        let size = |parameter| usize::try_from(settings.int(parameter)).unwrap_or(0);
        Rules {
            list: list::Limits::new(
                settings.int(param::LIST_MAX_LISTPACK_SIZE),
                settings.int(param::LIST_COMPRESS_DEPTH),
            ),
            hash: hash::Limits {
                fields: size(param::HASH_MAX_LISTPACK_ENTRIES),
                bytes: size(param::HASH_MAX_LISTPACK_VALUE),
            },
            set: set::Limits {
                intset_entries: size(param::SET_MAX_INTSET_ENTRIES),
                listpack_entries: size(param::SET_MAX_LISTPACK_ENTRIES),
                listpack_value: size(param::SET_MAX_LISTPACK_VALUE),
            },
            zset: zset::Limits {
                members_max: size(param::ZSET_MAX_LISTPACK_ENTRIES),
                member_bytes_max: size(param::ZSET_MAX_LISTPACK_VALUE),
            },
            compresses: settings.flag(param::RDBCOMPRESSION),
            checks_sums: true,
            key_delay_us: settings.int(param::KEY_LOAD_DELAY),
            is_strict: settings.choice_name(param::RDB_VERSION_CHECK) == "strict",
        }
    }
}

/// A value that was read.
#[derive(Clone)]
pub enum Loaded {
    /// A string.
    Str(Vec<u8>),
    /// Anything else.
    Object(Object),
}

impl Loaded {
    /// Hands it on in the form in which it is stored.
    pub fn with_new_value<R>(self, take: impl FnOnce(NewValue<'_>) -> R) -> R {
        match self {
            Loaded::Str(bytes) if bytes.len() < BLOB_MIN => take(NewValue::encode(&bytes)),
            Loaded::Str(bytes) => take(NewValue::Blob(bytes.into())),
            Loaded::Object(object) => take(NewValue::Object(object)),
        }
    }
}

// ----- payloads -----------------------------------------------------------------

/// Why a payload is refused.
#[derive(Debug)]
pub enum PayloadError {
    /// Its version is not read, or its checksum is wrong.
    Footer,
    /// Its type means something else to the version that wrote it.
    ForeignType(u8),
    /// It is no value.
    Value(LoadError),
}

const FOOTER_BYTES: usize = 10;
/// What stands in front of a library of functions.
const FUNCTION: u8 = 245;

/// A value as DUMP gives it: its type, itself, the version and a checksum.
pub fn payload(value: Value<'_>, rules: &Rules) -> Vec<u8> {
    let mut out = Output::new(rules.compresses);
    save(value, &mut out);
    sealed(out)
}

/// Libraries of functions as FUNCTION DUMP gives them.
pub fn payload_of_libraries<'a>(texts: impl Iterator<Item = &'a [u8]>, rules: &Rules) -> Vec<u8> {
    let mut out = Output::new(rules.compresses);
    for text in texts {
        out.raw(&[FUNCTION]);
        out.string(text);
    }
    sealed(out)
}

/// With the version and a checksum behind it.
fn sealed(out: Output) -> Vec<u8> {
    let mut bytes = out.into_bytes();
    bytes.extend(VERSION.to_le_bytes());
    let sum = crc64(0, &bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// Bytes of a value in a snapshot, without its type.
pub fn saved_bytes(value: Value<'_>, rules: &Rules) -> usize {
    let mut out = Output::new(rules.compresses);
    save(value, &mut out);
    out.into_bytes().len() - 1
}

/// Reads what [`payload`] wrote.
pub fn value_of(payload: &[u8], rules: &Rules) -> Result<Loaded, PayloadError> {
    let (bytes, version) = unsealed(payload, rules)?;
    let mut input = Input::new(bytes);
    let kind = input.kind().map_err(PayloadError::Value)?;
    if FOREIGN.contains(&version) && kind >= FOREIGN_TYPE_MIN {
        return Err(PayloadError::ForeignType(kind));
    }
    load(kind, &mut input, rules).map_err(PayloadError::Value)
}

/// The texts of what [`payload_of_libraries`] wrote.
pub fn libraries_of(payload: &[u8], rules: &Rules) -> Result<Vec<Vec<u8>>, PayloadError> {
    let (mut bytes, _) = unsealed(payload, rules)?;
    let mut texts = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        if kind != FUNCTION {
            return Err(PayloadError::ForeignType(kind));
        }
        let mut input = Input::new(rest);
        texts.push(input.string().map_err(PayloadError::Value)?);
        bytes = input.into_source();
    }
    Ok(texts)
}

/// What stands in front of the version and the checksum, and the version.
fn unsealed<'a>(payload: &'a [u8], rules: &Rules) -> Result<(&'a [u8], u16), PayloadError> {
    let (bytes, footer) = payload
        .split_last_chunk::<FOOTER_BYTES>()
        .ok_or(PayloadError::Footer)?;
    let [low, high, sum @ ..] = *footer;
    let version = u16::from_le_bytes([low, high]);
    let is_known = !rules.is_strict || version <= VERSION && !FOREIGN.contains(&version);
    let summed = &payload[..payload.len() - sum.len()];
    let is_whole = || !rules.checks_sums || crc64(0, summed) == u64::from_le_bytes(sum);
    match version != 0 && is_known && is_whole() {
        true => Ok((bytes, version)),
        false => Err(PayloadError::Footer),
    }
}
