//! An entry: everything the store knows of one key, in one allocation.
//!
//! ```text
//!  0        4      5       6      7       8
//! ┌────────┬──────┬───────┬──────┬───────┬──────────┬─────┬─────┬─────┬───────┬───────────┐
//! │ access │ kind │ flags │ tags │ epoch │ deadline │ vl  │ kl  │ key │ value │ note      │
//! │  u32   │  u8  │  u8   │  u8  │  u8   │ 0, 6, 8  │0 1 2│ 1 4 │     │       │ 0, 26+8·t │
//! └────────┴──────┴───────┴──────┴───────┴──────────┴─────┴─────┴─────┴───────┴───────────┘
//!   flags: bits 0-1 width of the deadline (none, 6, 8 bytes), 2 the key's length
//!   takes 4 bytes, 3 the value's length takes 2, 4 the string was grown in place
//!   ("raw" to OBJECT ENCODING), 5 written in the running snapshot, 6 there is a
//!   note, 7 a plain write with a lifetime, which a policy may prolong
//!
//!  note: written at (6), epoch (4), reads (2), grace (4), history (8), marks (1),
//!  cost (1), then the digests of its explicit tags (8 each)
//! ```
//!
//! A note is what a policy keeps of an entry ([`Note`]); entries without a policy have
//! none. `epoch` counts, modulo 256, the invalidations of patterns before the entry was
//! written or last found to be untouched by them.
//!
//! A deadline is Unix time in milliseconds. A value is, by `kind`: the string
//! itself (shorter than [`BLOB_MIN`], its length in `vl`), an integer of 8
//! bytes, or a pointer of 8 bytes, to a blob or to an object, whose tag stands in
//! the upper six bits of `kind`. So a 16-byte key with a 64-byte
//! value and a deadline takes 96 bytes, and 90 without one.
//!
//! **Rule that makes this sound:** an entry is owned by exactly one slot of one
//! table. `Entry` borrows that table shared, `EntryMut` exclusively, and both
//! trust the header, which only `create` and `EntryMut` write.
#![allow(unsafe_code)]

mod note;
mod value;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

use smallvec::SmallVec;

use super::slab;

pub use crate::types::object::{Family, Member, Object};
pub use note::{Note, mark};
pub use value::{Blob, NewValue, ObjectRef, ObjectView, Value, View};

use note::NOTE_BYTES;

/// The slab that entries live in.
pub type Slab = slab::Slab<8>;
/// Larger entries belong to the general allocator.
pub const BLOCK_MAX: usize = Slab::BLOCK_MAX;

/// Strings of at least this many bytes live apart from their entry, so that a
/// reply can refer to them instead of copying.
pub const BLOB_MIN: usize = 16 * 1024;

const HEAD: usize = 8;
/// Bytes of the smallest entry: an empty string under an empty key.
pub const BYTES_MIN: usize = HEAD + 2;
const DEADLINE_6: u8 = 1;
const DEADLINE_8: u8 = 2;
const LONG_KEY: u8 = 4;
const LONG_VALUE: u8 = 8;
const RAW: u8 = 16;
const NOTED: u8 = 64;
const GRACEFUL: u8 = 128;
/// Most explicit tags of an entry.
pub const TAGS_MAX: usize = 64;
const DEADLINE_BYTES: [usize; 4] = [0, 6, 8, 0];

const _: () = assert!(BLOB_MIN <= 1 << 16, "vl is at most two bytes");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Int = 0,
    Embedded = 1,
    Blob = 2,
    Object = 3,
}

impl Kind {
    /// The kind that a header's byte begins with.
    #[inline]
    fn of(byte: u8) -> Kind {
        match byte & 3 {
            0 => Kind::Int,
            1 => Kind::Embedded,
            2 => Kind::Blob,
            _ => Kind::Object,
        }
    }

    /// Whether the value is a pointer to what the entry owns elsewhere.
    #[inline]
    fn is_pointer(self) -> bool {
        self as u8 >= Kind::Blob as u8
    }
}

