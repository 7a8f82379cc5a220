//! The pages of all slabs, cut from chunks of 2 MiB.
//!
//! A chunk is mapped as small pages, which come one by one as they are used: a huge
//! page at once would cost a growing server some milliseconds each time. When the last
//! of a chunk is in use, [`collapse_full`] makes the chunk one huge page, in the
//! background. A key that is not in the processor's cache then costs one walk through
//! the page tables less for its line, and one for its entry. No memory is added by
//! that, and nothing here ever forks, which is what huge pages are feared for.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};
use std::collections::HashMap;
use std::ptr::{self, NonNull};
use std::sync::LazyLock;

use parking_lot::Mutex;
use tikv_jemallocator::Jemalloc;

/// Bytes of a page.
pub const PAGE: usize = 16 * 1024;
/// Bytes of a chunk: of a huge page.
const CHUNK: usize = 2 << 20;
const PAGES: u32 = (CHUNK / PAGE) as u32;

/// Free pages of the process, and how much was mapped for them.
#[derive(Default)]
pub struct Pool {
    free: Vec<Page>,
    /// Free ones behind which there is no physical memory any more.
    purged: Vec<Page>,
    mapped_bytes: usize,
    /// The rest of the newest chunk, cut page by page, so that what is not
    /// needed yet is not touched either.
    rest: Vec<Page>,
    /// By a chunk's address: how many of its pages have no physical memory.
    bare: HashMap<usize, u32>,
    /// Chunks that have memory behind every page, and that of small ones.
    full: Vec<usize>,
}

/// A page that nobody uses.
#[derive(Clone, Copy)]
struct Page(NonNull<u8>);

// SAFETY: nobody uses its memory; it is tied to no thread.
unsafe impl Send for Page {}

/// The process's.
pub static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);

impl Page {
    fn chunk(self) -> usize {
        self.0.as_ptr().addr() & !(CHUNK - 1)
    }
}

impl Pool {
    /// A page for the caller alone; what stands in it is whatever it was.
    pub fn take(&mut self) -> NonNull<u8> {
        if let Some(Page(page)) = self.free.pop() {
            return page;
        }
        let page = match self.purged.pop().or_else(|| self.rest.pop()) {
            Some(page) => page,
            None => self.map(),
        };
        let chunk = page.chunk();
        if let Some(bare) = self.bare.get_mut(&chunk) {
            *bare -= 1;
            if *bare == 0 {
                self.full.push(chunk);
            }
        }
        page.0
    }

    /// Takes a page back.
    pub fn give(&mut self, page: NonNull<u8>) {
        self.free.push(Page(page));
    }

    /// Maps a chunk, and returns its first page.
    #[cold]
    fn map(&mut self) -> Page {
        let layout = Layout::from_size_align(CHUNK, CHUNK).expect("constants make a valid layout");
        // SAFETY: the layout is not empty. Not by way of the counting
        // allocator: see the head of `memory`.
        let chunk = unsafe { Jemalloc.alloc(layout) };
        let Some(first) = NonNull::new(chunk) else {
            handle_alloc_error(layout);
        };
        self.mapped_bytes += CHUNK;
        self.bare.insert(chunk.addr(), PAGES);
        // SAFETY: the chunk has that many pages.
        let page = |i| Page(unsafe { first.add(i * PAGE) });
        self.rest.extend((1..PAGES as usize).rev().map(page));
        page(0)
    }

    /// The next chunk to become a huge page.
    fn next_full(&mut self) -> Option<usize> {
        while let Some(chunk) = self.full.pop() {
            // Some of it may have been given back since.
            if self.bare.get(&chunk) == Some(&0) {
                return Some(chunk);
            }
        }
        None
    }
}

/// Bytes mapped for all slabs, and how many of them lie in free pages.
pub fn pool_bytes() -> (usize, usize) {
    let pool = POOL.lock();
    let free = pool.free.len() + pool.purged.len() + pool.rest.len();
    (pool.mapped_bytes, free * PAGE)
}

/// Gives the physical memory behind free pages back to the operating system,
/// but for `kept` bytes of them.
pub fn purge_beyond(kept: usize) {
    let pages = {
        let mut pool = POOL.lock();
        let kept = (kept / PAGE).min(pool.free.len());
        pool.free.split_off(kept)
    };
    for page in &pages {
        // SAFETY: a free page's contents are of no interest to anybody.
        unsafe { libc::madvise(page.0.as_ptr().cast(), PAGE, libc::MADV_DONTNEED) };
    }
    let mut pool = POOL.lock();
    for page in &pages {
        *pool.bare.entry(page.chunk()).or_default() += 1;
    }
    pool.purged.extend(pages);
}

/// Makes huge pages of the chunks that are full; returns how many were made. It takes
/// some tenths of a millisecond for each, which whoever touches that chunk at the same
/// moment waits for: for a thread of its own. A kernel that knows no such call (before
/// Linux 6.1), or has no huge page left, leaves the chunk as it is.
pub fn collapse_full() -> usize {
    let mut made = 0;
    loop {
        let chunk = POOL.lock().next_full();
        let Some(chunk) = chunk else {
            return made;
        };
        let at = ptr::with_exposed_provenance_mut::<libc::c_void>(chunk);
        // SAFETY: the chunk is mapped for as long as the process lives, and what is
        // in it stays the same.
        made += usize::from(unsafe { libc::madvise(at, CHUNK, libc::MADV_COLLAPSE) } == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_chunk(pool: &mut Pool) -> Vec<NonNull<u8>> {
        (0..PAGES).map(|_| pool.take()).collect()
    }

    #[test]
    fn a_chunk_is_full_when_the_last_of_its_pages_is_taken() {
        let mut pool = Pool::default();
        let pages = full_chunk(&mut pool);
        assert_eq!(pool.next_full(), Some(Page(pages[0]).chunk()));
        assert_eq!(pool.next_full(), None);
        pool.take();
        assert_eq!(pool.next_full(), None, "the next one has just begun");
    }

    #[test]
    fn a_chunk_of_which_memory_was_given_back_is_full_when_that_is_in_use_again() {
        let mut pool = Pool::default();
        let pages = full_chunk(&mut pool);
        let chunk = Page(pages[0]).chunk();
        pool.purged.push(Page(pages[3]));
        *pool.bare.entry(chunk).or_default() += 1;
        assert_eq!(pool.next_full(), None);
        assert_eq!(pool.take(), pages[3]);
        assert_eq!(pool.next_full(), Some(chunk));
    }

    #[test]
    fn what_stands_in_a_chunk_is_the_same_after_it_became_a_huge_page() {
        let pages = full_chunk(&mut POOL.lock());
        for (i, page) in pages.iter().enumerate() {
            // SAFETY: the page is ours.
            unsafe { page.write_bytes(i as u8, PAGE) };
        }
        collapse_full();
        for (i, page) in pages.iter().enumerate() {
            // SAFETY: written above, in full.
            let bytes = unsafe { std::slice::from_raw_parts(page.as_ptr(), PAGE) };
            assert!(bytes.iter().all(|&b| b == i as u8));
        }
        let mut pool = POOL.lock();
        pages.into_iter().for_each(|page| pool.give(page));
    }
}
