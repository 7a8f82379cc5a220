//! Snapshots: all data as an RDB, and back.
//!
//! A snapshot is taken while its transaction holds every shard, so that it is the
//! data at one point in time; who wants to change something waits for as long as
//! that takes. One that does without the pause is to come.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::rdb::{self, Piece, ReadError, Reader, Rules, Usage, Writer};
use crate::base::{clock, hash};
use crate::config::{Settings, param};
use crate::exec::args::Key;
use crate::exec::effect::Event;
use crate::exec::saving;
use crate::exec::txn::{Deadline, Txn};
use crate::store::entry::Entry;
use crate::store::memory;

/// What is gathered before it goes to the file, in bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// How a snapshot is written.
#[derive(Clone, Debug)]
pub struct Form {
    /// The version of the format.
    pub version: u16,
    /// Whether strings are compressed where that saves something.
    pub compresses: bool,
    /// Whether there is a checksum at its end.
    pub has_sum: bool,
    /// Whether it tells how entries were used.
    pub usage: Option<UsageKind>,
    /// The history of changes that it is a part of: its name, how far it goes, and
    /// the database that its next command is about.
    pub history: Option<(String, u64, i64)>,
}

/// What the eviction policy knows of an entry's use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsageKind {
    /// When it was last used.
    Idle,
    /// How often.
    Frequency,
}

impl Form {
    /// As the configuration says.
    pub fn of(settings: &Settings) -> Form {
        let policy = settings.choice_name(param::MAXMEMORY_POLICY);
        let usage = match policy {
            _ if settings.int(param::MAXMEMORY) == 0 && policy == "larder" => None,
            _ if policy.ends_with("lfu") => Some(UsageKind::Frequency),
            _ if policy.ends_with("lru") || policy == "larder" => Some(UsageKind::Idle),
            _ => None,
        };
        Form {
            version: rdb::VERSION,
            compresses: settings.flag(param::RDBCOMPRESSION),
            has_sum: settings.flag(param::RDBCHECKSUM),
            usage,
            history: None,
        }
    }
}

/// Writes all data. The transaction holds the whole keyspace.
pub fn write<W: Write>(txn: &mut Txn<'_>, sink: W, form: &Form) -> io::Result<W> {
    let mut writer = Writer::begin(sink, form.version, form.compresses, form.has_sum)?;
    writer.aux("larder-ver", env!("CARGO_PKG_VERSION").as_bytes())?;
    let numbers = [
        ("redis-bits", u64::from(usize::BITS)),
        ("ctime", clock::unix_ms() / 1000),
        ("used-mem", memory::used_bytes() as u64),
    ];
    for (name, n) in numbers {
        writer.aux(name, n.to_string().as_bytes())?;
    }
    if let Some((id, offset, db)) = &form.history {
        writer.aux("repl-stream-db", db.to_string().as_bytes())?;
        writer.aux("repl-id", id.as_bytes())?;
        writer.aux("repl-offset", offset.to_string().as_bytes())?;
    }
    writer.aux("aof-base", b"0")?;
    // What is over is written as it is; what was invalidated is not there.
    let over_ms = std::mem::replace(&mut txn.over_ms, 0);
    let hiding = txn.hiding();
    txn.over_ms = over_ms;
    let evictor = txn.evictor();
    let usage = |entry: &Entry<'_>| match form.usage? {
        UsageKind::Frequency => Some(Usage::Frequency(evictor.frequency(entry.access()))),
        UsageKind::Idle => Some(Usage::Idle(evictor.idle_seconds(entry.access()))),
    };
    for db in databases(txn) {
        let (mut keys, mut volatile) = (0, 0);
        for index in 0..txn.shards() {
            for (_, table) in txn.shard(index).tables_of(db) {
                keys += table.len();
                volatile += table.volatile();
            }
        }
        writer.database(db, keys, volatile)?;
        for index in 0..txn.shards() {
            let shard = &*txn.shard(index);
            let (mut cursor, mut result) = (Some(0), Ok(()));
            while let Some(at) = cursor {
                cursor = shard.scan(
                    db,
                    |_| true,
                    at,
                    |id, entry| {
                        if result.is_ok() && !hiding.hides(shard, db, id, &entry) {
                            let usage = usage(&entry);
                            result =
                                writer.entry(entry.key(), entry.value(), entry.deadline(), usage);
                        }
                    },
                );
            }
            result?;
        }
    }
    writer.end()
}

