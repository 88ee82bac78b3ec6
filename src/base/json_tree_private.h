/* src/base/json_tree_private.h - shared by json_tree.c and json_tree_equal.c. */
#pragma once

#include "base/json.h"
#include "base/json_tree.h"
#include "base/json_value.h"

struct json_kids {
    uint32_t count;
    uint32_t room;
    struct json_node at[];
};

/* NULL: *ret_err is NOMEM or TOOLARGE. */
void *json_tree_alloc(struct json_tree *t, size_t size_bytes, enum ior_err *ret_err);
/* TOOLARGE: there are not so many left. */
IOR_MUST_CHECK enum ior_err json_tree_spend(struct json_tree *t, uint64_t steps);
struct json_kids *json_kids_new(struct json_tree *t, uint32_t room, enum ior_err *ret_err);
/* Of an array or object: its kids are there. Anything else has none. */
IOR_MUST_CHECK enum ior_err json_node_open(struct json_tree *t, struct json_node *n);
