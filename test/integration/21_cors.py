#!/usr/bin/env python3
"""test/integration/21_cors.py - API.md section 1, CORS: which answers carry which headers, OPTIONS, off."""

import os
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import JSON, NDJSON, NodeCase  # noqa: E402
from lib.wire import build, chunked  # noqa: E402

APP, LOCAL, STRANGER = "https://app.example.com", "http://localhost:3000", "https://evil.example.com"
EXPOSED = ("ETag, Location, Retry-After, Iorio-Low, Iorio-High, Iorio-Durability, Iorio-Cursor, Iorio-Gap, "
           "Preference-Applied")
ALLOWED = ("X-Session, Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, Prefer, "
           "Idempotency-Key")
OF_CORS = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Allow-Methods",
           "Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Allow-Credentials", "Vary")
BODY_MAX = 128 << 10


def from_page(origin):
    return [("Origin", origin)]


class Case(NodeCase):
    def assertCors(self, answer, origin):
        """The headers of an answer, exactly; origin None: only Vary."""
        self.assertEqual(answer.all("Vary"), ["Origin"], answer)
        self.assertEqual(answer.all("Access-Control-Allow-Origin"), [origin] if origin else [], answer)
        self.assertEqual(answer.all("Access-Control-Expose-Headers"), [EXPOSED] if origin else [], answer)
        self.assertEqual(answer.all("Access-Control-Allow-Credentials"), [], answer)

    def assertNoCors(self, answer):
        for name in OF_CORS:
            self.assertEqual(answer.all(name), [], answer)


