//! What one session listens to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::PubSub;
use crate::exec::session::{Client, Session};

/// What can be subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels that match a pattern.
    Pattern,
    /// A channel that lives in one slot of a cluster.
    Shard,
}

const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

/// What a session listens to; it ends when this goes.
pub struct Subscriptions {
    hub: Arc<PubSub>,
    client: Arc<Client>,
    /// By [`Kind`].
    names: [BTreeSet<Arc<[u8]>>; 3],
    /// How often channels had been ended when it last looked whether its own were.
    seen: u64,
}

impl Subscriptions {
    /// Those of a session.
    pub fn of<'a>(session: &'a mut Session, hub: &Arc<PubSub>) -> &'a mut Subscriptions {
        let client = &session.client;
        let all = session.extensions.get_or_insert_with(|| Subscriptions {
            hub: hub.clone(),
            client: client.clone(),
            names: Default::default(),
            seen: hub.ended.load(Ordering::Acquire),
        });
        all.forget_ended();
        all
    }

    /// Forgets shard channels that were ended.
    fn forget_ended(&mut self) {
        let ended = self.hub.ended.load(Ordering::Acquire);
        if std::mem::replace(&mut self.seen, ended) == ended {
            return;
        }
        let (channels, client) = (&self.hub.shard_channels, &self.client);
        self.names[Kind::Shard as usize].retain(|name| {
            let is_there = channels.has(name, client);
            if !is_there {
                client.drop_name(name);
            }
            is_there
        });
    }

    /// Listens to one more; nothing happens where it does so already.
    pub fn add(&mut self, kind: Kind, name: &[u8]) {
        if self.names[kind as usize].contains(name) {
            return;
        }
        // Before any message can come: its limit is a subscriber's.
        self.client.subscriptions[kind as usize].fetch_add(1, Ordering::Relaxed);
        let shared = match kind {
            Kind::Pattern => self.hub.patterns.add(name, &self.client),
            Kind::Channel | Kind::Shard => self.hub.of(kind).add(name, &self.client),
        };
        self.names[kind as usize].insert(shared);
        self.client.keep_name(name);
    }

    /// Listens to one less; nothing happens where it does not.
    pub fn remove(&mut self, kind: Kind, name: &[u8]) {
        if !self.names[kind as usize].remove(name) {
            return;
        }
        match kind {
            Kind::Pattern => self.hub.patterns.remove(name, &self.client),
            Kind::Channel | Kind::Shard => self.hub.of(kind).remove(name, &self.client),
        }
        self.client.subscriptions[kind as usize].fetch_sub(1, Ordering::Relaxed);
        self.client.drop_name(name);
    }

    /// The names of a kind.
    pub fn names(&self, kind: Kind) -> Vec<Arc<[u8]>> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// How many of a kind there are, as a client is told: channels and patterns
    /// count together.
    pub fn count(&self, kind: Kind) -> usize {
        let len = |kind: Kind| self.names[kind as usize].len();
        match kind {
            Kind::Shard => len(kind),
            Kind::Channel | Kind::Pattern => len(Kind::Channel) + len(Kind::Pattern),
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.forget_ended();
        for kind in KINDS {
            for name in self.names(kind) {
                self.remove(kind, &name);
            }
        }
    }
}
