#!/usr/bin/env python3
"""What a published message costs: server CPU time for each message delivered.

    fanout.py SERVER [SERVER …] [--subscribers 1000] [--payload 64] [--depth 0 1 16] [--seconds 3] [--rounds 3]

Starts each server in turn, with as many connections subscribed to one channel as
are asked for and one publisher that keeps `depth` PUBLISH on their way (0: each
only when the last has arrived everywhere), and reads
what the kernel charged the server for it until the last message had arrived.
`--args` goes to every server. Prints the median of the rounds, in microseconds,
with the messages delivered in a second and the time from a PUBLISH to its last
copy.
"""

import argparse
import multiprocessing
import os
import pathlib
import select
import socket
import statistics
import subprocess
import tempfile
import time

CHANNEL = b"news"


def encode(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def start(server, args):
    port = free_port()
    folder = tempfile.TemporaryDirectory(prefix="fanout-")
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder.name, *args],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder.name)
    for _ in range(1000):
        try:
            connect(port).close()
            return process, port, folder
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"{server} does not start")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(port, count, size, received, ready):
    """A process that subscribes `count` times and counts what arrives."""
    poll = select.epoll()
    sockets = {}
    for _ in range(count):
        s = connect(port)
        s.sendall(encode(b"SUBSCRIBE", CHANNEL))
        wanted = len(encode(b"subscribe", CHANNEL)) - len(b"*2") + len(b"*3") + len(b":1\r\n")
        while wanted:
            wanted -= len(s.recv(wanted))
        s.setblocking(False)
        poll.register(s, select.EPOLLIN)
        sockets[s.fileno()] = s
    buffer = bytearray(1 << 16)
    ready.release()
    total = 0
    while True:
        for fd, _ in poll.poll():
            n = sockets[fd].recv_into(buffer)
            if n == 0:
                return
            total += n
        received.value = total // size


def publish(s, depth, seconds, command):
    """Keeps `depth` commands on their way; how many were answered."""
    sent, buffered = 0, b""
    end = time.monotonic() + seconds
    while not sent or time.monotonic() < end:
        s.sendall(command * depth)
        sent += depth
        left = depth
        while left:
            buffered += s.recv(1 << 16)
            left -= buffered.count(b"\r\n")
            buffered = buffered[buffered.rfind(b"\r\n") + 2:]
    return sent


def measure(server, options, depth):
    process, port, folder = start(server, options.args.split())
    try:
        payload = b"x" * options.payload
        size = len(encode(b"message", CHANNEL, payload))
        received, ready = multiprocessing.Value("Q", 0, lock=False), multiprocessing.Semaphore(0)
        listener = multiprocessing.Process(
            target=listen, args=(port, options.subscribers, size, received, ready), daemon=True)
        listener.start()
        ready.acquire()
        s = connect(port)
        command = encode(b"PUBLISH", CHANNEL, payload)
        alone = []
        for i in range(20):
            began = time.monotonic()
            publish(s, 1, 0, command)
            while received.value < (i + 1) * options.subscribers:
                time.sleep(0.0001)
            alone.append(time.monotonic() - began)
        before, first, began = cpu_seconds(process.pid), received.value, time.monotonic()
        if depth == 0:
            wanted = first
            while time.monotonic() < began + options.seconds:
                publish(s, 1, 0, command)
                wanted += options.subscribers
                while received.value < wanted:
                    time.sleep(0.0001)
        else:
            wanted = first + publish(s, depth, options.seconds, command) * options.subscribers
        while received.value < wanted:
            if process.poll() is not None or not listener.is_alive() or time.monotonic() > began + options.seconds + 120:
                raise SystemExit(f"{server}: {received.value} of {wanted} messages arrived")
            time.sleep(0.001)
        delivered = wanted - first
        took = time.monotonic() - began
        cpu = cpu_seconds(process.pid) - before
        listener.terminate()
        return cpu / delivered * 1e6, delivered / took, statistics.median(alone) * 1e3
    finally:
        process.kill()
        process.wait()
        folder.cleanup()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("servers", nargs="+")
    a.add_argument("--subscribers", type=int, default=1000)
    a.add_argument("--payload", type=int, default=64, help="bytes")
    a.add_argument("--depth", type=int, nargs="+", default=[0, 1, 16])
    a.add_argument("--seconds", type=float, default=3)
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--args", default="", help="for every server")
    options = a.parse_args()
    options.servers = [os.path.abspath(server) for server in options.servers]
    for depth in options.depth:
        rounds = {server: [] for server in options.servers}
        for _ in range(options.rounds):
            for server in options.servers:
                rounds[server].append(measure(server, options, depth))
        for server, results in rounds.items():
            cpu, rate, alone = (statistics.median(column) for column in zip(*results))
            print(f"depth {depth:3}  {cpu:7.3f} us/message  {rate:12,.0f} messages/s  {alone:6.2f} ms to the last of {options.subscribers}  {server}", flush=True)


if __name__ == "__main__":
    main()
