//! Parameters whose value is more than one number or text.
//!
//! Each has its type, a reader over the words of a line, and the text that
//! CONFIG GET shows, which the reader takes back.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kind::Reason;
use crate::base::{num, units};

/// When a snapshot is taken: so many changes within so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot; at least 1.
    pub seconds: i64,
    /// Changes since the last snapshot.
    pub changes: i64,
}

/// The classes of clients that have an output limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    /// A client that is none of the others.
    Normal,
    /// A follower of this server.
    Replica,
    /// A client with at least one subscription.
    PubSub,
}

/// What a client may owe before it is dropped; 0 stands for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes at which the client is dropped at once.
    pub hard_bytes: u64,
    /// Bytes at which it is dropped after `soft_seconds` above them.
    pub soft_bytes: u64,
    /// Seconds that the soft limit may be exceeded without a break.
    pub soft_seconds: i64,
}

/// The output limit of every class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits([OutputLimit; 3]);

/// What the kernel's out-of-memory killer is told of the server as a primary, as
/// a replica, and of its background children; each from -2000 to 2000.
pub type OomScores = [i32; 3];

/// The server that this one follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Name or address.
    pub host: Arc<[u8]>,
    /// TCP port.
    pub port: u16,
}

const CLASSES: [ClientClass; 3] = [
    ClientClass::Normal,
    ClientClass::Replica,
    ClientClass::PubSub,
];

/// Most addresses that `bind` takes.
const ADDRESSES_MAX: usize = 16;

impl ClientClass {
    fn parse(word: &[u8]) -> Option<ClientClass> {
        let names: [(&[u8], ClientClass); 4] = [
            (b"normal", ClientClass::Normal),
            (b"slave", ClientClass::Replica),
            (b"replica", ClientClass::Replica),
            (b"pubsub", ClientClass::PubSub),
        ];
        let known = |(name, _): &&(&[u8], ClientClass)| word.eq_ignore_ascii_case(name);
        names.iter().find(known).map(|(_, class)| *class)
    }

    /// The name in a file; CONFIG GET still says `slave`, as Valkey does.
    fn name(self) -> &'static str {
        match self {
            ClientClass::Normal => "normal",
            ClientClass::Replica => "replica",
            ClientClass::PubSub => "pubsub",
        }
    }
}

impl OutputLimits {
    /// The limit of one class.
    pub fn of(&self, class: ClientClass) -> OutputLimit {
        self.0[class as usize]
    }

    /// All classes with their limits.
    pub(super) fn each(&self) -> [(ClientClass, OutputLimit); 3] {
        array::from_fn(|i| (CLASSES[i], self.0[i]))
    }
}

impl OutputLimit {
    /// Whether a client that owes `bytes` is to be dropped. `over_soft_since_ms`
    /// is kept for the client: since when it exceeds the soft limit, or 0.
    pub fn is_broken(&self, bytes: u64, over_soft_since_ms: &AtomicU64, now_ms: u64) -> bool {
        if self.hard_bytes > 0 && bytes >= self.hard_bytes {
            return true;
        }
        if self.soft_bytes == 0 || bytes < self.soft_bytes {
            over_soft_since_ms.store(0, Ordering::Relaxed);
            return false;
        }
        match over_soft_since_ms.load(Ordering::Relaxed) {
            0 => {
                over_soft_since_ms.store(now_ms, Ordering::Relaxed);
                false
            }
            // In whole seconds, as Valkey counts.
            since => (now_ms / 1000).saturating_sub(since / 1000) as i64 > self.soft_seconds,
        }
    }

    /// The words that set the limit in a config file.
    pub(super) fn written(&self, class: ClientClass) -> String {
        format!(
            "{} {} {} {}",
            class.name(),
            units::show_bytes(self.hard_bytes),
            units::show_bytes(self.soft_bytes),
            self.soft_seconds
        )
    }
}

impl Primary {
    /// `host port`.
    pub(super) fn show(&self) -> Vec<u8> {
        [
            &self.host,
            b" ".as_slice(),
            self.port.to_string().as_bytes(),
        ]
        .concat()
    }
}

