#!/usr/bin/env python3
"""tools/ioriocli.py - Iorio DB from the command line (Python 3 standard library, iorio.py).

Happy path: parse the line, log in (admin/secret unless told otherwise), one call,
print: JSON when --json or when the output is no terminal, else for humans.

Exit codes, also in --help:
    0  done
    1  the node refused (status 4xx or 5xx, no permission and wrong login included)
    2  wrong usage, or an input file that cannot be read
    3  no connection, no answer in time, or an answer that is not from an Iorio DB node
    4  not found: there is no such event (404), or it is gone (410)
    5  listen --strict: events were removed before they could be delivered
  130  interrupted by Ctrl-C
  141  the reader of the output went away (as any tool in a pipe)
Whatever goes wrong is one line on standard error that begins with "ioriocli: "
(with --json an object with "error"). `post --lines` also says up to which line of
the input everything is stored, so that --skip can go on from there.
"""

import argparse
import datetime
import errno
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import iorio  # noqa: E402  (the module beside this file)

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_CONNECTION, EXIT_NOT_FOUND = 0, 1, 2, 3, 4
EXIT_GAP = 5
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141

# What a batch of --lines may hold: the node's own limit, and half of its default http.body.max.
BATCH_LINES_MAX = 10000
BATCH_BYTES = 4 << 20
# A line is read whole: the largest http.body.max there is, and its line end.
LINE_BYTES_MAX = (1 << 30) + 3
# `get --limit all`: more than a stream will ever hold, and exact in every JSON reader.
LIMIT_ALL = (1 << 53) - 1
# The node takes no more in one request.
LISTEN_STREAMS_MAX = 64
# What JSON calls white space.
BLANK = b" \t\r\n"


class Usage(Exception):
    """The command line makes sense to argparse but not to us: exit 2."""


# --- output ---

