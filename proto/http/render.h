/* proto/http/render.h - events as JSON. Pure. */
#pragma once

#include "base/buf.h"
#include "core/iorio.h"

/* {"meta":{"id":N,"t":T},"data":<json>}; a binary event: "enc":"base64" in meta and
 * its data as a base64 string. one_line: line breaks of the stored text become spaces. */
/* place, of render_event_at: further members of meta, `,"bucket":"b","stream":"s"`. */
void render_event_at(struct ior_buf *out, const struct event_out *e, bool one_line,
                     struct ior_slice place);
/* At most so many bytes become of it. */
size_t render_event_bytes_max(const struct event_out *e, struct ior_slice place);
void render_event(struct ior_buf *out, const struct event_out *e, bool one_line);
