/* src/base/json_patch_parse.c - from the text of a patch to its operations. All of it is looked at
 * before anything is applied: an array of objects, each with a known "op", and the members
 * that this one needs; other members are left alone. A member that counts and is there
 * twice is refused: which one is meant nobody knows (RFC 6902, A.13). */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/json_patch_private.h"
#include "base/json_value.h"

/* Operations, and the tokens of their paths: at most 16 bytes for each slash, and the texts. */
enum { ARENA_BYTES_MIN = 64 << 10, ARENA_BYTES_PER_BYTE = 40 };

/* The members of one operation that count. */
struct members {
    struct ior_slice op, path, from, value; /* data NULL: not there */
    unsigned height;
    bool twice;
};

static void take(struct members *m, struct ior_slice *into, const struct json_member *member)
{
    if (into->data != NULL) m->twice = true;
    *into = member->value;
    if (into == &m->value) m->height = member->height;
}

static struct members read_members(struct ior_slice object)
{
    struct members m = {0};
    struct json_walk w;
    struct json_member member;
    json_walk_begin(&w, object);
    while (json_walk_next(&w, &member)) {
        if (json_string_is(member.name, IOR_SLICE("op"))) take(&m, &m.op, &member);
        if (json_string_is(member.name, IOR_SLICE("path"))) take(&m, &m.path, &member);
        if (json_string_is(member.name, IOR_SLICE("from"))) take(&m, &m.from, &member);
        if (json_string_is(member.name, IOR_SLICE("value"))) take(&m, &m.value, &member);
    }
    return m;
}

static bool is_string(struct ior_slice value)
{
    return value.data != NULL && json_kind_of(value) == JSON_STRING;
}

static bool find_kind(struct ior_slice raw, enum json_patch_kind *ret)
{
    static const char *const names[] = {"add", "remove", "replace", "move", "copy", "test"};
    for (size_t i = 0; i < IOR_LEN(names); i++) {
        if (!json_string_is(raw, ior_slice_str(names[i]))) continue;
        *ret = (enum json_patch_kind)i;
        return true;
    }
    return false;
}

struct parse {
    struct json_patch *patch;
    struct json_patch_fault *fault;
    size_t number; /* of the operation */
};

static enum ior_err bad(struct parse *p, const struct json_patch_op *o, const char *what)
{
    return json_patch_fail(p->fault, IOR_E_BODY, p->number, o, what);
}

static enum ior_err read_pointer(struct parse *p, const struct json_patch_op *o,
                                 struct ior_slice raw, struct json_pointer *ret)
{
    enum ior_err err = json_pointer_parse(raw, &p->patch->arena, ret);
    if (err == IOR_E_BODY)
        return bad(p, o, "a path is empty or begins with a slash, and a ~ in it is ~0 or ~1");
    return err == IOR_OK ? err : json_patch_fail(p->fault, err, p->number, o, "out of memory");
}

static enum ior_err read_from(struct parse *p, struct json_patch_op *o, const struct members *m)
{
    if (!is_string(m->from)) return bad(p, o, "`from` is missing, or no text");
    o->from_raw = m->from;
    enum ior_err err = read_pointer(p, o, m->from, &o->from);
    if (err != IOR_OK) return err;
    if (o->kind == JSON_PATCH_MOVE && json_pointer_is_inside(&o->path, &o->from))
        return bad(p, o, "a value cannot be moved into itself");
    return IOR_OK;
}

static enum ior_err read_op(struct parse *p, struct ior_slice object, struct json_patch_op *o)
{
    *o = (struct json_patch_op){0};
    if (json_kind_of(object) != JSON_OBJECT) return bad(p, NULL, "it is no object");
    struct members m = read_members(object);
    if (m.twice) return bad(p, NULL, "a member is there twice");
    if (!is_string(m.op)) return bad(p, NULL, "`op` is missing, or no text");
    if (!find_kind(m.op, &o->kind))
        return bad(p, NULL, "`op` is none of add, remove, replace, move, copy and test");
    if (!is_string(m.path)) return bad(p, o, "`path` is missing, or no text");
    o->path_raw = m.path;
    enum ior_err err = read_pointer(p, o, m.path, &o->path);
    if (err != IOR_OK) return err;
    if (o->kind == JSON_PATCH_MOVE || o->kind == JSON_PATCH_COPY) return read_from(p, o, &m);
    if (o->kind == JSON_PATCH_REMOVE) return IOR_OK;
    if (m.value.data == NULL) return bad(p, o, "`value` is missing");
    o->value = m.value;
    o->height = m.height;
    return IOR_OK;
}

static size_t count_members(struct ior_slice container)
{
    struct json_walk w;
    struct json_member m;
    size_t count = 0;
    json_walk_begin(&w, container);
    while (count <= PATCH_OPS_MAX && json_walk_next(&w, &m)) count++;
    return count;
}

static enum ior_err read_ops(struct parse *p, struct ior_slice array)
{
    struct json_patch *patch = p->patch;
    struct json_walk w;
    struct json_member m;
    size_t count = count_members(array);
    if (count > PATCH_OPS_MAX) {
        char text[96];
        snprintf(text, sizeof text,
                 "A patch has at most %d operations; send the rest in a second one", PATCH_OPS_MAX);
        return json_patch_fail_whole(p->fault, IOR_E_TOOLARGE, text);
    }
    patch->ops = ior_arena_alloc(&patch->arena, count * sizeof *patch->ops);
    if (patch->ops == NULL) return json_patch_fail_whole(p->fault, IOR_E_NOMEM, "out of memory");
    json_walk_begin(&w, array);
    while (patch->count < count && json_walk_next(&w, &m)) {
        p->number = patch->count;
        enum ior_err err = read_op(p, m.value, &patch->ops[patch->count]);
        if (err != IOR_OK) return err;
        patch->count++;
    }
    return IOR_OK;
}

enum ior_err json_patch_parse(struct ior_slice text, struct json_patch **ret,
                              struct json_patch_fault *fault)
{
    *fault = (struct json_patch_fault){.op = JSON_PATCH_NO_OP};
    if (ior_json_check(text, JSON_DEPTH_MAX, &fault->offset) != IOR_OK) {
        fault->has_offset = true;
        return json_patch_fail_whole(fault, IOR_E_BODY, "The patch is not JSON");
    }
    struct ior_slice array = json_trim(text);
    if (json_kind_of(array) != JSON_ARRAY)
        return json_patch_fail_whole(fault, IOR_E_BODY, "A patch is an array of operations");
    struct json_patch *patch = malloc(sizeof *patch);
    if (patch == NULL) return json_patch_fail_whole(fault, IOR_E_NOMEM, "out of memory");
    *patch = (struct json_patch){0};
    ior_arena_init(&patch->arena, ARENA_BYTES_MIN + PATCH_OPS_MAX * sizeof(struct json_patch_op) +
                                      ARENA_BYTES_PER_BYTE * text.size_bytes);
    struct parse p = {patch, fault, 0};
    enum ior_err err = read_ops(&p, array);
    if (err != IOR_OK) {
        json_patch_free(patch);
        return err;
    }
    *ret = patch;
    return IOR_OK;
}

void json_patch_free(struct json_patch *p)
{
    if (p == NULL) return;
    ior_arena_done(&p->arena);
    free(p);
}
