//! An element of a [`Dict`](super::Dict): its key and its payload in one
//! allocation of exactly their bytes, owned by one word of eight bytes.
//!
//! ```text
//!  word        ┌ place: 7 ┬ mark: 1 ┬ lengths: 11 ┬ address / 8: 45 ┐
//!              └──────────┴─────────┴─────────────┴─────────────────┘
//!  allocation  ┌ key ┬ payload ┐         where `lengths` can tell both, or else
//!              ┌ key's length ┬ payload's length ┬ key ┬ payload ┐    (LEB128)
//! ```
//!
//! Short lengths stand in the word, since the allocator's classes are 16 bytes
//! apart: 16 bytes with a header of one would take 32. The place belongs to the
//! table, and the mark to the payload.
//!
//! **Rule that makes this sound:** an `Owned` has the only word that owns its
//! allocation; the bytes were written in full by `create`, and their number
//! follows from the word, or from the header that the word says is there. Nobody
//! changes word, header or key after that; the payload changes through
//! `&mut Owned` alone, and keeps its length. A [`Handle`] is another word for the
//! same element, and whoever reads it promises that the element is still there
//! and nobody changes it meanwhile.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::NonNull;

use crate::base::heap::usable_bytes;

const ADDRESS: u64 = (1 << 45) - 1;
const LENGTHS_AT: u32 = 45;
const LENGTHS_BITS: u32 = 11;
const MARK: u64 = 1 << 56;
const PLACE_AT: u32 = 57;
/// Of an element, so that an address has three bits to spare.
const ALIGN: usize = 8;

/// What the elements of a dict hold beside their key: `()`, a score, a value.
///
/// It lies in the element as bytes behind the key.
pub trait Payload: Copy {
    /// What a new one is made of.
    type New<'a>: Copy;
    /// What reading one gives.
    type Get<'a>;
    /// Of the eleven bits in which an element may tell its lengths, how many tell
    /// the payload's: up to 2^n - 1 bytes; 0 where all have
    /// [`Payload::FIXED_BYTES`]. The rest are the key's: up to 2^n - 2 bytes.
    /// Beyond that the lengths take some bytes more.
    const LENGTH_BITS: u32;
    /// The length of each, where `LENGTH_BITS` is 0.
    const FIXED_BYTES: usize = 0;

