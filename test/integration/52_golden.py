#!/usr/bin/env python3
"""test/integration/52_golden.py - every format version that was released is read as it was written.

test/golden/v1 was made by test/golden/make.py: a node that was killed behind a checkpoint."""

import base64
import glob
import json
import os
import shutil
import sys
import tarfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.node import ROOT, Node, iorio_verb, temp_folder  # noqa: E402

SOUND, DAMAGED, NO_DATA, FOREIGN = 0, 65, 66, 76
GOLDEN = os.path.join(ROOT, "test", "golden", "v1")


def flip(path, offset, mask=0x40):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ mask]))


class Golden(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(GOLDEN, "expected.json"), encoding="utf-8") as f:
            cls.expected = json.load(f)
        cls.whole = temp_folder()
        with tarfile.open(os.path.join(GOLDEN, "data.tar.xz")) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(cls.whole, filter="data")
            else:
                tar.extractall(cls.whole)

    def setUp(self):
        self.node = Node(self.expected["conf"])
        shutil.rmtree(self.node.data)
        shutil.copytree(os.path.join(self.whole, "data"), self.node.data)

    def tearDown(self):
        if self.node.running():
            self.node.stop()

    def file(self, name):
        return os.path.join(self.node.data, name)

    def chunk(self, size_min=0):
        """The path of the largest chunk file that has at most 10000 bytes."""
        found = [c for c in glob.glob(self.file("p*/*/*/*.chunk")) if size_min <= os.path.getsize(c) < 10000]
        return max(found, key=os.path.getsize)

    def verify(self, code, *words, options=()):
        ended = iorio_verb("verify", self.node.data, *options)
        self.assertEqual(ended.returncode, code, ended)
        for word in words:
            self.assertIn(word, ended.stdout + ended.stderr)
        return ended

    def check_content(self):
        """Every stream, every event, every list as a client was told once."""
        for at, stream in self.expected["streams"].items():
            head = self.node.call("HEAD", at)
            self.assertEqual(head.status, stream["status"], at)
            self.assertEqual((int(head.get("Iorio-Low") or 0), int(head.get("Iorio-High") or 0)),
                             (stream["low"], stream["high"]), at)
            for n in range(1, stream["high"] + 1):
                one = self.node.call("GET", f"{at}/{n}")
                wanted = stream["events"].get(str(n))
                if wanted is None:
                    self.assertEqual(one.status, 410, (at, n))
                else:
                    self.assertEqual([one.get("Content-Type"), base64.b64encode(one.body).decode()], wanted, (at, n))
        self.assertEqual(self.node.call("GET", "/streams/orders/").json(), self.expected["lists"])

    # --- as it was written ---

    def test_it_is_sound(self):
        """verify finds nothing but that the node was killed or idle, and changes no byte."""
        def state():
            return {p: (os.path.getsize(p), os.stat(p).st_mtime_ns)
                    for p in sorted(glob.glob(self.file("**"), recursive=True))}
        before = state()
        self.verify(SOUND, "errors 0")
        self.assertEqual(state(), before)

    def test_content(self):
        """A node on a copy serves everything that was told, and goes on: a stop, a start, the same."""
        self.node.start()
        self.check_content()
        self.node.restart()
        self.check_content()
        self.node.stop()
        self.verify(SOUND, "errors 0")

    def test_kinds(self):
        """The fixture holds what it is for."""
        streams = self.expected["streams"]
        self.assertTrue(any(len(at) > 1000 for at in streams))
        self.assertTrue(any(s["low"] > 1 and s["events"] for s in streams.values()))
        self.assertTrue(any(s["low"] > s["high"] > 0 for s in streams.values()))
        types = {e[0] for s in streams.values() for e in s["events"].values()}
        self.assertEqual(len(types), 2)
        self.assertGreaterEqual(len(glob.glob(self.file("p*/*/*/*.chunk"))), 5)

    def test_rebuild(self):
        """A new catalog without the old one: chunks and the journal's events are served; then it is sound."""
        os.unlink(self.file("catalog.mdb"))
        self.verify(DAMAGED, "catalog.mdb", "missing")
        self.verify(SOUND, "errors 0", options=["--rebuild-catalog"])
        self.verify(SOUND, "errors 0")
        self.node.start()
        for name in ("chunks", "large", "truncated", "binary"):
            at = f"/streams/orders/{name}"
            for n, (type_, body) in self.expected["streams"][at]["events"].items():
                one = self.node.call("GET", f"{at}/{n}")
                self.assertEqual((one.status, one.get("Content-Type"), base64.b64encode(one.body).decode()),
                                 (200, type_, body), (at, n))
        self.node.stop()

    def test_rebuild_of_a_sound_one(self):
        """A new catalog from a sound one loses nothing at all."""
        self.verify(SOUND, "errors 0", options=["--rebuild-catalog"])
        self.assertTrue(os.path.exists(self.file("catalog.mdb.bad-1")))
        self.node.start()
        self.check_content()
        self.node.stop()
        self.verify(SOUND, "errors 0")

    # --- damaged ---

    def test_identity(self):
        """A flipped bit in the identity: 65; another format: 76; none: 66."""
        flip(self.file("identity"), 40)
        self.verify(DAMAGED, "identity")
        with open(self.file("identity"), "r+b") as f:
            f.write(b"iorio data directory, format 2")
        self.verify(FOREIGN, "format 2")
        os.unlink(self.file("identity"))
        self.verify(NO_DATA, "no data directory")

    def test_chunk(self):
        """A flipped bit in an event, a cut file, a missing file: each names its file; a node starts all the same."""
        path = self.chunk()
        name = os.path.relpath(path, self.node.data)
        flip(path, 500)
        self.verify(DAMAGED, f"error: {name}: offset ")
        os.truncate(path, 400)
        self.verify(DAMAGED, f"error: {name}: offset 400: the file is shorter than the catalog says")
        os.unlink(path)
        self.verify(DAMAGED, f"error: {name}: it is missing")
        self.node.start()
        self.node.stop()

    def test_catalog_cut(self):
        """A catalog that ends too early: verify and the start say 65 and where."""
        os.truncate(self.file("catalog.mdb"), 40960)
        self.verify(DAMAGED, "catalog.mdb")
        self.node.spawn()
        self.assertEqual(self.node.wait(), DAMAGED)
        self.assertIn("iorio verify --rebuild-catalog " + self.node.data, self.node.log())

    def test_journal(self):
        """A flipped bit in a batch in front of others is damage, with file and offset."""
        segment = sorted(glob.glob(self.file("journal/*.seg")))[0]
        flip(segment, 4096 + 100)
        self.verify(DAMAGED, "error: journal/" + os.path.basename(segment) + ": offset 4096")
        self.node.spawn()
        self.assertEqual(self.node.wait(), DAMAGED)

    def test_segment_missing(self):
        """A segment in the middle that is gone is damage."""
        os.unlink(sorted(glob.glob(self.file("journal/*.seg")))[1])
        self.verify(DAMAGED, "journal")


if __name__ == "__main__":
    unittest.main()
