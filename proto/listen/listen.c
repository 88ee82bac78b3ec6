/* proto/listen/listen.c - GET /listen: which transport it is (API.md section 5).
 * WebSocket and Server-Sent Events come later. Who asks for one of them must not get an
 * answer of another kind after a minute of silence, so it is refused at once, in the words
 * of HTTP: 406 for the type that cannot be made, 400 for the protocol. */
#include "proto/http/call.h"
#include "proto/http/negotiate.h"
#include "proto/http/routes.h"
#include "proto/listen/comet.h"

void route_listen(struct http_call *call)
{
    if (negotiate_has_word(call_header(call, "upgrade"), "websocket")) {
        call_reply_error(call, IOR_E_INVAL,
                         "WebSocket is not served yet: ask without Upgrade for one answer (COMET)",
                         "\"field\":\"Upgrade\",\"value\":\"websocket\"");
        return;
    }
    if (negotiate_names(call_header(call, "accept"), "text/event-stream")) {
        call_reply_empty(call, 406);
        return;
    }
    comet_open(call);
}

/* Clients of the first Iorio DB probe with it: no effect. */
void route_listen_post(struct http_call *call)
{
    call_reply_empty(call, 204);
}