/// What a new entry is made of.
#[derive(Clone)]
pub struct Draft<'a> {
    /// The key's bytes.
    pub key: &'a [u8],
    /// The value.
    pub value: NewValue<'a>,
    /// Unix time in milliseconds at which the entry is gone.
    pub deadline: Option<u64>,
    /// The string was grown in place: OBJECT ENCODING says "raw".
    pub raw: bool,
    /// The eviction policy's record.
    pub access: u32,
    /// A plain write with a lifetime, which a policy may prolong.
    pub graceful: bool,
    /// See the head of this file.
    pub epoch: u8,
    /// What a policy keeps of it.
    pub note: Option<&'a Note>,
    /// The digests of its explicit tags, [`TAGS_MAX`] at most; only with a note.
    pub tags: &'a [u64],
}

impl<'a> Draft<'a> {
    /// A string or an object without a deadline, and without anything else.
    pub fn new(key: &'a [u8], value: NewValue<'a>) -> Draft<'a> {
        Draft {
            key,
            value,
            deadline: None,
            raw: false,
            access: 0,
            graceful: false,
            epoch: 0,
            note: None,
            tags: &[],
        }
    }

    /// When the entry goes, in Unix milliseconds: past its deadline by its grace.
    pub(super) fn gone_ms(&self) -> Option<u64> {
        let grace_ms = self.note.map_or(0, |note| note.grace_ms);
        Some(self.deadline?.saturating_add(grace_ms.into()))
    }
}

impl Draft<'_> {
    fn flags(&self) -> u8 {
        let deadline = match self.deadline {
            None => 0,
            Some(ms) if ms < 1 << 48 => DEADLINE_6,
            Some(_) => DEADLINE_8,
        };
        let long_key = if self.key.len() > 255 { LONG_KEY } else { 0 };
        let long_value = match &self.value {
            NewValue::Str(s) if s.len() > 255 && s.len() < BLOB_MIN => LONG_VALUE,
            _ => 0,
        };
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        deadline
            | long_key
            | long_value
            | flag(self.raw, RAW)
            | flag(self.note.is_some(), NOTED)
            | flag(self.graceful, GRACEFUL)
    }

    fn kind(&self) -> Kind {
        match &self.value {
            NewValue::Int(_) => Kind::Int,
            NewValue::Str(s) if s.len() < BLOB_MIN => Kind::Embedded,
            NewValue::Str(_) | NewValue::Blob(_) => Kind::Blob,
            NewValue::Object(_) => Kind::Object,
        }
    }

    /// Bytes of the entry's allocation.
    fn bytes(&self) -> usize {
        let (flags, kind) = (self.flags(), self.kind());
        let value = match (&self.value, kind) {
            (NewValue::Str(s), Kind::Embedded) => s.len(),
            _ => 8,
        };
        let note = match self.note {
            Some(_) => NOTE_BYTES + 8 * self.tags.len(),
            None => 0,
        };
        value_at(kind, key_at(kind, flags) + self.key.len()) + value + note
    }
}

/// Where the value begins, given where the key ends: a pointer is aligned.
#[inline]
fn value_at(kind: Kind, key_end: usize) -> usize {
    match kind.is_pointer() {
        true => (key_end + 7) & !7,
        false => key_end,
    }
}

/// Where the key begins, or, seen from the front, how long the head is.
#[inline]
fn key_at(kind: Kind, flags: u8) -> usize {
    value_length_at(flags)
        + value_length_bytes(kind, flags)
        + if flags & LONG_KEY != 0 { 4 } else { 1 }
}

/// [`key_at`] for each kind and the flags that it depends on.
static KEY_AT: [u8; 64] = {
    let mut table = [0; 64];
    let mut i = 0;
    while i < 64 {
        let (kind, flags) = (i >> 4, i as u8 & 15);
        let value_length = match kind == Kind::Embedded as usize {
            true => 1 + (flags & LONG_VALUE != 0) as usize,
            false => 0,
        };
        let key_length = if flags & LONG_KEY != 0 { 4 } else { 1 };
        let deadline = DEADLINE_BYTES[flags as usize & 3];
        table[i] = (HEAD + deadline + value_length + key_length) as u8;
        i += 1;
    }
    table
};

