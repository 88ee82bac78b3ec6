#!/usr/bin/env python3
"""test/integration/57_data_directory.py - a data directory that is not this node's, not whole, of
another version, without rights or in use: a sentence that names the file, and a documented exit code;
nothing is changed, and with the right files back the node starts."""

import os
import shutil
import struct
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.node import START_S, Node, binary, clean_env, iorio_verb, wait_until  # noqa: E402
from lib.wire import SLOW  # noqa: E402

DAMAGED, DISK_ERROR, IN_USE, FOREIGN, NO_RIGHTS = 65, 74, 75, 76, 77
NOBODY = 65534
SEGMENT = "journal/0000000000000001.seg"


class DataDirectory(unittest.TestCase):
    CONF = {"journal.segment": "64KB", "journal.max_bytes": "256KB", "memory.tail": "1MB", "chunk.min_bytes": "1KB"}

    def setUp(self):
        self.node = Node(self.CONF)
        self.node.start()
        with self.node.client() as client:
            for n in range(8):
                client.post("b", "s", b'"%d"' % n)

    def tearDown(self):
        if self.node.running():
            self.node.kill9()

    def stop(self):
        self.node.stop()
        self.kept = os.path.join(self.node.folder, "kept")
        shutil.copytree(self.node.data, self.kept)

    def path(self, name):
        return os.path.join(self.node.data, name)

    def change(self, name, offset, data):
        with open(self.path(name), "r+b") as f:
            f.seek(offset)
            f.write(data)

    def content(self):
        """Every byte of the directory, but for what any start may touch."""
        found = {}
        for folder, _, names in os.walk(self.node.data):
            for name in names:
                if name.startswith(("catalog.mdb", "lock", "node.run")):
                    continue
                with open(os.path.join(folder, name), "rb") as f:
                    found[os.path.relpath(os.path.join(folder, name), self.node.data)] = f.read()
        return found

    def refused(self, code, *words):
        """A start ends with this code and a sentence; twice the same; then the copy is put back."""
        before = self.content()
        for _ in range(2):
            ended = iorio_verb("console", "--conf", self.node.conf_file)
            self.assertEqual(ended.returncode, code, ended)
            for word in words:
                self.assertIn(word, ended.stderr)
        self.assertEqual(self.content(), before)
        shutil.rmtree(self.node.data)
        shutil.copytree(self.kept, self.node.data)

    def sound(self):
        self.node.start()
        with self.node.client() as client:
            self.assertEqual([e["data"] for e in client.get("b", "s", limit=100)], [str(n) for n in range(8)])
        self.node.stop()

    def save_all(self):
        """Until a checkpoint has been made and the first segments are gone."""
        def done():
            for _ in range(20):
                self.node.call("POST", "/streams/b/fill", b"x" * 20000, "application/octet-stream")
            return not os.path.exists(self.path(SEGMENT))
        wait_until("a checkpoint", done, START_S * SLOW, 0.05)

    # --- whose is it ---

    def test_other_versions(self):
        """identity, a segment or the catalog of another format version: 76, with file and both versions."""
        self.stop()
        with open(self.path("identity"), encoding="ascii") as f:
            text = f.read()
        with open(self.path("identity"), "w", encoding="ascii") as f:
            f.write(text.replace("format 1", "format 2"))
        self.refused(FOREIGN, "identity", "format 2", "format 1")
        self.change("catalog.mdb", 20, struct.pack("<I", 999))
        self.change("catalog.mdb", 4096 + 20, struct.pack("<I", 999))
        self.refused(FOREIGN, "catalog.mdb")
        self.sound()

    def test_segment_of_another_node(self):
        """A segment of another node among ours: 76, and the file is named."""
        other = Node(self.CONF)
        other.start()
        other.stop()
        self.stop()
        shutil.copy(os.path.join(other.data, SEGMENT), self.path(SEGMENT))
        self.refused(FOREIGN, SEGMENT, "another node")
        self.sound()

    def test_identity_of_another_node(self):
        """The identity of another node of the same name: its segments are not ours."""
        other = Node(self.CONF)
        other.start()
        other.stop()
        self.stop()
        shutil.copy(os.path.join(other.data, "identity"), self.path("identity"))
        self.refused(FOREIGN, "journal/", "another node")
        self.sound()

    # --- is it whole ---

    def test_no_identity(self):
        """A journal without an identity is damage, not a new node."""
        self.stop()
        os.unlink(self.path("identity"))
        self.refused(DAMAGED, "identity")
        self.sound()

    def test_no_journal(self):
        """A directory without its journal, or with an empty one, is not a new node."""
        self.stop()
        shutil.rmtree(self.path("journal"))
        self.refused(DAMAGED, SEGMENT, "missing")
        os.unlink(self.path(SEGMENT))
        self.refused(DAMAGED, SEGMENT, "missing")
        self.sound()

    def test_spoilt_catalogs(self):
        """A catalog that is garbage, empty, cut or zeros: 65 with its name, and it stays what it is."""
        self.stop()
        size = os.path.getsize(self.path("catalog.mdb"))
        for data in (b"garbage" * 10000, b"", b"\0" * size):
            with open(self.path("catalog.mdb"), "wb") as f:
                f.write(data)
            self.refused(DAMAGED, "catalog.mdb")
        with open(self.path("catalog.mdb"), "r+b") as f:
            f.truncate(size - 4096 if size > 16384 else 4096)
        self.refused(DAMAGED, "catalog.mdb")
        self.sound()

    def test_no_catalog(self):
        """Without its catalog a node whose journal was released does not start as if it were new."""
        self.save_all()
        self.stop()
        os.unlink(self.path("catalog.mdb"))
        self.refused(DAMAGED, "catalog.mdb", "missing")

    # --- may we ---

    def as_nobody(self):
        """console, as a user without rights."""
        os.chmod(self.node.folder, 0o755)
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        program = shutil.copy(binary(), self.node.folder)
        return subprocess.run([program, "console", "--conf", self.node.conf_file], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=START_S, check=False, env=clean_env(), cwd="/",
                              **who)

    def test_no_rights(self):
        """A directory, and then a file, that may not be used: 77 with its name; nothing is changed."""
        self.stop()
        if os.geteuid() != 0:
            os.chmod(self.node.data, 0)
        ended = self.as_nobody()
        os.chmod(self.node.data, 0o700)
        self.assertEqual(ended.returncode, NO_RIGHTS, ended)
        self.assertIn(self.node.data, ended.stderr)
        if os.geteuid() != 0:
            return
        for name in ("identity", "catalog.mdb", SEGMENT):
            with self.subTest(name=name):
                for folder, _, names in os.walk(self.node.data):
                    for entry in [folder] + [os.path.join(folder, n) for n in names]:
                        os.chown(entry, NOBODY, NOBODY)
                os.chown(self.path(name), 0, 0)
                ended = self.as_nobody()
                self.assertEqual(ended.returncode, NO_RIGHTS, ended)
                self.assertIn(name, ended.stderr)

    def test_in_use(self):
        """A directory that a node uses: 75, and that node does not notice."""
        ended = iorio_verb("console", "--conf", self.node.conf_file)
        self.assertEqual(ended.returncode, IN_USE, ended)
        self.assertIn(self.node.data, ended.stderr)
        self.assertEqual(self.node.call("GET", "/readyz", token=None).status, 200)
        self.stop()
        self.sound()

    def test_a_file_in_its_place(self):
        """paths.data that is a file, or lies below one, is an error with the path."""
        self.stop()
        path = os.path.join(self.node.folder, "file")
        with open(path, "wb"):
            pass
        for data in (path, os.path.join(path, "below")):
            self.node.conf["paths.data"] = data
            self.node.write_conf()
            ended = iorio_verb("console", "--conf", self.node.conf_file)
            self.assertIn(ended.returncode, (DISK_ERROR, NO_RIGHTS), ended)
            self.assertIn(data, ended.stderr)


if __name__ == "__main__":
    unittest.main()
