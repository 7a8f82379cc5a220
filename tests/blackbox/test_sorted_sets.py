"""Sorted set commands against a model in every encoding: order, ranges, pops, unions; and those that wait."""

import bisect
import random

import pytest

from harness import eventually
from resp import NIL, NIL_ARRAY, OK, SYNTAX, Double, Err, arity

WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")
NOT_FLOAT = Err("ERR value is not a valid float")
NOT_A_RANGE = Err("ERR min or max is not a float")
NOT_A_LEX_RANGE = Err("ERR min or max not valid string range item")

# Members and scores of a sorted set in each encoding.
CONTENTS = {
    "listpack": {"member:%d" % n: n % 7 for n in range(100)},
    "skiplist": {"member:%d" % n: n % 70 for n in range(3000)},
    "skiplist for a length": {"x" * 65: 3} | {str(n): n / 4 for n in range(20)},
}


def in_order(scores):
    return sorted(((m.encode(), s) for m, s in scores.items()), key=lambda e: (e[1], e[0]))


def text(score):
    return b"%d" % score if score == int(score) else repr(score).encode()


def flat(elements):
    return [part for member, score in elements for part in (member, text(score))]


@pytest.fixture(params=CONTENTS)
def filled(request, client):
    """A key `z` in every encoding, and what is in it, in order."""
    scores = CONTENTS[request.param]
    words = [w for m, s in scores.items() for w in (s, m)]
    assert client.call("ZADD", "z", *words) == len(scores)
    client.says("OBJECT ENCODING z", request.param.split()[0])
    return in_order(scores)


