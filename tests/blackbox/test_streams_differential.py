"""Random stream commands to the server under test and to a reference server: every reply must be the same.

$DIFF_COMMANDS sets how many (a tenth of it, default 5,000), $SEED repeats a run, $REFERENCE_BIN chooses the
reference, which must speak as Valkey 9.1 does. Times are left out of the comparison; payloads are compared by
what the other server makes of them.
"""

import os

import pytest

from harness import BINARY, newest_reference
from resp import clip
from test_differential import is_modern

COMMANDS = int(os.environ.get("DIFF_COMMANDS", "50000")) // 10
ROUND = 400  # commands until everything begins anew
SMALL_NODES = ("--stream-node-max-entries", "7", "--rdbcompression", "no")
ODD_IDS = [
    "-", "+", "$", ">", "18446744073709551615", "18446744073709551615-18446744073709551615", "18446744073709551615-0",
    "0-18446744073709551615", "18446744073709551616", "x", "1-", "-1", "1-x", "01-02", " 3", "+3", "3- 1", "3-+1", "1--1", "", "5-*", "(",
]
NUMBERS = ["0", "1", "2", "3", "5", "10", "100", "-1", "x", "", str(2**63 - 1), str(-(2**63)), str(2**63)]


class Commands:
    """Makes commands whose ids rise, mostly."""

    def __init__(self, rng):
        self.rng, self.ms = rng, 0

    def one_of(self, *words):
        return self.rng.choice(words)

    def perhaps(self, chance, *words):
        return list(words) if self.rng.random() < chance else []

    def id(self):
        chance = self.rng.random()
        ms = self.rng.randrange(self.ms + 3)
        return str(ms) if chance < 0.4 else f"{ms}-{self.rng.randrange(4)}" if chance < 0.8 else self.rng.choice(ODD_IDS)

    def new_id(self):
        if self.rng.random() < 0.35:
            self.ms += self.one_of(0, 0, 1, 1, 1, 3)
            return f"{self.ms}-{self.one_of('*', '*', 0, 1, 2, 3)}"
        return self.id()

    def ids(self):
        return [self.id() for _ in range(self.rng.randrange(1, 5))]

    def end(self):
        return self.one_of("", "", "(") + self.one_of("-", "+", self.id(), self.id())

    def key(self):
        return self.one_of("s", "s", "s", "t", "u", "string")

    def group(self):
        return self.one_of("g", "g", "h", "other")

    def consumer(self):
        return self.one_of("one", "two", "three", "")

    def number(self):
        return self.rng.choice(NUMBERS)

    def fields(self):
        if self.rng.random() < 0.6:
            return ["f", self.one_of("1", "-77", "abc", "x" * 70, "123456789012"), "g", str(self.rng.randrange(10_000))]
        return [self.one_of("a", "b", "12", "", "f" * self.rng.randrange(300)) for _ in range(self.one_of(2, 2, 4, 6, 3, 0))]

    def trim(self):
        threshold = self.one_of(str(self.rng.randrange(30)), self.id(), self.number())
        limit = self.perhaps(0.3, "LIMIT", self.one_of("10", self.number()))
        return [self.one_of("MAXLEN", "MINID"), *self.perhaps(0.5, self.one_of("~", "=")), threshold, *limit]

    def count(self):
        return self.perhaps(0.3, "COUNT", self.number())

    def add(self):
        trim = self.trim() if self.rng.random() < 0.1 else []
        return ["XADD", self.key(), *self.perhaps(0.1, "NOMKSTREAM"), *trim, self.new_id(), *self.fields()]

    def read_group(self):
        key = self.one_of("s", "s", self.key())
        how = self.perhaps(0.4, "COUNT", str(self.rng.randrange(9))) + self.perhaps(0.2, "NOACK")
        return ["XREADGROUP", "GROUP", self.group(), self.consumer(), *how, "STREAMS", key, self.one_of(">", ">", ">", self.id())]

    def claim(self):
        options = self.perhaps(0.3, "FORCE") + self.perhaps(0.3, "JUSTID") + self.perhaps(0.2, "RETRYCOUNT", self.number())
        options += self.perhaps(0.2, "LASTID", self.id()) + self.perhaps(0.1, "IDLE", self.one_of("x", "100000")) + self.perhaps(0.03, "what")
        return ["XCLAIM", self.key(), self.group(), self.consumer(), self.one_of("0", "0", "1000000", "x", "-5"), *self.ids(), *options]

    def pending(self):
        filters = [[], [self.end(), self.end(), self.number()], [self.end(), self.end(), "9", self.consumer()],
                   ["IDLE", self.one_of("0", "1000000", "x"), self.end(), self.end(), "9"], ["IDLE", "1"], [self.end()]]
        return ["XPENDING", self.key(), self.group(), *self.rng.choice(filters)]

    def about_groups(self):
        what = self.one_of("CREATE", "SETID", "CREATECONSUMER", "DELCONSUMER", "DESTROY")
        words = ["XGROUP", what, self.key(), self.group()]
        if what in ("CREATE", "SETID"):
            words += [self.one_of("$", "0", self.id()), *self.perhaps(0.3, "MKSTREAM"), *self.perhaps(0.2, "ENTRIESREAD", self.number())]
        return words + ([self.consumer()] if what.endswith("CONSUMER") else [])

    def make(self):
        key = self.key()
        makers = [self.add] * 5 + [self.read_group] * 3 + [self.claim, self.pending, self.about_groups] + [
            lambda: ["XTRIM", key, *self.trim()], lambda: ["XDEL", key, *self.ids()], lambda: ["XLEN", key],
            lambda: ["XRANGE", key, self.end(), self.end(), *self.count()], lambda: ["XREVRANGE", key, self.end(), self.end(), *self.count()],
            lambda: ["XREAD", *self.count(), "STREAMS", key, self.key(), self.id(), self.id()], lambda: ["XACK", key, self.group(), *self.ids()],
            lambda: ["XAUTOCLAIM", key, self.group(), self.consumer(), self.one_of("0", "0", "1000000"), self.end(), *self.count(), *self.perhaps(0.3, "JUSTID")],
            lambda: ["XINFO", "STREAM", key, *self.perhaps(0.5, "FULL", *self.count())], lambda: ["XINFO", "GROUPS", key],
            lambda: ["XINFO", "CONSUMERS", key, self.group()], lambda: ["DUMP", key], lambda: ["DEBUG", "DIGEST-VALUE", key],
            lambda: ["COPY", "s", "u", "REPLACE"], lambda: ["DEL", self.one_of("t", "u")],
            lambda: ["XSETID", key, self.id(), *self.perhaps(0.3, "ENTRIESADDED", self.number()), *self.perhaps(0.3, "MAXDELETEDID", self.id())],
        ]
        words = self.rng.choice(makers)()
        if self.rng.random() < 0.04 and len(words) > 1:
            del words[self.rng.randrange(1, len(words))]
        return words


