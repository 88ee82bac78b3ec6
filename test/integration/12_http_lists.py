#!/usr/bin/env python3
"""test/integration/12_http_lists.py - the lists of buckets and of streams (API.md section 3)."""

import os
import random
import sys
import unittest
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402

quote = urllib.parse.quote


class Lists(NodeCase):
    def names(self, path, query=""):
        answer = self.get(path + query)
        body = self.assertJson(answer, 200)
        self.assertEqual(sorted(body), ["data", "status"], answer)
        self.assertEqual(body["status"], "ok", answer)
        return body["data"]

    def make(self, bucket, *streams):
        for stream in streams:
            self.append(b"1", at=f"/streams/{quote(bucket, safe='')}/{quote(stream, safe='')}")


class Streams(Lists):
    def setUp(self):
        super().setUp()
        self.bucket = self.name
        self.list = f"/streams/{self.bucket}"

    def test_empty(self):
        """A bucket that nobody wrote to is an empty list, byte by byte."""
        answer = self.get(self.list)
        self.assertJson(answer, 200)
        self.assertEqual(answer.body, b'{"status":"ok","data":[]}')

    def test_at_once(self):
        """A new stream is in the list as soon as its first event is acknowledged, and only once."""
        expected = []
        for n in range(20):
            self.make(self.bucket, f"s{n:02d}")
            expected.append(f"s{n:02d}")
            self.assertEqual(self.names(self.list), expected)
        self.make(self.bucket, *expected)
        self.assertEqual(self.names(self.list), expected)

    def test_sorted(self):
        """Names are sorted by their bytes, across partitions and whatever the order of creation."""
        names = ["a", "A", "aa", "a b", "a/b", "Z", "\u00e9", "e\u0301", "\U0001f600", "\uffff", "10", "9", "-",
                 "~", "a\"b", "%41"]
        shuffled = names[:]
        random.Random(1).shuffle(shuffled)
        self.make(self.bucket, *shuffled)
        self.assertEqual(self.names(self.list), sorted(names, key=lambda n: n.encode()))

    def test_other_buckets(self):
        """A list holds the streams of exactly that bucket."""
        self.make(self.bucket, "x")
        self.make(self.bucket + "2", "y")
        self.make(self.bucket[:-1], "z")
        self.assertEqual(self.names(self.list), ["x"])

    def test_after_and_limit(self):
        """after (exclusive) and limit page through all names, none twice, none left out."""
        names = [f"n{n:03d}" for n in range(50)]
        self.make(self.bucket, *names)
        self.assertEqual(self.names(self.list, "?limit=7"), names[:7])
        self.assertEqual(self.names(self.list, "?after=n009&limit=3"), ["n010", "n011", "n012"])
        self.assertEqual(self.names(self.list, "?after=n0095&limit=2"), ["n010", "n011"])
        self.assertEqual(self.names(self.list, "?after=n049"), [])
        self.assertEqual(self.names(self.list, "?after="), names)
        seen, after = [], ""
        while page := self.names(self.list, f"?limit=8&after={after}"):
            seen += page
            after = page[-1]
        self.assertEqual(seen, names)

    def test_match(self):
        """match=pre* leaves only names that begin so; it goes with after and limit."""
        self.make(self.bucket, "apple", "apricot", "banana", "ap", "Ap", "a*b", "a")
        self.assertEqual(self.names(self.list, "?match=ap*"), ["ap", "apple", "apricot"])
        self.assertEqual(self.names(self.list, "?match=ap%2A"), ["ap", "apple", "apricot"])
        self.assertEqual(self.names(self.list, "?match=ap*&after=ap&limit=1"), ["apple"])
        self.assertEqual(len(self.names(self.list, "?match=*")), 7)
        self.assertEqual(self.names(self.list, "?match=zz*"), [])
        self.assertEqual(self.names(self.list, "?match=banana"), ["banana"])

    def test_info(self):
        """info=yes gives name, low, high, bytes and events of each stream."""
        self.append(b'"12345678"', b'"12345678"', at=f"{self.list}/one")
        self.assertEqual(self.call("POST", f"{self.list}/two", b"1\n2\n3\n", NDJSON).status, 201)
        self.assertEqual(self.call("POST", f"{self.list}/two", b"\0" * 1000, BINARY).status, 201)
        infos = self.names(self.list, "?info=yes")
        self.assertEqual([sorted(i) for i in infos], [["bytes", "events", "high", "low", "name"]] * 2)
        self.assertEqual([(i["name"], i["low"], i["high"], i["events"]) for i in infos],
                         [("one", 1, 2, 2), ("two", 1, 4, 4)])
        for info, least in zip(infos, (20, 1003)):
            self.assertTrue(least <= info["bytes"] <= least + 4096, info)
        self.assertEqual(self.names(self.list, "?info=no"), ["one", "two"])
        self.assertEqual([i["name"] for i in self.names(self.list, "?info=yes&limit=1&after=one")], ["two"])

    def test_refused_appends_make_nothing(self):
        """A POST that is refused leaves no name."""
        for body, kind, headers, token in ((b"{", JSON, [], True), (b"1", "text/plain", [], True),
                                           (b"1", JSON, [("If-Match", '"3"')], True), (b"1", JSON, [], None)):
            self.assertGreaterEqual(
                self.call("POST", f"{self.list}/no", body, kind, headers, token).status, 400)
        self.assertEqual(self.names(self.list), [])

    def test_restart(self):
        """The list is the same after kill -9."""
        names = sorted(f"s{n}" for n in range(200))
        self.make(self.bucket, *names)
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.names(self.list), names)
        self.assertEqual(self.names(self.list, "?limit=2&after=s5"), ["s50", "s51"])

    def test_many(self):
        """Some thousand streams are listed whole and paged."""
        names = sorted(f"m{n:05d}" for n in range(3000))
        with self.node.wire() as wire:
            head = (f"HTTP/1.1\r\nHost: x\r\nX-Session: {self.node.token()}\r\n"
                    "Content-Type: application/json\r\nContent-Length: 1\r\n\r\n1")
            for first in range(0, len(names), 100):
                wire.send("".join(f"POST {self.list}/{n} {head}" for n in names[first:first + 100]).encode())
                for _ in range(100):
                    self.assertEqual(wire.read("POST").status, 201)
        self.assertEqual(self.names(self.list), names)
        self.assertEqual(self.names(self.list, "?after=m01499&limit=1000"), names[1500:2500])


