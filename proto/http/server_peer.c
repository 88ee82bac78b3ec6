/* proto/http/server_peer.c - where a request comes from, for the log. Thread: the worker of the
 * connection. Failure mode: an address that the kernel does not tell any more is "unknown". */
#include <netdb.h>
#include <stdio.h>

#include "proto/http/server_private.h"

void call_peer_text(const struct http_call *call, char ret[CALL_PEER_BYTES])
{
    h2o_req_t *req = call->req;
    struct sockaddr_storage sa = {0};
    socklen_t len = req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)(void *)&sa);
    char host[NI_MAXHOST] = "";
    if (len > 0)
        getnameinfo((struct sockaddr *)(void *)&sa, len, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST);
    /* A client of IPv4 on a socket of both kinds. */
    const char *text = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
    snprintf(ret, CALL_PEER_BYTES, "%.*s", CALL_PEER_BYTES - 1, text[0] != 0 ? text : "unknown");
}
