#!/usr/bin/env python3
"""test/integration/00_smoke.py - the shortest proof that the node keeps its word."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import JSON, NodeCase  # noqa: E402
from lib.node import Node, alive  # noqa: E402


class Smoke(NodeCase):
    CONF = {"journal.segment": None}  # the shipped size

    def test_kill9(self):
        """An event that was acknowledged is there after kill -9, with the same id, t and bytes."""
        event = b'{"msg": "hi!!"}'
        t = self.assertStored(self.post(event), 1)
        self.node.kill9()
        self.node.start()
        answer = self.get(self.at)
        self.assertJson(answer, 200)
        self.assertEqual(answer.body, b'[{"meta":{"id":1,"t":%d},"data":%b}]' % (t, event))
        raw = self.get(self.at + "/1")
        self.assertEqual((raw.status, raw.body, raw.get("Content-Type")), (200, event, JSON))
        self.assertStored(self.post(b"2"), 2)

    def test_graceful_restart(self):
        """After a graceful stop and a start everything is there and the ids go on."""
        self.append(b"1", b"[2]", b'"three"')
        self.node.restart()
        self.assertEqual(self.ids("?limit=10"), [1, 2, 3])
        self.assertEqual([e["data"] for e in self.get(self.at + "?limit=10").json()],
                         [1, [2], "three"])
        self.assertStored(self.post(b"4"), 4)

    def test_stop_without_a_write(self):
        """A node that was only started stops cleanly, and starts again on what it wrote."""
        node = Node()
        node.start()
        pid = node.process.pid
        node.stop()
        self.assertFalse(alive(pid))
        node.start()
        self.assertEqual(node.call("GET", "/ping", token=None).json(), {"pong": "iorio@127.0.0.1"})
        node.stop()

    def test_run_file(self):
        """node.run holds two lines, the pid and where HTTP listens."""
        with open(os.path.join(self.node.data, "node.run"), encoding="utf-8") as f:
            self.assertEqual(f.read(),
                             f"pid {self.node.process.pid}\nhttp {self.node.host}:{self.node.port}\n")


if __name__ == "__main__":
    unittest.main()
