#!/usr/bin/env python3
"""test/integration/40_sessions.py - API.md section 2, and who may do what at the first start."""

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
from lib.node import Node  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

SECRET = "correct horse battery staple, 32 bytes and more"
HOUR = 3600


def now():
    return int(time.time())


class Login(NodeCase):
    CONF = {"auth.secret": SECRET}

    def login(self, username="admin", password="secret", **more):
        body = json.dumps({"username": username, "password": password, **more}).encode()
        return self.call("POST", "/sessions", body, JSON, token=None)

    def test_login(self):
        """A login is 201 with ok, token and username, and a Location."""
        answer = self.login()
        body = self.assertJson(answer, 201)
        self.assertEqual(answer.all("Location"), ["/session"])
        self.assertEqual(body, {"ok": True, "token": body["token"], "username": "admin"})
        self.assertEqual(answer.body, b'{"ok":true,"token":"%b","username":"admin"}' % body["token"].encode())

    def test_token(self):
        """The token is a JWT with HS512 over u, iat, exp and v, signed with auth.secret, 24 h long."""
        token = self.login().json()["token"]
        header, payload = jwt.read(token)
        self.assertEqual(header["alg"], "HS512")
        self.assertTrue(jwt.signed_by(token, SECRET))
        self.assertEqual(payload["u"], "admin")
        self.assertLess(abs(payload["iat"] - now()), 60)
        self.assertEqual(payload["exp"] - payload["iat"], 24 * HOUR)
        self.assertIsInstance(payload["v"], int)

    def test_unknown_fields(self):
        """Unknown JSON fields are ignored, and the type may carry parameters."""
        self.assertEqual(self.login(remember=True, x=[1]).status, 201)
        body = b' {"password" : "s\\u0065cret", "username":"admin"} '
        self.assertEqual(self.call("POST", "/sessions", body, JSON + ";charset=utf-8", token=None).status, 201)

    def test_wrong(self):
        """A wrong user and a wrong password get the same answer, 401 unauthorized."""
        answers = [self.login(*pair) for pair in (("admin", "Secret"), ("nobody", "secret"), ("admin", ""),
                                                  ("", ""), ("", "secret"), ("admin", "secret "),
                                                  ("x" * 5000, "y" * 5000), ("admin\0", "secret"))]
        for answer in answers:
            self.assertError(answer, 401, "unauthorized", "Unauthorized")
            self.assertEqual(answer.body, answers[0].body)
            self.assertEqual(answer.all("WWW-Authenticate"), ["jwt"])

    def test_wrong_takes_the_same_time(self):
        """A user that does not exist takes as long to refuse as a wrong password."""
        def measure(username):
            begin = time.perf_counter()
            self.assertEqual(self.login(username, "wrong").status, 401)
            return time.perf_counter() - begin
        pairs = [(measure("admin"), measure("no-such-user")) for _ in range(12)]
        there, not_there = (min(times) for times in zip(*pairs))  # what else runs here only adds
        self.assertTrue(0.6 < there / not_there < 1.6, (there, not_there))
        self.assertGreater(there, 0.005)

    def test_large_body(self):
        """A body that no login needs is 413, and is not parsed; a name or password that is too long is just wrong."""
        body = json.dumps({"username": "admin", "password": "secret", "x": "y" * 16384}).encode()
        self.assertError(self.call("POST", "/sessions", body, JSON, token=None), 413, "too-large")
        self.assertError(self.call("POST", "/sessions", b"[" * 20000, JSON, token=None), 413, "too-large")
        self.assertEqual(self.login(x="y" * 16000).status, 201)
        self.assertError(self.login("admin", "x" * 1025), 401, "unauthorized")

    def test_bad_body(self):
        """A login that is no JSON is 400 invalid-body; one that makes no sense is refused, too."""
        for body in (b"", b"{", b"username=admin&password=secret", b'{"username":"admin","password":"\xff"}'):
            self.assertError(self.call("POST", "/sessions", body, JSON, token=None), 400, "invalid-body")
        for body in (b"[]", b"42", b"{}", b'{"username":"admin"}', b'{"password":"secret"}', b"[" * 60 + b"]" * 60,
                     b'{"username":1,"password":[]}', b'{"username":null,"password":null}'):
            answer = self.call("POST", "/sessions", body, JSON, token=None)
            self.assertIn(answer.status, (400, 401), answer)
            self.assertIn(self.assertJson(answer, answer.status)["type"],
                          ("invalid-body", "invalid-field", "no-user-and-pass", "no-user", "no-pass",
                           "unauthorized"))

    def test_logins_at_once(self):
        """Many logins at once all succeed, and nobody else waits for them."""
        wires = [self.node.wire(timeout_s=60 * SLOW) for _ in range(16)]
        body = b'{"username":"admin","password":"secret"}'
        head = (b"POST /sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body))
        for wire in wires:
            wire.send(head + body)
        begin = time.monotonic()
        self.assertEqual(self.get("/ping", token=None).status, 200)
        self.assertLess(time.monotonic() - begin, 0.5 * SLOW)
        self.assertEqual({wire.read("POST").status for wire in wires}, {201})
        for wire in wires:
            wire.close()

    def test_who_am_i(self):
        """GET /sessions says who the caller is; without a token he is anonymous."""
        answer = self.get("/sessions")
        self.assertJson(answer, 200)
        self.assertEqual(answer.body, b'{"username":"admin"}')
        self.assertEqual(self.get("/sessions", token=None).body, b'{"username":"anonymous"}')
        anonymous = self.login("anonymous").json()["token"]
        self.assertEqual(self.get("/sessions", token=anonymous).body, b'{"username":"anonymous"}')

    def test_three_places(self):
        """The token travels as X-Session, as Bearer or as jwt=; a header comes before the query."""
        token = self.node.token()
        for path, headers in (("", [("X-Session", token)]), ("", [("Authorization", f"Bearer {token}")]),
                              ("", [("x-session", token)]), (f"?jwt={token}", []),
                              ("?jwt=bad&limit=1&x=", [("X-Session", token)])):
            with self.subTest(path=path[:5], headers=[h for h, _ in headers]):
                self.assertEqual(self.get("/sessions" + path, headers, token=None).body, b'{"username":"admin"}')
                self.assertEqual(self.call("POST", self.at + path, b"1", JSON, headers, token=None).status, 201)
        for path, headers in ((f"?jwt={token}", [("X-Session", "bad")]), ("?jwt=bad", []),
                              (f"?jwt={token}", [("Authorization", "Bearer bad")])):
            self.assertNoPerm(self.get("/sessions" + path, headers, token=None))
        self.assertEqual(self.ids("?limit=9"), [1, 2, 3, 4, 5])

    def test_token_is_not_logged(self):
        """Neither a token nor a password shows up in the log."""
        token = self.node.token()
        self.get(f"/sessions?jwt={token}", token=None)
        self.get(f"/nope?jwt={token}", token=None)
        self.login("admin", "a-wrong-password-to-look-for")
        for word in (token, token.split(".")[2], "a-wrong-password-to-look-for", SECRET):
            self.assertNotIn(word, self.node.log())


class Remembered(NodeCase):
    """A password that was right is remembered; nothing else is."""

    CONF = {"auth.login.failures": "0", "auth.login.failures.user": "0"}  # it is about many wrong ones

    def metrics(self):
        text = self.get("/metrics", token=None).body.decode()
        return {name: int(re.search(rf"^iorio_{name}_total (\d+)$", text, re.M)[1])
                for name in ("logins", "logins_failed", "logins_cached", "logins_shared", "logins_refused")}

    def login(self, username, password):
        """How long it took, and the status."""
        body = json.dumps({"username": username, "password": password}).encode()
        begin = time.perf_counter()
        answer = self.call("POST", "/sessions", body, JSON, token=None)
        return time.perf_counter() - begin, answer.status

    def at_once(self, count, pairs):
        """So many logins before the first answer; their statuses."""
        wires = [self.node.wire(timeout_s=60 * SLOW) for _ in range(count)]
        for number, wire in enumerate(wires):
            username, password = pairs[number % len(pairs)]
            wire.send(build("POST", "/sessions", [("Content-Type", JSON)],
                            json.dumps({"username": username, "password": password}).encode()))
        statuses = [wire.read("POST").status for wire in wires]
        for wire in wires:
            wire.close()
        return statuses

    def test_1_at_once(self):
        """A hundred first logins of one user, and a hundred wrong ones, are a check each."""
        self.assertEqual(self.at_once(100, [("anonymous", "secret")]), [201] * 100)
        self.assertEqual(self.at_once(100, [("admin", "wrong")]), [401] * 100)
        self.assertEqual(self.at_once(100, [("nobody", "wrong")]), [401] * 100)
        found = self.metrics()
        self.assertEqual((found["logins"], found["logins_failed"], found["logins_refused"]), (300, 200, 0))
        # Others may have come when the first check was over.
        self.assertGreater(found["logins_shared"] + found["logins_cached"], 250)

    def test_2_fast_when_right(self):
        """The second login with the right password costs no argon2id; a wrong one and an unknown user always do."""
        self.login("admin", "secret")
        right = min(self.login("admin", "secret")[0] for _ in range(10))
        before = self.metrics()
        pairs = [(self.login("admin", "Secret"), self.login("nobody-there", "secret")) for _ in range(16)]
        self.assertEqual({status for pair in pairs for _, status in pair}, {401})
        fastest_wrong, fastest_unknown = (min(times)[0] for times in zip(*pairs))
        self.assertLess(right * 2, fastest_wrong)
        self.assertTrue(0.6 < fastest_wrong / fastest_unknown < 1.6, (fastest_wrong, fastest_unknown))
        after = self.metrics()
        self.assertEqual(after["logins_cached"], before["logins_cached"])
        self.assertEqual(after["logins_shared"], before["logins_shared"])

    def test_3_a_storm(self):
        """Thousands of logins one after the other are all answered, some with a pause."""
        wires = [self.node.wire(timeout_s=60 * SLOW) for _ in range(32)]
        request = build("POST", "/sessions", [("Content-Type", JSON)], b'{"username":"admin","password":"secret"}')
        for _ in range(30):
            for wire in wires:
                wire.send(request)
            self.assertEqual({wire.read("POST").status for wire in wires}, {201})
        for wire in wires:
            wire.close()


class Forged(NodeCase):
    CONF = {"auth.secret": SECRET}

    def check(self, token, good):
        answer = self.get("/sessions", token=token)
        if good:
            self.assertEqual((answer.status, answer.body), (200, b'{"username":"admin"}'), answer)
        else:
            self.assertNoPerm(answer)

    def test_made_elsewhere(self):
        """Whoever knows the secret makes a token; v may be left out, exp may be in the JOSE header."""
        exp = now() + HOUR
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp}), True)
        self.check(jwt.make(SECRET, {"u": "admin", "iat": now(), "exp": exp, "more": [1]}), True)
        self.check(jwt.make(SECRET, {"u": "admin"}, header={"exp": exp}), True)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp}, header={"exp": exp + 1}), True)
        v = jwt.read(self.node.token())[1]["v"]
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp, "v": v}), True)

    def test_expired(self):
        """A token is over at its exp, wherever it stands."""
        late, exp = now() - 1, now() + HOUR
        self.check(jwt.make(SECRET, {"u": "admin", "exp": late}), False)
        self.check(jwt.make(SECRET, {"u": "admin"}, header={"exp": late}), False)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp}, header={"exp": late}), False)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": late}, header={"exp": exp}), False)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": -1}), False)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": 0}), False)

    def test_not_before(self):
        """A token is no good before its nbf, wherever it stands; there is no leeway."""
        exp = now() + HOUR
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp, "nbf": now() - 1}), True)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp, "nbf": now() + 60}), False)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp}, header={"nbf": now() + 60}), False)
        self.check(jwt.make(SECRET, {"u": "admin", "exp": exp, "nbf": "soon"}), False)
        token = jwt.make(SECRET, {"u": "admin", "exp": exp, "nbf": now() + 2})
        self.check(token, False)
        time.sleep(max(0.0, jwt.read(token)[1]["nbf"] - time.time()) + 0.05)
        self.check(token, True)

    def test_expires_while_it_is_used(self):
        """A token that was good (and is remembered) is refused from its exp on."""
        token = jwt.make(SECRET, {"u": "admin", "exp": now() + 2})
        self.check(token, True)
        time.sleep(max(0.0, jwt.read(token)[1]["exp"] - time.time()) + 0.05)
        self.check(token, False)

    def test_fields(self):
        """A token without a string u, without exp, of nobody, or with an old v is 401."""
        exp = now() + HOUR
        v = jwt.read(self.node.token())[1]["v"]
        for payload in ({"u": "admin"}, {"exp": exp}, {"u": 1, "exp": exp}, {"u": None, "exp": exp},
                        {"u": ["admin"], "exp": exp}, {"u": "", "exp": exp}, {"U": "admin", "exp": exp},
                        {"u": "nobody-there", "exp": exp}, {"u": "admin", "exp": None},
                        {"u": "admin", "exp": {}}, {"u": "admin", "exp": exp, "v": v + 1},
                        {"u": "admin", "exp": exp, "v": v - 1}, {"u": "admin\0", "exp": exp},
                        {"u": "a" * 300, "exp": exp}, {"u": "g-admin", "exp": exp}, {"u": "*", "exp": exp}):
            with self.subTest(payload=payload):
                self.check(jwt.make(SECRET, payload), False)
        for payload in (b"", b"{", b"[]", b"42", b'"admin"', b'{"u":"admin","exp":%d' % exp):
            with self.subTest(payload=payload):
                self.check(jwt.make(SECRET, payload), False)

    def test_algorithm_is_pinned(self):
        """No other algorithm than auth.algorithm, not even with the right key."""
        payload = {"u": "admin", "exp": now() + HOUR}
        for alg in ("HS256", "HS384"):
            self.check(jwt.make(SECRET, payload, alg=alg), False)
            self.check(jwt.make(SECRET, payload, alg=alg, header={"alg": "HS512"}), False)
            self.check(jwt.make(SECRET, payload, header={"alg": alg}), False)
        for alg in ("none", "None", "NONE", "", "RS256", "hs512", None, 1):
            with self.subTest(alg=alg):
                self.check(jwt.make(SECRET, payload, header={"alg": alg}), False)
                self.check(jwt.make(SECRET, payload, header={"alg": alg}, mac=b""), False)

    def test_signature(self):
        """A signature of another key, cut, grown, changed in one bit or missing is 401."""
        payload = {"u": "admin", "exp": now() + HOUR}
        good = jwt.make(SECRET, payload)
        signed, _, mac = good.rpartition(".")
        mac = jwt.unb64(mac)
        self.check(good, True)
        for other in (SECRET[:-1], SECRET + "x", "", SECRET.upper()):
            self.check(jwt.make(other, payload), False)
        for bad in (mac[:-1], mac + b"\0", mac[:32], b"", bytes(64), mac[::-1], bytes([mac[0] ^ 1]) + mac[1:],
                    mac[:-1] + bytes([mac[-1] ^ 1])):
            self.check(f"{signed}.{jwt.b64(bad).decode()}", False)
        head, body, tail = good.split(".")
        other = jwt.make("x" * 40, {"u": "anonymous", "exp": now() + HOUR}).split(".")
        for bad in (f"{head}.{body}", f"{head}.{body}.", f"{head}..{tail}", f".{body}.{tail}",
                    f"{head}.{other[1]}.{tail}", f"{good}.{tail}", f"{good}.", f".{good}", f"{head}.{body}.*{tail}"):
            self.check(bad, False)

    def test_garbage(self):
        """Whatever is no token is 401, however long."""
        for text in ("a", "a.b.c", "..", "...", ".", "null", "e30.e30.e30", "=.=.=", "\u00e9.\u00e9.\u00e9",
                     "a" * 4097, "a." * 3000, "x" * 60000):
            with self.subTest(text=text[:20]):
                self.check(text, False)


