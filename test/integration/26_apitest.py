#!/usr/bin/env python3
"""test/integration/26_apitest.py - tools/apitest.py tells the truth: of a good node, of one that is killed or has little
room, and of one that lies (lib/lying.py)."""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NodeCase  # noqa: E402
from lib.cli import CONNECTION, INTERRUPTED, OK, USAGE, Run, command  # noqa: E402
from lib.lying import Liar, unchunked, whole  # noqa: E402
from lib.node import ROOT, Node, clean_env, free_port, iorio, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402
import apitest_ledger as ledger  # noqa: E402

APITEST = os.path.join(ROOT, "tools", "apitest.py")
WRONG = 1
SMALL = ("-B", "2", "-S", "3", "-i", "10", "-I", "2", "-R", "1")


def spawn(*args):
    return subprocess.Popen(command(*args, tool=APITEST), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=clean_env())


def ended(process, limit_s=120):
    out, err = process.communicate(timeout=limit_s * SLOW)
    return Run(subprocess.CompletedProcess(process.args, process.returncode, out, err))


def apitest(*args):
    return ended(spawn(*args))


class Good(NodeCase):
    CONF = {"http.port": str(free_port())}

    def port(self):
        return ("-P", str(self.node.port))

    def test_seeds_line(self):
        """The line of the seed's README with fewer iterations: 100 streams have events, everything was right."""
        done = apitest(*self.port(), "-B", "20", "-i", "5")
        self.assertEqual(done.code, OK, done)
        text = done.out.decode()
        for kind in ("inserters", "requesters", "listers", "listeners", "read back"):
            self.assertRegex(text, rf"(?m)^{kind} +\d+: [1-9]\d* .* in [0-9.]+ s \(\d+ .*/s, \d+ .*/s\)")
        found = re.search(r"^apitest: all right: (\d+) events were acknowledged in 100 streams \(seed (\d+)\)$", text, re.M)
        with self.node.client() as client:
            buckets = client.list_buckets(match=f"apitest-{found[2]}-*")["data"]
            streams = [s for b in buckets for s in client.list_streams(b, info=True)["data"]
                       if not s["name"].startswith("document ")]
        self.assertEqual((len(buckets), len(streams)), (20, 100))
        self.assertEqual(sum(s["events"] for s in streams), int(found[1]))

    def test_seed_again(self):
        """The same seed: the same names and events, behind those of the first run; --json has the figures."""
        args = (*self.port(), *SMALL, "-s", "4711", "--json")
        first, second = apitest(*args), apitest(*args)
        self.assertEqual((first.code, second.code, first.err), (OK, OK, second.err), (first, second))
        a, b = first.json(), second.json()
        self.assertEqual((a["acknowledged"], a["wrong"], a["streams"]), (b["acknowledged"], 0, 6))
        self.assertEqual(a["threads"]["listeners"]["events"], a["acknowledged"])
        with self.node.client() as client:
            for bucket in client.list_buckets(match="apitest-4711-*")["data"]:
                for name in client.list_streams(bucket)["data"]:
                    if not name.startswith("document "):
                        events = [e["data"] for e in client.iter(bucket, name, from_=1, limit=1 << 40)]
                        half = len(events) // 2
                        self.assertEqual(sorted(map(json.dumps, events[:half])), sorted(map(json.dumps, events[half:])))

    def test_many_listeners(self):
        """Listeners of more streams than a request may name, some of them late; no other threads than needed."""
        done = apitest(*self.port(), "-B", "7", "-S", "13", "-i", "4", "-L", "0", "-R", "0", "-Q", "0", "--listeners", "4", "--json")
        self.assertEqual(done.code, OK, done)
        threads = done.json()["threads"]
        self.assertEqual(sorted(threads), ["inserters", "listeners", "read back"])
        self.assertEqual(threads["listeners"]["events"], 4 * done.json()["acknowledged"])

    def test_delete(self):
        """--delete leaves nothing."""
        done = apitest(*self.port(), *SMALL, "-s", "99", "--delete")
        self.assertEqual(done.code, OK, done)
        with self.node.client() as client:
            self.assertEqual(client.list_buckets(match="apitest-99-*")["data"], [])

    def test_patchers(self):
        """-Q: patches of documents that are shared; where there is no PATCH it is said, and -Q is 2."""
        has_patch = self.call("PATCH", self.at, b"[]", "application/json-patch+json").status != 405
        done = apitest(*self.port(), *SMALL, "-Q", "3", "--json")
        if not has_patch:
            self.assertEqual((done.code, done.err), (USAGE, "apitest: this node has no PATCH: -Q must be 0\n"), done)
            return
        self.assertEqual(done.code, OK, done)
        self.assertEqual(done.json()["threads"]["patchers"]["events"], 3 * 10)

    def test_interrupted(self):
        """Ctrl-C: 130, and what was done until then."""
        process = spawn(*self.port(), "-i", "100000", "-B", "1", "-S", "1")
        wait_until("some events", lambda: int(re.search(rb"iorio_append_events_total (\d+)",
                                                        self.get("/metrics").body)[1]) > 2000, 60 * SLOW)
        process.send_signal(signal.SIGINT)
        done = ended(process)
        self.assertEqual(done.code, INTERRUPTED, done)
        self.assertIn("inserters", done.out.decode())
        self.assertIn("WRONG stopped: interrupted", done.err)
        self.assertNotIn("Traceback", done.err)

    def test_time_is_up(self):
        """--max-time: it ends in time, what is there was read back, and it is a failure."""
        begin = time.monotonic()
        done = apitest(*self.port(), "-i", "20000", "-B", "2", "-S", "2", "--max-time", "2", "--json")
        self.assertEqual(done.code, WRONG, done)
        self.assertIn("the time is up", done.json()["problems"][0])
        self.assertEqual(done.json()["wrong"], 1, done.json()["problems"])
        self.assertEqual(done.json()["threads"]["read back"]["events"], done.json()["acknowledged"])
        self.assertLess(time.monotonic() - begin, 60 * SLOW)

    def test_usage(self):
        """Numbers that cannot be, and more than fits into memory: 2. Nobody there: 3. A wrong password: 1."""
        for args in (("-B", "0"), ("-i", "x"), ("-I", "0"), ("-P", "0"), ("-L", "-1"), ("-I", "257"), ("-s", "-1"),
                     ("-B", "1000", "-S", "1000"), ("-i", "1000000", "-B", "100"), ("--patience", "-1"), ("--dance",)):
            with self.subTest(args=args):
                done = apitest(*args)
                self.assertEqual((done.code, done.out), (USAGE, b""), done)
                self.assertIn("apitest.py", done.err)
        done = apitest("-P", str(free_port()))
        self.assertEqual((done.code, done.out), (CONNECTION, b""), done)
        done = apitest(*self.port(), "-p", "wrong")
        self.assertEqual((done.code, done.out), (WRONG, b""), done)
        self.assertIn("give -u USER", done.err)

    def test_help(self):
        """Every option of the seed's README is there."""
        text = apitest("-h").out.decode()
        for option in ("-u USERNAME, --username", "-p PASSWORD, --password", "-H HOST, --host", "-P PORT, --port",
                       "-B N, --buckets", "-S N, --streams", "-s N, --seed", "-i N, --iterations", "-I N, --inserters",
                       "-L N, --listers", "-R N, --requesters", "-Q N, --patchers", "--listeners N", "130"):
            self.assertIn(option, text)


