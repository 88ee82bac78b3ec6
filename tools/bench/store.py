"""tools/bench/store.py - rows about the store: reading a long stream, a hundred thousand streams, starts.

A row here measures one node against a fixed figure, or against itself in the same minutes. What it fills in is
checked: ids, counts, the last event. Each play returns rounds as those of run.py do.
"""

import os
import re
import signal
import socket
import sys
import time

from servers import Wrong, end

MIB = 1 << 20
GIB = 1 << 30
MANY = 100000
EVENTS_EACH = 10
PATIENCE_S = 200

ROWS = [
    {"name": "catchup-1k", "kind": "catchup", "body_bytes": 1024, "total_bytes": GIB, "better": "more", "unit": "MB/s",
     "title": "catch-up of 1 GiB of 1 KiB events as NDJSON, stored bytes", "target": 500, "goal": 1500},
    {"name": "catchup-100", "kind": "catchup", "body_bytes": 100, "total_bytes": GIB // 2, "better": "more",
     "unit": "/s", "title": "catch-up of 100 B events as NDJSON, events", "target": 2000000, "goal": None},
    {"name": "many-disk", "kind": "many", "figure": "disk", "better": "less", "unit": "MB",
     "title": "100,000 streams of 10 events of 100 B: disk", "target": 300, "goal": None},
    {"name": "many-rss", "kind": "many", "figure": "rss", "better": "less", "unit": "MB",
     "title": "the same: RssAnon after a restart", "target": 60, "goal": None},
    {"name": "many-mapped", "kind": "many", "figure": "mapped", "better": "less", "unit": "MB",
     "title": "the same: mapped files (RssFile), no target", "target": 100000, "goal": None},
    {"name": "many-ready", "kind": "many", "figure": "ready", "better": "less", "unit": "ms",
     "title": "the same: ready after a restart", "target": 3000, "goal": None},
    {"name": "many-round", "kind": "many", "figure": "round", "better": "less", "unit": "ms",
     "title": "one checkpoint round over all of them", "target": 3000, "goal": None},
    {"name": "many-p99", "kind": "many", "figure": "p99", "better": "less", "unit": "us",
     "title": "p99 of appends in that round / without one", "target": 2, "goal": None},
    {"name": "many-rr", "kind": "many", "figure": "rr", "better": "more", "unit": "/s",
     "title": "appends round robin over them / to one stream, 64 conn", "target": 0.5, "goal": None},
    {"name": "restart", "kind": "restart", "better": "less", "unit": "ms",
     "title": "ready after kill -9 at default limits", "target": 1000, "goal": None},
    {"name": "scan-4k", "kind": "scan", "body_bytes": 4096, "journal_bytes": GIB, "better": "less", "unit": "ms",
     "title": "recovery of 1 GiB of journal, 4 KiB records", "target": 1000, "goal": None},
    {"name": "scan-100", "kind": "scan", "body_bytes": 100, "journal_bytes": GIB // 4, "better": "less", "unit": "ms",
     "title": "recovery of 1 GiB of journal, 100 B records", "target": 2500, "goal": None},
]


def say(text):
    print(text, file=sys.stderr, flush=True)


class Client:
    """One connection that sends NDJSON and reads answers; a refusal for want of room is tried again."""

    def __init__(self, node):
        self.node = node
        self.socket = socket.create_connection(("127.0.0.1", node.port), 60)
        self.lines = self.socket.makefile("rb")

    def close(self):
        self.lines.close()
        self.socket.close()

    def request(self, stream, body):
        return (b"POST /streams/b/%s HTTP/1.1\r\nHost: b\r\nContent-Type: application/x-ndjson\r\nX-Session: %s\r\n"
                b"Content-Length: %d\r\n\r\n" % (stream.encode(), self.node.token.encode(), len(body))) + body

    def answer(self):
        status = int(self.lines.readline().split()[1])
        size = 0
        while True:
            line = self.lines.readline()
            if line == b"\r\n":
                break
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        body = self.lines.read(size)
        if status not in (201, 503):
            raise Wrong("an append was answered %d: %r" % (status, body[:200]))
        return status == 201

    def fill(self, streams, body, pipelined):
        """Append body to each of the streams."""
        todo = list(streams)
        while todo:
            part, todo = todo[:pipelined], todo[pipelined:]
            self.socket.sendall(b"".join(self.request(s, body) for s in part))
            again = [s for s in part if not self.answer()]
            if again:
                todo[:0] = again
                time.sleep(0.05)


