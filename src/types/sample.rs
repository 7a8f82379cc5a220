//! Fair choices among the elements of a collection, by their ranks.

use std::collections::HashSet;

use crate::base::clock;

/// Most draws with repetition: what is beyond would only fill the memory.
pub const DRAWS_MAX: u64 = 1 << 27;

/// `n` different ranks of `len` (or all of them), by rising rank; each choice of
/// so many with the same probability.
pub fn ranks(len: usize, n: usize) -> Vec<usize> {
    if n >= len {
        return (0..len).collect();
    }
    let below = |n: usize| clock::random_below(n as u64) as usize;
    if n > len / 4 {
        // Of those that are left to be looked at, so many are still wanted.
        let mut wanted = n;
        return (0..len)
            .filter(|rank| {
                let is_chosen = below(len - rank) < wanted;
                wanted -= usize::from(is_chosen);
                is_chosen
            })
            .collect();
    }
    // Robert Floyd's: whoever was chosen before makes room for the last.
    let mut chosen = HashSet::with_capacity(n);
    for last in len - n..len {
        let rank = below(last + 1);
        if !chosen.insert(rank) {
            chosen.insert(last);
        }
    }
    let mut ranks: Vec<usize> = chosen.into_iter().collect();
    ranks.sort_unstable();
    ranks
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_choice_of_ranks_is_as_likely_as_any_other() {
        clock::reseed(5);
        for (len, n, choices) in [(6, 3, 20), (9, 2, 36), (4, 1, 4), (5, 4, 5)] {
            let rounds = 2_000 * choices;
            let mut seen: BTreeMap<Vec<usize>, f64> = BTreeMap::new();
            for _ in 0..rounds {
                let ranks = ranks(len, n);
                assert!(ranks.is_sorted_by(|a, b| a < b) && ranks.len() == n);
                *seen.entry(ranks).or_default() += 1.0;
            }
            assert_eq!(seen.len(), choices);
            let chi: f64 = seen.values().map(|n| (n - 2_000.0).powi(2) / 2_000.0).sum();
            // Beyond it lies less than one in ten thousand, for 35 degrees of freedom.
            assert!(chi < 77.0, "{len} {n}: {chi}");
        }
    }

    #[test]
    fn all_ranks_are_the_most_there_are() {
        assert_eq!(ranks(3, 5), [0, 1, 2]);
        assert_eq!(ranks(3, 0), [0; 0]);
        assert_eq!(ranks(0, 2), [0; 0]);
    }
}
