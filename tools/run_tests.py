#!/usr/bin/env python3
"""run_tests.py - builds, runs every test and sums up; `make test` calls it through tools/setup.

Steps, in this order: layers, style, format, the self-tests of these scripts, a build with gcc, the programs that meson
knows (unit, fuzz corpus, simulator), test/integration/NN_*.py, the power test (quick), a build with clang. With CI set:
-Werror, and the meson programs once more under AddressSanitizer.
What counts is a test case, as far as the output of a program shows them; else the program. A program that crashes, runs
out of time or runs no case is one failed case. The last line is `N passed, N failed`; what was left out and why stands
above it. Exit code 1 when something failed.
    tools/run_tests.py [--only PATTERN]         all, or the steps and tests whose name holds PATTERN
    tools/run_tests.py --sanitizer asan|tsan    the meson programs and the smoke tests under a sanitizer
    tools/run_tests.py --self-test              check this script
"""
import argparse
import ctypes
import fnmatch
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT_SECONDS = 300
MESON_SECONDS = 900
CI_SECONDS = 17 * 60  # .ci/run has 20 minutes; what is not done by then counts as failed
ASAN_STARTS_BEFORE = 9 * 60  # in CI: later than that there is no time for a second build
ORPHAN_SECONDS = 3  # a node that was told to stop may need a moment
SMOKE = ("00_*", "10_*", "50_*")  # integration programs that also run under a sanitizer
SLOWNESS = {"asan": 3, "tsan": 8}  # how much slower a program is there
OTHER_TARGETS = [
    ("check-asan", "tests under AddressSanitizer", "tools/setup"),
    ("check-tsan", "tests under ThreadSanitizer", "tools/setup"),
    ("sim", "the simulator with 1,000 seeds", "test/sim/meson.build"),
    ("fuzz", "fuzzing beyond the corpus", "test/fuzz"),
    ("kill9", "100 rounds of kill -9", "test/integration/kill9.py"),
    ("slowhttp", "slowhttptest in its four modes", "tools/slowhttp.py"),
    ("power", "the power test at every write (quick here)", "test/power/run.py"),
    ("bench", "speed", "tools/bench/run.py"),
]


class Count:
    """What the output of one program says."""

    def __init__(self, passed=0, failed=0, skipped=()):
        self.passed, self.failed, self.skipped = passed, failed, list(skipped)

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"{self.passed} passed, {self.failed} failed, skipped {self.skipped}"


def count_unittest(text):
    count = Count()
    ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests? in", text, re.M))
    for result in re.findall(r"^(?:OK|FAILED)(?: \((.*)\))?$", text, re.M):
        kinds = {k: int(n) for k, n in re.findall(r"([a-z ]+)=(\d+)", result)}
        kinds = {k.strip(): n for k, n in kinds.items()}
        count.failed += sum(kinds.get(k, 0) for k in ("failures", "errors", "unexpected successes"))
        ran -= kinds.get("skipped", 0)
    # A test with several bad subtests is still one case.
    named = set(re.findall(r"^(?:FAIL|ERROR): (\S+ \(\S+?\))", text, re.M))
    surprises = len(re.findall(r"\.\.\. unexpected success$", text, re.M))
    if named:
        count.failed = min(count.failed, len(named) + surprises)
    count.passed = max(0, ran - count.failed)
    for name, reason in re.findall(r"^(\w+) \(.*skipped ['\"](.*)['\"]$", text, re.M):
        count.skipped.append(f"{name}: {reason}")
    return count


def count_cmocka(text):
    # A message of a test may stand in front of the mark on the same line; the sums at the end end in `test(s)...`.
    cases = [(m, n) for m, n in re.findall(r"\[ +(OK|FAILED|ERROR|SKIPPED) +\] (.*)$", text, re.M)
             if "test(s)" not in n and not n.startswith("---")]
    names = {"FAILED": [], "ERROR": [], "SKIPPED": [], "OK": []}
    for mark, name in cases:
        if mark == "OK" or name not in names[mark]:
            names[mark].append(name)
    return Count(len(names["OK"]), len(set(names["FAILED"] + names["ERROR"])), names["SKIPPED"])


def count_output(text, code):
    """Cases of a program that ended with this code. Whatever else it says, a bad end is a failed case."""
    sums = re.findall(r"^(\d+) passed, (\d+) failed$", text, re.M)
    if re.search(r"^Ran \d+ tests? in", text, re.M):
        count = count_unittest(text)
    elif re.search(r"^\[=+\] .*test\(s\)|\[ RUN +\]", text, re.M):
        count = count_cmocka(text)
    elif sums:
        count = Count(int(sums[-1][0]), int(sums[-1][1]))
    else:
        return Count(passed=1) if code == 0 else Count(failed=1)
    if code != 0 and count.failed == 0:
        count.failed = 1
    if count.passed + count.failed == 0 and not count.skipped:
        count.failed = 1  # a program that tests nothing is not a test
    return count


