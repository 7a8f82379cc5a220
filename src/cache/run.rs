//! Warming: a run announces keys on the refresh stream, by the priority of their
//! policies, so that workers load them before anybody asks. One at a time, in slices
//! between a worker's other work.
//!
//! ```text
//!  START HOT ──► walk over what is there ──┐
//!  a schedule                              ├─► read the file, merge, sort ─► announce
//!  the server's start ─────────────────────┘      (a thread of its own)         ▲
//!  START KEYS ──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What fails, a file, a key, costs itself alone. Hot keys are saved in the same way, and
//! once more at the end.
//!
//! **Lock order.** A command asks for a run while it may hold shards, so nobody takes a
//! shard while holding what is locked here: a slice takes its run out, works, and puts
//! it back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use chrono::{DateTime, Local};
use parking_lot::Mutex;

use super::hot::{self, Chosen, HotKey, Walk, Wanted};
use super::refresh::{self, Refresh, Told};
use super::warming::Figures;
use crate::base::{clock, hash};
use crate::config::param;
use crate::exec::args::Key;
use crate::exec::engine::Engine;
use crate::exec::services::Service;
use crate::exec::txn::{Announced, Known, State, Txn};
use crate::exec::waiting;
use crate::store::keyspace::Locked;
use crate::store::rules::Rules;
use crate::{notice, warning};

/// Most keys that a run is given by name.
pub const KEYS_MAX: usize = 10_000;
/// Keys that are announced at a time.
const SLICE: usize = 16;
/// Steps of a walk at a time.
const STEPS: usize = 4;
/// The last part of a lifetime, of a hundred, in which a key is near its end where its
/// policy does not say (`refresh`).
const NEAR_PERCENT: u64 = 10;
/// Whose thread runs all this.
const WORKER: usize = 0;

/// What a run announces.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    /// What is hot by what is there, and by the file.
    Hot,
    /// What the file says.
    Saved,
    /// These keys of a database.
    Keys(u32, Vec<Box<[u8]>>),
}

/// What is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    /// What is announced.
    pub source: Source,
    /// Which of it.
    pub wanted: Wanted,
    /// Also what is fresh and far from its end.
    pub force: bool,
    /// What the announcements give as their reason.
    pub why: &'static str,
}

/// Why there is no run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unready {
    /// This one is under way.
    Running(u64),
    /// There is no stream to announce on.
    NoStream,
}

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// There was none.
    #[default]
    None,
    /// It is under way.
    Running,
    /// It came to its end.
    Completed,
    /// It was stopped.
    Stopped,
}

impl Phase {
    /// The name that it has in commands.
    pub fn name(self) -> &'static str {
        match self {
            Phase::None => "none",
            Phase::Running => "running",
            Phase::Completed => "completed",
            Phase::Stopped => "stopped",
        }
    }
}

/// What is known of the run under way, or of the last one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Status {
    /// Rising from 1.
    pub id: u64,
    /// How far it has come.
    pub phase: Phase,
    /// Keys that it found; 0 while it is looking for them.
    pub total: u64,
    /// Those of them that it announced.
    pub announced: u64,
    /// Those that need no refill, or are not wanted.
    pub skipped: u64,
    /// What failed: keys, or the file.
    pub failed: u64,
    /// When it began, in Unix milliseconds.
    pub started_ms: u64,
    /// When it ended; 0 while it is under way.
    pub ended_ms: u64,
    /// What failed last.
    pub last_error: String,
}

impl Status {
    /// How long it took, or has taken by now, in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let until_ms = match self.phase {
            Phase::Running => clock::unix_ms(),
            _ => self.ended_ms,
        };
        until_ms.saturating_sub(self.started_ms)
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.last_error = why;
    }
}

/// Keys with their databases, in the order in which they are announced.
type Keys = Vec<(u32, Box<[u8]>)>;

/// What the thread of a run found.
struct Gathered {
    keys: Keys,
    error: Option<String>,
}

/// Where a run is.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Stage {
    Begin,
    Walking(Walk),
    Gathering(JoinHandle<Gathered>),
    Announcing(std::vec::IntoIter<(u32, Box<[u8]>)>),
}

struct Run {
    order: Order,
    stage: Stage,
    status: Status,
}

/// Where the saving of hot keys is.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
#[derive(Default)]
enum Saving {
    #[default]
    No,
    Due,
    Walking(Walk),
    Writing(JoinHandle<io::Result<usize>>),
}

