#!/usr/bin/env python3
"""test/integration/41_access.py - API.md section 4: users, groups, grants, one request after the other."""

import os
import sys
import unittest
from urllib.parse import quote

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import jwt  # noqa: E402
from lib.access import AccessCase  # noqa: E402
from lib.case import JSON  # noqa: E402

ON_BUCKET = ("get", "put", "delete", "list", "grant")
ON_STREAM = ("get", "put", "delete", "grant")
ON_NODE = ("adminusers", "viewstats", "admincluster", "list")
SECRET = "correct horse battery staple, 32 bytes and more"


class Users(AccessCase):
    CONF = {"auth.secret": SECRET}

    def test_make(self):
        """201, a Location, and he may log in; his name keeps its case and is there once whatever the case."""
        answer = self.make("Ann.B")
        self.assertEqual((answer.body, answer.all("Location")), (b'{"ok":true}', ["/users/Ann.B"]))
        self.assertJson(answer, 201)
        self.assertEqual(self.login("ann.b").json()["username"], "Ann.B")
        for name in ("Ann.B", "ann.b", "ANN.B"):
            self.assertError(self.send("POST", "/users", {"username": name, "password": "x"}), 400, "user-exists")
        self.assertEqual(self.login("Ann.B", "x").status, 401)
        answer = self.make("j\u00fcrg-\u20ac_1")
        self.assertEqual(answer.get("Location"), "/users/j%C3%BCrg-%E2%82%AC_1")
        self.assertEqual(self.login("j\u00fcrg-\u20ac_1").status, 201)

    def test_errors(self):
        """The types of API.md, in their order; nothing is made."""
        for body, type_ in (({}, "no-user-and-pass"), ({"username": "", "password": ""}, "no-user-and-pass"),
                            ({"username": None, "password": 7}, "no-user-and-pass"), ({"x": 1}, "no-user-and-pass"),
                            ({"password": "p"}, "no-user"), ({"username": "", "password": "p"}, "no-user"),
                            ({"username": ["a"], "password": "p"}, "no-user"), ({"username": "err1"}, "no-pass"),
                            ({"username": "err1", "password": ""}, "no-pass"),
                            ({"username": "err1", "password": {}}, "no-pass"),
                            ({"username": "a b", "password": "p"}, "illegal-username"),
                            ({"username": "a b", "password": ""}, "no-pass"),
                            (b"", "invalid-body"), (b"{", "invalid-body"), (b"[]", "invalid-body"),
                            (b'"x"', "invalid-body"), (b"{} {}", "invalid-body"),
                            (b'{"username":"a","username":"b","password":"p"}', "invalid-body"),
                            (b'{"username":"\xff","password":"p"}', "invalid-body"),
                            (b"[" * 100000, "invalid-body"), ):
            with self.subTest(body=str(body)[:60]):
                answer = self.send("POST", "/users", body)
                if len(body) > 16384:
                    self.assertError(answer, 413, "too-large")
                else:
                    self.assertError(answer, 400, type_)
        for body in (None, b"", b'{"username":"err2","password":"p"}'):
            answer = self.call("POST", "/users", body)
            self.assertNoBody(answer, 415)
            self.assertEqual(answer.get("Accept-Post"), JSON)
        answer = self.send("POST", "/users", {"username": "err3", "password": "p" * 1025})
        self.assertError(answer, 400, "invalid-field", field="password")
        self.assertNotIn(b"pppp", answer.body)
        self.make("longest", "p" * 1024)
        self.assertEqual(self.login("longest", "p" * 1024).status, 201)
        self.make("zero", "a\0b")
        self.assertEqual([self.login("zero", p).status for p in ("a\0b", "a")], [201, 401])
        self.assertEqual(self.send("POST", "/users", {"username": "more", "password": "p", "later": [1]}).status, 201)
        names = {u["username"] for u in self.send("GET", "/users").json()}
        self.assertFalse(names & {"a", "b", "a b", "err1", "err2", "err3"})

    def test_names(self):
        """Every illegal code point, the reserved words in any case, 1 to 64 characters."""
        illegal = [*range(0, 45), 47, *range(58, 64), *range(127, 192)]
        for code in illegal:
            answer = self.send("POST", "/users", {"username": f"x{chr(code)}y", "password": "p"})
            self.assertError(answer, 400, "illegal-username")
        for name in ("all", "on", "to", "from", "any", "ALL", "Any", "n" * 65, "\u00fc" * 65):
            self.assertError(self.send("POST", "/users", {"username": name, "password": "p"}), 400, "illegal-username")
        legal = "-.0189@AZ[\\]^_`az{|}~"
        for name in (legal, "n" * 64, "\u00fc" * 64, "allx", "."):
            self.make(name)
        self.make("\U0001f600" * 62)  # 248 bytes and those of the prefix
        answer = self.send("POST", "/users", {"username": "\U0001f601" * 63, "password": "p"})
        self.assertError(answer, 400, "illegal-username")  # the name of his bucket would be too long

    def test_own_bucket(self):
        """He owns _user_NAME: get put delete list grant; and is in g-authenticated."""
        token = self.user("Owner")
        self.assertEqual(self.grants("_user_Owner"), ({"Owner": list(ON_BUCKET)}, {}))
        for bucket, wanted in (("_user_Owner", True), ("_user_owner", False), ("_user_admin", False)):
            at = f"/streams/{bucket}/s"
            self.assertEqual([self.may(m, p, token) for m, p in (
                ("POST", at), ("GET", at), ("DELETE", at), ("GET", f"/streams/{bucket}"),
                ("GET", f"/access/{bucket}"), ("GET", f"/policies/{bucket}?effective=yes"))], [wanted] * 6)
        self.assertTrue(self.may("GET", "/streams/public/s", token))
        self.assertFalse(self.may("POST", "/streams/public/s", token))
        self.assertFalse(self.may("GET", "/buckets", token))
        self.assertFalse(self.may("GET", "/streams/$sys/metrics", token))

    def test_list(self):
        """GET /users is sorted by bytes; after, limit and info page through and tell more."""
        for name in ("list-b", "list-A", "list-\u00e4"):
            self.make(name)
        rows = self.assertJson(self.send("GET", "/users"), 200)
        names = [r["username"] for r in rows]
        self.assertEqual(names, sorted(names, key=str.encode))
        self.assertEqual(rows[0], {"username": names[0]})
        self.assertTrue({"admin", "anonymous", "list-b", "list-A", "list-\u00e4"} <= set(names))
        paged, after = [], ""
        while True:
            answer = self.send("GET", f"/users?limit=2&after={quote(after)}")
            page = [r["username"] for r in answer.json()]
            paged += page
            self.assertEqual(answer.get("Iorio-More"), None if paged == names else "yes")
            if answer.get("Iorio-More") is None:
                break
            after = page[-1]
        self.assertEqual(paged, names)
        self.assertEqual(self.send("GET", "/users?limit=0").body, b"[]")
        info = {r["username"]: r["groups"] for r in self.send("GET", "/users?info=yes").json()}
        self.assertEqual((info["admin"], info["anonymous"], info["list-b"]),
                         (["g-admin"], [], ["g-authenticated"]))
        self.assertEqual(self.call("HEAD", "/users").status, 200)
        self.assertNoBody(self.get("/users", [("Accept", "text/html")]), 406)

    def test_password(self):
        """His own password, or with adminusers anybody's; old tokens end with it."""
        old = self.user("pw-ann")
        v = jwt.read(old)[1]["v"]
        answer = self.send("PUT", "/users", {"username": "PW-Ann", "password": "new"}, old)
        self.assertEqual((answer.status, answer.body), (200, b'{"ok":true}'))
        self.assertNoPerm(self.get("/sessions", token=old))
        self.assertEqual([self.login("pw-ann", p).status for p in ("pw", "new")], [401, 201])
        self.assertGreater(jwt.read(self.token_of("pw-ann", "new"))[1]["v"], v)
        token = self.token_of("pw-ann", "new")
        self.assertEqual(self.send("PUT", "/users", {"username": "pw-ann", "password": "third"}).status, 200)
        self.assertNoPerm(self.get("/sessions", token=token))
        self.assertEqual(self.login("pw-ann", "third").status, 201)
        self.assertError(self.send("PUT", "/users", {"username": "nobody-here", "password": "p"}), 400,
                         "unknown-error")
        for body, type_ in (({}, "no-user-and-pass"), ({"username": "pw-ann"}, "no-pass"),
                            ({"password": "x"}, "no-user"), (b"x", "invalid-body")):
            self.assertError(self.send("PUT", "/users", body), 400, type_)
        self.assertNoBody(self.call("PUT", "/users", b"{}"), 415)

    def test_password_of_others(self):
        """Without adminusers another's name and a name of nobody get the same 401; nobody needs no token."""
        token = self.user("pw-bob")
        self.make("pw-cyd")
        anonymous = self.token_of("anonymous", "secret")
        bodies = set()
        for name in ("pw-cyd", "admin", "nobody-here", "anonymous"):
            for who in (token, None, anonymous):
                answer = self.send("PUT", "/users", {"username": name, "password": "stolen"}, who)
                self.assertNoPerm(answer)
                bodies.add(answer.body)
        self.assertEqual(len(bodies), 1)
        self.assertEqual(self.login("pw-cyd").status, 201)
        self.assertEqual(self.login("anonymous", "secret").status, 201)
        self.assertNoPerm(self.call("PUT", "/users", b"no json", "text/plain", token=None))
        self.assertEqual(self.send("PUT", "/users", {"username": "anonymous", "password": "other"}).status, 200)
        self.assertNoPerm(self.get("/sessions", token=anonymous))
        self.assertEqual(self.get("/sessions", token=None).body, b'{"username":"anonymous"}')

    def test_delete(self):
        """204, every time; his tokens end, his grants and memberships go, and none comes back with his name."""
        old = self.user("gone")
        other = self.user("stays")
        self.group("gone-team")
        self.assertEqual(self.member("PUT", "gone-team", "gone").status, 200)
        self.grant("gone-team", "put", "gone-b")
        self.grant("gone", "get", "gone-b", "s")
        self.grant("gone", "viewstats")
        self.grant("stays", "get", "_user_gone", token=old)
        self.assertTrue(self.may("POST", "/streams/gone-b/s", old))
        self.assertTrue(self.may("GET", "/streams/_user_gone/s", other))
        self.assertNoBody(self.send("DELETE", "/users/GONE"), 204)
        self.assertNoPerm(self.get("/sessions", token=old))
        self.assertEqual(self.login("gone").status, 401)
        self.assertNoBody(self.send("DELETE", "/users/gone"), 204)
        self.assertNoBody(self.send("DELETE", "/users/never-was"), 204)
        self.assertEqual(self.grants("gone-b"), ({}, {"gone-team": ["put"]}))
        self.assertEqual(self.grants("gone-b", "s"), ({}, {}))
        self.assertEqual(self.grants("_user_gone"), ({}, {}))
        self.assertNotIn("gone", self.grants()[0])
        self.assertEqual(self.send("GET", "/groups/gone-team/members").json(), [])
        self.assertFalse(self.may("GET", "/streams/_user_gone/s", other))
        new = self.user("Gone")
        self.assertNoPerm(self.get("/sessions", token=old))
        self.assertNotEqual(jwt.read(new)[1]["v"], jwt.read(old)[1]["v"])
        for method, path in (("POST", "/streams/gone-b/s"), ("GET", "/streams/gone-b/s")):
            self.assertFalse(self.may(method, path, new))
        # Neither the numbers of before nor their neighbours are good.
        for v in range(0, jwt.read(new)[1]["v"]):
            self.assertNoPerm(self.get("/sessions", token=jwt.make(SECRET, {"u": "Gone", "exp": 1 << 33, "v": v})))

    def test_own_right_ends(self):
        """Somebody who deletes himself, or takes his own right away, was the last time allowed to."""
        token = self.user("suicide")
        self.grant("suicide", "adminusers")
        self.assertEqual(self.send("GET", "/users", token=token).status, 200)
        self.assertNoBody(self.send("DELETE", "/users/suicide", token=token), 204)
        self.assertNoPerm(self.send("GET", "/users", token=token))


