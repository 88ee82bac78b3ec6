#!/usr/bin/env python3
"""test/integration/47_http2.py - HTTP/2 when it is switched on: the API over it, and the guard that cuts connections
which cancel requests, flood frames, or leave bodies unfinished. The good client is curl; the bad one is Frames."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NodeCase  # noqa: E402
from lib.certs import Certs  # noqa: E402
from lib.node import Node, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(type_, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([type_, flags]) + struct.pack(">I", stream) + payload


def hpack(method, path, headers=()):
    """A head without indexing and without Huffman's code: short strings only, but for :path."""
    def text(s):
        s = s.encode()
        if len(s) < 127:
            return bytes([len(s)]) + s
        n, out = len(s) - 127, bytearray([127])
        while n >= 128:
            out.append(n % 128 + 128)
            n //= 128
        return bytes(out) + bytes([n]) + s
    out = b"\x02" + text(method) + b"\x87\x04" + text(path) + b"\x01" + text("localhost")
    for name, value in headers:
        out += b"\x00" + text(name) + text(value)
    return out


class Frames:
    """A connection of HTTP/2, frame by frame."""

    def __init__(self, node, context):
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", node.tls_port), 10 * SLOW),
                                        server_hostname="localhost")
        assert self.sock.selected_alpn_protocol() == "h2"
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.stream = -1
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, path, headers=(), last=True):
        """Its HEADERS and the number of its stream."""
        self.stream += 2
        flags = END_HEADERS | (END_STREAM if last else 0)
        return frame(HEADERS, flags, self.stream, hpack(method, path, headers)), self.stream

    def read(self):
        """The next frame: (type, flags, stream, payload); None at the end."""
        while True:
            if len(self.got) >= 9:
                size = struct.unpack(">I", b"\0" + self.got[:3])[0]
                if len(self.got) >= 9 + size:
                    head, payload = self.got[:9], self.got[9:9 + size]
                    self.got = self.got[9 + size:]
                    return head[3], head[4], struct.unpack(">I", head[5:9])[0] & 0x7fffffff, payload
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self.got += data

    def status(self, stream):
        """Read up to the head of that stream's answer; its first byte, which is the status if it is a usual one."""
        while True:
            got = self.read()
            assert got is not None, "the connection ended"
            if got[0] == HEADERS and got[2] == stream:
                return {0x88: 200, 0x89: 204, 0x8c: 400, 0x8d: 404}.get(got[3][0])

    def ended(self, limit_s=10):
        """Does the node end the connection in time?"""
        self.sock.settimeout(limit_s * SLOW)
        try:
            while self.read() is not None:
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


class Http2Case(NodeCase):
    MORE = {}

    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = {**cls.certs.conf(http2_enabled="yes"), **cls.MORE}
        cls.tls = cls.certs.context(alpn=("h2", "http/1.1"))
        super().setUpClass()

    def metric(self, name):
        text = self.get("/metrics", token=None).body.decode()
        return int(re.search(rf"^iorio_{name} (-?\d+)$", text, re.M)[1])

    def frames(self):
        return Frames(self.node, self.tls)

    def curl(self, path, *args):
        """(version, status, body) by curl over HTTP/2."""
        done = subprocess.run(["curl", "-sS", "--http2", "--cacert", self.certs.path("ca.pem"), "-w",
                               "\n%{http_version} %{http_code}", *args, f"https://localhost:{self.node.tls_port}{path}"],
                              capture_output=True, check=False, timeout=60 * SLOW)
        self.assertEqual(done.returncode, 0, done.stderr)
        body, _, end = done.stdout.rpartition(b"\n")
        version, status = end.split()
        return version.decode(), int(status), body

    def token_args(self):
        return "-H", f"X-Session: {self.node.token()}"


