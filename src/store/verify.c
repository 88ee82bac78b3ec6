/* src/store/verify.c - see verify.h: the order of things.
 * Happy path: identity, the pages of the catalog, a copy of it in memory, names and rows against
 * each other, the journal against rows, chunk files against rows, files that nobody names.
 * Failure modes: without an identity there is nothing to look at. A catalog that cannot be read
 * is an error that is told, and what could be read of it is still compared. */
#include "store/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "store/kv_pages.h"
#include "store/verify_private.h"

/* Places of the catalog's pages that are told; one bad page may make many. */
enum { TEXT_BYTES = 2048, WRONG_PAGES_MAX = 100 };

void verify_say(struct verify *v, enum verify_level level, const char *file, uint64_t offset_bytes,
                const char *fmt, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    /* What is wrong with a catalog that is to be replaced is no error of the directory. */
    if (v->rebuild && level == VERIFY_ERROR && strcmp(file, KV_LMDB_FILE) == 0) level = VERIFY_NOTE;
    const struct verify_finding f = {level, file, offset_bytes, text};
    if (level == VERIFY_ERROR) {
        v->counts->errors++;
    } else if (level == VERIFY_LOST) {
        v->counts->losses++;
    } else {
        v->counts->notes++;
    }
    v->p->on_finding(v->p->ctx, &f);
}

const char *verify_printable(struct ior_slice name, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < name.size_bytes && n + 5 < room; i++) {
        uint8_t c = name.data[i];
        if (c >= 0x20 && c < 0x7f && c != '\\') {
            out[n++] = (char)c;
        } else {
            n += (size_t)snprintf(out + n, room - n, "\\x%02x", c);
        }
    }
    out[n] = 0;
    return out;
}

/* ---- begin ---- */

static void on_wrong(void *ctx, const char *table, struct ior_slice key, const char *what)
{
    char hex[2 * 40 + 4] = "";
    if (table == NULL) {
        const char *rest = strstr(what, KV_LMDB_FILE ": "); /* behind the path of the directory */
        if (rest != NULL) what = rest + sizeof KV_LMDB_FILE ": " - 1;
        verify_say(ctx, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET, "%s", what);
        return;
    }
    for (size_t i = 0; i < key.size_bytes && i < 40; i++)
        snprintf(hex + 2 * i, sizeof hex - 2 * i, "%02x", key.data[i]);
    verify_say(ctx, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET, "table %s%s%s: %s", table,
               hex[0] != 0 ? ", key " : "", hex, what);
}

static bool on_wrong_page(void *ctx, uint64_t offset_bytes, const char *what)
{
    struct verify *v = ctx;
    verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, offset_bytes, "%s", what);
    if (++v->wrong_pages < WRONG_PAGES_MAX) return true;
    verify_say(v, VERIFY_NOTE, KV_LMDB_FILE, VERIFY_NO_OFFSET,
               "more may be wrong with its pages: this was where looking at them ended");
    return false;
}

/* *ret_whole: nothing in them can hide a value. */
static enum ior_err check_pages(struct verify *v, bool *ret_whole, struct ior_why *why)
{
    struct kv_pages_report r;
    *ret_whole = true;
    if (v->p->dir == NULL) return IOR_OK;
    enum ior_err err = kv_pages_check_file(v->p->dir, on_wrong_page, v, &r, why);
    *ret_whole = err == IOR_OK && r.wrong == r.wrong_free;
    if (err == IOR_OK && r.leaked > 0)
        verify_say(v, VERIFY_NOTE, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   "%" PRIu64 " of its pages are neither in use nor free: only room is lost",
                   r.leaked);
    return err == IOR_E_NOMEM ? err : IOR_OK; /* else it cannot be opened: the image says why */
}

static enum ior_err read_image(struct verify *v, struct ior_why *why)
{
    bool pages_whole;
    enum ior_err err = check_pages(v, &pages_whole, why);
    if (err != IOR_OK) return err;
    why->text[0] = 0;
    const struct image_params ip = {.dir = v->p->dir,
                                    .kv = v->p->kv,
                                    .partitions = v->identity.ring_size,
                                    .on_wrong = on_wrong,
                                    .ctx = v};
    err = image_read(&ip, &v->image, why);
    if (!pages_whole) v->image.whole = false;
    return err;
}

