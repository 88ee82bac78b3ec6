/* proto/http/users.c - POST, PUT and DELETE /users. (GET is in access_lists.c.)
 * Happy path: the name is looked at, the password is hashed on the crypto thread (argon2id, some
 * 40 ms), and the change goes through the log.
 * Failure modes: what is wrong with the body or the name, before anything is hashed; too
 * many passwords waiting: 503 with Retry-After. Somebody may make the same user
 * meanwhile: that is found when the change has its turn. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/password.h"
#include "auth/username.h"
#include "base/assert.h"
#include "base/limits.h"
#include "proto/http/change.h"
#include "proto/http/json_body.h"
#include "proto/http/routes.h"

/* A password on its way to a hash, and then the change that wants it. */
struct hashing {
    struct job job; /* first */
    struct http_app *app;
    uint64_t ticket;
    struct access_change *change;
    enum ior_err err;
    size_t password_bytes;
    char password[PASSWORD_BYTES_MAX];
    char hash[PASSWORD_HASH_BYTES];
};

static void hashing_free(struct hashing *h)
{
    access_change_free(h->change);
    explicit_bzero(h->password, sizeof h->password);
    free(h);
}

static void hash_work(struct job *j)
{
    struct hashing *h = IOR_CONTAINER(j, struct hashing, job);
    h->err = password_hash(ior_slice(h->password, h->password_bytes), h->hash);
}

static void hash_done(struct job *j)
{
    struct hashing *h = IOR_CONTAINER(j, struct hashing, job);
    struct http_call *call = call_redeem(h->app, h->ticket);
    if (call != NULL && h->err == IOR_OK) {
        struct access_change *c = h->change;
        h->change = NULL;
        /* It has room of its own for the hash. */
        memcpy((char *)(uintptr_t)c->wish.hash.data, h->hash, sizeof h->hash);
        c->wish.hash.size_bytes = strlen(h->hash);
        change_start(call, c);
    } else if (call != NULL) {
        call_reply_error(call, h->err, NULL, NULL);
    }
    hashing_free(h);
}

static void hash_and_change(struct http_call *call, struct access_wish w, struct ior_slice password)
{
    static const char room[PASSWORD_HASH_BYTES];
    struct hashing *h = calloc(1, sizeof *h);
    w.hash = ior_slice(room, sizeof room);
    enum ior_err err = h == NULL ? IOR_E_NOMEM : access_change_new(&w, &h->change);
    if (err == IOR_OK) {
        h->app = call->app;
        h->job.work = hash_work;
        h->job.done = hash_done;
        h->password_bytes = password.size_bytes;
        memcpy(h->password, password.data, password.size_bytes);
        h->ticket = call_ticket(call, false);
        err = h->ticket == 0 ? IOR_E_BUSY : job_submit(call->app->crypto, &h->job);
    }
    if (err == IOR_OK) return;
    if (h != NULL) hashing_free(h);
    call_reply_error(call, err,
                     err == IOR_E_BUSY ? "Too many passwords are waiting; try again later" : NULL,
                     NULL);
}

/* ---- the body ---- */

/* Both texts, or it is answered. */
static bool take_both(struct http_call *call, const json_t *body, struct ior_slice *ret_name,
                      struct ior_slice *ret_password)
{
    *ret_name = body_text(body, "username");
    *ret_password = body_text(body, "password");
    if (ret_name->data != NULL && ret_password->data != NULL) {
        if (ret_password->size_bytes <= PASSWORD_BYTES_MAX) return true;
        /* It is not shown. */
        call_reply_error(call, IOR_E_INVAL, "A password has at most 1024 bytes",
                         "\"field\":\"password\"");
        return false;
    }
    enum ior_err err = IOR_E_NOUSERPASS;
    if (ret_name->data != NULL) err = IOR_E_NOPASS;
    if (ret_password->data != NULL) err = IOR_E_NOUSER;
    call_reply_error(call, err, NULL, NULL);
    return false;
}

/* The name can be, and is free as far as this worker knows: else it is answered. */
static bool check_new(struct http_call *call, struct ior_slice name)
{
    struct ior_why why;
    if (username_check(name, &why) != IOR_OK) {
        call_reply_error(call, IOR_E_USERNAME, why.text, NULL);
        return false;
    }
    if (policy_user(call->policy, name) == NULL) return true;
    call_reply_error(call, IOR_E_USEREXISTS, NULL, NULL);
    return false;
}

void route_user_new(struct http_call *call)
{
    struct ior_slice name;
    struct ior_slice password;
    json_t *body = body_object(call);
    if (body == NULL) return;
    if (take_both(call, body, &name, &password) && check_new(call, name)) {
        struct access_wish w = change_wish(call, ACCESS_USER_NEW);
        w.name = name;
        hash_and_change(call, w, password);
    }
    json_decref(body);
}

/* His own, if he has one that is his own, or with adminusers; whoever may not learns nothing about
 * the name. */
static bool may_change(const struct http_call *call, struct ior_slice name)
{
    struct ior_slice none = {NULL, 0};
    struct ior_slice me = ior_slice_str(call->user);
    if (policy_user_allows(call->policy, call->who, PERM_ADMINUSERS, none, none)) return true;
    return username_same(name, me) &&
           !username_same(me, ior_slice_str(call->app->config->auth_anon_username));
}

void route_user_change(struct http_call *call)
{
    struct ior_slice name;
    struct ior_slice password;
    json_t *body = body_object(call);
    if (body == NULL) return;
    if (take_both(call, body, &name, &password)) {
        struct access_wish w = change_wish(call, ACCESS_USER_CHANGE);
        w.name = name;
        if (!may_change(call, name)) {
            call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        } else if (policy_user(call->policy, name) == NULL) {
            call_reply_error(call, IOR_E_UNKNOWN, NULL, NULL);
        } else {
            hash_and_change(call, w, password);
        }
    }
    json_decref(body);
}

void route_user_delete(struct http_call *call)
{
    struct access_wish w = change_wish(call, ACCESS_USER_DELETE);
    w.name = call->name;
    change_submit(call, &w);
}
