"""Connections: greeting, authentication, names, reply modes, lists of clients, killing and pausing them."""

import re

import pytest
import redis

from harness import eventually
from resp import NIL, NOT_INT, OK, QUEUED, SYNTAX, Err, Map, Set, Simple, Verbatim, arity, encode_reply

DEBUG = ("--enable-debug-command", "yes")
NOAUTH = Err("NOAUTH Authentication required.")
WRONGPASS = Err("WRONGPASS invalid username-password pair or user is disabled.")
BAD_NAME = Err("ERR Client names cannot contain spaces, newlines or special characters.")
CLIENT_FIELDS = ("id addr laddr fd name age idle flags capa db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll "
                 "omem tot-mem events cmd user redir resp lib-name lib-ver tot-net-in tot-net-out tot-cmds").split()


def fields(line):
    return dict(word.split("=", 1) for word in line.decode().split())


def info(client):
    return fields(client.call("CLIENT", "INFO"))


def listed(client, *options):
    return [fields(line) for line in client.call("CLIENT", "LIST", *options).splitlines()]


# PING, ECHO, QUIT, RESET


def test_ping_and_echo(client):
    client.says("PING", Simple("PONG"))
    client.says("ping hello", "hello")
    client.says("PING ''", "")
    client.says("ECHO hello", "hello")
    client.says(("ECHO", b"\0\r\n\xff"), b"\0\r\n\xff")
    client.says("PING a b", arity("ping"))
    client.says("ECHO", arity("echo"))


def test_quit_replies_and_closes(server):
    for line in ("QUIT", "QUIT x"):
        with server.raw() as c:
            c.says(line, OK)
            assert c.read_to_end() == b""


def test_what_follows_quit_is_not_run(server, client):
    with server.raw() as c:
        c.send(b"SET a 1\r\nQUIT\r\nSET a 2\r\n")
        assert c.read_to_end() == b"+OK\r\n+OK\r\n"
    client.says("GET a", "1")


def test_reset_brings_back_a_fresh_connection(client):
    client.hello(3)
    client.says("SELECT 3", OK)
    client.says("CLIENT SETNAME me", OK)
    client.says("CLIENT NO-EVICT on", OK)
    client.says("CLIENT NO-TOUCH on", OK)
    client.says("WATCH k", OK)
    client.says("RESET", Simple("RESET"))
    client.protocol = 2
    client.says("GET k", NIL)
    client.says("CLIENT GETNAME", NIL)
    me = info(client)
    assert (me["resp"], me["db"], me["flags"], me["watch"]) == ("2", "0", "N", "0")


def test_unknown_commands_are_named_with_their_arguments(client):
    client.says("foo", Err("ERR unknown command 'foo', with args beginning with: "))
    client.says("foo bar 'baz quux'", Err("ERR unknown command 'foo', with args beginning with: 'bar' 'baz quux' "))
    client.says(("fo\r\no", "a\nb"), Err("ERR unknown command 'fo  o', with args beginning with: 'a b' "))
    client.says(("x" * 200, "y"), Err(f"ERR unknown command '{'x' * 128}', with args beginning with: 'y' "))
    client.says(("foo", "y" * 200, "z"), Err(f"ERR unknown command 'foo', with args beginning with: '{'y' * 128}' "))
    client.says(("foo", *["12345678"] * 30), Err("ERR unknown command 'foo', with args beginning with: " + "'12345678' " * 11 + "'1234567' "))
    client.says(("", "a"), Err("ERR unknown command '', with args beginning with: 'a' "))
    client.says("CLIENT foo", Err("ERR unknown subcommand 'foo'. Try CLIENT HELP."))
    client.says("PING|x", Err("ERR unknown command 'PING|x', with args beginning with: "))


# HELLO


@pytest.mark.parametrize("line,protocol", [("HELLO", 2), ("HELLO 2", 2), ("HELLO 3", 3), ("hello 3 setname joe", 3)])
def test_hello_describes_the_server_in_the_chosen_protocol(client, line, protocol):
    client.protocol = protocol
    reply = client.call(*line.split())
    if protocol == 2:
        assert type(reply) is list
        reply = dict(zip(reply[::2], reply[1::2]))
    else:
        assert isinstance(reply, Map)
    assert list(reply) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert reply[b"proto"] == protocol
    assert reply[b"id"] == client.call("CLIENT", "ID")
    assert (reply[b"mode"], reply[b"role"]) == (b"standalone", b"master")
    assert re.fullmatch(rb"\d+\.\d+\.\d+", reply[b"version"])
    assert isinstance(reply[b"modules"], list)
    client.says("GET missing", NIL)
    client.says("CLIENT GETNAME", "joe" if "joe" in line else NIL)


