/* src/app/verify.c - `iorio verify`: what store/verify.h finds, as lines for people or for
 * programs.
 * Happy path: take the lock without making a file, look, print a line for each finding and one
 * at the end; exit code 0.
 * Failure modes: damage is 65, no data directory 66, a node that runs 75; what keeps it from
 * looking has the code of its kind. Progress goes to standard error, to a terminal only.
 * Thread: the main one; no other runs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "base/json.h"
#include "store/verify.h"
#include "store/verify_rebuild.h"

struct output {
    bool json;
    bool catalog_damaged;
    bool terminal;
    unsigned percent;
};

static void clear_progress(const struct output *o)
{
    if (o->terminal) fputs("\r\033[K", stderr);
}

static const char *level_of(const struct verify_finding *f)
{
    return f->level == VERIFY_ERROR ? "error" : f->level == VERIFY_LOST ? "lost" : "note";
}

static void print_json(const struct verify_finding *f)
{
    struct ior_buf b;
    ior_buf_init(&b);
    ior_buf_addf(&b, "{\"level\":\"%s\",\"file\":", level_of(f));
    ior_json_quote(&b, ior_slice_str(f->file));
    if (f->offset_bytes != VERIFY_NO_OFFSET)
        ior_buf_addf(&b, ",\"offset\":%" PRIu64, f->offset_bytes);
    ior_buf_add_str(&b, ",\"what\":");
    ior_json_quote(&b, ior_slice_str(f->what));
    ior_buf_add_str(&b, "}\n");
    if (!ior_buf_failed(&b)) fwrite(b.data, b.size_bytes, 1, stdout);
    ior_buf_done(&b);
}

static void on_finding(void *ctx, const struct verify_finding *f)
{
    struct output *o = ctx;
    clear_progress(o);
    if (f->level == VERIFY_ERROR && strcmp(f->file, KV_LMDB_FILE) == 0) o->catalog_damaged = true;
    if (o->json) {
        print_json(f);
    } else if (f->offset_bytes == VERIFY_NO_OFFSET) {
        printf("%s: %s: %s\n", level_of(f), f->file, f->what);
    } else {
        printf("%s: %s: offset %" PRIu64 ": %s\n", level_of(f), f->file, f->offset_bytes, f->what);
    }
}

static void on_progress(void *ctx, uint64_t done, uint64_t all)
{
    struct output *o = ctx;
    unsigned percent = all == 0 ? 100 : (unsigned)(done * 100 / all);
    if (!o->terminal || percent == o->percent) return;
    o->percent = percent;
    fprintf(stderr, "\rchunks: %u %%", percent);
}

static void print_summary(const struct output *o, const struct verify_counts *c)
{
    clear_progress(o);
    if (o->json) {
        printf("{\"streams\":%" PRIu64 ",\"events\":%" PRIu64 ",\"bytes\":%" PRIu64
               ",\"chunks\":%" PRIu64 ",\"segments\":%" PRIu64 ",\"records\":%" PRIu64
               ",\"errors\":%" PRIu64 ",\"notes\":%" PRIu64 "}\n",
               c->streams, c->events, c->bytes, c->chunks, c->segments, c->records, c->errors,
               c->notes);
        return;
    }
    printf("in the catalog: streams %" PRIu64 ", events %" PRIu64 " (%" PRIu64
           " bytes), chunks %" PRIu64 "; in the journal: segments %" PRIu64 ", records %" PRIu64
           "; errors %" PRIu64 ", notes %" PRIu64 "\n",
           c->streams, c->events, c->bytes, c->chunks, c->segments, c->records, c->errors,
           c->notes);
}

/* What a rebuild did; the lines behind it are about the directory as it is now. */
static void print_rebuilt(const struct output *o, const char *old, uint64_t losses)
{
    clear_progress(o);
    if (o->json) {
        printf("{\"made\":\"" KV_LMDB_FILE "\",\"old\":%s%s%s,\"losses\":%" PRIu64 "}\n",
               old[0] != 0 ? "\"" : "", old[0] != 0 ? old : "null", old[0] != 0 ? "\"" : "",
               losses);
        return;
    }
    printf("a new " KV_LMDB_FILE " was made; %s%s; losses %" PRIu64 "%s. The directory is now:\n",
           old[0] != 0 ? "the old one is " : "there was no old one", old, losses,
           losses > 0 ? " (told above)" : "");
}

static enum exit_code look(const struct verify_options *o, struct output *out, struct disk *disk)
{
    struct ior_why why = {""};
    struct verify_counts counts = {0};
    const struct verify_params p = {.disk = disk,
                                    .dir = o->dir,
                                    .on_finding = on_finding,
                                    .on_progress = on_progress,
                                    .ctx = out};
    enum ior_err err = IOR_OK;
    char old[VERIFY_OLD_BYTES];
    if (o->rebuild) err = verify_rebuild(&p, &counts, old, &why);
    if (err == IOR_OK && o->rebuild) print_rebuilt(out, old, counts.losses);
    if (err == IOR_OK) err = verify_run(&p, &counts, &why);
    if (err == IOR_OK) print_summary(out, &counts);
    if (fflush(stdout) != 0 && err == IOR_OK)
        err = ior_why_set(&why, IOR_E_IO, "cannot write to standard output");
    clear_progress(out);
    if (err == IOR_E_NOTFOUND) {
        fprintf(stderr, "iorio: %s is no data directory: there is no file identity\n", o->dir);
        return EXIT_NO_DATA;
    }
    if (err != IOR_OK) {
        fprintf(stderr, "iorio: %s\n", why.text[0] != 0 ? why.text : ior_err_reason(err));
        return exit_code_of(err);
    }
    if (out->catalog_damaged)
        fprintf(
            stderr,
            "iorio: take a copy of the directory, then a new catalog can be made by: iorio verify "
            "--rebuild-catalog %s\n",
            o->dir);
    return counts.errors == 0 ? EXIT_OK : EXIT_DAMAGED;
}

enum exit_code verify_verb(const struct verify_options *o)
{
    struct ior_why why = {""};
    struct datadir_lock lock = {-1, -1};
    struct disk *disk = NULL;
    struct output out = {.json = o->json, .terminal = isatty(STDERR_FILENO) == 1, .percent = 101};
    enum ior_err err = datadir_lock_existing(o->dir, &lock, &why);
    if (err == IOR_OK) err = disk_posix_open(o->dir, &disk, &why);
    if (err != IOR_OK) {
        fprintf(stderr, "iorio: %s\n", why.text);
        datadir_unlock(&lock);
        return err == IOR_E_NOTFOUND ? EXIT_NO_DATA : exit_code_of(err);
    }
    enum exit_code code = look(o, &out, disk);
    disk_free(disk);
    datadir_unlock(&lock);
    return code;
}
