#!/usr/bin/env python3
"""test/integration/04_docs.py - the documents are true: against the sources, against a running node.

The journal of a real node is read by the class Reader, which knows docs/formats.rst and nothing else."""

import fnmatch
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.case import BINARY, JSON, NDJSON  # noqa: E402
from lib.node import ROOT, Node, clean_env, iorio_verb, temp_folder  # noqa: E402
from lib.wire import SLOW  # noqa: E402

# Folders whose README.rst lists every file.
FLAT = ("src/base", "src/rt", "src/store", "src/auth", "src/core", "src/app", "cluster", "proto/http", "config",
        "tools", "test", "docs")
LITERAL = re.compile(r"``([^`]+)``")
# What is made by a build or by a node (rel/iorio/, rel/db_data/, rel/ssl/) is no path of the tree.
PATH = re.compile(r"(src|cluster|proto|config|tools|test|docs|rel(?!/iorio$|/iorio/|/db_|/ssl))/[\w./*-]+")


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def tree():
    """Every file of the tree that git knows or would add, as a path from the root."""
    git = subprocess.run(["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard"],
                         capture_output=True, check=False) if shutil.which("git") else None
    if git is not None and git.returncode == 0:
        names = set(os.fsdecode(git.stdout).split("\0")) - {""}
        return sorted(n for n in names if os.path.isfile(os.path.join(ROOT, n)))
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in (".git", "__pycache__", "db_config", "db_data", "bench-work",
                                                      "fuzz-work") and not f.startswith("build")]
        found += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names]
    return sorted(n for n in found if not n.startswith("rel/iorio/"))


def tables(text):
    """Simple tables of reStructuredText: (heads, rows); what goes on in the next line is joined."""
    found, lines = [], text.split("\n")
    at = 0
    while at < len(lines):
        if not re.fullmatch(r"=+(  +=+)+", lines[at]):
            at += 1
            continue
        starts = [m.start() for m in re.finditer(r"=+", lines[at])]
        cuts = list(zip(starts, starts[1:] + [None]))
        end = next(n for n in range(at + 1, len(lines)) if lines[n] == lines[at] and not lines[n + 1].strip())
        rows = []
        for line in lines[at + 1:end]:
            if line == lines[at]:
                continue
            cells = [line[a:b].strip() for a, b in cuts]
            if cells[0] == "" and rows:
                rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells)]
            else:
                rows.append(cells)
        found.append((rows[0], rows[1:]))
        at = end + 1
    return found


def table(path, *heads):
    """The rows of the one table of a document that has these heads."""
    matching = [rows for h, rows in tables(text_of(path)) if h == list(heads)]
    assert len(matching) == 1, f"{path} has {len(matching)} tables {heads}"
    return matching[0]


def bare(cell):
    return cell.strip("`")


def number_of(expression):
    """A constant expression of C: numbers, shifts, sums."""
    plain = re.sub(r"\b(0x[0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", expression)
    assert re.fullmatch(r"[0-9a-fA-Fx+*() <-]+", plain), expression
    return eval(plain)  # only digits and operators: see the line above


def constants(path):
    """Names and values of the enums and defines of a header."""
    text = re.sub(r"/\*.*?\*/", "", text_of(path), flags=re.S)
    pairs = re.findall(r"\b([A-Z][A-Z0-9_]+) = ([^,}\n]+)", text)
    pairs += re.findall(r"^#define ([A-Z][A-Z0-9_]+) ([0-9(][^\n\"]*)$", text, re.M)
    return {name: number_of(value.strip()) for name, value in pairs}


