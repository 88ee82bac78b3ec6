/* src/base/json_tree_equal.c - when two values are the same (RFC 6902 section 4.6). Objects are
 * compared by their names in order, so that no object is slow. Recurses as deep as the values
 * nest: JSON_DEPTH_MAX. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/json_tree_private.h"

enum { BYTES_PER_STEP = 16, SORT_STEPS = 8 };

static struct ior_slice text_of(const struct json_node *n)
{
    return ior_slice(n->text, n->text_bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct json_node *x = *(struct json_node *const *)a;
    const struct json_node *y = *(struct json_node *const *)b;
    int c = json_string_cmp(ior_slice(x->name, x->name_bytes), ior_slice(y->name, y->name_bytes));
    if (c != 0) return c;
    return x < y ? -1 : x > y; /* of the same name: as they stand */
}

/* The members that count, sorted by name: of several with one name the last. */
struct members {
    struct json_node **at;
    size_t count;
};

static enum ior_err sort_members(struct json_tree *t, struct json_kids *k, struct members *ret)
{
    enum ior_err err = IOR_OK;
    uint64_t name_bytes = 0;
    *ret = (struct members){0};
    if (k->count == 0) return IOR_OK;
    ret->at = json_tree_alloc(t, k->count * sizeof(struct json_node *), &err);
    if (ret->at == NULL) return err;
    for (uint32_t i = 0; i < k->count; i++) {
        ret->at[i] = &k->at[i];
        name_bytes += k->at[i].name_bytes;
    }
    err = json_tree_spend(t, SORT_STEPS * (k->count + name_bytes / BYTES_PER_STEP));
    if (err != IOR_OK) return err;
    qsort(ret->at, k->count, sizeof(struct json_node *), by_name);
    for (uint32_t i = 0; i < k->count; i++) {
        struct json_node *next = i + 1 < k->count ? ret->at[i + 1] : NULL;
        const struct json_node *n = ret->at[i];
        bool hidden = next != NULL && json_string_cmp(ior_slice(n->name, n->name_bytes),
                                                      ior_slice(next->name, next->name_bytes)) == 0;
        if (!hidden) ret->at[ret->count++] = ret->at[i];
    }
    return IOR_OK;
}

static enum ior_err equal_objects(struct json_tree *t, struct json_kids *a, struct json_kids *b,
                                  bool *ret)
{
    struct members x;
    struct members y;
    enum ior_err err = sort_members(t, a, &x);
    if (err == IOR_OK) err = sort_members(t, b, &y);
    if (err != IOR_OK) return err;
    *ret = x.count == y.count;
    for (size_t i = 0; i < x.count && *ret && err == IOR_OK; i++) {
        *ret = json_string_cmp(ior_slice(x.at[i]->name, x.at[i]->name_bytes),
                               ior_slice(y.at[i]->name, y.at[i]->name_bytes)) == 0;
        if (*ret) err = json_tree_equal(t, x.at[i], y.at[i], ret);
    }
    return err;
}

static enum ior_err equal_arrays(struct json_tree *t, struct json_kids *a, struct json_kids *b,
                                 bool *ret)
{
    enum ior_err err = IOR_OK;
    *ret = a->count == b->count;
    for (uint32_t i = 0; i < a->count && *ret && err == IOR_OK; i++)
        err = json_tree_equal(t, &a->at[i], &b->at[i], ret);
    return err;
}

enum ior_err json_tree_equal(struct json_tree *t, struct json_node *a, struct json_node *b,
                             bool *ret)
{
    *ret = false;
    enum ior_err err = json_tree_spend(t, 1 + b->text_bytes / BYTES_PER_STEP);
    if (err != IOR_OK || a->kind != b->kind) return err;
    if (a->text != NULL && b->text != NULL && ior_slice_eq(text_of(a), text_of(b))) {
        *ret = true;
        return IOR_OK;
    }
    switch ((enum json_kind)a->kind) {
    case JSON_NUMBER:
        *ret = json_number_eq(text_of(a), text_of(b));
        return IOR_OK;
    case JSON_STRING:
        *ret = json_string_cmp(text_of(a), text_of(b)) == 0;
        return IOR_OK;
    case JSON_ARRAY:
    case JSON_OBJECT:
        err = json_node_open(t, a);
        if (err == IOR_OK) err = json_node_open(t, b);
        if (err != IOR_OK) return err;
        return a->kind == JSON_ARRAY ? equal_arrays(t, a->kids, b->kids, ret)
                                     : equal_objects(t, a->kids, b->kids, ret);
    default:
        *ret = true; /* null, false, true */
        return IOR_OK;
    }
}
