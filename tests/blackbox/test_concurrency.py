"""Several connections at once: nothing is lost, nothing is torn, and each sees what a plain dict says.

Threads of this process drive one connection each. What is proved does not
depend on how they interleave; the seed decides only what each of them sends.
"""

import random
import threading

import pytest

from harness import eventually
from resp import NIL, OK, encode, encode_reply

CONNECTIONS = 8


def together(*jobs):
    """Runs the jobs at the same time, from one starting line; the first failure is raised."""
    barrier = threading.Barrier(len(jobs))
    failures = []

    def run(job):
        try:
            barrier.wait(60)
            job()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
        assert not t.is_alive(), "a connection hangs"
    if failures:
        raise failures[0]


def test_no_increment_is_lost(server, client, rng):
    """Pipelined INCR, DECR, INCRBY and APPEND on shared keys add up."""
    keys = [f"counter:{i}" for i in range(5)]
    sums = [dict.fromkeys(keys, 0) for _ in range(CONNECTIONS)]
    appended = [0] * CONNECTIONS

    def job(number, seed):
        def run():
            mine = random.Random(seed)
            with server.raw() as c:
                for _ in range(50):
                    lines = []
                    for _ in range(100):
                        key, amount = mine.choice(keys), mine.randrange(-50, 100)
                        kind = mine.randrange(4)
                        if kind == 0:
                            amount, line = 1, ("INCR", key)
                        elif kind == 1:
                            amount, line = -1, ("DECR", key)
                        elif kind == 2:
                            line = ("INCRBY", key, amount)
                        else:
                            amount, line = 0, ("APPEND", "log", "x")
                            appended[number] += 1
                        sums[number][key] += amount
                        lines.append(line)
                    for reply in c.pipeline(lines):
                        assert reply[:1] == b":", reply
        return run

    together(*[job(i, rng.random()) for i in range(CONNECTIONS)])
    for key in keys:
        assert int(client.call("GET", key) or 0) == sum(s[key] for s in sums)
    client.says("STRLEN log", sum(appended))


def test_every_increment_gets_a_number_of_its_own(server, client):
    got = [[] for _ in range(CONNECTIONS)]

    def job(number):
        def run():
            with server.raw() as c:
                c.send(encode("INCR", "ticket") * 3000)
                got[number] = [c.read_value() for _ in range(3000)]
                assert got[number] == sorted(got[number])
        return run

    together(*[job(i) for i in range(CONNECTIONS)])
    assert sorted(n for numbers in got for n in numbers) == list(range(1, CONNECTIONS * 3000 + 1))


