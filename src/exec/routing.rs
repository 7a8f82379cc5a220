//! Which commands a node of a cluster runs itself, and to whom it sends the others.
//!
//! The keys of a command, or of a transaction, lie in one slot, and a slot is served by
//! one node. What this layer knows of the cluster is a byte for each slot and whether
//! all is well, which the service that knows the nodes writes ([`Routing::set`]); by
//! which name another node goes, it asks that service ([`Signposts`]).
//!
//! ```text
//!  a slot   ┌ comes (1) ┬ goes (1) ┬ owner: 2 bits ┐
//!           └───────────┴──────────┴───────────────┘
//! ```
//!
//! A command is judged twice: before it is let in or queued, and again under the locks
//! of its keys' shards, where what has changed since, or depends on which keys are
//! there, can no longer change: **whoever changes who serves a slot holds all shards**.
//!
//! A server that is no node has no [`Routing`], and asks nothing.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::args::{Key, KeyAt};
use super::dispatch;
use super::engine::Engine;
use super::session::{Client, Session};
use super::spec::{Scope, Spec, flag, key_flag};
use super::txn::Txn;
use super::waiting;
use crate::base::{hash, num};
use crate::config::param;
use crate::protocol::error::Error;

/// Who serves a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Owner {
    /// Nobody.
    None = 0,
    /// This node.
    Here = 1,
    /// The node that this one follows.
    Leader = 2,
    /// Another one.
    Elsewhere = 3,
}

const OWNER: u8 = 0b11;
const GOES: u8 = 1 << 2;
const COMES: u8 = 1 << 3;

/// What is known of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Who serves it.
    pub owner: Owner,
    /// Its keys are on their way to another node.
    pub goes: bool,
    /// Its keys are on their way here.
    pub comes: bool,
}

impl Place {
    fn from_bits(bits: u8) -> Place {
        Place {
            owner: match bits & OWNER {
                0 => Owner::None,
                1 => Owner::Here,
                2 => Owner::Leader,
                _ => Owner::Elsewhere,
            },
            goes: bits & GOES != 0,
            comes: bits & COMES != 0,
        }
    }

    fn bits(self) -> u8 {
        let goes = if self.goes { GOES } else { 0 };
        let comes = if self.comes { COMES } else { 0 };
        self.owner as u8 | goes | comes
    }
}

/// Who knows the other nodes.
pub trait Signposts: Send + Sync {
    /// Sends a client to the node that serves a slot.
    fn moved(&self, slot: u16, client: &Client) -> Error;
    /// Sends it, for this once, to the node that a slot's keys go to.
    fn ask(&self, slot: u16, client: &Client) -> Error;
    /// CLUSTER INFO.
    fn info(&self) -> String;
}

/// See the head of this file.
pub struct Routing {
    /// Written under all shards' locks.
    slots: Box<[AtomicU8]>,
    /// Whether every slot that must be is served, and this node is one of the many.
    is_well: AtomicBool,
    /// Changes with each of them.
    version: AtomicU64,
    /// Set once.
    signposts: OnceLock<Arc<dyn Signposts>>,
}

impl Default for Routing {
    fn default() -> Routing {
        Routing {
            slots: (0..hash::SLOTS).map(|_| AtomicU8::new(0)).collect(),
            is_well: AtomicBool::new(false),
            version: AtomicU64::new(1),
            signposts: OnceLock::new(),
        }
    }
}

/// What was found when a command was let in.
#[derive(Default, Debug)]
pub struct Passage {
    slot: Option<u16>,
    asking: bool,
    version: u64,
    /// Why it does not run, after all.
    pub refused: Option<Error>,
}

impl Routing {
    /// Has this one asked from now on, always the same.
    pub fn ask_for_nodes(&self, signposts: Arc<dyn Signposts>) {
        self.signposts.get_or_init(|| signposts);
    }

    /// Says what is known of the slots, and whether all is well. The caller holds all
    /// shards, or there is no client yet.
    pub fn set(&self, place: impl Fn(u16) -> Place, is_well: bool) {
        for (slot, bits) in (0..).zip(&self.slots) {
            bits.store(place(slot).bits(), Ordering::Relaxed);
        }
        self.is_well.store(is_well, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Says whether all is well.
    pub fn set_well(&self, is_well: bool) {
        self.is_well.store(is_well, Ordering::Relaxed);
    }

    /// What is known of a slot.
    pub fn place(&self, slot: u16) -> Place {
        let bits = &self.slots[usize::from(slot)];
        Place::from_bits(bits.load(Ordering::Relaxed))
    }

    /// Whether all is well.
    pub fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed)
    }

    /// CLUSTER INFO.
    pub fn info(&self) -> String {
        let signposts = self.signposts.get();
        signposts.map_or_else(String::new, |signposts| signposts.info())
    }

