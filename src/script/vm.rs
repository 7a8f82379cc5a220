//! An interpreter: Lua with what scripts may use of it, and the server's functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::chunk::ChunkMode;
use mlua::{
    Function, HookTriggers, Lua, LuaOptions, MultiValue, Result, StdLib, Table, Value, VmState,
};
use parking_lot::Mutex;
use sha1::{Digest, Sha1};
use smallvec::SmallVec;

use super::flags::Flags;
use super::lent::Lent;
use super::modules::arguments::Arguments;
use super::modules::raising::{Raise, raising};
use super::running::Running;
use super::{modules, values};
use crate::base::num::{FloatText, IntText};
use crate::base::{clock, log};
use crate::exec::access::{self, Verdict};
use crate::exec::dispatch::{self, Terms};
use crate::exec::engine::Engine;
use crate::exec::session::Session;
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::protocol::output::Output;

/// Instructions between two looks at whether the script is to end.
const LOOK_EVERY: u32 = 100_000;
/// Between steps of the collector beside its own, in calls.
const COLLECT_EVERY: u32 = 50;
/// The version of Redis whose interface this is, as Valkey says it.
const REDIS_VERSION: (&str, u32) = ("7.2.4", 0x0007_0204);
/// Valkey's, likewise.
const VALKEY_VERSION: (&str, u32) = ("9.1.2", 0x0009_0102);

/// What a library registered while it was loaded.
pub struct Registered {
    /// Its name.
    pub name: Vec<u8>,
    /// What it says of itself.
    pub description: Option<Vec<u8>>,
    /// What it may do.
    pub flags: Flags,
    /// What is called.
    pub callback: Kept,
}

/// A function that an interpreter keeps: the number by which it is found there. Lua can
/// keep any number of them, of what is held from without it holds some thousand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept(u64);

/// The functions that an interpreter keeps.
#[derive(Clone)]
struct Functions {
    table: Table,
    last: Arc<AtomicU64>,
}

impl Functions {
    fn keep(&self, function: Function) -> Result<Kept> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.table.raw_set(number, function)?;
        Ok(Kept(number))
    }
}

/// See the head of this file.
pub struct Vm {
    lua: Lua,
    globals: Table,
    run: Function,
    functions: Functions,
    lent: Arc<Lent>,
    begin_loading: Function,
    running: Arc<Running>,
    registered: Arc<Mutex<Option<Vec<Registered>>>>,
    calls: u32,
}

/// What a script is run with.
pub struct Caller<'c, 't> {
    /// The server.
    pub engine: &'t Engine,
    /// Its client.
    pub session: &'c mut Session,
    /// Its transaction.
    pub txn: &'c mut Txn<'t>,
    /// What it may do.
    pub terms: Terms,
    /// What may end it.
    pub running: &'c Running,
}

/// What is to be answered.
pub enum Answer {
    /// What it returned.
    Value(Value),
    /// It failed.
    Error {
        /// Why.
        error: Error,
        /// Some command's refusal, which is counted already.
        counted: bool,
    },
}

