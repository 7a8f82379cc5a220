"""List commands: elements through every encoding, places from either end, and waiting for what is not there."""

import threading
import time

import pytest

from harness import eventually
from resp import NIL, OK, QUEUED, Err, Simple

WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")

# The elements of a list in each encoding.
CONTENTS = {
    "listpack": ["e%d" % n for n in range(100)],
    "listpack of numbers": [str(n - 3000) for n in range(0, 6000, 60)],
    "quicklist": ["element:%d" % n for n in range(5000)],
    "quicklist with large elements": ["x" * 20_000 + str(n) if n % 7 == 0 else "e%d" % n for n in range(100)],
}


@pytest.fixture(params=CONTENTS)
def filled(request, client):
    """A key `l` in every encoding, and its elements."""
    elements = [e.encode() for e in CONTENTS[request.param]]
    assert client.call("RPUSH", "l", *elements) == len(elements)
    client.says("OBJECT ENCODING l", request.param.split()[0])
    return elements


@pytest.fixture
def compressed(client):
    """A key `l` whose inner nodes are compressed, and its elements."""
    client.says("CONFIG SET list-compress-depth 1", OK)
    elements = [b"the same words %d" % n for n in range(5000)]
    client.call("RPUSH", "l", *elements)
    assert "ql_compressed:1" in client.call("DEBUG", "OBJECT", "l")
    yield elements
    client.says("CONFIG SET list-compress-depth 0", OK)


def all_of(client, key="l"):
    return client.call("LRANGE", key, 0, -1)


