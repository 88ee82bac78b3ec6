#!/usr/bin/env python3
"""test/integration/50_durability.py - what was acknowledged is there after kill -9, exactly once.

The long version of this is kill9.py; power loss has its own tests in test/power."""

import os
import random
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.ledger import Ledger  # noqa: E402
from lib.node import Node  # noqa: E402
from lib.wire import build  # noqa: E402


class Kill9(unittest.TestCase):
    def rounds(self, conf, count, seconds):
        """Append with 16 connections, kill -9, start, check; then check everything again."""
        rng = random.Random(count)
        node = Node({"memory.tail": "1GB", **conf})
        ledger = Ledger(node)
        node.start()
        for _ in range(count):
            ledger.begin()
            time.sleep(rng.uniform(*seconds))
            node.kill9()
            ledger.end()
            node.start()
            ledger.check()
        self.assertGreater(ledger.acknowledged, 50 * count)
        node.kill9()
        node.start()
        self.assertGreaterEqual(ledger.check_all(), ledger.acknowledged)
        node.stop()

    def test_default_segments(self):
        """Five rounds with segments of the shipped size."""
        self.rounds({"journal.segment": None}, 5, (0.3, 0.8))

    def test_small_segments(self):
        """Eight rounds with the smallest segments: every few appends begin a new one."""
        self.rounds({"journal.segment": "64KB"}, 8, (0.1, 0.5))

    def test_one_worker(self):
        """Three rounds with a single worker thread."""
        self.rounds({"workers": "1"}, 3, (0.2, 0.5))

    def test_many_workers(self):
        """Three rounds with eight worker threads."""
        self.rounds({"workers": "8"}, 3, (0.2, 0.5))

    def test_kill_during_the_start(self):
        """kill -9 in the first moments of a start, again and again, loses nothing."""
        rng = random.Random(7)
        node = Node()
        ledger = Ledger(node)
        node.start()
        ledger.begin()
        time.sleep(0.5)
        node.kill9()
        ledger.end()
        for _ in range(15):
            node.spawn()
            time.sleep(rng.uniform(0, 0.08))
            node.kill9()
        node.start()
        ledger.check()
        self.assertGreater(ledger.check_all(), 50)
        node.stop()

    def test_kill_during_the_first_start(self):
        """kill -9 while the first users are being made: the next start ends with admin and anonymous."""
        rng = random.Random(8)
        node = Node()
        for _ in range(12):
            node.spawn()
            time.sleep(rng.uniform(0, 0.15))
            node.kill9()
        node.start()
        with node.client() as client:
            self.assertEqual(client.session(), "admin")
            self.assertEqual(client.post("b", "s", b"1")["id"], 1)
        with node.client("anonymous", "secret") as client:
            self.assertEqual(client.session(), "anonymous")
        node.stop()


class Recovery(NodeCase):
    CONF = {"journal.segment": "64KB"}

    def again(self):
        self.node.kill9()
        self.node.start()

    def test_kinds(self):
        """JSON, binary and batch events come back with bytes, type, id and t."""
        self.append(b'{"a": 1.0}')
        self.assertStored(self.post(bytes(range(256)), BINARY), 2)
        self.assertBatch(self.post(b"[3]\n[4]\n", NDJSON), 3, 4)
        self.assertStored(self.post(b"", BINARY), 5)
        before = self.get(self.at + "?from=1&limit=9").body
        self.again()
        self.assertEqual(self.get(self.at + "?from=1&limit=9").body, before)
        self.assertEqual([self.get(f"{self.at}/{n}").get("Content-Type") for n in range(1, 6)],
                         [JSON, BINARY, JSON, JSON, BINARY])
        self.assertEqual(self.get(self.at + "/2").body, bytes(range(256)))
        self.assertRange(self.call("HEAD", self.at), 1, 5)

    def test_large_events(self):
        """Events many times larger than a segment come back whole, between small ones."""
        events = [b'"%b"' % (bytes([97 + n]) * size) for n, size in
                  enumerate((10, 300_000, 65_536, 1, 4_096, 2_000_000, 65_000, 7))]
        self.append(*events)
        self.again()
        for number, event in enumerate(events, 1):
            self.assertEqual(self.get(f"{self.at}/{number}").body, event)

    def test_conditions(self):
        """If-Match goes on where it was before the kill."""
        self.append(b"1", b"2")
        self.again()
        self.assertError(self.post(b"0", headers=[("If-Match", '"1"')]), 412, "conflict", expected=1, got=2)
        self.assertStored(self.post(b"3", headers=[("If-Match", '"2"')]), 3)

    def test_refused_is_not_there(self):
        """What was refused (400, 401, 412, 415) is not there after a kill either."""
        self.append(b"1")
        for body, kind, headers, token in ((b"{", JSON, [], True), (b'"no"', JSON, [], None),
                                           (b'"no"', JSON, [("If-Match", '"7"')], True),
                                           (b'"no"', "text/plain", [], True), (b'"no"\n{', NDJSON, [], True)):
            self.assertGreaterEqual(self.call("POST", self.at, body, kind, headers, token).status, 400)
        self.again()
        self.assertEqual(self.ids("?limit=9"), [1])
        self.assertStored(self.post(b"2"), 2)

    def test_batch_in_the_air(self):
        """A batch that was on its way at the kill is there whole or not at all."""
        batch = b"".join(b'{"n":%d,"pad":"%b"}\n' % (n, b"p" * 200) for n in range(1000))
        high = 0
        rng = random.Random(9)
        for _ in range(6):
            wire = self.node.wire()
            wire.send(build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", NDJSON)], batch))
            time.sleep(rng.uniform(0, 0.02))
            self.again()
            wire.close()
            now = int(self.call("HEAD", self.at).get("Iorio-High"))
            self.assertIn(now - high, (0, 1000))
            high = now

    def test_many_streams(self):
        """A thousand streams come back, each with its own ids."""
        with self.node.wire() as wire:
            for turn in (1, 2):
                for first in range(0, 1000, 100):
                    wire.send(b"".join(build("POST", f"{self.at}{n}", [("X-Session", self.node.token()),
                                                                       ("Content-Type", JSON)], b"%d" % (n * turn))
                                       for n in range(first, first + 100)))
                    for _ in range(100):
                        self.assertEqual(wire.read("POST").json()["meta"]["id"], turn)
        self.again()
        with self.node.wire() as wire:
            for n in range(0, 1000, 7):
                answer = wire.request("GET", f"{self.at}{n}?limit=5", [("X-Session", self.node.token())])
                self.assertEqual([(e["meta"]["id"], e["data"]) for e in answer.json()], [(1, n), (2, n * 2)])


class TailFull(NodeCase):
    CONF = {"memory.tail": "1MB"}

    def test_full_tail(self):
        """When memory.tail is full appends are 503 unavailable with Retry-After; reads go on; a
        restart keeps every acknowledged event."""
        event = b'"' + b"x" * 20000 + b'"'
        stored, answer = 0, None
        for _ in range(200):
            answer = self.post(event)
            if answer.status != 201:
                break
            stored += 1
        self.assertError(answer, 503, "unavailable")
        self.assertRegex(answer.get("Retry-After"), r"^[0-9]+$")
        self.assertGreater(stored, 20)
        self.assertRange(self.call("HEAD", self.at), 1, stored)
        self.assertEqual(self.get(f"{self.at}/{stored}").body, event)
        self.node.kill9()
        self.node.start()
        self.assertRange(self.call("HEAD", self.at), 1, stored)
        self.assertEqual(self.get(f"{self.at}/{stored}").body, event)


if __name__ == "__main__":
    unittest.main()
