//! Frees what takes long on a thread of its own, so that nobody waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::store::garbage::Garbage;
use crate::store::slab;
use crate::store::table::Table;

/// What waits to be freed: its values, and how many there are.
type Load = (Box<dyn Send>, u64);

/// See the head of this file.
#[derive(Default)]
pub struct Reclaimer {
    thread: OnceLock<Option<Sender<Load>>>,
    counts: Arc<Counts>,
}

/// What INFO tells of it.
#[derive(Default)]
pub struct Counts {
    /// Values that wait to be freed.
    pub pending: AtomicU64,
    /// Values that were freed so.
    pub freed: AtomicU64,
}

impl Reclaimer {
    /// What waits, and what was freed.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Frees values: here, or `later`.
    #[inline]
    pub fn free(&self, garbage: Garbage, later: bool) {
        if !garbage.is_empty() {
            self.free_some(garbage.len() as u64, garbage, later);
        }
    }

    /// Frees whole tables: here, or `later`.
    pub fn free_tables(&self, tables: Vec<Box<Table>>, later: bool) {
        let entries = tables.iter().map(|t| t.len() as u64).sum();
        self.free_some(entries, Tables(tables), later);
    }

    #[cold]
    fn free_some(&self, count: u64, load: impl Send + 'static, later: bool) {
        let thread = later.then(|| self.thread.get_or_init(|| start(self.counts.clone())));
        if let Some(Some(sender)) = thread {
            self.counts.pending.fetch_add(count, Ordering::Relaxed);
            // It lives as long as the process.
            if sender.send((Box::new(load), count)).is_err() {
                self.counts.pending.fetch_sub(count, Ordering::Relaxed);
            }
        }
    }
}

/// Tables that go with their pages.
#[expect(clippy::vec_box, reason = "as the shards gave them up")]
struct Tables(Vec<Box<Table>>);

impl Drop for Tables {
    fn drop(&mut self) {
        self.0.clear();
        slab::purge_beyond(0);
    }
}

/// Without a thread to be had, everything is freed where it falls.
fn start(counts: Arc<Counts>) -> Option<Sender<Load>> {
    let (sender, receiver) = channel::<Load>();
    let run = move || {
        while let Ok((load, count)) = receiver.recv() {
            drop(load);
            counts.pending.fetch_sub(count, Ordering::Relaxed);
            counts.freed.fetch_add(count, Ordering::Relaxed);
        }
    };
    let thread = thread::Builder::new().name("reclaim".into()).spawn(run);
    thread.is_ok().then_some(sender)
}
