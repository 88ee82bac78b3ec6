"""test/power/choices.py - which of the pending things reach the disk: named choices.

names(disk, subsets, seed, place) lists the choices worth trying after one record, choose(disk, name)
makes one of them: it depends on the disk and the name alone, so that a name printed with
a violation is enough to get the same bytes again.
  kept         nothing is lost
  lost         all that no sync covers is lost
  names-lost   bytes and sizes are kept, folders are as they were synced
  names-only   folders are kept; bytes and sizes are lost: empty files
  sizes-only   folders and sizes are kept, bytes are lost: zeros
  head-K       of the last write only the first K sectors, all else kept
  tail-K       of the last write only the last K sectors, all else kept
  without-K    all but the K-th pending thing;  only-K  nothing but the K-th
  rand-SEED    each sector, size and name by a coin; the seed also picks the coin"""

import random

from disk import Choice

COINS = (0.5, 0.5, 0.1, 0.9)


def things(disk):
    """All pending things in a fixed order: ("sector", file, number) | ("size", file) | ("name", index)."""
    out = []
    for f in disk.pending_files():
        out += [("sector", f, n) for n in sorted(f.pending)]
        if f.sizes:
            out.append(("size", f))
    return out + [("name", i) for i in disk.pending_names()]


def take(choice, thing, version=-1):
    """Let a thing reach the disk, in its newest version or an older one."""
    if thing[0] == "sector":
        f, n = thing[1], thing[2]
        choice.sectors.setdefault(f.number, {})[n] = version if version >= 0 else len(f.pending[n]) - 1
    elif thing[0] == "size":
        choice.sizes[thing[1].number] = version if version >= 0 else len(thing[1].sizes) - 1
    else:
        choice.names.add(thing[1])


def torn(disk):
    """The sectors of the last write that are pending still."""
    f = disk.last_file
    return [] if f is None else [n for n in f.last if n in f.pending]


def names(disk, subsets, seed, place):
    """The choices to try now. subsets: how many random ones."""
    all_things = things(disk)
    if not all_things:
        return ["kept"]
    if len(all_things) == 1:
        return ["kept", "lost"]
    out = ["kept", "lost"]
    kinds = {t[0] for t in all_things}
    if "name" in kinds and len(kinds) > 1:
        out += ["names-lost", "names-only", "sizes-only"]
    rng = random.Random("%s %d" % (seed, place))
    sectors = len(torn(disk))
    if sectors > 1 and subsets > 0:
        for k in sorted({1, sectors - 1, rng.randrange(1, sectors)}):
            out += ["head-%d" % k, "tail-%d" % k]
    few = range(len(all_things)) if len(all_things) <= 2 * subsets else rng.sample(range(len(all_things)), subsets)
    for k in sorted(few):
        out += ["without-%d" % k, "only-%d" % k]
    return out + ["rand-%d" % rng.randrange(1 << 30) for _ in range(subsets)]


def choose_random(disk, seed):
    rng = random.Random(seed)
    choice = Choice()
    coins = {kind: rng.choice(COINS) for kind in ("sector", "size", "name")}
    for thing in things(disk):
        if rng.random() >= coins[thing[0]]:
            continue
        count = 1
        if thing[0] == "sector":
            count = len(thing[1].pending[thing[2]])
        elif thing[0] == "size":
            count = len(thing[1].sizes)
        take(choice, thing, rng.randrange(count) if rng.random() < 0.5 else -1)
    return choice


def choose(disk, name):
    word, _, number = name.partition("-")
    if name in ("kept", "names-lost"):
        choice = disk.newest()
        if name == "names-lost":
            choice.names = set()
        return choice
    choice = Choice()
    if name in ("names-only", "sizes-only"):
        choice.names = set(disk.pending_names())
        if name == "sizes-only":
            choice.sizes = disk.newest().sizes
    elif word in ("head", "tail"):
        choice, sectors, k = disk.newest(), torn(disk), int(number)
        for n in sectors[k:] if word == "head" else sectors[:-k]:
            del choice.sectors[disk.last_file.number][n]
    elif word in ("without", "only"):
        k = int(number)
        for i, thing in enumerate(things(disk)):
            if (i == k) == (word == "only"):
                take(choice, thing)
    elif word == "rand":
        choice = choose_random(disk, int(number))
    elif name != "lost":
        raise ValueError("unknown choice %s" % name)
    return choice
