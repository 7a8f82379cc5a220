//! How long what is written lives, under the policy of its key.
//!
//! | | what the writer says | what it gets |
//! |---|---|---|
//! | a whole string, plainly | nothing | `ttl`, or by `adaptive` what the key's history says, less `jitter` |
//! | | a lifetime | the same, within `ttl-min` and `ttl-max`, less `jitter`; under `ttl-override` as above |
//! | | to keep the old one | the old one |
//! | anything else that makes a key | nothing | `ttl` |
//! | | a lifetime | the same, within the bounds |
//!
//! What is written plainly and with a lifetime has the policy's grace (`stale`). What is
//! written on a condition, counted up or changed in place has none: it is no copy of
//! something that could be loaded again.

use super::Deadline;
use super::governed::InForce;
use crate::base::{clock, hash};
use crate::config::policy::Policy;
use crate::store::adaptive::{self, Bounds, Decision, History, Refill};
use crate::store::departed::Record;
use crate::store::entry::{NewValue, Note};
use crate::store::figures::Figures;

/// A write, as far as its lifetime goes.
pub(super) struct Life {
    pub asked: Deadline,
    /// The deadline of what is there, for who wants to keep it.
    pub kept: Option<u64>,
    pub is_fill: bool,
    /// It stands for an absence.
    pub is_null: bool,
    pub now_ms: u64,
}

/// What is known of the value before.
#[derive(Default)]
pub(super) struct Past {
    /// Of the entry that is there.
    pub note: Option<Note>,
    /// Of the one that was.
    pub departed: Option<Record>,
}

impl Past {
    fn history(&self) -> u64 {
        match (&self.note, &self.departed) {
            (Some(note), _) => note.history,
            (None, Some(record)) => record.history,
            (None, None) => 0,
        }
    }

    fn written_ms(&self) -> u64 {
        match (&self.note, &self.departed) {
            (Some(note), _) => note.written_ms,
            (None, Some(record)) => record.written_ms,
            (None, None) => 0,
        }
    }

    fn reads(&self) -> u16 {
        match (&self.note, &self.departed) {
            (Some(note), _) => note.reads,
            (None, Some(record)) => record.reads,
            (None, None) => 0,
        }
    }
}

/// What is decided.
#[derive(Default)]
pub(super) struct Decided {
    pub deadline: Option<u64>,
    pub grace_ms: u32,
    pub history: u64,
    /// From the [`Decision`], as [`reason_marks`] packs it.
    pub marks: u8,
    pub is_null: bool,
    /// The deadline is what the writer asked for.
    pub is_as_asked: bool,
    /// It was cut to the bounds.
    pub is_capped: bool,
    /// How it compares with what the key's history gave before.
    pub adapted: Option<std::cmp::Ordering>,
    pub is_same: Option<bool>,
    /// Under shadow, something would have been otherwise.
    pub shadow_ttl: bool,
    pub shadow_null: bool,
}

impl Decided {
    /// Adds itself to the figures.
    pub fn count(&self, figures: &mut Figures) {
        use std::cmp::Ordering::{Equal, Greater, Less};
        figures.ttl_capped += u64::from(self.is_capped);
        match self.adapted {
            Some(Greater) => figures.ttl_grown += 1,
            Some(Less) => figures.ttl_shrunk += 1,
            Some(Equal) | None => {}
        }
        match self.is_same {
            Some(true) => figures.refills_same += 1,
            Some(false) => figures.refills_changed += 1,
            None => {}
        }
        figures.shadow_ttls += u64::from(self.shadow_ttl);
        figures.shadow_nulls += u64::from(self.shadow_null);
    }
}

/// Bits of [`Note::marks`] that say how the lifetime came about.
const REASON_AT: u32 = 3;
const HELD_AT: u32 = 6;

/// A decision's reason and bound, to be kept among the marks of a note.
fn reason_marks(decision: &Decision) -> u8 {
    // 0 is for lifetimes that nobody decided.
    (decision.reason as u8 + 1) << REASON_AT | (decision.held as u8) << HELD_AT
}

