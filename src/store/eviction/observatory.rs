//! What Larder's eviction policy learns from: a sample of the keys, resident or not,
//! and at which age each class of them is used again.
//!
//! A key's uses are noted as `back[class][age]`; a key forgotten for want of room as
//! `lost`. A lesson makes of them, for each class, the chance to be used at each age
//! (`hazard`), and of that the index (`gittins`) by which `learned` evicts:
//!
//! ```text
//!   hits H    ________ ○      The index at an age is the steepest slope from its
//!    │      ○´                point to any later one: here, at ●, to the first ○,
//!    │     /                  where the hits that it is worth waiting for are had.
//!    │ ●__●                   After that, the class has little more to give.
//!    └───────────── time T
//! ```

use super::learned::{CLASSES, NEAR, Now, Record, log_steps};

/// Age buckets: the near one, then four to an octave.
pub(super) const AGES: usize = 64;
const _: () = assert!(AGES == 4 * 16, "16 octaves of age, the last one cut short");
/// How many keys are remembered for each resident that is followed, in sets of `WAYS`.
/// Small caches get `SETS_MIN`: as many keys as the ghosts of 64 shards hold at least.
/// The two must reach about as far back, or a key is of one class here and of another
/// in the cache (five points in small caches).
const REACH: usize = 4;
const WAYS: usize = 8;
const SETS_MIN: usize = 64;
/// Lessons in the time of as many sampled uses as there are followed residents …
const LESSONS: usize = 2;
/// … but no lesson from fewer uses than these.
const LESSON_MIN: usize = 64;
/// What a lesson leaves of the counts before it: half of them after two turns.
const KEEP: f32 = 0.85;
/// How many keys' weight the hazard of all classes has in that of one.
const PRIOR: f32 = 8.0;

/// The bucket that an age in ticks falls into.
pub(super) fn bucket(age: u32) -> usize {
    if age < NEAR {
        0
    } else {
        (1 + log_steps::<2>(age) as usize).min(AGES - 1)
    }
}

/// The ticks at which a bucket begins.
fn bucket_start(bucket: usize) -> f32 {
    let Some(steps) = bucket.checked_sub(1) else {
        return 0.0;
    };
    ((4 + steps as u64 % 4) << (steps / 4)) as f32 * (NEAR as f32 / 4.0)
}

pub(super) type Table = [[f32; AGES]; CLASSES];
const EMPTY: Table = [[0.0; AGES]; CLASSES];

/// The sampled keys' records, also of keys that the cache no longer holds: sets of
/// eight, the last used first, so that a set's last is what is forgotten.
pub(super) struct Observatory {
    keys: Vec<[Option<(u32, Record)>; WAYS]>,
    /// How many keys of each class came back at each age, and how many were given up.
    back: Table,
    lost: Table,
    unlearned: usize,
    /// After how many uses there is a lesson.
    lesson: usize,
}

impl Default for Observatory {
    fn default() -> Self {
        Self {
            keys: vec![],
            back: EMPTY,
            lost: EMPTY,
            unlearned: 0,
            lesson: 0,
        }
    }
}

impl Observatory {
    /// Fits the memory to the followed residents, and drops the keys that are followed no more.
    pub(super) fn resize(&mut self, residents: usize, mask: u32) {
        self.lesson = (residents / LESSONS).max(LESSON_MIN);
        let fresh = vec![[None; WAYS]; (residents * REACH / WAYS).max(SETS_MIN)];
        let old = std::mem::replace(&mut self.keys, fresh);
        // The newest of each set first, so that they find room.
        for way in 0..WAYS {
            for &(digest, record) in old.iter().filter_map(|set| set[way].as_ref()) {
                let at = self.set_of(digest);
                if let Some(free) = self.keys[at].iter_mut().find(|k| k.is_none())
                    && digest & mask == 0
                {
                    *free = Some((digest, record));
                }
            }
        }
    }

    pub(super) fn lesson_is_due(&self) -> bool {
        self.unlearned >= self.lesson
    }