def test_elements_are_read_from_either_end_in_every_encoding(client, filled):
    n = len(filled)
    client.says("LLEN l", n)
    for index in (0, 1, n // 2, n - 1, -1, -n):
        client.says(("LINDEX", "l", index), filled[index])
    client.says(("LINDEX", "l", n), NIL)
    client.says(("LINDEX", "l", -n - 1), NIL)
    for start, stop in [(0, -1), (3, 10), (-10, -3), (n // 2, n), (n, n + 1), (5, 3), (-n - 5, 2)]:
        first, last = (max(i + n, 0) if i < 0 else i for i in (start, stop))
        client.says(("LRANGE", "l", start, stop), filled[first:last + 1])
    client.says(("LPOS", "l", filled[70]), 70)
    client.says(("LPOS", "l", filled[70], "RANK", -1, "COUNT", 0), [70])


def edit(client, elements):
    """Edits here and there; what is left."""
    middle = len(elements) // 2
    client.says(("LINSERT", "l", "BEFORE", elements[middle], "new"), len(elements) + 1)
    elements.insert(middle, b"new")
    client.says(("LINSERT", "l", "AFTER", elements[10], "z" * 9000), len(elements) + 1)
    elements.insert(11, b"z" * 9000)
    for index, text in [(5, b"short"), (-5, b"y" * 10_000), (middle, b"17")]:
        client.says(("LSET", "l", index, text), OK)
        elements[index] = text
    for index in (3, 20, -9):
        client.says(("LREM", "l", 1, elements[index]), 1)
        del elements[index]
    client.says(("LPUSH", "l", "a", "b"), len(elements) + 2)
    elements[:0] = [b"b", b"a"]
    client.says(("RPOP", "l", 3), elements[:-4:-1])
    del elements[-3:]
    client.says("LTRIM l 1 -2", OK)
    return elements[1:-1]


def test_elements_are_changed_anywhere_in_every_encoding(client, filled):
    left = edit(client, filled)
    assert all_of(client) == left
    assert client.call("LPOP", "l", len(left)) == left
    client.says("EXISTS l", 0)


def test_a_compressed_list_is_like_any_other(client, compressed):
    left = edit(client, compressed)
    assert all_of(client) == left
    for index in range(0, len(left), 97):
        client.says(("LINDEX", "l", index), left[index])
    client.says("COPY l copy", 1)
    assert all_of(client, "copy") == left
    with_depth = int(client.call("MEMORY", "USAGE", "l"))
    client.says("CONFIG SET list-compress-depth 0", OK)
    client.call("RPUSH", "plain", *left)
    assert with_depth * 2 < client.call("MEMORY", "USAGE", "plain")


def test_a_list_changes_its_encoding_at_the_limit_and_back_at_half_of_it(client):
    client.says("CONFIG SET list-max-listpack-size 10", OK)
    client.call("RPUSH", "l", *range(10))
    client.says("OBJECT ENCODING l", "listpack")
    client.says("RPUSH l 10", 11)
    client.says("OBJECT ENCODING l", "quicklist")
    client.says("LPOP l 5", [b"%d" % n for n in range(5)])
    client.says("OBJECT ENCODING l", "quicklist")
    client.says("RPOP l", "10")
    client.says("OBJECT ENCODING l", "listpack")
    assert all_of(client) == [b"%d" % n for n in range(5, 10)]
    client.says("CONFIG SET list-max-ziplist-size -2", OK)
    client.says("CONFIG GET list-max-listpack-size", [b"list-max-listpack-size", b"-2"])
    client.says(("RPUSH", "big", "x" * 8185), 1)
    client.says("OBJECT ENCODING big", "listpack")
    client.says(("LSET", "big", 0, "x" * 8200), OK)
    client.says("OBJECT ENCODING big", "quicklist")
    client.says("LSET big 0 x", OK)
    client.says("OBJECT ENCODING big", "listpack")


def test_a_dumped_list_is_restored_with_its_encoding(client, filled):
    client.says(("RESTORE", "again", 0, client.call("DUMP", "l")), OK)
    assert all_of(client, "again") == filled
    assert client.call("OBJECT", "ENCODING", "again") == client.call("OBJECT", "ENCODING", "l")


def test_a_million_elements_do_not_hold_anybody_up(client, other):
    words = [b"element:%d" % n for n in range(10_000)]
    for _ in range(100):
        client.call("RPUSH", "l", *words)
    other.says("SET k v", OK)
    commands = [
        ("LINDEX", "l", 500_000), ("LSET", "l", 500_001, "here"), ("LINSERT", "l", "BEFORE", "here", "there"),
        ("LPOS", "l", "here"), ("LREM", "l", -1, "here"), ("LTRIM", "l", 1000, -1000), ("LRANGE", "l", 400_000, 400_010),
    ]
    for command in commands:
        began = time.monotonic()
        client.call(*command)
        # A debug build on a busy machine: far above what it takes, far below what a copy of all would.
        assert time.monotonic() - began < 2, command
    client.says("LLEN l", 998_001)
    client.says("DEL l", 1)


# Waiting


def waits(server, client_id):
    with server.raw() as c:
        return b"flags=b" in c.call("CLIENT", "LIST", "ID", client_id)


@pytest.fixture
def waiting(server, client):
    """Starts commands that wait, each on a connection of its own, one after the other."""
    connections = []

    def start(*command, protocol=2):
        c = server.raw(protocol)
        connections.append(c)
        client_id = c.call("CLIENT", "ID")
        c.send_command(*command)
        eventually(lambda: waits(server, client_id), f"{command} waits")
        c.id = client_id
        return c

    yield start
    for c in connections:
        c.close()


def test_what_is_pushed_goes_to_who_waits_longest(client, waiting):
    first, second, third = (waiting("BLPOP", "l", 0) for _ in range(3))
    client.says("RPUSH l a b", 2)
    first.hears([b"l", b"a"])
    second.hears([b"l", b"b"])
    client.says("EXISTS l", 0)
    client.says("RPUSH l c d", 2)
    third.hears([b"l", b"c"])
    assert all_of(client) == [b"d"]


def test_each_way_of_waiting_has_its_reply(client, waiting):
    pairs = [
        (("BRPOP", "l", 0), [b"l", b"b"]),
        (("BLMPOP", 0, 2, "none", "l", "RIGHT", "COUNT", 5), [b"l", [b"b", b"a"]]),
        (("BLMOVE", "l", "t", "LEFT", "RIGHT", 0), b"a"),
        (("BRPOPLPUSH", "l", "t", 0), b"b"),
    ]
    for command, reply in pairs:
        client.says("FLUSHALL", OK)
        c = waiting(*command)
        client.says("RPUSH l a b", 2)
        c.hears(reply)
        c.says("PING", Simple("PONG"))


@pytest.mark.parametrize("protocol, nothing", [(2, b"*-1\r\n"), (3, b"_\r\n")])
def test_a_wait_ends_with_its_time(server, client, protocol, nothing):
    with server.raw(protocol) as c:
        for command in [("BLPOP", "l", "0.02"), ("BRPOP", "l", "m", "0.02"), ("BLMPOP", "0.02", 1, "l", "LEFT"),
                        ("BLMOVE", "l", "m", "LEFT", "LEFT", "0.02"), ("BRPOPLPUSH", "l", "m", "0.02")]:
            began = time.monotonic()
            assert c.raw(*command) == nothing
            # The server counts whole milliseconds.
            assert time.monotonic() - began >= 0.019


def test_keys_are_looked_at_in_the_order_in_which_they_are_named(client, waiting):
    c = waiting("BLPOP", "a", "b", "a", 0)
    client.says("MULTI", OK)
    client.says("RPUSH b 1", QUEUED)
    client.says("RPUSH a 2", QUEUED)
    client.says("EXEC", [1, 1])
    c.hears([b"a", b"2"])
    assert all_of(client, "b") == [b"1"]


def test_what_comes_and_goes_within_a_transaction_wakes_nobody(client, waiting):
    c = waiting("BLPOP", "l", 0)
    client.says("MULTI", OK)
    client.says("RPUSH l a", QUEUED)
    client.says("DEL l", QUEUED)
    client.says("SET l text", QUEUED)
    client.says("EXEC", [1, 1, OK])
    client.says("DEL l", 1)
    client.says("RPUSH l b", 1)
    c.hears([b"l", b"b"])


def test_an_element_that_is_moved_wakes_who_waits_for_where_it_goes(client, waiting):
    last = waiting("BLPOP", "c", 0)
    middle = waiting("BLMOVE", "b", "c", "LEFT", "RIGHT", 0)
    first = waiting("BRPOPLPUSH", "a", "b", 0)
    client.says("RPUSH a x", 1)
    for c, reply in [(first, b"x"), (middle, b"x"), (last, [b"c", b"x"])]:
        c.hears(reply)
    client.says("DBSIZE", 0)


def test_who_waits_to_move_to_what_is_no_list_is_told_so_and_loses_nothing(client, waiting):
    client.says("SET t text", OK)
    c = waiting("BLMOVE", "l", "t", "LEFT", "LEFT", 0)
    client.says("RPUSH l a", 1)
    c.hears(WRONG_TYPE)
    assert all_of(client) == [b"a"]


def test_lists_that_come_by_other_ways_wake_who_waits(client, waiting):
    for line in ["RENAME other l", "COPY other l", "SORT other STORE l", "RESTORE l 0 %s"]:
        client.says("FLUSHALL", OK)
        client.says("RPUSH other 7", 1)
        dumped = client.call("DUMP", "other")
        c = waiting("BLPOP", "l", 0)
        client.call(*[dumped if word == "%s" else word for word in line.split()])
        c.hears([b"l", b"7"])


def test_who_gave_up_or_left_takes_nothing(server, client, waiting):
    gone, told, kept = (waiting("BLPOP", "l", 0) for _ in range(3))
    gone.close()
    eventually(lambda: b"blocked_clients:2\r\n" in client.call("INFO", "clients"), "one has left")
    client.says(("CLIENT", "UNBLOCK", told.id, "ERROR"), 1)
    told.hears(Err("UNBLOCKED client unblocked via CLIENT UNBLOCK"))
    client.says("RPUSH l a b", 2)
    kept.hears([b"l", b"a"])
    assert all_of(client) == [b"b"]
    told.says("LLEN l", 1)


def test_many_who_wait_share_what_comes_without_loss(server, client, waiting):
    waiters = [waiting("BLPOP", "l", 0) for _ in range(20)]
    expected = [b"%d" % n for n in range(20)]
    client.pipeline([("RPUSH", "l", e) for e in expected])
    for c, e in zip(waiters, expected):
        c.hears([b"l", e])
    client.says("EXISTS l", 0)


def test_nothing_is_lost_or_doubled_between_many_who_push_and_many_who_wait(server, client):
    pushers, each = 3, 2000
    taken, done = [], threading.Event()

    def take(number):
        commands = [("BLPOP", "a", "b", "0.05"), ("BRPOP", "b", "a", "0.05"), ("BLMOVE", "a", "b", "LEFT", "RIGHT", "0.05"),
                    ("BLMPOP", "0.05", 2, "b", "a", "LEFT", "COUNT", 3)]
        with server.raw() as c:
            while not done.is_set():
                command = commands[number % len(commands)]
                number += 1
                reply = c.call(*command)
                if isinstance(reply, list):
                    taken.extend(reply[1] if isinstance(reply[1], list) else [reply[1]])
                if number % 50 == 0:  # one who leaves while it waits
                    with server.raw() as gone:
                        gone.send_command("BLPOP", "never", "ever", 0)

    def push(number):
        with server.raw() as c:
            for n in range(number * each, (number + 1) * each, 10):
                batch = [("RPUSH", "ab"[i % 2], i) for i in range(n, n + 10)]
                c.pipeline([("MULTI",), *batch, ("EXEC",)] if n % 20 else batch)

    takers = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    others = [threading.Thread(target=push, args=(n,)) for n in range(pushers)]
    for t in takers + others:
        t.start()
    for t in others:
        t.join()
    eventually(lambda: client.call("EXISTS", "a", "b") == 0, "all is taken")
    done.set()
    for t in takers:
        t.join()
    assert sorted(map(int, taken)) == list(range(pushers * each))


def test_what_follows_a_wait_in_a_pipeline_follows_its_reply(server, client):
    with server.raw() as c:
        c.send(b"BLPOP l 0\r\nSET k v\r\nLLEN l\r\n")
        eventually(lambda: b"blocked_clients:1\r\n" in client.call("INFO", "clients"), "it waits")
        client.says("GET k", NIL)
        client.says("RPUSH l a b", 2)
        c.hears([b"l", b"a"], OK, 1)
