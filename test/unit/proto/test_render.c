/* test/unit/proto/test_render.c - events as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "proto/http/render.h"

static void expect(struct event_out e, bool one_line, const char *want)
{
    struct ior_buf out;
    ior_buf_init(&out);
    render_event(&out, &e, one_line);
    assert_int_equal(ior_json_check(ior_buf_slice(&out), 64, NULL), IOR_OK);
    ior_buf_add_char(&out, 0);
    assert_string_equal((const char *)out.data, want);
    ior_buf_done(&out);
}

static struct event_out event_of(struct ior_slice payload, bool json)
{
    return (struct event_out){.payload = payload, .id = 7, .time_ms = 1700000000123, .json = json};
}

/* What: a JSON event is its id, its time and the stored text byte for byte, blanks and all. */
static void json_events_keep_their_bytes(void **state)
{
    (void)state;
    expect(event_of(IOR_SLICE("{\"a\" : 1.0}"), true), false,
           "{\"meta\":{\"id\":7,\"t\":1700000000123},\"data\":{\"a\" : 1.0}}");
    expect(event_of(IOR_SLICE("null"), true), false,
           "{\"meta\":{\"id\":7,\"t\":1700000000123},\"data\":null}");
    expect(event_of(IOR_SLICE("[1,\n 2]"), true), false,
           "{\"meta\":{\"id\":7,\"t\":1700000000123},\"data\":[1,\n 2]}");
}

/* What: on one line the line breaks between tokens become blanks, and nothing else changes. */
static void one_line_has_no_breaks(void **state)
{
    (void)state;
    expect(event_of(IOR_SLICE("[1,\r\n \"a\\nb\"\n]"), true), true,
           "{\"meta\":{\"id\":7,\"t\":1700000000123},\"data\":[1,   \"a\\nb\" ]}");
}

/* What: a binary event says enc=base64 and is base64, on one line too, and also when it is empty.
 */
static void binary_events_are_base64(void **state)
{
    (void)state;
    for (int one_line = 0; one_line < 2; one_line++) {
        expect(
            event_of(IOR_SLICE("\0\xff\n\""), false), one_line != 0,
            "{\"meta\":{\"id\":7,\"t\":1700000000123,\"enc\":\"base64\"},\"data\":\"AP8KIg==\"}");
        expect(event_of(IOR_SLICE(""), false), one_line != 0,
               "{\"meta\":{\"id\":7,\"t\":1700000000123,\"enc\":\"base64\"},\"data\":\"\"}");
    }
}

/* What: the greatest numbers come out whole. */
static void great_numbers_are_whole(void **state)
{
    (void)state;
    struct event_out e = event_of(IOR_SLICE("1"), true);
    e.id = e.time_ms = UINT64_MAX;
    expect(e, false,
           "{\"meta\":{\"id\":18446744073709551615,\"t\":18446744073709551615},\"data\":1}");
}

/* What: with a place the names stand in meta, before the enc of a binary event; and no event is
 * longer than was said before. */
static void events_with_their_place(void **state)
{
    (void)state;
    const struct ior_slice place = IOR_SLICE(",\"bucket\":\"b\",\"stream\":\"s\"");
    static const struct {
        struct ior_slice payload;
        bool json;
        const char *want;
    } cases[] = {
        {IOR_SLICE("[1]"), true,
         "{\"meta\":{\"id\":7,\"t\":1700000000123,\"bucket\":\"b\",\"stream\":\"s\"},\"data\":[1]"
         "}"},
        {IOR_SLICE("ab"), false,
         "{\"meta\":{\"id\":7,\"t\":1700000000123,\"bucket\":\"b\",\"stream\":\"s\",\"enc\":"
         "\"base64\"},"
         "\"data\":\"YWI=\"}"},
    };
    for (size_t i = 0; i < IOR_LEN(cases); i++) {
        struct event_out e = event_of(cases[i].payload, cases[i].json);
        struct ior_buf out;
        ior_buf_init(&out);
        render_event_at(&out, &e, false, place);
        assert_true(ior_slice_eq(ior_buf_slice(&out), ior_slice_str(cases[i].want)));
        assert_true(out.size_bytes <= render_event_bytes_max(&e, place));
        ior_buf_clear(&out);
        e.id = e.time_ms = UINT64_MAX;
        render_event_at(&out, &e, false, place);
        assert_true(out.size_bytes <= render_event_bytes_max(&e, place));
        ior_buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_events_keep_their_bytes), cmocka_unit_test(one_line_has_no_breaks),
        cmocka_unit_test(binary_events_are_base64),     cmocka_unit_test(great_numbers_are_whole),
        cmocka_unit_test(events_with_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
