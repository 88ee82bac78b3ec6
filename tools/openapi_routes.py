"""tools/openapi_routes.py - what tools/openapi.py cannot read off proto/http/routes.def: a description of
each route, its parameters, bodies and answers. test/integration/22_node_routes.py fails when a route has none, or one
has no route, and asks a running node whether it answers so.

ROUTES: (method, path as in routes.def) -> a dict:
  id, summary, tag     required
  query                [names of QUERY] that it looks at
  headers              [names of HEADERS] that it looks at
  body                 {content type: schema}; without it and with TYPES JSON or EVENT the test fails
  answers              {status: (what it means, {content type: schema} or None for no body, [names of REPLY_HEADERS])}
  errors               {status: [types of src/base/errors.def]} beside those that every such route has
A schema is a name in SCHEMAS or a schema itself."""

JSON, NDJSON, OCTETS, TEXT = "application/json", "application/x-ndjson", "application/octet-stream", "text/plain"
NO_BODY = {}


def of(**properties):
    """An object; a name that ends in _ may be missing."""
    required = [n for n in properties if not n.endswith("_")]
    return {"type": "object", "properties": {n.rstrip("_"): p for n, p in properties.items()},
            **({"required": required} if required else {})}


def list_of(schema):
    return {"type": "array", "items": schema}


def text(description=None, **more):
    return {"type": "string", **({"description": description} if description else {}), **more}


def whole(description=None, **more):
    return {"type": "integer", "format": "int64", **({"description": description} if description else {}), **more}


def ref(name):
    return {"$ref": f"#/components/schemas/{name}"}


FLAG = {"type": "boolean"}
ANY = {"description": "Any JSON text."}
LIMIT = {"oneOf": [{"type": "integer"}, {"type": "string"}], "nullable": True}

SCHEMAS = {
    "Ok": of(ok=FLAG),
    "Pong": of(pong=text("The name of the node.")),
    "Login": of(username=text(), password=text(format="password")),
    "Session": of(ok=FLAG, token=text("A JWT for X-Session."), username=text()),
    "WhoAmI": of(username=text()),
    "Meta": of(id=whole("Its number in the stream: 1, 2, 3...", minimum=1),
               t=whole("Unix time in ms, never less than that of the event before it."),
               enc_=text("The data is these bytes in base64.", enum=["base64"]),
               bucket_=text("In answers of /listen."), stream_=text("In answers of /listen.")),
    "Event": of(meta=ref("Meta"), data=ANY),
    "Events": list_of(ref("Event")),
    "Appended": of(meta=of(id=whole("Of the first event.", minimum=1), last_=whole("Of a batch: of the last one."),
                           t=whole())),
    "Patch": list_of(of(op=text(enum=["add", "remove", "replace", "move", "copy", "test"]), path=text("RFC 6901."),
                        from_=text("RFC 6901."), value_=ANY)),
    "Raced": of(type=text(enum=["error"]), reason=of(reason=text(enum=["confict"]), field=text(), expected=whole(),
                                                     got=whole())),
    "Names": of(status=text(enum=["ok", "partial"]),
                data=list_of({"oneOf": [text(), of(name=text(), low_=whole(), high_=whole(), bytes_=whole(),
                                                   events_=whole())]})),
    "Policy": of(max_events_=LIMIT, max_bytes_=LIMIT, max_age_=LIMIT, max_total_bytes_=LIMIT),
    "Preview": of(streams=whole(), events=whole(), bytes=whole()),
    "User": of(username=text(), password=text(format="password")),
    "Users": list_of(of(username=text(), groups_=list_of(text()))),
    "Group": of(name=text()),
    "Groups": list_of(of(name=text(), members=whole("Direct ones."), groups=list_of(text()))),
    "Members": list_of(text("user/x or group/x")),
    "Grant": of(action=text(enum=["grant", "revoke"]), role_=text("A user or group: x, user/x or group/x; or *."),
                username_=text("Accepted for role."),
                permission=text(enum=["get", "put", "delete", "list", "grant", "adminusers", "viewstats", "admincluster"])),
    "Grants": of(users=list_of(ref("Granted")), groups=list_of(ref("Granted"))),
    "Granted": of(name=text(), grants=list_of(text())),
    "Explained": of(allowed=FLAG, role_=text("Who has the grant that decides."), bucket_=text(), stream_=text(),
                    groups_=list_of(text())),
    "Echo": of(method=text(), path=text(), user=text(), query=list_of(list_of(text())),
               headers={"type": "object", "additionalProperties": text()}, enc_=text(enum=["base64"]), body_=ANY),
    "Budget": of(used=whole("Bytes."), max=whole("Bytes; the key of the configuration has the name.")),
    "Durations": of(count=whole(), sum_us=whole(), p50_us=whole(), p90_us=whole(), p99_us=whole(),
                    steps={"type": "object", "additionalProperties": whole(),
                           "description": "How many were at most so many microseconds, and more than the step before."}),
    "Stats": of(node=text(), version=text(), time=whole("Unix time in ms."), started=whole("Likewise."),
                uptime_s=whole(), pid=whole(), ring_size=whole(), ready=FLAG, reason_=text("Why it is not ready."),
                connections=of(open=whole(), max=whole(), waiting=whole("Requests of GET /listen that wait.")),
                workers=list_of(of(connections=whole(), requests=whole())),
                memory=of(rss=whole(), tail=ref("Budget"), history=ref("Budget"), inflight=ref("Budget"),
                          dedupe=ref("Budget")),
                journal=of(bytes=whole(), max=whole(), segments=whole(), batches=whole(), failed=FLAG, full=FLAG),
                checkpoints=of(done=whole(), failed=whole(), last_error=text(nullable=True)),
                catalog=of(bytes=whole()), disk=of(free=whole(nullable=True), reserve=whole()),
                streams=of(in_memory=whole(), watched=whole()), counters=ref("Numbers"), gauges=ref("Numbers"),
                histograms={"type": "object", "description": "By family; a family with a label has a member for each value."},
                buckets={"type": "object", "additionalProperties": ref("Numbers")}),
    "Numbers": {"type": "object", "additionalProperties": whole()},
    "OpenApi": of(openapi=text(), info={"type": "object"}, paths={"type": "object"}),
}

