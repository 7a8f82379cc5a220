"""SCAN: what is there from start to end comes back, whatever happens meanwhile."""

import pytest

from resp import NOT_INT, OK, SYNTAX, Err


def scan(client, *options, start=b"0", between=None):
    """All keys of one full iteration, with repetitions, and the number of calls."""
    cursor, found, calls = start, [], 0
    while True:
        cursor, keys = client.call("SCAN", cursor, *options)
        found += keys
        calls += 1
        if cursor == b"0":
            return found, calls
        if between:
            between(calls)


def fill(client, count, prefix="key:"):
    for reply in client.pipeline([("SET", f"{prefix}{i}", i) for i in range(count)]):
        assert reply == b"+OK\r\n"
    return {f"{prefix}{i}".encode() for i in range(count)}


def test_scan_of_an_empty_database_ends_at_once(client):
    client.says("SCAN 0", ["0", []])


@pytest.mark.parametrize("count", [1, 2, 10, 100, 1000, 100_000])
def test_scan_returns_every_key_at_any_count(client, count):
    keys = fill(client, 1000)
    found, calls = scan(client, "COUNT", count)
    assert set(found) == keys
    assert len(found) == len(keys), "nothing changed meanwhile, so nothing comes twice"
    if count == 100_000:
        assert calls == 1


def test_scan_with_match_returns_only_matches(client):
    fill(client, 1000)
    found, _ = scan(client, "MATCH", "key:1??")
    assert set(found) == {f"key:{i}".encode() for i in range(100, 200)}
    found, _ = scan(client, "MATCH", "nothing*", "COUNT", "10")
    assert found == []
    found, _ = scan(client, "MATCH", "key:7")
    assert found == [b"key:7"]


def test_scan_with_type_returns_only_that_type(client):
    keys = fill(client, 200)
    found, _ = scan(client, "TYPE", "string")
    assert set(found) == keys
    found, _ = scan(client, "TYPE", "STRING", "COUNT", "5", "MATCH", "key:1*")
    assert set(found) == {k for k in keys if k.startswith(b"key:1")}
    for kind in ("list", "hash", "set", "zset", "stream"):
        assert scan(client, "TYPE", kind)[0] == []


def test_scan_repeats_an_option_and_takes_the_last(client):
    fill(client, 20)
    found, _ = scan(client, "MATCH", "nothing", "MATCH", "key:1", "COUNT", "1", "COUNT", "1000")
    assert found == [b"key:1"]


def test_scan_guarantee_while_the_table_grows(client, other):
    keys = fill(client, 500)
    def grow(call):
        if call <= 60:  # growth must end, or the iteration never would
            fill(other, 300, f"more:{call}:")

    found, _ = scan(client, "COUNT", "10", between=grow)
    assert keys <= set(found)


def test_scan_guarantee_while_the_table_shrinks(client, other):
    keys = fill(client, 200, "stay:")
    doomed = sorted(fill(client, 20_000, "go:"))

    def remove(_):
        batch = [doomed.pop() for _ in range(min(500, len(doomed)))]
        if batch:
            assert other.call("DEL", *batch) == len(batch)

    found, _ = scan(client, "COUNT", "50", between=remove)
    assert keys <= set(found)


def test_scan_guarantee_with_random_writes_between(client, other, rng):
    keys = fill(client, 2000, "stay:")

    def churn(_):
        lines = [rng.choice([("SET", f"churn:{rng.randrange(5000)}", "v"), ("DEL", f"churn:{rng.randrange(5000)}"),
                             ("SET", f"stay:{rng.randrange(2000)}", rng.randrange(10**9))]) for _ in range(100)]
        other.pipeline(lines)

    found, _ = scan(client, "COUNT", "20", between=churn)
    assert keys <= set(found)


def test_scan_does_not_return_expired_keys(client):
    client.says("SET stays v", OK)
    client.pipeline([("SET", f"k{i}", "v", "PXAT", 1) for i in range(10)])
    client.says("SCAN 0", ["0", ["stays"]])


def test_scan_is_of_the_selected_database(client):
    fill(client, 10)
    client.says("SELECT 1", OK)
    client.says("SCAN 0", ["0", []])


@pytest.mark.parametrize("cursor", ["x", "-1", "1.0", "", "1 ", "18446744073709551616"])
def test_scan_refuses_a_cursor_that_is_no_number(client, cursor):
    client.says(("SCAN", cursor), Err("ERR invalid cursor"))


@pytest.mark.parametrize("cursor", ["1", " 1", "12345", "9223372036854775807", "18446744073709551615"])
def test_scan_survives_any_cursor(client, cursor):
    keys = fill(client, 100)
    found, _ = scan(client, start=cursor.encode())
    assert set(found) <= keys


@pytest.mark.parametrize("options,error", [
    ("COUNT 0", SYNTAX), ("COUNT -1", SYNTAX), ("COUNT x", NOT_INT), ("COUNT", SYNTAX), ("MATCH", SYNTAX), ("TYPE", SYNTAX), ("foo", SYNTAX),
    ("COUNT 1 foo 1", SYNTAX), ("COUNT 99999999999999999999", NOT_INT), ("TYPE foo", Err("ERR unknown type name 'foo'")),
    ("NOVALUES", Err("ERR NOVALUES option can only be used in HSCAN")), ("NOSCORES", Err("ERR NOSCORES option can only be used in ZSCAN")),
])
def test_scan_refuses(client, options, error):
    client.says(f"SCAN 0 {options}", error)


def test_redis_py_scan_iter(redis_client):
    redis_client.mset({f"key:{i}": i for i in range(500)})
    assert sorted(redis_client.scan_iter("key:4*", count=7)) == sorted(f"key:{i}".encode() for i in range(500) if str(i).startswith("4"))
