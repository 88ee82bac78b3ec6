#!/usr/bin/env python3
"""tools/bench/run.py - the benchmarks: an Iorio node against redis-server, or against itself.

Happy path: for every row fresh servers with fresh data; a check that they keep what they acknowledge; then the
rounds, both sides one after the other inside a round, the order changing from round to round; after each
round the servers' own counts are compared with the acknowledged answers; servers ended, data deleted; a table.

Exit code: 0 measured (however slow), 1 a wrong result, 2 nothing could be measured, 130 interrupted.
tools/bench/README.rst says what is measured and how to read it.
"""

import argparse
import datetime
import json
import os
import platform
import random
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time

import logins
import report
import store
from servers import CannotRun, Node, Redis, Wrong, end, end_all, last_lines, spawn

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STREAMS = 8
WARMUP_S = 0.5
SETTLE_S = 0.3
GIB = 1 << 30
DATA_BYTES_MAX = 2 * GIB  # a server that has taken this much is replaced by a fresh one
FREE_BYTES_MIN = 12 * GIB
EVENT_OVERHEAD_BYTES = 128
BENCH_SETTINGS = {}


def post_row(connections, target, goal):
    return {"name": "post-%d" % connections, "kind": "post", "connections": connections, "body_bytes": 100,
            "title": "durable POST of 100 B, %d conn" % connections, "unit": "/s", "better": "more",
            "target": target, "goal": goal}


ROWS = [
    post_row(1, 0.9, 1.2),
    post_row(16, 1.1, 1.6),
    post_row(64, 1.2, 1.6),
    post_row(256, 0.7, 1.0),
    {"name": "tls-64", "kind": "tls", "connections": 64, "body_bytes": 100, "unit": "/s", "better": "more",
     "title": "durable POST of 100 B over TLS, 64 conn", "target": 0.5, "goal": 0.7},
    {"name": "get-64", "kind": "get", "connections": 64, "body_bytes": 100, "unit": "/s", "better": "more",
     "title": "GET of one event, 64 conn", "target": 0.9, "goal": None},
    {"name": "ingest-64", "kind": "ingest", "connections": 64, "body_bytes": 4096, "unit": "MB/s",
     "better": "more", "title": "durable ingest of 4 KiB, 64 conn", "target": 100, "goal": None},
    {"name": "idle", "kind": "idle", "unit": "MB", "better": "less", "title": "RssAnon, idle, no streams",
     "target": 20, "goal": None},
] + store.ROWS + logins.ROWS


