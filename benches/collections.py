#!/usr/bin/env python3
"""Resident bytes of collections: many small ones, and a large one, beside another server's.

    collections.py target/release/larder [/path/to/valkey-server] [--small 1000000] [--large 5000000] [--kinds set,hash]

Each figure is of a server of its own, started on a free port of the loopback,
without persistence: what is resident when all is there, less what was before.
Small collections have 10 elements, and keys of 11 bytes. An element is a member,
or a field, of 16 bytes; a field's value is of 16 bytes, too. Kinds that a server
does not have are left out.
"""
import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time

ELEMENTS = 10
BATCH = 1000


def element(n):
    """16 bytes that do not compress and are no number."""
    return b"%016x" % ((n + 0xABCDEF) * 0x9E3779B97F4A7C15 % (1 << 64))


# The command that adds an element, and what it takes for the nth.
KINDS = {
    "list": (b"RPUSH", lambda n: (element(n),)),
    "set": (b"SADD", lambda n: (element(n),)),
    "hash": (b"HSET", lambda n: (element(n), element(~n))),
    "zset": (b"ZADD", lambda n: (b"%d.5" % (n * 7919 % 1_000_003), element(n))),
}


class Server:
    def __init__(self, binary):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.directory = tempfile.TemporaryDirectory(prefix="collections-")
        words = [os.path.abspath(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", self.directory.name]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        for _ in range(500):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.01)
        else:
            sys.exit(f"{binary} does not answer")
        self.replies = self.socket.makefile("rb", 1 << 20)

    def send(self, commands):
        """Sends commands at once, and says what the replies begin with; each is one line."""
        out = []
        for words in commands:
            out.append(b"*%d\r\n" % len(words))
            out.extend(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        self.socket.sendall(b"".join(out))
        return [self.replies.readline()[:1] for _ in commands]

    def resident(self):
        time.sleep(1)
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def stop(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


def words_for(kind, key, numbers):
    command, arguments = KINDS[kind]
    return [command, key, *(word for n in numbers for word in arguments(n))]


def measure(binary, kind, collections, elements):
    """Resident bytes of so many collections; None where the server does not have the kind."""
    server = Server(binary)
    try:
        if server.send([words_for(kind, b"probe", [0])]) == [b"-"]:
            return None
        server.send([[b"DEL", b"probe"]])
        before = server.resident()
        if collections == 1:
            for n in range(0, elements, BATCH):
                server.send([words_for(kind, b"large", range(n, min(n + BATCH, elements)))])
        else:
            for n in range(0, collections, BATCH):
                server.send([
                    words_for(kind, b"key:%07d" % key, range(key * elements, (key + 1) * elements))
                    for key in range(n, min(n + BATCH, collections))
                ])
        return server.resident() - before
    finally:
        server.stop()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("servers", nargs="+", help="the server, and one to compare it with")
    a.add_argument("--small", type=int, default=1_000_000, help="number of small collections")
    a.add_argument("--large", type=int, default=5_000_000, help="elements of the large one")
    a.add_argument("--kinds", default=",".join(KINDS))
    a = a.parse_args()
    for kind in a.kinds.split(","):
        for name, collections, elements in (("small", a.small, ELEMENTS), ("large", 1, a.large)):
            if not collections or not elements:
                continue
            figures = [measure(binary, kind, collections, elements) for binary in a.servers]
            total = collections * elements
            texts = ["-" if f is None else f"{f / 1e6:8.1f} MB {f / total:6.1f} B/element" for f in figures]
            print(f"{kind:5} {name:5} {collections:>9,} x {elements:>9,}  " + "   ".join(texts), flush=True)


if __name__ == "__main__":
    main()
