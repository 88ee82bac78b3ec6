/* proto/http/server_tls.c - TLS: the certificate, the handshake, and who the client is by his
 * certificate.
 * Thread: contexts are made on any thread; each worker has a reference to the one of its new
 * connections, and swaps it when a new one comes (SIGHUP). A connection keeps what it
 * began with.
 * Happy path: TLS 1.2 or 1.3, ALPN, then the connection goes on as one of HTTP/1.1 or HTTP/2.
 * Failure modes: a file that is missing, cannot be read or does not fit: INVAL, with the key and
 * the file. A handshake that fails: counted, closed; one that takes too long: server_sweep.c.
 * h2o keeps the SSL object for itself, but it is the argument of OpenSSL's callbacks, and its
 * BIO leads back to the socket: that is how a certificate finds its connection. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

/* TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

static char h2_name[] = "h2";
static char http1_name[] = "http/1.1";
static const h2o_iovec_t alpn_http1[] = {{http1_name, sizeof http1_name - 1}, {NULL, 0}};
static const h2o_iovec_t alpn_http2[] = {
    {h2_name, sizeof h2_name - 1}, {http1_name, sizeof http1_name - 1}, {NULL, 0}};

/* ---- the files ---- */

/* What OpenSSL says of it, in a few words. */
static const char *ssl_reason(void)
{
    unsigned long e = ERR_peek_error();
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    return reason == NULL ? "unknown error" : reason;
}

static enum ior_err cannot_use(const char *key, const char *file, const char *problem,
                               struct ior_why *why)
{
    size_t n = strlen(file);
    const char *dots = n > 250 ? "..." : "";
    ior_why_set(why, IOR_E_INVAL, "%s = %s%s: %s", key, dots, file + (n > 250 ? n - 250 : 0),
                problem);
    ERR_clear_error();
    return IOR_E_INVAL;
}

static enum ior_err readable(const char *key, const char *file, struct ior_why *why)
{
    struct stat st;
    if (stat(file, &st) != 0) {
        if (errno == ENOENT)
            return cannot_use(
                key, file, "there is no such file (ssl/make-dev-certs.sh makes one to try it out)",
                why);
        return cannot_use(key, file, strerror(errno), why);
    }
    if (!S_ISREG(st.st_mode)) return cannot_use(key, file, "not a regular file", why);
    if (access(file, R_OK) != 0) return cannot_use(key, file, strerror(errno), why);
    return IOR_OK;
}

static void warn_of_dates(const char *file, const X509 *cert)
{
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
        LOG_WARNING("tls", "expired certificate",
                    "key=ssl.certfile file=%s: clients will refuse it", file);
    } else if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0) {
        LOG_WARNING("tls", "certificate of the future",
                    "key=ssl.certfile file=%s: clients will refuse it", file);
    }
}

static enum ior_err use_certificate(SSL_CTX *ctx, const char *file, struct ior_why *why)
{
    enum ior_err err = readable("ssl.certfile", file, why);
    if (err != IOR_OK) return err;
    if (SSL_CTX_use_certificate_chain_file(ctx, file) == 1) {
        warn_of_dates(file, SSL_CTX_get0_certificate(ctx));
        return IOR_OK;
    }
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason == SSL_R_EE_KEY_TOO_SMALL)
        return cannot_use("ssl.certfile", file, "its key is too short: RSA needs 2048 bits or more",
                          why);
    if (reason == PEM_R_NO_START_LINE)
        return cannot_use("ssl.certfile", file, "holds no certificate in PEM", why);
    return cannot_use("ssl.certfile", file, ssl_reason(), why);
}

/* Instead of asking for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static void warn_of_readers(const char *file)
{
    struct stat st;
    if (stat(file, &st) == 0 && (st.st_mode & S_IRWXO) != 0)
        LOG_WARNING("tls", "private key open to others", "key=ssl.keyfile file=%s: chmod 600 it",
                    file);
}

static enum ior_err use_key(SSL_CTX *ctx, const char *file, struct ior_why *why)
{
    bool asked = false;
    enum ior_err err = readable("ssl.keyfile", file, why);
    if (err != IOR_OK) return err;
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
    int ok = SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (asked)
        return cannot_use(
            "ssl.keyfile", file,
            "it has a passphrase, which nobody can type here (openssl pkey removes it)", why);
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (ok != 1 && (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH))
        return cannot_use("ssl.keyfile", file, "not the key of the certificate in ssl.certfile",
                          why);
    if (ok != 1) return cannot_use("ssl.keyfile", file, "holds no private key in PEM", why);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return cannot_use("ssl.keyfile", file, "not the key of the certificate in ssl.certfile",
                          why);
    warn_of_readers(file);
    return IOR_OK;
}

/* ---- clients ---- */

/* The one CN of a certificate, as a string of its own. NULL: none, several, or one that is no name.
 */
static char *common_name(const X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return NULL;
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    char *name = NULL;
    if (n > 0 && n <= USERNAME_BYTES_MAX && memchr(utf8, 0, (size_t)n) == NULL)
        name = strndup((const char *)utf8, (size_t)n);
    OPENSSL_free(utf8);
    return name;
}

/* OpenSSL says where it is; at the end of a handshake the client's certificate is known. */
static void on_ssl_info(const SSL *ssl, int where, int ret)
{
    (void)ret;
    if ((where & SSL_CB_HANDSHAKE_DONE) == 0) return;
    BIO *bio = SSL_get_rbio(ssl);
    if (bio == NULL || strcmp(BIO_method_name(bio), "h2o_socket") != 0) return;
    h2o_socket_t *sock = BIO_get_data(bio);
    struct http_conn *c = sock->on_close.data;
    const X509 *cert = SSL_get0_peer_certificate(ssl);
    if (cert == NULL || c->stage != CONN_HANDSHAKE || c->cert_user != NULL) return;
    if (SSL_get_verify_result(ssl) == X509_V_OK) c->cert_user = common_name(cert);
}