QUERY = {
    "limit": (whole(), "At most so many. No integer: 1; 0 and less: none; capped at streams.read.max (not for NDJSON)."),
    "from": (whole(), "The first events with at least this id; -n: from the n-th last on. Without it: the last ones."),
    "to": (whole(), "Nothing above this id."),
    "truncate_to": (whole(), "The events up to this id go and the stream stays in the lists."),
    "download": (text(), "Adds a Content-Disposition with this name."),
    "after": (text(), "Only names behind this one."),
    "names": (whole(), "At most so many names, 100000 at most."),
    "match": (text(), "`pre*`: only names that begin so; without the star: only this name."),
    "info": (text(enum=["yes"]), "Objects instead of names."),
    "groups": (text(enum=["yes"]), "With the groups that he is a direct member of."),
    "user": (text(), "Whose permission; required."),
    "permission": (text(), "Which one; required."),
    "bucket": (text(), "On which bucket; without it: on the node."),
    "stream": (text(), "On which stream of it."),
    "effective": (text(enum=["yes"]), "What holds, instead of what was set."),
    "s": (list_of(text()), "`bucket:stream` or `bucket:stream:from`, percent-encoded inside; at most 64."),
    "cursor": (text(), "The Iorio-Cursor of an earlier answer."),
    "wait": (whole(), "At most so many seconds, 0 to 300."),
    "catchup": (text(enum=["full", "cache"]), "cache: from memory only."),
}
# What a parameter is called on the wire, where that is not its name here.
WIRE = {"names": "limit", "truncate_to": "to", "groups": "info"}

HEADERS = {
    "If-Match": (text(), "The last id ever given in the stream, in quotes; \"0\": none was."),
    "If-None-Match": (text(enum=["*"]), "The stream holds no event."),
    "Idempotency-Key": (text(minLength=1, maxLength=128), "A retry with the same key and events appends nothing."),
    "Prefer": (text(), "durability=disk, quorum or memory."),
    "Last-Event-ID": (text(), "As cursor=, and before it."),
}