def test_members_have_ranks_from_either_end(client, filled):
    client.says("ZCARD z", len(filled))
    for rank, (member, score) in list(enumerate(filled))[:: len(filled) // 20]:
        client.says(("ZRANK", "z", member), rank)
        client.says(("ZREVRANK", "z", member), len(filled) - 1 - rank)
        client.says(("ZRANK", "z", member, "WITHSCORE"), [rank, text(score)])
        client.says(("ZSCORE", "z", member), text(score))
        client.says(("ZRANGE", "z", rank, rank, "WITHSCORES"), [member, text(score)])
    client.says("ZRANK z nobody", NIL)
    client.says("ZRANK z nobody WITHSCORE", NIL_ARRAY)


def test_ranges_of_ranks(client, filled):
    chance = random.Random(3)
    members = [m for m, _ in filled]
    for _ in range(60):
        start, stop = (chance.randint(-len(filled) - 3, len(filled) + 3) for _ in range(2))
        first = start if start >= 0 else max(0, start + len(filled))
        last = stop if stop >= 0 else stop + len(filled)
        client.says(("ZRANGE", "z", start, stop), members[first : last + 1] if last >= 0 else [])
        backwards = members[::-1][first : last + 1] if last >= 0 else []
        client.says(("ZREVRANGE", "z", start, stop), backwards)
        client.says(("ZRANGE", "z", start, stop, "REV"), backwards)


def test_ranges_of_scores(client, filled):
    chance = random.Random(4)
    scores = [s for _, s in filled]
    bounds = sorted({-1, max(scores) + 1, *scores})
    for _ in range(60):
        low, high = chance.choice(bounds), chance.choice(bounds)
        open_low, open_high = chance.random() < 0.4, chance.random() < 0.4
        first = (bisect.bisect_right if open_low else bisect.bisect_left)(scores, low)
        end = (bisect.bisect_left if open_high else bisect.bisect_right)(scores, high)
        found = filled[first:end]
        low, high = ("(" * open_low + str(low), "(" * open_high + str(high))
        client.says(("ZCOUNT", "z", low, high), len(found))
        client.says(("ZRANGEBYSCORE", "z", low, high, "WITHSCORES"), flat(found))
        client.says(("ZRANGE", "z", high, low, "BYSCORE", "REV", "WITHSCORES"), flat(found[::-1]))
        skip, count = chance.randint(0, 4), chance.randint(-1, 5)
        some = found[skip:] if count < 0 else found[skip : skip + count]
        client.says(("ZRANGE", "z", low, high, "BYSCORE", "LIMIT", skip, count, "WITHSCORES"), flat(some))
    client.says("ZCOUNT z -inf +inf", len(filled))


@pytest.mark.parametrize("size", [50, 1000])
def test_ranges_of_members(client, size):
    chance = random.Random(5)
    members = sorted(b"m%d" % n for n in range(size))
    client.call("ZADD", "z", *[w for m in members for w in (0, m)])
    for _ in range(60):
        low, high = sorted(chance.choices(members, k=2))
        found = [m for m in members if low < m <= high]
        low, high = b"(" + low, b"[" + high
        client.says(("ZLEXCOUNT", "z", low, high), len(found))
        client.says(("ZRANGE", "z", low, high, "BYLEX"), found)
        client.says(("ZREVRANGEBYLEX", "z", high, low, "LIMIT", 1, 3), found[::-1][1:4])
    client.says("ZRANGEBYLEX z - +", members)
    client.says("ZRANGEBYLEX z + -", [])
    client.says(("ZREMRANGEBYLEX", "z", "-", b"(" + members[-1]), size - 1)
    client.says("ZRANGE z 0 -1", [members[-1]])


def test_scores_change_and_members_move(client, filled):
    scores = dict(filled)
    chance = random.Random(6)
    for _ in range(200):
        member = chance.choice([m for m, _ in filled])
        by = chance.choice([-2.5, -1, 0, 0.25, 7])
        scores[member] += by
        client.says(("ZINCRBY", "z", by, member), text(scores[member]))
    expected = sorted(scores.items(), key=lambda e: (e[1], e[0]))
    client.says("ZRANGE z 0 -1 WITHSCORES", flat(expected))


def test_ranges_are_removed(client, filled):
    left = list(filled)
    client.says("ZREMRANGEBYRANK z 3 5", 3)
    del left[3:6]
    low, high = left[2][1], left[8][1]
    gone = [e for e in left if low <= e[1] < high]
    client.says(("ZREMRANGEBYSCORE", "z", low, "(%s" % high), len(gone))
    left = [e for e in left if e not in gone]
    client.says("ZRANGE z 0 -1 WITHSCORES", flat(left))
    client.says(("ZREM", "z", "nobody", left[0][0], left[0][0], left[-1][0]), 2)
    client.says("ZREMRANGEBYRANK z 0 -1", len(left) - 2)
    client.says("EXISTS z", 0)


def test_the_lowest_and_the_highest_are_popped(client, filled):
    client.says("ZPOPMIN z", flat(filled[:1]))
    client.says("ZPOPMAX z 3", flat(filled[:-4:-1]))
    client.says("ZMPOP 2 none z MIN COUNT 2", [b"z", [[m, text(s)] for m, s in filled[1:3]]])
    client.says("ZPOPMIN z 100000", flat(filled[3:-3]))
    client.says("EXISTS z", 0)
    client.says("ZPOPMIN z", [])
    client.says("ZMPOP 1 z MAX", NIL_ARRAY)


def test_random_members(client, filled):
    members = {m for m, _ in filled}
    scores = {m: text(s) for m, s in filled}
    assert client.call("ZRANDMEMBER", "z") in members
    some = client.call("ZRANDMEMBER", "z", len(filled) // 2)
    assert len(set(some)) == len(some) == len(filled) // 2 and set(some) <= members
    assert set(client.call("ZRANDMEMBER", "z", len(filled) + 5)) == members
    drawn = client.call("ZRANDMEMBER", "z", -2 * len(filled), "WITHSCORES")
    assert len(drawn) == 4 * len(filled)
    assert all(scores[m] == s for m, s in zip(drawn[::2], drawn[1::2]))


def test_a_walk_meets_who_stays(client, filled):
    cursor, met = b"0", set()
    while True:
        cursor, some = client.call("ZSCAN", "z", cursor, "COUNT", 20, "NOSCORES")
        met.update(some)
        if cursor == b"0":
            break
        client.call("ZADD", "z", *[w for n in range(50) for w in (n, "new:%d" % random.randrange(10000))])
    assert met >= {m for m, _ in filled}


def test_ranges_are_stored(client, filled):
    client.says("SET to string", OK)
    client.says("ZRANGESTORE to z 2 4", 3)
    client.says("ZRANGE to 0 -1 WITHSCORES", flat(filled[2:5]))
    client.says("ZRANGESTORE z z 0 1 REV", 2)
    client.says("ZRANGE z 0 -1 WITHSCORES", flat(filled[-2:]))
    client.says("ZRANGESTORE to none 0 -1", 0)
    client.says("EXISTS to", 0)


def test_several_make_one(client, filled):
    half = dict(filled[::2])
    client.call("ZADD", "half", *[w for m, s in half.items() for w in (s + 1, m)])
    client.call("SADD", "set", *[m for m, _ in filled[:5]], "stranger")
    scores = dict(filled)
    both = sorted(((m, 2 * scores[m] + 10 * (s + 1)) for m, s in half.items()), key=lambda e: (e[1], e[0]))
    client.says("ZINTER 2 z half WEIGHTS 2 10 WITHSCORES", flat(both))
    client.says("ZINTERCARD 2 z half LIMIT 7", 7)
    client.says("ZDIFF 2 z half WITHSCORES", flat(filled[1::2]))
    union = sorted(((m, max(s, half.get(m, -9) + 1)) for m, s in scores.items()), key=lambda e: (e[1], e[0]))
    client.says("ZUNION 2 z half AGGREGATE MAX WITHSCORES", flat(union))
    client.says("ZINTERSTORE to 2 set z AGGREGATE MIN", 5)
    client.says("ZUNIONSTORE to 1 set", 6)
    client.says("ZSCORE to stranger", "1")
    client.says("ZDIFFSTORE to 2 z z", 0)
    client.says("EXISTS to", 0)


def test_scores_are_numbers_as_valkey_reads_and_writes_them(client):
    for said, kept in (
        ("3.0", "3"), ("-0", "0"), ("1e3", "1000"), ("+.5", "0.5"), ("inf", "inf"), ("-Infinity", "-inf"),
        ("0.1", "0.1"), ("1e17", "100000000000000000"), ("1e19", "1e+19"), ("1.35e22", "13500000000000001000000"),
        ("1e-7", "1e-7"), ("0.30000000000000004", "0.30000000000000004"),
    ):
        client.call("ZADD", "z", said, "m")
        client.says("ZSCORE z m", kept)
        client.says("DEL z", 1)
    for said in ("nan", "", "x", "1 ", "0x10", "1e400", "1e-400"):
        client.says(("ZADD", "z", said, "m"), NOT_FLOAT)
    client.says("EXISTS z", 0)


def test_infinities_do_not_cancel_out(client):
    client.says("ZADD z inf m", 1)
    client.says("ZINCRBY z -inf m", Err("ERR resulting score is not a number (NaN)"))
    client.says("ZADD other -inf m", 1)
    client.says("ZUNION 2 z other WITHSCORES", [b"m", b"0"])


def test_resp3_has_doubles_and_pairs(client3):
    client3.says("ZADD z 1 a 2.5 b", 2)
    client3.says("ZSCORE z b", Double(2.5))
    client3.says("ZRANGE z 0 -1 WITHSCORES", [[b"a", Double(1)], [b"b", Double(2.5)]])
    client3.says("ZRANK z b WITHSCORE", [1, Double(2.5)])
    client3.says("ZRANK z none WITHSCORE", NIL)
    client3.says("ZADD z INCR 1 a", Double(2))
    client3.says("ZPOPMAX z 1", [[b"b", Double(2.5)]])
    client3.says("ZPOPMAX z", [b"a", Double(2)])


@pytest.mark.parametrize("command,error", [
    ("ZADD z", arity("zadd")), ("ZADD z 1", arity("zadd")), ("ZADD z 1 a 2", SYNTAX), ("ZADD z x a", NOT_FLOAT),
    ("ZADD z NX XX 1 a", Err("ERR XX and NX options at the same time are not compatible")),
    ("ZADD z GT NX 1 a", Err("ERR GT, LT, and/or NX options at the same time are not compatible")),
    ("ZADD z INCR 1 a 2 b", Err("ERR INCR option supports a single increment-element pair")),
    ("ZCOUNT z a 1", NOT_A_RANGE), ("ZRANGE z a 1 BYSCORE", NOT_A_RANGE), ("ZLEXCOUNT z a b", NOT_A_LEX_RANGE),
    ("ZRANGE z 0 1 BYSCORE BYLEX", SYNTAX), ("ZRANGE z 0 1 LIMIT 1", SYNTAX), ("ZPOPMIN z 1 2", SYNTAX),
    ("ZPOPMIN z -1", Err("ERR value is out of range, must be positive")),
    ("ZUNION 0 z", Err("ERR at least 1 input key is needed for 'zunion' command")), ("ZUNION 2 z", SYNTAX),
    ("ZUNIONSTORE to 3 z", SYNTAX), ("ZDIFF 1 z AGGREGATE SUM", SYNTAX),
    ("ZUNION 1 z WEIGHTS x", Err("ERR weight value is not a float")), ("ZMPOP 0 z MIN", Err("ERR numkeys should be greater than 0")),
    ("ZRANDMEMBER z -9223372036854775807", Err("ERR value is out of range")), ("ZSCAN z x", Err("ERR invalid cursor")),
    ("BZPOPMIN z x", Err("ERR timeout is not a float or out of range")), ("BZPOPMIN z -1", Err("ERR timeout is negative")),
    ("ZCARD s", WRONG_TYPE), ("ZADD s 1 a", WRONG_TYPE), ("ZUNION 2 z s", WRONG_TYPE), ("BZPOPMIN s 0", WRONG_TYPE),
])
def test_mistakes_are_told(client, command, error):
    client.says("ZADD z 1 a", 1)
    client.says("SET s x", OK)
    client.says(command, error)
    client.says("ZRANGE z 0 -1 WITHSCORES", [b"a", b"1"])


def test_who_waits_is_served_in_the_order_of_arrival(server, client, other):
    with server.raw() as first, server.raw() as second:
        first.send_command("BZPOPMIN", "none", "z", 0)
        waits(client, 1)
        second.send_command("BZMPOP", 0, 1, "z", "MAX", "COUNT", 5)
        waits(client, 2)
        other.says("MULTI", OK)
        other.call("ZADD", "z", 1, "gone")
        other.call("DEL", "z")
        other.says("EXEC", [1, 1])
        waits(client, 2)
        other.says("ZADD z 1 a 2 b 3 c", 3)
        first.hears([b"z", b"a", b"1"])
        second.hears([b"z", [[b"c", b"3"], [b"b", b"2"]]])
        other.says("EXISTS z", 0)


def test_a_wait_ends_at_its_time_and_in_a_transaction_at_once(client):
    client.says("BZPOPMAX none 0.01", NIL_ARRAY)
    client.says("BZMPOP 0.01 1 none MIN", NIL_ARRAY)
    client.says("MULTI", OK)
    client.call("BZPOPMIN", "none", 0)
    client.says("EXEC", [NIL_ARRAY])


def waits(client, count):
    eventually(lambda: b"blocked_clients:%d\r" % count in client.call("INFO", "clients"), f"{count} clients wait")


def test_a_large_set_stays_quick_and_lean(client):
    size = 100_000
    for n in range(0, size, 1000):
        client.call("ZADD", "z", *[w for i in range(n, n + 1000) for w in (i * 7919 % size, "member:%09d" % i)])
    client.says("ZCARD z", size)
    client.says("ZRANK z member:000000001", 7919)
    client.says("ZRANGE z 50000 50000 WITHSCORES", [b"member:%09d" % (50000 * pow(7919, -1, size) % size), b"50000"])
    assert client.call("MEMORY", "USAGE", "z") / size < 70
