//! Says in the log what the workers are at: when one has not come round for
//! `watchdog-period`, and when the process is sent SIGALRM.
//!
//! It runs on the thread that waits for signals, which serves nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::base::{clock, log};
use crate::config::param;
use crate::exec::engine::Engine;
use crate::observe::clients;
use crate::warning;

/// How often it looks whether there is a period, where there was none.
const IDLE: Duration = Duration::from_millis(500);

/// How long a worker may take to come round, at least, in rounds of `hz`.
const ROUNDS_MIN: u64 = 2;

/// What was seen of a worker.
#[derive(Clone, Copy, Default)]
struct Seen {
    ticks: u64,
    at_ns: u64,
    reported: bool,
}

/// Watches the workers for as long as the process runs.
pub async fn watch(engine: Arc<Engine>) {
    let mut alarms = signal(SignalKind::alarm()).ok();
    let mut seen = vec![Seen::default(); engine.workers.len()];
    loop {
        let period_ms = engine.settings.int(param::WATCHDOG_PERIOD) as u64;
        let hz = engine.settings.int(param::HZ).max(1) as u64;
        let period_ms = match period_ms {
            0 => 0,
            ms => ms.max(1_000 / hz * ROUNDS_MIN),
        };
        let pause = match period_ms {
            0 => IDLE,
            ms => Duration::from_millis(ms / 2),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = next(&mut alarms) => {
                warning!("\n--- Received SIGALRM ---");
                (0..engine.workers.len()).for_each(|worker| report(&engine, worker));
                warning!("--------\n");
            }
        }
        for (worker, seen) in seen.iter_mut().enumerate() {
            let ticks = engine.workers[worker].ticks.load(Ordering::Relaxed);
            let now_ns = clock::mono_ns();
            if ticks != seen.ticks || period_ms == 0 {
                *seen = Seen {
                    ticks,
                    at_ns: now_ns,
                    reported: false,
                };
            } else if now_ns - seen.at_ns >= period_ms * 1_000_000 && !seen.reported {
                seen.reported = true;
                warning!("\n--- WATCHDOG TIMER EXPIRED ---");
                report(&engine, worker);
                warning!("--------\n");
            }
        }
    }
}

async fn next(alarms: &mut Option<Signal>) {
    match alarms {
        Some(alarms) => drop(alarms.recv().await),
        None => std::future::pending().await,
    }
}

/// Whose commands a worker runs.
fn report(engine: &Engine, worker: usize) {
    let id = engine.workers[worker].client.load(Ordering::Relaxed);
    let all = engine.clients.all();
    let Some(client) = all.iter().find(|c| c.id == id) else {
        warning!("worker {worker} runs no command");
        return;
    };
    let line = clients::line_for_log(engine, client, clock::unix_ms());
    warning!("worker {worker} runs commands of this client:");
    log::write_raw(&[&line[..], b"\n"].concat());
}
