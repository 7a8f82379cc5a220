//! A Rust application's session, through the `redis` client crate: what it does with one
//! connection, and with eight at once. The server is the binary that cargo built.

use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Commands, Connection, RedisResult, Value};

const START_DEADLINE: Duration = Duration::from_secs(30);
const EXPIRY_DEADLINE: Duration = Duration::from_secs(30);
const CONNECTIONS: u64 = 8;

/// The server in a process of its own; ended with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Server {
        let binary = env!("CARGO_BIN_EXE_larder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let process = Command::new(binary)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dbfilename", "none.rdb"])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let mut server = Server { process, port };
        server.wait_until_it_answers();
        server
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait().expect("the server's status") {
                panic!("the server ended at once: {status}");
            }
            if self.connect("").is_ok() {
                return;
            }
            assert!(Instant::now() < deadline, "no answer on port {}", self.port);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection; `options` go behind the address, as in `?protocol=resp3`.
    fn connect(&self, options: &str) -> RedisResult<Connection> {
        redis::Client::open(format!("redis://127.0.0.1:{}/{options}", self.port))?.get_connection()
    }

    fn connection(&self) -> Connection {
        self.connect("").expect("a connection")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended by itself already, there is nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_session_sets_reads_counts_and_expires() -> RedisResult<()> {
    let server = Server::start();
    let mut c = server.connection();

    let missing: Option<String> = c.get("missing")?;
    assert_eq!(missing, None);
    let _: () = c.set("greeting", "hello")?;
    let length: usize = c.append("greeting", " world")?;
    assert_eq!(length, 11);
    let greeting: String = c.get("greeting")?;
    assert_eq!(greeting, "hello world");

    let binary: Vec<u8> = (0..=255).collect();
    let _: () = c.set(&binary, &binary)?;
    let same: Vec<u8> = c.get(&binary)?;
    assert_eq!(same, binary);

    let count: i64 = c.incr("count", 41)?;
    assert_eq!(count, 41);
    let count: i64 = c.decr("count", 1)?;
    assert_eq!(count, 40);
    let float: f64 = c.incr("count", 0.5)?;
    assert_eq!(float, 40.5);
    let error = c
        .incr::<_, _, i64>("greeting", 1)
        .expect_err("text is no number");
    assert!(
        error
            .to_string()
            .contains("value is not an integer or out of range"),
        "{error}"
    );

    let _: () = c.mset(&[("a", 1), ("b", 2)])?;
    let values: Vec<Option<i64>> = c.mget(&["a", "b", "missing"])?;
    assert_eq!(values, [Some(1), Some(2), None]);

    let _: () = c.set_ex("session", "open", 1000)?;
    let ttl: i64 = c.ttl("session")?;
    assert!((900..=1000).contains(&ttl), "{ttl}");
    let persisted: bool = c.persist("session")?;
    assert!(persisted);
    let ttl: i64 = c.ttl("session")?;
    assert_eq!(ttl, -1);

    let _: () = c.pset_ex("short", "v", 20)?;
    let deadline = Instant::now() + EXPIRY_DEADLINE;
    while c.exists("short")? {
        assert!(Instant::now() < deadline, "the key does not expire");
        thread::sleep(Duration::from_millis(5));
    }

    let removed: usize = c.del(&["a", "b", "missing"])?;
    assert_eq!(removed, 2);
    Ok(())
}

#[test]
fn a_session_in_resp3_sees_the_same_values() -> RedisResult<()> {
    let server = Server::start();
    let mut c = server.connect("?protocol=resp3")?;

    let _: () = c.set("k", "v")?;
    let value: Option<String> = c.get("k")?;
    assert_eq!(value.as_deref(), Some("v"));
    let missing: Value = redis::cmd("GET").arg("missing").query(&mut c)?;
    assert_eq!(missing, Value::Nil);
    let limits: HashMap<String, String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory")
        .query(&mut c)?;
    assert_eq!(limits.get("maxmemory").map(String::as_str), Some("0"));
    let hello: Value = redis::cmd("HELLO").query(&mut c)?;
    assert!(matches!(hello, Value::Map(_)), "{hello:?}");
    Ok(())
}

#[test]
fn a_pipeline_of_ten_thousand_commands_is_answered_in_order() -> RedisResult<()> {
    let server = Server::start();
    let mut c = server.connection();

    let mut pipeline = redis::pipe();
    for i in 0..5_000_i64 {
        pipeline.set(format!("key:{i}"), i).ignore();
        pipeline.get(format!("key:{i}"));
    }
    let values: Vec<i64> = pipeline.query(&mut c)?;
    assert_eq!(values, (0..5_000).collect::<Vec<i64>>());
    Ok(())
}

#[test]
fn transactions_are_atomic_and_watch_voids_them() -> RedisResult<()> {
    let server = Server::start();
    let mut c = server.connection();
    let mut other = server.connection();

    let (first, second): (i64, i64) = redis::pipe()
        .atomic()
        .incr("n", 1)
        .set("note", "between")
        .ignore()
        .incr("n", 1)
        .query(&mut c)?;
    assert_eq!((first, second), (1, 2));

    let _: () = redis::cmd("WATCH").arg("n").query(&mut c)?;
    let _: () = other.set("n", 100)?;
    let voided: Option<Vec<i64>> = redis::pipe().atomic().incr("n", 1).query(&mut c)?;
    assert_eq!(voided, None);
    let n: i64 = c.get("n")?;
    assert_eq!(n, 100);

    let result: (i64,) = redis::transaction(&mut c, &["n"], |c, pipe| {
        let n: i64 = c.get("n")?;
        pipe.set("n", n + 1).ignore().get("n").query(c)
    })?;
    assert_eq!(result, (101,));
    Ok(())
}

#[test]
fn scan_finds_every_key_and_match_only_its_own() -> RedisResult<()> {
    let server = Server::start();
    let mut c = server.connection();

    let pairs: Vec<(String, usize)> = (0..2_000).map(|i| (format!("key:{i}"), i)).collect();
    let _: () = c.mset(&pairs)?;
    let found: HashSet<String> = c.scan::<String>()?.collect::<Result<_, _>>()?;
    let expected: HashSet<String> = pairs.into_iter().map(|(key, _)| key).collect();
    assert_eq!(found, expected);
    let matched: HashSet<String> = c
        .scan_match::<_, String>("key:199?")?
        .collect::<Result<_, _>>()?;
    assert_eq!(matched, (1990..2000).map(|i| format!("key:{i}")).collect());
    Ok(())
}

#[test]
fn eight_connections_lose_no_update() -> RedisResult<()> {
    const ROUNDS: u64 = 200;
    const DEPTH: u64 = 50;
    let server = Server::start();

    thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let server = &server;
                scope.spawn(move || -> RedisResult<()> {
                    let mut c = server.connect("")?;
                    for round in 0..ROUNDS {
                        let mut pipeline = redis::pipe();
                        for i in 0..DEPTH {
                            pipeline.incr("shared", 1).ignore();
                            pipeline.set(format!("own:{number}:{i}"), round).ignore();
                        }
                        let _: () = pipeline.query(&mut c)?;
                        let own: u64 = c.get(format!("own:{number}:{}", round % DEPTH))?;
                        assert_eq!(own, round);
                    }
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("the thread ends")?;
        }
        RedisResult::Ok(())
    })?;

    let mut c = server.connection();
    let shared: u64 = c.get("shared")?;
    assert_eq!(shared, CONNECTIONS * ROUNDS * DEPTH);
    let keys: usize = redis::cmd("DBSIZE").query(&mut c)?;
    assert_eq!(keys as u64, CONNECTIONS * DEPTH + 1);
    Ok(())
}

