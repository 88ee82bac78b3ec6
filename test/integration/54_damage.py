#!/usr/bin/env python3
"""test/integration/54_damage.py - bytes of a real node's data directory change while it is stopped:
the node starts with the right answers, or says what is damaged; it never makes up, loses or renumbers
an event, never ends by a signal, and never deletes anything.

A directory is made once, with streams in chunks, small ones, deleted ones and a tail in the journal;
each case is a copy of it with one byte changed. IORIO_DAMAGE_CASES: how many (500);
IORIO_DAMAGE_SEED: which.

The catalog's pages have cases of their own (a tenth as many): a byte that LMDB goes by is changed, after a clean stop
and after kill -9. What `iorio verify` then calls sound must stay sound while the node works on: appends, deletions,
checkpoints, restarts."""

import json
import os
import random
import shutil
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NDJSON  # noqa: E402
from lib.node import Node, iorio_verb, wait_until  # noqa: E402
from lib.pages import Catalog  # noqa: E402
from lib.wire import SLOW  # noqa: E402

if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"  # hundreds of copies and starts

CASES = int(os.environ.get("IORIO_DAMAGE_CASES", "500"))
SEED = int(os.environ.get("IORIO_DAMAGE_SEED", "20"))
EXIT_CODES = {65: "damaged", 74: "disk error", 76: "foreign", 77: "no rights"}
NAMES = ("identity", "journal", "catalog", ".chunk", "secret")
CONF = {"journal.segment": "64KB", "journal.max_bytes": "256KB", "chunk.max_items": "128", "chunk.min_bytes": "1KB",
        "ring_size": "8", "workers": "1", "memory.tail": "1MB", "auth.secret": "0123456789abcdef0123456789abcdef"}


def event_of(stream, number):
    return f'{{"s":"{stream}","n":{number},"pad":"{chr(97 + number % 26) * (number * 7 % 90)}"}}'


class Wanted:
    """What the node must show: per stream low, high; the events follow from their numbers."""

    def __init__(self):
        self.streams = {}

    def fill(self, node):
        """The streams, in three starts; each stop leaves a checkpoint's work or a tail behind."""
        with node.wire() as wire:
            for n in range(10):
                self.append(node, wire, f"small{n}", 3)
            for n in range(4):
                self.append(node, wire, f"chunks{n}", 40 + 60 * n)
            for n in range(6):
                self.append(node, wire, f"bulk{n}", 700)
        node.call("DELETE", "/streams/b/small1")
        self.streams["small1"] = (4, 3)
        node.call("DELETE", "/streams/b/chunks1?to=20")
        self.streams["chunks1"] = (21, 100)
        with node.wire() as wire:
            for n in range(3):
                self.append(node, wire, f"bulk{n}", 500)

    def add_tail(self, node):
        with node.wire() as wire:
            self.append(node, wire, "chunks0", 5)
            self.append(node, wire, "new", 4)
            self.append(node, wire, "small2", 2)

    def copy(self):
        other = Wanted()
        other.streams = dict(self.streams)
        return other

    def append(self, node, wire, stream, count):
        low, high = self.streams.get(stream, (1, 0))
        lines = "".join(event_of(stream, high + n + 1) + "\n" for n in range(count))

        def post():
            answer = wire.request("POST", f"/streams/b/{stream}",
                                  [("X-Session", node.token()), ("Content-Type", NDJSON)], lines.encode())
            assert answer.status in (201, 503), answer  # memory.tail is small: a checkpoint makes room
            return answer.status == 201
        wait_until("an append", post, 20 * SLOW, 0.02)
        self.streams[stream] = (low, high + count)


