#!/usr/bin/env python3
"""test/integration/25_cli_admin.py - the verbs of ioriocli.py for administrators, and tools/iorio_admin.py: users, groups,
grants, policies, passwords that are typed or piped, errors and what they say to do next."""

import json
import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import NodeCase  # noqa: E402
from lib.cli import CONNECTION, NOT_FOUND, OK, REFUSED, SAMPLE, USAGE, CliCase, command, run, typed  # noqa: E402
from lib.node import clean_env, iorio  # noqa: E402
import iorio_admin  # noqa: E402

DONE = {"ok": True}


class AdminCase(CliCase):
    def setUp(self):
        super().setUp()
        self.bucket = f"{self.bucket}-{self.name}"
        self.at = f"/streams/{self.bucket}/{self.name}"

    def cli(self, *args, data=None, **options):
        """By the admin, with a token: a login for each would cost most of the time."""
        token = () if {"-u", "-p", "-t"} & set(args) else ("-t", self.node.token())
        return super().cli(*token, *args, data=data, **options)

    def done(self, *args, data=None):
        """A change that was made: {"ok":true}."""
        self.assertEqual(self.good(*args, data=data).json(), DONE)

    def as_user(self, name, password, *args, data=None):
        return self.cli("-u", name, "-p", password, *args, data=data)


class Users(AdminCase):
    def test_life(self):
        """create-user, list-users, set-password, delete-user: each holds at once."""
        self.done("create-user", "ann", "first password")
        self.assertEqual([u["username"] for u in self.good("list-users").json()], ["admin", "ann", "anonymous"])
        self.assertEqual(self.as_user("ann", "first password", "get", "public", "x").code, OK)
        self.done("set-password", "ann", "second password")
        self.assertEqual(self.as_user("ann", "first password", "get", "public", "x").code, REFUSED)
        self.assertEqual(self.as_user("ann", "second password", "get", "public", "x").code, OK)
        self.done("delete-user", "ann")
        self.assertEqual(self.as_user("ann", "second password", "get", "public", "x").code, REFUSED)
        self.done("delete-user", "ann")
        self.assertNotIn("ann", self.good("list-users").out.decode())

    def test_lists(self):
        """--info has the groups; --after and --limit page through, and it is said that there are more."""
        for name in ("li-a", "li-b", "li-c"):
            self.done("create-user", name, "x")
        self.assertEqual(self.good("list-users", "--info", "--after", "li-a", "--limit", "9").json()[0],
                         {"username": "li-b", "groups": ["g-authenticated"]})
        ended = self.cli("list-users", "--after", "li", "--limit", "2", "--human")
        self.assertEqual((ended.code, ended.out), (OK, b"li-a\nli-b\n"))
        self.assertEqual(ended.err, "ioriocli: there are more: go on with --after li-b\n")
        self.assertIn("li-b  in g-authenticated\n", self.good("list-users", "--info", "--human").out.decode())

    def test_names(self):
        """Names travel as they are: UTF-8, what looks like a path or a query; a slash is the node's own error."""
        for name in ("gr\u00fc\u00df", "\u6f22\u5b57", "Anna", "a-b_c.d", "x~y"):
            self.done("create-user", name, "p\u00e4ss w\u00f6rd\u20ac")
            self.assertEqual(self.as_user(name, "p\u00e4ss w\u00f6rd\u20ac", "get", "public", "x").code, OK)
            self.done("delete-user", name)
        for name in ("a/b", "a b", "all", "x" * 65):
            self.assertIn("illegal-username", self.refused(REFUSED, "create-user", name, "x"))
        ended = run("-P", str(self.node.port), "create-user", os.fsdecode(b"\xff\xfe"), "x")
        self.assertEqual((ended.code, ended.err), (USAGE, "ioriocli: the name is not UTF-8\n"))

    def test_refused(self):
        """Each error says what to do next."""
        self.done("create-user", "twice", "x")
        self.assertIn("set-password gives him another", self.refused(REFUSED, "create-user", "TWICE", "x"))
        self.assertIn("list-users shows", self.refused(REFUSED, "set-password", "nobody-at-all", "x"))
        self.assertIn("no-user", self.refused(REFUSED, "create-user", "", "x"))
        self.assertIn("no-pass", self.refused(REFUSED, "create-user", "x", ""))
        error = self.refused(REFUSED, "-u", "twice", "-p", "x", "create-user", "other", "x")
        self.assertIn("grant twice adminusers", error)
        self.assertIn("give -u USER", self.refused(REFUSED, "-u", "twice", "-p", "wrong", "list-users"))
        self.assertIn("grant USER adminusers", self.refused(REFUSED, "-t", "a.b.c", "list-users"))
        ended = self.cli("--json", "set-password", "nobody-at-all", "x")
        self.assertEqual(json.loads(ended.err)["error"]["hint"], "list-users shows who there is")

    def test_own_password(self):
        """Everybody may change his own, nobody else's."""
        for name in ("own-a", "own-b"):
            self.done("create-user", name, "x")
        self.assertEqual(self.as_user("own-a", "x", "set-password", "own-a", "y").code, OK)
        self.assertEqual(self.as_user("own-a", "y", "set-password", "own-b", "y").code, REFUSED)
        self.assertEqual(self.as_user("own-b", "x", "get", "public", "x").code, OK)


