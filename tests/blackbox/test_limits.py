"""Limits on requests: `rate-limit` by user and address, and CL.THROTTLE.

No test waits for a limit to be earned anew: periods are days, and what changes is
the configuration.
"""

import re
import threading

import pytest
import redis

from harness import eventually
from resp import OK, QUEUED, Err, Simple

REFUSED = re.compile(rb"RATELIMIT too many requests: (.*); retry after (\d+) ms")


def is_refused(reply):
    return isinstance(reply, Err) and reply.startswith("RATELIMIT ")


@pytest.fixture
def limited(start_server):
    """Starts a server with the lines of a configuration file."""

    def start(*lines):
        return start_server(config="\n".join(("enable-debug-command yes",) + lines) + "\n")

    return start


def allowed(client, requests=20):
    """How many of some requests, sent together, are allowed."""
    client.send(b"GET k\r\n" * requests)
    return sum(not is_refused(client.read_value()) for _ in range(requests))


def test_an_anonymous_client_is_refused_and_told_when_to_come_again(limited):
    server = limited("rate-limit anonymous 3/d")
    with server.raw() as c:
        assert allowed(c) == 3
        reply = c.call("SET", "k", "v")
        limit, ms = REFUSED.fullmatch(reply.encode()).groups()
        assert limit == b"anonymous 3/d" and 0 < int(ms) <= 86_400_000 / 3
        # The connection stays, with all that it needs to live.
        c.says("PING", Simple("PONG"))
        c.says("SELECT 3", OK)
        c.says("CLIENT SETNAME me", OK)
        with server.raw() as other:
            assert allowed(other) == 0, "it is the same address"
        c.says("RESET", Simple("RESET"))
        assert allowed(c) == 0


def test_a_limit_is_by_address(limited):
    server = limited("rate-limit anonymous 3/d", "rate-limit address 127.0.0.2/31 2/d")
    with server.raw(source="127.0.0.1") as c:
        assert allowed(c) == 3
    for address in ("127.0.0.2", "127.0.0.3"):
        with server.raw(source=address) as c:
            assert allowed(c) == 2, address
        with server.raw(source=address) as c:
            assert allowed(c) == 0, address


def test_a_user_is_held_over_all_connections_and_is_no_longer_anonymous(limited):
    server = limited("requirepass secret", "rate-limit anonymous 1/d", "rate-limit user default 10/d burst 6")
    clients = [server.raw() for _ in range(4)]
    for c in clients:
        c.says("AUTH secret", OK)
    assert sum(allowed(c, 3) for c in clients) == 6
    with server.redis(password="secret") as r:
        with pytest.raises(redis.ResponseError, match="RATELIMIT too many requests: user default 10/d burst 6; retry after"):
            r.get("k")
        assert r.ping()
    for c in clients:
        c.close()


