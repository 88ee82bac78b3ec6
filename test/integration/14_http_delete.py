#!/usr/bin/env python3
"""test/integration/14_http_delete.py - API.md section 3: DELETE of a stream, and truncation."""

import os
import re
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, NDJSON, NodeCase  # noqa: E402
from lib.wire import build  # noqa: E402


class Base(NodeCase):
    def delete(self, query="", at=None, **more):
        return self.call("DELETE", (at or self.at) + query, **more)

    def assertGone(self, answer, low, high):
        self.assertNoBody(answer, 204)
        self.assertRange(answer, low, high)


class Delete(Base):
    def listed(self):
        return self.name in self.get(f"/streams/{self.bucket}").json()["data"]

    def test_all(self):
        """The data goes at once, for every way to read, and the name leaves the list."""
        self.append(b"1", b"2", b"3")
        self.assertTrue(self.listed())
        self.assertGone(self.delete(), 4, 3)
        self.assertFalse(self.listed())
        for query in ("", "?limit=10", "?from=1&limit=10", "?from=-5&limit=10"):
            answer = self.get(self.at + query)
            self.assertEqual((answer.status, answer.body), (200, b"[]"), query)
            self.assertRange(answer, 4, 3)
        self.assertError(self.get(f"{self.at}/3"), 410, "gone")
        self.assertError(self.get(f"{self.at}/4"), 404, "not-found")

    def test_ids_go_on(self):
        """A later POST continues the ids and brings the name back."""
        self.append(b"1", b"2")
        self.delete()
        self.assertStored(self.post(b"3"), 3)
        self.assertTrue(self.listed())
        self.assertEqual(self.ids("?limit=10"), [3])
        self.assertGone(self.delete(), 4, 3)
        self.assertGone(self.delete(), 4, 3)
        self.assertStored(self.post(b"4", headers=(("If-Match", '"3"'),)), 4)

    def test_conditions(self):
        """If-None-Match: * holds when no event is kept; If-Match counts the ids ever given."""
        self.append(b"1", b"2")
        none = (("If-None-Match", "*"),)
        self.assertEqual(self.post(b"x", headers=none).status, 400)
        self.assertEqual(self.post(b"1", headers=none).status, 412)
        self.delete()
        self.assertEqual(self.post(b"1", headers=(("If-Match", '"0"'),)).status, 412)
        self.assertStored(self.post(b"1", headers=none), 3)

    def test_truncate(self):
        """?to=N: the ids up to N go; the name stays, also when nothing is left."""
        self.append(*[b"%d" % n for n in range(1, 11)])
        self.assertGone(self.delete("?to=0"), 1, 10)
        self.assertGone(self.delete("?to=-3"), 1, 10)
        self.assertGone(self.delete("?to=3"), 4, 10)
        self.assertGone(self.delete("?to=2"), 4, 10)
        self.assertEqual(self.ids("?limit=3&from=1"), [4, 5, 6])
        self.assertEqual(self.ids("?limit=100"), list(range(4, 11)))
        self.assertError(self.get(f"{self.at}/3"), 410, "gone")
        self.assertEqual(self.get(f"{self.at}/4").body, b"4")
        row = self.get(f"/streams/{self.bucket}?info=yes&match={self.name}").json()["data"][0]
        self.assertEqual(row, {"name": self.name, "low": 4, "high": 10, "events": 7, "bytes": 8})
        self.assertGone(self.delete("?to=1000"), 11, 10)
        self.assertTrue(self.listed())
        self.assertStored(self.post(b"11"), 11)

    def test_a_batch_in_the_middle(self):
        """A batch may be truncated inside."""
        self.post(b"1\n2\n3\n4\n5\n", NDJSON)
        self.assertGone(self.delete("?to=3"), 4, 5)
        self.assertEqual([e["data"] for e in self.get(self.at + "?limit=9").json()], [4, 5])

    def test_no_hole_in_an_answer(self):
        """Events that go while a long answer is on its way: the connection is cut, and no id is left out."""
        line = b'"' + b"x" * 9000 + b'"\n'
        for _ in range(20):
            self.post(line * 100, NDJSON)
        with self.node.wire() as wire:
            wire.send(build("GET", self.at + "?from=1&limit=5000", [("X-Session", self.node.token()),
                                                                   ("Accept", NDJSON)]))
            self.assertEqual(wire.read_head()[0], 200)
            time.sleep(0.3)  # the sockets are full now, and the node waits for us
            self.assertGone(self.delete("?to=1900"), 1901, 2000)
            raw = wire.rest()
        self.assertFalse(raw.endswith(b"0\r\n\r\n"), "it looks whole")
        ids = [int(n) for n in re.findall(rb'\{"meta":\{"id":(\d+),', raw)]
        self.assertEqual(ids, list(range(1, len(ids) + 1)))
        self.assertLess(len(ids), 1900)

    def test_to_must_be_a_number(self):
        """A `to` that is no id is 400 and removes nothing: it never means everything."""
        self.append(b"1", b"2")
        for text in ("", "x", "1.5", "1e1", "99999999999999999999", "+1", "0x1"):
            with self.subTest(text=text):
                value = text.replace("+", " ")
                self.assertError(self.delete(f"?to={text}"), 400, "invalid-field", field="to", value=value)
        self.assertEqual(self.ids("?limit=9"), [1, 2])

    def test_a_query_that_is_not_understood(self):
        """A broken escape, a name in another case, a `to` behind too many parameters: 400, and nothing goes."""
        self.append(b"1", b"2")
        for query in ("to=%zz", "to=1%2", "%=1", "To=1", "tO=2", "&".join(["a=1"] * 96 + ["to=1"])):
            with self.subTest(query=query[:20]):
                self.assertError(self.delete("?" + query), 400, "invalid-field", field="to")
        self.assertEqual(self.ids("?limit=9"), [1, 2])
        self.assertGone(self.delete("?x=y&to=1&z"), 2, 2)

    def test_missing(self):
        """A stream that is not there is as good as deleted, and is not made."""
        self.assertGone(self.delete(), 1, 0)
        self.assertGone(self.delete("?to=5"), 1, 0)
        self.assertFalse(self.listed())

    def test_permission(self):
        """Without the permission delete: 401, whether it is there or not."""
        self.append(b"1")
        self.assertNoPerm(self.delete(token=False))
        self.assertNoPerm(self.delete(at=self.at + "-none", token=False))
        self.assertEqual(self.ids("?limit=9"), [1])

    def test_method_is_told(self):
        """Allow names DELETE; HEAD and GET still work on a deleted stream."""
        self.append(b"1")
        self.delete()
        self.assertIn("DELETE", self.call("PUT", self.at).get("Allow"))
        self.assertRange(self.call("HEAD", self.at), 2, 1)

    def test_restart_and_crash(self):
        """What was removed stays away, and ids go on, across a stop and kill -9."""
        other = self.at + "-2"
        self.append(b"1", b"2", b"3")
        self.append(b"1", b"2", b"3", at=other)
        self.delete("?to=2")
        self.delete(at=other)
        for again in (self.node.restart, lambda: (self.node.kill9(), self.node.start())):
            again()
            self.assertEqual(self.ids("?limit=9"), [3])
            self.assertEqual(self.ids("?limit=9", at=other), [])
            self.assertRange(self.get(other), 4, 3)
            names = self.get(f"/streams/{self.bucket}").json()["data"]
            self.assertIn(self.name, names)
            self.assertNotIn(self.name + "-2", names)
        self.assertStored(self.post(b"4", at=other), 4, other)

    def test_while_appending(self):
        """Appends, truncations and reads at the same time: every id once, low never goes back."""
        stop = threading.Event()
        wrong = []

        def watch():
            low = 1
            with self.node.wire() as wire:
                while not stop.is_set():
                    answer = wire.request("GET", self.at + "?from=1&limit=5",
                                          (("X-Session", self.node.token()),))
                    now, high = int(answer.get("Iorio-Low")), int(answer.get("Iorio-High"))
                    ids = [event["meta"]["id"] for event in answer.json()]
                    if now < low or ids != list(range(now, min(now + 5, high + 1))):
                        wrong.append((low, now, high, ids))
                    low = now

        watcher = threading.Thread(target=watch)
        watcher.start()
        low = 1
        try:
            for number in range(1, 601):
                self.assertStored(self.post(b"1"), number)
                if number % 7 == 0:
                    low = max(low, number - 2)
                    self.assertGone(self.delete(f"?to={number - 3}"), low, number)
                if number % 100 == 0:
                    low = number + 1
                    self.assertGone(self.delete(), low, number)
        finally:
            stop.set()
            watcher.join()
        self.assertEqual(wrong, [])


class Memory(Base):
    def test_memory_comes_back(self):
        """Deleted events give the memory of the tail back, and a restart counts the same."""
        def tail():
            text = self.get("/metrics").body.decode()
            return int(next(line.split()[1] for line in text.splitlines()
                            if line.startswith("iorio_tail_bytes ")))
        before = tail()
        for _ in range(20):
            self.post(b"x" * 100000, BINARY)
        self.assertGreater(tail(), before + 2000000)
        self.delete("?to=19")
        self.assertLess(tail(), before + 200000)
        self.delete()
        self.assertLessEqual(tail(), before)
        for number in range(1, 21):
            self.append(b"1")
            self.delete(f"?to={20 + number}")
        self.assertLessEqual(tail(), before)
        before = tail()
        self.node.restart()
        self.assertEqual(tail(), before)


if __name__ == "__main__":
    unittest.main()
