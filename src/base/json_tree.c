/* src/base/json_tree.c - see json_tree.h: finding, changing, writing. Comparing:
 * json_tree_equal.c. */
#include "base/json_tree.h"

#include "base/assert.h"
#include "base/json_tree_private.h"

enum { KIDS_FEW = 16, KIDS_MORE_MIN = 4, KIDS_MORE_PART = 8, BYTES_PER_STEP = 64 };

void json_tree_init(struct json_tree *t, struct ior_slice text, const struct json_tree_limits *l)
{
    *t = (struct json_tree){.bytes_max = l->bytes_max, .steps_left = l->steps_max};
    ior_arena_init(&t->arena, l->memory_max);
    text = json_trim(text);
    IOR_ASSERT(text.size_bytes > 0 && text.size_bytes <= UINT32_MAX / 4);
    t->root = json_node_of(text, JSON_DEPTH_MAX); /* at most: nobody has looked */
}

void json_tree_done(struct json_tree *t)
{
    ior_arena_done(&t->arena);
}

struct json_node json_node_of(struct ior_slice text, unsigned height)
{
    IOR_ASSERT(text.size_bytes > 0 && text.size_bytes <= UINT32_MAX / 4);
    return (struct json_node){
        .text = text.data,
        .text_bytes = (uint32_t)text.size_bytes,
        .kind = (uint8_t)json_kind_of(text),
        .height = (uint8_t)(height > UINT8_MAX ? UINT8_MAX : height),
    };
}

/* ---- limits ---- */

void *json_tree_alloc(struct json_tree *t, size_t size_bytes, enum ior_err *ret_err)
{
    void *p = ior_arena_alloc(&t->arena, size_bytes);
    *ret_err = IOR_OK;
    if (p != NULL) return p;
    if (t->arena.over_budget) t->limit = "it takes too much memory";
    *ret_err = t->arena.over_budget ? IOR_E_TOOLARGE : IOR_E_NOMEM;
    return NULL;
}

enum ior_err json_tree_spend(struct json_tree *t, uint64_t steps)
{
    if (steps <= t->steps_left) {
        t->steps_left -= steps;
        return IOR_OK;
    }
    t->steps_left = 0;
    t->limit = "it takes too much work";
    return IOR_E_TOOLARGE;
}

/* ---- looking into a value ---- */

static bool is_container(const struct json_node *n)
{
    return n->kind == JSON_ARRAY || n->kind == JSON_OBJECT;
}

struct json_kids *json_kids_new(struct json_tree *t, uint32_t room, enum ior_err *ret_err)
{
    struct json_kids *k =
        json_tree_alloc(t, sizeof *k + (size_t)room * sizeof(struct json_node), ret_err);
    if (k == NULL) return NULL;
    k->count = 0;
    k->room = room;
    return k;
}

static struct json_node node_of_member(const struct json_member *m)
{
    struct json_node n = json_node_of(m->value, m->height);
    n.name = m->name.data;
    n.name_bytes = (uint32_t)m->name.size_bytes;
    return n;
}

/* The first few go over the stack; of more the rest is walked twice, the first time to count. */
enum ior_err json_node_open(struct json_tree *t, struct json_node *n)
{
    struct json_walk w;
    struct json_member m;
    struct json_node few[KIDS_FEW];
    uint32_t count = 0;
    if (n->kids != NULL || !is_container(n)) return IOR_OK;
    IOR_ASSERT(n->text != NULL);
    json_walk_begin(&w, ior_slice(n->text, n->text_bytes));
    while (count < KIDS_FEW && json_walk_next(&w, &m)) few[count++] = node_of_member(&m);
    struct json_walk rest = w;
    uint32_t more = 0;
    while (count == KIDS_FEW && json_walk_next(&w, &m)) more++;
    enum ior_err err = json_tree_spend(t, count + more + n->text_bytes / BYTES_PER_STEP);
    if (err != IOR_OK) return err;
    struct json_kids *k = json_kids_new(t, count + more, &err);
    if (k == NULL) return err;
    memcpy(k->at, few, count * sizeof *few);
    k->count = count;
    while (k->count < count + more && json_walk_next(&rest, &m))
        k->at[k->count++] = node_of_member(&m);
    n->kids = k;
    return IOR_OK;
}

static struct ior_slice name_of(const struct json_node *n)
{
    return ior_slice(n->name, n->name_bytes);
}

/* The last member with this name; NULL: none. */
static struct json_node *find_member(struct json_kids *k, struct ior_slice name)
{
    for (uint32_t i = k->count; i > 0; i--) {
        if (json_string_is(name_of(&k->at[i - 1]), name)) return &k->at[i - 1];
    }
    return NULL;
}