class Listed(Case):
    CONF = {"http.cors.enabled": "yes", "http.cors.origins": f"{APP}, {LOCAL}", "http.cors.headers": "X-Trace X-B3",
            "http.cors.maxage": "10m", "http.body.max": str(BODY_MAX) + "B"}

    def test_every_answer(self):
        """Good answers and errors of every kind carry the headers for a listed origin."""
        headers = from_page(APP)
        self.append(b'{"a":1}')
        cases = [("GET", "/ping", None, None, 200), ("GET", self.at, None, None, 200), ("HEAD", self.at, None, None, 200),
                 ("GET", self.at + "/1", None, None, 200), ("GET", self.at + "/9", None, None, 404),
                 ("GET", "/nope", None, None, 404), ("PUT", self.at, None, None, 405), ("GET", "/buckets", None, None, 200),
                 ("POST", self.at, b"1", JSON, 201), ("POST", self.at, b"{", JSON, 400), ("POST", self.at, b"1", "a/b", 415),
                 ("DELETE", self.at + "x", None, None, 204), ("GET", "/metrics", None, None, 200),
                 ("GET", "/openapi.json", None, None, 200), ("POST", "/sessions", b"{}", JSON, 400),
                 ("GET", "/streams/a%00b/c", None, None, 400), ("POST", "/x/echo", b"1", JSON, 200)]
        for method, path, body, type_, status in cases:
            with self.subTest(method=method, path=path, status=status):
                answer = self.call(method, path, body, type_, headers)
                self.assertEqual(answer.status, status, answer)
                self.assertCors(answer, APP)
        with self.subTest(status=401):
            answer = self.get(self.at, headers, token=None)
            self.assertNoPerm(answer)
            self.assertCors(answer, APP)
        with self.subTest(status=406):
            self.assertCors(self.get(self.at, headers + [("Accept", "image/png")]), APP)
        with self.subTest(status=412):
            answer = self.post(b"1", headers=headers + [("If-Match", '"77"')])
            self.assertEqual(answer.status, 412)
            self.assertCors(answer, APP)

    def test_too_large(self):
        """413, which is answered before there is a request: announced, and chunked."""
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, [("Content-Length", str(BODY_MAX + 1)), ("Origin", LOCAL)]))
            answer = wire.read()
        self.assertError(answer, 413, "too-large")
        self.assertCors(answer, LOCAL)
        with self.node.wire() as wire:
            wire.send(build("POST", self.at, [("Transfer-Encoding", "chunked"), ("Origin", STRANGER),
                                              ("Content-Type", JSON), ("X-Session", self.node.token())]))
            try:
                wire.send(chunked([b"x" * 65536] * 3))
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has had enough already
            answer = wire.read()
        self.assertEqual(answer.status, 413)
        self.assertCors(answer, None)

    def test_streamed(self):
        """An answer that is streamed in chunks."""
        for _ in range(15):
            self.append(b'"' + b"x" * (100 << 10) + b'"')
        answer = self.get(self.at + "?limit=1000000", from_page(APP) + [("Accept", NDJSON)])
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.chunked)
        self.assertCors(answer, APP)

    def test_comet(self):
        """GET /listen, with an event and without one."""
        answer = self.get(f"/listen?s={self.bucket}:{self.name}&wait=0", from_page(LOCAL))
        self.assertEqual(answer.status, 204)
        self.assertCors(answer, LOCAL)
        found = []
        listener = threading.Thread(target=lambda: found.append(
            self.get(f"/listen?s={self.bucket}:{self.name}:1&wait=10", from_page(APP))))
        listener.start()
        self.append(b"1")
        listener.join()
        self.assertEqual(found[0].status, 200)
        self.assertCors(found[0], APP)

    def test_origins(self):
        """The origin comes back as it was sent when it is listed; a stranger, or no page, gets Vary only."""
        for origin, allowed in ((APP, APP), (LOCAL, LOCAL), (APP.upper(), APP.upper()), (STRANGER, None), ("null", None),
                                ("*", None), (APP + ".evil.org", None), (APP + ":8443", None), ("http://localhost", None),
                                (f"{APP} {LOCAL}", None), (f"{APP}, {LOCAL}", None), ("", None)):
            with self.subTest(origin=origin):
                answer = self.get("/ping", from_page(origin), token=None)
                self.assertEqual(answer.status, 200)
                self.assertCors(answer, allowed)
        self.assertCors(self.get("/ping", token=None), None)

    def test_options(self):
        """OPTIONS of a known route is 200 without a token, with everything that a browser wants to know."""
        for path, methods in ((self.at, "GET, HEAD, POST, DELETE"), ("/sessions", "GET, HEAD, POST, DELETE"),
                              ("/listen", "GET, POST"), ("/policies/b", "GET, HEAD, PUT, DELETE"), (self.at + "/1", "GET, HEAD"),
                              ("/x/echo/a", "GET, HEAD, POST, PUT, DELETE"), (self.at + "/", "GET, HEAD, POST, DELETE")):
            for token in (None, True, "bad"):
                with self.subTest(path=path, token=token):
                    answer = self.call("OPTIONS", path, token=token,
                                       headers=from_page(APP) + [("Access-Control-Request-Method", "POST"),
                                                                 ("Access-Control-Request-Headers", "x-session")])
                    self.assertNoBody(answer, 200)
                    self.assertCors(answer, APP)
                    listed = [m for m in answer.get("Access-Control-Allow-Methods").split(", ") if m != "PATCH"]
                    self.assertEqual(", ".join(listed), methods)
                    self.assertEqual(answer.get("Access-Control-Allow-Headers"), ALLOWED + ", X-Trace, X-B3")
                    self.assertEqual(answer.get("Access-Control-Max-Age"), "600")
                    self.assertIn("OPTIONS", answer.words("Allow"))

    def test_options_of_strangers(self):
        """OPTIONS of a stranger is 200, too, but allows nothing; of an unknown route it is 404."""
        answer = self.call("OPTIONS", self.at, token=None, headers=from_page(STRANGER))
        self.assertNoBody(answer, 200)
        self.assertCors(answer, None)
        for name in OF_CORS[2:5]:
            self.assertEqual(answer.all(name), [], answer)
        self.assertNoBody(self.call("OPTIONS", "/nope", token=None, headers=from_page(APP)), 404)
        self.assertNoBody(self.call("OPTIONS", "/a/b/c/d/e/f/g/h/i", token=None, headers=from_page(APP)), 404)

    def test_allow(self):
        """405 names OPTIONS, too, since it is answered."""
        answer = self.call("PUT", self.at, token=None)
        self.assertNoBody(answer, 405)
        self.assertLessEqual({"GET", "HEAD", "POST", "DELETE", "OPTIONS"}, answer.words("Allow"))

    def test_one_connection(self):
        """Requests of different pages on one connection: each gets its own headers."""
        with self.node.wire() as wire:
            for origin, allowed in ((APP, APP), (STRANGER, None), (LOCAL, LOCAL)) * 3:
                self.assertCors(wire.request("GET", "/ping", from_page(origin)), allowed)


class Everybody(Case):
    CONF = {"http.cors.enabled": "yes"}

    def test_star(self):
        """With the default `*` every answer says so, to whom it may concern; no further headers, 60 s."""
        for headers in (from_page(STRANGER), from_page("null"), []):
            with self.subTest(headers=headers):
                self.assertCors(self.get("/ping", headers, token=None), "*")
                answer = self.call("OPTIONS", "/ping", token=None, headers=headers)
                self.assertNoBody(answer, 200)
                self.assertCors(answer, "*")
                self.assertEqual(answer.get("Access-Control-Allow-Headers"), ALLOWED)
                self.assertEqual(answer.get("Access-Control-Max-Age"), "60")


class Off(Case):
    CONF = {"http.cors.origins": APP}

    def test_off(self):
        """As shipped: no such header anywhere, and OPTIONS is a method like any other that is not there."""
        for path in ("/ping", "/nope", self.at, "/openapi.json"):
            with self.subTest(path=path):
                self.assertNoCors(self.get(path, from_page(APP)))
        answer = self.call("OPTIONS", self.at, headers=from_page(APP))
        self.assertNoBody(answer, 405)
        self.assertNoCors(answer)
        self.assertNotIn("OPTIONS", answer.words("Allow"))


if __name__ == "__main__":
    unittest.main()
