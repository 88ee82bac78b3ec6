#!/usr/bin/env python3
"""test/integration/13_http_idempotency.py - API.md section 3: Idempotency-Key."""

import os
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import wait_until  # noqa: E402


def key(text):
    return (("Idempotency-Key", text),)


class Idempotency(NodeCase):
    def headers(self, kind, text):
        return (("Content-Type", kind), ("X-Session", self.node.token())) + key(text)

    def test_the_first_answer_again(self):
        """A retry gets the answer of the first time, byte for byte, and appends nothing."""
        first = self.post(b'{"n":1}', headers=key("a"))
        t = self.assertStored(first, 1)
        self.append(b"2", b"3")
        again = self.post(b'{"n":1}', headers=key("a"))
        self.assertEqual(self.assertStored(again, 1), t)
        self.assertEqual(again.body, first.body)
        self.assertIsNone(again.get("Iorio-Dedupe-Window"))
        self.assertEqual(self.ids("?limit=10"), [1, 2, 3])

    def test_batches(self):
        """A batch is one unit: first and last id again."""
        self.append(b"0")
        for _ in range(3):
            self.assertBatch(self.post(b"1\n2\n3\n", NDJSON, key("batch")), 2, 4)
        self.assertEqual(self.ids("?limit=10"), [1, 2, 3, 4])

    def test_keys_belong_to_a_stream(self):
        """The same key on another stream is another key; keys are compared byte by byte."""
        self.assertStored(self.post(b"1", headers=key("k")), 1)
        self.assertStored(self.post(b"1", headers=key("k"), at=self.at + "-2"), 1, self.at + "-2")
        self.assertStored(self.post(b"1", headers=key("K")), 2)
        self.assertStored(self.post(b"1", headers=key('"k"')), 3)
        self.assertStored(self.post(b"1", headers=key("k")), 1)

    def test_another_body(self):
        """The same key with another body is 400 invalid-field, and nothing is appended."""
        self.post(b"[1]", headers=key("k"))
        for body, kind in ((b"[2]", JSON), (b"[1] ", JSON), (b"[1]", BINARY), (b"[1]\n[1]\n", NDJSON)):
            with self.subTest(body=body, kind=kind):
                answer = self.post(body, kind, key("k"))
                self.assertError(answer, 400, "invalid-field",
                                 "This Idempotency-Key was used with another body",
                                 field="Idempotency-Key")
        self.assertBatch(self.post(b"[1]\n", NDJSON, key("k")), 1, 1)  # the same one event
        self.assertEqual(self.ids("?limit=10"), [1])

    def test_before_conditions(self):
        """The key is looked at before If-Match: a retry of a conditional append succeeds."""
        for _ in range(2):
            self.assertStored(self.post(b"1", headers=key("k") + (("If-Match", '"0"'),)), 1)
            self.assertStored(self.post(b"2", headers=key("n") + (("If-Match", '"1"'),)), 2)
        answer = self.post(b"3", headers=key("new") + (("If-Match", '"1"'),))
        self.assertError(answer, 412, "conflict")
        # What was refused is not remembered.
        self.assertStored(self.post(b"3", headers=key("new") + (("If-Match", '"2"'),)), 3)

    def test_length(self):
        """1 to 128 bytes; else 400 invalid-field."""
        self.assertStored(self.post(b"1", headers=key("x" * 128)), 1)
        self.assertStored(self.post(b"1", headers=key("x" * 127)), 2)
        for text in ("", "x" * 129, "x" * 4000):
            with self.subTest(size=len(text)):
                self.assertError(self.post(b"1", headers=key(text)), 400, "invalid-field")
        self.assertEqual(self.ids("?limit=10"), [1, 2])

    def test_twice(self):
        """Two keys for one append are 400, and so are two conditions."""
        for name, values in (("Idempotency-Key", "ab"), ("If-Match", ('"0"', '"1"')), ("If-None-Match", "**")):
            with self.subTest(name=name):
                headers = [(name, values[0]), (name, values[1])]
                self.assertError(self.post(b"1", headers=headers), 400, "invalid-field", field=name)
        self.assertError(self.post(b"1", headers=[("If-Match", '"00"')]), 400, "invalid-field", field="If-Match")
        self.assertEqual(self.ids("?limit=9"), [])

    def test_memory(self):
        """With Prefer: durability=memory a retry is accepted again and appends nothing."""
        headers = key("k") + (("Prefer", "durability=memory"),)
        for _ in range(3):
            self.assertEqual(self.post(b"1", headers=headers).status, 202)
        self.assertStored(self.post(b"1", headers=key("k")), 1)
        self.assertEqual(self.ids("?limit=10"), [1])

    def test_at_the_same_time(self):
        """Sixteen clients send the same request at once: one event, sixteen equal answers."""
        bodies = []

        def send(number):
            with self.node.wire() as wire:
                answer = wire.request("POST", self.at, self.headers(JSON, f"k{number}"), b'{"same":1}')
            bodies.append((number, answer.status, answer.body))

        for number in range(20):
            threads = [threading.Thread(target=send, args=(number,)) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(len(bodies), 20 * 16)
        self.assertEqual(len(set(bodies)), 20)
        self.assertTrue(all(status == 201 for _, status, _ in bodies))
        self.assertEqual(self.ids("?limit=1000"), list(range(1, 21)))

    def test_restart_and_crash(self):
        """Keys are remembered across a stop and across kill -9."""
        t = self.assertStored(self.post(b"1", headers=key("a")), 1)
        self.node.restart()
        self.assertEqual(self.assertStored(self.post(b"1", headers=key("a")), 1), t)
        self.assertStored(self.post(b"2", headers=key("b")), 2)
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.assertStored(self.post(b"1", headers=key("a")), 1), t)
        self.assertStored(self.post(b"2", headers=key("b")), 2)
        self.assertError(self.post(b"3", headers=key("b")), 400, "invalid-field")
        self.assertEqual(self.ids("?limit=10"), [1, 2])

    def test_many_keys(self):
        """The last 10,000 keys of a stream; the answer says when that is less than the window."""
        lines = b"1\n"
        wire = self.enterContext(self.node.wire())
        for number in range(1, 10002):
            answer = wire.request("POST", self.at, self.headers(NDJSON, f"k{number}"), lines)
            self.assertEqual(answer.status, 201, answer)
            if number in (1, 9999, 10000):
                self.assertIsNone(answer.get("Iorio-Dedupe-Window"), answer)
        self.assertRegex(answer.get("Iorio-Dedupe-Window"), r"\A[1-9][0-9]*\Z")
        self.assertBatch(self.post(lines, NDJSON, key("k2")), 2, 2)
        self.assertBatch(self.post(lines, NDJSON, key("k1")), 10002, 10002)

    def test_metric(self):
        """iorio_append_repeated counts what was answered again."""
        def count():
            text = self.get("/metrics").body.decode()
            return int(next(line.split()[1] for line in text.splitlines()
                            if line.startswith("iorio_append_repeated_total ")))
        before = count()
        for _ in range(3):
            self.post(b"1", headers=key("k"))
        self.assertEqual(count(), before + 2)