class Algorithm(NodeCase):
    CONF = {"auth.secret": SECRET, "auth.algorithm": "hs256", "auth.session.duration": "2m"}

    def test_configured(self):
        """auth.algorithm and auth.session.duration make the tokens; only that algorithm is taken."""
        header, payload = jwt.read(self.node.token())
        self.assertEqual((header["alg"], payload["exp"] - payload["iat"]), ("HS256", 120))
        self.assertTrue(jwt.signed_by(self.node.token(), SECRET))
        exp = now() + HOUR
        self.assertEqual(self.get("/sessions", token=jwt.make(SECRET, {"u": "admin", "exp": exp}, "HS256")).status, 200)
        self.assertNoPerm(self.get("/sessions", token=jwt.make(SECRET, {"u": "admin", "exp": exp}, "HS512")))


class LongSecret(NodeCase):
    CONF = {"auth.secret": "k" * 1024}

    def test_longest(self):
        """A key may have 1024 bytes."""
        self.assertTrue(jwt.signed_by(self.node.token(), "k" * 1024))
        self.assertEqual(self.get("/sessions").status, 200)


class Permissions(NodeCase):
    def test_every_route(self):
        """Without a permission every route that needs one is 401 no-perm with WWW-Authenticate."""
        self.append(b"1")
        anonymous = self.call("POST", "/sessions", b'{"username":"anonymous","password":"secret"}', JSON,
                              token=None).json()["token"]
        for token in (None, anonymous, "bad"):
            for method, path in (("GET", self.at), ("GET", self.at + "/1"), ("GET", self.at + "/99"),
                                 ("GET", "/buckets"), ("GET", f"/streams/{self.bucket}"), ("GET", "/streams/none/none"),
                                 ("GET", "/streams/public/x"), ("GET", "/streams/public"), ("GET", "/streams/$sys/metrics")):
                with self.subTest(method=method, path=path, token=token):
                    self.assertNoPerm(self.call(method, path, token=token))
                    head = self.call("HEAD", path, token=token)
                    self.assertEqual((head.status, head.get("WWW-Authenticate")), (401, "jwt"))
            for path in (self.at, "/streams/public/x", "/streams/none/none", "/streams/_user_anonymous/x"):
                for kind in (JSON, NDJSON, "application/octet-stream"):
                    with self.subTest(method="POST", path=path, token=token):
                        self.assertNoPerm(self.call("POST", path, b"1", kind, token=token))
        self.assertEqual(self.ids("?limit=9"), [1])
        self.assertNotIn("none", self.get("/buckets").json()["data"])
        self.assertNotIn("_user_anonymous", self.get("/buckets").json()["data"])

    def test_open_routes_with_a_bad_token(self):
        """/ping, /livez and /readyz answer whoever asks."""
        for path in ("/ping", "/livez", "/readyz"):
            self.assertEqual(self.get(path, token=None).status, 200)

    def test_admin_may_do_everything(self):
        """The admin reads, writes and lists any bucket, public and $sys included."""
        for bucket in ("public", "any", "$sys"):
            self.assertEqual(self.call("POST", f"/streams/{bucket}/x", b"1", JSON).status, 201)
            self.assertEqual(self.ids("", f"/streams/{bucket}/x"), [1])
            self.assertEqual(self.get(f"/streams/{bucket}").json()["data"], ["x"])

    def test_no_oracle(self):
        """A caller without permission cannot tell what exists: same answer for all names."""
        self.append(b"1")
        self.assertEqual(self.get(self.at, token=None).body, self.get(self.at + "-not", token=None).body)
        self.assertEqual(self.get(self.at + "/1", token=None).body, self.get(self.at + "/2", token=None).body)


