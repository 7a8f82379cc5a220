"""Client-side caching as redis-py does it, while writers race with its reads.

    cache_redis_py.py PORT [ROUNDS]

Every reader has a cache of its own. When the writers are done, each asks for
one thing that no cache answers; all that the server had to say before has come
then, and whatever it has kept must be what the server holds. It runs against
any server that speaks the protocol.
"""

import itertools
import random
import sys
import threading
import time

import redis
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

# The library turns servers down by their name and version, not by what they can do.
CacheProxyConnection.connect = lambda self: self._conn.connect()

PORT = int(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 600
KEYS = [f"key:{n}" for n in range(12)]
# Only ever set, to numbers that rise: what is read of them never goes back.
RISING = [f"rising:{n}" for n in range(3)]
WAIT_S = 60


def plain():
    return redis.Redis(port=PORT, protocol=2, decode_responses=True)


class Reader:
    """A client with a cache."""

    def __init__(self):
        self.r = redis.Redis(port=PORT, protocol=3, decode_responses=True, cache_config=CacheConfig())
        self.hits = 0
        self.highest = dict.fromkeys(RISING, 0)

    def kept(self):
        return self.r.get_cache().size

    def read_some(self, rng):
        for key in rng.sample(KEYS, 3):
            self.r.get(key)
        self.r.mget(rng.sample(KEYS, 2))
        for key in RISING:
            value = int(self.r.get(key) or 0)
            assert value >= self.highest[key], f"{key} was {self.highest[key]} and is {value} again"
            self.highest[key] = value

    def holds_what_is_there(self):
        """What it has kept, once all that was said before has come."""
        self.r.echo("settled")
        with plain() as direct:
            for key in KEYS + RISING:
                assert (seen := self.r.get(key)) == (there := direct.get(key)), f"{key} is {there}, not {seen}"
            for pair in zip(KEYS, KEYS[1:]):
                assert self.r.mget(pair) == direct.mget(pair), pair


def write(seed):
    rng = random.Random(seed)
    with plain() as r:
        for n in range(1, ROUNDS + 1):
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
            else:
                r.set(a, f"{seed}-{n}")
            r.set(RISING[seed], n)


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"


def writers_race_with_readers():
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(len(RISING))]
    failed = []

    def read(reader, seed):
        rng = random.Random(seed)
        try:
            while any(writer.is_alive() for writer in writers):
                reader.read_some(rng)
        except BaseException as e:
            failed.append(e)

    readers = [Reader() for _ in range(2)]
    threads = [threading.Thread(target=read, args=(reader, seed)) for seed, reader in enumerate(readers)]
    for thread in writers + threads:
        thread.start()
    for thread in writers + threads:
        thread.join()
    if failed:
        raise failed[0]
    with plain() as r:
        # What has a time to live stays from now on, so that both see the same.
        for key in KEYS:
            r.persist(key)
    for reader in readers:
        assert reader.kept() > 0
        reader.holds_what_is_there()
        # Once more: now all of it comes from the cache.
        reader.holds_what_is_there()


def fill(reader, direct, **options):
    direct.mset({key: "there" for key in RISING})
    for key in KEYS:
        direct.set(key, "there", **options)
    assert [reader.r.get(key) for key in KEYS] == ["there"] * len(KEYS)
    assert reader.kept() >= len(KEYS)


def what_expires_is_not_kept():
    reader = Reader()
    with plain() as direct:
        direct.mset({key: "there" for key in KEYS})
        fill(reader, direct)
        for key in KEYS:
            direct.pexpire(key, 20)
        # Reading them would have them expire: the server must do it by itself.
        until(lambda: direct.dbsize() == len(RISING), "the keys expire")
        reader.holds_what_is_there()


def what_is_flushed_is_not_kept():
    for flush in ("flushall", "flushdb"):
        reader = Reader()
        with plain() as direct:
            fill(reader, direct)
            getattr(direct, flush)()
            reader.holds_what_is_there()
            assert reader.r.get(KEYS[0]) is None


def what_is_evicted_is_not_kept():
    reader = Reader()
    with plain() as direct:
        fill(reader, direct)
        before = direct.config_get("maxmemory", "maxmemory-policy")
        direct.config_set("maxmemory-policy", "allkeys-random")
        direct.config_set("maxmemory", direct.info("memory")["used_memory"] + 1_000_000)
        number = itertools.count()

        def fill_until_they_are_gone():
            for _ in range(50):
                direct.set(f"filler:{next(number)}", "x" * 1000)
            return not any(direct.exists(key) for key in KEYS)

        until(fill_until_they_are_gone, "the keys are evicted")
        for name, value in before.items():
            direct.config_set(name, value)
        reader.holds_what_is_there()
        direct.flushall()


with plain() as first:
    first.flushall()
writers_race_with_readers()
what_expires_is_not_kept()
what_is_flushed_is_not_kept()
what_is_evicted_is_not_kept()
print("nothing stale was kept")
