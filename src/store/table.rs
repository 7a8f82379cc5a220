//! A hash table of entries that grows without a pause and can be walked at any
//! time: the part of one shard that belongs to one database.
//!
//! ```text
//!  digest   ┌── shard ──┬── directory ──┬──── … ────┬─ frag: 15 bits ─┐
//!           │ top bits  │ next bits     │           │ place    tag (8)│
//!           └───────────┴───────────────┴───────────┴─────────────────┘
//!  directory  [seg][seg][seg]…   extendible hashing: 2^depth references
//!                │
//!  segment    1 to 51 lines, open addressing by line
//!                │
//!  line       ┌ 7 tags ┬ spilled ┬ 7 slots of 8 bytes ┐  one cache line
//!             └────────┴─────────┴────────────────────┘
//!  slot       ┌ place: 7 bits ┬ timer: 12 bits ┬ entry's address / 8: 45 bits ┐
//! ```
//!
//! A segment that is full grows by a tenth to a half, to the next of
//! [`LINES`]; at 51 lines it splits in two. Either touches at most 330 entries,
//! so that no growth takes longer than some tens of microseconds, and the table
//! is always about 85% full. Growing moves slots by their frag alone; only a
//! split reads the keys again.
//!
//! What a line's tags say, and who goes where, is `base::tags`.
//!
//! **SCAN's guarantee.** Whoever is there from the start of a walk to its end is
//! met, however the table changes: `base::cursor` says how.
//!
//! **Rule that makes this sound:** an entry's address stands in exactly one
//! slot, and the table that has the slot owns the entry. `&Table` reads,
//! `&mut Table` alone changes or frees.
#![allow(unsafe_code)]

mod place;
mod resize;
mod sample;
mod slots;
mod walk;

use std::ptr::NonNull;

pub use place::Place;

use place::Generation;
use slots::Slots;

use super::entry::{self, Draft, Entry, EntryMut, Note, Object, Slab, earliest};
use super::garbage::Garbage;
use super::wheel::{TICK_MS, Timer};
use super::{memory, slab};
use crate::base::tags::{Tags, WIDTH, frag, home};
use crate::base::{cursor, hash};

/// The sizes of a segment, in lines: those that leave little of a slab's page
/// (255 lines) unused.
const LINES: [u8; 24] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 17, 19, 21, 23, 25, 28, 31, 36, 42, 51,
];
const LINES_MAX: usize = if cfg!(any(test, feature = "tiny")) {
    4
} else {
    51
};
const PREFIX_BITS: u32 = 24;
const ADDRESS: u64 = (1 << 45) - 1;
const TIMER_AT: u32 = 45;
const PLACE_AT: u32 = 57;
type Cursor = cursor::Cursor<PREFIX_BITS>;
/// Bits of a cursor.
pub const CURSOR_BITS: u32 = Cursor::BITS;
/// How many segments are looked at for gaps beside one that grows.
const SEGMENTS_LOOKED_AT: usize = 2;
/// Of a segment without deadlines.
const NEVER_DUE: u32 = u32::MAX;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    tags: Tags,
    slots: [u64; WIDTH],
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Segment {
    lines: NonNull<Line>,
    count: u16,
    /// Number of lines.
    size: u8,
    depth: u8,
    /// The tick, modulo 2^32, at which the first of its timers is due: no timer
    /// reaches further than nine days, of the four years until ticks repeat.
    due: u32,
}

type LineSlab = slab::Slab<64>;

const _: () = assert!(size_of::<Line>() == 64 && size_of::<Segment>() == 16);

impl Line {
    fn frag(&self, slot: usize) -> u32 {
        ((self.slots[slot] >> PLACE_AT) as u32) << 8 | u32::from(self.tags.get(slot))
    }
}

#[inline]
fn address(slot: u64) -> NonNull<u8> {
    let at = std::ptr::with_exposed_provenance_mut(((slot & ADDRESS) << 3) as usize);
    NonNull::new(at).expect("a taken slot holds an entry")
}

fn timer(slot: u64) -> Timer {
    Timer::from_bits((slot >> TIMER_AT) as u16)
}

