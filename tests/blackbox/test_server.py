"""What an operator asks the server: INFO, CONFIG, COMMAND, MEMORY, DEBUG, TIME, SHUTDOWN, and how it starts."""

import re
import signal
import subprocess

import pytest

from harness import BINARY, eventually, free_port
from resp import NIL, NOT_INT, OK, SYNTAX, Err, Map, Set, Simple, Verbatim, arity

# The commands that Larder has by now; each must be known to the server.
COMMANDS = (
    "append decr decrby delifeq get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset msetex msetnx psetex set setex setnx "
    "setrange strlen substr copy del exists expire expireat expiretime keys move object persist pexpire pexpireat pexpiretime pttl randomkey "
    "rename renamenx scan touch ttl type unlink auth client echo hello ping quit reset select command config dbsize debug flushall flushdb "
    "info lolwut memory shutdown swapdb time discard exec multi unwatch watch"
).split()

INTEGER = r"-?\d+"
DECIMAL = r"-?\d+\.\d+"
SIZE = r"\d+(\.\d\d)?[BKMGT]"
PERCENT = r"\d+\.\d\d%"
YES_NO = "[01]"

# Section: field: what its value must look like. What dashboards and clients read.
INFO = {
    "Server": {"redis_version": r"7\.2\.4", "redis_mode|server_mode": "standalone", "os": r"Linux .+", "arch_bits": "64", "process_id": INTEGER,
               "run_id": "[0-9a-f]{40}", "tcp_port": INTEGER, "server_time_usec": r"\d{16}", "uptime_in_seconds": INTEGER,
               "uptime_in_days": INTEGER, "hz": INTEGER, "configured_hz": INTEGER, "lru_clock": INTEGER, "executable": "/.+", "config_file": ".*",
               "server_name": ".+", "multiplexing_api": ".+", "process_supervised": "no", "listener0": r"name=tcp,bind=127\.0\.0\.1,port=\d+"},
    "Clients": {"connected_clients": INTEGER, "cluster_connections": INTEGER, "maxclients": INTEGER, "client_recent_max_input_buffer": INTEGER,
                "client_recent_max_output_buffer": INTEGER, "blocked_clients": INTEGER, "tracking_clients": INTEGER, "pubsub_clients": INTEGER,
                "watching_clients": INTEGER, "clients_in_timeout_table": INTEGER, "total_watched_keys": INTEGER, "total_blocking_keys": INTEGER},
    "Memory": {"used_memory": INTEGER, "used_memory_human": SIZE, "used_memory_rss": INTEGER, "used_memory_rss_human": SIZE,
               "used_memory_peak": INTEGER, "used_memory_peak_human": SIZE, "used_memory_peak_perc": PERCENT, "used_memory_overhead": INTEGER,
               "used_memory_startup": INTEGER, "used_memory_dataset": INTEGER, "used_memory_dataset_perc": PERCENT,
               "total_system_memory": INTEGER, "total_system_memory_human": SIZE, "maxmemory": INTEGER, "maxmemory_human": SIZE,
               "maxmemory_policy": "noeviction|larder", "mem_fragmentation_ratio": DECIMAL, "mem_fragmentation_bytes": INTEGER,
               "mem_allocator": "jemalloc-.+", "allocator_allocated": INTEGER, "allocator_active": INTEGER, "allocator_resident": INTEGER,
               "mem_clients_normal": INTEGER, "mem_clients_slaves": INTEGER, "lazyfree_pending_objects": INTEGER, "lazyfreed_objects": INTEGER},
    "Persistence": {"loading": YES_NO, "rdb_changes_since_last_save": INTEGER, "rdb_bgsave_in_progress": YES_NO, "rdb_last_save_time": INTEGER,
                    "rdb_last_bgsave_status": "ok", "aof_enabled": YES_NO, "aof_rewrite_in_progress": YES_NO, "aof_last_write_status": "ok"},
    "Stats": {"total_connections_received": INTEGER, "total_commands_processed": INTEGER, "instantaneous_ops_per_sec": INTEGER,
              "total_net_input_bytes": INTEGER, "total_net_output_bytes": INTEGER, "instantaneous_input_kbps": DECIMAL,
              "instantaneous_output_kbps": DECIMAL, "rejected_connections": INTEGER, "expired_keys": INTEGER, "evicted_keys": INTEGER,
              "evicted_clients": INTEGER, "keyspace_hits": INTEGER, "keyspace_misses": INTEGER, "total_error_replies": INTEGER,
              "expired_stale_perc": DECIMAL, "client_query_buffer_limit_disconnections": INTEGER,
              "client_output_buffer_limit_disconnections": INTEGER, "pubsub_channels": INTEGER, "latest_fork_usec": INTEGER},
    "Replication": {"role": "master", "connected_slaves": "0", "master_replid": "[0-9a-f]{40}", "master_repl_offset": INTEGER,
                    "second_repl_offset": INTEGER, "master_failover_state": "no-failover", "repl_backlog_active": YES_NO},
    "CPU": {"used_cpu_sys": DECIMAL, "used_cpu_user": DECIMAL, "used_cpu_sys_children": DECIMAL, "used_cpu_user_children": DECIMAL},
    "Cluster": {"cluster_enabled": "0"},
    "Keyspace": {},
}


