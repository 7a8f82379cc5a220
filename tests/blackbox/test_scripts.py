"""Scripts and functions over real sockets: what clients build on them, what reaches followers and
snapshots, and what happens while a script does not end."""

import threading

import pytest
import redis

from harness import eventually
from resp import OK
from test_following import are_equal, follow, start_leader  # noqa: F401
from test_replication import info

BUSY = "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
LIBRARY = """#!lua name=lib
redis.register_function('store', function(keys, args) return redis.call('set', keys[1], args[1]) end)
redis.register_function{function_name='forever', callback=function() while true do end end, flags={'no-writes'}}
"""


def test_a_registered_script_is_shown_once_and_run_by_its_digest(server):
    r = server.redis()
    r.script_flush()
    multiply = r.register_script("return redis.call('get', KEYS[1]) * ARGV[1]")
    r.set("n", 6)
    assert multiply(keys=["n"], args=[7]) == 42
    assert r.script_exists(multiply.sha) == [True]
    r.script_flush()
    assert multiply(keys=["n"], args=[2]) == 12, "the client shows it again"
    pipe = r.pipeline()
    pipe.set("n", 1)
    multiply(keys=["n"], args=[5], client=pipe)
    assert pipe.execute() == [True, 5]


def test_locks_of_redis_py_are_released_by_who_holds_them(server):
    r = server.redis()
    r.delete("lock")
    lock, other = r.lock("lock", timeout=60), r.lock("lock", timeout=60, blocking=False)
    assert lock.acquire() and not other.acquire()
    lock.extend(30)
    lock.release()
    assert other.acquire()
    with pytest.raises(redis.exceptions.LockError):
        lock.release()
    other.release()
    assert r.exists("lock") == 0


def test_words_of_any_bytes_and_thousands_of_them_reach_commands(client):
    every = bytes(range(256))
    client.says(["EVAL", "return redis.call('set', KEYS[1], ARGV[1])", 1, "k", every], OK)
    assert client.call("GET", "k") == every
    script = "local t = {} for i = 1, ARGV[1] do t[i] = 's'..i end return redis.call('rpush', KEYS[1], unpack(t))"
    assert client.call("EVAL", script, 1, "l", 7999) == 7999
    assert client.call("LINDEX", "l", -1) == b"s7999"
    assert client.call("EVAL", script, 1, "l", 100000).startswith("ERR user_script:1: too many results to unpack")
    assert client.call("LLEN", "l") == 7999


def test_ten_thousand_scripts_are_kept(client):
    client.call("SCRIPT", "FLUSH")
    digests = [client.call("SCRIPT", "LOAD", f"return {n}") for n in range(10000)]
    assert client.call("EVALSHA", digests[0], 0) == 0
    assert client.call("EVALSHA", digests[-1], 0) == 9999
    client.says("SCRIPT FLUSH", OK)
    assert client.call("EVALSHA", digests[0], 0) == "NOSCRIPT No matching script."


def test_what_a_script_does_is_one_transaction_for_followers(start_leader, follow):  # noqa: F811
    leader = start_leader()
    with leader.raw() as c:
        c.call("FUNCTION", "LOAD", LIBRARY)
        follower = follow(leader)
        c.call("EVAL", "redis.call('set', 'a', 1) redis.call('incr', 'a') redis.call('pexpire', 'a', 100000)", 0)
        c.call("EVAL", "redis.call('select', 3) return redis.call('set', 'b', redis.call('time')[1])", 0)
        c.call("EVAL", "redis.set_repl(redis.REPL_NONE) redis.call('set', 'own', 1) redis.set_repl(redis.REPL_ALL) redis.call('del', 'own')", 0)
        c.call("FCALL", "store", 1, "c", "v")
        for n in range(200):
            c.call("EVAL", "for i = 1, 5 do redis.call('zadd', KEYS[1], math.random(1000), 'm'..math.random(1000)) end", 1, f"z{n % 7}")
        are_equal(leader, follower)
        with follower.raw() as f:
            readonly = f.call("EVAL", "return redis.call('set', 'a', 2)", 0)
            assert readonly.startswith("READONLY You can't write against a read only replica.")
            assert f.call("EVAL", "return redis.call('get', 'a')", 0) == b"2"
            assert f.call("FCALL", "store", 1, "c", "w").startswith("READONLY Can not run script with write flag")
            c.call("FUNCTION", "DELETE", "lib")
            eventually(lambda: f.call("FUNCTION", "LIST") == [], "it is gone there, too")
    assert info(leader, "stats", "sync_full") == "1"


