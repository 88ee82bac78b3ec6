/* proto/http/server_selftest.c - does the h2o that is installed behave as server_gate.c needs it?
 * Thread: the one that starts the node, before the workers run.
 * How: connections that are pairs of sockets, on the first worker's real loop, through the real
 * gate and the real handler: requests that follow each other without a pause, in pieces, in
 * chunks, and bad ones at each place where the gate has to step in. What comes back is
 * compared, status by status.
 * Failure modes: another h2o, where one of this is not so: INVAL with a sentence, and the node
 * does not start. A guard that is silently gone would be worse. */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

enum { TURNS_MAX = 50, PIECES_MAX = 4, ANSWER_BYTES_MAX = 4096 };

struct exchange {
    const char *what;
    const char *pieces[PIECES_MAX]; /* each is sent when the one before was taken */
    const char *statuses;           /* of the answers, and "." when the connection is ended */
};

#define HOST "HTTP/1.1\r\nHost: a\r\n"
#define GOOD "GET /self/test " HOST "\r\n"
static const struct exchange exchanges[] = {
    {"requests one behind the other", {GOOD GOOD, GOOD}, "404 404 404 "},
    {"a bad one behind a good one", {GOOD "GET / HTTP/1.1\r\n\r\n" GOOD}, "404 400 ."},
    {"a bad one that is not complete, behind a good one",
     {GOOD "GET / " HOST "X: y\r\n", " z\r\n\r\n"},
     "404 400 ."},
    {"a head in pieces", {"GET /self", "/test " HOST, "\r\n" GOOD}, "404 404 "},
    {"a bad head in pieces", {"GET / " HOST, "\n" GOOD}, "400 ."},
    {"a body with a length",
     {"POST /self " HOST "Content-Length: 3\r\n\r\na", "bc" GOOD},
     "404 404 "},
    {"a body in chunks",
     {"POST /self " HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "c\r\n0\r\n\r\n" GOOD},
     "404 404 "},
    {"a bad body in chunks",
     {"POST /self " HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "c\n0\r\n\r\n" GOOD},
     "400 ."},
    {"100 Continue",
     {"POST /self " HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", "abc" GOOD},
     "100 404 404 "},
};

void http_selftest_request(struct http_server *s, const h2o_req_t *req)
{
    s->request_offset = (size_t)((const char *)req - (const char *)req->conn);
}

static void turns(struct http_worker *hw)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        gate_wrap(hw);
        h2o_evloop_run(hw->evloop, 0);
    }
}

/* "404 404 " of what was answered, with "." for the end. */
static void read_statuses(int fd, char *out, size_t room)
{
    char answers[ANSWER_BYTES_MAX];
    size_t n = 0;
    ssize_t got;
    while ((got = recv(fd, answers + n, sizeof answers - 1 - n, MSG_DONTWAIT)) > 0)
        n += (size_t)got;
    answers[n] = 0;
    out[0] = 0;
    size_t used = 0;
    for (const char *p = answers; (p = strstr(p, "HTTP/1.1 ")) != NULL && used + 5 < room; p += 9)
        used += (size_t)snprintf(out + used, room - used, "%.3s ", p + 9);
    if (got == 0) snprintf(out + used, room - used, ".");
}

static bool run_one(struct http_worker *hw, const struct exchange *e)
{
    int fds[2];
    char statuses[64] = "";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) return false;
    h2o_socket_t *sock =
        h2o_evloop_socket_create(hw->evloop, fds[0], H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    bool ok = http_conn_new(hw, sock, false);
    for (int i = 0; i < PIECES_MAX && e->pieces[i] != NULL && ok; i++) {
        size_t n = strlen(e->pieces[i]);
        ok = send(fds[1], e->pieces[i], n, MSG_NOSIGNAL) == (ssize_t)n;
        turns(hw);
    }
    read_statuses(fds[1], statuses, sizeof statuses);
    close(fds[1]);
    turns(hw);
    http_linger_stop(hw);
    turns(hw);
    return ok && strcmp(statuses, e->statuses) == 0;
}

/* What the test itself has counted is taken back. */
static const enum metric counted[] = {METRIC_http_requests, METRIC_http_errors_4xx,
                                      METRIC_http_requests_refused};

static const char *run_all(struct http_worker *hw)
{
    int64_t before[IOR_LEN(counted)];
    const char *wrong = NULL;
    for (size_t i = 0; i < IOR_LEN(counted); i++) before[i] = metric_value(counted[i]);
    for (size_t i = 0; i < IOR_LEN(exchanges) && wrong == NULL; i++) {
        if (!run_one(hw, &exchanges[i])) wrong = exchanges[i].what;
    }
    if (wrong == NULL && hw->conns != NULL) wrong = "closing";
    for (size_t i = 0; i < IOR_LEN(counted); i++)
        metric_add(counted[i], (uint64_t)(before[i] - metric_value(counted[i])));
    return wrong;
}

enum ior_err http_selftest(struct http_server *s, struct ior_why *why)
{
    struct http_worker *hw = &s->workers[0];
    worker_enter(hw->worker);
    const char *wrong = run_all(hw);
    worker_enter(NULL);
    s->tested = wrong == NULL;
    if (wrong == NULL) return IOR_OK;
    return ior_why_set(
        why, IOR_E_INVAL,
        "the installed libh2o-evloop is not the one that this program was made for "
        "(2.2.5): the guard against malformed requests does not work with it, seen at: "
        "%s",
        wrong);
}
