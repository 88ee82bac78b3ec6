"""test/integration/lib/ledger.py - who was told what: the check of "acknowledged means kept".

Writers (threads, one connection each) append events whose content follows from a
key that is used once. An answer 201 goes into the ledger: (stream, id) -> key. A request
without an answer is pending: it may be there once, or not at all; a batch whole or not at all.
check() reads on from the last checked id and compares; check_all() reads everything again.

What is checked: ids dense from 1; every acknowledged event has its id and its content, byte
for byte; no event twice; nothing that nobody sent; a batch is all or none and in one
piece; t never decreases; a writer's ids grow; nothing pending shows up after a check that did not see it.
A Violation says which stream and which id.
"""

import hashlib
import random
import re
import threading
import time

from .node import iorio
from .wire import SLOW, build

LINE = re.compile(rb'\{"meta":\{"id":([0-9]+),"t":([0-9]+)\},"data":(\{"k":"([0-9a-f.]+)".*\})\}\n')


class Violation(AssertionError):
    pass


def content(key):
    """The event of a key: mostly short, now and then some KB."""
    digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    pick = int(digest[:2], 16)
    repeat = 1 if pick < 200 else 8 if pick < 250 else 200
    return f'{{"k":"{key}","pad":"{digest * repeat}"}}'.encode()


class Stream:
    """What is known of one stream."""

    def __init__(self, name):
        self.name = name
        self.path = f"/streams/ledger/{name}"
        self.lock = threading.Lock()
        self.acked = {}     # id -> key, since the last check
        self.pending = []   # tuples of keys, since the last check
        self.keys = []      # keys[id - 1], checked
        self.last_t = 0


