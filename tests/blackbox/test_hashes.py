"""Hash commands: fields through every encoding, fair draws, walks that miss nobody, and fields that go by themselves."""

import collections
import time

import pytest

from harness import eventually
from resp import NIL, NOT_INT, OK, SYNTAX, Err, Map, Push, arity, encode

WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")
NUM_FIELDS = Err("ERR numfields should be greater than 0 and match the provided number of fields")
FAR_MS = 99_999_999_999_999

# The fields of a hash in each encoding.
CONTENTS = {
    "listpack": {"field:%d" % n: "%d" % n for n in range(100)},
    "hashtable": {"field:%d" % n: "value:%d" % n for n in range(1000)},
    "hashtable for its length": {"x" * 65: "v", **{"%d" % n: "v" for n in range(20)}},
    "hashtable for a deadline": {"field:%d" % n: "%d" % n for n in range(50)},
}


@pytest.fixture(params=CONTENTS)
def filled(request, client):
    """A key `h` in every encoding, and its fields."""
    fields = CONTENTS[request.param]
    assert client.call("HSET", "h", *[w for pair in fields.items() for w in pair]) == len(fields)
    if "deadline" in request.param:
        client.says(f"HPEXPIREAT h {FAR_MS} FIELDS 1 field:1", [1])
    client.says("OBJECT ENCODING h", request.param.split()[0])
    return {f.encode(): v.encode() for f, v in fields.items()}


def pairs(flat):
    fields = dict(zip(flat[::2], flat[1::2]))
    assert len(fields) * 2 == len(flat)
    return fields


def all_of(client, key="h"):
    return pairs(client.call("HGETALL", key))


def walk(client, *options, between=None):
    cursor, found = b"0", []
    while True:
        cursor, some = client.call("HSCAN", "h", cursor, *options)
        found += some
        if cursor == b"0":
            return found
        if between:
            between()


def test_fields_come_and_go_in_every_encoding(client, filled):
    assert all_of(client) == filled
    assert set(client.call("HKEYS", "h")) == set(filled)
    assert collections.Counter(client.call("HVALS", "h")) == collections.Counter(filled.values())
    client.says("HLEN h", len(filled))
    for field, value in list(filled.items())[:20]:
        client.says(("HGET", "h", field), value)
        client.says(("HEXISTS", "h", field), 1)
        client.says(("HSTRLEN", "h", field), len(value))
        client.says(("HMGET", "h", field, "nobody", field), [value, NIL, value])
        client.says(("HSETNX", "h", field, "other"), 0)
        client.says(("HSET", "h", field, "other"), 0)
        client.says(("HGET", "h", field), "other")
        client.says(("HDEL", "h", field, "nobody", field), 1)
        client.says(("HGET", "h", field), NIL)
    rest = all_of(client)
    assert len(rest) == len(filled) - 20
    assert client.call("HDEL", "h", *rest) == len(rest)
    client.says("EXISTS h", 0)
    client.says("HGETALL h", [])


def test_replies_of_resp3(client3):
    client3.says("HSET h a 1", 1)
    client3.says("HGETALL h", Map({"a": "1"}))
    client3.says("HGETALL none", Map())
    client3.says("HGET h none", NIL)
    client3.says("HRANDFIELD h 1 WITHVALUES", [["a", "1"]])
    client3.says("HSCAN h 0", ["0", ["a", "1"]])


def test_large_and_binary_fields(client):
    field, value = b"f\0\r\n\xff" * 1000, b"v\0\r\n" * 100_000
    client.says(("HSET", "h", field, value, "", ""), 2)
    client.says(("HGET", "h", field), value)
    client.says(("HGET", "h", ""), "")
    client.says(("HSTRLEN", "h", field), len(value))
    client.says(("HGETDEL", "h", "FIELDS", 2, field, ""), [value, ""])
    client.says("EXISTS h", 0)


