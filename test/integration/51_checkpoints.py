#!/usr/bin/env python3
"""test/integration/51_checkpoints.py - a node with little memory and small files: checkpoints move events
to the disk while clients write, read, and while the process is killed or the disk is full.

The full disk is a tmpfs in a namespace of this program's own (`unshare -rm`); where that is not allowed
those tests are skipped."""

import errno
import os
import random
import re
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NDJSON, NodeCase  # noqa: E402
from lib.ledger import Ledger  # noqa: E402
from lib.node import Node, temp_folder, wait_until  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

# Everything as small as the configuration allows: a round is due after half a megabyte.
SMALL = {"memory.tail": "1MB", "memory.history": "1MB", "journal.segment": "64KB", "journal.max_bytes": "2MB",
         "chunk.max_items": "16", "chunk.max_bytes": "16KB", "chunk.min_bytes": "256B"}
IN_NAMESPACE = "CHECKPOINTS_IN_NAMESPACE"


def metric(node, name):
    text = node.call("GET", "/metrics", token=None).body.decode()
    found = re.search(rf"^iorio_{name}(?:_total)? ([0-9]+)$", text, re.M)
    assert found, f"no metric {name} in\n{text}"
    return int(found[1])


def rss_kb(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+([0-9]+) kB", f.read())[1])


def sanitized(node):
    with open(f"/proc/{node.process.pid}/maps", encoding="ascii") as f:
        return re.search(r"lib[at]san", f.read()) is not None


class Writer:
    """Batches on one connection; a 503 (memory.tail is full for a moment) is tried again."""

    def __init__(self, node, path, lines, size):
        self.wire = node.wire()
        self.token = node.token()
        self.path = path
        self.lines = lines
        self.size = size
        self.high = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.wire.close()

    def line(self, number):
        return b'{"n":%d,"pad":"%b"}' % (number, b"p" * (self.size - 20))

    def put(self):
        """One batch; the status of the answer."""
        body = b"\n".join(self.line(self.high + 1 + i) for i in range(self.lines))
        self.wire.send(build("POST", self.path, [("X-Session", self.token), ("Content-Type", NDJSON)], body))
        answer = self.wire.read("POST")
        if answer.status == 201:
            meta = answer.json()["meta"]
            assert (meta["id"], meta["last"]) == (self.high + 1, self.high + self.lines), answer
            self.high += self.lines
        return answer

    def put_all(self, count):
        end = time.monotonic() + 120 * SLOW
        while count > 0:
            answer = self.put()
            assert answer.status in (201, 503), answer
            assert time.monotonic() < end, f"{count} batches are left, {answer}"
            if answer.status == 201:
                count -= 1
            else:
                time.sleep(0.02)


class Rounds(NodeCase):
    CONF = SMALL

    def test_memory_and_journal_come_free(self):
        """Ten times memory.tail goes through: rounds are made, tail and journal are small again, files of
        chunks are there, and every event is read back, in one read and one by one."""
        before = metric(self.node, "checkpoints")
        with self.node.client() as client, Writer(self.node, self.at, 100, 1000) as writer:
            writer.put_all(100)
            self.assertGreater(metric(self.node, "checkpoints"), before + 5)
            self.assertGreater(metric(self.node, "checkpoint_events"), 5000)
            wait_until("a small journal", lambda: metric(self.node, "journal_size_bytes") <= 2 << 20, 20 * SLOW)
            self.assertLessEqual(metric(self.node, "tail_bytes"), 1 << 20)
            numbers = [int(re.search(rb'"n":([0-9]+)', line)[1])
                       for line in client.iter_lines(self.bucket, self.name, from_=1, limit=1 << 40)]
            self.assertEqual(numbers, list(range(1, 10001)))
        for number in (1, 2, 16, 17, 5000, 9999, 10000):
            self.assertEqual(self.get(f"{self.at}/{number}").body, writer.line(number))
        chunks = [name for _, _, names in os.walk(self.node.data) for name in names if name.endswith(".chunk")]
        self.assertGreater(len(chunks), 500)

    def test_chunks_go(self):
        """Truncated and deleted events leave the disk with the next rounds; what is kept is read."""
        writer, other = (Writer(self.node, at, 100, 1000) for at in (self.at, self.at + "-other"))
        self.addCleanup(writer.wire.close)
        self.addCleanup(other.wire.close)
        writer.put_all(10)
        other.put_all(10)
        self.assertEqual(self.call("DELETE", f"{self.at}?to=900").status, 204)
        self.assertRange(self.call("HEAD", self.at), 901, 1000)
        other.put_all(20)
        self.assertEqual(self.ids("?from=1&limit=1000"), list(range(901, 1001)))
        self.assertEqual(self.call("DELETE", self.at).status, 204)
        other.put_all(20)
        self.assertEqual(self.ids("?from=1&limit=1000"), [])
        self.assertEqual(self.post(b"1").json()["meta"]["id"], 1001)

    def test_many_small_streams(self):
        """A thousand streams that nobody uses are found again: lists, reads, appends."""
        with self.node.wire() as wire:
            headers = [("X-Session", self.node.token()), ("Content-Type", "application/json")]
            left = list(range(1000))
            while left:
                some, left = left[:50], left[50:]
                wire.send(b"".join(build("POST", f"{self.at}-{n:04}", headers, b'"%b"' % (b"x" * 600)) for n in some))
                statuses = [wire.read("POST").status for _ in some]
                self.assertLessEqual(set(statuses), {201, 503})
                refused = [n for n, status in zip(some, statuses) if status == 503]
                left += refused
                time.sleep(0.05 if refused else 0)
        with Writer(self.node, self.at + "-other", 100, 1000) as other:
            other.put_all(20)
        with self.node.client() as client:
            names = client.list_streams(self.bucket, limit=2000, match=f"{self.name}-0*")["data"]
        self.assertEqual(names, [f"{self.name}-{n:04}" for n in range(1000)])
        for n in range(0, 1000, 37):
            self.assertRange(self.call("HEAD", f"{self.at}-{n:04}"), 1, 1)
            self.assertEqual(self.post(b"2", at=f"{self.at}-{n:04}").json()["meta"]["id"], 2)


class Killed(unittest.TestCase):
    def test_in_the_middle_of_rounds(self):
        """Eight times kill -9 while clients append and checkpoints are made: everything acknowledged is
        there once, with dense ids."""
        rng = random.Random(51)
        node = Node(SMALL)
        ledger = Ledger(node)
        node.start()
        for _ in range(8):
            ledger.begin()
            wait_until("a round", lambda: metric(node, "checkpoints") > 0, 30 * SLOW, 0.02)
            time.sleep(rng.uniform(0, 0.3))
            node.kill9()
            ledger.end()
            node.start()
            ledger.check()
        self.assertGreater(ledger.acknowledged, 400)
        node.kill9()
        node.start()
        self.assertGreaterEqual(ledger.check_all(), ledger.acknowledged)
        node.stop()
        node.start()
        self.assertGreaterEqual(ledger.check_all(), ledger.acknowledged)
        node.stop()


class Memory(NodeCase):
    CONF = SMALL

    def test_much_goes_through(self):
        """50 MB through 1 MB of memory.tail: the process stays small, also for a reader of a long answer who
        is slow; and that reader gets all of it."""
        writer = Writer(self.node, self.at, 200, 1000)
        self.addCleanup(writer.wire.close)
        writer.put_all(10)
        if sanitized(self.node):
            self.skipTest("a sanitizer's memory is not the node's")
        small = rss_kb(self.node)
        writer.put_all(240)
        self.assertLess(rss_kb(self.node) - small, 40 << 10)
        with self.node.wire(timeout_s=60 * SLOW) as slow:
            # Without a window in the kernel the answer would be there before it is read.
            slow.send(build("GET", self.at + "?from=1&limit=100000",
                            [("X-Session", self.node.token()), ("Accept", NDJSON)]))
            time.sleep(1)
            self.assertLess(rss_kb(self.node) - small, 48 << 10)
            writer.put_all(5)
            answer = slow.read()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body.count(b"\n"), 50000)
        self.assertIn(writer.line(50000), answer.body)
        self.assertLess(rss_kb(self.node) - small, 48 << 10)


