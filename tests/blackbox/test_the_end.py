"""The process as whoever supervises it sees it: from its start to its end."""

import contextlib
import grp
import os
import signal
import socket
import stat
import tempfile

import pytest
from harness import BINARY, Server, eventually, is_larder
from resp import OK, Err
from test_replication import follow, info  # noqa: F401

REFUSED = "ERR Errors trying to SHUTDOWN. Check logs."


@contextlib.contextmanager
def environment(**names):
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


@contextlib.contextmanager
def standing_still(server):
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)



def hear_until(heard, line):
    heard.settimeout(30)
    lines = []
    while line not in lines:
        lines += heard.recv(4096).decode().splitlines()
    return lines


@pytest.mark.skipif(not is_larder(BINARY), reason="others may be built without it")
@pytest.mark.parametrize("how", ["systemd", "auto"])
@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_hears_when_it_is_ready_and_when_it_stops(how, is_abstract):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        path = f"@larder-test-{os.getpid()}" if is_abstract else f"{folder}/notify"
        heard.bind(path.replace("@", "\0"))
        with environment(NOTIFY_SOCKET=path):
            # It stays in the foreground, whatever else it is told.
            server = Server("--supervised", how, "--daemonize", "yes")
        try:
            lines = hear_until(heard, "READY=1")
            assert lines[0].startswith("STATUS=") and "STOPPING=1" not in lines
            assert info(server, "server", "process_supervised") == "systemd"
            server.stop()
            hear_until(heard, "STOPPING=1")
        finally:
            server.destroy()


@pytest.mark.skipif(not is_larder(BINARY), reason="others may be built without it")
def test_where_nobody_supervises_it_starts_nevertheless(start_server):
    server = start_server("--supervised", "systemd")
    assert info(server, "server", "process_supervised") == "no"
    assert "NOTIFY_SOCKET not found" in server.log()


def test_the_socket_file_is_of_its_group(start_server):
    group = next(g for g in grp.getgrall() if g.gr_gid not in (0, os.getgid()))
    if os.getuid() != 0:
        pytest.skip("only root may give a file to any group")
    server = start_server("--unixsocket", "s", "--unixsocketgroup", group.gr_name, "--unixsocketperm", "770")
    status = os.stat(server.directory / "s")
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (group.gr_gid, 0o770)
    with pytest.raises(AssertionError):
        Server("--unixsocket", "s", "--unixsocketgroup", "no-such-group")


def test_workers_keep_to_their_processors(start_server):
    server = start_server("--server-cpulist", "0", "--io-threads", "2")
    tasks = f"/proc/{server.process.pid}/task"
    threads = {open(f"{tasks}/{t}/comm").read().strip(): int(t) for t in os.listdir(tasks)}
    workers = [t for name, t in threads.items() if name.startswith("worker")] or [server.process.pid]
    assert all(os.sched_getaffinity(t) == {0} for t in workers)


@pytest.mark.parametrize("words, is_saved", [("save", True), ("nosave", False), ("default", False)])
def test_a_signal_saves_as_its_directive_says(words, is_saved):
    server = Server("--shutdown-on-sigterm", words)
    try:
        with server.raw() as c:
            c.call("SET", "a", 1)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert (server.directory / "dump.rdb").exists() == is_saved
    finally:
        server.destroy()


@pytest.mark.parametrize("how", ["SHUTDOWN", "SIGTERM"])
def test_followers_that_are_behind_are_waited_for(start_server, follow, how):  # noqa: F811
    leader = start_server("--shutdown-timeout", 300)
    follower = follow(leader)
    with leader.raw() as c, leader.raw() as other, leader.raw() as writer:
        with standing_still(follower):
            c.call("SET", "a", 1)
            if how == "SHUTDOWN":
                c.send(b"SHUTDOWN\r\n")
            else:
                leader.process.send_signal(signal.SIGTERM)
            left_ms = eventually(lambda: info(leader, "server", "shutdown_in_milliseconds"), "it waits")
            assert 0 < int(left_ms) <= 300_000
            assert info(leader, "clients", "paused_reason") == "shutdown_in_progress"
            # Who reads is served, who writes is not.
            assert other.call("GET", "a") == b"1"
            writer.send(b"SET b 1\r\n")
            stopped = 1 + (how == "SHUTDOWN")
            eventually(lambda: info(leader, "clients", "blocked_clients") == str(stopped), "the writer stops")
        assert leader.wait() == 0
    assert "1 of 1 replicas are in sync" in leader.log()
    with follower.raw() as f:
        assert (f.call("GET", "a"), f.call("GET", "b")) == (b"1", None)


def test_the_wait_can_be_aborted(start_server, follow):  # noqa: F811
    leader = start_server("--shutdown-timeout", 300)
    follower = follow(leader)
    with leader.raw() as c, leader.raw() as one, leader.raw() as two, leader.raw() as writer:
        assert c.call("SHUTDOWN", "ABORT") == Err("ERR No shutdown in progress.")
        with standing_still(follower):
            c.call("SET", "a", 1)
            one.send(b"SHUTDOWN\r\n")
            two.send(b"SHUTDOWN NOSAVE\r\n")
            eventually(lambda: info(leader, "clients", "blocked_clients") == "2", "both wait")
            writer.send(b"SET b 1\r\n")
            assert c.call("SHUTDOWN", "ABORT") == OK
            one.hears(Err(REFUSED))
            two.hears(Err(REFUSED))
            writer.hears(OK)
            assert info(leader, "server", "shutdown_in_milliseconds") is None
            assert info(leader, "clients", "paused_reason") == "none"


@pytest.mark.parametrize("options, words", [(("--shutdown-timeout", 1), b""), (("--shutdown-timeout", 0), b""),
                                            (("--shutdown-timeout", 300), b" NOW")])
def test_nobody_is_waited_for_longer_than_is_said(start_server, follow, options, words):  # noqa: F811
    leader = start_server(*options)
    follower = follow(leader)
    with leader.raw() as c:
        with standing_still(follower):
            c.call("SET", "a", 1)
            c.send(b"SHUTDOWN" + words + b"\r\n")
            assert leader.wait() == 0
    assert "0 of 1 replicas are in sync" in leader.log()


def test_what_cannot_be_saved_is_told_to_who_waits(start_server, follow):  # noqa: F811
    leader = start_server("--shutdown-timeout", 300)
    follower = follow(leader)
    with leader.raw() as c, leader.raw() as one:
        with standing_still(follower):
            c.call("SET", "a", 1)
            os.mkdir(leader.directory / "dump.rdb")
            one.send(b"SHUTDOWN SAVE\r\n")
            eventually(lambda: info(leader, "server", "shutdown_in_milliseconds"), "it waits")
        one.hears(Err(REFUSED))
        os.rmdir(leader.directory / "dump.rdb")
        assert c.call("SET", "b", 1) == OK


def test_who_interrupts_twice_does_not_wait_for_the_disk():
    server = Server()
    try:
        begun = server.directory / f"temp-{server.process.pid}.rdb"
        # Nobody reads it: whoever writes it waits for ever.
        os.mkfifo(begun)
        with server.raw() as c:
            c.call("SET", "a", 1)
            c.call("CONFIG", "SET", "shutdown-on-sigint", "save")
        server.process.send_signal(signal.SIGINT)
        eventually(lambda: "Saving the final RDB snapshot" in server.log(), "it saves")
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == 1
        assert not begun.exists()
    finally:
        server.destroy()
