"""test/power/node.py - a real node under the shim, the client that talks to it, and the trace.

Trace: a few connections append at the same time (single events, batches, some larger than one segment of
64 KB) while the shim writes down what the node does to its folder, and this process writes its marks
(expect.py) into the same log. Between its parts the node is stopped, killed at an odd moment and
killed while it starts, so that the log also holds what recovery does, and what a
node inherits from one that died before its sync."""

import fcntl
import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.parse

import disk
from expect import stream_word

STREAMS = [("power", "one"), ("power", "two"), ("power", "zwölf / %"), ("bücket", "three"), ("b", "s")]
START_SECONDS, STOP_SECONDS, FULL_SECONDS = 30, 10, 20


class NodeError(Exception):
    pass


class Log:
    """The log of the shim, as the driver sees it."""

    def __init__(self, path):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def mark(self, lines):
        """One O_APPEND write. Lines stand for things that were true before it."""
        raw = "".join(line + "\n" for line in lines).encode()
        if os.write(self.fd, raw) != len(raw):
            raise NodeError("cannot write %s" % self.path)

    def hold(self):
        """Nobody is between an effect and its record while this is held."""
        fcntl.lockf(self.fd, fcntl.LOCK_EX)

    def release(self):
        fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def close(self):
        os.close(self.fd)


