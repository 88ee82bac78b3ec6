#!/usr/bin/env python3
"""test/integration/05_setup.py - tools/setup, .ci/run and the release, without touching this machine's packages.

Each test gets a copy of the scripts in a folder of its own with a one-file node, and a PATH
that begins with fakes: dpkg-query knows what the file `installed` says, apt-get adds to it and
notes what it saw, id and sudo pretend. The root part works on a fake root (IORIO_TEST_ROOT).
meson, ninja and gcc are the real ones.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLOW = float(os.environ.get("IORIO_TEST_SLOW", "1"))
RUN = ("gcc libc6-dev make pkg-config meson ninja-build python3 curl openssl libh2o-evloop-dev libuv1-dev libssl-dev "
       "libjwt-dev libjansson-dev libsodium-dev libxxhash-dev liblmdb-dev").split()

FAKES = {
    "dpkg-query": """
case "$2" in *Depends*) echo clang-14; exit 0 ;; esac
shift 2
for p; do grep -q "^$p " "$FAKE/installed" && grep "^$p " "$FAKE/installed"; done
true
""",
    "apt-get": """
echo "$*" >>"$FAKE/apt"
case "$*" in
*update) exit "${FAKE_UPDATE:-0}" ;;
esac
policy=$IORIO_TEST_ROOT/usr/sbin/policy-rc.d
"$policy" redis start; echo "policy $? frontend $DEBIAN_FRONTEND" >>"$FAKE/apt"
wants=$IORIO_TEST_ROOT/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants"; ln -sf /lib/systemd/system/redis-server.service "$wants/redis-server.service"
ln -sf ../init.d/redis-server "$IORIO_TEST_ROOT/etc/rc2.d/S01redis-server"
if [ -n "${FAKE_HANG:-}" ]; then echo hangs >"$FAKE/hangs"; sleep "$FAKE_HANG"; fi
[ -z "${FAKE_FAIL:-}" ] || exit 100
while [ "$1" != install ]; do shift; done
shift
for p; do echo "$p installed" >>"$FAKE/installed"; done
""",
    "apt-cache": 'case "$2" in libh2o*) exit 1 ;; esac\n',
    "update-rc.d": 'echo "$*" >>"$FAKE/update-rc.d"; rm -f "$IORIO_TEST_ROOT/etc/rc2.d/S01$1"\n',
    "id": 'echo "${FAKE_UID:-0}"\n',
    "sudo": """
