#!/usr/bin/env python3
"""test/integration/46_slow_clients.py - clients that are slow or greedy: heads and bodies that do not come, answers
that are not taken, too many connections, too many bytes of requests that are not complete. Each is ended in its
way and in its time, the others do not notice."""

import os
import re
import socket
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.certs import Certs  # noqa: E402
from lib.node import wait_until  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

WINDOW_S = 10  # HTTP_BODY_WINDOW_MS


class Base(NodeCase):
    def metric(self, name):
        text = self.get("/metrics", token=None).body.decode()
        return int(re.search(rf"^iorio_{name} (-?\d+)$", text, re.M)[1])

    def headers(self, type_=JSON):
        return [("X-Session", self.node.token()), ("Content-Type", type_)]

    def ended(self, wire, limit_s):
        """What comes until the node ends the connection, and how long that takes."""
        begin = time.monotonic()
        wire.sock.settimeout(limit_s * SLOW)
        data = wire.rest()
        return data, time.monotonic() - begin

    def assertSlow(self, data):
        head, _, body = data.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), data)
        self.assertIn(b"\r\nConnection: close\r\n", head)
        self.assertIn(b'"type":"too-slow"', body)


class Heads(Base):
    CONF = {"http.head.timeout": "1s", "http.idle.timeout": "3s", "listen.comet.timeout": "5s"}

    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = {**cls.CONF, **cls.certs.conf()}
        super().setUpClass()

    def test_slow_heads(self):
        """A head has http.head.timeout from its first byte on, however it trickles; also the second one."""
        for tls in (None, self.certs.context()):
            for first in (b"", build("GET", "/ping")):
                with self.subTest(tls=tls, first=first), self.node.wire(tls=tls) as wire:
                    wire.send(first)
                    if first:
                        self.assertEqual(wire.read().status, 200)
                        time.sleep(0.5)  # idling does not count
                    begin = time.monotonic()
                    try:
                        for byte in b"GET /ping HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100:
                            wire.send(bytes([byte]))
                            time.sleep(0.02)
                    except OSError:
                        pass
                    data = b""
                    try:
                        data = wire.rest()
                    except ConnectionResetError:
                        pass
                    self.assertGreater(time.monotonic() - begin, 0.9)
                    self.assertLess(time.monotonic() - begin, 4 * SLOW)
                    if data:  # a reset may have been faster
                        self.assertSlow(data)

    def test_half_a_head(self):
        """Half a head and then nothing: 408."""
        slow = self.metric("http_requests_slow_total")
        with self.node.wire() as wire:
            wire.send(b"GET /ping HT")
            data, took_s = self.ended(wire, 5)
            self.assertSlow(data)
            self.assertGreater(took_s, 0.9)
            self.assertLess(took_s, 2.5 * SLOW)
        self.assertEqual(self.metric("http_requests_slow_total"), slow + 1)

    def test_handshakes(self):
        """A TLS handshake that is not complete after http.head.timeout is cut: silent, begun, or of plain HTTP."""
        for first in (b"", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n"):
            with self.subTest(first=first):
                failed = self.metric("tls_handshakes_failed_total")
                with socket.create_connection((self.node.host, self.node.tls_port), 6 * SLOW) as s:
                    begin = time.monotonic()
                    s.sendall(first)
                    try:
                        while s.recv(1000):
                            pass
                    except ConnectionResetError:
                        pass
                    self.assertLess(time.monotonic() - begin, 3 * SLOW)
                wait_until("the count", lambda n=failed: self.metric("tls_handshakes_failed_total") == n + 1, 2)

    def test_idle(self):
        """A connection without a request is closed after http.idle.timeout, silently; one that is used is not."""
        idle = self.metric("http_connections_idle_total")
        with self.node.wire() as silent, self.node.wire(tls=self.certs.context()) as silent_tls, \
                self.node.wire() as busy:
            begin = time.monotonic()
            while time.monotonic() - begin < 6:
                self.assertEqual(busy.request("GET", "/ping").status, 200)
                time.sleep(0.3)
            for wire in (silent, silent_tls):
                data, took_s = self.ended(wire, 3)
                self.assertEqual(data, b"")
                self.assertLess(took_s, 1)
        self.assertGreaterEqual(self.metric("http_connections_idle_total"), idle + 2)

    def test_long_poll(self):
        """Who waits for an event is not idle."""
        begin = time.monotonic()
        with self.node.wire() as wire:
            wire.send(build("GET", f"/listen?s={self.bucket}:x&wait=5", self.headers()))
            self.assertEqual(wire.read().status, 204)
        self.assertGreater(time.monotonic() - begin, 4.5)


class Bodies(Base):
    """Slow bodies. One node, all at the same time, for the window has ten seconds."""

    CONF = {"http.body.rate": "2KB", "http.idle.timeout": "20s", "http.body.max": "1MB"}

    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = {**cls.CONF, **cls.certs.conf()}
        super().setUpClass()

    def drip(self, name, wire, step, pause_s, total, chunks, found):
        """Sends a body in steps; found[name] = (what came back, after how long)."""
        begin = time.monotonic()
        length = ("Transfer-Encoding", "chunked") if chunks else ("Content-Length", str(total))
        wire.send(build("POST", f"/streams/drip/{name}", self.headers(BINARY) + [length]))
        sent = 0
        try:
            while sent < total:
                data = b"x" * min(step, total - sent)
                sent += len(data)
                wire.send(b"%x\r\n%b\r\n" % (len(data), data) if chunks else data)
                time.sleep(pause_s)
            if chunks:
                wire.send(b"0\r\n\r\n")
        except OSError:
            pass
        data = b""
        try:
            wire.sock.settimeout(5 * SLOW)
            answer = wire.read("POST")
            data = b"%d" % answer.status
        except (OSError, AssertionError):
            pass
        found[name] = data, time.monotonic() - begin
        wire.close()

    def test_rates(self):
        """Below http.body.rate over ten seconds: 408. A steady 4 KB/s is let through, in one piece or in chunks."""
        context, found = self.certs.context(), {}
        plans = {"slow": (100, 0.2, 100000, False, None), "slow_chunks": (100, 0.2, 100000, True, None),
                 "slow_tls": (100, 0.2, 100000, False, context), "late": (60000, 0.5, 60000, False, None),
                 "steady": (400, 0.1, 48000, False, None), "steady_chunks": (400, 0.1, 48000, True, None),
                 "steady_tls": (400, 0.1, 48000, False, context), "bursts": (16000, 4, 48000, False, None)}
        threads = []
        for name, (step, pause_s, total, chunks, tls) in plans.items():
            args = (name, self.node.wire(tls=tls), step, pause_s, total, chunks, found)
            threads.append(threading.Thread(target=self.drip, args=args))
            threads[-1].start()
        stopped = self.node.wire()  # sends one byte of a body, and nothing more
        stopped.send(build("POST", "/streams/drip/stopped", self.headers() + [("Content-Length", "100")]) + b"1")
        quick = 0
        while any(t.is_alive() for t in threads):  # others are served meanwhile
            begin = time.monotonic()
            self.assertStored(self.post(b"1"), quick + 1)
            self.assertLess(time.monotonic() - begin, 1 * SLOW)
            quick += 1
            time.sleep(0.2)
        for thread in threads:
            thread.join()
        for name in ("slow", "slow_chunks", "slow_tls"):
            self.assertIn(found[name][0], (b"408", b""), (name, found))
            self.assertGreater(found[name][1], WINDOW_S - 1, name)
            self.assertLess(found[name][1], (WINDOW_S + 4) * SLOW, name)
            self.assertEqual(self.ids(at=f"/streams/drip/{name}"), [])
        self.assertIn(b"408", [found[name][0] for name in ("slow", "slow_chunks", "slow_tls")])
        for name in ("steady", "steady_chunks", "steady_tls", "bursts", "late"):
            self.assertEqual(found[name][0], b"201", (name, found))
        self.assertGreater(found["steady"][1], WINDOW_S)
        self.assertSlow(self.ended(stopped, 10)[0])
        stopped.close()
        self.assertEqual(self.ids(at="/streams/drip/stopped"), [])


class AnyRate(Base):
    CONF = {"http.body.rate": "0B", "http.idle.timeout": "3s"}

    def test_no_rate(self):
        """http.body.rate = 0B: a body may be as slow as it likes, but a byte has to come."""
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, self.headers() + [("Content-Length", "14")]))
            for _ in range(14):
                wire.send(b"1")
                time.sleep(1)
            self.assertStored(wire.read("POST"), 1)
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, self.headers() + [("Content-Length", "14")]) + b"1")
            self.assertSlow(self.ended(wire, 6)[0])