/// When runs begin by themselves.
#[derive(Default)]
struct Schedule {
    text: Arc<[u8]>,
    /// In Unix milliseconds; `None`: never.
    next_ms: Option<u64>,
    /// When hot keys were last saved, or that was first thought of.
    saved_ms: u64,
}

/// See the head of this file.
#[derive(Default)]
pub struct Warming {
    status: Mutex<Status>,
    /// Taken out while it is worked on.
    run: Mutex<Option<Box<Run>>>,
    saving: Mutex<Saving>,
    schedule: Mutex<Schedule>,
    /// Held by whoever writes the file.
    file: Arc<Mutex<()>>,
    /// Saving failed last time, and the log says so.
    save_error: Mutex<Option<String>>,
}

impl Service for Warming {
    fn new(_: &Engine) -> Arc<Warming> {
        Arc::default()
    }
}

/// Begins a run; returns its id.
///
/// # Errors
/// Where none can begin now.
pub fn start(engine: &Engine, order: Order) -> Result<u64, Unready> {
    if !refresh::is_on(engine) {
        return Err(Unready::NoStream);
    }
    let warming = engine.service::<Warming>();
    let mut status = warming.status.lock();
    if status.phase == Phase::Running {
        return Err(Unready::Running(status.id));
    }
    *status = Status {
        id: status.id + 1,
        phase: Phase::Running,
        started_ms: clock::unix_ms(),
        ..Status::default()
    };
    engine.service::<Figures>().begin();
    *warming.run.lock() = Some(Box::new(Run {
        order,
        stage: Stage::Begin,
        status: status.clone(),
    }));
    Ok(status.id)
}

/// Ends the run under way; false where there is none.
pub fn stop(engine: &Engine) -> bool {
    let warming = engine.service::<Warming>();
    let mut status = warming.status.lock();
    let is_running = status.phase == Phase::Running;
    if is_running {
        end(engine, &mut status, Phase::Stopped);
        // Where it is being worked on, that is noticed there.
        *warming.run.lock() = None;
    }
    is_running
}

/// What is known of the run under way, or of the last one.
pub fn status(engine: &Engine) -> Status {
    engine.service::<Warming>().status.lock().clone()
}

fn end(engine: &Engine, status: &mut Status, phase: Phase) {
    status.phase = phase;
    status.ended_ms = clock::unix_ms();
    engine.service::<Figures>().end();
    notice!(
        "Warming run {} {}: {} keys announced, {} skipped, {} failed, of {}, in {} ms",
        status.id,
        phase.name(),
        status.announced,
        status.skipped,
        status.failed,
        status.total,
        status.duration_ms()
    );
}

/// The server starts: the saved keys are announced, where there are any.
pub fn at_start(engine: &Engine) {
    let is_there = file(engine).is_some_and(|path| path.exists());
    if is_there && engine.settings.flag(param::WARM_ON_START) {
        let order = Order {
            source: Source::Saved,
            wanted: Wanted::default(),
            force: false,
            why: "start",
        };
        if start(engine, order) == Err(Unready::NoStream) {
            warning!("There is no refresh-stream to announce the saved hot keys on");
        }
    }
}

/// What is done each second: begins what is due.
pub fn tick(engine: &Engine) {
    let warming = engine.service::<Warming>();
    let now_ms = clock::unix_ms();
    let (runs, saves) = {
        let mut schedule = warming.schedule.lock();
        let runs = schedule.is_due(engine, now_ms);
        (runs, schedule.is_save_due(engine, now_ms))
    };
    if runs {
        let settings = &engine.settings;
        let order = Order {
            source: Source::Hot,
            wanted: Wanted {
                policies: Vec::new(),
                reads_min: settings.int(param::WARM_MIN_READS) as u64,
                hit_percent_min: settings.int(param::WARM_MIN_HIT_RATIO) as f64,
            },
            force: false,
            why: "schedule",
        };
        match start(engine, order) {
            Ok(_) => {}
            Err(Unready::Running(id)) => {
                notice!("Warming run {id} is under way: the scheduled one is left out");
            }
            Err(Unready::NoStream) => {
                warning!("There is no refresh-stream for the scheduled warming");
            }
        }
    }
    let mut saving = warming.saving.lock();
    // One that is taken out to be worked on is put back over this: once is enough.
    if saves && matches!(*saving, Saving::No) {
        *saving = Saving::Due;
    }
}

