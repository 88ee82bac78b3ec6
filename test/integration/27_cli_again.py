#!/usr/bin/env python3
"""test/integration/27_cli_again.py - ioriocli.py when something is sent again: idempotency keys, batches over kill -9
and a busy node, what it says to do next; and delete."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NodeCase  # noqa: E402
from lib.cli import CONNECTION, INTERRUPTED, NOT_FOUND, OK, REFUSED, USAGE, CliCase, command, run  # noqa: E402
from lib.lying import Liar  # noqa: E402
from lib.node import clean_env, free_port, iorio, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402


def http(status, body, *headers):
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Keys(CliCase):
    def test_post_twice(self):
        """The same key and event: the first answer again, nothing appended; another event: 1, and what to do."""
        args = ("post", self.bucket, self.name, "--idempotency-key", "order-1")
        first = self.good(*args, "1").json()
        self.assertEqual(self.good(*args, "1").json(), first)
        error = self.refused(REFUSED, *args, "2")
        self.assertIn("Idempotency-Key", error)
        self.assertIn("another key", error)
        self.good("post", self.bucket, self.name, "--idempotency-key", "order-2", "2")
        self.assertEqual(self.stored(), [1, 2])

    def test_key_too_long(self):
        """The node's own limit is the node's own error."""
        self.assertIn("invalid-field", self.refused(REFUSED, "post", self.bucket, self.name, "1", "--idempotency-key", "k" * 129))

    def test_lines_twice(self):
        """--lines with a key: the whole command again appends nothing; another cut of the batches is refused, not stored."""
        data = b"".join(b"%d\n" % n for n in range(1, 251))
        args = ("post", self.bucket, self.name, "-", "--lines", "--idempotency-key", "load-1")
        first = self.good(*args, "--batch-lines", "100", data=data).json()
        again = self.good(*args, "--batch-lines", "100", data=data).json()
        self.assertEqual([first[k] for k in ("first", "last", "events")], [again[k] for k in ("first", "last", "events")])
        ended = self.cli(*args, "--batch-lines", "90", "--human", data=data)
        self.assertEqual(ended.code, REFUSED, ended)
        self.assertIn("--batch-lines", ended.err)
        self.assertEqual(self.stored(), list(range(1, 251)))

    def test_lines_without_a_key(self):
        """Without one the keys are random: the same lines again are new events."""
        for _ in range(2):
            self.good("post", self.bucket, self.name, "-", "--lines", data=b"1\n2\n")
        self.assertEqual(self.stored(), [1, 2, 1, 2])


class Delete(CliCase):
    def test_delete(self):
        """delete --to keeps the rest; delete takes all and the name; the ids go on; twice is no error."""
        self.append(b"1", b"2", b"3")
        self.assertEqual(self.good("delete", self.bucket, self.name, "--to", "2").json(), {"ok": True, "low": 3, "high": 3})
        self.assertEqual(self.stored(), [3])
        self.assertRegex(self.good("--human", "delete", self.bucket, self.name, "--to", "0").out, rb": 3\.\.3 are kept\n\Z")
        self.assertRegex(self.good("--human", "delete", self.bucket, self.name).out, rb": no event is kept; the next one is 4\n\Z")
        self.assertEqual(self.good("list-streams", self.bucket, "--match", self.name).json()["data"], [])
        self.good("delete", self.bucket, self.name)
        self.assertEqual(self.good("post", self.bucket, self.name, "4").json()["meta"]["id"], 4)
        self.assertIn("not-found", self.refused(NOT_FOUND, "get", self.bucket, "never", "--raw"))

    def test_no_permission(self):
        """Who may not is told what it takes, and who gives it."""
        error = self.refused(REFUSED, "-u", "anonymous", "delete", self.bucket, "a b")
        self.assertIn("permission delete", error)
        self.assertIn(f"grant anonymous delete {self.bucket} 'a b'", error)

    def test_module(self):
        """Client.delete() gives the range that is kept."""
        self.append(b"1", b"2")
        with self.node.client() as client:
            kept = client.delete(self.bucket, self.name, to=1)
            self.assertEqual((kept.low, kept.high), (2, 2))


class Restarts(CliCase):
    CONF = {"http.port": str(free_port()), "journal.segment": "1MB"}

    def test_killed_in_the_middle(self):
        """kill -9 twice while --lines loads: it goes on by itself, every line is there once, in order, exit code 0."""
        process = subprocess.Popen(command("-P", str(self.node.port), "post", self.bucket, self.name, "-", "--lines",
                                           "--batch-lines", "100"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        count = 60_000

        def feed():
            try:
                with process.stdin:
                    for n in range(1, count + 1):
                        process.stdin.write(b"%d\n" % n)
            except OSError:
                pass
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        for least in (2000, 15_000):
            wait_until("batches", lambda at=least: int(self.call("HEAD", self.at).get("Iorio-High")) > at, 60 * SLOW)
            self.node.kill9()
            time.sleep(0.3)
            self.node.start()
        feeder.join(120 * SLOW)
        out, err = process.stdout.read(), process.stderr.read().decode()
        process.stdout.close(), process.stderr.close()
        self.assertEqual(process.wait(30 * SLOW), OK, err)
        self.pid = self.node.process.pid
        summary = json.loads(out)
        self.assertEqual((summary["events"], summary["first"], summary["last"]), (count, 1, count))
        self.assertGreaterEqual(summary["retries"], 2)
        self.assertIn("; again in ", err)
        self.assertEqual(self.stored(), list(range(1, count + 1)))

    def test_resume(self):
        """A load that gave up says which options go on: with them nothing is stored twice, also what had no answer."""
        lines = b"".join(b"%d\n" % n for n in range(1, 1001))
        self.node.stop()
        liar = Liar(self.node.port, drop_answer=4)  # the third append is stored, and nobody says so
        self.addCleanup(liar.close)
        self.node.start()
        self.pid = self.node.process.pid
        args = ("post", self.bucket, self.name, "-", "--lines", "--batch-lines", "100", "--human")
        ended = run("-P", str(liar.port), *args, "--retry", "0", data=lines)
        self.assertEqual(ended.code, CONNECTION, ended)
        self.assertIn("lines 1..200 are stored (ids 1..200); lines 201..300 may be stored", ended.err)
        options = re.search(r"go on with (--skip .*?) and nothing is stored twice", ended.err)[1].split()
        self.assertEqual(options[:2] + options[4:], ["--skip", "200", "--batch-lines", "100"])
        self.assertEqual(self.stored(), list(range(1, 301)))
        self.good(*args[:5], *options, data=lines)
        self.assertEqual(self.stored(), list(range(1, 1001)))

    def test_resume_json(self):
        """The same as JSON: go_on has the options, unknown_lines what has no answer."""
        liar = Liar(self.node.port, drop_answer=2)
        self.addCleanup(liar.close)
        ended = run("-P", str(liar.port), "--json", "post", self.bucket, self.name, "-", "--lines", "--retry", "0",
                    data=b"1\n2\n\n")
        error = json.loads(ended.err)["error"]
        self.assertEqual((ended.code, error["stored_through_line"], error["unknown_lines"]), (CONNECTION, 0, [1, 3]))
        self.good("post", self.bucket, self.name, "-", "--lines", *error["go_on"].split(), data=b"1\n2\n\n")
        self.assertEqual(self.stored(), [1, 2])

    def test_lost_answers(self):
        """Answers that never come do no harm: each batch is stored once, the summary counts what was tried again."""
        liar = Liar(self.node.port, drop_answer=3, every=True)
        self.addCleanup(liar.close)
        ended = run("-P", str(liar.port), "post", self.bucket, self.name, "-", "--lines", "--batch-lines", "2",
                    data=b"".join(b"%d\n" % n for n in range(20)))
        self.assertEqual(ended.code, OK, ended)
        self.assertGreaterEqual(ended.json()["retries"], 3)
        self.assertEqual(self.stored(), list(range(20)))
        ended = run("-P", str(liar.port), "post", self.bucket, self.name + "-1", "1", "--idempotency-key", "k")
        self.assertEqual(ended.code, OK, ended)
        self.assertEqual(self.ids(at=self.at + "-1"), [1])

    def test_cut_smaller(self):
        """A key per batch also where the node wants smaller ones; going on cuts them as before."""
        self.node.stop()
        self.node.conf["http.body.max"] = "64KB"
        self.node.start()
        self.pid = self.node.process.pid
        lines = [b'{"n":%d,"pad":"%b"}' % (n, b"p" * 1000) for n in range(300)]
        liar = Liar(self.node.port, drop_answer=9)
        self.addCleanup(liar.close)
        ended = run("-P", str(liar.port), "--json", "post", self.bucket, self.name, "-", "--lines", "--retry", "0",
                    data=b"\n".join(lines))
        error = json.loads(ended.err)["error"]
        self.assertEqual(ended.code, CONNECTION, ended)
        self.assertIn("--batch-bytes", error["go_on"])
        self.assertIsNotNone(error["unknown_lines"])
        self.good("post", self.bucket, self.name, "-", "--lines", *error["go_on"].split(), data=b"\n".join(lines))
        self.assertEqual([e["n"] for e in self.stored()], list(range(300)))


class Words(unittest.TestCase):
    """What is said when it goes wrong, against something that answers as it is told."""

    def answered(self, replies, *args, data=None, serve=None):
        liar = Liar(None, replies=replies)
        try:
            return run("-P", str(liar.port), *args, data=data), liar.requests
        finally:
            liar.close()

    def test_busy_node(self):
        """503 with Retry-After: a post with a key waits so long and tries again; without a key it says so and ends."""
        busy = http(503, b'{"type":"unavailable","reason":"busy"}', "Retry-After: 1")
        stored = http(201, b'{"meta":{"id":1,"t":1}}')
        begin = time.monotonic()
        ended, requests = self.answered([busy, stored], "-t", "x", "post", "b", "s", "1", "--idempotency-key", "k")
        self.assertEqual((ended.code, len(requests)), (OK, 2), ended)
        self.assertGreaterEqual(time.monotonic() - begin, 1)
        self.assertEqual([b"Idempotency-Key: k" in request for request in requests], [True, True])
        ended, requests = self.answered([busy], "-t", "x", "post", "b", "s", "1")
        self.assertEqual((ended.code, len(requests)), (REFUSED, 1), ended)
        self.assertIn("try again in 1 s", ended.err)
        limited = http(429, b'{"type":"rate-limited","reason":"Too Many Requests"}', "Retry-After: 7")
        self.assertIn("try again in 7 s", self.answered([limited], "-t", "x", "list-buckets")[0].err)
        ended, requests = self.answered([limited] * 3, "-t", "x", "post", "b", "s", "1", "--idempotency-key", "k", "--retry", "2")
        self.assertEqual((ended.code, len(requests)), (REFUSED, 1), ended)

    def test_no_hope(self):
        """503 without Retry-After, 500 and 400 are not tried again."""
        for status in (503, 500, 400, 507):
            ended, requests = self.answered([http(status, b'{"type":"x","reason":"y"}')] * 2, "-t", "x",
                                            "post", "b", "s", "-", "--lines", data=b"1\n")
            self.assertEqual((ended.code, len(requests)), (REFUSED, 1), (status, ended))

    def test_timeout(self):
        """503 timeout: it may be stored: without a key look, with a key send it again."""
        late = http(503, b'{"type":"timeout","reason":"late"}', "Retry-After: 1")
        ended, _ = self.answered([late], "-t", "x", "post", "b", "s", "1")
        self.assertIn("look at the end of the stream", ended.err)
        ended, _ = self.answered([late], "-t", "x", "post", "b", "s", "1", "--idempotency-key", "k", "--retry", "0")
        self.assertIn("send it again with the same key", ended.err)
        ended, _ = self.answered([late], "-t", "x", "--json", "post", "b", "s", "1")
        self.assertIn("look at", json.loads(ended.err)["error"]["hint"])

    def test_lost_and_then_gone(self):
        """The node took the event and went away for good: it is said that it may be stored."""
        ended, _ = self.answered([None], "-t", "x", "post", "b", "s", "1", "--idempotency-key", "k", "--retry", "1")
        self.assertEqual(ended.code, CONNECTION, ended)
        self.assertIn("send it again with the same key", ended.err)

    def test_old_node(self):
        """A route that is not there: 404 or 405 without a body says that the node may be older."""
        for status, code in ((404, NOT_FOUND), (405, REFUSED)):
            reply = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nAllow: GET\r\n\r\n" % status
            ended, _ = self.answered([reply], "-t", "x", "stats")
            self.assertEqual(ended.code, code, ended)
            self.assertIn("older", ended.err)

    def test_strange_retry_after(self):
        """A Retry-After that is no small number is no reason to wait for ever."""
        for value in ("x", "-1", "1e9", "9" * 5000, "Fri, 31 Dec 1999 23:59:59 GMT", ""):
            busy = http(503, b'{"type":"unavailable","reason":"busy"}', f"Retry-After: {value}")
            ended, requests = self.answered([busy], "-t", "x", "post", "b", "s", "1", "--idempotency-key", "k")
            self.assertEqual((ended.code, len(requests)), (REFUSED, 1), (value, ended))
        self.assertEqual(iorio.retry_after(iorio.Refused(503, "x", "y", headers={"Retry-After": "999999"})), 300)

    def test_nobody(self):
        """Where nobody ever answered nobody is waited for; it is said where to look."""
        begin = time.monotonic()
        ended = run("-P", str(free_port()), "post", "b", "s", "1", "--idempotency-key", "k")
        self.assertEqual(ended.code, CONNECTION, ended)
        self.assertIn("-H and -P", ended.err)
        self.assertLess(time.monotonic() - begin, 10 * SLOW)

    def test_interrupted_while_waiting(self):
        """Ctrl-C between two tries is 130, and says that the batch may be stored."""
        liar = Liar(None, replies=[None])
        self.addCleanup(liar.close)
        process = subprocess.Popen(command("-P", str(liar.port), "-t", "x", "post", "b", "s", "-", "--lines"),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        process.stdin.write(b"1\n")
        process.stdin.close()
        first = process.stderr.readline()
        self.assertIn(b"again in", first)
        process.send_signal(signal.SIGINT)
        err = process.stderr.read().decode()
        self.assertEqual(process.wait(30 * SLOW), INTERRUPTED, err)
        self.assertIn("lines 1..1 may be stored", err)
        process.stdout.close(), process.stderr.close()


class Patiently(NodeCase):
    def test_steps(self):
        """Client.patiently(): tries again what may pass, raises the rest at once, gives up in time."""
        with self.node.client() as client:
            client.post(self.bucket, self.name, b"1")
            fails = [iorio.Timeout("no answer"), iorio.CannotConnect("gone")]

            def step():
                if fails:
                    raise fails.pop(0)
                return "done"
            told = []
            self.assertEqual(client.patiently(step, 5, lambda e, delay: told.append(e.type)), "done")
            self.assertEqual(told, ["timeout", "cannot-connect"])
            fails[:] = [iorio.Timeout("no answer")] + [iorio.CannotConnect("gone")] * 100
            with self.assertRaises(iorio.CannotConnect) as caught:
                client.patiently(step, 0.5)
            self.assertTrue(caught.exception.unknown_outcome)
            fails[:] = [iorio.BadAnswer("what?")]
            self.assertRaises(iorio.BadAnswer, client.patiently, step, 5)
            self.assertEqual(client.patiently(step, 0), "done")


if __name__ == "__main__":
    unittest.main()
