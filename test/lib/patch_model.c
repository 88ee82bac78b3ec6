/* test/lib/patch_model.c - see patch_model.h. */
#include "patch_model.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/* ---- random patches ---- */

static const char *const names[] = {"a", "b", "a/b", "m~n", "", "0", "1", "\\u0063", "\xc3\xa9"};
static const char *const tokens[] = {"a", "b", "a~1b",     "m~0n", "",  "0",
                                     "1", "c", "\xc3\xa9", "-",    "2", "01"};

static const char *pick(struct seeded *s, const char *const *from, size_t count)
{
    return from[seeded_below(s, count)];
}

static void space(struct seeded *s, struct ior_buf *out)
{
    static const char *const kinds[] = {"", "", "", " ", "\n", "\t "};
    ior_buf_add_str(out, pick(s, kinds, IOR_LEN(kinds)));
}

static void add_value(struct seeded *s, struct ior_buf *out, unsigned depth);

static void add_members(struct seeded *s, struct ior_buf *out, unsigned depth, bool object)
{
    size_t count = seeded_below(s, 4);
    ior_buf_add_char(out, object ? '{' : '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) ior_buf_add_char(out, ',');
        space(s, out);
        if (object) ior_buf_addf(out, "\"%s\":", pick(s, names, IOR_LEN(names)));
        add_value(s, out, depth - 1);
        space(s, out);
    }
    ior_buf_add_char(out, object ? '}' : ']');
}

static void add_value(struct seeded *s, struct ior_buf *out, unsigned depth)
{
    static const char *const scalars[] = {"0",     "1",    "2",           "-7",
                                          "12345", "true", "false",       "null",
                                          "\"x\"", "\"\"", "\"\\u0078\"", "\"a\\\\b\""};
    if (depth > 0 && seeded_below(s, 3) > 0) {
        add_members(s, out, depth, seeded_below(s, 2) == 0);
    } else {
        ior_buf_add_str(out, pick(s, scalars, IOR_LEN(scalars)));
    }
}

void patch_model_document(struct seeded *s, struct ior_buf *out)
{
    if (seeded_below(s, 4) == 0) {
        add_value(s, out, 3);
        return;
    }
    ior_buf_add_str(out, " { \"a\" : ");
    add_value(s, out, 2);
    ior_buf_add_str(out, " , \"b\":[0, [ 1 ] ,");
    add_value(s, out, 2);
    ior_buf_add_str(out, "],\"c\":{\"a\":");
    add_value(s, out, 2);
    ior_buf_add_str(out, ",\"b\" : [ 1,2] } } ");
}

/* Mostly into the middle of such documents. */
static void add_path(struct seeded *s, struct ior_buf *out, const char *name)
{
    size_t count = seeded_below(s, 4);
    ior_buf_addf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < count; i++) {
        static const char *const likely[2][3] = {{"a", "b", "c"}, {"0", "a", "b"}};
        bool wild = seeded_below(s, 5) == 0;
        ior_buf_addf(out, "/%s",
                     wild ? pick(s, tokens, IOR_LEN(tokens)) : pick(s, likely[i > 0], 3));
    }
    ior_buf_add_char(out, '"');
}

void patch_model_patch(struct seeded *s, struct ior_buf *out)
{
    static const char *const ops[] = {"add", "add", "remove", "replace", "move", "copy", "test"};
    size_t count = seeded_below(s, 2) + (seeded_below(s, 8) == 0 ? 4 : 1);
    ior_buf_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        const char *op = pick(s, ops, IOR_LEN(ops));
        ior_buf_addf(out, "%s{\"op\":\"%s\"", i > 0 ? "," : "", op);
        add_path(s, out, "path");
        if (op[0] == 'm' || op[0] == 'c') add_path(s, out, "from");
        ior_buf_add_str(out, ",\"value\":");
        add_value(s, out, 2);
        ior_buf_add_char(out, '}');
    }
    ior_buf_add_char(out, ']');
}

/* ---- the model ---- */

/* A path: decoded tokens. */
struct path {
    size_t count;
    char *tokens[64];
    size_t sizes[64];
};