#[inline]
fn value_length_at(flags: u8) -> usize {
    HEAD + DEADLINE_BYTES[usize::from(flags & 3)]
}

#[inline]
fn value_length_bytes(kind: Kind, flags: u8) -> usize {
    match kind {
        Kind::Embedded => 1 + usize::from(flags & LONG_VALUE != 0),
        _ => 0,
    }
}

/// An entry that can be read.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    at: NonNull<u8>,
    of: PhantomData<&'a u8>,
}

/// An entry that can be changed within its allocation.
pub struct EntryMut<'a> {
    at: NonNull<u8>,
    of: PhantomData<&'a mut u8>,
}

/// Where the parts of an entry lie.
struct Parts {
    kind: Kind,
    flags: u8,
    key_at: usize,
    key_len: usize,
    value_len: usize,
    note_len: usize,
}

impl Parts {
    #[inline]
    fn value_at(&self) -> usize {
        value_at(self.kind, self.key_at + self.key_len)
    }

    #[inline]
    fn note_at(&self) -> usize {
        self.value_at() + self.value_len
    }

    #[inline]
    fn bytes(&self) -> usize {
        self.note_at() + self.note_len
    }
}

/// # Safety
/// `at` is a live entry.
#[inline]
unsafe fn parts(at: NonNull<u8>) -> Parts {
    let p = at.as_ptr();
    // SAFETY: a live entry's header says truly what follows it.
    unsafe {
        let kind = Kind::of(p.add(4).read());
        let flags = p.add(5).read();
        let mut at = value_length_at(flags);
        let value_len = if kind == Kind::Embedded {
            if flags & LONG_VALUE == 0 {
                at += 1;
                p.add(at - 1).read().into()
            } else {
                at += 2;
                p.add(at - 2).cast::<u16>().read_unaligned().into()
            }
        } else {
            8
        };
        let key_len = if flags & LONG_KEY == 0 {
            at += 1;
            p.add(at - 1).read().into()
        } else {
            at += 4;
            p.add(at - 4).cast::<u32>().read_unaligned() as usize
        };
        let note_len = match flags & NOTED {
            0 => 0,
            _ => NOTE_BYTES + 8 * usize::from(p.add(6).read()),
        };
        Parts {
            kind,
            flags,
            key_at: at,
            key_len,
            value_len,
            note_len,
        }
    }
}

/// Makes an entry. The caller owns it, and gives it to [`destroy`] in the end.
pub fn create(slab: &mut Slab, draft: Draft<'_>) -> NonNull<u8> {
    let bytes = draft.bytes();
    let at = if bytes <= BLOCK_MAX {
        slab.alloc(bytes)
    } else {
        let layout = heap_layout(bytes);
        // SAFETY: the layout is not empty.
        let at = unsafe { alloc(layout) };
        NonNull::new(at).unwrap_or_else(|| handle_alloc_error(layout))
    };
    write(at, draft);
    at
}

