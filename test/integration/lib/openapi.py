"""test/integration/lib/openapi.py - OpenAPI 3.0 as far as our document goes, with the standard library.

problems(document) lists what is wrong with its structure, as "where: what". mismatch(document, schema, value) says
where a value does not fit a schema, or None. Written from the specification, not from our generator.
"""

import re

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
PATH_FIELDS = METHODS | {"summary", "description", "servers", "parameters", "$ref"}
OPERATION_FIELDS = {"tags", "summary", "description", "externalDocs", "operationId", "parameters", "requestBody", "responses",
                    "callbacks", "deprecated", "security", "servers"}
SCHEMA_FIELDS = {"title", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
                 "pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required", "enum", "type",
                 "allOf", "oneOf", "anyOf", "not", "items", "properties", "additionalProperties", "description", "format",
                 "default", "nullable", "discriminator", "readOnly", "writeOnly", "xml", "externalDocs", "example", "deprecated"}
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
MEDIA = re.compile(r"[\w.*+-]+/[\w.*+-]+(;.*)?")


class Checker:
    def __init__(self, document):
        self.document = document
        self.found = []
        self.ids = set()

    def need(self, good, where, what):
        if not good:
            self.found.append(f"{where}: {what}")
        return good

    def fields(self, thing, where, allowed, required=()):
        if not self.need(isinstance(thing, dict), where, "no object"):
            return False
        for name in thing:
            self.need(name in allowed or name.startswith("x-"), where, f"unknown field {name}")
        for name in required:
            self.need(name in thing, where, f"no {name}")
        return True

    def resolve(self, ref, where):
        at = self.document
        if not self.need(isinstance(ref, str) and ref.startswith("#/"), where, f"reference {ref}"):
            return None
        for part in ref[2:].split("/"):
            at = at.get(part) if isinstance(at, dict) else None
        self.need(at is not None, where, f"reference {ref} leads nowhere")
        return at

    def schema(self, s, where):
        if not self.need(isinstance(s, dict), where, "a schema that is no object"):
            return
        if "$ref" in s:
            self.need(set(s) == {"$ref"}, where, "fields beside $ref are ignored")
            self.resolve(s["$ref"], where)
            return
        self.fields(s, where, SCHEMA_FIELDS)
        if "type" in s:
            self.need(s["type"] in TYPES, where, f"type {s['type']}")
        self.need(s.get("type") != "array" or "items" in s, where, "an array without items")
        self.need("enum" not in s or (isinstance(s["enum"], list) and s["enum"]), where, "an empty enum")
        required = s.get("required", [])
        self.need(isinstance(required, list) and ("required" not in s or required), where, "an empty required")
        for name in required:
            self.need(name in s.get("properties", {}), where, f"requires {name}, which is no property")
        for name, one in s.get("properties", {}).items():
            self.schema(one, f"{where}.{name}")
        for name in ("items", "not"):
            if name in s:
                self.schema(s[name], f"{where}.{name}")
        if isinstance(s.get("additionalProperties"), dict):
            self.schema(s["additionalProperties"], f"{where}.*")
        for name in ("allOf", "oneOf", "anyOf"):
            for i, one in enumerate(s.get(name, [])):
                self.schema(one, f"{where}.{name}[{i}]")

    def content(self, content, where):
        if not self.need(isinstance(content, dict) and content, where, "no content"):
            return
        for media, one in content.items():
            self.need(MEDIA.fullmatch(media), where, f"media type {media}")
            if self.fields(one, f"{where} {media}", {"schema", "example", "examples", "encoding"}):
                self.schema(one.get("schema", {}), f"{where} {media}")

    def parameters(self, listed, where, path):
        seen = set()
        for p in listed:
            if not self.fields(p, where, {"name", "in", "description", "required", "deprecated", "allowEmptyValue", "style",
                                          "explode", "allowReserved", "schema", "example", "examples", "content"},
                               ("name", "in", "schema")):
                continue
            at = f"{where} {p.get('in')} {p.get('name')}"
            self.need(p.get("in") in ("query", "header", "path", "cookie"), at, "not in query, header, path or cookie")
            self.need((p.get("in"), p.get("name")) not in seen, at, "is there twice")
            seen.add((p.get("in"), p.get("name")))
            self.need(p.get("in") != "path" or p.get("required") is True, at, "a path parameter that is not required")
            self.need(p.get("in") != "header" or p.get("name", "").lower() not in ("accept", "content-type", "authorization"),
                      at, "such a header is ignored")
            self.schema(p.get("schema", {}), at)
        named = {name for where_, name in seen if where_ == "path"}
        self.need(named == set(re.findall(r"{(\w+)}", path)), where, f"path parameters {sorted(named)}")

    def responses(self, responses, where):
        if not self.need(isinstance(responses, dict) and responses, where, "no responses"):
            return
        for status, one in responses.items():
            at = f"{where} {status}"
            self.need(re.fullmatch(r"default|[1-5](\d\d|XX)", status), at, "no status")
            if not self.fields(one, at, {"description", "headers", "content", "links"}, ("description",)):
                continue
            self.need(status not in ("204", "304") or "content" not in one, at, "such an answer has no body")
            if "content" in one:
                self.content(one["content"], at)
            for name, header in one.get("headers", {}).items():
                if self.fields(header, f"{at} {name}", {"description", "required", "schema", "deprecated"}):
                    self.schema(header.get("schema", {}), f"{at} {name}")

    def security(self, listed, where):
        schemes = self.document.get("components", {}).get("securitySchemes", {})
        for one in listed:
            for name in one:
                self.need(name in schemes, where, f"unknown security scheme {name}")

    def operation(self, path, method, op):
        where = f"{method.upper()} {path}"
        if not self.fields(op, where, OPERATION_FIELDS, ("responses",)):
            return
        self.need(op.get("operationId") not in self.ids, where, f"operationId {op.get('operationId')} is there twice")
        self.ids.add(op.get("operationId"))
        self.parameters(op.get("parameters", []), where, path)
        self.security(op.get("security", []), where)
        self.responses(op.get("responses"), where)
        if "requestBody" in op:
            self.need(method in ("post", "put", "patch"), where, "a body that has no meaning")
            if self.fields(op["requestBody"], where + " body", {"description", "content", "required"}, ("content",)):
                self.content(op["requestBody"].get("content"), where + " body")

    def check(self):
        d = self.document
        if not self.fields(d, "document", {"openapi", "info", "servers", "paths", "components", "security", "tags",
                                           "externalDocs"}, ("openapi", "info", "paths")):
            return self.found
        self.need(re.fullmatch(r"3\.0\.\d", str(d.get("openapi"))), "openapi", "version")
        self.fields(d.get("info"), "info", {"title", "description", "termsOfService", "contact", "license", "version"},
                    ("title", "version"))
        for server in d.get("servers", []):
            self.fields(server, "servers", {"url", "description", "variables"}, ("url",))
        self.security(d.get("security", []), "security")
        plain = [re.sub(r"{\w+}", "{}", p) for p in d.get("paths", {})]
        self.need(len(plain) == len(set(plain)), "paths", "two paths that are the same but for names")
        for path, item in d.get("paths", {}).items():
            self.need(path.startswith("/") and "?" not in path, path, "no path")
            if self.fields(item, path, PATH_FIELDS):
                for method in METHODS & set(item):
                    self.operation(path, method, item[method])
        components = d.get("components", {})
        self.fields(components, "components", {"schemas", "responses", "parameters", "examples", "requestBodies", "headers",
                                               "securitySchemes", "links", "callbacks"})
        for name, one in components.get("schemas", {}).items():
            self.need(re.fullmatch(r"[A-Za-z0-9._-]+", name), "schemas", f"name {name}")
            self.schema(one, name)
        for name, one in components.get("securitySchemes", {}).items():
            if self.fields(one, name, {"type", "description", "name", "in", "scheme", "bearerFormat", "flows",
                                       "openIdConnectUrl"}, ("type",)):
                self.need(one["type"] != "apiKey" or {"name", "in"} <= set(one), name, "apiKey without name and in")
                self.need(one["type"] != "http" or "scheme" in one, name, "http without scheme")
        return self.found


def problems(document):
    return Checker(document).check()


def mismatch(document, schema, value, where="$"):
    """Where a value does not fit, or None."""
    while "$ref" in schema:
        schema = Checker(document).resolve(schema["$ref"], where)
    if value is None and schema.get("nullable"):
        return None
    for one in schema.get("allOf", []):
        found = mismatch(document, one, value, where)
        if found:
            return found
    if "oneOf" in schema:
        fits = [one for one in schema["oneOf"] if mismatch(document, one, value, where) is None]
        if len(fits) != 1:
            return f"{where}: {value!r} fits {len(fits)} of oneOf"
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind in ("integer", "number") and isinstance(value, bool))):
        return f"{where}: {value!r} is no {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        return f"{where}: {value!r} is too small"
    if isinstance(value, list) and "items" in schema:
        for i, one in enumerate(value):
            found = mismatch(document, schema["items"], one, f"{where}[{i}]")
            if found:
                return found
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                return f"{where}: no {name}"
        for name, one in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            found = mismatch(document, inner, one, f"{where}.{name}") if isinstance(inner, dict) else None
            if found:
                return found
    return None