class Dict:
    """What a connection's own keys must hold: a plain dict beside the server."""

    def __init__(self, prefix, rng):
        self.prefix, self.rng, self.data, self.expiring = prefix, rng, {}, {}

    def key(self):
        return f"{self.prefix}{self.rng.randrange(30)}"

    def step(self):
        """A command and the reply it must get, in the notation of `says`."""
        rng, data, key = self.rng, self.data, self.key()
        kind = rng.choice("set set get get del append incr expire persist setnx getset mget rename getdel strlen past exists getrange setex".split())
        value = rng.choice(["v", str(rng.randrange(1000)), "x" * rng.randrange(300), ""])
        if kind == "set":
            data[key] = value
            self.expiring.pop(key, None)
            return ("SET", key, value), OK
        if kind == "setex":
            data[key], self.expiring[key] = value, True
            return ("SETEX", key, 10_000, value), OK
        if kind == "get":
            return ("GET", key), data.get(key, NIL)
        if kind == "strlen":
            return ("STRLEN", key), len(data.get(key, ""))
        if kind == "exists":
            other = self.key()
            return ("EXISTS", key, other), (key in data) + (other in data)
        if kind == "getrange":
            return ("GETRANGE", key, 1, 5), data.get(key, "")[1:6]
        if kind == "del":
            self.expiring.pop(key, None)
            return ("DEL", key), int(data.pop(key, None) is not None)
        if kind == "getdel":
            self.expiring.pop(key, None)
            return ("GETDEL", key), data.pop(key, NIL)
        if kind == "append":
            data[key] = data.get(key, "") + value
            return ("APPEND", key, value), len(data[key])
        if kind == "incr":
            number = f"{self.prefix}n{rng.randrange(3)}"
            data[number] = str(int(data.get(number, "0")) + 1)
            return ("INCR", number), int(data[number])
        if kind == "expire":
            if key in data:
                self.expiring[key] = True
            return ("EXPIRE", key, 10_000), int(key in data)
        if kind == "past":
            self.expiring.pop(key, None)
            return ("EXPIREAT", key, 1), int(data.pop(key, None) is not None)
        if kind == "persist":
            return ("PERSIST", key), int(self.expiring.pop(key, False))
        if kind == "setnx":
            new = key not in data
            data.setdefault(key, value)
            return ("SETNX", key, value), int(new)
        if kind == "getset":
            old, data[key] = data.get(key, NIL), value
            self.expiring.pop(key, None)
            return ("GETSET", key, value), old
        if kind == "mget":
            keys = [self.key() for _ in range(4)]
            return ("MGET", *keys), [data.get(k, NIL) for k in keys]
        other = self.key()
        if key not in data:
            return ("EXISTS", key), 0
        data[other] = data.pop(key)
        self.expiring.pop(other, None) if other != key else None
        if other != key and self.expiring.pop(key, None):
            self.expiring[other] = True
        return ("RENAME", key, other), OK


def test_disjoint_keys_behave_like_a_dict_on_every_connection(server, client, rng):
    """Each connection owns some keys and must see nothing but its own doing; pipelines and single commands mix."""
    models = [Dict(f"c{i}:", random.Random(rng.random())) for i in range(CONNECTIONS)]

    def job(model):
        def run():
            with server.raw() as c:
                for _ in range(250):
                    steps = [model.step() for _ in range(model.rng.choice([1, 1, 5, 50]))]
                    for (command, expected), got in zip(steps, c.pipeline([s[0] for s in steps])):
                        assert got == encode_reply(expected), f"{command}: {got!r}, expected {expected!r}"
        return run

    together(*[job(m) for m in models])
    everything = {k.encode(): v.encode() for m in models for k, v in m.data.items()}
    keys = sorted(everything)
    assert sorted(client.call("KEYS", "*")) == keys
    assert client.call("MGET", *keys) == [everything[k] for k in keys]
    for m in models:
        for key in m.data:
            assert (client.call("TTL", key) > 0) == bool(m.expiring.get(key)), key


@pytest.mark.parametrize("keys", [1, 3])
def test_compare_and_set_by_watch_loses_nothing(server, client, keys):
    names = [f"cas:{i}" for i in range(keys)]
    client.says(("MSET", *[x for n in names for x in (n, 0)]), OK)
    per_connection = 100

    def job():
        with server.raw() as c:
            done = 0
            while done < per_connection:
                c.says(("WATCH", *names), OK)
                values = [int(v) for v in c.call("MGET", *names)]
                assert len(set(values)) == 1, "the keys always move together"
                c.send(encode("MULTI") + b"".join(encode("SET", n, v + 1) for n, v in zip(names, values)) + encode("EXEC"))
                replies = [c.read_value() for _ in range(keys + 2)]
                assert replies[0] == "OK" and all(r == "QUEUED" for r in replies[1:-1])
                if replies[-1] is not None:
                    assert replies[-1] == ["OK"] * keys
                    done += 1

    together(*[job] * 5)
    for name in names:
        client.says(("GET", name), str(5 * per_connection))