class NoBucket(AccessCase):
    CONF = {"auth.permission.user.has_bucket": "no"}

    def test_none(self):
        """auth.permission.user.has_bucket = no: a user owns nothing."""
        token = self.user("poor")
        self.assertEqual(self.grants("_user_poor"), ({}, {}))
        self.assertFalse(self.may("POST", "/streams/_user_poor/s", token))


class OtherPrefix(AccessCase):
    CONF = {"auth.permission.user.bucket.prefix": "home/"}

    def test_prefix(self):
        """auth.permission.user.bucket.prefix begins the name of the bucket."""
        token = self.user("ann")
        self.assertTrue(self.may("POST", "/streams/home%2Fann/s", token))
        self.assertFalse(self.may("POST", "/streams/_user_ann/s", token))


class Groups(AccessCase):
    def test_make_and_delete(self):
        """201 and 204; the rules of user names; there once; in the list with its members."""
        answer = self.send("POST", "/groups", {"name": "grp-a"})
        self.assertEqual((answer.status, answer.body, answer.get("Location")), (201, b'{"ok":true}', "/groups/grp-a"))
        self.assertError(self.send("POST", "/groups", {"name": "grp-a"}), 400, "exists", field="name", value="grp-a")
        self.group("GRP-A")  # bytes count here
        for name, value in (("a b", "a b"), ("all", "all"), ("x" * 65, "x" * 65), ("", ""), (7, 7), (None, "nil")):
            answer = self.send("POST", "/groups", {"name": name})
            self.assertError(answer, 400, "invalid-field", field="name", value=value)
        self.assertError(self.send("POST", "/groups", {}), 400, "invalid-field", field="name", value="nil")
        self.assertError(self.send("POST", "/groups", b"["), 400, "invalid-body")
        self.assertNoBody(self.call("POST", "/groups", b"{}"), 415)
        rows = self.assertJson(self.send("GET", "/groups"), 200)
        self.assertIn({"name": "grp-a", "members": 0, "groups": []}, rows)
        self.assertIn({"name": "g-admin", "members": 1, "groups": ["g-authenticated"]}, rows)
        self.assertEqual([r["name"] for r in rows], sorted(r["name"] for r in rows))
        answer = self.send("GET", "/groups?limit=1")
        self.assertEqual((len(answer.json()), answer.get("Iorio-More")), (1, "yes"))
        for _ in range(2):
            self.assertNoBody(self.send("DELETE", "/groups/grp-a"), 204)
        self.assertNotIn("grp-a", [r["name"] for r in self.send("GET", "/groups").json()])
        self.assertError(self.send("GET", "/groups/grp-a/members"), 404, "not-found")

    def test_members(self):
        """Users and groups join and leave; rights go through groups of groups; no circles."""
        token = self.user("mem-ann")
        self.group("mem-in")
        self.group("mem-out")
        self.grant("group/mem-out", "put", "mem-b")
        for who in ("mem-ann", "MEM-Ann", "user/mem-ann"):
            answer = self.member("PUT", "mem-in", who)
            self.assertEqual((answer.status, answer.body), (200, b'{"ok":true}'))
        self.assertFalse(self.may("POST", "/streams/mem-b/s", token))
        self.assertEqual(self.member("PUT", "mem-out", "group/mem-in").status, 200)
        self.assertTrue(self.may("POST", "/streams/mem-b/s", token))
        self.assertEqual(self.send("GET", "/groups/mem-in/members").json(), ["user/mem-ann"])
        self.assertEqual(self.send("GET", "/groups/mem-out/members").json(), ["group/mem-in"])
        for group, who in (("mem-in", "mem-out"), ("mem-in", "mem-in")):
            self.assertError(self.member("PUT", group, who), 400, "invalid-field", field="member", value=who)
        for group, who in (("mem-in", "nobody"), ("no-group", "mem-ann"), ("mem-in", "group/mem-ann"), ("mem-in", "*"),
                           ("mem-in", "user/mem-out")):
            self.assertError(self.member("PUT", group, who), 404, "not-found")
        self.assertNoBody(self.member("DELETE", "mem-out", "mem-in"), 204)
        self.assertNoBody(self.member("DELETE", "mem-out", "mem-in"), 204)
        self.assertNoBody(self.member("DELETE", "mem-out", "nobody"), 204)
        self.assertFalse(self.may("POST", "/streams/mem-b/s", token))
        self.assertEqual(self.member("PUT", "mem-out", "mem-ann").status, 200)
        self.assertTrue(self.may("POST", "/streams/mem-b/s", token))
        self.assertNoBody(self.send("DELETE", "/groups/mem-out"), 204)
        self.assertFalse(self.may("POST", "/streams/mem-b/s", token))
        self.group("mem-out")
        self.grant("mem-out", "put", "mem-b")
        self.assertFalse(self.may("POST", "/streams/mem-b/s", token))
        self.assertNoBody(self.member("DELETE", "g-authenticated", "mem-ann"), 204)
        self.assertFalse(self.may("GET", "/streams/public/s", token))

    def test_member_pages(self):
        """after and limit page through the members, users before groups."""
        self.group("pages")
        wanted = []
        for name in ("pg-c", "pg-a", "pg-b"):
            self.make(name)
            wanted.append(f"user/{name}")
        for name in ("pg-y", "pg-x"):
            self.group(name)
            wanted.append(f"group/{name}")
        for who in wanted:
            self.assertEqual(self.member("PUT", "pages", who).status, 200)
        wanted = sorted(wanted[:3]) + sorted(wanted[3:])
        self.assertEqual(self.send("GET", "/groups/pages/members").json(), wanted)
        for start, after in enumerate([""] + wanted):
            answer = self.send("GET", f"/groups/pages/members?limit=2&after={quote(after, safe='')}")
            self.assertEqual(answer.json(), wanted[start:start + 2])
            self.assertEqual(answer.get("Iorio-More"), "yes" if start + 2 < len(wanted) else None)

    def test_both_kinds_of_one_name(self):
        """Where there are a user and a group of one name it has to be said which."""
        self.make("twin")
        self.group("twin")
        self.group("twins")
        for answer in (self.member("PUT", "twins", "twin"), self.access("grant", "twin", "get", "b")):
            self.assertIn("user/NAME", self.assertError(answer, 400, "invalid-field", value="twin")["reason"])
        self.assertEqual(self.member("PUT", "twins", "group/twin").status, 200)
        self.assertEqual(self.member("PUT", "twins", "user/twin").status, 200)
        self.grant("user/twin", "get", "twin-b")
        self.assertEqual(self.grants("twin-b"), ({"twin": ["get"]}, {}))
        self.grant("group/twin", "put", "twin-b")
        self.assertEqual(self.grants("twin-b"), ({"twin": ["get"]}, {"twin": ["put"]}))


