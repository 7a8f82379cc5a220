//! Keys of any type: what they are, and making them go, move and multiply.

use smallvec::{SmallVec, smallvec};

use crate::base::num;
use crate::exec::context::Ctx;
use crate::exec::effect::{Event, Removal};
use crate::exec::engine::Engine;
use crate::exec::spec::{
    Arg, ArgKind, Group, Scope, Spec, category, flag::*, key, key_flag::*, keys,
};
use crate::protocol::error::Error;
use crate::store::figures::Reason;

const AGGREGATED: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const KEYS: &[Arg] = &[Arg::key("key").multiple()];
const RENAMED: &[Arg] = &[Arg::key("key"), Arg::new("newkey", ArgKind::Key(1))];

/// The family.
pub const SPECS: &[Spec] = &[
    Spec::new("del", -2, del)
        .flags(WRITE)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RM | DELETE)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
            "Removes keys, and says how many there were.",
        )
        .args(KEYS),
    Spec::new("unlink", -2, del)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RM | DELETE)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "4.0.0",
            "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
            "Removes keys at once, and gives their memory back later.",
        )
        .args(KEYS),
    Spec::new("exists", -2, exists)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RO)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys to check.",
            "Counts how many of the keys are there.",
        )
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")])
        .args(KEYS),
    Spec::new("type", 2, type_of)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Says of which type a key's value is.",
        )
        .args(&[Arg::key("key")]),
    Spec::new("touch", -2, touch)
        .flags(READONLY | FAST)
        .category(category::KEYSPACE)
        .keys(&[keys(1, -1, 1, RO)])
        .tips(AGGREGATED)
        .doc(
            Group::Generic,
            "3.2.1",
            "O(N) where N is the number of keys that will be touched.",
            "Notes an access to each of the keys, and counts those that are there.",
        )
        .args(KEYS),
    Spec::new("rename", 3, rename)
        .flags(WRITE)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | ACCESS | DELETE), key(2, OW | UPDATE)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a key another name, over whatever has that name.",
        )
        .args(RENAMED),
    Spec::new("renamenx", 3, renamenx)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | ACCESS | DELETE), key(2, OW | INSERT)])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Gives a key another name, if no key has that name.",
        )
        .history(&[(
            "3.2.0",
            "The command no longer returns an error when source and destination names are the same.",
        )])
        .args(RENAMED),
    Spec::new("copy", -3, copy)
        .flags(WRITE | DENYOOM)
        .category(category::KEYSPACE)
        .keys(&[key(1, RO | ACCESS), key(2, OW | UPDATE)])
        .databases(databases_of_copy)
        .doc(
            Group::Generic,
            "6.2.0",
            "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.",
            "Copies a key's value and deadline to another key.",
        )
        .args(&[
            Arg::key("source"),
            Arg::new("destination", ArgKind::Key(1)),
            Arg::new("destination-db", ArgKind::Integer).token("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ]),
    Spec::new("move", 3, move_key)
        .flags(WRITE | FAST)
        .category(category::KEYSPACE)
        .keys(&[key(1, RW | ACCESS | UPDATE)])
        .databases(|_| smallvec![2])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Takes a key to another database.",
        )
        .args(&[Arg::key("key"), Arg::new("db", ArgKind::Integer)]),
    Spec::new("randomkey", 1, randomkey)
        .flags(READONLY)
        .category(category::KEYSPACE)
        .scope(Scope::All)
        .tips(&[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ])
        .doc(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Picks a key of the database at random.",
        ),
];

/// Every DB of COPY: the last counts, but all are to be allowed.
fn databases_of_copy(argv: &[&[u8]]) -> SmallVec<[usize; 2]> {
    let (mut at, mut found) = (3, SmallVec::new());
    while at < argv.len() {
        let is = |word: &str| argv[at].eq_ignore_ascii_case(word.as_bytes());
        at += match () {
            () if is("replace") => 1,
            () if is("db") && at + 1 < argv.len() => {
                found.push(at + 1);
                2
            }
            () => return SmallVec::new(),
        };
    }
    found
}

/// The number of a database, as MOVE and COPY read it.
pub(super) fn database(engine: &Engine, text: &[u8]) -> Result<u32, Error> {
    let n = num::parse_i64(text).ok_or(Error::NOT_INTEGER)?;
    let n = i32::try_from(n).map_err(|_| Error::NOT_INT32)?;
    existing_database(engine, n)
}

/// Refuses a number beyond `databases`.
pub(super) fn existing_database(engine: &Engine, n: i32) -> Result<u32, Error> {
    match u32::try_from(n) {
        Ok(db) if db < engine.databases() => Ok(db),
        _ => Err(Error::DB_RANGE),
    }
}

fn del(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    ctx.txn.removal = match ctx.spec.name {
        "unlink" => Removal::Unlink,
        _ => Removal::User,
    };
    let mut removed = 0;
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        if let Some(found) = ctx.txn.find(&key) {
            ctx.txn.remove(&key, found, Event::DEL);
            removed += 1;
        } else {
            ctx.txn.remove_absent(&key, Reason::Deleted);
        }
    }
    ctx.reply.size(removed);
    Ok(())
}

