//! The connection: who the client is, which protocol it speaks, which database
//! it works on.

use smallvec::smallvec;

use crate::acl::{self, Acl};
use crate::base::num;
use crate::config::param;
use crate::exec::context::Ctx;
use crate::exec::session::{Closing, ReplyMode};
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*, secrets_behind};
use crate::exec::tracking::Tracking;
use crate::exec::{monitor, multi};
use crate::protocol::error::Error;
use crate::pubsub::Subscriptions;
use std::sync::atomic::Ordering;

/// The version of Redis whose commands and replies these are.
const REDIS_VERSION: &str = "7.2.4";

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("auth", -2, auth)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
        .category(category::CONNECTION)
        .secrets(|_, _| true)
        .doc(
            Group::Connection,
            "1.0.0",
            "O(N) where N is the number of passwords defined for the user",
            "Proves who the client is.",
        )
        .history(&[("6.0.0", "Added ACL style (username and password).")])
        .args(&[
            Arg::new("username", ArgKind::String)
                .since("6.0.0")
                .optional(),
            Arg::new("password", ArgKind::String),
        ]),
    Spec::new("hello", -1, hello)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
        .category(category::CONNECTION)
        .secrets(|argv, i| secrets_behind(argv, i, &[("auth", 2)]))
        .doc(
            Group::Connection,
            "6.0.0",
            "O(1)",
            "Agrees with the server on a protocol, and may say who the \
             client is.",
        )
        .history(&[
            (
                "8.1.0",
                "A new `availability_zone` field is added to the response if \
             the `availability-zone` config is set.",
            ),
            (
                "6.2.0",
                "`protover` made optional; when called without arguments the \
             command reports the current connection's context.",
            ),
        ])
        .args(&[Arg::block(
            "arguments",
            &[
                Arg::new("protover", ArgKind::Integer),
                Arg::block(
                    "auth",
                    &[
                        Arg::new("username", ArgKind::String),
                        Arg::new("password", ArgKind::String),
                    ],
                )
                .token("AUTH")
                .optional(),
                Arg::new("clientname", ArgKind::String)
                    .token("SETNAME")
                    .optional(),
            ],
        )
        .optional()]),
    Spec::new("ping", -1, ping)
        .flags(FAST | SUBSCRIBER)
        .category(category::CONNECTION)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Returns PONG, or the message that came with it.",
        )
        .args(&[Arg::new("message", ArgKind::String).optional()]),
    Spec::new("echo", 2, echo)
        .flags(LOADING | STALE | FAST)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Returns the message that came with it.",
        )
        .args(&[Arg::new("message", ArgKind::String)]),
    Spec::new("quit", -1, quit)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | NOT_QUEUED | SUBSCRIBER)
        .category(category::CONNECTION)
        .doc(Group::Connection, "1.0.0", "O(1)", "Closes the connection."),
    Spec::new("reset", 1, reset)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY | NOT_QUEUED | SUBSCRIBER)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "6.2.0",
            "O(1)",
            "Makes the connection as if it had just come.",
        ),
    Spec::new("readonly", 1, read_only)
        .flags(LOADING | STALE | FAST)
        .category(category::CONNECTION)
        .doc(
            Group::Cluster,
            "3.0.0",
            "O(1)",
            "Lets the connection read from a replica of a cluster.",
        ),
    Spec::new("readwrite", 1, read_write)
        .flags(LOADING | STALE | FAST)
        .category(category::CONNECTION)
        .doc(
            Group::Cluster,
            "3.0.0",
            "O(1)",
            "Has a replica of a cluster send the connection to its primary again.",
        ),
    Spec::new("select", 2, select)
        .databases(|_| smallvec![1])
        .flags(LOADING | STALE | FAST | ALLOW_BUSY)
        .category(category::CONNECTION)
        .doc(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Changes the database that the connection works on.",
        )
        .args(&[Arg::new("index", ArgKind::Integer)]),
];

