/* src/app/run.c - one node in this process.
 * Start and stop are one list of stages, read forwards and backwards: each start
 * may fail with a sentence, and then the stages before it are stopped.
 * Stop: no new connections; requests in flight get their answers (2.5 s at most);
 * the journal writes what it has taken and a MARK; then the threads end. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "app/doors.h"
#include "app/reload.h"
#include "auth/login.h"
#include "auth/password.h"
#include "auth/password_process.h"
#include "base/assert.h"
#include "base/log.h"
#include "core/checkpoint_thread.h"
#include "core/node.h"
#include "core/report.h"
#include "core/sweep.h"
#include "proto/http/request_log.h"
#include "proto/http/server.h"
#include "rt/clock.h"
#include "rt/job.h"
#include "rt/loop.h"
#include "store/journal_thread.h"

/* A load has up to STRAND_QUEUE_MAX messages that wait, and a turn takes 8 of them at least. */
enum { DISK_ANSWER_TURNS = 512 };
/* A change of facts goes to every worker and back before its answer, and the next part of a large
 * one is refused then: four turns, and some to spare. */
enum { FACTS_ANSWER_TURNS = 16 };
enum { DRAIN_MS = 2500, CUT_MS = 300, STEP_MS = 5, REASON_BYTES = 4096 };

struct run {
    const struct run_options *options;
    const struct config *config;
    struct ior_why *why;
    struct datadir_lock lock;
    struct disk *disk;
    struct job_queue *disk_jobs;
    bool disk_jobs_stopped;
    unsigned worker_count;
    struct worker *workers;
    struct worker **worker_ptrs;
    struct loop **loops;
    pthread_t *threads;
    unsigned threads_running;
    struct node *node;
    struct report *report; /* its metrics as events */
    struct journal_thread *journal_thread;
    struct checkpoint_thread *checkpoint_thread;
    struct http_app app;
    struct http_server *http;
    struct doors doors;
};

/* ---- a call on a worker, waited for ---- */

struct errand {
    struct msg msg; /* first */
    void (*fn)(struct run *r, struct errand *e);
    struct run *run;
    struct worker *worker;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    enum ior_err err;
    struct meta_change *change;
};

static void errand_finish(struct errand *e)
{
    pthread_mutex_lock(&e->lock);
    e->done = true;
    pthread_cond_signal(&e->cond);
    pthread_mutex_unlock(&e->lock);
}

static void errand_run(struct msg *m)
{
    struct errand *e = IOR_CONTAINER(m, struct errand, msg);
    e->fn(e->run, e);
}

/* fn calls errand_finish(), now or later. Thread: the main one. */
static enum ior_err on_worker(struct run *r, unsigned i, struct meta_change *change,
                              void (*fn)(struct run *r, struct errand *e))
{
    struct errand e = {
        .msg = {.run = errand_run}, .fn = fn, .run = r, .worker = &r->workers[i], .change = change};
    pthread_mutex_init(&e.lock, NULL);
    pthread_cond_init(&e.cond, NULL);
    worker_post(e.worker, &e.msg);
    pthread_mutex_lock(&e.lock);
    while (!e.done) pthread_cond_wait(&e.cond, &e.lock);
    pthread_mutex_unlock(&e.lock);
    pthread_cond_destroy(&e.cond);
    pthread_mutex_destroy(&e.lock);
    return e.err;
}

static void each_worker(struct run *r, void (*fn)(struct run *r, struct errand *e))
{
    for (unsigned i = 0; i < r->worker_count; i++) {
        enum ior_err err = on_worker(r, i, NULL, fn);
        IOR_ASSERT(err == IOR_OK);
    }
}

static void do_nothing(struct run *r, struct errand *e)
{
    (void)r;
    errand_finish(e);
}

static void barrier(void *ctx)
{
    each_worker(ctx, do_nothing);
}

/* ---- the stages ---- */

static enum ior_err lock_start(struct run *r)
{
    return datadir_lock(r->config->paths_data, &r->lock, r->why);
}

