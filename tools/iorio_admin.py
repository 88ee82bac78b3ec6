"""tools/iorio_admin.py - users, groups, grants, retention policies and the state of a node, for Python.

Happy path: Admin(client).create_user("ann", "a password"): one request on the client's connection, by its user.
Names go as they are. A role is the name of a user or group, exactly `user/NAME` or `group/NAME`, or `*` for everybody.

Failure modes: those of tools/iorio.py. Every call may be repeated when no answer came; the second
create_user() or create_group() then says that it is there already (types user-exists and exists).
"""

import json

from iorio import JSON, BadAnswer, quote, with_query


def _place(path, bucket, stream):
    """/policies or /access of a bucket or of a stream; of the node without a bucket."""
    return "/".join([path] + [quote(name) for name in (bucket, stream) if name is not None])


def _texts(value):
    """It is a list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadAnswer("the answer is not what was asked for: a list of texts was due")
    return value


class Admin:
    """The calls of an administrator on a Client."""

    def __init__(self, client):
        self.client = client

    # --- users (permission adminusers) ---

    def list_users(self, after=None, limit=None, info=False):
        """([{"username":..}, ...], is there more). info: the groups of each as well."""
        users, more = self._list("/users", after, limit, info)
        return self._rows(users, "username"), more

    def create_user(self, username, password):
        return self._change("POST", "/users", {"username": username, "password": password})

    def set_password(self, username, password):
        """Of any user; one's own takes no permission. Sessions begun with the old one end."""
        return self._change("PUT", "/users", {"username": username, "password": password})

    def delete_user(self, username):
        """With what was granted to him; also when there is none."""
        return self._change("DELETE", f"/users/{quote(username)}")

    # --- groups (permission adminusers) ---

    def list_groups(self, after=None, limit=None):
        """([{"name":.., "members": how many, "groups": [of which it is a member]}, ...], more)."""
        groups, more = self._list("/groups", after, limit)
        return self._rows(groups, "name"), more

    def create_group(self, name):
        return self._change("POST", "/groups", {"name": name})

    def delete_group(self, name):
        return self._change("DELETE", f"/groups/{quote(name)}")

    def list_members(self, group, after=None, limit=None):
        """(["user/ann", "group/staff", ...], more)."""
        members, more = self._list(f"/groups/{quote(group)}/members", after, limit)
        return _texts(members), more

    def add_member(self, group, member):
        return self._change("PUT", f"/groups/{quote(group)}/members/{quote(member)}")

    def remove_member(self, group, member):
        return self._change("DELETE", f"/groups/{quote(group)}/members/{quote(member)}")

    # --- grants (permission grant there; on the node adminusers) ---

    def grant(self, role, permission, bucket=None, stream=None):
        """On a stream, on a bucket, or on the node. The last one of the two may end in `*`."""
        body = {"action": "grant", "role": role, "permission": permission}
        return self._change("POST", _place("/access", bucket, stream), body)

    def revoke(self, role, permission, bucket=None, stream=None):
        body = {"action": "revoke", "role": role, "permission": permission}
        return self._change("POST", _place("/access", bucket, stream), body)

    def list_grants(self, bucket=None, stream=None):
        """{"users": [{"name":.., "grants": [..]}, ...], "groups": [...]} of exactly this place."""
        grants = self._object("GET", _place("/access", bucket, stream))
        for kind in ("users", "groups"):
            for row in self._rows(grants.get(kind), "name"):
                _texts(row.get("grants"))
        return grants

    def explain(self, user, permission, bucket=None, stream=None):
        """{"allowed": false}, or true with the grant that decides."""
        path = with_query("/access/explain", user=user, permission=permission, bucket=bucket, stream=stream)
        answer = self._object("GET", path, "allowed", bool)
        _texts([answer[name] for name in ("role", "bucket", "stream") if name in answer])
        _texts(answer.get("groups", []))
        return answer

    # --- retention (permission grant there) ---

    def get_policy(self, bucket, stream=None, effective=False):
        """As it was set (NotFound: there is none), or with effective=True what holds."""
        path = with_query(_place("/policies", bucket, stream), effective="yes" if effective else None)
        return self._object("GET", path)

    def set_policy(self, policy, bucket, stream=None):
        """The whole policy: {"max_events":.., "max_bytes":.., "max_age":.., "max_total_bytes":..}."""
        return self._change("PUT", _place("/policies", bucket, stream), policy)

    def delete_policy(self, bucket, stream=None):
        return self._change("DELETE", _place("/policies", bucket, stream))

    def preview_policy(self, bucket, stream=None, policy=None):
        """{"streams":.., "events":.., "bytes":..} that would go; without a policy by what holds."""
        body = b"" if policy is None else json.dumps(policy).encode()
        return self._object("POST", _place("/policies", bucket, stream) + "/preview", "events", int, body)

    # --- the node (permission viewstats) ---

    def stats(self):
        return self._object("GET", "/stats", "node", str)

    # --- one request ---

    def _change(self, method, path, body=None):
        """A request that changes something; its answer, {"ok": true}."""
        text = None if body is None else json.dumps(body).encode()
        answer = self.client.call(method, path, text, None if text is None else JSON)
        return {"ok": True} if answer.status == 204 else self._checked(answer, "ok", bool)

    def _object(self, method, path, name=None, kind=None, body=None):
        return self._checked(self.client.call(method, path, body, None if body is None else JSON), name, kind)

    def _list(self, path, after, limit, info=False):
        answer = self.client.call("GET", with_query(path, after=after, limit=limit, info="yes" if info else None))
        found = answer.json()
        if not isinstance(found, list):
            raise BadAnswer("the answer is no list")
        return found, answer.headers.get("Iorio-More") == "yes"

    @staticmethod
    def _rows(rows, name):
        """It is a list of objects, each with that name, and with groups that are texts."""
        if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get(name), str) for row in rows):
            raise BadAnswer(f'the answer is not what was asked for: a list of objects with "{name}" was due')
        for row in rows:
            _texts(row.get("groups", []))
        return rows

    @staticmethod
    def _checked(answer, name, kind):
        body = answer.json()
        if not isinstance(body, dict) or (name is not None and not isinstance(body.get(name), kind)):
            raise BadAnswer(f"the answer (status {answer.status}) is not what was asked for")
        return body