def info(client, *sections):
    """Section: {field: value}."""
    text = client.call("INFO", *sections).decode()
    found, section = {}, None
    for line in text.split("\r\n"):
        if line.startswith("# "):
            section = found.setdefault(line[2:], {})
        elif line:
            name, value = line.split(":", 1)
            section[name] = value
    return found


def stat(client, name):
    return int(info(client, "stats")["Stats"][name])


# INFO


@pytest.mark.parametrize("section", INFO)
def test_info_fields_are_there_and_of_their_type(client, section):
    got = info(client, section.lower())
    assert list(got) == [section]
    for name, form in INFO[section].items():
        name = next((n for n in name.split("|") if n in got[section]), name)
        assert re.fullmatch(form, got[section][name]), f"{name}:{got[section][name]}"


def test_info_says_who_it_is(client, larder):
    got = info(client, "server")["Server"]
    assert got["redis_version"] == "7.2.4"
    assert got["server_name"] == ("larder" if larder else "valkey")
    assert re.fullmatch(r"\d+\.\d+\.\d+", got["larder_version" if larder else "valkey_version"])
    assert int(got["tcp_port"]) == client.socket.getpeername()[1]


def test_info_default_all_and_chosen_sections(client):
    default = set(info(client))
    assert set(INFO) - {"Keyspace"} <= default | {"Keyspace"}
    assert "Commandstats" not in default
    assert default <= set(info(client, "default")) | {"Keyspace"}
    for everything in ("all", "everything", "ALL"):
        assert {"Commandstats", "Errorstats"} <= set(info(client, everything))
    assert list(info(client, "cpu", "Clients")) == ["Clients", "CPU"]
    client.says("INFO nosuchsection", "")
    client.says("SET a 1", OK)
    assert list(info(client, "keyspace", "nosuchsection")) == ["Keyspace"]


def test_info_is_verbatim_in_resp3(client3):
    assert isinstance(client3.call("INFO"), Verbatim)


def test_info_keyspace_counts_keys_and_expiries(client):
    client.says("MSET a 1 b 2", OK)
    client.says("SET c 3 EX 1000", OK)
    client.says("SELECT 3", OK)
    client.says("SET d 1", OK)
    got = info(client, "keyspace")["Keyspace"]
    assert list(got) == ["db0", "db3"]
    assert got["db0"].startswith("keys=3,expires=1,avg_ttl=")
    assert got["db3"].startswith("keys=1,expires=0,avg_ttl=0")


def test_info_counts_hits_misses_expiries_and_errors(client):
    client.says("CONFIG RESETSTAT", OK)
    client.says("SET a 1", OK)
    for _ in range(3):
        client.says("GET a", "1")
    client.says("MGET a missing missing2", ["1", NIL, NIL])
    client.says("EXISTS missing", 0)
    client.says("foo", Err("ERR unknown command 'foo', with args beginning with: "))
    client.says("SET x 1 PX 1", OK)
    eventually(lambda: client.call("DBSIZE") == 1, "x expires")
    got = info(client, "stats")["Stats"]
    assert int(got["keyspace_hits"]) == 4
    assert int(got["keyspace_misses"]) == 3
    assert int(got["expired_keys"]) == 1
    assert int(got["total_error_replies"]) == 1
    client.says("CONFIG RESETSTAT", OK)
    got = info(client, "stats")["Stats"]
    for name in ("keyspace_hits", "keyspace_misses", "expired_keys", "total_error_replies", "total_connections_received"):
        assert got[name] == "0", name


def test_info_counts_commands_and_connections(server, client):
    before = stat(client, "total_connections_received")
    commands = stat(client, "total_commands_processed")
    server.raw().close()
    eventually(lambda: stat(client, "total_connections_received") >= before + 1, "the connection is counted")
    client.pipeline(["PING"] * 10)
    assert stat(client, "total_commands_processed") >= commands + 10


