#!/usr/bin/env python3
"""test/integration/47_limits.py - rate limits by address, user and bucket, failed logins, proxies, and what a
bucket may hold: 429 and 507 with their reasons, and nobody else is held up.

Every test comes from an address of its own (127.0.N.1), so that none eats what another one needs. Rates are in
hours, so that nothing comes back while a slow machine counts."""

import json
import os
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import iorio_verb, temp_folder, wait_until  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

_last = [0]


def new_address():
    _last[0] += 1
    return f"127.0.{_last[0]}.1"


class LimitCase(NodeCase):
    def setUp(self):
        super().setUp()
        self.source = new_address()

    def ask(self, method, path, body=None, type_=None, headers=(), token=None, source=None):
        """One request from an address; token None: none is sent, True: the admin's."""
        headers = list(headers)
        if token is not None:
            headers.append(("X-Session", self.node.token() if token is True else token))
        if type_ is not None:
            headers.append(("Content-Type", type_))
        with self.node.wire(source=source or self.source) as wire:
            return wire.request(method, path, headers, body)

    def statuses(self, count, *args, **options):
        return [self.ask(*args, **options).status for _ in range(count)]

    def metric(self, name):
        text = self.call("GET", "/metrics", token=None).body.decode()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"iorio_{name} "))

    def assertLimited(self, answer, limit, least_s=1, most_s=3600):
        self.assertError(answer, 429, "rate-limited", "Too Many Requests", limit=limit)
        self.assertRegex(answer.get("Retry-After"), r"^[1-9][0-9]*$")
        self.assertGreaterEqual(int(answer.get("Retry-After")), least_s)
        self.assertLessEqual(int(answer.get("Retry-After")), most_s)


class Off(LimitCase):
    def test_off_by_default(self):
        """Without configuration nothing is limited but wrong logins."""
        with self.node.wire(source=self.source) as wire:
            for _ in range(1500):
                self.assertEqual(wire.request("GET", "/sessions").status, 200)
        self.assertEqual(self.metric("limited_address_total"), 0)
        self.assertEqual(self.metric("quota_counts_total"), 0)


class Address(LimitCase):
    CONF = {"limits.address.requests": "30/h"}

    def test_burst(self):
        """So many at once, then 429 with the key and Retry-After; other addresses go on."""
        before = self.metric("limited_address_total")
        self.assertEqual(self.statuses(30, "GET", "/sessions"), [200] * 30)
        for _ in range(3):
            self.assertLimited(self.ask("GET", "/sessions"), "limits.address.requests", 1, 120)
        self.assertEqual(self.ask("GET", "/sessions", source=new_address()).status, 200)
        self.assertEqual(self.metric("limited_address_total") - before, 3)

    def test_order(self):
        """404 and 405 come before it and are not counted; it comes before 401, 406, 415 and 400."""
        self.assertEqual(self.statuses(40, "GET", "/nope"), [404] * 40)
        self.assertEqual(self.statuses(40, "PUT", self.at), [405] * 40)
        self.assertEqual(self.statuses(30, "GET", "/sessions"), [200] * 30)
        limit = "limits.address.requests"
        self.assertLimited(self.ask("POST", self.at, b"{", "text/plain", token="bad"), limit)
        self.assertLimited(self.ask("POST", self.at, b"1", JSON, token=True), limit)
        self.assertLimited(self.ask("GET", "/streams/%zz/x", token=True), limit)
        self.assertLimited(self.ask("GET", self.at, headers=[("Accept", "image/png")], token=True), limit)
        self.assertLimited(self.ask("POST", "/sessions", b"{", "text/plain"), limit)
        self.assertEqual(self.ask("GET", "/nope").status, 404)
        self.assertEqual(self.ask("PUT", self.at).status, 405)

    def test_probes_go_through(self):
        """/ping, /livez and /readyz are answered however busy the address is."""
        self.assertEqual(self.statuses(30, "GET", "/sessions"), [200] * 30)
        self.assertEqual(self.ask("GET", "/sessions").status, 429)
        for path in ("/ping", "/livez", "/readyz"):
            self.assertEqual(self.statuses(40, "GET", path), [200] * 40)

    def test_bad_tokens_are_counted(self):
        """Requests that end in 401 count like others."""
        self.assertEqual(self.statuses(30, "GET", self.at, token="x.y.z"), [401] * 30)
        self.assertLimited(self.ask("GET", self.at, token="x.y.z"), "limits.address.requests")

    def test_head(self):
        """A HEAD is limited, with the head of the error and no body."""
        self.assertEqual(self.statuses(30, "HEAD", "/sessions"), [200] * 30)
        answer = self.ask("HEAD", "/sessions")
        self.assertEqual((answer.status, answer.body), (429, b""))
        self.assertIsNotNone(answer.get("Retry-After"))

    def test_connection_is_kept(self):
        """A 429 does not end the connection."""
        with self.node.wire(source=self.source) as wire:
            got = [wire.request("GET", "/sessions").status for _ in range(40)]
            self.assertEqual(got, [200] * 30 + [429] * 10)
            self.assertEqual(wire.request("GET", "/livez").status, 200)

    def test_large_bodies(self):
        """A large body counts once; one that may not come is refused before it comes."""
        body = b"x" * (3 << 20)
        self.assertEqual(self.statuses(29, "GET", "/sessions"), [200] * 29)
        self.assertEqual(self.ask("POST", self.at, body, BINARY, token=True).status, 201)
        with self.node.wire(source=self.source) as wire:
            wire.send(build("POST", self.at, [("X-Session", self.node.token()), ("Content-Type", BINARY),
                                              ("Content-Length", str(len(body)))]))
            self.assertLimited(wire.read("POST"), "limits.address.requests", 1, 120)

    def test_many_addresses(self):
        """Thousands of addresses do not give back what one has used up."""
        self.assertEqual(self.statuses(30, "GET", "/sessions"), [200] * 30)
        for i in range(2000):
            self.assertEqual(self.ask("GET", "/sessions", source=f"127.77.{i // 250}.{i % 250 + 1}").status, 200)
        self.assertEqual(self.ask("GET", "/sessions").status, 429)


