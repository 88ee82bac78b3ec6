/* test/fuzz/target_http.c - any bytes into a connection of a whole node in this process: one worker
 * with the HTTP server, the journal's threads, a data directory that everybody may use.
 * The input's bytes are sent as they come; what is answered within a moment is read. A
 * byte 0x1e is not sent but waits for such a moment; a byte 0x1d cuts the connection.
 * Checked: what comes back starts like an answer; the connection ends soon after the client
 * has ended its side; the node goes on serving others. */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/login.h"
#include "base/assert.h"
#include "base/log.h"
#include "proto/http/server.h"
#include "rt/loop.h"
#include "store/journal_thread.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum {
    ANSWER_ROOM = 1 << 16,
    MOMENT_MS = 2,
    PATIENCE_MS = 10000,
    PING_EVERY = 256,
    PIECES_MAX = 8,
    WAIT_BYTE = 0x1e,
    CUT_BYTE = 0x1d
};

static char dir[64];
static struct worker worker;
static struct worker *workers[] = {&worker};
static struct loop *loop;
static struct config config;
static struct http_app app;
static struct http_server *server;
static sem_t started;
static struct sockaddr_in address = {.sin_family = AF_INET};

/* ---- the node ---- */

static void remove_dir(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    int rc = system(command);
    (void)rc;
}

static enum ior_err open_kv(void *ctx, struct kv **ret, struct ior_why *why)
{
    (void)ctx;
    return kv_lmdb_open(dir, 64 << 20, ret, why);
}

static void open_node(void)
{
    struct disk *disk = NULL;
    struct journal_replay_report report;
    struct ior_why why;
    snprintf(dir, sizeof dir, "/tmp/iorio-fuzz-http-XXXXXX");
    IOR_ASSERT(mkdtemp(dir) != NULL);
    atexit(remove_dir);
    enum ior_err err = disk_posix_open(dir, &disk, &why);
    IOR_ASSERT(err == IOR_OK);
    err = loop_new(&worker, 0, &loop);
    IOR_ASSERT(err == IOR_OK);
    struct job_queue *disk_jobs = NULL;
    err = job_queue_new("disk", 1, 1024, 0, &disk_jobs);
    IOR_ASSERT(err == IOR_OK);
    const struct node_params p = {
        .disk = disk,
        .name = "fuzz@127.0.0.1",
        .ring_size = 8,
        .segment_bytes = 1 << 20,
        .journal_bytes_max = 1 << 30,
        .tail_bytes_max = 64 << 20,
        .history_bytes_max = 1 << 20,
        .history_items_max = 50,
        .history_stream_bytes_max = 64 << 10,
        .chunk_items_max = 64,
        .chunk_bytes_max = 64 << 10,
        .small_bytes_max = 4096,
        .stream_idle_ms = 1000,
        .open_kv = open_kv,
        .disk_jobs = disk_jobs,
        .dedupe_window_ms = 120000,
        .dedupe_bytes_max = 1 << 20,
        .inflight_bytes_max = 8 << 20,
        .workers = workers,
        .worker_count = 1,
    };
    err = node_open(&p, &app.node, &report, &why);
    if (err != IOR_OK) IOR_WRONG(why.text);
}

static void change_done(struct meta_change *c)
{
    IOR_ASSERT(c->err == IOR_OK);
    *(bool *)c->user = true;
}

/* Everybody may do everything, so that the inputs come further than to 401. */
static void grant_all(void)
{
    struct meta_change *c = NULL;
    bool done = false;
    enum ior_err err = meta_change_new(&c);
    if (err == IOR_OK)
        err = meta_change_set(
            c, IOR_SLICE("grant" FACT_SEP "all" FACT_SEP FACT_SEP "any" FACT_SEP FACT_SEP),
            IOR_SLICE("{\"perms\":[\"get\",\"put\",\"delete\",\"list\"]}"));
    IOR_ASSERT(err == IOR_OK);
    c->user = &done;
    worker_enter(&worker);
    err = meta_change_submit(app.node->meta, c, change_done);
    IOR_ASSERT(err == IOR_OK);
    while (!done) {
        worker_turn(&worker);
        while (journal_begin(app.node->journal)) journal_finish(app.node->journal);
    }
    worker_enter(NULL);
    meta_change_free(c);
}

static void open_door(struct msg *m)
{
    (void)m;
    http_worker_start(server, &worker);
    sem_post(&started);
}

static void kick(void *ctx)
{
    journal_kick(ctx, worker_current());
}