fn slot_for(at: NonNull<u8>, frag: u32, timer: Timer) -> u64 {
    let address = at.as_ptr().expose_provenance() as u64;
    debug_assert!(address & 7 == 0 && address >> 48 == 0);
    u64::from(frag >> 8) << PLACE_AT | u64::from(timer.bits()) << TIMER_AT | address >> 3
}

impl Segment {
    #[inline]
    fn lines(&self) -> &[Line] {
        // SAFETY: a segment owns `size` lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr(), self.size.into()) }
    }

    #[inline]
    fn lines_mut(&mut self) -> &mut [Line] {
        // SAFETY: as above; `&mut self` is the directory's.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_ptr(), self.size.into()) }
    }

    fn new(slab: &mut LineSlab, size: u8, depth: u8) -> Segment {
        let lines = slab
            .alloc(usize::from(size) * size_of::<Line>())
            .cast::<Line>();
        // SAFETY: the block is `size` lines long, and zeroes are empty lines.
        unsafe { lines.write_bytes(0, size.into()) };
        Segment {
            lines,
            count: 0,
            size,
            depth,
            due: NEVER_DUE,
        }
    }

    /// Frees the lines, not the entries.
    fn free(self, slab: &mut LineSlab) {
        let bytes = usize::from(self.size) * size_of::<Line>();
        // SAFETY: from `new` with this size; `self` is gone with this.
        unsafe { slab.free(self.lines.cast(), bytes) };
    }

    /// How many entries may be in it before it grows.
    fn limit(&self) -> usize {
        let slots = usize::from(self.size) * WIDTH;
        slots - slots / 16
    }

    fn is_mostly_empty(&self) -> bool {
        usize::from(self.count) * 4 < usize::from(self.size) * WIDTH
    }

    /// Puts a slot in; there is a free one.
    fn put(&mut self, frag: u32, bits: u64) -> (usize, usize) {
        let size = usize::from(self.size);
        let lines = self.lines_mut();
        let mut at = home(frag, size);
        loop {
            if let Some(slot) = lines[at].tags.matches(0).next() {
                lines[at].tags.set(slot, frag as u8);
                lines[at].slots[slot] = bits;
                self.count += 1;
                return (at, slot);
            }
            lines[at].tags.spill();
            at = if at + 1 == size { 0 } else { at + 1 };
        }
    }

    /// Takes a slot out and returns it.
    fn take(&mut self, line: usize, slot: usize) -> u64 {
        let size = usize::from(self.size);
        let lines = self.lines_mut();
        let mut at = home(lines[line].frag(slot), size);
        while at != line {
            lines[at].tags.unspill();
            at = if at + 1 == size { 0 } else { at + 1 };
        }
        lines[line].tags.set(slot, 0);
        self.count -= 1;
        self.lines()[line].slots[slot]
    }

    /// Every taken slot: (frag, bits).
    fn each(&self) -> impl Iterator<Item = (u32, u64)> {
        self.lines()
            .iter()
            .flat_map(|l| l.tags.taken().map(|s| (l.frag(s), l.slots[s])))
    }

    /// The same lines elsewhere.
    fn copied(&self, slab: &mut LineSlab) -> Segment {
        let mut other = Segment::new(slab, self.size, self.depth);
        other.lines_mut().copy_from_slice(self.lines());
        Segment {
            lines: other.lines,
            ..*self
        }
    }

    /// The same entries in a segment of another size.
    fn resized(&self, slab: &mut LineSlab, size: u8) -> Segment {
        let mut other = Segment::new(slab, size, self.depth);
        other.due = self.due;
        for (frag, bits) in self.each() {
            other.put(frag, bits);
        }
        other
    }
}

/// A time's tick, as segments keep it.
fn tick(ms: u64) -> u32 {
    let tick = (ms / TICK_MS) as u32;
    if tick == NEVER_DUE { 0 } else { tick }
}

fn due_tick(timer: Timer, now_ms: u64) -> u32 {
    match timer.is_set() {
        true => tick(timer.due_ms(now_ms)),
        false => NEVER_DUE,
    }
}

fn is_before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) > u32::MAX / 2
}