class Passwords(AdminCase):
    """They come from the command line, a pipe or the terminal, and are shown nowhere."""

    def test_standard_input(self):
        """-: one line, without its end; only what is in the line; empty, too long, no UTF-8: 2."""
        for data in (b"from a pipe\n", b"from a pipe", b"from a pipe\r\n", b"from a pipe\nsecond line\n"):
            self.done("create-user", "piped", "-", data=data)
            self.assertEqual(self.as_user("piped", "from a pipe", "get", "public", "x").code, OK)
            self.done("set-password", "piped", "-", data=b" spaces stay \n")
            self.assertEqual(self.as_user("piped", " spaces stay ", "get", "public", "x").code, OK)
            self.done("delete-user", "piped")
        for data in (b"", b"\n", b"x" * 5000, b"\xff\xfe\n"):
            ended = self.cli("create-user", "piped", "-", data=data)
            self.assertEqual((ended.code, ended.out), (USAGE, b""), ended)
            self.assertNotIn("xxx", ended.err)
        self.assertNotIn("piped", self.good("list-users").out.decode())

    def test_login(self):
        """-p -: the first line of standard input; what follows it is the verb's."""
        self.assertEqual(self.good("-p", "-", "list-buckets", data=b"secret\n").json()["status"], "ok")
        self.assertIn("401", self.refused(REFUSED, "-p", "-", "list-buckets", data=b"wrong\n"))
        self.done("-p", "-", "create-user", "both", "-", data=b"secret\nnew one\n")
        self.assertEqual(self.as_user("both", "new one", "get", "public", "x").code, OK)
        self.good("-p", "-", "post", self.bucket, self.name, "-", data=b'secret\n{"a":1}')
        self.assertEqual(self.stored(), [{"a": 1}])
        self.assertEqual(self.cli("-p", "-", "list-buckets").code, USAGE)
        # With a token nobody asks for a password.
        self.good("-t", self.node.token(), "-p", "-", "list-buckets")

    def test_terminal(self):
        """On a terminal it is asked for twice and not shown; two different ones, or none, change nothing."""
        port = ("-P", str(self.node.port))
        code, shown = typed((*port, "create-user", "typist"), "hidden word", "hidden word")
        self.assertEqual(code, OK, shown)
        self.assertRegex(shown, r"\ANew password of typist: \nOnce more: \nuser typist is there\n\Z")
        self.assertEqual(self.as_user("typist", "hidden word", "get", "public", "x").code, OK)
        code, shown = typed((*port, "set-password", "typist"), "one", "two")
        self.assertEqual((code, "nothing was changed" in shown), (USAGE, True), shown)
        code, shown = typed((*port, "set-password", "typist"), "")
        self.assertEqual((code, "nothing was changed" in shown), (USAGE, True), shown)
        code, shown = typed((*port, "-u", "typist", "-p", "-", "set-password", "typist"), "hidden word", "other", "other")
        self.assertEqual(code, OK, shown)
        self.assertIn("Password of typist: \n", shown)
        self.assertEqual(self.as_user("typist", "other", "get", "public", "x").code, OK)
        self.assertIn("no terminal", self.refused(USAGE, "set-password", "typist"))

    def test_never_shown(self):
        """Not with -v, not in errors, not in the log of the node."""
        word = "correct-horse-battery"
        ended = self.cli("-v", "create-user", "quiet", word)
        self.assertEqual(ended.code, OK)
        self.assertIn("> POST /users", ended.err)
        shown = [ended.err, ended.out.decode()]
        for args in (("create-user", "quiet", word), ("set-password", "nobody", word), ("create-user", "all", word),
                     ("--json", "-v", "create-user", "quiet", word), ("-u", "quiet", "-p", word, "list-users")):
            ended = self.cli(*args)
            shown += [ended.err, ended.out.decode()]
        shown.append(self.node.log())
        self.assertEqual([text for text in shown if word in text or "eyJ" in text], [])


