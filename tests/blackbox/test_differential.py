"""Random commands to the server under test and to a reference server: every reply must be the same, byte for byte.

$DIFF_COMMANDS sets how many (default 50,000), $SEED repeats a run, and
$REFERENCE_BIN chooses the reference (default: the newest of Debian's
valkey-server and redis-server). Where the reference is older than Valkey 9.1,
the commands and the forms that it does not know are left out, and KNOWN lists
where it says the same in other words.
"""

import os
import re

import pytest

from differential import TEMPLATES, Generator, rule_of
from harness import version_line
from resp import clip, encode

COMMANDS = int(os.environ.get("DIFF_COMMANDS", "50000"))
ROUND = 1000  # commands between two comparisons of the whole data
BATCH = 50
DATABASES = 4

# Where older references say the same in other words: (command, what the reference says, what Valkey 9.1 says), as patterns.
KNOWN = [
    ("CLIENT", rb"-ERR client-id should be greater than 0\r\n", rb"-ERR syntax error\r\n"),
]


def is_modern(binary):
    """Whether the reference is Valkey 9.1 or later, or Larder itself."""
    line = version_line(binary)
    major, minor = map(int, re.search(r"v=(\d+)\.(\d+)", line).groups())
    return "redis" not in line.lower() and ("larder" in line.lower() or (major, minor) >= (9, 1))


def names(server):
    with server.raw() as c:
        return {n.decode().upper() for n in c.call("COMMAND", "LIST") if b"|" not in n}


class Session:
    """One connection to each server, and the commands that went through both."""

    def __init__(self, pair, protocol, modern):
        self.clients = [s.raw(protocol) for s in pair]
        self.modern = modern
        self.history = []

    def close(self):
        for c in self.clients:
            c.close()

    def run(self, commands):
        data = b"".join(encode(*c) for c in commands)
        for c in self.clients:
            c.send(data)
        for command in commands:
            self.history.append(command)
            replies = []
            for c in self.clients:
                replies.append(c.read_both())
            (ours, a), (theirs, b) = replies
            if a != b and not self.allowed(command, ours, theirs, a, b):
                tail = "\n".join("  " + " ".join(map(str, c)) for c in self.history[-25:])
                pytest.fail(f"replies differ\n  ours      {clip(a)}\n  reference {clip(b)}\nafter\n{tail}", pytrace=False)

    def allowed(self, command, ours, theirs, a, b):
        if a[:1] != b[:1]:
            return self.known(command, a, b)
        return rule_of(command).same(ours, theirs) or self.known(command, a, b)

    def known(self, command, a, b):
        if self.modern:
            return False
        name = command[0].decode("latin-1").upper()
        return any(name == n and re.fullmatch(theirs, b) and re.fullmatch(ours, a) for n, theirs, ours in KNOWN)

    def compare_data(self):
        self.run([[b"RESET"]])
        for database in range(DATABASES):
            self.run([[b"SELECT", b"%d" % database], [b"KEYS", b"*"]] + ([[b"DBSIZE"]] if self.modern else []))
            keys = self.clients[0].call("KEYS", "*")
            reads = [b"GET"], [b"SMEMBERS"], [b"HGETALL"], [b"LRANGE", b"0", b"-1"], [b"ZRANGE", b"0", b"-1", b"WITHSCORES"], [b"PEXPIRETIME"]
            self.run([[name, k, *rest] for k in keys for name, *rest in reads])
            for k in keys if self.modern else []:
                nodes = [re.search(r" ql_.*|$", str(c.call("DEBUG", "OBJECT", k))).group() for c in self.clients]
                assert nodes[0] == nodes[1], f"the nodes of {k!r} differ"


@pytest.mark.parametrize("protocol", [2, 3])
def test_random_commands_get_the_same_replies_as_from_the_reference(pair, rng, protocol):
    ours, reference = pair
    both = names(ours) & names(reference)
    modern = is_modern(reference.binary)
    print(f"reference: {version_line(reference.binary)}; {COMMANDS // 2} commands over RESP{protocol}")
    generator = Generator(rng, both, modern)
    print("left out:", " ".join(sorted(line.split()[0] for line in TEMPLATES.strip().splitlines()
                                       if line.split()[0] not in both | {"nosuch"})))
    done = 0
    while done < COMMANDS // 2:
        session = Session(pair, protocol, modern)
        generator.in_multi = False
        session.run([[b"FLUSHALL"]])
        for _ in range(ROUND // BATCH):
            session.run([generator.command() for _ in range(BATCH)])
            done += BATCH
        session.compare_data()
        session.close()
