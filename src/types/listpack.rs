//! A sequence of short strings and integers in one allocation, in Redis's
//! listpack format, byte for byte: what it is in memory, it is in a snapshot.
//!
//! ```text
//! listpack  ┌───────────────┬─────────────┬─────────┬─────┬─────────┬──────┐
//!           │ bytes u32 LE  │ count u16 LE│ element │  …  │ element │ 0xFF │
//!           └───────────────┴─────────────┴─────────┴─────┴─────────┴──────┘
//! element   ┌──────┬─────────────┬──────────────────────┐
//!           │ head │ string bytes│ length of the former │
//!           └──────┴─────────────┴──────────────────────┘
//! head      0xxxxxxx                   integer 0 to 127
//!           10llllll                   string of up to 63 bytes
//!           110xxxxx xxxxxxxx          integer of 13 bits
//!           1110llll llllllll          string of up to 4095 bytes
//!           11110000 + u32 LE          string
//!           11110001 … 11110100        integer of 16, 24, 32, 64 bits LE follows
//! length    7 bits a byte, the highest first; all but the first byte have the
//!           high bit set, so that it is read backwards
//! ```
//!
//! A count of 65535 says "count them". What is the canonical text of an integer
//! is stored as an integer, but both forms of a value are read and found.
//!
//! **Invariant:** the bytes are well-formed: they were made here, or each was
//! looked at by [`Listpack::from_bytes`].
//!
//! Source: Valkey's `listpack.c` and antirez's `listpack.md`.

pub mod index;

use std::ops::Range;

use crate::base::num::{self, IntText};

use super::thin::{LENGTH_BYTES, Thin};

/// What an empty one takes, in bytes.
pub const EMPTY_BYTES: usize = HEADER + 1;

/// The size, in bytes, beyond which no listpack should grow; see
/// [`Listpack::has_room_for`].
pub const BYTES_MAX: usize = 1 << 30;

const HEADER: usize = 6;
const COUNT: Range<usize> = LENGTH_BYTES..HEADER;
const END: u8 = 0xFF;
/// The count that says "count them".
const UNCOUNTED: usize = u16::MAX as usize;
const ELEMENT_BYTES_MIN: usize = 2;
const HEAD_MAX: usize = 9;
const BACK_MAX: usize = 5;

const STR_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// Where an element lies; good until the listpack is next changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At(u32);

/// An element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item<'a> {
    /// Stored as an integer.
    Int(i64),
    /// Stored as a string, whatever it says.
    Str(&'a [u8]),
}

impl Item<'_> {
    /// Lends the text.
    #[inline]
    pub fn with_bytes<R>(self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Item::Int(n) => f(IntText::new(n).as_bytes()),
            Item::Str(s) => f(s),
        }
    }

    /// A copy of the text.
    pub fn to_vec(self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }

    /// The integer, in whichever form it is stored.
    pub fn int(self) -> Option<i64> {
        match self {
            Item::Int(n) => Some(n),
            Item::Str(s) => num::parse_i64(s),
        }
    }

    /// Bytes of the text.
    pub fn text_len(self) -> usize {
        self.with_bytes(<[u8]>::len)
    }
}

impl PartialEq<[u8]> for Item<'_> {
    fn eq(&self, text: &[u8]) -> bool {
        self.with_bytes(|bytes| bytes == text)
    }
}

/// A text that elements are compared with: read as an integer once.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    text: &'a [u8],
    int: Option<i64>,
}

impl<'a> Needle<'a> {
    /// A text.
    pub fn new(text: &'a [u8]) -> Needle<'a> {
        let int = num::parse_i64(text);
        Needle { text, int }
    }

    /// Whether an element has this text.
    #[inline]
    pub fn is(&self, item: Item<'_>) -> bool {
        match item {
            Item::Int(n) => self.int == Some(n),
            Item::Str(s) => s == self.text,
        }
    }
}

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Listpack {
    pub(super) bytes: Thin,
}

const _: () = assert!(size_of::<Listpack>() == 8);

impl Default for Listpack {
    fn default() -> Listpack {
        Listpack::new()
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Listpack) -> bool {
        *self.bytes == *other.bytes
    }
}

impl Eq for Listpack {}

impl Listpack {
    /// An empty one.
    pub fn new() -> Listpack {
        let bytes = Thin::new(&[EMPTY_BYTES as u8, 0, 0, 0, 0, 0, END]);
        Listpack { bytes }
    }

