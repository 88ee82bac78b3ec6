/* proto/http/negotiate.c - see negotiate.h. */
#include "proto/http/negotiate.h"

#include <strings.h>

static struct ior_slice trim(struct ior_slice s)
{
    while (s.size_bytes > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.size_bytes--;
    }
    while (s.size_bytes > 0 &&
           (s.data[s.size_bytes - 1] == ' ' || s.data[s.size_bytes - 1] == '\t'))
        s.size_bytes--;
    return s;
}

/* Cut the part before the next separator off *rest. False: nothing is left. */
static bool next_part(struct ior_slice *rest, char separator, struct ior_slice *ret)
{
    if (rest->data == NULL) return false;
    const uint8_t *end =
        rest->size_bytes == 0 ? NULL : memchr(rest->data, separator, rest->size_bytes);
    size_t n = end == NULL ? rest->size_bytes : (size_t)(end - rest->data);
    *ret = trim(ior_slice(rest->data, n));
    *rest =
        end == NULL ? (struct ior_slice){NULL, 0} : ior_slice(end + 1, rest->size_bytes - n - 1);
    return true;
}

static bool is_word(struct ior_slice s, const char *word)
{
    return s.size_bytes == strlen(word) &&
           strncasecmp((const char *)s.data, word, s.size_bytes) == 0;
}

enum body_type negotiate_body_type(struct ior_slice content_type)
{
    struct ior_slice type;
    if (!next_part(&content_type, ';', &type)) return BODY_NONE;
    if (is_word(type, "application/json")) return BODY_JSON;
    if (is_word(type, "application/octet-stream")) return BODY_OCTETS;
    if (is_word(type, "application/x-ndjson")) return BODY_NDJSON;
    if (is_word(type, "application/json-patch+json")) return BODY_PATCH;
    return BODY_OTHER;
}

/* q of one media range in thousandths; 1000 without. */
static int quality(struct ior_slice params)
{
    struct ior_slice p;
    while (next_part(&params, ';', &p)) {
        if (p.size_bytes < 3 || (p.data[0] != 'q' && p.data[0] != 'Q') || p.data[1] != '=')
            continue;
        int q = p.data[2] == '1' ? 1000 : 0;
        int unit = 100;
        for (size_t i = 4; i < p.size_bytes && i < 7 && q < 1000; i++, unit /= 10) {
            if (p.data[i] < '0' || p.data[i] > '9') break;
            q += (p.data[i] - '0') * unit;
        }
        return q;
    }
    return 1000;
}

enum answer_type negotiate_answer(struct ior_slice accept)
{
    if (accept.data == NULL || trim(accept).size_bytes == 0) return ANSWER_JSON;
    int json = -1; /* not named */
    int ndjson = -1;
    int any = 0;
    struct ior_slice range;
    while (next_part(&accept, ',', &range)) {
        struct ior_slice type;
        if (!next_part(&range, ';', &type)) continue;
        int q = quality(range);
        if (is_word(type, "application/json")) json = q;
        if (is_word(type, "application/x-ndjson")) ndjson = q;
        if ((is_word(type, "*/*") || is_word(type, "application/*")) && q > any) any = q;
    }
    if (json < 0) json = any;
    if (ndjson > 0 && ndjson >= json) return ANSWER_NDJSON;
    return json > 0 ? ANSWER_JSON : ANSWER_NONE;
}

bool negotiate_names(struct ior_slice accept, const char *type)
{
    struct ior_slice range;
    while (next_part(&accept, ',', &range)) {
        struct ior_slice name;
        if (next_part(&range, ';', &name) && is_word(name, type) && quality(range) > 0) return true;
    }
    return false;
}

bool negotiate_has_word(struct ior_slice value, const char *word)
{
    struct ior_slice one;
    while (next_part(&value, ',', &one)) {
        struct ior_slice name;
        if (next_part(&one, '/', &name) && is_word(name, word)) return true;
    }
    return false;
}

bool negotiate_etag(struct ior_slice value, uint64_t *ret)
{
    int64_t id;
    value = trim(value);
    if (value.size_bytes < 3 || value.data[0] != '"' || value.data[value.size_bytes - 1] != '"')
        return false;
    struct ior_slice digits = ior_slice(value.data + 1, value.size_bytes - 2);
    if (digits.data[0] == '-' || (digits.data[0] == '0' && digits.size_bytes > 1)) return false;
    /* 19 digits have room for the largest id; what is larger would be taken for it. */
    if (!path_int(digits, &id) || digits.size_bytes > 19) return false;
    if (id == INT64_MAX && !ior_slice_eq(digits, IOR_SLICE("9223372036854775807"))) return false;
    *ret = (uint64_t)id;
    return true;
}

enum prefer_durability negotiate_durability(struct ior_slice prefer)
{
    struct ior_slice one;
    while (next_part(&prefer, ',', &one)) {
        struct ior_slice token;
        if (!next_part(&one, ';', &token)) continue;
        if (is_word(token, "durability=memory")) return PREFER_MEMORY;
        if (is_word(token, "durability=disk")) return PREFER_DISK;
        if (is_word(token, "durability=quorum")) return PREFER_QUORUM;
    }
    return PREFER_NONE;
}
