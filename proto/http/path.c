/* proto/http/path.c - see path.h. */
#include "proto/http/path.h"

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool path_decode(struct ior_slice s, bool plus, uint8_t *out, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size_bytes; i++) {
        uint8_t c = s.data[i];
        if (c == '+' && plus) c = ' ';
        if (c == '%') {
            if (s.size_bytes - i < 3) return false;
            int high = hex_digit(s.data[i + 1]);
            int low = hex_digit(s.data[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        out[n++] = c;
    }
    *ret_n = n;
    return true;
}

bool path_split(struct ior_slice path, struct ior_slice *segments, size_t *ret_count)
{
    if (path.size_bytes == 0 || path.data[0] != '/') return false;
    if (path.size_bytes > 1 && path.data[path.size_bytes - 1] == '/') path.size_bytes--;
    size_t count = 0;
    size_t start = 1;
    for (size_t i = 1; i <= path.size_bytes; i++) {
        if (i < path.size_bytes && path.data[i] != '/') continue;
        if (path.size_bytes == 1) break; /* "/" */
        if (i == start || count == PATH_SEGMENTS_MAX) return false;
        segments[count++] = ior_slice(path.data + start, i - start);
        start = i + 1;
    }
    *ret_count = count;
    return true;
}

static bool decode_part(struct ior_slice part, uint8_t **scratch, struct ior_slice *ret)
{
    size_t n = 0;
    if (!path_decode(part, true, *scratch, &n)) return false;
    *ret = ior_slice(*scratch, n);
    *scratch += n;
    return true;
}

size_t query_parse(struct ior_slice query, uint8_t *scratch, struct query_param *params,
                   bool *ret_whole)
{
    size_t count = 0;
    size_t start = 0;
    *ret_whole = true;
    for (size_t i = 0; i <= query.size_bytes; i++) {
        if (i < query.size_bytes && query.data[i] != '&') continue;
        struct ior_slice pair = ior_slice(query.data + start, i - start);
        start = i + 1;
        if (pair.size_bytes == 0) continue;
        if (count == QUERY_PARAMS_MAX) {
            *ret_whole = false;
            break;
        }
        const uint8_t *eq = memchr(pair.data, '=', pair.size_bytes);
        size_t name_bytes = eq == NULL ? pair.size_bytes : (size_t)(eq - pair.data);
        struct ior_slice value = {pair.data, 0};
        if (eq != NULL) value = ior_slice(eq + 1, pair.size_bytes - name_bytes - 1);
        struct query_param p;
        if (decode_part(ior_slice(pair.data, name_bytes), &scratch, &p.name) &&
            decode_part(value, &scratch, &p.value)) {
            params[count++] = p;
        } else {
            *ret_whole = false;
        }
    }
    return count;
}

size_t path_encode(struct ior_slice s, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < s.size_bytes; i++) {
        uint8_t c = s.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || c == '$' || c == '!';
        if (plain) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    return n;
}

bool path_int(struct ior_slice s, int64_t *ret)
{
    size_t i = 0;
    bool negative = s.size_bytes > 0 && s.data[0] == '-';
    if (negative) i++;
    if (i == s.size_bytes) return false;
    const uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    uint64_t v = 0;
    for (; i < s.size_bytes; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return false;
        uint64_t digit = (uint64_t)(s.data[i] - '0');
        v = v > (limit - digit) / 10 ? limit : v * 10 + digit;
    }
    *ret = (int64_t)(negative ? 0 - v : v);
    return true;
}
