#!/usr/bin/env python3
"""test/integration/11_http_general.py - API.md section 1: routes, names, limits, order of checks,
and clients that do not behave."""

import json
import os
import random
import socket
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.wire import SLOW, build, chunked  # noqa: E402

BODY_MAX = 128 << 10
POST_TYPES = {JSON, NDJSON, BINARY}


class Routes(NodeCase):
    def test_unknown(self):
        """An unknown route is 404 without a body, with and without a token."""
        for path in ("/", "/nope", "/streams", "/streams/", "/streams/a/b/1/2", "/pingx", "/ping/x",
                     "/Ping", "/STREAMS/a/b", "/buckets/x", "/sessions/x", "/livez/x", "/a/b/c/d/e/f/g/h/i/j"):
            for token in (True, None):
                with self.subTest(path=path):
                    self.assertNoBody(self.get(path, token=token), 404)
        self.assertNoBody(self.call("POST", "/nope", b"{", "text/plain", token="bad"), 404)

    def test_trailing_slash(self):
        """A trailing slash is optional on every route."""
        self.assertStored(self.post(b"1", at=self.at + "/"), 1)
        self.assertStored(self.post(b"2"), 2)
        for path in ("/ping", "/livez", "/readyz", "/buckets", f"/streams/{self.bucket}", self.at,
                     self.at + "/1", "/sessions"):
            with self.subTest(path=path):
                plain, slash = self.get(path), self.get(path + "/")
                self.assertEqual((plain.status, slash.status), (200, 200))
                self.assertEqual(plain.body, slash.body)
        self.assertEqual(self.ids("/?limit=2"), [1, 2])

    def test_method_not_allowed(self):
        """A method that a route does not know is 405 without a body and with Allow."""
        cases = [("PUT", self.at, {"GET", "HEAD", "POST"}), ("BREW", self.at, {"GET", "HEAD", "POST"}),
                 ("POST", "/buckets", {"GET", "HEAD"}), ("PUT", f"/streams/{self.bucket}", {"GET", "HEAD"}),
                 ("POST", self.at + "/1", {"GET", "HEAD"}), ("PUT", "/sessions", {"GET", "HEAD", "POST"}),
                 ("POST", "/ping", {"GET", "HEAD"}), ("DELETE", "/livez", {"GET", "HEAD"})]
        for method, path, allowed in cases:
            with self.subTest(method=method, path=path):
                answer = self.call(method, path, token=None)
                self.assertNoBody(answer, 405)
                self.assertLessEqual(allowed, answer.words("Allow"))
                self.assertNotIn(method, answer.words("Allow"))

    def test_head(self):
        """HEAD gives the head of the GET and never a body, errors included."""
        self.append(b'{"a":1}', b"2")
        paths = ("/ping", "/buckets", f"/streams/{self.bucket}", self.at, self.at + "/1", "/sessions")
        with self.node.wire() as wire:
            headers = [("X-Session", self.node.token())]
            for path in paths:
                with self.subTest(path=path):
                    head = wire.request("HEAD", path, headers)
                    get = wire.request("GET", path, headers)
                    self.assertEqual((head.status, head.get("Content-Type")),
                                     (200, get.get("Content-Type")))
                    if head.get("Content-Length") is not None:
                        self.assertEqual(head.get("Content-Length"), str(len(get.body)))
            for path, status in (("/nope", 404), (self.at + "/9", 404)):
                self.assertEqual(wire.request("HEAD", path, headers).status, status)
            self.assertEqual(wire.request("HEAD", self.at).status, 401)
            self.assertEqual(wire.request("GET", "/ping").status, 200)

    def test_open_routes(self):
        """/ping, /livez, /readyz and, from loopback, /metrics need no token."""
        answer = self.get("/ping", token=None)
        self.assertJson(answer, 200)
        self.assertEqual(answer.body, b'{"pong":"iorio@127.0.0.1"}')
        self.assertEqual(self.get("/livez", token=None).status, 200)
        self.assertEqual(self.get("/readyz", token=None).status, 200)

    def test_metrics(self):
        """/metrics is Prometheus text; appended events are counted; no stream is named."""
        def value(text, name):
            return [float(line.split()[-1]) for line in text.splitlines()
                    if line.startswith(name + " ") or line.startswith(name + "{")]
        before = self.get("/metrics", token=None)
        self.assertEqual(before.status, 200)
        self.assertTrue(before.get("Content-Type").startswith("text/plain"), before)
        self.append(b"1", b"2", b"3")
        self.assertBatch(self.post(b"4\n5\n", NDJSON), 4, 5)
        after = self.get("/metrics", token=None).body.decode()
        self.assertEqual(sum(value(after, "iorio_append_events_total"))
                         - sum(value(before.body.decode(), "iorio_append_events_total")), 5)
        self.assertNotIn(self.name, after)
        for line in after.splitlines():
            if line and not line.startswith("#"):
                self.assertRegex(line, r"^iorio_[a-z0-9_]+(\{[^}]*\})? -?[0-9.e+]+$")
        helped = {line.split()[2] for line in after.splitlines() if line.startswith("# HELP")}
        typed = {line.split()[2] for line in after.splitlines() if line.startswith("# TYPE")}
        self.assertEqual(helped, typed)