class Runner:
    def __init__(self, args):
        self.only = args.only
        self.began = args.began or time.time()
        self.ci = bool(os.environ.get("CI"))
        self.deadline = self.began + CI_SECONDS if self.ci else float("inf")
        self.total = Count()
        self.programs = 0
        self.left_out = []
        self.bad = []
        self.child = None
        # A variable IORIO_X is a key of a node's configuration, and a developer's own must not change a test.
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("IORIO_", "CMOCKA_", "MESON")) or k.startswith("IORIO_TEST_")}
        self.env["PATH"] = "/usr/bin:/bin:/usr/sbin:/sbin:" + os.environ.get("PATH", "")
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        self.env["PYTHONUNBUFFERED"] = "1"

    def wanted(self, name):
        return self.only is None or self.only in name or fnmatch.fnmatch(name, self.only)

    def add(self, name, count, output="", seconds=None):
        """One program is done: into the sum, one line, and its output when it failed."""
        self.programs += 1
        self.total.passed += count.passed
        self.total.failed += count.failed
        self.left_out += [f"{name}, {s}" for s in count.skipped]
        if count.failed:
            self.bad.append(name)
            print(output.rstrip()[-20000:])
        took = f", {seconds:.1f} s" if seconds is not None else ""
        print(f"{'FAILED' if count.failed else 'ok    '} {name} ({count.passed} passed"
              f"{f', {count.failed} failed' if count.failed else ''}{took})", flush=True)

    def call(self, command, seconds, env=None, capture=True):
        """(code, output) of a command in a process group of its own; 124 when its time was up."""
        seconds = min(seconds, self.deadline - time.time())
        if seconds <= 0:
            return 124, "not run: the time for the whole run is over\n"
        with tempfile.TemporaryFile() as out:
            pipe = {"stdout": out, "stderr": subprocess.STDOUT} if capture else {}
            sys.stdout.flush()
            self.child = subprocess.Popen(command, cwd=ROOT, env=env or self.env, stdin=subprocess.DEVNULL,
                                          start_new_session=True, **pipe)
            try:
                code = self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                code = 124
            self.end_child()
            orphans = self.end_orphans()
            out.seek(0)
            text = out.read().decode("utf-8", "replace")
        if code == 124:
            text += f"killed after {seconds:.0f} s\n"
        elif orphans:
            code, text = code or 1, text + "left running: " + "; ".join(orphans) + "\n"
        return code, text

    def end_child(self):
        """Nothing that a test started may outlive it."""
        if self.child is not None:
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.child.wait()
        self.child = None

    def end_orphans(self):
        """Whoever a program left behind is now our child (see adopt_orphans). Their command lines, for its report."""
        names = []
        until = time.time() + ORPHAN_SECONDS
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    if time.time() < until:
                        time.sleep(0.02)
                        continue
                    for pid in children_of_this():
                        names.append(command_of(pid))
                        os.kill(pid, signal.SIGKILL)
                        os.waitpid(pid, 0)
            except ChildProcessError:
                return names

    # ---- steps ----

    def build(self, name):
        print(f"---- build {name}", flush=True)
        started = time.time()
        env = dict(self.env, **({"IORIO_WERROR": os.environ["IORIO_WERROR"]} if "IORIO_WERROR" in os.environ else {}))
        code, text = self.call(["tools/setup", "build", name], MESON_SECONDS, env, capture=False)
        self.add(f"build {name}", count_output("", code), text, time.time() - started)
        return code == 0

    def program(self, name, command, seconds=SCRIPT_SECONDS, env=None):
        started = time.time()
        code, text = self.call(command, seconds, env)
        if code == 77 and "passed," not in text:
            self.left_out.append(f"{name}: {(text.strip() or 'it says that it cannot run here').splitlines()[-1]}")
            return
        self.add(name, count_output(text, code), text, time.time() - started)

    def static(self):
        for name, command in (
                ("layers", ["tools/check_layers.py"]),
                ("style", ["tools/check_style.py"]),
                ("format", ["tools/check_style.py", "--format"]),
                ("layers self-test", ["tools/check_layers.py", "--self-test"]),
                ("style self-test", ["tools/check_style.py", "--self-test"]),
                ("openapi self-test", ["tools/openapi.py", "--self-test"]),
                ("run_tests self-test", ["tools/run_tests.py", "--self-test"])):
            if self.wanted(name):
                self.program(name, [sys.executable, *command])

    def meson_tests(self, build):
        folder = f"build/{build}"
        told = subprocess.run(["meson", "introspect", folder, "--tests"], cwd=ROOT, env=self.env, capture_output=True,
                              text=True, check=False)
        return [t["name"] for t in json.loads(told.stdout)] if told.returncode == 0 else None

    def meson(self, build, label=""):
        known = self.meson_tests(build)
        if known is None:
            self.add(f"tests of build/{build}", Count(failed=1), "meson introspect failed")
            return
        names = [n for n in known if self.wanted(label + n)]
        if not names:
            return
        print(f"---- meson test in build/{build}", flush=True)
        log = f"{ROOT}/build/{build}/meson-logs/testlog.json"
        if os.path.exists(log):
            os.unlink(log)
        command = ["meson", "test", "-C", f"build/{build}", "--no-rebuild", "-t", str(SLOWNESS.get(build, 1))]
        command = [*without_random_addresses(build), *command, *([] if names == known else names)]
        _, said = self.call(command, MESON_SECONDS, self.sanitizer_env(build))
        for name in sorted(names):
            self.meson_result(label, name, read_testlog(log).get(name), said)

    def meson_result(self, label, name, entry, said):
        if entry is None:
            self.add(label + name, Count(failed=1), f"{said[-2000:]}\nmeson test left no result of it")
            return
        text = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
        if entry["result"] == "SKIP":
            self.left_out.append(f"{label}{name}: {(text.strip() or 'exit code 77').splitlines()[-1]}")
            return
        good = entry["result"] in ("OK", "EXPECTEDFAIL")
        count = count_output(text, 0 if good else 1)
        self.add(label + name, count, f"{text}\n{entry['result']}, exit code {entry.get('returncode')}",
                 entry.get("duration"))

    def sanitizer_env(self, build):
        env = dict(self.env)
        if build in SLOWNESS:
            env["IORIO_TEST_SLOW"] = str(SLOWNESS[build])
            env["ASAN_OPTIONS"] = "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1"
            env["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1"
            env["LSAN_OPTIONS"] = "print_suppressions=0" + suppressions("lsan")
            env["TSAN_OPTIONS"] = "halt_on_error=1:second_deadlock_stack=1" + suppressions("tsan")
        return env

    def integration(self, build, patterns=("[0-9][0-9]_*",), label=""):
        env = self.sanitizer_env(build)
        env["IORIO_BIN"] = f"{ROOT}/build/{build}/src/app/iorio"
        found = sorted({p for pattern in patterns for p in glob.glob(f"{ROOT}/test/integration/{pattern}.py")})
        for path in found:
            name = label + os.path.relpath(path, f"{ROOT}/test")
            if self.wanted(name):
                seconds = SCRIPT_SECONDS * SLOWNESS.get(build, 1)
                self.program(name, [*without_random_addresses(build), sys.executable, path, "-v"], seconds, env)

    def power(self):
        path = "test/power/run.py"
        if os.path.exists(f"{ROOT}/{path}") and self.wanted("power"):
            env = dict(self.env, IORIO_BIN=f"{ROOT}/build/test/src/app/iorio")
            self.program("power", [sys.executable, path, "--quick"], env=env)

    def sanitizer(self, build):
        if self.build(build):
            self.meson(build)
            self.integration(build, SMOKE)
            self.left_out.append(f"under {build}: the integration programs other than {', '.join(SMOKE)}")

    def tests(self):
        if not self.build("test"):
            self.left_out.append("every test that needs build/test")
            return
        self.meson("test")
        self.integration("test")
        self.power()

    def some(self):
        """--only: a check of the source needs no build."""
        self.static()
        if self.wanted("build clang"):
            self.build("clang")
        if self.programs == 0:
            self.tests()
        if self.programs <= 1 and not self.bad:
            self.add(f"--only {self.only}", Count(failed=1), "nothing has a name like that")
        self.left_out.append(f"whatever has no {self.only!r} in its name")

    def everything(self):
        self.static()
        self.tests()
        self.build("clang")
        asan_done = self.ci_asan() if self.ci else False
        for target, what, needs in OTHER_TARGETS:
            if os.path.exists(f"{ROOT}/{needs}") and not (target == "check-asan" and asan_done):
                self.left_out.append(f"{what}: make {target}")

    def ci_asan(self):
        if time.time() - self.began > ASAN_STARTS_BEFORE:
            self.left_out.append("AddressSanitizer: this run has taken too long for it")
            return False
        if self.build("asan"):
            self.meson("asan", "asan ")
            self.left_out.append("integration tests under AddressSanitizer: make check-asan")
        return True

    def sum_up(self):
        for text in self.left_out:
            print(f"left out: {text}")
        for name in self.bad:
            print(f"failed: {name}")
        print(f"{self.total.passed} passed, {self.total.failed} failed", flush=True)
        return 1 if self.total.failed else 0


def adopt_orphans():
    """Processes whose parent ends become children of this one instead of init (PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)


def children_of_this():
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        if parent == os.getpid():
            found.append(int(path.split("/")[2]))
    return found


def command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return f"{pid} " + file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()


def without_random_addresses(build):
    """gcc's ThreadSanitizer cannot live with the random addresses of newer kernels."""
    command = ["setarch", os.uname().machine, "-R"]
    if build == "tsan" and shutil.which("setarch"):
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return []


def suppressions(sanitizer):
    """The option that names the file of what a sanitizer must not report, when there is one."""
    path = f"{ROOT}/test/{sanitizer}.supp"
    return f":suppressions='{path}'" if os.path.exists(path) else ""


def read_testlog(path):
    """Name -> last result of meson's testlog.json; its names begin with the suites."""
    found = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                entry = json.loads(line)
                found[entry["name"].split(" / ", maxsplit=1)[-1]] = entry
    return found


CMOCKA = "[==========] Running 3 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n"
CMOCKA_SUM = "[==========] 3 test(s) run.\n"
UNITTEST = "test_a (x.T.test_a) ... ok\ntest_b (x.T.test_b) ... skipped 'no net'\n"
# name, output, exit code, what must be counted
SAMPLES = [
    ("cmocka", CMOCKA + "[       OK ] b\nnoise[       OK ] c\n" + CMOCKA_SUM + "[  PASSED  ] 3 test(s).\n", 0, Count(3)),
    ("cmocka, one failed", CMOCKA + "[  FAILED  ] b\n[       OK ] c\n" + CMOCKA_SUM + "[  PASSED  ] 2 test(s).\n"
     "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] b\n", 1, Count(2, 1)),
    ("cmocka, failed message", CMOCKA + "[  ERROR   ] --- 1 != 2\n[   LINE   ] --- t.c:9: error: Failure!\n[  FAILED  ] b\n"
     + CMOCKA_SUM, 1, Count(1, 1)),
    ("cmocka, crashed in b", CMOCKA, -11, Count(1, 1)),
    ("cmocka, leak at the end", CMOCKA + "[       OK ] b\n" + CMOCKA_SUM + "LeakSanitizer: ...\n", 23, Count(2, 1)),
    ("cmocka, skipped", CMOCKA + "[  SKIPPED ] b\n" + CMOCKA_SUM + "[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] b\n",
     0, Count(1, 0, ["b"])),
    ("unittest", UNITTEST + "Ran 2 tests in 0.1s\n\nOK (skipped=1)\n", 0, Count(1, 0, ["test_b: no net"])),
    ("unittest, failed", "Ran 5 tests in 1s\n\nFAILED (failures=1, errors=2)\n", 1, Count(2, 3)),
    ("unittest, subtests", "FAIL: test_a (x.T.test_a) (n=1)\nFAIL: test_a (x.T.test_a) (n=2)\nERROR: setUpClass (x.U)\n"
     "Ran 3 tests in 1s\n\nFAILED (failures=2, errors=1)\n", 1, Count(1, 2)),
    ("unittest, surprise", "Ran 2 tests in 1s\n\nFAILED (unexpected successes=1)\n", 1, Count(1, 1)),
    ("unittest, class set-up failed", "Ran 0 tests in 1s\n\nFAILED (errors=1)\n", 1, Count(0, 1)),
    ("unittest, nothing ran", "Ran 0 tests in 0.0s\n\nOK\n", 0, Count(0, 1)),
    ("unittest, bad end", "Ran 1 test in 0.0s\n\nOK\n", -6, Count(1, 1)),
    ("own sum", "blah\n7 passed, 0 failed\n", 0, Count(7)),
    ("own sum, failed", "7 passed, 2 failed\n", 1, Count(7, 2)),
    ("own sum, bad end", "7 passed, 0 failed\n", 1, Count(7, 1)),
    ("program", "whatever\n", 0, Count(1)),
    ("program, failed", "", 124, Count(0, 1)),
]


def self_test():
    failed = 0
    for name, text, code, expected in SAMPLES:
        found = count_output(text, code)
        if found != expected:
            failed += 1
            print(f"FAILED {name}: expected {expected}, found {found}")
    print(f"{len(SAMPLES) - failed} passed, {failed} failed")
    return 1 if failed else 0


def stop(number, _frame):
    raise SystemExit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", metavar="PATTERN")
    parser.add_argument("--sanitizer", choices=sorted(SLOWNESS))
    parser.add_argument("--began", type=float, help="when the run began, in seconds since 1970")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    adopt_orphans()
    runner = Runner(args)
    signal.signal(signal.SIGTERM, stop)
    try:
        if args.sanitizer:
            runner.sanitizer(args.sanitizer)
        elif args.only is not None:
            runner.some()
        else:
            runner.everything()
    except (KeyboardInterrupt, SystemExit):
        runner.end_child()
        runner.add("the whole run", Count(failed=1), "interrupted")
    return runner.sum_up()


if __name__ == "__main__":
    sys.exit(main())
