#!/usr/bin/env python3
"""test/golden/make.py - make the data directory of one format version that all later ones must read.

    IORIO_BIN=build/release/src/app/iorio python3 test/golden/make.py test/golden/v1

It was run once for each folder here and is not run again: what it made stays as it is. A real node with tiny
limits writes streams of every kind, is killed behind a checkpoint, and its directory is packed: data.tar.xz, and
expected.json with what a client was told. 52_golden.py reads both.
"""
import base64
import json
import os
import sys
import tarfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from lib.case import BINARY, JSON, NDJSON  # noqa: E402
from lib.node import Node, wait_until  # noqa: E402

CONF = {"ring_size": "8", "journal.segment": "64KB", "journal.max_bytes": "1MB", "memory.tail": "1MB",
        "chunk.max_items": "40", "chunk.max_bytes": "16KB", "chunk.min_bytes": "512B"}
LONG = "long-" + "n" * 1000 + "-end"


def path(bucket, stream):
    return f"/streams/{bucket}/{stream}"


def post(node, at, body, type_=JSON, headers=()):
    answer = node.call("POST", at, body, type_, headers)
    assert answer.status == 201, answer


def fill(node):
    """Streams in chunks and small ones; deleted and truncated ones."""
    for i in range(60):
        post(node, path("orders", "chunks"), json.dumps({"n": i, "text": "x" * (i * 7 % 300)}).encode())
    for i in range(30):
        post(node, path("orders", "binary"), bytes((i * j) % 256 for j in range(200 + i)), BINARY)
    post(node, path("orders", "batch"), b"".join(b'{"line":%d}\n' % i for i in range(25)), NDJSON)
    post(node, path("orders", "large"), b'"' + b"L" * 40000 + b'"')
    for i in range(3):
        post(node, path("orders", "small"), b"%d" % i)
        post(node, path("caf%C3%A9", "%E2%82%AC"), '{"price":"€"}'.encode())
        post(node, path("orders", LONG), b"[%d]" % i)
        post(node, path("orders", LONG + "er"), b"[%d]" % i)
    post(node, path("orders", "empty-event"), b"", BINARY)
    for i in range(50):
        post(node, path("orders", "truncated"), json.dumps({"n": i, "text": "t" * 150}).encode())
        post(node, path("orders", "deleted"), json.dumps({"n": i, "text": "d" * 50}).encode())
    for i in range(4):
        post(node, path("orders", "keys"), b'{"k":%d}' % i, headers=[("Idempotency-Key", f"key-{i}")])
    assert node.call("DELETE", path("orders", "truncated") + "?to=33").status == 204
    assert node.call("DELETE", path("orders", "deleted")).status == 204
    post(node, path("orders", "deleted-small"), b"1")
    assert node.call("DELETE", path("orders", "deleted-small")).status == 204


def more(node):
    """What no checkpoint saves."""
    for i in range(3):
        post(node, path("orders", "chunks"), b'{"tail":%d}' % i)
        post(node, path("orders", "small"), b'{"tail":%d}' % i)
        post(node, path("orders", "new"), b'{"tail":%d}' % i)
    assert node.call("DELETE", path("orders", "truncated") + "?to=40").status == 204
    post(node, path("orders", "deleted-small"), b'"again"')
    post(node, path("orders", "keys"), b'{"k":"tail"}', headers=[("Idempotency-Key", "key-tail")])


def checkpoints(node):
    text = node.call("GET", "/metrics", token=None).body.decode()
    return int(next(x for x in text.split("\n") if x.startswith("iorio_checkpoints_total ")).split()[1])


def read(node):
    """Everything a client can see: {bucket/stream: {"low":, "high":, "events": {id: [type, base64, t]}}}."""
    found = {}
    names = ["chunks", "binary", "batch", "large", "small", LONG, LONG + "er", "empty-event", "truncated", "deleted",
             "keys", "deleted-small", "new"]
    for at in [path("orders", n) for n in names] + [path("caf%C3%A9", "%E2%82%AC")]:
        head = node.call("HEAD", at)
        stream = {"status": head.status, "low": int(head.get("Iorio-Low") or 0),
                  "high": int(head.get("Iorio-High") or 0), "events": {}}
        for n in range(1, stream["high"] + 1):
            one = node.call("GET", f"{at}/{n}")
            if one.status == 200:
                stream["events"][n] = [one.get("Content-Type"), base64.b64encode(one.body).decode()]
            else:
                assert one.status == 404 or n < stream["low"], one
        found[at] = stream
    return found


def pack(folder, data):
    def owner(info):
        info.uid = info.gid = 0
        info.uname = info.gname = "iorio"
        return None if os.path.basename(info.name) in ("lock", "node.run", "catalog.mdb-lock") else info
    with tarfile.open(os.path.join(folder, "data.tar.xz"), "w:xz", preset=9) as tar:
        tar.add(data, "data", filter=owner)


def main():
    folder = sys.argv[1]
    node = Node(CONF)
    node.start()
    fill(node)
    before = checkpoints(node)
    n = 0
    while checkpoints(node) == before or n < 10:
        post(node, path("orders", "chunks"), b'{"filler":%d}' % n)
        n += 1
        assert n < 500
    wait_until("a checkpoint", lambda: checkpoints(node) > before, 20)
    time.sleep(0.5)
    more(node)
    content = {"conf": CONF, "lists": json.loads(node.call("GET", "/streams/orders/").body), "streams": read(node)}
    time.sleep(0.3)
    node.kill9()
    pack(folder, node.data)
    with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
        json.dump(content, f, indent=0, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    main()
