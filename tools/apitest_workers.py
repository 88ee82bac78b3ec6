"""tools/apitest_workers.py - the threads of apitest.py: those that append, read, list and listen.

Each has a connection of its own. Happy path: inserters append until their share is done, the others work until
the inserters have ended; listeners until they have seen the last event of every stream.

Failure modes: a broken connection, no answer, 429 and 503: the same again, for at most --patience seconds, then
the run is stopped. An append is sent again with its Idempotency-Key. What is wrong goes to run.problems.
"""

import collections
import json
import queue
import random
import threading
import time
import traceback

import iorio
from apitest_ledger import ACKNOWLEDGED, COUNT_BITS, FORM_ANY, FORM_BYTES, FORM_LINE, Event, Reading, one_line

LISTEN_STREAMS_MAX = 64
LISTEN_WAIT_S = 2


class Worker(threading.Thread):
    """kind: the word in the summary."""

    kind = "worker"

    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.run_ = run
        self.who = f"{self.kind} {number}"
        self.number = number
        self.rng = random.Random(f"{run.seed}/{self.kind}/{number}")
        self.client = run.client()
        self.requests = self.events = self.bytes = 0
        self.retries = collections.Counter()
        self.seconds = 0.0

    def run(self):
        begin = time.monotonic()
        try:
            self.work()
        except iorio.Error as e:
            self.run_.stop(f"{self.who}: {e}")
        except Exception:
            self.run_.stop(f"{self.who}: {traceback.format_exc()}")
        finally:
            self.seconds = time.monotonic() - begin
            self.client.close()

    def work(self):
        raise NotImplementedError

    def wrong(self, text):
        self.run_.problems.add(f"{self.who}: {text}")

    def patiently(self, step):
        """A step that may be repeated, for as long as the run has patience and time."""
        left = min(self.run_.patience, self.run_.end - time.monotonic())
        self.requests += 1
        return self.client.patiently(step, max(left, 0), self.on_retry)

    def on_retry(self, error, _delay):
        """Stopped: nobody waits any more."""
        self.retries[f"{error.status or ''} {error.type}".strip()] += 1
        if self.run_.stopped.is_set():
            raise error

    def get(self, path, headers=None):
        return self.patiently(lambda: self.client.call("GET", path, headers=headers))

    def array(self, stream, answer):
        """The events of an answer that is a list."""
        try:
            return [Event(line) for line in iorio.split_array(answer.body.decode())]
        except (ValueError, IndexError, RecursionError) as e:
            self.wrong(f"{stream} no list of events ({e}): {answer.body[:300]!r}")
            return []


class Inserter(Worker):
    """One append to every stream and iteration, shared among the inserters."""

    kind = "inserters"

    def __init__(self, run, number):
        super().__init__(run, number)
        self.count = 0

    def work(self):
        streams, step = self.run_.streams, self.run_.args.inserters
        order = list(range(len(streams)))
        for iteration in range(self.run_.args.iterations):
            random.Random(f"{self.run_.seed}/order/{iteration}").shuffle(order)
            for at in range((self.number + iteration) % step, len(order), step):
                if self.run_.stopped.is_set() or self.run_.late():
                    return
                self.append(streams[order[at]])

    def append(self, stream):
        pick = self.rng.random()
        size, form, type_ = 1, FORM_ANY, iorio.JSON
        if pick < 0.08:
            form, type_ = FORM_BYTES, iorio.BINARY
        elif pick < 0.20:
            size, form, type_ = self.rng.randint(1, 20), FORM_LINE, iorio.NDJSON
        keys = [self.run_.contents.key(self.number, self.count + i, form) for i in range(size)]
        self.count += size
        texts = [self.run_.contents.of(key) for key in keys]
        body = texts[0] if type_ != iorio.NDJSON else self.rng.choice((b"\n", b"\r\n", b"\n\n")).join(texts)
        stream.send(keys)
        answer = self.send(stream, keys, body, type_)
        if answer is not None:
            self.check(stream, keys, answer)
            self.events += size
            self.bytes += sum(map(len, texts))

    def send(self, stream, keys, body, type_):
        """The answer 201; None: the node said no."""
        headers = {"Idempotency-Key": f"{self.run_.nonce}-{keys[0]}"}
        begin = time.monotonic()
        tries = []

        def step():
            tries.append(1)
            return self.client.call("POST", iorio.stream_path(stream.bucket, stream.name), body, type_, dict(headers))
        try:
            answer = self.patiently(step)
        except iorio.Error as e:
            if not e.unknown_outcome:
                stream.give_up(keys)
            if iorio.may_pass(e) or e.status == 401:
                raise
            self.wrong(f"{stream} an append failed: {e}")
            return None
        window = answer.headers.get("Iorio-Dedupe-Window", "")
        if len(tries) > 1 and window.isdigit() and time.monotonic() - begin > int(window):
            stream.doubtful.update(keys)
        return answer

    def check(self, stream, keys, answer):
        """What an answer to an append has to be."""
        try:
            meta = json.loads(answer.body)["meta"]
            first, last, t = meta["id"], meta.get("last", meta["id"]), meta["t"]
            whole = type(first) is int and type(last) is int and type(t) is int
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if answer.status != 201 or not whole:
            self.wrong(f"{stream} an append was answered {answer.status} {answer.body[:200]!r}")
            return
        path = iorio.stream_path(stream.bucket, stream.name)
        due = {"ETag": f'"{last}"', "Location": f"{path}/?limit=1&from={first}", "Content-Type": iorio.JSON}
        for header, value in due.items():
            got = answer.headers.get(header)
            if got != value and (header != "Location" or not same_place(got, value)):
                self.wrong(f"{stream} id {first}: {header} is {got!r}, not {value!r}")
        if last - first + 1 != len(keys):
            self.wrong(f"{stream} {len(keys)} events were answered as ids {first} to {last}")
            return
        text = stream.acknowledge(first, keys)
        if text is not None:
            self.wrong(text)


