#!/usr/bin/env python3
"""test/integration/18_retention.py - what policies say is what is left: exact for readers, gone from the disk, also
after a restart and a kill -9."""

import json
import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402

# The smallest of everything, so that checkpoints come all the time.
SMALL = {"eviction.interval": "1s", "chunk.max_items": "64", "chunk.max_bytes": "16KB", "chunk.min_bytes": "1KB",
         "journal.segment": "64KB", "journal.max_bytes": "512KB", "memory.tail": "1MB"}
SOON_S = 10 * SLOW


class Base(NodeCase):
    CONF = SMALL

    def setUp(self):
        super().setUp()
        self.bucket = f"{type(self).__name__.lower()}-{self.name}"
        self.of_bucket = f"/policies/{self.bucket}"

    def stream(self, name):
        return f"/streams/{self.bucket}/{name}"

    def policy(self, at=None, **fields):
        answer = self.call("PUT", at or self.of_bucket, json.dumps(fields).encode(), JSON)
        self.assertEqual(self.assertJson(answer, 200), {"ok": True})

    def fill(self, name, count, size=100, batch=100):
        """So many events of so many bytes; the last id."""
        line = b'"' + b"x" * (size - 2) + b'"'
        last = 0
        while count > 0:
            n = min(count, batch)
            answer = self.call("POST", self.stream(name), b"\n".join([line] * n), NDJSON)
            if answer.status == 503:  # the journal is full until a checkpoint ends
                time.sleep(0.05)
                continue
            self.assertEqual(answer.status, 201, answer)
            meta = answer.json()["meta"]
            last = meta.get("last", meta["id"])
            count -= n
        return last

    def range(self, name):
        answer = self.call("HEAD", self.stream(name))
        self.assertEqual(answer.status, 200, answer)
        return int(answer.get("Iorio-Low")), int(answer.get("Iorio-High"))

    def soon(self, what, condition):
        return wait_until(what, condition, SOON_S, 0.05)

    def chunks(self):
        """Names of the chunk files of the node and their bytes together."""
        found = {}
        for folder, _, names in os.walk(self.node.data):
            for name in names:
                if name.endswith(".chunk"):
                    try:
                        found[os.path.join(folder, name)] = os.path.getsize(os.path.join(folder, name))
                    except FileNotFoundError:
                        pass
        return found

    def journal_bytes(self):
        total = 0
        for folder, _, names in os.walk(os.path.join(self.node.data, "journal")):
            total += sum(os.path.getsize(os.path.join(folder, n)) for n in names
                         if os.path.exists(os.path.join(folder, n)))
        return total

    def preview(self, at, **fields):
        answer = self.call("POST", at + "/preview", json.dumps(fields).encode() if fields else b"", JSON)
        return self.assertJson(answer, 200)

    def metric(self, name):
        for line in self.get("/metrics").body.decode().splitlines():
            if line.startswith(f"iorio_{name} "):
                return int(line.split()[1])
        self.fail(f"no metric {name}")
        return 0

    def assertReads(self, name, low, high):
        """A reader gets these ids, whatever it asks for."""
        self.assertEqual(self.range(name), (low, high))
        ids = self.ids("?from=1&limit=1000", at=self.stream(name))
        self.assertEqual(ids[:3], list(range(low, high + 1))[:3])
        gone = self.get(f"{self.stream(name)}/{low - 1}")
        self.assertError(gone, 410, "gone")


