/* src/app/main.c - the verbs of bin/iorio. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "auth/password_process.h"
#include "base/assert.h"
#include "proto/http/extension.h"
#include "proto/http/server.h"

static const char usage_text[] =
    "usage: iorio VERB [--conf FILE]\n"
    "\n"
    "  console            run in the foreground; Ctrl-C stops it\n"
    "  start              run in the background\n"
    "  stop               stop it; everything taken is written first\n"
    "  restart            stop, then start\n"
    "  ping               is it there? prints pong\n"
    "  version            print the version\n"
    "  chkconfig          check the configuration\n"
    "  config --defaults  print a commented configuration file\n"
    "  verify             iorio verify DIR: check a data directory; changes nothing\n"
    "                     --json: one JSON object a line\n"
    "                     --rebuild-catalog: make catalog.mdb anew, keep the old one\n"
    "\n"
    "Without --conf: ../db_config/iorio.conf beside the release folder, else etc/iorio.conf in "
    "it.\n"
    "Every key can be given as an environment variable: http.port is IORIO_HTTP_PORT.\n";

enum exit_code exit_code_of(enum ior_err err)
{
    switch (err) {
    case IOR_OK:
        return EXIT_OK;
    case IOR_E_CORRUPT:
        return EXIT_DAMAGED;
    case IOR_E_BUSY:
        return EXIT_PORT_BUSY;
    case IOR_E_LOCKED:
        return EXIT_IN_USE;
    case IOR_E_FOREIGN:
    case IOR_E_VERSION:
        return EXIT_FOREIGN;
    case IOR_E_ACCESS:
        return EXIT_NO_RIGHTS;
    case IOR_E_INVAL:
        return EXIT_BAD_CONFIG;
    default:
        return EXIT_DISK_ERROR;
    }
}

/* <release>/bin/iorio -> <release> */
static void find_release(char out[CONFIG_TEXT_MAX])
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    snprintf(out, CONFIG_TEXT_MAX, "/");
    if (n <= 0) return;
    exe[n] = 0;
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(exe, '/');
        if (slash != NULL) *slash = 0;
    }
    snprintf(out, CONFIG_TEXT_MAX, "%.*s", (int)CONFIG_RELEASE_DIR_MAX, exe[0] != 0 ? exe : "/");
}

static bool use_if_there(char *out, size_t room, const char *release, const char *rest)
{
    int n = snprintf(out, room, "%s/%s", release, rest);
    if (n > 0 && (size_t)n < room && access(out, F_OK) == 0) return true;
    out[0] = 0;
    return false;
}

struct args {
    const char *verb;
    const char *conf;
    const char *dir; /* of verify */
    bool defaults;
    bool help;
    bool json;
    bool rebuild;
};

static bool parse_args(int argc, char **argv, struct args *a)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--conf") == 0) {
            if (i + 1 == argc) {
                fprintf(stderr, "iorio: --conf needs a file\n");
                return false;
            }
            a->conf = argv[++i];
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            a->help = true;
        } else if (strncmp(argv[i], "--conf=", 7) == 0) {
            a->conf = argv[i] + 7;
        } else if (strcmp(argv[i], "--defaults") == 0) {
            a->defaults = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            a->json = true;
        } else if (strcmp(argv[i], "--rebuild-catalog") == 0) {
            a->rebuild = true;
        } else if (argv[i][0] != '-' && a->verb == NULL) {
            a->verb = argv[i];
        } else if (argv[i][0] != '-' && a->dir == NULL && strcmp(a->verb, "verify") == 0) {
            a->dir = argv[i];
        } else {
            fprintf(stderr, "iorio: `%s` is not understood\n", argv[i]);
            return false;
        }
    }
    if (a->verb != NULL && strcmp(a->verb, "verify") != 0 && (a->json || a->rebuild)) {
        fprintf(stderr, "iorio: --json and --rebuild-catalog belong to verify\n");
        return false;
    }
    return a->verb != NULL;
}

