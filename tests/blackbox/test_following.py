"""The server under test follows another one: itself, or a real redis-server ($LEADER_BIN,
default: Debian's), and has the same data in the end; its own followers have it, too."""

import os
import socket
import threading

import pytest

from differential import Generator
from harness import BINARY, eventually, free_port
from resp import OK, Err, Simple, to_bytes
from test_replication import COMMANDS, DEBUG, FOLLOWER, are_equal, info, is_linked, names, write_at_random

REFERENCE = os.path.abspath(os.environ.get("LEADER_BIN") or FOLLOWER)
READONLY = "READONLY You can't write against a read only replica."


@pytest.fixture(params=["itself", "reference"])
def start_leader(start_server, request):
    binary = BINARY if request.param == "itself" else REFERENCE
    return lambda *args: start_server(*DEBUG, *args, binary=binary)


@pytest.fixture
def follow(start_server):
    def start(leader, *args, binary=BINARY):
        follower = start_server("--replicaof", "127.0.0.1", leader.port, *DEBUG, *args, binary=binary)
        eventually(lambda: is_linked(follower), "the follower is linked")
        return follower
    return start


class Understood:
    """Random commands, but for numbers in base 16: Redis takes them, neither Valkey 9.1 nor Larder does."""

    def __init__(self, rng, leader, *others):
        both = set.intersection(*map(names, (leader, *others)))
        self.generator, self.rng = Generator(rng, both, False), rng

    def fill(self, template):
        return self.until_understood(lambda: self.generator.fill(template))

    def command(self):
        return self.until_understood(self.generator.command)

    def until_understood(self, draw):
        while True:
            words = draw()
            if words and not any(word == b"0x1p3" for word in map(to_bytes, words)):
                return words


def position(server):
    """The history that a server is in, and how far."""
    return info(server, "replication", "master_replid"), info(server, "replication", "master_repl_offset")


def are_level(*servers):
    eventually(lambda: len({position(s) for s in servers}) == 1, "all are as far in the same history")


def has(server, *command, reply):
    with server.raw() as c:
        eventually(lambda: c.call(*command) == reply, f"{command} gives {reply}")


