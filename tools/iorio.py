"""tools/iorio.py - the Python client of Iorio DB (standard library only).

One Client is one keep-alive HTTP connection and belongs to one thread.

Happy path: Client(host, port, username, password) logs in with the first call
that needs it, every method is one request, the connection stays open.

Failure modes, each an exception below Error:
  CannotConnect  nobody listens there, the name does not resolve: nothing was sent
  Timeout        no answer in time: a write may have happened
  ConnectionLost the connection broke in the middle: a write may have happened
  BadAnswer      what came back is not what an Iorio DB node says
  Refused        the node said no: .status .type .reason .fields
  NotFound       a Refused: 404 or 410
A GET or HEAD on a connection that the server had closed in the meantime is sent
once more on a new one. A POST never is, unless not a byte of it can have been read;
patiently() repeats what may be repeated. Users, groups, grants, policies: iorio_admin.py.
"""

import http.client
import json
import random
import select
import socket
import ssl
import time
import urllib.parse

JSON = "application/json"
NDJSON = "application/x-ndjson"
BINARY = "application/octet-stream"
PATCH = "application/json-patch+json"

# The longest line of NDJSON the client keeps in memory: the largest body a node can be
# configured for, as base64, with room for what is around it.
LINE_BYTES_MAX = (3 << 29) + (1 << 20)
# How long one request of listen() waits on the node, and how long it stays away after errors.
LISTEN_WAIT_S = 60
BACKOFF_S = (0.1, 10.0)
# What a node may ask a client to stay away (Retry-After); a longer time is cut.
RETRY_AFTER_S_MAX = 300
# An answer that is not a stream: longer ones are not from a node.
ANSWER_BYTES_MAX = 2 << 30


class Error(Exception):
    """Everything that can go wrong with a request. str(e) is a sentence for humans."""

    status = None
    type = "error"
    # True when a write may be in the stream although no answer says so.
    unknown_outcome = False

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class CannotConnect(Error):
    type = "cannot-connect"


class Timeout(Error):
    type = "timeout"
    unknown_outcome = True


class ConnectionLost(Error):
    type = "connection-lost"
    unknown_outcome = True


class BadAnswer(Error):
    type = "bad-answer"
    unknown_outcome = True


class Refused(Error):
    """An answer with an error status. fields holds the whole error object."""

    def __init__(self, status, type_, reason, fields=None, headers=None):
        super().__init__(reason)
        self.status = status
        self.type = type_
        self.fields = fields or {}
        self.headers = headers or {}
        self.unknown_outcome = status == 500 or (status == 503 and type_ == "timeout")

    def __str__(self):
        more = [f"{k} {self.fields[k]!r}" for k in ("field", "value", "expected", "got", "line", "offset")
                if k in self.fields]
        return f"{self.status} {self.type}: {self.reason}" + (f" ({', '.join(more)})" if more else "")


class NotFound(Refused):
    pass


def retry_after(error):
    """How many seconds the node asks to stay away (Retry-After), None when it does not."""
    text = (getattr(error, "headers", None) or {}).get("Retry-After", "")
    return min(int(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdigit() and len(text) < 10 else None


def may_pass(error):
    """Is it an error that goes away by itself? The node is away, or says so."""
    if isinstance(error, (CannotConnect, ConnectionLost, Timeout)) or error.status == 429:
        return True
    return error.status == 503 and (retry_after(error) is not None or error.type == "timeout")


class Answer:
    """status, headers (names without case) and the whole body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        kind = self.headers.get("Content-Type", "")
        if kind.split(";")[0].strip().lower() != JSON:
            raise BadAnswer(f"the answer (status {self.status}) is {kind or 'of no type'}, not JSON")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as e:
            raise BadAnswer(f"the answer (status {self.status}) is broken JSON: {e}") from None


class Range:
    """The first and the last id that a stream keeps; nothing kept: low = high + 1."""

    def __init__(self, low, high):
        self.low = low
        self.high = high


def quote(name):
    """A bucket or stream name as a path segment."""
    if isinstance(name, str):
        name = name.encode("utf-8", "surrogateescape")
    segment = urllib.parse.quote(name, safe="")
    # "." and ".." would be taken for steps in the path.
    return segment.replace(".", "%2E") if segment in (".", "..") else segment


def stream_path(bucket, stream, event=None):
    path = f"/streams/{quote(bucket)}/{quote(stream)}"
    return path if event is None else f"{path}/{event}"


def listen_path(streams, cursor=None, wait=None, catchup=None):
    """GET /listen for streams: (bucket, stream) or (bucket, stream, from)."""
    def name(text):
        text = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return urllib.parse.quote(text, safe="")
    pairs = []
    for bucket, stream, *from_ in streams:
        parts = [name(bucket), name(stream)] + [str(f) for f in from_ if f is not None]
        pairs.append(("s", ":".join(parts)))
    pairs += [(k, v) for k, v in (("cursor", cursor), ("wait", wait), ("catchup", catchup)) if v is not None]
    return "/listen?" + urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)


def split_array(text):
    """The members of a JSON array as lines of their own: the texts as they came, line
    breaks between tokens as blanks."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)  # only the ends are wanted
    at, found = 1, []
    if text[:1] != "[" or text[-1:] != "]":
        raise ValueError("no array")
    while at < len(text) - 1:
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end].replace("\r", " ").replace("\n", " ").encode() + b"\n")
        if text[end] not in ",]":
            raise ValueError("no comma between members")
        at = end + 1
    return found


