//! Changing places with a follower: nobody may write until it has everything; then this
//! server follows it, and asks it to lead.

use std::sync::atomic::Ordering;

use super::Leader;
use crate::base::clock;
use crate::config::Primary;
use crate::exec::engine::Engine;
use crate::exec::failover::{Plan, Stage};
use crate::exec::leading::Progress;
use crate::exec::pause::Purpose;
use crate::exec::waiting;
use crate::protocol::error::Error;

impl Leader {
    /// Looks whether it can go on. Now and then, on the thread of a worker which holds
    /// no lock.
    pub fn look_at_failover(&self, engine: &Engine, worker: usize) {
        let failover = &engine.leading.failover;
        if failover.stage() != Stage::Waiting {
            return;
        }
        let plan = failover.plan();
        let is_late = plan.until_ms.is_some_and(|ms| clock::unix_ms() >= ms);
        let target = match &plan.target {
            Some(target) if is_late && plan.is_forced => {
                crate::notice!(
                    "FAILOVER to {} time out exceeded, failing over.",
                    shown(target)
                );
                target.clone()
            }
            _ if is_late => {
                let _held = engine.keyspace.lock_all();
                self.abort_failover(engine, "Replica never caught up before timeout");
                return;
            }
            named => match self.who_has_all(engine, named.as_ref()) {
                Some(target) => {
                    crate::notice!(
                        "Failover target {} is synced, failing over.",
                        shown(&target)
                    );
                    target
                }
                None => return,
            },
        };
        let _held = engine.keyspace.lock_all();
        if failover.stage() == Stage::Waiting {
            failover.begin(Plan {
                target: Some(target.clone()),
                ..plan
            });
            failover.set_stage(Stage::Asking);
            self.follow(engine, worker, target, true);
        }
    }

    /// A follower that has everything: the one that is named, or any.
    fn who_has_all(&self, engine: &Engine, named: Option<&Primary>) -> Option<Primary> {
        let offset = engine.leading.offset.load(Ordering::Acquire);
        let followers = engine.leading.followers();
        let address = |ip: &str, port: u32| {
            Some(Primary {
                host: ip.as_bytes().into(),
                port: u16::try_from(port).ok()?,
            })
        };
        followers
            .iter()
            .filter(|f| f.progress() == Progress::Online)
            .filter(|f| f.acked.load(Ordering::Acquire) == offset)
            .filter_map(|f| address(f.ip(), f.port))
            .find(|found| named.is_none_or(|named| named == found))
    }

    /// Gives it up, for this reason: this server leads, as before. For who holds every
    /// shard.
    pub fn abort_failover(&self, engine: &Engine, why: &str) {
        let failover = &engine.leading.failover;
        let stage = failover.stage();
        if stage == Stage::None {
            return;
        }
        let target = failover.plan().target;
        let target = target.map_or("any replica".into(), |target| shown(&target));
        crate::notice!("FAILOVER to {target} aborted: {why}");
        end(engine);
        if stage == Stage::Asking {
            self.lead(engine);
        }
    }

    /// The other one leads.
    pub(super) fn end_failover(&self, engine: &Engine, worker: usize) {
        if engine.leading.failover.stage() == Stage::Asking {
            end(engine);
            waiting::fail_all(engine, worker, &Error::FORCED_UNBLOCK);
        }
    }
}

/// Whoever wanted to write goes on, or is refused.
fn end(engine: &Engine) {
    engine.leading.failover.set_stage(Stage::None);
    engine.effects.pause.end(Purpose::Failover);
    for client in engine.clients.all() {
        client.wake();
    }
}

fn shown(primary: &Primary) -> String {
    format!(
        "{}:{}",
        String::from_utf8_lossy(&primary.host),
        primary.port
    )
}
