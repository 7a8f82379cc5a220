//! How many requests clients may make: the `rate-limit` directive in force.
//!
//! ```text
//!  a session ──► Standing: the rules that hold it, each with its state
//!                    │ made anew when the rules or the user change
//!                    ▼
//!  a rule's user ──► one state, for all connections of that user
//!  an address    ──► a state in the table, for all connections from there
//! ```
//!
//! A client is held by every rule that is about it: that for anonymous clients,
//! by its address, until a password shows who it is; that for its user; and of
//! those for networks the one with the longest prefix. A command runs where all
//! of them allow it, and only then counts. What is about the connection or a
//! transaction itself (AUTH, HELLO, PING, SELECT, EXEC, …) does not.
//!
//! A request costs one compare-and-swap for each rule, and no lock. States are
//! moments ([`super::gcra`]); one that lies in the past is as good as none, and
//! its place in the table is given up as others come.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use super::gcra::{Decision, Quota};
use crate::base::clock;
use crate::config::{RateLimit, RateTarget, masked};
use crate::exec::engine::Engine;
use crate::exec::gate::{Keeper, Refusal};
use crate::exec::services::Service;
use crate::exec::session::{Client, Session};
use crate::exec::spec::{Spec, category, flag};

/// Addresses whose states are kept, beside those that are connected: 5 MiB.
/// Beyond, the one of some that has spent least is forgotten.
const ADDRESSES_MAX: usize = if cfg!(test) { 256 } else { 65_536 };
/// States that a new one looks at, to give up what is past; and that it chooses
/// from where the table is full.
const LOOKS: usize = 4;
const LOOKS_WHEN_FULL: usize = 64;
/// Whoever has one address of IPv6 has so many more: those that begin alike are
/// one client, unless a rule tells them apart.
const IPV6_CLIENT_PREFIX: u8 = 64;

/// A theoretical arrival time in nanoseconds of [`clock::mono_ns`]; 0 at first.
type State = AtomicU64;

/// See the head of this file.
pub struct Limits {
    /// Rises whenever the rules change; written under their lock.
    generation: AtomicU64,
    rules: RwLock<Rules>,
    addresses: Mutex<Addresses>,
}

/// The rules in force.
#[derive(Default)]
struct Rules {
    /// In the order of the configuration.
    all: Vec<Arc<Rule>>,
    /// The next rule's number.
    next: u32,
}

/// A limit, and what is counted of it.
struct Rule {
    /// Tells its addresses from another rule's in the table.
    number: u32,
    limit: RateLimit,
    quota: Quota,
    /// For a user's rule.
    state: Arc<State>,
    allowed: AtomicU64,
    refused: AtomicU64,
}

/// A rule's number and an address; `None` is where unix sockets come from.
type Source = (u32, Option<IpAddr>);

/// The table of states.
#[derive(Default)]
struct Addresses {
    states: BTreeMap<Source, Arc<State>>,
    /// Where to look next for what may be given up.
    hand: Option<Source>,
}

/// What holds a session.
#[derive(Default)]
struct Standing {
    /// Of the rules; 0 before the first.
    generation: u64,
    identity: u32,
    held: SmallVec<[(Arc<Rule>, Arc<State>); 2]>,
}

/// What is counted, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitStats {
    /// By rule, in the order of the configuration.
    pub rules: Vec<RuleStats>,
    /// Addresses whose states are kept.
    pub addresses: usize,
}

/// What is counted of one rule; a rule that did not change goes on counting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStats {
    /// As the configuration says it.
    pub rule: String,
    /// Requests that it counted.
    pub allowed: u64,
    /// Requests that it refused.
    pub refused: u64,
}

/// What stands for the rules that are not told one by one. No rule is called so.
pub const OTHERS: &str = "(others)";

impl LimitStats {
    /// The first rules, `most` of them, and behind them the others as one, where there
    /// are any.
    pub fn bounded(mut self, most: usize) -> LimitStats {
        let others = self.rules.split_off(most.min(self.rules.len()));
        if !others.is_empty() {
            self.rules.push(RuleStats {
                rule: OTHERS.into(),
                allowed: others.iter().map(|rule| rule.allowed).sum(),
                refused: others.iter().map(|rule| rule.refused).sum(),
            });
        }
        self
    }
}

/// Makes the directive take effect.
pub fn configure(engine: &Engine) {
    let limits = engine.service::<Limits>();
    let wanted = engine.settings.rate_limits();
    limits.set_rules(&wanted);
    match wanted.is_empty() {
        true => engine.gate.open(),
        false => engine.gate.keep(limits),
    }
}

