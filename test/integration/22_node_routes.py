#!/usr/bin/env python3
"""test/integration/22_node_routes.py - /stats, /openapi.json, /x/echo, /metrics with histograms and counters by bucket, and
the node's own metrics as events of $sys/metrics."""

import copy
import json
import os
import re
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON, NodeCase  # noqa: E402
from lib.node import ROOT, Node, iorio_verb, temp_folder, wait_until  # noqa: E402
from lib.openapi import mismatch, problems  # noqa: E402
from lib.wire import SLOW, build  # noqa: E402

ANY_METHODS = {"get", "post", "put", "delete", "patch"}


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def routes_def():
    """(method, path) of every row."""
    text = re.sub(r"/\*.*?\*/", "", text_of("proto/http/routes.def"), flags=re.S)
    rows = re.findall(r'^R\((\w+),\s*"([^"]+)"', text, re.M)
    assert len(rows) == len(re.findall(r"^R\(", text, re.M))
    return rows


def pattern(path):
    """A path of routes.def or of the document, without the names of its parameters."""
    return re.sub(r":\w+|{\w+}|\*", "{}", path)


class OpenApi(NodeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.answer = cls.node.call("GET", "/openapi.json", token=None)
        cls.document = cls.answer.json()

    def operations(self):
        for path, item in self.document["paths"].items():
            for method, op in item.items():
                yield path, method, op

    def test_served(self):
        """Without a token, as JSON, with HEAD; a bad token is not even looked at."""
        self.assertJson(self.answer, 200)
        self.assertEqual(self.get("/openapi.json/", token="bad").body, self.answer.body)
        head = self.call("HEAD", "/openapi.json", token=None)
        self.assertEqual((head.status, head.get("Content-Length")), (200, str(len(self.answer.body))))
        version = re.search(r"version: '([0-9.]+)'", text_of("meson.build"))[1]
        self.assertEqual(self.document["info"]["version"], version)

    def test_structure(self):
        """The document is what OpenAPI 3.0 wants."""
        self.assertEqual(problems(self.document), [])

    def test_structure_is_checked(self):
        """The check of the structure finds faults: each of these is one."""
        def without(d, *path):
            for step in path[:-1]:
                d = d[step]
            del d[path[-1]]

        stream = ("paths", "/streams/{bucket}/{stream}")
        faults = [
            lambda d: d.update(openapi="2.0"), lambda d: without(d, "info", "title"),
            lambda d: d["paths"].update({"ping": {}}), lambda d: d["paths"].update({"/a/{x}": {"get": {}}}),
            lambda d: d["paths"].update({"/streams/{x}": copy.deepcopy(d["paths"]["/streams/{bucket}"])}),
            lambda d: without(d, *stream, "get", "responses"), lambda d: d["paths"]["/ping"].update(fetch={}),
            lambda d: without(d, *stream, "get", "responses", "200", "description"),
            lambda d: d["paths"]["/ping"]["get"].update(operationId="listen"),
            lambda d: d["paths"]["/ping"]["get"].update(security=[{"magic": []}]),
            lambda d: d["paths"]["/ping"]["get"].update(requestBody={"content": {JSON: {}}}),
            lambda d: without(d, *stream, "get", "parameters"), lambda d: without(d, "components", "schemas", "Error"),
            lambda d: d["paths"]["/ping"]["get"]["responses"].update({"2000": {"description": "x"}}),
            lambda d: d["components"]["schemas"]["Error"]["required"].append("nothing"),
            lambda d: d["components"]["schemas"]["Error"].update(kind="object"),
            lambda d: d["components"]["schemas"]["Events"].pop("items"),
        ]
        for i, fault in enumerate(faults):
            with self.subTest(fault=i):
                broken = copy.deepcopy(self.document)
                fault(broken)
                self.assertNotEqual(problems(broken), [])
        stats = self.document["components"]["schemas"]["Stats"]
        self.assertIn("no node", mismatch(self.document, stats, {}))
        pong = self.document["components"]["schemas"]["Pong"]
        self.assertIsNone(mismatch(self.document, pong, {"pong": "x", "more": 1}))
        self.assertIsNotNone(mismatch(self.document, pong, {"pong": 1}))

    def test_every_route(self):
        """Every row of routes.def is in the document with its method, and nothing else is."""
        wanted = set()
        for method, path in routes_def():
            methods = ANY_METHODS & set(self.document["paths"].get("/x/echo/{rest}", {})) if method == "ANY" else {method.lower()}
            wanted |= {(m, pattern(path)) for m in methods}
        there = [(method, pattern(path)) for path, method, _ in self.operations()]
        self.assertEqual(len(there), len(set(there)))
        self.assertEqual(set(there), wanted)

    def test_described(self):
        """Every operation says what it is for; routes that need a permission name it."""
        rows = re.findall(r'^R\((\w+),\s*"([^"]+)",\s*PERM_(\w+)', text_of("proto/http/routes.def"), re.M)
        permissions = {(m.lower(), pattern(path)): perm.lower() for m, path, perm in rows}
        self.assertGreater(len(permissions), 5)
        for path, method, op in self.operations():
            with self.subTest(path=path, method=method):
                self.assertGreater(len(op["summary"]), 5)
                self.assertNotIn("Not described", op["summary"])
                named = permissions.get((method, pattern(path)))
                if named:
                    self.assertIn(f"`{named}`", op["description"])

    def test_methods_of_any(self):
        """A route for any method has those that the node allows there."""
        answer = self.call("BREW", "/x/echo", token=None)
        self.assertNoBody(answer, 405)
        allowed = {m.lower() for m in answer.words("Allow")} - {"head"}
        self.assertEqual(set(self.document["paths"]["/x/echo/{rest}"]), allowed)

    def check(self, path, method, answer):
        """An answer is one of those that the document has: status, type and shape."""
        op = self.document["paths"][path][method.lower()]
        self.assertIn(str(answer.status), op["responses"], answer)
        said = op["responses"][str(answer.status)]
        content = said.get("content", {})
        if not content:
            self.assertEqual(answer.body, b"", answer)
            return
        type_ = answer.get("Content-Type").split(";")[0]
        self.assertIn(type_, content, answer)
        if type_ == JSON:
            self.assertIsNone(mismatch(self.document, content[type_]["schema"], answer.json()), answer)
        for name in said.get("headers", {}):
            if name in ("WWW-Authenticate", "Location", "ETag", "Iorio-Low", "Iorio-High"):
                self.assertIsNotNone(answer.get(name), f"{name} is missing: {answer}")

    def ask(self, path, method, body=None, type_=None, headers=(), token=True, url=None):
        url = url or path.format(bucket="openapi", stream="s", id="1", rest="a", user="nobody", group="g-none", member="nobody")
        answer = self.call(method.upper(), url, body, type_, headers, token)
        if path.endswith("/sessions") and method == "delete":
            self.node._token = None  # that was its end
        self.check(path, method, answer)
        return answer.status

    def test_answers(self):
        """Each operation is asked in the usual ways and in wrong ones: every answer is documented."""
        self.append(b'{"a":1}', at="/streams/openapi/s")
        self.assertEqual(self.call("POST", "/streams/openapi/s", b"\xff", BINARY).status, 201)
        seen = {}
        for path, method, op in sorted(self.operations(), key=lambda o: o[1] == "delete"):
            bodies = op.get("requestBody", {}).get("content", {})
            tries = [dict(token=None), dict(token="bad"), dict(headers=[("Accept", "image/png")])]
            tries.append(dict(body=b"{}", type_=JSON) if bodies else {})
            if bodies:
                tries += [dict(body=b"{", type_=JSON), dict(body=b"1", type_="a/b"), dict(body=b"[1]", type_=JSON)]
            if "{bucket}" in path:
                tries.append(dict(url=path.format(bucket="a%00", stream="s", id="1"), **(
                    dict(body=b"{}", type_=JSON) if bodies else {})))
            for one in tries:
                if path == "/listen" and method == "get":
                    one["url"] = "/listen?wait=0"
                if path == "/access/explain":
                    one["url"] = path + "?user=admin&permission=get"
                if path == "/sessions" and method == "delete" and one.get("token") is None and "token" not in one:
                    one["token"] = "ended"  # not the one that all the others use
                with self.subTest(path=path, method=method, **one):
                    seen.setdefault((path, method), set()).add(self.ask(path, method, **one))
        for (path, method), statuses in seen.items(): # each of them came further than its checks
            if "requestBody" not in self.document["paths"][path][method] and (path, method) != ("/sessions", "delete"):
                self.assertTrue(any(s < 300 or s == 404 for s in statuses), (path, method, statuses))

    def test_answers_of_streams(self):
        """The answers of the routes of streams that need more than a plain request."""
        path, url = "/streams/{bucket}/{stream}", "/streams/openapi/t"

        def ask(method, wanted, **options):
            with self.subTest(method=method, wanted=wanted):
                self.assertEqual(self.ask(options.pop("path", path), method, **options), wanted)
        ask("post", 201, url=url, body=b"1", type_=JSON)
        ask("post", 201, url=url, body=b"1\n2\n", type_=NDJSON)
        ask("post", 202, url=url, body=b"1", type_=JSON, headers=[("Prefer", "durability=memory")])
        ask("post", 412, url=url, body=b"1", type_=JSON, headers=[("If-None-Match", "*")])
        ask("post", 400, url=url, body=b"1", type_=JSON, headers=[("If-Match", "x")])
        ask("post", 400, url=url, body=b"", type_=NDJSON)
        patch = "application/json-patch+json"
        ask("patch", 200, url=url, body=b"[]", type_=patch)
        ask("patch", 202, url=url, body=b"[]", type_=patch, headers=[("Prefer", "durability=memory")])
        ask("patch", 412, url=url, body=b"[]", type_=patch, headers=[("If-Match", '"0"')])
        ask("patch", 400, url=url, body=b'[{"op":"remove","path":"/x"}]', type_=patch)
        ask("patch", 400, url="/streams/openapi/nothing", body=b"[]", type_=patch)
        ask("patch", 413, url=url, body=b"[]" + b" " * (2 << 20), type_=patch)
        ask("get", 200, url=url + "?limit=9")
        ask("get", 200, url=url + "?limit=9", headers=[("Accept", NDJSON)])
        ask("delete", 400, url=url + "?to=x")
        ask("delete", 204, url=url + "?to=1")
        one = path + "/{id}"
        ask("get", 410, path=one, url=url + "/1")
        ask("get", 404, path=one, url=url + "/99")
        ask("get", 200, path=one, url=url + "/2")
        ask("get", 200, path="/streams/{bucket}", url="/streams/openapi?info=yes")
        policy = "/policies/{bucket}"
        ask("get", 404, path=policy, url="/policies/nowhere")
        ask("put", 200, path=policy, url="/policies/openapi", body=b'{"max_events":1000,"max_age":null}', type_=JSON)
        ask("get", 200, path=policy, url="/policies/openapi?effective=yes")
        ask("put", 400, path=policy, url="/policies/openapi", body=b'{"max_events":0}', type_=JSON)
        ask("put", 413, path=policy, url="/policies/openapi", body=b" " * 5000, type_=JSON)
        ask("post", 200, path=policy + "/preview", url="/policies/openapi/preview", body=b"{}", type_=JSON)
        ask("get", 200, path="/listen", url="/listen?s=openapi:t:2&wait=1")
        ask("get", 204, path="/listen", url="/listen?s=openapi:t&wait=0")
        ask("get", 400, path="/listen", url="/listen?" + "&".join(["s=a:b"] * 65))
        ask("post", 204, path="/listen", url="/listen")
        ask("post", 401, path="/sessions", url="/sessions", body=b'{"username":"admin","password":"no"}', type_=JSON)
        ask("post", 201, path="/sessions", url="/sessions", body=b'{"username":"admin","password":"secret"}', type_=JSON)

    def test_answers_of_users(self):
        """The answers of users, groups, grants and sessions that need more than a plain request."""
        def ask(path, method, wanted, body=None, url=None, **options):
            with self.subTest(path=path, method=method, wanted=wanted):
                if body is not None:
                    options.update(body=json.dumps(body).encode(), type_=JSON)
                self.assertEqual(self.ask(path, method, url=url or path, **options), wanted)
        ann = {"username": "ann", "password": "a long one"}
        ask("/users", "post", 201, ann)
        ask("/users", "post", 400, ann)
        ask("/users", "post", 400, {"username": "ann"})
        ask("/users", "put", 200, {**ann, "password": "another"})
        ask("/users", "put", 400, {**ann, "username": "nobody"})
        ask("/users", "put", 401, ann, token=None)
        ask("/users", "get", 200, url="/users?info=yes")
        ask("/users/{user}/sessions", "delete", 204, url="/users/ann/sessions")
        ask("/users/{user}/sessions", "delete", 404, url="/users/nobody/sessions")
        ask("/groups", "post", 201, {"name": "team"})
        ask("/groups", "post", 400, {"name": "team"})
        ask("/groups", "get", 200)
        ask("/groups/{group}/members/{member}", "put", 200, url="/groups/team/members/ann")
        ask("/groups/{group}/members/{member}", "put", 404, url="/groups/none/members/ann")
        ask("/groups/{group}/members", "get", 200, url="/groups/team/members")
        ask("/groups/{group}/members", "get", 404, url="/groups/none/members")
        grant = {"action": "grant", "role": "team", "permission": "get"}
        ask("/access/{bucket}", "post", 200, grant, url="/access/openapi")
        ask("/access/{bucket}", "post", 400, {**grant, "permission": "fly"}, url="/access/openapi")
        ask("/access/{bucket}", "get", 200, url="/access/openapi")
        ask("/access/{bucket}/{stream}", "post", 200, grant, url="/access/openapi/s")
        ask("/access/{bucket}/{stream}", "get", 200, url="/access/openapi/s")
        ask("/access", "post", 200, {**grant, "permission": "viewstats"})
        ask("/access", "get", 200)
        ask("/access/explain", "get", 200, url="/access/explain?user=ann&permission=get&bucket=openapi")
        ask("/access/explain", "get", 200, url="/access/explain?user=ann&permission=put&bucket=openapi")
        ask("/access/explain", "get", 400, url="/access/explain?user=ann&permission=fly&bucket=openapi")
        ask("/groups/{group}/members/{member}", "delete", 204, url="/groups/team/members/ann")
        ask("/groups/{group}", "delete", 204, url="/groups/team")
        ask("/groups/{group}", "delete", 400, url="/groups/g-admin")
        ask("/users/{user}", "delete", 204, url="/users/ann")
        ask("/users/{user}", "delete", 400, url="/users/admin")
        with self.node.client() as client:
            ask("/sessions", "delete", 204, token=client.login())
        ask("/sessions", "delete", 401, token=None)


class Stats(NodeCase):
    def test_permission(self):
        """Permission viewstats: the admin has it, nobody else has."""
        self.assertNoPerm(self.get("/stats", token=None))
        self.assertNoPerm(self.get("/stats", token="bad"))
        self.assertJson(self.get("/stats"), 200)

    def three_connections(self):
        """The statistics, when only two others and their own connection are left."""
        stats = self.get("/stats").json()
        good = stats["connections"]["open"] == 3 and sum(w["connections"] for w in stats["workers"]) == 3
        return stats if good else None

    def test_members(self):
        """What it says of the node is so, and numbers move with what happens."""
        began = time.time() * 1000
        before = self.get("/stats").json()
        self.assertEqual(before["node"], "iorio@127.0.0.1")
        self.assertEqual(before["pid"], self.node.process.pid)
        self.assertTrue(before["ready"])
        self.assertLess(abs(before["time"] - began), 60000)
        self.assertLessEqual(before["started"], before["time"])
        self.assertEqual(before["ring_size"], 64)
        self.assertEqual(before["memory"]["tail"]["max"], 128 << 20)
        self.assertGreater(before["memory"]["rss"], 1 << 20)
        self.assertEqual(before["journal"]["max"], 512 << 20)
        self.assertGreater(before["disk"]["free"], 0)
        self.assertIsNone(before["checkpoints"]["last_error"])
        with self.node.wire(), self.node.wire() as wire:
            wire.request("GET", "/ping")
            self.append(b'"1"', b"2", b"3")
            self.assertEqual(self.post(b"4\n5\n", NDJSON).status, 201)
            after = wait_until("three connections", lambda: self.three_connections(), 10 * SLOW, 0.05)
        self.assertGreaterEqual(sum(w["requests"] for w in after["workers"]) - sum(w["requests"] for w in before["workers"]), 6)
        self.assertGreater(after["connections"]["max"], 10)
        self.assertEqual(after["counters"]["append_events"] - before["counters"]["append_events"], 5)
        self.assertGreater(after["memory"]["tail"]["used"], before["memory"]["tail"]["used"])
        self.assertEqual(after["buckets"]["stats"], {"bucket_append_events": 5, "bucket_append_bytes": 7})
        durable = after["histograms"]["append_durable_seconds"]
        self.assertEqual(durable["count"] - before["histograms"]["append_durable_seconds"]["count"], 4)
        self.assertEqual(sum(durable["steps"].values()), durable["count"])
        self.assertGreaterEqual(durable["sum_us"], durable["p50_us"])

    def test_every_metric(self):
        """Each row of metrics.def is in it under its name."""
        stats = self.get("/stats").json()
        rows = re.findall(r"^M\((\w+), (\w+),", text_of("src/base/metrics.def"), re.M)
        self.assertEqual(set(stats["counters"]), {n for kind, n in rows if kind == "COUNTER"})
        self.assertEqual(set(stats["gauges"]), {n for kind, n in rows if kind == "GAUGE"})
        for family, label, value in re.findall(r"^H\(\w+, (\w+), (\w*) ?, (\w*) ?,", text_of("src/base/metrics.def"), re.M):
            found = stats["histograms"][family]
            self.assertIn("count", found[value] if label else found)


class Echo(NodeCase):
    def echo(self, method="GET", path="/x/echo", body=None, type_=None, headers=(), token=None):
        return self.assertJson(self.call(method, path, body, type_, headers, token), 200)

    def test_echo(self):
        """Method, path, user, query in its order, headers in lower case, and no body where there was none."""
        said = self.echo(path="/x/echo/a/b%2Fc?x=1&y=%C3%A9+z&x=2&novalue", headers=[("X-Some", "a"), ("x-SOME", "b")])
        self.assertEqual((said["method"], said["path"], said["user"]), ("GET", "/x/echo/a/b%2Fc", "anonymous"))
        self.assertEqual(said["query"], [["x", "1"], ["y", "\u00e9 z"], ["x", "2"], ["novalue", ""]])
        self.assertEqual(said["headers"], {"host": "test", "x-some": "a, b"})
        self.assertNotIn("body", said)
        self.assertEqual(self.echo(token=True)["user"], "admin")

    def test_bodies(self):
        """JSON comes back as JSON, other text as a string, other bytes in base64; of any type, or none."""
        for body, type_, shown, enc in ((b' {"a":[1,\n2]}', JSON, {"a": [1, 2]}, None), (b"{", JSON, "{", None),
                                        (b"x=1", "application/x-www-form-urlencoded", "x=1", None),
                                        ("gr\u00fc\u00df".encode(), None, "gr\u00fc\u00df", None), (b"null", "a/b", None, None),
                                        (b"\xff\x00", BINARY, "/wA=", "base64")):
            for method in ("POST", "PUT", "DELETE"):
                with self.subTest(body=body, method=method):
                    said = self.echo(method, body=body, type_=type_)
                    self.assertEqual((said["method"], said["body"], said.get("enc")), (method, shown, enc))

    def test_no_secrets(self):
        """Tokens and cookies are never shown, wherever they travel."""
        secret = self.node.token()
        headers = [("Cookie", "sid=hide-me-1"), ("Proxy-Authorization", "Basic hide-me-2"), ("X-Ok", "seen")]
        for where in (dict(token=secret), dict(headers=[("Authorization", "Bearer " + secret)]),
                      dict(path="/x/echo?a=1&jwt=" + secret)):
            with self.subTest(where=list(where)):
                said = self.echo(**{**where, "headers": headers + list(where.get("headers", ()))})
                self.assertEqual(said["user"], "admin")
                self.assertEqual(said["headers"]["x-ok"], "seen")
                for word in (secret, "hide-me", "jwt"):
                    self.assertNotIn(word, json.dumps(said))

    def test_limits(self):
        """A bad token is 401, too large a body 413, another method 405, another handler 404; HEAD has no body."""
        self.assertNoPerm(self.call("POST", "/x/echo", b"1", JSON, token="bad"))
        with self.node.wire() as wire:
            wire.send(build("POST", "/x/echo", [("Content-Length", str((8 << 20) + 1))]))
            self.assertError(wire.read(), 413, "too-large")
        self.assertNoBody(self.call("BREW", "/x/echo", token=None), 405)
        for path in ("/x", "/x/", "/x/other", "/x/echo2", "/X/echo"):
            self.assertNoBody(self.get(path, token=None), 404)
        head = self.call("HEAD", "/x/echo", token=None)
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(int(head.get("Content-Length")), len(self.get("/x/echo", token=None).body) + 1)


class EchoSettings(unittest.TestCase):
    def settings(self, text):
        path = os.path.join(temp_folder(), "echo.json")
        with open(path, "wb") as f:
            f.write(text)
        return path

    def test_settings(self):
        """extension.config.echo: a user may be demanded, further headers hidden."""
        node = Node({"extension.config.echo": self.settings(b'{"require_user":true,"hide_headers":["X-Api-Key"]}')})
        node.start()
        self.assertEqual(node.call("GET", "/x/echo", token=None).status, 401)
        answer = node.call("GET", "/x/echo", headers=[("x-API-key", "k"), ("X-Other", "o")])
        self.assertEqual(answer.status, 200)
        self.assertEqual(set(answer.json()["headers"]), {"host", "x-other"})
        node.stop()

    def test_bad_settings(self):
        """A file that is not good keeps the node from starting, and chkconfig from saying OK: 78, with key and place."""
        node = Node()
        for text, words in ((b'{\n"require_user":1}', ("require_user must be",)), (b'{"a":}', ("line 1, byte 6",)),
                            (None, ("No such file",))):
            path = self.settings(text) if text is not None else "/nowhere/echo.json"
            node.conf["extension.config.echo"] = path
            node.write_conf()
            for verb in ("chkconfig", "console"):
                with self.subTest(text=text, verb=verb):
                    ended = iorio_verb(verb, "--conf", node.conf_file)
                    self.assertEqual(ended.returncode, 78, ended)
                    for word in words + ("extension.config.echo", path):
                        self.assertIn(word, ended.stderr)
        node.conf["extension.config.ecco"] = "x"
        node.write_conf()
        ended = iorio_verb("chkconfig", "--conf", node.conf_file)
        self.assertEqual(ended.returncode, 78, ended)
        self.assertIn("extension.config.echo", ended.stderr)


def samples(text):
    """{name with labels: value} of a text for Prometheus, as its format has them."""
    found, typed = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed, f"{name} has two types"
            typed[name] = kind
        elif not line.startswith("#"):
            match = re.fullmatch(r'([a-z_0-9]+)((?:\{(?:[a-z]+="(?:[^"\\\n]|\\[n"\\])*",?)*\})?) (-?[0-9.e+]+)', line)
            assert match, line
            family = match[1]
            if family not in typed:
                family = re.sub(r"_(bucket|sum|count)$", "", family)
            assert family in typed, f"{match[1]} has no type"
            assert match[1] + match[2] not in found, f"{line} is there twice"
            found[match[1] + match[2]] = float(match[3])
    return found


class Metrics(NodeCase):
    def scrape(self):
        return samples(self.get("/metrics", token=None).body.decode())

    def test_histograms(self):
        """Durations by what is asked for: counts move with requests, steps grow, the last one is the count."""
        before = self.scrape()
        self.append(b"1", b"2")
        self.get(self.at)
        self.get(self.at + "/1")
        self.get("/buckets")
        self.get("/nope")
        self.get(f"/listen?s={self.bucket}:{self.name}:1")
        after = self.scrape()
        for route, count in (("append", 2), ("read", 2), ("list", 1), ("listen", 1)):
            name = f'iorio_http_request_seconds_count{{route="{route}"}}'
            self.assertEqual(after[name] - before[name], count, name)
        families = {re.sub(r'_bucket\{.*', "", n): None for n in after if "_bucket{" in n and "le=" in n}
        self.assertEqual(set(families), {"iorio_http_request_seconds", "iorio_append_durable_seconds",
                                         "iorio_journal_sync_seconds"})
        steps = {}
        for name, value in after.items():
            match = re.fullmatch(r'(\w+)_bucket\{(.*?),?le="([^"]+)"\}', name)
            if match:
                steps.setdefault((match[1], match[2]), []).append((float(match[3].replace("+Inf", "inf")), value))
        for (family, label), listed in steps.items():
            self.assertEqual(listed, sorted(listed))
            self.assertEqual([v for _, v in listed], sorted(v for _, v in listed))
            braces = "{" + label + "}" if label else ""
            self.assertEqual(listed[-1][1], after[f"{family}_count{braces}"])
            self.assertEqual(listed[-1][0], float("inf"))
            self.assertGreaterEqual(after[f"{family}_sum{braces}"], 0)
        self.assertEqual(after["iorio_append_durable_seconds_count"] - before["iorio_append_durable_seconds_count"], 2)
        self.assertGreater(after["iorio_append_durable_seconds_sum"], before["iorio_append_durable_seconds_sum"])

    def test_durations_are_durations(self):
        """A long poll counts for as long as it waited."""
        before = self.scrape()
        self.assertEqual(self.get(f"/listen?s={self.bucket}:{self.name}&wait=1").status, 204)
        after = self.scrape()
        name = 'iorio_http_request_seconds_sum{route="listen"}'
        self.assertGreater(after[name] - before[name], 0.9)
        self.assertLess(after[name] - before[name], 3 * SLOW)

    def test_buckets(self):
        """Events by bucket, with names escaped, never by stream; behind the first hundred they are counted together."""
        odd = 'a"b\\c}'
        self.append(b"12345", at="/streams/a%22b%5Cc%7D/secret-stream")
        answer = self.get("/metrics", token=None).body.decode()
        found = samples(answer)
        self.assertNotIn("secret-stream", answer)
        self.assertIn(r'iorio_bucket_append_bytes_total{bucket="a\"b\\c}"} 5', answer)
        self.assertIn(odd, self.get("/stats").json()["buckets"])
        others = found['iorio_bucket_append_events_total{bucket="other"}']
        for n in range(120):
            self.append(b"1", at=f"/streams/many{n}/s")
        found = self.scrape()
        named = [n for n in found if n.startswith("iorio_bucket_append_events_total")]
        self.assertLessEqual(len(named), 101)
        self.assertEqual(len(named), 101)
        self.assertGreaterEqual(found['iorio_bucket_append_events_total{bucket="other"}'] - others, 20)
        self.assertEqual(sum(found[n] for n in named), found["iorio_append_events_total"])
        self.append(b"1", at="/streams/other/s")
        self.assertEqual(self.scrape()['iorio_bucket_append_events_total{bucket="other"}'],
                         found['iorio_bucket_append_events_total{bucket="other"}'] + 1)


class OwnEvents(NodeCase):
    CONF = {"metrics.interval_s": "1s"}

    def events(self, least):
        def there():
            found = self.get("/streams/$sys/metrics?limit=1000&from=1").json()
            return found if len(found) >= least else None
        return wait_until(f"{least} events", there, 20 * SLOW, 0.1)

    def test_events(self):
        """About one a second, as JSON with what /stats has; only who may get in $sys reads them."""
        events = self.events(3)
        for one in events:
            self.assertEqual(one["data"]["node"], "iorio@127.0.0.1")
            self.assertEqual(one["data"]["interval_s"], 1)
            self.assertEqual(set(one["data"]) - {"node", "version", "uptime_s", "interval_s"},
                             {"counters", "gauges", "histograms", "buckets"})
        times = [one["meta"]["t"] for one in events]
        self.assertGreaterEqual(times[1] - times[0], 900)
        self.assertGreaterEqual(events[-1]["data"]["counters"]["append_events"], len(events) - 1)
        self.assertEqual(events[-1]["data"]["buckets"]["$sys"]["bucket_append_events"], len(events) - 1)
        self.assertNoPerm(self.get("/streams/$sys/metrics", token=None))

    def test_policy(self):
        """The stream is bounded: it has a policy of its own."""
        self.events(1)
        self.assertEqual(self.get("/policies/$sys/metrics").json(), {"max_age": "30d"})

    def test_restart(self):
        """After a restart they go on in the same stream, and what was there is there."""
        self.node.restart()
        type(self).pid = self.pid = self.node.process.pid
        before = self.events(1)[-1]["meta"]["id"]
        self.events(before + 1)


class NoOwnEvents(NodeCase):
    def test_none(self):
        """With 0s there are none, and the bucket is not there."""
        time.sleep(1.5)
        self.assertEqual(self.get("/buckets").json()["data"], [])
        self.assertEqual(self.get("/stats").json()["counters"]["metrics_events"], 0)


if __name__ == "__main__":
    unittest.main()
