//! DEBUG: what tests need to see and to bring about.
//!
//! Its subcommands are read by hand, since they have no rows of their own in
//! COMMAND. It holds the whole keyspace while it runs, whatever the subcommand:
//! DEBUG SLEEP then stops every client, as it does where one thread serves all.

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};

use super::config::InForce;
use super::string::encoding_name;
use super::{digest, help};
use crate::base::glob::{self, Case};
use crate::base::{clock, num, units};
use crate::config::param;
use crate::exec::args::Key;
use crate::exec::context::Ctx;
use crate::exec::effect::Event;
use crate::exec::spec::{Group, Scope, Spec, flag::*};
use crate::exec::txn::{Deadline, Txn};
use crate::exec::{replies, saving};
use crate::persist::rdb::{self, Rules};
use crate::persist::save;
use crate::persist::snapshot::{self, Present};
use crate::protocol::error::Error;
use crate::store::entry::{self, Entry, NewValue, Value, View};
use crate::store::table::Table;
use crate::types::list::{Body, Figures, List};

/// The family.
pub const SPECS: &[Spec] = &[Spec::new("debug", -2, debug)
    .scope(Scope::All)
    .flags(ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED)
    .doc(
        Group::Server,
        "1.0.0",
        "Depends on subcommand.",
        "A container for commands that help to test the server.",
    )
    .system()];

const HELP: &[&str] = &[
    "ASSERT",
    "    End the server as a failed assertion does.",
    "CLIENT-ENFORCE-REPLY-LIST <0|1>",
    "    With 1, the least reply counts as 16 KiB where replies have a limit.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    As CONFIG REWRITE, with a line for every parameter.",
    "DICT-RESIZING <0|1>",
    "    With 0, tables keep the lines that removals leave empty.",
    "DIGEST",
    "    Return 40 hexadecimal digits that stand for the whole data set.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Return 40 hexadecimal digits for the value of each key.",
    "ERROR <string>",
    "    Return an error of these words.",
    "HTSTATS <dbid> [full]",
    "    Return figures about the tables of a database.",
    "LISTPACK <key>",
    "    Write the elements of a listpack to the log.",
    "LOG <message>",
    "    Write <message> to the log.",
    "OBJECT <key> [fast]",
    "    Return how a value lies in memory.",
    "OOM",
    "    End the server as running out of memory does.",
    "PANIC",
    "    End the server as a broken invariant does.",
    "PAUSE-CRON <0|1>",
    "    Stop the work that comes by the clock, or let it go on.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>, or with another prefix; those that",
    "    exist stay as they are.",
    "PROTOCOL <type>",
    "    Return a reply of a type: string, integer, double, bignum, null, array, set, map,",
    "    attrib, push, verbatim, true, false.",
    "QUICKLIST <key> [<0|1>]",
    "    Write the nodes of a quicklist to the log, with 1 their elements, too.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    From how many bytes on an element of a list has memory of its own; 0 for as the",
    "    configuration says.",
    "REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|milliseconds>",
    "    How long the peak of a client's replies counts; RESET for 5 seconds.",
    "REPLYBUFFER RESIZING <0|1>",
    "    With 0, clients keep the memory that their replies needed once.",
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "    Take a snapshot and read it again; merged with what is there, without emptying",
    "    the databases first, or without taking it.",
    "SDSLEN <key>",
    "    Return the lengths of a string key and of its value, and what they take.",
    "SEGFAULT",
    "    End the server as an invalid access to memory does.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    With 0, keys whose time is over go only when somebody asks for them.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    With 1, RESTORE takes payloads whose checksum is wrong.",
    "SLEEP <seconds>",
    "    Stop the server for so long. Decimals allowed.",
    "STRINGMATCH-LEN <pattern> <string>",
    "    Return whether a glob pattern matches.",
    "STRUCTSIZE",
    "    Return the sizes of some structures.",
];

