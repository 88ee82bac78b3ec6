/* src/auth/revoked_fact.c - keys and values of the facts about revoked tokens (revoked.h).
 * Happy path: the key is cut at its separators, the value parsed as JSON (json_object.c).
 * Failure modes: CORRUPT with the key in a sentence. Other parts of a value are left for later
 * versions. Thread: any. */
#include <sodium.h>

#include "auth/fact.h"
#include "auth/json_object.h"
#include "auth/revoked.h"
#include "auth/username.h"
#include "base/assert.h"

static const struct ior_slice word = {(const uint8_t *)"revoked", 7};

bool revoked_fact_is(struct ior_slice key)
{
    if (!ior_slice_starts(key, word)) return false;
    return key.size_bytes == word.size_bytes || key.data[word.size_bytes] == (uint8_t)FACT_SEP[0];
}

void revoked_fact_key(struct ior_buf *out, struct ior_slice user, const uint8_t id[TOKEN_ID_BYTES])
{
    uint8_t folded[USERNAME_BYTES_MAX];
    char hex[TOKEN_ID_BYTES * 2 + 1];
    IOR_ASSERT(user.size_bytes > 0);
    sodium_bin2hex(hex, sizeof hex, id, TOKEN_ID_BYTES);
    ior_buf_add_slice(out, word);
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_slice(out, username_fold(user, folded));
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_str(out, hex);
}

void revoked_fact_value(struct ior_buf *out, const struct revoked_token *t)
{
    IOR_ASSERT(t->until_s <= INT64_MAX && t->credential <= INT64_MAX);
    ior_buf_addf(out, "{\"until\":%llu", (unsigned long long)t->until_s);
    if (t->has_credential) ior_buf_addf(out, ",\"v\":%llu", (unsigned long long)t->credential);
    ior_buf_add_char(out, '}');
}

static bool name_ok(struct ior_slice s)
{
    uint8_t folded[USERNAME_BYTES_MAX];
    if (s.size_bytes == 0 || s.size_bytes > USERNAME_BYTES_MAX) return false;
    for (size_t i = 0; i < s.size_bytes; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) return false; /* FACT_SEP, too */
    }
    return ior_slice_eq(username_fold(s, folded), s);
}

/* Exactly 32 hex digits in small letters: so a token has one key. */
static bool read_id(struct ior_slice hex, uint8_t id[TOKEN_ID_BYTES])
{
    if (hex.size_bytes != TOKEN_ID_BYTES * 2) return false;
    for (size_t i = 0; i < hex.size_bytes; i++) {
        uint8_t c = hex.data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) return false;
        uint8_t v = (uint8_t)(digit ? c - '0' : c - 'a' + 10);
        id[i / 2] = (uint8_t)(i % 2 == 0 ? v << 4 : id[i / 2] | v);
    }
    return true;
}

static bool read_number(const json_t *json, const char *name, uint64_t *ret)
{
    const json_t *n = json_object_get(json, name);
    if (!json_is_integer(n) || json_integer_value(n) < 0) return false;
    *ret = (uint64_t)json_integer_value(n);
    return true;
}

static enum ior_err read_value(const struct fact *f, struct revoked_token *t, struct ior_why *why)
{
    json_t *json = NULL;
    if (f->value.size_bytes > FACT_BYTES_MAX)
        return fact_corrupt(why, f->key, "the value is larger than 64 KB");
    enum ior_err err = json_object_read(f->value, &json);
    if (err == IOR_E_BODY)
        return fact_corrupt(why, f->key, "the value is not a JSON object without duplicate names");
    if (err != IOR_OK) return err;
    bool has_v = json_object_get(json, "v") != NULL;
    if (!read_number(json, "until", &t->until_s)) {
        err = fact_corrupt(why, f->key, "\"until\" is not a whole number from 0 on");
    } else if (has_v && !read_number(json, "v", &t->credential)) {
        err = fact_corrupt(why, f->key, "\"v\" is not a whole number from 0 on");
    }
    t->has_credential = has_v;
    json_decref(json);
    return err;
}

enum ior_err revoked_fact_read(const struct fact *f, struct revoked_token *ret, struct ior_why *why)
{
    struct revoked_token t = {.until_s = 0};
    struct ior_slice rest = f->key;
    IOR_ASSERT(revoked_fact_is(f->key));
    if (rest.size_bytes <= word.size_bytes + 1)
        return fact_corrupt(why, f->key, "the key has not the parts it must have");
    rest = ior_slice(rest.data + word.size_bytes + 1, rest.size_bytes - word.size_bytes - 1);
    const uint8_t *cut = memchr(rest.data, FACT_SEP[0], rest.size_bytes);
    if (cut == NULL) return fact_corrupt(why, f->key, "the key has not the parts it must have");
    t.user = ior_slice(rest.data, (size_t)(cut - rest.data));
    if (!name_ok(t.user))
        return fact_corrupt(why, f->key,
                            "the name is empty, too long, not folded or has control "
                            "characters");
    size_t id_at = (size_t)(cut - rest.data) + 1;
    if (!read_id(ior_slice(rest.data + id_at, rest.size_bytes - id_at), t.id))
        return fact_corrupt(why, f->key, "the token is not named by 32 hex digits");
    enum ior_err err = f->value.data == NULL ? IOR_OK : read_value(f, &t, why);
    if (err == IOR_OK) *ret = t;
    return err;
}
