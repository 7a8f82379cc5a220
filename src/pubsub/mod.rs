//! Publish and subscribe: who listens to which channel, and what they are sent.
//!
//! Channels are spread over stripes, each under a lock of its own, which is held
//! while a message is posted: so all subscribers of a channel get its messages in
//! the same order, and whoever has been unsubscribed gets no more.
//!
//! **Knows no** keys but those that effects name, and no connection: what it
//! sends goes through a client's mail.

mod notifications;
mod registry;
mod subscriptions;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::glob::{self, Case};
use crate::exec::engine::Engine;
use crate::exec::mail::Message;
use crate::exec::services::Service;
use crate::exec::session::Client;
use crate::protocol::reply::Reply;
use crate::store::entry::Blob;

use notifications::Classes;
pub use notifications::configure;
use registry::{Channels, Patterns, Subscribers};
pub use subscriptions::{Kind, Subscriptions};

/// From this size on what is published is shared by those who get it, rather
/// than copied for each, in bytes.
const SHARED_MIN: usize = 2 * 1024;

/// See the head of this file.
pub struct PubSub {
    channels: Channels,
    shard_channels: Channels,
    patterns: Patterns,
    classes: Classes,
    /// How often shard channels were ended for all who listened.
    ended: AtomicU64,
}

/// What is published.
pub struct Payload<'a> {
    bytes: &'a [u8],
    shared: OnceCell<Blob>,
}

impl<'a> Payload<'a> {
    /// These bytes.
    pub fn new(bytes: &'a [u8]) -> Payload<'a> {
        Payload {
            bytes,
            shared: OnceCell::new(),
        }
    }

    /// These bytes, which lie in memory that can be shared.
    pub fn shared(bytes: &'a [u8], blob: Blob) -> Payload<'a> {
        Payload {
            bytes,
            shared: OnceCell::from(blob),
        }
    }

    fn write(&self, reply: &mut Reply<'_>) {
        if self.bytes.len() < SHARED_MIN {
            reply.bulk(self.bytes);
        } else {
            let shared = self.shared.get_or_init(|| Arc::new(self.bytes.to_vec()));
            reply.blob(shared.clone());
        }
    }
}

impl Service for PubSub {
    fn new(engine: &Engine) -> Arc<PubSub> {
        Arc::new(PubSub {
            channels: Channels::new(engine.counters.channels.clone()),
            shard_channels: Channels::new(engine.counters.shard_channels.clone()),
            patterns: Patterns::new(engine.counters.patterns.clone()),
            classes: Classes::default(),
            ended: AtomicU64::new(0),
        })
    }
}

impl PubSub {
    /// Whether nobody subscribes to any channel or pattern.
    pub fn is_idle(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty()
    }

    /// Sends to all who listen to a channel, or to a pattern that it matches; how
    /// many that are.
    pub fn publish(&self, channel: &[u8], payload: &Payload<'_>) -> usize {
        let sent = self.send(&self.channels, "message", channel, payload);
        if self.patterns.is_empty() {
            return sent;
        }
        let mut matched = 0;
        self.patterns.each(|pattern, subscribers| {
            if !glob::matches(pattern, channel, Case::Exact) {
                return;
            }
            let write = |reply: &mut Reply<'_>| {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
                reply.bulk(channel);
                payload.write(reply);
            };
            let message = Message::new(&write);
            subscribers.values().for_each(|c| c.post(&message));
            matched += subscribers.len();
        });
        sent + matched
    }

    /// Sends to all who listen to a shard channel; how many that are.
    pub fn publish_in_shard(&self, channel: &[u8], payload: &Payload<'_>) -> usize {
        self.send(&self.shard_channels, "smessage", channel, payload)
    }

    /// Whether anybody listens to a shard channel.
    pub fn has_shard_channels(&self) -> bool {
        !self.shard_channels.is_empty()
    }

    /// Ends shard channels, which another node of the cluster has from now on: all who
    /// listen are told so.
    pub fn end_shard_channels(&self, is_over: impl Fn(&[u8]) -> bool) {
        let taken = self.shard_channels.take(is_over);
        if taken.is_empty() {
            return;
        }
        for (name, subscribers) in &taken {
            for client in subscribers.values() {
                let counts = &client.subscriptions[Kind::Shard as usize];
                let left = counts.fetch_sub(1, Ordering::Relaxed) - 1;
                let write = |reply: &mut Reply<'_>| {
                    reply.push(3);
                    reply.bulk(b"sunsubscribe");
                    reply.bulk(name);
                    reply.int(i64::from(left));
                };
                client.post(&Message::new(&write));
            }
        }
        // Sessions still have the names: they look when they next use them.
        self.ended.fetch_add(1, Ordering::Release);
    }

    fn send(
        &self,
        channels: &Channels,
        kind: &str,
        channel: &[u8],
        payload: &Payload<'_>,
    ) -> usize {
        if channels.is_empty() {
            return 0;
        }
        let write = |reply: &mut Reply<'_>| {
            reply.push(3);
            reply.bulk(kind.as_bytes());
            reply.bulk(channel);
            payload.write(reply);
        };
        let message = Message::new(&write);
        channels.with(channel, |subscribers| {
            subscribers.values().for_each(|c| c.post(&message));
            subscribers.len()
        })
    }

    /// The channels, or shard channels, that somebody listens to, of those that
    /// match a pattern.
    pub fn active(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Arc<[u8]>> {
        let mut names = self.of(kind).names();
        names.retain(|name| pattern.is_none_or(|p| glob::matches(p, name, Case::Exact)));
        names
    }

    /// How many listen to a channel, or to a shard channel.
    pub fn subscribers(&self, kind: Kind, channel: &[u8]) -> usize {
        self.of(kind).with(channel, |subscribers| subscribers.len())
    }

    /// How many patterns there are.
    pub fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// Those of some clients who listen to anything of some kind and name.
    pub fn listeners(
        &self,
        is_meant: impl Fn(Kind, &[u8]) -> bool,
        is_concerned: impl Fn(&Client) -> bool,
    ) -> Vec<Arc<Client>> {
        let mut found: BTreeMap<u64, Arc<Client>> = BTreeMap::new();
        let mut visit = |kind: Kind, name: &[u8], subscribers: &Subscribers| {
            if is_meant(kind, name) {
                let clients = subscribers.values().filter(|client| is_concerned(client));
                found.extend(clients.map(|client| (client.id, client.clone())));
            }
        };
        for (kind, channels) in [
            (Kind::Channel, &self.channels),
            (Kind::Shard, &self.shard_channels),
        ] {
            channels.each(|name, subscribers| visit(kind, name, subscribers));
        }
        self.patterns
            .each(|name, subscribers| visit(Kind::Pattern, name, subscribers));
        found.into_values().collect()
    }

    fn of(&self, kind: Kind) -> &Channels {
        match kind {
            Kind::Shard => &self.shard_channels,
            Kind::Channel | Kind::Pattern => &self.channels,
        }
    }
}