def test_errors(client):
    client.says("SET s v", OK)
    for command in ("HSET s a 1", "HGET s a", "HGETALL s", "HDEL s a", "HLEN s", "HINCRBY s a 1", "HSCAN s 0", "HRANDFIELD s"):
        client.says(command, WRONG_TYPE)
    client.says("HSET h a", arity("hset"))
    client.says("HSET h a 1 b", arity("hset"))
    client.says("HMSET h a 1 b", arity("hmset"))
    client.says("HINCRBY h a x", NOT_INT)
    client.says("HEXPIRE h 10 FIELDS 2 a", NUM_FIELDS)
    client.says("HEXPIRE h -1 FIELDS 1 a", Err("ERR invalid expire time in 'hexpire' command"))
    client.says("HTTL h FIELDS 2 a", SYNTAX)
    client.says("HSETEX h NX XX FIELDS 1 a 1", SYNTAX)
    client.says("HRANDFIELD h -9223372036854775807", [])
    client.says("HSET h a 1", 1)
    # Nobody can want as many: refused instead of filling the memory.
    client.says("HRANDFIELD h -9223372036854775807", Err("ERR value is out of range"))


def test_numbers(client):
    client.says("HINCRBY h n 41", 41)
    client.says("HINCRBY h n 1", 42)
    client.says("HINCRBYFLOAT h n 0.5", "42.5")
    client.says("HINCRBY h n 1", Err("ERR hash value is not an integer"))
    client.says(f"HSET h n {2**63 - 1}", 0)
    client.says("HINCRBY h n 1", Err("ERR increment or decrement would overflow"))
    client.says("HINCRBYFLOAT h n nan", Err("ERR value is not a valid float"))
    client.says("HINCRBYFLOAT h n inf", Err("ERR value is NaN or Infinity"))