static void path_free(struct path *p)
{
    for (size_t i = 0; i < p->count; i++) free(p->tokens[i]);
    p->count = 0;
}

/* False: it is none (or too long to judge: *ret_long). */
static bool path_parse(const json_t *text, struct path *p, bool *ret_long)
{
    p->count = 0;
    if (!json_is_string(text)) return false;
    const char *at = json_string_value(text);
    const char *end = at + json_string_length(text);
    while (at < end) {
        if (*at++ != '/') return false;
        if (p->count == 64) {
            *ret_long = true;
            return false;
        }
        char *token = malloc((size_t)(end - at) + 1);
        size_t n = 0;
        IOR_ASSERT(token != NULL);
        p->tokens[p->count] = token;
        for (; at < end && *at != '/'; at++) {
            if (*at == '~' && (at + 1 == end || (at[1] != '0' && at[1] != '1'))) {
                free(token);
                return false;
            }
            if (*at != '~') {
                token[n++] = *at;
            } else {
                at++;
                token[n++] = *at == '0' ? '~' : '/';
            }
        }
        token[n] = 0;
        p->sizes[p->count++] = n;
    }
    return true;
}

/* -1: no index. */
static long index_of(const char *token, size_t size, size_t count)
{
    char again[32];
    if (size == 0 || size > 9) return -1;
    long value = atol(token);
    snprintf(again, sizeof again, "%ld", value);
    if (value < 0 || strlen(again) != size || memcmp(again, token, size) != 0) return -1;
    return (size_t)value <= count ? value : -1;
}

static json_t *kid_of(json_t *parent, const char *token, size_t size)
{
    if (json_is_object(parent)) return json_object_getn(parent, token, size);
    if (!json_is_array(parent)) return NULL;
    long at = index_of(token, size, json_array_size(parent));
    return at < 0 ? NULL : json_array_get(parent, (size_t)at);
}

static json_t *find(json_t *root, const struct path *p, size_t count)
{
    for (size_t i = 0; i < count && root != NULL; i++)
        root = kid_of(root, p->tokens[i], p->sizes[i]);
    return root;
}

/* Takes the value. */
static bool add(json_t **root, const struct path *p, json_t *value)
{
    if (p->count == 0) {
        json_decref(*root);
        *root = value;
        return true;
    }
    json_t *parent = find(*root, p, p->count - 1);
    const char *token = p->tokens[p->count - 1];
    size_t size = p->sizes[p->count - 1];
    if (json_is_object(parent)) return json_object_setn_new(parent, token, size, value) == 0;
    if (json_is_array(parent)) {
        size_t count = json_array_size(parent);
        long at = size == 1 && token[0] == '-' ? (long)count : index_of(token, size, count);
        if (at >= 0) return json_array_insert_new(parent, (size_t)at, value) == 0;
    }
    json_decref(value);
    return false;
}

static bool take_out(json_t **root, const struct path *p)
{
    if (find(*root, p, p->count) == NULL) return false;
    if (p->count == 0) {
        json_decref(*root);
        *root = NULL;
        return true;
    }
    json_t *parent = find(*root, p, p->count - 1);
    const char *token = p->tokens[p->count - 1];
    size_t size = p->sizes[p->count - 1];
    if (json_is_object(parent)) return json_object_deln(parent, token, size) == 0;
    return json_array_remove(parent, (size_t)index_of(token, size, json_array_size(parent))) == 0;
}

static bool inside(const struct path *b, const struct path *a)
{
    if (b->count <= a->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->sizes[i] != b->sizes[i] || memcmp(a->tokens[i], b->tokens[i], a->sizes[i]) != 0)
            return false;
    }
    return true;
}

enum verdict { GOOD, BAD, CANNOT_SAY };

