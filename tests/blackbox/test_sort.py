"""SORT and SORT_RO: in what order, by what, and what comes of it."""

import pytest

from resp import NIL, NOT_INT, OK, SYNTAX, Err, Simple, arity

NO_NUMBER = Err("ERR One or more scores can't be converted into double")


@pytest.fixture
def numbers(client):
    """A sorted set of 1 to 10 whose scores fall as they rise, with weights and names beside it."""
    for i in range(1, 11):
        client.call("ZADD", "z", -i, i)
        client.call("SET", f"weight:{i}", i * 7 % 11)
        client.call("SET", f"name:{i}", f"n{i}")
    return client


def test_numbers_are_compared_as_numbers_and_texts_by_their_bytes(client):
    client.says("SADD k 10 9 -1.5 +3 1e2 inf -inf 0", 8)
    client.says("SORT k", ["-inf", "-1.5", "0", "+3", "9", "10", "1e2", "inf"])
    client.says("SORT k DESC", ["inf", "1e2", "10", "9", "+3", "0", "-1.5", "-inf"])
    client.says("SORT k ALPHA", ["+3", "-1.5", "-inf", "0", "10", "1e2", "9", "inf"])
    client.says("SORT k ALPHA ASC LIMIT 0 2", ["+3", "-1.5"])
    for bad in ("x", "' 1'", "'1 '", "''", "nan", "1e400", "0x"):
        client.says(f"SADD k {bad}", 1)
        client.says("SORT k", NO_NUMBER)
        client.says(f"SREM k {bad}", 1)


def test_equal_numbers_are_ordered_by_their_bytes(client):
    client.says("SADD k 1 1.0 01 2", 4)
    client.says("SORT k", ["01", "1", "1.0", "2"])
    client.says("SORT k DESC", ["2", "1.0", "1", "01"])


@pytest.mark.parametrize("limit,places", [
    ("0 3", slice(0, 3)), ("2 3", slice(2, 5)), ("8 100", slice(8, 10)), ("10 5", slice(0, 0)), ("100 -1", slice(0, 0)),
    ("3 -1", slice(3, 10)), ("-7 2", slice(0, 2)), ("3 0", slice(0, 0)), ("0 9223372036854775807", slice(0, 10)),
    ("5 -100", slice(5, 10)),
])
def test_limits(numbers, limit, places):
    up = [str(i) for i in range(1, 11)]
    numbers.says(f"SORT z LIMIT {limit}", up[places])
    numbers.says(f"SORT z DESC LIMIT {limit}", up[::-1][places])
    by_score = up[::-1]
    numbers.says(f"SORT z BY nosort LIMIT {limit}", by_score[places])
    numbers.says(f"SORT z BY nosort DESC LIMIT {limit}", by_score[::-1][places])
    weights = sorted(up, key=lambda i: int(i) * 7 % 11)
    numbers.says(f"SORT z BY weight:* LIMIT {limit}", weights[places])


def test_patterns_lead_to_other_keys(numbers):
    numbers.says("SORT z LIMIT 0 2 GET name:* GET # GET none:* GET fixed", ["n1", "1", NIL, NIL, "n2", "2", NIL, NIL])
    numbers.says("SORT z BY name:* ALPHA LIMIT 0 3", ["1", "10", "2"])
    numbers.says("SORT z BY name:*", NO_NUMBER)
    numbers.says("SORT z BY missing:*", sorted(str(i) for i in range(1, 11)))
    numbers.says("SORT z BY nosort BY weight:* LIMIT 0 1", ["10"])
    numbers.says("SADD set 1", 1)
    numbers.says("SORT set GET set", [NIL])
    numbers.says("SORT set GET s*t", [NIL])
    numbers.says("SORT set GET name:*->", [NIL])


def test_patterns_name_fields_of_hashes(client):
    if not client.call("COMMAND", "INFO", "HSET")[0]:
        pytest.skip("not there yet: HSET")
    for i, weight in enumerate((30, 10, 20)):
        client.call("HSET", f"h:{i}", "w", weight, "name", f"n{i}")
        client.call("SADD", "k", i)
    client.says("SORT k BY h:*->w", ["1", "2", "0"])
    client.says("SORT k BY h:*->w GET h:*->name GET h:*->none GET none:*->name", ["n1", NIL, NIL, "n2", NIL, NIL, "n0", NIL, NIL])
    client.says("SORT k GET h:*", [NIL, NIL, NIL])
    client.says("SORT k BY h:*->name ALPHA DESC", ["2", "1", "0"])


def test_missing_keys_sort_first_among_texts(numbers):
    numbers.says("DEL name:5", 1)
    assert numbers.call("SORT", "z", "BY", "name:*", "ALPHA")[0] == b"5"
    assert numbers.call("SORT", "z", "BY", "name:*", "ALPHA", "DESC")[-1] == b"5"


def test_store_makes_a_list_and_replaces_whatever_was_there(numbers):
    numbers.says("SET d v EX 100", OK)
    numbers.says("SORT z STORE d", 10)
    numbers.says("TYPE d", Simple("list"))
    numbers.says("TTL d", -1)
    numbers.says("SORT d BY nosort LIMIT 0 3", ["1", "2", "3"])
    numbers.says("SORT z GET none:* LIMIT 0 2 STORE d", 2)
    numbers.says("SORT d BY nosort", ["", ""])
    numbers.says("SORT missing STORE d", 0)
    numbers.says("EXISTS d", 0)
    numbers.says("SORT z STORE z", 10)
    numbers.says("SORT z DESC LIMIT 0 1", ["10"])


def test_what_a_set_holds_is_stored_in_order_even_unsorted(client):
    client.says("SADD k b a c", 3)
    client.says("SORT k BY nosort STORE d", 3)
    client.says("SORT d BY nosort", ["a", "b", "c"])


def test_a_pattern_is_followed_within_a_transaction(numbers):
    numbers.says("MULTI", OK)
    for line in ("SET weight:10 -5", "SORT z BY weight:* LIMIT 0 1 STORE d", "SORT z LIMIT 0 1"):
        numbers.call(*line.split())
    assert numbers.call("EXEC") == ["OK", 1, [b"1"]]
    numbers.says("SORT d", ["10"])


@pytest.mark.parametrize("line,error", [
    ("SORT k LIMIT", SYNTAX), ("SORT k LIMIT 1", SYNTAX), ("SORT k LIMIT x 1", NOT_INT), ("SORT k LIMIT 1 x", NOT_INT),
    ("SORT k BY", SYNTAX), ("SORT k GET", SYNTAX), ("SORT k STORE", SYNTAX), ("SORT k UP", SYNTAX), ("SORT_RO k STORE d", SYNTAX),
])
def test_options_are_read_strictly(client, line, error):
    client.says(line, error)


def test_only_lists_sets_and_sorted_sets_are_sorted(client):
    client.says("SET k v", OK)
    for name in ("SORT", "SORT_RO"):
        client.says(f"{name} k", Err("WRONGTYPE Operation against a key holding the wrong kind of value"))
        client.says(f"{name} missing", [])
        client.says(name, arity(name.lower()))
