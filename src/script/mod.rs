//! Lua for scripts and functions: interpreters, what a script may see and call, its
//! values and the protocol's, the scripts and libraries that are known. **Knows no**
//! connection.
//!
//! One script runs at a time: it holds the whole keyspace, for nobody can tell which keys
//! it will ask for. Scripts have one interpreter, functions another.

pub mod flags;
mod lent;
mod libraries;
pub mod modules;
mod running;
mod scripts;
mod values;
mod vm;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

pub use libraries::{Library, Member, Policy};
pub use running::Seen;

use crate::exec::busy::Kind;
use crate::exec::context::Ctx;
use crate::exec::dispatch::Terms;
use crate::exec::engine::{Counters, Engine, ScriptFigures};
use crate::exec::services::Service;
use crate::protocol::error::Error;
use flags::Flags;
use libraries::Libraries;
use running::Running;
use scripts::Scripts;
use vm::{Answer, Caller, Kept, Vm};

/// Bytes of a script's digest in hexadecimal digits.
pub const DIGEST_BYTES: usize = 40;

/// See the head of this file.
pub struct Scripting {
    scripts: Mutex<Scripts>,
    libraries: Mutex<Libraries>,
    running: Arc<Running>,
    figures: Arc<Counters>,
}

impl Service for Scripting {
    fn new(engine: &Engine) -> Arc<Scripting> {
        let running = Running::new(engine.settings.clone(), engine.busy.clone());
        Arc::new(Scripting {
            scripts: Mutex::default(),
            libraries: Mutex::default(),
            running: Arc::new(running),
            figures: engine.counters.clone(),
        })
    }
}

