/* src/base/config_row.h - config/keys.def as a table, for the config_*.c files only.
 * Thread: any; everything here is constant. */
#pragma once

#include "base/config.h"
#include "base/slice.h"

#define CONFIG_ENV_PREFIX "IORIO_"

enum config_kind {
    KIND_TEXT,
    KIND_SECRET,
    KIND_PATH,
    KIND_FLAG,
    KIND_INT,
    KIND_PORT,
    KIND_BYTES,
    KIND_MS,
    KIND_RATE,
    KIND_BYTERATE,
    KIND_ADDRESSES,
    KIND_CHOICE,
};
/* LIVE: SIGHUP takes it over (config_live.h). */
enum config_when { AT_START, FIRST_START, LIVE };

struct config_row {
    const char *key;
    enum config_kind kind;
    const char *def;
    uint64_t min; /* of a text: bytes; of a rate: its count */
    uint64_t max;
    enum config_when when;
    const char *help;
    size_t offset; /* of the field in struct config */
};

/* The number of keys. */
enum {
#define X(field, key, kind, def, min, max, when, help) CONFIG_ROW_##field,
#include "config/keys.def"
#undef X
    CONFIG_ROW_COUNT
};
extern const struct config_row config_rows[CONFIG_ROW_COUNT];

/* A rule beyond the bounds; v is the number, or the length of a text. */
struct config_rule {
    size_t offset;
    bool (*good)(uint64_t v);
    const char *allowed;
    const char *problem;
};
/* NULL: the bounds are all there is. */
const struct config_rule *config_row_rule(const struct config_row *row);
/* The same for what a text says. */
struct config_text_rule {
    size_t offset;
    const char *(*problem)(struct ior_slice text); /* NULL: none */
    const char *allowed;
};
const struct config_text_rule *config_row_text_rule(const struct config_row *row);

/* The words of a CHOICE, one a call, from *at = row->help on. False: no more. */
bool config_row_word(const char **at, struct ior_slice *ret);

/* What a key takes, for error texts and for the default file. */
struct config_allowed {
    char text[256];
};
struct config_allowed config_row_allowed(const struct config_row *row);

struct config_name {
    char text[96];
};
/* "http.port", "auth.secret.file", "IORIO_HTTP_PORT", "IORIO_AUTH_SECRET_FILE" */
struct config_name config_row_name(const struct config_row *row, bool as_file, bool as_variable);
/* The row of such a name; NULL: there is none. */
const struct config_row *config_row_find(struct ior_slice wanted, bool as_variable,
                                         bool *ret_as_file);
/* The known name that is most like a wrong one. */
struct config_name config_row_nearest(struct ior_slice wanted, bool as_variable);
