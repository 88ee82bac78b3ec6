#!/usr/bin/env python3
"""test/integration/16_http_comet.py - API.md section 5: GET /listen as long polling (COMET)."""

import base64
import os
import random
import re
import sys
import time
import unittest
import urllib.parse

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import Node, wait_until  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402


def name(text):
    return urllib.parse.quote(text, safe="")


def sub(bucket, stream, from_=None):
    """One s=, as it travels: the names encoded, then the whole once more."""
    text = f"{name(bucket)}:{name(stream)}" + ("" if from_ is None else f":{from_}")
    return "s=" + name(text)


class CometCase(NodeCase):
    def sub(self, from_=None, suffix=""):
        return sub(self.bucket, self.name + suffix, from_)

    def listen(self, *params, headers=(), token=True):
        return self.get("/listen?" + "&".join(params), headers, token)

    def events(self, answer):
        """[(id, data)] of a 200; its shape is checked."""
        self.assertJson(answer, 200)
        self.assertEqual(answer.all("Cache-Control"), ["no-store"])
        found = []
        for event in answer.json():
            self.assertEqual(set(event), {"meta", "data"})
            self.assertEqual(event["meta"]["bucket"], self.bucket)
            self.assertIsInstance(event["meta"]["t"], int)
            found.append((event["meta"]["stream"][len(self.name):], event["meta"]["id"], event["data"]))
        return found

    def assertNothing(self, answer):
        self.assertNoBody(answer, 204)
        self.assertEqual(len(answer.all("Iorio-Cursor")), 1, answer)

    def start(self, *params, headers=()):
        """A request on a connection of its own, which is not read yet."""
        wire = self.node.wire(timeout_s=30 * SLOW)
        self.addCleanup(wire.close)
        wire.send(build("GET", "/listen?" + "&".join(params), [("X-Session", self.node.token()), *headers]))
        return wire

    def metric(self, which):
        found = re.search(rf"^iorio_{which} (-?\d+)$", self.get("/metrics").body.decode(), re.M)
        return int(found[1])

    def waiting(self, count, watches=None):
        """So many requests have read what there is and wait, for so many streams in all."""
        wait_until(f"{count} waiting", lambda: self.metric("http_waiting") == count
                   and self.metric("watches") == (watches or count), 10 * SLOW)

    def nothing_left(self):
        wait_until("no watches", lambda: self.metric("watches") == 0 and self.metric("http_waiting") == 0, 10 * SLOW)

    def tearDown(self):
        super().tearDown()
        self.doCleanups()
        self.nothing_left()


