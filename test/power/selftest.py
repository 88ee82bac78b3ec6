#!/usr/bin/env python3
"""test/power/selftest.py - does the power test find what it is for?

calls  every call that the shim knows, in every variant, from threads and a forked child; then the log,
       replayed, must give the folder as it is, and the syncs must be tied to the right place
toys   the toy node (toy.py) keeps its word: no violation; with each of its bugs: some

Needs the shim only: POWER_SHIM, or --build as in run.py. Exit 0 fine, 1 not."""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import check
import choices
import disk

HERE = os.path.dirname(os.path.abspath(__file__))
BUGS = ("no-fsync", "no-dirsync", "ack-early", "no-crc", "split", "rename", "no-resync")
O_TMPFILE = 0o20200000
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW = -100, 0x1000, 0x400


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]


def calls(root):
    """Runs under the shim, POWER_DIR = root: each function by its name in libc, as a C program would call it."""
    c = ctypes.CDLL(None, use_errno=True)
    long, size = ctypes.c_int64, ctypes.c_size_t

    def do(name, *args):
        f = getattr(c, name)
        f.restype = ctypes.c_void_p if name.startswith(("fopen", "mmap")) else long
        got = f(*args)
        if got is None or (f.restype is long and got < 0 and got > -200):
            raise OSError(ctypes.get_errno(), name)
        return got

    def path(name):
        return (root + "/" + name).encode()

    def number(value):
        return long(value)

    def iov(*parts):
        return (Iovec * len(parts))(*[Iovec(p, len(p)) for p in parts]), len(parts)

    rw = os.O_RDWR | os.O_CREAT
    for i, name in enumerate(("open", "open64")):
        fd = do(name, path("o%d" % i), rw, 0o600)
        do("write", fd, b"hello world", size(11))
        do("pwrite" if i else "pwrite64", fd, b"HELLO", size(5), number(3))
        do("writev", fd, *iov(b"more", b" and more"))
        do("pwritev" if i else "pwritev64", fd, *iov(b"x" * 600, b"y" * 700), number(1000))
        do("pwritev2" if i else "pwritev64v2", fd, *iov(b"z"), number(5000), 0)
        do("pwritev2", fd, *iov(b"dsync"), number(6000), 2)  # RWF_DSYNC
        do("fsync" if i else "fdatasync", fd)
        do("ftruncate" if i else "ftruncate64", fd, number(5500))
        do("fallocate" if i else "fallocate64", fd, 0, number(0), number(9000))
        do("posix_fallocate" if i else "posix_fallocate64", fd, number(8000), number(4000))
        do("fallocate", fd, 3, number(1024), number(100))  # punch a hole
        do("sync_file_range", fd, number(0), number(0), 7)
        do("dprintf", fd, b"%s-%d", b"formatted", 42)
        do("syscall", number(296), number(fd), ctypes.byref(iov(b"raw")[0]), number(1), number(20), number(0))  # pwritev
        do("close", fd)
        do("truncate" if i else "truncate64", path("o%d" % i), number(11000))
    fd = do("open", path("append"), rw | os.O_APPEND, 0o644)
    for part in (b"one", b"two", b"three"):
        do("write", fd, part, size(len(part)))
    do("pwrite", fd, b"at the end all the same", size(23), number(0))
    do("close", fd)
    fd = do("open64", path("sync"), rw | os.O_DSYNC | os.O_TRUNC, 0o644)
    do("write", fd, b"s" * 1000, size(1000))
    do("close", fd)
    do("close", do("creat", path("created"), 0o640))
    do("close", do("open", path("append"), os.O_WRONLY | os.O_TRUNC))
    template = ctypes.create_string_buffer(path("tmpXXXXXX"))
    fd = do("mkstemp", template)
    do("write", fd, b"temporary", size(9))
    do("close", fd)
    f = do("fopen", path("stream"), b"we")
    do("fputs", b"some text\n", ctypes.c_void_p(f))
    do("fflush", ctypes.c_void_p(f))
    do("fputs", b"and more of it\n", ctypes.c_void_p(f))
    do("fclose", ctypes.c_void_p(f))
    names(do, path, root, size)