class Api(Http2Case):
    MORE = {"http.body.max": "1MB", "http.head.max": "8KB"}

    def test_api(self):
        """Login, appends, reads, errors: as over HTTP/1.1."""
        self.assertEqual(self.curl("/ping"), ("2", 200, b'{"pong":"iorio@127.0.0.1"}'))
        version, status, body = self.curl("/sessions", "--json", '{"username":"admin","password":"secret"}')
        self.assertEqual((version, status), ("2", 201))
        token = ("-H", "X-Session: " + json.loads(body)["token"])
        self.assertEqual(self.curl(self.at, *token, "--json", '{"a":1}')[1], 201)
        self.assertEqual(self.curl(self.at + "/1", *token)[2], b'{"a":1}')
        self.assertEqual(self.curl(self.at, *token, "-I")[1], 200)
        self.assertEqual(self.curl(self.at)[1], 401)
        self.assertEqual(self.curl("/nope")[1], 404)
        self.assertEqual(self.curl(self.at, "-X", "BREW")[1], 405)
        self.assertEqual(self.curl(self.at, *token, "--data", "x", "-H", "Content-Type: text/x")[1], 415)
        self.assertEqual(self.curl(self.at, *token, "--json", "{")[1], 400)

    def test_large(self):
        """A body of http.body.max is taken and comes back; one byte more is 413."""
        folder = self.node.folder
        for size, want in ((1 << 20, 201), ((1 << 20) + 1, 413)):
            path = os.path.join(folder, "body")
            with open(path, "wb") as f:
                f.write(b"x" * size)
            self.assertEqual(self.curl(self.at, *self.token_args(), "-H", f"Content-Type: {BINARY}", "--data-binary",
                                       "@" + path)[1], want)
        self.assertEqual(self.curl(self.at + "/1", *self.token_args())[2], b"x" * (1 << 20))

    def test_parallel(self):
        """Many requests at a time on one connection."""
        with self.frames() as f:
            requests = [f.request("GET", "/ping") for _ in range(90)]
            f.send(b"".join(data for data, _ in requests))
            seen = {}
            while len(seen) < 90:
                got = f.read()
                if got[0] == HEADERS:
                    seen[got[2]] = got[3][0]
            self.assertEqual(seen, {stream: 0x88 for _, stream in requests})

    def test_long_poll(self):
        """GET /listen: an event ends it; a client that cancels it is noticed."""
        waiting = self.metric("http_waiting")
        with self.frames() as f:
            data, stream = f.request("GET", f"/listen?s={self.bucket}:{self.name}:1&wait=30",
                                     [("x-session", self.node.token())])
            f.send(data)
            wait_until("it waits", lambda: self.metric("http_waiting") == waiting + 1, 5 * SLOW)
            self.append(b"1")
            self.assertEqual(f.status(stream), 200)
            data, stream = f.request("GET", f"/listen?s={self.bucket}:{self.name}:9&wait=30",
                                     [("x-session", self.node.token())])
            f.send(data)
            wait_until("it waits", lambda: self.metric("http_waiting") == waiting + 1, 5 * SLOW)
            f.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
            wait_until("it does not", lambda: self.metric("http_waiting") == waiting, 5 * SLOW)
            data, stream = f.request("GET", "/ping")
            f.send(data)
            self.assertEqual(f.status(stream), 200)

    def test_client_that_leaves(self):
        """A connection that is closed while requests wait leaves nothing behind."""
        waiting = self.metric("http_waiting")
        f = self.frames()
        for _ in range(20):
            data, _stream = f.request("GET", f"/listen?s={self.bucket}:none&wait=30", [("x-session", self.node.token())])
            f.send(data)
        wait_until("they wait", lambda: self.metric("http_waiting") == waiting + 20, 5 * SLOW)
        f.sock.close()
        wait_until("they do not", lambda: self.metric("http_waiting") == waiting, 5 * SLOW)

    def test_large_head(self):
        """A head over http.head.max is 431 on its stream; the connection goes on."""
        status = self.curl("/ping", "-H", "X: " + "x" * 9000)[1]
        self.assertEqual(status, 431)

    def test_http1_beside_it(self):
        """The same port still speaks HTTP/1.1, guard included."""
        with self.node.wire(tls=self.certs.context()) as wire:
            self.assertEqual(wire.request("GET", "/ping").status, 200)
            wire.send(b"GET /ping HTTP/1.1\r\n\r\n")
            self.assertEqual(wire.read().status, 400)

    def test_stop(self):
        """A node with open connections of HTTP/2 stops in time."""
        node = Node(self.CONF).start()
        open_ = [Frames(node, self.tls) for _ in range(5)]
        for f in open_[:3]:
            f.send(f.request("GET", "/listen?s=a:b&wait=30", [("x-session", node.token())])[0])
        time.sleep(0.2)
        node.stop()
        for f in open_:
            f.sock.close()