@pytest.mark.parametrize("sync, load", [("yes", "disabled"), ("no", "disabled"), ("yes", "on-empty-db"), ("no", "flush-before-load")])
def test_what_was_there_and_what_comes_is_the_same(start_server, start_leader, follow, rng, sync, load):
    leader = start_leader("--repl-diskless-sync", sync, "--repl-diskless-sync-delay", 0)
    generator = Understood(rng, leader, start_server(*DEBUG))
    write_at_random(leader, generator, COMMANDS // 8)
    follower = follow(leader, "--repl-diskless-load", load)
    are_equal(leader, follower)
    for _ in range(2):
        write_at_random(leader, generator, COMMANDS // 8)
        are_equal(leader, follower)
    assert position(leader)[0] == position(follower)[0]
    assert info(leader, "stats", "sync_full") == "1", "it never had to start over"
    assert "CRITICAL" not in follower.log()
    assert "PRIMARY <-> REPLICA sync: Finished with success" in follower.log()


def test_a_lost_link_goes_on_where_it_was(start_leader, follow):
    leader = start_leader()
    follower = follow(leader)
    with leader.raw() as c, follower.raw() as f:
        c.call("SELECT", 3)
        c.call("SET", "a", 1)
        are_equal(leader, follower)
        for who, kind in ((c, "replica"), (f, "master"), (c, "replica")):
            who.call("CLIENT", "KILL", "TYPE", kind)
            for n in range(100):
                c.call("RPUSH", "list", n)
            c.call("MULTI")
            c.call("INCR", "n")
            c.call("SELECT", 5)
            c.call("INCR", "n")
            c.call("EXEC")
            c.call("SELECT", 3)
            are_equal(leader, follower)
            eventually(lambda: is_linked(follower), "it is back")
        f.call("SELECT", 3)
        assert f.call("LLEN", "list") == 300 and f.call("GET", "n") == b"3"
    assert info(leader, "stats", "sync_full") == "1"
    assert info(leader, "stats", "sync_partial_ok") == "3"
    assert "Successful partial resynchronization with primary." in follower.log()


@pytest.mark.parametrize("leaf_binary", [BINARY, REFERENCE], ids=["own", "reference"])
def test_a_chain_has_one_history_which_outlives_its_head(start_server, start_leader, follow, rng, leaf_binary):
    # A ping at the wrong moment, and the head would be ahead of who takes its place.
    quiet = ("--repl-ping-replica-period", 3600)
    head = start_leader(*quiet)
    generator = Understood(rng, head, start_server(), start_server(binary=leaf_binary))
    middle = follow(head, *quiet)
    with head.raw() as c:
        # The leaf comes while a database is selected that no command names again.
        c.call("SELECT", 7)
        c.call("SET", "k", "v")
        are_level(head, middle)
        leaf = follow(middle, binary=leaf_binary)
        c.call("APPEND", "k", "w")
        write_at_random(head, generator, COMMANDS // 8)
        # Nor may a key that ends tell more than the others have heard of; comparing the keys asks for each of them.
        c.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        are_level(head, middle, leaf)
        are_equal(head, middle)
        are_equal(middle, leaf)
        are_level(head, middle, leaf)
    with middle.raw() as m, head.raw() as h:
        m.says("REPLICAOF NO ONE", OK)
        role = m.call("ROLE")
        assert role[0] == b"master"
        assert info(middle, "replication", "master_replid2") == position(head)[0]
        m.says("SET after 1", OK)
        eventually(lambda: is_linked(leaf), "the leaf is back")
        has(leaf, "GET", "after", reply=b"1")
        h.says(f"REPLICAOF 127.0.0.1 {middle.port}", OK)
        eventually(lambda: is_linked(head), "the head follows")
        has(head, "GET", "after", reply=b"1")
        write_at_random(middle, generator, COMMANDS // 8)
        are_level(head, middle, leaf)
        are_equal(middle, head)
        are_equal(middle, leaf)
    assert info(middle, "stats", "sync_full") == "1", "the leaf at first"
    assert info(middle, "stats", "sync_partial_ok") == "2", "the leaf again, and the head"


def test_what_is_over_stays_until_the_leader_says_so(start_server, follow):
    leader = start_server(*DEBUG)
    follower = follow(leader)
    with leader.raw() as c, follower.raw() as f:
        c.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        c.call("SET", "k", "v", "PX", 1)
        c.call("RPUSH", "list", "a")
        c.call("PEXPIRE", "list", 1)
        are_level(leader, follower)
        eventually(lambda: f.call("GET", "k") is None and f.call("EXISTS", "list") == 0, "both are over")
        assert f.call("DBSIZE") == 2
        assert f.call("TTL", "k") == -2
        assert c.call("GET", "k") is None
        has(follower, "DBSIZE", reply=1)
        assert c.call("EXISTS", "list") == 0
        has(follower, "DBSIZE", reply=0)
        assert info(follower, "stats", "expired_keys") == "0"


def test_a_follower_is_read_only_unless_told_otherwise(start_server, follow):
    leader = start_server(*DEBUG)
    follower = follow(leader)
    leaf = follow(follower)
    with follower.raw() as f:
        f.says("SET k v", Err(READONLY))
        f.says("MULTI", OK)
        f.says("SET k v", Err(READONLY))
        f.says("EXEC", Err("EXECABORT Transaction discarded because of previous errors."))
        f.says("WAIT 0 0", Err("ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated."))
        f.says("CONFIG SET replica-read-only no", OK)
        f.says("SET k v PX 20", OK)
        f.says("SET own v", OK)
        eventually(lambda: f.call("GET", "k") is None, "it is over")
        f.says("SET k again", OK)
        assert f.call("DBSIZE") == 2
    with leader.raw() as c:
        c.call("SET", "k2", "v")
        assert c.call("DBSIZE") == 1
    are_level(leader, follower, leaf)
    has(leaf, "DBSIZE", reply=1)


def test_without_a_link_what_may_be_old_is_told_only_where_that_is_wanted(start_server):
    server = start_server("--replicaof", "127.0.0.1", free_port(), "--masterauth", "secret")
    with server.raw() as c:
        assert c.call("GET", "k") is None
        assert info(server, "replication", "master_link_status") == "down"
        assert c.call("ROLE")[0] == b"slave" and c.call("ROLE")[3] in (b"connect", b"connecting")
        c.says("PSYNC ? -1", Err("NOMASTERLINK Can't SYNC while not connected with my master"))
        c.says("CONFIG SET replica-serve-stale-data no", OK)
        down = Err("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
        c.says("GET k", down)
        c.says("MULTI", OK)
        c.says("GET k", down)
        c.says("DISCARD", OK)
        assert b"role:slave" in c.call("INFO", "replication")
        c.says("REPLICAOF NO ONE", OK)
        assert c.call("GET", "k") is None


def test_a_password_is_given_and_a_wrong_one_is_no_end(start_leader, start_server):
    leader = start_leader("--requirepass", "secret")
    follower = start_server("--replicaof", "127.0.0.1", leader.port, "--masterauth", "wrong")
    eventually(lambda: "Unable to AUTH to PRIMARY: -WRONGPASS" in follower.log(), "it is refused")
    with follower.raw() as c:
        c.says("CONFIG SET primaryauth secret", OK)
    eventually(lambda: is_linked(follower), "the follower is linked")


def test_who_follows_is_seen_and_written_down(start_leader, start_server):
    leader = start_leader()
    server = start_server(*DEBUG, config="# nothing\n")
    with server.raw() as c:
        c.says(f"REPLICAOF 127.0.0.1 {leader.port}", OK)
        eventually(lambda: is_linked(server), "it is linked")
        c.says(f"REPLICAOF 127.0.0.1 {leader.port}", Simple("OK Already connected to specified master"))
        assert c.call("ROLE")[:4] == [b"slave", b"127.0.0.1", leader.port, b"connected"]
        assert b" flags=M " in c.call("CLIENT", "LIST", "TYPE", "master")
        c.says("CONFIG SET replicaof no", Err("ERR CONFIG SET failed (possibly related to argument 'replicaof') - can't set immutable config"))
        c.says("CONFIG REWRITE", OK)
        assert f"replicaof 127.0.0.1 {leader.port}\n" in server.config_path.read_text()
        c.says("REPLICAOF NO ONE", OK)
        c.says("CONFIG REWRITE", OK)
        assert "replicaof" not in server.config_path.read_text()
    assert info(leader, "replication", "slave0") is None or "127.0.0.1" in info(leader, "replication", "slave0")


def test_who_waited_for_a_write_of_its_own_does_so_no_more(start_server):
    leader, server = start_server(), start_server()
    with server.raw() as waiting, server.raw() as c:
        waiting.send(b"BLPOP list 0\r\n")
        eventually(lambda: info(server, "clients", "blocked_clients") == "1", "it waits")
        c.says(f"REPLICAOF 127.0.0.1 {leader.port}", OK)
        error = b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n"
        assert waiting.read_exactly(len(error)) == error


def test_who_follows_itself_gets_nowhere_and_lives(start_server):
    server = start_server()
    with server.raw() as c:
        c.says("SET k v", OK)
        c.says(f"REPLICAOF 127.0.0.1 {server.port}", OK)
        eventually(lambda: "Primary is currently unable to PSYNC" in server.log(), "it is refused")
        assert c.call("GET", "k") == b"v"
        c.says("REPLICAOF NO ONE", OK)
        c.says("SET k w", OK)


class FakeLeader:
    """Says what a test wants to each connection in turn."""

    def __init__(self, *scripts):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.scripts = list(scripts)
        self.connections = 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while self.scripts:
            connection, _ = self.socket.accept()
            self.connections += 1
            with connection:
                try:
                    self.talk(connection, self.scripts.pop(0))
                except OSError:
                    pass
        self.socket.close()

    def talk(self, connection, script):
        seen = b""
        while b"PSYNC" not in seen:
            piece = connection.recv(4096)
            if not piece:
                return
            seen = seen[-10:] + piece
            if b"PING" in piece:
                connection.sendall(b"+PONG\r\n")
            elif b"REPLCONF" in piece:
                connection.sendall(b"+OK\r\n" * piece.count(b"REPLCONF"))
        connection.sendall(script)


FULL = b"+FULLRESYNC " + b"a" * 40 + b" 100\r\n"


@pytest.mark.parametrize("load", ["disabled", "on-empty-db"])
def test_whatever_the_leader_says_the_follower_lives(start_server, load):
    scripts = [
        b"", b"garbage\r\n", b"+FULLRESYNC\r\n", b"+CONTINUE\r\n", b"-ERR no\r\n", FULL,
        FULL + b"\n\n-ERR no snapshot\r\n", FULL + b"+OK\r\n", FULL + b"$1000\r\nREDIS0009", FULL + b"$10\r\nNORDB67890",
        FULL + b"$EOF:" + b"e" * 40 + b"\r\nREDIS0009\xff" + b"e" * 30,
        FULL + b"$EOF:" + b"e" * 40 + b"\r\nREDIS0009\xfe\x63" + b"e" * 40,
        FULL + b"\n\n$19\r\nREDIS0009\xfa\x01a\x01b\xff" + b"\0" * 4,
        FULL + b"$18\r\nREDIS0009\xff" + b"\0" * 8 + b"GET k\r\n",
    ]
    leader = FakeLeader(*scripts)
    server = start_server("--replicaof", "127.0.0.1", leader.port, "--repl-diskless-load", load)
    eventually(lambda: leader.connections == len(scripts), "it has come again each time", 60)
    eventually(lambda: "Protocol error from PRIMARY" in server.log(), "the last one is linked, and then not")
    with server.raw() as c:
        c.says("REPLICAOF NO ONE", OK)
        c.says("SET k v", OK)
    log = server.log()
    for words in (
        "Unexpected reply to PSYNC from primary: garbage", "Primary replied with wrong +FULLRESYNC syntax.",
        "Primary does not support PSYNC or is in error state (reply: -ERR no)", "PRIMARY aborted replication with an error: ERR no snapshot",
        "Bad protocol from PRIMARY", "I/O error trying to sync with PRIMARY", "Failed trying to load the PRIMARY synchronization DB",
    ):
        assert words in log, words


def test_the_old_data_stays_until_the_new_is_whole(start_server):
    leader = FakeLeader(FULL + b"$1000\r\nREDIS0009")
    server = start_server()
    with server.raw() as c:
        c.says("SET k v", OK)
        c.says(f"REPLICAOF 127.0.0.1 {leader.port}", OK)
        eventually(lambda: "I/O error trying to sync with PRIMARY" in server.log(), "the leader died")
        assert c.call("GET", "k") == b"v"


# A redis-server is a Sentinel where it is asked to be.
SENTINEL = os.environ.get("SENTINEL_BIN") or FOLLOWER


def test_sentinel_promotes_a_follower_when_the_leader_dies(start_server, follow):
    def spared(ask):
        # Sentinel ends the connections of those whom it tells something.
        def ask_again():
            try:
                return ask()
            except ConnectionError:
                return None
        return ask_again

    leader = start_server()
    followers = [follow(leader) for _ in range(2)]
    with leader.raw() as c:
        c.call("SET", "k", "v")
    config = "\n".join((
        f"sentinel monitor larder 127.0.0.1 {leader.port} 1", "sentinel down-after-milliseconds larder 500",
        "sentinel failover-timeout larder 5000", "protected-mode no", ""))
    sentinel = start_server("--sentinel", binary=SENTINEL, config=config)
    with sentinel.raw() as s:
        eventually(lambda: info(sentinel, "sentinel", "master0").find("slaves=2") > 0, "both followers are known")
        leader.process.kill()
        leader.process.wait()
        leader.destroy()
        address = lambda: int(s.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "larder")[1])
        port = eventually(lambda: address() != leader.port and address(), "another one leads", 60)
    (new,), (other,) = [f for f in followers if f.port == port], [f for f in followers if f.port != port]
    eventually(spared(lambda: info(new, "replication", "role") == "master"), "it leads")
    eventually(spared(lambda: is_linked(other)), "the other one follows it", 60)
    assert info(other, "replication", "master_port") == str(new.port)
    with new.raw() as c:
        assert c.call("GET", "k") == b"v"
        c.says("SET k w", OK)
    has(other, "GET", "k", reply=b"w")
    assert info(new, "stats", "sync_partial_ok") == "1"


def test_tags_and_policies_reach_followers_and_outlive_the_leader(start_server, follow, tmp_path):
    policies = tmp_path / "policies"
    policies.write_text("policy loaded loaded:* ttl 1h\npolicy gone gone:* ttl 1h\n")
    leader = start_server("--policyfile", str(policies))
    follower = follow(leader)
    reference = follow(leader, binary=REFERENCE)
    with leader.raw() as c:
        c.call("CACHE.POLICY", "SET", "p", "p:*", "ttl", "1h", "tag", "all:{1}")
        c.call("CACHE.POLICY", "SET", "q", "q:*")
        c.call("CACHE.POLICY", "DEL", "q")
        policies.write_text('policy loaded "loaded:\\x20*" ttl 2h\npolicy p p:* ttl 1h tag all:{1}\n')
        assert c.call("CACHE.POLICY", "LOAD") == OK
        expected = c.call("CACHE.POLICY", "LIST")
        c.call("SELECT", 3)
        c.call("CACHE.SET", "a", "v", "EX", 100, "TAGS", 2, "t", "u")
        c.call("CACHE.SET", "a", "w", "KEEPTTL")
        c.call("CACHE.SET", "p:1", "v", "TAGS", 1, "t")
        c.call("CACHE.SET", "p:2", "v", "TAGS", 1, "none")
        c.call("SET", "late", "v")
        c.call("CACHE.TAG", "late", "t")
        c.call("SET", "stays", "v")
        c.call("SET", "end", 1)
    assert len(expected) == 2
    are_level(leader, follower)
    with reference.raw() as r:
        r.call("SELECT", 3)
        eventually(lambda: r.call("GET", "end") == b"1", "it has all")
        assert r.call("GET", "a") == b"w" and 0 < r.call("TTL", "a") <= 100
    assert "CRITICAL" not in follower.log() + reference.log()
    leader.stop()
    with follower.raw() as f:
        assert sorted(f.call("CACHE.POLICY", "LIST")) == sorted(expected)
        f.says("REPLICAOF NO ONE", OK)
        f.call("SELECT", 3)
        assert 0 < f.call("TTL", "a") <= 100
        assert f.call("EXISTS", "a", "p:1", "p:2", "late", "stays") == 5
        f.call("CACHE.INVALIDATE", "TAG", "t")
        assert f.call("EXISTS", "a", "p:1", "late") == 0
        assert f.call("EXISTS", "p:2", "stays") == 2
        f.call("CACHE.INVALIDATE", "TAG", "all:2")
        assert f.call("EXISTS", "p:2", "stays") == 1


def test_absences_and_invalidations_reach_followers_that_know_them(start_server, follow):
    leader = start_server(*DEBUG)
    follower = follow(leader)
    last = follow(follower)
    reference = follow(leader, binary=REFERENCE)
    with leader.raw() as c:
        for server in (leader, follower, last):
            with server.raw() as s:
                s.call("CACHE.POLICY", "SET", "p", "p:*", "ttl", "1h", "stale", "1h")
        c.call("SELECT", 3)
        c.call("SET", "there", "old")
        c.call("CACHE.NULL", "there", "EX", 100)
        c.call("MULTI")
        c.call("CACHE.NULL", "p:\r\n:absent", "EX", 100)
        c.call("SET", "p:1", "value")
        c.call("EXEC")
        c.call("SET", "p:2", "value")
        c.call("CACHE.INVALIDATE", "POLICY", "p", "SOFT")
        c.call("SET", "plain", "value")
        c.call("SET", "end", 1)
    for server in (follower, last):
        with server.raw() as s:
            s.call("SELECT", 3)
            eventually(lambda: s.call("GET", "end") == b"1", "it has all")
            assert s.call("CACHE.GET", "there")[1] == b"null"
            assert s.call("EXISTS", "there", "p:1", "p:2", "plain") == 1
            assert s.call("CACHE.GET", "p:2")[1] == b"stale"
        assert "CRITICAL" not in server.log()
    with reference.raw() as r:
        r.call("SELECT", 3)
        eventually(lambda: r.call("GET", "end") == b"1", "it has all")
        assert r.call("EXISTS", "there", "plain") == 1
    assert "CRITICAL" not in reference.log()
    are_level(leader, follower, last)
