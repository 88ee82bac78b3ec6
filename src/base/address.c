/* src/base/address.c - see address.h.
 * Happy path: inet_pton() reads one address; a network is an address and a number of bits, and
 * the bits behind these are zeros.
 * Failure modes: everything else is INVAL, in words for a person where a person wrote it. */
#include "base/address.h"

#include <arpa/inet.h>

#include "base/assert.h"

enum { V4_BITS = 32, V4_FIRST = 12, CLIENT_V6_BYTES = 8 };

static const uint8_t v4_prefix[V4_FIRST] = {[10] = 0xff, [11] = 0xff};

enum ior_err ior_address_parse(struct ior_slice text, struct ior_address *ret)
{
    char copy[INET6_ADDRSTRLEN];
    struct ior_address a;
    if (text.size_bytes == 0 || text.size_bytes >= sizeof copy) return IOR_E_INVAL;
    memcpy(copy, text.data, text.size_bytes);
    copy[text.size_bytes] = 0;
    if (strlen(copy) != text.size_bytes) return IOR_E_INVAL; /* a NUL inside */
    memcpy(a.bytes, v4_prefix, sizeof v4_prefix);
    if (inet_pton(AF_INET, copy, a.bytes + V4_FIRST) != 1 &&
        inet_pton(AF_INET6, copy, a.bytes) != 1)
        return IOR_E_INVAL;
    *ret = a;
    return IOR_OK;
}

void ior_address_text(const struct ior_address *a, char ret[ADDRESS_TEXT_BYTES])
{
    IOR_STATIC_ASSERT(ADDRESS_TEXT_BYTES >= INET6_ADDRSTRLEN, "the longest fits");
    bool v4 = ior_address_is_v4(a);
    const char *text = inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->bytes + V4_FIRST : a->bytes, ret,
                                 ADDRESS_TEXT_BYTES);
    IOR_ASSERT(text != NULL);
}

bool ior_address_is_v4(const struct ior_address *a)
{
    return memcmp(a->bytes, v4_prefix, sizeof v4_prefix) == 0;
}

bool ior_address_is_loopback(const struct ior_address *a)
{
    static const struct ior_address v6 = {{[15] = 1}};
    return ior_address_is_v4(a) ? a->bytes[V4_FIRST] == 127 : ior_address_eq(a, &v6);
}

struct ior_slice ior_address_client(const struct ior_address *a)
{
    return ior_slice(a->bytes, ior_address_is_v4(a) ? sizeof a->bytes : CLIENT_V6_BYTES);
}

/* ---- networks ---- */

static enum ior_err problem(const char **ret_problem, const char *what)
{
    if (ret_problem != NULL) *ret_problem = what;
    return IOR_E_INVAL;
}

static bool bit_at(const struct ior_address *a, unsigned i)
{
    return (a->bytes[i / 8] >> (7 - i % 8) & 1) != 0;
}

/* The number behind the slash: 1 to 3 digits, no more than `max`. */
static bool parse_bits(struct ior_slice text, unsigned max, unsigned *ret)
{
    unsigned v = 0;
    if (text.size_bytes == 0 || text.size_bytes > 3) return false;
    for (size_t i = 0; i < text.size_bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        v = v * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret = v;
    return v <= max;
}

static enum ior_err parse_network(struct ior_slice text, struct ior_network *ret,
                                  const char **ret_problem)
{
    const uint8_t *slash = memchr(text.data, '/', text.size_bytes);
    size_t address_bytes = slash == NULL ? text.size_bytes : (size_t)(slash - text.data);
    if (ior_address_parse(ior_slice(text.data, address_bytes), &ret->address) != IOR_OK)
        return problem(ret_problem, "not an address, nor a network");
    unsigned first = memchr(text.data, ':', address_bytes) == NULL ? 8 * V4_FIRST : 0;
    ret->bits = 8 * sizeof ret->address.bytes;
    if (slash == NULL) return IOR_OK;
    struct ior_slice bits = ior_slice(slash + 1, text.size_bytes - address_bytes - 1);
    if (!parse_bits(bits, ret->bits - first, &ret->bits))
        return problem(ret_problem, "not a number of bits behind the /");
    ret->bits += first;
    for (unsigned i = ret->bits; i < 8 * sizeof ret->address.bytes; i++) {
        if (bit_at(&ret->address, i))
            return problem(ret_problem, "the address of a network has bits behind its prefix");
    }
    return IOR_OK;
}

static bool is_separator(uint8_t c)
{
    return c == ' ' || c == '\t' || c == ',';
}

enum ior_err ior_networks_parse(struct ior_slice text, struct ior_networks *ret,
                                const char **ret_problem)
{
    struct ior_networks n = {.count = 0};
    size_t at = 0;
    while (at < text.size_bytes) {
        size_t end = at;
        while (end < text.size_bytes && !is_separator(text.data[end])) end++;
        if (end > at) {
            if (n.count == NETWORKS_MAX) return problem(ret_problem, "too many addresses");
            enum ior_err err =
                parse_network(ior_slice(text.data + at, end - at), &n.items[n.count], ret_problem);
            if (err != IOR_OK) return err;
            n.count++;
        }
        at = end + 1;
    }
    *ret = n;
    return IOR_OK;
}

static bool has(const struct ior_network *n, const struct ior_address *a)
{
    unsigned whole = n->bits / 8;
    unsigned rest = n->bits % 8;
    if (memcmp(n->address.bytes, a->bytes, whole) != 0) return false;
    return rest == 0 || (n->address.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0;
}

bool ior_networks_have(const struct ior_networks *n, const struct ior_address *a)
{
    for (size_t i = 0; i < n->count; i++) {
        if (has(&n->items[i], a)) return true;
    }
    return false;
}