REPLY_HEADERS = {
    "ETag": (text(), "The last id in quotes."),
    "Location": (text(), "Where to read it."),
    "Iorio-Low": (whole(), "First id that is kept; one more than Iorio-High: none."),
    "Iorio-High": (whole(), "Last id ever given."),
    "Iorio-Durability": (text(enum=["disk", "quorum", "memory"]), "What was reached."),
    "Preference-Applied": (text(), "What was asked for with Prefer."),
    "Iorio-Dedupe-Window": (whole(), "Idempotency keys reach back only so many seconds."),
    "Iorio-Cursor": (text(), "Where to go on."),
    "Iorio-Gap": (text(), "Events that are no longer kept: bucket:stream:from-to."),
    "Iorio-More": (text(enum=["yes"]), "The limit left names out."),
    "Content-Disposition": (text(), "With download=."),
}

APPEND = {JSON: ANY, OCTETS: {"type": "string", "format": "binary"}, NDJSON: text("One JSON text a line.")}
PATCH = "application/json-patch+json"
EVENTS = {JSON: "Events", NDJSON: text("One Event a line.")}
POLICY_ERRORS = {400: ["invalid-body", "invalid-field"], 413: ["too-large"], 507: ["no-space"]}


def policy_routes(path, what):
    """The routes of one level of policies."""
    name = what.capitalize()
    return {
        ("GET", path): dict(id=f"get{name}Policy", tag="policies", summary=f"The retention policy of a {what}",
                            query=["effective"], answers={200: ("The policy.", {JSON: "Policy"}, [])},
                            errors={404: ["not-found"]}),
        ("PUT", path): dict(id=f"set{name}Policy", tag="policies", summary=f"Set the retention policy of a {what}",
                            body={JSON: "Policy"}, answers={200: ("It holds.", {JSON: "Ok"}, [])}, errors=POLICY_ERRORS),
        ("DELETE", path): dict(id=f"remove{name}Policy", tag="policies", summary=f"Remove the retention policy of a {what}",
                               answers={204: ("There is none.", NO_BODY, [])}),
        ("POST", path + "/preview"): dict(
            id=f"preview{name}Policy", tag="policies", summary="What would go if this policy held now",
            body={JSON: "Policy"}, answers={200: ("Nothing was changed.", {JSON: "Preview"}, [])}, errors=POLICY_ERRORS),
    }


def access_routes(path, where, of_what):
    """The two routes of grants on one level."""
    return {
        ("GET", path): dict(id=f"list{where}Grants", tag="access", summary=f"The grants on {of_what}", query=["after", "names"],
                            answers={200: ("Each role once.", {JSON: "Grants"}, ["Iorio-More"])}),
        ("POST", path): dict(id=f"change{where}Grant", tag="access", summary=f"Grant or revoke a permission on {of_what}",
                             body={JSON: "Grant"}, answers={200: ("It holds.", {JSON: "Ok"}, [])},
                             errors={400: ["invalid-body", "invalid-field"], 507: ["no-space"]}),
    }


PAGED = ["after", "names"]
NAMED_ERRORS = {400: ["invalid-field"]}
USER_ERRORS = ["invalid-body", "invalid-field", "no-user-and-pass", "no-user", "no-pass"]

