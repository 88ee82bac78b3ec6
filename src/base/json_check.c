/* src/base/json_check.c - is this a JSON text? RFC 8259, strictly, in one pass.
 * Thread: any; no state outlives the call.
 * Happy path: check() walks over tokens and knows from `want` what may come
 * next. Strings are skipped eight bytes at a time, numbers digit by digit; the
 * open brackets are bits of a small stack, so deep input costs no recursion and
 * no memory.
 * Failure: every skip function leaves the cursor on the first byte that no JSON
 * text could have there (or on the end, if the text only stops too early). All
 * bytes before it are the start of some good text; the tests hold this exactly. */
#include "base/assert.h"
#include "base/json.h"
#include "base/json_scan.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

enum want {
    WANT_VALUE,         /* after ':' or ',' in an array, and at the start */
    WANT_VALUE_OR_END,  /* after '[' */
    WANT_MEMBER,        /* after ',' in an object */
    WANT_MEMBER_OR_END, /* after '{' */
    WANT_NEXT,          /* after a value: ',' or a closing bracket */
};

/* The kinds of the open brackets; the innermost is level depth - 1. */
struct nest {
    uint64_t object_bits[IOR_JSON_DEPTH_LIMIT / 64];
    unsigned depth;
    unsigned depth_max;
    bool in_object; /* the innermost one is '{' */
};

static bool is_digit(const struct cursor *c)
{
    return c->at < c->end && (uint8_t)(*c->at - '0') < 10;
}

static inline void skip_space(struct cursor *c)
{
    const uint8_t *p = c->at;
    while (p < c->end && *p <= ' ') {
        if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t') break;
        p++;
        /* Indented texts: eight spaces in one step. */
        while (c->end - p >= 8 && ior_get_u64(p) == IOR_BYTES_OF(' ')) p += 8;
    }
    c->at = p;
}

/* One hex digit with a value in low..high. */
static bool skip_hex(struct cursor *c, unsigned low, unsigned high, unsigned *ret_value)
{
    if (c->at == c->end) return false;
    const uint8_t b = *c->at;
    const uint8_t letter = (uint8_t)((b | 0x20) - 'a');
    unsigned v = 16;
    if ((uint8_t)(b - '0') < 10) v = (unsigned)(b - '0');
    if (letter < 6) v = letter + 10u;
    if (v < low || v > high) return false;
    *ret_value = v;
    c->at++;
    return true;
}

static bool skip_byte(struct cursor *c, uint8_t wanted)
{
    if (c->at == c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

/* The digits behind \u, and the second half of a surrogate pair. */
static bool skip_code_unit(struct cursor *c)
{
    unsigned first = 0;
    unsigned second = 0;
    unsigned ignored = 0;
    if (!skip_hex(c, 0, 15, &first)) return false;
    /* d8..db starts a pair, dc..df may only end one. */
    if (!skip_hex(c, 0, first == 0xd ? 0xb : 0xf, &second)) return false;
    if (!skip_hex(c, 0, 15, &ignored) || !skip_hex(c, 0, 15, &ignored)) return false;
    if (first != 0xd || second < 8) return true;
    return skip_byte(c, '\\') && skip_byte(c, 'u') && skip_hex(c, 0xd, 0xd, &ignored) &&
           skip_hex(c, 0xc, 0xf, &ignored) && skip_hex(c, 0, 15, &ignored) &&
           skip_hex(c, 0, 15, &ignored);
}

static bool skip_escape(struct cursor *c)
{
    c->at++; /* the backslash */
    if (c->at == c->end) return false;
    switch (*c->at) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        c->at++;
        return true;
    case 'u':
        c->at++;
        return skip_code_unit(c);
    default:
        return false;
    }
}

static bool skip_string(struct cursor *c)
{
    const uint8_t *end = c->end;
    c->at++; /* the quote */
    for (;;) {
        c->at = ior_json_plain_end(c->at, end);
        if (c->at == end) return false;
        if (*c->at == '"') {
            c->at++;
            return true;
        }
        if (*c->at == '\\') {
            if (!skip_escape(c)) return false;
            continue;
        }
        if (*c->at < 0x20) return false;
        do {
            size_t size = 0;
            const bool good = ior_utf8_step(c->at, end, &size);
            c->at += size;
            if (!good) return false;
        } while (c->at < end && *c->at >= 0x80);
    }
}

static bool skip_digits(struct cursor *c)
{
    if (!is_digit(c)) return false;
    do c->at++;
    while (is_digit(c));
    return true;
}

static bool skip_number(struct cursor *c)
{
    if (*c->at == '-') c->at++;
    if (c->at < c->end && *c->at == '0') {
        c->at++; /* nothing may follow a leading zero but '.' or 'e' */
    } else if (!skip_digits(c)) {
        return false;
    }
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!skip_digits(c)) return false;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-')) c->at++;
        if (!skip_digits(c)) return false;
    }
    return true;
}

