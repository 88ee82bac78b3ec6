#!/usr/bin/env python3
"""tools/apitest.py - a test of a running Iorio DB node, and load for it (Python 3 standard library, iorio.py).

Happy path: threads append random events to random streams, read, list, patch and listen at the same time; in
the end everything is read back. What is checked: every acknowledged event is there with its id and its bytes,
once, and nothing else; ids without a hole; reads and lists hold what was acknowledged before; every listener
sees every event once and in order; patches are all there. Then it says how much that was, and how fast.

Exit codes, also in --help:
    0  everything was right
    1  something was wrong, or was not finished: every line that begins with WRONG says what;
       or the node refused the login
    2  wrong usage
    3  no connection at the start, or an answer that is not from an Iorio DB node
  130  interrupted by Ctrl-C
  141  the reader of the output went away
A node that goes away, or is busy (429, 503 with Retry-After), is waited for: an append is sent again with its
Idempotency-Key. After --patience seconds of that the run ends with 1. The events stay unless --delete is given.
"""

import argparse
import json
import os
import queue
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import iorio  # noqa: E402  (the modules beside this file)
from apitest_ledger import Contents, Event, Problems, make_streams, one_line  # noqa: E402
from apitest_workers import Checker, Inserter, Lister, Listener, Patcher, Requester  # noqa: E402
from ioriocli_base import (LIMIT_ALL, Usage, add_where, client_of, login_password, put, say, seconds,  # noqa: E402
                           seconds_above_0, whole)

EXIT_RIGHT, EXIT_WRONG, EXIT_USAGE, EXIT_CONNECTION, EXIT_INTERRUPTED, EXIT_PIPE = 0, 1, 2, 3, 130, 141
# Limits, so that memory is bounded: 8 bytes an event, some 500 a stream, 2 MB a thread.
EVENTS_MAX = 10_000_000
STREAMS_MAX = 100_000
THREADS_MAX = 256
# An append has 2.2 events on average; so many is never reached.
EVENTS_OF_APPEND = 4
DOCUMENTS = 4
CHECKERS = 4
PATCH = "application/json-patch+json"


