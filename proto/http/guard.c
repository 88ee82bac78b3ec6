/* proto/http/guard.c - see guard.h. What passes here is read by h2o's parser in the same way:
 * every rule is as strict as there, or stricter (test/fuzz/target_guard.c holds the lines
 * that pass against a second reading). */
#include "proto/http/guard.h"

#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/limits.h"

#define FAULT(name, err, reason) static const struct guard_fault name = {err, reason}
FAULT(bad_line, IOR_E_REQUEST, "The request line is not METHOD TARGET HTTP/1.1");
FAULT(bad_version, IOR_E_HTTPVERSION, NULL);
FAULT(bad_target, IOR_E_REQUEST, "The target is neither a path nor an http:// or https:// URL");
FAULT(bad_feed, IOR_E_REQUEST, "A line of the head ends without CR LF");
FAULT(bad_fold, IOR_E_REQUEST, "A header is folded over two lines");
FAULT(bad_name, IOR_E_REQUEST, "A header has no name, or one with a character that none may have");
FAULT(bad_value, IOR_E_REQUEST, "A header holds a control character");
FAULT(no_host, IOR_E_REQUEST, "There is no Host header");
FAULT(two_hosts, IOR_E_REQUEST, "There is more than one Host header");
FAULT(bad_host, IOR_E_REQUEST, "The Host header is no host and port");
FAULT(two_lengths, IOR_E_REQUEST, "There is more than one Content-Length header");
FAULT(bad_length, IOR_E_REQUEST, "Content-Length is no number");
FAULT(two_codings, IOR_E_REQUEST, "There is more than one Transfer-Encoding header");
FAULT(bad_coding, IOR_E_REQUEST, "The only Transfer-Encoding spoken here is chunked");
FAULT(old_coding, IOR_E_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
FAULT(both, IOR_E_REQUEST, "There is a Content-Length beside Transfer-Encoding");
FAULT(head_too_large, IOR_E_HEADTOOLARGE, NULL);
FAULT(bad_chunk, IOR_E_REQUEST, "A chunk of the body is not size CR LF data CR LF");
FAULT(bad_trailer, IOR_E_REQUEST, "What follows the last chunk is not as it must be");
FAULT(body_too_large, IOR_E_TOOLARGE, NULL);

static enum guard_verdict bad(const struct guard_fault **ret, const struct guard_fault *fault)
{
    *ret = fault;
    return GUARD_BAD;
}

/* tchar of RFC 9110 section 5.6.2 */
static const uint8_t token_chars[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* What a host and a port are made of (RFC 3986 section 3.2.2), without the comma that joins
 * two headers. */
static const uint8_t host_chars[256] = {
    ['!'] = 1,         ['$'] = 1,         ['%'] = 1,         ['&'] = 1, ['\''] = 1, ['('] = 1,
    [')'] = 1,         ['*'] = 1,         ['+'] = 1,         ['-'] = 1, ['.'] = 1,  [':'] = 1,
    [';'] = 1,         ['='] = 1,         ['['] = 1,         [']'] = 1, ['_'] = 1,  ['~'] = 1,
    ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool all_in(const uint8_t table[256], struct ior_slice s)
{
    const uint8_t *p = s.data;
    const uint8_t *end = p + s.size_bytes;
    unsigned ok = 1;
    for (; end - p >= 4; p += 4)
        ok &= (unsigned)table[p[0]] & table[p[1]] & table[p[2]] & table[p[3]];
    while (p < end) ok &= table[*p++];
    return ok != 0;
}

static bool is(struct ior_slice s, const char *word, size_t n)
{
    return s.size_bytes == n && strncasecmp((const char *)s.data, word, n) == 0;
}

/* "host", in any case: of all four-letter names the one that is always there. */
static bool is_host(const uint8_t *name)
{
    uint32_t v;
    uint32_t host;
    memcpy(&v, name, sizeof v);
    memcpy(&host, "host", sizeof host);
    return (v | UINT32_C(0x20202020)) == host; /* a token has no bytes that this could make so */
}

#ifdef __SSE2__
/* Sixteen bytes at a time: a bit for each that is a control character. */
static inline unsigned controls(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, del));
}
#endif

/* The first byte from `i` on that is a control character other than a tab; n: none. It is most of
 * the work of a head. */
static size_t first_control(const uint8_t *p, size_t i, size_t n)
{
#ifdef __SSE2__
    while (i + 16 <= n) {
        unsigned found = controls(p + i);
        size_t at = found == 0 ? 16 : (size_t)__builtin_ctz(found);
        i += at;
        if (at == 16) continue;
        if (p[i] != '\t') return i;
        i++;
    }
#endif
    while (i < n && ((p[i] >= 0x20 && p[i] != 0x7f) || p[i] == '\t')) i++;
    return i;
}

static struct ior_slice trim_blanks(struct ior_slice s)
{
    while (s.size_bytes > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = ior_slice(s.data + 1, s.size_bytes - 1);
    return s;
}

static struct ior_slice trim_end(struct ior_slice s)
{
    while (s.size_bytes > 0 &&
           (s.data[s.size_bytes - 1] == ' ' || s.data[s.size_bytes - 1] == '\t'))
        s.size_bytes--;
    return s;
}

/* ---- the request line ---- */

static bool authority_ok(struct ior_slice s)
{
    size_t n = 0;
    while (n < s.size_bytes && s.data[n] != '/' && s.data[n] != '?') n++;
    return n > 0 && all_in(host_chars, ior_slice(s.data, n));
}

static bool target_ok(struct ior_slice method, struct ior_slice target)
{
    if (target.size_bytes == 0 || memchr(target.data, '\t', target.size_bytes) != NULL)
        return false; /* other controls and blanks ended it before */
    if (target.data[0] == '/') return true;
    if (is(ior_slice(target.data, target.size_bytes < 7 ? target.size_bytes : 7), "http://", 7))
        return authority_ok(ior_slice(target.data + 7, target.size_bytes - 7));
    if (is(ior_slice(target.data, target.size_bytes < 8 ? target.size_bytes : 8), "https://", 8))
        return authority_ok(ior_slice(target.data + 8, target.size_bytes - 8));
    if (ior_slice_eq(method, IOR_SLICE("CONNECT"))) return authority_ok(target);
    return ior_slice_eq(target, IOR_SLICE("*"));
}

static const struct guard_fault *request_line(struct guard_head *h, struct ior_slice line)
{
    const uint8_t *end = line.data + line.size_bytes;
    const uint8_t *first = memchr(line.data, ' ', line.size_bytes);
    if (first == NULL) return &bad_line;
    struct ior_slice method = ior_slice(line.data, (size_t)(first - line.data));
    const uint8_t *second = memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (second == NULL || method.size_bytes == 0 || !all_in(token_chars, method)) return &bad_line;
    struct ior_slice target = ior_slice(first + 1, (size_t)(second - first - 1));
    struct ior_slice version = ior_slice(second + 1, (size_t)(end - second - 1));
    const uint8_t *v = version.data;
    if (version.size_bytes != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' ||
        v[6] != '.' || v[7] < '0' || v[7] > '9')
        return &bad_line;
    if (v[5] != '1' || v[7] > '1') return &bad_version;
    h->http10 = v[7] == '0';
    h->request_line = true;
    return target_ok(method, target) ? NULL : &bad_target;
}

/* ---- headers ---- */

static const struct guard_fault *content_length(struct guard_head *h, struct ior_slice value)
{
    if (h->length_seen) return &two_lengths;
    h->length_seen = true;
    if (value.size_bytes == 0) return &bad_length;
    for (size_t i = 0; i < value.size_bytes; i++) {
        uint8_t b = value.data[i];
        if (b < '0' || b > '9') return &bad_length;
        /* What is far above every limit stays that. */
        if (h->length < UINT64_MAX / 16) h->length = h->length * 10 + (uint64_t)(b - '0');
    }
    if (h->body == GUARD_CHUNKED) return &both;
    h->body = GUARD_LENGTH;
    return NULL;
}

static const struct guard_fault *transfer_encoding(struct guard_head *h, struct ior_slice value)
{
    if (h->body == GUARD_CHUNKED) return &two_codings;
    if (h->http10) return &old_coding;
    if (!is(value, "chunked", 7)) return &bad_coding;
    if (h->body == GUARD_LENGTH) return &both;
    h->body = GUARD_CHUNKED;
    return NULL;
}

static const struct guard_fault *host(struct guard_head *h, struct ior_slice value)
{
    if (h->host) return &two_hosts;
    h->host = true;
    return all_in(host_chars, trim_end(value)) ? NULL : &bad_host;
}

static const struct guard_fault *header(struct guard_head *h, struct ior_slice line)
{
    size_t n = 0;
    if (line.data[0] == ' ' || line.data[0] == '\t') return &bad_fold;
    while (n < line.size_bytes && token_chars[line.data[n]]) n++;
    if (n == 0 || n == line.size_bytes || line.data[n] != ':') return &bad_name;
    if (++h->headers > HTTP_HEADERS_MAX) return &head_too_large;
    struct ior_slice name = ior_slice(line.data, n);
    struct ior_slice value = trim_blanks(ior_slice(line.data + n + 1, line.size_bytes - n - 1));
    switch (n) {
    case 4:
        return is_host(name.data) ? host(h, value) : NULL;
    case 6:
        if (is(name, "expect", 6)) h->expects = true;
        return NULL;
    case 14:
        return is(name, "content-length", 14) ? content_length(h, value) : NULL;
    case 17:
        return is(name, "transfer-encoding", 17) ? transfer_encoding(h, value) : NULL;
    default:
        return NULL;
    }
}

/* ---- the head ---- */

enum line_result { LINE_NONE, LINE_EMPTY, LINE_TEXT, LINE_BARE, LINE_CONTROL };

/* The next line without its end; h->line moves behind it, or behind what is wrong. */
static enum line_result next_line(struct guard_head *h, const uint8_t *data, size_t size_bytes,
                                  struct ior_slice *ret)
{
    size_t begin = h->line;
    size_t at = first_control(data, h->searched, size_bytes);
    h->searched = at;
    if (at == size_bytes || (data[at] == '\r' && at + 1 == size_bytes)) return LINE_NONE;
    h->line = at + 1;
    if (data[at] == '\n') return LINE_BARE;
    if (data[at] != '\r' || data[at + 1] != '\n') return LINE_CONTROL;
    h->line = h->searched = at + 2;
    *ret = ior_slice(data + begin, at - begin);
    return at == begin ? LINE_EMPTY : LINE_TEXT;
}

static enum guard_verdict end_of_head(const struct guard_head *h,
                                      const struct guard_fault **ret_fault)
{
    if (!h->host && !h->http10) return bad(ret_fault, &no_host);
    return GUARD_OK;
}

/* What cannot become a request is not waited for: TLS on this port, for one. */
static bool may_begin(uint8_t b)
{
    return token_chars[b] || b == '\r' || b == '\n';
}

enum guard_verdict guard_head(struct guard_head *h, const uint8_t *data, size_t size_bytes,
                              size_t head_bytes_max, const struct guard_fault **ret_fault)
{
    struct ior_slice line;
    while (h->line < size_bytes) {
        const struct guard_fault *fault = NULL;
        if (!h->request_line && !may_begin(data[h->line])) return bad(ret_fault, &bad_line);
        enum line_result found = next_line(h, data, size_bytes, &line);
        if (found == LINE_NONE) break;
        /* What lies behind the limit is not looked at, in whatever pieces it came. */
        if (h->line > head_bytes_max) return bad(ret_fault, &head_too_large);
        switch (found) {
        case LINE_NONE:
            break;
        case LINE_CONTROL:
            return bad(ret_fault, h->request_line ? &bad_value : &bad_line);
        case LINE_BARE:
            return bad(ret_fault, &bad_feed);
        case LINE_EMPTY:
            if (h->request_line) return end_of_head(h, ret_fault);
            /* One empty line may come first: some clients send one behind a body. */
            if (h->line != 2) return bad(ret_fault, &bad_line);
            break;
        case LINE_TEXT:
            fault = h->request_line ? header(h, line) : request_line(h, line);
            break;
        }
        if (fault != NULL) return bad(ret_fault, fault);
    }
    if (size_bytes > head_bytes_max) return bad(ret_fault, &head_too_large);
    return GUARD_MORE;
}

/* ---- chunks ---- */

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_BEGIN,
    TRAILER_LINE,
    TRAILER_LINE_LF,
    TRAILER_END_LF,
    CHUNKS_OVER
};

static int hex_value(uint8_t b)
{
    if (b >= '0' && b <= '9') return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static const struct guard_fault *size_byte(struct guard_chunks *c, uint8_t b)
{
    int v = hex_value(b);
    if (v >= 0) {
        if (++c->digits > 15) return &bad_chunk;
        c->left = c->left * 16 + (uint64_t)v;
        return NULL;
    }
    if (c->digits == 0) return &bad_chunk;
    if (b == '\r') {
        c->state = CHUNK_SIZE_LF;
    } else if (b == ';' || b == ' ' || b == '\t') {
        c->state = CHUNK_EXTENSION;
    } else {
        return &bad_chunk;
    }
    return NULL;
}

/* A byte of a chunk's extension or of a trailer: its line ends with CR LF, and it has an end. */
static const struct guard_fault *text_byte(struct guard_chunks *c, uint8_t b, uint8_t at_cr,
                                           const struct guard_fault *fault)
{
    if (b == '\r') {
        c->state = at_cr;
        return NULL;
    }
    if ((b < 0x20 && b != '\t') || b == 0x7f) return fault;
    return ++c->extra > HTTP_CHUNK_EXTRA_BYTES_MAX ? fault : NULL;
}

static const struct guard_fault *size_line_ends(struct guard_chunks *c, uint64_t body_bytes_max)
{
    c->digits = 0;
    c->extra = 0;
    if (c->left > body_bytes_max || c->announced > body_bytes_max - c->left) return &body_too_large;
    c->announced += c->left;
    c->state = c->left == 0 ? TRAILER_BEGIN : CHUNK_DATA;
    return NULL;
}

static const struct guard_fault *chunk_byte(struct guard_chunks *c, uint8_t b,
                                            uint64_t body_bytes_max)
{
    switch ((enum chunk_state)c->state) {
    case CHUNK_SIZE:
        return size_byte(c, b);
    case CHUNK_EXTENSION:
        return text_byte(c, b, CHUNK_SIZE_LF, &bad_chunk);
    case CHUNK_SIZE_LF:
        return b == '\n' ? size_line_ends(c, body_bytes_max) : &bad_chunk;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r' ? NULL : &bad_chunk;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        return b == '\n' ? NULL : &bad_chunk;
    case TRAILER_BEGIN:
        if (b == '\r') {
            c->state = TRAILER_END_LF;
            return NULL;
        }
        c->state = TRAILER_LINE;
        return token_chars[b] ? NULL : &bad_trailer;
    case TRAILER_LINE:
        return text_byte(c, b, TRAILER_LINE_LF, &bad_trailer);
    case TRAILER_LINE_LF:
        c->state = TRAILER_BEGIN;
        return b == '\n' ? NULL : &bad_trailer;
    case TRAILER_END_LF:
        c->state = CHUNKS_OVER;
        return b == '\n' ? NULL : &bad_trailer;
    case CHUNK_DATA:
    case CHUNKS_OVER:
        break;
    }
    return &bad_chunk;
}

enum guard_verdict guard_chunks(struct guard_chunks *c, const uint8_t *data, size_t size_bytes,
                                uint64_t body_bytes_max, size_t *ret_used,
                                const struct guard_fault **ret_fault)
{
    size_t i = 0;
    while (i < size_bytes && c->state != CHUNKS_OVER) {
        if (c->state == CHUNK_DATA) {
            size_t step = size_bytes - i < c->left ? size_bytes - i : (size_t)c->left;
            i += step;
            c->left -= step;
            if (c->left == 0) c->state = CHUNK_DATA_CR;
            continue;
        }
        const struct guard_fault *fault = chunk_byte(c, data[i++], body_bytes_max);
        if (fault != NULL) return bad(ret_fault, fault);
    }
    *ret_used = i;
    return c->state == CHUNKS_OVER ? GUARD_OK : GUARD_MORE;
}
