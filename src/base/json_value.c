/* src/base/json_value.c - see json_value.h. */
#include "base/json_value.h"

#include "base/assert.h"
#include "base/json_scan.h"

static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

enum json_kind json_kind_of(struct ior_slice value)
{
    IOR_ASSERT(value.size_bytes > 0);
    switch (value.data[0]) {
    case 'n':
        return JSON_NULL;
    case 'f':
        return JSON_FALSE;
    case 't':
        return JSON_TRUE;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    default:
        return JSON_NUMBER;
    }
}

struct ior_slice json_trim(struct ior_slice text)
{
    const uint8_t *end = text.data + text.size_bytes;
    const uint8_t *p = skip_space(text.data, end);
    while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\n' || end[-1] == '\r'))
        end--;
    return ior_slice(p, (size_t)(end - p));
}

/* ---- where values end ---- */

static const uint8_t *string_end(const uint8_t *p, const uint8_t *end)
{
    p++; /* the quote */
    while (p < end) {
        p = ior_json_plain_end(p, end);
        if (p == end) break;
        if (*p == '"') return p + 1;
        if (*p == '\\') p++;
        if (p < end) p++;
    }
    return end;
}

static const uint8_t *scalar_end(const uint8_t *p, const uint8_t *end)
{
    static const bool ends[256] = {[','] = true,  [']'] = true,  ['}'] = true, [' '] = true,
                                   ['\t'] = true, ['\n'] = true, ['\r'] = true};
    if (*p == '"') return string_end(p, end);
    do p++;
    while (p < end && !ends[*p]);
    return p;
}

const uint8_t *json_value_end(const uint8_t *p, const uint8_t *end, unsigned *ret_height)
{
    unsigned depth = 0;
    unsigned height = 0;
    IOR_ASSERT(p < end);
    do {
        switch (*p) {
        case '[':
        case '{':
            if (++depth > height) height = depth;
            p++;
            break;
        case ']':
        case '}':
            if (depth > 0) depth--;
            p++;
            break;
        case ',':
        case ':':
        case ' ':
        case '\t':
        case '\n':
        case '\r':
            p++;
            break;
        default:
            p = scalar_end(p, end);
            break;
        }
    } while (depth > 0 && p < end);
    *ret_height = height;
    return p;
}

void json_walk_begin(struct json_walk *w, struct ior_slice container)
{
    enum json_kind kind = json_kind_of(container);
    IOR_ASSERT(kind == JSON_ARRAY || kind == JSON_OBJECT);
    *w = (struct json_walk){.at = container.data + 1,
                            .end = container.data + container.size_bytes,
                            .object = kind == JSON_OBJECT};
}

bool json_walk_next(struct json_walk *w, struct json_member *ret)
{
    const uint8_t *p = skip_space(w->at, w->end);
    if (p < w->end && *p == ',') p = skip_space(p + 1, w->end);
    ret->name = (struct ior_slice){NULL, 0};
    if (w->object && p < w->end && *p == '"') {
        const uint8_t *name = p;
        p = string_end(p, w->end);
        ret->name = ior_slice(name, (size_t)(p - name));
        p = skip_space(p, w->end);
        if (p < w->end && *p == ':') p = skip_space(p + 1, w->end);
    }
    if (p >= w->end || *p == ']' || *p == '}') {
        w->at = w->end;
        return false;
    }
    const uint8_t *after = json_value_end(p, w->end, &ret->height);
    ret->value = ior_slice(p, (size_t)(after - p));
    w->at = after;
    return true;
}

/* ---- strings ---- */

/* The bytes of the text, one after the other. */
struct unquote {
    const uint8_t *at, *end; /* between the quotes */
    uint8_t more[3];         /* of the character that was begun, last byte first */
    unsigned more_count;
};

static void unquote_begin(struct unquote *u, struct ior_slice raw)
{
    size_t n = raw.size_bytes >= 2 ? raw.size_bytes - 2 : 0;
    *u = (struct unquote){.at = raw.data + (n > 0 ? 1 : 0)};
    u->end = u->at + n;
}

static unsigned hex_unit(const uint8_t *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned d = p[i] | 0x20u; /* digits stay what they are */
        v = v << 4 | ((d >= 'a' ? d - 'a' + 10 : d - '0') & 15);
    }
    return v;
}

/* Behind \u: its four digits, and of a surrogate the second escape. */
static unsigned take_code_point(struct unquote *u)
{
    if (u->end - u->at < 4) {
        u->at = u->end;
        return 0xfffd;
    }
    unsigned c = hex_unit(u->at);
    u->at += 4;
    if (c < 0xd800 || c > 0xdfff) return c;
    if (u->end - u->at < 6) return 0xfffd;
    unsigned low = hex_unit(u->at + 2);
    u->at += 6;
    return 0x10000 + ((c - 0xd800) << 10 & 0xffc00) + ((low - 0xdc00) & 0x3ff);
}

static int give_code_point(struct unquote *u, unsigned c)
{
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    if (c < 0x80) return (int)c;
    unsigned n = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    u->more_count = n;
    for (unsigned i = 0; i < n; i++) u->more[i] = (uint8_t)(0x80 | (c >> (6 * i) & 0x3f));
    return leads[n] | (int)(c >> (6 * n));
}

