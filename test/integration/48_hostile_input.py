#!/usr/bin/env python3
"""test/integration/48_hostile_input.py - what nobody should send: every route with bodies, names, queries and headers
that cannot be, and floods of them. The node answers with a documented error, loses nothing of what
others append meanwhile (a ledger watches), keeps its memory bounded, and lives.

The routes are those of proto/http/routes.def, so a new one is tried without a word here; FIELDS says which
fields its body has."""

import json
import os
import random
import re
import socket
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.ledger import Ledger  # noqa: E402
from lib.node import ROOT  # noqa: E402
from lib.wire import SLOW, build, chunked  # noqa: E402

BODY_MAX = 256 << 10
DEPTH_MAX = 64
# What an answer to a request that is wrong in some way may be; 5xx are for the node's own troubles.
REFUSALS = {400, 401, 404, 405, 406, 409, 410, 412, 413, 414, 415, 417, 429, 431, 501, 505}

# Path of a JSON route -> its fields, each with a good value.
FIELDS = {
    "/sessions": {"username": "admin", "password": "secret"},
    "/users": {"username": "hostile", "password": "secret"},
    "/groups": {"name": "g-hostile"},
    "/access": {"action": "grant", "role": "user/hostile", "permission": "list"},
    "/access/:b": {"action": "grant", "role": "user/hostile", "permission": "get"},
    "/access/:b/:s": {"action": "grant", "username": "hostile", "permission": "get"},
    "/policies/:b": {"max_events": 5, "max_bytes": "1KB", "max_age": "7d", "max_total_bytes": "1MB"},
    "/policies/:b/:s": {"max_events": 5, "max_bytes": "1KB", "max_age": "7d"},
    "/policies/:b/preview": {"max_events": 5, "max_bytes": "1KB", "max_age": "7d", "max_total_bytes": "1MB"},
    "/policies/:b/:s/preview": {"max_events": 5, "max_bytes": "1KB", "max_age": "7d"},
}

# Texts that are no JSON, and why.
NO_JSON = {
    "nothing": b"",
    "blanks": b" \t\r\n",
    "cut": b'{"a":',
    "cut string": b'"abc',
    "cut escape": b'"\\u12',
    "brackets": b"[" * 100000,
    "closed brackets": b"[" * 100000 + b"]" * 100000,
    "braces": b'{"a":' * 20000,
    "just too deep": b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1),
    "wrong bracket": b"[1}",
    "NaN": b"NaN",
    "Infinity": b"[Infinity]",
    "-Infinity": b"-Infinity",
    "hex": b"0x10",
    "octal": b"01",
    "plus": b"+1",
    "dot": b"1.",
    "leading dot": b".5",
    "exponent": b"1e",
    "BOM": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-32": '{"a":1}'.encode("utf-32-le"),
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\udc00"',
    "surrogates the wrong way round": b'"\\udc00\\ud800"',
    "raw surrogate": b'"\xed\xa0\x80"',
    "overlong": b'"\xc0\xaf"',
    "overlong NUL": b'"\xc0\x80"',
    "above Unicode": b'"\xf4\x90\x80\x80"',
    "cut UTF-8": b'"\xe2\x82"',
    "continuation": b'"\x80"',
    "0xff": b'"\xff"',
    "raw newline": b'"a\nb"',
    "raw NUL": b'"a\0b"',
    "trailing NUL": b'{"a":1}\0',
    "trailing bytes": b'{"a":1}x',
    "two texts": b"1 2",
    "comma": b"[1,]",
    "comment": b"/*c*/1",
    "line comment": b"1//c",
    "single quotes": b"{'a':1}",
    "bare key": b"{a:1}",
    "number as key": b"{1:1}",
    "True": b"True",
    "undefined": b"undefined",
    "bad escape": b'"\\x41"',
    "form": b"a=1&b=2",
    "XML": b"<a/>",
    "binary": bytes(range(256)),
}
# Good JSON of the wrong kind for a body with fields.
WRONG_KIND = [b"null", b"true", b"1", b"1e400", b"-0", b'"x"', b"[]", b"[{}]", b'"' + b"x" * 100000 + b'"', b"1" * 10000]
WRONG_VALUES = ["null", "true", "false", "0", "-1", "1.5", "1e3", "1e999", "9" * 400, "99999999999999999999", '""',
                '"\\u0000"', '"a\\u0000b"', '"' + "x" * 100000 + '"', "[]", "[[]]", "{}", '{"a":{"b":[1,{"c":null}]}}',
                '"\\ud83d\\ude00"', '"-5"', '"1 KB"', '"1QB"', '"99999999999999999999d"', "[" * 60 + "]" * 60]


