"""test/power/disk.py - the log of the shim (see shim.c), and what a disk may hold after it.

read_log() gives the records. Disk takes them one by one and keeps, for every file, what is
durable and what is pending:
  sector    512 bytes, old or new: any content that the cache held for it since the last sync
            that covers it, whatever happens to its neighbours
  size      any size that the file had since then, whatever happens to its sectors
  name      a create, mkdir, link, rename, unlink in a folder happened or not, each by itself,
            until the folder is synced; a rename is one step, sure when the folder of the NEW
            name is synced
A sync covers what was logged before it was CALLED. A sync of a file says nothing about its name.
Disk.build(choice) gives the files that one choice of all that is pending leaves behind.

Everything is deterministic: the same log and the same choice give the same bytes."""

import hashlib
import os
import stat
import urllib.parse

SECTOR = 512
ZERO = bytes(SECTOR)
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16
MARKS = ("post", "ack", "seen", "note")


class Bad(Exception):
    """The log says something that this model cannot follow."""


class Record:
    __slots__ = ("place", "kind", "args", "data")

    def __init__(self, place, kind, args, data):
        self.place, self.kind, self.args, self.data = place, kind, args, data


def decode(name):
    return urllib.parse.unquote(name, errors="surrogateescape")


def read_log(path):
    """All records, in order."""
    with open(path, "rb") as f:
        raw = f.read()
    records, at = [], 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        words = raw[at:end].decode("utf-8", "surrogateescape").split(" ")
        place, at, data = at, end + 1, b""
        if words[0] == "write":
            size = int(words[3])
            data = raw[at:at + size]
            if len(data) != size or raw[at + size:at + size + 1] != b"\n":
                raise Bad("record at %d of %s is cut" % (place, path))
            at += size + 1
        records.append(Record(place, words[0], words[1:], data))
    return records


def encode(name):
    """As the shim does it."""
    raw = name.encode("utf-8", "surrogateescape")
    return "".join("%%%02X" % c if c <= 0x20 or c in (0x25, 0x7F) else chr(c) for c in raw).encode("latin-1")


def describe(root):
    """Records that make a folder as it is, all of it durable: the beginning of a log that goes on from there."""
    out = [b"start 0 %d\n" % os.stat(root).st_ino]
    made = set()
    for folder, folders, files in os.walk(root):
        for name in sorted(folders) + sorted(files):
            full = os.path.join(folder, name)
            st, path = os.lstat(full), encode(os.path.relpath(full, root))
            if stat.S_ISLNK(st.st_mode):
                out.append(b"symlink %d %s %s\n" % (st.st_ino, path, encode(os.readlink(full))))
            elif stat.S_ISDIR(st.st_mode):
                out.append(b"mkdir %d %o %s\n" % (st.st_ino, st.st_mode & 0o7777, path))
            elif stat.S_ISREG(st.st_mode) and st.st_ino in made:
                out.append(b"link %d %s\n" % (st.st_ino, path))
            elif stat.S_ISREG(st.st_mode):
                made.add(st.st_ino)
                out.append(b"create %d %o %s\n" % (st.st_ino, st.st_mode & 0o7777, path))
                with open(full, "rb") as f:
                    content = f.read()
                if content:
                    out.append(b"write %d 0 %d\n%s\n" % (st.st_ino, len(content), content))
    raw = b"".join(out)
    return raw + b"syncfs %d\n" % len(raw)


