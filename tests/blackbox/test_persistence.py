"""What the cache knows of its keys outlives the server, and others read its snapshots without it."""

import re

from harness import eventually
from resp import OK, Err, encode
from test_replication import DEBUG, FOLLOWER, is_linked

CONFIG = """
policy courses course:* ttl 1h stale 1h null-value NONE null-ttl 30m adaptive yes tag all
policy lists list:* ttl 1h
"""
PLAIN = {b"course:1", b"course:2", b"list:1", b"other", b"h", b"tagged"}
# What changes with time.
PASSING = {"ttl", "age", "left-at", "changes-every", "read-every"}


def explained(client, key):
    flat = client.call("CACHE.EXPLAIN", key)
    return {k.decode(): v for k, v in zip(flat[::2], flat[1::2]) if k.decode() not in PASSING}


def status(client, key):
    reply = client.call("CACHE.GET", key)
    return dict(zip(reply[::2], reply[1::2]))[b"status"].decode()


def fill(client):
    for line in [
        "CACHE.POLICY SET late late:* ttl 1h null-ttl 30m",
        "SET course:1 v",
        "GET course:1",
        "SET course:2 NONE",
        "SET course:soft v",
        "SET list:1 v",
        "PERSIST list:1",
        "SET list:gone v",
        "SET other v",
        "HSET h f v",
        "CACHE.SET tagged v TAGS 1 t",
        "CACHE.NULL course:absent",
        "CACHE.NULL late:absent",
        "CACHE.NULL absent EX 1000",
    ]:
        assert client.call(*line.split()) not in (None, b"")
    # As they are left by an invalidation that no sweep has followed up yet.
    client.call("CACHE.INVALIDATE", "PREFIX", "course:soft", "SOFT")
    client.call("CACHE.INVALIDATE", "PREFIX", "list:g")


def check(client):
    expected = {
        "course:1": "hit", "course:2": "null", "course:soft": "stale", "course:absent": "null", "late:absent": "null",
        "absent": "null", "list:1": "hit", "list:gone": "miss", "tagged": "hit",
    }
    assert {key: status(client, key) for key in expected} == expected
    assert client.call("PTTL", "list:1") == -1
    lines = client.call("CACHE.POLICY", "LIST")
    assert [line.split()[1] for line in lines] == [b"courses", b"lists", b"late"]


def test_a_restart_changes_nothing_that_the_cache_knows(start_server, tmp_path):
    keys = ["course:1", "course:2", "course:absent", "late:absent", "absent", "list:1", "tagged", "h"]
    args = ("--dir", tmp_path, "--save", "3600 1", *DEBUG)
    first = start_server(*args, config=CONFIG)
    with first.raw() as c:
        fill(c)
        before = [explained(c, key) for key in keys]
        c.says("DEBUG RELOAD", OK)
        assert [explained(c, key) for key in keys] == before
        check(c)
        before = [explained(c, key) for key in keys]
    first.stop()
    second = start_server(*args, config=CONFIG)
    with second.raw() as c:
        assert [explained(c, key) for key in keys] == before
        check(c)
        c.call("CACHE.INVALIDATE", "TAG", "t")
        assert c.call("EXISTS", "tagged") == 0


def test_absences_alone_are_worth_a_snapshot(start_server, tmp_path):
    args = ("--dir", tmp_path, "--save", "3600 1")
    first = start_server(*args)
    with first.raw() as c:
        c.says("SAVE", OK)
        c.says("CACHE.NULL k EX 1000", OK)
    first.stop()
    with start_server(*args).raw() as c:
        assert status(c, "k") == "null"


def foreign_content(client):
    return {key for key in client.call("KEYS", "*") if client.call("PTTL", key) != -2}


def has_no_complaints(server):
    """Warnings are marked so; those about the machine are nobody's fault."""
    lines = [line for line in server.log().splitlines() if " # " in line]
    about = ("overcommit", "no config file", "backlog", "Huge Pages", "oO0O", "just started", "Configuration loaded", "initialized")
    return [line for line in lines if not any(word in line for word in about)]


