/* src/auth/policy_build.c - facts become a policy (policy.h). Thread: one; the
 * finished object is then read by all.
 * Happy path: pass 1 reads the keys, so that pass 2 can resolve names whatever
 * the order of the facts; pass 2 reads the values; pass 3 walks from each user
 * over his groups, breadth first with a mark on each group, so that cycles end.
 * Memory grows with the facts plus users times their groups.
 * Failure: CORRUPT and the key, or NOMEM; nothing is left behind. */
#include <sodium.h>
#include <stdlib.h>

#include "auth/fact.h"
#include "auth/policy_parts.h"
#include "base/assert.h"

/* A fact of ours while the policy is built. */
struct item {
    struct fact_key key; /* points into text */
    const struct fact *fact;
};
struct build {
    struct policy *p;
    struct ior_why *why;
    struct item *items;
    struct policy_group **queue; /* room for every group */
    size_t walks;                /* marks given out */
};

/* Pass 1a: which facts are ours, how much room do their keys need. */
static enum ior_err count_facts(struct build *b, const struct fact *facts, size_t count,
                                size_t *text_bytes)
{
    struct policy *p = b->p;
    for (size_t i = 0; i < count; i++) {
        struct fact_key k;
        enum ior_err err = fact_key_read(facts[i].key, &k, b->why);
        if (err != IOR_OK) return err;
        if (k.kind == FACT_OTHER) continue;
        p->keys_count++;
        p->users_count += k.kind == FACT_USER;
        p->groups_count += k.kind == FACT_GROUP;
        *text_bytes += facts[i].key.size_bytes;
    }
    return IOR_OK;
}

static enum ior_err make_room(struct build *b, size_t text_bytes)
{
    struct policy *p = b->p;
    p->text = malloc(text_bytes + 1);
    p->keys = calloc(p->keys_count + 1, sizeof *p->keys);
    p->users = calloc(p->users_count + 1, sizeof *p->users);
    p->groups = calloc(p->groups_count + 1, sizeof *p->groups);
    b->items = calloc(p->keys_count + 1, sizeof *b->items);
    b->queue = calloc(p->groups_count + 1, sizeof(struct policy_group *));
    if (p->text == NULL || p->keys == NULL || p->users == NULL || p->groups == NULL ||
        b->items == NULL || b->queue == NULL)
        return IOR_E_NOMEM;
    return IOR_OK;
}

static enum ior_err add_user(struct build *b, struct policy_member *u, struct ior_slice key,
                             struct ior_slice name)
{
    if (policy_find_user(b->p, name) != NULL)
        return fact_corrupt(b->why, key, "there is another user whose name differs only in case");
    role_init(&u->own);
    memcpy(u->shown.name, name.data, name.size_bytes);
    return ior_map_add(&b->p->by_user, policy_hash_user(b->p, name), u);
}

static enum ior_err add_group(struct build *b, struct policy_group *g, struct ior_slice name)
{
    role_init(&g->role);
    g->name = name;
    return ior_map_add(&b->p->by_group, role_hash(b->p->salt, name), g);
}

/* Pass 1b: the keys move into the policy; users and groups can be found from here on. */
static enum ior_err add_names(struct build *b, const struct fact *facts, size_t count)
{
    struct policy *p = b->p;
    uint8_t *text = p->text;
    size_t keys = 0;
    size_t users = 0;
    size_t groups = 0;
    for (size_t i = 0; i < count; i++) {
        struct fact_key k;
        enum ior_err err = fact_key_read(facts[i].key, &k, b->why);
        IOR_ASSERT(err == IOR_OK); /* pass 1a has seen it */
        if (k.kind == FACT_OTHER) continue;
        struct ior_slice key = ior_slice(text, facts[i].key.size_bytes);
        memcpy(text, facts[i].key.data, key.size_bytes);
        text += key.size_bytes;
        err = fact_key_read(key, &k, b->why);
        IOR_ASSERT(err == IOR_OK);

        if (policy_has_fact(p, key)) return fact_corrupt(b->why, key, "it is there twice");
        p->keys[keys] = key;
        err = ior_map_add(&p->by_key, role_hash(p->salt, key), &p->keys[keys]);
        if (err == IOR_OK && k.kind == FACT_USER)
            err = add_user(b, &p->users[users++], key, k.name);
        if (err == IOR_OK && k.kind == FACT_GROUP) err = add_group(b, &p->groups[groups++], k.name);
        if (err != IOR_OK) return err;
        b->items[keys++] = (struct item){k, &facts[i]};
    }
    IOR_ASSERT(keys == p->keys_count && users == p->users_count && groups == p->groups_count);
    return IOR_OK;
}