class Ledger:
    """node: a Node. streams: how many. writers: how many connections."""

    def __init__(self, node, streams=4, writers=16, seed=0):
        self.node = node
        self.streams = [Stream(f"s{i}") for i in range(streams)]
        self.writers = writers
        self.seed = seed
        self.round = 0
        self.acknowledged = 0
        self.unanswered = 0
        self.survivors = 0   # unanswered ones that turned out to be there
        self.refused = 0     # 503
        self.errors = []
        self._threads = []
        self._stop = threading.Event()

    # --- writing ---

    def begin(self):
        """Let the writers loose on the running node."""
        self.round += 1
        self._stop.clear()
        self.node.token()
        self._threads = [threading.Thread(target=self._write, args=(i,), daemon=True)
                         for i in range(self.writers)]
        for thread in self._threads:
            thread.start()

    def end(self):
        """Wait for the writers; they end by themselves when the node is gone."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30 * SLOW)
            if thread.is_alive():
                raise Violation("a writer hangs: a request got neither an answer nor an end")
        if self.errors:
            raise Violation("; ".join(self.errors[:5]))

    def _write(self, writer):
        rng = random.Random(f"{self.seed}/{self.round}/{writer}")
        headers = [("X-Session", self.node.token())]
        mine = {}  # stream -> the last id this writer was given: the next one is larger
        number = 0
        try:
            wire = self.node.wire()
        except OSError:
            return
        with wire:
            while not self._stop.is_set():
                stream = rng.choice(self.streams)
                size = 1 if rng.random() < 0.9 else rng.randint(2, 20)
                keys = tuple(f"{self.round:x}.{writer:x}.{number + i:x}" for i in range(size))
                number += size
                if not self._append(wire, headers, stream, keys, mine):
                    return

    def _append(self, wire, headers, stream, keys, mine):
        """One request; False when the connection is of no use any more."""
        body = b"\n".join(content(k) for k in keys)
        kind = iorio.JSON if len(keys) == 1 else iorio.NDJSON
        try:
            wire.send(build("POST", stream.path, headers + [("Content-Type", kind)], body))
            answer = wire.read("POST")
        except (OSError, AssertionError):
            with stream.lock:
                stream.pending.append(keys)
                self.unanswered += len(keys)
            return False
        if answer.status == 503:
            with stream.lock:
                stream.pending.append(keys)
                self.refused += 1
            time.sleep(0.02)
            return answer.get("Connection") != "close"
        if answer.status != 201:
            self.errors.append(f"an append was answered {answer}")
            return False
        meta = answer.json()["meta"]
        first, last = meta["id"], meta.get("last", meta["id"])
        with stream.lock:
            if last - first + 1 != len(keys):
                self.errors.append(f"{len(keys)} events were answered {answer.body!r}")
            if first <= mine.get(stream.name, 0):
                self.errors.append(f"{stream.name} id {first} came after {mine[stream.name]}")
            mine[stream.name] = last
            for i, key in enumerate(keys):
                if first + i in stream.acked:
                    self.errors.append(f"{stream.name} id {first + i} was given twice")
                stream.acked[first + i] = key
            self.acknowledged += len(keys)
        return answer.get("Connection") != "close"

    # --- checking ---

    def _read(self, client, stream, from_):
        """(id, key) of every event from an id on, content and order checked."""
        expect = from_
        for line in client.iter_lines("ledger", stream.name, from_=from_, limit=1 << 40):
            found = LINE.fullmatch(line)
            if not found:
                raise Violation(f"{stream.name} after id {expect - 1}: no event of ours: {line[:300]!r}")
            number, t, data, key = int(found[1]), int(found[2]), found[3], found[4].decode()
            if number != expect:
                raise Violation(f"{stream.name}: id {number} where {expect} was due")
            if data != content(key):
                raise Violation(f"{stream.name} id {number}: changed content: {data[:300]!r}")
            if t < stream.last_t:
                raise Violation(f"{stream.name} id {number}: t went back from {stream.last_t} to {t}")
            stream.last_t = t
            expect += 1
            yield number, key

    def check(self):
        """Read what came since the last check and settle it with the ledger."""
        with self.node.client(token=self.node.token()) as client:
            for stream in self.streams:
                self._check(client, stream)

    def _check(self, client, stream):
        before = len(stream.keys)
        acked_keys = {key: number for number, key in stream.acked.items()}
        pending = {key: keys for keys in stream.pending for key in keys}
        there = {}
        for number, key in self._read(client, stream, before + 1):
            if key in there:
                raise Violation(f"{stream.name}: {key} is there twice: ids {there[key]} and {number}")
            if stream.acked.get(number, key) != key:
                raise Violation(f"{stream.name} id {number} holds {key}, "
                                f"but {stream.acked[number]} was acknowledged there")
            if key in acked_keys and acked_keys[key] != number:
                raise Violation(f"{stream.name}: {key} was acknowledged as {acked_keys[key]}, "
                                f"and is id {number}")
            if key not in acked_keys and key not in pending:
                raise Violation(f"{stream.name} id {number}: {key} is from before, or from nobody")
            there[key] = number
            stream.keys.append(key)
        lost = sorted(n for n in stream.acked if n > len(stream.keys) or n <= before)
        if lost:
            raise Violation(f"{stream.name}: {len(lost)} acknowledged events are lost, "
                            f"ids {lost[0]}..{lost[-1]}; the stream ends at {len(stream.keys)}")
        for keys in stream.pending:
            numbers = [there[k] for k in keys if k in there]
            if numbers and numbers != list(range(numbers[0], numbers[0] + len(keys))):
                raise Violation(f"{stream.name}: a batch of {len(keys)} is there in part: {numbers}")
            self.survivors += len(numbers)
        kept = client.head("ledger", stream.name)
        if (kept.low, kept.high) != (1, len(stream.keys)):
            raise Violation(f"{stream.name}: Iorio-Low {kept.low} and Iorio-High {kept.high}, "
                            f"but 1..{len(stream.keys)} are there")
        stream.acked, stream.pending = {}, []

    def check_all(self):
        """Read everything again: every event ever checked is where it was. The events read."""
        count = 0
        with self.node.client(token=self.node.token()) as client:
            for stream in self.streams:
                stream.last_t = 0
                keys = [key for _, key in self._read(client, stream, 1)]
                if keys != stream.keys:
                    at = next((i for i, pair in enumerate(zip(keys, stream.keys)) if pair[0] != pair[1]),
                              min(len(keys), len(stream.keys)))
                    raise Violation(f"{stream.name} id {at + 1} is not what it was, or "
                                    f"{len(keys)} events are there instead of {len(stream.keys)}")
                count += len(keys)
        return count