impl Service for Limits {
    fn new(_: &Engine) -> Arc<Limits> {
        Arc::new(Limits {
            generation: AtomicU64::new(1),
            rules: RwLock::default(),
            addresses: Mutex::default(),
        })
    }
}

impl Keeper for Limits {
    fn pass(&self, session: &mut Session, spec: &Spec) -> Result<(), Refusal> {
        match is_free(spec) {
            true => Ok(()),
            false => self.count(session, clock::mono_ns()),
        }
    }
}

/// Whether a command is one that a client needs to be there at all: it is about
/// its connection or a transaction, and neither about keys nor about others.
fn is_free(spec: &Spec) -> bool {
    let categories = category::CONNECTION | category::TRANSACTION;
    spec.categories() & categories != 0 && !spec.has(flag::ADMIN) && spec.keys.is_empty()
}

impl Limits {
    /// What is counted.
    pub fn stats(&self) -> LimitStats {
        let stats = |rule: &Arc<Rule>| RuleStats {
            rule: rule.to_text(),
            allowed: rule.allowed.load(Ordering::Relaxed),
            refused: rule.refused.load(Ordering::Relaxed),
        };
        LimitStats {
            rules: self.rules.read().all.iter().map(stats).collect(),
            addresses: self.addresses.lock().states.len(),
        }
    }

    /// CONFIG RESETSTAT. What clients have spent is not forgotten.
    pub fn reset(&self) {
        for rule in &self.rules.read().all {
            rule.allowed.store(0, Ordering::Relaxed);
            rule.refused.store(0, Ordering::Relaxed);
        }
    }

    /// Rules that were there before keep their states and figures.
    fn set_rules(&self, wanted: &[RateLimit]) {
        let mut rules = self.rules.write();
        if rules.all.iter().map(|rule| &rule.limit).eq(wanted) {
            return;
        }
        let mut all = Vec::with_capacity(wanted.len());
        for limit in wanted {
            let old = rules.all.iter().find(|rule| rule.limit == *limit);
            match old.cloned().or_else(|| Rule::new(rules.next, limit)) {
                Some(rule) => all.push(rule),
                None => crate::warning!("A rate limit that the configuration took is none"),
            }
            rules.next = rules.next.wrapping_add(1);
        }
        rules.all = all;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Counts a request, or says why it is refused.
    fn count(&self, session: &mut Session, now_ns: u64) -> Result<(), Refusal> {
        let Session {
            client,
            extensions,
            proven,
            identity,
            ..
        } = session;
        let standing = extensions.get_or_insert_with(Standing::default);
        let generation = self.generation.load(Ordering::Acquire);
        if standing.generation != generation || standing.identity != *identity {
            *standing = self.standing_of(client, *proven, *identity, now_ns);
        }
        standing.count(now_ns)
    }

    /// The rules that hold a client.
    fn standing_of(&self, client: &Client, proven: bool, identity: u32, now_ns: u64) -> Standing {
        let user = client.names.lock().user.clone();
        let address = address_of(client);
        let rules = self.rules.read();
        let mut standing = Standing {
            generation: self.generation.load(Ordering::Relaxed),
            identity,
            held: SmallVec::new(),
        };
        let mut nearest: Option<(u8, &Arc<Rule>)> = None;
        for rule in &rules.all {
            match &rule.limit.target {
                RateTarget::Anonymous if !proven => {
                    let source = source(rule, address, IPV6_CLIENT_PREFIX);
                    let state = self.addresses.lock().state_of(source, now_ns);
                    standing.held.push((rule.clone(), state));
                }
                RateTarget::User(name) if **name == *user => {
                    standing.held.push((rule.clone(), rule.state.clone()));
                }
                RateTarget::Address(network)
                    if address.is_some_and(|ip| network.contains(ip))
                        && nearest.is_none_or(|(prefix, _)| network.prefix() > prefix) =>
                {
                    nearest = Some((network.prefix(), rule));
                }
                _ => {}
            }
        }
        if let Some((prefix, rule)) = nearest {
            let source = source(rule, address, prefix.max(IPV6_CLIENT_PREFIX));
            let state = self.addresses.lock().state_of(source, now_ns);
            standing.held.push((rule.clone(), state));
        }
        standing
    }
}

/// What the table knows an address by.
fn source(rule: &Rule, address: Option<IpAddr>, ipv6_prefix: u8) -> Source {
    let alike = |ip: IpAddr| match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(_) => masked(ip, ipv6_prefix),
    };
    (rule.number, address.map(alike))
}

