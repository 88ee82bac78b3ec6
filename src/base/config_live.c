/* src/base/config_live.c - see config_live.h. Fields are compared as bytes: what the parser
 * writes has no rest of an older value behind a text. */
#include "base/config_live.h"

#include "base/assert.h"
#include "base/config_row.h"

static size_t field_bytes(const struct config_row *row)
{
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
    case KIND_PATH:
        return CONFIG_TEXT_MAX;
    case KIND_RATE:
        return sizeof(config_RATE);
    case KIND_BYTERATE:
        return sizeof(config_BYTERATE);
    case KIND_ADDRESSES:
        return sizeof(config_ADDRESSES);
    case KIND_CHOICE:
        return sizeof(config_CHOICE);
    case KIND_FLAG:
        return sizeof(config_FLAG);
    case KIND_INT:
    case KIND_PORT:
    case KIND_BYTES:
    case KIND_MS:
        return sizeof(uint64_t);
    }
    IOR_WRONG("every kind is above");
}

size_t config_live_merge(const struct config *running, const struct config *fresh,
                         struct config *ret, void (*changed)(void *ctx, const char *key, bool live),
                         void *ctx)
{
    size_t count = 0;
    memcpy(ret, running, sizeof *ret);
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        const char *then = (const char *)running + row->offset;
        const char *now = (const char *)fresh + row->offset;
        if (memcmp(then, now, field_bytes(row)) == 0) continue;
        bool live = row->when == LIVE;
        if (live) {
            memcpy((char *)ret + row->offset, now, field_bytes(row));
            count++;
        }
        changed(ctx, row->key, live);
    }
    return count;
}