impl Schedule {
    fn is_due(&mut self, engine: &Engine, now_ms: u64) -> bool {
        let text = engine.settings.text(param::WARM_SCHEDULE);
        if text != self.text {
            self.text = text;
            self.next_ms = next_after(&self.text, now_ms);
            if self.next_ms.is_none() && !self.text.is_empty() {
                warning!("The warm-schedule never comes round");
            }
        }
        let is_due = self.next_ms.is_some_and(|next_ms| next_ms <= now_ms);
        if is_due {
            self.next_ms = next_after(&self.text, now_ms);
        }
        is_due
    }

    fn is_save_due(&mut self, engine: &Engine, now_ms: u64) -> bool {
        let period_ms = engine.settings.int(param::WARM_SAVE_PERIOD) as u64 * 1000;
        // A clock that was put back begins anew.
        if self.saved_ms == 0 || self.saved_ms > now_ms {
            self.saved_ms = now_ms;
        }
        let is_due = period_ms > 0 && now_ms - self.saved_ms >= period_ms;
        if is_due {
            self.saved_ms = now_ms;
        }
        is_due && file(engine).is_some()
    }
}

/// The next time of a schedule behind a time, both in Unix milliseconds; by the clock of
/// where the server stands.
fn next_after(text: &[u8], now_ms: u64) -> Option<u64> {
    let schedule: croner::Cron = str::from_utf8(text).ok()?.parse().ok()?;
    let now = DateTime::from_timestamp_millis(i64::try_from(now_ms).ok()?)?;
    let next = schedule.find_next_occurrence(&now.with_timezone(&Local), false);
    u64::try_from(next.ok()?.timestamp_millis()).ok()
}

/// Goes on a little with what is under way; false where there is nothing to do now. On
/// the thread of worker 0, with no lock held.
pub fn slice(engine: &Engine) -> bool {
    let saves = go_on_saving(engine);
    go_on_running(engine) || saves
}

fn go_on_running(engine: &Engine) -> bool {
    let warming = engine.service::<Warming>();
    let Some(mut run) = warming.run.lock().take() else {
        return false;
    };
    let before = (run.status.announced, run.status.failed);
    let (stage, pace) = run.go_on(engine);
    let figures = engine.service::<Figures>();
    let is_over = stage.is_none();
    {
        let mut status = warming.status.lock();
        let (announced, failed) = (run.status.announced, run.status.failed);
        figures
            .announced
            .fetch_add(announced - before.0, Ordering::Relaxed);
        figures
            .failures
            .fetch_add(failed - before.1, Ordering::Relaxed);
        if status.id != run.status.id || status.phase != Phase::Running {
            // It was stopped meanwhile.
            return false;
        }
        *status = run.status.clone();
        if is_over {
            end(engine, &mut status, Phase::Completed);
        }
        if let Some(stage) = stage {
            run.stage = stage;
            *warming.run.lock() = Some(run);
        }
    }
    pace == Pace::Go && !is_over
}

/// Whether it makes sense to go on at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Go,
    Wait,
}

impl Run {
    /// The next stage, `None` at the end.
    fn go_on(&mut self, engine: &Engine) -> (Option<Stage>, Pace) {
        let stage = std::mem::replace(&mut self.stage, Stage::Begin);
        match stage {
            Stage::Begin => (self.begin(engine), Pace::Go),
            Stage::Walking(mut walk) => {
                for _ in 0..STEPS {
                    if !walk.slice(engine) {
                        let chosen = Chosen::new(engine, &self.order.wanted);
                        return (self.gather(engine, chosen, walk.found()), Pace::Go);
                    }
                }
                (Some(Stage::Walking(walk)), Pace::Go)
            }
            Stage::Gathering(thread) if !thread.is_finished() => {
                (Some(Stage::Gathering(thread)), Pace::Wait)
            }
            Stage::Gathering(thread) => {
                let gathered = thread.join().unwrap_or_else(|_| Gathered {
                    keys: Keys::new(),
                    error: Some("the list of keys could not be made".into()),
                });
                if let Some(why) = gathered.error {
                    warning!("Warming run {}: {why}", self.status.id);
                    self.status.fail(why);
                }
                self.status.total = gathered.keys.len() as u64;
                (Some(Stage::Announcing(gathered.keys.into_iter())), Pace::Go)
            }
            Stage::Announcing(keys) => self.announce(engine, keys),
        }
    }

    fn begin(&mut self, engine: &Engine) -> Option<Stage> {
        let wanted = &self.order.wanted;
        let chosen = Chosen::new(engine, wanted);
        match &mut self.order.source {
            Source::Hot => Some(Stage::Walking(Walk::new(
                chosen,
                wanted.reads_min,
                most(engine),
            ))),
            Source::Saved => self.gather(engine, chosen, Vec::new()),
            Source::Keys(db, keys) => {
                let mut keys: Keys = keys.drain(..).map(|key| (*db, key)).collect();
                hot::by_priority(&mut keys, &engine.keyspace.rules());
                self.status.total = keys.len() as u64;
                Some(Stage::Announcing(keys.into_iter()))
            }
        }
    }