static bool do_op(json_t **root, const char *op, const struct path *path, const struct path *from,
                  json_t *value)
{
    json_t *there = find(*root, path, path->count);
    if (strcmp(op, "test") == 0) return there != NULL && json_equal(there, value);
    if (strcmp(op, "remove") == 0) return take_out(root, path);
    if (strcmp(op, "add") == 0) return add(root, path, json_deep_copy(value));
    if (strcmp(op, "replace") == 0) {
        bool array = path->count > 0 && json_is_array(find(*root, path, path->count - 1));
        if (there == NULL || (array && !take_out(root, path))) return false;
        return add(root, path, json_deep_copy(value));
    }
    json_t *moved = find(*root, from, from->count);
    if (moved == NULL) return false;
    moved = json_deep_copy(moved);
    if (strcmp(op, "move") == 0 && !take_out(root, from)) {
        json_decref(moved);
        return false;
    }
    return add(root, path, moved);
}

/* What can be seen without the document. */
static enum verdict look_at_op(json_t *op, struct path *path, struct path *from)
{
    bool is_long = false;
    const char *kind = json_string_value(json_object_get(op, "op"));
    if (kind == NULL) return BAD;
    bool moves = strcmp(kind, "move") == 0;
    bool has_from = moves || strcmp(kind, "copy") == 0;
    bool has_value =
        strcmp(kind, "add") == 0 || strcmp(kind, "replace") == 0 || strcmp(kind, "test") == 0;
    if (!has_from && !has_value && strcmp(kind, "remove") != 0) return BAD;
    if (!path_parse(json_object_get(op, "path"), path, &is_long)) return is_long ? CANNOT_SAY : BAD;
    if (has_from && !path_parse(json_object_get(op, "from"), from, &is_long))
        return is_long ? CANNOT_SAY : BAD;
    if (moves && inside(path, from)) return BAD;
    return has_value && json_object_get(op, "value") == NULL ? BAD : GOOD;
}

static enum verdict walk_ops(json_t **root, json_t *patch, bool apply)
{
    enum verdict v = GOOD;
    for (size_t i = 0; i < json_array_size(patch) && v == GOOD; i++) {
        struct path path = {0};
        struct path from = {0};
        json_t *op = json_array_get(patch, i);
        v = look_at_op(op, &path, &from);
        if (v == GOOD && apply &&
            !do_op(root, json_string_value(json_object_get(op, "op")), &path, &from,
                   json_object_get(op, "value")))
            v = BAD;
        path_free(&path);
        path_free(&from);
    }
    return v;
}

/* Numbers that jansson keeps as they are: integers. */
static bool has_reals(json_t *v)
{
    size_t i;
    json_t *kid;
    const char *key;
    if (json_is_real(v)) return true;
    json_array_foreach(v, i, kid)
    {
        if (has_reals(kid)) return true;
    }
    json_object_foreach(v, key, kid)
    {
        if (has_reals(kid)) return true;
    }
    return false;
}

static json_t *load(struct ior_slice text, size_t flags)
{
    if (text.size_bytes == 0) return NULL;
    json_error_t error;
    /* jansson overlooks a raw NUL behind true, false and null (2.14). */
    if (memchr(text.data, 0, text.size_bytes) != NULL) return NULL;
    json_t *v = json_loadb((const char *)text.data, text.size_bytes,
                           JSON_DECODE_ANY | JSON_ALLOW_NUL | flags, &error);
    if (v == NULL || !has_reals(v)) return v;
    json_decref(v);
    return NULL;
}

void patch_model_check(struct ior_slice document, struct ior_slice patch, enum ior_err err,
                       const struct json_patch_fault *fault, struct ior_slice result)
{
    if (err == IOR_E_TOOLARGE || (err != IOR_OK && strstr(fault->why.text, "too deep") != NULL))
        return;
    json_t *root = load(document, 0);
    json_t *ops = load(patch, JSON_REJECT_DUPLICATES); /* the one place where they count */
    if (root != NULL && ops != NULL && json_is_array(ops)) {
        enum verdict v = walk_ops(&root, ops, false);
        if (v == GOOD) v = walk_ops(&root, ops, true);
        if (v == GOOD && root == NULL) v = BAD;
        if (v != CANNOT_SAY) IOR_ASSERT((v == GOOD) == (err == IOR_OK));
        if (v == GOOD) {
            json_t *ours = load(result, 0);
            /* A name with a NUL cannot be read back. */
            IOR_ASSERT(ours == NULL || json_equal(ours, root));
            json_decref(ours);
        }
    }
    json_decref(root);
    json_decref(ops);
}
