//! CLIENT: connections, one's own and others'.

use std::sync::atomic::{AtomicBool, Ordering};

use super::client_filter::Filter;
use super::client_tracking;
use super::connection::{check_name, is_showable};
use super::help;
use crate::base::{clock, num};
use crate::exec::context::Ctx;
use crate::exec::pause::Purpose;
use crate::exec::session::{Client, Closing, ReplyMode};
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*};
use crate::exec::waiting;
use crate::observe::clients;
use crate::protocol::error::Error;

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("client", -2, help)
    .doc(
        Group::Connection,
        "2.4.0",
        "Depends on subcommand.",
        "A container for commands about connections.",
    )
    .subcommands(SUBCOMMANDS)];
const SUBCOMMANDS: &[Spec] = &[
    Spec::new("id", 2, id)
        .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "5.0.0",
            "O(1)",
            "Returns the connection's number, which no other has.",
        ),
    Spec::new("info", 2, info)
        .flags(NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .tips(&["nondeterministic_output"])
        .doc(
            Group::Connection,
            "6.2.0",
            "O(1)",
            "Returns what the server knows of the connection.",
        ),
    Spec::new("setname", 3, set_name)
        .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            Group::Connection,
            "2.6.9",
            "O(1)",
            "Gives the connection a name.",
        )
        .args(&[Arg::new("connection-name", ArgKind::String)]),
    Spec::new("getname", 2, get_name)
        .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "2.6.9",
            "O(1)",
            "Returns the connection's name.",
        ),
    Spec::new("setinfo", 4, set_info)
        .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .doc(
            Group::Connection,
            "7.2.0",
            "O(1)",
            "Tells the server which library the client uses.",
        )
        .args(&[Arg::one_of(
            "attr",
            &[
                Arg::new("libname", ArgKind::String).token("LIB-NAME"),
                Arg::new("libver", ArgKind::String).token("LIB-VER"),
            ],
        )]),
    Spec::new("list", -2, list)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .tips(&["nondeterministic_output"])
        .doc(
            Group::Connection,
            "2.4.0",
            "O(N) where N is the number of client connections",
            "Lists the connections that the filters let through.",
        )
        .history(&[
            ("2.8.12", "Added unique client `id` field."),
            ("5.0.0", "Added optional `TYPE` filter."),
            ("6.0.0", "Added `user` field."),
            (
                "6.2.0",
                "Added `argv-mem`, `tot-mem`, `laddr` and `redir` fields and \
             the optional `ID` filter.",
            ),
            (
                "7.0.0",
                "Added `resp`, `multi-mem`, `rbs` and `rbp` fields.",
            ),
            ("7.0.3", "Added `ssub` field."),
            (
                "8.0.0",
                "Replaced `master` `TYPE` with `primary`. `master` still \
             supported for backward compatibility.",
            ),
            (
                "8.1.0",
                "Added filters USER, ADDR, LADDR, SKIPME, and MAXAGE.",
            ),
            (
                "9.0.0",
                "Added filters NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA, \
             and IP. And negative filters NOT-ID, NOT-TYPE, NOT-ADDR, \
             NOT-LADDR, NOT-USER, NOT-FLAGS, NOT-NAME, NOT-LIB-NAME, \
             NOT-LIB-VER, NOT-DB, NOT-CAPA, NOT-IP.",
            ),
        ])
        .args(&[
            Arg::one_of(
                "client-type",
                &[
                    Arg::word("normal", "NORMAL"),
                    Arg::word("master", "MASTER"),
                    Arg::word("replica", "REPLICA"),
                    Arg::word("pubsub", "PUBSUB"),
                ],
            )
            .token("TYPE")
            .since("5.0.0")
            .optional(),
            Arg::new("client-id", ArgKind::Integer)
                .token("ID")
                .since("6.2.0")
                .optional()
                .multiple(),
            Arg::new("username", ArgKind::String)
                .token("USER")
                .since("8.1.0")
                .optional(),
            Arg::new("addr", ArgKind::String)
                .token("ADDR")
                .shown_as("ip:port")
                .since("8.1.0")
                .optional(),
            Arg::new("laddr", ArgKind::String)
                .token("LADDR")
                .shown_as("ip:port")
                .since("8.1.0")
                .optional(),
            Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])
                .token("SKIPME")
                .since("8.1.0")
                .optional(),
            Arg::new("maxage", ArgKind::Integer)
                .token("MAXAGE")
                .since("8.1.0")
                .optional(),
            Arg::new("name", ArgKind::String)
                .token("NAME")
                .since("9.0.0")
                .optional(),
            Arg::new("idle", ArgKind::Integer)
                .token("IDLE")
                .since("9.0.0")
                .optional(),
            Arg::new("flags", ArgKind::String)
                .token("FLAGS")
                .since("9.0.0")
                .optional(),
            Arg::new("lib-name", ArgKind::String)
                .token("LIB-NAME")
                .since("9.0.0")
                .optional(),
            Arg::new("lib-ver", ArgKind::String)
                .token("LIB-VER")
                .since("9.0.0")
                .optional(),
            Arg::new("db", ArgKind::Integer)
                .token("DB")
                .since("9.0.0")
                .optional(),
            Arg::new("capa", ArgKind::String)
                .token("CAPA")
                .since("9.0.0")
                .optional(),
            Arg::new("ip", ArgKind::String)
                .token("IP")
                .since("9.0.0")
                .optional(),
            Arg::one_of(
                "not-client-type",
                &[
                    Arg::word("normal", "NORMAL"),
                    Arg::word("master", "MASTER"),
                    Arg::word("replica", "REPLICA"),
                    Arg::word("pubsub", "PUBSUB"),
                ],
            )
            .token("NOT-TYPE")
            .since("9.0.0")
            .optional(),
            Arg::new("not-client-id", ArgKind::Integer)
                .token("NOT-ID")
                .since("9.0.0")
                .optional()
                .multiple(),
            Arg::new("not-username", ArgKind::String)
                .token("NOT-USER")
                .since("9.0.0")
                .optional(),
            Arg::new("not-addr", ArgKind::String)
                .token("NOT-ADDR")
                .shown_as("ip:port")
                .since("9.0.0")
                .optional(),
            Arg::new("not-laddr", ArgKind::String)
                .token("NOT-LADDR")
                .shown_as("ip:port")
                .since("9.0.0")
                .optional(),
            Arg::new("not-name", ArgKind::String)
                .token("NOT-NAME")
                .since("9.0.0")
                .optional(),
            Arg::new("not-flags", ArgKind::String)
                .token("NOT-FLAGS")
                .since("9.0.0")
                .optional(),
            Arg::new("not-lib-name", ArgKind::String)
                .token("NOT-LIB-NAME")
                .since("9.0.0")
                .optional(),
            Arg::new("not-lib-ver", ArgKind::String)
                .token("NOT-LIB-VER")
                .since("9.0.0")
                .optional(),
            Arg::new("not-db", ArgKind::Integer)
                .token("NOT-DB")
                .since("9.0.0")
                .optional(),
            Arg::new("not-capa", ArgKind::String)
                .token("NOT-CAPA")
                .since("9.0.0")
                .optional(),
            Arg::new("not-ip", ArgKind::String)
                .token("NOT-IP")
                .since("9.0.0")
                .optional(),
        ]),
    Spec::new("kill", -3, kill)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "2.4.0",
            "O(N) where N is the number of client connections",
            "Closes the connections that the filters let through.",
        )
        .history(&[
            ("2.8.12", "Added new filter format."),
            ("2.8.12", "`ID` option."),
            ("3.2.0", "Added `master` type in for `TYPE` option."),
            (
                "5.0.0",
                "Replaced `slave` `TYPE` with `replica`. `slave` still \
             supported for backward compatibility.",
            ),
            ("6.2.0", "`LADDR` option."),
            ("8.0.0", "`MAXAGE` option."),
            (
                "8.0.0",
                "Replaced `master` `TYPE` with `primary`. `master` still \
             supported for backward compatibility.",
            ),
            ("8.1.0", "`ID` option accepts multiple IDs."),
            (
                "9.0.0",
                "Added filters NAME, IDLE, FLAGS, LIB-NAME, LIB-VER, DB, CAPA, \
             and IP. And negative filters NOT-ID, NOT-TYPE, NOT-ADDR, \
             NOT-LADDR, NOT-USER, NOT-FLAGS, NOT-NAME, NOT-LIB-NAME, \
             NOT-LIB-VER, NOT-DB, NOT-CAPA, NOT-IP.",
            ),
        ])
        .args(&[Arg::one_of(
            "filter",
            &[
                Arg::new("old-format", ArgKind::String)
                    .shown_as("ip:port")
                    .deprecated("2.8.12"),
                Arg::one_of(
                    "new-format",
                    &[
                        Arg::new("client-id", ArgKind::Integer)
                            .token("ID")
                            .since("2.8.12")
                            .optional()
                            .multiple(),
                        Arg::one_of(
                            "client-type",
                            &[
                                Arg::word("normal", "NORMAL"),
                                Arg::word("master", "MASTER").since("3.2.0"),
                                Arg::word("primary", "PRIMARY").since("8.0.0"),
                                Arg::word("slave", "SLAVE"),
                                Arg::word("replica", "REPLICA").since("5.0.0"),
                                Arg::word("pubsub", "PUBSUB"),
                            ],
                        )
                        .token("TYPE")
                        .since("2.8.12")
                        .optional(),
                        Arg::new("username", ArgKind::String)
                            .token("USER")
                            .optional(),
                        Arg::new("addr", ArgKind::String)
                            .token("ADDR")
                            .shown_as("ip:port")
                            .optional(),
                        Arg::new("laddr", ArgKind::String)
                            .token("LADDR")
                            .shown_as("ip:port")
                            .since("6.2.0")
                            .optional(),
                        Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])
                            .token("SKIPME")
                            .optional(),
                        Arg::new("maxage", ArgKind::Integer)
                            .token("MAXAGE")
                            .since("8.0.0")
                            .optional(),
                        Arg::new("name", ArgKind::String)
                            .token("NAME")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("idle", ArgKind::Integer)
                            .token("IDLE")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("flags", ArgKind::String)
                            .token("FLAGS")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("lib-name", ArgKind::String)
                            .token("LIB-NAME")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("lib-ver", ArgKind::String)
                            .token("LIB-VER")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("db", ArgKind::Integer)
                            .token("DB")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("capa", ArgKind::String)
                            .token("CAPA")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("ip", ArgKind::String)
                            .token("IP")
                            .since("9.0.0")
                            .optional(),
                        Arg::one_of(
                            "not-client-type",
                            &[
                                Arg::word("normal", "NORMAL"),
                                Arg::word("master", "MASTER"),
                                Arg::word("primary", "PRIMARY"),
                                Arg::word("slave", "SLAVE"),
                                Arg::word("replica", "REPLICA"),
                                Arg::word("pubsub", "PUBSUB"),
                            ],
                        )
                        .token("NOT-TYPE")
                        .since("9.0.0")
                        .optional(),
                        Arg::new("not-client-id", ArgKind::Integer)
                            .token("NOT-ID")
                            .since("9.0.0")
                            .optional()
                            .multiple(),
                        Arg::new("not-username", ArgKind::String)
                            .token("NOT-USER")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-addr", ArgKind::String)
                            .token("NOT-ADDR")
                            .shown_as("ip:port")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-laddr", ArgKind::String)
                            .token("NOT-LADDR")
                            .shown_as("ip:port")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-name", ArgKind::String)
                            .token("NOT-NAME")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-flags", ArgKind::String)
                            .token("NOT-FLAGS")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-lib-name", ArgKind::String)
                            .token("NOT-LIB-NAME")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-lib-ver", ArgKind::String)
                            .token("NOT-LIB-VER")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-db", ArgKind::Integer)
                            .token("NOT-DB")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-capa", ArgKind::String)
                            .token("NOT-CAPA")
                            .since("9.0.0")
                            .optional(),
                        Arg::new("not-ip", ArgKind::String)
                            .token("NOT-IP")
                            .since("9.0.0")
                            .optional(),
                    ],
                )
                .multiple(),
            ],
        )]),
    Spec::new("capa", -3, capa)
        .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "8.0.0",
            "O(1)",
            "Tells the server what the client is capable of.",
        )
        .args(&[Arg::new("capability", ArgKind::String).multiple()]),
    Spec::new("reply", 3, reply)
        .flags(NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "3.2.0",
            "O(1)",
            "Says which of the connection's commands are to be answered.",
        )
        .args(&[Arg::one_of(
            "action",
            &[
                Arg::word("on", "ON"),
                Arg::word("off", "OFF"),
                Arg::word("skip", "SKIP"),
            ],
        )]),
    Spec::new("no-evict", 3, no_evict)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "7.0.0",
            "O(1)",
            "Spares the connection when clients take too much memory.",
        )
        .args(&[Arg::one_of(
            "enabled",
            &[Arg::word("on", "ON"), Arg::word("off", "OFF")],
        )]),
    Spec::new("import-source", 3, import_source)
        .flags(NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "8.1.0",
            "O(1)",
            "Says whether the connection brings in data from another server (import-mode).",
        )
        .args(&[Arg::one_of(
            "enabled",
            &[Arg::word("on", "ON"), Arg::word("off", "OFF")],
        )]),
    Spec::new("no-touch", 3, no_touch)
        .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "7.2.0",
            "O(1)",
            "Says whether what the connection reads counts as used.",
        )
        .args(&[Arg::one_of(
            "enabled",
            &[Arg::word("on", "ON"), Arg::word("off", "OFF")],
        )]),
    client_tracking::TRACKING,
    client_tracking::CACHING,
    client_tracking::GETREDIR,
    client_tracking::TRACKINGINFO,
    Spec::new("pause", -3, pause)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "3.0.0",
            "O(1)",
            "Makes clients wait for some time.",
        )
        .history(&[(
            "6.2.0",
            "`CLIENT PAUSE WRITE` mode added along with the `mode` option.",
        )])
        .args(&[
            Arg::new("timeout", ArgKind::Integer),
            Arg::one_of(
                "mode",
                &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")],
            )
            .since("6.2.0")
            .optional(),
        ]),
    Spec::new("unpause", 2, unpause)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "6.2.0",
            "O(N) Where N is the number of paused clients",
            "Lets clients go on that CLIENT PAUSE made wait.",
        ),
    Spec::new("unblock", -3, unblock)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "5.0.0",
            "O(log N) where N is the number of client connections",
            "Ends what a client waits for.",
        )
        .args(&[
            Arg::new("client-id", ArgKind::Integer),
            Arg::one_of(
                "unblock-type",
                &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")],
            )
            .optional(),
        ]),
    Spec::new("help", 2, help)
        .flags(LOADING | STALE)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "5.0.0",
            "O(1)",
            "Returns a text that explains the subcommands.",
        ),
];

