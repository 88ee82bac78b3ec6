/* src/store/retention.c - see retention.h.
 * Happy path: the checker of JSON has the whole text first; after that names and values are
 * only cut out of it, without a tree, and one table says what each may be.
 * Failure modes: the first field that is wrong is named, with a sentence that says what
 * would be right. Thread: any. */
#include "store/retention.h"

#include "base/assert.h"
#include "base/config_value.h"
#include "base/json.h"

#define TEXT(x) #x
#define NUMBER_TEXT(x) TEXT(x)
#define WHOLE "a whole number from 1 to " NUMBER_TEXT(RETENTION_VALUE_MAX)

enum kind { KIND_COUNT, KIND_BYTES, KIND_AGE };

struct field {
    const char *name;
    size_t offset;
    enum kind kind;
    bool of_bucket; /* only */
};

static const struct field fields[] = {
    {"max_events", offsetof(struct retention, max_events), KIND_COUNT, false},
    {"max_bytes", offsetof(struct retention, max_bytes), KIND_BYTES, false},
    {"max_age", offsetof(struct retention, max_age_ms), KIND_AGE, false},
    {"max_total_bytes", offsetof(struct retention, max_total_bytes), KIND_BYTES, true},
};

static const char *const wanted[] = {
    [KIND_COUNT] = "It must be " WHOLE ", or null for no limit",
    [KIND_BYTES] = ("It must be " WHOLE ", a size such as \"4MB\" (B KB MB GB TB), or null for no "
                    "limit"),
    [KIND_AGE] =
        ("It must be a duration such as \"7d\" or \"500ms\" (ms s m h d), at least 1ms, or "
         "null for no limit"),
};

static uint64_t *value_at(struct retention *r, const struct field *f)
{
    return (uint64_t *)(void *)((char *)r + f->offset);
}

static uint64_t value_of(const struct retention *r, const struct field *f)
{
    return *(const uint64_t *)(const void *)((const char *)r + f->offset);
}

/* ---- cutting a checked text ---- */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