    /// The heap that it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.keys)
    }

    fn set_of(&self, digest: u32) -> usize {
        let spread = digest.wrapping_mul(0x9E37_79B1);
        ((u64::from(spread) * self.keys.len() as u64) >> 32) as usize
    }

    /// Notes a use of a key.
    pub(super) fn note(&mut self, digest: u64, now: Now) {
        let digest = digest as u32;
        let at = self.set_of(digest);
        let set = &mut self.keys[at];
        let way = set
            .iter()
            .position(|k| k.is_none_or(|(d, _)| d == digest))
            .unwrap_or(WAYS - 1);
        let record = match set[way] {
            Some((d, r)) if d == digest => {
                self.back[r.class()][bucket(r.age(now))] += 1.0;
                r.on_hit(now)
            }
            Some((_, forgotten)) => {
                self.lost[forgotten.class()][bucket(forgotten.age(now))] += 1.0;
                Record::on_insert(None, now)
            }
            None => Record::on_insert(None, now),
        };
        set[..=way].rotate_right(1);
        set[0] = Some((digest, record));
        self.unlearned += 1;
    }

    /// The index of each class and age; then forgets a part of what it rests on.
    pub(super) fn learn(&mut self, now: Now) -> Table {
        // Those still waiting bear witness up to their age (Kaplan and Meier, 1958).
        let mut waiting = EMPTY;
        for (_, r) in self.keys.iter().flatten().flatten() {
            waiting[r.class()][bucket(r.age(now))] += 1.0;
        }
        let sum = |t: &Table| std::array::from_fn(|a| t.iter().map(|row| row[a]).sum());
        // With no evidence a key comes back in each quarter octave alike, which is LRU.
        let of_all = hazard(
            &sum(&self.back),
            &sum(&self.lost),
            &sum(&waiting),
            &[0.1; AGES],
        );
        let learned = std::array::from_fn(|c| {
            gittins(&hazard(&self.back[c], &self.lost[c], &waiting[c], &of_all))
        });
        for count in self.back.iter_mut().chain(&mut self.lost).flatten() {
            *count *= KEEP;
        }
        self.unlearned = 0;
        learned
    }
}

/// The chance to be used at each age, if not before; `prior` counts as much as `PRIOR` keys.
fn hazard(
    back: &[f32; AGES],
    lost: &[f32; AGES],
    waiting: &[f32; AGES],
    prior: &[f32; AGES],
) -> [f32; AGES] {
    let mut hazard = [0.0; AGES];
    let mut older = 0.0;
    for a in (0..AGES).rev() {
        let at_risk = older + back[a] + lost[a] + waiting[a] / 2.0;
        hazard[a] = (back[a] + PRIOR * prior[a]) / (at_risk + PRIOR);
        older += back[a] + lost[a] + waiting[a];
    }
    hazard
}

/// For each age, the most hits per tick that can be had by staying on for any time.
///
/// With hits H and time T summed up over all ages, this is the steepest slope from the
/// age's point (T, H) to a later one: the tangent to the upper hull of what lies behind.
fn gittins(hazard: &[f32; AGES]) -> [f32; AGES] {
    let mut points = [(0.0f64, 0.0f64); AGES];
    let mut alive = 1.0;
    for a in 0..AGES - 1 {
        let width = f64::from(bucket_start(a + 1) - bucket_start(a));
        let hit = alive * f64::from(hazard[a]);
        points[a + 1] = (points[a].0 + (alive - hit / 2.0) * width, points[a].1 + hit);
        alive -= hit;
    }
    let slope = |a: (f64, f64), b: (f64, f64)| (b.1 - a.1) / (b.0 - a.0).max(f64::MIN_POSITIVE);
    let mut index = [0.0; AGES];
    let mut hull = [AGES - 1; AGES];
    let mut top = 0;
    for a in (0..AGES - 1).rev() {
        while top > 0
            && slope(points[a], points[hull[top]])
                <= slope(points[hull[top]], points[hull[top - 1]])
        {
            top -= 1;
        }
        index[a] = slope(points[a], points[hull[top]]) as f32;
        top += 1;
        hull[top] = a;
    }
    index[AGES - 1] = index[AGES - 2] * 0.9;
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_begins_where_its_ages_begin() {
        for age in 0..100_000 {
            let b = bucket(age);
            assert!(
                bucket_start(b) <= age as f32 && (age as f32) < bucket_start(b + 1),
                "{age}"
            );
        }
    }

    #[test]
    fn the_index_is_the_best_slope_of_all() {
        let hazard: [f32; AGES] = std::array::from_fn(|a| [0.02, 0.3, 0.0, 0.11, 0.07][a * a % 5]);
        let index = gittins(&hazard);
        for (a, got) in index.into_iter().enumerate().take(AGES - 1) {
            let (mut alive, mut hits, mut time, mut best) = (1.0, 0.0, 0.0, 0.0f32);
            for (b, hazard) in hazard.into_iter().enumerate().take(AGES - 1).skip(a) {
                time += alive * (1.0 - hazard / 2.0) * (bucket_start(b + 1) - bucket_start(b));
                hits += alive * hazard;
                alive *= 1.0 - hazard;
                best = best.max(hits / time);
            }
            assert!((got / best - 1.0).abs() < 1e-3, "{a}: {got} {best}");
        }
    }
}
