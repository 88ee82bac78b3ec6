"""tools/apitest_ledger.py - what apitest.py sends, and what it knows of it.

Everything random comes from the seed: the names, and the content of an event, which follows from its key. A key
is a number: the writer, a count, and the form (any JSON text, one without line breaks, bytes). An event holds
its key, so whoever reads one can tell what it has to be, byte for byte.

Memory: 8 bytes for each event, in Stream.keys. Thread: any; a Stream has a lock.

Failure modes: what is wrong goes to Problems, which keeps the first ones and counts the rest.
"""

import array
import base64
import hashlib
import json
import random
import re
import threading

SHOWN_MAX = 20
ACKNOWLEDGED = 1 << 63
FORM_ANY, FORM_LINE, FORM_BYTES = 0, 1, 2
COUNT_BITS = 40
KEY = re.compile(rb'\A[\s\[{]*"?k[" :,]+([0-9]{1,16})\b|\A([0-9]{1,16})\Z')
# Characters that a path, a query, JSON or a pattern could stumble over.
NAME_CHARACTERS = "abcXYZ019 _-.~/%:*+?#&=@!,;'\"\\<>[]{}|^`$\u00fc\u00df\u20ac\u6f22\u5b57\U0001f600"


class Problems:
    """What is wrong, in words."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.shown = []

    def add(self, text):
        with self.lock:
            self.count += 1
            if len(self.shown) < SHOWN_MAX:
                self.shown.append(text)


def name(rng):
    """A name of 1 to 24 characters, some of them awkward; never `.` or `..`, never one of PATCH's."""
    text = "".join(rng.choice(NAME_CHARACTERS) for _ in range(rng.randint(1, 24)))
    return text + "x" if text in (".", "..") or text.endswith("-$patch") else text


class Contents:
    """From a key to the bytes of its event."""

    def __init__(self, seed):
        self.seed = str(seed)

    @staticmethod
    def key(writer, count, form):
        return (writer << COUNT_BITS | count) << 2 | form

    def of(self, key):
        digest = hashlib.blake2b(f"{self.seed}/{key}".encode(), digest_size=32)
        sizes, text = digest.digest(), digest.hexdigest()
        pad = text[:sizes[1] % 60] if sizes[1] < 200 else text * (8 if sizes[1] < 250 else 100)
        if key & 3 == FORM_BYTES:
            return b"k %d\0" % key + sizes + b"\r\n\xff" + pad.encode()
        shapes = (f'{{"k":{key},"pad":"{pad}"}}',
                  f'{{"k":{key},"numbers":[1.50e+3,-0,12345678901234567890,0.1],"text":"\u00fc\u20ac\U0001f600 \\u00fc\\n\\"",'
                  f'"pad":"{pad}"}}',
                  f'["k",{key},null,true,[],{{}},"{pad}"]', f'"k {key} {pad}"', str(key),
                  f'{{\n  "k" : {key},\r\n\t"pad":\n"{pad}"\n}}\n')
        shape = shapes[sizes[0] % len(shapes)]
        return (one_line(shape) if key & 3 == FORM_LINE else shape).encode()

    @staticmethod
    def key_of(data):
        """The key that an event holds, None if it holds none."""
        found = KEY.match(data)
        return int(found[1] or found[2]) if found else None


def one_line(text):
    return text.replace("\r", " ").replace("\n", " ")


class Event:
    """An event as it came in a line of NDJSON or in a list, line breaks between the tokens of its text being spaces."""

    __slots__ = ("id", "t", "bucket", "stream", "data")

    def __init__(self, line):
        """ValueError: it is no event."""
        text = line.decode()
        if not text.startswith('{"meta":{'):
            raise ValueError("no meta")
        meta, end = json.JSONDecoder().raw_decode(text, 8)
        tail = text.rstrip("\n")
        if tail[end:end + 8] != ',"data":' or not tail.endswith("}"):
            raise ValueError("no data")
        self.id, self.t = meta.get("id"), meta.get("t")
        self.bucket, self.stream = meta.get("bucket"), meta.get("stream")
        if type(self.id) is not int or type(self.t) is not int:
            raise ValueError("no id or t")
        data = tail[end + 8:-1]
        if meta.get("enc") == "base64":
            self.data = base64.b64decode(json.loads(data), validate=True)
        else:
            self.data = data.encode()