def put(text):
    """A line on standard output, in UTF-8 whatever the locale is."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")


def say(text, end="\n"):
    """A line on standard error; a standard error that is gone is no reason to fail."""
    try:
        print(text.encode("utf-8", "backslashreplace").decode("utf-8", "replace"),
              end=end, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def when(t_ms):
    """Unix time in ms as text in UTC; what is out of range stays a number."""
    try:
        moment = datetime.datetime.fromtimestamp(t_ms / 1000, datetime.timezone.utc)
        return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{t_ms % 1000:03d}Z"
    except (TypeError, ValueError, OverflowError, OSError):
        return str(t_ms)


def complain(args, error):
    if args.json:
        what = {"status": error.status, "type": error.type, "reason": error.reason}
        say(dump({"error": what}))
    else:
        hint = ""
        if error.type == "unauthorized":
            hint = "; give -u USER and -p PASSWORD"
        elif error.type == "no-perm":
            hint = "; the token may have ended, or this user (-u) may not do it"
        say(f"ioriocli: {error}{hint}")


# --- post ---

def open_data(data):
    """The bytes that DATA names, as a file: "-" standard input, "@path" a file."""
    if data == "-":
        return sys.stdin.buffer
    try:
        return open(data[1:], "rb")
    except OSError as e:
        raise Usage(f"cannot read {data[1:]}: {e.strerror}") from None


def read_data(data):
    if data != "-" and not data.startswith("@"):
        return os.fsencode(data)
    try:
        with open_data(data) as f:
            return f.read()
    except OSError as e:
        raise Usage(f"cannot read {data}: {e.strerror}") from None


def cmd_post(client, args):
    if args.lines:
        return post_lines(client, args)
    for name in ("skip", "batch_lines", "batch_bytes"):
        if getattr(args, name) is not None:
            raise Usage(f"--{name.replace('_', '-')} goes with --lines only")
    body = read_data(args.data)
    meta = client.post(args.bucket, args.stream, body, args.content_type or iorio.JSON)
    if args.as_json:
        put(dump({"meta": meta}))
    elif "last" in meta:
        put(f"{args.bucket}/{args.stream} {meta.get('id')}..{meta['last']}  {when(meta.get('t'))}")
    else:
        put(f"{args.bucket}/{args.stream} {meta.get('id')}  {when(meta.get('t'))}")
    return EXIT_OK


def cmd_patch(client, args):
    body = read_data(args.data)
    meta = client.patch(args.bucket, args.stream, body, args.content_type or iorio.PATCH,
                        if_match=args.if_match)
    if args.as_json:
        put(dump({"meta": meta}))
    else:
        put(f"{args.bucket}/{args.stream} {meta.get('id')}  {when(meta.get('t'))}")
    return EXIT_OK


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

    def halves(self):
        middle = len(self.lines) // 2
        a, b = Batch(self.first - 1), Batch(self.lines[middle - 1][0])
        for number, line in self.lines[:middle]:
            a.add(number, line)
        for number, line in self.lines[middle:]:
            b.add(number, line)
        b.last = self.last
        return a, b


class Loader:
    """Sends NDJSON in atomic batches, one after the other, and counts.

    Everything up to input line `stored` is in the stream; `flying` is the batch of
    which no answer is known yet. At most one batch and one line are in memory."""

    def __init__(self, client, args):
        self.client = client
        self.args = args
        self.lines_max = args.batch_lines or BATCH_LINES_MAX
        self.bytes_max = args.batch_bytes or BATCH_BYTES
        self.stored = args.skip or 0
        self.begun_at = self.stored
        self.flying = None
        self.first_id = self.last_id = None
        self.events = self.batches = self.bytes = 0
        self.terminal = sys.stderr.isatty()
        self.progress = args.progress or self.terminal
        self.start = self.shown = time.monotonic()

    def batches_of(self, source):
        batch = Batch(self.stored)
        number = 0
        while True:
            line = source.readline(LINE_BYTES_MAX)
            if not line:
                break
            number += 1
            if len(line) == LINE_BYTES_MAX:
                raise OSError(errno.EFBIG, f"line {number} is longer than any node takes")
            if number <= self.begun_at:
                continue
            full = len(batch.lines) >= self.lines_max or batch.size + len(line) > self.bytes_max
            if batch.lines and full:
                yield batch
                batch = Batch(number - 1)
            batch.add(number, line)
        if number < self.begun_at:
            raise Usage(f"--skip {self.begun_at}, but the input has only {number} lines")
        yield batch

    def send(self, batch):
        """Send it; a batch that is too large for this node goes in halves."""
        if batch.lines:
            self.flying = batch
            try:
                meta = self.client.post_batch(self.args.bucket, self.args.stream,
                                              [line for _, line in batch.lines])
            except iorio.Refused as e:
                if e.status != 413 or len(batch.lines) == 1:
                    raise
                self.flying = None
                self.bytes_max = max(1, min(self.bytes_max, batch.size // 2))
                for half in batch.halves():
                    self.send(half)
                return
            self.first_id = meta.get("id") if self.first_id is None else self.first_id
            self.last_id = meta.get("last")
            self.events += len(batch.lines)
            self.bytes += batch.size
            self.batches += 1
        self.flying = None
        self.stored = batch.last
        self.show()

    def run(self, source):
        for batch in self.batches_of(source):
            self.send(batch)

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
                "lines": self.stored, "batches": self.batches, "bytes": self.bytes,
                "seconds": round(seconds, 3), "rate": round(self.events / seconds, 1)}

    def how_far(self, unknown):
        """For humans: which lines are stored, which are not, which may be."""
        if self.stored > self.begun_at:
            ids = f" (ids {self.first_id}..{self.last_id})" if self.events else ""
            text = f"lines {self.begun_at + 1}..{self.stored} are stored{ids}"
        else:
            text = "no line is stored"
        if self.flying is not None:
            may = "may be stored, no answer says so" if unknown else "are not stored"
            text += f"; lines {self.flying.first}..{self.flying.last} {may}"
        look = "look at the end of the stream, then " if unknown and self.flying else ""
        return f"{text}; {look}go on with --skip {self.stored}"

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
    if isinstance(error, iorio.Error):
        what, code, unknown = str(error), exit_code(error), error.unknown_outcome
    elif isinstance(error, KeyboardInterrupt):
        what, code, unknown = "interrupted", EXIT_INTERRUPTED, True
    else:
        what, code, unknown = f"cannot read {args.data}: {error.strerror}", EXIT_USAGE, False
    hint = loader.bad_line() if getattr(error, "type", None) == "invalid-body" else None
    if args.as_json:
        put(dump(loader.summary()))
    if args.json:
        flying = loader.flying
        more = {"status": getattr(error, "status", None),
                "type": getattr(error, "type", "interrupted" if code == 130 else "input"),
                "reason": what, "hint": hint, "stored_through_line": loader.stored,
                "unknown_lines": [flying.first, flying.last] if flying and unknown else None}
        say(dump({"error": more}))
        return code
    say(f"ioriocli: {what}")
    if hint is not None:
        say(f"ioriocli: {hint}")
    say(f"ioriocli: {loader.how_far(unknown)}")
    return code


# --- get ---

def cmd_get(client, args):
    if args.raw:
        return get_raw(client, args)
    limit, from_ = args.limit or 10, args.from_
    if limit == "all":
        limit = LIMIT_ALL
        from_ = 1 if from_ is None else from_
    lines = client.iter_lines(args.bucket, args.stream, from_, limit, args.to)
    out = sys.stdout.buffer
    if args.ndjson:
        for line in lines:
            out.write(line)
    elif args.as_json:
        separator = b"["
        for line in lines:
            out.write(separator + line.rstrip(b"\n"))
            separator = b","
        out.write(b"]\n" if separator == b"," else b"[]\n")
    else:
        for line in lines:
            put_event(line)
    return EXIT_OK


def put_event(line):
    """One event for humans: id and time, then the content, indented."""
    try:
        event = json.loads(line)
        meta, data = event["meta"], event["data"]
        place = f"{meta['bucket']}/{meta['stream']} " if "bucket" in meta else ""
        head = f"{place}{meta['id']}  {when(meta['t'])}"
    except (ValueError, KeyError, TypeError, RecursionError):
        raise iorio.BadAnswer("a line of the answer is no event") from None
    if meta.get("enc") == "base64":
        put(f"{head}  binary, base64:")
        put(f"  {data}")
    else:
        put(head)
        for text in json.dumps(data, ensure_ascii=False, indent=2).split("\n"):
            put(f"  {text}")


def get_raw(client, args):
    """The exact bytes of one event: --from names it, without it the last one."""
    if args.limit is not None or args.to is not None or args.ndjson:
        raise Usage("--raw gives one event: it goes with --from only")
    event = args.from_
    if event is None or event < 0:
        kept = client.head(args.bucket, args.stream)
        event = kept.high if event is None else max(kept.low, kept.high + event + 1)
        if kept.high < kept.low:
            raise iorio.NotFound(404, "not-found", "the stream holds no event")
    body, _ = client.raw(args.bucket, args.stream, event)
    sys.stdout.buffer.write(body)
    return EXIT_OK


# --- listen ---

class Gap(Exception):
    """Events are missing, and --strict was given."""


def stream_of(text, from_):
    """BUCKET/STREAM: the first slash divides, so a stream may have more of them."""
    bucket, slash, stream = text.partition("/")
    if not slash or not bucket or not stream:
        raise Usage(f"{text!r} is no BUCKET/STREAM")
    return bucket, stream, from_


def cmd_listen(client, args):
    """Events as they come, one a line, until --count, --wait or Ctrl-C."""
    streams = [stream_of(text, args.from_) for text in args.streams]
    if len(streams) > LISTEN_STREAMS_MAX:
        raise Usage(f"at most {LISTEN_STREAMS_MAX} streams at once")

    def on_gap(gap):
        what = "the cursor was not accepted" if gap == "*" else f"events were removed before they came: {gap}"
        if args.strict:
            raise Gap(what)
        say(f"ioriocli: {what}")

    left = args.count
    try:
        for line in client.listen_lines(streams, args.cursor, args.wait, on_gap):
            if args.as_json:
                sys.stdout.buffer.write(line)
            else:
                put_event(line)
            sys.stdout.flush()
            left = None if left is None else left - 1
            if left == 0:
                break
    except Gap as e:
        say(f"ioriocli: {e}")
        return EXIT_GAP
    return EXIT_OK


# --- lists ---

def cmd_list_buckets(client, args):
    return put_list(client.list_buckets(args.after, args.limit, args.match, args.info), args)


def cmd_list_streams(client, args):
    answer = client.list_streams(args.bucket, args.after, args.limit, args.match, args.info)
    return put_list(answer, args)


def put_list(answer, args):
    if answer.get("status") != "ok":
        say("ioriocli: the list is not complete: a part of the cluster did not answer in time")
    if args.as_json:
        put(dump(answer))
        return EXIT_OK
    for item in answer["data"]:
        if isinstance(item, dict):
            numbers = "  ".join(f"{k} {item[k]}" for k in ("low", "high", "events", "bytes")
                                if k in item)
            put(f"{item.get('name')}  {numbers}".rstrip())
        else:
            put(str(item))
    return EXIT_OK


# --- the command line ---

def whole(minimum, maximum):
    def parse(text):
        value = int(text)
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"{text} is not in {minimum}..{maximum}")
        return value
    parse.__name__ = "number"
    return parse


def limit_or_all(text):
    return "all" if text == "all" else whole(1, LIMIT_ALL)(text)


def seconds(text):
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait")
    return value


def header_text(text):
    if not text or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError("only printable ASCII can travel in a header")
    return text


def add_common(parser, top):
    """The options that every verb takes, before or after the verb."""
    def default(value):
        return value if top else argparse.SUPPRESS
    parser.add_argument("--verbose", "-v", action="store_true", default=default(False),
                        help="show requests and answers on standard error")
    parser.add_argument("-u", "--username", default=default("admin"),
                        help="username used for authentication (admin)")
    parser.add_argument("-p", "--password", default=default("secret"),
                        help="password used for authentication (secret)")
    parser.add_argument("-t", "--token", type=header_text, default=default(None),
                        help="token from an already authenticated user (instead of -u and -p)")
    parser.add_argument("-H", "--host", default=default("127.0.0.1"),
                        help="host where ioriodb is running (127.0.0.1)")
    parser.add_argument("-P", "--port", type=whole(1, 65535), default=default(8080),
                        help="port where ioriodb is running (8080)")
    parser.add_argument("--timeout", type=seconds, default=default(30.0), metavar="SECONDS",
                        help="longest wait for an answer (30)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", default=default(False),
                      help="print JSON (the default when the output is no terminal)")
    form.add_argument("--human", action="store_true", default=default(False),
                      help="print for humans (the default on a terminal)")


def add_lists(verbs):
    p = verbs.add_parser("list-buckets", help="list buckets")
    q = verbs.add_parser("list-streams", help="list streams of a bucket")
    q.add_argument("bucket")
    for parser, handler in ((p, cmd_list_buckets), (q, cmd_list_streams)):
        parser.add_argument("--after", metavar="NAME", help="only names that sort after this one")
        parser.add_argument("-l", "--limit", type=whole(1, LIMIT_ALL), metavar="N")
        parser.add_argument("--match", metavar="PRE*", help="only names that match")
        parser.add_argument("--info", action="store_true", help="ids, events and bytes as well")
        parser.set_defaults(handler=handler)
        add_common(parser, top=False)


def make_parser():
    codes = __doc__[__doc__.index("Exit codes"):__doc__.index("Whatever")].replace(", also in --help", "")
    parser = argparse.ArgumentParser(prog="ioriocli.py", description="Iorio DB CLI", epilog=codes,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common(parser, top=True)
    verbs = parser.add_subparsers(dest="verb", required=True)

    p = verbs.add_parser("post", help="add an event to a stream")
    p.add_argument("bucket")
    p.add_argument("stream")
    p.add_argument("data", help="the event itself, @file, or - for standard input")
    p.add_argument("-c", "--content-type", type=header_text, help="application/json unless given")
    p.add_argument("--lines", action="store_true",
                   help="the data is JSON lines, one event each; sent in atomic batches")
    p.add_argument("--skip", type=whole(0, LIMIT_ALL), metavar="N",
                   help="--lines: leave out the first N lines of the input")
    p.add_argument("--batch-lines", type=whole(1, BATCH_LINES_MAX), metavar="N",
                   help=f"--lines: most lines in a batch ({BATCH_LINES_MAX})")
    p.add_argument("--batch-bytes", type=whole(1, 1 << 30), metavar="N",
                   help=f"--lines: most bytes in a batch ({BATCH_BYTES}); a longer line goes alone")
    p.add_argument("--progress", action="store_true",
                   help="--lines: progress on standard error (the default on a terminal)")
    p.set_defaults(handler=cmd_post)
    add_common(p, top=False)

    p = verbs.add_parser("patch", help="patch the last event of a stream (JSON Patch)")
    p.add_argument("bucket")
    p.add_argument("stream")
    p.add_argument("data", help="the patch itself, @file, or - for standard input")
    p.add_argument("-c", "--content-type", type=header_text, help=f"{iorio.PATCH} unless given")
    p.add_argument("--if-match", type=whole(0, LIMIT_ALL), metavar="ID",
                   help="only if the last event still has this id")
    p.set_defaults(handler=cmd_patch)
    add_common(p, top=False)

    p = verbs.add_parser("get", help="get content from a stream")
    p.add_argument("bucket")
    p.add_argument("stream")
    p.add_argument("-f", "--from", dest="from_", type=int, metavar="ID",
                   help="begin at this id; -N: N before the end; without it the last ones")
    p.add_argument("-l", "--limit", type=limit_or_all, metavar="N",
                   help="most events (10), or all")
    p.add_argument("--to", type=int, metavar="ID", help="end at this id")
    p.add_argument("--ndjson", action="store_true", help="one event a line, as they come")
    p.add_argument("--raw", action="store_true",
                   help="the exact bytes of one event (--from ID, or the last one)")
    p.set_defaults(handler=cmd_get)
    add_common(p, top=False)

    p = verbs.add_parser("listen", help="print events as they come, one a line")
    p.add_argument("streams", nargs="+", metavar="BUCKET/STREAM", help=f"at most {LISTEN_STREAMS_MAX}")
    p.add_argument("-f", "--from", dest="from_", type=int, metavar="ID",
                   help="begin at this id; -N: N before the end; without it new events only")
    p.add_argument("--cursor", type=header_text, metavar="C", help="begin where an Iorio-Cursor says")
    p.add_argument("--count", type=whole(1, LIMIT_ALL), metavar="N", help="end after N events")
    p.add_argument("--wait", type=seconds, metavar="SECONDS",
                   help="end when nothing came for so long (without it: never)")
    p.add_argument("--strict", action="store_true",
                   help="end with exit code 5 when events were removed before they came")
    p.set_defaults(handler=cmd_listen)
    add_common(p, top=False)

    add_lists(verbs)
    return parser


def exit_code(error):
    if isinstance(error, iorio.NotFound):
        return EXIT_NOT_FOUND
    return EXIT_REFUSED if isinstance(error, iorio.Refused) else EXIT_CONNECTION


def run(args):
    client = iorio.Client(args.host.strip("[]"), args.port, args.username, args.password,
                          token=args.token, timeout=args.timeout,
                          trace=say if args.verbose else None)
    with client:
        code = args.handler(client, args)
        sys.stdout.flush()
        return code


def main(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    args.as_json = args.json or not (args.human or sys.stdout.isatty())
    try:
        return run(args)
    except Usage as e:
        say(f"ioriocli: {e}")
        return EXIT_USAGE
    except iorio.Error as e:
        complain(args, e)
        return exit_code(e)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("ioriocli: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would try to flush once more at its end and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except OSError as e:
        say(f"ioriocli: {e.strerror or e}")
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
