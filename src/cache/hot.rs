//! The hottest keys of policies: found among what is there, and remembered in a file
//! (`warm-file`) for a server that starts with nothing.
//!
//! ```text
//! # Hot keys: database, policy, reads, key
//! 0 courses 1824 "course:17"
//! ```
//!
//! How hot a key is, its reads since it was last written say, or half of what the file
//! said at the last save, whichever is more: so a key stays known that was refilled a
//! moment ago, or left for a while, and is forgotten after some saves.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use crate::base::num;
use crate::config::policy::Mode;
use crate::config::{quote, split};
use crate::exec::engine::Engine;
use crate::store::figures::Figures;
use crate::store::rules::{Rules, Slot, TableId};

/// The longest key that is remembered, in bytes.
const KEY_MAX: usize = 4 * 1024;
/// More of a file is not read, in bytes.
const FILE_MAX: u64 = 1 << 30;
/// Lines of a table that are looked at while its shard is held.
const LINES: usize = 64;
/// What a file begins with.
const HEAD: &[u8] = b"# Hot keys: database, policy, reads, key\n";

/// A key, and how hot it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HotKey {
    /// Reads; see the head of this file.
    pub reads: u64,
    /// The database.
    pub db: u32,
    /// The key.
    pub key: Box<[u8]>,
    /// The policy that it belonged to.
    pub policy: Box<str>,
}

/// Which keys are wanted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Wanted {
    /// Of these policies; of all where there is none.
    pub policies: Vec<Box<str>>,
    /// Read at least so often.
    pub reads_min: u64,
    /// Of policies at least so many percent of whose reads hit. One of which nothing was
    /// read yet counts as well.
    pub hit_percent_min: f64,
}

/// The policies that are wanted, by slot.
pub struct Chosen([bool; 256]);

impl Chosen {
    /// Those of them that are in force. Takes shards' locks, so none may be held.
    pub fn new(engine: &Engine, wanted: &Wanted) -> Chosen {
        let rules = engine.keyspace.rules();
        let mut chosen = [false; 256];
        for (slot, policy) in rules.all() {
            let is_named = wanted.policies.is_empty() || wanted.policies.contains(&policy.name);
            chosen[usize::from(slot)] = is_named && policy.mode == Mode::Yes;
        }
        if wanted.hit_percent_min > 0.0 {
            for (slot, is_chosen) in chosen.iter_mut().enumerate().filter(|(_, c)| **c) {
                let hits = hit_percent(engine, slot as Slot);
                *is_chosen = hits.is_none_or(|percent| percent >= wanted.hit_percent_min);
            }
        }
        Chosen(chosen)
    }

    /// Whether the policy of a slot is one of them; slot 0 never is.
    pub fn has(&self, slot: Slot) -> bool {
        self.0[usize::from(slot)]
    }
}

/// How many of a hundred reads of a policy hit; `None` where there was none.
fn hit_percent(engine: &Engine, slot: Slot) -> Option<f64> {
    let mut all = Figures::default();
    for shard in 0..engine.keyspace.len() {
        if let Some(kept) = engine.keyspace.lock(shard).kept(slot) {
            all.merge(&kept.figures);
        }
    }
    let requests = all.requests();
    let hits = requests - all.missed();
    (requests > 0).then(|| hits as f64 * 100.0 / requests as f64)
}

/// A walk over all that is there, in slices.
pub struct Walk {
    chosen: Chosen,
    reads_min: u64,
    most: usize,
    shard: usize,
    /// The table, and where in it to go on; from the first one on where there is none.
    at: Option<(TableId, u32, u64)>,
    /// The hottest so far, the least hot of them on top.
    hottest: BinaryHeap<Reverse<HotKey>>,
}