class Stream:
    """What is known of one stream. keys[id - base - 1]: the key of the event, with ACKNOWLEDGED when an append was
    answered so; 0: nobody saw it yet."""

    __slots__ = ("bucket", "name", "base", "keys", "pending", "doubtful", "lock", "acked_high", "final", "events_max")

    def __init__(self, bucket, stream, events_max):
        self.bucket = bucket
        self.name = stream
        self.base = 0          # the last id before this run
        self.keys = array.array("Q")
        self.pending = set()   # keys that were sent and have no answer
        self.doubtful = set()  # keys that may be there twice: tried again when the node had forgotten them
        self.lock = threading.Lock()
        self.acked_high = 0    # the highest id that was acknowledged
        self.final = None      # the last id, when nobody appends any more
        self.events_max = events_max

    def __str__(self):
        return f"{self.bucket!r}/{self.name!r}"

    def begin(self, high):
        self.base = self.acked_high = high

    def send(self, keys):
        with self.lock:
            self.pending.update(keys)

    def give_up(self, keys):
        """The node said no: they are not there."""
        with self.lock:
            self.pending.difference_update(keys)

    def acknowledge(self, first, keys):
        """None, or what is wrong with these ids."""
        with self.lock:
            self.pending.difference_update(keys)
            self.acked_high = max(self.acked_high, first + len(keys) - 1)
            found = [self._note(first + i, key, ACKNOWLEDGED) for i, key in enumerate(keys)]
        return next((text for text in found if text), None)

    def see(self, number, key):
        """Somebody read this event; None, or what is wrong."""
        with self.lock:
            return self._note(number, key, 0)

    def _note(self, number, key, acknowledged):
        at = number - self.base - 1
        if at < 0:
            return f"{self} id {number} was given to a new event, but it is of an earlier one" if acknowledged else None
        if at >= self.events_max:
            return f"{self} id {number} is higher than all that was appended"
        if at >= len(self.keys):
            self.keys.extend(bytes(at + 1 - len(self.keys)))
        old = self.keys[at]
        if old & ~ACKNOWLEDGED not in (0, key):
            return f"{self} id {number} holds event {key}, and it was {old & ~ACKNOWLEDGED} before"
        if acknowledged and old & ACKNOWLEDGED:
            return f"{self} id {number} was given to two appends"
        self.keys[at] = old | key | acknowledged
        return None

    def counts(self):
        """(acknowledged, seen but not acknowledged)"""
        acked = sum(1 for key in self.keys if key & ACKNOWLEDGED)
        return acked, sum(1 for key in self.keys if key) - acked


class Reading:
    """Checks events of one stream that come one after the other."""

    def __init__(self, stream, contents, problems, who, next_id):
        self.stream = stream
        self.contents = contents
        self.problems = problems
        self.who = who
        self.next_id = next_id
        self.last_t = 0
        self.count = 0

    def wrong(self, text):
        self.problems.add(f"{self.who}: {self.stream} {text}")

    def take(self, event, exact=False):
        """One event: its id is the next one, its content is what was sent. Its key, None if it has none."""
        if event.id != self.next_id:
            what = "came again" if event.id < self.next_id else f"came where {self.next_id} was due"
            self.wrong(f"id {event.id} {what}")
        if event.t < self.last_t:
            self.wrong(f"id {event.id}: t went back from {self.last_t} to {event.t}")
        self.next_id = max(self.next_id, event.id + 1)
        self.last_t = max(self.last_t, event.t)
        self.count += 1
        return self.content(event.id, event.data, exact)

    def content(self, number, data, exact):
        """exact: line breaks are as they were sent."""
        key = self.contents.key_of(data)
        if key is None:
            self.wrong(f"id {number} is no event of this test: {data[:200]!r}")
            return None
        due = self.contents.of(key)
        if key & 3 != FORM_BYTES and not exact:
            due = due.replace(b"\r", b" ").replace(b"\n", b" ")
        if data != due:
            at = next((i for i, pair in enumerate(zip(data, due)) if pair[0] != pair[1]), min(len(data), len(due)))
            self.wrong(f"id {number}: changed content: at byte {at} of {len(data)} it is {data[at:at + 60]!r}, sent was "
                       f"{due[at:at + 60]!r} (of {len(due)} bytes)")
            return None
        text = self.stream.see(number, key)
        if text is not None:
            self.problems.add(f"{self.who}: {text}")
        return key


def make_streams(seed, buckets, streams, events_max):
    """Streams with random names; those of a bucket are different, also without case."""
    found = []
    for b in range(buckets):
        rng = random.Random(f"{seed}/bucket/{b}")
        bucket = f"apitest-{seed}-{b}-{name(rng)}"
        names = set()
        while len(names) < streams:
            names.add(name(rng))
        found += [Stream(bucket, text, events_max) for text in sorted(names)]
    return found
