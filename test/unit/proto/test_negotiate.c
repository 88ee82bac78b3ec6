/* test/unit/proto/test_negotiate.c - the headers that steer a handler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/http/negotiate.h"

static const struct ior_slice no_header = {NULL, 0};

/* What: the type of a body goes by the media type alone: without case, blanks and parameters. */
static void body_types(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum body_type type;
    } cases[] = {
        {"application/json", BODY_JSON},
        {"Application/JSON", BODY_JSON},
        {"application/json; charset=utf-8", BODY_JSON},
        {"application/json;charset=utf-8", BODY_JSON},
        {" application/json\t; x=\"a;b\"", BODY_JSON},
        {"application/octet-stream", BODY_OCTETS},
        {"application/x-ndjson", BODY_NDJSON},
        {"application/x-ndjson;a", BODY_NDJSON},
        {"", BODY_OTHER},
        {";application/json", BODY_OTHER},
        {"application/jsonx", BODY_OTHER},
        {"application/jso", BODY_OTHER},
        {"application / json", BODY_OTHER},
        {"text/plain", BODY_OTHER},
        {"application/json, text/plain", BODY_OTHER},
        {"application/json-patch+json", BODY_PATCH},
        {"Application/JSON-Patch+JSON ; charset=utf-8", BODY_PATCH},
        {"application/merge-patch+json", BODY_OTHER},
    };
    assert_int_equal(negotiate_body_type(no_header), BODY_NONE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (negotiate_body_type(ior_slice_str(cases[i].header)) != cases[i].type)
            fail_msg("%s", cases[i].header);
    }
}

/* What: JSON is the answer to no Accept, to wildcards and where it is preferred; NDJSON where it is
 * named and JSON is not preferred to it; nothing where neither is acceptable. */
static void answer_types(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum answer_type type;
    } cases[] = {
        {"", ANSWER_JSON},
        {"  ", ANSWER_JSON},
        {"*/*", ANSWER_JSON},
        {"application/*", ANSWER_JSON},
        {"application/json", ANSWER_JSON},
        {"APPLICATION/json;q=0.001", ANSWER_JSON},
        {"text/html, application/xhtml+xml, */*;q=0.8", ANSWER_JSON},
        {"text/html,application/json", ANSWER_JSON},
        {"application/x-ndjson", ANSWER_NDJSON},
        {"application/X-NDJSON; q=0.5", ANSWER_NDJSON},
        {"application/json, application/x-ndjson", ANSWER_NDJSON},
        {"application/json;q=0.5, application/x-ndjson", ANSWER_NDJSON},
        {"application/json, application/x-ndjson;q=0.9", ANSWER_JSON},
        {"application/x-ndjson;q=0.999, application/json;q=1.000", ANSWER_JSON},
        {"application/x-ndjson;q=0, application/json;q=0.1", ANSWER_JSON},
        {"application/x-ndjson, */*", ANSWER_NDJSON},
        {"application/x-ndjson;q=0.2, */*;q=0.1", ANSWER_NDJSON},
        {"application/x-ndjson;q=0.1, */*;q=0.2", ANSWER_JSON},
        {"application/json;q=0, */*", ANSWER_NONE},
        {"application/json;q=0, application/x-ndjson", ANSWER_NDJSON},
        {"application/json;q=0", ANSWER_NONE},
        {"application/json;q=0.000", ANSWER_NONE},
        {"application/x-ndjson;q=0", ANSWER_NONE},
        {"*/*;q=0", ANSWER_NONE},
        {"text/html", ANSWER_NONE},
        {"text/*, image/png", ANSWER_NONE},
        {"application/jsonx", ANSWER_NONE},
        {",,", ANSWER_NONE},
        {"application/json;v=1;q=0.5, application/x-ndjson;q=0.4", ANSWER_JSON},
    };
    assert_int_equal(negotiate_answer(no_header), ANSWER_JSON);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (negotiate_answer(ior_slice_str(cases[i].header)) != cases[i].type)
            fail_msg("%s", cases[i].header);
    }
}

