"""Sockets: pipelines, inline commands, addresses, limits on clients and on their buffers."""

import os
import re
import shutil
import stat
import subprocess
import threading

import pytest

from harness import eventually, free_port
from resp import OK, Closed, Raw, Simple, encode


def field(client, section, name):
    for line in client.call("INFO", section).decode().split("\r\n"):
        if line.startswith(name + ":"):
            return line.split(":", 1)[1]
    raise AssertionError(f"no {name} in INFO {section}")


def send_from_a_thread(client, data):
    thread = threading.Thread(target=client.send, args=(data,), daemon=True)
    thread.start()
    return thread


# Pipelines


@pytest.mark.parametrize("depth", [1, 2, 16, 1000, 100_000])
def test_a_pipeline_of_any_depth_is_answered_in_order(client, depth):
    thread = send_from_a_thread(client, b"".join(encode("SET", f"k{i}", i) + encode("GET", f"k{i}") for i in range(depth)))
    for i in range(depth):
        value = b"%d" % i
        expected = b"+OK\r\n$%d\r\n%s\r\n" % (len(value), value)
        assert client.read_exactly(len(expected)) == expected
    thread.join()
    client.says("PING", Simple("PONG"))


def test_a_hundred_thousand_commands_in_one_write(client):
    n = 100_000
    thread = send_from_a_thread(client, encode("INCR", "counter") * n)
    assert [client.read_value() for _ in range(n)] == list(range(1, n + 1))
    thread.join()


def test_replies_much_larger_than_any_socket_buffer(client):
    client.says(("SET", "k", "x" * 1_000_000), OK)
    thread = send_from_a_thread(client, encode("GET", "k") * 100)
    reply = b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n"
    for _ in range(100):
        assert client.read_exactly(len(reply)) == reply
    thread.join()


def test_a_command_that_arrives_byte_by_byte(client):
    for byte in encode("SET", "key", "value\r\n*1\r\n") + encode("GET", "key"):
        client.send(bytes([byte]))
    assert client.read_raw() == b"+OK\r\n"
    assert client.read_raw() == b"$11\r\nvalue\r\n*1\r\n\r\n"


def test_a_pipeline_cut_at_random_places(client, rng):
    data = b"".join(encode("ECHO", os.urandom(rng.randrange(200))) for _ in range(300))
    wanted, at = b"".join(part for part in _bulks(data)), 0
    while at < len(data):
        size = rng.randrange(1, 400)
        client.send(data[at:at + size])
        at += size
    assert client.read_exactly(len(wanted)) == wanted


def _bulks(data):
    """The last argument of each ECHO, as the bulk string that it will come back as."""
    at = 0
    while at < len(data):
        at += len(b"*2\r\n$4\r\nECHO\r\n")
        end = data.index(b"\r\n", at)
        stop = end + 2 + int(data[at + 1:end]) + 2
        yield data[at:stop]
        at = stop


def test_a_slow_pipeline_of_one_client_does_not_hold_another(client, other):
    client.send(b"*2\r\n$4\r\nECHO\r\n$1000\r\nxx")
    other.says("PING", Simple("PONG"))
    client.send(b"x" * 998 + b"\r\n")
    assert client.read_raw() == b"$1000\r\n" + b"x" * 1000 + b"\r\n"


# Inline commands


