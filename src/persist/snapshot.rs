//! Snapshots: all data as an RDB, and back.
//!
//! A snapshot is taken while its transaction holds every shard, so that it is the
//! data at one point in time; who wants to change something waits for as long as
//! that takes. One that does without the pause is to come.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::fields::{self, NoteField, NullField, Nulls, PolicyField, Wrong};
use super::rdb::{self, Loaded, Piece, ReadError, Reader, Rules, Usage, Writer};
use crate::base::clock;
use crate::config::policy::Policy;
use crate::config::{self, Settings, param};
use crate::exec::args::Key;
use crate::exec::loading::{Counted, Loading as Progress};
use crate::exec::saving;
use crate::exec::txn::{Persisted, Restored, RestoredNote, Txn};
use crate::store::entry::Entry;
use crate::store::memory;
use crate::store::rules::Slot;

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
    /// The policies that the configuration defines: others are brought along.
    pub defined_policies: Vec<Box<str>>,
    /// Whether nothing but its head is wanted.
    pub is_empty: bool,
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
            defined_policies: settings.defined_policies(),
            is_empty: false,
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
    if form.is_empty {
        return writer.end();
    }
    for text in txn.libraries().texts().all {
        writer.function(&text)?;
    }
    write_policies(txn, &mut writer, form)?;
    // What is over is written as it is; what was invalidated is not there.
    let (hiding, now_ms) = (txn.hiding(), txn.now_ms);
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
                        if result.is_ok()
                            && let Some(it) = hiding.persisted(shard, db, id, &entry, now_ms)
                        {
                            result = write_entry(&mut writer, &entry, &it, usage(&entry));
                        }
                    },
                );
            }
            result?;
        }
    }
    write_nulls(txn, &mut writer)?;
    writer.end()
}

fn write_entry<W: Write>(
    writer: &mut Writer<W>,
    entry: &Entry<'_>,
    it: &Persisted,
    usage: Option<Usage>,
) -> io::Result<()> {
    if let Some(kept) = &it.note {
        let field = NoteField {
            policy: kept.slot,
            is_graceful: entry.is_graceful(),
            is_unsettled: kept.is_unsettled,
            note: kept.note,
            tags: entry.tags(),
        };
        writer.brief_aux(fields::name::NOTE, &field.to_bytes())?;
    }
    writer.entry(entry.key(), entry.value(), it.deadline, usage)
}

/// Writes the policies in force. Those of the configuration are told for comparison:
/// whether an entry is to live on as it did depends on that.
fn write_policies<W: Write>(
    txn: &mut Txn<'_>,
    writer: &mut Writer<W>,
    form: &Form,
) -> io::Result<()> {
    let rules = txn.shard(0).rules.clone();
    for (slot, policy) in rules.all() {
        let field = PolicyField {
            number: slot,
            is_of_run_time: !form.defined_policies.contains(&policy.name),
            line: &config::policy_line(policy),
        };
        writer.aux(fields::name::POLICY, &field.to_bytes())?;
    }
    Ok(())
}

