/* test/fuzz/target_forwarded.c - any bytes as lines of X-Forwarded-For and Forwarded: the first
 * byte says which, a byte 0x0a begins the next line. Checked: the client is the peer, or an address
 * that is written in the header; whoever writes in front cannot change what a believed proxy adds
 * in a line of its own; without belief the peer is the client; a list of networks is parsed or
 * refused. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/assert.h"
#include "proto/http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static const struct ior_address peer = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};

static void add_lines(struct forwarded_hops *hops, enum forwarded_header header,
                      struct ior_slice text)
{
    size_t start = 0;
    for (size_t i = 0; i <= text.size_bytes; i++) {
        if (i < text.size_bytes && text.data[i] != '\n') continue;
        /* A block of its own, so that reading beyond it is seen. */
        uint8_t *line = malloc(i - start + (i == start));
        IOR_ASSERT(line != NULL);
        if (i > start) memcpy(line, text.data + start, i - start);
        forwarded_add(hops, header, ior_slice(line, i - start));
        free(line);
        start = i + 1;
    }
}

static void check_networks(struct ior_slice text)
{
    struct ior_networks n = {.count = 0};
    const char *problem = NULL;
    if (ior_networks_parse(text, &n, &problem) != IOR_OK) {
        IOR_ASSERT(problem != NULL && n.count == 0);
        return;
    }
    IOR_ASSERT(n.count <= NETWORKS_MAX);
    for (size_t i = 0; i < n.count; i++) {
        IOR_ASSERT(n.items[i].bits <= 128);
        IOR_ASSERT(ior_networks_have(&n, &n.items[i].address));
    }
}

static void check_round_trip(struct ior_slice text)
{
    struct ior_address a;
    struct ior_address b;
    char shown[INET6_ADDRSTRLEN];
    if (ior_address_parse(text, &a) != IOR_OK) return;
    IOR_ASSERT(inet_ntop(AF_INET6, a.bytes, shown, sizeof shown) != NULL);
    enum ior_err err = ior_address_parse(ior_slice_str(shown), &b);
    IOR_ASSERT(err == IOR_OK && ior_address_eq(&a, &b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct ior_networks all;
    struct ior_networks none = {.count = 0};
    struct ior_networks proxies;
    struct forwarded_hops hops;
    if (size_bytes == 0) return 0;
    enum forwarded_header header = data[0] % 2 == 0 ? FORWARDED_X_FORWARDED_FOR : FORWARDED_RFC7239;
    struct ior_slice text = ior_slice(data + 1, size_bytes - 1);
    enum ior_err err = ior_networks_parse(IOR_SLICE("::/0"), &all, NULL);
    if (err == IOR_OK) err = ior_networks_parse(IOR_SLICE("127.0.0.1 10.0.0.0/8"), &proxies, NULL);
    IOR_ASSERT(err == IOR_OK);
    forwarded_init(&hops);
    add_lines(&hops, header, text);
    struct ior_address got = forwarded_client(&none, &peer, &hops);
    IOR_ASSERT(ior_address_eq(&got, &peer));
    (void)forwarded_client(&all, &peer, &hops);
    got = forwarded_client(&proxies, &peer, &hops);
    if (hops.count == 0) IOR_ASSERT(ior_address_eq(&got, &peer));
    add_lines(&hops, header,
              header == FORWARDED_RFC7239 ? IOR_SLICE("for=\"[2001:db8::7]:1\";by=10.0.0.1")
                                          : IOR_SLICE("2001:db8::7, 10.0.0.1"));
    got = forwarded_client(&proxies, &peer, &hops);
    struct ior_address wanted;
    err = ior_address_parse(IOR_SLICE("2001:db8::7"), &wanted);
    IOR_ASSERT(err == IOR_OK && ior_address_eq(&got, &wanted));
    check_networks(text);
    check_round_trip(text);
    return 0;
}
