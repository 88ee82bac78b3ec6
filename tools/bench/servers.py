"""tools/bench/servers.py - the servers under test: an Iorio node and redis-server.

Each is a child process with a folder of its own under the work folder, started on a free port of the
loopback address and ended by its pid.  A child also dies with this process (PR_SET_PDEATHSIG), so even
kill -9 of the benchmark leaves no server behind.

Failure modes: Wrong means that a server answered something it must not answer (the benchmark is worth
nothing then: exit 1); CannotRun means that there is nothing to measure (exit 2).
"""

import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time

START_S = 30
STOP_S = 10
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
CHILDREN = []


class Wrong(Exception):
    """A wrong result: an answer, a count or a body that must not be."""


class CannotRun(Exception):
    """The benchmark cannot be run here."""


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(command, **more):
    """Start a child in a session of its own: a Ctrl-C reaches only us, and we end it by pid."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True,
                             preexec_fn=die_with_parent, **more)
    CHILDREN.append(child)
    return child


def end(child):
    """SIGTERM, and SIGKILL when that is not enough. True if SIGTERM was enough."""
    graceful = True
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            graceful = False
            child.kill()
            child.wait()
    if child in CHILDREN:
        CHILDREN.remove(child)
    return graceful


def end_all():
    for child in list(CHILDREN):
        if child.poll() is None:
            child.kill()
        end(child)


def last_lines(path, count=15):
    try:
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-count:])
    except OSError:
        return ""


class Server:
    """A process, its folder and its log. Subclasses say how it is started and when it is ready."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder + ".log"  # beside the folder: it outlives the server, for show_logs of run.py
        self.child = None
        self.port = 0
        os.makedirs(folder)

    def wait_ready(self):
        until = time.monotonic() + START_S
        while not self.ready():
            if self.child.poll() is not None:
                raise CannotRun("%s ended with code %d at its start:\n%s"
                                % (self.name, self.child.returncode, last_lines(self.log)))
            if time.monotonic() > until:
                raise CannotRun("%s is not ready after %d s:\n%s"
                                % (self.name, START_S, last_lines(self.log)))
            time.sleep(0.02)

    def launch(self, command, env=None):
        with open(self.log, "ab") as log:
            self.child = spawn(command, stdout=log, stderr=log, env=env, cwd=self.folder)

    def close(self):
        if self.child is not None and not end(self.child):
            print("note: %s had to be killed, %d s after SIGTERM" % (self.name, STOP_S))
        shutil.rmtree(self.folder, ignore_errors=True)