class Comet(CometCase):
    def test_at_once(self):
        """What is there from `from` on is the answer, byte for byte as an array."""
        t = [self.assertStored(self.post(b), n) for n, b in enumerate((b"1", b'{ "a":1.50 }', b'"x"'), 1)]
        answer = self.listen(self.sub(2))
        self.assertJson(answer, 200)
        place = b'"bucket":"%b","stream":"%b"' % (self.bucket.encode(), self.name.encode())
        self.assertEqual(answer.body, b'[{"meta":{"id":2,"t":%d,%b},"data":{ "a":1.50 }},'
                                      b'{"meta":{"id":3,"t":%d,%b},"data":"x"}]' % (t[1], place, t[2], place))
        self.assertEqual(answer.all("Iorio-Gap"), [])
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub(0)))], [1, 2, 3])
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub(-2)))], [2, 3])
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub(-9)))], [1, 2, 3])
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub("-9223372036854775808")))], [1, 2, 3])

    def test_later(self):
        """Else the first event that comes is; a stream may not even be there yet."""
        for from_ in (None, 1, -5, 99):
            at = self.at + str(from_)
            wire = self.start(self.sub(from_, str(from_)))
            self.waiting(1)
            self.assertStored(self.post(b'"now"', at=at), 1, at)
            self.assertEqual(self.events(wire.read()), [(str(from_), 1, "now")])

    def test_only_new(self):
        """Without from, and with one in the future, only new events come, whatever their id."""
        self.append(b"1", b"2")
        for number, from_ in enumerate((None, 100), 3):
            wire = self.start(self.sub(from_))
            self.waiting(1)
            self.append(b"%d" % number)
            self.assertEqual(self.events(wire.read()), [("", number, number)])

    def test_binary(self):
        """A binary event has enc in its meta and base64 as data; a batch comes whole."""
        self.post(bytes(range(256)), BINARY)
        event = self.assertJson(self.listen(self.sub(1)), 200)[0]
        self.assertEqual((event["meta"]["enc"], base64.b64decode(event["data"])), ("base64", bytes(range(256))))
        wire = self.start(self.sub())
        self.waiting(1)
        self.post(b"1\n2\n3\n", NDJSON)
        self.assertEqual([e[1] for e in self.events(wire.read())], [2, 3, 4])

    def test_many_streams(self):
        """64 streams in one request: those that have something answer, in the order of s=."""
        subs = [self.sub(1, f"-{n}") for n in range(64)]
        for n in (40, 7, 7):
            self.append(b'"%d"' % n, at=f"{self.at}-{n}")
        answer = self.listen(*subs)
        self.assertEqual(self.events(answer), [("-7", 1, "7"), ("-7", 2, "7"), ("-40", 1, "40")])
        cursor = answer.get("Iorio-Cursor")
        self.assertLessEqual(len(cursor), 1024)
        wire = self.start(*subs, "cursor=" + cursor)
        self.waiting(1, 64)
        self.append(b'"late"', at=f"{self.at}-63")
        self.assertEqual(self.events(wire.read()), [("-63", 1, "late")])

    def test_too_many(self):
        """More than 64 streams, or more parameters than are looked at, are 400."""
        self.assertError(self.listen(*[self.sub(1, str(n)) for n in range(65)]), 400, "invalid-field", field="s")
        self.assertError(self.listen(*["x=1"] * 95, self.sub(1)), 400, "invalid-field", field="s")
        self.assertNothing(self.listen(*["x=1"] * 20, *[self.sub(1)] * 64, "wait=0"))

    def test_duplicates(self):
        """A stream that is named twice comes once, from the lowest from."""
        self.append(b"1", b"2", b"3", b"4")
        for froms, ids in (((3, 2, 4), [2, 3, 4]), ((None, 3), [3, 4]), ((-1, 3), [3, 4]), ((-3, 4), [2, 3, 4]),
                           ((-1, -2), [3, 4]), ((99, -1), [4])):
            answer = self.listen(*[self.sub(f) for f in froms])
            self.assertEqual([e[1] for e in self.events(answer)], ids, froms)

    def test_ignored(self):
        """An s that is none, a pattern, and a name that cannot be are ignored."""
        self.append(b"1")
        bad = ["s=", "s=b", "s=:", f"s={self.bucket}", f"s={self.bucket}:{self.name}:x", f"s={self.bucket}:{self.name}:",
               f"s={self.bucket}:{self.name}:1:1", f"s={self.bucket}:{self.name}:1.5", f"s={self.bucket}:*:1",
               f"s={self.bucket}:{self.name[:3]}*:1", f"s=*:{self.name}:1", f"s={self.bucket}:..:1",
               f"s={self.bucket}:%25zz:1", f"s={self.bucket}:%2500:1", f"s={'b' * 256}:x:1", "s=%zz"]
        for one in bad:
            with self.subTest(s=one):
                self.assertNothing(self.listen(one, "wait=0"))
        self.assertEqual(self.events(self.listen(*bad, self.sub(1))), [("", 1, 1)])
        self.assertNothing(self.get("/listen?wait=0"))

    def test_names(self):
        """Names with everything that has a meaning somewhere: they are decoded twice."""
        for n in ("a:b", "100%", "%3A", "x*", "a b+c", "s/t&u=v", "gr\u00fc\u00dfe", '"q\\'):
            at = f"/streams/{self.bucket}/{name(n)}"
            self.assertEqual(self.post(b"1", at=at).status, 201)
            event = self.assertJson(self.listen(sub(self.bucket, n, 1)), 200)[0]
            self.assertEqual((event["meta"]["bucket"], event["meta"]["stream"]), (self.bucket, n))
            self.call("DELETE", at)
            answer = self.listen(sub(self.bucket, n, 1), "wait=0")
            self.assertEqual(answer.all("Iorio-Gap"), [f"{self.bucket}:{name(n).replace('%21', '!')}:1-1"])

    def test_limits(self):
        """An answer holds streams.read.max events, fairly over the streams; the next one goes on."""
        for stream in "abc":
            self.post(b"1\n" * (1500 if stream == "a" else 400), NDJSON, at=self.at + stream)
        got, cursor = {"a": [], "b": [], "c": []}, None
        for _ in range(20):
            more = ["cursor=" + cursor] if cursor else []
            answer = self.listen(*[self.sub(1, stream) for stream in "abc"], *more, "wait=0")
            cursor = answer.get("Iorio-Cursor")
            if answer.status == 204:
                break
            events = self.events(answer)
            self.assertLessEqual(len(events), 1000)
            if not got["a"]:
                self.assertEqual(len(events), 1000)
                self.assertGreaterEqual(min(sum(e[0] == s for e in events) for s in "abc"), 300)
            for stream, number, _data in events:
                got[stream].append(number)
        self.assertEqual(got, {"a": list(range(1, 1501)), "b": list(range(1, 401)), "c": list(range(1, 401))})

    def test_bytes(self):
        """An answer holds about 4 MB, or one larger event; nothing is lost over several."""
        big, cursor, sizes, got = b'"%b"' % (b"x" * 1_500_000), None, [], []
        for _ in range(5):
            self.append(big, big, at=self.at + "b")
        self.append(b'"%b"' % (b"y" * 7_000_000), at=self.at + "a")
        while True:
            more = ["cursor=" + cursor] if cursor else []
            answer = self.listen(self.sub(1, "a"), self.sub(1, "b"), "wait=0", *more)
            cursor = answer.get("Iorio-Cursor")
            if answer.status == 204:
                break
            sizes.append(len(answer.body))
            got += [e[:2] for e in self.events(answer)]
        self.assertEqual(sorted(got), [("a", 1)] + [("b", n) for n in range(1, 11)])
        self.assertEqual(got.count(("a", 1)), 1)
        self.assertEqual([s for s in sizes if s > (4 << 20) and s < 7_000_000], [])

    def test_new_of_a_full_answer(self):
        """A stream that had no place in a full answer is new from that answer on, not from the next."""
        self.append(b'"%b"' % (b"x" * 5_000_000), at=self.at + "a")
        for _ in range(5):
            answer = self.listen(self.sub(1, "a"), self.sub(None, "b"))
            self.append(b"1", at=self.at + "b")
            again = self.listen(self.sub(1, "a"), self.sub(None, "b"), "cursor=" + answer.get("Iorio-Cursor"))
            self.assertEqual([e[0] for e in self.events(again)], ["b"])

    def test_no_gap_at_the_joint(self):
        """A listener that asks again and again misses nothing while others write fast."""
        seen, last = [], 0
        writer = self.node.wire()
        self.addCleanup(writer.close)
        for n in range(300):
            writer.send(build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", JSON)], b"%d" % n))
        while last < 300:
            events = self.events(self.listen(self.sub(last + 1)))
            self.assertEqual(events[0][1], last + 1)
            seen += [e[1] for e in events]
            last = seen[-1]
        self.assertEqual(seen, list(range(1, 301)))

    def test_catchup_cache(self):
        """catchup=cache: the same from memory, and never a gap."""
        self.append(b"1", b"2", b"3")
        self.call("DELETE", self.at + "?to=1")
        answer = self.listen(self.sub(1), "catchup=cache")
        self.assertEqual([e[1] for e in self.events(answer)], [2, 3])
        self.assertEqual(answer.all("Iorio-Gap"), [])


class Waiting(CometCase):
    CONF = {"listen.comet.timeout": "1s"}

    def test_timeouts(self):
        """204 after listen.comet.timeout, or after wait= seconds; a wait that is none counts as not there."""
        for params, at_least, at_most in ((["wait=0"], 0, 0.5), (["wait=-3"], 0, 0.5), (["wait=2"], 2, 3.5),
                                          ([], 1, 2.5), (["wait=soon"], 1, 2.5)):
            start = time.monotonic()
            self.assertNothing(self.listen(self.sub(1), *params))
            took = time.monotonic() - start
            self.assertTrue(at_least - 0.01 <= took <= at_most * SLOW, (params, took))

    def test_longest_wait(self):
        """A wait above 300 s is cut, not refused."""
        wire = self.start(self.sub(), "wait=100000000000000000")
        self.waiting(1)
        self.append(b"1")
        self.assertEqual(self.events(wire.read()), [("", 1, 1)])

    def test_longer_than_a_request(self):
        """A waiting request has no request.timeout and no http.idle.timeout; the connection goes on."""
        node = Node({"request.timeout": "200ms", "http.idle.timeout": "1s"}).start()
        try:
            with node.wire(timeout_s=20 * SLOW) as wire:
                for n in (1, 2):
                    start = time.monotonic()
                    answer = wire.request("GET", f"/listen?s=b:s&wait={n + 1}", [("X-Session", node.token())])
                    self.assertEqual(answer.status, 204)
                    self.assertGreaterEqual(time.monotonic() - start, n + 1)
                self.assertEqual(wire.request("GET", "/ping").status, 200)
        finally:
            node.stop()

    def test_client_gone(self):
        """A client that leaves takes its watches along, at once; how it leaves does not matter."""
        for how in ("close", "reset", "half"):
            wires = [self.start(self.sub(1, str(n)), self.sub(), "wait=300") for n in range(20)]
            self.waiting(20, 40)
            for wire in wires:
                if how == "half":
                    wire.sock.shutdown(1)
                elif how == "reset":
                    wire.reset()
                else:
                    wire.close()
            self.nothing_left()
            if how == "half":  # it can still be told where it is
                for wire in wires:
                    self.assertNothing(wire.read())
                    self.assertTrue(wire.closed_by_peer())
        self.append(b"1")
        self.assertAlive()

    def test_pipelined(self):
        """A request that comes behind a waiting one ends the wait; both are answered, in order."""
        for _ in range(3):
            wire = self.start(self.sub(), "wait=300")
            self.waiting(1)
            wire.send(build("GET", "/ping"))
            self.assertNothing(wire.read())
            self.assertEqual(wire.read().status, 200)
            wire.send(build("GET", "/ping"))
            self.assertEqual(wire.read().status, 200)
        self.append(b"1")
        with self.node.wire() as wire:  # three at once, with something to say
            wire.send(build("GET", "/listen?" + self.sub(1), [("X-Session", self.node.token())]) * 3)
            for _ in range(3):
                self.assertEqual(self.events(wire.read()), [("", 1, 1)])

    def test_500_clients(self):
        """500 clients wait for one stream and 500 streams; one event answers all of them."""
        wires = [self.start(self.sub(1), self.sub(1, str(n)), "wait=120") for n in range(500)]
        self.waiting(500, 1000)
        self.append(b'"all"')
        for wire in wires:
            self.assertEqual(self.events(wire.read()), [("", 1, "all")])

    def test_deleted_meanwhile(self):
        """A stream that is deleted and comes back while somebody waits goes on with its ids."""
        self.append(b"1", b"2")
        wire = self.start(self.sub(3), "wait=60")
        self.waiting(1)
        self.assertEqual(self.call("DELETE", self.at).status, 204)
        self.append(b"3")
        self.assertEqual(self.events(wire.read()), [("", 3, 3)])


class CometByThree(Comet):
    """The same with listeners, streams and appends on three workers."""
    CONF = {"workers": "3"}


class WaitingByThree(Waiting):
    CONF = {**Waiting.CONF, "workers": "3"}


class Resuming(CometCase):
    def test_gap(self):
        """What was evicted below from is told in a header, with the names encoded."""
        self.append(b"1", b"2", b"3", b"4")
        self.call("DELETE", self.at + "?to=2")
        answer = self.listen(self.sub(1))
        self.assertEqual([e[1] for e in self.events(answer)], [3, 4])
        self.assertEqual(answer.all("Iorio-Gap"), [f"{self.bucket}:{self.name}:1-2"])
        self.assertEqual(self.listen(self.sub(2)).all("Iorio-Gap"), [f"{self.bucket}:{self.name}:2-2"])
        for from_ in (3, 4, -4):
            self.assertEqual(self.listen(self.sub(from_)).all("Iorio-Gap"), [], from_)

    def test_gap_without_events(self):
        """A stream of which nothing is left: the 204 tells the gap, and its cursor is behind it."""
        self.append(b"1", b"2")
        self.call("DELETE", self.at)
        answer = self.listen(self.sub(1), "wait=0")
        self.assertNothing(answer)
        self.assertEqual(answer.all("Iorio-Gap"), [f"{self.bucket}:{self.name}:1-2"])
        answer = self.listen(self.sub(1), "wait=0", "cursor=" + answer.get("Iorio-Cursor"))
        self.assertEqual(answer.all("Iorio-Gap"), [])
        self.append(b"3")
        self.assertEqual(self.events(self.listen(self.sub(3))), [("", 3, 3)])

    def test_gap_of_a_cursor(self):
        """A cursor whose next event is gone meanwhile: the gap begins there. Two streams, two headers."""
        for s in "ab":
            self.append(b"1", b"2", b"3", at=self.at + s)
        cursor = self.listen(self.sub(1, "a"), self.sub(2, "b")).get("Iorio-Cursor")
        for s in "ab":
            self.append(b"4", b"5", at=self.at + s)
            self.call("DELETE", f"{self.at}{s}?to=4")
        answer = self.listen(self.sub(1, "a"), self.sub(1, "b"), "cursor=" + cursor)
        self.assertEqual([e[:2] for e in self.events(answer)], [("a", 5), ("b", 5)])
        self.assertEqual(answer.all("Iorio-Gap"), [f"{self.bucket}:{self.name}{s}:4-4" for s in "ab"])

    def test_cursor(self):
        """A cursor is where one was: also on a 204, as a header, over a restart, for a part of the streams."""
        self.append(b"1", b"2")
        answer = self.listen(self.sub(1))
        cursor = answer.get("Iorio-Cursor")
        self.assertRegex(cursor, r"\A[A-Za-z0-9_-]+\Z")
        self.append(b"3")
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub(1), "cursor=" + cursor))], [3])
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub(1), headers=[("Last-Event-ID", cursor)]))], [3])
        empty = self.listen(self.sub(), "wait=0").get("Iorio-Cursor")
        type(self).node.restart()
        self.pid = self.node.process.pid
        self.append(b"4")
        answer = self.listen(self.sub(1), self.sub(1, "-new"), "cursor=" + cursor)
        self.assertEqual([e[1] for e in self.events(answer)], [3, 4])
        self.assertEqual(answer.all("Iorio-Gap"), [])
        self.assertEqual([e[1] for e in self.events(self.listen(self.sub(), "cursor=" + empty))], [4])
        self.append(b'"n"', at=self.at + "-new")
        answer = self.listen(self.sub(1), self.sub(1, "-new"), "cursor=" + cursor)
        self.assertEqual([e[:2] for e in self.events(answer)], [("", 3), ("", 4), ("-new", 1)])

    def test_header_before_parameter(self):
        """Last-Event-ID wins over cursor=: a client that reconnects by itself repeats an old URL."""
        self.append(b"1", b"2", b"3")
        one, three = (self.listen(self.sub(n), "wait=0").get("Iorio-Cursor") for n in (-9, -9))
        old = self.listen(self.sub(99), "wait=0").get("Iorio-Cursor")
        self.assertEqual(one, three)
        self.append(b"4")
        fresh = self.listen(self.sub(1)).get("Iorio-Cursor")
        self.append(b"5")
        answer = self.listen(self.sub(1), "cursor=" + old, headers=[("Last-Event-ID", fresh)])
        self.assertEqual([e[1] for e in self.events(answer)], [5])

    def test_forged(self):
        """A cursor that is not ours is ignored, and Iorio-Gap: * says so."""
        self.append(b"1", b"2")
        cursor = self.listen(self.sub(1)).get("Iorio-Cursor")
        rng = random.Random(5)
        forged = ["x", "AAAA", "A" * 1024, "A" * 1025, "A" * 5000, cursor[:-1], cursor + "A", cursor + "=", "%FF%00", "a%20b"]
        for _ in range(40):
            at = rng.randrange(len(cursor))
            other = rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
            if other != cursor[at]:
                forged.append(cursor[:at] + other + cursor[at + 1:])
        for one in forged:
            with self.subTest(cursor=one[:60]):
                answer = self.listen(self.sub(1), "cursor=" + one)
                self.assertEqual(([e[1] for e in self.events(answer)], answer.all("Iorio-Gap")), ([1, 2], ["*"]))
        self.assertEqual(self.listen(self.sub(1), "cursor=").all("Iorio-Gap"), [])
        other = Node().start()
        self.addCleanup(other.stop)
        self.assertEqual(other.call("GET", "/listen?wait=0&cursor=" + cursor).all("Iorio-Gap"), ["*"])


