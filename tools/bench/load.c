/* tools/bench/load.c - the load client of the benchmarks. One thread, one
 * epoll, nothing but libc (and OpenSSL, when --cafile asks for TLS): it is the same
 * program for every server under test, and it counts their answers in the same way.
 *
 * Happy path: every connection is opened, then each sends one prebuilt request
 * with one send(), waits for the whole answer, checks it and sends the next one
 * (a closed loop: never two requests in flight on a connection). The requests go
 * round-robin over the streams. Answers that arrive between the end of the
 * warm-up and the end of the run make the figures; then nothing more is sent and
 * what is still in flight is waited for. So `acked_total` is what the server
 * must have kept: the runner compares the two.
 *
 * Modes: post and get (HTTP/1.1 keep-alive, the answer needs a Content-Length,
 * acknowledged means status 2xx) and xadd (RESP: XADD, one bulk reply).
 *
 * Failures: another status, an error reply or a body that is not the --expect
 * one counts as refused and the connection goes on; an answer that cannot be
 * parsed or a closed connection counts as lost and the connection is not opened
 * again; no answer at all for ten seconds ends the run and what is in flight
 * counts as unanswered. The first fault of a kind is shown on standard error.
 * Exit code: 0 all acknowledged, 3 some not, 2 wrong options, 1 no run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MAX = 10000,
    STREAMS_MAX = 1000000,
    HEADERS_BYTES_MAX = 16 * 1024,
    BODY_BYTES_MAX = 64 * 1024 * 1024,
    ANSWER_BYTES_MAX = 64 * 1024, /* per connection; an answer must fit */
    SHOWN_BYTES_MAX = 400,        /* of a wrong answer */
    NUMBERED_BODY_BYTES_MAX = 1024,
    EVENTS_MAX = 512,
    TICK_MS = 100,
    HISTOGRAM_SLOTS = 60 * 32
};
#define SECOND_NS UINT64_C(1000000000)
#define STALL_NS (10 * SECOND_NS)

enum mode { MODE_POST, MODE_GET, MODE_XADD };
enum verdict { ANSWER_PARTIAL, ANSWER_ACKED, ANSWER_REFUSED, ANSWER_BROKEN };

struct request {
    char *data;
    size_t size_bytes;
};

struct conn {
    int fd;
    bool wants_out;                /* epoll also watches for room to send */
    bool busy;                     /* a request is in flight */
    const struct request *request; /* the one in flight */
    size_t sent_bytes;             /* of it */
    size_t answer_bytes;           /* got so far */
    uint64_t sent_ns;
    char *answer;
    SSL *ssl; /* NULL: plain TCP */
};

struct options {
    enum mode mode;
    const char *host;
    uint16_t port;
    int connections;
    int streams;
    double seconds;
    double warmup_seconds;
    const char *path;   /* "%d" in it: the number of the stream */
    const char *key;    /* the same, of a redis stream */
    const char *cafile; /* TLS, with a server that this authority has signed, or NULL */
    const char *expect; /* what the body of every answer must be, or NULL */
    size_t expect_bytes;
    char *body;
    const char *body_pattern; /* a body for each stream, with its number for "%d"; or NULL */
    size_t body_bytes;
    char headers[HEADERS_BYTES_MAX];
};

struct counts {
    uint64_t sent;
    uint64_t acked_total; /* warm-up and the last answers included */
    uint64_t acked;       /* inside the measured time */
    uint64_t refused;
    uint64_t lost;
    uint64_t in_bytes;
    uint64_t max_ns;
    uint64_t histogram[HISTOGRAM_SLOTS]; /* log-linear, 32 steps a power of two */
};

static struct options opt = {.host = "127.0.0.1",
                             .connections = 1,
                             .streams = 1,
                             .seconds = 5,
                             .warmup_seconds = 0.5,
                             .path = "/streams/b/s%d",
                             .key = "s%d",
                             .body_bytes = 100};
static struct counts count;
static struct conn *conns;
static struct request *requests;
static int next_request;
static int busy_conns;
static int epoll_fd;
static uint64_t count_from_ns, count_to_ns, last_answer_ns;