def test_hello_can_go_back_to_resp2(client):
    client.hello(3)
    client.hello(2)
    client.says("GET k", NIL)
    assert client.raw("GET", "k") == b"$-1\r\n"


@pytest.mark.parametrize("line,error", [
    ("HELLO 1", "NOPROTO unsupported protocol version"),
    ("HELLO 4", "NOPROTO unsupported protocol version"),
    ("HELLO -3", "NOPROTO unsupported protocol version"),
    ("HELLO x", "ERR Protocol version is not an integer or out of range"),
    ("HELLO 3.0", "ERR Protocol version is not an integer or out of range"),
    ("HELLO 3 foo", "ERR Syntax error in HELLO option 'foo'"),
    ("HELLO 3 AUTH", "ERR Syntax error in HELLO option 'AUTH'"),
    ("HELLO 3 AUTH a", "ERR Syntax error in HELLO option 'AUTH'"),
    ("HELLO 3 SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"),
    ("HELLO 3 SETNAME 'a b'", "ERR Client names cannot contain spaces, newlines or special characters."),
    ("HELLO 3 AUTH nobody x", "WRONGPASS invalid username-password pair or user is disabled."),
    ("HELLO AUTH default x", "ERR Protocol version is not an integer or out of range"),
])
def test_hello_refuses_and_changes_nothing(client, line, error):
    client.says(line, Err(error))
    client.says("GET k", NIL)
    client.says("CLIENT GETNAME", NIL)


def test_resp3_types(client3):
    for name, reply in [("string", "Hello World"), ("integer", 12345), ("double", b",3.141\r\n"), ("null", NIL), ("array", [0, 1, 2]),
                        ("set", Set([0, 1, 2])), ("map", Map({0: False, 1: True, 2: False})), ("true", True), ("false", False),
                        ("verbatim", Verbatim(b"This is a verbatim\nstring")), ("bignum", b"(1234567999999999999999999999999999999\r\n")]:
        if isinstance(reply, bytes) and not isinstance(reply, Verbatim):
            assert client3.raw("DEBUG", "PROTOCOL", name) == reply
        else:
            client3.says(f"DEBUG PROTOCOL {name}", reply)


def test_resp3_types_as_a_resp2_client_sees_them(client):
    for name, reply in [("double", "3.141"), ("null", NIL), ("set", [0, 1, 2]), ("map", [0, 0, 1, 1, 2, 0]), ("true", 1), ("false", 0),
                        ("verbatim", "This is a verbatim\nstring"), ("bignum", "1234567999999999999999999999999999999")]:
        client.says(f"DEBUG PROTOCOL {name}", reply)


# AUTH and requirepass


def test_without_a_password_auth_of_the_default_user(client):
    client.says("AUTH x", Err("ERR AUTH <password> called without any password configured for the default user. "
                              "Are you sure your configuration is correct?"))
    client.says("AUTH default anything", OK)
    client.says("AUTH nobody x", WRONGPASS)
    client.says("AUTH", arity("auth"))
    client.says("AUTH a b c", SYNTAX)


def test_requirepass_guards_everything_but_the_greeting(start_server):
    s = start_server("--requirepass", "secret")
    with s.raw() as c:
        for line in ("PING", "GET", "GET k", "SET k v", "FLUSHALL", "INFO", "foo", "MULTI", "CLIENT ID", "COMMAND", "SHUTDOWN"):
            c.says(line, NOAUTH)
        for line in ("HELLO", "HELLO 3"):
            c.says(line, Err("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
                             "<pass> option can be used to authenticate the client and select the RESP protocol version at the same time"))
        c.says("AUTH wrong", WRONGPASS)
        c.says("AUTH default wrong", WRONGPASS)
        c.says("AUTH nobody secret", WRONGPASS)
        c.says("HELLO 3 AUTH default wrong", WRONGPASS)
        c.says("PING", NOAUTH)
        c.says("AUTH secret", OK)
        c.says("PING", Simple("PONG"))
        c.says("AUTH wrong", WRONGPASS)
        c.says("PING", Simple("PONG"))
        c.says("RESET", Simple("RESET"))
        c.says("PING", NOAUTH)
        assert isinstance(c.call("HELLO", "3", "AUTH", "default", "secret", "SETNAME", "me"), Map)
        c.protocol = 3
        c.says("CLIENT GETNAME", "me")
    with s.raw() as c:
        c.says("QUIT", OK)