/// Fills a block that is large enough.
fn write(at: NonNull<u8>, draft: Draft<'_>) {
    let (kind, flags) = (draft.kind(), draft.flags());
    let p = at.as_ptr();
    // SAFETY: the block is `draft.bytes()` long, which counts every part below.
    unsafe {
        p.cast::<u32>().write(draft.access);
        p.add(4).write(kind as u8);
        p.add(5).write(flags);
        p.add(6).write(draft.tags.len() as u8);
        p.add(7).write(draft.epoch);
        if let Some(ms) = draft.deadline {
            write_deadline(p, flags, ms);
        }
        let mut to = p.add(value_length_at(flags));
        if let (Kind::Embedded, NewValue::Str(s)) = (kind, &draft.value) {
            if flags & LONG_VALUE == 0 {
                to.write(s.len() as u8);
                to = to.add(1);
            } else {
                to.cast::<u16>().write_unaligned(s.len() as u16);
                to = to.add(2);
            }
        }
        if flags & LONG_KEY == 0 {
            to.write(draft.key.len() as u8);
            to = to.add(1);
        } else {
            to.cast::<u32>().write_unaligned(draft.key.len() as u32);
            to = to.add(4);
        }
        to.copy_from_nonoverlapping(draft.key.as_ptr(), draft.key.len());
        to = to.add(draft.key.len());
        match draft.value {
            NewValue::Int(n) => to.cast::<i64>().write_unaligned(n),
            NewValue::Str(s) if kind == Kind::Embedded => {
                to.copy_from_nonoverlapping(s.as_ptr(), s.len());
            }
            NewValue::Str(s) => write_pointer(p, to, Arc::new(s.to_vec())),
            NewValue::Blob(b) => write_pointer(p, to, b),
            NewValue::Object(object) => {
                let (tag, at) = object.into_cell();
                p.add(4).write(Kind::Object as u8 | tag << 2);
                write_pointer(p, to, at);
            }
        }
        if let Some(note) = draft.note {
            let at = parts(at).note_at();
            p.add(at).cast::<[u8; NOTE_BYTES]>().write(note.to_bytes());
            for (i, tag) in draft.tags.iter().enumerate() {
                let to = p.add(at + NOTE_BYTES + 8 * i);
                to.cast::<u64>().write_unaligned(*tag);
            }
        }
    }
}

/// # Safety
/// `p` is an entry being written whose key ends at `key_end`, with room for a
/// pointer behind it, and `T` is one.
unsafe fn write_pointer<T>(p: *mut u8, key_end: *mut u8, pointer: T) {
    const { assert!(size_of::<T>() == 8) };
    let at = value_at(Kind::Blob, key_end.addr() - p.addr());
    // SAFETY: by the caller's promise; entries are aligned to 8, and so is `at`.
    unsafe { p.add(at).cast::<T>().write(pointer) };
}

/// The object of an entry.
///
/// # Safety
/// `at` is a live entry; what is made of the cell is dropped at most once.
unsafe fn read_object(at: NonNull<u8>, parts: &Parts) -> Option<(u8, NonNull<u8>)> {
    if parts.kind != Kind::Object {
        return None;
    }
    // SAFETY: an object's value is an aligned pointer, and its tag is in the header.
    unsafe {
        let p = at.as_ptr();
        let tag = p.add(4).read() >> 2;
        Some((tag, p.add(parts.value_at()).cast::<NonNull<u8>>().read()))
    }
}

/// # Safety
/// `p` is an entry whose flags (being) written are `flags`.
#[inline]
unsafe fn write_deadline(p: *mut u8, flags: u8, ms: u64) {
    // SAFETY: the flags say how wide the field is.
    unsafe {
        p.add(HEAD).copy_from_nonoverlapping(
            ms.to_le_bytes().as_ptr(),
            DEADLINE_BYTES[usize::from(flags & 3)],
        );
    }
}

/// Frees an entry, and gives back the object that hung off it: dropping it may
/// take its time.
///
/// # Safety
/// `at` came from [`create`] with this slab and is not used again.
pub unsafe fn destroy(slab: &mut Slab, at: NonNull<u8>) -> Option<Object> {
    // SAFETY: by the caller's promise the entry is alive, and was allocated so;
    // with it goes its only pointer to the object.
    unsafe {
        let parts = parts(at);
        if parts.kind == Kind::Blob {
            drop(at.as_ptr().add(parts.value_at()).cast::<Blob>().read());
        }
        let object = read_object(at, &parts).map(|(tag, at)| Object::from_cell(tag, at));
        let bytes = parts.bytes();
        if bytes <= BLOCK_MAX {
            slab.free(at, bytes);
        } else {
            dealloc(at.as_ptr(), heap_layout(bytes));
        }
        object
    }
}