def event_lines(body, count):
    return (body + b"\n") * count


def metrics(node):
    text = node.expect(200, "GET", "/metrics")[1].decode()
    return {line.split()[0][6:]: float(line.split()[1]) for line in text.splitlines() if line and line[0] != "#"}


def wait_saved(node, bytes_max=100000):
    """Until a checkpoint has taken what is in memory (one a minute comes by itself)."""
    until = time.monotonic() + PATIENCE_S
    while True:
        now = metrics(node)
        if now["tail_bytes"] <= bytes_max:
            return now
        if time.monotonic() > until:
            raise Wrong("no checkpoint in %d s: %r" % (PATIENCE_S, now))
        time.sleep(0.2)


# ---- catch-up ----

def read_all(node, want_check):
    """GET the whole stream as NDJSON -> (seconds, bytes of the body, or its lines when they are wanted)."""
    with socket.create_connection(("127.0.0.1", node.port), 60) as s:
        s.sendall(b"GET /streams/b/long?from=1&limit=1000000000 HTTP/1.1\r\nHost: b\r\nConnection: close\r\n"
                  b"Accept: application/x-ndjson\r\nX-Session: %s\r\n\r\n" % node.token.encode())
        start = time.monotonic()
        got, lines, end_of = 0, 0, b""
        room = bytearray(MIB)
        while True:
            n = s.recv_into(room)
            if n == 0:
                break
            if want_check:
                lines += room[:n].count(b"\n{\"meta\"")
                end_of = (end_of + room[:n])[-4096:]
            got += n
        return time.monotonic() - start, got, lines, bytes(end_of)


