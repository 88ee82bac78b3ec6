#!/usr/bin/env python3
"""test/integration/43_revocation.py - tokens that are taken back (DELETE /sessions, DELETE /users/{u}/sessions), on
every worker and through every kind of end; keys that are rotated; and what ends while it is open."""

import json
import os
import re
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import jwt  # noqa: E402
from lib.case import JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import Node, wait_until  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

SECRET = "correct horse battery staple, 32 bytes and more"
OTHER = "another secret that is long enough, too"
HOUR = 3600
SOON_S = 1.0 * SLOW  # how soon what is open must end


def now():
    return int(time.time())


def metric(node, name):
    text = node.call("GET", "/metrics", token=None).body.decode()
    return int(re.search(rf"^iorio_{name} (-?\d+)$", text, re.M)[1])


class Case(NodeCase):
    CONF = {"auth.secret": SECRET, "workers": "3"}

    def login(self, username="admin", password="secret", node=None):
        body = json.dumps({"username": username, "password": password}).encode()
        answer = (node or self.node).call("POST", "/sessions", body, JSON, token=None)
        self.assertEqual(answer.status, 201, answer)
        return answer.json()["token"]

    def made(self, user="admin", **claims):
        """A token made elsewhere."""
        return jwt.make(SECRET, {"u": user, "exp": now() + HOUR, **claims})

    def assertGood(self, token, user="admin"):
        answer = self.get("/sessions", token=token)
        self.assertEqual((answer.status, answer.json().get("username")), (200, user), answer)

    def assertBad(self, token):
        self.assertNoPerm(self.get("/sessions", token=token))

    def logout(self, token):
        self.assertNoBody(self.call("DELETE", "/sessions", token=token), 204)

    def end_all(self, user, token=True):
        self.assertNoBody(self.call("DELETE", f"/users/{user}/sessions", token=token), 204)
        self.node._token = None  # the one that tests use by default

    def ends_at(self, exp, header=False):
        """A token of the admin that ends then."""
        v = jwt.read(self.login())[1]["v"]
        if header:
            return jwt.make(SECRET, {"u": "admin", "v": v}, header={"exp": exp})
        return jwt.make(SECRET, {"u": "admin", "exp": exp, "v": v})