def test_a_foreign_follower_takes_what_it_knows_and_says_nothing_of_the_rest(start_server):
    leader = start_server(*DEBUG, config=CONFIG)
    with leader.raw() as c:
        fill(c)
    follower = start_server("--replicaof", "127.0.0.1", leader.port, binary=FOLLOWER)
    eventually(lambda: is_linked(follower), "the follower is linked")
    with follower.raw() as c:
        assert {k for k in foreign_content(c) if k != b"course:soft"} == PLAIN
        assert c.call("GET", "course:2") == b"NONE"
        assert c.call("EXISTS", "course:absent", "late:absent", "absent", "list:gone", "course:soft") == 0
    assert has_no_complaints(follower) == []


def snapshot_for_all(leader):
    """A snapshot in a version of the format that all know: what a follower is sent that names none."""
    with leader.raw() as c:
        c.says("REPLCONF capa psync2", OK)
        c.send(encode("PSYNC", "?", "-1"))
        head = b""
        while head.count(b"\r\n") < 2:
            head += c.read_exactly(1)
        return c.read_exactly(int(re.search(rb"\$(\d+)", head).group(1)))


def test_a_foreign_server_starts_from_a_snapshot_of_ours(start_server, tmp_path):
    leader = start_server(*DEBUG, config=CONFIG)
    with leader.raw() as c:
        fill(c)
    (tmp_path / "dump.rdb").write_bytes(snapshot_for_all(leader))
    other = start_server("--dir", tmp_path, binary=FOLLOWER)
    with other.raw() as c:
        assert foreign_content(c) == PLAIN
        assert c.call("HGET", "h", "f") == b"v"
        # And back: of the rest it knew nothing.
        c.says("SAVE", OK)
    if (tmp_path / "dump.rdb").read_bytes().startswith(b"REDIS0012"):
        return  # what Redis 8 writes is read by nobody else
    again = start_server("--dir", tmp_path, config=CONFIG)
    with again.raw() as c:
        assert foreign_content(c) == PLAIN
        # A sentinel is one whoever wrote it.
        assert status(c, "course:2") == "null"
        assert status(c, "course:absent") == "miss"


LOADING = Err("LOADING Larder is loading the dataset in memory")


def test_whoever_comes_while_the_snapshot_is_read_is_told_so_and_may_end_the_server(start_server, tmp_path):
    args = ("--dir", tmp_path, *DEBUG)
    first = start_server(*args)
    with first.raw() as c:
        c.call("DEBUG", "POPULATE", 3000)
        c.says("SAVE", OK)
    first.stop()
    file = tmp_path / "dump.rdb"
    before = file.read_bytes()
    second = start_server(*args, "--key-load-delay", 20_000, "--enable-protected-configs", "yes", "--save", "3600 1", wait=False)

    def answers():
        try:
            with second.raw() as c:
                return c.call("PING") == LOADING
        except OSError:
            return False

    eventually(answers, "it says that it is loading")
    with second.raw() as c:
        for line in ["PING", "GET key:1", "DBSIZE", "SAVE", "BGSAVE", "REPLICAOF NO ONE"]:
            c.says(line, LOADING)
        info = dict(line.split(":", 1) for line in c.call("INFO", "persistence").decode().split() if ":" in line)
        assert info["loading"] == "1" and info["async_loading"] == "0"
        assert int(info["loading_total_bytes"]) == len(before)
        assert 0 < int(info["loading_loaded_bytes"]) <= len(before)
        assert int(info["loading_rdb_used_mem"]) > 0 and int(info["loading_start_time"]) > 0
        assert 0 < float(info["loading_loaded_perc"]) <= 100 and int(info["loading_eta_seconds"]) >= 0
        c.says("CONFIG SET loglevel debug", OK)
        c.says("CONFIG SET dir elsewhere", Err("LOADING the dataset is being loaded"))
        c.says("DEBUG SLEEP 0", OK)
        c.send(b"SHUTDOWN SAVE\r\n")
        assert second.wait() == 0
    assert file.read_bytes() == before, "what was there of the data did not take its place"
    third = start_server(*args)
    with third.raw() as c:
        assert c.call("DBSIZE") == 3000
        assert b"loading:0" in c.call("INFO", "persistence")


def test_a_snapshot_that_cannot_be_read_ends_the_start(start_server, tmp_path):
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0011\xfa\x09redis-ver")
    server = start_server("--dir", tmp_path, "--pidfile", tmp_path / "pid", wait=False)
    assert server.wait() == 1
    assert "Fatal error loading the DB" in server.log()
    assert not (tmp_path / "pid").exists()
    server.log_file.close()