    /// Puts together what was found and what the file says, on a thread of its own.
    fn gather(&mut self, engine: &Engine, chosen: Chosen, found: Vec<HotKey>) -> Option<Stage> {
        let gather = Gather {
            path: file(engine),
            found,
            chosen,
            rules: engine.keyspace.rules(),
            reads_min: self.order.wanted.reads_min,
            databases: engine.databases().into(),
            most: most(engine),
        };
        let thread = thread::Builder::new().name("warming".into());
        match thread.spawn(move || gather.all()) {
            Ok(thread) => Some(Stage::Gathering(thread)),
            Err(error) => {
                self.status.fail(format!("no thread to be had: {error}"));
                None
            }
        }
    }

    fn announce(
        &mut self,
        engine: &Engine,
        mut keys: std::vec::IntoIter<(u32, Box<[u8]>)>,
    ) -> (Option<Stage>, Pace) {
        let chosen = Chosen::new(
            engine,
            &Wanted {
                // What hits seldom now was found before.
                hit_percent_min: 0.0,
                ..self.order.wanted.clone()
            },
        );
        for _ in 0..SLICE {
            let Some((db, key)) = keys.as_slice().first() else {
                return (None, Pace::Go);
            };
            match self.order.consider(engine, &chosen, *db, key) {
                None => self.status.skipped += 1,
                Some(key) => match engine.service::<Refresh>().tell(engine, &key) {
                    Told::Yes => self.status.announced += 1,
                    Told::NotNow => return (Some(Stage::Announcing(keys)), Pace::Wait),
                    Told::No(why) => self.status.fail(why),
                },
            }
            keys.next();
        }
        (Some(Stage::Announcing(keys)), Pace::Go)
    }
}

impl Order {
    /// What is announced of a key; `None` where it needs no refill or is not wanted.
    fn consider(
        &self,
        engine: &Engine,
        chosen: &Chosen,
        db: u32,
        bytes: &[u8],
    ) -> Option<Announced> {
        let now_ms = clock::unix_ms();
        let known = look(engine, db, bytes, now_ms);
        let slot = match &known.policy {
            Some(_) => engine.keyspace.rules().slot_of(bytes),
            None => 0,
        };
        // Who names a key means it, whether or not it has a policy.
        let is_named = matches!(self.source, Source::Keys(..)) && self.wanted.policies.is_empty();
        if !is_named && !chosen.has(slot) {
            return None;
        }
        if !self.force && !needs_refill(&known, now_ms) {
            return None;
        }
        let left_ms = match known.state {
            State::Fresh => known.deadline.map_or(0, |ms| ms.saturating_sub(now_ms)),
            _ => 0,
        };
        Some(Announced {
            db,
            key: bytes.into(),
            policy: known.policy.map_or_else(Box::default, |p| p.name.clone()),
            left_ms,
            why: self.why,
        })
    }
}

/// What is known of a key. Takes its shard's lock.
fn look(engine: &Engine, db: u32, bytes: &[u8], now_ms: u64) -> Known {
    let digest = hash::digest(bytes);
    let keyspace = &engine.keyspace;
    let shard = keyspace.shard_of(digest);
    let locked = Locked::One(shard, keyspace.lock(shard));
    let mut txn = Txn::new(keyspace, &engine.effects, locked, db, now_ms);
    let known = txn.explain(&Key::new(bytes, digest));
    // What its time was over of is gone now.
    let mut outcome = txn.commit();
    let rest = outcome.take_rest();
    engine.reclaimer.free(outcome.garbage, true);
    waiting::serve(engine, WORKER, rest.changed);
    known
}

/// Whether a key is missing, stale or near its end.
fn needs_refill(known: &Known, now_ms: u64) -> bool {
    let (State::Fresh, Some(deadline)) = (known.state, known.deadline) else {
        return matches!(known.state, State::Stale | State::Missing(_));
    };
    // Without a note nobody knows how long it has lived.
    let Some(note) = &known.note else {
        return false;
    };
    let percent = match known.policy.as_ref().map_or(0, |p| p.refresh_percent) {
        0 => NEAR_PERCENT,
        own => own.into(),
    };
    let ttl_ms = deadline.saturating_sub(note.written_ms);
    deadline.saturating_sub(now_ms) <= ttl_ms.saturating_mul(percent) / 100
}

