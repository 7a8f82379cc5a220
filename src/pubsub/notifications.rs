//! Keyspace notifications: what happens to keys, published in two channels, one
//! named after the key and one after the event.
//!
//! Those come from effects alone, and only while `notify-keyspace-events` asks
//! for some: otherwise nothing is gathered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{Payload, PubSub};
use crate::base::num::IntText;
use crate::config::{event_bit, param};
use crate::exec::effect::{Change, Consumer, Effect};
use crate::exec::engine::Engine;

/// What of all that happens is published.
#[derive(Default)]
pub(super) struct Classes {
    /// As [`event_bit`] numbers them.
    bits: AtomicU64,
    attached: Mutex<bool>,
}

/// Publishes what `notify-keyspace-events` asks for from now on.
pub fn configure(engine: &Engine) {
    let hub = engine.service::<PubSub>();
    let bits = engine.settings.bits(param::NOTIFY_KEYSPACE_EVENTS);
    let channels = u64::from(event_bit('K') | event_bit('E'));
    let wanted = bits & channels != 0 && bits & !channels != 0;
    hub.classes.bits.store(bits, Ordering::Relaxed);
    let mut attached = hub.classes.attached.lock();
    if wanted != *attached {
        let consumer: Arc<dyn Consumer> = hub.clone();
        match wanted {
            true => engine.effects.attach(consumer),
            false => engine.effects.detach(&consumer),
        }
        *attached = wanted;
    }
}

impl Consumer for PubSub {
    fn wants_commands(&self) -> bool {
        false
    }

    fn observe(&self, effect: &Effect) {
        if self.is_idle() {
            return;
        }
        let bits = self.classes.bits.load(Ordering::Relaxed);
        let is_wanted = |letter: char| bits & u64::from(event_bit(letter)) != 0;
        for change in &effect.changes {
            if is_wanted(change.event.class) {
                self.announce(change, is_wanted('K'), is_wanted('E'));
            }
        }
    }
}

impl PubSub {
    fn announce(&self, change: &Change, by_key: bool, by_event: bool) {
        let event = change.event.name.as_bytes();
        let db = IntText::unsigned(change.db.into());
        let channel = |kind: &str, name: &[u8]| -> SmallVec<[u8; 128]> {
            let mut channel = SmallVec::from_slice(kind.as_bytes());
            channel.extend_from_slice(db.as_bytes());
            channel.extend_from_slice(b"__:");
            channel.extend_from_slice(name);
            channel
        };
        if by_key {
            let channel = channel("__keyspace@", &change.key);
            self.publish(&channel, &Payload::new(event));
        }
        if by_event {
            let channel = channel("__keyevent@", event);
            self.publish(&channel, &Payload::new(&change.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::Kit;

    #[test]
    fn effects_are_gathered_only_while_somebody_is_to_hear_of_them() {
        let mut kit = Kit::with(&["--notify-keyspace-events", "Kg"]);
        assert!(kit.engine.effects.wanted());
        for (classes, wanted) in [("", false), ("KE", false), ("A", false), ("Ex", true)] {
            kit.call(&[
                b"config",
                b"set",
                b"notify-keyspace-events",
                classes.as_bytes(),
            ]);
            assert_eq!(kit.engine.effects.wanted(), wanted, "{classes}");
            assert!(!kit.engine.effects.wants_commands());
        }
    }
}
