//! Blocks for entries and for the table's lines: a slab allocator with size
//! classes one unit apart, 8 bytes for entries and 64 for lines.
//!
//! A general allocator's classes are 12 to 25% apart, which for a cache's small
//! entries costs more than their headers. Here a page of 16 KiB holds blocks of
//! one size; free blocks are chained through their own first bytes; pages that
//! have a free block are chained by size. Both directions of a malloc are a few
//! instructions, without a lock: a slab belongs to one table of one shard.
//!
//! ```text
//! page (16 KiB, aligned)   ┌────────┬───────┬───────┬──────┬───────────────┐
//!                          │ header │ block │ block │  …   │ never used    │
//!                          └────────┴───────┴───────┴──────┴───────────────┘
//!                             │ free: first of the chain of freed blocks
//!                             │ fresh: where the never used ones begin
//! ```
//!
//! Pages come from a pool that all slabs share: `pool`.
//!
//! **Rule that makes this sound:** a block is reachable through exactly one
//! owner between `alloc` and `free`; the header of its page is found by masking
//! its address, and is only touched through the slab's `&mut`.
#![allow(unsafe_code)]

mod pool;

use std::ptr::{self, NonNull};

pub use pool::{pool_bytes, purge_beyond, release_unused, tend};

use pool::{PAGE, POOL};

/// Largest block of a slab, in its units.
pub const UNITS_MAX: usize = 128;
const CLASSES: usize = UNITS_MAX + 1;

/// The head of a page. Offsets and sizes are in the slab's units.
#[repr(C)]
struct Page {
    next: *mut Page,
    prev: *mut Page,
    /// Where the page stands in its slab's `pages`.
    index: u32,
    /// First freed block; 0 for none.
    free: u16,
    /// First block never used.
    fresh: u16,
    live: u16,
    /// Size of a block.
    block: u16,
}

const _: () = assert!(size_of::<Page>() == 32 && PAGE / 8 <= u16::MAX as usize);

/// The page that a block lies in.
fn page_of(block: NonNull<u8>) -> *mut Page {
    block.as_ptr().map_addr(|a| a & !(PAGE - 1)).cast()
}

/// An allocator of small blocks, in units of `UNIT` bytes (a power of two, 8 or
/// more), to which they are aligned; dropping it frees all of them at once.
#[repr(C)]
pub struct Slab<const UNIT: usize> {
    used_bytes: usize,
    partial: [*mut Page; CLASSES],
    pages: Vec<NonNull<Page>>,
}

// SAFETY: a slab owns its pages alone; nothing in it is tied to a thread.
unsafe impl<const UNIT: usize> Send for Slab<UNIT> {}

impl<const UNIT: usize> Slab<UNIT> {
    /// Largest block, in bytes; what is larger belongs to the general allocator.
    pub const BLOCK_MAX: usize = UNITS_MAX * UNIT;
    const PAGE_UNITS: usize = PAGE / UNIT;
    const HEADER_UNITS: usize = size_of::<Page>().div_ceil(UNIT);

    /// A slab without any page.
    pub fn new() -> Self {
        Slab {
            used_bytes: 0,
            partial: [ptr::null_mut(); CLASSES],
            pages: Vec::new(),
        }
    }

    /// Bytes of all blocks handed out.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// What a block for `size` bytes takes.
    #[inline]
    pub const fn block_bytes(size: usize) -> usize {
        (size + UNIT - 1) & !(UNIT - 1)
    }

