"""Set commands: members through every encoding, draws that are fair, walks that miss nobody, and what is stored."""

import collections

import pytest

from resp import NIL, OK, Err, arity

WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")
NOT_POSITIVE = Err("ERR value is out of range, must be positive")

# The members of a set in each encoding.
CONTENTS = {
    "intset": [str(n) for n in range(-50, 50)],
    "listpack": ["member:%d" % n for n in range(100)],
    "hashtable": ["member:%d" % n for n in range(1000)],
    "hashtable for its length": ["x" * 65] + ["%d" % n for n in range(20)],
}


@pytest.fixture(params=CONTENTS)
def filled(request, client):
    """A key `s` in every encoding, and its members."""
    members = CONTENTS[request.param]
    assert client.call("SADD", "s", *members) == len(members)
    client.says("OBJECT ENCODING s", request.param.split()[0])
    return {m.encode() for m in members}


def members(client, key="s"):
    found = client.call("SMEMBERS", key)
    assert len(set(found)) == len(found)
    return set(found)


def walk(client, *options, between=None):
    cursor, found = b"0", []
    while True:
        cursor, some = client.call("SSCAN", "s", cursor, *options)
        found += some
        if cursor == b"0":
            return found
        if between:
            between()


def test_members_come_and_go_in_every_encoding(client, filled):
    assert members(client) == filled
    client.says("SCARD s", len(filled))
    for member in list(filled)[:20]:
        client.says(("SADD", "s", member), 0)
        client.says(("SISMEMBER", "s", member), 1)
        client.says(("SREM", "s", member, "nobody", member), 1)
        client.says(("SMISMEMBER", "s", member, "nobody"), [0, 0])
    rest = members(client)
    assert len(rest) == len(filled) - 20
    assert client.call("SREM", "s", *rest) == len(rest)
    client.says("EXISTS s", 0)
    client.says("SMEMBERS s", [])


def test_any_bytes_are_a_member(client):
    odd = [b"", b"\0", b"\r\n", b"\xff" * 70, b"01", b"-0", b"1", b"9223372036854775808", b"x" * 100_000]
    assert client.call("SADD", "s", *odd) == len(odd)
    assert members(client) == set(odd)
    for member in odd:
        client.says(("SISMEMBER", "s", member), 1)
    client.says("SISMEMBER s 0", 0)


def test_encodings_change_at_the_limits_and_not_back(client):
    client.call("SADD", "i", *range(512))
    client.says("OBJECT ENCODING i", "intset")
    client.says("SADD i 512", 1)
    client.says("OBJECT ENCODING i", "hashtable")
    client.says("SREM i 512", 1)
    client.says("OBJECT ENCODING i", "hashtable")
    client.call("SADD", "p", *("m%d" % n for n in range(128)))
    client.says("OBJECT ENCODING p", "listpack")
    client.says("SADD p one", 1)
    client.says("OBJECT ENCODING p", "hashtable")
    client.says("SADD mixed 1 2 3", 3)
    client.says("SADD mixed a", 1)
    client.says("OBJECT ENCODING mixed", "listpack")
    client.says("COPY mixed copy", 1)
    client.says("OBJECT ENCODING copy", "listpack")
    assert members(client, "copy") == {b"1", b"2", b"3", b"a"}


