"""Client-side caching against writers that race with its reads: no read is stale without a word."""

import random
import threading

import pytest

from harness import Server
from resp import OK, Push, to_bytes

KEYS = [b"key:%d" % n for n in range(12)]
ROUNDS = 1_500


@pytest.fixture(scope="module")
def server():
    s = Server("--io-threads", 4)
    yield s
    s.stop()


def plain(value):
    return value if value is None else to_bytes(value)


class Cache:
    """What a connection has read, in the order in which replies and invalidations come."""

    def __init__(self, server, *options):
        self.c = server.raw(3)
        assert self.c.call("CLIENT", "TRACKING", "ON", *options) == OK
        self.kept = {}
        self.told = 0

    def reply(self):
        """The next reply; what comes before it is heeded."""
        while isinstance(value := self.c.read_value(), Push):
            self.told += 1
            for key in value[1] if value[1] is not None else list(self.kept):
                self.kept.pop(to_bytes(key), None)
        return value

    def read(self, *keys):
        self.c.send_command("MGET", *keys)
        self.kept.update(zip(keys, map(plain, self.reply())))

    def settle(self):
        self.c.send_command("PING", "settled")
        assert to_bytes(self.reply()) == b"settled"


def write(server, seed):
    rng = random.Random(seed)
    with server.redis() as r:
        for n in range(ROUNDS):
            a, b = rng.sample(KEYS, 2)
            kind = rng.randrange(7)
            if kind == 0:
                r.unlink(a)
            elif kind == 1:
                r.set(a, n, px=rng.randint(1, 30))
            elif kind == 2:
                r.mset({a: n, b: n + 1})
            elif kind == 3:
                r.copy(a, b, replace=True)
            elif kind == 4:
                with r.pipeline(transaction=True) as pipe:
                    pipe.append(a, "x").getrange(a, 0, 10).expire(b, 100).execute()
            elif n % 100 == 0:
                r.flushdb()
            else:
                r.set(a, f"{seed}-{n}")


@pytest.mark.parametrize("options", [(), ("BCAST",), ("BCAST", "PREFIX", "key:")])
def test_nothing_that_is_kept_is_stale_when_the_writers_are_done(server, options):
    cache = Cache(server, *options)
    writers = [threading.Thread(target=write, args=(server, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    rng = random.Random(7)
    while any(writer.is_alive() for writer in writers):
        cache.read(*rng.sample(KEYS, 3))
    with server.redis() as r:
        # What has a time to live goes now, not while the two are compared.
        for key in KEYS:
            r.persist(key)
        cache.settle()
        held = dict(zip(KEYS, r.mget(KEYS)))
    cache.settle()
    assert cache.told > 0
    assert cache.kept == {key: held[key] for key in cache.kept}
    cache.c.close()
