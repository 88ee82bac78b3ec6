#!/usr/bin/env python3
"""test/integration/15_cli.py - tools/ioriocli.py and tools/iorio.py against a real node."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import jwt  # noqa: E402
from lib.case import JSON, NodeCase  # noqa: E402
from lib.cli import (CONNECTION, GAP, INTERRUPTED, NOT_FOUND, OK, PIPE, REFUSED, SAMPLE, USAGE, CliCase,  # noqa: E402
                     command, run)
from lib.node import ROOT, Node, clean_env, free_port, iorio, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402

SAMPLE_PATCH = os.path.join(ROOT, "tools", "sample_patch.json")


class Post(CliCase):
    def test_examples(self):
        """The seed's examples: literals, a file, a wrong content type, a wrong password."""
        self.assertEqual(self.good("post", self.bucket, self.name, "42").json()["meta"]["id"], 1)
        self.assertEqual(self.good("post", self.bucket, self.name, '{"msg": "hi!!"}').json()["meta"]["id"], 2)
        self.assertEqual(self.good("post", self.bucket, self.name, "@" + SAMPLE).json()["meta"]["id"], 3)
        with open(SAMPLE, "rb") as f:
            sample = f.read()
        self.assertEqual(self.stored(), [42, {"msg": "hi!!"}, json.loads(sample)])
        self.assertEqual(self.get(self.at + "/3").body, sample)
        error = self.refused(REFUSED, "post", self.bucket, self.name, "@" + SAMPLE, "-c", "text/plain")
        self.assertIn("415", error)
        self.assertIn("application/json", error)
        error = self.refused(REFUSED, "-p", "lala", "post", self.bucket, self.name, "@" + SAMPLE)
        self.assertIn("401", error)
        self.assertIn("Unauthorized", error)
        self.assertEqual(len(self.stored()), 3)

    def test_standard_input(self):
        """`-` is the standard input, byte for byte; -c says what it is."""
        self.good("post", self.bucket, self.name, "-", data=b' {"a" : 1}\n')
        self.assertEqual(self.get(self.at + "/1").body, b' {"a" : 1}\n')
        self.good("post", self.bucket, self.name, "-", "-c", "application/octet-stream", data=bytes(range(256)))
        self.assertEqual(self.get(self.at + "/2").body, bytes(range(256)))
        ended = self.good("post", self.bucket, self.name, "-", "-c", "application/x-ndjson", data=b"1\n2\n")
        self.assertEqual((ended.json()["meta"]["id"], ended.json()["meta"]["last"]), (3, 4))

    def test_refused(self):
        """What the node refuses is exit code 1 with the type and the reason."""
        self.assertIn("invalid-body", self.refused(REFUSED, "post", self.bucket, self.name, "{"))
        self.assertIn("invalid-name", self.refused(REFUSED, "post", self.bucket, "..", "1"))
        self.assertIn("invalid-name", self.refused(REFUSED, "post", self.bucket, "x" * 2000, "1"))
        self.assertIn("no-perm", self.refused(REFUSED, "-u", "anonymous", "post", self.bucket, self.name, "1"))
        self.assertIn("no-perm", self.refused(REFUSED, "-t", "a.b.c", "post", self.bucket, self.name, "1"))
        ended = self.cli("--json", "post", self.bucket, self.name, "{")
        self.assertEqual((ended.code, json.loads(ended.err)),
                         (REFUSED, {"error": {"status": 400, "type": "invalid-body",
                                              "reason": "Invalid Request Body"}}))

    def test_names(self):
        """Names are quoted for the path: slashes, spaces, UTF-8, what looks like a query."""
        for name in ("a/b", "x y?z#1", "gr\u00fc\u00dfe", "%41", "a+b&c=d"):
            self.good("post", self.bucket, name, '"in"')
            self.assertEqual(self.good("get", self.bucket, name).json()[0]["data"], "in")
            self.assertIn(name, self.good("list-streams", self.bucket).json()["data"])

    def test_usage(self):
        """What makes no sense is exit code 2: verbs, numbers, files that are not there."""
        for args in ((), ("dance",), ("post", "b"), ("post", "b", "s"), ("-P", "0", "list-buckets"),
                     ("-P", "x", "list-buckets"), ("get", "b", "s", "--limit", "0"), ("get", "b", "s", "--limit", "x"),
                     ("get", "b", "s", "--from", "x"), ("post", "b", "s", "@/nowhere/at/all"),
                     ("post", "b", "s", "@/tmp"), ("post", "b", "s", "1", "--lines"), ("post", "b", "s", "1", "--skip", "3"),
                     ("post", "b", "s", "@" + SAMPLE, "--lines", "-c", JSON), ("get", "b", "s", "--raw", "--limit", "2"),
                     ("post", "b", "s", "1", "--retry", "3"), ("post", "b", "s", "1", "--idempotency-key", "\u00fc"),
                     ("post", "b", "s", "@" + SAMPLE, "--lines", "--idempotency-key", "k" * 101),
                     ("delete", "b", "s", "--to", "-1"), ("delete", "b", "s", "--to", "x"), ("delete", "b"),
                     ("post", "b", "s", "1", "-c", "a\nb"), ("--timeout", "0", "list-buckets")):
            with self.subTest(args=args):
                ended = self.cli(*args)
                self.assertEqual((ended.code, ended.out), (USAGE, b""), ended)
                self.assertIn("ioriocli", ended.err)
        self.assertNotIn("b", self.get("/buckets").json()["data"])

    def test_help(self):
        """--help documents verbs, options and exit codes."""
        text = run("--help").out.decode()
        for word in ("post", "patch", "get", "list-buckets", "list-streams", "-u", "-p", "-t", "-H", "-P", "--json", "130"):
            self.assertIn(word, text)
        self.assertIn("--lines", run("post", "--help").out.decode())

    def test_verbose(self):
        """-v shows requests and answers on stderr, never the password or the token."""
        ended = self.cli("-v", "post", self.bucket, self.name, "1")
        self.assertEqual(ended.code, OK)
        self.assertIn(f"> POST {self.at} (1 bytes)\n< 201 ", ended.err)
        self.assertNotIn("secret", ended.err)
        self.assertNotIn("eyJ", ended.err)

    def test_human(self):
        """--human prints for humans: the stream, the id and the time in UTC."""
        ended = self.good("--human", "post", self.bucket, self.name, "1")
        self.assertRegex(ended.out.decode(), rf"^{self.bucket}/{self.name} 1  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d\d\dZ\n$")


