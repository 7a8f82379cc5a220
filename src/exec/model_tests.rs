//! Several clients at once against one engine, each beside a model of what it
//! must be answered. The tables' segments are tiny here, so that they grow,
//! split and merge all the time.
//!
//! A test that fails says its seed; `SEED=… cargo test model_tests` begins with
//! it again, though threads take turns as they like.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;

use super::sweep;
use crate::base::clock::{self, random_below};
use crate::base::num;
use crate::command::testkit::{Contents, Kit};
use crate::store::memory;

const WORKERS: usize = 4;
const START_MS: u64 = 1_800_000_000_000;

type Words = Vec<Vec<u8>>;

fn words(line: &str) -> Words {
    line.split(' ').map(|w| w.into()).collect()
}

fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    given.unwrap_or_else(|| clock::random() >> 32)
}

fn pick<T: Copy>(of: &[T]) -> T {
    of[random_below(of.len() as u64) as usize]
}

/// Runs a closure for each worker, on threads of their own, each with its own
/// random numbers.
fn on_threads<R: Send>(seed: u64, run: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let run = &run;
    thread::scope(|scope| {
        let start = |n: usize| {
            scope.spawn(move || {
                clock::reseed(seed + n as u64);
                run(n)
            })
        };
        let threads: Vec<_> = (0..WORKERS).map(start).collect();
        let end = |t: thread::ScopedJoinHandle<'_, R>| match t.join() {
            Ok(result) => result,
            Err(_) => panic!("a thread failed: SEED={seed}"),
        };
        threads.into_iter().map(end).collect()
    })
}

// ----- keys of one's own ------------------------------------------------------

/// Keys of each client.
const KEYS: u64 = 400;
const ROUNDS: u64 = 120;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    value: Vec<u8>,
    deadline: Option<u64>,
}

/// What one client's keys must be, and what its commands must answer.
struct Model {
    rows: BTreeMap<Vec<u8>, Row>,
    prefix: usize,
    now_ms: u64,
}

fn bulk(value: Option<&[u8]>) -> Vec<u8> {
    match value {
        None => b"$-1\r\n".to_vec(),
        Some(v) => [format!("${}\r\n", v.len()).as_bytes(), v, b"\r\n"].concat(),
    }
}

fn int(n: i64) -> Vec<u8> {
    format!(":{n}\r\n").into_bytes()
}

fn ok() -> Vec<u8> {
    b"+OK\r\n".to_vec()
}

fn number(word: &[u8]) -> i64 {
    num::parse_i64(word).expect("the test's own number")
}

impl Model {
    /// The time has come to `now_ms`.
    fn pass(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.rows
            .retain(|_, row| row.deadline.is_none_or(|ms| ms > now_ms));
    }

    fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.rows.get(key).map(|row| row.value.as_slice())
    }

    fn set(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let (key, value, options) = (&words[1], &words[2], &words[3..]);
        let has = |name: &[u8]| options.iter().any(|o| o == name);
        let before = self.rows.get(key).cloned();
        let refused = has(b"NX") && before.is_some() || has(b"XX") && before.is_none();
        if !refused {
            let deadline = if has(b"PX") {
                let ms = options.last().map(|w| number(w)).expect("a time");
                Some(self.now_ms + ms as u64)
            } else {
                let kept = has(b"KEEPTTL").then_some(before.as_ref());
                kept.flatten().and_then(|row| row.deadline)
            };
            let value = value.clone();
            self.rows.insert(key.clone(), Row { value, deadline });
        }
        match (has(b"GET"), refused) {
            (true, _) => bulk(before.as_ref().map(|row| row.value.as_slice())),
            (false, true) => bulk(None),
            (false, false) => ok(),
        }
    }

    fn increment(&mut self, key: &[u8], by: i64) -> Vec<u8> {
        let Some(n) = self.value(key).map_or(Some(0), num::parse_i64) else {
            return b"-ERR value is not an integer or out of range\r\n".to_vec();
        };
        let Some(n) = n.checked_add(by) else {
            return b"-ERR increment or decrement would overflow\r\n".to_vec();
        };
        self.row(key).value = n.to_string().into_bytes();
        int(n)
    }

    fn row(&mut self, key: &[u8]) -> &mut Row {
        self.rows.entry(key.to_vec()).or_insert(Row {
            value: Vec::new(),
            deadline: None,
        })
    }

    /// Does what a command does, and says what it answers.
    fn run(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let keys = &words[1..];
        match words[0].as_slice() {
            b"GET" => bulk(self.value(&keys[0])),
            b"SET" => self.set(words),
            b"GETDEL" => bulk(self.rows.remove(&keys[0]).as_ref().map(|r| &r.value[..])),
            b"DEL" | b"UNLINK" => {
                let gone = keys.iter().filter(|k| self.rows.remove(*k).is_some());
                int(gone.count() as i64)
            }
            b"EXISTS" => int(keys.iter().filter(|k| self.rows.contains_key(*k)).count() as i64),
            b"STRLEN" => int(self.value(&keys[0]).map_or(0, <[u8]>::len) as i64),
            b"INCRBY" => self.increment(&keys[0], number(&keys[1])),
            b"APPEND" => {
                let row = self.row(&keys[0]);
                row.value.extend_from_slice(&keys[1]);
                int(row.value.len() as i64)
            }
            b"PEXPIRE" => {
                let ms = number(&keys[1]);
                let deadline = self.now_ms.saturating_add_signed(ms);
                let Some(row) = self.rows.get_mut(&keys[0]) else {
                    return int(0);
                };
                row.deadline = Some(deadline);
                self.pass(self.now_ms);
                int(1)
            }
            b"PERSIST" => {
                let row = self.rows.get_mut(&keys[0]);
                int(row.and_then(|r| r.deadline.take()).is_some().into())
            }
            b"PTTL" => int(match self.rows.get(&keys[0]).map(|r| r.deadline) {
                None => -2,
                Some(None) => -1,
                Some(Some(ms)) => (ms - self.now_ms) as i64,
            }),
            b"RENAME" => match self.rows.remove(&keys[0]) {
                None => b"-ERR no such key\r\n".to_vec(),
                Some(row) => {
                    self.rows.insert(keys[1].clone(), row);
                    ok()
                }
            },
            b"MSET" => {
                for pair in keys.chunks(2) {
                    let (value, deadline) = (pair[1].clone(), None);
                    self.rows.insert(pair[0].clone(), Row { value, deadline });
                }
                ok()
            }
            b"MGET" => {
                let values = keys.iter().flat_map(|k| bulk(self.value(k)));
                let head = format!("*{}\r\n", keys.len()).into_bytes();
                head.into_iter().chain(values).collect()
            }
            other => panic!("no model of {}", other.escape_ascii()),
        }
    }

    // ----- what to run ----------------------------------------------------

    /// Often one of a few keys, else one of many.
    fn key(&self) -> Vec<u8> {
        let few = random_below(3) > 0;
        self.key_at(random_below(if few { 8 } else { KEYS }))
    }

    fn key_at(&self, n: u64) -> Vec<u8> {
        let mut key = format!("{}:{n}", self.prefix).into_bytes();
        if n.is_multiple_of(16) {
            key.resize(300, b'.');
        }
        key
    }

    /// Keys side by side, so many that segments split and merge.
    fn run_of_keys(&self) -> Vec<Vec<u8>> {
        let from = random_below(KEYS);
        (from..from + 80).map(|n| self.key_at(n % KEYS)).collect()
    }

    fn some_value() -> Vec<u8> {
        match random_below(12) {
            0..4 => random_below(1000).to_string().into_bytes(),
            4 => i64::MAX.to_string().into_bytes(),
            5 => Vec::new(),
            6 => vec![b'e'; random_below(1500) as usize],
            7 => vec![b'b'; 15_000 + random_below(4000) as usize],
            _ => format!("value {}", random_below(1 << 40)).into_bytes(),
        }
    }

    fn some_ms() -> Vec<u8> {
        let ms = pick(&[1, 5, 40, 300, 2_000, 50_000, 3_000_000, 900_000_000]);
        (1 + random_below(ms)).to_string().into_bytes()
    }

    fn some_set(&self) -> Words {
        let mut words = vec![b"SET".to_vec(), self.key(), Model::some_value()];
        for option in [pick(&["", "", "", "NX", "XX"]), pick(&["", "", "GET"])] {
            words.extend((!option.is_empty()).then(|| option.into()));
        }
        match random_below(4) {
            0 => words.extend([b"PX".to_vec(), Model::some_ms()]),
            1 => words.push(b"KEEPTTL".to_vec()),
            _ => {}
        }
        words
    }

    fn some_command(&self) -> Words {
        let name = |name: &str| name.as_bytes().to_vec();
        match random_below(24) {
            0..5 => self.some_set(),
            5..8 => vec![name("GET"), self.key()],
            8..10 => {
                let by = pick(&["1", "-1", "700", "9223372036854775807"]);
                vec![name("INCRBY"), self.key(), name(by)]
            }
            10 | 11 => vec![name("APPEND"), self.key(), Model::some_value()],
            12 | 13 => vec![name("PEXPIRE"), self.key(), Model::some_ms()],
            14 => vec![name("PEXPIRE"), self.key(), name(pick(&["0", "-5"]))],
            15 => vec![name("PERSIST"), self.key()],
            16 => vec![name("PTTL"), self.key()],
            17 | 18 => vec![name("RENAME"), self.key(), self.key()],
            19 => vec![name(pick(&["GETDEL", "STRLEN"])), self.key()],
            20 => {
                let mut words = vec![name("MSET")];
                let pairs = self.run_of_keys().into_iter();
                words.extend(pairs.flat_map(|k| [k, Model::some_value()]));
                words
            }
            21 => [vec![name(pick(&["DEL", "UNLINK"]))], self.run_of_keys()].concat(),
            22 => [vec![name(pick(&["MGET", "EXISTS"]))], self.run_of_keys()].concat(),
            _ => vec![name("DEL"), self.key(), self.key()],
        }
    }

    /// Commands, and what they must answer: some of them within MULTI.
    fn some_batch(&mut self) -> (Vec<Words>, Vec<u8>) {
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..1 + random_below(40) {
            if random_below(12) > 0 {
                let command = self.some_command();
                expected.extend(self.run(&command));
                commands.push(command);
                continue;
            }
            let queued: Vec<Words> = (0..random_below(6)).map(|_| self.some_command()).collect();
            let runs = random_below(4) > 0;
            commands.push(words("MULTI"));
            expected.extend(ok());
            expected.extend(b"+QUEUED\r\n".repeat(queued.len()));
            if runs {
                expected.extend(format!("*{}\r\n", queued.len()).into_bytes());
                expected.extend(queued.iter().flat_map(|q| self.run(q)));
            } else {
                expected.extend(ok());
            }
            commands.extend(queued);
            commands.push(words(if runs { "EXEC" } else { "DISCARD" }));
        }
        (commands, expected)
    }
}

