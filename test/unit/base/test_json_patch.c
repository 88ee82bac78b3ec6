/* test/unit/base/test_json_patch.c - JSON Patch: every case of the table (patch_vectors.c), the
 * limits, every allocation that fails, and random patches against a model on jansson. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_patch.h"
#include "no_memory.h"
#include "patch_model.h"
#include "patch_vectors.h"
#include "seeded.h"

static const struct json_tree_limits limits = {PATCH_DOC_BYTES_MAX, PATCH_STEPS_MAX,
                                               PATCH_MEMORY_MAX};

/* Parse and apply in memory of exactly their size; out is the result. */
static enum ior_err run(const char *document, size_t document_bytes, const char *text,
                        size_t text_bytes, const struct json_tree_limits *l, struct ior_buf *out,
                        struct json_patch_fault *fault)
{
    uint8_t *d = malloc(document_bytes + 1);
    uint8_t *t = malloc(text_bytes + 1);
    memcpy(d + 1, document, document_bytes);
    memcpy(t + 1, text, text_bytes);
    struct json_patch *p = NULL;
    enum ior_err err = json_patch_parse(ior_slice(t + 1, text_bytes), &p, fault);
    if (err == IOR_OK) err = json_patch_apply(p, ior_slice(d + 1, document_bytes), l, out, fault);
    json_patch_free(p);
    assert_memory_equal(d + 1, document, document_bytes); /* never changed */
    free(t);
    free(d);
    return err;
}

static enum ior_err patch(const char *document, const char *text, struct ior_buf *out,
                          struct json_patch_fault *fault)
{
    return run(document, strlen(document), text, strlen(text), &limits, out, fault);
}

static void check(const struct patch_vector *v)
{
    struct ior_buf out;
    struct json_patch_fault fault;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "x");
    enum ior_err err = patch(v->document, v->patch, &out, &fault);
    ior_buf_add_char(&out, 0);
    if (v->result != NULL) {
        if (err != IOR_OK) fail_msg("%s on %s: %s", v->patch, v->document, fault.why.text);
        assert_string_equal((char *)out.data + 1, v->result);
    } else {
        if (err != IOR_E_BODY) fail_msg("%s on %s: not refused", v->patch, v->document);
        if (v->reason != NULL && strstr(fault.why.text, v->reason) == NULL)
            fail_msg("%s on %s: \"%s\" does not say: %s", v->patch, v->document, fault.why.text,
                     v->reason);
        assert_string_equal((char *)out.data, "x"); /* nothing of it */
    }
    ior_buf_done(&out);
}

/* What: every rule of RFC 6902 and RFC 6901. */
static void vectors(void **state)
{
    (void)state;
    for (unsigned i = 0; i < patch_vector_count; i++) check(&patch_vectors[i]);
}

/* What: what is no patch is refused before the document is looked at. */
static void no_patches(void **state)
{
    (void)state;
    for (unsigned i = 0; i < patch_bad_count; i++) {
        struct json_patch *p = NULL;
        struct json_patch_fault fault;
        check(&patch_bad[i]);
        assert_int_equal(json_patch_parse(ior_slice_str(patch_bad[i].patch), &p, &fault),
                         IOR_E_BODY);
        assert_null(p);
        assert_int_equal(fault.has_offset, strstr(fault.why.text, "not JSON") != NULL);
        bool whole = strstr(fault.why.text, "operation ") != fault.why.text;
        assert_int_equal(fault.op == JSON_PATCH_NO_OP, whole);
    }
}

/* What: a fault names the operation by its number; a long path is cut between characters. */
static void faults(void **state)
{
    struct json_patch_fault fault;
    struct ior_buf out;
    char text[1200];
    (void)state;
    ior_buf_init(&out);
    assert_int_equal(
        patch("[]",
              "[{\"op\":\"add\",\"path\":\"/0\",\"value\":1},{\"op\":\"remove\",\"path\":\"/1\"}]",
              &out, &fault),
        IOR_E_BODY);
    assert_int_equal(fault.op, 1);
    for (size_t cut = 0; cut < 4; cut++) {
        char path[600] = "/";
        memset(path + 1, 'a', cut);
        for (size_t i = 0; i < 100; i++) memcpy(path + 1 + cut + 3 * i, "\xe2\x82\xac", 3);
        snprintf(text, sizeof text, "[{\"op\":\"remove\",\"path\":\"%s\"}]", path);
        assert_int_equal(patch("{}", text, &out, &fault), IOR_E_BODY);
        assert_true(ior_utf8_ok(ior_slice_str(fault.why.text)));
        assert_non_null(strstr(fault.why.text, "\xe2\x82\xac...\""));
        assert_true(strlen(fault.why.text) < 250);
    }
    assert_int_equal(patch("{}", "[{]", &out, &fault), IOR_E_BODY);
    assert_true(fault.has_offset);
    assert_int_equal(fault.offset, 2);
    ior_buf_done(&out);
}