def test_libraries_are_in_snapshots_and_in_dumps(start_server, tmp_path):
    args = ("--dir", str(tmp_path), "--save", "")
    server = start_server(*args)
    with server.raw() as c:
        c.call("FUNCTION", "LOAD", LIBRARY)
        dump = c.call("FUNCTION", "DUMP")
        c.says("SAVE", OK)
    server.stop()
    again = start_server(*args)
    with again.raw() as c:
        assert "number_of_functions:2\r\n" in c.call("INFO", "memory").decode()
        c.says(["FCALL", "store", 1, "k", "v"], OK)
        c.says("FLUSHALL", OK)
        assert len(c.call("FUNCTION", "LIST")) == 1, "they are no keys"
        c.says("FUNCTION FLUSH", OK)
        c.says(["FUNCTION", "RESTORE", dump], OK)
        c.says(["FCALL", "store", 1, "k", "v"], OK)


def begin(server, *command):
    """Runs a command that does not end on a connection of its own; what it answers, when it does."""
    answers = []

    def run():
        with server.raw() as c:
            c.socket.settimeout(120)
            try:
                answers.append(c.call(*command))
            except ConnectionError as e:
                answers.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def is_busy(server):
    # Nobody asks meanwhile: a reply that is not sent when a script begins is sent when it ends.
    eventually(lambda: "Slow script detected" in server.log(), "it is busy")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_script_that_does_not_end_is_ended_whoever_asks(start_server, workers):
    server = start_server("--busy-reply-threshold", 50, "--io-threads", workers)
    with server.raw() as before, server.raw() as second:
        before.call("SET", "k", "v")
        second.call("GET", "k")
        endless = "while true do pcall(function() while true do end end) end"
        thread, answers = begin(server, "EVAL", endless, 0)
        is_busy(server)
        for c in (before, second):
            assert c.call("GET", "k") == BUSY
            assert c.call("PING") == BUSY
            assert c.call("FUNCTION", "KILL") == BUSY
        assert before.call("SCRIPT", "KILL") == OK
        thread.join()
        assert answers[0].startswith("ERR Script killed by user with SCRIPT KILL.")
        for c in (before, second):
            assert c.call("GET", "k") == b"v"
            assert c.call("SCRIPT", "KILL") == "NOTBUSY No scripts in execution right now."
        assert before.call("EVAL", "return 1", 0) == 1


def test_a_function_that_does_not_end_is_seen_and_ended(start_server):
    server = start_server("--busy-reply-threshold", 50)
    busy = BUSY.replace("SCRIPT KILL", "FUNCTION KILL")
    with server.raw() as c:
        c.call("FUNCTION", "LOAD", LIBRARY)
        thread, answers = begin(server, "FCALL", "forever", 0, "arg")
        is_busy(server)
        name, command = c.call("FUNCTION", "STATS")[1][1:4:2]
        assert (name, command) == (b"forever", [b"FCALL", b"forever", b"0", b"arg"])
        assert c.call("SCRIPT", "KILL") == busy
        c.says("FUNCTION KILL", OK)
        thread.join()
        assert answers[0].startswith("ERR Script killed by user with FUNCTION KILL.")


def test_a_script_that_has_written_ends_with_the_server_alone(start_server):
    server = start_server("--busy-reply-threshold", 50, "--save", "")
    with server.raw() as c:
        c.call("PING")
        thread, answers = begin(server, "EVAL", "redis.call('set', 'k', 'w') while true do end", 0)
        is_busy(server)
        assert c.call("SCRIPT", "KILL").startswith("UNKILLABLE Sorry the script already executed write commands")
        assert c.call("SHUTDOWN", "SAVE") == BUSY
        c.send(b"SHUTDOWN NOSAVE\r\n")
        thread.join()
        assert answers
    server.process.wait(30)


def test_who_has_not_said_the_password_ends_no_script(start_server):
    server = start_server("--busy-reply-threshold", 50, "--io-threads", 1)
    with server.raw() as c, server.raw() as stranger:
        c.call("CONFIG", "SET", "requirepass", "secret")
        stranger.call("RESET")
        assert c.call("AUTH", "secret") == OK
        answers = []

        def run():
            with server.raw() as own:
                own.call("AUTH", "secret")
                answers.append(own.call("EVAL", "while true do end", 0))
        thread = threading.Thread(target=run)
        thread.start()
        is_busy(server)
        assert c.call("GET", "k") == BUSY
        assert stranger.call("SCRIPT", "KILL") == "NOAUTH Authentication required."
        assert stranger.call("SHUTDOWN", "NOSAVE") == "NOAUTH Authentication required."
        assert c.call("GET", "k") == BUSY
        assert c.call("SCRIPT", "KILL") == OK
        thread.join()


def test_monitors_see_a_script_before_what_it_does(server):
    with server.raw() as watcher, server.raw() as c:
        c.call("DEL", "k")
        watcher.says("MONITOR", OK)
        c.call("EVAL", "return redis.call('set', KEYS[1], 'v')", 1, "k")
        first, second = (watcher.read_value() for _ in range(2))
        assert '"EVAL"' in first and ' lua] "set" "k" "v"' in second