static bool skip_word(struct cursor *c, const char *word)
{
    for (; *word != 0; word++) {
        if (!skip_byte(c, (uint8_t)*word)) return false;
    }
    return true;
}

static bool push(struct nest *n, bool object)
{
    if (n->depth == n->depth_max) return false;
    const uint64_t bit = (uint64_t)1 << (n->depth % 64);
    if (object) {
        n->object_bits[n->depth / 64] |= bit;
    } else {
        n->object_bits[n->depth / 64] &= ~bit;
    }
    n->depth++;
    n->in_object = object;
    return true;
}

static void pop(struct nest *n)
{
    IOR_ASSERT(n->depth > 0);
    n->depth--;
    if (n->depth == 0) return;
    const unsigned below = n->depth - 1;
    n->in_object = ((n->object_bits[below / 64] >> (below % 64)) & 1) != 0;
}

/* A value starts at the cursor, which is not at the end. */
static bool take_value(struct cursor *c, struct nest *n, enum want *want)
{
    const uint8_t b = *c->at;
    *want = WANT_NEXT;
    switch (b) {
    case '"':
        return skip_string(c);
    case '{':
    case '[':
        if (!push(n, b == '{')) return false;
        c->at++;
        *want = b == '{' ? WANT_MEMBER_OR_END : WANT_VALUE_OR_END;
        return true;
    case 't':
        return skip_word(c, "true");
    case 'f':
        return skip_word(c, "false");
    case 'n':
        return skip_word(c, "null");
    default:
        if (b != '-' && !is_digit(c)) return false;
        return skip_number(c);
    }
}

/* A member's name and its colon. */
static bool take_name(struct cursor *c, enum want *want)
{
    if (*c->at != '"' || !skip_string(c)) return false;
    skip_space(c);
    *want = WANT_VALUE;
    return skip_byte(c, ':');
}

static bool take_close(struct cursor *c, struct nest *n, enum want *want)
{
    if (n->depth == 0 || *c->at != (n->in_object ? '}' : ']')) return false;
    c->at++;
    pop(n);
    *want = WANT_NEXT;
    return true;
}

static bool check(struct cursor *c, struct nest *n)
{
    enum want want = WANT_VALUE;
    for (;;) {
        skip_space(c);
        if (c->at == c->end) return want == WANT_NEXT && n->depth == 0;
        bool good = false;
        switch (want) {
        case WANT_NEXT:
            if (*c->at == ',' && n->depth > 0) {
                c->at++;
                want = n->in_object ? WANT_MEMBER : WANT_VALUE;
                continue;
            }
            good = take_close(c, n, &want);
            break;
        case WANT_VALUE_OR_END:
            good = *c->at == ']' ? take_close(c, n, &want) : take_value(c, n, &want);
            break;
        case WANT_VALUE:
            good = take_value(c, n, &want);
            break;
        case WANT_MEMBER_OR_END:
            good = *c->at == '}' ? take_close(c, n, &want) : take_name(c, &want);
            break;
        case WANT_MEMBER:
            good = take_name(c, &want);
            break;
        }
        if (!good) return false;
    }
}

enum ior_err ior_json_check(struct ior_slice text, unsigned depth_max, size_t *ret_at)
{
    IOR_ASSERT(depth_max <= IOR_JSON_DEPTH_LIMIT);
    bool good = false;
    size_t at = 0;
    if (text.size_bytes > 0) {
        struct cursor c = {text.data, text.data + text.size_bytes};
        struct nest n = {.depth_max = depth_max};
        good = check(&c, &n);
        at = (size_t)(c.at - text.data);
        IOR_ASSERT(at <= text.size_bytes);
    }
    if (good) return IOR_OK;
    if (ret_at != NULL) *ret_at = at;
    return IOR_E_BODY;
}