static void lock_stop(struct run *r)
{
    datadir_unlock(&r->lock);
}

/* A child process looks, so it comes before the first thread. */
static enum ior_err catalog_start(struct run *r)
{
    return startcheck_catalog(r->config->paths_data, r->why);
}

static enum ior_err disk_start(struct run *r)
{
    enum ior_err err = disk_posix_open(r->config->paths_data, &r->disk, r->why);
    if (err != IOR_OK) return err;
    err = job_queue_new("disk", DISK_THREADS, DISK_QUEUE_MAX, 0, &r->disk_jobs);
    if (err == IOR_OK) return err;
    disk_free(r->disk);
    return ior_why_set(r->why, err, "cannot start the disk threads");
}

static void disk_stop(struct run *r)
{
    if (!r->disk_jobs_stopped) job_queue_stop(r->disk_jobs); /* a start that failed */
    job_queue_free(r->disk_jobs);
    disk_free(r->disk);
}

static enum ior_err loops_start(struct run *r)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = (unsigned)r->config->workers;
    if (n == 0) n = cores <= 2 ? 1 : (unsigned)cores - 1;
    if (n > WORKERS_MAX) n = WORKERS_MAX;
    r->workers = calloc(n, sizeof *r->workers);
    r->worker_ptrs = calloc(n, sizeof(struct worker *));
    r->loops = calloc(n, sizeof(struct loop *));
    r->threads = calloc(n, sizeof *r->threads);
    if (!r->workers || !r->worker_ptrs || !r->loops || !r->threads)
        return ior_why_set(r->why, IOR_E_NOMEM, "out of memory");
    for (unsigned i = 0; i < n; i++) {
        r->worker_ptrs[i] = &r->workers[i];
        enum ior_err err = loop_new(&r->workers[i], i, &r->loops[i]);
        if (err != IOR_OK) return ior_why_set(r->why, err, "cannot make an event loop");
        r->worker_count = i + 1;
    }
    return IOR_OK;
}

static void loops_stop(struct run *r)
{
    for (unsigned i = 0; i < r->worker_count; i++) loop_free(r->loops[i]);
    free(r->threads);
    free(r->loops);
    free(r->worker_ptrs);
    free(r->workers);
}

static void report_recovery(const struct journal_replay_report *rep, uint64_t us)
{
    LOG_INFO("journal", "recovered", "batches=%llu records=%llu bytes=%llu ms=%llu%s",
             (unsigned long long)rep->batches, (unsigned long long)rep->records,
             (unsigned long long)rep->bytes, (unsigned long long)us / 1000,
             rep->batches == 0 || rep->marked ? "" : " note=\"the last stop was not a clean one\"");
    if (rep->torn)
        LOG_WARNING("journal", "torn batch dropped", "at=\"%s\" (it was never acknowledged)",
                    rep->torn_at);
}

static enum ior_err open_kv(void *ctx, struct kv **ret, struct ior_why *why)
{
    const struct run *r = ctx;
    return kv_lmdb_open(r->config->paths_data, CATALOG_MAP_BYTES, ret, why);
}

static enum ior_err node_start(struct run *r)
{
    const struct config *c = r->config;
    struct node_params p = {
        .disk = r->disk,
        .name = c->nodename,
        .ring_size = (uint32_t)c->ring_size,
        .segment_bytes = c->journal_segment,
        .journal_bytes_max = c->journal_max_bytes,
        .disk_reserve_bytes = c->disk_reserve,
        .tail_bytes_max = c->memory_tail,
        .history_bytes_max = c->memory_history,
        .history_items_max = (uint64_t)c->channel_max_items,
        .history_stream_bytes_max = c->channel_max_items_size,
        .dedupe_window_ms = c->streams_dedupe_window,
        .dedupe_bytes_max = c->memory_dedupe,
        .inflight_bytes_max = c->memory_inflight,
        .chunk_items_max = (uint64_t)c->chunk_max_items,
        .chunk_bytes_max = c->chunk_max_bytes,
        .small_bytes_max = c->chunk_min_bytes,
        .stream_idle_ms = STREAM_IDLE_MS,
        .eviction_interval_ms = c->eviction_interval,
        .bucket_streams_max = (uint64_t)c->limits_bucket_streams,
        .bucket_bytes_max = c->limits_bucket_bytes,
        .open_kv = open_kv,
        .open_kv_ctx = r,
        .disk_jobs = r->disk_jobs,
        .workers = r->worker_ptrs,
        .worker_count = r->worker_count,
    };
    struct journal_replay_report report;
    uint64_t start_us = clock_mono_us();
    enum ior_err err = node_open(&p, &r->node, &report, r->why);
    if (err != IOR_OK) return err;
    report_recovery(&report, clock_mono_us() - start_us);
    if (report_new(r->node, &r->report) == IOR_OK) return IOR_OK;
    node_close(r->node);
    return ior_why_set(r->why, IOR_E_NOMEM, "out of memory");
}

