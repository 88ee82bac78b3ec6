#!/usr/bin/env python3
"""test/integration/24_reload.py - SIGHUP: live keys are taken over, others named, a bad file changes nothing, the log is
opened anew; and when a hangup is the end of a terminal. Warnings of chkconfig and of a start."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import JSON, NodeCase  # noqa: E402
from lib.node import ROOT, Node, binary, clean_env, iorio_verb, temp_folder, track, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402


def text_of(path):
    """A file's text; empty when it is not there."""
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def keys_def():
    """{key: when} of config/keys.def."""
    return dict(re.findall(r'^X\(\w+, "([^"]+)", \w+, "[^"]*", \d+, \d+, (\w+),',
                           text_of(os.path.join(ROOT, "config", "keys.def")), re.M))


class Reload(NodeCase):
    def setUp(self):
        super().setUp()
        self.first = dict(self.node.conf)

    def tearDown(self):
        self.node.conf = self.first
        self.hup()
        super().tearDown()

    def hup(self, wanted="config reloaded", **conf):
        """SIGHUP with these keys; the new part of the log, when it has the words."""
        self.node.conf = {**self.node.conf, **{k.replace("__", "."): v for k, v in conf.items()}}
        self.node.write_conf()
        seen = len(self.node.log())
        os.kill(self.node.process.pid, signal.SIGHUP)
        wait_until(wanted, lambda: re.search(rf"{wanted}.*\n", self.node.log()[seen:]), 10 * SLOW, 0.02)
        return self.node.log()[seen:]

    def test_nothing_changed(self):
        """Without a change it says that it was there, and nothing else."""
        said = self.hup()
        self.assertIn(f"config reloaded file={self.node.conf_file}", said)
        self.assertNotIn("key=", said)

    def test_cors(self):
        """CORS on, another origin, off again: from the next request on."""
        origin = [("Origin", "http://a.example.com")]
        self.assertEqual(self.call("OPTIONS", "/ping", headers=origin).status, 405)
        said = self.hup(http__cors__enabled="yes", http__cors__origins="http://a.example.com")
        self.assertIn("taken over key=http.cors.enabled", said)
        self.assertIn("taken over key=http.cors.origins", said)
        self.assertEqual(self.call("OPTIONS", "/ping", headers=origin).get("Access-Control-Allow-Origin"), origin[0][1])
        self.hup(http__cors__origins="http://b.example.com")
        self.assertIsNone(self.get("/ping", headers=origin).get("Access-Control-Allow-Origin"))
        self.hup(http__cors__enabled="no")
        self.assertEqual(self.call("OPTIONS", "/ping", headers=origin).status, 405)

    def test_limits(self):
        """streams.read.max, listen.comet.timeout, auth.session.duration: from the next request on."""
        for n in range(5):
            self.append(b"%d" % n)
        self.assertEqual(len(self.ids("?limit=99")), 5)
        self.hup(streams__read__max="2", listen__comet__timeout="1s", auth__session__duration="2m")
        self.assertEqual(len(self.ids("?limit=99")), 2)
        began = time.monotonic()
        self.assertEqual(self.get(f"/listen?s={self.bucket}:{self.name}").status, 204)
        self.assertLess(time.monotonic() - began, 20 * SLOW)

    def test_log_level(self):
        """log.level: debug shows more, and back."""
        self.assertEqual(self.call("PUT", f"/policies/{self.bucket}", b'{"max_events":100}', JSON).status, 200)
        self.hup(log__level="debug", eviction__interval="1s")
        wait_until("a sweep", lambda: "retention swept" in self.node.log(), 10 * SLOW, 0.1)
        self.hup(log__level="info", eviction__interval="60s")

    def test_metrics(self):
        """metrics.interval_s and where the events go; metrics.public."""
        self.hup(metrics__interval_s="1s", metrics__bucket="own", metrics__stream="m")
        wait_until("an event", lambda: self.get("/streams/own/m").json(), 20 * SLOW, 0.1)
        self.hup(metrics__interval_s="0s")
        before = self.get("/streams/own/m").json()[0]["meta"]["id"]
        time.sleep(1.5)
        self.assertEqual(self.get("/streams/own/m").json()[0]["meta"]["id"], before)

    def test_request_log(self):
        """request_log on, into another file, other words, off."""
        folder = temp_folder()
        one, two = os.path.join(folder, "1"), os.path.join(folder, "2")

        def has(path, words):
            return words in text_of(path)
        self.hup(**{"request_log": "json", "request_log__file": one})
        self.get("/ping?one")
        wait_until("a line", lambda: has(one, '"/ping?one"'), 10 * SLOW)
        self.hup(**{"request_log": "text", "request_log__file": two})
        self.get("/ping?two")
        wait_until("a line", lambda: has(two, " /ping?two 200 "), 10 * SLOW)
        self.hup(**{"request_log": "text", "request_log__file": ""})
        self.get("/ping?three")
        wait_until("a line", lambda: " /ping?three 200 " in self.node.log(), 10 * SLOW)
        said = self.hup("not renewed", **{"request_log": "text", "request_log__file": "/nowhere/x"})
        self.assertIn("request_log.file", said)
        self.get("/ping?four")
        wait_until("a line", lambda: " /ping?four 200 " in self.node.log(), 10 * SLOW)
        self.hup(**{"request_log": "off", "request_log__file": None})
        self.get("/ping?five")
        time.sleep(0.3)
        for path in (one, two):
            self.assertFalse(has(path, "five"))
        self.assertNotIn("/ping?five", self.node.log())

    def test_others_need_a_restart(self):
        """Every other key that changed is named, and goes on as it was; secrets are not shown."""
        workers = len(self.get("/stats").json()["workers"])
        said = self.hup(http__port="1", memory__tail="64MB", auth__admin__password="hide-me", workers=str(workers + 1),
                        streams__read__max="7")
        for key in ("http.port", "memory.tail", "auth.admin.password", "workers"):
            self.assertIn(f"needs a restart key={key}\n", said)
        self.assertNotIn("hide-me", said)
        self.assertIn("taken over key=streams.read.max", said)
        self.assertEqual(self.get("/stats").json()["memory"]["tail"]["max"], 128 << 20)
        self.assertEqual(len(self.get("/stats").json()["workers"]), workers)

    def test_a_bad_file_changes_nothing(self):
        """The words of a start: file, line, key; nothing of it is taken over, not even what is good in it."""
        for line, words in (("http.cors.enabledd = yes", ("http.cors.enabledd", "http.cors.enabled")),
                            ("request.timeout = 5", ("request.timeout", "unit")),
                            ("http.cors.origins = example.com", ("http.cors.origins", "scheme"))):
            with self.subTest(line=line):
                self.node.write_conf()
                with open(self.node.conf_file, "a", encoding="utf-8") as f:
                    f.write("streams.read.max = 3\n" + line + "\n")
                    f.flush()
                number = text_of(self.node.conf_file).count("\n")
                seen = len(self.node.log())
                os.kill(self.node.process.pid, signal.SIGHUP)
                wait_until("the refusal", lambda: "not reloaded" in self.node.log()[seen:], 10 * SLOW, 0.02)
                said = self.node.log()[seen:]
                for word in words + (f"iorio.conf:{number}: ",):
                    self.assertIn(word, said)
                self.append(*[b"1"] * 5)
                self.assertGreater(len(self.ids("?limit=99")), 3)
        os.unlink(self.node.conf_file)
        seen = len(self.node.log())
        os.kill(self.node.process.pid, signal.SIGHUP)
        wait_until("the refusal", lambda: "not reloaded" in self.node.log()[seen:], 10 * SLOW, 0.02)

    def test_under_load(self):
        """Fifty reloads that change texts while requests that read them go on: each answer is of one of the two."""
        origins = ["http://a.example.com", "http://b.example.com:8080"]
        stop = threading.Event()
        wrong = []

        def ask():
            with self.node.wire() as wire:
                while not stop.is_set():
                    answer = wire.request("GET", "/ping", [("Origin", origins[0])])
                    if answer.status != 200 or answer.get("Access-Control-Allow-Origin") not in (None, origins[0]):
                        wrong.append(answer)
        askers = [threading.Thread(target=ask) for _ in range(4)]
        self.hup(http__cors__enabled="yes", http__cors__origins=origins[0])
        for a in askers:
            a.start()
        for n in range(50):
            self.hup(http__cors__origins=origins[n % 2], http__cors__headers=" ".join(["X-Some"] * (n % 7)))
        stop.set()
        for a in askers:
            a.join()
        self.assertEqual(wrong, [])

    def test_live_keys_are_documented(self):
        """What this program tries is marked as live, in the table, in iorio.conf and in operations.rst."""
        live = {key for key, when in keys_def().items() if when == "LIVE"}
        self.assertLessEqual({"http.cors.enabled", "http.cors.origins", "http.cors.headers", "http.cors.maxage", "log.level",
                              "log.file", "request_log", "request_log.file", "streams.read.max", "listen.comet.timeout",
                              "metrics.interval_s", "metrics.public", "eviction.interval"}, live)
        blocks = text_of(os.path.join(ROOT, "config", "iorio.conf")).strip().split("\n\n")
        for key, when in keys_def().items():
            block = next(b for b in blocks if re.search(rf"^{re.escape(key)} =", b, re.M))
            self.assertEqual(" ".join(block.split("\n")[:-1]).replace("# ", "").endswith("Live."), when == "LIVE", key)


