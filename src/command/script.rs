//! Scripts: EVAL and its kin, FCALL and its kin, and what is known of both.

use super::help;
use crate::base::glob::{self, Case};
use crate::exec::busy::Kind;
use crate::exec::context::Ctx;
use crate::exec::spec::{
    Arg, ArgKind, Group, KeySpec, Scope, Spec, category, flag::*, key_flag::*, numbered_keys,
};
use crate::persist::rdb::{self, PayloadError, Rules};
use crate::protocol::error::Error;
use crate::script::{Policy, Scripting};

const RUNS: u32 = NOSCRIPT | SKIP_MONITOR | NO_MANDATORY_KEYS | STALE | MOVABLE_KEYS;
const DEPENDS: &str = "Depends on the script that is executed.";
const WORST: KeySpec = numbered_keys(2, 1, RW | ACCESS | UPDATE)
    .notes("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE");
const WORST_READ: KeySpec = numbered_keys(2, 1, RO | ACCESS)
    .notes("We cannot tell how the keys will be used so we assume the worst, RO and ACCESS");
const UNTOLD: KeySpec = numbered_keys(2, 1, RW | ACCESS | UPDATE);
const UNTOLD_READ: KeySpec = numbered_keys(2, 1, RO | ACCESS);
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const ONE_SHARD: &[&str] = &["request_policy:all_shards", "response_policy:one_succeeded"];
const FLUSH_ARGS: &[Arg] = &[Arg::word("async", "ASYNC"), Arg::word("sync", "SYNC")];

macro_rules! run_args {
    ($what:literal) => {
        &[
            Arg::new($what, ArgKind::String),
            Arg::new("numkeys", ArgKind::Integer),
            Arg::key("key").optional().multiple(),
            Arg::new("arg", ArgKind::String).optional().multiple(),
        ]
    };
}

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("eval", -3, eval)
        .flags(RUNS | MAY_REPLICATE)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .keys(&[WORST])
        .doc(Group::Scripting, "2.6.0", DEPENDS, "Runs a Lua script.")
        .args(run_args!("script")),
    Spec::new("evalsha", -3, evalsha)
        .flags(RUNS | MAY_REPLICATE)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .keys(&[UNTOLD])
        .doc(
            Group::Scripting,
            "2.6.0",
            DEPENDS,
            "Runs a Lua script that the server knows by its SHA-1.",
        )
        .args(run_args!("sha1")),
    Spec::new("eval_ro", -3, eval_ro)
        .flags(RUNS | READONLY)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .keys(&[WORST_READ])
        .doc(
            Group::Scripting,
            "7.0.0",
            DEPENDS,
            "Runs a Lua script that only reads.",
        )
        .args(run_args!("script")),
    Spec::new("evalsha_ro", -3, evalsha_ro)
        .flags(RUNS | READONLY)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .keys(&[UNTOLD_READ])
        .doc(
            Group::Scripting,
            "7.0.0",
            DEPENDS,
            "Runs a Lua script that only reads, which the server knows by its SHA-1.",
        )
        .args(run_args!("sha1")),
    Spec::new("fcall", -3, fcall)
        .flags(RUNS | MAY_REPLICATE)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .keys(&[WORST])
        .doc(
            Group::Scripting,
            "7.0.0",
            "Depends on the function that is executed.",
            "Runs a function of a library.",
        )
        .args(run_args!("function")),
    Spec::new("fcall_ro", -3, fcall_ro)
        .flags(RUNS | READONLY)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .keys(&[WORST_READ])
        .doc(
            Group::Scripting,
            "7.0.0",
            "Depends on the function that is executed.",
            "Runs a function of a library that only reads.",
        )
        .args(run_args!("function")),
    Spec::new("script", -2, unknown)
        .doc(
            Group::Scripting,
            "2.6.0",
            "Depends on subcommand.",
            "A container for commands about scripts.",
        )
        .subcommands(SCRIPT),
    Spec::new("function", -2, unknown)
        .doc(
            Group::Scripting,
            "7.0.0",
            "Depends on subcommand.",
            "A container for commands about functions.",
        )
        .subcommands(FUNCTION),
];

