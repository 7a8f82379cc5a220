"""Commands on keys of any type: existence, names, databases and expiry."""

import pytest

from harness import eventually
from resp import NIL, NOT_INT, OK, SYNTAX, Err, Simple, arity

MAX = 2**63 - 1
MIN = -(2**63)
FAR_S = 4102444800  # the year 2100
NO_KEY = Err("ERR no such key")
SAME = Err("ERR source and destination objects are the same")
DB_RANGE = Err("ERR DB index is out of range")


def bad_expiry(command):
    return Err(f"ERR invalid expire time in '{command}' command")


def gone(client, key):
    eventually(lambda: client.call("EXISTS", key) == 0, f"{key} expires")


# Existence, names, types


@pytest.mark.parametrize("command", ["DEL", "UNLINK"])
def test_del_and_unlink_count_what_was_there(client, command):
    client.says("MSET a 1 b 2 c 3", OK)
    client.says(f"{command} a b missing a", 2)
    client.says(f"{command} a", 0)
    client.says("DBSIZE", 1)


@pytest.mark.parametrize("command", ["EXISTS", "TOUCH"])
def test_exists_and_touch_count_repeated_keys(client, command):
    client.says("SET a 1", OK)
    client.says(f"{command} a a b a", 3)


def test_type_of_a_string_and_of_nothing(client):
    client.says("SET a 1", OK)
    client.says("TYPE a", Simple("string"))
    client.says("TYPE b", Simple("none"))


@pytest.mark.parametrize("line", ["DEL", "UNLINK", "EXISTS", "TOUCH", "TYPE", "TYPE a b", "KEYS", "KEYS a b", "RENAME a", "RENAMENX a",
                                  "RENAME a b c", "COPY a", "MOVE a", "PERSIST", "PERSIST a b", "TTL", "TTL a b", "PTTL", "EXPIRETIME",
                                  "PEXPIRETIME", "EXPIRE a", "PEXPIRE a", "EXPIREAT a", "PEXPIREAT a", "SCAN", "DBSIZE x", "RANDOMKEY x",
                                  "SWAPDB 0", "SELECT", "SELECT 0 0"])
def test_arity_errors_name_the_command(client, line):
    client.says(line, arity(line.split()[0].lower()))


def test_rename_moves_value_and_expiry(client):
    client.says("RENAME a b", NO_KEY)
    client.says("RENAMENX a b", NO_KEY)
    client.says(f"SET a 1 EXAT {FAR_S}", OK)
    client.says("SET b 2", OK)
    client.says("RENAMENX a b", 0)
    client.says("RENAME a b", OK)
    client.says("EXISTS a", 0)
    client.says("GET b", "1")
    client.says("EXPIRETIME b", FAR_S)
    client.says("RENAMENX b c", 1)
    client.says("RENAME c c", OK)
    client.says("RENAMENX c c", 0)
    client.says("GET c", "1")


def test_rename_onto_a_key_drops_its_expiry(client):
    client.says("SET a 1", OK)
    client.says("SET b 2 EX 1000", OK)
    client.says("RENAME a b", OK)
    client.says("TTL b", -1)


def test_copy_within_and_between_databases(client):
    client.says("COPY a b", 0)
    client.says(f"SET a 1 EXAT {FAR_S}", OK)
    client.says("COPY a b", 1)
    client.says("EXPIRETIME b", FAR_S)
    client.says("SET a 2", OK)
    client.says("COPY a b", 0)
    client.says("COPY a b REPLACE", 1)
    client.says("TTL b", -1)
    client.says("GET b", "2")
    client.says("COPY a a", SAME)
    client.says("COPY a a DB 1", 1)
    client.says("COPY a a DB 1", 0)
    client.says("COPY a a REPLACE DB 1", 1)
    client.says("COPY a b DB 99", DB_RANGE)
    client.says("COPY a b DB -1", DB_RANGE)
    client.says("COPY a b DB x", NOT_INT)
    client.says("COPY a b foo", SYNTAX)
    client.says("COPY a b DB", SYNTAX)
    client.says("SELECT 1", OK)
    client.says("GET a", "2")


