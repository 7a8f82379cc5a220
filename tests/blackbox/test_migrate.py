"""MIGRATE: keys go to another server, and none is lost or left behind on the way."""

import socket
import threading

import pytest
import redis

from harness import Server, eventually, free_port
from resp import OK


@pytest.fixture(scope="module")
def server():
    s = Server("--io-threads", 2, "--enable-debug-command", "yes")
    yield s
    s.stop()


@pytest.fixture(scope="module")
def target():
    s = Server("--requirepass", "secret")
    yield s
    s.stop()


@pytest.fixture
def there(target):
    with target.redis(password="secret") as r:
        r.flushall()
        yield r


@pytest.fixture
def here(server, there):
    with server.redis() as r:
        r.flushall()
        yield r


def migrate(here, target, key, *options, db=0, timeout_ms=5000):
    return here.execute_command("MIGRATE", *target.address, key, db, timeout_ms, *options)


LOGIN = ("AUTH", "secret")


def error_of(call, *args, **options):
    with pytest.raises(Exception) as e:
        call(*args, **options)
    return str(e.value)


def test_a_key_goes_with_its_time_to_live(here, there, target):
    here.set("k", "v", px=100_000)
    assert migrate(here, target, "k", *LOGIN) == b"OK"
    assert not here.exists("k") and there.get("k") == b"v"
    assert 90_000 < there.pttl("k") <= 100_000
    assert migrate(here, target, "k", *LOGIN) == b"NOKEY"


def test_every_type_goes_and_comes_back(here, there, target, server):
    here.set("string", "x" * 1_000_000)
    here.rpush("list", *range(1000))
    here.hset("hash", mapping={n: n for n in range(1000)})
    here.sadd("set", *range(1000))
    here.zadd("zset", {n: n / 7 for n in range(1000)})
    here.xadd("stream", {"a": "b"})
    keys = ["string", "list", "hash", "set", "zset", "stream"]
    before = here.execute_command("DEBUG", "DIGEST-VALUE", *keys)
    assert migrate(here, target, "", *LOGIN, "KEYS", *keys) == b"OK"
    assert here.dbsize() == 0 and there.dbsize() == len(keys)
    assert there.execute_command("MIGRATE", *server.address, "", 0, 5000, "KEYS", *keys) == b"OK"
    assert there.dbsize() == 0
    assert here.execute_command("DEBUG", "DIGEST-VALUE", *keys) == before


def test_it_copies_and_replaces_where_that_is_wanted(here, there, target):
    here.set("k", "new")
    there.set("k", "old")
    said = error_of(migrate, here, target, "k", *LOGIN)
    assert said == "Target instance replied with error: BUSYKEY Target key name already exists."
    assert here.get("k") == b"new" and there.get("k") == b"old"
    assert migrate(here, target, "k", "COPY", "REPLACE", *LOGIN) == b"OK"
    assert here.get("k") == there.get("k") == b"new"
    assert migrate(here, target, "k", "REPLACE", *LOGIN) == b"OK"
    assert not here.exists("k")


def test_who_is_not_let_in_keeps_the_keys(here, there, target):
    here.set("k", "v")
    assert error_of(migrate, here, target, "k").startswith("Target instance replied with error: NOAUTH")
    wrong = error_of(migrate, here, target, "k", "AUTH", "wrong")
    assert wrong.startswith("Target instance replied with error: WRONGPASS")
    nobody = error_of(migrate, here, target, "k", "AUTH2", "nobody", "secret")
    assert nobody.startswith("Target instance replied with error: WRONGPASS")
    assert migrate(here, target, "k", "AUTH2", "default", "secret") == b"OK"
    here.set("k", "v")
    beyond = error_of(migrate, here, target, "k", *LOGIN, db=99)
    assert beyond == "Target instance replied with error: ERR DB index is out of range"
    assert here.get("k") == b"v" and there.get("k") == b"v"