@unittest.skipUnless(os.environ.get(IN_NAMESPACE), "no namespace of our own: `unshare -rm` is not allowed here")
class DiskFull(unittest.TestCase):
    MB = 1 << 20

    def setUp(self):
        self.mount = temp_folder()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", self.mount], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.mount], check=False)
        self.filler = os.path.join(self.mount, "filler")
        self.node = Node({**SMALL, "paths.data": os.path.join(self.mount, "data"), "journal.max_bytes": "1MB",
                          "disk.reserve": "1MB"})
        self.node.data = self.node.conf["paths.data"]
        os.mkdir(self.node.data, 0o700)
        self.node.start()

    def fill(self, leave):
        """Take all the room but so many bytes."""
        with open(self.filler, "wb") as f:
            for _ in range(100):
                room = os.statvfs(self.mount)
                try:
                    os.posix_fallocate(f.fileno(), 0, max(room.f_bfree * room.f_bsize - leave, 4096))
                    return
                except OSError as e:  # the node was faster
                    self.assertEqual(e.errno, errno.ENOSPC)
        self.fail("the node takes all the room")

    def check(self, writer):
        """Every event that was acknowledged is there, and none besides."""
        with self.node.client() as client:
            lines = list(client.iter_lines("full", "s", from_=1, limit=1 << 40))
        numbers = [int(re.search(rb'"n":([0-9]+)', line)[1]) for line in lines]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(len(numbers), writer.high)

    def test_full_and_room_again(self):
        """The disk fills up in the middle of checkpoints, with more or less room left: appends are refused
        with 507 or 503 and a reason, reads go on; with room again appends and rounds go on without a restart,
        and after kill -9 everything is there."""
        writer = Writer(self.node, "/streams/full/s", 20, 1000)
        self.addCleanup(writer.wire.close)
        writer.put_all(20)
        for leave in (0, 64 << 10, 256 << 10, self.MB):
            self.fill(leave)
            seen = set()
            end = time.monotonic() + 10 * SLOW
            refused = 0
            while refused < 20 and time.monotonic() < end:
                answer = writer.put()
                seen.add(answer.status)
                if answer.status != 201:
                    refused += 1
                    self.assertIn(answer.status, (503, 507), answer)
                    self.assertTrue(answer.json()["reason"])
                    time.sleep(0.05)
            self.assertGreaterEqual(refused, 20, f"{seen} with {leave} bytes left")
            self.check(writer)
            rounds = metric(self.node, "checkpoints")
            os.unlink(self.filler)
            wait_until("appends to go on", lambda: writer.put().status == 201, 10 * SLOW, 0.1)
            wait_until("a round", lambda: (writer.put(), metric(self.node, "checkpoints") > rounds)[1], 20 * SLOW, 0.05)
            self.assertTrue(self.node.running())
            self.check(writer)
        self.assertGreater(metric(self.node, "checkpoint_failures"), 0)
        self.node.kill9()
        self.node.start()
        self.check(writer)
        self.node.stop()

    def test_full_at_the_start(self):
        """A node that was killed on a full disk starts again when there is room, with everything."""
        writer = Writer(self.node, "/streams/full/s", 20, 1000)
        self.addCleanup(writer.wire.close)
        writer.put_all(30)
        self.fill(0)
        for _ in range(200):
            if writer.put().status != 201:
                break
        self.node.kill9()
        os.unlink(self.filler)
        self.node.start()
        with self.node.client() as client:
            high = client.head("full", "s").high
        self.assertIn(high, (writer.high, writer.high + writer.lines))
        writer.high = high
        self.check(writer)
        self.node.stop()


if __name__ == "__main__":
    if IN_NAMESPACE not in os.environ:
        probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False) \
            if os.path.exists("/usr/bin/unshare") else None
        if probe is not None and probe.returncode == 0:
            os.execve("/usr/bin/unshare", ["unshare", "-rm", sys.executable, *sys.argv],
                      {**os.environ, IN_NAMESPACE: "1"})
    unittest.main()
