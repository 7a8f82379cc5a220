"""Policies: where they come from, CACHE.POLICY, and keys that are there when policies change."""

import re
import subprocess

import pytest

from harness import BINARY, free_port
from resp import NIL, OK, Err, Simple, encode_reply

OPTIONS = (
    "enabled rollout users priority max-memory ttl ttl-min ttl-max ttl-override adaptive jitter idle null-ttl "
    "null-value null-max stale lease lease-wait fence tag cascade refresh"
).split()


@pytest.fixture
def client(server):
    """A RESP2 connection to a server without keys and policies."""
    with server.raw() as c:
        forget_all(c)
        yield c


@pytest.fixture
def client3(server):
    with server.raw(protocol=3) as c:
        forget_all(c)
        yield c


def ask(c, *words):
    """The reply to a command, with text for bytes."""

    def text(value):
        if isinstance(value, dict):
            return {text(k): text(v) for k, v in value.items()}
        if isinstance(value, list):
            return [text(v) for v in value]
        return value.decode() if isinstance(value, bytes) else value

    return text(c.call(*words))


def forget_all(c):
    c.says("FLUSHALL", OK)
    for line in ask(c, "CACHE.POLICY", "LIST"):
        c.says(("CACHE.POLICY", "DEL", line.split()[1]), 1)


def lines(c):
    return ask(c, "CACHE.POLICY", "LIST")


def as_map(flat):
    """A map of RESP2."""
    return dict(zip(flat[::2], flat[1::2]))