static enum ior_err find_kid(struct json_tree *t, struct json_node *parent, struct ior_slice token,
                             struct json_node **ret)
{
    *ret = NULL;
    enum ior_err err = json_node_open(t, parent);
    if (err != IOR_OK) return err;
    if (parent->kind == JSON_OBJECT) {
        err = json_tree_spend(t, parent->kids->count);
        if (err == IOR_OK) *ret = find_member(parent->kids, token);
    } else if (parent->kind == JSON_ARRAY) {
        int64_t at = json_pointer_index(token);
        if (at >= 0 && at < parent->kids->count) *ret = &parent->kids->at[at];
    }
    if (err != IOR_OK) return err;
    return *ret == NULL ? IOR_E_NOTFOUND : IOR_OK;
}

/* The nodes from the root on, one for each of the first `count` tokens and the root. */
struct way {
    struct json_node *nodes[JSON_POINTER_TOKENS_MAX + 1];
    size_t count;
    int64_t more_bytes; /* that the last one takes now */
};

static enum ior_err follow(struct json_tree *t, const struct json_pointer *p, size_t count,
                           struct way *w)
{
    if (t->empty) return IOR_E_NOTFOUND;
    w->nodes[0] = &t->root;
    w->count = 1;
    w->more_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        enum ior_err err = find_kid(t, w->nodes[i], p->tokens[i], &w->nodes[i + 1]);
        if (err != IOR_OK) return err;
        w->count++;
    }
    return IOR_OK;
}

enum ior_err json_tree_get(struct json_tree *t, const struct json_pointer *p,
                           struct json_node **ret)
{
    struct way w;
    enum ior_err err = follow(t, p, p->count, &w);
    if (err == IOR_OK) *ret = w.nodes[w.count - 1];
    return err;
}

/* ---- sizes and heights ---- */

static uint32_t bytes_with_name(const struct json_node *n)
{
    return n->text_bytes + (n->name_bytes > 0 ? n->name_bytes + 1 : 0); /* the colon */
}

/* What will be written of it: brackets, members, commas. */
static uint64_t bytes_of_kids(const struct json_kids *k)
{
    uint64_t bytes = 2 + (k->count > 0 ? k->count - 1 : 0);
    for (uint32_t i = 0; i < k->count; i++) bytes += bytes_with_name(&k->at[i]);
    return bytes;
}

/* n changed, and takes so many bytes more; it is made of its kids now. more_bytes: what is more of
 * it, for the one above. */
static enum ior_err changed_node(struct json_tree *t, struct json_node *n, int64_t *more_bytes)
{
    uint64_t bytes = (uint64_t)((int64_t)n->text_bytes + *more_bytes);
    if (n->text != NULL) { /* for the first time: the white space goes */
        enum ior_err err = json_tree_spend(t, n->kids->count / 4);
        if (err != IOR_OK) return err;
        bytes = bytes_of_kids(n->kids);
    }
    if (bytes > t->bytes_max) {
        t->limit = "the document becomes too large";
        return IOR_E_TOOLARGE;
    }
    *more_bytes = (int64_t)bytes - n->text_bytes;
    n->text = NULL;
    n->text_bytes = (uint32_t)bytes;
    return IOR_OK;
}

/* Something changed in the last node of the way, which nests at least so deep. */
static enum ior_err changed(struct json_tree *t, struct way *w, unsigned height)
{
    for (size_t i = w->count; i > 0; i--) {
        struct json_node *n = w->nodes[i - 1];
        enum ior_err err = changed_node(t, n, &w->more_bytes);
        if (err != IOR_OK) return err;
        if (n->height < height) n->height = (uint8_t)height;
        height = n->height + 1u;
    }
    return IOR_OK;
}

/* The true height; that of the node is only an upper bound. */
static unsigned height_of(const struct json_node *n)
{
    unsigned height = 0;
    if (!is_container(n)) return 0;
    if (n->text != NULL) {
        (void)json_value_end(n->text, n->text + n->text_bytes, &height);
        return height;
    }
    for (uint32_t i = 0; i < n->kids->count; i++) {
        unsigned kid = height_of(&n->kids->at[i]);
        if (kid > height) height = kid;
    }
    return height + 1;
}

