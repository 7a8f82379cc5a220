"""Larder in front of a real database, beside plain Redis: the same unmodified application, and how
often it had to ask the database.

The counts are exact for Larder and at least many for Redis: no test depends on a time. Leases and
waits are far longer than any run takes, but where a key has to expire.
"""

import asyncio
import concurrent.futures
import resource
import shutil
import threading

import cachetools
import django
import pytest
from django.conf import settings

from application import ABSENT, Application, Database, happens
from harness import BINARY, Server, eventually, is_larder

CLIENTS = 1000
POLICIES = r"""
policy items   item:*  ttl 10m lease 120s lease-wait 120s fence yes null-value __NULL__ null-ttl 60s null-max 1mb
policy stale   stale:* ttl 10m stale 10m lease 120s fence yes
policy django  dj:*    ttl 10m lease 120s lease-wait 120s fence yes null-value "\x80\x05N." null-value "\x80\x04N." null-ttl 60s
"""


@pytest.fixture(scope="module")
def database():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with Database() as database:
        yield database
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=["redis", "larder"])
def cache(request, database, start_server):
    """A cache of each kind in front of an empty database. Both are told what memory they may use."""
    database.clear()
    memory = ("--maxmemory", "64mb")
    if request.param == "larder":
        return start_server(*memory, config=POLICIES)
    binary = shutil.which("redis-server")
    assert binary, "no plain Redis: install Debian's redis-server"
    return start_server(*memory, "--maxmemory-policy", "allkeys-lru", binary=binary)


def run(test):
    return asyncio.run(test)


def arrived(r, before=0):
    """How many GETs have been answered or wait since there were `before`."""
    calls = r.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
    return calls + r.info("clients")["blocked_clients"] - before


async def stampede(app, caches, id, database):
    """All clients want one item at once, which nobody has: none comes too late for the stampede."""
    with app.server.redis() as r, database.closed_gate():
        before = arrived(r)
        wants = [asyncio.ensure_future(app.get(cache, id)) for cache in caches]
        await happens(lambda: arrived(r, before) >= len(caches), "all have asked the cache")
        database.open_gate()
        return await asyncio.gather(*wants)


# ----- a stampede -----------------------------------------------------------------


def test_of_a_thousand_clients_that_miss_one_key_one_asks_the_database(cache, database):
    database.put(1, "value")

    async def go():
        async with Application(cache, database) as app:
            values = await stampede(app, await app.clients(CLIENTS), 1, database)
            assert values == [b"value"] * CLIENTS

    run(go())
    assert database.queries() == (1 if is_larder(cache.binary) else CLIENTS)


def test_of_a_thousand_clients_of_a_hot_key_that_expires_one_asks_the_database(cache, database):
    database.put(1, "new")

    async def go():
        async with Application(cache, database) as app:
            caches = await app.clients(CLIENTS)
            with cache.redis() as r:
                r.set("item:1", "old", px=100)
                deadline_ms = int(r.execute_command("PTTL", "item:1")) + server_ms(r)
                await happens(lambda: server_ms(r) > deadline_ms + 100, "its time is over")
            values = await stampede(app, caches, 1, database)
            assert values == [b"new"] * CLIENTS
            # And then it is in the cache for everybody.
            assert await asyncio.gather(*(app.get(c, 1) for c in caches)) == values

    run(go())
    assert database.queries() == (1 if is_larder(cache.binary) else CLIENTS)


def server_ms(r):
    seconds, us = r.time()
    return seconds * 1000 + us // 1000


class StaleApplication(Application):
    """The same, with keys of a policy that serves the old value while one refills."""

    async def get(self, cache, id):
        key = f"stale:{id}"
        value = await cache.get(key)
        if value is None:
            value = await self.load(id)
            await cache.set(key, value, ex=self.ttl_s)
        return value


def test_whoever_does_not_refill_a_key_that_expired_is_served_the_old_value(cache, database):
    database.put(1, "new")

    async def go():
        async with StaleApplication(cache, database) as app:
            caches = await app.clients(CLIENTS)
            with cache.redis() as r:
                r.set("stale:1", "old", px=100)
                deadline_ms = int(r.execute_command("PTTL", "stale:1")) + server_ms(r)
                await happens(lambda: server_ms(r) > deadline_ms + 100, "its time is over")
            return await stampede(app, caches, 1, database)

    values = run(go())
    if is_larder(cache.binary):
        assert (values.count(b"old"), values.count(b"new")) == (CLIENTS - 1, 1)
        assert database.queries() == 1
    else:
        assert values == [b"new"] * CLIENTS
        assert database.queries() == CLIENTS


