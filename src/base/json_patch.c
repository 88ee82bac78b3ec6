/* src/base/json_patch.c - applying a patch; parsing: json_patch_parse.c.
 * Happy path: each operation in its order on a tree over the document; then the tree is
 * written. */
#include "base/json_patch.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/json_patch_private.h"

/* ---- what went wrong, in words ---- */

/* A path as it was written, without quotes and not too long; whole characters. */
static int shorten(struct ior_slice raw, char *out, size_t room)
{
    size_t n = raw.size_bytes >= 2 ? raw.size_bytes - 2 : 0;
    const char *text = (const char *)raw.data + 1;
    size_t keep = n;
    if (n >= room - 4) {
        keep = room - 4;
        while (keep > 0 && ((uint8_t)text[keep] & 0xc0) == 0x80) keep--;
    }
    return snprintf(out, room, "%.*s%s", (int)keep, keep == 0 ? "" : text, keep < n ? "..." : "");
}

enum { PATH_SHOWN_BYTES = 120 };

static const char *const kinds[] = {"add", "remove", "replace", "move", "copy", "test"};

enum ior_err json_patch_fail(struct json_patch_fault *f, enum ior_err err, size_t op,
                             const struct json_patch_op *o, const char *what)
{
    char path[PATH_SHOWN_BYTES];
    char from[PATH_SHOWN_BYTES];
    f->op = op;
    if (o == NULL) return ior_why_set(&f->why, err, "operation %zu: %s", op, what);
    (void)shorten(o->path_raw, path, sizeof path);
    (void)shorten(o->from_raw, from, sizeof from);
    bool has_from = o->kind == JSON_PATCH_MOVE || o->kind == JSON_PATCH_COPY;
    return ior_why_set(&f->why, err, "operation %zu (%s \"%s\"%s%s%s): %s", op, kinds[o->kind],
                       path, has_from ? " from \"" : "", has_from ? from : "", has_from ? "\"" : "",
                       what);
}

enum ior_err json_patch_fail_whole(struct json_patch_fault *f, enum ior_err err, const char *what)
{
    f->op = JSON_PATCH_NO_OP;
    return ior_why_set(&f->why, err, "%s", what);
}

/* How an operation ended that is no error of the tree. */
struct outcome {
    bool other;   /* test: another value */
    bool at_from; /* move, copy: it came no further than `from` */
};

static const char *words_of(const struct json_tree *t, const struct json_patch_op *o,
                            const struct outcome *ended, enum ior_err err)
{
    switch (err) {
    case IOR_OK:
        return "the value is another one";
    case IOR_E_NOTFOUND:
        if (ended->at_from) return "there is nothing at `from`";
        if (o->kind == JSON_PATCH_TEST || o->kind == JSON_PATCH_REMOVE ||
            o->kind == JSON_PATCH_REPLACE)
            return "there is nothing at this path";
        return "there is nothing to add it to, or it is no place of the array";
    case IOR_E_BODY:
        return "it would nest too deep";
    case IOR_E_TOOLARGE:
        return t->limit;
    default:
        return ior_err_reason(err);
    }
}

/* ---- the operations ---- */

static enum ior_err do_test(struct json_tree *t, const struct json_patch_op *o,
                            struct outcome *ended)
{
    struct json_node *there = NULL;
    struct json_node value = json_node_of(o->value, o->height);
    bool same = false;
    enum ior_err err = json_tree_get(t, &o->path, &there);
    if (err == IOR_OK) err = json_tree_equal(t, there, &value, &same);
    ended->other = !same;
    return err;
}

static enum ior_err do_copy(struct json_tree *t, const struct json_patch_op *o,
                            struct outcome *ended)
{
    struct json_node *there = NULL;
    struct json_node copy;
    enum ior_err err = json_tree_get(t, &o->from, &there);
    ended->at_from = err != IOR_OK;
    if (err == IOR_OK) err = json_tree_copy(t, there, &copy);
    return err == IOR_OK ? json_tree_add(t, &o->path, copy) : err;
}

static enum ior_err do_move(struct json_tree *t, const struct json_patch_op *o,
                            struct outcome *ended)
{
    struct json_node moved;
    enum ior_err err = json_tree_remove(t, &o->from, &moved);
    ended->at_from = err != IOR_OK;
    return err == IOR_OK ? json_tree_add(t, &o->path, moved) : err;
}

static enum ior_err do_op(struct json_tree *t, const struct json_patch_op *o, struct outcome *ended)
{
    switch (o->kind) {
    case JSON_PATCH_ADD:
        return json_tree_add(t, &o->path, json_node_of(o->value, o->height));
    case JSON_PATCH_REPLACE:
        return json_tree_replace(t, &o->path, json_node_of(o->value, o->height));
    case JSON_PATCH_REMOVE:
        return json_tree_remove(t, &o->path, NULL);
    case JSON_PATCH_MOVE:
        return do_move(t, o, ended);
    case JSON_PATCH_COPY:
        return do_copy(t, o, ended);
    default:
        return do_test(t, o, ended);
    }
}

static enum ior_err do_all(struct json_tree *t, const struct json_patch *p,
                           struct json_patch_fault *fault)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct json_patch_op *o = &p->ops[i];
        struct outcome ended = {0};
        enum ior_err err = do_op(t, o, &ended);
        if (err == IOR_OK && !ended.other) continue;
        const char *words = words_of(t, o, &ended, err);
        bool fails = err == IOR_OK || err == IOR_E_NOTFOUND;
        return json_patch_fail(fault, fails ? IOR_E_BODY : err, i, o, words);
    }
    if (!t->empty) return IOR_OK;
    return json_patch_fail_whole(fault, IOR_E_BODY, "The patch removes the whole document");
}

enum ior_err json_patch_apply(const struct json_patch *p, struct ior_slice document,
                              const struct json_tree_limits *limits, struct ior_buf *out,
                              struct json_patch_fault *fault)
{
    struct json_tree t;
    *fault = (struct json_patch_fault){.op = JSON_PATCH_NO_OP};
    if (document.size_bytes > limits->bytes_max)
        return json_patch_fail_whole(fault, IOR_E_TOOLARGE, "The document is too large");
    if (ior_json_check(document, JSON_DEPTH_MAX, NULL) != IOR_OK)
        return json_patch_fail_whole(fault, IOR_E_BODY, "The document is not JSON");
    json_tree_init(&t, document, limits);
    enum ior_err err = do_all(&t, p, fault);
    if (err == IOR_OK) {
        json_tree_write(&t, out);
        if (ior_buf_failed(out)) err = json_patch_fail_whole(fault, IOR_E_NOMEM, "out of memory");
    }
    json_tree_done(&t);
    return err;
}
