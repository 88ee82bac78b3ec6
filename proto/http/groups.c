/* proto/http/groups.c - POST and DELETE /groups, and who is in them. (GET is in access_lists.c.)
 * A member is named as the role of a grant: `x`, `user/x` or `group/x`; in a path the `/` of the
 * exact forms travels as %2F. Failure modes: change.h. */
#include <jansson.h>

#include "proto/http/change.h"
#include "proto/http/json_body.h"
#include "proto/http/routes.h"

void route_group_new(struct http_call *call)
{
    json_t *body = body_object(call);
    if (body == NULL) return;
    struct access_wish w = change_wish(call, ACCESS_GROUP_NEW);
    w.name = body_text(body, "name");
    if (w.name.data == NULL) {
        body_reply_invalid(call, body, "name", "The body needs a name, a text that is not empty");
    } else {
        change_submit(call, &w);
    }
    json_decref(body);
}

void route_group_delete(struct http_call *call)
{
    struct access_wish w = change_wish(call, ACCESS_GROUP_DELETE);
    w.name = call->name;
    change_submit(call, &w);
}

static void change_member(struct http_call *call, enum access_action action)
{
    struct access_wish w = change_wish(call, action);
    w.name = call->name;
    w.role = call->member;
    change_submit(call, &w);
}

void route_member_put(struct http_call *call)
{
    change_member(call, ACCESS_MEMBER_ADD);
}

void route_member_delete(struct http_call *call)
{
    change_member(call, ACCESS_MEMBER_REMOVE);
}
