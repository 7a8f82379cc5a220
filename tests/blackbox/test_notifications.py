"""Keyspace notifications: what happens to keys, as subscribers hear it."""

import time

import pytest

from harness import Server
from resp import NIL, OK, Push, encode

WORKERS = 4


@pytest.fixture(scope="module")
def server():
    s = Server("--enable-debug-command", "yes", "--io-threads", WORKERS)
    yield s
    s.stop()


@pytest.fixture
def heard(server):
    """Listens to all notifications; `heard(classes)` switches them on, `heard()` is what came."""
    with server.raw() as listener, server.raw() as other:
        listener.says("PSUBSCRIBE __key*__:*", Push(["psubscribe", "__key*__:*", 1]))

        def turn(classes=None):
            if classes is not None:
                other.says(("CONFIG", "SET", "notify-keyspace-events", classes), OK)
                return None
            listener.send_command("PING", "the end")
            came = []
            while True:
                got = listener.read_value()
                if got == [b"pong", b"the end"]:
                    return came
                assert got[:2] == [b"pmessage", b"__key*__:*"]
                came.append((got[2].decode(), got[3].decode()))

        yield turn
        other.says("CONFIG SET notify-keyspace-events ''", OK)
        other.says("FLUSHALL", OK)


def test_by_key_and_by_event(heard, server):
    with server.raw() as c:
        c.says("SET k 1", OK)
        assert heard() == []
        heard("KEA")
        c.says("SET k 2", OK)
        assert heard() == [("__keyspace@0__:k", "set"), ("__keyevent@0__:set", "k")]
        heard("KA")
        c.says("INCR k", 3)
        assert heard() == [("__keyspace@0__:k", "incrby")]
        heard("EA")
        c.says("SELECT 9", OK)
        c.says("SET k 2", OK)
        assert heard() == [("__keyevent@9__:set", "k")]
        heard("K")
        c.says("SET k 2", OK)
        heard("A")
        c.says("SET k 2", OK)
        assert heard() == []


def test_each_class_is_heard_alone(heard, server):
    with server.raw() as c:
        heard("E$")
        c.says("SET k 1 EX 100", OK)
        c.says("EXPIRE k 50", 1)
        assert heard() == [("__keyevent@0__:set", "k")]
        heard("Eg")
        c.says("SET k 1 EX 100", OK)
        c.says("RENAME k k2", OK)
        c.says("PERSIST k2", 1)
        c.says("DEL k2 k3", 1)
        assert heard() == [
            ("__keyevent@0__:expire", "k"), ("__keyevent@0__:rename_from", "k"), ("__keyevent@0__:rename_to", "k2"),
            ("__keyevent@0__:persist", "k2"), ("__keyevent@0__:del", "k2"),
        ]
        heard("En")
        c.says("SET k 1", OK)
        c.says("SET k 2", OK)
        assert heard() == [("__keyevent@0__:new", "k")]
        heard("Em")
        c.says("GET k", "2")
        c.says("GET none", NIL)
        assert heard() == [("__keyevent@0__:keymiss", "none")]


def test_what_is_configured_is_shown_in_its_own_order(server):
    with server.raw() as c:
        for given, shown in [("KEA", "AKE"), ("Ex", "xE"), ("mKg$", "g$Km"), ("", ""), ("g$lshzxetdnKE", "AnKE"), ("EKlx", "lxKE")]:
            c.says(("CONFIG", "SET", "notify-keyspace-events", given), OK)
            got = c.call("CONFIG", "GET", "notify-keyspace-events")[1].decode()
            if given == "g$lshzxetdnKE":
                assert set(got) <= set("AnKE") and got[0] == "A"
            else:
                assert got == shown
        c.says("CONFIG SET notify-keyspace-events ''", OK)


def test_a_transaction_is_heard_in_order(heard, server):
    heard("EA")
    with server.raw() as c:
        c.send(encode("MULTI") + b"".join(encode("SET", f"t{i}", i) for i in range(50)) + encode("DEL", "t1") + encode("EXEC"))
        for _ in range(53):
            c.read_value()
    assert heard() == [("__keyevent@0__:set", f"t{i}") for i in range(50)] + [("__keyevent@0__:del", "t1")]


def test_expired_events_are_punctual(heard, server):
    heard("Ex")
    with server.raw() as c, server.raw() as listener:
        listener.says("SUBSCRIBE __keyevent@0__:expired", Push(["subscribe", "__keyevent@0__:expired", 1]))
        late = []
        deadlines = {}
        for i in range(20):
            deadlines[f"e{i}".encode()] = time.time() + 0.1 + i * 0.02
        c.send(b"".join(encode("SET", k, "x", "PXAT", int(at * 1000)) for k, at in deadlines.items()))
        for _ in deadlines:
            assert c.read_value() == "OK"
        for _ in deadlines:
            _, _, key = listener.read_value()
            late.append(time.time() - deadlines[key])
        # Generous: the machine that runs this may be busy.
        assert sorted(late)[len(late) // 2] < 0.25 and min(late) > -0.005


def test_evicted_events(start_server):
    server = start_server("--maxmemory-policy", "allkeys-lru", "--notify-keyspace-events", "Ee")
    with server.raw() as c, server.raw() as listener:
        listener.says("SUBSCRIBE __keyevent@0__:evicted", Push(["subscribe", "__keyevent@0__:evicted", 1]))
        for i in range(2000):
            c.says(("SET", f"k{i}", "x" * 1000), OK)
        used = int(c.call("INFO", "memory").split(b"used_memory:")[1].split(b"\r\n")[0])
        c.says(f"CONFIG SET maxmemory {used - 500_000}", OK)
        # No command has to come upon it.
        kind, channel, key = listener.read_value()
        assert (kind, channel) == (b"message", b"__keyevent@0__:evicted") and key.startswith(b"k")


def test_its_own_notifications_come_behind_the_reply(server):
    with server.raw(3) as c:
        c.says("CONFIG SET notify-keyspace-events K$", OK)
        c.says("SUBSCRIBE __keyspace@0__:mine", Push(["subscribe", "__keyspace@0__:mine", 1]))
        message = Push(["message", "__keyspace@0__:mine", "set"])
        c.send(encode("SET", "mine", "1") * 2 + encode("MULTI") + encode("SET", "mine", "2") + encode("EXEC"))
        c.hears(OK, message, OK, message)
        c.read_value(), c.read_value()
        c.hears([OK], message)
        c.says("CONFIG SET notify-keyspace-events ''", OK)