class File:
    """One inode that holds bytes. disk: durable sectors; cache: the newest ones."""

    def __init__(self, number, mode):
        self.number, self.mode = number, mode
        self.disk, self.cache = {}, {}   # sector number -> 512 bytes, missing: zeros
        self.disk_size = self.size = 0
        self.pending = {}                # sector number -> [(place, 512 bytes), ...] since the sync
        self.sizes = []                  # [(place, size), ...] since the sync
        self.epoch = 0                   # counts changes of disk and disk_size
        self.base = (-1, b"")
        self.last = []                   # sectors of the last write

    def put(self, place, number, content):
        if content == self.cache.get(number, ZERO):
            return
        self.cache[number] = content
        self.pending.setdefault(number, []).append((place, content))

    def resize(self, place, size):
        if size < self.size:
            for number in [n for n in self.cache if n * SECTOR >= size]:
                self.put(place, number, ZERO)
            keep, number = size % SECTOR, size // SECTOR
            if keep and number in self.cache:
                self.put(place, number, self.cache[number][:keep] + bytes(SECTOR - keep))
        if size != self.size:
            self.size = size
            self.sizes.append((place, size))

    def write(self, place, offset, data):
        first, last = offset // SECTOR, (offset + len(data) - 1) // SECTOR
        for number in range(first, last + 1):
            start = number * SECTOR
            old = self.cache.get(number, ZERO)
            left = max(offset - start, 0)
            right = min(offset + len(data) - start, SECTOR)
            self.put(place, number, old[:left] + data[start + left - offset:start + right - offset] + old[right:])
        self.last = list(range(first, last + 1))
        if offset + len(data) > self.size:
            self.resize(place, offset + len(data))

    def zero(self, place, offset, size):
        while size > 0:
            n = min(size, 1 << 20)
            self.write_inside(place, offset, bytes(n))
            offset, size = offset + n, size - n

    def write_inside(self, place, offset, data):
        size = self.size
        data = data[:max(size - offset, 0)]
        if data:
            self.write(place, offset, data)

    def sync(self, place, only=None):
        """What was logged before `place` is durable now; only: just those sectors."""
        for number in list(self.pending if only is None else set(only) & set(self.pending)):
            versions = self.pending[number]
            covered = [v for v in versions if v[0] < place]
            if covered:
                self.disk[number] = covered[-1][1]
                self.epoch += 1
                left = versions[len(covered):]
                if left:
                    self.pending[number] = left
                else:
                    del self.pending[number]
        covered = [s for s in self.sizes if s[0] < place]
        if covered:
            self.disk_size = covered[-1][1]
            self.sizes = self.sizes[len(covered):]
            self.epoch += 1

    def content(self, choice, size):
        """choice: {sector: index of the pending version}; a sector not in it is the durable one."""
        if self.base[0] != self.epoch:
            count = max([n + 1 for n in self.disk], default=0)
            self.base = (self.epoch, b"".join(self.disk.get(n, ZERO) for n in range(count)))
        raw = bytearray(self.base[1])
        if len(raw) < size:
            raw += bytes(size - len(raw))
        for number, version in choice.items():
            at = number * SECTOR
            if at < size:
                if len(raw) < at + SECTOR:
                    raw += bytes(at + SECTOR - len(raw))
                raw[at:at + SECTOR] = self.pending[number][version][1]
        return bytes(raw[:size])


class Link:
    """An inode without bytes of its own: a folder, or a symbolic link."""

    def __init__(self, number, mode, target=None):
        self.number, self.mode, self.target = number, mode, target


class NameChange:
    """One step on names: [(folder, name, inode or None), ...]; sure when `folder` is synced."""
    __slots__ = ("place", "sets", "folder")

    def __init__(self, place, sets, folder):
        self.place, self.sets, self.folder = place, sets, folder


class Choice:
    """Which of the pending things reached the disk. Missing: the old one."""

    def __init__(self):
        self.sectors = {}   # inode number in the model -> {sector: version}
        self.sizes = {}     # inode number in the model -> index into File.sizes
        self.names = set()  # indices into Disk.changes


class Tree:
    """Files that a choice leaves: folders, {path: (inode, bytes, mode)}, links."""

    def __init__(self):
        self.folders, self.files, self.links = [], {}, {}

    def digest(self):
        h = hashlib.blake2b(digest_size=16)
        for path in sorted(self.folders):
            h.update(b"d" + path.encode("utf-8", "surrogateescape") + b"\0")
        for path in sorted(self.links):
            h.update(b"l%s\0%s\0" % (path.encode("utf-8", "surrogateescape"), self.links[path].encode()))
        for path in sorted(self.files):
            content = self.files[path][1]
            h.update(b"f%s\0%d\0" % (path.encode("utf-8", "surrogateescape"), len(content)) + content)
        return h.hexdigest()

    def write(self, where):
        os.makedirs(where)
        for path in self.folders:  # parents come first
            os.mkdir(os.path.join(where, path), 0o700)
        made = {}
        for path, (number, content, mode) in self.files.items():
            full = os.path.join(where, path)
            if number in made:
                os.link(made[number], full)
                continue
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            try:
                at = 0
                while at < len(content):
                    at += os.write(fd, memoryview(content)[at:])
            finally:
                os.close(fd)
            made[number] = full
        for path, target in self.links.items():
            os.symlink(target, os.path.join(where, path))