/// Makes the same entry with another deadline, and frees the old one.
///
/// # Safety
/// As for [`destroy`].
pub unsafe fn moved(slab: &mut Slab, at: NonNull<u8>, deadline: Option<u64>) -> NonNull<u8> {
    // SAFETY: the entry is alive until it is destroyed below; its object is made
    // twice, once for the new entry and once to be forgotten.
    unsafe {
        let old = Entry::new(at);
        let value = match old.value() {
            Value::Int(n) => NewValue::Int(n),
            Value::Str(s) => NewValue::Str(s),
            Value::Blob(b) => NewValue::Blob(b.clone()),
            Value::Object(object) => NewValue::Object(Object::from_cell(object.tag, object.at)),
        };
        let (note, tags) = (old.note(), old.tags());
        let draft = Draft {
            key: old.key(),
            value,
            deadline,
            raw: old.is_raw(),
            access: old.access(),
            graceful: old.is_graceful(),
            epoch: old.epoch(),
            note: note.as_ref(),
            tags: &tags,
        };
        let new = create(slab, draft);
        std::mem::forget(destroy(slab, at));
        new
    }
}

fn heap_layout(bytes: usize) -> Layout {
    // Keys and embedded values are bounded far below the limit.
    Layout::from_size_align(bytes, 8).expect("an entry is far smaller than the address space")
}