class Lasting(unittest.TestCase):
    def test_secret_is_kept(self):
        """Without auth.secret a secret is made once and kept: sessions outlive kill -9 and restart."""
        node = Node()
        node.start()
        token = node.token()
        node.kill9()
        node.start()
        self.assertEqual(node.call("GET", "/sessions", token=token).body, b'{"username":"admin"}')
        node.restart()
        self.assertEqual(node.call("GET", "/sessions", token=token).body, b'{"username":"admin"}')
        other = Node()
        other.start()
        self.assertEqual(other.call("GET", "/sessions", token=token).status, 401)
        other.stop()
        node.stop()

    def test_secret_is_private(self):
        """The file that keeps the secret has mode 0600."""
        node = Node()
        node.start()
        keepers = []
        for folder, _, files in os.walk(node.data):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    words = re.findall(rb"[0-9a-f]{64}", f.read())
                if any(jwt.signed_by(node.token(), word.decode()) for word in words):
                    keepers.append((name, os.stat(os.path.join(folder, name)).st_mode & 0o777))
        self.assertEqual([mode for _, mode in keepers], [0o600] * len(keepers), keepers)
        self.assertNotEqual(keepers, [])
        node.stop()

    def test_password_from_the_configuration(self):
        """A changed auth.admin.password is taken over while the stored one is the shipped one;
        then old tokens and the old password are over, and later changes in the file do nothing."""
        node = Node({"http.bind": "127.0.0.1"})
        node.start()
        old = node.token()
        node.stop()
        node.conf["auth.admin.password"] = "another one"
        node.start()

        def login(password):
            body = json.dumps({"username": "admin", "password": password}).encode()
            return node.call("POST", "/sessions", body, JSON, token=None).status
        self.assertEqual((login("another one"), login("secret")), (201, 401))
        self.assertEqual(node.call("GET", "/sessions", token=old).status, 401)
        self.assertNotIn("another one", node.banner() + node.log())
        node.stop()
        node.conf["auth.admin.password"] = "a third"
        node.start()
        self.assertEqual((login("another one"), login("a third"), login("secret")), (201, 401, 401))
        node.stop()

    def test_first_user(self):
        """auth.admin.username and auth.anon.username name the first users."""
        node = Node({"auth.admin.username": "root", "auth.anon.username": "guest", "auth.anon.password": "g"})
        node.start()
        with node.client("root", "secret") as client:
            self.assertEqual(client.session(), "root")
            self.assertEqual(client.post_json("b", "s", {"x": 1})["id"], 1)
        self.assertEqual(node.call("GET", "/sessions", token=None).body, b'{"username":"guest"}')
        with node.client("guest", "g") as client:
            self.assertEqual(client.session(), "guest")
        node.stop()


if __name__ == "__main__":
    unittest.main()