class Sessions(AdminCase):
    def login(self, name):
        ended = self.good("-u", name, "-p", "x", "login")
        self.assertRegex(ended.out, rb"\A[\w-]+\.[\w-]+\.[\w-]+\n\Z")
        return ended.out.decode().strip()

    def test_life(self):
        """login prints a token that -t takes; end-sessions ends it, or all of a user's, and no other."""
        for name in ("sam", "sue"):
            self.done("create-user", name, "x")
        first, second, other = self.login("sam"), self.login("sam"), self.login("sue")

        def good(token):
            return self.cli("-t", token, "get", "public", "x").code == OK
        self.assertEqual([good(t) for t in (first, second, other)], [True, True, True])
        self.assertEqual(self.good("-t", first, "--human", "end-sessions").out, b"the session has ended\n")
        self.assertEqual([good(t) for t in (first, second, other)], [False, True, True])
        third = self.login("sam")
        self.done("end-sessions", "sam")
        self.assertEqual([good(t) for t in (second, third, other)], [False, False, True])
        self.assertTrue(good(self.login("sam")))
        self.assertEqual(self.good("-u", "sam", "-p", "x", "--json", "login").json()["username"], "sam")

    def test_refused(self):
        """Other people's sessions take adminusers; without a user and a token there is nothing to end."""
        self.done("create-user", "sid", "x")
        self.assertIn("grant sid adminusers", self.refused(REFUSED, "-u", "sid", "-p", "x", "end-sessions", "admin"))
        self.assertEqual(run("-P", str(self.node.port), "end-sessions").code, USAGE)
        self.assertIn("401", self.refused(REFUSED, "-u", "sid", "-p", "wrong", "login"))
        self.assertIn("401", self.refused(REFUSED, "-t", "a.b.c", "end-sessions"))


class Groups(AdminCase):
    def test_life(self):
        """Groups of users and of groups; members in the exact form; what a group may its members may."""
        self.done("create-user", "gina", "x")
        for group in ("staff", "interns"):
            self.done("create-group", group)
        self.done("add-member", "interns", "gina")
        self.done("add-member", "staff", "group/interns")
        self.assertEqual(self.good("list-groups", "staff").json(), ["group/interns"])
        self.assertEqual(self.good("list-groups", "interns", "--human").out, b"user/gina\n")
        groups = {g["name"]: g for g in self.good("list-groups").json()}
        self.assertEqual((groups["interns"]["members"], groups["interns"]["groups"]), (1, ["staff"]))
        self.assertIn("interns  members 1  in staff\n", self.good("list-groups", "--human").out.decode())
        self.done("grant", "staff", "put", self.bucket, self.name)
        self.assertEqual(self.as_user("gina", "x", "post", self.bucket, self.name, "1").code, OK)
        self.done("remove-member", "interns", "gina")
        self.done("remove-member", "interns", "user/gina")
        self.assertEqual(self.as_user("gina", "x", "post", self.bucket, self.name, "1").code, REFUSED)
        self.done("delete-group", "staff")
        self.done("delete-group", "staff")
        self.assertEqual(self.stored(), [1])

    def test_refused(self):
        """A group that is there, one that is not, members who are not, circles, groups of the node itself."""
        self.done("create-group", "there")
        self.assertIn("exists", self.refused(REFUSED, "create-group", "there"))
        self.assertIn("There is no group", self.refused(NOT_FOUND, "list-groups", "not-there"))
        self.assertIn("There is no group", self.refused(NOT_FOUND, "add-member", "not-there", "admin"))
        self.assertIn("no user or group", self.refused(NOT_FOUND, "add-member", "there", "nobody-at-all"))
        self.assertIn("circle", self.refused(REFUSED, "add-member", "there", "group/there"))
        self.assertIn("cannot be deleted", self.refused(REFUSED, "delete-group", "g-admin"))
        self.assertIn("invalid-field", self.refused(REFUSED, "create-group", "a/b"))
        self.assertIn("adminusers", self.refused(REFUSED, "-u", "anonymous", "create-group", "x"))


