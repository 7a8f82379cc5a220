//! The pages of all slabs, cut from chunks of 2 MiB, each of which is one huge page
//! where the kernel has one to give: a key that is not in the processor's caches then
//! costs one walk through the page tables less for its line, and one for its entry.
//!
//! A huge page comes all at once, which takes some tenths of a millisecond, or some
//! milliseconds where the kernel must make room for one; and to give much memory back
//! takes milliseconds, too. So a thread of its own, [`tend`], has the next chunk ready
//! before it is needed, and gives back what is free for long. Where no chunk is ready, one
//! of small pages is begun, which come one by one as they are used. (To make those huge
//! later, by MADV_COLLAPSE, would keep whoever uses them waiting for a millisecond.)
//! Nothing here ever forks, which is what huge pages are feared for.
//!
//! That thread goes last, so it may be kept from running for long at any point. It must
//! hold nothing then that others wait for: it never locks the pool, and what passes
//! between it and them lies in the [`Exchange`], which they only look at.
//!
//! **Rule that makes this sound:** a page stands once in one of the pool's lists or in the
//! exchange, by itself or in its chunk, or belongs to the slab or the thread that took it.
//! Only who has taken it out reads, writes or advises the kernel about it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use parking_lot::Mutex;
use tikv_jemallocator::Jemalloc;

/// Bytes of a page.
pub const PAGE: usize = 16 * 1024;
/// Bytes of a chunk: of a huge page.
const CHUNK: usize = 2 << 20;
const PAGES: usize = CHUNK / PAGE;
/// Most chunks that are ready.
const READY_MAX: usize = 2;
/// For so many seconds after the last chunk was begun the next ones are kept ready.
const QUIET_MAX: u32 = 2;
/// How long the thread that tends the pool sleeps where nobody wakes it.
const SLEEP: Duration = Duration::from_millis(250);
/// Its niceness.
const PRIORITY: libc::c_int = 19;
/// What the processor calls a page, at least.
const SMALL_PAGE: usize = 4096;

/// Free pages of the process, and how much was mapped for them.
pub struct Pool {
    exchange: &'static Exchange,
    free: Vec<Page>,
    /// The rest of the newest chunk.
    rest: Vec<Page>,
    /// Free ones behind which there is no physical memory any more.
    purged: Vec<Page>,
    /// Whole chunks without physical memory.
    bare: Vec<Page>,
    /// Pages that are being given back.
    leaving: usize,
    /// Since a chunk was last begun, how often it was asked whether one was.
    quiet: u32,
}

/// What passes between those who use the pool and the thread that tends it.
struct Exchange {
    /// Chunks that are ready for use.
    ready: [AtomicPtr<u8>; READY_MAX],
    /// How many of them there should be.
    wanted: AtomicUsize,
    /// One without physical memory, to be made ready.
    bare: AtomicPtr<u8>,
    /// Chunks that were mapped, by anybody.
    mapped: AtomicUsize,
    /// Whoever uses the pool tries to lock this, and lets it be for a while otherwise.
    unused: Mutex<Unused>,
}

/// Pages whose memory is to be given back, and those whose was.
#[derive(Default)]
struct Unused {
    leaving: Vec<Page>,
    gone: Vec<Page>,
}

/// Memory that nobody uses: a page, or the first of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Page(NonNull<u8>);

// SAFETY: nobody uses its memory; it is tied to no thread.
unsafe impl Send for Page {}

static EXCHANGE: Exchange = Exchange::new();
/// The process's.
pub static POOL: Mutex<Pool> = Mutex::new(Pool::new(&EXCHANGE));
/// Who tends it.
static TENDER: OnceLock<Thread> = OnceLock::new();

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

impl Exchange {
    const fn new() -> Exchange {
        Exchange {
            ready: [const { AtomicPtr::new(ptr::null_mut()) }; READY_MAX],
            wanted: AtomicUsize::new(0),
            bare: AtomicPtr::new(ptr::null_mut()),
            mapped: AtomicUsize::new(0),
            unused: Mutex::new(Unused {
                leaving: Vec::new(),
                gone: Vec::new(),
            }),
        }
    }

    fn map(&self) -> Page {
        let layout = Layout::from_size_align(CHUNK, CHUNK).expect("constants make a valid layout");
        // SAFETY: the layout is not empty. Not by way of the counting
        // allocator: see the head of `memory`.
        let chunk = unsafe { Jemalloc.alloc(layout) };
        let Some(chunk) = NonNull::new(chunk) else {
            handle_alloc_error(layout);
        };
        self.mapped.fetch_add(1, Ordering::Relaxed);
        Page(chunk)
    }

    fn take_ready(&self) -> Option<Page> {
        self.ready.iter().find_map(take)
    }

    fn count_ready(&self) -> usize {
        self.ready.iter().filter(|slot| is_taken(slot)).count()
    }

