//! CACHE.POLICY: what is to happen to the keys of a pattern, told and changed while
//! the server runs.
//!
//! Policies are configuration, not data: a change leaves no effect, and it lasts
//! beyond the process by SAVE or CONFIG REWRITE alone.

use std::fmt::Write;

use super::help;
use crate::config::policy::{Mode, Policy, show_ms};
use crate::config::{Defined, LoadError};
use crate::exec::context::Ctx;
use crate::exec::engine::Engine;
use crate::exec::hint;
use crate::exec::spec::{Arg, ArgKind, Group, Scope, Spec, flag::*, key, key_flag::*};
use crate::exec::txn::Txn;
use crate::protocol::error::Error;
use crate::protocol::reply::Reply;
use crate::store::rules::{POLICIES_MAX, Rules, TooMany};

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("cache.policy", -2, help)
    .doc(
        Group::Server,
        SINCE,
        "Depends on subcommand.",
        "A container for commands about policies.",
    )
    .subcommands(SUBCOMMANDS)];

const SINCE: &str = "1.0.0";
const FLAGS: u32 = ADMIN | NOSCRIPT | LOADING | STALE;
const NAME: Arg = Arg::new("name", ArgKind::String);
const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const SUBCOMMANDS: &[Spec] = &[
    Spec::new("del", -3, del)
        .scope(Scope::All)
        .flags(FLAGS)
        .tips(&["request_policy:all_nodes", "response_policy:agg_min"])
        .doc(
            Group::Server,
            SINCE,
            "O(N) where N is the number of policies",
            "Removes policies.",
        )
        .args(&[NAME.multiple()]),
    Spec::new("explain", 3, explain)
        .flags(FLAGS)
        .keys(&[key(2, RO)])
        .doc(
            Group::Server,
            SINCE,
            "O(N) where N is the number of policies",
            "Says which policy a key belongs to, why, and what that means for it.",
        )
        .args(&[Arg::key("key")]),
    Spec::new("get", 3, get)
        .flags(FLAGS)
        .doc(
            Group::Server,
            SINCE,
            "O(N) where N is the number of policies",
            "Returns a policy with all its options.",
        )
        .args(&[NAME]),
    Spec::new("help", 2, help).flags(LOADING | STALE).doc(
        Group::Server,
        SINCE,
        "O(1)",
        "Returns a text that explains the subcommands.",
    ),
    Spec::new("list", 2, list).flags(FLAGS).doc(
        Group::Server,
        SINCE,
        "O(N) where N is the number of policies",
        "Returns the policies as the lines that define them.",
    ),
    // Not under the locks of a transaction: it waits for the disk.
    Spec::new("load", 2, load)
        .flags(FLAGS | NO_MULTI)
        .tips(TO_ALL)
        .doc(
            Group::Server,
            SINCE,
            "O(N) where N is the number of policies",
            "Reads the policies again from the policyfile.",
        ),
    Spec::new("save", 2, save)
        .flags(FLAGS | NO_MULTI)
        .tips(TO_ALL)
        .doc(
            Group::Server,
            SINCE,
            "O(N) where N is the number of policies",
            "Writes the policies to the policyfile.",
        ),
    Spec::new("set", -4, set)
        .scope(Scope::All)
        .flags(FLAGS)
        .tips(TO_ALL)
        .doc(
            Group::Server,
            SINCE,
            "O(N) where N is the number of policies",
            "Defines a policy, or defines it anew.",
        )
        .args(&[
            NAME,
            Arg::new("pattern", ArgKind::Pattern),
            Arg::block(
                "data",
                &[
                    Arg::new("option", ArgKind::String),
                    Arg::new("value", ArgKind::String),
                ],
            )
            .optional()
            .multiple(),
        ]),
];

fn help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(
        ctx,
        &[
            "SET <name> <pattern> [<option> <value> ...]",
            "    Define a policy for the keys that match <pattern>, or define it anew: options",
            "    that are not named have their defaults.",
            "LIST",
            "    Return the policies as the lines that define them, in order of definition.",
            "GET <name>",
            "    Return a policy with all its options.",
            "DEL <name> [<name> ...]",
            "    Remove policies, and return how many were there.",
            "EXPLAIN <key>",
            "    Return which policy a key belongs to, why, and what that means for it.",
            "LOAD",
            "    Read the policies again from the policyfile: all of them or, where a line is",
            "    wrong, none.",
            "SAVE",
            "    Write the policies to the policyfile.",
        ],
    );
    Ok(())
}

