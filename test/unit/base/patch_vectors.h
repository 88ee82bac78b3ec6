/* test/unit/base/patch_vectors.h - RFC 6902 as a table: document, patch, and the exact text that
 * comes out, or part of the reason why nothing does. */
#pragma once

struct patch_vector {
    const char *document;
    const char *patch;
    const char *result; /* NULL: it fails */
    const char *reason; /* then: what the reason must say */
};

/* Every operation and rule. */
extern const struct patch_vector patch_vectors[];
extern const unsigned patch_vector_count;
/* Patches that are none, whatever the document. */
extern const struct patch_vector patch_bad[];
extern const unsigned patch_bad_count;