    /// How many bytes it takes.
    fn bytes(new: Self::New<'_>) -> usize;
    /// A bit that the element keeps for the payload to know itself by, and to be
    /// found by without reading the element.
    fn is_marked(_new: Self::New<'_>) -> bool {
        false
    }
    /// Writes it to as many bytes as it said.
    fn write(new: Self::New<'_>, out: &mut [u8]);
    /// Reads what `write` wrote.
    fn read(bytes: &[u8], is_marked: bool) -> Self::Get<'_>;
}

/// No payload: of sets.
impl Payload for () {
    type New<'a> = ();
    type Get<'a> = ();
    const LENGTH_BITS: u32 = 0;

    fn bytes((): ()) -> usize {
        0
    }

    fn write((): (), _: &mut [u8]) {}

    fn read(_: &[u8], _: bool) {}
}

/// Lengths as a word may tell them.
struct Lengths<P>(PhantomData<P>);

impl<P: Payload> Lengths<P> {
    const KEY_BITS: u32 = LENGTHS_BITS - P::LENGTH_BITS;
    /// Where the word would say this of the key, the lengths stand in a header.
    const LONG: usize = (1 << Self::KEY_BITS) - 1;

    /// `None` where a header must tell them.
    #[inline]
    fn encode(key: usize, payload: usize) -> Option<u64> {
        let is_short = key < Self::LONG && (P::LENGTH_BITS == 0 || payload >> P::LENGTH_BITS == 0);
        let payload = if P::LENGTH_BITS == 0 { 0 } else { payload };
        is_short.then_some((payload << Self::KEY_BITS | key) as u64)
    }
}

/// Where an element's parts lie: from `key` to `payload` its key, from there to
/// `end` the payload.
#[derive(Clone, Copy)]
struct Parts {
    key: usize,
    payload: usize,
    end: usize,
}

/// An element that is read.
pub struct Element<'a, P> {
    word: NonZeroU64,
    of: PhantomData<(&'a [u8], P)>,
}

impl<P> Clone for Element<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Element<'_, P> {}

impl<'a, P: Payload> Element<'a, P> {
    #[inline]
    fn start(self) -> NonNull<u8> {
        address(self.word)
    }

    #[inline]
    fn parts(self) -> Parts {
        let lengths = (self.word.get() >> LENGTHS_AT) as usize & ((1 << LENGTHS_BITS) - 1);
        let key = lengths & Lengths::<P>::LONG;
        if key == Lengths::<P>::LONG {
            return self.long_parts();
        }
        let payload = match P::LENGTH_BITS {
            0 => P::FIXED_BYTES,
            _ => lengths >> Lengths::<P>::KEY_BITS,
        };
        Parts {
            key: 0,
            payload: key,
            end: key + payload,
        }
    }

    #[cold]
    fn long_parts(self) -> Parts {
        let mut at = 0;
        let mut number = || {
            let mut number = 0;
            for shift in (0..).step_by(7) {
                // SAFETY: the header is there, in full, since the word says so.
                let byte = unsafe { self.start().add(at).read() };
                at += 1;
                number |= usize::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            number
        };
        let (key, payload) = (number(), number());
        Parts {
            key: at,
            payload: at + key,
            end: at + key + payload,
        }
    }

    #[inline]
    fn slice(self, from: usize, to: usize) -> &'a [u8] {
        // SAFETY: the element has these bytes, by its parts, and lives for 'a.
        unsafe { std::slice::from_raw_parts(self.start().add(from).as_ptr(), to - from) }
    }

    /// The key's bytes.
    #[inline]
    pub fn key(self) -> &'a [u8] {
        let parts = self.parts();
        self.slice(parts.key, parts.payload)
    }

    /// What it holds beside the key.
    #[inline]
    pub fn payload(self) -> P::Get<'a> {
        let parts = self.parts();
        P::read(self.slice(parts.payload, parts.end), self.is_marked())
    }

    /// Whether its payload has the mark; reads nothing but the word.
    #[inline]
    pub fn is_marked(self) -> bool {
        self.word.get() & MARK != 0
    }

    /// What the allocator gave for it, in bytes.
    pub fn heap_bytes(self) -> usize {
        usable_bytes(layout(self.parts().end).size())
    }

    /// A word for this element that outlives the borrow.
    #[inline]
    pub fn handle(self) -> Handle<P> {
        Handle {
            word: self.word,
            of: PhantomData,
        }
    }
}

/// Another word for an element, for an index beside the dict: good until the
/// element is removed, or its payload replaced by one of another length.
pub struct Handle<P> {
    word: NonZeroU64,
    of: PhantomData<P>,
}

impl<P> Clone for Handle<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Handle<P> {}

impl<P> Handle<P> {
    /// Whether both are of one element.
    #[inline]
    pub fn is(self, other: Handle<P>) -> bool {
        (self.word.get() ^ other.word.get()) & ADDRESS == 0
    }
}

impl<P: Payload> Handle<P> {
    /// The element.
    ///
    /// # Safety
    /// It is still in its dict, with a payload of the length that it had when the
    /// handle was made, and nobody changes it within 'a.
    #[inline]
    pub unsafe fn element<'a>(self) -> Element<'a, P> {
        Element {
            word: self.word,
            of: PhantomData,
        }
    }
}

/// An element that is owned.
pub(super) struct Owned<P: Payload> {
    word: NonZeroU64,
    of: PhantomData<P>,
}

const _: () = assert!(size_of::<Option<Owned<()>>>() == 8);

