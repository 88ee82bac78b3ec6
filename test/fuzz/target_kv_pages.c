/* test/fuzz/target_kv_pages.c - any bytes as the catalog's LMDB file (src/store/kv_pages.h).
 * Input: a byte; 0: the rest is the file. Else the rest changes a file that LMDB made: u32 offset,
 * u8 count, so many bytes, and so on; offsets are taken modulo its size.
 * Checked: nothing is read outside of the file; every finding has a sentence and a place in the
 * file; a file without one accounts for all its pages; the second look finds the same. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "store/kv_pages.h"
#include "store/kv_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { FILE_BYTES_MAX = 1 << 20, PATCH_HEAD_BYTES = 5, ROWS = 80, WRONG_MAX = 50 };

struct look {
    const uint8_t *data;
    size_t size_bytes;
    unsigned wrong;
};

static uint8_t *template;
static size_t template_bytes;

static void put_rows(struct kv *kv, size_t value_bytes)
{
    static uint8_t value[6000];
    struct kv_writer *w = NULL;
    enum ior_err err = kv_write_begin(kv, &w);
    for (unsigned i = 0; i < ROWS && err == IOR_OK; i++) {
        char key[64];
        snprintf(key, sizeof key, "%05u-a-key-that-has-some-length", i * 37 % ROWS);
        err = kv_put(w, i % 20 == 0 ? KV_SMALL : KV_ROWS, ior_slice_str(key),
                     ior_slice(value, i % 20 == 0 ? sizeof value : value_bytes));
    }
    IOR_ASSERT(err == IOR_OK);
    err = kv_write_commit(w);
    IOR_ASSERT(err == IOR_OK);
}

/* Branches, values on pages of their own, a free list. */
static void set_up(void)
{
    char dir[] = "/tmp/iorio-fuzz-XXXXXX";
    char path[64];
    struct ior_why why;
    struct stat st;
    struct kv *kv = NULL;
    if (template != NULL) return;
    char *made = mkdtemp(dir);
    IOR_ASSERT(made != NULL);
    enum ior_err err = kv_lmdb_open(dir, 1 << 24, &kv, &why);
    IOR_ASSERT(err == IOR_OK);
    for (size_t n = 100; n < 104; n++) put_rows(kv, n);
    kv_close(kv);
    snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    int fd = open(path, O_RDONLY);
    IOR_ASSERT(fd >= 0 && fstat(fd, &st) == 0 && st.st_size < FILE_BYTES_MAX);
    template_bytes = (size_t)st.st_size;
    template = malloc(template_bytes);
    IOR_ASSERT(template != NULL && read(fd, template, template_bytes) == st.st_size);
    close(fd);
    unlink(path);
    snprintf(path, sizeof path, "%s/" KV_LMDB_FILE "-lock", dir);
    unlink(path);
    rmdir(dir);
}

static enum ior_err read_at(void *ctx, uint64_t offset_bytes, void *out, size_t n)
{
    const struct look *l = ctx;
    IOR_ASSERT(offset_bytes <= l->size_bytes && n <= l->size_bytes - offset_bytes);
    memcpy(out, l->data + offset_bytes, n);
    return IOR_OK;
}

static bool on_wrong(void *ctx, uint64_t offset_bytes, const char *what)
{
    struct look *l = ctx;
    IOR_ASSERT(what[0] != 0 && offset_bytes <= l->size_bytes);
    return ++l->wrong < WRONG_MAX;
}

static enum ior_err look(struct look *l, struct kv_pages_report *ret)
{
    const struct kv_pages_params p = {.read = read_at,
                                      .read_ctx = l,
                                      .size_bytes = l->size_bytes,
                                      .tables = kv_table_names,
                                      .table_count = KV_TABLES,
                                      .row = KV_ROOT_ROW,
                                      .row_bytes = KV_ROOT_ROW_BYTES,
                                      .on_wrong = on_wrong,
                                      .ctx = l};
    l->wrong = 0;
    enum ior_err err = kv_pages_check(&p, ret);
    IOR_ASSERT(err == IOR_OK || err == IOR_E_VERSION);
    IOR_ASSERT(ret->wrong == l->wrong && ret->wrong_free <= ret->wrong);
    return err;
}

static void change(uint8_t *file, const uint8_t *data, size_t size_bytes)
{
    while (size_bytes >= PATCH_HEAD_BYTES) {
        size_t at = ior_get_u32(data) % template_bytes;
        size_t n = data[4];
        data += PATCH_HEAD_BYTES;
        size_bytes -= PATCH_HEAD_BYTES;
        if (n > size_bytes) n = size_bytes;
        if (n > template_bytes - at) n = template_bytes - at;
        memcpy(file + at, data, n);
        data += n;
        size_bytes -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct kv_pages_report first;
    struct kv_pages_report second;
    uint8_t *file = NULL;
    if (size_bytes == 0 || size_bytes > FILE_BYTES_MAX) return 0;
    set_up();
    struct look l = {.data = data + 1, .size_bytes = size_bytes - 1};
    if (data[0] != 0) {
        file = malloc(template_bytes);
        if (file == NULL) return 0;
        memcpy(file, template, template_bytes);
        change(file, data + 1, size_bytes - 1);
        l = (struct look){.data = file, .size_bytes = template_bytes};
    }
    enum ior_err err = look(&l, &first);
    if (err == IOR_OK && first.wrong == 0) {
        IOR_ASSERT(first.used + first.free + first.leaked == first.pages);
        IOR_ASSERT(first.used * 4096 <= l.size_bytes);
    }
    enum ior_err again = look(&l, &second);
    IOR_ASSERT(again == err && memcmp(&first, &second, sizeof first) == 0);
    free(file);
    return 0;
}