def test_only_what_arrived_is_removed(here, there, target):
    here.mset({"a": 1, "b": 2, "c": 3})
    there.set("b", "busy")
    said = error_of(migrate, here, target, "", *LOGIN, "KEYS", "a", "none", "b", "c")
    assert said.startswith("Target instance replied with error: BUSYKEY")
    assert here.keys() == [b"b"] and there.mget("a", "b", "c") == [b"1", b"busy", b"3"]


def cached(here):
    return here.info("stats")["migrate_cached_sockets"]


def test_a_connection_serves_many_migrations(here, there, target):
    """It is kept for a while; each database is chosen anew, and nobody comes in another's name."""
    eventually(lambda: cached(here) == 0, "those of other tests are closed")
    for n in range(20):
        here.set(f"k{n}", n)
    before = there.info("stats")["total_connections_received"]
    for n in range(10):
        assert migrate(here, target, f"k{n}", *LOGIN, db=n % 3) == b"OK"
    assert there.info("stats")["total_connections_received"] == before + 1
    assert cached(here) == 1
    for n in range(10):
        with target.redis(password="secret", db=n % 3) as r:
            assert r.get(f"k{n}") == b"%d" % n
    assert "NOAUTH" in error_of(migrate, here, target, "k10")
    assert "WRONGPASS" in error_of(migrate, here, target, "k10", "AUTH", "guess")
    assert here.exists("k10")
    # The other may close it at any time.
    for other in there.client_list():
        if int(other["db"]) == 0 and other["cmd"] == "restore":
            there.client_kill_filter(_id=other["id"])
    assert migrate(here, target, "k10", *LOGIN) == b"OK"
    assert migrate(here, target, "k11", *LOGIN) == b"OK"
    eventually(lambda: cached(here) == 0, "nobody uses it any more")


def test_nobody_there(here):
    here.set("k", "v")
    said = error_of(here.execute_command, "MIGRATE", "127.0.0.1", free_port(), "k", 0, 5000)
    assert said == "IOERR error or timeout connecting to the client"
    assert here.get("k") == b"v"