def start_fails(*args, stdin=None):
    """What a server says that does not start."""
    words = [BINARY, *map(str, args), "--port", str(free_port()), "--bind", "127.0.0.1"]
    got = subprocess.run(words, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert got.returncode == 1, got
    return got.stdout + got.stderr


# CACHE.POLICY


def test_a_policy_is_defined_listed_shown_and_removed(client):
    client.says("CACHE.POLICY SET courses course:* ttl 600 jitter 10% tag course:{1} tag all", OK)
    client.says("CACHE.POLICY SET other other:*", OK)
    assert lines(client) == ["policy courses course:* ttl 10m jitter 10% tag course:{1} tag all", "policy other other:*"]
    got = as_map(ask(client, "CACHE.POLICY", "GET", "courses"))
    assert list(got) == ["name", "pattern", *OPTIONS]
    assert (got["name"], got["pattern"], got["ttl"], got["null-ttl"]) == ("courses", "course:*", "10m", "1m")
    assert (got["tag"], got["users"]) == (["course:{1}", "all"], [])
    # Defined anew it keeps its place, and what is not named is the default again.
    client.says("CACHE.POLICY SET courses c:*", OK)
    assert lines(client) == ["policy courses c:*", "policy other other:*"]
    client.says("CACHE.POLICY DEL courses nosuch other courses", 2)
    client.says("CACHE.POLICY GET courses", NIL)
    assert lines(client) == []


def test_resp3_has_maps(client3):
    client3.says("CACHE.POLICY SET a a:* stale 30s null-value N; null-value __NULL__", OK)
    got = ask(client3, "CACHE.POLICY", "GET", "a")
    assert isinstance(got, dict) and list(got) == ["name", "pattern", *OPTIONS]
    assert got["lease"] == "5s"
    assert got["null-value"] == ["N;", "__NULL__"]
    client3.says("CACHE.POLICY GET b", NIL)
    got = ask(client3, "CACHE.POLICY", "EXPLAIN", "a:1")
    assert (got["policy"], got["in-force"], got["captures"], got["options"]["stale"]) == ("a", "yes", ["1"], "30s")


@pytest.mark.parametrize("protocol", [2, 3])
def test_explain_says_which_policy_why_and_what_it_means(server, client, protocol):
    client.says("CACHE.POLICY SET all * ttl 1m", OK)
    client.says("CACHE.POLICY SET one a:* enabled no", OK)
    client.says("CACHE.POLICY SET two a:*:* tag t:{2} cascade l:{1}:*", OK)
    client.says("CACHE.POLICY SET three a:b:* enabled shadow", OK)
    with server.raw(protocol=protocol) as c:

        def explain(key):
            got = ask(c, "CACHE.POLICY", "EXPLAIN", key)
            if protocol == 3:
                return got
            got = as_map(got)
            got["others"] = [as_map(o) for o in got.get("others", [])]
            got["options"] = as_map(got.get("options", []))
            return got

        got = explain("a:x:y")
        assert (got["key"], got["policy"], got["pattern"], got["in-force"]) == ("a:x:y", "one", "a:*", "no")
        assert "defined first" in got["reason"]
        assert [(o["policy"], o["reason"]) for o in got["others"]] == [
            ("all", "its literal prefix is shorter: 0 bytes"),
            ("two", "it was defined later"),
        ]
        assert list(got["options"]) == OPTIONS
        got = explain("a:b:c")
        assert (got["policy"], got["in-force"]) == ("three", "shadow")
        assert "longest: 4 bytes" in got["reason"]
        c.says("CACHE.POLICY DEL one", 1)
        got = explain("a:x*:y")
        assert (got["policy"], got["captures"], got["tags"], got["cascades"]) == ("two", ["x*", "y"], ["t:y"], [r"l:x\*:*"])
        got = explain("b")
        assert (got["policy"], got["reason"]) == ("all", "its pattern is the only one that matches")
        c.says("CACHE.POLICY DEL all", 1)
        got = explain("b")
        assert (got["policy"], got["reason"]) == (None, "no policy's pattern matches")


@pytest.mark.parametrize(
    "words, reason",
    [
        ("a", "wrong number of arguments for 'cache.policy|set' command"),
        ("a/b *", "a policy's name has"),
        (("a", ""), "the pattern is empty"),
        ("a a[", "not closed"),
        ("a * colour red", "there is no option 'colour'"),
        ("a * ttl", "option 'ttl' has no value"),
        ("a * ttl 1s ttl 2s", "option 'ttl' is given twice"),
        ("a * ttl -1", "option 'ttl': it must be a time"),
        ("a * ttl 9999d", "ten years"),
        ("a * jitter 101%", "0% to 100%"),
        ("a a:* tag {2}", "'{2}' does not exist"),
        ("a * adaptive yes", "adaptive needs a ttl"),
        ("a * ttl 2s ttl-max 1s", "ttl is above ttl-max"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_reason_and_changes_nothing(client, words, reason):
    client.says("CACHE.POLICY SET a a:* ttl 1m", OK)
    words = words.split(" ") if isinstance(words, str) else words
    got = ask(client, "CACHE.POLICY", "SET", *words)
    assert str(got).startswith("ERR ") and reason in got, got
    assert lines(client) == ["policy a a:* ttl 1m"]


@pytest.mark.parametrize("sub, words", [("set", 1), ("get", 0), ("get", 2), ("del", 0), ("list", 1), ("load", 1), ("save", 1), ("explain", 0), ("explain", 2), ("help", 1)])
def test_wrong_numbers_of_arguments(client, sub, words):
    client.says(("CACHE.POLICY", sub, *["x"] * words), Err(f"ERR wrong number of arguments for 'cache.policy|{sub}' command"))


def test_help_and_unknown_subcommands(client):
    client.says("CACHE.POLICY", Err("ERR wrong number of arguments for 'cache.policy' command"))
    assert ask(client, "CACHE.POLICY", "NOSUCH").startswith("ERR unknown subcommand 'NOSUCH'")
    assert "EXPLAIN <key>" in ask(client, "CACHE.POLICY", "HELP")


def test_policies_are_no_data(server, client):
    with server.raw() as other:
        other.says("WATCH a:1", OK)
        client.says("CACHE.POLICY SET a a:* ttl 1m", OK)
        client.says("FLUSHALL", OK)
        assert lines(client) == ["policy a a:* ttl 1m"]
        other.says("MULTI", OK)
        for words in ("CACHE.POLICY SET b b:*", "CACHE.POLICY EXPLAIN b:1", "CACHE.POLICY DEL b"):
            other.says(words, Simple("QUEUED"))
        got = ask(other, "EXEC")
        assert (got[0], as_map(got[1])["policy"], got[2]) == (OK, "b", 1)
    client.says("CONFIG SET hz 20", OK)
    client.says("CONFIG GET policy", [])
    assert lines(client) == ["policy a a:* ttl 1m"]


# Files


def test_policies_come_from_the_file_and_the_command_line(start_server):
    config = "policy a a:* ttl 1m\n# a comment\nPOLICY b \"b b:*\" idle yes\n"
    s = start_server("--policy", "c", "c:*", "ttl", "10m", "--policy", "a", "x:*", "ttl", "2m", config=config)
    with s.raw() as c:
        assert lines(c) == ["policy a x:* ttl 2m", 'policy b "b b:*" idle yes', "policy c c:* ttl 10m"]
        c.says("CONFIG SET maxmemory 100mb hz 50", OK)
        assert len(lines(c)) == 3


@pytest.mark.parametrize(
    "text, line, reason",
    [
        ("hz 5\npolicy a a:* colour red\n", 2, "there is no option 'colour'"),
        ("policy a\n", 1, "a policy has a name and a pattern"),
        ("policy a a:*\npolicy b b:*\npolicy a c:*\n", 3, "there is a policy 'a' already"),
        ("policy a 'a:*\n", 1, "Unbalanced quotes"),
    ],
)
def test_a_wrong_line_stops_the_start_with_its_file_line_and_reason(tmp_path, text, line, reason):
    path = tmp_path / "a.conf"
    path.write_text(text)
    said = start_fails(path)
    assert f"at line {line}\n>>> 'policy " in said
    assert reason in said and str(path) in said


def test_a_wrong_policy_of_the_command_line_or_of_standard_input_stops_the_start():
    said = start_fails("--policy", "a", "*", "ttl", "soon")
    assert "Reading the command line, at option 1" in said and "option 'ttl': it must be a time" in said
    said = start_fails("--policy", "a", "a:*", "--policy", "a", "b:*")
    assert "there is a policy 'a' already" in said
    said = start_fails("-", stdin="hz 5\npolicy a * ttl soon\n")
    assert "Reading the standard input, at line 2" in said


def test_one_policy_too_many_stops_the_start(tmp_path):
    path = tmp_path / "a.conf"
    path.write_text("".join(f"policy p{i} {i}:*\n" for i in range(256)))
    said = start_fails(path)
    assert "at line 256\n" in said and "there are 255 policies at most" in said


def test_config_rewrite_keeps_the_policies_in_force(start_server):
    s = start_server(config="# ours\npolicy a a:*\npolicy b b:*\n# last\n")
    with s.raw() as c:
        c.says("CACHE.POLICY SET b b:* ttl 1m", OK)
        c.says(("CACHE.POLICY", "SET", "c", 'c " c:*', "null-value", "\x00'\n"), OK)
        c.says("CACHE.POLICY DEL a", 1)
        c.says("CONFIG REWRITE", OK)
        before = lines(c)
    text = s.config_path.read_text()
    assert text.startswith("# ours\npolicy b b:* ttl 1m\n# last\n"), text
    with start_server(config=text).raw() as c:
        assert lines(c) == before and len(before) == 2


def test_a_policyfile_is_read_saved_and_read_again(start_server, tmp_path):
    path = tmp_path / "policies"
    path.write_text("# ours\npolicy a a:* ttl 1m\n\npolicy b b:*\n")
    s = start_server(config=f"policyfile {path}\n# last\n")
    with s.raw() as c:
        c.says("CONFIG GET policyfile", ["policyfile", str(path)])
        assert lines(c) == ["policy a a:* ttl 1m", "policy b b:*"]
        c.says("CACHE.POLICY SET c c:* idle yes", OK)
        c.says("CACHE.POLICY DEL a", 1)
        c.says("CONFIG REWRITE", OK)
        assert "policy c" not in s.config_path.read_text()
        assert "policy c" not in path.read_text()
        c.says("CACHE.POLICY SAVE", OK)
        assert path.read_text() == "policy b b:*\npolicy c c:* idle yes\n"
        assert [p.name for p in tmp_path.iterdir()] == ["policies"], "no temporary file is left"

        path.write_text("policy z z:*\npolicy c c:* ttl 5s\n")
        c.says("CACHE.POLICY LOAD", OK)
        assert lines(c) == ["policy z z:*", "policy c c:* ttl 5s"]
        for text, line, reason in [
            ("policy y y:*\npolicy x x:* colour red\n", 2, "there is no option 'colour'"),
            ("policy y y:*\n\nhz 10\n", 3, "begins with 'policy'"),
            ("policy y y:*\npolicy y y:*\n", 2, "there is a policy 'y' already"),
            ("".join(f"policy p{i} {i}:*\n" for i in range(256)), 256, "255 policies at most"),
        ]:
            path.write_text(text)
            got = ask(c, "CACHE.POLICY", "LOAD")
            assert got.startswith(f"ERR {path}:{line}: ") and reason in got, got
            assert lines(c) == ["policy z z:*", "policy c c:* ttl 5s"]
        path.unlink()
        assert "No such file or directory" in ask(c, "CACHE.POLICY", "LOAD")
        assert len(lines(c)) == 2
        c.says("CACHE.POLICY SAVE", OK)
        assert path.read_text() == "policy z z:*\npolicy c c:* ttl 5s\n"


def test_without_a_policyfile_there_is_nothing_to_save_or_load(client):
    for sub in ("SAVE", "LOAD"):
        assert ask(client, "CACHE.POLICY", sub).startswith("ERR This Larder instance is not configured to use a policyfile.")


def test_a_policyfile_that_is_wrong_lost_or_one_too_many_stops_the_start(tmp_path):
    path = tmp_path / "policies"
    path.write_text("policy a a:*\npolicy b b:* ttl soon\n")
    said = start_fails("--policyfile", path)
    assert "at line 2\n>>> 'policy b" in said and "it must be a time" in said and str(path) in said
    said = start_fails("--policyfile", tmp_path / "missing")
    assert "No such file or directory" in said
    path.write_text("policy a a:*\n")
    said = start_fails("--policyfile", path, "--policy", "b", "b:*")
    assert "exclude each other" in said


# Keys that are there


def keys_by_scan(c, during=lambda: None):
    cursor, found = "0", set()
    while True:
        cursor, keys = ask(c, "SCAN", cursor, "COUNT", "100")
        found.update(keys)
        if cursor == "0":
            return found
        during()


def test_keys_that_are_there_stay_there_when_policies_come_and_go(client):
    keys = {f"{kind}:{i}" for kind in ("in", "out") for i in range(5000)}
    client.pipeline([("SET", key, key) for key in keys])
    changes = iter(
        [
            "SET half in:* fence yes",
            "SET more in:1* tag t:{1}",
            "DEL half",
            "SET half * priority high",
            "DEL more",
            "SET half in:* rollout 50%",
            "DEL half",
        ]
    )

    def everything_is_there():
        assert client.pipeline([("GET", key) for key in keys]) == [encode_reply(key) for key in keys]
        client.says("DBSIZE", len(keys))
        assert set(ask(client, "KEYS", "*")) == keys
        assert {k for k in keys if k.startswith("in:1")} == set(ask(client, "KEYS", "in:1*"))
        assert keys_by_scan(client) == keys
        assert ask(client, "RANDOMKEY") in keys

    everything_is_there()
    seen = {ask(client, "RANDOMKEY").split(":")[0] for _ in range(200)}
    assert seen == {"in", "out"}
    rounds = 0

    def change():
        nonlocal rounds
        rounds += 1
        if rounds % 10 == 0 and (words := next(changes, None)):
            assert ask(client, "CACHE.POLICY", *words.split()) in (OK, 1)

    assert keys_by_scan(client, change) == keys, "a SCAN over all changes misses nothing"
    assert next(changes, None) is None
    client.says("CACHE.POLICY SET half in:* fence yes", OK)
    everything_is_there()
    seen = {ask(client, "RANDOMKEY").split(":")[0] for _ in range(200)}
    assert seen == {"in", "out"}
    client.says("CACHE.POLICY DEL half", 1)
    everything_is_there()
    client.pipeline([("DEL", key) for key in keys])
    client.says("DBSIZE", 0)


def test_the_documentation_names_every_subcommand(client):
    docs = as_map(ask(client, "COMMAND", "DOCS", "cache.policy"))["cache.policy"]
    subcommands = as_map(as_map(docs)["subcommands"])
    assert set(subcommands) == {f"cache.policy|{s}" for s in "del explain get help list load save set".split()}
    assert ask(client, "COMMAND", "GETKEYS", "CACHE.POLICY", "EXPLAIN", "k") == ["k"]
    assert re.match("ERR The command has no key", ask(client, "COMMAND", "GETKEYS", "CACHE.POLICY", "LIST"))
