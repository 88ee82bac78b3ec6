#!/usr/bin/env python3
"""test/integration/28_cli_tls.py - ioriocli.py, apitest.py and iorio.py over HTTPS: whom they trust, and that nothing else
changes. TLS ends in front of the node (lib/lying.py), with certificates that are made here."""

import os
import ssl
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NodeCase  # noqa: E402
from lib.cli import CONNECTION, OK, USAGE, run  # noqa: E402
from lib.lying import Liar  # noqa: E402
from lib.node import ROOT, free_port, iorio, temp_folder  # noqa: E402

APITEST = os.path.join(ROOT, "tools", "apitest.py")


def certificate(name, *, names="DNS:localhost,IP:127.0.0.1"):
    """(certificate, key) of a server that vouches for itself."""
    folder = temp_folder()
    pair = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", "-out", pair[0], "-keyout", pair[1]],
                   check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return pair


def server(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


class Https(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pair = certificate("node")

    def front(self, pair=None, **options):
        liar = Liar(self.node.port, tls=server(pair or self.pair), **options)
        self.addCleanup(liar.close)
        return liar

    def test_trusted(self):
        """--https --cacert: everything as over HTTP, also events that come one by one; the port is told."""
        at = ("-P", str(self.front().port), "--https", "--cacert", self.pair[0])
        self.assertEqual(run(*at, "post", self.bucket, self.name, '{"a":1}').json()["meta"]["id"], 1)
        self.assertEqual(run(*at, "post", self.bucket, self.name, "-", "--lines", data=b"2\n3\n").json()["last"], 3)
        ended = run(*at, "get", self.bucket, self.name, "--limit", "all", "--ndjson")
        self.assertEqual((ended.code, ended.out.count(b"\n")), (OK, 3), ended)
        self.assertEqual(run(*at, "listen", f"{self.bucket}/{self.name}", "--from", "3", "--wait", "0").json()["data"], 3)
        self.assertEqual(run("-H", "localhost", *at, "list-buckets").code, OK)

    def test_not_trusted(self):
        """Nobody vouches for it, it has another name, it ends: 3, one line; --insecure does not care."""
        other = certificate("other", names="DNS:elsewhere")
        for liar, args, word in ((self.front(), (), "self-signed"), (self.front(other), ("--cacert", other[0]), "IP address mismatch"),
                                 (self.front(), ("--cacert", other[0]), "certificate")):
            ended = run("-P", str(liar.port), "--https", *args, "list-buckets")
            self.assertEqual((ended.code, ended.out), (CONNECTION, b""), ended)
            self.assertRegex(ended.err, rf"\Aioriocli: the certificate of [^\n]+ is not trusted: [^\n]*{word}[^\n]*\n\Z")
            self.assertEqual(liar.requests, [])
        self.assertEqual(run("-P", str(self.front(other).port), "--https", "--insecure", "list-buckets").code, OK)

    def test_no_tls_there(self):
        """HTTP to a port of HTTPS, and the other way round: 3, and what it is."""
        ended = run("-P", str(self.node.port), "--https", "--insecure", "list-buckets")
        self.assertEqual(ended.code, CONNECTION, ended)
        self.assertIn("does not speak TLS with us", ended.err)
        self.assertEqual(run("-P", str(self.front().port), "list-buckets").code, CONNECTION)
        ended = run("--https", "-H", "127.0.0.1", "--timeout", "1", "list-buckets")
        self.assertIn("127.0.0.1:8443", ended.err)

    def test_usage(self):
        """Certificates that are none, and options of HTTPS without it, are 2."""
        for args in (("--cacert", self.pair[0]), ("--insecure",), ("--https", "--cacert", "/nowhere"), ("--https", "--cacert", APITEST)):
            ended = run("-P", str(free_port()), *args, "list-buckets")
            self.assertEqual((ended.code, ended.out), (USAGE, b""), ended)
            self.assertEqual(run("-P", str(free_port()), *args, tool=APITEST).code, USAGE)

    def test_keep_alive(self):
        """One connection for many requests; a new one when the old one was closed; lost answers as over HTTP."""
        liar = self.front(drop_answer=30)
        with iorio.Client("127.0.0.1", liar.port, "admin", "secret", tls=iorio.tls_context(self.pair[0])) as client:
            for n in range(20):
                self.assertEqual(client.post(self.bucket, self.name, b"1")["id"], n + 1)
            self.assertEqual(len(liar.conns), 1)
            for _ in range(20):
                client.get(self.bucket, self.name)
            self.assertEqual(len(liar.conns), 2)

    def test_apitest(self):
        """apitest.py over HTTPS."""
        ended = run("-P", str(self.front().port), "--https", "--cacert", self.pair[0], "-B", "2", "-S", "2", "-i", "5", tool=APITEST)
        self.assertEqual((ended.code, ended.err), (OK, ""), ended)


if __name__ == "__main__":
    unittest.main()