static void node_stop(struct run *r)
{
    struct ior_why why = {""};
    report_free(r->report);
    enum ior_err err = node_mark_clean(r->node, &why);
    if (err != IOR_OK)
        LOG_WARNING("catalog", "no mark of a clean stop", "err=%s: the next start walks it",
                    ior_err_name(err));
    node_close(r->node);
}

static enum ior_err key_start(struct run *r)
{
    return secret_load(r->config, r->disk, &r->app.key, r->why);
}

static enum ior_err crypto_start(struct run *r)
{
    enum ior_err err = password_init();
    if (err == IOR_OK) err = job_queue_new("crypto", 1, CRYPTO_QUEUE_MAX, 0, &r->app.crypto);
    if (err == IOR_OK) err = login_desk_new(r->app.crypto, 1, &r->app.logins);
    if (err != IOR_OK) return ior_why_set(r->why, err, "cannot start the crypto thread");
    return IOR_OK;
}

static void crypto_stop(struct run *r)
{
    login_desk_stop(r->app.logins);
    job_queue_stop(r->app.crypto);
    /* Their last answers are on their way to the workers, and there to another turn. */
    for (int i = 0; i < 2; i++) each_worker(r, do_nothing);
}

static enum ior_err http_start(struct run *r)
{
    r->app.config = r->config;
    r->app.node = r->node;
    r->app.worker_count = r->worker_count;
    if (!r->config->http_enabled && !r->config->https_enabled)
        return ior_why_set(
            r->why, IOR_E_INVAL,
            "http.enabled and https.enabled are both no: nobody could reach the node");
    enum ior_err err = http_server_new(&r->app, r->loops, r->worker_ptrs, &r->http, r->why);
    r->doors = (struct doors){.app = &r->app, .http = r->http};
    return err;
}

static void http_stop(struct run *r)
{
    http_server_free(r->http);
    login_desk_free(r->app.logins);
    job_queue_free(r->app.crypto);
}

static void kick(void *ctx)
{
    journal_kick(ctx, worker_current());
}

static void tick(void *ctx)
{
    struct run *r = ctx;
    node_tick(r->node);
    doors_tick(&r->doors);
    report_tick(r->report, r->app.config);
}

static void *worker_main(void *arg)
{
    char name[16];
    struct loop *l = arg;
    snprintf(name, sizeof name, "worker");
    pthread_setname_np(pthread_self(), name);
    loop_run(l);
    return NULL;
}

static void threads_stop(struct run *r)
{
    for (unsigned i = 0; i < r->threads_running; i++) loop_stop(r->loops[i]);
    for (unsigned i = 0; i < r->threads_running; i++) pthread_join(r->threads[i], NULL);
    r->threads_running = 0;
}

static enum ior_err threads_start(struct run *r)
{
    for (unsigned i = 0; i < r->worker_count; i++) {
        worker_on_turn_end(&r->workers[i], kick, r->node->journal);
        if (i == 0) worker_on_tick(&r->workers[i], tick, r);
        if (pthread_create(&r->threads[i], NULL, worker_main, r->loops[i]) != 0) {
            threads_stop(r);
            return ior_why_set(r->why, IOR_E_NOMEM, "cannot start a worker thread");
        }
        r->threads_running = i + 1;
    }
    return IOR_OK;
}

