#!/usr/bin/env python3
"""test/integration/42_access_table.py - every route of routes.def, asked by five callers; and docs/access.rst.

A route without a line in ROWS below fails the test, and so does a line without a route: whoever adds a route adds
a line. docs/access.rst is written anew by

    IORIO_BIN=build/test/src/app/iorio python3 test/integration/42_access_table.py --write

and must be what this test finds."""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.access import AccessCase  # noqa: E402
from lib.case import JSON  # noqa: E402
from lib.node import ROOT  # noqa: E402

CALLERS = ("no token", "anonymous", "without", "with", "revoked")
DOCUMENT = os.path.join(ROOT, "docs", "access.rst")
# What stands for a parameter where a line does not say it. {new}: a name that was never there.
PARAMETERS = {"b": "table-b", "s": "s", "id": "1", "u": "{new}", "g": "table-g", "m": "table-m"}


class Row:
    """right: "PERMISSION" on the node, "PERMISSION b" on the bucket, "PERMISSION b/s" on the stream; None: none is needed.
    statuses: by caller. path: instead of the route with PARAMETERS. In body and path {me} is the caller."""

    def __init__(self, right, statuses, body=None, type_=JSON, path=None):
        self.right, self.statuses, self.body, self.path = right, statuses, body, path
        self.type_ = None if body is None else type_


def needs(right, status, *more, **how):
    """Only whoever has the right gets this; everybody else is 401."""
    return Row(right, {c: status if c == "with" else 401 for c in CALLERS}, *more, **how)


def anyone(status, *more, **how):
    """No right is needed, no token either."""
    return Row(None, dict.fromkeys(CALLERS, status), *more, **how)


def logged_in(status, *more, **how):
    """No right is needed, but to be somebody."""
    return Row(None, {c: status if c in CALLERS[2:] else 401 for c in CALLERS}, *more, **how)


GRANT = b'{"action":"grant","role":"table-m","permission":"%b"}'
ROWS = {
    "GET /ping": anyone(200),
    "GET /livez": anyone(200),
    "GET /readyz": anyone(200),
    "GET /metrics": anyone(200),  # from loopback
    "GET /sessions": anyone(200),
    "POST /sessions": anyone(201, b'{"username":"admin","password":"secret"}'),
    "DELETE /sessions": Row(None, {c: 401 if c == "no token" else 204 for c in CALLERS}),
    "DELETE /users/:u/sessions": needs("adminusers", 204, path="/users/table-m/sessions"),
    "GET /openapi.json": anyone(200),
    "GET /stats": needs("viewstats", 200),
    "ANY /x/echo/*": anyone(200, b"{}", path="/x/echo/table"),
    "GET /buckets": needs("list", 200),
    "GET /streams/:b": needs("list b", 200),
    "GET /streams/:b/:s": needs("get b/s", 200),
    "POST /streams/:b/:s": needs("put b/s", 201, b"1"),
    "PATCH /streams/:b/:s": needs("put b/s", 200, b'[{"op":"test","path":"","value":1}]', "application/json-patch+json"),
    "DELETE /streams/:b/:s": needs("delete b/s", 204, path="/streams/table-b/s?to=0"),
    "GET /streams/:b/:s/:id": needs("get b/s", 200),
    "GET /policies/:b": needs("grant b", 200, path="/policies/table-b?effective=yes"),
    "PUT /policies/:b": needs("grant b", 200, b"{}"),
    "DELETE /policies/:b": needs("grant b", 204),
    "POST /policies/:b/preview": needs("grant b", 200, b"{}"),
    "GET /policies/:b/:s": needs("grant b/s", 200, path="/policies/table-b/s?effective=yes"),
    "PUT /policies/:b/:s": needs("grant b/s", 200, b"{}"),
    "DELETE /policies/:b/:s": needs("grant b/s", 204),
    "POST /policies/:b/:s/preview": needs("grant b/s", 200, b"{}"),
    "GET /listen": anyone(204, path="/listen?wait=0"),
    "POST /listen": anyone(204),
    "GET /users": needs("adminusers", 200),
    "POST /users": needs("adminusers", 201, b'{"username":"{new}","password":"p"}'),
    "PUT /users": logged_in(200, b'{"username":"{me}","password":"pw"}'),  # one's own password
    "DELETE /users/:u": needs("adminusers", 204),
    "GET /groups": needs("adminusers", 200),
    "POST /groups": needs("adminusers", 201, b'{"name":"{new}"}'),
    "DELETE /groups/:g": needs("adminusers", 204, path="/groups/{new}"),
    "GET /groups/:g/members": needs("adminusers", 200),
    "PUT /groups/:g/members/:m": needs("adminusers", 200),
    "DELETE /groups/:g/members/:m": needs("adminusers", 204),
    "GET /access": needs("adminusers", 200),
    "POST /access": needs("adminusers", 200, GRANT % b"list"),
    "GET /access/explain": needs("grant b", 200, path="/access/explain?user=x&permission=get&bucket=table-b"),
    "GET /access/:b": needs("grant b", 200),
    "POST /access/:b": needs("grant b", 200, GRANT % b"list"),
    "GET /access/:b/:s": needs("grant b/s", 200),
    "POST /access/:b/:s": needs("grant b/s", 200, GRANT % b"get"),
}
# What a line of the document says besides.
NOTES = {
    "GET /metrics": "from elsewhere than loopback: ``viewstats``, or ``metrics.public``",
    "GET /listen": "and ``get`` on each stream; others are left out",
    "DELETE /sessions": "the token of the request is revoked",
    "DELETE /users/:u/sessions": "one's own need no permission",
    "PUT /users": "one's own password; ``adminusers``: anybody's",
    "GET /access/explain": "without a bucket: ``adminusers``",
}

