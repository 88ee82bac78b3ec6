/* src/auth/fact.c - see fact.h. Thread: any.
 * Happy path: a key is cut at FACT_SEP and must have exactly the parts of its
 * kind; a value is parsed (json_object.c: duplicate names refused) and every part
 * that policy.h names must be there with its type. Other parts are left for
 * later versions.
 * Failure: CORRUPT and a text with the key in it, separators shown as `/`. */
#include "auth/fact.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth/json_object.h"
#include "auth/password.h"
#include "base/assert.h"
#include "base/json.h"

#define KEY_PARTS_MAX 6
#define KEY_SHOWN_BYTES 200

static const char *const kind_names[] = {NULL, "user", "group", "grant", "bootstrap", "deleted"};
static const size_t kind_parts[] = {0, 2, 2, 6, 1, 1};
static const char *const role_names[] = {"user", "group", "all"};
static const char *const scope_names[] = {"any", "bucket", "stream"};
static const char *const perm_names[] = {"get",   "put",        "delete",    "list",
                                         "grant", "adminusers", "viewstats", "admincluster"};

IOR_STATIC_ASSERT((1u << (sizeof perm_names / sizeof perm_names[0])) - 1 == PERM_ALL,
                  "every permission has a name, in the order of enum perm");

/* The index of the word `s`, or `count`. */
static size_t find(const char *const *words, size_t count, struct ior_slice s)
{
    size_t i = 0;
    while (i < count && (words[i] == NULL || !ior_slice_eq(s, ior_slice_str(words[i])))) i++;
    return i;
}

enum ior_err fact_corrupt(struct ior_why *why, struct ior_slice key, const char *what)
{
    char shown[KEY_SHOWN_BYTES + 4];
    size_t n = key.size_bytes < KEY_SHOWN_BYTES ? key.size_bytes : KEY_SHOWN_BYTES;
    for (size_t i = 0; i < n; i++) {
        uint8_t c = key.data[i];
        shown[i] = (char)(c == FACT_SEP[0] ? '/' : c < 0x20 || c == 0x7f ? '?' : c);
    }
    snprintf(shown + n, 4, "%s", n < key.size_bytes ? "..." : "");
    return ior_why_set(why, IOR_E_CORRUPT, "fact %s: %s", shown, what);
}

static bool name_ok(struct ior_slice s, size_t bytes_max)
{
    if (s.size_bytes == 0 || s.size_bytes > bytes_max) return false;
    for (size_t i = 0; i < s.size_bytes; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) return false;
    }
    return true;
}

/* Cut at FACT_SEP. The number of parts, or KEY_PARTS_MAX + 1 for too many. */
static size_t cut(struct ior_slice key, struct ior_slice parts[KEY_PARTS_MAX])
{
    size_t count = 0;
    size_t from = 0;
    for (size_t i = 0; i <= key.size_bytes; i++) {
        if (i < key.size_bytes && key.data[i] != (uint8_t)FACT_SEP[0]) continue;
        if (count == KEY_PARTS_MAX) return KEY_PARTS_MAX + 1;
        parts[count++] = i == from ? IOR_SLICE("") : ior_slice(key.data + from, i - from);
        from = i + 1;
    }
    return count;
}

static enum ior_err read_grant_key(struct ior_slice key, const struct ior_slice *parts,
                                   struct fact_key *k, struct ior_why *why)
{
    size_t role = find(role_names, IOR_LEN(role_names), parts[1]);
    if (role == IOR_LEN(role_names))
        return fact_corrupt(why, key, "the role is not user, group or all");
    k->role = (enum fact_role)role;
    k->name = parts[2];
    if (k->role == FACT_ROLE_ALL && k->name.size_bytes != 0)
        return fact_corrupt(why, key, "a grant to all has no name");
    if (k->role != FACT_ROLE_ALL && !name_ok(k->name, USERNAME_BYTES_MAX))
        return fact_corrupt(why, key, "the name is empty, too long or has control characters");