class Puppet:
    """A target whose replies the test gives."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.c = None

    def accept(self):
        self.c, _ = self.listener.accept()
        self.c.settimeout(30)

    def read_until(self, text):
        got = b""
        while text not in got:
            more = self.c.recv(65536)
            assert more, f"no {text} in {got}"
            got += more
        return got

    def says(self, text):
        self.c.sendall(text)

    def close(self):
        for s in (self.c, self.listener):
            if s:
                s.close()


@pytest.fixture
def puppet():
    p = Puppet()
    yield p
    p.close()


class Underway:
    """A MIGRATE that waits for the puppet."""

    def __init__(self, server, puppet, *words, timeout_ms=20_000):
        self.c = server.raw()
        key, *options = words
        self.c.send_command("MIGRATE", *map(str, puppet.address), key, "0", str(timeout_ms), *options)
        puppet.accept()

    def reply(self):
        reply = self.c.read_value()
        self.c.close()
        return reply


def test_others_work_while_the_target_is_silent(server, here, puppet):
    here.set("k", "v")
    underway = Underway(server, puppet, "k")
    puppet.read_until(b"RESTORE")
    # The key and its shard, and this connection's own worker, are free.
    assert here.get("k") == b"v" and here.incr("n") == 1
    with server.redis() as other:
        assert other.ping() and other.dbsize() == 2
    assert here.info("clients")["blocked_clients"] == 1
    # Not for CLIENT UNBLOCK: nobody could say what became of the key.
    ids = [c["id"] for c in here.client_list() if "b" in c["flags"]]
    assert [here.client_unblock(int(i)) for i in ids] == [0]
    puppet.says(b"+OK\r\n+OK\r\n")
    assert underway.reply() == OK
    assert not here.exists("k")


def test_a_silent_target_is_given_up(server, here, puppet):
    here.set("k", "v")
    underway = Underway(server, puppet, "k", timeout_ms=50)
    assert underway.reply() == "IOERR error or timeout reading to target instance"
    assert here.get("k") == b"v"


def test_what_changes_on_the_way_goes_as_it_is_in_the_end(server, here, puppet):
    here.mset({"a": 1, "b": 2, "c": 3})
    underway = Underway(server, puppet, "", "KEYS", "a", "b", "c")
    puppet.read_until(b"$1\r\nc\r\n")
    here.append("a", "0")
    here.delete("b")
    puppet.says(b"+OK\r\n" * 4)
    again = puppet.read_until(b"DEL")
    again += puppet.read_until(b"b\r\n") if not again.endswith(b"b\r\n") else b""
    assert b"RESTORE\r\n$1\r\na\r\n" in again and b"REPLACE" in again and b"$1\r\nc\r\n" not in again
    assert b"DEL\r\n$1\r\nb\r\n" in again
    # Nothing is removed before all of it is there.
    assert here.mget("a", "c") == [b"10", b"3"]
    puppet.says(b"+OK\r\n:1\r\n")
    assert underway.reply() == OK
    assert here.dbsize() == 0


def test_what_never_stands_still_stays(server, here, puppet):
    here.set("k", 0)
    underway = Underway(server, puppet, "k")
    puppet.read_until(b"RESTORE")
    here.incr("k")
    puppet.says(b"+OK\r\n+OK\r\n")
    for _ in range(15):
        puppet.read_until(b"REPLACE\r\n")
        here.incr("k")
        puppet.says(b"+OK\r\n")
    assert underway.reply() == "ERR Keys changed each time they were sent, and are still here"
    assert here.get("k") == b"16"


def test_a_target_that_goes_away_takes_only_what_it_acknowledged(server, here, puppet):
    here.mset({"a": 1, "b": 2})
    underway = Underway(server, puppet, "", "KEYS", "a", "b")
    puppet.read_until(b"$1\r\nb\r\n")
    puppet.says(b"+OK\r\n+OK\r\n")
    puppet.close()
    assert underway.reply() == "IOERR error or timeout reading to target instance"
    assert here.keys() == [b"b"]


def test_it_is_finished_even_where_its_client_has_gone(server, here, puppet):
    here.set("k", "v")
    underway = Underway(server, puppet, "k")
    puppet.read_until(b"RESTORE")
    underway.c.close()
    eventually(lambda: here.info("clients")["blocked_clients"] == 0, "the connection has ended")
    puppet.says(b"+OK\r\n+OK\r\n")
    eventually(lambda: not here.exists("k"), "the key has gone")


def test_writers_that_race_with_it_lose_nothing(server, there, here, target):
    """A counter that is increased here while it goes away, time and again: each step is here or there."""
    steps, taken, moved = 400, 0, 0
    done = threading.Event()

    def increase():
        with server.redis() as r:
            for _ in range(steps):
                r.incr("n")
        done.set()

    writer = threading.Thread(target=increase)
    writer.start()
    while not done.is_set():
        try:
            moved += migrate(here, target, "n", *LOGIN) == b"OK"
            taken += int(there.getdel("n") or 0)
        except redis.ResponseError as e:
            assert "changed each time" in str(e)
            # It is still here, and what is there is no more than a copy.
            there.delete("n")
    writer.join()
    assert moved and int(here.get("n") or 0) + taken == steps


def test_its_passwords_are_not_shown(server, here, target):
    here.config_set("slowlog-log-slower-than", 0)
    here.slowlog_reset()
    migrate(here, target, "none", "AUTH2", "default", "secret")
    here.config_set("slowlog-log-slower-than", 10000)
    shown = [entry["command"] for entry in here.slowlog_get() if entry["command"].startswith(b"MIGRATE")]
    assert len(shown) == 1 and b"secret" not in shown[0] and shown[0].count(b"(redacted)") == 2