def test_a_client_that_goes_with_the_lease_leaves_it_to_the_next(cache, database):
    """The one that was to refill crashes: the others do not wait for it, and one of them does it."""
    database.put(1, "value")

    async def go():
        async with Application(cache, database) as app:
            first, *others = await app.clients(51)
            with cache.redis() as r:
                before = arrived(r)
                assert await first.get("item:1") is None
                with database.closed_gate():
                    wants = [asyncio.ensure_future(app.get(c, 1)) for c in others]
                    await happens(lambda: arrived(r, before) >= 51, "all have asked the cache")
                    await first.connection.disconnect()
                    await happens(lambda: database.queries() >= 1, "one asks the database")
                assert await asyncio.gather(*wants) == [b"value"] * 50

    run(go())
    assert database.queries() == (1 if is_larder(cache.binary) else 50)


# ----- penetration ------------------------------------------------------------------


def test_an_id_that_does_not_exist_is_asked_for_once(cache, database):
    """The application caches a sentinel; all clients ask for absent ids, again and again."""
    ids = range(1000, 1050)

    async def go():
        async with Application(cache, database) as app:
            caches = await app.clients(20)

            async def visit(c):
                return [await app.get(c, id) for _ in range(3) for id in ids]

            values = await asyncio.gather(*(visit(c) for c in caches))
            assert values == [[None] * 150] * 20

    run(go())
    if is_larder(cache.binary):
        # The clients come all at once: without leases many would ask for the same one.
        assert database.queries() == len(ids)
        with cache.redis() as r:
            # The sentinel is what the client wrote, and known as what it means.
            assert r.get("item:1000") == ABSENT
            assert b"null" in flat(r.execute_command("CACHE.GET", "item:1000"))
    else:
        assert database.queries() >= len(ids)


def flat(reply):
    """What a reply says, whether it comes as a map or as a list."""
    items = reply.items() if isinstance(reply, dict) else [(one,) for one in reply]
    return [word for pair in items for word in pair]


def test_a_flood_of_absent_ids_pushes_no_item_out_of_the_cache(cache, database):
    """Somebody walks through random ids. What the application remembers of them must not cost the
    items that it has."""
    items = range(500)
    database.run("INSERT INTO items SELECT id, repeat('x', 1000) FROM generate_series(0, 499) AS id")
    flood = 200_000

    async def go():
        async with Application(cache, database) as app:
            (c,) = await app.clients(1)
            for id in items:
                assert await app.get(c, id) is not None
            assert database.queries() == len(items)
            # As the application would, without a query for each.
            with cache.raw() as raw:
                for first in range(0, flood, 1000):
                    raw.pipeline([("SET", f"item:{10**9 + first + i}", ABSENT, "EX", "600") for i in range(1000)])
            for id in items:
                assert await app.get(c, id) is not None

    with cache.redis() as r:
        r.config_set("maxmemory", "24mb")
    run(go())
    again = database.queries() - len(items)
    if is_larder(cache.binary):
        assert again == 0
    else:
        assert again > 0


def test_an_application_that_says_what_is_absent_is_told_so(database, start_server):
    """CACHE.NULL, for an application that knows Larder: no sentinel, and no key for anybody else."""
    database.clear()
    server = start_server(config=POLICIES)
    with server.redis() as r:

        def get(id):
            reply = flat(r.execute_command("CACHE.GET", f"item:{id}"))
            if b"null" in reply:
                return None
            if b"hit" in reply:
                return r.get(f"item:{id}")
            value = database.load(id)
            if value is None:
                r.execute_command("CACHE.NULL", f"item:{id}", "EX", 60)
            else:
                r.set(f"item:{id}", value, ex=600)
            return value

        assert [get(7) for _ in range(20)] == [None] * 20
        assert database.queries() == 1
        assert r.exists("item:7") == 0 and r.get("item:7") is None
        # It comes into being: whoever writes it says so to the cache as ever.
        database.put(7, "born")
        r.delete("item:7")
        assert get(7) == "born" and get(7) == b"born"
    assert database.queries() == 2