impl Vm {
    /// A new one.
    ///
    /// # Errors
    /// Memory.
    pub fn new(running: &Arc<Running>) -> Result<Vm> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libs, LuaOptions::default())?;
        let registered = Arc::new(Mutex::new(None));
        let functions = Functions {
            table: lua.create_table()?,
            last: Arc::default(),
        };
        let host = host(&lua, &registered, &functions)?;
        let globals = lua.create_table()?;
        let prelude = lua
            .load(include_str!("prelude.lua"))
            .set_name("=prelude")
            .into_function()?;
        let lent = Arc::new(Lent::default());
        let (shown, run, begin_loading): (Table, _, _) =
            prelude.call((host, &globals, api(&lua, &lent)?))?;
        lua.set_globals(shown)?;
        watch(&lua, running)?;
        Ok(Vm {
            lua,
            globals,
            run,
            functions,
            lent,
            begin_loading,
            running: running.clone(),
            registered,
            calls: 0,
        })
    }

    /// After a script that was made to end: the next one runs until it is, too.
    fn watch_again(&self) {
        if self.running.was_ended() {
            // It worked when the interpreter was made.
            let _ = watch(&self.lua, &self.running);
        }
    }

    /// Bytes that it holds.
    pub fn used_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Makes a function of a script's text, and keeps it.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn compile(&self, text: &[u8], name: &str) -> std::result::Result<Kept, String> {
        let function = self.function_of(text, name)?;
        self.functions.keep(function).map_err(|e| e.to_string())
    }

    /// Keeps a function no longer.
    pub fn forget(&self, Kept(number): Kept) {
        // What is not there needs no memory.
        let _ = self.functions.table.raw_set(number, Value::Nil);
    }

    fn function_of(&self, text: &[u8], name: &str) -> std::result::Result<Function, String> {
        let chunk = self.lua.load(text).set_name(name).set_mode(ChunkMode::Text);
        chunk.into_function().map_err(|e| match e {
            mlua::Error::SyntaxError { message, .. } => message,
            other => other.to_string(),
        })
    }

    /// Loads a library, and returns what it registers.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self, text: &[u8]) -> std::result::Result<Vec<Registered>, String> {
        let function = self
            .function_of(text, "@user_function")
            .map_err(|e| format!("Error compiling function: {e}"))?;
        *self.registered.lock() = Some(Vec::new());
        let loaded = self.begin_loading.call::<()>(true).and_then(|()| {
            let (ok, what): (bool, Value) = self.run.call(function)?;
            Ok((!ok).then(|| self.failure(&what).0))
        });
        let registered = self.registered.lock().take().unwrap_or_default();
        self.watch_again();
        let ended = self.begin_loading.call::<()>(false);
        match loaded.and_then(|failed| ended.map(|()| failed)) {
            Ok(None) => Ok(registered),
            Ok(Some(text)) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                Err(format!("Error registering functions: {text}"))
            }
            Err(e) => Err(format!("Error registering functions: {e}")),
        }
    }

    /// Runs a script with its keys and arguments, which it finds as globals or is
    /// handed.
    pub fn run(
        &mut self,
        function: Kept,
        (keys, args): (&[&[u8]], &[&[u8]]),
        are_globals: bool,
        caller: &mut Caller<'_, '_>,
    ) -> Answer {
        let answer = self.try_run(function, (keys, args), are_globals, caller);
        self.watch_again();
        self.calls += 1;
        if self.calls.is_multiple_of(COLLECT_EVERY) {
            // Should it fail, the collector comes by itself.
            let _ = self.lua.gc_step();
        }
        answer.unwrap_or_else(|e| Answer::Error {
            error: Error::new(format!("ERR Error running script, {e}")),
            counted: false,
        })
    }

    fn try_run(
        &self,
        function: Kept,
        (keys, args): (&[&[u8]], &[&[u8]]),
        are_globals: bool,
        caller: &mut Caller<'_, '_>,
    ) -> Result<Answer> {
        let words = |words: &[&[u8]]| {
            let table = self.lua.create_table_with_capacity(words.len(), 0)?;
            for (i, word) in (1..).zip(words) {
                table.raw_set(i, self.lua.create_string(word)?)?;
            }
            Ok::<_, mlua::Error>(table)
        };
        let (keys, args) = (words(keys)?, words(args)?);
        if are_globals {
            self.globals.raw_set("KEYS", &keys)?;
            self.globals.raw_set("ARGV", &args)?;
        }
        let function: Function = self.functions.table.raw_get(function.0)?;
        let (ok, what): (bool, Value) = self.lent.lend(caller, || match are_globals {
            true => self.run.call(function),
            false => self.run.call((function, keys, args)),
        })?;
        if ok {
            return Ok(Answer::Value(what));
        }
        let (text, counted) = self.failure(&what);
        Ok(Answer::Error {
            error: Error::new(text),
            counted,
        })
    }

    /// The text of what a script failed with, and whether it is counted already.
    fn failure(&self, what: &Value) -> (Vec<u8>, bool) {
        let Value::Table(table) = what else {
            return (
                b"ERR Error running script, execution failure".to_vec(),
                false,
            );
        };
        let get = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
        let mut text = match get("err") {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Number(n) => FloatText::new(n).as_bytes().to_vec(),
            Value::Integer(n) => n.to_string().into_bytes(),
            _ => b"ERR unknown error".to_vec(),
        };
        if let (Value::String(source), Value::Number(_) | Value::Integer(_)) =
            (get("source"), get("line"))
        {
            let line = get("line").to_string().unwrap_or_default();
            text.extend_from_slice(b" script: on ");
            text.extend_from_slice(&source.as_bytes());
            text.extend_from_slice(format!(":{line}.").as_bytes());
        }
        (
            text,
            get("ignore_error_stats_update") == Value::Boolean(true),
        )
    }
}

