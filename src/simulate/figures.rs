//! What a run counts: in all, and over virtual time.

/// Pieces that a run's time is cut into, for the picture.
pub const PIECES: usize = 120;

/// Counts of a run, or of a piece of it.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Reads of the application.
    pub reads: u64,
    /// Those that the cache answered, null hits among them.
    pub hits: u64,
    /// Those that it answered with "there is none".
    pub null_hits: u64,
    /// Those that it answered with what the origin does not hold any more.
    pub stale: u64,
    /// Times that the application asked the origin.
    pub loads: u64,
    /// Those while another load of the same key was under way.
    pub duplicates: u64,
    /// Those for which the origin had nothing.
    pub null_loads: u64,
    /// Bytes of values that came from the origin.
    pub origin_bytes: u64,
    /// Writes and deletions by the application.
    pub writes: u64,
    /// Values that the cache refused since memory was full.
    pub refused: u64,
    /// Other errors.
    pub errors: u64,
    /// The most bytes in use.
    pub bytes_max: u64,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The variant's name.
    pub name: String,
    /// In all.
    pub total: Counts,
    /// Over time: [`PIECES`] of equal length.
    pub pieces: Vec<Counts>,
    /// Keys that went to make room.
    pub evicted: u64,
    /// Keys that went since their time was over.
    pub expired: u64,
    /// Keys at the end.
    pub keys: u64,
    /// Bytes in use at the end.
    pub bytes: u64,
    /// The first error that was answered.
    pub error: Option<String>,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.reads += other.reads;
        self.hits += other.hits;
        self.null_hits += other.null_hits;
        self.stale += other.stale;
        self.loads += other.loads;
        self.duplicates += other.duplicates;
        self.null_loads += other.null_loads;
        self.origin_bytes += other.origin_bytes;
        self.writes += other.writes;
        self.refused += other.refused;
        self.errors += other.errors;
        self.bytes_max = self.bytes_max.max(other.bytes_max);
    }

    /// The share of reads that the cache answered; 0 without reads.
    pub fn hit_ratio(&self) -> f64 {
        share(self.hits, self.reads)
    }

    /// The share of reads that were stale.
    pub fn stale_share(&self) -> f64 {
        share(self.stale, self.reads)
    }
}

/// A part of a whole, from 0 to 1.
fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

/// Counts for the moment at hand, and moves on with time.
pub struct Meter {
    pieces: Vec<Counts>,
    /// The piece at hand, which is not in `pieces` yet.
    pub now: Counts,
    /// Bytes in use, as far as is known.
    bytes: u64,
    piece_us: u64,
    until_us: u64,
}

impl Meter {
    /// For a run of so long.
    pub fn new(span_us: u64) -> Meter {
        let piece_us = span_us.div_ceil(PIECES as u64).max(1);
        Meter {
            pieces: Vec::with_capacity(PIECES),
            now: Counts::default(),
            bytes: 0,
            piece_us,
            until_us: piece_us,
        }
    }

    /// Time has come so far. What is later than the end counts to the last piece.
    #[inline]
    pub fn advance(&mut self, now_us: u64) {
        while now_us > self.until_us && self.pieces.len() + 1 < PIECES {
            // What lies in the cache goes on lying there.
            let next = Counts {
                bytes_max: self.bytes,
                ..Counts::default()
            };
            self.pieces.push(std::mem::replace(&mut self.now, next));
            self.until_us += self.piece_us;
        }
    }

    /// So many bytes are in use.
    pub fn note_bytes(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.now.bytes_max = self.now.bytes_max.max(bytes);
    }

    /// The counts in all, and by piece.
    pub fn finish(mut self) -> (Counts, Vec<Counts>) {
        self.pieces.push(self.now);
        self.pieces.resize(PIECES, Counts::default());
        let mut total = Counts::default();
        self.pieces.iter().for_each(|piece| total.add(piece));
        (total, self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_counted_where_it_happens_and_in_all() {
        let mut meter = Meter::new(1200);
        for (now_us, bytes) in [(1, 5), (10, 7), (11, 3), (1200, 4), (1300, 0)] {
            meter.advance(now_us);
            meter.now.reads += 1;
            meter.note_bytes(bytes);
        }
        let (total, pieces) = meter.finish();
        assert_eq!((total.reads, total.bytes_max), (5, 7));
        let bytes: Vec<u64> = pieces.iter().take(3).map(|p| p.bytes_max).collect();
        assert_eq!(bytes, [7, 7, 3], "what lay there went on lying there");
        let reads: Vec<u64> = pieces.iter().map(|p| p.reads).collect();
        assert_eq!(
            (reads[0], reads[1], reads[119], reads.len()),
            (2, 1, 2, PIECES)
        );
    }
}
