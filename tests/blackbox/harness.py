"""Starts and ends the servers that the tests talk to.

The server under test is $LARDER_BIN (default: target/release/larder). Nothing
here knows anything of it but what every redis-server has: its command line,
its port, its signals and its exit status.
"""

import functools
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import redis

from resp import Raw

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("LARDER_BIN") or REPOSITORY / "target/release/larder")
START_DEADLINE_S = 30
EVENTUALLY_S = 30


@functools.lru_cache(maxsize=None)
def version_line(binary):
    return subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def is_larder(binary=BINARY):
    """Whether this is Larder itself: the tests are developed against valkey-server,
    and the few deliberate differences are looked up here."""
    return "larder" in version_line(binary).lower()


def newest_reference():
    """The reference server for the differential test: $REFERENCE_BIN, or the
    newest of Debian's valkey-server and redis-server, Valkey first."""
    if os.environ.get("REFERENCE_BIN"):
        return os.path.abspath(os.environ["REFERENCE_BIN"])
    found = []
    for rank, name in enumerate(("redis-server", "valkey-server")):
        path = shutil.which(name)
        if path:
            number = re.search(r"v=(\d+)\.(\d+)\.(\d+)", version_line(path))
            found.append(((rank, *map(int, number.groups())), path))
    return max(found)[1] if found else None


def eventually(condition, what, deadline_s=EVENTUALLY_S):
    """Polls until `condition()` is true and returns its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.005)


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class StartFailed(AssertionError):
    pass


class Server:
    """One server process in a temporary directory of its own.

    `args`: further words of the command line. `config`: the text of a
    configuration file to start from, written to `config_path` (default: in
    the temporary directory). `files`: the limit of open files. `bind`: its
    addresses, the first of them without a dash. `wait`: whether to return
    only when it answers.
    """

    def __init__(self, *args, binary=BINARY, config=None, config_path=None, files=None, port=None, bind="127.0.0.1", wait=True):
        self.binary = binary
        self.args = [str(a) for a in args]
        self.config_text = config
        self.files = files
        self.host = bind.split()[0]
        self.bind = bind
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="larder-test-"))
        self.config_path = pathlib.Path(config_path or self.directory / "test.conf")
        if config is not None:
            self.config_path.write_text(config)
        for attempt in range(5):
            self.port = port if port is not None else free_port(self.host)
            self._launch()
            if not wait:
                return
            try:
                self._wait_until_it_answers()
                return
            except StartFailed:
                # Somebody else took the port between the choice and the bind.
                if port is not None or attempt == 4 or "in use" not in self.log():
                    self.destroy()
                    raise

    def _launch(self):
        command = [self.binary]
        if self.config_text is not None:
            command.append(str(self.config_path))
        command += ["--port", str(self.port), "--bind", *self.bind.split(), "--dir", str(self.directory), "--save", ""]
        if is_larder(self.binary):
            # One of many on this machine: the port that all would have by default is nobody's.
            command += ["--http-port", "0"]
        command += self.args
        self.log_file = open(self.directory / "log", "wb")

        def limits():
            if self.files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=subprocess.STDOUT,
            cwd=self.directory, preexec_fn=limits,
        )

    def _wait_until_it_answers(self):
        def answers():
            if self.process.poll() is not None:
                raise StartFailed(f"exit status {self.process.returncode}:\n{self.log()}")
            try:
                with Raw(self.address, timeout_s=5) as c:
                    c.send(b"PING\r\n")
                    return c.read_exactly(7) != b"-LOADIN"
            except OSError:
                return False

        try:
            eventually(answers, "the server answers", START_DEADLINE_S)
        except StartFailed:
            raise
        except AssertionError:
            self.destroy()
            raise

    @property
    def address(self):
        return (self.host, self.port)

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def raw(self, protocol=2, **options):
        client = Raw(self.address, **options)
        if protocol == 3:
            client.hello(3)
        return client

    def redis(self, **options):
        """A redis-py client: what an application uses."""
        options.setdefault("socket_timeout", 60)
        return redis.Redis(host=self.host, port=self.port, **options)

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def wait(self, deadline_s=EVENTUALLY_S):
        """The exit status of a server that is about to end by itself."""
        return self.process.wait(deadline_s)

    def check_its_end(self):
        """For a server that a test may have ended: it still runs and stops in good order, or it has."""
        if self.log_file.closed:
            return  # the test itself stopped it
        if self.alive():
            self.stop()
            return
        log = self.log()
        self.destroy()
        assert self.process.returncode == 0, f"the server ended with status {self.process.returncode}:\n{log[-3000:]}"

    def stop(self):
        """Asks it to end, and proves that it was there and ended in good order."""
        try:
            assert self.alive(), f"the server had ended with status {self.process.returncode}:\n{self.log()[-3000:]}"
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(EVENTUALLY_S)
            assert status == 0, f"SIGTERM ended with status {status}:\n{self.log()[-3000:]}"
        finally:
            self.destroy()

    def destroy(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log_file.close()
        shutil.rmtree(self.directory, ignore_errors=True)
