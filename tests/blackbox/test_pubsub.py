"""Publish and subscribe: what each client hears, in which order, over several workers."""

import threading

import pytest

from harness import eventually
from resp import NIL, OK, QUEUED, Err, Push, Simple, encode

WORKERS = 4


@pytest.fixture(scope="module")
def server():
    from harness import Server

    s = Server("--enable-debug-command", "yes", "--io-threads", WORKERS)
    yield s
    s.stop()


def count(server, name):
    with server.raw() as c:
        return c.call("PUBSUB", "NUMSUB", name)[1]


@pytest.mark.parametrize("protocol", [2, 3])
def test_subscriptions_are_confirmed_and_messages_come(server, protocol):
    with server.raw(protocol) as listener, server.raw() as publisher:
        listener.send_command("SUBSCRIBE", "a", "b", "a")
        listener.hears(Push(["subscribe", "a", 1]), Push(["subscribe", "b", 2]), Push(["subscribe", "a", 2]))
        listener.send_command("PSUBSCRIBE", "a*", "?")
        listener.hears(Push(["psubscribe", "a*", 3]), Push(["psubscribe", "?", 4]))
        publisher.says("PUBLISH a hello", 3)
        got = [listener.read_value() for _ in range(3)]
        assert sorted(got, key=len) and [b"message", b"a", b"hello"] in got
        assert [b"pmessage", b"a*", b"a", b"hello"] in got and [b"pmessage", b"?", b"a", b"hello"] in got
        assert all(isinstance(m, Push) == (protocol == 3) for m in got)
        listener.send_command("UNSUBSCRIBE", "a", "nothing")
        listener.hears(Push(["unsubscribe", "a", 3]), Push(["unsubscribe", "nothing", 3]))
        listener.send_command("PUNSUBSCRIBE")
        assert {listener.read_value()[1] for _ in range(2)} == {b"a*", b"?"}
        listener.send_command("UNSUBSCRIBE")
        listener.hears(Push(["unsubscribe", "b", 0]))
        listener.send_command("UNSUBSCRIBE")
        listener.hears(Push(["unsubscribe", NIL, 0]))
        listener.says("ECHO free", "free")
        publisher.says("PUBLISH a hello", 0)


def test_resp2_may_do_little_else_while_subscribed(server):
    with server.raw() as c:
        c.says("SUBSCRIBE a", Push(["subscribe", "a", 1]))
        for command, name in [("GET k", "get"), ("CLIENT ID", "client|id"), ("MULTI", "multi"), ("HELLO 3", "hello"), ("PUBLISH a b", "publish")]:
            c.says(command, Err(f"ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"))
        c.says("PING", ["pong", ""])
        c.says("PING x", ["pong", "x"])
        c.says("RESET", Simple("RESET"))
        c.says("PING", Simple("PONG"))
        c.says("SUBSCRIBE a", Push(["subscribe", "a", 1]))
        c.says("QUIT", OK)
        assert c.read_to_end() == b""


def test_what_it_publishes_to_itself_comes_behind_the_reply(server):
    with server.raw(3) as c:
        c.says("SUBSCRIBE mine", Push(["subscribe", "mine", 1]))
        message = Push(["message", "mine", "x"])
        c.send(encode("PUBLISH", "mine", "x") * 3 + encode("PING"))
        for _ in range(3):
            c.hears(1, message)
        c.hears(Simple("PONG"))
        c.says("MULTI", OK)
        c.says("PUBLISH mine x", QUEUED)
        c.says("PING", QUEUED)
        c.says("EXEC", [1, Simple("PONG")])
        c.hears(message)


def test_within_a_transaction(server):
    with server.raw() as c, server.raw() as other:
        c.says("MULTI", OK)
        c.says("SUBSCRIBE t", QUEUED)
        c.says("PSUBSCRIBE t*", QUEUED)
        c.says("EXEC", [Push(["subscribe", "t", 1]), Push(["psubscribe", "t*", 2])])
        other.says("PUBLISH t x", 2)
        c.hears(["message", "t", "x"], ["pmessage", "t*", "t", "x"])
        c.hears_nothing_else()


