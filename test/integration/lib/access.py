"""test/integration/lib/access.py - requests about users, groups and grants, for test cases that have a node."""

import json
import threading
from urllib.parse import quote

from .case import JSON, NodeCase


def at_once(calls):
    """The answers of these functions, all begun at once, in their order."""
    answers = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(number):
        gate.wait()
        answers[number] = calls[number]()
    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class Words:
    """Requests about users, groups and grants; mixed into test cases that have a node."""

    def send(self, method, path, body=None, token=True):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.node.call(method, path, body, None if body is None else JSON, token=token)

    def login(self, name, password="pw"):
        return self.send("POST", "/sessions", {"username": name, "password": password}, token=None)

    def token_of(self, name, password="pw"):
        answer = self.login(name, password)
        self.assertEqual(answer.status, 201, answer)
        return answer.json()["token"]

    def make(self, name, password="pw"):
        answer = self.send("POST", "/users", {"username": name, "password": password})
        self.assertEqual(answer.status, 201, answer)
        return answer

    def user(self, name, password="pw"):
        """A new user, logged in: his token."""
        self.make(name, password)
        return self.token_of(name, password)

    def group(self, name):
        self.assertEqual(self.send("POST", "/groups", {"name": name}).status, 201)

    def member(self, method, group, who):
        return self.send(method, f"/groups/{group}/members/{quote(who, safe='')}")

    @staticmethod
    def place(bucket=None, stream=None):
        return "/access" + "".join("/" + quote(p, safe="") for p in (bucket, stream) if p is not None)

    def access(self, action, role, permission, bucket=None, stream=None, token=True):
        return self.send("POST", self.place(bucket, stream),
                         {"action": action, "role": role, "permission": permission}, token)

    def grant(self, role, permission, bucket=None, stream=None, **more):
        answer = self.access("grant", role, permission, bucket, stream, **more)
        self.assertEqual((answer.status, answer.body), (200, b'{"ok":true}'), answer)

    def revoke(self, role, permission, bucket=None, stream=None, **more):
        answer = self.access("revoke", role, permission, bucket, stream, **more)
        self.assertEqual((answer.status, answer.body), (200, b'{"ok":true}'), answer)

    def grants(self, bucket=None, stream=None):
        """{name: [permission, ...]} of users, and of groups, on exactly this."""
        answer = self.assertJson(self.send("GET", self.place(bucket, stream)), 200)
        self.assertEqual(set(answer), {"users", "groups"})
        for rows in answer.values():
            self.assertEqual([r["name"] for r in rows], sorted({r["name"] for r in rows}, key=str.encode))
        return tuple({r["name"]: r["grants"] for r in answer[kind]} for kind in ("users", "groups"))

    def may(self, method, path, token):
        """True or False: the permission is there, or it is 401."""
        answer = self.send(method, path, b"1" if method == "POST" else None, token)
        if answer.status == 401:
            self.assertNoPerm(answer)
            return False
        self.assertIn(answer.status, (200, 201, 204), answer)
        return True


class AccessCase(Words, NodeCase):
    """A node, and these requests."""