class Folders(unittest.TestCase):
    def listed(self, path, heading):
        """The names under a heading of a README, each once."""
        section = text_of(path).split(f"\n{heading}\n{'-' * len(heading)}\n", 1)
        self.assertEqual(len(section), 2, f"{path} has no heading {heading}")
        section = re.split(r"\n[^\n]+\n-{3,}\n", section[1])[0]
        names = []
        for line in section.strip("\n").split("\n"):
            found = re.match(r"- (``[^`]+``(?:, ``[^`]+``)*): \S", line)
            self.assertTrue(found or line.startswith("  "), f"{path}: {line}")
            names += LITERAL.findall(found[1]) if found else []
        self.assertEqual(len(names), len(set(names)), path)
        return set(names)

    def children(self, folder):
        """Files, and folders with a slash, that lie directly in a folder."""
        inside = [n[len(folder) + 1:] for n in tree() if n.startswith(folder + "/")]
        return {n if "/" not in n else n.split("/")[0] + "/" for n in inside} - {"README.rst"}

    def test_every_file(self):
        """The README.rst of a folder names every file in it and no other."""
        for folder in FLAT:
            with self.subTest(folder=folder):
                self.assertEqual(self.listed(f"{folder}/README.rst", "Files"), self.children(folder))
        self.assertEqual(self.listed("test/README.rst", "Files of integration"), self.children("test/integration"))

    def test_readme(self):
        """README.rst names every folder that holds something, and no other."""
        rows = table("README.rst", "folder", "what is in it (each has a ``README.rst`` with its files and threads)")
        named = {bare(row[0]) for row in rows}
        there = set()
        for name in tree():
            parts = name.split("/")
            if len(parts) > 1 and not parts[0].startswith("."):
                there.add("/".join(parts[:2]) if parts[0] in ("src", "proto") and len(parts) > 2 else parts[0])
        there -= {"src", "proto"}
        self.assertEqual(named, there)
        for folder in named:
            self.assertIn(f"{folder}/README.rst", tree())

    def test_paths(self):
        """Every path that a document names is in the tree, and every link leads to a file."""
        files = tree()
        for path in [n for n in files if n.endswith(".rst")]:
            text = text_of(path)
            for word in LITERAL.findall(text):
                if PATH.fullmatch(word):
                    with self.subTest(document=path, path=word):
                        self.assertTrue(any(fnmatch.fnmatchcase(n, word) or n.startswith(word.rstrip("/") + "/")
                                            for n in files))
            for target in re.findall(r"`[^`<]+<([^`>]+)>`_", text):
                with self.subTest(document=path, link=target):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)))


class Tables(unittest.TestCase):
    maxDiff = None

    def test_errors(self):
        """docs/api.rst lists every error with its status, type and reason."""
        rows = re.findall(r'^X\((\w+),\s*"([^"]*)",\s*(\d+), 0x[0-9a-f]+, \d, "([^"]*)"\)',
                          text_of("src/base/errors.def"), re.M)
        self.assertEqual(len(rows), len(re.findall(r"^X\(", text_of("src/base/errors.def"), re.M)))
        expected = [[n, status, f"``{type_}``", reason] for n, type_, status, reason in rows if n not in ("OK", "END")]
        self.assertEqual(table("docs/api.rst", "name", "status", "type", "reason"), expected)

    def test_keys(self):
        """docs/operations.rst lists every key with its default and its help."""
        rows = re.findall(r'^X\(\w+, "([^"]+)", \w+, "([^"]*)", \d+, \d+, (\w+),\s*"([^"]*)"\)',
                          text_of("config/keys.def"), re.M)
        self.assertEqual(len(rows), len(re.findall(r"^X\(", text_of("config/keys.def"), re.M)))
        words = {"FIRST_START": "First start only. ", "LIVE": "Live. ", "AT_START": ""}
        expected = [[f"``{key}``", f"``{default}``" if default else "empty", words[when] + help_]
                    for key, default, when, help_ in rows]
        self.assertEqual(table("docs/operations.rst", "key", "default", "meaning"), expected)

    def test_metrics(self):
        """docs/operations.rst lists every metric; of histograms and counters by bucket the family."""
        rows = re.findall(r'^M\((COUNTER|GAUGE), (\w+), "([^"]*)"\)', text_of("src/base/metrics.def"), re.M)
        self.assertEqual(len(rows), len(re.findall(r"^M\(", text_of("src/base/metrics.def"), re.M)))
        expected = [[f"``iorio_{name}{'_total' if kind == 'COUNTER' else ''}``", kind.lower(), help_]
                    for kind, name, help_ in rows]
        text = re.sub(r"/\*.*?\*/", "", text_of("src/base/metrics.def"), flags=re.S)
        rows = re.findall(r'^H\(\w+, (\w+), (\w*) ?, (\w*) ?, "([^"]*)"\)', text, re.M)
        self.assertEqual(len(rows), len(re.findall(r"^H\(", text, re.M)))
        for family, label, _, help_ in rows:
            if help_:
                values = ", ".join(v for f, _, v, _ in rows if f == family)
                expected.append([f"``iorio_{family}``", "histogram", help_ + (f" ``{label}``: {values}." if label else "")])
        rows = re.findall(r'^B\((\w+), "([^"]*)"\)', text, re.M)
        self.assertEqual(len(rows), len(re.findall(r"^B\(", text, re.M)))
        expected += [[f"``iorio_{name}_total``", "counter", help_.replace("`", "``")] for name, help_ in rows]
        self.assertEqual(table("docs/operations.rst", "metric", "kind", "meaning"), expected)

    def test_exit_codes(self):
        """docs/operations.rst and rel/README.rst list every exit code."""
        codes = {name[5:]: str(code) for name, code in constants("src/app/app.h").items() if name.startswith("EXIT_")}
        rows = table("docs/operations.rst", "code", "name inside", "meaning")
        self.assertEqual({name: code for code, name, _ in rows}, codes)
        self.assertEqual({code for code, _ in table("rel/README.rst", "code", "meaning")}, set(codes.values()))

    def test_routes(self):
        """docs/api.rst has a heading for every route and for no other."""
        routes = re.findall(r'^R\((\w+),\s*"([^"]+)"', text_of("src/../proto/http/routes.def"), re.M)
        headings = re.findall(r"^((?:GET|POST|PUT|PATCH|DELETE|ANY) /\S+)\n~+$", text_of("docs/api.rst"), re.M)
        self.assertEqual(sorted(headings), sorted(f"{method} {path}" for method, path in routes))

    def test_configuration(self):
        """config/iorio.conf is what `iorio config --defaults` prints."""
        ended = iorio_verb("config", "--defaults")
        self.assertEqual(ended.returncode, 0, ended)
        self.assertEqual(text_of("config/iorio.conf"), ended.stdout)

    def test_verbs(self):
        """docs/operations.rst shows every verb of the program."""
        usage = iorio_verb("--help").stdout
        verbs = re.findall(r"^  (\w+)( --defaults)?  ", usage, re.M)
        shown = re.findall(r"^    iorio (\w+)", text_of("docs/operations.rst"), re.M)
        self.assertEqual(sorted(verb for verb, _ in verbs), sorted(shown))


