#!/usr/bin/env python3
"""test/integration/58_disk_full.py - a disk without room, or without inodes: appends are 507, reads,
deletions and checkpoints go on, and appends resume by themselves when there is room again.

The disk is a small tmpfs, which only root can mount: without that right the tests are skipped."""

import os
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY  # noqa: E402
from lib.node import Node, temp_folder, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402

EVENT = bytes(range(256)) * 128
RESUME_S = 15 * SLOW


class SmallDisk:
    """A tmpfs in a folder of its own, as a context."""

    def __init__(self, options):
        self.folder = temp_folder()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise unittest.SkipTest(f"cannot mount a tmpfs: {done.stderr.strip()}")

    def __enter__(self):
        return self.folder

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=True)


class DiskFull(unittest.TestCase):
    CONF = {"journal.segment": "1MB", "disk.reserve": "4MB", "memory.tail": "8MB", "journal.max_bytes": "16MB"}

    def on_disk(self, options, test):
        with SmallDisk(options) as folder:
            self.node = Node(self.CONF)
            self.node.data = self.node.conf["paths.data"] = os.path.join(folder, "data")
            os.mkdir(self.node.data, 0o700)
            self.node.start()
            try:
                test(folder)
                self.node.stop()
            finally:
                if self.node.running():
                    self.node.kill9()

    # --- what they do ---

    def post(self, stream, body=EVENT):
        return self.node.call("POST", f"/streams/b/{stream}", body, BINARY)

    def metric(self, name):
        text = self.node.call("GET", "/metrics").body.decode()
        return int(float(text.split(f"\n{name} ")[1].split("\n")[0]))

    def fill(self, streams, body=EVENT):
        """Append to these streams in turn until the disk is full, and stays so when the checkpoints have had
        their time; how many each has."""
        counts = [0] * len(streams)
        full = 0
        for n in range(1000000):
            answer = self.post(streams[n % len(streams)], body)
            full = full + 1 if answer.status == 507 else 0
            if answer.status == 201:
                counts[n % len(streams)] += 1
                self.assertEqual(answer.json()["meta"]["id"], counts[n % len(streams)])
            elif answer.status == 507:
                self.assertEqual(answer.json()["type"], "no-space")
                if full == 3:
                    return counts
                time.sleep(1.5)
            else:
                self.assertEqual((answer.status, answer.json()["type"]), (503, "unavailable"), answer)
        raise AssertionError("the disk does not get full")

    def check(self, stream, count, body=EVENT):
        """All of it, in order, byte for byte."""
        head = self.node.call("HEAD", f"/streams/b/{stream}")
        self.assertEqual((head.get("Iorio-Low"), head.get("Iorio-High")), ("1", str(count)))
        for event in range(1, count + 1):
            answer = self.node.call("GET", f"/streams/b/{stream}/{event}")
            self.assertEqual((answer.status, answer.body), (200, body))

    def resumes(self, stream, want):
        answer = wait_until("appends", lambda: (lambda a: a if a.status == 201 else None)(self.post(stream)), RESUME_S,
                            0.1)
        self.assertEqual(answer.json()["meta"]["id"], want)
        wait_until("readyz", lambda: self.node.call("GET", "/readyz", token=None).status == 200, RESUME_S, 0.1)

    # --- the tests ---

    def test_deletions_make_room(self):
        """Full by appends: 507, readyz 503; reads go on; DELETE makes room, and appends resume, all in one process."""
        def test(_folder):
            pid = self.node.process.pid
            kept, gone = self.fill(["kept", "gone"])
            self.assertGreater(kept, 100)
            self.assertEqual(self.node.call("GET", "/readyz", token=None).status, 503)
            self.check("kept", kept)
            before = self.metric("iorio_disk_free_bytes")
            answer = self.node.call("DELETE", "/streams/b/gone")
            self.assertEqual(answer.status, 204, answer)
            self.resumes("kept", kept + 1)
            wait_until("room", lambda: self.metric("iorio_disk_free_bytes") > before + gone * len(EVENT) // 2, RESUME_S,
                       0.1)
            self.check("kept", kept + 1)
            self.assertEqual(self.post("gone").json()["meta"]["id"], gone + 1)
            self.assertEqual(self.node.process.pid, pid)
            self.node.kill9()
            self.node.start()
            self.check("kept", kept + 1)
        self.on_disk("size=40m", test)

    def test_many_rounds(self):
        """Full and emptied by truncation three times: ids go on, nothing is lost, room always comes back."""
        def test(_folder):
            high = 0
            for _ in range(3):
                while True:
                    answer = self.post("s")
                    if answer.status == 507:
                        break
                    if answer.status == 201:
                        high += 1
                        self.assertEqual(answer.json()["meta"]["id"], high)
                answer = self.node.call("DELETE", f"/streams/b/s?to={high - 5}")
                self.assertEqual(answer.status, 204, answer)
                high += 1
                self.resumes("s", high)
            for event in range(high - 4, high + 1):
                self.assertEqual(self.node.call("GET", f"/streams/b/s/{event}").body, EVENT)
        self.on_disk("size=32m", test)

    def test_somebody_else_fills_it(self):
        """Another process takes all room, to the last byte: no crash, 507, reads go on; when it goes, appends resume."""
        def test(folder):
            for _ in range(20):
                self.assertEqual(self.post("s").status, 201)
            other = os.path.join(folder, "other")
            with open(other, "wb") as f:
                try:
                    while True:
                        os.write(f.fileno(), b"x" * 65536)
                except OSError:
                    pass
            wait_until("507", lambda: self.post("full").status == 507, RESUME_S, 0.05)
            self.assertEqual(self.node.call("GET", "/readyz", token=None).status, 503)
            high = int(self.node.call("HEAD", "/streams/b/s").get("Iorio-High"))
            self.check("s", high)
            self.assertEqual(self.node.call("DELETE", "/streams/b/s").status, 204)
            os.unlink(other)
            self.resumes("s", high + 1)
        self.on_disk("size=32m", test)

    def test_no_inodes(self):
        """No inode is left: 507 with all bytes free, reads and DELETE go on, and appends resume when there are some."""
        def test(folder):
            for _ in range(20):
                self.assertEqual(self.post("s").status, 201)
            os.mkdir(os.path.join(folder, "other"))
            made = 0
            try:
                while True:
                    with open(os.path.join(folder, "other", str(made)), "wb"):
                        made += 1
            except OSError:
                pass
            wait_until("507", lambda: self.post("s").status == 507, RESUME_S, 0.05)
            high = int(self.node.call("HEAD", "/streams/b/s").get("Iorio-High"))
            self.check("s", high)
            self.assertEqual(self.node.call("DELETE", "/streams/b/s?to=3").status, 204)
            for number in range(made):
                os.unlink(os.path.join(folder, "other", str(number)))
            self.resumes("s", high + 1)
        self.on_disk("size=64m,nr_inodes=1200", test)


if __name__ == "__main__":
    unittest.main()