impl Scripting {
    /// Learns a script, which stays until SCRIPT FLUSH; its digest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, text: &[u8]) -> Result<[u8; DIGEST_BYTES], Error> {
        let mut scripts = self.scripts.lock();
        let digest = scripts::digest_of(text);
        scripts.learn(&self.running, digest, text, true)?;
        self.note_scripts(&scripts);
        Ok(digest)
    }

    /// Whether a script is known by its digest.
    pub fn knows(&self, digest: &[u8]) -> bool {
        self.text(digest).is_some()
    }

    /// The text of a script.
    pub fn text(&self, digest: &[u8]) -> Option<Vec<u8>> {
        let digest = scripts::digest_from(digest)?;
        self.scripts.lock().text(&digest)
    }

    /// Forgets all scripts, and all that they left.
    pub fn flush_scripts(&self) {
        let old = std::mem::take(&mut *self.scripts.lock());
        self.note_scripts(&Scripts::default());
        drop(old);
    }

    /// How many libraries there are, and functions; as it was when a function began,
    /// while that runs.
    pub fn counts(&self, engine: &Engine) -> (u64, u64) {
        if self.libraries.try_lock().is_some() {
            drop(self.libraries(engine));
        }
        let figures = self.figures();
        let get = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        (get(&figures.libraries), get(&figures.functions))
    }

    /// Has the script or function that runs ended.
    ///
    /// # Errors
    /// Why it is not.
    pub fn kill(&self, kind: Kind) -> Result<(), Error> {
        self.running.kill(kind)
    }

    /// The function that runs.
    ///
    /// # Errors
    /// That a script runs.
    pub fn seen(&self) -> Result<Option<Seen>, Error> {
        self.running.seen()
    }

    /// Runs a script that the client shows, or, `by_digest`, one that is known.
    ///
    /// # Errors
    /// Why it does not run; what it failed with is answered.
    pub fn eval(&self, ctx: &mut Ctx<'_, '_>, by_digest: bool, reads: bool) -> Result<(), Error> {
        ctx.engine.busy.set_running(true);
        let ran = self.run_script(ctx, by_digest, reads);
        ctx.engine.busy.set_running(false);
        ran
    }

    fn run_script(&self, ctx: &mut Ctx<'_, '_>, by_digest: bool, reads: bool) -> Result<(), Error> {
        let script = ctx.args.bytes()?;
        let digest = match by_digest {
            true => scripts::digest_from(script).ok_or(Error::NO_SCRIPT)?,
            false => scripts::digest_of(script),
        };
        let words = Words::of(ctx, Error::NOT_INTEGER)?;
        let mut scripts = self.scripts.lock();
        let scripts = &mut *scripts;
        if !scripts.use_known(&digest) {
            if by_digest {
                return Err(Error::NO_SCRIPT);
            }
            let evicted = scripts.learn(&self.running, digest, script, false)?;
            self.figures().evicted.fetch_add(evicted, Ordering::Relaxed);
            self.note_scripts(scripts);
        }
        let (vm, function, flags) = scripts.get(&digest).ok_or(Error::NO_SCRIPT)?;
        self.run(
            ctx,
            (vm, function),
            Kind::Script,
            &digest,
            flags,
            reads,
            &words,
        )?;
        let held = vm.used_bytes() as u64;
        self.figures()
            .script_vm_bytes
            .store(held, Ordering::Relaxed);
        Ok(())
    }

    /// Runs a function.
    ///
    /// # Errors
    /// Why it does not run; what it failed with is answered.
    pub fn fcall(&self, ctx: &mut Ctx<'_, '_>, reads: bool) -> Result<(), Error> {
        ctx.engine.busy.set_running(true);
        let ran = self.run_function(ctx, reads);
        ctx.engine.busy.set_running(false);
        ran
    }

    fn run_function(&self, ctx: &mut Ctx<'_, '_>, reads: bool) -> Result<(), Error> {
        let name = ctx.args.bytes()?;
        let mut libraries = self.libraries(ctx.engine);
        let (vm, function, flags) = libraries.get(name).ok_or(Error::NO_FUNCTION)?;
        let words = Words::of(ctx, Error::BAD_KEYS)?;
        self.run(
            ctx,
            (vm, function),
            Kind::Function,
            name,
            flags,
            reads,
            &words,
        )?;
        let held = vm.used_bytes() as u64;
        self.figures()
            .function_vm_bytes
            .store(held, Ordering::Relaxed);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a run is made of")]
    fn run(
        &self,
        ctx: &mut Ctx<'_, '_>,
        (vm, function): (&mut Vm, Kept),
        kind: Kind,
        name: &[u8],
        flags: Flags,
        reads: bool,
        words: &Words<'_>,
    ) -> Result<(), Error> {
        admit(ctx, flags, reads)?;
        let said = !flags.has(Flags::UNSAID);
        let session = &mut *ctx.session;
        let run = self.running.begin(kind, session, name, ctx.args.all());
        let (db, in_exec) = (session.db, session.in_exec);
        session.in_exec = true;
        let mut caller = Caller {
            engine: ctx.engine,
            session,
            txn: ctx.txn,
            terms: Terms {
                reads_only: reads || said && flags.has(Flags::NO_WRITES),
                allows_oom: said && flags.has(Flags::ALLOW_OOM),
                crosses_slots: !said || flags.has(Flags::ALLOW_CROSS_SLOT),
                resp3: false,
                replicates: true,
                wrote: false,
                slot: None,
            },
            running: &self.running,
        };
        let answer = vm.run(
            function,
            (words.keys, words.args),
            kind == Kind::Script,
            &mut caller,
        );
        let resp3 = caller.terms.resp3;
        session.in_exec = in_exec;
        session.db = db;
        ctx.txn.db = db;
        drop(run);
        self.answer(ctx, answer, resp3)
    }

    /// Answers what a script returned.
    fn answer(&self, ctx: &mut Ctx<'_, '_>, answer: Answer, resp3: bool) -> Result<(), Error> {
        let worker = ctx.session.worker;
        match answer {
            Answer::Error { error, counted } => {
                if !counted {
                    ctx.engine.count_custom_error(worker, error.code());
                }
                ctx.reply.error(&error);
            }
            Answer::Value(value) => {
                let mark = ctx.reply.output().mark();
                let mut writer = values::Writer {
                    reply: &mut ctx.reply,
                    resp3,
                    errors: Vec::new(),
                };
                let written = writer.write(&value);
                for code in writer.errors {
                    ctx.engine.count_custom_error(worker, &code);
                }
                if let Err(e) = written {
                    ctx.reply.output().rewind(mark);
                    return Err(Error::new(format!("ERR {e}")));
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> &ScriptFigures {
        &self.figures.scripts
    }

    fn note_scripts(&self, scripts: &Scripts) {
        let (count, bytes) = scripts.figures();
        self.figures().scripts.store(count, Ordering::Relaxed);
        self.figures().script_bytes.store(bytes, Ordering::Relaxed);
        let held = scripts.vm_bytes();
        self.figures()
            .script_vm_bytes
            .store(held, Ordering::Relaxed);
    }

    fn note_libraries(&self, libraries: &Libraries) {
        let figures = self.figures();
        let (count, functions, bytes) = libraries.figures();
        figures.libraries.store(count, Ordering::Relaxed);
        figures.functions.store(functions, Ordering::Relaxed);
        figures.library_bytes.store(bytes, Ordering::Relaxed);
        figures
            .function_vm_bytes
            .store(libraries.vm_bytes(), Ordering::Relaxed);
    }

    /// The libraries, made of the texts that the keyspace has now.
    fn libraries(&self, engine: &Engine) -> MutexGuard<'_, Libraries> {
        let mut libraries = self.libraries.lock();
        if libraries.version() != engine.keyspace.libraries().version() {
            let _run = self.running.begin_loading(true);
            libraries.remake(&self.running, &engine.keyspace.libraries().texts());
            self.note_libraries(&libraries);
        }
        libraries
    }

    /// Changes the libraries, and what the keyspace has of them.
    fn change_libraries<R>(
        &self,
        engine: &Engine,
        leads: bool,
        change: impl FnOnce(&mut Libraries) -> Result<R, String>,
    ) -> Result<R, Error> {
        let mut libraries = self.libraries(engine);
        let run = self.running.begin_loading(leads);
        let changed = change(&mut libraries);
        drop(run);
        if changed.is_ok() {
            let version = engine.keyspace.libraries().replace(libraries.texts());
            libraries.set_version(version);
        }
        self.note_libraries(&libraries);
        changed.map_err(|why| Error::new(format!("ERR {why}")))
    }

    /// Loads a library, in the place of one of its name where it `replaces`; its name.
    /// A leader's words are obeyed, however long that takes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load_library(
        &self,
        engine: &Engine,
        text: &[u8],
        replaces: bool,
        leads: bool,
    ) -> Result<Vec<u8>, Error> {
        let running = &self.running;
        self.change_libraries(engine, leads, |all| all.load(running, text, replaces))
    }

    /// Loads libraries as one: all of them or none.
    ///
    /// # Errors
    /// What is wrong.
    pub fn restore_libraries(
        &self,
        engine: &Engine,
        texts: &[Vec<u8>],
        policy: Policy,
    ) -> Result<(), Error> {
        let running = &self.running;
        self.change_libraries(engine, true, |all| all.restore(running, texts, policy))
    }

    /// Forgets a library.
    ///
    /// # Errors
    /// That there is none of this name.
    pub fn drop_library(&self, engine: &Engine, name: &[u8]) -> Result<(), Error> {
        self.change_libraries(engine, true, |all| match all.remove(name) {
            true => Ok(()),
            false => Err("Library not found".into()),
        })
    }

    /// Forgets all libraries, and all that they left.
    pub fn flush_libraries(&self, engine: &Engine) {
        let cleared = self.change_libraries(engine, true, |all| {
            *all = Libraries::default();
            Ok(())
        });
        debug_assert!(cleared.is_ok());
    }

    /// All libraries, by name.
    pub fn all_libraries(&self, engine: &Engine) -> Vec<Arc<Library>> {
        self.libraries(engine).all()
    }
}

/// The keys of a script and its arguments.
struct Words<'a> {
    keys: &'a [&'a [u8]],
    args: &'a [&'a [u8]],
}

