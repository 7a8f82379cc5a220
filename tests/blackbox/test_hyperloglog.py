"""HyperLogLogs: what they estimate, and their bytes, which are Valkey's."""

import pytest

from resp import OK, Err, Simple, arity

NOT_HLL = Err("WRONGTYPE Key is not a valid HyperLogLog string value.")
CORRUPT = Err("INVALIDOBJ Corrupted HLL object detected")


def test_pfadd_says_whether_the_estimate_changed(client):
    client.says("PFADD k", 1)
    client.says("PFADD k", 0)
    client.says("PFADD k a b c", 1)
    client.says("PFADD k c a", 0)
    client.says("PFCOUNT k", 3)


def test_the_bytes_are_valkeys(client):
    """As valkey-server 9.1.2 leaves them."""
    client.says("PFADD k a b c", 1)
    client.says("GET k", b"HYLL\x01" + b"\0" * 10 + b"\x80" + bytes.fromhex("60f38050b1844bfb80425a"))
    client.says("PFCOUNT k", 3)
    client.says("GETRANGE k 8 15", b"\x03" + b"\0" * 7)


@pytest.mark.parametrize("elements", [10, 1000, 30_000])
def test_the_error_is_small_and_unions_are_estimated_alike(client, elements):
    for start in range(0, elements, 1000):
        client.call("PFADD", "even", *(f"e{i}" for i in range(start, min(start + 1000, elements), 2)))
        client.call("PFADD", "odd", *(f"e{i}" for i in range(start + 1, min(start + 1000, elements), 2)))
        client.call("PFADD", "all", *(f"e{i}" for i in range(start, min(start + 1000, elements))))
    count = client.call("PFCOUNT", "all")
    assert abs(count - elements) <= max(0.04 * elements, 1)
    client.says("PFCOUNT even odd", count)
    client.says("PFCOUNT even odd all none", count)
    client.says("PFMERGE merged even odd none", OK)
    client.says("PFCOUNT merged", count)
    for key in ("even", "odd"):
        client.says(f"PFMERGE {key} all", OK)
        client.says(f"PFCOUNT {key}", count)


def test_pfmerge_keeps_what_the_destination_had_and_its_expiration(client):
    client.says("PFADD d x", 1)
    client.says("EXPIRE d 100", 1)
    client.says("PFADD s y", 1)
    client.says("PFMERGE d s", OK)
    client.says("PFCOUNT d", 2)
    assert 90 <= client.call("TTL", "d") <= 100


def test_a_sparse_one_grows_dense_beyond_the_limit(start_server):
    server = start_server("--hll-sparse-max-bytes", "100")
    with server.raw() as c:
        c.says("PFADD k a", 1)
        c.says("PFDEBUG ENCODING k", Simple("sparse"))
        for i in range(100):
            c.call("PFADD", "k", f"e{i}")
        c.says("PFDEBUG ENCODING k", Simple("dense"))
        c.says("STRLEN k", 12304)
        assert abs(c.call("PFCOUNT", "k") - 101) <= 4


def test_what_is_no_hyperloglog_is_refused(client):
    for value in (b"12", b"HYLL", b"hyll" + b"\x01" * 20, b"HYLL\x02" + b"\0" * 20, b"HYLL\0" + b"\0" * 20):
        client.says(("SET", "k", value), OK)
        for line in ("PFADD k a", "PFCOUNT k", "PFCOUNT none k", "PFMERGE d k", "PFDEBUG GETREG k"):
            client.says(line, NOT_HLL)
    client.says("EXISTS d", 0)


@pytest.mark.parametrize("tail", [b"hello", b"\x40", b"\x7f\xff\x00"])
def test_corrupt_registers_are_refused(client, tail):
    client.says("PFADD k a b c", 1)
    client.says(("APPEND", "k", tail), 27 + len(tail))
    for line in ("PFCOUNT k", "PFCOUNT k k", "PFMERGE d k", "PFDEBUG TODENSE k"):
        client.says(line, CORRUPT)
    client.says("EXISTS d", 0)


def test_pfselftest(client):
    client.says("PFSELFTEST", OK)


@pytest.mark.parametrize("name", ["PFADD", "PFCOUNT", "PFMERGE", "PFDEBUG"])
def test_arity_errors_name_the_command(client, name):
    client.says(name, arity(name.lower()))
