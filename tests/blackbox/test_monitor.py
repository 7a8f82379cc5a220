"""MONITOR: every command as it ran, on whatever worker."""

import re
import threading
import time

import pytest

from harness import Server, eventually
from resp import NIL, OK, Err, Simple, encode

WORKERS = 4
LINE = re.compile(r"(\d+\.\d{6}) \[(\d+) ([^\]]+)\] (.*)", re.S)


@pytest.fixture(scope="module")
def server():
    s = Server("--enable-debug-command", "yes", "--io-threads", WORKERS)
    yield s
    s.stop()


def line(connection):
    """What the next line says: time, database, address, words."""
    text = connection.read_value()
    assert isinstance(text, Simple)
    at, db, address, words = LINE.fullmatch(text).groups()
    return float(at), int(db), address, words


@pytest.mark.parametrize("protocol", [2, 3])
def test_what_is_shown(server, protocol):
    with server.raw(protocol) as monitor, server.raw() as c:
        monitor.says("MONITOR", OK)
        began = time.time()
        c.says("SELECT 2", OK)
        c.says(("SET", 'a "b\\', b"\x00\x07\x08\t\n\r\xff z"), OK)
        c.says("CLIENT SETNAME x", OK)
        c.says("config get port", ["port", str(server.port)])
        c.says("GET", Err("ERR wrong number of arguments for 'get' command"))
        c.says("STRLEN nothing", 0)
        at, db, address, words = line(monitor)
        assert (db, words) == (2, '"SELECT" "2"')
        assert began - 1 < at < time.time() + 1
        host, port = c.socket.getsockname()
        assert address == f"{host}:{port}"
        assert line(monitor)[3] == r'"SET" "a \"b\\" "\x00\a\b\t\n\r\xff z"'
        assert line(monitor)[3] == '"CLIENT" "SETNAME" "x"'
        assert line(monitor)[3] == '"STRLEN" "nothing"'


def test_secrets_are_not_shown(server):
    with server.raw() as monitor, server.raw() as c:
        monitor.says("MONITOR", OK)
        c.call("AUTH", "secret")
        c.call("AUTH", "somebody", "secret")
        c.call("HELLO", "3", "AUTH", "somebody", "secret", "SETNAME", "x")
        assert line(monitor)[3] == '"AUTH" "(redacted)"'
        assert line(monitor)[3] == '"AUTH" "(redacted)" "(redacted)"'
        assert line(monitor)[3] == '"HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x"'


def test_transactions_are_shown_when_they_run(server):
    with server.raw() as monitor, server.raw() as c:
        monitor.says("MONITOR", OK)
        c.pipeline(["MULTI", "SET a 1", "GET a", "EXEC", "MULTI", "NONE", "EXEC", "MULTI", "GET a", "DISCARD"])
        words = [line(monitor)[3] for _ in range(8)]
        assert words == ['"MULTI"', '"SET" "a" "1"', '"GET" "a"', '"EXEC"', '"MULTI"', '"EXEC"', '"MULTI"', '"DISCARD"']


def test_its_own_commands_come_behind_their_replies(server):
    with server.raw() as monitor:
        monitor.says("MONITOR", OK)
        monitor.says("PING", Simple("PONG"))
        assert line(monitor)[3] == '"PING"'
        monitor.says("GET k", Err("ERR Replica can't interact with the keyspace"))
        monitor.says("RESET", Simple("RESET"))
        monitor.says("GET k", NIL)


def test_commands_on_one_key_are_shown_in_their_order(server):
    with server.raw() as monitor, server.raw() as c:
        monitor.says("MONITOR", OK)
        c.says("DEL list", 0)
        assert line(monitor)[3] == '"DEL" "list"'

        def appends(n):
            with server.raw() as mine:
                for i in range(100):
                    mine.call("APPEND", "list", f"{n}:{i};")

        threads = [threading.Thread(target=appends, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        shown = ""
        for _ in range(400):
            shown += re.fullmatch(r'"APPEND" "list" "(.*)"', line(monitor)[3]).group(1)
        for t in threads:
            t.join()
        assert c.call("GET", "list").decode() == shown


def test_who_looks_on_is_listed_and_forgotten(server):
    with server.raw() as c:
        with server.raw() as monitor:
            monitor.says("MONITOR", OK)
            assert b" flags=O " in c.call("CLIENT", "LIST")
        eventually(lambda: b" flags=O " not in c.call("CLIENT", "LIST"), "it has gone")
        c.says("PING", Simple("PONG"))


def test_who_does_not_read_is_dropped_by_the_limit(start_server):
    server = start_server("--client-output-buffer-limit", "normal 500000 0 0", "--io-threads", WORKERS)
    with server.raw(receive_buffer=4096) as monitor, server.raw() as c:
        monitor.says("MONITOR", OK)
        for _ in range(1000):
            c.says(("ECHO", "x" * 10_000), "x" * 10_000)
            if b"disconnections:1\r\n" in c.call("INFO", "stats").replace(b"client_output_buffer_limit_", b""):
                break
        else:
            raise AssertionError("never dropped")
        assert b" flags=O " not in c.call("CLIENT", "LIST")


def test_a_unix_socket_is_named(start_server, tmp_path):
    path = tmp_path / "socket"
    server = start_server("--unixsocket", path)
    from resp import Raw

    with server.raw() as monitor, Raw(str(path)) as c:
        monitor.says("MONITOR", OK)
        c.send(encode("PING"))
        assert c.read_value() == "PONG"
        assert line(monitor)[2] == f"unix:{path}"