/// The databases that hold something, by number.
fn databases(txn: &mut Txn<'_>) -> Vec<u32> {
    let mut all = Vec::new();
    for index in 0..txn.shards() {
        let tables = txn.shard(index).tables();
        let filled = tables.filter(|(_, _, table)| !table.is_empty());
        all.extend(filled.map(|(db, _, _)| db));
    }
    all.sort_unstable();
    all.dedup();
    all
}

// ----- files ----------------------------------------------------------------------

/// Where the configuration has the snapshot.
pub fn path(settings: &Settings) -> PathBuf {
    let text = |handle| String::from_utf8_lossy(&settings.text(handle)).into_owned();
    Path::new(&text(param::DIR)).join(text(param::DBFILENAME))
}

/// A snapshot that is written, but does not stand in its place yet.
#[must_use = "it is to be put in its place"]
pub struct Written {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    /// Changes that it has, in all.
    pub changes: u64,
}

/// Writes all data to a file beside its place. The transaction holds the whole
/// keyspace, which may be let go then.
pub fn write_beside(txn: &mut Txn<'_>, settings: &Settings) -> io::Result<Written> {
    let path = path(settings);
    let temporary = path.with_file_name(format!("temp-{}.rdb", std::process::id()));
    let changes = saving::changes(txn);
    let mut write = || {
        let sink = BufWriter::with_capacity(BUFFER_BYTES, File::create(&temporary)?);
        let sink = self::write(txn, sink, &Form::of(settings))?;
        sink.into_inner().map_err(io::IntoInnerError::into_error)
    };
    match write() {
        Ok(file) => Ok(Written {
            file,
            temporary,
            path,
            changes,
        }),
        Err(error) => {
            // It may never have come into being.
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

impl Written {
    /// Puts it in its place, once it is safe on the disk. Needs no lock.
    pub fn put_in_place(self) -> io::Result<()> {
        let put = || {
            self.file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            match self.path.parent() {
                Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
                _ => File::open(".")?.sync_all(),
            }
        };
        put().inspect_err(|_| {
            // It may be in its place already.
            let _ = fs::remove_file(&self.temporary);
        })
    }
}

// ----- reading --------------------------------------------------------------------

/// What to do with what is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Present {
    /// A key that comes again is an error.
    Refused,
    /// What comes takes its place.
    Replaced,
}

/// What a snapshot brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Keys that are there now.
    pub keys: u64,
    /// Keys that were over already.
    pub expired: u64,
    /// Keys that held nothing.
    pub empty: u64,
    /// The database that the next change of its history is about, where it says so.
    pub stream_db: Option<u32>,
}

/// Why a snapshot was not read to its end.
#[derive(Debug)]
pub enum Refusal {
    /// The file cannot be opened.
    Open(io::Error),
    /// It is no snapshot, or a broken one.
    Read(ReadError),
    /// It has a database that there is not.
    Database(u64),
    /// It has a key twice, or one that is there already.
    Twice(Vec<u8>, u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Open(error) => write!(f, "{error}"),
            Refusal::Read(error) => write!(f, "{error}"),
            Refusal::Database(number) => write!(
                f,
                "Data file was created with a server configured to handle more databases than \
                 there are: it has database {number}"
            ),
            Refusal::Twice(key, db) => {
                let key = key.escape_ascii();
                write!(f, "RDB has duplicated key '{key}' in DB {db}")
            }
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Refusal {
        Refusal::Read(error)
    }
}

/// Reads a file; see [`read`].
pub fn read_file(
    txn: &mut Txn<'_>,
    path: &Path,
    rules: &Rules,
    databases: u32,
    present: Present,
) -> Result<Summary, Refusal> {
    let file = File::open(path).map_err(Refusal::Open)?;
    let source = BufReader::with_capacity(BUFFER_BYTES, file);
    read(txn, source, rules, databases, present)
}

/// Reads all data of a snapshot into the keyspace, which the transaction holds, or
/// takes shard by shard: then no shard is held while more is waited for. What was read
/// before an error stays.
pub fn read<R: Read>(
    txn: &mut Txn<'_>,
    source: R,
    rules: &Rules,
    databases: u32,
    present: Present,
) -> Result<Summary, Refusal> {
    let mut reader = Reader::begin(source, rules)?;
    let mut summary = Summary::default();
    let before = txn.db;
    txn.db = 0;
    let result = loop {
        match reader.next_piece() {
            Ok(Some(piece)) => {
                if let Err(refusal) = take(txn, piece, databases, present, &mut summary) {
                    break Err(refusal);
                }
                txn.let_go();
            }
            Ok(None) => break Ok(summary),
            Err(error) => break Err(error.into()),
        }
    };
    txn.db = before;
    result
}

fn take(
    txn: &mut Txn<'_>,
    piece: Piece,
    databases: u32,
    present: Present,
    summary: &mut Summary,
) -> Result<(), Refusal> {
    match piece {
        Piece::Aux(name, value) if name == b"repl-stream-db" => {
            let number = std::str::from_utf8(&value).ok();
            summary.stream_db = number.and_then(|n| n.parse().ok());
        }
        Piece::Aux(name, value) => note_aux(&name, &value),
        Piece::Function(_) => {
            crate::warning!("The RDB has functions, which are not there yet: they are left out");
        }
        Piece::Database(number) => match u32::try_from(number) {
            Ok(db) if db < databases => txn.db = db,
            _ => return Err(Refusal::Database(number)),
        },
        Piece::EmptyKey(key) => {
            summary.empty += 1;
            crate::warning!("The RDB has an empty key: {}", key.escape_ascii());
        }
        Piece::Entry {
            deadline: Some(ms), ..
        } if txn.is_past(ms) => summary.expired += 1,
        Piece::Entry {
            key,
            value,
            deadline,
            usage,
        } => {
            let key = Key::new(&key, hash::digest(&key));
            let found = txn.find(&key);
            if found.is_some() && present == Present::Refused {
                return Err(Refusal::Twice(key.bytes.to_vec(), txn.db));
            }
            let at = deadline.map_or(Deadline::Never, Deadline::At);
            value.with_new_value(|value| txn.put(&key, found, value, at, Event::UNNAMED));
            let evictor = txn.evictor();
            let access = match usage {
                Some(Usage::Frequency(uses)) if evictor.is_lfu() => {
                    Some(evictor.record_of_frequency(uses))
                }
                Some(Usage::Idle(seconds)) if !evictor.is_lfu() => {
                    Some(evictor.record_of_idle(seconds))
                }
                _ => None,
            };
            if let (Some(access), Some(found)) = (access, txn.find(&key)) {
                txn.set_access(found, access);
            }
            summary.keys += 1;
        }
    }
    Ok(())
}

/// What a snapshot says of itself.
fn note_aux(name: &[u8], value: &[u8]) {
    let value = value.escape_ascii();
    match name {
        [b'%', ..] => crate::notice!("RDB '{}': {value}", name.escape_ascii()),
        b"redis-ver" => crate::notice!("Loading RDB produced by Redis version {value}"),
        b"valkey-ver" => crate::notice!("Loading RDB produced by Valkey version {value}"),
        b"larder-ver" => crate::notice!("Loading RDB produced by Larder version {value}"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;
    use crate::persist::rdb::LoadError;

    const ALL: &[&str] = &[
        "set s:short v EX 100000",
        "set s:int 12345",
        "setrange s:long 30000 x",
        "rpush l 1 a 2 b 300000",
        "sadd i 1 2 3",
        "sadd p a b c",
        "hset h f v g 1",
        "hset t f v g 1",
        "hpexpire t 100000000 fields 1 f",
        "zadd z 1 a 2.5 b -inf c",
        "xadd x 1-1 f v g w",
        "xadd x 2-1 f v",
        "xgroup create x group 0",
        "xreadgroup group group me count 1 streams x >",
        "pfadd p:f a b c",
        "select 7",
        "set other v",
        "debug populate 3000 many 30",
        "select 0",
    ];

    fn kit() -> Kit {
        Kit::with(&["--enable-debug-command", "yes"])
    }

    fn full() -> Kit {
        let mut kit = kit();
        for line in ALL {
            let reply = kit.run(line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        kit
    }

    fn txn(kit: &Kit) -> Txn<'_> {
        let engine = &kit.engine;
        let (keyspace, now_ms) = (&engine.keyspace, clock::unix_ms());
        Txn::new(keyspace, &engine.effects, keyspace.lock_all(), 0, now_ms)
    }

    fn written(kit: &Kit, version: u16) -> io::Result<Vec<u8>> {
        let form = Form {
            version,
            ..Form::of(&kit.engine.settings)
        };
        write(&mut txn(kit), Vec::new(), &form)
    }

    fn read_into(kit: &Kit, bytes: &[u8], present: Present) -> Result<Summary, Refusal> {
        let rules = Rules::of(&kit.engine.settings);
        read(&mut txn(kit), bytes, &rules, 16, present)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut one = full();
        let bytes = written(&one, rdb::VERSION).expect("memory");
        assert!(bytes.starts_with(b"VALKEY080"));
        let mut other = kit();
        let summary = read_into(&other, &bytes, Present::Refused).expect("a snapshot");
        assert_eq!(summary.keys, 3012);
        assert_eq!(one.run("debug digest"), other.run("debug digest"));
        for line in [
            "pexpiretime s:short",
            "hpexpiretime t fields 1 f",
            "xinfo stream x full",
        ] {
            assert_eq!(one.run(line), other.run(line));
        }
        assert!(other.run("object encoding i").contains("intset"));
        let twice = read_into(&other, &bytes, Present::Refused);
        assert!(matches!(twice, Err(Refusal::Twice(_, 0))));
        let again = read_into(&other, &bytes, Present::Replaced);
        assert_eq!(again.expect("a snapshot").keys, 3012);
        assert_eq!(one.run("debug digest"), other.run("debug digest"));
    }

    #[test]
    fn older_readers_get_what_they_know() {
        let mut one = full();
        let error = written(&one, 10).expect_err("no form for deadlines of fields");
        assert!(
            error
                .to_string()
                .contains("Can't store key 't' in RDB version 10")
        );
        one.run("hpersist t fields 1 f");
        let bytes = written(&one, 10).expect("memory");
        assert!(bytes.starts_with(b"REDIS0010"));
        let mut other = kit();
        read_into(&other, &bytes, Present::Refused).expect("a snapshot");
        assert_eq!(one.run("debug digest"), other.run("debug digest"));
    }

    #[test]
    fn what_is_over_stays_away_and_what_has_no_place_is_refused() {
        let mut one = kit();
        one.run("set k v px 100000");
        one.run("set n v");
        one.let_time_be_over(0, "k");
        let bytes = written(&one, rdb::VERSION).expect("memory");
        let other = kit();
        let summary = read_into(&other, &bytes, Present::Refused).expect("a snapshot");
        assert_eq!((summary.keys, summary.expired), (1, 1));
        one.run("select 9");
        one.run("set k v");
        let bytes = written(&one, rdb::VERSION).expect("memory");
        let rules = Rules::of(&other.engine.settings);
        let refused = read(&mut txn(&kit()), &bytes[..], &rules, 9, Present::Refused);
        assert!(matches!(refused, Err(Refusal::Database(9))));
    }

    #[test]
    fn a_snapshot_that_is_cut_or_changed_is_refused_and_harms_nobody() {
        let mut one = full();
        one.run("select 7");
        one.run("flushdb");
        let bytes = written(&one, rdb::VERSION).expect("memory");
        for end in 0..bytes.len() {
            let result = read_into(&kit(), &bytes[..end], Present::Refused);
            assert!(matches!(result, Err(Refusal::Read(_))), "{end}");
        }
        let seed = clock::random();
        println!("SEED={seed}");
        clock::reseed(seed);
        for _ in 0..500 {
            let mut changed = bytes.clone();
            let at = clock::random_below(bytes.len() as u64) as usize;
            changed[at] ^= 1 << clock::random_below(8);
            // All but what stands for no checksum is noticed, at the end at the latest.
            assert!(read_into(&kit(), &changed, Present::Refused).is_err());
            // Without the checksum it may be something else, but nothing breaks.
            let end = changed.len() - 8;
            changed[end..].fill(0);
            let other = kit();
            if read_into(&other, &changed, Present::Refused).is_ok() {
                written(&other, rdb::VERSION).expect("memory");
            }
        }
    }

    #[test]
    fn what_is_no_snapshot_says_so() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "Wrong signature trying to load DB from file"),
            (b"REDIS00xx", "Wrong signature trying to load DB from file"),
            (b"REDIS0012", "Can't handle RDB format version 12"),
            (b"VALKEY011", "Can't handle RDB format version 11"),
            (b"VALKEY081", "Can't handle RDB format version 81"),
        ];
        for (bytes, says) in cases {
            let refusal = read_into(&kit(), bytes, Present::Refused).expect_err("none");
            assert_eq!(refusal.to_string(), says);
        }
        let module = [&b"REDIS0009"[..], &[7, 1, b'k']].concat();
        let refusal = read_into(&kit(), &module, Present::Refused);
        let Err(Refusal::Read(ReadError::Value(12, 7, LoadError::UnknownType(7)))) = refusal else {
            panic!("{refusal:?}");
        };
    }
}