class Guard(Http2Case):
    MORE = {"memory.inflight": "1MB", "http.idle.timeout": "3s", "http.body.rate": "2KB"}

    def cut(self, what, feed, limit=1 << 30):
        """feed() is sent until the node ends the connection; others are served meanwhile."""
        before = self.metric("http2_connections_cut_total")
        with self.frames() as f:
            sent = [0]

            def attack():
                try:
                    while sent[0] < limit:
                        data, count = feed(f)
                        f.send(data)
                        sent[0] += count
                except OSError:
                    pass
            reader = threading.Thread(target=f.ended)
            writer = threading.Thread(target=attack)
            begin = time.monotonic()
            reader.start()
            writer.start()
            while writer.is_alive():
                self.assertLess(time.monotonic() - begin, 20 * SLOW, what)
                asked = time.monotonic()
                self.assertEqual(self.get("/ping", token=None).status, 200)
                self.assertLess(time.monotonic() - asked, 2 * SLOW)
            reader.join()
        self.assertEqual(self.metric("http2_connections_cut_total"), before + 1, what)
        return sent[0]

    def test_cancelled(self):
        """Requests that are cancelled at once (rapid reset): some hundreds, then the connection is cut."""
        requests = self.metric("http_requests_total")

        def feed(f):
            out = b""
            for _ in range(100):
                data, stream = f.request("GET", "/ping")
                out += data + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
            return out, 100
        self.cut("rapid reset", feed)
        self.assertLess(self.metric("http_requests_total") - requests, 20000)

    def test_made_to_reset(self):
        """Requests that the client makes the node reset (WINDOW_UPDATE of 0)."""
        def feed(f):
            out = b""
            for _ in range(100):
                data, stream = f.request("GET", "/listen?s=a:b&wait=9", [("x-session", self.node.token())])
                out += data + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))
            return out, 100
        self.cut("made to reset", feed)

    def test_frames(self):
        """Floods of frames that ask for nothing."""
        floods = {"PING": frame(PING, 0, 0, b"12345678"), "SETTINGS": frame(SETTINGS, 0, 0),
                  "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))}
        for what, data in floods.items():
            with self.subTest(what=what):
                self.cut(what, lambda f, data=data: (data * 500, 500))

    def test_continuation(self):
        """A head that never ends: empty CONTINUATION frames."""
        first = [True]

        def feed(f):
            out = b""
            if first[0]:
                first[0] = False
                out = frame(HEADERS, END_STREAM, 1, hpack("GET", "/ping"))
            return out + frame(CONTINUATION, 0, 1) * 500, 500
        self.cut("CONTINUATION", feed)

    def test_empty_data(self):
        """A body of empty DATA frames."""
        first = [True]

        def feed(f):
            out = b""
            if first[0]:
                first[0] = False
                out = f.request("POST", "/sessions", [("content-type", JSON)], last=False)[0]
            return out + frame(DATA, 0, 1) * 500, 500
        self.cut("empty DATA", feed)

    def test_unfinished(self):
        """Bodies that do not end, on many streams: counted together, and cut above memory.inflight."""
        def feed(f):
            out = b""
            if f.stream < 99:
                out = f.request("POST", "/streams/a/b", [("content-type", BINARY)], last=False)[0]
            return out + frame(DATA, 0, f.stream, b"x" * 16000), 16000
        sent = self.cut("bodies", feed)
        self.assertLess(sent, 8 << 20)
        wait_until("nothing held", lambda: self.metric("http_unfinished_bytes") == 0, 5 * SLOW)

    def test_finished_bodies_are_not_counted(self):
        """Many bodies one after the other on one connection, more than memory.inflight in all."""
        with self.frames() as f:
            for _ in range(40):
                data, stream = f.request("POST", "/streams/a/b", [("content-type", BINARY)], last=False)
                f.send(data + frame(DATA, 0, stream, b"x" * 16000) * 3 + frame(DATA, END_STREAM, stream, b"x"))
                f.status(stream)  # 401, which is no usual one
        self.assertEqual(self.metric("http_unfinished_bytes"), 0)

    def test_many_requests(self):
        """Requests that are answered, one behind the other, as fast as they go: not cut."""
        with self.frames() as f:
            for _ in range(30):
                requests = [f.request("GET", "/ping") for _ in range(50)]
                f.send(b"".join(data for data, _ in requests))
                left = {stream for _, stream in requests}
                while left:
                    got = f.read()
                    self.assertIsNotNone(got)
                    if got[0] == HEADERS:
                        left.discard(got[2])

    def test_slow_and_idle(self):
        """A connection without a request is closed; one with a body that does not come is cut."""
        with self.frames() as idle, self.frames() as slow, self.frames() as pings:
            slow.send(slow.request("POST", "/streams/a/b", [("content-type", BINARY)], last=False)[0])
            begin = time.monotonic()

            def drip():
                try:
                    while time.monotonic() - begin < 20:
                        slow.send(frame(DATA, 0, 1, b"x"))
                        pings.send(frame(PING, 0, 0, b"12345678"))  # no request, though it is a frame
                        time.sleep(0.2)
                except OSError:
                    pass
            thread = threading.Thread(target=drip)
            thread.start()
            self.assertTrue(idle.ended(6))
            self.assertTrue(pings.ended(6))
            self.assertLess(time.monotonic() - begin, 8 * SLOW)
            self.assertTrue(slow.ended(15))
            self.assertLess(time.monotonic() - begin, 16 * SLOW)
            thread.join()

    def test_garbage(self):
        """What is no HTTP/2 ends the connection."""
        rng = __import__("random").Random(6)
        for n in range(60):
            with self.frames() as f:
                try:
                    if n % 3 == 0:
                        f.send(rng.randbytes(rng.randint(1, 3000)))
                    elif n % 3 == 1:
                        f.send(frame(rng.randint(0, 12), rng.randint(0, 255), rng.randint(0, 5), rng.randbytes(20)) * 5)
                    else:
                        data = f.request("GET", "/ping")[0]
                        f.send(data[:rng.randint(1, len(data))] + rng.randbytes(50))
                    f.sock.shutdown(1)
                    f.ended(5)
                except OSError:
                    pass
        self.assertAlive()


if __name__ == "__main__":
    unittest.main()
