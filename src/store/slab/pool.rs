//! The pages of all slabs, cut from chunks of 2 MiB, each of which is one huge page
//! where the kernel has one to give: a key that is not in the processor's caches then
//! costs one walk through the page tables less for its line, and one for its entry.
//!
//! A huge page comes all at once, which takes some tenths of a millisecond, or some
//! milliseconds where the kernel must make room for one. So [`tend`], on a thread of
//! its own, has the next chunk ready before it is needed; where it does not come after,
//! the chunk is of small pages, which come one by one as they are used. (To make those
//! huge later, by MADV_COLLAPSE, would keep whoever uses them waiting for a millisecond.)
//! Nothing here ever forks, which is what huge pages are feared for.
//!
//! **Rule that makes this sound:** a page stands once in one of the pool's lists, by
//! itself or in its chunk, or belongs to the slab that took it. Only who has taken it out
//! of the lists reads, writes or advises the kernel about it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};
use std::ptr::NonNull;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tikv_jemallocator::Jemalloc;

use crate::base::clock;

/// Bytes of a page.
pub const PAGE: usize = 16 * 1024;
/// Bytes of a chunk: of a huge page.
const CHUNK: usize = 2 << 20;
const PAGES: usize = CHUNK / PAGE;
/// For so many seconds after the last chunk was begun the next ones are kept ready.
const QUIET_MAX: u32 = 2;
/// How often is seen to what can be given back.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// The niceness of the thread that tends the pool.
const PRIORITY: libc::c_int = 19;
/// What the processor calls a page, at least.
const SMALL_PAGE: usize = 4096;

/// Free pages of the process, and how much was mapped for them.
pub struct Pool {
    free: Vec<Page>,
    /// The rest of the newest chunk.
    rest: Vec<Page>,
    /// Free ones behind which there is no physical memory any more.
    purged: Vec<Page>,
    /// Whole chunks without physical memory.
    bare: Vec<Page>,
    /// Chunks that are ready for use.
    ready: Vec<Page>,
    /// Since a chunk was last begun, how often it was asked whether one was.
    quiet: u32,
    mapped_bytes: usize,
}

/// Memory that nobody uses: a page, or the first of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Page(NonNull<u8>);

// SAFETY: nobody uses its memory; it is tied to no thread.
unsafe impl Send for Page {}

/// The process's.
pub static POOL: Mutex<Pool> = Mutex::new(Pool::new());
/// Notified when a chunk is to be made ready.
static WANTED: Condvar = Condvar::new();

impl Page {
    fn chunk(self) -> usize {
        self.0.as_ptr().addr() / CHUNK
    }

    /// Asks for one huge page behind a chunk that the caller alone has, and waits for it.
    fn make_huge(self) {
        // SAFETY: the chunk is nobody's but the caller's, and what stands in it is of no
        // interest.
        unsafe {
            libc::madvise(self.0.as_ptr().cast(), CHUNK, libc::MADV_HUGEPAGE);
            for at in (0..CHUNK).step_by(SMALL_PAGE) {
                self.0.add(at).write_volatile(0);
            }
        }
    }

    /// The pages of a chunk, the first of them last.
    fn pages(self) -> impl Iterator<Item = Page> {
        // SAFETY: a chunk has that many pages.
        (0..PAGES)
            .rev()
            .map(move |i| Page(unsafe { self.0.add(i * PAGE) }))
    }
}

impl Pool {
    const fn new() -> Pool {
        Pool {
            free: Vec::new(),
            rest: Vec::new(),
            purged: Vec::new(),
            bare: Vec::new(),
            ready: Vec::new(),
            quiet: QUIET_MAX,
            mapped_bytes: 0,
        }
    }

    /// A page for the caller alone; what stands in it is whatever it was.
    pub fn take(&mut self) -> NonNull<u8> {
        // What has memory already comes first.
        let page = self.free.pop().or_else(|| self.rest.pop());
        match page.or_else(|| self.purged.pop()) {
            Some(page) => page.0,
            None => self.begin_chunk().0,
        }
    }

