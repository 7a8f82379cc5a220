//! The snapshot that is being read: since when, and how far. At start, clients are taken
//! in meanwhile, and told that the data is not there yet.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::clock;

/// See the head of this file. One for the process.
#[derive(Default)]
pub struct Loading {
    /// The one of the start is being read.
    is_on: AtomicBool,
    /// When it began, in Unix milliseconds.
    pub since_ms: AtomicU64,
    /// Its bytes in all; 0 where nobody knows.
    pub total_bytes: AtomicU64,
    /// Bytes that have been read.
    pub loaded_bytes: AtomicU64,
    /// Bytes of memory that it took where it was written, as it says.
    pub memory_bytes: AtomicU64,
}

impl Loading {
    /// Whether the server reads the snapshot that it starts with.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// That begins, or is over; [`Engine::guard`] is to be told.
    ///
    /// [`Engine::guard`]: super::engine::Engine::guard
    pub fn set_on(&self, on: bool) {
        self.is_on.store(on, Ordering::Release);
    }

    /// A snapshot of so many bytes is read from now on.
    pub fn begin(&self, total_bytes: u64) {
        self.since_ms.store(clock::unix_ms(), Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.loaded_bytes.store(0, Ordering::Relaxed);
        self.memory_bytes.store(0, Ordering::Relaxed);
    }

    /// Bytes read, of all, in percent, and the seconds that the rest will take at this
    /// rate; no rest where nobody knows how much there is.
    pub fn progress(&self, now_ms: u64) -> (f64, Option<u64>) {
        let get = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let loaded = get(&self.loaded_bytes);
        let all = match get(&self.total_bytes) {
            0 => get(&self.memory_bytes),
            bytes => bytes,
        };
        if all == 0 {
            return (0.0, None);
        }
        let spent_s = now_ms.saturating_sub(get(&self.since_ms)) / 1000;
        let left_s = spent_s.saturating_mul(all.saturating_sub(loaded)) / (loaded + 1);
        (loaded as f64 / all as f64 * 100.0, Some(left_s))
    }
}

/// Counts what is read of a snapshot.
pub struct Counted<'a, R> {
    source: R,
    loading: &'a Loading,
}

impl<'a, R: Read> Counted<'a, R> {
    /// What `source` gives, counted.
    pub fn new(source: R, loading: &'a Loading) -> Counted<'a, R> {
        Counted { source, loading }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        let loaded = &self.loading.loaded_bytes;
        loaded.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_of_the_file_or_of_the_memory_that_it_took() {
        let loading = Loading::default();
        assert_eq!(loading.progress(5_000), (0.0, None), "nobody knows");
        let set = |figure: &AtomicU64, n| figure.store(n, Ordering::Relaxed);
        set(&loading.memory_bytes, 400);
        set(&loading.loaded_bytes, 99);
        set(&loading.since_ms, 1_000);
        assert_eq!(loading.progress(11_000), (24.75, Some(30)));
        set(&loading.total_bytes, 199);
        assert_eq!(loading.progress(11_000).1, Some(10));
    }

    #[test]
    fn what_is_read_counts() {
        let loading = Loading::default();
        loading.begin(9);
        let mut text = String::new();
        let read = Counted::new(&b"something"[..], &loading).read_to_string(&mut text);
        assert_eq!((read.ok(), text.as_str()), (Some(9), "something"));
        assert_eq!(loading.progress(0).0, 100.0);
    }
}
