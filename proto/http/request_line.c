/* proto/http/request_line.c - see request_line.h. The only failure is memory, which is sticky in
 * the buffer. A parameter is named by its decoded name, as the parser of queries does it, in any
 * case of letters; where its escapes are broken, by what it looks like. */
#include "proto/http/request_line.h"

#include <strings.h>
#include <time.h>

#include "base/json.h"
#include "base/limits.h"
#include "proto/http/path.h"

enum { NAME_BYTES_MAX = 3 * 16, METHOD_BYTES_MAX = 32 };

/* Ours is jwt; the others are what clients of other servers send by mistake. */
static const char *const secret_names[] = {"jwt", "token", "access_token", "password", "secret"};

static bool is_secret(struct ior_slice name)
{
    uint8_t memory[NAME_BYTES_MAX];
    size_t n = 0;
    if (name.size_bytes > sizeof memory) return false;
    if (!path_decode(name, true, memory, &n)) {
        for (size_t i = 0; i + 3 <= name.size_bytes; i++) {
            if (strncasecmp((const char *)name.data + i, "jwt", 3) == 0) return true;
        }
        return false;
    }
    for (size_t i = 0; i < IOR_LEN(secret_names); i++) {
        if (n == strlen(secret_names[i]) &&
            strncasecmp((const char *)memory, secret_names[i], n) == 0)
            return true;
    }
    return false;
}

/* Adds as much as there is room for. False: it was cut. */
static bool add_cut(struct ior_buf *out, struct ior_slice s, size_t *room)
{
    size_t n = s.size_bytes < *room ? s.size_bytes : *room;
    ior_buf_add(out, s.data, n);
    *room -= n;
    return n == s.size_bytes;
}

/* One parameter, with the separator behind it. */
static bool add_part(struct ior_buf *out, struct ior_slice part, size_t *room)
{
    const uint8_t *eq = memchr(part.data, '=', part.size_bytes);
    size_t name_bytes = eq == NULL ? part.size_bytes : (size_t)(eq - part.data);
    if (eq == NULL || !is_secret(ior_slice(part.data, name_bytes))) return add_cut(out, part, room);
    uint8_t last = part.data[part.size_bytes - 1];
    return add_cut(out, ior_slice(part.data, name_bytes + 1), room) &&
           add_cut(out, IOR_SLICE("***"), room) &&
           (last != '&' || add_cut(out, IOR_SLICE("&"), room)) &&
           (last != ';' || add_cut(out, IOR_SLICE(";"), room));
}

/* We do not split at `;`, but others do. */
void request_line_target(struct ior_buf *out, struct ior_slice target)
{
    size_t room = REQUEST_LOG_PATH_BYTES_MAX;
    const uint8_t *mark = memchr(target.data, '?', target.size_bytes);
    size_t path_bytes = mark == NULL ? target.size_bytes : (size_t)(mark - target.data) + 1;
    bool whole = add_cut(out, ior_slice(target.data, path_bytes), &room);
    for (size_t at = path_bytes; whole && at < target.size_bytes;) {
        size_t end = at;
        while (end < target.size_bytes && target.data[end] != '&' && target.data[end] != ';') end++;
        if (end < target.size_bytes) end++;
        whole = add_part(out, ior_slice(target.data + at, end - at), &room);
        at = end;
    }
    if (!whole) ior_buf_add_str(out, "...");
}

/* ---- lines ---- */

static void add_time(struct ior_buf *out, uint64_t ms)
{
    char text[40];
    struct tm tm;
    time_t s = (time_t)(ms / 1000);
    gmtime_r(&s, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    ior_buf_add(out, text, n);
    ior_buf_addf(out, ".%03uZ", (unsigned)(ms % 1000));
}

/* Never empty: a field is always there. */
static void add_plain(struct ior_buf *out, struct ior_slice s)
{
    static const char hex[] = "0123456789ABCDEF";
    if (s.size_bytes == 0) ior_buf_add_char(out, '-');
    for (size_t i = 0; i < s.size_bytes; i++) {
        uint8_t b = s.data[i];
        if (b > 0x20 && b < 0x7f) {
            ior_buf_add_char(out, (char)b);
        } else {
            const char escape[3] = {'%', hex[b >> 4], hex[b & 15]};
            ior_buf_add(out, escape, sizeof escape);
        }
    }
}

static struct ior_slice method_of(const struct request_line *l)
{
    struct ior_slice m = l->method;
    if (m.size_bytes > METHOD_BYTES_MAX) m.size_bytes = METHOD_BYTES_MAX;
    return m;
}

void request_line_text(struct ior_buf *out, const struct request_line *l)
{
    struct ior_buf target;
    ior_buf_init(&target);
    request_line_target(&target, l->target);
    add_time(out, l->time_ms);
    ior_buf_add_char(out, ' ');
    add_plain(out, l->client);
    ior_buf_add_char(out, ' ');
    add_plain(out, l->user);
    ior_buf_add_char(out, ' ');
    add_plain(out, method_of(l));
    ior_buf_add_char(out, ' ');
    add_plain(out, ior_buf_slice(&target));
    ior_buf_addf(out, " %d %llu %llu\n", l->status, (unsigned long long)l->body_bytes,
                 (unsigned long long)l->us);
    if (ior_buf_failed(&target)) out->failed = true;
    ior_buf_done(&target);
}

void request_line_json(struct ior_buf *out, const struct request_line *l)
{
    struct ior_buf target;
    ior_buf_init(&target);
    request_line_target(&target, l->target);
    ior_buf_add_str(out, "{\"time\":\"");
    add_time(out, l->time_ms);
    ior_buf_add_str(out, "\",\"address\":");
    ior_json_quote(out, l->client);
    ior_buf_add_str(out, ",\"user\":");
    ior_json_quote(out, l->user);
    ior_buf_add_str(out, ",\"method\":");
    ior_json_quote(out, method_of(l));
    ior_buf_add_str(out, ",\"path\":");
    ior_json_quote(out, ior_buf_slice(&target));
    ior_buf_addf(out, ",\"status\":%d,\"bytes\":%llu,\"us\":%llu}\n", l->status,
                 (unsigned long long)l->body_bytes, (unsigned long long)l->us);
    if (ior_buf_failed(&target)) out->failed = true;
    ior_buf_done(&target);
}