    /// For the thread that tends the pool: makes one more chunk ready; false where there
    /// are enough.
    fn make_ready(&self) -> bool {
        let Some(slot) = self.ready.iter().find(|slot| !is_taken(slot)) else {
            return false;
        };
        if self.count_ready() >= self.wanted.load(Ordering::Relaxed) {
            return false;
        }
        let chunk = take(&self.bare).unwrap_or_else(|| self.map());
        chunk.make_huge();
        // Nobody else fills slots.
        slot.store(chunk.0.as_ptr(), Ordering::Release);
        true
    }

    /// For the same: gives the memory of what nobody needs back.
    fn give_back(&self) {
        let leaving = std::mem::take(&mut self.unused.lock().leaving);
        if !leaving.is_empty() {
            let gone = purge(leaving);
            self.unused.lock().gone.extend(gone);
        }
    }
}

/// Takes what is in a slot.
fn take(slot: &AtomicPtr<u8>) -> Option<Page> {
    if !is_taken(slot) {
        return None;
    }
    NonNull::new(slot.swap(ptr::null_mut(), Ordering::Acquire)).map(Page)
}

fn is_taken(slot: &AtomicPtr<u8>) -> bool {
    !slot.load(Ordering::Relaxed).is_null()
}

impl Pool {
    const fn new(exchange: &'static Exchange) -> Pool {
        Pool {
            exchange,
            free: Vec::new(),
            rest: Vec::new(),
            purged: Vec::new(),
            bare: Vec::new(),
            leaving: 0,
            quiet: QUIET_MAX,
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
        let chunk = self.exchange.take_ready().or_else(|| self.bare.pop());
        let chunk = chunk.unwrap_or_else(|| self.exchange.map());
        self.rest.extend(chunk.pages());
        self.quiet = 0;
        self.ask_for_more();
        self.rest.pop().unwrap_or(chunk)
    }

    fn ask_for_more(&mut self) {
        let exchange = self.exchange;
        let wanted = self.wanted();
        exchange.wanted.store(wanted, Ordering::Relaxed);
        if exchange.count_ready() >= wanted {
            return;
        }
        if !is_taken(&exchange.bare)
            && let Some(bare) = self.bare.pop()
        {
            // Nobody fills it but who holds the pool.
            exchange.bare.store(bare.0.as_ptr(), Ordering::Release);
        }
        if let Some(tender) = TENDER.get() {
            tender.unpark();
        }
    }

    /// How many chunks should be ready: none for a few keys or while these are not growing
    /// more, and otherwise no more than what is a small part of their memory.
    fn wanted(&self) -> usize {
        match self.exchange.mapped.load(Ordering::Relaxed) {
            _ if self.quiet == QUIET_MAX => 0,
            0..4 => 0,
            4..128 => 1,
            _ => READY_MAX,
        }
    }

    /// Free pages beyond `kept` bytes.
    fn take_free(&mut self, kept: usize) -> Vec<Page> {
        let kept = (kept / PAGE).min(self.free.len());
        self.free.split_off(kept)
    }

    /// What is ready where nobody has wanted it for a while.
    fn take_unwanted(&mut self) -> Vec<Page> {
        self.quiet = (self.quiet + 1).min(QUIET_MAX);
        let mut pages = Vec::new();
        if self.quiet == QUIET_MAX {
            self.exchange.wanted.store(0, Ordering::Relaxed);
            pages.append(&mut self.rest);
            while let Some(chunk) = self.exchange.take_ready() {
                pages.extend(chunk.pages());
            }
        }
        pages
    }

    /// Has given back what is free beyond `kept` bytes and what is ready in vain, and takes
    /// in what was given back since.
    fn exchange_unused(&mut self, kept: usize) {
        let Some(mut unused) = self.exchange.unused.try_lock() else {
            return;
        };
        let gone = std::mem::take(&mut unused.gone);
        self.leaving -= gone.len();
        self.add_purged(gone);
        let mut leaving = self.take_free(kept);
        leaving.append(&mut self.take_unwanted());
        self.leaving += leaving.len();
        unused.leaving.append(&mut leaving);
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
    let pages = pool.free.len() + pool.rest.len() + pool.purged.len() + pool.leaving;
    let handed = EXCHANGE.count_ready() + usize::from(is_taken(&EXCHANGE.bare));
    let free = pages * PAGE + (pool.bare.len() + handed) * CHUNK;
    let mapped = EXCHANGE.mapped.load(Ordering::Relaxed) * CHUNK;
    (mapped, free.min(mapped))
}

/// Gives the physical memory behind free pages back to the operating system,
/// but for `kept` bytes of them, at once.
pub fn purge_beyond(kept: usize) {
    let pages = POOL.lock().take_free(kept);
    if !pages.is_empty() {
        let gone = purge(pages);
        POOL.lock().add_purged(gone);
    }
}

/// Has what is free beyond `kept` bytes, and what is ready for growth where there is none,
/// given back soon; to be called once a second.
pub fn release_unused(kept: usize) {
    POOL.lock().exchange_unused(kept);
    if let Some(tender) = TENDER.get() {
        tender.unpark();
    }
}

/// Gives the memory behind pages back; they come back in order.
fn purge(mut pages: Vec<Page>) -> Vec<Page> {
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
    pages
}

fn is_next(a: Page, b: Page) -> bool {
    a.0.as_ptr().addr() + PAGE == b.0.as_ptr().addr()
}

/// Has chunks ready, and gives back what nobody needs, for as long as the process runs:
/// for a thread of its own.
pub fn tend() {
    // Whoever serves clients goes first. SAFETY: the call touches no memory of ours.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, PRIORITY) };
    let _ = TENDER.set(thread::current());
    loop {
        while EXCHANGE.make_ready() {}
        EXCHANGE.give_back();
        thread::park_timeout(SLEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool::new(Box::leak(Box::new(Exchange::new())))
    }

    fn mapped(pool: &Pool) -> usize {
        pool.exchange.mapped.load(Ordering::Relaxed)
    }

    #[test]
    fn pages_do_not_overlap_and_come_back() {
        let mut pool = pool();
        let mut pages: Vec<_> = (0..3 * PAGES).map(|_| pool.take()).collect();
        assert_eq!(mapped(&pool), 3);
        pages.iter().for_each(|&page| pool.give(page));
        let mut again: Vec<_> = (0..3 * PAGES).map(|_| pool.take()).collect();
        assert_eq!(mapped(&pool), 3);
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
        let mut pool = pool();
        let mut pages: Vec<_> = (0..PAGES + 2).map(|_| Page(pool.take())).collect();
        let last = pages.pop().expect("they are more");
        pages.sort_unstable();
        pool.add_purged(pages);
        assert_eq!((pool.bare.len(), pool.purged.len()), (1, 1));
        // The rest of the chunk in use comes first, then its page without memory.
        let rest: Vec<_> = (0..PAGES - 1).map(|_| Page(pool.take())).collect();
        assert!(rest.iter().all(|page| page.chunk() == last.chunk()));
        assert_ne!(Page(pool.take()).chunk(), last.chunk());
        assert_eq!((pool.bare.len(), mapped(&pool)), (0, 2));
    }

    #[test]
    fn the_more_is_in_use_the_more_is_ready() {
        let mut pool = pool();
        pool.take();
        let wanted = |pool: &mut Pool, chunks: usize| {
            pool.exchange.mapped.store(chunks, Ordering::Relaxed);
            pool.wanted()
        };
        assert_eq!(
            [0, 3, 4, 127, 128].map(|n| wanted(&mut pool, n)),
            [0, 0, 1, 1, 2]
        );
    }

    #[test]
    fn what_is_ready_is_given_back_when_nobody_has_wanted_it_for_some_seconds() {
        let mut pool = pool();
        let exchange = pool.exchange;
        assert!(!exchange.make_ready(), "nobody wants it");
        let pages: Vec<_> = (0..3 * PAGES + 1).map(|_| pool.take()).collect();
        assert!(
            exchange.make_ready() && !exchange.make_ready(),
            "one is enough"
        );
        assert_eq!((mapped(&pool), exchange.count_ready()), (5, 1));
        for _ in 1..QUIET_MAX {
            pool.exchange_unused(0);
            exchange.give_back();
            assert_eq!((pool.leaving, exchange.count_ready()), (0, 1));
        }
        pool.exchange_unused(0);
        assert_eq!((pool.leaving, exchange.count_ready()), (2 * PAGES - 1, 0));
        assert!(!exchange.make_ready(), "nobody wants it any more");
        exchange.give_back();
        pool.exchange_unused(0);
        let (bare, purged) = (pool.bare.len(), pool.purged.len());
        assert_eq!((pool.leaving, bare, purged), (0, 1, PAGES - 1));
        (0..PAGES).for_each(|_| _ = pool.take());
        assert_eq!((pool.wanted(), pool.bare.len()), (1, 0), "it grows again");
        assert_eq!(mapped(&pool), 5);
        drop(pages);
    }

    #[test]
    fn a_bare_chunk_is_made_ready_before_another_is_mapped() {
        let mut pool = pool();
        let pages: Vec<_> = (0..6 * PAGES).map(|_| Page(pool.take())).collect();
        let mut chunks: Vec<_> = pages.chunks(PAGES).map(<[Page]>::to_vec).collect();
        for chunk in &mut chunks[..2] {
            chunk.sort_unstable();
            pool.add_purged(chunk.clone());
        }
        assert_eq!(pool.bare.len(), 2);
        pool.take();
        // One was begun, and the other one handed over.
        assert_eq!(pool.bare.len(), 0);
        assert!(pool.exchange.make_ready());
        assert_eq!((mapped(&pool), pool.exchange.count_ready()), (6, 1));
    }
}