enum ior_err verify_begin(struct verify *v, const struct verify_params *p,
                          struct verify_counts *counts, bool rebuild, struct ior_why *why)
{
    *v = (struct verify){.p = p, .counts = counts, .rebuild = rebuild};
    *counts = (struct verify_counts){0};
    ior_map_init(&v->streams);
    why->text[0] = 0;
    enum ior_err err = identity_read(p->disk, &v->identity, why);
    if (err == IOR_OK && v->identity.ring_size == 0)
        err = ior_why_set(why, IOR_E_CORRUPT, "identity: it has no partition");
    if (err == IOR_OK) err = read_image(v, why);
    if (err == IOR_OK) err = verify_load_buckets(v);
    if (err == IOR_OK) err = verify_load_groups(v);
    if (err != IOR_OK && why->text[0] == 0) ior_why_set(why, err, "%s", ior_err_reason(err));
    return err;
}

void verify_end(struct verify *v)
{
    size_t pos = 0;
    void *s;
    while ((s = ior_map_next(&v->streams, &pos)) != NULL) free(s);
    ior_map_done(&v->streams);
    free(v->groups);
    free(v->buckets);
    image_done(&v->image);
}

/* ---- meta ---- */

static void check_facts(struct verify *v)
{
    struct ior_slice value = image_get(&v->image, KV_META, IOR_SLICE("facts"));
    struct ior_slice bytes;
    struct ior_buf items = {0};
    char name[32];
    if (value.data == NULL) {
        if (v->groups[0].saved)
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       "group 0 is saved, but its facts (users, grants) are not there");
        return;
    }
    enum ior_err err = catalog_decode_bytes(value, &bytes);
    uint32_t pieces = err == IOR_OK && bytes.size_bytes == 4 ? ior_get_u32(bytes.data) : 0;
    for (uint32_t i = 0; i < pieces; i++) {
        snprintf(name, sizeof name, "facts.%06u", i);
        value = image_get(&v->image, KV_META, ior_slice_str(name));
        if (value.data == NULL || catalog_decode_bytes(value, &bytes) != IOR_OK) {
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       "piece %u of %u of the facts (users, grants) is missing", i, pieces);
            ior_buf_done(&items);
            return;
        }
        ior_buf_add_slice(&items, bytes);
    }
    size_t pos = 0;
    struct item it;
    while ((err = item_next(ior_buf_slice(&items), &pos, &it)) == IOR_OK && it.op == ITEM_SET)
        continue;
    if (err != IOR_E_END || ior_buf_failed(&items))
        verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   "the facts (users, grants) cannot be read");
    ior_buf_done(&items);
}

static void check_first_segment(struct verify *v)
{
    struct ior_slice bytes;
    struct ior_slice value = image_get(&v->image, KV_META, IOR_SLICE("journal_first"));
    v->first_segment = v->identity.has_journal ? 1 : 0;
    if (value.data == NULL) return;
    if (catalog_decode_bytes(value, &bytes) == IOR_OK && bytes.size_bytes == 8) {
        v->first_segment = ior_get_u64(bytes.data);
        return;
    }
    v->first_segment = 0;
    verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
               "journal_first is no number of a segment");
}

/* ---- the whole ---- */

enum ior_err verify_run(const struct verify_params *p, struct verify_counts *ret,
                        struct ior_why *why)
{
    struct verify v;
    struct verify_files files = {0};
    enum ior_err ignored = IOR_OK;
    enum ior_err err = verify_begin(&v, p, ret, false, why);
    if (err == IOR_E_CORRUPT) { /* the identity: without it nothing else can be judged */
        verify_say(&v, VERIFY_ERROR, "identity", VERIFY_NO_OFFSET, "%s", why->text);
        verify_end(&v);
        return IOR_OK;
    }
    if (err == IOR_OK) err = verify_names(&v);
    if (err == IOR_OK) {
        check_facts(&v);
        check_first_segment(&v);
        verify_journal(&v, &ignored);
        err = verify_list_files(p->disk, &files, why);
    }
    if (err == IOR_OK) {
        verify_streams(&v);
        verify_files(&v, &files);
    }
    free(files.items);
    verify_end(&v);
    return err;
}