/// Reads `seconds changes` pairs, which add to those of `base`; a single empty
/// word drops them all.
pub(super) fn read_save(words: &[&[u8]], base: &[SavePoint]) -> Result<Vec<SavePoint>, Reason> {
    const REASON: Reason = Reason::Borrowed("Invalid save parameters");
    if words == [b""] {
        return Ok(Vec::new());
    }
    let (pairs, []) = words.as_chunks() else {
        return Err(REASON);
    };
    let mut points = base.to_vec();
    for [seconds, changes] in pairs {
        let seconds = num::parse_i64(seconds).filter(|n| *n >= 1).ok_or(REASON)?;
        let changes = num::parse_i64(changes).filter(|n| *n >= 0).ok_or(REASON)?;
        points.push(SavePoint { seconds, changes });
    }
    Ok(points)
}

pub(super) fn show_save(points: &[SavePoint]) -> String {
    let pair = |p: &SavePoint| format!("{} {}", p.seconds, p.changes);
    points.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// Reads `class hard soft soft-seconds` groups; a class that is not named keeps
/// the limit that it has in `limits`.
pub(super) fn read_output_limits(
    words: &[&[u8]],
    mut limits: OutputLimits,
) -> Result<OutputLimits, Reason> {
    let (groups, []) = words.as_chunks() else {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    };
    for [class, hard, soft, seconds] in groups {
        let class = ClientClass::parse(class)
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        let seconds = num::parse_i64(seconds).filter(|n| (0..=i32::MAX.into()).contains(n));
        let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) =
            (units::parse_bytes(hard), units::parse_bytes(soft), seconds)
        else {
            return Err(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.".into(),
            );
        };
        limits.0[class as usize] = OutputLimit {
            hard_bytes,
            soft_bytes,
            soft_seconds,
        };
    }
    Ok(limits)
}

pub(super) fn show_output_limits(limits: &OutputLimits) -> String {
    let names = ["normal", "slave", "pubsub"];
    let groups: [String; 3] = array::from_fn(|i| {
        let limit = limits.0[i];
        format!(
            "{} {} {} {}",
            names[i], limit.hard_bytes, limit.soft_bytes, limit.soft_seconds
        )
    });
    groups.join(" ")
}

/// Reads up to 16 addresses; a single empty word stands for none.
pub(super) fn read_addresses(words: &[&[u8]]) -> Result<Vec<Arc<[u8]>>, Reason> {
    if words.len() > ADDRESSES_MAX {
        return Err("Too many bind addresses specified.".into());
    }
    if words == [b""] {
        return Ok(Vec::new());
    }
    Ok(words.iter().map(|&word| word.into()).collect())
}

pub(super) fn read_oom_scores(words: &[&[u8]]) -> Result<OomScores, Reason> {
    if words.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let mut scores = OomScores::default();
    for (score, word) in scores.iter_mut().zip(words) {
        *score = num::parse_i64(word)
            .and_then(|n| i32::try_from(n).ok())
            .filter(|n| (-2000..=2000).contains(n))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    }
    Ok(scores)
}

/// Reads `host port`, or `no one`; no words at all are the default, no one.
pub(super) fn read_primary(words: &[&[u8]]) -> Result<Option<Primary>, Reason> {
    let [host, port] = words else {
        return match words {
            [] => Ok(None),
            _ => Err("wrong number of arguments".into()),
        };
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(None);
    }
    let port = num::parse_u64(port)
        .and_then(|n| u16::try_from(n).ok())
        .ok_or("Invalid primary port")?;
    let host = (*host).into();
    Ok(Some(Primary { host, port }))
}

/// Reads percentiles from 0 to 100; a single empty word stands for none.
pub(super) fn read_percentiles(words: &[&[u8]]) -> Result<Vec<f64>, Reason> {
    if words == [b""] {
        return Ok(Vec::new());
    }
    let read = |word: &&[u8]| {
        let n =
            num::parse_f64(word).ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&n) {
            return Err(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                    .into(),
            );
        }
        Ok(n)
    };
    words.iter().map(read).collect()
}