def test_move_between_databases(client):
    client.says("MOVE a 1", 0)
    client.says(f"SET a 1 EXAT {FAR_S}", OK)
    client.says("MOVE a 0", SAME)
    client.says("MOVE a 16", DB_RANGE)
    client.says("MOVE a x", NOT_INT)
    client.says("MOVE a 1", 1)
    client.says("EXISTS a", 0)
    client.says("SET a 2", OK)
    client.says("MOVE a 1", 0)
    client.says("SELECT 1", OK)
    client.says("GET a", "1")
    client.says("EXPIRETIME a", FAR_S)


def test_databases_are_separate_and_can_be_swapped(client, other):
    client.says("SET a 0", OK)
    client.says("SELECT 15", OK)
    client.says("GET a", NIL)
    client.says("SET a 15", OK)
    other.says("SWAPDB 0 15", OK)
    client.says("GET a", "0")
    other.says("GET a", "15")
    other.says("SWAPDB 3 3", OK)
    other.says("SWAPDB 0 16", DB_RANGE)
    other.says("SWAPDB 16 0", DB_RANGE)
    other.says("SWAPDB x 0", Err("ERR invalid first DB index"))
    other.says("SWAPDB 0 x", Err("ERR invalid second DB index"))


def test_select_checks_its_index(client):
    client.says("SELECT 16", DB_RANGE)
    client.says("SELECT -1", DB_RANGE)
    client.says("SELECT x", NOT_INT)
    client.says("SELECT ''", NOT_INT)
    client.says("SELECT 99999999999999999999", NOT_INT)


@pytest.mark.parametrize("form", ["", " SYNC", " ASYNC", " async"])
def test_flushdb_and_flushall(client, form):
    client.says("SET a 1", OK)
    client.says("SELECT 1", OK)
    client.says("MSET a 1 b 2", OK)
    client.says("FLUSHDB" + form, OK)
    client.says("DBSIZE", 0)
    client.says("SELECT 0", OK)
    client.says("DBSIZE", 1)
    client.says("FLUSHALL" + form, OK)
    client.says("DBSIZE", 0)


@pytest.mark.parametrize("line", ["FLUSHALL foo", "FLUSHDB foo", "FLUSHALL SYNC ASYNC", "FLUSHDB ASYNC SYNC"])
def test_flush_refuses_other_words(client, line):
    client.says(line, SYNTAX)


def test_randomkey_is_one_of_the_keys(client):
    client.says("RANDOMKEY", NIL)
    client.says("MSET a 1 b 2 c 3", OK)
    seen = {client.call("RANDOMKEY") for _ in range(200)}
    assert seen <= {b"a", b"b", b"c"} and len(seen) > 1


GLOB_KEYS = ["hello", "hallo", "hxllo", "hllo", "heeeello", "h[llo", "h*llo", "a\\b", "", "HELLO", "h-llo", "h^llo", "x\ny"]


@pytest.mark.parametrize("pattern,found", [
    ("*", GLOB_KEYS),
    ("h?llo", ["hello", "hallo", "hxllo", "h[llo", "h*llo", "h-llo", "h^llo"]),
    ("h*llo", ["hello", "hallo", "hxllo", "hllo", "heeeello", "h[llo", "h*llo", "h-llo", "h^llo"]),
    ("h[ae]llo", ["hello", "hallo"]),
    ("h[^e]llo", ["hallo", "hxllo", "h[llo", "h*llo", "h-llo", "h^llo"]),
    ("h[a-b]llo", ["hallo"]),
    ("h[b-a]llo", ["hallo"]),
    (r"h\*llo", ["h*llo"]),
    (r"h\[llo", ["h[llo"]),
    (r"h[\-]llo", ["h-llo"]),
    (r"a\\b", ["a\\b"]),
    ("h[el", []),
    ("h[", []),
    ("", [""]),
    ("?", []),
    ("hello", ["hello"]),
    ("hello*", ["hello"]),
    ("**l**o", ["hello", "hallo", "hxllo", "hllo", "heeeello", "h[llo", "h*llo", "h-llo", "h^llo"]),
    ("x?y", ["x\ny"]),
    ("h[]llo", []),
    ("nothing", []),
])
def test_keys_match_globs(client, pattern, found):
    for key in GLOB_KEYS:
        client.says(("SET", key, "v"), OK)
    assert sorted(client.call("KEYS", pattern)) == sorted(k.encode() for k in found)


# Expiry


