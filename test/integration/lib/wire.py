"""test/integration/lib/wire.py - HTTP/1.1 as bytes: nothing is added, repaired or hidden.

Wire is one TCP connection: send() puts bytes on it, read() takes exactly one
answer off it and keeps what follows for the next (pipelining). The headers of an
Answer are a list, so that a header sent twice is seen. A timeout or an early end
is an AssertionError: in a test both are the node's fault.
"""

import json
import os
import socket
import struct

# Sanitizer builds are slow; every limit of time in the tests is multiplied by this.
SLOW = float(os.environ.get("IORIO_TEST_SLOW", "1"))
TIMEOUT_S = 10 * SLOW


class Answer:
    """One answer: status, reason, headers as [(name, value)], body, and how it was sent."""

    def __init__(self, status, reason, headers, body, chunked):
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.chunked = chunked

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def get(self, name):
        """The value of a header that may be there once; None when it is not there."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} was sent {len(values)} times: {values}"
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def words(self, name):
        """The members of a comma separated header, as a set."""
        value = self.get(name)
        return None if value is None else {w.strip() for w in value.split(",")}

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:300]!r}>"


class Wire:
    """One connection to host:port. Use it as a context manager."""

    def __init__(self, host, port, timeout_s=TIMEOUT_S, tls=None, source=None):
        """tls: an ssl.SSLContext; the server has to be `localhost`. source: an address of ours that the
        connection comes from."""
        self.sock = socket.create_connection((host, port), timeout_s, source and (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        self._got = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with a RST instead of a FIN, as a client that crashed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def _more(self):
        """Read some bytes; False at the end of the connection."""
        try:
            data = self.sock.recv(1 << 18)
        except TimeoutError:
            raise AssertionError(f"no answer in time; so far: {bytes(self._got[:300])!r}") from None
        self._got += data
        return bool(data)

    def _until(self, mark):
        at = self._got.find(mark)
        while at < 0:
            seen = len(self._got)
            if not self._more():
                raise AssertionError(f"the connection ended before {mark!r}; "
                                     f"got {bytes(self._got[:300])!r}")
            at = self._got.find(mark, max(0, seen - len(mark)))
        found = bytes(self._got[:at])
        del self._got[:at + len(mark)]
        return found

    def _exactly(self, size):
        while len(self._got) < size:
            if not self._more():
                raise AssertionError(f"the body ended after {len(self._got)} of {size} bytes")
        found = bytes(self._got[:size])
        del self._got[:size]
        return found

    def read_head(self):
        """Status line and headers: (status, reason, [(name, value)])."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        assert version == "HTTP/1.1", f"status line {lines[0]!r}"
        status, _, reason = rest.partition(" ")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name == name.strip() and name, f"header line {line!r}"
            headers.append((name, value.strip()))
        return int(status), reason, headers

    def read(self, method="GET"):
        """One final answer to a request of that method (it tells whether a body follows)."""
        status, reason, headers = self.read_head()
        named = {}
        for name, value in headers:
            named.setdefault(name.lower(), []).append(value)
        chunked = named.get("transfer-encoding") == ["chunked"]
        length = named.get("content-length")
        assert length is None or len(length) == 1, f"Content-Length: {length}"
        assert not (chunked and length), "both Content-Length and chunked"
        if method == "HEAD" or status in (204, 304) or status < 200:
            body = b""
        elif chunked:
            body = self._chunks()
        elif length:
            body = self._exactly(int(length[0]))
        else:
            assert "close" in ",".join(named.get("connection", [])).lower(), \
                f"no length, not chunked, not closed: {headers}"
            body = self.rest()
        return Answer(status, reason, headers, body, chunked)

    def _chunks(self):
        body = bytearray()
        while True:
            size = int(self._until(b"\r\n").split(b";")[0], 16)
            body += self._exactly(size)
            if size == 0:
                while self._until(b"\r\n"):
                    pass
                return bytes(body)
            assert self._exactly(2) == b"\r\n", "a chunk does not end where it said"

    def rest(self):
        """Everything up to the end of the connection."""
        while self._more():
            pass
        found = bytes(self._got)
        self._got.clear()
        return found

    def closed_by_peer(self):
        """True when the other side closes without another byte (waits for it)."""
        try:
            return not self._more() and not self._got
        except ConnectionResetError:
            return not self._got

    def request(self, method, path, headers=(), body=None):
        """Send one request and read its answer. headers: [(name, value)]."""
        self.send(build(method, path, headers, body))
        return self.read(method)


def build(method, path, headers=(), body=None):
    """The bytes of a request; Host and, with a body, Content-Length are added."""
    head = [f"{method} {path} HTTP/1.1", "Host: test"]
    head += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(parts):
    """The parts as a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
