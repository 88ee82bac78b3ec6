"""test/integration/lib/jwt.py - tokens made with hmac, good ones and forged ones (RFC 7519)."""

import base64
import hashlib
import hmac
import json

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unb64(text):
    text = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def make(secret, payload, alg="HS512", header=None, mac=None):
    """A token over the payload. header: more fields of the JOSE header (alg may be
    overridden there, the MAC is made with `alg`); mac: these bytes instead."""
    head = {"alg": alg, "typ": "JWT", **(header or {})}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = b64(json.dumps(head).encode()) + b"." + b64(body)
    if mac is None:
        mac = hmac.new(secret.encode(), signed, HASHES[alg]).digest()
    return (signed + b"." + b64(mac)).decode()


def read(token):
    """(JOSE header, payload) of a token, unchecked."""
    head, body, _ = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body))


def signed_by(token, secret):
    """Is the MAC the one that this secret gives?"""
    signed, _, mac = token.rpartition(".")
    alg = read(token)[0]["alg"]
    return hmac.compare_digest(hmac.new(secret.encode(), signed.encode(), HASHES[alg]).digest(),
                               unb64(mac))