/* ---- limits ---- */

static void repeat(struct ior_buf *out, const char *head, const char *one, const char *comma,
                   size_t count, const char *tail)
{
    ior_buf_add_str(out, head);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) ior_buf_add_str(out, comma);
        ior_buf_add_str(out, one);
    }
    ior_buf_add_str(out, tail);
}

static enum ior_err run_bufs(const struct ior_buf *document, const struct ior_buf *text,
                             const struct json_tree_limits *l, struct ior_buf *out,
                             struct json_patch_fault *fault)
{
    ior_buf_clear(out);
    return run((const char *)document->data, document->size_bytes, (const char *)text->data,
               text->size_bytes, l, out, fault);
}

/* What: PATCH_OPS_MAX operations are taken, one more is too many. */
static void limit_of_operations(void **state)
{
    static const char add[] = "{\"op\":\"add\",\"path\":\"/-\",\"value\":1}";
    struct ior_buf doc, text, out;
    struct json_patch_fault fault;
    (void)state;
    ior_buf_init(&doc);
    ior_buf_init(&text);
    ior_buf_init(&out);
    ior_buf_add_str(&doc, "[]");
    repeat(&text, "[", add, ",", PATCH_OPS_MAX, "]");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_OK);
    assert_int_equal(out.size_bytes, 1 + 2 * PATCH_OPS_MAX);
    ior_buf_clear(&text);
    repeat(&text, "[", add, ",", PATCH_OPS_MAX + 1, "]");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_E_TOOLARGE);
    assert_non_null(strstr(fault.why.text, "at most 1000 operations"));
    ior_buf_done(&out);
    ior_buf_done(&text);
    ior_buf_done(&doc);
}

/* What: a document is as large as it may be before and after, to the byte; in between, too. */
static void limit_of_bytes(void **state)
{
    enum { MAX = 40 };
    static const struct json_tree_limits small = {MAX, 10000, 100000};
    static const struct {
        const char *document, *patch;
        enum ior_err err;
    } cases[] = {
        {"[1111111111,2222222222,3333333333,444444]", "[]", IOR_E_TOOLARGE},
        {"[1111111111,2222222222,3333333333,44444]", "[]", IOR_OK},
        {"[1111111111,2222222222,3333333333,44444]",
         "[{\"op\":\"replace\",\"path\":\"/3\",\"value\":12345}]", IOR_OK},
        {"[1111111111,2222222222,3333333333,44444]",
         "[{\"op\":\"replace\",\"path\":\"/3\",\"value\":123456}]", IOR_E_TOOLARGE},
        {"[1111111111,2222222222,3333333333]", "[{\"op\":\"add\",\"path\":\"/-\",\"value\":12345}]",
         IOR_OK},
        {"[1111111111,2222222222,3333333333]",
         "[{\"op\":\"add\",\"path\":\"/-\",\"value\":123456}]", IOR_E_TOOLARGE},
        {"{\"a\":1111111111,\"b\":2222222222}", "[{\"op\":\"add\",\"path\":\"/c\",\"value\":1234}]",
         IOR_OK},
        {"{\"a\":1111111111,\"b\":2222222222}",
         "[{\"op\":\"add\",\"path\":\"/cc\",\"value\":1234}]", IOR_E_TOOLARGE},
        {"[[[\"12345678901234567890\"]]]",
         "[{\"op\":\"copy\",\"from\":\"/0\",\"path\":\"/0/0/-\"},{\"op\":\"remove\",\"path\":\"/0/"
         "0/1\"}]",
         IOR_E_TOOLARGE},
        {"1",
         "[{\"op\":\"add\",\"path\":\"\",\"value\":\"12345678901234567890123456789012345678\"}]",
         IOR_OK},
        {"1",
         "[{\"op\":\"add\",\"path\":\"\",\"value\":\"123456789012345678901234567890123456789\"}]",
         IOR_E_TOOLARGE},
    };
    struct ior_buf out;
    struct json_patch_fault fault;
    (void)state;
    ior_buf_init(&out);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ior_buf_clear(&out);
        assert_int_equal(run(cases[i].document, strlen(cases[i].document), cases[i].patch,
                             strlen(cases[i].patch), &small, &out, &fault),
                         cases[i].err);
        if (cases[i].err != IOR_OK) assert_non_null(strstr(fault.why.text, "too large"));
        assert_true(out.size_bytes <= MAX);
    }
    ior_buf_done(&out);
}

