"""`larder simulate`: what an operator sees who tries policies on a trace."""

import json
import random
import subprocess
import xml.etree.ElementTree

import pytest

from harness import BINARY, is_larder

pytestmark = pytest.mark.skipif(not is_larder(), reason="Larder's own")


def simulate(*args, stdin=b"", cwd=None):
    run = subprocess.run([BINARY, "simulate", *map(str, args)], input=stdin, capture_output=True, cwd=cwd, timeout=300)
    return run.returncode, run.stdout.decode(), run.stderr.decode()


@pytest.fixture
def trace(tmp_path):
    """80,000 reads of 20,000 keys, of which few are read often, and of a scan."""
    chance = random.Random(1)
    path = tmp_path / "trace"
    with path.open("w") as file:
        for i in range(80_000):
            key = f"once:{i}" if i % 4 == 0 else f"key:{int(chance.paretovariate(0.6)) % 20_000}"
            file.write(f"{i / 200:.3f} {key} {chance.randrange(50, 400)}\n")
    return path


def figures(trace, tmp_path, *args):
    out = tmp_path / "figures.json"
    code, text, said = simulate(trace, *args, "--json", out)
    assert code == 0, said
    return {v["name"]: v for v in json.loads(out.read_text())["variants"]}, text


def test_variants_are_compared_in_a_table_a_picture_and_figures(trace, tmp_path):
    svg = tmp_path / "picture.svg"
    variants, text = figures(
        trace, tmp_path, "--maxmemory", "400kb", "--update-interval", "5m", "--svg", svg,
        "--variant", "larder", "--variant", "lru", "--set", "maxmemory-policy", "allkeys-lru",
        "--variant", "none", "--set", "maxmemory-policy", "noeviction", "--variant", "short", "--ttl", "30s",
    )  # fmt: skip
    for name, v in variants.items():
        total = v["total"]
        assert total["reads"] == 80_000
        assert total["hits"] + total["loads"] == total["reads"], name
        # Beyond it goes what one write takes at most.
        assert v["bytes"] <= total["bytes_max"] < 400 * 1024 + 16 * 1024, name
        assert len(v["pieces"]) == 120 and sum(p["hits"] for p in v["pieces"]) == total["hits"]
        assert total["errors"] == 0
    hits = {name: v["total"]["hits"] / 80_000 for name, v in variants.items()}
    assert hits["larder"] > hits["lru"] + 0.005 > 0.3, hits
    assert variants["lru"]["evicted"] > 10_000
    assert variants["none"]["evicted"] == 0 and variants["none"]["total"]["refused"] > 0
    assert variants["short"]["expired"] > 0
    assert variants["short"]["total"]["stale"] < variants["larder"]["total"]["stale"]

    lines = text.splitlines()
    assert lines[0].startswith("80,000 accesses of ")
    head = next(line for line in lines if "hit ratio" in line)
    rows = [line for line in lines[lines.index(head) + 1 :] if line]
    assert [row.split()[0] for row in rows] == ["larder", "lru", "none", "short"]
    assert {len(row) for row in rows} == {len(head)}

    root = xml.etree.ElementTree.parse(svg).getroot()
    assert root.tag.endswith("svg")
    words = " ".join(root.itertext())
    for expected in ("Hit ratio", "Origin loads a second", "Stale reads", "Memory in use", "virtual time", *variants):
        assert expected in words


def test_the_same_seed_gives_the_same_output(trace, tmp_path):
    def run(name):
        files = tmp_path / f"{name}.svg", tmp_path / f"{name}.json"
        code, text, said = simulate(
            trace, "--maxmemory", "300kb", "--absent-share", "5%", "--null-value", "-", "--update-interval", "key:*=1m",
            "--ttl", "2m", "--svg", files[0], "--json", files[1], "--variant", "a", "--variant", "b", "--ttl", "none",
        )  # fmt: skip
        assert code == 0, said
        return text, *(file.read_bytes() for file in files)

    assert run("one") == run("other")


def test_what_monitor_prints_is_replayed():
    lines = b"""OK
1700000000.000000 [0 127.0.0.1:1] "GET" "user:1"
1700000000.010000 [0 127.0.0.1:1] "SET" "user:1" "0123456789" "EX" "60"
1700000001.000000 [0 127.0.0.1:1] "GET" "user:1"
not a line
1700000002.000000 [0 127.0.0.1:1] "INCR" "visits"
1700000002.000000 [0 127.0.0.1:1] "MGET" "user:1" "user:2"
"""
    code, text, said = simulate("-", stdin=lines)
    assert code == 0
    assert text.startswith("4 accesses of 2 keys in 2s, 2.00/s, 1 bad lines left out\n")
    assert "line 5: the time is none: not a line" in said
    assert "commands left out: INCR 1" in said
    row = text.splitlines()[-1].split()
    assert row[:4] == ["as", "given", "50.00", "%"]


def test_policies_and_directives_are_checked_before_the_trace_is_read(tmp_path):
    for args, expected in [
        ((), "a trace is wanted"),
        (("-", "--nonsense"), "there is no option '--nonsense'"),
        (("-", "--set", "maxmemory-policy", "best"), "maxmemory-policy"),
        (("-", "--config", tmp_path / "missing.conf"), "missing.conf"),
        ((tmp_path / "missing",), "can't read the trace"),
        (("-",), "the trace holds no access"),
    ]:
        code, text, said = simulate(*args)
        assert (code, text) == (1, ""), args
        assert said.startswith("larder simulate: ") and expected in said, said


def test_config_files_add_up(trace, tmp_path):
    (tmp_path / "one.conf").write_text("maxmemory 200kb\nmaxmemory-policy allkeys-lru\n")
    (tmp_path / "two [a].conf").write_text("maxmemory-policy noeviction\n")
    variants, _ = figures(trace, tmp_path, "--config", tmp_path / "one.conf", "--config", tmp_path / "two [a].conf")
    assert variants["as given"]["total"]["refused"] > 0


def test_help_explains():
    code, text, said = simulate("--help")
    assert (code, said) == (0, "")
    for word in ("--variant", "--policy", "MONITOR", "Examples"):
        assert word in text