class PaceCase(LimitCase):
    def until_limited(self, limit, ask):
        """Asks until it is 429, then waits as long as that says."""
        for _ in range(200):
            answer = ask()
            if answer.status == 429:
                self.assertLimited(answer, limit, 1, 6)
                time.sleep(int(answer.get("Retry-After")))
                return
        self.fail("no limit")


class Pace(PaceCase):
    CONF = {"limits.address.requests": "20/m"}

    def test_requests(self):
        """After as many seconds as Retry-After says one more request goes through."""
        for _ in range(2):
            self.until_limited("limits.address.requests", lambda: self.ask("GET", "/sessions"))
            self.assertEqual(self.ask("GET", "/sessions").status, 200)


class LoginPace(PaceCase):
    CONF = {"auth.login.failures": "10/m", "auth.login.failures.user": "0"}

    def test_logins(self):
        """The same for logins; a right one does not use the place up, a wrong one does."""
        with self.node.wire(source=self.source) as wire:
            def login(password):
                body = json.dumps({"username": "admin", "password": password}).encode()
                return wire.request("POST", "/sessions", [("Content-Type", JSON)], body)
            self.until_limited("auth.login.failures", lambda: login("wrong"))
            self.assertEqual([login("secret").status for _ in range(3)], [201] * 3)
            self.assertEqual(login("wrong").status, 401)


class User(LimitCase):
    CONF = {"limits.user.requests": "20/h"}

    def test_user(self):
        """A user has one rate, wherever he comes from; those without a token are one user."""
        self.node.token()
        answers = [self.ask("GET", "/sessions", token=True, source=new_address()) for _ in range(20)]
        self.assertEqual([a.status for a in answers], [200] * 20)
        limit = "limits.user.requests"
        self.assertLimited(self.ask("GET", "/sessions", token=True), limit, 1, 180)
        # In front of it: 401; behind it: 406, 415, 400.
        self.assertNoPerm(self.ask("GET", "/sessions", token="bad"))
        self.assertLimited(self.ask("POST", self.at, b"{", "text/plain", token=True), limit)
        self.assertLimited(self.ask("GET", self.at, headers=[("Accept", "image/png")], token=True), limit)
        self.assertLimited(self.ask("GET", "/streams/%zz/x", token=True), limit)
        # Who may not is told so, and it counts for nobody.
        for _ in range(40):
            self.assertNoPerm(self.ask("GET", self.at))
        self.assertEqual(self.metric("limited_user_total"), 4)  # which was a request, too
        self.assertEqual(self.statuses(20, "GET", "/sessions"), [200] * 19 + [429])


