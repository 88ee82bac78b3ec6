#!/usr/bin/env python3
"""test/integration/43_access_races.py - users, groups and grants: many at once, restarts, kill -9."""

import os
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.access import AccessCase, Words, at_once  # noqa: E402
from lib.case import NodeCase  # noqa: E402
from lib.node import Node, wait_until  # noqa: E402
from lib.wire import build  # noqa: E402

ON_BUCKET = ("get", "put", "delete", "list", "grant")


class Races(AccessCase):
    CONF = {"workers": "4"}

    def test_one_name(self):
        """Of many that make one user at once, one does; the others hear user-exists."""
        calls = [lambda n=n: self.send("POST", "/users", {"username": ("Race", "race")[n % 2], "password": f"p{n}"})
                 for n in range(10)]
        answers = at_once(calls)
        made = [n for n, a in enumerate(answers) if a.status == 201]
        self.assertEqual(len(made), 1, answers)
        for n, answer in enumerate(answers):
            if n not in made:
                self.assertError(answer, 400, "user-exists")
        self.assertEqual([self.login("race", f"p{n}").status == 201 for n in range(10)], [n in made for n in range(10)])

    def test_one_target(self):
        """Grants of several permissions to one role on one bucket at once: none is lost; so with revocations."""
        self.make("race-t")
        for _ in range(5):
            answers = at_once([lambda p=p: self.access("grant", "race-t", p, "race-b") for p in ON_BUCKET])
            self.assertEqual({a.status for a in answers}, {200})
            self.assertEqual(self.grants("race-b"), ({"race-t": list(ON_BUCKET)}, {}))
            answers = at_once([lambda p=p: self.access("revoke", "race-t", p, "race-b") for p in ON_BUCKET])
            self.assertEqual({a.status for a in answers}, {200})
            self.assertEqual(self.grants("race-b"), ({}, {}))

    def test_many_targets(self):
        """Grants of many at once, to many."""
        names = [f"race-m{n}" for n in range(4)]
        for name in names:
            self.make(name)
        calls = [lambda name=name, n=n: self.access("grant", name, "get", f"race-m{n}") for name in names for n in range(8)]
        self.assertEqual({a.status for a in at_once(calls)}, {200})
        for n in range(8):
            self.assertEqual(self.grants(f"race-m{n}")[0], {name: ["get"] for name in names})

    def test_groups(self):
        """Members that join at once are all in; two groups that join each other at once: one does."""
        self.group("race-g")
        names = [f"race-j{n}" for n in range(6)]
        for name in names:
            self.make(name)
        self.assertEqual({a.status for a in at_once([lambda n=n: self.member("PUT", "race-g", n) for n in names])}, {200})
        self.assertEqual(self.send("GET", "/groups/race-g/members").json(), [f"user/{n}" for n in names])
        for _ in range(5):
            self.group("race-x")
            self.group("race-y")
            answers = at_once([lambda: self.member("PUT", "race-x", "race-y"), lambda: self.member("PUT", "race-y", "race-x")])
            self.assertEqual(sorted(a.status for a in answers), [200, 400])
            for name in ("race-x", "race-y"):
                self.assertNoBody(self.send("DELETE", f"/groups/{name}"), 204)

    def test_deleted_while_granted_to(self):
        """A user who is deleted while others grant to him leaves no grant, and comes back without any."""
        for _ in range(5):
            self.make("race-d")
            calls = [lambda n=n: self.access("grant", "race-d", "get", f"race-d{n}") for n in range(8)]
            answers = at_once(calls[:4] + [lambda: self.send("DELETE", "/users/race-d")] + calls[4:])
            self.assertEqual(answers.pop(4).status, 204)
            for answer in answers:
                if answer.status != 200:
                    self.assertError(answer, 400, "invalid-field", field="role", value="race-d")
            for n in range(8):
                self.assertEqual(self.grants(f"race-d{n}"), ({}, {}))
            token = self.user("race-d")
            for n in range(8):
                self.assertFalse(self.may("GET", f"/streams/race-d{n}/s", token))
            self.send("DELETE", "/users/race-d")

    def test_password_of_the_next(self):
        """A request to change one's password that is overtaken by a deletion does not reach who is made again."""
        for _ in range(3):
            token = self.user("race-p", "first")

            def remake():
                self.send("DELETE", "/users/race-p")
                return self.send("POST", "/users", {"username": "race-p", "password": "second"})
            answers = at_once([remake] + [lambda: self.send("PUT", "/users", {"username": "race-p", "password": "stolen"},
                                                            token)] * 4)
            self.assertIn(answers[0].status, (201,), answers)
            self.assertEqual([self.login("race-p", p).status for p in ("second", "stolen", "first")], [201, 401, 401])
            self.send("DELETE", "/users/race-p")

    def test_holds_at_once(self):
        """A change holds for every request that begins after its answer, on any worker."""
        token = self.user("race-h")
        wires = [self.node.wire() for _ in range(12)]

        def statuses():
            for wire in wires:
                wire.send(f"GET /streams/race-h/s HTTP/1.1\r\nHost: x\r\nX-Session: {token}\r\n\r\n".encode())
            return {wire.read("GET").status for wire in wires}
        try:
            for _ in range(20):
                self.assertEqual(statuses(), {401})
                self.grant("race-h", "get", "race-h")
                self.assertEqual(statuses(), {200})
                self.revoke("race-h", "get", "race-h")
        finally:
            for wire in wires:
                wire.close()


