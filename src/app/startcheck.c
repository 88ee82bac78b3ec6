/* src/app/startcheck.c - is the catalog fit to be opened? LMDB trusts its pages: damage in them
 * may end the process later, in the middle of its work. So after a stop that was not clean a
 * child process walks the file before the node opens it.
 * Happy path: a new directory has nothing to look at; after a clean stop the mark is enough.
 * Failure modes: the child dies or finds damage, or the file is lost although the directory has
 * had one: CORRUPT, and what to do about it. It is never rebuilt by itself: small streams and
 * users live in it, and a new one may be without them.
 * Thread: the main one, before all others (fork). */
#include <stdio.h>
#include <sys/stat.h>

#include "app/app.h"
#include "base/log.h"
#include "rt/clock.h"
#include "store/identity.h"
#include "store/kv.h"
#include "store/verify_image.h"

static enum ior_err refuse(const char *dir, struct ior_why *why)
{
    struct ior_why what = *why;
    return ior_why_set(why, IOR_E_CORRUPT,
                       "%.200s. Take a copy of the directory, then look at it: iorio verify %s. A "
                       "new catalog is made by: iorio verify --rebuild-catalog %s",
                       what.text, dir, dir);
}

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
    ior_why_set(why, IOR_E_CORRUPT, KV_LMDB_FILE " is missing");
    return refuse(dir, why);
}

enum ior_err startcheck_catalog(const char *dir, struct ior_why *why)
{
    char path[CONFIG_TEXT_MAX + 32];
    struct stat st;
    bool clean = false;
    snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    if (stat(path, &st) != 0) return check_lost(dir, why);
    uint64_t start_us = clock_mono_us();
    enum ior_err err = image_check(dir, &clean, why);
    if (err == IOR_E_CORRUPT || err == IOR_E_NOTFOUND) return refuse(dir, why);
    if (err == IOR_OK && !clean)
        LOG_INFO("catalog", "walked", "ms=%llu bytes=%llu",
                 (unsigned long long)(clock_mono_us() - start_us) / 1000,
                 (unsigned long long)st.st_size);
    return err;
}