__attribute__((noreturn, format(printf, 2, 3))) static void die(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

static void *alloc(size_t size_bytes)
{
    void *p = calloc(1, size_bytes);
    if (p == NULL) die(1, "out of memory");
    return p;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* --- latencies --- */

static size_t slot_of(uint64_t ns)
{
    if (ns < 32) return (size_t)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    return (size_t)(top - 4) * 32 + (size_t)((ns >> (top - 5)) & 31);
}

/* The largest latency that falls into the slot: never below the true one, and
 * at most 1/32 above it. */
static uint64_t slot_end_ns(size_t slot)
{
    if (slot < 32) return slot;
    unsigned shift = (unsigned)(slot / 32) - 1;
    return ((32 + (uint64_t)(slot % 32) + 1) << shift) - 1;
}

static double percentile_us(double percent)
{
    uint64_t rank = (uint64_t)((double)count.acked * percent / 100.0), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += count.histogram[i];
        if (seen > rank) {
            uint64_t ns = slot_end_ns(i);
            return (double)(ns < count.max_ns ? ns : count.max_ns) / 1000.0;
        }
    }
    return (double)count.max_ns / 1000.0;
}

/* --- requests --- */

/* "/streams/b/s%d" and 3 -> "/streams/b/s3". Not printf: the text is the user's. */
static void number_name(char *out, size_t out_bytes, const char *pattern, int number)
{
    const char *mark = strstr(pattern, "%d");
    int n = mark == NULL ? snprintf(out, out_bytes, "%s", pattern)
                         : snprintf(out, out_bytes, "%.*s%d%s", (int)(mark - pattern), pattern,
                                    number, mark + 2);
    if (n < 0 || (size_t)n >= out_bytes) die(2, "a path or key is too long");
}

static int format_head(char *out, size_t out_bytes, const char *name)
{
    switch (opt.mode) {
    case MODE_POST:
        return snprintf(out, out_bytes,
                        "POST %s HTTP/1.1\r\nHost: %s:%u\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n%s\r\n",
                        name, opt.host, (unsigned)opt.port, opt.body_bytes, opt.headers);
    case MODE_GET:
        return snprintf(out, out_bytes, "GET %s HTTP/1.1\r\nHost: %s:%u\r\n%s\r\n", name, opt.host,
                        (unsigned)opt.port, opt.headers);
    case MODE_XADD:
        return snprintf(out, out_bytes,
                        "*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$1\r\nd\r\n$%zu\r\n",
                        strlen(name), name, opt.body_bytes);
    }
    return -1;
}

static void build_requests(void)
{
    enum { HEAD_BYTES_MAX = HEADERS_BYTES_MAX + 4096 };
    size_t body_bytes = opt.mode == MODE_GET ? 0 : opt.body_bytes;
    size_t tail_bytes = opt.mode == MODE_XADD ? 2 : 0;
    requests = alloc((size_t)opt.streams * sizeof *requests);
    for (int i = 0; i < opt.streams; i++) {
        char name[2048];
        number_name(name, sizeof name, opt.mode == MODE_XADD ? opt.key : opt.path, i);
        struct request *r = &requests[i];
        if (opt.body_pattern != NULL) {
            number_name(opt.body, NUMBERED_BODY_BYTES_MAX, opt.body_pattern, i);
            body_bytes = opt.body_bytes = strlen(opt.body);
        }
        char head[HEAD_BYTES_MAX];
        int n = format_head(head, sizeof head, name);
        if (n < 0 || n >= HEAD_BYTES_MAX) die(2, "the request head is too long");
        r->data = alloc((size_t)n + body_bytes + tail_bytes);
        memcpy(r->data, head, (size_t)n);
        if (body_bytes > 0) memcpy(r->data + n, opt.body, body_bytes);
        memcpy(r->data + (size_t)n + body_bytes, "\r\n", tail_bytes);
        r->size_bytes = (size_t)n + body_bytes + tail_bytes;
    }
}

/* --- answers: each parser sets the size of a complete answer --- */

static bool read_decimal(const char *p, const char *end, size_t *ret_value)
{
    size_t value = 0;
    while (p < end && *p == ' ') p++;
    const char *first = p;
    for (; p < end && *p >= '0' && *p <= '9' && value <= ANSWER_BYTES_MAX; p++) {
        value = value * 10 + (size_t)(*p - '0');
    }
    *ret_value = value;
    return p > first && p < end && *p == '\r';
}

static bool body_expected(const char *body, size_t body_bytes)
{
    return opt.expect == NULL ||
           (body_bytes == opt.expect_bytes && memcmp(body, opt.expect, body_bytes) == 0);
}

static enum verdict parse_http(const char *data, size_t size_bytes, size_t *ret_size)
{
    static const char name[] = "content-length:";
    const char *end = data + size_bytes;
    size_t body_bytes = 0;
    bool framed = false;
    const char *line = memchr(data, '\n', size_bytes);
    for (;;) {
        if (line == NULL || end - line < 3) return ANSWER_PARTIAL;
        line++;
        if (*line == '\r') break;
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (line_end == NULL) return ANSWER_PARTIAL;
        if ((*line | 0x20) == 'c' && (size_t)(line_end - line) >= sizeof name &&
            strncasecmp(line, name, sizeof name - 1) == 0) {
            if (!read_decimal(line + sizeof name - 1, line_end, &body_bytes)) return ANSWER_BROKEN;
            framed = true;
        }
        line = line_end;
    }
    if (line - data < 14 || memcmp(data, "HTTP/1.1 ", 9) != 0 || line[1] != '\n') {
        return ANSWER_BROKEN;
    }
    if (!framed && memcmp(data + 9, "204", 3) != 0) return ANSWER_BROKEN;
    const char *body = line + 2;
    *ret_size = (size_t)(body - data) + body_bytes;
    if (*ret_size > ANSWER_BYTES_MAX) return ANSWER_BROKEN;
    if (*ret_size > size_bytes) return ANSWER_PARTIAL;
    return data[9] == '2' && body_expected(body, body_bytes) ? ANSWER_ACKED : ANSWER_REFUSED;
}

static enum verdict parse_bulk(const char *data, size_t size_bytes, size_t *ret_size)
{
    const char *line_end = memchr(data, '\n', size_bytes);
    size_t bulk_bytes = 0;
    if (line_end == NULL) return ANSWER_PARTIAL;
    size_t line_bytes = (size_t)(line_end - data) + 1;
    *ret_size = line_bytes;
    if (data[0] == '-') return ANSWER_REFUSED;
    if (data[0] != '$' || !read_decimal(data + 1, line_end, &bulk_bytes)) return ANSWER_BROKEN;
    *ret_size = line_bytes + bulk_bytes + 2;
    if (*ret_size > ANSWER_BYTES_MAX) return ANSWER_BROKEN;
    return *ret_size > size_bytes ? ANSWER_PARTIAL : ANSWER_ACKED;
}

/* --- connections --- */

static void watch(struct conn *c, int op, bool wants_out)
{
    struct epoll_event e = {.events = EPOLLIN | (wants_out ? (uint32_t)EPOLLOUT : 0u),
                            .data.ptr = c};
    if (epoll_ctl(epoll_fd, op, c->fd, &e) != 0) die(1, "epoll_ctl: %s", strerror(errno));
    c->wants_out = wants_out;
}

static void lose(struct conn *c, const char *why)
{
    if (count.lost++ == 0) fprintf(stderr, "load: a connection was lost: %s\n", why);
    close(c->fd); /* epoll forgets it */
    c->fd = -1;
    if (c->busy) busy_conns--;
    c->busy = false;
}

/* send() and recv(), whatever is between: -1 and EAGAIN when it has to wait. */
static ssize_t tls_result(const struct conn *c, int n)
{
    if (n > 0) return n;
    int why = SSL_get_error(c->ssl, n);
    if (why == SSL_ERROR_ZERO_RETURN) return 0;
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    ERR_clear_error();
    return -1;
}

static ssize_t send_bytes(struct conn *c, const char *data, size_t size_bytes)
{
    if (c->ssl == NULL) return send(c->fd, data, size_bytes, MSG_NOSIGNAL);
    return tls_result(c, SSL_write(c->ssl, data, (int)size_bytes));
}

static ssize_t recv_bytes(struct conn *c, char *data, size_t room)
{
    if (c->ssl == NULL) return recv(c->fd, data, room, 0);
    return tls_result(c, SSL_read(c->ssl, data, (int)room));
}

static void push_request(struct conn *c)
{
    size_t left_bytes = c->request->size_bytes - c->sent_bytes;
    ssize_t n = send_bytes(c, c->request->data + c->sent_bytes, left_bytes);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose(c, strerror(errno));
        return;
    }
    if (n > 0) c->sent_bytes += (size_t)n;
    bool wants_out = c->sent_bytes < c->request->size_bytes;
    if (wants_out != c->wants_out) watch(c, EPOLL_CTL_MOD, wants_out);
}

