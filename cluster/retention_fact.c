/* cluster/retention_fact.c - see retention_fact.h.
 * Happy path: the key is cut at its separators, the value parsed as what a client sends is.
 * Failure modes: a sentence with the key in it, separators shown as `/`. Thread: any. */
#include "cluster/retention_fact.h"

#include <stdio.h>

#define KEY_SHOWN_BYTES 200

static const struct ior_slice word = {(const uint8_t *)"retention", 9};

bool retention_fact_is(struct ior_slice key)
{
    if (!ior_slice_starts(key, word)) return false;
    return key.size_bytes == word.size_bytes || key.data[word.size_bytes] == (uint8_t)FACT_SEP[0];
}

void retention_fact_key(struct ior_buf *out, struct ior_slice bucket, struct ior_slice stream)
{
    ior_buf_add_slice(out, word);
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_slice(out, bucket);
    if (stream.size_bytes == 0) return;
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_slice(out, stream);
}

static enum ior_err wrong(struct ior_why *why, enum ior_err err, struct ior_slice key,
                          struct ior_slice field, const char *what)
{
    char shown[KEY_SHOWN_BYTES + 4];
    size_t n = key.size_bytes < KEY_SHOWN_BYTES ? key.size_bytes : KEY_SHOWN_BYTES;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = key.data[i];
        shown[i] = (char)(c == (uint8_t)FACT_SEP[0] ? '/' : c < 0x20 || c == 0x7f ? '?' : c);
    }
    snprintf(shown + n, 4, "%s", n < key.size_bytes ? "..." : "");
    int field_bytes = field.size_bytes < 64 ? (int)field.size_bytes : 64;
    return ior_why_set(why, err, "fact %s: %.*s%s%s", shown, field_bytes,
                       field.data == NULL ? "" : (const char *)field.data,
                       field.data == NULL ? "" : ": ", what);
}

static bool name_ok(struct ior_slice s, size_t bytes_max)
{
    if (s.size_bytes == 0 || s.size_bytes > bytes_max) return false;
    for (size_t i = 0; i < s.size_bytes; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) return false; /* FACT_SEP, too */
    }
    return true;
}

enum ior_err retention_fact_names(struct ior_slice key, struct ior_slice *ret_bucket,
                                  struct ior_slice *ret_stream, struct ior_why *why)
{
    static const struct ior_slice none = {NULL, 0};
    if (!retention_fact_is(key) || key.size_bytes <= word.size_bytes + 1)
        return wrong(why, IOR_E_CORRUPT, key, none, "the key has not the parts it must have");
    struct ior_slice bucket =
        ior_slice(key.data + word.size_bytes + 1, key.size_bytes - word.size_bytes - 1);
    struct ior_slice stream = IOR_SLICE("");
    const uint8_t *cut = memchr(bucket.data, FACT_SEP[0], bucket.size_bytes);
    if (cut != NULL) {
        const uint8_t *end = bucket.data + bucket.size_bytes;
        bucket.size_bytes = (size_t)(cut - bucket.data);
        stream = ior_slice(cut + 1, (size_t)(end - cut - 1));
    }
    if (!name_ok(bucket, BUCKET_BYTES_MAX) || (cut != NULL && !name_ok(stream, STREAM_BYTES_MAX)))
        return wrong(why, IOR_E_CORRUPT, key, none,
                     "a name is empty, too long or has control characters");
    *ret_bucket = bucket;
    *ret_stream = stream;
    return IOR_OK;
}

enum ior_err retention_fact_read(const struct fact *f, struct ior_slice *ret_bucket,
                                 struct ior_slice *ret_stream, struct retention *ret,
                                 struct ior_why *why)
{
    struct ior_slice bucket;
    struct ior_slice stream;
    struct retention_problem p;
    enum ior_err err = retention_fact_names(f->key, &bucket, &stream, why);
    if (err != IOR_OK) return err;
    err = retention_parse(f->value, stream.size_bytes > 0, ret, &p);
    if (err == IOR_E_BODY)
        return wrong(why, IOR_E_CORRUPT, f->key, p.field, "the value is not a JSON object");
    if (err != IOR_OK)
        return wrong(why, p.unknown ? IOR_E_VERSION : IOR_E_CORRUPT, f->key, p.field, p.text);
    *ret_bucket = bucket;
    *ret_stream = stream;
    return IOR_OK;
}