static void skip_space(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

static void skip_string(struct cursor *c)
{
    c->at++;
    while (c->at < c->end && *c->at != '"') c->at += *c->at == '\\' ? 2 : 1;
    c->at++;
}

static bool ends_scalar(uint8_t b)
{
    return b == ',' || b == '}' || b == ']' || b == ' ' || b == '\t' || b == '\n' || b == '\r';
}

/* One string, number, word, list or object; c is at its first byte. */
static struct ior_slice take_value(struct cursor *c)
{
    const uint8_t *from = c->at;
    size_t depth = 0;
    do {
        uint8_t b = *c->at;
        if (b == '"') {
            skip_string(c);
        } else if (b == '{' || b == '[') {
            depth++;
            c->at++;
        } else if (b == '}' || b == ']') {
            depth--;
            c->at++;
        } else if (depth > 0) {
            c->at++;
        } else {
            while (c->at < c->end && !ends_scalar(*c->at)) c->at++;
        }
    } while (depth > 0 && c->at < c->end);
    return ior_slice(from, (size_t)(c->at - from));
}

static bool take_char(struct cursor *c, uint8_t wanted_char)
{
    skip_space(c);
    if (c->at == c->end || *c->at != wanted_char) return false;
    c->at++;
    skip_space(c);
    return true;
}

/* ---- one field ---- */

/* Without the quotes; false: it is no text. */
static bool unquoted(struct ior_slice token, struct ior_slice *ret)
{
    if (token.data[0] != '"') return false;
    *ret = ior_slice(token.data + 1, token.size_bytes - 2);
    return true;
}

static const struct field *find_field(struct ior_slice token)
{
    struct ior_slice name = {NULL, 0};
    if (!unquoted(token, &name)) return NULL;
    for (size_t i = 0; i < IOR_LEN(fields); i++) {
        if (ior_slice_eq(name, ior_slice_str(fields[i].name))) return &fields[i];
    }
    return NULL;
}

static bool read_value(enum kind kind, struct ior_slice token, uint64_t *ret)
{
    struct ior_slice text;
    uint64_t v = 0;
    enum ior_err err = IOR_E_INVAL;
    if (ior_slice_eq(token, IOR_SLICE("null"))) {
        *ret = RETENTION_NONE;
        return true;
    }
    if (unquoted(token, &text)) {
        if (kind == KIND_AGE) err = config_value_ms(text, &v, NULL);
        if (kind == KIND_BYTES) err = config_value_bytes(text, &v, NULL);
    } else if (kind != KIND_AGE) {
        err = config_value_int(token, &v, NULL);
    }
    if (err != IOR_OK || v == 0 || v > RETENTION_VALUE_MAX) return false;
    *ret = v;
    return true;
}

static enum ior_err take_field(struct retention *r, bool of_stream, struct retention_problem *p)
{
    const struct field *f = find_field(p->field);
    p->unknown = f == NULL;
    if (f == NULL) {
        p->text = "There is no such field: there are max_events, max_bytes, max_age and, for a "
                  "bucket, max_total_bytes";
        return IOR_E_INVAL;
    }
    if (f->of_bucket && of_stream) {
        p->text = "It bounds a bucket, not a stream: set it in the policy of the bucket";
        return IOR_E_INVAL;
    }
    if (value_of(r, f) != RETENTION_UNSET) {
        p->text = "It is there twice";
        return IOR_E_INVAL;
    }
    if (read_value(f->kind, p->value, value_at(r, f))) return IOR_OK;
    p->text = wanted[f->kind];
    return IOR_E_INVAL;
}

enum ior_err retention_parse(struct ior_slice json, bool of_stream, struct retention *ret,
                             struct retention_problem *problem)
{
    struct retention r = {0};
    struct cursor c = {json.data, json.data + json.size_bytes};
    *problem = (struct retention_problem){0};
    if (ior_json_check(json, JSON_DEPTH_MAX, &problem->at) != IOR_OK) {
        problem->text = "Invalid Request Body: it is not JSON";
        return IOR_E_BODY;
    }
    problem->at = 0;
    if (!take_char(&c, '{')) {
        problem->text = "Invalid Request Body: a policy is a JSON object";
        return IOR_E_BODY;
    }
    while (c.at < c.end && *c.at != '}') {
        problem->field = take_value(&c);
        bool colon = take_char(&c, ':');
        IOR_ASSERT(colon); /* it is JSON: the checker said so */
        problem->value = take_value(&c);
        enum ior_err err = take_field(&r, of_stream, problem);
        if (err != IOR_OK) return err;
        bool more = take_char(&c, ',');
        IOR_ASSERT(more || (c.at < c.end && *c.at == '}'));
    }
    *ret = r;
    return IOR_OK;
}

/* ---- the rest ---- */

void retention_print(struct ior_buf *out, const struct retention *r)
{
    bool first = true;
    ior_buf_add_char(out, '{');
    for (size_t i = 0; i < IOR_LEN(fields); i++) {
        uint64_t v = value_of(r, &fields[i]);
        char text[CONFIG_VALUE_TEXT_MAX];
        if (v == RETENTION_UNSET) continue;
        ior_buf_add_str(out, first ? "\"" : ",\"");
        ior_buf_add_str(out, fields[i].name);
        ior_buf_add_str(out, "\":");
        first = false;
        if (v == RETENTION_NONE) {
            ior_buf_add_str(out, "null");
        } else if (fields[i].kind == KIND_AGE) {
            config_value_ms_text(v, text);
            ior_buf_add_char(out, '"');
            ior_buf_add_str(out, text);
            ior_buf_add_char(out, '"');
        } else {
            ior_buf_add_u64(out, v);
        }
    }
    ior_buf_add_char(out, '}');
}

struct retention retention_merge(const struct retention *bucket, const struct retention *stream)
{
    struct retention r;
    for (size_t i = 0; i < IOR_LEN(fields); i++) {
        uint64_t v = RETENTION_UNSET;
        if (stream != NULL && !fields[i].of_bucket) v = value_of(stream, &fields[i]);
        if (v == RETENTION_UNSET && bucket != NULL) v = value_of(bucket, &fields[i]);
        *value_at(&r, &fields[i]) = v == RETENTION_UNSET ? RETENTION_NONE : v;
    }
    return r;
}

uint64_t retention_low_by_count(const struct retention *r, uint64_t low, uint64_t high)
{
    IOR_ASSERT(low >= 1 && low <= high + 1);
    if (r->max_events == RETENTION_UNSET || r->max_events >= high) return low;
    uint64_t asked = high - r->max_events + 1;
    return asked > low ? asked : low;
}