def test_a_walk_misses_nobody_while_the_hash_grows_and_shrinks(client, filled):
    assert pairs(walk(client)) == filled
    assert set(walk(client, "NOVALUES", "COUNT", "7")) == set(filled)
    assert set(walk(client, "MATCH", "*1", "NOVALUES")) == {f for f in filled if f.endswith(b"1")}
    state = {"n": 0}

    def storm():
        for _ in range(50):
            state["n"] += 1
            client.call("HSET", "h", f"new:{state['n']}", "v")
        client.call("HDEL", "h", *[f"new:{n}" for n in range(state["n"] // 2)])

    found = walk(client, "COUNT", "20", between=lambda: state["n"] < 2000 and storm())
    assert set(filled) <= set(found[::2])


def test_draws_are_fair(client, filled):
    drawn = collections.Counter(client.call("HRANDFIELD", "h", str(-200 * len(filled))))
    assert set(drawn) == set(filled)
    assert 100 < min(drawn.values()) and max(drawn.values()) < 350
    for count in (1, len(filled) // 2, len(filled), len(filled) + 10):
        some = client.call("HRANDFIELD", "h", str(count))
        assert len(set(some)) == len(some) == min(count, len(filled))
    some = pairs(client.call("HRANDFIELD", "h", "5", "WITHVALUES"))
    assert some.items() <= filled.items()


def test_deadlines_of_fields(client):
    client.says("HSET h a 1 b 2 c 3", 3)
    client.says("HEXPIRE h 100 FIELDS 2 a none", [1, -2])
    client.says("HTTL h FIELDS 3 a b none", [100, -1, -2])
    client.says("HEXPIRE h 200 GT FIELDS 2 a b", [1, 0])
    client.says("HEXPIRE h 100 LT FIELDS 2 a b", [1, 1])
    client.says("HPERSIST h FIELDS 2 a c", [1, -1])
    client.says(f"HGETEX h PXAT {FAR_MS} FIELDS 2 a none", ["1", NIL])
    client.says("HPEXPIRETIME h FIELDS 2 a c", [FAR_MS, -1])
    client.says("HSETEX h FXX KEEPTTL FIELDS 2 a 5 c 6", 1)
    client.says("HPEXPIRETIME h FIELDS 1 a", [FAR_MS])
    client.says("HSET h a 7", 0)
    client.says("HPEXPIRETIME h FIELDS 1 a", [-1])
    client.says("HEXPIRE h 0 FIELDS 3 a b c", [2, 2, 2])
    client.says("EXISTS h", 0)
    client.says("HSETEX h EX 100 FIELDS 1 a 1", 1)
    client.says("COPY h copy", 1)
    client.says("RENAME copy moved", OK)
    client.says("HTTL moved FIELDS 1 a", [100])
    dump = client.call("DUMP", "moved")
    client.says(("RESTORE", "again", 0, dump), OK)
    client.says("HTTL again FIELDS 1 a", [100])


@pytest.fixture
def heard(server):
    """Events of the database that other tests do not use, as they come."""
    with server.raw() as c, server.raw() as listener:
        before = c.call("CONFIG", "GET", "notify-keyspace-events")[1]
        c.says("CONFIG SET notify-keyspace-events Ehxg", OK)
        listener.says("PSUBSCRIBE __keyevent@7__:*", Push(["psubscribe", "__keyevent@7__:*", 1]))
        yield lambda: listener.read_value()[2:]
        c.says(("CONFIG", "SET", "notify-keyspace-events", before), OK)


def test_fields_go_within_100_ms_and_then_the_key(client, heard):
    client.says("SELECT 7", OK)
    client.says("FLUSHDB", OK)
    now = int(time.time() * 1000)
    deadlines = {f"f{n}": now + 300 + n * 20 for n in range(20)}
    client.send(b"".join(encode("HSETEX", "h", "PXAT", at, "FIELDS", 1, f, "v") for f, at in deadlines.items()))
    for _ in deadlines:
        assert client.read_value() == 1
    for _ in deadlines:
        assert heard() == [b"__keyevent@7__:hset", b"h"]
        assert heard() == [b"__keyevent@7__:hexpire", b"h"]
    assert b"keys_with_volatile_items=1" in client.call("INFO", "keyspace")
    late = []
    lengths = [client.call("HLEN", "h")]
    while (left := client.call("HLEN", "h")) > 0:
        lengths.append(left)
        at = time.time() * 1000
        live = sum(1 for deadline in deadlines.values() if deadline > at)
        # Nobody is seen whose time is over; who is over goes soon.
        assert len(client.call("HKEYS", "h")) <= live + 1
        late.append(left - live)
        time.sleep(0.005)
    assert max(late) <= 8, "more than 100 ms of deadlines at a time, on a machine that is busy"
    client.says("EXISTS h", 0)
    events = []
    while not events or events[-1] != b"__keyevent@7__:del":
        event, key = heard()
        assert key == b"h"
        events.append(event)
    assert set(events[:-1]) == {b"__keyevent@7__:hexpired"}


def test_active_expiry_can_be_switched_off_and_nobody_sees_what_is_over(client):
    client.says("DEBUG SET-ACTIVE-EXPIRE 0", OK)
    try:
        client.says("HSET h a 1 b 2", 2)
        client.says("HPEXPIRE h 1 FIELDS 1 a", [1])
        time.sleep(0.15)
        client.says("HLEN h", 2)
        client.says("HGETALL h", ["b", "2"])
        client.says("HGET h a", NIL)
        client.says("HSETNX h a 3", 1)
        client.says("HLEN h", 2)
        client.says("HPEXPIRE h 1 FIELDS 2 a b", [1, 1])
        time.sleep(0.05)
        client.says("HKEYS h", [])
        client.says("HRANDFIELD h", NIL)
        client.says("HLEN h", 2)
    finally:
        client.says("DEBUG SET-ACTIVE-EXPIRE 1", OK)
    eventually(lambda: client.call("EXISTS", "h") == 0, "the key goes with its last field")


def test_many_fields_that_go_together_hold_nobody_up(client, other):
    at = int(time.time() * 1000) + 1500
    n, step = 100_000, 1000
    for start in range(0, n, step):
        words = [w for i in range(start, start + step) for w in (f"f{i}", "v")]
        client.says(("HSETEX", "h", "PXAT", at, "FIELDS", step, *words), 1)
    client.says("HSET h stays v", 1)
    waited = []
    while client.call("HLEN", "h") > 1:
        began = time.monotonic()
        other.call("PING")
        waited.append(time.monotonic() - began)
        assert time.time() * 1000 < at + 20_000
    client.says("HGETALL h", ["stays", "v"])
    assert sorted(waited)[int(len(waited) * 0.99)] < 0.1