def test_commandstats_and_errorstats(client):
    client.says("CONFIG RESETSTAT", OK)
    client.says("SET a x", OK)
    client.says("INCR a", NOT_INT)
    client.says("GET", arity("get"))
    got = info(client, "commandstats")["Commandstats"]
    assert re.fullmatch(r"calls=1,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=0,failed_calls=0", got["cmdstat_set"])
    assert re.fullmatch(r"calls=1,.*rejected_calls=0,failed_calls=1", got["cmdstat_incr"])
    assert re.fullmatch(r"calls=0,.*rejected_calls=1,failed_calls=0", got["cmdstat_get"])
    assert info(client, "errorstats")["Errorstats"]["errorstat_ERR"] == "count=2"


def test_connected_and_watching_clients(server, client):
    before = int(info(client, "clients")["Clients"]["connected_clients"])
    with server.raw() as c:
        c.says("WATCH a b", OK)
        got = info(client, "clients")["Clients"]
        assert int(got["connected_clients"]) == before + 1
        assert (got["watching_clients"], got["total_watched_keys"]) == ("1", "2")
    eventually(lambda: int(info(client, "clients")["Clients"]["connected_clients"]) == before, "the client is gone")


# CONFIG


def test_config_get_by_name_glob_and_several(client):
    client.says("CONFIG GET maxmemory", ["maxmemory", "0"])
    client.says("CONFIG GET MAXMEMORY", ["MAXMEMORY", "0"])
    client.says("CONFIG GET nosuchthing", [])
    client.says("CONFIG GET nosuchthing maxmemory maxmemory", ["maxmemory", "0"])
    got = client.call("CONFIG", "GET", "maxmem*", "timeout")
    got = dict(zip(got[::2], got[1::2]))
    assert {b"maxmemory", b"maxmemory-policy", b"maxmemory-samples", b"timeout"} <= set(got)
    everything = client.call("CONFIG", "GET", "*")
    assert len(everything) % 2 == 0 and len(everything) > 60


def test_config_get_is_a_map_in_resp3(client3):
    client3.says("CONFIG GET maxmemory", Map(maxmemory="0"))
    client3.says("CONFIG GET nosuchthing", Map())


