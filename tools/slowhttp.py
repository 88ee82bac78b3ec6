#!/usr/bin/env python3
"""tools/slowhttp.py - slowhttptest (a Debian package) against a node, in its four modes, while appends go on.

Slow headers (slowloris), slow bodies, overlapping ranges, slow reading: each with 500 connections for 40 s. Meanwhile
one client appends without a pause and another asks /ping, each on a connection of its own.
Passed: every append and every ping was answered well, none took longer than --slowest, the tool said at its end that
the service is available, and the connections are gone soon after. Exit code 0, else 1; 2: it could not run.

    tools/slowhttp.py --iorio rel/iorio/bin/iorio [--connections 500] [--seconds 40]   (make slowhttp does this)
"""

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "bench"))
from servers import CannotRun, Node, Wrong, end_all, spawn  # noqa: E402

MODES = [
    ("slow headers", ["-H", "-i", "5"], "/ping"),
    ("slow bodies", ["-B", "-i", "5", "-s", "8192", "-t", "POST"], "/streams/slow/body"),
    ("ranges", ["-R", "-i", "5"], "/ping"),
    ("slow reading", ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3", "-i", "5"],
     "/streams/slow/big?from=1&limit=1000"),
]


class Client:
    """Asks the same thing without a pause, and keeps the slowest and what went wrong."""

    def __init__(self, node, method, path, body=None):
        self.node, self.method, self.path, self.body = node, method, path, body
        self.done = self.bad = 0
        self.slowest_s = 0.0
        self.why = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        headers = {"X-Session": self.node.token, "Content-Type": "application/json"}
        connection = None
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=30)
                connection.request(self.method, self.path, self.body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status not in (200, 201):
                    raise OSError(f"status {answer.status}")
                self.done += 1
            except (OSError, http.client.HTTPException) as e:
                self.bad += 1
                self.why = self.why or repr(e)
                connection = None
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            time.sleep(0.001)

    def end(self):
        self.stop.set()
        self.thread.join()


def metric(node, name):
    _, text = node.expect(200, "GET", "/metrics")
    return int(re.search(rf"^iorio_{name} (-?\d+)$", text.decode(), re.M)[1])


def attack(args, node, options, path):
    """Runs slowhttptest to its end; what it said last."""
    mark = "&" if "?" in path else "?"
    url = f"http://127.0.0.1:{node.port}{path}{mark}jwt={node.token}"
    command = ["slowhttptest", "-c", str(args.connections), "-r", "200", "-l", str(args.seconds), "-p", "5", *options,
               "-u", url]
    with tempfile.TemporaryFile(dir=args.work) as out:
        child = spawn(command, stdout=out, stderr=subprocess.STDOUT, cwd=args.work)
        child.wait(args.seconds + 120)
        out.seek(0)
        return re.sub(r"\x1b\[[0-9;]*m", "", out.read().decode("utf-8", "replace"))


def run_mode(args, node, name, options, path):
    before = metric(node, "http_connections")
    append = Client(node, "POST", "/streams/slow/appends", b'{"n":1}')
    ping = Client(node, "GET", "/ping")
    said = attack(args, node, options, path)
    append.end()
    ping.end()
    until = time.monotonic() + 90
    while (left := metric(node, "http_connections") - before) > 0 and time.monotonic() < until:
        time.sleep(0.5)
    available = re.findall(r"service available:\s+(\w+)", said)
    closed = re.findall(r"closed:\s+(\d+)", said)
    problems = []
    if append.bad or ping.bad:
        problems.append(f"{append.bad} appends and {ping.bad} pings failed: {append.why or ping.why}")
    if not available or available[-1] != "YES":
        problems.append(f"service available: {available[-1:]}\n{said[-2000:]}")
    if max(append.slowest_s, ping.slowest_s) > args.slowest:
        problems.append(f"slower than {args.slowest} s")
    if left > 0:
        problems.append(f"{left} connections are still there")
    print(f"{name:13} {append.done:7} appends, slowest {append.slowest_s * 1000:6.0f} ms; {ping.done:7} pings, slowest "
          f"{ping.slowest_s * 1000:6.0f} ms; available {available[-1:] or '?'}, closed {closed[-1:] or '?'}: "
          f"{'; '.join(problems) or 'passed'}", flush=True)
    return not problems


def prepare_big(node):
    """A stream whose answer is a megabyte."""
    for _ in range(10):
        node.expect(201, "POST", "/streams/slow/big", json.dumps("x" * 100000).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--iorio", default=os.environ.get("IORIO_BIN"), metavar="FILE")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--slowest", type=float, default=2.0, metavar="S", help="the slowest append or ping allowed")
    args = parser.parse_args()
    if shutil.which("slowhttptest") is None or not args.iorio:
        print("slowhttptest is not installed, or no --iorio", file=sys.stderr)
        return 2
    args.work = tempfile.mkdtemp(prefix="iorio-slowhttp-")
    node = None
    try:
        node = Node(os.path.abspath(args.iorio), os.path.join(args.work, "node"), {"http.idle.timeout": "15s"})
        node.login()
        prepare_big(node)
        good = [run_mode(args, node, *mode) for mode in MODES]
        print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
        return 0 if all(good) else 1
    except (Wrong, CannotRun) as e:
        print(e, file=sys.stderr)
        return 2
    finally:
        end_all()
        shutil.rmtree(args.work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
