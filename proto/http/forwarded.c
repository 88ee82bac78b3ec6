/* proto/http/forwarded.c - see forwarded.h.
 * Happy path: the elements between the commas, of each the address, without a port and brackets.
 * Failure modes: what is no address ends the way back, so a header that a client has spoilt can
 * only make him count as the last proxy in front of us. A quote that is not closed swallows
 * what the proxies behind it have written: then the whole line is one unknown hop. */
#include "proto/http/forwarded.h"

#include <strings.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct ior_slice trim(struct ior_slice s)
{
    while (s.size_bytes > 0 && is_blank(s.data[0])) {
        s.data++;
        s.size_bytes--;
    }
    while (s.size_bytes > 0 && is_blank(s.data[s.size_bytes - 1])) s.size_bytes--;
    return s;
}

/* ---- one address ---- */

/* ":1" to ":65535", or nothing; also the obfuscated ports of RFC 7239, "_" and more. */
static bool port_ok(struct ior_slice s)
{
    uint32_t port = 0;
    if (s.size_bytes == 0) return true;
    if (s.size_bytes < 2 || s.data[0] != ':') return false;
    if (s.data[1] == '_') return s.size_bytes > 2;
    if (s.size_bytes > 6) return false;
    for (size_t i = 1; i < s.size_bytes; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return false;
        port = port * 10 + (uint32_t)(s.data[i] - '0');
    }
    return port <= 65535;
}

/* 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80 */
static bool parse_node(struct ior_slice s, struct ior_address *ret)
{
    if (ior_address_parse(s, ret) == IOR_OK) return true;
    if (s.size_bytes > 0 && s.data[0] == '[') {
        const uint8_t *end = memchr(s.data, ']', s.size_bytes);
        if (end == NULL) return false;
        struct ior_slice inside = ior_slice(s.data + 1, (size_t)(end - s.data) - 1);
        struct ior_slice port = ior_slice(end + 1, s.size_bytes - inside.size_bytes - 2);
        return memchr(inside.data, ':', inside.size_bytes) != NULL && port_ok(port) &&
               ior_address_parse(inside, ret) == IOR_OK;
    }
    const uint8_t *colon = s.size_bytes == 0 ? NULL : memchr(s.data, ':', s.size_bytes);
    if (colon == NULL) return false;
    struct ior_slice address = ior_slice(s.data, (size_t)(colon - s.data));
    return port_ok(ior_slice(colon, s.size_bytes - address.size_bytes)) &&
           ior_address_parse(address, ret) == IOR_OK && ior_address_is_v4(ret);
}

/* ---- the hops ---- */

void forwarded_init(struct forwarded_hops *h)
{
    h->count = 0;
}

static void add_hop(struct forwarded_hops *h, struct ior_slice node)
{
    size_t at = h->count++ % FORWARDED_HOPS_MAX;
    h->hops[at].known = parse_node(node, &h->hops[at].address);
}

static void add_x_forwarded_for(struct forwarded_hops *h, struct ior_slice value)
{
    size_t start = 0;
    for (size_t i = 0; i <= value.size_bytes; i++) {
        if (i < value.size_bytes && value.data[i] != ',') continue;
        struct ior_slice one = trim(ior_slice(value.data + start, i - start));
        if (one.size_bytes > 0) add_hop(h, one); /* empty members of a list count for nothing */
        start = i + 1;
    }
}

static bool is_token_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Where we are in a Forwarded. */
struct reader {
    struct ior_slice s;
    size_t at;
};

static void skip_blanks(struct reader *r)
{
    while (r->at < r->s.size_bytes && is_blank(r->s.data[r->at])) r->at++;
}

static bool take_char(struct reader *r, uint8_t c)
{
    if (r->at == r->s.size_bytes || r->s.data[r->at] != c) return false;
    r->at++;
    return true;
}

static struct ior_slice take_token(struct reader *r)
{
    size_t start = r->at;
    while (r->at < r->s.size_bytes && is_token_char(r->s.data[r->at])) r->at++;
    return ior_slice(r->s.data + start, r->at - start);
}

/* A token or a quoted string; what is escaped in a string is left so: no address has that. */
static bool take_value(struct reader *r, struct ior_slice *ret)
{
    if (!take_char(r, '"')) {
        *ret = take_token(r);
        return ret->size_bytes > 0;
    }
    size_t start = r->at;
    for (; r->at < r->s.size_bytes && r->s.data[r->at] != '"'; r->at++) {
        if (r->s.data[r->at] == '\\' && ++r->at == r->s.size_bytes) return false;
    }
    *ret = ior_slice(r->s.data + start, r->at - start);
    return take_char(r, '"');
}

/* for=...;by=...;proto=... False: it is none. *ret is empty without a for. */
static bool take_element(struct reader *r, struct ior_slice *ret)
{
    *ret = (struct ior_slice){r->s.data, 0};
    for (;;) {
        struct ior_slice value;
        skip_blanks(r);
        struct ior_slice name = take_token(r);
        if (name.size_bytes > 0) {
            if (!take_char(r, '=') || !take_value(r, &value)) return false;
            bool is_for =
                name.size_bytes == 3 && strncasecmp((const char *)name.data, "for", 3) == 0;
            if (is_for && ret->size_bytes > 0) return false; /* twice */
            if (is_for) *ret = value;
        }
        skip_blanks(r);
        if (!take_char(r, ';')) return true;
    }
}

static bool add_forwarded(struct forwarded_hops *h, struct ior_slice value)
{
    struct reader r = {value, 0};
    for (;;) {
        struct ior_slice node;
        size_t start = r.at;
        if (!take_element(&r, &node)) return false;
        bool empty = trim(ior_slice(value.data + start, r.at - start)).size_bytes == 0;
        if (!empty) add_hop(h, node);
        if (r.at == value.size_bytes) return true;
        if (!take_char(&r, ',')) return false;
    }
}

void forwarded_add(struct forwarded_hops *h, enum forwarded_header header, struct ior_slice value)
{
    if (header == FORWARDED_X_FORWARDED_FOR) {
        add_x_forwarded_for(h, value);
    } else if (!add_forwarded(h, value)) {
        add_hop(h, (struct ior_slice){value.data, 0});
    }
}

struct ior_address forwarded_client(const struct ior_networks *proxies,
                                    const struct ior_address *peer, const struct forwarded_hops *h)
{
    struct ior_address client = *peer;
    size_t kept = h->count < FORWARDED_HOPS_MAX ? h->count : FORWARDED_HOPS_MAX;
    for (size_t i = 1; i <= kept && ior_networks_have(proxies, &client); i++) {
        size_t at = (h->count - i) % FORWARDED_HOPS_MAX;
        if (!h->hops[at].known) break;
        client = h->hops[at].address;
    }
    return client;
}
