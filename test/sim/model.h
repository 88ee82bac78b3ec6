/* test/sim/model.h - what a client knows about the streams: every append that it sent,
 * what it was answered, and everything that any answer ever showed. The rules of
 * FAULTS.md I1-I4 and I6 are checked here, at every answer and after every start. */
#pragma once

#include "core/iorio.h"
#include "rt/rand.h"

enum { MODEL_BUCKETS = 3, MODEL_STREAMS = 18, MODEL_EVENT_MIN_BYTES = 24 };

enum op_state {
    OP_IN_FLIGHT,
    OP_ACKED,
    OP_REFUSED, /* with an error that says: it did not happen */
    OP_UNKNOWN, /* it may have happened */
    OP_FOUND,   /* unknown, but a recovery has found it: from now on like ACKED */
    OP_DEAD,    /* unknown, and a recovery has not found it: may never come */
    OP_GONE,    /* unknown, and it may have been there and been trimmed */
};

/* One append. Its bytes follow from its number, so they need not be kept. */
struct op {
    uint64_t number;
    unsigned stream;
    uint32_t count;
    uint32_t size_bytes; /* about, of each event */
    bool flat;           /* payloads that look alike from append to append */
    bool keyed;          /* it has an idempotency key, and may be sent again */
    bool maybe;          /* an answer said that it may have happened */
    unsigned attempts;   /* sent and not answered yet */
    enum op_state state;
    uint64_t after_id; /* the highest id that any answer had shown when it was sent */
    uint64_t first_id; /* 0: not known */
    uint64_t time_ms;
};

struct model_stream {
    char bucket[24];
    char name[32];
    uint64_t *op_of; /* number of the append that an id belongs to; 0: not known */
    size_t room;
    uint64_t shown;        /* some answer said that this id is there */
    uint64_t low;          /* some answer said that ids below this one are gone */
    uint64_t low_max;      /* the most that any trim that was sent may have taken, plus 1 */
    uint64_t keep;         /* policies that were sent leave so many events; UINT64_MAX: none */
    bool may_be_deleted;   /* a deletion was sent: it may be in no list */
    uint64_t bytes;        /* of the payloads, as far as the last scan went */
    uint64_t scanned;      /* the scan after a start: the last id seen */
    uint64_t scan_time_ms; /* and its time */
};

struct model {
    struct model_stream streams[MODEL_STREAMS];
    struct op *ops;
    size_t op_count;
    size_t op_room;
};

void model_init(struct model *m);
void model_done(struct model *m);
struct op *model_op(struct model *m, uint64_t number);
/* A new append of so many events. */
struct op *model_new_op(struct model *m, unsigned stream, uint32_t count, uint32_t size_bytes,
                        bool flat);
/* It is sent once more, with its key. */
void model_again(struct op *op);
size_t model_event_bytes(const struct op *op, uint32_t i);
/* The bytes of its event i, into out (model_event_bytes). */
void model_event(const struct op *op, uint32_t i, uint8_t *out);

/* Answers. */
void model_acked(struct model *m, struct op *op, uint64_t first_id, uint64_t last_id,
                 uint64_t time_ms);
void model_refused(struct model *m, struct op *op);
void model_unknown(struct op *op);
/* An answer shows this event. */
void model_shows_event(struct model *m, unsigned stream, uint64_t id, uint64_t time_ms,
                       struct ior_slice payload);
/* An answer shows that the stream goes up to this id. at_least: what it must know. */
void model_shows_high(struct model *m, unsigned stream, uint64_t high, uint64_t at_least);
/* A trim is sent: ids up to `to` may go; UINT64_MAX: all. */
void model_trims(struct model *m, unsigned stream, uint64_t to);
/* An answer shows that ids below low are gone. at_least: what it must know. */
void model_shows_low(struct model *m, unsigned stream, uint64_t low, uint64_t at_least);
/* A scan of everything: begin, every event in order, end (high: what the node says). */
void model_scan_begin(struct model *m);
/* Where the scan of a stream begins. */
void model_scan_low(struct model *m, unsigned stream, uint64_t low);
void model_scan_event(struct model *m, unsigned stream, uint64_t id, uint64_t time_ms,
                      struct ior_slice payload);
void model_scan_end(struct model *m, bool after_start);
