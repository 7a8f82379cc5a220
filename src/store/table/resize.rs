//! Whether a table gives back what removals leave empty, which tests may put off.

use super::{PREFIX_BITS, Table};

impl Table {
    /// From now on it keeps the lines that it has; or gives back what is mostly empty,
    /// at once and whenever something is removed.
    pub fn hold_lines(&mut self, holds: bool) {
        self.holds_lines = holds;
        let mut prefix = 0;
        while !holds && prefix < 1 << PREFIX_BITS {
            let (first, _) = self.group(self.index_of_prefix(prefix));
            let segment = self.directory[first];
            if segment.is_mostly_empty() {
                self.shrink(first);
            }
            let (first, width) = self.group(self.index_of_prefix(prefix));
            if self.directory[first].depth < segment.depth {
                // Merged with its sister, and perhaps still mostly empty.
                continue;
            }
            prefix = ((first + width) as u32) << (PREFIX_BITS - u32::from(self.depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash;
    use crate::store::entry::{Draft, NewValue};

    #[test]
    fn what_is_held_back_is_given_back_later() {
        let mut table = Table::new(0);
        let keys: Vec<Vec<u8>> = (0..500).map(|n| format!("key:{n}").into_bytes()).collect();
        for key in &keys {
            let draft = Draft::new(key, NewValue::Int(1));
            table.insert(hash::digest(key), draft, 1_800_000_000_000);
        }
        let before = table.slots();
        table.hold_lines(true);
        for key in &keys[..490] {
            let place = table.find(hash::digest(key), key).expect("it is there");
            table.remove(place);
        }
        assert_eq!(table.slots(), before);
        table.hold_lines(false);
        assert!(table.slots() * 10 < before, "{} of {before}", table.slots());
        assert!(
            keys[490..]
                .iter()
                .all(|k| table.find(hash::digest(k), k).is_some())
        );
    }
}