    size_t scope = find(scope_names, IOR_LEN(scope_names), parts[3]);
    if (scope == IOR_LEN(scope_names))
        return fact_corrupt(why, key, "the scope is not any, bucket or stream");
    k->scope = (enum fact_scope)scope;
    k->bucket = parts[4];
    k->stream = parts[5];
    if (k->scope == FACT_SCOPE_ANY ? k->bucket.size_bytes != 0
                                   : !name_ok(k->bucket, BUCKET_BYTES_MAX))
        return fact_corrupt(why, key, "the bucket does not fit the scope");
    if (k->scope != FACT_SCOPE_STREAM ? k->stream.size_bytes != 0
                                      : !name_ok(k->stream, STREAM_BYTES_MAX))
        return fact_corrupt(why, key, "the stream does not fit the scope");
    return IOR_OK;
}

enum ior_err fact_key_read(struct ior_slice key, struct fact_key *ret, struct ior_why *why)
{
    struct ior_slice parts[KEY_PARTS_MAX];
    size_t count = cut(key, parts);
    struct fact_key k = {.kind = FACT_OTHER};
    size_t kind = find(kind_names, IOR_LEN(kind_names), parts[0]);
    if (kind == IOR_LEN(kind_names)) {
        *ret = k;
        return IOR_OK;
    }
    k.kind = (enum fact_kind)kind;
    if (count != kind_parts[kind])
        return fact_corrupt(why, key, "the key has not the parts it must have");
    if (k.kind == FACT_GRANT) {
        enum ior_err err = read_grant_key(key, parts, &k, why);
        if (err != IOR_OK) return err;
    } else if (kind_parts[kind] > 1) {
        k.name = parts[1];
        if (!name_ok(k.name, USERNAME_BYTES_MAX))
            return fact_corrupt(why, key, "the name is empty, too long or has control characters");
    }
    *ret = k;
    return IOR_OK;
}

void fact_key_write(struct ior_buf *out, const struct fact_key *key)
{
    IOR_ASSERT(key->kind != FACT_OTHER);
    ior_buf_add_str(out, kind_names[key->kind]);
    if (kind_parts[key->kind] == 1) return;
    ior_buf_add_str(out, FACT_SEP);
    if (key->kind == FACT_GRANT) {
        ior_buf_add_str(out, role_names[key->role]);
        ior_buf_add_str(out, FACT_SEP);
    }
    ior_buf_add_slice(out, key->name);
    if (key->kind != FACT_GRANT) return;
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_str(out, scope_names[key->scope]);
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_slice(out, key->bucket);
    ior_buf_add_str(out, FACT_SEP);
    ior_buf_add_slice(out, key->stream);
}

uint8_t policy_perm(struct ior_slice name)
{
    size_t i = find(perm_names, IOR_LEN(perm_names), name);
    if (i == IOR_LEN(perm_names)) return 0;
    return (uint8_t)(1u << i);
}

const char *policy_perm_name(enum perm perm)
{
    for (size_t i = 0; i < IOR_LEN(perm_names); i++) {
        if ((unsigned)perm == 1u << i) return perm_names[i];
    }
    IOR_WRONG("perm is one permission");
}

static enum ior_err read_groups(const struct fact *f, const json_t *json, struct fact_value *v,
                                struct ior_why *why)
{
    const json_t *groups = json_object_get(json, "groups");
    if (!json_is_array(groups)) return fact_corrupt(why, f->key, "\"groups\" is not a list");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *g = json_array_get(groups, i);
        if (!json_is_string(g) || !name_ok(json_object_text(g), USERNAME_BYTES_MAX))
            return fact_corrupt(why, f->key, "\"groups\" holds what is no name of a group");
    }
    v->groups = groups;
    v->groups_count = json_array_size(groups);
    return IOR_OK;
}

static enum ior_err read_credential(const struct fact *f, const json_t *json, struct fact_value *v,
                                    struct ior_why *why)
{
    const json_t *credential = json_object_get(json, "credential");
    if (!json_is_integer(credential) || json_integer_value(credential) < 0)
        return fact_corrupt(why, f->key, "\"credential\" is not a whole number from 0 on");
    v->credential = (uint64_t)json_integer_value(credential);
    return IOR_OK;
}

