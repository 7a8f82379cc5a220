"""maxmemory-clients: who takes most is dropped until all together are within the limit."""

import re

import pytest

from harness import Server, eventually
from resp import OK, Closed, encode

LIMIT = 1_000_000


@pytest.fixture(scope="module", params=[1, 3])
def server(request):
    s = Server("--io-threads", request.param, "--loglevel", "notice")
    with s.raw() as c:
        c.says(f"CONFIG SET maxmemory-clients {LIMIT}", OK)
    yield s
    s.stop()


@pytest.fixture
def control(server):
    with server.raw() as c:
        c.says("CLIENT NO-EVICT ON", OK)
        c.says("FLUSHALL", OK)
        c.says("CONFIG RESETSTAT", OK)
        yield c


def field(control, name, what):
    """A field of a client's line; None where there is no such client."""
    found = re.search(rf" {what}=(\d+)", control.call("CLIENT", "LIST", "NAME", name).decode())
    return found and int(found.group(1))


def is_there(control, name):
    return field(control, name, "tot-mem") is not None


def evictions(control):
    return int(re.search(r"evicted_clients:(\d+)", control.call("INFO", "stats").decode()).group(1))


def named(server, name):
    c = server.raw()
    c.says(f"CLIENT SETNAME {name}", OK)
    return c


def hold(c, size):
    """Sends the beginning of a command, for which the server holds so much."""
    c.send(b"*2\r\n$%d\r\n" % size + b"x" * (size - 1))


def holding(server, control, name, size):
    c = named(server, name)
    hold(c, size)
    eventually(lambda: field(control, name, "tot-mem") >= size, "it is all there")
    return c


def test_half_a_command_that_is_too_large(server, control):
    with named(server, "half") as c:
        with pytest.raises((OSError, Closed)):
            hold(c, LIMIT)
            c.read_value()
    assert not is_there(control, "half")
    assert evictions(control) == 1
    assert "Evicting client: id=" in server.log()


def test_the_largest_goes_and_the_others_stay(server, control):
    with holding(server, control, "small", 100_000), holding(server, control, "middle", 300_000):
        with holding(server, control, "large", 500_000) as large:
            with named(server, "last") as last:
                hold(last, 200_000)
                with pytest.raises((OSError, Closed)):
                    large.read_value()
                assert [is_there(control, n) for n in ("small", "middle", "large", "last")] == [True, True, False, True]
    assert evictions(control) == 1


def test_replies_that_are_not_read(server, control):
    control.says(("SET", "blob", b"x" * 50_000), OK)
    with named(server, "mute") as c:
        with pytest.raises((OSError, Closed)):
            for _ in range(2000):
                c.send(encode("GET", "blob"))
            while c.read_value():
                pass
    assert not is_there(control, "mute")
    assert evictions(control) >= 1


@pytest.mark.parametrize("command", ["WATCH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"])
def test_names_that_are_kept(server, control, command):
    with named(server, "names") as c:
        with pytest.raises((OSError, Closed)):
            for i in range(10_000):
                c.call(command, f"{i:100}")
    assert evictions(control) == 1


def test_a_transaction_that_grows(server, control):
    with named(server, "multi") as c:
        c.says("MULTI", OK)
        with pytest.raises((OSError, Closed)):
            for _ in range(10):
                c.call("SET", "k", "x" * (LIMIT // 5))
    assert control.call("EXISTS", "k") == 0
    assert evictions(control) == 1


def test_mail_that_is_not_read(server, control):
    with named(server, "mail") as c:
        c.call("SUBSCRIBE", "news")
        for _ in range(2000):
            control.call("PUBLISH", "news", b"x" * 20_000)
            if not is_there(control, "mail"):
                break
        assert not is_there(control, "mail")
    assert evictions(control) == 1


def test_who_is_spared_stays_until_it_is_no_longer(server, control):
    with named(server, "spared") as c:
        c.says("CLIENT NO-EVICT ON", OK)
        hold(c, 3 * LIMIT)
        eventually(lambda: field(control, "spared", "tot-mem") > 3 * LIMIT, "it is all there")
        assert is_there(control, "spared")
        assert evictions(control) == 0
    # While it is there, it is the next client to come that would have to go.
    eventually(lambda: not is_there(control, "spared"), "it has gone")


def test_a_lower_limit_takes_effect_at_once(server, control):
    clients = [holding(server, control, f"c{i}", 90_000) for i in range(8)]
    try:
        control.says("CONFIG SET maxmemory-clients 400000", OK)
        left = [i for i in range(8) if is_there(control, f"c{i}")]
        assert 2 <= len(left) <= 4
        control.says("CONFIG SET maxmemory-clients 0", OK)
        with holding(server, control, "free", 3 * LIMIT):
            assert is_there(control, "free")
    finally:
        control.says(f"CONFIG SET maxmemory-clients {LIMIT}", OK)
        for c in clients:
            c.close()