/// Where a client comes from; `None` for a unix socket.
fn address_of(client: &Client) -> Option<IpAddr> {
    let address: SocketAddr = client.addr.parse().ok()?;
    Some(address.ip().to_canonical())
}

impl Standing {
    /// Counts a request at every rule, or at none.
    fn count(&self, now_ns: u64) -> Result<(), Refusal> {
        if let [(rule, state)] = &self.held[..] {
            return rule.take(state, now_ns);
        }
        for (rule, state) in &self.held {
            let decision = rule.decide(state.load(Ordering::Relaxed), now_ns);
            if decision.tat_ns.is_none() {
                return Err(rule.refuse(decision));
            }
        }
        // Where another connection was faster in between, some have counted what
        // is refused: too strict by one, and never too lax.
        self.held
            .iter()
            .try_for_each(|(rule, state)| rule.take(state, now_ns))
    }
}

impl Rule {
    fn new(number: u32, limit: &RateLimit) -> Option<Arc<Rule>> {
        let period_ns = limit.period_s * 1_000_000_000;
        Some(Arc::new(Rule {
            number,
            limit: limit.clone(),
            quota: Quota::new(limit.count, period_ns, limit.burst)?,
            state: Arc::default(),
            allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    fn to_text(&self) -> String {
        // Different rules have different texts, whatever their users are called.
        let text = String::from_utf8(self.limit.show());
        text.unwrap_or_else(|text| text.as_bytes().escape_ascii().to_string())
    }

    fn decide(&self, tat_ns: u64, now_ns: u64) -> Decision {
        self.quota.decide(Some(tat_ns), now_ns, 1)
    }

    /// Takes one request's share, or refuses it.
    fn take(&self, state: &State, now_ns: u64) -> Result<(), Refusal> {
        let mut tat_ns = state.load(Ordering::Relaxed);
        loop {
            let decision = self.decide(tat_ns, now_ns);
            let Some(new) = decision.tat_ns else {
                return Err(self.refuse(decision));
            };
            // The state stands for itself: nothing else is ordered by it.
            let swapped =
                state.compare_exchange_weak(tat_ns, new, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => break,
                Err(newer) => tat_ns = newer,
            }
        }
        self.allowed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn refuse(&self, decision: Decision) -> Refusal {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Refusal {
            limit: self.limit.show(),
            retry_after_ms: decision.retry_after_ns.unwrap_or(0).div_ceil(1_000_000),
        }
    }
}

impl Addresses {
    /// The state of an address, which is there until nobody holds it and it is past.
    fn state_of(&mut self, source: Source, now_ns: u64) -> Arc<State> {
        if let Some(state) = self.states.get(&source) {
            return state.clone();
        }
        self.give_up(now_ns);
        self.states.entry(source).or_default().clone()
    }

    /// Gives up some states that are past; where the table is full, one that is
    /// nearest to it.
    fn give_up(&mut self, now_ns: u64) {
        let is_full = self.states.len() >= ADDRESSES_MAX;
        let looks = if is_full { LOOKS_WHEN_FULL } else { LOOKS };
        let (behind, up_to) = match self.hand {
            Some(hand) => (Bound::Excluded(hand), Bound::Included(hand)),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let rest = self.states.range((behind, Bound::Unbounded));
        let again = self.states.range((Bound::Unbounded, up_to));
        // Who has a reference got it under this lock, and may count at any time.
        let seen: SmallVec<[(Source, Option<u64>); LOOKS_WHEN_FULL]> = rest
            .chain(again)
            .take(looks.min(self.states.len()))
            .map(|(source, state)| {
                let is_held = Arc::strong_count(state) > 1;
                (*source, (!is_held).then(|| state.load(Ordering::Relaxed)))
            })
            .collect();
        self.hand = seen.last().map(|(source, _)| *source);
        let free = |(source, tat_ns): &(Source, Option<u64>)| Some((*source, (*tat_ns)?));
        let mut free: SmallVec<[(Source, u64); LOOKS_WHEN_FULL]> =
            seen.iter().filter_map(free).collect();
        free.sort_unstable_by_key(|(_, tat_ns)| *tat_ns);
        for (source, tat_ns) in free {
            if tat_ns <= now_ns || self.states.len() >= ADDRESSES_MAX {
                self.states.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests;