    /// Takes bytes from outside; `None` where any of them is not as the format
    /// wants it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Listpack> {
        let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let (&end, elements) = bytes.get(HEADER..)?.split_last()?;
        if length != bytes.len() || end != END {
            return None;
        }
        let mut rest = elements;
        let mut count = 0;
        while !rest.is_empty() {
            let size = stored_bytes(rest)?;
            let (back, n) = back_length(size);
            if rest.get(size..size + n)? != &back[..n] {
                return None;
            }
            rest = &rest[size + n..];
            count += 1;
        }
        let said = usize::from(u16::from_le_bytes([
            bytes[COUNT.start],
            bytes[COUNT.end - 1],
        ]));
        (said == UNCOUNTED || said == count).then(|| Listpack {
            bytes: Thin::new(bytes),
        })
    }

    /// The whole, as it stands in a snapshot.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of its bytes.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What it holds on the heap, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes()
    }

    /// Whether strings of this many bytes together may be added: beyond
    /// [`BYTES_MAX`] its owner should use something else.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        self.bytes().saturating_add(bytes) <= BYTES_MAX
    }

    /// The number of elements. Constant time below 65535.
    #[inline]
    pub fn len(&self) -> usize {
        match self.count() {
            UNCOUNTED => self.iter().count(),
            count => count,
        }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes() == EMPTY_BYTES
    }

    #[inline]
    fn count(&self) -> usize {
        usize::from(u16::from_le_bytes([
            self.bytes[COUNT.start],
            self.bytes[COUNT.end - 1],
        ]))
    }

    fn set_count(&mut self, count: usize) {
        let count = count.min(UNCOUNTED) as u16;
        self.bytes.body_mut()[..COUNT.len()].copy_from_slice(&count.to_le_bytes());
    }

    // ----- places -----------------------------------------------------------

    /// The first element.
    #[inline]
    pub fn first(&self) -> Option<At> {
        self.at(HEADER)
    }

    /// The last element.
    #[inline]
    pub fn last(&self) -> Option<At> {
        self.before(self.end())
    }

    /// The one behind.
    #[inline]
    pub fn next(&self, at: At) -> Option<At> {
        self.at(self.skip(at.0 as usize))
    }

    /// The one in front.
    #[inline]
    pub fn prev(&self, at: At) -> Option<At> {
        self.before(at.0 as usize)
    }

    /// The element of this index, counted from the end where it is negative (-1
    /// is the last).
    pub fn seek(&self, index: isize) -> Option<At> {
        let count = self.count();
        let (index, backwards) = match count {
            UNCOUNTED if index < 0 => (index.unsigned_abs() - 1, true),
            UNCOUNTED => (index.unsigned_abs(), false),
            _ => {
                let n = if index < 0 {
                    count.checked_sub(index.unsigned_abs())?
                } else {
                    index.unsigned_abs()
                };
                match n {
                    n if n >= count => return None,
                    n if n > count / 2 => (count - 1 - n, true),
                    n => (n, false),
                }
            }
        };
        if backwards {
            (0..index).try_fold(self.last()?, |at, _| self.prev(at))
        } else {
            (0..index).try_fold(self.first()?, |at, _| self.next(at))
        }
    }

    /// The offset of the end mark.
    fn end(&self) -> usize {
        self.bytes() - 1
    }

    fn at(&self, offset: usize) -> Option<At> {
        (offset != self.end()).then_some(At(offset as u32))
    }

    /// Where the element at an offset ends.
    #[inline]
    fn skip(&self, offset: usize) -> usize {
        let size = stored_bytes(&self.bytes[offset..]).expect("an element");
        offset + size + back_length(size).1
    }

    #[inline]
    fn before(&self, offset: usize) -> Option<At> {
        if offset == HEADER {
            return None;
        }
        let (mut size, mut back) = (0, 0);
        loop {
            let byte = self.bytes[offset - 1 - back];
            size |= usize::from(byte & 0x7F) << (7 * back);
            back += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(At((offset - back - size) as u32))
    }

    // ----- reading ----------------------------------------------------------

    /// The element at a place.
    #[inline]
    pub fn get(&self, at: At) -> Item<'_> {
        read(&self.bytes[at.0 as usize..])
    }

    /// The elements, front to back.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(self.first())
    }

    /// The elements from a place on.
    pub fn iter_from(&self, at: Option<At>) -> Iter<'_> {
        Iter { pack: self, at }
    }

    /// The first element from `from` on that has this text; `skip` elements are
    /// passed over after each that is looked at.
    pub fn find(&self, from: At, text: &[u8], skip: usize) -> Option<At> {
        let needle = Needle::new(text);
        let mut at = from;
        loop {
            if needle.is(self.get(at)) {
                return Some(at);
            }
            for _ in 0..=skip {
                at = self.next(at)?;
            }
        }
    }

    // ----- changing ---------------------------------------------------------

    /// Adds a string at the end.
    pub fn push_back(&mut self, text: &[u8]) {
        self.insert(self.end(), Element::text(text));
    }

    /// Adds an integer at the end.
    pub fn push_back_int(&mut self, n: i64) {
        self.insert(self.end(), Element::int(n));
    }

    /// Adds a string at the beginning.
    pub fn push_front(&mut self, text: &[u8]) {
        self.insert(HEADER, Element::text(text));
    }

    /// Adds an integer at the beginning.
    pub fn push_front_int(&mut self, n: i64) {
        self.insert(HEADER, Element::int(n));
    }

    /// Adds a string in front of an element; returns where it is.
    pub fn insert_before(&mut self, at: At, text: &[u8]) -> At {
        self.insert(at.0 as usize, Element::text(text))
    }

    /// Adds an integer in front of an element; returns where it is.
    pub fn insert_before_int(&mut self, at: At, n: i64) -> At {
        self.insert(at.0 as usize, Element::int(n))
    }

    /// Adds a string behind an element; returns where it is.
    pub fn insert_after(&mut self, at: At, text: &[u8]) -> At {
        self.insert(self.skip(at.0 as usize), Element::text(text))
    }

    /// Adds an integer behind an element; returns where it is.
    pub fn insert_after_int(&mut self, at: At, n: i64) -> At {
        self.insert(self.skip(at.0 as usize), Element::int(n))
    }

    /// Puts a string in an element's place; returns where it is.
    pub fn replace(&mut self, at: At, text: &[u8]) -> At {
        self.write(self.extent(at, 1), Element::text(text))
    }

    /// Puts an integer in an element's place; returns where it is.
    pub fn replace_int(&mut self, at: At, n: i64) -> At {
        self.write(self.extent(at, 1), Element::int(n))
    }

    /// Removes an element; returns the next one.
    pub fn remove(&mut self, at: At) -> Option<At> {
        self.remove_from(at, 1)
    }

    /// Removes an element and those behind it, `n` in all or as many as there
    /// are; returns the next one.
    pub fn remove_from(&mut self, at: At, n: usize) -> Option<At> {
        let range = self.extent(at, n);
        let removed = match self.count() {
            UNCOUNTED => 0,
            _ => Elements(&self.bytes[range.clone()]).count(),
        };
        self.cut(range, removed);
        self.at(at.0 as usize)
    }

    /// Removes `n` elements from an index on, or as many as there are.
    pub fn remove_range(&mut self, index: usize, n: usize) {
        let Ok(place) = isize::try_from(index) else {
            return;
        };
        let Some(at) = self.seek(place) else {
            return;
        };
        match self.count() {
            count if count != UNCOUNTED && n >= count - index => {
                self.cut(at.0 as usize..self.end(), count - index);
            }
            _ => {
                self.remove_from(at, n);
            }
        }
    }

    /// Adds all elements of another at the end.
    pub fn append(&mut self, other: &Listpack) {
        let added = other.len();
        let elements = &other.bytes[HEADER..other.end()];
        let end = self.end();
        self.bytes
            .open(end..end, elements.len())
            .copy_from_slice(elements);
        self.added(added);
    }

    /// Cuts it in two in front of an element; returns what begins with that.
    pub fn split_off(&mut self, at: At) -> Listpack {
        let range = at.0 as usize..self.end();
        let mut other = Listpack::new();
        let elements = &self.bytes[range.clone()];
        let count = Elements(elements).count();
        other
            .bytes
            .open(HEADER..HEADER, elements.len())
            .copy_from_slice(elements);
        other.set_count(count);
        self.cut(range, count);
        other
    }

    /// The bytes of an element and those behind it, `n` in all.
    fn extent(&self, at: At, n: usize) -> Range<usize> {
        let start = at.0 as usize;
        let mut end = start;
        for _ in 0..n {
            if end == self.end() {
                break;
            }
            end = self.skip(end);
        }
        start..end
    }

    fn insert(&mut self, offset: usize, element: Element<'_>) -> At {
        let at = self.write(offset..offset, element);
        self.added(1);
        at
    }

    fn added(&mut self, n: usize) {
        match self.count() {
            UNCOUNTED => {}
            count => self.set_count(count + n),
        }
    }

    fn write(&mut self, range: Range<usize>, element: Element<'_>) -> At {
        let offset = range.start;
        element.write(self.bytes.open(range, element.bytes()));
        At(offset as u32)
    }

    /// Removes bytes that hold so many elements.
    fn cut(&mut self, range: Range<usize>, elements: usize) {
        self.bytes.open(range, 0);
        match self.count() {
            UNCOUNTED if self.bytes() < EMPTY_BYTES + UNCOUNTED * ELEMENT_BYTES_MIN => {
                self.set_count(self.iter().count());
            }
            UNCOUNTED => {}
            count => self.set_count(count - elements),
        }
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Item<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Listpack {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Listpack {
        let mut pack = Listpack::new();
        texts.into_iter().for_each(|t| pack.push_back(t.as_ref()));
        pack
    }
}

/// See [`Listpack::iter`].
#[derive(Clone)]
pub struct Iter<'a> {
    pack: &'a Listpack,
    at: Option<At>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let at = self.at?;
        self.at = self.pack.next(at);
        Some(self.pack.get(at))
    }
}

