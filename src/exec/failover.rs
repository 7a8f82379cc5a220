//! A leader that is about to change places with one of its followers (FAILOVER): how far
//! that is. The `replication` service brings it about.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::config::Primary;

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Nobody asked for it.
    None,
    /// A follower is to have everything first; nobody may write meanwhile.
    Waiting,
    /// That one is asked to lead.
    Asking,
}

impl Stage {
    const ALL: [Stage; 3] = [Stage::None, Stage::Waiting, Stage::Asking];

    /// As INFO says it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::None => "no-failover",
            Stage::Waiting => "waiting-for-sync",
            Stage::Asking => "failover-in-progress",
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Who is to lead; any follower that has everything, where nobody is named.
    pub target: Option<Primary>,
    /// When to give up waiting, in Unix milliseconds.
    pub until_ms: Option<u64>,
    /// Not to give up then, but to go on without waiting.
    pub is_forced: bool,
}

/// See the head of this file.
#[derive(Default)]
pub struct Failover {
    stage: AtomicU8,
    plan: Mutex<Plan>,
}

impl Failover {
    /// How far it is.
    pub fn stage(&self) -> Stage {
        Stage::ALL[usize::from(self.stage.load(Ordering::Acquire))]
    }

    /// What was asked for.
    pub fn plan(&self) -> Plan {
        self.plan.lock().clone()
    }

    /// It is asked for.
    pub fn begin(&self, plan: Plan) {
        *self.plan.lock() = plan;
        self.set_stage(Stage::Waiting);
    }

    /// It has come so far.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }
}
