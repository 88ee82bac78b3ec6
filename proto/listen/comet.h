/* proto/listen/comet.h - long polling: GET /listen that is answered once. */
#pragma once

#include "proto/http/call.h"

/* The caller is known. Answers the call, now or later. */
void comet_open(struct http_call *call);
