//! ACL: the users, what they may do, and what they were denied.

use super::help;
use crate::acl::{self, Acl, Change, RuleError, Selector, User};
use crate::base::{clock, num};
use crate::exec::access::{Asked, Rights};
use crate::exec::context::Ctx;
use crate::exec::dispatch;
use crate::exec::engine::Engine;
use crate::exec::session::{Client, Closing, Session};
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*};
use crate::observe::clients;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::pubsub::{Kind, PubSub};

const FLAGS: u32 = ADMIN | NOSCRIPT | LOADING | STALE;
const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const PER_USER: &str = "O(N). Where N is the number of configured users.";
const USERNAME: Arg = Arg::new("username", ArgKind::String);

/// Bits of the longest password that GENPASS makes.
const PASSWORD_BITS_MAX: i64 = 4096;
/// Bits of one where nobody says how many.
const PASSWORD_BITS: i64 = 256;
/// Entries of the log that are shown where nobody says how many.
const LOG_SHOWN: i64 = 10;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("acl", -2, help)
    .doc(
        Group::Server,
        "6.0.0",
        "Depends on subcommand.",
        "A container for commands about users and their rights.",
    )
    .subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("cat", -2, cat)
        .flags(NOSCRIPT | LOADING | STALE)
        .doc(
            Group::Server,
            "6.0.0",
            "O(1) since the categories and commands are a fixed set.",
            "Returns the categories of commands, or the commands of one.",
        )
        .args(&[Arg::new("category", ArgKind::String).optional()]),
    Spec::new("deluser", -3, deluser)
        .flags(FLAGS)
        .secrets(|_, i| i >= 2)
        .tips(TO_ALL)
        .doc(
            Group::Server,
            "6.0.0",
            "O(1) amortized time considering the typical user.",
            "Removes users, and closes their connections.",
        )
        .args(&[USERNAME.multiple()]),
    Spec::new("dryrun", -4, dryrun)
        .flags(FLAGS)
        .doc(
            Group::Server,
            "7.0.0",
            "O(1).",
            "Says whether a user may run a command, without running it.",
        )
        .args(&[
            USERNAME,
            Arg::new("command", ArgKind::String),
            Arg::new("arg", ArgKind::String).optional().multiple(),
        ]),
    Spec::new("genpass", -2, genpass)
        .flags(NOSCRIPT | LOADING | STALE)
        .doc(
            Group::Server,
            "6.0.0",
            "O(1)",
            "Makes a password that nobody guesses.",
        )
        .args(&[Arg::new("bits", ArgKind::Integer).optional()]),
    Spec::new("getuser", 3, getuser)
        .flags(FLAGS)
        .secrets(|_, i| i >= 2)
        .doc(
            Group::Server,
            "6.0.0",
            "O(N). Where N is the number of password, command and pattern rules that the user has.",
            "Returns a user's rules.",
        )
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            (
                "7.0.0",
                "Added selectors and changed the format of key and channel patterns from a list \
                 to their rule representation.",
            ),
            ("9.1.0", "Added database permission rules."),
        ])
        .args(&[USERNAME]),
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        "6.0.0",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
    Spec::new("list", 2, list).flags(FLAGS).doc(
        Group::Server,
        "6.0.0",
        PER_USER,
        "Returns the users as the lines that define them.",
    ),
    Spec::new("load", 2, load).flags(FLAGS).doc(
        Group::Server,
        "6.0.0",
        PER_USER,
        "Reads the users again from the aclfile.",
    ),
    Spec::new("log", -2, log)
        .flags(FLAGS)
        .doc(
            Group::Server,
            "6.0.0",
            "O(N) with N being the number of entries shown.",
            "Returns what users were denied of late.",
        )
        .history(&[(
            "7.2.0",
            "Added entry ID, timestamp created, and timestamp last updated.",
        )])
        .args(&[Arg::one_of(
            "operation",
            &[
                Arg::new("count", ArgKind::Integer),
                Arg::word("reset", "RESET"),
            ],
        )
        .optional()]),
    Spec::new("save", 2, save).flags(FLAGS).tips(TO_ALL).doc(
        Group::Server,
        "6.0.0",
        PER_USER,
        "Writes the users to the aclfile.",
    ),
    Spec::new("setuser", -3, setuser)
        .flags(FLAGS)
        .secrets(|_, i| i >= 2)
        .tips(TO_ALL)
        .doc(
            Group::Server,
            "6.0.0",
            "O(N). Where N is the number of rules provided.",
            "Makes a user, or changes one, by rules.",
        )
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            ("7.0.0", "Added selectors and key based permissions."),
            ("9.1.0", "Added database permission rules."),
        ])
        .args(&[
            USERNAME,
            Arg::new("rule", ArgKind::String).optional().multiple(),
        ]),
    Spec::new("users", 2, users).flags(FLAGS).doc(
        Group::Server,
        "6.0.0",
        PER_USER,
        "Returns the names of the users.",
    ),
    Spec::new("whoami", 2, whoami)
        .flags(NOSCRIPT | LOADING | STALE)
        .doc(
            Group::Server,
            "6.0.0",
            "O(1)",
            "Returns the name of this connection's user.",
        ),
];