def make_body(size_bytes):
    """A JSON object of exactly so many bytes, with members and not one long string; always the same."""
    chance = random.Random(size_bytes)
    letters = string.ascii_letters + string.digits
    out, number = '{"event":"bench"', 0
    while True:
        member = ',"m%04d":"%s"' % (number, "".join(chance.choices(letters, k=8)))
        if len(out) + len(member) + len(',"pad":""}') > size_bytes:
            break
        out, number = out + member, number + 1
    out += ',"pad":"' + "x" * (size_bytes - len(out) - len(',"pad":""}')) + '"}'
    assert len(out) == size_bytes and json.loads(out)
    return out.encode()


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    """What all rows share: the programs, the work folder, the length of a round."""

    def __init__(self, args):
        self.rounds = args.rounds
        self.seconds = args.seconds
        self.iorio = args.iorio
        self.load = args.load
        self.work = args.run_folder
        self.folders = 0

    def folder(self, name):
        self.folders += 1
        return os.path.join(self.work, "%s-%d" % (name, self.folders))

    def node(self, settings):
        node = Node(self.iorio, self.folder("iorio"), settings)
        node.login()
        return node

    def body_file(self, body):
        path = os.path.join(self.work, "body-%d" % len(body))
        with open(path, "wb") as out:
            out.write(body)
        return path

    def run_load(self, *options, seconds=None, warmup=WARMUP_S):
        """One run of the load client -> (exit code, its result or None, its errors)."""
        seconds = seconds or self.seconds
        command = [self.load, "--seconds", str(seconds), "--warmup", str(warmup)] + [str(o) for o in options]
        child = spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, errors = child.communicate(timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            raise Wrong("the load client did not end")
        finally:
            end(child)
        return child.returncode, json.loads(out) if out else None, errors

    def measure(self, *options):
        """A run in which every request has to be acknowledged."""
        return self.measure_for(self.seconds, *options)

    def measure_for(self, seconds, *options):
        code, result, errors = self.run_load(*options, seconds=seconds)
        if code != 0 or result["acked_total"] != result["sent_total"] or result["acked"] == 0:
            raise Wrong("not every request was acknowledged: %s %s" % (errors.strip(), result))
        result["figure"] = result["rate"]
        return result


class Append:
    """One side of an append row. It replaces its server before that has taken too much, and after every round
    compares what the server keeps with what it acknowledged."""

    def __init__(self, bench, row, body):
        self.bench, self.connections, self.body = bench, row["connections"], body
        self.server = None
        self.taken_bytes = self.round_bytes = 0

    def renew(self):
        if self.server is not None and self.taken_bytes + self.round_bytes <= DATA_BYTES_MAX:
            return
        self.close()
        self.server, self.taken_bytes = self.start(), 0

    def measure(self):
        self.renew()
        before = self.server.kept(STREAMS, self.body)
        result = self.bench.measure("--port", self.port(), "--connections", self.connections,
                                    "--streams", STREAMS, "--body-file", self.bench.body_file(self.body),
                                    *self.options())
        grown = self.server.kept(STREAMS, self.body) - before
        if grown != result["acked_total"]:
            raise Wrong("%s acknowledged %d events and keeps %d"
                        % (self.name, result["acked_total"], grown))
        self.round_bytes = grown * (len(self.body) + EVENT_OVERHEAD_BYTES)
        self.taken_bytes += self.round_bytes
        return result

    def port(self):
        return self.server.port

    def close(self):
        if self.server is not None:
            self.server.close()
            self.server = None


class NodeAppend(Append):
    name = "iorio"

    def settings(self):
        return BENCH_SETTINGS

    def start(self):
        node = self.bench.node(self.settings())
        node.check_event("check", self.body)
        # A client that counts refusals as answers would measure those: without the token nothing may count.
        code, result, _ = self.bench.run_load("--mode", "post", "--port", node.port, seconds=0.05, warmup=0)
        if code != 3 or result["acked_total"] != 0:
            raise Wrong("appends without a token were acknowledged: %s" % result)
        return node

    def options(self):
        return "--mode", "post", "--path", "/streams/b/s%d", "--header", "X-Session: " + self.server.token


class TlsAppend(NodeAppend):
    """Over TLS 1.3, with a certificate of P-256."""

    name = "tls"

    def __init__(self, bench, row, body):
        super().__init__(bench, row, body)
        self.certs = bench.folder("certs")
        subprocess.run([os.path.join(ROOT, "ssl", "make-dev-certs.sh"), "-d", self.certs], check=True,
                       stdout=subprocess.DEVNULL)

    def settings(self):
        return {**BENCH_SETTINGS, "https.enabled": "yes", "https.port": "0", "https.bind": "127.0.0.1",
                "ssl.certfile": os.path.join(self.certs, "cert.pem"), "ssl.keyfile": os.path.join(self.certs, "key.pem")}

    def options(self):
        return super().options() + ("--cafile", os.path.join(self.certs, "ca.pem"))

    def port(self):
        return self.server.tls_port


class RedisAppend(Append):
    name = "redis"

    def start(self):
        return Redis(self.bench.folder("redis"))

    def options(self):
        return "--mode", "xadd", "--key", "s%d"


class Get:
    """One side of the GET row: a path whose answer is known and must be the same byte for byte every time."""

    def __init__(self, bench, row, node, name, path, expect, headers):
        self.bench, self.name = bench, name
        self.options = ["--mode", "get", "--port", node.port, "--connections", row["connections"],
                        "--path", path, "--expect", expect.decode()] + headers

    def measure(self):
        return self.bench.measure(*self.options)


def play(bench, row, sides):
    """The rounds: every side once a round, the other one first in every second round."""
    rounds = [[] for _ in sides]
    for number in range(bench.rounds):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for i in order:
            time.sleep(SETTLE_S)
            rounds[i].append(sides[i].measure())
        say("%s round %d: %s" % (row["name"], number + 1, ", ".join(
            "%s %.0f/s" % (side.name, done[-1]["rate"]) for side, done in zip(sides, rounds))))
    return [(side.name, done) for side, done in zip(sides, rounds)]


def play_append(bench, row):
    body = make_body(row["body_bytes"])
    if row["kind"] == "tls":
        sides = [TlsAppend(bench, row, body), NodeAppend(bench, row, body)]
    else:
        sides = [NodeAppend(bench, row, body)]
    if row["kind"] == "post":
        sides.append(RedisAppend(bench, row, body))
    try:
        for side in sides:
            side.renew()
        played = play(bench, row, sides)
    finally:
        for side in sides:
            side.close()
    if row["kind"] == "ingest":
        for result in played[0][1]:
            result["figure"] = result["rate"] * row["body_bytes"] / 1e6
    return played


def play_get(bench, row):
    body = make_body(row["body_bytes"])
    node = bench.node(BENCH_SETTINGS)
    try:
        node.check_event("s", body)
        event = node.check_last("s", body, 1)
        ping = node.expect(200, "GET", "/ping")[1]
        return play(bench, row, [
            Get(bench, row, node, "GET", "/streams/b/s?limit=1", event, ["--header", "X-Session: " + node.token]),
            Get(bench, row, node, "/ping", "/ping", ping, [])])
    finally:
        node.close()


def play_idle(bench, row):
    """Three fresh nodes with the shipped settings, two seconds after they are ready."""
    rounds = []
    for _ in range(min(3, bench.rounds)):
        node = Node(bench.iorio, bench.folder("iorio"), {})
        try:
            time.sleep(2)
            rounds.append({"figure": node.anonymous_bytes() / 1e6})
        finally:
            node.close()
    say("idle: %s MB" % ", ".join("%.1f" % r["figure"] for r in rounds))
    return [("iorio", rounds)]


def store_play(bench, row):
    return store.PLAYS[row["kind"]](bench, row, make_body)


def logins_play(bench, row):
    return logins.play(bench, row, make_body, play)


PLAYS = {"post": play_append, "tls": play_append, "ingest": play_append, "get": play_get, "idle": play_idle, "logins": logins_play,
         **{kind: store_play for kind in store.PLAYS}}


def compile_load(work):
    """The load client for those who did not build it with the rest."""
    source, program = os.path.join(HERE, "load.c"), os.path.join(work, "load")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", program, source, "-lssl", "-lcrypto"], check=True)
    return program


def remove_leftovers(work):
    """Data of runs that were killed: their folder names begin with run- and their pid."""
    for name in os.listdir(work):
        kind, _, rest = name.partition("-")
        pid = rest.partition("-")[0]
        if kind == "run" and pid.isdigit() and not os.path.exists("/proc/" + pid):
            shutil.rmtree(os.path.join(work, name), ignore_errors=True)


def file_system(path):
    """(type, mount point) of a path, by the longest mount point above it."""
    best = ("unknown", "")
    with open("/proc/mounts") as mounts:
        for line in mounts:
            _, point, kind = line.split()[:3]
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[1]):
                best = (kind, point)
    return best


