//! Where an entry stands in its table.

/// Where an entry stands; good until the table next gains or loses an entry, or
/// is exchanged for another. A debug build notices who uses it later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub(super) segment: u32,
    pub(super) line: u8,
    pub(super) slot: u8,
    #[cfg(debug_assertions)]
    generation: Generation,
}

/// Counts the entries that came to and went from a table, in debug builds alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Generation {
    #[cfg(debug_assertions)]
    number: u64,
}

impl Generation {
    /// From now on places that were found before are stale.
    #[inline]
    pub(super) fn advance(&mut self) {
        #[cfg(debug_assertions)]
        {
            self.number += 1;
        }
    }
}

impl Place {
    #[inline]
    pub(super) fn new(segment: usize, line: usize, slot: usize, now: Generation) -> Place {
        #[cfg(not(debug_assertions))]
        let _ = now;
        Place {
            segment: segment as u32,
            line: line as u8,
            slot: slot as u8,
            #[cfg(debug_assertions)]
            generation: now,
        }
    }

    /// Panics in debug builds where the place is stale.
    #[inline]
    pub(super) fn check(self, now: Generation) {
        #[cfg(debug_assertions)]
        assert!(
            self.generation == now,
            "a place was used after its table gained or lost an entry"
        );
        #[cfg(not(debug_assertions))]
        let _ = now;
    }
}