def with_query(path, **params):
    """Add the parameters that are not None; a trailing _ lets `from_` be `from`."""
    pairs = [(k.rstrip("_"), v) for k, v in params.items() if v is not None]
    query = urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote, errors="surrogateescape")
    return f"{path}?{query}" if pairs else path


def tls_context(cacert=None, check=True):
    """For Client(tls=): whom to trust, a file of certificates, or those of the system. check=False:
    anybody, which keeps out listeners on the line but nobody who stands in between."""
    context = ssl.create_default_context(cafile=cacert)
    if not check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """See the top of the file. username None: no login, the caller is `anonymous`."""

    def __init__(self, host="127.0.0.1", port=8080, username=None, password=None,
                 token=None, timeout=30.0, trace=None, tls=None):
        """tls: an ssl.SSLContext for HTTPS, see tls_context(); None: HTTP."""
        self.host = host
        self.port = port
        self.username = username
        self.password = password
        self.token = token
        self.timeout = timeout
        self.tls = tls
        self._trace = trace or (lambda line: None)
        self._conn = None
        self._more_s = 0  # how much longer than `timeout` an answer may take
        self.cursor = None  # of listen(): behind everything that was delivered
        self.reached = False  # there was an answer, whatever it said
        self._may_log_in = token is None and username is not None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    # --- sessions ---

    def login(self, username=None, password=None):
        """Log in, keep the token for the next requests and return it."""
        self.username = self.username if username is None else username
        self.password = self.password if password is None else password
        body = json.dumps({"username": self.username, "password": self.password}).encode()
        try:
            answer = self.request("POST", "/sessions", body, JSON, token=False)
        except Error as e:
            e.unknown_outcome = False  # whatever became of the login, nothing was written
            raise
        token = answer.json().get("token") if answer.status == 201 else None
        if not isinstance(token, str):
            raise BadAnswer("the answer to the login holds no token")
        self.token = token
        self._may_log_in = True
        return token

    def session(self):
        """The user that the node takes this client for."""
        return self._field(self.call("GET", "/sessions"), "username", str)

    # --- events ---

    def post(self, bucket, stream, data, content_type=JSON, if_match=None, if_none_match=False,
             prefer=None, idempotency_key=None):
        """Append one event: bytes or text as they are. Returns the meta, {"id":..,"t":..};
        {} when prefer="memory" was granted (no id is given then). With an idempotency_key
        (1 to 128 bytes) it may be sent again after an error: it is appended once."""
        headers = {}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if if_none_match:
            headers["If-None-Match"] = "*"
        if prefer is not None:
            headers["Prefer"] = f"durability={prefer}"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        body = data.encode() if isinstance(data, str) else bytes(data)
        answer = self.call("POST", stream_path(bucket, stream), body, content_type, headers)
        return {} if answer.status == 202 else self._field(answer, "meta", dict)

    def post_json(self, bucket, stream, value, **options):
        """Append one event: a Python value, written as JSON."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return self.post(bucket, stream, text, **options)

    def post_batch(self, bucket, stream, lines, **options):
        """Append a list of JSON texts (bytes, one line each) all or none. Returns
        {"id": first, "last": last, "t":..}."""
        body = b"".join(line if line.endswith(b"\n") else line + b"\n" for line in lines)
        return self.post(bucket, stream, body, NDJSON, **options)

    def patch(self, bucket, stream, patch, content_type=PATCH, if_match=None, prefer=None,
              idempotency_key=None):
        """A JSON Patch (RFC 6902) on the newest event: a list of operations, or their JSON as
        text or bytes. The result is appended; returns its meta. A Refused of status 400: an
        operation does not fit (.fields["op"] is its number), or there is no event;
        412: the last id is not if_match. With an idempotency_key it is applied once."""
        headers = {}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if prefer is not None:
            headers["Prefer"] = f"durability={prefer}"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        if not isinstance(patch, (str, bytes, bytearray)):
            patch = json.dumps(patch, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        body = patch.encode() if isinstance(patch, str) else bytes(patch)
        answer = self.call("PATCH", stream_path(bucket, stream), body, content_type, headers)
        return {} if answer.status == 202 else self._field(answer, "meta", dict)

    def get(self, bucket, stream, from_=None, limit=None, to=None):
        """A list of events, at most streams.read.max of them; see iter() for more."""
        path = with_query(stream_path(bucket, stream), from_=from_, limit=limit, to=to)
        events = self.call("GET", path).json()
        if not isinstance(events, list):
            raise BadAnswer("the answer is no list of events")
        return events

    def iter_lines(self, bucket, stream, from_=None, limit=None, to=None):
        """The events as lines of NDJSON (bytes with their newline), streamed: nothing
        but the current line is in memory. Close or exhaust it before the next call;
        the connection is given up if it was not exhausted."""
        path = with_query(stream_path(bucket, stream), from_=from_, limit=limit, to=to)
        raw = self._authorized("GET", path, None, {"Accept": NDJSON}, stream=True)
        done = False
        try:
            while True:
                line = self._guard(lambda: raw.readline(LINE_BYTES_MAX))
                if not line:
                    self._check_whole(raw)
                    # http.client does not see by itself that it was read to the end line by line.
                    raw.close()
                    done = True
                    return
                if not line.endswith(b"\n"):
                    raise ConnectionLost("the answer ended in the middle of an event")
                yield line
        finally:
            if not done:
                self.close()

    def iter(self, bucket, stream, from_=None, limit=None, to=None):
        """The same, each line as an object {"meta":..,"data":..}."""
        for line in self.iter_lines(bucket, stream, from_, limit, to):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as e:
                raise BadAnswer(f"a line of the answer is broken JSON: {e}") from None

    def delete(self, bucket, stream, to=None):
        """Remove the events up to the id `to`; without it all of them, and the name leaves
        the lists. May be repeated. Returns the range of ids that is kept."""
        return self._range(self.call("DELETE", with_query(stream_path(bucket, stream), to=to)))

    def patiently(self, step, seconds, on_retry=None):
        """step() until it succeeds, fails for good, or `seconds` are over: it is called again
        while the node is away or asks to come back later (see may_pass()). Only for what
        may be sent twice: reads, and appends with an idempotency_key, which a node
        remembers for two minutes. on_retry(error, delay). A node that never answered
        this client is not waited for: CannotConnect at once."""
        end, backoff = time.monotonic() + seconds, BACKOFF_S[0]
        doubt = False  # one of the tries may have done it
        while True:
            try:
                return step()
            except Error as e:
                doubt = e.unknown_outcome = doubt or e.unknown_outcome
                delay = max(retry_after(e) or 0, backoff) * random.uniform(1.0, 1.25)
                hopeless = not may_pass(e) or (isinstance(e, CannotConnect) and not self.reached)
                if hopeless or time.monotonic() + delay > end:
                    raise
                if on_retry is not None:
                    on_retry(e, delay)
                self._trace(f"! {e}; again in {delay:.1f} s")
                time.sleep(delay)
                backoff = min(2 * backoff, BACKOFF_S[1])

    # --- listening ---

    def listen_lines(self, streams, cursor=None, idle=None, on_gap=None, catchup=None):
        """Events as they come, for ever, as lines of JSON (bytes with their newline). streams:
        (bucket, stream) for new events, (bucket, stream, from) from an id on, at most 64.
        cursor: where an earlier listener was (self.cursor, at any time); it wins over from.
        idle: end when so many seconds bring no event. on_gap(text): events were removed
        before they could be delivered, `bucket:stream:from-to` with the names encoded, or
        `*` when the cursor was not accepted. When the node cannot be reached, or is busy,
        after it once could: again and again, from the cursor on; other errors are raised."""
        self.cursor = cursor
        delay, reached = BACKOFF_S[0], False
        last = time.monotonic()
        while True:
            left = None if idle is None else last + idle - time.monotonic()
            wait = LISTEN_WAIT_S if left is None else min(LISTEN_WAIT_S, max(0, -(-left // 1)))
            try:
                answer = self._listen_once(streams, int(wait), catchup)
                reached, delay = True, BACKOFF_S[0]
            except Error as e:
                retry = isinstance(e, (CannotConnect, ConnectionLost, Timeout)) or e.status in (429, 503)
                if not reached or not retry or (left is not None and left <= 0):
                    raise
                self._trace(f"! {e}; again in {delay:.1f} s")
                time.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(2 * delay, BACKOFF_S[1])
                continue
            for gap in answer.headers.get_all("Iorio-Gap", []):
                if on_gap is not None:
                    on_gap(gap)
            lines = self._listen_answer(answer)
            if lines:
                last = time.monotonic()
            elif left is not None and left <= 0:
                return
            yield from lines
            self.cursor = answer.headers.get("Iorio-Cursor", self.cursor)

    def listen(self, streams, cursor=None, idle=None, on_gap=None, catchup=None):
        """The same, each event as an object; bucket and stream are in its meta."""
        for line in self.listen_lines(streams, cursor, idle, on_gap, catchup):
            yield json.loads(line)

    def _listen_once(self, streams, wait, catchup):
        """One request, which may take as long as it waits, on top of the usual time."""
        self._more_s = wait
        try:
            return self.call("GET", listen_path(streams, self.cursor, wait, catchup))
        finally:
            self._more_s = 0

    @staticmethod
    def _listen_answer(answer):
        if answer.status == 204:
            return []
        try:
            return split_array(answer.body.decode())
        except (ValueError, IndexError, RecursionError) as e:
            raise BadAnswer(f"the answer is no list of events: {e}") from None

    def raw(self, bucket, stream, event):
        """The exact bytes of one event and their content type."""
        answer = self.call("GET", stream_path(bucket, stream, event))
        return answer.body, answer.headers.get("Content-Type", "")

    def head(self, bucket, stream):
        """The range of ids that the stream keeps; never written: 1 and 0."""
        return self._range(self.call("HEAD", stream_path(bucket, stream)))

    @staticmethod
    def _range(answer):
        try:
            return Range(int(answer.headers["Iorio-Low"]), int(answer.headers["Iorio-High"]))
        except (KeyError, TypeError, ValueError):
            raise BadAnswer("the answer has no Iorio-Low and Iorio-High") from None

    # --- lists, node ---

    def list_buckets(self, after=None, limit=None, match=None, info=False):
        return self._list("/buckets", after, limit, match, info)

    def list_streams(self, bucket, after=None, limit=None, match=None, info=False):
        return self._list(f"/streams/{quote(bucket)}", after, limit, match, info)

    def ping(self):
        """The name of the node."""
        return self._field(self.request("GET", "/ping", token=False), "pong", str)

    def _list(self, path, after, limit, match, info):
        path = with_query(path, after=after, limit=limit, match=match, info="yes" if info else None)
        answer = self.call("GET", path)
        self._field(answer, "data", list)
        return answer.json()

    @staticmethod
    def _field(answer, name, kind):
        body = answer.json()
        value = body.get(name) if isinstance(body, dict) else None
        if not isinstance(value, kind):
            raise BadAnswer(f'the answer (status {answer.status}) has no "{name}"')
        return value

    # --- one request ---

    def call(self, method, path, body=None, content_type=None, headers=None):
        """A request by the user of this client, whole answer. Logs in when needed."""
        headers = dict(headers or {})
        if content_type is not None:
            headers["Content-Type"] = content_type
        return self._authorized(method, path, body, headers, stream=False)

    def request(self, method, path, body=None, content_type=None, headers=None, token=True):
        """A request as it is, without a login. Error statuses are raised."""
        headers = dict(headers or {})
        if content_type is not None:
            headers["Content-Type"] = content_type
        if token and self.token is not None:
            headers["X-Session"] = self.token
        return self._whole(method, self._send(method, path, body, headers))

    def _authorized(self, method, path, body, headers, stream):
        if self.token is None and self._may_log_in:
            self.login()
        for attempt in (1, 2):
            if self.token is not None:
                headers["X-Session"] = self.token
            raw = self._send(method, path, body, headers)
            try:
                if stream and raw.status == 200:
                    return raw
                answer = self._whole(method, raw)
                if stream:
                    raise BadAnswer(f"status {answer.status} where 200 was due")
                return answer
            except Refused as e:
                # The token may have run out; a refused request has done nothing.
                if e.status != 401 or attempt == 2 or not self._token_is_stale():
                    raise
                self.login()
        raise AssertionError("two attempts, no result")

    def _token_is_stale(self):
        if not self._may_log_in or self.token is None:
            return False
        try:
            self.request("GET", "/sessions")
            return False
        except Refused as e:
            return e.status == 401

    def _send(self, method, path, body, headers):
        """Send one request and read the head of its answer."""
        self._trace(f"> {method} {path}" + (f" ({len(body)} bytes)" if body is not None else ""))
        reused = self._conn is not None and self._still_open()
        if not reused:
            self.close()
            self._connect()
        self._conn.sock.settimeout(self.timeout + self._more_s)
        try:
            raw = self._guard(lambda: self._exchange(method, path, body, headers))
        except ConnectionLost:
            if not reused or method not in ("GET", "HEAD"):
                raise
            self._connect()
            self._conn.sock.settimeout(self.timeout + self._more_s)
            raw = self._guard(lambda: self._exchange(method, path, body, headers))
        self.reached = True
        self._trace(f"< {raw.status} {raw.reason}")
        return raw

    def _exchange(self, method, path, body, headers):
        try:
            self._conn.request(method, path, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError):
            # A node that refuses a body early (413) answers before it has read all of it.
            if body is None or self._conn.sock is None:
                raise
        return self._conn.getresponse()

    def _whole(self, method, raw):
        body = self._guard(lambda: raw.read(ANSWER_BYTES_MAX))
        if method != "HEAD":
            self._check_whole(raw)
        answer = Answer(raw.status, raw.headers, body)
        if raw.will_close:
            self.close()
        if raw.status >= 400:
            raise refusal(answer)
        if raw.status not in (200, 201, 202, 204):
            raise BadAnswer(f"status {raw.status} {raw.reason}: is this an Iorio DB node?")
        return answer

    def _check_whole(self, raw):
        """http.client takes a body that ends early for a whole one when read in parts."""
        if raw.length:
            self.close()
            raise ConnectionLost("the answer ended early")

    # --- the connection ---

    def _where(self):
        return f"{self.host}:{self.port}"

    def _connect(self):
        try:
            if self.tls is None:
                conn = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
            else:
                conn = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.tls)
            conn.connect()
        except TimeoutError:
            raise CannotConnect(f"cannot connect to {self._where()}: no answer in "
                                f"{self.timeout:g} s") from None
        except ssl.SSLCertVerificationError as e:
            raise CannotConnect(f"the certificate of {self._where()} is not trusted: {e.verify_message}") from None
        except ssl.SSLError as e:
            raise CannotConnect(f"{self._where()} does not speak TLS with us: {e.reason or e}") from None
        except (OSError, UnicodeError, http.client.HTTPException) as e:
            why = getattr(e, "strerror", None) or str(e)
            raise CannotConnect(f"cannot connect to {self._where()}: {why}") from None
        self._conn = conn

    def _still_open(self):
        """A kept connection must have nothing to read: else the server has closed it."""
        sock = self._conn.sock
        if sock is None:
            return False
        try:
            poll = select.poll()
            poll.register(sock, select.POLLIN | select.POLLPRI)
            return not poll.poll(0)
        except OSError:
            return False

    def _guard(self, step):
        """Run one step on the connection; give it up and translate what goes wrong."""
        try:
            return step()
        except TimeoutError:
            self.close()
            raise Timeout(f"{self._where()} did not answer in {self.timeout + self._more_s:g} s") from None
        except (http.client.RemoteDisconnected, http.client.IncompleteRead, OSError) as e:
            self.close()
            why = getattr(e, "strerror", None) or str(e)
            raise ConnectionLost(f"lost the connection to {self._where()}: {why}") from None
        except http.client.InvalidURL:
            self.close()
            raise
        except http.client.HTTPException as e:
            self.close()
            raise BadAnswer(f"{self._where()} does not answer like an Iorio DB node: "
                            f"{type(e).__name__} {e}".rstrip()) from None
        except BaseException:
            # A header that cannot be sent, Ctrl-C: the connection is in the middle of something.
            self.close()
            raise


def refusal(answer):
    """The exception for an answer with an error status, whatever its body is."""
    status = answer.status
    fields = {}
    try:
        body = answer.json() if answer.body else {}
        fields = body if isinstance(body, dict) else {}
    except BadAnswer:
        pass
    type_, reason = fields.get("type"), fields.get("reason")
    if not isinstance(type_, str) or not isinstance(reason, (str, dict)):
        accepted = [f"{name}: {answer.headers[name]}" for name in ("Allow", "Accept-Post", "Accept-Patch")
                    if name in answer.headers]
        type_ = {404: "not-found", 405: "method-not-allowed", 406: "not-acceptable",
                 415: "unsupported-type"}.get(status, "http-error")
        reason = "; ".join([http.client.responses.get(status, "error")] + accepted)
    if isinstance(reason, dict):  # a PATCH that others were faster than, again and again
        fields, reason = {**fields, **reason}, str(reason.get("reason", "error"))
    kind = NotFound if status in (404, 410) else Refused
    return kind(status, type_, reason, fields, answer.headers)
