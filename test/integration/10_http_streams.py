#!/usr/bin/env python3
"""test/integration/10_http_streams.py - API.md section 3: append, read, conditions, batches."""

import base64
import json
import os
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import wait_until  # noqa: E402
from lib.wire import build  # noqa: E402

BAD_JSON = [
    b"", b" ", b"{", b"}", b"[1,]", b'{"a":1,}', b'{"a"}', b"{1:2}", b"nul", b"True", b"NaN",
    b"Infinity", b"-", b"01", b"1.", b".5", b"1e", b"+1", b"0x10", b"1 2", b"'a'", b'"a', b'"\\x"',
    b'"\\u12g4"', b'"\x01"', b'"tab\there"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b'"\xc0\x80"',
    b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"\xef\xbb\xbf1", b"1\x00", b"//c\n1",
    b"[" * 65 + b"]" * 65, b'{"a":' * 65 + b"1" + b"}" * 65, b"[" * 100000,
]
GOOD_JSON = [
    b"0", b"-0", b"42", b"-1.5e+10", b"1E-2", b"true", b"false", b"null", b'""', b'"x"', b"[]", b"{}",
    b'{"a":1,"a":2}', b'"\\ud83d\\ude00"', b'"\xf0\x9f\x98\x80"', b'"\\u0000"', b'"\x7f"', b'"\\/\\b\\f"',
    b' \t{ "a" : [ 1 , 2.50 ] } ', b"[" * 64 + b"]" * 64, b"1234567890123456789012345678901234567890",
    b'"\xe2\x80\xa8"', b'{"":""}', b"1.0000000000000000000000001",
]