def test_each_publisher_is_heard_in_its_own_order_by_everybody(server):
    listeners = [server.raw(protocol) for protocol in (2, 3) * 8]
    publishers, messages = 4, 500
    for listener in listeners:
        listener.says("SUBSCRIBE order", Push(["subscribe", "order", 1]))

    def publish(n):
        with server.raw() as c:
            for i in range(0, messages, 20):
                c.send(b"".join(encode("PUBLISH", "order", f"{n}:{j}") for j in range(i, i + 20)))
                for _ in range(20):
                    assert c.read_value() == len(listeners)

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(publishers)]
    for t in threads:
        t.start()
    heard = []
    for listener in listeners:
        mine = []
        for _ in range(publishers * messages):
            kind, channel, text = listener.read_value()
            assert (kind, channel) == (b"message", b"order")
            mine.append(text)
        heard.append(mine)
    for t in threads:
        t.join()
    for mine in heard:
        for n in range(publishers):
            own = [int(text.split(b":")[1]) for text in mine if text.startswith(b"%d:" % n)]
            assert own == list(range(messages))
        # One channel has one order.
        assert mine == heard[0]
    for listener in listeners:
        listener.close()
    eventually(lambda: count(server, "order") == 0, "all have gone")


@pytest.mark.parametrize("protocol", [2, 3])
def test_who_comes_and_goes_hears_all_in_between_and_nothing_else(server, protocol):
    done = threading.Event()

    def publish():
        n = 0
        with server.raw() as c:
            while not done.is_set():
                c.send(b"".join(encode("PUBLISH", "churn", n + i) for i in range(10)))
                n += 10
                for _ in range(10):
                    c.read_value()

    def come_and_go():
        with server.raw(protocol) as c:
            for turn in range(40):
                c.says("SUBSCRIBE churn", Push(["subscribe", "churn", 1]))
                heard = [int(c.read_value()[2]) for _ in range(turn)]
                c.send_command("UNSUBSCRIBE", "churn")
                while True:
                    kind, _, what = c.read_value()
                    if kind == b"unsubscribe":
                        break
                    heard.append(int(what))
                assert heard == list(range(heard[0], heard[0] + len(heard))) if heard else True
                c.says("PING", Simple("PONG"))

    failures = []

    def run(work):
        try:
            work()
        except BaseException as e:
            failures.append(e)
            done.set()

    publisher = threading.Thread(target=run, args=(publish,))
    others = [threading.Thread(target=run, args=(come_and_go,)) for _ in range(6)]
    for t in [publisher, *others]:
        t.start()
    for t in others:
        t.join()
    done.set()
    publisher.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 20_000, 3_000_000])
def test_messages_of_any_size_arrive_whole(server, size):
    text = bytes(i % 251 for i in range(size))
    with server.raw(3) as one, server.raw() as two, server.raw() as publisher:
        for c in (one, two):
            c.says("SUBSCRIBE sizes", Push(["subscribe", "sizes", 1]))
        for _ in range(3):
            assert publisher.call("PUBLISH", "sizes", text) == 2
        for c in (one, two):
            c.hears(*[Push(["message", "sizes", text])] * 3)


def test_shard_channels(server):
    with server.raw(3) as c, server.raw() as publisher:
        c.send_command("SSUBSCRIBE", "s1", "s2")
        c.hears(Push(["ssubscribe", "s1", 1]), Push(["ssubscribe", "s2", 2]))
        c.says("SUBSCRIBE s1", Push(["subscribe", "s1", 1]))
        publisher.says("SPUBLISH s1 x", 1)
        publisher.says("PUBLISH s1 y", 1)
        c.hears(Push(["smessage", "s1", "x"]), Push(["message", "s1", "y"]))
        assert sorted(publisher.call("PUBSUB", "SHARDCHANNELS")) == [b"s1", b"s2"]
        publisher.says("PUBSUB SHARDCHANNELS *2", ["s2"])
        publisher.says("PUBSUB SHARDNUMSUB s1 s3", ["s1", 1, "s3", 0])
        publisher.says("PUBSUB SHARDNUMSUB", [])
        c.says("SUNSUBSCRIBE s1", Push(["sunsubscribe", "s1", 1]))
        c.says("SUNSUBSCRIBE", Push(["sunsubscribe", "s2", 0]))
        c.says("SUNSUBSCRIBE", Push(["sunsubscribe", NIL, 0]))