class Damage(unittest.TestCase):
    def tearDown(self):
        if self.node.running():
            self.node.kill9()

    @classmethod
    def setUpClass(cls):
        cls.structure = {}
        cls.wanted = Wanted()
        cls.node = node = Node(CONF)
        node.start()
        cls.wanted.fill(node)
        cls.wait_checkpoint(node)
        cls.wanted.add_tail(node)
        node.stop()
        cls.sound = os.path.join(node.folder, "sound")
        shutil.copytree(node.data, cls.sound)
        node.start()
        node.kill9()
        cls.killed = os.path.join(node.folder, "killed")
        shutil.copytree(node.data, cls.killed)
        cls.files = sorted(os.path.relpath(os.path.join(folder, name), cls.sound)
                           for folder, _, names in os.walk(cls.sound) for name in names)

    @staticmethod
    def wait_checkpoint(node):
        def made():
            text = node.call("GET", "/metrics").body.decode()
            return int(text.split("\niorio_checkpoints_total ")[1].split("\n")[0]) > 0
        wait_until("a checkpoint", made, 20 * SLOW, 0.05)

    # --- one case ---

    def used(self, name):
        """Places of a file worth a change: not the zeros behind everything."""
        with open(os.path.join(self.sound, name), "rb") as f:
            data = f.read()
        places = []
        for page in range(0, len(data), 4096):
            length = len(data[page:page + 4096].rstrip(b"\0"))
            if length:
                places.append((page, length))
        return places

    def spoil(self, rng):
        """Change one byte of one file of the node's directory; what was done."""
        while True:
            kind = rng.choice(("identity", "journal/", "journal/", "catalog.mdb", "catalog.mdb", "catalog.mdb", "p", "p",
                               "p"))
            name = rng.choice([f for f in self.files if f.startswith(kind)])
            places = self.places.setdefault(name, self.used(name))
            if places:
                break
        page, length = rng.choice(places)
        offset, mask = page + rng.randrange(length), rng.choice((1, 2, 4, 8, 16, 32, 64, 128, 255))
        with open(os.path.join(self.node.data, name), "r+b") as f:
            f.seek(offset)
            byte = f.read(1)[0]
            f.seek(offset)
            f.write(bytes([byte ^ mask]))
        return f"{name} offset {offset} mask {mask:#x}"

    def restore(self, sound=None):
        shutil.rmtree(self.node.data)
        shutil.copytree(sound or self.sound, self.node.data)

    def wait_start(self):
        """Until it is ready, or has ended: its exit code, or None."""
        try:
            self.node.wait_ready()
        except AssertionError:
            if self.node.running():
                raise
            return self.node.process.returncode
        return None

    def log_since(self, size):
        return self.node.log()[size:]

    def expect_error(self, answer, size):
        """An answer that is no data: damage, named in the log."""
        self.assertEqual((answer.status, answer.json()["type"]), (503, "unavailable"), answer)
        self.assertTrue(any(name in self.log_since(size) for name in NAMES), self.log_since(size))

    def check_stream(self, wire, stream, size):
        """True: all of it is right; False: an error that names a file."""
        low, high = self.wanted.streams[stream]
        start, got = low, []
        while start <= high:
            try:
                answer = wire.request("GET", f"/streams/b/{stream}?from={start}&limit=1000",
                                      [("X-Session", self.node.token())])
            except (ValueError, EOFError, AssertionError):  # an answer that breaks off
                self.assertTrue(self.node.running(), stream)
                self.assertTrue(any(name in self.log_since(size) for name in NAMES), self.log_since(size))
                return False
            if answer.status != 200:
                self.expect_error(answer, size)
                return False
            self.assertEqual((answer.get("Iorio-Low"), answer.get("Iorio-High")), (str(low), str(high)), stream)
            part = answer.json()
            self.assertNotEqual(part, [], stream)
            got += part
            start = got[-1]["meta"]["id"] + 1
        self.assertEqual([e["meta"]["id"] for e in got], list(range(low, high + 1)), stream)
        for event in got:
            self.assertEqual(event["data"], json.loads(event_of(stream, event["meta"]["id"])))
        return True

    def check(self, size):
        """Everything that the node shows; how many streams answered with an error."""
        said = 0
        for stream in self.wanted.streams:
            with self.node.wire() as wire:
                said += not self.check_stream(wire, stream, size)
        with self.node.wire() as wire:
            answer = wire.request("GET", "/streams/b?limit=1000", [("X-Session", self.node.token())])
            if answer.status != 200:
                self.expect_error(answer, size)
                said += 1
            else:
                listed = sorted(s for s, (low, high) in self.wanted.streams.items() if low <= high)
                self.assertEqual(answer.json()["data"], listed)
        return said

    def one(self, rng):
        what = self.spoil(rng)
        before = self.tree()
        size = len(self.node.log())
        self.node.spawn()
        code = self.wait_start()
        if code is None:
            try:
                said = self.check(size)
                result = "said" if said else "right"
            except (AssertionError, OSError) as e:
                raise AssertionError(f"{what}: {e}\n{self.log_since(size)[-3000:]}") from e
            if self.node.running():
                self.node.kill9()
        elif code < 0 or code not in EXIT_CODES:
            raise AssertionError(f"{what}: the node ended with {code}\n{self.log_since(size)[-3000:]}")
        else:
            self.assertTrue(any(word in self.log_since(size) for word in NAMES), f"{what}: {self.log_since(size)}")
            result = "refused"
        missing = before - self.tree() - {"node.run"}
        self.assertEqual({m for m in missing if m.endswith((".chunk", ".mdb")) or m == "identity"}, set(), what)
        return result

    def tree(self):
        return {os.path.relpath(os.path.join(folder, name), self.node.data)
                for folder, _, names in os.walk(self.node.data) for name in names}

    def test_sound(self):
        """The copy as it was made is right."""
        self.restore()
        self.node.start()
        self.assertEqual(self.check(len(self.node.log())), 0)
        self.node.stop()

    def test_random_changes(self):
        """So many changes of one byte, all over the directory."""
        self.places = {}
        rng = random.Random(SEED)
        seen = {}
        wrong = []
        for case in range(CASES):
            self.restore()
            try:
                result = self.one(rng)
            except AssertionError as e:
                wrong.append(f"case {case}: {e}")
                if self.node.running():
                    self.node.kill9()
                continue
            seen[result] = seen.get(result, 0) + 1
        print(f"seed {SEED}: {seen}", file=sys.stderr)
        self.assertEqual(wrong, [], "\n\n".join(wrong[:5]))
        self.assertGreater(seen.get("refused", 0), 0)
        self.assertGreater(seen.get("said", 0), 0)

    # --- the pages of the catalog ---

    def verify(self):
        """0 or 65, and what it said; another version is damage here, too."""
        ended = iorio_verb("verify", self.node.data)
        self.assertIn(ended.returncode, (0, 65, 76), ended)
        return ended.returncode, ended.stdout + ended.stderr

    def work(self, wanted):
        """Streams of all kinds grow, some go, and checkpoints save it."""
        def count():
            text = self.node.call("GET", "/metrics").body.decode()
            return int(text.split("\niorio_checkpoints_total ")[1].split("\n")[0])
        for n in (0, 2):
            before = count()
            with self.node.wire() as wire:
                for stream in (f"small{n}", f"chunks{n}", f"work{n}"):
                    wanted.append(self.node, wire, stream, 20)
                for m in range(6):
                    wanted.append(self.node, wire, f"bulk{m}", 250)
            self.assertEqual(self.node.call("DELETE", f"/streams/b/bulk{n}?to=300").status, 204)
            wanted.streams[f"bulk{n}"] = (301, wanted.streams[f"bulk{n}"][1])
            wait_until("a checkpoint", lambda: count() > before, 20 * SLOW, 0.02)  # noqa: B023

    def one_page(self, what, sound):
        """A catalog that was changed: what became of it."""
        code, said = self.verify()
        size = len(self.node.log())
        self.node.spawn()
        ended = self.wait_start()
        if ended is not None:
            self.assertIn(ended, EXIT_CODES, what)
            self.assertIn("catalog.mdb", self.log_since(size), what)
            self.assertNotEqual(code, 0, f"{what}: verify calls it sound, a start says:\n{self.log_since(size)}")
            return "refused"
        self.check(size)
        if code != 0:  # a value or a key fails its checksum: after a clean stop nobody looked
            self.assertIs(sound, self.sound, f"{what}: {said}")
            self.node.kill9()
            return "said"
        wanted, self.wanted = self.wanted, self.wanted.copy()
        try:
            self.work(self.wanted)
            self.assertEqual(self.check(size), 0)
            self.node.restart()
            self.assertEqual(self.check(size), 0)
            self.node.kill9()
            self.node.start()
            self.assertEqual(self.check(size), 0)
            self.node.stop()
            code, said = self.verify()
            self.assertEqual(code, 0, f"{what}: {said}")
        finally:
            self.wanted = wanted
        return "unharmed"

    def try_pages(self, changes):
        seen = {}
        wrong = []
        for n, (offset, value) in enumerate(changes):
            sound = self.killed if n % 2 else self.sound
            self.restore(sound)
            what = f"catalog.mdb offset {offset}: {value.hex()} ({os.path.basename(sound)})"
            Catalog(os.path.join(self.node.data, "catalog.mdb")).put(offset, value)
            try:
                result = self.one_page(what, sound)
            except (AssertionError, OSError) as e:
                wrong.append(f"{what}: {e}\n{self.node.log()[-2000:]}")
                if self.node.running():
                    self.node.kill9()
                continue
            seen[result] = seen.get(result, 0) + 1
        print(f"seed {SEED}: {seen}", file=sys.stderr)
        self.assertEqual(wrong, [], "\n\n".join(wrong[:5]))
        return seen

    def test_free_list(self):
        """Pages that are in use come into the free list, or pages of it are lost."""
        rng = random.Random(SEED)
        changes = []
        for sound in (self.sound, self.killed) * max(CASES // 100, 2):
            catalog = Catalog(os.path.join(sound, "catalog.mdb"))
            offset = rng.choice(catalog.free_numbers())
            used = rng.choice([p for name in catalog.tables() for p in catalog.used_pages(name)])
            changes.append((offset, used.to_bytes(8, "little")))
        self.assertEqual(self.try_pages(changes), {"refused": len(changes)})

    def test_pages(self):
        """Bits of what LMDB goes by."""
        rng = random.Random(SEED)
        places = [(Catalog(os.path.join(sound, "catalog.mdb"))) for sound in (self.sound, self.killed)]
        changes = []
        for n in range(max(CASES // 10, 20)):
            catalog = places[n % 2]
            offset = rng.choice(self.structure.setdefault(n % 2, catalog.structure()))
            changes.append((offset, bytes([catalog.get(offset, 1)[0] ^ rng.choice((1, 2, 4, 8, 16, 32, 64, 128, 255))])))
        seen = self.try_pages(changes)
        self.assertGreater(seen.get("refused", 0), 0)

    def test_pages_unused(self):
        """Bytes that nobody goes by do no harm, whatever they are."""
        rng = random.Random(SEED)
        for sound in (self.sound, self.killed):
            self.restore(sound)
            catalog = Catalog(os.path.join(self.node.data, "catalog.mdb"))
            free = {catalog.u64(offset) for offset in catalog.free_numbers()}
            for page in sorted(free):
                if page * 4096 < len(catalog.data):
                    catalog.put(page * 4096, rng.randbytes(4096))
            for name in catalog.tables():
                for page in catalog.used_pages(name):
                    lower, upper = struct.unpack_from("<HH", catalog.data, page * 4096 + 12)
                    catalog.put(page * 4096 + lower, rng.randbytes(upper - lower))
            self.assertEqual(self.one_page("unused bytes", sound), "unharmed")


if __name__ == "__main__":
    unittest.main()