class Logs(unittest.TestCase):
    def test_log_file(self):
        """log.file of a console: renamed and opened anew; another name; and back to standard error."""
        folder = temp_folder()
        path = os.path.join(folder, "iorio.log")
        node = Node({"log.file": path})
        node.start()

        def hup(name, **conf):
            node.conf.update({k.replace("__", "."): v for k, v in conf.items()})
            node.write_conf()
            os.kill(node.process.pid, signal.SIGHUP)
            wait_until("a line of the reload", lambda: text_of(name).count("config reloaded") > 0, 10 * SLOW, 0.02)
        self.assertIn("http listening", text_of(path))
        os.rename(path, path + ".1")
        hup(path)
        self.assertNotIn("config reloaded", text_of(path + ".1"))
        hup(path + ".2", log__file=path + ".2")
        self.assertEqual(text_of(path).count("config reloaded"), 1)
        hup(node.log_file, log__file=None)
        node.conf["log.file"] = "/nowhere/x.log"
        node.write_conf()
        os.kill(node.process.pid, signal.SIGHUP)
        wait_until("the refusal", lambda: "not renewed" in node.log(), 10 * SLOW, 0.02)
        self.assertIn("log.file", node.log())
        node.stop()

    def test_in_the_background(self):
        """After `iorio start` SIGHUP opens the log anew and reloads; the node goes on."""
        folder = temp_folder()
        path = os.path.join(folder, "iorio.log")
        node = Node({"log.file": path})
        node.write_conf()
        ended = iorio_verb("start", "--conf", node.conf_file)
        self.assertEqual(ended.returncode, 0, ended)
        pid = int(re.search(r"pid (\d+)", ended.stdout)[1])
        track(pid)
        os.rename(path, path + ".1")
        os.kill(pid, signal.SIGHUP)
        wait_until("a new log", lambda: "config reloaded" in text_of(path), 10 * SLOW, 0.02)
        self.assertEqual(iorio_verb("ping", "--conf", node.conf_file).returncode, 0)
        self.assertEqual(iorio_verb("stop", "--conf", node.conf_file).returncode, 0)
        self.assertIn("app stopped", text_of(path))