class Logout(Case):
    def test_one_token(self):
        """The token of the request is no good any more, on every route; every other one is."""
        token, other = self.login(), self.login()
        self.assertNotEqual(token, other)
        self.logout(token)
        for method, path, body in (("GET", "/sessions", None), ("GET", self.at, None), ("GET", "/buckets", None),
                                   ("POST", self.at, b"1"), ("DELETE", "/sessions", None),
                                   ("GET", f"/listen?s={self.bucket}:s&wait=1", None),
                                   ("DELETE", "/users/admin/sessions", None), ("GET", "/metrics", None)):
            self.assertNoPerm(self.call(method, path, body, JSON, token=token))
        self.assertGood(other)
        self.assertGood(self.login())

    def test_wherever_it_travels(self):
        """X-Session, Bearer and jwt=: the one that counts is taken back."""
        for place in range(3):
            token, other = self.login(), self.login()
            headers = [[("X-Session", token)], [("Authorization", f"Bearer {token}")], []][place]
            path = "/sessions" + (f"?jwt={token}" if place == 2 else f"?jwt={other}")
            self.assertNoBody(self.call("DELETE", path, headers=headers, token=None), 204)
            self.assertBad(token)
            self.assertGood(other)

    def test_nothing_to_take_back(self):
        """Without a token, with a bad one, and a second time: 401."""
        self.assertNoPerm(self.call("DELETE", "/sessions", token=None))
        self.assertNoPerm(self.call("DELETE", "/sessions", token="bad"))
        token = self.login()
        self.logout(token)
        self.assertNoPerm(self.call("DELETE", "/sessions", token=token))

    def test_two_of_one_second(self):
        """Logins of the same second are tokens of their own."""
        tokens = [self.login() for _ in range(8)]
        self.assertEqual(len(set(tokens)), 8)
        for number, token in enumerate(tokens):
            self.logout(token)
            for later in tokens[number + 1:]:
                self.assertGood(later)

    def test_made_elsewhere(self):
        """A token without an id and without v is known by its text."""
        token, other = self.made(), self.made(more=1)
        in_header = jwt.make(SECRET, {"u": "admin"}, header={"exp": now() + HOUR})
        for each in (token, in_header):
            self.assertGood(each)
            self.logout(each)
            self.assertBad(each)
        self.assertGood(other)

    def test_anonymous(self):
        """Also of the user anonymous, who goes on without a token."""
        token = self.login("anonymous")
        self.logout(token)
        self.assertBad(token)
        self.assertGood(None, "anonymous")

    def test_every_worker(self):
        """When it is answered no worker takes the token any more, however well it knew it."""
        token = self.login()
        wires = [self.node.wire() for _ in range(24)]
        request = build("GET", "/sessions", [("X-Session", token)])

        def statuses():
            for wire in wires:
                wire.send(request)
            return {wire.read().status for wire in wires}

        for _ in range(3):
            self.assertEqual(statuses(), {200})
        self.logout(token)
        self.assertEqual(statuses(), {401})
        for wire in wires:
            wire.close()

    def test_other_methods(self):
        """PUT is 405 and names what there is."""
        answer = self.call("PUT", "/sessions", b"{}", JSON)
        self.assertNoBody(answer, 405)
        self.assertEqual(set(answer.get("Allow").split(", ")), {"GET", "HEAD", "POST", "DELETE"})
        answer = self.call("GET", "/users/admin/sessions")
        self.assertNoBody(answer, 405)
        self.assertEqual(answer.get("Allow"), "DELETE")

    def test_log_and_metrics(self):
        """What happened is logged and counted, without a token or a password."""
        before = {name: metric(self.node, name) for name in
                  ("logins_total", "logins_failed_total", "logins_cached_total", "tokens_revoked_total",
                   "tokens_refused_total", "revoked_tokens")}
        token = self.login()
        self.logout(token)
        self.assertBad(token)
        wrong = b'{"username":"admin","password":"a wrong one to look for"}'
        self.assertEqual(self.call("POST", "/sessions", wrong, JSON, token=None).status, 401)
        unknown = b'{"username":"a name to look for","password":"secret"}'
        self.assertEqual(self.call("POST", "/sessions", unknown, JSON, token=None).status, 401)
        after = {name: metric(self.node, name) for name in before}
        grown = {name: after[name] - before[name] for name in before}
        self.assertEqual(grown["logins_total"], 3)
        self.assertEqual(grown["logins_failed_total"], 2)
        self.assertLessEqual(grown["logins_cached_total"], 1)
        self.assertEqual((grown["tokens_revoked_total"], grown["tokens_refused_total"], grown["revoked_tokens"]),
                         (1, 1, 1))
        log = self.node.log()
        self.assertRegex(log, r"\[info\] auth login user=admin from=127\.0\.0\.1")
        self.assertRegex(log, r"\[info\] auth login refused user=admin from=127\.0\.0\.1")
        self.assertRegex(log, r"\[info\] auth login refused from=127\.0\.0\.1 \(no such user\)")
        self.assertRegex(log, r"\[info\] auth token revoked user=admin")
        for word in (token, token.split(".")[2], "to look for", SECRET):
            self.assertNotIn(word, log)


class AllSessions(Case):
    def number(self, token):
        return jwt.read(token)[1]["v"]

    def test_all_of_a_user(self):
        """Every token of the user ends, that of the request too; a login gives one with a higher number."""
        tokens = [self.login() for _ in range(3)]
        anonymous = self.login("anonymous")
        self.end_all("admin", tokens[0])
        for token in tokens:
            self.assertBad(token)
        self.assertGood(anonymous, "anonymous")
        fresh = self.login()
        self.assertGood(fresh)
        self.assertGreater(self.number(fresh), self.number(tokens[0]))
        self.assertRegex(self.node.log(), r"\[info\] auth sessions ended user=admin")

    def test_of_another_user(self):
        """With adminusers, those of anybody; the case of letters in a name does not count."""
        anonymous, admin = self.login("anonymous"), self.login()
        self.end_all("ANONymous", admin)
        self.assertBad(anonymous)
        self.assertGood(admin)
        answer = self.call("DELETE", "/users/nobody/sessions", token=admin)
        self.assertError(answer, 404, "not-found")

    def test_who_may(self):
        """Oneself, or with adminusers; others learn nothing, and nobody is anonymous without a token."""
        anonymous = self.login("anonymous")
        for user in ("admin", "nobody", "g-admin"):
            self.assertNoPerm(self.call("DELETE", f"/users/{user}/sessions", token=anonymous))
            self.assertNoPerm(self.call("DELETE", f"/users/{user}/sessions", token=None))
        self.assertNoPerm(self.call("DELETE", "/users/anonymous/sessions", token=None))
        self.assertGood(anonymous, "anonymous")
        self.end_all("anonymous", anonymous)
        self.assertBad(anonymous)

    def test_the_remembered_password(self):
        """The password is still right, and was checked a moment ago."""
        self.login()
        before = metric(self.node, "logins_cached_total")
        self.end_all("admin", self.login())
        self.assertGood(self.login())
        self.assertGreaterEqual(metric(self.node, "logins_cached_total") - before, 1)


