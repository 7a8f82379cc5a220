"""What of a reply's lateness was the machine's, for the measurements beside this file.

A reply is late on the server's account, or because its reader, the thread that serves it
or the kernel's own that carries packets over loopback waited for a processor (the kernel
counts that for each thread, /proc/…/schedstat), or because the whole machine stood still
(a virtual one does, for milliseconds at a time: a thread of real-time priority that only
sleeps sees it, where one may have that).
"""
import multiprocessing, os, time

LATE_MS = (1, 2, 5)
# What the witness sleeps at a time, and from what a sleep too long is a standstill.
SLEEP_S, STANDSTILL_S = 0.0005, 0.0005


def comm(thread):
    try:
        with open(f"{thread}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


class Queues:
    """How long the calling thread, and the busiest of a server's and of those that carry
    packets, have waited for a processor."""

    def __init__(self, server_pid):
        folder = f"/proc/{server_pid}/task"
        threads = [f"{folder}/{thread}" for thread in os.listdir(folder)]
        serving = [t for t in threads if comm(t).startswith("worker")] or threads
        processes = [f"/proc/{pid}" for pid in os.listdir("/proc") if pid.isdigit()]
        carrying = [p for p in processes if comm(p).startswith("ksoftirqd")]
        self.groups = [[os.open(f"{thread}/schedstat", os.O_RDONLY) for thread in group]
                       for group in (["/proc/thread-self"], serving, carrying)]

    def read(self):
        return [[os.pread(file, 64, 0) for file in group] for group in self.groups]

    @staticmethod
    def waited_s(before, after):
        since = lambda was, now: (int(now.split()[1]) - int(was.split()[1])) / 1e9
        return sum(max(map(since, was, now), default=0) for was, now in zip(before, after))


class Waits:
    """How long replies took; for the late ones when, and how long a processor was awaited."""

    def __init__(self, server_pid):
        self.queues, self.all_s, self.late = Queues(server_pid), [], []
        self.before = self.queues.read()

    def of(self, ask):
        """Calls `ask`, which waits for a reply."""
        began = time.time()
        ask()
        took_s = time.time() - began
        self.all_s.append((began, took_s))
        after = self.queues.read()
        if took_s > LATE_MS[0] / 1e3:
            self.late.append((began, took_s, Queues.waited_s(self.before, after)))
        self.before = after

    def told(self):
        return self.all_s, self.late


def watch(cpu, stop, results):
    """Remembers when a processor stood still: (from, to)."""
    seen = []
    try:
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        results.put(None)
        return
    while not stop.is_set():
        began = time.time()
        time.sleep(SLEEP_S)
        over_s = time.time() - began - SLEEP_S
        if over_s > STANDSTILL_S:
            seen.append((began + SLEEP_S, began + SLEEP_S + over_s))
    results.put(seen)


class Aside:
    """A function of (…, stop, results) in a process of its own."""

    def __init__(self, function, *args):
        self.stop, self.results = multiprocessing.Event(), multiprocessing.SimpleQueue()
        self.process = multiprocessing.Process(target=function, args=(*args, self.stop, self.results))
        self.process.start()

    def over(self):
        self.stop.set()
        results = self.results.get()
        self.process.join()
        return results


class Witness:
    """Watches all processors while it is entered."""

    def __enter__(self):
        self.asides = [Aside(watch, cpu) for cpu in sorted(os.sched_getaffinity(0))]
        return self

    def __exit__(self, *_):
        self.standstills = [aside.over() for aside in self.asides]

    def stood_still_s(self, since, until):
        """The longest that any processor did within that time."""
        overlap = lambda seen: sum(max(0, min(end, until) - max(begin, since)) for begin, end in seen or [])
        return max(overlap(seen) for seen in self.standstills)

    def summary(self, told, since=0.0, until=float("inf")):
        """Of the waits asked for in that time, how late they were and what was the server's."""
        waits, late = told
        waits = sorted(w for at, w in waits if since <= at <= until)
        late = [l for l in late if since <= l[0] <= until]
        if not waits:
            return "none"
        at = lambda share: waits[min(int(len(waits) * share), len(waits) - 1)] * 1e3
        # The three waits may overlap, and a standstill them: what is left is the least
        # that was the server's, and whatever a processor was not awaited for is in it.
        servers = [max(took - queued - self.stood_still_s(began, began + took), 0) for began, took, queued in late]
        counts = lambda of: ", ".join(f"over {ms} ms: {sum(w > ms / 1e3 for w in of)}" for ms in LATE_MS)
        last = max(servers, default=0) * 1e3
        unseen = "" if all(s is not None for s in self.standstills) else " (standstills not seen: no real-time priority)"
        return (f"{len(waits)} replies, 99%: {at(.99):.2f} ms, 99.9%: {at(.999):.2f}, 99.99%: {at(.9999):.2f}, "
                f"last: {waits[-1] * 1e3:.2f}; {counts(waits)}\n"
                f"    less waits for a processor and standstills{unseen}: last {last:.2f} ms; {counts(servers)}")
