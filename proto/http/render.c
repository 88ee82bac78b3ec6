/* proto/http/render.c - see render.h. */
#include "proto/http/render.h"

#include "base/json.h"

void render_event(struct ior_buf *out, const struct event_out *e, bool one_line)
{
    ior_buf_add(out, "{\"meta\":{\"id\":", 14);
    ior_buf_add_u64(out, e->id);
    ior_buf_add(out, ",\"t\":", 5);
    ior_buf_add_u64(out, e->time_ms);
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
