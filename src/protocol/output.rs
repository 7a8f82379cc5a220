//! Replies on their way to a client.
//!
//! Small replies are bytes in one buffer; a large string is a reference to the
//! store's own memory, with the place in the buffer where it belongs. What is
//! written to the socket is a list of slices of both.

use std::io::IoSlice;
use std::sync::Arc;

/// Blobs of which so many bytes are written are let go before the rest is.
const RELEASED_MIN: usize = if cfg!(test) { 4 } else { 1 << 20 };

/// See the head of this file.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Where in `bytes` each blob goes, rising.
    blobs: Vec<(usize, Arc<Vec<u8>>)>,
    blob_bytes: usize,
    /// What of all that is written already.
    written: usize,
    /// Shorter blobs are copied.
    copied_below: usize,
}

impl Output {
    /// Bytes that are not written yet.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.blob_bytes - self.written
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that this holds, blobs included.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.blob_bytes
    }

    /// The buffer to append to.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes that the buffer has room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// From now on, blobs of fewer bytes are copied.
    #[inline]
    pub fn copy_below(&mut self, bytes: usize) {
        self.copied_below = bytes;
    }

    /// Appends a blob by reference, unless it is a short one.
    pub fn push_blob(&mut self, blob: Arc<Vec<u8>>) {
        if blob.len() < self.copied_below {
            self.bytes.extend_from_slice(&blob);
            return;
        }
        self.blob_bytes += blob.len();
        self.blobs.push((self.bytes.len(), blob));
    }

    /// Puts bytes in the place of others that are not written yet.
    pub fn splice(&mut self, at: std::ops::Range<usize>, bytes: &[u8]) {
        let later = self.blobs.iter_mut().filter(|(place, _)| *place >= at.end);
        later.for_each(|(place, _)| *place = *place - at.len() + bytes.len());
        self.bytes.splice(at, bytes.iter().copied());
    }

    /// Where the output stands now, for [`Output::rewind`].
    #[inline]
    pub fn mark(&self) -> (usize, usize) {
        (self.bytes.len(), self.blobs.len())
    }

    /// Takes back what was appended since `mark`.
    pub fn rewind(&mut self, mark: (usize, usize)) {
        self.bytes.truncate(mark.0);
        for (_, blob) in self.blobs.drain(mark.1..) {
            self.blob_bytes -= blob.len();
        }
    }

    /// Appends all that `other` has not written yet, and empties it.
    pub fn append(&mut self, other: &mut Output) {
        if other.blobs.is_empty() {
            self.bytes.extend_from_slice(&other.bytes[other.written..]);
        } else {
            let mut skip = other.written;
            let mut from = 0;
            let ends = other.blobs.iter().map(|(at, b)| (*at, Some(b.clone())));
            for (at, blob) in ends.chain([(other.bytes.len(), None)]) {
                let piece = &other.bytes[from..at];
                let skipped = skip.min(piece.len());
                self.bytes.extend_from_slice(&piece[skipped..]);
                skip -= skipped;
                from = at;
                match blob {
                    // A blob half written is copied for its other half.
                    Some(b) if skip > 0 => {
                        let skipped = skip.min(b.len());
                        self.bytes.extend_from_slice(&b[skipped..]);
                        skip -= skipped;
                    }
                    Some(b) => self.push_blob(b),
                    None => {}
                }
            }
        }
        other.clear();
    }

    /// Appends all of `other`, of which nothing was written; blobs by reference.
    pub fn append_shared(&mut self, other: &Output) {
        debug_assert_eq!(other.written, 0);
        let first = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        for (at, blob) in &other.blobs {
            self.blobs.push((first + at, blob.clone()));
        }
        self.blob_bytes += other.blob_bytes;
    }

    /// The slices that are to be written next, as many as fit in `slices`.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut from = 0;
        let mut n = 0;
        let mut add = |piece: &'a [u8]| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            if skipped < piece.len() && n < slices.len() {
                slices[n] = IoSlice::new(&piece[skipped..]);
                n += 1;
            }
            n < slices.len()
        };
        for (at, blob) in &self.blobs {
            if !add(&self.bytes[from..*at]) || !add(blob) {
                return n;
            }
            from = *at;
        }
        add(&self.bytes[from..]);
        n
    }

    /// Whether all that is left is one slice.
    #[inline]
    pub fn single(&self) -> Option<&[u8]> {
        self.blobs.is_empty().then(|| &self.bytes[self.written..])
    }

    /// Notes that `n` more bytes were written.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.written += n;
        if self.is_empty() {
            self.clear();
        } else if self.blob_bytes >= RELEASED_MIN {
            self.release();
        }
    }

    /// Lets blobs go that are written, though others are not.
    fn release(&mut self) {
        let (mut count, mut bytes, mut at) = (0, 0, 0);
        for (place, blob) in &self.blobs {
            if self.written < place + bytes + blob.len() {
                break;
            }
            (count, bytes, at) = (count + 1, bytes + blob.len(), *place);
        }
        if bytes >= RELEASED_MIN {
            self.blobs.drain(..count);
            self.bytes.drain(..at);
            self.blobs.iter_mut().for_each(|(place, _)| *place -= at);
            self.blob_bytes -= bytes;
            self.written -= bytes + at;
        }
    }

    /// Forgets everything, keeping the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.blobs.clear();
        self.blob_bytes = 0;
        self.written = 0;
    }

    /// Gives memory back beyond `most` bytes of buffer.
    pub fn shrink(&mut self, most: usize) {
        self.bytes.shrink_to(most.max(self.bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(output: &Output) -> Vec<u8> {
        let mut slices = vec![IoSlice::new(&[]); 64];
        let n = output.slices(&mut slices);
        slices[..n].iter().flat_map(|s| s.to_vec()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_in_parts_and_moved_over_is_what_was_appended(
            parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..9)), 0..12),
            steps in prop::collection::vec((0usize..12, any::<bool>()), 0..12),
        ) {
            let mut output = Output::default();
            let mut model = Vec::new();
            for (blob, bytes) in parts {
                model.extend_from_slice(&bytes);
                if blob {
                    output.push_blob(Arc::new(bytes));
                } else {
                    output.bytes_mut().extend_from_slice(&bytes);
                }
            }
            let mut copy = Output::default();
            copy.bytes_mut().extend_from_slice(b"first");
            copy.append_shared(&output);
            prop_assert_eq!(all(&copy), [b"first", &model[..]].concat());
            prop_assert_eq!(copy.len(), 5 + model.len());
            for (n, moved) in steps {
                let n = n.min(model.len());
                model.drain(..n);
                output.advance(n);
                if moved {
                    let mut other = Output::default();
                    other.append(&mut output);
                    output = other;
                }
                prop_assert_eq!(all(&output), model.clone());
                prop_assert_eq!(output.len(), model.len());
            }
        }
    }
}
