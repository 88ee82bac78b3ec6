/* proto/http/addresses.h - how many connections each address has, over all workers, so that one
 * client cannot take all of them.
 * Thread: any (a mutex; one visit a connection). */
#pragma once

#include <sys/socket.h>

#include "base/err.h"

/* An IPv4 address, or the first 64 bits of an IPv6 one: whoever has one of those has them all. */
struct address_key {
    unsigned char bytes[16];
};

/* False: no limit applies to it: loopback, or no IP address. */
bool address_key_of(const struct sockaddr *sa, struct address_key *ret);

struct addresses;
/* max: connections of one address, 1.. NOMEM. */
IOR_MUST_CHECK enum ior_err addresses_new(unsigned max, struct addresses **ret);
void addresses_free(struct addresses *a); /* NULL too */
/* One connection more. False: it has as many as it may, or there is no memory. */
bool addresses_enter(struct addresses *a, const struct address_key *key);
/* One that entered is gone. */
void addresses_leave(struct addresses *a, const struct address_key *key);
