/* src/base/config_value.c - see config_value.h.
 * Happy path: digits, then a unit out of a table. The failure modes are words for
 * a person: no digits, no unit, an unknown unit, a number that does not fit. */
#include "base/config_value.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

struct unit {
    const char *name;
    uint64_t size;
};

struct scale {
    const struct unit *units;
    size_t count;
    const char *no_number; /* problems, in words */
    const char *no_unit;
};

/* Largest first: the writers take the first that is exact. */
static const struct unit durations[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
static const struct unit sizes[] = {
    {"TB", 1ull << 40}, {"GB", 1ull << 30}, {"MB", 1ull << 20}, {"KB", 1ull << 10}, {"B", 1},
};

static enum ior_err problem(const char **ret_problem, const char *what)
{
    if (ret_problem != NULL) *ret_problem = what;
    return IOR_E_INVAL;
}

/* The digits at the start of text; *ret_used is 0 if there are none. */
static bool digits(struct ior_slice text, uint64_t *ret, size_t *ret_used)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < text.size_bytes; i++) {
        const uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9) break;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v)) {
            return false;
        }
    }
    *ret = v;
    *ret_used = i;
    return true;
}

enum ior_err config_value_int(struct ior_slice text, uint64_t *ret, const char **ret_problem)
{
    uint64_t v = 0;
    size_t used = 0;
    if (!digits(text, &v, &used)) return problem(ret_problem, "too large a number");
    if (used == 0 || used < text.size_bytes) return problem(ret_problem, "not a whole number");
    *ret = v;
    return IOR_OK;
}

static enum ior_err with_unit(struct ior_slice text, const struct scale *scale, uint64_t *ret,
                              const char **ret_problem)
{
    uint64_t v = 0;
    size_t used = 0;
    if (!digits(text, &v, &used)) return problem(ret_problem, "too large a number");
    if (used == 0) return problem(ret_problem, scale->no_number);
    if (used == text.size_bytes) return problem(ret_problem, scale->no_unit);
    const struct ior_slice name = ior_slice(text.data + used, text.size_bytes - used);
    for (size_t i = 0; i < scale->count; i++) {
        if (!ior_slice_eq(name, ior_slice_str(scale->units[i].name))) continue;
        if (__builtin_mul_overflow(v, scale->units[i].size, &v)) {
            return problem(ret_problem, "too large a number");
        }
        *ret = v;
        return IOR_OK;
    }
    return problem(ret_problem, scale->no_number);
}

static const struct scale duration_scale = {durations, IOR_LEN(durations),
                                            "not a whole number and a unit (ms s m h d)",
                                            "the unit (ms s m h d) is missing"};
static const struct scale size_scale = {sizes, IOR_LEN(sizes),
                                        "not a whole number and a unit (B KB MB GB TB)",
                                        "the unit (B KB MB GB TB) is missing"};

enum ior_err config_value_ms(struct ior_slice text, uint64_t *ret_ms, const char **ret_problem)
{
    return with_unit(text, &duration_scale, ret_ms, ret_problem);
}

enum ior_err config_value_bytes(struct ior_slice text, uint64_t *ret_bytes,
                                const char **ret_problem)
{
    return with_unit(text, &size_scale, ret_bytes, ret_problem);
}

enum ior_err config_value_flag(struct ior_slice text, bool *ret, const char **ret_problem)
{
    const bool yes = ior_slice_eq(text, IOR_SLICE("yes"));
    if (!yes && !ior_slice_eq(text, IOR_SLICE("no"))) {
        return problem(ret_problem, "neither yes nor no");
    }
    *ret = yes;
    return IOR_OK;
}

enum ior_err config_value_rate(struct ior_slice text, bool bytes, uint64_t *ret_count,
                               uint64_t *ret_seconds, const char **ret_problem)
{
    static const char *const how[] = {"not a whole number in a second, minute or hour (100/s)",
                                      "not a size in a second, minute or hour (10MB/s)"};
    uint64_t v = 0;
    uint64_t seconds = 1;
    if (!ior_slice_eq(text, IOR_SLICE("0"))) {
        size_t n = text.size_bytes;
        if (n < 3 || text.data[n - 2] != '/') return problem(ret_problem, how[bytes]);
        seconds = text.data[n - 1] == 's' ? 1 : text.data[n - 1] == 'm' ? 60 : 3600;
        if (seconds == 3600 && text.data[n - 1] != 'h') return problem(ret_problem, how[bytes]);
        struct ior_slice count = ior_slice(text.data, n - 2);
        enum ior_err err = bytes ? config_value_bytes(count, &v, ret_problem)
                                 : config_value_int(count, &v, ret_problem);
        if (err != IOR_OK) return err;
        if (v >> 48 != 0) return problem(ret_problem, "too large a number");
    }
    *ret_count = v;
    *ret_seconds = v == 0 ? 1 : seconds;
    return IOR_OK;
}