/// What it takes to put the list of a run together.
struct Gather {
    path: Option<PathBuf>,
    found: Vec<HotKey>,
    chosen: Chosen,
    rules: Arc<Rules>,
    reads_min: u64,
    databases: i64,
    most: usize,
}

impl Gather {
    fn all(self) -> Gathered {
        let (saved, error) = match self
            .path
            .as_deref()
            .map(|path| (path, hot::read(path, self.most)))
        {
            None => (Vec::new(), None),
            Some((_, Err(error))) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Some((path, Err(error))) => (Vec::new(), Some(format!("{}: {error}", path.display()))),
            Some((path, Ok(saved))) => {
                let wrong = (saved.wrong > 0)
                    .then(|| format!("{}: {} lines can't be read", path.display(), saved.wrong));
                (saved.keys, wrong)
            }
        };
        let is_wanted = |key: &HotKey| {
            i64::from(key.db) < self.databases && self.chosen.has(self.rules.slot_of(&key.key))
        };
        let mut all = hot::merge(self.found, saved, self.most);
        all.retain(|key| key.reads >= self.reads_min && is_wanted(key));
        let mut keys: Keys = all.into_iter().map(|key| (key.db, key.key)).collect();
        hot::by_priority(&mut keys, &self.rules);
        Gathered { keys, error }
    }
}

/// The file that hot keys are saved in, if there is one.
fn file(engine: &Engine) -> Option<PathBuf> {
    let text = engine.settings.text(param::WARM_FILE);
    let path = String::from_utf8_lossy(&text).into_owned();
    (!path.is_empty()).then(|| path.into())
}

fn go_on_saving(engine: &Engine) -> bool {
    let warming = engine.service::<Warming>();
    let saving = std::mem::take(&mut *warming.saving.lock());
    let (next, more) = match saving {
        Saving::No => return false,
        Saving::Due => (Saving::Walking(walk_to_save(engine)), true),
        Saving::Walking(mut walk) => {
            let more = (0..STEPS).all(|_| walk.slice(engine));
            match (more, file(engine)) {
                (true, _) => (Saving::Walking(walk), true),
                (false, None) => (Saving::No, false),
                (false, Some(path)) => (warming.write(engine, path, walk.found()), false),
            }
        }
        Saving::Writing(thread) if !thread.is_finished() => (Saving::Writing(thread), false),
        Saving::Writing(thread) => {
            if let Ok(saved) = thread.join() {
                warming.note_saved(engine, saved);
            }
            (Saving::No, false)
        }
    };
    *warming.saving.lock() = next;
    more
}

fn walk_to_save(engine: &Engine) -> Walk {
    let chosen = Chosen::new(engine, &Wanted::default());
    Walk::new(chosen, 1, most(engine))
}

/// Saves hot keys at once, for the end of the server; nothing where there is no file.
pub fn save_now(engine: &Engine) {
    let Some(path) = file(engine) else {
        return;
    };
    let mut walk = walk_to_save(engine);
    while walk.slice(engine) {}
    let warming = engine.service::<Warming>();
    let saved = write_locked(&warming.file, &path, walk.found(), most(engine));
    warming.note_saved(engine, saved);
}

fn most(engine: &Engine) -> usize {
    engine.settings.int(param::WARM_KEYS) as usize
}

fn write_locked(
    file: &Mutex<()>,
    path: &Path,
    found: Vec<HotKey>,
    most: usize,
) -> io::Result<usize> {
    let _one_at_a_time = file.lock();
    hot::save(path, found, most)
}

impl Warming {
    fn write(&self, engine: &Engine, path: PathBuf, found: Vec<HotKey>) -> Saving {
        let (file, most) = (self.file.clone(), most(engine));
        let thread = thread::Builder::new().name("hot keys".into());
        match thread.spawn(move || write_locked(&file, &path, found, most)) {
            Ok(thread) => Saving::Writing(thread),
            Err(error) => {
                self.note_saved(engine, Err(error));
                Saving::No
            }
        }
    }

    /// A failure is logged once, until another one or a success.
    fn note_saved(&self, engine: &Engine, saved: io::Result<usize>) {
        let error = saved.err().map(|error| error.to_string());
        let mut last = self.save_error.lock();
        if let Some(error) = &error {
            let failures = &engine.service::<Figures>().failures;
            failures.fetch_add(1, Ordering::Relaxed);
            if last.as_ref() != Some(error) {
                warning!("The hot keys can't be saved: {error}");
            }
        }
        *last = error;
    }
}
