/* test/fuzz/target_revoked.c - fuzz src/auth/revoked_fact.c and revoked.c.
 * Input: one fact a line, key TAB value (no TAB: taken away); `|` in a key stands for FACT_SEP.
 * Besides not crashing: a refusal has a reason; what is read is written in the same key again; a
 * token that was set is there, for its user in any case of letters, until it is taken away; and
 * the count is that of a plain list. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/revoked.h"
#include "base/assert.h"

enum { LINES_MAX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* An exact block, so that a read past its end is seen. */
static struct ior_slice copy(const uint8_t *data, size_t size_bytes, bool is_key)
{
    uint8_t *out = malloc(size_bytes + (size_bytes == 0));
    IOR_ASSERT(out != NULL);
    for (size_t i = 0; i < size_bytes; i++)
        out[i] = is_key && data[i] == '|' ? (uint8_t)FACT_SEP[0] : data[i];
    return ior_slice(out, size_bytes);
}

static void written_again(const struct fact *f, const struct revoked_token *t)
{
    struct ior_buf key;
    struct ior_buf value;
    struct revoked_token again;
    ior_buf_init(&key);
    ior_buf_init(&value);
    revoked_fact_key(&key, t->user, t->id);
    IOR_ASSERT(ior_slice_eq(ior_buf_slice(&key), f->key));
    if (f->value.data != NULL) {
        revoked_fact_value(&value, t);
        struct fact g = {ior_buf_slice(&key), ior_buf_slice(&value)};
        enum ior_err err = revoked_fact_read(&g, &again, NULL);
        IOR_ASSERT(err == IOR_OK && again.until_s == t->until_s);
        IOR_ASSERT(again.has_credential == t->has_credential);
        IOR_ASSERT(!t->has_credential || again.credential == t->credential);
    }
    ior_buf_done(&key);
    ior_buf_done(&value);
}

static void in_capitals(struct ior_slice name, uint8_t *out)
{
    for (size_t i = 0; i < name.size_bytes; i++) {
        uint8_t c = name.data[i];
        out[i] = c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
    }
}

/* *r becomes the next version. */
static void apply(struct revoked **r, const struct fact *f)
{
    struct revoked_token t;
    struct ior_why why = {""};
    if (!revoked_fact_is(f->key)) return;
    enum ior_err err = revoked_fact_read(f, &t, &why);
    IOR_ASSERT(err == IOR_OK || (err == IOR_E_CORRUPT && why.text[0] != 0));
    if (err != IOR_OK) return;
    written_again(f, &t);
    bool set = f->value.data != NULL;
    bool before = revoked_has(*r, t.user, t.id);
    size_t count = revoked_count(*r);
    struct revoked *next = NULL;
    err = revoked_new(*r, &next);
    if (err == IOR_OK) err = revoked_set(next, &t, !set);
    IOR_ASSERT(err == IOR_OK);
    uint8_t capitals[USERNAME_BYTES_MAX];
    in_capitals(t.user, capitals);
    IOR_ASSERT(revoked_has(next, ior_slice(capitals, t.user.size_bytes), t.id) == set);
    IOR_ASSERT(revoked_count(next) == count + (set && !before) - (!set && before));
    IOR_ASSERT(revoked_has(*r, t.user, t.id) == before && revoked_count(*r) == count);
    revoked_unref(*r);
    *r = next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct revoked *r = NULL;
    enum ior_err err = revoked_new(NULL, &r);
    IOR_ASSERT(err == IOR_OK);
    size_t lines = 0;
    for (size_t at = 0; at < size_bytes && lines < LINES_MAX; lines++) {
        const uint8_t *line = memchr(data + at, '\n', size_bytes - at);
        size_t end = line == NULL ? size_bytes : (size_t)(line - data);
        const uint8_t *tab = end == at ? NULL : memchr(data + at, '\t', end - at);
        size_t key_end = tab == NULL ? end : (size_t)(tab - data);
        struct fact f = {copy(data + at, key_end - at, true), {NULL, 0}};
        if (tab != NULL) f.value = copy(data + key_end + 1, end - key_end - 1, false);
        apply(&r, &f);
        free((void *)(uintptr_t)f.key.data);
        free((void *)(uintptr_t)f.value.data);
        at = end + 1;
    }
    revoked_unref(r);
    return 0;
}