class Window(NodeCase):
    CONF = {"streams.dedupe.window": "1s", "memory.dedupe": "64KB"}

    def test_1_the_window_ends(self):
        """After streams.dedupe.window the key is new again."""
        self.assertStored(self.post(b"1", headers=key("k")), 1)
        self.assertStored(self.post(b"1", headers=key("k")), 1)
        time.sleep(1.3)
        self.assertStored(self.post(b"1", headers=key("k")), 2)

    def test_2_memory_is_bounded(self):
        """memory.dedupe full: the oldest keys of the stream go, and the answer says so; streams
        without a key are refused, and taken again when the windows of the others have ended."""
        for number in range(1, 1001):
            answer = self.post(b"1", headers=key(f"{number:0100}"))
            self.assertStored(answer, number)
        self.assertEqual(answer.get("Iorio-Dedupe-Window"), "1")
        self.assertStored(self.post(b"1", headers=key(f"{1000:0100}")), 1000)
        others = [f"{self.at}-{number}" for number in range(50)]
        answers = [self.post(b"1", headers=key("k"), at=at) for at in others]
        refused = [answer for answer in answers if answer.status == 503]
        self.assertGreater(len(refused), 40)
        self.assertError(refused[0], 503, "unavailable")
        self.assertEqual(refused[0].get("Retry-After"), "1")
        free = f"{self.at}-without-a-key"
        self.assertStored(self.post(b"1", at=free), 1, free)
        wait_until("the keys to go", lambda: all(
            self.post(b"1", headers=key("k"), at=at).status == 201 for at in others), 15, 0.5)


if __name__ == "__main__":
    unittest.main()