class Killed(NodeCase):
    CONF = {"http.port": str(free_port()), "journal.segment": "64KB", "http.body.max": "64KB", "streams.read.max": "7",
            "channel.max_items": "3", "memory.history": "1MB", "memory.dedupe": "1MB", "memory.tail": "1MB",
            "journal.max_bytes": "1MB", "chunk.max_bytes": "64KB", "chunk.max_items": "64"}

    def appended(self):
        with self.node.client(token=self.node.token()) as client:
            buckets = client.list_buckets(match="apitest-*")["data"]
            return sum(s["events"] for b in buckets for s in client.list_streams(b, info=True)["data"])

    def test_small_limits_and_kill9(self):
        """A node with little of everything, killed twice in the middle: all is there once; what was tried again is told."""
        before = self.appended()
        process = spawn("-P", str(self.node.port), "-B", "4", "-i", "60", "-I", "6", "--listeners", "3", "--json")
        for part in (300, 1200):
            wait_until("some events", lambda least=before + part: self.appended() > least, 60 * SLOW)
            self.node.kill9()
            time.sleep(0.5)
            self.node.start()
        self.pid = self.node.process.pid
        done = ended(process, 300)
        self.assertEqual(done.code, OK, done)
        told = done.json()
        self.assertEqual(told["threads"]["read back"]["events"], told["acknowledged"])
        self.assertEqual(told["threads"]["listeners"]["events"], 3 * told["acknowledged"])
        self.assertGreater(told["threads"]["inserters"]["retries"].get("cannot-connect", 0), 0)
        self.assertGreaterEqual(self.appended() - before, told["acknowledged"])

    def test_gone_for_good(self):
        """A node that does not come back: 1 after --patience, and it does not claim to have read anything back."""
        before = self.appended()
        process = spawn("-P", str(self.node.port), "-i", "5000", "--patience", "2", "--json")
        wait_until("some events", lambda: self.appended() > before + 200, 60 * SLOW)
        begin = time.monotonic()
        self.node.kill9()
        done = ended(process)
        self.assertLess(time.monotonic() - begin, 40 * SLOW)
        self.node.start()
        self.pid = self.node.process.pid
        self.assertEqual(done.code, WRONG, done)
        told = done.json()
        self.assertIn("cannot connect", told["problems"][0])
        self.assertTrue(any("25 of 25 streams were not read back" in text for text in told["problems"]), told)
        self.assertEqual(told["threads"]["read back"]["events"], 0)
        # Nothing that it did not see is called wrong: the node has all that was acknowledged.
        self.assertEqual([text for text in told["problems"] if "lost" in text or "not there" in text], [])
        self.assertGreaterEqual(self.appended() - before, told["acknowledged"])