@pytest.mark.parametrize("name,value,reads", [
    ("maxmemory", "100mb", "104857600"), ("maxmemory", "1k", "1000"), ("maxmemory", "1KB", "1024"), ("maxmemory", "2g", "2000000000"),
    ("maxmemory", "1048576b", "1048576"), ("maxmemory", "0", "0"), ("maxmemory-policy", "allkeys-lru", "allkeys-lru"),
    ("maxmemory-policy", "ALLKEYS-LFU", "allkeys-lfu"), ("timeout", "100", "100"), ("maxclients", "500", "500"), ("hz", "50", "50"),
    ("tcp-keepalive", "60", "60"), ("maxmemory-samples", "10", "10"), ("proto-max-bulk-len", "1mb", "1048576"),
    ("client-query-buffer-limit", "2mb", "2097152"), ("lazyfree-lazy-expire", "no", "no"), ("loglevel", "warning", "warning"),
    ("client-output-buffer-limit", "normal 1mb 512kb 5", "normal 1048576 524288 5 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
])
def test_config_set_is_read_back_in_its_normal_form(start_server, name, value, reads):
    with start_server().raw() as c:
        c.says(("CONFIG", "SET", name, value), OK)
        c.says(("CONFIG", "GET", name), [name, reads])


def test_config_set_of_several_is_all_or_nothing(start_server):
    with start_server().raw() as c:
        c.says("CONFIG SET timeout 7 maxmemory 1mb", OK)
        c.says("CONFIG GET timeout", ["timeout", "7"])
        c.says("CONFIG SET timeout 8 maxmemory x",
               Err("ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"))
        c.says("CONFIG SET timeout 8 nosuch 1", Err("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"))
        c.says("CONFIG GET timeout", ["timeout", "7"])
        c.says("CONFIG GET maxmemory", ["maxmemory", "1048576"])


@pytest.mark.parametrize("line,error", [
    ("CONFIG SET", "ERR wrong number of arguments for 'config|set' command"),
    ("CONFIG SET maxmemory", "ERR wrong number of arguments for 'config|set' command"),
    ("CONFIG SET timeout 1 maxmemory", "ERR syntax error"),
    ("CONFIG SET foo bar", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
    ("CONFIG SET maxmemory 1mb maxmemory 2mb",
     "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate parameter"),
    ("CONFIG SET maxmemory -1", "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"),
    ("CONFIG SET maxmemory 1x", "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"),
    ("CONFIG SET port 70000", "ERR CONFIG SET failed (possibly related to argument 'port') - argument must be between 0 and 65535 inclusive"),
    ("CONFIG SET timeout -1",
     "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive"),
    ("CONFIG SET timeout x", "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"),
    ("CONFIG SET maxclients 0",
     "ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 inclusive"),
    ("CONFIG SET databases 5", "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"),
    ("CONFIG SET maxmemory-policy foo",
     "ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument(s) must be one of the following: volatile-lru, "
     "volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction, larder"),
    ("CONFIG SET lazyfree-lazy-expire maybe",
     "ERR CONFIG SET failed (possibly related to argument 'lazyfree-lazy-expire') - argument must be 'yes' or 'no'"),
    ("CONFIG SET client-output-buffer-limit 'normal x y z'",
     "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Error in hard, soft or soft_seconds setting in "
     "buffer limit configuration."),
    ("CONFIG SET client-output-buffer-limit normal",
     "ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - Wrong number of arguments in buffer limit "
     "configuration."),
    ("CONFIG GET", "ERR wrong number of arguments for 'config|get' command"),
    ("CONFIG", "ERR wrong number of arguments for 'config' command"),
    ("CONFIG foo", "ERR unknown subcommand 'foo'. Try CONFIG HELP."),
    ("CONFIG RESETSTAT x", "ERR wrong number of arguments for 'config|resetstat' command"),
    ("CONFIG REWRITE x", "ERR wrong number of arguments for 'config|rewrite' command"),
    ("CONFIG REWRITE", "ERR The server is running without a config file"),
])
def test_config_refuses(client, line, error):
    client.says(line, Err(error))


def test_config_help(client):
    assert client.call("CONFIG", "HELP")[0] == "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"


def test_config_rewrite_keeps_comments_and_writes_changes(start_server):
    s = start_server(config="# my comment\ntimeout 5\n\nmaxmemory 10mb\n# last\n")
    with s.raw() as c:
        c.says("CONFIG SET timeout 77 maxmemory-policy allkeys-lru", OK)
        c.says("CONFIG REWRITE", OK)
    text = s.config_path.read_text()
    assert text.startswith("# my comment\ntimeout 77\n\nmaxmemory 10mb\n# last\n"), text
    assert "\nmaxmemory-policy allkeys-lru\n" in text
    again = start_server(config=text)
    with again.raw() as c:
        c.says("CONFIG GET timeout", ["timeout", "77"])
        c.says("CONFIG GET maxmemory-policy", ["maxmemory-policy", "allkeys-lru"])
        c.says("CONFIG GET maxmemory", ["maxmemory", "10485760"])


def test_config_rewrite_of_a_value_that_needs_quotes(start_server):
    s = start_server(config="timeout 5\n")
    password = 'se cret"\'\\#\n'
    with s.raw() as c:
        c.says(("CONFIG", "SET", "requirepass", password), OK)
        c.says("CONFIG REWRITE", OK)
    with start_server(config=s.config_path.read_text()).raw() as c:
        c.says(("AUTH", password), OK)


def test_a_config_file_the_command_line_and_its_precedence(start_server):
    s = start_server("--timeout", "9", config="timeout 5\nMAXMEMORY 3mb\n  databases   4  \nrequirepass 'a b'\n")
    with s.raw() as c:
        c.says(("AUTH", "a b"), OK)
        c.says("CONFIG GET timeout", ["timeout", "9"])
        c.says("CONFIG GET maxmemory", ["maxmemory", "3145728"])
        c.says("SELECT 3", OK)
        c.says("SELECT 4", Err("ERR DB index is out of range"))


# COMMAND


def test_every_command_of_the_scope_is_known(client):
    count = client.call("COMMAND", "COUNT")
    names = [n for n in client.call("COMMAND", "LIST") if b"|" not in n]
    assert len(names) == count == len(set(names)) == len(client.call("COMMAND"))
    missing = [n for n in COMMANDS if n.encode() not in names]
    assert not missing


@pytest.mark.parametrize("name", COMMANDS)
def test_command_info_and_docs_of_each_command(client, client3, name):
    (entry,) = client.call("COMMAND", "INFO", name)
    assert len(entry) == 10 and entry[0] == name.encode()
    assert isinstance(entry[1], int) and entry[1] != 0
    assert all(isinstance(flag, Simple) for flag in entry[2])
    assert all(isinstance(n, int) for n in entry[3:6])
    assert all(category.startswith("@") for category in entry[6])
    ((found, doc),) = client3.call("COMMAND", "DOCS", name).items()
    assert found == name.encode()
    assert doc[b"summary"] and doc[b"since"] and doc[b"group"]
    flags = set(entry[2])
    assert not {"write", "readonly"} <= flags
    if entry[3]:
        assert flags & {"write", "readonly"} or name in ("watch", "object"), "a command with keys reads or writes"


def test_command_info_of_get_exactly(client, client3):
    client.says("COMMAND INFO get", [["get", 2, [Simple("readonly"), Simple("fast")], 1, 1, 1,
                                      [Simple("@read"), Simple("@string"), Simple("@fast")], [],
                                      [["flags", [Simple("RO"), Simple("access")], "begin_search", ["type", "index", "spec", ["index", 1]],
                                        "find_keys", ["type", "range", "spec", ["lastkey", 0, "keystep", 1, "limit", 0]]]], []]])
    client3.says("COMMAND INFO get", [["get", 2, Set([Simple("readonly"), Simple("fast")]), 1, 1, 1,
                                       Set([Simple("@read"), Simple("@string"), Simple("@fast")]), Set([]),
                                       Set([Map({"flags": Set([Simple("RO"), Simple("access")]),
                                                 "begin_search": Map({"type": "index", "spec": Map({"index": 1})}),
                                                 "find_keys": Map({"type": "range",
                                                                   "spec": Map({"lastkey": 0, "keystep": 1, "limit": 0})})})]), []]])


def test_command_docs_of_get_exactly(client3):
    client3.says("COMMAND DOCS get", Map(get=Map({
        "summary": client3.call("COMMAND", "DOCS", "get")[b"get"][b"summary"], "since": "1.0.0", "group": "string", "complexity": "O(1)",
        "arguments": [Map({"name": "key", "type": "key", "display_text": "key", "key_spec_index": 0})]})))


@pytest.mark.parametrize("name,number,first,last,step", [
    ("get", 2, 1, 1, 1), ("set", -3, 1, 1, 1), ("mget", -2, 1, -1, 1), ("mset", -3, 1, -1, 2), ("del", -2, 1, -1, 1), ("rename", 3, 1, 2, 1),
    ("ping", -1, 0, 0, 0), ("exec", 1, 0, 0, 0), ("watch", -2, 1, -1, 1), ("scan", -2, 0, 0, 0), ("lcs", -3, 1, 2, 1), ("copy", -3, 1, 2, 1),
    ("client", -2, 0, 0, 0), ("msetex", -4, 0, 0, 0),
])
def test_command_info_arity_and_key_positions(client, name, number, first, last, step):
    (entry,) = client.call("COMMAND", "INFO", name)
    assert entry[1] == number
    assert entry[3:6] == [first, last, step]


def test_command_info_of_unknown_and_several(client):
    got = client.call("COMMAND", "INFO", "get", "nosuch", "set")
    assert (got[0][0], got[1], got[2][0]) == (b"get", None, b"set")
    client.says("COMMAND DOCS nosuch", [])
    (entry,) = client.call("COMMAND", "INFO", "config|get")
    assert entry[0] == b"config|get"
    subcommands = {sub[0] for sub in client.call("COMMAND", "INFO", "config")[0][9]}
    assert {b"config|get", b"config|set", b"config|resetstat", b"config|rewrite"} <= subcommands


def test_command_list_filters(client):
    strings = set(client.call("COMMAND", "LIST", "FILTERBY", "ACLCAT", "string"))
    assert {b"get", b"set", b"lcs", b"getex"} <= strings and b"del" not in strings
    found = set(client.call("COMMAND", "LIST", "FILTERBY", "PATTERN", "se*"))
    assert {b"set", b"select", b"setex", b"setnx", b"setrange"} <= found and all(n.startswith(b"se") for n in found)
    client.says("COMMAND LIST FILTERBY MODULE nosuch", [])
    client.says("COMMAND LIST FILTERBY ACLCAT nosuch", [])
    client.says("COMMAND LIST FILTERBY", SYNTAX)
    client.says("COMMAND LIST FILTERBY foo bar", SYNTAX)


@pytest.mark.parametrize("line,keys", [
    ("SET a b", ["a"]), ("GET a", ["a"]), ("MSET a 1 b 2", ["a", "b"]), ("MSETEX 2 a 1 b 2 EX 10", ["a", "b"]), ("MGET a b c", ["a", "b", "c"]),
    ("RENAME a b", ["a", "b"]), ("COPY a b DB 1", ["a", "b"]), ("LCS a b LEN", ["a", "b"]), ("DEL x y", ["x", "y"]), ("OBJECT ENCODING k", ["k"]),
    ("MEMORY USAGE k", ["k"]), ("WATCH a b", ["a", "b"]), ("GETEX k EX 10", ["k"]),
])
def test_command_getkeys(client, line, keys):
    client.says("COMMAND GETKEYS " + line, keys)


def test_command_getkeysandflags(client):
    def key(name, *flags):
        return [name, [Simple(f) for f in flags]]

    client.says("COMMAND GETKEYSANDFLAGS SET a b", [key("a", "OW", "update")])
    client.says("COMMAND GETKEYSANDFLAGS SET a b GET", [key("a", "RW", "access", "update")])
    client.says("COMMAND GETKEYSANDFLAGS GET a", [key("a", "RO", "access")])
    client.says("COMMAND GETKEYSANDFLAGS RENAME a b", [key("a", "RW", "access", "delete"), key("b", "OW", "update")])
    client.says("COMMAND GETKEYSANDFLAGS COPY a b", [key("a", "RO", "access"), key("b", "OW", "update")])
    client.says("COMMAND GETKEYSANDFLAGS MSETEX 2 a b c d", [key("a", "OW", "update"), key("c", "OW", "update")])


@pytest.mark.parametrize("line,error", [
    ("COMMAND GETKEYS", "ERR wrong number of arguments for 'command|getkeys' command"),
    ("COMMAND GETKEYS nosuch", "ERR Invalid command specified"),
    ("COMMAND GETKEYS PING", "ERR The command has no key arguments"),
    ("COMMAND GETKEYS SET", "ERR Invalid number of arguments specified for command"),
    ("COMMAND GETKEYSANDFLAGS nosuch", "ERR Invalid command specified"),
    ("COMMAND foo", "ERR unknown subcommand 'foo'. Try COMMAND HELP."),
    ("COMMAND COUNT x", "ERR wrong number of arguments for 'command|count' command"),
])
def test_command_refuses(client, line, error):
    client.says(line, Err(error))


# MEMORY, DEBUG, TIME, LOLWUT


def test_memory_usage_grows_with_the_value(client):
    client.says("MEMORY USAGE missing", NIL)
    client.says("SET small v", OK)
    client.says(("SET", "large", "x" * 100_000), OK)
    small, large = client.call("MEMORY", "USAGE", "small"), client.call("MEMORY", "USAGE", "large", "SAMPLES", "5")
    assert 0 < small < 200
    assert 100_000 < large < 200_000
    client.says("MEMORY USAGE small SAMPLES", SYNTAX)
    client.says("MEMORY USAGE small SAMPLES -1", SYNTAX)
    client.says("MEMORY USAGE small SAMPLES x", NOT_INT)
    client.says("MEMORY USAGE small foo 1", SYNTAX)


def test_memory_subcommands(client):
    client.says("MEMORY", arity("memory"))
    client.says("MEMORY USAGE", arity("memory|usage"))
    client.says("MEMORY foo", Err("ERR unknown subcommand 'foo'. Try MEMORY HELP."))
    client.says("MEMORY PURGE", OK)
    assert client.call("MEMORY", "DOCTOR")
    assert client.call("MEMORY", "HELP")[0] == "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"


def test_memory_stats_are_numbers_by_name(client3):
    client3.says("SET a 1", OK)
    got = client3.call("MEMORY", "STATS")
    assert isinstance(got, Map)
    for name in (b"peak.allocated", b"total.allocated", b"startup.allocated", b"clients.normal", b"overhead.total", b"keys.count",
                 b"keys.bytes-per-key", b"dataset.bytes"):
        assert isinstance(got[name], int), name
    for name in (b"dataset.percentage", b"peak.percentage", b"fragmentation"):
        assert isinstance(got[name], float), name
    assert got[b"keys.count"] == 1


def test_used_memory_follows_the_data(client):
    def used():
        return int(info(client, "memory")["Memory"]["used_memory"])

    before = used()
    client.says(("SET", "large", "x" * 20_000_000), OK)
    eventually(lambda: used() > before + 19_000_000, "used_memory shows the value")
    client.says("DEL large", 1)
    eventually(lambda: used() < before + 10_000_000, "used_memory shows that it is gone")


def test_debug_is_refused_by_default(start_server):
    with start_server().raw() as c:
        c.says("DEBUG SLEEP 0", Err('ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from '
                                    "a local connection, otherwise you need to set this option in the configuration file, and then restart "
                                    "the server."))
        c.says("CONFIG SET enable-debug-command yes", Err(
            "ERR CONFIG SET failed (possibly related to argument 'enable-debug-command') - can't set immutable config"))
    with start_server("--enable-debug-command", "local").raw() as c:
        c.says("DEBUG SLEEP 0", OK)


def test_debug_subcommands_that_tests_rely_on(client):
    client.says("DEBUG SLEEP 0", OK)
    client.says("DEBUG ERROR 'MY error'", Err("MY error"))
    client.says("DEBUG foo", Err("ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP."))
    client.says("DEBUG", arity("debug"))
    client.says("DEBUG OBJECT missing", Err("ERR no such key"))
    client.says("SET k v", OK)
    assert re.match(r"Value at:\S+ refcount:1 encoding:embstr serializedlength:\d+ lru:\d+ lru_seconds_idle:\d+", client.call("DEBUG", "OBJECT", "k"))
    client.says("FLUSHALL", OK)
    client.says("DEBUG POPULATE 3", OK)
    client.says("MGET key:0 key:2", ["value:0", "value:2"])
    client.says("DEBUG POPULATE 2 p 5", OK)
    client.says("STRLEN p:1", 5)
    client.says("DBSIZE", 5)


def test_debug_set_active_expire_stops_the_background_only(client):
    client.says("DEBUG SET-ACTIVE-EXPIRE 0", OK)
    try:
        client.says("SET k v PX 1", OK)
        client.says("SET read v PX 1", OK)
        eventually(lambda: client.call("EXISTS", "read") == 0, "a read removes it")
        client.says("DBSIZE", 1)
    finally:
        client.says("DEBUG SET-ACTIVE-EXPIRE 1", OK)
    eventually(lambda: client.call("DBSIZE") == 0, "the background removes it")


def test_time_is_seconds_and_microseconds(client):
    seconds, micros = client.call("TIME")
    assert int(seconds) > 1_700_000_000 and 0 <= int(micros) < 1_000_000
    client.says("TIME x", arity("time"))


def test_lolwut_ends_with_the_version(client, larder):
    name = "Larder" if larder else "Valkey"
    for line in (("LOLWUT",), ("LOLWUT", "VERSION", "5", "1", "1", "1"), ("LOLWUT", "VERSION", "1")):
        assert re.search(rf"{name} ver\. ?\d+\.\d+\.\d+\n$".encode(), client.call(*line))
    client.says("LOLWUT VERSION x", NOT_INT)


# SHUTDOWN and signals


@pytest.mark.parametrize("line", ["SHUTDOWN", "SHUTDOWN NOSAVE", "shutdown nosave now force"])
def test_shutdown_ends_the_process_without_a_reply(start_server, line):
    s = start_server()
    with s.raw() as c, s.raw() as bystander:
        c.send_command(*line.split())
        assert c.read_to_end() == b""
        assert bystander.read_to_end() == b""
    assert s.wait() == 0


@pytest.mark.parametrize("line,error", [
    ("SHUTDOWN foo", "ERR syntax error"), ("SHUTDOWN SAVE NOSAVE", "ERR syntax error"), ("SHUTDOWN ABORT", "ERR No shutdown in progress."),
    ("SHUTDOWN ABORT NOW", "ERR syntax error"),
])
def test_shutdown_refuses(client, line, error):
    client.says(line, Err(error))
    client.says("PING", Simple("PONG"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_process_in_good_order(start_server, number):
    s = start_server()
    with s.raw() as c:
        c.says("SET a 1", OK)
        s.process.send_signal(number)
        assert c.read_to_end() == b""
    assert s.wait() == 0


# Starting


def run(*args, **options):
    return subprocess.run([BINARY, *map(str, args)], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, **options)


def test_version_and_help():
    for flag in ("--version", "-v"):
        got = run(flag)
        assert got.returncode == 0
        assert re.search(r"v=\d+\.\d+\.\d+", got.stdout)
    for flag in ("--help", "-h"):
        got = run(flag)
        assert got.returncode in (0, 1) and "Usage" in got.stdout + got.stderr


@pytest.mark.parametrize("text,line,shown,reason", [
    ("port 0\nmaxmemory 10mb\nfoo bar\n", 3, "foo bar", "Bad directive or wrong number of arguments"),
    ("port 7777 7778\n", 1, "port 7777 7778", "wrong number of arguments"),
    ("# c\n\nport\n", 3, "port", "wrong number of arguments"),
    ("port abc\n", 1, "port abc", "argument couldn't be parsed into an integer"),
    ("port 70000\n", 1, "port 70000", "argument must be between 0 and 65535 inclusive"),
    ("timeout -5\n", 1, "timeout -5", "argument must be between 0 and 2147483647 inclusive"),
    ("maxmemory 5x\n", 1, "maxmemory 5x", "argument must be a memory value"),
    ("maxmemory-policy zzz\n", 1, "maxmemory-policy zzz", "argument(s) must be one of the following: volatile-lru"),
    ("lazyfree-lazy-expire maybe\n", 1, "lazyfree-lazy-expire maybe", "argument must be 'yes' or 'no'"),
    ('requirepass "abc\n', 1, 'requirepass "abc', "Unbalanced quotes in configuration line"),
    ("databases 0\n", 1, "databases 0", "argument must be between 1 and 2147483647 inclusive"),
    ("unixsocketperm 999\n", 1, "unixsocketperm 999", "argument couldn't be parsed as an octal number"),
    ("client-output-buffer-limit normal a b c\n", 1, "client-output-buffer-limit normal a b c",
     "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
    ("dir /nonexistent\n", 1, "dir /nonexistent", "No such file or directory"),
])
def test_a_wrong_directive_stops_the_start_with_its_line_and_reason(tmp_path, text, line, shown, reason):
    path = tmp_path / "wrong.conf"
    path.write_text(text)
    got = run(path)
    said = got.stdout + got.stderr
    assert got.returncode == 1
    assert "FATAL CONFIG FILE ERROR" in said
    assert f"at line {line}\n" in said
    assert f">>> '{shown}'" in said
    assert reason in said


@pytest.mark.parametrize("args,shown,reason", [
    (["--foo", "bar"], 'foo "bar"', "Bad directive or wrong number of arguments"),
    (["--port", "abc"], 'port "abc"', "argument couldn't be parsed into an integer"),
    (["--maxclients", "-1"], 'maxclients "-1"', "argument must be between 1 and 4294967295 inclusive"),
    (["--port"], "port", "wrong number of arguments"),
])
def test_a_wrong_argument_stops_the_start_with_its_reason(args, shown, reason):
    got = run(*args)
    said = got.stdout + got.stderr
    assert got.returncode == 1
    assert f">>> '{shown}'" in said and reason in said


def test_a_missing_config_file_stops_the_start(tmp_path):
    got = run(tmp_path / "missing.conf")
    assert got.returncode == 1
    assert "can't open config file" in got.stdout + got.stderr
    assert "No such file or directory" in got.stdout + got.stderr


def test_a_missing_included_file_stops_the_start(tmp_path):
    (tmp_path / "a.conf").write_text("include missing.conf\n")
    got = run(tmp_path / "a.conf", cwd=tmp_path)
    assert got.returncode == 1
    assert re.search(r"can't open config file '(.*/)?missing.conf'", got.stdout + got.stderr)


def test_an_included_file_is_read(start_server, tmp_path):
    (tmp_path / "more.conf").write_text("timeout 33\n")
    with start_server(config=f"timeout 5\ninclude {tmp_path}/more.conf\n").raw() as c:
        c.says("CONFIG GET timeout", ["timeout", "33"])


def test_config_from_standard_input():
    got = subprocess.run([BINARY, "-"], input="timeout xx\n", capture_output=True, text=True, timeout=30)
    assert got.returncode == 1
    assert "argument couldn't be parsed into an integer" in got.stdout + got.stderr


def test_a_port_in_use_stops_the_start(server):
    got = run("--port", server.port, "--bind", "127.0.0.1")
    assert got.returncode == 1
    assert "in use" in got.stdout + got.stderr


def test_an_address_that_is_not_ours_stops_the_start():
    got = run("--port", free_port(), "--bind", "203.0.113.1")
    assert got.returncode == 1
    assert "203.0.113.1" in got.stdout + got.stderr


def test_listening_nowhere_is_refused():
    got = run("--port", "0", "--bind", "127.0.0.1")
    assert got.returncode == 1


def test_commands_go_by_the_names_that_they_were_given(start_server):
    s = start_server(config="rename-command FLUSHALL \"\"\nrename-command GET fetch\n")
    with s.raw() as c:
        c.says("SET k v", OK)
        c.says("FETCH k", "v")
        assert c.call("GET", "k").startswith("ERR unknown command 'GET'")
        assert c.call("FLUSHALL").startswith("ERR unknown command 'FLUSHALL'")
        c.says("CONFIG REWRITE", OK)
    assert "rename-command GET fetch" in s.config_path.read_text()
