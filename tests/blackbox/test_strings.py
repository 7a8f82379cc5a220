"""String commands: what each replies, exactly, and what it leaves in the key."""

import pytest

from resp import NIL, NOT_INT, OK, SYNTAX, Err, Map, arity

NOT_FLOAT = Err("ERR value is not a valid float")
TOO_LONG = Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
MAX = 2**63 - 1
MIN = -(2**63)


def bad_expiry(command):
    return Err(f"ERR invalid expire time in '{command}' command")


# SET and its options


def test_set_stores_and_get_returns_the_bytes(client):
    client.says("GET k", NIL)
    client.says("SET k v", OK)
    client.says("GET k", "v")
    client.says(("SET", "k", b"\0\r\n\xff"), OK)
    client.says("GET k", b"\0\r\n\xff")


def test_get_of_a_missing_key_is_a_resp3_null(client3):
    client3.says("GET k", NIL)
    assert client3.raw("GET", "k") == b"_\r\n"


def test_set_nx_and_xx_depend_on_the_key(client):
    client.says("SET k 1 XX", NIL)
    client.says("SET k 1 NX", OK)
    client.says("SET k 2 NX", NIL)
    client.says("SET k 3 xx", OK)
    client.says("GET k", "3")


def test_set_get_returns_the_old_value(client):
    client.says("SET k 1 GET", NIL)
    client.says("SET k 2 GET", "1")
    client.says("SET k 3 NX GET", "2")
    client.says("GET k", "2")
    client.says("SET k 4 XX GET", "2")
    client.says("SET other 4 XX GET", NIL)
    client.says("EXISTS other", 0)
    client.says("SET k 5 GET GET GET", "4")


def test_set_ifeq_compares_the_value(client):
    client.says("SET k new IFEQ old", NIL)
    client.says("EXISTS k", 0)
    client.says("SET k old", OK)
    client.says("SET k new IFEQ other", NIL)
    client.says("SET k new IFEQ old", OK)
    client.says("SET k newer IFEQ nope GET", "new")
    client.says("SET k newer IFEQ new GET", "new")
    client.says("GET k", "newer")
    client.says("SET missing v IFEQ x GET", NIL)
    client.says("EXISTS missing", 0)


def test_set_ifeq_compares_integers_by_their_text(client):
    client.says("SET k 12", OK)
    client.says("SET k 13 IFEQ 012", NIL)
    client.says("SET k 13 IFEQ 12", OK)


@pytest.mark.parametrize("options", [
    "NX XX", "XX NX", "EX", "PX", "EXAT", "PXAT", "EX 10 PX 10", "EX 10 EXAT 10", "PXAT 10 EX 10", "KEEPTTL EX 10",
    "EX 10 KEEPTTL", "foo", "NX foo", "PERSIST", "IFEQ", "IFEQ a NX", "NX IFEQ a", "XX IFEQ a", "IFEQ a IFEQ b",
    "GET foo", "'NX '", "''",
])
def test_set_refuses_option_combinations(client, options):
    client.says(f"SET k v {options}", SYNTAX)
    client.says("EXISTS k", 0)


def test_set_accepts_what_looks_odd_but_is_allowed(client):
    client.says("SET k v NX NX", OK)
    client.says("SET k v XX XX", OK)
    client.says("SET k v EX 100 EX 200", OK)
    client.says("SET k v KEEPTTL KEEPTTL", OK)
    assert 100 < client.call("TTL", "k") <= 200