/* Authorities complete our own chain; clients are asked for a certificate only when it counts. */
static enum ior_err use_authorities(SSL_CTX *ctx, const struct config *c, struct ior_why *why)
{
    const char *file = c->ssl_cacertfile;
    if (file[0] == 0 && !c->ssl_client_users) return IOR_OK;
    if (file[0] == 0)
        return ior_why_set(
            why, IOR_E_INVAL,
            "ssl.client.users = yes needs ssl.cacertfile: the authority that signs the "
            "certificates of clients");
    enum ior_err err = readable("ssl.cacertfile", file, why);
    if (err != IOR_OK) return err;
    if (SSL_CTX_load_verify_file(ctx, file) != 1)
        return cannot_use("ssl.cacertfile", file, "holds no certificate in PEM", why);
    if (!c->ssl_client_users) return IOR_OK;
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(file));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_info_callback(ctx, on_ssl_info);
    return IOR_OK;
}

/* ---- the context ---- */

static enum ior_err fill(SSL_CTX *ctx, const struct config *c, struct ior_why *why)
{
    static const unsigned char session_name[] = "iorio";
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets need no memory of ours */
    SSL_CTX_set_session_id_context(ctx, session_name, sizeof session_name - 1);
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return ior_why_set(why, IOR_E_INVAL, "OpenSSL has none of the ciphers %s", ciphers);
    enum ior_err err = use_certificate(ctx, c->ssl_certfile, why);
    if (err == IOR_OK) err = use_key(ctx, c->ssl_keyfile, why);
    if (err == IOR_OK) err = use_authorities(ctx, c, why);
    if (err == IOR_OK)
        h2o_ssl_register_alpn_protocols(ctx, c->http2_enabled ? alpn_http2 : alpn_http1);
    return err;
}

enum ior_err tls_context_new(const struct config *c, SSL_CTX **ret, struct ior_why *why)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    enum ior_err err = fill(ctx, c, why);
    if (err == IOR_OK) {
        *ret = ctx;
    } else {
        SSL_CTX_free(ctx);
    }
    return err;
}

enum ior_err http_check_tls(const struct config *c, struct ior_why *why)
{
    SSL_CTX *ctx = NULL;
    enum ior_err err = c->https_enabled ? tls_context_new(c, &ctx, why) : IOR_OK;
    if (ctx != NULL) SSL_CTX_free(ctx);
    return err;
}

/* ---- a new certificate ---- */

struct new_tls {
    struct msg msg;
    struct http_worker *worker;
    SSL_CTX *tls;
};

static void take_new(struct msg *m)
{
    struct new_tls *n = IOR_CONTAINER(m, struct new_tls, msg);
    SSL_CTX_free(n->worker->tls);
    n->worker->tls = n->tls;
    free(n);
}

static enum ior_err send_new(struct http_server *s, SSL_CTX *tls)
{
    struct new_tls *all[WORKERS_MAX];
    for (unsigned i = 0; i < s->worker_count; i++) {
        all[i] = calloc(1, sizeof *all[i]);
        if (all[i] != NULL) continue;
        while (i-- > 0) free(all[i]);
        return IOR_E_NOMEM;
    }
    for (unsigned i = 0; i < s->worker_count; i++) {
        SSL_CTX_up_ref(tls);
        *all[i] = (struct new_tls){{.run = take_new}, &s->workers[i], tls};
        worker_post(s->workers[i].worker, &all[i]->msg);
    }
    return IOR_OK;
}

enum ior_err http_server_reload_tls(struct http_server *s, struct ior_why *why)
{
    SSL_CTX *tls = NULL;
    if (!s->app->config->https_enabled) return IOR_OK;
    enum ior_err err = tls_context_new(s->app->config, &tls, why);
    if (err != IOR_OK) {
        LOG_ERROR("tls", "old certificate kept", "reason=\"%s\"", why->text);
        return err;
    }
    err = send_new(s, tls);
    SSL_CTX_free(tls);
    if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    LOG_INFO("tls", "certificate read again", "file=%s", s->app->config->ssl_certfile);
    return IOR_OK;
}

/* ---- the handshake ---- */

static void on_handshake(h2o_socket_t *sock, const char *err)
{
    struct http_conn *c = sock->on_close.data;
    SSL_CTX_free(c->tls);
    c->tls = NULL;
    if (err != NULL) {
        metric_add(METRIC_tls_handshakes_failed, 1);
        h2o_socket_close(sock);
        return;
    }
    metric_add(METRIC_tls_handshakes, 1);
    c->began_ms = 0;
    h2o_iovec_t protocol = h2o_socket_ssl_get_selected_protocol(sock);
    if (h2o_memis(protocol.base, protocol.len, H2O_STRLIT("h2"))) {
        http2_open(c);
    } else {
        gate_open(c);
    }
}

void tls_handshake(struct http_conn *c)
{
    c->stage = CONN_HANDSHAKE;
    c->began_ms = c->worker->now_ms;
    SSL_CTX_up_ref(c->worker->tls);
    c->tls = c->worker->tls; /* h2o makes the SSL object when the first bytes are there */
    h2o_socket_ssl_handshake(c->sock, c->tls, NULL, on_handshake);
}
