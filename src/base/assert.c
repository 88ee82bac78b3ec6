/* src/base/assert.c - the last words of a program that found itself wrong. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void ior_assert_fail(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "iorio: assertion failed: %s (%s:%d, %s)\n", expr, file, line, func);
    fflush(stderr);
    abort();
}
