/* proto/http/extension.h - handlers below /x/, each with settings of its own in a JSON file.
 * To add one: its id in app.h, a row in extension.c, a key extension.config.NAME in
 * config/keys.def, a row ANY of its path and a star in routes.def, with its function. Thread: the
 * settings are made before the workers run and do not change. */
#pragma once

#include <jansson.h>

#include "proto/http/app.h"

struct extension {
    const char *name;
    size_t path_offset; /* of its key in struct config */
    /* settings: an object; NULL: the defaults. INVAL with the problem in *why, NOMEM. */
    enum ior_err (*configure)(const json_t *settings, void **ret, struct ior_why *why);
    void (*discard)(void *settings);
};

/* Reads what the configuration names. INVAL with key, file and problem in *why; then
 * nothing is kept. */
IOR_MUST_CHECK enum ior_err extensions_load(const struct config *c, void *ret[EXTENSION_COUNT],
                                            struct ior_why *why);
void extensions_free(void *settings[EXTENSION_COUNT]);

/* extension_echo.c */
enum ior_err echo_configure(const json_t *settings, void **ret, struct ior_why *why);
void echo_discard(void *settings);