def first_line(*command):
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return out.splitlines()[0].strip() if out.strip() else "unknown"


def facts(args):
    model = "unknown processor"
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
    return [
        ("rounds", "%d of %g s (after %g s of warm-up)" % (args.rounds, args.seconds, WARMUP_S)),
        ("when", datetime.datetime.now().strftime("%Y-%m-%d %H:%M")),
        ("machine", "%s, %d cores, Linux %s, data on %s" % (model, os.cpu_count(), platform.release(),
                                                           file_system(args.run_folder)[0])),
        ("load average at the start", "%.2f" % args.load_average),
        ("iorio", first_line(args.iorio, "version")),
        ("redis", first_line("redis-server", "--version")),
    ]


def prepare(args):
    """Find the programs and the room, or say what is missing."""
    if args.iorio is None:
        raise CannotRun("which node? --iorio FILE or IORIO_BIN (rel/iorio/bin/iorio is not there)")
    args.iorio = os.path.abspath(args.iorio)
    if not os.access(args.iorio, os.X_OK):
        raise CannotRun("%s cannot be run" % args.iorio)
    if any(row["kind"] == "post" for row in args.rows) and shutil.which("redis-server") is None:
        raise CannotRun("redis-server is not installed (or choose other rows with --only)")
    work = os.path.abspath(args.work)
    os.makedirs(work, exist_ok=True)
    remove_leftovers(work)
    free = shutil.disk_usage(work).free
    if free < FREE_BYTES_MIN:
        raise CannotRun("%s has %.1f GiB free, the benchmark needs %d" % (work, free / GIB, FREE_BYTES_MIN / GIB))
    if file_system(work)[0] in ("tmpfs", "ramfs"):
        raise CannotRun("%s is in memory: nothing durable can be measured there, see --work" % work)
    args.load = os.path.abspath(args.load) if args.load else compile_load(work)
    args.load_average = os.getloadavg()[0]
    args.run_folder = tempfile.mkdtemp(prefix="run-%d-" % os.getpid(), dir=work)


