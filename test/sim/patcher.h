/* test/sim/patcher.h - clients that patch documents, and what must come of it: every patch that was
 * acknowledged is in the document that follows, at its place in a chain without a break (no
 * lost update), and its entry is in the stream of the patches; of both or of neither. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum { PATCHER_DOCS = 3 };
#define PATCHER_BUCKET "patched"

struct world;

enum patcher_state { PATCHER_IN_FLIGHT, PATCHER_ACKED, PATCHER_REFUSED, PATCHER_UNKNOWN };

/* A patch, or a whole document that is posted. Its bytes follow from its number. */
struct patcher_op {
    uint64_t number;
    unsigned doc;
    bool whole;
    bool keyed;
    uint32_t pad_bytes; /* of a whole one */
    enum patcher_state state;
    unsigned attempts;    /* sent and not answered yet */
    bool maybe;           /* one of them may have happened */
    uint64_t id, time_ms; /* of the result; 0: not known */
};

struct patcher {
    struct patcher_op *ops;
    size_t count, room;
    uint64_t shown[PATCHER_DOCS]; /* some answer had this id */
    unsigned since[PATCHER_DOCS]; /* patches sent since the last whole document */
};

void patcher_init(struct patcher *p);
void patcher_done(struct patcher *p);
/* Patch, post, or send a patch of the past again. */
void patcher_step(struct world *w);
/* Read everything and compare. after_start: what was unknown is known from now on. */
void patcher_inspect(struct world *w, bool after_start);
/* Nothing is wrong any more: a document and a patch of each must be taken. */
void patcher_prove(struct world *w);
