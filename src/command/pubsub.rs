//! Publish and subscribe.

use crate::exec::access;
use crate::exec::context::Ctx;
use crate::exec::mail::Message;
use crate::exec::session::{Closing, ReplyMode};
use crate::exec::spec::{Arg, ArgKind, Channels, Group, Spec, flag::*, key, key_flag::*, keys};
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::pubsub::{Kind, Payload, PubSub, Subscriptions};

use super::help;

const LISTENING: u32 = PUBSUB | NOSCRIPT | LOADING | STALE | SUBSCRIBER;
const PUBLISHING: u32 = PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE;

const CHANNELS: &[Arg] = &[Arg::new("channel", ArgKind::String).multiple()];
const SOME_CHANNELS: &[Arg] = &[Arg::new("channel", ArgKind::String).optional().multiple()];
const SHARD_CHANNELS: &[Arg] = &[Arg::new("shardchannel", ArgKind::String).multiple()];
const SOME_SHARD_CHANNELS: &[Arg] = &[Arg::new("shardchannel", ArgKind::String)
    .optional()
    .multiple()];
const PATTERN: &[Arg] = &[Arg::new("pattern", ArgKind::Pattern).optional()];

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("subscribe", -2, subscribe)
        .flags(LISTENING)
        .channels(Channels::All)
        .doc(
            Group::PubSub,
            "2.0.0",
            "O(N) where N is the number of channels to subscribe to.",
            "Has the client sent what is published in these channels.",
        )
        .args(CHANNELS),
    Spec::new("unsubscribe", -1, unsubscribe)
        .flags(LISTENING)
        .doc(
            Group::PubSub,
            "2.0.0",
            "O(N) where N is the number of channels to unsubscribe.",
            "Ends what SUBSCRIBE began, for these channels or for all.",
        )
        .args(SOME_CHANNELS),
    Spec::new("psubscribe", -2, psubscribe)
        .flags(LISTENING)
        .channels(Channels::Patterns)
        .doc(
            Group::PubSub,
            "2.0.0",
            "O(N) where N is the number of patterns to subscribe to.",
            "Has the client sent what is published in channels that match \
             one of these patterns.",
        )
        .args(&[Arg::new("pattern", ArgKind::Pattern).multiple()]),
    Spec::new("punsubscribe", -1, punsubscribe)
        .flags(LISTENING)
        .doc(
            Group::PubSub,
            "2.0.0",
            "O(N) where N is the number of patterns to unsubscribe.",
            "Ends what PSUBSCRIBE began, for these patterns or for all.",
        )
        .args(&[Arg::new("pattern", ArgKind::Pattern).optional().multiple()]),
    Spec::new("ssubscribe", -2, ssubscribe)
        .flags(LISTENING)
        .channels(Channels::All)
        .keys(&[keys(1, -1, 1, NOT_KEY)])
        .doc(
            Group::PubSub,
            "7.0.0",
            "O(N) where N is the number of shard channels to subscribe to.",
            "Has the client sent what is published in these shard channels.",
        )
        .args(SHARD_CHANNELS),
    Spec::new("sunsubscribe", -1, sunsubscribe)
        .flags(LISTENING)
        .keys(&[keys(1, -1, 1, NOT_KEY)])
        .doc(
            Group::PubSub,
            "7.0.0",
            "O(N) where N is the number of shard channels to unsubscribe.",
            "Ends what SSUBSCRIBE began, for these shard channels or for all.",
        )
        .args(SOME_SHARD_CHANNELS),
    Spec::new("publish", 3, publish)
        .flags(PUBLISHING)
        .channels(Channels::First)
        .doc(
            Group::PubSub,
            "2.0.0",
            "O(N+M) where N is the number of clients subscribed to the \
             receiving channel and M is the total number of subscribed \
             patterns (by any client).",
            "Sends a message to all who listen to a channel.",
        )
        .args(&[
            Arg::new("channel", ArgKind::String),
            Arg::new("message", ArgKind::String),
        ]),
    Spec::new("spublish", 3, spublish)
        .flags(PUBLISHING)
        .channels(Channels::First)
        .keys(&[key(1, NOT_KEY)])
        .doc(
            Group::PubSub,
            "7.0.0",
            "O(N) where N is the number of clients subscribed to the \
             receiving shard channel.",
            "Sends a message to all who listen to a shard channel.",
        )
        .args(&[
            Arg::new("shardchannel", ArgKind::String),
            Arg::new("message", ArgKind::String),
        ]),
    Spec::new("pubsub", -2, unknown)
        .subcommands(SUBCOMMANDS)
        .doc(
            Group::PubSub,
            "2.8.0",
            "Depends on subcommand.",
            "Tells who listens to what.",
        ),
];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("channels", -2, channels)
        .flags(PUBSUB | LOADING | STALE)
        .doc(
            Group::PubSub,
            "2.8.0",
            "O(N) where N is the number of active channels, and assuming \
             constant time pattern matching (relatively short channels and \
             patterns)",
            "Returns the channels that somebody listens to.",
        )
        .args(PATTERN),
    Spec::new("numsub", -2, numsub)
        .flags(PUBSUB | LOADING | STALE)
        .doc(
            Group::PubSub,
            "2.8.0",
            "O(N) for the NUMSUB subcommand, where N is the number of \
             requested channels",
            "Returns how many listen to each of these channels.",
        )
        .args(SOME_CHANNELS),
    Spec::new("numpat", 2, numpat)
        .flags(PUBSUB | LOADING | STALE)
        .doc(
            Group::PubSub,
            "2.8.0",
            "O(1)",
            "Returns how many patterns somebody listens to.",
        ),
    Spec::new("shardchannels", -2, shardchannels)
        .flags(PUBSUB | LOADING | STALE)
        .doc(
            Group::PubSub,
            "7.0.0",
            "O(N) where N is the number of active shard channels, and \
             assuming constant time pattern matching (relatively short \
             shard channels).",
            "Returns the shard channels that somebody listens to.",
        )
        .args(PATTERN),
    Spec::new("shardnumsub", -2, shardnumsub)
        .flags(PUBSUB | LOADING | STALE)
        .doc(
            Group::PubSub,
            "7.0.0",
            "O(N) for the SHARDNUMSUB subcommand, where N is the number of \
             requested shard channels",
            "Returns how many listen to each of these shard channels.",
        )
        .args(SOME_SHARD_CHANNELS),
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::PubSub,
        "6.2.0",
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
];

