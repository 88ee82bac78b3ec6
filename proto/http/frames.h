/* proto/http/frames.h - what a client sends on a connection of HTTP/2, frame by frame, without
 * its contents: how much of unfinished bodies, how many frames that ask for no work but cost
 * some. h2o 2.2 counts neither. Pure; any bytes may come.
 * Thread: the worker of the connection. Failure modes: a body on one stream more than can be
 * kept in mind: false, and the connection is to be closed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Streams with a body under way. h2o refuses the 101st stream, so more is no good client. */
#define FRAMES_STREAMS_MAX 128

struct frames_stream {
    uint32_t id;
    uint64_t body_bytes;
};

struct frames {
    uint8_t head[9];
    uint8_t head_bytes;
    uint32_t payload_left;
    uint32_t preface_left;
    unsigned stream_count;
    struct frames_stream streams[FRAMES_STREAMS_MAX];
    uint64_t body_bytes;  /* of all these streams */
    uint64_t body_frames; /* HEADERS, and DATA with bytes: since when the caller set it to 0 */
    uint64_t idle_frames; /* all others, and empty ones */
};

void frames_init(struct frames *f);
/* The next bytes of the connection, from its first one (the preface) on. A body that grew over
 * body_bytes_max is forgotten: h2o has reset its stream. */
bool frames_take(struct frames *f, const uint8_t *data, size_t size_bytes, uint64_t body_bytes_max);
