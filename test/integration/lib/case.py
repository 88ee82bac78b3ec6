"""test/integration/lib/case.py - the TestCase of the programs here: one node per class.

setUpClass starts the node with the class's CONF, tearDownClass stops it: exit code 0,
within 5 s, and nothing bad in its log is a test of every program. A test that finds its
node dead fails. self.at is the path of a stream that no other test uses.
"""

import re
import unittest

from .node import Node, iorio

JSON, NDJSON, BINARY = iorio.JSON, iorio.NDJSON, iorio.BINARY
META = re.compile(rb'\{"meta":\{"id":([0-9]+),"t":([0-9]{13})\}\}')
BATCH_META = re.compile(rb'\{"meta":\{"id":([0-9]+),"last":([0-9]+),"t":([0-9]{13})\}\}')


class NodeCase(unittest.TestCase):
    CONF = {}
    ENV = {}
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.node = Node(cls.CONF, cls.ENV)
        cls.node.start()

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()

    def setUp(self):
        self.bucket = type(self).__name__.lower()
        self.name = self._testMethodName
        self.at = f"/streams/{self.bucket}/{self.name}"
        self.pid = self.node.process.pid

    def tearDown(self):
        self.assertTrue(self.node.running(), f"the node is dead\n{self.node.tail()}")
        self.node.check_log()

    # --- requests ---

    def call(self, method, path, body=None, type_=None, headers=(), token=True):
        return self.node.call(method, path, body, type_, headers, token)

    def get(self, path, headers=(), token=True):
        return self.call("GET", path, headers=headers, token=token)

    def post(self, body, type_=JSON, headers=(), at=None):
        return self.call("POST", at or self.at, body, type_, headers)

    def append(self, *bodies, at=None):
        """Append events one by one; the last id."""
        for body in bodies:
            answer = self.post(body, at=at)
            self.assertEqual(answer.status, 201, answer)
        return answer.json()["meta"]["id"]

    def ids(self, query="", at=None):
        """The ids that a GET with this query gives."""
        answer = self.get((at or self.at) + query)
        self.assertEqual(answer.status, 200, answer)
        return [event["meta"]["id"] for event in answer.json()]

    # --- what must hold ---

    def assertJson(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.all("Content-Type"), [JSON], answer)
        return answer.json()

    def assertError(self, answer, status, type_, reason=None, **fields):
        """An error body: {"type", "reason"} and, where given, these fields."""
        body = self.assertJson(answer, status)
        self.assertEqual(body.get("type"), type_, answer)
        self.assertIsInstance(body.get("reason"), str, answer)
        self.assertNotEqual(body["reason"], "", answer)
        if reason is not None:
            self.assertEqual(body["reason"], reason, answer)
        for name, value in fields.items():
            self.assertEqual(body.get(name), value, answer)
        return body

    def assertNoPerm(self, answer):
        self.assertError(answer, 401, "no-perm", "No Permission")
        self.assertEqual(answer.all("WWW-Authenticate"), ["jwt"], answer)

    def assertNoBody(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.body, b"", answer)
        self.assertIsNone(answer.get("Content-Type"), answer)

    def assertStored(self, answer, event, at=None):
        """A 201 for one event: status, body, ETag and Location, byte by byte."""
        self.assertJson(answer, 201)
        found = META.fullmatch(answer.body)
        self.assertIsNotNone(found, answer)
        self.assertEqual(int(found[1]), event, answer)
        self.assertEqual(answer.all("ETag"), [f'"{event}"'], answer)
        self.assertEqual(answer.all("Location"), [f"{at or self.at}/?limit=1&from={event}"], answer)
        return int(found[2])

    def assertBatch(self, answer, first, last):
        """A 201 for a batch."""
        self.assertJson(answer, 201)
        found = BATCH_META.fullmatch(answer.body)
        self.assertIsNotNone(found, answer)
        self.assertEqual((int(found[1]), int(found[2])), (first, last), answer)
        self.assertEqual(answer.all("ETag"), [f'"{last}"'], answer)
        self.assertEqual(answer.all("Location"), [f"{self.at}/?limit=1&from={first}"], answer)
        return int(found[3])

    def assertRange(self, answer, low, high):
        self.assertEqual((answer.get("Iorio-Low"), answer.get("Iorio-High")), (str(low), str(high)),
                         answer)

    def assertAlive(self):
        """The same process still answers."""
        self.assertTrue(self.node.running(), self.node.tail())
        self.assertEqual(self.node.process.pid, self.pid)
        self.assertEqual(self.get("/livez", token=None).status, 200)