/// What a client is told of its subscription to each kind, and of its end.
const WORDS: [(&str, &str); 3] = [
    ("subscribe", "unsubscribe"),
    ("psubscribe", "punsubscribe"),
    ("ssubscribe", "sunsubscribe"),
];

fn subscribe(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    begin(ctx, Kind::Channel)
}

fn psubscribe(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    begin(ctx, Kind::Pattern)
}

fn ssubscribe(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    // The other two may, as they could before there was a rule.
    if ctx.session.in_exec {
        return Err(Error::SSUBSCRIBE_IN_EXEC);
    }
    begin(ctx, Kind::Shard)
}

fn unsubscribe(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    end(ctx, Kind::Channel)
}

fn punsubscribe(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    end(ctx, Kind::Pattern)
}

fn sunsubscribe(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    end(ctx, Kind::Shard)
}

fn begin(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result<(), Error> {
    let hub = ctx.engine.service::<PubSub>();
    for name in ctx.args.rest() {
        let all = Subscriptions::of(ctx.session, hub);
        all.add(kind, name);
        let count = all.count(kind);
        confirm(ctx, WORDS[kind as usize].0, Some(name), count);
    }
    ctx.session.subscriber = true;
    if !access::still_may(ctx.engine, ctx.session, ctx.args.all()) {
        // Who took the right away may not have seen it listen yet.
        ctx.session.closing = Closing::Now;
    }
    Ok(())
}

fn end(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result<(), Error> {
    let hub = ctx.engine.service::<PubSub>();
    let word = WORDS[kind as usize].1;
    let all = Subscriptions::of(ctx.session, hub);
    let names = all.names(kind);
    let names: Vec<&[u8]> = match ctx.args.rest() {
        [] => names.iter().map(|name| &name[..]).collect(),
        given => given.to_vec(),
    };
    if names.is_empty() {
        let count = all.count(kind);
        confirm(ctx, word, None, count);
    }
    for name in names {
        let all = Subscriptions::of(ctx.session, hub);
        all.remove(kind, name);
        let count = all.count(kind);
        let session = &*ctx.session;
        // What was published before comes before; but never within a reply.
        if session.client.has_mail() && !session.in_exec && session.reply_mode == ReplyMode::On {
            session.client.collect(ctx.reply.output());
        }
        confirm(ctx, word, Some(name), count);
    }
    ctx.session.subscriber = ctx.session.client.is_subscriber();
    Ok(())
}

/// Tells the client what it listens to now. That is no reply, so CLIENT REPLY
/// OFF does not keep it back.
fn confirm(ctx: &mut Ctx<'_, '_>, word: &str, name: Option<&[u8]>, count: usize) {
    let write = |reply: &mut Reply<'_>| {
        reply.push(3);
        reply.bulk(word.as_bytes());
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.size(count);
    };
    match ctx.session.reply_mode {
        ReplyMode::On => write(&mut ctx.reply),
        _ => ctx.session.client.post(&Message::new(&write)),
    }
}

fn publish(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (channel, payload) = message(ctx)?;
    let n = ctx.engine.service::<PubSub>().publish(channel, &payload);
    // Followers' clients listen, too.
    ctx.txn.count_change();
    ctx.reply.size(n);
    Ok(())
}

fn spublish(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (channel, payload) = message(ctx)?;
    let hub = ctx.engine.service::<PubSub>();
    ctx.reply.size(hub.publish_in_shard(channel, &payload));
    ctx.txn.count_change();
    Ok(())
}

fn message<'c>(ctx: &mut Ctx<'c, '_>) -> Result<(&'c [u8], Payload<'c>), Error> {
    let channel = ctx.args.bytes()?;
    let payload = match ctx.args.blob() {
        Some(blob) => Payload::shared(ctx.args.bytes()?, blob),
        None => Payload::new(ctx.args.bytes()?),
    };
    Ok((channel, payload))
}