def test_requirepass_can_change_while_running(start_server):
    s = start_server()
    with s.raw() as c, s.raw() as before:
        c.says("CONFIG SET requirepass secret", OK)
        c.says("CONFIG GET requirepass", ["requirepass", "secret"])
        c.says("PING", Simple("PONG"))
        before.says("PING", Simple("PONG"))
        with s.raw() as late:
            late.says("PING", NOAUTH)
            late.says("AUTH secret", OK)
        c.says("CONFIG SET requirepass ''", OK)
        with s.raw() as late:
            late.says("PING", Simple("PONG"))


def test_before_authentication_a_client_cannot_send_much(start_server):
    s = start_server("--requirepass", "secret")
    with s.raw() as c:
        c.send(b"*11\r\n")
        assert c.read_to_end() == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    with s.raw() as c:
        c.send(b"*2\r\n$4\r\nAUTH\r\n$16385\r\n")
        assert c.read_to_end() == b"-ERR Protocol error: unauthenticated bulk length\r\n"
    with s.raw() as c:
        c.send(b"*2\r\n$4\r\nAUTH\r\n$16384\r\n" + b"x" * 16384 + b"\r\n")
        assert c.read_raw() == b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


def test_a_pipeline_that_begins_with_auth_runs_whole(start_server):
    s = start_server("--requirepass", "secret")
    with s.raw() as c:
        replies = c.pipeline(["AUTH secret", ("SET", "k", "x" * 100_000), "STRLEN k", ("MGET", *"abcdefghijklmn")])
        assert replies[:3] == [b"+OK\r\n", b"+OK\r\n", b":100000\r\n"]


def test_redis_py_with_a_password(start_server):
    s = start_server("--requirepass", "secret")
    assert s.redis(password="secret").ping() is True
    with pytest.raises(redis.AuthenticationError):
        s.redis().ping()
    with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
        s.redis(password="wrong").ping()


# CLIENT


def test_client_ids_grow(server):
    with server.raw() as a, server.raw() as b:
        assert a.call("CLIENT", "ID") < b.call("CLIENT", "ID")


def test_client_names(client):
    client.says("CLIENT GETNAME", NIL)
    client.says("CLIENT SETNAME joe", OK)
    client.says("CLIENT GETNAME", "joe")
    for name in ("a b", "a\n", "a\x7f", "\t", "é"):
        client.says(("CLIENT", "SETNAME", name), BAD_NAME)
    client.says("CLIENT GETNAME", "joe")
    client.says("CLIENT SETNAME ''", OK)
    client.says("CLIENT GETNAME", NIL)


def test_client_library_names(client):
    client.says("CLIENT SETINFO lib-name redis-py", OK)
    client.says("CLIENT SETINFO LIB-VER 4.3", OK)
    me = info(client)
    assert (me["lib-name"], me["lib-ver"]) == ("redis-py", "4.3")
    client.says("CLIENT SETINFO foo x", Err("ERR Unrecognized option 'foo'"))
    client.says("CLIENT SETINFO lib-name 'a b'", Err("ERR lib-name cannot contain spaces, newlines or special characters."))
    client.says("CLIENT SETINFO lib-ver 'a b'", Err("ERR lib-ver cannot contain spaces, newlines or special characters."))
    client.says("CLIENT SETINFO lib-name ''", OK)
    assert info(client)["lib-name"] == ""


def test_client_info_has_every_field_in_order(client):
    client.says("SELECT 5", OK)
    client.says("CLIENT SETNAME joe", OK)
    line = client.call("CLIENT", "INFO")
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    me = fields(line)
    assert list(me) == CLIENT_FIELDS
    host, port = client.socket.getsockname()
    assert me["addr"] == f"{host}:{port}"
    assert me["laddr"] == "%s:%d" % client.socket.getpeername()
    assert (me["name"], me["db"], me["flags"], me["cmd"], me["user"], me["resp"], me["multi"], me["redir"], me["events"]) == (
        "joe", "5", "N", "client|info", "default", "2", "-1", "-1", "r")
    assert me["id"] == str(client.call("CLIENT", "ID"))
    for number in ("fd", "age", "idle", "sub", "watch", "qbuf", "obl", "oll", "omem", "tot-mem", "tot-net-in", "tot-net-out", "tot-cmds"):
        assert me[number].isdigit(), number