def without_times(reply, command):
    """A reply in which everything that depends on the clock says so."""
    if isinstance(reply, dict):
        return {k: since(v) if k in (b"idle", b"inactive") else without_times(v, command) for k, v in reply.items()}
    if isinstance(reply, list):
        if command[0] == "XPENDING" and len(reply) == 4 and isinstance(reply[2], int):
            reply = [*reply[:2], since(reply[2]), reply[3]]
        names = [None, *reply[:-1]]  # what stands in front of each
        return [since(v) if name in (b"idle", b"inactive") else without_times(v, command) for name, v in zip(names, reply)]
    return "a time" if type(reply) is int and 10**11 < reply < 10**14 else reply


def since(ms):
    return "never" if ms == -1 else "some time"


@pytest.fixture(scope="module")
def reference():
    path = newest_reference()
    if not path or not is_modern(path):
        pytest.skip("no reference that speaks as Valkey 9.1 does")
    return path


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_reply_is_the_reference_s(start_server, reference, rng, protocol):
    servers = [start_server("--enable-debug-command", "yes", *SMALL_NODES, binary=binary) for binary in (BINARY, reference)]
    ours, theirs = (s.raw(protocol=protocol) for s in servers)
    for at in range(COMMANDS):
        if at % ROUND == 0:
            commands, history = Commands(rng), []
            for setup in ("FLUSHALL", "SET string x", "XGROUP CREATE s g 0 MKSTREAM", "XGROUP CREATE s h $"):
                for client in (ours, theirs):
                    client.call(*setup.split())
        command = commands.make()
        if "*" in command:
            continue  # an id by the clock
        history.append(command)
        replies = [client.call(*command) for client in (ours, theirs)]
        if command[0] == "DUMP" and isinstance(replies[0], bytes):
            for client, payload in ((ours, replies[1]), (theirs, replies[0])):
                assert client.call("RESTORE", "restored", "0", payload, "REPLACE") == "OK"
            command = ["XINFO", "STREAM", "restored", "FULL", "COUNT", "0"]
            replies = [client.call(*command) for client in (ours, theirs)]
            for client in (ours, theirs):
                client.call("DEL", "restored")
        seen = [without_times(reply, command) for reply in replies]
        said = "\n  ".join(map(str, history[-20:]))
        assert type(replies[0]) is type(replies[1]) and seen[0] == seen[1], f"{clip(repr(seen[0]).encode())}\n{clip(repr(seen[1]).encode())}\n  {said}"
    for client in (ours, theirs):
        client.close()