/// The time of a round: it passes a little, or much.
fn time_of(round: u64) -> u64 {
    let step = |r: u64| [7, 31, 32, 250, 1_000, 3_000, 40_000, 1_000_000][(r * 5 % 8) as usize];
    START_MS + (0..round).map(step).sum::<u64>()
}

/// Looks after deadlines, and asks what takes the whole keyspace.
fn disturb(kit: &mut Kit, shards: impl Iterator<Item = usize>) {
    for shard in shards {
        while sweep::slice(&kit.engine, 0, shard) {}
    }
    for line in ["DBSIZE", "KEYS nothing*", "SCAN 0 COUNT 100", "RANDOMKEY"] {
        assert_ne!(kit.pipeline(&[words(line)])[0], b'-', "{line}");
    }
    let elsewhere = ["SELECT 1", "SET 0:0 there", "FLUSHDB", "SELECT 0"].map(words);
    assert_eq!(kit.pipeline(&elsewhere), ok().repeat(4));
}

#[test]
fn every_client_finds_its_own_keys_as_it_left_them() {
    let seed = seed();
    let kit = Kit::of_workers(WORKERS, &[]);
    // Time passes for all at once, so that no sweep runs ahead of a client.
    let barrier = Barrier::new(WORKERS);
    let models = on_threads(seed, |n| {
        let mut kit = kit.another_of(n);
        let mut other = kit.another_of(n);
        let mut model = Model {
            rows: BTreeMap::new(),
            prefix: n,
            now_ms: 0,
        };
        let mut failure = None;
        for round in 0..ROUNDS {
            clock::freeze(time_of(round));
            model.pass(time_of(round));
            // Who fails waits with the others all the same, so that they end.
            let run = AssertUnwindSafe(|| {
                for _ in 0..3 {
                    let (commands, expected) = model.some_batch();
                    let replies = kit.pipeline(&commands);
                    assert!(
                        replies == expected,
                        "{:?}\nanswered {}\ninstead of {}",
                        commands,
                        replies.escape_ascii(),
                        expected.escape_ascii()
                    );
                }
                let shards = kit.engine.keyspace.len();
                disturb(&mut other, (n..shards).step_by(WORKERS));
            });
            if failure.is_none() {
                failure = catch_unwind(run).err();
            }
            barrier.wait();
        }
        clock::freeze(0);
        assert!(failure.is_none(), "SEED={seed}");
        model
    });
    clock::freeze(time_of(ROUNDS - 1));
    for shard in 0..kit.engine.keyspace.len() {
        while sweep::slice(&kit.engine, 0, shard) {}
    }
    clock::freeze(0);
    let mut expected = Contents::new();
    for (key, row) in models.into_iter().flat_map(|m| m.rows) {
        expected.insert((0, key), (row.value, row.deadline));
    }
    let held = kit.contents();
    let live = held.into_iter().filter(|(_, (_, deadline))| {
        // A sweep may be a tick behind.
        deadline.is_none_or(|ms| ms > time_of(ROUNDS - 1))
    });
    assert!(live.collect::<Contents>() == expected, "SEED={seed}");
}