const SCRIPT: &[Spec] = &[
    Spec::new("debug", -3, script_debug)
        .flags(NOSCRIPT)
        .category(category::SCRIPTING)
        .doc(
            Group::Scripting,
            "3.2.0",
            "O(1)",
            "Says how scripts are debugged: not at all.",
        )
        .args(&[
            Arg::one_of(
                "mode",
                &[
                    Arg::word("yes", "YES"),
                    Arg::word("sync", "SYNC"),
                    Arg::word("no", "NO"),
                ],
            ),
            Arg::new("engine", ArgKind::String).optional().since("9.1.0"),
        ]),
    Spec::new("exists", -3, script_exists)
        .flags(NOSCRIPT | STALE)
        .category(category::SCRIPTING)
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
        .doc(
            Group::Scripting,
            "2.6.0",
            "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
            "Tells which scripts the server knows.",
        )
        .args(&[Arg::new("sha1", ArgKind::String).multiple()]),
    Spec::new("flush", -2, script_flush)
        .flags(NOSCRIPT | STALE)
        .category(category::SCRIPTING)
        .tips(ALL_NODES)
        .doc(
            Group::Scripting,
            "2.6.0",
            "O(N) with N being the number of scripts in cache",
            "Forgets all scripts.",
        )
        .history(&[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")])
        .args(&[Arg::one_of("flush-type", FLUSH_ARGS).optional().since("6.2.0")]),
    Spec::new("help", 2, script_help)
        .flags(LOADING | STALE)
        .category(category::SCRIPTING)
        .doc(
            Group::Scripting,
            "5.0.0",
            "O(1)",
            "Returns a text that explains the subcommands.",
        ),
    Spec::new("kill", 2, script_kill)
        .flags(NOSCRIPT | ALLOW_BUSY)
        .category(category::SCRIPTING)
        .tips(ONE_SHARD)
        .doc(
            Group::Scripting,
            "2.6.0",
            "O(1)",
            "Ends the script that runs, if it has not written yet.",
        ),
    Spec::new("load", 3, script_load)
        .flags(NOSCRIPT | STALE)
        .category(category::SCRIPTING)
        .tips(ALL_NODES)
        .doc(
            Group::Scripting,
            "2.6.0",
            "O(N) with N being the length in bytes of the script body.",
            "Has the server know a script.",
        )
        .args(&[Arg::new("script", ArgKind::String)]),
    Spec::new("show", 3, script_show)
        .flags(NOSCRIPT | STALE)
        .category(category::SCRIPTING)
        .doc(
            Group::Scripting,
            "8.0.0",
            "O(1).",
            "Returns the text of a script that the server knows.",
        )
        .args(&[Arg::new("sha1", ArgKind::String)]),
];

const FUNCTION: &[Spec] = &[
    Spec::new("delete", 3, function_delete)
        .flags(NOSCRIPT | WRITE)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .tips(ALL_SHARDS)
        .doc(Group::Scripting, "7.0.0", "O(1)", "Forgets a library.")
        .args(&[Arg::new("library-name", ArgKind::String)]),
    Spec::new("dump", 2, function_dump)
        .flags(NOSCRIPT)
        .category(category::SCRIPTING)
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(N) where N is the number of functions",
            "Returns all libraries as FUNCTION RESTORE takes them.",
        ),
    Spec::new("flush", -2, function_flush)
        .flags(NOSCRIPT | WRITE)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .tips(ALL_SHARDS)
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(N) where N is the number of functions deleted",
            "Forgets all libraries.",
        )
        .args(&[Arg::one_of("flush-type", FLUSH_ARGS).optional()]),
    Spec::new("help", 2, function_help)
        .flags(LOADING | STALE)
        .category(category::SCRIPTING)
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(1)",
            "Returns a text that explains the subcommands.",
        ),
    Spec::new("kill", 2, function_kill)
        .flags(NOSCRIPT | ALLOW_BUSY)
        .category(category::SCRIPTING)
        .tips(ONE_SHARD)
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(1)",
            "Ends the function that runs, if it has not written yet.",
        ),
    Spec::new("list", -2, function_list)
        .flags(NOSCRIPT)
        .category(category::SCRIPTING)
        .tips(&["nondeterministic_output_order"])
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(N) where N is the number of functions",
            "Returns what is known of the libraries.",
        )
        .args(&[
            Arg::new("library-name-pattern", ArgKind::String)
                .token("LIBRARYNAME")
                .optional(),
            Arg::word("withcode", "WITHCODE").optional(),
        ]),
    Spec::new("load", -3, function_load)
        .flags(NOSCRIPT | WRITE | DENYOOM)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .tips(ALL_SHARDS)
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(1) (considering compilation time is redundant)",
            "Loads a library.",
        )
        .args(&[
            Arg::word("replace", "REPLACE").optional(),
            Arg::new("function-code", ArgKind::String),
        ]),
    Spec::new("restore", -3, function_restore)
        .flags(NOSCRIPT | WRITE | DENYOOM)
        .category(category::SCRIPTING)
        .scope(Scope::All)
        .tips(ALL_SHARDS)
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(N) where N is the number of functions on the payload",
            "Loads all libraries of a FUNCTION DUMP.",
        )
        .args(&[
            Arg::new("serialized-value", ArgKind::String),
            Arg::one_of(
                "policy",
                &[
                    Arg::word("flush", "FLUSH"),
                    Arg::word("append", "APPEND"),
                    Arg::word("replace", "REPLACE"),
                ],
            )
            .optional(),
        ]),
    Spec::new("stats", 2, function_stats)
        .flags(NOSCRIPT | ALLOW_BUSY)
        .category(category::SCRIPTING)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .doc(
            Group::Scripting,
            "7.0.0",
            "O(1)",
            "Returns what is known of the function that runs.",
        ),
];