static enum exit_code load(const struct args *a, struct config *c, char *file, size_t room)
{
    struct ior_why why = {""};
    char release[CONFIG_TEXT_MAX];
    find_release(release);
    if (a->conf != NULL) {
        char *real = realpath(a->conf, NULL);
        snprintf(file, room, "%s", real == NULL ? a->conf : real);
        free(real);
    } else if (!use_if_there(file, room, release, "../db_config/iorio.conf")) {
        use_if_there(file, room, release, "etc/iorio.conf");
    }
    enum ior_err err = config_load(c, release, file[0] != 0 ? file : NULL, &why);
    if (err == IOR_OK) return EXIT_OK;
    fprintf(stderr, "iorio: %s\n", why.text);
    return EXIT_BAD_CONFIG;
}

static enum exit_code console(const struct config *c, const char *file)
{
    struct run_options o = {.config = c, .config_file = file, .foreground = true, .notify_fd = -1};
    return run_node(&o);
}

static enum exit_code restart(const struct config *c, const char *file)
{
    if (datadir_is_locked(c->paths_data)) {
        enum exit_code code = control_stop(c);
        if (code != EXIT_OK) return code;
    }
    return control_start(c, file);
}

/* A directory on the command line needs no configuration. */
static enum exit_code verify(const struct args *a, const struct config *c)
{
    const struct verify_options o = {
        .dir = a->dir != NULL ? a->dir : c->paths_data, .json = a->json, .rebuild = a->rebuild};
    return verify_verb(&o);
}

static void tell_warning(void *ctx, const char *key, const char *text)
{
    (void)ctx;
    fprintf(stderr, "iorio: warning: %s: %s\n", key, text);
}

static enum exit_code chkconfig(const struct config *c)
{
    void *extensions[EXTENSION_COUNT];
    struct ior_why why = {""};
    if (http_check_tls(c, &why) != IOR_OK || extensions_load(c, extensions, &why) != IOR_OK) {
        fprintf(stderr, "iorio: %s\n", why.text);
        return EXIT_BAD_CONFIG;
    }
    extensions_free(extensions);
    confcheck_warn(c, tell_warning, NULL);
    printf("config is OK\n");
    return EXIT_OK;
}

static enum exit_code run_verb(const struct args *a, const struct config *c, const char *file)
{
    if (strcmp(a->verb, "verify") == 0) return verify(a, c);
    if (strcmp(a->verb, "console") == 0) return console(c, file);
    if (strcmp(a->verb, "start") == 0) return control_start(c, file);
    if (strcmp(a->verb, "stop") == 0) return control_stop(c);
    if (strcmp(a->verb, "restart") == 0) return restart(c, file);
    if (strcmp(a->verb, "ping") == 0) return control_ping(c);
    IOR_ASSERT(strcmp(a->verb, "chkconfig") == 0);
    return chkconfig(c);
}

static bool known_verb(const char *verb)
{
    static const char *const verbs[] = {"console", "start",     "stop",  "restart",
                                        "ping",    "chkconfig", "verify"};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verb, verbs[i]) == 0) return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static struct config config;
    struct args a = {0};
    char file[PATH_MAX] = "";
    if (argc == 2 && strcmp(argv[1], PASSWORD_PROCESS_VERB) == 0) return password_process_main();
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0)) {
        fputs(usage_text, stdout);
        return EXIT_OK;
    }
    if (argc == 2 && (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0)) {
        puts("iorio " IORIO_VERSION);
        return EXIT_OK;
    }
    if (!parse_args(argc, argv, &a)) {
        fputs(usage_text, stderr);
        return EXIT_BAD_USAGE;
    }
    if (a.help) {
        fputs(usage_text, stdout);
        return EXIT_OK;
    }
    if (strcmp(a.verb, "config") == 0) {
        if (!a.defaults) {
            fprintf(stderr, "iorio: config needs --defaults\n");
            return EXIT_BAD_USAGE;
        }
        config_print_defaults(stdout);
        return EXIT_OK;
    }
    if (!known_verb(a.verb)) {
        fprintf(stderr, "iorio: there is no verb `%s`\n", a.verb);
        fputs(usage_text, stderr);
        return EXIT_BAD_USAGE;
    }
    enum exit_code code = EXIT_OK;
    if (a.dir == NULL) code = load(&a, &config, file, sizeof file);
    if (code == EXIT_OK) code = run_verb(&a, &config, file);
    return (int)code;
}