// ----- keys that all share ----------------------------------------------------

const ACCOUNTS: u64 = 6;
const FUNDS: i64 = 1000;

fn account(n: u64) -> String {
    format!("account:{n}")
}

/// The numbers of a reply: an array of bulk strings.
fn numbers(reply: &[u8]) -> Vec<i64> {
    let text = std::str::from_utf8(reply).expect("digits");
    let lines = text.split("\r\n");
    let numbers = lines.filter(|l| !l.is_empty() && !l.starts_with(['$', '*', '+']));
    numbers.map(|l| l.parse().expect("a number")).collect()
}

/// Reads two accounts and writes both, if nobody else did in between.
fn transfer_watching(kit: &mut Kit, from: u64, to: u64, amount: i64) -> bool {
    let (from, to) = (account(from), account(to));
    kit.pipeline(&[words(&format!("WATCH {from} {to}"))]);
    let held = numbers(&kit.pipeline(&[words(&format!("MGET {from} {to}"))]));
    let reply = kit.pipeline(&[
        words("MULTI"),
        words(&format!("SET {from} {}", held[0] - amount)),
        words(&format!("SET {to} {}", held[1] + amount)),
        words("EXEC"),
    ]);
    let is_done = reply.ends_with(b"*2\r\n+OK\r\n+OK\r\n");
    assert!(
        is_done || reply.ends_with(b"*-1\r\n"),
        "{}",
        reply.escape_ascii()
    );
    is_done
}

