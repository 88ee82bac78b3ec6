/* src/base/config.h - the configuration: one row per key in config/keys.def
 * becomes a field here, a parser row, an environment variable and the
 * commented default file.
 * Order: default < file < environment (http.port -> IORIO_HTTP_PORT).
 * Values: durations 500ms 10s 5m 24h 7d, sizes 64KB 4MB 2GB (powers of 1024),
 * rates 0 100/s 5000/m 10MB/s, flags yes|no. A secret may be given as <key>.file
 * (IORIO_<KEY>_FILE). Thread: parsed once at start, then read only. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define CONFIG_TEXT_MAX 1025 /* with the NUL: a secret has up to 1024 bytes */
/* Longest release folder: the rest is room for the default paths in it. */
#define CONFIG_RELEASE_DIR_MAX (CONFIG_TEXT_MAX - 2 - 128)
#define CONFIG_AUTH_SECRET_BYTES_MIN 16 /* unless it is empty */

/* One C type per kind of key. */
typedef char config_TEXT[CONFIG_TEXT_MAX];   /* any text, may be empty */
typedef char config_SECRET[CONFIG_TEXT_MAX]; /* text that is never printed */
typedef char config_PATH[CONFIG_TEXT_MAX];   /* relative: to the release folder */
typedef bool config_FLAG;                    /* yes | no */
typedef uint64_t config_INT;
typedef uint64_t config_PORT;
typedef uint64_t config_BYTES;
typedef uint64_t config_MS;       /* a duration */
typedef uint64_t config_RATE;     /* so many in so long; config_rate_count() and its like */
typedef uint64_t config_BYTERATE; /* the same of bytes */
typedef char config_ADDRESSES[CONFIG_TEXT_MAX]; /* a text that ior_networks_parse() takes */
typedef char
    config_CHOICE[32]; /* one of the words in the help text: "one|two|three" first in help */

/* A rate: how many, and in what time (a second, a minute or an hour). Count 0: no limit. */
static inline uint64_t config_rate(uint64_t count, uint64_t seconds)
{
    return count | seconds << 48;
}
static inline uint64_t config_rate_count(uint64_t rate)
{
    return rate & ((1ull << 48) - 1);
}
static inline uint64_t config_rate_seconds(uint64_t rate)
{
    return rate >> 48;
}

struct config {
#define X(field, key, kind, def, min, max, when, help) config_##kind field;
#include "config/keys.def"
#undef X
    char release_dir[CONFIG_TEXT_MAX]; /* relative paths start here */
};

/* Defaults, then the file (NULL: none), then the environment. Relative PATHs are
 * made absolute against release_dir (itself absolute). On an error *c is untouched
 * and *why names the file, the line, the key, what was found and what is allowed;
 * an unknown key names the nearest known one. Errors are also: a key given twice
 * in one source, a comment behind a value, quotes around a value, and variables
 * that begin with IORIO_ but name no key (except IORIO_TEST_*).
 * Errors: NOTFOUND or ACCESS (the file), INVAL (everything else). */
IOR_MUST_CHECK enum ior_err config_load(struct config *c, const char *release_dir, const char *file,
                                        struct ior_why *why);
/* The same from memory, without the environment: for tests and fuzzing. *c has
 * been through config_set_defaults(); `name` stands for the file in texts. */
IOR_MUST_CHECK enum ior_err config_parse(struct config *c, const char *name, const char *text,
                                         size_t size_bytes, struct ior_why *why);
/* release_dir is absolute and at most CONFIG_RELEASE_DIR_MAX bytes. */
void config_set_defaults(struct config *c, const char *release_dir);
/* The commented file with every key at its default (config/iorio.conf is this). */
void config_print_defaults(FILE *out);
/* True while the value of `key` is the shipped default, e.g. the admin password. */
bool config_is_default(const struct config *c, const char *key);