/// The reason and bound that stand among a note's marks, in words.
pub fn reason_text(marks: u8) -> Option<(&'static str, &'static str)> {
    use adaptive::{Held, Reason};
    let reason = match marks >> REASON_AT & 7 {
        1 => Reason::First,
        2 => Reason::Same,
        3 => Reason::SameAtLast,
        4 => Reason::Changed,
        5 => Reason::ChangedAtOnce,
        6 => Reason::Unread,
        _ => return None,
    };
    let held = match marks >> HELD_AT {
        1 => Held::Min,
        2 => Held::Max,
        _ => Held::Free,
    };
    Some((reason.text(), held.text()))
}

/// The lifetime of what is written.
pub(super) fn decide(
    policy: Option<&InForce<'_>>,
    life: &Life,
    past: &Past,
    value: &NewValue<'_>,
) -> Decided {
    let plain = match life.asked {
        Deadline::At(ms) => Some(ms),
        Deadline::Keep => life.kept,
        Deadline::Never => None,
    };
    let as_asked = Decided {
        deadline: plain,
        history: past.history(),
        is_as_asked: true,
        ..Decided::default()
    };
    let Some(in_force) = policy else {
        return as_asked;
    };
    let (policy, typical) = (in_force.policy(), in_force.typical());
    let keeps = life.asked == Deadline::Keep && life.kept.is_some();
    let mut decided = match keeps {
        true => Decided {
            // A whole string that takes the lifetime over is a plain write with one.
            grace_ms: match life.is_fill {
                true => grace_ms(policy),
                false => 0,
            },
            ..as_asked
        },
        false => within(policy, typical, life, past, value, plain),
    };
    decided.is_as_asked = decided.deadline == plain;
    // What stands for an absence is one, however long what it replaces was to live.
    if life.is_null {
        decided.is_null = true;
        decided.grace_ms = 0;
        let most = life.now_ms + policy.null_ttl_ms;
        decided.deadline = Some(plain.map_or(most, |ms| ms.min(most)));
        decided.is_as_asked = decided.deadline == plain;
    }
    if in_force.is_shadow {
        return Decided {
            deadline: plain,
            history: decided.history,
            is_as_asked: true,
            shadow_ttl: decided.deadline != plain && !decided.is_null,
            shadow_null: decided.is_null,
            ..Decided::default()
        };
    }
    decided
}

fn within(
    policy: &Policy,
    typical: &adaptive::Typical,
    life: &Life,
    past: &Past,
    value: &NewValue<'_>,
    plain: Option<u64>,
) -> Decided {
    let asked_ms = match plain {
        Some(ms) if !policy.ttl_override => Some(ms.saturating_sub(life.now_ms)),
        _ => None,
    };
    let mut decided = Decided {
        history: past.history(),
        ..Decided::default()
    };
    if policy.adaptive && life.is_fill && !life.is_null {
        let decision = adapt(policy, typical, life, past, value);
        decided.history = decision.history.to_bits();
        if History::from_bits(past.history()).is_some() {
            decided.is_same = Some(matches!(
                decision.reason,
                adaptive::Reason::Same | adaptive::Reason::SameAtLast
            ));
            decided.adapted = match decided.is_same {
                Some(true) => Some(std::cmp::Ordering::Greater),
                _ => Some(std::cmp::Ordering::Less),
            };
        }
        if asked_ms.is_none() {
            decided.marks = reason_marks(&decision);
            let ttl = bounds(policy).jittered(decision.ttl_ms, clock::random());
            decided.deadline = Some(life.now_ms.saturating_add(ttl.max(1)));
            decided.grace_ms = grace_ms(policy);
            return decided;
        }
    }
    let given = given(policy, plain, life.now_ms, life.is_fill);
    decided.deadline = given.deadline;
    decided.grace_ms = given.grace_ms;
    decided.is_capped = given.is_capped;
    decided
}

/// A lifetime without regard to the key's history.
pub(super) struct Given {
    pub deadline: Option<u64>,
    pub grace_ms: u32,
    /// What the writer asked for was cut to the bounds.
    pub is_capped: bool,
}

