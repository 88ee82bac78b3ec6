#!/usr/bin/env python3
"""test/integration/03_readme.py - every command of README.rst works when pasted, in its order.

The blocks `.. code-block:: sh` are run in a fresh copy of the tree, the blocks `.. code-block:: text` are
what the commands before them must print (numbers of 13 digits, times and speeds may differ).
What is replaced, because a test may not: the clone (a copy of this tree), the ports 8080 and 8443 (free ones), and
the terminal (ioriocli.py gets --human and the port, apitest.py the port). `make console` is run as it is where everything that it
needs is installed; else, and under sanitizers, the program is put where `make console` would have put it.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.node import ROOT, STOP_S, binary, clean_env, free_port, iorio, temp_folder, track, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402

BUILD_S = 240  # `make console` builds
BLOCK_S = 60 * SLOW
MARK = "--end of block--"


def blocks(text):
    """(language, lines) of every code block."""
    found, lines = [], text.split("\n")
    for at, line in enumerate(lines):
        head = re.fullmatch(r"\.\. code-block:: (\w+)", line)
        if not head:
            continue
        body = []
        for inner in lines[at + 1:]:
            if inner and not inner.startswith("    "):
                break
            body.append(inner[4:])
        found.append((head[1], "\n".join(body).strip("\n").split("\n")))
    return found


def shape(lines):
    """A pattern for the output of a block: what is different each time may be different."""
    pattern = re.escape("\n".join(lines))
    pattern = re.sub(r"\d{13}", r"\\d{13}", pattern)
    pattern = re.sub(r"\d{4}\\-\d\d\\-\d\d\\ \d\d:\d\d:\d\d\\\.\d{3}Z", r"[-0-9]{10} [:.0-9]{12}Z", pattern)
    return re.sub(r"in\\ [0-9.\\]+\\ s\\ \\\(\d+\\ events/s,\\ [0-9.\\]+\\ MB/s\\\)",
                  r"in [0-9.]+ s \\([0-9]+ events/s, [0-9.]+ MB/s\\)", pattern)


def copy_tree(target):
    """What a clone of this tree would have, changes that are not committed included."""
    git = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard"],
                         capture_output=True, check=False) if shutil.which("git") else None
    if git is not None and git.returncode == 0:
        for name in sorted(set(os.fsdecode(git.stdout).split("\0")) - {""}):
            source, copy = os.path.join(ROOT, name), os.path.join(target, name)
            if os.path.isfile(source):
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                shutil.copy2(source, copy)
        return
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(
        "build*", "db_config", "db_data", "__pycache__", ".git", "bench-work", "fuzz-work"))


class Console:
    """The first terminal."""

    def __init__(self, tree, port, tls_port):
        self.tree = tree
        self.ports = {"IORIO_HTTP_PORT": str(port), "IORIO_HTTPS_PORT": str(tls_port)}
        self.out = os.path.join(os.path.dirname(tree), "console.out")
        self.run_file = os.path.join(tree, "rel", "db_data", "node.run")
        self.process = None
        self.pid = None
        missing = subprocess.run(["tools/setup", "missing", "run"], cwd=tree, env=clean_env(), check=False,
                                 capture_output=True, text=True)
        self.real = SLOW <= 1 and missing.returncode == 0 and missing.stdout.strip() == ""

    def lay_out(self):
        """What `make console` does before it starts the node."""
        release, conf = os.path.join(self.tree, "rel", "iorio"), os.path.join(self.tree, "rel", "db_config")
        for folder in (os.path.join(release, "bin"), os.path.join(release, "etc"), conf):
            os.makedirs(folder, exist_ok=True)
        os.makedirs(os.path.join(self.tree, "rel", "db_data"), mode=0o700, exist_ok=True)
        shutil.copy2(binary(), os.path.join(release, "bin", "iorio"))
        for folder in (os.path.join(release, "etc"), conf):
            with open(os.path.join(folder, "iorio.conf"), "wb") as f:
                subprocess.run([binary(), "config", "--defaults"], stdout=f, env=clean_env(), check=True)

    def start(self, variables=()):
        """`VARIABLE=value make console`: until the node says in node.run that it is there."""
        command = ["make", "console"]
        if not self.real:
            if not os.path.exists(os.path.join(self.tree, "rel", "iorio")):
                self.lay_out()
            command = ["rel/iorio/bin/iorio", "console", "--conf", "rel/db_config/iorio.conf"]
        with open(self.out, "ab") as out:
            self.process = subprocess.Popen(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env=clean_env({**self.ports, **dict(v.split("=") for v in variables)}))
        track(self.process.pid)
        before = self.pid
        self.pid = wait_until("the node of make console", lambda: self.pid_of_node(before), BUILD_S, 0.02)
        track(self.pid)

    def pid_of_node(self, before):
        assert self.process.poll() is None, f"{self.process.args} ended with {self.process.poll()}\n{self.said()}"
        try:
            with open(self.run_file, encoding="ascii") as f:
                pid = int(re.fullmatch(r"pid (\d+)\nhttp .*\n(https .*\n)?", f.read())[1])
        except (OSError, TypeError):
            return None
        return pid if pid != before else None

    def ended(self):
        """The exit code, after the node was killed or stopped."""
        return self.process.wait(STOP_S)

    def said(self):
        with open(self.out, encoding="utf-8", errors="replace") as f:
            return f.read()


class Shell:
    """The second terminal: one bash for all blocks, so that variables stay."""

    def __init__(self, tree):
        self.errors = os.path.join(os.path.dirname(tree), "shell.err")
        with open(self.errors, "ab") as err:
            self.bash = subprocess.Popen(["bash", "-eu", "-o", "pipefail"], cwd=tree, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=err, env=clean_env(), text=True)
        track(self.bash.pid)

    def run(self, lines):
        """The output of a block. A command that fails ends the shell: AssertionError."""
        self.bash.stdin.write("\n".join(lines) + f"\necho '{MARK}'\n")
        self.bash.stdin.flush()
        out = []
        for line in self.bash.stdout:
            if line.rstrip("\n") == MARK:
                return "".join(out)
            out.append(line)
        with open(self.errors, encoding="utf-8", errors="replace") as f:
            raise AssertionError(f"a command of this block failed:\n{chr(10).join(lines)}\n{''.join(out)}{f.read()}")

    def close(self):
        self.bash.stdin.close()
        self.bash.stdout.close()
        return self.bash.wait(BLOCK_S)


class Readme(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        with open(os.path.join(ROOT, "README.rst"), encoding="utf-8") as f:
            self.text = f.read()

    def test_defaults(self):
        """The port and the login that README.rst uses are the shipped ones."""
        with open(os.path.join(ROOT, "config", "keys.def"), encoding="utf-8") as f:
            keys = dict(re.findall(r'^X\(\w+, "([^"]+)", \w+, "([^"]*)"', f.read(), re.M))
        self.assertEqual((keys["http.port"], keys["auth.admin.username"], keys["auth.admin.password"]),
                         ("8080", "admin", "secret"))
        self.assertIn('{"username":"admin","password":"secret"}', self.text)
        self.assertEqual(set(re.findall(r"127\.0\.0\.1:(\d+)", self.text)), {"8080"})

    def test_shape(self):
        """The patterns that this test makes are neither too wide nor too narrow."""
        line = '{"meta":{"id":1,"t":1795240943994}}'
        self.assertTrue(re.fullmatch(shape([line]), line.replace("1795240943994", "1800000000000")))
        self.assertFalse(re.fullmatch(shape([line]), line.replace('"id":1', '"id":2')))
        line = "ids 1..9, 9 events in 0.3 s (385839 events/s, 2.3 MB/s)"
        self.assertTrue(re.fullmatch(shape([line]), "ids 1..9, 9 events in 12.0 s (1 events/s, 0.0 MB/s)"))
        self.assertFalse(re.fullmatch(shape([line]), "ids 1..8, 8 events in 12.0 s (1 events/s, 0.0 MB/s)"))
        self.assertTrue(re.fullmatch(shape(["a 1  2026-11-21 06:08:41.270Z"]), "a 1  2027-01-02 00:00:00.001Z"))

    def test_commands(self):
        """All blocks in order: two terminals, one node that is killed once and stopped once, the outputs as shown."""
        tree = os.path.join(temp_folder(), "iorio")
        port, tls_port = free_port(), free_port()
        console = shell = None
        starts = kills = outputs = 0
        said = ""
        for language, lines in blocks(self.text):
            self.assertIn(language, ("sh", "text"))
            if language == "text":
                self.assertRegex(said.rstrip("\n"), f"^{shape(lines)}$")
                outputs += 1
                continue
            *variables, last = lines[-1].split(" ", 1) if lines[-1].endswith(" make console") else [lines[-1]]
            if last == "make console":
                if variables:  # after Ctrl-C
                    os.kill(console.pid, signal.SIGINT)
                    self.assertEqual((len(lines), console.ended()), (1, 0), console.said())
                elif console is None:
                    self.assertEqual(lines, ["git clone REPOSITORY iorio", "cd iorio", "make console"])
                    copy_tree(tree)
                    console = Console(tree, port, tls_port)
                else:
                    self.assertEqual(lines, ["make console"])
                    self.assertNotEqual(console.ended(), 0, "the node was to be killed before it is started again")
                console.start(variables)
                starts += 1
                continue
            shell = shell or Shell(tree)
            said = shell.run([line.replace(":8080/", f":{port}/").replace(":8443/", f":{tls_port}/").replace(
                "tools/ioriocli.py ", f"tools/ioriocli.py --human -H 127.0.0.1 -P {port} ").replace(
                "tools/apitest.py ", f"tools/apitest.py -P {port} ") for line in lines])
            kills += any(line.startswith("kill -9") for line in lines)
        self.assertEqual((starts, kills), (3, 1))
        self.assertGreaterEqual(outputs, 6)
        self.assertEqual(shell.close(), 0)
        with open(shell.errors, encoding="utf-8") as f:
            self.assertEqual(f.read(), "")
        self.check_console(console, port)

    def check_console(self, console, port):
        """The first terminal said what README.rst promises, and a stop is a clean one."""
        banner = console.said()
        for words in (f"127.0.0.1:{port}", "admin / secret", "auth.admin.password", "rel/db_config/iorio.conf"):
            self.assertIn(words, banner)
        with iorio.Client("127.0.0.1", port, "admin", "secret") as client:
            self.assertEqual(client.head("public", "hello").high, 4)
        os.kill(console.pid, signal.SIGTERM)
        self.assertEqual(console.ended(), 0, console.said())
        if console.real:
            conf = os.path.join(console.tree, "rel", "db_config", "iorio.conf")
            self.assertEqual(os.stat(conf).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    unittest.main()