class MadeElsewhere(Case):
    def number(self, token):
        return jwt.read(token)[1]["v"]

    def test_made_elsewhere(self):
        """Tokens without v end, too; later ones are good if they say when they were made."""
        old = [self.made(), self.made(iat=now() - 5), self.made(iat=now())]
        for token in old:
            self.assertGood(token)
        self.end_all("admin", self.login())
        for token in old:
            self.assertBad(token)
        time.sleep(1.1)
        self.assertGood(self.made(iat=now()))
        self.assertBad(self.made())
        self.assertBad(self.made(iat=now(), v=1))
        self.assertGood(self.made(v=self.number(self.login())))


class Ends(Case):
    CONF = {**Case.CONF, "memory.tail": "1MB", "journal.segment": "64KB", "journal.max_bytes": "2MB"}

    def ends(self):
        """Every kind of end of a node."""
        yield "a restart", self.node.restart

        def killed():
            self.node.kill9()
            self.node.start()
        yield "kill -9", killed

        def checkpoint():
            before = metric(self.node, "checkpoints_total")
            batch = b'{"pad":"%s"}\n' % (b"x" * 1000) * 700
            self.assertEqual(self.post(batch, NDJSON).status, 201)
            wait_until("a checkpoint", lambda: metric(self.node, "checkpoints_total") > before, 20 * SLOW)
            killed()
        yield "a checkpoint and kill -9", checkpoint

    def test_stays_revoked(self):
        """A token that was taken back, or a user's tokens, stay so; the others go on."""
        for what, end in self.ends():
            with self.subTest(what=what):
                token, elsewhere, other = self.login(), self.made(nonce=what), self.login()
                anonymous = self.login("anonymous")
                self.logout(token)
                self.logout(elsewhere)
                self.end_all("anonymous", other)
                end()
                self.pid = self.node.process.pid
                for bad in (token, elsewhere, anonymous):
                    self.assertBad(bad)
                self.assertGood(other)
                self.assertGood(self.login("anonymous"), "anonymous")


class Limit(Case):
    USER_MAX = 1000  # REVOKED_USER_MAX

    def test_many_of_one_user(self):
        """The logout that is one too many ends all tokens of the user, and then there is room again."""
        other, anonymous = self.login(), self.login("anonymous")
        v = jwt.read(other)[1]["v"]
        wire = self.node.wire(timeout_s=60 * SLOW)
        for number in range(self.USER_MAX):
            wire.send(build("DELETE", "/sessions", [("X-Session", self.made(v=v, nonce=number))]))
            self.assertEqual(wire.read("DELETE").status, 204)
        self.assertGood(other)
        self.assertEqual(metric(self.node, "revoked_tokens"), self.USER_MAX)
        last = self.made(v=v, nonce="last")
        self.logout(last)
        self.assertBad(last)
        self.assertBad(other)
        self.assertGood(anonymous, "anonymous")
        self.assertEqual(metric(self.node, "revoked_tokens"), 0)
        self.assertEqual(metric(self.node, "sessions_ended_total"), 1)
        fresh = self.login()
        self.assertGood(fresh)
        self.logout(fresh)
        self.assertBad(fresh)
        wire.close()


class ListenCase(Case):
    """GET /listen that waits."""

    def start(self, token, *streams, wait=30):
        query = "&".join([f"s={self.bucket}:{name}" for name in streams] + [f"wait={wait}"])
        wire = self.node.wire(timeout_s=40 * SLOW)
        self.addCleanup(wire.close)
        wire.send(build("GET", f"/listen?{query}", [("X-Session", token)] if token else []))
        return wire

    def waiting(self, count):
        wait_until(f"{count} waiting", lambda: metric(self.node, "http_waiting") == count, 10 * SLOW)

    def assertEnds(self, wire, begin, status=401):
        answer = wire.read()
        took = time.monotonic() - begin
        if status == 401:
            self.assertNoPerm(answer)
        else:
            self.assertEqual(answer.status, status, answer)
        self.assertLess(took, SOON_S)

    def tearDown(self):
        super().tearDown()
        self.doCleanups()
        wait_until("no watches", lambda: metric(self.node, "watches") == 0
                   and metric(self.node, "http_waiting") == 0, 10 * SLOW)