/// Has an interpreter look from time to time whether what runs is to end.
fn watch(lua: &Lua, running: &Arc<Running>) -> Result<()> {
    let running = running.clone();
    let every = HookTriggers::new().every_nth_instruction(LOOK_EVERY);
    lua.set_global_hook(every, move |lua, _| {
        let Some(why) = running.look() else {
            return Ok(VmState::Continue);
        };
        // No pcall of the script's keeps it from ending.
        lua.set_global_hook(HookTriggers::EVERY_LINE, move |_, _| {
            Err(mlua::Error::runtime(why))
        })?;
        Err(mlua::Error::runtime(why))
    })
}

/// What a function of the server's returns, or raises.
type Answered = std::result::Result<Value, Raise>;

/// An error as scripts know it; `counted` where the server has counted it.
fn raise(lua: &Lua, text: &[u8], counted: bool) -> Raise {
    match values::error_table(lua, text, counted) {
        Ok(table) => Raise::Value(Value::Table(table)),
        Err(e) => e.into(),
    }
}

impl Caller<'_, '_> {
    /// Runs a command, and returns what it answers.
    fn call(&mut self, asked: &Arguments<'_>) -> Answered {
        let lua = asked.lua();
        let mut out = Output::default();
        out.copy_below(usize::MAX);
        let result = with_words(asked, |argv| {
            let (engine, terms) = (self.engine, &mut self.terms);
            dispatch::call(engine, self.session, self.txn, terms, argv, &mut out)
        })?;
        self.running.note_write(self.terms.wrote);
        if let Err(error) = result {
            return Err(raise(lua, error.as_bytes(), true));
        }
        match out.single().unwrap_or_default() {
            [b'-', text @ ..] => Err(raise(lua, text.trim_ascii_end(), true)),
            bytes => Ok(values::from_reply(lua, bytes)?),
        }
    }

    fn may_run(&mut self, asked: &Arguments<'_>) -> Answered {
        let (engine, session) = (self.engine, &mut *self.session);
        let verdict = with_words(asked, |argv| {
            let found = engine.commands.find(argv[0]);
            match found.is_some_and(|(_, spec)| spec.takes(argv.len())) {
                true => access::may_run(engine, session, argv, session.db, None),
                false => Verdict::Unknown,
            }
        })?;
        let unknown = b"ERR Invalid command passed to server.acl_check_cmd()";
        match verdict {
            Verdict::Unknown => Err(raise(asked.lua(), unknown, false)),
            verdict => Ok(Value::Boolean(verdict == Verdict::May)),
        }
    }
}

