"""Followers: a real redis-server follows the server under test, and has the same data in the end.

$FOLLOWER_BIN chooses the follower (default: Debian's redis-server); $REPL_COMMANDS
sets how many random commands go through (default 20,000)."""

import os
import re
import shutil
import threading

import pytest

from differential import Generator
from harness import eventually
from resp import OK, encode, to_bytes

COMMANDS = int(os.environ.get("REPL_COMMANDS", "20000"))
BATCH = 50
DEBUG = ("--enable-debug-command", "yes")
FOLLOWER = os.path.abspath(os.environ.get("FOLLOWER_BIN") or shutil.which("redis-server") or "/usr/bin/redis-server")


def info(server, section, field):
    with server.raw() as c:
        text = c.call("INFO", section).decode()
    found = re.search(rf"^{field}:(.*)\r$", text, re.M)
    return found.group(1) if found else None


def names(server):
    with server.raw() as c:
        return {n.decode().upper() for n in c.call("COMMAND", "LIST") if b"|" not in n}


def digest(server):
    with server.raw() as c:
        return c.call("DEBUG", "DIGEST")


def databases(client):
    """The numbers of the databases with keys, and how many each has, those whose time is over too."""
    lines = client.call("INFO", "keyspace").decode().splitlines()
    return {int(number): int(keys) for number, keys in re.findall(r"^db(\d+):keys=(\d+)", "\n".join(lines), re.M)}


def same_scores(one, other, key):
    """Whether both have a sorted set there, with the same members, scores to the last bit and deadline."""
    def content(client):
        if client.call("TYPE", key) != "zset":
            return None
        words = client.call("ZRANGE", key, 0, -1, "WITHSCORES")
        return [(m, float(s).hex()) for m, s in zip(words[::2], words[1::2])], client.call("PEXPIRETIME", key)

    found = content(one)
    return found is not None and found == content(other)


def has_long_scores(server):
    """Whether its digests hold scores with 17 digits (0.10000000000000001): Redis before 7.2.
    Everyone later takes as few as say which number it is (0.1)."""
    return tuple(map(int, info(server, "server", "redis_version").split(".")[:2])) < (7, 2)


def same_keys(a, b):
    """Whether both have the same keys, each with the same digest or, of a sorted set, the same content."""
    with a.raw() as one, b.raw() as other:
        if databases(one) != databases(other):
            return False
        for number in databases(one):
            for client in (one, other):
                client.says(f"SELECT {number}", OK)
            keys = sorted(one.call("KEYS", "*"))
            if keys != sorted(other.call("KEYS", "*")):
                return False
            if not keys:
                continue
            digests = zip(keys, *(client.call("DEBUG", "DIGEST-VALUE", *keys) for client in (one, other)))
            if not all(x == y or same_scores(one, other, key) for key, x, y in digests):
                return False
        return True


def same_data(leader, other):
    """Whether both have the same data: by digest, but for the sorted sets of one with digests of
    another form, which are compared member by member."""
    if digest(leader) == digest(other):
        return True
    return any(map(has_long_scores, (leader, other))) and same_keys(leader, other)


def are_equal(leader, follower):
    """Whether both have the same data, once everything has come over."""
    def same():
        before = info(leader, "replication", "master_repl_offset")
        if info(follower, "replication", "slave_repl_offset") != before:
            return False
        return same_data(leader, follower)
    eventually(same, "the follower has the same data")


def is_linked(follower):
    return info(follower, "replication", "master_link_status") == "up"


@pytest.fixture
def follow(start_server):
    def start(leader, *args):
        follower = start_server("--replicaof", "127.0.0.1", leader.port, *DEBUG, *args, binary=FOLLOWER)
        eventually(lambda: is_linked(follower), "the follower is linked")
        return follower
    return start


# What the differential test leaves out: here chance and the clock may decide, as long as both servers end up the same.
CHANCE = [line.split() for line in """
SPOP K
SPOP K I
XADD K * V V
XADD K MAXLEN ~ 5 * V V
XADD K MAXLEN = 3 * V V
EXPIRE K 1
PEXPIRE K I
SET K V PX 10
GETEX K PX 10
RESTORE K 0 V REPLACE
SORT K BY nosort STORE K
SORT K ALPHA STORE K
ZPOPMIN K
ZPOPMAX K 2
ZADD K INCR F V
LMPOP 2 K K LEFT COUNT 2
""".strip().splitlines()]


