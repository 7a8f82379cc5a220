"""Fixtures: a server for each test file, further ones on demand, and clients."""

import os
import random
import signal

import pytest

from harness import BINARY, Server, is_larder, newest_reference
from resp import OK

TEST_DEADLINE_S = int(os.environ.get("TEST_DEADLINE_S", "180"))


def pytest_report_header(config):
    return f"server under test: {BINARY}"


def pytest_configure(config):
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no server to test at {BINARY}: build it, or set LARDER_BIN", returncode=2)


@pytest.fixture(autouse=True)
def deadline():
    """No test hangs: each has this long, far beyond what any needs."""

    def too_long(*_):
        raise TimeoutError(f"the test took longer than {TEST_DEADLINE_S} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TEST_DEADLINE_S)
    yield
    signal.alarm(0)


@pytest.fixture(scope="module")
def server():
    """One server for the whole file; its end proves that it never crashed.

    DEBUG is switched on, as Valkey's own tests have it."""
    s = Server("--enable-debug-command", "yes")
    yield s
    s.stop()


@pytest.fixture(scope="module")
def pair():
    """The server under test and a reference server."""
    binary = newest_reference()
    if not binary:
        pytest.fail("no reference server: install redis-server or valkey-server, or set REFERENCE_BIN")
    debug = ("--enable-debug-command", "yes")
    ours = Server(*debug)
    try:
        reference = Server(*debug, binary=binary)
    except BaseException:
        ours.destroy()
        raise
    yield ours, reference
    try:
        ours.stop()
    finally:
        reference.destroy()


@pytest.fixture
def start_server():
    """Starts further servers with the arguments that a test needs; ends each of them in good order."""
    started = []

    def start(*args, **options):
        s = Server(*args, **options)
        started.append(s)
        return s

    yield start
    failures = []
    for s in started:
        try:
            s.check_its_end()
        except AssertionError as e:
            failures.append(e)
    if failures:
        raise failures[0]


@pytest.fixture
def client(server):
    """A RESP2 connection to a server without keys."""
    with server.raw() as c:
        c.says("FLUSHALL", OK)
        yield c


@pytest.fixture
def other(server):
    """A second RESP2 connection."""
    with server.raw() as c:
        yield c


@pytest.fixture
def client3(server):
    """A RESP3 connection to a server without keys."""
    with server.raw(protocol=3) as c:
        c.says("FLUSHALL", OK)
        yield c


@pytest.fixture
def redis_client(server):
    r = server.redis()
    r.flushall()
    yield r
    r.close()


@pytest.fixture
def larder():
    """Whether the server under test is Larder, for the deliberate differences."""
    return is_larder()


@pytest.fixture
def rng(request):
    """A random source whose seed is printed; $SEED repeats a run."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SEED={seed}")
    return random.Random(seed)