class Lies(NodeCase):
    """Each lie is found: exit code 1, and the words say what it was."""

    def read_back_lied(self, words, edit):
        """A lie in the last phase, with nobody else who reads."""
        self.lied(words, "-R", "0", "--listeners", "0", change=self.of(self.READ_BACK, edit))

    def lied(self, words, *args, change=None, instead=None):
        liar = Liar(self.node.port, change=change, instead=instead)
        try:
            done = apitest("-P", str(liar.port), *SMALL, "-Q", "0", "-L", "0", "--patience", "3", *args)
        finally:
            liar.close()
        self.assertEqual(done.code, WRONG, done)
        self.assertRegex(done.err, words)
        self.assertNotIn("Traceback", done.err)
        self.assertRegex(done.out.decode(), r"(?m)^apitest: \d+ things were wrong: ")
        return done

    @staticmethod
    def of(pattern, edit, every=1):
        """A change of the bodies of answers to requests that match; edit gives the body. Every n-th only."""
        count = []

        def change(request, answer):
            if not re.match(pattern, request) or not answer.startswith(b"HTTP/1.1 20"):
                return answer
            head, body = unchunked(answer)
            edited = edit(body)
            if edited == body:
                return answer
            count.append(1)
            return whole(head, edited) if len(count) % every == 0 else answer
        return change

    READ_BACK = rb"GET /streams/[^ ]*limit=9007199254740991"
    LISTEN = rb"GET /listen"

    def test_lost(self):
        """An append that is acknowledged and not stored."""
        def instead(request):
            if request.startswith(b"POST /streams/") and self.rng.random() < 0.1:
                number = 1_000 + self.rng.randrange(100)
                path = request.split(b" ")[1]
                body = b'{"meta":{"id":%d,"t":1}}' % number
                return (b"HTTP/1.1 201 X\r\nContent-Type: application/json\r\nETag: \"%d\"\r\nLocation: %b/?limit=1&from=%d\r\n"
                        b"Content-Length: %d\r\n\r\n" % (number, path, number, len(body)) + body)
            return None
        self.rng = random.Random(1)
        self.lied(r"WRONG .*(acknowledged and are not there|Iorio-High is \d+, after)", instead=instead)

    def test_changed(self):
        """A byte of an event is another one when everything is read back."""
        self.read_back_lied(r"WRONG read back \d: .* changed content: at byte \d+ of \d+ it is b'Numbers",
                            lambda b: b.replace(b"numbers", b"Numbers", 1))

    def test_left_out(self):
        """An event is missing in the middle when everything is read back."""
        def edit(body):
            lines = body.splitlines(True)
            return b"".join(lines[:2] + lines[3:]) if len(lines) > 4 else body
        self.read_back_lied(r"WRONG read back \d: .*id \d+ came where \d+ was due", edit)

    def test_end_left_out(self):
        """The last events are missing."""
        self.read_back_lied(r"WRONG read back \d: .*acknowledged and are not there",
                            lambda b: b"".join(b.splitlines(True)[:-2]))

    def test_twice(self):
        """An event is stored twice, under two ids: the node appends what was sent without its key again."""
        def change(request, answer):
            if request.startswith(b"POST /streams/") and self.rng.random() < 0.1:
                path = request.split(b" ")[1].decode()
                type_ = re.search(rb"Content-Type: (\S+)", request)[1].decode()
                self.call("POST", path, request.partition(b"\r\n\r\n")[2], type_)
            return answer
        self.rng = random.Random(1)
        self.lied(r"is there again, or not in the order", change=change)

    def test_foreign(self):
        """Somebody else appends to a stream of this run."""
        def change(request, answer):
            if request.startswith(b"POST /streams/") and self.rng.random() < 0.1:
                self.call("POST", request.split(b" ")[1].decode(), b'"who am I?"', "application/json")
            return answer
        self.rng = random.Random(1)
        self.lied(r"is no event of this test: b'\"who am I", change=change)

    def test_listener_gets_it_twice(self):
        """A listener gets an event again."""
        def edit(body):
            if not body.startswith(b"["):
                return body
            lines = iorio.split_array(body.decode())
            return b"[" + b",".join(line.strip() for line in lines + lines[-1:]) + b"]"
        self.lied(r"WRONG listeners 0: .*id \d+ came again", "--listeners", "1", change=self.of(self.LISTEN, edit, every=3))

    def test_listener_out_of_order(self):
        """A listener gets events in another order."""
        def edit(body):
            lines = iorio.split_array(body.decode()) if body.startswith(b"[") else []
            return b"[" + b",".join(line.strip() for line in reversed(lines)) + b"]" if len(lines) > 3 else body
        self.lied(r"WRONG listeners 0: .*came where", "--listeners", "1", change=self.of(self.LISTEN, edit))

    def test_listener_misses_one(self):
        """A listener never gets the last event of a stream."""
        def edit(body):
            lines = iorio.split_array(body.decode()) if body.startswith(b"[") else []
            kept = [line.strip() for line in lines if b'"binary"' not in line]
            return b"[" + b",".join(kept[:-1]) + b"]" if len(kept) > 1 else body
        self.lied(r"WRONG listeners 0: .*(never came|came where)", "--listeners", "1", change=self.of(self.LISTEN, edit))

    def test_gap(self):
        """A listener is told of a gap."""
        def change(request, answer):
            if request.startswith(b"GET /listen") and self.rng.random() < 0.2:
                return answer.replace(b"\r\n", b"\r\nIorio-Gap: a:b:1-2\r\n", 1)
            return answer
        self.rng = random.Random(1)
        self.lied(r"events were removed before they came.*a:b:1-2", "--listeners", "1", change=change)

    def test_wrong_answers(self):
        """Answers to appends: another id, no ETag, another type, no JSON."""
        post = rb"POST /streams/"
        self.lied(r"ETag is .*not", "-i", "2", change=self.of(post, lambda b: re.sub(rb'"id":(\d+)', rb'"id":9\1', b), every=5))
        self.lied(r"WRONG inserters \d: .*was answered 201 b'x'", "-i", "2", change=self.of(post, lambda b: b"x", every=5))

        def no_etag(request, answer):
            return re.sub(rb"(?i)etag: [^\r]*\r\n", b"", answer) if request.startswith(post) else answer
        self.lied(r"ETag is None", "-i", "2", change=no_etag)

    def test_reads(self):
        """A list is cut at its end, or Iorio-High is too low, or a single event is another one."""
        def high(request, answer):
            return re.sub(rb"(?i)iorio-high: \d+", b"Iorio-High: 0", answer) if request.startswith(b"GET /streams/") else answer
        self.lied(r"WRONG requesters 0: .*Iorio-High is 0, after id", "-R", "2", "-i", "30", change=high)
        self.lied(r"WRONG requesters \d: .*changed content|no event of this test", "-R", "4", "-i", "40",
                  change=self.of(rb"GET /streams/[^/ ]*/[^/ ?]*/\d+ ", lambda b: b.replace(b"k", b"K")))

    def test_lists(self):
        """A list of streams leaves one out, or names one that is not there."""
        of = rb"GET /streams/[^/ ?]*(\?| )"
        args = ("-L", "2", "-i", "30")
        self.lied(r"WRONG listers \d: the list of .* has not", *args,
                  change=self.of(of, lambda b: re.sub(rb'"data":\[("(?:[^"\\]|\\.)*"),', rb'"data":[', b)))
        self.lied(r"WRONG listers \d: .*(none of this test|not sorted)", *args, change=self.of(of, lambda b: b.replace(b'"data":["', b'"data":["\\u0001')))

    def test_rubbish(self):
        """Answers that are no HTTP or no JSON end the run with 1, and no traceback."""
        def rubbish(request, answer):
            return b"SSH-2.0-x\r\n\r\n" if request.startswith(b"POST /streams/") and self.rng.random() < 0.05 else answer
        self.rng = random.Random(1)
        self.lied(r"WRONG inserters \d: .*an append failed: .*does not answer like an Iorio DB node", change=rubbish)
        self.read_back_lied(r"WRONG stopped: read back \d: .*a line is no event \(no meta\): b'rubbish", lambda b: b"rubbish\n")

    def test_busy(self):
        """503 with Retry-After, and answers that never come, are no lies: all right, and it says how often."""
        rng = random.Random(1)

        def instead(request):
            if request.startswith(b"POST /sessions") or rng.random() > 0.03:
                return None
            body = b'{"type":"unavailable","reason":"busy"}'
            return b"HTTP/1.1 503 X\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        liar = Liar(self.node.port, instead=instead, change=lambda request, answer: answer if rng.random() > 0.02 else b"")
        self.addCleanup(liar.close)
        done = apitest("-P", str(liar.port), *SMALL, "-Q", "0", "--json")
        self.assertEqual(done.code, OK, done)
        retries = done.json()["threads"]["inserters"]["retries"]
        self.assertGreater(retries.get("503 unavailable", 0) + retries.get("connection-lost", 0), 0)


