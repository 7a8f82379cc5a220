"""The command log and the slow log, over real sockets: pipelines, transactions, sizes, secrets, and waiting."""

import threading
import time

import pytest

from harness import eventually
from resp import OK, encode


@pytest.fixture
def quiet(start_server):
    """A server whose slow log keeps what takes 5 ms."""
    return start_server("--enable-debug-command", "yes", "--slowlog-log-slower-than", "5000")


def logged(client, kind="slow"):
    """The words of a log's entries, the oldest first."""
    entries = client.call("COMMANDLOG", "GET", "-1", kind)
    return [b" ".join(entry[3]).decode() for entry in reversed(entries)]


def test_a_slow_command_in_a_pipeline_is_the_only_one_that_is_kept(quiet):
    with quiet.raw() as c:
        c.says("CLIENT SETNAME me", OK)
        commands = [f"SET k{i} {i}" for i in range(100)]
        commands[50:50] = ["DEBUG SLEEP 0.02"]
        c.pipeline(commands)
        entries = c.call("SLOWLOG", "GET")
        assert [entry[3] for entry in entries] == [[b"DEBUG", b"SLEEP", b"0.02"]]
        number, at_s, us, _, address, name = entries[0]
        assert number == 0 and abs(at_s - time.time()) < 60 and 20_000 <= us < 5_000_000
        assert address.startswith(b"127.0.0.1:") and name == b"me"


def test_whoever_waits_for_a_slow_command_is_not_slow(quiet):
    with quiet.raw() as slow, quiet.raw() as c:
        c.says("SET k v", OK)
        slow.send_command("DEBUG", "SLEEP", "0.3")
        time.sleep(0.05)
        began = time.monotonic()
        c.says("GET k", "v")
        waited = time.monotonic() - began
        slow.read_raw()
        assert waited > 0.1
        assert logged(c) == ["DEBUG SLEEP 0.3"]


def test_with_a_threshold_of_0_every_command_is_kept_in_its_order(quiet):
    with quiet.raw() as c:
        c.says("CONFIG SET slowlog-log-slower-than 0", OK)
        c.says("SLOWLOG RESET", OK)
        c.pipeline(["SET k v", "GET k", "GET k", "PING"])
        c.says("CONFIG SET slowlog-log-slower-than -1", OK)
        assert logged(c) == ["SLOWLOG RESET", "SET k v", "GET k", "GET k", "PING"]


def test_what_exec_runs_is_kept_and_exec_is_not(quiet):
    with quiet.raw() as c:
        c.pipeline(["MULTI", "SET k v", "DEBUG SLEEP 0.02", "EXEC"])
        assert logged(c) == ["DEBUG SLEEP 0.02"]


def test_requests_and_replies_are_kept_with_their_bytes(start_server):
    server = start_server("--commandlog-request-larger-than", 2048, "--commandlog-reply-larger-than", 2048)
    with server.raw() as c:
        for size in (1000, 2048, 100_000):
            value = b"x" * size
            request = encode("SET", "k", value)
            c.send(request)
            c.read_raw()
            c.call("GET", "k")
            large = c.call("COMMANDLOG", "GET", "1", "large-request")
            replies = c.call("COMMANDLOG", "GET", "1", "large-reply")
            if size < 2048:
                assert large == [] and replies == []
                continue
            assert large[0][2] == len(request)
            assert large[0][3][:2] == [b"SET", b"k"]
            assert large[0][3][2] == b"x" * 128 + b"... (%d more bytes)" % (size - 128)
            assert replies[0][2] == len(b"$%d\r\n" % size) + size + 2
            assert replies[0][3] == [b"GET", b"k"]
        c.says("COMMANDLOG LEN large-request", 2)
        c.says("COMMANDLOG RESET large-request", OK)
        c.says("COMMANDLOG LEN large-request", 0)
        c.says("COMMANDLOG LEN large-reply", 2)


def test_words_are_counted_and_cut(quiet):
    with quiet.raw() as c:
        c.says("CONFIG SET slowlog-log-slower-than 0", OK)
        c.says("SLOWLOG RESET", OK)
        c.call("DEL", *[f"k{i}" for i in range(31)])
        c.call("DEL", *[f"k{i}" for i in range(32)])
        entries = [entry[3] for entry in reversed(c.call("SLOWLOG", "GET"))]
        assert entries[1] == [b"DEL"] + [b"k%d" % i for i in range(31)]
        assert entries[2] == [b"DEL"] + [b"k%d" % i for i in range(30)] + [b"... (2 more arguments)"]


def test_no_secret_is_kept(quiet):
    with quiet.raw() as c:
        c.says("CONFIG SET slowlog-log-slower-than 0", OK)
        c.says("SLOWLOG RESET", OK)
        c.call("AUTH", "hunter2")
        c.call("HELLO", "2", "AUTH", "default", "hunter2", "SETNAME", "me")
        c.says("CONFIG SET primaryauth hunter2 requirepass hunter2", OK)
        c.says("AUTH default hunter2", OK)
        kept = logged(c)
        assert kept[1:] == [
            "AUTH (redacted)",
            "HELLO 2 AUTH (redacted) (redacted) SETNAME me",
            "CONFIG SET primaryauth (redacted) requirepass (redacted)",
            "AUTH (redacted) (redacted)",
        ]


def test_many_clients_log_at_once(quiet):
    with quiet.raw() as c:
        c.says("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 50", OK)

        def work():
            with quiet.raw() as own:
                for _ in range(20):
                    own.pipeline(["GET k"] * 50)

        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        entries = c.call("SLOWLOG", "GET", "-1")
        assert len(entries) == 50
        numbers = [entry[0] for entry in entries]
        assert numbers == list(range(numbers[0], numbers[0] - 50, -1)) and numbers[0] >= 4000


def test_a_command_that_waits_is_kept_when_it_ends_with_the_time_in_which_it_ran(quiet):
    with quiet.raw() as c, quiet.raw() as waiting:
        c.says("CONFIG SET slowlog-log-slower-than 0", OK)
        c.says("SLOWLOG RESET", OK)
        waiting.send_command("BLPOP", "list", "0")
        eventually(lambda: b"blocked_clients:1" in c.call("INFO", "clients"), "the client waits")
        assert not any("BLPOP" in line for line in logged(c))
        time.sleep(0.2)
        c.says("RPUSH list x", 1)
        assert waiting.read_value() == [b"list", b"x"]
        entries = [entry for entry in c.call("SLOWLOG", "GET", "-1") if entry[3][0] == b"BLPOP"]
        assert len(entries) == 1 and entries[0][2] < 100_000
        assert b"cmdstat_blpop:calls=1," in c.call("INFO", "commandstats")


def test_waits_that_end_otherwise_are_counted(quiet):
    with quiet.raw() as c, quiet.raw() as waiting:
        c.says("CONFIG RESETSTAT", OK)
        waiting.call("BLPOP", "list", "0.01")
        assert b"cmdstat_blpop:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0" in c.call("INFO", "commandstats")
        number = waiting.call("CLIENT", "ID")
        waiting.send_command("BLPOP", "list", "0")
        eventually(lambda: b"blocked_clients:1" in c.call("INFO", "clients"), "the client waits")
        c.says(f"CLIENT UNBLOCK {number} ERROR", 1)
        assert waiting.read_value().startswith("UNBLOCKED")
        assert b"rejected_calls=1,failed_calls=0" in c.call("INFO", "commandstats").split(b"cmdstat_blpop:")[1].split(b"\r\n")[0]
        assert b"errorstat_UNBLOCKED:count=1" in c.call("INFO", "errorstats")
