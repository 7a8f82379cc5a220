"""Streams over sockets: what each command replies, who is woken, and in which order."""

import threading
import time

import pytest

from harness import eventually
from resp import NIL_ARRAY, OK, QUEUED, Err, Map

BAD_ID = Err("ERR Invalid stream ID specified as stream command argument")
WRONG_TYPE = Err("WRONGTYPE Operation against a key holding the wrong kind of value")


def entry(entry_id, *fields):
    return [entry_id, [str(f) for f in fields]]


def fill(client, count=5, key="s"):
    for ms in range(1, count + 1):
        client.says(f"XADD {key} {ms}-0 f {ms}", f"{ms}-0")


def waiting(client, count):
    """Until so many clients wait."""
    eventually(lambda: f"blocked_clients:{count}\r\n".encode() in client.call("INFO", "clients"), f"{count} clients wait")


@pytest.fixture
def third(server):
    with server.raw() as c:
        yield c


# Entries


def test_ids_rise_by_the_clock(client):
    before = int(time.time() * 1000)
    ids = [client.call("XADD", "s", "*", "f", "v").decode() for _ in range(100)]
    parts = [tuple(map(int, i.split("-"))) for i in ids]
    assert parts == sorted(set(parts))
    assert before - 1000 <= parts[0][0] <= int(time.time() * 1000) + 1000


def test_all_bytes_come_back(client):
    client.call("XADD", "s", "1-1", b"\0\r\n", b"\xff", "12", "-7", "", "")
    assert client.call("XRANGE", "s", "-", "+") == [[b"1-1", [b"\0\r\n", b"\xff", b"12", b"-7", b"", b""]]]


def test_a_large_entry_has_a_node_of_its_own(client):
    big = b"x" * 100_000
    for ms in range(1, 4):
        client.call("XADD", "s", f"{ms}-0", "f", big)
    assert client.call("XRANGE", "s", "2", "2") == [[b"2-0", [b"f", big]]]
    info = client.call("XINFO", "STREAM", "s")
    assert info[info.index(b"radix-tree-keys") + 1] == 3


@pytest.mark.parametrize("text", ["x", "1-x", "-1", "1-2-3", "", "1-18446744073709551616", "18446744073709551616", "+", "-", "1--1", "*1"])
def test_what_is_no_id_is_refused(client, text):
    client.says(("XADD", "s", text, "f", "v"), BAD_ID)
    client.says(("XREAD", "STREAMS", "s", text), NIL_ARRAY if text == "+" else BAD_ID)
    client.says("EXISTS s", 0)


def test_ranges_from_either_end(client):
    fill(client, 300)
    assert [e[0] for e in client.call("XRANGE", "s", "100", "(103-0")] == [b"100-0", b"101-0", b"102-0"]
    assert [e[0] for e in client.call("XREVRANGE", "s", "103", "(100-0", "COUNT", "2")] == [b"103-0", b"102-0"]
    seen, start = [], "-"
    while batch := client.call("XRANGE", "s", start, "+", "COUNT", "7"):
        seen += [e[0] for e in batch]
        start = b"(" + batch[-1][0]
    assert seen == [f"{ms}-0".encode() for ms in range(1, 301)]


def test_trimming_about_removes_whole_nodes(client):
    fill(client, 350)
    client.says("XTRIM s MAXLEN ~ 120", 200)
    client.says("XLEN s", 150)
    client.says("XTRIM s MAXLEN 120", 30)
    client.says("XTRIM s MINID 340", 109)
    client.says("XADD s MAXLEN = 3 1000-0 f v", "1000-0")
    assert [e[0] for e in client.call("XRANGE", "s", "-", "+")] == [b"349-0", b"350-0", b"1000-0"]
    client.says("XTRIM s MAXLEN 0", 3)
    client.says("EXISTS s", 1)


def test_removed_entries_leave_gaps(client, rng):
    fill(client, 300)
    left = set(range(1, 301))
    for _ in range(60):
        gone = rng.sample(range(1, 301), 4)
        client.says("XDEL s " + " ".join(map(str, gone)), len(left & set(gone)))
        left -= set(gone)
        assert [int(e[0].split(b"-")[0]) for e in client.call("XRANGE", "s", "-", "+")] == sorted(left)
        client.says("XLEN s", len(left))