/* -1: that was all. */
static int unquote_next(struct unquote *u)
{
    if (u->more_count > 0) return u->more[--u->more_count];
    if (u->at >= u->end) return -1;
    uint8_t b = *u->at++;
    if (b != '\\' || u->at == u->end) return b;
    b = *u->at++;
    switch (b) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u':
        return give_code_point(u, take_code_point(u));
    default:
        return b;
    }
}

size_t json_unquote(struct ior_slice raw, uint8_t *out)
{
    struct unquote u;
    size_t n = 0;
    int b;
    unquote_begin(&u, raw);
    while ((b = unquote_next(&u)) >= 0) {
        IOR_ASSERT(n < raw.size_bytes);
        out[n++] = (uint8_t)b;
    }
    return n;
}

static bool has_escape(struct ior_slice raw)
{
    return memchr(raw.data, '\\', raw.size_bytes) != NULL;
}

/* Between the quotes. */
static struct ior_slice inside(struct ior_slice raw)
{
    return raw.size_bytes < 2 ? ior_slice(raw.data, 0)
                              : ior_slice(raw.data + 1, raw.size_bytes - 2);
}

bool json_string_is(struct ior_slice raw, struct ior_slice text)
{
    struct ior_slice in = inside(raw);
    if (in.size_bytes < text.size_bytes) return false; /* an escape is longer than what it says */
    if (in.size_bytes == 0 || !has_escape(in)) return ior_slice_eq(in, text);
    struct unquote u;
    unquote_begin(&u, raw);
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (unquote_next(&u) != text.data[i]) return false;
    }
    return unquote_next(&u) < 0;
}

int json_string_cmp(struct ior_slice raw_a, struct ior_slice raw_b)
{
    if (!has_escape(raw_a) && !has_escape(raw_b))
        return ior_slice_cmp(inside(raw_a), inside(raw_b));
    struct unquote a;
    struct unquote b;
    unquote_begin(&a, raw_a);
    unquote_begin(&b, raw_b);
    for (;;) {
        int x = unquote_next(&a);
        int y = unquote_next(&b);
        if (x != y) return x < y ? -1 : 1;
        if (x < 0) return 0;
    }
}

/* ---- numbers ---- */

/* 0.d1d2d3... times 10 to the power of (point + exponent), where d1 and the last digit are not 0.
 */
struct number {
    bool negative;
    const uint8_t *at, *end; /* the digits, with perhaps a dot between them; none: zero */
    int64_t point;
    struct ior_slice exponent; /* digits without zeros in front */
    bool exponent_negative;
};

static bool is_digit(uint8_t b)
{
    return b >= '0' && b <= '9';
}

static void read_exponent(struct number *n, const uint8_t *p, const uint8_t *end)
{
    if (p < end) p++; /* the e */
    if (p < end && (*p == '+' || *p == '-')) n->exponent_negative = *p++ == '-';
    while (p < end && *p == '0') p++;
    n->exponent = ior_slice(p, (size_t)(end - p));
}

static struct number read_number(struct ior_slice text)
{
    struct number n = {0};
    const uint8_t *p = text.data;
    const uint8_t *end = text.data + text.size_bytes;
    int64_t whole = 0; /* digits in front of the dot, from the first that counts on */
    bool fraction = false;
    if (p < end && *p == '-') {
        n.negative = true;
        p++;
    }
    for (; p < end && (is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        if (n.at == NULL && *p == '0') {
            whole -= fraction ? 1 : 0;
            continue;
        }
        if (n.at == NULL) n.at = p;
        if (!fraction) whole++;
        if (*p != '0') n.end = p + 1;
    }
    n.point = whole;
    read_exponent(&n, p, end);
    return n;
}

static bool same_digits(const struct number *a, const struct number *b)
{
    const uint8_t *p = a->at;
    const uint8_t *q = b->at;
    for (;;) {
        if (p < a->end && *p == '.') p++;
        if (q < b->end && *q == '.') q++;
        if (p == a->end || q == b->end) return p == a->end && q == b->end;
        if (*p++ != *q++) return false;
    }
}

static int64_t digit_of(const struct number *n, size_t place)
{
    size_t count = n->exponent.size_bytes;
    if (place >= count) return 0;
    int64_t d = n->exponent.data[count - 1 - place] - '0';
    return n->exponent_negative ? -d : d;
}

/* a.exponent + a.point == b.exponent + b.point? The exponents may have any number of digits:
 * subtracted from the last digit on, what is carried stays small. */
static bool same_power(const struct number *a, const struct number *b)
{
    int64_t carry = a->point - b->point;
    size_t places = a->exponent.size_bytes;
    if (b->exponent.size_bytes > places) places = b->exponent.size_bytes;
    for (size_t i = 0; i < places; i++) {
        carry += digit_of(a, i) - digit_of(b, i);
        if (carry % 10 != 0) return false;
        carry /= 10;
    }
    return carry == 0;
}

bool json_number_eq(struct ior_slice a, struct ior_slice b)
{
    if (ior_slice_eq(a, b)) return true;
    struct number x = read_number(a);
    struct number y = read_number(b);
    if (x.at == NULL || y.at == NULL) return x.at == y.at; /* both are zero */
    return x.negative == y.negative && same_digits(&x, &y) && same_power(&x, &y);
}