/* What: an entity tag is one number that is not negative in double quotes; every other form is
 * refused. */
static void entity_tags(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "41",
                                      "\"41",
                                      "41\"",
                                      "\"\"",
                                      "\"",
                                      "\"-1\"",
                                      "\"4 1\"",
                                      "W/\"41\"",
                                      "*",
                                      "'41'",
                                      "\"41\",\"42\"",
                                      "\"+1\"",
                                      "\"x\"",
                                      "\"41\" \"42\"",
                                      "\"0x1\"",
                                      "\"18446744073709551616\""};
    uint64_t id = 777;
    assert_true(negotiate_etag(IOR_SLICE("\"41\""), &id));
    assert_int_equal(id, 41);
    assert_true(negotiate_etag(IOR_SLICE(" \"0\"\t"), &id));
    assert_int_equal(id, 0);
    assert_true(negotiate_etag(IOR_SLICE("\"9223372036854775807\""), &id));
    assert_true(id == INT64_MAX);
    id = 777;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (negotiate_etag(ior_slice_str(bad[i]), &id)) fail_msg("%s", bad[i]);
    }
    assert_false(negotiate_etag(no_header, &id));
    assert_int_equal(id, 777);
}

/* What: the durability is found among other preferences, with parameters behind it, the first one
 * counts, and an unknown one is ignored. */
static void durabilities(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum prefer_durability durability;
    } cases[] = {
        {"", PREFER_NONE},
        {"durability=memory", PREFER_MEMORY},
        {"durability=disk", PREFER_DISK},
        {"Durability=Quorum", PREFER_QUORUM},
        {"respond-async, durability=disk;x=1, wait=10", PREFER_DISK},
        {"durability=memory, durability=disk", PREFER_MEMORY},
        {"durability=paper, durability=disk", PREFER_DISK},
        {"durability=paper", PREFER_NONE},
        {"durability", PREFER_NONE},
        {"return=minimal", PREFER_NONE},
    };
    assert_int_equal(negotiate_durability(no_header), PREFER_NONE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (negotiate_durability(ior_slice_str(cases[i].header)) != cases[i].durability)
            fail_msg("%s", cases[i].header);
    }
}

/* What: a media type counts as asked for when it is named with a q above 0, wherever; a wildcard
 * does not name it. */
static void named_types(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        bool named;
    } cases[] = {{"text/event-stream", true},
                 {"TEXT/Event-Stream", true},
                 {"application/json, text/event-stream;q=0.1", true},
                 {" text/event-stream ; x=1 ", true},
                 {"text/event-stream;q=0", false},
                 {"text/event-stream;q=0.000", false},
                 {"text/*", false},
                 {"*/*", false},
                 {"text/event-streams", false},
                 {"text/html,text/event-strea", false},
                 {"", false}};
    assert_false(negotiate_names(no_header, "text/event-stream"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (negotiate_names(ior_slice_str(cases[i].accept), "text/event-stream") != cases[i].named)
            fail_msg("%s", cases[i].accept);
    }
}

/* What: a word of a list, without case and without its version. */
static void words(void **state)
{
    (void)state;
    static const struct {
        const char *upgrade;
        bool there;
    } cases[] = {{"websocket", true},    {"WebSocket", true},   {"h2c, websocket", true},
                 {"websocket/13", true}, {" websocket ", true}, {"websockets", false},
                 {"h2c", false},         {"", false},           {"h2c/websocket", false}};
    assert_false(negotiate_has_word(no_header, "websocket"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (negotiate_has_word(ior_slice_str(cases[i].upgrade), "websocket") != cases[i].there)
            fail_msg("%s", cases[i].upgrade);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(body_types),  cmocka_unit_test(answer_types),
        cmocka_unit_test(entity_tags), cmocka_unit_test(durabilities),
        cmocka_unit_test(named_types), cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
