#!/usr/bin/env -S python3 -IS
"""test/power/toy.py - a toy node for selftest.py: the smallest thing that keeps the word of a node, and,
with TOY_BUG set, ways of not keeping it. As `toy.py console --conf FILE` it serves the part of the API
that node.py uses; as `toy.py DIR` it is a checker command.

Journal: files of 64 KB of zeros (more for a large batch), synced together with their names before use;
batches on 512-byte boundaries, each with number, length and crc, written and synced one after the other.
TOY_BUG:
  no-fsync    files are never synced         no-dirsync  folders are never synced
  ack-early   answers, then syncs            no-crc      recovery believes the length alone
  split       a batch is several records     rename      a new file is renamed without a sync of it
  no-resync   recovery does not sync what it found and will show"""

import hashlib
import http.server
import json
import os
import signal
import struct
import sys
import threading
import urllib.parse
import zlib

BUG = os.environ.get("TOY_BUG", "")
HEAD = struct.Struct("<4sIII")
SEGMENT = 65536


def sync_file(fd):
    if BUG != "no-fsync":
        os.fdatasync(fd)


def sync_dir(path):
    if BUG not in ("no-fsync", "no-dirsync"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(fd)
        os.close(fd)


class Journal:
    def __init__(self, folder):
        self.folder, self.lock = folder, threading.Lock()
        self.streams = {}  # (bucket, stream) -> [payload, ...]
        self.segment = self.number = self.at = 0
        self.fd, self.size, self.unsynced = -1, 0, False
        os.makedirs(folder, exist_ok=True)
        sync_dir(os.path.join(folder, ".."))
        self.identity()
        self.recover()

    def identity(self):
        path, temp = os.path.join(self.folder, "identity"), os.path.join(self.folder, "identity.new")
        if not os.path.exists(path):
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.write(fd, b"toy node\n")
            if BUG != "rename":
                sync_file(fd)
            os.close(fd)
            os.rename(temp, path)
        with open(path, "rb") as f:
            if f.read() != b"toy node\n":
                sys.exit("identity is damaged")
        sync_dir(self.folder)

    def path(self, n):
        return os.path.join(self.folder, "%06d.seg" % n)

    def recover(self):
        n = 1
        while os.path.exists(self.path(n)):
            fd = os.open(self.path(n), os.O_RDWR)
            if BUG != "no-resync":
                sync_file(fd)
            size, found = os.fstat(fd).st_size, self.scan(fd)
            if found < 0:
                os.close(fd)
                break
            if self.fd >= 0:
                os.close(self.fd)
            self.fd, self.segment, self.at, self.size = fd, n, found, size
            n += 1
        if BUG != "no-resync":
            sync_dir(self.folder)

    def scan(self, fd):
        """Take the batches of a segment; where they end, or -1 when there is none."""
        raw, at, any_found = os.pread(fd, 1 << 24, 0), 0, False
        while at + HEAD.size <= len(raw):
            magic, number, size, crc = HEAD.unpack_from(raw, at)
            body = raw[at + HEAD.size:at + HEAD.size + size]
            if magic != b"toy1" or number != self.number + 1 or len(body) != size:
                break
            if BUG != "no-crc" and zlib.crc32(body) != crc:
                break
            for line in body.decode("utf-8", "replace").splitlines():
                try:
                    bucket, stream, payload = json.loads(line)
                except ValueError:
                    bucket, stream, payload = "bad", "bad", line
                self.streams.setdefault((bucket, stream), []).append(payload.encode())
            self.number, any_found = number, True
            at += (HEAD.size + size + 511) & ~511
        return at if any_found else -1

    def new_segment(self, need):
        size = max(SEGMENT, (need + 511) & ~511)
        fd = os.open(self.path(self.segment + 1), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.pwrite(fd, bytes(size), 0)
        sync_file(fd)
        sync_dir(self.folder)
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.segment, self.at, self.size = fd, self.segment + 1, 0, size

    def write(self, key, payloads):
        body = b"".join(json.dumps([*key, p.decode()]).encode() + b"\n" for p in payloads)
        need = HEAD.size + len(body)
        if self.fd < 0 or self.at + need > self.size:
            self.new_segment(need)
        raw = HEAD.pack(b"toy1", self.number + 1, len(body), zlib.crc32(body)) + body
        os.pwritev(self.fd, [raw[:100], raw[100:]], self.at)
        self.number += 1
        self.at += (need + 511) & ~511

    def append(self, key, payloads):
        """The first id."""
        with self.lock:
            if self.unsynced:
                sync_file(self.fd)
            for part in [[p] for p in payloads] if BUG == "split" else [payloads]:
                self.write(key, part)
            self.unsynced = BUG == "ack-early"
            if not self.unsynced:
                sync_file(self.fd)
            rows = self.streams.setdefault(key, [])
            rows += payloads
            return len(rows) - len(payloads) + 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    journal = None

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def key(self):
        parts = urllib.parse.urlsplit(self.path).path.split("/")
        return tuple(urllib.parse.unquote(p) for p in parts[2:4]), parts[4:]

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/sessions":
            return self.answer(201, b'{"token":"t"}')
        batch = self.headers["Content-Type"] == "application/x-ndjson"
        payloads = body.split(b"\n") if batch else [body]
        first = self.journal.append(self.key()[0], payloads)
        meta = {"id": first, "last": first + len(payloads) - 1} if batch else {"id": first}
        return self.answer(201, json.dumps({"meta": meta}).encode())

    def do_GET(self):
        key, rest = self.key()
        rows = self.journal.streams.get(key, [])
        if rest:
            return self.answer(200, rows[int(rest[0]) - 1])
        return self.answer(200, b"[]", [("Iorio-Low", "1"), ("Iorio-High", str(len(rows)))])


def serve(conf):
    with open(conf) as f:
        folder = dict(line.strip().split(" = ") for line in f)["paths.data"]
    Handler.journal = Journal(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with open(os.path.join(folder, "node.run"), "w") as f:
        f.write("pid %d\nhttp 127.0.0.1:%d\n" % (os.getpid(), server.server_address[1]))
    server.serve_forever(poll_interval=0.02)
    os.unlink(os.path.join(folder, "node.run"))


def show(folder):
    for (bucket, stream), rows in Journal(folder).streams.items():
        for i, payload in enumerate(rows, 1):
            print("%s\t%s\t%d\t%s" % (bucket, stream, i, hashlib.sha256(payload).hexdigest()))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    if sys.argv[1] == "console":
        serve(sys.argv[3])
    else:
        show(sys.argv[1])
