/* test/power/recover_check.c - recover a data directory in this process and print
 * every event: bucket, stream, id and the SHA-256 of its bytes, tab separated.
 * Exit 0, or 1 with the reason on standard error. Used by run.py on thousands of
 * states of a disk, where starting a whole node would take too long. */
#include <openssl/sha.h>
#include <stdio.h>

#include "core/node.h"

static void wake(void *ctx)
{
    (void)ctx;
}

static void print_event(const struct stream *s, uint64_t id)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    const struct tail_entry *e = stream_entry(s, id);
    struct item it = item_at(ior_slice(e->blob->data, e->blob->size_bytes), e->offset_bytes);
    SHA256(it.payload.data, it.payload.size_bytes, hash);
    printf("%.*s\t%.*s\t%llu\t", s->bucket->name_bytes, s->bucket->name, s->name_bytes, s->name,
           (unsigned long long)id);
    for (size_t i = 0; i < sizeof hash; i++) printf("%02x", hash[i]);
    putchar('\n');
}

static void print_node(const struct node *n)
{
    for (uint32_t v = 0; v < n->params.ring_size; v++) {
        size_t pos = 0;
        struct stream *s;
        while ((s = ior_map_next(&n->vnodes[v].streams.by_name, &pos)) != NULL) {
            for (uint64_t id = s->low; id <= s->high; id++) print_event(s, id);
        }
    }
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
    struct journal_replay_report report;
    enum ior_err err = disk_posix_open(argv[1], &disk, &why);
    if (err == IOR_OK) {
        struct node_params p = {
            .disk = disk,
            .name = "iorio@127.0.0.1",
            .ring_size = 64,
            .segment_bytes = 64 << 10,
            .tail_bytes_max = UINT64_MAX,
            .dedupe_window_ms = 120000,
            .dedupe_bytes_max = 1 << 20,
            .inflight_bytes_max = UINT64_MAX,
            .workers = workers,
            .worker_count = 1,
        };
        err = node_open(&p, &node, &report, &why);
    }
    if (err == IOR_OK) print_node(node);
    if (err != IOR_OK) fprintf(stderr, "%s: %s\n", ior_err_name(err), why.text);
    node_close(node);
    disk_free(disk);
    return err == IOR_OK ? 0 : 1;
}