class Run:
    """One run: what its threads share, and its course."""

    def __init__(self, args):
        self.args = args
        self.seed = args.seed
        self.nonce = "%016x" % random.SystemRandom().getrandbits(64)  # its keys are not those of an earlier run
        self.contents = Contents(args.seed)
        self.problems = Problems()
        self.total = args.iterations * args.buckets * args.streams
        self.streams = make_streams(args.seed, args.buckets, args.streams, EVENTS_OF_APPEND * 10 * self.total)
        self.documents = []
        self.document_bases = {}
        self.patience = args.patience
        self.end = time.monotonic() + args.max_time
        self.lock = threading.Lock()
        self.stopped, self.inserted, self.final = threading.Event(), threading.Event(), threading.Event()
        self.token = None
        self.not_read = 0
        self.workers = []
        self.inserters = []
        self.main = self.client()

    # --- for the threads ---

    def client(self):
        """One of the user of this run; it logs in again when its token has ended."""
        client = client_of(self.args)
        client.token = self.token
        client.reached = self.token is not None  # the node was there: it is waited for
        return client

    def stop(self, why):
        """It cannot go on; the first one says why."""
        with self.lock:
            if not self.stopped.is_set():
                self.problems.add(f"stopped: {why}")
                self.stopped.set()

    def late(self, more_s=0):
        if time.monotonic() < self.end + more_s:
            return False
        self.stop(f"the time is up (--max-time {self.args.max_time:g})")
        return True

    def ending(self):
        return self.stopped.is_set() or self.inserted.is_set()

    def progress(self):
        return sum(worker.requests for worker in self.inserters)

    def is_patched(self, bucket, name):
        return (bucket, name.removesuffix("-$patch")) in self.documents

    @staticmethod
    def read_on(client, stream, reading):
        """Every event from reading.next_id on; may be called again after an error."""
        for line in client.iter_lines(stream.bucket, stream.name, from_=reading.next_id, limit=LIMIT_ALL):
            try:
                event = Event(line)
            except ValueError as e:
                raise iorio.BadAnswer(f"{stream} a line is no event ({e}): {line[:300]!r}") from None
            reading.take(event)

    # --- the course ---

    def begin(self):
        """Log in, find out where the streams are, make the documents."""
        self.token = self.main.login()
        for stream in self.streams:
            stream.begin(self.main.patiently(lambda s=stream: self.main.head(s.bucket, s.name).high, self.patience))
        if self.args.patchers != 0:
            self.make_documents()

    def make_documents(self):
        bucket = self.streams[0].bucket
        for number in range(DOCUMENTS):
            document = (bucket, f"document {number} of {self.seed}")
            bases = [self.main.head(*document).high, self.main.head(bucket, document[1] + "-$patch").high]
            self.main.post(*document, b"{}", idempotency_key=f"{self.nonce}-d{number}")
            try:
                self.main.call("PATCH", iorio.stream_path(*document), b"[]", PATCH)
            except iorio.Refused as e:
                if e.status != 405:
                    raise
                if self.args.patchers is not None:
                    raise Usage("this node has no PATCH: -Q must be 0") from None
                self.main.delete(*document)
                self.args.patchers = 0
                if not self.args.json:
                    put("apitest: this node has no PATCH: there are no patchers")
                return
            self.documents.append(document)
            self.document_bases[document] = bases
        self.args.patchers = 1 if self.args.patchers is None else self.args.patchers

    def go(self):
        args = self.args
        kinds = ((Listener, args.listeners), (Requester, args.requesters), (Lister, args.listers),
                 (Patcher, args.patchers or 0), (Inserter, args.inserters))
        self.workers = [kind(self, number) for kind, count in kinds for number in range(count)]
        self.inserters = [worker for worker in self.workers if isinstance(worker, Inserter)]
        listeners = [worker for worker in self.workers if isinstance(worker, Listener)]
        for worker in self.workers:
            worker.start()
        self.join(self.inserters)
        self.inserted.set()
        self.join([worker for worker in self.workers if worker not in listeners])
        self.settle()
        self.final.set()
        self.join(listeners)
        self.read_back()
        if self.documents:
            self.try_("the documents", self.check_documents)
        if args.delete:
            self.try_("deleting", self.delete)

    def try_(self, what, step):
        try:
            step()
        except iorio.Error as e:
            self.problems.add(f"{what}: {e}")

    def settle(self):
        """The last id of every stream: listeners have to come that far."""
        def step():
            for stream in self.streams:
                stream.final = self.main.patiently(
                    lambda s=stream: self.main.head(s.bucket, s.name).high, 0 if self.stopped.is_set() else self.patience)
        self.try_("the end of the streams", step)

    def join(self, threads):
        """Wait for threads; one that does not come back is a problem, not a reason to wait for ever."""
        limit = self.end + self.patience + 2 * self.args.timeout + 60
        shown = time.monotonic()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                if time.monotonic() > limit:
                    self.stop(f"{thread.who} hangs")
                    return
                if time.monotonic() - shown >= 1 and sys.stderr.isatty():
                    shown = time.monotonic()
                    say(f"\r{self.progress()} of {self.total} appends, {self.problems.count} wrong\x1b[K", end="")
        if sys.stderr.isatty():
            say("\r\x1b[K", end="")

    def read_back(self):
        todo = queue.Queue()
        for stream in self.streams:
            todo.put(stream)
        checkers = [Checker(self, number, todo) for number in range(CHECKERS)]
        self.workers += checkers
        for checker in checkers:
            checker.start()
        self.join(checkers)
        self.not_read = todo.qsize()
        if self.not_read:
            self.problems.add(f"{self.not_read} of {len(self.streams)} streams were not read back")
        unanswered = sum(len(stream.pending) for stream in self.streams)
        if unanswered:
            there = sum(checker.unanswered for checker in checkers)
            self.problems.add(f"{unanswered} events have no answer; {there} of them are there"
                              + (" in the streams that were read back" if self.not_read else ""))

    def check_documents(self):
        """The patches, one after the other, make the events of the document; each patcher's last one is in it."""
        patchers = [worker for worker in self.workers if isinstance(worker, Patcher)]
        for document in self.documents:
            bases = self.document_bases[document]
            events = list(self.main.iter(*document, from_=bases[0] + 1, limit=LIMIT_ALL))
            patches = list(self.main.iter(document[0], document[1] + "-$patch", from_=bases[1] + 1, limit=LIMIT_ALL))
            due = {}
            if len(events) != len(patches) + 1:
                self.problems.add(f"{document} has {len(events)} events and {len(patches)} patches")
            for event, patch in zip(events, [{"data": []}] + patches):
                for op in patch["data"]:
                    if op["op"] == "test" and due.get(op["path"][1:]) != op["value"]:
                        self.problems.add(f"{document} id {event['meta']['id']}: its patch's test does not hold")
                    if op["op"] == "add":
                        due[op["path"][1:]] = op["value"]
                if event["data"] != due:
                    self.problems.add(f"{document} id {event['meta']['id']} is {event['data']}, due was {due}")
            for patcher in patchers:
                allowed = (patcher.last.get(document), patcher.tried.get(document, patcher.last.get(document)))
                if due.get(patcher.me) not in allowed:
                    self.problems.add(f"{document} has {due.get(patcher.me)} of {patcher.who}, not {allowed[0]}")

    def delete(self):
        """Remove what this run (and others with its seed) appended."""
        names = [(stream.bucket, stream.name) for stream in self.streams]
        for bucket, name in names + self.documents + [(b, f"{n}-$patch") for b, n in self.documents]:
            self.main.patiently(lambda b=bucket, n=name: self.main.delete(b, n), self.patience)


