"""What the process shows of itself: its log's forms, its title, and its last words."""

import json
import os
import pathlib
import re
import signal

import pytest

from harness import BINARY, Server, eventually
from resp import OK, Err


def shown(server):
    """What ps shows."""
    words = pathlib.Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    return words.rstrip(b"\0").decode()


def test_a_message_has_the_form_that_is_asked_for(server):
    with server.raw() as c:
        def logged(message, form, times):
            c.says(f"CONFIG SET log-format {form} log-timestamp-format {times}", OK)
            c.call("DEBUG", "LOG", message)
            c.says("CONFIG SET log-format legacy log-timestamp-format legacy", OK)
            return eventually(lambda: [line for line in server.log().splitlines() if "DEBUG LOG: " in line], "a message")[-1]

        pid = server.process.pid
        assert re.fullmatch(rf"{pid}:M \d\d \w{{3}} \d{{4}} \d\d:\d\d:\d\d\.\d{{3}} # DEBUG LOG: one", logged("one", "legacy", "legacy"))
        assert re.fullmatch(rf"{pid}:M \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}[+-]\d\d:\d\d # DEBUG LOG: two", logged("two", "legacy", "iso8601"))
        assert re.fullmatch(rf"{pid}:M \d{{13}} # DEBUG LOG: three", logged("three", "legacy", "milliseconds"))
        line = logged('four "quoted"', "logfmt", "milliseconds")
        assert re.fullmatch(rf"""pid={pid} role=primary timestamp="\d{{13}}" level=warning message="DEBUG LOG: four 'quoted'\"""", line)
        row = json.loads(logged('five "\\\t', "json", "iso8601"))
        assert row["pid"] == pid and row["level"] == "warning" and row["message"] == 'DEBUG LOG: five "\\\t'


def test_the_title_is_what_the_template_says(start_server):
    server = start_server()
    assert shown(server) == f"{BINARY} 127.0.0.1:{server.port}"
    with server.raw() as c:
        c.call("CONFIG", "SET", "proc-title-template", "cache {port} {tls-port} {config-file} {listen-addr}")
        assert shown(server) == f"cache {server.port} 0 - 127.0.0.1:{server.port}"
        c.call("CONFIG", "SET", "proc-title-template", "x")
        assert shown(server) == "x"
        assert isinstance(c.call("CONFIG", "SET", "proc-title-template", "{nothing}"), Err)
        # Longer than the words and the environment together.
        c.call("CONFIG", "SET", "proc-title-template", "y" * 200_000)
        assert set(shown(server)) == {"y"}
        assert c.call("PING") == "PONG"


def test_without_a_wish_for_it_there_is_no_title(start_server):
    server = start_server("--set-proc-title", "no")
    assert shown(server).split("\0")[0] == BINARY
    assert "--port" in shown(server)


@pytest.fixture
def doomed():
    """Starts servers that will not end well."""
    started = []

    def start(*args):
        started.append(Server("--enable-debug-command", "yes", *args))
        return started[-1]

    yield start
    for server in started:
        server.destroy()


DEATHS = [
    ("DEBUG SEGFAULT", signal.SIGSEGV, "crashed by signal: 11"),
    ("DEBUG ASSERT", signal.SIGABRT, "=== ASSERTION FAILED ==="),
    ("DEBUG PANIC", signal.SIGABRT, "Guru Meditation: DEBUG PANIC called at Unix time "),
    ("DEBUG OOM", signal.SIGABRT, "crashed by signal: 6"),
]


@pytest.mark.parametrize("command, number, said", DEATHS)
def test_a_server_that_dies_says_how_it_was(doomed, command, number, said):
    server = doomed()
    with server.raw() as c:
        c.says("SET secret-key secret-value", OK)
        c.call("CLIENT", "SETNAME", "secret-name")
        c.send_command(*command.split())
        assert server.wait() == -number
    log = server.log()
    start, end = log.index("=== LARDER BUG REPORT START"), log.index("=== LARDER BUG REPORT END")
    report = log[start:end]
    assert said in report
    parts = ["STACK TRACE", "STACK TRACE DONE", "INFO OUTPUT", "CLIENT LIST OUTPUT", "CURRENT CLIENT INFO", "CONFIG DEBUG OUTPUT"]
    places = [report.index(f"------ {part} ------") for part in parts]
    assert places == sorted(places)
    assert "redis_version:7.2.4" in report and "cmdstat_set:calls=1" in report
    assert report.count("cmd=debug user=*redacted*") == 2
    assert "secret" not in report
    assert log.count("REPORT START") == 1


def test_a_signal_from_outside_is_reported_with_its_sender(doomed):
    server = doomed("--hide-user-data-from-log", "no")
    with server.raw() as c:
        c.call("CLIENT", "SETNAME", "me")
        os.kill(server.process.pid, signal.SIGABRT)
        assert server.wait() == -signal.SIGABRT
    assert f"Killed by PID: {os.getpid()}, UID: {os.getuid()}" in server.log()
    assert " name=me " in server.log()


def test_without_a_wish_for_it_there_is_no_report(doomed):
    server = doomed("--crash-log-enabled", "no")
    with server.raw() as c:
        c.send_command("DEBUG", "SEGFAULT")
        assert server.wait() == -signal.SIGSEGV
    assert "BUG REPORT" not in server.log()


def test_the_watchdog_says_who_holds_a_worker_up(start_server):
    server = start_server("--enable-debug-command", "yes")
    with server.raw() as c:
        c.says("CONFIG SET watchdog-period 200", OK)
        c.call("DEBUG", "SLEEP", "0.8")
        eventually(lambda: "--- WATCHDOG TIMER EXPIRED ---" in server.log(), "the watchdog barks")
        assert "cmd=debug user=*redacted*" in server.log()
        c.says("CONFIG SET watchdog-period 0", OK)
        os.kill(server.process.pid, signal.SIGALRM)
        eventually(lambda: "--- Received SIGALRM ---" in server.log(), "the signal is heard")
        assert c.call("PING") == "PONG"


@pytest.mark.parametrize("hide, shown", [("no", r"*3\r\n$blabla\r\n"), ("yes", "*redacted*")])
def test_a_request_that_is_none_is_logged_and_hidden_where_that_is_wanted(start_server, hide, shown):
    server = start_server("--hide-user-data-from-log", hide, "--loglevel", "verbose")
    with server.raw() as c:
        c.send(b"*3\r\n$blabla\r\n")
        c.read_raw()
    eventually(lambda: f"Query buffer: '{shown}'" in server.log(), "the request is logged")
    assert ("blabla" in server.log()) == (hide == "no")