fn debug(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let name = ctx.args.bytes()?;
    let left = ctx.args.left();
    match (&name.to_ascii_lowercase()[..], left) {
        (b"help", 0) => help::write(ctx, HELP),
        (b"sleep", 1) => return sleep(ctx),
        (b"segfault", _) => {
            let _ = raise(Signal::SIGSEGV);
        }
        (b"assert", _) => assert!(std::hint::black_box(1) == 2),
        (b"panic", _) => panic!(
            "DEBUG PANIC called at Unix time {}",
            clock::unix_ms() / 1000
        ),
        (b"oom", _) => drop(std::hint::black_box(Vec::<u8>::with_capacity(
            isize::MAX as usize,
        ))),
        (b"set-active-expire", 1) => {
            let on = switch(ctx.args.bytes()?);
            ctx.engine.active_expiry.store(on, Ordering::Relaxed);
            ctx.reply.ok();
        }
        (b"pause-cron", 1) => {
            let on = switch(ctx.args.bytes()?);
            ctx.engine.cron_paused.store(on, Ordering::Relaxed);
            ctx.reply.ok();
        }
        (b"set-skip-checksum-validation", 1) => {
            let on = switch(ctx.args.bytes()?);
            ctx.engine.checksums_skipped.store(on, Ordering::Relaxed);
            ctx.reply.ok();
        }
        (b"dict-resizing", 1) => {
            let holds = !switch(ctx.args.bytes()?);
            for index in 0..ctx.txn.shards() {
                let tables = ctx.txn.shard(index).tables_mut();
                tables.for_each(|(_, _, table)| table.hold_lines(holds));
            }
            ctx.reply.ok();
        }
        (b"replybuffer", 2) => return reply_buffer(ctx),
        (b"client-enforce-reply-list", 1) => {
            let on = switch(ctx.args.bytes()?);
            ctx.engine
                .clients
                .owed()
                .listed
                .store(on, Ordering::Relaxed);
            ctx.reply.ok();
        }
        (b"quicklist-packed-threshold", 1) => return packed_threshold(ctx),
        (b"object", 1 | 2) => return object(ctx),
        (b"listpack", 1) => return show_elements(ctx, "listpack"),
        (b"quicklist", 1 | 2) => return show_elements(ctx, "quicklist"),
        (b"sdslen", 1) => return string_lengths(ctx),
        (b"structsize", 0) => struct_sizes(ctx),
        (b"populate", 1..=3) => return populate(ctx),
        (b"digest", 0) => {
            let text = digest::of_all(ctx.txn);
            ctx.reply.simple(&text);
        }
        (b"digest-value", _) => {
            let keys = ctx.args.rest();
            ctx.reply.array(keys.len());
            for bytes in keys {
                let text = digest::of_value(entry(ctx.txn, &Key::of(bytes)));
                ctx.reply.simple(&text);
            }
        }
        (b"protocol", 1) => return protocol(ctx),
        (b"error", 1) => {
            let error = Error::new(ctx.args.bytes()?);
            let worker = ctx.session.client.worker;
            ctx.engine.count_custom_error(worker, error.code());
            ctx.reply.error(&error);
        }
        (b"log", 1) => {
            let text = String::from_utf8_lossy(ctx.args.bytes()?);
            crate::warning!("DEBUG LOG: {text}");
            ctx.reply.ok();
        }
        (b"htstats", 1..) => return table_stats(ctx),
        (b"stringmatch-len", 2) => {
            let (pattern, text) = (ctx.args.bytes()?, ctx.args.bytes()?);
            let matches = glob::matches(pattern, text, Case::Exact);
            ctx.reply.flag(matches);
        }
        (b"reload", _) => return reload(ctx),
        (b"config-rewrite-force-all", 0) => {
            let written = ctx.engine.settings.rewrite_all(&InForce(ctx.engine));
            written.map_err(|_| Error::new("ERR CONFIG-REWRITE-FORCE-ALL failed"))?;
            ctx.reply.ok();
        }
        _ => return Err(Error::unknown_subcommand_or_arity("debug", name)),
    }
    Ok(())
}

/// A number that stands for yes unless it is 0; a word stands for 0.
fn switch(text: &[u8]) -> bool {
    num::parse_i64(text).is_some_and(|n| n != 0)
}

fn sleep(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let seconds = num::parse_f64(ctx.args.bytes()?).unwrap_or(0.0);
    // Valkey's clock counts whole microseconds, too.
    let us = (seconds.max(0.0) * 1e6).min(1e15) as u64;
    std::thread::sleep(Duration::from_micros(us));
    ctx.reply.ok();
    Ok(())
}

