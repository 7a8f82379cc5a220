"""The figures of the cache: CACHE.STATS, INFO, and HTTP with /metrics and /health; and what is built on them, the
alerts for Prometheus and the dashboard for Grafana."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading

import pytest

from harness import REPOSITORY, Server, eventually, free_port
from resp import NIL, OK

CONF = REPOSITORY / "conf"


class Web:
    """The HTTP endpoint of a server."""

    def __init__(self, port, host="127.0.0.1"):
        self.address = (host, port)

    def ask(self, path, method="GET"):
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    def raw(self, data):
        """All that comes back for these bytes, until the other side closes or has nothing more to say."""
        with socket.create_connection(self.address, timeout=30) as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = b""
                while more := s.recv(65536):
                    answer += more
                return answer
            except OSError:
                # It was closed before all had been said.
                return b""

    def answers(self):
        try:
            return self.ask("/health")[0]
        except OSError:
            return None


@pytest.fixture(scope="module")
def served():
    """A server with an HTTP endpoint, and that."""
    for _ in range(5):
        port = free_port()
        server = Server("--http-port", port, "--http-bind", "127.0.0.1", "--enable-debug-command", "yes")
        if "HTTP is answered on" in server.log():
            break
        server.stop()  # somebody else took the port between the choice and the bind
    web = Web(port)
    yield server, web
    server.stop()


def samples(text):
    """The samples of a scrape: value by name and labels."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, name
            found[name] = float(value)
    return found


def names(text):
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")}