class Bucket(LimitCase):
    CONF = {"limits.bucket.requests": "10/h"}

    def test_bucket(self):
        """A bucket has one rate, of reads, writes and lists together; others go on."""
        limit = "limits.bucket.requests"
        got = [self.ask("POST", "/streams/one/s", b"1", JSON, token=True).status for _ in range(4)]
        got += [self.ask("GET", "/streams/one/s", token=True).status for _ in range(3)]
        got += [self.ask("GET", "/streams/one", token=True).status for _ in range(3)]
        self.assertEqual(got, [201] * 4 + [200] * 6)
        self.assertLimited(self.ask("POST", "/streams/one/s", b"1", JSON, token=True), limit, 1, 360)
        self.assertLimited(self.ask("GET", "/streams/one/other/1", token=True), limit)
        self.assertLimited(self.ask("DELETE", "/streams/one/s", token=True), limit)
        self.assertLimited(self.ask("GET", "/policies/one", token=True), limit)
        self.assertLimited(self.ask("POST", "/streams/%6fne/s", b"1", JSON, token=True), limit)
        self.assertEqual(self.ask("POST", "/streams/two/s", b"1", JSON, token=True).status, 201)
        self.assertEqual(self.ask("GET", "/buckets", token=True).status, 200)
        # Nobody can use up the rate of a bucket that he may not touch.
        for _ in range(20):
            self.assertNoPerm(self.ask("GET", "/streams/three/s"))
        self.assertEqual(self.ask("GET", "/streams/three/s", token=True).status, 200)
        self.assertNoPerm(self.ask("GET", "/streams/one/s"))
        # What is no name has no rate.
        for _ in range(12):
            self.assertError(self.ask("GET", "/streams/%00/s", token=True), 400, "invalid-name")
        self.assertEqual(self.metric("limited_bucket_total"), 5)


class Writes(LimitCase):
    CONF = {"limits.bucket.writes": "64KB/h"}

    def test_writes(self):
        """Bytes appended have a rate; a larger body goes through once and is paid back by waiting."""
        self.assertEqual(self.ask("POST", "/streams/w/s", b"x" * (100 << 10), BINARY, token=True).status, 201)
        answer = self.ask("POST", "/streams/w/s", b"1", JSON, token=True)
        self.assertLimited(answer, "limits.bucket.writes", 1900, 2026)
        self.assertLimited(self.ask("POST", "/streams/w/t", b"1\n2\n", NDJSON, token=True), "limits.bucket.writes")
        self.assertEqual(self.ask("GET", "/streams/w/s/1", token=True).status, 200)
        self.assertEqual(self.ask("PUT", "/policies/w", b'{"max_events":5}', JSON, token=True).status, 200)
        self.assertEqual(self.ask("POST", "/streams/v/s", b"1", JSON, token=True).status, 201)
        self.assertEqual(self.metric("limited_writes_total"), 2)
        for n in range(1, 5):
            answer = self.ask("POST", "/streams/u/s", b"x" * (16 << 10), BINARY, token=True)
            self.assertStored(answer, n, "/streams/u/s")
        self.assertEqual(self.ask("POST", "/streams/u/s", b"x" * (16 << 10), BINARY, token=True).status, 429)