class Append(NodeCase):
    def test_first(self):
        """The first event of a stream is id 1, with Location, ETag, meta and the current time."""
        before = int(time.time() * 1000)
        t = self.assertStored(self.post(b'{"a":1}'), 1)
        self.assertTrue(before - 1000 <= t <= int(time.time() * 1000) + 1000, t)

    def test_dense(self):
        """Ids are 1, 2, 3... per stream and t never decreases."""
        times = [self.assertStored(self.post(b"%d" % n), n) for n in range(1, 21)]
        self.assertEqual(times, sorted(times))
        self.assertStored(self.post(b"1", at=self.at + "-other"), 1, self.at + "-other")

    def test_location_leads_to_the_event(self):
        """GET of the Location of a POST gives that event alone."""
        self.append(b"1", b"2", b"3")
        answer = self.post(b'"this"')
        self.append(b"5")
        self.assertEqual([(e["meta"]["id"], e["data"]) for e in self.get(answer.get("Location")).json()],
                         [(4, "this")])

    def test_good_json(self):
        """Every JSON text is accepted, scalars included, and comes back byte for byte."""
        for number, text in enumerate(GOOD_JSON, 1):
            with self.subTest(text=text):
                self.assertStored(self.post(text), number)
                raw = self.get(f"{self.at}/{number}")
                self.assertEqual((raw.status, raw.body, raw.get("Content-Type")), (200, text, JSON))

    def test_bad_json(self):
        """What is no JSON text is 400 invalid-body, and nothing is stored."""
        for text in BAD_JSON:
            with self.subTest(text=text[:80]):
                self.assertError(self.post(text), 400, "invalid-body", "Invalid Request Body")
        self.assertEqual(self.ids(), [])
        self.assertNotIn(self.name, self.get(f"/streams/{self.bucket}").json()["data"])

    def test_data_is_the_stored_text(self):
        """In an array the stored JSON appears as it was sent: spaces, escapes, number forms."""
        text = b'{"z" : 1.50e+3, "a":"\\u00e9\\/", "z":[ ]}'
        t = self.assertStored(self.post(text), 1)
        self.assertEqual(self.get(self.at).body, b'[{"meta":{"id":1,"t":%d},"data":%b}]' % (t, text))

    def test_content_type_forms(self):
        """Content types carry parameters and are compared without case."""
        for number, kind in enumerate(("application/json; charset=utf-8", "APPLICATION/JSON",
                                       "application/json;charset=UTF-8 ; x=y"), 1):
            self.assertStored(self.post(b"1", kind), number)
        self.assertBatch(self.post(b"1\n", "application/x-ndjson; charset=utf-8"), 4, 4)
        self.assertStored(self.post(b"1", "Application/Octet-Stream;x=1"), 5)
        self.assertEqual(self.get(self.at + "/5").get("Content-Type"), BINARY)

    def test_binary(self):
        """A binary event: base64 with enc in an array, its bytes and type when read alone."""
        blob = bytes(range(256)) * 5 + b"\r\n\0"
        t = self.assertStored(self.post(blob, BINARY), 1)
        event = self.assertJson(self.get(self.at), 200)[0]
        self.assertEqual(event, {"meta": {"id": 1, "t": t, "enc": "base64"},
                                 "data": base64.b64encode(blob).decode()})
        raw = self.get(self.at + "/1")
        self.assertEqual((raw.status, raw.body, raw.get("Content-Type")), (200, blob, BINARY))

    def test_binary_lengths(self):
        """Binary events of 0 to 4 bytes have the right base64 padding."""
        for size in range(5):
            self.assertStored(self.post(b"\xfb" * size, BINARY), size + 1)
        self.assertEqual([e["data"] for e in self.get(self.at + "?from=1&limit=10").json()],
                         ["", "+w==", "+/s=", "+/v7", "+/v7+w=="])

    def test_binary_that_is_json(self):
        """JSON sent as octet-stream stays binary."""
        self.assertStored(self.post(b"42", BINARY), 1)
        event = self.get(self.at).json()[0]
        self.assertEqual((event["data"], event["meta"].get("enc")), ("NDI=", "base64"))

    def test_prefer(self):
        """durability=disk and quorum are granted and said; an unknown wish is ignored."""
        answer = self.post(b"1", headers=[("Prefer", "durability=disk")])
        self.assertStored(answer, 1)
        self.assertEqual((answer.get("Preference-Applied"), answer.get("Iorio-Durability")),
                         ("durability=disk", "disk"))
        answer = self.post(b"2", headers=[("Prefer", "respond-async, durability=quorum")])
        self.assertStored(answer, 2)
        self.assertTrue(answer.get("Preference-Applied").startswith("durability="), answer)
        self.assertIn(answer.get("Iorio-Durability"), ("disk", "quorum"))
        answer = self.post(b"3", headers=[("Prefer", "durability=lunch, handling=strict")])
        self.assertStored(answer, 3)
        self.assertIsNone(answer.get("Preference-Applied"))

    def test_prefer_memory(self):
        """durability=memory is 202 without meta; the event is there soon after."""
        answer = self.post(b'"soon"', headers=[("Prefer", "durability=memory")])
        self.assertEqual(answer.status, 202, answer)
        self.assertNotIn(b"meta", answer.body)
        self.assertIsNone(answer.get("ETag"))
        self.assertEqual((answer.get("Preference-Applied"), answer.get("Iorio-Durability")),
                         ("durability=memory", "memory"))
        wait_until("the event", lambda: self.ids() == [1], 5)
        self.assertStored(self.post(b"2"), 2)


