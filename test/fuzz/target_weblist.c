/* test/fuzz/target_weblist.c - a list of origins and an origin, cut at the first NUL byte of the
 * input. Checked: a good list allows each of its own items and nothing that is none; a list of
 * header names comes out as such a list again. */
#include "base/assert.h"
#include "base/weblist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static bool is_gap(uint8_t b)
{
    return b == ',' || b == ' ' || b == '\t';
}

static void check_origins(struct ior_slice list, struct ior_slice origin)
{
    if (weblist_origins_problem(list) != NULL) return;
    bool star = weblist_is_star(list);
    size_t items = 0;
    for (size_t i = 0; i < list.size_bytes;) {
        size_t n = 0;
        while (i + n < list.size_bytes && !is_gap(list.data[i + n])) n++;
        if (n > 0) {
            IOR_ASSERT(weblist_origins_allow(list, ior_slice(list.data + i, n)));
            IOR_ASSERT(star == (n == 1 && list.data[i] == '*'));
            items++;
        }
        i += n + 1;
    }
    IOR_ASSERT(items > 0);
    if (!weblist_origins_allow(list, origin)) {
        IOR_ASSERT(!star);
        return;
    }
    for (size_t i = 0; i < origin.size_bytes && !star; i++) IOR_ASSERT(!is_gap(origin.data[i]));
    IOR_ASSERT(star || weblist_origins_problem(origin) == NULL);
}

static void check_headers(struct ior_slice list)
{
    struct ior_buf out;
    if (weblist_headers_problem(list) != NULL) return;
    ior_buf_init(&out);
    weblist_headers_add(&out, list);
    IOR_ASSERT(weblist_headers_problem(ior_buf_slice(&out)) == NULL);
    for (size_t i = 0; i < out.size_bytes; i++)
        IOR_ASSERT(out.data[i] >= 0x20 && out.data[i] < 0x7f);
    ior_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const uint8_t *cut = size_bytes == 0 ? NULL : memchr(data, 0, size_bytes);
    size_t n = cut == NULL ? size_bytes : (size_t)(cut - data);
    struct ior_slice list = ior_slice(data, n);
    struct ior_slice origin = {data, 0};
    if (cut != NULL) origin = ior_slice(cut + 1, size_bytes - n - 1);
    check_origins(list, origin);
    check_headers(list);
    return 0;
}
