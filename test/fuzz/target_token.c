/* test/fuzz/target_token.c - fuzz src/auth/token.c and token_cache.c.
 * An input that begins with `=` is a header, a newline and a payload, which are
 * signed with the right key first: that leads past the MAC into the parsers. One that
 * begins with `-` is signed with the previous key, which is as good.
 * Any other input is a token as a stranger sends it.
 * Besides not crashing: what is accepted has a name and lives, the cache says
 * the same twice, and a stranger's token is never accepted. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "auth/token.h"
#include "base/assert.h"
#include "base/limits.h"

#define NOW 1700000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static struct token_key key;
static struct token_cache *cache;

static void set_up(void)
{
    if (cache != NULL) return;
    enum ior_err err = token_key_init(&key, "hs512", IOR_SLICE("0123456789abcdef"), NULL);
    IOR_ASSERT(err == IOR_OK);
    err = token_key_set_previous(&key, IOR_SLICE("the one of before"), NULL);
    IOR_ASSERT(err == IOR_OK);
    err = token_cache_new(&cache);
    IOR_ASSERT(err == IOR_OK);
}

static size_t encode(char *out, size_t room, const void *data, size_t n)
{
    sodium_bin2base64(out, room, data, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return strlen(out);
}

/* header \n payload, signed; into a block of the caller. */
static struct ior_slice sign(const uint8_t *data, size_t size_bytes, bool by_previous, char *out,
                             size_t room)
{
    const uint8_t *line = size_bytes == 0 ? NULL : memchr(data, '\n', size_bytes);
    size_t header_bytes = line == NULL ? size_bytes : (size_t)(line - data);
    size_t payload_at = line == NULL ? size_bytes : header_bytes + 1;
    size_t n = encode(out, room, data, header_bytes);
    out[n++] = '.';
    n += encode(out + n, room - n, data + payload_at, size_bytes - payload_at);
    uint8_t mac[crypto_auth_hmacsha512_BYTES];
    crypto_auth_hmacsha512_state st;
    crypto_auth_hmacsha512_init(&st, by_previous ? key.previous : key.secret,
                                by_previous ? key.previous_bytes : key.secret_bytes);
    crypto_auth_hmacsha512_update(&st, (const uint8_t *)out, n);
    crypto_auth_hmacsha512_final(&st, mac);
    out[n++] = '.';
    n += encode(out + n, room - n, mac, sizeof mac);
    return ior_slice(out, n);
}

static void check(struct ior_slice token, bool stranger)
{
    struct token_claims a;
    struct token_claims b;
    enum ior_err err = token_verify(&key, token, NOW, &a);
    for (int i = 0; i < 2; i++) {
        enum ior_err again = token_cache_verify(cache, &key, token, NOW, &b);
        IOR_ASSERT(again == err);
        if (err == IOR_OK) IOR_ASSERT(strcmp(a.user, b.user) == 0 && a.expires_s == b.expires_s);
    }
    if (err != IOR_OK) {
        IOR_ASSERT(err == IOR_E_NOPERM);
        return;
    }
    IOR_ASSERT(!stranger);
    IOR_ASSERT(a.user[0] != 0 && a.expires_s > NOW);
    IOR_ASSERT(token.size_bytes <= TOKEN_BYTES_MAX);
    err = token_verify(&key, token, a.expires_s, &b);
    IOR_ASSERT(err == IOR_E_NOPERM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    set_up();
    if (size_bytes == 0 || (data[0] != '=' && data[0] != '-')) {
        check(ior_slice(data, size_bytes), true);
        return 0;
    }
    if (size_bytes > 2 * TOKEN_BYTES_MAX) return 0;
    size_t room = 2 * size_bytes + 256;
    char *text = malloc(room);
    IOR_ASSERT(text != NULL);
    struct ior_slice token = sign(data + 1, size_bytes - 1, data[0] == '-', text, room);
    /* A block of exactly the token's size, so that a read past its end is seen. */
    uint8_t *exact = malloc(token.size_bytes);
    IOR_ASSERT(exact != NULL);
    memcpy(exact, token.data, token.size_bytes);
    check(ior_slice(exact, token.size_bytes), false);
    free(exact);
    free(text);
    return 0;
}