def test_reads_are_counted_the_same_by_every_way_to_the_figures(served):
    server, web = served
    with server.raw(3) as c:
        c.call("CONFIG", "RESETSTAT")
        c.call("SET", "k", "v")
        for _ in range(3):
            c.call("GET", "k")
        c.call("GET", "nothing")
        (name, row), = c.call("CACHE.STATS", "(none)").items()
        assert name == b"(none)"
        assert (row[b"requests"], row[b"hits"], row[b"misses"], row[b"hit_rate"]) == (4, 3, 1, 0.75)
        info = c.call("INFO", "cache").decode()
    assert "cache_requests:4\r\n" in info and "cache_hit_rate:0.7500\r\n" in info
    status, headers, text = web.ask("/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(text)
    assert found['cache_requests_total{policy="(none)",status="hit"}'] == 3
    assert found['cache_requests_total{policy="(none)",status="miss"}'] == 1
    assert found['cache_hit_rate{policy="(none)"}'] == 0.75
    assert (found["redis_keyspace_hits_total"], found["redis_keyspace_misses_total"]) == (3, 1)
    assert found['redis_commands_total{cmd="get"}'] == 4
    assert found["redis_connected_clients"] >= 0
    with server.raw() as c:
        c.call("CONFIG", "RESETSTAT")
    found = samples(web.ask("/metrics")[2])
    assert found['cache_requests_total{policy="(none)",status="hit"}'] == 0
    assert 'cache_hit_rate{policy="(none)"}' not in found


def test_a_policy_tells_what_its_requests_met(served):
    server, web = served
    with server.raw(3) as c:
        c.call("FLUSHALL")
        c.says("CACHE.POLICY SET course course:* ttl 10m null-ttl 60s lease 30s", OK)
        c.call("CONFIG", "RESETSTAT")
        c.says("GET course:1", NIL)  # never seen; with a lease to fill it
        c.says("SET course:1 v", OK)
        c.says("GET course:1", "v")
        c.call("CACHE.NULL", "course:2")
        for _ in range(4):
            c.says("GET course:2", NIL)
        c.call("CACHE.INVALIDATE", "KEY", "course:1")
        c.says("GET course:1", NIL)
        (row,) = c.call("CACHE.STATS", "course").values()
        info = c.call("INFO", "cache").decode()
    assert (row[b"pattern"], row[b"enabled"]) == (b"course:*", b"yes")
    assert (row[b"requests"], row[b"hits"], row[b"null_hits"], row[b"misses"]) == (7, 1, 4, 2)
    assert (row[b"misses_never_seen"], row[b"misses_invalidated"]) == (1, 1)
    assert row[b"hit_rate"] == pytest.approx(5 / 7) and row[b"penetration_rate"] == pytest.approx(4 / 7)
    assert (row[b"nulls"], row[b"penetration_attempts"]) == (1, 5)
    assert (row[b"leases_granted"], row[b"leases_filled"], row[b"load_ms"][b"count"]) == (2, 1, 1)
    (line,) = [line for line in info.splitlines() if line.startswith("cache_policy_course:")]
    assert "requests=7,hits=1,null_hits=4," in line
    found = samples(web.ask("/metrics")[2])
    for name, value in {
        'cache_requests_total{policy="course",status="hit"}': 1,
        'cache_requests_total{policy="course",status="null"}': 4,
        'cache_requests_total{policy="course",status="miss"}': 2,
        'cache_misses_total{policy="course",reason="never_seen"}': 1,
        'cache_misses_total{policy="course",reason="invalidated"}': 1,
        'cache_penetration_attempts_total{policy="course"}': 5,
        'cache_leases_total{policy="course",event="granted"}': 2,
        'cache_load_seconds_count{policy="course"}': 1,
        'cache_null_keys{policy="course"}': 1,
    }.items():
        assert found[name] == value, name
    with server.raw() as c:
        c.says("CACHE.POLICY DEL course", 1)
        c.call("FLUSHALL")
        c.call("CONFIG", "RESETSTAT")


def test_limits_on_requests_are_counted_by_rule():
    port = free_port()
    server = Server("--http-port", port, "--rate-limit", "anonymous 4/d address 192.0.2.0/24 5/d")
    try:
        with server.raw() as c:
            replies = [c.call("GET", "k") for _ in range(3)]
            info = c.call("INFO", "cache").decode()
            replies += [c.call("GET", "k") for _ in range(2)]
        assert sum(reply is not None for reply in replies) == 2
        assert "cache_rate_limit_allowed:4\r\ncache_rate_limit_refused:0\r\n" in info
        assert "cache_rate_limit_0:allowed=4,refused=0,rule=anonymous 4/d\r\n" in info
        found = samples(Web(port).ask("/metrics")[2])
        rule = 'cache_rate_limit_requests_total{rule="anonymous 4/d",result="%s"}'
        assert (found[rule % "allowed"], found[rule % "refused"]) == (4, 2)
        assert found["cache_rate_limit_addresses"] == 1
        server.stop()
    finally:
        server.destroy()


def test_a_policy_that_is_not_there_is_an_error(served):
    server, _ = served
    with server.raw() as c:
        assert str(c.call("CACHE.STATS", "no\r\nsuch")) == "ERR There is no policy 'no  such'"
        reply = c.call("CACHE.STATS")
        assert reply[0] == b"(none)" and isinstance(reply[1], list)


def test_health_says_how_the_server_is(served):
    server, web = served
    status, headers, text = web.ask("/health")
    health = json.loads(text)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (health["status"], health["reasons"]) == ("ready", [])
    assert health["uptime_seconds"] >= 0 and re.fullmatch(r"\d+\.\d+\.\d+", health["version"])
    with server.raw() as c:
        c.call("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
        status, _, text = web.ask("/health")
        health = json.loads(text)
        assert (status, health["status"]) == (503, "degraded")
        assert "maxmemory" in health["reasons"][0]
        c.call("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "larder")
        c.call("CLIENT", "PAUSE", "100000", "WRITE")
        status, _, text = web.ask("/health")
        assert (status, json.loads(text)["status"]) == (200, "degraded")
        c.call("CLIENT", "UNPAUSE")
    assert web.ask("/health")[0] == 200


def test_only_what_is_there_can_be_asked_for(served):
    _, web = served
    assert "/metrics" in web.ask("/")[2]
    assert web.ask("/nothing")[0] == 404
    assert web.ask("/metrics/../health")[0] == 404
    status, headers, _ = web.ask("/metrics", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, text = web.ask("/metrics", "HEAD")
    assert (status, text) == (200, "") and int(headers["content-length"]) > 1000


def test_garbage_harms_nothing(served, rng):
    server, web = served
    for data in [
        b"",
        b"\r\n\r\n",
        b"\x00" * 100_000,
        b"*1\r\n$4\r\nPING\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(1000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] + [rng.randbytes(rng.randrange(2000)) for _ in range(50)]:
        answer = web.raw(data)
        assert answer == b"" or answer.startswith(b"HTTP/1."), (data[:60], answer[:200])
    assert web.ask("/health")[0] == 200
    with server.raw() as c:
        assert c.call("PING") == "PONG"


def test_those_who_hold_connections_keep_nobody_out_for_long(served):
    _, web = served
    held = []
    try:
        for _ in range(100):
            s = socket.create_connection(web.address, timeout=30)
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x")
            held.append(s)

        def is_closed(s):
            s.settimeout(0.01)
            try:
                return s.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        # Beyond the limit they are closed at once; the others when they never end their head.
        eventually(lambda: sum(map(is_closed, held)) >= 84, "those beyond the limit are closed")
        eventually(lambda: web.answers() == 200, "somebody else gets an answer", 60)
    finally:
        for s in held:
            s.close()


def test_scrapes_side_by_side_with_commands_are_whole(served):
    server, web = served
    with server.raw() as c:
        c.call("DEBUG", "POPULATE", "100000", "some")
    texts, stop = [], threading.Event()

    def scrape():
        while not stop.is_set():
            texts.append(web.ask("/metrics")[2])

    threads = [threading.Thread(target=scrape) for _ in range(3)]
    for t in threads:
        t.start()
    with server.raw() as c:
        for i in range(3000):
            c.call("GET", f"some:{i}")
            c.call("CONFIG", "GET", "http-port")
    stop.set()
    for t in threads:
        t.join()
    assert len(texts) >= 3
    assert all(samples(text)['redis_db_keys{db="db0"}'] == 100_000 for text in texts)
    with server.raw() as c:
        c.call("FLUSHALL")


def test_the_port_can_be_changed_and_closed(start_server):
    server = start_server("--http-port", "0")
    port, other = free_port(), free_port()
    with server.raw() as c:
        assert c.call("CONFIG", "GET", "http-port") == [b"http-port", b"0"]
        assert c.call("CONFIG", "SET", "http-bind", "127.0.0.1", "http-port", port) == "OK"
        assert Web(port).answers() == 200
        assert c.call("CONFIG", "SET", "http-port", other) == "OK"
        assert Web(port).answers() is None and Web(other).answers() == 200
        # The same port on other addresses.
        assert c.call("CONFIG", "SET", "http-bind", "127.0.0.1 -::1") == "OK"
        assert Web(other).answers() == 200
        # What is taken is refused, and all is as before.
        taken = server.port
        assert "HTTP can't be answered there" in str(c.call("CONFIG", "SET", "http-port", taken))
        assert c.call("CONFIG", "GET", "http-port") == [b"http-port", str(other).encode()]
        assert Web(other).answers() == 200
        assert c.call("CONFIG", "SET", "http-port", "0") == "OK"
        assert Web(other).answers() is None


def test_a_port_that_is_taken_at_start_is_told_and_no_reason_to_fail(start_server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = start_server("--http-port", port, "--http-bind", "127.0.0.1")
        assert f"is not answered on 127.0.0.1:{port}" in server.log()
        with server.raw() as c:
            assert c.call("PING") == "PONG"


def promtool(*args, but=None, **options):
    """Runs promtool; names that begin with `but` are another's, and need not please it."""
    program = shutil.which("promtool")
    assert program, "promtool is not there: install Debian's prometheus"
    done = subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=60, **options)
    complaints = [line for line in done.stderr.splitlines() if but is None or not line.startswith(but)]
    assert done.returncode == 0 or but and not complaints, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_figures_and_the_alerts(served):
    server, web = served
    with server.raw() as c:
        for line in ("SET k v EX 100", "GET k", "NOSUCH"):
            c.call(*line.split())
    promtool("check", "metrics", input=web.ask("/metrics")[2], but="redis_")
    promtool("check", "rules", CONF / "prometheus/alerts.yml")
    promtool("test", "rules", "alerts_test.yml", cwd=CONF / "prometheus")


# What may follow a metric's name in a query: a selector, a range, an operator.
METRIC = re.compile(r"\b((?:cache|redis|larder)_[a-z0-9_]+)")


def queries_of(value):
    """All queries of a dashboard."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "definition") and isinstance(inner, str):
                yield inner
            else:
                yield from queries_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from queries_of(inner)


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path):
    dashboard = json.loads((CONF / "grafana/larder.json").read_text())
    queries = [q for q in queries_of(dashboard) if not q.startswith("label_values(")]
    # A query is what a rule records, once Grafana's variables are in their places.
    filled = [q.replace("$__rate_interval", "5m").replace("$", "") for q in queries]
    rules = [{"record": f"query:{i}:", "expr": q} for i, q in enumerate(filled)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", tmp_path / "rules.yml")


def test_every_figure_that_alerts_and_dashboard_ask_for_is_there(served):
    server, web = served
    with server.raw() as c:
        for line in ("SET k v EX 100", "GET k", "GET nothing"):
            c.call(*line.split())
    there = names(web.ask("/metrics")[2])
    dashboard = json.loads((CONF / "grafana/larder.json").read_text())
    queries = list(queries_of(dashboard))
    assert len(queries) > 30
    rules = [line for line in (CONF / "prometheus/alerts.yml").read_text().splitlines() if "summary" not in line and "description" not in line]
    for query in queries + rules:
        # Neither what stands in quotes nor what a rule records is a figure of ours.
        query = re.sub(r'"[^"]*"|larder:[\w:]+', "", query)
        missing = set(METRIC.findall(query)) - there
        assert not missing, f"{missing} of: {query}"
