/* test/fuzz/target_retention.c - fuzz src/store/retention.c and cluster/retention_fact.c.
 * Input: a first byte, odd for a stream; a key up to a line feed, in which `|` stands for FACT_SEP;
 * then the JSON of a policy.
 * Besides not crashing: the parser agrees with jansson on which objects have only fields that
 * are known, each once; a refusal has its parts inside the input; what is printed is parsed
 * to the same and printed the same; a key that is taken is written the same. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "cluster/retention_fact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static bool inside(struct ior_slice part, struct ior_slice whole)
{
    return part.data >= whole.data && part.data + part.size_bytes <= whole.data + whole.size_bytes;
}

static void check_refusal(enum ior_err err, struct ior_slice json,
                          const struct retention_problem *p)
{
    IOR_ASSERT(p->text != NULL && p->text[0] != 0);
    IOR_ASSERT(p->at <= json.size_bytes);
    if (err == IOR_E_BODY) {
        IOR_ASSERT(p->field.data == NULL);
        return;
    }
    IOR_ASSERT(err == IOR_E_INVAL);
    IOR_ASSERT(inside(p->field, json) && inside(p->value, json));
    /* They go into an answer as they are. */
    IOR_ASSERT(p->field.data[0] == '"' && ior_json_check(p->field, 1, NULL) == IOR_OK);
    IOR_ASSERT(ior_json_check(p->value, JSON_DEPTH_MAX, NULL) == IOR_OK);
}

static void check_same(const struct retention *a, const struct retention *b)
{
    IOR_ASSERT(a->max_events == b->max_events && a->max_bytes == b->max_bytes);
    IOR_ASSERT(a->max_age_ms == b->max_age_ms && a->max_total_bytes == b->max_total_bytes);
}

static void check_policy(struct ior_slice json, bool of_stream, const struct retention *r)
{
    struct ior_buf out;
    struct retention again;
    struct retention_problem p;
    ior_buf_init(&out);
    retention_print(&out, r);
    IOR_ASSERT(!ior_buf_failed(&out) && out.size_bytes <= RETENTION_JSON_BYTES_MAX);
    enum ior_err err = retention_parse(ior_buf_slice(&out), of_stream, &again, &p);
    IOR_ASSERT(err == IOR_OK);
    check_same(r, &again);
    ior_buf_done(&out);
    IOR_ASSERT(!of_stream || r->max_total_bytes == RETENTION_UNSET);

    json_t *tree =
        json_loadb((const char *)json.data, json.size_bytes, JSON_REJECT_DUPLICATES, NULL);
    IOR_ASSERT(json_is_object(tree));
    size_t fields = 0;
    fields += r->max_events != RETENTION_UNSET;
    fields += r->max_bytes != RETENTION_UNSET;
    fields += r->max_age_ms != RETENTION_UNSET;
    fields += r->max_total_bytes != RETENTION_UNSET;
    IOR_ASSERT(json_object_size(tree) == fields);
    const json_t *n = json_object_get(tree, "max_events");
    if (r->max_events == RETENTION_NONE) IOR_ASSERT(json_is_null(n));
    if (json_is_integer(n)) IOR_ASSERT((uint64_t)json_integer_value(n) == r->max_events);
    json_decref(tree);
}

static void check_key(struct ior_slice key)
{
    struct ior_slice bucket;
    struct ior_slice stream;
    struct ior_why why = {""};
    if (retention_fact_names(key, &bucket, &stream, &why) != IOR_OK) {
        IOR_ASSERT(why.text[0] != 0);
        return;
    }
    struct ior_buf out;
    ior_buf_init(&out);
    retention_fact_key(&out, bucket, stream);
    IOR_ASSERT(retention_fact_is(key) && ior_slice_eq(ior_buf_slice(&out), key));
    ior_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    if (size_bytes == 0) return 0;
    bool of_stream = data[0] % 2 == 1;
    const uint8_t *line = memchr(data, '\n', size_bytes);
    size_t end = line == NULL ? size_bytes : (size_t)(line - data);
    size_t from = line == NULL ? end : end + 1;
    uint8_t *key = malloc(end);
    IOR_ASSERT(key != NULL);
    for (size_t i = 1; i < end; i++) key[i - 1] = data[i] == '|' ? (uint8_t)FACT_SEP[0] : data[i];
    if (end > 0) check_key(ior_slice(key, end - 1));
    free(key);

    struct ior_slice json = ior_slice(data + from, size_bytes - from);
    struct retention r;
    struct retention_problem p;
    enum ior_err err = retention_parse(json, of_stream, &r, &p);
    if (err == IOR_OK) {
        check_policy(json, of_stream, &r);
    } else {
        check_refusal(err, json, &p);
    }
    return 0;
}
