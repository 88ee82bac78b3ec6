#!/usr/bin/env python3
"""test/integration/48_rebind.py - loopback only while the admin's password is the shipped one: when it changes the
node listens on all addresses, when it is set back on loopback again; without a restart, and whoever is connected
stays so."""

import os
import socket
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import JSON  # noqa: E402
from lib.certs import Certs  # noqa: E402
from lib.node import Node, iorio_verb, wait_until  # noqa: E402
from lib.wire import SLOW, Wire, build  # noqa: E402


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@unittest.skipUnless(has_ipv6(), "no second loopback address (::1)")
class Rebind(unittest.TestCase):
    """::1 stands for the rest of the world: a node on 127.0.0.1 does not answer there."""

    def setUp(self):
        self.certs = Certs()
        self.node = Node(self.certs.conf(workers="2"))
        self.node.start()
        self.tls = self.certs.context()

    def tearDown(self):
        self.node.stop()

    def open_at(self, host, tls=False):
        port = self.node.tls_port if tls else self.node.port
        try:
            with Wire(host, port, tls=self.tls if tls else None) as wire:
                return wire.request("GET", "/ping").status == 200
        except OSError:
            return False

    def set_password(self, old, new):
        with self.node.client(password=old) as client:
            token = client.login()
        with self.node.wire() as wire:
            wire.send(build("PUT", "/users", [("X-Session", token), ("Content-Type", JSON)],
                            b'{"username":"admin","password":"%b"}' % new.encode()))
            answer = wire.read("PUT")
        if answer.status == 404:
            self.skipTest("this node has no PUT /users")
        self.assertEqual(answer.status, 200, answer)

    def wait_for(self, world, limit_s=10):
        wait_until("both doors at ::1" if world else "no door at ::1",
                   lambda: [self.open_at("::1", tls) for tls in (False, True)] == [world, world], limit_s * SLOW, 0.05)
        for tls in (False, True):
            self.assertTrue(self.open_at("127.0.0.1", tls))

    def where(self, host):
        wait_until("node.run", lambda: {v.rpartition(":")[0] for k, v in self.node.run_file().items() if k != "pid"}
                   == {host}, 5 * SLOW)

    def test_there_and_back(self):
        """Out to all addresses, back to loopback, and out again."""
        self.assertEqual([self.open_at("::1", tls) for tls in (False, True)], [False, False])
        plain, secure = self.node.wire(), self.node.wire(tls=self.tls)
        for wire in (plain, secure):
            self.assertEqual(wire.request("GET", "/ping").status, 200)
        waiting = self.node.wire()
        waiting.send(build("GET", "/listen?s=public:rebind&wait=30", [("X-Session", self.node.token())]))
        self.set_password("secret", "other")
        self.wait_for(True)
        self.where("[::]")
        self.assertRegex(self.node.log(), r"http moved where=\[::\]:\d+: the admin's password is no longer the shipped one")
        self.assertRegex(self.node.log(), r"https moved where=\[::\]:\d+: ")
        done = iorio_verb("ping", "--conf", self.node.conf_file)
        self.assertEqual((done.returncode, done.stdout), (0, "pong\n"))
        self.set_password("other", "secret")
        self.wait_for(False)
        self.where("127.0.0.1")
        for wire in (plain, secure):  # they were connected before all of it
            self.assertEqual(wire.request("GET", "/ping").status, 200)
            wire.close()
        waiting.close()
        self.set_password("secret", "third")
        self.wait_for(True)

    def test_nobody_is_turned_away(self):
        """Clients that come without a pause while the node moves find it open every time."""
        failed, tried, stop = [], [0], threading.Event()

        def knock():
            while not stop.is_set():
                tried[0] += 1
                if not self.open_at("127.0.0.1"):
                    failed.append(tried[0])
        threads = [threading.Thread(target=knock) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for old, new in (("secret", "a1"), ("a1", "secret"), ("secret", "a2")):
                self.set_password(old, new)
                self.wait_for(new != "secret")
                time.sleep(0.1)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failed, [])
        self.assertGreater(tried[0], 20)

    def test_bound(self):
        """With http.bind nothing moves."""
        self.node.stop()
        self.node = Node({"http.bind": "127.0.0.1"})
        self.node.start()
        self.set_password("secret", "other")
        time.sleep(1)
        self.assertFalse(self.open_at("::1"))
        self.assertNotIn("moved", self.node.log())


if __name__ == "__main__":
    unittest.main()
