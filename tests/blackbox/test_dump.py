"""DUMP and RESTORE: what the reference server dumps is restored here, and the other way round."""

import time

import pytest

from harness import Server, newest_reference
from resp import NIL, NOT_INT, OK, SYNTAX, Err, arity, words

FOOTER = Err("ERR DUMP payload version or checksum are wrong")
FORMAT = Err("ERR Bad data format")
BUSY = Err("BUSYKEY Target key name already exists.")
LATER = 4_102_444_800_000  # a time in Unix milliseconds that is far away

POLYNOMIAL = 0x95AC9329AC4BC9B5
TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    TABLE.append(byte)


def payload(value, version=11):
    """A value under a version and the checksum that is due to it."""
    data = bytes(value) + version.to_bytes(2, "little")
    crc = 0
    for b in data:
        crc = TABLE[(crc ^ b) & 255] ^ crc >> 8
    return data + crc.to_bytes(8, "little")


# The last type of value that a version of the format has.
LAST_TYPES = {9: 15, 10: 19, 11: 21}

# Commands that make a value of each kind and encoding.
VALUES = {
    "integer": ["SET k 12345"],
    "negative": ["SET k -70000"],
    "large integer": ["SET k 9223372036854775807"],
    "short": ["SET k hello"],
    "empty": ["SET k ''"],
    "compressible": ["SET k " + "abc" * 1000],
    "large": ["SETRANGE k 100000 x"],
    "bitmap": ["SETBIT k 70000 1"],
    "small list": ["RPUSH k a 12 -5 '' " + "x" * 70],
    "large list": ["RPUSH k " + " ".join(f"element-{i}" for i in range(3000))],
    "list with a large element": ["RPUSH k a", "RPUSH k " + "y" * 20000, "RPUSH k b"],
    "integers": ["SADD k 1 -2 300000 4294967296"],
    "small set": ["SADD k a 12 ''"],
    "large set": ["SADD k " + " ".join(f"member-{i}" for i in range(1000))],
    "set of many integers": ["SADD k " + " ".join(map(str, range(1000)))],
    "small zset": ["ZADD k 1 a 1.5 b -inf c 1e100 d 0.1 e"],
    "large zset": ["ZADD k " + " ".join(f"{i / 7} member-{i}" for i in range(500))],
    "zset with a long member": ["ZADD k 1 " + "z" * 100],
    "small hash": ["HSET k a 1 b '' c " + "x" * 60],
    "large hash": ["HSET k " + " ".join(f"field-{i} value-{i}" for i in range(600))],
    "hash with a long value": ["HSET k a " + "v" * 100],
    "stream": ["XADD k 1-1 a 1", "XADD k 1-2 a 2 b 3", "XADD k 5-0 c 4", "XDEL k 1-2"],
    "stream with groups": [
        "XADD k 1-1 a 1", "XADD k 2-1 a 2", "XADD k 3-1 a 3", "XGROUP CREATE k g 0", "XGROUP CREATE k other $",
        "XREADGROUP GROUP g one COUNT 2 STREAMS k >", "XREADGROUP GROUP g two STREAMS k >", "XACK k g 1-1",
        "XGROUP CREATECONSUMER k g idle",
    ],
    "emptied stream": ["XADD k 1-1 a 1", "XDEL k 1-1"],
}


@pytest.fixture(scope="module")
def reference():
    """The newest of the real servers: its payloads are the truth."""
    binary = newest_reference()
    if not binary:
        pytest.fail("no reference server: install redis-server or valkey-server, or set REFERENCE_BIN")
    server = Server("--enable-debug-command", "yes", binary=binary)
    yield server
    server.destroy()


def contents(c, kind):
    """All that a client can see of the value; scores as numbers, as older servers write them with other digits."""
    if kind == "list":
        return c.call("LRANGE", "k", 0, -1)
    if kind == "set":
        return sorted(c.call("SMEMBERS", "k"))
    if kind == "zset":
        flat = c.call("ZRANGE", "k", 0, -1, "WITHSCORES")
        return [(member, float(score)) for member, score in zip(flat[::2], flat[1::2])]
    if kind == "hash":
        flat = c.call("HGETALL", "k")
        return sorted(zip(flat[::2], flat[1::2]))
    if kind == "stream":
        return c.call("XRANGE", "k", "-", "+"), without_times(c.call("XINFO", "STREAM", "k", "FULL"))
    return c.call("GET", "k")


def without_times(value):
    """What XINFO STREAM FULL tells, without how lately, and without how it lies in memory."""
    if not isinstance(value, list):
        return value
    named = {b"seen-time", b"active-time", b"radix-tree-keys", b"radix-tree-nodes"}
    kept, skip = [], False
    for i, item in enumerate(value):
        if skip:
            skip = False
        elif isinstance(item, bytes) and item in named:
            skip = True
        else:
            kept.append(without_times(item))
    return kept