# --- the summary ---

KINDS = (("inserters", "appends"), ("requesters", "reads"), ("listers", "requests"), ("patchers", "patches"),
         ("listeners", "answers"), ("read back", "requests"))


def summary(run):
    """What each kind of threads did."""
    found = {}
    for kind, word in KINDS:
        threads = [worker for worker in run.workers if worker.kind == kind]
        if not threads:
            continue
        seconds_ = max(max(thread.seconds for thread in threads), 1e-6)
        retries = {}
        for thread in threads:
            for why, count in list(thread.retries.items()):
                retries[why] = retries.get(why, 0) + count
        requests, events = sum(t.requests for t in threads), sum(t.events for t in threads)
        found[kind] = {"threads": len(threads), word: requests, "events": events, "bytes": sum(t.bytes for t in threads),
                       "seconds": round(seconds_, 3), f"{word}_per_s": round(requests / seconds_, 1),
                       "events_per_s": round(events / seconds_, 1), "retries": retries}
    return found


def report(run, args):
    """The summary, then what was wrong."""
    kinds, problems = summary(run), run.problems
    acked = sum(stream.counts()[0] for stream in run.streams)
    if args.json:
        put(json.dumps({"seed": run.seed, "buckets": args.buckets, "streams": len(run.streams), "acknowledged": acked,
                        "threads": kinds, "wrong": problems.count, "problems": problems.shown}, ensure_ascii=False))
    else:
        for kind, word in KINDS:
            if kind not in kinds:
                continue
            k = kinds[kind]
            things = "names" if kind == "listers" else "patches" if kind == "patchers" else "events"
            retries = sum(k["retries"].values())
            why = ", ".join(f"{name} {count}" for name, count in sorted(k["retries"].items()))
            put(f"{kind:<10} {k['threads']:>3}: {k[word]} {word}, {k['events']} {things} in {k['seconds']:.1f} s "
                f"({k[word + '_per_s']:.0f} {word}/s, {k['events_per_s']:.0f} {things}/s)"
                + (f"; {retries} tried again ({why})" if retries else ""))
    for text in problems.shown:
        say(f"WRONG {one_line(text)}")
    if problems.count > len(problems.shown):
        say(f"WRONG ... and {problems.count - len(problems.shown)} more")
    if not args.json:
        verdict = f"{problems.count} things were wrong" if problems.count else "all right"
        put(f"apitest: {verdict}: {acked} events were acknowledged in {len(run.streams)} streams (seed {run.seed})")
    return EXIT_WRONG if problems.count else EXIT_RIGHT


# --- the command line ---