/// The policies in force, by the order of their definition.
pub(super) fn in_force(engine: &Engine) -> Vec<Policy> {
    let rules = engine.keyspace.rules();
    rules.all().map(|(_, policy)| (**policy).clone()).collect()
}

/// Exactly the policies of a configuration, in the places of those that have these
/// names already.
pub(super) fn rules_of(defined: Vec<Defined>, present: &Rules) -> Result<Rules, LoadError> {
    let last = defined.get(POLICIES_MAX).or(defined.last());
    let last = last.map(|d| d.place.clone());
    let policies = defined.into_iter().map(|d| d.policy).collect();
    match (present.replaced_by(policies), last) {
        (Ok(rules), _) => Ok(rules),
        (Err(TooMany), Some(place)) => Err(place.refuse(&too_many())),
        (Err(TooMany), None) => unreachable!("without a line there is no policy"),
    }
}

fn too_many() -> String {
    format!("there are {POLICIES_MAX} policies at most")
}

/// Puts policies in force, for commands that hold every shard.
fn replace(ctx: &mut Ctx<'_, '_>, rules: Rules) {
    let keyspace = &ctx.engine.keyspace;
    keyspace.replace_rules(rules, |index, new| new.govern(ctx.txn.shard(index)));
}

fn set(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let policy = Policy::parse(ctx.args.rest()).map_err(|why| format!("ERR {why}"))?;
    let present = ctx.engine.keyspace.rules();
    let old = present.named(policy.name.as_bytes());
    if old.is_none_or(|(_, old)| **old != policy) {
        let rules = present.with(policy);
        let rules = rules.map_err(|TooMany| format!("ERR {}", too_many()))?;
        replace(ctx, rules);
        ctx.txn.rewrite(|| hint::wrap(ctx.args.all()));
    }
    ctx.reply.ok();
    Ok(())
}

fn del(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let present = ctx.engine.keyspace.rules();
    let before = present.len();
    let mut left: Option<Rules> = None;
    for name in ctx.args.rest() {
        let without = left.as_ref().unwrap_or(&present).without(name);
        left = without.or(left);
    }
    let removed = left.as_ref().map_or(0, |rules| before - rules.len());
    if let Some(rules) = left {
        replace(ctx, rules);
        ctx.txn.rewrite(|| hint::wrap(ctx.args.all()));
    }
    ctx.reply.size(removed);
    Ok(())
}

fn list(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let rules = ctx.engine.keyspace.rules();
    ctx.reply.array(rules.len());
    for (_, policy) in rules.all() {
        let line = format!("policy {}", policy.line());
        ctx.reply.bulk(line.as_bytes());
    }
    Ok(())
}

fn load(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let settings = &ctx.engine.settings;
    if settings.policy_file().is_none() {
        return Err(no_file());
    }
    let refused = |error: LoadError| {
        crate::warning!("The policies were not loaded: {}", error.brief());
        Error::new(format!(
            "ERR {}. The policies are as they were.",
            error.brief()
        ))
    };
    let defined = settings.policies().map_err(refused)?;
    let (keyspace, effects) = (&ctx.engine.keyspace, &ctx.engine.effects);
    let locked = keyspace.lock_all();
    let present = keyspace.rules();
    let rules = rules_of(defined, &present).map_err(refused)?;
    let told = difference(&present, &rules);
    // Followers are told in the order in which policies change.
    let mut txn = Txn::new(keyspace, effects, locked, ctx.txn.db, ctx.txn.now_ms);
    keyspace.replace_rules(rules, |index, new| new.govern(txn.shard(index)));
    txn.rewrite_as(told);
    // There is nothing that it has removed or woken.
    let _ = txn.commit();
    ctx.reply.ok();
    Ok(())
}

