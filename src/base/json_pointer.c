/* src/base/json_pointer.c - see json_pointer.h. */
#include "base/json_pointer.h"

#include "base/json_value.h"

/* Over the text, in place: ~1 becomes /, ~0 becomes ~, in this order for each. */
static bool decode_token(uint8_t *token, size_t size_bytes, size_t *ret_size)
{
    size_t n = 0;
    for (size_t i = 0; i < size_bytes; i++) {
        uint8_t b = token[i];
        if (b == '~') {
            if (++i == size_bytes || (token[i] != '0' && token[i] != '1')) return false;
            b = token[i] == '0' ? '~' : '/';
        }
        token[n++] = b;
    }
    *ret_size = n;
    return true;
}

static size_t count_tokens(const uint8_t *text, size_t size_bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < size_bytes; i++) count += text[i] == '/';
    return count;
}

enum ior_err json_pointer_parse(struct ior_slice raw, struct ior_arena *arena,
                                struct json_pointer *ret)
{
    *ret = (struct json_pointer){0};
    uint8_t *text = ior_arena_alloc(arena, raw.size_bytes);
    if (text == NULL) return IOR_E_NOMEM;
    size_t size = json_unquote(raw, text);
    if (size == 0) return IOR_OK;
    if (text[0] != '/') return IOR_E_BODY;
    size_t count = count_tokens(text, size);
    size_t kept = count < JSON_POINTER_TOKENS_MAX ? count : JSON_POINTER_TOKENS_MAX;
    ret->tokens = ior_arena_alloc(arena, kept * sizeof *ret->tokens);
    if (ret->tokens == NULL) return IOR_E_NOMEM;
    uint8_t *at = text;
    for (size_t i = 0; i < count; i++) {
        at++; /* the slash */
        const uint8_t *end = memchr(at, '/', (size_t)(text + size - at));
        size_t raw_size = end == NULL ? (size_t)(text + size - at) : (size_t)(end - at);
        size_t token_size = 0;
        if (!decode_token(at, raw_size, &token_size)) return IOR_E_BODY;
        if (i < kept) ret->tokens[i] = ior_slice(at, token_size);
        at += raw_size;
    }
    ret->count = kept;
    return IOR_OK;
}

bool json_pointer_is_inside(const struct json_pointer *b, const struct json_pointer *a)
{
    if (b->count <= a->count) return false;
    for (size_t i = 0; i < a->count; i++) {
        if (!ior_slice_eq(a->tokens[i], b->tokens[i])) return false;
    }
    return true;
}

int64_t json_pointer_index(struct ior_slice token)
{
    int64_t index = 0;
    if (ior_slice_eq(token, IOR_SLICE("-"))) return JSON_INDEX_END;
    if (token.size_bytes == 0 || (token.data[0] == '0' && token.size_bytes > 1))
        return JSON_INDEX_NONE;
    for (size_t i = 0; i < token.size_bytes; i++) {
        uint8_t b = token.data[i];
        if (b < '0' || b > '9') return JSON_INDEX_NONE;
        if (i < 18) index = index * 10 + (b - '0');
    }
    return token.size_bytes > 18 ? INT64_MAX : index;
}