class Names(NodeCase):
    def good(self, bucket, stream, segment_b=None, segment_s=None):
        at = f"/streams/{segment_b or bucket}/{segment_s or stream}"
        answer = self.call("POST", at, b'"here"', JSON)
        self.assertEqual(answer.status, 201, answer)
        self.assertIn(stream, self.get(f"/streams/{segment_b or bucket}").json()["data"])
        self.assertIn(bucket, self.get("/buckets").json()["data"])
        self.assertEqual([e["data"] for e in self.get(answer.get("Location")).json()], ["here"])

    def test_percent_decoding(self):
        """Path segments are percent-decoded once: both spellings are one stream."""
        self.append(b"1", at="/streams/names/plain")
        self.append(b"2", at="/streams/na%6des/pl%61in")
        self.append(b"3", at="/streams/na%6Des/%70lain/")
        self.assertEqual(self.ids("?limit=9", "/streams/names/plain"), [1, 2, 3])
        self.append(b"1", at="/streams/names/%2561")
        self.assertIn("%61", self.get("/streams/names").json()["data"])
        self.assertEqual(self.ids("", "/streams/names/a"), [])

    def test_strange_but_good(self):
        """Names may hold a slash (%2F), spaces, dots, quotes, UTF-8 and what looks like a query."""
        for bucket, stream, b, s in (("a/b", "c/d", "a%2Fb", "c%2fd"), ("x y", "a+b", "x%20y", "a+b"),
                                     ("...", "..a", "...", "..a"), ("?q=1", "#h", "%3Fq=1", "%23h"),
                                     ("gr\u00fc\u00dfe", "\u65e5\u672c", "gr%C3%BC%C3%9Fe",
                                      "%E6%97%A5%E6%9C%AC"), ("a\"b\\c", "'", "a%22b%5Cc", "'"),
                                     ("\U0001f600", "%", "%F0%9F%98%80", "%25"), ("$sys2", "a;b=c", "$sys2", "a;b=c"),
                                     ("a:b", "*", "a:b", "*"), ("b!c", "-1", "b!c", "-1")):
            with self.subTest(bucket=bucket, stream=stream):
                self.good(bucket, stream, b, s)

    def test_slash_in_a_name_is_not_a_route(self):
        """%2F does not split: /streams/b/s%2F1 is a stream, not event 1."""
        self.append(b'"event"')
        self.append(b'"stream"', at=self.at + "%2F1")
        self.assertEqual(self.get(self.at + "/1").body, b'"event"')
        self.assertEqual(self.get(self.at + "%2F1").json()[0]["data"], "stream")

    def test_longest(self):
        """A bucket of 255 bytes and a stream of 1,024 bytes are good, one more is invalid-name."""
        self.good("b" * 255, "s" * 1024)
        self.good("b" * 255, "\u00e9" * 512, None, "%C3%A9" * 512)
        for bucket, stream in (("b" * 256, "s"), ("b", "s" * 1025), ("b", "%C3%A9" * 513),
                               ("%61" * 256, "s")):
            self.assertError(self.call("POST", f"/streams/{bucket}/{stream}", b"1", JSON), 400, "invalid-name")
            self.assertError(self.get(f"/streams/{bucket}/{stream}"), 400, "invalid-name")
        self.assertError(self.get("/streams/" + "b" * 256), 400, "invalid-name")

    def test_refused(self):
        """Dots alone, NUL, control characters, no UTF-8 and broken percent signs are invalid-name."""
        for name in (".", "..", "%2e", "%2E%2e", ".%2E", "%00", "a%00b", "%01", "a%0Ab", "%7F", "%1f",
                     "%FF", "%C0%AF", "%ED%A0%80", "%C3", "a%", "a%4", "a%zz", "%C2%85"):
            for path in (f"/streams/b/{name}", f"/streams/{name}/s", f"/streams/b/{name}/"):
                with self.subTest(path=path):
                    self.assertError(self.call("POST", path, b"1", JSON), 400, "invalid-name")
                    self.assertError(self.get(path), 400, "invalid-name")
        self.assertNotIn("b", self.get("/buckets").json()["data"])