def play_catchup(bench, row, make_body):
    body = make_body(row["body_bytes"])
    count = row["total_bytes"] // len(body)
    node = bench.node({})
    try:
        client = Client(node)
        batch = min(8000, (4 * MIB) // len(body))
        for done in range(0, count, batch):
            client.fill(["long"], event_lines(body, min(batch, count - done)), 1)
        client.close()
        wait_saved(node)
        _, whole, lines, last = read_all(node, True)
        if b'{"meta":{"id":%d,' % count not in last or body not in last or lines < count - 1 - whole // MIB:
            raise Wrong("the stream did not come back whole: %d of %d events, %r" % (lines, count, last[-300:]))
        rounds = []
        for _ in range(min(5, bench.rounds)):
            seconds, got, _, _ = read_all(node, False)
            if got != whole:
                raise Wrong("the same read gave %d bytes and then %d" % (whole, got))
            figure = count / seconds if row["unit"] == "/s" else count * len(body) / 1e6 / seconds
            rounds.append({"figure": figure})
        say("%s: %s" % (row["name"], ", ".join("%.0f" % r["figure"] for r in rounds)))
        return [("iorio", rounds)]
    finally:
        node.close()


# ---- a hundred thousand streams ----

def disk_bytes(folder):
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            total += os.stat(os.path.join(at, name)).st_blocks * 512
    return total


def memory_of(node):
    with open("/proc/%d/status" % node.pid) as status:
        found = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB", status.read(), re.M))
    return int(found["RssAnon"]) * 1024, int(found["RssFile"]) * 1024


def restart(node, how):
    """End the node and start it again on its data. -> seconds until /readyz is 200."""
    if how == signal.SIGTERM:
        end(node.child)
    else:
        os.kill(node.pid, how)
        node.child.wait()
    run = os.path.join(node.data, "node.run")
    if os.path.exists(run):
        os.remove(run)
    env = {k: v for k, v in os.environ.items() if not k.startswith("IORIO_")}
    start = time.monotonic()
    node.launch([node.binary, "console", "--conf", node.conf], env)
    node.wait_ready()
    while node.ask("GET", "/readyz")[0] != 200:
        time.sleep(0.005)
    return time.monotonic() - start


def measure_load(bench, node, streams, connections, seconds):
    return bench.measure_for(seconds, "--mode", "post", "--port", node.port, "--connections", connections, "--streams",
                             streams, "--path", "/streams/b/m%d", "--header", "X-Session: " + node.token,
                             "--body-file", bench.body_file(bench.many_body))


def many(bench, make_body):
    """All figures of the rows many-*, once a run."""
    found = {}
    bench.many_body = body = make_body(100)
    node = bench.node({})
    try:
        names = ["m%d" % i for i in range(MANY)]
        client = Client(node)
        client.fill(names, event_lines(body, EVENTS_EACH), 64)
        client.close()
        wait_saved(node, 0)
        found["disk"] = [disk_bytes(node.data) / 1e6]
        ready = restart(node, signal.SIGTERM)
        time.sleep(1)
        anonymous, mapped = memory_of(node)
        found["ready"], found["rss"], found["mapped"] = [ready * 1e3], [anonymous / 1e6], [mapped / 1e6]
        for i in (0, MANY // 2, MANY - 1):
            node.check_last("m%d" % i, body, EVENTS_EACH)
    finally:
        node.close()
    # Enough memory that nothing is saved before the minute is over: then one round has all of them.
    node = bench.node({"memory.tail": "4GB", "journal.max_bytes": "8GB", "memory.history": "256MB"})
    try:
        client = Client(node)
        client.fill(names, event_lines(body, 1), 64)
        before = metrics(node)
        calm = measure_load(bench, node, 1, 16, 5)
        until = time.monotonic() + PATIENCE_S
        while metrics(node)["checkpoints_total"] == before["checkpoints_total"]:
            busy = measure_load(bench, node, 1, 16, 3)
            if time.monotonic() > until:
                raise Wrong("no checkpoint came")
        after = metrics(node)
        client.close()
        found["round"] = [(after["checkpoint_us_total"] - before["checkpoint_us_total"]) / 1e3]
        found["p99"] = [(busy["p99_us"], calm["p99_us"])]
        found["rr"] = []
        for _ in range(min(5, bench.rounds)):
            each = measure_load(bench, node, MANY, 64, bench.seconds)
            one = measure_load(bench, node, 1, 64, bench.seconds)
            found["rr"].append((each["rate"], one["rate"]))
    finally:
        node.close()
    say("many: %r" % found)
    return found


def play_many(bench, row, make_body):
    if not hasattr(bench, "many_found"):
        bench.many_found = many(bench, make_body)
    figures = bench.many_found[row["figure"]]
    if isinstance(figures[0], tuple):
        first = {"p99": "in a round", "rr": "all"}[row["figure"]]
        return [(first, [{"figure": a} for a, _ in figures]),
                ({"p99": "without", "rr": "one"}[row["figure"]], [{"figure": b} for _, b in figures])]
    return [("iorio", [{"figure": f} for f in figures])]


# ---- starts ----

def play_restart(bench, row, make_body):
    rounds = []
    bench.many_body = make_body(100)
    for _ in range(min(3, bench.rounds)):
        node = bench.node({})
        try:
            measure_load(bench, node, 8, 64, bench.seconds)
            rounds.append({"figure": restart(node, signal.SIGKILL) * 1e3})
        finally:
            node.close()
    say("%s: %s ms" % (row["name"], ", ".join("%.0f" % r["figure"] for r in rounds)))
    return [("iorio", rounds)]


def play_scan(bench, row, make_body):
    """1 GiB of journal that no checkpoint has taken; the node says how long it took."""
    body = make_body(row["body_bytes"])
    node = bench.node({"memory.tail": "16GB", "journal.max_bytes": "16GB", "log.level": "info"})
    try:
        bench.many_body = body
        until = time.monotonic() + PATIENCE_S
        while metrics(node)["journal_bytes_total"] < row["journal_bytes"]:
            measure_load(bench, node, 8, 256, 3)
            if time.monotonic() > until:
                raise Wrong("the journal does not grow")
        rounds = []
        for _ in range(3):
            restart(node, signal.SIGKILL)
            with open(node.log) as log:
                said = re.findall(r"recovered batches=\d+ records=\d+ bytes=(\d+) ms=(\d+)", log.read())[-1]
            rounds.append({"figure": int(said[1]) * GIB / int(said[0])})
        say("%s: %s ms a GiB" % (row["name"], ", ".join("%.0f" % r["figure"] for r in rounds)))
        return [("iorio", rounds)]
    finally:
        node.close()


PLAYS = {"catchup": play_catchup, "many": play_many, "restart": play_restart, "scan": play_scan}
