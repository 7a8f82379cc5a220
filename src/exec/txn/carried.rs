//! Entries on their way to another key or database.

use crate::store::entry::{Draft, Entry, NewValue, Value};
use smallvec::SmallVec;

/// An entry on its way to another key or database.
pub(super) struct Carried {
    /// `None` for the short string in `text`.
    pub value: Option<NewValue<'static>>,
    pub text: Vec<u8>,
    pub deadline: Option<u64>,
    raw: bool,
    access: u32,
    /// Digests of explicit tags.
    tags: SmallVec<[u64; 4]>,
}

impl Carried {
    /// All but an object, which the caller carries or clones.
    pub fn from(entry: Entry<'_>) -> Carried {
        let mut text = Vec::new();
        Carried {
            value: match entry.value() {
                Value::Int(n) => Some(NewValue::Int(n)),
                Value::Blob(b) => Some(NewValue::Blob(b.clone())),
                Value::Str(s) => {
                    text.extend_from_slice(s);
                    None
                }
                Value::Object(_) => None,
            },
            text,
            deadline: entry.deadline(),
            raw: entry.is_raw(),
            access: entry.access(),
            tags: entry.tags(),
        }
    }

    /// Whether it has explicit tags.
    pub fn is_tagged(&self) -> bool {
        !self.tags.is_empty()
    }

    /// What is to be placed under a key.
    pub fn draft<'a>(&'a mut self, key: &'a [u8]) -> Draft<'a> {
        Draft {
            deadline: self.deadline,
            raw: self.raw,
            access: self.access,
            tags: &self.tags,
            ..Draft::new(key, self.value.take().unwrap_or(NewValue::Str(&self.text)))
        }
    }
}