static enum ior_err read_user(const struct fact *f, const json_t *json, struct fact_value *v,
                              struct ior_why *why)
{
    v->password = json_string_value(json_object_get(json, "password"));
    if (v->password == NULL || !password_hash_ok(v->password))
        return fact_corrupt(why, f->key, "\"password\" is not the text of an argon2id hash");
    const json_t *since = json_object_get(json, "since");
    if (since != NULL && (!json_is_integer(since) || json_integer_value(since) < 0))
        return fact_corrupt(why, f->key, "\"since\" is not a whole number from 0 on");
    v->since_s = (uint64_t)json_integer_value(since);
    enum ior_err err = read_credential(f, json, v, why);
    return err == IOR_OK ? read_groups(f, json, v, why) : err;
}

static enum ior_err read_grant(const struct fact *f, const json_t *json, struct fact_value *v,
                               struct ior_why *why)
{
    const json_t *perms = json_object_get(json, "perms");
    if (!json_is_array(perms)) return fact_corrupt(why, f->key, "\"perms\" is not a list");
    for (size_t i = 0; i < json_array_size(perms); i++) {
        const json_t *p = json_array_get(perms, i);
        uint8_t bit = json_is_string(p) ? policy_perm(json_object_text(p)) : 0;
        if (bit == 0) return fact_corrupt(why, f->key, "\"perms\" holds an unknown permission");
        v->perms |= bit;
    }
    return IOR_OK;
}

enum ior_err fact_value_read(const struct fact *f, enum fact_kind kind, struct fact_value *ret,
                             struct ior_why *why)
{
    if (f->value.size_bytes > FACT_BYTES_MAX)
        return fact_corrupt(why, f->key, "the value is larger than 64 KB");
    json_t *json = NULL;
    enum ior_err err = json_object_read(f->value, &json);
    if (err == IOR_E_BODY)
        return fact_corrupt(why, f->key, "the value is not a JSON object without duplicate names");
    if (err != IOR_OK) return err;
    struct fact_value v = {.json = json};
    if (kind == FACT_USER) err = read_user(f, json, &v, why);
    if (kind == FACT_GROUP) err = read_groups(f, json, &v, why);
    if (kind == FACT_GRANT) err = read_grant(f, json, &v, why);
    if (kind == FACT_DELETED) err = read_credential(f, json, &v, why);
    if (err != IOR_OK) {
        json_decref(json);
        return err;
    }
    *ret = v;
    return IOR_OK;
}

struct ior_slice fact_value_group(const struct fact_value *v, size_t i)
{
    IOR_ASSERT(i < v->groups_count);
    return json_object_text(json_array_get(v->groups, i));
}

void fact_value_done(struct fact_value *v)
{
    json_decref(v->json);
    *v = (struct fact_value){0};
}

/* The names that this version knows in a value of this kind. */
static bool is_known(enum fact_kind kind, const char *name)
{
    static const char *const known[][3] = {[FACT_USER] = {"password", "credential", "groups"},
                                           [FACT_GROUP] = {"groups"},
                                           [FACT_GRANT] = {"perms"},
                                           [FACT_DELETED] = {"credential"}};
    for (size_t i = 0; i < IOR_LEN(known[0]) && known[kind][i] != NULL; i++) {
        if (strcmp(name, known[kind][i]) == 0) return true;
    }
    return false;
}

static enum ior_err add_text(struct ior_buf *out, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    if (text == NULL) return IOR_E_NOMEM;
    ior_buf_add_str(out, text);
    free(text);
    return ior_buf_failed(out) ? IOR_E_NOMEM : IOR_OK;
}

enum ior_err fact_value_extra(const struct fact_value *v, enum fact_kind kind, struct ior_buf *ret)
{
    json_t *extra = NULL;
    enum ior_err err = IOR_OK;
    const char *name;
    json_t *part;
    json_object_foreach((json_t *)v->json, name, part)
    {
        if (is_known(kind, name)) continue;
        if (extra == NULL) extra = json_object();
        if (extra == NULL || json_object_set(extra, name, part) != 0) {
            err = IOR_E_NOMEM;
            break;
        }
    }
    if (err == IOR_OK && extra != NULL) err = add_text(ret, extra);
    json_decref(extra);
    return err;
}

