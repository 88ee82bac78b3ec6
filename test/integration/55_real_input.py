#!/usr/bin/env python3
"""test/integration/55_real_input.py - the machine's own package index, as events.

`apt-cache dumpavail` (without it the lists of dpkg) becomes one JSON line a package,
tens of thousands of them. They go in by curl as NDJSON and by ioriocli.py post --lines,
come back byte for byte by /{id} (read by curl) and by NDJSON, are listed, and are
still there after a restart."""

import itertools
import json
import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NDJSON, NodeCase  # noqa: E402
from lib.node import ROOT, clean_env  # noqa: E402
from lib.wire import SLOW  # noqa: E402

BATCH_LINES = 10000
BATCH_BYTES = 7 << 20


def index_text():
    """The package index as bytes: the first source that has one."""
    try:
        text = subprocess.run(["apt-cache", "dumpavail"], stdin=subprocess.DEVNULL, capture_output=True,
                              check=False, env={**clean_env(), "LC_ALL": "C.UTF-8"}).stdout
        if b"\nPackage: " in b"\n" + text:
            return text
    except OSError:
        pass
    text = b""
    for path in ("/var/lib/dpkg/available", "/var/lib/dpkg/status"):
        try:
            with open(path, "rb") as f:
                text += f.read().rstrip(b"\n") + b"\n\n"
        except OSError:
            pass
    return text


def json_lines(text):
    """One JSON object a package, field by field, as bytes without a line end."""
    lines = []
    for stanza in text.decode("utf-8", "replace").split("\n\n"):
        fields, name = {}, None
        for line in stanza.split("\n"):
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line[1:]
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            lines.append(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode())
    return lines


def batches(lines):
    """Lists of lines within the limits of one NDJSON request."""
    batch, size = [], 0
    for line in lines:
        if batch and (len(batch) == BATCH_LINES or size + len(line) + 1 > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    yield batch


class RealInput(NodeCase):
    CONF = {"memory.tail": "2GB", "journal.segment": None}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lines = json_lines(index_text())
        assert lines, "this machine has no package index at all"
        # With a sanitizer a part of it has to do.
        cls.lines = lines if SLOW <= 1 else lines[:20000]

    def curl(self, *args, data=None):
        done = subprocess.run(["curl", "-sS", "--fail-with-body", "-H", f"X-Session: {self.node.token()}", *args],
                              input=data, stdin=subprocess.DEVNULL if data is None else None,
                              capture_output=True, timeout=50 * SLOW, check=False)
        self.assertEqual(done.returncode, 0, (done.stderr, done.stdout[:500]))
        return done.stdout

    def cli(self, *args):
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "tools", "ioriocli.py"), "-P",
                               str(self.node.port), "-H", self.node.host, "--json", *args],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=50 * SLOW, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def by_id(self, stream):
        """Every event by its own GET /{id}, in one run of curl: their bytes, one after the other."""
        return self.curl(f"{self.node.url}/streams/packages/{stream}/[1-{len(self.lines)}]")

    def by_ndjson(self, stream):
        """Every event out of one NDJSON answer: the ids must be dense; their bytes."""
        with self.node.client(token=self.node.token()) as client:
            out = []
            for number, line in enumerate(client.iter_lines("packages", stream, from_=1, limit=1 << 40), 1):
                head = b'{"meta":{"id":%d,"t":' % number
                self.assertTrue(line.startswith(head) and line.endswith(b"}\n"), line[:200])
                out.append(line[line.index(b'},"data":', len(head)) + 9:-2])
            return out

    def test_package_index(self):
        """In by curl and by the command line, out byte for byte, listed, there after a restart."""
        file = os.path.join(self.node.folder, "packages.ndjson")
        with open(file, "wb") as f:
            f.write(b"".join(line + b"\n" for line in self.lines))
        first = 1
        for batch in batches(self.lines):
            answer = json.loads(self.curl(
                "-H", f"Content-Type: {NDJSON}", "--data-binary", "@-", f"{self.node.url}/streams/packages/by-curl",
                data=b"\n".join(batch)))
            self.assertEqual((answer["meta"]["id"], answer["meta"]["last"]), (first, first + len(batch) - 1))
            first += len(batch)
        summary = json.loads(self.cli("post", "packages", "by-cli", f"@{file}", "--lines"))
        self.assertEqual((summary["first"], summary["last"], summary["events"], summary["lines"]),
                         (1, len(self.lines), len(self.lines), len(self.lines)))

        whole = b"".join(self.lines)
        self.assertTrue(self.by_id("by-curl") == whole, "the events by /{id} are not what was posted")
        self.assertTrue(self.by_ndjson("by-cli") == self.lines, "the events are not what was posted")
        listed = json.loads(self.cli("list-streams", "packages", "--info"))
        self.assertEqual([(s["name"], s["low"], s["high"], s["events"]) for s in listed["data"]],
                         [("by-cli", 1, len(self.lines), len(self.lines)),
                          ("by-curl", 1, len(self.lines), len(self.lines))])
        self.assertEqual(json.loads(self.cli("list-buckets"))["data"], ["packages"])

        self.node.restart()
        self.assertTrue(self.by_ndjson("by-curl") == self.lines, "after the restart: by-curl differs")
        step = max(1, len(self.lines) // 500)
        with self.node.client(token=self.node.token()) as client:
            for number in itertools.chain(range(1, len(self.lines) + 1, step), [len(self.lines)]):
                self.assertEqual(client.raw("packages", "by-cli", number)[0], self.lines[number - 1])
        self.assertEqual(json.loads(self.cli("list-streams", "packages"))["data"], ["by-cli", "by-curl"])


if __name__ == "__main__":
    unittest.main()