class Limits(Base):
    def test_count(self):
        """max_events: what is there already goes after the change, and then exactly with each append."""
        last = self.fill("s", 500)
        self.policy(max_events=20)
        self.soon("the old events to go", lambda: self.range("s") == (last - 19, last))
        self.assertReads("s", last - 19, last)
        for n in (1, 7, 33):
            last = self.fill("s", n)
            self.assertReads("s", last - 19, last)

    def test_bytes(self):
        """max_bytes, of streams with a policy of their own too."""
        self.fill("s", 300, size=100)
        self.fill("t", 300, size=100)
        self.policy(max_bytes=1050)
        self.policy(self.of_bucket + "/t", max_bytes="2KB")
        self.soon("s", lambda: self.range("s") == (291, 300))
        self.soon("t", lambda: self.range("t") == (281, 300))
        self.assertEqual(self.fill("s", 1, size=900), 301)
        self.assertReads("s", 300, 301)

    def test_age(self):
        """max_age: old ones go although nobody appends, the last one too; ids go on."""
        self.policy(max_age="3s")
        self.fill("s", 200)
        begin = time.monotonic()
        self.fill("quiet", 5)
        time.sleep(1.5)
        last = self.fill("s", 10)
        if time.monotonic() - begin < 2.5:
            self.assertEqual(self.range("s"), (1, last))
        self.soon("the first 200 to go", lambda: self.range("s")[0] == 201)
        self.soon("all to go", lambda: self.range("s") == (last + 1, last))
        self.soon("the quiet ones to go", lambda: self.range("quiet") == (6, 5))
        self.assertEqual(self.fill("s", 1), last + 1)

    def test_total(self):
        """max_total_bytes: the oldest chunks of a bucket go, and their files from the disk."""
        for i in range(6):
            self.fill(f"s{i % 2}", 640)
        self.policy(max_total_bytes=100000)

        def kept():
            rows = self.get(f"/streams/{self.bucket}?info=yes").json()["data"]
            return sum(r["bytes"] for r in rows), [r["low"] for r in rows]

        # What no checkpoint has saved cannot go: more is written until one comes.
        def below():
            self.fill("s0", 100)
            return kept()[0] <= 100000 + 60000

        self.soon("the bucket to shrink", below)
        low = kept()[1]
        self.assertGreater(min(low), 1)


class Disk(Base):
    def test_files_go(self):
        """Disk use stays flat while ten times as much is written; the journal too; nothing of it comes back."""
        self.policy(max_events=200)
        most = 0
        for i in range(30):
            last = self.fill("s", 1000, size=100, batch=500)
            self.assertEqual(self.range("s"), (last - 199, last))
            if i >= 10:
                most = max(most, sum(self.chunks().values()))
        self.assertLess(most, 1200000)  # 3 MB were written
        self.assertLess(self.journal_bytes(), 1 << 20)
        files = self.chunks()
        self.assertTrue(any(not name.endswith("0000000000000001.chunk") for name in files) or not files)
        for how in ("kill9", "stop"):
            getattr(self.node, how)()
            self.node.start()
            self.assertReads("s", last - 199, last)

    def test_kill_in_between(self):
        """kill -9 while policies take away: what is left is what a policy leaves, and dense."""
        self.policy(max_events=50)
        for _ in range(4):
            last = self.fill("s", 700, batch=50)
            self.node.kill9()
            self.node.start()
            self.assertReads("s", last - 49, last)
            self.assertEqual(self.ids("?from=1&limit=1000", at=self.stream("s")), list(range(last - 49, last + 1)))

    def test_removed_policy_brings_nothing_back(self):
        last = self.fill("s", 300)
        self.policy(max_events=10)
        self.soon("the old events to go", lambda: self.range("s")[0] == last - 9)
        self.assertNoBody(self.call("DELETE", self.of_bucket), 204)
        self.assertEqual(self.range("s"), (last - 9, last))
        self.fill("s", 5)
        self.node.restart()
        self.assertReads("s", last - 9, last + 5)


class Cold(Base):
    def test_streams_nobody_uses(self):
        """After a restart nothing is in memory; policies reach the streams in the catalog, and are swept."""
        for i in range(40):
            self.fill(f"small{i}", 5, size=20)
        self.fill("large", 2000, size=100)
        self.node.restart()
        before = self.preview(self.of_bucket, max_events=3)
        self.assertEqual(before, {"streams": 41, "events": 40 * 2 + 1997, "bytes": 40 * 2 * 20 + 1997 * 100})
        events = self.metric("retention_events_total")
        self.policy(max_events=3)
        self.soon("all of it to go", lambda: self.metric("retention_events_total") - events == before["events"])
        self.assertGreater(self.metric("retention_sweeps_total"), 0)
        self.assertReads("large", 1998, 2000)
        self.assertReads("small7", 3, 5)
        self.assertEqual(self.preview(self.of_bucket), {"streams": 0, "events": 0, "bytes": 0})