class Node(Server):
    """An Iorio node with its defaults, bar what `settings` says."""

    name = "iorio"

    def __init__(self, binary, folder, settings):
        super().__init__(folder)
        self.data = os.path.join(folder, "data")
        self.pid = 0
        self.token = None
        self.tls_port = 0
        self.binary = binary
        self.conf = conf = os.path.join(folder, "iorio.conf")
        settings = {"http.port": "0", "http.bind": "127.0.0.1", "paths.data": self.data,
                    "log.level": "warning", **settings}
        with open(conf, "w") as out:
            out.writelines("%s = %s\n" % item for item in settings.items())
        # A key may also come from the environment: nothing of the caller's may change the figures.
        env = {k: v for k, v in os.environ.items() if not k.startswith("IORIO_")}
        self.launch([binary, "console", "--conf", conf], env)
        self.wait_ready()

    def ready(self):
        try:
            with open(os.path.join(self.data, "node.run")) as run:
                fields = dict(line.split(None, 1) for line in run.read().splitlines() if " " in line)
            self.pid = int(fields["pid"])
            self.port = int(fields["http"].strip().rpartition(":")[2])
            self.tls_port = int(fields.get("https", ":0").strip().rpartition(":")[2])
            return self.ask("GET", "/ping")[0] == 200
        except (OSError, KeyError, ValueError, Wrong):
            return False

    def ask(self, method, path, body=None, headers=None):
        """One request -> (status, headers, body)."""
        headers = dict(headers or {})
        if self.token:
            headers["X-Session"] = self.token
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Wrong("%s %s was not answered: %r" % (method, path, error)) from error
        finally:
            connection.close()

    def expect(self, status, method, path, body=None):
        got, headers, answer = self.ask(method, path, body)
        if got != status:
            raise Wrong("%s %s: status %d instead of %d: %r" % (method, path, got, status, answer[:300]))
        return headers, answer

    def login(self):
        _, answer = self.expect(201, "POST", "/sessions",
                                json.dumps({"username": "admin", "password": "secret"}))
        self.token = json.loads(answer)["token"]

    def check_event(self, stream, body):
        """Post one event to a new stream and read it back in both ways."""
        path = "/streams/b/" + stream
        _, answer = self.expect(201, "POST", path, body)
        if json.loads(answer)["meta"]["id"] != 1:
            raise Wrong("the first event of a stream has no id 1: %r" % answer)
        if self.expect(200, "GET", path + "/1")[1] != body:
            raise Wrong("an event did not come back byte for byte")
        self.check_last(stream, body, 1)

    def check_last(self, stream, body, high):
        """The newest event of the stream has the id `high` and holds `body`. Returns the answer."""
        headers, answer = self.expect(200, "GET", "/streams/b/%s?limit=1" % stream)
        events = json.loads(answer)
        if headers["Iorio-High"] != str(high) or len(events) != 1 or events[0]["meta"]["id"] != high:
            raise Wrong("stream %s: Iorio-High %s, expected %d, answer %r"
                        % (stream, headers["Iorio-High"], high, answer[:300]))
        if events[0]["data"] != json.loads(body) or body not in answer:
            raise Wrong("stream %s: the newest event is not what was posted: %r" % (stream, answer[:300]))
        return answer

    def kept(self, streams, body):
        """How many events the streams s0, s1, ... hold; the newest of each is checked."""
        total = 0
        for i in range(streams):
            high = int(self.expect(200, "GET", "/streams/b/s%d?limit=0" % i)[0]["Iorio-High"])
            if high > 0:
                self.check_last("s%d" % i, body, high)
            total += high
        return total

    def anonymous_bytes(self):
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise CannotRun("/proc/%d/status has no RssAnon" % self.pid)


class Redis(Server):
    """redis-server with an append-only file that is synced before every answer."""

    name = "redis"

    def __init__(self, folder):
        super().__init__(folder)
        self.socket = None
        self.lines = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # No snapshots and no rewrite of the file in the middle of a round; all else as shipped.
        self.launch(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                     "--dir", folder, "--daemonize", "no", "--save", "", "--appendonly", "yes",
                     "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"])
        self.wait_ready()
        for key, value in (("appendonly", "yes"), ("appendfsync", "always"), ("save", "")):
            if self.ask("CONFIG", "GET", key) != [key.encode(), value.encode()]:
                raise Wrong("redis did not take %s %s" % (key, value))

    def ready(self):
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.port), START_S)
            self.lines = self.socket.makefile("rb")
            return self.ask("PING") == b"PONG"
        except (OSError, Wrong):
            return False

    def close(self):
        if self.socket is not None:
            self.lines.close()
            self.socket.close()
        super().close()

    def ask(self, *words):
        words = [w if isinstance(w, bytes) else w.encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words)
                            + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.reply()

    def reply(self):
        line = self.lines.readline()
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.lines.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        raise Wrong("redis answered %r" % line)

    def kept(self, streams, body):
        """The same as Node.kept, by XLEN."""
        total = 0
        for i in range(streams):
            key = "s%d" % i
            length = self.ask("XLEN", key)
            if length > 0 and self.ask("XREVRANGE", key, "+", "-", "COUNT", "1")[0][1] != [b"d", body]:
                raise Wrong("redis: the newest entry of %s is not what was added" % key)
            total += length
        if b"aof_last_write_status:ok" not in self.ask("INFO", "persistence"):
            raise Wrong("redis could not write its append-only file")
        return total
