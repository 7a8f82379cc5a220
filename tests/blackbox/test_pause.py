"""CLIENT PAUSE: who stops, who does not, and what happens meanwhile."""

import pytest
import redis

from harness import eventually
from resp import NIL, NIL_ARRAY, OK, QUEUED, Simple


@pytest.fixture(autouse=True)
def unpaused(server):
    yield
    with server.redis() as r:
        r.execute_command("CLIENT UNPAUSE")


@pytest.fixture
def r(server):
    with server.redis() as r:
        yield r


def blocked(r, n):
    eventually(lambda: r.info("clients")["blocked_clients"] == n, f"{n} blocked clients")


def test_writers_stop_in_front_of_their_command_and_readers_do_not(server, r):
    r.set("k", "before")
    r.execute_command("CLIENT PAUSE", 60_000, "WRITE")
    assert r.get("k") == b"before"
    with server.raw() as writer:
        writer.send(b"GET k\r\nSET k after\r\nGET k\r\nPING\r\n")
        writer.hears(b"before")
        blocked(r, 1)
        assert r.get("k") == b"before"
        info = r.info("clients")
        assert info["paused_reason"] == "client_pause"
        assert info["paused_actions"] == "write"
        assert 0 < info["paused_timeout_milliseconds"] <= 60_000
        r.execute_command("CLIENT UNPAUSE")
        writer.hears(OK, b"after", Simple("PONG"))
    blocked(r, 0)
    assert r.info("clients")["paused_reason"] == "none"


def test_everybody_stops_until_the_time_is_over(server, r):
    r.execute_command("CLIENT PAUSE", 300)
    with server.raw() as c:
        c.says("PING", Simple("PONG"))
    assert r.info("clients")["paused_actions"] == "none"


def test_a_transaction_that_writes_stops_as_a_whole(server, r):
    r.execute_command("CLIENT PAUSE", 60_000, "WRITE")
    with server.raw() as reader, server.raw() as writer:
        reader.send(b"MULTI\r\nGET t\r\nEXEC\r\n")
        reader.hears(OK, QUEUED, [NIL])
        writer.send(b"MULTI\r\nINCR t\r\nINCR t\r\nEXEC\r\n")
        writer.hears(OK)
        blocked(r, 1)
        r.execute_command("CLIENT UNPAUSE")
        writer.hears(QUEUED, QUEUED, [1, 2])


def test_nothing_is_removed_meanwhile(r):
    expired = r.info("stats")["expired_keys"]
    with r.pipeline(transaction=True) as pipe:
        pipe.set("p", 1, px=20)
        pipe.execute_command("CLIENT PAUSE", 60_000, "WRITE")
        pipe.execute()
    eventually(lambda: r.get("p") is None, "its time is over")
    assert r.info("stats")["expired_keys"] == expired
    assert r.randomkey() is not None
    r.execute_command("CLIENT UNPAUSE")
    eventually(lambda: r.info("stats")["expired_keys"] == expired + 1, "it is removed")


def test_who_leaves_while_it_is_stopped_is_forgotten(server, r):
    r.execute_command("CLIENT PAUSE", 60_000, "WRITE")
    with server.raw() as writer:
        writer.send(b"SET gone 1\r\n")
        blocked(r, 1)
    blocked(r, 0)
    r.execute_command("CLIENT UNPAUSE")
    assert r.get("gone") is None


def test_nobody_is_unblocked_from_a_pause_but_by_its_end(server, r):
    r.execute_command("CLIENT PAUSE", 60_000, "WRITE")
    with server.raw() as c:
        number = c.call("CLIENT", "ID")
        c.send_command("BLPOP", "list", "0")
        blocked(r, 1)
        assert r.execute_command("CLIENT UNBLOCK", number, "ERROR") == 0
        r.execute_command("CLIENT UNPAUSE")
        unblocked = lambda: r.execute_command("CLIENT UNBLOCK", number, "TIMEOUT") == 1
        eventually(unblocked, "it waits for the key")
        c.hears(NIL_ARRAY)


@pytest.mark.parametrize(
    "words, error",
    [
        (["x"], "timeout is not an integer or out of range"),
        ([-1], "timeout is negative"),
        ([1, "SOME"], "CLIENT PAUSE mode must be WRITE or ALL"),
    ],
)
def test_wrong_words_are_refused(r, words, error):
    with pytest.raises(redis.ResponseError, match=error):
        r.execute_command("CLIENT PAUSE", *words)