fn auth(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (user, password) = match ctx.args.rest() {
        [_] if ctx.engine.access.is_open() => return Err(Error::NO_PASSWORD),
        [password] => (acl::DEFAULT, *password),
        [user, password] => (*user, *password),
        _ => return Err(Error::SYNTAX),
    };
    authenticate(ctx, user, password)?;
    ctx.reply.ok();
    Ok(())
}

/// Checks a password; from then on the client is that user.
fn authenticate(ctx: &mut Ctx<'_, '_>, user: &[u8], password: &[u8]) -> Result<(), Error> {
    let (engine, word) = (ctx.engine, ctx.args.all()[0]);
    let acl = engine.service::<Acl>();
    acl.authenticate(engine, ctx.session, word, user, password)
}

fn hello(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut resp3 = None;
    if let Some(version) = ctx.args.peek() {
        let version = num::parse_i64(version)
            .ok_or("ERR Protocol version is not an integer or out of range".to_string())?;
        resp3 = Some(match version {
            2 => false,
            3 => true,
            _ => return Err(Error::NO_PROTO),
        });
        ctx.args.bytes()?;
    }
    let mut credentials = None;
    let mut name = None;
    while let Some(option) = ctx.args.peek() {
        if ctx.args.left() >= 3 && ctx.args.flag("AUTH") {
            credentials = Some((ctx.args.bytes()?, ctx.args.bytes()?));
        } else if ctx.args.option("SETNAME") {
            let text = ctx.args.bytes()?;
            check_name(text)?;
            name = Some(text);
        } else {
            let before = "ERR Syntax error in HELLO option '";
            return Err(Error::quoting(before, option, "'"));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(ctx, user, password)?;
    }
    if !ctx.session.authenticated {
        if ctx.engine.access.asks_for_proof() {
            return Err(Error::HELLO_WITHOUT_AUTH);
        }
        ctx.session.be_authenticated();
    }
    if let Some(name) = name {
        ctx.session.client.names.lock().name = name.to_vec();
    }
    if let Some(resp3) = resp3 {
        ctx.session.speak_resp3(resp3);
        ctx.reply.set_resp3(resp3);
    }
    let zone = ctx.engine.settings.text(param::AVAILABILITY_ZONE);
    let reply = &mut ctx.reply;
    reply.map(7 + usize::from(!zone.is_empty()));
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(if ctx.session.resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(ctx.session.client.id as i64);
    reply.bulk(b"mode");
    reply.bulk(ctx.engine.mode().as_bytes());
    reply.bulk(b"role");
    reply.bulk(match ctx.engine.following.is_on() {
        true => b"replica",
        false => b"master",
    });
    reply.bulk(b"modules");
    reply.array(0);
    if !zone.is_empty() {
        reply.bulk(b"availability_zone");
        reply.bulk(&zone);
    }
    Ok(())
}

/// Whether a text may be shown in CLIENT LIST, whose fields are cut at spaces.
pub(super) fn is_showable(text: &[u8]) -> bool {
    text.iter().all(|b| (b'!'..=b'~').contains(b))
}

/// Refuses a name that CLIENT LIST could not show; the empty one takes it away.
pub(super) fn check_name(name: &[u8]) -> Result<(), Error> {
    match is_showable(name) {
        true => Ok(()),
        false => Err(Error::CLIENT_NAME),
    }
}

fn ping(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let rest = ctx.args.rest();
    if rest.len() > 1 {
        return Err(Error::arity("ping"));
    }
    match rest.first() {
        // Every reply is a message there.
        message if ctx.session.subscriber && !ctx.session.resp3 => {
            ctx.reply.array(2);
            ctx.reply.bulk(b"pong");
            ctx.reply.bulk(message.copied().unwrap_or_default());
        }
        None => ctx.reply.simple("PONG"),
        Some(message) => ctx.reply.bulk(message),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let message = ctx.args.bytes()?;
    ctx.reply.bulk(message);
    Ok(())
}

fn quit(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.ok();
    ctx.session.closing = Closing::AfterReply;
    Ok(())
}

fn reset(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let session = &mut *ctx.session;
    if session.follower {
        return Err(Error::new("ERR can only reset normal connections"));
    }
    multi::discard(ctx.engine, session);
    session.db = 0;
    session.speak_resp3(false);
    session.authenticated = !ctx.engine.access.asks_for_proof();
    session.no_touch = false;
    session.asking = false;
    session.subscriber = false;
    monitor::end(session);
    session.extensions.remove::<Subscriptions>();
    Tracking::disable(ctx.engine, session);
    if session.reply_mode != ReplyMode::Skip {
        session.reply_mode = ReplyMode::On;
    }
    let client = &session.client;
    client.no_touch.store(false, Ordering::Relaxed);
    client.no_evict.store(false, Ordering::Relaxed);
    client.imports.store(false, Ordering::Relaxed);
    client.reads_replicas.store(false, Ordering::Relaxed);
    // What it said of its library stays true.
    client.names.lock().name.clear();
    session.identify(acl::DEFAULT, false);
    ctx.reply.set_resp3(false);
    ctx.reply.simple("RESET");
    Ok(())
}

fn read_only(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let client = &ctx.session.client;
    client.reads_replicas.store(true, Ordering::Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn read_write(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let client = &ctx.session.client;
    client.reads_replicas.store(false, Ordering::Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn select(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let db = num::parse_i64(ctx.args.bytes()?).ok_or(Error::NOT_INTEGER)?;
    let db = i32::try_from(db).map_err(|_| Error::NOT_INT32)?;
    match u32::try_from(db) {
        Ok(db) if db < ctx.engine.databases() => {
            ctx.session.db = db;
            ctx.reply.ok();
            Ok(())
        }
        _ => Err(Error::DB_RANGE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;
    use super::*;

    #[test]
    fn ping_and_echo_give_back_what_they_get() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("PING"), "+PONG\r\n");
        assert_eq!(kit.run("ping hi"), "$2\r\nhi\r\n");
        assert_eq!(
            kit.run("ping a b"),
            "-ERR wrong number of arguments for 'ping' command\r\n"
        );
        assert_eq!(kit.run("echo hi"), "$2\r\nhi\r\n");
    }

    #[test]
    fn without_a_password_auth_with_one_word_is_a_mistake() {
        let mut kit = Kit::new();
        assert!(
            kit.run("auth x")
                .starts_with("-ERR AUTH <password> called without")
        );
        assert_eq!(kit.run("auth default x"), "+OK\r\n");
        assert!(kit.run("auth other x").starts_with("-WRONGPASS "));
        assert_eq!(kit.run("auth a b c"), "-ERR syntax error\r\n");
    }

    #[test]
    fn who_has_not_said_the_password_learns_nothing() {
        let mut kit = Kit::with(&["--requirepass", "secret"]);
        kit.session.authenticated = false;
        let refused = "-NOAUTH Authentication required.\r\n";
        for line in ["get a", "get", "nosuch", "config nosuch", "debug help"] {
            assert_eq!(kit.run(line), refused, "{line}");
        }
        assert!(
            kit.run("hello 3")
                .starts_with("-NOAUTH HELLO must be called")
        );
        assert!(kit.run("auth wrong").starts_with("-WRONGPASS "));
        assert!(
            kit.run("hello 3 auth default secretx")
                .starts_with("-WRONGPASS ")
        );
        assert_eq!(kit.run("auth secret"), "+OK\r\n");
        assert_eq!(kit.run("get a"), "$-1\r\n");
        assert_eq!(kit.run("reset"), "+RESET\r\n");
        assert_eq!(kit.run("get a"), refused);
        assert_eq!(kit.run("auth default secret"), "+OK\r\n");
        assert_eq!(kit.run("get a"), "$-1\r\n");
    }

    #[test]
    fn a_password_that_is_taken_away_is_no_longer_asked_for() {
        let mut kit = Kit::with(&["--requirepass", "secret"]);
        let mut other = kit.another();
        other.session.authenticated = false;
        assert_eq!(kit.run("config set requirepass ''"), "+OK\r\n");
        assert_eq!(other.run("get a"), "$-1\r\n");
        assert!(other.run("hello 2").starts_with("*14\r\n"));
    }

    #[test]
    fn hello_switches_the_protocol_of_its_own_reply() {
        let mut kit = Kit::new();
        let reply = kit.run("hello 3 setname me");
        assert!(reply.starts_with("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"));
        assert!(reply.ends_with("$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"));
        assert_eq!(kit.run("get a"), "_\r\n");
        assert_eq!(kit.run("client getname"), "$2\r\nme\r\n");
        assert!(kit.run("hello 2").starts_with("*14\r\n"));
        assert_eq!(kit.run("get a"), "$-1\r\n");
        assert_eq!(
            kit.run("hello 4"),
            "-NOPROTO unsupported protocol version\r\n"
        );
        assert_eq!(
            kit.run("hello x"),
            "-ERR Protocol version is not an integer or out of range\r\n"
        );
        assert_eq!(
            kit.run("hello 2 setname"),
            "-ERR Syntax error in HELLO option 'setname'\r\n"
        );
        assert!(
            kit.run("hello 2 setname 'a b'")
                .starts_with("-ERR Client names cannot")
        );
    }

    #[test]
    fn select_takes_the_databases_that_there_are() {
        let mut kit = Kit::with(&["--databases", "4"]);
        assert_eq!(kit.run("select 3"), "+OK\r\n");
        assert_eq!(kit.session.db, 3);
        for line in ["select 4", "select -1"] {
            assert_eq!(kit.run(line), "-ERR DB index is out of range\r\n");
        }
        assert_eq!(
            kit.run("select x"),
            "-ERR value is not an integer or out of range\r\n"
        );
        assert_eq!(kit.session.db, 3);
    }

    #[test]
    fn reset_leaves_a_connection_as_it_came_but_for_its_library() {
        let mut kit = Kit::new();
        for line in [
            "hello 3",
            "select 2",
            "client setname me",
            "client setinfo lib-name lib",
            "client no-touch on",
            "client no-evict on",
            "watch a",
            "multi",
            "get a",
        ] {
            kit.run(line);
        }
        assert_eq!(kit.run("reset"), "+RESET\r\n");
        let info = kit.run("client info");
        assert!(
            info.contains(" name= ") && info.contains(" flags=N "),
            "{info}"
        );
        assert!(info.contains(" db=0 ") && info.contains(" multi=-1 watch=0 "));
        assert!(info.contains(" resp=2 lib-name=lib "));
        assert_eq!(kit.run("exec"), "-ERR EXEC without MULTI\r\n");
    }

    #[test]
    fn quit_is_answered_before_the_connection_closes() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("quit"), "+OK\r\n");
        assert_eq!(kit.session.closing, Closing::AfterReply);
    }

    #[test]
    fn a_web_browser_is_cut_off_whether_it_said_the_password_or_not() {
        for authenticated in [true, false] {
            for line in ["POST / HTTP/1.1", "Host: larder"] {
                let mut kit = Kit::with(&["--requirepass", "secret"]);
                kit.session.authenticated = authenticated;
                assert_eq!(kit.run(line), "");
                assert_eq!(kit.session.closing, Closing::Now);
            }
        }
    }

    #[test]
    fn a_connection_says_whether_it_reads_from_replicas() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("readonly"), "+OK\r\n");
        assert!(kit.run("client info").contains(" flags=r "));
        assert_eq!(kit.run("readwrite"), "+OK\r\n");
        assert!(kit.run("client info").contains(" flags=N "));
    }
}
