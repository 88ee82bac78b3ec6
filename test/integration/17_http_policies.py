#!/usr/bin/env python3
"""test/integration/17_http_policies.py - API.md section 3: policies of retention, set, read and removed."""

import json
import os
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NodeCase  # noqa: E402

UNLIMITED = {"max_events": None, "max_bytes": None, "max_age": None, "max_total_bytes": None}


class Base(NodeCase):
    def setUp(self):
        super().setUp()
        self.of_bucket = f"/policies/{self.bucket}-{self.name}"
        self.of_stream = f"{self.of_bucket}/s"

    def put(self, at, policy, type_=JSON, **more):
        body = policy if isinstance(policy, bytes) else json.dumps(policy).encode()
        return self.call("PUT", at, body, type_, **more)

    def set(self, at, policy):
        answer = self.put(at, policy)
        self.assertEqual(self.assertJson(answer, 200), {"ok": True})
        self.assertEqual(answer.body, b'{"ok":true}')

    def remove(self, at):
        self.assertNoBody(self.call("DELETE", at), 204)

    def own(self, at):
        """The policy itself; None when there is none."""
        answer = self.get(at)
        if answer.status == 404:
            self.assertError(answer, 404, "not-found")
            return None
        return self.assertJson(answer, 200)

    def effective(self, at):
        return self.assertJson(self.get(at + "?effective=yes"), 200)


class Policies(Base):
    def test_set_get_delete(self):
        """What was set is what is read; PUT replaces the whole policy; DELETE is 204 every time."""
        for at in (self.of_bucket, self.of_stream):
            self.assertIsNone(self.own(at))
            self.set(at, {"max_events": 100, "max_age": "7d"})
            self.assertEqual(self.get(at).body, b'{"max_events":100,"max_age":"7d"}')
            self.set(at, {"max_bytes": "4MB"})
            self.assertEqual(self.own(at), {"max_bytes": 4194304})
            self.set(at, {})
            self.assertEqual(self.own(at), {})
            self.remove(at)
            self.assertIsNone(self.own(at))
            self.remove(at)

    def test_one_form(self):
        """Values are shown in one form, in one order, and that may be sent back."""
        self.set(self.of_bucket, b' {"max_total_bytes":"1GB", "max_age":"168h","max_bytes":null ,"max_events":7}\n')
        text = b'{"max_events":7,"max_bytes":null,"max_age":"7d","max_total_bytes":1073741824}'
        self.assertEqual(self.get(self.of_bucket).body, text)
        self.set(self.of_bucket + "/", text)
        self.assertEqual(self.get(self.of_bucket + "/").body, text)

    def test_effective(self):
        """The bucket's policy is the default of each field; null in a stream's is no limit."""
        self.assertEqual(self.effective(self.of_bucket), UNLIMITED)
        self.assertEqual(self.effective(self.of_stream), UNLIMITED)
        bucket = {"max_events": 100, "max_bytes": 5000, "max_age": "1d", "max_total_bytes": 90000}
        self.set(self.of_bucket, bucket)
        self.assertEqual(self.effective(self.of_bucket), bucket)
        self.assertEqual(self.effective(self.of_stream), bucket)
        self.assertIsNone(self.own(self.of_stream))
        self.set(self.of_stream, {"max_events": 7, "max_age": None})
        self.assertEqual(self.effective(self.of_stream), {**bucket, "max_events": 7, "max_age": None})
        self.assertEqual(self.effective(self.of_bucket + "/other"), bucket)
        self.assertEqual(self.effective(self.of_bucket + "-other/s"), UNLIMITED)
        self.remove(self.of_bucket)
        self.assertEqual(self.effective(self.of_stream), {**UNLIMITED, "max_events": 7})
        self.assertEqual(self.own(self.of_stream), {"max_events": 7, "max_age": None})

    def test_names(self):
        """Names are exact bytes, no patterns; neither bucket nor stream need exist, nor are they made."""
        odd = [f"{self.of_bucket}/{n}" for n in ("a%2Fb", "*", "a*", "%C3%A4%7C%20", "preview", "-$patch")]
        for number, at in enumerate(odd, 1):
            self.set(at, {"max_events": number})
        for number, at in enumerate(odd, 1):
            self.assertEqual(self.own(at), {"max_events": number})
        self.assertIsNone(self.own(f"{self.of_bucket}/ab"))
        self.assertIsNone(self.own(self.of_bucket))
        longest = f"/policies/{'b' * 255}/{'s' * 1024}"
        self.set(longest, {"max_events": 3})
        self.assertEqual(self.own(longest), {"max_events": 3})
        self.assertEqual(self.get("/buckets").json()["data"], [])
        self.set("/policies/$sys/metrics", {"max_age": "30d"})
        self.assertEqual(self.own("/policies/$sys/metrics"), {"max_age": "30d"})

    def test_head_and_methods(self):
        """HEAD is answered, other methods are told which there are."""
        self.set(self.of_bucket, {"max_events": 1})
        self.assertEqual(self.call("HEAD", self.of_bucket).status, 200)
        self.assertEqual(self.call("HEAD", self.of_stream).status, 404)
        for at in (self.of_bucket, self.of_stream):
            for method in ("POST", "PATCH"):
                answer = self.call(method, at, b"{}", JSON)
                self.assertNoBody(answer, 405)
                self.assertEqual(answer.get("Allow"), "GET, HEAD, PUT, DELETE")
        for at in ("/policies", f"{self.of_stream}/other"):
            self.assertNoBody(self.get(at), 404)
        self.assertEqual(self.get(f"{self.of_stream}/preview").get("Allow"), "POST")

    def test_restart_and_crash(self):
        """An answered change is there after a stop and after kill -9, a removal too."""
        self.set(self.of_bucket, {"max_events": 5})
        self.set(self.of_stream, {"max_bytes": 6})
        self.set(self.of_bucket + "/gone", {"max_bytes": 6})
        for again in (self.node.restart, lambda: (self.node.kill9(), self.node.start())):
            self.set(self.of_bucket + "/gone", {"max_bytes": 7})
            self.remove(self.of_bucket + "/gone")
            again()
            self.assertEqual(self.own(self.of_bucket), {"max_events": 5})
            self.assertEqual(self.own(self.of_stream), {"max_bytes": 6})
            self.assertIsNone(self.own(self.of_bucket + "/gone"))
        self.pid = self.node.process.pid


