/* src/auth/seal.c - see seal.h. HMAC-SHA-512-256 of libsodium, cut to 128 bits, under
 * HMAC(key of the tokens, purpose). A token's MAC is over base64url and a dot, a purpose
 * holds blanks: the two cannot be the same text. No failure modes. */
#include "auth/seal.h"

#include <sodium.h>

#include "base/assert.h"

IOR_STATIC_ASSERT(SEAL_BYTES <= crypto_auth_hmacsha512256_BYTES, "it is cut, not stretched");

static void hmac(const uint8_t *key, size_t key_bytes, struct ior_slice data,
                 uint8_t out[crypto_auth_hmacsha512256_BYTES])
{
    crypto_auth_hmacsha512256_state state;
    crypto_auth_hmacsha512256_init(&state, key, key_bytes);
    crypto_auth_hmacsha512256_update(&state, data.data, data.size_bytes);
    crypto_auth_hmacsha512256_final(&state, out);
    sodium_memzero(&state, sizeof state);
}

static void seal_by(const uint8_t *secret, size_t secret_bytes, const char *purpose,
                    struct ior_slice data, uint8_t ret_mac[SEAL_BYTES])
{
    IOR_ASSERT(secret_bytes > 0);
    uint8_t key[crypto_auth_hmacsha512256_BYTES];
    uint8_t mac[crypto_auth_hmacsha512256_BYTES];
    hmac(secret, secret_bytes, ior_slice_str(purpose), key);
    hmac(key, sizeof key, data, mac);
    memcpy(ret_mac, mac, SEAL_BYTES);
    sodium_memzero(key, sizeof key);
    sodium_memzero(mac, sizeof mac);
}

void seal_make(const struct token_key *k, const char *purpose, struct ior_slice data,
               uint8_t ret_mac[SEAL_BYTES])
{
    seal_by(k->secret, k->secret_bytes, purpose, data, ret_mac);
}

bool seal_check(const struct token_key *k, const char *purpose, struct ior_slice data,
                const uint8_t mac[SEAL_BYTES])
{
    uint8_t right[SEAL_BYTES];
    seal_make(k, purpose, data, right);
    if (sodium_memcmp(right, mac, SEAL_BYTES) == 0) return true;
    if (k->previous_bytes == 0) return false;
    seal_by(k->previous, k->previous_bytes, purpose, data, right);
    return sodium_memcmp(right, mac, SEAL_BYTES) == 0;
}

void seal_to_text(struct ior_slice data, struct ior_buf *out)
{
    char text[SEAL_TEXT_BYTES_MAX + 1];
    const int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
    IOR_ASSERT(sodium_base64_encoded_len(data.size_bytes, variant) <= sizeof text);
    sodium_bin2base64(text, sizeof text, data.data, data.size_bytes, variant);
    ior_buf_add_str(out, text);
}

bool seal_from_text(struct ior_slice text, uint8_t *out, size_t room, size_t *ret_bytes)
{
    const char *end = NULL;
    size_t n = 0;
    if (sodium_base642bin(out, room, (const char *)text.data, text.size_bytes, NULL, &n, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    if (end != (const char *)text.data + text.size_bytes) return false;
    *ret_bytes = n;
    return true;
}
