/* src/base/json_value.h - values of a JSON text where they stand in it: where one ends, what is
 * in it, and when two are the same. Nothing is decoded or copied before it must be, so numbers
 * keep every digit and strings their escapes.
 * The texts were checked (ior_json_check); on other bytes the answers mean nothing, but no
 * byte behind `end` is read. Thread: any. Nothing allocates or recurses. */
#pragma once

#include <stdint.h>

#include "base/slice.h"

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

/* By its first byte; the value is not empty. */
enum json_kind json_kind_of(struct ior_slice value);
/* Without the white space around it. */
struct ior_slice json_trim(struct ior_slice text);
/* The end of the value that begins at p < end. *ret_height: how deep it nests: 0 for a scalar, 1
 * for an array or object of scalars or of nothing. */
const uint8_t *json_value_end(const uint8_t *p, const uint8_t *end, unsigned *ret_height);

/* The members of an array or object, one after the other. */
struct json_walk {
    const uint8_t *at, *end;
    bool object;
};
struct json_member {
    struct ior_slice name; /* with its quotes; of an element: empty */
    struct ior_slice value;
    unsigned height;
};
void json_walk_begin(struct json_walk *w, struct ior_slice container);
bool json_walk_next(struct json_walk *w, struct json_member *ret);

/* ---- strings: `raw` is with quotes and escapes ---- */

/* The text itself into out (room: the bytes of raw); its length. */
size_t json_unquote(struct ior_slice raw, uint8_t *out);
/* Is this its text? */
bool json_string_is(struct ior_slice raw, struct ior_slice text);
/* By their texts, bytewise: 0 is the same text. */
int json_string_cmp(struct ior_slice raw_a, struct ior_slice raw_b);

/* Numbers by their value, exactly, however they are written: 1.0, 1 and 10e-1 are the same, and
 * so are 0 and -0. */
bool json_number_eq(struct ior_slice a, struct ior_slice b);