def same_place(a, b):
    """Paths may be encoded in more than one way."""
    return a is not None and iorio.urllib.parse.unquote(a) == iorio.urllib.parse.unquote(b)


class Requester(Worker):
    """Reads in every way that there is, while others append."""

    kind = "requesters"

    def work(self):
        ways = (self.last, self.from_on, self.from_the_end, self.range, self.one, self.not_there, self.lines)
        while not self.run_.stopped.is_set() and not self.run_.late():
            self.rng.choice(ways)(self.rng.choice(self.run_.streams))
            if self.run_.inserted.is_set():
                return

    def kept(self, stream, answer, known):
        """Iorio-Low and Iorio-High; what was acknowledged before is not above them."""
        try:
            low, high = int(answer.headers["Iorio-Low"]), int(answer.headers["Iorio-High"])
        except (KeyError, TypeError, ValueError):
            self.wrong(f"{stream} no Iorio-Low and Iorio-High: {answer.headers.items()}")
            return 1, 0
        if high < known:
            self.wrong(f"{stream} Iorio-High is {high}, after id {known} was acknowledged")
        return low, high

    def read(self, stream, **query):
        """(events, low, high) of a list, each event checked."""
        known = stream.acked_high
        answer = self.get(iorio.with_query(iorio.stream_path(stream.bucket, stream.name), **query))
        low, high = self.kept(stream, answer, known)
        events = self.array(stream, answer)
        if events:
            reading = Reading(stream, self.run_.contents, self.run_.problems, self.who, events[0].id)
            for event in events:
                reading.take(event)
        self.events += len(events)
        if len(events) > max(0, query.get("limit", 1)):
            self.wrong(f"{stream} {query} gave {len(events)} events")
        return events, low, high

    def due(self, stream, query, events, first, last):
        """They begin and end where they have to; the node may have cut the list (streams.read.max)."""
        got = (events[0].id, events[-1].id) if events else None
        if first > last:
            if events:
                self.wrong(f"{stream} {query} gave ids {got}, none was due")
        elif not events or events[0].id < first or events[-1].id > last:
            self.wrong(f"{stream} {query} gave ids {got}, due were {first} to {last}")

    def last(self, stream):
        limit = self.rng.randint(1, 50)
        events, low, high = self.read(stream, limit=limit)
        self.due(stream, f"limit={limit}", events, max(low, high - limit + 1), high)
        if events and events[-1].id != high:
            self.wrong(f"{stream} limit={limit} ended with id {events[-1].id}, Iorio-High is {high}")

    def from_on(self, stream):
        from_, limit = self.rng.randint(1, stream.acked_high + 2), self.rng.randint(0, 50)
        events, low, high = self.read(stream, from_=from_, limit=limit)
        first = max(low, from_)
        self.due(stream, f"from={from_}&limit={limit}", events, first, min(high, first + limit - 1))
        if events and events[0].id != first:
            self.wrong(f"{stream} from={from_} began with id {events[0].id}, not {first}")

    def from_the_end(self, stream):
        from_, limit = self.rng.randint(1, 60), self.rng.randint(1, 50)
        events, low, high = self.read(stream, from_=-from_, limit=limit)
        first = max(low, high - from_ + 1)
        self.due(stream, f"from=-{from_}&limit={limit}", events, first, min(high, first + limit - 1))

    def range(self, stream):
        from_, limit = self.rng.randint(1, stream.acked_high + 2), self.rng.randint(1, 50)
        to = from_ + self.rng.randint(-2, 30)
        events, low, high = self.read(stream, from_=from_, to=to, limit=limit)
        first = max(low, from_)
        self.due(stream, f"from={from_}&to={to}&limit={limit}", events, first, min(high, to, first + limit - 1))

    def one(self, stream):
        """The exact bytes and the type of one event."""
        if stream.acked_high <= stream.base:
            return
        number = self.rng.randint(stream.base + 1, stream.acked_high)
        answer = self.get(iorio.stream_path(stream.bucket, stream.name, number))
        reading = Reading(stream, self.run_.contents, self.run_.problems, self.who, number)
        key = reading.content(number, answer.body, exact=True)
        self.events += 1
        type_ = iorio.BINARY if key is not None and key & 3 == FORM_BYTES else iorio.JSON
        if key is not None and answer.headers.get("Content-Type") != type_:
            self.wrong(f"{stream} id {number} is {answer.headers.get('Content-Type')}, it was sent as {type_}")

    def not_there(self, stream):
        """An event that is not there yet is 404, never another one."""
        number = stream.acked_high + 1_000_000_000
        try:
            self.get(iorio.stream_path(stream.bucket, stream.name, number))
            self.wrong(f"{stream} has an id {number}, which nobody appended")
        except iorio.NotFound as e:
            if (e.status, e.type) != (404, "not-found"):
                self.wrong(f"{stream} id {number}: {e}")

    def lines(self, stream):
        """NDJSON, which has no cap."""
        known, first = stream.acked_high, self.rng.randint(stream.base + 1, stream.acked_high + 1)
        reading = Reading(stream, self.run_.contents, self.run_.problems, self.who, first)
        self.patiently(lambda: self.run_.read_on(self.client, stream, reading))
        self.events += reading.count
        if reading.next_id <= known:
            self.wrong(f"{stream} from={first} ended with id {reading.next_id - 1}, after {known} was acknowledged")


