#!/usr/bin/env python3
"""What policies cost, and what an invalidation costs, measured at a live server.

    policies.py cost --ours 'target/release/larder --port {port} --io-threads 1'
    policies.py invalidate --ours '…' [--peer 'valkey-server --port {port} …'] [--keys 1000000]
    policies.py absent --ours '…' [--keys 10000000]

cost: the server's CPU time for an operation (user + system, as the kernel counts it) of
GET and SET in pipelines of 16, without policies and with ten that match, in turn; ratios.
invalidate: how long CACHE.INVALIDATE of a tag, a policy and a prefix over so many keys
takes to answer, and how late replies to another client were before and while it was
carried out (witness.py tells what of that was the machine's); with a peer, what SCAN and
UNLINK of the same keys cost there.
absent: so many absent keys remembered under maxmemory; how many keys of data went for it,
and the memory used.
"""
import argparse, os, random, shlex, socket, statistics, subprocess, sys, tempfile, time

from witness import Aside, Waits, Witness

POLICIES = [(f"p{i}", f"kind{i}:*", "ttl", "1h", "jitter", "10%") for i in range(10)]


def words(*parts):
    parts = [p if isinstance(p, bytes) else str(p).encode() for p in parts]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def call(self, *parts):
        self.socket.sendall(words(*parts))
        reply = self.read()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def pipeline(self, commands):
        self.socket.sendall(b"".join(commands))
        return [self.read() for _ in commands]

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        raise RuntimeError(f"unexpected {line!r}")


class Server:
    def __init__(self, command):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        argv = shlex.split(command.format(port=self.port))
        argv[0] = os.path.abspath(argv[0])
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=self.folder.name)
        for _ in range(1000):
            try:
                self.client = Client(self.port)
                self.client.call("PING")
                return
            except OSError:
                time.sleep(0.01)
        sys.exit("the server did not start")

    def cpu_s(self):
        folder, total_ns = f"/proc/{self.process.pid}/task", 0
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/schedstat") as f:
                total_ns += int(f.read().split()[0])
        return total_ns / 1e9

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def fill(client, prefix, keys, value=b"x" * 64):
    for first in range(0, keys, 1000):
        last = min(first + 1000, keys)
        client.pipeline([words("SET", f"{prefix}{i}", value) for i in range(first, last)])


def cost(options):
    server = Server(options.ours)
    client = server.client
    keys, depth, batches = 200_000, 16, 20_000
    for kind in range(10):
        fill(client, f"kind{kind}:", keys // 10)
    random.seed(1)

    def pipelines(verb):
        def one():
            key = f"kind{random.randrange(10)}:{random.randrange(keys // 10)}"
            return words(verb, key) if verb == "GET" else words(verb, key, b"x" * 64)
        return [b"".join(one() for _ in range(depth)) for _ in range(batches // 10)]

    loads = {verb: pipelines(verb) for verb in ("GET", "SET")}

    def measure(verb):
        began = server.cpu_s()
        for _ in range(10):
            for load in loads[verb]:
                client.socket.sendall(load)
                for _ in range(depth):
                    client.read()
        return (server.cpu_s() - began) * 1e6 / (batches * depth)

    figures = {}
    for _ in range(options.reps):
        for policies in (False, True):
            if policies:
                for policy in POLICIES:
                    client.call("CACHE.POLICY", "SET", *policy)
            else:
                for name, *_ in POLICIES:
                    client.call("CACHE.POLICY", "DEL", name)
            time.sleep(2)  # what is there is brought to where it belongs
            for verb in loads:
                figures.setdefault((verb, policies), []).append(measure(verb))
    for verb in loads:
        plain, governed = (statistics.median(figures[verb, p]) for p in (False, True))
        print(f"{verb} depth {depth}: {plain:.3f} us without, {governed:.3f} us with ten policies, ratio {governed / plain:.2f}")
    server.close()


def probe(server, stop, results):
    """Reads one key after the other."""
    client, waits, n = Client(server.port), Waits(server.process.pid), 0
    while not stop.is_set():
        n += 1
        waits.of(lambda: client.call("GET", f"probe:{n % 1000}"))
    results.put(waits.told())


def watched(server, label, action, settle_s):
    with Witness() as witness:
        beside = Aside(probe, server)
        time.sleep(settle_s)
        began = time.time()
        action()
        took_ms = (time.time() - began) * 1e3
        time.sleep(settle_s)
        waits = beside.over()
    print(f"{label}: answered after {took_ms:.2f} ms")
    print(f"  another client, {settle_s} s before: {witness.summary(waits, until=began - 0.01)}")
    print(f"  and from then on: {witness.summary(waits, began - 0.01)}", flush=True)


def invalidate(options):
    server = Server(options.ours)
    call = server.client.call
    fill(server.client, "probe:", 1000)
    call("CACHE.POLICY", "SET", "p", "course:*", "tag", "all", "ttl", "1h")
    for label, words_ in (("tag", ("TAG", "all")), ("policy", ("POLICY", "p")), ("prefix", ("PREFIX", "other:"))):
        fill(server.client, "other:" if label == "prefix" else "course:", options.keys)
        keys = call("DBSIZE")
        watched(server, f"{label} over {keys - 1000} keys", lambda: call("CACHE.INVALIDATE", *words_), 4)
        print(f"  keys left: {call('DBSIZE') - 1000}")
    server.close()
    if options.peer:
        server = Server(options.peer)
        fill(server.client, "probe:", 1000)
        fill(server.client, "course:", options.keys)

        def scan_and_unlink():
            cursor = b"0"
            while True:
                cursor, keys = server.client.call("SCAN", cursor, "MATCH", "course:*", "COUNT", 1000)
                if keys:
                    server.client.call("UNLINK", *keys)
                if cursor == b"0":
                    return

        watched(server, f"peer, SCAN and UNLINK of {options.keys} keys", scan_and_unlink, 1)
        server.close()


def absent(options):
    server = Server(options.ours + " --maxmemory 200mb --null-max 32mb")
    client = server.client
    fill(client, "data:", 500_000)
    before, used = client.call("DBSIZE"), memory(client)
    for first in range(0, options.keys, 1000):
        client.pipeline([words("CACHE.NULL", f"absent:{i}", "EX", 3600) for i in range(first, first + 1000)])
    print(f"data: {before} keys before, {client.call('DBSIZE')} after {options.keys} absent ones; "
          f"used_memory {used >> 20} MiB before, {memory(client) >> 20} MiB after, null-max 32 MiB")
    server.close()


def memory(client):
    info = client.call("INFO", "memory").decode()
    return int(next(line for line in info.splitlines() if line.startswith("used_memory:")).split(":")[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cost", "invalidate", "absent"])
    parser.add_argument("--ours", default="target/release/larder --port {port}")
    parser.add_argument("--peer")
    parser.add_argument("--keys", type=int)
    parser.add_argument("--reps", type=int, default=3)
    options = parser.parse_args()
    options.keys = options.keys or {"absent": 10_000_000}.get(options.what, 1_000_000)
    {"cost": cost, "invalidate": invalidate, "absent": absent}[options.what](options)


if __name__ == "__main__":
    main()