impl Walk {
    /// From the beginning, for at most so many keys.
    pub fn new(chosen: Chosen, reads_min: u64, most: usize) -> Walk {
        Walk {
            chosen,
            // What nobody reads is not hot.
            reads_min: reads_min.max(1),
            most,
            shard: 0,
            at: None,
            hottest: BinaryHeap::new(),
        }
    }

    /// Goes on a little; false at the end. Takes shards' locks, so none may be held.
    pub fn slice(&mut self, engine: &Engine) -> bool {
        if self.shard >= engine.keyspace.len() {
            return false;
        }
        let shard = engine.keyspace.lock(self.shard);
        let last = self.at.map(|(id, db, _)| (id, db));
        // The same table, or the next one, whatever has come and gone.
        let tables = shard.tables().filter(|(_, id, table)| {
            self.chosen.has(id.slot()) && !id.is_sentinels() && !table.is_empty()
        });
        let next = tables
            .filter(|(db, id, _)| last.is_none_or(|last| (*id, *db) >= last))
            .min_by_key(|(db, id, _)| (*id, *db));
        let Some((db, id, table)) = next else {
            self.shard += 1;
            self.at = None;
            return self.shard < engine.keyspace.len();
        };
        let mut cursor = match self.at {
            Some((at_id, at_db, cursor)) if (at_id, at_db) == (id, db) => cursor,
            _ => 0,
        };
        let policy = shard.rules.get(id.slot()).map(|policy| &policy.name);
        for _ in 0..LINES {
            let go_on = table.scan(cursor, |entry| {
                let (Some(note), Some(policy)) = (entry.note(), policy) else {
                    return;
                };
                let reads = u64::from(note.reads);
                let floor = match self.hottest.peek() {
                    Some(Reverse(least)) if self.hottest.len() >= self.most => least.reads + 1,
                    _ => self.reads_min,
                };
                if reads < floor.max(self.reads_min) || entry.key().len() > KEY_MAX {
                    return;
                }
                if self.hottest.len() >= self.most {
                    self.hottest.pop();
                }
                self.hottest.push(Reverse(HotKey {
                    reads,
                    db,
                    key: entry.key().into(),
                    policy: policy.clone(),
                }));
            });
            match go_on {
                Some(next) => cursor = next,
                None => {
                    // Behind all databases of this table's kind up to this one.
                    self.at = Some((id, db + 1, 0));
                    return true;
                }
            }
        }
        self.at = Some((id, db, cursor));
        true
    }

    /// What it found.
    pub fn found(self) -> Vec<HotKey> {
        self.hottest.into_iter().map(|Reverse(key)| key).collect()
    }
}

/// What a file said.
#[derive(PartialEq, Debug, Default)]
pub struct Saved {
    /// Its keys.
    pub keys: Vec<HotKey>,
    /// Lines that could not be read.
    pub wrong: usize,
}

/// Reads a file, at most so many keys of it. What is wrong in it costs its line alone.
pub fn read(path: &Path, most: usize) -> io::Result<Saved> {
    let mut lines = BufReader::new(File::open(path)?.take(FILE_MAX));
    let mut saved = Saved::default();
    let mut line = Vec::new();
    while saved.keys.len() < most {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = line.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        match parse(text) {
            Some(key) => saved.keys.push(key),
            None => saved.wrong += 1,
        }
    }
    Ok(saved)
}

fn parse(line: &[u8]) -> Option<HotKey> {
    let words = split(line).ok()?;
    let [db, policy, reads, key] = &words[..] else {
        return None;
    };
    if key.len() > KEY_MAX {
        return None;
    }
    Some(HotKey {
        reads: num::parse_u64(reads)?,
        db: u32::try_from(num::parse_u64(db)?).ok()?,
        key: key[..].into(),
        policy: str::from_utf8(policy).ok()?.into(),
    })
}

