/* src/auth/password.c - see password.h. Thread: the crypto thread, or before the workers start.
 * Happy path: libsodium makes and checks the self-describing text
 * "$argon2id$v=19$m=19456,t=2,p=1$salt$hash"; the cost is in the text, so a
 * later change of the cost leaves old hashes valid.
 * A check takes the same time whether the user exists or not, and whether the
 * password has a possible length or not: what cannot be right is checked
 * against a dummy whose answer is thrown away.
 * In a node the work itself is done by another process (password_process.h).
 * Failure: NOMEM when the 19 MiB cannot be had (a check then says no). */
#include "auth/password.h"

#include <errno.h>
#include <sodium.h>

#include "auth/password_process.h"
#include "base/assert.h"
#include "base/limits.h"

/* RFC 9106 leaves the cost to us; this is 40 ms here and the least that OWASP recommends. */
#define COST_PASSES 2
#define COST_BYTES (19u << 20)

IOR_STATIC_ASSERT(PASSWORD_HASH_BYTES == crypto_pwhash_STRBYTES, "libsodium fills the buffer");

/* Well formed, at our cost; salt and hash are arbitrary. That it belongs to some
 * password does not matter: nobody is let in by it. */
static const char dummy[] = "$argon2id$v=19$m=19456,t=2,p=1$aW9yaW8gZHVtbXkgc2FsdA$"
                            "bm9ib2R5IGlzIGxldCBpbiBieSB0aGlzIGhhc2ghISE";

enum ior_err password_init(void)
{
    /* Fails only without a source of random bytes. 1: somebody was here before. */
    return sodium_init() < 0 ? IOR_E_ACCESS : IOR_OK;
}

static bool possible(struct ior_slice password)
{
    return password.size_bytes > 0 && password.size_bytes <= PASSWORD_BYTES_MAX;
}

enum ior_err password_hash(struct ior_slice password, char out[PASSWORD_HASH_BYTES])
{
    enum ior_err err;
    if (!possible(password)) return IOR_E_INVAL;
    if (password_process_hash(password, out, &err)) return err;
    if (crypto_pwhash_str_alg(out, (const char *)password.data, password.size_bytes, COST_PASSES,
                              COST_BYTES, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return IOR_E_NOMEM;
    return IOR_OK;
}

bool password_hash_ok(const char *hash)
{
    static const struct ior_slice kind = {(const uint8_t *)"$argon2id$", 10};
    if (strnlen(hash, PASSWORD_HASH_BYTES) >= PASSWORD_HASH_BYTES) return false;
    if (!ior_slice_starts(ior_slice_str(hash), kind)) return false;
    /* It decodes the text to compare the cost. Out of memory is no fault of the text. */
    errno = 0;
    return crypto_pwhash_str_needs_rehash(hash, COST_PASSES, COST_BYTES) >= 0 || errno == ENOMEM;
}

bool password_verify(const char *hash, struct ior_slice password)
{
    bool hopeless = hash == NULL || !possible(password);
    if (hopeless) {
        hash = dummy;
        password = IOR_SLICE("any password will do");
    }
    IOR_ASSERT(strlen(hash) < PASSWORD_HASH_BYTES);
    bool right;
    if (password_process_verify(hash, password, &right)) return right && !hopeless;
    int wrong = crypto_pwhash_str_verify(hash, (const char *)password.data, password.size_bytes);
    return wrong == 0 && !hopeless;
}
