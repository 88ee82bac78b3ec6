"""test/power/expect.py - what must be there after a power cut, and what may be.

The driver writes marks into the log of the shim:
  post STREAM SHA...      before the request leaves: from now on these events may be there,
                          all of them or none, in this order, side by side
  ack STREAM ID SHA       after a 201: this event must be there under this id
  seen STREAM ID SHA      after a read showed it: a reader believes it, so it must stay
  note TEXT               for humans
STREAM is bucket/stream, each part percent-encoded. The checker's lines are
bucket TAB stream TAB id TAB sha256. Payloads are unique, so an event is known by its sha256."""

import urllib.parse


def stream_word(bucket, stream):
    return urllib.parse.quote(bucket, safe="") + "/" + urllib.parse.quote(stream, safe="")


class Expect:
    """Grows with the log. at() freezes it as of now, cheaply: everything only grows."""

    def __init__(self):
        self.posts = []   # (stream, (sha, ...))
        self.promises = []  # (stream, id, sha, "acknowledged"|"shown to a reader")

    def apply(self, record):
        a = record.args
        if record.kind == "post":
            self.posts.append((a[0], tuple(a[1:])))
        elif record.kind in ("ack", "seen"):
            kind = "acknowledged" if record.kind == "ack" else "shown to a reader"
            self.promises.append((a[0], int(a[1]), a[2], kind))

    def at(self):
        return (len(self.posts), len(self.promises))

    def marks(self):
        """Lines that say all of it again, for a log that goes on from here."""
        kinds = {"acknowledged": "ack", "shown to a reader": "seen"}
        return (["post %s %s" % (stream, " ".join(shas)) for stream, shas in self.posts] +
                ["%s %s %d %s" % (kinds[kind], stream, i, sha) for stream, i, sha, kind in self.promises] + ["note begin"])

    def check(self, at, events):
        """events: {stream: [(id, sha), ...] in the order of the checker's lines}. A list of sentences."""
        posts, promises = self.posts[:at[0]], self.promises[:at[1]]
        bad = []
        posted = {(stream, sha) for stream, shas in posts for sha in shas}
        place = {}  # (stream, sha) -> id
        for stream, rows in events.items():
            ids = [i for i, _ in rows]
            if ids != list(range(1, len(ids) + 1)):
                bad.append("%s: ids are not 1..n: %s" % (stream, brief(ids)))
            for i, sha in rows:
                if (stream, sha) not in posted:
                    bad.append("%s id %d: was never posted there (%s)" % (stream, i, sha[:12]))
                elif (stream, sha) in place:
                    bad.append("%s id %d: the same event has id %d too" % (stream, i, place[(stream, sha)]))
                place[(stream, sha)] = i
        have = {stream: dict(rows) for stream, rows in events.items()}
        for stream, i, sha, kind in promises:
            got = have.get(stream, {}).get(i)
            if got is None:
                bad.append("%s id %d: %s and lost" % (stream, i, kind))
            elif got != sha:
                bad.append("%s id %d: other bytes than those %s" % (stream, i, kind))
        for stream, shas in posts:
            ids = [place.get((stream, sha)) for sha in shas]
            if any(i is None for i in ids) and any(i is not None for i in ids):
                bad.append("%s: %d of the %d events of one batch" % (stream, len([i for i in ids if i]), len(ids)))
            elif ids[0] is not None and ids != list(range(ids[0], ids[0] + len(ids))):
                bad.append("%s: a batch is out of order: ids %s" % (stream, brief(ids)))
        return bad


def brief(ids):
    text = " ".join(str(i) for i in ids[:12])
    return text + (" ... (%d)" % len(ids) if len(ids) > 12 else "")


def parse_events(text):
    """The lines of the checker. Streams of the node's own ($sys ...) are left out. ValueError: not such lines."""
    events = {}
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) != 4 or len(parts[3]) != 64:
            raise ValueError("not a line of the checker: %r" % line[:200])
        if not parts[0].startswith("$"):
            events.setdefault(stream_word(parts[0], parts[1]), []).append((int(parts[2]), parts[3]))
    return events
