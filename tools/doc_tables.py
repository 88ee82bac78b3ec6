#!/usr/bin/env python3
"""tools/doc_tables.py - writes the tables of docs/ that repeat tables of the sources anew: keys and
metrics in docs/operations.rst, errors in docs/api.rst. test/integration/04_docs.py fails when they are not fresh.

    tools/doc_tables.py            in the checkout; exit 0"""

import pathlib
import re
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH = 118


def strings(text):
    """The string literals of a row of a .def file, unescaped."""
    return [s.replace('\\"', '"') for s in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]


def rows_of(path, macro):
    text = (ROOT / path).read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return re.findall(rf'^{macro}\(((?:"(?:[^"\\]|\\.)*"|[^")])*)\)', text, flags=re.M)


def table(head, rows):
    first = [max(len(r[i]) for r in rows + [head]) for i in range(len(head) - 1)]
    last = WIDTH - sum(first) - 2 * len(first)
    rule = "  ".join(["=" * w for w in first] + ["=" * last])
    out = [rule, "  ".join(h.ljust(w) for h, w in zip(head, first + [0])).rstrip(), rule]
    for row in rows:
        lines = textwrap.wrap(row[-1], last, break_long_words=False, break_on_hyphens=False)
        for i, line in enumerate(lines):
            cells = row[:-1] if i == 0 else [""] * len(first)
            out.append("  ".join([c.ljust(w) for c, w in zip(cells, first)] + [line]).rstrip())
    return "\n".join(out + [rule]) + "\n"


def keys():
    out = []
    for row in rows_of("config/keys.def", "X"):
        said = strings(row)
        key, default, help_ = said[0], said[1], said[-1]
        between = row.split('"')[4] + row.rsplit('"', 2)[0]
        when = "First start only. " if "FIRST_START" in between else "Live. " if ", LIVE," in between else ""
        out.append([f"``{key}``", f"``{default}``" if default else "empty", when + help_])
    return table(["key", "default", "meaning"], out)


def metrics():
    out = []
    for row in rows_of("src/base/metrics.def", "M"):
        kind, name = [w.strip() for w in row.split(",")[:2]]
        total = "_total" if kind == "COUNTER" else ""
        out.append([f"``iorio_{name}{total}``", kind.lower(), strings(row)[0]])
    families = {}
    for row in rows_of("src/base/metrics.def", "H"):
        _, family, label, value = [w.strip() for w in row.split(",")[:4]]
        named = families.setdefault(family, [label, strings(row)[0], []])
        named[2].append(value)
    for family, (label, help_, values) in families.items():
        if label:
            help_ += f" ``{label}``: " + ", ".join(values) + "."
        out.append([f"``iorio_{family}``", "histogram", help_])
    for row in rows_of("src/base/metrics.def", "B"):
        out.append([f"``iorio_{row.split(',')[0].strip()}_total``", "counter", strings(row)[0].replace("`", "``")])
    return table(["metric", "kind", "meaning"], out)


def errors():
    text = (ROOT / "src/base/errors.def").read_text()
    rows = re.findall(r'^X\((\w+),\s*"([^"]*)",\s*(\d+), 0x[0-9a-f]+, \d, "([^"]*)"\)', text, flags=re.M)
    return table(["name", "status", "type", "reason"],
                 [[n, status, f"``{type_}``", reason] for n, type_, status, reason in rows if n not in ("OK", "END")])


def replace(path, head, new):
    """The table whose head line begins with this word."""
    text = (ROOT / path).read_text()
    found = re.search(rf"^=+  =[= ]*\n{head} .*?\n=[= ]+\n.*?\n=+  =[= ]*\n", text, flags=re.S | re.M)
    (ROOT / path).write_text(text[: found.start()] + new + text[found.end() :])


replace("docs/operations.rst", "key", keys())
replace("docs/operations.rst", "metric", metrics())
replace("docs/api.rst", "name", errors())