fn earlier(a: u32, b: u32) -> u32 {
    match (a, b) {
        (NEVER_DUE, b) => b,
        (a, NEVER_DUE) => a,
        (a, b) if is_before(a, b) => a,
        (_, b) => b,
    }
}

/// What of an entry is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// All of it.
    Entry,
    /// Some of its elements.
    Items,
}

/// The smallest size for `count` entries that leaves some room to grow.
fn size_for(count: usize) -> u8 {
    let wanted = (count + count / 6).div_ceil(WIDTH).min(LINES_MAX);
    LINES[LINES.partition_point(|&n| usize::from(n) < wanted)]
}

/// See the head of this file.
///
/// In an order of use: a read needs the first cache line, a write the next ones too.
#[repr(C)]
pub struct Table {
    /// The first of a segment's references counts and is kept up to date; the
    /// others are good for its lines, size and depth alone.
    directory: Vec<Segment>,
    depth: u8,
    /// Bits of a digest, from the top, that chose the shard.
    shard_bits: u8,
    /// Its entries stand for absences, which have their own share of memory.
    is_absent: bool,
    /// Nothing is given back that removals leave empty.
    holds_lines: bool,
    generation: Generation,
    /// In a cluster, which keys are in which slot.
    slots: Option<Box<Slots>>,
    count: usize,
    volatile: usize,
    published: usize,
    /// Entries whose elements have deadlines.
    with_volatile_items: usize,
    /// Entries that own something outside the slab.
    outside: usize,
    /// Bytes of large strings among that when they came.
    outside_bytes: usize,
    slab: Slab,
    lines: LineSlab,
    /// Segments that have a single reference.
    deepest: usize,
    /// Where in the directory it goes on to close the gaps that growth leaves in pages.
    hand: usize,
}

// SAFETY: the table owns its entries and lines; nothing in them is tied to a thread.
unsafe impl Send for Table {}

impl Table {
    /// An empty table for digests whose top `shard_bits` are the same.
    pub fn new(shard_bits: u8) -> Table {
        let mut lines = LineSlab::new();
        Table {
            directory: vec![Segment::new(&mut lines, 1, 0)],
            depth: 0,
            deepest: 1,
            shard_bits,
            count: 0,
            volatile: 0,
            with_volatile_items: 0,
            outside: 0,
            outside_bytes: 0,
            slab: Slab::new(),
            lines,
            hand: 0,
            published: 0,
            is_absent: false,
            generation: Generation::default(),
            slots: None,
            holds_lines: false,
        }
    }

    /// It is for what clients write for something absent. Said while it is empty.
    pub fn hold_absences(&mut self) {
        debug_assert!(self.is_empty());
        self.is_absent = true;
    }

    /// Number of entries, those past their deadline included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of entries with a deadline.
    pub fn volatile(&self) -> usize {
        self.volatile
    }

    /// Number of entries whose elements have deadlines.
    pub fn with_volatile_items(&self) -> usize {
        self.with_volatile_items
    }

    /// Whether nothing in it ever goes by itself.
    pub fn is_lasting(&self) -> bool {
        self.volatile == 0 && self.with_volatile_items == 0
    }

    /// Bytes of its entries and lines.
    pub fn bytes(&self) -> usize {
        self.slab.used_bytes() + self.lines.used_bytes() + self.outside_bytes
    }

    /// Bytes of the pages behind entries and lines, for reports.
    pub fn page_bytes(&self) -> (usize, usize) {
        (self.slab.page_bytes(), self.lines.page_bytes())
    }

    /// Slots there are, for reports.
    pub fn slots(&self) -> usize {
        self.segments()
            .map(|(_, s)| usize::from(s.size) * WIDTH)
            .sum()
    }

    /// Bytes that the table takes beside its entries.
    pub fn overhead_bytes(&self) -> usize {
        let lines: usize = self.segments().map(|(_, s)| usize::from(s.size) * 64).sum();
        let slots = self.slots.as_ref().map_or(0, |slots| slots.bytes());
        lines + self.directory.capacity() * size_of::<Segment>() + slots
    }

    #[inline]
    fn index(&self, digest: u64) -> usize {
        // In two steps, since a shift by 64 is none.
        ((digest << self.shard_bits) >> 1 >> (63 - self.depth)) as usize
    }

