//! What only Larder knows of its data, in auxiliary fields of an RDB, which others skip.
//!
//! ```text
//!  larder-policy   1 · number · flags · a `policy` line      before the first entry
//!  larder-note     1 · number · flags · written 6 · reads 2 · grace 4 · history 8
//!                  · marks · cost · tags, 8 each             before the entry it is about
//!  larder-null     1 · database 4 · markers:                 behind all entries
//!                    until 6 · length 4 · key
//! ```
//!
//! The first byte is the field's version; numbers are little endian. A policy's number
//! is what notes call it by, in this RDB alone; 0 is none. Times are in milliseconds.
//!
//! **Invariant:** nothing that is read is believed: see [`super::rdb`].

use smallvec::SmallVec;

use crate::store::entry::{Note, TAGS_MAX};

/// The names of the fields.
pub mod name {
    /// A policy.
    pub const POLICY: &str = "larder-policy";
    /// What a policy keeps of the entry that follows.
    pub const NOTE: &str = "larder-note";
    /// Remembered absences.
    pub const NULL: &str = "larder-null";
}

const VERSION: u8 = 1;
/// A policy that no configuration defines.
const AT_RUN_TIME: u8 = 1;
/// Flags of a note.
const GRACEFUL: u8 = 1;
const UNSETTLED: u8 = 2;
/// Bytes of a note without tags.
const NOTE_BYTES: usize = 25;
/// Bytes of a marker above its key.
const MARKER_BYTES: usize = 10;
/// A field of markers ends with the one that exceeds so many bytes.
pub const NULL_FIELD_BYTES: usize = 8 * 1024;

/// Why a field is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is of a version that nobody knows yet.
    Version(u8),
    /// It is damaged: what is wrong with it.
    Damaged(String),
}

fn damaged<T>(what: &str) -> Result<T, Wrong> {
    Err(Wrong::Damaged(what.into()))
}

/// What stands behind a field's version.
fn body(field: &[u8]) -> Result<&[u8], Wrong> {
    match field {
        [VERSION, body @ ..] => Ok(body),
        [other, ..] => Err(Wrong::Version(*other)),
        [] => damaged("it is empty"),
    }
}

/// An unsigned number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

// ----- policies -------------------------------------------------------------------

/// A policy of a snapshot.
pub struct PolicyField<'a> {
    /// What notes call it by.
    pub number: u8,
    /// It was defined at run time: no configuration has it.
    pub is_of_run_time: bool,
    /// The line that defines it.
    pub line: &'a [u8],
}

impl<'a> PolicyField<'a> {
    /// As a field.
    pub fn to_bytes(&self) -> Vec<u8> {
        let flags = if self.is_of_run_time { AT_RUN_TIME } else { 0 };
        [&[VERSION, self.number, flags], self.line].concat()
    }

    /// From a field.
    pub fn from_bytes(field: &'a [u8]) -> Result<PolicyField<'a>, Wrong> {
        match body(field)? {
            [0, ..] => damaged("a policy has a number from 1"),
            [number, flags, line @ ..] => Ok(PolicyField {
                number: *number,
                is_of_run_time: flags & AT_RUN_TIME != 0,
                line,
            }),
            _ => damaged("it is cut short"),
        }
    }
}

// ----- notes ----------------------------------------------------------------------

/// What is known of an entry beside its value and deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteField {
    /// The number of its policy.
    pub policy: u8,
    /// A plain write with a lifetime, which a policy may prolong.
    pub is_graceful: bool,
    /// The policy has not been asked yet how it is to live.
    pub is_unsettled: bool,
    /// The note; its epoch is none of the snapshot's.
    pub note: Note,
    /// The digests of its explicit tags.
    pub tags: SmallVec<[u64; 4]>,
}

impl NoteField {
    /// As a field.
    pub fn to_bytes(&self) -> Vec<u8> {
        let note = &self.note;
        let graceful = if self.is_graceful { GRACEFUL } else { 0 };
        let unsettled = if self.is_unsettled { UNSETTLED } else { 0 };
        let mut out = Vec::with_capacity(NOTE_BYTES + 8 * self.tags.len());
        out.extend([VERSION, self.policy, graceful | unsettled]);
        out.extend(&note.written_ms.to_le_bytes()[..6]);
        out.extend(note.reads.to_le_bytes());
        out.extend(note.grace_ms.to_le_bytes());
        out.extend(note.history.to_le_bytes());
        out.extend([note.marks, note.cost]);
        out.extend(self.tags.iter().flat_map(|tag| tag.to_le_bytes()));
        out
    }

    /// From a field.
    pub fn from_bytes(field: &[u8]) -> Result<NoteField, Wrong> {
        body(field)?;
        let Some((head, tags)) = field.split_first_chunk::<NOTE_BYTES>() else {
            return damaged("it is cut short");
        };
        let (tags, []) = tags.as_chunks::<8>() else {
            return damaged("it is cut short");
        };
        if tags.len() > TAGS_MAX {
            return damaged("it has more tags than an entry may have");
        }
        let [_, policy, flags, ..] = *head;
        Ok(NoteField {
            policy,
            is_graceful: flags & GRACEFUL != 0,
            is_unsettled: flags & UNSETTLED != 0,
            note: Note {
                written_ms: number(&head[3..9]),
                epoch: 0,
                reads: number(&head[9..11]) as u16,
                grace_ms: number(&head[11..15]) as u32,
                history: number(&head[15..23]),
                marks: head[23],
                cost: head[24],
            },
            tags: tags.iter().map(|tag| u64::from_le_bytes(*tag)).collect(),
        })
    }
}

