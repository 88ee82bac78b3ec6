/* test/lib/no_memory.h - the n-th allocation fails. For a test program that is linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc (no_memory in test/unit/meson.build): then every
 * malloc, calloc and realloc of ours goes through here, those of shared libraries do not.
 * Thread: a test of one thread. */
#pragma once

#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* 0: none fails; n: the n-th from now on. Counts down to 0 when it has failed. */
static unsigned no_memory_at;

static int no_memory_now(void)
{
    return no_memory_at > 0 && --no_memory_at == 0;
}

void *__wrap_malloc(size_t size)
{
    return no_memory_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return no_memory_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return no_memory_now() ? NULL : __real_realloc(old, size);
}
