/* test/unit/base/test_blob.c - shared immutable bytes and their reference count.
 * That the last unref frees, and frees once, is what the sanitizer runs show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include <cmocka.h>

#include "base/blob.h"

enum { THREADS = 4, ROUNDS = 50000 };

/* What: a new blob has its size, one reference and writable bytes up to the last one. */
static void new_blob_is_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ior_blob *b = ior_blob_new(sizes[i]);
        assert_non_null(b);
        assert_int_equal(b->size_bytes, sizes[i]);
        assert_int_equal(atomic_load(&b->refs), 1);
        memset(b->data, 0x5a, sizes[i]);
        assert_true(ior_blob_cost(b) >= sizes[i] + sizeof *b);
        ior_blob_unref(b);
    }
}

/* What: a reference keeps the bytes after the maker has given up his own. */
static void references_keep_bytes(void **state)
{
    (void)state;
    struct ior_blob *b = ior_blob_new(5);
    assert_non_null(b);
    memcpy(b->data, "bytes", 5);
    assert_ptr_equal(ior_blob_ref(b), b);
    assert_ptr_equal(ior_blob_ref(b), b);
    assert_int_equal(atomic_load(&b->refs), 3);
    ior_blob_unref(b);
    ior_blob_unref(b);
    assert_int_equal(atomic_load(&b->refs), 1);
    assert_memory_equal(b->data, "bytes", 5);
    ior_blob_unref(b);
}

/* What: a size whose sum with the head does not fit gives NULL, and NULL may be given up. */
static void impossible_sizes_give_null(void **state)
{
    (void)state;
    assert_null(ior_blob_new(SIZE_MAX));
    assert_null(ior_blob_new(SIZE_MAX - sizeof(struct ior_blob) + 1));
    ior_blob_unref(NULL);
}

static void *take_and_give(void *arg)
{
    struct ior_blob *b = arg; /* one reference came with it */
    size_t sum = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct ior_blob *mine = ior_blob_ref(b);
        sum += mine->data[i % 64];
        ior_blob_unref(mine);
    }
    ior_blob_unref(b);
    return sum == (size_t)ROUNDS ? b : NULL;
}

/* What: four threads take and give references at once, and exactly one is left. */
static void count_holds_across_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct ior_blob *b = ior_blob_new(64);
    assert_non_null(b);
    memset(b->data, 1, 64);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, ior_blob_ref(b)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *ret = NULL;
        assert_int_equal(pthread_join(threads[i], &ret), 0);
        assert_ptr_equal(ret, b);
    }
    assert_int_equal(atomic_load(&b->refs), 1);
    ior_blob_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_blob_is_whole),
        cmocka_unit_test(references_keep_bytes),
        cmocka_unit_test(impossible_sizes_give_null),
        cmocka_unit_test(count_holds_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
