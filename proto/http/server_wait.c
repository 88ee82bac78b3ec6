/* proto/http/server_wait.c - requests that wait for something that may never come
 * (call_wait() in call.h). Thread: the worker of the connection.
 * Happy path: the handler answers, and the waiting is over without a word.
 * Else its function is called once: the time is up, the node stops, or the client is gone.
 * Deadlines lie in a wheel: a tick looks only at those of its 100 ms, and at those of a
 * later round.
 * Who asked for it is checked when the policy or the revoked tokens of this worker have changed,
 * or the wall clock has jumped: an eighth of them in each tick, so that no turn gets long.
 * h2o reads nothing while a request is being worked on, so it would not see the client
 * leave. The socket stays in the poll set with a callback that only looks: an end of the
 * connection ends the waiting; the answer that follows finds nobody, or a client that had
 * only ended its own side, and then h2o closes. Further bytes end it, too: they are another
 * request, and behind them an end could not be seen. */
#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"
#include "rt/clock.h"

enum { SLOT_US = 100000, CHECKS_MIN = 64, CHECK_TICKS = 8, CLOCK_JUMP_MS = 500 };

static uint64_t slot_no(uint64_t us)
{
    return us / SLOT_US;
}

void http_waits_init(struct http_waits *ws)
{
    for (size_t i = 0; i < IOR_LEN(ws->slots); i++)
        ws->slots[i] = (struct call_wait_link){&ws->slots[i], &ws->slots[i]};
    ws->checks = (struct call_wait_link){&ws->checks, &ws->checks};
    ws->done_slot = slot_no(clock_mono_coarse_us());
}

static void link_before(struct call_wait_link *at, struct call_wait_link *l)
{
    l->prev = at->prev;
    l->next = at;
    at->prev->next = l;
    at->prev = l;
}

static void unlink_from(struct call_wait_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = NULL;
}

/* The first slot that is looked at when the deadline has passed. */
static void put_in_slot(struct http_waits *ws, struct http_call *call)
{
    uint64_t slot = slot_no(call->wait.until_us) + 1;
    if (slot <= ws->done_slot) slot = ws->done_slot + 1;
    link_before(&ws->slots[slot % IOR_LEN(ws->slots)], &call->wait.link);
}

static void end_wait(struct http_call *call, enum call_wait_end why)
{
    void (*end)(void *state, enum call_wait_end) = call->wait.end;
    http_wait_leave(call);
    end(call->wait.state, why);
}

static void end_due_in_slot(struct call_wait_link *slot, uint64_t now_us, bool all)
{
    struct call_wait_link due = {&due, &due}; /* apart, so that an end may change the slot */
    for (struct call_wait_link *l = slot->next; l != slot;) {
        struct call_wait_link *next = l->next;
        struct http_call *call = IOR_CONTAINER(l, struct http_call, wait.link);
        IOR_CHECK_MAGIC(call, CALL_MAGIC);
        if (all || call->wait.until_us <= now_us) {
            unlink_from(l);
            link_before(&due, l);
        }
        l = next;
    }
    while (due.next != &due) {
        struct http_call *call = IOR_CONTAINER(due.next, struct http_call, wait.link);
        end_wait(call, all ? CALL_WAIT_STOPPING : CALL_WAIT_TIMEOUT);
    }
}

/* ---- checks ---- */

static bool something_changed(struct http_worker *hw)
{
    struct http_waits *ws = &hw->waits;
    const struct meta *meta = hw->server->app->node->meta;
    uint64_t mark = policy_mark(meta_policy(meta));
    uint64_t revoked = revoked_number(meta_revoked(meta));
    int64_t clock_ms = (int64_t)clock_wall_coarse_ms() - (int64_t)(clock_mono_coarse_us() / 1000);
    int64_t jump_ms = clock_ms - ws->clock_ms;
    if (mark == ws->policy_mark && revoked == ws->revoked_number && jump_ms < CLOCK_JUMP_MS &&
        jump_ms > -CLOCK_JUMP_MS)
        return false;
    ws->policy_mark = mark;
    ws->revoked_number = revoked;
    ws->clock_ms = clock_ms;
    return true;
}

