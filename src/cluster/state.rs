//! Who serves which slot, as this node knows it: pure state, without keys, clients or
//! files. What is asked of it says why not in Valkey's words.

use std::collections::{BTreeMap, HashMap};

use super::node::{Id, Node, Ref, flag};
use crate::base::hash;
use crate::exec::routing::{Owner, Place};

/// How long a leader waits after its start before it serves, so that the others can
/// tell it what it has missed, in milliseconds.
const WRITABLE_DELAY_MS: u64 = 2_000;
/// The bounds between which it waits when it has found back to the many.
const REJOIN_DELAY_MS: (u64, u64) = (500, 5_000);

/// Why a cluster does not serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A slot that nobody serves.
    Uncovered,
    /// This node hears of less than half of those that vote.
    Minority,
}

impl Trouble {
    /// For the log.
    pub fn text(self) -> &'static str {
        match self {
            Trouble::Uncovered => {
                "At least one hash slot is not served by any available node. \
                 Please check the 'cluster-require-full-coverage' configuration."
            }
            Trouble::Minority => "I am part of a minority partition.",
        }
    }
}

/// What SETSLOT does with a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Its keys go to a node.
    Migrate(Ref),
    /// Its keys come from one.
    Import(Ref),
    /// Neither.
    Settle,
    /// A node serves it from now on.
    Assign(Ref),
}

/// What the configuration says of when a cluster serves.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// `cluster-require-full-coverage`
    pub full_coverage: bool,
    /// `cluster-node-timeout`, in milliseconds.
    pub node_timeout_ms: u64,
}

/// See the head of this file.
#[derive(Debug)]
pub struct State {
    /// None where one was forgotten.
    nodes: Vec<Option<Node>>,
    me: Ref,
    owners: Vec<Option<Ref>>,
    /// Slots of mine whose keys go to another node.
    going: BTreeMap<u16, Ref>,
    /// Slots whose keys come to me.
    coming: BTreeMap<u16, Ref>,
    /// The greatest epoch that is known.
    pub epoch: u64,
    /// The one in which this node last gave its vote.
    pub vote_epoch: u64,
    /// Why it does not serve, `None` inside where nobody has looked; or that it does.
    trouble: Result<(), Option<Trouble>>,
    /// Nodes that were forgotten, each until when in Unix milliseconds.
    forgotten: HashMap<Id, u64>,
    /// When this node was last among the few.
    minority_ms: u64,
    /// Leaders that serve a slot.
    size: usize,
}

impl State {
    /// Without any node, which has to be added, and [`State::be`].
    pub fn empty() -> State {
        State {
            nodes: Vec::new(),
            me: 0,
            owners: vec![None; usize::from(hash::SLOTS)],
            going: BTreeMap::new(),
            coming: BTreeMap::new(),
            epoch: 0,
            vote_epoch: 0,
            trouble: Err(None),
            forgotten: HashMap::new(),
            minority_ms: 0,
            size: 0,
        }
    }

    /// Of a node that is new and knows no other.
    pub fn alone() -> State {
        let mut state = State::empty();
        let mut me = Node::new(Id::random());
        me.flags = flag::MYSELF | flag::LEADER;
        state.me = state.add(me);
        state
    }

    // ----- nodes ----------------------------------------------------------

    /// Adds a node.
    pub fn add(&mut self, node: Node) -> Ref {
        self.nodes.push(Some(node));
        (self.nodes.len() - 1) as Ref
    }

    /// Says which one is this.
    pub fn be(&mut self, me: Ref) {
        self.me = me;
    }

    /// Which one is this.
    pub fn my_ref(&self) -> Ref {
        self.me
    }

    /// This one.
    pub fn me(&self) -> &Node {
        self.node(self.me)
    }

    /// This one, to be changed.
    pub fn me_mut(&mut self) -> &mut Node {
        self.node_mut(self.me)
    }

    /// A node.
    ///
    /// # Panics
    /// Where it was forgotten: nothing refers to it then.
    pub fn node(&self, at: Ref) -> &Node {
        let node = self.nodes[usize::from(at)].as_ref();
        node.expect("nobody refers to a node that was forgotten")
    }