class Terminal(unittest.TestCase):
    def console(self, ignore=False):
        """A console in a terminal of its own: (node, process, our end of the terminal)."""
        node = Node()
        node.write_conf()
        master, slave = os.openpty()

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if ignore:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with open(node.log_file, "ab") as log:
            process = subprocess.Popen([binary(), "console", "--conf", node.conf_file], stdin=slave, stdout=slave, stderr=log,
                                       env=clean_env(), preexec_fn=own_terminal)
        track(process.pid)
        os.close(slave)
        wait_until("the node", lambda: (node.run_file() or {}).get("pid") == str(process.pid), 20 * SLOW, 0.02)
        return node, process, master

    def test_hangup(self):
        """kill -HUP reloads a console in a terminal, too; when the terminal goes away the node stops cleanly."""
        node, process, master = self.console()
        os.kill(process.pid, signal.SIGHUP)
        wait_until("the reload", lambda: "config reloaded" in node.log(), 10 * SLOW, 0.02)
        self.assertIsNone(process.poll())
        os.close(master)
        self.assertEqual(process.wait(10 * SLOW), 0)
        self.assertIn("app stopped", node.log())
        self.assertIsNone(node.run_file())

    def test_nohup(self):
        """Where SIGHUP was ignored before the start the end of the terminal is nothing; kill -HUP still reloads."""
        node, process, master = self.console(ignore=True)
        os.close(master)
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        self.assertEqual(iorio_verb("ping", "--conf", node.conf_file).returncode, 0)
        self.assertEqual(iorio_verb("stop", "--conf", node.conf_file).returncode, 0)
        self.assertEqual(process.wait(10 * SLOW), 0)

    def test_without_a_terminal(self):
        """A console without a terminal (systemd, a container): SIGHUP reloads."""
        node = Node()
        node.start()
        os.kill(node.process.pid, signal.SIGHUP)
        wait_until("the reload", lambda: "config reloaded" in node.log(), 10 * SLOW, 0.02)
        self.assertTrue(node.running())
        node.stop()


class Warnings(unittest.TestCase):
    def test_suspicious(self):
        """Strange but allowed: chkconfig warns and says OK, a start warns in the log."""
        node = Node({"http.cors.headers": "X-A", "memory.inflight": "1MB"})
        node.write_conf()
        ended = iorio_verb("chkconfig", "--conf", node.conf_file)
        self.assertEqual((ended.returncode, ended.stdout), (0, "config is OK\n"), ended)
        self.assertIn("warning: http.cors.enabled: ", ended.stderr)
        self.assertIn("warning: memory.inflight: ", ended.stderr)
        node.start()
        self.assertIn("config suspicious key=memory.inflight: ", node.log())
        self.assertEqual(node.call("POST", "/streams/b/s", b"1", JSON).status, 201)
        node.stop()

    def test_shipped_is_silent(self):
        """The shipped configuration has no warning."""
        path = os.path.join(temp_folder(), "defaults.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(iorio_verb("config", "--defaults").stdout)
        ended = iorio_verb("chkconfig", "--conf", path)
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "config is OK\n", ""), ended)


if __name__ == "__main__":
    unittest.main()
