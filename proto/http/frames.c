/* proto/http/frames.c - see frames.h. Happy path: nine bytes of a frame's head, then so many bytes
 * of payload that are counted and not looked at. h2o judges the frames; what is wrong with
 * them ends the connection there, and here it only counts. */
#include "proto/http/frames.h"

#include <string.h>

enum { PREFACE_BYTES = 24, HEAD_BYTES = 9 };
enum { TYPE_DATA = 0, TYPE_HEADERS = 1, TYPE_RST_STREAM = 3 };
enum { FLAG_END_STREAM = 1 };

void frames_init(struct frames *f)
{
    memset(f, 0, sizeof *f);
    f->preface_left = PREFACE_BYTES;
}

static struct frames_stream *find(struct frames *f, uint32_t id)
{
    for (unsigned i = 0; i < f->stream_count; i++) {
        if (f->streams[i].id == id) return &f->streams[i];
    }
    return NULL;
}

static void forget(struct frames *f, struct frames_stream *s)
{
    if (s == NULL) return;
    f->body_bytes -= s->body_bytes;
    *s = f->streams[--f->stream_count];
}

static bool begin_body(struct frames *f, uint32_t id)
{
    if (find(f, id) != NULL) return true;
    if (f->stream_count == FRAMES_STREAMS_MAX) return false;
    f->streams[f->stream_count++] = (struct frames_stream){.id = id};
    return true;
}

static void grow_body(struct frames *f, uint32_t id, uint32_t size_bytes, uint64_t body_bytes_max)
{
    struct frames_stream *s = find(f, id);
    if (s == NULL) return;
    s->body_bytes += size_bytes;
    f->body_bytes += size_bytes;
    if (s->body_bytes > body_bytes_max) forget(f, s);
}

static bool begin_frame(struct frames *f, uint64_t body_bytes_max)
{
    const uint8_t *h = f->head;
    uint32_t size_bytes = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    uint32_t id = ((uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8]) &
                  UINT32_C(0x7fffffff);
    bool last = (h[4] & FLAG_END_STREAM) != 0;
    bool ok = true;
    f->payload_left = size_bytes;
    f->head_bytes = 0;
    if (h[3] == TYPE_HEADERS || (h[3] == TYPE_DATA && size_bytes > 0)) {
        f->body_frames++;
    } else {
        f->idle_frames++;
    }
    if (h[3] == TYPE_HEADERS && !last) ok = begin_body(f, id);
    if (h[3] == TYPE_DATA) grow_body(f, id, size_bytes, body_bytes_max);
    bool ends = last && (h[3] == TYPE_HEADERS || h[3] == TYPE_DATA);
    if (ends || h[3] == TYPE_RST_STREAM) forget(f, find(f, id));
    return ok;
}

bool frames_take(struct frames *f, const uint8_t *data, size_t size_bytes, uint64_t body_bytes_max)
{
    size_t i = size_bytes < f->preface_left ? size_bytes : f->preface_left;
    f->preface_left -= (uint32_t)i;
    while (i < size_bytes) {
        if (f->payload_left > 0) {
            size_t step = size_bytes - i < f->payload_left ? size_bytes - i : f->payload_left;
            f->payload_left -= (uint32_t)step;
            i += step;
            continue;
        }
        f->head[f->head_bytes++] = data[i++];
        if (f->head_bytes == HEAD_BYTES && !begin_frame(f, body_bytes_max)) return false;
    }
    return true;
}