/// The commands that make new policies of old ones, for followers.
fn difference(old: &Rules, new: &Rules) -> Vec<Vec<Vec<u8>>> {
    let is_gone = |policy: &Policy| new.named(policy.name.as_bytes()).is_none();
    let is_as_before = |policy: &Policy| {
        let before = old.named(policy.name.as_bytes());
        before.is_some_and(|(_, before)| **before == *policy)
    };
    let gone = old.all().filter(|(_, policy)| is_gone(policy));
    let gone = gone.map(|(_, policy)| vec![b"DEL".to_vec(), policy.name.as_bytes().to_vec()]);
    let changed = new.all().filter(|(_, policy)| !is_as_before(policy));
    let changed = changed.map(|(_, policy)| {
        let mut words = vec![b"SET".to_vec()];
        words.extend(policy.words());
        words
    });
    let wrapped = |words: Vec<Vec<u8>>| {
        let mut all: Vec<&[u8]> = vec![b"CACHE.POLICY"];
        all.extend(words.iter().map(Vec::as_slice));
        hint::wrap(&all)
    };
    gone.chain(changed).map(wrapped).collect()
}

fn save(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let engine = ctx.engine;
    match engine.settings.save_policies(|| in_force(engine)) {
        Ok(true) => {
            ctx.reply.ok();
            Ok(())
        }
        Ok(false) => Err(no_file()),
        Err(error) => {
            crate::warning!("The policies were not saved: {error}");
            Err(format!("ERR The policies were not saved: {error}").into())
        }
    }
}

fn no_file() -> Error {
    "ERR This Larder instance is not configured to use a policyfile. You may want to define \
     policies by CACHE.POLICY SET and then issue a CONFIG REWRITE (assuming you have a \
     configuration file set) in order to store them in the configuration."
        .to_string()
        .into()
}

fn get(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let rules = ctx.engine.keyspace.rules();
    let Some((_, policy)) = rules.named(ctx.args.bytes()?) else {
        ctx.reply.null();
        return Ok(());
    };
    let options = values(policy);
    ctx.reply.map(options.len() + 2);
    ctx.reply.bulk(b"name");
    ctx.reply.bulk(policy.name.as_bytes());
    ctx.reply.bulk(b"pattern");
    ctx.reply.bulk(policy.pattern.text());
    write_options(&mut ctx.reply, &options);
    Ok(())
}

/// What an option is set to.
enum OptionValue<'p> {
    One(String),
    /// Of an option that may be given several times.
    Many(Vec<&'p [u8]>),
}

/// Every option with what is in force.
fn values(policy: &Policy) -> Vec<(&'static str, OptionValue<'_>)> {
    let mut all: Vec<(&'static str, OptionValue<'_>)> = Vec::new();
    for (name, value) in policy.all_options() {
        if all.last().is_some_and(|(last, _)| *last == name) {
            continue;
        }
        let value = match name {
            "users" => OptionValue::Many(policy.users.iter().map(|u| u.as_bytes()).collect()),
            "null-value" => OptionValue::Many(policy.null_values.iter().map(|v| &**v).collect()),
            "tag" => OptionValue::Many(policy.tags.iter().map(|t| t.text()).collect()),
            "cascade" => OptionValue::Many(policy.cascade.iter().map(|t| t.text()).collect()),
            // Under `stale` there is one even where nobody asked for it.
            "lease" => OptionValue::One(show_ms(policy.effective_lease_ms())),
            _ => OptionValue::One(value),
        };
        all.push((name, value));
    }
    all
}

fn write_options(reply: &mut Reply<'_>, options: &[(&'static str, OptionValue<'_>)]) {
    for (name, value) in options {
        reply.bulk(name.as_bytes());
        match value {
            OptionValue::One(text) => reply.bulk(text.as_bytes()),
            OptionValue::Many(texts) => {
                reply.array(texts.len());
                texts.iter().for_each(|text| reply.bulk(text));
            }
        }
    }
}

