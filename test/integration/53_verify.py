#!/usr/bin/env python3
"""test/integration/53_verify.py - iorio verify: verbs, exit codes, the lock, JSON, a new catalog; and the walk of
the catalog at a start after an unclean stop."""

import glob
import json
import os
import random
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.node import Node, iorio_verb, temp_folder  # noqa: E402

SOUND, USAGE, DAMAGED, NO_DATA, IN_USE, FOREIGN = 0, 2, 65, 66, 75, 76
CONF = {"ring_size": "8", "journal.segment": "64KB", "journal.max_bytes": "256KB", "memory.tail": "1MB",
        "chunk.max_items": "20", "chunk.max_bytes": "16KB", "chunk.min_bytes": "1KB"}
FLIPS = 100


def event(stream, n):
    return json.dumps({"stream": stream, "n": n, "text": "x" * (n * 13 % 90 + 60)}).encode()


def checkpoints(node):
    text = node.call("GET", "/metrics", token=None).body.decode()
    return int(next(x for x in text.split("\n") if x.startswith("iorio_checkpoints_total ")).split()[1])


class Verify(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        """One directory, made once: 8 streams in chunks, 20 small ones, nothing but old records in the journal."""
        cls.node = Node(CONF)
        cls.node.start()
        for s in range(8):
            body = b"\n".join(event(s, n) for n in range(1, 46))
            assert cls.node.call("POST", f"/streams/b/big{s}", body, "application/x-ndjson").status == 201
        for s in range(20):
            assert cls.node.call("POST", f"/streams/b/small{s}", event(s, 1), "application/json").status == 201
        last = checkpoints(cls.node)
        rounds = 0
        n = 0
        while rounds < 2:
            status = cls.node.call("POST", "/streams/filler/f", b"1", "application/json").status
            assert status in (201, 503), status  # 503: the journal is full until the checkpoint ends
            n += 1
            assert n < 1000
            if checkpoints(cls.node) > last:
                last = checkpoints(cls.node)
                rounds += 1
        cls.node.stop()
        cls.sound = os.path.join(temp_folder(), "data")
        shutil.copytree(cls.node.data, cls.sound)

    def setUp(self):
        shutil.rmtree(self.node.data)
        shutil.copytree(self.sound, self.node.data)

    def tearDown(self):
        if self.node.running():
            self.node.stop()

    def file(self, name):
        return os.path.join(self.node.data, name)

    def verify(self, *options, where=None):
        ended = iorio_verb("verify", where or self.node.data, *options)
        self.assertNotIn("Sanitizer", ended.stderr)
        return ended

    def names(self):
        return sorted(os.path.relpath(p, self.node.data) for p in glob.glob(self.file("**"), recursive=True))

    def check_big(self, marker=None):
        """All events of the streams that have chunks; the id of a new one."""
        for s in range(8):
            got = self.node.call("GET", f"/streams/b/big{s}?from=1&limit=100")
            self.assertEqual(got.status, 200, (s, marker))
            self.assertEqual([e["data"] for e in got.json()], [json.loads(event(s, n)) for n in range(1, 46)],
                             (s, marker))

    # --- the verb ---

    def test_sound(self):
        """A sound directory is 0 with one line, and nothing in it changes: no file is made."""
        before = self.names()
        ended = self.verify()
        self.assertEqual((ended.returncode, ended.stderr), (SOUND, ""), ended)
        self.assertRegex(ended.stdout, r"^streams 29, events \d+ \(\d+ bytes\), chunks \d+, journal segments \d+ "
                                       r"\(\d+ records\), errors 0, notes 0\n$")
        self.assertEqual(self.names(), before)

    def test_more_at_once_than_is_kept(self):
        """A batch of which only the last events stay is no damage."""
        self.node.start()
        policy = b'{"max_events":2}'
        self.assertEqual(self.node.call("PUT", "/policies/few", policy, "application/json").status, 200)
        answer = self.node.call("POST", "/streams/few/s", b"1\n2\n3\n4\n5\n", "application/x-ndjson")
        self.assertEqual(answer.status, 201)
        self.node.stop()
        ended = self.verify()
        self.assertEqual(ended.returncode, SOUND, ended)

    def test_conf(self):
        """Without a directory it is that of the configuration."""
        self.node.write_conf()
        ended = iorio_verb("verify", "--conf", self.node.conf_file)
        self.assertEqual(ended.returncode, SOUND, ended)
        self.assertIn("streams 29", ended.stdout)

    def test_json(self):
        """--json: one object a line, findings and then the counts."""
        chunk = glob.glob(self.file("p*/*/*/*.chunk"))[0]
        os.truncate(chunk, 200)
        ended = self.verify("--json")
        self.assertEqual(ended.returncode, DAMAGED, ended)
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        self.assertEqual(lines[0], {"level": "error", "file": os.path.relpath(chunk, self.node.data), "offset": 200,
                                    "what": "the file is shorter than the catalog says"})
        self.assertEqual((lines[-1]["streams"], lines[-1]["errors"]), (29, len(lines) - 1))

    def test_usage(self):
        """Options that belong to no verb, or to another one, are 2."""
        for args in (("verify", "a", "b"), ("verify", "--nope"), ("ping", "--json"), ("start", "--rebuild-catalog")):
            self.assertEqual(iorio_verb(*args).returncode, USAGE, args)

    def test_no_directory(self):
        """No such directory, a file, an empty directory: 66, and nothing is made."""
        empty = temp_folder()
        self.assertEqual(self.verify(where=os.path.join(empty, "none")).returncode, NO_DATA)
        self.assertEqual(self.verify(where=self.file("identity")).returncode, NO_DATA)
        self.assertEqual(self.verify(where=empty).returncode, NO_DATA)
        self.assertEqual(os.listdir(empty), [])
        self.assertEqual(self.verify("--rebuild-catalog", where=empty).returncode, NO_DATA)
        self.assertEqual(os.listdir(empty), [])

    def test_lock(self):
        """While a node runs it is 75, for both verbs, and the node goes on."""
        self.node.start()
        for options in ((), ("--rebuild-catalog",)):
            ended = self.verify(*options)
            self.assertEqual(ended.returncode, IN_USE, ended)
            self.assertIn("in use", ended.stderr)
        self.check_big()

    def test_unnamed(self):
        """A chunk file that nobody names is a note."""
        chunk = glob.glob(self.file("p*/*/*/*.chunk"))[0]
        shutil.copy(chunk, os.path.join(os.path.dirname(chunk), "0000000000009999.chunk"))
        ended = self.verify()
        self.assertEqual(ended.returncode, SOUND, ended)
        self.assertIn("9999.chunk: unnamed", ended.stdout)

    # --- a new catalog ---

    def test_without_catalog(self):
        """rm catalog.mdb: the node refuses and says what to do; after it the chunks are all there, users are new."""
        os.unlink(self.file("catalog.mdb"))
        self.node.spawn()
        self.assertEqual(self.node.wait(), DAMAGED)
        self.assertIn("iorio verify --rebuild-catalog " + self.node.data, self.node.log())
        self.assertFalse(os.path.exists(self.file("catalog.mdb")))
        ended = self.verify("--rebuild-catalog")
        self.assertEqual(ended.returncode, SOUND, ended)
        self.assertIn("USERS", ended.stdout)
        self.assertFalse(os.path.exists(self.file("catalog.rebuild")))
        self.assertEqual(self.verify().returncode, SOUND)
        self.node.start()
        self.check_big()
        self.assertEqual(self.node.call("POST", "/streams/b/big0", b"1", "application/json").json()["meta"]["id"], 46)
        self.assertEqual(self.node.call("POST", "/streams/b/small0", b"1", "application/json").status, 201)
        self.node.stop()
        self.assertEqual(self.verify().returncode, SOUND)

    def test_keeps_the_old(self):
        """The old file is kept under another name each time, byte for byte."""
        with open(self.file("catalog.mdb"), "rb") as f:
            old = f.read()
        for n in (1, 2):
            self.assertEqual(self.verify("--rebuild-catalog").returncode, SOUND)
            self.assertTrue(os.path.exists(self.file(f"catalog.mdb.bad-{n}")))
        with open(self.file("catalog.mdb.bad-1"), "rb") as f:
            self.assertEqual(f.read(), old)

    def test_chunk_lost_too(self):
        """Catalog and a chunk in the middle are lost: ids go on, the files in front are kept aside, it is sound."""
        os.unlink(self.file("catalog.mdb"))
        folder = next(os.path.dirname(c) for c in glob.glob(self.file("p*/*/*/*.chunk"))
                      if len(os.listdir(os.path.dirname(c))) == 3)
        os.unlink(sorted(glob.glob(folder + "/*.chunk"))[1])
        ended = self.verify("--rebuild-catalog")
        self.assertEqual(ended.returncode, SOUND, ended)
        self.assertRegex(ended.stdout, r"events 1 to \d+ are lost")
        self.node.start()
        self.node.stop()
        self.assertEqual(self.verify().returncode, SOUND)

    def test_flips(self):
        """Random bytes of the catalog are changed: verify never dies and never says sound when a node would serve
        something else; after a rebuild every event in a chunk is there."""
        rng = random.Random(5)
        with open(self.file("catalog.mdb"), "rb") as f:
            old = f.read()
        for n in range(FLIPS):
            bad = bytearray(old)
            for _ in range(rng.choice((1, 1, 3, 30))):
                bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            with open(self.file("catalog.mdb"), "wb") as f:
                f.write(bad)
            ended = self.verify()
            self.assertIn(ended.returncode, (SOUND, DAMAGED, FOREIGN), (n, ended))
            if n % 10:
                continue
            ended = self.verify("--rebuild-catalog")
            self.assertEqual(ended.returncode, SOUND, (n, ended))
            self.node.start()
            self.check_big(n)
            self.node.stop()
            self.assertEqual(self.verify().returncode, SOUND, n)
            self.setUp()

    # --- at a start ---

    def test_clean_mark(self):
        """After a clean stop nothing is walked; after kill -9 it is, and damage is refused with 65."""
        before = self.node.log().count("catalog walked")
        self.node.start()
        self.assertEqual(self.node.log().count("catalog walked"), before)
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.node.log().count("catalog walked"), before + 1)
        self.check_big()
        self.node.kill9()
        with open(self.file("catalog.mdb"), "r+b") as f:
            size = os.path.getsize(self.file("catalog.mdb"))
            f.seek(8192)
            f.write(bytes(size - 8192))
        self.node.spawn()
        self.assertEqual(self.node.wait(), DAMAGED)
        self.assertIn("iorio verify --rebuild-catalog", self.node.log())
        self.assertEqual(self.verify("--rebuild-catalog").returncode, SOUND)
        self.node.start()
        self.check_big()


if __name__ == "__main__":
    unittest.main()
