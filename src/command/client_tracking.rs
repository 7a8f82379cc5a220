//! CLIENT TRACKING and its kin: being told when what was read has changed.

use std::sync::Arc;

use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, ArgKind, Group, Spec, category, flag::*};
use crate::exec::tracking::{Tracking, mode};
use crate::protocol::error::Error;

/// CLIENT TRACKING.
pub const TRACKING: Spec = Spec::new("tracking", -3, tracking)
    .flags(NOSCRIPT | LOADING | STALE)
    .category(category::CONNECTION)
    .doc(
        Group::Connection,
        "6.0.0",
        "O(1). Some options may introduce additional complexity.",
        "Says whether the connection is told when what it has read changes.",
    )
    .args(&[
        Arg::one_of("status", &[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
        Arg::new("client-id", ArgKind::Integer)
            .token("REDIRECT")
            .optional(),
        Arg::new("prefix", ArgKind::String)
            .token("PREFIX")
            .optional()
            .multiple()
            .multiple_token(),
        Arg::word("bcast", "BCAST").optional(),
        Arg::word("optin", "OPTIN").optional(),
        Arg::word("optout", "OPTOUT").optional(),
        Arg::word("noloop", "NOLOOP").optional(),
    ]);

/// CLIENT CACHING.
pub const CACHING: Spec = Spec::new("caching", 3, caching)
    .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
    .category(category::CONNECTION)
    .doc(
        Group::Connection,
        "6.0.0",
        "O(1)",
        "Says whether what the next command reads is remembered.",
    )
    .args(&[Arg::one_of(
        "mode",
        &[Arg::word("yes", "YES"), Arg::word("no", "NO")],
    )]);

/// CLIENT GETREDIR.
pub const GETREDIR: Spec = Spec::new("getredir", 2, getredir)
    .flags(NOSCRIPT | LOADING | STALE | ALLOW_BUSY)
    .category(category::CONNECTION)
    .doc(
        Group::Connection,
        "6.0.0",
        "O(1)",
        "Says which connection is told of changes in this one's stead.",
    );

/// CLIENT TRACKINGINFO.
pub const TRACKINGINFO: Spec = Spec::new("trackinginfo", 2, trackinginfo)
    .flags(NOSCRIPT | LOADING | STALE)
    .category(category::CONNECTION)
    .doc(
        Group::Connection,
        "6.2.0",
        "O(1)",
        "Says of which changes the connection is told.",
    );

fn tracking(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let switch = ctx.args.bytes()?;
    let mut bits = 0;
    let mut deputy = None;
    let mut prefixes = Vec::new();
    while !ctx.args.is_empty() {
        if ctx.args.option("redirect") {
            if deputy.is_some() {
                return Err(Error::new(
                    "ERR A client can only redirect to a single other client",
                ));
            }
            let id = ctx.args.int()?;
            let client = u64::try_from(id)
                .ok()
                .and_then(|id| ctx.engine.clients.get(id));
            deputy = Some(client.ok_or(Error::new(
                "ERR The client ID you want redirect to does not exist",
            ))?);
        } else if ctx.args.option("prefix") {
            prefixes.push(ctx.args.bytes()?);
        } else {
            bits |= match () {
                () if ctx.args.flag("bcast") => mode::BCAST,
                () if ctx.args.flag("optin") => mode::OPTIN,
                () if ctx.args.flag("optout") => mode::OPTOUT,
                () if ctx.args.flag("noloop") => mode::NOLOOP,
                () => return Err(Error::SYNTAX),
            };
        }
    }
    if switch.eq_ignore_ascii_case(b"on") {
        check(ctx, bits, &prefixes)?;
        Tracking::enable(ctx.engine, ctx.session, bits, deputy.as_ref(), &prefixes);
    } else if switch.eq_ignore_ascii_case(b"off") {
        Tracking::disable(ctx.engine, ctx.session);
    } else {
        return Err(Error::SYNTAX);
    }
    ctx.reply.ok();
    Ok(())
}

/// Whether the choices go together, and with what was chosen before.
fn check(ctx: &Ctx<'_, '_>, bits: u8, prefixes: &[&[u8]]) -> Result<(), Error> {
    let before = &ctx.session.client.tracking;
    let has = |bit: u8| bits & bit != 0;
    let refusal = if !has(mode::BCAST) && !prefixes.is_empty() {
        "ERR PREFIX option requires BCAST mode to be enabled"
    } else if before.has(mode::ON) && before.has(mode::BCAST) != has(mode::BCAST) {
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
         and then re-enabling it with a different mode."
    } else if has(mode::BCAST) && has(mode::OPTIN | mode::OPTOUT) {
        "ERR OPTIN and OPTOUT are not compatible with BCAST"
    } else if has(mode::OPTIN) && has(mode::OPTOUT) {
        "ERR You can't specify both OPTIN mode and OPTOUT mode"
    } else if (has(mode::OPTIN) && before.has(mode::OPTOUT))
        || (has(mode::OPTOUT) && before.has(mode::OPTIN))
    {
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
         and then re-enabling it with a different mode."
    } else {
        return check_prefixes(&before.prefixes(), prefixes);
    };
    Err(Error::new(refusal))
}

/// No prefix may begin with another one: a change would be told twice.
fn check_prefixes(before: &[Arc<[u8]>], prefixes: &[&[u8]]) -> Result<(), Error> {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    for (i, &prefix) in prefixes.iter().enumerate() {
        let old = before.iter().map(|p| (&p[..], "an existing"));
        let new = prefixes[i + 1..].iter().map(|p| (*p, "another provided"));
        let other = old.chain(new).find(|(other, _)| overlap(prefix, other));
        if let Some((other, which)) = other {
            let text = [
                b"ERR Prefix '",
                prefix,
                format!("' overlaps with {which} prefix '").as_bytes(),
                other,
                b"'. Prefixes for a single client must not overlap.",
            ]
            .concat();
            return Err(Error::new(text));
        }
    }
    Ok(())
}

fn caching(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let choice = &ctx.session.client.tracking;
    if !choice.has(mode::ON) {
        return Err(Error::new(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with \
             OPTIN or OPTOUT mode enabled",
        ));
    }
    if ctx.args.flag("yes") {
        if !choice.has(mode::OPTIN) {
            return Err(Error::new(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if ctx.args.flag("no") {
        if !choice.has(mode::OPTOUT) {
            return Err(Error::new(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Error::SYNTAX);
    }
    ctx.session.caching = true;
    ctx.reply.ok();
    Ok(())
}

fn getredir(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let redirect = ctx.session.client.tracking.redirect();
    ctx.reply.int(redirect.map_or(-1, |id| id as i64));
    Ok(())
}

fn trackinginfo(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let choice = &ctx.session.client.tracking;
    let caching = ctx.session.caching;
    let on = choice.has(mode::ON);
    let words = [
        (true, if on { "on" } else { "off" }),
        (choice.has(mode::BCAST), "bcast"),
        (choice.has(mode::OPTIN), "optin"),
        (choice.has(mode::OPTIN) && caching, "caching-yes"),
        (choice.has(mode::OPTOUT), "optout"),
        (choice.has(mode::OPTOUT) && caching, "caching-no"),
        (choice.has(mode::NOLOOP), "noloop"),
        (choice.has(mode::BROKEN), "broken_redirect"),
    ];
    let words: Vec<&str> = words.iter().filter(|w| w.0).map(|w| w.1).collect();
    let reply = &mut ctx.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(words.len());
    words.iter().for_each(|word| reply.bulk(word.as_bytes()));
    reply.bulk(b"redirect");
    reply.int(choice.redirect().map_or(-1, |id| id as i64));
    reply.bulk(b"prefixes");
    let prefixes = choice.prefixes();
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::Kit;
    use crate::protocol::output::Output;

    fn mail(kit: &Kit) -> String {
        let mut out = Output::default();
        kit.session.client.collect(&mut out);
        String::from_utf8_lossy(out.single().unwrap_or_default()).replace("\r\n", " ")
    }

    fn tracking(options: &str) -> (Kit, Kit) {
        let mut reader = Kit::new();
        let writer = reader.another();
        reader.run("hello 3");
        assert_eq!(
            reader.run(&format!("client tracking on {options}")),
            "+OK\r\n"
        );
        (reader, writer)
    }

    #[test]
    fn nothing_is_remembered_when_nobody_tracks_any_more() {
        let (mut reader, mut writer) = tracking("");
        let mut other = writer.another();
        other.run("client tracking on");
        for key in ["a", "b"] {
            reader.run(&format!("get {key}"));
        }
        other.run("get b");
        let counts = |kit: &Kit| (kit.engine.tracking.keys(), kit.engine.tracking.items());
        assert_eq!(counts(&writer), (2, 3));
        reader.run("client tracking off");
        assert_eq!(counts(&writer), (2, 3), "somebody does");
        other.run("client tracking off");
        assert_eq!(counts(&writer), (0, 0));
        writer.run("set a 1");
        reader.run("client tracking on");
        writer.run("set a 2");
        assert_eq!(mail(&reader), "");
    }

    #[test]
    fn a_reader_is_told_once_when_what_it_read_changes() {
        let (mut reader, mut writer) = tracking("");
        reader.run("get a");
        reader.run("mget a b");
        writer.run("set a 1");
        writer.run("set a 2");
        writer.run("del b");
        assert_eq!(
            mail(&reader),
            ">2 $10 invalidate *1 $1 a ",
            "b was not there"
        );
        reader.run("get a");
        writer.run("flushall");
        assert_eq!(mail(&reader), ">2 $10 invalidate _ ");
        assert_eq!(reader.engine.tracking.keys(), 0);
        assert_eq!(reader.run("client tracking off"), "+OK\r\n");
        reader.run("get a");
        writer.run("set a 3");
        assert_eq!(mail(&reader), "");
        assert!(!reader.engine.effects.wanted());
    }

    #[test]
    fn keys_that_expire_or_move_are_told_of() {
        let (mut reader, mut writer) = tracking("");
        writer.run("set a 1 px 20");
        writer.run("set b 1");
        reader.run("mget a b c");
        let until = crate::base::clock::unix_ms() + 22;
        while crate::base::clock::unix_ms() < until {}
        writer.run("get a");
        writer.run("rename b c");
        let told = mail(&reader);
        for key in ["a", "b", "c"] {
            let message = format!(">2 $10 invalidate *1 $1 {key} ");
            assert!(told.contains(&message), "{key}: {told}");
        }
        writer.run("set d 1");
        reader.run("get d");
        writer.run("swapdb 0 1");
        assert_eq!(mail(&reader), ">2 $10 invalidate _ ");
    }

    #[test]
    fn what_is_read_behind_a_change_is_true_and_what_was_read_before_is_not() {
        let (mut reader, _) = tracking("");
        for line in ["multi", "set a 1", "get a", "exec"] {
            let said = reader.run(line);
            assert!(!said.contains("invalidate"), "{said}");
        }
        for line in ["multi", "set a 2", "get a"] {
            reader.run(line);
        }
        assert!(reader.run("exec").ends_with("*1\r\n$1\r\na\r\n"));
    }

    #[test]
    fn prefixes_are_told_of_every_change_below_them() {
        let (reader, mut writer) = tracking("bcast prefix a: prefix b:");
        writer.run("mset a:1 1 b:1 1 c:1 1 a:2 1");
        writer.run("set a:1 2");
        let told = mail(&reader);
        assert!(
            told.contains("*2 $3 a:1 $3 a:2 ") && told.contains("*1 $3 b:1 "),
            "{told}"
        );
        assert!(told.ends_with(">2 $10 invalidate *1 $3 a:1 "), "{told}");
        assert_eq!(reader.engine.tracking.prefixes(), 2);
    }

    #[test]
    fn who_opts_in_or_out_says_so_before_each_read() {
        let (mut reader, mut writer) = tracking("optin");
        reader.run("get a");
        reader.run("client caching yes");
        reader.run("get b");
        reader.run("get c");
        writer.run("mset a 1 b 1 c 1");
        assert_eq!(mail(&reader), ">2 $10 invalidate *1 $1 b ");
        let (mut reader, mut writer) = tracking("optout");
        reader.run("client caching no");
        reader.run("get a");
        reader.run("get b");
        writer.run("mset a 1 b 1");
        assert_eq!(mail(&reader), ">2 $10 invalidate *1 $1 b ");
    }

    #[test]
    fn what_else_a_client_says_of_itself_stands_between_opting_in_and_the_read() {
        let (mut reader, mut writer) = tracking("optin");
        reader.run("client caching yes");
        assert!(reader.run("client trackinginfo").contains("caching-yes"));
        reader.run("client id");
        reader.run("get a");
        writer.run("set a 1");
        assert_eq!(mail(&reader), ">2 $10 invalidate *1 $1 a ");
    }

    #[test]
    fn own_changes_come_behind_the_reply_or_not_at_all() {
        let (mut reader, _) = tracking("");
        reader.run("get a");
        assert_eq!(
            reader.run("set a 1"),
            "+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
        );
        let (mut reader, _) = tracking("noloop");
        reader.run("get a");
        assert_eq!(reader.run("set a 1"), "+OK\r\n");
    }

    #[test]
    fn a_table_that_is_full_forgets_with_a_word() {
        let (mut reader, _) = tracking("");
        reader.run("config set tracking-table-max-keys 1");
        reader.run("get a");
        let said = reader.run("get b");
        assert!(
            said.starts_with("_\r\n>2\r\n$10\r\ninvalidate\r\n"),
            "{said}"
        );
        assert_eq!(reader.engine.tracking.keys(), 1);
    }

    #[test]
    fn a_deputy_is_told_instead() {
        let (mut reader, mut writer) = tracking("");
        let mut deputy = reader.another();
        deputy.run("subscribe __redis__:invalidate");
        let id = deputy.session.client.id;
        reader.run(&format!("client tracking on redirect {id}"));
        assert_eq!(reader.run("client getredir"), format!(":{id}\r\n"));
        reader.run("get a");
        writer.run("set a 1");
        assert_eq!(mail(&reader), "");
        let expected = "*3 $7 message $20 __redis__:invalidate *1 $1 a ";
        assert_eq!(mail(&deputy), expected);
        reader.run("get a");
        deputy.session.client.kill();
        writer.run("set a 2");
        assert!(mail(&reader).starts_with(">2 $21 tracking-redir-broken "));
        assert!(
            reader
                .run("client trackinginfo")
                .contains("broken_redirect")
        );
    }
}