fn exists(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut there = 0;
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        there += usize::from(ctx.txn.peek(&key).is_some());
    }
    ctx.reply.size(there);
    Ok(())
}

fn touch(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let mut there = 0;
    while !ctx.args.is_empty() {
        let key = ctx.args.key()?;
        there += usize::from(ctx.txn.look_up(&key).is_some());
    }
    ctx.reply.size(there);
    Ok(())
}

fn type_of(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let name = match ctx.txn.peek(&key) {
        Some(found) => ctx.txn.entry(found).value().type_name(),
        None => "none",
    };
    ctx.reply.simple(name);
    Ok(())
}

fn rename(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    rename_key(ctx, true)?;
    ctx.reply.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let renamed = rename_key(ctx, false)?;
    ctx.reply.flag(renamed);
    Ok(())
}

/// Whether the key has a new name; without `overwrite` only one that is free.
fn rename_key(ctx: &mut Ctx<'_, '_>, overwrite: bool) -> Result<bool, Error> {
    let (from, to) = (ctx.args.key()?, ctx.args.key()?);
    let db = ctx.txn.db;
    if ctx.txn.find_used(db, &from).is_none() {
        return Err(Error::NO_KEY);
    }
    if from.bytes == to.bytes || (ctx.txn.find_used(db, &to).is_some() && !overwrite) {
        return Ok(false);
    }
    // Looking for the other key may have moved this one.
    if let Some(found) = ctx.txn.find(&from) {
        let (left, came) = (Event::generic("rename_from"), Event::generic("rename_to"));
        ctx.txn.relocate((&from, found), (db, &to), left, came);
    }
    Ok(true)
}

fn copy(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (from, to) = (ctx.args.key()?, ctx.args.key()?);
    let (mut db, mut replace) = (ctx.txn.db, false);
    while !ctx.args.is_empty() {
        if ctx.args.flag("REPLACE") {
            replace = true;
        } else if ctx.args.option("DB") {
            db = database(ctx.engine, ctx.args.bytes()?)?;
        } else {
            return Err(Error::SYNTAX);
        }
    }
    if db == ctx.txn.db && from.bytes == to.bytes {
        return Err(Error::SAME_OBJECT);
    }
    let there = ctx.txn.look_up(&from).is_some();
    if !there || (ctx.txn.find_used(db, &to).is_some() && !replace) {
        ctx.reply.flag(false);
        return Ok(());
    }
    // Looking for the other key may have moved this one.
    if let Some(found) = ctx.txn.find(&from) {
        let came = Event::generic("copy_to");
        ctx.txn.duplicate(found, (db, &to), came);
    }
    ctx.reply.flag(true);
    Ok(())
}

fn move_key(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = ctx.args.key()?;
    let db = database(ctx.engine, ctx.args.bytes()?)?;
    let here = ctx.txn.db;
    if db == here {
        return Err(Error::SAME_OBJECT);
    }
    let free = ctx.txn.find_used(here, &key).is_some() && ctx.txn.find_used(db, &key).is_none();
    if let Some(found) = ctx.txn.find(&key).filter(|_| free) {
        let (left, came) = (Event::generic("move_from"), Event::generic("move_to"));
        ctx.txn.relocate((&key, found), (db, &key), left, came);
    }
    ctx.reply.flag(free);
    Ok(())
}