def pairs(server, write, read, rounds=4000):
    """Writers change several keys at once, readers look at all of them: what they see was written together."""
    stop = threading.Event()

    def writer(number):
        def run():
            try:
                with server.raw() as c:
                    for i in range(rounds // 4):
                        write(c, f"{number}:{i}")
            finally:
                stop.set() if number == 0 else None
        return run

    def reader():
        with server.raw() as c:
            looks = 0
            while not stop.is_set() or looks < 100:
                values = read(c)
                assert len(set(values)) == 1, f"torn: {values}"
                looks += 1

    together(writer(0), writer(1), writer(2), reader, reader, reader)


NAMES = [f"pair:{i}" for i in range(6)]


def test_a_reader_never_sees_a_torn_mset(server, client):
    def write(c, value):
        c.says(("MSET", *[x for n in NAMES for x in (n, value)]), OK)

    pairs(server, write, lambda c: c.call("MGET", *NAMES))


def test_a_reader_never_sees_a_torn_transaction(server, client):
    def write(c, value):
        c.send(encode("MULTI") + b"".join(encode("SET", n, value) for n in NAMES) + encode("EXEC"))
        for _ in range(len(NAMES) + 2):
            c.read_raw()

    def read(c):
        c.send(encode("MULTI") + b"".join(encode("GET", n) for n in NAMES) + encode("EXEC"))
        return [c.read_value() for _ in range(len(NAMES) + 2)][-1]

    pairs(server, write, read)


def test_keys_deleted_together_are_gone_together(server, client):
    def write(c, value):
        c.says(("MSET", *[x for n in NAMES for x in (n, "v")]), OK)
        c.call("DEL", *NAMES)

    def read(c):
        return [c.call("EXISTS", *NAMES) in (0, len(NAMES))] + [True]

    pairs(server, write, read)


def test_only_one_of_many_setnx_wins(server, client):
    for round_ in range(50):
        won = []

        def job():
            with server.raw() as c:
                if c.call("SET", f"lock:{round_}", "me", "NX") == "OK":
                    won.append(1)

        together(*[job] * 4)
        assert len(won) == 1


def test_renames_and_swaps_between_connections_keep_every_value(server, client):
    """Values wander between keys by RENAMENX and COPY-free moves; none is lost or doubled."""
    n = 20
    client.says(("MSET", *[x for i in range(n) for x in (f"slot:{i}", f"value:{i}")]), OK)

    def job(seed):
        def run():
            mine = random.Random(seed)
            with server.raw() as c:
                for _ in range(1500):
                    a, b = mine.randrange(n * 2), mine.randrange(n * 2)
                    c.raw("RENAMENX", f"slot:{a}", f"slot:{b}")
        return run

    together(*[job(i) for i in range(4)])
    keys = client.call("KEYS", "slot:*")
    assert sorted(client.call("MGET", *keys)) == sorted(f"value:{i}".encode() for i in range(n))


def test_flushall_beside_writers_leaves_a_consistent_count(server, client):
    def writer(number):
        def run():
            with server.raw() as c:
                for _ in range(30):
                    c.pipeline([("SET", f"{number}:{i}", "v", "EX", 1000) for i in range(100)])
        return run

    def flusher():
        with server.raw() as c:
            for _ in range(100):
                c.says("FLUSHALL", OK)

    together(*[writer(i) for i in range(4)], flusher)
    keys = client.call("KEYS", "*")
    client.says("DBSIZE", len(keys))
    client.says("FLUSHALL", OK)
    client.says("DBSIZE", 0)


def test_expiring_keys_are_gone_for_every_connection_at_once(server, client):
    """Once one connection has seen that a key expired, no other sees it again."""
    with server.raw() as a, server.raw() as b:
        for i in range(30):
            a.says(("SET", f"e{i}", "v", "PX", 20), OK)
            eventually(lambda: a.call("GET", f"e{i}") is None, "the key expires")
            b.says(("GET", f"e{i}"), NIL)
            client.says(("EXISTS", f"e{i}"), 0)
