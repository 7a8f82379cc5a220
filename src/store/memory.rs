//! What the process holds: an allocator that counts, and the figure that
//! `maxmemory` is held against.
//!
//! `used_bytes` is the sum of two counts: what was asked of jemalloc, rounded up
//! to its size classes, and the blocks that slabs have handed out. The pages
//! behind the slabs are taken from jemalloc uncounted, so that a page's free
//! blocks are no more "used" than jemalloc's own free regions are.
//!
//! Each thread gathers its changes and adds them to the shared count when they
//! exceed [`FLUSH_BYTES`]: the figure is off by at most that for each thread.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tikv_jemallocator::Jemalloc;

pub use crate::base::heap::usable_bytes;

/// How far a thread's own count may run ahead of the shared one.
const FLUSH_BYTES: isize = 2048;

static HEAP: AtomicI64 = AtomicI64::new(0);
static BLOCKS: AtomicI64 = AtomicI64::new(0);
/// Of all that, what remembered absences take.
static ABSENCES: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Const-initialised and without a destructor: usable at any time of a thread's life.
    static PENDING: Cell<isize> = const { Cell::new(0) };
}

/// The global allocator: jemalloc, counted.
pub struct Counting;

// SAFETY: every call is passed to jemalloc unchanged; counting neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(usable_bytes(layout.size()) as isize);
        // SAFETY: the caller's contract is jemalloc's.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(usable_bytes(layout.size()) as isize);
        // SAFETY: as above.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(usable_bytes(layout.size()) as isize));
        // SAFETY: as above.
        unsafe { Jemalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(usable_bytes(size) as isize - usable_bytes(layout.size()) as isize);
        // SAFETY: as above.
        unsafe { Jemalloc.realloc(at, layout, size) }
    }
}

#[inline]
fn count(bytes: isize) {
    let sum = PENDING.get() + bytes;
    if sum.abs() < FLUSH_BYTES {
        PENDING.set(sum);
    } else {
        PENDING.set(0);
        HEAP.fetch_add(sum as i64, Ordering::Relaxed);
    }
}

/// Counts blocks that a slab handed out (or, negative, took back), in bytes.
#[inline]
pub fn count_blocks(bytes: isize) {
    BLOCKS.fetch_add(bytes as i64, Ordering::Relaxed);
}

/// Counts what of all that is, or is no more, an absence's, in bytes.
pub fn count_absences(bytes: isize) {
    ABSENCES.fetch_add(bytes as i64, Ordering::Relaxed);
}

/// Bytes that remembered absences take: markers, and what clients write for them.
pub fn absence_bytes() -> usize {
    ABSENCES.load(Ordering::Relaxed).max(0) as usize
}

/// Leaves bytes out of the count from now on, or, negative, counts them again: a
/// simulation around the server is not the server's.
pub fn leave_out(bytes: i64) {
    HEAP.fetch_sub(bytes, Ordering::Relaxed);
}

/// Bytes in use: the heap by jemalloc's size classes, and the slabs' blocks.
pub fn used_bytes() -> usize {
    let used = HEAP.load(Ordering::Relaxed) + BLOCKS.load(Ordering::Relaxed);
    let used = used.max(0) as usize;
    if used > PEAK.load(Ordering::Relaxed) {
        PEAK.fetch_max(used, Ordering::Relaxed);
    }
    used
}

/// The most that `used_bytes` has ever answered.
pub fn peak_bytes() -> usize {
    PEAK.load(Ordering::Relaxed).max(used_bytes())
}

/// Forgets the peak (CONFIG RESETSTAT).
pub fn reset_peak() {
    PEAK.store(0, Ordering::Relaxed);
}

/// jemalloc's own view of the process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorStats {
    /// Handed out and not freed.
    pub allocated: usize,
    /// In pages that hold something handed out.
    pub active: usize,
    /// In pages that are physically there, as far as jemalloc knows.
    pub resident: usize,
    /// Mapped but given back to the operating system lazily.
    pub retained: usize,
}

/// The allocator's name and version.
pub fn allocator_name() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    let number = version.split('-').next().unwrap_or_default();
    format!("jemalloc-{number}")
}

/// Gives jemalloc's unused pages back to the operating system; false where it
/// would not.
pub fn purge() -> bool {
    // 4096 stands for all arenas (MALLCTL_ARENAS_ALL).
    let name = c"arena.4096.purge";
    let null = std::ptr::null_mut();
    // SAFETY: the name ends with a zero; this control neither reads nor writes.
    let code = unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), null, null.cast(), null, 0) };
    code == 0
}

/// jemalloc's statistics at length, for people.
pub fn allocator_report() -> Vec<u8> {
    let mut text = Vec::new();
    let options = tikv_jemalloc_ctl::stats_print::Options::default();
    // Writing to memory does not fail.
    let _ = tikv_jemalloc_ctl::stats_print::stats_print(&mut text, options);
    text
}

/// Reads jemalloc's statistics; costs some microseconds.
pub fn allocator_stats() -> AllocatorStats {
    use tikv_jemalloc_ctl::{epoch, stats};
    let _ = epoch::advance();
    AllocatorStats {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
        retained: stats::retained::read().unwrap_or(0),
    }
}
