#!/usr/bin/env python3
"""How late replies come while a server has something else to do.

    latency.py growth --ours 'target/release/larder --port {port}' [--peer 'valkey-server --port {port} …']
                      [--keys 10000000] [--rate 100000]
    latency.py expire --ours '…' [--peer '…'] [--keys 1000000]

growth: from empty to so many keys under a steady load of so many SET a second, in
pipelines of 20; how late the replies to those and to another client, which reads one key
after the other, were.
expire: so many keys whose deadlines lie within one second; how long after the last
deadline the last key was gone, and the replies of a client that reads one key after the
other while two others read in pipelines of 10, before that second and in it.

Whoever measures takes processor time from who is measured: on few cores a reply may be
late because its reader was. witness.py tells that apart, and a peer is measured in the
same way in the same run.
"""
import argparse, time

from policies import Client, Server, words
from witness import Aside, Waits, Witness

PIPELINE = 20


def probe(server, stop, results):
    """Reads one key after the other."""
    client, waits = Client(server.port), Waits(server.process.pid)
    while not stop.is_set():
        waits.of(lambda: client.call("GET", "probe"))
    results.put(waits.told())


def read_much(port, stop, results):
    client = Client(port)
    batch = [words("GET", f"key:{i * 99_991 % 1_000_000}") for i in range(10)]
    while not stop.is_set():
        client.pipeline(batch)
        time.sleep(0.0002)
    results.put(None)


def growth(server, options):
    client, value = Client(server.port), b"x" * 64
    client.call("SET", "probe", "1")
    with Witness() as witness:
        beside = Aside(probe, server)
        waits, began = Waits(server.process.pid), time.time()

        def write(batch):
            client.socket.sendall(batch)
            for _ in range(PIPELINE):
                client.read()

        for first in range(0, options.keys, PIPELINE):
            batch = b"".join(words("SET", f"key:{i}", value) for i in range(first, first + PIPELINE))
            ahead_s = began + first / options.rate - time.time()
            if ahead_s > 0:
                time.sleep(ahead_s)
            waits.of(lambda: write(batch))
        took_s = time.time() - began
        others = beside.over()
    print(f"  {options.keys} keys in {took_s:.0f} s; pipelines: {witness.summary(waits.told())}")
    print(f"  the other client: {witness.summary(others)}", flush=True)


def expire(server, options):
    client = Client(server.port)
    client.call("SET", "probe", "1")
    due_ms = int(time.time() * 1000) + 4_000 + options.keys // 100
    for first in range(0, options.keys, 1000):
        client.pipeline([words("SET", f"key:{i}", b"x" * 64, "PXAT", due_ms + i % 1000)
                         for i in range(first, min(first + 1000, options.keys))])
    assert time.time() * 1000 < due_ms - 2_000, "the keys were not there in time"
    with Witness() as witness:
        asides = [Aside(read_much, server.port) for _ in range(2)]
        beside = Aside(probe, server)
        while client.call("DBSIZE") > 1:
            time.sleep(0.01)
            assert time.time() * 1000 < due_ms + 60_000, "they stay"
        gone_ms = time.time() * 1000
        waits = beside.over()
        for aside in asides:
            aside.over()
    print(f"  the last key was gone {gone_ms - due_ms - 999:.0f} ms after the last deadline")
    print(f"  before: {witness.summary(waits, until=due_ms / 1e3 - 0.1)}")
    print(f"  while they went: {witness.summary(waits, due_ms / 1e3 - 0.01, gone_ms / 1e3)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["growth", "expire"])
    parser.add_argument("--ours", default="target/release/larder --port {port}")
    parser.add_argument("--peer")
    parser.add_argument("--keys", type=int)
    parser.add_argument("--rate", type=int, default=100_000)
    options = parser.parse_args()
    options.keys = options.keys or {"growth": 10_000_000, "expire": 1_000_000}[options.what]
    for name, command in (("ours", options.ours), ("peer", options.peer)):
        if command:
            print(f"{name}:")
            server = Server(command)
            try:
                {"growth": growth, "expire": expire}[options.what](server, options)
            finally:
                server.close()


if __name__ == "__main__":
    main()