class Constants(unittest.TestCase):
    def test_formats(self):
        """Every number beside a name in docs/formats.rst is that of the headers; no name is left out."""
        values = {}
        for path in ("src/store/record.h", "src/store/segment.h", "src/store/chunk.h", "src/base/limits.h",
                     "src/rt/disk.h"):
            values.update(constants(path))
        rows = [row for heads, rows in tables(text_of("docs/formats.rst")) if heads[0] == "value" for row in rows]
        documented = {bare(row[1]): int(row[0], 0) for row in rows}
        self.assertEqual(documented, {name: values.get(name) for name in documented})
        must = {n for n in constants("src/store/record.h")} | {n for n in constants("src/store/segment.h")}
        must |= {n for n in constants("src/store/chunk.h")}
        self.assertGreater(len(must), 25)
        self.assertEqual(must - set(documented), set())

    def test_hashes(self):
        """The hashes of docs/formats.rst are those that test/unit/base/test_hash.c pins, and the partitions follow."""
        pins = re.findall(r'\{"([^"]*)", "([^"]*)", (0x[0-9a-f]{16})\}', text_of("test/unit/base/test_hash.c"))
        pins = {(b.encode().decode("unicode_escape").encode("latin-1"), s.encode().decode("unicode_escape")
                 .encode("latin-1")): int(h, 0) for b, s, h in pins}
        rows = table("docs/formats.rst", "bucket", "stream", "hash", "partition of 64")
        checked = 0
        for bucket, stream, hash_, partition in rows:
            if not hash_.startswith("as"):
                value = int(bare(hash_), 0)
                self.assertEqual(pins.get((bare(bucket).encode(), bare(stream).encode())), value, bucket)
                self.assertEqual(int(partition), value % 64)
                checked += 1
        self.assertEqual(checked, 4)

    def test_version(self):
        """Format versions, page size and magic numbers are those of the sources."""
        rows = [row for heads, rows in tables(text_of("docs/formats.rst")) if heads[:3] == ["type", "value", "offset"]
                for row in rows]
        values = {row[3]: row[1] for row in rows}
        source = text_of("src/store/segment.c")
        self.assertEqual(int(values["format version"]), int(re.search(r"HEAD_VERSION = (\d+)", source)[1]))
        self.assertEqual(values["magic, ``IJBT``"], re.search(r"BATCH_MAGIC (0x[0-9a-f]+)u", source)[1])
        magic = re.search(r'HEAD_MAGIC "(\w+)"', source)[1]
        self.assertIn(f"``{magic}``", values)