static enum ior_err journal_start_threads(struct run *r)
{
    enum ior_err err = journal_thread_start(r->node->journal, &r->journal_thread);
    return err == IOR_OK ? err : ior_why_set(r->why, err, "cannot start the journal thread");
}

/* Everything taken is written and answered before this returns. */
static void journal_stop_threads(struct run *r)
{
    journal_thread_stop(r->journal_thread);
    for (int i = 0; i < 1000 && atomic_load(&r->node->inflight_bytes) > 0; i++) {
        each_worker(r, do_nothing);
        usleep(1000);
    }
    for (int i = 0; i < FACTS_ANSWER_TURNS; i++) each_worker(r, do_nothing);
}

static enum ior_err disk_jobs_start(struct run *r)
{
    (void)r; /* disk_start() made them: the node's start wants them */
    return IOR_OK;
}

/* Reads and lists whose client is gone may still be there: while the workers can take the answers.
 * Then no thread but theirs knows the workers, and nobody waits in a vnode. */
static void disk_jobs_stop(struct run *r)
{
    job_queue_stop(r->disk_jobs);
    r->disk_jobs_stopped = true;
    for (int i = 0; i < DISK_ANSWER_TURNS; i++) each_worker(r, do_nothing);
}

static enum ior_err checkpoint_start_thread(struct run *r)
{
    enum ior_err err = checkpoint_thread_start(r->node->checkpoint, &r->checkpoint_thread);
    return err == IOR_OK ? err : ior_why_set(r->why, err, "cannot start the checkpoint thread");
}

static void checkpoint_stop_thread(struct run *r)
{
    checkpoint_thread_stop(r->checkpoint_thread);
}

static enum ior_err surveys_start(struct run *r)
{
    (void)r; /* node_tick() begins them */
    return IOR_OK;
}

static enum ior_err own_events_start(struct run *r)
{
    (void)r; /* tick() makes them */
    return IOR_OK;
}

static void stop_own_events(struct run *r, struct errand *e)
{
    report_stop(r->report);
    request_log_tick(r->app.request_log);
    errand_finish(e);
}

/* The node's own events, and the lines of the last requests. */
static void own_events_stop(struct run *r)
{
    each_worker(r, stop_own_events);
    request_log_stop(r->app.request_log);
    for (int i = 0; i < 5000 && !report_rests(r->report); i++) {
        each_worker(r, do_nothing);
        usleep(1000);
    }
    each_worker(r, do_nothing);
}

/* Sweeps and previews end at their next step. */
static void surveys_stop(struct run *r)
{
    atomic_store(&r->node->surveys_stop, true);
    for (int i = 0; i < 5000; i++) {
        each_worker(r, do_nothing);
        if (atomic_load(&r->node->surveys) == 0 && sweep_rests(r->node->sweep)) return;
        usleep(1000);
    }
    LOG_WARNING("app", "still looking at streams", "the disk is slow");
}

/* ---- users of a first start ---- */

static enum ior_err emit_fact(void *ctx, struct fact f)
{
    return meta_change_set(ctx, f.key, f.value);
}

static void facts_written(struct meta_change *c)
{
    struct errand *e = c->user;
    e->err = c->err;
    errand_finish(e);
}

static void write_facts(struct run *r, struct errand *e)
{
    e->change->user = e;
    e->err = meta_change_submit(r->node->meta, e->change, facts_written);
    if (e->err != IOR_OK) errand_finish(e);
}