def test_who_listens_is_told_and_forgotten(server):
    with server.raw() as asker:
        with server.raw() as a, server.raw() as b:
            a.says("CLIENT SETNAME listener", OK)
            a.says("SUBSCRIBE c1", Push(["subscribe", "c1", 1]))
            b.says("SUBSCRIBE c1", Push(["subscribe", "c1", 1]))
            a.says("PSUBSCRIBE p*", Push(["psubscribe", "p*", 2]))
            b.says("PSUBSCRIBE p*", Push(["psubscribe", "p*", 2]))
            asker.says("PUBSUB CHANNELS", ["c1"])
            asker.says("PUBSUB CHANNELS x*", [])
            asker.says("PUBSUB NUMSUB c1 c2", ["c1", 2, "c2", 0])
            asker.says("PUBSUB NUMPAT", 1)
            asker.says("PUBSUB NUMPAT x", Err("ERR wrong number of arguments for 'pubsub|numpat' command"))
            asker.says("PUBSUB NONE", Err("ERR unknown subcommand 'NONE'. Try PUBSUB HELP."))
            listed = [line for line in asker.call("CLIENT", "LIST").split(b"\n") if b"name=listener" in line]
            assert b" flags=P " in listed[0] and b" sub=1 psub=1 ssub=0 " in listed[0]
            assert len(asker.call("CLIENT", "LIST", "TYPE", "pubsub").strip().split(b"\n")) == 2
            info = asker.call("INFO", "stats")
            assert b"pubsub_channels:1\r\npubsub_patterns:1\r\npubsubshard_channels:0\r\n" in info
            assert b"pubsub_clients:2\r\n" in asker.call("INFO", "clients")
        eventually(lambda: asker.call("PUBSUB", "NUMPAT") == 0, "they have gone")
        asker.says("PUBSUB CHANNELS", [])


def test_client_reply_off_keeps_no_message_back(server):
    with server.raw(3) as c, server.raw() as publisher:
        c.send_command("CLIENT", "REPLY", "OFF")
        c.send_command("SUBSCRIBE", "quiet")
        c.hears(Push(["subscribe", "quiet", 1]))
        publisher.says("PUBLISH quiet x", 1)
        c.hears(Push(["message", "quiet", "x"]))
        c.send_command("UNSUBSCRIBE", "quiet")
        c.hears(Push(["unsubscribe", "quiet", 0]))


def test_many_subscriptions_of_one_client(server):
    names = [f"many:{i}" for i in range(20_000)]
    with server.raw() as c, server.raw() as publisher:
        c.send_command("SUBSCRIBE", *names)
        for i, name in enumerate(names):
            assert c.read_value() == [b"subscribe", name.encode(), i + 1]
        publisher.says(f"PUBLISH {names[-1]} x", 1)
        c.hears(["message", names[-1], "x"])
        assert len(publisher.call("PUBSUB", "CHANNELS", "many:*")) == len(names)
    with server.raw() as publisher:
        eventually(lambda: publisher.call("PUBSUB", "CHANNELS", "many:*") == [], "all is forgotten")


def test_a_subscriber_that_does_not_read_is_dropped_by_its_own_limit(start_server):
    server = start_server("--client-output-buffer-limit", "pubsub 300000 0 0", "--io-threads", WORKERS)
    with server.raw(receive_buffer=4096) as slow, server.raw() as quick, server.raw() as publisher:
        for c in (slow, quick):
            c.says("SUBSCRIBE news", Push(["subscribe", "news", 1]))
        text = b"x" * 10_000
        for i in range(2000):
            if publisher.call("PUBLISH", "news", text) == 1:
                break
            quick.hears(["message", "news", text])
        else:
            raise AssertionError("never dropped")
        assert b"client_output_buffer_limit_disconnections:1\r\n" in publisher.call("INFO", "stats")
        assert server.resident_bytes() < 100e6
        publisher.says("PUBLISH news on", 1)


def test_a_subscriber_beyond_the_soft_limit_is_dropped_in_time(start_server):
    server = start_server("--client-output-buffer-limit", "pubsub 0 100000 1")
    with server.raw(receive_buffer=4096) as slow, server.raw() as publisher:
        slow.says("SUBSCRIBE news", Push(["subscribe", "news", 1]))
        text = b"x" * 100_000
        for _ in range(100):
            publisher.says(("PUBLISH", "news", text), 1)
        eventually(lambda: publisher.call("PUBSUB", "NUMSUB", "news")[1] == 0, "it is dropped", 10)


def test_a_library_listens(server):
    client = server.redis()
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("library")
    pubsub.psubscribe("lib*")
    eventually(lambda: count(server, "library") == 1, "it listens")
    client.publish("library", "hello")
    got = []
    eventually(lambda: [got.append(m) for m in [pubsub.get_message(timeout=1)] if m] and len(got) == 2, "two messages")
    assert {m["type"] for m in got} == {"message", "pmessage"}
    pubsub.close()


def test_a_crowd_hears_everything_while_others_are_served(server):
    crowd = [server.raw(protocol) for protocol in (2, 3) * 150]
    for c in crowd:
        c.says("SUBSCRIBE crowd", Push(["subscribe", "crowd", 1]))
    with server.raw() as publisher, server.raw() as other:
        for i in range(30):
            publisher.says(f"PUBLISH crowd {i}", len(crowd))
            other.says("PING", Simple("PONG"))
        for c in crowd:
            c.hears(*[Push(["message", "crowd", str(i)]) for i in range(30)])
            c.hears_nothing_else()
    for c in crowd:
        c.close()
