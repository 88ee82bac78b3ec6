/* src/store/identity.c - see identity.h. Never makes a new identity in a folder
 * that holds a journal: then somebody's data would look like nobody's. */
#include "store/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "rt/rand.h"

enum { TEXT_MAX = 1024 };
static const char path[] = "identity";
static const char first_line[] = "iorio data directory, format ";

static int render(const struct identity *id, char *out, size_t room)
{
    char hex[2 * NODE_ID_BYTES + 1];
    for (int i = 0; i < NODE_ID_BYTES; i++)
        snprintf(hex + 2 * i, sizeof hex - 2 * (size_t)i, "%02x", id->id[i]);
    int n = snprintf(out, room, "%s1\nnode %s\nid %s\nring_size %u\njournal %s\n", first_line,
                     id->node, hex, id->ring_size, id->has_journal ? "yes" : "no");
    uint32_t crc = ior_crc32c(0, out, (size_t)n);
    return n + snprintf(out + n, room - (size_t)n, "crc32c %08x\n", crc);
}

/* The value behind "key " at the start of a line; false: another line is there. */
static bool take_line(char **at, const char *key, char *out, size_t room)
{
    size_t n = strlen(key);
    if (strncmp(*at, key, n) != 0) return false;
    char *end = strchr(*at, '\n');
    if (end == NULL || (size_t)(end - *at) - n >= room) return false;
    snprintf(out, room, "%.*s", (int)((size_t)(end - *at) - n), *at + n);
    *at = end + 1;
    return true;
}

static bool parse_hex(const char *hex, uint8_t *out, size_t n)
{
    if (strlen(hex) != 2 * n) return false;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        char *end;
        out[i] = (uint8_t)strtoul(pair, &end, 16);
        if (*end != 0) return false;
    }
    return true;
}

static enum ior_err parse(char *text, struct identity *ret, struct ior_why *why)
{
    char value[TEXT_MAX];
    char again[TEXT_MAX];
    char *at = text;
    if (!take_line(&at, first_line, value, sizeof value))
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset 0: this is no identity", path);
    if (value[0] == 0 || value[strspn(value, "0123456789")] != 0)
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset %zu: no number of a format",
                           path, strlen(first_line));
    if (strcmp(value, "1") != 0)
        return ior_why_set(why, IOR_E_VERSION,
                           "%s: the data directory has format %s; this program reads format 1",
                           path, value);
    bool ok = take_line(&at, "node ", ret->node, sizeof ret->node) &&
              take_line(&at, "id ", value, sizeof value) &&
              parse_hex(value, ret->id, NODE_ID_BYTES) &&
              take_line(&at, "ring_size ", value, sizeof value);
    if (ok) ret->ring_size = (uint32_t)strtoul(value, NULL, 10);
    ok = ok && take_line(&at, "journal ", value, sizeof value);
    if (ok) ret->has_journal = strcmp(value, "yes") == 0;
    if (ok) render(ret, again, sizeof again);
    if (!ok || strcmp(text, again) != 0)
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damaged: its checksum does not fit", path);
    return IOR_OK;
}

static enum ior_err on_journal_name(void *ctx, const char *name)
{
    uint64_t seq;
    bool *found = ctx;
    if (segment_name_parse(name, &seq)) *found = true;
    return IOR_OK;
}

static enum ior_err make(struct disk *d, const char *node, uint32_t ring_size, struct identity *ret,
                         struct ior_why *why)
{
    bool has_journal = false;
    enum ior_err err = disk_list(d, JOURNAL_DIR, on_journal_name, &has_journal);
    if (err == IOR_OK && has_journal)
        return ior_why_set(why, IOR_E_CORRUPT,
                           "the data directory holds a journal but no file `%s`", path);
    if (err != IOR_OK && err != IOR_E_NOTFOUND)
        return ior_why_set(why, err, "cannot list the folder " JOURNAL_DIR);
    *ret = (struct identity){.ring_size = ring_size};
    snprintf(ret->node, sizeof ret->node, "%s", node);
    rand_bytes(ret->id, sizeof ret->id);
    char text[TEXT_MAX];
    int n = render(ret, text, sizeof text);
    err = disk_replace_file(d, path, text, (size_t)n);
    if (err != IOR_OK)
        return ior_why_set(why, err, "cannot write the file `%s`: %s", path, ior_err_reason(err));
    return IOR_OK;
}

enum ior_err identity_read(struct disk *d, struct identity *ret, struct ior_why *why)
{
    char text[TEXT_MAX];
    size_t n = 0;
    enum ior_err err = disk_read_file(d, path, text, sizeof text - 1, &n);
    if (err == IOR_E_TOOLARGE)
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damaged: it is too long", path);
    if (err != IOR_OK) return ior_why_set(why, err, "cannot read the file `%s`", path);
    text[n] = 0;
    return parse(text, ret, why);
}

enum ior_err identity_open(struct disk *d, const char *node, uint32_t ring_size,
                           struct identity *ret, struct ior_why *why)
{
    enum ior_err err = identity_read(d, ret, why);
    if (err == IOR_E_NOTFOUND) return make(d, node, ring_size, ret, why);
    if (err != IOR_OK) return err;
    if (strcmp(ret->node, node) != 0)
        return ior_why_set(why, IOR_E_FOREIGN,
                           "the data directory belongs to node %s, not to %s (key nodename)",
                           ret->node, node);
    if (ret->ring_size != ring_size)
        return ior_why_set(why, IOR_E_FOREIGN,
                           "the data directory has %u partitions, not %u (key ring_size)",
                           ret->ring_size, ring_size);
    return IOR_OK;
}

enum ior_err identity_set_journal(struct disk *d, struct identity *id)
{
    char text[TEXT_MAX];
    if (id->has_journal) return IOR_OK;
    struct identity changed = *id;
    changed.has_journal = true;
    int n = render(&changed, text, sizeof text);
    enum ior_err err = disk_replace_file(d, path, text, (size_t)n);
    if (err == IOR_OK) *id = changed;
    return err;
}
