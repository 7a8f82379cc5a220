#!/usr/bin/env python3
"""What policies cost, and what an invalidation costs, measured at a live server.

    policies.py cost --ours 'target/release/larder --port {port} --io-threads 1'
    policies.py invalidate --ours '…' [--peer 'valkey-server --port {port} …'] [--keys 1000000]
    policies.py absent --ours '…' [--keys 10000000]

cost: the server's CPU time for an operation (user + system, as the kernel counts it) of
GET and SET in pipelines of 16 from 25 clients, without policies and with ten that match;
the median of the ratios.
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
# What `cost` loads a server with.
COST_KEYS, CLIENTS, DEPTH = 200_000, 25, 16


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
    """Two servers on one processor, in turn, so that a drift of the machine's speed meets both."""
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    servers = {}
    for governed in (False, True):
        server = servers[governed] = Server(options.ours)
        if others:
            for thread in os.listdir(f"/proc/{server.process.pid}/task"):
                os.sched_setaffinity(int(thread), {others[0]})
        for policy in POLICIES if governed else ():
            server.client.call("CACHE.POLICY", "SET", *policy)
        for kind in range(10):
            fill(server.client, f"kind{kind}:", COST_KEYS // 10)
        server.clients = [Client(server.port) for _ in range(CLIENTS)]
    random.seed(1)

    def pipeline(verb):
        def one():
            key = f"kind{random.randrange(10)}:{random.randrange(COST_KEYS // 10)}"
            return words(verb, key) if verb == "GET" else words(verb, key, b"x" * 64)
        return b"".join(one() for _ in range(DEPTH))

    # A reply to SET is of 5 bytes, one to GET of 71.
    loads = {verb: ([pipeline(verb) for _ in range(CLIENTS * 50)], size * DEPTH)
             for verb, size in (("GET", 71), ("SET", 5))}

    def measure(server, verb):
        batches, reply_bytes = loads[verb]
        began = server.cpu_s()
        for at in range(0, len(batches), CLIENTS):
            for client, batch in zip(server.clients, batches[at:]):
                client.socket.sendall(batch)
            for client in server.clients:
                client.file.read(reply_bytes)
        return (server.cpu_s() - began) * 1e6 / (len(batches) * DEPTH)

    for verb in loads:
        figures = {governed: [] for governed in servers}
        for rep in range(options.reps + 1):
            for governed, server in servers.items():
                figures[governed].append(measure(server, verb))
        # The first one warms up.
        ratios = sorted(b / a for a, b in list(zip(*figures.values()))[1:])
        plain, governed = (statistics.median(f[1:]) for f in figures.values())
        print(f"{verb} depth {DEPTH}: {plain:.3f} us without, {governed:.3f} us with ten policies, ratio "
              f"{statistics.median(ratios):.2f} (quartiles {ratios[len(ratios) // 4]:.2f}, {ratios[3 * len(ratios) // 4]:.2f})")
    for server in servers.values():
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
    parser.add_argument("--reps", type=int, default=40)
    options = parser.parse_args()
    options.keys = options.keys or {"absent": 10_000_000}.get(options.what, 1_000_000)
    {"cost": cost, "invalidate": invalidate, "absent": absent}[options.what](options)


if __name__ == "__main__":
    main()