def routes():
    """(method, path, types) of every row of routes.def."""
    with open(os.path.join(ROOT, "proto", "http", "routes.def"), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    rows = re.findall(r'^R\((\w+), *"([^"]+)", *[^,]+, *(\w+), *(\w+),', text, re.M)
    assert len(rows) > 20, rows
    return [("POST" if method == "ANY" else method, path, types) for method, path, _, types in rows]


def fill(path, bucket="hostile", stream="s"):
    """The path with names in the place of its parameters."""
    names = {":b": bucket, ":s": stream, ":id": "1"}
    return "/".join(names.get(part, "x" if part.startswith(":") else part) for part in path.split("/"))


class HostileCase(NodeCase):
    CONF = {"http.body.max": "256KB", "auth.login.failures": "0", "auth.login.failures.user": "0"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ledger = Ledger(cls.node, streams=2, writers=2)
        cls.ledger.begin()

    @classmethod
    def tearDownClass(cls):
        cls.ledger.end()
        cls.ledger.check()
        assert cls.ledger.acknowledged > 0, "the writers never got through"
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.before = self.ledger.acknowledged

    def tearDown(self):
        super().tearDown()
        self.assertAlive()
        end = time.monotonic() + 5 * SLOW
        while self.ledger.acknowledged == self.before:
            self.assertLess(time.monotonic(), end, "others are not served")
            time.sleep(0.01)

    def rss_kb(self):
        with open(f"/proc/{self.node.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))

    def assertGrown(self, before_kb, most_mb):
        """The node's memory grew by so much at most (a sanitizer keeps what is freed: not asked there)."""
        if SLOW <= 1:
            self.assertLess(self.rss_kb() - before_kb, most_mb << 10)

    def assertRefused(self, answer, what=None):
        """A documented refusal: its status, and an error as JSON or no body at all."""
        self.assertIn(answer.status, REFUSALS, (what, answer))
        self.assertDocumented(answer, what)

    def assertDocumented(self, answer, what=None):
        """Whatever it is: a JSON error with type and reason, or no body; never a 5xx but 507 and 503."""
        self.assertTrue(answer.status < 500 or answer.status in REFUSALS | {503, 507}, (what, answer))
        if answer.status < 400 or not answer.body:
            return
        if answer.status in (400, 417, 431, 505) and "close" in (answer.get("Connection") or ""):
            return  # the head was refused before there was a request
        self.assertEqual(answer.get("Content-Type"), JSON, (what, answer))
        body = json.loads(answer.body.decode("utf-8"))
        self.assertIsInstance(body.get("type"), str, (what, answer))
        self.assertIsInstance(body.get("reason"), str, (what, answer))
        if answer.status == 429:
            self.assertRegex(answer.get("Retry-After"), r"^[1-9][0-9]*$")
        if answer.status == 401:
            self.assertEqual(answer.get("WWW-Authenticate"), "jwt", (what, answer))


class Bodies(HostileCase):
    """Every route that takes JSON."""

    def json_routes(self):
        """(method, path as in the table, filled path) of those that have a body of JSON fields."""
        return [(m, p, fill(p)) for m, p, types in routes() if m in ("POST", "PUT", "PATCH", "DELETE") and types == "JSON"]

    def test_every_json_route_is_known(self):
        """FIELDS has every route with a JSON body: else the next tests leave its fields out."""
        self.assertLessEqual({p for _, p, _ in self.json_routes()}, set(FIELDS),
                             "add the fields of the new route to FIELDS in this file")

    def test_no_json(self):
        """What is no JSON is 400 invalid-body, on every route that wants some."""
        for method, path, at in self.json_routes():
            for what, body in NO_JSON.items():
                with self.subTest(method=method, path=path, what=what):
                    answer = self.call(method, at, body, JSON)
                    if body == b"" and path.endswith("/preview"):
                        self.assertEqual(answer.status, 200, answer)  # it means: by what holds now
                    elif body == b"" or len(body) > 4096:
                        self.assertIn(answer.status, (400, 413, 415), answer)  # it may want one, or have a bound
                        self.assertRefused(answer, what)
                    else:
                        self.assertError(answer, 400, "invalid-body")

    def test_wrong_kind(self):
        """A JSON text that is no object is refused."""
        for method, path, at in self.json_routes():
            for body in WRONG_KIND:
                with self.subTest(method=method, path=path, body=body[:40]):
                    self.assertRefused(self.call(method, at, body, JSON))

    def test_wrong_values(self):
        """Every field with every kind of value: a refusal or a good answer, never a 5xx, and JSON."""
        for method, path, at in self.json_routes():
            good = FIELDS.get(path, {})
            for field in good:
                for value in WRONG_VALUES:
                    others = {k: v for k, v in good.items() if k != field}
                    parts = [f"{json.dumps(k)}:{json.dumps(v)}" for k, v in others.items()] + [f'"{field}":{value}']
                    with self.subTest(method=method, path=path, field=field, value=value[:40]):
                        answer = self.call(method, at, ("{" + ",".join(parts) + "}").encode(), JSON)
                        self.assertDocumented(answer, value)
                        if path == "/sessions":
                            self.assertIn(answer.status, (400, 401, 413), answer)

    def test_missing_and_twice(self):
        """A field that is missing, twice, under a strange name or in a deep object."""
        for method, path, at in self.json_routes():
            good = FIELDS.get(path, {})
            bodies = [b"{}", b'{"":1}', b'{"\\u0000":1}', ("{" + '"x":{' * 50 + "}" * 50 + "}").encode()]
            for field, value in good.items():
                one = f"{json.dumps(field)}:{json.dumps(value)}"
                rest = ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in good.items())
                bodies += [f"{{{rest},{one}}}".encode(), f"{{{one}}}".encode(),
                           f"{{{rest.replace(field, field.upper())}}}".encode()]
            for body in bodies:
                with self.subTest(method=method, path=path, body=body[:60]):
                    self.assertDocumented(self.call(method, at, body, JSON), body)
        twice = b'{"username":"admin","username":"admin","password":"secret"}'
        self.assertError(self.call("POST", "/sessions", twice, JSON, token=None), 400, "invalid-body")
        twice = b'{"max_events":1,"max_events":2}'
        self.assertError(self.call("PUT", "/policies/hostile", twice, JSON), 400, "invalid-field")

    def test_events_that_are_no_json(self):
        """As an event all of it is 400 with the place of the first bad byte; as bytes it is stored."""
        for what, body in NO_JSON.items():
            with self.subTest(what=what):
                error = self.assertError(self.post(body), 400, "invalid-body")
                self.assertLessEqual(error["offset"], len(body))
        self.assertEqual(self.ids("?limit=9"), [])
        for number, body in enumerate(NO_JSON.values(), 1):
            self.assertStored(self.post(body, BINARY), number)
            self.assertEqual(self.get(f"{self.at}/{number}").body, body)

    def test_events_that_are_strange_but_good(self):
        """What is JSON is stored byte for byte: the deepest, the longest number, names twice, NULs as escapes."""
        good = [b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, b"1" * 10000, b"-0", b"1e400", b"-1E-400", b'{"a":1,"a":2}',
                b'"\\u0000"', b'"\\ud83d\\ude00"', b'""', b'{"":{"":[]}}', b" \t\r\n1 \t\r\n", b"0.000",
                b'"\xf4\x8f\xbf\xbf"', b'"\x7f"', b'"\xef\xbb\xbf"', b'"' + b"\\\\" * 50000 + b'"',
                b"[" + b",".join([b"1"] * 100000) + b"]"]
        for number, body in enumerate(good, 1):
            with self.subTest(body=body[:40]):
                self.assertStored(self.post(body), number)
                self.assertEqual(self.get(f"{self.at}/{number}").body, body)

    def test_batches(self):
        """One bad line, and nothing of the batch is stored; its number is in the answer."""
        for what, body in NO_JSON.items():
            if not body.strip() or b"\n" in body or b"\r" in body:
                continue
            with self.subTest(what=what):
                error = self.assertError(self.post(b"1\n2\n" + body + b"\n3\n", NDJSON), 400, "invalid-body")
                self.assertEqual(error["line"], 3)
        self.assertError(self.post(b"\n" * 100000, NDJSON), 400, "invalid-body")
        self.assertError(self.post(b"1\n" * 10001, NDJSON), 413, "too-large")
        self.assertEqual(self.ids("?limit=9"), [])
        self.assertBatch(self.post(b"1\n" * 10000, NDJSON), 1, 10000)

    def test_types(self):
        """Content types of every kind: 415, or taken."""
        for kind in ("", " ", ";", "application/json;", "application/json;charset", "application/json; charset=\"",
                     "APPLICATION/JSON", "application/json,application/json", "application/\u00e9", "*/*", "a" * 4000,
                     "application/json\t", "text/json", "application/x-ndjson;;;;", "application/octet-stream;x=y"):
            with self.subTest(kind=kind[:40]):
                answer = self.post(b"1", kind)
                self.assertIn(answer.status, (201, 415), answer)
                self.assertDocumented(answer)

    def test_bodies_where_none_is_wanted(self):
        """A body on a route that has no use for one changes nothing."""
        for method, path, types in routes():
            if types == "JSON" or method in ("POST", "PUT", "PATCH") or path == "/listen":
                continue
            # Some take their own token back.
            token = self.node.client().login() if "sessions" in path else True
            with self.subTest(method=method, path=path):
                answer = self.call(method, fill(path), b"[" * 1000, JSON, token=token)
                self.assertDocumented(answer)


class Names(HostileCase):
    def test_on_every_route(self):
        """Names that cannot be, on every route that has one: 400 invalid-name for who may, 401 for others."""
        bad = ["%00", "a%00b", "%0a", "%7f", "%c2%85", "%ff", "%c0%af", "%ed%a0%80", "%e2%82", "%f4%90%80%80", "%", "%4",
               "%zz", "%%%", ".", "..", "%2e%2e", "a" * 256 + "b" * 800, "%61" * 1025]
        for method, path, types in routes():
            if ":b" not in path:
                continue
            for name in bad:
                for bucket, stream in ((name, "s"), ("b", name)):
                    if ":s" not in path and bucket == "b":
                        continue
                    at = fill(path, bucket, stream)
                    body, kind = (b"{}", JSON) if method in ("POST", "PUT") else (None, None)
                    if method == "PATCH":
                        body, kind = b"[]", "application/json-patch+json"
                    with self.subTest(method=method, path=path, bucket=bucket[:20], stream=stream[:20]):
                        self.assertError(self.call(method, at, body, kind), 400, "invalid-name")
                        self.assertNoPerm(self.call(method, at, body, kind, token=None))

    def test_users_and_groups(self):
        """Names of users, groups and members that cannot be: refused, or nobody; nothing is made of them."""
        bad = ["%00", "a%00b", "%0a", "%ff", "%c0%af", "%", "%zz", "..", "%2e", "%2F", "%20", "*", "all", "\u00e9",
               "%1f", "a%1fb", "a" * 256, "a" * 3000, "%61" * 256]
        before = self.get("/users").json(), self.get("/groups").json()
        for method, path, _ in routes():
            for letter in (":u", ":g", ":m"):
                if letter not in path.split("/"):
                    continue
                for name in bad:
                    parts = [name if part == letter else {":g": "g-admin", ":m": "nobody"}.get(part, part)
                             for part in path.split("/")]
                    with self.subTest(method=method, path=path, letter=letter, name=name[:20]):
                        answer = self.call(method, "/".join(parts))
                        self.assertDocumented(answer, name[:40])
                        self.assertNotIn(answer.status, (200, 201) if method == "PUT" else (), answer)
                        self.assertIn(self.call(method, "/".join(parts), token=None).status, (400, 401))
        self.assertEqual((self.get("/users").json(), self.get("/groups").json()), before)

    def test_long_targets(self):
        """Longer and longer targets: an answer or the end of the connection, and no memory kept."""
        before = self.rss_kb()
        for size in (1000, 4000, 8000, 16000, 64000, 256000, 1 << 20):
            for target in ("/" + "a" * size, "/streams/b/" + "s" * size, "/streams/b/s?" + "x" * size,
                           "/streams/b/s?" + "a=b&" * (size // 4), "/" * size, "/streams/b/" + "%2F" * (size // 3)):
                with self.node.wire() as wire:
                    try:
                        wire.send(build("GET", target, [("X-Session", self.node.token())]))
                        self.assertDocumented(wire.read("GET"), target[:30])
                    except (OSError, AssertionError) as e:
                        self.assertRegex(str(e), "reset|pipe|the connection ended|Broken", target[:30])
        self.assertGrown(before, 64)

    def test_random_bytes(self):
        """Random segments and queries: every answer is a documented one."""
        rng = random.Random(48)
        with self.node.wire() as wire:
            for _ in range(2000):
                def piece():
                    return "".join(rng.choice("%0123456789abcdefABCDEFzZ.:*+-_~!$&'()=,;@?/\u00e9\u00ff")
                                   for _ in range(rng.randint(0, 30)))
                target = f"/streams/{piece()}/{piece()}?{piece()}"
                self.assertDocumented(wire.request("GET", target, [("X-Session", self.node.token())]), target)


class Queries(HostileCase):
    def test_thousands_of_parameters(self):
        """Parameters beyond those that are looked at are ignored; /listen says that there are too many."""
        self.append(b"1", b"2", b"3")
        many = "&".join(f"p{i}={i}" for i in range(700))
        self.assertEqual(self.ids("?limit=2&" + many), [2, 3])
        self.assertEqual(self.ids("?" + many + "&limit=2"), [3])  # it comes too late
        self.assertEqual(self.ids("?" + "&" * 3000 + "limit=2"), [2, 3])  # what is empty is none
        self.assertEqual(self.ids("?limit=2" + "&limit=1" * 500), [2, 3])  # the first counts
        self.assertError(self.get("/listen?wait=0&" + "&".join(f"s=b:s{i}" for i in range(300))), 400, "invalid-field")

    def test_strange_values(self):
        """Values of every parameter that no client should send: a good answer or a documented refusal."""
        values = ["", "-", "--1", "1.5", "1e9", "0x10", "9" * 18, "9" * 19, "9" * 300, "-" + "9" * 300, "-9223372036854775808",
                  "9223372036854775807", "18446744073709551616", "%00", "%ff", "%", "%zz", "\u00e9", "a" * 3000, "yes", "*",
                  "**", "a*b", "..", "/", "%2F", "<script>", "'--", "1;2", "[1]", "{}", "NaN", "null", "%0d%0aX:y"]
        names = ["from", "limit", "to", "download", "after", "match", "info", "s", "cursor", "wait", "catchup", "effective", "jwt"]
        self.append(b"1")
        paths = [self.at, self.at + "/1", f"/streams/{self.bucket}", "/buckets", "/policies/hostile", "/sessions"]
        with self.node.wire() as wire:
            for path in paths:
                for name in names:
                    for value in values:
                        target = f"{path}?{name}={value}"
                        headers = [] if name == "jwt" else [("X-Session", self.node.token())]
                        answer = wire.request("GET", target, headers)
                        self.assertDocumented(answer, target)
                        self.assertEqual(answer.all("X"), [], target)
            for name in ("s", "cursor", "catchup"):
                for value in values:
                    answer = wire.request("GET", f"/listen?wait=0&{name}={value}", [("X-Session", self.node.token())])
                    self.assertDocumented(answer, value)
        self.assertEqual(self.ids("?limit=9"), [1])

    def test_delete_never_means_more(self):
        """A `to` that is no number removes nothing."""
        self.append(b"1", b"2")
        for value in ("", "x", "1.0", "%00", "1e1", "9" * 30, "0x1", "%", "%zz", "1,2"):
            self.assertError(self.call("DELETE", f"{self.at}?to={value}"), 400, "invalid-field")
        self.assertEqual(self.ids("?limit=9"), [1, 2])


class Headers(HostileCase):
    ODD = ["", " ", "\t", ",", ",,,,", ";", "=", "\"", "\"\"", "\\", "*", "W/\"1\"", "\"-1\"", "\"" + "9" * 40 + "\"", "\"\u00e9\"", "\u00ff\u00fe",
           "a" * 5000, "0", "-1", "1", "null", "NaN", "<>", "q=", ";q=9", "*/*;q=x", "bytes=0-", "\"1\", \"2\"", "()", "{}"]

    def test_every_header_we_read(self):
        """Odd values of every header that steers something: stored, refused, or ignored; never a 5xx."""
        names = ["If-Match", "If-None-Match", "Idempotency-Key", "Prefer", "Accept", "Content-Type", "X-Session",
                 "Authorization", "Last-Event-ID", "X-Forwarded-For", "Forwarded", "Expect", "Upgrade", "Origin",
                 "Accept-Encoding", "Content-Encoding", "Range", "Cookie", "Host", "Connection", "TE", "Trailer",
                 "Accept-Charset", "X-HTTP-Method-Override", "Via", "Date", "If-Modified-Since", "Max-Forwards"]
        for name in names:
            for value in self.ODD:
                with self.subTest(name=name, value=value[:20]), self.node.wire() as wire:
                    headers = [] if name in ("X-Session",) else [("X-Session", self.node.token())]
                    if name != "Content-Type":
                        headers.append(("Content-Type", JSON))
                    if name == "Host":
                        continue
                    try:
                        answer = wire.request("POST", self.at, headers + [(name, value)], b"1")
                    except AssertionError as e:  # the connection may end, too
                        self.assertIn("the connection ended", str(e))
                        continue
                    self.assertDocumented(answer, (name, value))
        events = self.get(self.at + "?from=1&limit=1000").json()
        self.assertEqual([e["meta"]["id"] for e in events], list(range(1, len(events) + 1)))
        self.assertEqual({e["data"] for e in events}, {1})

    def test_many_and_long(self):
        """Hundreds of headers, and long ones: an answer or the end of the connection; nothing is kept."""
        before = self.rss_kb()
        for count, size in ((50, 10), (99, 10), (101, 10), (1000, 10), (10000, 10), (1, 8000), (1, 70000), (1, 1 << 20),
                            (20, 4000), (3, 3000)):
            headers = [("X-Session", self.node.token())] + [(f"X-H{i}", "v" * size) for i in range(count)]
            with self.subTest(count=count, size=size), self.node.wire() as wire:
                try:
                    wire.send(build("GET", "/ping", headers))
                    answer = wire.read("GET")
                    self.assertTrue(answer.status == 200 or answer.status in REFUSALS, answer)
                except (OSError, AssertionError) as e:
                    self.assertRegex(str(e), "reset|pipe|the connection ended|Broken")
        self.assertGrown(before, 64)

    def test_the_same_header_twice(self):
        """Headers that are there twice: one of them counts, or it is refused; the event is whole."""
        for name, values in (("If-Match", ['"0"', '"5"']), ("Idempotency-Key", ["a", "b"]), ("Content-Type", [JSON, BINARY]),
                             ("X-Session", [self.node.token(), "bad"]), ("Accept", [JSON, "image/png"]),
                             ("Prefer", ["durability=disk", "durability=memory"])):
            with self.subTest(name=name), self.node.wire() as wire:
                headers = [] if name == "X-Session" else [("X-Session", self.node.token())]
                if name != "Content-Type":
                    headers.append(("Content-Type", JSON))
                headers += [(name, value) for value in values]
                self.assertDocumented(wire.request("POST", self.at, headers, b"7"), name)
        self.assertLessEqual({e["data"] for e in self.get(self.at + "?from=1&limit=99").json()}, {7})

    def test_broken_heads(self):
        """Heads that are none: 4xx or the end; no request in the body of another is ever answered as one."""
        token = self.node.token()
        tail = f"X-Session: {token}\r\nContent-Type: {JSON}\r\n".encode()
        post = f"POST {self.at} HTTP/1.1\r\n".encode()
        heads = [post + b"Host: x\r\n" + tail + b"Bad Header: 1\r\nContent-Length: 1\r\n\r\n1",
                 post + b"Host: x\r\n" + tail + b": novalue\r\nContent-Length: 1\r\n\r\n1",
                 post + b"Host: x\r\n" + tail + b"A\x00B: 1\r\nContent-Length: 1\r\n\r\n1",
                 post + b"Host: x\r\n" + tail + b"Content-Length: abc\r\n\r\n1",
                 post + b"Host: x\r\n" + tail + b"Content-Length: -1\r\n\r\n1",
                 post + b"Host: x\r\n" + tail + b"Content-Length: 99999999999999999999\r\n\r\n1",
                 post + b"Host: x\r\n" + tail + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n1\r\n0\r\n\r\n",
                 post + b"Host: x\r\n" + tail + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n1\r\n0\r\n\r\n",
                 post + b"Host: x\r\n" + tail + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n1\r\n",
                 post + b"Host: x\r\n" + tail + b"Transfer-Encoding: gzip\r\n\r\n1",
                 b"POST\r\n\r\n", b"\r\n\r\n\r\n", b"\0" * 1000, b"POST " + b"a" * 5000, b"P\xffST / HTTP/1.1\r\n\r\n",
                 post[:-2] + b" extra\r\nHost: x\r\n\r\n", f"POST {self.at} HTTP/3.0\r\nHost: x\r\n\r\n".encode()]
        for number, head in enumerate(heads):
            with self.subTest(number=number), self.node.wire() as wire:
                try:
                    wire.send(head)
                    wire.sock.shutdown(socket.SHUT_WR)
                    got = wire.rest()
                except OSError:
                    continue
                for status in re.findall(rb"HTTP/1\.1 (\d+)", got):
                    self.assertIn(int(status), REFUSALS | {200, 201}, got[:200])
                self.assertLessEqual(got.count(b"HTTP/1.1 201"), 1, got[:400])
        self.assertLessEqual({e["data"] for e in self.get(self.at + "?from=1&limit=99").json()}, {1})

    def test_tokens(self):
        """Tokens that are none are 401, wherever they stand and however long they are."""
        good = self.node.token()
        bad = ["", ".", "..", "...", "a.b.c", good + "x", good[:-1], good + ".", "." + good, good.upper(), good.replace(".", ".."),
               "a" * 4096 + ".b.c", "a." + "b" * 6000 + ".c", "\u00e9.\u00e9.\u00e9", good + " " + good, "null", "e30.e30.", "=.=.="]
        for token in bad:
            for header, value in (("X-Session", token), ("Authorization", "Bearer " + token)):
                with self.subTest(header=header, token=token[:20]), self.node.wire() as wire:
                    try:
                        answer = wire.request("GET", "/buckets", [(header, value)])
                    except AssertionError as e:
                        self.assertIn("the connection ended", str(e))
                        continue
                    self.assertRefused(answer, token[:40])


class Floods(HostileCase):
    """Many at a time, while others append."""

    def flood(self, clients, work):
        errors = []

        def run(number):
            try:
                work(number)
            except Exception as e:  # noqa: BLE001 - shown below
                errors.append(repr(e))
        threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60 * SLOW)
            self.assertFalse(t.is_alive(), "a client hangs")
        self.assertEqual(errors, [])

    def test_bad_tokens(self):
        """Forged tokens by the thousand are 401, and the memory stays."""
        self.node.token()
        before = self.rss_kb()

        def work(number):
            rng = random.Random(number)
            with self.node.wire() as wire:
                for _ in range(1000):
                    token = f"{rng.getrandbits(200):x}.{rng.getrandbits(400):x}.{rng.getrandbits(400):x}"
                    assert wire.request("GET", "/buckets", [("X-Session", token)]).status == 401
        self.flood(8, work)
        self.assertGrown(before, 16)

    def test_bad_bodies(self):
        """Deep, broken and large bodies at the same time; the memory comes back."""
        self.node.token()
        bodies = [NO_JSON["brackets"], NO_JSON["braces"], b'"' + b"x" * (200 << 10), bytes(range(256)) * 800]
        headers = [("X-Session", self.node.token()), ("Content-Type", JSON)]

        def work(number):
            with self.node.wire() as wire:
                for i in range(60):
                    answer = wire.request("POST", self.at, headers, bodies[(number + i) % len(bodies)])
                    assert answer.status == 400, answer
        before = self.rss_kb()
        self.flood(8, work)
        self.assertGrown(before, 32)
        self.assertEqual(self.ids(), [])

    def test_wrong_logins(self):
        """Wrong passwords as fast as they go: 401, 429 or 503, and appends go on meanwhile."""
        done = self.ledger.acknowledged

        def work(number):
            with self.node.wire() as wire:
                for i in range(8):
                    body = json.dumps({"username": f"u{number}{i}", "password": "x" * 1000}).encode()
                    answer = wire.request("POST", "/sessions", [("Content-Type", JSON)], body)
                    assert answer.status in (401, 429, 503), answer
        self.flood(16, work)
        self.assertGreater(self.ledger.acknowledged, done)

    def test_connections_that_say_nothing(self):
        """Five hundred connections with a part of a request hold up nobody."""
        request = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)], b'"' + b"x" * 1000 + b'"')
        wires = []
        rng = random.Random(7)
        for i in range(500):
            wire = self.node.wire()
            wire.send(request[:rng.randint(0, len(request) - 1)])
            wires.append(wire)
        for _ in range(20):
            begin = time.monotonic()
            self.assertEqual(self.get("/livez", token=None).status, 200)
            self.assertLess(time.monotonic() - begin, 2 * SLOW)
        for i, wire in enumerate(wires):
            wire.reset() if i % 2 else wire.close()
        self.assertEqual(self.ids(), [])

    def test_chunked_drip(self):
        """Chunked bodies of one byte a chunk, with extensions and trailers: stored whole or refused."""
        text = json.dumps(list(range(300))).encode()

        def work(number):
            with self.node.wire() as wire:
                for _ in range(10):
                    wire.send(build("POST", f"{self.at}{number}", [("X-Session", self.node.token()), ("Content-Type", JSON),
                                                                   ("Transfer-Encoding", "chunked")])
                              + chunked([text[i:i + 1] for i in range(len(text))]))
                    assert wire.read("POST").status == 201
        self.node.token()
        self.flood(8, work)
        for number in range(8):
            self.assertEqual(self.get(f"{self.at}{number}/10").body, text)


if __name__ == "__main__":
    unittest.main()