/// What is hot by what was found and by what a file said: at most so many, the hottest
/// first.
pub fn merge(found: Vec<HotKey>, saved: Vec<HotKey>, most: usize) -> Vec<HotKey> {
    let mut all: HashMap<(u32, Box<[u8]>), HotKey> = HashMap::new();
    for key in found.into_iter().chain(saved) {
        let name = (key.db, key.key.clone());
        let known = all.entry(name).or_insert_with(|| key.clone());
        known.reads = known.reads.max(key.reads);
    }
    let mut all: Vec<HotKey> = all.into_values().filter(|key| key.reads > 0).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.truncate(most);
    all
}

/// Brings a file up to date with what was found, in one step: whoever reads it meanwhile,
/// or after a crash, finds the old or the new one. Returns how many keys it names.
pub fn save(path: &Path, found: Vec<HotKey>, most: usize) -> io::Result<usize> {
    let saved = match read(path, most) {
        Ok(saved) => saved.keys,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    if found.is_empty() && saved.is_empty() {
        return Ok(0);
    }
    let saved = saved.into_iter().map(|key| HotKey {
        reads: key.reads / 2,
        ..key
    });
    let keys = merge(found, saved.collect(), most);
    let mut text = HEAD.to_vec();
    for key in &keys {
        write!(text, "{} {} {} ", key.db, key.policy, key.reads)?;
        quote(&key.key, &mut text);
        text.push(b'\n');
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = write_synced(temporary, &text).and_then(|()| fs::rename(temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(temporary); // the error that matters is the first
    }
    written.map(|()| keys.len())
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Keys by the priority of their policies, high first, and among those as they came.
pub fn by_priority(keys: &mut [(u32, Box<[u8]>)], rules: &Rules) {
    keys.sort_by_cached_key(|(_, key)| {
        let policy = rules.get(rules.slot_of(key));
        Reverse(policy.map(|policy| policy.priority).unwrap_or_default())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;
    use crate::command::testkit::Kit;

    fn hot(db: u32, key: &str, reads: u64) -> HotKey {
        HotKey {
            reads,
            db,
            key: key.as_bytes().into(),
            policy: "p".into(),
        }
    }

    fn walk(kit: &Kit, wanted: &Wanted, most: usize) -> Vec<(u32, String, u64)> {
        let chosen = Chosen::new(&kit.engine, wanted);
        let mut walk = Walk::new(chosen, wanted.reads_min, most);
        while walk.slice(&kit.engine) {}
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let mut found: Vec<_> = walk.found();
        found.sort_by(|a, b| b.cmp(a));
        found
            .iter()
            .map(|k| (k.db, text(&k.key), k.reads))
            .collect()
    }

    /// A file of its own, gone at the end.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new() -> Folder {
            let name = format!("larder-hot-{}", clock::random_hex(16));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).expect("a folder");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_walk_finds_the_hottest_keys_of_policies_in_all_databases() {
        clock::freeze(1_800_000_000_000);
        let mut kit = Kit::new();
        for line in [
            "p a:*",
            "q b:* null-value N",
            "off c:* enabled no",
            "s d:* enabled shadow",
        ] {
            kit.policy(line);
        }
        for i in 0..3_000 {
            kit.run(&format!("set a:{i} v"));
        }
        for (key, reads) in [("a:7", 5), ("a:8", 3), ("c:1", 9), ("d:1", 9), ("plain", 9)] {
            kit.run(&format!("set {key} v"));
            (0..reads).for_each(|_| drop(kit.run(&format!("get {key}"))));
        }
        kit.run("set b:null N");
        kit.run("get b:null");
        kit.run("select 5");
        kit.run("set b:1 v");
        (0..4).for_each(|_| drop(kit.run("get b:1")));
        let found = |key: &str, db, reads| (db, key.to_string(), reads);
        let all = [found("a:7", 0, 5), found("b:1", 5, 4), found("a:8", 0, 3)];
        assert_eq!(walk(&kit, &Wanted::default(), 100), all);
        assert_eq!(walk(&kit, &Wanted::default(), 2), all[..2]);
        let wanted = Wanted {
            policies: vec!["p".into()],
            reads_min: 4,
            ..Wanted::default()
        };
        assert_eq!(walk(&kit, &wanted, 100), all[..1]);
    }

    #[test]
    fn a_policy_whose_reads_seldom_hit_is_left_out() {
        let mut kit = Kit::new();
        kit.policy("good a:*");
        kit.policy("bad b:*");
        kit.policy("unread c:*");
        for line in ["set a:1 v", "set b:1 v", "get a:1", "get b:1"] {
            kit.run(line);
        }
        (0..9).for_each(|_| drop(kit.run("get b:none")));
        let wanted = Wanted {
            hit_percent_min: 50.0,
            ..Wanted::default()
        };
        let chosen = Chosen::new(&kit.engine, &wanted);
        let rules = kit.engine.keyspace.rules();
        let has = |name: &str| chosen.has(rules.named(name.as_bytes()).expect("a policy").0);
        assert_eq!(
            (has("good"), has("bad"), has("unread")),
            (true, false, true)
        );
        assert!(!chosen.has(0));
    }

    #[test]
    fn a_file_gives_back_what_was_saved_and_forgets_what_leaves() {
        let folder = Folder::new();
        let path = folder.0.join("hot.keys");
        assert_eq!(save(&path, Vec::new(), 9).expect("nothing to do"), 0);
        assert!(!path.exists(), "an empty file says nothing");
        let odd = "sp ace \"quote\" \n \u{e9}";
        let found = vec![hot(0, odd, 7), hot(3, "k", 100), hot(0, "cold", 1)];
        assert_eq!(save(&path, found, 2).expect("saved"), 2);
        let read_back = read(&path, 9).expect("a file");
        assert_eq!(read_back.keys, [hot(3, "k", 100), hot(0, odd, 7)]);
        // One of them was refilled a moment ago, and the other is gone.
        save(&path, vec![hot(3, "k", 1), hot(0, "new", 20)], 9).expect("saved");
        let read_back = read(&path, 9).expect("a file");
        assert_eq!(
            read_back.keys,
            [hot(3, "k", 50), hot(0, "new", 20), hot(0, odd, 3)]
        );
        for _ in 0..7 {
            save(&path, vec![hot(0, "new", 20)], 9).expect("saved");
        }
        assert_eq!(read(&path, 9).expect("a file").keys, [hot(0, "new", 20)]);
        assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 1);
    }

    #[test]
    fn what_is_wrong_in_a_file_costs_its_line_alone() {
        let folder = Folder::new();
        let path = folder.0.join("hot.keys");
        let lines = b"# x\n0 p 3 \"a\"\nnot a line\n0 p 99999999999999999999999 b\n\n-1 p 1 c\n0 p 1 \"open\n0 p \xff d\n0 p 1 e";
        fs::write(&path, lines).expect("written");
        let saved = read(&path, 9).expect("a file");
        assert_eq!(saved.keys, [hot(0, "a", 3), hot(0, "e", 1)]);
        assert_eq!(saved.wrong, 5);
        assert_eq!(read(&path, 1).expect("a file").keys.len(), 1);
        assert!(read(&folder.0.join("none"), 1).is_err());
    }

    #[test]
    fn keys_of_urgent_policies_come_first_in_the_order_in_which_they_were_named() {
        let mut kit = Kit::new();
        kit.policy("low l:* priority low");
        kit.policy("high h:* priority high");
        let names = ["l:1", "n:1", "h:2", "h:1", "n:2"];
        let mut keys: Vec<_> = names.iter().map(|n| (0, n.as_bytes().into())).collect();
        by_priority(&mut keys, &kit.engine.keyspace.rules());
        let sorted: Vec<&[u8]> = keys.iter().map(|(_, key)| &**key).collect();
        assert_eq!(sorted, [b"h:2", b"h:1", b"n:1", b"n:2", b"l:1"]);
    }
}