fn unknown(_: &mut Ctx<'_, '_>) -> Result<(), Error> {
    Err(Error::SYNTAX)
}

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "CHANNELS [<pattern>]",
            "    Return the channels that somebody listens to and that match <pattern>",
            "    (default: all).",
            "NUMPAT",
            "    Return how many patterns somebody listens to.",
            "NUMSUB [<channel> ...]",
            "    Return how many listen to each <channel>, by its name alone.",
            "SHARDCHANNELS [<pattern>]",
            "    Return the shard channels that somebody listens to and that match <pattern>",
            "    (default: all).",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Return how many listen to each <shardchannel>.",
        ],
    );
    Ok(())
}

fn channels(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    list(ctx, Kind::Channel)
}

fn shardchannels(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    list(ctx, Kind::Shard)
}

fn list(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result<(), Error> {
    let pattern = match ctx.args.rest() {
        [] => None,
        [pattern] => Some(*pattern),
        _ => {
            return Err(Error::unknown_subcommand_or_arity(
                "PUBSUB",
                ctx.args.all()[1],
            ));
        }
    };
    let names = ctx.engine.service::<PubSub>().active(kind, pattern);
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name));
    Ok(())
}

fn numsub(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    count(ctx, Kind::Channel)
}

fn shardnumsub(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    count(ctx, Kind::Shard)
}

