"""test/integration/lib/lying.py - something between a client and a node that does not tell the truth.

Liar(port) passes requests on to the node at that port, one after the other on each connection, and
answers with what the node said, changed by `change(request, answer)`, or with what `instead(request)`
gives, and then the node hears nothing of it; drop_answer=N: the N-th
answer never comes, the connection is cut instead (every=True: each N-th). Liar(None, replies=[...]) has no
node: request by request it sends these bytes (None: cuts the connection), then it stops listening.
requests: what came, as bytes. tls: an ssl.SSLContext, then clients have to speak TLS.
conns: the connections that were made. Its threads end with close().
"""

import re
import socket
import threading

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


def read_message(sock, kept, to_head=False):
    """One HTTP message as bytes, b"" at the end of the connection. kept: bytes that came too early."""
    data = bytearray(kept)
    kept.clear()

    def more():
        piece = sock.recv(65536)
        if not piece:
            raise EOFError
        data.extend(piece)
    try:
        while b"\r\n\r\n" not in data:
            more()
        head = data.index(b"\r\n\r\n") + 4
        found = LENGTH.search(data, 0, head)
        if not to_head and b"transfer-encoding: chunked" in bytes(data[:head]).lower():
            while not data.endswith(b"0\r\n\r\n"):
                more()
            return bytes(data)
        end = head + (0 if to_head or found is None else int(found[1]))
        while len(data) < end:
            more()
    except (EOFError, OSError):
        return b""
    kept.extend(data[end:])
    return bytes(data[:end])


def unchunked(answer):
    """An answer with its body in one piece: (head without the lengths, body)."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        whole, rest = b"", body
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.split(b";")[0], 16)
            if length == 0:
                break
            whole, rest = whole + rest[:length], rest[length + 2:]
        body = whole
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"transfer-encoding:", b"content-length:"))]
    return b"\r\n".join(lines), body


def whole(head, body):
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Liar:
    def __init__(self, node_port, replies=None, drop_answer=0, every=False, change=None, instead=None, tls=None):
        self.node_port = node_port
        self.replies = replies
        self.drop_answer, self.every = drop_answer, every
        self.change = change or (lambda request, answer: answer)
        self.instead = instead or (lambda request: None)
        self.tls = tls
        self.requests = []
        self.answers = 0
        self.lock = threading.Lock()
        self.conns = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._stop_listening()
        for conn in list(self.conns):
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            conn.close()

    def _stop_listening(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.conns.append(conn)
            threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn):
        try:
            conn = conn if self.tls is None else self.tls.wrap_socket(conn, server_side=True)
        except OSError:
            conn.close()
            return
        (self._serve if self.replies is None else self._recite)(conn)

    def _recite(self, conn):
        kept = bytearray()
        with conn:
            while True:
                request = read_message(conn, kept)
                if not request:
                    return
                with self.lock:
                    self.requests.append(request)
                    reply = self.replies.pop(0) if self.replies else None
                    if not self.replies:
                        self._stop_listening()
                if reply is None:
                    return
                try:
                    conn.sendall(reply)
                except OSError:
                    return

    def _serve(self, conn):
        kept, back = bytearray(), bytearray()
        with conn:
            try:
                node = socket.create_connection(("127.0.0.1", self.node_port))
            except OSError:
                return
            with node:
                while self._pass_on(conn, node, kept, back):
                    pass

    def _pass_on(self, conn, node, kept, back):
        request = read_message(conn, kept)
        if not request:
            return False
        try:
            told = self.instead(request)
            if told is not None:
                conn.sendall(told)
                return True
            node.sendall(request)
            answer = read_message(node, back, to_head=request.startswith(b"HEAD "))
            with self.lock:
                self.requests.append(request)
                self.answers += 1
                number = self.answers
            cut = self.drop_answer and (number % self.drop_answer == 0 if self.every else number == self.drop_answer)
            answer = b"" if cut else self.change(request, answer)
            if not answer:
                return False
            conn.sendall(answer)
        except OSError:
            return False
        return b"\r\nconnection: close" not in answer.lower()