class Answers(NodeCase):
    CONF = {"http.body.max": "128KB"}

    def test_unsupported_type(self):
        """A body of another type, or of none, is 415 without a body, with Accept-Post."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                     "application/json-patch+json", "application", ""):
            with self.subTest(kind=kind):
                answer = self.post(b"1", kind)
                self.assertNoBody(answer, 415)
                self.assertEqual(answer.words("Accept-Post"), POST_TYPES)
        answer = self.call("POST", self.at, b"1")
        self.assertNoBody(answer, 415)
        self.assertEqual(answer.words("Accept-Post"), POST_TYPES)
        answer = self.call("POST", "/sessions", b'{"username":"admin","password":"secret"}', "text/plain",
                           token=None)
        self.assertNoBody(answer, 415)
        self.assertEqual(answer.words("Accept-Post"), {JSON})

    def test_not_acceptable(self):
        """GET of a stream with an Accept that cannot be met is 406 without a body."""
        self.append(b"1")
        self.assertNoBody(self.get(self.at, [("Accept", "image/png")]), 406)
        for accept in ("*/*", "application/*", "application/json", "text/html, */*;q=0.1",
                       "application/json;q=0.5, text/html"):
            with self.subTest(accept=accept):
                self.assertJson(self.get(self.at, [("Accept", accept)]), 200)
        answer = self.get(self.at, [("Accept", "application/x-ndjson, application/json;q=0.5")])
        self.assertEqual(answer.get("Content-Type"), NDJSON)

    def test_order_of_checks(self):
        """404, 405, 401, 406, 415, 400, 412: the first that fails is the answer."""
        self.append(b"1")
        bad = [("If-Match", '"9"')]
        self.assertNoBody(self.call("BREW", "/nope", b"{", "text/plain", bad, token="bad"), 404)
        self.assertNoBody(self.call("BREW", self.at, b"{", "text/plain", bad, token="bad"), 405)
        self.assertNoPerm(self.call("POST", self.at, b"{", "text/plain", bad, token="bad"))
        self.assertNoPerm(self.call("POST", self.at, b"{", "text/plain", bad, token=None))
        self.assertNoPerm(self.get(self.at, [("Accept", "image/png")], token=None))
        self.assertNoBody(self.call("POST", self.at, b"{", "text/plain", bad), 415)
        self.assertError(self.call("POST", self.at, b"{", JSON, bad), 400, "invalid-body")
        self.assertError(self.call("POST", self.at, b"{}", JSON, bad), 412, "conflict")
        self.assertEqual(self.ids("?limit=9"), [1])

    def test_body_limit(self):
        """A body of exactly http.body.max is stored; one byte more is 413 too-large."""
        self.assertStored(self.post(b'"' + b"x" * (BODY_MAX - 2) + b'"'), 1)
        self.assertStored(self.post(b"y" * BODY_MAX, BINARY), 2)
        with self.node.wire() as wire:
            head = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON),
                                           ("Content-Length", str(BODY_MAX + 1))])
            wire.send(head)
            self.assertError(wire.read("POST"), 413, "too-large")
            self.assertTrue(wire.closed_by_peer())
        self.assertEqual(self.ids("?limit=9"), [1, 2])

    def test_too_large_comes_first(self):
        """A Content-Length above the limit is 413 and close, before route, token, type and body."""
        for path, headers in (("/nope", []), (self.at, []), (self.at, [("X-Session", "bad")]),
                              ("/sessions", [("Content-Type", "text/plain")])):
            for length in (BODY_MAX + 1, 1 << 40, 1 << 62):
                with self.subTest(path=path, length=length), self.node.wire() as wire:
                    wire.send(build("POST", path, headers + [("Content-Length", str(length))]))
                    self.assertError(wire.read("POST"), 413, "too-large")
                    self.assertTrue(wire.closed_by_peer())

    def test_chunked(self):
        """A chunked body is stored like any other, whatever its chunks."""
        text = json.dumps({"a": list(range(500))}).encode()
        parts = [[text], [text[i:i + 1] for i in range(len(text))], [text[:7], text[7:]]]
        with self.node.wire() as wire:
            for number, split in enumerate(parts, 1):
                wire.send(build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON),
                                                  ("Transfer-Encoding", "chunked")]) + chunked(split))
                self.assertStored(wire.read("POST"), number)
        for number in (1, 2, 3):
            self.assertEqual(self.get(f"{self.at}/{number}").body, text)

    def test_chunked_too_large(self):
        """A chunked body that grows over the limit is 413 too-large."""
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", BINARY),
                                              ("Transfer-Encoding", "chunked")]))
            try:
                for _ in range(BODY_MAX // 4096 + 2):
                    wire.send(b"1000\r\n" + b"z" * 4096 + b"\r\n")
            except OSError:
                pass  # it has answered and closed
            self.assertError(wire.read("POST"), 413, "too-large")
        self.assertEqual(self.ids(), [])

    def test_expect(self):
        """Expect: 100-continue is answered 100, then the request goes on; too large: 413 at once."""
        headers = [("X-Session", self.node.token()), ("Content-Type", JSON), ("Expect", "100-continue")]
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, headers + [("Content-Length", "5")]))
            self.assertEqual(wire.read_head()[0], 100)
            wire.send(b"[1,2]")
            self.assertStored(wire.read("POST"), 1)
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, headers + [("Content-Length", str(BODY_MAX + 1))]))
            self.assertError(wire.read("POST"), 413, "too-large")

    def test_pipelined(self):
        """Requests sent without waiting are answered in order, one each."""
        headers = [("X-Session", self.node.token())]
        data = b""
        for n in range(1, 41):
            data += build("POST", self.at, headers + [("Content-Type", JSON)], b"%d" % n)
            data += build("GET", f"{self.at}/{n}", headers)
            data += build("HEAD", "/ping") + build("GET", "/nope")
        with self.node.wire() as wire:
            wire.send(data)
            for n in range(1, 41):
                self.assertStored(wire.read("POST"), n)
                self.assertEqual(wire.read("GET").body, b"%d" % n)
                self.assertEqual(wire.read("HEAD").status, 200)
                self.assertNoBody(wire.read("GET"), 404)

    def test_keep_alive_and_close(self):
        """A connection is kept after every kind of answer, and closed when asked to."""
        with self.node.wire() as wire:
            token = [("X-Session", self.node.token())]
            for method, path, headers, body, status in (
                    ("GET", "/ping", [], None, 200), ("GET", "/nope", [], None, 404),
                    ("POST", self.at, [("Content-Type", JSON)], b"1", 401),
                    ("POST", self.at, token, b"1", 415), ("PUT", self.at, token, b"1", 405),
                    ("POST", self.at, token + [("Content-Type", JSON)], b"{", 400),
                    ("POST", self.at, token + [("Content-Type", JSON)], b"1", 201)):
                self.assertEqual(wire.request(method, path, headers, body).status, status)
            wire.send(build("GET", "/ping", [("Connection", "close")]))
            self.assertEqual(wire.read().status, 200)
            self.assertTrue(wire.closed_by_peer())

    def test_http_1_0(self):
        """An HTTP/1.0 client gets an answer and the end of the connection."""
        with self.node.wire() as wire:
            wire.send(b"GET /ping HTTP/1.0\r\n\r\n")
            got = wire.rest()
            self.assertRegex(got, rb"^HTTP/1\.[01] 200 ")
            self.assertTrue(got.endswith(b'\r\n\r\n{"pong":"iorio@127.0.0.1"}'), got)

    def test_date(self):
        """An answer has a Date (RFC 9110 section 6.6.1)."""
        answer = self.get("/ping", token=None)
        self.assertRegex(answer.get("Date"), r"^\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT$")


class Rude(NodeCase):
    """Clients that do not behave: the node lives on, and nobody else is held up."""

    CONF = {"http.body.max": "128KB"}

    def test_garbage(self):
        """Whatever bytes come on the port, the node lives on."""
        rng = random.Random(2)
        junk = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500), b"\r\n\r\n\r\n", b"\0" * 5000,
                b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(64),
                b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b" / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET / HTTP/1.1\r\n:\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"\xff\xfe" * 100,
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
                b"GET http://[ HTTP/1.1\r\nHost: [\r\n\r\n", b"GET //%zz//?%zz=%&&==%00 HTTP/1.1\r\nHost:\r\n\r\n",
                b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"]
        junk += [rng.randbytes(rng.randint(1, 2000)) for _ in range(100)]
        junk += [b"GET /streams/" + rng.randbytes(rng.randint(1, 200)) + b" HTTP/1.1\r\nHost: x\r\n\r\n"
                 for _ in range(100)]
        for data in junk:
            with self.node.wire() as wire:
                try:
                    wire.send(data)
                    wire.sock.shutdown(1)
                    wire.rest()
                except OSError:
                    pass
        self.assertAlive()

    def test_upgrade_is_not_offered(self):
        """h2c and prior-knowledge HTTP/2 are not spoken: a GET with an h2c upgrade stays HTTP/1.1."""
        answer = self.get("/ping", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                                    ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")], token=None)
        self.assertEqual((answer.status, answer.json()), (200, {"pong": "iorio@127.0.0.1"}))

    def test_disconnect_mid_request(self):
        """A client that leaves in the middle of head or body leaves no event and no harm."""
        request = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)],
                        b'"' + b"x" * 50000 + b'"')
        rng = random.Random(3)
        for n in range(60):
            wire = self.node.wire()
            wire.send(request[:rng.randint(1, len(request) - 1)])
            wire.reset() if n % 2 else wire.close()
        self.assertAlive()
        self.assertEqual(self.ids(), [])
        self.assertStored(self.post(b"1"), 1)

    def test_disconnect_before_the_answer(self):
        """A client that leaves before its answer: the event is whole or not there, ids stay dense."""
        request = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)], b'"gone"')
        for n in range(60):
            wire = self.node.wire()
            wire.send(request)
            wire.reset() if n % 2 else wire.close()
        event = self.post(b'"last"').json()["meta"]["id"]
        events = self.get(self.at + "?from=1&limit=100").json()
        self.assertEqual([e["meta"]["id"] for e in events][:event], list(range(1, event + 1)))
        self.assertLessEqual({e["data"] for e in events}, {"gone", "last"})
        self.assertAlive()

    def test_slow_sender(self):
        """A client that sends byte by byte is served, and others are not held up meanwhile."""
        request = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)], b'"slow"')
        with self.node.wire() as slow, self.node.wire() as quick:
            for at in range(len(request) - 1):
                slow.send(request[at:at + 1])
                if at % 50 == 0:
                    begin = time.monotonic()
                    self.assertEqual(quick.request("GET", "/ping").status, 200)
                    self.assertLess(time.monotonic() - begin, 0.5 * SLOW)
            slow.send(request[-1:])
            self.assertStored(slow.read("POST"), 1)

    def test_slow_reader(self):
        """Clients that ask for a lot and do not read hold up nobody and get it all in the end."""
        event = b'"' + b"z" * 100000 + b'"'
        for _ in range(100):
            self.append(event)
        path = self.at + "?from=1&limit=1000"
        readers = [self.node.wire() for _ in range(5)]
        for wire in readers:
            wire.send(build("GET", path, [("X-Session", self.node.token()), ("Accept", NDJSON)]))
        for n in range(101, 111):
            begin = time.monotonic()
            self.assertStored(self.post(b"1"), n)
            self.assertLess(time.monotonic() - begin, 1 * SLOW)
        for wire in readers:
            self.assertEqual(wire.read().body.count(event), 100)
            wire.close()
        self.assertAlive()

    def test_readers_that_leave(self):
        """Clients that leave in the middle of a large answer do no harm."""
        event = b'"' + b"z" * 100000 + b'"'
        for _ in range(30):
            self.append(event)
        for n in range(20):
            wire = self.node.wire()
            wire.send(build("GET", self.at + "?from=1&limit=1000",
                            [("X-Session", self.node.token()), ("Accept", NDJSON)]))
            wire.read_head()
            wire.reset() if n % 2 else wire.close()
        self.assertAlive()

    def test_many_connections(self):
        """Three hundred idle connections do not keep a new one out."""
        wires = [self.node.wire() for _ in range(300)]
        self.assertAlive()
        for wire in wires:
            wire.close()
        self.assertAlive()

    def test_one_stream_many_clients(self):
        """Sixteen clients on one stream: every id is given once, in the order of each client."""
        given = [[] for _ in range(16)]

        def write(mine):
            with self.node.wire() as wire:
                for _ in range(50):
                    answer = wire.request("POST", self.at, [("X-Session", self.node.token()),
                                                            ("Content-Type", JSON)], b"1")
                    mine.append(answer.json()["meta"]["id"])
        self.node.token()
        threads = [threading.Thread(target=write, args=(mine,)) for mine in given]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(n for mine in given for n in mine), list(range(1, 801)))
        for mine in given:
            self.assertEqual(mine, sorted(mine))


class NeverReads(NodeCase):
    """A client that sends and never reads costs a bounded amount of memory and no processor time."""

    def rss_kb(self):
        with open(f"/proc/{self.node.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))

    def cpu_ticks(self):
        with open(f"/proc/{self.node.process.pid}/stat", encoding="ascii") as f:
            return sum(int(x) for x in f.read().rsplit(") ", 1)[1].split()[11:13])

    def test_answers_not_taken(self):
        """When an answer to a POST no longer fits, what the client sends behind it is not read in."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.settimeout(2)
        s.connect(("127.0.0.1", self.node.port))
        self.addCleanup(s.close)
        head = (f"POST /streams/b/{'%41' * 1024} HTTP/1.1\r\nHost: x\r\nX-Session: {self.node.token()}\r\n"
                "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1").encode()
        before = self.rss_kb()
        sent = 0
        try:
            for _ in range(3000):  # one at a time, so that none waits behind another
                s.sendall(head)
                time.sleep(0.003)
            while sent < 200 << 20:
                sent += s.send(b"x" * (1 << 20))
        except (TimeoutError, ConnectionError):
            pass  # the node does not take more: right
        self.assertLess(sent, 200 << 20)
        self.assertLess(self.rss_kb() - before, 40 << 10)
        try:
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        ticks = self.cpu_ticks()
        time.sleep(1)
        self.assertLess(self.cpu_ticks() - ticks, 30)
        self.assertEqual(self.node.call("GET", "/livez", token=None).status, 200)


class Idle(NodeCase):
    CONF = {"http.idle.timeout": "2s"}

    def test_idle_is_closed(self):
        """A connection without a request, or stuck in one, is closed after http.idle.timeout."""
        half = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)], b'"x"')[:-2]
        wires = {"silent": self.node.wire(), "head": self.node.wire(), "body": self.node.wire()}
        begin = time.monotonic()
        wires["head"].send(b"GET /ping HT")
        wires["body"].send(half)
        for name, wire in wires.items():
            with self.subTest(name=name):
                wire.sock.settimeout(15 * SLOW)
                wire.rest()
                self.assertGreater(time.monotonic() - begin, 1.5)
                wire.close()
        self.assertLess(time.monotonic() - begin, 12 * SLOW)
        self.assertEqual(self.ids(), [])


if __name__ == "__main__":
    unittest.main()