fn write_nulls<W: Write>(txn: &mut Txn<'_>, writer: &mut Writer<W>) -> io::Result<()> {
    let now_ms = txn.now_ms;
    for index in 0..txn.shards() {
        let hiding = txn.hiding();
        let shard = &*txn.shard(index);
        for slot in 0..=Slot::MAX {
            let nulls = shard.kept(slot).map(|kept| kept.all_nulls());
            for (db, nulls) in nulls.into_iter().flatten() {
                let (mut field, mut result) = (NullField::new(db), Ok(()));
                nulls.each(now_ms, |key, marker| {
                    // Under other rules it is not found any more.
                    let is_found = result.is_ok() && shard.rules.slot_of(key) == slot;
                    if is_found && !hiding.hides_absence(shard, db, slot, key, marker) {
                        field.add(key, marker.until_ms);
                        if let Some(full) = field.take(false) {
                            result = writer.aux(fields::name::NULL, &full);
                        }
                    }
                });
                result?;
                if let Some(rest) = field.take(true) {
                    writer.aux(fields::name::NULL, &rest)?;
                }
            }
        }
    }
    Ok(())
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

/// Where it is written before it takes that place.
fn temporary(settings: &Settings) -> PathBuf {
    path(settings).with_file_name(format!("temp-{}.rdb", std::process::id()))
}

/// Removes what was begun and will not be ended: the process ends before it.
pub fn remove_begun(settings: &Settings) {
    // Mostly there is none.
    let _ = fs::remove_file(temporary(settings));
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
    let (path, temporary) = (path(settings), temporary(settings));
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
    /// Absences that are remembered now.
    pub nulls: u64,
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
    /// It has a library twice, or one that is there already.
    LibraryTwice,
    /// One of its auxiliary fields, of this name, says nothing that makes sense.
    Field(&'static str, Wrong),
}

impl Refusal {
    /// Whether the file is damaged, rather than of another kind or not for this server.
    pub fn is_damage(&self) -> bool {
        use ReadError::{Frame, Sum, Value};
        matches!(self, Refusal::Read(Value(..) | Frame(..) | Sum(..)))
    }
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
            Refusal::LibraryTwice => f.write_str("RDB has a library of functions twice"),
            Refusal::Field(name, Wrong::Damaged(what)) => {
                write!(f, "The RDB's auxiliary field '{name}' is damaged: {what}")
            }
            Refusal::Field(name, Wrong::Version(version)) => write!(
                f,
                "Can't handle version {version} of the RDB's auxiliary field '{name}' \
                 (rdb-version-check relaxed skips it)"
            ),
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
    read_file_watched(txn, path, rules, databases, present, None)
}

/// The same, told how far it is.
pub fn read_file_watched(
    txn: &mut Txn<'_>,
    path: &Path,
    rules: &Rules,
    databases: u32,
    present: Present,
    progress: Option<&Progress>,
) -> Result<Summary, Refusal> {
    let file = File::open(path).map_err(Refusal::Open)?;
    let Some(progress) = progress else {
        let source = BufReader::with_capacity(BUFFER_BYTES, file);
        return read_watched(txn, source, rules, databases, present, None);
    };
    progress.begin(file.metadata().map_or(0, |data| data.len()));
    let source = BufReader::with_capacity(BUFFER_BYTES, Counted::new(file, progress));
    read_watched(txn, source, rules, databases, present, Some(progress))
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
    read_watched(txn, source, rules, databases, present, None)
}

/// The same, told what the snapshot says of its size.
pub fn read_watched<R: Read>(
    txn: &mut Txn<'_>,
    source: R,
    rules: &Rules,
    databases: u32,
    present: Present,
    progress: Option<&Progress>,
) -> Result<Summary, Refusal> {
    let reader = Reader::begin(source, rules)?;
    let before = txn.db;
    txn.db = 0;
    txn.note_empty_shards();
    let mut loading = Loading {
        databases,
        present,
        is_strict: rules.is_strict,
        key_delay_us: rules.key_delay_us,
        keys_to_delay: 0,
        progress,
        policies: HashMap::new(),
        note: None,
        summary: Summary::default(),
    };
    let result = loading.read_all(txn, reader);
    txn.end_restoring();
    txn.db = before;
    result.map(|()| loading.summary)
}

/// A snapshot that is being read.
struct Loading<'p> {
    databases: u32,
    present: Present,
    /// What is of a version that nobody knows yet is refused.
    is_strict: bool,
    /// See [`Rules::key_delay_us`].
    key_delay_us: i64,
    /// Keys since one was waited for.
    keys_to_delay: i64,
    /// Who is told how far it is.
    progress: Option<&'p Progress>,
    /// Its policies by their numbers.
    policies: HashMap<u8, Policy>,
    /// What is known of the next entry.
    note: Option<NoteField>,
    summary: Summary,
}

impl Loading<'_> {
    fn read_all<R: Read>(
        &mut self,
        txn: &mut Txn<'_>,
        mut reader: Reader<R>,
    ) -> Result<(), Refusal> {
        while let Some(piece) = reader.next_piece()? {
            let note = self.note.take();
            let is_of_entry = matches!(piece, Piece::Entry { .. } | Piece::EmptyKey(_));
            if note.is_some() && !is_of_entry {
                return Err(no_entry());
            }
            self.take(txn, piece, note)?;
            if self.note.is_none() {
                txn.let_go();
            }
        }
        match self.note {
            Some(_) => Err(no_entry()),
            None => Ok(()),
        }
    }

    fn take(
        &mut self,
        txn: &mut Txn<'_>,
        piece: Piece,
        note: Option<NoteField>,
    ) -> Result<(), Refusal> {
        match piece {
            Piece::Aux(name, value) if name == b"repl-stream-db" => {
                let number = std::str::from_utf8(&value).ok();
                self.summary.stream_db = number.and_then(|n| n.parse().ok());
            }
            Piece::Aux(name, value) if name == b"used-mem" => {
                let bytes = std::str::from_utf8(&value).ok();
                if let (Some(progress), Some(Ok(bytes))) =
                    (self.progress, bytes.map(str::parse::<u64>))
                {
                    progress.memory_bytes.store(bytes, Ordering::Relaxed);
                }
            }
            Piece::Aux(name, value) => self.take_field(txn, &name, &value)?,
            Piece::Function(text) => {
                let replaces = self.present == Present::Replaced;
                if !txn.libraries().add(&text, replaces) {
                    return Err(Refusal::LibraryTwice);
                }
            }
            Piece::Database(number) => txn.db = self.database(number)?,
            Piece::EmptyKey(key) => {
                self.summary.empty += 1;
                crate::warning!(
                    "Loading the RDB, skipping empty key: {}",
                    key.escape_ascii()
                );
            }
            Piece::Entry {
                key,
                mut value,
                deadline,
                usage,
            } => {
                if self.key_delay_us != 0 {
                    self.delay(txn);
                }
                let key = Key::of(&key);
                if txn.is_over(&key, deadline, note.as_ref().map(|field| &field.note)) {
                    self.summary.expired += 1;
                    return Ok(());
                }
                if let Loaded::Object(object) = &mut value
                    && object.due_ms().is_some_and(|ms| txn.is_past(ms))
                {
                    object.expire(txn.now_ms, usize::MAX, |_| {});
                    if object.is_empty() {
                        self.summary.expired += 1;
                        return Ok(());
                    }
                }
                self.take_entry(txn, &key, value, deadline, usage, note)?;
            }
        }
        Ok(())
    }

    /// Tests want it slower.
    #[cold]
    fn delay(&mut self, txn: &mut Txn<'_>) {
        let us = match self.key_delay_us {
            us @ 1.. => us as u64,
            each => {
                self.keys_to_delay += 1;
                if self.keys_to_delay < -each {
                    return;
                }
                self.keys_to_delay = 0;
                1
            }
        };
        txn.let_go();
        std::thread::sleep(Duration::from_micros(us));
    }

    fn database(&self, number: u64) -> Result<u32, Refusal> {
        match u32::try_from(number) {
            Ok(db) if db < self.databases => Ok(db),
            _ => Err(Refusal::Database(number)),
        }
    }

    fn take_entry(
        &mut self,
        txn: &mut Txn<'_>,
        key: &Key<'_>,
        value: Loaded,
        deadline: Option<u64>,
        usage: Option<Usage>,
        field: Option<NoteField>,
    ) -> Result<(), Refusal> {
        if self.present == Present::Refused && txn.find(key).is_some() {
            return Err(Refusal::Twice(key.bytes.to_vec(), txn.db));
        }
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
        let kept = match &field {
            Some(field) => Some(RestoredNote {
                policy: self.policy(field.policy)?,
                is_unsettled: field.is_unsettled,
                is_graceful: field.is_graceful,
                note: &field.note,
                tags: &field.tags,
            }),
            None => None,
        };
        value.with_new_value(|value| {
            let entry = Restored {
                value,
                deadline,
                access,
                kept,
            };
            txn.restore(key, entry);
        });
        self.summary.keys += 1;
        Ok(())
    }

    /// The policy of a number; 0 is none.
    fn policy(&self, number: u8) -> Result<Option<&Policy>, Refusal> {
        match (number, self.policies.get(&number)) {
            (0, _) => Ok(None),
            // It may have been skipped.
            (_, None) if !self.is_strict => Ok(None),
            (_, None) => {
                let why = format!("it names policy {number}, which is not there");
                Err(Refusal::Field(fields::name::NOTE, Wrong::Damaged(why)))
            }
            (_, policy) => Ok(policy),
        }
    }

    fn take_field(&mut self, txn: &mut Txn<'_>, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let own = [fields::name::POLICY, fields::name::NOTE, fields::name::NULL];
        let Some(name) = own.into_iter().find(|own| own.as_bytes() == name) else {
            note_aux(name, value);
            return Ok(());
        };
        let taken = match name {
            fields::name::POLICY => self.take_policy(txn, value),
            fields::name::NOTE => NoteField::from_bytes(value).map(|field| {
                self.note = Some(field);
            }),
            _ => self.take_nulls(txn, value),
        };
        match taken {
            Err(Wrong::Version(version)) if !self.is_strict => {
                crate::warning!(
                    "The RDB's auxiliary field '{name}' of version {version} is skipped"
                );
                Ok(())
            }
            taken => taken.map_err(|wrong| Refusal::Field(name, wrong)),
        }
    }

    /// A policy that only the snapshot has is put in force; of two with one name that
    /// which is there wins, as the configuration's does.
    fn take_policy(&mut self, txn: &mut Txn<'_>, value: &[u8]) -> Result<(), Wrong> {
        let field = PolicyField::from_bytes(value)?;
        let policy = match config::policy_of_line(field.line) {
            Some(Ok(policy)) => policy,
            Some(Err(why)) => return Err(Wrong::Damaged(why)),
            None => return Err(Wrong::Damaged("it is no policy".into())),
        };
        if field.is_of_run_time && txn.adopt_policy(&policy).is_err() {
            crate::warning!(
                "The RDB's policy '{}' is left out: there are too many",
                policy.name
            );
        }
        self.policies.insert(field.number, policy);
        Ok(())
    }

    fn take_nulls(&mut self, txn: &mut Txn<'_>, value: &[u8]) -> Result<(), Wrong> {
        let mut nulls = Nulls::from_bytes(value)?;
        if nulls.db >= self.databases {
            return Err(Wrong::Damaged(format!("there is no database {}", nulls.db)));
        }
        let before = std::mem::replace(&mut txn.db, nulls.db);
        let result = loop {
            match nulls.next_marker() {
                Ok(Some((key, until_ms))) => {
                    self.summary.nulls += u64::from(txn.restore_null(&Key::of(key), until_ms));
                }
                Ok(None) => break Ok(()),
                Err(wrong) => break Err(wrong),
            }
        };
        txn.db = before;
        result
    }
}