ROUTES = {
    ("GET", "/ping"): dict(id="ping", tag="node", summary="The name of the node",
                           answers={200: ("It answers.", {JSON: "Pong"}, [])}),
    ("GET", "/livez"): dict(id="livez", tag="node", summary="Does the process answer?",
                            answers={200: ("Yes.", {JSON: "Ok"}, [])}),
    ("GET", "/readyz"): dict(id="readyz", tag="node", summary="Does the node take writes?",
                             answers={200: ("Yes.", {JSON: "Ok"}, [])}, errors={503: ["unavailable", "no-space"]}),
    ("GET", "/openapi.json"): dict(id="openapi", tag="node", summary="This document",
                                   answers={200: ("OpenAPI 3.", {JSON: "OpenApi"}, [])}),
    ("GET", "/metrics"): dict(id="metrics", tag="node", summary="Metrics for Prometheus",
                              answers={200: ("Exposition format 0.0.4.", {TEXT: text()}, [])}),
    ("GET", "/stats"): dict(id="stats", tag="node", summary="What the node is doing",
                            answers={200: ("As of now.", {JSON: "Stats"}, [])}),
    ("ANY", "/x/echo/*"): dict(id="echo", tag="extensions", summary="What was asked, as JSON",
                               body={"*/*": ANY}, answers={200: ("The request.", {JSON: "Echo"}, [])}),
    ("GET", "/sessions"): dict(id="whoAmI", tag="sessions", summary="Whose token is it?",
                               answers={200: ("The user.", {JSON: "WhoAmI"}, [])}),
    ("POST", "/sessions"): dict(id="logIn", tag="sessions", summary="Log in", body={JSON: "Login"},
                                answers={201: ("A token.", {JSON: "Session"}, ["Location"])},
                                errors={400: ["invalid-body"], 401: ["unauthorized"], 503: ["unavailable"]}),
    ("DELETE", "/sessions"): dict(id="logOut", tag="sessions", summary="Take back the token of this request",
                                  answers={204: ("No worker accepts it any more.", NO_BODY, [])},
                                  errors={507: ["no-space"]}),
    ("DELETE", "/users/:u/sessions"): dict(
        id="endSessions", tag="sessions", summary="Take back all tokens of a user: one's own, or with adminusers anybody's",
        answers={204: ("None is accepted any more.", NO_BODY, [])}, errors={404: ["not-found"], 507: ["no-space"]}),
    ("GET", "/users"): dict(id="listUsers", tag="users", summary="The users", query=["after", "names", "groups"],
                            answers={200: ("Sorted by bytes.", {JSON: "Users"}, ["Iorio-More"])}),
    ("POST", "/users"): dict(id="makeUser", tag="users", summary="Make a user", body={JSON: "User"},
                             answers={201: ("He may log in.", {JSON: "Ok"}, ["Location"])},
                             errors={400: USER_ERRORS + ["illegal-username", "user-exists"], 507: ["no-space"]}),
    ("PUT", "/users"): dict(id="setPassword", tag="users", body={JSON: "User"}, errors={400: USER_ERRORS + ["unknown-error"],
                                                                                     507: ["no-space"]},
                            summary="Change a password: one's own, or with adminusers anybody's",
                            answers={200: ("All tokens of this user end.", {JSON: "Ok"}, [])}),
    ("DELETE", "/users/:u"): dict(id="deleteUser", tag="users", summary="Delete a user, his grants and memberships",
                                  answers={204: ("There is none.", NO_BODY, [])}, errors={**NAMED_ERRORS, 507: ["no-space"]}),
    ("GET", "/groups"): dict(id="listGroups", tag="users", summary="The groups", query=PAGED,
                             answers={200: ("Sorted by bytes.", {JSON: "Groups"}, ["Iorio-More"])}),
    ("POST", "/groups"): dict(id="makeGroup", tag="users", summary="Make a group", body={JSON: "Group"},
                              answers={201: ("It has no members.", {JSON: "Ok"}, ["Location"])},
                              errors={400: ["invalid-body", "invalid-field", "exists"], 507: ["no-space"]}),
    ("DELETE", "/groups/:g"): dict(id="deleteGroup", tag="users", summary="Delete a group and its grants",
                                   answers={204: ("There is none.", NO_BODY, [])}, errors={**NAMED_ERRORS, 507: ["no-space"]}),
    ("GET", "/groups/:g/members"): dict(id="listMembers", tag="users", summary="The direct members of a group", query=PAGED,
                                        answers={200: ("Users before groups.", {JSON: "Members"}, ["Iorio-More"])},
                                        errors={404: ["not-found"]}),
    ("PUT", "/groups/:g/members/:m"): dict(id="addMember", tag="users", summary="Put a user or group into a group",
                                           answers={200: ("It is one.", {JSON: "Ok"}, [])},
                                           errors={**NAMED_ERRORS, 404: ["not-found"], 507: ["no-space"]}),
    ("DELETE", "/groups/:g/members/:m"): dict(id="removeMember", tag="users", summary="Take a member out of a group",
                                              answers={204: ("It is none.", NO_BODY, [])},
                                              errors={**NAMED_ERRORS, 404: ["not-found"], 507: ["no-space"]}),
    ("GET", "/access/explain"): dict(id="explain", tag="access", summary="Why may he, or may he not?",
                                     query=["user", "permission", "bucket", "stream"],
                                     answers={200: ("The grant that decides.", {JSON: "Explained"}, [])},
                                     errors={400: ["invalid-field", "invalid-name"]}),
    **access_routes("/access", "Node", "the node"),
    **access_routes("/access/:b", "Bucket", "a bucket"),
    **access_routes("/access/:b/:s", "Stream", "a stream"),
    ("GET", "/buckets"): dict(id="listBuckets", tag="lists", summary="The buckets",
                              query=["after", "names", "match", "info"],
                              answers={200: ("Sorted by bytes.", {JSON: "Names"}, ["Iorio-More"])}),
    ("GET", "/streams/:b"): dict(id="listStreams", tag="lists", summary="The streams of a bucket",
                                 query=["after", "names", "match", "info"],
                                 answers={200: ("Sorted by bytes.", {JSON: "Names"}, ["Iorio-More"])}),
    ("GET", "/streams/:b/:s"): dict(
        id="readEvents", tag="streams", summary="Read events", query=["limit", "from", "to", "download"],
        answers={200: ("Ascending by id.", EVENTS, ["Iorio-Low", "Iorio-High", "Content-Disposition"])}),
    ("POST", "/streams/:b/:s"): dict(
        id="appendEvents", tag="streams", summary="Append an event, or a batch: all or none", body=APPEND,
        headers=["If-Match", "If-None-Match", "Idempotency-Key", "Prefer"],
        answers={201: ("They are on the disk.", {JSON: "Appended"},
                       ["Location", "ETag", "Iorio-Durability", "Preference-Applied", "Iorio-Dedupe-Window"]),
                 202: ("Prefer: durability=memory: they will be.", {JSON: "Ok"}, ["Iorio-Durability",
                                                                                  "Preference-Applied"])},
        errors={400: ["invalid-body", "invalid-field"], 412: ["conflict"], 413: ["too-large"], 507: ["no-space"]}),
    ("PATCH", "/streams/:b/:s"): dict(
        id="patchEvent", tag="streams", summary="Change the newest event by a JSON Patch, and append the result",
        body={PATCH: "Patch"}, headers=["If-Match", "If-None-Match", "Idempotency-Key", "Prefer"],
        answers={200: ("It is on the disk.", {JSON: "Appended"},
                       ["ETag", "Iorio-Durability", "Preference-Applied", "Iorio-Dedupe-Window"]),
                 202: ("Prefer: durability=memory: it will be.", {JSON: "Ok"}, ["Iorio-Durability",
                                                                                "Preference-Applied"]),
                 409: ("Others were faster, again and again; send it again.", {JSON: "Raced"}, ["ETag"])},
        errors={400: ["invalid-body", "invalid-field", "not-found"], 412: ["conflict"], 413: ["too-large"],
                507: ["no-space"]}),
    ("DELETE", "/streams/:b/:s"): dict(
        id="removeEvents", tag="streams", summary="Delete or truncate a stream", query=["truncate_to"],
        answers={204: ("They are gone; ids go on.", NO_BODY, ["Iorio-Low", "Iorio-High"])},
        errors={400: ["invalid-field"]}),
    ("GET", "/streams/:b/:s/:id"): dict(
        id="readEvent", tag="streams", summary="The exact bytes of one event", query=["download"],
        answers={200: ("As it was sent.", {JSON: ANY, OCTETS: {"type": "string", "format": "binary"}},
                       ["ETag", "Iorio-Low", "Iorio-High", "Content-Disposition"])},
        errors={404: ["not-found"], 410: ["gone"]}),
    **policy_routes("/policies/:b", "bucket"),
    **policy_routes("/policies/:b/:s", "stream"),
    ("GET", "/listen"): dict(
        id="listen", tag="listening", summary="Events as they come (long polling)",
        query=["s", "cursor", "wait", "catchup"], headers=["Last-Event-ID"],
        answers={200: ("Events.", {JSON: "Events"}, ["Iorio-Cursor", "Iorio-Gap"]),
                 204: ("None in time.", NO_BODY, ["Iorio-Cursor", "Iorio-Gap"])},
        errors={400: ["invalid-field"], 406: []}),
    ("POST", "/listen"): dict(id="probeListen", tag="listening", summary="No effect; clients probe with it",
                              answers={204: ("Yes, it is there.", NO_BODY, [])}),
}
