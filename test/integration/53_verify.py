#!/usr/bin/env python3
"""test/integration/53_verify.py - iorio verify: verbs, exit codes, the lock, JSON, a new catalog; and the walk of
the catalog at a start after an unclean stop."""

import glob
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.node import Node, binary, clean_env, iorio_verb, temp_folder, wait_until  # noqa: E402
from lib.pages import Catalog  # noqa: E402
from lib.wire import SLOW  # noqa: E402

SOUND, USAGE, DAMAGED, NO_DATA, IN_USE, FOREIGN = 0, 2, 65, 66, 75, 76
CONF = {"ring_size": "8", "journal.segment": "64KB", "journal.max_bytes": "256KB", "memory.tail": "1MB",
        "chunk.max_items": "20", "chunk.max_bytes": "16KB", "chunk.min_bytes": "1KB"}
FLIPS = 100


def event(stream, n):
    return json.dumps({"stream": stream, "n": n, "text": "x" * (n * 13 % 90 + 60)}).encode()


def child_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
        return int((f.read().split() or [0])[0])


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
        end = time.monotonic() + 30 * SLOW
        while rounds < 2:
            status = cls.node.call("POST", "/streams/filler/f", b"1", "application/json").status
            assert status in (201, 503), status  # 503: the journal is full until the checkpoint ends
            if status == 503:
                time.sleep(0.01)
            assert time.monotonic() < end
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
        self.assertRegex(ended.stdout, r"^in the catalog: streams 29, events \d+ \(\d+ bytes\), chunks \d+; in the "
                                       r"journal: segments \d+, records \d+; errors 0, notes 0\n$")
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

    def check_rebuilt(self, out, old):
        """What is lost is said, counted, and no error of the directory as it is now."""
        lines = out.splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("a new catalog.mdb was made; "))
        losses = sum(line.startswith("lost: ") for line in lines[:at])
        said = f"losses {losses} (told above)." if losses else "losses 0."
        self.assertEqual(lines[at], f"a new catalog.mdb was made; {old}; {said} The directory is now:")
        self.assertFalse([line for line in lines if line.startswith("error: ")], out)
        self.assertRegex(lines[-1], r"; errors 0, notes \d+$")
        return losses

    def test_without_catalog(self):
        """rm catalog.mdb: the node refuses and says what to do; after it the chunks are all there, users are new."""
        os.unlink(self.file("catalog.mdb"))
        self.node.spawn()
        self.assertEqual(self.node.wait(), DAMAGED)
        self.assertIn("iorio verify --rebuild-catalog " + self.node.data, self.node.log())
        self.assertFalse(os.path.exists(self.file("catalog.mdb")))
        ended = self.verify("--rebuild-catalog")
        self.assertEqual(ended.returncode, SOUND, ended)
        self.check_rebuilt(ended.stdout, "there was no old one")
        self.assertRegex(ended.stdout, "(?m)^lost: catalog.mdb: ALL USERS")
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
            ended = self.verify("--rebuild-catalog")
            self.assertEqual(ended.returncode, SOUND)
            self.assertEqual(self.check_rebuilt(ended.stdout, f"the old one is catalog.mdb.bad-{n}"), 0)
            self.assertTrue(os.path.exists(self.file(f"catalog.mdb.bad-{n}")))
        lines = [json.loads(line) for line in self.verify("--rebuild-catalog", "--json").stdout.splitlines()]
        self.assertEqual(lines[0], {"made": "catalog.mdb", "old": "catalog.mdb.bad-3", "losses": 0})
        self.assertEqual(lines[-1]["errors"], 0)
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
        self.assertRegex(ended.stdout, r"(?m)^lost: .*events 1 to \d+ are lost")
        self.check_rebuilt(ended.stdout, "there was no old one")
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
            self.check_rebuilt(ended.stdout, "the old one is catalog.mdb.bad-1")
            self.node.start()
            self.check_big(n)
            self.node.stop()
            self.assertEqual(self.verify().returncode, SOUND, n)
            self.setUp()

    # --- at a start ---

    def looks(self):
        """How often the pages of the catalog were looked at, and its values walked."""
        return self.node.log().count("catalog checked"), self.node.log().count("catalog walked")

    def test_clean_mark(self):
        """After a clean stop no value is walked; after kill -9 it is, and damage is refused with 65."""
        pages, values = self.looks()
        self.node.start()
        self.assertEqual(self.looks(), (pages + 1, values))
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.looks(), (pages + 2, values + 1))
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

    # --- pages ---

    def refused(self, *words):
        """console and start end with 65 and the same sentence, which says what to do; nothing changes."""
        before = self.bytes("catalog.mdb")
        self.node.spawn()
        self.assertEqual(self.node.wait(), DAMAGED)
        ended = iorio_verb("start", "--conf", self.node.conf_file, env=self.start_env())
        self.assertEqual(ended.returncode, DAMAGED, ended)
        hint = (f"Take a copy of the directory, then look at it: iorio verify {self.node.data}. A new catalog is made "
                f"by: iorio verify --rebuild-catalog {self.node.data}")
        for text in (self.node.tail(1500), ended.stderr):
            for word in (*words, hint):
                self.assertIn(word, text)
            self.assertNotIn("journal/", text.splitlines()[-1])
            self.assertNotIn("see the log", text)
        self.assertEqual(self.bytes("catalog.mdb"), before)

    def start_env(self, **more):
        """`iorio start` writes its log beside the program else."""
        return {"IORIO_LOG_FILE": os.path.join(self.node.folder, "start.log"), **more}

    def bytes(self, name):
        with open(self.file(name), "rb") as f:
            return f.read()

    def test_free_list(self):
        """A page that is in use and in the free list: verify says where, the node does not start and so writes over
        nothing; all of it can be read, so a new catalog has lost nothing."""
        catalog = Catalog(self.file("catalog.mdb"))
        page = catalog.used_pages("rows")[0]
        offset = catalog.free_numbers()[0]
        catalog.put(offset, struct.pack("<Q", page))
        ended = self.verify()
        self.assertEqual(ended.returncode, DAMAGED, ended)
        self.assertIn(f"error: catalog.mdb: offset {offset}: the free list of transaction ", ended.stdout)
        self.assertIn(f"iorio verify --rebuild-catalog {self.node.data}\n", ended.stderr)
        self.refused(f"catalog.mdb: damage at offset {offset}: the free list")
        ended = self.verify("--rebuild-catalog")
        self.assertEqual(ended.returncode, SOUND, ended)
        self.assertEqual(self.check_rebuilt(ended.stdout, "the old one is catalog.mdb.bad-1"), 0)
        self.assertRegex(ended.stdout, f"(?m)^note: catalog.mdb: offset {offset}: the free list")
        self.node.start()
        self.check_big()
        for s in range(20):
            self.assertEqual(self.node.call("GET", f"/streams/b/small{s}/1").body, event(s, 1))

    def test_pages_after_a_clean_stop(self):
        """Zeroed pages, and bytes that once killed the node: 65 and never a signal."""
        catalog = Catalog(self.file("catalog.mdb"))
        pages = [("rows", 0, bytes(4096)), ("rows", 10, b"\xff"), ("rows", 14, b"\xff"), ("rows", 17, b"\xff"),
                 ("free", 10, b"\xff"), ("free", 14, b"\xff"), ("free", 17, b"\xff"), ("main", 12, b"\xff\xff")]
        for name, byte, value in pages:
            offset = catalog.used_pages(name)[0] * 4096
            catalog.put(offset + byte, value)
            ended = self.verify()
            self.assertEqual(ended.returncode, DAMAGED, ended)
            self.assertRegex(ended.stdout, r"error: catalog.mdb: offset \d+: ")
            self.refused("catalog.mdb: damage at offset ")
            self.setUp()

    def test_large(self):
        """A large catalog is looked at after a stop that was not clean only. Damage that shows while the node runs is
        65 and a sentence then, too, from console and from start."""
        os.truncate(self.file("catalog.mdb"), 300 << 20)  # LMDB does not mind what is behind its last page
        pages, values = self.looks()
        self.node.start()
        self.assertEqual(self.looks(), (pages, values))
        self.check_big()
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.looks(), (pages + 1, values + 1))
        self.node.stop()
        catalog = Catalog(self.file("catalog.mdb"))
        catalog.put(catalog.root_at("main"), struct.pack("<Q", 1))  # an assertion of LMDB
        self.refused("catalog.mdb: damage ")

    def test_rows_in_a_replay(self):
        """The journal goes on with a stream whose row fails its checksum, or is gone: the catalog is to blame."""
        self.node.start()
        self.assertEqual(self.node.call("POST", "/streams/b/big0", event(0, 46), "application/json").status, 201)
        self.node.stop()
        catalog = Catalog(self.file("catalog.mdb"))
        rows = [(node, data, size) for page in catalog.used_pages("rows")
                for node, flags, _, data, size in (catalog.nodes(page) if catalog.is_leaf(page) else ())
                if flags == 0 and b"big0" in catalog.data[data:data + size]]
        self.assertEqual(len(rows), 1)
        node, data, size = rows[0]
        before = self.bytes("catalog.mdb")
        for offset, starts, ends in (
                (data + size - 1, "catalog.mdb: cannot read the row of a stream: ", "Stored data is damaged"),
                (node + 8 + 11, "journal/", "a stream that was never created. Its checksum is right, so catalog.mdb may "
                                            "be to blame")):  # the last byte of the value, and of the key
            with open(self.file("catalog.mdb"), "wb") as f:
                f.write(before)
            catalog.put(offset, bytes([before[offset] ^ 1]))
            self.node.spawn()
            self.assertEqual(self.node.wait(), DAMAGED)
            said = self.node.log().splitlines()[-1]
            self.assertTrue(said.startswith("iorio: cannot start: " + starts), said)
            self.assertIn(ends + ". Take a copy of the directory, then look at it: iorio verify ", said)
            self.assertIn("iorio verify --rebuild-catalog ", said)

    # --- damage while it runs ---

    def ended_by_damage(self):
        self.assertEqual(self.node.wait(), DAMAGED)
        self.assertIn(f"iorio: {self.node.data}/catalog.mdb: damage while it is in use: ", self.node.tail(1500))
        self.assertIn("iorio verify --rebuild-catalog ", self.node.tail(1500))
        self.assertNotIn("Sanitizer", self.node.tail(1500))
        os.truncate(self.node.log_file, 0)  # LMDB's own words look like a report

    def poke(self):
        """Streams are read that are not in memory, and a checkpoint is made, until the node is gone."""
        try:
            for s in range(8):
                self.node.call("GET", f"/streams/b/big{s}?from=1&limit=100")
            for _ in range(2000):
                self.node.call("POST", "/streams/filler/f", b"1", "application/json")
                self.node.call("GET", "/streams/b")
                if not self.node.running():
                    return
        except (OSError, EOFError, ValueError, AssertionError):
            pass

    def test_cut_while_it_runs(self):
        """The file is cut: what was a SIGBUS."""
        self.node.start()
        os.truncate(self.file("catalog.mdb"), 8192)
        self.poke()
        self.ended_by_damage()

    def test_assertion_while_it_runs(self):
        """What LMDB itself finds wrong: it was an abort."""
        self.node.start()
        catalog = Catalog(self.file("catalog.mdb"))
        for meta in (0, 1):
            catalog.put(catalog.root_at("main", meta), struct.pack("<Q", 1))
        self.poke()
        self.ended_by_damage()

    def test_write_while_it_runs(self):
        """Pages that LMDB takes for copies of its own: it writes into its mapping, a SIGSEGV."""
        self.node.start()
        catalog = Catalog(self.file("catalog.mdb"))
        for name in ("main", "rows", "groups"):
            for page in catalog.used_pages(name):
                flags = catalog.get(page * 4096 + 10, 2)
                catalog.put(page * 4096 + 10, bytes([flags[0] | 0x10, flags[1]]))
        self.poke()
        self.ended_by_damage()

    def test_other_signals(self):
        """A signal that somebody sends is what it always was."""
        for number in (signal.SIGSEGV, signal.SIGBUS):
            self.node.start()
            os.kill(self.node.process.pid, number)
            self.assertNotIn(self.node.wait(), (0, DAMAGED))
            os.truncate(self.node.log_file, 0)  # of the report of a sanitizer

    def test_start_says_why(self):
        """iorio start of a node that is killed while it starts says so, and does not name a log without a word."""
        self.node.write_conf()
        os.unlink(self.file("identity"))
        os.mkfifo(self.file("identity"))  # it waits here
        for level in ("info", "error"):
            env = self.start_env(IORIO_LOG_LEVEL=level, IORIO_LOG_FILE=os.path.join(self.node.folder, level + ".log"))
            child = subprocess.Popen([binary(), "start", "--conf", self.node.conf_file], text=True,
                                     stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=clean_env(env))
            try:
                pid = wait_until("the node", lambda: child_of(child), 20 * SLOW)  # noqa: B023
                if level == "info":
                    wait_until("a word", lambda: os.path.getsize(env["IORIO_LOG_FILE"]) > 0, 20 * SLOW)  # noqa: B023
                os.kill(pid, signal.SIGKILL)
                _, said = child.communicate(timeout=20 * SLOW)
            finally:
                child.kill()
            self.assertEqual(child.returncode, 1, said)
            self.assertIn("the node did not start: it was ended by signal 9 (Killed)", said)
            self.assertEqual("(log: " in said, level == "info", said)


if __name__ == "__main__":
    unittest.main()