static void send_request(struct conn *c, uint64_t at_ns)
{
    c->request = &requests[next_request];
    next_request = next_request + 1 == opt.streams ? 0 : next_request + 1;
    c->sent_bytes = 0;
    c->answer_bytes = 0;
    c->sent_ns = at_ns;
    c->busy = true;
    busy_conns++;
    count.sent++;
    push_request(c);
}

static void show_refused(const struct conn *c)
{
    int shown = (int)(c->answer_bytes < SHOWN_BYTES_MAX ? c->answer_bytes : SHOWN_BYTES_MAX);
    fprintf(stderr, "load: not acknowledged: %.*s\n", shown, c->answer);
}

static void take_answer(struct conn *c, enum verdict verdict)
{
    uint64_t at_ns = now_ns();
    last_answer_ns = at_ns;
    c->busy = false;
    busy_conns--;
    if (verdict == ANSWER_ACKED) {
        count.acked_total++;
        if (at_ns >= count_from_ns && at_ns < count_to_ns) {
            uint64_t took_ns = at_ns - c->sent_ns;
            count.acked++;
            count.histogram[slot_of(took_ns)]++;
            if (took_ns > count.max_ns) count.max_ns = took_ns;
        }
    } else if (count.refused++ == 0) {
        show_refused(c);
    }
    if (at_ns < count_to_ns) send_request(c, at_ns);
}

