/* proto/http/render.c - see render.h. */
#include "proto/http/render.h"

#include "base/json.h"

enum { AROUND_BYTES = 96 }; /* everything but place and data */

size_t render_event_bytes_max(const struct event_out *e, struct ior_slice place)
{
    size_t n = e->payload.size_bytes;
    return AROUND_BYTES + place.size_bytes + (e->json ? n : (n + 2) / 3 * 4);
}

void render_event(struct ior_buf *out, const struct event_out *e, bool one_line)
{
    render_event_at(out, e, one_line, (struct ior_slice){NULL, 0});
}

void render_event_at(struct ior_buf *out, const struct event_out *e, bool one_line,
                     struct ior_slice place)
{
    ior_buf_add(out, "{\"meta\":{\"id\":", 14);
    ior_buf_add_u64(out, e->id);
    ior_buf_add(out, ",\"t\":", 5);
    ior_buf_add_u64(out, e->time_ms);
    if (place.size_bytes > 0) ior_buf_add_slice(out, place);
    if (!e->json) {
        ior_buf_add_str(out, ",\"enc\":\"base64\"},\"data\":\"");
        ior_base64(out, e->payload);
        ior_buf_add(out, "\"}", 2);
        return;
    }
    ior_buf_add(out, "},\"data\":", 9);
    if (one_line) {
        ior_json_line(out, e->payload);
    } else {
        ior_buf_add_slice(out, e->payload);
    }
    ior_buf_add_char(out, '}');
}