class Conditions(NodeCase):
    def refused(self, header, value, expected_etag):
        answer = self.post(b"0", headers=[(header, value)])
        body = self.assertError(answer, 412, "conflict", field="seqnum")
        self.assertEqual(answer.all("ETag"), [expected_etag], answer)
        return body

    def test_if_match(self):
        """If-Match holds for the last id ever given and for no other."""
        self.append(b"1", b"2")
        body = self.refused("If-Match", '"1"', '"2"')
        self.assertEqual((body["expected"], body["got"]), (1, 2))
        body = self.refused("If-Match", '"3"', '"2"')
        self.assertEqual((body["expected"], body["got"]), (3, 2))
        self.refused("If-Match", '"0"', '"2"')
        self.assertStored(self.post(b"3", headers=[("If-Match", '"2"')]), 3)
        self.assertEqual(self.ids("?limit=10"), [1, 2, 3])

    def test_if_match_zero(self):
        """If-Match "0" means that nothing was ever appended."""
        self.assertStored(self.post(b"1", headers=[("If-Match", '"0"')]), 1)
        self.refused("If-Match", '"0"', '"1"')

    def test_if_none_match(self):
        """If-None-Match: * holds while no event is kept; a refusal does not make a stream."""
        self.refused("If-Match", '"7"', '"0"')
        self.assertNotIn(self.name, self.get(f"/streams/{self.bucket}").json()["data"])
        self.assertStored(self.post(b"1", headers=[("If-None-Match", "*")]), 1)
        self.refused("If-None-Match", "*", '"1"')
        self.assertEqual(self.ids("?limit=10"), [1])

    def test_batch(self):
        """A condition on a batch is judged before its first line."""
        self.append(b"1")
        answer = self.post(b"2\n3\n", NDJSON, [("If-Match", '"1"')])
        self.assertBatch(answer, 2, 3)
        answer = self.post(b"4\n5\n", NDJSON, [("If-Match", '"2"')])
        self.assertError(answer, 412, "conflict", field="seqnum", expected=2, got=3)
        self.assertEqual(self.ids("?limit=10"), [1, 2, 3])

    def test_other_forms(self):
        """Any other form of the two headers is 400 invalid-field with field and value."""
        self.append(b"1")
        forms = [("If-Match", v) for v in ("1", 'W/"1"', '"1","2"', '"-1"', '""', '"abc"', "*", '"1',
                                           '"01x"', '"99999999999999999999999"')]
        forms += [("If-None-Match", v) for v in ('"1"', '"*"', 'W/"1"', '*, "1"')]
        for header, value in forms:
            with self.subTest(header=header, value=value):
                body = self.assertError(self.post(b"2", headers=[(header, value)]), 400, "invalid-field")
                self.assertEqual(body["field"].lower(), header.lower())
                self.assertEqual(body["value"], value)
        self.assertEqual(self.ids("?limit=10"), [1])

    def test_body_before_condition(self):
        """400 for the body wins over 412."""
        self.assertError(self.post(b"{", headers=[("If-Match", '"9"')]), 400, "invalid-body")

    def test_racing_writers(self):
        """Of 8 requests with the same condition, sent at once, exactly one gets through."""
        self.append(b"0")
        wires = [self.node.wire() for _ in range(8)]
        request = (f"POST {self.at} HTTP/1.1\r\nHost: x\r\nX-Session: {self.node.token()}\r\n"
                   'If-Match: "1"\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n')
        for wire in wires:
            wire.send(request.encode())
        for n, wire in enumerate(wires):
            wire.send(b"%d" % n)
        answers = [wire.read("POST") for wire in wires]
        for wire in wires:
            wire.close()
        self.assertEqual(sorted(a.status for a in answers), [201] + [412] * 7)
        self.assertEqual(self.ids("?limit=10"), [1, 2])
        for answer in answers:
            if answer.status == 412:
                self.assertError(answer, 412, "conflict", expected=1, got=2)


