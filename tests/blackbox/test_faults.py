"""Clients that misbehave, very small and very large data, and what the machine can refuse."""

import os
import shutil

import pytest

from harness import eventually
from resp import OK, QUEUED, Err, Raw, Simple, encode


def connected(client):
    return int(dict(line.split(":", 1) for line in client.call("INFO", "clients").decode().split("\r\n") if ":" in line)["connected_clients"])


# Data


def test_keys_and_values_hold_every_byte(client):
    for byte in range(256):
        key = b"k" + bytes([byte])
        client.says(("SET", key, bytes([byte]) * 3), OK)
    for byte in range(256):
        client.says(("GET", b"k" + bytes([byte])), bytes([byte]) * 3)
    every = bytes(range(256))
    client.says(("SET", every, every[::-1]), OK)
    client.says(("GET", every), every[::-1])
    client.says("DBSIZE", 257)
    assert set(client.call("KEYS", "*")) == {b"k" + bytes([b]) for b in range(256)} | {every}


def test_empty_keys_and_values(client):
    client.says(("SET", "", ""), OK)
    client.says(("GET", ""), "")
    client.says(("STRLEN", ""), 0)
    client.says(("EXISTS", ""), 1)
    client.says(("APPEND", "", "x"), 1)
    client.says("KEYS *", [""])
    client.says(("RENAME", "", "a"), OK)
    client.says(("DEL", ""), 0)
    client.says("GET a", "x")


@pytest.mark.parametrize("size", [1, 43, 44, 45, 63, 64, 65, 127, 128, 129, 255, 256, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 65_535, 65_536,
                                  1_000_000, 10_000_000])
def test_values_at_the_edges_of_buffers_come_back_whole(client, size):
    value = os.urandom(min(size, 4096)) * (size // 4096 + 1)
    value = value[:size]
    client.says(("SET", "k", value), OK)
    client.says(("GET", "k"), value)
    client.says(("ECHO", value), value)
    client.says("STRLEN k", size)


@pytest.mark.parametrize("size", [1, 255, 256, 65_535, 65_536, 1_000_000])
def test_long_keys_work_like_short_ones(client, size):
    key = "k" * size
    client.says(("SET", key, "v", "EX", "1000"), OK)
    client.says(("GET", key), "v")
    client.says("KEYS *", [key])
    client.says(("RENAME", key, key + "2"), OK)
    client.says(("DEL", key + "2"), 1)


def test_a_value_of_512_mb(start_server):
    size = 512 * 1024 * 1024
    with start_server().raw(timeout_s=170) as c:
        chunk = bytes(range(256)) * 4096  # 1 MB
        c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % size)
        for _ in range(512):
            c.send(chunk)
        c.send(b"\r\n")
        assert c.read_raw() == b"+OK\r\n"
        c.says("STRLEN k", size)
        c.says(f"GETRANGE k {size - 3} -1", b"\xfd\xfe\xff")
        c.says("APPEND k x", Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)"))
        c.send_command("GET", "k")
        assert c.read_exactly(len(b"$%d\r\n" % size)) == b"$%d\r\n" % size
        for _ in range(512):
            assert c.read_exactly(len(chunk)) == chunk
        assert c.read_exactly(2) == b"\r\n"
        c.says("DEL k", 1)
        c.says(f"SETRANGE k {size - 1} x", size)
        c.says("FLUSHALL", OK)


# Clients that go


def test_disconnects_in_mid_command_leave_nothing(server, client):
    data = encode("SET", "a", "1") + encode("SET", "b", "x" * 1000)
    for cut in (1, 5, len(data) - 1000, len(data) - 1):
        for leave in (Raw.close, Raw.reset):
            c = server.raw()
            c.send(data[:cut])
            leave(c)
    eventually(lambda: connected(client) == 1, "the clients are gone")
    client.says("EXISTS b", 0)


def test_disconnects_in_the_middle_of_a_pipeline_of_replies(server, client):
    client.says(("SET", "k", "x" * 100_000), OK)
    for leave in (Raw.close, Raw.reset):
        for _ in range(10):
            c = server.raw()
            c.send(encode("GET", "k") * 50)
            c.read_exactly(10)
            leave(c)
    eventually(lambda: connected(client) == 1, "the clients are gone")
    client.says("STRLEN k", 100_000)


def test_a_disconnect_inside_multi_runs_nothing(server, client):
    for leave in (Raw.close, Raw.reset):
        c = server.raw()
        c.says("WATCH w", OK)
        c.says("MULTI", OK)
        c.says("SET a 1", QUEUED)
        leave(c)
    eventually(lambda: connected(client) == 1, "the clients are gone")
    client.says("EXISTS a", 0)
    client.says("SET w 1", OK)


def test_writes_sent_before_a_clean_disconnect_are_done(server, client):
    c = server.raw()
    c.send(encode("INCR", "n") * 5000)
    c.end_of_input()
    assert c.read_to_end().count(b"\r\n") == 5000
    c.close()
    client.says("GET n", "5000")


def test_a_thousand_connections_that_come_and_go(server, client):
    for i in range(1000):
        c = server.raw()
        if i % 3:
            c.send(b"PING\r\n"[: i % 7])
        (Raw.reset if i % 2 else Raw.close)(c)
    eventually(lambda: connected(client) == 1, "the clients are gone")