/// DEBUG REPLYBUFFER PEAK-RESET-TIME, and RESIZING.
fn reply_buffer(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let rules = &ctx.engine.replies;
    let (what, value) = (ctx.args.bytes()?, ctx.args.bytes()?);
    match &what.to_ascii_lowercase()[..] {
        b"peak-reset-time" => {
            let window_ms = match &value.to_ascii_lowercase()[..] {
                b"never" => -1,
                b"reset" => replies::PEAK_RESET_MS,
                _ => num::parse_i64(value).ok_or(Error::NOT_INTEGER)?,
            };
            rules.peak_reset_ms.store(window_ms, Ordering::Relaxed);
        }
        b"resizing" => rules.resizing.store(switch(value), Ordering::Relaxed),
        _ => return Err(Error::SYNTAX),
    }
    ctx.reply.ok();
    Ok(())
}

fn packed_threshold(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    match units::parse_bytes(ctx.args.bytes()?) {
        Some(bytes) if bytes <= (1 << 32) - (1 << 20) => {
            let large = &ctx.engine.large_element_bytes;
            large.store(bytes, Ordering::Relaxed);
            ctx.reply.ok();
            Ok(())
        }
        _ => Err(Error::new(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        )),
    }
}

/// DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: nobody hears of it.
fn reload(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let (mut merges, mut keeps, mut saves) = (false, false, true);
    for option in ctx.args.rest() {
        match &option.to_ascii_lowercase()[..] {
            b"merge" => merges = true,
            b"noflush" => keeps = true,
            b"nosave" => saves = false,
            _ => {
                return Err(Error::new(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    let (engine, rules) = (ctx.engine, super::dump::rules(ctx));
    if saves {
        let turn = engine.saving.begin(false);
        let turn = turn.ok_or_else(|| Error::new("ERR Background save already in progress"))?;
        save::within(engine, ctx.txn, turn)
            .map_err(|_| Error::new("ERR Error saving the RDB dump, check server logs"))?;
    }
    if !keeps {
        super::database::empty(ctx);
        ctx.txn.libraries().replace(Vec::new());
    }
    let databases = engine.databases();
    let present = match merges {
        true => Present::Replaced,
        false => Present::Refused,
    };
    let path = snapshot::path(&engine.settings);
    let read = snapshot::read_file(ctx.txn, &path, &rules, databases, present);
    // What came is in the snapshot.
    let changes = saving::changes(ctx.txn);
    engine.saving.note_loaded(changes);
    ctx.txn.rewrite_as(Vec::new());
    read.map_err(|refusal| {
        crate::warning!("DEBUG RELOAD: {refusal}");
        Error::new("ERR Error trying to load the RDB dump, check server logs")
    })?;
    crate::warning!("DB reloaded by DEBUG RELOAD");
    ctx.reply.ok();
    Ok(())
}

/// What is under a key of the current database, over or not; DEBUG does not count as a
/// use of it.
fn entry<'a>(txn: &'a mut Txn<'_>, key: &Key<'_>) -> Option<Entry<'a>> {
    let db = txn.db;
    let shard = txn.shard_for(key);
    let mut tables = shard.tables_of(db);
    tables.find_map(|(_, table)| Some(table.entry(table.find(key.digest, key.bytes)?)))
}

fn object(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = Key::of(ctx.args.bytes()?);
    let fast = ctx.args.flag("FAST");
    let rules = Rules::of(&ctx.engine.settings);
    let evictor = ctx.txn.evictor();
    let entry = entry(ctx.txn, &key).ok_or(Error::NO_KEY)?;
    let mut text = format!(
        "Value at:{:p} refcount:1 encoding:{}",
        entry.key().as_ptr(),
        encoding_name(entry)
    );
    if !fast {
        let bytes = rdb::saved_bytes(entry.value(), &rules);
        text += &format!(" serializedlength:{bytes}");
    }
    let access = entry.access();
    text += &match evictor.is_lfu() {
        true => format!(" lfu_freq:{}", evictor.frequency(access)),
        false => format!(
            " lru:{access} lru_seconds_idle:{}",
            evictor.idle_seconds(access)
        ),
    };
    if let Some(list) = View::of(entry.value())
        && let List::Quick(quick) = &*list
    {
        text += &quicklist_figures(quick.figures(), fast);
    }
    ctx.reply.simple(&text);
    Ok(())
}

fn quicklist_figures(figures: Figures, fast: bool) -> String {
    let mut text = format!(
        " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{}",
        figures.nodes,
        figures.count as f64 / figures.nodes as f64,
        figures.fill,
        u8::from(figures.depth > 0),
    );
    if !fast {
        text += &format!(" ql_uncompressed_size:{}", figures.uncompressed_bytes);
    }
    text
}

/// DEBUG LISTPACK, and DEBUG QUICKLIST: what a value is made of goes to the log.
fn show_elements(ctx: &mut Ctx<'_, '_>, what: &str) -> Result<(), Error> {
    let key = Key::of(ctx.args.bytes()?);
    let full = ctx.args.is_empty() || switch(ctx.args.bytes()?);
    let entry = entry(ctx.txn, &key).ok_or(Error::NO_KEY)?;
    if encoding_name(entry) != what {
        return Err(Error::new(format!("ERR Not a {what} encoded object.")));
    }
    if let Some(list) = View::<List>::of(entry.value()) {
        for (i, body) in list.bodies().enumerate() {
            match body {
                Body::Pack(pack) if full => crate::warning!("node {i}: {pack:?}"),
                Body::Pack(pack) => crate::warning!("node {i}: {} elements", pack.len()),
                Body::Plain(text) => crate::warning!("node {i}: {} bytes", text.len()),
            }
        }
    }
    let title = what[..1].to_uppercase() + &what[1..];
    ctx.reply
        .simple(&format!("{title} structure printed on stdout"));
    Ok(())
}

fn string_lengths(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let key = Key::of(ctx.args.bytes()?);
    let entry = entry(ctx.txn, &key).ok_or(Error::NO_KEY)?;
    if matches!(entry.value(), Value::Int(_) | Value::Object(_)) {
        return Err(Error::new("ERR Not an sds encoded string."));
    }
    let (own, value) = match entry.value() {
        Value::Blob(blob) => {
            let own = entry.bytes().saturating_sub(blob.capacity());
            (own, blob.capacity())
        }
        _ => (entry.bytes(), 0),
    };
    let text = format!(
        "key_sds_len:{} key_sds_avail:0 obj_alloc:{own} val_sds_len:{} val_sds_avail:{} \
         val_alloc:{value}",
        key.bytes.len(),
        entry.value().len(),
        value.saturating_sub(entry.value().len()),
    );
    ctx.reply.simple(&text);
    Ok(())
}

fn struct_sizes(ctx: &mut Ctx<'_, '_>) {
    use crate::exec::session::{Client, Session};
    use crate::store::shard::Shard;
    let text = format!(
        "bits:{} robj:{} client:{} session:{} shard:{} table:{} ",
        usize::BITS,
        // The least that an entry takes.
        entry::allocated_bytes(entry::BYTES_MIN),
        size_of::<Client>(),
        size_of::<Session>(),
        size_of::<Shard>(),
        size_of::<Table>(),
    );
    ctx.reply.bulk(text.as_bytes());
}

fn positive(text: &[u8]) -> Result<u64, Error> {
    let n = num::parse_i64(text).ok_or(Error::NOT_POSITIVE)?;
    u64::try_from(n).map_err(|_| Error::NOT_POSITIVE)
}

/// Keys and values are Valkey's, byte for byte: a digest of them is, too.
fn populate(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let count = positive(ctx.args.bytes()?)?;
    let prefix = match ctx.args.is_empty() {
        true => b"key",
        false => ctx.args.bytes()?,
    };
    let size = match ctx.args.is_empty() {
        true => 0,
        false => positive(ctx.args.bytes()?)?,
    };
    let limit = ctx.engine.settings.int(param::PROTO_MAX_BULK_LEN) as u64;
    if size > limit {
        return Err(Error::TOO_LONG);
    }
    let mut bytes = Vec::new();
    for i in 0..count {
        // Valkey builds the name in 128 bytes.
        bytes.clear();
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(format!(":{i}").as_bytes());
        bytes.truncate(127);
        let key = Key::of(&bytes);
        if ctx.txn.find(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{i}").into_bytes();
        if size > 0 {
            value.resize(size as usize, 0);
        }
        let value = NewValue::encode(&value);
        ctx.txn
            .put(&key, None, value, Deadline::Never, Event::string("set"));
    }
    ctx.reply.ok();
    Ok(())
}

fn protocol(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let kind = ctx.args.bytes()?.to_ascii_lowercase();
    let reply = &mut ctx.reply;
    match &kind[..] {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        #[expect(clippy::approx_constant, reason = "Valkey's digits, not the constant")]
        b"double" => reply.double(3.141),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.int(i));
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.int(i);
                reply.boolean(i == 1);
            }
        }
        b"attrib" => {
            if reply.is_resp3() {
                reply.attributes(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.int(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !reply.is_resp3() {
                return Err(Error::new("ERR RESP2 is not supported by this command"));
            }
            // A push that a command causes follows its reply.
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        _ => {
            return Err(Error::new(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|\
                 double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn table_stats(ctx: &mut Ctx<'_, '_>) -> Result<(), Error> {
    let db = num::parse_i64(ctx.args.bytes()?).ok_or(Error::NOT_INTEGER)?;
    let databases = i64::from(ctx.engine.databases());
    let db = match u32::try_from(db) {
        Ok(n) if db < databases => n,
        _ => return Err(Error::new("ERR Out of range database")),
    };
    let (mut slots, mut keys, mut volatile) = (0, 0, 0);
    for index in 0..ctx.txn.shards() {
        for (_, table) in ctx.txn.shard(index).tables_of(db) {
            slots += table.slots();
            keys += table.len();
            volatile += table.volatile();
        }
    }
    let section = |title: &str, slots: usize, entries: usize| match entries {
        0 => format!("[{title} HT]\n"),
        n => format!(
            "[{title} HT]\nHash table 0 stats (main hash table):\n table size: {slots}\n number \
             of entries: {n}\n rehashing index: -1\n"
        ),
    };
    let text = section("Dictionary", slots, keys) + &section("Expires", slots, volatile);
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testkit::Kit;

    fn kit() -> Kit {
        Kit::with(&["--enable-debug-command", "yes"])
    }

    #[test]
    fn it_is_for_whom_the_configuration_allows_it() {
        let refused = "-ERR DEBUG command not allowed. If the enable-debug-command option";
        assert!(Kit::new().run("debug help").starts_with(refused));
        let mut local = Kit::with(&["--enable-debug-command", "local"]);
        assert_eq!(local.run("debug sleep 0"), "+OK\r\n");
        let mut kit = Kit::new();
        kit.run("multi");
        assert!(kit.run("debug sleep 0").starts_with(refused));
        assert!(kit.run("exec").starts_with("-EXECABORT "));
        assert_eq!(
            local.run("debug nosuch"),
            "-ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.\r\n"
        );
    }

    /// The figures are those of valkey-server 9.1.2 after the same commands.
    #[test]
    fn a_digest_is_valkeys_for_the_same_data() {
        let mut kit = kit();
        assert_eq!(kit.run("debug digest"), format!("+{}\r\n", "0".repeat(40)));
        kit.run("debug populate 5");
        kit.run("debug populate 3 bar 3");
        assert_eq!(kit.run("debug digest"), DIGEST_ALL);
        assert_eq!(kit.run("debug digest-value key:1 nokey"), DIGEST_VALUES);
        kit.run("select 1");
        kit.run("debug populate 1");
        assert_eq!(kit.run("debug digest"), DIGEST_TWO);
    }

    const DIGEST_ALL: &str = "+10f82586cad3386f2a6a28c2ff92d9a38ef56f30\r\n";
    const DIGEST_VALUES: &str = "*2\r\n+ec4b7bec343ec862c8bd5dd8feab05ec1e9e6703\r\n+0000000000000000000000000000000000000000\r\n";
    const DIGEST_TWO: &str = "+99eb03fb972d557d9bea33e2d7b03e8b6025488d\r\n";

    #[test]
    fn populate_leaves_what_is_there() {
        let mut kit = kit();
        kit.run("debug populate 2 a 4");
        assert_eq!(kit.run("debug populate 3 a 20"), "+OK\r\n");
        assert_eq!(kit.run("get a:1"), "$4\r\nvalu\r\n");
        assert_eq!(
            kit.call(&[b"get", b"a:2"]),
            b"$20\r\nvalue:2\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n"
        );
        assert_eq!(
            kit.run("debug populate x"),
            "-ERR value is out of range, must be positive\r\n"
        );
    }

    #[test]
    fn a_value_is_shown_as_it_lies_in_memory() {
        let mut kit = kit();
        kit.run("debug populate 1 s 5");
        let reply = kit.run("debug object s:0");
        assert!(reply.starts_with("+Value at:0x"), "{reply}");
        assert!(
            reply.contains(" refcount:1 encoding:embstr serializedlength:6 lru:"),
            "{reply}"
        );
        assert!(
            !kit.run("debug object s:0 fast")
                .contains("serializedlength")
        );
        assert_eq!(kit.run("debug object nokey"), "-ERR no such key\r\n");
        assert!(
            kit.run("debug sdslen s:0")
                .starts_with("+key_sds_len:3 key_sds_avail:0 obj_alloc:")
        );
        assert!(kit.run("debug structsize").contains("bits:64 "));
        let stats = kit.run("debug htstats 0");
        assert!(
            stats.contains("[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: ")
        );
        assert!(stats.contains("\n number of entries: 1\n") && stats.contains("[Expires HT]\n"));
        assert_eq!(
            kit.run("debug htstats 16"),
            "-ERR Out of range database\r\n"
        );
    }

    #[test]
    fn every_type_of_reply_can_be_had() {
        let mut kit = kit();
        let cases = [
            ("string", "$11\r\nHello World\r\n", "$11\r\nHello World\r\n"),
            ("integer", ":12345\r\n", ":12345\r\n"),
            ("double", "$5\r\n3.141\r\n", ",3.141\r\n"),
            ("null", "$-1\r\n", "_\r\n"),
            (
                "array",
                "*3\r\n:0\r\n:1\r\n:2\r\n",
                "*3\r\n:0\r\n:1\r\n:2\r\n",
            ),
            (
                "set",
                "*3\r\n:0\r\n:1\r\n:2\r\n",
                "~3\r\n:0\r\n:1\r\n:2\r\n",
            ),
            ("true", ":1\r\n", "#t\r\n"),
            ("false", ":0\r\n", "#f\r\n"),
        ];
        for (kind, resp2, _) in cases {
            assert_eq!(kit.run(&format!("debug protocol {kind}")), resp2);
        }
        assert!(
            kit.run("debug protocol push")
                .starts_with("-ERR RESP2 is not")
        );
        kit.run("hello 3");
        for (kind, _, resp3) in cases {
            assert_eq!(kit.run(&format!("debug protocol {kind}")), resp3);
        }
        for (kind, start) in [
            ("map", "%3"),
            ("bignum", "(123"),
            ("attrib", "|1"),
            ("verbatim", "=29\r\ntxt:"),
        ] {
            assert!(
                kit.run(&format!("debug protocol {kind}"))
                    .starts_with(start)
            );
        }
        assert!(
            kit.run("debug protocol push")
                .ends_with(">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n")
        );
        assert!(
            kit.run("debug protocol x")
                .starts_with("-ERR Wrong protocol type name.")
        );
    }

    #[test]
    fn switches_and_small_helpers_do_what_they_say() {
        use std::sync::atomic::Ordering::Relaxed;
        let mut kit = kit();
        for (line, reply) in [
            ("debug set-active-expire 0", "+OK\r\n"),
            ("debug pause-cron 1", "+OK\r\n"),
            ("debug dict-resizing 0", "+OK\r\n"),
            ("debug quicklist-packed-threshold 100b", "+OK\r\n"),
            ("debug error 'FOO bar'", "-FOO bar\r\n"),
            ("debug stringmatch-len a* abc", ":1\r\n"),
            ("debug stringmatch-len a* bc", ":0\r\n"),
            ("debug log hi", "+OK\r\n"),
        ] {
            assert_eq!(kit.run(line), reply, "{line}");
        }
        assert!(!kit.engine.active_expiry.load(Relaxed) && kit.engine.cron_paused.load(Relaxed));
        assert!(kit.run("debug help").contains("+SLEEP <seconds>\r\n"));
    }
}