class Grants(AdminCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.node.client() as client:
            admin = iorio_admin.Admin(client)
            admin.create_user("greg", "x")
            admin.create_group("team")
            admin.add_member("team", "greg")

    def may(self, *args):
        return self.as_user("greg", "x", *args).code == OK

    def test_stream_bucket_pattern(self):
        """grant and revoke on a stream, a bucket, a pattern; list-grants shows exactly what was granted there."""
        post = ("post", self.bucket, "a1", "1")
        for place in ((self.bucket, "a1"), (self.bucket,), (self.bucket, "a*"), (self.bucket[:-3] + "*",)):
            with self.subTest(place=place):
                self.assertFalse(self.may(*post))
                self.done("grant", "greg", "put", *place)
                self.assertTrue(self.may(*post))
                self.assertEqual(self.good("list-grants", *place).json(), {"users": [{"name": "greg", "grants": ["put"]}], "groups": []})
                self.done("revoke", "greg", "put", *place)
                self.assertFalse(self.may(*post))
                self.assertEqual(self.good("list-grants", *place).json(), {"users": [], "groups": []})

    def test_everybody(self):
        """* is everybody, also without a login; user/ and group/ are exact."""
        self.done("grant", "*", "get", self.bucket)
        self.done("grant", "user/greg", "put", self.bucket)
        self.done("grant", "group/team", "list", self.bucket)
        self.assertEqual(self.good("list-grants", self.bucket, "--human").out, b"user/greg  put\ngroup/team  list\n*  get\n")
        self.assertEqual(self.get(self.at, token=None).status, 200)
        self.done("revoke", "*", "get", self.bucket)
        self.assertEqual(self.get(self.at, token=None).status, 401)

    def test_node(self):
        """Without a bucket it is the node: adminusers, viewstats, admincluster, list."""
        self.assertFalse(self.may("list-users"))
        self.done("grant", "team", "adminusers")
        self.assertTrue(self.may("list-users"))
        team = [row["grants"] for row in self.good("list-grants").json()["groups"] if row["name"] == "team"]
        self.assertIn("adminusers", team[0])
        self.done("revoke", "team", "adminusers")
        self.assertFalse(self.may("list-users"))
        self.assertIn("it takes permission adminusers", self.refused(REFUSED, "-u", "greg", "-p", "x", "list-grants"))

    def test_explain(self):
        """explain names the grant that decides and the way to it."""
        def explain(*args):
            return self.good("--human", "explain", "greg", *args).out.decode()
        self.assertEqual(explain("delete", self.bucket, "s"),
                         f"no: greg has no grant of delete on {self.bucket}/s, nor have his groups or everybody\n")
        self.done("grant", "team", "delete", self.bucket, "s*")
        self.assertEqual(explain("delete", self.bucket, "s"),
                         f"yes: group/team may delete on {self.bucket}/s*, and greg is in team\n")
        self.assertEqual(self.good("explain", "greg", "delete", self.bucket, "s").json(),
                         {"allowed": True, "role": "group/team", "bucket": self.bucket, "stream": "s*", "groups": ["team"]})
        self.done("grant", "greg", "delete", self.bucket)
        self.assertEqual(explain("delete", self.bucket, "s"), f"yes: user/greg may delete on {self.bucket}\n")
        self.assertEqual(explain("viewstats"), "no: greg has no grant of viewstats on the node, nor have his groups or everybody\n")
        self.done("grant", "team", "viewstats")
        self.assertEqual(explain("viewstats"), "yes: group/team may viewstats, and greg is in team\n")
        self.assertEqual(self.good("--human", "explain", "admin", "get", "x").out, b"yes: user/admin may get on everything\n")

    def test_refused(self):
        """Nobody of that name, a permission that is not for that place; words that are none are 2."""
        self.assertIn("list-users and list-groups", self.refused(REFUSED, "grant", "nobody-at-all", "get", "b"))
        self.assertIn("On a stream:", self.refused(REFUSED, "grant", "greg", "list", "b", "s"))
        self.assertIn("On a bucket:", self.refused(REFUSED, "grant", "greg", "viewstats", "b"))
        self.assertIn("On the node:", self.refused(REFUSED, "grant", "greg", "get"))
        self.assertIn("grant greg grant b s", self.refused(REFUSED, "-u", "greg", "-p", "x", "grant", "greg", "get", "b", "s"))
        self.assertEqual(self.cli("grant", "greg", "dance", "b").code, USAGE)
        self.assertEqual(self.cli("grant", "greg").code, USAGE)


class Policies(AdminCase):
    def test_bucket_and_stream(self):
        """set-policy replaces, get-policy shows, --effective what holds, delete-policy takes away."""
        error = self.refused(NOT_FOUND, "get-policy", self.bucket)
        self.assertIn("--effective", error)
        self.done("set-policy", self.bucket, "--max-events", "3", "--max-age", "7d", "--max-total-bytes", "2GB")
        self.assertEqual(self.good("get-policy", self.bucket).json(),
                         {"max_events": 3, "max_age": "7d", "max_total_bytes": 2147483648})
        self.done("set-policy", self.bucket, self.name, "--max-events", "none", "--max-bytes", "4096")
        self.assertEqual(self.good("get-policy", self.bucket, self.name).json(), {"max_events": None, "max_bytes": 4096})
        self.assertEqual(self.good("get-policy", self.bucket, self.name, "--effective").json(),
                         {"max_events": None, "max_bytes": 4096, "max_age": "7d", "max_total_bytes": 2147483648})
        self.assertEqual(self.good("--human", "get-policy", self.bucket, self.name).out, b"max_events no limit, max_bytes 4096\n")
        self.done("set-policy", self.bucket, "--max-events", "2")
        self.assertEqual(self.good("get-policy", self.bucket).json(), {"max_events": 2})
        self.done("delete-policy", self.bucket, self.name)
        self.append(b"1", b"2", b"3")
        self.assertEqual(self.stored(), [2, 3])
        self.done("delete-policy", self.bucket)
        self.refused(NOT_FOUND, "get-policy", self.bucket)

    def test_preview(self):
        """preview-policy says what would go, and nothing goes."""
        self.append(b"1", b"2", b"3")
        self.assertEqual(self.good("preview-policy", self.bucket, self.name, "--max-events", "1").json(),
                         {"streams": 1, "events": 2, "bytes": 2})
        self.assertEqual(self.good("preview-policy", self.bucket, self.name, "--human", "--max-events", "1").out,
                         b"2 events (2 bytes) of 1 streams would go\n")
        self.assertEqual(self.good("preview-policy", self.bucket, self.name).json(), {"streams": 0, "events": 0, "bytes": 0})
        self.assertEqual(self.stored(), [1, 2, 3])

    def test_as_json(self):
        """--policy takes the whole policy: as it is, from a file, from standard input; what get-policy gives goes back."""
        self.done("set-policy", self.bucket, self.name, "--policy", '{"max_events":7}')
        shown = self.good("get-policy", self.bucket, self.name).out
        self.done("set-policy", self.bucket, self.name + "2", "--policy", "-", data=shown)
        self.assertEqual(self.good("get-policy", self.bucket, self.name + "2").out, shown)
        self.done("set-policy", self.bucket, self.name + "3", "--policy", "@" + self.file(shown))
        self.assertEqual(self.good("get-policy", self.bucket, self.name + "3").out, shown)

    def test_refused(self):
        """What the node refuses names the field; what is no policy at all is 2."""
        self.assertIn("max_events", self.refused(REFUSED, "set-policy", self.bucket, "--max-events", "0"))
        self.assertIn("max_age", self.refused(REFUSED, "set-policy", self.bucket, "--max-age", "soon"))
        self.assertIn("max_total_bytes", self.refused(REFUSED, "set-policy", self.bucket, "s", "--max-total-bytes", "4MB"))
        for args in ((), ("--policy", "{"), ("--policy", "[]"), ("--policy", "@/nowhere"), ("--policy", "{}", "--max-events", "1")):
            ended = self.cli("set-policy", self.bucket, *args)
            self.assertEqual((ended.code, ended.out), (USAGE, b""), ended)
        self.assertIn("permission grant", self.refused(REFUSED, "-u", "anonymous", "set-policy", self.bucket, "--max-events", "1"))
        self.refused(NOT_FOUND, "get-policy", self.bucket)


class Stats(AdminCase):
    def test_stats(self):
        """stats: the node's own object; for people a member a line, the long lists only with --all."""
        self.append(b"1")
        stats = self.good("stats").json()
        self.assertEqual((stats["node"], stats["ready"]), ("iorio@127.0.0.1", True))
        self.assertGreaterEqual(stats["counters"]["append_events"], 1)
        text = self.good("stats", "--human").out.decode()
        self.assertRegex(text, r"(?m)^node +iorio@127\.0\.0\.1$")
        self.assertRegex(text, r"(?m)^memory\.tail\.max +\d+$")
        self.assertNotIn("counters.", text)
        self.assertRegex(self.good("stats", "--human", "--all").out.decode(), r"(?m)^counters\.append_events +\d+$")

    def test_no_permission(self):
        """It takes viewstats."""
        self.assertIn("permission viewstats", self.refused(REFUSED, "-u", "anonymous", "stats"))


class Help(unittest.TestCase):
    def test_every_verb(self):
        """Every verb has examples in --help, and every example is understood."""
        verbs = re.findall(r"^    ([a-z-]+) ", run("--help").out.decode(), re.M)
        self.assertGreaterEqual(len(verbs), 24)
        examples = 0
        for verb in verbs:
            text = run(verb, "--help").out.decode()
            with self.subTest(verb=verb):
                lines = re.findall(r"^  ioriocli\.py (.+)$", text, re.M) + re.findall(r"^  .* \| ioriocli\.py (.+)$", text, re.M)
                self.assertTrue(lines)
                self.assertIn("ioriocli.py --help", text)
                for line in lines:
                    self.understood(line)
                    examples += 1
        self.assertGreaterEqual(examples, 45)

    def understood(self, line):
        """The shell takes it apart, argparse does not complain: nobody listens at that port (3), or a file is not there."""
        line = line.split(" | ")[0].replace("@order.json", "@" + SAMPLE).replace("@cat.png", "@" + SAMPLE)
        line = line.replace("@tools/sample_patch.json", "@" + SAMPLE).replace("@patch.json", "@" + SAMPLE)
        line = line.replace("@tools/sample.json", "@" + SAMPLE).replace("@numbers.ndjson", "@" + SAMPLE).split(" < ")[0].split(" > ")[0]
        script = "TOKEN=x; " + " ".join(command()) + " -P 1 --human " + line
        ended = subprocess.run(["bash", "-c", script], input=b"word\nword\n", capture_output=True, env=clean_env(), check=False)
        if b"no terminal" not in ended.stderr and b"is not JSON" not in ended.stderr:
            self.assertEqual(ended.returncode, CONNECTION, (line, ended.stderr))


class Module(NodeCase):
    def test_strange_answers(self):
        """An answer that is not what was asked for is a BadAnswer."""
        class Fake:
            def __init__(self, body, status=200):
                self.answer = iorio.Answer(status, {"Content-Type": "application/json"}, body)

            def call(self, *_):
                return self.answer
        for body in (b"[]", b"{}", b'"x"', b"{", b'{"ok":1}', b'{"allowed":"yes"}'):
            admin = iorio_admin.Admin(Fake(body))
            for step in (lambda a=admin: a.grant("r", "get", "b"), lambda a=admin: a.explain("u", "get"), admin.stats,
                         lambda a=admin: a.list_grants("b"), lambda a=admin: a.preview_policy("b")):
                self.assertRaises(iorio.BadAnswer, step)
        for body in (b"{}", b"[1]", b'["x"]', b'[{"username":1}]', b'[{"username":"x","groups":"y"}]', b"[[" * 50_000):
            self.assertRaises(iorio.BadAnswer, iorio_admin.Admin(Fake(body)).list_users)
        for body in (b'{"users":[]}', b'{"users":[],"groups":[{"name":"x"}]}', b'{"users":[{"name":"x","grants":[1]}],"groups":[]}'):
            self.assertRaises(iorio.BadAnswer, iorio_admin.Admin(Fake(body)).list_grants, "b")
        self.assertRaises(iorio.BadAnswer, iorio_admin.Admin(Fake(b'{"allowed":true,"role":1}')).explain, "u", "get")
        self.assertRaises(iorio.BadAnswer, iorio_admin.Admin(Fake(b'["user/x",{}]')).list_members, "g")
        self.assertEqual(iorio_admin.Admin(Fake(b"", 204)).delete_user("x"), DONE)

    def test_whole_story(self):
        """From Python: a user who may read one stream and no other."""
        with self.node.client() as client:
            admin = iorio_admin.Admin(client)
            admin.create_user("pia", "x")
            admin.grant("pia", "get", self.bucket, "mine/*")
            self.assertEqual(admin.list_grants(self.bucket, "mine/*")["users"], [{"name": "pia", "grants": ["get"]}])
            self.assertEqual(admin.list_users(limit=1), ([{"username": "admin"}], True))
        with self.node.client("pia", "x") as client:
            self.assertEqual(client.get(self.bucket, "mine/1"), [])
            self.assertRaises(iorio.Refused, client.get, self.bucket, "mine")


if __name__ == "__main__":
    unittest.main()