const HELP: &[&str] = &[
    "CAPA <capability> [<capability> ...]",
    "    Say what the client is capable of. Known is:",
    "    * REDIRECT: it follows the server's word to another server.",
    "GETNAME",
    "    Return the connection's name.",
    "ID",
    "    Return the connection's number.",
    "INFO",
    "    Return what the server knows of this connection.",
    "KILL <ip:port>",
    "    Close the connection that comes from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close the connections that all options let through. NOT- in front of an option",
    "    other than SKIPME, MAXAGE and IDLE turns it round. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      They come from this address.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      They came to this address of the server.",
    "    * TYPE (NORMAL|PRIMARY|REPLICA|PUBSUB)",
    "      They are of this type.",
    "    * USER <username>",
    "      They authenticated as this user.",
    "    * SKIPME (YES|NO)",
    "      Whether this connection is spared (default: yes).",
    "    * ID <client-id> [<client-id>...]",
    "      They have one of these numbers.",
    "    * MAXAGE <maxage>",
    "      They came at least so many seconds ago.",
    "    * FLAGS <flags>",
    "      They have all of these flags.",
    "    * NAME <client-name>",
    "      They have this name.",
    "    * IDLE <idle>",
    "      They have been silent for at least so many seconds.",
    "    * LIB-NAME <library-name>",
    "      They use this library.",
    "    * LIB-VER <library-version>",
    "      They use a library of this version.",
    "    * DB <db-id>",
    "      They work on this database.",
    "    * CAPA <capa>",
    "      They claim these capabilities.",
    "    * IP <ip>",
    "      They come from this IP address.",
    "LIST [options ...]",
    "    List the connections that all options let through: those of KILL, with",
    "    SKIPME NO by default.",
    "REPLY (ON|OFF|SKIP)",
    "    Say whether this connection's commands are answered, or only the next one is not.",
    "CACHING (YES|NO)",
    "    Say whether what the next command reads is remembered.",
    "GETREDIR",
    "    Return the number of the connection that is told of changes instead of this one.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
    "         [OPTIN] [OPTOUT] [NOLOOP]",
    "    Be told when what this connection has read changes.",
    "TRACKINGINFO",
    "    Return of which changes this connection is told.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Make clients wait for <timeout> milliseconds: those that write, or all.",
    "UNPAUSE",
    "    Let the clients go on that PAUSE made wait.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    End what a client waits for, as if its time were over or with an error.",
    "SETNAME <name>",
    "    Give this connection a name.",
    "SETINFO <option> <value>",
    "    Say what the client is made with. Options are:",
    "    * LIB-NAME: the client's library.",
    "    * LIB-VER: its version.",
    "NO-EVICT (ON|OFF)",
    "    Spare this connection when clients take too much memory.",
    "IMPORT-SOURCE (ON|OFF)",
    "    In import-mode, see keys whose time is over, too.",
    "NO-TOUCH (ON|OFF)",
    "    Read without counting as a use of the keys.",
];

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(ctx, HELP);
    Ok(())
}