class Logins(LimitCase):
    CONF = {"auth.login.failures": "6/h", "auth.login.failures.user": "3/h"}

    def login(self, username, password, source=None):
        return self.ask("POST", "/sessions", json.dumps({"username": username, "password": password}).encode(),
                        JSON, source=source)

    def test_one_user(self):
        """After some wrong passwords for one user the address waits, also with the right one; others do not."""
        for _ in range(3):
            self.assertError(self.login("admin", "wrong"), 401, "unauthorized")
        for password in ("wrong", "secret"):
            self.assertLimited(self.login("admin", password), "auth.login.failures.user", 1, 1200)
        self.assertLimited(self.login("ADMIN", "secret"), "auth.login.failures.user")  # the same user
        self.assertEqual(self.login("anonymous", "secret").status, 201)
        self.assertEqual(self.login("admin", "secret", source=new_address()).status, 201)

    def test_one_address(self):
        """Wrong logins of an address, whoever is tried; nothing is said of who exists."""
        for name in ("admin", "nobody", "admin", "x", "y", "anonymous"):
            self.assertError(self.login(name, "wrong"), 401, "unauthorized", "Unauthorized")
        before = self.metric("logins_total")
        for name in ("admin", "nobody", "z", "anonymous"):
            self.assertLimited(self.login(name, "secret"), "auth.login.failures", 1, 600)
        self.assertEqual(self.metric("logins_total"), before)  # no password was looked at
        self.assertEqual(self.login("admin", "secret", source=new_address()).status, 201)
        # Tokens go on, whatever became of the logins.
        self.assertEqual(self.ask("GET", "/sessions", token=True).status, 200)

    def test_a_flood_costs_little(self):
        """A thousand wrong logins more are refused at once."""
        for i in range(6):
            self.login(f"n{i}", "wrong")
        begin = time.monotonic()
        with self.node.wire(source=self.source) as wire:
            for _ in range(1000):
                answer = wire.request("POST", "/sessions", [("Content-Type", JSON)],
                                      b'{"username":"admin","password":"wrong"}')
                self.assertEqual(answer.status, 429)
        self.assertLess(time.monotonic() - begin, 5 * SLOW)  # argon2 would take 40 s

    def test_right_logins_do_not_count(self):
        """However often somebody logs in with the right password."""
        self.assertEqual([self.login("admin", "secret").status for _ in range(15)], [201] * 15)

    def test_leaving_early_counts(self):
        """A client that does not wait for the answer has tried all the same."""
        body = b'{"username":"early","password":"wrong"}'
        before = self.metric("logins_failed_total")
        for _ in range(6):
            wire = self.node.wire(source=self.source)
            wire.send(build("POST", "/sessions", [("Content-Type", JSON)], body))
            time.sleep(0.01)
            wire.reset()
        wait_until("the logins", lambda: self.metric("logins_failed_total") >= before + 3, 5 * SLOW)
        wait_until("429", lambda: self.login("early", "wrong").status == 429, 5 * SLOW)

    def test_bad_bodies_do_not_count(self):
        """What is no login is 400 and costs nobody anything."""
        for _ in range(10):
            self.assertError(self.ask("POST", "/sessions", b"{", JSON), 400, "invalid-body")
        self.assertEqual(self.login("admin", "secret").status, 201)


class Proxies(LimitCase):
    CONF = {"http.proxies": "127.9.0.0/16, ::1", "limits.address.requests": "5/h"}

    def setUp(self):
        super().setUp()
        self.proxy = f"127.9.{_last[0]}.1"

    def via(self, *lines, header="X-Forwarded-For", path="/sessions", source=None):
        return self.ask("GET", path, headers=[(header, line) for line in lines], source=source or self.proxy)

    def test_clients_behind_a_proxy(self):
        """Each has his own rate; what a client puts in front changes nothing."""
        for client in ("203.0.113.1", "203.0.113.2", "2001:db8:1::1"):
            self.assertEqual([self.via(client).status for _ in range(6)], [200] * 5 + [429])
        self.assertLimited(self.via("198.51.100.7, 203.0.113.1"), "limits.address.requests")
        self.assertEqual(self.via("198.51.100.7", "203.0.113.1").status, 429)  # two lines are one list
        self.assertEqual(self.via("203.0.113.1, 127.9.0.7").status, 429)  # two proxies
        self.assertEqual(self.via("203.0.113.1:4711").status, 429)
        self.assertEqual(self.via("2001:db8:1::ffff").status, 429)  # of the same 64 bits
        self.assertEqual(self.via("2001:db8:1:1::1").status, 200)

    def test_nobody_else_is_believed(self):
        """From other addresses the header counts for nothing, and so does the other header."""
        got = [self.via(f"203.0.114.{i}", source=self.source).status for i in range(6)]
        self.assertEqual(got, [200] * 5 + [429])
        got = [self.via(f"for=203.0.115.{i}", header="Forwarded").status for i in range(6)]
        self.assertEqual(got, [200] * 5 + [429])

    def test_nonsense(self):
        """What is no address makes the proxy the client."""
        for bad in ("unknown", "1.2.3", "\"203.0.113.9\"", "[::1", "a" * 5000, ",,,", "203.0.113.9 x"):
            self.assertIn(self.via(bad).status, (200, 429))
        self.assertLimited(self.via("nonsense"), "limits.address.requests")
        self.assertEqual(self.via("203.0.116.1").status, 200)

    def test_metrics_are_not_for_clients_of_a_proxy(self):
        """Loopback is the machine itself, not whom a proxy on it speaks for."""
        self.assertEqual(self.via(path="/metrics").status, 200)
        for line in ("203.0.117.1", "127.0.0.1", "127.9.0.1", "nonsense"):
            self.assertNoPerm(self.via(line, path="/metrics"))


