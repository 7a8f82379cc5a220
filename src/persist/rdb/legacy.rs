//! What older versions kept small values in: ziplists and zipmaps.
//!
//! ```text
//! ziplist  bytes u32 │ offset of the last entry u32 │ count u16 │ entries │ ff
//!   entry  bytes of the one before: u8, or fe and u32 │ kind │ text or integer
//!          kind 00nnnnnn                 n bytes of text
//!               01nnnnnn nnnnnnnn        n bytes of text
//!               10...... nnnnnnnn × 4    n bytes of text
//!               c0 d0 e0 f0 fe           an integer of 2, 4, 8, 3, 1 bytes
//!               f1 to fd                 the integers 0 to 12
//! zipmap   count u8 │ (length │ field │ length │ unused u8 │ value │ unused) … │ ff
//!   length u8, or fe and u32
//! ```
//!
//! Source: the comments of Valkey's `ziplist.c` and `zipmap.c`.

use crate::types::listpack::Item;

const END: u8 = 0xff;
const LONG: u8 = 0xfe;

/// Takes bytes from the front.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn slice(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A byte, or four behind the one that says so.
    fn short_or_long(&mut self) -> Option<usize> {
        match self.byte()? {
            END => None,
            LONG => Some(u32::from_le_bytes(self.array()?) as usize),
            short => Some(short.into()),
        }
    }

    /// Likewise, but four only where one would not do.
    fn shortest(&mut self) -> Option<usize> {
        let is_long = self.0.first() == Some(&LONG);
        let n = self.short_or_long()?;
        (!is_long || n >= LONG.into()).then_some(n)
    }
}

/// Shows every entry of a ziplist; `None` where it is none, or `visit` says so.
pub fn each_of_ziplist<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(Item<'a>) -> Option<()>,
) -> Option<()> {
    const HEADER: usize = 10;
    const UNCOUNTED: u16 = u16::MAX;
    let mut rest = Cursor(bytes);
    let length = u32::from_le_bytes(rest.array()?) as usize;
    let last = u32::from_le_bytes(rest.array()?) as usize;
    let said = u16::from_le_bytes(rest.array()?);
    let (&end, entries) = rest.0.split_last()?;
    if length != bytes.len() || end != END || last >= bytes.len() {
        return None;
    }
    let mut rest = Cursor(entries);
    let (mut count, mut before) = (0usize, 0);
    while !rest.0.is_empty() {
        let left = rest.0.len();
        if rest.short_or_long()? != before {
            return None;
        }
        let item = entry(&mut rest)?;
        before = left - rest.0.len();
        visit(item)?;
        count += 1;
        let is_last = rest.0.is_empty();
        if is_last && HEADER + entries.len() - before != last {
            return None;
        }
    }
    (said == UNCOUNTED || usize::from(said) == count).then_some(())
}

/// Shows every field of a zipmap and its value, by turns; `None` where it is none,
/// or `visit` says so.
pub fn each_of_zipmap<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(&'a [u8]) -> Option<()>,
) -> Option<()> {
    const UNCOUNTED: u8 = 254;
    let mut rest = Cursor(bytes);
    let said = rest.byte()?;
    let mut count = 0usize;
    while rest.0 != [END] {
        let length = rest.shortest()?;
        visit(rest.slice(length)?)?;
        let (length, unused) = (rest.shortest()?, rest.byte()?);
        visit(rest.slice(length)?)?;
        rest.slice(unused.into())?;
        count += 1;
    }
    let is_true = said >= UNCOUNTED || usize::from(said) == count;
    (is_true && count > 0).then_some(())
}

fn entry<'a>(rest: &mut Cursor<'a>) -> Option<Item<'a>> {
    let kind = rest.byte()?;
    let low = usize::from(kind & 0x3f);
    let text_bytes = match kind >> 6 {
        0 => low,
        1 => low << 8 | usize::from(rest.byte()?),
        2 => u32::from_be_bytes(rest.array()?) as usize,
        _ => {
            return Some(Item::Int(match kind {
                0xc0 => i16::from_le_bytes(rest.array()?).into(),
                0xd0 => i32::from_le_bytes(rest.array()?).into(),
                0xe0 => i64::from_le_bytes(rest.array()?),
                0xf0 => {
                    let [a, b, c] = rest.array()?;
                    (i32::from_le_bytes([0, a, b, c]) >> 8).into()
                }
                0xf1..=0xfd => i64::from(kind & 0x0f) - 1,
                0xfe => i8::from_le_bytes(rest.array()?).into(),
                _ => return None,
            }));
        }
    };
    rest.slice(text_bytes).map(Item::Str)
}