def options():
    release = os.path.join(ROOT, "rel", "iorio", "bin", "iorio")
    names = [row["name"] for row in ROWS]
    parser = argparse.ArgumentParser(description="Iorio DB against redis Streams, or against itself.")
    parser.add_argument("--iorio", metavar="FILE", help="the node's program (IORIO_BIN, rel/iorio/bin/iorio)",
                        default=os.environ.get("IORIO_BIN") or (release if os.path.exists(release) else None))
    parser.add_argument("--load", metavar="FILE", help="the load client (compiled when not given)")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", metavar="ROW,...", default=",".join(names), help="of " + " ".join(names))
    parser.add_argument("--work", metavar="DIR", default=os.path.join(ROOT, "bench-work"),
                        help="where the data goes; deleted at the end")
    parser.add_argument("--json", metavar="FILE", help="all rounds")
    parser.add_argument("--rst", metavar="FILE", help="the tables for the documentation")
    args = parser.parse_args()
    only = args.only.split(",")
    unknown = [name for name in only if name not in names]
    if unknown:
        parser.error("no row %s; there are %s" % (", ".join(unknown), " ".join(names)))
    if args.rounds < 1 or args.seconds < 0.1:
        parser.error("at least one round and 0.1 s")
    args.rows = [dict(row) for row in ROWS if row["name"] in only]
    return args


def write(path, text):
    with open(path, "w") as out:
        out.write(text)


def show_logs(run_folder):
    """What the servers said last, before the run folder goes."""
    for name in sorted(os.listdir(run_folder)):
        lines = last_lines(os.path.join(run_folder, name)) if name.endswith(".log") else ""
        if lines:
            say("--- %s ends:\n%s---" % (name, lines))


def run(args):
    prepare(args)
    bench = Bench(args)
    try:
        for row in args.rows:
            row["sides"] = PLAYS[row["kind"]](bench, row)
            report.judge(row)
        known = facts(args)
    except (Wrong, ValueError, KeyError, TypeError, IndexError) as wrong:
        # The others: an answer that has not the parts it must have.
        show_logs(args.run_folder)
        raise wrong if isinstance(wrong, Wrong) else Wrong("an answer cannot be read: %r" % wrong) from wrong
    finally:
        # From here on a second Ctrl-C must not leave a server or its data behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_all()
        shutil.rmtree(args.run_folder, ignore_errors=True)
    print(report.text(args.rows, known))
    if args.json:
        write(args.json, json.dumps({"facts": dict(known), "rows": args.rows}, indent=1) + "\n")
    if args.rst:
        write(args.rst, report.rst(args.rows, known))


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def main():
    args = options()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        run(args)
    except Wrong as wrong:
        say("wrong result: %s" % wrong)
        return 1
    except (CannotRun, subprocess.CalledProcessError) as why:
        say("cannot run: %s" % why)
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