class ProxyLog(LimitCase):
    @classmethod
    def setUpClass(cls):
        cls.file = os.path.join(temp_folder(), "requests.log")
        cls.CONF = {"http.proxies": "127.0.0.1", "request_log": "json", "request_log.file": cls.file}
        super().setUpClass()

    def lines(self):
        with open(self.file, encoding="utf-8") as f:
            return [json.loads(line) for line in f.read().splitlines()]

    def test_logs_name_the_client(self):
        """The request log and the lines about logins have the client, not the proxy."""
        header = [("X-Forwarded-For", "1.1.1.1, 203.0.113.77")]
        bad = b'{"username":"admin","password":"wrong"}'
        self.ask("GET", "/ping", headers=header, source="127.0.0.1")
        self.ask("GET", "/livez", headers=header)
        self.ask("POST", "/sessions", bad, JSON, headers=header, source="127.0.0.1")
        wait_until("the lines", lambda: len(self.lines()) >= 3, 5 * SLOW)
        clients = {line["path"]: line["address"] for line in self.lines()}
        self.assertEqual(clients["/ping"], "203.0.113.77")
        self.assertEqual(clients["/livez"], self.source)
        wait_until("the login", lambda: "from=203.0.113.77" in self.node.log(), 5 * SLOW)


class Rfc7239(LimitCase):
    CONF = {"http.proxies": "127.0.0.0/8", "http.proxies.header": "forwarded", "limits.address.requests": "5/h"}

    def test_forwarded(self):
        """The same with Forwarded; X-Forwarded-For is not looked at then."""
        def via(value, header="Forwarded"):
            return self.ask("GET", "/sessions", headers=[(header, value)]).status
        self.assertEqual([via("for=203.0.113.1;proto=http") for _ in range(6)], [200] * 5 + [429])
        self.assertEqual(via('for="[2001:db8::1]:80", for=127.0.0.9'), 200)
        self.assertEqual(via("for=1.1.1.1, For=203.0.113.1"), 429)
        self.assertEqual([via(f"203.0.118.{i}", "X-Forwarded-For") for i in range(6)], [200] * 5 + [429])


class Quotas(LimitCase):
    CONF = {"limits.bucket.streams": "5", "limits.bucket.bytes": "100KB"}

    def put(self, stream, size=10, bucket=None):
        return self.call("POST", f"/streams/{bucket or self.bucket_}/{stream}", b"x" * size, BINARY)

    def setUp(self):
        super().setUp()
        self.bucket_ = f"q{_last[0]}"

    def counted(self, bucket=None):
        """The first append to a bucket; waits until the bucket is counted."""
        before = self.metric("quota_counts_total")
        self.assertEqual(self.put("s0", bucket=bucket).status, 201)
        wait_until("the count", lambda: self.metric("quota_counts_total") > before and self.metric("quota_waiting") == 0,
                   10 * SLOW)

    def test_streams(self):
        """The sixth stream is 507 with the key in the reason; deleting one makes room."""
        self.counted()
        self.assertEqual([self.put(f"s{i}").status for i in range(1, 5)], [201] * 4)
        for _ in range(3):
            self.assertIn("limits.bucket.streams", self.assertError(self.put("s5"), 507, "no-space")["reason"])
        self.assertEqual(self.put("s4").status, 201)
        self.assertEqual(self.call("DELETE", f"/streams/{self.bucket_}/s2").status, 204)
        self.assertEqual(self.put("s5").status, 201)
        self.assertEqual(self.put("s2").status, 507)
        self.assertEqual(len(self.get(f"/streams/{self.bucket_}").json()["data"]), 5)

    def test_bytes(self):
        """Bytes beyond the limit are 507; truncating, deleting and policies make room."""
        self.counted()
        self.assertEqual(self.put("s1", (100 << 10) - 10).status, 201)
        self.assertIn("limits.bucket.bytes", self.assertError(self.put("s0", 1), 507, "no-space")["reason"])
        self.assertError(self.put("new", 1), 507, "no-space")
        self.assertEqual(self.get(f"/streams/{self.bucket_}").json()["data"], ["s0", "s1"])
        self.assertEqual(self.call("DELETE", f"/streams/{self.bucket_}/s1?to=1").status, 204)
        self.assertEqual(self.put("s1", (100 << 10) - 10).status, 201)
        self.assertEqual(self.put("s1", 10).status, 507)
        answer = self.call("PUT", f"/policies/{self.bucket_}/s1", b'{"max_events":1}', JSON)
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.put("s1", 10).status, 201)  # the large one goes with it
        self.assertEqual(self.put("s0", 1000).status, 201)

    def test_restart(self):
        """What is there counts after a restart too; a batch is refused whole; others go on."""
        self.counted()
        self.assertEqual(self.put("s1", 90 << 10).status, 201)
        self.node.restart()
        self.counted()
        batch = b"\n".join(b'"%b"' % (b"y" * 1000) for _ in range(11))
        self.assertEqual(self.call("POST", f"/streams/{self.bucket_}/s1", batch, NDJSON).status, 507)
        self.assertEqual([self.put(f"s{i}").status for i in range(2, 6)], [201, 201, 201, 507])
        self.assertEqual(self.put("s1", bucket="other").status, 201)
        kept = self.get(f"/streams/{self.bucket_}/s1?from=1&limit=9").json()
        self.assertEqual([e["meta"]["id"] for e in kept], [1])
        self.assertGreaterEqual(self.metric("limited_bytes_total"), 1)
        self.assertGreaterEqual(self.metric("limited_streams_total"), 1)


