"""tools/ioriocli_lines.py - `ioriocli.py post --lines`: JSON lines of any number, in atomic batches.

Happy path: lines are read until a batch is full, the batch is sent with a key of its own
(Idempotency-Key), and when it is answered the next one is made. At most one batch and one line are in
memory. The key of a batch is PREFIX:LINE, LINE being the number of its first line, so the same input with
the same options has the same keys: what is sent again is not stored again.

Failure modes: a connection that breaks, no answer, a node that is busy or restarts: the batch is sent again
for --retry seconds. A batch that is too large for the node is cut smaller. Whatever ends the run, the last
words say up to which line everything is stored, and how to go on.
"""

import collections
import errno
import itertools
import json
import random
import sys
import time

import iorio
from ioriocli_base import (EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, KEY_WINDOW, Usage, again, dump, exit_code, hint_of,
                           open_data, put, say)

# What a batch may hold: the node's own limit, and half of its default http.body.max.
BATCH_LINES_MAX = 10000
BATCH_BYTES = 4 << 20
# A line is read whole: the largest http.body.max there is, and its line end.
LINE_BYTES_MAX = (1 << 30) + 3
# A node takes keys of 128 bytes; behind the prefix come a colon and the number of a line.
PREFIX_BYTES_MAX = 100
# What JSON calls white space.
BLANK = b" \t\r\n"


class Batch:
    """Lines of the input that travel together: their numbers, and the ones that are not blank."""

    def __init__(self, after):
        self.first = after + 1
        self.last = after
        self.lines = []  # (number, bytes)
        self.size = 0

    def add(self, number, line):
        self.last = number
        if line.strip(BLANK):
            line = line if line.endswith(b"\n") else line + b"\n"
            self.lines.append((number, line))
            self.size += len(line)


