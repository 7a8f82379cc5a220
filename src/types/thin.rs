//! Bytes in one allocation, owned by one pointer that says nothing of their
//! number: that stands in their own first four bytes, as it does in a listpack.
//!
//! ```text
//! pointer ──▶ ┌──────────────┬──────────────┬───────────┐
//!             │ length (u32) │ body         │ spare     │
//!             └──────────────┴──────────────┴───────────┘
//!             └──────── length ────────────┘
//!             └──────── usable_bytes(length) ───────────┘
//! ```
//!
//! How much is allocated follows from the length alone: the allocator's size
//! class, which it would have handed out anyway. So growing byte by byte moves
//! nothing until a class is full, and nothing has to be remembered.
//!
//! **Rule that makes this sound:** `start` owns an allocation made with
//! [`layout`] of the length that its first four bytes hold, little-endian, and
//! as many bytes as that length are initialised. Only this file writes those
//! four: nothing gives them out to be changed.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::slice;

use super::object::Pointer;
use crate::base::heap::usable_bytes;

/// Bytes that the length takes.
pub const LENGTH_BYTES: usize = size_of::<u32>();

/// See the head of this file.
pub struct Thin {
    start: NonNull<u8>,
}

const _: () = assert!(size_of::<Option<Thin>>() == 8);

// SAFETY: it owns its bytes alone; nothing in it is tied to a thread.
unsafe impl Send for Thin {}
// SAFETY: as above, and nothing changes behind a shared reference.
unsafe impl Sync for Thin {}

/// How bytes of this number are allocated.
fn layout(length: usize) -> Layout {
    Layout::from_size_align(usable_bytes(length), align_of::<u32>()).expect("at most 4 GiB")
}

impl Thin {
    /// A copy of bytes, of which the first four are their number.
    ///
    /// # Panics
    /// Where they are not.
    pub fn new(bytes: &[u8]) -> Thin {
        let length = bytes.first_chunk().map(|b| u32::from_le_bytes(*b) as usize);
        assert_eq!(length, Some(bytes.len()));
        let layout = layout(bytes.len());
        // SAFETY: its size is not 0.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout);
        };
        // SAFETY: the allocation is new, and has room for at least as many bytes;
        // they hold their own number, as was just looked at.
        unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        Thin { start }
    }

    /// The number of bytes.
    #[inline]
    fn length(&self) -> usize {
        // SAFETY: four bytes are always there, aligned.
        u32::from_le(unsafe { self.start.cast::<u32>().read() }) as usize
    }

    /// Everything behind the length.
    #[inline]
    pub fn body_mut(&mut self) -> &mut [u8] {
        let body = self.length() - LENGTH_BYTES;
        // SAFETY: `length` bytes are initialised and owned, and these are not the
        // first four.
        unsafe { slice::from_raw_parts_mut(self.start.add(LENGTH_BYTES).as_ptr(), body) }
    }

    /// Replaces a range (counted from the allocation's start, beyond the length)
    /// by as many bytes as said, whose contents are whatever; they are returned
    /// to be written.
    ///
    /// # Panics
    /// Where the range is none of the body's, or where the length would no longer
    /// fit in 32 bits.
    pub fn open(&mut self, range: Range<usize>, bytes: usize) -> &mut [u8] {
        let before = self.length();
        assert!(LENGTH_BYTES <= range.start && range.start <= range.end && range.end <= before);
        let after = before - range.len() + bytes;
        let inner = range.start - LENGTH_BYTES;
        let behind = range.end - LENGTH_BYTES..before - LENGTH_BYTES;
        if after > before {
            self.set_length(after);
        }
        self.body_mut().copy_within(behind, inner + bytes);
        if after < before {
            self.set_length(after);
        }
        &mut self.body_mut()[inner..inner + bytes]
    }

    /// Gives the bytes another number; new ones are zeros.
    fn set_length(&mut self, after: usize) {
        let before = self.length();
        let field = u32::try_from(after).expect("a length below 4 GiB");
        let (old, new) = (layout(before), layout(after));
        if old != new {
            // SAFETY: allocated with this layout; the new size is not 0, and fits.
            let start = unsafe { realloc(self.start.as_ptr(), old, new.size()) };
            let Some(start) = NonNull::new(start) else {
                handle_alloc_error(new);
            };
            self.start = start;
        }
        if after > before {
            // SAFETY: the allocation has room for `after` bytes.
            unsafe { self.start.add(before).write_bytes(0, after - before) };
        }
        // SAFETY: as many bytes are now initialised, and allocated as the rule says.
        unsafe { self.start.cast::<u32>().write(field.to_le()) };
    }

    /// What is allocated, in bytes.
    pub fn heap_bytes(&self) -> usize {
        usable_bytes(self.length())
    }
}

impl Deref for Thin {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes are initialised and owned.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length()) }
    }
}

// SAFETY: the pointer is all that there is to it.
unsafe impl Pointer for Thin {
    fn into_pointer(self) -> NonNull<u8> {
        ManuallyDrop::new(self).start
    }

    unsafe fn from_pointer(start: NonNull<u8>) -> Thin {
        Thin { start }
    }
}

impl Clone for Thin {
    fn clone(&self) -> Thin {
        Thin::new(self)
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nobody else owns it.
        unsafe { dealloc(self.start.as_ptr(), layout(self.length())) };
    }
}

impl fmt::Debug for Thin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Thin").field(&&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_length(body: &[u8]) -> Vec<u8> {
        let length = (body.len() + LENGTH_BYTES) as u32;
        [&length.to_le_bytes(), body].concat()
    }

    proptest! {
        #[test]
        fn what_is_opened_anywhere_is_like_a_splice(
            edits in prop::collection::vec((any::<u16>(), any::<u16>(), 0usize..300), 0..40)
        ) {
            let mut model: Vec<u8> = Vec::new();
            let mut thin = Thin::new(&with_length(&model));
            for (n, (from, taken, given)) in edits.into_iter().enumerate() {
                let from = usize::from(from) % (model.len() + 1);
                let to = from + usize::from(taken) % (model.len() - from + 1);
                thin.open(from + LENGTH_BYTES..to + LENGTH_BYTES, given).fill(n as u8);
                model.splice(from..to, std::iter::repeat_n(n as u8, given));
                prop_assert_eq!(&*thin, with_length(&model));
                prop_assert_eq!(&*thin.clone(), &*thin);
            }
        }
    }

    #[test]
    #[should_panic]
    fn the_length_is_not_to_be_opened() {
        Thin::new(&with_length(b"abc")).open(3..5, 1);
    }
}
