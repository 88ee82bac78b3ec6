#!/usr/bin/env python3
"""check_layers.py - an include may only point down (ARCHITECTURE.md, section 2).

Prints every violation as file:line and how many there are; exit code 1 when there is one.
    tools/check_layers.py [--root DIR]     check the tree
    tools/check_layers.py --self-test      check this script with good and bad samples
"""
import argparse
import fnmatch
import os
import re
import sys
import tempfile

# Folder -> layer. The longest folder that matches counts.
LAYERS = {
    "src/base": 0,
    "src/rt": 1,
    "src/store": 2,
    "src/auth": 2,
    "cluster": 3,
    "src/core": 4,
    "proto": 5,
    "src/app": 6,
}
# Pairs that must not meet although the numbers would let them.
FORBIDDEN = {
    ("src/store", "src/auth"): "store and auth are neighbours",
    ("src/auth", "src/store"): "store and auth are neighbours",
    ("proto", "src/store"): "proto reaches the store through core only",
    ("proto", "cluster"): "proto reaches the cluster through core only",
}
# Header of a library -> the only files of the product that may include it.
LIBRARIES = {
    r"h2o(\.h|/.*)": ["proto/http/server*.[ch]", "proto/http/h2o_*.[ch]"],
    r"uv(\.h|/.*)": ["src/rt/*"],
    r"jwt\.h": ["src/auth/token.c"],
    r"sodium(\.h|/.*)": ["src/auth/*"],
    r"jansson\.h": ["src/auth/*", "cluster/meta*", "proto/http/*"],
    r"lmdb\.h": ["src/store/kv_lmdb.c"],
    r"openssl/.*": ["src/base/base64.c", "src/auth/*", "proto/http/server_tls.c", "src/app/ping_tls.c"],
    r"xxhash\.h": ["src/base/hash.c"],
    r"raft(\.h|/.*)": ["cluster/group*"],
    r"msgpack(\.h|/.*)": ["cluster/wire*"],
    r"mosquitto.*\.h": ["proto/mqtt/*"],
    r"cmocka\.h": [],
    r"wslay/.*": [],
}
# Only the product is layered; tests and tools may include what they examine.
PRODUCT = ("src", "cluster", "proto", "config")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def product_files(root):
    for top in PRODUCT:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h", ".def")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def layer_folder(path):
    """The folder of LAYERS that the path lies in, or None."""
    inside = [f for f in LAYERS if path.startswith(f + "/")]
    return max(inside, key=len) if inside else None


def resolve(root, name):
    """The file of the tree that an include names: from the top, or from src."""
    for base in ("", "src"):
        path = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(root, path)):
            return path
    return None


def judge_library(path, name):
    for pattern, allowed in LIBRARIES.items():
        if re.fullmatch(pattern, name) and not any(fnmatch.fnmatch(path, a) for a in allowed):
            where = ", ".join(allowed) if allowed else "tests only, or not at all"
            return f"<{name}> is kept behind: {where}"
    return None


def judge_own(path, target):
    """An include of `target` (a file of the tree) by `path`."""
    if target.startswith(("test/", "tools/")):
        return f"{target} is not part of the product"
    if target.endswith(".def"):
        return None  # tables are data
    source, aim = layer_folder(path), layer_folder(target)
    if aim is None:
        return f"{target} is in no layer"
    if (source, aim) in FORBIDDEN:
        return f"{target}: {FORBIDDEN[source, aim]}"
    if LAYERS[aim] > LAYERS[source]:
        return f"{target} is layer {LAYERS[aim]}, {path} is layer {LAYERS[source]}: includes point down only"
    return None


def judge(root, path, quote, name):
    """What is wrong with one include, or None."""
    if path.endswith(".def"):
        return "a table is pure data and includes nothing"
    if layer_folder(path) is None:
        return f"{path} is in no layer"
    if ".." in name.split("/"):
        return f'"{name}": write it from the layer, as in "base/err.h"'
    target = resolve(root, name)
    if target is not None:
        return judge_own(path, target)
    if quote == '"' and not any(re.fullmatch(pattern, name) for pattern in LIBRARIES):
        return f'"{name}" does not exist (from the top or from src)'
    return judge_library(path, name)


def strip_comments(text):
    """Comments become blank; the lines keep their numbers."""
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def check(root):
    """All violations as (file, line, text)."""
    found = []
    for path in product_files(root):
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            lines = strip_comments(file.read()).split("\n")
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            wrong = judge(root, path, *match.groups()) if match else None
            if wrong:
                found.append((path, number, wrong))
    return found