# ----- an update race -----------------------------------------------------------------


def test_a_fill_that_began_before_an_update_does_not_bring_the_old_value_back(cache, database):
    database.put(1, "old")

    async def go():
        async with Application(cache, database) as app:
            slow, writer, reader = await app.clients(3)
            with database.closed_gate():
                filling = asyncio.ensure_future(app.get(slow, 1))
                await happens(lambda: database.queries() == 1, "it has read the old value")
                await app.update(writer, 1, "new")
            # It may well give what it read; but not keep it.
            assert await filling == b"old"
            return [await app.get(reader, 1) for _ in range(5)]

    values = run(go())
    if is_larder(cache.binary):
        assert values == [b"new"] * 5
        assert database.queries() == 2, "the dropped fill costs one more query, and only one"
    else:
        assert values == [b"old"] * 5, "which is why there are fences"
        assert database.queries() == 1


def test_a_write_that_follows_an_update_is_taken(cache, database):
    """A writer that puts the new value into the cache itself has not read a miss before."""
    database.put(1, "old")

    async def go():
        async with Application(cache, database) as app:
            slow, writer, reader = await app.clients(3)
            with database.closed_gate():
                filling = asyncio.ensure_future(app.get(slow, 1))
                await happens(lambda: database.queries() == 1, "it has read the old value")
                await app.update(writer, 1, "new")
                await writer.set("item:1", "new", ex=600)
            await filling
            return await app.get(reader, 1)

    assert run(go()) == (b"new" if is_larder(cache.binary) else b"old")
    assert database.queries() == 1


# ----- an unmodified cache library: django-redis -----------------------------------------

THREADS = 50


@pytest.fixture(scope="module")
def django_cache():
    """Django's cache, by way of django-redis, for any server."""
    from django.core.cache import CacheHandler

    if not settings.configured:
        settings.configure()
        django.setup()

    def make(server):
        backend = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{server.host}:{server.port}/0",
            "KEY_PREFIX": "dj",
            "TIMEOUT": 600,
            "OPTIONS": {"CONNECTION_POOL_KWARGS": {"max_connections": 4 * THREADS}},
        }
        return CacheHandler({"default": backend})["default"]

    return make


@pytest.fixture
def fetch(database):
    """Asks the database, on a connection of the thread's own."""
    local = threading.local()
    opened = []

    def fetch(id):
        if not hasattr(local, "connection"):
            local.connection = database._connect()
            opened.append(local.connection)
        with local.connection.cursor() as cursor:
            cursor.execute("SELECT load_item(%s)", (id,))
            return cursor.fetchone()[0]

    yield fetch
    for connection in opened:
        connection.close()


def at_once(server, database, call):
    """What the threads get that call at the same time, while nobody has filled the cache."""
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads, server.redis() as r:
        with database.closed_gate():
            before = arrived(r)
            calls = [threads.submit(call) for _ in range(THREADS)]
            eventually(lambda: arrived(r, before) >= THREADS, "all have asked the cache")
        return [call.result(120) for call in calls]


def test_django_asks_once_for_what_many_of_its_threads_want(cache, database, django_cache, fetch):
    database.put(1, "value")
    django = django_cache(cache)

    def view():
        value = django.get("course:1")
        if value is None:
            value = fetch(1)
            django.set("course:1", value)
        return value

    assert at_once(cache, database, view) == ["value"] * THREADS
    assert database.queries() == (1 if is_larder(cache.binary) else THREADS)


def test_django_asks_once_by_get_or_set(cache, database, django_cache, fetch):
    database.put(1, "value")
    django = django_cache(cache)
    values = at_once(cache, database, lambda: django.get_or_set("course:1", lambda: fetch(1)))
    assert values == ["value"] * THREADS
    assert database.queries() == (1 if is_larder(cache.binary) else THREADS)