    fn moved(&self, slot: u16, client: &Client) -> Error {
        match self.signposts.get() {
            Some(signposts) => signposts.moved(slot, client),
            None => Error::SLOT_NOT_SERVED,
        }
    }
}

/// A command that is to be judged.
struct Asked<'a> {
    spec: &'a Spec,
    argv: &'a [&'a [u8]],
    keys: &'a [KeyAt],
}

/// Lets a command in, or says who is to be asked.
#[cold]
pub(super) fn admit(
    engine: &Engine,
    routing: &Routing,
    session: &mut Session,
    spec: &'static Spec,
    argv: &[&[u8]],
    keys: &[KeyAt],
) -> Result<(), Error> {
    let asking = session.asking;
    let is_exec = spec.scope == Scope::Queued;
    // ASKING is for the next command, or for the transaction that it begins.
    if is_exec || session.multi.is_none() && spec.name != "multi" {
        session.asking = false;
    }
    session.passage = Passage::default();
    if session.leads {
        return Ok(());
    }
    let asked = Asked { spec, argv, keys };
    let slot = match &session.multi {
        Some(multi) if is_exec => {
            let mut slots = Vec::new();
            for queued in &multi.queued {
                let argv: Vec<&[u8]> = queued.argv.iter().map(Vec::as_slice).collect();
                let mut keys = Vec::new();
                dispatch::keys_of(engine, queued, &mut keys);
                let spec = queued.spec;
                let (argv, keys) = (&argv[..], &keys[..]);
                slots.extend(slot_of(&Asked { spec, argv, keys })?);
            }
            same(slots.into_iter())?
        }
        _ => slot_of(&asked)?,
    };
    session.passage = Passage {
        slot,
        asking,
        version: routing.version.load(Ordering::Acquire),
        refused: None,
    };
    match slot {
        Some(slot) => judge(engine, routing, session, &asked, slot, None),
        None => Ok(()),
    }
}

/// As [`admit`], for a command that a script calls, which was let in itself.
#[cold]
pub(super) fn admit_called(
    engine: &Engine,
    routing: &Routing,
    session: &mut Session,
    spec: &'static Spec,
    argv: &[&[u8]],
    keys: &[KeyAt],
) -> Result<(), Error> {
    session.asking = session.passage.asking;
    admit(engine, routing, session, spec, argv, keys)
}

/// Judges a command again that is about to run, where that is necessary; false where it
/// must not, which its passage says why.
#[cold]
pub(super) fn lets_in(
    engine: &Engine,
    routing: &Routing,
    session: &mut Session,
    txn: &mut Txn<'_>,
    spec: &'static Spec,
    argv: &[&[u8]],
    keys: &[KeyAt],
) -> bool {
    let Some(slot) = session.passage.slot else {
        return true;
    };
    let place = routing.place(slot);
    let is_open = place.goes || place.comes;
    if !is_open && session.passage.version == routing.version.load(Ordering::Acquire) {
        return true;
    }
    let asked = Asked { spec, argv, keys };
    let judged = judge(engine, routing, session, &asked, slot, Some(txn));
    session.passage.refused = judged.err();
    session.passage.refused.is_none()
}

/// The one slot of several; none where there is none.
fn same(mut slots: impl Iterator<Item = u16>) -> Result<Option<u16>, Error> {
    let Some(first) = slots.next() else {
        return Ok(None);
    };
    match slots.all(|slot| slot == first) {
        true => Ok(Some(first)),
        false => Err(Error::CROSS_SLOT),
    }
}

/// The slot of a command's keys, or of what is placed like one.
fn slot_of(asked: &Asked<'_>) -> Result<Option<u16>, Error> {
    let is_like_key = |spec: &super::spec::KeySpec| spec.flags & key_flag::NOT_KEY != 0;
    if asked.spec.keys.iter().any(is_like_key) {
        let mut slots = Vec::new();
        let found = asked
            .spec
            .each_key(asked.argv, |at, _| slots.push(hash::slot(asked.argv[at])));
        return match found {
            Ok(()) => same(slots.into_iter()),
            // Its handler says in its own way what is wrong.
            Err(_) => Ok(None),
        };
    }
    same(asked.keys.iter().map(|key| hash::slot_of(key.digest)))
}

