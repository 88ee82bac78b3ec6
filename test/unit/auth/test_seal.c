/* test/unit/auth/test_seal.c - MACs over what is handed out; base64url. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/seal.h"

static struct token_key key_of(const char *secret)
{
    struct token_key k;
    struct ior_why why;
    assert_int_equal(token_key_init(&k, "hs512", ior_slice_str(secret), &why), IOR_OK);
    return k;
}

/* What: the right key, purpose and bytes, and nothing else, open it. */
static void sealed(void **state)
{
    (void)state;
    const struct token_key k = key_of("0123456789abcdef");
    const struct token_key other = key_of("0123456789abcdeF");
    uint8_t mac[SEAL_BYTES];
    seal_make(&k, "some purpose", IOR_SLICE("data"), mac);
    assert_true(seal_check(&k, "some purpose", IOR_SLICE("data"), mac));
    assert_false(seal_check(&other, "some purpose", IOR_SLICE("data"), mac));
    assert_false(seal_check(&k, "some purposes", IOR_SLICE("data"), mac));
    assert_false(seal_check(&k, "some purpose", IOR_SLICE("dat"), mac));
    assert_false(seal_check(&k, "some purpose", IOR_SLICE(""), mac));
    for (size_t i = 0; i < 8 * SEAL_BYTES; i++) {
        mac[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_false(seal_check(&k, "some purpose", IOR_SLICE("data"), mac));
        mac[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

/* What: the MAC is the one that was fixed (other versions and other nodes have to agree):
 * HMAC-SHA-512 under the first 32 bytes of HMAC-SHA-512(secret, purpose), 16 bytes of it. */
static void known_answer(void **state)
{
    (void)state;
    static const uint8_t want[SEAL_BYTES] = {0x84, 0x0d, 0xa1, 0xef, 0x58, 0x84, 0x94, 0xfd,
                                             0x39, 0x44, 0x93, 0x5e, 0xdc, 0x91, 0x76, 0xa6};
    const struct token_key k = key_of("0123456789abcdef");
    uint8_t mac[SEAL_BYTES];
    seal_make(&k, "some purpose", IOR_SLICE("data"), mac);
    assert_memory_equal(mac, want, SEAL_BYTES);
}

/* What: what was sealed under the key of before opens, too; what is sealed now is not by it. */
static void previous_key(void **state)
{
    (void)state;
    const struct token_key old = key_of("0123456789abcdef");
    struct token_key now = key_of("fedcba9876543210");
    uint8_t mac[SEAL_BYTES];
    uint8_t mac_now[SEAL_BYTES];
    seal_make(&old, "some purpose", IOR_SLICE("data"), mac);
    assert_false(seal_check(&now, "some purpose", IOR_SLICE("data"), mac));
    assert_int_equal(token_key_set_previous(&now, IOR_SLICE("0123456789abcdef"), NULL), IOR_OK);
    assert_true(seal_check(&now, "some purpose", IOR_SLICE("data"), mac));
    assert_false(seal_check(&now, "another purpose", IOR_SLICE("data"), mac));
    seal_make(&now, "some purpose", IOR_SLICE("data"), mac_now);
    assert_memory_not_equal(mac, mac_now, SEAL_BYTES);
    assert_true(seal_check(&now, "some purpose", IOR_SLICE("data"), mac_now));
}

/* What: base64url without padding there and back, 0 to 768 bytes. */
static void text(void **state)
{
    (void)state;
    uint8_t bytes[768];
    uint8_t back[768];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 251);
    for (size_t n = 0; n <= sizeof bytes; n += n < 8 ? 1 : 95) {
        struct ior_buf out;
        size_t got = 77;
        ior_buf_init(&out);
        seal_to_text(ior_slice(bytes, n), &out);
        assert_int_equal(out.size_bytes, (n * 4 + 2) / 3);
        assert_true(seal_from_text(ior_buf_slice(&out), back, sizeof back, &got));
        assert_int_equal(got, n);
        assert_memory_equal(back, bytes, n);
        if (n > 0) assert_false(seal_from_text(ior_buf_slice(&out), back, n - 1, &got));
        ior_buf_done(&out);
    }
}

/* What: what is no base64url is refused: padding, the other alphabet, spare bits, blanks. */
static void bad_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"A", "AB=", "AB==", "+A", "/A", "A A", "AB\n", "QR", "AAAAA"};
    for (size_t i = 0; i < IOR_LEN(bad); i++) {
        uint8_t out[16];
        size_t n = 77;
        if (seal_from_text(ior_slice_str(bad[i]), out, sizeof out, &n)) fail_msg("%s", bad[i]);
        assert_int_equal(n, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sealed), cmocka_unit_test(previous_key),
                                       cmocka_unit_test(known_answer), cmocka_unit_test(text),
                                       cmocka_unit_test(bad_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