# name, files of a small tree, the lines that must be found as file:line
SAMPLES = [
    ("down is fine", {"src/base/a.h": "", "src/rt/b.c": '#include "base/a.h"\n#include <stdio.h>\n'}, []),
    ("up is not", {"src/base/a.c": '#include "rt/b.h"\n', "src/rt/b.h": ""}, ["src/base/a.c:1"]),
    ("angle brackets are no way out", {"src/base/a.c": "\n#include <rt/b.h>\n", "src/rt/b.h": ""}, ["src/base/a.c:2"]),
    ("store and auth", {"src/store/a.c": '#include "auth/b.h"\n', "src/auth/b.h": '#include "store/c.h"\n',
                        "src/store/c.h": ""}, ["src/auth/b.h:1", "src/store/a.c:1"]),
    ("proto and store", {"proto/http/a.c": '#include "store/b.h"\n', "src/store/b.h": ""}, ["proto/http/a.c:1"]),
    ("proto and cluster", {"proto/mqtt/a.c": '#include "cluster/b.h"\n', "cluster/b.h": ""}, ["proto/mqtt/a.c:1"]),
    ("proto may call core and auth", {"proto/http/a.c": '#include "core/b.h"\n#include "auth/c.h"\n',
                                      "src/core/b.h": "", "src/auth/c.h": ""}, []),
    ("core is below proto", {"src/core/a.c": '#include "proto/http/b.h"\n', "proto/http/b.h": ""}, ["src/core/a.c:1"]),
    ("app may include all", {"src/app/a.c": '#include "proto/http/b.h"\n#include "store/c.h"\n',
                             "proto/http/b.h": "", "src/store/c.h": ""}, []),
    ("tables are data", {"src/base/a.h": '#include "config/keys.def"\n#include "proto/http/routes.def"\n',
                         "config/keys.def": "X(a)\n", "proto/http/routes.def": "R(a)\n"}, []),
    ("a table includes nothing", {"config/keys.def": '#include "base/a.h"\n', "src/base/a.h": ""},
     ["config/keys.def:1"]),
    ("h2o only in the server", {"proto/http/streams.c": "#include <h2o.h>\n", "proto/http/server.c": "#include <h2o.h>\n",
                                "proto/http/h2o_loop.c": "#include <h2o/socket.h>\n"}, ["proto/http/streams.c:1"]),
    ("uv only in rt", {"src/rt/loop.c": "#include <uv.h>\n", "src/core/a.c": "#include <uv.h>\n"}, ["src/core/a.c:1"]),
    ("jwt only in token.c", {"src/auth/token.c": "#include <jwt.h>\n", "src/auth/policy.c": "#include <jwt.h>\n"},
     ["src/auth/policy.c:1"]),
    ("sodium and openssl", {"src/base/base64.c": "#include <openssl/evp.h>\n", "src/base/hash.c": "#include <sodium.h>\n",
                            "src/rt/a.c": "#include <openssl/rand.h>\n"}, ["src/base/hash.c:1", "src/rt/a.c:1"]),
    ("jansson", {"cluster/meta_facts.c": "#include <jansson.h>\n", "cluster/ring.c": "#include <jansson.h>\n"},
     ["cluster/ring.c:1"]),
    ("lmdb and xxhash", {"src/store/kv_lmdb.c": "#include <lmdb.h>\n", "src/store/tail.c": "#include <lmdb.h>\n",
                         "src/base/map.c": "#include <xxhash.h>\n"}, ["src/base/map.c:1", "src/store/tail.c:1"]),
    ("a library in quotes", {"src/core/a.c": '#include "uv.h"\n'}, ["src/core/a.c:1"]),
    ("a file that is not there", {"src/rt/a.c": '#include "rt/gone.h"\n'}, ["src/rt/a.c:1"]),
    ("bare and dotted names", {"src/rt/a.c": '#include "b.h"\n#include "../base/c.h"\n', "src/rt/b.h": "",
                               "src/base/c.h": ""}, ["src/rt/a.c:1", "src/rt/a.c:2"]),
    ("tests are not the product", {"src/rt/a.c": '#include "test/lib/b.h"\n', "test/lib/b.h": "",
                                   "test/unit/c.c": "#include <h2o.h>\n"}, ["src/rt/a.c:1"]),
    ("a file in no layer", {"src/other/a.c": "#include <stdio.h>\n"}, ["src/other/a.c:1"]),
    ("comments do not count", {"src/base/a.c": '/*\n#include "rt/b.h"\n*/\n', "src/rt/b.h": ""}, []),
]


def self_test():
    failed = 0
    for name, files, expected in SAMPLES:
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found = sorted(f"{path}:{line}" for path, line, _ in check(root))
        if found != sorted(expected):
            failed += 1
            print(f"FAILED {name}: expected {sorted(expected)}, found {found}")
    print(f"{len(SAMPLES) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    found = check(args.root)
    for path, line, text in found:
        print(f"{path}:{line}: {text}")
    print(f"check_layers: {len(found)} violations in {len(list(product_files(args.root)))} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