    /// Takes a page back.
    pub fn give(&mut self, page: NonNull<u8>) {
        self.free.push(Page(page));
    }

    /// The first page of another chunk.
    #[cold]
    fn begin_chunk(&mut self) -> Page {
        let chunk = self.ready.pop().or_else(|| self.bare.pop());
        let chunk = chunk.unwrap_or_else(|| self.map());
        self.rest.extend(chunk.pages());
        self.quiet = 0;
        if self.ready.len() < self.wanted() {
            WANTED.notify_one();
        }
        self.rest.pop().unwrap_or(chunk)
    }

    fn map(&mut self) -> Page {
        let layout = Layout::from_size_align(CHUNK, CHUNK).expect("constants make a valid layout");
        // SAFETY: the layout is not empty. Not by way of the counting
        // allocator: see the head of `memory`.
        let chunk = unsafe { Jemalloc.alloc(layout) };
        let Some(chunk) = NonNull::new(chunk) else {
            handle_alloc_error(layout);
        };
        self.mapped_bytes += CHUNK;
        Page(chunk)
    }

    /// How many chunks should be ready: none for a few keys or while these are not growing
    /// more, and otherwise no more than what is a small part of their memory.
    fn wanted(&self) -> usize {
        match self.mapped_bytes / CHUNK {
            _ if self.quiet == QUIET_MAX => 0,
            0..4 => 0,
            4..128 => 1,
            _ => 2,
        }
    }

    /// Takes what is ready where nobody has wanted it for a while.
    fn take_unwanted(&mut self) -> Vec<Page> {
        self.quiet = (self.quiet + 1).min(QUIET_MAX);
        let mut pages = Vec::new();
        if self.quiet == QUIET_MAX {
            pages.append(&mut self.rest);
            pages.extend(self.ready.drain(..).flat_map(Page::pages));
        }
        pages
    }

    /// Takes in pages, in order, whose memory was given back.
    fn add_purged(&mut self, pages: Vec<Page>) {
        for of_chunk in pages.chunk_by(|a, b| a.chunk() == b.chunk()) {
            match of_chunk.len() == PAGES {
                true => self.bare.push(of_chunk[0]),
                false => self.purged.extend(of_chunk),
            }
        }
    }
}

/// Bytes mapped for all slabs, and how many of them lie in free pages.
pub fn pool_bytes() -> (usize, usize) {
    let pool = POOL.lock();
    let pages = pool.free.len() + pool.rest.len() + pool.purged.len();
    let chunks = pool.bare.len() + pool.ready.len();
    (pool.mapped_bytes, pages * PAGE + chunks * CHUNK)
}

/// Gives the physical memory behind free pages back to the operating system,
/// but for `kept` bytes of them.
pub fn purge_beyond(kept: usize) {
    let pages = {
        let mut pool = POOL.lock();
        let kept = (kept / PAGE).min(pool.free.len());
        pool.free.split_off(kept)
    };
    purge(pages);
}

fn purge(mut pages: Vec<Page>) {
    pages.sort_unstable();
    for run in pages.chunk_by(|a, b| a.chunk() == b.chunk() && is_next(*a, *b)) {
        let (at, bytes) = (run[0].0.as_ptr().cast(), run.len() * PAGE);
        // SAFETY: free pages' contents are of no interest to anybody.
        unsafe { libc::madvise(at, bytes, libc::MADV_DONTNEED) };
        if bytes == CHUNK {
            // Should nobody prepare it, whoever uses it is not to wait for all of it.
            // SAFETY: the advice changes nothing of what is there.
            unsafe { libc::madvise(at, bytes, libc::MADV_NOHUGEPAGE) };
        }
    }
    if !pages.is_empty() {
        POOL.lock().add_purged(pages);
    }
}

fn is_next(a: Page, b: Page) -> bool {
    a.0.as_ptr().addr() + PAGE == b.0.as_ptr().addr()
}