class Patch(CliCase):
    def test_examples(self):
        """The seed's examples: a file, invalid literals, a wrong content type."""
        self.good("post", self.bucket, self.name, "@" + SAMPLE)
        self.assertEqual(self.good("patch", self.bucket, self.name, "@" + SAMPLE_PATCH).json()["meta"]["id"], 2)
        body = self.get(self.at + "/2").body
        self.assertEqual(json.loads(body)["tags"], ["sample", "json", "patched"])
        self.assertIn(b'"temperature":22.0', body)
        self.assertNotIn(b"nothing", body)
        for text, says in (("[{}]", "operation 0"), ("42", "an array"), ("[", "not JSON"),
                           ('[{"op":"remove","path":"/nothing"}]', 'operation 0 (remove "/nothing")')):
            error = self.refused(REFUSED, "patch", self.bucket, self.name, text)
            self.assertIn("400 invalid-body", error)
            self.assertIn(says, error)
        error = self.refused(REFUSED, "patch", self.bucket, self.name, "@" + SAMPLE_PATCH, "-c", "text/plain")
        self.assertIn("415", error)
        self.assertIn("Accept-Patch: application/json-patch+json", error)
        self.assertEqual(len(self.stored()), 2)

    def test_if_match_and_input(self):
        """--if-match is the last id; the patch may come from standard input; for humans it is a line."""
        self.append(b'{"n":1}')
        patch = '[{"op":"replace","path":"/n","value":%d}]'
        self.good("patch", self.bucket, self.name, "-", "--if-match", "1", data=(patch % 2).encode())
        error = self.refused(REFUSED, "patch", self.bucket, self.name, patch % 3, "--if-match", "1")
        self.assertIn("412 conflict", error)
        self.assertIn("expected 1, got 2", error)
        text = self.good("--human", "patch", self.bucket, self.name, patch % 3).out.decode()
        self.assertRegex(text, rf"\A{self.bucket}/{self.name} 3  20\d\d-[-0-9:. ]+Z\n\Z")
        self.assertEqual([e["n"] for e in self.stored()], [1, 2, 3])
        ended = self.cli("patch", self.bucket, self.name, "[]", "--if-match", "x")
        self.assertEqual(ended.code, USAGE)

    def test_nothing_there(self):
        """A stream without an event: exit code 1 and what to do."""
        self.assertIn("POST one first", self.refused(REFUSED, "patch", self.bucket, self.name, "[]"))

    def test_client(self):
        """iorio.Client.patch(): a list, text or bytes; the number of the operation that fails."""
        with self.node.client(token=self.node.token()) as client:
            client.post_json(self.bucket, self.name, {"n": 1, "\u00fc": "\u20ac"})
            add = [{"op": "add", "path": "/\u00fc", "value": "\u00e9"}]
            self.assertEqual(client.patch(self.bucket, self.name, add)["id"], 2)
            self.assertEqual(client.patch(self.bucket, self.name, json.dumps(add), if_match=2)["id"], 3)
            self.assertEqual(client.patch(self.bucket, self.name, json.dumps(add).encode(), idempotency_key="k")["id"], 4)
            self.assertEqual(client.patch(self.bucket, self.name, json.dumps(add).encode(), idempotency_key="k")["id"], 4)
            self.assertEqual(client.patch(self.bucket, self.name, [], prefer="memory"), {})
            with self.assertRaises(iorio.Refused) as caught:
                client.patch(self.bucket, self.name, [{"op": "test", "path": "/n", "value": 1},
                                                      {"op": "remove", "path": "/x"}])
            self.assertEqual((caught.exception.status, caught.exception.fields["op"]), (400, 1))
            self.assertEqual(client.get(self.bucket, self.name)[0]["data"], {"n": 1, "\u00fc": "\u00e9"})

    def test_conflict(self):
        """The 409 of a patch that lost again and again, as the first Iorio DB spelt it."""
        body = b'{"type":"error","reason":{"reason":"confict","field":"seqnum","expected":7,"got":9}}'
        error = iorio.refusal(iorio.Answer(409, {"Content-Type": "application/json"}, body))
        self.assertEqual((error.status, error.type, error.fields["expected"], error.fields["got"]), (409, "error", 7, 9))
        self.assertIn("confict", str(error))


