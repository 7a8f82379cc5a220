//! Walks over one table, and over several side by side.

use super::{Cursor, Table};
use crate::base::hash;
use crate::base::tags::{first_frag, frag, home};
use crate::store::entry::Entry;

impl Table {
    /// Walks one line from `cursor` on, and returns where to go on; `None` at
    /// the end. A walk begins at 0.
    pub fn scan<'a>(&'a self, cursor: u64, mut visit: impl FnMut(Entry<'a>)) -> Option<u64> {
        let mut cursor = Cursor::from_bits(cursor);
        let segment = &self.directory[self.index_of_prefix(cursor.prefix)];
        let is_merged = u32::from(segment.depth) < cursor.depth;
        cursor.depth = cursor.depth.max(segment.depth.into());
        let lines = segment.lines();
        let wanted = home(cursor.frag, lines.len());
        let mut at = wanted;
        loop {
            let line = &lines[at];
            for slot in line.tags.taken() {
                let frag = line.frag(slot);
                if frag >= cursor.frag && home(frag, lines.len()) == wanted {
                    let entry = self.read(line.slots[slot]);
                    if !is_merged || cursor.holds(self.prefix(hash::digest(entry.key()))) {
                        visit(entry);
                    }
                }
            }
            at = if at + 1 == lines.len() { 0 } else { at + 1 };
            if !line.tags.is_passed() || at == wanted {
                break;
            }
        }
        if wanted + 1 < lines.len() {
            cursor.frag = first_frag(wanted + 1, lines.len());
            return Some(cursor.bits());
        }
        cursor.next_part().map(Cursor::bits)
    }

    /// As [`Table::scan`], over several tables side by side, each named by an `I`: an
    /// entry that goes from one of them to another between two calls is met all the same.
    pub fn scan_together<'a, I: Copy>(
        tables: &[(I, &'a Table)],
        cursor: u64,
        mut visit: impl FnMut(I, Entry<'a>),
    ) -> Option<u64> {
        let (&(name, first), others) = tables.split_first()?;
        if others.is_empty() {
            return first.scan(cursor, |entry| visit(name, entry));
        }
        // All of them walk the smallest part that any has there, to the same frag.
        let mut from = Cursor::from_bits(cursor);
        for (_, table) in tables {
            let segment = &table.directory[table.index_of_prefix(from.prefix)];
            from.depth = from.depth.max(segment.depth.into());
        }
        let frag_in_part = |bits: Option<u64>| {
            let at = Cursor::from_bits(bits?);
            ((at.prefix, at.depth) == (from.prefix, from.depth)).then_some(at.frag)
        };
        let next = first.scan(from.bits(), |entry| visit(name, entry));
        let end = frag_in_part(next);
        for &(name, table) in others {
            let mut at = Some(from.bits());
            while let Some(at_frag) = frag_in_part(at)
                && end.is_none_or(|end| at_frag < end)
            {
                // Its lines are cut otherwise: what is beyond comes with the next call.
                at = table.scan(at?, |entry| {
                    if end.is_none_or(|end| frag(hash::digest(entry.key())) < end) {
                        visit(name, entry);
                    }
                });
            }
        }
        next
    }
}
