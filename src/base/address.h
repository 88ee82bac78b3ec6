/* src/base/address.h - Internet addresses and networks as text, and who counts as one client.
 * Thread: any; nothing here has state or allocates. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

/* IPv6, or IPv4 as ::ffff:a.b.c.d: one form for both, however it came. */
struct ior_address {
    uint8_t bytes[16];
};

/* "192.0.2.1", "2001:db8::1": nothing around it, no zone, no port. INVAL: *ret is untouched. */
IOR_MUST_CHECK enum ior_err ior_address_parse(struct ior_slice text, struct ior_address *ret);
/* As it is usually written; IPv4 as a.b.c.d. */
#define ADDRESS_TEXT_BYTES 46
void ior_address_text(const struct ior_address *a, char ret[ADDRESS_TEXT_BYTES]);
static inline bool ior_address_eq(const struct ior_address *a, const struct ior_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
bool ior_address_is_v4(const struct ior_address *a);
/* 127.0.0.0/8, ::1 */
bool ior_address_is_loopback(const struct ior_address *a);
/* What limits count as one client: an IPv4 address, the first 64 bits of an IPv6 one (whoever has
 * one of these has all behind it). The bytes stand as long as *a. */
struct ior_slice ior_address_client(const struct ior_address *a);

struct ior_network {
    struct ior_address address;
    unsigned bits; /* 0..128 of it */
};
struct ior_networks {
    struct ior_network items[NETWORKS_MAX];
    size_t count;
};
/* "127.0.0.1, 10.0.0.0/8 ::1": addresses and networks, with commas or blanks between them; empty:
 * none. INVAL: *ret is untouched and *ret_problem (may be NULL) says what is wrong in a few words.
 */
IOR_MUST_CHECK enum ior_err ior_networks_parse(struct ior_slice text, struct ior_networks *ret,
                                               const char **ret_problem);
bool ior_networks_have(const struct ior_networks *n, const struct ior_address *a);
