/* test/lib/patch_model.h - what a JSON Patch does, done plainly on jansson's trees: for random
 * patches and for the fuzzer. It knows small whole numbers only; where it cannot judge
 * (other numbers, NUL in names, limits of ours) it says nothing.
 * Thread: one test. */
#pragma once

#include "base/buf.h"
#include "base/json_patch.h"
#include "seeded.h"

/* A random document, of few names, so that paths lead somewhere. */
void patch_model_document(struct seeded *s, struct ior_buf *out);
/* A random patch of a few operations: mostly good ones. */
void patch_model_patch(struct seeded *s, struct ior_buf *out);
/* err and result are what the real one said of a document and a patch. Different: an assertion
 * fails. */
void patch_model_check(struct ior_slice document, struct ior_slice patch, enum ior_err err,
                       const struct json_patch_fault *fault, struct ior_slice result);