/// Makes the settings about users take effect.
pub(super) fn configure(engine: &Engine) {
    acl::configure(engine);
    engine.service::<Acl>().describe_clients(clients::line);
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "CAT [<category>]",
            "    Return the categories of commands, or the commands of <category>.",
            "DELUSER <username> [<username> ...]",
            "    Remove users, and close their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Say whether a user may run a command, without running it.",
            "GETUSER <username>",
            "    Return a user's rules.",
            "GENPASS [<bits>]",
            "    Make a password of 256 bits, or of <bits>.",
            "LIST",
            "    Return the users as the lines that define them.",
            "LOAD",
            "    Read the users again from the aclfile: all of them or, where a line is wrong, none.",
            "LOG [<count> | RESET]",
            "    Return what was denied last, or forget it.",
            "SAVE",
            "    Write the users to the aclfile.",
            "SETUSER <username> <rule> [<rule> ...]",
            "    Make a user, or change one, by rules.",
            "USERS",
            "    Return the names of the users.",
            "WHOAMI",
            "    Return the name of this connection's user.",
        ],
    );
    Ok(())
}

/// An error where a subcommand has more arguments than it takes.
fn at_most(ctx: &Ctx<'_, '_>, most: usize) -> Result<(), Error> {
    match ctx.args.left() > most {
        true => Err(Error::unknown_subcommand_or_arity("ACL", ctx.args.all()[1])),
        false => Ok(()),
    }
}