def test_a_stream_is_copied_dumped_and_restored_with_its_groups(client):
    fill(client, 150)
    client.says("XGROUP CREATE s g 0", OK)
    client.call("XREADGROUP", "GROUP", "g", "one", "COUNT", "20", "STREAMS", "s", ">")
    client.call("XDEL", "s", "5", "77")
    client.says("COPY s copy", 1)
    payload = client.call("DUMP", "s")
    client.says(("RESTORE", "again", "0", payload), OK)
    wanted = client.call("XINFO", "STREAM", "s", "FULL", "COUNT", "0")
    for key in ("copy", "again"):
        assert client.call("XINFO", "STREAM", key, "FULL", "COUNT", "0") == wanted
        assert client.call("DUMP", key) == payload
        assert client.call("DEBUG", "DIGEST-VALUE", key) == client.call("DEBUG", "DIGEST-VALUE", "s")
    client.call("XADD", "copy", "*", "a", "b")
    assert client.call("DUMP", "s") == payload


def test_memory_usage_is_what_the_entries_take(client):
    for ms in range(1, 2001):
        client.call("XADD", "s", f"{ms}-0", "field", "v" * 50)
    assert 2000 * 60 <= client.call("MEMORY", "USAGE", "s") <= 2000 * 80


# Waiting


def test_who_waits_is_given_what_comes(client, other):
    fill(client, 2)
    other.send_command("XREAD", "BLOCK", "0", "STREAMS", "nothing", "s", "$", "$")
    waiting(client, 1)
    client.says("XADD s 9-0 f 9", "9-0")
    assert other.read_value() == [[b"s", [[b"9-0", [b"f", b"9"]]]]]
    client.says("XADD s 10-0 f 10", "10-0")
    other.hears_nothing_else()


def test_all_readers_are_served_but_a_group_gives_to_one(client, other, third):
    client.says("XGROUP CREATE s g $ MKSTREAM", OK)
    for c, name in ((other, "one"), (third, "two")):
        c.send_command("XREADGROUP", "GROUP", "g", name, "BLOCK", "0", "STREAMS", "s", ">")
        waiting(client, 1 if c is other else 2)
    client.says("XADD s 1-0 f 1", "1-0")
    assert other.read_value() == [[b"s", [[b"1-0", [b"f", b"1"]]]]]
    waiting(client, 1)
    client.says("XADD s 2-0 f 2", "2-0")
    assert third.read_value() == [[b"s", [[b"2-0", [b"f", b"2"]]]]]
    for c in (other, third):
        c.send_command("XREAD", "BLOCK", "0", "STREAMS", "s", "$")
        waiting(client, 1 if c is other else 2)
    client.says("XADD s 3-0 f 3", "3-0")
    for c in (other, third):
        assert c.read_value() == [[b"s", [[b"3-0", [b"f", b"3"]]]]]


def test_a_wait_ends_with_its_time(client):
    began = time.monotonic()
    client.says("XREAD BLOCK 50 STREAMS s $", NIL_ARRAY)
    assert 0.04 <= time.monotonic() - began < 5


@pytest.mark.parametrize("command,error", [
    ("DEL s", "NOGROUP"), ("SET s x", "WRONGTYPE"), ("XGROUP DESTROY s g", "NOGROUP"), ("FLUSHALL", "NOGROUP"), ("SWAPDB 0 9", "NOGROUP"),
    ("RENAME other s", "NOGROUP"),
])
def test_a_consumer_hears_that_its_group_is_gone(client, other, command, error):
    client.call("XADD", "other", "1-0", "f", "v")
    client.says("XGROUP CREATE s g $ MKSTREAM", OK)
    other.send_command("XREADGROUP", "GROUP", "g", "one", "BLOCK", "0", "STREAMS", "s", ">")
    waiting(client, 1)
    client.call(*command.split())
    reply = other.read_value()
    assert isinstance(reply, Err) and str(reply).startswith(error)