/// Hands on the words of a command that a script wrote.
fn with_words<R>(
    asked: &Arguments<'_>,
    use_them: impl FnOnce(&[&[u8]]) -> R,
) -> std::result::Result<R, Raise> {
    let lua = asked.lua();
    if asked.is_empty() {
        let text = b"ERR Please specify at least one argument for this call";
        return Err(raise(lua, text, false));
    }
    let (mut bytes, mut ends) = (Vec::<u8>::new(), SmallVec::<[usize; 8]>::new());
    for number in 1..=asked.len() {
        let is_word = asked.look(number, |value| {
            match value {
                Some(Value::String(text)) => bytes.extend_from_slice(&text.as_bytes()),
                Some(Value::Integer(n)) => bytes.extend_from_slice(IntText::new(*n).as_bytes()),
                // Zero has no sign in a command.
                Some(Value::Number(n)) => {
                    bytes.extend_from_slice(FloatText::new(n + 0.0).as_bytes());
                }
                _ => return false,
            }
            true
        })?;
        if !is_word {
            let text = b"ERR Command arguments must be strings or integers";
            return Err(raise(lua, text, false));
        }
        ends.push(bytes.len());
    }
    let mut from = 0;
    let argv: SmallVec<[&[u8]; 8]> = ends
        .iter()
        .map(|&end| {
            let word = &bytes[from..end];
            from = end;
            word
        })
        .collect();
    Ok(use_them(&argv))
}