/// Has chunks ready, and gives back what is free beyond `kept` bytes and what is ready for
/// growth where there is none, for as long as the process runs: for a thread of its own.
/// Giving much back takes milliseconds, too.
pub fn tend(kept: usize) {
    // Whoever serves clients goes first. SAFETY: the call touches no memory of ours.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, PRIORITY) };
    let mut next_ns = clock::mono_ns() + TEND_EVERY.as_nanos() as u64;
    loop {
        let wanted = {
            let mut pool = POOL.lock();
            let is_wanted = |pool: &Pool| pool.ready.len() < pool.wanted();
            if !is_wanted(&pool) {
                WANTED.wait_for(&mut pool, TEND_EVERY);
            }
            is_wanted(&pool).then(|| pool.bare.pop().unwrap_or_else(|| pool.map()))
        };
        if let Some(chunk) = wanted {
            chunk.make_huge();
            POOL.lock().ready.push(chunk);
        }
        if clock::mono_ns() >= next_ns {
            purge_beyond(kept);
            let unwanted = POOL.lock().take_unwanted();
            purge(unwanted);
            next_ns = clock::mono_ns() + TEND_EVERY.as_nanos() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_do_not_overlap_and_come_back() {
        let mut pool = Pool::new();
        let mut pages: Vec<_> = (0..3 * PAGES).map(|_| pool.take()).collect();
        assert_eq!(pool.mapped_bytes, 3 * CHUNK);
        pages.iter().for_each(|&page| pool.give(page));
        let mut again: Vec<_> = (0..3 * PAGES).map(|_| pool.take()).collect();
        assert_eq!(pool.mapped_bytes, 3 * CHUNK);
        pages.sort_unstable();
        again.sort_unstable();
        assert_eq!(pages, again);
        assert!(
            pages
                .windows(2)
                .all(|w| w[0].addr().get() + PAGE <= w[1].addr().get())
        );
    }

    #[test]
    fn what_is_given_back_of_a_chunk_as_a_whole_can_become_huge_again() {
        let mut pool = Pool::new();
        let mut pages: Vec<_> = (0..PAGES + 2).map(|_| Page(pool.take())).collect();
        let last = pages.pop().expect("they are more");
        pages.sort_unstable();
        pool.add_purged(pages);
        assert_eq!((pool.bare.len(), pool.purged.len()), (1, 1));
        // The rest of the chunk in use comes first, then its page without memory.
        let rest: Vec<_> = (0..PAGES - 1).map(|_| Page(pool.take())).collect();
        assert!(rest.iter().all(|page| page.chunk() == last.chunk()));
        assert_ne!(Page(pool.take()).chunk(), last.chunk());
        assert_eq!((pool.bare.len(), pool.mapped_bytes), (0, 2 * CHUNK));
    }

    #[test]
    fn the_more_is_in_use_the_more_is_ready() {
        let mut pool = Pool::new();
        pool.take();
        let wanted = |pool: &mut Pool, chunks: usize| {
            pool.mapped_bytes = chunks * CHUNK;
            pool.wanted()
        };
        assert_eq!(
            [0, 3, 4, 127, 128].map(|n| wanted(&mut pool, n)),
            [0, 0, 1, 1, 2]
        );
    }

    #[test]
    fn what_is_ready_is_given_back_when_nobody_has_wanted_it_for_some_seconds() {
        let mut pool = Pool::new();
        pool.take();
        pool.mapped_bytes = 4 * CHUNK;
        let chunk = pool.map();
        pool.ready.push(chunk);
        assert!((1..QUIET_MAX).all(|_| pool.take_unwanted().is_empty()));
        let mut pages = pool.take_unwanted();
        pages.sort_unstable();
        assert_eq!((pages.len(), pool.wanted()), (2 * PAGES - 1, 0));
        pool.add_purged(pages);
        assert_eq!(pool.bare, [chunk]);
        (0..PAGES).for_each(|_| _ = pool.take());
        assert_eq!(pool.wanted(), 1, "it grows again");
    }
}
