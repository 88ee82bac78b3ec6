"""tools/bench/logins.py - rows about logins: what a storm of them takes from durable appends.

Both sides append with 64 connections to the same node in the same minute; one of them while 64 others log in, each
again as soon as it has its answer: with the right password of one user (remembered, so no argon2id), or with wrong
passwords, each another one (argon2id each time). What is judged is the ratio of the appends.
"""

import json
import subprocess
import time

from servers import Wrong, end, spawn

CONNECTIONS = 64
WRONG_PASSWORDS = 100000  # more than one round can try
LEAD_S = 0.3
ROWS = [
    {"name": "logins-cached", "kind": "logins", "body_bytes": 100, "unit": "/s", "better": "more", "storm": "cached",
     "title": "durable POST of 100 B, 64 conn, beside 64 that log in (remembered)", "target": 0.85, "goal": None},
    {"name": "logins-argon2", "kind": "logins", "body_bytes": 100, "unit": "/s", "better": "more", "storm": "argon2",
     "title": "durable POST of 100 B, 64 conn, beside 64 that log in (argon2id)", "target": 0.85, "goal": None},
]


class Appends:
    """64 connections that append, and perhaps a storm beside them."""

    def __init__(self, bench, node, body, name, storm):
        self.bench, self.node, self.body, self.name, self.storm = bench, node, body, name, storm

    def options(self):
        options = ["--mode", "post", "--port", self.node.port, "--connections", CONNECTIONS, "--path", "/sessions",
                   "--warmup", 0, "--seconds", self.bench.seconds + 1.5]
        if self.storm == "cached":
            return options + ["--body-pattern", '{"username":"admin","password":"secret"}']
        return options + ["--streams", WRONG_PASSWORDS, "--body-pattern", '{"username":"admin","password":"no %d"}']

    def begin_storm(self):
        child = spawn([self.bench.load] + [str(o) for o in self.options()], stdout=subprocess.PIPE,
                      stderr=subprocess.DEVNULL, text=True)
        time.sleep(LEAD_S)
        return child

    def end_storm(self, child):
        try:
            out = child.communicate(timeout=60 + self.bench.seconds)[0]
        finally:
            end(child)
        if not out:
            raise Wrong("the logins did not end")
        result = json.loads(out)
        right = result["acked_total"] if self.storm == "cached" else result["refused"]
        if right == 0 or result["lost"] > 0 or result["unanswered"] > 0 or right != result["sent_total"]:
            raise Wrong("the logins were not answered as they must be: %s" % result)
        return right / result["seconds"]

    def measure(self):
        child = self.begin_storm() if self.storm else None
        result = self.bench.measure("--port", self.node.port, "--connections", CONNECTIONS, "--streams", 8,
                                    "--body-file", self.bench.body_file(self.body), "--mode", "post", "--path",
                                    "/streams/b/s%d", "--header", "X-Session: " + self.node.token)
        if child is not None:
            result["logins_per_s"] = self.end_storm(child)
            print("  logins: %.0f/s" % result["logins_per_s"], flush=True)
        return result


def play(bench, row, make_body, play_rounds):
    node = bench.node({"auth.login.failures": "0", "auth.login.failures.user": "0"})
    try:
        body = make_body(row["body_bytes"])
        node.check_event("check", body)
        return play_rounds(bench, row, [Appends(bench, node, body, "with logins", row["storm"]),
                                        Appends(bench, node, body, "without", None)])
    finally:
        node.close()
