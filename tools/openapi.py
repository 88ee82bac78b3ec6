#!/usr/bin/env python3
"""tools/openapi.py - the OpenAPI 3 document of GET /openapi.json, from proto/http/routes.def (routes, permissions, what
a body may be), src/base/errors.def (types of errors) and tools/openapi_routes.py (the rest). The build puts it
into the program.

    tools/openapi.py                       prints the document
    tools/openapi.py --c FILE --version V  writes it as a C file
    tools/openapi.py --self-test           checks this script"""

import argparse
import json
import pathlib
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import openapi_routes as described  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHODS_OF_ANY = ("GET", "POST", "PUT", "PATCH", "DELETE")
PARAMETERS = {"b": ("bucket", "Name of a bucket, percent-encoded: 1 to 255 bytes of UTF-8."),
              "s": ("stream", "Name of a stream, percent-encoded: 1 to 1024 bytes of UTF-8."),
              "id": ("id", "Number of an event."),
              "u": ("user", "Name of a user, percent-encoded."),
              "g": ("group", "Name of a group, percent-encoded."),
              "m": ("member", "A user or group: `x`, `user/x` or `group/x`, percent-encoded.")}
PROBES = ("/ping", "/livez", "/readyz")  # no limit of requests holds for them
SCOPES = {"BUCKET": " on the bucket", "STREAM": " on the stream", "NODE": ""}
LINE_BYTES = 96


