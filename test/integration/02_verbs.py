#!/usr/bin/env python3
"""test/integration/02_verbs.py - iorio console|start|stop|restart|ping|version|chkconfig|config,
exit codes, the environment, and stopping under load."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.ledger import Ledger  # noqa: E402
from lib.node import (ROOT, STOP_S, Node, alive, clean_env, free_port, iorio_verb, track,  # noqa: E402
                      wait_until)

OK, FAILED, USAGE, BUSY_PORT, IN_USE, FOREIGN, CONFIG = 0, 1, 2, 69, 75, 76, 78


def keys_def():
    """(key, default) of every row of config/keys.def."""
    with open(os.path.join(ROOT, "config", "keys.def"), encoding="utf-8") as f:
        return re.findall(r'^X\(\w+, "([^"]+)", \w+, "([^"]*)"', f.read(), re.M)


class Verbs(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.node = Node()
        self.node.write_conf()

    def tearDown(self):
        if self.node.running():
            self.node.stop()

    def verb(self, *args, **options):
        return iorio_verb(*args, "--conf", self.node.conf_file, **options)

    def refused(self, code, *words, env=None):
        """`console` must end by itself with this code and a message that has these words."""
        self.node.write_conf()
        ended = self.verb("console", env=env)
        self.assertEqual(ended.returncode, code, ended)
        for word in words:
            self.assertIn(word, ended.stderr + ended.stdout)
        return ended

    # --- words without a node ---

    def test_version(self):
        """version prints the version of meson.build and ends with 0."""
        with open(os.path.join(ROOT, "meson.build"), encoding="utf-8") as f:
            version = re.search(r"version: '([0-9.]+)'", f.read())[1]
        ended = iorio_verb("version")
        self.assertEqual((ended.returncode, ended.stderr), (OK, ""))
        self.assertIn(version, ended.stdout)

    def test_usage(self):
        """No verb, an unknown verb and an unknown option are exit code 2 with the usage on stderr."""
        for args in ((), ("dance",), ("console", "--nope"), ("console", "--conf")):
            with self.subTest(args=args):
                ended = iorio_verb(*args)
                self.assertEqual(ended.returncode, USAGE, ended)
                self.assertIn("console", ended.stderr)
                self.assertEqual(ended.stdout, "")

    def test_help(self):
        """--help names every verb on stdout and ends with 0."""
        ended = iorio_verb("--help")
        self.assertEqual(ended.returncode, OK, ended)
        for verb in ("console", "start", "stop", "restart", "ping", "version", "chkconfig", "config",
                     "verify"):
            self.assertIn(verb, ended.stdout)

    def test_defaults(self):
        """config --defaults prints every key with its default, a file that chkconfig accepts."""
        ended = iorio_verb("config", "--defaults")
        self.assertEqual((ended.returncode, ended.stderr), (OK, ""))
        lines = [line.rstrip() for line in ended.stdout.splitlines()]
        for key, default in keys_def():
            matching = [x for x in lines if re.fullmatch(rf"#?\s*{re.escape(key)} =.*", x)]
            self.assertEqual(len(matching), 1, key)
            self.assertTrue(matching[0].endswith(f"= {default}".rstrip()), matching[0])
        path = os.path.join(self.node.folder, "defaults.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(ended.stdout)
        checked = iorio_verb("chkconfig", "--conf", path)
        self.assertEqual(checked.returncode, OK, checked)

    def test_ping_without_a_node(self):
        """ping and stop without a node say `Node is not running!` and end with 1."""
        for verb in ("ping", "stop"):
            ended = self.verb(verb)
            self.assertEqual(ended.returncode, FAILED, ended)
            self.assertIn("Node is not running!", ended.stdout + ended.stderr)

    # --- the configuration ---

    def test_chkconfig(self):
        """chkconfig accepts a good file, comments and blank lines included."""
        with open(self.node.conf_file, "a", encoding="utf-8") as f:
            f.write("\n# a comment\n## another\n   \nhttp.body.max=1MB\n  request.timeout   =  2s  \n")
        self.assertEqual(self.verb("chkconfig").returncode, OK)

    def test_unknown_key(self):
        """An unknown key is exit code 78; the message has file, line, key and the nearest known key."""
        with open(self.node.conf_file, "w", encoding="utf-8") as f:
            f.write("# one\n# two\nhttp.prot = 8080\n")
        for verb in ("chkconfig", "console"):
            ended = self.verb(verb)
            self.assertEqual(ended.returncode, CONFIG, ended)
            for word in ("iorio.conf", "3", "http.prot", "http.port"):
                self.assertIn(word, ended.stderr)

    def test_bad_values(self):
        """A value out of its bounds or of another kind is exit code 78 and names key and value."""
        for key, value in (("http.port", "65536"), ("http.port", "-1"), ("http.port", "http"), ("ring_size", "63"),
                           ("ring_size", "4"), ("http.body.max", "1KB"), ("http.body.max", "8XB"),
                           ("http.body.max", "99999999999999999999GB"), ("request.timeout", "5"),
                           ("request.timeout", "5 parsecs"), ("metrics.public", "maybe"),
                           ("auth.algorithm", "none"), ("auth.secret", "0123456789"), ("log.level", "loud"),
                           ("journal.segment", "100000"), ("workers", "65"), ("workers", "")):
            with self.subTest(key=key, value=value):
                self.node.conf = {"paths.data": self.node.data, key: value}
                self.node.write_conf()
                ended = self.verb("chkconfig")
                self.assertEqual(ended.returncode, CONFIG, ended)
                self.assertIn(key, ended.stderr)
                if key != "auth.secret":
                    self.assertIn(value, ended.stderr)
                else:
                    self.assertNotIn(value, ended.stderr)

    def test_bad_lines(self):
        """A line without `=`, a key given twice, and a missing file are exit code 78."""
        for text in ("http.port\n", "= 5\n", "http.port = 1\nhttp.port = 2\n"):
            with self.subTest(text=text):
                with open(self.node.conf_file, "w", encoding="utf-8") as f:
                    f.write(text)
                self.assertEqual(self.verb("chkconfig").returncode, CONFIG)
        os.unlink(self.node.conf_file)
        ended = self.verb("console")
        self.assertEqual(ended.returncode, CONFIG, ended)
        self.assertIn("iorio.conf", ended.stderr)

    def test_environment(self):
        """Every key is an environment variable, too, and wins over the file."""
        port = free_port()
        self.node.conf["http.port"] = str(free_port())
        self.node.env = {"IORIO_HTTP_PORT": str(port), "IORIO_NODENAME": "env@127.0.0.1",
                         "IORIO_STREAMS_READ_MAX": "2", "IORIO_AUTH_ADMIN_USERNAME": "boss"}
        self.node.start()
        self.assertEqual(self.node.port, port)
        self.assertEqual(self.node.call("GET", "/ping", token=None).json(), {"pong": "env@127.0.0.1"})
        with self.node.client("boss") as client:
            client.post_batch("b", "s", [b"1", b"2", b"3"])
            self.assertEqual([e["data"] for e in client.get("b", "s", limit=3)], [2, 3])

    def test_environment_data(self):
        """IORIO_PATHS_DATA names the data directory."""
        other = os.path.join(self.node.folder, "other")
        os.mkdir(other, 0o700)
        self.node.env = {"IORIO_PATHS_DATA": other}
        self.node.data = other
        self.node.conf["paths.data"] = os.path.join(self.node.folder, "data")
        self.node.start()
        self.assertTrue(os.path.exists(os.path.join(other, "node.run")))
        self.assertEqual(os.listdir(os.path.join(self.node.folder, "data")), [])

    def test_environment_errors(self):
        """A variable that begins with IORIO_ but names no key, or has a bad value, is exit code 78."""
        self.refused(CONFIG, "IORIO_HTTP_PROT", "IORIO_HTTP_PORT", env={"IORIO_HTTP_PROT": "1"})
        self.refused(CONFIG, "99999999", env={"IORIO_HTTP_PORT": "99999999"})

    def test_secret_from_a_file(self):
        """A secret may be given as <key>.file."""
        path = os.path.join(self.node.folder, "password")
        with open(path, "w", encoding="utf-8") as f:
            f.write("from a file\n")
        self.node.conf.update({"auth.admin.password.file": path, "http.bind": "127.0.0.1"})
        self.node.start()
        with self.node.client(password="from a file") as client:
            self.assertEqual(client.session(), "admin")

    # --- what can be in the way ---

    def test_busy_port(self):
        """A port that somebody else has is exit code 69, and the message names the key http.port."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.node.conf["http.port"] = str(port)
            self.refused(BUSY_PORT, "http.port", str(port))
        self.assertIsNone(self.node.run_file())

    def test_port_of_another_node(self):
        """The port of another node is busy, too, although both would share it among their workers."""
        first = Node()
        first.start()
        self.node.conf["http.port"] = str(first.port)
        self.refused(BUSY_PORT, "http.port", str(first.port))
        for _ in range(20):
            self.assertEqual(first.call("GET", "/ping", token=None).status, 200)
        first.stop()

    def test_data_in_use(self):
        """A second node on the same data directory is exit code 75 and does not disturb the first."""
        self.node.start()
        run = self.node.run_file()
        ended = self.verb("console")
        self.assertEqual(ended.returncode, IN_USE, ended)
        self.assertIn(self.node.data, ended.stderr)
        self.assertEqual(self.node.run_file(), run)
        self.assertEqual(self.node.call("GET", "/readyz", token=None).status, 200)

    def test_data_of_another_node(self):
        """Data of a node with another name or ring size is exit code 76 and stays as it is."""
        self.node.start()
        with self.node.client() as client:
            client.post("b", "s", b'"mine"')
        self.node.stop()
        self.node.conf["nodename"] = "other@127.0.0.1"
        self.refused(FOREIGN, "iorio@127.0.0.1", "other@127.0.0.1")
        self.node.conf["nodename"] = None
        self.node.conf["ring_size"] = "128"
        self.refused(FOREIGN, "64", "128")
        self.node.conf["ring_size"] = None
        self.node.start()
        with self.node.client() as client:
            self.assertEqual([e["data"] for e in client.get("b", "s")], ["mine"])

    def test_stale_run_file(self):
        """A node.run that a killed node left behind is nobody running, and no obstacle."""
        self.node.start()
        self.node.kill9()
        self.assertIsNotNone(self.node.run_file())
        ended = self.verb("ping")
        self.assertEqual(ended.returncode, FAILED, ended)
        self.assertIn("Node is not running!", ended.stdout + ended.stderr)
        self.assertEqual(self.verb("stop").returncode, FAILED)
        self.node.start()
        self.assertEqual(self.verb("ping").returncode, OK)

    def test_run_file_of_somebody_else(self):
        """stop ends the process that holds the lock, whatever node.run says, and also when there is none."""
        for text in ("pid {}\nhttp 127.0.0.1:1\n", None):
            self.node.start()
            other = subprocess.Popen(["sleep", "60"])
            track(other.pid)
            path = os.path.join(self.node.data, "node.run")
            if text:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text.format(other.pid))
            else:
                os.unlink(path)
            self.assertEqual(self.verb("stop").returncode, OK)
            self.assertEqual(self.node.wait(), 0)
            self.assertIsNone(other.poll())
            other.kill()
            other.wait()

    # --- console ---

    def test_console_and_ping(self):
        """While a node runs ping prints pong and ends with 0; stop ends the node and then itself."""
        self.node.start()
        ended = self.verb("ping")
        self.assertEqual((ended.returncode, ended.stdout), (OK, "pong\n"), ended)
        ended = self.verb("stop")
        self.assertEqual(ended.returncode, OK, ended)
        self.assertEqual(self.node.wait(), 0)
        self.assertEqual(self.verb("ping").returncode, FAILED)

    def test_banner(self):
        """console prints where it listens, the login while it is the shipped one, and a curl line
        that works when pasted."""
        self.node.start()
        banner = self.node.banner()
        self.assertIn(f"{self.node.host}:{self.node.port}", banner)
        self.assertIn("admin", banner)
        self.assertIn("secret", banner)
        self.assertIn("auth.admin.password", banner)
        curls = re.findall(r"^.*?\b(curl .+)$", banner, re.M)
        self.assertEqual(len(curls), 1, banner)
        pasted = subprocess.run(["bash", "-c", curls[0]], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=20, check=False, env=clean_env())
        self.assertEqual(pasted.returncode, 0, pasted)
        self.assertRegex(pasted.stdout, r"^[\[{]", pasted)
        self.assertNotIn('"type"', pasted.stdout)

    def test_banner_without_the_login(self):
        """With another admin password the banner does not show it, nor the shipped one."""
        self.node.conf.update({"auth.admin.password": "Tr0ub4dor", "http.bind": "127.0.0.1"})
        self.node.start()
        self.assertIn(str(self.node.port), self.node.banner())
        self.assertNotIn("Tr0ub4dor", self.node.banner())
        self.assertNotIn("secret", self.node.banner())

    def test_loopback_only(self):
        """While the admin password is the shipped one a node without http.bind listens on loopback."""
        self.node.start()
        with open("/proc/net/tcp", encoding="ascii") as f:
            listening = [line.split()[1] for line in f if line.split()[3] == "0A"]
        mine = [a for a in listening if int(a.split(":")[1], 16) == self.node.port]
        self.assertEqual({a.split(":")[0] for a in mine}, {"0100007F"})

    def test_signals(self):
        """SIGTERM and SIGINT stop a console cleanly; SIGPIPE does not, nor does SIGHUP where there is no terminal."""
        for how in (signal.SIGTERM, signal.SIGINT):
            self.node.start()
            self.node.stop(how)
        self.node.start()
        for harmless in (signal.SIGPIPE, signal.SIGHUP):
            os.kill(self.node.process.pid, harmless)
            time.sleep(0.05)
            self.assertTrue(self.node.running(), f"{harmless} ended the node: {self.node.process.poll()}")
        self.assertEqual(self.node.call("GET", "/livez", token=None).status, 200)

    def test_signal_during_the_start(self):
        """SIGTERM while the node starts ends it soon, with 0 or by the signal, and harms nothing."""
        for wait_s in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2):
            self.node.spawn()
            time.sleep(wait_s)
            os.kill(self.node.process.pid, signal.SIGTERM)
            self.assertIn(self.node.wait(), (0, -signal.SIGTERM))
        self.node.start()

    def test_relative_data_path(self):
        """A relative paths.data starts at the release folder, never at the working directory."""
        self.node.conf["paths.data"] = "iorio-test-relative-that-is-not-there/x/y"
        self.node.write_conf()
        ended = iorio_verb("chkconfig", "--conf", self.node.conf_file, cwd=self.node.folder)
        self.assertEqual(ended.returncode, OK, ended)
        self.assertEqual([n for n in os.listdir(self.node.folder) if "relative" in n], [])

    # --- stopping under load ---

    def test_stop_under_load(self):
        """SIGTERM while 16 connections append: the node ends with 0 within 5 s, and everything
        acknowledged is there after the start."""
        ledger = Ledger(self.node)
        self.node.start()
        for _ in range(3):
            ledger.begin()
            time.sleep(0.4)
            begin = time.monotonic()
            self.node.stop()
            self.assertLess(time.monotonic() - begin, STOP_S)
            ledger.end()
            self.node.start()
            ledger.check()
        self.assertGreater(ledger.acknowledged, 100)
        ledger.check_all()

    def test_stop_with_idle_and_stuck_clients(self):
        """Idle, half-sent and never-reading clients do not hold up a stop."""
        self.node.start()
        wires = [self.node.wire() for _ in range(20)]
        for wire in wires[10:15]:
            wire.send(b"POST /streams/b/s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n12345")
        with self.node.client() as client:
            for _ in range(20):
                client.post("b", "big", b'"' + b"x" * 1_000_000 + b'"')
        for wire in wires[15:]:
            wire.send((f"GET /streams/b/big?from=1&limit=100 HTTP/1.1\r\nHost: x\r\nX-Session: "
                       f"{self.node.token()}\r\nAccept: application/x-ndjson\r\n\r\n").encode())
        time.sleep(0.1)
        self.node.stop()
        for wire in wires:
            wire.close()