@pytest.mark.parametrize("direction", ["here", "there"])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_goes_from_one_server_to_the_other(server, reference, client, name, direction):
    with reference.raw() as other:
        other.says("FLUSHALL", OK)
        source, target = (other, client) if direction == "here" else (client, other)
        for line in VALUES[name]:
            if not all(c.call("COMMAND", "INFO", line.split()[0])[0] for c in (source, target)):
                pytest.skip(f"not there yet: {line.split()[0]}")
            source.raw(*words(line))
        other.says("SET version v", OK)
        version = int.from_bytes(other.call("DUMP", "version")[-10:-8], "little")
        dumped = source.call("DUMP", "k")
        if dumped[0] > LAST_TYPES.get(version, 22):
            pytest.skip(f"not there in the reference, whose version is {version}")
        # A reference before Valkey 9 takes its own version only; the values are the same.
        target.says(("RESTORE", "k", 0, payload(dumped[:-10], version)), OK)
        kind = str(source.call("TYPE", "k"))
        assert str(target.call("TYPE", "k")) == kind
        assert contents(target, kind) == contents(source, kind)
        if version == 80:
            assert digest(target, "k") == digest(source, "k")
            assert target.call("OBJECT", "ENCODING", "k") == source.call("OBJECT", "ENCODING", "k")


def digest(c, key):
    return str(c.call("DEBUG", "DIGEST-VALUE", key)[0])


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_copied_renamed_or_moved_stays_what_it_is(client, name):
    for line in VALUES[name]:
        client.raw(*words(line))
    expected = digest(client, "k")
    assert expected != "0" * 40
    client.says("COPY k copy", 1)
    client.says("RENAME copy other", OK)
    client.says("MOVE other 1", 1)
    client.says("SELECT 1", OK)
    try:
        assert digest(client, "other") == expected
        encoding = client.call("OBJECT", "ENCODING", "other")
        client.says("DEL other", 1)
    finally:
        client.says("SELECT 0", OK)
    assert digest(client, "k") == expected
    client.says("OBJECT ENCODING k", encoding)
    assert client.call("MEMORY", "USAGE", "k", "SAMPLES", 0) > 0


def test_a_value_comes_back_with_its_time_to_live(client):
    client.says("SET k v", OK)
    dumped = client.call("DUMP", "k")
    client.says(("RESTORE", "k", 0, dumped), BUSY)
    client.says(("RESTORE", "k", 5000, dumped, "REPLACE"), OK)
    assert 4000 < client.call("PTTL", "k") <= 5000
    client.says(("RESTORE", "k", 0, dumped, "replace"), OK)
    client.says("PTTL k", -1)
    client.says(("RESTORE", "other", LATER, dumped, "ABSTTL"), OK)
    client.says("PEXPIRETIME other", LATER)
    client.says("DUMP none", NIL)


def test_a_time_that_is_over_leaves_nothing(client):
    client.says("SET k v", OK)
    dumped = client.call("DUMP", "k")
    client.says(("RESTORE", "new", 1, dumped, "ABSTTL"), OK)
    client.says("EXISTS new", 0)
    client.says(("RESTORE", "k", 1, dumped, "ABSTTL", "REPLACE"), OK)
    client.says("EXISTS k", 0)


def test_options_are_read_strictly_and_in_order(client):
    client.says("SET k v", OK)
    dumped = client.call("DUMP", "k")
    for line in (["NOPE"], ["IDLETIME"], ["FREQ"], ["FREQ", 1, "IDLETIME", 1], ["IDLETIME", 1, "FREQ", 1]):
        client.says(("RESTORE", "k", "x", b"", *line), SYNTAX)
    client.says(("RESTORE", "k", "x", b"", "IDLETIME", "x"), NOT_INT)
    client.says(("RESTORE", "k", "x", b"", "IDLETIME", "-1"), Err("ERR Invalid IDLETIME value, must be >= 0"))
    for n in (-1, 256):
        client.says(("RESTORE", "k", "x", b"", "FREQ", n), Err("ERR Invalid FREQ value, must be >= 0 and <= 255"))
    client.says(("RESTORE", "k", "x", b""), BUSY)
    client.says(("RESTORE", "n", "x", b""), NOT_INT)
    client.says(("RESTORE", "n", -1, b""), Err("ERR Invalid TTL value, must be >= 0"))
    client.says(("RESTORE", "n", 0, b""), FOOTER)
    client.says(("RESTORE", "n", 0, dumped, "IDLETIME", 1000), OK)
    assert 1000 <= client.call("OBJECT", "IDLETIME", "n") <= 1010


