"""Programs with other client libraries than Debian's redis-py: see tests/clients.

The libraries come from their registries, at the versions that stand there, into
target/clients, once for each change of those versions.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import REPOSITORY, Server

PROGRAMS = REPOSITORY / "tests/clients"
LIBRARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target") / "clients"
INSTALL_DEADLINE_S = 170


@pytest.fixture(scope="module")
def server():
    s = Server("--io-threads", 4)
    yield s
    s.stop()


def installed(name, versions, install):
    """The folder into which `install` has put the libraries of these files."""
    digest = hashlib.sha256(b"".join((PROGRAMS / file).read_bytes() for file in versions)).hexdigest()[:16]
    folder = LIBRARIES / f"{name}-{digest}"
    if not folder.exists():
        # What was interrupted halfway is not taken for the whole.
        begun = LIBRARIES / f"{name}-{os.getpid()}"
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        for file in versions:
            shutil.copy(PROGRAMS / file, begun)
        install(begun)
        begun.rename(folder)
    return folder


def run(*command, cwd=None, **environment):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=dict(os.environ, **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_DEADLINE_S,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def node_modules():
    def install(folder):
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)

    return installed("node", ["package.json", "package-lock.json"], install) / "node_modules"


@pytest.fixture(scope="module")
def redis_py():
    def install(folder):
        run("/usr/bin/python3", "-m", "pip", "install", "--quiet", "--target", folder / "site", "-r", folder / "requirements.txt")

    return installed("redis-py", ["requirements.txt"], install) / "site"


def test_an_application_with_ioredis_uses_every_family(server, node_modules):
    said = run("node", PROGRAMS / "session_ioredis.js", server.port, NODE_PATH=str(node_modules))
    assert "families" in said


def test_what_redis_py_keeps_is_never_stale(server, redis_py):
    said = run("/usr/bin/python3", PROGRAMS / "cache_redis_py.py", server.port, PYTHONPATH=str(redis_py))
    assert said == "nothing stale was kept\n"
