/* proto/http/forwarded.h - who the client is, when proxies stand in between: X-Forwarded-For, or
 * Forwarded (RFC 7239). Each proxy adds at the end whom it was asked by; so the header is read from
 * its end, as long as it was written by somebody who is believed. What stands in front of that may
 * be the client's own invention.
 * Pure. Thread: any. */
#pragma once

#include "base/address.h"

enum forwarded_header { FORWARDED_X_FORWARDED_FOR, FORWARDED_RFC7239 };

struct forwarded {
    struct ior_networks proxies; /* who is believed */
    enum forwarded_header header;
};

/* The hops of one header, gathered from its lines in their order; the last FORWARDED_HOPS_MAX. */
struct forwarded_hops {
    struct {
        bool known; /* else it is no address: "unknown", "_hidden", or nonsense */
        struct ior_address address;
    } hops[FORWARDED_HOPS_MAX];
    size_t count; /* all that were there */
};

void forwarded_init(struct forwarded_hops *h);
/* One line's value. A Forwarded that is no such list is one hop that is not known. */
void forwarded_add(struct forwarded_hops *h, enum forwarded_header header, struct ior_slice value);
/* From the peer and the hops: the first one from the end who is not believed; if the one before him
 * is not known, who was asked by him; if all are believed, the first one. */
struct ior_address forwarded_client(const struct ior_networks *proxies,
                                    const struct ior_address *peer, const struct forwarded_hops *h);