def test_consumers_that_wait_share_what_producers_add(server, client):
    """Each entry goes to one consumer, none is lost, and everybody's ids rise."""
    entries, producers, consumers = 4000, 4, 8
    client.says("XGROUP CREATE s g $ MKSTREAM", OK)
    got = [[] for _ in range(consumers)]

    def produce(number):
        with server.raw() as c:
            for i in range(entries // producers):
                c.call("XADD", "s", "*", "n", f"{number}-{i}")

    def consume(mine):
        with server.raw() as c:
            while batch := c.call("XREADGROUP", "GROUP", "g", f"c{mine}", "COUNT", "3", "BLOCK", "2000", "STREAMS", "s", ">"):
                for entry_id, fields in batch[0][1]:
                    got[mine].append((tuple(map(int, entry_id.split(b"-"))), fields[1]))

    threads = [threading.Thread(target=consume, args=(n,)) for n in range(consumers)]
    threads += [threading.Thread(target=produce, args=(n,)) for n in range(producers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for mine in got:
        assert mine == sorted(mine)
    everything = [value for mine in got for _, value in mine]
    assert len(everything) == len(set(everything)) == entries
    assert client.call("XPENDING", "s", "g")[0] == entries


def test_in_a_transaction_nobody_waits(client):
    client.says("MULTI", OK)
    client.says("XREAD BLOCK 0 STREAMS s $", QUEUED)
    client.says("EXEC", [NIL_ARRAY])


# Groups


def test_a_group_works_its_stream_off(client):
    fill(client, 250)
    client.says("XGROUP CREATE s g 0", OK)
    done = []
    while batch := client.call("XREADGROUP", "GROUP", "g", "one", "COUNT", "30", "STREAMS", "s", ">"):
        ids = [e[0] for e in batch[0][1]]
        done += ids
        client.says(("XACK", "s", "g", *ids), len(ids))
    assert done == [f"{ms}-0".encode() for ms in range(1, 251)]
    info = client.call("XINFO", "GROUPS", "s")[0]
    fields = dict(zip(info[::2], info[1::2]))
    assert fields[b"entries-read"] == 250 and fields[b"lag"] == 0 and fields[b"pending"] == 0


def test_resp3_tells_maps(client3):
    client3.says("XADD s 1-0 a b", "1-0")
    client3.says("XREAD STREAMS s 0", Map([("s", [entry("1-0", "a", "b")])]))
    info = dict(client3.call("XINFO", "STREAM", "s"))
    assert info[b"length"] == 1


def test_what_is_no_stream_is_refused(client):
    client.says("SET k v", OK)
    for command in (
        "XADD k * a b", "XLEN k", "XRANGE k - +", "XREVRANGE k + -", "XDEL k 1", "XTRIM k MAXLEN 1", "XSETID k 1", "XREAD STREAMS k 0",
        "XREADGROUP GROUP g c STREAMS k >", "XACK k g 1", "XPENDING k g", "XCLAIM k g c 0 1", "XAUTOCLAIM k g c 0 0", "XGROUP CREATE k g 0",
        "XGROUP SETID k g 0", "XGROUP DESTROY k g", "XGROUP CREATECONSUMER k g c", "XGROUP DELCONSUMER k g c", "XINFO STREAM k",
        "XINFO GROUPS k", "XINFO CONSUMERS k g",
    ):
        client.says(command, WRONG_TYPE)


def test_entries_go_with_what_is_pending_of_them(client, larder):
    if not larder:
        pytest.skip("newer than the reference")
    fill(client)
    client.says("XGROUP CREATE s g 0", OK)
    client.call("XREADGROUP", "GROUP", "g", "one", "COUNT", "3", "STREAMS", "s", ">")
    client.says("XDELEX s ACKED IDS 3 1 4 9", [2, 2, -1])
    client.says("XDELEX s IDS 1 1", [1])
    client.says("XDELEX s DELREF IDS 2 1 2", [-1, 1])
    client.says("XPENDING s g - + 9 two", [])
    client.says("XACKDEL s g IDS 2 3 4", [1, -1])
    client.says("XLEN s", 2)
    client.says("SET k v", OK)
    for command in ("XDELEX k IDS 1 1", "XACKDEL k g IDS 1 1"):
        client.says(command, WRONG_TYPE)


def test_redis_py_understands_every_reply(redis_client):
    r = redis_client
    r.xadd("s", {"a": 1}, id="1-0")
    r.xadd("s", {"a": 2}, id="2-0")
    r.xgroup_create("s", "g", id="0")
    assert r.xreadgroup("g", "one", {"s": ">"}) == [[b"s", [(b"1-0", {b"a": b"1"}), (b"2-0", {b"a": b"2"})]]]
    assert r.xpending("s", "g")["pending"] == 2
    assert [p["message_id"] for p in r.xpending_range("s", "g", "-", "+", 10)] == [b"1-0", b"2-0"]
    assert r.xclaim("s", "g", "two", 0, ["1-0"]) == [(b"1-0", {b"a": b"1"})]
    assert r.xautoclaim("s", "g", "two", 0)[1] == [(b"1-0", {b"a": b"1"}), (b"2-0", {b"a": b"2"})]
    assert r.xack("s", "g", "1-0", "2-0") == 2
    assert r.xinfo_groups("s")[0]["name"] == b"g"
    assert r.xinfo_consumers("s", "g")[0]["name"] == b"one"
    assert r.xinfo_stream("s")["length"] == 2
    assert r.xinfo_stream("s", full=True)["length"] == 2