def test_what_django_caches_of_nothing_is_known_as_that(cache, database, django_cache, fetch):
    """None is a pickle like any other: the policy's sentinel says what it means."""
    django = django_cache(cache)
    missing = object()

    def view():
        value = django.get("course:9", missing)
        if value is missing:
            value = fetch(9)
            django.set("course:9", value)
        return value

    assert [view() for _ in range(20)] == [None] * 20
    assert database.queries() == 1
    if is_larder(cache.binary):
        with cache.redis() as r:
            assert b"null" in flat(r.execute_command("CACHE.GET", "dj:1:course:9"))


def test_django_does_not_bring_an_old_value_back(cache, database, django_cache, fetch):
    database.put(1, "old")
    django = django_cache(cache)

    def view():
        value = django.get("course:1")
        if value is None:
            value = fetch(1)
            django.set("course:1", value)
        return value

    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        with database.closed_gate():
            filling = threads.submit(view)
            eventually(lambda: database.queries() == 1, "it has read the old value")
            database.put(1, "new")
            django.delete("course:1")
        assert filling.result(120) == "old"
    assert view() == ("new" if is_larder(cache.binary) else "old")


# ----- an unmodified cache library: cachetools, in front of redis-py ----------------------
# (Debian has no package of aiocache.)


class Worker:
    """A process of an application that keeps what it read for some seconds in its own memory."""

    TTL_S = 5

    def __init__(self, server, fetch):
        self.now_s = 0
        self.shared = server.redis(single_connection_client=True)
        self.own = cachetools.TTLCache(maxsize=1000, ttl=self.TTL_S, timer=lambda: self.now_s)
        self.fetch = fetch
        self.get = cachetools.cached(self.own, lock=threading.Lock())(self.load)

    def load(self, id):
        key = f"item:{id}"
        value = self.shared.get(key)
        if value is None:
            found = self.fetch(id)
            value = ABSENT if found is None else found.encode()
            self.shared.set(key, value, ex=600)
        return None if value == ABSENT else value.decode()

    def forget_own(self):
        """Its own memory is only good for so long."""
        self.now_s += self.TTL_S


@pytest.fixture
def workers(cache, fetch):
    workers = [Worker(cache, fetch) for _ in range(THREADS)]
    for worker in workers:
        worker.shared.ping()
    yield workers
    for worker in workers:
        worker.shared.close()


def ask_at_once(server, database, workers, id):
    """What the workers get that want an item at the same time."""
    waiting = iter(workers)
    return at_once(server, database, lambda: next(waiting).get(id))


def test_of_many_workers_with_memories_of_their_own_one_asks_the_database(cache, database, workers):
    database.put(1, "value")
    assert ask_at_once(cache, database, workers, 1) == ["value"] * THREADS
    asked = 1 if is_larder(cache.binary) else THREADS
    assert database.queries() == asked
    # From its own memory, and from the cache that they share.
    for _ in range(2):
        assert [worker.get(1) for worker in workers] == ["value"] * THREADS
        for worker in workers:
            worker.forget_own()
    assert database.queries() == asked


def test_an_id_that_does_not_exist_is_asked_for_by_one_worker(cache, database, workers):
    asked = 1 if is_larder(cache.binary) else THREADS
    for count, id in enumerate((1001, 1002), 1):
        assert ask_at_once(cache, database, workers, id) == [None] * THREADS
        assert database.queries() == count * asked
    for worker in workers:
        worker.forget_own()
        assert worker.get(1001) is None
    assert database.queries() == 2 * asked
    if is_larder(cache.binary):
        with cache.redis() as r:
            assert b"null" in flat(r.execute_command("CACHE.GET", "item:1001"))


def test_workers_forget_an_old_value_with_their_own_memories(cache, database, workers):
    """A worker may hold an old value for some seconds; the cache that they share must not give it
    another life."""
    database.put(1, "old")
    slow, writer, *readers = workers
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        with database.closed_gate():
            filling = threads.submit(slow.get, 1)
            eventually(lambda: database.queries() == 1, "it has read the old value")
            database.put(1, "new")
            writer.shared.delete("item:1")
        assert filling.result(120) == "old"
    assert slow.get(1) == "old"
    slow.forget_own()
    values = [worker.get(1) for worker in (slow, *readers)]
    if is_larder(cache.binary):
        assert values == ["new"] * (THREADS - 1)
        assert database.queries() == 2
    else:
        assert values == ["old"] * (THREADS - 1)
        assert database.queries() == 1