class NeverReads(Base):
    CONF = {"http.idle.timeout": "2s", "http.head.timeout": "1s"}

    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = {**cls.CONF, **cls.certs.conf()}
        super().setUpClass()

    def test_answers_not_taken(self):
        """A client that does not take its answer is cut after http.idle.timeout; one that is slow is not."""
        event = b'"' + b"z" * 500000 + b'"'
        for _ in range(40):
            self.append(event)
        path = build("GET", self.at + "?from=1&limit=1000", [*self.headers(), ("Accept", NDJSON)])
        before = self.metric("http_connections")
        stuck = []
        for n in range(20):
            wire = self.node.wire(tls=self.certs.context() if n % 2 else None)
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.send(path)
            stuck.append(wire)
        slow = self.node.wire()
        slow.send(path)
        got = 0
        begin = time.monotonic()
        while time.monotonic() - begin < 5:
            got += len(slow.sock.recv(100000))
            time.sleep(0.1)
        wait_until("the end of the stuck ones", lambda: self.metric("http_connections") <= before + 1, 10 * SLOW, 0.1)
        while True:
            data = slow.sock.recv(1 << 20)
            got += len(data)
            if not data or got >= 40 * len(event):
                break
        self.assertGreaterEqual(got, 40 * len(event))
        for wire in [*stuck, slow]:
            wire.close()