class Loader:
    """Sends NDJSON in atomic batches, one after the other, and counts.

    Everything up to input line `stored` is in the stream; `flying` is the batch of
    which no answer is known yet."""

    def __init__(self, client, args):
        self.client = client
        self.args = args
        self.lines_max = args.batch_lines or BATCH_LINES_MAX
        self.bytes_max = args.batch_bytes or BATCH_BYTES
        self.prefix = args.idempotency_key or "%032x" % random.SystemRandom().getrandbits(128)
        self.stored = args.skip or 0
        self.begun_at = self.stored
        self.read = 0
        self.ended = False  # the input is
        self.waiting = collections.deque()  # lines that were read and do not travel yet
        self.flying = None
        self.first_id = self.last_id = None
        self.events = self.batches = self.bytes = self.retries = 0
        self.terminal = sys.stderr.isatty()
        self.progress = args.progress or self.terminal
        self.start = self.shown = time.monotonic()

    def numbered(self, source):
        """(number, line) of every line behind --skip."""
        while True:
            line = source.readline(LINE_BYTES_MAX)
            if not line:
                break
            self.read += 1
            if len(line) == LINE_BYTES_MAX:
                raise OSError(errno.EFBIG, f"line {self.read} is longer than any node takes")
            if self.read > self.begun_at:
                yield self.read, line
        self.ended = True
        if self.read < self.begun_at:
            raise Usage(f"--skip {self.begun_at}, but the input has only {self.read} lines")

    def put_back(self):
        while self.waiting:
            yield self.waiting.popleft()

    def next_batch(self, lines):
        """As many lines as the limits allow, from the first one that is not stored."""
        batch = Batch(self.stored)
        for number, line in itertools.chain(self.put_back(), lines):
            if batch.lines and (len(batch.lines) >= self.lines_max or batch.size + len(line) > self.bytes_max):
                self.waiting.appendleft((number, line))
                break
            batch.add(number, line)
        return batch

    def send(self, batch):
        """One batch; one that is too large for this node is put back, to be cut smaller."""
        self.flying = batch
        lines = [line for _, line in batch.lines]
        try:
            meta = self.client.patiently(
                lambda: self.client.post_batch(self.args.bucket, self.args.stream, lines,
                                               idempotency_key=f"{self.prefix}:{batch.first}"),
                self.args.retry, self.on_retry)
        except iorio.Refused as e:
            if e.status != 413 or len(batch.lines) == 1:
                raise
            self.flying = None
            self.bytes_max = max(1, min(self.bytes_max, batch.size // 2))
            if batch.last > batch.lines[-1][0]:
                self.waiting.appendleft((batch.last, b""))  # blank lines at its end
            self.waiting.extendleft(reversed(batch.lines))
            return
        self.first_id = meta.get("id") if self.first_id is None else self.first_id
        self.last_id = meta.get("last")
        self.events += len(batch.lines)
        self.bytes += batch.size
        self.batches += 1
        self.settle(batch)

    def settle(self, batch):
        self.flying = None
        self.stored = batch.last
        self.show()

    def on_retry(self, error, delay):
        self.retries += 1
        self.end_show()
        again(error, delay)

    def run(self, source):
        lines = self.numbered(source)
        while not self.ended or self.waiting:
            batch = self.next_batch(lines)
            if batch.lines:
                self.send(batch)
            else:
                self.settle(batch)

    def show(self):
        now = time.monotonic()
        if self.progress and now - self.shown >= (0.2 if self.terminal else 1.0):
            self.shown = now
            text = f"line {self.stored}, {self.rates()}"
            if self.terminal:
                say(f"\r{text}\x1b[K", end="")
            else:
                say(text)

    def end_show(self):
        if self.terminal and self.shown != self.start:
            say("\r\x1b[K", end="")

    def rates(self):
        seconds = max(time.monotonic() - self.start, 1e-6)
        return (f"{self.events} events in {seconds:.1f} s "
                f"({self.events / seconds:.0f} events/s, {self.bytes / seconds / 1e6:.1f} MB/s)")

    def summary(self):
        seconds = max(time.monotonic() - self.start, 1e-6)
        return {"first": self.first_id, "last": self.last_id, "events": self.events,
                "lines": self.stored, "batches": self.batches, "bytes": self.bytes, "retries": self.retries,
                "seconds": round(seconds, 3), "rate": round(self.events / seconds, 1)}

    def how_far(self, unknown):
        """For humans: which lines are stored, which are not, which may be."""
        if self.stored > self.begun_at:
            ids = f" (ids {self.first_id}..{self.last_id})" if self.events else ""
            text = f"lines {self.begun_at + 1}..{self.stored} are stored{ids}"
        else:
            text = "no line is stored"
        if self.flying is None:
            return f"{text}; go on with --skip {self.stored}"
        lines = f"lines {self.flying.first}..{self.flying.last}"
        if not unknown:
            return f"{text}; {lines} are not stored; go on with --skip {self.stored}"
        return (f"{text}; {lines} may be stored, no answer says so; within {KEY_WINDOW} go on with "
                f"{self.resume_options()} and nothing is stored twice; later look at the end of the stream before "
                f"you go on with --skip {self.stored}")

    def resume_options(self):
        """What makes a new run cut the batch that has no answer as this run did."""
        options = [f"--skip {self.stored}", f"--idempotency-key {self.prefix}"]
        options += [f"--batch-lines {self.lines_max}"] if self.lines_max != BATCH_LINES_MAX else []
        options += [f"--batch-bytes {self.bytes_max}"] if self.bytes_max != BATCH_BYTES else []
        return " ".join(options)

    def bad_line(self):
        """The first line of the refused batch that is not JSON, as far as Python can tell."""
        for number, line in self.flying.lines if self.flying else ():
            try:
                json.loads(line.decode("utf-8"), parse_constant=reject_constant)
            except (ValueError, RecursionError) as e:
                return f"line {number} is not JSON: {e}"
        return None


def reject_constant(word):
    raise ValueError(f"{word} is not JSON")


def post_lines(client, args):
    if args.content_type is not None:
        raise Usage("-c does not go with --lines: the lines travel as application/x-ndjson")
    if args.data != "-" and not args.data.startswith("@"):
        raise Usage("--lines reads @file or - (standard input)")
    if args.idempotency_key is not None and len(args.idempotency_key) > PREFIX_BYTES_MAX:
        raise Usage(f"with --lines a key has at most {PREFIX_BYTES_MAX} bytes: the number of a line is added")
    loader = Loader(client, args)
    try:
        with open_data(args.data) as source:
            loader.run(source)
    except (iorio.Error, KeyboardInterrupt, OSError) as e:
        loader.end_show()
        return lines_failed(loader, args, e)
    loader.end_show()
    if args.as_json:
        put(dump(loader.summary()))
    elif loader.events == 0:
        put("no events")
    else:
        put(f"ids {loader.first_id}..{loader.last_id}, {loader.rates()}")
    return EXIT_OK


def lines_failed(loader, args, error):
    """Say what is stored. A read error of the input leaves no batch in the air."""
    hint = None
    if isinstance(error, iorio.Error):
        what, code = str(error), exit_code(error)
        unknown = error.unknown_outcome
        hint = loader.bad_line() if error.type == "invalid-body" else None
        hint = hint_of(args, error) if hint is None and not unknown else hint
    elif isinstance(error, KeyboardInterrupt):
        what, code, unknown = "interrupted", EXIT_INTERRUPTED, True
    else:
        what, code, unknown = f"cannot read {args.data}: {error.strerror}", EXIT_USAGE, False
    if args.as_json:
        put(dump(loader.summary()))
    if args.json:
        flying = loader.flying if unknown else None
        more = {"status": getattr(error, "status", None),
                "type": getattr(error, "type", "interrupted" if code == EXIT_INTERRUPTED else "input"),
                "reason": what, "hint": hint, "stored_through_line": loader.stored,
                "unknown_lines": [flying.first, flying.last] if flying else None,
                "go_on": loader.resume_options()}
        say(dump({"error": more}))
        return code
    say(f"ioriocli: {what}")
    if hint is not None:
        say(f"ioriocli: {hint}")
    say(f"ioriocli: {loader.how_far(unknown)}")
    return code