class Listen(CliCase):
    def spawn(self, *args):
        process = subprocess.Popen(command("-P", str(self.node.port), "listen", *args), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait, 30 * SLOW)
        return process

    def waits(self, watches):
        def seen():
            return b"\niorio_watches %d\n" % watches in self.get("/metrics").body
        wait_until("the listener", seen, 20 * SLOW)

    def test_history(self):
        """--from: what is there, one object a line, byte for byte; --count ends it."""
        self.append(b'{"a" : 1.50e+3}', b'[\n1\n]', b"3" * 5000)
        at = f"{self.bucket}/{self.name}"
        lines = self.good("listen", at, "--from", "1", "--count", "3").out.split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual([line.split(b'"data":')[1] for line in lines], [b'{"a" : 1.50e+3}}', b"[ 1 ]}", b"3" * 5000 + b"}"])
        self.assertEqual(json.loads(lines[1])["meta"]["stream"], self.name)
        self.assertEqual(len(self.good("listen", at, "--from=-2", "--count", "1").out.split(b"\n")), 2)

    def test_human(self):
        """For humans: the stream, id and time, then the content."""
        self.append(b"1")
        text = self.good("--human", "listen", f"{self.bucket}/{self.name}", "-f", "1", "--count", "1").out.decode()
        self.assertRegex(text, rf"\A{self.bucket}/{self.name} 1  20\d\d-[-0-9:. ]+Z\n  1\n\Z")

    def test_wait(self):
        """--wait ends when nothing came for so long, with 0; an event begins the time anew."""
        start = time.monotonic()
        self.assertEqual(self.good("listen", f"{self.bucket}/{self.name}", "--wait", "1").out, b"")
        self.assertGreaterEqual(time.monotonic() - start, 1)

    def test_wait_0(self):
        """--wait 0 prints what is there, however much it is, and ends at once; new events only: nothing."""
        self.call("POST", self.at, b"1\n" * 2500, "application/x-ndjson")
        at = f"{self.bucket}/{self.name}"
        start = time.monotonic()
        lines = self.good("listen", at, "--from", "1", "--wait", "0").out.splitlines()
        self.assertEqual([json.loads(line)["meta"]["id"] for line in lines], list(range(1, 2501)))
        self.assertEqual(self.good("listen", at, "--wait", "0").out, b"")
        self.assertLess(time.monotonic() - start, 10 * SLOW)
        ended = run("-P", str(free_port()), "listen", "b/s", "--wait", "0")
        self.assertEqual((ended.code, ended.out), (CONNECTION, b""))

    def test_first_iorio(self):
        """BUCKET:STREAM:ID, as the seed's README has it; each stream from an id of its own."""
        self.append(b"1", b"2", b"3")
        self.append(b'"x"', b'"y"', at=self.at + "-b")
        ended = self.good("listen", f"{self.bucket}:{self.name}:3", f"{self.bucket}:{self.name}-b:2", "--wait", "0")
        self.assertEqual(sorted(json.loads(line)["data"] for line in ended.out.splitlines() if b"y" not in line), [3])
        self.assertEqual(ended.out.count(b"\n"), 2)
        ended = self.good("listen", f"{self.bucket}:{self.name}", "--from=-1", "--wait", "0")
        self.assertEqual(ended.json()["data"], 3)
        # With a slash colons are part of the names.
        self.append(b"1", at=f"/streams/{self.bucket}/a%3A2")
        self.assertEqual(self.good("listen", f"{self.bucket}/a:2", "--from", "1", "--wait", "0").json()["meta"]["stream"], "a:2")

    def test_live(self):
        """Events of several streams as they come, also over a restart of the node: none twice, none lost."""
        ports = {"http.port": str(free_port())}
        node = Node(ports).start()
        self.addCleanup(node.stop)
        names = ("a", "b/c")
        process = subprocess.Popen(command("-P", str(node.port), "listen", "x/a", "x/b/c", "--count", "40"),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        wait_until("the listener", lambda: b"\niorio_watches 2\n" in node.call("GET", "/metrics").body, 20 * SLOW)
        for n in range(40):
            if n in (10, 25):
                node.restart()
            path = f"/streams/x/{iorio.quote(names[n % 2])}"
            self.assertEqual(node.call("POST", path, b"%d" % n, JSON).status, 201)
        out, err = process.communicate(timeout=60 * SLOW)
        self.assertEqual((process.returncode, err), (OK, b""))
        got = [json.loads(line) for line in out.splitlines()]
        for which, stream in enumerate(names):
            mine = [e for e in got if e["meta"]["stream"] == stream]
            self.assertEqual([e["meta"]["id"] for e in mine], list(range(1, 21)))
            self.assertEqual([e["data"] for e in mine], list(range(which, 40, 2)))

    def test_gap(self):
        """What was removed is said on stderr; with --strict it is exit code 5 before any event."""
        self.append(b"1", b"2", b"3")
        self.call("DELETE", self.at + "?to=2")
        at = f"{self.bucket}/{self.name}"
        ended = self.cli("listen", at, "--from", "1", "--count", "1")
        self.assertEqual((ended.code, ended.json()["meta"]["id"]), (OK, 3))
        self.assertIn(f"{self.bucket}:{self.name}:1-2", ended.err)
        self.assertIn(":1-2", self.refused(GAP, "listen", at, "--from", "1", "--count", "1", "--strict"))
        self.assertIn("cursor", self.refused(GAP, "listen", at, "--cursor", "x", "--strict", "--wait", "1"))

    def test_ends(self):
        """Ctrl-C is 130; a reader that leaves is 141; a node that is not there at first is 3."""
        process = self.spawn(f"{self.bucket}/{self.name}")
        self.waits(1)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30 * SLOW), INTERRUPTED)
        self.waits(0)
        ended = run("-P", str(free_port()), "listen", "b/s")
        self.assertEqual((ended.code, ended.out), (CONNECTION, b""))
        self.assertIn("no-perm", self.refused(REFUSED, "-t", "a.b.c", "listen", "b/s"))

    def test_usage(self):
        """What is no BUCKET/STREAM or BUCKET:STREAM:ID, and more than 64, are exit code 2."""
        for args in (("b",), ("/s",), ("b/",), tuple(f"b/{n}" for n in range(65)), (), ("b/s", "--count", "0"),
                     ("b/s", "--wait", "-1"), ("b:",), (":s",), ("b:s:x",), ("b:s:",), ("b/s", "--wait", "nan")):
            ended = self.cli("listen", *args)
            self.assertEqual((ended.code, ended.out), (USAGE, b""), ended)


