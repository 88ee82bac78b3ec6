/* src/app/startcheck.c - is the catalog fit to be opened? LMDB trusts its pages: damage in them
 * may end the process later, in the middle of its work, or let it write over pages that are in
 * use. So they are looked at first (store/kv_pages.h): a file of up to CATALOG_START_WALK_BYTES
 * before every start, a larger one after a stop that was not clean. After such a stop a child
 * process then reads every value, too.
 * Happy path: a new directory has nothing to look at; the pages are sound; after a clean stop
 * the mark is enough for the values.
 * Failure modes: damage, or the file is lost although the directory has had one: CORRUPT. It is
 * never rebuilt by itself: small streams and users live in it, and a new one may be without them.
 * Thread: the main one, before all others (fork). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/app.h"
#include "base/limits.h"
#include "base/log.h"
#include "rt/clock.h"
#include "store/identity.h"
#include "store/kv.h"
#include "store/kv_pages.h"
#include "store/verify_image.h"

/* The file is made before the identity says that there is a journal. */
static enum ior_err check_lost(const char *dir, struct ior_why *why)
{
    struct disk *disk = NULL;
    struct identity id;
    struct ior_why ignored;
    enum ior_err err = disk_posix_open(dir, &disk, why);
    if (err != IOR_OK) return err;
    err = identity_read(disk, &id, &ignored);
    disk_free(disk);
    if (err != IOR_OK || !id.has_journal) return IOR_OK; /* new, or judged when it is opened */
    return ior_why_set(why, IOR_E_CORRUPT, KV_LMDB_FILE ": it is missing");
}

static enum ior_err check_pages(const char *dir, struct ior_why *why)
{
    struct kv_pages_report r;
    uint64_t start_us = clock_mono_us();
    enum ior_err err = kv_pages_check_file(dir, NULL, NULL, &r, why);
    if (err == IOR_OK)
        LOG_INFO("catalog", "checked",
                 "pages=%" PRIu64 " free=%" PRIu64 " leaked=%" PRIu64 " ms=%" PRIu64, r.pages,
                 r.free, r.leaked, (clock_mono_us() - start_us) / 1000);
    return err;
}

static enum ior_err check_values(const char *dir, uint64_t size_bytes, struct ior_why *why)
{
    bool clean = false;
    uint64_t start_us = clock_mono_us();
    enum ior_err err = image_check(dir, &clean, why);
    if (err == IOR_OK && !clean)
        LOG_INFO("catalog", "walked", "ms=%" PRIu64 " bytes=%" PRIu64,
                 (clock_mono_us() - start_us) / 1000, size_bytes);
    return err;
}

enum ior_err startcheck_catalog(const char *dir, struct ior_why *why)
{
    char path[CONFIG_TEXT_MAX + 32];
    struct stat st;
    bool clean = false;
    snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    if (stat(path, &st) != 0) return check_lost(dir, why);
    enum ior_err err = IOR_OK;
    if ((uint64_t)st.st_size > CATALOG_START_WALK_BYTES) err = image_is_clean(dir, &clean, why);
    if (err != IOR_OK || clean) return err;
    err = check_pages(dir, why);
    if (err == IOR_OK) err = check_values(dir, (uint64_t)st.st_size, why);
    return err == IOR_E_NOTFOUND ? IOR_E_CORRUPT : err;
}

void startcheck_advise(const char *dir, enum ior_err err, const struct ior_why *why, char *out,
                       size_t room)
{
    const char *reason = why->text[0] != 0 ? why->text : ior_err_reason(err);
    int n = snprintf(out, room, "%s", reason);
    if (err != IOR_E_CORRUPT || n < 0 || (size_t)n >= room) return;
    snprintf(out + n, room - (size_t)n,
             ". Take a copy of the directory, then look at it: iorio verify %s%s%s", dir,
             strstr(reason, KV_LMDB_FILE) == NULL
                 ? ""
                 : ". A new catalog is made by: iorio verify --rebuild-catalog ",
             strstr(reason, KV_LMDB_FILE) == NULL ? "" : dir);
}