fn count(ctx: &mut Ctx<'_, '_>, kind: Kind) -> Result<(), Error> {
    let hub = ctx.engine.service::<PubSub>();
    let names = ctx.args.rest();
    ctx.reply.array(names.len() * 2);
    for name in names {
        ctx.reply.bulk(name);
        ctx.reply.size(hub.subscribers(kind, name));
    }
    Ok(())
}

fn numpat(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.reply.size(ctx.engine.service::<PubSub>().patterns());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;
    use crate::protocol::output::Output;

    /// What came without having been asked for.
    fn mail(kit: &Kit) -> String {
        let mut out = Output::default();
        kit.session.client.collect(&mut out);
        String::from_utf8_lossy(out.single().unwrap_or_default()).into_owned()
    }

    #[test]
    fn a_message_reaches_channels_and_patterns_in_the_protocol_of_each() {
        let mut publisher = Kit::new();
        let (mut two, mut three) = (publisher.another(), publisher.another());
        let said = two.run("subscribe a b a");
        let one = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n";
        assert_eq!(
            said,
            format!(
                "{one}*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n"
            )
        );
        three.run("hello 3");
        assert_eq!(
            three.run("psubscribe ?"),
            ">3\r\n$10\r\npsubscribe\r\n$1\r\n?\r\n:1\r\n"
        );
        assert_eq!(publisher.run("publish a hi"), ":2\r\n");
        assert_eq!(publisher.run("publish none hi"), ":0\r\n");
        assert_eq!(mail(&two), "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n");
        let expected = ">4\r\n$8\r\npmessage\r\n$1\r\n?\r\n$1\r\na\r\n$2\r\nhi\r\n";
        assert_eq!(mail(&three), expected);
    }

    #[test]
    fn unsubscribing_from_all_names_each_and_from_nothing_names_none() {
        let mut kit = Kit::new();
        assert_eq!(
            kit.run("unsubscribe"),
            "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"
        );
        assert_eq!(
            kit.run("punsubscribe x"),
            "*3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:0\r\n"
        );
        kit.run("psubscribe p");
        kit.run("ssubscribe s");
        kit.run("subscribe b a");
        assert_eq!(
            kit.run("unsubscribe"),
            "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n"
        );
        assert_eq!(
            kit.run("sunsubscribe"),
            "*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n"
        );
        assert!(kit.run("get a").starts_with("-ERR Can't execute 'get'"));
        kit.run("punsubscribe");
        assert_eq!(kit.run("get a"), "$-1\r\n");
    }

    #[test]
    fn little_else_may_be_done_in_resp2_while_subscribed_and_all_in_resp3() {
        let mut kit = Kit::new();
        kit.run("subscribe a");
        assert_eq!(
            kit.run("client list"),
            "-ERR Can't execute 'client|list': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / \
             QUIT / RESET are allowed in this context\r\n"
        );
        assert_eq!(kit.run("ping"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        assert_eq!(kit.run("ping x"), "*2\r\n$4\r\npong\r\n$1\r\nx\r\n");
        assert_eq!(kit.run("reset"), "+RESET\r\n");
        assert_eq!(kit.run("pubsub numsub a"), "*2\r\n$1\r\na\r\n:0\r\n");
        kit.run("hello 3");
        kit.run("subscribe a");
        assert_eq!(kit.run("ping"), "+PONG\r\n");
        assert_eq!(kit.run("get a"), "_\r\n");
    }

    #[test]
    fn what_a_client_publishes_to_itself_comes_behind_the_reply() {
        let mut kit = Kit::new();
        kit.run("hello 3");
        kit.run("subscribe a");
        let message = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
        assert_eq!(kit.run("publish a x"), format!(":1\r\n{message}"));
        kit.run("multi");
        kit.run("publish a x");
        kit.run("ping");
        kit.run("publish a x");
        let expected = format!("*3\r\n:1\r\n+PONG\r\n:1\r\n{message}{message}");
        assert_eq!(kit.run("exec"), expected);
        let words = [vec!["publish", "a", "x"], vec!["none"]];
        let said = String::from_utf8_lossy(&kit.pipeline(&words)).into_owned();
        assert!(said.starts_with(&format!(":1\r\n{message}-ERR")), "{said}");
        kit.run("client reply off");
        assert_eq!(kit.run("publish a x"), message);
        let ended = ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n";
        assert_eq!(kit.run("unsubscribe a"), ended);
    }

    #[test]
    fn what_was_published_before_the_end_comes_before_it() {
        let mut kit = Kit::new();
        let mut publisher = kit.another();
        kit.run("subscribe a");
        publisher.run("publish a x");
        assert_eq!(
            kit.run("unsubscribe"),
            "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"
        );
        assert_eq!(publisher.run("publish a x"), ":0\r\n");
    }

    #[test]
    fn shard_channels_are_apart_from_channels_and_patterns() {
        let mut kit = Kit::new();
        let mut other = kit.another();
        assert_eq!(
            kit.run("ssubscribe a"),
            "*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n"
        );
        kit.run("psubscribe *");
        assert_eq!(other.run("spublish a x"), ":1\r\n");
        assert_eq!(mail(&kit), "*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
        assert_eq!(other.run("publish a x"), ":1\r\n");
        assert_eq!(other.run("pubsub channels"), "*0\r\n");
        assert_eq!(other.run("pubsub numpat"), ":1\r\n");
        assert_eq!(other.run("pubsub shardchannels"), "*1\r\n$1\r\na\r\n");
        assert_eq!(other.run("pubsub shardchannels b*"), "*0\r\n");
        assert_eq!(
            other.run("pubsub shardnumsub a b"),
            "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:0\r\n"
        );
        assert!(other.run("info stats").contains("pubsubshard_channels:1"));
        assert!(other.run("info clients").contains("pubsub_clients:1"));
        assert!(other.run("pubsub help").starts_with("*15\r\n+PUBSUB <"));
        assert!(
            other
                .run("client list type pubsub")
                .contains("sub=0 psub=1 ssub=1")
        );
    }

    #[test]
    fn shard_channels_are_not_subscribed_to_within_exec() {
        let mut kit = Kit::new();
        kit.run("multi");
        assert_eq!(kit.run("ssubscribe a"), "+QUEUED\r\n");
        assert_eq!(
            kit.run("exec"),
            "*1\r\n-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client\r\n"
        );
        assert!(!kit.session.subscriber);
    }

    #[test]
    fn who_goes_leaves_nothing_behind() {
        let mut kit = Kit::new();
        let mut other = kit.another();
        other.run("subscribe a b");
        other.run("psubscribe p*");
        other.run("ssubscribe s");
        assert_eq!(kit.run("pubsub numpat"), ":1\r\n");
        drop(other);
        assert_eq!(kit.run("pubsub numpat"), ":0\r\n");
        assert_eq!(kit.run("pubsub channels"), "*0\r\n");
        assert_eq!(kit.run("pubsub shardchannels"), "*0\r\n");
        assert!(
            kit.run("info stats")
                .contains("pubsub_channels:0\r\npubsub_patterns:0")
        );
    }

    #[test]
    fn what_is_long_is_shared_by_all_who_get_it() {
        let mut publisher = Kit::new();
        let mut listeners: Vec<Kit> = (0..4).map(|_| publisher.another()).collect();
        for kit in &mut listeners {
            kit.run("subscribe a");
        }
        let long = "x".repeat(10_000);
        assert_eq!(publisher.run(&format!("publish a {long}")), ":4\r\n");
        for kit in &listeners {
            let mut out = Output::default();
            kit.session.client.collect(&mut out);
            assert!(out.single().is_none(), "by reference");
            assert_eq!(out.len(), 10_000 + "*3$7message$1a$10000".len() + 7 * 2);
        }
    }
}