/* What: what comes out nests JSON_DEPTH_MAX deep and no deeper, also when a value was moved after
 * what was deep in it had gone. */
static void limit_of_depth(void **state)
{
    struct ior_buf doc, text, out;
    struct json_patch_fault fault;
    (void)state;
    ior_buf_init(&doc);
    ior_buf_init(&text);
    ior_buf_init(&out);
    repeat(&doc, "{\"a\":", "[", "", 61, "");
    repeat(&doc, "", "]", "", 61, ",\"b\":[[[[[1]]]]]}");
    for (unsigned i = 61; i <= 62; i++) {
        ior_buf_clear(&text);
        repeat(&text, "[{\"op\":\"add\",\"path\":\"/a", "/0", "", 60, "/0\",\"value\":");
        repeat(&text, "", i == 61 ? "[[]]" : "[[[]]]", "", 1, "}]");
        assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault),
                         i == 61 ? IOR_OK : IOR_E_BODY);
        if (i == 62) assert_non_null(strstr(fault.why.text, "too deep"));
        if (i == 61)
            assert_int_equal(ior_json_check(ior_buf_slice(&out), JSON_DEPTH_MAX, NULL), IOR_OK);
    }
    ior_buf_clear(&text); /* `b` is not deep any more: it fits now */
    repeat(&text,
           "[{\"op\":\"replace\",\"path\":\"/b/0\",\"value\":1},{\"op\":\"move\",\"from\":\"/"
           "b\",\"path\":\"/a",
           "/0", "", 60, "/0\"}]");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_OK);
    assert_int_equal(ior_json_check(ior_buf_slice(&out), JSON_DEPTH_MAX, NULL), IOR_OK);
    ior_buf_clear(&text); /* each copy is one deeper than the last */
    repeat(&text, "[", "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/0\"}", ",", 9, "]");
    ior_buf_clear(&doc);
    repeat(&doc, "", "[", "", 56, "");
    repeat(&doc, "", "]", "", 56, "");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_E_BODY);
    assert_int_equal(fault.op, 8);
    ior_buf_done(&out);
    ior_buf_done(&text);
    ior_buf_done(&doc);
}

/* What: patches that would take much work or memory end with an error that says so, soon. */
static void limit_of_work(void **state)
{
    struct ior_buf doc, text, out;
    struct json_patch_fault fault;
    (void)state;
    ior_buf_init(&doc);
    ior_buf_init(&text);
    ior_buf_init(&out);
    repeat(&doc, "[", "1", ",", 500000, "]"); /* each new element moves all the others */
    repeat(&text, "[", "{\"op\":\"add\",\"path\":\"/0\",\"value\":1}", ",", 1000, "]");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_E_TOOLARGE);
    assert_non_null(strstr(fault.why.text, "too much work"));
    ior_buf_clear(&text); /* at the end it is cheap */
    repeat(&text, "[", "{\"op\":\"add\",\"path\":\"/-\",\"value\":1}", ",", 1000, "]");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_OK);
    ior_buf_clear(&doc); /* what is copied is written anew, and taken away again */
    repeat(&doc, "{\"a\":[", "\"0123456789\"", ",", 30000, "]}");
    ior_buf_clear(&text);
    repeat(&text, "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":1},",
           "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},{\"op\":\"remove\",\"path\":\"/b\"}",
           ",", 400, "]");
    assert_int_equal(run_bufs(&doc, &text, &limits, &out, &fault), IOR_E_TOOLARGE);
    assert_non_null(strstr(fault.why.text, "too much memory"));
    ior_buf_done(&out);
    ior_buf_done(&text);
    ior_buf_done(&doc);
}

/* ---- no memory ---- */