def test_a_client_that_never_reads_does_not_stop_the_others(server, client):
    client.says(("SET", "k", "x" * 100_000), OK)
    with server.raw(receive_buffer=4096) as bad:
        bad.send(encode("GET", "k") * 200)
        for i in range(1000):
            client.says("INCR n", i + 1)


def test_a_client_that_stops_in_mid_command_does_not_stop_the_others(server, client):
    idle = [server.raw() for _ in range(50)]
    for c in idle:
        c.send(b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$100\r\nabc")
    for i in range(1000):
        client.says("INCR n", i + 1)
    client.says("EXISTS z", 0)
    for c in idle:
        c.send(b"x" * 97 + b"\r\n")
        assert c.read_raw() == b"+OK\r\n"
        c.close()


# What the machine refuses


def test_without_file_descriptors_it_goes_on_and_recovers(start_server):
    """maxclients is lowered to what the limit allows; a client beyond is refused, and later ones fit again."""
    s = start_server(files=100)
    with s.raw() as first:
        allowed = int(first.call("CONFIG", "GET", "maxclients")[1])
        assert 1 <= allowed < 100
        clients = []
        for _ in range(150):
            try:
                clients.append(s.raw(timeout_s=30))
            except OSError:
                break
        first.says("SET a 1", OK)
        answered = refused = 0
        for c in clients:
            try:
                c.send(b"PING\r\n")
                said = c.read_raw()
            except OSError:
                said = b"closed"
            answered += said == b"+PONG\r\n"
            refused += said in (b"-ERR max number of clients reached\r\n", b"closed")
        assert answered >= allowed - 2
        assert answered + refused == len(clients) and refused > 0
        for c in clients:
            c.close()
        eventually(lambda: connected(first) == 1, "the clients are gone")
        with s.raw() as c:
            c.says("GET a", "1")


def test_config_rewrite_reports_a_folder_that_is_gone(start_server, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    s = start_server(config="timeout 5\n", config_path=folder / "test.conf")
    with s.raw() as c:
        c.says("CONFIG SET timeout 6", OK)
        c.says("CONFIG REWRITE", OK)
        assert s.config_path.read_text().startswith("timeout 6\n")
        shutil.rmtree(folder)
        c.says("CONFIG REWRITE", Err("ERR Rewriting config file: No such file or directory"))
        c.says("CONFIG GET timeout", ["timeout", "6"])
        c.says("PING", Simple("PONG"))


def test_maxmemory_noeviction_answers_oom_and_reads_go_on(start_server):
    s = start_server()
    with s.raw() as c:
        c.says("SET kept v", OK)
        c.says("CONFIG SET maxmemory-policy noeviction maxmemory 1", OK)
        oom = Err("OOM command not allowed when used memory > 'maxmemory'.")
        for line in ("SET a 1", "APPEND a 1", "INCR a", "MSET a 1 b 2", "SETRANGE a 0 x", "GETSET a 1", "COPY kept z", "SETEX a 10 x"):
            c.says(line, oom)
        c.says("GET kept", "v")
        c.says("EXPIRE kept 1000", 1)
        c.says("MULTI", OK)
        c.says("SET a 1", oom)
        c.says("EXEC", Err("EXECABORT Transaction discarded because of previous errors."))
        c.says("MULTI", OK)
        c.says("GET kept", QUEUED)
        c.says("DEL kept", QUEUED)
        c.says("EXEC", ["v", 1])
        c.says("CONFIG SET maxmemory 0", OK)
        c.says("SET a 1", OK)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_maxmemory_with_eviction_accepts_every_write(start_server, policy):
    s = start_server("--maxmemory", "20mb", "--maxmemory-policy", policy)
    value = "x" * 10_000
    with s.raw() as c:
        for start in range(0, 6000, 100):
            assert set(c.pipeline([("SET", f"k{start + i}", value) for i in range(100)])) == {b"+OK\r\n"}
        assert 0 < c.call("DBSIZE") < 2200
        stats = dict(line.split(":", 1) for line in c.call("INFO").decode().split("\r\n") if ":" in line)
        assert int(stats["evicted_keys"]) > 3000
        assert int(stats["used_memory"]) < 21 << 20


def test_volatile_policies_evict_only_keys_with_an_expiry(start_server):
    s = start_server("--maxmemory", "20mb", "--maxmemory-policy", "volatile-lru")
    value = "x" * 10_000
    with s.raw() as c:
        for i in range(300):
            c.says((("SET", f"keep{i}", value)), OK)
        for start in range(0, 4000, 100):
            c.pipeline([("SET", f"v{start + i}", value, "EX", "100000") for i in range(100)])
        assert c.call("EXISTS", *[f"keep{i}" for i in range(300)]) == 300


@pytest.mark.parametrize("fill, draw", [("HSET k f v", "HRANDFIELD"), ("SADD k m", "SRANDMEMBER"), ("ZADD k 1 m", "ZRANDMEMBER")])
def test_draws_without_end_stop_at_the_output_limit(start_server, fill, draw):
    server = start_server("--client-output-buffer-limit", "normal 1000000 0 0")
    with server.raw() as c, server.raw() as greedy:
        c.says(fill, 1)
        greedy.send_command(draw, "k", "-999999999")
        assert greedy.read_to_end() == b""
        c.says("PING", Simple("PONG"))
        assert server.resident_bytes() < 100e6
