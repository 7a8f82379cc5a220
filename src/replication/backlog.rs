//! The end of the log, for followers that were away for a moment.

use std::collections::VecDeque;

/// See the head of this file.
#[derive(Default)]
pub struct Backlog {
    bytes: VecDeque<u8>,
}

impl Backlog {
    /// Bytes that are kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds to its end, and keeps no more than `most` bytes.
    pub fn push(&mut self, bytes: &[u8], most: usize) {
        let bytes = &bytes[bytes.len().saturating_sub(most)..];
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(most);
        self.bytes.drain(..excess);
        if self.bytes.capacity() < most && self.bytes.capacity() >= most / 2 {
            // Doubled once more it would be larger than it may get.
            self.bytes.reserve_exact(most - self.bytes.len());
        }
        self.bytes.extend(bytes);
        if self.bytes.capacity() / 2 > most {
            self.bytes.shrink_to(most);
        }
    }

    /// What is behind the byte before `from`, where all of that is kept. The bytes of
    /// the log are counted from 1; its last one is `end`.
    pub fn since(&self, end: u64, from: u64) -> Option<Vec<u8>> {
        let missed = usize::try_from((end + 1).checked_sub(from)?).ok()?;
        let first = self.bytes.len().checked_sub(missed)?;
        Some(self.bytes.range(first..).copied().collect())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_end_of_what_came() {
        let mut backlog = Backlog::default();
        let mut all = Vec::new();
        for n in 0..200u8 {
            let piece = vec![n; usize::from(n % 7)];
            all.extend(&piece);
            backlog.push(&piece, 16);
            let end = all.len() as u64;
            assert_eq!(backlog.len(), all.len().min(16));
            for back in 0..20 {
                let from = (end + 1).saturating_sub(back);
                let expected = all.len().checked_sub(back as usize);
                let expected = expected.filter(|_| back as usize <= backlog.len());
                let expected = expected.map(|first| all[first..].to_vec());
                assert_eq!(backlog.since(end, from), expected);
            }
            assert_eq!(backlog.since(end, end + 2), None, "it has not happened yet");
        }
        backlog.push(&[1; 100], 16);
        assert_eq!(backlog.len(), 16);
        assert!(backlog.bytes.capacity() <= 32);
    }
}
