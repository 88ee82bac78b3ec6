/* test/power/recover_check.c - recover a data directory in this process and print
 * every event: bucket, stream, id and the SHA-256 of its bytes, tab separated.
 * Exit 0, or 1 with the reason on standard error. Used by run.py on thousands of
 * states of a disk, where starting a whole node would take too long. */
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/load.h"
#include "core/node.h"
#include "store/fetch.h"

static void wake(void *ctx)
{
    (void)ctx;
}

static enum ior_err open_kv(void *ctx, struct kv **ret, struct ior_why *why)
{
    return kv_lmdb_open(ctx, 64 << 20, ret, why);
}

static void print_event(const struct stream *s, const struct item *it)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256(it->payload.data, it->payload.size_bytes, hash);
    printf("%.*s\t%.*s\t%llu\t", s->bucket->name_bytes, s->bucket->name, s->name_bytes, s->name,
           (unsigned long long)it->seqnum);
    for (size_t i = 0; i < sizeof hash; i++) printf("%02x", hash[i]);
    putchar('\n');
}

static enum ior_err print_saved(struct vnode *vn, const struct stream *s, uint64_t *id,
                                struct ior_why *why)
{
    struct chunk_entry entries[64];
    struct ior_blob *blob = NULL;
    size_t count = 0;
    enum ior_err err = fetch_events(vn->node->fetch, vn->partition, s->uid, *id, entries,
                                    IOR_LEN(entries), &count, &blob, why);
    if (err == IOR_E_NOTFOUND)
        return ior_why_set(why, IOR_E_CORRUPT, "event %llu is nowhere", (unsigned long long)*id);
    for (size_t i = 0; err == IOR_OK && i < count; i++, ++*id) print_event(s, &entries[i].item);
    ior_blob_unref(blob);
    return err;
}

static enum ior_err print_stream(struct vnode *vn, const struct stream *s, struct ior_why *why)
{
    enum ior_err err = IOR_OK;
    uint64_t id = s->low;
    while (err == IOR_OK && id < stream_first_in_memory(s)) err = print_saved(vn, s, &id, why);
    for (; err == IOR_OK && id <= s->high; id++) {
        const struct tail_entry *e = stream_entry(s, id);
        struct item it = item_at(ior_slice(e->blob->data, e->blob->size_bytes), e->offset_bytes);
        print_event(s, &it);
    }
    return err;
}

struct uids {
    uint64_t *at;
    size_t count;
};

static bool on_row(void *ctx, const struct stream_row *row)
{
    struct uids *u = ctx;
    u->at = realloc(u->at, (u->count + 1) * sizeof *u->at);
    if (u->at == NULL) abort();
    u->at[u->count++] = row->uid;
    return true;
}

/* Every stream that the catalog has comes into memory. */
static enum ior_err load_all(struct vnode *vn, struct ior_why *why)
{
    struct uids u = {NULL, 0};
    struct kv_reader *r = NULL;
    enum ior_err err = fetch_reader_take(vn->node->fetch, &r);
    if (err != IOR_OK) return err;
    err = catalog_each_row(r, vn->partition, 0, on_row, &u);
    fetch_reader_give(vn->node->fetch, r);
    for (size_t i = 0; err == IOR_OK && i < u.count; i++) {
        struct stream *s = NULL;
        err = vnode_find_now(vn, u.at[i], &s, why);
    }
    free(u.at);
    return err;
}

static enum ior_err print_node(const struct node *n, struct ior_why *why)
{
    enum ior_err err = IOR_OK;
    for (uint32_t v = 0; err == IOR_OK && v < n->params.ring_size; v++) {
        size_t pos = 0;
        struct stream *s;
        err = load_all(&n->vnodes[v], why);
        while (err == IOR_OK && (s = ior_map_next(&n->vnodes[v].streams.by_name, &pos)) != NULL)
            err = print_stream(&n->vnodes[v], s, why);
    }
    return err;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: recover_check DATADIR\n");
        return 2;
    }
    struct ior_why why = {""};
    struct worker worker;
    struct worker *workers[1] = {&worker};
    worker_init(&worker, 0, wake, NULL);
    struct disk *disk = NULL;
    struct node *node = NULL;
    struct job_queue *disk_jobs = NULL;
    struct journal_replay_report report;
    enum ior_err err = disk_posix_open(argv[1], &disk, &why);
    if (err == IOR_OK) err = job_queue_new("disk", 0, 1024, 0, &disk_jobs);
    if (err == IOR_OK) {
        struct node_params p = {
            .disk = disk,
            .name = "iorio@127.0.0.1",
            .ring_size = 64,
            .segment_bytes = 64 << 10,
            .journal_bytes_max = UINT64_MAX,
            .tail_bytes_max = UINT64_MAX,
            .history_bytes_max = UINT64_MAX,
            .history_items_max = 50,
            .history_stream_bytes_max = 2 << 20,
            .chunk_items_max = 64,
            .chunk_bytes_max = 64 << 10,
            .small_bytes_max = 4096,
            .stream_idle_ms = 60000,
            .open_kv = open_kv,
            .open_kv_ctx = argv[1],
            .disk_jobs = disk_jobs,
            .dedupe_window_ms = 120000,
            .dedupe_bytes_max = 1 << 20,
            .inflight_bytes_max = UINT64_MAX,
            .workers = workers,
            .worker_count = 1,
        };
        err = node_open(&p, &node, &report, &why);
    }
    if (err == IOR_OK) err = print_node(node, &why);
    if (err != IOR_OK) fprintf(stderr, "%s: %s\n", ior_err_name(err), why.text);
    node_close(node);
    if (disk_jobs != NULL) job_queue_stop(disk_jobs);
    job_queue_free(disk_jobs);
    disk_free(disk);
    return err == IOR_OK ? 0 : 1;
}