@pytest.mark.parametrize("line,reply", [
    (b"PING\r\n", b"+PONG\r\n"),
    (b"PING\n", b"+PONG\r\n"),
    (b"   PING   \r\n", b"+PONG\r\n"),
    (b"\r\n\n  \r\nPING\r\n", b"+PONG\r\n"),
    (b"ECHO hello\r\n", b"$5\r\nhello\r\n"),
    (b"ECHO\thello\r\n", b"$5\r\nhello\r\n"),
    (b'ECHO "hello world"\r\n', b"$11\r\nhello world\r\n"),
    (b"ECHO 'hello world'\r\n", b"$11\r\nhello world\r\n"),
    (b'ECHO "a\\x41\\n\\r\\t\\b\\a\\"\\\\\\q"\r\n', b'$10\r\naA\n\r\t\x08\x07"\\q\r\n'),
    (b"ECHO 'it\\'s \\n'\r\n", b"$7\r\nit's \\n\r\n"),
    (b'ECHO ""\r\n', b"$0\r\n\r\n"),
    (b"ECHO ''\r\n", b"$0\r\n\r\n"),
    (b'ECHO "a"b\r\n', b"$2\r\nab\r\n"),
    (b'ECHO a"b c"d\r\n', b"$5\r\nab cd\r\n"),
    (b"ECHO \"a\"'b'\r\n", b"$2\r\nab\r\n"),
    (b'ECHO "\\x4" \r\n', b"$2\r\nx4\r\n"),
    (b"ECHO \\x41\r\n", b"$4\r\n\\x41\r\n"),
    (b"ECHO a\x0bb\r\n", b"$3\r\na\x0bb\r\n"),
    (b"ECHO \x80\xfe\r\n", b"$2\r\n\x80\xfe\r\n"),
    (b"ECHO a\rb\r\n", b"-ERR wrong number of arguments for 'echo' command\r\n"),
])
def test_inline_commands(client, line, reply):
    client.send(line + b"PING end\r\n")
    assert client.read_raw() == reply
    assert client.read_raw() == b"$3\r\nend\r\n"


def test_inline_and_resp_commands_in_one_write(client):
    client.send(b"SET a 1\r\n" + encode("INCR", "a") + b"INCR a\n" + encode("GET", "a") + b"\r\nGET a\r\n")
    assert [client.read_raw() for _ in range(5)] == [b"+OK\r\n", b":2\r\n", b":3\r\n", b"$1\r\n3\r\n", b"$1\r\n3\r\n"]


def test_empty_and_negative_multibulks_are_skipped(client):
    client.send(b"*0\r\n*-1\r\n*-100\r\nPING\r\n")
    assert client.read_raw() == b"+PONG\r\n"