/// The lifetime for what is written with this deadline, or none, where the policy does
/// not adapt.
#[inline]
pub(super) fn given(policy: &Policy, asked: Option<u64>, now_ms: u64, is_fill: bool) -> Given {
    let asked_ms = match asked {
        Some(ms) if !policy.ttl_override => Some(ms.saturating_sub(now_ms)),
        _ => None,
    };
    let base_ms = match (asked_ms, policy.ttl_ms, policy.ttl_max_ms) {
        (Some(ms), _, _) => ms,
        (None, 0, 0) => {
            return Given {
                deadline: None,
                grace_ms: 0,
                is_capped: false,
            };
        }
        (None, 0, max) => max,
        (None, ttl, _) => ttl,
    };
    let mut ttl = base_ms;
    if policy.ttl_max_ms > 0 {
        ttl = ttl.min(policy.ttl_max_ms);
    }
    ttl = ttl.max(policy.ttl_min_ms);
    let is_capped = asked_ms.is_some_and(|asked| asked != ttl);
    if is_fill {
        let random = clock::random();
        ttl = adaptive::jitter(ttl, policy.jitter_percent, random).max(policy.ttl_min_ms);
    }
    Given {
        deadline: Some(now_ms.saturating_add(ttl.max(1))),
        grace_ms: if is_fill { grace_ms(policy) } else { 0 },
        is_capped,
    }
}

/// The grace of a refill.
fn grace_ms(policy: &Policy) -> u32 {
    policy.stale_ms.min(u32::MAX.into()) as u32
}

fn bounds(policy: &Policy) -> Bounds {
    Bounds {
        ttl_ms: policy.ttl_ms,
        ttl_min_ms: policy.ttl_min_ms,
        ttl_max_ms: match policy.ttl_max_ms {
            0 => crate::config::policy::TIME_MAX_MS,
            max => max,
        },
        jitter_percent: policy.jitter_percent,
    }
}

fn adapt(
    policy: &Policy,
    typical: &adaptive::Typical,
    life: &Life,
    past: &Past,
    value: &NewValue<'_>,
) -> Decision {
    let refill = Refill {
        value_digest: digest_of(value),
        reads: past.reads().into(),
        age_ms: life.now_ms.saturating_sub(past.written_ms()),
    };
    let history = History::from_bits(past.history());
    adaptive::decide(history, &bounds(policy), typical, refill)
}

/// Histories outlive the process, and this with them.
fn digest_of(value: &NewValue<'_>) -> u32 {
    let digest = match value {
        NewValue::Int(n) => hash::lasting_digest(n.to_string().as_bytes()),
        NewValue::Str(bytes) => hash::lasting_digest(bytes),
        NewValue::Blob(blob) => hash::lasting_digest(blob),
        NewValue::Object(_) => 0,
    };
    (digest >> 32) as u32
}

/// The deadline and grace of an entry that was there before its policy.
pub(super) fn settled(
    policy: Option<&InForce<'_>>,
    deadline: Option<u64>,
    now_ms: u64,
    is_null: bool,
    is_graceful: bool,
) -> (Option<u64>, u32) {
    let Some(policy) = policy.filter(|p| !p.is_shadow).map(InForce::policy) else {
        return (deadline, 0);
    };
    // What is past its lifetime stays so.
    if deadline.is_some_and(|ms| ms <= now_ms) {
        let grace_ms = if is_graceful { policy.stale_ms } else { 0 };
        return (deadline, grace_ms.min(u32::MAX.into()) as u32);
    }
    let most = match (is_null, policy.ttl_max_ms) {
        (true, _) => Some(policy.null_ttl_ms),
        (false, 0) => None,
        (false, max) => Some(max),
    };
    let wanted = match (deadline, policy.ttl_ms) {
        (None, 0) => None,
        (None, ttl) => Some(now_ms + ttl),
        (some, _) => some,
    };
    let deadline = match (wanted, most) {
        (Some(ms), Some(most)) => Some(ms.min(now_ms + most)),
        (None, Some(most)) => Some(now_ms + most),
        (wanted, None) => wanted,
    };
    let has_grace = is_graceful && !is_null && deadline.is_some();
    let grace_ms = if has_grace { policy.stale_ms } else { 0 };
    (deadline, grace_ms.min(u32::MAX.into()) as u32)
}