static enum ior_err bootstrap_facts(struct run *r, struct meta_change *change)
{
    const struct config *c = r->config;
    struct bootstrap b = {
        .admin_username = c->auth_admin_username,
        .admin_password = c->auth_admin_password,
        .admin_password_is_shipped = config_is_default(c, "auth.admin.password"),
        .shipped_password = SHIPPED_PASSWORD,
        .anon_username = c->auth_anon_username,
        .anon_password = c->auth_anon_password,
    };
    enum ior_err err = policy_bootstrap(meta_newest_policy(r->node->meta), &b, emit_fact, change);
    if (err == IOR_E_INVAL)
        return ior_why_set(r->why, err,
                           "the first users cannot be made: check auth.admin.username, "
                           "auth.anon.username (1 to 64 legal characters, not the same) and their "
                           "passwords");
    return err == IOR_OK ? err : ior_why_set(r->why, err, "cannot make the first users");
}

/* The two names are fixed at the first start: with another one the node would not
 * see the shipped password of the old admin, or give anonymous callers nothing. */
static enum ior_err check_users(struct run *r)
{
    const struct policy *p = meta_newest_policy(r->node->meta);
    const struct policy_user *admin = policy_user(p, ior_slice_str(r->config->auth_admin_username));
    const struct policy_user *anon = policy_user(p, ior_slice_str(r->config->auth_anon_username));
    if (admin == NULL || anon == NULL)
        return ior_why_set(r->why, IOR_E_INVAL,
                           "there is no user %s in the data directory; %s is fixed at the first "
                           "start: set it back",
                           admin == NULL ? r->config->auth_admin_username
                                         : r->config->auth_anon_username,
                           admin == NULL ? "auth.admin.username" : "auth.anon.username");
    r->doors.password_is_shipped =
        password_verify(admin->password, ior_slice_str(SHIPPED_PASSWORD));
    r->doors.credential = admin->credential;
    const char *configured = r->config->auth_admin_password;
    if (!config_is_default(r->config, "auth.admin.password") &&
        !password_verify(admin->password, ior_slice_str(configured)))
        LOG_WARNING("auth", "password not taken over",
                    "key=auth.admin.password: the stored password is no longer the shipped one, "
                    "and stays");
    return IOR_OK;
}

static enum ior_err users_start(struct run *r)
{
    struct meta_change *change = NULL;
    enum ior_err err = meta_change_new(&change);
    if (err != IOR_OK) return ior_why_set(r->why, err, "out of memory");
    err = bootstrap_facts(r, change);
    if (err == IOR_OK && !meta_change_empty(change)) {
        LOG_INFO("auth", "first users", "written or changed as configured");
        err = on_worker(r, 0, change, write_facts);
        if (err != IOR_OK)
            ior_why_set(r->why, err, "cannot write the first users: %s", ior_err_reason(err));
    }
    meta_change_free(change);
    return err == IOR_OK ? check_users(r) : err;
}

/* ---- passwords of others ---- */

/* Behind the first users: what a start has to check it checks itself, and a node that nobody
 * logs in to is one process. */
static enum ior_err passwords_start(struct run *r)
{
    (void)r;
    password_process_start("/proc/self/exe");
    return IOR_OK;
}

static void passwords_stop(struct run *r)
{
    (void)r;
    password_process_stop();
}

/* ---- the door ---- */

static void open_door(struct run *r, struct errand *e)
{
    http_worker_start(r->http, e->worker);
    errand_finish(e);
}

static enum ior_err door_start(struct run *r)
{
    enum ior_err err = doors_listen(&r->doors, r->why);
    if (err != IOR_OK) return err;
    each_worker(r, open_door);
    doors_say(&r->doors);
    atomic_store(&r->app.ready, true); /* from now on doors_tick() */
    return IOR_OK;
}

static void close_door(struct run *r, struct errand *e)
{
    http_worker_stop(r->http, e->worker);
    errand_finish(e);
}

static void cut_door(struct run *r, struct errand *e)
{
    http_worker_cut(r->http, e->worker);
    errand_finish(e);
}

static void wait_for_conns(struct run *r, int ms, void (*fn)(struct run *r, struct errand *e))
{
    for (int t = 0; t < ms && http_server_connections(r->http) > 0; t += STEP_MS) {
        if (t % 100 == 0) each_worker(r, fn);
        usleep(STEP_MS * 1000);
    }
}