class Batches(NodeCase):
    def lines(self):
        """The stored bytes of every event, by /{id}."""
        high = int(self.call("HEAD", self.at).get("Iorio-High"))
        return [self.get(f"{self.at}/{n}").body for n in range(1, high + 1)]

    def test_batch(self):
        """One JSON text a line: ids first..last, ETag the last, Location the first, one t."""
        self.append(b"0")
        t = self.assertBatch(self.post(b'{"a":1}\n[2, 3]\n"x"\n', NDJSON), 2, 4)
        events = self.get(self.at + "?from=2&limit=10").json()
        self.assertEqual([(e["meta"]["id"], e["data"]) for e in events],
                         [(2, {"a": 1}), (3, [2, 3]), (4, "x")])
        self.assertEqual({e["meta"]["t"] for e in events}, {t})
        self.assertStored(self.post(b"5"), 5)

    def test_line_ends(self):
        """LF or CRLF, the last one optional, blank lines skipped; line ends are not stored."""
        self.assertBatch(self.post(b'1\r\n\r\n\n{"a": "b"}\r\n   \n3', NDJSON), 1, 3)
        self.assertEqual(self.lines(), [b"1", b'{"a": "b"}', b"3"])
        self.assertEqual(self.get(self.at + "/1").get("Content-Type"), JSON)

    def test_all_or_none(self):
        """One line that is no JSON refuses the whole batch."""
        good = b"".join(b"%d\n" % n for n in range(500))
        for bad in (good + b"{\n", b"{\n" + good, good + b"x\n" + good, b'{"a":\n1}\n', b"1 2\n",
                    good + b'"\xff"\n'):
            self.assertError(self.post(bad, NDJSON), 400, "invalid-body")
        self.assertEqual(self.ids(), [])

    def test_empty(self):
        """A batch without a line that counts is 400 invalid-body."""
        for body in (b"", b"\n", b"\r\n\r\n", b"  \n\n"):
            with self.subTest(body=body):
                self.assertError(self.post(body, NDJSON), 400, "invalid-body")

    def test_line_limit(self):
        """10,000 lines are a batch, 10,001 are 413 too-large and nothing is stored."""
        line = b'{"n":12345}\n'
        self.assertError(self.post(line * 10001, NDJSON), 413, "too-large")
        self.assertEqual(self.ids(), [])
        self.assertBatch(self.post(line * 10000, NDJSON), 1, 10000)
        self.assertEqual(self.ids("?from=9999&limit=5"), [9999, 10000])

    def test_contiguous(self):
        """Batches of several writers do not mingle."""
        wires = [self.node.wire() for _ in range(4)]
        head = (f"POST {self.at} HTTP/1.1\r\nHost: x\r\nX-Session: {self.node.token()}\r\n"
                "Content-Type: application/x-ndjson\r\nContent-Length: 200\r\n\r\n").encode()
        for _ in range(10):
            for n, wire in enumerate(wires):
                wire.send(head + b"%d\n" % n * 100)
            for wire in wires:
                self.assertEqual(wire.read("POST").status, 201)
        for wire in wires:
            wire.close()
        data = [e["data"] for e in self.get(self.at + "?from=1&limit=1000").json()]
        data += [e["data"] for e in self.get(self.at + "?from=1001&limit=1000").json()]
        data += [e["data"] for e in self.get(self.at + "?from=2001&limit=1000").json()]
        data += [e["data"] for e in self.get(self.at + "?from=3001&limit=1000").json()]
        self.assertEqual(len(data), 4000)
        for first in range(0, 4000, 100):
            self.assertEqual(len(set(data[first:first + 100])), 1, first)


