//! OBJECT: how a value is kept, and how it was used.

use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::spec::{Arg, Group, Spec, category, flag::*, key, key_flag::*};
use crate::exec::txn::Found;
use crate::protocol::error::Error;

use super::help;
use super::string::encoding_name;

const KEY: &[Arg] = &[Arg::key("key")];
const TIPS: &[&str] = &["nondeterministic_output"];

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("object", -2, tell_help)
    .doc(
        Group::Generic,
        "2.2.3",
        "Depends on subcommand.",
        "Looks into values: what its subcommands do.",
    )
    .subcommands(&[
        Spec::new("encoding", 3, encoding)
            .flags(READONLY)
            .category(category::KEYSPACE)
            .keys(&[key(2, RO)])
            .tips(TIPS)
            .doc(
                Group::Generic,
                "2.2.3",
                "O(1)",
                "Says in which form a value is kept.",
            )
            .args(KEY),
        Spec::new("freq", 3, freq)
            .flags(READONLY)
            .category(category::KEYSPACE)
            .keys(&[key(2, RO)])
            .tips(TIPS)
            .doc(
                Group::Generic,
                "4.0.0",
                "O(1)",
                "Says how often a value is used, on a logarithmic scale.",
            )
            .args(KEY),
        Spec::new("help", 2, tell_help)
            .flags(LOADING | STALE)
            .category(category::KEYSPACE)
            .doc(Group::Generic, "6.2.0", "O(1)", "Explains the subcommands."),
        Spec::new("idletime", 3, idletime)
            .flags(READONLY)
            .category(category::KEYSPACE)
            .keys(&[key(2, RO)])
            .tips(TIPS)
            .doc(
                Group::Generic,
                "2.2.3",
                "O(1)",
                "Says how many seconds ago a value was last used.",
            )
            .args(KEY),
        Spec::new("refcount", 3, refcount)
            .flags(READONLY)
            .category(category::KEYSPACE)
            .keys(&[key(2, RO)])
            .tips(TIPS)
            .doc(
                Group::Generic,
                "2.2.3",
                "O(1)",
                "Says how many references there are to a value.",
            )
            .args(KEY),
    ])];

const HELP: &[&str] = &[
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
];

fn tell_help(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    help::write(ctx, HELP);
    Ok(())
}

/// Finds the key of a subcommand; neither an access nor a miss to anybody but
/// the counters.
fn find<'c>(ctx: &mut Ctx<'c, '_>) -> Result<Option<(Key<'c>, Found)>, Error> {
    let key = ctx.args.key()?;
    let found = ctx.txn.find(&key);
    ctx.txn.count_read(&key, found.is_some());
    if found.is_none() {
        ctx.reply.null();
    }
    Ok(found.map(|found| (key, found)))
}

fn encoding(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if let Some((_, found)) = find(ctx)? {
        let name = encoding_name(ctx.txn.entry(found));
        ctx.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn freq(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if let Some((_, found)) = find(ctx)? {
        if !ctx.txn.evictor().is_lfu() {
            return Err(Error::new(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        let access = ctx.txn.entry(found).access();
        let frequency = ctx.txn.evictor().frequency(access);
        ctx.reply.int(frequency.into());
    }
    Ok(())
}

fn idletime(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if let Some((_, found)) = find(ctx)? {
        if ctx.txn.evictor().is_lfu() {
            return Err(Error::new(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        let access = ctx.txn.entry(found).access();
        let seconds = ctx.txn.evictor().idle_seconds(access);
        ctx.reply.int(seconds as i64);
    }
    Ok(())
}

fn refcount(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    if find(ctx)?.is_some() {
        ctx.reply.int(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testkit::{Kit, check, recorded};

    #[test]
    fn a_value_is_told_as_valkey_would_keep_it() {
        let mut kit = Kit::new();
        kit.run("set n 12");
        kit.run("set s short");
        kit.call(&[b"set", b"l", &[b'x'; 200]]);
        check(
            &mut kit,
            &[
                ("object encoding n", "$3 int"),
                ("object ENCODING s", "$6 embstr"),
                ("object encoding l", "$3 raw"),
                ("object encoding none", "$-1"),
                ("object refcount s", ":1"),
                ("object refcount none", "$-1"),
                ("object idletime s", ":0"),
                ("object idletime none", "$-1"),
                ("object freq none", "$-1"),
                (
                    "object freq s",
                    "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
                ),
            ],
        );
    }

    #[test]
    fn under_a_policy_that_counts_uses_there_is_no_idle_time() {
        let mut kit = Kit::with(&["--maxmemory-policy", "allkeys-lfu"]);
        kit.run("set s v");
        assert!(kit.run("object freq s").starts_with(':'));
        check(
            &mut kit,
            &[
                ("object idletime none", "$-1"),
                (
                    "object idletime s",
                    "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
                ),
            ],
        );
    }

    #[test]
    fn what_there_is_not_is_refused_and_help_says_what_there_is() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                (
                    "object",
                    "-ERR wrong number of arguments for 'object' command",
                ),
                (
                    "object freq",
                    "-ERR wrong number of arguments for 'object|freq' command",
                ),
                (
                    "object foo k",
                    "-ERR unknown subcommand 'foo'. Try OBJECT HELP.",
                ),
            ],
        );
        let help = kit.run("object help");
        assert!(help.starts_with("*15\r\n+OBJECT <subcommand> [<arg>"));
        assert!(help.ends_with("+    Print this help.\r\n"));
    }

    #[test]
    fn asking_about_a_key_is_counted_but_announces_no_miss() {
        let (mut kit, recorder) = recorded();
        kit.run("object encoding none");
        assert_eq!(recorder.take(), []);
        let keyspace = &kit.engine.keyspace;
        let misses = (0..keyspace.len()).map(|i| keyspace.lock(i).stats.misses);
        assert_eq!(misses.sum::<u64>(), 1);
    }
}