/// Runs by `run`, shown to those who watch before what it does is.
fn shown(
    ctx: &mut Ctx<'_, '_>,
    run: impl FnOnce(&Scripting, &mut Ctx<'_, '_>) -> Result<(), Error>,
) -> Result<(), Error> {
    ctx.engine
        .monitors
        .show_now(ctx.session, ctx.spec, ctx.args.all());
    run(ctx.engine.service::<Scripting>(), ctx)
}

fn eval(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    shown(ctx, |scripting, ctx| scripting.eval(ctx, false, false))
}

fn eval_ro(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    shown(ctx, |scripting, ctx| scripting.eval(ctx, false, true))
}

fn evalsha(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    shown(ctx, |scripting, ctx| scripting.eval(ctx, true, false))
}

fn evalsha_ro(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    shown(ctx, |scripting, ctx| scripting.eval(ctx, true, true))
}

fn fcall(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    shown(ctx, |scripting, ctx| scripting.fcall(ctx, false))
}

fn fcall_ro(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    shown(ctx, |scripting, ctx| scripting.fcall(ctx, true))
}

/// A container has no handler of its own: dispatch refuses what names no subcommand.
fn unknown(_: &mut Ctx<'_, '_>) -> Result<(), Error> {
    Err(Error::SYNTAX)
}

// ----- SCRIPT -----------------------------------------------------------------------

fn script_debug(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mode = ctx.args.bytes()?;
    if let Some(engine) = ctx.args.peek()
        && !engine.eq_ignore_ascii_case(b"lua")
    {
        let before = "ERR No scripting engine found with name '";
        return Err(Error::quoting(before, engine, "' to enable debug"));
    }
    match mode.to_ascii_lowercase().as_slice() {
        b"no" => ctx.reply.ok(),
        b"yes" | b"sync" => {
            return Err(Error::new(
                "ERR scripts cannot be debugged within this server",
            ));
        }
        _ => return Err(Error::new("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
    Ok(())
}

fn script_exists(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let scripting = ctx.engine.service::<Scripting>();
    let digests = ctx.args.rest();
    ctx.reply.array(digests.len());
    for digest in digests {
        ctx.reply.flag(scripting.knows(digest));
    }
    Ok(())
}

/// Whatever is asked for, what is forgotten is freed at once: it is little.
fn end_of_flush(ctx: &mut Ctx<'_, '_>, otherwise: &'static str) -> Result<(), Error> {
    if ctx.args.left() == 1 && (ctx.args.flag("sync") || ctx.args.flag("async")) {
        return Ok(());
    }
    match ctx.args.is_empty() {
        true => Ok(()),
        false => Err(Error::new(otherwise)),
    }
}

fn script_flush(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    end_of_flush(ctx, "ERR SCRIPT FLUSH only support SYNC|ASYNC option")?;
    ctx.engine.service::<Scripting>().flush_scripts();
    ctx.reply.ok();
    Ok(())
}

fn script_help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "DEBUG (YES|SYNC|NO) [<engine_name>]",
            "    Say how scripts are debugged; only NO is taken.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell of each <sha1> whether the server knows the script.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all scripts.",
            "KILL",
            "    End the script that runs, if it has not written yet.",
            "LOAD <script>",
            "    Have the server know <script>, and return its SHA-1.",
            "SHOW <sha1>",
            "    Return the text of a script that the server knows.",
        ],
    );
    Ok(())
}

fn script_kill(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.engine.service::<Scripting>().kill(Kind::Script)?;
    ctx.reply.ok();
    Ok(())
}

fn script_load(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let text = ctx.args.bytes()?;
    let digest = ctx.engine.service::<Scripting>().load(text)?;
    ctx.reply.bulk(&digest);
    Ok(())
}

fn script_show(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let digest = ctx.args.bytes()?;
    let text = ctx.engine.service::<Scripting>().text(digest);
    ctx.reply.bulk(&text.ok_or(Error::NO_SCRIPT)?);
    Ok(())
}