/* May a value stand behind so many tokens? */
static enum ior_err check_depth(struct json_tree *t, size_t tokens, struct json_node *value)
{
    if (tokens + value->height <= JSON_DEPTH_MAX) return IOR_OK;
    enum ior_err err = json_tree_spend(t, value->text_bytes / 4);
    if (err != IOR_OK) return err;
    value->height = (uint8_t)height_of(value);
    return tokens + value->height <= JSON_DEPTH_MAX ? IOR_OK : IOR_E_BODY;
}

/* ---- changing ---- */

static enum ior_err set_root(struct json_tree *t, struct json_node value)
{
    if (value.text_bytes > t->bytes_max) {
        t->limit = "the document becomes too large";
        return IOR_E_TOOLARGE;
    }
    t->empty = false;
    t->root = value;
    t->root.name = NULL;
    t->root.name_bytes = 0;
    return IOR_OK;
}

/* A new kid in front of the one at `at`. */
static enum ior_err insert(struct json_tree *t, struct way *w, uint32_t at,
                           const struct json_node *kid)
{
    struct json_node *parent = w->nodes[w->count - 1];
    struct json_kids *k = parent->kids;
    enum ior_err err = json_tree_spend(t, (k->count - at) / 4);
    if (err != IOR_OK) return err;
    if (k->count == k->room) {
        struct json_kids *more =
            json_kids_new(t, k->count + k->count / KIDS_MORE_PART + KIDS_MORE_MIN, &err);
        if (more == NULL) return err;
        memcpy(more->at, k->at, k->count * sizeof *k->at);
        more->count = k->count;
        parent->kids = k = more;
    }
    memmove(k->at + at + 1, k->at + at, (k->count - at) * sizeof *k->at);
    k->at[at] = *kid;
    w->more_bytes += bytes_with_name(kid) + (k->count > 0 ? 1 : 0); /* the comma */
    k->count++;
    return IOR_OK;
}

static void take_out(struct way *w, struct json_kids *k, uint32_t at)
{
    w->more_bytes -= bytes_with_name(&k->at[at]) + (k->count > 1 ? 1 : 0);
    k->count--;
    memmove(k->at + at, k->at + at + 1, (k->count - at) * sizeof *k->at);
}

/* Others with the same name that stand before it go: they were never seen. Its place changes. */
static struct json_node *take_out_hidden(struct way *w, struct json_node *member,
                                         struct ior_slice name)
{
    struct json_kids *k = w->nodes[w->count - 1]->kids;
    for (uint32_t i = (uint32_t)(member - k->at); i > 0; i--) {
        if (!json_string_is(name_of(&k->at[i - 1]), name)) continue;
        take_out(w, k, i - 1);
        member--;
    }
    return member;
}

/* The value takes the place; the name stays as it is written there. */
static void put(struct way *w, struct json_node *place, const struct json_node *value)
{
    struct ior_slice name = name_of(place);
    w->more_bytes += (int64_t)value->text_bytes - place->text_bytes;
    *place = *value;
    place->name = name.data;
    place->name_bytes = (uint32_t)name.size_bytes;
}

static enum ior_err quote_name(struct json_tree *t, struct ior_slice token, struct json_node *n)
{
    struct ior_buf out;
    enum ior_err err = IOR_E_NOMEM;
    ior_buf_init(&out);
    ior_json_quote(&out, token);
    if (!ior_buf_failed(&out)) {
        uint8_t *name = json_tree_alloc(t, out.size_bytes, &err);
        if (name != NULL) {
            memcpy(name, out.data, out.size_bytes);
            n->name = name;
            n->name_bytes = (uint32_t)out.size_bytes;
        }
    }
    ior_buf_done(&out);
    return err;
}

static enum ior_err add_member(struct json_tree *t, struct way *w, struct ior_slice token,
                               struct json_node *value)
{
    struct json_kids *k = w->nodes[w->count - 1]->kids;
    enum ior_err err = json_tree_spend(t, k->count);
    if (err != IOR_OK) return err;
    struct json_node *member = find_member(k, token);
    if (member != NULL) {
        put(w, take_out_hidden(w, member, token), value);
        return IOR_OK;
    }
    err = quote_name(t, token, value);
    return err == IOR_OK ? insert(t, w, k->count, value) : err;
}

static enum ior_err add_element(struct json_tree *t, struct way *w, struct ior_slice token,
                                struct json_node *value)
{
    struct json_kids *k = w->nodes[w->count - 1]->kids;
    int64_t at = json_pointer_index(token);
    if (at == JSON_INDEX_END) at = k->count;
    if (at < 0 || at > k->count) return IOR_E_NOTFOUND;
    value->name = NULL;
    value->name_bytes = 0;
    return insert(t, w, (uint32_t)at, value);
}