def test_client_info_is_verbatim_in_resp3(client3):
    assert isinstance(client3.call("CLIENT", "INFO"), Verbatim)
    assert isinstance(client3.call("CLIENT", "LIST"), Verbatim)
    assert fields(client3.call("CLIENT", "INFO"))["resp"] == "3"


def test_client_list_shows_what_each_client_is_in(client, other):
    other.says("WATCH a b", OK)
    other.says("MULTI", OK)
    other.says("PING", QUEUED)
    number = str(info(client)["id"])
    others = [c for c in listed(client) if c["id"] != number and c["watch"] == "2"]
    assert len(others) == 1 and others[0]["flags"] == "x" and others[0]["multi"] == "1" and others[0]["cmd"] == "ping"
    other.says("DISCARD", OK)


def test_client_list_filters(client, other):
    mine, its = client.call("CLIENT", "ID"), other.call("CLIENT", "ID")
    other.says("CLIENT SETNAME its", OK)
    ids = [c["id"] for c in listed(client, "ID", mine, its, 999999)]
    assert sorted(ids) == sorted([str(mine), str(its)])
    assert {c["id"] for c in listed(client, "TYPE", "normal")} >= {str(mine), str(its)}
    for kind in ("replica", "slave", "pubsub", "master", "primary"):
        client.says(f"CLIENT LIST TYPE {kind}", "")
    assert [c["id"] for c in listed(client, "NAME", "its")] == [str(its)]
    assert [c["id"] for c in listed(client, "ADDR", "%s:%d" % other.socket.getsockname())] == [str(its)]
    client.says("CLIENT LIST TYPE foo", Err("ERR Unknown client type 'foo'"))
    client.says("CLIENT LIST foo", SYNTAX)
    client.says("CLIENT LIST ID x", SYNTAX)
    client.says("CLIENT LIST ID 0", Err("ERR client-id should be greater than 0"))
    client.says("CLIENT LIST TYPE", SYNTAX)


def test_client_kill_by_id_address_and_name(server, client):
    for options in (lambda v: ("ID", v.call("CLIENT", "ID")), lambda v: ("ADDR", "%s:%d" % v.socket.getsockname()),
                    lambda v: (v.says("CLIENT SETNAME victim", OK), ("NAME", "victim"))[1]):
        with server.raw() as victim:
            victim.says("PING", Simple("PONG"))
            client.says(("CLIENT", "KILL", *options(victim)), 1)
            assert victim.read_to_end() == b""
    with server.raw() as victim:
        victim.says("PING", Simple("PONG"))
        client.says("CLIENT KILL %s:%d" % victim.socket.getsockname(), OK)
        assert victim.read_to_end() == b""


def test_client_kill_skips_itself_unless_told_otherwise(server, client):
    me = client.call("CLIENT", "ID")
    client.says(f"CLIENT KILL ID {me}", 0)
    client.says(f"CLIENT KILL ID {me} SKIPME yes", 0)
    client.says(f"CLIENT KILL ID {me} SKIPME no", 1)
    assert client.read_to_end() == b""
    with server.raw() as c:
        c.says("PING", Simple("PONG"))
        c.says("CLIENT KILL %s:%d" % c.socket.getsockname(), OK)
        assert c.read_to_end() == b""


@pytest.mark.parametrize("line,error", [
    ("CLIENT KILL", "ERR wrong number of arguments for 'client|kill' command"),
    ("CLIENT KILL 1.2.3.4:5", "ERR No such client"),
    ("CLIENT KILL ID 0", "ERR client-id should be greater than 0"),
    ("CLIENT KILL ID x", "ERR syntax error"),
    ("CLIENT KILL TYPE foo", "ERR Unknown client type 'foo'"),
    ("CLIENT KILL USER nobody", "ERR No such user 'nobody'"),
    ("CLIENT KILL SKIPME maybe", "ERR syntax error"),
    ("CLIENT KILL ID 1 foo", "ERR syntax error"),
    ("CLIENT KILL MAXAGE x", "ERR maxage is not an integer or out of range"),
    ("CLIENT KILL MAXAGE 0", "ERR maxage should be greater than 0"),
])
def test_client_kill_refuses(client, line, error):
    client.says(line, Err(error))