class Daemon(unittest.TestCase):
    """start, restart and stop: the node in the background."""

    def setUp(self):
        self.node = Node()
        self.node.conf["log.file"] = os.path.join(self.node.folder, "iorio.log")
        self.node.write_conf()

    def tearDown(self):
        run = self.node.run_file()
        if run and alive(int(run["pid"])):
            os.kill(int(run["pid"]), signal.SIGTERM)
            wait_until("the node to end", lambda: not alive(int(run["pid"])), STOP_S)

    def verb(self, verb):
        ended = iorio_verb(verb, "--conf", self.node.conf_file)
        run = self.node.run_file()
        if run:
            track(int(run["pid"]))
            host, _, port = run["http"].rpartition(":")
            self.node.host, self.node.port = host, int(port)
        return ended, int(run["pid"]) if run else None

    def test_life(self):
        """start returns when the node answers; restart makes a new process; stop ends it."""
        ended, first = self.verb("start")
        self.assertEqual(ended.returncode, OK, ended)
        self.assertTrue(alive(first))
        with self.node.client() as client:
            self.assertEqual(client.post("b", "s", b"1")["id"], 1)
        self.assertEqual(self.verb("ping")[0].stdout, "pong\n")
        ended, second = self.verb("restart")
        self.assertEqual(ended.returncode, OK, ended)
        self.assertNotEqual(second, first)
        wait_until("the process to end", lambda: not alive(first), STOP_S)
        with self.node.client() as client:
            self.assertEqual(client.post("b", "s", b"2")["id"], 2)
        ended, none = self.verb("stop")
        self.assertEqual((ended.returncode, none), (OK, None), ended)
        wait_until("the process to end", lambda: not alive(second), STOP_S)
        ended, _ = self.verb("ping")
        self.assertEqual(ended.returncode, FAILED)
        self.assertGreater(os.path.getsize(self.node.conf["log.file"]), 0)

    def test_start_twice(self):
        """A second start is exit code 75 and leaves the first node alone."""
        ended, pid = self.verb("start")
        self.assertEqual(ended.returncode, OK, ended)
        again, same = self.verb("start")
        self.assertEqual((again.returncode, same), (IN_USE, pid), again)
        self.assertEqual(self.verb("ping")[0].returncode, OK)

    def test_start_that_fails(self):
        """start ends with the exit code of console; the reason is on stderr or in the log it names."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            self.node.conf["http.port"] = str(s.getsockname()[1])
            self.node.write_conf()
            ended, run = self.verb("start")
        self.assertEqual((ended.returncode, run), (BUSY_PORT, None), ended)
        with open(self.node.conf["log.file"], encoding="utf-8") as f:
            self.assertIn("http.port", ended.stderr + f.read())
        self.assertNotEqual(ended.stderr, "")

    def test_restart_of_nothing(self):
        """restart without a running node starts one."""
        ended, pid = self.verb("restart")
        self.assertEqual(ended.returncode, OK, ended)
        self.assertTrue(alive(pid))

    def test_background(self):
        """The node does not hang on to the terminal or the pipes of `start`, nor to its folder."""
        ended, pid = self.verb("start")
        self.assertEqual(ended.returncode, OK, ended)
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
        self.assertNotEqual(os.getsid(pid), os.getsid(0))

    def test_hangup(self):
        """SIGHUP does not stop a node in the background."""
        ended, pid = self.verb("start")
        self.assertEqual(ended.returncode, OK, ended)
        os.kill(pid, signal.SIGHUP)
        time.sleep(0.05)
        self.assertEqual(self.verb("ping")[0].returncode, OK)


if __name__ == "__main__":
    unittest.main()