// ----- FUNCTION ---------------------------------------------------------------------

fn function_load(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut replaces = false;
    while ctx.args.left() > 1 {
        if !ctx.args.flag("replace") {
            let option = ctx.args.bytes()?;
            return Err(Error::quoting("ERR Unknown option given: ", option, ""));
        }
        replaces = true;
    }
    let text = ctx.args.bytes()?;
    let (engine, leads) = (ctx.engine, ctx.session.leads);
    let scripting = engine.service::<Scripting>();
    let name = scripting.load_library(engine, text, replaces, leads)?;
    ctx.txn.count_change();
    ctx.reply.bulk(&name);
    Ok(())
}

fn function_delete(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.bytes()?;
    let engine = ctx.engine;
    engine.service::<Scripting>().drop_library(engine, name)?;
    ctx.txn.count_change();
    ctx.reply.ok();
    Ok(())
}

fn function_flush(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    end_of_flush(ctx, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")?;
    let engine = ctx.engine;
    engine.service::<Scripting>().flush_libraries(engine);
    ctx.txn.count_change();
    ctx.reply.ok();
    Ok(())
}

fn function_dump(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let texts = ctx.engine.keyspace.libraries().texts().all;
    let rules = Rules::of(&ctx.engine.settings);
    let payload = rdb::payload_of_libraries(texts.iter().map(|text| &**text), &rules);
    ctx.reply.bulk(&payload);
    Ok(())
}

fn function_restore(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let payload = ctx.args.bytes()?;
    let policy = match ctx.args.rest() {
        [] => Policy::Append,
        [word] if word.eq_ignore_ascii_case(b"append") => Policy::Append,
        [word] if word.eq_ignore_ascii_case(b"replace") => Policy::Replace,
        [word] if word.eq_ignore_ascii_case(b"flush") => Policy::Flush,
        [_] => {
            return Err(Error::new(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => {
            let argv = ctx.args.all();
            return Err(Error::unknown_subcommand_or_arity("function", argv[1]));
        }
    };
    let rules = Rules::of(&ctx.engine.settings);
    let texts = rdb::libraries_of(payload, &rules).map_err(|why| {
        Error::new(match why {
            PayloadError::Footer => "ERR DUMP payload version or checksum are wrong",
            PayloadError::ForeignType(_) => "ERR given type is not a function",
            PayloadError::Value(_) => "ERR failed loading the given functions payload",
        })
    })?;
    let engine = ctx.engine;
    let scripting = engine.service::<Scripting>();
    scripting.restore_libraries(engine, &texts, policy)?;
    ctx.txn.count_change();
    ctx.reply.ok();
    Ok(())
}

fn function_list(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (mut with_code, mut pattern) = (false, None);
    while !ctx.args.is_empty() {
        if !with_code && ctx.args.flag("withcode") {
            with_code = true;
        } else if pattern.is_none() && ctx.args.flag("libraryname") {
            let given = ctx.args.bytes();
            let given = given.map_err(|_| Error::new("ERR library name argument was not given"))?;
            pattern = Some(given);
        } else {
            let word = ctx.args.bytes()?;
            return Err(Error::quoting("ERR Unknown argument ", word, ""));
        }
    }
    let engine = ctx.engine;
    let mut libraries = engine.service::<Scripting>().all_libraries(engine);
    if let Some(pattern) = pattern {
        libraries.retain(|library| glob::matches(pattern, &library.name, Case::Ignore));
    }
    ctx.reply.array(libraries.len());
    for library in libraries {
        ctx.reply.map(if with_code { 4 } else { 3 });
        ctx.reply.bulk(b"library_name");
        ctx.reply.bulk(&library.name);
        ctx.reply.bulk(b"engine");
        ctx.reply.bulk(b"LUA");
        ctx.reply.bulk(b"functions");
        ctx.reply.array(library.members.len());
        for (name, member) in &library.members {
            ctx.reply.map(3);
            ctx.reply.bulk(b"name");
            ctx.reply.bulk(name);
            ctx.reply.bulk(b"description");
            match &member.description {
                Some(text) => ctx.reply.bulk(text),
                None => ctx.reply.null(),
            }
            ctx.reply.bulk(b"flags");
            ctx.reply.set(member.flags.names().count());
            for flag in member.flags.names() {
                ctx.reply.simple(flag);
            }
        }
        if with_code {
            ctx.reply.bulk(b"library_code");
            ctx.reply.bulk(&library.text);
        }
    }
    Ok(())
}

fn function_kill(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.engine.service::<Scripting>().kill(Kind::Function)?;
    ctx.reply.ok();
    Ok(())
}

fn function_stats(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let scripting = ctx.engine.service::<Scripting>();
    let seen = scripting.seen()?;
    let (libraries, functions) = scripting.counts(ctx.engine);
    ctx.reply.map(2);
    ctx.reply.bulk(b"running_script");
    match seen {
        None => ctx.reply.null(),
        Some(seen) => {
            ctx.reply.map(3);
            ctx.reply.bulk(b"name");
            ctx.reply.bulk(&seen.name);
            ctx.reply.bulk(b"command");
            ctx.reply.array(seen.argv.len());
            for word in &seen.argv {
                ctx.reply.bulk(word);
            }
            ctx.reply.bulk(b"duration_ms");
            ctx.reply.size(seen.ms as usize);
        }
    }
    ctx.reply.bulk(b"engines");
    ctx.reply.map(1);
    ctx.reply.bulk(b"LUA");
    ctx.reply.map(2);
    ctx.reply.bulk(b"libraries_count");
    ctx.reply.size(libraries as usize);
    ctx.reply.bulk(b"functions_count");
    ctx.reply.size(functions as usize);
    Ok(())
}

fn function_help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "DELETE <library>",
            "    Forget <library> and its functions.",
            "DUMP",
            "    Return all libraries as RESTORE takes them.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all libraries.",
            "KILL",
            "    End the function that runs, if it has not written yet.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    Return what is known of the libraries (of those whose name matches <pattern>),",
            "    with their texts.",
            "LOAD [REPLACE] <text>",
            "    Load a library, in the place of one of the same name with REPLACE.",
            "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
            "    Load the libraries of a DUMP: in the place of all that are there, beside them",
            "    (default), or in the place of those of the same names.",
            "STATS",
            "    Return what is known of the function that runs, and how many there are.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check};

    #[test]
    fn scripts_find_their_keys_and_call_commands() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                (
                    "eval \"return {KEYS[1], ARGV[1], #KEYS, #ARGV}\" 1 k a",
                    "*4 $1 k $1 a :1 :1",
                ),
                (
                    "eval \"return redis.call('set', KEYS[1], ARGV[1])\" 1 k v",
                    "+OK",
                ),
                ("get k", "$1 v"),
                (
                    "eval \"return redis.call('incr', KEYS[1])\" 1 k",
                    "-ERR value is not an integer or out of range script: on @user_script:1.",
                ),
                (
                    "eval \"return redis.pcall('incr', KEYS[1]).err\" 1 k",
                    "$43 ERR value is not an integer or out of range",
                ),
                (
                    "eval \"return redis.call('nosuch')\" 0",
                    "-ERR Unknown command called from script script: on @user_script:1.",
                ),
                (
                    "eval \"return redis.call('get')\" 0",
                    "-ERR Wrong number of args calling command from script script: on @user_script:1.",
                ),
                (
                    "eval \"return redis.call('multi')\" 0",
                    "-ERR This Valkey command is not allowed from script script: on @user_script:1.",
                ),
                ("eval_ro \"return redis.call('get', KEYS[1])\" 1 k", "$1 v"),
                (
                    "eval_ro \"return redis.call('del', KEYS[1])\" 1 k",
                    "-ERR Write commands are not allowed from read-only scripts. script: on @user_script:1.",
                ),
                (
                    "eval \"return 1\" 2 k",
                    "-ERR Number of keys can't be greater than number of args",
                ),
                (
                    "eval \"return 1\" -1 k",
                    "-ERR Number of keys can't be negative",
                ),
                (
                    "eval \"return 1\" x",
                    "-ERR value is not an integer or out of range",
                ),
                (
                    "eval \"return )\" 0",
                    "-ERR Error compiling script (new function): user_script:1: unexpected symbol near ')'",
                ),
            ],
        );
    }

    #[test]
    fn a_script_is_known_by_its_digest_until_all_are_forgotten() {
        let mut kit = Kit::new();
        let digest = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        let known = format!("script exists {digest} nosuch");
        check(
            &mut kit,
            &[
                (
                    &format!("evalsha {digest} 0"),
                    "-NOSCRIPT No matching script.",
                ),
                ("script load \"return 1\"", &format!("$40 {digest}")),
                ("eval \"return 1\" 0", ":1"),
                (&format!("evalsha {} 0", digest.to_uppercase()), ":1"),
                (&format!("evalsha_ro {digest} 0"), ":1"),
                (&format!("script show {digest}"), "$8 return 1"),
                (&known, "*2 :1 :0"),
                (
                    "script flush nosuch",
                    "-ERR SCRIPT FLUSH only support SYNC|ASYNC option",
                ),
                ("script flush async", "+OK"),
                (&known, "*2 :0 :0"),
                ("script kill", "-NOTBUSY No scripts in execution right now."),
                ("script debug no", "+OK"),
                (
                    "script debug yes",
                    "-ERR scripts cannot be debugged within this server",
                ),
            ],
        );
        assert!(kit.run("script help").contains("EXISTS"));
    }

    #[test]
    fn of_scripts_that_came_by_eval_alone_the_last_ones_stay() {
        let mut kit = Kit::new();
        kit.run("script load \"return 'kept'\"");
        for n in 0..600 {
            kit.run(&format!("eval \"return {n}\" 0"));
            kit.run("eval \"return 'used'\" 0");
        }
        let info = kit.run("info all");
        assert!(info.contains("number_of_cached_scripts:501\r\n"), "{info}");
        assert!(info.contains("evicted_scripts:101\r\n"), "{info}");
    }

    #[test]
    fn what_scripts_return_is_answered_in_both_protocols() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                (
                    "eval \"return {1, 2.9, 'a', true, {false}, nil, 3}\" 0",
                    "*5 :1 :2 $1 a :1 *1 $-1",
                ),
                ("eval \"return {ok='fine'}\" 0", "+fine"),
                ("eval \"return {err='OWN words'}\" 0", "-OWN words"),
                ("eval \"return redis.error_reply('word')\" 0", "-ERR word"),
                ("eval \"return {double=1.5}\" 0", "$3 1.5"),
                ("eval \"return {map={a=1}}\" 0", "*2 $1 a :1"),
                ("eval \"return 1e300\" 0", ":-9223372036854775808"),
            ],
        );
        kit.session.speak_resp3(true);
        check(
            &mut kit,
            &[
                ("eval \"return {double=1.5}\" 0", ",1.5"),
                ("eval \"return {map={a=1}}\" 0", "%1 $1 a :1"),
                ("eval \"return {set={a=true}}\" 0", "~1 $1 a"),
                ("eval \"return {big_number='12'}\" 0", "(12"),
                ("eval \"redis.setresp(3) return true\" 0", "#t"),
                ("hset h f v", ":1"),
                (
                    "eval \"return redis.call('hgetall', 'h')\" 0",
                    "*2 $1 f $1 v",
                ),
                (
                    "eval \"redis.setresp(3) return redis.call('hgetall', 'h')\" 0",
                    "%1 $1 f $1 v",
                ),
            ],
        );
    }

    #[test]
    fn tables_within_themselves_and_large_ones_are_answered() {
        let mut kit = Kit::new();
        let reply = kit.run("eval \"local a = {} a[1] = {a} return a\" 0");
        assert!(reply.starts_with("*1\r\n*1\r\n"));
        assert!(reply.ends_with("-ERR reached lua stack limit\r\n"));
        let map = kit.run("eval \"local m = {} for i = 1, 100 do m = {map={a=m}} end return m\" 0");
        assert!(map.ends_with("-ERR reached lua stack limit\r\n"));
        let many =
            kit.run("eval \"local t = {} for i = 1, 20000 do t[i] = 's'..i end return t\" 0");
        assert!(many.starts_with("*20000\r\n") && many.ends_with("$6\r\ns20000\r\n"));
    }

    #[test]
    fn what_all_scripts_share_cannot_be_changed() {
        let mut kit = Kit::new();
        for line in [
            "x = 1",
            "_G.x = 1",
            "redis.call = nil",
            "string.rep = nil",
            "cjson.encode = nil",
            "rawset(redis, 'a', 1)",
            "setmetatable(_G, {})",
            "getmetatable('').__index = nil",
            "getmetatable(_G).__index = nil",
        ] {
            let reply = kit.run(&format!("eval \"{line}\" 0"));
            assert!(
                reply.contains("Attempt to modify a readonly table"),
                "{line}: {reply}"
            );
        }
        for name in [
            "print", "dofile", "loadfile", "getfenv", "setfenv", "newproxy", "require", "io",
            "debug", "nosuch",
        ] {
            let reply = kit.run(&format!("eval \"return {name}\" 0"));
            assert!(
                reply.contains("nonexistent global variable"),
                "{name}: {reply}"
            );
        }
        assert_eq!(
            kit.run("eval \"return loadstring(string.dump(function() return 1 end))\" 0"),
            "$-1\r\n"
        );
        assert_eq!(kit.run("eval \"return os.time\" 0"), "$-1\r\n");
    }

    #[test]
    fn errors_within_are_caught_as_texts_and_keep_their_lines() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                (
                    "eval \"local ok, e = pcall(redis.call, 'nosuch') return {ok, e}\" 0",
                    "*2 $-1 $38 ERR Unknown command called from script",
                ),
                (
                    "eval \"local _, e = pcall(error, {err='A b'}) return e\" 0",
                    "$3 A b",
                ),
                (
                    "eval \"local c = coroutine.create(function() redis.call('nosuch') end) local ok, e = coroutine.resume(c) return e.err\" 0",
                    "$38 ERR Unknown command called from script",
                ),
                (
                    "eval \"return select(2, xpcall(function() redis.call('nosuch') end, function(e) return e.err end))\" 0",
                    "$38 ERR Unknown command called from script",
                ),
                (
                    "eval \"\\n\\nerror('here')\" 0",
                    "-ERR user_script:3: here script: on @user_script:3.",
                ),
                ("eval \"error()\" 0", "-ERR nil script: on @user_script:1."),
            ],
        );
    }

    #[test]
    fn what_a_script_does_is_one_transaction_and_leaves_the_database_alone() {
        let mut kit = Kit::new();
        kit.run("eval \"redis.call('select', 3) redis.call('set', 'a', 1)\" 0");
        assert_eq!(kit.session.db, 0);
        assert_eq!(kit.run("get a"), "$-1\r\n");
        kit.run("select 3");
        assert_eq!(kit.run("get a"), "$1\r\n1\r\n");
        kit.run("multi");
        kit.run("eval \"return redis.call('incr', 'a')\" 0");
        kit.run("eval \"return redis.call('blpop', 'none', 0)\" 0");
        assert_eq!(kit.run("exec"), "*2\r\n:2\r\n$-1\r\n");
    }

    #[test]
    fn a_first_line_says_what_a_script_may_do() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("eval \"#!lua\\nreturn 1\" 0", ":1"),
                (
                    "eval \"#!lua flags=no-writes\\nreturn redis.call('set', 'a', 1)\" 0",
                    "-ERR Write commands are not allowed from read-only scripts. script: on @user_script:2.",
                ),
                (
                    "eval_ro \"#!lua\\nreturn 1\" 0",
                    "-ERR Can not execute a script with write flag using *_ro command.",
                ),
                (
                    "eval \"#!lua flags=own\\nreturn 1\" 0",
                    "-ERR Unexpected flag in script shebang: own",
                ),
                (
                    "eval \"#!lua own\\nreturn 1\" 0",
                    "-ERR Unknown lua shebang option: own",
                ),
                (
                    "eval \"#!own\\nreturn 1\" 0",
                    "-ERR Could not find scripting engine 'own'",
                ),
                ("eval \"#!lua\" 0", "-ERR Invalid script shebang"),
            ],
        );
    }

    const LIBRARY: &str = "\"#!lua name=lib\\nlocal calls = 0\\nredis.register_function('f', function(keys, args) return {keys[1], args[1]} end)\\nredis.register_function{function_name='g', callback=function() return redis.call('get', 'k') end, flags={'no-writes'}, description='reads'}\"";

    #[test]
    fn functions_are_loaded_listed_called_and_forgotten() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                (&format!("function load {LIBRARY}"), "$3 lib"),
                (
                    &format!("function load {LIBRARY}"),
                    "-ERR Library 'lib' already exists",
                ),
                (&format!("function load replace {LIBRARY}"), "$3 lib"),
                ("fcall f 1 k a", "*2 $1 k $1 a"),
                ("fcall F 1 k a", "*2 $1 k $1 a"),
                ("fcall_ro g 0", "$-1"),
                (
                    "fcall_ro f 0",
                    "-ERR Can not execute a script with write flag using *_ro command.",
                ),
                ("fcall nosuch 0", "-ERR Function not found"),
                ("fcall f x", "-ERR Bad number of keys provided"),
                (
                    "function kill",
                    "-NOTBUSY No scripts in execution right now.",
                ),
                ("function delete nosuch", "-ERR Library not found"),
            ],
        );
        let listed = kit.run("function list libraryname L* withcode");
        for text in ["lib", "LUA", "reads", "no-writes", "register_function"] {
            assert!(listed.contains(text), "{text}: {listed}");
        }
        assert_eq!(kit.run("function list libraryname nosuch"), "*0\r\n");
        let stats = kit.run("function stats");
        assert!(stats.ends_with("functions_count\r\n:2\r\n"), "{stats}");
        assert!(kit.run("function help").contains("RESTORE"));
        assert_eq!(kit.run("function flush"), "+OK\r\n");
        assert_eq!(kit.run("fcall f 0"), "-ERR Function not found\r\n");
        kit.run(&format!("function load {LIBRARY}"));
        assert_eq!(kit.run("function delete lib"), "+OK\r\n");
        assert_eq!(kit.run("function list"), "*0\r\n");
    }

    #[test]
    fn a_library_that_is_wrong_changes_nothing() {
        let mut kit = Kit::new();
        kit.run(&format!("function load {LIBRARY}"));
        for (text, error) in [
            ("return 1", "Missing library metadata"),
            ("#!lua\\nreturn 1", "Library name was not given"),
            ("#!own name=a\\nreturn 1", "Engine 'own' not found"),
            (
                "#!lua name=a-b\\nreturn 1",
                "Library names can only contain",
            ),
            (
                "#!lua name=a name=b\\nreturn 1",
                "name argument was given multiple times",
            ),
            ("#!lua name=a\\nreturn 1", "No functions registered"),
            (
                "#!lua name=a\\nreturn )",
                "Error compiling function: user_function:2: ",
            ),
            (
                "#!lua name=a\\nredis.call('ping')",
                "nonexistent global variable 'call'",
            ),
            (
                "#!lua name=a\\nreturn math",
                "nonexistent global variable 'math'",
            ),
            (
                "#!lua name=a\\nredis.register_function('f', function() end)",
                "Function f already exists",
            ),
            (
                "#!lua name=a\\nredis.register_function('f-', function() end)",
                "Function names can only contain",
            ),
            (
                "#!lua name=a\\nredis.register_function('x')",
                "representing named arguments",
            ),
            (
                "#!lua name=lib\\nerror('no')",
                "nonexistent global variable 'error'",
            ),
            (
                "#!lua name=lib\\nlocal a = nil + 1",
                "user_function:2: attempt to perform arithmetic",
            ),
        ] {
            let reply = kit.run(&format!("function load replace \"{text}\""));
            assert!(
                reply.starts_with("-ERR ") && reply.contains(error),
                "{text}: {reply}"
            );
        }
        assert_eq!(kit.run("fcall f 0"), "*0\r\n");
        let within = kit.run("eval \"return redis.register_function('x', function() end)\" 0");
        assert!(
            within.contains("attempt to call field 'register_function'"),
            "{within}"
        );
    }

    #[test]
    fn a_dump_of_functions_is_restored_as_wanted() {
        let mut kit = Kit::new();
        kit.run(&format!("function load {LIBRARY}"));
        let dump = kit.run("function dump");
        let payload = dump.split_once("\r\n").expect("a bulk").1;
        assert!(payload.starts_with('\u{fffd}') && payload.contains("register_function"));
        let restore = |kit: &mut Kit, policy: &[&[u8]]| {
            let texts = kit.engine.keyspace.libraries().texts().all;
            let rules = crate::persist::rdb::Rules::of(&kit.engine.settings);
            let texts = texts.iter().map(|text| &**text);
            let payload = crate::persist::rdb::payload_of_libraries(texts, &rules);
            let words = [&[&b"function"[..], b"restore", &payload], policy].concat();
            String::from_utf8_lossy(&kit.call(&words)).into_owned()
        };
        let taken = "-ERR Library lib already exists\r\n";
        assert_eq!(restore(&mut kit, &[]), taken);
        assert_eq!(restore(&mut kit, &[b"append"]), taken);
        assert_eq!(restore(&mut kit, &[b"replace"]), "+OK\r\n");
        assert_eq!(restore(&mut kit, &[b"flush"]), "+OK\r\n");
        assert!(restore(&mut kit, &[b"own"]).starts_with("-ERR Wrong restore policy given"));
        assert!(
            kit.run("function restore nonsense")
                .starts_with("-ERR DUMP payload version")
        );
        assert_eq!(kit.run("fcall f 0"), "*0\r\n");
    }

    #[test]
    fn memory_that_is_full_stops_a_script_before_its_first_write_alone() {
        let mut kit = Kit::with(&["--maxmemory-policy", "noeviction"]);
        kit.run("set k v");
        kit.run("config set maxmemory 1");
        check(
            &mut kit,
            &[
                (
                    "eval \"return redis.call('set', 'a', 1)\" 0",
                    "-OOM command not allowed when used memory > 'maxmemory'. script: on @user_script:1.",
                ),
                (
                    "eval \"redis.call('del', 'k') return redis.call('set', 'a', 1)\" 0",
                    "+OK",
                ),
                (
                    "eval \"#!lua\\nreturn 1\" 0",
                    "-OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
                ),
                (
                    "eval \"#!lua flags=allow-oom\\nreturn redis.call('set', 'b', 1)\" 0",
                    "+OK",
                ),
                (
                    "eval \"#!lua flags=no-writes\\nreturn redis.call('get', 'b')\" 0",
                    "$1 1",
                ),
            ],
        );
    }
}
