/* proto/http/change.h - from a wish about users, groups and grants to its answer: what the routes
 * of users.c, groups.c and access.c share. Thread: the worker of the call. */
#pragma once

#include "proto/http/call.h"

/* A wish of the caller, with what the configuration says; the rest is for the route to fill in. */
struct access_wish change_wish(const struct http_call *call, enum access_action action);
/* Carried out and answered, as the action asks for. The wish is copied. */
void change_submit(struct http_call *call, const struct access_wish *w);
/* The same with one that is made already, which is taken over. */
void change_start(struct http_call *call, struct access_change *take);
