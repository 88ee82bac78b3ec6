/* src/app/ping_tls.c - one request and its answer over TLS, for `iorio ping` of a node without
 * http.enabled. The certificate is not looked at: the question is whether this machine's node
 * answers, and nothing secret is said.
 * Thread: the only one of the verb. Failure modes: no handshake, no answer: 0 bytes. */
#include <openssl/ssl.h>

#include "app/app.h"

size_t ping_tls(int fd, const char *request, size_t request_bytes, char *answer, size_t room)
{
    size_t n = 0;
    int got;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = ctx == NULL ? NULL : SSL_new(ctx);
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
        SSL_write(ssl, request, (int)request_bytes) == (int)request_bytes) {
        while (n < room && (got = SSL_read(ssl, answer + n, (int)(room - n))) > 0) n += (size_t)got;
    }
    if (ssl != NULL) SSL_free(ssl);
    if (ctx != NULL) SSL_CTX_free(ctx);
    return n;
}