class Buckets(Lists):
    def test_buckets(self):
        """Buckets are sorted, appear at once, and take after, limit, match and info."""
        self.assertEqual(self.get("/buckets").body, b'{"status":"ok","data":[]}')
        names = ["zoo", "alpha", "beta", "al", "a/b", "\u00e9"]
        for n, bucket in enumerate(names, 1):
            self.make(bucket, "s", "t")
            self.assertEqual(self.names("/buckets"), sorted(names[:n], key=lambda b: b.encode()))
        self.assertEqual(self.names("/buckets"), ["a/b", "al", "alpha", "beta", "zoo", "\u00e9"])
        self.assertEqual(self.names("/buckets", "?after=alpha&limit=2"), ["beta", "zoo"])
        self.assertEqual(self.names("/buckets", "?after=a%2Fb&limit=1"), ["al"])
        self.assertEqual(self.names("/buckets", "?match=al*"), ["al", "alpha"])
        self.assertEqual([i["name"] for i in self.names("/buckets", "?info=yes&match=al*")], ["al", "alpha"])
        self.node.kill9()
        self.node.start()
        self.assertEqual(self.names("/buckets"), ["a/b", "al", "alpha", "beta", "zoo", "\u00e9"])
        self.assertEqual(self.call("HEAD", "/buckets").status, 200)


if __name__ == "__main__":
    unittest.main()