echo "$*" >>"$FAKE/sudo"
[ -n "${FAKE_SUDO:-}" ] || exit 1
[ "$1" != -n ] || shift
FAKE_UID=0 exec "$@"
""",
}
NODE = r"""
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void on_signal(int sig) { _exit(sig == SIGTERM ? 0 : 3); }

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "config") == 0) return puts("# version A\nhttp.port = 8080") < 0;
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    printf("pid %d", (int)getpid());
    for (int i = 1; i < argc; i++) printf(" %s", argv[i]);
    puts("");
    fflush(stdout);
    pause();
    return 1;
}
"""


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


class SetupCase(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="iorio-setup-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.top = os.path.join(self.dir, "a checkout")
        self.fake = os.path.join(self.dir, "fake")
        self.root = os.path.join(self.dir, "root")
        self.policy = os.path.join(self.root, "usr/sbin/policy-rc.d")
        for folder in ("usr/sbin", "etc/rc2.d", "etc/systemd/system"):
            os.makedirs(os.path.join(self.root, folder))
        write(os.path.join(self.root, "etc/os-release"), "VERSION_ID=12\n")
        for name, text in FAKES.items():
            write(os.path.join(self.fake, "bin", name), "#!/bin/sh\n" + text, 0o755)
        for name in ("tools/setup", ".ci/run", "Makefile"):
            os.makedirs(os.path.dirname(os.path.join(self.top, name)), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), os.path.join(self.top, name))
        write(f"{self.top}/meson.build", "project('toy', 'c')\nsubdir('src/app')\n")
        write(f"{self.top}/meson_options.txt", "option('tests', type: 'boolean', value: true)\n")
        write(f"{self.top}/src/app/meson.build", "executable('iorio', 'main.c')\n")
        write(f"{self.top}/src/app/main.c", NODE)
        self.installed(RUN)

    def installed(self, packages, state="installed"):
        write(f"{self.fake}/installed", "".join(f"{p} {state}\n" for p in packages))

    def popen(self, *command, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("IORIO_", "CI", "MAKE"))}
        clean.update(PATH=f"{self.fake}/bin:/usr/bin:/bin", FAKE=self.fake, IORIO_TEST_ROOT=self.root, **env)
        return subprocess.Popen(command, cwd=self.top, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, start_new_session=True)

    def call(self, *command, **env):
        """(exit code, stdout, stderr)"""
        process = self.popen(*command, **env)
        out, err = process.communicate(timeout=120 * SLOW)
        return process.returncode, out, err

    def apt(self):
        return read(f"{self.fake}/apt").splitlines()

    def nothing_left(self):
        self.assertFalse(os.path.lexists(self.policy), "policy-rc.d is left")
        self.assertEqual(os.listdir(f"{self.root}/usr/sbin"), [])
        self.assertEqual(os.listdir(f"{self.root}/etc/rc2.d"), [])
        wants = f"{self.root}/etc/systemd/system/multi-user.target.wants"
        self.assertEqual(os.listdir(wants), [], "enabled")


class Packages(SetupCase):
    def test_missing(self):
        self.installed(RUN[2:])
        self.assertEqual(self.call("tools/setup", "missing", "run"), (0, "gcc\nlibc6-dev\n", ""))
        code, out, _ = self.call("tools/setup", "missing", "test")
        self.assertEqual((code, out.split()),
                         (0, ["gcc", "libc6-dev", "libcmocka-dev", "clang", "clang-format", "git", "libclang-rt-14-dev"]))
        self.assertEqual(self.call("tools/setup", "missing", "other")[0], 2)

    def test_half_installed_is_missing(self):
        self.installed(RUN, "half-configured")
        self.assertEqual(self.call("tools/setup", "missing", "run")[1].split(), RUN)

    def test_install(self):
        """apt-get update, then one install without recommends, while policy-rc.d says no; nothing is left enabled."""
        self.installed(RUN[2:])
        code, _, err = self.call("tools/setup", "newrel")
        self.assertEqual(code, 0, err)
        self.assertIn("missing Debian packages: gcc libc6-dev\n", err)
        update, install, saw = self.apt()
        self.assertRegex(update, "update$")
        self.assertRegex(install, "--no-install-recommends .*install gcc libc6-dev$")
        self.assertEqual(saw, "policy 101 frontend noninteractive")
        self.assertIn("neither started nor enabled: redis-server redis-server.service", err)
        self.assertEqual(read(f"{self.fake}/update-rc.d"), "redis-server disable\n")
        self.nothing_left()

    def test_quiet_when_nothing_is_to_do(self):
        """Neither apt nor sudo is asked, and after the first build there is nothing to say."""
        self.assertEqual(self.call("tools/setup", "newrel", FAKE_UID="1000")[0], 0)
        code, out, err = self.call("tools/setup", "newrel", FAKE_UID="1000")
        self.assertEqual((code, err), (0, ""), out)
        self.assertEqual((self.apt(), read(f"{self.fake}/sudo")), ([], ""))

    def test_offline(self):
        """A failed update is not the end: the packages may be in apt's cache."""
        self.installed(RUN[1:])
        code, _, err = self.call("tools/setup", "newrel", FAKE_UPDATE="100")
        self.assertEqual(code, 0, err)
        self.assertEqual(len(self.apt()), 3)

    def test_failed_install(self):
        self.installed(RUN[:8])
        code, _, err = self.call("tools/setup", "run", FAKE_FAIL="1")
        self.assertEqual(code, 1, err)
        self.assertIn("have no package of this name: libh2o-evloop-dev\n", err)
        self.assertIn("apt-get update && apt-get install --no-install-recommends openssl libh2o-evloop-dev libuv1-dev", err)
        self.nothing_left()
        self.assertFalse(os.path.exists(f"{self.top}/rel"))

    def test_interrupted_install(self):
        """Ctrl-C, kill, and the end of a terminal leave nothing behind either."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                self.installed(RUN[1:])
                process = self.popen("tools/setup", "newrel", FAKE_HANG="30")
                self.wait_for(f"{self.fake}/hangs")
                self.assertTrue(os.access(self.policy, os.X_OK))
                os.killpg(process.pid, number)
                _, err = process.communicate(timeout=20 * SLOW)
                self.assertNotEqual(process.returncode, 0, err)
                self.nothing_left()
                os.unlink(f"{self.fake}/hangs")

    def wait_for(self, path):
        until = time.monotonic() + 20 * SLOW
        while not os.path.exists(path):
            self.assertLess(time.monotonic(), until, f"{path} does not come")
            time.sleep(0.01)

    def test_policy_of_the_admin_stays(self):
        write(self.policy, "#!/bin/sh\nexit 104\n", 0o755)
        self.installed(RUN[1:])
        self.assertEqual(self.call("tools/setup", "newrel")[0], 0)
        self.assertIn("policy 104 frontend noninteractive", self.apt())
        self.assertEqual(read(self.policy), "#!/bin/sh\nexit 104\n")

    def test_policy_of_a_killed_run_goes(self):
        write(self.policy, "#!/bin/sh\n# Written by tools/setup of Iorio DB: left behind\nexit 0\n", 0o755)
        self.installed(RUN[1:])
        self.assertEqual(self.call("tools/setup", "newrel")[0], 0)
        self.assertIn("policy 101 frontend noninteractive", self.apt())
        self.nothing_left()

    def test_other_links_stay(self):
        """What was enabled before, and links that enable nothing, are not ours to remove."""
        wants = f"{self.root}/etc/systemd/system/multi-user.target.wants"
        os.makedirs(wants)
        os.symlink("/lib/systemd/system/cron.service", f"{wants}/cron.service")
        os.symlink("../init.d/cron", f"{self.root}/etc/rc2.d/S01cron")
        self.installed(RUN[1:])
        self.assertEqual(self.call("tools/setup", "newrel")[0], 0)
        self.assertEqual((os.listdir(wants), os.listdir(f"{self.root}/etc/rc2.d")), (["cron.service"], ["S01cron"]))

    def test_no_rights(self):
        """Without root and sudo: the apt line and nothing else on stdout, exit code 77."""
        self.installed(RUN[1:])
        code, out, err = self.call("tools/setup", "run", FAKE_UID="1000")
        self.assertEqual((code, out), (77, "apt-get update && apt-get install --no-install-recommends gcc\n"), err)
        self.assertEqual(self.apt(), [])

    def test_sudo(self):
        self.installed(RUN[1:])
        code, _, err = self.call("tools/setup", "newrel", FAKE_UID="1000", FAKE_SUDO="1")
        self.assertEqual(code, 0, err)
        self.assertRegex(read(f"{self.fake}/sudo"), "^-n true\n-n .*tools/setup as-root install gcc\n$")
        self.assertEqual(len(self.apt()), 3)
        self.nothing_left()

    def test_as_root_wants_root(self):
        self.assertEqual(self.call("tools/setup", "as-root", "install", "gcc", FAKE_UID="1000")[0], 77)
        self.assertEqual(self.apt(), [])

    def test_closing_line(self):
        """Whoever reads the last line of a test run finds it, also when it never came to a test."""
        for command in (("tools/setup", "test"), (".ci/run",)):
            code, out, _ = self.call(*command, FAKE_UID="1000")
            self.assertEqual((code, out.splitlines()[-1]), (77, "0 passed, 1 failed"))


class Release(SetupCase):
    def path(self, name):
        return os.path.join(self.top, "rel", name)

    def test_first_run_and_the_next(self):
        """The node replaces the script, so signals reach it; the second run says nothing and changes nothing."""
        for turn in ("first", "second"):
            process = self.popen("tools/setup", "run", IORIO_WERROR="0")
            line = process.stdout.readline()
            self.assertEqual(line, f"pid {process.pid} console --conf rel/db_config/iorio.conf\n")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=10 * SLOW)
            self.assertEqual(process.returncode, 0)
            if turn == "first":
                self.assertIn("rel/db_config/iorio.conf is new", err)
                self.assertEqual(stat.S_IMODE(os.stat(self.path("db_data")).st_mode), 0o700)
                self.assertEqual(stat.S_IMODE(os.stat(self.path("db_config/iorio.conf")).st_mode), 0o600)
                self.assertEqual(read(self.path("db_config/iorio.conf")), "# version A\nhttp.port = 8080\n")
                write(self.path("db_config/iorio.conf"), "http.port = 1\n")
                write(self.path("db_data/data"), "x")
            else:
                self.assertEqual(err, "")
        self.assertEqual(os.listdir(self.path("db_config")), ["iorio.conf"])

    def test_new_version(self):
        """newrel replaces program and template, while the old one runs, and leaves what is the user's."""
        process = self.popen("tools/setup", "run")
        self.assertRegex(process.stdout.readline(), "^pid ")
        write(self.path("db_config/iorio.conf"), "http.port = 1\n")
        write(self.path("iorio/log/iorio.log"), "old lines\n")
        write(f"{self.top}/src/app/main.c", NODE.replace("version A", "version B"))
        code, out, err = self.call("tools/setup", "newrel")
        self.assertEqual(code, 0, err)
        self.assertIn(f"{self.top}/rel/iorio", out)
        self.assertEqual(read(self.path("iorio/etc/iorio.conf")), "# version B\nhttp.port = 8080\n")
        self.assertEqual(read(self.path("db_config/iorio.conf")), "http.port = 1\n")
        self.assertEqual(read(self.path("iorio/log/iorio.log")), "old lines\n")
        self.assertEqual(sorted(os.listdir(self.path("iorio/bin"))), ["iorio"])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10 * SLOW)
        self.assertEqual(process.returncode, 0)

    def test_broken_source_keeps_the_release(self):
        self.assertEqual(self.call("tools/setup", "newrel")[0], 0)
        write(f"{self.top}/src/app/main.c", "int main(void) { return nothing; }\n")
        code, _, err = self.call("tools/setup", "newrel")
        self.assertEqual(code, 1)
        self.assertIn("the build in build/release failed", err)
        self.assertIn("version A", subprocess.run([self.path("iorio/bin/iorio"), "config", "--defaults"], check=True,
                                                  capture_output=True, text=True).stdout)

    def test_moved_checkout(self):
        """A build folder that was configured elsewhere is made anew instead of building the old sources."""
        self.assertEqual(self.call("tools/setup", "newrel")[0], 0)
        os.rename(self.top, self.top + " moved")
        self.top += " moved"
        write(f"{self.top}/src/app/main.c", NODE.replace("version A", "version C"))
        code, _, err = self.call("tools/setup", "newrel")
        self.assertEqual(code, 0, err)
        self.assertIn("version C", read(self.path("iorio/etc/iorio.conf")))

    def test_foreign_environment(self):
        """CFLAGS, a pkg-config path or another python of the developer do not reach the build."""
        write(f"{self.fake}/bin/python3", "#!/bin/sh\nexit 9\n", 0o755)
        write(f"{self.fake}/bin/gcc", "#!/bin/sh\nexit 9\n", 0o755)
        code, _, err = self.call("tools/setup", "newrel", CFLAGS="-no-such-flag", PKG_CONFIG_PATH="/nowhere",
                                 IORIO_WERROR="1", DESTDIR="/nowhere")
        self.assertEqual(code, 0, err)

    def test_make(self):
        """`make` lists the targets; `make clean` leaves release, configuration and data alone."""
        code, out, _ = self.call("make")
        self.assertEqual(code, 0)
        for target in ("console newrel refetchdeps fmt test check-asan check-tsan sim fuzz bench kill9 slowhttp power clean "
                       "help").split():
            self.assertRegex(out, f"(?m)^make {target} +[A-Za-z0-9]")
        self.assertEqual(self.call("make", "newrel")[0], 0)
        write(self.path("db_data/data"), "x")
        self.assertEqual(self.call("make", "clean")[0], 0)
        self.assertFalse(os.path.exists(f"{self.top}/build"))
        self.assertEqual(sorted(os.listdir(self.path(""))), ["db_data", "iorio"])

    def test_refetchdeps(self):
        """It asks apt for all packages, missing or not, and builds anew."""
        self.assertEqual(self.call("tools/setup", "newrel")[0], 0)
        code, _, err = self.call("make", "refetchdeps")
        self.assertEqual(code, 0, err)
        self.assertEqual(self.apt()[1].split()[-len(RUN):], RUN)
        self.assertIn("building build/release", err)


if __name__ == "__main__":
    unittest.main()
