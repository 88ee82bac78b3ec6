#!/usr/bin/env python3
"""test/integration/56_descriptors.py - a node with few descriptors, and one with 20,000: connections
beyond its limit are closed at once, whoever is in is served, and files can always be opened."""

import os
import resource
import socket
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY  # noqa: E402
from lib.node import START_S, Node, wait_until  # noqa: E402
from lib.wire import build  # noqa: E402

OWN_FDS = 200  # of this program, beside its connections
CHUNKS_OPEN_MAX = 256  # FETCH_CHUNKS_MAX
RESERVED = 1024  # FDS_RESERVED
STREAMS = 400
EVENT = b"x" * 1200
PING = build("GET", "/ping", [])


class Descriptors(unittest.TestCase):
    CONF = {"workers": "1", "chunk.min_bytes": "1KB", "memory.tail": "4MB", "journal.segment": "1MB",
            "memory.history": "1MB", "channel.max_items": "1"}

    def start(self, limit):
        self.node = Node(self.CONF)
        self.node.prefix = ["prlimit", f"--nofile={limit}:{limit}"]
        self.node.start()
        self.limit = limit
        self.connections = limit - RESERVED if limit > 2 * RESERVED else limit // 2

    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.before = soft
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.own = hard - OWN_FDS
        self.node, self.socks = None, []

    def tearDown(self):
        for sock in self.socks:
            sock.close()
        if self.node is not None and self.node.running():
            self.node.stop()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.before, hard))

    # --- looking at the node ---

    def descriptors(self):
        """How many it has, and how many of them are chunk files."""
        folder = f"/proc/{self.node.process.pid}/fd"
        chunks, names = 0, os.listdir(folder)
        for name in names:
            try:
                chunks += os.readlink(os.path.join(folder, name)).endswith(".chunk")
            except OSError:
                pass
        return len(names), chunks

    def fill(self, wire):
        """More chunk files than may be open at a time."""
        def checkpointed():
            for n in range(STREAMS):
                self.assertIn(self.send(wire, "POST", f"/streams/b/s{n}", EVENT).status, (201, 503))
            text = self.send(wire, "GET", "/metrics").body.decode()
            return int(text.split("\niorio_checkpoints_total ")[1].split("\n")[0]) > 0
        wait_until("a checkpoint", checkpointed, START_S, 0.01)

    def send(self, wire, method, path, body=None):
        headers = [("X-Session", self.node.token())] + ([("Content-Type", BINARY)] if body else [])
        wire.send(build(method, path, headers, body))
        return wire.read(method)

    def connect(self, count):
        for _ in range(count):
            sock = socket.create_connection((self.node.host, self.node.port), timeout=START_S)
            self.socks.append(sock)

    def served(self, sock, wait_s):
        """Does it get an answer to a ping in time?"""
        sock.settimeout(wait_s)
        try:
            sock.sendall(PING)
            return sock.recv(4096).startswith(b"HTTP/1.1 200")
        except (TimeoutError, ConnectionError):
            return False

    def crowd(self, more):
        """As many connections as it takes, and some more; all of its files are read meanwhile."""
        with self.node.wire() as wire:
            self.fill(wire)
            self.connect(self.connections - 1 + more)
            first, last = self.socks[0], self.socks[-1]
            self.assertTrue(self.served(first, START_S))
            self.assertEqual(self.served(last, 0.5), more == 0)
            for n in range(STREAMS):
                answer = self.send(wire, "GET", f"/streams/b/s{n}/1")
                self.assertEqual((answer.status, answer.body), (200, EVENT), answer)
            self.send(wire, "POST", "/streams/b/new", EVENT)
            every, chunks = self.descriptors()
            self.assertLessEqual(every, self.limit)
            self.assertLessEqual(chunks, CHUNKS_OPEN_MAX)
            self.assertGreater(chunks, CHUNKS_OPEN_MAX // 2)
            for sock in self.socks[:more + 10]:
                sock.close()
            if more > 0:  # there is room again
                def room():
                    self.connect(1)
                    return self.served(self.socks[-1], START_S)
                wait_until("room", room, START_S, 0.05)
            self.assertTrue(self.served(self.socks[more + 10], START_S))
        self.assertNotIn("[error]", self.node.log())

    def test_few(self):
        """1,200 descriptors: 600 connections, 100 more, 400 chunk files."""
        self.start(1200)
        self.crowd(100)

    def test_twenty_thousand(self):
        """20,000 descriptors and no more: as many connections as are allowed, 100 more."""
        self.start(min(20000, self.own - 200 + RESERVED))
        self.crowd(100 if self.connections + 100 < self.own else 0)


if __name__ == "__main__":
    unittest.main()
