//! How many nodes Valkey's radix tree would have for a stream: XINFO tells.

use super::Id;

/// The number of nodes of a radix tree, with runs of bytes compressed into one
/// node, over the 16 bytes of ids that come in rising order.
///
/// The tree has a leaf for each id, a node for each place where ids part, and
/// one for each run of bytes that no parting interrupts; the byte that leads
/// away from a parting is in the parting's node.
pub fn nodes(ids: impl Iterator<Item = Id>) -> usize {
    let mut nodes = 0;
    // The depths at which the last id parts from others, from the root down,
    // each with the leading byte of it counted as taken.
    let mut partings: Vec<usize> = Vec::new();
    let mut last: Option<[u8; 16]> = None;
    let run = |from: usize, to: usize| usize::from(to > from);
    for id in ids {
        let bytes = id.to_bytes();
        if let Some(last) = last {
            let depth = (0..16).find(|&i| last[i] != bytes[i]).unwrap_or(16);
            // What lies below the new parting is done with.
            let mut below = 16;
            while let Some(parting) = partings.pop_if(|parting| *parting > depth) {
                nodes += run(parting + 1, below);
                below = parting;
            }
            if partings.last() != Some(&depth) {
                nodes += 1;
                partings.push(depth);
            }
            nodes += run(depth + 1, below);
        }
        nodes += 1;
        last = Some(bytes);
    }
    let Some(_) = last else {
        return 1; // the root
    };
    let mut below = 16;
    while let Some(parting) = partings.pop() {
        nodes += run(parting + 1, below);
        below = parting;
    }
    nodes + run(0, below)
}