class Lister(Worker):
    """The lists hold every stream that has an event, and only those."""

    kind = "listers"

    def __init__(self, run, number):
        super().__init__(run, number)
        self.of_bucket = collections.defaultdict(dict)
        for stream in run.streams:
            self.of_bucket[stream.bucket][stream.name] = stream

    def work(self):
        while not self.run_.stopped.is_set() and not self.run_.late():
            self.buckets()
            self.streams(self.rng.choice(list(self.of_bucket)))
            if self.run_.inserted.is_set():
                return

    def names(self, call, info=False):
        """All names of a list, in pages, sorted, each once. None: the time is up."""
        found, after = [], None
        limit = self.rng.choice((1, 2, 7, 1000)) if len(self.of_bucket) < 50 else 1000
        while True:
            page = self.patiently(lambda: call(after=after, limit=limit, info=info))["data"]
            found += page
            last = (page[-1]["name"] if info else page[-1]) if page else None
            if len(page) < limit:
                break
            if self.run_.late():
                return None
            if after is not None and last.encode() <= after.encode():
                self.wrong(f"a list from behind {after!r} on ends with {last!r}")
                break
            after = last
        keys = [(item["name"] if info else item).encode() for item in found]
        self.events += len(keys)
        if keys != sorted(set(keys)):
            self.wrong(f"a list is not sorted, or has a name twice: {keys[:20]}")
        return found

    def buckets(self):
        due = {s.bucket for s in self.run_.streams if s.acked_high > s.base}
        match = f"apitest-{self.run_.seed}-*"
        found = self.names(lambda **page: self.client.list_buckets(match=match, **page))
        if found is not None and not due <= set(found):
            self.wrong(f"the list of buckets has not {sorted(due - set(found))[:5]}")

    def streams(self, bucket):
        streams = self.of_bucket[bucket]
        info = self.rng.random() < 0.5
        due = {s.name: s.acked_high for s in streams.values() if s.acked_high > s.base}
        found = self.names(lambda **page: self.client.list_streams(bucket, **page), info)
        if found is None:
            return
        highs = {item["name"]: item["high"] for item in found} if info else dict.fromkeys(found)
        if not due.keys() <= highs.keys():
            self.wrong(f"the list of {bucket!r} has not {sorted(due.keys() - highs.keys())[:5]}")
        for name, high in highs.items():
            if name not in streams and not self.run_.is_patched(bucket, name):
                self.wrong(f"the list of {bucket!r} has {name!r}, which is none of this test")
            if info and name in due and high < due[name]:
                self.wrong(f"{bucket!r}/{name!r} is listed with high {high}, after {due[name]} was acknowledged")