class Unfinished(Base):
    CONF = {"memory.inflight": "1MB", "http.body.max": "1MB", "http.body.rate": "0B", "workers": "2"}

    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = {**cls.CONF, **cls.certs.conf()}
        super().setUpClass()

    def begin(self, size, length=1 << 20, tls=None):
        """A client that has sent so much of a body."""
        wire = self.node.wire(tls=tls)
        wire.send(build("POST", self.at, self.headers(BINARY) + [("Content-Length", str(length))]) + b"x" * size)
        return wire

    def held(self):
        return self.metric("http_unfinished_bytes")

    def test_sum(self):
        """Bodies under way are counted together: the one that is too much gets 503, the others end well."""
        for tls in (None, self.certs.context()):
            refused = self.metric("http_unfinished_refused_total")
            wires = [self.begin(300000, 300001, tls) for _ in range(3)]
            wait_until("900 KB", lambda: self.held() > 900000, 5 * SLOW)
            self.assertLess(self.held(), 1000000)
            late = self.begin(200000, 1 << 20, tls)
            answer = late.read("POST")
            self.assertError(answer, 503, "unavailable")
            self.assertEqual((answer.get("Retry-After"), answer.get("Connection")), ("1", "close"))
            self.assertTrue(late.closed_by_peer())
            late.close()
            self.assertIn("memory.inflight", answer.json()["reason"])
            self.assertEqual(self.metric("http_unfinished_refused_total"), refused + 1)
            self.assertEqual(self.post(b"1").status, 201)  # what comes at once is not held up
            for wire in wires:
                wire.send(b"y")
                self.assertEqual(wire.read("POST").status, 201)
                wire.close()
            wait_until("nothing held", lambda: self.held() == 0, 5 * SLOW)

    def test_announced_is_not_counted(self):
        """Large lengths that are only announced take nothing from anybody."""
        wires = [self.begin(10) for _ in range(50)]
        wait_until("they are there", lambda: self.held() > 5000, 5 * SLOW)
        self.assertLess(self.held(), 50000)
        self.assertEqual(self.post(b"1").status, 201)
        for wire in wires:
            wire.reset()
        wait_until("nothing held", lambda: self.held() == 0, 5 * SLOW)

    def test_one_alone(self):
        """One body may be larger than what is left for all, as one append may."""
        wait_until("nothing held", lambda: self.held() == 0, 5 * SLOW)  # of the tests before
        body = b"x" * (1 << 20)
        data = build("POST", self.at, self.headers(BINARY), body)
        with self.node.wire() as wire:
            for at in range(0, len(data), 100000):
                wire.send(data[at:at + 100000])
                time.sleep(0.002)
            self.assertEqual(wire.read("POST").status, 201)

    def test_heads(self):
        """Heads that are not complete count, too."""
        wires = [self.node.wire() for _ in range(40)]
        for wire in wires:
            wire.send(b"GET /" + b"x" * 60000)
        statuses = set()
        for wire in wires:
            wire.sock.settimeout(0.2)
            try:
                data = wire.sock.recv(100)
                statuses.add(data[9:12])
            except TimeoutError:
                pass
        self.assertEqual(statuses, {b"503"})
        self.assertLessEqual(self.held(), 1 << 20)
        for wire in wires:
            wire.close()
        wait_until("nothing held", lambda: self.held() == 0, 5 * SLOW)

    def test_behind_a_request(self):
        """What a client sends behind a request that waits is counted; too much of it goes with the connection."""
        wire = self.node.wire()
        wire.send(build("GET", f"/listen?s={self.bucket}:none&wait=1", self.headers())
                  + build("POST", self.at, self.headers(BINARY) + [("Content-Length", "900000")]) + b"x" * 500000)
        wait_until("it is counted", lambda: self.held() > 100000, 5 * SLOW)
        self.assertEqual(wire.read().status, 204)
        wire.send(b"x" * 400000)
        self.assertEqual(wire.read("POST").status, 201)
        wire.close()

    def test_memory(self):
        """Two hundred clients with half a body each: the node stays small, and they are refused."""
        def rss_kb():
            with open(f"/proc/{self.node.process.pid}/status", encoding="ascii") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))
        before = rss_kb()
        wires = []
        for _ in range(200):
            try:
                wires.append(self.begin(500000))
            except OSError:
                pass
        self.assertLessEqual(self.held(), 1 << 20)
        if SLOW <= 1:
            self.assertLess(rss_kb() - before, 30 << 10)
        for wire in wires:
            wire.close()
        self.assertAlive()


