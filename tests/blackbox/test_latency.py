"""The latency monitor and the histograms, over real sockets."""

import pytest

from harness import eventually
from resp import Err, OK


@pytest.fixture
def monitored(start_server):
    return start_server("--enable-debug-command", "yes", "--latency-monitor-threshold", "10")


def test_slow_commands_are_events(monitored):
    with monitored.raw() as c:
        c.says("LATENCY LATEST", [])
        c.call("DEBUG", "SLEEP", "0.03")
        c.call("DEBUG", "SLEEP", "0.02")
        latest = {row[0]: row[1:] for row in c.call("LATENCY", "LATEST")}
        at_s, last_ms, max_ms, sum_ms, count = latest[b"command"]
        assert max_ms >= 30 and sum_ms >= 50 and count == 2 and last_ms <= max_ms
        history = c.call("LATENCY", "HISTORY", "command")
        assert history[-1][0] == at_s and max(ms for _, ms in history) == max_ms
        graph = c.call("LATENCY", "GRAPH", "command").decode()
        assert graph.startswith(f"command - high {max_ms} ms, low ")
        assert "command: " in c.call("LATENCY", "DOCTOR").decode()
        c.says("LATENCY GRAPH nothing", Err("ERR No samples available for event 'nothing'"))
        assert c.call("LATENCY", "RESET", "command") == 1
        assert b"command" not in {row[0] for row in c.call("LATENCY", "LATEST")}


def test_making_room_is_an_event_and_no_fault_of_the_command(start_server):
    server = start_server("--latency-monitor-threshold", "1", "--slowlog-log-slower-than", "20000", "--enable-debug-command", "yes")
    with server.raw() as c:
        c.call("DEBUG", "POPULATE", "200000", "k", "100")
        c.says("SLOWLOG RESET", OK)
        c.says("CONFIG SET maxmemory 4mb maxmemory-policy allkeys-random", OK)
        c.says("SET a b", OK)
        names = {row[0] for row in c.call("LATENCY", "LATEST")}
        assert b"eviction-cycle" in names
        assert [entry for entry in c.call("SLOWLOG", "GET") if entry[3][0] == b"SET"] == []
        stats = c.call("INFO", "stats").decode()
        assert "total_eviction_exceeded_time:0\r\n" not in stats


def test_every_call_is_in_the_histogram(start_server):
    server = start_server()
    with server.raw() as c, server.raw(protocol=3) as c3:
        c.says("CONFIG RESETSTAT", OK)
        c.pipeline(["GET k"] * 1000)
        c.call("CLIENT", "ID")
        histogram = c3.call("LATENCY", "HISTOGRAM")
        assert histogram[b"get"][b"calls"] == 1000
        assert {b"get", b"client|id", b"config|resetstat"} <= set(histogram)
        rows = list(histogram[b"get"][b"histogram_usec"].items())
        assert rows == sorted(rows) and rows[-1][1] == 1000
        assert set(c3.call("LATENCY", "HISTOGRAM", "client", "nosuch")) == {b"client|id"}
        assert c3.call("LATENCY", "HISTOGRAM", "client|id", "get").keys() == {b"client|id", b"get"}

        def percentiles():
            text = c.call("INFO", "latencystats").decode()
            return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

        figures = percentiles()["latency_percentiles_usec_get"]
        assert [part.split("=")[0] for part in figures.split(",")] == ["p50", "p99", "p99.9"]
        c.says('CONFIG SET latency-tracking-info-percentiles "0 100"', OK)
        low, high = (float(part.split("=")[1]) for part in percentiles()["latency_percentiles_usec_get"].split(","))
        assert 0 < low <= high < 1e6
        c.says("CONFIG SET latency-tracking no", OK)
        c.says("CONFIG RESETSTAT", OK)
        assert percentiles() == {}
        c.says("LATENCY HISTOGRAM", [])


def test_slowness_is_spread_over_what_shares_it(start_server):
    """What INFO says of commands that came together is their mean, and the sums are true."""
    server = start_server()
    with server.raw() as c:
        c.says("CONFIG RESETSTAT", OK)
        c.pipeline(["SET k v", "GET k"] * 500)
        stats = c.call("INFO", "commandstats").decode()
        for name in ("get", "set"):
            assert f"cmdstat_{name}:calls=500,usec=" in stats


def test_expiry_counts_its_time(start_server):
    server = start_server("--enable-debug-command", "yes")
    with server.raw() as c:
        c.pipeline([f"SET {i} v PX 50" for i in range(20000)])
        eventually(lambda: c.call("DBSIZE") == 0, "all keys are gone")

        def spent():
            text = c.call("INFO", "stats").decode()
            return int(text.split("expire_cycle_cpu_milliseconds:")[1].split("\r\n")[0])

        eventually(spent, "time was spent on that")