fn id(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.int(ctx.session.client.id as i64);
    Ok(())
}

fn line(ctx: &Ctx<'_, '_>, client: &Client) -> Vec<u8> {
    let argv_bytes = match client.id == ctx.session.client.id {
        true => ctx.args.all().iter().map(|a| a.len()).sum(),
        false => 0,
    };
    let mut line = clients::line(ctx.engine, client, ctx.txn.now_ms, argv_bytes);
    line.push(b'\n');
    line
}

fn info(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.session.publish();
    let line = line(ctx, &ctx.session.client);
    ctx.reply.verbatim("txt", &line);
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.session.publish();
    let mut filter = Filter::default();
    match ctx.args.left() {
        0 => {}
        1 => return Err(Error::SYNTAX),
        _ => filter.read(ctx.engine, &mut ctx.args)?,
    }
    let me = ctx.session.client.id;
    let mut text = Vec::new();
    for client in ctx.engine.clients.all() {
        if filter.takes(&client, me, ctx.txn.now_ms) {
            text.extend(line(ctx, &client));
        }
    }
    ctx.reply.verbatim("txt", &text);
    Ok(())
}

fn pause(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let text = ctx.args.bytes()?;
    let all = match ctx.args.is_empty() {
        true => true,
        false if ctx.args.flag("write") => false,
        false if ctx.args.flag("all") => true,
        false => return Err(Error::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    ctx.args.end()?;
    let now_ms = clock::unix_ms();
    let ms =
        num::parse_i64(text).ok_or(Error::new("ERR timeout is not an integer or out of range"))?;
    let until_ms = u64::try_from(ms)
        .map_err(|_| Error::new("ERR timeout is negative"))?
        .saturating_add(now_ms);
    ctx.engine
        .effects
        .pause
        .begin(Purpose::Clients, until_ms, all);
    ctx.reply.ok();
    Ok(())
}

fn unpause(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.engine.effects.pause.end(Purpose::Clients);
    for client in ctx.engine.clients.all() {
        client.wake();
    }
    ctx.reply.ok();
    Ok(())
}

fn unblock(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let id = ctx.args.int()?;
    let with_error = match ctx.args.peek() {
        None => false,
        Some(_) if ctx.args.flag("error") => true,
        Some(_) if ctx.args.flag("timeout") => false,
        Some(_) => {
            return Err("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
                .to_string()
                .into());
        }
    };
    ctx.args.end()?;
    let client = u64::try_from(id)
        .ok()
        .and_then(|id| ctx.engine.clients.get(id));
    let worker = ctx.session.worker;
    let done = client.is_some_and(|c| waiting::unblock(ctx.engine, worker, &c, with_error));
    ctx.reply.int(done.into());
    Ok(())
}

fn kill(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.session.publish();
    let is_old_form = ctx.args.left() == 1;
    let filter = if is_old_form {
        Filter::of_addr(ctx.args.bytes()?)
    } else {
        let mut filter = Filter::default();
        filter.skip_me = true;
        filter.read(ctx.engine, &mut ctx.args)?;
        filter
    };
    let me = ctx.session.client.id;
    let mut killed = 0;
    for client in ctx.engine.clients.all() {
        if !filter.takes(&client, me, ctx.txn.now_ms) {
            continue;
        }
        killed += 1;
        if client.id == me {
            ctx.session.closing = Closing::AfterReply;
        } else {
            client.kill();
            // Its connection is closed by its own worker; from now on nobody
            // sees it.
            ctx.engine.clients.remove(client.id);
        }
    }
    match (is_old_form, killed) {
        (true, 0) => return Err("ERR No such client".to_string().into()),
        (true, _) => ctx.reply.ok(),
        (false, _) => ctx.reply.size(killed),
    }
    Ok(())
}

fn set_name(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.bytes()?;
    check_name(name)?;
    ctx.session.client.names.lock().name = name.to_vec();
    ctx.reply.ok();
    Ok(())
}

fn get_name(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let names = ctx.session.client.names.lock();
    match names.name.is_empty() {
        true => ctx.reply.null(),
        false => ctx.reply.bulk(&names.name),
    }
    Ok(())
}

fn set_info(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (option, text) = (ctx.args.bytes()?, ctx.args.bytes()?);
    let shown = String::from_utf8_lossy(option);
    let mut names = ctx.session.client.names.lock();
    let place = match &option.to_ascii_lowercase()[..] {
        b"lib-name" => &mut names.lib_name,
        b"lib-ver" => &mut names.lib_version,
        _ => return Err(format!("ERR Unrecognized option '{shown}'").into()),
    };
    if !is_showable(text) {
        return Err(
            format!("ERR {shown} cannot contain spaces, newlines or special characters.").into(),
        );
    }
    *place = text.to_vec();
    ctx.reply.ok();
    Ok(())
}

/// What is unknown may mean something to a later server.
fn capa(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    while !ctx.args.is_empty() {
        if ctx.args.bytes()?.eq_ignore_ascii_case(b"redirect") {
            store(&ctx.session.client.redirectable, true);
        }
    }
    ctx.reply.ok();
    Ok(())
}

fn reply(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let session = &mut *ctx.session;
    if ctx.args.flag("ON") {
        session.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if ctx.args.flag("OFF") {
        session.reply_mode = ReplyMode::Off;
    } else if ctx.args.flag("SKIP") {
        if session.reply_mode != ReplyMode::Off {
            session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(())
}

/// ON or OFF.
fn switch(ctx: &mut Ctx<'_, '_>) -> Result<bool, Error> {
    match (ctx.args.flag("ON"), ctx.args.flag("OFF")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Error::SYNTAX),
    }
}

fn store(flag: &AtomicBool, on: bool) {
    flag.store(on, Ordering::Relaxed);
}

fn no_evict(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let on = switch(ctx)?;
    store(&ctx.session.client.no_evict, on);
    ctx.reply.ok();
    Ok(())
}

/// What was begun may be ended at any time.
fn import_source(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let on = switch(ctx);
    if !ctx.engine.effects.is_importing() && !matches!(on, Ok(false)) {
        return Err(Error::new("ERR Server is not in import mode"));
    }
    store(&ctx.session.client.imports, on?);
    ctx.reply.ok();
    Ok(())
}

fn no_touch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let on = switch(ctx)?;
    ctx.session.no_touch = on;
    store(&ctx.session.client.no_touch, on);
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    /// The value of a field of CLIENT INFO.
    fn field(line: &str, name: &str) -> String {
        let start = format!(" {name}=");
        let rest = line.split(&start).nth(1).expect(name);
        rest.split([' ', '\n', '\r']).next().unwrap_or("").into()
    }

    #[test]
    fn the_line_of_a_client_has_every_field_in_its_place() {
        let mut kit = Kit::new();
        let reply = kit.run("client info");
        let line = reply.lines().nth(1).expect("a line");
        let names: Vec<&str> = line
            .split(' ')
            .filter_map(|f| Some(f.split_once('=')?.0))
            .collect();
        let expected = "id addr laddr fd name age idle flags capa db sub psub ssub multi watch \
                        qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd \
                        user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds";
        assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
        assert_eq!(field(line, "cmd"), "client|info");
        assert_eq!(field(line, "user"), "default");
        assert_eq!(field(line, "argv-mem"), "10");
    }

    #[test]
    fn names_and_libraries_are_kept_and_shown() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("client getname"), "$-1\r\n");
        assert_eq!(kit.run("client setname me"), "+OK\r\n");
        assert_eq!(kit.run("client getname"), "$2\r\nme\r\n");
        assert!(
            kit.run("client setname 'a b'")
                .starts_with("-ERR Client names cannot")
        );
        assert_eq!(kit.run("client setinfo LIB-VER 1.2"), "+OK\r\n");
        assert_eq!(field(&kit.run("client info"), "lib-ver"), "1.2");
        assert_eq!(
            kit.run("client setinfo lib-name 'a b'"),
            "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
        );
        assert_eq!(
            kit.run("client setinfo x y"),
            "-ERR Unrecognized option 'x'\r\n"
        );
        assert_eq!(kit.run("client setname ''"), "+OK\r\n");
        assert_eq!(kit.run("client getname"), "$-1\r\n");
    }

    #[test]
    fn flags_tell_what_a_client_is_about() {
        let mut kit = Kit::with(&["--enable-debug-command", "yes"]);
        let mut other = kit.another();
        assert_eq!(field(&kit.run("client list id 2"), "flags"), "N");
        for line in [
            "client no-evict on",
            "client no-touch on",
            "readonly",
            "watch k:0",
            "multi",
        ] {
            assert_eq!(other.run(line), "+OK\r\n");
        }
        kit.run("debug populate 1 k");
        let line = kit.run("client list id 2");
        assert_eq!(field(&line, "flags"), "xdreT");
        assert_eq!(field(&line, "multi"), "0");
        other.run("reset");
        assert_eq!(field(&kit.run("client list id 2"), "flags"), "N");
        assert_eq!(kit.run("client no-evict maybe"), "-ERR syntax error\r\n");
        assert_eq!(kit.run("client no-touch maybe"), "-ERR syntax error\r\n");
    }

    /// Ids of the clients that CLIENT LIST shows.
    fn ids(kit: &mut Kit, filter: &str) -> Vec<String> {
        let reply = kit.run(&format!("client list {filter}"));
        reply
            .lines()
            .filter_map(|l| Some(l.strip_prefix("id=")?.split(' ').next()?.to_string()))
            .collect()
    }

    #[test]
    fn filters_choose_among_clients_and_against_them() {
        let mut kit = Kit::new();
        let (mut b, mut c) = (kit.another(), kit.another());
        b.run("client setname bee");
        b.run("select 5");
        c.run("client setinfo lib-name lib");
        c.run("multi");
        for (filter, expected) in [
            ("", "1 2 3"),
            ("id 1 3", "1 3"),
            ("id 1 id 3 not-id 3", "1"),
            ("name bee", "2"),
            ("not-name bee", "1 3"),
            ("db 5", "2"),
            ("not-db 5", "1 3"),
            ("lib-name lib", "3"),
            ("not-lib-name lib flags N", "1 2"),
            ("flags x", "3"),
            ("not-flags N", "3"),
            ("type normal skipme yes", "2 3"),
            ("type replica", ""),
            ("not-type pubsub", "1 2 3"),
            ("user default", "1 2 3"),
            ("not-user default", ""),
            ("addr 127.0.0.1:1", "1 2 3"),
            ("not-laddr 127.0.0.1:2", ""),
            ("ip 127.0.0.1", "1 2 3"),
            ("ip 127.0.0", ""),
            ("not-ip 127.0.0.1", ""),
            ("capa r", ""),
            ("not-capa r", "1 2 3"),
            ("idle 1000", ""),
            ("maxage 1000", ""),
        ] {
            assert_eq!(ids(&mut kit, filter).join(" "), expected, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_refused() {
        let mut kit = Kit::new();
        for (filter, error) in [
            ("foo", "syntax error"),
            ("id", "syntax error"),
            ("id str", "syntax error"),
            ("id 0", "client-id should be greater than 0"),
            ("type foo", "Unknown client type 'foo'"),
            ("user nobody", "No such user 'nobody'"),
            ("skipme maybe", "syntax error"),
            ("maxage x", "maxage is not an integer or out of range"),
            ("idle 0", "idle should be greater than 0"),
            ("flags NZ", "Unknown flags found in the provided filter: NZ"),
            (
                "not-flags Z",
                "Unknown flags found in the NOT-FLAGS filter: Z",
            ),
            ("not-capa z", "Unknown capa found in the NOT-CAPA filter: z"),
            ("db 16", "DB number should be between 0 and 15"),
            ("not-db x", "NOT-DB is not an integer or out of range"),
        ] {
            assert_eq!(
                kit.run(&format!("client list {filter}")),
                format!("-ERR {error}\r\n")
            );
        }
    }

    #[test]
    fn a_killed_client_is_gone_for_everybody_at_once() {
        let mut kit = Kit::new();
        let other = kit.another();
        assert_eq!(kit.run("client kill 1.2.3.4:5"), "-ERR No such client\r\n");
        assert_eq!(kit.run("client kill id 2 name nobody"), ":0\r\n");
        assert!(!other.session.client.is_killed());
        assert_eq!(kit.run("client kill type normal"), ":1\r\n");
        assert!(other.session.client.is_killed());
        assert_eq!(ids(&mut kit, ""), ["1"]);
    }

    #[test]
    fn a_client_may_kill_itself_after_the_reply() {
        use crate::exec::session::Closing;
        let mut kit = Kit::new();
        assert_eq!(kit.run("client kill 127.0.0.1:1"), "+OK\r\n");
        assert_eq!(kit.session.closing, Closing::AfterReply);
    }

    #[test]
    fn replies_can_be_turned_off_or_skipped() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("client reply skip"), "");
        assert_eq!(kit.run("ping"), "");
        assert_eq!(kit.run("ping"), "+PONG\r\n");
        assert_eq!(kit.run("client reply off"), "");
        assert_eq!(kit.run("nosuch"), "");
        assert_eq!(kit.run("client reply skip"), "");
        assert_eq!(kit.run("client reply on"), "+OK\r\n");
        assert_eq!(kit.run("ping"), "+PONG\r\n");
        assert_eq!(kit.run("client reply maybe"), "-ERR syntax error\r\n");
    }

    #[test]
    fn ids_rise_and_help_is_there() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("client id"), ":1\r\n");
        assert_eq!(kit.another().run("client id"), ":2\r\n");
        let help = kit.run("client help");
        assert!(help.contains("+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        assert!(help.ends_with("+HELP\r\n+    Print this help.\r\n"));
        assert_eq!(
            kit.run("client nosuch"),
            "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n"
        );
    }
}
