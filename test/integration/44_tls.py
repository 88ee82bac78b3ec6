#!/usr/bin/env python3
"""test/integration/44_tls.py - HTTPS: certificates good and bad, who may speak how, a new certificate without a
restart, certificates of clients, and everything that must hold over TLS as it does without."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.certs import Certs  # noqa: E402
from lib.node import EXIT_BAD_CONFIG, Node, binary, free_port, iorio_verb, temp_folder, track, wait_until  # noqa: E402
from lib.wire import SLOW, Wire, build  # noqa: E402

EXIT_PORT_BUSY = 69


def openssl(folder, *args):
    return subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, text=True).stdout


class TlsCase(NodeCase):
    MORE = {}

    @classmethod
    def setUpClass(cls):
        cls.certs = Certs()
        cls.CONF = cls.certs.conf(**cls.MORE)
        cls.tls = cls.certs.context()
        super().setUpClass()

    def wire(self, tls=None):
        return self.node.wire(tls=tls or self.tls)

    def over_tls(self, method, path, body=None, type_=None, headers=(), token=True, tls=None):
        headers = list(headers)
        if token:
            headers.append(("X-Session", self.node.token()))
        if type_:
            headers.append(("Content-Type", type_))
        with self.wire(tls) as wire:
            wire.send(build(method, path, headers, body))
            return wire.read(method)


class Https(TlsCase):
    def test_words(self):
        """The log has the line of the first Iorio DB; banner and node.run say where."""
        self.assertIn("[info] secure api enabled, starting", self.node.log())
        self.assertIn(f"TLS on       127.0.0.1:{self.node.tls_port}\n", self.node.banner())
        self.assertEqual(self.node.run_file()["https"], f"127.0.0.1:{self.node.tls_port}")

    def test_names(self):
        """make-dev-certs.sh: the certificate holds for localhost, 127.0.0.1 and ::1, and for nothing else."""
        for name, good in (("localhost", True), ("127.0.0.1", True), ("::1", True), ("example.org", False)):
            with self.subTest(name=name), socket.create_connection(("127.0.0.1", self.node.tls_port), 5) as s:
                if good:
                    self.tls.wrap_socket(s, server_hostname=name).close()
                else:
                    with self.assertRaises(ssl.SSLCertVerificationError):
                        self.tls.wrap_socket(s, server_hostname=name)

    def version(self, low, high, ciphers=None):
        context = self.certs.context()
        with subprocess_warnings_off():
            context.minimum_version, context.maximum_version = low, high
        context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", self.node.tls_port), 5) as s:
            with context.wrap_socket(s, server_hostname="localhost") as wrapped:
                return wrapped.version(), wrapped.cipher()[0]

    def test_versions(self):
        """TLS 1.2 and 1.3, with forward secrecy and authenticated encryption only."""
        v = ssl.TLSVersion
        self.assertEqual(self.version(v.TLSv1_2, v.TLSv1_3)[0], "TLSv1.3")
        got, cipher = self.version(v.TLSv1_2, v.TLSv1_2)
        self.assertEqual(got, "TLSv1.2")
        self.assertRegex(cipher, "^ECDHE-.*(GCM|CHACHA20)")
        for low, high, ciphers in ((v.TLSv1, v.TLSv1_1, None), (v.TLSv1_2, v.TLSv1_2, "AES128-GCM-SHA256"),
                                   (v.TLSv1_2, v.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA"),
                                   (v.TLSv1_2, v.TLSv1_2, "DHE-RSA-AES256-GCM-SHA384")):
            with self.subTest(high=high, ciphers=ciphers), self.assertRaises((ssl.SSLError, OSError)):
                self.version(low, high, ciphers)

    def test_alpn(self):
        """ALPN offers http/1.1; a client that wants h2 gets http/1.1 while http2.enabled is no."""
        for offered, want in ((("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"), (("h2",), None), ((), None)):
            with socket.create_connection(("127.0.0.1", self.node.tls_port), 5) as s:
                with self.certs.context(alpn=offered).wrap_socket(s, server_hostname="localhost") as wrapped:
                    self.assertEqual(wrapped.selected_alpn_protocol(), want, offered)

    def test_api(self):
        """The API over TLS: login, appends, reads, lists, long polls."""
        answer = self.over_tls("POST", "/sessions", b'{"username":"admin","password":"secret"}', JSON, token=False)
        self.assertEqual(answer.status, 201)
        self.assertStored(self.over_tls("POST", self.at, b'{"a":1}', JSON), 1)
        self.assertBatch(self.over_tls("POST", self.at, b"2\n3\n", NDJSON), 2, 3)
        self.assertEqual(self.over_tls("GET", self.at + "/1").body, b'{"a":1}')
        self.assertEqual([e["data"] for e in self.over_tls("GET", self.at + "?from=1&limit=9").json()], [{"a": 1}, 2, 3])
        self.assertIn(self.name, self.over_tls("GET", f"/streams/{self.bucket}").json()["data"])
        with self.wire() as wire:
            wire.send(build("GET", f"/listen?s={self.bucket}:{self.name}:4&wait=10", [("X-Session", self.node.token())]))
            time.sleep(0.2)
            self.assertStored(self.over_tls("POST", self.at, b"4", JSON), 4)
            self.assertEqual(wire.read().json()[0]["data"], 4)

    def test_client_that_leaves_a_long_poll(self):
        """A long poll over TLS whose client leaves ends at once."""
        def waiting():
            return int(re.search(r"^iorio_http_waiting (\d+)$", self.get("/metrics", token=None).body.decode(), re.M)[1])
        before = waiting()
        for how in ("close", "reset"):
            wire = self.wire()
            wire.send(build("GET", f"/listen?s={self.bucket}:none&wait=60", [("X-Session", self.node.token())]))
            wait_until("it waits", lambda: waiting() == before + 1, 5 * SLOW)
            getattr(wire, how)()
            wait_until("it is gone", lambda: waiting() == before, 5 * SLOW)

    def test_large(self):
        """Bodies of 8 MB, written in pieces that meet the buffers exactly, and read back."""
        for piece in (1000, 4096, 8192, 16384, 100000):
            body = os.urandom(8 << 20 if piece == 16384 else 1 << 20)
            with self.wire() as wire:
                data = build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", BINARY)], body)
                for at in range(0, len(data), piece):
                    wire.send(data[at:at + piece])
                answer = wire.read("POST")
                self.assertEqual(answer.status, 201)
                self.assertEqual(wire.request("GET", f"{self.at}/{answer.json()['meta']['id']}",
                                              [("X-Session", self.node.token())]).body, body)

    def test_killed_clients(self):
        """Clients that are gone without a goodbye, in every state, leave no descriptor behind."""
        def fds():
            return len(os.listdir(f"/proc/{self.node.process.pid}/fd"))
        token = [("X-Session", self.node.token())]
        self.append(b'"' + b"x" * 500000 + b'"')
        wait_until("quiet", lambda: fds(), 1)
        before = fds()
        states = (b"", build("POST", self.at, token + [("Content-Type", JSON)], b"x" * 50000)[:-20],
                  build("GET", "/ping") * 50, build("GET", self.at + "/1", token),
                  build("GET", f"/listen?s={self.bucket}:none&wait=60", token))
        for n in range(100):
            wire = self.wire()
            wire.send(states[n % len(states)])
            if n % 2:
                time.sleep(0.002)
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.sock.close()
        wait_until("the descriptors are back", lambda: fds() <= before, 10 * SLOW, 0.05)

    def test_plain_http_on_this_port(self):
        """HTTP without TLS on the port, and garbage, end the connection; the node lives on."""
        for data in (build("GET", "/ping"), b"\0" * 1000, os.urandom(5000), b"\x16\x03\x01\xff\xff" + b"x" * 70000):
            with Wire("127.0.0.1", self.node.tls_port) as wire:
                try:
                    wire.send(data)
                    wire.rest()
                except OSError:
                    pass
        self.assertAlive()

    def test_curl(self):
        """curl trusts it with --cacert, and not without."""
        url = f"https://localhost:{self.node.tls_port}/ping"
        good = subprocess.run(["curl", "-sS", "--cacert", self.certs.path("ca.pem"), url], capture_output=True,
                              text=True, check=False)
        self.assertEqual((good.returncode, json.loads(good.stdout)), (0, {"pong": "iorio@127.0.0.1"}))
        self.assertEqual(subprocess.run(["curl", "-sS", url], capture_output=True, check=False).returncode, 60)

    def test_metrics(self):
        def value(name):
            text = self.get("/metrics", token=None).body.decode()
            return int(re.search(rf"^{name} (\d+)$", text, re.M)[1])
        good, bad = value("iorio_tls_handshakes_total"), value("iorio_tls_handshakes_failed_total")
        self.over_tls("GET", "/ping")
        with self.assertRaises(ssl.SSLError), socket.create_connection(("127.0.0.1", self.node.tls_port), 5) as s:
            ssl.create_default_context().wrap_socket(s, server_hostname="localhost")
        wait_until("counted", lambda: (value("iorio_tls_handshakes_total"), value("iorio_tls_handshakes_failed_total"))
                   == (good + 1, bad + 1), 5 * SLOW)


class subprocess_warnings_off:
    """Python warns of old versions of TLS, which are what a test is about."""

    def __enter__(self):
        import warnings
        self.catch = warnings.catch_warnings()
        self.catch.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exc):
        return self.catch.__exit__(*exc)


class Stop(unittest.TestCase):
    def test_stop(self):
        """A stop with idle, waiting and half open TLS connections: exit code 0, in time."""
        certs = Certs()
        node = Node(certs.conf()).start()
        wires = [node.wire(tls=certs.context()) for _ in range(20)]
        for wire in wires[:10]:
            wire.send(build("GET", "/listen?s=a:b&wait=60", [("X-Session", node.token())]))
        half = socket.create_connection(("127.0.0.1", node.tls_port), 5)
        half.sendall(b"\x16\x03\x01")
        time.sleep(0.2)
        node.stop()
        for wire in wires:
            wire.close()
        half.close()


class Seed(unittest.TestCase):
    """The way of the first Iorio DB's README, with 2048 bits."""

    def make(self, bits):
        folder = temp_folder()
        openssl(folder, "genrsa", "-out", "key.pem", str(bits))
        openssl(folder, "req", "-new", "-key", "key.pem", "-out", "request.pem", "-subj", "/C=XX/O=Default/CN=localhost")
        openssl(folder, "x509", "-req", "-days", "30", "-in", "request.pem", "-signkey", "key.pem", "-out", "cert.pem")
        return {"https.enabled": "yes", "https.port": "0", "ssl.certfile": os.path.join(folder, "cert.pem"),
                "ssl.keyfile": os.path.join(folder, "key.pem")}

    def test_2048_bits(self):
        conf = self.make(2048)
        node = Node(conf).start()
        self.assertIn("[info] secure api enabled, starting", node.log())
        context = ssl.create_default_context(cafile=conf["ssl.certfile"])
        with node.wire(tls=context) as wire:
            self.assertEqual(wire.request("GET", "/ping").status, 200)
        node.stop()

    def test_1024_bits(self):
        """The 1,024 bits of back then are refused, and the error says what is needed."""
        node = Node(self.make(1024))
        node.spawn()
        self.assertEqual(node.wait(20 * SLOW), EXIT_BAD_CONFIG, node.tail())
        self.assertRegex(node.log(), r"ssl\.certfile = .*cert\.pem: .*2048 bits")

    def test_keys(self):
        """Its keys get an error that names ours."""
        for key, now in (("secure_enabled", "https.enabled"), ("secure_port", "https.port"),
                         ("SECURE_ENABLED", "https.enabled")):
            node = Node({key: "yes"})
            node.write_conf()
            done = iorio_verb("chkconfig", "--conf", node.conf_file)
            self.assertEqual(done.returncode, EXIT_BAD_CONFIG)
            self.assertRegex(done.stderr, rf"{key}: unknown key; the nearest known one is {re.escape(now)}\n")