HEAD = """\
Who gets what answer
====================

Every route, asked by five callers: without a token, with the token of a login as ``anonymous``, and as a user who never
had the permission, who has it, and from whom it was revoked a moment ago. ``test/integration/42_access_table.py`` asks a
node and makes this table; it fails when the table is not fresh, or when a route is missing.

A permission is needed on the bucket (``b``) or stream (``b/s``) of the path, else on the node; who has it on the bucket
has it on its streams. 401 is ``no-perm``. The answers of the others are those of a request that is right otherwise.

"""


def routes():
    with open(os.path.join(ROOT, "proto", "http", "routes.def"), encoding="utf-8") as f:
        return [f"{method} {path}" for method, path in re.findall(r'^R\((\w+),\s*"([^"]+)"', f.read(), re.M)]


def document(answers):
    """docs/access.rst, from {route: {caller: status}}."""
    rows = [("route", "permission") + CALLERS]
    for route, found in answers.items():
        right = ROWS[route].right
        perm = "" if right is None else "``" + right.replace(" ", "`` on ``") + "``"
        rows.append((f"``{route}``", perm) + tuple(str(found[c]) for c in CALLERS))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    rule = "  ".join("=" * w for w in widths)
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
    notes = "".join(f"- ``{route}``: {text}\n" for route, text in NOTES.items())
    return HEAD + "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n\n" + notes


class Table(AccessCase):
    counter = 0
    answers = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        self = cls()
        self.tokens = cls.tokens = {"no token": None, "anonymous": self.token_of("anonymous", "secret")}
        for caller in CALLERS[2:]:
            cls.tokens[caller] = self.user(f"table-{caller}")
        self.make("table-m")
        self.group("table-g")
        cls.node.call("POST", "/streams/table-b/s", b"1", JSON)

    def runTest(self):
        """For setUpClass."""

    @staticmethod
    def target(right):
        """Permission, bucket and stream."""
        permission, _, place = right.partition(" ")
        return permission, ("table-b" if place else None), ("s" if place == "b/s" else None)

    def fill(self, text, caller):
        if text is None:
            return None
        type(self).counter += 1
        new, me = f"new-{self.counter}", "anonymous" if caller in CALLERS[:2] else f"table-{caller}"
        if isinstance(text, bytes):
            return text.replace(b"{new}", new.encode()).replace(b"{me}", me.encode())
        return text.replace("{new}", new).replace("{me}", me)

    def ask(self, route, caller, type_=True):
        row = ROWS[route]
        method, path = route.split(" ", 1)
        path = row.path or re.sub(r":(\w+)", lambda m: PARAMETERS[m[1]], path)
        method = "POST" if method == "ANY" else method
        answer = self.node.call(method, self.fill(path, caller), self.fill(row.body, caller),
                                row.type_ if type_ else None, token=self.tokens[caller])
        if answer.status == 401:
            self.assertNoPerm(answer)
        return answer

    def check(self, route):
        row = ROWS[route]
        if row.right is not None:
            permission, bucket, stream = self.target(row.right)
            for caller in ("with", "revoked"):
                self.grant(f"table-{caller}", permission, bucket, stream)
                self.assertEqual(self.ask(route, caller).status, row.statuses["with"], (route, caller))
            self.revoke("table-revoked", permission, bucket, stream)
        found = {}
        for caller in CALLERS:
            answer = self.ask(route, caller)
            found[caller] = answer.status
            self.assertEqual(answer.status, row.statuses[caller], (route, caller, answer))
            if self.get("/sessions", token=self.tokens[caller]).status == 401:
                # It ended: with his password, or by what was asked.
                self.tokens[caller] = (self.token_of("anonymous", "secret") if caller == "anonymous"
                                       else self.token_of(f"table-{caller}"))
        if row.right is not None:
            if row.body is not None:  # 401 comes before 415
                self.assertEqual(self.ask(route, "without", type_=False).status, 401)
            self.revoke("table-with", permission, bucket, stream)
            self.assertEqual(self.ask(route, "with").status, 401, route)
        return found

    def test_every_route_has_a_line(self):
        """ROWS has the routes of routes.def and no others."""
        self.assertEqual(sorted(ROWS), sorted(routes()))
        self.assertLessEqual(set(NOTES), set(ROWS))

    def test_table(self):
        """Every route, every caller; and docs/access.rst says the same."""
        answers = {}
        for route in routes():
            if route in ROWS:
                with self.subTest(route=route):
                    answers[route] = self.check(route)
        self.assertEqual(list(answers), routes())
        text = document(answers)
        if "--write" in WRITE:
            with open(DOCUMENT, "w", encoding="utf-8") as f:
                f.write(text)
        with open(DOCUMENT, encoding="utf-8") as f:
            self.assertEqual(f.read(), text, "docs/access.rst is stale: run this test with --write")


WRITE = [a for a in sys.argv[1:] if a == "--write"]

if __name__ == "__main__":
    unittest.main(argv=[a for a in sys.argv if a != "--write"])
