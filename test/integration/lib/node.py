"""test/integration/lib/node.py - a real node in a temporary folder, from one test program.

Happy path: node = Node(); node.start() writes iorio.conf, runs `iorio console --conf`
and waits for <data>/node.run to name the process and its port; stop() is a SIGTERM that
must end with exit code 0; kill9() is a SIGKILL. The folder survives restarts and
is removed when the program ends, as is every process that is still there (by pid).

Failure modes: a node that dies by itself, does not get ready or does not stop in time,
or that left a sanitizer's report in its log, is an AssertionError with the end of the log.

Environment: IORIO_BIN (the program, default build/test/src/app/iorio), IORIO_TEST_SLOW
(factor on every limit of time), IORIO_TEST_KEEP=1 (leave the folders). A node never
sees variables of ours that begin with IORIO_.
"""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import iorio  # noqa: E402
from .wire import SLOW, Wire, build  # noqa: E402

START_S = 20 * SLOW
# ARCHITECTURE.md: a graceful stop ends within 5 s.
STOP_S = 5 * SLOW
EXIT_BAD_CONFIG = 78
REPORTS = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: |Assertion .* failed")

_pids = {}
_folders = []


def binary():
    path = os.path.abspath(os.environ.get("IORIO_BIN",
                                          os.path.join(ROOT, "build", "test", "src", "app", "iorio")))
    assert os.access(path, os.X_OK), f"there is no program {path}: build it, or set IORIO_BIN"
    return path


def temp_folder():
    path = tempfile.mkdtemp(prefix="iorio-test-")
    _folders.append(path)
    return path


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def clean_env(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith("IORIO_")}
    env.update(extra or {})
    return env


def alive(pid):
    """Is there such a process, and is it more than a zombie?"""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_until(what, condition, limit_s, step_s=0.005):
    """Ask until it is true; its value. Late is an AssertionError."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {limit_s:g} s for: {what}"
        time.sleep(step_s)


def _started_at(pid):
    """The start time of a process: with it a pid names one process and no later one."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


def track(pid):
    """A process that we caused (a daemon of `iorio start`): killed at the end if still there."""
    _pids[pid] = _started_at(pid)


def _clean_up():
    for pid, started in list(_pids.items()):
        if started is not None and _started_at(pid) == started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    if not os.environ.get("IORIO_TEST_KEEP"):
        for path in _folders:
            shutil.rmtree(path, ignore_errors=True)


def _on_signal(number, _frame):
    sys.exit(128 + number)


atexit.register(_clean_up)
for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, _on_signal)


class Node:
    """conf: keys over the ones below. env: more variables. folder: share one with another Node."""

    # Without metrics of its own: what a test finds in a node is what it put there.
    DEFAULTS = {"http.port": "0", "journal.segment": "4MB", "metrics.interval_s": "0s"}

    def __init__(self, conf=None, env=None, folder=None):
        self.folder = folder or temp_folder()
        self.data = os.path.join(self.folder, "data")
        self.conf_file = os.path.join(self.folder, "iorio.conf")
        self.out_file = os.path.join(self.folder, "stdout")
        self.log_file = os.path.join(self.folder, "stderr")
        self.conf = {**self.DEFAULTS, "paths.data": self.data, **(conf or {})}
        self.env = dict(env or {})
        self.prefix = []  # a program that becomes the node, as `prlimit`
        self.process = None
        self.host = self.port = self.tls_port = None
        self._token = None
        os.makedirs(self.data, mode=0o700, exist_ok=True)

    # --- its life ---

    def write_conf(self):
        with open(self.conf_file, "w", encoding="utf-8") as f:
            f.writelines(f"{k} = {v}\n" for k, v in self.conf.items() if v is not None)

    def spawn(self):
        """Start the process and do not wait for it."""
        assert not self.running(), "the node is running already"
        self.write_conf()
        with open(self.out_file, "ab") as out, open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.prefix, binary(), "console", "--conf", self.conf_file],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                            cwd=self.folder, env=clean_env(self.env))
        track(self.process.pid)
        self.host = self.port = self.tls_port = None

    def start(self):
        self.spawn()
        self.wait_ready()
        return self

    def run_file(self):
        """What node.run says, {"pid": .., "http": "HOST:PORT", "https": ..}; None: there is no such file."""
        try:
            with open(os.path.join(self.data, "node.run"), encoding="utf-8") as f:
                text = f.read()
        except FileNotFoundError:
            return None
        if not text.endswith("\n"):
            return None
        return dict(line.split(" ", 1) for line in text.splitlines())

    def wait_ready(self):
        def ready():
            code = self.process.poll()
            assert code is None, f"the node ended with {code} instead of getting ready\n{self.tail()}"
            run = self.run_file()
            return run if run and run.get("pid") == str(self.process.pid) else None
        try:
            run = wait_until("node.run", ready, START_S)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.tail()}") from None
        for door in ("https", "http"):
            if door in run:
                host, _, port = run[door].rpartition(":")
                self.host = host.strip("[]")
                if door == "http":
                    self.port = int(port)
                else:
                    self.tls_port = int(port)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, limit_s=STOP_S):
        """Wait for the process to end by itself; its exit code."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node did not end within {limit_s:g} s\n{self.tail()}") from None

    def stop(self, how=signal.SIGTERM):
        """A graceful stop: exit code 0, in time, node.run gone, nothing bad in the log."""
        assert self.running(), f"the node ended by itself: {self.process.poll()}\n{self.tail()}"
        os.kill(self.process.pid, how)
        code = self.wait()
        assert code == 0, f"the node stopped with {code}\n{self.tail()}"
        assert self.run_file() is None, "node.run is still there after a clean stop"
        self.check_log()

    def kill9(self):
        assert self.running(), f"the node ended by itself: {self.process.poll()}\n{self.tail()}"
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.check_log()

    def restart(self):
        self.stop()
        return self.start()

    # --- its words ---

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def banner(self):
        with open(self.out_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def tail(self, size=4000):
        text = self.log() if os.path.exists(self.log_file) else ""
        return f"--- end of {self.log_file}\n{text[-size:]}---"

    def check_log(self):
        found = REPORTS.search(self.log())
        assert not found, f"the log has a report: {self.log()[found.start():][:6000]}"

    # --- talking to it ---

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def wire(self, **options):
        """A connection; with tls=CONTEXT (lib/certs.py) to the port for that."""
        return Wire(self.host, self.tls_port if options.get("tls") else self.port, **options)

    def client(self, username="admin", password="secret", **options):
        options.setdefault("timeout", 20 * SLOW)
        return iorio.Client(self.host, self.port, username, password, **options)

    def token(self):
        """A session of the admin; it outlives restarts, as the secret does."""
        if self._token is None:
            with self.client(password=self.conf.get("auth.admin.password", "secret")) as client:
                self._token = client.login()
        return self._token

    def call(self, method, path, body=None, type_=None, headers=(), token=True):
        """One request on a connection of its own. token: True the admin's, None none, or text."""
        headers = list(headers)
        if token is not None:
            headers.append(("X-Session", self.token() if token is True else token))
        if type_ is not None:
            headers.append(("Content-Type", type_))
        with self.wire() as wire:
            wire.send(build(method, path, headers, body))
            return wire.read(method)


def iorio_verb(*args, env=None, cwd=None, limit_s=START_S):
    """Run `iorio VERB ...` to its end; .returncode, .stdout and .stderr as text."""
    return subprocess.run([binary(), *args], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, errors="replace", env=clean_env(env), cwd=cwd,
                          timeout=limit_s, check=False)
