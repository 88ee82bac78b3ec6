/* proto/http/render.h - events as JSON. Pure. */
#pragma once

#include "base/buf.h"
#include "core/iorio.h"

/* {"meta":{"id":N,"t":T},"data":<json>}; a binary event: "enc":"base64" in meta and
 * its data as a base64 string. one_line: line breaks of the stored text become spaces. */
void render_event(struct ior_buf *out, const struct event_out *e, bool one_line);
