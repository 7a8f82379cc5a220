"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: the exact error rules, and atomicity."""

import pytest
import redis

from harness import eventually
from resp import NIL, NIL_ARRAY, NOT_INT, OK, QUEUED, Err, Simple, arity

ABORTED = Err("EXECABORT Transaction discarded because of previous errors.")


def test_multi_queues_and_exec_replies_in_order(client):
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    client.says("INCR a", QUEUED)
    client.says("GET missing", QUEUED)
    client.says("MGET a missing", QUEUED)
    client.says("EXEC", [OK, 2, NIL, ["2", NIL]])
    client.says("GET a", "2")


def test_an_empty_transaction_has_an_empty_reply(client):
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_nothing_runs_before_exec(client, other):
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    other.says("GET a", NIL)
    client.says("EXEC", [OK])
    other.says("GET a", "1")


def test_discard_forgets_the_queue_and_the_watches(client, other):
    client.says("WATCH a", OK)
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    client.says("DISCARD", OK)
    client.says("GET a", NIL)
    other.says("SET a 2", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_exec_and_discard_need_multi(client):
    client.says("EXEC", Err("ERR EXEC without MULTI"))
    client.says("DISCARD", Err("ERR DISCARD without MULTI"))


def test_a_failing_command_does_not_stop_the_others(client):
    client.says("SET s text", OK)
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    client.says("INCR s", QUEUED)
    client.says("SET b 2", QUEUED)
    client.says("EXEC", [OK, NOT_INT, OK])
    client.says("MGET a b", ["1", "2"])


@pytest.mark.parametrize("line,error", [
    ("SET a", arity("set")),
    ("GET", arity("get")),
    ("foo a", Err("ERR unknown command 'foo', with args beginning with: 'a' ")),
    ("CLIENT foo", Err("ERR unknown subcommand 'foo'. Try CLIENT HELP.")),
    ("MULTI", Err("ERR Command 'multi' not allowed inside a transaction")),
    ("WATCH a", Err("ERR Command 'watch' not allowed inside a transaction")),
    ("DISCARD x", arity("discard")),
])
def test_an_error_while_queueing_aborts_the_transaction(client, line, error):
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    client.says(line, error)
    client.says("SET b 2", QUEUED)
    client.says("EXEC", ABORTED)
    client.says("DBSIZE", 0)
    client.says("EXEC", Err("ERR EXEC without MULTI"))


def test_exec_with_arguments_aborts_with_its_own_reason(client):
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    client.says("EXEC x", Err("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"))
    client.says("EXEC", Err("ERR EXEC without MULTI"))
    client.says("EXISTS a", 0)


@pytest.mark.parametrize("line", ["MULTI x", "EXEC x y", "DISCARD x", "UNWATCH x", "WATCH"])
def test_arity_outside_of_a_transaction(client, line):
    name = line.split()[0].lower()
    if name == "exec":
        client.says(line, Err("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"))
    else:
        client.says(line, arity(name))


def test_commands_that_speak_at_once_inside_multi(client):
    client.says("MULTI", OK)
    client.says("RESET", Simple("RESET"))
    client.says("EXEC", Err("ERR EXEC without MULTI"))


def test_connection_commands_are_queued_too(client):
    number = client.call("CLIENT", "ID")
    client.says("MULTI", OK)
    for line in ("PING", "ECHO hi", "CLIENT ID", "SELECT 1", "SET a 1", "CLIENT SETNAME me", "CLIENT GETNAME", "UNWATCH"):
        client.says(line, QUEUED)
    client.says("EXEC", [Simple("PONG"), "hi", number, OK, OK, OK, "me", OK])
    client.says("GET a", "1")
    client.says("SELECT 0", OK)
    client.says("GET a", NIL)


def test_a_transaction_in_one_pipeline(client):
    replies = client.pipeline(["MULTI", "SET a 1", "INCRBY a 5", "EXEC", "GET a"])
    assert replies == [b"+OK\r\n", b"+QUEUED\r\n", b"+QUEUED\r\n", b"*2\r\n+OK\r\n:6\r\n", b"$1\r\n6\r\n"]


def test_a_transaction_of_many_commands(client):
    n = 20_000
    client.send(b"MULTI\r\n" + b"INCR a\r\n" * n + b"EXEC\r\n")
    assert client.read_raw() == b"+OK\r\n"
    for _ in range(n):
        assert client.read_raw() == b"+QUEUED\r\n"
    assert client.read_value() == list(range(1, n + 1))


# WATCH


@pytest.mark.parametrize("change", ["SET k 2", "SET k 1", "DEL k", "INCR k", "APPEND k x", "EXPIRE k 100", "PERSIST e", "RENAME k z", "RENAME e k",
                                    "FLUSHALL", "FLUSHDB", "MSET z 1 k 2", "GETEX k EX 100", "GETDEL k", "COPY e k REPLACE", "MOVE k 1",
                                    "SWAPDB 0 1", "SETRANGE k 0 9", "GETSET k 9", "EXPIRE k -1", "UNLINK k", "SET new 1"])
def test_a_change_to_a_watched_key_voids_the_transaction(client, other, change):
    client.says("SET k 1", OK)
    client.says("SET e 1 EX 1000", OK)
    client.says("WATCH k e new", OK)
    other.raw(*change.split())
    client.says("MULTI", OK)
    client.says("SET result 1", QUEUED)
    client.says("EXEC", NIL_ARRAY)
    client.says("EXISTS result", 0)


@pytest.mark.parametrize("no_change", ["GET k", "SET z 1", "DEL missing", "EXPIRE missing 10", "TTL k", "TOUCH k", "SET k 2 NX", "SETNX k 2",
                                       "PERSIST k", "EXPIRE k 10 XX", "GETEX k", "MSETNX z 1 k 2", "RENAMENX z k", "SET k 2 IFEQ nope",
                                       "DELIFEQ k nope", "INCRBY text 1", "SWAPDB 1 2", "GETEX k PERSIST", "COPY z k"])
def test_what_changes_nothing_lets_the_transaction_run(client, other, no_change):
    client.says("MSET k 1 text abc", OK)
    client.says("WATCH k text", OK)
    other.raw(*no_change.split())
    client.says("MULTI", OK)
    client.says("GET k", QUEUED)
    client.says("EXEC", ["1"])


def test_a_voided_exec_is_a_null_in_resp3(client3, other):
    client3.says("WATCH k", OK)
    other.says("SET k 1", OK)
    client3.says("MULTI", OK)
    assert client3.raw("EXEC") == b"_\r\n"


def test_watch_sees_changes_by_its_own_connection(client):
    client.says("WATCH k", OK)
    client.says("SET k 1", OK)
    client.says("MULTI", OK)
    client.says("EXEC", NIL_ARRAY)


def test_watch_sees_changes_made_while_queueing(client, other):
    client.says("WATCH k", OK)
    client.says("MULTI", OK)
    client.says("SET a 1", QUEUED)
    other.says("SET k 1", OK)
    client.says("EXEC", NIL_ARRAY)
    client.says("EXISTS a", 0)


def test_unwatch_and_exec_end_the_watch(client, other):
    client.says("WATCH k", OK)
    client.says("UNWATCH", OK)
    other.says("SET k 1", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])
    client.says("WATCH k", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])
    other.says("SET k 2", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_a_watch_that_fired_ends_with_its_exec(client, other):
    client.says("WATCH k", OK)
    other.says("SET k 1", OK)
    client.says("MULTI", OK)
    client.says("EXEC", NIL_ARRAY)
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_a_queueing_error_outranks_a_watch_that_fired(client, other):
    client.says("WATCH k", OK)
    other.says("SET k 1", OK)
    client.says("MULTI", OK)
    client.says("SET", arity("set"))
    client.says("EXEC", ABORTED)


def test_a_watched_key_that_expires_voids_the_transaction(client, other):
    client.says("SET k 1 PX 1000", OK)
    client.says("WATCH k", OK)
    eventually(lambda: other.call("EXISTS", "k") == 0, "k expires")
    client.says("MULTI", OK)
    client.says("EXEC", NIL_ARRAY)


def test_a_key_watched_in_one_database_is_not_that_of_another(client, other):
    client.says("WATCH k", OK)
    other.says("SELECT 1", OK)
    other.says("SET k 1", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_flushing_an_empty_database_does_not_fire_a_watch_of_a_missing_key(client, other):
    client.says("WATCH missing", OK)
    other.says("FLUSHALL", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_reset_ends_the_watch(client, other):
    client.says("WATCH k", OK)
    client.says("RESET", Simple("RESET"))
    other.says("SET k 1", OK)
    client.says("MULTI", OK)
    client.says("EXEC", [])


def test_redis_py_transactions(redis_client):
    r = redis_client
    with r.pipeline() as p:
        assert p.set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
        p.watch("a")
        r.set("a", 10)
        p.multi()
        p.set("a", 3)
        with pytest.raises(redis.WatchError):
            p.execute()
    assert r.transaction(lambda p: (p.multi(), p.incr("a")), "a") == [11]