/* The groups of a value that exist, each once. */
static enum ior_err read_groups(struct build *b, const struct fact_value *v,
                                struct policy_group ***ret, size_t *ret_count)
{
    size_t mark = ++b->walks;
    size_t count = 0;
    for (size_t i = 0; i < v->groups_count; i++) {
        struct policy_group *g = policy_find_group(b->p, fact_value_group(v, i));
        if (g == NULL || g->mark == mark) continue;
        g->mark = mark;
        b->queue[count++] = g;
    }
    *ret_count = count;
    if (count == 0) return IOR_OK;
    *ret = malloc(count * sizeof(struct policy_group *));
    if (*ret == NULL) {
        *ret_count = 0;
        return IOR_E_NOMEM;
    }
    memcpy(*ret, b->queue, count * sizeof(struct policy_group *));
    return IOR_OK;
}

static enum ior_err add_grant(struct policy *p, const struct fact_key *k, uint8_t perms)
{
    struct role *r = &p->everyone;
    if (k->role == FACT_ROLE_USER) {
        struct policy_member *u = policy_find_user(p, k->name);
        r = u == NULL ? NULL : &u->own;
    } else if (k->role == FACT_ROLE_GROUP) {
        struct policy_group *g = policy_find_group(p, k->name);
        r = g == NULL ? NULL : &g->role;
    }
    if (r == NULL || perms == 0) return IOR_OK;
    return role_add(r, p->salt, k->bucket, k->stream, perms);
}

/* Pass 2: the value of one fact. */
static enum ior_err read_value(struct build *b, const struct item *it)
{
    struct fact_value v;
    enum ior_err err = fact_value_read(it->fact, it->key.kind, &v, b->why);
    if (err != IOR_OK) return err;
    if (it->key.kind == FACT_USER) {
        struct policy_member *u = policy_find_user(b->p, it->key.name);
        IOR_ASSERT(u != NULL);
        IOR_ASSERT(strlen(v.password) < sizeof u->shown.password);
        memcpy(u->shown.password, v.password, strlen(v.password) + 1);
        u->shown.credential = v.credential;
        err = read_groups(b, &v, &u->groups, &u->groups_count);
    } else if (it->key.kind == FACT_GROUP) {
        struct policy_group *g = policy_find_group(b->p, it->key.name);
        IOR_ASSERT(g != NULL);
        err = read_groups(b, &v, &g->parents, &g->parents_count);
    } else if (it->key.kind == FACT_GRANT) {
        err = add_grant(b->p, &it->key, v.perms);
    }
    fact_value_done(&v);
    return err;
}

static void add_role(struct policy_member *u, const struct role *r)
{
    u->any |= r->any;
    u->some |= r->some;
    if (r->some != 0) u->roles[u->roles_count++] = r;
}

/* Pass 3: every role of one user, however many groups away. */
static enum ior_err collect_roles(struct build *b, struct policy_member *u)
{
    size_t mark = ++b->walks;
    size_t count = 0;
    for (size_t i = 0; i < u->groups_count; i++) {
        u->groups[i]->mark = mark;
        b->queue[count++] = u->groups[i];
    }
    for (size_t at = 0; at < count; at++) {
        const struct policy_group *g = b->queue[at];
        for (size_t i = 0; i < g->parents_count; i++) {
            if (g->parents[i]->mark == mark) continue;
            g->parents[i]->mark = mark;
            b->queue[count++] = g->parents[i];
        }
    }
    IOR_ASSERT(count <= b->p->groups_count);
    u->roles = malloc((count + 2) * sizeof(struct role *));
    if (u->roles == NULL) return IOR_E_NOMEM;
    add_role(u, &u->own);
    for (size_t i = 0; i < count; i++) add_role(u, &b->queue[i]->role);
    add_role(u, &b->p->everyone);
    return IOR_OK;
}

static enum ior_err fill(struct build *b, const struct fact *facts, size_t count)
{
    size_t text_bytes = 0;
    enum ior_err err = count_facts(b, facts, count, &text_bytes);
    if (err == IOR_OK) err = make_room(b, text_bytes);
    if (err == IOR_OK) err = add_names(b, facts, count);
    for (size_t i = 0; err == IOR_OK && i < b->p->keys_count; i++)
        err = read_value(b, &b->items[i]);
    for (size_t i = 0; err == IOR_OK && i < b->p->users_count; i++)
        err = collect_roles(b, &b->p->users[i]);
    return err;
}

enum ior_err policy_build(const struct fact *facts, size_t count, struct policy **ret,
                          struct ior_why *why)
{
    struct policy *p = calloc(1, sizeof *p);
    if (p == NULL) return IOR_E_NOMEM;
    p->magic = POLICY_MAGIC;
    atomic_init(&p->refs, 1);
    randombytes_buf(&p->salt, sizeof p->salt);
    ior_map_init(&p->by_key);
    ior_map_init(&p->by_user);
    ior_map_init(&p->by_group);
    role_init(&p->everyone);

    struct build b = {.p = p, .why = why};
    enum ior_err err = fill(&b, facts, count);
    free(b.items);
    free(b.queue);
    if (err != IOR_OK) {
        policy_free(p);
        return err;
    }
    *ret = p;
    return IOR_OK;
}