class BadFiles(unittest.TestCase):
    """Files that cannot be used: 78, with key and file, from the start and from chkconfig."""

    def setUp(self):
        self.certs = Certs()
        self.other = Certs()

    def refused(self, pattern, **more):
        node = Node(self.certs.conf(**more))
        node.spawn()
        self.assertEqual(node.wait(20 * SLOW), EXIT_BAD_CONFIG, node.tail())
        self.assertRegex(node.log(), "iorio: cannot start: " + pattern)
        done = iorio_verb("chkconfig", "--conf", node.conf_file)
        self.assertEqual((done.returncode, done.stdout), (EXIT_BAD_CONFIG, ""))
        self.assertRegex(done.stderr, "iorio: " + pattern)

    def write(self, name, text):
        with open(self.certs.path(name), "w", encoding="latin-1") as f:
            f.write(text)
        return self.certs.path(name)

    def test_missing(self):
        for key in ("certfile", "keyfile", "cacertfile"):
            self.refused(rf"ssl\.{key} = /nowhere/x\.pem: there is no such file", **{f"ssl_{key}": "/nowhere/x.pem"})
        self.refused(r"ssl\.keyfile = .*: there is no such file.*make-dev-certs", ssl_keyfile=self.certs.path("no.pem"))

    def test_no_file(self):
        self.refused(r"ssl\.certfile = .*: not a regular file", ssl_certfile=self.certs.folder)
        self.refused(r"ssl\.keyfile = /dev/null: not a regular file", ssl_keyfile="/dev/null")

    @unittest.skipIf(os.getuid() == 0, "root may read everything")
    def test_unreadable(self):
        os.chmod(self.certs.path("key.pem"), 0)
        self.refused(r"ssl\.keyfile = .*: Permission denied")

    def test_mismatch(self):
        pattern = r"ssl\.keyfile = .*key\.pem: not the key of the certificate"
        self.refused(pattern, ssl_keyfile=self.other.path("key.pem"))
        openssl(self.certs.folder, "genrsa", "-out", "rsa-key.pem", "2048")
        self.refused(r"ssl\.keyfile = .*rsa-key\.pem: not the key of the certificate",
                     ssl_keyfile=self.certs.path("rsa-key.pem"))

    def test_garbage(self):
        for text in ("", "nothing\n", "-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n", "\0" * 100):
            self.refused(r"ssl\.certfile = .*bad\.pem: ", ssl_certfile=self.write("bad.pem", text))
            self.refused(r"ssl\.keyfile = .*bad\.pem: ", ssl_keyfile=self.write("bad.pem", text))
        self.refused(r"ssl\.cacertfile = .*bad\.pem: holds no certificate", ssl_cacertfile=self.write("bad.pem", "x"))
        self.refused(r"ssl\.certfile = .*key\.pem: holds no certificate", ssl_certfile=self.certs.path("key.pem"))
        self.refused(r"ssl\.keyfile = .*cert\.pem: holds no private key", ssl_keyfile=self.certs.path("cert.pem"))

    def test_passphrase(self):
        """A key with a passphrase is refused, not asked for."""
        openssl(self.certs.folder, "pkey", "-in", "key.pem", "-aes256", "-passout", "pass:word", "-out", "locked.pem")
        self.refused(r"ssl\.keyfile = .*locked\.pem: it has a passphrase", ssl_keyfile=self.certs.path("locked.pem"))

    def test_client_users_without_an_authority(self):
        self.refused(r"ssl\.client\.users = yes needs ssl\.cacertfile", ssl_client_users="yes")

    def test_off(self):
        """While https.enabled is no nobody looks at them."""
        node = Node({"ssl.certfile": "/nowhere/x.pem"}).start()
        self.assertNotIn("https", node.run_file())
        node.stop()

    def test_warnings(self):
        """A key that others can read and a certificate that has expired are warned of."""
        os.chmod(self.certs.path("key.pem"), 0o644)
        openssl(self.certs.folder, "req", "-new", "-key", "key.pem", "-subj", "/CN=localhost", "-out", "old.csr")
        openssl(self.certs.folder, "x509", "-req", "-in", "old.csr", "-signkey", "key.pem", "-days", "-1", "-out", "old.pem")
        node = Node(self.certs.conf(ssl_certfile=self.certs.path("old.pem"))).start()
        self.assertRegex(node.log(), r"\[warning\] tls private key open to others key=ssl\.keyfile file=.*key\.pem: chmod 600")
        self.assertRegex(node.log(), r"\[warning\] tls expired certificate key=ssl\.certfile file=.*old\.pem")
        node.stop()

    def test_busy_port(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            node = Node(self.certs.conf(https_port=str(s.getsockname()[1])))
            node.spawn()
            self.assertEqual(node.wait(20 * SLOW), EXIT_PORT_BUSY, node.tail())
            self.assertRegex(node.log(), r"port \d+ is in use by another process.*https\.port \(or IORIO_HTTPS_PORT\)")


class OnlyTls(unittest.TestCase):
    def test_no_http(self):
        """http.enabled = no: TLS only; ping and stop find the node all the same."""
        certs = Certs()
        node = Node(certs.conf(http_enabled="no")).start()
        self.assertEqual(set(node.run_file()), {"pid", "https"})
        self.assertIn("https://127.0.0.1", node.banner())
        with node.wire(tls=certs.context()) as wire:
            self.assertEqual(wire.request("GET", "/ping").status, 200)
        done = iorio_verb("ping", "--conf", node.conf_file)
        self.assertEqual((done.returncode, done.stdout), (0, "pong\n"), done)
        done = iorio_verb("stop", "--conf", node.conf_file)
        self.assertEqual((done.returncode, done.stdout), (0, "ok\n"), done)
        self.assertEqual(node.wait(), 0)
        self.assertEqual(iorio_verb("ping", "--conf", node.conf_file).returncode, 1)

    def test_neither(self):
        node = Node({"http.enabled": "no"})
        node.spawn()
        self.assertEqual(node.wait(20 * SLOW), EXIT_BAD_CONFIG, node.tail())
        self.assertIn("http.enabled and https.enabled are both no", node.log())

    def test_two_addresses(self):
        """https.bind is its own."""
        certs = Certs()
        node = Node(certs.conf(https_bind="::1")).start()
        self.assertEqual(node.run_file()["http"].rpartition(":")[0], "127.0.0.1")
        self.assertEqual(node.run_file()["https"].rpartition(":")[0], "[::1]")
        with Wire("::1", node.tls_port, tls=certs.context()) as wire:
            self.assertEqual(wire.request("GET", "/ping").status, 200)
        node.stop()


class Reload(unittest.TestCase):
    """SIGHUP: a new certificate for new connections, without a restart."""

    def setUp(self):
        self.certs = Certs()
        self.port = free_port()
        self.node = Node(self.certs.conf(https_port=str(self.port), workers="2"))
        self.node.write_conf()
        done = iorio_verb("start", "--conf", self.node.conf_file, env={"IORIO_LOG_FILE": self.node.log_file})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.pid = int(self.node.run_file()["pid"])
        track(self.pid)

    def tearDown(self):
        self.assertEqual(iorio_verb("stop", "--conf", self.node.conf_file).returncode, 0)

    def hangup(self, words):
        seen = len(self.node.log())
        os.kill(self.pid, signal.SIGHUP)
        wait_until(words, lambda: words in self.node.log()[seen:], 5 * SLOW)
        time.sleep(0.1)  # the workers take it

    def served(self):
        """The serial number of the certificate that new connections get."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            with context.wrap_socket(s, server_hostname="localhost") as wrapped:
                der = wrapped.getpeercert(True)
        return subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-serial"], input=der, check=True,
                              capture_output=True).stdout

    def renew(self):
        for name in ("cert.pem", "key.pem"):
            os.remove(self.certs.path(name))
        self.certs.make()

    def test_reload(self):
        """New connections get the new certificate, old ones go on; a bad one changes nothing and is named."""
        first = self.served()
        with Wire("127.0.0.1", self.port, tls=self.certs.context()) as old:
            self.assertEqual(old.request("GET", "/ping").status, 200)
            half = socket.create_connection(("127.0.0.1", self.port), 5)  # its handshake has not begun
            self.renew()
            self.hangup("tls certificate read again")
            second = self.served()
            self.assertNotEqual(first, second)
            self.assertEqual({self.served() for _ in range(8)}, {second})  # on every worker
            self.assertEqual(old.request("GET", "/ping").status, 200)
            with self.certs.context().wrap_socket(half, server_hostname="localhost") as late:
                late.sendall(build("GET", "/ping"))
                self.assertTrue(late.recv(100).startswith(b"HTTP/1.1 200"))
        with open(self.certs.path("cert.pem"), "w", encoding="ascii") as f:
            f.write("rubbish")
        self.hangup("tls old certificate kept")
        self.assertRegex(self.node.log(), r'\[error\] tls old certificate kept reason="ssl\.certfile = .*cert\.pem: ')
        self.assertEqual({self.served() for _ in range(8)}, {second})
        os.remove(self.certs.path("cert.pem"))
        self.hangup("there is no such file")
        self.certs.make()  # another key, so: no match until both are there
        self.hangup("tls certificate read again")
        self.assertNotIn(self.served(), (first, second))

    def test_under_load(self):
        """Reloads while clients come and go: every one is served."""
        context = self.certs.context()
        for n in range(20):
            os.kill(self.pid, signal.SIGHUP)
            for _ in range(5):
                with Wire("127.0.0.1", self.port, tls=context) as wire:
                    self.assertEqual(wire.request("GET", "/ping").status, 200, n)


class ClientUsers(TlsCase):
    """ssl.client.users = yes: the CN of a certificate that our authority signed is the user."""

    @classmethod
    def setUpClass(cls):
        certs = Certs()
        cls.MORE = {"ssl_client_users": "yes", "ssl_cacertfile": certs.path("ca.pem")}
        original = Certs
        globals()["Certs"] = lambda: certs
        try:
            super().setUpClass()
        finally:
            globals()["Certs"] = original
        cls.stranger = Certs()

    def who(self, tls, headers=()):
        answer = self.over_tls("GET", "/sessions", headers=headers, token=False, tls=tls)
        return answer.json()["username"] if answer.status == 200 else answer.status

    def test_user(self):
        """A certificate with CN=admin acts as admin; no token is needed."""
        admin = self.certs.context(user="admin")
        self.assertEqual(self.who(admin), "admin")
        with self.wire(admin) as wire:
            wire.send(build("POST", self.at, [("Content-Type", JSON)], b"1"))
            self.assertStored(wire.read("POST"), 1)
        with self.wire(admin) as wire:  # a large body, whose head is judged first
            wire.send(build("POST", self.at, [("Content-Type", JSON)], b"1" * 100000))
            self.assertStored(wire.read("POST"), 2)

    def test_nobody(self):
        """No certificate, or a CN that is no user: anonymous. A token counts more."""
        self.assertEqual(self.who(self.certs.context()), "anonymous")
        self.assertEqual(self.who(self.certs.context(user="nobody")), "anonymous")
        self.assertEqual(self.who(self.certs.context(user="Admin")), "anonymous")
        token = [("X-Session", self.node.token())]
        self.assertEqual(self.who(self.certs.context(user="nobody"), token), "admin")
        self.assertEqual(self.who(self.certs.context(user="admin"), [("X-Session", "bad")]), 401)
        self.assertEqual(self.get("/sessions", token=None).json()["username"], "anonymous")  # not TLS

    def handshake(self, context):
        with self.wire(context) as wire:
            return wire.request("GET", "/sessions").json()["username"]

    def test_others(self):
        """Certificates of another authority, of a server, of itself, or expired end the handshake."""
        own = self.certs.context()
        own.load_cert_chain(self.stranger.path("cert.pem"), self.stranger.path("key.pem"))
        self.stranger.make("-c", "admin")
        foreign = self.certs.context()
        foreign.load_cert_chain(self.stranger.path("user-admin.pem"), self.stranger.path("user-admin-key.pem"))
        server = self.certs.context()
        server.load_cert_chain(self.certs.path("cert.pem"), self.certs.path("key.pem"))
        openssl(self.certs.folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=admin", "-keyout", "self-key.pem", "-out", "self.pem")
        itself = self.certs.context()
        itself.load_cert_chain(self.certs.path("self.pem"), self.certs.path("self-key.pem"))
        for what, context in (("server of another", own), ("another", foreign), ("a server's", server), ("itself", itself)):
            with self.subTest(what=what), self.assertRaises((ssl.SSLError, OSError, AssertionError)):
                self.handshake(context)
        self.assertEqual(self.who(self.certs.context(user="admin")), "admin")

    def test_two_names(self):
        """A certificate with two CNs is nobody's."""
        folder = self.certs.folder
        openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "two-key.pem")
        openssl(folder, "req", "-new", "-key", "two-key.pem", "-subj", "/CN=nobody/CN=admin", "-out", "two.csr")
        openssl(folder, "x509", "-req", "-in", "two.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-set_serial", "99",
                "-out", "two.pem")
        context = self.certs.context()
        context.load_cert_chain(self.certs.path("two.pem"), self.certs.path("two-key.pem"))
        self.assertEqual(self.who(context), "anonymous")

    def test_resumed(self):
        """A session that is resumed is the same user's."""
        context = self.certs.context(user="admin")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for resumed in (False, True, True):
            s = socket.create_connection(("127.0.0.1", self.node.tls_port), 5)
            with context.wrap_socket(s, server_hostname="localhost", session=session) as wrapped:
                self.assertEqual(wrapped.session_reused, resumed)
                wrapped.sendall(build("GET", "/sessions"))
                got = b""
                while not got.endswith(b"}"):
                    got += wrapped.recv(1000)
                self.assertIn(b'{"username":"admin"}', got)
                session = wrapped.session


