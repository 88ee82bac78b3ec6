/* src/core/patch.h - PATCH of a stream (API.md section 3): a JSON Patch on its newest event; the
 * result is appended, and the patch itself to the stream NAME-$patch, in one record.
 * To the callers a patch is an append (core/iorio.h) whose event is made inside: patch_new(),
 * then iorio_append() with its expectation, key and durability, and append_free(). What is
 * more: a->err may be NOEVENT (nothing is kept), BODY (the event is not JSON, or an
 * operation fails; a->patch->fault says which), TOOLARGE (a limit, likewise), and CONFLICT with
 * a->patch->raced: others were faster, again and again.
 * Thread: as iorio.h; what is private belongs to the vnode's strand, or to the job. */
#pragma once

#include "base/json_patch.h"
#include "core/iorio.h"

struct patch {
    struct json_patch_fault fault; /* out, after BODY and TOOLARGE */
    bool raced;                    /* out, with CONFLICT */
    uint64_t raced_id;             /* out: the event that it was computed by */

    struct append *owner;      /* private, like all that follows */
    struct json_patch *parsed; /* its slices lie in the record's second_items */
    size_t body_bytes;
    struct append_part log;
    uint8_t key[IDEMPOTENCY_KEY_BYTES_MAX];

    /* Those of one stream go one after the other: the one whose turn it is has the others. */
    bool has_turn;
    struct ior_queue waiting;
    struct stream *pinned;

    /* What it was computed by, and what came out. */
    bool computed;
    enum ior_err err;
    uint64_t base_id, base_uid, base_low, base_losses;
    struct ior_blob *base; /* NULL: it is on the disk */
    struct ior_slice base_payload;
    struct ior_blob *result; /* the item */
    size_t result_bytes;     /* of its payload */
    unsigned tries;
    struct job job;
};

/* May this stream be patched: are the patches' names names, and is it none of them? */
bool patch_name_ok(struct ior_slice stream);
/* An append that patches; the names are valid. With *fault: BODY, TOOLARGE: it is no patch; NAME:
 * not patch_name_ok(); NOMEM. */
IOR_MUST_CHECK enum ior_err patch_new(struct ior_slice bucket, struct ior_slice stream,
                                      struct ior_slice body, struct append **ret,
                                      struct json_patch_fault *fault);
/* An idempotency key, as of append_new(). The same key with the same patch is a repetition,
 * whatever it would make now. */
void patch_set_key(struct append *a, struct ior_slice key);

/* ---- for append.c, inside the strand ---- */

void patch_free(struct patch *p);
/* False: it waits for others of its stream, or (*ret_err) cannot: BUSY, NOMEM. */
bool patch_turn(struct append *a, enum ior_err *ret_err);
/* It is decided: the next one's turn. */
void patch_end(struct append *a);
enum patch_step { PATCH_READY, PATCH_WAITS, PATCH_FAILS };
/* Finds the stream of the patches. FAILS: *ret_err. */
enum patch_step patch_find_log(struct append *a, enum ior_err *ret_err);
/* READY: a->part has the event to be appended. FAILS: a->err says why. */
enum patch_step patch_make_event(struct append *a);