@pytest.mark.parametrize("option", ["EX", "PX", "EXAT", "PXAT"])
@pytest.mark.parametrize("command,line", [("set", "SET k v {0} {1}"), ("getex", "GETEX k {0} {1}")])
def test_expiry_options_validate_their_number(client, option, command, line):
    client.says("SET k v", OK)
    for text in ("0", "-1", str(MIN)):
        client.says(line.format(option, text), bad_expiry(command))
    for text in ("x", "1.5", "''", "' 1'", "'1 '", "+1", "01", str(MAX + 1), "1e3", "0x10"):
        client.says(line.format(option, text), NOT_INT)
    if option in ("EX", "EXAT"):
        client.says(line.format(option, MAX // 1000 + 1), bad_expiry(command))
    if option in ("EX", "PX"):
        client.says(line.format(option, MAX // (1000 if option == "EX" else 1)), bad_expiry(command))
    client.says("GET k", "v")
    client.says("TTL k", -1)


def test_set_sets_keeps_and_clears_the_expiry(client):
    client.says("SET k v EX 100", OK)
    assert 90 <= client.call("TTL", "k") <= 100
    client.says("SET k v KEEPTTL", OK)
    assert 90 <= client.call("TTL", "k") <= 100
    client.says("SET k v", OK)
    client.says("TTL k", -1)
    client.says("SET k v PX 100000", OK)
    assert 90_000 <= client.call("PTTL", "k") <= 100_000
    client.says("SET k v EXAT 4102444800", OK)
    client.says("EXPIRETIME k", 4102444800)
    client.says("SET k v PXAT 4102444800123", OK)
    client.says("PEXPIRETIME k", 4102444800123)
    client.says("SET k v KEEPTTL XX", OK)
    client.says("PEXPIRETIME k", 4102444800123)


def test_set_with_a_time_already_past_removes_the_key(client):
    client.says("SET k v", OK)
    client.says("SET k w EXAT 1", OK)
    client.says("EXISTS k", 0)
    client.says("SET k v", OK)
    client.says("SET k w PXAT 1 GET", "v")
    client.says("EXISTS k", 0)


@pytest.mark.parametrize("command", ["SET", "GET", "GETSET", "GETDEL", "GETEX", "SETEX", "PSETEX", "SETNX", "APPEND", "STRLEN",
                                     "INCR", "DECR", "INCRBY", "DECRBY", "INCRBYFLOAT", "GETRANGE", "SETRANGE", "SUBSTR",
                                     "MGET", "MSET", "MSETNX", "MSETEX", "LCS", "DELIFEQ"])
def test_arity_errors_name_the_command(client, command):
    client.says(command, arity(command.lower()))
    client.says(command.swapcase(), arity(command.lower()))


@pytest.mark.parametrize("line", ["GET a b", "STRLEN a b", "INCR a b", "DECR a b", "GETSET a", "GETSET a b c", "SETNX a", "SETNX a b c",
                                  "SETEX a 1", "PSETEX a 1", "APPEND a", "APPEND a b c", "GETRANGE a 1", "SUBSTR a 1", "SETRANGE a 1",
                                  "MSET a", "MSET a b c", "MSETNX a b c", "INCRBY a", "INCRBYFLOAT a", "GETDEL a b", "DELIFEQ a", "LCS a"])
def test_too_few_and_too_many_arguments_are_refused(client, line):
    client.says(line, arity(line.split()[0].lower()))


# The older forms


def test_setnx_setex_psetex_getset(client):
    client.says("SETNX k a", 1)
    client.says("SETNX k b", 0)
    client.says("GETSET k c", "a")
    client.says("GETSET new c", NIL)
    client.says("SETEX k 100 d", OK)
    assert 90 <= client.call("TTL", "k") <= 100
    client.says("GETSET k e", "d")
    client.says("TTL k", -1)
    client.says("PSETEX k 100000 f", OK)
    assert 90_000 <= client.call("PTTL", "k") <= 100_000
    for text in ("0", "-5"):
        client.says(f"SETEX k {text} v", bad_expiry("setex"))
        client.says(f"PSETEX k {text} v", bad_expiry("psetex"))
    client.says("SETEX k x v", NOT_INT)
    client.says("PSETEX k x v", NOT_INT)
    client.says(f"SETEX k {MAX} v", bad_expiry("setex"))
    client.says(f"PSETEX k {MAX} v", bad_expiry("psetex"))


def test_getdel_returns_and_removes(client):
    client.says("GETDEL k", NIL)
    client.says("SET k v", OK)
    client.says("GETDEL k", "v")
    client.says("EXISTS k", 0)


def test_delifeq_removes_only_the_expected_value(client):
    client.says("DELIFEQ k v", 0)
    client.says("SET k v", OK)
    client.says("DELIFEQ k w", 0)
    client.says("DELIFEQ k v", 1)
    client.says("EXISTS k", 0)
    client.says("SET k 10", OK)
    client.says("DELIFEQ k 010", 0)
    client.says("DELIFEQ k 10", 1)


def test_getex_changes_only_the_expiry(client):
    client.says("GETEX k EX 10", NIL)
    client.says("SET k v", OK)
    client.says("GETEX k", "v")
    client.says("TTL k", -1)
    client.says("GETEX k EX 100", "v")
    assert 90 <= client.call("TTL", "k") <= 100
    client.says("GETEX k", "v")
    assert 90 <= client.call("TTL", "k") <= 100
    client.says("GETEX k PERSIST", "v")
    client.says("TTL k", -1)
    client.says("GETEX k PXAT 4102444800123", "v")
    client.says("PEXPIRETIME k", 4102444800123)
    client.says("GETEX k EXAT 1", "v")
    client.says("EXISTS k", 0)


@pytest.mark.parametrize("options", ["EX", "NX", "GET", "KEEPTTL", "PERSIST EX 10", "EX 10 PERSIST", "EX 10 PX 10", "foo"])
def test_getex_refuses_option_combinations(client, options):
    client.says(f"GETEX k {options}", SYNTAX)


# Many keys at once


def test_mget_and_mset(client):
    client.says("MGET a", [NIL])
    client.says("MSET a 1 b 2 a 3", OK)
    client.says("MGET a b c a", ["3", "2", NIL, "3"])


def test_mget_of_missing_keys_in_resp3(client3):
    assert client3.raw("MGET", "a", "b") == b"*2\r\n_\r\n_\r\n"


def test_mset_clears_expiries(client):
    client.says("SET a 1 EX 100", OK)
    client.says("MSET a 2", OK)
    client.says("TTL a", -1)


def test_msetnx_sets_all_or_nothing(client):
    client.says("MSETNX a 1 b 2", 1)
    client.says("MSETNX c 1 b 3", 0)
    client.says("MGET a b c", ["1", "2", NIL])
    client.says("MSETNX d 1 d 2", 1)
    client.says("GET d", "2")


def test_msetex_sets_values_and_one_expiry(client):
    client.says("MSETEX 2 a 1 b 2", 1)
    client.says("MGET a b", ["1", "2"])
    client.says("MSETEX 2 a 1 b 2 NX", 0)
    client.says("MSETEX 2 a 1 c 2 XX", 0)
    client.says("EXISTS c", 0)
    client.says("MSETEX 2 a 3 b 4 XX PXAT 4102444800123", 1)
    client.says("PEXPIRETIME a", 4102444800123)
    client.says("PEXPIRETIME b", 4102444800123)
    client.says("MSETEX 1 a 5 KEEPTTL", 1)
    client.says("PEXPIRETIME a", 4102444800123)
    client.says("MSETEX 1 a 5", 1)
    client.says("TTL a", -1)
    client.says("MSETEX 2 x 1 y 2 NX EX 100", 1)
    assert 90 <= client.call("TTL", "y") <= 100


def test_msetex_with_a_time_already_past_leaves_nothing_to_read(client):
    client.says("MSET a 1 b 2", OK)
    client.says("MSETEX 2 a 3 b 4 EXAT 1", 1)
    client.says("MGET a b", [NIL, NIL])
    client.says("MSETEX 1 a 3 PXAT 1 NX", 1)
    client.says("EXISTS a", 0)


@pytest.mark.parametrize("line,error", [
    ("MSETEX 0 a b", "ERR invalid numkeys value or out of range"),
    ("MSETEX -1 a b", "ERR invalid numkeys value or out of range"),
    ("MSETEX x a b", "ERR invalid numkeys value or out of range"),
    (f"MSETEX {2**31} a b", "ERR invalid numkeys value or out of range"),
    ("MSETEX 2 a b", "ERR syntax error"),
    ("MSETEX 1 a b c", "ERR syntax error"),
    ("MSETEX 1 a b NX XX", "ERR syntax error"),
    ("MSETEX 1 a b EX", "ERR syntax error"),
    ("MSETEX 1 a b GET", "ERR syntax error"),
    ("MSETEX 1 a b EX 0", "ERR invalid expire time in 'msetex' command"),
    ("MSETEX 1 a b EX x", "ERR value is not an integer or out of range"),
])
def test_msetex_refuses(client, line, error):
    client.says(line, Err(error))
    client.says("DBSIZE", 0)


# Numbers


def test_counters_count(client):
    client.says("INCR k", 1)
    client.says("INCRBY k 10", 11)
    client.says("DECR k", 10)
    client.says("DECRBY k 25", -15)
    client.says("INCRBY k -5", -20)
    client.says("DECRBY k -20", 0)
    client.says("GET k", "0")
    client.says("DECR fresh", -1)


def test_counters_stop_at_the_limits_of_64_bits(client):
    client.says(f"SET k {MAX}", OK)
    client.says("INCR k", Err("ERR increment or decrement would overflow"))
    client.says("GET k", str(MAX))
    client.says(f"SET k {MIN}", OK)
    client.says("DECR k", Err("ERR increment or decrement would overflow"))
    client.says(f"INCRBY k {MAX}", -1)
    client.says(f"SET k {MIN + 1}", OK)
    client.says("DECRBY k 1", MIN)
    client.says(f"DECRBY k {MIN}", Err("ERR decrement would overflow"))
    client.says(f"INCRBY k {MAX + 1}", NOT_INT)
    client.says(f"INCRBY k {MIN - 1}", NOT_INT)


@pytest.mark.parametrize("value", ["", " 1", "1 ", "+1", "01", "-0", "1.0", "1e1", "0x1", "a", str(MAX + 1), str(MIN - 1), "--1", "\0", "1\0"])
def test_what_is_not_a_strict_integer_is_not_counted(client, value):
    client.says(("SET", "k", value), OK)
    client.says("INCR k", NOT_INT)
    client.says(("INCRBY", "n", value), NOT_INT)
    client.says("GET k", value)
    client.says("EXISTS n", 0)


def test_incr_keeps_the_expiry(client):
    client.says("SET k 5 PXAT 4102444800123", OK)
    client.says("INCR k", 6)
    client.says("INCRBYFLOAT k 0.5", "6.5")
    client.says("APPEND k 0", 4)
    client.says("SETRANGE k 0 7", 4)
    client.says("PEXPIRETIME k", 4102444800123)


@pytest.mark.parametrize("start,increment,result", [
    ("10.50", "0.1", "10.6"),
    ("5.0e3", "200", "5200"),
    ("3", "1.5", "4.5"),
    ("3.0", "1.0", "4"),
    ("1", "-1", "0"),
    ("0", "1e-7", "0.0000001"),
    ("0", "1e17", "100000000000000000"),
    ("0.1", "0.2", "0.3"),
    ("-0.5", "0.25", "-0.25"),
    ("9007199254740993", "0", "9007199254740993"),
    ("123456789012345678", "1", "123456789012345679"),
    ("1", "0x10", "17"),
    ("0", "1e-18", "0"),
    ("0", "-1e-18", "0"),
    ("1.5", "+1.5", "3"),
    (".5", "5.", "5.5"),
])
def test_incrbyfloat_formats_like_a_human(client, start, increment, result):
    client.says(("SET", "k", start), OK)
    client.says(("INCRBYFLOAT", "k", increment), result)
    client.says("GET k", result)


@pytest.mark.parametrize("value", ["", "a", " 1", "1 ", "1..0", "1e", "nan", "1\0"])
def test_incrbyfloat_refuses_what_is_no_number(client, value):
    client.says(("INCRBYFLOAT", "n", value), NOT_FLOAT)
    client.says(("SET", "k", value), OK)
    client.says("INCRBYFLOAT k 1", NOT_FLOAT)


def test_incrbyfloat_refuses_infinity(client):
    client.says("INCRBYFLOAT k inf", Err("ERR increment would produce NaN or Infinity"))
    client.says("INCRBYFLOAT k -infinity", Err("ERR increment would produce NaN or Infinity"))
    client.says("EXISTS k", 0)


# Parts of strings


def test_append_and_strlen(client):
    client.says("STRLEN k", 0)
    client.says("APPEND k ''", 0)
    client.says("EXISTS k", 1)
    client.says("APPEND k ab", 2)
    client.says("APPEND k c", 3)
    client.says("GET k", "abc")
    client.says("STRLEN k", 3)
    client.says("SET n 123", OK)
    client.says("STRLEN n", 3)
    client.says("APPEND n 4", 4)
    client.says("INCR n", 1235)


@pytest.mark.parametrize("command", ["GETRANGE", "SUBSTR"])
@pytest.mark.parametrize("start,end,result", [
    (0, 3, "This"), (0, -1, "This is a string"), (-3, -1, "ing"), (5, 4, ""), (-5, -6, ""), (10, 1000, "string"), (100, 200, ""),
    (-1000, 3, "This"), (-1000, -900, "T"), (0, 0, "T"), (-1, -1, "g"), (15, 15, "g"), (16, 16, ""), (0, MAX, "This is a string"),
    (MIN, MAX, "This is a string"), (MIN, MIN, "T"), (MAX, MAX, ""), (3, -14, ""),
])
def test_getrange_clamps_its_bounds(client, command, start, end, result):
    client.says("SET k 'This is a string'", OK)
    client.says(f"{command} k {start} {end}", result)


def test_getrange_reads_integers_and_missing_keys(client):
    client.says("SET n 12345", OK)
    client.says("GETRANGE n 1 -2", "234")
    client.says("GETRANGE missing 0 -1", "")
    client.says("GETRANGE n x 1", NOT_INT)
    client.says("GETRANGE n 1 x", NOT_INT)


def test_setrange_grows_with_zero_bytes(client):
    client.says("SETRANGE k 3 ab", 5)
    client.says("GET k", b"\0\0\0ab")
    client.says("SETRANGE k 0 X", 5)
    client.says("GET k", b"X\0\0ab")
    client.says("SETRANGE k 2 ''", 5)
    client.says("SETRANGE missing 5 ''", 0)
    client.says("EXISTS missing", 0)
    client.says("SET n 1234", OK)
    client.says("SETRANGE n 1 x", 4)
    client.says("GET n", "1x34")


def test_setrange_checks_its_offset(client):
    client.says("SETRANGE k -1 a", Err("ERR offset is out of range"))
    client.says("SETRANGE k x a", NOT_INT)
    client.says(f"SETRANGE k {512 * 1024 * 1024} a", TOO_LONG)
    client.says(f"SETRANGE k {512 * 1024 * 1024 - 3} abcd", TOO_LONG)
    client.says(f"SETRANGE k {MAX} a", TOO_LONG)
    client.says(f"SETRANGE k {MAX} ''", 0)
    client.says("EXISTS k", 0)
    client.says("SET k a", OK)
    client.says(f"SETRANGE k {512 * 1024 * 1024} a", TOO_LONG)
    client.says("GET k", "a")


def test_proto_max_bulk_len_limits_what_strings_grow_to(start_server):
    with start_server("--proto-max-bulk-len", "1mb").raw() as c:
        c.says(("SET", "k", "x" * 1048576), OK)
        c.says("APPEND k y", TOO_LONG)
        c.says("SETRANGE k 1048576 y", TOO_LONG)
        c.says("SETRANGE k 1048575 y", 1048576)
        c.says("STRLEN k", 1048576)


# LCS


def test_lcs_string_length_and_matches(client):
    client.says("MSET a ohmytext b mynewtext", OK)
    client.says("LCS a b", "mytext")
    client.says("LCS a b LEN", 6)
    matches = [[[4, 7], [5, 8]], [[2, 3], [0, 1]]]
    client.says("LCS a b IDX", Map(matches=matches, len=6))
    client.says("LCS a b IDX MINMATCHLEN 4", Map(matches=matches[:1], len=6))
    client.says("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", Map(matches=[[[4, 7], [5, 8], 4]], len=6))
    client.says("LCS a b IDX MINMATCHLEN -1", Map(matches=matches, len=6))
    client.says("LCS a missing", "")
    client.says("LCS a missing IDX", Map(matches=[], len=0))
    client.says("LCS a missing LEN", 0)


def test_lcs_matches_are_a_map_in_resp3(client3):
    client3.says("MSET a ohmytext b mynewtext", OK)
    client3.says("LCS a b IDX WITHMATCHLEN", Map(matches=[[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]], len=6))


def test_lcs_refuses(client):
    client.says("LCS a b LEN IDX", Err("ERR If you want both the length and indexes, please just use IDX."))
    client.says("LCS a b foo", SYNTAX)
    client.says("LCS a b MINMATCHLEN", SYNTAX)
    client.says("LCS a b MINMATCHLEN x", NOT_INT)


# Encodings, as OBJECT ENCODING tells them


@pytest.mark.parametrize("value,encoding", [
    ("1", "int"), ("-1", "int"), (str(MAX), "int"), (str(MIN), "int"), ("10000", "int"), (str(MAX + 1), "embstr"),
    ("01", "embstr"), ("1.5", "embstr"), ("", "embstr"), ("a", "embstr"), ("x" * 44, "embstr"), ("x" * 200, "raw"),
])
def test_set_chooses_the_encoding(client, value, encoding):
    client.says(("SET", "k", value), OK)
    client.says("OBJECT ENCODING k", encoding)


def test_changed_strings_are_raw_and_counters_are_int(client):
    client.says("SET k a", OK)
    client.says("APPEND k b", 2)
    client.says("OBJECT ENCODING k", "raw")
    client.says("SET k 1", OK)
    client.says("INCR k", 2)
    client.says("OBJECT ENCODING k", "int")
    client.says("INCRBYFLOAT k 1", "3")
    client.says("OBJECT ENCODING k", "embstr")
    client.says("APPEND fresh 12", 2)
    client.says("OBJECT ENCODING fresh", "int")
    client.says("SETRANGE r 0 a", 1)
    client.says("OBJECT ENCODING r", "raw")


# As an application sees them


def test_redis_py_strings(redis_client):
    r = redis_client
    assert r.set("k", "v", ex=100, nx=True) is True
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", get=True, keepttl=True) == b"v"
    assert 90 <= r.ttl("k") <= 100
    assert r.mset({"a": 1, "b": 2}) is True
    assert r.mget("a", "b", "c") == [b"1", b"2", None]
    assert r.incr("a", 41) == 42
    assert r.incrbyfloat("a", 0.5) == 42.5
    assert r.getrange("k", 0, -1) == b"w"
    assert r.getdel("k") == b"w"
    assert r.exists("k", "a", "a") == 2


def test_a_redis_py_pipeline(redis_client):
    with redis_client.pipeline(transaction=False) as p:
        for i in range(1000):
            p.set(f"k{i}", i)
            p.get(f"k{i}")
        replies = p.execute()
    assert replies[1::2] == [str(i).encode() for i in range(1000)]