static void read_answer(struct conn *c)
{
    ssize_t n = recv_bytes(c, c->answer + c->answer_bytes, ANSWER_BYTES_MAX - c->answer_bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        lose(c, n == 0 ? "closed by the server" : strerror(errno));
        return;
    }
    count.in_bytes += (size_t)n;
    c->answer_bytes += (size_t)n;
    size_t whole_bytes = 0;
    enum verdict verdict = opt.mode == MODE_XADD
                               ? parse_bulk(c->answer, c->answer_bytes, &whole_bytes)
                               : parse_http(c->answer, c->answer_bytes, &whole_bytes);
    if (verdict == ANSWER_PARTIAL && c->answer_bytes < ANSWER_BYTES_MAX) return;
    if (verdict == ANSWER_PARTIAL || verdict == ANSWER_BROKEN || !c->busy ||
        whole_bytes != c->answer_bytes || c->sent_bytes < c->request->size_bytes) {
        show_refused(c);
        lose(c, "that is no single whole answer with a length");
        return;
    }
    take_answer(c, verdict);
}

static SSL_CTX *tls_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_load_verify_file(ctx, opt.cafile) != 1) {
        die(2, "--cafile %s: no certificates in it", opt.cafile);
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return ctx;
}

/* The handshake is done before the clock starts, with a socket that blocks. */
static void open_tls(struct conn *c, SSL_CTX *ctx)
{
    c->ssl = SSL_new(ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 ||
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), opt.host) != 1) {
        die(1, "out of memory");
    }
    if (SSL_connect(c->ssl) != 1) {
        die(1, "TLS with %s:%u: %s", opt.host, (unsigned)opt.port,
            ERR_reason_error_string(ERR_peek_error()));
    }
}

