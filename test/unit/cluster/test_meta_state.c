/* test/unit/cluster/test_meta_state.c - the states of group 0 (meta_state.c): what is behind a
 * change, what cannot be, and what it is without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "cluster/meta_state.h"
#include "no_memory.h"
#include "store/record.h"

#define KEEP(x) "retention" FACT_SEP x
#define GROUP(x) "group" FACT_SEP x

struct line {
    const char *key;
    const char *value; /* NULL: unset */
};

static void add_item(struct ior_buf *out, const struct line *l)
{
    struct ior_slice key = ior_slice_str(l->key);
    struct ior_slice value = {NULL, 0};
    if (l->value != NULL) value = ior_slice_str(l->value);
    size_t attrs = attr_bytes(key.size_bytes);
    uint8_t *at = ior_buf_room(out, item_bytes(attrs, value.size_bytes));
    assert_non_null(at);
    item_write(at, ITEM_SET, l->value == NULL ? 0 : ITEM_FLAG_JSON, attrs, value);
    attr_write(at + ITEM_HEAD_BYTES, ATTR_KEY, key);
    item_set_place(at, 0, 0, 0);
    ior_buf_grew(out, item_bytes(attrs, value.size_bytes));
}

static enum ior_err after(const struct meta_state *before, const struct line *lines, size_t count,
                          struct meta_state **ret, struct ior_why *why)
{
    struct ior_buf items;
    ior_buf_init(&items);
    for (size_t i = 0; i < count; i++) add_item(&items, &lines[i]);
    enum ior_err err = meta_state_after(before, ior_buf_slice(&items), ret, why);
    ior_buf_done(&items);
    return err;
}

static struct meta_state *first(void)
{
    struct meta_facts none = {0};
    struct meta_state *s = NULL;
    assert_int_equal(meta_state_of(&none, &s, NULL), IOR_OK);
    return s;
}

/* max_events 0: no policy. */
static void expect(const struct meta_state *s, const char *group, bool there, uint64_t max_events)
{
    struct retention r = {0};
    assert_int_equal(policy_has_fact(s->policy, ior_slice_str(group)), there);
    bool any = retention_view_own(s->retention, IOR_SLICE("b"), IOR_SLICE(""), &r);
    assert_int_equal(any, max_events != 0);
    assert_int_equal(r.max_events, max_events);
}

/* What: one part changes, the other is the same object; the state before stays. */
static void parts_are_shared(void **state)
{
    (void)state;
    struct meta_state *a = first();
    struct meta_state *b = NULL;
    struct meta_state *c = NULL;
    static const struct line group = {GROUP("g"), "{\"groups\":[]}"};
    static const struct line keep = {KEEP("b"), "{\"max_events\":3}"};
    assert_int_equal(after(a, &group, 1, &b, NULL), IOR_OK);
    assert_ptr_equal(b->retention, a->retention);
    assert_int_equal(after(b, &keep, 1, &c, NULL), IOR_OK);
    assert_ptr_equal(c->policy, b->policy);
    expect(a, GROUP("g"), false, 0);
    expect(b, GROUP("g"), true, 0);
    expect(c, GROUP("g"), true, 3);
    assert_ptr_equal(meta_state_ref(c), c);
    meta_state_unref(a);
    meta_state_unref(b);
    meta_state_unref(c);
    expect(c, GROUP("g"), true, 3);
    struct meta_state *again = NULL;
    assert_int_equal(meta_state_of(&c->facts, &again, NULL), IOR_OK);
    expect(again, GROUP("g"), true, 3);
    meta_state_unref(again);
    meta_state_unref(c);
    meta_state_unref(NULL);
}

/* What: a change with a fact that could not be read back has no state, whatever else is in it. */
static void what_cannot_be(void **state)
{
    (void)state;
    static const struct {
        struct line line;
        enum ior_err err;
    } bad[] = {
        {{KEEP("b"), "{\"max_events\":0}"}, IOR_E_CORRUPT},
        {{KEEP("b"), "{\"max_idle\":1}"}, IOR_E_VERSION},
        {{KEEP(""), NULL}, IOR_E_CORRUPT},
        {{GROUP(""), "{\"groups\":[]}"}, IOR_E_CORRUPT},
        {{GROUP("h"), "{\"groups\":7}"}, IOR_E_CORRUPT},
        {{GROUP("h"), "nothing"}, IOR_E_CORRUPT},
    };
    struct meta_state *a = first();
    for (size_t i = 0; i < IOR_LEN(bad); i++) {
        struct ior_why why = {""};
        struct meta_state *b = NULL;
        const struct line lines[] = {{GROUP("g"), "{\"groups\":[]}"}, bad[i].line};
        assert_int_equal(after(a, lines, 2, &b, &why), bad[i].err);
        assert_null(b);
        assert_memory_equal(why.text, "fact ", 5);
    }
    struct meta_state *b = NULL;
    assert_int_equal(meta_state_after(a, ior_slice("0123456789", 10), &b, NULL), IOR_E_CORRUPT);
    meta_state_unref(a);
}

/* What: whichever allocation fails: there is no new state, and the old one is as it was. */
static void every_allocation_fails(void **state)
{
    (void)state;
    static const struct line lines[] = {{GROUP("g"), "{\"groups\":[\"h\"]}"},
                                        {KEEP("b"), "{\"max_events\":4}"},
                                        {GROUP("old"), NULL}};
    static const struct line old[] = {{GROUP("old"), "{\"groups\":[\"h\"]}"},
                                      {KEEP("b"), "{\"max_events\":1}"}};
    struct meta_state *none = first();
    struct meta_state *a = NULL;
    assert_int_equal(after(none, old, 2, &a, NULL), IOR_OK);
    struct ior_buf items;
    ior_buf_init(&items);
    for (size_t i = 0; i < IOR_LEN(lines); i++) add_item(&items, &lines[i]);
    unsigned refused = 0;
    enum ior_err err = IOR_E_NOMEM;
    for (unsigned n = 1; err != IOR_OK; n++) {
        struct meta_state *b = NULL;
        struct meta_state *all = NULL;
        no_memory_at = n;
        err = meta_state_after(a, ior_buf_slice(&items), &b, NULL);
        no_memory_at = 0;
        if (err != IOR_OK) assert_int_equal(err, IOR_E_NOMEM);
        refused += err != IOR_OK;
        expect(a, GROUP("old"), true, 1);
        expect(a, GROUP("g"), false, 1);
        if (b == NULL) continue;
        expect(b, GROUP("g"), true, 4);
        expect(b, GROUP("old"), false, 4);
        assert_int_equal(b->facts.access.count, 1);
        no_memory_at = 3;
        assert_int_equal(meta_state_of(&b->facts, &all, NULL), IOR_E_NOMEM);
        no_memory_at = 0;
        meta_state_unref(b);
    }
    assert_true(refused > 15);
    ior_buf_done(&items);
    meta_state_unref(a);
    meta_state_unref(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_shared),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