    /// The bits of a digest that choose the segment, however deep it is.
    fn prefix(&self, digest: u64) -> u32 {
        ((digest << self.shard_bits) >> (64 - PREFIX_BITS)) as u32
    }

    /// Which reference of the directory stands for a prefix.
    fn index_of_prefix(&self, prefix: u32) -> usize {
        (prefix >> (PREFIX_BITS - u32::from(self.depth))) as usize
    }

    /// The first reference to a segment in the directory, and their number.
    fn group(&self, index: usize) -> (usize, usize) {
        let width = 1 << (self.depth - self.directory[index].depth);
        (index & !(width - 1), width)
    }

    /// Every segment once, with its first index.
    fn segments(&self) -> impl Iterator<Item = (usize, &Segment)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let segment = self.directory.get(at)?;
            let first = at;
            at += 1 << (self.depth - segment.depth);
            Some((first, segment))
        })
    }

    /// Asks the processor for the line where the key must be.
    #[inline]
    pub fn prefetch_line(&self, digest: u64) {
        let segment = &self.directory[self.index(digest)];
        let line = home(frag(digest), segment.size.into());
        // SAFETY: within the segment's lines; a prefetch has no effect but on caches.
        unsafe { prefetch(segment.lines.as_ptr().add(line).cast()) };
    }

    /// Asks the processor for the entry, looking only at its line. `noted`: what a policy
    /// keeps of it lies behind its value.
    #[inline]
    pub fn prefetch_entry(&self, digest: u64, noted: bool) {
        let segment = &self.directory[self.index(digest)];
        let frag = frag(digest);
        let line = &segment.lines()[home(frag, segment.size.into())];
        for slot in line.tags.matches(frag as u8) {
            let bits = line.slots[slot];
            if bits >> PLACE_AT == u64::from(frag >> 8) {
                let at = address(bits).as_ptr();
                // SAFETY: as above; the further lines may lie behind the entry's end.
                unsafe {
                    prefetch(at);
                    prefetch(at.wrapping_add(64));
                    if noted {
                        prefetch(at.wrapping_add(128));
                    }
                }
            }
        }
    }

    /// Finds a key.
    #[inline]
    pub fn find(&self, digest: u64, key: &[u8]) -> Option<Place> {
        let index = self.index(digest);
        let segment = &self.directory[index];
        let lines = segment.lines();
        let frag = frag(digest);
        let first = home(frag, lines.len());
        let mut at = first;
        loop {
            let line = &lines[at];
            for slot in line.tags.matches(frag as u8) {
                let bits = line.slots[slot];
                if bits >> PLACE_AT == u64::from(frag >> 8) && is_same(self.read(bits).key(), key) {
                    return Some(Place::new(index, at, slot, self.generation));
                }
            }
            if !line.tags.is_passed() {
                return None;
            }
            at = if at + 1 == lines.len() { 0 } else { at + 1 };
            if at == first {
                return None;
            }
        }
    }

    #[inline]
    fn read(&self, slot: u64) -> Entry<'_> {
        // SAFETY: a taken slot holds a live entry; `&self` keeps it unchanged.
        unsafe { Entry::new(address(slot)) }
    }

    #[inline]
    fn slot(&self, place: Place) -> u64 {
        place.check(self.generation);
        self.directory[place.segment as usize].lines()[usize::from(place.line)].slots
            [usize::from(place.slot)]
    }

    #[inline]
    fn slot_mut(&mut self, place: Place) -> &mut u64 {
        place.check(self.generation);
        &mut self.directory[place.segment as usize].lines_mut()[usize::from(place.line)].slots
            [usize::from(place.slot)]
    }

    /// The entry at a place.
    #[inline]
    pub fn entry(&self, place: Place) -> Entry<'_> {
        self.read(self.slot(place))
    }

    /// The entry at a place, to be changed.
    #[inline]
    pub fn entry_mut(&mut self, place: Place) -> EntryMut<'_> {
        // SAFETY: a taken slot holds a live entry; `&mut self` is the only way to it.
        unsafe { EntryMut::new(address(self.slot(place))) }
    }

    /// Adds an entry for a key that is not there.
    pub fn insert(&mut self, digest: u64, draft: Draft<'_>, now_ms: u64) -> Place {
        let (mut first, _) = self.group(self.index(digest));
        while usize::from(self.directory[first].count) >= self.directory[first].limit() {
            self.grow(first);
            (first, _) = self.group(self.index(digest));
        }
        if let Some(slots) = &mut self.slots {
            slots.add(digest);
        }
        let at = entry::create(&mut self.slab, draft);
        let timer = Timer::new(self.count_in(at), now_ms);
        self.generation.advance();
        let frag = frag(digest);
        let due = due_tick(timer, now_ms);
        let segment = &mut self.directory[first];
        let (line, slot) = segment.put(frag, slot_for(at, frag, timer));
        segment.due = earlier(segment.due, due);
        Place::new(first, line, slot, self.generation)
    }

    /// Puts another value, and deadline, in the place of an entry with the same
    /// key; what the object was that it replaces, the caller drops.
    pub fn replace(&mut self, place: Place, draft: Draft<'_>, now_ms: u64) -> Option<Object> {
        let gone_ms = draft.gone_ms();
        let old = address(self.slot(place));
        let was_volatile = self.entry(place).deadline().is_some();
        if self.entry_mut(place).overwrite(&draft) {
            self.volatile -= usize::from(was_volatile);
            self.volatile += usize::from(gone_ms.is_some());
            self.set_timer(place, Timer::new(gone_ms, now_ms), now_ms);
            return None;
        }
        let at = entry::create(&mut self.slab, draft);
        self.count_out(old);
        let timer = Timer::new(self.count_in(at), now_ms);
        // SAFETY: the slot is given its successor below, under the same `&mut self`.
        let object = unsafe { entry::destroy(&mut self.slab, old) };
        let bits = self.slot_mut(place);
        *bits = slot_for(at, ((*bits >> PLACE_AT) as u32) << 8, timer);
        self.set_timer(place, timer, now_ms);
        object
    }

    /// Gives an entry another deadline, or none.
    pub fn set_deadline(&mut self, place: Place, deadline: Option<u64>, now_ms: u64) {
        let before = self.entry(place).deadline();
        if self.entry_mut(place).set_deadline(deadline) {
            self.volatile -= usize::from(before.is_some());
            self.volatile += usize::from(deadline.is_some());
            let due_ms = self.entry(place).due_ms();
            self.set_timer(place, Timer::new(due_ms, now_ms), now_ms);
            return;
        }
        let old = address(self.slot(place));
        self.count_out(old);
        // SAFETY: the slot is given the new one below, under the same `&mut self`.
        let at = unsafe { entry::moved(&mut self.slab, old, deadline) };
        let timer = Timer::new(self.count_in(at), now_ms);
        let bits = self.slot_mut(place);
        *bits = slot_for(at, ((*bits >> PLACE_AT) as u32) << 8, timer);
        self.set_timer(place, timer, now_ms);
    }

    /// Writes what a policy keeps of an entry that has a note already.
    pub fn set_note(&mut self, place: Place, note: &Note, now_ms: u64) {
        let mut entry = self.entry_mut(place);
        let before = entry.as_ref().note().map_or(0, |note| note.grace_ms);
        if entry.set_note(note) && note.grace_ms != before {
            let due_ms = self.entry(place).due_ms();
            self.set_timer(place, Timer::new(due_ms, now_ms), now_ms);
        }
    }

    fn set_timer(&mut self, place: Place, timer: Timer, now_ms: u64) {
        // Nothing is written that stays the same: a line that one processor writes all
        // others have to fetch again, and the directory's is everybody's.
        let before = self.slot(place);
        let bits = before & !(0xfff << TIMER_AT) | u64::from(timer.bits()) << TIMER_AT;
        if bits != before {
            *self.slot_mut(place) = bits;
        }
        if !timer.is_set() {
            return;
        }
        let (first, _) = self.group(place.segment as usize);
        let segment = &mut self.directory[first];
        let due = earlier(segment.due, due_tick(timer, now_ms));
        if due != segment.due {
            segment.due = due;
        }
    }

    /// Counts an entry, and says when something in it is due.
    fn count_in(&mut self, at: NonNull<u8>) -> Option<u64> {
        // SAFETY: a live entry.
        let entry = unsafe { Entry::new(at) };
        let items_due_ms = entry.items_due_ms();
        self.outside += usize::from(entry.is_outside());
        self.outside_bytes += entry.blob_len();
        self.volatile += usize::from(entry.deadline().is_some());
        self.with_volatile_items += usize::from(items_due_ms.is_some());
        self.count += 1;
        earliest(entry.gone_ms(), items_due_ms)
    }

    fn count_out(&mut self, at: NonNull<u8>) {
        // SAFETY: a live entry.
        let entry = unsafe { Entry::new(at) };
        self.outside -= usize::from(entry.is_outside());
        // It may have grown since.
        self.outside_bytes = self.outside_bytes.saturating_sub(entry.blob_len());
        self.volatile -= usize::from(entry.deadline().is_some());
        self.with_volatile_items -= usize::from(entry.items_due_ms().is_some());
        self.count -= 1;
    }

    /// Has `change` change an entry's object, as [`EntryMut::change_object`] does.
    pub fn change_object<R>(
        &mut self,
        place: Place,
        now_ms: u64,
        change: impl FnOnce(&mut Object) -> R,
    ) -> Option<R> {
        let mut entry = self.entry_mut(place);
        let (result, before, after) = entry.change_object(|object| {
            let before = object.due_ms();
            let result = change(object);
            (result, before, object.due_ms())
        })?;
        if before != after {
            self.with_volatile_items -= usize::from(before.is_some());
            self.with_volatile_items += usize::from(after.is_some());
            let due_ms = earliest(self.entry(place).gone_ms(), after);
            self.set_timer(place, Timer::new(due_ms, now_ms), now_ms);
        }
        Some(result)
    }

    /// Removes an entry; what its object was, the caller drops.
    pub fn remove(&mut self, place: Place) -> Option<Object> {
        place.check(self.generation);
        self.generation.advance();
        let (first, _) = self.group(place.segment as usize);
        let bits = self.directory[first].take(place.line.into(), place.slot.into());
        self.count_out(address(bits));
        self.leave_slot(bits);
        // SAFETY: the slot is free now, so nothing refers to the entry any more.
        let object = unsafe { entry::destroy(&mut self.slab, address(bits)) };
        let segment = &self.directory[first];
        if segment.is_mostly_empty() && !self.holds_lines {
            self.shrink(first);
        }
        object
    }

    /// Makes room in a segment: more lines, or two segments.
    fn grow(&mut self, first: usize) {
        let (first, width) = self.group(first);
        let old = self.directory[first];
        let next = LINES.iter().find(|&&n| n > old.size);
        if let Some(&size) = next.filter(|&&n| usize::from(n) <= LINES_MAX) {
            let new = old.resized(&mut self.lines, size);
            self.refer(first, width, new);
        } else {
            let (first, width) = if width == 1 {
                self.deepen();
                (first * 2, 2)
            } else {
                (first, width)
            };
            let (low, high) = self.split(&old);
            self.deepest += if width == 2 { 2 } else { 0 };
            self.refer(first, width / 2, low);
            self.refer(first + width / 2, width / 2, high);
        }
        old.free(&mut self.lines);
        self.close_gaps();
    }

    /// Moves the next segments of the directory out of pages that others have left. Pages
    /// of sizes that segments grow out of would be mostly holes otherwise.
    fn close_gaps(&mut self) {
        for _ in 0..SEGMENTS_LOOKED_AT {
            let at = if self.hand < self.directory.len() {
                self.hand
            } else {
                0
            };
            let (first, width) = self.group(at);
            self.hand = first + width;
            let old = self.directory[first];
            let bytes = usize::from(old.size) * size_of::<Line>();
            // SAFETY: the segment's lines came from `Segment::new` with this size.
            if unsafe { self.lines.is_sparse(old.lines.cast(), bytes) } {
                let new = old.copied(&mut self.lines);
                self.refer(first, width, new);
                old.free(&mut self.lines);
            }
        }
    }

    /// Doubles the directory.
    fn deepen(&mut self) {
        assert!(
            u32::from(self.depth) < PREFIX_BITS,
            "the directory is at its limit"
        );
        self.directory = self.directory.iter().flat_map(|&s| [s, s]).collect();
        self.depth += 1;
        self.deepest = 0;
    }

    /// Halves the directory while every segment has several references.
    fn flatten(&mut self) {
        while self.deepest == 0 {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
            let depth = self.depth;
            self.deepest = self.segments().filter(|(_, s)| s.depth == depth).count();
        }
    }

    fn split(&mut self, old: &Segment) -> (Segment, Segment) {
        let size = size_for(usize::from(old.count) / 2);
        let mut halves = [
            Segment::new(&mut self.lines, size, old.depth + 1),
            Segment::new(&mut self.lines, size, old.depth + 1),
        ];
        for (_, bits) in old.each() {
            // SAFETY: a prefetch has no effect but on caches.
            unsafe { prefetch(address(bits).as_ptr()) };
        }
        let bit = 63 - u32::from(self.shard_bits) - u32::from(old.depth);
        for (frag, bits) in old.each() {
            let digest = hash::digest(self.read(bits).key());
            let half = &mut halves[(digest >> bit & 1) as usize];
            if usize::from(half.count) == half.limit() {
                let next = LINES.iter().find(|&&n| n > half.size).copied();
                let wider = half.resized(&mut self.lines, next.unwrap_or(LINES_MAX as u8));
                std::mem::replace(half, wider).free(&mut self.lines);
            }
            half.put(frag, bits);
        }
        for half in &mut halves {
            half.due = old.due;
        }
        (halves[0], halves[1])
    }

    fn refer(&mut self, first: usize, width: usize, segment: Segment) {
        self.directory[first..first + width].fill(segment);
    }

    /// One segment for this and its sister where both fit well, and so on; or
    /// else fewer lines for one that is mostly empty.
    fn shrink(&mut self, first: usize) {
        let (first, width) = self.group(first);
        let old = self.directory[first];
        let sister_at = first ^ width;
        if old.depth > 0 && self.directory[sister_at].depth == old.depth {
            let sister = self.directory[sister_at];
            let together = usize::from(old.count) + usize::from(sister.count);
            if together * 2 <= LINES_MAX * WIDTH {
                let mut merged = old.resized(&mut self.lines, size_for(together));
                for (frag, bits) in sister.each() {
                    merged.put(frag, bits);
                }
                merged.depth -= 1;
                merged.due = earlier(merged.due, sister.due);
                let first = first.min(sister_at);
                self.refer(first, width * 2, merged);
                old.free(&mut self.lines);
                sister.free(&mut self.lines);
                if width == 1 {
                    let depth = self.depth;
                    self.deepest -= 2;
                    self.flatten();
                    return self.shrink(first >> (depth - self.depth));
                }
                return self.shrink(first);
            }
        }
        let size = size_for(usize::from(old.count).max(1));
        if size < old.size {
            let new = old.resized(&mut self.lines, size);
            self.refer(first, width, new);
            old.free(&mut self.lines);
        }
    }

    /// Removes entries whose deadline has passed, showing each to `gone` first and
    /// leaving what their objects were in `garbage`, from segments that are due;
    /// shows those that stay but have elements to be removed as well, which is left
    /// to the caller. Stops after `most` segments looked through and says whether
    /// there may be more. With `all`, every timer is looked at:
    /// for after a jump of the clock, and with no bound to `most`, since nothing
    /// is kept of how far it came.
    pub fn expire(
        &mut self,
        now_ms: u64,
        most: usize,
        all: bool,
        garbage: &mut Garbage,
        mut gone: impl FnMut(Entry<'_>, Due),
    ) -> bool {
        if self.is_lasting() {
            return false;
        }
        let now_tick = tick(now_ms);
        let mut looked = 0;
        let mut prefix = 0;
        while prefix < 1 << PREFIX_BITS {
            let (first, width) = self.group(self.index_of_prefix(prefix));
            let Segment { due, depth, .. } = self.directory[first];
            if due != NEVER_DUE && (all || !is_before(now_tick, due)) {
                if looked == most {
                    return true;
                }
                looked += 1;
                self.expire_segment(first, now_ms, all, garbage, &mut gone);
                if self.directory[self.index_of_prefix(prefix)].depth < depth {
                    // Merged with its sister, which may be due as well.
                    continue;
                }
            }
            prefix = ((first + width) as u32) << (PREFIX_BITS - u32::from(self.depth));
        }
        false
    }

    fn expire_segment(
        &mut self,
        first: usize,
        now_ms: u64,
        all: bool,
        garbage: &mut Garbage,
        gone: &mut impl FnMut(Entry<'_>, Due),
    ) {
        let mut next_due = NEVER_DUE;
        let mut due: smallvec::SmallVec<[(usize, usize); 64]> = smallvec::SmallVec::new();
        for (at, line) in self.directory[first].lines().iter().enumerate() {
            for slot in line.tags.taken() {
                let timer = timer(line.slots[slot]);
                if !timer.is_set() {
                    continue;
                }
                if all || timer.due_ms(now_ms) <= now_ms {
                    // SAFETY: a prefetch has no effect but on caches.
                    unsafe { prefetch(address(line.slots[slot]).as_ptr()) };
                    due.push((at, slot));
                } else {
                    next_due = earlier(next_due, due_tick(timer, now_ms));
                }
            }
        }
        for (at, slot) in due {
            let bits = self.directory[first].lines()[at].slots[slot];
            let entry = self.read(bits);
            if entry.gone_ms().is_some_and(|ms| ms <= now_ms) {
                gone(entry, Due::Entry);
                // Not by way of `remove`, which might shrink under our feet.
                self.generation.advance();
                self.directory[first].take(at, slot);
                self.count_out(address(bits));
                self.leave_slot(bits);
                // SAFETY: the slot is free now.
                garbage.add(unsafe { entry::destroy(&mut self.slab, address(bits)) });
            } else {
                let due_ms = entry.due_ms();
                if due_ms.is_some_and(|ms| ms <= now_ms) {
                    gone(entry, Due::Items);
                }
                let timer = Timer::new(due_ms, now_ms);
                let bits = &mut self.directory[first].lines_mut()[at].slots[slot];
                *bits = *bits & !(0xfff << TIMER_AT) | u64::from(timer.bits()) << TIMER_AT;
                next_due = earlier(next_due, due_tick(timer, now_ms));
            }
        }
        let segment = &mut self.directory[first];
        segment.due = next_due;
        if segment.is_mostly_empty() && !self.holds_lines {
            self.shrink(first);
        }
    }

    /// Tells the process's count what the entries take now.
    #[inline]
    pub fn publish_bytes(&mut self) {
        let used = self.slab.used_bytes() + self.lines.used_bytes();
        if used != self.published {
            self.publish(used);
        }
    }

    fn publish(&mut self, used: usize) {
        let more = used as isize - self.published as isize;
        memory::count_blocks(more);
        if self.is_absent {
            memory::count_absences(more);
        }
        self.published = used;
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if self.outside > 0 {
            let slots: Vec<u64> = self
                .segments()
                .flat_map(|(_, s)| s.each())
                .map(|s| s.1)
                .collect();
            for bits in slots {
                // SAFETY: the table goes, and nothing refers to its entries.
                unsafe { entry::destroy(&mut self.slab, address(bits)) };
            }
        }
        self.publish(0);
    }
}

/// Whether two keys are the same. Most are short: a call of `memcmp` would cost
/// more than comparing them.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let n = a.len();
    if n != b.len() {
        return false;
    }
    let word = |s: &[u8], at: usize| s[at..].first_chunk().map_or(0, |c| u64::from_le_bytes(*c));
    match n {
        // Two words that may overlap hold all of it.
        8..=16 => word(a, 0) == word(b, 0) && word(a, n - 8) == word(b, n - 8),
        17..=32 => {
            word(a, 0) == word(b, 0)
                && word(a, 8) == word(b, 8)
                && word(a, n - 16) == word(b, n - 16)
                && word(a, n - 8) == word(b, n - 8)
        }
        _ => a == b,
    }
}

/// # Safety
/// None: a prefetch of any address is harmless. Unsafe only as an intrinsic.
#[inline]
unsafe fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(at.cast(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests;