fn transfer_at_once(kit: &mut Kit, from: u64, to: u64, amount: i64) {
    let reply = kit.pipeline(&[
        words("MULTI"),
        words(&format!("DECRBY {} {amount}", account(from))),
        words(&format!("INCRBY {} {amount}", account(to))),
        words("EXEC"),
    ]);
    let is_done = reply.starts_with(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:");
    assert!(is_done, "{}", reply.escape_ascii());
}

fn sum_of_accounts(kit: &mut Kit) -> i64 {
    let all: Vec<String> = (0..ACCOUNTS).map(account).collect();
    let gets = all.iter().map(|a| words(&format!("GET {a}")));
    let reply = match random_below(2) {
        0 => kit.pipeline(&[words(&format!("MGET {}", all.join(" ")))]),
        // The same, with the whole keyspace locked.
        _ => {
            let commands: Vec<Words> = [words("MULTI")]
                .into_iter()
                .chain(gets)
                .chain([words("KEYS nothing"), words("EXEC")])
                .collect();
            let reply = kit.pipeline(&commands);
            let at = reply.windows(4).position(|w| w == b"*7\r\n");
            reply[at.expect("EXEC's array")..].to_vec()
        }
    };
    let held = numbers(&reply);
    assert_eq!(held.len() as u64, ACCOUNTS, "{}", reply.escape_ascii());
    held.iter().sum()
}

#[test]
fn no_update_is_lost_and_what_is_moved_is_neither_made_nor_gone() {
    let seed = seed();
    let mut kit = Kit::of_workers(WORKERS, &[]);
    for n in 0..ACCOUNTS {
        kit.run(&format!("SET {} {FUNDS}", account(n)));
    }
    let counted = AtomicI64::new(0);
    let done = AtomicUsize::new(0);
    on_threads(seed, |n| {
        let mut kit = kit.another_of(n);
        for _ in 0..1500 {
            let from = random_below(ACCOUNTS);
            let to = (from + 1 + random_below(ACCOUNTS - 1)) % ACCOUNTS;
            let amount = random_below(50) as i64;
            match random_below(5) {
                0 => {
                    let by: Vec<i64> = (0..20).map(|_| random_below(9) as i64 - 2).collect();
                    let incrby = |by: &i64| words(&format!("INCRBY counter {by}"));
                    kit.pipeline(&by.iter().map(incrby).collect::<Vec<_>>());
                    counted.fetch_add(by.iter().sum(), Ordering::Relaxed);
                }
                1 => transfer_at_once(&mut kit, from, to, amount),
                2 | 3 => {
                    let is_done = transfer_watching(&mut kit, from, to, amount);
                    done.fetch_add(is_done.into(), Ordering::Relaxed);
                }
                _ => assert_eq!(sum_of_accounts(&mut kit), FUNDS * ACCOUNTS as i64),
            }
        }
    });
    assert_eq!(
        sum_of_accounts(&mut kit),
        FUNDS * ACCOUNTS as i64,
        "SEED={seed}"
    );
    let counter = numbers(&kit.pipeline(&[words("MGET counter")]));
    assert_eq!(counter, [counted.into_inner()], "SEED={seed}");
    assert!(done.into_inner() > 0, "SEED={seed}");
}

// ----- too little memory ------------------------------------------------------

/// Writes, appends, removes and reads; whatever a key answers must be what was
/// last written, or nothing.
fn fill(kit: &mut Kit, prefix: usize) {
    let mut written: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for step in 0..6_000u64 {
        let n = random_below(1_500);
        let key = format!("{prefix}:{n}").into_bytes();
        match random_below(10) {
            0..5 => {
                let mut value = format!("{prefix}:{n}:{step}:").into_bytes();
                value.resize(value.len() + random_below(500) as usize, b'.');
                let set = ["SET", "PX"].map(|w| w.as_bytes().to_vec());
                let ms = (1_000_000 + step).to_string().into_bytes();
                let words = vec![set[0].clone(), key, value.clone(), set[1].clone(), ms];
                let reply = kit.pipeline(&[words]);
                if reply == ok() {
                    written.insert(n, value);
                } else {
                    assert!(reply.starts_with(b"-OOM"), "{}", reply.escape_ascii());
                }
            }
            5 => {
                let reply = kit.pipeline(&[vec![b"APPEND".to_vec(), key, b"++".to_vec()]]);
                if !reply.starts_with(b"-OOM") {
                    let before = written.entry(n).or_default();
                    if reply == b":2\r\n" {
                        before.clear();
                    }
                    before.extend_from_slice(b"++");
                    assert_eq!(reply, int(before.len() as i64));
                }
            }
            6 => {
                kit.pipeline(&[vec![b"DEL".to_vec(), key]]);
                written.remove(&n);
            }
            _ => {
                let reply = kit.pipeline(&[vec![b"GET".to_vec(), key]]);
                let held = written.get(&n).map(Vec::as_slice);
                assert!(
                    reply == bulk(held) || reply == bulk(None),
                    "{}:{n} is {}",
                    prefix,
                    reply.escape_ascii()
                );
                if reply == bulk(None) {
                    written.remove(&n);
                }
            }
        }
    }
}

#[test]
fn a_key_under_eviction_is_gone_or_what_was_last_written() {
    let seed = seed();
    for policy in [
        "larder",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-ttl",
    ] {
        // Other tests fill and free memory at the same time: a refusal is no fault.
        let most = (memory::used_bytes() + 400_000).to_string();
        let args = ["--maxmemory", &most, "--maxmemory-policy", policy];
        let kit = Kit::of_workers(WORKERS, &args);
        on_threads(seed, |n| fill(&mut kit.another_of(n), n));
        let shards = 0..kit.engine.keyspace.len();
        let evicted: u64 = shards
            .map(|i| kit.engine.keyspace.lock(i).stats.evicted)
            .sum();
        assert!(evicted > 0, "{policy}: SEED={seed}");
    }
}