class Listen(ListenCase):
    def test_revoked(self):
        """It ends with 401 when its token is taken back; those with other tokens wait on."""
        token, other = self.login(), self.login()
        wires = [self.start(token, "a", "b") for _ in range(5)] + [self.start(token)]
        stays = self.start(other, "a")
        self.waiting(7)
        begin = time.monotonic()
        self.logout(token)
        for wire in wires:
            self.assertEnds(wire, begin)
        self.waiting(1)
        self.append(b'"now"', at=f"/streams/{self.bucket}/a")
        self.assertEqual([e["data"] for e in stays.read().json()], ["now"])

    def test_all_sessions(self):
        """And when all tokens of its user are."""
        wires = [self.start(self.login(), "a") for _ in range(3)]
        self.waiting(3)
        begin = time.monotonic()
        self.end_all("admin", self.login())
        for wire in wires:
            self.assertEnds(wire, begin)

    def test_expired(self):
        """And when its token ends by itself, from the second of its exp on and not before."""
        for header in (False, True):
            exp = now() + 3
            wire = self.start(self.ends_at(exp, header), "a")
            answer = wire.read()
            late = time.time() - exp
            self.assertNoPerm(answer)
            self.assertGreaterEqual(late, -0.01)
            self.assertLess(late, SOON_S)

    def test_ends_by_itself_before(self):
        """One whose time is up before its token's gets its 204."""
        for seconds in (30, 10 * HOUR, 10 ** 15):
            wire = self.start(self.ends_at(now() + seconds), "a", wait=1)
            self.assertEqual(wire.read().status, 204)

    def test_many(self):
        """Hundreds that wait end within the second, too."""
        token = self.login()
        wires = [self.start(token, "a", "b", "c") for _ in range(300)]
        stays = [self.start(self.node.token(), "z") for _ in range(20)]
        self.waiting(320)
        begin = time.monotonic()
        self.logout(token)
        for wire in wires:
            self.assertEnds(wire, begin)
        self.append(b"1", at=f"/streams/{self.bucket}/z")
        for wire in stays:
            self.assertEqual(wire.read().status, 200)