fn explain(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let rules = ctx.engine.keyspace.rules();
    let slot = rules.slot_of(key.bytes);
    let Some(policy) = rules.get(slot) else {
        let why = match rules.is_empty() {
            true => "there is no policy",
            false => "no policy's pattern matches",
        };
        ctx.reply.map(3);
        ctx.reply.bulk(b"key");
        ctx.reply.bulk(key.bytes);
        ctx.reply.bulk(b"policy");
        ctx.reply.null();
        ctx.reply.bulk(b"reason");
        ctx.reply.bulk(why.as_bytes());
        return Ok(());
    };
    let others: Vec<&Policy> = rules
        .all()
        .filter(|(other, p)| *other != slot && p.pattern.matches(key.bytes))
        .map(|(_, p)| &**p)
        .collect();
    let captures = policy.pattern.captures(key.bytes).unwrap_or_default();
    let (verdict, why) = verdict(policy, key.bytes);

    let reply = &mut ctx.reply;
    reply.map(12);
    reply.bulk(b"key");
    reply.bulk(key.bytes);
    reply.bulk(b"policy");
    reply.bulk(policy.name.as_bytes());
    reply.bulk(b"pattern");
    reply.bulk(policy.pattern.text());
    reply.bulk(b"reason");
    reply.bulk(why_it_won(policy, &others).as_bytes());
    reply.bulk(b"captures");
    reply.array(captures.len());
    captures.iter().for_each(|part| reply.bulk(part));
    reply.bulk(b"others");
    reply.array(others.len());
    for other in others {
        reply.map(3);
        reply.bulk(b"policy");
        reply.bulk(other.name.as_bytes());
        reply.bulk(b"pattern");
        reply.bulk(other.pattern.text());
        reply.bulk(b"reason");
        reply.bulk(why_it_lost(other, policy).as_bytes());
    }
    reply.bulk(b"in-force");
    reply.bulk(verdict.as_bytes());
    reply.bulk(b"in-force-reason");
    reply.bulk(why.as_bytes());
    reply.bulk(b"rollout-place");
    reply.int(Policy::rollout_place(key.bytes) as i64);
    reply.bulk(b"tags");
    reply.array(policy.tags.len());
    for tag in &policy.tags {
        reply.bulk(&tag.fill(&captures));
    }
    reply.bulk(b"cascades");
    reply.array(policy.cascade.len());
    for pattern in &policy.cascade {
        reply.bulk(&pattern.fill_escaped(&captures));
    }
    let options = values(policy);
    reply.bulk(b"options");
    reply.map(options.len());
    write_options(reply, &options);
    Ok(())
}

fn why_it_won(policy: &Policy, others: &[&Policy]) -> String {
    let prefix = policy.pattern.prefix();
    let ties = |other: &&&Policy| other.pattern.prefix().len() == prefix.len();
    match (others.len(), others.iter().any(|other| ties(&other))) {
        (0, _) => "its pattern is the only one that matches".into(),
        (_, true) => "of those that match and have the longest literal prefix it is the one \
                      defined first"
            .into(),
        (_, false) => format!(
            "of those that match its literal prefix is the longest: {} bytes",
            prefix.len()
        ),
    }
}

fn why_it_lost(policy: &Policy, winner: &Policy) -> String {
    let (own, longest) = (policy.pattern.prefix().len(), winner.pattern.prefix().len());
    match own == longest {
        true => "it was defined later".into(),
        false => format!("its literal prefix is shorter: {own} bytes"),
    }
}