/// Whether this node runs a command. Under the locks of its keys' shards, in `txn`, it
/// is seen which of them are there.
fn judge(
    engine: &Engine,
    routing: &Routing,
    session: &Session,
    asked: &Asked<'_>,
    slot: u16,
    txn: Option<&mut Txn<'_>>,
) -> Result<(), Error> {
    let spec = asked.spec;
    let any_queued = |flag: u32| match &session.multi {
        Some(multi) if spec.scope == Scope::Queued => multi.queued.iter().any(|q| q.spec.has(flag)),
        _ => spec.has(flag),
    };
    let place = routing.place(slot);
    let is_open = place.goes || place.comes;
    let client = &session.client;
    if place.owner == Owner::None {
        return Err(Error::SLOT_NOT_SERVED);
    }
    let (is_about_channels, writes) = (any_queued(flag::PUBSUB), any_queued(flag::WRITE));
    let seen = match is_open {
        true => look(engine, session, asked, txn)?,
        false => Seen::default(),
    };
    if !routing.is_well() {
        let settings = &engine.settings;
        if is_about_channels {
            if !settings.flag(param::CLUSTER_ALLOW_PUBSUBSHARD_WHEN_DOWN) {
                return Err(Error::CLUSTER_DOWN);
            }
        } else if !settings.flag(param::CLUSTER_ALLOW_READS_WHEN_DOWN) {
            return Err(Error::CLUSTER_DOWN);
        } else if writes {
            return Err(Error::CLUSTER_DOWN_FOR_WRITES);
        }
    }
    // It is what moves the keys.
    if is_open && spec.name == "migrate" {
        return Ok(());
    }
    if place.goes && seen.missing && !is_about_channels {
        return Err(match (seen.present, routing.signposts.get()) {
            (false, Some(signposts)) => signposts.ask(slot, client),
            _ => Error::TRY_AGAIN,
        });
    }
    if place.comes && session.passage.asking {
        return match seen.several && seen.missing && !is_about_channels {
            true => Err(Error::TRY_AGAIN),
            false => Ok(()),
        };
    }
    let reads_here = client.reads_replicas.load(Ordering::Relaxed) || is_about_channels;
    match place.owner {
        Owner::Here => Ok(()),
        Owner::Leader if reads_here && !writes => Ok(()),
        _ => Err(routing.moved(slot, client)),
    }
}

/// Which keys of a command are there.
#[derive(Default)]
struct Seen {
    present: bool,
    missing: bool,
    /// There are two that differ.
    several: bool,
}

/// Looks at the keys of a command in a slot that comes or goes.
fn look(
    engine: &Engine,
    session: &Session,
    asked: &Asked<'_>,
    mut txn: Option<&mut Txn<'_>>,
) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let mut first: Option<Vec<u8>> = None;
    let mut db = session.db;
    let mut look_at = |asked: &Asked<'_>, db: u32| {
        if stays_out(asked, db) {
            return Err(Error::TRY_AGAIN);
        }
        for at in asked.keys {
            let bytes = asked.argv[at.arg as usize];
            let first = first.get_or_insert_with(|| bytes.to_vec());
            seen.several |= first[..] != *bytes;
            if let Some(txn) = txn.as_deref_mut() {
                let found = txn.find_in(db, &Key::new(bytes, at.digest)).is_some();
                seen.present |= found;
                seen.missing |= !found;
            }
        }
        Ok(())
    };
    match &session.multi {
        Some(multi) if asked.spec.scope == Scope::Queued => {
            for queued in &multi.queued {
                let argv: Vec<&[u8]> = queued.argv.iter().map(Vec::as_slice).collect();
                let mut keys = Vec::new();
                dispatch::keys_of(engine, queued, &mut keys);
                if let ("select", Some(number)) = (queued.spec.name, argv.get(1)) {
                    let number = num::parse_i64(number).and_then(|n| u32::try_from(n).ok());
                    let most = engine.databases();
                    db = number.filter(|db| *db < most).unwrap_or(db);
                }
                let (spec, argv, keys) = (queued.spec, &argv[..], &keys[..]);
                look_at(&Asked { spec, argv, keys }, db)?;
            }
        }
        _ => look_at(asked, db)?,
    }
    Ok(seen)
}

/// Whether a command goes to another database, where nobody can tell whether the key
/// is still there.
fn stays_out(asked: &Asked<'_>, db: u32) -> bool {
    match asked.spec.name {
        "move" => !asked.keys.is_empty(),
        "copy" => {
            let mut options = asked.argv.iter().skip(3);
            while let Some(option) = options.next() {
                if option.eq_ignore_ascii_case(b"db")
                    && let Some(number) = options.next()
                    && num::parse_i64(number) != Some(db.into())
                {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}

/// Sends those away who wait for keys that this node no longer serves. On the thread of
/// a worker; shards may be held.
pub fn send_away(engine: &Engine, worker: usize) {
    let Some(routing) = &engine.routing else {
        return;
    };
    waiting::fail_some(engine, worker, |client, spec, key| {
        if !routing.is_well() {
            return Some(Error::CLUSTER_DOWN);
        }
        let slot = hash::slot_of(key.digest);
        let place = routing.place(slot);
        let reads = client.reads_replicas.load(Ordering::Relaxed) && !spec.has(flag::WRITE);
        match place.owner {
            Owner::Here => None,
            _ if place.comes => None,
            Owner::Leader if reads => None,
            Owner::None => Some(Error::SLOT_NOT_SERVED),
            Owner::Leader | Owner::Elsewhere => Some(routing.moved(slot, client)),
        }
    });
}