def shim_env(shim, box, log_path, mutant=None, kill=None):
    """IORIO_* are keys of the node's configuration: ours must not reach it."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("IORIO_") and not k.startswith("POWER_")}
    env.update(LD_PRELOAD=shim, POWER_DIR=box, POWER_LOG=log_path)
    # In a sanitized build the shim comes before libasan; leaks at the exit are the business of other tests.
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:detect_leaks=0"
    if mutant:
        env["POWER_MUTANT"] = mutant
    env.update(kill or {})
    return env


class Node:
    """box/data is the data directory; box is POWER_DIR, so that the birth of data/ is seen too."""

    def __init__(self, binary, shim, box, log, out_path, mutant=None):
        self.binary, self.shim, self.box, self.log, self.mutant = binary, shim, box, log, mutant
        self.data = os.path.join(box, "data")
        self.out_path = out_path
        self.conf = out_path + ".conf"
        self.process = self.port = None
        with open(self.conf, "w") as f:
            f.write("http.port = 0\npaths.data = %s\nmetrics.interval_s = 0s\njournal.segment = 64KB\njournal.max_bytes = 256KB\n"
                    "memory.tail = 1MB\nchunk.min_bytes = 256B\nchunk.max_items = 16\nchunk.max_bytes = 16KB\n" % self.data)

    def launch(self, kill=None):
        env = shim_env(self.shim, self.box, self.log.path, self.mutant, kill)
        with open(self.out_path, "ab") as out:
            self.process = subprocess.Popen([self.binary, "console", "--conf", self.conf], env=env, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out)

    def start(self, kill=None):
        """Until it is ready. kill: {"POWER_KILL_AT": "n"}; False when it died of that."""
        self.launch(kill)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            code = self.process.poll()
            if kill and code == -signal.SIGKILL:
                return False
            if code is not None:
                raise NodeError("the node ended with %d: %s" % (code, self.last_words()))
            if self.read_run():
                return True
            time.sleep(0.005)
        self.kill()
        raise NodeError("not ready after %d s: %s" % (START_SECONDS, self.last_words()))

    def read_run(self):
        """node.run may be an old one: the pid in it must be ours."""
        try:
            with open(os.path.join(self.data, "node.run")) as f:
                words = dict(line.split(None, 1) for line in f if len(line.split(None, 1)) == 2)
        except (OSError, ValueError):
            return False
        if words.get("pid", "").strip() != str(self.process.pid) or "http" not in words:
            return False
        self.port = int(words["http"].strip().rpartition(":")[2])
        return True

    def last_words(self):
        with open(self.out_path, errors="replace") as f:
            return " | ".join(f.read().splitlines()[-3:])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NodeError("did not stop within %d s" % STOP_SECONDS)
        if code != 0:
            raise NodeError("exit code %d after SIGTERM: %s" % (code, self.last_words()))

    def kill(self):
        self.log.hold()
        try:
            self.process.kill()
            self.process.wait()
        finally:
            self.log.release()


class Client:
    """One keep-alive connection."""

    def __init__(self, port):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        status, body, _ = self.call("POST", "/sessions", {"Content-Type": "application/json"},
                                    b'{"username":"admin","password":"secret"}')
        if status != 201:
            raise NodeError("login: %d %s" % (status, body[:200]))
        self.token = json.loads(body)["token"]

    def call(self, method, path, headers, body=None):
        self.http.request(method, path, body, headers)
        answer = self.http.getresponse()
        return answer.status, answer.read(), answer.headers

    def close(self):
        self.http.close()

    @staticmethod
    def path(stream):
        return "/streams/%s/%s" % tuple(urllib.parse.quote(part, safe="") for part in stream)

    def append(self, log, stream, payloads):
        """Post, mark before and after."""
        word = stream_word(*stream)
        shas = [hashlib.sha256(p).hexdigest() for p in payloads]
        log.mark(["post %s %s" % (word, " ".join(shas))])
        headers = {"X-Session": self.token}
        headers["Content-Type"] = "application/x-ndjson" if len(payloads) > 1 else "application/json"
        end = time.monotonic() + FULL_SECONDS
        while True:
            status, body, _ = self.call("POST", self.path(stream), headers, b"\n".join(payloads))
            # The journal and the memory are tiny here, so they may be full until a checkpoint ends. Then
            # nothing was appended, and the same post is tried again.
            if status != 503 or json.loads(body).get("type") != "unavailable" or time.monotonic() > end:
                break
            time.sleep(0.02)
        if status != 201:
            raise NodeError("append: %d %s" % (status, body[:200]))
        meta = json.loads(body)["meta"]
        if meta.get("last", meta["id"]) != meta["id"] + len(shas) - 1:
            raise NodeError("%d events got ids %s" % (len(shas), meta))
        log.mark(["ack %s %d %s" % (word, meta["id"] + i, sha) for i, sha in enumerate(shas)])

    def read(self, stream):
        """[(id, sha), ...] of the whole stream, each event by its exact bytes."""
        headers = {"X-Session": self.token}
        status, body, got = self.call("GET", self.path(stream) + "?limit=0", headers)
        if status != 200:
            raise NodeError("read: %d %s" % (status, body[:200]))
        rows = []
        for i in range(int(got["Iorio-Low"]), int(got["Iorio-High"]) + 1):
            status, body, _ = self.call("GET", "%s/%d" % (self.path(stream), i), headers)
            if status != 200:
                raise NodeError("read of id %d: %d %s" % (i, status, body[:200]))
            rows.append((i, hashlib.sha256(body).hexdigest()))
        return rows


def read_all(port):
    client = Client(port)
    events = {stream_word(*stream): client.read(stream) for stream in STREAMS}
    client.close()
    return {word: rows for word, rows in events.items() if rows}


def payload(rng, unique, size):
    """A JSON text of about `size` bytes that is there once in the whole trace."""
    filler = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=max(size - 20, 4)))
    return ('{"n":"%s","x":"%s"}' % (unique, filler)).encode()


def draw(rng, unique):
    """The payloads of one append."""
    dice = rng.random()
    if dice < 0.55:
        return [payload(rng, unique, rng.randrange(30, 500))]
    if dice < 0.70:
        return [payload(rng, unique, rng.randrange(1000, 9000))]
    count = rng.randrange(2, 8)
    return [payload(rng, "%s.%d" % (unique, i), rng.choice((40, 200, 1500))) for i in range(count)]


def big(rng, unique):
    """Larger than one segment: one event, or a batch."""
    if rng.random() < 0.5:
        return [payload(rng, unique, 70000 + rng.randrange(20000))]
    return [payload(rng, "%s.%d" % (unique, i), 6000) for i in range(14)]


class Writers:
    """Some connections that append at the same time. may_die: the shim kills the node in the middle of it."""

    def __init__(self, node, seed, part, count, appends, bigs, may_die=False):
        self.node, self.may_die, self.error, self.acked = node, may_die, None, 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=("%s.%s.%d" % (seed, part, i), "%s.%d" % (part, i),
                        appends // count, bigs if i == 0 else 0)) for i in range(count)]
        for t in self.threads:
            t.start()

    def run(self, seed, name, appends, bigs):
        rng = random.Random(seed)
        kinds = [big] * bigs + [draw] * max(appends - bigs, 0)
        rng.shuffle(kinds)
        try:
            client = Client(self.node.port)
            for i, kind in enumerate(kinds):
                client.append(self.node.log, rng.choice(STREAMS), kind(rng, "%s.%d" % (name, i)))
                with self.lock:
                    self.acked += 1
                time.sleep(rng.choice((0, 0, 0.002, 0.01)))
            client.close()
        except (OSError, http.client.HTTPException) as e:
            if not self.may_die:
                self.error = self.error or NodeError("connection: %r; %s" % (e, self.node.last_words()))
        except Exception as e:  # a thread must not die silently
            self.error = self.error or e

    def join(self):
        """The number of acknowledged appends."""
        for t in self.threads:
            t.join()
        if self.error is not None:
            raise self.error
        return self.acked


def mark_seen(node):
    events = read_all(node.port)
    node.log.mark(["seen %s %d %s" % (word, i, sha) for word, rows in events.items() for i, sha in rows] or ["note empty"])


def writes_since_start(log_path):
    """How many writes the newest process has made."""
    kinds = [r.kind for r in disk.read_log(log_path)]
    return kinds[len(kinds) - kinds[::-1].index("start"):].count("write")


def start_and_die(node, kill_at):
    """False: it was up before its kill_at-th effect."""
    if not node.start({"POWER_KILL_AT": str(kill_at)}):
        return True
    node.kill()
    return False


def trace(node, seed, appends, births=(), connections=4):
    """The whole story; leaves the node stopped. Gives the number of acknowledged appends."""
    rng = random.Random("trace %s" % seed)
    part = appends // 4
    for kill_at in births:  # dies while it makes its folder for the first time
        if not start_and_die(node, kill_at):
            break
    node.start()
    acked = Writers(node, seed, 1, connections, part, 1).join()
    time.sleep(0.15)  # long enough for the journal's idle mark
    acked += Writers(node, seed, 2, connections, part, 1).join()
    node.stop()

    node.start()
    mark_seen(node)
    quiet = writes_since_start(node.log.path)
    node.stop()
    for i in (3, 4):  # dies between a write and its sync
        if node.start({"POWER_KILL_WRITE": str(quiet + rng.randrange(2, max(part // 2, 4)))}):
            acked += Writers(node, seed, i, connections, part, 0, may_die=True).join()
        if node.process.poll() is None:
            node.kill()
    for kill_at in (1, 2, 3, 5, 8):  # dies in recovery
        if not start_and_die(node, kill_at):
            break
    node.start()
    mark_seen(node)
    acked += Writers(node, seed, 5, connections, part // 2, 1).join()
    node.stop()
    return acked


def trace_killed(node, seed, kill_at):
    """A young node dies right after its kill_at-th effect; the next one shows what is there and goes on. Killed in the end."""
    if node.start({"POWER_KILL_AT": str(kill_at)}):
        Writers(node, seed, "before", 2, 24, 2, may_die=True).join()
        node.kill()
    node.start()
    mark_seen(node)
    Writers(node, seed, "after", 2, 6, 1).join()
    node.kill()
