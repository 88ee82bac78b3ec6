"""test/power/check.py - walks a log, makes the folders that a power cut may leave, has each one recovered
by the checker command, and compares what came back with the promises.

Checker command: `IORIO_CHECK DATADIR` recovers in its own process, prints one line per event
(bucket TAB stream TAB id TAB sha256) and exits 0. Any other exit, a signal, or no end within
CHECK_SECONDS is a violation: a node must start after every power cut.
Folders that are equal byte for byte are recovered once. Some are recovered twice: the
second recovery starts on what the first one left, and must give the same."""

import concurrent.futures
import os
import shutil
import subprocess
import threading

import choices
import disk
import expect

CHECK_SECONDS = 60
TWICE_EVERY = 8


class Refused(Exception):
    """The checker did not recover the folder."""


def run_checker(command, box):
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    try:
        done = subprocess.run([command, os.path.join(box, "data")], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=CHECK_SECONDS, env=env)
    except subprocess.TimeoutExpired:
        raise Refused("recovery did not end within %d s" % CHECK_SECONDS)
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
    if done.returncode < 0:
        raise Refused("recovery died of signal %d: %s" % (-done.returncode, words[0]))
    if done.returncode > 0:
        raise Refused("recovery refused (exit %d): %s" % (done.returncode, words[0]))
    try:
        return expect.parse_events(done.stdout.decode("utf-8"))
    except ValueError as e:
        raise Refused(str(e))


def recover(command, tree, box, twice):
    """Write the folder, recover it once or twice, remove it. Gives events."""
    try:
        tree.write(box)
        events = run_checker(command, box)
        if twice:
            again = run_checker(command, box)
            if again != events:
                raise Refused("a second recovery finds %d events, the first found %d" % (
                    sum(map(len, again.values())), sum(map(len, events.values()))))
        return events
    finally:
        shutil.rmtree(box, ignore_errors=True)


class Violation:
    def __init__(self, log_path, place, name, reasons):
        self.log_path, self.place, self.name, self.reasons = log_path, place, name, reasons


class Checker:
    """Counts and collects over all logs of one run."""

    def __init__(self, command, work, jobs=2):
        self.command, self.work = command, work
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.room = threading.Semaphore(jobs * 4)  # folders that wait: bounds memory
        self.results = {}                          # digest of a folder -> Future of events
        self.states = self.folders = 0

    def close(self):
        self.pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, tree):
        digest = tree.digest()
        if digest not in self.results:
            self.room.acquire()
            self.folders += 1
            box = os.path.join(self.work, "state-%d" % self.folders)
            f = self.pool.submit(recover, self.command, tree, box, self.folders % TWICE_EVERY == 0)
            f.add_done_callback(lambda _: self.room.release())
            self.results[digest] = f
        return self.results[digest]

    def walk(self, log_path, step=1, subsets=2, seed=0, enough=0, first=0):
        """Check the log: the choices of choices.py after every step-th record.
        enough: stop after so many violations (0: never). first: records before it are taken
        without a check. Gives the violations."""
        the_disk, promised = disk.Disk(), expect.Expect()
        records, waiting, bad = disk.read_log(log_path), [], []
        for place, record in enumerate(records, 1):
            the_disk.apply(record)
            promised.apply(record)
            if (place + seed) % step != 0 and place != len(records) or place < first:
                continue
            for name in choices.names(the_disk, subsets, seed, place):
                future = self.submit(the_disk.build(choices.choose(the_disk, name)))
                self.states += 1
                waiting.append((future, place, name, promised.at()))
            while waiting and waiting[0][0].done():
                self.settle(waiting.pop(0), promised, log_path, bad)
            if enough and len(bad) >= enough:
                break
        for item in waiting:
            if not enough or len(bad) < enough:
                self.settle(item, promised, log_path, bad)
        return bad

    @staticmethod
    def settle(item, promised, log_path, bad):
        future, place, name, at = item
        try:
            reasons = promised.check(at, future.result())
        except Refused as e:
            reasons = [str(e)]
        if reasons:
            bad.append(Violation(log_path, place, name, reasons))


def build_state(log_path, place, name):
    """The Tree of one state, the Expect and the record it ends with."""
    the_disk, promised = disk.Disk(), expect.Expect()
    record = None
    for record in disk.read_log(log_path)[:place]:
        the_disk.apply(record)
        promised.apply(record)
    return the_disk.build(choices.choose(the_disk, name)), promised, record


def completeness(log_path, box):
    """Does the log, nothing lost, give the folder as it is? Else the shim missed something and all
    of this is worth nothing. A list of sentences. lock.mdb is a shared mapping by design."""
    the_disk = disk.Disk()
    for record in disk.read_log(log_path):
        the_disk.apply(record)
    tree = the_disk.build(the_disk.newest())
    paths = {str(number): path for path, (number, _, _) in tree.files.items()}
    bad, skip = [], set()
    for what in the_disk.unseen:
        kind, _, where = what.partition(" ")
        number = the_disk.known.get(int(where)) if kind == "mmap" else None
        if os.path.basename(paths.get(str(number), "")) == "lock.mdb":
            skip.add(number)
        else:
            bad.append("the shim cannot follow %s (%s)" % (kind, paths.get(str(number), where)))
    return bad + disk.compare(tree, box, skip)