/// Six decimals at most, without the zeros at the end.
pub(super) fn show_percentiles(all: &[f64]) -> String {
    let show = |n: &f64| {
        let text = format!("{n:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    all.iter().map(show).collect::<Vec<_>>().join(" ")
}

/// The letters of `notify-keyspace-events` in the order in which they are shown,
/// with the bits that Valkey's modules know them by.
const EVENTS: [(char, u32); 14] = [
    ('g', 1 << 2),
    ('$', 1 << 3),
    ('l', 1 << 4),
    ('s', 1 << 5),
    ('h', 1 << 6),
    ('z', 1 << 7),
    ('x', 1 << 8),
    ('e', 1 << 9),
    ('t', 1 << 10),
    ('d', 1 << 13),
    ('n', 1 << 14),
    ('K', 1 << 0),
    ('E', 1 << 1),
    ('m', 1 << 11),
];

/// What `A` stands for: the first ten letters.
const EVENTS_ALL: u32 = 0b10_0111_1111_1100;

/// The bit of a letter of `notify-keyspace-events`; none where it is not one.
pub fn event_bit(letter: char) -> u32 {
    let known = EVENTS.iter().find(|(known, _)| *known == letter);
    known.map_or(0, |(_, bit)| *bit)
}

/// Reads letters of [`EVENTS`], and `A` for the most usual ones.
pub(super) fn read_events(text: &[u8]) -> Result<u32, Reason> {
    let mut bits = 0;
    for &byte in text {
        let known = EVENTS
            .iter()
            .find(|(letter, _)| *letter == char::from(byte));
        bits |= match (byte, known) {
            (b'A', _) => EVENTS_ALL,
            (_, Some((_, bit))) => *bit,
            _ => {
                return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
            }
        };
    }
    Ok(bits)
}

pub(super) fn show_events(bits: i128) -> String {
    let all = i128::from(EVENTS_ALL);
    let (prefix, rest) = match bits & all == all {
        true => ("A", bits & !all),
        false => ("", bits),
    };
    let set = |(_, bit): &&(char, u32)| rest & i128::from(*bit) != 0;
    let letters = EVENTS.iter().filter(set).map(|(letter, _)| *letter);
    prefix.chars().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&[u8]> {
        text.split(' ').map(str::as_bytes).collect()
    }

    #[test]
    fn save_points_add_up_until_an_empty_word_drops_them() {
        let one = read_save(&words("900 1"), &[]).expect("a point");
        let two = read_save(&words("60 1000"), &one).expect("a point");
        assert_eq!(show_save(&two), "900 1 60 1000");
        assert_eq!(read_save(&[b""], &two), Ok(vec![]));
        for bad in ["900", "0 1", "1 -1", "a b", "900  1"] {
            assert_eq!(
                read_save(&words(bad), &[]),
                Err("Invalid save parameters".into())
            );
        }
    }

    #[test]
    fn an_output_limit_leaves_the_other_classes_alone() {
        let base = read_output_limits(&words("slave 256mb 64mb 60"), OutputLimits::default())
            .expect("limits");
        let limits = read_output_limits(&words("pubsub 1 2 3"), base).expect("limits");
        assert_eq!(
            show_output_limits(&limits),
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 1 2 3"
        );
        assert_eq!(limits.of(ClientClass::Replica).hard_bytes, 256 << 20);
        for bad in [
            "normal 1 2",
            "master 1 2 3",
            "normal x 2 3",
            "normal 1 2 -3",
        ] {
            assert!(read_output_limits(&words(bad), base).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_are_shown_in_one_order_and_read_back() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Em$gn", "g$nEm"),
            ("nAK", "AnK"),
            ("g$lshzxetd", "A"),
        ] {
            let bits = read_events(given.as_bytes()).expect(given);
            assert_eq!(show_events(bits.into()), shown);
            assert_eq!(read_events(shown.as_bytes()), Ok(bits));
        }
        assert!(read_events(b"q").is_err());
    }

    #[test]
    fn percentiles_lie_within_their_range_and_lose_their_zeros() {
        let all = read_percentiles(&words("50 99.90 1e1 99.9999")).expect("percentiles");
        assert_eq!(show_percentiles(&all), "50 99.9 10 99.9999");
        assert!(read_percentiles(&words("100.1")).is_err());
        assert!(read_percentiles(&words("x")).is_err());
    }

    #[test]
    fn a_primary_is_a_host_and_a_port_or_no_one() {
        let primary = read_primary(&words("h 6379")).expect("a primary");
        assert_eq!(primary.map(|p| p.show()), Some(b"h 6379".to_vec()));
        assert_eq!(read_primary(&words("NO one")), Ok(None));
        assert_eq!(
            read_primary(&words("h 65536")),
            Err("Invalid primary port".into())
        );
        assert_eq!(
            read_primary(&words("h")),
            Err("wrong number of arguments".into())
        );
    }

    #[test]
    fn lists_are_bounded() {
        assert_eq!(read_addresses(&[b""]), Ok(vec![]));
        assert!(read_addresses(&[b"::1".as_slice(); 17]).is_err());
        assert_eq!(read_oom_scores(&words("0 200 800")), Ok([0, 200, 800]));
        assert!(read_oom_scores(&words("0 200 2001")).is_err());
        assert!(read_oom_scores(&words("0 200")).is_err());
    }
}