def routes():
    """The rows of routes.def: method, path, permission in lower case or None, scope, types."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "proto/http/routes.def").read_text(), flags=re.S)
    rows = re.findall(r'^R\((\w+),\s*"([^"]+)",\s*([\w| ]+?),\s*(\w+),\s*(\w+),\s*(\w+)\)', text, re.M)
    if len(rows) != len(re.findall(r"^R\(", text, re.M)):
        raise SystemExit("openapi: a row of routes.def is not understood")
    return [(m, p, None if perm == "0" else perm.replace("PERM_", "").lower(), scope, types)
            for m, p, perm, scope, types, _ in rows]


def error_types():
    """Status -> the types that an answer with it may have."""
    text = (ROOT / "src/base/errors.def").read_text()
    found = {}
    for type_, status in re.findall(r'^X\(\w+,\s*"([^"]*)",\s*(\d+)', text, re.M):
        found.setdefault(int(status), [])
        if type_ not in found[int(status)]:
            found[int(status)].append(type_)
    return found


def schema(what):
    return {"$ref": f"#/components/schemas/{what}"} if isinstance(what, str) else what


def content(types):
    return {name: {"schema": schema(s)} for name, s in types.items()}


def headers(names):
    return {n: {"description": described.REPLY_HEADERS[n][1], "schema": described.REPLY_HEADERS[n][0]} for n in names}


def answer(meaning, types, names):
    found = {"description": meaning}
    if names:
        found["headers"] = headers(names)
    if types:
        found["content"] = content(types)
    return found


WORDS = {400: "The request is not as it must be.", 401: "No good token, or no permission.", 404: "There is none.",
         406: "Accept allows no type that there is. No body.", 410: "It was removed.", 412: "The condition does not hold.",
         413: "Too large.", 415: "Not a type that is taken. No body.", 429: "Too many requests; see Retry-After.",
         503: "Not now; see Retry-After.", 507: "No room."}


def error(status, types):
    found = {"description": WORDS[status]}
    if not types:
        return found
    found["content"] = {"application/json": {"schema": {"allOf": [
        schema("Error"), {"type": "object", "properties": {"type": {"type": "string", "enum": sorted(types)}}}]}}}
    extra = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
    if extra:
        found["headers"] = {extra: {"description": "As HTTP has it.", "schema": {"type": "string"}}}
    return found


def errors_of(route, own):
    """Status -> types: what every route of this kind may answer, and its own."""
    method, path, _, scope, types = route
    found = {}

    def add(status, *more):
        found.setdefault(status, set()).update(more)
    if path not in PROBES:
        add(429, "rate-limited")
    if scope != "OPEN":
        add(401, "no-perm")
        add(503, "unavailable", "timeout")
    if ":b" in path:
        add(400, "invalid-name")
    if types in ("AS_JSON", "AS_EVENTS"):
        add(406)
    if method in ("POST", "PUT", "PATCH", "ANY"):
        add(413, "too-large")
    if types in ("JSON", "EVENT", "PATCH"):
        add(415)
    for status, more in own.items():
        add(status, *more)
    return found


def parameters(path, row):
    found = []
    for name in re.findall(r":(\w+)", path):
        word, meaning = PARAMETERS.get(name, (name, f"Percent-encoded: {name}."))
        found.append({"name": word, "in": "path", "required": True, "description": meaning,
                      "schema": {"type": "string"}})
    if path.endswith("/*"):
        found.append({"name": "rest", "in": "path", "required": True, "schema": {"type": "string"},
                      "description": "Any number of further segments, none included."})
    for where, names, table in (("query", row.get("query", ()), described.QUERY),
                                ("header", row.get("headers", ()), described.HEADERS)):
        for name in names:
            one = {"name": described.WIRE.get(name, name), "in": where, "description": table[name][1],
                   "schema": table[name][0]}
            if table[name][0].get("type") == "array":
                one.update(style="form", explode=True)
            found.append(one)
    return found


def url_of(path):
    path = re.sub(r":(\w+)", lambda m: "{%s}" % PARAMETERS.get(m[1], (m[1],))[0], path)
    return path[:-1] + "{rest}" if path.endswith("/*") else path


def operation(route, method, row):
    _, path, perm, scope, _ = route
    found = {"operationId": row.get("id", f"{method.lower()} {path}"), "tags": [row.get("tag", "others")],
             "summary": row.get("summary", "Not described.")}
    if route[0] == "ANY":
        found["operationId"] += method.capitalize()
    if perm:
        found["description"] = f"Needs the permission `{perm}`{SCOPES[scope]}."
    if scope == "OPEN":
        found["security"] = []
    listed = parameters(path, row)
    if listed:
        found["parameters"] = listed
    if row.get("body") and method not in ("GET", "DELETE"):
        found["requestBody"] = {"content": content(row["body"]), "required": route[0] != "ANY"}
    answers = {status: answer(*a) for status, a in row.get("answers", {}).items()}
    answers.update({status: error(status, types) for status, types in errors_of(route, row.get("errors", {})).items()})
    found["responses"] = {str(status): answers[status] for status in sorted(answers)} or {"200": {"description": "OK."}}
    return found


def document(version):
    paths = {}
    for route in routes():
        row = described.ROUTES.get(route[:2], {})
        for method in METHODS_OF_ANY if route[0] == "ANY" else (route[0],):
            paths.setdefault(url_of(route[1]), {})[method.lower()] = operation(route, method, row)
    kinds = sorted({t for types in error_types().values() for t in types} - {"ok", "end"})
    schemas = dict(described.SCHEMAS)
    schemas["Error"] = described.of(type=described.text("For programs.", enum=kinds), reason=described.text("For people."))
    return {
        "openapi": "3.0.3",
        "info": {"title": "Iorio DB", "version": version, "license": {"name": "MPL-2.0"},
                 "description": "Streams of events over HTTP. HEAD is answered wherever GET is, but not on /listen. A "
                                "trailing slash is optional. An unknown route is 404, a method that a route does not have "
                                "is 405 with Allow; both have no body. A body of more than 64 KB, or http.body.max for "
                                "events, is 413 on every route. What is no HTTP as this node wants it is answered 400, "
                                "408, 413, 431, 503 or 505 before it is looked for a route, and the connection ends."},
        "servers": [{"url": "/"}],
        "security": [{"session": []}, {"bearer": []}, {"query": []}, {}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {
            "session": {"type": "apiKey", "in": "header", "name": "X-Session"},
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "query": {"type": "apiKey", "in": "query", "name": "jwt"}}},
    }


def as_c(text):
    """The text as string literals of C, in lines."""
    data, out, line = text.encode(), [], ""
    for byte in data:
        char = chr(byte)
        piece = "\\" + char if char in '"\\' else char if 32 <= byte < 127 and char != "?" else f"\\{byte:03o}"
        line += piece
        if len(line) >= LINE_BYTES:
            out.append(f'    "{line}"')
            line = ""
    out.append(f'    "{line}";')
    return ("/* openapi_json.c - written by tools/openapi.py. */\n#include \"proto/http/openapi.h\"\n\n"
            "const char openapi_json[] =\n" + "\n".join(out) + f"\nconst size_t openapi_json_bytes = {len(data)};\n")


def self_test():
    """Literals come back as they were; every row that is described is a route, and the other way round."""
    failed = 0
    for sample in ("a", 'x"\\y', "\u00e9\u20ac", "??=", "1" * 300, "\n\t\x01" + "2"):
        lines = re.findall(r'^    "(.*)";?$', as_c(sample), re.M)
        back = re.sub(rb"\\([0-7]{3}|.)", lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else m[1],
                      "".join(lines).encode())
        if back != sample.encode():
            failed += 1
            print(f"FAILED literal of {sample!r}: {back!r}")
    there, known = {r[:2] for r in routes()}, set(described.ROUTES)
    for name, wrong in (("without a description", there - known), ("described, but no route", known - there)):
        if wrong:
            failed += 1
            print(f"FAILED {name}: {sorted(wrong)}")
    print(f"{8 - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--c", metavar="FILE")
    parser.add_argument("--version", default="0")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    if args.c is None:
        print(json.dumps(document(args.version), indent=1))
        return 0
    text = json.dumps(document(args.version), separators=(",", ":"))
    pathlib.Path(args.c).write_text(as_c(text), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