static void check_some(struct http_worker *hw)
{
    struct http_waits *ws = &hw->waits;
    if (something_changed(hw)) ws->round++;
    uint64_t left = ws->check_count / CHECK_TICKS + 1;
    if (left < CHECKS_MIN) left = CHECKS_MIN;
    for (; left > 0 && ws->checks.next != &ws->checks; left--) {
        struct http_call *call = IOR_CONTAINER(ws->checks.next, struct http_call, wait.check_link);
        IOR_CHECK_MAGIC(call, CALL_MAGIC);
        if (call->wait.checked == ws->round) return; /* so are all behind it */
        call->wait.checked = ws->round;
        unlink_from(&call->wait.check_link);
        link_before(&ws->checks, &call->wait.check_link);
        call->wait.check(call->wait.state);
    }
}

void call_wait_check(struct http_call *call, void (*check)(void *state))
{
    struct http_waits *ws = &http_worker_of(call)->waits;
    IOR_ASSERT(call->wait.end != NULL);
    if (call->wait.check == NULL) {
        call->wait.checked = ws->round;
        link_before(&ws->checks, &call->wait.check_link);
        ws->check_count++;
    }
    call->wait.check = check;
}

static void leave_checks(struct http_call *call)
{
    if (call->wait.check == NULL) return;
    call->wait.check = NULL;
    unlink_from(&call->wait.check_link);
    http_worker_of(call)->waits.check_count--;
}

void http_waits_tick(struct http_worker *hw)
{
    check_some(hw);
    struct http_waits *ws = &hw->waits;
    uint64_t now_us = clock_mono_coarse_us();
    uint64_t now_slot = slot_no(now_us);
    uint64_t behind = now_slot > ws->done_slot ? now_slot - ws->done_slot : 0;
    if (behind > IOR_LEN(ws->slots)) behind = IOR_LEN(ws->slots);
    uint64_t first = now_slot - behind + 1;
    ws->done_slot = now_slot > ws->done_slot ? now_slot : ws->done_slot;
    for (uint64_t i = 0; i < behind; i++)
        end_due_in_slot(&ws->slots[(first + i) % IOR_LEN(ws->slots)], now_us, false);
}

void http_waits_stop(struct http_worker *hw)
{
    for (size_t i = 0; i < IOR_LEN(hw->waits.slots); i++)
        end_due_in_slot(&hw->waits.slots[i], 0, true);
}

/* ---- the client's end ---- */

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct http_conn *conn = sock->on_close.data;
    struct http_call *call = conn->waiting;
    uint8_t byte;
    h2o_socket_read_stop(sock);
    if (call == NULL) return;
    ssize_t n = err != NULL ? 0 : recv(h2o_socket_get_fd(sock), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        h2o_socket_read_start(sock, on_readable);
        return;
    }
    if (n <= 0) {
        metric_add(METRIC_http_clients_gone, 1);
        h2o_req_t *req = call->req;
        req->http1_is_persistent = 0;
    }
    end_wait(call, CALL_WAIT_LEFT);
}

static void watch_client(struct http_call *call, struct http_conn *conn)
{
    h2o_req_t *req = call->req;
    if (conn == NULL || conn->waiting == call) return;
    if (req->version >= 0x200) return; /* HTTP/2 says it by itself */
    conn->waiting = call;
    conn->parked = true;
    h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_readable);
}

/* ---- in and out ---- */

void call_wait(struct http_call *call, uint64_t ms, bool look,
               void (*end)(void *state, enum call_wait_end why), void *state)
{
    IOR_CHECK_MAGIC(call, CALL_MAGIC);
    IOR_ASSERT(!call->answered && call->ticket == 0);
    struct http_worker *hw = http_worker_of(call);
    bool again = call->wait.end != NULL;
    if (again) unlink_from(&call->wait.link);
    call->wait.end = end;
    call->wait.state = state;
    call->wait.until_us = clock_mono_us() + ms * 1000;
    put_in_slot(&hw->waits, call);
    if (!again) metric_gauge_add(METRIC_http_waiting, 1);
    if (look) watch_client(call, http_conn_of(call));
}

void http_wait_leave(struct http_call *call)
{
    if (call->wait.end == NULL) return;
    call->wait.end = NULL;
    unlink_from(&call->wait.link);
    leave_checks(call);
    metric_gauge_add(METRIC_http_waiting, -1);
    struct http_conn *conn = http_conn_of(call);
    if (conn != NULL && conn->waiting == call) conn->waiting = NULL;
}

void http_wait_gone(struct http_call *call)
{
    if (call->wait.end != NULL) end_wait(call, CALL_WAIT_GONE);
}