enum ior_err json_tree_add(struct json_tree *t, const struct json_pointer *p,
                           struct json_node value)
{
    struct way w;
    enum ior_err err = check_depth(t, p->count, &value);
    if (err != IOR_OK) return err;
    if (p->count == 0) return set_root(t, value);
    err = follow(t, p, p->count - 1, &w);
    if (err != IOR_OK) return err;
    struct json_node *parent = w.nodes[w.count - 1];
    struct ior_slice token = p->tokens[p->count - 1];
    if (!is_container(parent)) return IOR_E_NOTFOUND;
    err = json_node_open(t, parent);
    if (err != IOR_OK) return err;
    err = parent->kind == JSON_OBJECT ? add_member(t, &w, token, &value)
                                      : add_element(t, &w, token, &value);
    return err == IOR_OK ? changed(t, &w, value.height + 1u) : err;
}

enum ior_err json_tree_replace(struct json_tree *t, const struct json_pointer *p,
                               struct json_node value)
{
    struct way w;
    enum ior_err err = follow(t, p, p->count, &w);
    if (err == IOR_OK) err = check_depth(t, p->count, &value);
    if (err != IOR_OK) return err;
    if (p->count == 0) return set_root(t, value);
    struct json_node *place = w.nodes[--w.count];
    struct json_node *parent = w.nodes[w.count - 1];
    if (parent->kind == JSON_OBJECT) {
        err = json_tree_spend(t, parent->kids->count);
        if (err != IOR_OK) return err;
        place = take_out_hidden(&w, place, p->tokens[p->count - 1]);
    }
    put(&w, place, &value);
    return changed(t, &w, value.height + 1u);
}

enum ior_err json_tree_remove(struct json_tree *t, const struct json_pointer *p,
                              struct json_node *ret)
{
    struct way w;
    enum ior_err err = follow(t, p, p->count, &w);
    if (err != IOR_OK) return err;
    struct json_node *place = w.nodes[--w.count];
    if (ret != NULL) *ret = *place;
    if (p->count == 0) {
        t->empty = true;
        return IOR_OK;
    }
    struct json_node *parent = w.nodes[w.count - 1];
    err = json_tree_spend(t, parent->kids->count);
    if (err != IOR_OK) return err;
    if (parent->kind == JSON_OBJECT) place = take_out_hidden(&w, place, p->tokens[p->count - 1]);
    take_out(&w, parent->kids, (uint32_t)(place - parent->kids->at));
    return changed(t, &w, 1);
}

/* ---- writing ---- */

static void write_node(const struct json_node *n, struct ior_buf *out)
{
    if (n->text != NULL) {
        ior_buf_add(out, n->text, n->text_bytes);
        return;
    }
    ior_buf_add_char(out, n->kind == JSON_OBJECT ? '{' : '[');
    for (uint32_t i = 0; i < n->kids->count; i++) {
        const struct json_node *kid = &n->kids->at[i];
        if (i > 0) ior_buf_add_char(out, ',');
        if (kid->name_bytes > 0) {
            ior_buf_add(out, kid->name, kid->name_bytes);
            ior_buf_add_char(out, ':');
        }
        write_node(kid, out);
    }
    ior_buf_add_char(out, n->kind == JSON_OBJECT ? '}' : ']');
}

void json_tree_write(const struct json_tree *t, struct ior_buf *out)
{
    IOR_ASSERT(!t->empty);
    size_t before = out->size_bytes;
    (void)ior_buf_room(out, t->root.text_bytes);
    write_node(&t->root, out);
    IOR_ASSERT(ior_buf_failed(out) || out->size_bytes - before == t->root.text_bytes);
}

enum ior_err json_tree_copy(struct json_tree *t, const struct json_node *n, struct json_node *ret)
{
    enum ior_err err = IOR_OK;
    if (n->text != NULL) {
        *ret = json_node_of(ior_slice(n->text, n->text_bytes), n->height);
        return IOR_OK;
    }
    uint8_t *text = json_tree_alloc(t, n->text_bytes, &err);
    if (text == NULL) return err;
    struct ior_buf out;
    ior_buf_init_in(&out, text, n->text_bytes);
    write_node(n, &out);
    IOR_ASSERT(!ior_buf_failed(&out) && out.data == text && out.size_bytes == n->text_bytes);
    ior_buf_done(&out);
    *ret = json_node_of(ior_slice(text, n->text_bytes), n->height);
    return json_tree_spend(t, n->text_bytes / BYTES_PER_STEP);
}
