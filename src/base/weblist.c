/* src/base/weblist.c - see weblist.h. An origin is what a browser sends in the header Origin:
 * scheme://host or scheme://host:port, without a path and without the scheme's own port
 * (RFC 6454 section 6). What a browser never sends can never match, so it is refused when the
 * configuration is read, with words that say why. */
#include "base/weblist.h"

#include <strings.h>

static bool is_gap(uint8_t b)
{
    return b == ',' || b == ' ' || b == '\t';
}

/* Cut the next item off the list. False: there is none. */
static bool next_item(struct ior_slice *list, struct ior_slice *ret)
{
    size_t from = 0;
    while (from < list->size_bytes && is_gap(list->data[from])) from++;
    if (from == list->size_bytes) return false;
    size_t to = from;
    while (to < list->size_bytes && !is_gap(list->data[to])) to++;
    *ret = ior_slice(list->data + from, to - from);
    *list = ior_slice(list->data + to, list->size_bytes - to);
    return true;
}

static bool is_alpha(uint8_t b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z');
}

static bool is_digit(uint8_t b)
{
    return b >= '0' && b <= '9';
}

static bool same(struct ior_slice a, struct ior_slice b)
{
    return a.size_bytes == b.size_bytes &&
           strncasecmp((const char *)a.data, (const char *)b.data, a.size_bytes) == 0;
}

/* ---- origins ---- */

static size_t scheme_bytes(struct ior_slice s)
{
    size_t n = 0;
    while (n < s.size_bytes &&
           (is_alpha(s.data[n]) || (n > 0 && (is_digit(s.data[n]) || s.data[n] == '+' ||
                                              s.data[n] == '-' || s.data[n] == '.'))))
        n++;
    return n;
}

/* Of host[:port]. */
static size_t host_bytes(struct ior_slice s)
{
    size_t n = 0;
    if (s.size_bytes > 0 && s.data[0] == '[') {
        const uint8_t *end = memchr(s.data, ']', s.size_bytes);
        return end == NULL || end == s.data + 1 ? 0 : (size_t)(end - s.data) + 1;
    }
    while (n < s.size_bytes && (is_alpha(s.data[n]) || is_digit(s.data[n]) || s.data[n] == '.' ||
                                s.data[n] == '-' || s.data[n] == '_'))
        n++;
    return n;
}

/* text begins with ':'. */
static const char *port_problem(struct ior_slice scheme, struct ior_slice text)
{
    unsigned port = 0;
    for (size_t i = 1; i < text.size_bytes; i++) {
        if (!is_digit(text.data[i]) || i > 5) return "an origin whose port is no number";
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    if (port == 0 || port > 65535) return "an origin whose port is not between 1 and 65535";
    if ((port == 80 && same(scheme, IOR_SLICE("http"))) ||
        (port == 443 && same(scheme, IOR_SLICE("https"))))
        return "an origin with the usual port of its scheme: browsers leave it out, so do it too";
    return NULL;
}

static const char *origin_problem(struct ior_slice o)
{
    static const struct ior_slice mark = IOR_SLICE("://");
    size_t n = scheme_bytes(o);
    struct ior_slice rest = ior_slice(o.data + n, o.size_bytes - n);
    if (n == 0 || !ior_slice_starts(rest, mark))
        return "an origin that does not begin with its scheme (https://)";
    struct ior_slice scheme = ior_slice(o.data, n);
    rest = ior_slice(rest.data + mark.size_bytes, rest.size_bytes - mark.size_bytes);
    size_t host = host_bytes(rest);
    if (host == 0) return "an origin without a host";
    rest = ior_slice(rest.data + host, rest.size_bytes - host);
    if (rest.size_bytes == 0) return NULL;
    if (rest.data[0] == '/') return "an origin has no path, and no / at its end";
    if (rest.data[0] != ':') return "an origin with a character that no host has";
    return port_problem(scheme, rest);
}

const char *weblist_origins_problem(struct ior_slice list)
{
    struct ior_slice item;
    bool star = false;
    size_t count = 0;
    for (; next_item(&list, &item); count++) {
        if (ior_slice_eq(item, IOR_SLICE("*"))) {
            star = true;
            continue;
        }
        const char *problem = origin_problem(item);
        if (problem != NULL) return problem;
    }
    if (count == 0) return "no origin";
    return star && count > 1 ? "* beside origins: it allows all of them already" : NULL;
}

bool weblist_is_star(struct ior_slice list)
{
    struct ior_slice item;
    return next_item(&list, &item) && ior_slice_eq(item, IOR_SLICE("*"));
}

bool weblist_origins_allow(struct ior_slice list, struct ior_slice origin)
{
    struct ior_slice item;
    if (weblist_is_star(list)) return true;
    while (next_item(&list, &item)) {
        if (same(item, origin)) return true;
    }
    return false;
}

/* ---- names of headers ---- */

/* tchar of RFC 9110 section 5.6.2 */
static bool is_token_byte(uint8_t b)
{
    return is_alpha(b) || is_digit(b) || (b != 0 && strchr("!#$%&'*+-.^_`|~", b) != NULL);
}

const char *weblist_headers_problem(struct ior_slice list)
{
    struct ior_slice item;
    while (next_item(&list, &item)) {
        for (size_t i = 0; i < item.size_bytes; i++) {
            if (!is_token_byte(item.data[i])) return "a character that no header name has";
        }
    }
    return NULL;
}

void weblist_headers_add(struct ior_buf *out, struct ior_slice list)
{
    struct ior_slice item;
    while (next_item(&list, &item)) {
        ior_buf_add_str(out, ", ");
        ior_buf_add_slice(out, item);
    }
}