@pytest.mark.parametrize("line", ["EXPIRE k 1000", "PEXPIRE k 1000000", f"EXPIREAT k {FAR_S}", f"PEXPIREAT k {FAR_S}000"])
def test_expire_replies_1_for_a_key_and_0_for_none(client, line):
    client.says(line, 0)
    client.says("SET k v", OK)
    client.says(line, 1)
    assert client.call("TTL", "k") > 0


def test_ttl_family_of_keys_with_and_without_expiry(client):
    for command in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"):
        client.says(f"{command} k", -2)
    client.says("SET k v", OK)
    for command in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"):
        client.says(f"{command} k", -1)
    client.says(f"PEXPIREAT k {FAR_S}001", 1)
    client.says("EXPIRETIME k", FAR_S)
    client.says("PEXPIRETIME k", FAR_S * 1000 + 1)
    client.says("EXPIRE k 1000", 1)
    assert 900 <= client.call("TTL", "k") <= 1000
    assert 900_000 <= client.call("PTTL", "k") <= 1_000_000


def test_persist_removes_the_expiry(client):
    client.says("PERSIST k", 0)
    client.says("SET k v", OK)
    client.says("PERSIST k", 0)
    client.says("EXPIRE k 100", 1)
    client.says("PERSIST k", 1)
    client.says("TTL k", -1)


@pytest.mark.parametrize("line", ["EXPIRE k 0", "EXPIRE k -1", "PEXPIRE k 0", "PEXPIRE k -1", "EXPIREAT k 1", "EXPIREAT k 0", "EXPIREAT k -1",
                                  "PEXPIREAT k 1", f"PEXPIREAT k {MIN}", "EXPIRE k -9000000000000000"])
def test_an_expiry_in_the_past_removes_the_key_at_once(client, line):
    client.says("SET k v", OK)
    client.says(line, 1)
    client.says("EXISTS k", 0)


