"""test/integration/lib/certs.py - certificates for a test, made by ssl/make-dev-certs.sh in a folder of its own."""

import os
import ssl
import subprocess

from .node import ROOT, temp_folder


class Certs:
    """An authority and a server's certificate; user(NAME) makes one of a client."""

    def __init__(self):
        self.folder = temp_folder()
        self.make()

    def make(self, *args):
        subprocess.run([os.path.join(ROOT, "ssl", "make-dev-certs.sh"), "-d", self.folder, *args], check=True,
                       capture_output=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def conf(self, **more):
        """The keys of a node that serves TLS with them. more: keys with _ for the dots."""
        return {"https.enabled": "yes", "https.port": "0", "ssl.certfile": self.path("cert.pem"),
                "ssl.keyfile": self.path("key.pem"), **{k.replace("_", "."): v for k, v in more.items()}}

    def context(self, user=None, alpn=("http/1.1",)):
        """What a client needs to trust the node, and to be known as a user."""
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if user is not None:
            if not os.path.exists(self.path(f"user-{user}.pem")):
                self.make("-c", user)
            context.load_cert_chain(self.path(f"user-{user}.pem"), self.path(f"user-{user}-key.pem"))
        return context