def test_client_kill_that_finds_nobody(client):
    client.says("CLIENT KILL ADDR 1.2.3.4:5", 0)
    client.says("CLIENT KILL ID 99999999", 0)
    client.says("CLIENT KILL TYPE pubsub", 0)
    client.says("CLIENT KILL MAXAGE 100000", 0)


def test_client_reply_modes(client):
    client.send(b"CLIENT REPLY OFF\r\nPING\r\nSET a 1\r\nfoo\r\nCLIENT REPLY ON\r\nPING\r\n")
    assert client.read_raw() == b"+OK\r\n"
    assert client.read_raw() == b"+PONG\r\n"
    client.says("GET a", "1")
    client.send(b"CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n")
    assert client.read_raw() == b"$1\r\n2\r\n"
    client.says("CLIENT REPLY foo", SYNTAX)
    client.says("CLIENT REPLY", arity("client|reply"))


def test_client_no_evict_and_no_touch(client):
    client.says("CLIENT NO-EVICT on", OK)
    client.says("CLIENT NO-TOUCH ON", OK)
    assert set(info(client)["flags"]) == {"e", "T"}
    client.says("CLIENT NO-EVICT off", OK)
    client.says("CLIENT NO-TOUCH off", OK)
    assert info(client)["flags"] == "N"
    client.says("CLIENT NO-EVICT x", SYNTAX)
    client.says("CLIENT NO-TOUCH x", SYNTAX)


def test_client_capa_is_kept_and_shown(client):
    client.says("CLIENT CAPA redirect unheard-of", OK)
    assert info(client)["capa"] == "r"
    client.says("CLIENT CAPA", arity("client|capa"))


def test_client_without_a_subcommand_and_its_help(client):
    client.says("CLIENT", arity("client"))
    client.says("CLIENT GETNAME x", arity("client|getname"))
    assert client.call("CLIENT", "HELP")[0] == "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"


def test_a_closed_connection_leaves_the_list(server, client):
    c = server.raw()
    number = c.call("CLIENT", "ID")
    c.close()
    eventually(lambda: not listed(client, "ID", number), "the closed client leaves the list")


def test_memory_for_replies_follows_what_a_client_asks_for(start_server):
    server = start_server(*DEBUG)
    with server.raw() as control, server.raw() as c:
        c.says("CLIENT SETNAME asking", OK)
        control.call("RPUSH", "few", *(["x" * 90] * 100))
        control.call("RPUSH", "many", *(["x" * 90] * 2000))

        def shown():
            return next(line for line in listed(control) if line["name"] == "asking")

        def figures():
            return {name: int(shown()[name]) for name in ("rbs", "rbp", "obl", "oll", "omem")}

        assert figures() == {"rbs": 1024, "rbp": 5, "obl": 0, "oll": 0, "omem": 0}
        few = len(encode_reply(c.call("LRANGE", "few", 0, -1)))
        now = figures()
        assert few <= now["rbp"] <= now["rbs"] <= 16384
        for _ in range(3):
            assert len(c.call("LRANGE", "many", 0, -1)) == 2000
            assert figures()["rbs"] == 16384, "the rest is not its own"
        grown = dict(line.split(":") for line in control.call("INFO", "stats").decode().split() if ":" in line)
        assert int(grown["reply_buffer_expands"]) >= 1
        control.says("DEBUG REPLYBUFFER PEAK-RESET-TIME 50", OK)
        eventually(lambda: figures()["rbs"] <= 1024, "less is enough")
        control.says("DEBUG REPLYBUFFER PEAK-RESET-TIME RESET", OK)
        eventually(lambda: figures()["rbs"] == 0, "an idle client has none", 20)
        c.says("PING", Simple("PONG"))
        assert figures()["rbs"] == 1024
        # Replies that nobody reads.
        for _ in range(300):
            c.send(b"LRANGE many 0 -1\r\n")
        eventually(lambda: figures()["oll"] == 1, "they pile up")
        now = figures()
        assert now["omem"] > 100_000 and now["obl"] == 0 and int(shown()["tot-mem"]) > now["omem"] + now["rbs"]
        for _ in range(300):
            c.read_value()
        eventually(lambda: figures()["omem"] == 0 and figures()["oll"] == 0, "they are all read")
