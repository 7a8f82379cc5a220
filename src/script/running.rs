//! The script that runs: who wants to know of it, and who wants it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::clock;
use crate::config::{Settings, param};
use crate::exec::busy::{Busy, Kind};
use crate::exec::session::Session;
use crate::protocol::error::Error;

/// Milliseconds of the clock that only rises.
fn now_ms() -> u64 {
    clock::mono_ns() / 1_000_000
}

/// How long a library may take to be loaded, in milliseconds.
const LOADING_MAX_MS: u64 = 500;

/// See the head of this file.
pub struct Running {
    settings: Arc<Settings>,
    busy: Arc<Busy>,
    /// What runs; its memory is kept for the next.
    now: Mutex<Now>,
    /// When it began, in milliseconds of the clock that only rises.
    began_ms: AtomicU64,
    /// It has begun to write.
    wrote: AtomicBool,
    /// Somebody has it ended.
    killed: AtomicBool,
    /// It was told to end.
    ended: AtomicBool,
    /// 1 while a library is loaded, which has its own time.
    loads: AtomicU8,
}

#[derive(Default)]
struct Now {
    kind: Option<Kind>,
    /// The worker whose thread it has.
    worker: usize,
    /// A leader's commands are obeyed.
    leads: bool,
    name: Vec<u8>,
    words: Vec<u8>,
    ends: Vec<usize>,
}

/// What others see of it.
pub struct Seen {
    /// The script's digest, or the function's name.
    pub name: Vec<u8>,
    /// The command that runs it.
    pub argv: Vec<Vec<u8>>,
    /// For how long it runs, in milliseconds.
    pub ms: u64,
}

/// It runs until this goes.
pub struct Run<'a>(&'a Running);

impl Running {
    /// None runs.
    pub fn new(settings: Arc<Settings>, busy: Arc<Busy>) -> Running {
        Running {
            settings,
            busy,
            now: Mutex::default(),
            began_ms: AtomicU64::new(0),
            wrote: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            loads: AtomicU8::new(0),
        }
    }

    /// One begins, while no other runs.
    pub fn begin(&self, kind: Kind, session: &Session, name: &[u8], argv: &[&[u8]]) -> Run<'_> {
        let mut now = self.now.lock();
        now.kind = Some(kind);
        now.leads = session.leads;
        now.worker = session.worker;
        now.name.clear();
        now.name.extend_from_slice(name);
        now.words.clear();
        now.ends.clear();
        for word in argv {
            now.words.extend_from_slice(word);
            let end = now.words.len();
            now.ends.push(end);
        }
        self.wrote.store(false, Ordering::Relaxed);
        self.killed.store(false, Ordering::Relaxed);
        self.began_ms.store(now_ms(), Ordering::Relaxed);
        Run(self)
    }

    /// A library is loaded, unless a leader's words are obeyed, within its time.
    pub fn begin_loading(&self, leads: bool) -> Run<'_> {
        self.began_ms.store(now_ms(), Ordering::Relaxed);
        self.loads.store(u8::from(!leads), Ordering::Relaxed);
        Run(self)
    }

    /// Notes whether it has begun to write.
    pub fn note_write(&self, wrote: bool) {
        self.wrote.store(wrote, Ordering::Relaxed);
    }

    fn ms(&self) -> u64 {
        now_ms().saturating_sub(self.began_ms.load(Ordering::Relaxed))
    }

    /// Whether it was told to end since this was last asked.
    pub fn was_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed) && self.ended.swap(false, Ordering::Relaxed)
    }

    /// From time to time while it runs: why it must end, if it must. Others are told
    /// from when it runs for too long.
    pub fn look(&self) -> Option<&'static str> {
        let why = self.reason_to_end();
        self.ended.fetch_or(why.is_some(), Ordering::Relaxed);
        why
    }

    fn reason_to_end(&self) -> Option<&'static str> {
        let ms = self.ms();
        if self.loads.load(Ordering::Relaxed) != 0 {
            return (ms > LOADING_MAX_MS).then_some("FUNCTION LOAD timeout");
        }
        let threshold_ms = self.settings.int(param::BUSY_REPLY_THRESHOLD) as u64;
        if threshold_ms > 0 && ms >= threshold_ms && !self.busy.is_on() {
            let now = self.now.lock();
            let how = match now.kind {
                Some(Kind::Function) => "FUNCTION KILL",
                _ => "SCRIPT KILL",
            };
            crate::warning!(
                "Slow script detected: still in execution after {ms} milliseconds. You can try \
                 killing the script using the {how} command. Script name is: {}.",
                String::from_utf8_lossy(&now.name)
            );
            let (kind, worker) = (now.kind.unwrap_or(Kind::Script), now.worker);
            drop(now);
            self.busy.begin(kind, worker);
        }
        if self.busy.is_on() && self.busy.is_doomed() {
            return Some("Script ended because the server does.");
        }
        if !self.killed.load(Ordering::Relaxed) {
            return None;
        }
        let why = match self.now.lock().kind {
            Some(Kind::Function) => "Script killed by user with FUNCTION KILL.",
            _ => "Script killed by user with SCRIPT KILL.",
        };
        crate::notice!("{why}");
        Some(why)
    }

    /// Has it ended, if it is of this kind and has not begun to write.
    ///
    /// # Errors
    /// Why it is not.
    pub fn kill(&self, kind: Kind) -> Result<(), Error> {
        let now = self.now.lock();
        match now.kind {
            None => Err(Error::NOT_BUSY),
            Some(_) if now.leads => Err(Error::UNKILLABLE_LEADERS),
            Some(_) if self.wrote.load(Ordering::Relaxed) => Err(Error::UNKILLABLE),
            Some(running) if running != kind => Err(self.error_of(running)),
            Some(_) => {
                self.killed.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn error_of(&self, kind: Kind) -> Error {
        match kind {
            Kind::Script => Error::BUSY_SCRIPT,
            Kind::Function => Error::BUSY_FUNCTION,
        }
    }

    /// What runs, to be shown; an error where it is a script, not a function.
    ///
    /// # Errors
    /// That one runs.
    pub fn seen(&self) -> Result<Option<Seen>, Error> {
        let now = self.now.lock();
        match now.kind {
            None => Ok(None),
            Some(Kind::Script) if self.busy.is_on() => Err(Error::BUSY_SCRIPT),
            Some(Kind::Script) => Ok(None),
            Some(Kind::Function) => {
                let mut from = 0;
                let word = |&end: &usize| {
                    let word = now.words[from..end].to_vec();
                    from = end;
                    word
                };
                Ok(Some(Seen {
                    name: now.name.clone(),
                    argv: now.ends.iter().map(word).collect(),
                    ms: self.ms(),
                }))
            }
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.loads.store(0, Ordering::Relaxed);
        self.0.now.lock().kind = None;
        if self.0.busy.is_on() {
            self.0.busy.end();
        }
    }
}