static void open_conn(struct conn *c, const struct sockaddr_in *address, SSL_CTX *tls)
{
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) die(1, "socket: %s", strerror(errno));
    if (connect(c->fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        die(1, "connect to %s:%u: %s", opt.host, (unsigned)opt.port, strerror(errno));
    }
    if (tls != NULL) open_tls(c, tls);
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) {
        die(1, "socket options: %s", strerror(errno));
    }
    c->answer = alloc(ANSWER_BYTES_MAX);
    watch(c, EPOLL_CTL_ADD, false);
}

static void open_conns(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
    if (inet_pton(AF_INET, opt.host, &address.sin_addr) != 1) die(2, "--host: an IPv4 address");
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die(1, "epoll: %s", strerror(errno));
    conns = alloc((size_t)opt.connections * sizeof *conns);
    SSL_CTX *tls = opt.cafile == NULL ? NULL : tls_context();
    for (int i = 0; i < opt.connections; i++) open_conn(&conns[i], &address, tls);
}

/* --- the run --- */

static void drive(void)
{
    static struct epoll_event events[EVENTS_MAX];
    uint64_t start_ns = now_ns();
    count_from_ns = start_ns + (uint64_t)(opt.warmup_seconds * 1e9);
    count_to_ns = count_from_ns + (uint64_t)(opt.seconds * 1e9);
    last_answer_ns = start_ns;
    for (int i = 0; i < opt.connections; i++) send_request(&conns[i], start_ns);
    while (busy_conns > 0) {
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, TICK_MS);
        if (n < 0 && errno != EINTR) die(1, "epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->wants_out && (events[i].events & EPOLLOUT) != 0) push_request(c);
            if (c->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT) != 0) read_answer(c);
            /* What OpenSSL has read already, epoll does not know of. */
            while (c->fd >= 0 && c->ssl != NULL && SSL_pending(c->ssl) > 0) read_answer(c);
        }
        if (n <= 0 && now_ns() - last_answer_ns > STALL_NS) break;
    }
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_result(double cpu_share)
{
    static const char *const names[] = {"post", "get", "xadd"};
    printf("{\"mode\":\"%s\",\"connections\":%d,\"streams\":%d,\"body_bytes\":%zu,"
           "\"seconds\":%.3f,\"acked\":%llu,\"rate\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"max_us\":%.1f,\"sent_total\":%llu,\"acked_total\":%llu,\"refused\":%llu,"
           "\"lost\":%llu,\"unanswered\":%d,\"in_bytes\":%llu,\"client_cpu\":%.3f}\n",
           names[opt.mode], opt.connections, opt.streams,
           opt.mode == MODE_GET ? (size_t)0 : opt.body_bytes, opt.seconds,
           (unsigned long long)count.acked, (double)count.acked / opt.seconds, percentile_us(50),
           percentile_us(99), (double)count.max_ns / 1000.0, (unsigned long long)count.sent,
           (unsigned long long)count.acked_total, (unsigned long long)count.refused,
           (unsigned long long)count.lost, busy_conns, (unsigned long long)count.in_bytes,
           cpu_share);
}

/* --- options --- */

static double number(const char *name, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        die(2, "--%s: a number from %g to %g", name, min, max);
    }
    return value;
}

static void add_header(const char *header)
{
    size_t used_bytes = strlen(opt.headers), room_bytes = sizeof opt.headers - used_bytes;
    int n = snprintf(opt.headers + used_bytes, room_bytes, "%s\r\n", header);
    if (n < 0 || (size_t)n >= room_bytes) die(2, "--header: too many or too long");
}

static void read_body(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (f == NULL) die(2, "--body-file %s: %s", file, strerror(errno));
    opt.body = alloc(BODY_BYTES_MAX);
    opt.body_bytes = fread(opt.body, 1, BODY_BYTES_MAX, f);
    if (ferror(f) != 0) die(2, "--body-file %s: cannot be read", file);
    fclose(f);
}

