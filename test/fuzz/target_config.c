/* test/fuzz/target_config.c - any bytes as a configuration file.
 * Checked: a refusal names the file and changes nothing; what is taken is within
 * its bounds, and parsing it again onto itself gives the same. */
#include <string.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void check_text(const char *text, size_t room, uint64_t min, uint64_t max)
{
    const size_t size = strnlen(text, room);
    IOR_ASSERT(size < room);
    IOR_ASSERT(size >= min && size <= max);
}

static void check_path(const char *text)
{
    check_text(text, CONFIG_TEXT_MAX, 0, CONFIG_TEXT_MAX - 1);
    IOR_ASSERT(text[0] == 0 || text[0] == '/');
    IOR_ASSERT(strstr(text, "//") == NULL && strstr(text, "/./") == NULL &&
               strstr(text, "/../") == NULL);
}

static void check_rate(uint64_t rate, uint64_t max)
{
    uint64_t seconds = config_rate_seconds(rate);
    IOR_ASSERT(config_rate_count(rate) <= max);
    IOR_ASSERT(seconds == 1 || seconds == 60 || seconds == 3600);
}

static void check_addresses(const char *text)
{
    struct ior_networks n;
    enum ior_err err = ior_networks_parse(ior_slice_str(text), &n, NULL);
    IOR_ASSERT(err == IOR_OK && n.count <= NETWORKS_MAX);
    for (size_t i = 0; i < n.count; i++)
        IOR_ASSERT(n.items[i].bits <= 128 && ior_networks_have(&n, &n.items[i].address));
}

#define CHECK_TEXT(field, min, max) check_text(field, sizeof(field), min, max)
#define CHECK_SECRET CHECK_TEXT
#define CHECK_PATH(field, min, max) check_path(field)
#define CHECK_CHOICE(field, min, max) CHECK_TEXT(field, 1, max)
#define CHECK_FLAG(field, min, max) IOR_ASSERT((field) == true || (field) == false)
#define CHECK_INT(field, min, max) IOR_ASSERT((field) <= (max) && (field) + 1 > (min))
#define CHECK_PORT CHECK_INT
#define CHECK_BYTES CHECK_INT
#define CHECK_MS CHECK_INT
#define CHECK_RATE(field, min, max) check_rate(field, max)
#define CHECK_BYTERATE CHECK_RATE
#define CHECK_ADDRESSES(field, min, max) check_addresses(field)

static void check_bounds(const struct config *c)
{
#define X(field, key, kind, def, min, max, when, help) CHECK_##kind(c->field, min, max);
#include "config/keys.def"
#undef X
    IOR_ASSERT((c->ring_size & (c->ring_size - 1)) == 0);
    IOR_ASSERT(c->journal_segment % 4096 == 0);
    const size_t secret_bytes = strlen(c->auth_secret);
    IOR_ASSERT(secret_bytes == 0 || secret_bytes >= CONFIG_AUTH_SECRET_BYTES_MIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct config defaults;
    struct config c;
    struct ior_why why = {""};
    config_set_defaults(&defaults, "/nowhere/rel");
    memcpy(&c, &defaults, sizeof c);
    const enum ior_err err = config_parse(&c, "fuzz.conf", (const char *)data, size_bytes, &why);
    if (err != IOR_OK) {
        IOR_ASSERT(err == IOR_E_INVAL);
        IOR_ASSERT(strncmp(why.text, "fuzz.conf:", 10) == 0);
        IOR_ASSERT(strnlen(why.text, sizeof why.text) < sizeof why.text);
        IOR_ASSERT(memcmp(&c, &defaults, sizeof c) == 0);
        return 0;
    }
    IOR_ASSERT(why.text[0] == 0);
    check_bounds(&c);
    struct config again;
    memcpy(&again, &c, sizeof again);
    IOR_ASSERT(config_parse(&again, "fuzz.conf", (const char *)data, size_bytes, NULL) == IOR_OK);
    IOR_ASSERT(memcmp(&again, &c, sizeof c) == 0);
    return 0;
}