def write_at_random(leader, generator, count):
    """Sends random commands, whatever they answer."""
    def command():
        if generator.rng.random() < 0.1:
            return [to_bytes(w) for w in generator.fill(generator.rng.choice(CHANCE))]
        return generator.command()

    with leader.raw() as c:
        for _ in range(count // BATCH):
            commands = [command() for _ in range(BATCH)]
            commands = [w for w in commands if w and w[0].upper() not in (b"RESET", b"QUIT", b"HELLO", b"CLIENT", b"SUBSCRIBE")]
            c.send(b"".join(encode(*w) for w in commands))
            for _ in commands:
                c.read_both()


def test_a_follower_has_what_was_there_and_what_came(start_server, follow, rng):
    leader = start_server(*DEBUG)
    both = names(leader)
    probe = start_server(*DEBUG, binary=FOLLOWER)
    generator = Generator(rng, both & names(probe), False)
    write_at_random(leader, generator, COMMANDS // 4)
    follower = follow(leader)
    are_equal(leader, follower)
    for _ in range(4):
        write_at_random(leader, generator, COMMANDS // 4)
        are_equal(leader, follower)
    assert info(leader, "replication", "connected_slaves") == "1"
    assert info(leader, "stats", "sync_full") == "1", "it never had to start over"


def test_a_follower_that_comes_while_everybody_writes_misses_nothing(start_server, follow):
    leader = start_server(*DEBUG, "--io-threads", 4)
    stop = threading.Event()

    def write(number):
        with leader.raw() as c:
            n = 0
            while not stop.is_set():
                n += 1
                c.send(b"".join(encode(*w.split()) for w in (
                    f"INCR counter", f"RPUSH list:{n % 7} {number}:{n}", f"LTRIM list:{n % 7} -50 -1", f"SET k:{n % 997} {n} PX {10 + n % 50}",
                    f"MULTI", f"HSET h:{n % 5} f{n % 50} {n}", f"SADD s {n % 300}", f"SPOP s", f"EXEC", f"ZADD z {n} m{n % 100}",
                )))
                for _ in range(10):
                    c.read_both()

    writers = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for w in writers:
        w.start()
    try:
        followers = [follow(leader) for _ in range(2)]
    finally:
        stop.set()
        for w in writers:
            w.join()
    for follower in followers:
        are_equal(leader, follower)


def test_what_expires_and_what_is_evicted_goes_from_the_follower_too(start_server, follow):
    leader = start_server(*DEBUG, "--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
    follower = follow(leader)
    with leader.raw() as c:
        for n in range(20000):
            c.call("SET", f"k:{n}", "x" * 200, *(("PX", 1 + n % 500) if n % 3 == 0 else ()))
    assert int(info(leader, "stats", "evicted_keys")) > 0
    assert int(info(leader, "stats", "expired_keys")) > 0
    are_equal(leader, follower)


def test_a_follower_that_was_away_goes_on_where_it_was(start_server, follow):
    leader = start_server(*DEBUG)
    follower = follow(leader)
    with leader.raw() as c, follower.raw() as f:
        c.call("SET", "a", 1)
        are_equal(leader, follower)
        c.call("CLIENT", "KILL", "TYPE", "replica")
        for n in range(100):
            c.call("RPUSH", "list", n)
        eventually(lambda: is_linked(follower), "it is back")
        are_equal(leader, follower)
        assert f.call("LLEN", "list") == 100
    assert info(leader, "stats", "sync_partial_ok") == "1"


def test_who_waits_hears_when_followers_are_there(start_server, follow):
    leader = start_server(*DEBUG)
    with leader.raw() as c:
        c.call("SET", "a", 1)
        assert c.call("WAIT", 1, 50) == 0
        follow(leader)
        c.call("SET", "a", 2)
        assert c.call("WAIT", 1, 10000) == 1
        assert c.call("WAIT", 2, 50) == 1
        role = c.call("ROLE")
        assert role[0] == b"master" and role[2][0][0] == b"127.0.0.1"


def test_a_snapshot_file_goes_over_to_a_reference_server_and_back(start_server, rng):
    """By DEBUG RELOAD of what the other has written, where both know the version."""
    leader = start_server(*DEBUG)
    probe = start_server(*DEBUG, binary=FOLLOWER)
    generator = Generator(rng, names(leader) & names(probe), False)
    write_at_random(probe, generator, COMMANDS // 4)
    with probe.raw() as c:
        c.call("SAVE")
    shutil.copy(probe.directory / "dump.rdb", leader.directory / "dump.rdb")
    with leader.raw() as c:
        assert c.call("DEBUG", "RELOAD", "NOSAVE") == OK
    eventually(lambda: same_data(leader, probe), "both have the same data")


def test_data_outlives_the_server(start_server, tmp_path):
    first = start_server(*DEBUG, "--dir", tmp_path, "--save", "3600 1")
    with first.raw() as c:
        c.call("DEBUG", "POPULATE", 10000)
        c.call("HSET", "h", "f", "v")
        c.call("BGSAVE")
        eventually(lambda: info(first, "persistence", "rdb_bgsave_in_progress") == "0", "it is saved")
        c.call("SET", "more", 1)
        before = c.call("DEBUG", "DIGEST")
        c.send(encode("SHUTDOWN"))
    assert first.wait() == 0
    second = start_server(*DEBUG, "--dir", tmp_path)
    assert digest(second) == before
    assert info(second, "persistence", "rdb_last_load_keys_loaded") == "10002"
    with second.raw() as c:
        c.call("SET", "lost", 1)
        c.send(encode("SHUTDOWN", "NOSAVE"))
    assert second.wait() == 0
    (tmp_path / "dump.rdb").write_bytes((tmp_path / "dump.rdb").read_bytes()[:-20])
    broken = start_server(*DEBUG, "--dir", tmp_path, wait=False)
    assert broken.wait() == 1
    assert "Fatal error loading the DB" in broken.log()
    broken.destroy()
