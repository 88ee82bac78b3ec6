#!/usr/bin/env python3
"""tools/retention_run.py - fills a node through three policies and shows that disk and memory stay flat.

    tools/retention_run.py [--gb 10] [--seconds 600] [--bin build/release/src/app/iorio] [--keep]

Starts a node of its own in a temporary folder on a free port of the loopback, with three buckets: `count`
(max_events), `bytes` (max_bytes) and `age` (max_age). Appends --gb GB (2**30 bytes of events) in --seconds seconds,
as evenly as it can, into 20 streams of each bucket; prints a line every 10 s (of a short run: every tenth): GB
appended, MB on the disk (blocks of all files of the data directory), MB of memory (RssAnon), the streams that are
listed, and ids kept of all streams (the sum) of each bucket. At the end a verdict: the second half of the run may
need no more disk and no more memory than a bound that follows from the policies and the configuration.

Exit code 0: flat. 1: not, or the node died. 2: wrong arguments. Standard library only."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import iorio  # noqa: E402

MB, GB = 1 << 20, 1 << 30
STREAMS = 20
EVENT_BYTES = 1000
BATCH = 200
BUCKETS = ("count", "bytes", "age")
JOURNAL_MB, TAIL_MB, HISTORY_MB = 256, 64, 32


def policies(args):
    """What is kept: about 64 MB a bucket, the age so that it is a tenth of the run."""
    return {"count": {"max_events": 64 * MB // EVENT_BYTES // STREAMS},
            "bytes": {"max_bytes": 64 * MB // STREAMS},
            "age": {"max_age": f"{max(2, args.seconds // 10)}s"}}


class Node:
    def __init__(self, binary):
        self.folder = tempfile.mkdtemp(prefix="iorio-retention-")
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data, 0o700)
        conf = {"http.port": "0", "paths.data": self.data, "journal.max_bytes": f"{JOURNAL_MB}MB",
                "journal.segment": "16MB", "memory.tail": f"{TAIL_MB}MB", "memory.history": f"{HISTORY_MB}MB",
                "eviction.interval": "2s"}
        conf_file = os.path.join(self.folder, "iorio.conf")
        with open(conf_file, "w", encoding="utf-8") as f:
            f.writelines(f"{k} = {v}\n" for k, v in conf.items())
        env = {k: v for k, v in os.environ.items() if not k.startswith("IORIO_")}
        self.log_file = os.path.join(self.folder, "log")
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen([binary, "console", "--conf", conf_file], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env, start_new_session=True)
        self.port = self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + 30
        run_file = os.path.join(self.data, "node.run")
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with open(run_file, encoding="utf-8") as f:
                    fields = dict(line.split(" ", 1) for line in f.read().splitlines())
                return int(fields["http"].rpartition(":")[2])
            except (OSError, KeyError, ValueError):
                pass
            time.sleep(0.05)
        raise SystemExit(f"the node did not start\n{self.log_tail()}")

    def log_tail(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]

    def client(self):
        return iorio.Client(port=self.port, username="admin", password="secret")

    def disk_bytes(self):
        total = 0
        for folder, _, names in os.walk(self.data):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except OSError:
                    pass  # removed meanwhile
        return total

    def rss_anon_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self, keep):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


class Writer(threading.Thread):
    """Appends to one bucket, no faster than its share of the rate."""

    def __init__(self, node, bucket, bytes_per_s):
        super().__init__(daemon=True)
        self.node, self.bucket, self.bytes_per_s = node, bucket, bytes_per_s
        self.bytes = 0
        self.waits = 0
        self.ended = threading.Event()
        self.error = None

    def run(self):
        line = json.dumps("x" * (EVENT_BYTES - 2)).encode()
        begin = time.monotonic()
        turn = 0
        try:
            with self.node.client() as client:
                while not self.ended.is_set():
                    ahead = self.bytes / self.bytes_per_s - (time.monotonic() - begin)
                    if ahead > 0:
                        self.ended.wait(min(ahead, 0.2))
                        continue
                    try:
                        client.post_batch(self.bucket, f"s{turn % STREAMS}", [line] * BATCH)
                    except iorio.Refused as refused:
                        if refused.status != 503:
                            raise
                        self.waits += 1  # a checkpoint is behind: try again
                        self.ended.wait(0.05)
                        continue
                    self.bytes += BATCH * EVENT_BYTES
                    turn += 1
        except iorio.Error as error:
            self.error = error


def look(node, client, writers, seconds):
    kept = {}
    streams = 0
    for bucket in BUCKETS:
        rows = client.list_streams(bucket, info=True)["data"]
        streams += len(rows)
        kept[bucket] = sum(r["events"] for r in rows)
    return {"s": seconds, "gb": sum(w.bytes for w in writers) / GB, "disk": node.disk_bytes() / MB,
            "rss": node.rss_anon_bytes() / MB, "streams": streams, **kept}


def bounds(args, rate):
    """MB of disk and of memory: what is kept, the journal, what no checkpoint has moved or removed yet, and the
    catalog; the tail and the history twice (an allocator keeps some) and 100 MB."""
    age_mb = rate / len(BUCKETS) * (max(2, args.seconds // 10) + 4) / MB
    interval_mb = min(rate * 60 / MB, 2 * TAIL_MB + JOURNAL_MB)
    return 2 * 64 + age_mb + JOURNAL_MB + 32 + 2 * interval_mb + 100, 2 * (TAIL_MB + HISTORY_MB) + 100


def verdict(rows, args, rate):
    half = [r for r in rows if r["s"] >= args.seconds / 2] or rows[-1:]
    disk, rss = max(r["disk"] for r in half), max(r["rss"] for r in half)
    disk_max, rss_max = bounds(args, rate)
    flat = disk <= disk_max and rss <= rss_max
    print(f"second half: disk at most {disk:.0f} MB (bound {disk_max:.0f}), "
          f"memory at most {rss:.0f} MB (bound {rss_max:.0f}), {rows[-1]['gb']:.2f} GB appended: "
          f"{'flat' if flat else 'NOT FLAT'}")
    return flat


def run(args):
    node = Node(args.bin)
    rate = args.gb * GB / args.seconds
    rows, writers = [], []
    try:
        with node.client() as client:
            for bucket, policy in policies(args).items():
                client.call("PUT", f"/policies/{bucket}", json.dumps(policy).encode(), iorio.JSON)
                print(f"{bucket}: {policy}")
            writers = [Writer(node, bucket, rate / len(BUCKETS)) for bucket in BUCKETS]
            for w in writers:
                w.start()
            print(f"{'s':>5} {'GB':>8} {'disk MB':>8} {'RssAnon':>8} {'streams':>8}"
                  + "".join(f"{'kept ' + b:>12}" for b in BUCKETS), flush=True)
            begin = time.monotonic()
            every = min(10, args.seconds / 10)
            while time.monotonic() - begin < args.seconds:
                time.sleep(max(0.1, min(every, args.seconds - (time.monotonic() - begin))))
                r = look(node, client, writers, time.monotonic() - begin)
                rows.append(r)
                print(f"{r['s']:5.0f} {r['gb']:8.3f} {r['disk']:8.0f} {r['rss']:8.0f} {r['streams']:8}"
                      + "".join(f"{r[b]:12}" for b in BUCKETS), flush=True)
                for w in writers:
                    if w.error is not None:
                        raise w.error
    except (iorio.Error, OSError) as error:
        print(f"failed: {error}\n{node.log_tail()}", file=sys.stderr)
        return 1
    finally:
        for w in writers:
            w.ended.set()
        for w in writers:
            if w.is_alive():
                w.join(10)
        node.stop(args.keep)
    if writers and sum(w.waits for w in writers):
        print(f"appends that were answered 503 and tried again: {sum(w.waits for w in writers)}")
    return 0 if verdict(rows, args, rate) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--gb", type=float, default=10, help="GB of events to append (10)")
    parser.add_argument("--seconds", type=int, default=600, help="how long (600, at least 10)")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "src", "app", "iorio"))
    parser.add_argument("--keep", action="store_true", help="leave the data directory")
    args = parser.parse_args()
    if args.seconds < 10 or args.gb <= 0:
        parser.error("--seconds is at least 10, --gb above 0")
    if not os.access(args.bin, os.X_OK):
        parser.error(f"there is no program {args.bin}: build it, or say --bin")
    sys.exit(run(args))


if __name__ == "__main__":
    main()