/// `redis`: the server's functions and some constants.
fn api(lua: &Lua, lent: &Arc<Lent>) -> Result<Table> {
    let api = lua.create_table()?;
    for (name, text) in [
        ("REDIS_VERSION", REDIS_VERSION.0),
        ("VALKEY_VERSION", VALKEY_VERSION.0),
        ("SERVER_NAME", "valkey"),
    ] {
        api.raw_set(name, text)?;
    }
    for (name, number) in [
        ("REDIS_VERSION_NUM", REDIS_VERSION.1),
        ("VALKEY_VERSION_NUM", VALKEY_VERSION.1),
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
    ] {
        api.raw_set(name, number)?;
    }
    // Everything is replicated by what it did, and there is no debugger.
    for (name, value) in [("replicate_commands", true), ("breakpoint", false)] {
        api.raw_set(name, lua.create_function(move |_, ()| Ok(value))?)?;
    }
    api.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    let add = |name: &str, function: fn(&mut Arguments<'_>, &Lent) -> Answered| {
        let lent = lent.clone();
        api.raw_set(name, raising(lua, move |asked| function(asked, &lent))?)
    };
    add("call", |asked, lent| {
        of(lent, asked, |caller, asked| caller.call(asked))
    })?;
    add("pcall", |asked, lent| {
        match of(lent, asked, |caller, asked| caller.call(asked)) {
            Err(Raise::Value(error)) => Ok(error),
            answered => answered,
        }
    })?;
    add("acl_check_cmd", |asked, lent| {
        of(lent, asked, |caller, asked| caller.may_run(asked))
    })?;
    add("setresp", |asked, lent| {
        let refuse = |text: &[u8]| Err(raise(asked.lua(), text, false));
        if asked.len() != 1 {
            return refuse(b"ERR server.setresp() requires one argument.");
        }
        let resp3 = match number(asked, 1)? {
            Some(2.0) => false,
            Some(3.0) => true,
            _ => return refuse(b"ERR RESP version must be 2 or 3."),
        };
        of(lent, asked, |caller, _| {
            caller.terms.resp3 = resp3;
            Ok(Value::Nil)
        })
    })?;
    add("set_repl", |asked, lent| {
        let refuse = |text: &[u8]| Err(raise(asked.lua(), text, false));
        if asked.len() != 1 {
            return refuse(b"ERR server.set_repl() requires one argument.");
        }
        let flags = number(asked, 1)?.unwrap_or(0.0) as i64;
        if !(0..=3).contains(&flags) {
            return refuse(b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
        }
        of(lent, asked, |caller, _| {
            caller.terms.replicates = flags & 2 != 0;
            Ok(Value::Nil)
        })
    })?;
    add("sha1hex", |asked, _| {
        if asked.len() != 1 {
            return Err(raise(asked.lua(), b"ERR wrong number of arguments", false));
        }
        let digest = sha1_hex(&asked.take_text(1)?.as_bytes());
        Ok(Value::String(asked.lua().create_string(digest)?))
    })?;
    add("log", |asked, _| write_log(asked))?;
    Ok(api)
}

/// Does what only a running script's caller can.
fn of(
    lent: &Lent,
    asked: &Arguments<'_>,
    what: impl FnOnce(&mut Caller<'_, '_>, &Arguments<'_>) -> Answered,
) -> Answered {
    let nobody = || {
        Err(raise(
            asked.lua(),
            b"ERR only a running script can do that",
            false,
        ))
    };
    lent.with(|caller| what(caller, asked))
        .unwrap_or_else(nobody)
}

/// An argument that is a number, or a text that means one.
fn number(asked: &Arguments<'_>, at: usize) -> std::result::Result<Option<f64>, Raise> {
    asked.look(at, |value| match value? {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(n) => Some(*n),
        Value::String(text) => text.to_str().ok()?.trim().parse().ok(),
        _ => None,
    })
}

fn write_log(asked: &Arguments<'_>) -> Answered {
    let refuse = |text: &[u8]| Err(raise(asked.lua(), text, false));
    if asked.len() < 2 {
        return refuse(b"ERR server.log() requires two arguments or more.");
    }
    let Some(level) = number(asked, 1)? else {
        return refuse(b"ERR First argument must be a number (log level).");
    };
    let level = match level as i64 {
        0 => log::Level::Debug,
        1 => log::Level::Verbose,
        2 => log::Level::Notice,
        3 => log::Level::Warning,
        _ => return refuse(b"ERR Invalid log level."),
    };
    let mut words = Vec::new();
    for at in 2..=asked.len() {
        let word = asked.look(at, |value| match value? {
            Value::String(text) => Some(text.to_string_lossy()),
            Value::Integer(n) => Some(n.to_string()),
            Value::Number(n) => Some(String::from_utf8_lossy(FloatText::new(*n).as_bytes()).into()),
            _ => None,
        })?;
        words.extend(word);
    }
    log::write(level, format_args!("{}", words.join(" ")));
    Ok(Value::Nil)
}

/// The functions that the prelude needs.
fn host(
    lua: &Lua,
    registered: &Arc<Mutex<Option<Vec<Registered>>>>,
    functions: &Functions,
) -> Result<Table> {
    let host = lua.create_table()?;
    let random = Arc::new(AtomicU64::new(clock::random() >> 16));
    let seeds = random.clone();
    let random = lua.create_function(move |_, ()| Ok(next_random(&random)))?;
    host.raw_set("random", random)?;
    let seed = lua.create_function(move |_, seed: f64| {
        let state = (u64::from(seed as i64 as u32) << 16) | 0x330e;
        seeds.store(state, Ordering::Relaxed);
        Ok(())
    })?;
    host.raw_set("seed", seed)?;
    host.raw_set("where", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    let text_of = lua.create_function(|lua, what: Value| match &what {
        Value::Error(error) => lua.create_string(text_of(error)),
        other => lua.create_string(other.to_string()?),
    })?;
    host.raw_set("text_of", text_of)?;
    let (registered, functions) = (registered.clone(), functions.clone());
    let register = raising(lua, move |asked| {
        let refused = match registered.lock().as_mut() {
            None => Some("server.register_function can only be called on FUNCTION LOAD command"),
            Some(all) => register(asked, &functions)?.map(|one| all.push(one)).err(),
        };
        match refused {
            None => Ok(()),
            Some(why) => Err(raise(asked.lua(), format!("ERR {why}").as_bytes(), false)),
        }
    })?;
    host.raw_set("register", register)?;
    let all = lua.create_table()?;
    modules::install(lua, &all)?;
    host.raw_set("modules", all)?;
    Ok(host)
}

/// What an error of mlua's says, without the way that it came.
fn text_of(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => text_of(cause),
        mlua::Error::RuntimeError(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The generator of rand48, whose numbers follow from the seed alone: between 0 and 1.
fn next_random(state: &AtomicU64) -> f64 {
    const MAX: u64 = i32::MAX as u64;
    let before = state.load(Ordering::Relaxed);
    let next = before.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & ((1 << 48) - 1);
    state.store(next, Ordering::Relaxed);
    ((next >> 17) % MAX) as f64 / MAX as f64
}

/// The SHA-1 of a text in 40 hexadecimal digits.
pub fn sha1_hex(text: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    let digest = Sha1::digest(text);
    let digits = digest.iter().flat_map(|&b| [digit(b >> 4), digit(b & 15)]);
    digits.collect()
}

/// Where in a script something went wrong: its name, and the line.
fn place(lua: &Lua) -> (Option<String>, Option<usize>) {
    let place = (1..16).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let source = frame.source().source?.into_owned();
            let is_script = source.starts_with("@user_");
            is_script.then(|| (source, frame.current_line().unwrap_or(0)))
        })?
    });
    place.unzip()
}

/// What a library says of a function: its name and what is called, or a table of all.
/// The inner error is the library's.
fn register(
    asked: &mut Arguments<'_>,
    functions: &Functions,
) -> std::result::Result<std::result::Result<Registered, &'static str>, Raise> {
    fn text(value: &Value) -> Option<Vec<u8>> {
        match value {
            Value::String(text) => Some(text.as_bytes().to_vec()),
            Value::Integer(n) => Some(IntText::new(*n).as_bytes().to_vec()),
            Value::Number(n) => Some(FloatText::new(*n).as_bytes().to_vec()),
            _ => None,
        }
    }
    if asked.is_empty() || asked.len() > 2 {
        return Ok(Err("wrong number of arguments to server.register_function"));
    }
    if asked.len() == 2 {
        let Some(name) = text(&asked.take(1)?) else {
            return Ok(Err(
                "first argument to server.register_function must be a string",
            ));
        };
        let Value::Function(callback) = asked.take(2)? else {
            return Ok(Err(
                "second argument to server.register_function must be a function",
            ));
        };
        return Ok(Ok(Registered {
            name,
            description: None,
            flags: Flags::default(),
            callback: functions.keep(callback)?,
        }));
    }
    let Value::Table(named) = asked.take(1)? else {
        return Ok(Err(
            "calling server.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ));
    };
    let (mut name, mut description, mut callback) = (None, None, None);
    let mut flags = Flags::default();
    for pair in named.pairs::<Value, Value>() {
        let (Value::String(key), value) = pair? else {
            return Ok(Err(
                "named argument key given to server.register_function is not a string",
            ));
        };
        match key.as_bytes().to_ascii_lowercase().as_slice() {
            b"function_name" => match text(&value) {
                Some(given) => name = Some(given),
                None => {
                    return Ok(Err(
                        "function_name argument given to server.register_function must be a string",
                    ));
                }
            },
            b"description" => match text(&value) {
                Some(given) => description = Some(given),
                None => {
                    return Ok(Err(
                        "description argument given to server.register_function must be a string",
                    ));
                }
            },
            b"callback" => match value {
                Value::Function(given) => callback = Some(given),
                _ => {
                    return Ok(Err(
                        "callback argument given to server.register_function must be a function",
                    ));
                }
            },
            b"flags" => {
                let Value::Table(given) = value else {
                    return Ok(Err(
                        "flags argument to server.register_function must be a table representing function flags",
                    ));
                };
                for flag in given.sequence_values::<Value>() {
                    let flag = text(&flag?);
                    if !flag.is_some_and(|flag| flags.add(&flag.to_ascii_lowercase())) {
                        return Ok(Err("unknown flag given"));
                    }
                }
            }
            _ => return Ok(Err("unknown argument given to server.register_function")),
        }
    }
    let Some(name) = name else {
        return Ok(Err(
            "server.register_function must get a function name argument",
        ));
    };
    let Some(callback) = callback else {
        return Ok(Err("server.register_function must get a callback argument"));
    };
    Ok(Ok(Registered {
        name,
        description,
        flags,
        callback: functions.keep(callback)?,
    }))
}