static void *run_worker(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void open_server(void)
{
    static struct msg door = {.run = open_door};
    struct ior_why why;
    config_set_defaults(&config, "/tmp");
    /* Limits that never refuse, and a client who is believed whatever he says. */
    memcpy(config.http_proxies, "127.0.0.1", sizeof "127.0.0.1");
    config.limits_address_requests = config_rate(1000000000, 1);
    config.limits_bucket_writes = config_rate(1ull << 38, 1);
    config.limits_bucket_streams = 1000000;
    config.http_cors_enabled = true; /* and the lines of the request log are made, too */
    snprintf(config.request_log, sizeof config.request_log, "json");
    snprintf(config.request_log_file, sizeof config.request_log_file, "/dev/null");
    app.config = &config;
    app.worker_count = 1;
    enum ior_err err = token_key_init(&app.key, "hs256", IOR_SLICE("0123456789abcdef"), &why);
    if (err == IOR_OK) err = job_queue_new("crypto", 1, CRYPTO_QUEUE_MAX, 0, &app.crypto);
    if (err == IOR_OK) err = login_desk_new(app.crypto, 1, &app.logins);
    if (err == IOR_OK) err = http_server_new(&app, &loop, workers, &server, &why);
    if (err == IOR_OK) err = http_server_listen(server, HTTP_DOOR_PLAIN, "127.0.0.1", 0, &why);
    if (err != IOR_OK) IOR_WRONG(why.text);
    const char *where = http_server_where(server, HTTP_DOOR_PLAIN);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strrchr(where, ':') + 1));
    worker_post(&worker, &door);
}

static void set_up(void)
{
    pthread_t thread;
    struct journal_thread *journal_thread = NULL;
    if (server != NULL) return;
    signal(SIGPIPE, SIG_IGN);
    log_set_level("error");
    sem_init(&started, 0, 0);
    open_node();
    grant_all();
    open_server();
    worker_on_turn_end(&worker, kick, app.node->journal);
    enum ior_err err = journal_thread_start(app.node->journal, &journal_thread);
    IOR_ASSERT(err == IOR_OK);
    atomic_store(&app.ready, true);
    int rc = pthread_create(&thread, NULL, run_worker, loop);
    IOR_ASSERT(rc == 0);
    while (sem_wait(&started) != 0) {
    }
}

/* ---- the client ---- */

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

/* Bytes of the answer; whatever is beyond the room is thrown away. False: the end has come. */
static bool take(int fd, uint8_t *answer, size_t *n)
{
    uint8_t rest[4096];
    bool full = *n == ANSWER_ROOM;
    ssize_t got = full ? read(fd, rest, sizeof rest) : read(fd, answer + *n, ANSWER_ROOM - *n);
    if (got > 0 && !full) *n += (size_t)got;
    return got > 0;
}

static int connect_to_node(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    IOR_ASSERT(fd >= 0);
    int rc = connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address);
    IOR_ASSERT(rc == 0);
    return fd;
}

/* No TIME_WAIT, for there are many connections: whatever is under way is cut. */
static void cut(int fd)
{
    static const struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void send_piece(int fd, const uint8_t *data, size_t size_bytes)
{
    size_t sent = 0;
    while (sent < size_bytes) {
        ssize_t w = send(fd, data + sent, size_bytes - sent, 0);
        if (w <= 0) return; /* it has had enough of us */
        sent += (size_t)w;
    }
}

/* Up to the next byte that is not sent. */
static size_t piece_bytes(const uint8_t *data, size_t size_bytes)
{
    size_t n = 0;
    while (n < size_bytes && data[n] != WAIT_BYTE && data[n] != CUT_BYTE) n++;
    return n;
}

/* Send, take what comes, end our side, take what still comes. The length of the answer. */
static size_t talk(const uint8_t *data, size_t size_bytes, uint8_t *answer)
{
    size_t n = 0;
    int fd = connect_to_node();
    bool open = true;
    for (int pieces = 0; open && pieces < PIECES_MAX; pieces++) {
        size_t piece = piece_bytes(data, size_bytes);
        send_piece(fd, data, piece);
        if (piece < size_bytes && data[piece] == CUT_BYTE) {
            cut(fd);
            return n;
        }
        while (open && readable(fd, MOMENT_MS)) open = take(fd, answer, &n);
        if (piece == size_bytes) break;
        data += piece + 1;
        size_bytes -= piece + 1;
    }
    shutdown(fd, SHUT_WR);
    while (open) {
        IOR_ASSERT(readable(fd, PATIENCE_MS));
        open = take(fd, answer, &n);
    }
    cut(fd);
    return n;
}

static void check_serves(uint8_t *answer)
{
    static const char ping[] = "GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    size_t n = talk((const uint8_t *)ping, sizeof ping - 1, answer);
    IOR_ASSERT(n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0);
    IOR_ASSERT(memmem(answer, n, "{\"pong\":\"iorio@127.0.0.1\"}", 26) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static uint8_t answer[ANSWER_ROOM];
    static unsigned inputs;
    set_up();
    size_t n = talk(data, size_bytes, answer);
    if (n >= 16) { /* it may have been cut */
        IOR_ASSERT(memcmp(answer, "HTTP/1.1 ", 9) == 0);
        IOR_ASSERT(answer[9] >= '1' && answer[9] <= '5');
    }
    if (inputs++ % PING_EVERY == 0) check_serves(answer);
    return 0;
}
