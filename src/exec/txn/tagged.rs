//! Giving a key that is there other explicit tags.

use super::{Found, Txn};
use crate::exec::args::Key;
use crate::store::entry::Note;

impl Txn<'_> {
    /// Gives a key these tags, by their digests, in the place of those that it has. Its
    /// value, lifetime and history stay.
    pub fn retag(&mut self, key: &Key<'_>, found: Found, tags: &[u64]) {
        let db = self.db;
        let slot = found.id.slot();
        let epochs = (self.epoch, self.plain_epoch);
        let entry = self.entry(found);
        let note = (slot > 0 || !tags.is_empty()).then(|| Note {
            // What went before with these tags is none of its business.
            epoch: epochs.0,
            ..entry.note().unwrap_or(Note {
                // When it was written nobody knows: no earlier than this.
                written_ms: self.now_ms,
                ..Note::default()
            })
        });
        let graceful = entry.is_graceful();
        let mut carried = self.take_out(found);
        let mut draft = carried.draft(key.bytes);
        draft.note = note.as_ref();
        draft.tags = tags;
        draft.graceful = graceful;
        draft.epoch = epochs.1;
        let old = self.place(found.shard, db, found.id, key.digest, draft);
        self.garbage.add(old);
        self.shard_of(found.shard).stats.changes += 1;
        self.changes += 1;
    }
}