class Refused(Base):
    def test_fields(self):
        """A field that is wrong is 400 invalid-field with its name and value; nothing changes."""
        before = {"max_events": 9}
        cases = [("max_events", v) for v in (0, -1, 1.5, "10", True, [1], 2 ** 53, 2 ** 64, 10 ** 30, {"a": {}})]
        cases += [("max_bytes", v) for v in (0, "4mb", "", "4096", "0MB", "99999999TB")]
        cases += [("max_age", v) for v in (7, "7", "0s", "1w", "1.5d", "-1d", "forever")]
        cases += [("max_event", 1), ("", None), ('a"b', [1]), ("max_total_events", None)]
        for at in (self.of_bucket, self.of_stream):
            self.set(at, before)
            for field, value in cases:
                with self.subTest(at=at, field=field, value=value):
                    answer = self.put(at, {"max_bytes": 1, field: value} if field != "max_bytes" else {field: value})
                    self.assertError(answer, 400, "invalid-field", field=field, value=value)
            self.assertEqual(self.own(at), before)
        self.assertError(self.put(self.of_stream, {"max_total_bytes": 10 ** 9}), 400, "invalid-field",
                         field="max_total_bytes", value=10 ** 9)
        self.assertError(self.put(self.of_bucket, b'{"max_age":"1d","max_age":"2d"}'), 400, "invalid-field",
                         field="max_age", value="2d")

    def test_bodies(self):
        """No JSON object is 400 invalid-body; too long is 413; another type is 415."""
        for body, offset in ((b"", 0), (b"{", 1), (b'{"max_events":01}', 15), (b"[]", 0), (b"null", 0), (b"7", 0)):
            with self.subTest(body=body):
                self.assertError(self.put(self.of_bucket, body), 400, "invalid-body", offset=offset)
        self.assertError(self.put(self.of_bucket, b'{"max_events":1' + b" " * 4096 + b"}"), 413, "too-large")
        for type_ in (BINARY, "text/plain", None):
            answer = self.put(self.of_bucket, {}, type_)
            self.assertNoBody(answer, 415)
            self.assertEqual(answer.get("Accept"), JSON)
        self.assertEqual(self.put(self.of_bucket, {}, JSON + "; charset=utf-8").status, 200)

    def test_names(self):
        """Names that cannot be are 400 invalid-name, for every method."""
        for at in ("/policies/..", "/policies/b/.", "/policies/a%00b", "/policies/%ff", f"/policies/{'b' * 256}",
                   f"/policies/b/{'s' * 1025}", "/policies/b/a%1fb"):
            with self.subTest(at=at):
                self.assertError(self.put(at, {}), 400, "invalid-name")
                self.assertError(self.get(at), 400, "invalid-name")
                self.assertError(self.call("DELETE", at), 400, "invalid-name")

    def test_permission(self):
        """Without the permission grant: 401, whether there is a policy or not, and nothing changes."""
        self.set(self.of_bucket, {"max_events": 5})
        for token in (None, "bad"):  # the user anonymous, and nobody
            for at in (self.of_bucket, self.of_stream, "/policies/public"):
                self.assertNoPerm(self.get(at, token=token))
                self.assertNoPerm(self.get(at + "?effective=yes", token=token))
                self.assertNoPerm(self.put(at, {"max_events": 1}, token=token))
                self.assertNoPerm(self.put(at, b"{", "text/plain", token=token))
                self.assertNoPerm(self.call("DELETE", at, token=token))
        self.assertEqual(self.own(self.of_bucket), {"max_events": 5})
        self.assertIsNone(self.own(self.of_stream))


class Workers(Base):
    CONF = {"workers": "4"}

    def test_every_worker_sees_it(self):
        """After its answer a change holds on every connection, while others change other policies."""
        stop = threading.Event()
        wrong = []

        def disturb():
            number = 0
            with self.node.wire() as wire:
                while not stop.is_set():
                    number += 1
                    answer = wire.request("PUT", f"{self.of_bucket}/other{number % 50}",
                                          (("X-Session", token), ("Content-Type", JSON)), b'{"max_events":1}')
                    if answer.status != 200:
                        wrong.append(answer)

        token = self.node.token()
        thread = threading.Thread(target=disturb)
        thread.start()
        wires = [self.node.wire() for _ in range(16)]  # the kernel spreads them over the workers
        try:
            for number in range(1, 41):
                self.set(self.of_stream, {"max_events": number})
                for wire in wires:
                    answer = wire.request("GET", self.of_stream, (("X-Session", token),))
                    self.assertEqual(answer.json(), {"max_events": number})
        finally:
            stop.set()
            thread.join()
            for wire in wires:
                wire.close()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