def test_connections_at_once_get_what_the_limit_gives_and_not_one_more(limited):
    server = limited("rate-limit anonymous 1000/d", "rate-limit user default 500/d")
    counts = []

    def run():
        with server.raw() as c:
            counts.append(sum(allowed(c, 50) for _ in range(4)))

    threads = [threading.Thread(target=run) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(counts) == 500 and len(counts) == 10


def test_what_multi_queues_counts_and_exec_does_not(limited):
    server = limited("rate-limit anonymous 3/d")
    with server.raw() as c:
        for line, reply in [("MULTI", OK), ("SET a 1", QUEUED), ("SET b 1", QUEUED), ("SET c 1", QUEUED), ("EXEC", [OK, OK, OK])]:
            c.says(line, reply)
        c.says("MULTI", OK)
        assert is_refused(c.call("SET", "a", "2"))
        assert c.call("EXEC").startswith("EXECABORT ")


def test_limits_change_at_run_time_and_are_kept_by_a_rewrite(limited):
    server = limited("# ours", "rate-limit anonymous 5/d", "hz 20", "rate-limit user nobody 1/s")
    with server.raw() as c:
        c.says("CONFIG GET rate-limit", ["rate-limit", "anonymous 5/d user nobody 1/s"])
        c.call("CONFIG", "SET", "rate-limit", "")
        assert allowed(c) == 20
        c.call("CONFIG", "SET", "rate-limit", "user a 1/s burst 9 address 10.0.0.0/8 50/s")
        c.says("CONFIG REWRITE", OK)
        text = server.config_path.read_text()
        assert "# ours\n" in text and "\nrate-limit user a 1/s burst 9\nrate-limit address 10.0.0.0/8 50/s\n" in text
        c.call("CONFIG", "SET", "rate-limit", "anonymous 2/d")
        assert allowed(c) == 2


@pytest.mark.parametrize(
    "value, reason",
    [
        ("everybody 1/s", "'everybody' is no rate limit"),
        ("anonymous", "lacks its rate"),
        ("anonymous 0/s", "'0/s' is no rate"),
        ("anonymous 1/y", "'1/y' is no rate"),
        ("anonymous 1/s burst", "burst must be a number"),
        ("anonymous 1/d burst 1000", "more than 366 days"),
        ("user 1/s", "lacks its rate"),
        ("address nowhere 1/s", "neither an address nor a network"),
        ("address 10.0.0.1/8 1/s", "its network is 10.0.0.0/8"),
    ],
)
def test_a_wrong_limit_is_refused_with_its_reason_and_changes_nothing(server, client, value, reason):
    client.call("CONFIG", "SET", "rate-limit", "user nobody 1/s")
    reply = client.call("CONFIG", "SET", "rate-limit", value)
    assert isinstance(reply, Err) and reason in reply
    client.says("CONFIG GET rate-limit", ["rate-limit", "user nobody 1/s"])
    client.call("CONFIG", "SET", "rate-limit", "")


def test_refusals_are_counted_as_errors(limited):
    server = limited("rate-limit anonymous 3/d")
    with server.raw(source="127.0.0.2") as c:
        assert allowed(c, 10) == 3
    with server.redis() as r:
        stats = r.info("errorstats")
        assert stats["errorstat_RATELIMIT"] == "count=7"
        assert r.info("commandstats")["cmdstat_get"]["rejected_calls"] == 7


def test_a_command_that_waits_counts_once(limited):
    server = limited("rate-limit address 127.0.0.2 2/d")
    with server.raw(source="127.0.0.2") as c, server.redis() as r:
        c.send(b"BLPOP l 0\r\n")
        eventually(lambda: r.info("clients")["blocked_clients"] == 1, "it waits")
        r.rpush("l", "x")
        c.hears(["l", "x"])
        assert allowed(c) == 1


# ----- CL.THROTTLE -------------------------------------------------------------


def throttle(r, *args):
    return r.execute_command("CL.THROTTLE", *args)


def test_a_burst_is_spent_and_then_refused(redis_client):
    r = redis_client
    # One an hour, five at once.
    for left in range(4, -1, -1):
        limited, limit, remaining, retry, reset = throttle(r, "k", 4, 1, 3600)
        assert (limited, limit, remaining, retry) == (0, 5, left, -1)
        assert (5 - left) * 3600 - 60 <= reset <= (5 - left) * 3600
    limited, limit, remaining, retry, reset = throttle(r, "k", 4, 1, 3600)
    assert (limited, limit, remaining) == (1, 5, 0)
    assert 3500 <= retry <= 3600 and 17_900 <= reset <= 18_000
    # A look takes nothing; more than will ever be there is not told to come again.
    assert throttle(r, "k", 4, 1, 3600, 0)[:3] == [0, 5, 0]
    assert throttle(r, "k", 4, 1, 3600, 6)[3] == -1
    assert throttle(r, "other", 4, 1, 3600, 5)[:4] == [0, 5, 0, -1]


def test_the_state_is_a_string_that_goes_when_all_is_earned(redis_client):
    r = redis_client
    assert throttle(r, "k", 0, 1, 60, 0) == [0, 1, 1, -1, 0]
    assert not r.exists("k")
    throttle(r, "k", 0, 1, 60)
    assert r.type("k") == b"string" and 59_000 <= r.pttl("k") <= 60_001
    arrival_ns, deadline_ms = int(r.get("k")), r.execute_command("PEXPIRETIME", "k")
    assert 0 <= deadline_ms * 1_000_000 - arrival_ns < 1_000_000
    throttle(r, "quick", 0, 1000, 1)
    eventually(lambda: not r.exists("quick"), "it is gone")


@pytest.mark.parametrize(
    "args, reason",
    [
        (("k", -1, 1, 1), "max_burst must be an integer, at least 0"),
        (("k", 1, 0, 1), "count must be an integer, at least 1"),
        (("k", 1, 1, 0), "period must be an integer, at least 1"),
        (("k", 1, 1, 1, -1), "quantity must be an integer, at least 0"),
        (("k", 1, "x", 1), "count must be an integer, at least 1"),
        (("k", 1, 1), "wrong number of arguments"),
        (("k", 1, 1, 1, 1, 1), "wrong number of arguments"),
        (("k", 2**63 - 1, 1, 1), "make no rate"),
        (("k", 1, 2**63 - 1, 1), "make no rate"),
    ],
)
def test_what_makes_no_rate_is_refused(redis_client, args, reason):
    with pytest.raises(redis.ResponseError, match=reason):
        throttle(redis_client, *args)
    assert not redis_client.exists("k")


def test_what_is_no_state_is_left_alone(redis_client):
    r = redis_client
    r.lpush("l", 1)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        throttle(r, "l", 1, 1, 1)
    r.set("s", "text")
    with pytest.raises(redis.ResponseError, match="no state of a rate limit"):
        throttle(r, "s", 1, 1, 1)
    assert r.get("s") == b"text"


def test_of_many_at_once_no_more_get_through_than_the_burst(server, redis_client):
    counts = []

    def run():
        with server.redis() as r:
            counts.append(sum(throttle(r, "k", 99, 1, 86_400)[0] == 0 for _ in range(50)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sum(counts) == 100 and len(counts) == 8


def test_it_is_a_command_like_others(client3):
    docs = client3.call("COMMAND", "DOCS", "cl.throttle")[b"cl.throttle"]
    assert [a[b"name"] for a in docs[b"arguments"]] == [b"key", b"max_burst", b"count", b"period", b"quantity"]
    assert client3.call("COMMAND", "GETKEYS", "CL.THROTTLE", "k", "1", "1", "1") == [b"k"]