impl<'a> Entry<'a> {
    /// # Safety
    /// `at` is a live entry that nobody changes while `'a` lasts.
    #[inline]
    pub(super) unsafe fn new(at: NonNull<u8>) -> Entry<'a> {
        Entry {
            at,
            of: PhantomData,
        }
    }

    #[inline]
    fn parts(&self) -> Parts {
        // SAFETY: `new`'s contract.
        unsafe { parts(self.at) }
    }

    #[inline]
    fn slice(&self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: `at` and `len` come from the header of this live entry.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr().add(at), len) }
    }

    /// The key's bytes.
    #[inline]
    pub fn key(&self) -> &'a [u8] {
        // SAFETY: a live entry's header says truly what follows it; its first
        // eight bytes are there in any case.
        let (kind, flags) = unsafe {
            let p = self.at.as_ptr();
            (p.add(4).read(), p.add(5).read())
        };
        if flags & LONG_KEY != 0 {
            let parts = self.parts();
            return self.slice(parts.key_at, parts.key_len);
        }
        let at = KEY_AT[usize::from(kind & 3) << 4 | usize::from(flags & 15)];
        let len = self.slice(usize::from(at) - 1, 1)[0];
        self.slice(at.into(), len.into())
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> Value<'a> {
        let parts = self.parts();
        let at = parts.value_at();
        match parts.kind {
            Kind::Embedded => Value::Str(self.slice(at, parts.value_len)),
            Kind::Int => {
                // SAFETY: an integer's value is 8 bytes.
                Value::Int(unsafe { self.at.as_ptr().add(at).cast::<i64>().read_unaligned() })
            }
            // SAFETY: a blob's value is an aligned `Arc` that the entry owns.
            Kind::Blob => Value::Blob(unsafe { &*self.at.as_ptr().add(at).cast::<Blob>() }),
            Kind::Object => {
                // SAFETY: a live entry; the reference makes nothing that is dropped.
                let cell = unsafe { read_object(self.at, &parts) };
                let (tag, at) = cell.expect("the kind says that it is one");
                Value::Object(ObjectRef {
                    tag,
                    at,
                    of: PhantomData,
                })
            }
        }
    }

    /// Unix time in milliseconds at which the entry is gone.
    #[inline]
    pub fn deadline(&self) -> Option<u64> {
        // SAFETY: the flags say how wide the field is.
        unsafe {
            let p = self.at.as_ptr();
            let flags = p.add(5).read();
            match flags & 3 {
                0 => None,
                DEADLINE_6 => {
                    let low: u32 = p.add(HEAD).cast::<u32>().read_unaligned();
                    let high: u16 = p.add(HEAD + 4).cast::<u16>().read_unaligned();
                    Some(u64::from(low) | u64::from(high) << 32)
                }
                _ => Some(p.add(HEAD).cast::<u64>().read_unaligned()),
            }
        }
    }

    /// Unix time in milliseconds at which the entry goes: past its deadline by its
    /// grace.
    #[inline]
    pub fn gone_ms(&self) -> Option<u64> {
        let deadline = self.deadline()?;
        let grace_ms = self.note().map_or(0, |note| note.grace_ms);
        Some(deadline.saturating_add(grace_ms.into()))
    }

    /// What a policy keeps of it.
    #[inline]
    pub fn note(&self) -> Option<Note> {
        // SAFETY: a live entry has its eight bytes.
        let flags = unsafe { self.at.as_ptr().add(5).read() };
        if flags & NOTED == 0 {
            return None;
        }
        let bytes = self.slice(self.parts().note_at(), NOTE_BYTES);
        Some(Note::from_bytes(
            bytes.try_into().unwrap_or([0; NOTE_BYTES]),
        ))
    }

    /// The epoch in what a policy keeps of it.
    #[inline]
    pub fn note_epoch(&self) -> Option<u32> {
        let parts = self.parts();
        let at = parts.note_at() + 6;
        let bytes = (parts.note_len > 0).then(|| self.slice(at, 4))?;
        Some(u32::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    /// The digests of its explicit tags.
    pub fn tags(&self) -> SmallVec<[u64; 4]> {
        let parts = self.parts();
        if parts.note_len <= NOTE_BYTES {
            return SmallVec::new();
        }
        let bytes = self.slice(parts.note_at() + NOTE_BYTES, parts.note_len - NOTE_BYTES);
        let word = |chunk: &[u8]| u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        bytes.chunks_exact(8).map(word).collect()
    }

    /// Whether it is a plain write with a lifetime, which a policy may prolong.
    pub fn is_graceful(&self) -> bool {
        self.parts().flags & GRACEFUL != 0
    }

    /// See the head of this file.
    #[inline]
    pub fn epoch(&self) -> u8 {
        // SAFETY: a live entry has its eight bytes.
        unsafe { self.at.as_ptr().add(7).read() }
    }

    /// The first deadline of its elements, where any has one.
    #[inline]
    pub fn items_due_ms(&self) -> Option<u64> {
        match self.value() {
            Value::Object(object) => object.get().due_ms(),
            _ => None,
        }
    }

    /// When it, or an element of it, is over.
    pub fn due_ms(&self) -> Option<u64> {
        earliest(self.gone_ms(), self.items_due_ms())
    }

    /// The eviction policy's record.
    #[inline]
    pub fn access(&self) -> u32 {
        // SAFETY: an entry is aligned to 8 and begins with its record.
        unsafe { self.at.as_ptr().cast::<u32>().read() }
    }

    /// Whether the string was grown in place.
    pub fn is_raw(&self) -> bool {
        self.parts().flags & RAW != 0
    }

    /// Bytes of the entry's own allocation, rounded up as the slab does.
    #[cfg(test)]
    pub(super) fn own_bytes(&self) -> usize {
        Slab::block_bytes(self.parts().bytes())
    }

    /// Whether it owns anything outside the slab.
    pub(super) fn is_outside(&self) -> bool {
        let parts = self.parts();
        parts.kind.is_pointer() || parts.bytes() > BLOCK_MAX
    }

    /// Bytes of a large string that lives apart from its entry; 0 for anything else.
    #[inline]
    pub(super) fn blob_len(&self) -> usize {
        match self.value() {
            Value::Blob(blob) => blob.len(),
            _ => 0,
        }
    }

    /// Bytes that the entry takes, with what hangs off it.
    pub fn bytes(&self) -> usize {
        let parts = self.parts();
        let own = allocated_bytes(parts.bytes());
        match self.value() {
            Value::Blob(b) => own + blob_bytes(b),
            Value::Object(object) => own + object.get().heap_bytes(),
            Value::Int(_) | Value::Str(_) => own,
        }
    }
}

/// The first of two deadlines.
pub(super) fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Bytes that an allocation of `bytes` takes, in a slab or in the heap.
pub fn allocated_bytes(bytes: usize) -> usize {
    if bytes <= BLOCK_MAX {
        Slab::block_bytes(bytes)
    } else {
        super::memory::usable_bytes(bytes)
    }
}

fn blob_bytes(blob: &Blob) -> usize {
    super::memory::usable_bytes(blob.capacity())
        + super::memory::usable_bytes(size_of::<Vec<u8>>() + 16)
}

impl<'a> EntryMut<'a> {
    /// The entry, from now on only to be read.
    #[inline]
    pub fn into_ref(self) -> Entry<'a> {
        // SAFETY: `self` borrowed the entry exclusively, and is gone.
        unsafe { Entry::new(self.at) }
    }

    /// # Safety
    /// `at` is a live entry that nobody else looks at while the borrow lasts.
    #[inline]
    pub(super) unsafe fn new(at: NonNull<u8>) -> Self {
        EntryMut {
            at,
            of: PhantomData,
        }
    }

    /// The entry, to be read.
    #[inline]
    pub fn as_ref(&self) -> Entry<'_> {
        // SAFETY: `self` borrows the entry exclusively.
        unsafe { Entry::new(self.at) }
    }

    /// Writes the eviction policy's record.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        // SAFETY: as in `Entry::access`.
        unsafe { self.at.as_ptr().cast::<u32>().write(access) }
    }

    /// Writes what a policy keeps of it; false where there is no place for it.
    #[inline]
    pub fn set_note(&mut self, note: &Note) -> bool {
        let parts = self.as_ref().parts();
        if parts.note_len == 0 {
            return false;
        }
        // SAFETY: the header says that a note is there.
        unsafe {
            let at = self.at.as_ptr().add(parts.note_at());
            at.cast::<[u8; NOTE_BYTES]>().write(note.to_bytes());
        }
        true
    }

    /// Whether a policy keeps something of it, no invalidation since `epoch` concerns it,
    /// and its lifetime goes beyond `over_ms`; if so, and `counts`, counts a read.
    #[inline]
    pub fn read_if_current(&mut self, epoch: u32, over_ms: u64, counts: bool) -> bool {
        let entry = self.as_ref();
        let parts = entry.parts();
        if parts.note_len == 0 || entry.deadline().is_some_and(|ms| ms <= over_ms) {
            return false;
        }
        // SAFETY: the header says that a note is there, in which the epoch stands at 6,
        // and the reads at 10.
        unsafe {
            let note = self.at.as_ptr().add(parts.note_at());
            if u32::from_le(note.add(6).cast::<u32>().read_unaligned()) != epoch {
                return false;
            }
            if counts {
                let at = note.add(10).cast::<u16>();
                let reads = u16::from_le(at.read_unaligned());
                at.write_unaligned(reads.saturating_add(1).to_le());
            }
        }
        true
    }

    /// Counts a read in what a policy keeps of it; false where there is no place for it.
    #[inline]
    pub fn note_read(&mut self) -> bool {
        let parts = self.as_ref().parts();
        if parts.note_len == 0 {
            return false;
        }
        // SAFETY: the header says that a note is there, in which the reads stand at 10.
        unsafe {
            let at = self.at.as_ptr().add(parts.note_at() + 10).cast::<u16>();
            let reads = u16::from_le(at.read_unaligned());
            at.write_unaligned(reads.saturating_add(1).to_le());
        }
        true
    }

    /// It is no plain write any more: what is there was made by a change of it.
    #[inline]
    pub fn clear_graceful(&mut self) {
        // SAFETY: a live entry has its eight bytes.
        unsafe {
            let flags = self.at.as_ptr().add(5);
            flags.write(flags.read() & !GRACEFUL);
        }
    }

    /// See the head of this file.
    #[inline]
    pub fn set_epoch(&mut self, epoch: u8) {
        // SAFETY: a live entry has its eight bytes.
        unsafe { self.at.as_ptr().add(7).write(epoch) };
    }

    /// Writes an integer where there is one already; false where there is not.
    #[inline]
    pub fn set_int(&mut self, n: i64) -> bool {
        let parts = self.as_ref().parts();
        if parts.kind != Kind::Int {
            return false;
        }
        // SAFETY: an integer's value is 8 bytes.
        unsafe {
            let at = self.at.as_ptr().add(parts.value_at());
            at.cast::<i64>().write_unaligned(n);
        }
        true
    }

    /// Moves the deadline where its field is wide enough for the new one, or
    /// where there is none and none is wanted; false where it is not.
    #[inline]
    pub fn set_deadline(&mut self, deadline: Option<u64>) -> bool {
        let flags = self.as_ref().parts().flags;
        match (deadline, flags & 3) {
            (None, 0) => true,
            (Some(ms), width) if width == DEADLINE_8 || (width == DEADLINE_6 && ms < 1 << 48) => {
                // SAFETY: the field is there and wide enough.
                unsafe { write_deadline(self.at.as_ptr(), flags, ms) };
                true
            }
            _ => false,
        }
    }

    /// Overwrites the entry where the draft, which is for the same key, fits
    /// its allocation exactly; false, and nothing changed, where it does not.
    #[inline]
    pub fn overwrite(&mut self, draft: &Draft<'_>) -> bool {
        let old = self.as_ref().parts();
        let bytes = draft.bytes();
        if old.kind.is_pointer()
            || draft.kind().is_pointer()
            || bytes > BLOCK_MAX
            || bytes.div_ceil(8) != old.bytes().div_ceil(8)
        {
            return false;
        }
        write(self.at, draft.clone());
        true
    }

    /// The string's bytes, to be changed in place; `None` where the value is an
    /// integer, or a reply still refers to it.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        let parts = self.as_ref().parts();
        match parts.kind {
            Kind::Int | Kind::Object => None,
            Kind::Blob => self.blob_mut().map(Vec::as_mut_slice),
            // SAFETY: an embedded string's bytes are the entry's own, and the
            // header says truly where they lie.
            Kind::Embedded => Some(unsafe {
                let p = self.at.as_ptr();
                p.add(5).write(parts.flags | RAW);
                std::slice::from_raw_parts_mut(p.add(parts.value_at()), parts.value_len)
            }),
        }
    }

    /// The blob's bytes, to be changed in place; `None` where the value is no
    /// blob, or a reply still refers to it.
    pub fn blob_mut(&mut self) -> Option<&mut Vec<u8>> {
        let parts = self.as_ref().parts();
        if parts.kind != Kind::Blob {
            return None;
        }
        // SAFETY: the value is the pointer of an `Arc` that the entry owns.
        unsafe {
            let at = self.at.as_ptr().add(parts.value_at()).cast::<Blob>();
            let bytes = Arc::get_mut(&mut *at)?;
            self.at.as_ptr().add(5).write(parts.flags | RAW);
            Some(bytes)
        }
    }

    /// Has `change` change the object, which may take another encoding; `None`,
    /// and nothing called, where the value is none.
    pub fn change_object<R>(&mut self, change: impl FnOnce(&mut Object) -> R) -> Option<R> {
        /// Puts the object back into its cell, whatever happens in between.
        struct Out {
            object: ManuallyDrop<Object>,
            kind: *mut u8,
            cell: *mut NonNull<u8>,
        }
        impl Drop for Out {
            fn drop(&mut self) {
                // SAFETY: both point into the entry, which is borrowed exclusively
                // while this lasts; the object is not used again.
                unsafe {
                    let (tag, at) = ManuallyDrop::take(&mut self.object).into_cell();
                    self.kind.write(Kind::Object as u8 | tag << 2);
                    self.cell.write(at);
                }
            }
        }
        let parts = self.as_ref().parts();
        // SAFETY: a live entry, and the object goes back before anybody else looks.
        unsafe {
            let (tag, at) = read_object(self.at, &parts)?;
            let p = self.at.as_ptr();
            let mut out = Out {
                object: ManuallyDrop::new(Object::from_cell(tag, at)),
                kind: p.add(4),
                cell: p.add(parts.value_at()).cast(),
            };
            Some(change(&mut out.object))
        }
    }
}