def crc32c_table():
    out = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        out.append(byte)
    return out


CRC_TABLE = crc32c_table()


def crc32c(*parts):
    crc = 0xffffffff
    for part in parts:
        for byte in part:
            crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


class Wrong(AssertionError):
    pass


def need(good, what):
    if not good:
        raise Wrong(what)


class Reader:
    """A segment, read by docs/formats.rst. Everything that is not as it must be is a Wrong."""

    def __init__(self, data):
        self.data = data
        need(data[:8] == b"IORIOJNL", "magic of the segment")
        self.version, self.page, self.number, self.salt, self.size = struct.unpack_from("<IIQQQ", data, 8)
        self.node_id = data[40:56]
        need(struct.unpack_from("<II", data, 56) == (0, crc32c(data[:60])), "checksum of the segment head")
        need((self.version, self.page) == (1, 4096), "version and page size")
        self.salt_bytes = struct.pack("<Q", self.salt)

    def batch(self, at):
        """(number, kind, time, records, where the next batch begins); None where there is no head."""
        head = self.data[at:at + 64]
        if head[:4] != b"IJBT":
            return None
        crc, salt, number, length, count, kind, zero, body, t = struct.unpack_from("<IQQIIHHIQ", head, 4)
        need(salt == self.salt and crc == crc32c(self.salt_bytes, head[8:]), f"checksum of the batch at {at:#x}")
        need(zero == 0 and head[48:] == bytes(16), "zeros of the batch head")
        records, crcs, pos = [], b"", at + 64
        while pos < at + 64 + length:
            records.append(self.record(pos))
            crcs += self.data[pos + 4:pos + 8]
            pos += records[-1]["length"]
        need(pos == at + 64 + length and len(records) == count, "records do not fill the batch")
        need(body == crc32c(self.salt_bytes, crcs), "checksum over the records")
        end = -(-pos // 4096) * 4096
        need(self.data[pos:end] == bytes(end - pos), "padding of the batch")
        return number, kind, t, records, end

    def record(self, at):
        length, crc, kind, flags, group, term, index, t, count, zero = struct.unpack_from("<IIHHIQQQII", self.data, at)
        need(length % 8 == 0 and flags == 0 and zero == 0, f"record head at {at:#x}")
        items, covered, pos = [], [], at + 48
        while pos < at + length:
            item, heads, pos = self.item(pos)
            items.append(item)
            covered.append(heads)
        need(pos == at + length and len(items) == count, "items do not fill the record")
        need(crc == crc32c(*covered, self.data[at + 8:at + 48], self.data[at:at + 4]), "checksum of the record")
        return {"length": length, "kind": kind, "group": group, "term": term, "index": index, "t": t, "items": items}

    def item(self, at):
        op, flags, zero, attrs, size, crc, uid, seqnum, low = struct.unpack_from("<BBHIIIQQQ", self.data, at)
        need(zero == 0 and attrs % 4 == 0, f"item head at {at:#x}")
        attributes, pos, end = {}, at + 40, at + 40 + attrs
        while pos < end:
            type_, zero, value = struct.unpack_from("<HHI", self.data, pos)
            attributes[type_] = self.data[pos + 8:pos + 8 + value]
            pos += 8 + -(-value // 4) * 4
            need(zero == 0 and pos <= end, "attribute")
        payload = self.data[end:end + size]
        need(crc == crc32c(payload), "checksum of a payload")
        after = at + -(-(40 + attrs + size) // 8) * 8
        item = {"op": op, "flags": flags, "uid": uid, "seqnum": seqnum, "low": low, "attributes": attributes,
                "payload": payload}
        return item, self.data[at:end], after

    def batches(self):
        """All of them from page 1 on, their numbers in a row."""
        found, at = [], 4096
        while at < self.size:
            batch = self.batch(at)
            if batch is None:
                break
            need(not found or batch[0] == found[-1][0] + 1, "a batch number is missing")
            found.append(batch)
            at = batch[4]
        return found


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node({"journal.segment": "64KB", "workers": "1"}).start()
        with open(os.path.join(cls.node.data, "node.run"), encoding="ascii") as f:
            cls.run_text = f.read()
        for path, body, kind in (("orders/2024", b'{"n":1}', JSON), ("orders/2024-$patch", b"[]", JSON),
                                 ("orders/2024", b"\0\1\2", BINARY), ("$sys/metrics", b"1\n2\n3\n", NDJSON)):
            answer = cls.node.call("POST", f"/streams/{path}", body, kind)
            assert answer.status == 201, answer
        time.sleep(0.3 * SLOW)  # the MARK of an idle journal
        cls.node.stop()
        with open(os.path.join(cls.node.data, "journal", "0000000000000001.seg"), "rb") as f:
            cls.reader = Reader(f.read())
        cls.batches = cls.reader.batches()
        cls.records = [record for batch in cls.batches for record in batch[3]]

    def entries(self, group):
        return [r for r in self.records if r["group"] == group and r["kind"] == 1]

    def test_files(self):
        """identity, secret and node.run are as documented; nothing else is there but lock, journal, catalog."""
        text = text_of(os.path.join(self.node.data, "identity"))
        body, crc = re.fullmatch(r"(iorio data directory, format 1\nnode iorio@127\.0\.0\.1\nid [0-9a-f]{32}\n"
                                 r"ring_size 64\njournal yes\n)crc32c ([0-9a-f]{8})\n", text).groups()
        self.assertEqual(int(crc, 16), crc32c(body.encode()))
        self.assertIn(f"id {self.reader.node_id.hex()}\n", body)
        self.assertRegex(text_of(os.path.join(self.node.data, "secret")), r"\A[0-9a-f]{64}\Z")
        self.assertRegex(self.run_text, r"\Apid \d+\nhttp 127\.0\.0\.1:\d+\n\Z")
        self.assertEqual(sorted(os.listdir(self.node.data)),
                         ["catalog.mdb", "catalog.mdb-lock", "identity", "journal", "lock", "secret"])
        for name in os.listdir(os.path.join(self.node.data, "journal")):
            self.assertRegex(name, r"\A[0-9a-f]{16}\.seg\Z")

    def test_batches(self):
        """The journal of a real node reads as documented, from batch 1 to a MARK."""
        self.assertEqual((self.reader.number, self.reader.size), (1, 65536))
        self.assertEqual([b[0] for b in self.batches], list(range(1, len(self.batches) + 1)))
        self.assertEqual(self.batches[-1][1], 2)
        self.assertEqual([len(b[3]) for b in self.batches if b[1] == 2], [0] * sum(b[1] == 2 for b in self.batches))
        self.assertGreaterEqual(sum(b[1] == 1 for b in self.batches), 4)

    def test_logs(self):
        """In every group a VOTE with term 1 comes first, then indexes 1, 2, 3..."""
        groups = {r["group"] for r in self.records}
        self.assertEqual(groups, {0, 39 + 1, 51 + 1})
        for group in groups:
            mine = [r for r in self.records if r["group"] == group]
            vote = mine[0]
            self.assertEqual((vote["kind"], vote["index"], {r["term"] for r in mine}), (3, 0, {1}))
            self.assertEqual([(i["op"], i["attributes"], i["uid"]) for i in vote["items"]],
                             [(7, {10: b"iorio@127.0.0.1"}, 0)])
            self.assertEqual([r["index"] for r in mine[1:]], list(range(1, len(mine))))

    def test_events(self):
        """orders/2024 and its -$patch share the partition of docs/formats.rst; events are as documented."""
        items = [i for r in self.entries(40) for i in r["items"]]
        self.assertEqual([i["op"] for i in items], [1, 2, 1, 2, 2])
        first, event, patch, patched, binary_event = items
        self.assertEqual(first["attributes"], {1: b"orders", 2: b"2024"})
        self.assertEqual(patch["attributes"], {1: b"orders", 2: b"2024-$patch"})
        self.assertNotEqual(first["uid"], patch["uid"])
        self.assertEqual([(i["uid"], i["seqnum"], i["low"], i["flags"], i["payload"])
                          for i in (first, event, patched, binary_event)],
                         [(first["uid"], 0, 1, 0, b""), (first["uid"], 1, 1, 1, b'{"n":1}'),
                          (patch["uid"], 1, 1, 1, b"[]"), (first["uid"], 2, 1, 0, b"\0\1\2")])
        batch = self.entries(52)
        self.assertEqual([[i["payload"] for i in r["items"]] for r in batch], [[b"", b"1", b"2", b"3"]])
        self.assertEqual([i["seqnum"] for i in batch[0]["items"]], [0, 1, 2, 3])

    def test_facts(self):
        """The first start writes the facts of docs/formats.rst, in their order, in one record."""
        rows = [row for heads, rows in tables(text_of("docs/formats.rst")) if heads == ["key", "value"]
                for row in rows][-9:]
        facts = [(i["attributes"][9].decode().replace("\x1f", "|"), i["payload"].decode(), i["op"], i["flags"],
                  i["uid"]) for r in self.entries(0) for i in r["items"]]
        self.assertEqual(len(self.entries(0)), 1)
        self.assertEqual([f[0] for f in facts], [bare(key) for key, _ in rows])
        for (key, value), fact in zip(rows, facts):
            self.assertEqual(fact[2:], (5, 1, 0), key)
            shown = LITERAL.findall(value)
            if "hash" in value:
                self.assertRegex(fact[1], r'^\{"password":"\$argon2id\$v=19\$m=19456,t=2,p=1\$[^"]+",')
                self.assertTrue(fact[1].endswith(shown[0] + "}"), (fact[1], shown))
            elif shown:
                self.assertEqual(fact[1], shown[0])
            else:
                words = re.search(r"- ``perms`` holds(.*?)\.\s+Another", text_of("docs/formats.rst"), re.S)[1]
                self.assertEqual(re.findall(r'"(\w+)"', fact[1])[1:], LITERAL.findall(words))

    def test_dump(self):
        """The annotated dump at the end of docs/formats.rst is a journal, every checksum included."""
        section = text_of("docs/formats.rst").split("\nA journal, byte by byte\n")[1]
        data, at = bytearray(65536), None
        for line in section.split("\n"):
            found = re.fullmatch(r"    ([0-9a-f]{8})  ((?:[0-9a-f]{2} ?)+?)(?:  +\S.*)?", line)
            if not found:
                at = None
                continue
            start, part = int(found[1], 16), bytes.fromhex(found[2])
            self.assertIn(at, (None, start), line)
            data[start:start + len(part)] = part
            at = start + len(part)
        reader = Reader(bytes(data))
        number, kind, _, records, _ = reader.batch(0x3000)
        self.assertEqual((number, kind, [r["kind"] for r in records]), (3, 1, [3, 1]))
        self.assertEqual(records[1]["items"][1]["payload"], b'{"msg":"hi"}')
        self.assertEqual(reader.batch(0x4000)[:2], (4, 2))
        self.assertIn(f"id {reader.node_id.hex()}\n", text_of("docs/formats.rst"))

    def test_reader(self):
        """The reader of this test is strict: a changed byte that is under a checksum is found."""
        used = {at for at in range(0x1000, 0x1000 + 64 + 112 + 48)} | set(range(64))
        for at in sorted(used):
            changed = bytearray(self.reader.data[:0x4000])
            changed[at] ^= 1
            with self.subTest(at=hex(at)), self.assertRaises((Wrong, TypeError, struct.error, IndexError)):
                Reader(bytes(changed)).batch(0x1000)[0]

    def test_identity_example(self):
        """The identity shown in docs/formats.rst has the right checksum."""
        example = re.search(r"    (iorio data directory, format 1)\n    (node .*)\n    (id .*)\n    (ring_size .*)\n"
                            r"    (journal yes)\n    crc32c (\w{8})\n", text_of("docs/formats.rst"))
        self.assertEqual(crc32c("".join(f"{line}\n" for line in example.groups()[:5]).encode()), int(example[6], 16))
        self.assertEqual(crc32c(b"123456789"), 0xe3069283)


class Answers(unittest.TestCase):
    """The answers that docs/api.rst shows are those of a node: status, the headers shown, and the body."""

    @classmethod
    def setUpClass(cls):
        cls.node = Node().start()
        cls.text = text_of("docs/api.rst")

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()

    def shown(self, route, status):
        """(headers, body) of the answers with this status in the section of a route."""
        section = re.search(rf"\n{re.escape(route)}\n~+\n(.*?)(?=\n[^\n]+\n[~-]{{3,}}\n|\Z)", self.text, re.S)[1]
        blocks = re.findall(rf"\n    {status} [A-Z][^\n]*\n((?:    [A-Z][^\n]*\n)*)\n    (\S[^\n]*)\n", section)
        return [([line.strip().split(": ", 1) for line in head.splitlines()], body) for head, body in blocks]

    def check(self, shown, answer):
        headers, body = shown
        for name, value in headers:
            self.assertEqual(answer.get(name), value, (name, answer))
        pattern = re.sub(r"\d{13}", r"\\d{13}", re.escape(body))
        pattern = re.sub(r"eyJ\w+\\\.\\\.\\\.", r"[\\w.-]+", pattern)
        self.assertRegex(answer.body.decode(), f"^{pattern}$")

    def post(self, body, headers=(), kind=JSON):
        return self.node.call("POST", "/streams/public/hello", body, kind, list(headers))

    def test_answers(self):
        """Log in, append, conflict, memory, read, list: as shown."""
        login, = self.shown("POST /sessions", 201)
        self.check(login, self.node.call("POST", "/sessions", b'{"username":"admin","password":"secret"}', JSON,
                                         token=None))
        one, batch = self.shown("POST /streams/:b/:s", 201)
        conflict, = self.shown("POST /streams/:b/:s", 412)
        memory, = self.shown("POST /streams/:b/:s", 202)
        for n in range(1, 5):
            self.assertEqual(self.post(b"%d" % n).status, 201)
        answer = self.post(b"5", [("If-Match", '"3"')])
        self.assertEqual(answer.status, 412)
        self.check(conflict, answer)
        self.assertEqual([self.post(b"5").status, self.post(b"6").status], [201, 201])
        self.check(one, self.post(b'{"n":0}'))
        self.check(batch, self.post(b'{"n":1}\n{"n":2}\n', kind=NDJSON))
        read, = self.shown("GET /streams/:b/:s", 200)
        self.check(read, self.node.call("GET", "/streams/public/hello?limit=2"))
        answer = self.node.call("POST", "/streams/orders/x", b"1", JSON, [("Prefer", "durability=memory")])
        self.assertEqual(answer.status, 202)
        self.check(memory, answer)
        self.assertEqual(self.node.call("POST", "/streams/orders/x", b"1", JSON).status, 201)
        buckets, = self.shown("GET /buckets", 200)
        self.check(buckets, self.node.call("GET", "/buckets"))

    def test_metrics(self):
        """/metrics has exactly the metrics of docs/operations.rst."""
        named = {bare(row[0]) for row in table("docs/operations.rst", "metric", "kind", "meaning")}
        text = self.node.call("GET", "/metrics", token=None).body.decode()
        kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        shown = {re.split(r"[ {]", line)[0] for line in text.splitlines() if not line.startswith("#")}
        families = {name for name, kind in kinds.items() if kind == "histogram"}
        self.assertEqual({re.sub(r"_(bucket|sum|count)$", "", n) if re.sub(r"_(bucket|sum|count)$", "", n) in families else n
                          for n in shown}, named)


class Markup(unittest.TestCase):
    def test_headings(self):
        """The line under a heading is as long as the heading; no tabs, no spaces at the ends of lines."""
        for path in [n for n in tree() if n.endswith(".rst")]:
            lines = text_of(path).split("\n")
            for number, line in enumerate(lines):
                with self.subTest(document=path, line=number + 1):
                    self.assertEqual(line, line.rstrip().replace("\t", " "))
                    if number > 0 and re.fullmatch(r"([=~-])\1{3,}", line) and lines[number - 1].strip() and \
                            not re.fullmatch(r"[= ]+", lines[number - 1]):
                        self.assertEqual(len(line), len(lines[number - 1]), lines[number - 1])

    def test_rendering(self):
        """docutils, where it is installed, has nothing to say."""
        if subprocess.run([sys.executable, "-c", "import docutils"], capture_output=True, check=False).returncode != 0:
            self.skipTest("docutils is not installed")
        folder = temp_folder()
        for path in [n for n in tree() if n.endswith(".rst")]:
            done = subprocess.run([sys.executable, "-m", "docutils", "--halt=5", os.path.join(ROOT, path),
                                   os.path.join(folder, "out.html")], capture_output=True, text=True, check=False,
                                  env=clean_env())
            with self.subTest(document=path):
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
