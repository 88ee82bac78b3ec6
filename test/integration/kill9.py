#!/usr/bin/env python3
"""test/integration/kill9.py - `make kill9`: kill -9 at a random moment, again and again.

One data directory for all rounds. A round: start the node, check what the round before
left (every acknowledged event once, with its id and content; ids dense; nothing but
unanswered requests beyond), let 16 connections append, kill -9 at a random moment. One
round in eight also kills the node once in the middle of its start. At the end everything
is read again from the first event on. Exit code 0 and one summary line, or 1 and
what was lost; the data directory of a failed run is left for a look.

    kill9.py [--rounds 100] [--seed N] [--segment 1MB] [--seconds 0.6]
"""

import argparse
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import node as nodes  # noqa: E402
from lib.ledger import Ledger, Violation  # noqa: E402


def kill_in_the_start(node, rng):
    node.spawn()
    time.sleep(rng.uniform(0, 0.15))
    node.kill9()


def run(args, rng, node, ledger):
    node.start()
    for number in range(1, args.rounds + 1):
        ledger.begin()
        time.sleep(rng.uniform(0.01, args.seconds))
        node.kill9()
        ledger.end()
        if rng.random() < 0.125:
            kill_in_the_start(node, rng)
        node.start()
        ledger.check()
        if sys.stderr.isatty() or number % 10 == 0:
            print(f"round {number}: {ledger.acknowledged} acknowledged, all there", file=sys.stderr)
    node.kill9()
    node.start()
    return ledger.check_all()


def main():
    parser = argparse.ArgumentParser(description="kill -9 while 16 connections append")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock, printed")
    parser.add_argument("--segment", default="1MB", help="journal.segment (1MB)")
    parser.add_argument("--seconds", type=float, default=0.6, help="longest time to the kill (0.6)")
    parser.add_argument("--connections", type=int, default=16)
    args = parser.parse_args()
    seed = time.time_ns() % 1_000_000 if args.seed is None else args.seed
    begin = time.monotonic()
    node = nodes.Node({"journal.segment": args.segment, "memory.tail": "4GB"})
    ledger = Ledger(node, streams=6, writers=args.connections, seed=seed)
    try:
        count = run(args, random.Random(seed), node, ledger)
        node.stop()
    except (AssertionError, nodes.iorio.Error) as e:
        os.environ["IORIO_TEST_KEEP"] = "1"
        kind = "VIOLATION" if isinstance(e, Violation) else "FAILED"
        print(f"kill9: {kind} in round {ledger.round} (seed {seed}, data in {node.folder}): {e}")
        return 1
    print(f"kill9: {args.rounds} rounds (seed {seed}) in {time.monotonic() - begin:.0f} s: "
          f"{ledger.acknowledged} events acknowledged to {args.connections} connections, {count} kept: all of "
          f"them once, ids dense; of {ledger.unanswered} without an answer {ledger.survivors} are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