/* Takes json, which is NULL when making it failed; what is in extra comes behind it. */
static enum ior_err write_json(struct ior_buf *out, json_t *json, struct ior_slice extra)
{
    if (json == NULL) return IOR_E_NOMEM;
    if (extra.size_bytes > 0) {
        json_t *more = NULL;
        enum ior_err err = json_object_read(extra, &more);
        if (err == IOR_OK && json_object_update_missing(json, more) != 0) err = IOR_E_NOMEM;
        json_decref(more);
        if (err != IOR_OK) {
            json_decref(json);
            return err;
        }
    }
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (text == NULL) return IOR_E_NOMEM;
    size_t size_bytes = strlen(text);
    if (size_bytes <= FACT_BYTES_MAX) ior_buf_add(out, text, size_bytes);
    free(text);
    if (size_bytes > FACT_BYTES_MAX) return IOR_E_INVAL;
    return ior_buf_failed(out) ? IOR_E_NOMEM : IOR_OK;
}

/* A list of names in *ret. */
static enum ior_err make_list(const struct ior_slice *names, size_t count, json_t **ret)
{
    for (size_t i = 0; i < count; i++) {
        IOR_ASSERT(names[i].data != NULL);
        if (!ior_utf8_ok(names[i])) return IOR_E_INVAL;
    }
    json_t *list = json_array();
    if (list == NULL) return IOR_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        json_t *name = json_stringn((const char *)names[i].data, names[i].size_bytes);
        if (json_array_append_new(list, name) != 0) { /* also when name is NULL */
            json_decref(list);
            return IOR_E_NOMEM;
        }
    }
    *ret = list;
    return IOR_OK;
}

enum ior_err fact_user_write(struct ior_buf *out, const char *password, uint64_t credential,
                             const struct ior_slice *groups, size_t groups_count,
                             struct ior_slice extra)
{
    if (credential > INT64_MAX) return IOR_E_INVAL; /* JSON numbers end there */
    json_t *list = NULL;
    enum ior_err err = make_list(groups, groups_count, &list);
    if (err != IOR_OK) return err;
    return write_json(out,
                      json_pack("{s:s, s:I, s:o}", "password", password, "credential",
                                (json_int_t)credential, "groups", list),
                      extra);
}

enum ior_err fact_group_write(struct ior_buf *out, const struct ior_slice *groups,
                              size_t groups_count, struct ior_slice extra)
{
    json_t *list = NULL;
    enum ior_err err = make_list(groups, groups_count, &list);
    if (err != IOR_OK) return err;
    return write_json(out, json_pack("{s:o}", "groups", list), extra);
}

enum ior_err fact_grant_write(struct ior_buf *out, uint8_t perms, struct ior_slice extra)
{
    struct ior_slice names[IOR_LEN(perm_names)];
    size_t count = 0;
    for (size_t i = 0; i < IOR_LEN(perm_names); i++) {
        if ((perms & (1u << i)) != 0) names[count++] = ior_slice_str(perm_names[i]);
    }
    json_t *list = NULL;
    enum ior_err err = make_list(names, count, &list);
    if (err != IOR_OK) return err;
    return write_json(out, json_pack("{s:o}", "perms", list), extra);
}

enum ior_err fact_extra_since(struct ior_buf *out, struct ior_slice extra, uint64_t since_s)
{
    if (since_s > INT64_MAX) return IOR_E_INVAL;
    return write_json(out, json_pack("{s:I}", "since", (json_int_t)since_s), extra);
}

enum ior_err fact_deleted_write(struct ior_buf *out, uint64_t credential)
{
    if (credential > INT64_MAX) return IOR_E_INVAL;
    return write_json(out, json_pack("{s:I}", "credential", (json_int_t)credential), IOR_SLICE(""));
}
