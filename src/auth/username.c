/* src/auth/username.c - see username.h. Thread: any.
 * Happy path: strict UTF-8 first, so that the walk over code points needs no
 * checks of its own; then the characters, then the reserved words.
 * Failure: INVAL with the first thing that is wrong. */
#include "auth/username.h"

#include "base/assert.h"
#include "base/json.h"

static const char *const reserved[] = {"all", "on", "to", "from", "any"};

/* The code point at *at, which is moved on. Only for bytes that passed ior_utf8_ok. */
static uint32_t next_char(struct ior_slice s, size_t *at)
{
    uint8_t first = s.data[(*at)++];
    if (first < 0x80) return first;
    unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t c = first & (0x3fu >> more);
    IOR_ASSERT(s.size_bytes - *at >= more);
    for (; more > 0; more--) c = (c << 6) | (s.data[(*at)++] & 0x3fu);
    return c;
}

static bool illegal_char(uint32_t c)
{
    return c <= 44 || c == 47 || (c >= 58 && c <= 63) || (c >= 127 && c <= 191);
}

struct ior_slice username_fold(struct ior_slice name, uint8_t out[USERNAME_BYTES_MAX])
{
    IOR_ASSERT(name.size_bytes <= USERNAME_BYTES_MAX);
    for (size_t i = 0; i < name.size_bytes; i++) {
        uint8_t c = name.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
    }
    return ior_slice(out, name.size_bytes);
}

bool username_same(struct ior_slice a, struct ior_slice b)
{
    uint8_t fa[USERNAME_BYTES_MAX];
    uint8_t fb[USERNAME_BYTES_MAX];
    if (a.size_bytes != b.size_bytes || a.size_bytes > USERNAME_BYTES_MAX) return false;
    return ior_slice_eq(username_fold(a, fa), username_fold(b, fb));
}

enum ior_err username_check(struct ior_slice name, struct ior_why *why)
{
    if (name.size_bytes == 0) return ior_why_set(why, IOR_E_INVAL, "the user name is empty");
    if (name.size_bytes > USERNAME_BYTES_MAX)
        return ior_why_set(why, IOR_E_INVAL, "the user name has %zu bytes, at most %d are allowed",
                           name.size_bytes, USERNAME_BYTES_MAX);
    if (!ior_utf8_ok(name)) return ior_why_set(why, IOR_E_INVAL, "the user name is no UTF-8");
    unsigned chars = 0;
    for (size_t at = 0; at < name.size_bytes;) {
        uint32_t c = next_char(name, &at);
        if (illegal_char(c))
            return ior_why_set(why, IOR_E_INVAL,
                               "the user name has the character U+%04X, which is not allowed", c);
        chars++;
    }
    if (chars > USERNAME_CHARS_MAX)
        return ior_why_set(why, IOR_E_INVAL,
                           "the user name has %u characters, at most %d are allowed", chars,
                           USERNAME_CHARS_MAX);
    for (size_t i = 0; i < IOR_LEN(reserved); i++) {
        if (username_same(name, ior_slice_str(reserved[i])))
            return ior_why_set(why, IOR_E_INVAL, "\"%s\" is a reserved word, not a user name",
                               reserved[i]);
    }
    return IOR_OK;
}

bool username_ok(struct ior_slice name)
{
    return username_check(name, NULL) == IOR_OK;
}