def parse(argv):
    codes = __doc__[__doc__.index("Exit codes"):].replace(", also in --help", "")
    examples = ("examples:\n"
                "  tools/apitest.py                       # 5 buckets with 5 streams, 100 events or batches for each\n"
                "  tools/apitest.py -P 8098 -B 20 -i 50   # more streams, another port\n"
                "  tools/apitest.py -i 100 -I 4 -L 1 -R 2 --listeners 1\n"
                "  tools/apitest.py -s 7 --delete         # the same names and events each time; removed in the end\n\n")
    parser = argparse.ArgumentParser(prog="apitest.py", description="Iorio DB API tester", epilog=examples + codes,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(*names, text, **options):
        default = options.get("default")
        number = isinstance(default, (int, float)) and not isinstance(default, bool)
        parser.add_argument(*names, help=text + (f" ({default:g})" if number else ""), **options)
    add("-u", "--username", default="admin", text="username used for authentication (admin)")
    add("-p", "--password", default="secret",
        text="password used for authentication (secret); -: ask for it, or take a line of standard input")
    add_where(parser.add_argument)
    add("-B", "--buckets", type=whole(1, STREAMS_MAX), default=5, metavar="N", text="number of buckets to use")
    add("-S", "--streams", type=whole(1, STREAMS_MAX), default=5, metavar="N", text="number of streams to use per bucket")
    add("-s", "--seed", type=whole(0, LIMIT_ALL), metavar="N",
        text="where names and events come from; the same one again goes on in the same streams (default: the clock)")
    add("-i", "--iterations", type=whole(1, EVENTS_MAX), default=100, metavar="N",
        text="number of iterations: one append to every stream, shared among the inserters")
    threads = whole(0, THREADS_MAX)
    add("-I", "--inserters", type=whole(1, THREADS_MAX), default=4, metavar="N", text="number of threads that append")
    add("-L", "--listers", type=threads, default=1, metavar="N", text="number of threads that list buckets and streams")
    add("-R", "--requesters", type=threads, default=2, metavar="N", text="number of threads that read")
    add("-Q", "--patchers", type=threads, metavar="N", text="number of threads that patch (1, where the node has PATCH)")
    add("--listeners", type=threads, default=1, metavar="N", text="number of threads that listen for events (COMET)")
    add("--patience", type=seconds, default=60.0, metavar="SECONDS",
        text="how long to wait for a node that is away or busy; less than its streams.dedupe.window")
    add("--max-time", type=seconds_above_0, default=600.0, metavar="SECONDS",
        text="longest time for all; what is not done then is a failure")
    add("--timeout", type=seconds_above_0, default=30.0, metavar="SECONDS", text="longest wait for an answer")
    add("--delete", action="store_true", text="remove the streams in the end")
    add("--json", action="store_true", text="the summary as JSON")
    args = parser.parse_args(argv)
    args.token = None
    if args.buckets * args.streams > STREAMS_MAX:
        parser.error(f"{args.buckets * args.streams} streams are too many: at most {STREAMS_MAX}")
    if args.iterations * args.buckets * args.streams * EVENTS_OF_APPEND > EVENTS_MAX:
        parser.error(f"that would be up to {args.iterations * args.buckets * args.streams * EVENTS_OF_APPEND} events, and "
                     f"their keys are held in memory: at most {EVENTS_MAX}; take fewer iterations (-i) or streams (-B, -S)")
    args.seed = time.time_ns() // 1_000_000 if args.seed is None else args.seed
    return args


def main(argv=None):
    args = parse(argv)
    try:
        args.password = login_password(args)
        run = Run(args)
        run.begin()
    except Usage as e:
        say(f"apitest: {e}")
        return EXIT_USAGE
    except iorio.Error as e:
        say(f"apitest: {e}" + ("; give -u USER and -p PASSWORD" if e.type == "unauthorized" else ""))
        return EXIT_WRONG if isinstance(e, iorio.Refused) else EXIT_CONNECTION
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if not args.json:
        put(f"apitest: seed {run.seed}, {args.buckets} buckets with {args.streams} streams each, {args.iterations} "
            f"iterations, at {run.main.host}:{run.main.port}")
        sys.stdout.flush()
    try:
        run.go()
    except KeyboardInterrupt:
        run.stop("interrupted; nothing more was checked")
        report(run, args)
        return EXIT_INTERRUPTED
    return report(run, args)


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_PIPE
    os._exit(code)  # threads that hang are not waited for
