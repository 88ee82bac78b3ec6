#!/usr/bin/env python3
"""test/integration/23_request_log.py - the request log (request_log, request_log.file): a line for each request, JSON whatever
was asked, without secrets, also under load, when the file is renamed, and when the disk is full."""

import datetime
import json
import os
import signal
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import JSON, NodeCase  # noqa: E402
from lib.node import Node, iorio_verb, temp_folder, wait_until  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

FIELDS = {"time", "address", "user", "method", "path", "status", "bytes", "us"}


def lines_of(path):
    """Whole lines of a file, as bytes."""
    try:
        with open(path, "rb") as f:
            return f.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


class Json(NodeCase):
    @classmethod
    def setUpClass(cls):
        cls.file = os.path.join(temp_folder(), "requests.log")
        cls.CONF = {"request_log": "json", "request_log.file": cls.file, "http.body.max": "128KB"}
        super().setUpClass()

    def logged(self, good, count=1):
        """The lines that are good, when there are so many."""
        def there():
            found = [one for one in map(json.loads, lines_of(self.file)) if good(one)]
            return found if len(found) >= count else None
        return wait_until(f"{count} lines", there, 10 * SLOW, 0.05)

    def by_path(self, path, count=1):
        return self.logged(lambda one: one["path"] == path, count)

    def test_lines(self):
        """Status, bytes, user, time of all sorts of answers; names and order of the members."""
        cases = [("GET", "/ping?lines", None, None, None, 200, ""), ("GET", self.at + "?lines=1", None, None, True, 200, "admin"),
                 ("GET", self.at + "?lines=2", None, None, None, 401, "anonymous"),
                 ("GET", self.at + "?lines=3", None, None, "bad", 401, ""), ("GET", "/nope?lines", None, None, None, 404, ""),
                 ("PATCHY", self.at + "?lines=4", None, None, None, 405, ""),
                 ("POST", self.at + "?lines=5", b"[1]", JSON, True, 201, "admin"),
                 ("HEAD", self.at + "?lines=6", None, None, True, 200, "admin"),
                 ("POST", "/sessions?lines", b'{"username":"admin","password":"secret"}', JSON, None, 201, "")]
        before = datetime.datetime.now(datetime.timezone.utc)
        for method, path, body, type_, token, status, user in cases:
            with self.subTest(method=method, path=path):
                answer = self.call(method, path, body, type_, token=token)
                self.assertEqual(answer.status, status)
                one = self.by_path(path)[0]
                self.assertEqual(list(one), ["time", "address", "user", "method", "path", "status", "bytes", "us"])
                self.assertEqual((one["status"], one["user"], one["method"], one["address"]), (status, user, method, "127.0.0.1"))
                self.assertEqual(one["bytes"], len(answer.body))
                self.assertGreater(one["us"], 0)
                at = datetime.datetime.fromisoformat(one["time"].replace("Z", "+00:00"))
                self.assertLess(abs((at - before).total_seconds()), 30 * SLOW)

    def test_no_secrets(self):
        """No token and no password is in the file, nor in the log, however it was sent."""
        token = self.node.token()
        self.get(self.at + "?jwt=" + token, token=None)
        self.get(self.at + "?x=1&%6Awt=" + token + "&y=2", token=None)
        self.get(self.at, headers=[("Authorization", "Bearer " + token)], token=None)
        self.get(self.at, token=token)
        self.get(self.at + "?jwt=" + token[:-3] + "%zz", token=None)
        self.get("/nope;jwt=x?a;jwt=" + token, token=None)
        self.call("POST", "/sessions?password=hide-me", b'{"username":"admin","password":"hide-me-too"}', JSON, token=None)
        self.by_path("/sessions?password=***")
        self.by_path(self.at + "?x=1&%6Awt=***&y=2")
        with open(self.file, "rb") as f:
            text = f.read()
        for word in (token.encode(), token[:40].encode(), token.split(".")[2].encode(), b"hide-me"):
            self.assertNotIn(word, text)
            self.assertNotIn(word, self.node.log().encode())

    def test_any_bytes(self):
        """Whatever bytes a path has, a line is JSON and one line."""
        odd = [b"/\xff\xfe", b"/caf\xc3\xa9", b'/"\\', b"/\x01\x02\x7f", b"/%00%0a%0d", b"/<script>", b"/" + b"long" * 2000,
               b"/?" + b"&".join([b"q=\x80"] * 200), b"/\xed\xa0\x80"]
        for path in odd:
            with self.node.wire() as wire:
                wire.send(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertGreater(len(wire.rest()), 12)
        self.call("GET", "/after-odd", token=None)
        self.by_path("/after-odd")
        for line in lines_of(self.file):
            self.assertEqual(set(json.loads(line.decode("utf-8"))), FIELDS, line)
        cut = [one for one in map(json.loads, lines_of(self.file)) if one["path"].startswith("/longlong")]
        self.assertTrue(all(len(one["path"]) <= 2051 and one["path"].endswith("...") for one in cut))

    def test_refused_early(self):
        """A body that is too large is answered before there is a request: it is logged all the same, without a user."""
        with self.node.wire() as wire:
            wire.send(build("POST", "/early?jwt=abc", [("Content-Length", str((128 << 10) + 1))]))
            self.assertEqual(wire.read().status, 413)
        one = self.by_path("/early?jwt=***")[0]
        self.assertEqual((one["status"], one["method"], one["user"]), (413, "POST", ""))

    def test_client_gone(self):
        """A client that leaves before its answer: with status 0, or with that of the answer that found nobody."""
        path = f"/listen?s={self.bucket}:{self.name}&wait=20&gone"
        with self.node.wire() as wire:
            wire.send(build("GET", path, [("X-Session", self.node.token())]))
            wait_until("a waiting request", lambda: "iorio_http_waiting 1" in self.get("/metrics").body.decode(), 5 * SLOW)
            wire.reset()
        self.assertIn(self.by_path(path)[0]["status"], (0, 204))

    def test_durations(self):
        """A long poll took as long as it waited."""
        path = f"/listen?s={self.bucket}:{self.name}&wait=1&durations"
        self.assertEqual(self.get(path).status, 204)
        self.assertGreater(self.by_path(path)[0]["us"], 900000)

    def test_all_of_many(self):
        """Under load nothing is lost: one line for each request, each once."""
        count, threads = 300, 8

        def ask(worker):
            with self.node.wire() as wire:
                for n in range(count):
                    wire.send(build("GET", f"/ping?many={worker}-{n}"))
                    self.assertEqual(wire.read().status, 200)
        workers = [threading.Thread(target=ask, args=(w,)) for w in range(threads)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        found = [one["path"] for one in self.logged(lambda one: one["path"].startswith("/ping?many="), count * threads)]
        self.assertEqual(len(found), count * threads)
        self.assertEqual(len(set(found)), count * threads)


class Renamed(unittest.TestCase):
    def test_rename_and_stop(self):
        """logrotate: the file is renamed, SIGHUP opens a new one, no line is lost; a stop writes the last ones."""
        folder = temp_folder()
        path = os.path.join(folder, "requests.log")
        node = Node({"request_log": "text", "request_log.file": path})
        node.start()
        for n in range(50):
            node.call("GET", f"/ping?{n}", token=None)
            if n == 20:
                os.rename(path, path + ".1")
                os.kill(node.process.pid, signal.SIGHUP)
                wait_until("a new file", lambda: os.path.exists(path), 10 * SLOW)
        node.stop()
        lines = lines_of(path + ".1") + lines_of(path)
        self.assertEqual([line.split(b" ")[4] for line in lines], [b"/ping?%d" % n for n in range(50)])
        self.assertGreater(len(lines_of(path)), 20)
        for line in lines:
            fields = line.decode().split(" ")
            self.assertEqual((len(fields), fields[1], fields[2], fields[3], fields[5]), (8, "127.0.0.1", "-", "GET", "200"))

    def test_into_the_log(self):
        """Without a file the lines are in the log of the node; off, which is the default, there are none."""
        node = Node({"request_log": "text"})
        node.start()
        node.call("GET", "/ping?shown", token=None)
        node.stop()
        self.assertRegex(node.log(), r"(?m)^\S+Z 127\.0\.0\.1 - GET /ping\?shown 200 26 \d+$")
        node.conf["request_log"] = None
        node.start()
        node.call("GET", "/ping?hidden", token=None)
        node.stop()
        self.assertNotIn("hidden", node.log())

    def test_no_file(self):
        """A file that cannot be opened keeps the node from starting and names the key; so does an unknown word."""
        node = Node({"request_log": "json", "request_log.file": "/nowhere/requests.log"})
        node.write_conf()
        ended = iorio_verb("console", "--conf", node.conf_file)
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("request_log.file", ended.stderr)
        self.assertIn("/nowhere/requests.log", ended.stderr)
        node.conf["request_log"] = "yes"
        node.write_conf()
        ended = iorio_verb("chkconfig", "--conf", node.conf_file)
        self.assertEqual(ended.returncode, 78)
        self.assertIn("off, text, json", ended.stderr)

    @unittest.skipUnless(os.access("/dev/full", os.W_OK), "there is no /dev/full")
    def test_full_disk(self):
        """A disk that takes no line costs lines, which are counted and told once; requests go on."""
        node = Node({"request_log": "json", "request_log.file": "/dev/full"})
        node.start()
        for n in range(20):
            self.assertEqual(node.call("POST", "/streams/b/s", b"%d" % n, JSON).status, 201)
        dropped = wait_until("dropped lines", lambda: node.call("GET", "/stats").json()["counters"]["request_log_dropped"],
                             10 * SLOW, 0.1)
        self.assertGreaterEqual(dropped, 1)
        node.stop()
        self.assertEqual(node.log().count("request log cannot be written"), 1)


if __name__ == "__main__":
    unittest.main()