class Durable(Words, unittest.TestCase):
    """What was answered is there after a stop and after kill -9, what was taken away is not."""
    assertJson, assertError = NodeCase.assertJson, NodeCase.assertError
    assertNoPerm, assertNoBody = NodeCase.assertNoPerm, NodeCase.assertNoBody

    def test_restarts(self):
        """Users, passwords, groups, members and grants, over clean stops and kills, with and without checkpoints."""
        self.node = Node({"journal.segment": "64KB", "journal.max_bytes": "256KB"}).start()
        token = self.user("dur-ann", "one")
        self.group("dur-g")
        for step in range(6):
            name = f"dur-{step}"
            self.make(name)
            self.member("PUT", "dur-g", name)
            self.grant("dur-g", "put", f"dur-b{step}")
            self.grant("dur-ann", "get", "dur-b", f"s{step}")
            if step > 0:
                self.revoke("dur-g", "put", f"dur-b{step - 1}")
                self.assertNoBody(self.send("DELETE", f"/users/dur-{step - 1}"), 204)
            for n in range(40 * (step % 3)):  # fills segments: a checkpoint is due
                wait_until("room in the journal", lambda: self.node.call(
                    "POST", "/streams/fill/s", b"x" * 8000, "application/octet-stream").status == 201, 20)
            if step % 2 == 0:
                self.node.kill9()
                self.node.start()
            else:
                self.node.restart()
            self.assertEqual(self.get_user(token), "dur-ann")
            self.assertEqual(self.login("dur-ann", "one").status, 201)
            self.assertEqual(self.send("GET", "/groups/dur-g/members").json(), [f"user/{name}"])
            self.assertEqual(self.grants(f"dur-b{step}"), ({}, {"dur-g": ["put"]}))
            if step > 0:
                self.assertEqual(self.grants(f"dur-b{step - 1}"), ({}, {}))
                self.assertEqual(self.login(f"dur-{step - 1}").status, 401)
            for n in range(step + 1):
                self.assertTrue(self.may("GET", f"/streams/dur-b/s{n}", token))
        self.assertNoBody(self.send("DELETE", "/users/dur-ann"), 204)
        self.node.kill9()
        self.node.start()
        self.assertNoPerm(self.node.call("GET", "/sessions", token=token))
        self.make("dur-ann", "one")
        self.assertNoPerm(self.node.call("GET", "/sessions", token=token))
        self.node.kill9()
        self.node.start()
        self.assertNoPerm(self.node.call("GET", "/sessions", token=token))
        self.assertEqual(self.login("dur-ann", "one").status, 201)
        self.node.stop()

    def get_user(self, token):
        return self.node.call("GET", "/sessions", token=token).json()["username"]

    def test_stop_in_the_middle(self):
        """A stop while a large group is deleted is a clean one; the deletion may be asked for again."""
        self.node = Node({"workers": "3"}).start()
        self.group("stop-g")
        members = [f"stop-{n}" for n in range(400)]
        for name in members:
            self.group(name)
            self.assertEqual(self.member("PUT", "stop-g", f"group/{name}").status, 200)
        self.grant("stop-g", "get", "stop-b")
        left = []
        for delay in (0.0, 0.002, 0.006):
            with self.node.wire() as wire:
                wire.send(build("DELETE", "/groups/stop-g", [("X-Session", self.node.token())]))
                threading.Event().wait(delay)
                self.node.stop()
            self.node.start()
            rows = {r["name"]: r["members"] for r in self.send("GET", "/groups").json()}
            left.append(rows.get("stop-g"))
            if left[-1] is None:
                break
        self.assertNoBody(self.send("DELETE", "/groups/stop-g"), 204)
        self.group("stop-g")
        self.assertEqual(self.send("GET", "/groups/stop-g/members").json(), [])
        self.assertEqual(self.grants("stop-b"), ({}, {}))
        self.assertEqual(len(self.send("GET", "/groups").json()), 400 + 3)
        self.node.stop()

    def test_kill_in_the_middle(self):
        """Killed while many change at once: every acknowledged grant is there, no revoked one."""
        self.node = Node({"workers": "2"}).start()
        names = [f"kill-{n}" for n in range(4)]
        for name in names:
            self.make(name)
        known = {}
        for round_ in range(4):
            stop = threading.Event()

            def work(name, stop=stop):
                number = 0
                while not stop.is_set():
                    bucket = f"kill-b{number % 5}"
                    action = ("grant", "revoke")[(number // 5 + round_) % 2]
                    known[name, bucket] = None  # unknown from here on
                    try:
                        answer = self.access(action, name, "get", bucket)
                    except (AssertionError, OSError):
                        return
                    if answer.status == 200:
                        known[name, bucket] = action == "grant"
                    number += 1
            self.node.token()
            threads = [threading.Thread(target=work, args=(n,)) for n in names]
            for thread in threads:
                thread.start()
            stop.wait(0.7)
            self.node.kill9()
            stop.set()
            for thread in threads:
                thread.join()
            self.node.start()
            for (name, bucket), wanted in known.items():
                there = name in self.grants(bucket)[0]
                if wanted is not None:
                    self.assertEqual(there, wanted, (name, bucket))
                known[name, bucket] = there
        self.assertGreater(len(known), 10)
        self.node.stop()


if __name__ == "__main__":
    unittest.main()