class Disk:
    """The model. Inodes have numbers of our own: the system uses its numbers again."""

    def __init__(self):
        self.inodes = {0: Link(0, 0o700)}
        self.known = {}        # st_ino -> number here
        self.names = {}        # (folder, name) -> inode, durable
        self.cache = {}        # the same, newest
        self.changes = []      # pending NameChanges, in order
        self.unseen = []       # ["mmap 123", ...]
        self.last_file = None

    def add(self, ino, inode):
        inode.number = len(self.inodes)
        self.inodes[inode.number] = inode
        self.known[ino] = inode.number
        return inode.number

    def where(self, path):
        """(folder, name) of an encoded path, by the newest names."""
        parts = decode(path).split("/")
        folder = 0
        for part in parts[:-1]:
            folder = self.cache.get((folder, part))
            if folder is None:
                raise Bad("no folder for %s" % path)
        return folder, parts[-1]

    def change(self, place, sets, folder):
        self.changes.append(NameChange(place, sets, folder))
        for at, name, inode in sets:
            self.set_name(self.cache, at, name, inode)

    @staticmethod
    def set_name(names, folder, name, inode):
        if inode is None:
            names.pop((folder, name), None)
        else:
            names[(folder, name)] = inode

    def settle(self):
        """Changes that are sure and have no pending one before them move into self.names."""
        done = 0
        for c in self.changes:
            if c.folder is not None:
                break
            for at, name, inode in c.sets:
                self.set_name(self.names, at, name, inode)
            done += 1
        if done:
            del self.changes[:done]

    def sync_names(self, folder, place):
        for c in self.changes:
            if c.place < place and (folder is None or c.folder == folder):
                c.folder = None  # sure
        self.settle()

    def file(self, ino):
        inode = self.inodes.get(self.known.get(int(ino)))
        if not isinstance(inode, File):
            raise Bad("inode %s was never created" % ino)
        return inode

    def apply(self, r):
        """One record. Marks of the driver are not for us."""
        if r.kind in MARKS or r.kind == "range":
            return
        handler = getattr(self, "do_" + r.kind, None)
        if handler is None:
            raise Bad("unknown record %s" % r.kind)
        handler(r, *r.args)

    def do_start(self, r, pid, ino):
        self.known[int(ino)] = 0

    def do_unseen(self, r, what, path):
        self.unseen.append("%s %s" % (what, path))

    def new(self, r, path, inode, ino):
        number = self.add(int(ino), inode)
        if path != "-":
            folder, name = self.where(path)
            self.change(r.place, [(folder, name, number)], folder)

    def do_create(self, r, ino, mode, path):
        self.new(r, path, File(0, int(mode, 8)), ino)

    def do_mkdir(self, r, ino, mode, path):
        self.new(r, path, Link(0, int(mode, 8)), ino)

    def do_symlink(self, r, ino, path, target):
        self.new(r, path, Link(0, 0o777, decode(target)), ino)

    def do_link(self, r, ino, path):
        folder, name = self.where(path)
        self.change(r.place, [(folder, name, self.file(ino).number)], folder)

    def do_unlink(self, r, ino, path):
        folder, name = self.where(path)
        if (folder, name) in self.cache:  # a socket was never created here
            self.change(r.place, [(folder, name, None)], folder)

    do_rmdir = do_unlink

    def do_rename(self, r, ino, old, new):
        a, b = self.where(old), self.where(new)
        inode = self.cache.get(a)
        if inode is None:
            raise Bad("rename of unknown %s" % old)
        if self.cache.get(b) != inode:  # two names of one file: nothing happens
            self.change(r.place, [(a[0], a[1], None), (b[0], b[1], inode)], b[0])

    def do_exchange(self, r, ino, old, new):
        a, b = self.where(old), self.where(new)
        self.change(r.place, [(*a, self.cache[b]), (*b, self.cache[a])], b[0])

    def do_write(self, r, ino, offset, size):
        f = self.file(ino)
        f.write(r.place, int(offset), r.data)
        self.last_file = f

    def do_wsync(self, r, ino):
        f = self.file(ino)
        f.sync(r.place, f.last)

    def do_trunc(self, r, ino, size):
        self.file(ino).resize(r.place, int(size))

    def do_chmod(self, r, ino, mode):
        inode = self.inodes.get(self.known.get(int(ino)))
        if inode is not None:
            inode.mode = int(mode, 8)

    def do_falloc(self, r, ino, mode, offset, size):
        f, mode, offset, size = self.file(ino), int(mode), int(offset), int(size)
        if mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE):
            raise Bad("fallocate mode %d" % mode)
        if not mode & FALLOC_KEEP_SIZE and offset + size > f.size:
            f.resize(r.place, offset + size)
        if mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE):
            f.zero(r.place, offset, size)

    def do_sync(self, r, ino, place, how):
        number = self.known.get(int(ino))
        if number is None:
            raise Bad("sync of unknown inode %s" % ino)
        if isinstance(self.inodes[number], File):
            self.inodes[number].sync(int(place))
        else:
            self.sync_names(number, int(place))

    def do_syncfs(self, r, place):
        for inode in self.inodes.values():
            if isinstance(inode, File):
                inode.sync(int(place))
        self.sync_names(None, int(place))

    # ---- what may be on the disk now ----

    def pending_files(self):
        return [f for f in self.inodes.values() if isinstance(f, File) and (f.pending or f.sizes)]

    def pending_names(self):
        return [i for i, c in enumerate(self.changes) if c.folder is not None]

    def newest(self):
        """The choice that loses nothing."""
        choice = Choice()
        for f in self.pending_files():
            choice.sectors[f.number] = {n: len(v) - 1 for n, v in f.pending.items()}
            choice.sizes[f.number] = len(f.sizes) - 1
        choice.names = set(self.pending_names())
        return choice

    def build(self, choice):
        names = dict(self.names)
        for i, c in enumerate(self.changes):
            if c.folder is None or i in choice.names:
                for at, name, inode in c.sets:
                    self.set_name(names, at, name, inode)
        children = {}
        for (folder, name), inode in names.items():
            children.setdefault(folder, []).append((name, inode))
        tree, todo = Tree(), [(0, "")]
        while todo:
            folder, prefix = todo.pop(0)
            for name, number in sorted(children.get(folder, [])):
                inode, path = self.inodes[number], prefix + name
                if isinstance(inode, File):
                    index = choice.sizes.get(number, -1)
                    size = inode.sizes[index][1] if index >= 0 else inode.disk_size
                    tree.files[path] = (number, inode.content(choice.sectors.get(number, {}), size), inode.mode)
                elif inode.target is not None:
                    tree.links[path] = inode.target
                else:
                    tree.folders.append(path)
                    todo.append((number, path + "/"))
        return tree


def compare(tree, root, skip):
    """What is different between a Tree and a real folder: a list of sentences. skip: inode numbers of
    the model whose content nobody can know (a shared mapping); so is LMDB's table of readers (shim.c)."""
    bad, seen = [], set()
    for folder, _, files in os.walk(root):
        rel = os.path.relpath(folder, root)
        if rel != "." and rel not in tree.folders:
            bad.append("folder %s is not in the log" % rel)
        for name in files:
            full = os.path.join(folder, name)
            path = name if rel == "." else os.path.join(rel, name)
            if os.path.islink(full) or not os.path.isfile(full):
                continue  # links are checked by nobody, sockets are no files
            seen.add(path)
            with open(full, "rb") as f:
                real = f.read()
            if path not in tree.files:
                bad.append("file %s is not in the log" % path)
            elif tree.files[path][0] not in skip and not path.endswith("-lock") and tree.files[path][1] != real:
                bad.append("file %s differs from the log (%d and %d bytes)" % (path, len(real), len(tree.files[path][1])))
    bad += ["file %s of the log is not there" % p for p in tree.files if p not in seen]
    bad += ["folder %s of the log is not there" % p for p in tree.folders if not os.path.isdir(os.path.join(root, p))]
    return bad