/// A note stands before something that is no entry.
fn no_entry() -> Refusal {
    let why = "no entry follows it".into();
    Refusal::Field(fields::name::NOTE, Wrong::Damaged(why))
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
        "cache.policy set p p:* ttl 1h stale 1h null-value NONE tag t",
        "set p:1 v",
        "set p:2 NONE",
        "cache.null p:3 ex 1000",
        "select 0",
        "cache.set p:4 v tags 2 a b",
        "cache.set other v tags 1 a",
        "cache.null p:5 ex 1000",
        "cache.null absent ex 1000",
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
        assert_eq!((summary.keys, summary.nulls), (3016, 3));
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
        assert_eq!(again.expect("a snapshot").keys, 3016);
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
    fn fields_that_are_over_stay_away_and_so_does_a_hash_of_nothing_else() {
        let mut one = kit();
        clock::freeze(1_800_000_000_000);
        for key in ["all", "some"] {
            one.run(&format!("hsetex {key} px 10 fields 1 f v"));
        }
        one.run("hset some lasting v");
        let bytes = written(&one, rdb::VERSION).expect("memory");
        clock::freeze(1_800_000_000_010);
        let mut other = kit();
        let summary = read_into(&other, &bytes, Present::Refused).expect("a snapshot");
        assert_eq!((summary.keys, summary.expired), (1, 1));
        assert_eq!(other.run("exists all"), ":0\r\n");
        assert_eq!(other.run("hlen some"), ":1\r\n");
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

    /// A snapshot of nothing but auxiliary fields, and an entry behind them.
    fn with_fields(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), rdb::VERSION, true, true).expect("memory");
        for (name, value) in fields {
            writer.aux(name, value).expect("memory");
        }
        let value = crate::store::entry::Value::Int(1);
        writer.entry(b"k", value, None, None).expect("memory");
        writer.end().expect("memory")
    }

    #[test]
    fn fields_that_make_no_sense_are_refused_and_say_why() {
        let note = |policy: u8, tags: usize| {
            let mut note = vec![0; 25 + 8 * tags];
            (note[0], note[1]) = (1, policy);
            note
        };
        let none_follows = [note(0, 0), Vec::new()].concat();
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            (
                "larder-note",
                vec![],
                "'larder-note' is damaged: it is empty",
            ),
            (
                "larder-note",
                note(0, 0)[..24].into(),
                "is damaged: it is cut short",
            ),
            (
                "larder-note",
                note(0, 65),
                "more tags than an entry may have",
            ),
            (
                "larder-note",
                note(7, 0),
                "it names policy 7, which is not there",
            ),
            (
                "larder-note",
                vec![9],
                "Can't handle version 9 of the RDB's auxiliary field",
            ),
            (
                "larder-policy",
                vec![1, 0, 0],
                "a policy has a number from 1",
            ),
            (
                "larder-policy",
                b"\x01\x01\x00set p".to_vec(),
                "it is no policy",
            ),
            (
                "larder-policy",
                b"\x01\x01\x00policy p".to_vec(),
                "a policy has a name and a pattern",
            ),
            ("larder-null", vec![1, 0, 0], "is damaged: it is cut short"),
            (
                "larder-null",
                vec![1, 16, 0, 0, 0],
                "there is no database 16",
            ),
            (
                "larder-null",
                [&[1, 0, 0, 0, 0][..], &[255; 10]].concat(),
                "a marker's key is cut short",
            ),
        ];
        for (name, value, says) in cases {
            let bytes = with_fields(&[(name, &value)]);
            let refusal = read_into(&kit(), &bytes, Present::Refused).expect_err(says);
            assert!(refusal.to_string().contains(says), "{says}: {refusal}");
        }
        let twice = [
            ("larder-note", &none_follows[..]),
            ("larder-note", &none_follows[..]),
        ];
        let refusal = read_into(&kit(), &with_fields(&twice), Present::Refused);
        let refusal = refusal.expect_err("the first has no entry").to_string();
        assert!(refusal.ends_with("no entry follows it"), "{refusal}");
        // What is newer is skipped by who says that it may be.
        let relaxed = Kit::with(&["--rdb-version-check", "relaxed"]);
        let newer = with_fields(&[("larder-note", &[9, 9]), ("larder-policy", &[9])]);
        let summary = read_into(&relaxed, &newer, Present::Refused).expect("a snapshot");
        assert_eq!(summary.keys, 1);
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
