"""test/integration/lib/pages.py - the pages of a catalog's LMDB file, to be spoilt by tests: where its trees, the
free list and its fields lie. It trusts the file."""

import struct

PAGE = 4096
HEAD, NODE = 16, 8
META_FREE, META_MAIN, META_LAST, META_TXN = 40, 88, 136, 144
ROOT = 40  # in a table's record of 48 bytes
BRANCH, LEAF, OVERFLOW = 1, 2, 4


class Catalog:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.data = f.read(8 << 20)

    def get(self, offset, size):
        with open(self.path, "rb") as f:
            f.seek(offset)
            return f.read(size)

    def put(self, offset, value):
        with open(self.path, "r+b") as f:
            f.seek(offset)
            f.write(value)

    def u64(self, offset):
        return struct.unpack_from("<Q", self.data, offset)[0]

    def meta(self):
        """Where the meta page lies that counts."""
        return 0 if self.u64(META_TXN) > self.u64(PAGE + META_TXN) else PAGE

    def is_leaf(self, page):
        return self.data[page * PAGE + 10] == LEAF

    def nodes(self, page):
        """(offset, flags, key, data offset, data size) of each; of a branch page data size is the child's number."""
        at = page * PAGE
        flags, lower = struct.unpack_from("<HH", self.data, at + 10)
        for i in range((lower - HEAD) // 2):
            node = at + struct.unpack_from("<H", self.data, at + HEAD + 2 * i)[0]
            low, node_flags, key_size = struct.unpack_from("<IHH", self.data, node)
            key = self.data[node + NODE:node + NODE + key_size]
            if flags == BRANCH:
                yield node, 0, key, None, low | node_flags << 32
            else:
                yield node, node_flags, key, node + NODE + key_size, low

    def tables(self):
        """Name -> where its record lies; the free list and the main tree as "free" and "main"."""
        found = {"free": self.meta() + META_FREE, "main": self.meta() + META_MAIN}
        for page in self.used_pages("main", found):
            if self.is_leaf(page):
                for _, flags, key, data, _ in self.nodes(page):
                    if flags == 2:
                        found[key.decode()] = data
        return found

    def root_at(self, name, meta=None):
        """Where the number of a tree's root lies."""
        if meta is not None:
            return meta * PAGE + {"free": META_FREE, "main": META_MAIN}[name] + ROOT
        return self.tables()[name] + ROOT

    def used_pages(self, name, tables=None):
        """Branch and leaf pages of a tree, the root first."""
        todo = [self.u64((tables or self.tables())[name] + ROOT)]
        found = []
        while todo:
            page = todo.pop()
            if page == 2**64 - 1:
                continue
            found.append(page)
            if self.data[page * PAGE + 10] == BRANCH:
                todo += [child for *_, child in self.nodes(page)]
        return found

    def free_numbers(self):
        """Where the page numbers of the free list lie."""
        found = []
        for page in self.used_pages("free"):
            if not self.is_leaf(page):
                continue
            for _, flags, _, data, _ in self.nodes(page):
                if flags == 1:
                    data = self.u64(data) * PAGE + HEAD
                found += [data + 8 + 8 * i for i in range(self.u64(data))]
        return found

    def structure(self):
        """Every byte that LMDB goes by: meta pages, heads of pages, where nodes begin, their heads, the records of
        tables, the free list."""
        places = set()
        for meta in (0, PAGE):
            places.update(range(meta, meta + META_TXN + 8))
        tables = self.tables()
        for name, record in tables.items():
            places.update(range(record, record + ROOT + 8))
            for page in self.used_pages(name, tables):
                at = page * PAGE
                lower = struct.unpack_from("<H", self.data, at + 12)[0]
                places.update(range(at, at + lower))
                for node, flags, key, data, _ in self.nodes(page):
                    places.update(range(node, node + NODE))
                    if flags == 1:
                        places.update(range(data, data + 8))
                        over = self.u64(data) * PAGE
                        places.update(range(over, over + HEAD))
                    if name == "free":
                        places.update(range(node + NODE, node + NODE + len(key)))
        for offset in self.free_numbers():
            places.update(range(offset - 8, offset + 8))
        return sorted(places)