    /// Bytes of all its pages.
    pub fn page_bytes(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// A block of `size` bytes or a little more, aligned to `UNIT`; its contents
    /// are whatever they were. `size` is from 1 to [`Slab::BLOCK_MAX`].
    #[inline]
    pub fn alloc(&mut self, size: usize) -> NonNull<u8> {
        let class = size.div_ceil(UNIT);
        assert!((1..CLASSES).contains(&class));
        let mut page = self.partial[class];
        if page.is_null() {
            page = self.add_page(class);
        }
        self.used_bytes += class * UNIT;
        // SAFETY: `page` is one of ours, alive, and has a free block: it is on
        // the list of partial pages. A chained block holds the next one's offset.
        unsafe {
            let head = &mut *page;
            let at = if head.free != 0 {
                let at = head.free;
                head.free = page.byte_add(usize::from(at) * UNIT).cast::<u16>().read();
                at
            } else {
                let at = head.fresh;
                head.fresh += head.block;
                at
            };
            head.live += 1;
            if head.free == 0 && usize::from(head.fresh) + class > Self::PAGE_UNITS {
                self.unlink(page, class);
            }
            NonNull::new_unchecked(page.byte_add(usize::from(at) * UNIT).cast())
        }
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `at` came from this slab's `alloc` with the same `size` and is not used again.
    #[inline]
    pub unsafe fn free(&mut self, at: NonNull<u8>, size: usize) {
        let class = size.div_ceil(UNIT);
        self.used_bytes -= class * UNIT;
        let page = page_of(at);
        // SAFETY: the block lies in a live page of ours, by the caller's promise.
        unsafe {
            let head = &mut *page;
            debug_assert_eq!(usize::from(head.block), class);
            let was_full = head.free == 0 && usize::from(head.fresh) + class > Self::PAGE_UNITS;
            at.cast::<u16>().write(head.free);
            head.free = ((at.as_ptr().addr() & (PAGE - 1)) / UNIT) as u16;
            head.live -= 1;
            if was_full {
                self.link(page, class);
            }
            if head.live == 0 {
                self.unlink(page, class);
                self.remove_page(page);
            }
        }
    }

    /// Whether a block, of `size` bytes, would better lie where the next one of its size
    /// is put: its page is not three quarters full, and no fuller than that one.
    ///
    /// # Safety
    /// `at` came from this slab's `alloc` with the same `size` and is alive.
    pub unsafe fn is_sparse(&mut self, at: NonNull<u8>, size: usize) -> bool {
        let class = size.div_ceil(UNIT);
        let page = page_of(at);
        let first = self.partial[class];
        if first.is_null() || first == page {
            return false;
        }
        // SAFETY: the block lies in a live page of ours, by the caller's promise; pages
        // on the list are ours and alive.
        unsafe {
            let live = (*page).live;
            if usize::from(live) * class * 4 >= (Self::PAGE_UNITS - class) * 3 {
                return false;
            }
            if live <= (*first).live {
                return true;
            }
            self.unlink(page, class);
            self.link(page, class);
        }
        false
    }

    #[cold]
    fn add_page(&mut self, class: usize) -> *mut Page {
        let page = POOL.lock().take().cast::<Page>();
        // SAFETY: the pool hands out whole pages that nobody else uses.
        unsafe {
            page.write(Page {
                next: ptr::null_mut(),
                prev: ptr::null_mut(),
                index: self.pages.len() as u32,
                free: 0,
                fresh: Self::HEADER_UNITS as u16,
                live: 0,
                block: class as u16,
            });
        }
        self.pages.push(page);
        // SAFETY: the page was just made.
        unsafe { self.link(page.as_ptr(), class) };
        page.as_ptr()
    }

    /// # Safety
    /// `page` is a page of ours without a live block, on no list.
    unsafe fn remove_page(&mut self, page: *mut Page) {
        // SAFETY: by the caller's promise; the moved page is one of ours, too.
        unsafe {
            let index = (*page).index as usize;
            self.pages.swap_remove(index);
            if let Some(moved) = self.pages.get(index) {
                (*moved.as_ptr()).index = index as u32;
            }
            POOL.lock().give(NonNull::new_unchecked(page.cast()));
        }
    }

    /// # Safety
    /// `page` is a page of ours of that class, not on the list.
    unsafe fn link(&mut self, page: *mut Page, class: usize) {
        let first = self.partial[class];
        // SAFETY: pages on the list are ours and alive.
        unsafe {
            (*page).prev = ptr::null_mut();
            (*page).next = first;
            if !first.is_null() {
                (*first).prev = page;
            }
        }
        self.partial[class] = page;
    }

    /// # Safety
    /// `page` is on the list of that class.
    unsafe fn unlink(&mut self, page: *mut Page, class: usize) {
        // SAFETY: as above.
        unsafe {
            let (next, prev) = ((*page).next, (*page).prev);
            if prev.is_null() {
                self.partial[class] = next;
            } else {
                (*prev).next = next;
            }
            if !next.is_null() {
                (*next).prev = prev;
            }
            (*page).next = ptr::null_mut();
            (*page).prev = ptr::null_mut();
        }
    }
}

impl<const UNIT: usize> Default for Slab<UNIT> {
    fn default() -> Self {
        Slab::new()
    }
}

impl<const UNIT: usize> Drop for Slab<UNIT> {
    fn drop(&mut self) {
        let mut pool = POOL.lock();
        for &page in &self.pages {
            pool.give(page.cast());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_come_back() {
        crate::base::clock::reseed(7);
        let mut slab = Slab::<8>::new();
        let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        for step in 0..20_000u32 {
            if live.len() < 200 || !crate::base::clock::random().is_multiple_of(2) {
                let size =
                    1 + crate::base::clock::random_below(Slab::<8>::BLOCK_MAX as u64) as usize;
                let at = slab.alloc(size);
                let fill = step as u8;
                // SAFETY: the block is ours and `size` long.
                unsafe { at.as_ptr().write_bytes(fill, size) };
                live.push((at, size, fill));
            } else {
                let i = crate::base::clock::random_below(live.len() as u64) as usize;
                let (at, size, fill) = live.swap_remove(i);
                // SAFETY: written above, in full.
                let held = unsafe { std::slice::from_raw_parts(at.as_ptr(), size) };
                assert!(held.iter().all(|&b| b == fill));
                // SAFETY: from `alloc` with this size.
                unsafe { slab.free(at, size) };
            }
            if live.len() > 1_000 {
                for (at, size, _) in live.drain(..) {
                    // SAFETY: as above.
                    unsafe { slab.free(at, size) };
                }
                assert_eq!(slab.used_bytes(), 0);
            }
        }
    }

    #[test]
    fn a_freed_block_is_the_next_one_handed_out() {
        let mut slab = Slab::<8>::new();
        let first = slab.alloc(96);
        let _second = slab.alloc(96);
        // SAFETY: from `alloc` with this size.
        unsafe { slab.free(first, 96) };
        assert_eq!(slab.alloc(90), first);
    }

    #[test]
    fn who_lies_in_a_sparse_page_can_move_until_hardly_a_page_has_gaps() {
        const SIZE: usize = 28 * 64;
        let mut slab = Slab::<64>::new();
        let mut blocks: Vec<_> = (0..90).map(|_| slab.alloc(SIZE)).collect();
        assert_eq!(slab.page_bytes() / PAGE, 10);
        // One of three stays, in every page.
        for i in (0..blocks.len()).rev().filter(|i| i % 3 > 0) {
            // SAFETY: from `alloc` with this size, and not used again.
            unsafe { slab.free(blocks.remove(i), SIZE) };
        }
        assert_eq!((blocks.len(), slab.page_bytes() / PAGE), (30, 10));
        for _ in 0..4 {
            for block in &mut blocks {
                // SAFETY: alive, of this size; and freed only where another takes its place.
                unsafe {
                    if slab.is_sparse(*block, SIZE) {
                        let old = std::mem::replace(block, slab.alloc(SIZE));
                        slab.free(old, SIZE);
                    }
                }
            }
        }
        assert_eq!(slab.page_bytes() / PAGE, 4, "30 blocks, 9 a page");
        assert_eq!(slab.used_bytes(), 30 * SIZE);
    }
}