class Listener(Worker):
    """Follows every stream from its first event on, 64 a request: each event once, in order."""

    kind = "listeners"

    def __init__(self, run, number):
        super().__init__(run, number)
        streams = list(run.streams)
        self.rng.shuffle(streams)
        self.groups = [streams[i:i + LISTEN_STREAMS_MAX] for i in range(0, len(streams), LISTEN_STREAMS_MAX)]
        self.cursors = [None] * len(self.groups)
        self.readings = {}
        # Some begin when there is something to catch up with.
        self.begin_at = 0 if number == 0 else self.rng.uniform(0, 0.7)
        # Both ways of going on that there are: the cursor, and the last id + 1.
        self.by_cursor = number % 2 == 0

    def work(self):
        for stream in self.run_.streams:
            self.readings[stream.bucket, stream.name] = Reading(
                stream, self.run_.contents, self.run_.problems, self.who, stream.base + 1)
        while self.run_.progress() < self.begin_at * self.run_.total and not self.run_.ending():
            time.sleep(0.02)
        last = time.monotonic()
        while not self.run_.stopped.is_set():
            before = self.events
            for at, group in enumerate(self.groups):
                self.listen(at, group)
            last = time.monotonic() if self.events > before or not self.run_.final.is_set() else last
            if self.run_.final.is_set() and (self.seen_all() or time.monotonic() - last > self.run_.patience):
                break
            if self.run_.late():
                break
        self.missed()

    def seen_all(self):
        return all(r.next_id > (r.stream.final or 0) for r in self.readings.values())

    def missed(self):
        """Which events never came."""
        for reading in self.readings.values():
            final = reading.stream.final
            if final is not None and reading.next_id <= final:
                reading.wrong(f"ids {reading.next_id} to {final} never came")

    def listen(self, at, group):
        cursor = self.cursors[at] if self.by_cursor else None
        subscriptions = [(s.bucket, s.name, self.readings[s.bucket, s.name].next_id) for s in group]
        wait = LISTEN_WAIT_S if len(self.groups) == 1 and not self.run_.ending() else 0
        answer = self.get(iorio.listen_path(subscriptions, cursor, wait))
        for gap in answer.headers.get_all("Iorio-Gap", []):
            self.wrong(f"events were removed before they came, or a cursor was not accepted: {gap}")
        if answer.status != 204:
            for event in self.array("listen:", answer):
                self.take(event)
        elif len(self.groups) > 1:
            time.sleep(0.01)
        self.cursors[at] = answer.headers.get("Iorio-Cursor", self.cursors[at])

    def take(self, event):
        reading = self.readings.get((event.bucket, event.stream))
        if reading is None:
            self.wrong(f"an event of {event.bucket!r}/{event.stream!r} came, which nobody asked for")
            return
        reading.take(event)
        self.events += 1
        self.bytes += len(event.data)