fn randomkey(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match ctx.txn.random_key() {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::hash;
    use crate::command::testkit::{Kit, check, recorded};
    use crate::store::entry::{BLOB_MIN, Value};
    use crate::store::rules::TableId;

    #[test]
    fn keys_are_counted_and_removed() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("mset a 1 b 2 c 3", "+OK"),
                ("exists a b none a", ":3"),
                ("touch a none c", ":2"),
                ("type a", "+string"),
                ("type none", "+none"),
                ("del a none a", ":1"),
                ("unlink b c b", ":2"),
                ("exists a b c", ":0"),
                ("del", "-ERR wrong number of arguments for 'del' command"),
                (
                    "type a b",
                    "-ERR wrong number of arguments for 'type' command",
                ),
            ],
        );
    }

    #[test]
    fn a_key_whose_time_is_over_is_nobodys() {
        let (mut kit, recorder) = recorded();
        for command in ["del k", "exists k", "touch k", "renamenx k other"] {
            kit.run("set k v");
            kit.let_time_be_over(0, "k");
            recorder.take();
            let reply = kit.run(command);
            assert!(reply == ":0\r\n" || reply == "-ERR no such key\r\n");
            assert_eq!(recorder.take()[0].changes[0].event.name, "expired");
        }
        kit.run("mset k v over it");
        kit.let_time_be_over(0, "over");
        check(
            &mut kit,
            &[
                ("renamenx k over", ":1"),
                ("get over", "$1 v"),
                ("ttl over", ":-1"),
            ],
        );
        kit.run("set gone 1");
        kit.let_time_be_over(0, "gone");
        check(&mut kit, &[("copy over gone", ":1"), ("get gone", "$1 v")]);
    }

    #[test]
    fn a_new_name_keeps_value_and_deadline() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("set a 1 pxat 9999999999999", "+OK"),
                ("set b other", "+OK"),
                ("rename a b", "+OK"),
                ("get b", "$1 1"),
                ("pexpiretime b", ":9999999999999"),
                ("exists a", ":0"),
                ("set a plain", "+OK"),
                ("rename a b", "+OK"),
                ("ttl b", ":-1"),
                ("renamenx none b", "-ERR no such key"),
                ("rename none none", "-ERR no such key"),
                ("rename b b", "+OK"),
                ("renamenx b b", ":0"),
                ("set c 1", "+OK"),
                ("renamenx b c", ":0"),
                ("renamenx b d", ":1"),
                ("get d", "$5 plain"),
            ],
        );
    }

    #[test]
    fn a_copy_lives_on_its_own() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("set a 1 pxat 9999999999999", "+OK"),
                ("copy a b", ":1"),
                ("incr b", ":2"),
                ("get a", "$1 1"),
                ("pexpiretime b", ":9999999999999"),
                ("copy a b", ":0"),
                ("copy a b replace", ":1"),
                ("get b", "$1 1"),
                ("copy none b replace", ":0"),
                (
                    "copy a a",
                    "-ERR source and destination objects are the same",
                ),
                ("copy a a db 1", ":1"),
                ("copy a a db 1", ":0"),
                ("copy a z db 1 replace db 2", ":1"),
                ("copy a b db 16", "-ERR DB index is out of range"),
                ("copy a b db -1", "-ERR DB index is out of range"),
                (
                    "copy a b db x",
                    "-ERR value is not an integer or out of range",
                ),
                (
                    "copy a b db 3000000000",
                    "-ERR value is out of range, value must between -2147483648 and 2147483647",
                ),
                ("copy a b db", "-ERR syntax error"),
                ("copy a b over", "-ERR syntax error"),
                ("select 2", "+OK"),
                ("get z", "$1 1"),
            ],
        );
    }

    #[test]
    fn a_copy_of_a_large_string_is_shared_until_one_changes() {
        let mut kit = Kit::new();
        let large = vec![b'x'; BLOB_MIN];
        kit.call(&[b"set", b"a", &large]);
        kit.run("copy a b");
        let address = |key: &[u8]| {
            let digest = hash::digest(key);
            let keyspace = &kit.engine.keyspace;
            let shard = keyspace.lock(keyspace.shard_of(digest));
            let table = shard.table(0, TableId::PLAIN).expect("there is a key");
            let place = table.find(digest, key).expect("it is there");
            match table.entry(place).value() {
                Value::Blob(blob) => blob.as_ptr().addr(),
                _ => panic!("not large"),
            }
        };
        assert_eq!(address(b"a"), address(b"b"));
        let before = address(b"a");
        kit.run("append b y");
        assert_eq!(kit.run("strlen a"), format!(":{BLOB_MIN}\r\n"));
        assert_eq!(kit.run("strlen b"), format!(":{}\r\n", BLOB_MIN + 1));
        kit.run("rename a c");
        let digest = hash::digest(b"c");
        let keyspace = &kit.engine.keyspace;
        let shard = keyspace.lock(keyspace.shard_of(digest));
        let table = shard.table(0, TableId::PLAIN).expect("there is a key");
        let place = table.find(digest, b"c").expect("it is there");
        let Value::Blob(blob) = table.entry(place).value() else {
            panic!("not large");
        };
        assert_eq!(blob.as_ptr().addr(), before, "renamed without a copy");
    }

    #[test]
    fn a_key_moves_to_another_database_unless_it_is_there() {
        let mut kit = Kit::new();
        check(
            &mut kit,
            &[
                ("set a 1 pxat 9999999999999", "+OK"),
                (
                    "move a 0",
                    "-ERR source and destination objects are the same",
                ),
                ("move a 99", "-ERR DB index is out of range"),
                ("move a x", "-ERR value is not an integer or out of range"),
                ("move none 1", ":0"),
                ("move a 1", ":1"),
                ("exists a", ":0"),
                ("set a again", "+OK"),
                ("move a 1", ":0"),
                ("get a", "$5 again"),
                ("select 1", "+OK"),
                ("get a", "$1 1"),
                ("pexpiretime a", ":9999999999999"),
            ],
        );
    }

    #[test]
    fn a_random_key_is_one_that_lives() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("randomkey"), "$-1\r\n");
        for n in 0..200 {
            kit.run(&format!("set stale{n} v"));
            kit.let_time_be_over(0, &format!("stale{n}"));
        }
        kit.run("set alive v");
        assert_eq!(kit.run("randomkey"), "$5\r\nalive\r\n");
        kit.run("del alive");
        assert_eq!(kit.run("randomkey"), "$-1\r\n");
    }

    #[test]
    fn events_come_in_the_order_of_valkey() {
        let (mut kit, recorder) = recorded();
        kit.run("mset a 1 b 2");
        for (command, events) in [
            ("rename a b", vec!["new", "rename_from", "rename_to"]),
            ("copy b c", vec!["new", "copy_to"]),
            ("move c 1", vec!["new", "move_from", "move_to"]),
            ("exists none", vec!["keymiss"]),
            ("type none", vec!["keymiss"]),
            ("rename none x", vec![]),
            ("del b none", vec!["del"]),
        ] {
            recorder.take();
            kit.run(command);
            assert_eq!(recorder.events(), events, "{command}");
        }
        kit.run("set d 1");
        recorder.take();
        kit.run("move d 3");
        let effect = recorder.take().remove(0);
        assert_eq!((effect.changes[1].db, effect.changes[2].db), (0, 3));
    }

    #[test]
    fn what_only_reads_or_finds_nothing_is_not_propagated() {
        let (mut kit, recorder) = recorded();
        kit.run("set a 1");
        recorder.take();
        for command in [
            "del none",
            "touch a",
            "rename a a",
            "copy none b",
            "move none 1",
        ] {
            kit.run(command);
        }
        assert_eq!(recorder.commands(), [""; 0]);
    }

    #[test]
    fn a_change_of_name_is_one_change() {
        let mut kit = Kit::new();
        kit.run("set a 1");
        let changes = |kit: &Kit| -> u64 {
            let keyspace = &kit.engine.keyspace;
            (0..keyspace.len())
                .map(|i| keyspace.lock(i).stats.changes)
                .sum()
        };
        let before = changes(&kit);
        kit.run("rename a b");
        kit.run("copy b c");
        kit.run("move c 1");
        assert_eq!(changes(&kit), before + 3);
    }

    #[test]
    fn a_watched_key_is_broken_by_whatever_takes_or_brings_it() {
        for (command, broken) in [
            ("rename k x", true),
            ("rename other k", true),
            ("rename other x", false),
            ("copy other k replace", true),
            ("copy k x", false),
            ("move k 1", true),
            ("unlink k", true),
            ("touch k", false),
            ("pexpire k 0", true),
            ("persist k", false),
            ("expire k 100", true),
        ] {
            let mut kit = Kit::new();
            kit.run("mset k 1 other 2");
            kit.run("watch k");
            kit.another().run(command);
            kit.run("multi");
            kit.run("ping");
            let expected = if broken { "*-1\r\n" } else { "*1\r\n+PONG\r\n" };
            assert_eq!(kit.run("exec"), expected, "{command}");
        }
    }
}
