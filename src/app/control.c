/* src/app/control.c - start (in the background), stop, ping. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/app.h"
#include "base/log.h"

enum { START_WAIT_MS = 600000, STOP_WAIT_MS = 15000, PING_MS = 5000, ANSWER_BYTES = 8192 };

static enum exit_code not_running(void)
{
    printf("Node is not running!\n");
    return EXIT_NOT_RUNNING;
}

/* ---- start ---- */

static int open_log(const struct config *c, char *path, size_t room)
{
    logfile_path(c, false, path, room);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) fprintf(stderr, "iorio: cannot open the log %s: %s\n", path, strerror(errno));
    return fd;
}

static void be_daemon(const struct config *c, const char *config_file, int log_fd, int notify_fd)
{
    setsid();
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null_fd, STDIN_FILENO);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    struct run_options o = {
        .config = c, .config_file = config_file, .foreground = false, .notify_fd = notify_fd};
    exit((int)run_node(&o));
}

/* Everything the child says, up to its end or START_WAIT_MS. */
static void read_answer(int fd, char *out, size_t room)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t n = 0;
    ssize_t got;
    while (n < room - 1 && poll(&p, 1, START_WAIT_MS) > 0 &&
           (got = read(fd, out + n, room - 1 - n)) > 0)
        n += (size_t)got;
    out[n] = 0;
}

/* For a node that said nothing: a letter, as it would have sent, and how it ended. */
static void describe_end(int status, char *out, size_t room)
{
    if (WIFSIGNALED(status)) {
        snprintf(out, room, "Eit was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        snprintf(out, room, "Eit ended with exit code %d", WEXITSTATUS(status));
    }
}

static off_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : 0;
}

enum exit_code control_start(const struct config *c, const char *config_file)
{
    if (datadir_is_locked(c->paths_data)) {
        fprintf(stderr, "iorio: Node is already running!\n");
        return EXIT_IN_USE;
    }
    char log_path[CONFIG_TEXT_MAX + 32];
    int log_fd = open_log(c, log_path, sizeof log_path);
    if (log_fd < 0) return EXIT_NO_RIGHTS;
    off_t log_bytes = size_of(log_fd);
    fflush(stdout); /* or the child would print it again */
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) return EXIT_DISK_ERROR;
    pid_t pid = fork();
    if (pid < 0) return EXIT_DISK_ERROR;
    if (pid == 0) {
        close(ready[0]);
        be_daemon(c, config_file, log_fd, ready[1]);
    }
    close(ready[1]);
    char answer[ANSWER_BYTES] = "";
    read_answer(ready[0], answer, sizeof answer);
    close(ready[0]);
    if (answer[0] == 'R') {
        printf("Node %s started (pid %ld), listening on %s; log: %s\n", c->nodename, (long)pid,
               answer + 1, log_path);
        return EXIT_OK;
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (answer[0] != 'E') describe_end(status, answer, sizeof answer);
    fprintf(stderr, "iorio: the node did not start: %s", answer + 1);
    if (size_of(log_fd) > log_bytes) fprintf(stderr, " (log: %s)", log_path);
    fputc('\n', stderr);
    return WIFEXITED(status) ? (enum exit_code)WEXITSTATUS(status) : EXIT_NOT_RUNNING;
}

/* ---- stop ---- */

enum exit_code control_stop(const struct config *c)
{
    long pid;
    char where[160];
    if (!datadir_read_run(c->paths_data, &pid, where, sizeof where)) return not_running();
    if (kill((pid_t)pid, SIGTERM) != 0) {
        fprintf(stderr, "iorio: cannot stop process %ld: %s\n", pid, strerror(errno));
        return errno == EPERM ? EXIT_NO_RIGHTS : EXIT_NOT_RUNNING;
    }
    for (int ms = 0; ms < STOP_WAIT_MS; ms += 20) {
        if (!datadir_is_locked(c->paths_data)) {
            printf("ok\n");
            return EXIT_OK;
        }
        usleep(20000);
    }
    fprintf(stderr, "iorio: process %ld did not stop within %d s\n", pid, STOP_WAIT_MS / 1000);
    return EXIT_NOT_RUNNING;
}

/* ---- ping ---- */

static int connect_to(char *where)
{
    char *colon = strrchr(where, ':');
    if (colon == NULL) return -1;
    *colon = 0;
    const char *host = where;
    if (strcmp(host, "[::]") == 0 || strcmp(host, "0.0.0.0") == 0) host = "127.0.0.1";
    char plain[128];
    size_t n = strlen(host);
    if (host[0] == '[' && n > 2) { /* [addr] */
        snprintf(plain, sizeof plain, "%.*s", (int)(n - 2), host + 1);
        host = plain;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval tv = {PING_MS / 1000, 0};
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
    }
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static void where_configured(const struct config *c, char *out, size_t room)
{
    const char *bind = c->http_enabled ? c->http_bind : c->https_bind;
    snprintf(out, room, "%s%.100s:%lld", c->http_enabled ? "" : "https://",
             bind[0] != 0 ? bind : "127.0.0.1",
             (long long)(c->http_enabled ? c->http_port : c->https_port));
}

enum exit_code control_ping(const struct config *c)
{
    static const char request[] =
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    long pid;
    char where[160];
    char answer[1024];
    if (!datadir_read_run(c->paths_data, &pid, where, sizeof where)) return not_running();
    if (where[0] == 0) /* there was no room for node.run */
        where_configured(c, where, sizeof where);
    bool tls = strncmp(where, "https://", 8) == 0;
    int fd = connect_to(where + (tls ? 8 : 0));
    if (fd < 0) return not_running();
    size_t n = 0;
    if (tls) {
        n = ping_tls(fd, request, sizeof request - 1, answer, sizeof answer - 1);
    } else if (write(fd, request, sizeof request - 1) == (ssize_t)sizeof request - 1) {
        ssize_t got;
        while (n < sizeof answer - 1 && (got = read(fd, answer + n, sizeof answer - 1 - n)) > 0)
            n += (size_t)got;
    }
    close(fd);
    answer[n] = 0;
    if (strstr(answer, "\"pong\"") == NULL) return not_running();
    printf("pong\n");
    return EXIT_OK;
}