impl<P: Payload> Owned<P> {
    pub(super) fn new(key: &[u8], new: P::New<'_>, place: u8) -> Self {
        let (key_bytes, payload_bytes) = (key.len(), payload_bytes::<P>(new));
        let lengths = Lengths::<P>::encode(key_bytes, payload_bytes);
        let mut header = [0; 20];
        let header_bytes = match lengths {
            Some(_) => 0,
            None => leb128(&mut header, &[key_bytes, payload_bytes]),
        };
        let parts = Parts {
            key: header_bytes,
            payload: header_bytes + key_bytes,
            end: header_bytes + key_bytes + payload_bytes,
        };
        let start = allocate(parts.end);
        // SAFETY: the allocation is new and at least `end` bytes long; what is
        // made a slice is zeroed before.
        unsafe {
            start.copy_from_nonoverlapping(NonNull::from(&header).cast(), header_bytes);
            let at = start.add(parts.key);
            at.copy_from_nonoverlapping(NonNull::from(key).cast(), key_bytes);
            let at = start.add(parts.payload);
            at.write_bytes(0, payload_bytes);
            P::write(
                new,
                std::slice::from_raw_parts_mut(at.as_ptr(), payload_bytes),
            );
        }
        let lengths = lengths.unwrap_or(Lengths::<P>::LONG as u64);
        let mark = if P::is_marked(new) { MARK } else { 0 };
        let rest = u64::from(place) << PLACE_AT | mark | lengths << LENGTHS_AT;
        Owned {
            word: word(rest, start),
            of: PhantomData,
        }
    }

    #[inline]
    pub(super) fn element(&self) -> Element<'_, P> {
        Element {
            word: self.word,
            of: PhantomData,
        }
    }

    /// The seven bits that the table gave it.
    #[inline]
    pub(super) fn place(&self) -> u8 {
        (self.word.get() >> PLACE_AT) as u8
    }

    /// Gives it another payload: in place, where the length stays.
    pub(super) fn replace(&mut self, new: P::New<'_>) {
        let element = self.element();
        let parts = element.parts();
        let bytes = payload_bytes::<P>(new);
        if bytes != parts.end - parts.payload || P::is_marked(new) != element.is_marked() {
            *self = Owned::new(element.key(), new, self.place());
            return;
        }
        // SAFETY: these are the payload's bytes, and `&mut self` the only way to them.
        let out = unsafe {
            let at = element.start().add(parts.payload);
            std::slice::from_raw_parts_mut(at.as_ptr(), bytes)
        };
        P::write(new, out);
    }

    /// Asks the processor for its first bytes.
    #[inline]
    pub(super) fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch has no effect but on caches.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch(address(self.word).as_ptr().cast_const().cast(), _MM_HINT_T0);
        }
    }
}

impl<P: Payload> Clone for Owned<P> {
    fn clone(&self) -> Self {
        let end = self.element().parts().end;
        let start = allocate(end);
        // SAFETY: both are at least `end` bytes long.
        unsafe { start.copy_from_nonoverlapping(address(self.word), end) };
        Owned {
            word: word(self.word.get() & !ADDRESS, start),
            of: PhantomData,
        }
    }
}

impl<P: Payload> Drop for Owned<P> {
    fn drop(&mut self) {
        let layout = layout(self.element().parts().end);
        // SAFETY: allocated with this layout, and nobody else owns it.
        unsafe { dealloc(address(self.word).as_ptr(), layout) };
    }
}

#[inline]
fn address(word: NonZeroU64) -> NonNull<u8> {
    let at = std::ptr::with_exposed_provenance_mut((word.get() & ADDRESS) as usize * ALIGN);
    NonNull::new(at).expect("an element has an address")
}

/// A word of these bits and an address.
fn word(rest: u64, start: NonNull<u8>) -> NonZeroU64 {
    let address = start.as_ptr().expose_provenance() as u64 / ALIGN as u64;
    assert!(address <= ADDRESS, "an address has no more than 48 bits");
    NonZeroU64::new(rest | address).expect("an address is not 0")
}

#[inline]
fn payload_bytes<P: Payload>(new: P::New<'_>) -> usize {
    match P::LENGTH_BITS {
        0 => P::FIXED_BYTES,
        _ => P::bytes(new),
    }
}

/// An allocation of at least so many bytes.
fn allocate(bytes: usize) -> NonNull<u8> {
    let layout = layout(bytes);
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc(layout) };
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes.max(1), ALIGN).expect("it was in memory before")
}

/// Writes some numbers, and says how many bytes they took.
fn leb128(out: &mut [u8], numbers: &[usize]) -> usize {
    let mut at = 0;
    for &number in numbers {
        let mut rest = number;
        while rest >= 0x80 {
            out[at] = rest as u8 | 0x80;
            at += 1;
            rest >>= 7;
        }
        out[at] = rest as u8;
        at += 1;
    }
    at
}
