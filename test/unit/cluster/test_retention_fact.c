/* test/unit/cluster/test_retention_fact.c - facts about retention: keys there and back, damage
 * named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/retention_fact.h"

static void expect_key(struct ior_slice bucket, struct ior_slice stream, const char *wanted)
{
    struct ior_buf key;
    ior_buf_init(&key);
    retention_fact_key(&key, bucket, stream);
    assert_false(ior_buf_failed(&key));
    if (wanted != NULL) assert_true(ior_slice_eq(ior_buf_slice(&key), ior_slice_str(wanted)));
    assert_true(retention_fact_is(ior_buf_slice(&key)));
    struct fact f = {ior_buf_slice(&key), IOR_SLICE("{\"max_events\":3}")};
    struct ior_slice b;
    struct ior_slice s;
    struct retention r;
    struct ior_why why = {""};
    if (retention_fact_read(&f, &b, &s, &r, &why) != IOR_OK) fail_msg("%s", why.text);
    assert_true(ior_slice_eq(b, bucket) && ior_slice_eq(s, stream));
    assert_true(r.max_events == 3 && r.max_bytes == RETENTION_UNSET);
    ior_buf_done(&key);
}

/* What: every pair of names gives a key of its own, which gives the names back. */
static void names_there_and_back(void **state)
{
    (void)state;
    static uint8_t longest[STREAM_BYTES_MAX];
    memset(longest, 'x', sizeof longest);
    struct ior_slice none = IOR_SLICE("");
    expect_key(IOR_SLICE("b"), none, "retention" FACT_SEP "b");
    expect_key(IOR_SLICE("b"), IOR_SLICE("s"), "retention" FACT_SEP "b" FACT_SEP "s");
    expect_key(IOR_SLICE("a|b"), IOR_SLICE("c/d|*"), "retention" FACT_SEP "a|b" FACT_SEP "c/d|*");
    expect_key(IOR_SLICE("$sys"), IOR_SLICE("\xc3\xa4 \xe2\x82\xac"), NULL);
    expect_key(ior_slice(longest, BUCKET_BYTES_MAX), ior_slice(longest, STREAM_BYTES_MAX), NULL);
    assert_true(retention_fact_is(IOR_SLICE("retention")));
    assert_false(retention_fact_is(IOR_SLICE("retentions" FACT_SEP "b")));
    assert_false(retention_fact_is(IOR_SLICE("user" FACT_SEP "retention")));
    assert_false(retention_fact_is(none));
}

/* What: what cannot be read is named with its key; a field of a later version is no damage. */
static void damage_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *value;
        enum ior_err err;
        const char *says;
    } cases[] = {
        {"retention", "{}", IOR_E_CORRUPT, "fact retention: the key"},
        {"retention|", "{}", IOR_E_CORRUPT, "fact retention/: "},
        {"retention||s", "{}", IOR_E_CORRUPT, "fact retention//s: a name is empty"},
        {"retention|b|", "{}", IOR_E_CORRUPT, "a name is empty"},
        {"retention|b|s|x", "{}", IOR_E_CORRUPT, "control characters"},
        {"retention|b\n", "{}", IOR_E_CORRUPT, "fact retention/b?: "},
        {"retention|b", "", IOR_E_CORRUPT, "fact retention/b: the value is not a JSON object"},
        {"retention|b", "[]", IOR_E_CORRUPT, "not a JSON object"},
        {"retention|b", "{\"max_events\":0}", IOR_E_CORRUPT,
         "fact retention/b: \"max_events\": It must be"},
        {"retention|b|s", "{\"max_total_bytes\":1}", IOR_E_CORRUPT, "fact retention/b/s: \"max_t"},
        {"retention|b", "{\"max_idle\":1}", IOR_E_VERSION, "fact retention/b: \"max_idle\": There"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char key[64];
        size_t n = strlen(cases[i].key);
        for (size_t k = 0; k < n; k++)
            key[k] = cases[i].key[k] == '|' ? FACT_SEP[0] : cases[i].key[k];
        struct fact f = {ior_slice(key, n), ior_slice_str(cases[i].value)};
        struct ior_slice b = {NULL, 0};
        struct ior_slice s = {NULL, 0};
        struct retention r = {0};
        struct ior_why why = {""};
        enum ior_err err = retention_fact_read(&f, &b, &s, &r, &why);
        if (err != cases[i].err || strstr(why.text, cases[i].says) == NULL)
            fail_msg("%s %s: %s", cases[i].key, cases[i].value, why.text);
        assert_true(b.data == NULL && s.data == NULL);
    }
    uint8_t longer[300];
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "retention" FACT_SEP, 10);
    struct ior_slice b;
    struct ior_slice s;
    struct ior_why why = {""};
    assert_int_equal(retention_fact_names(ior_slice(longer, 10 + BUCKET_BYTES_MAX), &b, &s, &why),
                     IOR_OK);
    assert_int_equal(retention_fact_names(ior_slice(longer, 11 + BUCKET_BYTES_MAX), &b, &s, &why),
                     IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "xxx...: a name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_there_and_back),
        cmocka_unit_test(damage_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
