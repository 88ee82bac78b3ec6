/* src/base/config_set.h - one value into its field, or an error text, for the
 * config_*.c files only. Thread: the one that loads the configuration. */
#pragma once

#include "base/buf.h"
#include "base/config_row.h"

/* What is being read, for the error texts. */
struct config_loader {
    struct config *c;
    struct ior_why *why;
    const char *file; /* NULL: the environment */
    unsigned line;
    char label[256];                   /* the key as the user wrote it */
    unsigned set_on[CONFIG_ROW_COUNT]; /* line of each key; 0: not yet */
};

/* INVAL, with the place in front of the text: "iorio.conf:12: ". */
enum ior_err config_set_fail(const struct config_loader *l, const char *fmt, ...) IOR_PRINTF(2, 3);

/* A foreign value for an error text: short, printable, whole characters. */
#define CONFIG_SHOWN_BYTES 80
struct config_shown {
    char text[CONFIG_SHOWN_BYTES + 4];
};
struct config_shown config_set_show(struct ior_slice s);

/* The value of a row that l->label names; as_file: a path to the value. INVAL. */
IOR_MUST_CHECK enum ior_err config_set_value(struct config_loader *l, const struct config_row *row,
                                             bool as_file, struct ior_slice value);
/* The default of a row; cannot fail. */
void config_set_default(struct config *c, const struct config_row *row);

/* Read a whole file. NOTFOUND, ACCESS, TOOLARGE (above max), INVAL, NOMEM, IO; then
 * *ret_problem says it in words, else it is NULL. */
IOR_MUST_CHECK enum ior_err config_set_read(const char *path, size_t max, bool only_regular,
                                            struct ior_buf *out, const char **ret_problem);