class Get(CliCase):
    def setUp(self):
        super().setUp()
        self.append(*(b"%d" % n for n in range(1, 16)))
        self.call("POST", self.at, b"\0\n\1", "application/octet-stream")

    def ids(self, *args, **_):
        return [e["meta"]["id"] for e in self.good("get", self.bucket, self.name, *args).json()]

    def test_ranges(self):
        """get: the last 10; --from, --limit, --to; --limit all is everything."""
        self.assertEqual(self.ids(), list(range(7, 17)))
        self.assertEqual(self.ids("--from", "4"), list(range(4, 14)))
        self.assertEqual(self.ids("--from", "4", "--limit", "1"), [4])
        self.assertEqual(self.ids("--limit", "1"), [16])
        self.assertEqual(self.ids("-l", "5"), [12, 13, 14, 15, 16])
        self.assertEqual(self.ids("-f", "2", "--to", "4"), [2, 3, 4])
        self.assertEqual(self.ids("--from=-2"), [15, 16])
        self.assertEqual(self.ids("--limit", "all"), list(range(1, 17)))
        self.assertEqual(self.ids("--limit", "all", "--from", "15"), [15, 16])
        self.assertEqual(self.ids("--from", "99"), [])

    def test_no_stream(self):
        """A stream that is not there is empty, exit code 0, as on HTTP."""
        self.assertEqual(self.good("get", self.bucket, "not-there").out, b"[]\n")
        self.assertEqual(self.good("get", self.bucket, "not-there", "--ndjson").out, b"")
        self.assertEqual(self.good("--human", "get", self.bucket, "not-there").out, b"")

    def test_more_than_a_page(self):
        """--limit is not cut at streams.read.max."""
        self.call("POST", self.at + "-long", b"1\n" * 2500, "application/x-ndjson")
        ended = self.good("get", self.bucket, self.name + "-long", "--limit", "2400")
        self.assertEqual([e["meta"]["id"] for e in ended.json()], list(range(101, 2501)))

    def test_ndjson(self):
        """--ndjson prints the objects of the node, one a line."""
        lines = self.good("get", self.bucket, self.name, "--ndjson", "--limit", "3").out.split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual([json.loads(line)["data"] for line in lines], [14, 15, "AAoB"])

    def test_raw(self):
        """--raw prints the exact bytes of one event; one that is not there is exit code 4."""
        self.assertEqual(self.good("get", self.bucket, self.name, "--raw").out, b"\0\n\1")
        self.assertEqual(self.good("get", self.bucket, self.name, "--raw", "--from", "7").out, b"7")
        self.assertEqual(self.good("get", self.bucket, self.name, "--raw", "--from=-3").out, b"14")
        self.assertIn("not-found", self.refused(NOT_FOUND, "get", self.bucket, self.name, "--raw", "--from", "17"))
        self.assertIn("not-found", self.refused(NOT_FOUND, "get", self.bucket, "not-there", "--raw"))

    def test_human(self):
        """--human indents the content and says what is binary."""
        self.append(b'{"b":[1],"a":"\xc3\xa9"}', at=self.at + "-h")
        text = self.good("--human", "get", self.bucket, self.name + "-h").out.decode()
        self.assertRegex(text, r'\A1  20\d\d-\d\d-\d\d [0-9:.]+Z\n  \{\n    "b": \[\n      1\n    \],\n    "a": "é"\n  \}\n\Z')
        self.assertIn("16  ", self.good("get", self.bucket, self.name, "--human").out.decode())
        self.assertIn("binary, base64:\n  AAoB\n", self.good("get", self.bucket, self.name, "--human").out.decode())

    def test_terminal(self):
        """On a terminal the output is for humans without being asked."""
        parent, child = pty.openpty()
        subprocess.run(command("-P", str(self.node.port), "get", self.bucket, self.name, "-l", "1", "-f", "3"),
                       stdin=subprocess.DEVNULL, stdout=child, check=True, env=clean_env(), timeout=30 * SLOW)
        os.close(child)
        text = os.read(parent, 4096).decode()
        os.close(parent)
        self.assertRegex(text, r"^3  20\d\d-[^\n]+\n  3\r?\n$")

    def test_broken_pipe(self):
        """A reader that leaves ends the tool quietly with 141."""
        self.call("POST", self.at + "-long", b'"%b"\n' % (b"x" * 500) * 10000, "application/x-ndjson")
        process = subprocess.Popen(command("-P", str(self.node.port), "get", self.bucket, self.name + "-long",
                                           "--limit", "all", "--ndjson"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        self.assertIn(b'"id":1,', process.stdout.readline())
        process.stdout.close()
        self.assertEqual((process.wait(30 * SLOW), process.stderr.read()), (PIPE, b""))
        process.stderr.close()

    def test_token(self):
        """-t takes a token instead of a login."""
        with self.node.client() as client:
            token = client.login()
        self.assertEqual(self.good("-t", token, "-p", "wrong", "get", self.bucket, self.name, "-l", "1").json()
                         [0]["meta"]["id"], 16)


class Lists(CliCase):
    def test_lists(self):
        """list-buckets and list-streams: all, --after, --limit, --match, --info, JSON and human."""
        for bucket, stream in (("one", "a"), ("one", "b"), ("one", "ba"), ("two", "x")):
            self.append(b"1", at=f"/streams/{bucket}/{stream}")
        self.assertEqual(self.good("list-buckets").json(), {"status": "ok", "data": ["one", "two"]})
        self.assertEqual(self.good("list-streams", "one").json(), {"status": "ok", "data": ["a", "b", "ba"]})
        self.assertEqual(self.good("list-streams", "none").json(), {"status": "ok", "data": []})
        self.assertEqual(self.good("list-streams", "one", "--after", "a", "-l", "1").json()["data"], ["b"])
        self.assertEqual(self.good("list-streams", "one", "--match", "b*").json()["data"], ["b", "ba"])
        self.assertEqual(self.good("list-buckets", "--match", "t*").json()["data"], ["two"])
        self.assertEqual(self.good("list-streams", "two", "--info").json()["data"][0]["events"], 1)
        self.assertEqual(self.good("--human", "list-streams", "one").out, b"a\nb\nba\n")
        self.assertRegex(self.good("list-streams", "two", "--info", "--human").out.decode(),
                         r"^x  low 1  high 1  events 1  bytes [0-9]+\n$")
        self.assertIn("no-perm", self.refused(REFUSED, "-u", "anonymous", "list-buckets"))


class Lines(CliCase):
    def post_lines(self, data, *args, code=OK):
        ended = self.cli("post", self.bucket, self.name, "-", "--lines", *args, data=data)
        self.assertEqual(ended.code, code, ended)
        return ended

    def test_file_and_pipe(self):
        """Lines of a file and of a pipe arrive in order; first and last id and the rate are told."""
        lines = [b'{"n": %d}' % n for n in range(1, 25001)]
        path = self.file(b"\n".join(lines))
        ended = self.good("post", self.bucket, self.name, "@" + path, "--lines")
        summary = ended.json()
        self.assertEqual([summary[k] for k in ("first", "last", "events", "lines", "batches")],
                         [1, 25000, 25000, 25000, 3])
        self.assertGreater(summary["rate"], 0)
        summary = self.post_lines(b"\r\n".join(lines[:10]) + b"\r\n").json()
        self.assertEqual((summary["first"], summary["last"]), (25001, 25010))
        self.assertEqual([e["n"] for e in self.stored()], [*range(1, 25001), *range(1, 11)])
        self.assertEqual(self.get(self.at + "/25001").body, b'{"n": 1}')
        ended = self.good("--human", "post", self.bucket, self.name, "@" + path, "--lines")
        self.assertRegex(ended.out.decode(), r"^ids 25011\.\.50010, 25000 events in [0-9.]+ s \([0-9]+ events/s, [0-9.]+ MB/s\)\n$")

    def test_limits(self):
        """Batches keep to --batch-lines and --batch-bytes; a longer line goes alone."""
        data = b"1\n2\n3\n4\n5\n"
        self.assertEqual(self.post_lines(data, "--batch-lines", "2").json()["batches"], 3)
        self.assertEqual(self.post_lines(data, "--batch-bytes", "4").json()["batches"], 3)
        self.assertEqual(self.post_lines(b'1\n"' + b"x" * 100 + b'"\n2\n', "--batch-bytes", "50").json()["batches"], 3)
        self.assertEqual(len(self.stored()), 13)

    def test_blank(self):
        """Blank lines are skipped but counted; no event at all is no error."""
        summary = self.post_lines(b"\n1\n\n  \n2\r\n\r\n\n").json()
        self.assertEqual([summary[k] for k in ("first", "last", "events", "lines")], [1, 2, 2, 7])
        for data in (b"", b"\n\n"):
            summary = self.post_lines(data).json()
            self.assertEqual((summary["first"], summary["events"]), (None, 0))
        self.assertEqual(self.stored(), [1, 2])

    def test_bad_line(self):
        """A line that is no JSON stops it with 1; it says which line, and up to which all is stored."""
        lines = [b"%d" % n for n in range(1, 31)]
        lines[24] = b"{oops"
        ended = self.post_lines(b"\n".join(lines), "--batch-lines", "10", "--human", code=REFUSED)
        self.assertEqual(self.stored(), list(range(1, 21)))
        self.assertIn("400 invalid-body", ended.err)
        self.assertIn("line 25 is not JSON", ended.err)
        self.assertIn("lines 1..20 are stored (ids 1..20); lines 21..30 are not stored; go on with --skip 20\n", ended.err)
        lines[24] = b"25"
        ended = self.post_lines(b"\n".join(lines), "--skip", "20")
        self.assertEqual(self.stored(), list(range(1, 31)))
        ended = self.post_lines(b"{\n", "--json", code=REFUSED)
        error = json.loads(ended.err)["error"]
        self.assertEqual((error["type"], error["stored_through_line"], error["unknown_lines"]),
                         ("invalid-body", 0, None))
        self.assertEqual(self.cli("post", self.bucket, self.name, "-", "--lines", "--skip", "9", data=b"1\n").code, USAGE)

    def test_streamed(self):
        """The input is not loaded whole: batches are in the stream while the input is still open."""
        process = subprocess.Popen(command("-P", str(self.node.port), "post", self.bucket, self.name, "-", "--lines",
                                           "--batch-lines", "100", "--progress"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        process.stdin.write(b"1\n" * 1001)
        process.stdin.flush()
        wait_until("ten batches", lambda: self.call("HEAD", self.at).get("Iorio-High") == "1000", 20 * SLOW)
        time.sleep(1.1)
        out, err = process.communicate(b"1\n" * 500)
        self.assertEqual((process.returncode, json.loads(out)["events"]), (OK, 1501))
        self.assertRegex(err.decode(), r"^line 1[0-9]{3}, [0-9]+ events in ")

    def test_interrupted(self):
        """Ctrl-C ends with 130 and says up to which line everything is stored."""
        process = subprocess.Popen(command("-P", str(self.node.port), "post", self.bucket, self.name, "-", "--lines",
                                           "--batch-lines", "100"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())
        process.stdin.write(b"1\n" * 250)
        process.stdin.flush()
        wait_until("two batches", lambda: self.call("HEAD", self.at).get("Iorio-High") == "200", 20 * SLOW)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        code = process.wait(20 * SLOW)
        err = process.stderr.read().decode()
        process.stdin.close(), process.stdout.close(), process.stderr.close()
        self.assertEqual(code, INTERRUPTED, err)
        self.assertIn("lines 1..200 are stored (ids 1..200); go on with --skip 200\n", err)
        self.assertNotIn("Traceback", err)

    def test_node_dies(self):
        """When the node dies in the middle it is 3, and the lines named as stored are stored."""
        process = subprocess.Popen(command("-P", str(self.node.port), "post", self.bucket, self.name, "-", "--lines",
                                           "--batch-lines", "50", "--json", "--retry", "0"), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_env())

        def feed():
            try:
                with process.stdin:
                    for n in range(1, 1_000_000):
                        process.stdin.write(b"%d\n" % n)
            except OSError:
                pass
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        wait_until("some batches", lambda: int(self.call("HEAD", self.at).get("Iorio-High")) > 500, 20 * SLOW)
        self.node.kill9()
        code = process.wait(30 * SLOW)
        err, out = process.stderr.read().decode(), process.stdout.read()
        feeder.join(10)
        process.stdout.close(), process.stderr.close()
        self.node.start()
        self.assertEqual(code, CONNECTION, err)
        error = json.loads(err)["error"]
        self.assertEqual(json.loads(out)["lines"], error["stored_through_line"])
        stored = len(self.stored())
        self.assertEqual(self.stored(), list(range(1, stored + 1)))
        through, unknown = error["stored_through_line"], error["unknown_lines"]
        self.assertGreaterEqual(through, 500)
        self.assertIn(stored, (through, unknown[1] if unknown else through))
        if unknown:
            self.assertEqual(unknown, [through + 1, through + 50])


class SmallBodies(CliCase):
    CONF = {"http.body.max": "64KB"}

    def test_batches_are_halved(self):
        """A batch that is too large for the node is sent in halves, in order, nothing twice."""
        lines = [b'{"n":%d,"pad":"%b"}' % (n, b"p" * 1000) for n in range(300)]
        ended = self.cli("post", self.bucket, self.name, "-", "--lines", data=b"\n".join(lines))
        self.assertEqual(ended.code, OK, ended)
        self.assertEqual([e["n"] for e in self.stored()], list(range(300)))

    def test_line_too_large(self):
        """One line that is too large alone is refused with 1; the lines before it are stored."""
        data = b'1\n2\n"' + b"x" * 100_000 + b'"\n4\n'
        ended = self.cli("post", self.bucket, self.name, "-", "--lines", "--human", data=data)
        self.assertEqual(ended.code, REFUSED, ended)
        self.assertIn("413 too-large", ended.err)
        self.assertIn("lines 1..2 are stored (ids 1..2); lines 3..3 are not stored; go on with --skip 2\n", ended.err)
        self.assertEqual(self.stored(), [1, 2])


class NoNode(unittest.TestCase):
    """What is on the other side is no node at all."""

    def answered(self, reply, *args):
        """Run the command line against a port that answers every connection with these bytes."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.settimeout(20 * SLOW)

            def serve():
                try:
                    while True:
                        conn, _ = listener.accept()
                        conn.recv(65536)
                        if reply is not None:
                            conn.sendall(reply)
                            conn.close()
                        else:
                            kept.append(conn)
                except OSError:
                    pass
            kept = []
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            ended = run("-P", str(listener.getsockname()[1]), *args)
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for conn in kept:
                conn.close()
        return ended

    def check(self, ended, code, *words):
        self.assertEqual((ended.code, ended.out), (code, b""), ended)
        self.assertRegex(ended.err, r"\Aioriocli: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, ended.err)

    def test_nobody_there(self):
        """Nobody listens, or the name does not resolve: 3, and the message has host and port."""
        port = str(free_port())
        for args in (("list-buckets",), ("post", "b", "s", "1"), ("get", "b", "s")):
            self.check(run("-P", port, *args), CONNECTION, f"127.0.0.1:{port}", "refused")
        self.check(run("-H", "no such host", "list-buckets"), CONNECTION, "no such host:8080")
        ended = run("-P", port, "post", "b", "s", "@" + SAMPLE, "--lines", "--human")
        self.assertEqual(ended.code, CONNECTION, ended)
        self.assertIn("no line is stored; lines 1..", ended.err)

    def test_no_answer(self):
        """A server that never answers: 3 after --timeout."""
        begin = time.monotonic()
        self.check(self.answered(None, "--timeout", "0.5", "-t", "x", "post", "b", "s", "1"), CONNECTION, "0.5 s")
        self.assertLess(time.monotonic() - begin, 10 * SLOW)

    def test_strange_answers(self):
        """Answers that are no HTTP, end early, or are no JSON: 3, never a traceback."""
        html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
        replies = [b"", b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\x15\x03\x01\0\2\2\x46" * 20, html,
                   b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
                   b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
                   b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
                   b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
                   b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[",
                   b"HTTP/1.1 " + b"9" * 70000 + b"\r\n\r\n"]
        for reply in replies:
            for args in (("list-buckets",), ("post", "b", "s", "1")):
                for token in ((), ("-t", "x")):
                    with self.subTest(reply=reply[:80], args=args, token=token):
                        self.check(self.answered(reply, *token, *args), CONNECTION)

    def test_strange_refusals(self):
        """An error status without an error body of ours: 1 (404: 4), with the status."""
        reply = b"HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno!"
        self.check(self.answered(reply % 502, "-t", "x", "get", "b", "s"), REFUSED, "502")
        self.check(self.answered(reply % 404, "-t", "x", "get", "b", "s"), NOT_FOUND, "404")
        self.check(self.answered(reply % 500, "post", "b", "s", "1"), REFUSED, "500")


class Module(NodeCase):
    """What the command line does not use of tools/iorio.py."""

    def test_keep_alive(self):
        """A client keeps its connection, and finds a new one when the node has restarted."""
        with self.node.client() as client:
            client.post(self.bucket, self.name, "1")
            sock = client._conn.sock
            for _ in range(5):
                client.get(self.bucket, self.name)
                client.post(self.bucket, self.name, b"2")
            self.assertIs(client._conn.sock, sock)
            self.node.stop()
            self.node.start()
            client.port = self.node.port
            self.assertEqual(client.post(self.bucket, self.name, b"3")["id"], 7)
            self.assertEqual(client.get(self.bucket, self.name)[0]["data"], 3)

    def test_conditions(self):
        """if_match and if_none_match; a conflict is a Refused with status, type and fields."""
        with self.node.client() as client:
            self.assertEqual(client.post_json(self.bucket, self.name, {"a": "\u00e9"}, if_none_match=True)["id"], 1)
            self.assertEqual(client.post(self.bucket, self.name, b"2", if_match=1)["id"], 2)
            with self.assertRaises(iorio.Refused) as caught:
                client.post(self.bucket, self.name, b"3", if_match=1)
            error = caught.exception
            self.assertEqual((error.status, error.type, error.fields["got"], error.unknown_outcome),
                             (412, "conflict", 2, False))
            self.assertEqual(client.raw(self.bucket, self.name, 1), ('{"a":"\u00e9"}'.encode(), JSON))
            with self.assertRaises(iorio.NotFound):
                client.raw(self.bucket, self.name, 3)
            kept = client.head(self.bucket, self.name)
            self.assertEqual((kept.low, kept.high), (1, 2))
            self.assertEqual(client.ping(), "iorio@127.0.0.1")

    def test_memory(self):
        """prefer="memory" gives no meta."""
        with self.node.client() as client:
            self.assertEqual(client.post(self.bucket, self.name, b"1", prefer="memory"), {})

    def test_left_iterator(self):
        """Leaving iter() in the middle does not disturb the next call."""
        with self.node.client() as client:
            client.post_batch(self.bucket, self.name, [b"%d" % n for n in range(5000)])
            for event in client.iter(self.bucket, self.name, from_=1, limit=5000):
                if event["meta"]["id"] == 3:
                    break
            self.assertEqual(client.get(self.bucket, self.name)[0]["meta"]["id"], 5000)


class ModuleListen(NodeCase):
    def test_objects(self):
        """Client.listen(): objects; cursor says where one is, and a new client goes on from there."""
        self.append(b'{"a":[1]}', b"2")
        streams = [(self.bucket, self.name, 1), (self.bucket, "a:b%*/c d")]
        gaps = []
        with self.node.client() as client:
            got = list(client.listen(streams, idle=0.2, on_gap=gaps.append))
            self.assertEqual([(e["meta"]["stream"], e["meta"]["id"], e["data"]) for e in got],
                             [(self.name, 1, {"a": [1]}), (self.name, 2, 2)])
            cursor = client.cursor
        self.append(b"3")
        self.append(b"4", at=f"/streams/{self.bucket}/{iorio.quote('a:b%*/c d')}")
        with self.node.client() as client:
            got = list(client.listen(streams, cursor=cursor, idle=0.2, on_gap=gaps.append))
            self.assertEqual([e["data"] for e in got], [3, 4])
            self.assertEqual(list(client.listen(streams, cursor=client.cursor, idle=0.2)), [])
            self.assertEqual(gaps, [])
            self.assertEqual(len(list(client.listen(streams, cursor="x", idle=0.2, on_gap=gaps.append))), 3)
        self.assertEqual(gaps, ["*"])

    def test_left_in_the_middle(self):
        """A consumer that leaves in the middle of an answer has its cursor before that answer: nothing is lost."""
        self.append(b"1", b"2", b"3")
        with self.node.client() as client:
            events = client.listen([(self.bucket, self.name, 1)], idle=0.2)
            self.assertEqual(next(events)["data"], 1)
            events.close()
            self.assertEqual([e["data"] for e in client.listen([(self.bucket, self.name, 1)], client.cursor, idle=0.2)],
                             [1, 2, 3])

    def test_split(self):
        """An array is split into the texts of its members, whatever is in them."""
        split = iorio.split_array
        self.assertEqual(split("[]"), [])
        self.assertEqual(split('[{"a":"],[\\"{"},{"b" : 1e400}]'), [b'{"a":"],[\\"{"}\n', b'{"b" : 1e400}\n'])
        self.assertEqual(split("[[\r\n1]," + "9" * 9000 + "]"), [b"[  1]\n", b"9" * 9000 + b"\n"])
        for bad in ("", "[", "{}", "[1", "[1 2]", "[1;2]", "[x]"):
            with self.assertRaises((ValueError, IndexError)):
                split(bad)


class Expiring(NodeCase):
    CONF = {"auth.secret": "x" * 40}

    def test_log_in_again(self):
        """A client that logged in by itself logs in again when its session is over."""
        with self.node.client() as client:
            client.login()
            client.token = jwt.make("x" * 40, {"u": "admin", "exp": 1})
            self.assertEqual(client.post(self.bucket, self.name, b"1")["id"], 1)
            self.assertNotEqual(jwt.read(client.token)[1]["exp"], 1)
        with self.node.client(token=jwt.make("x" * 40, {"u": "admin", "exp": 1})) as client:
            with self.assertRaises(iorio.Refused) as caught:
                client.post(self.bucket, self.name, b"1")
            self.assertEqual((caught.exception.status, caught.exception.type), (401, "no-perm"))


if __name__ == "__main__":
    unittest.main()