def test_pop_takes_each_member_once(client, filled):
    taken = [client.call("SPOP", "s")]
    for count in (3, 5, len(filled) // 2):
        some = client.call("SPOP", "s", count)
        assert len(some) == count
        taken += some
    assert len(set(taken)) == len(taken)
    assert members(client) == filled - set(taken)
    taken += client.call("SPOP", "s", len(filled))
    assert set(taken) == filled
    client.says("EXISTS s", 0)
    client.says("SPOP s", NIL)
    client.says("SPOP s 3", [])
    client.says("SPOP s -1", NOT_POSITIVE)


def test_random_members_are_different_unless_repetition_is_wanted(client, filled):
    for count in (1, 2, len(filled) // 3, len(filled) - 1, len(filled), len(filled) * 2):
        drawn = client.call("SRANDMEMBER", "s", count)
        assert len(drawn) == len(set(drawn)) == min(count, len(filled))
        assert set(drawn) <= filled
    drawn = client.call("SRANDMEMBER", "s", -3 * len(filled))
    assert len(drawn) == 3 * len(filled)
    assert set(drawn) <= filled
    assert client.call("SRANDMEMBER", "s") in filled


@pytest.mark.parametrize("command", ["SRANDMEMBER s", "SRANDMEMBER s 1", "SRANDMEMBER s -1", "SRANDMEMBER s 40"])
@pytest.mark.parametrize("count", [100, 400])
def test_every_member_is_drawn_with_the_same_probability(client, command, count):
    client.call("SADD", "s", *("member:%d" % n for n in range(1000)))
    # What is left after a mass deletion is drawn as fairly.
    client.call("SREM", "s", *("member:%d" % n for n in range(count, 1000)))
    drawn = collections.Counter()
    while sum(drawn.values()) < 20 * count:
        reply = client.call(*command.split())
        drawn.update(reply if isinstance(reply, list) else [reply])
    total = sum(drawn.values())
    expected = total / count
    chi = sum((n - expected) ** 2 / expected for n in drawn.values())
    assert len(drawn) == count
    # About normal with this mean and variance; five deviations.
    assert chi < count + 5 * (2 * count) ** 0.5


def test_a_walk_meets_every_member(client, filled):
    found = walk(client)
    assert set(found) == filled and len(found) == len(filled)
    if len(filled) == 1000:
        assert len(walk(client, "COUNT", 7)) == 1000
    assert set(walk(client, "MATCH", "*1*")) == {m for m in filled if b"1" in m}


def test_a_walk_misses_nobody_who_stays(client):
    stay = {b"stay:%d" % n for n in range(500)}
    client.call("SADD", "s", *stay)
    rounds = iter(range(10**6))

    def come_and_go():
        n = next(rounds)
        if n % 40 < 20:
            client.call("SADD", "s", *("guest:%d" % (n * 100 + i) for i in range(100)))
        elif n % 40 == 20:
            guests = [m for m in client.call("SMEMBERS", "s") if m.startswith(b"guest")]
            client.call("SREM", "s", *guests)

    found = set(walk(client, "COUNT", 5, between=come_and_go))
    assert stay <= found


def test_sets_are_combined_whatever_their_encodings(client):
    contents = {name: {m.encode() for m in some} for name, some in CONTENTS.items()}
    keys = []
    for n, (name, some) in enumerate(contents.items()):
        keys.append("k%d" % n)
        client.call("SADD", keys[-1], *some)
    sets = dict(zip(keys, contents.values()))
    for a in keys:
        for b in keys:
            for name, wanted in (("INTER", sets[a] & sets[b]), ("UNION", sets[a] | sets[b]), ("DIFF", sets[a] - sets[b])):
                assert set(client.call("S" + name, a, b)) == wanted
                client.says(("S%sSTORE" % name, "to", a, b), len(wanted))
                assert members(client, "to") == wanted
            client.says(("SINTERCARD", 2, a, b), len(sets[a] & sets[b]))
            client.says(("SINTERCARD", 2, a, b, "LIMIT", 7), min(7, len(sets[a] & sets[b])))
    assert set(client.call("SUNION", *keys)) == set.union(*sets.values())
    assert client.call("SINTER", *keys) == []


def test_what_is_stored_takes_the_place_of_anything(client):
    client.says("SADD a 1 2 3", 3)
    client.says("SADD b 2 3 4", 3)
    client.says("SET to string EX 100", OK)
    client.says("SINTERSTORE to a b", 2)
    client.says("TTL to", -1)
    client.says("OBJECT ENCODING to", "intset")
    client.says("SDIFFSTORE a a b", 1)
    assert members(client, "a") == {b"1"}
    client.says("SINTERSTORE a a nothing", 0)
    client.says("EXISTS a", 0)


def test_a_member_moves(client):
    client.says("SADD from a b", 2)
    client.says("SMOVE from to a", 1)
    client.says("SMOVE from to nobody", 0)
    client.says("SMOVE from from b", 1)
    client.says("SADD to b", 1)
    client.says("SMOVE from to b", 1)
    client.says("EXISTS from", 0)
    assert members(client, "to") == {b"a", b"b"}
    client.says("SMOVE nothing to a", 0)


@pytest.mark.parametrize("line", [
    "SADD k a", "SREM k a", "SISMEMBER k a", "SMISMEMBER k a", "SCARD k", "SMEMBERS k", "SMOVE k to a", "SPOP k", "SPOP k 1",
    "SRANDMEMBER k", "SRANDMEMBER k 1", "SINTER k", "SINTERCARD 1 k", "SINTERSTORE to k", "SUNION k", "SUNIONSTORE to k", "SDIFF k",
    "SDIFFSTORE to k", "SSCAN k 0",
])
def test_other_types_are_refused_and_stay(client, line):
    client.says("SET k v", OK)
    client.says(line, WRONG_TYPE)
    client.says("GET k", "v")
    client.says("EXISTS to", 0)
    client.says("DEL k", 1)
    client.says("SADD k a", 1)
    for line in ("GET k", "INCR k", "APPEND k x"):
        client.says(line, WRONG_TYPE)


@pytest.mark.parametrize("name", [
    "sadd", "srem", "sismember", "smismember", "scard", "smembers", "smove", "spop", "srandmember", "sinter", "sintercard", "sinterstore",
    "sunion", "sunionstore", "sdiff", "sdiffstore", "sscan",
])
def test_commands_want_their_arguments(client, name):
    client.says(name, arity(name))


def test_resp3_says_which_replies_are_sets(client3):
    client3.says("SADD s a", 1)
    for line in ("SMEMBERS s", "SINTER s", "SUNION s", "SDIFF s", "SPOP s 1"):
        assert client3.raw(*line.split()) == b"~1\r\n$1\r\na\r\n", line
    client3.says("SADD s a", 1)
    assert client3.raw("SRANDMEMBER", "s", 2) == b"*1\r\n$1\r\na\r\n"
