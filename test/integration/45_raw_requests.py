#!/usr/bin/env python3
"""test/integration/45_raw_requests.py - the raw request guard: exact bytes for every rule, over plain TCP and over
TLS, alone, behind a good request, in front of one, and in pieces. What is refused is never stored, and what lies
behind it is never looked at."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NodeCase  # noqa: E402
from lib.certs import Certs  # noqa: E402
from lib.node import EXIT_BAD_CONFIG, Node, temp_folder  # noqa: E402
from lib.wire import SLOW, build, chunked  # noqa: E402

HEAD_MAX = 8192
BODY_MAX = 64 << 10
HOST = b"Host: a\r\n"
GET = b"GET /ping HTTP/1.1\r\n" + HOST
POST = b"POST /streams/b/s HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
GOOD = GET + b"\r\n"

# (what, status, bytes): each is refused by the time its last byte is there.
REFUSED = [
    ("two Content-Length, the same", 400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n1"),
    ("two Content-Length", 400, POST + b"Content-Length: 1\r\nContent-Length: 40\r\n\r\n1"),
    ("a list as Content-Length", 400, POST + b"Content-Length: 1, 1\r\n\r\n1"),
    ("a sign before Content-Length", 400, POST + b"Content-Length: +1\r\n\r\n1"),
    ("a negative Content-Length", 400, POST + b"Content-Length: -1\r\n\r\n1"),
    ("a hexadecimal Content-Length", 400, POST + b"Content-Length: 0x1\r\n\r\n1"),
    ("a blank behind Content-Length", 400, POST + b"Content-Length: 1 \r\n\r\n1"),
    ("an empty Content-Length", 400, POST + b"Content-Length: \r\n\r\n1"),
    ("Content-Length and chunks", 400,
     POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    ("chunks and Content-Length", 400,
     POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    ("two Transfer-Encoding", 400,
     POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    ("another Transfer-Encoding", 400, POST + b"Transfer-Encoding: gzip\r\n\r\n"),
    ("a list of Transfer-Encoding", 400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("Transfer-Encoding with a blank before its colon", 400, POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("Transfer-Encoding with a tab", 400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("Transfer-Encoding on HTTP/1.0", 400,
     b"POST /streams/b/s HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"),
    ("no Host", 400, b"GET /ping HTTP/1.1\r\n\r\n"),
    ("no Host, but others", 400, b"GET /ping HTTP/1.1\r\nX-Host: a\r\n\r\n"),
    ("two Hosts", 400, GET + b"Host: a\r\n\r\n"),
    ("two Hosts on HTTP/1.0", 400, b"GET /ping HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("a Host that is a list", 400, b"GET /ping HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("a Host with a path", 400, b"GET /ping HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a bare LF behind the request line", 400, b"GET /ping HTTP/1.1\nHost: a\r\n\r\n"),
    ("a bare LF behind a header", 400, b"GET /ping HTTP/1.1\r\nHost: a\n\r\n"),
    ("a bare LF at the end", 400, GET + b"\n"),
    ("bare LFs only", 400, b"GET /ping HTTP/1.1\nHost: a\n\n"),
    ("a bare CR in a header", 400, GET + b"X: a\rb: c\r\n\r\n"),
    ("a folded header", 400, GET + b"X: a\r\n b\r\n\r\n"),
    ("a header folded with a tab", 400, GET + b"X: a\r\n\tb\r\n\r\n"),
    ("a fold before the first header", 400, b"GET /ping HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("a header without a colon", 400, GET + b"X\r\n\r\n"),
    ("a header without a name", 400, GET + b": x\r\n\r\n"),
    ("a header with a blank before its colon", 400, GET + b"X : x\r\n\r\n"),
    ("a NUL in a header", 400, GET + b"X: a\0b\r\n\r\n"),
    ("a control character in a header", 400, GET + b"X: a\x08b\r\n\r\n"),
    ("HTTP/9.9", 505, b"GET /ping HTTP/9.9\r\n" + HOST + b"\r\n"),
    ("HTTP/2.0", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("HTTP/1.2", 505, b"GET /ping HTTP/1.2\r\n" + HOST + b"\r\n"),
    ("HTTP/0.9 said", 505, b"GET /ping HTTP/0.9\r\n" + HOST + b"\r\n"),
    ("HTTP/0.9 meant", 400, b"GET /ping\r\n"),
    ("no target", 400, b"GET HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("no method", 400, b" /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("a method with a parenthesis", 400, b"GE(T /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("two blanks in the request line", 400, b"GET  /ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("a tab in the request line", 400, b"GET\t/ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("a blank behind the version", 400, b"GET /ping HTTP/1.1 \r\n" + HOST + b"\r\n"),
    ("a version in small letters", 400, b"GET /ping http/1.1\r\n" + HOST + b"\r\n"),
    ("a target that is no path", 400, b"GET ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("a target of another scheme", 400, b"GET ftp://a/ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("a target with a user", 400, b"GET http://me@a/ping HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("empty lines", 400, b"\r\n\r\n" + GOOD),
    ("TLS on a plain port, or TLS in TLS", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("a head that is too large", 431, GET + b"X: " + b"x" * HEAD_MAX + b"\r\n\r\n"),
    ("a head that is too large and does not end", 431, GET + b"X: " + b"x" * HEAD_MAX),
    ("a target that is too large", 431, b"GET /" + b"x" * HEAD_MAX),
    ("101 headers", 431, GET + b"X: y\r\n" * 100 + b"\r\n"),
    ("a Content-Length over http.body.max", 413, POST + b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1)),
    ("a Content-Length beyond every number", 413, POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n"),
]

# Bodies in chunks that are refused; each follows a head with Transfer-Encoding.
BAD_CHUNKS = [
    ("no size", 400, b"\r\n"), ("no number", 400, b"xyz\r\n"), ("a negative size", 400, b"-1\r\n"),
    ("a size with 0x", 400, b"0x1\r\na\r\n0\r\n\r\n"), ("a bare LF behind the size", 400, b"1\na\r\n0\r\n\r\n"),
    ("a bare LF behind an extension", 400, b"1;x\na\r\n0\r\n\r\n"),
    ("a chunk longer than its size", 400, b"1\r\nab\r\n0\r\n\r\n"),
    ("a chunk that ends with a bare LF", 400, b"1\r\na\n0\r\n\r\n"),
    ("an end with a bare LF", 400, b"0\r\n\n"), ("a trailer with a bare LF", 400, b"0\r\nX: y\n\r\n"),
    ("a folded trailer", 400, b"0\r\nX: y\r\n z\r\n\r\n"),
    ("a size with 16 digits", 400, b"0000000000000001\r\na\r\n"),
    ("a chunk over http.body.max", 413, b"%x\r\n" % (BODY_MAX + 1)),
    ("chunks over http.body.max", 413, b"%x\r\n" % BODY_MAX + b"x" * BODY_MAX + b"\r\n1\r\n"),
]
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Base(NodeCase):
    """Over plain TCP; Tls below does all of it again."""

    CONF = {"http.head.max": f"{HEAD_MAX // 1024}KB", "http.body.max": f"{BODY_MAX // 1024}KB"}
    tls = None

    def wire(self):
        return self.node.wire(tls=self.tls)

    def with_token(self, data):
        """The same bytes with a token that may put, so that only the guard is in the way."""
        line = f"X-Session: {self.node.token()}\r\n".encode()
        return data.replace(HOST, HOST + line, 1)

    def refused(self, wire, status):
        """The next answer is that status, says why, and ends the connection."""
        answer = wire.read()
        types = {400: "invalid-request", 505: "invalid-request", 431: "too-large", 413: "too-large"}
        self.assertError(answer, status, types[status])
        self.assertEqual(answer.get("Connection"), "close", answer)
        self.assertTrue(wire.closed_by_peer())

    def nothing_stored(self):
        self.assertEqual(self.ids(at="/streams/b/s"), [])


class Rules(Base):
    def test_refused(self):
        """Every rule: the status, a sentence, the end; what lies behind it is never looked at."""
        for what, status, data in REFUSED:
            with self.subTest(what=what), self.wire() as wire:
                wire.send(self.with_token(data) + GOOD * 3)
                self.refused(wire, status)
        self.nothing_stored()

    def test_behind_a_good_one(self):
        """The same behind good requests, sent at once: those are answered, then comes the refusal."""
        for what, status, data in REFUSED:
            if data.startswith(b"\r\n"):
                continue
            with self.subTest(what=what), self.wire() as wire:
                wire.send(GOOD + self.with_token(POST + b"Content-Length: 1\r\n\r\n7").replace(b"/b/s", b"/b/good") + data
                          + GOOD)
                self.assertEqual(wire.read().status, 200)
                self.assertEqual(wire.read("POST").status, 201)
                self.refused(wire, status)
        self.nothing_stored()

    def test_in_pieces(self):
        """Cut in two at every place, and byte by byte, the answer is the same."""
        rng = random.Random(4)
        for what, status, data in REFUSED:
            cuts = range(1, len(data)) if len(data) < 60 else sorted(rng.sample(range(1, len(data)), 6))
            for cut in cuts if len(data) < 60 else cuts:
                if len(data) < 60 and rng.random() < 0.7:
                    continue
                with self.subTest(what=what, cut=cut), self.wire() as wire:
                    wire.send(data[:cut])
                    time.sleep(0.001)
                    try:
                        wire.send(data[cut:] + GOOD)
                    except OSError:
                        pass  # it has ended already
                    self.refused(wire, status)

    def test_half_behind_a_good_one(self):
        """A bad one whose begin lies behind a good request, and whose rest comes later."""
        for what, status, data in REFUSED:
            if data.startswith(b"\r\n") or len(data) > 1000:
                continue
            for cut in {1, len(data) // 2, len(data) - 1}:
                with self.subTest(what=what, cut=cut), self.wire() as wire:
                    wire.send(GOOD + data[:cut])
                    self.assertEqual(wire.read().status, 200)
                    try:
                        wire.send(data[cut:])
                    except OSError:
                        pass
                    self.refused(wire, status)

    def test_byte_by_byte(self):
        for what, status, data in REFUSED[:30]:
            with self.subTest(what=what), self.wire() as wire:
                try:
                    for at in range(len(data)):
                        wire.send(data[at:at + 1])
                except OSError:
                    pass
                self.refused(wire, status)

    def test_chunks(self):
        """Bodies in chunks that do not end where they say: with the head, behind it, behind a good request."""
        head = self.with_token(CHUNKED)
        for what, status, data in BAD_CHUNKS:
            for first, then in ((head + data, b""), (head, data), (GOOD + head + data, b""),
                                (head + data[:1], data[1:]), (GOOD + head + data[:-1], data[-1:])):
                with self.subTest(what=what, first=first[-20:]), self.wire() as wire:
                    wire.send(first)
                    if first.startswith(GOOD):
                        self.assertEqual(wire.read().status, 200)
                    time.sleep(0.002)
                    if then:
                        try:
                            wire.send(then)
                        except OSError:
                            pass
                    self.refused(wire, status)
        self.nothing_stored()

    def test_smuggled(self):
        """The request that another program would find in the body of the first is never seen."""
        inner = self.with_token(POST + b"Content-Length: 1\r\n\r\n9")
        for head in (b"Content-Length: %d\r\nContent-Length: 0\r\n\r\n" % len(inner),
                     b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner),
                     b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(inner) + 5),
                     b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
                     b"Transfer-Encoding:\x0bchunked\r\nContent-Length: 0\r\n\r\n"):
            with self.subTest(head=head), self.wire() as wire:
                wire.send(self.with_token(POST) + head + inner)
                self.refused(wire, 400)
        self.nothing_stored()

    def test_refused_is_counted(self):
        def value(name):
            text = self.get("/metrics", token=None).body.decode()
            return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])
        before = value("iorio_http_requests_refused_total")
        with self.wire() as wire:
            wire.send(b"GET /ping HTTP/1.1\r\n\r\n")
            self.refused(wire, 400)
        self.assertEqual(value("iorio_http_requests_refused_total"), before + 1)

    def test_refusal_reaches_a_client_that_sends_on(self):
        """A client in the middle of a large body reads why it was refused, instead of a reset."""
        for head, status in ((POST + b"Content-Length: 100000000\r\n\r\n", 413),
                             (POST + b"Content-Length: 50000\r\n\r\n", 401)):
            with self.subTest(status=status), self.wire() as wire:
                wire.send(head)
                for _ in range(40):
                    try:
                        wire.send(b"x" * 1000)
                    except OSError:
                        break
                    time.sleep(0.001)
                self.assertEqual(wire.read("POST").status, status)


class Good(Base):
    def test_good_ones(self):
        """What looks odd and is right is served, over one connection, in pieces of every size."""
        token = f"X-Session: {self.node.token()}\r\n".encode()
        post = b"POST /streams/b/good HTTP/1.1\r\nHost: a\r\n" + token + b"Content-Type: application/json\r\n"
        requests = [
            (GOOD, 200), (b"\r\n" + GOOD, 200), (b"GET /ping HTTP/1.1\r\nhOsT:\ta:80 \t\r\nX:\r\n\r\n", 200),
            (b"GET /ping HTTP/1.1\r\nHost:\r\n\r\n", 200), (b"GET /ping HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", 200),
            (b"GET http://other:8/ping HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            (b"GET HTTPS://other/ping?x=/ HTTP/1.1\r\nHost: a\r\n\r\n", 200),
            (b"GET http://other HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"GET http://other?x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
            (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 404), (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 404),
            (post + b"Content-Length: 1\r\n\r\n1", 201), (post + b"Content-Length: 0001\r\n\r\n2", 201),
            (post + b"Transfer-Encoding: ChunKed\r\n\r\n1\r\n3\r\n0\r\n\r\n", 201),
            (post + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\n4\r\n000\r\nX: y\r\n\r\n", 201),
            (post + b"Content-Length: 0\r\n\r\n", 400), (GOOD, 200),
            (GET + b"X: y\r\n" * 99 + b"\r\n", 200),
            (GET + b"X: " + b"x" * (HEAD_MAX - len(GET) - 7) + b"\r\n\r\n", 200)]
        data = b"".join(d for d, _ in requests)
        for size in (len(data), 1, 2, 3, 7, 100, 1000):
            with self.subTest(size=size), self.wire() as wire:
                for at in range(0, len(data), size):
                    wire.send(data[at:at + size])
                for request, status in requests:
                    self.assertEqual(wire.read().status, status, request[:200])
        events = self.get("/streams/b/good?from=1&limit=1000").json()
        self.assertEqual([e["data"] for e in events], [1, 2, 3, 4] * 7)

    def test_every_cut(self):
        """A pipeline of good requests, cut in two at every byte."""
        token = f"X-Session: {self.node.token()}\r\n".encode()
        post = b"POST /streams/b/cut HTTP/1.1\r\nHost: a\r\n" + token + b"Content-Type: application/octet-stream\r\n"
        data = (GOOD + post + b"Content-Length: 3\r\n\r\nabc" + post
                + b"Transfer-Encoding: chunked\r\n\r\n" + chunked([b"de", b"f"]) + GOOD)
        with self.wire() as wire:
            for cut in range(0, len(data), 1 if SLOW <= 1 else 17):
                wire.send(data[:cut])
                if cut % 3 == 0:
                    time.sleep(0.001)
                wire.send(data[cut:])
                self.assertEqual([wire.read().status for _ in range(4)], [200, 201, 201, 200], cut)

    def test_random_pieces(self):
        """Any pipeline in any pieces gives the same answers and events."""
        rng = random.Random(5)
        token = f"X-Session: {self.node.token()}\r\n".encode()
        for round_ in range(30):
            parts, want = [], []
            for n in range(rng.randint(1, 30)):
                body = rng.randbytes(rng.choice((0, 1, 10, 1000, 30000)))
                head = b"POST /streams/b/random%d HTTP/1.1\r\nHost: a\r\n" % round_ + token
                head += b"Content-Type: application/octet-stream\r\n"
                if rng.random() < 0.5:
                    parts.append(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                else:
                    cuts = sorted(rng.randint(0, len(body)) for _ in range(3))
                    pieces = [body[a:b] for a, b in zip([0] + cuts, cuts + [len(body)]) if b > a]
                    parts.append(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(pieces))
                want.append(body)
            data, at = b"".join(parts), 0
            with self.wire() as wire:
                while at < len(data):
                    size = rng.choice((1, 100, 1460, 20000))
                    wire.send(data[at:at + size])
                    at += size
                for number in range(1, len(want) + 1):
                    answer = wire.read("POST")
                    self.assertEqual((answer.status, answer.json()["meta"]["id"]), (201, number))
            for number, body in enumerate(want, 1):
                self.assertEqual(self.get(f"/streams/b/random{round_}/{number}").body, body)

    def test_exactly_the_largest_body(self):
        """http.body.max itself is taken, with a length and in chunks."""
        body = b"x" * BODY_MAX
        headers = [("X-Session", self.node.token()), ("Content-Type", BINARY)]
        with self.wire() as wire:
            self.assertEqual(wire.request("POST", self.at, headers, body).status, 201)
            wire.send(build("POST", self.at, headers + [("Transfer-Encoding", "chunked")]) + chunked([body[:5], body[5:]]))
            self.assertEqual(wire.read("POST").status, 201)

    def test_head_request(self):
        """The refusal of a HEAD has a body, as that of everything else: it ends the connection."""
        with self.wire() as wire:
            wire.send(b"HEAD /ping HTTP/1.1\r\n\r\n")
            self.assertEqual(wire.read("GET").status, 400)


class Early(Base):
    """A body that will be refused for what its head says is not waited for."""

    CONF = {"http.body.max": "8MB"}

    def early(self, status, path, headers, length, size, method="POST"):
        """Refused although only so many bytes of the body came. Returns the answer."""
        with self.wire() as wire:
            wire.send(build(method, path, [*headers, ("Content-Length", str(length))]) + b"1" * size)
            answer = wire.read(method)
            self.assertEqual(answer.status, status, answer)
            self.assertEqual(answer.get("Connection"), "close", answer)
            self.assertTrue(wire.closed_by_peer())
            return answer

    def test_strangers(self):
        """401, 404, 405, 415 come before the body does; the same answers as with it."""
        token = ("X-Session", self.node.token())
        json_ = ("Content-Type", JSON)
        for size in (0, 1, 5000):
            self.assertNoPerm(self.early(401, self.at, [json_], 1 << 20, size))
            self.assertNoPerm(self.early(401, self.at, [("X-Session", "bad"), json_], 1 << 20, size))
            self.early(404, "/nope", [token, json_], 1 << 20, size)
            self.assertIn("GET", self.early(405, self.at, [token, json_], 1 << 20, size, "PUT").words("Allow"))
            self.assertIn(JSON, self.early(415, self.at, [token, ("Content-Type", "text/x")], 1 << 20,
                                           size).words("Accept-Post"))
            self.assertError(self.early(400, "/streams/%00/s", [token, json_], 1 << 20, size), 400, "invalid-name")

    def test_chunks(self):
        """Likewise in chunks, once more than 16 KB are announced."""
        with self.wire() as wire:
            wire.send(build("POST", self.at, [("Content-Type", JSON), ("Transfer-Encoding", "chunked")]))
            wire.send(b"100\r\n" + b"1" * 256 + b"\r\n")
            time.sleep(0.05)
            wire.send(b"10000\r\n1")
            self.assertNoPerm(wire.read("POST"))
            self.assertTrue(wire.closed_by_peer())

    def test_expect(self):
        """A client that waits for 100 Continue gets it, and then 401 without having to send."""
        with self.wire() as wire:
            wire.send(build("POST", self.at, [("Content-Type", JSON), ("Expect", "100-continue"),
                                              ("Content-Length", "1000000")]))
            self.assertEqual(wire.read_head()[0], 100)
            self.assertNoPerm(wire.read("POST"))

    def test_small_bodies_are_read(self):
        """A refused body of up to 16 KB is read, and the connection goes on."""
        with self.wire() as wire:
            for _ in range(3):
                head = build("POST", self.at, [("Content-Type", JSON), ("Content-Length", "16384")])
                wire.send(head + b"1" * 8000)
                time.sleep(0.01)
                wire.send(b"1" * 8384)
                self.assertNoPerm(wire.read("POST"))
            self.assertEqual(wire.request("GET", "/ping").status, 200)

    def test_who_may_goes_on(self):
        """A large body of somebody who may put is read to its end."""
        body = json.dumps("x" * 1000000).encode()
        data = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)], body)
        with self.wire() as wire:
            for at in range(0, len(data), 50000):
                wire.send(data[at:at + 50000])
                time.sleep(0.001)
            self.assertStored(wire.read("POST"), 1)
        self.assertEqual(self.get(self.at + "/1").body, body)

    def test_bodies_that_are_no_events(self):
        """A login has at most 64 KB, and so has a body that nobody looks at: 413."""
        big = (64 << 10) + 1
        for method, path, headers in (("POST", "/sessions", [("Content-Type", JSON)]), ("GET", "/ping", []),
                                      ("PUT", "/policies/b", [("X-Session", self.node.token()), ("Content-Type", JSON)])):
            with self.subTest(path=path):
                answer = self.early(413, path, headers, big, 10, method)
                self.assertError(answer, 413, "too-large")
        body = b'{"username":"admin","password":"secret","x":"%b"}' % (b"y" * (64 << 10))
        answer = self.call("POST", "/sessions", body[:64 << 10], JSON, token=None)
        self.assertError(answer, 413, "too-large")  # a login has at most 16 KB, which its handler says
        answer = self.call("POST", "/sessions", body[:16 << 10], JSON, token=None)
        self.assertEqual(answer.status, 400)  # it is cut, but it was looked at


class TlsBase(Base):
    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = {**cls.CONF, **cls.certs.conf()}
        cls.tls = cls.certs.context()
        super().setUpClass()


class TlsRules(TlsBase, Rules):
    pass


class TlsGood(TlsBase, Good):
    pass


class TlsEarly(TlsBase, Early):
    pass


# Another h2o, as this program sees it: each takes something away that the guard rests on.
SHIMS = {
    "requests are not given to the handler by h2o_process_request":
        "void h2o_process_request(void *req) { (void)req; }",
    "requests are not disposed of":
        "void h2o_dispose_request(void *req) { (void)req; }",
}


class SelfTest(unittest.TestCase):
    @unittest.skipUnless(shutil.which("cc"), "no C compiler")
    def test_another_h2o(self):
        """A node does not start with an h2o that behaves in another way: 78 and a sentence."""
        for what, code in SHIMS.items():
            with self.subTest(what=what):
                folder = temp_folder()
                source, shim = os.path.join(folder, "shim.c"), os.path.join(folder, "shim.so")
                with open(source, "w", encoding="ascii") as f:
                    f.write(code + "\n")
                subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, source], check=True)
                node = Node({}, env={"LD_PRELOAD": shim})
                node.spawn()
                code = node.wait(20 * SLOW)
                if "runtime does not come first" in node.log():
                    self.skipTest("a sanitizer wants to be loaded first")
                self.assertEqual(code, EXIT_BAD_CONFIG, node.tail())
                self.assertIn("the installed libh2o-evloop is not the one", node.log())


if __name__ == "__main__":
    unittest.main()
