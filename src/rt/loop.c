/* src/rt/loop.c - see loop.h. Happy path of a turn: sleep in the poller until a
 * socket, a wake-up or a timer; run libuv's callbacks without waiting; then
 * worker_turn(). The async handle keeps the libuv loop alive, so its timeout is
 * never 0 without a reason. */
#include "rt/loop.h"

#include <poll.h>
#include <stdlib.h>
#include <uv.h>

#include "base/assert.h"
#include "rt/clock.h"

enum { TICK_MS = 100, LOOP_MAGIC = 0x6c6f6f70 };

struct loop {
    uint32_t magic;
    struct worker *worker;
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t tick;
    struct poller poller;
    _Atomic bool stop;
};

static void on_wake(uv_async_t *a)
{
    (void)a; /* only ends the sleep; the turn drains the mailbox */
}

static void on_tick(uv_timer_t *t)
{
    struct loop *l = t->data;
    worker_tick(l->worker);
}

static void wake(void *ctx)
{
    struct loop *l = ctx;
    uv_async_send(&l->wake);
}

/* The poller of a worker that has no sockets: wait for libuv's own descriptor. */
static bool plain_wait(void *ctx, int timeout_ms)
{
    struct loop *l = ctx;
    struct pollfd p = {.fd = uv_backend_fd(&l->uv), .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0;
}

static bool plain_busy(void *ctx)
{
    (void)ctx;
    return false;
}

enum ior_err loop_new(struct worker *w, unsigned id, struct loop **ret)
{
    struct loop *l = calloc(1, sizeof *l);
    if (l == NULL) return IOR_E_NOMEM;
    l->magic = LOOP_MAGIC;
    l->worker = w;
    if (uv_loop_init(&l->uv) != 0) {
        free(l);
        return IOR_E_IO;
    }
    int rc = uv_async_init(&l->uv, &l->wake, on_wake);
    IOR_ASSERT(rc == 0);
    rc = uv_timer_init(&l->uv, &l->tick);
    IOR_ASSERT(rc == 0);
    l->tick.data = l;
    l->poller = (struct poller){plain_wait, plain_busy, l};
    worker_init(w, id, wake, l);
    *ret = l;
    return IOR_OK;
}

int loop_backend_fd(struct loop *l)
{
    return uv_backend_fd(&l->uv);
}

void loop_set_poller(struct loop *l, struct poller p)
{
    IOR_CHECK_MAGIC(l, LOOP_MAGIC);
    l->poller = p;
}

static void start_tick(struct loop *l)
{
    uv_update_time(&l->uv); /* a timer must start from fresh time */
    uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
}

void loop_run(struct loop *l)
{
    IOR_CHECK_MAGIC(l, LOOP_MAGIC);
    worker_enter(l->worker);
    start_tick(l);
    bool more = true;
    while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
        uv_update_time(&l->uv);
        int timeout_ms = uv_backend_timeout(&l->uv);
        if (more || l->poller.busy(l->poller.ctx)) timeout_ms = 0;
        clock_turn_forget(); /* it may sleep now */
        bool ready = l->poller.wait(l->poller.ctx, timeout_ms);
        uv_update_time(&l->uv);
        if (ready || uv_backend_timeout(&l->uv) == 0) uv_run(&l->uv, UV_RUN_NOWAIT);
        more = worker_turn(l->worker);
    }
    worker_enter(NULL);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stop, true);
    uv_async_send(&l->wake);
}

void loop_free(struct loop *l)
{
    if (l == NULL) return;
    IOR_CHECK_MAGIC(l, LOOP_MAGIC);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->tick, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&l->uv);
    IOR_ASSERT(rc == 0);
    l->magic = 0;
    free(l);
}