#[test]
fn every_family_answers_as_the_client_expects() -> RedisResult<()> {
    let server = Server::start();
    for options in ["", "?protocol=resp3"] {
        let mut c = server.connect(options)?;
        let _: () = redis::cmd("FLUSHALL").query(&mut c)?;

        let _: () = c.rpush("list", &["a", "b", "c"])?;
        let list: Vec<String> = c.lrange("list", 0, -1)?;
        assert_eq!(list, ["a", "b", "c"]);
        let popped: Option<(String, String)> = c.blpop("list", 1.0)?;
        assert_eq!(popped, Some(("list".into(), "a".into())));

        let _: () = c.hset_multiple("hash", &[("name", "larder"), ("hits", "1")])?;
        let hits: i64 = c.hincr("hash", "hits", 41)?;
        assert_eq!(hits, 42);
        let all: HashMap<String, String> = c.hgetall("hash")?;
        assert_eq!((all.len(), &*all["name"]), (2, "larder"));

        let _: () = c.sadd("set", &[1, 2, 3])?;
        let _: () = c.sadd("other", &[3, 4])?;
        let both: HashSet<i64> = c.sinter(&["set", "other"])?;
        assert_eq!(both, HashSet::from([3]));

        let _: () = c.zadd_multiple("zset", &[(1.5, "one"), (3.0, "two")])?;
        let scored: Vec<(String, f64)> = c.zrange_withscores("zset", 0, -1)?;
        assert_eq!(scored, [("one".into(), 1.5), ("two".into(), 3.0)]);

        let id: String = redis::cmd("XADD")
            .arg(&["stream", "*", "field", "value"])
            .query(&mut c)?;
        let entries: Vec<(String, Vec<String>)> = redis::cmd("XRANGE")
            .arg(&["stream", "-", "+"])
            .query(&mut c)?;
        assert_eq!(entries, [(id, vec!["field".into(), "value".into()])]);

        let _: () = c.pfadd("hll", &["a", "b", "a"])?;
        let distinct: usize = c.pfcount("hll")?;
        assert_eq!(distinct, 2);
        let _: () = c.setbit("bits", 9, true)?;
        let set: usize = c.bitcount("bits")?;
        assert_eq!(set, 1);
        let _: () = redis::cmd("GEOADD")
            .arg(&["places", "13.361389", "38.115556", "Palermo"])
            .query(&mut c)?;
        let near: Vec<String> = redis::cmd("GEOSEARCH")
            .arg(&[
                "places",
                "FROMLONLAT",
                "13",
                "38",
                "BYRADIUS",
                "50",
                "km",
                "ASC",
            ])
            .query(&mut c)?;
        assert_eq!(near, ["Palermo"]);
    }
    Ok(())
}