static void unit_text(uint64_t v, const struct unit *units, size_t count,
                      char out[CONFIG_VALUE_TEXT_MAX])
{
    size_t i = 0;
    while (i + 1 < count && (v == 0 || v % units[i].size != 0)) i++;
    snprintf(out, CONFIG_VALUE_TEXT_MAX, "%" PRIu64 "%s", v / units[i].size, units[i].name);
}

void config_value_ms_text(uint64_t ms, char out[CONFIG_VALUE_TEXT_MAX])
{
    unit_text(ms, durations, IOR_LEN(durations), out);
}

void config_value_bytes_text(uint64_t bytes, char out[CONFIG_VALUE_TEXT_MAX])
{
    unit_text(bytes, sizes, IOR_LEN(sizes), out);
}

/* Add the parts of one path behind out[0..*len); out stays without a final '/'. */
static bool add_parts(struct ior_slice path, char *out, size_t out_bytes, size_t *len)
{
    for (size_t i = 0; i < path.size_bytes;) {
        size_t end = i;
        while (end < path.size_bytes && path.data[end] != '/') end++;
        const struct ior_slice part = ior_slice(path.data + i, end - i);
        i = end + 1;
        if (part.size_bytes == 0 || ior_slice_eq(part, IOR_SLICE("."))) continue;
        if (ior_slice_eq(part, IOR_SLICE(".."))) {
            while (*len > 0 && out[*len - 1] != '/') (*len)--;
            if (*len > 0) (*len)--; /* the parent of the root is the root */
            continue;
        }
        if (part.size_bytes + 2 > out_bytes - *len) return false;
        out[*len] = '/';
        memcpy(out + *len + 1, part.data, part.size_bytes);
        *len += part.size_bytes + 1;
    }
    return true;
}

enum ior_err config_value_path(const char *base, struct ior_slice path, char *out, size_t out_bytes)
{
    IOR_ASSERT(base[0] == '/');
    IOR_ASSERT(out_bytes >= 2);
    size_t len = 0;
    const bool absolute = path.size_bytes > 0 && path.data[0] == '/';
    if (!absolute && !add_parts(ior_slice_str(base), out, out_bytes, &len)) return IOR_E_INVAL;
    if (!add_parts(path, out, out_bytes, &len)) return IOR_E_INVAL;
    if (len == 0) out[len++] = '/';
    IOR_ASSERT(len < out_bytes);
    out[len] = 0;
    return IOR_OK;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned config_value_distance(struct ior_slice a, struct ior_slice b)
{
    enum { WORD_MAX = 64 };
    /* row[k][j]: the distance of the first i - k letters of a to the first j of b. */
    unsigned row[3][WORD_MAX + 1];
    const size_t a_len = a.size_bytes < WORD_MAX ? a.size_bytes : WORD_MAX;
    const size_t b_len = b.size_bytes < WORD_MAX ? b.size_bytes : WORD_MAX;
    for (size_t j = 0; j <= b_len; j++) row[0][j] = (unsigned)j;
    memcpy(row[1], row[0], sizeof row[0]);
    for (size_t i = 1; i <= a_len; i++) {
        memcpy(row[2], row[1], sizeof row[0]);
        memcpy(row[1], row[0], sizeof row[0]);
        row[0][0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            const unsigned change = row[1][j - 1] + (a.data[i - 1] != b.data[j - 1]);
            row[0][j] = least(change, least(row[1][j], row[0][j - 1]) + 1);
            const bool swapped =
                i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1];
            if (swapped) row[0][j] = least(row[0][j], row[2][j - 2] + 1);
        }
    }
    return row[0][b_len];
}