class Preview(Base):
    def test_answers(self):
        """What would go, by a body or by what holds; nothing is changed; a stream called preview is a stream."""
        self.fill("s", 10, size=20)
        self.fill("preview", 10, size=20)
        at = self.of_bucket
        self.assertEqual(self.preview(at), {"streams": 0, "events": 0, "bytes": 0})
        self.assertEqual(self.preview(at, max_events=4), {"streams": 2, "events": 12, "bytes": 240})
        self.assertEqual(self.preview(at + "/s", max_bytes=45), {"streams": 1, "events": 8, "bytes": 160})
        self.assertEqual(self.preview(at + "/preview", max_events=9), {"streams": 1, "events": 1, "bytes": 20})
        self.assertEqual(self.preview(at + "/none", max_events=9), {"streams": 0, "events": 0, "bytes": 0})
        self.assertEqual(self.preview(f"/policies/{self.bucket}-none", max_events=9)["events"], 0)
        self.assertEqual(self.range("s"), (1, 10))
        self.assertEqual(self.get(at).status, 404)  # no policy came to be

    def test_refusals(self):
        for path in (self.of_bucket, self.of_bucket + "/s"):
            at = path + "/preview"
            self.assertError(self.call("POST", at, b"{", JSON), 400, "invalid-body")
            self.assertError(self.call("POST", at, b'{"max_events":0}', JSON), 400, "invalid-field",
                             field="max_events", value=0)
            self.assertError(self.call("POST", at, b" " * 5000, JSON), 413, "too-large")
            self.assertEqual(self.call("POST", at, b"{}", NDJSON).status, 415)
            self.assertNoPerm(self.call("POST", at, b"{}", JSON, token=False))
        self.assertEqual(self.call("PATCH", self.of_bucket + "/s/preview").status, 405)


class Stop(Base):
    def test_stop_in_a_sweep(self):
        """A node that is told to stop while it sweeps and previews stops in time."""
        for i in range(200):
            self.fill(f"s{i}", 3, size=20)
        for n in (2, 1):
            self.policy(max_events=n, max_total_bytes=100000)
            time.sleep(0.05 * n)
            self.node.restart()
        self.soon("the rest to go", lambda: self.preview(self.of_bucket)["events"] == 0)


class Readers(Base):
    """Readers do not wait for a sweep."""
    CONF = dict(SMALL, **{"eviction.interval": "1h"})

    def test_a_new_policy(self):
        """A policy holds for every request behind its answer, and what went stays away."""
        self.fill("own", 30)
        self.policy(self.of_bucket + "/own", max_events=20)
        self.assertEqual(self.range("own"), (11, 30))
        self.fill("other", 9)
        self.policy(max_events=3)
        self.assertEqual(self.range("other"), (7, 9))
        self.assertEqual(self.range("own"), (11, 30))  # the stream's own still holds
        self.assertError(self.call("GET", self.stream("other") + "/6"), 410, "gone")
        self.policy(max_events=2)
        self.assertEqual(self.range("other"), (8, 9))
        self.assertEqual(self.call("DELETE", self.of_bucket).status, 204)
        self.assertEqual(self.range("other"), (8, 9))

    def test_old_events(self):
        """An event is not shown when it is older than max_age, to the second."""
        self.policy(max_age="2s")
        self.fill("s", 10)
        begin = time.monotonic()
        self.soon("the events to go", lambda: self.range("s") == (11, 10))
        self.assertGreater(time.monotonic() - begin, 1)
        self.assertError(self.call("GET", self.stream("s") + "/3"), 410, "gone")
        self.assertEqual(self.fill("s", 1), 11)
        self.assertEqual(self.range("s"), (11, 11))


if __name__ == "__main__":
    unittest.main()