fn cat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    at_most(ctx, 1)?;
    let Some(name) = ctx.args.peek() else {
        ctx.reply.array(category::NAMES.len());
        for name in category::NAMES {
            ctx.reply.bulk(name.as_bytes());
        }
        return Ok(());
    };
    let Some(bit) = acl::category_bit(name) else {
        let name = &name[..name.len().min(128)];
        return Err(Error::quoting("ERR Unknown category '", name, "'"));
    };
    let table = &ctx.engine.commands;
    let mut names = Vec::new();
    for (number, spec) in table.all().iter().enumerate() {
        if spec.categories() & bit != 0 {
            names.push(table.full_name(number, None));
        }
        for (at, sub) in spec.subcommands.iter().enumerate() {
            if sub.categories() & bit != 0 {
                names.push(table.full_name(number, Some(at)));
            }
        }
    }
    ctx.reply.array(names.len());
    for name in names {
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn setuser(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.bytes()?;
    if !acl::is_name(name) {
        return Err(Error::new(
            "ERR Usernames can't contain spaces or null characters",
        ));
    }
    let service = ctx.engine.service::<Acl>();
    let change = service.set(ctx.engine, name, ctx.args.rest());
    let change = change.map_err(|error| match error {
        RuleError::Refused(refused) => {
            let before = "ERR Error in ACL SETUSER modifier '";
            Error::quoting(before, &refused.rule, &format!("': {}", refused.why))
        }
        RuleError::Open(rule) => {
            let before = "ERR Unmatched parenthesis in acl selector starting at '";
            Error::quoting(before, &rule, "'.")
        }
    })?;
    close(ctx.engine, ctx.session, &[change]);
    ctx.reply.ok();
    Ok(())
}

fn deluser(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let names = ctx.args.rest();
    if names.contains(&acl::DEFAULT) {
        return Err(Error::new("ERR The 'default' user cannot be removed"));
    }
    let removed = ctx.engine.service::<Acl>().remove(names);
    close(ctx.engine, ctx.session, &removed);
    ctx.reply.size(removed.len());
    Ok(())
}

/// Closes the connections of users that are gone, and of those that listen to what they
/// may no more. The one that asks has its reply first.
fn close(engine: &Engine, session: &mut Session, changes: &[Change]) {
    let has = |client: &Client, change: &Change| *client.names.lock().user == *change.name;
    let mut concerned = Vec::new();
    if changes.iter().any(|change| change.is_gone) {
        let is_gone = |client: &Client| changes.iter().any(|c| c.is_gone && has(client, c));
        let all = engine.clients.all();
        concerned.extend(all.into_iter().filter(|client| is_gone(client)));
    }
    for change in changes {
        let Some(left) = &change.left else {
            continue;
        };
        let lost = engine.service::<PubSub>().listeners(
            |kind, name| !acl::may_listen(left, name, kind == Kind::Pattern),
            |client| has(client, change),
        );
        concerned.extend(lost);
    }
    for client in concerned {
        // What follows this server or is followed has no user.
        if client.is_leader() || client.is_server() {
            continue;
        }
        if client.id == session.client.id {
            session.closing = Closing::AfterReply;
        } else {
            client.kill();
            engine.clients.remove(client.id);
        }
    }
}

fn getuser(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let Some(user) = ctx.engine.service::<Acl>().user(ctx.args.bytes()?) else {
        ctx.reply.null();
        return Ok(());
    };
    let User { passwords, .. } = &*user;
    let reply = &mut ctx.reply;
    reply.map(7);
    reply.bulk(b"flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(passwords.len());
    for password in passwords {
        reply.bulk(password.to_hex().as_bytes());
    }
    write_selector(reply, user.root());
    reply.bulk(b"selectors");
    reply.array(user.selectors().len());
    for selector in user.selectors() {
        reply.map(4);
        write_selector(reply, selector);
    }
    Ok(())
}

/// Four fields.
fn write_selector(reply: &mut Reply<'_>, selector: &Selector) {
    for (name, value) in [
        ("commands", selector.commands.describe()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
        ("databases", selector.describe_databases().into_bytes()),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(&value);
    }
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let users = ctx.engine.service::<Acl>().all();
    ctx.reply.array(users.len());
    users.iter().for_each(|user| ctx.reply.bulk(&user.line()));
    Ok(())
}

fn users(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let users = ctx.engine.service::<Acl>().all();
    ctx.reply.array(users.len());
    users.iter().for_each(|user| ctx.reply.bulk(&user.name));
    Ok(())
}

fn whoami(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let user = ctx.session.client.names.lock().user.clone();
    ctx.reply.bulk(&user);
    Ok(())
}

fn no_file() -> Error {
    Error::new(
        "ERR This instance is not configured to use an ACL file. You may want to specify users \
         via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a \
         configuration file set) in order to store users in the configuration.",
    )
}

fn load(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let path = ctx.engine.settings.acl_file().ok_or_else(no_file)?;
    let changes = ctx.engine.service::<Acl>().load(ctx.engine, &path);
    let changes = changes.map_err(|why| {
        Error::new(format!(
            "ERR {why}WARNING: ACL errors detected, no change to the previously active ACL rules \
             was performed"
        ))
    })?;
    close(ctx.engine, ctx.session, &changes);
    ctx.reply.ok();
    Ok(())
}

fn save(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let path = ctx.engine.settings.acl_file().ok_or_else(no_file)?;
    ctx.engine.service::<Acl>().save(&path).map_err(|error| {
        crate::warning!("Writing ACL file for ACL SAVE: {error}");
        Error::new(
            "ERR There was an error trying to save the ACLs. Please check the server logs for \
             more information",
        )
    })?;
    ctx.reply.ok();
    Ok(())
}

fn genpass(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    at_most(ctx, 1)?;
    let bits = match ctx.args.is_empty() {
        true => PASSWORD_BITS,
        false => ctx.args.int()?,
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(Error::new(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a \
             positive number up to {PASSWORD_BITS_MAX}"
        )));
    }
    let digits = (bits as usize).div_ceil(4);
    let password = clock::secret_hex(digits).map_err(|error| {
        crate::warning!("No entropy to be had for ACL GENPASS: {error}");
        Error::new("ERR No entropy to be had")
    })?;
    ctx.reply.bulk(password.as_bytes());
    Ok(())
}

fn log(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    at_most(ctx, 1)?;
    let service = ctx.engine.service::<Acl>();
    if ctx.args.flag("reset") {
        service.reset_log();
        ctx.reply.ok();
        return Ok(());
    }
    let count = match ctx.args.peek() {
        None => LOG_SHOWN,
        Some(text) => num::parse_i64(text).ok_or(Error::NOT_INTEGER)?,
    };
    let entries = service.logged(usize::try_from(count).unwrap_or(0));
    let now_ms = clock::unix_ms();
    let reply = &mut ctx.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.map(10);
        reply.bulk(b"count");
        reply.int(entry.count as i64);
        reply.bulk(b"reason");
        reply.bulk(entry.denied.reason.name().as_bytes());
        reply.bulk(b"context");
        reply.bulk(acl::context_name(entry.denied.context).as_bytes());
        reply.bulk(b"object");
        reply.bulk(&entry.denied.object);
        reply.bulk(b"username");
        reply.bulk(&entry.denied.user);
        reply.bulk(b"age-seconds");
        reply.double(now_ms.saturating_sub(entry.last_ms) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(&entry.client);
        reply.bulk(b"entry-id");
        reply.int(entry.id as i64);
        reply.bulk(b"timestamp-created");
        reply.int(entry.first_ms as i64);
        reply.bulk(b"timestamp-last-updated");
        reply.int(entry.last_ms as i64);
    }
    Ok(())
}

fn dryrun(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (engine, name) = (ctx.engine, ctx.args.bytes()?);
    let argv = ctx.args.rest();
    let Some(user) = engine.service::<Acl>().user(name) else {
        return Err(Error::quoting("ERR User '", name, "' not found"));
    };
    let Some((spec, counter)) = dispatch::find(engine, argv) else {
        return Err(Error::quoting("ERR Command '", argv[0], "' not found"));
    };
    if !spec.takes(argv.len()) {
        return Err(Error::arity(&engine.commands.name_of_counter(counter)));
    }
    let asked = Asked {
        spec,
        counter,
        argv,
        db: ctx.session.db,
    };
    match user.judge(engine, &asked) {
        Ok(()) => ctx.reply.ok(),
        Err(denial) => {
            let text = denial.text(engine, name, &asked, true);
            ctx.reply.bulk(&text);
        }
    }
    Ok(())
}