def test_http_requests_are_cut_off(server):
    for request in (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
        with server.raw() as c:
            c.send(request + b"SET stolen 1\r\n")
            c.read_to_end()
    with server.raw() as c:
        c.says("EXISTS stolen", 0)


# Addresses


def test_several_addresses_and_ipv6(start_server):
    s = start_server(bind="127.0.0.1 127.0.0.2 ::1")
    with s.raw() as c:
        c.says("SET a 1", OK)
    for host in ("127.0.0.2", "::1"):
        with Raw((host, s.port)) as c:
            c.says("GET a", "1")
            address = dict(w.split(b"=", 1) for w in c.call("CLIENT", "INFO").split())[b"laddr"].decode()
            assert address == (f"[::1]:{s.port}" if host == "::1" else f"{host}:{s.port}")
    with pytest.raises(ConnectionRefusedError):
        Raw(("127.0.0.3", s.port))


def test_an_optional_address_that_does_not_exist_is_no_fault(start_server):
    with start_server(bind="127.0.0.1 -203.0.113.1").raw() as c:
        c.says("PING", Simple("PONG"))


def test_a_unix_socket_with_its_permission(start_server, tmp_path):
    path = tmp_path / "larder.sock"
    s = start_server("--unixsocket", path, "--unixsocketperm", "707")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o707
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    with Raw(path) as c, s.raw() as tcp:
        c.says("SET a 1", OK)
        tcp.says("GET a", "1")
        line = c.call("CLIENT", "INFO").decode()
        assert f"{path}:0" in line.split()[1]
        assert "flags=U " in line
    s.stop()
    assert not path.exists(), "the socket's file goes with the server"


def test_only_a_unix_socket(start_server, tmp_path):
    path = tmp_path / "larder.sock"
    start_server("--unixsocket", path, port=0, wait=False)

    def answers():
        try:
            with Raw(path) as c:
                return c.raw("PING") == b"+PONG\r\n"
        except OSError:
            return False

    eventually(answers, "the socket answers")


def test_config_set_port_moves_the_listener(start_server):
    s = start_server()
    fresh = free_port()
    with s.raw() as old:
        old.says(f"CONFIG SET port {fresh}", OK)
        with Raw(("127.0.0.1", fresh)) as c:
            c.says("PING", Simple("PONG"))
        old.says("PING", Simple("PONG"))
    with pytest.raises(ConnectionRefusedError):
        Raw(("127.0.0.1", s.port))


def test_many_connections_at_once(server):
    clients = [server.raw() for _ in range(500)]
    try:
        for c in clients:
            c.send_command("PING")
        for c in clients:
            assert c.read_raw() == b"+PONG\r\n"
    finally:
        for c in clients:
            c.close()


# Limits


def test_maxclients_refuses_with_its_error_and_recovers(start_server):
    s = start_server("--maxclients", "5")
    clients = []

    def all_five():
        while len(clients) < 5:
            c = s.raw()
            c.send_command("PING")
            try:
                assert c.read_raw() == b"+PONG\r\n"
            except (Closed, ConnectionError, AssertionError):
                c.close()
                return False
            clients.append(c)
        return True

    eventually(all_five, "five clients fit")
    received = field(clients[0], "stats", "total_connections_received")
    for _ in range(3):
        with s.raw() as extra:
            assert extra.read_to_end() == b"-ERR max number of clients reached\r\n"
    assert int(field(clients[0], "stats", "rejected_connections")) >= 3
    assert field(clients[0], "stats", "total_connections_received") == received
    clients.pop().close()
    eventually(all_five, "a place became free")
    clients[0].says("CONFIG SET maxclients 6", OK)
    with s.raw() as sixth:
        sixth.says("PING", Simple("PONG"))
    for c in clients:
        c.close()


def test_timeout_closes_idle_clients_and_no_others(start_server):
    s = start_server("--timeout", "1")
    with s.raw() as idle, s.raw() as busy:
        idle.says("PING", Simple("PONG"))
        idle.socket.setblocking(False)

        def closed():
            busy.says("PING", Simple("PONG"))
            try:
                return idle.socket.recv(1) == b""
            except BlockingIOError:
                return False

        eventually(closed, "the idle client is closed")
        busy.says("PING", Simple("PONG"))


@pytest.mark.parametrize("line", ["SUBSCRIBE a", "PSUBSCRIBE a", "SSUBSCRIBE a", "MONITOR"])
def test_timeout_closes_no_client_that_listens(start_server, line):
    s = start_server("--timeout", "1")
    with s.raw() as listener, s.raw() as control:
        number = listener.call("CLIENT", "ID")
        listener.call(*line.split())

        def idle_s():
            shown = control.call("CLIENT", "LIST", "ID", number)
            assert shown, "closed"
            return int(re.search(rb" idle=(\d+)", shown).group(1))

        eventually(lambda: idle_s() > 2, "it has been silent for longer than others may be")


def test_a_client_that_does_not_read_is_dropped_at_the_hard_limit(start_server):
    s = start_server("--client-output-buffer-limit", "normal 1mb 0 0")
    with s.raw() as good, s.raw(receive_buffer=4096) as bad:
        good.says(("SET", "k", "x" * 100_000), OK)
        number = bad.call("CLIENT", "ID")
        try:
            bad.send(encode("GET", "k") * 500)
        except OSError:
            pass
        eventually(lambda: good.call("CLIENT", "LIST", "ID", number) == b"", "the client that does not read is dropped")
        good.says("PING", Simple("PONG"))
        assert int(field(good, "stats", "client_output_buffer_limit_disconnections")) == 1
        assert len(bad.read_to_end()) < 500 * 100_000
    with s.raw() as c:
        c.says("STRLEN k", 100_000)


def test_a_client_that_stays_over_the_soft_limit_is_dropped(start_server):
    s = start_server("--client-output-buffer-limit", "normal 0 100kb 1")
    with s.raw() as good, s.raw(receive_buffer=4096) as bad:
        good.says(("SET", "k", "x" * 100_000), OK)
        number = bad.call("CLIENT", "ID")
        bad.send(encode("GET", "k") * 200)

        def dropped():
            # The limit is looked at when something is written to the client, too.
            try:
                bad.send(encode("PING"))
            except OSError:
                pass
            return good.call("CLIENT", "LIST", "ID", number) == b""

        eventually(dropped, "the client over its soft limit is dropped")
        good.says("PING", Simple("PONG"))


def test_a_client_under_its_limits_may_read_late(start_server):
    s = start_server("--client-output-buffer-limit", "normal 100mb 0 0")
    with s.raw(receive_buffer=4096) as late, s.raw() as good:
        good.says(("SET", "k", "x" * 100_000), OK)
        late.send(encode("GET", "k") * 100 + encode("PING"))
        eventually(lambda: int(field(good, "stats", "total_commands_processed")) >= 100, "the commands ran")
        reply = b"$100000\r\n" + b"x" * 100_000 + b"\r\n"
        for _ in range(100):
            assert late.read_exactly(len(reply)) == reply
        assert late.read_raw() == b"+PONG\r\n"


def test_without_a_limit_replies_are_kept_until_read(client, other):
    other.says(("SET", "k", "x" * 100_000), OK)
    client.send(encode("GET", "k") * 300)
    other.says("PING", Simple("PONG"))
    reply = b"$100000\r\n" + b"x" * 100_000 + b"\r\n"
    for _ in range(300):
        assert client.read_exactly(len(reply)) == reply


def test_the_query_buffer_limit_drops_a_client(start_server):
    s = start_server("--client-query-buffer-limit", "1mb")
    with s.raw() as good, s.raw() as bad:
        bad.says(("SET", "k", "x" * 500_000), OK)
        try:
            bad.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5000000\r\n" + b"y" * 3_000_000)
        except OSError:
            pass
        assert bad.read_to_end() == b""
        good.says("STRLEN k", 500_000)
        eventually(lambda: int(field(good, "stats", "client_query_buffer_limit_disconnections")) == 1, "the drop is counted")


def test_config_set_changes_the_output_limit_of_living_clients(start_server):
    s = start_server()
    with s.raw() as good, s.raw(receive_buffer=4096) as bad:
        good.says(("SET", "k", "x" * 100_000), OK)
        number = bad.call("CLIENT", "ID")
        good.says(("CONFIG", "SET", "client-output-buffer-limit", "normal 200kb 0 0"), OK)
        try:
            bad.send(encode("GET", "k") * 500)
        except OSError:
            pass
        eventually(lambda: good.call("CLIENT", "LIST", "ID", number) == b"", "the client is dropped")


def test_a_reply_larger_than_the_limit_is_not_delivered(start_server):
    s = start_server("--client-output-buffer-limit", "normal 50kb 0 0")
    with s.raw() as c, s.raw() as good:
        good.says(("SET", "k", "x" * 10_000), OK)
        c.send_command("MGET", *["k"] * 2000)
        assert len(c.read_to_end()) < 2000 * 10_000
        good.says("STRLEN k", 10_000)


def test_tcp_keepalive_is_set_on_accepted_connections(client):
    client.says("CONFIG GET tcp-keepalive", ["tcp-keepalive", "300"])


def test_redis_cli_talks_to_it(server):
    cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
    if not cli:
        pytest.skip("no redis-cli")

    def run(*args, **options):
        return subprocess.run([cli, "-p", str(server.port), *args], capture_output=True, text=True, timeout=60, check=True, **options).stdout

    assert run("FLUSHALL") == "OK\n"
    assert run("SET", "k", "v") == "OK\n"
    assert run("-3", "GET", "k") == "v\n"
    assert run("--pipe", input="SET a 1\r\nSET b 2\r\n").splitlines()[-1] == "errors: 0, replies: 2"
    assert sorted(run("--scan").split()) == ["a", "b", "k"]
    assert "string" in run("--bigkeys")