static void door_stop(struct run *r)
{
    atomic_store(&r->app.stopping, true);
    datadir_remove_run(r->config->paths_data);
    each_worker(r, close_door);
    wait_for_conns(r, DRAIN_MS, close_door);
    wait_for_conns(r, CUT_MS, cut_door);
}

struct stage {
    const char *name;
    enum ior_err (*start)(struct run *r);
    void (*stop)(struct run *r);
};

static const struct stage stages[] = {
    {"lock", lock_start, lock_stop},
    {"catalog", catalog_start, NULL},
    {"disk", disk_start, disk_stop},
    {"loops", loops_start, loops_stop},
    {"node", node_start, node_stop},
    {"token key", key_start, NULL},
    {"http", http_start, http_stop},
    {"threads", threads_start, threads_stop},
    {"journal", journal_start_threads, journal_stop_threads},
    {"disk jobs", disk_jobs_start, disk_jobs_stop},
    {"checkpoint", checkpoint_start_thread, checkpoint_stop_thread},
    {"surveys", surveys_start, surveys_stop},
    {"crypto", crypto_start, crypto_stop},
    {"users", users_start, NULL},
    {"own events", own_events_start, own_events_stop},
    {"passwords", passwords_start, passwords_stop},
    {"door", door_start, door_stop},
};
enum { STAGE_COUNT = sizeof stages / sizeof stages[0] };

static int start_all(struct run *r, enum ior_err *ret_err)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        *ret_err = stages[i].start(r);
        if (*ret_err != IOR_OK) return i;
    }
    return STAGE_COUNT;
}

static void stop_all(struct run *r, int started)
{
    for (int i = started - 1; i >= 0; i--) {
        LOG_DEBUG("app", "stopping", "stage=\"%s\"", stages[i].name);
        if (stages[i].stop != NULL) stages[i].stop(r);
    }
}

/* To `iorio start`, which waits at the other end: a letter and a text. */
static void tell(int fd, const char *letter, const char *text)
{
    if (fd < 0) return;
    ssize_t n = write(fd, letter, 1);
    n = write(fd, text, strlen(text));
    (void)n; /* the parent may have been killed: nobody to tell */
    close(fd);
}

static void tell_warning(void *ctx, const char *key, const char *text)
{
    (void)ctx;
    LOG_WARNING("config", "suspicious", "key=%s: %s", key, text);
}

enum exit_code run_node(const struct run_options *o)
{
    struct ior_why why = {""};
    struct run r = {.options = o, .config = o->config, .why = &why, .lock = {-1, -1}};
    struct reload_signals signals;
    reload_block_signals(&signals);
    log_set_level(o->config->log_level);
    if (o->foreground && logfile_open(o->config, true, &why) != IOR_OK) {
        fprintf(stderr, "iorio: %s\n", why.text);
        return EXIT_NO_RIGHTS;
    }
    confcheck_warn(o->config, tell_warning, NULL);
    enum ior_err err = IOR_OK;
    damage_begin(o->config->paths_data, o->notify_fd);
    int started = start_all(&r, &err);
    damage_started();
    if (err != IOR_OK) {
        char reason[REASON_BYTES];
        startcheck_advise(o->config->paths_data, err, &why, reason, sizeof reason);
        fprintf(stderr, "iorio: cannot start: %s\n", reason);
        tell(o->notify_fd, "E", reason);
        stop_all(&r, started);
        return exit_code_of(err);
    }
    const char *http = http_server_where(r.http, HTTP_DOOR_PLAIN);
    const char *https = http_server_where(r.http, HTTP_DOOR_TLS);
    if (o->foreground)
        banner_print(o->config, o->config_file, http, https, r.doors.password_is_shipped);
    tell(o->notify_fd, "R", http != NULL ? http : https);
    struct reload reload = {
        .options = o, .app = &r.app, .http = r.http, .barrier = barrier, .barrier_ctx = &r};
    reload_wait(&signals, &reload);
    stop_all(&r, started);
    reload_done(&reload);
    LOG_INFO("app", "stopped", "node=%s", o->config->nodename);
    return EXIT_OK;
}
