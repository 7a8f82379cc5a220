"""What exporters and dashboards ask (redis_exporter, RedisInsight), against a reference server: every field that it has
is there, and of the same type.

$REFERENCE_BIN chooses the reference. Where it is older than Valkey 9.1, ABSENT lists what Valkey 9.1 no longer has.
"""

import re

import pytest

# Fields of a reference that are not there, and why, as patterns of their paths.
ABSENT = [
    # What the server is called is its own: server_name, larder_version.
    r"info/Server/valkey_(version|release_stage)",
    # What loaded modules and script engines say of themselves.
    r"info/Modules/module/.*",
    r"MODULE LIST/0.*",
    r"info/Scripting Engines/engine_\d+.*",
    # A cluster's own, empty without one.
    r"info/Cluster Info",
    # How many of what: that differs.
    r"info/(Commandstats|Latencystats|Errorstats)/.*",
    r"LATENCY HISTOGRAM/.*/histogram_usec/\d+",
    # Redis 7's own, which Valkey 9.1 no longer has.
    r"info/Server/atomicvar_api",
    r"config/(aof-disable-auto-gc|sanitize-dump-payload|dynamic-hz|io-threads-do-reads)",
    r"MEMORY STATS/.*slot-to-keys",
]

# What the tools send beside INFO, CONFIG GET * and COMMAND.
QUERIES = [
    "CLIENT LIST",
    "CLIENT INFO",
    "SLOWLOG GET 10",
    "SLOWLOG LEN",
    "LATENCY LATEST",
    "LATENCY HISTOGRAM",
    "LATENCY HISTORY command",
    "MEMORY STATS",
    "MEMORY DOCTOR",
    "MEMORY USAGE a",
    "MODULE LIST",
    "DBSIZE",
    "COMMAND COUNT",
    "COMMAND INFO get set",
    "COMMAND DOCS get",
    "CONFIG GET maxmemory",
    "CONFIG GET slowlog-*",
    "OBJECT ENCODING a",
    "TYPE a",
    "TTL a",
    "SCAN 0 MATCH * COUNT 10",
    "TIME",
]


def kind(text):
    """The type of a value that comes as text."""
    for name, pattern in [
        ("integer", r"-?\d+"),
        ("decimal", r"-?(\d+\.\d*|inf|nan)"),
        ("percent", r"[\d.]+%"),
        ("size", r"[\d.]+[BKMGTP]"),
        ("switch", r"yes|no"),
    ]:
        if re.fullmatch(pattern, text):
            return name
    return "text"


def fields_of(text, separator):
    """The fields of `a=1,b=x`, or of a line of CLIENT LIST, by name; none where it is no such thing."""
    parts = [part.partition("=") for part in text.split(separator)]
    return {name: value for name, _, value in parts} if all(equals for _, equals, _ in parts) else None


def parse_info(text):
    section, paths = None, {}
    for line in text.splitlines():
        if line.startswith("# "):
            section = line[2:]
            paths[f"info/{section}"] = "section"
        elif ":" in line:
            name, value = line.split(":", 1)
            path = f"info/{section}/{name}"
            parts = fields_of(value, ",")
            if parts is None:
                paths[path] = kind(value)
            else:
                paths.update({f"{path}/{part}": kind(v) for part, v in parts.items()})
    return paths


def shape(value, path):
    """The paths of a reply, each with the type of what is there; a list counts as its first element."""
    if isinstance(value, dict):
        paths = {path: "map"}
        for key, inner in value.items():
            paths.update(shape(inner, f"{path}/{key.decode() if isinstance(key, bytes) else key}"))
        return paths
    if isinstance(value, (list, tuple, set, frozenset)):
        paths = {path: "list"}
        for inner in list(value)[:1]:
            paths.update(shape(inner, f"{path}/0"))
        return paths
    if isinstance(value, bytes):
        return {path: "string"}
    return {path: type(value).__name__}


def missing(ours, reference):
    """What the reference has and ours has not, or as something else."""
    problems = {}
    for path, what in reference.items():
        if any(re.fullmatch(pattern, path) for pattern in ABSENT):
            continue
        if ours.get(path) != what:
            problems[path] = (what, ours.get(path))
    return problems


@pytest.fixture(scope="module")
def used(pair):
    """Both servers, after the same few commands."""
    for server in pair:
        with server.raw() as c:
            c.call("CONFIG", "SET", "slowlog-log-slower-than", "0", "latency-monitor-threshold", "1")
            for command in ("SET a 1 EX 1000", "SET b x", "GET a", "GET nothing", "GET", "NOSUCH", "CLIENT SETNAME me", "DEBUG SLEEP 0.005"):
                c.call(*command.split())
    return pair


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_field_of_info_is_there(used, protocol):
    texts = []
    for server in used:
        with server.raw(protocol) as c:
            texts.append(c.call("INFO", "everything").decode())
    ours, reference = map(parse_info, texts)
    assert not missing(ours, reference)
    for name in ("get", "set", "client|setname"):
        figures = ours[f"info/Commandstats/cmdstat_{name}/calls"], ours[f"info/Commandstats/cmdstat_{name}/usec_per_call"]
        assert figures == ("integer", "decimal")
        assert ours[f"info/Latencystats/latency_percentiles_usec_{name}/p50"] == "decimal"
    assert ours["info/Errorstats/errorstat_ERR/count"] == "integer"


def test_every_parameter_is_there(used):
    values = []
    for server in used:
        with server.raw(3) as c:
            values.append({f"config/{k.decode()}": kind(v.decode()) for k, v in c.call("CONFIG", "GET", "*").items()})
    ours, reference = values
    absent = {path for path in missing(ours, reference) if path not in ours}
    assert not absent
    # An empty text, or one that happens to be a number, is a text as well.
    changed = {path: kinds for path, kinds in missing(ours, reference).items() if "text" not in kinds}
    assert not changed


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("protocol", [2, 3])
def test_what_tools_ask_has_the_same_shape(used, query, protocol):
    replies = []
    for server in used:
        with server.raw(protocol) as c:
            replies.append(c.call(*query.split()))
    ours, reference = replies
    if query.startswith("CLIENT"):
        parsed = [fields_of(reply.decode().splitlines()[0], " ") for reply in replies]
        assert set(parsed[1]) <= set(parsed[0])
        for name in set(parsed[1]) - {"name", "addr", "laddr", "cmd", "lib-name", "lib-ver", "user", "flags", "events", "capa"}:
            assert kind(parsed[0][name]) == kind(parsed[1][name]), name
        return
    assert not missing(shape(ours, query), shape(reference, query))


def test_each_command_that_both_know_is_described_alike(used):
    rows = []
    for server in used:
        with server.raw(3) as c:
            rows.append(({row[0]: row for row in c.call("COMMAND")}, c.call("COMMAND", "DOCS")))
    (ours, our_docs), (reference, docs) = rows
    for name in set(ours) & set(reference):
        assert len(ours[name]) == len(reference[name]), name
        # Redis 7 has a set where Valkey has a list of subcommands.
        assert [type(part) for part in ours[name][:9]] == [type(part) for part in reference[name][:9]], name
    for name in set(our_docs) & set(docs):
        # What changed since is another story in each; Redis 7 also tells XREAD's complexity.
        may = {b"history", b"doc_flags", b"deprecated_since", b"replaced_by", b"module", b"complexity"}
        assert set(docs[name]) - set(our_docs[name]) <= may, name