class Parts(unittest.TestCase):
    def test_contents(self):
        """Events are what they say: JSON, one line where it travels in a batch, the key inside, the same each time."""
        contents = ledger.Contents(7)
        shapes = set()
        for n in range(600):
            for form in (ledger.FORM_ANY, ledger.FORM_LINE, ledger.FORM_BYTES):
                key = contents.key(n % 9, n, form)
                data = contents.of(key)
                self.assertEqual((ledger.Contents(7).of(key), contents.key_of(data)), (data, key))
                if form != ledger.FORM_BYTES:
                    shapes.add(type(json.loads(data)))
                    self.assertTrue(form == ledger.FORM_ANY or not re.search(rb"[\r\n]", data))
        self.assertEqual(shapes, {dict, list, str, int})
        self.assertNotEqual(ledger.Contents(8).of(key), data)
        for data in (b"", b"x", b"{}", b'"who"', b"[1]", b"\xff", b"1.5", b"k", b'{"a":{"k":1}}'):
            self.assertIsNone(contents.key_of(data), data)

    def test_names(self):
        """Names can be names, and are different ones."""
        streams = ledger.make_streams(3, 40, 20, 10)
        self.assertEqual(len({(s.bucket, s.name) for s in streams}), 800)
        for stream in streams:
            self.assertTrue(1 <= len(stream.bucket.encode()) <= 255 and 1 <= len(stream.name.encode()) <= 1024)
            self.assertNotIn(stream.name, (".", ".."))
        self.assertEqual([str(s) for s in streams], [str(s) for s in ledger.make_streams(3, 40, 20, 10)])

    def test_memory(self):
        """What is kept of an event is 8 bytes: a million of them in one stream stay under 60 MB."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stream = ledger.Stream("b", "s", 2_000_000)
        for n in range(0, 1_000_000, 10):
            stream.acknowledge(n + 1, range(n + 4, n + 14))
        self.assertEqual(stream.counts(), (1_000_000, 0))
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 60_000)

    def test_stream(self):
        """Two appends with one id, two events under one id, an id that is too high."""
        stream = ledger.Stream("b", "s", 100)
        stream.begin(10)
        self.assertIsNone(stream.acknowledge(11, [4, 8]))
        self.assertIn("two appends", stream.acknowledge(12, [8]))
        self.assertIn("holds event 12", stream.acknowledge(12, [12]))
        self.assertIn("holds event 12", stream.see(11, 12))
        self.assertIn("higher", stream.see(1 << 60, 4))
        self.assertIn("of an earlier one", stream.acknowledge(10, [16]))
        self.assertIsNone(stream.see(13, 16))
        self.assertEqual((stream.counts(), stream.acked_high), ((2, 1), 12))


if __name__ == "__main__":
    unittest.main()