class Connections(Base):
    CONF = {"http.connections.max": "50", "http.connections.address": "5"}

    def test_all(self):
        """Past http.connections.max a connection is closed at once; loopback has no limit before that."""
        refused = self.metric("http_connections_refused_total")
        wires = [self.node.wire() for _ in range(49)]
        for wire in wires:
            self.assertEqual(wire.request("GET", "/ping").status, 200)
        one = self.node.wire()
        self.assertEqual(one.request("GET", "/ping").status, 200)
        for _ in range(10):
            with self.node.wire() as more:
                begin = time.monotonic()
                self.assertTrue(more.closed_by_peer())
                self.assertLess(time.monotonic() - begin, 1 * SLOW)
        self.assertEqual(wires[0].request("GET", "/ping").status, 200)
        one.close()
        for wire in wires:
            wire.close()

        def works():
            with self.node.wire() as again:
                try:
                    return again.request("GET", "/ping").status == 200
                except (OSError, AssertionError):
                    return False
        wait_until("room again", works, 5 * SLOW, 0.05)
        self.assertGreaterEqual(self.metric("http_connections_refused_total"), refused + 10)


def other_address():
    """An address of this machine that is not loopback; None: there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            found = s.getsockname()[0]
        except OSError:
            return None
    return None if found.startswith("127.") else found


@unittest.skipIf(other_address() is None, "no address but loopback")
class OneAddress(Base):
    CONF = {"http.connections.address": "5", "http.bind": "0.0.0.0"}

    def test_one_address(self):
        """Past http.connections.address a client of one address is closed at once; others are served."""
        self.node.host = "127.0.0.1"
        refused = self.metric("http_connections_refused_total")
        mine = [socket.create_connection((other_address(), self.node.port), 5) for _ in range(5)]
        for s in mine:
            s.sendall(build("GET", "/ping"))
            self.assertIn(b"200 OK", s.recv(1000))
        for _ in range(3):
            with socket.create_connection((other_address(), self.node.port), 5) as s:
                try:
                    self.assertEqual(s.recv(1), b"")
                except ConnectionResetError:
                    pass
        with self.node.wire() as wire:
            self.assertEqual(wire.request("GET", "/ping").status, 200)
        self.assertEqual(self.metric("http_connections_refused_total"), refused + 3)
        mine[0].close()
        time.sleep(0.2)
        with socket.create_connection((other_address(), self.node.port), 5) as s:
            s.sendall(build("GET", "/ping"))
            self.assertIn(b"200 OK", s.recv(1000))
        for s in mine:
            s.close()


class Floods(Base):
    CONF = {"http.idle.timeout": "3s", "http.head.timeout": "2s"}

    def test_floods(self):
        """Five hundred idle connections and five hundred half heads: appends go on, and all are gone soon."""
        before = self.metric("http_connections")
        idle = [self.node.wire() for _ in range(500)]
        heads = [self.node.wire() for _ in range(500)]
        for wire in heads:
            wire.send(b"POST /streams/a/b HTTP/1.1\r\nHost: a\r\nX")
        slowest = 0
        for n in range(1, 201):
            begin = time.monotonic()
            self.assertStored(self.post(b"1"), n)
            slowest = max(slowest, time.monotonic() - begin)
        self.assertLess(slowest, 1 * SLOW)
        wait_until("they are gone", lambda: self.metric("http_connections") <= before, 15 * SLOW, 0.1)
        for wire in idle + heads:
            wire.close()


if __name__ == "__main__":
    unittest.main()