/// Whether a policy is in force for a key, and why: `yes`, `no`, `shadow`, or for
/// some `users` only.
fn verdict(policy: &Policy, key: &[u8]) -> (&'static str, String) {
    let (place, rollout) = (Policy::rollout_place(key), policy.rollout_percent);
    if policy.mode == Mode::No {
        return ("no", "enabled is no".into());
    }
    if place >= rollout.into() {
        let why = format!("rollout is {rollout}%, and this key's place of 0 to 99 is {place}");
        return ("no", why);
    }
    let (verdict, mut why) = match policy.mode {
        Mode::Shadow => (
            "shadow",
            "enabled is shadow: it counts what it would change".to_string(),
        ),
        _ => ("yes", "enabled is yes".to_string()),
    };
    if rollout < 100 {
        // Writing to a string cannot fail.
        let _ = write!(
            why,
            ", and this key's place {place} is below rollout {rollout}%"
        );
    }
    if !policy.users.is_empty() {
        let _ = write!(why, ", for these users alone: {}", policy.users.join(", "));
    }
    match (verdict, policy.users.is_empty()) {
        ("yes", false) => ("users", why),
        _ => (verdict, why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testkit::{Kit, check, recorded};
    use crate::exec::hint;

    fn list(kit: &mut Kit) -> Vec<String> {
        let reply = kit.run("cache.policy list");
        let lines = reply.split("\r\n").skip(1);
        let lines = lines.filter(|l| !l.starts_with('$') && !l.is_empty());
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_policy_is_defined_whole_shown_and_removed() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("cache.policy list", "*0"),
                ("cache.policy set a a:* ttl 90s idle yes", "+OK"),
                ("CACHE.POLICY SET b 'b b:*'", "+OK"),
                ("cache.policy set a a:*:* jitter 10", "+OK"),
            ],
        );
        assert_eq!(
            list(&mut kit),
            ["policy a a:*:* jitter 10%", "policy b \"b b:*\""]
        );
        check(
            &mut kit,
            &[
                ("cache.policy del a nosuch a", ":1"),
                ("cache.policy del a", ":0"),
                ("cache.policy get a", "$-1"),
                ("cache.policy del b", ":1"),
                ("cache.policy list", "*0"),
            ],
        );
        assert!(!kit.engine.keyspace.is_governed());
    }

    #[test]
    fn every_option_is_shown_with_the_value_in_force() {
        let mut kit = Kit::new();
        kit.run("hello 3");
        kit.run("cache.policy set a a:* stale 30s tag t:{1} tag all users bob null-value 'N;'");
        let reply = kit.run("cache.policy get a").replace("\r\n", " ");
        assert!(
            reply.starts_with("%24 $4 name $1 a $7 pattern $3 a:* $7 enabled $3 yes "),
            "{reply}"
        );
        for part in [
            "$5 lease $2 5s ",
            "$3 tag *2 $5 t:{1} $3 all ",
            "$5 users *1 $3 bob ",
            "$10 null-value *1 $2 N; ",
            "$7 cascade *0 ",
            "$8 null-ttl $2 1m ",
        ] {
            assert!(reply.contains(part), "{part} of {reply}");
        }
        assert_eq!(kit.run("cache.policy get b"), "_\r\n");
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut kit = Kit::with(&["--policy", "a", "a:*", "ttl", "1m"]);
        check(
            &mut kit,
            &[
                (
                    "cache.policy set a b:* ttl soon",
                    "-ERR option 'ttl': it must be a time: 500ms, 30s, 10m, 2h, 1d, 0",
                ),
                (
                    "cache.policy set a b:* colour red",
                    "-ERR there is no option 'colour'",
                ),
                (
                    "cache.policy set a b:* ttl",
                    "-ERR option 'ttl' has no value",
                ),
                (
                    "cache.policy set a",
                    "-ERR wrong number of arguments for 'cache.policy|set' command",
                ),
                (
                    "cache.policy get",
                    "-ERR wrong number of arguments for 'cache.policy|get' command",
                ),
                (
                    "cache.policy nosuch",
                    "-ERR unknown subcommand 'nosuch'. Try CACHE.POLICY HELP.",
                ),
            ],
        );
        assert_eq!(list(&mut kit), ["policy a a:* ttl 1m"]);
        assert!(
            kit.run("cache.policy save")
                .starts_with("-ERR This Larder instance is not configured to use a policyfile.")
        );
        assert_eq!(kit.run("cache.policy save"), kit.run("cache.policy load"));
        assert!(kit.run("cache.policy help").contains("+EXPLAIN <key>\r\n"));
    }

    #[test]
    fn policies_of_the_command_line_are_in_force_and_other_settings_leave_them() {
        let mut kit = Kit::with(&[
            "--policy", "a", "a:*", "--policy", "b", "b:*", "idle", "yes",
        ]);
        kit.run("config set maxmemory 100mb hz 20");
        assert_eq!(list(&mut kit), ["policy a a:*", "policy b b:* idle yes"]);
        check(&mut kit, &[("config get policy", "*0")]);
    }

    #[test]
    fn there_are_255_policies_and_no_more() {
        let mut kit = Kit::new();
        for i in 0..255 {
            assert_eq!(kit.run(&format!("cache.policy set p{i} {i}:*")), "+OK\r\n");
        }
        check(
            &mut kit,
            &[
                (
                    "cache.policy set more more:*",
                    "-ERR there are 255 policies at most",
                ),
                ("cache.policy set p7 seven:* ttl 1s", "+OK"),
                ("cache.policy del p8", ":1"),
                ("cache.policy set more more:*", "+OK"),
            ],
        );
    }

    #[test]
    fn it_is_said_why_a_key_has_its_policy_and_what_that_means() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[(
                "cache.policy explain k",
                "*6 $3 key $1 k $6 policy $-1 $6 reason $18 there is no policy",
            )],
        );
        kit.run("cache.policy set all * ttl 1m");
        kit.run("cache.policy set one a:*:x tag t:{1} cascade l:{1}:* rollout 0%");
        kit.run("cache.policy set two a:* stale 1s users bob");
        let mut explained = |key: &str| {
            kit.run(&format!("cache.policy explain {key}"))
                .replace("\r\n", " ")
        };
        let reply = explained("a:[7]:x");
        for part in [
            "$6 policy $3 one $7 pattern $5 a:*:x ",
            "it is the one defined first ",
            "$8 captures *1 $3 [7] ",
            "$6 others *2 ",
            "$3 all $7 pattern $1 * $6 reason $38 its literal prefix is shorter: 0 bytes ",
            "$3 two $7 pattern $3 a:* $6 reason $20 it was defined later ",
            "$8 in-force $2 no ",
            "rollout is 0%, and this key's place of 0 to 99 is ",
            "$4 tags *1 $5 t:[7] ",
            "$8 cascades *1 $9 l:\\[7\\]:* ",
        ] {
            assert!(reply.contains(part), "{part} of {reply}");
        }
        let reply = explained("a:1");
        assert!(reply.contains("$8 in-force $5 users "), "{reply}");
        assert!(reply.contains("for these users alone: bob "), "{reply}");
        assert!(reply.contains("longest: 2 bytes "), "{reply}");
        assert!(reply.contains("$5 lease $2 5s "), "{reply}");
        let reply = explained("b");
        assert!(reply.contains("the only one that matches "), "{reply}");
        assert!(reply.contains("$8 in-force $3 yes "), "{reply}");
        kit.run("cache.policy del all");
        check(
            &mut kit,
            &[(
                "cache.policy explain b",
                "*6 $3 key $1 b $6 policy $-1 $6 reason $27 no policy's pattern matches",
            )],
        );
    }

    #[test]
    fn a_rollout_takes_in_more_keys_as_it_grows_and_never_lets_one_go() {
        let mut kit = Kit::new();
        let mut before = Vec::new();
        for percent in [0, 10, 50, 99, 100] {
            kit.run(&format!("cache.policy set a * rollout {percent}%"));
            let mut is_in = |i: usize| {
                let reply = kit.run(&format!("cache.policy explain key:{i}"));
                reply.contains("in-force\r\n$3\r\nyes")
            };
            let now: Vec<bool> = (0..200).map(&mut is_in).collect();
            assert!(before.iter().zip(&now).all(|(before, now)| *now || !before));
            let count = now.iter().filter(|is_in| **is_in).count();
            assert!(count.abs_diff(percent * 2) <= 40, "{count} at {percent}%");
            before = now;
        }
        assert!(before.iter().all(|is_in| *is_in));
    }

    #[test]
    fn policies_change_within_a_transaction_and_followers_that_know_them_are_told() {
        let (mut kit, recorder) = recorded();
        for line in [
            "multi",
            "cache.policy set a a:* ttl 1m",
            "set a:1 v",
            "cache.policy list",
            "cache.policy del a",
        ] {
            kit.run(line);
        }
        let reply = kit.run("exec").replace("\r\n", " ");
        assert_eq!(reply, "*4 +OK +OK *1 $19 policy a a:* ttl 1m :1 ");
        let told = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            String::from_utf8(hint::wrap(&words).join(&b' ')).expect("text")
        };
        let commands = recorder.commands();
        assert_eq!(commands[0], told("cache.policy set a a:* ttl 1m"));
        assert_eq!(commands.last(), Some(&told("cache.policy del a")));
        kit.run("cache.policy set b b:*");
        kit.run("cache.policy set b b:*");
        assert_eq!(kit.run("cache.policy del none"), ":0\r\n");
        let more = recorder.commands();
        assert_eq!(
            more,
            [told("cache.policy set b b:*")],
            "what changes nothing is not told"
        );
        kit.run("multi");
        assert_eq!(
            kit.run("cache.policy save"),
            "-ERR Command 'cache.policy|save' not allowed inside a transaction\r\n"
        );
    }

    #[test]
    fn of_clients_that_define_policies_at_once_none_is_lost() {
        let kit = Kit::of_workers(2, &[]);
        std::thread::scope(|scope| {
            for who in 0..2 {
                let mut kit = kit.another_of(who);
                scope.spawn(move || {
                    for i in 0..100 {
                        let line = format!("cache.policy set {who}.{i} {who}:{i}:* ttl 1s");
                        assert_eq!(kit.run(&line), "+OK\r\n");
                    }
                });
            }
        });
        assert_eq!(list(&mut kit.another()).len(), 200);
    }
}
