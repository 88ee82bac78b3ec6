#!/usr/bin/env python3
"""test/power/run.py - the power test: what a node acknowledged survives every power cut.

A real node runs under the shim (shim.c) and a few connections append to it (node.py). The log of
all its effects then gives, for every prefix of it, the folders that a power cut at that moment
may leave (disk.py, choices.py); each one is recovered and compared with what was promised by
then (check.py, expect.py).
Parts of a run: the trace; the shim saw everything; all states of the log; nodes that are killed at
their n-th effect and started again, for what a node inherits unsynced; a sample of states on
which a real node is started, answers, takes more appends and is killed, and the states
of that second log; and the mutants: a shim that does not log syncs (no-fsync), or those of folders
(no-dirsync): the test must find lost events, else it proves nothing.
Exit: 0 fine, 1 violations or a mutant that was not caught, 2 the test could not be done."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time

import check
import choices
import disk
import node

HERE = os.path.dirname(os.path.abspath(__file__))
KEEP_MAX = 5
SAY_MAX = 12
MUTANTS = ("no-fsync", "no-dirsync")


def parse_args():
    p = argparse.ArgumentParser(description="Power test: recovery after every prefix of a node's writes.")
    p.add_argument("--build", default="build/test", help="meson build directory (default %(default)s)")
    p.add_argument("--seed", type=int, default=1, help="of the trace and of all choices (default %(default)s)")
    p.add_argument("--quick", action="store_true", help="a short trace and a sample of its states: under a minute")
    p.add_argument("--prefix-step", type=int, help="check after every N-th record (default 1, quick 4)")
    p.add_argument("--subsets", type=int, help="random subsets after each record (default 2, quick 1)")
    p.add_argument("--appends", type=int, help="appends of the trace (default 48, quick 32)")
    p.add_argument("--live", type=int, help="states on which a real node is started (default 12, quick 2)")
    p.add_argument("--kills", type=int, help="nodes killed after their n-th effect and started again (default 60, quick 6)")
    p.add_argument("--mutant", choices=MUTANTS, help="only this mutant: the test must fail (exit 0 when it does)")
    p.add_argument("--no-mutants", action="store_true", help="leave the mutants out")
    p.add_argument("--keep", default=None, help="where to keep states with a violation (default: a temporary folder)")
    p.add_argument("--log", help="take this log instead of running a node")
    p.add_argument("--state", help="with --log: check only PLACE/NAME, and keep its folder")
    a = p.parse_args()
    quick = a.quick
    a.prefix_step = a.prefix_step or (4 if quick else 1)
    a.subsets = a.subsets if a.subsets is not None else (1 if quick else 2)
    a.appends = a.appends or (32 if quick else 48)
    a.live = a.live if a.live is not None else (2 if quick else 12)
    a.kills = a.kills if a.kills is not None else (6 if quick else 60)
    a.binary = os.path.abspath(os.environ.get("IORIO_BIN") or os.path.join(a.build, "src/app/iorio"))
    a.checker = os.path.abspath(os.environ.get("IORIO_CHECK") or os.path.join(a.build, "test/power/recover_check"))
    a.shim = os.path.abspath(os.environ.get("POWER_SHIM") or os.path.join(a.build, "test/power/power_shim.so"))
    for what in (a.checker,) if a.log else (a.binary, a.checker, a.shim):
        if not os.path.exists(what):
            p.error("%s is missing: build first (IORIO_BIN, IORIO_CHECK, POWER_SHIM name others)" % what)
    return a


def fast_folder():
    """Memory, when there is some: a state lives for milliseconds."""
    for where in ("/dev/shm", None):
        if where is None or os.path.isdir(where) and os.access(where, os.W_OK):
            if where is None or shutil.disk_usage(where).free > 1 << 30:
                return tempfile.mkdtemp(prefix="iorio-power-", dir=where)


class Run:
    def __init__(self, args):
        self.args = args
        self.work = fast_folder()               # states
        self.home = tempfile.mkdtemp(prefix="iorio-power-")  # traces, on a disk if /tmp is one
        self.checker = check.Checker(args.checker, self.work)
        self.kept = 0
        self.keep_dir = None
        self.violations = 0

    def close(self):
        self.checker.close()
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def say(self, text):
        print("power: " + text, flush=True)

    def new_node(self, name, mutant=None):
        """A node with an empty box, and its log."""
        box = os.path.join(self.home, name)
        os.mkdir(box)
        log = node.Log(box + ".log")
        return node.Node(self.args.binary, self.args.shim, box, log, box + ".out", mutant)

    def make_trace(self, name, appends, births=(), mutant=None):
        n = self.new_node(name, mutant)
        started = time.monotonic()
        try:
            acked = node.trace(n, self.args.seed, appends, births=births)
        except BaseException:
            if n.process is not None and n.process.poll() is None:
                n.kill()
            raise
        finally:
            n.log.close()
        records = disk.read_log(n.log.path)
        chunks = sum(1 for r in records if r.kind == "create" and r.args[-1].endswith(".chunk"))
        commits = sum(1 for r in records if r.kind == "wsync")
        self.say("trace %s: %d appends acknowledged, %d records, %d chunk files, %d commits of the catalog, %.1f s" % (
            name, acked, len(records), chunks, commits, time.monotonic() - started))
        return n

    # ---- violations ----

    def keep(self, v):
        """Keep what is needed to look at it again, and say how."""
        self.violations += 1
        if self.violations <= SAY_MAX:
            self.say("VIOLATION after record %d, %s: %s" % (v.place, v.name, "; ".join(v.reasons[:3])))
        elif self.violations == SAY_MAX + 1:
            self.say("... more violations are only counted")
        if self.kept >= KEEP_MAX:
            return
        self.kept += 1
        if self.keep_dir is None:
            self.keep_dir = self.args.keep or tempfile.mkdtemp(prefix="iorio-power-kept-")
            os.makedirs(self.keep_dir, exist_ok=True)
        where = os.path.join(self.keep_dir, "violation-%d" % self.kept)
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(where)
        shutil.copy(v.log_path, where + "/log")
        tree, _, record = check.build_state(v.log_path, v.place, v.name)
        tree.write(where + "/state")
        with open(where + "/reasons", "w") as f:
            f.write("after record %d (%s %s), choice %s\n" % (v.place, record.kind, " ".join(record.args[:4]), v.name))
            f.write("".join(r + "\n" for r in v.reasons))
        self.say("  state: %s/state  record: %s %s" % (where, record.kind, " ".join(record.args[:4])))
        self.say("  again: IORIO_CHECK=%s %s/run.py --log %s/log --state %d/%s" % (
            self.args.checker, os.path.relpath(HERE), where, v.place, v.name))

    # ---- parts ----

    def plain(self):
        a = self.args
        n = self.make_trace("trace", a.appends, births=(1, 2, 3, 5, 8, 13))
        self.must_be_complete(n.log.path, n.box)
        for v in self.checker.walk(n.log.path, step=a.prefix_step, subsets=a.subsets, seed=a.seed):
            self.keep(v)
        self.say("log: %d states, %d different folders" % (self.checker.states, self.checker.folders))
        self.kills()
        self.live(n.log.path)

    @staticmethod
    def must_be_complete(log_path, box):
        bad = check.completeness(log_path, box)
        if bad:
            raise node.NodeError("the log does not tell all: " + "; ".join(bad[:5]))

    def kills(self):
        """A node that takes over what another one, killed, had written and not synced."""
        rng, before = random.Random("kills %d" % self.args.seed), self.checker.states
        half = self.args.kills // 2
        for i in range(self.args.kills):
            kill_at = i + 1 if i < half else rng.randrange(half, 100)
            n = self.new_node("kill-%d-%d" % (i, kill_at))
            try:
                node.trace_killed(n, self.args.seed, kill_at)
            finally:
                if n.process.poll() is None:
                    n.kill()
                n.log.close()
            self.must_be_complete(n.log.path, n.box)
            died = [place for place, r in enumerate(disk.read_log(n.log.path)) if r.kind == "start"][-1]
            for v in self.checker.walk(n.log.path, step=13, subsets=self.args.subsets - 1, seed=self.args.seed, first=died):
                self.keep(v)
            shutil.rmtree(n.box)
        if self.args.kills:
            self.say("kills: %d nodes took over, %d states" % (self.args.kills, self.checker.states - before))

    def live(self, log_path):
        """A real node on a sample of states; then the states of what it did there."""
        rng = random.Random("live %d" % self.args.seed)
        records = disk.read_log(log_path)
        for i in range(self.args.live):
            place = rng.randrange(len(records) // 4, len(records) + 1) if i else len(records)
            the_disk = disk.Disk()
            for record in records[:place]:
                the_disk.apply(record)
            names = choices.names(the_disk, 3, self.args.seed, place)
            name = rng.choice(names[1:] or names)
            self.live_one("live-%d" % i, log_path, place, name)
        if self.args.live:
            self.say("live: %d nodes started on states" % self.args.live)

    def live_one(self, label, log_path, place, name):
        tree, promised, _ = check.build_state(log_path, place, name)
        n = self.new_node(label)
        os.rmdir(n.box)
        tree.write(n.box)
        with open(n.log.path, "ab") as f:  # the second log begins with the state, and with what is promised by now
            f.write(disk.describe(n.box))
        n.log.mark(promised.marks())
        first = len(disk.read_log(n.log.path)) + 1
        self.checker.states += 1
        try:
            n.start()
            reasons = promised.check(promised.at(), node.read_all(n.port))
            if reasons:
                raise node.NodeError("; ".join(reasons))
            node.mark_seen(n)
            node.Writers(n, "%s %s" % (self.args.seed, label), label, 2, 8, 0).join()
            n.kill()
        except node.NodeError as e:
            self.keep(check.Violation(log_path, place, name, ["real node: %s" % e]))
            return
        finally:
            if n.process is not None and n.process.poll() is None:
                n.kill()
            n.log.close()
        self.must_be_complete(n.log.path, n.box)
        for v in self.checker.walk(n.log.path, step=max(self.args.prefix_step, 2), subsets=1, seed=self.args.seed, first=first):
            self.keep(v)

    def mutant(self, mutant):
        """True when it was caught."""
        n = self.make_trace(mutant, 16, mutant=mutant)
        before = self.checker.states
        bad = self.checker.walk(n.log.path, step=7, subsets=1, seed=self.args.seed, enough=1)
        count = self.checker.states - before
        self.checker.states = before
        if bad:
            self.say("mutant %s: caught (%d states; record %d, %s: %s)" % (
                mutant, count, bad[0].place, bad[0].name, bad[0].reasons[0]))
        else:
            self.say("mutant %s: NOT caught in %d states: this test proves nothing" % (mutant, count))
        return bool(bad)

    def one_state(self):
        a = self.args
        place, _, name = a.state.partition("/")
        tree, promised, _ = check.build_state(a.log, int(place), name)
        keep = tempfile.mkdtemp(prefix="iorio-power-state-")
        tree.write(keep + "/state")
        shutil.copytree(keep + "/state", keep + "/recovered")
        self.say("state: %s/state, recovered in %s/recovered" % (keep, keep))
        try:
            reasons = promised.check(promised.at(), check.run_checker(a.checker, keep + "/recovered"))
        except check.Refused as e:
            reasons = [str(e)]
        for r in reasons:
            self.say("VIOLATION " + r)
        self.checker.states, self.violations = 1, 1 if reasons else 0

    def replay(self):
        a = self.args
        for v in self.checker.walk(a.log, step=a.prefix_step, subsets=a.subsets, seed=a.seed):
            self.keep(v)


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # so that everything is cleaned up
    run = Run(args)
    started, caught = time.monotonic(), True
    try:
        if args.state:
            run.one_state()
        elif args.log:
            run.replay()
        elif args.mutant:
            caught = run.mutant(args.mutant)
        else:
            run.say("seed %d, %s" % (args.seed, "quick" if args.quick else "full"))
            run.plain()
            for m in () if args.no_mutants else MUTANTS:
                caught = run.mutant(m) and caught
    except (node.NodeError, disk.Bad, OSError) as e:
        run.say("cannot be done: %s" % e)
        return 2
    finally:
        run.close()
    run.say("%d states, %d violations%s (%.0f s)" % (
        run.checker.states, run.violations, "" if caught else ", mutant not caught", time.monotonic() - started))
    return 0 if run.violations == 0 and caught else 1


if __name__ == "__main__":
    sys.exit(main())