class Rights(ListenCase):
    """What is open ends, or gets smaller, with the user and his rights."""

    def user(self, *streams, bucket=None):
        """A new user who may get these streams (all of the bucket, if there are none); his token."""
        name = f"u-{self.name}"
        body = json.dumps({"username": name, "password": "his password"}).encode()
        self.assertEqual(self.call("POST", "/users", body, JSON).status, 201)
        for at in [f"{self.bucket}/{s}" for s in streams] or [bucket or self.bucket]:
            self.access("grant", name, at)
        return name, self.login(name, "his password")

    def access(self, action, role, at):
        body = json.dumps({"action": action, "role": role, "permission": "get"}).encode()
        self.assertEqual(self.call("POST", f"/access/{at}", body, JSON).status, 200)

    def names(self):
        return [f"{self.name}-{n}" for n in "abc"]

    def test_user_deleted(self):
        """A deleted user's listeners end with 401."""
        name, token = self.user()
        wires = [self.start(token, *self.names()) for _ in range(3)]
        self.waiting(3)
        begin = time.monotonic()
        self.assertEqual(self.call("DELETE", f"/users/{name}").status, 204)
        for wire in wires:
            self.assertEnds(wire, begin)

    def test_password_changed(self):
        """So do those of a user whose password was changed, and his tokens without v with them."""
        name, token = self.user()
        elsewhere = self.made(name, iat=now())
        wires = [self.start(t, *self.names()) for t in (token, elsewhere)]
        self.waiting(2)
        body = json.dumps({"username": name, "password": "another"}).encode()
        begin = time.monotonic()
        self.assertEqual(self.call("PUT", "/users", body, JSON).status, 200)
        for wire in wires:
            self.assertEnds(wire, begin)
        self.assertGood(self.login(name, "another"), name)

    def test_one_stream_taken_away(self):
        """The streams that he may still get go on, the other one is heard of no more."""
        a, b, c = self.names()
        name, token = self.user(a, b, c)
        wire = self.start(token, a, b, c)
        self.waiting(1)
        wait_until("three watches", lambda: metric(self.node, "watches") == 3, 10 * SLOW)
        begin = time.monotonic()
        self.access("revoke", name, f"{self.bucket}/{b}")
        wait_until("two watches", lambda: metric(self.node, "watches") == 2, SOON_S)
        self.assertLess(time.monotonic() - begin, SOON_S)
        self.append(b'"not for him"', at=f"/streams/{self.bucket}/{b}")
        self.append(b'"for him"', at=f"/streams/{self.bucket}/{c}")
        answer = wire.read()
        self.assertEqual([(e["meta"]["stream"], e["data"]) for e in answer.json()], [(c, "for him")])

    def test_all_taken_away(self):
        """Without any it waits like a silent one, also when something is written, and ends with a 204."""
        name, token = self.user()
        wire = self.start(token, *self.names(), wait=4)
        self.waiting(1)
        begin = time.monotonic()
        self.access("revoke", name, self.bucket)
        wait_until("no watches", lambda: metric(self.node, "watches") == 0, SOON_S)
        self.append(b'"not for him"', at=f"/streams/{self.bucket}/{self.names()[0]}")
        self.assertEqual(wire.read().status, 204)
        self.assertGreater(time.monotonic() - begin, 2)
        self.assertNoPerm(self.get(f"/streams/{self.bucket}/{self.names()[0]}", token=token))

    def test_right_of_a_group(self):
        """A right that he has by a group goes with his membership."""
        name, token = self.user(bucket="elsewhere")
        group, member = f"g-{self.name}", f"u-{self.name}"
        self.assertEqual(self.call("POST", "/groups", json.dumps({"name": group}).encode(), JSON).status // 100, 2)
        self.assertEqual(self.call("PUT", f"/groups/{group}/members/{member}").status // 100, 2)
        self.access("grant", group, self.bucket)
        wire = self.start(token, self.names()[0], wait=4)
        self.waiting(1)
        wait_until("a watch", lambda: metric(self.node, "watches") == 1, 10 * SLOW)
        self.assertEqual(self.call("DELETE", f"/groups/{group}/members/{member}").status // 100, 2)
        wait_until("no watch", lambda: metric(self.node, "watches") == 0, SOON_S)
        self.assertEqual(wire.read().status, 204)
        self.assertGood(token, name)

    def test_without_a_token(self):
        """Also of anonymous, who has no token that could end."""
        a, b = self.names()[:2]
        for stream in (a, b):
            self.access("grant", "anonymous", f"{self.bucket}/{stream}")
        wire = self.start(None, a, b)
        self.waiting(1)
        self.access("revoke", "anonymous", f"{self.bucket}/{a}")
        wait_until("one watch", lambda: metric(self.node, "watches") == 1, SOON_S)
        self.append(b"1", at=f"/streams/{self.bucket}/{a}")
        self.append(b"2", at=f"/streams/{self.bucket}/{b}")
        self.assertEqual([e["data"] for e in wire.read().json()], [2])

    def test_others_stay(self):
        """Changes that are not about it leave a listener alone, however many there are."""
        wire = self.start(self.node.token(), *self.names())
        self.waiting(1)
        for n in range(50):
            self.access("grant" if n % 2 == 0 else "revoke", "anonymous", "elsewhere")
        self.append(b'"still there"', at=f"/streams/{self.bucket}/{self.names()[2]}")
        self.assertEqual([e["data"] for e in wire.read().json()], ["still there"])


class Streamed(Case):
    """A long NDJSON answer that is taken slowly."""

    LINES = 20000

    def start(self, token):
        batch = b'{"pad":"%s"}\n' % (b"x" * 1000) * 5000
        if self.get(self.at + "?limit=0").get("Iorio-High") == "0":
            for _ in range(self.LINES // 5000):
                self.assertEqual(self.post(batch, NDJSON).status, 201)
        wire = self.node.wire(timeout_s=60 * SLOW)
        self.addCleanup(wire.close)
        wire.send(build("GET", f"{self.at}?from=1&limit={self.LINES}",
                        [("X-Session", token), ("Accept", NDJSON)]))
        return wire

    def take_all(self, wire):
        """(whole, bytes) of a chunked answer that may be cut."""
        data = b""
        while True:
            try:
                piece = wire.sock.recv(1 << 16)
            except ConnectionError:
                piece = b""
            if not piece:
                return False, data
            data += piece
            if data.endswith(b"\r\n0\r\n\r\n"):
                return True, data

    def test_goes_on(self):
        """With a good token it comes whole."""
        whole, data = self.take_all(self.start(self.login()))
        self.assertTrue(whole)
        self.assertEqual(data.count(b'"pad"'), self.LINES)

    def test_cut(self):
        """When its token is taken back it is cut where the client is, and the client sees that."""
        token = self.login()
        wire = self.start(token)
        time.sleep(0.3)  # the buffers of the connection are full
        self.logout(token)
        whole, data = self.take_all(wire)
        self.assertFalse(whole)
        self.assertIn(b"200 OK", data[:20])
        self.assertGreater(data.count(b'"pad"'), 0)
        self.assertLess(data.count(b'"pad"'), self.LINES)
        self.assertAlive()


class Rotation(unittest.TestCase):
    """The key of the tokens is changed; what was signed with the one before is good until it ends."""

    def login(self, node):
        with node.client() as client:
            return client.login()

    def who(self, node, token):
        answer = node.call("GET", "/sessions", token=token)
        return answer.json().get("username") if answer.status == 200 else answer.status

    def cursor(self, node, cursor=None):
        answer = node.call("GET", "/listen?s=b:s:1&wait=0" + (f"&cursor={cursor}" if cursor else ""))
        return answer.get("Iorio-Cursor"), answer.get("Iorio-Gap")

    def test_configured(self):
        """auth.secret.previous, from the file or as a file of its own."""
        node = Node({"auth.secret": SECRET})
        node.start()
        old, revoked = self.login(node), self.login(node)
        self.assertEqual(node.call("DELETE", "/sessions", token=revoked).status, 204)
        node.call("POST", "/streams/b/s", b"1", JSON)
        cursor = self.cursor(node)[0]
        node.conf.update({"auth.secret": OTHER, "auth.secret.previous": SECRET})
        node.restart()
        self.assertEqual(self.who(node, old), "admin")
        self.assertEqual(self.who(node, revoked), 401)
        node._token = None  # a new login
        self.assertEqual(self.cursor(node, cursor)[1], None)
        new = self.login(node)
        self.assertTrue(jwt.signed_by(new, OTHER))
        self.assertEqual(self.who(node, jwt.make(SECRET, {"u": "admin", "exp": now() + HOUR}, "HS256")), 401)
        self.assertEqual(self.who(node, jwt.make("x" * 40, {"u": "admin", "exp": now() + HOUR})), 401)
        self.assertIn("auth previous secret from=auth.secret.previous", node.log())
        path = os.path.join(node.folder, "previous")
        with open(path, "w", encoding="utf-8") as f:
            f.write(SECRET + "\n")
        del node.conf["auth.secret.previous"]
        node.conf["auth.secret.previous.file"] = path
        node.restart()
        self.assertEqual((self.who(node, old), self.who(node, new)), ("admin", "admin"))
        del node.conf["auth.secret.previous.file"]
        node.restart()
        self.assertEqual((self.who(node, old), self.who(node, new)), (401, "admin"))
        self.assertEqual(self.cursor(node, cursor)[1], "*")
        for word in (SECRET, OTHER):
            self.assertNotIn(word, node.log())
        node.stop()

    def test_of_the_data_directory(self):
        """The file `secret` becomes `secret.previous`; the next start makes a new one."""
        node = Node()
        node.start()
        old = self.login(node)
        node.stop()
        here, there = (os.path.join(node.data, name) for name in ("secret", "secret.previous"))
        os.rename(here, there)
        node.start()
        new = self.login(node)
        self.assertEqual(os.stat(here).st_mode & 0o777, 0o600)
        self.assertEqual((self.who(node, old), self.who(node, new)), ("admin", "admin"))
        self.assertIn("auth previous secret from=secret.previous", node.log())
        node.stop()
        os.remove(there)
        node.start()
        self.assertEqual((self.who(node, old), self.who(node, new)), (401, "admin"))
        node.stop()

    def test_bad_keys(self):
        """A previous key that is too short is refused by chkconfig and at a start, and not shown."""
        node = Node({"auth.secret": SECRET, "auth.secret.previous": "hunter2"})
        node.spawn()
        self.assertEqual(node.wait(20 * SLOW), 78)
        self.assertIn("auth.secret.previous: too short for a key", node.log())
        self.assertNotIn("hunter2", node.log())
        node = Node()
        with open(os.path.join(node.data, "secret.previous"), "w", encoding="utf-8") as f:
            f.write("hunter2")
        node.spawn()
        self.assertEqual(node.wait(20 * SLOW), 78)
        self.assertIn("the previous key of the session tokens has 7 bytes", node.log())
        self.assertNotIn("hunter2", node.log())


if __name__ == "__main__":
    unittest.main()