static void make_body(void)
{
    static const char head[] = "{\"event\":\"bench\",\"pad\":\"";
    size_t head_bytes = sizeof head - 1;
    opt.body = alloc(opt.body_bytes + 1);
    memset(opt.body, 'x', opt.body_bytes);
    memcpy(opt.body, head, head_bytes);
    memcpy(opt.body + opt.body_bytes - 2, "\"}", 2);
}

static void set_option(const char *name, const char *value)
{
    if (strcmp(name, "host") == 0) {
        opt.host = value;
    } else if (strcmp(name, "port") == 0) {
        opt.port = (uint16_t)number(name, value, 1, 65535);
    } else if (strcmp(name, "connections") == 0) {
        opt.connections = (int)number(name, value, 1, CONNECTIONS_MAX);
    } else if (strcmp(name, "streams") == 0) {
        opt.streams = (int)number(name, value, 1, STREAMS_MAX);
    } else if (strcmp(name, "seconds") == 0) {
        opt.seconds = number(name, value, 0.05, 3600);
    } else if (strcmp(name, "warmup") == 0) {
        opt.warmup_seconds = number(name, value, 0, 600);
    } else if (strcmp(name, "path") == 0) {
        opt.path = value;
    } else if (strcmp(name, "key") == 0) {
        opt.key = value;
    } else if (strcmp(name, "header") == 0) {
        add_header(value);
    } else if (strcmp(name, "body-bytes") == 0) {
        opt.body_bytes = (size_t)number(name, value, 32, BODY_BYTES_MAX);
    } else if (strcmp(name, "body-file") == 0) {
        read_body(value);
    } else if (strcmp(name, "body-pattern") == 0) {
        opt.body_pattern = value;
        opt.body = alloc(NUMBERED_BODY_BYTES_MAX);
    } else if (strcmp(name, "cafile") == 0) {
        opt.cafile = value;
    } else if (strcmp(name, "expect") == 0) {
        opt.expect = value;
        opt.expect_bytes = strlen(value);
    } else if (strcmp(value, "post") == 0) { /* --mode from here on */
        opt.mode = MODE_POST;
    } else if (strcmp(value, "get") == 0) {
        opt.mode = MODE_GET;
    } else if (strcmp(value, "xadd") == 0) {
        opt.mode = MODE_XADD;
    } else {
        die(2, "--mode: post, get or xadd");
    }
}

static void read_options(int argc, char **argv)
{
    static const char *const names[] = {
        "mode", "host",   "port",       "connections", "streams",      "seconds", "warmup", "path",
        "key",  "header", "body-bytes", "body-file",   "body-pattern", "expect",  "cafile"};
    enum { NAMES = sizeof names / sizeof names[0] };
    struct option longs[NAMES + 1];
    memset(longs, 0, sizeof longs);
    for (size_t i = 0; i < NAMES; i++) {
        longs[i].name = names[i];
        longs[i].has_arg = required_argument;
    }
    int which = 0, c;
    while ((c = getopt_long(argc, argv, "", longs, &which)) == 0) set_option(names[which], optarg);
    if (c != -1 || optind != argc || opt.port == 0) {
        die(2, "usage: load --mode post|get|xadd --port N [--host ADDRESS] [--connections N]\n"
               "  [--streams N] [--path /streams/b/s%%d] [--key s%%d] [--header 'k: v']...\n"
               "  [--body-bytes N | --body-file FILE | --body-pattern TEXT%%d] [--expect BODY]\n"
               "  [--seconds S] [--warmup S] [--cafile FILE]");
    }
    if (opt.body == NULL) make_body();
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    build_requests();
    open_conns();
    uint64_t start_ns = now_ns();
    double cpu_before = cpu_seconds();
    drive();
    print_result((cpu_seconds() - cpu_before) / ((double)(now_ns() - start_ns) / 1e9));
    return count.refused + count.lost > 0 || busy_conns > 0 ? 3 : 0;
}