class Read(NodeCase):
    CONF = {"streams.read.max": "20"}

    def setUp(self):
        super().setUp()
        self.append(*(b"%d" % n for n in range(1, 31)))

    def check(self, cases):
        for query, ids in cases.items():
            with self.subTest(query=query):
                self.assertEqual(self.ids(query), ids)

    def test_limit(self):
        """limit: default 1, no integer 1, zero and less nothing, capped at streams.read.max."""
        last = list(range(11, 31))
        self.check({"": [30], "?limit=3": [28, 29, 30], "?limit=abc": [30], "?limit=": [30],
                    "?limit=2.5": [30], "?limit=0": [], "?limit=-1": [], "?limit=-99999": [],
                    "?limit=20": last, "?limit=21": last, "?limit=1000000000000": last})

    def test_from(self):
        """from=n: the first `limit` with id >= n; no integer: the last ones."""
        self.check({"?from=5": [5], "?from=5&limit=3": [5, 6, 7], "?from=29&limit=10": [29, 30],
                    "?from=30": [30], "?from=31&limit=5": [], "?from=1000000000000": [],
                    "?from=0&limit=2": [1, 2], "?from=abc&limit=2": [29, 30], "?from=&limit=2": [29, 30],
                    "?from=1.5": [30], "?from=1&limit=100": list(range(1, 21)), "?limit=0&from=5": []})

    def test_huge_numbers(self):
        """A number that no integer of the node holds is the largest one, not none."""
        huge = "9" * 30
        self.assertEqual(self.ids(f"?limit={huge}"), self.ids("?limit=1000"))
        self.assertEqual(self.ids(f"?from={huge}&limit=9"), [])
        self.assertEqual(self.ids(f"?from=-{huge}&limit=2"), [1, 2])
        self.assertEqual(self.ids(f"?from=9223372036854775808&limit={huge}"), [])
        self.assertEqual(self.ids(f"?limit=-{huge}"), [])
        self.assertEqual(self.ids(f"?from=2&to={huge}&limit=1"), [2])

    def test_negative_from(self):
        """from=-n starts n before the end, at the oldest at most."""
        self.check({"?from=-1": [30], "?from=-3&limit=10": [28, 29, 30], "?from=-3": [28],
                    "?from=-30&limit=2": [1, 2], "?from=-31&limit=2": [1, 2],
                    "?from=-1000000000000&limit=2": [1, 2]})

    def test_to(self):
        """to=n: nothing above n, with or without from; no integer is no bound."""
        self.check({"?from=5&to=7&limit=10": [5, 6, 7], "?from=5&to=5&limit=10": [5],
                    "?from=5&to=4&limit=10": [], "?from=5&to=100&limit=3": [5, 6, 7],
                    "?from=28&to=1000000000000&limit=9": [28, 29, 30], "?from=29&to=abc&limit=9": [29, 30],
                    "?to=7&limit=3": [5, 6, 7], "?to=0&limit=3": []})

    def test_other_parameters(self):
        """Unknown parameters are ignored, values are percent-decoded."""
        self.check({"?nope=1&limit=2": [29, 30], "?limit=%32": [29, 30], "?&&limit=2&=&x": [29, 30],
                    "?LIMIT=5": [30]})

    def test_headers(self):
        """Iorio-Low and Iorio-High are on every GET and HEAD, whatever was asked for."""
        for query in ("", "?limit=0", "?from=99", "?from=5&limit=2"):
            for method in ("GET", "HEAD"):
                answer = self.call(method, self.at + query)
                self.assertRange(answer, 1, 30)
                self.assertEqual((answer.status, answer.get("Content-Type")), (200, JSON))

    def test_ndjson(self):
        """Accept: application/x-ndjson gives the same objects, one a line, without the cap."""
        array = self.get(self.at + "?from=1&limit=20").json()
        answer = self.get(self.at + "?from=1&limit=1000", [("Accept", NDJSON)])
        self.assertEqual((answer.status, answer.all("Content-Type")), (200, [NDJSON]))
        self.assertRange(answer, 1, 30)
        lines = answer.body.split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual([json.loads(line)["meta"]["id"] for line in lines], list(range(1, 31)))
        self.assertEqual([json.loads(line) for line in lines[:20]], array)
        self.assertRegex(lines[4], rb'^\{"meta":\{"id":5,"t":[0-9]{13}\},"data":5\}$')
        self.assertEqual(self.get(self.at, [("Accept", NDJSON)]).body, lines[29] + b"\n")
        self.assertEqual(self.get(self.at + "?limit=0", [("Accept", NDJSON)]).body, b"")

    def test_ndjson_one_line(self):
        """Line breaks between the tokens of stored JSON become spaces in NDJSON, not inside strings."""
        self.append(b'{\r\n "a": "x\\n\\ny",\n"b":\n[1,\n2]\n}')
        self.assertStored(self.post(b"\x00\n\x01", BINARY), 32)
        body = self.get(self.at + "?from=31&limit=2", [("Accept", NDJSON)]).body
        lines = body.split(b"\n")
        self.assertEqual(len(lines), 3, body)
        self.assertEqual(json.loads(lines[0])["data"], {"a": "x\n\ny", "b": [1, 2]})
        self.assertIn(b'"data":{   "a": "x\\n\\ny", "b": [1, 2] }}', lines[0])
        self.assertEqual(json.loads(lines[1])["meta"]["enc"], "base64")

    def test_download(self):
        """download=name adds a Content-Disposition that cannot be abused; without it there is none."""
        self.assertEqual(self.get(self.at + "?download=report.json").get("Content-Disposition"),
                         'attachment; filename="report.json"')
        self.assertIsNone(self.get(self.at).get("Content-Disposition"))
        for evil in ("a%0d%0aX-Evil:%201", 'a%22b%22;x=y', "..%2F..%2Fetc%2Fpasswd", "%00", "a%5Cb"):
            with self.subTest(evil=evil):
                answer = self.get(f"{self.at}?download={evil}")
                self.assertEqual(answer.status, 200, answer)
                self.assertIsNone(answer.get("X-Evil"), answer)
                value = answer.get("Content-Disposition")
                self.assertRegex(value, r'^attachment; filename="[^"/\\\x00-\x1f\x7f]+"$')

    def test_one_event(self):
        """/{id} is the event's bytes; what is not there yet is 404 not-found with a body."""
        answer = self.get(self.at + "/7")
        self.assertEqual((answer.status, answer.body, answer.all("Content-Type")), (200, b"7", [JSON]))
        for missing in ("31", "0", "1000000000000"):
            with self.subTest(missing=missing):
                self.assertError(self.get(f"{self.at}/{missing}"), 404, "not-found")
        for strange in ("abc", "-1", "1.0", "1x", "99999999999999999999999999"):
            with self.subTest(strange=strange):
                self.assertEqual(self.get(f"{self.at}/{strange}").status, 404)
        answer = self.call("HEAD", self.at + "/7")
        self.assertEqual((answer.status, answer.get("Content-Length"), answer.get("Content-Type")),
                         (200, "1", JSON))
        self.assertEqual(self.call("HEAD", self.at + "/31").status, 404)