class NoClientUsers(TlsCase):
    """By default ssl.cacertfile only completes the chain: certificates of clients are not asked for."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node.stop()
        cls.node.conf["ssl.cacertfile"] = cls.certs.path("ca.pem")
        cls.node.start()

    def test_not_asked_for(self):
        answer = self.over_tls("GET", "/sessions", token=False, tls=self.certs.context(user="admin"))
        self.assertEqual(answer.json(), {"username": "anonymous"})

    def test_chain(self):
        """The authority of ssl.cacertfile is sent along."""
        shown = subprocess.run(["openssl", "s_client", "-showcerts", "-connect", f"127.0.0.1:{self.node.tls_port}"],
                               input="", capture_output=True, text=True, check=False).stdout
        self.assertEqual(shown.count("-----BEGIN CERTIFICATE-----"), 2, shown[:2000])


class Script(unittest.TestCase):
    """ssl/make-dev-certs.sh."""

    def test_files(self):
        """Keys are the owner's only; a second call leaves everything as it is."""
        certs = Certs()
        certs.make("-c", "anna")
        before = {}
        for name in ("ca.pem", "ca-key.pem", "cert.pem", "key.pem", "user-anna.pem", "user-anna-key.pem"):
            self.assertEqual(os.stat(certs.path(name)).st_mode & 0o777, 0o600 if "key" in name else 0o644, name)
            with open(certs.path(name), "rb") as f:
                before[name] = f.read()
        self.assertEqual(sorted(os.listdir(certs.folder)), sorted(before))
        certs.make("-c", "anna")
        for name, data in before.items():
            with open(certs.path(name), "rb") as f:
                self.assertEqual(f.read(), data, name)
        for name in ("cert.pem", "user-anna.pem"):
            self.assertIn("OK", openssl(certs.folder, "verify", "-x509_strict", "-CAfile", "ca.pem", name))

    def test_bad_names(self):
        certs = Certs()
        for name in ("a/b", "", "a=b", "a\nb"):
            with self.assertRaises(subprocess.CalledProcessError):
                certs.make("-c", name)

    def test_more_names(self):
        folder = temp_folder()
        shutil.rmtree(folder)
        certs = Certs.__new__(Certs)
        certs.folder = folder
        certs.make("-n", "db.example.org", "-n", "10.1.2.3")
        text = openssl(folder, "x509", "-in", "cert.pem", "-noout", "-ext", "subjectAltName")
        for part in ("DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1", "DNS:db.example.org",
                     "IP Address:10.1.2.3"):
            self.assertIn(part, text)


if __name__ == "__main__":
    assert binary()
    unittest.main()
