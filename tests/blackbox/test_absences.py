"""A flood of absent keys on a cache that is full: data stays, and memory is bounded."""

import pytest

from harness import eventually

MAXMEMORY = 24 << 20
SHARE = 2 << 20
# How far the counts of the process's threads may be behind, and a batch beyond.
SLACK = 1 << 20
# What is kept of absences beside them, once there are any, in parts of the data.
FIRST = 0.01


def fill(client, data):
    """More data than there is memory for."""
    value = "x" * 100
    for first in range(0, data, 1000):
        pipe = client.pipeline(transaction=False)
        for i in range(first, first + 1000):
            pipe.set(f"data:{i}", value)
        pipe.execute()


def flood(client, first, absences, sentinel=None):
    for i in range(first, first + absences, 1000):
        pipe = client.pipeline(transaction=False)
        for n in range(i, i + 1000):
            if sentinel:
                pipe.set(f"item:{n}", sentinel)
            else:
                pipe.execute_command("CACHE.NULL", f"absent:{n}", "EX", 3600)
        pipe.execute()


def settled(client):
    """The number of keys evicted, once no more are."""
    seen = []

    def is_still():
        seen.append(client.info("stats")["evicted_keys"])
        return len(seen) > 3 and seen[-1] == seen[-4]

    eventually(is_still, "no more keys go")
    return seen[-1]


@pytest.mark.parametrize("sentinel", [None, "__NULL__"])
def test_absences_push_out_no_data_where_they_have_a_share(start_server, sentinel):
    server = start_server("--maxmemory", str(MAXMEMORY), "--maxmemory-policy", "larder", "--null-max", str(SHARE), "--save", "")
    client = server.redis()
    if sentinel:
        client.execute_command("CACHE.POLICY", "SET", "items", "item:*", "null-value", sentinel, "null-ttl", "1h")
    fill(client, 250_000)
    evicted, data = settled(client), client.dbsize()
    assert evicted > 0, "it is full"
    flood(client, 0, 200_000, sentinel)
    cache = client.info("cache")
    assert 0 < cache["cache_null_bytes"] <= SHARE + SLACK
    assert client.info("memory")["used_memory"] <= MAXMEMORY + SLACK
    if sentinel:
        assert client.get("item:199999") == sentinel.encode()
        sample = client.pipeline(transaction=False)
        for i in range(0, 250_000, 10):
            sample.exists(f"data:{i}")
        left = sum(sample.execute()) * 10
    else:
        assert client.execute_command("CACHE.GET", "absent:199999")[:2] == [b"status", b"null"]
        assert settled(client) - evicted <= data * FIRST
        left = client.dbsize()
    assert left >= data * 0.97, "what is there of data is what was there"


def test_absences_take_a_sixteenth_of_a_full_cache_at_most_where_nobody_promised_them_more(start_server):
    server = start_server("--maxmemory", str(MAXMEMORY), "--maxmemory-policy", "larder", "--save", "")
    client = server.redis()
    fill(client, 250_000)
    settled(client)
    full = client.dbsize()
    flood(client, 0, 100_000)
    first = settled(client)
    assert client.dbsize() >= full * 0.9
    flood(client, 100_000, 200_000)
    assert settled(client) - first <= full * FIRST
    assert client.info("cache")["cache_null_bytes"] <= MAXMEMORY // 16 + SLACK
