/* src/base/base64.c - ior_base64, declared in json.h, by OpenSSL's encoder.
 * Thread: any. Happy path: pieces whose size is a multiple of three, so that
 * their encodings join without padding between them. The only failure is
 * memory, which is sticky in the buffer. */
#include <openssl/evp.h>

#include "base/assert.h"
#include "base/json.h"

/* EVP_EncodeBlock counts in int; a piece of this size is far from its end. */
enum { PIECE_BYTES = 3 << 22 };

IOR_STATIC_ASSERT(PIECE_BYTES % 3 == 0, "pieces join without padding");

void ior_base64(struct ior_buf *out, struct ior_slice s)
{
    for (size_t done = 0; done < s.size_bytes;) {
        const size_t left = s.size_bytes - done;
        const size_t take = left < PIECE_BYTES ? left : PIECE_BYTES;
        const size_t coded = (take + 2) / 3 * 4;
        uint8_t *at = ior_buf_room(out, coded + 1); /* OpenSSL adds a NUL */
        if (at == NULL) return;
        const int n = EVP_EncodeBlock(at, s.data + done, (int)take);
        IOR_ASSERT(n >= 0 && (size_t)n == coded);
        ior_buf_grew(out, coded);
        done += take;
    }
}