@pytest.mark.parametrize("command,worst", [("EXPIRE", MAX), ("EXPIRE", MAX // 1000), ("EXPIRE", MIN), ("PEXPIRE", MAX), ("EXPIREAT", MAX // 1000 + 1),
                                           ("EXPIREAT", MAX), ("EXPIREAT", MIN)])
def test_expiries_beyond_64_bits_are_refused(client, command, worst):
    client.says("SET k v", OK)
    client.says(f"{command} k {worst}", bad_expiry(command.lower()))
    client.says("TTL k", -1)


def test_the_largest_expiry_is_kept(client):
    client.says("SET k v", OK)
    client.says(f"PEXPIREAT k {MAX}", 1)
    client.says("PEXPIRETIME k", MAX)
    client.says("GET k", "v")


@pytest.mark.parametrize("command", ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"])
@pytest.mark.parametrize("text", ["x", "", "1.5", " 1", str(MAX + 1)])
def test_expiries_are_strict_integers(client, command, text):
    client.says("SET k v", OK)
    client.says((command, "k", text), NOT_INT)


def test_expire_conditions(client):
    client.says("SET k v", OK)
    client.says("EXPIREAT k 4102444800 XX", 0)
    client.says("EXPIREAT k 4102444800 GT", 0)
    client.says("EXPIREAT k 4102444800 NX", 1)
    client.says("EXPIREAT k 4102444900 NX", 0)
    client.says("EXPIREAT k 4102444800 GT", 0)
    client.says("EXPIREAT k 4102444801 GT", 1)
    client.says("EXPIREAT k 4102444801 LT", 0)
    client.says("EXPIREAT k 4102444700 lt", 1)
    client.says("EXPIREAT k 4102444900 XX GT", 1)
    client.says("EXPIREAT k 4102444800 XX LT", 1)
    client.says("EXPIRETIME k", 4102444800)
    client.says("PERSIST k", 1)
    client.says("EXPIREAT k 4102444800 LT", 1)
    client.says("PERSIST k", 1)
    client.says("EXPIREAT k 4102444800 LT XX", 0)
    client.says("EXPIRE k -1 XX", 0)
    client.says("EXISTS k", 1)


@pytest.mark.parametrize("options,error", [
    ("NX XX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
    ("NX GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
    ("LT NX", "ERR NX and XX, GT or LT options at the same time are not compatible"),
    ("GT LT", "ERR GT and LT options at the same time are not compatible"),
    ("foo", "ERR Unsupported option foo"),
    ("NX foo", "ERR Unsupported option foo"),
    ("''", "ERR Unsupported option "),
])
def test_expire_refuses_option_combinations(client, options, error):
    for command in ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"):
        client.says(f"{command} k 100 {options}", Err(error))


def test_an_expired_key_is_gone_for_every_command(client):
    for key in "abcdefgh":
        client.says(f"SET {key} 1 PX 1", OK)
    gone(client, "h")  # the last one set: the others are due as well
    client.says("GET a", NIL)
    client.says("SET b 2 XX", NIL)
    client.says("INCR c", 1)
    client.says("TTL c", -1)
    client.says("APPEND d x", 1)
    client.says("RENAME e z", NO_KEY)
    client.says("SET f 1 NX GET", NIL)
    client.says("DEL g", 0)
    client.says("TYPE h", Simple("none"))
    client.says("TTL h", -2)


def test_expired_keys_leave_memory_without_being_read(client):
    client.says("SET stays 1", OK)
    client.send(b"".join(b"SET key:%d v PX 1\r\n" % i for i in range(2000)))
    for _ in range(2000):
        assert client.read_raw() == b"+OK\r\n"
    eventually(lambda: client.call("DBSIZE") == 1, "expired keys are removed in the background")
    client.says("GET stays", "1")


def test_many_keys_of_many_lifetimes_expire_and_no_others(client, rng):
    keys = [(f"k{i}", rng.choice([1, 5, 20, 50, 100, 3_600_000])) for i in range(3000)]
    for reply in client.pipeline([("SET", k, "v", "PX", ms) for k, ms in keys]):
        assert reply == b"+OK\r\n"
    lasting = {k.encode() for k, ms in keys if ms == 3_600_000}
    eventually(lambda: client.call("DBSIZE") == len(lasting), "only the lasting keys remain")
    assert set(client.call("KEYS", "*")) == lasting


def test_an_overwritten_expiry_does_not_fire(client):
    client.says("SET k v PX 2000", OK)
    client.says("SET k w", OK)
    client.says("SET marker v PX 2100", OK)
    gone(client, "marker")
    client.says("GET k", "w")


def test_persist_and_later_expiry_outlive_the_first(client):
    client.says("SET a v PX 2000", OK)
    client.says("SET b v PX 2000", OK)
    client.says("PERSIST a", 1)
    client.says("EXPIRE b 1000", 1)
    client.says("SET marker v PX 2100", OK)
    gone(client, "marker")
    client.says("MGET a b", ["v", "v"])


# OBJECT


def test_object_of_missing_keys_is_nil(client, client3):
    for sub in ("ENCODING", "REFCOUNT", "IDLETIME", "FREQ"):
        client.says(f"OBJECT {sub} missing", NIL)
        client3.says(f"OBJECT {sub} missing", NIL)


def test_object_idletime_and_touch(client):
    client.says("SET k v", OK)
    eventually(lambda: client.call("OBJECT", "IDLETIME", "k") >= 1, "the idle time grows")
    client.says("TOUCH k", 1)
    client.says("OBJECT IDLETIME k", 0, 1)


def test_object_freq_needs_an_lfu_policy(client, start_server):
    client.says("SET k v", OK)
    client.says("OBJECT FREQ k", Err(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies "
        "at runtime LRU and LFU data will take some time to adjust."))
    with start_server("--maxmemory-policy", "allkeys-lfu").raw() as c:
        c.says("SET k v", OK)
        assert isinstance(c.call("OBJECT", "FREQ", "k"), int)
        c.says("OBJECT IDLETIME k", Err(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at "
            "runtime LRU and LFU data will take some time to adjust."))


def test_object_errors(client):
    client.says("SET k v", OK)
    client.says("OBJECT REFCOUNT k", 1)
    client.says("OBJECT", arity("object"))
    client.says("OBJECT ENCODING", arity("object|encoding"))
    client.says("OBJECT ENCODING a b", arity("object|encoding"))
    client.says("OBJECT foo k", Err("ERR unknown subcommand 'foo'. Try OBJECT HELP."))
    assert client.call("OBJECT", "HELP")[0] == "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"


def test_redis_py_keys(redis_client):
    r = redis_client
    r.set("k", "v")
    assert r.expire("k", 100) is True
    assert 90 <= r.ttl("k") <= 100
    assert r.persist("k") is True
    assert r.rename("k", "l") is True
    assert r.type("l") == b"string"
    assert r.keys("*") == [b"l"]
    assert r.copy("l", "m") is True
    assert r.delete("l", "m", "n") == 2