static const char nm_document[] = "{\"a\":{\"b\":[1,2,{\"c\":\"x\"}]},\"d\":[[],{}],\"e\":1}";
static const char nm_patch[] =
    "[{\"op\":\"add\",\"path\":\"/a/b/-\",\"value\":[1]},{\"op\":\"copy\",\"from\":\"/"
    "a\",\"path\":\"/f\"},"
    "{\"op\":\"move\",\"from\":\"/d\",\"path\":\"/a/g\"},{\"op\":\"test\",\"path\":\"/"
    "f\",\"value\":{\"b\":[1,2,{\"c\":\"x\"},[1]]}},"
    "{\"op\":\"remove\",\"path\":\"/a/b\"},{\"op\":\"replace\",\"path\":\"/e\",\"value\":2}]";

/* What: whichever allocation fails, the answer is NOMEM and nothing is lost. */
static void allocations_fail(void **state)
{
    struct ior_buf out;
    struct json_patch_fault fault;
    unsigned n = 1;
    (void)state;
    for (;; n++) {
        struct json_patch *p = NULL;
        ior_buf_init(&out);
        no_memory_at = n;
        enum ior_err err = json_patch_parse(IOR_SLICE(nm_patch), &p, &fault);
        if (err == IOR_OK) err = json_patch_apply(p, IOR_SLICE(nm_document), &limits, &out, &fault);
        bool failed = no_memory_at == 0;
        no_memory_at = 0;
        json_patch_free(p);
        if (!failed) {
            assert_int_equal(err, IOR_OK);
            break;
        }
        assert_int_equal(err, IOR_E_NOMEM);
        assert_int_equal(out.size_bytes, 0);
        ior_buf_done(&out);
    }
    assert_true(ior_slice_eq(
        ior_buf_slice(&out),
        IOR_SLICE("{\"a\":{\"g\":[[],{}]},\"e\":2,\"f\":{\"b\":[1,2,{\"c\":\"x\"},[1]]}}")));
    ior_buf_done(&out);
    assert_true(n > 5); /* some failed */
}

/* What: with every budget of work and memory the answer is a limit or the right one. */
static void budgets(void **state)
{
    struct json_patch *p = NULL;
    struct json_patch_fault fault;
    struct ior_buf out;
    unsigned good = 0;
    (void)state;
    assert_int_equal(json_patch_parse(IOR_SLICE(nm_patch), &p, &fault), IOR_OK);
    ior_buf_init(&out);
    for (unsigned i = 0; i < 400; i++) {
        struct json_tree_limits by_steps = {1000, i, 1 << 20};
        struct json_tree_limits by_memory = {1000, 1 << 20, i * 16};
        for (unsigned k = 0; k < 2; k++) {
            ior_buf_clear(&out);
            enum ior_err err = json_patch_apply(p, IOR_SLICE(nm_document),
                                                k == 0 ? &by_steps : &by_memory, &out, &fault);
            good += err == IOR_OK;
            if (err != IOR_OK) assert_int_equal(err, IOR_E_TOOLARGE);
        }
    }
    assert_true(good > 100);
    ior_buf_done(&out);
    json_patch_free(p);
}

/* ---- against a model ---- */

/* What: random patches on random documents do what a plain model on jansson does. */
static void random_patches(void **state)
{
    struct seeded s = {20260711};
    unsigned applied = 0;
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct ior_buf doc, text, out;
        struct json_patch_fault fault;
        ior_buf_init(&doc);
        ior_buf_init(&text);
        ior_buf_init(&out);
        patch_model_document(&s, &doc);
        patch_model_patch(&s, &text);
        enum ior_err err = run_bufs(&doc, &text, &limits, &out, &fault);
        patch_model_check(ior_buf_slice(&doc), ior_buf_slice(&text), err, &fault,
                          ior_buf_slice(&out));
        applied += err == IOR_OK;
        ior_buf_done(&out);
        ior_buf_done(&text);
        ior_buf_done(&doc);
    }
    assert_true(applied > 3000 && applied < 19000); /* both happen */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),        cmocka_unit_test(no_patches),
        cmocka_unit_test(faults),         cmocka_unit_test(limit_of_operations),
        cmocka_unit_test(limit_of_bytes), cmocka_unit_test(limit_of_depth),
        cmocka_unit_test(limit_of_work),  cmocka_unit_test(allocations_fail),
        cmocka_unit_test(budgets),        cmocka_unit_test(random_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