class Grants(AccessCase):
    def setUp(self):
        super().setUp()
        self.b = f"gb-{self._testMethodName[5:]}"
        self.name = f"u-{self._testMethodName[5:]}"
        self.ann = self.user(self.name)

    def test_errors(self):
        """400 invalid-field: action, role, permission, in this order, with what was sent or "nil"."""
        good = {"action": "grant", "role": self.name, "permission": "get"}
        for at in (f"/access/{self.b}", f"/access/{self.b}/s", "/access"):
            for change, field, value in (
                    ({"action": None, "role": "x", "permission": "y"}, "action", "nil"),
                    ({"action": "give", "role": "x"}, "action", "give"), ({"action": 7}, "action", 7),
                    ({"action": "", "role": "x"}, "action", ""), ({"role": "nobody"}, "role", "nobody"),
                    ({"role": None, "permission": "y"}, "role", "nil"), ({"role": ["a"]}, "role", ["a"]),
                    ({"role": "group/" + self.name}, "role", "group/" + self.name), ({"role": "user/*"}, "role", "user/*"),
                    ({"role": ""}, "role", ""), ({"permission": None}, "permission", "nil"),
                    ({"permission": "GET"}, "permission", "GET"), ({"permission": {"a": 1}}, "permission", {"a": 1})):
                with self.subTest(at=at, change=change):
                    body = {k: v for k, v in {**good, **change}.items() if v is not None}
                    self.assertError(self.send("POST", at, body), 400, "invalid-field", field=field, value=value)
        for body in (b"", b"{", b"[]", b'{"action":"grant","action":"grant"}'):
            self.assertError(self.send("POST", f"/access/{self.b}", body), 400, "invalid-body")
        self.assertNoBody(self.call("POST", f"/access/{self.b}", b"{}"), 415)
        self.assertEqual(self.grants(self.b), ({}, {}))
        for at, permissions in ((self.place(self.b), ON_BUCKET), (self.place(self.b, "s"), ON_STREAM + ("adminusers",)),
                                ("/access", ON_NODE)):
            for permission in set(ON_BUCKET + ON_NODE):
                for action in ("grant", "revoke"):
                    answer = self.send("POST", at, {**good, "action": action, "permission": permission})
                    if permission in permissions:
                        self.assertEqual(answer.status, 200, answer)
                    else:
                        self.assertError(answer, 400, "invalid-field", field="permission", value=permission)

    def test_username_for_role(self):
        """The word of the first Iorio DB; role wins over it."""
        body = {"action": "grant", "username": self.name, "permission": "get"}
        self.assertEqual(self.send("POST", f"/access/{self.b}", body).status, 200)
        self.assertTrue(self.may("GET", f"/streams/{self.b}/s", self.ann))
        self.assertError(self.send("POST", f"/access/{self.b}", {**body, "role": "nobody"}), 400, "invalid-field",
                         field="role", value="nobody")
        self.assertError(self.send("POST", f"/access/{self.b}", {**body, "username": "nobody"}), 400, "invalid-field",
                         field="role", value="nobody")

    def test_bucket(self):
        """A grant on a bucket is for all of its streams; each permission for itself; revoked, it is gone."""
        at = f"/streams/{self.b}/s"
        tries = {"get": ("GET", at), "put": ("POST", at), "delete": ("DELETE", at), "list": ("GET", f"/streams/{self.b}"),
                 "grant": ("GET", f"/access/{self.b}")}
        for permission, (method, path) in tries.items():
            self.assertFalse(self.may(method, path, self.ann))
            self.grant(self.name, permission, self.b)
            self.assertEqual({p for p, t in tries.items() if self.may(*t, self.ann)}, {permission})
            self.assertEqual(self.grants(self.b), ({self.name: [permission]}, {}))
            self.revoke(self.name, permission, self.b)
            self.assertFalse(self.may(method, path, self.ann))
            self.revoke(self.name, permission, self.b)
        self.assertEqual(self.grants(self.b), ({}, {}))
        for permission in reversed(ON_BUCKET):
            self.grant(self.name, permission, self.b)
        self.assertEqual(self.grants(self.b), ({self.name: list(ON_BUCKET)}, {}))

    def test_stream(self):
        """A grant on a stream is for that one only."""
        for permission, method in (("get", "GET"), ("put", "POST"), ("delete", "DELETE")):
            self.grant(self.name, permission, self.b, "s")
            self.assertTrue(self.may(method, f"/streams/{self.b}/s", self.ann))
            self.assertFalse(self.may(method, f"/streams/{self.b}/s2", self.ann))
            self.assertFalse(self.may(method, f"/streams/{self.b}2/s", self.ann))
        self.grant(self.name, "grant", self.b, "s")
        self.assertEqual(self.access("grant", "*", "get", self.b, "s", token=self.ann).status, 200)
        self.assertNoPerm(self.access("grant", "*", "get", self.b, "s2", token=self.ann))
        self.assertNoPerm(self.access("grant", "*", "get", self.b, token=self.ann))
        self.assertEqual(self.grants(self.b, "s"), ({self.name: list(ON_STREAM)}, {"*": ["get"]}))
        self.assertEqual(self.grants(self.b), ({}, {}))
        self.grant(self.name, "adminusers", self.b, "s")  # accepted, gives nothing
        self.assertFalse(self.may("GET", "/users", self.ann))

    def test_patterns(self):
        """A `*` at the end of a bucket or stream stands for every name that begins so."""
        self.grant(self.name, "get", f"{self.b}-x*")
        self.grant(self.name, "put", self.b, "day-*")
        self.grant(self.name, "delete", f"{self.b}*", "tmp*")
        for method, stream, wanted in (
                ("GET", f"{self.b}-x/s", True), ("GET", f"{self.b}-xyz/s", True), ("GET", f"{self.b}-/s", False),
                ("POST", f"{self.b}/day-1", True), ("POST", f"{self.b}/day-", True), ("POST", f"{self.b}/day", False),
                ("POST", f"{self.b}2/day-1", False), ("DELETE", f"{self.b}2/tmp1", True),
                ("DELETE", f"{self.b}2/t", False)):
            self.assertEqual(self.may(method, f"/streams/{stream}", self.ann), wanted, (method, stream))
        self.assertEqual(self.grants(f"{self.b}-x*"), ({self.name: ["get"]}, {}))
        self.assertEqual(self.grants(f"{self.b}-x"), ({}, {}))
        self.revoke(self.name, "get", f"{self.b}-x")  # another target
        self.assertTrue(self.may("GET", f"/streams/{self.b}-xy/s", self.ann))
        self.revoke(self.name, "get", f"{self.b}-x*")
        self.assertFalse(self.may("GET", f"/streams/{self.b}-xy/s", self.ann))
        own = f"_user_{self.name}"
        self.assertEqual(self.access("grant", "*", "get", own, "a*", token=self.ann).status, 200)
        for bucket in (own + "*", "_user_*", "*"):
            self.assertNoPerm(self.access("grant", "*", "get", bucket, token=self.ann))

    def test_everybody(self):
        """`*` is everybody, without a login too; anonymous is who has none."""
        at = f"/streams/{self.b}/s"
        self.assertFalse(self.may("GET", at, None))
        self.grant("*", "get", self.b)
        self.assertTrue(self.may("GET", at, None) and self.may("GET", at, self.ann))
        self.grant("anonymous", "put", self.b)
        self.assertTrue(self.may("POST", at, None))
        self.assertFalse(self.may("POST", at, self.ann))
        self.revoke("*", "get", self.b)
        self.assertFalse(self.may("GET", at, None) or self.may("GET", at, self.ann))
        self.assertEqual(self.grants(self.b), ({"anonymous": ["put"]}, {}))

    def test_node(self):
        """Node permissions, without a bucket: adminusers, viewstats, admincluster, list."""
        for permission, path in (("list", "/buckets"), ("adminusers", "/users"), ("adminusers", "/access")):
            self.assertFalse(self.may("GET", path, self.ann))
            self.grant(self.name, permission)
            self.assertTrue(self.may("GET", path, self.ann))
            self.assertIn(permission, self.grants()[0][self.name])
            self.revoke(self.name, permission)
            self.assertFalse(self.may("GET", path, self.ann))
        self.assertNotIn(self.name, self.grants()[0])
        self.assertNoPerm(self.access("grant", self.name, "list", token=self.ann))

    def test_who_may_grant(self):
        """An owner grants on his bucket and nowhere else; what he gave may be taken away by him."""
        bob = self.user(self.name + "-bob")
        own = f"_user_{self.name}"
        self.grant(self.name + "-bob", "get", own, token=self.ann)
        self.assertTrue(self.may("GET", f"/streams/{own}/s", bob))
        self.assertNoPerm(self.access("grant", self.name + "-bob", "put", own, token=bob))
        self.assertNoPerm(self.send("GET", f"/access/{own}", token=bob))
        self.assertEqual(self.send("GET", f"/access/{own}", token=self.ann).status, 200)
        self.revoke(self.name + "-bob", "get", own, token=self.ann)
        self.assertFalse(self.may("GET", f"/streams/{own}/s", bob))
        self.assertNoPerm(self.access("grant", self.name, "get", self.b, token=self.ann))
        self.assertNoPerm(self.access("grant", "nobody", "fly", self.b, token=self.ann))  # before 400
        self.assertNoPerm(self.call("POST", f"/access/{self.b}", b"x", "text/plain", token=self.ann))
        self.assertError(self.send("POST", "/access/.", {}), 400, "invalid-name")

    def test_explain(self):
        """The deciding grant by name, with the groups that lead to it; nothing about who is not there."""
        self.group(self.name + "-in")
        self.group(self.name + "-out")
        self.member("PUT", self.name + "-in", self.name)
        self.member("PUT", self.name + "-out", self.name + "-in")
        self.grant(self.name + "-out", "get", f"{self.b}*")
        self.grant(self.name, "put", self.b, "s")
        self.grant("*", "list", self.b)

        def why(user, permission, bucket=None, stream=None, token=True):
            query = "".join(f"&{k}={quote(v, safe='')}" for k, v in (("user", user), ("permission", permission),
                                                                     ("bucket", bucket), ("stream", stream)) if v is not None)
            return self.send("GET", f"/access/explain?{query[1:]}", token=token)
        for args, wanted in (
                ((self.name, "put", self.b, "s"), {"allowed": True, "role": f"user/{self.name}", "bucket": self.b, "stream": "s"}),
                ((self.name, "get", self.b, "t"), {"allowed": True, "role": f"group/{self.name}-out", "bucket": f"{self.b}*",
                                                  "groups": [self.name + "-in", self.name + "-out"]}),
                ((self.name, "list", self.b), {"allowed": True, "role": "*", "bucket": self.b}),
                ((self.name, "put", self.b), {"allowed": False}), (("nobody", "put", self.b, "s"), {"allowed": False}),
                (("nobody", "list", self.b), {"allowed": True, "role": "*", "bucket": self.b}),
                (("admin", "adminusers"), {"allowed": True, "role": "user/admin"}),
                (("admin", "get", "x", "y"), {"allowed": True, "role": "user/admin"})):
            self.assertEqual(self.assertJson(why(*args), 200), wanted, args)
        own = f"_user_{self.name}"
        self.assertEqual(why("admin", "get", own, token=self.ann).json(), {"allowed": True, "role": "user/admin"})
        self.assertEqual(why("nobody", "get", own, token=self.ann).body, why("anonymous", "get", own, token=self.ann).body)
        for args in (("admin", "get", self.b), ("admin", "list")):
            self.assertNoPerm(why(*args, token=self.ann))
            self.assertNoPerm(why(*args, token=None))
        for args, field, value in (((None, "get", "b"), "user", "nil"), (("x", None, "b"), "permission", "nil"),
                                   (("x", "fly", "b"), "permission", "fly"), (("x", "get", None, "s"), "bucket", "nil")):
            self.assertError(why(*args), 400, "invalid-field", field=field, value=value)
        self.assertError(why("x", "get", ".."), 400, "invalid-name")
        # A bucket of that name is reached all the same.
        self.grant(self.name, "get", "explain")
        self.assertEqual(self.send("GET", "/access/%65xplain").json()["users"], [{"name": self.name, "grants": ["get"]}])


