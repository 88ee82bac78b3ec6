"""test/integration/lib/cli.py - running tools/ioriocli.py against the node of a NodeCase."""

import json
import os
import pty
import select
import subprocess
import sys
import time

from .case import NodeCase
from .node import ROOT, clean_env
from .wire import SLOW

CLI = os.path.join(ROOT, "tools", "ioriocli.py")
SAMPLE = os.path.join(ROOT, "tools", "sample.json")
OK, REFUSED, USAGE, CONNECTION, NOT_FOUND, INTERRUPTED, PIPE = 0, 1, 2, 3, 4, 130, 141
GAP = 5


class Run:
    """How a run of the command line ended."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr.decode()

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<{self.code} {self.out[:500]!r} {self.err[:1000]!r}>"


def command(*args, tool=CLI):
    return [sys.executable, "-B", tool, *args]


def run(*args, data=None, tool=CLI, **options):
    return Run(subprocess.run(command(*args, tool=tool), input=data, capture_output=True, env=clean_env(),
                              stdin=subprocess.DEVNULL if data is None else None,
                              timeout=30 * SLOW, check=False, **options))


def typed(args, *lines):
    """Run it on a terminal: each line is typed when the one before was asked for (a prompt ends with `: `).
    (exit code, everything that the terminal showed)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, command(*args), clean_env())
    shown, waiting, end = b"", list(lines), time.monotonic() + 30 * SLOW
    prompts = 0
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            more = os.read(terminal, 65536)
        except OSError:
            more = b""
        if not more:
            break
        shown += more
        if waiting and shown.count(b": ") > prompts and shown.endswith(b": "):
            prompts = shown.count(b": ")
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode().replace("\r\n", "\n")


class CliCase(NodeCase):
    def cli(self, *args, data=None, **options):
        return run("-P", str(self.node.port), *args, data=data, **options)

    def good(self, *args, data=None, **options):
        ended = self.cli(*args, data=data, **options)
        self.assertEqual((ended.code, ended.err), (OK, ""), ended)
        return ended

    def refused(self, code, *args, data=None):
        """Ends with this code, with one line on stderr and nothing on stdout."""
        ended = self.cli(*args, data=data)
        self.assertEqual((ended.code, ended.out), (code, b""), ended)
        self.assertRegex(ended.err, r"\Aioriocli: [^\n]+\n\Z")
        return ended.err

    def stored(self):
        """The data of every event of this test's stream."""
        with self.node.client(token=self.node.token()) as client:
            return [e["data"] for e in client.iter(self.bucket, self.name, from_=1, limit=1 << 40)]

    def file(self, data, name="input"):
        path = os.path.join(self.node.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        return path