class NoStream(NodeCase):
    def test_get(self):
        """A stream that was never written is [], 1 and 0, and is not made by asking."""
        for query in ("", "?limit=10", "?from=1", "?from=-5&limit=3"):
            answer = self.get(self.at + query)
            self.assertJson(answer, 200)
            self.assertEqual(answer.body, b"[]")
            self.assertRange(answer, 1, 0)
        self.assertRange(self.call("HEAD", self.at), 1, 0)
        self.assertEqual(self.get(self.at, [("Accept", NDJSON)]).body, b"")
        self.assertError(self.get(self.at + "/1"), 404, "not-found")
        self.assertEqual(self.get("/buckets").json(), {"status": "ok", "data": []})


class Large(NodeCase):
    CONF = {"memory.tail": "16MB", "journal.max_bytes": "64MB"}

    def test_large_answers(self):
        """Answers of many MB arrive whole, as an array and as NDJSON."""
        event = b'"' + b"x" * 100000 + b'"'
        for _ in range(10):
            self.assertEqual(self.post(b"\n".join([event] * 10), NDJSON).status, 201)
        answer = self.get(self.at + "?from=1&limit=100")
        self.assertEqual([e["meta"]["id"] for e in answer.json()], list(range(1, 101)))
        self.assertEqual(answer.body.count(event), 100)
        answer = self.get(self.at + "?from=1&limit=100", [("Accept", NDJSON)])
        self.assertEqual(answer.body.count(event + b"}\n"), 100)

    def test_fast_readers_of_a_long_stream(self):
        """Readers who take what comes as fast as it comes, from the disk: h2o must not lose track of a
        socket whose writes wait now and then (a release build ended by an assertion)."""
        line = b'"' + b"x" * 1000 + b'"\n'
        count = 0
        while count < 30000:
            answer = self.post(line * 1000, NDJSON)
            if answer.status == 503:  # a checkpoint makes room
                time.sleep(0.05)
                continue
            self.assertEqual(answer.status, 201, answer)
            count += 1000
        head = [("X-Session", self.node.token()), ("Accept", NDJSON), ("Connection", "close")]
        wrong = []

        def read_all():
            for _ in range(4):
                with self.node.wire() as wire:
                    wire.send(build("GET", self.at + "?from=1&limit=100000", head))
                    raw = wire.rest()
                if not raw.endswith(b"0\r\n\r\n") or raw.count(b'{"meta":{"id":') != count:
                    wrong.append(raw[-200:])

        threads = [threading.Thread(target=read_all) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_event_larger_than_a_segment(self):
        """An event larger than journal.segment is kept, also over kill -9."""
        event = b'"' + b"y" * (5 << 20) + b'"'
        self.assertStored(self.post(event), 1)
        self.assertEqual(self.get(self.at + "/1").body, event)
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.get(self.at + "/1").body, event)


if __name__ == "__main__":
    unittest.main()