def names(do, path, root, size):
    do("mkdir", path("d 1%"), 0o755)
    top = do("open", root.encode(), os.O_RDONLY | os.O_DIRECTORY)
    do("mkdirat", top, b"d2", 0o700)
    fd = do("openat", top, b"d2/file", os.O_RDWR | os.O_CREAT, 0o600)
    do("openat64", top, b"d2/../d2/./other", os.O_RDWR | os.O_CREAT, 0o600)
    do("write", fd, b"d" * 700, size(700))
    do("rename", path("o0"), path("d2/o0"))
    do("renameat", top, b"d2/file", top, b"d 1%/new\nname")
    do("write", fd, b"still the same file", size(19))
    do("renameat2", top, b"o1", top, b"sync", 2)  # exchange
    do("link", path("sync"), path("hard"))
    do("linkat", top, b"sync", top, b"hard2", 0)
    do("symlink", b"some where", path("sym"))
    temp = do("open", path("d2"), O_TMPFILE | os.O_RDWR, 0o600)
    do("write", temp, b"nameless", size(8))
    do("linkat", AT_FDCWD, b"/proc/self/fd/%d" % temp, top, b"named", AT_SYMLINK_FOLLOW)
    do("unlink", path("created"))
    do("unlinkat", top, b"hard", 0)
    do("mkdir", path("gone"), 0o700)
    do("rmdir", path("gone"))
    do("mkdir", path("gone2"), 0o700)
    do("remove", path("gone2"))
    do("fchmod", fd, 0o640)
    do("chmod", path("hard2"), 0o604)
    do("fsync", top)
    do("syncfs", top)
    copy = os.dup(fd)
    do("write", copy, b"through a copy", size(14))
    crowd(do, path, size)


def crowd(do, path, size):
    """Threads and a child that write into one file, each into its own part."""
    fd = do("open", path("crowd"), os.O_RDWR | os.O_CREAT, 0o600)

    def work(k):
        for i in range(50):
            do("pwrite64", fd, b"%d" % k * 100, size(100), ctypes.c_int64((k * 50 + i) * 100))
            if i % 10 == 0:
                do("fdatasync", fd)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    pid = os.fork()
    if pid == 0:
        try:
            work(5)
        finally:
            os._exit(0)
    for t in threads:
        t.join()
    os.waitpid(pid, 0)


def shim_calls(shim, work):
    """The log of calls() is complete; a sync covers what was before it, and no more."""
    root, log = os.path.join(work, "calls"), os.path.join(work, "calls.log")
    os.mkdir(root)
    env = dict(os.environ, LD_PRELOAD=shim, POWER_DIR=root, POWER_LOG=log)
    subprocess.run([sys.executable, os.path.abspath(__file__), "--calls", root], env=env, check=True)
    bad = check.completeness(log, root)
    d = disk.Disk()
    for r in disk.read_log(log):
        d.apply(r)
    lost = d.build(choices.choose(d, "lost"))
    # All names are covered by fsync(top) and syncfs but what came after them: crowd.
    if "crowd" in lost.files or "named" not in lost.files or "d 1%/new\nname" not in lost.files:
        bad.append("lost: files are %s" % sorted(lost.files))
    elif b"through a copy" in lost.files["d 1%/new\nname"][1] or b"still the same" not in lost.files["d 1%/new\nname"][1]:
        bad.append("lost: a sync covers too much or too little")
    for sentence in bad:
        print("selftest: calls: " + sentence)
    print("selftest: calls: %s, %d records" % ("FAILED" if bad else "ok", len(disk.read_log(log))))
    return not bad


def toy(shim, bug, work):
    env = dict(os.environ, IORIO_BIN=HERE + "/toy.py", IORIO_CHECK=HERE + "/toy.py", POWER_SHIM=shim, TOY_BUG=bug)
    kept = os.path.join(work, "kept")
    command = [sys.executable, HERE + "/run.py", "--quick", "--prefix-step", "6", "--kills", "2", "--live", "1", "--no-mutants",
               "--keep", kept]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    ok = done.returncode == (1 if bug else 0)
    first = next((line for line in done.stdout.splitlines() if "VIOLATION" in line), "no violation")
    print("selftest: toy %s: %s: %s" % (bug or "correct", "ok" if ok else "FAILED", first[:150]), flush=True)
    if not ok:
        print(done.stdout + done.stderr)
    shutil.rmtree(kept, ignore_errors=True)
    return ok


def main():
    p = argparse.ArgumentParser(description="Does the power test find what it is for?")
    p.add_argument("--build", default="build/test")
    p.add_argument("--calls", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.calls:
        calls(os.path.realpath(a.calls))
        return 0
    shim = os.path.abspath(os.environ.get("POWER_SHIM") or os.path.join(a.build, "test/power/power_shim.so"))
    work = tempfile.mkdtemp(prefix="iorio-power-selftest-")
    try:
        ok = [shim_calls(shim, work)] + [toy(shim, bug, work) for bug in ("",) + BUGS]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("selftest: %d passed, %d failed" % (ok.count(True), ok.count(False)))
    return 0 if all(ok) else 1


if __name__ == "__main__":
    sys.exit(main())
