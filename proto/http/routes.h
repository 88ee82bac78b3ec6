/* proto/http/routes.h - the handlers named in routes.def. A handler starts with the
 * caller known and allowed, the names decoded and valid, the body of an accepted
 * type and within its limit; it answers exactly once, now or later. */
#pragma once

struct http_call;

void route_ping(struct http_call *call);
void route_livez(struct http_call *call);
void route_readyz(struct http_call *call);
void route_openapi(struct http_call *call);
void route_stats(struct http_call *call);
void route_metrics(struct http_call *call);
void route_session_get(struct http_call *call);
void route_session_post(struct http_call *call);
void route_session_delete(struct http_call *call);
void route_user_sessions_delete(struct http_call *call);
void route_buckets(struct http_call *call);
void route_streams(struct http_call *call);
void route_stream_get(struct http_call *call);
void route_stream_delete(struct http_call *call);
void route_stream_patch(struct http_call *call);
void route_stream_post(struct http_call *call);
void route_retention_get(struct http_call *call);
void route_retention_put(struct http_call *call);
void route_retention_preview(struct http_call *call);
void route_retention_delete(struct http_call *call);
void route_event_get(struct http_call *call);
void route_echo(struct http_call *call);
void route_listen(struct http_call *call);
void route_listen_post(struct http_call *call);
void route_users(struct http_call *call);
void route_user_new(struct http_call *call);
void route_user_change(struct http_call *call);
void route_user_delete(struct http_call *call);
void route_groups(struct http_call *call);
void route_group_new(struct http_call *call);
void route_group_delete(struct http_call *call);
void route_members(struct http_call *call);
void route_member_put(struct http_call *call);
void route_member_delete(struct http_call *call);
void route_access_explain(struct http_call *call);
void route_access_get(struct http_call *call);
void route_access_post(struct http_call *call);