def test_a_frequency_is_taken_over(start_server):
    server = start_server("--maxmemory-policy", "allkeys-lfu")
    with server.raw() as c:
        c.says("SET k v", OK)
        dumped = c.call("DUMP", "k")
        c.says(("RESTORE", "n", 0, dumped, "FREQ", 100), OK)
        assert 99 <= c.call("OBJECT", "FREQ", "n") <= 101


@pytest.mark.parametrize("version,taken", [(0, False), (1, True), (6, True), (11, True), (12, False), (79, False), (80, True), (81, False)])
def test_versions_are_taken_by_the_rule(client, version, taken):
    client.says(("RESTORE", "k", 0, payload(b"\0\x01x", version)), OK if taken else FOOTER)


def test_future_versions_are_taken_where_that_is_allowed(client):
    client.says("CONFIG SET rdb-version-check relaxed", OK)
    try:
        client.says(("RESTORE", "k", 0, payload(b"\0\x01x", 500)), OK)
        client.says(("RESTORE", "k", 0, payload(b"\x16\x01x", 12), "REPLACE"), Err("ERR Unsupported foreign data type: 22"))
        client.says(("RESTORE", "k", 0, payload(b"\xf0\x01x", 500), "REPLACE"), FORMAT)
    finally:
        client.says("CONFIG SET rdb-version-check strict", OK)


@pytest.mark.parametrize("value", [
    b"", b"\0", b"\0\x02x", b"\0\xc4\0", b"\0\xc3\x05\x05ab", b"\0\x82x", b"\x01\0", b"\x02\0", b"\x03\0", b"\x04\0", b"\x05\0",
    b"\x06\x01x", b"\x07\x01x", b"\x08\x01x", b"\x17\x01x", b"\xff", b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01x",
    b"\x02\x02\x01a\x01a", b"\x04\x02\x01a\x01b\x01a\x01c", b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f", b"\x12\x01\x03\x01a",
    b"\x12\x01\x02\x07\x07\0\0\0\0\0\xff", b"\x14\x07\x07\0\0\0\0\0\xff", b"\x0b\x08\x02\0\0\0\0\0\0\0",
])
def test_what_is_no_value_is_refused(client, value):
    client.says(("RESTORE", "k", 0, payload(value)), FORMAT)
    client.says("EXISTS k", 0)


def test_payloads_of_old_versions(client):
    """Redis 2.8's list, set and sorted set of few elements."""
    ziplist = b"\x15\0\0\0\x10\0\0\0\x02\0" + b"\0\x04long" + b"\x06\xfe\x80" + b"\xff"
    ziplist = len(ziplist).to_bytes(4, "little") + ziplist[4:]
    if not client.call("COMMAND", "INFO", "LRANGE")[0]:
        pytest.skip("not there yet: LRANGE")
    client.says(("RESTORE", "l", 0, payload(b"\x0a" + bytes([len(ziplist)]) + ziplist, 6)), OK)
    client.says("LRANGE l 0 -1", ["long", "-128"])
    client.says(("RESTORE", "s", 0, payload(b"\x0b\x0c\x02\0\0\0\x02\0\0\0\xff\xff\x05\0", 6)), OK)
    client.says("SMEMBERS s", ["-1", "5"])
    client.says(("RESTORE", "z", 0, payload(b"\x03\x02\x01a\x031.5\x01b\xff", 6)), OK)
    client.says("ZRANGE z 0 -1 WITHSCORES", ["b", "-inf", "a", "1.5"])


def test_damaged_payloads_do_no_harm(server, client, rng):
    """Bytes are changed under a checksum that is right; the server lives on, and what it took it can give again."""
    samples = []
    for lines in VALUES.values():
        client.call("DEL", "k")
        replies = [client.raw(*words(line)) for line in lines]
        if not any(r.startswith(b"-") for r in replies) and len(client.call("DUMP", "k")) < 3000:
            samples.append(client.call("DUMP", "k")[:-10])
    end = time.monotonic() + 5
    while time.monotonic() < end:
        data = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x40, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)])
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)):]
        reply = client.raw("RESTORE", "k", 0, payload(data, 80), "REPLACE")
        if reply == b"+OK\r\n":
            again = client.call("DUMP", "k")
            client.says(("RESTORE", "copy", 0, again, "REPLACE"), OK)
        else:
            assert reply == b"-ERR Bad data format\r\n", reply
    assert server.alive()


@pytest.mark.parametrize("line", ["DUMP", "DUMP a b", "RESTORE", "RESTORE k 0"])
def test_arity_errors_name_the_command(client, line):
    client.says(line, arity(line.split()[0].lower()))