impl<'a> Words<'a> {
    fn of(ctx: &mut Ctx<'a, '_>, not_integer: Error) -> Result<Words<'a>, Error> {
        let keys = ctx.args.int().map_err(|_| not_integer)?;
        let words = ctx.args.rest();
        if keys < 0 {
            return Err(Error::NEGATIVE_KEYS);
        }
        let keys = usize::try_from(keys)
            .ok()
            .and_then(|n| words.split_at_checked(n));
        let (keys, args) = keys.ok_or(Error::TOO_MANY_KEYS)?;
        Ok(Words { keys, args })
    }
}

/// Whether a script may run that says what it does; one that says nothing may, and its
/// commands are judged one by one.
fn admit(ctx: &Ctx<'_, '_>, flags: Flags, reads: bool) -> Result<(), Error> {
    let (engine, leads) = (ctx.engine, ctx.session.leads);
    if flags.has(Flags::UNSAID) {
        return match engine.is_stale() {
            true => Err(Error::MASTER_DOWN),
            false => Ok(()),
        };
    }
    if flags.has(Flags::NO_CLUSTER) && engine.routing.is_some() {
        return Err(Error::SCRIPT_NO_CLUSTER);
    }
    if engine.is_stale() && !flags.has(Flags::ALLOW_STALE) {
        return Err(Error::SCRIPT_STALE);
    }
    if !flags.has(Flags::NO_WRITES) {
        let refused = match engine.is_guarded() && !leads {
            true => engine.refuse_to_write(),
            false => Ok(()),
        };
        refused.map_err(|error| match error {
            error if error == Error::READONLY => Error::WRITING_SCRIPT_FOLLOWER,
            error if error == Error::MISCONF => Error::WRITING_SCRIPT_MISCONF,
            other => other,
        })?;
        if reads {
            return Err(Error::WRITING_SCRIPT_READ_ONLY);
        }
    }
    let may_grow = flags.has(Flags::ALLOW_OOM.and(Flags::NO_WRITES));
    match ctx.session.has_room || leads || may_grow {
        true => Ok(()),
        false => Err(Error::SCRIPT_OOM),
    }
}