/// Steps over elements that lie one behind the other, without reading them.
struct Elements<'a>(&'a [u8]);

impl Iterator for Elements<'_> {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        if self.0.is_empty() {
            return None;
        }
        let size = stored_bytes(self.0).expect("an element");
        self.0 = &self.0[size + back_length(size).1..];
        Some(())
    }
}

/// An element on its way in.
struct Element<'a> {
    head: [u8; HEAD_MAX],
    head_bytes: usize,
    string: &'a [u8],
}

impl<'a> Element<'a> {
    fn text(text: &'a [u8]) -> Element<'a> {
        match num::parse_i64(text) {
            Some(n) => Element::int(n),
            None => Element::string(text),
        }
    }

    fn string(string: &'a [u8]) -> Element<'a> {
        let n = string.len();
        let mut head = [0; HEAD_MAX];
        let head_bytes = if n < 1 << 6 {
            head[0] = 0x80 | n as u8;
            1
        } else if n < 1 << 12 {
            head[0] = 0xE0 | (n >> 8) as u8;
            head[1] = n as u8;
            2
        } else {
            let n = u32::try_from(n).expect("a string below 4 GiB");
            head[0] = STR_32;
            head[1..5].copy_from_slice(&n.to_le_bytes());
            5
        };
        Element {
            head,
            head_bytes,
            string,
        }
    }

    fn int(n: i64) -> Element<'static> {
        let mut head = [0; HEAD_MAX];
        let mut wide = |code, bytes: usize| {
            head[0] = code;
            head[1..=bytes].copy_from_slice(&n.to_le_bytes()[..bytes]);
            1 + bytes
        };
        let head_bytes = match n {
            0..=127 => {
                head[0] = n as u8;
                1
            }
            -4096..=4095 => {
                head[0] = 0xC0 | (n >> 8) as u8 & 0x1F;
                head[1] = n as u8;
                2
            }
            -0x8000..=0x7FFF => wide(INT_16, 2),
            -0x80_0000..=0x7F_FFFF => wide(INT_24, 3),
            -0x8000_0000..=0x7FFF_FFFF => wide(INT_32, 4),
            _ => wide(INT_64, 8),
        };
        Element {
            head,
            head_bytes,
            string: &[],
        }
    }

    fn size(&self) -> usize {
        self.head_bytes + self.string.len()
    }

    /// With the length behind it.
    fn bytes(&self) -> usize {
        self.size() + back_length(self.size()).1
    }

    fn write(&self, to: &mut [u8]) {
        let (head, rest) = to.split_at_mut(self.head_bytes);
        let (string, back) = rest.split_at_mut(self.string.len());
        head.copy_from_slice(&self.head[..self.head_bytes]);
        string.copy_from_slice(self.string);
        back.copy_from_slice(&back_length(self.size()).0[..back.len()]);
    }
}

/// The bytes that a text takes as an element.
pub fn element_bytes(text: &[u8]) -> usize {
    Element::text(text).bytes()
}

/// A length as it stands behind an element, and how many bytes of it count.
#[inline]
fn back_length(size: usize) -> ([u8; BACK_MAX], usize) {
    let n = match size {
        0..0x80 => return ([size as u8, 0, 0, 0, 0], 1),
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    };
    let mut back = [0; BACK_MAX];
    for (i, byte) in back[..n].iter_mut().rev().enumerate() {
        *byte = (size >> (7 * i)) as u8 & 0x7F | 0x80;
    }
    back[0] &= 0x7F;
    (back, n)
}

/// The bytes of the element at the beginning, without the length behind it;
/// `None` where it is none, or where its head is not all there.
#[inline]
fn stored_bytes(bytes: &[u8]) -> Option<usize> {
    let head = *bytes.first()?;
    Some(match head {
        0..0x80 => 1,
        0x80..0xC0 => 1 + usize::from(head & 0x3F),
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 2 + (usize::from(head & 0x0F) << 8 | usize::from(*bytes.get(1)?)),
        STR_32 => 5 + u32::from_le_bytes(*bytes.get(1..)?.first_chunk()?) as usize,
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => return None,
    })
}

/// The element at the beginning.
#[inline]
fn read(bytes: &[u8]) -> Item<'_> {
    let head = bytes[0];
    match head {
        0..0x80 => Item::Int(i64::from(head)),
        0x80..0xC0 => Item::Str(&bytes[1..1 + usize::from(head & 0x3F)]),
        0xC0..0xE0 => {
            let n = i64::from(head & 0x1F) << 8 | i64::from(bytes[1]);
            Item::Int(n << 51 >> 51) // bit 12 is the sign
        }
        INT_16..=INT_64 => {
            let n = stored_bytes(bytes).expect("an element") - 1;
            let mut wide = [0; 8];
            wide[..n].copy_from_slice(&bytes[1..=n]);
            let unused = 64 - 8 * n as u32;
            Item::Int(i64::from_le_bytes(wide) << unused >> unused)
        }
        _ => {
            let head = if head == STR_32 { 5 } else { 2 };
            let size = stored_bytes(bytes).expect("an element");
            Item::Str(&bytes[head..size])
        }
    }
}

#[cfg(test)]
mod tests;