class Reload(LimitCase):
    def hup(self, **conf):
        self.node.conf = {**self.node.conf, **{k.replace("__", "."): v for k, v in conf.items()}}
        self.node.write_conf()
        seen = len(self.node.log())
        os.kill(self.node.process.pid, signal.SIGHUP)
        wait_until("the reload", lambda: "config reloaded" in self.node.log()[seen:], 10 * SLOW)

    def test_limits_come_and_go(self):
        """SIGHUP: a rate holds from the next request on, another one begins anew, none is none."""
        self.assertEqual(self.statuses(10, "GET", "/sessions"), [200] * 10)
        self.hup(limits__address__requests="4/h")
        self.assertEqual(self.statuses(6, "GET", "/sessions"), [200] * 4 + [429] * 2)
        self.hup(limits__address__requests="4/h", limits__user__requests="1000/h")
        self.assertEqual(self.statuses(2, "GET", "/sessions"), [429] * 2)  # the same: nothing is given back
        self.hup(limits__address__requests="2/h")
        self.assertEqual(self.statuses(3, "GET", "/sessions"), [200] * 2 + [429])
        self.hup(limits__address__requests="0", limits__user__requests="0")
        self.assertEqual(self.statuses(10, "GET", "/sessions"), [200] * 10)

    def test_quotas_come_and_go(self):
        """The same for what a bucket may hold: what was written before counts."""
        def put(stream):
            return self.call("POST", f"/streams/come/{stream}", b"1", JSON).status
        self.assertEqual([put(f"s{i}") for i in range(4)], [201] * 4)
        self.hup(limits__bucket__streams="5")
        self.assertEqual(put("s0"), 201)
        wait_until("the count", lambda: self.metric("quota_waiting") == 0, 10 * SLOW)
        self.assertEqual([put("s4"), put("s5")], [201, 507])
        self.hup(limits__bucket__streams="0")
        self.assertEqual([put(f"s{i}") for i in range(5, 9)], [201] * 4)
        self.hup(limits__bucket__streams="9")
        self.assertEqual(put("s0"), 201)
        wait_until("the count", lambda: self.metric("quota_waiting") == 0, 10 * SLOW)
        self.assertEqual(put("s9"), 507)


class Configuration(unittest.TestCase):
    def test_refused(self):
        """Rates, sizes and lists that cannot be are errors of the configuration, with what is allowed."""
        for key, value, found in (("limits.address.requests", "100", "100/s"),
                                  ("limits.address.requests", "-1/s", "not a whole number"),
                                  ("limits.bucket.writes", "100/s", "the unit"),
                                  ("limits.bucket.bytes", "100", "the unit"),
                                  ("auth.login.failures", "100/d", "100/s"),
                                  ("http.proxies", "proxy.local", "not an address"),
                                  ("http.proxies", "10.1.2.3/8", "behind its prefix"),
                                  ("http.proxies.header", "x-real-ip", "x-forwarded-for")):
            with self.subTest(key=key, value=value):
                conf = os.path.join(temp_folder(), "iorio.conf")
                with open(conf, "w", encoding="ascii") as f:
                    f.write(f"{key} = {value}\n")
                done = iorio_verb("chkconfig", "--conf", conf)
                self.assertEqual(done.returncode, 78, done.stderr)
                self.assertIn(key, done.stdout + done.stderr)
                self.assertIn(found, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
