"""A small application with PostgreSQL behind it, and the database that counts its queries.

    with Database() as database:
        database.put(1, "value")
        async with Application(server, database) as app: ...
        database.queries()        how often it was asked for an item

The application knows a cache as handbooks have it (cache-aside): GET; on nil the
database, then SET; after a change DEL. Nothing in it knows of Larder.

What a test must bring about in time, it brings about with the gate: while that is
closed, whoever asks the database for an item has read it, is counted, and waits.
"""

import asyncio
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

import asyncpg
import psycopg2
import redis.asyncio

from harness import eventually

# Connections of the application to its database: as of any pool, far fewer than its clients.
POOL = 20
# What the application caches of an item that does not exist.
ABSENT = b"__NULL__"

# The sequence counts whatever becomes of a transaction, and at once. The lock is the gate.
SCHEMA = """
CREATE TABLE items (id int PRIMARY KEY, value text NOT NULL);
CREATE SEQUENCE queries;
CREATE FUNCTION load_item(wanted int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    SELECT value INTO found FROM items WHERE id = wanted;
    PERFORM nextval('queries');
    PERFORM pg_advisory_xact_lock_shared(1);
    RETURN found;
END $$;
"""


def _programs():
    """The folder of PostgreSQL's newest programs, which Debian keeps off the PATH."""
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = sorted(found, key=lambda path: int(path.parts[-3]))
    assert versions, "no PostgreSQL: install Debian's package postgresql"
    return versions[-1].parent


class Database:
    """A PostgreSQL of its own in a temporary directory, on a unix socket alone."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="larder-postgres-"))
        # It refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.user)
        self.process = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        as_user = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        options = as_user if os.geteuid() == 0 else {}
        data = self.directory / "data"
        initdb = [_programs() / "initdb", "-D", data, "-U", "app", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=self.directory, timeout=120, **options)
        settings = {
            "listen_addresses": "", "unix_socket_directories": self.directory, "max_connections": 150,
            "shared_buffers": "16MB", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
        }
        command = [_programs() / "postgres", "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, **options
            )
        self.connection = eventually(self._connect, "the database answers", 60)
        self.run(SCHEMA)

    def _connect(self):
        assert self.process.poll() is None, (self.directory / "log").read_text(errors="replace")
        try:
            connection = psycopg2.connect(**self.address)
        except psycopg2.OperationalError:
            return None
        connection.autocommit = True
        return connection

    @property
    def address(self):
        return {"host": str(self.directory), "user": "app", "dbname": "postgres"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.process and self.process.poll() is None:
            # Fast: whoever is connected is let go.
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, sql, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else None

    def put(self, id, value):
        self.run("INSERT INTO items VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET value = excluded.value", id, value)

    def load(self, id):
        return self.run("SELECT load_item(%s)", id)[0][0]

    def clear(self):
        self.run("TRUNCATE items")
        self.run("ALTER SEQUENCE queries RESTART")

    def queries(self):
        """How often an item was asked for since `clear`."""
        ((last, is_called),) = self.run("SELECT last_value, is_called FROM queries")
        return last if is_called else 0

    @contextlib.contextmanager
    def closed_gate(self):
        """Whoever asks for an item meanwhile waits with it in hand; leave early by `open_gate`."""
        self.run("SELECT pg_advisory_lock(1)")
        try:
            yield
        finally:
            self.open_gate()

    def open_gate(self):
        self.run("SELECT pg_advisory_unlock_all()")


class Application:
    """The application, with a connection to its cache for each of its clients."""

    def __init__(self, server, database, ttl_s=600):
        self.server = server
        self.database = database
        self.ttl_s = ttl_s
        self.caches = []

    async def __aenter__(self):
        address = {**self.database.address, "database": "postgres"}
        del address["dbname"]
        self.pool = await asyncpg.create_pool(min_size=POOL, max_size=POOL, **address)
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(*(cache.close() for cache in self.caches))
        await self.pool.close()

    async def clients(self, count):
        """Connections to the cache, all of them open."""
        caches = [
            redis.asyncio.Redis(host=self.server.host, port=self.server.port, single_connection_client=True, socket_timeout=120)
            for _ in range(count)
        ]
        self.caches += caches
        for some in (caches[i : i + 100] for i in range(0, count, 100)):
            await asyncio.gather(*(cache.ping() for cache in some))
        return caches

    async def load(self, id):
        value = await self.pool.fetchval("SELECT load_item($1)", id)
        return None if value is None else value.encode()

    async def get(self, cache, id):
        """An item, or None where there is none."""
        key = f"item:{id}"
        value = await cache.get(key)
        if value is None:
            value = await self.load(id)
            await cache.set(key, ABSENT if value is None else value, ex=self.ttl_s)
        return None if value == ABSENT else value

    async def update(self, cache, id, value):
        """Changes an item, and has the cache forget the old one."""
        await self.pool.execute("UPDATE items SET value = $2 WHERE id = $1", id, value)
        await cache.delete(f"item:{id}")


async def happens(condition, what, deadline_s=60):
    """As `eventually`, while the event loop runs."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    while not (value := condition()):
        assert loop.time() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.005)
    return value
