/* src/app/secret.c - the keys of the session tokens, at a start. Thread: the main one, before the
 * workers run.
 * Happy path: auth.secret, else the file `secret` of the data directory, which the first start
 * makes; and the key of before, which is still good for checking: auth.secret.previous, else
 * (while auth.secret is empty, too) the file `secret.previous`. So both places are rotated in
 * the same way: what was the key becomes the previous one, and a restart (docs/operations.rst).
 * Failure modes: a file that cannot be read or made, a key that is too short or too long: the
 * node does not start. The text never has a key in it. */
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "base/log.h"

enum { KEY_BYTES_MAX = 1024, GOOD_KEY_BYTES = 32, MADE_KEY_BYTES = 64 };

#define FILE_NOW "secret"
#define FILE_PREVIOUS "secret.previous"

static enum ior_err file_problem(enum ior_err err, const char *file, struct ior_why *why)
{
    if (err == IOR_E_TOOLARGE)
        return ior_why_set(why, IOR_E_INVAL,
                           "the file `%s` of the data directory is larger than "
                           "%d bytes",
                           file, KEY_BYTES_MAX);
    return ior_why_set(why, err, "cannot read or make the file `%s` of the data directory: %s",
                       file, ior_err_reason(err));
}

static enum ior_err take_now(const struct config *c, struct disk *disk, char key[KEY_BYTES_MAX],
                             size_t *ret_bytes, struct ior_why *why)
{
    size_t n = strlen(c->auth_secret);
    if (n > 0) {
        memcpy(key, c->auth_secret, n);
        *ret_bytes = n;
        return IOR_OK;
    }
    enum ior_err err = disk_read_file(disk, FILE_NOW, key, KEY_BYTES_MAX, ret_bytes);
    if (err == IOR_E_NOTFOUND) {
        char made[MADE_KEY_BYTES + 1];
        token_secret_make(made);
        memcpy(key, made, MADE_KEY_BYTES);
        explicit_bzero(made, sizeof made);
        *ret_bytes = MADE_KEY_BYTES;
        err = disk_replace_file(disk, FILE_NOW, key, MADE_KEY_BYTES);
    }
    return err == IOR_OK ? err : file_problem(err, FILE_NOW, why);
}

/* *ret_bytes 0: there is none. */
static enum ior_err take_previous(const struct config *c, struct disk *disk,
                                  char key[KEY_BYTES_MAX], size_t *ret_bytes, struct ior_why *why)
{
    size_t n = strlen(c->auth_secret_previous);
    *ret_bytes = n;
    if (n > 0) memcpy(key, c->auth_secret_previous, n);
    if (n > 0 || c->auth_secret[0] != 0) return IOR_OK;
    enum ior_err err = disk_read_file(disk, FILE_PREVIOUS, key, KEY_BYTES_MAX, ret_bytes);
    if (err == IOR_E_NOTFOUND) *ret_bytes = 0;
    return err == IOR_OK || err == IOR_E_NOTFOUND ? IOR_OK : file_problem(err, FILE_PREVIOUS, why);
}

enum ior_err secret_load(const struct config *c, struct disk *disk, struct token_key *ret,
                         struct ior_why *why)
{
    char key[KEY_BYTES_MAX];
    size_t n = 0;
    size_t previous = 0;
    enum ior_err err = take_now(c, disk, key, &n, why);
    if (err == IOR_OK) err = token_key_init(ret, c->auth_algorithm, ior_slice(key, n), why);
    if (err == IOR_OK) err = take_previous(c, disk, key, &previous, why);
    if (err == IOR_OK && previous > 0)
        err = token_key_set_previous(ret, ior_slice(key, previous), why);
    explicit_bzero(key, sizeof key);
    if (err != IOR_OK) return err;
    if (n < GOOD_KEY_BYTES)
        LOG_WARNING("auth", "short secret", "auth.secret has %zu bytes; %d or more are better", n,
                    GOOD_KEY_BYTES);
    if (previous > 0)
        LOG_INFO("auth", "previous secret", "from=%s: sessions that began under it go on",
                 c->auth_secret_previous[0] != 0 ? "auth.secret.previous" : FILE_PREVIOUS);
    return IOR_OK;
}