class LastReading(Reading):
    """Of everything, when nobody appends any more: each event is one that was acknowledged, or has no answer, and
    those of a writer are in the order in which it sent them, so none is there twice."""

    def __init__(self, *args):
        super().__init__(*args)
        self.counts = {}  # writer -> the last of its counts
        self.unanswered = 0

    def take(self, event, exact=False):
        key = super().take(event, exact)
        at = event.id - self.stream.base - 1
        if key is None or at < 0:
            return key
        writer, count = key >> (COUNT_BITS + 2), key >> 2 & (1 << COUNT_BITS) - 1
        if count <= self.counts.get(writer, -1) and key not in self.stream.doubtful:
            self.wrong(f"id {event.id}: event {key} is there again, or not in the order in which it was sent")
        self.counts[writer] = max(count, self.counts.get(writer, -1))
        if not self.stream.keys[at] & ACKNOWLEDGED:
            self.unanswered += 1
            if key not in self.stream.pending and key not in self.stream.doubtful:
                self.wrong(f"id {event.id}: event {key} is there, and no append of it is unanswered")
        return key

    def lost(self):
        """Say which acknowledged events did not come."""
        gone = [self.stream.base + 1 + at for at in range(self.next_id - self.stream.base - 1, len(self.stream.keys))
                if self.stream.keys[at] & ACKNOWLEDGED]
        if gone:
            self.wrong(f"{len(gone)} events were acknowledged and are not there: ids {gone[0]} to {gone[-1]}")


class Checker(Worker):
    """Reads everything back, when all others have ended."""

    kind = "read back"

    def __init__(self, run, number, todo):
        super().__init__(run, number)
        self.todo = todo
        self.unanswered = 0

    def work(self):
        while not self.run_.late(self.run_.patience):
            try:
                stream = self.todo.get_nowait()
            except queue.Empty:
                return
            try:
                self.read_back(stream)
            except iorio.Error:
                self.todo.put(stream)  # it counts as not read back
                raise

    def read_back(self, stream):
        kept = self.patiently(lambda: self.client.head(stream.bucket, stream.name))
        if kept.low > stream.base + 1:
            self.wrong(f"{stream} ids below {kept.low} were removed: is there a policy?")
        reading = LastReading(stream, self.run_.contents, self.run_.problems, self.who, max(kept.low, stream.base + 1))
        self.patiently(lambda: self.run_.read_on(self.client, stream, reading))
        reading.lost()
        if kept.high != reading.next_id - 1:
            self.wrong(f"{stream} Iorio-High is {kept.high}, the last event that came is {reading.next_id - 1}")
        self.events += reading.count
        self.unanswered += reading.unanswered


class Patcher(Worker):
    """Sets its own member of a document that all patchers share, with PATCH."""

    kind = "patchers"

    def __init__(self, run, number):
        super().__init__(run, number)
        self.me = f"w{number}"
        self.last = {}  # document -> the number that was acknowledged last
        self.tried = {}  # document -> the number without an answer

    def work(self):
        for n in range(1, self.run_.args.iterations + 1):
            if self.run_.stopped.is_set() or self.run_.late():
                return
            self.patch(self.rng.choice(self.run_.documents), n)

    def patch(self, document, n):
        ops = [{"op": "add", "path": f"/{self.me}", "value": n}]
        if document in self.last and document not in self.tried:
            ops.insert(0, {"op": "test", "path": f"/{self.me}", "value": self.last[document]})
            if self.rng.random() < 0.1:
                self.refused(document, n)
        body = json.dumps(ops).encode()
        path = iorio.stream_path(*document)
        headers = {"Idempotency-Key": f"{self.run_.nonce}-p{self.number}-{n}"}
        self.tried[document] = n
        answer = self.patiently(lambda: self.client.call("PATCH", path, body, "application/json-patch+json", dict(headers)))
        if answer.status != 200 or type(answer.json().get("meta", {}).get("id")) is not int:
            self.wrong(f"{document} a patch was answered {answer.status} {answer.body[:200]!r}")
        self.events += 1
        self.bytes += len(body)
        self.last[document] = self.tried.pop(document)

    def refused(self, document, n):
        """A patch whose test fails appends nothing."""
        body = one_line(f'[{{"op":"test","path":"/{self.me}","value":"not {n}"}},{{"op":"remove","path":""}}]').encode()
        path = iorio.stream_path(*document)
        try:
            self.patiently(lambda: self.client.call("PATCH", path, body, "application/json-patch+json"))
            self.wrong(f"{document} a patch whose test fails was accepted")
        except iorio.Refused as e:
            if e.status != 400 or e.type != "invalid-body":
                raise