// ----- markers --------------------------------------------------------------------

/// Gathers markers for a field.
pub struct NullField {
    bytes: Vec<u8>,
    empty: usize,
}

impl NullField {
    /// Of a database.
    pub fn new(db: u32) -> NullField {
        let mut bytes = vec![VERSION];
        bytes.extend(db.to_le_bytes());
        NullField {
            empty: bytes.len(),
            bytes,
        }
    }

    /// Adds a marker.
    pub fn add(&mut self, key: &[u8], until_ms: u64) {
        self.bytes.extend(&until_ms.to_le_bytes()[..6]);
        self.bytes.extend((key.len() as u32).to_le_bytes());
        self.bytes.extend(key);
    }

    /// The field, where there is something in it and no more should come to it, or none
    /// will; it is empty then.
    pub fn take(&mut self, is_last: bool) -> Option<Vec<u8>> {
        let least = if is_last {
            self.empty
        } else {
            NULL_FIELD_BYTES
        };
        if self.bytes.len() <= least {
            return None;
        }
        let empty = self.bytes[..self.empty].to_vec();
        Some(std::mem::replace(&mut self.bytes, empty))
    }
}

/// The markers of a field.
pub struct Nulls<'a> {
    /// Their database.
    pub db: u32,
    rest: &'a [u8],
}

impl<'a> Nulls<'a> {
    /// From a field.
    pub fn from_bytes(field: &'a [u8]) -> Result<Nulls<'a>, Wrong> {
        match body(field)?.split_first_chunk() {
            Some((db, rest)) => Ok(Nulls {
                db: u32::from_le_bytes(*db),
                rest,
            }),
            None => damaged("it is cut short"),
        }
    }

    /// The next marker: its key, and until when it holds.
    pub fn next_marker(&mut self) -> Result<Option<(&'a [u8], u64)>, Wrong> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some((head, rest)) = self.rest.split_first_chunk::<MARKER_BYTES>() else {
            return damaged("a marker is cut short");
        };
        let until_ms = number(&head[..6]);
        match rest.split_at_checked(number(&head[6..]) as usize) {
            Some((key, rest)) => {
                self.rest = rest;
                Ok(Some((key, until_ms)))
            }
            None => damaged("a marker's key is cut short"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note() -> impl Strategy<Value = NoteField> {
        let note = (
            0..1u64 << 48,
            any::<u16>(),
            any::<u32>(),
            any::<u64>(),
            any::<(u8, u8)>(),
        );
        let note = note.prop_map(
            |(written_ms, reads, grace_ms, history, (marks, cost))| Note {
                written_ms,
                epoch: 0,
                reads,
                grace_ms,
                history,
                marks,
                cost,
            },
        );
        let tags = prop::collection::vec(any::<u64>(), 0..=TAGS_MAX);
        (any::<(u8, bool, bool)>(), note, tags).prop_map(|(head, note, tags)| NoteField {
            policy: head.0,
            is_graceful: head.1,
            is_unsettled: head.2,
            note,
            tags: tags.into(),
        })
    }

    proptest! {
        #[test]
        fn a_note_is_what_it_was(field in note(), cut in 1usize..8) {
            let bytes = field.to_bytes();
            prop_assert_eq!(NoteField::from_bytes(&bytes), Ok(field));
            let cut = NoteField::from_bytes(&bytes[..bytes.len() - cut]);
            prop_assert!(matches!(cut, Err(Wrong::Damaged(_))));
        }

        #[test]
        fn markers_are_what_they_were(
            markers in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..300), 0..1u64 << 48),
                0..100,
            ),
        ) {
            let mut gathered = NullField::new(3);
            let mut fields = Vec::new();
            for (key, until_ms) in &markers {
                gathered.add(key, *until_ms);
                fields.extend(gathered.take(false));
            }
            fields.extend(gathered.take(true));
            let mut found = Vec::new();
            for field in &fields {
                prop_assert!(field.len() < NULL_FIELD_BYTES + 400);
                let mut nulls = Nulls::from_bytes(field).expect("a field");
                prop_assert_eq!(nulls.db, 3);
                while let Some((key, until_ms)) = nulls.next_marker().expect("a marker") {
                    found.push((key.to_vec(), until_ms));
                }
            }
            prop_assert_eq!(found, markers);
        }

        #[test]
        fn bytes_of_any_kind_are_taken_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            for version in [false, true] {
                if let (true, Some(first)) = (version, bytes.first_mut()) {
                    *first = VERSION;
                }
                let _ = PolicyField::from_bytes(&bytes);
                let _ = NoteField::from_bytes(&bytes);
                if let Ok(mut nulls) = Nulls::from_bytes(&bytes) {
                    while let Ok(Some(_)) = nulls.next_marker() {}
                }
            }
        }
    }
}
