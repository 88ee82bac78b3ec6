/* test/unit/auth/jwt_by_hand.h - tokens made without libjwt: base64url written out
 * here, MAC by OpenSSL's EVP_MAC. A second implementation to test the first against. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/slice.h"

static inline size_t by_hand_base64url(const void *data, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = data;
    size_t len = 0;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < n; i++) {
        bits = (bits << 8) | p[i];
        for (count += 8; count >= 6; count -= 6) out[len++] = digits[(bits >> (count - 6)) & 63];
    }
    if (count > 0) out[len++] = digits[(bits << (6 - count)) & 63];
    out[len] = 0;
    return len;
}

/* digest: "SHA256" ...; out gets at most 64 bytes; returns how many. */
static inline size_t by_hand_hmac(const char *digest, struct ior_slice key, struct ior_slice text,
                                  uint8_t *out)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    char name[16];
    snprintf(name, sizeof name, "%s", digest);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    size_t n = 0;
    if (ctx == NULL || EVP_MAC_init(ctx, key.data, key.size_bytes, params) != 1 ||
        EVP_MAC_update(ctx, text.data, text.size_bytes) != 1 ||
        EVP_MAC_final(ctx, out, &n, 64) != 1)
        abort();
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return n;
}

/* A whole token; the caller frees it. */
static inline char *by_hand_token(const char *digest, struct ior_slice key, struct ior_slice header,
                                  struct ior_slice payload)
{
    char *out = malloc((header.size_bytes + payload.size_bytes) * 2 + 128);
    if (out == NULL) abort();
    size_t n = by_hand_base64url(header.data, header.size_bytes, out);
    out[n++] = '.';
    n += by_hand_base64url(payload.data, payload.size_bytes, out + n);
    uint8_t mac[64];
    size_t mac_bytes = by_hand_hmac(digest, key, ior_slice(out, n), mac);
    out[n++] = '.';
    by_hand_base64url(mac, mac_bytes, out + n);
    return out;
}