class Rights(CometCase):
    CONF = {"auth.secret": "0123456789abcdef0123456789abcdef"}

    def test_token(self):
        """A bad token is 401 before anything else; anonymous hears nothing, and it looks like an idle stream."""
        self.append(b"1")
        self.assertNoPerm(self.listen(self.sub(1), token="a.b.c"))
        self.assertNoPerm(self.listen("jwt=x", *[self.sub(1)] * 65, token=None))
        self.assertNothing(self.listen(self.sub(1), "wait=0", token=None))
        self.assertEqual(self.events(self.listen(self.sub(1), "jwt=" + self.node.token(), token=None)), [("", 1, 1)])

    def test_expired_meanwhile(self):
        """A token that ends while its request waits: the answer is 401, not the event."""
        from lib import jwt
        now = int(time.time())
        token = jwt.make(self.CONF["auth.secret"], {"u": "admin", "iat": now, "exp": now + 2})
        wire = self.node.wire(timeout_s=20 * SLOW)
        self.addCleanup(wire.close)
        wire.send(build("GET", "/listen?wait=30&" + self.sub(), [("X-Session", token)]))
        self.waiting(1)
        time.sleep(3.2)
        self.append(b"1")
        self.assertNoPerm(wire.read())

    def test_methods(self):
        """POST is 204 without effect; HEAD and the others are 405."""
        self.assertNoBody(self.call("POST", "/listen", b"{}", "text/plain"), 204)
        self.assertNoBody(self.call("POST", "/listen?" + self.sub(1)), 204)
        self.assertNoPerm(self.call("POST", "/listen", token="x"))
        for method in ("HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = self.call(method, "/listen?" + self.sub(1))
            self.assertNoBody(answer, 405)
            self.assertEqual(answer.words("Allow"), {"GET", "POST"})

    def test_other_transports(self):
        """Who asks for WebSocket or SSE is told at once that it is not there, and does not wait."""
        self.append(b"1")
        for accept in ("text/event-stream", "application/json, TEXT/Event-Stream;q=0.5"):
            self.assertNoBody(self.listen(self.sub(1), headers=[("Accept", accept)]), 406)
        headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                   ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
        self.assertError(self.listen(self.sub(1), headers=headers), 400, "invalid-field", field="Upgrade")
        for accept in ("*/*", "text/html, */*;q=0.8", "text/event-stream;q=0, application/json"):
            self.assertEqual(self.events(self.listen(self.sub(1), headers=[("Accept", accept)])), [("", 1, 1)])


class Stopping(unittest.TestCase):
    def test_stop(self):
        """A stop answers those who wait with 204 and a cursor that holds after the start."""
        node = Node().start()
        self.assertEqual(node.call("POST", "/streams/b/s", b"1", JSON).status, 201)
        wires = [node.wire(timeout_s=20 * SLOW) for _ in range(20)]
        for n, wire in enumerate(wires):
            wire.send(build("GET", f"/listen?s=b:s&s=b:{n}&wait=300", [("X-Session", node.token())]))
        time.sleep(0.5)
        start = time.monotonic()
        node.stop()
        self.assertLess(time.monotonic() - start, 5 * SLOW)
        answers = [wire.read() for wire in wires]
        for wire in wires:
            wire.close()
        self.assertEqual({a.status for a in answers}, {204})
        node.start()
        self.assertEqual(node.call("POST", "/streams/b/s", b"2", JSON).status, 201)
        answer = node.call("GET", "/listen?s=b:s&cursor=" + answers[0].get("Iorio-Cursor"))
        self.assertEqual([e["meta"]["id"] for e in answer.json()], [2])
        node.stop()


if __name__ == "__main__":
    unittest.main()