class LockOut(AccessCase):
    def test_admin_and_anonymous(self):
        """The users of the configuration and the groups of a first start cannot be deleted."""
        for path, field, value in (("/users/admin", "username", "admin"), ("/users/ADMIN", "username", "ADMIN"),
                                   ("/users/anonymous", "username", "anonymous"), ("/groups/g-admin", "name", "g-admin"),
                                   ("/groups/g-authenticated", "name", "g-authenticated")):
            self.assertError(self.send("DELETE", path), 400, "invalid-field", field=field, value=value)
        self.node.restart()

    def test_admin_keeps_adminusers(self):
        """By no way does the configured admin lose adminusers; what else he loses he can give himself."""
        self.assertError(self.access("revoke", "admin", "adminusers"), 400, "invalid-field", field="role", value="admin")
        self.grant("g-admin", "adminusers")
        self.revoke("admin", "adminusers")  # he has it by his group
        self.assertError(self.member("DELETE", "g-admin", "admin"), 400, "invalid-field")
        self.assertError(self.access("revoke", "g-admin", "adminusers"), 400, "invalid-field")
        self.grant("admin", "adminusers")
        self.revoke("g-admin", "adminusers")
        self.revoke("admin", "list")
        self.assertNoPerm(self.get("/buckets"))
        self.grant("admin", "list")
        self.assertEqual(self.get("/buckets").status, 200)

    def test_nothing_is_opened(self):
        """Callers without a login get no right to administer, whichever way it would come to them."""
        for role in ("*", "anonymous", "user/anonymous"):
            for permission in ("adminusers", "admincluster"):
                self.assertError(self.access("grant", role, permission), 400, "invalid-field", field="role", value=role)
        self.group("open")
        self.grant("open", "admincluster")
        self.assertError(self.member("PUT", "open", "anonymous"), 400, "invalid-field")
        self.revoke("open", "admincluster")
        self.assertEqual(self.member("PUT", "open", "anonymous").status, 200)
        self.assertError(self.access("grant", "open", "admincluster"), 400, "invalid-field")
        self.assertNoPerm(self.get("/users", token=None))
        self.grant("*", "viewstats")
        self.revoke("*", "viewstats")


if __name__ == "__main__":
    unittest.main()
