/* src/base/json_tree.h - a JSON text that is changed in places. A tree over the bytes of the
 * text: a value is known by where it stands, and is looked into only when a path leads through
 * it. What nothing changes in is written as it was read, byte for byte: numbers with all their
 * digits, strings with their escapes, white space. Of an array or object in which something
 * changed only the white space between its members goes; members keep their order and the
 * spelling of their names, new ones come last.
 * A name that is there twice in an object: the last one counts, as for most readers; removing
 * or setting it leaves no other.
 * Failure modes: every function that may need memory gives NOMEM, or TOOLARGE when a limit of
 * the tree is reached (json_tree_limit() says which). After any error the tree is given up:
 * the text that it stands on never changes.
 * Thread: one owner at a time. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json_pointer.h"

struct json_kids;

struct json_node {
    const uint8_t *text;    /* as it was written; NULL: it changed, and is made of its kids */
    const uint8_t *name;    /* of a member of an object, with its quotes */
    struct json_kids *kids; /* NULL: nobody looked into it yet, or it is a scalar */
    uint32_t text_bytes;    /* of what is written: also when it changed */
    uint32_t name_bytes;
    uint8_t kind;   /* enum json_kind */
    uint8_t height; /* nests at most so deep; removing does not lower it */
};

struct json_tree_limits {
    size_t bytes_max;   /* of the text, at any time */
    uint64_t steps_max; /* members looked at, and so on: about as many as some nanoseconds each */
    size_t memory_max;
};

struct json_tree {
    struct ior_arena arena;
    struct json_node root;
    bool empty; /* the whole document was removed */
    size_t bytes_max;
    uint64_t steps_left;
    const char *limit; /* which one was reached, in words, or NULL */
};

/* text: checked (ior_json_check with JSON_DEPTH_MAX); it must stand until json_tree_done(). */
void json_tree_init(struct json_tree *t, struct ior_slice text, const struct json_tree_limits *l);
void json_tree_done(struct json_tree *t);
/* A value to be put into a tree, or compared. text: checked, without white space around it. */
struct json_node json_node_of(struct ior_slice text, unsigned height);

/* What a pointer leads to. NOTFOUND: there is nothing. It stands until the next change. */
IOR_MUST_CHECK enum ior_err json_tree_get(struct json_tree *t, const struct json_pointer *p,
                                          struct json_node **ret);
/* As the operations of RFC 6902: a new member or element (a member that is there is replaced).
 * NOTFOUND: there is nothing to put it into, or it is no place of the array. BODY: it would nest
 * deeper than JSON_DEPTH_MAX. */
IOR_MUST_CHECK enum ior_err json_tree_add(struct json_tree *t, const struct json_pointer *p,
                                          struct json_node value);
/* NOTFOUND, BODY. */
IOR_MUST_CHECK enum ior_err json_tree_replace(struct json_tree *t, const struct json_pointer *p,
                                              struct json_node value);
/* ret (may be NULL): what was there; it may be added again. NOTFOUND. */
IOR_MUST_CHECK enum ior_err json_tree_remove(struct json_tree *t, const struct json_pointer *p,
                                             struct json_node *ret);
/* The same value once more, for json_tree_add(). */
IOR_MUST_CHECK enum ior_err json_tree_copy(struct json_tree *t, const struct json_node *n,
                                           struct json_node *ret);
/* The same value, as RFC 6902 section 4.6 says: numbers by value, strings by their text, objects
 * without order. */
IOR_MUST_CHECK enum ior_err json_tree_equal(struct json_tree *t, struct json_node *a,
                                            struct json_node *b, bool *ret);
/* The text as it is now. The tree is not empty. Memory: as the buffer says. */
void json_tree_write(const struct json_tree *t, struct ior_buf *out);