    /// A node, to be changed.
    pub fn node_mut(&mut self, at: Ref) -> &mut Node {
        let node = self.nodes[usize::from(at)].as_mut();
        node.expect("nobody refers to a node that was forgotten")
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (Ref, &Node)> {
        (0..)
            .zip(&self.nodes)
            .filter_map(|(at, n)| Some((at, n.as_ref()?)))
    }

    /// The node of an id.
    pub fn find(&self, id: &[u8]) -> Option<Ref> {
        let mut nodes = self.nodes();
        nodes.find(|(_, n)| n.id.as_bytes() == id).map(|(at, _)| at)
    }

    /// Those who follow a node.
    pub fn followers(&self, of: Ref) -> impl Iterator<Item = &Node> {
        let nodes = self.nodes();
        nodes.filter_map(move |(_, n)| (n.leader == Some(of)).then_some(n))
    }

    /// The epoch that counts for a node: its leader's, where it follows one.
    pub fn epoch_of(&self, node: &Node) -> u64 {
        node.leader.map_or(node.epoch, |at| self.node(at).epoch)
    }

    /// Forgets a node, and does not get to know it again until then.
    ///
    /// # Errors
    /// In Valkey's words.
    pub fn forget(&mut self, id: &[u8], now_ms: u64, until_ms: u64) -> Result<(), String> {
        self.forgotten.retain(|_, until_ms| *until_ms > now_ms);
        let Some(at) = self.find(id) else {
            return match Id::parse(id).is_some_and(|id| self.forgotten.contains_key(&id)) {
                true => Ok(()),
                false => Err(unknown(id)),
            };
        };
        if at == self.me {
            return Err("ERR I tried hard but I can't forget myself...".into());
        }
        if self.me().leader == Some(at) {
            return Err("ERR Can't forget my master!".into());
        }
        self.forgotten.insert(self.node(at).id, until_ms);
        self.drop_node(at);
        Ok(())
    }

    fn drop_node(&mut self, at: Ref) {
        for slot in 0..hash::SLOTS {
            if self.owner(slot) == Some(at) {
                self.take_slot(slot);
            }
        }
        self.going.retain(|_, to| *to != at);
        self.coming.retain(|_, from| *from != at);
        for node in self.nodes.iter_mut().flatten() {
            if node.leader == Some(at) {
                node.leader = None;
            }
        }
        self.nodes[usize::from(at)] = None;
    }

    // ----- slots ----------------------------------------------------------

    /// Who serves a slot.
    pub fn owner(&self, slot: u16) -> Option<Ref> {
        self.owners[usize::from(slot)]
    }

    /// Where a slot's keys go to, and where they come from.
    pub fn ways(&self, slot: u16) -> (Option<Ref>, Option<Ref>) {
        let (to, from) = (self.going.get(&slot), self.coming.get(&slot));
        (to.copied(), from.copied())
    }

    /// Runs of slots side by side that one node serves: first, last and whose.
    pub fn runs(&self) -> Vec<(u16, u16, Ref)> {
        let mut runs: Vec<(u16, u16, Ref)> = Vec::new();
        for (slot, owner) in (0..).zip(&self.owners) {
            match (runs.last_mut(), *owner) {
                (Some((_, last, of)), Some(owner)) if *of == owner && *last + 1 == slot => {
                    *last = slot;
                }
                (_, Some(owner)) => runs.push((slot, slot, owner)),
                (_, None) => {}
            }
        }
        runs
    }

    /// A node serves a slot from now on; false where one does already.
    pub fn give_slot(&mut self, at: Ref, slot: u16) -> bool {
        let owner = &mut self.owners[usize::from(slot)];
        if owner.is_some() {
            return false;
        }
        *owner = Some(at);
        self.node_mut(at).slots += 1;
        true
    }

    /// Nobody serves a slot any more; false where nobody did.
    pub fn take_slot(&mut self, slot: u16) -> bool {
        let Some(at) = self.owners[usize::from(slot)].take() else {
            return false;
        };
        self.node_mut(at).slots -= 1;
        true
    }

    /// Opens a slot, as the nodes file says.
    pub fn open_slot(&mut self, slot: u16, to: Option<Ref>, from: Option<Ref>) {
        if let Some(to) = to {
            self.going.insert(slot, to);
        }
        if let Some(from) = from {
            self.coming.insert(slot, from);
        }
    }

    /// ADDSLOTS and DELSLOTS: this node serves these slots from now on, or nobody does.
    ///
    /// # Errors
    /// In Valkey's words; then nothing has changed.
    pub fn claim(&mut self, ranges: &[(u16, u16)], gives_up: bool) -> Result<(), String> {
        let mut named = vec![false; usize::from(hash::SLOTS)];
        for slot in ranges.iter().flat_map(|&(first, last)| first..=last) {
            match self.owner(slot) {
                None if gives_up => return Err(format!("ERR Slot {slot} is already unassigned")),
                Some(_) if !gives_up => return Err(format!("ERR Slot {slot} is already busy")),
                _ => {}
            }
            if std::mem::replace(&mut named[usize::from(slot)], true) {
                return Err(format!("ERR Slot {slot} specified multiple times"));
            }
        }
        for slot in (0..hash::SLOTS).filter(|slot| named[usize::from(*slot)]) {
            self.coming.remove(&slot);
            match gives_up {
                true => self.take_slot(slot),
                false => self.give_slot(self.me, slot),
            };
        }
        Ok(())
    }

    /// Nobody serves what this node did.
    pub fn give_up_all(&mut self) {
        for slot in 0..hash::SLOTS {
            if self.owner(slot) == Some(self.me) {
                self.take_slot(slot);
            }
        }
    }

    /// Whether SETSLOT may do something with a slot in which this node has so many keys.
    ///
    /// # Errors
    /// In Valkey's words.
    pub fn check(&self, slot: u16, action: Action, keys: usize) -> Result<(), String> {
        let is_mine = self.owner(slot) == Some(self.me);
        let other = match action {
            Action::Migrate(_) if !is_mine => {
                return Err(format!("ERR I'm not the owner of hash slot {slot}"));
            }
            Action::Import(_) if is_mine => {
                return Err(format!("ERR I'm already the owner of hash slot {slot}"));
            }
            Action::Settle => return Ok(()),
            Action::Migrate(at) | Action::Import(at) | Action::Assign(at) => at,
        };
        if other == self.me && !matches!(action, Action::Assign(_)) {
            return Err("ERR Target node is myself".into());
        }
        if self.node(other).is(flag::FOLLOWER) {
            return Err("ERR Target node is not a master".into());
        }
        if matches!(action, Action::Assign(_)) && is_mine && other != self.me && keys > 0 {
            return Err(format!(
                "ERR Can't assign hashslot {slot} to a different node while I still hold keys \
                 for this hash slot."
            ));
        }
        Ok(())
    }

    /// SETSLOT, where [`State::check`] has nothing against it.
    pub fn set_slot(&mut self, slot: u16, action: Action, keys: usize) {
        match action {
            Action::Migrate(to) => drop(self.going.insert(slot, to)),
            Action::Import(from) => drop(self.coming.insert(slot, from)),
            Action::Settle => {
                self.going.remove(&slot);
                self.coming.remove(&slot);
            }
            Action::Assign(at) => {
                if keys == 0 {
                    self.going.remove(&slot);
                }
                self.take_slot(slot);
                self.give_slot(at, slot);
                if at == self.me && self.coming.remove(&slot).is_some() {
                    // The others are to believe this node rather than the one before.
                    self.bump_epoch();
                }
            }
        }
    }

    /// What the routing of commands needs to know of a slot.
    pub fn place(&self, slot: u16) -> Place {
        let my_leader = self.me().leader;
        Place {
            owner: match self.owner(slot) {
                None => Owner::None,
                Some(at) if at == self.me => Owner::Here,
                Some(at) if Some(at) == my_leader => Owner::Leader,
                Some(_) => Owner::Elsewhere,
            },
            goes: self.owner(slot) == Some(self.me) && self.going.contains_key(&slot),
            comes: self.coming.contains_key(&slot),
        }
    }

    // ----- epochs ---------------------------------------------------------

    /// The greatest epoch that is known.
    pub fn greatest_epoch(&self) -> u64 {
        let epochs = self.nodes().map(|(_, node)| node.epoch);
        epochs.max().unwrap_or(0).max(self.epoch)
    }

    /// Gives this node the greatest epoch, without asking anybody; false where it has it.
    pub fn bump_epoch(&mut self) -> bool {
        let greatest = self.greatest_epoch();
        if self.me().epoch != 0 && self.me().epoch == greatest {
            return false;
        }
        self.epoch += 1;
        self.me_mut().epoch = self.epoch;
        true
    }

    /// SET-CONFIG-EPOCH: gives this node an epoch while it is new and alone.
    ///
    /// # Errors
    /// In Valkey's words.
    pub fn set_epoch(&mut self, epoch: i64) -> Result<(), String> {
        let Ok(wanted) = u64::try_from(epoch) else {
            return Err(format!("ERR Invalid config epoch specified: {epoch}"));
        };
        if self.nodes().count() > 1 {
            return Err(
                "ERR The user can assign a config epoch only when the node does not know any \
                 other node."
                    .into(),
            );
        }
        if self.me().epoch != 0 {
            return Err("ERR Node config epoch is already non-zero".into());
        }
        self.me_mut().epoch = wanted;
        self.epoch = self.epoch.max(wanted);
        Ok(())
    }

    /// Forgets all slots and all other nodes; with `hard`, also who this one was.
    pub fn reset(&mut self, hard: bool) {
        self.going.clear();
        self.coming.clear();
        for slot in 0..hash::SLOTS {
            self.take_slot(slot);
        }
        let me = self.me;
        let others = self.nodes().map(|(at, _)| at).filter(|at| *at != me);
        for at in others.collect::<Vec<Ref>>() {
            self.drop_node(at);
        }
        self.forgotten.clear();
        let me = self.me_mut();
        me.shard = Id::random();
        if hard {
            me.id = Id::random();
            me.epoch = 0;
            (self.epoch, self.vote_epoch) = (0, 0);
        }
    }

    // ----- whether it serves -----------------------------------------------

    /// Whether the cluster serves.
    pub fn is_well(&self) -> bool {
        self.trouble.is_ok()
    }

    /// Leaders that serve a slot.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Suspects those that have given no sign of life for too long.
    pub fn suspect(&mut self, now_ms: u64, demands: Demands) {
        let me = self.me;
        for (at, node) in (0..).zip(&mut self.nodes) {
            if let Some(node) = node
                && at != me
                && !node.is(flag::FAILED | flag::HANDSHAKE)
                && now_ms.saturating_sub(node.pong_ms) > demands.node_timeout_ms
            {
                node.flags |= flag::SUSPECTED;
            }
        }
    }

    /// Finds out whether the cluster serves, at a node that started when `started_ms`
    /// says. What it finds is returned where it is news.
    pub fn judge(
        &mut self,
        now_ms: u64,
        started_ms: u64,
        demands: Demands,
    ) -> Option<Result<(), Trouble>> {
        let is_alone = self.nodes().count() == 1;
        self.size = self.nodes().filter(|(_, node)| node.votes()).count();
        // Others may know better who serves what: they are given the time to say so.
        let is_young = now_ms.saturating_sub(started_ms) < WRITABLE_DELAY_MS;
        if !is_alone && is_young && self.me().is(flag::LEADER) && !self.is_well() {
            return None;
        }
        let is_served =
            |owner: &Option<Ref>| owner.is_some_and(|at| !self.node(at).is(flag::FAILED));
        let mut found = match demands.full_coverage && !self.owners.iter().all(is_served) {
            true => Err(Trouble::Uncovered),
            false => Ok(()),
        };
        let is_reached = |node: &Node| node.votes() && !node.is(flag::SUSPECTED | flag::FAILED);
        let reached = self.nodes().filter(|(_, node)| is_reached(node)).count();
        if reached < self.size / 2 + 1 {
            found = Err(Trouble::Minority);
            self.minority_ms = now_ms;
        }
        let (least_ms, most_ms) = REJOIN_DELAY_MS;
        let delay_ms = demands.node_timeout_ms.clamp(least_ms, most_ms);
        let is_back = now_ms.saturating_sub(self.minority_ms) < delay_ms;
        if found.is_ok() && !self.is_well() && !is_alone && is_back {
            return None;
        }
        let known = found.map_err(Some);
        if known == self.trouble {
            return None;
        }
        let was = std::mem::replace(&mut self.trouble, known);
        // A node that begins in trouble has nothing to report but why.
        (was != Err(None) || found.is_ok()).then_some(found)
    }
}

/// In Valkey's words.
pub fn unknown(id: &[u8]) -> String {
    format!("ERR Unknown node {}", String::from_utf8_lossy(id))
}

#[cfg(test)]
mod tests;
