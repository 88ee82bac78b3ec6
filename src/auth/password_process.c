/* src/auth/password_process.c - see password_process.h.
 * Happy path: a question is one packet on a pair of sockets, the answer another. The child is this
 * program with another verb: so it has nothing of the node's memory, keys or files. It ends
 * when its end of the pair is closed, however the node ended.
 * Failure modes: it dies (somebody kills it, memory is short): it is started again, once for each
 * question. It cannot be started, or does not answer in ANSWER_S: a line in the log, and
 * the caller does the work in this process; the next question tries again after RETRY_S. */
#include "auth/password_process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "rt/clock.h"

enum { ANSWER_S = 60, RETRY_US = 10000000, NICE = 19 };
enum { ASK_HASH = 'h', ASK_VERIFY = 'v' };

struct question {
    uint8_t what;
    uint32_t password_bytes;
    char hash[PASSWORD_HASH_BYTES]; /* to verify against */
    char password[PASSWORD_BYTES_MAX];
};

struct answer {
    uint8_t err;                    /* enum ior_err */
    uint8_t right;                  /* of a verification */
    char hash[PASSWORD_HASH_BYTES]; /* of a new password */
};

static struct {
    pthread_mutex_t lock;
    const char *program; /* NULL: not started */
    pid_t pid;           /* 0: it does not run */
    int fd;
    uint64_t failed_us; /* it could not be had at this time; 0: it could */
} process = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

/* ---- the node's side ---- */

/* The lock is held, here and in the following. */
static void end_child(void)
{
    if (process.pid == 0) return;
    close(process.fd);
    kill(process.pid, SIGKILL); /* it may not answer because it is stopped */
    while (waitpid(process.pid, NULL, 0) < 0 && errno == EINTR) {
    }
    process.pid = 0;
    process.fd = -1;
}

/* The configuration may be in the environment, passwords included: it is not for the child. */
static char **environment(void)
{
    size_t count = 0;
    while (environ[count] != NULL) count++;
    char **out = calloc(count + 1, sizeof *out);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i < count; i++) {
        if (strncmp(environ[i], "IORIO_", 6) != 0) out[n++] = environ[i];
    }
    return out;
}

static bool spawn(int fd)
{
    char verb[] = PASSWORD_PROCESS_VERB;
    char name[] = "iorio-passwords";
    char *const args[] = {name, verb, NULL};
    char **env = environment();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    int rc = env == NULL ? ENOMEM
                         : posix_spawn(&process.pid, process.program, &actions, NULL, args, env);
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    if (rc != 0) process.pid = 0;
    errno = rc;
    return rc == 0;
}

static bool start_child(void)
{
    static const struct timeval patience = {.tv_sec = ANSWER_S};
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
    bool ok = setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
              spawn(ends[1]);
    int e = errno;
    close(ends[1]);
    if (ok) process.fd = ends[0];
    if (!ok) close(ends[0]);
    errno = e;
    return ok;
}

static bool ask_once(const struct question *q, struct answer *a)
{
    if (process.pid == 0 && !start_child()) return false;
    ssize_t n;
    do {
        n = send(process.fd, q, sizeof *q, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *q) {
        do {
            n = recv(process.fd, a, sizeof *a, 0);
        } while (n < 0 && errno == EINTR);
        if (n == (ssize_t)sizeof *a) return true;
    }
    int e = n == 0 ? ECONNRESET : errno;
    end_child();
    errno = e;
    return false;
}

static bool ask(const struct question *q, struct answer *a)
{
    bool ok = false;
    pthread_mutex_lock(&process.lock);
    bool may = process.program != NULL &&
               (process.failed_us == 0 || clock_mono_us() - process.failed_us > RETRY_US);
    for (int tries = 0; may && !ok && tries < 2; tries++) ok = ask_once(q, a);
    if (may && !ok) {
        LOG_WARNING("auth", "no process for passwords",
                    "err=\"%s\": they are checked in this one, which may hold up others",
                    strerror(errno));
        process.failed_us = clock_mono_us();
    }
    if (ok) process.failed_us = 0;
    pthread_mutex_unlock(&process.lock);
    return ok;
}

static struct question question_of(uint8_t what, struct ior_slice password)
{
    struct question q = {.what = what, .password_bytes = (uint32_t)password.size_bytes};
    IOR_ASSERT(password.size_bytes > 0 && password.size_bytes <= sizeof q.password);
    memcpy(q.password, password.data, password.size_bytes);
    return q;
}

bool password_process_hash(struct ior_slice password, char out[PASSWORD_HASH_BYTES],
                           enum ior_err *ret)
{
    struct question q = question_of(ASK_HASH, password);
    struct answer a;
    bool ok = ask(&q, &a);
    explicit_bzero(&q, sizeof q);
    if (!ok) return false;
    *ret = a.err == 0 ? IOR_OK : IOR_E_NOMEM;
    if (a.err == 0) memcpy(out, a.hash, PASSWORD_HASH_BYTES);
    return true;
}

bool password_process_verify(const char *hash, struct ior_slice password, bool *ret)
{
    struct question q = question_of(ASK_VERIFY, password);
    struct answer a;
    IOR_ASSERT(strlen(hash) < sizeof q.hash);
    memcpy(q.hash, hash, strlen(hash));
    bool ok = ask(&q, &a);
    explicit_bzero(&q, sizeof q);
    if (ok) *ret = a.right == 1;
    return ok;
}

void password_process_start(const char *program)
{
    pthread_mutex_lock(&process.lock);
    process.program = program;
    process.failed_us = 0;
    pthread_mutex_unlock(&process.lock);
}

void password_process_stop(void)
{
    pthread_mutex_lock(&process.lock);
    process.program = NULL;
    end_child();
    pthread_mutex_unlock(&process.lock);
}

int password_process_pid(void)
{
    pthread_mutex_lock(&process.lock);
    int pid = (int)process.pid;
    pthread_mutex_unlock(&process.lock);
    return pid;
}

/* ---- the child's side ---- */

static void work(const struct question *q, struct answer *a)
{
    struct ior_slice password = ior_slice(q->password, q->password_bytes);
    *a = (struct answer){0};
    if (q->what == ASK_HASH) a->err = password_hash(password, a->hash) != IOR_OK;
    if (q->what == ASK_VERIFY) a->right = password_verify(q->hash, password);
}

static bool fits(const struct question *q, ssize_t n)
{
    return n == (ssize_t)sizeof *q && q->password_bytes > 0 &&
           q->password_bytes <= sizeof q->password && memchr(q->hash, 0, sizeof q->hash) != NULL;
}

int password_process_main(void)
{
    static const struct rlimit no_core;
    struct question q;
    struct answer a;
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(STDIN_FILENO, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET)
        return 1; /* nobody but a node starts it */
    close_range(STDERR_FILENO + 1, ~0u, 0);
    close(STDOUT_FILENO);
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_DUMPABLE, 0);
    setpriority(PRIO_PROCESS, 0, NICE);
    if (password_init() != IOR_OK) return 1;
    for (;;) {
        ssize_t n = recv(STDIN_FILENO, &q, sizeof q, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0; /* the node is gone */
        if (!fits(&q, n)) return 1;
        work(&q, &a);
        explicit_bzero(&q, sizeof q);
        n = send(STDIN_FILENO, &a, sizeof a, MSG_NOSIGNAL);
        explicit_bzero(&a, sizeof a);
        if (n < 0) return 0;
    }
}
