"""The refresh stream, hot keys over a restart, and CACHE.WARM."""

import time

import pytest

from harness import Server, eventually

STREAM = "larder:refresh"


@pytest.fixture
def kept(tmp_path):
    """Words of a command line that saves hot keys."""
    return ["--warm-file", tmp_path / "hot.keys", "--warm-save-period", 0]


@pytest.fixture
def own():
    """Starts servers, and ends those that are still there."""
    servers = []

    def start(*args):
        servers.append(Server(*args))
        return servers[-1]

    yield start
    for server in servers:
        if not server.log_file.closed:
            server.stop()


def status(r):
    reply = r.execute_command("CACHE.WARM", "STATUS")
    fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))
    return {k.decode(): v.decode() if isinstance(v, bytes) else v for k, v in fields.items()}


def finished(r):
    return eventually(lambda: (s := status(r))["state"] == "completed" and s, "the run is over")


def announced(r):
    return [entry[b"key"].decode() for _, entry in r.xrange(STREAM)]


def test_a_worker_is_told_of_a_key_before_its_end(own):
    with own().redis() as r, own().redis():
        r.execute_command("CACHE.POLICY", "SET", "p", "a:*", "ttl", "2s", "refresh", "90%")
        r.xgroup_create(STREAM, "workers", "$", mkstream=True)
        r.set("a:1", "v")

        def read():
            r.get("a:1") or r.set("a:1", "v")
            return r.xreadgroup("workers", "one", {STREAM: ">"}, block=10)

        [[stream, [[entry_id, entry]]]] = eventually(read, "it is announced")
        assert stream.decode() == STREAM
        assert (entry[b"key"], entry[b"db"], entry[b"policy"]) == (b"a:1", b"0", b"p")
        assert entry[b"reason"] == b"expires" and 0 <= int(entry[b"left_ms"]) <= 1800
        assert r.xack(STREAM, "workers", entry_id) == 1


def test_whoever_blocks_on_the_stream_is_woken_by_a_run(own):
    server = own()
    with server.redis() as r, server.raw() as worker:
        r.xgroup_create(STREAM, "workers", "$", mkstream=True)
        worker.send_command("XREADGROUP", "GROUP", "workers", "w", "BLOCK", 0, "STREAMS", STREAM, ">")
        assert r.execute_command("CACHE.WARM", "START", "KEYS", 1, "k") == 1
        finished(r)
        [[_, [[_, entry]]]] = worker.read_value()
        assert entry == [b"key", b"k", b"db", b"0", b"policy", b"", b"left_ms", b"0", b"reason", b"warm"]


def test_hot_keys_are_announced_after_a_restart_in_the_order_of_priority(own, kept):
    first = own(*kept)
    with first.redis() as r:
        r.execute_command("CACHE.POLICY", "SET", "low", "l:*", "priority", "low")
        r.execute_command("CACHE.POLICY", "SET", "high", "h:*", "priority", "high")
        for key, reads in (("l:1", 9), ("h:1", 1), ("h:2", 2), ("h:unread", 0), ("other", 9)):
            r.set(key, "v")
            for _ in range(reads):
                r.get(key)
    first.stop()
    second = own(
        *kept, "--policy", "low", "l:*", "priority", "low", "--policy", "high", "h:*", "priority", "high"
    )
    with second.redis() as r:
        s = finished(r)
        assert (s["total"], s["announced"], s["skipped"], s["failed"]) == (3, 3, 0, 0)
        assert announced(r) == ["h:2", "h:1", "l:1"]
        assert [entry[b"reason"] for _, entry in r.xrange(STREAM)] == [b"start"] * 3


def test_who_ends_the_server_without_saving_leaves_the_hot_keys_of_before(own, kept, tmp_path):
    first = own(*kept)
    with first.redis() as r:
        r.execute_command("CACHE.POLICY", "SET", "p", "a:*")
        r.set("a:1", "v")
        r.get("a:1")
        r.shutdown(nosave=True)
    assert first.wait() == 0
    assert not (tmp_path / "hot.keys").exists()
    first.destroy()


def test_a_run_is_started_watched_and_stopped(own):
    with own().redis() as r:
        keys = [f"k:{i}" for i in range(10_000)]
        assert r.execute_command("CACHE.WARM", "START", "KEYS", len(keys), *keys) == 1
        s = status(r)
        assert (s["id"], s["total"] in (0, 10_000)) == (1, True)
        if s["state"] == "running":
            try:
                assert r.execute_command("CACHE.WARM", "STOP") == b"OK"
            except Exception as error:  # it may just have ended
                assert "No warming run" in str(error)
        assert status(r)["state"] in ("stopped", "completed")
        r.delete(STREAM)
        assert r.execute_command("CACHE.WARM", "START", "KEYS", 2, "a", "b") == 2
        assert finished(r)["announced"] == 2
        assert announced(r) == ["a", "b"]
        assert abs(status(r)["started"] / 1000 - time.time()) < 60


def test_a_schedule_announces_what_is_hot(own):
    with own("--warm-schedule", "* * * * * *").redis() as r:
        r.execute_command("CACHE.POLICY", "SET", "p", "a:*", "ttl", "50ms", "stale", "1h")
        r.set("a:1", "v")
        r.get("a:1")
        eventually(lambda: r.xlen(STREAM), "the stale key is announced")
        assert set(announced(r)) == {"a:1"}
        assert r.xrange(STREAM, count=1)[0][1][b"reason"] == b"schedule"


def test_writing_on_another_type_under_the_streams_name_is_a_failure_that_harms_nobody(own):
    server = own()
    with server.redis() as r:
        r.set(STREAM, "v")
        r.execute_command("CACHE.WARM", "START", "KEYS", 2, "a", "b")
        s = finished(r)
        assert (s["failed"], s["announced"]) == (2, 0)
        assert s["last_error"].startswith("WRONGTYPE")
        assert r.get(STREAM) == b"v"
    assert server.log().count("can't be announced") == 1
