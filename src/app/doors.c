/* src/app/doors.c - on which addresses the node listens.
 * The rule: with http.bind (https.bind) on that address; without it on loopback while the admin's
 * password is the shipped one, else on all.
 * Thread: doors_open the main one; everything else worker 0.
 * Happy path: at each tick the number of the admin's credential in the policy is compared with
 * the last one; when it is another, the crypto thread looks whether the password is the shipped
 * one; when that has changed, the listeners move. Connections that are open go on.
 * Failure modes: too many passwords are waiting: at the next tick. Listeners that cannot move: an
 * error in the log, and again after RETRY_TICKS. */
#include "app/doors.h"

#include <stdio.h>

#include "app/app.h"
#include "auth/password.h"
#include "base/assert.h"
#include "base/log.h"

enum { RETRY_TICKS = 10 };

static const char *configured(const struct doors *d, enum http_door door)
{
    const struct config *c = d->app->config;
    return door == HTTP_DOOR_PLAIN ? c->http_bind : c->https_bind;
}

static const char *name_of(enum http_door door)
{
    return door == HTTP_DOOR_PLAIN ? "http" : "https";
}

/* ---- at the start ---- */

static enum ior_err listen_at(struct doors *d, enum http_door door, uint16_t port,
                              struct ior_why *why)
{
    const char *address = configured(d, door);
    if (address[0] == 0) address = d->password_is_shipped ? "127.0.0.1" : "::";
    enum ior_err err = http_server_listen(d->http, door, address, port, why);
    if (err == IOR_E_INVAL && strcmp(address, "::") == 0) /* a machine without IPv6 */
        err = http_server_listen(d->http, door, "0.0.0.0", port, why);
    return err;
}

enum ior_err doors_listen(struct doors *d, struct ior_why *why)
{
    const struct config *c = d->app->config;
    enum ior_err err = IOR_OK;
    if (c->http_enabled) err = listen_at(d, HTTP_DOOR_PLAIN, (uint16_t)c->http_port, why);
    if (c->https_enabled && err == IOR_OK)
        err = listen_at(d, HTTP_DOOR_TLS, (uint16_t)c->https_port, why);
    return err;
}

static void write_run_file(const struct doors *d)
{
    const char *dir = d->app->config->paths_data;
    if (!datadir_write_run(dir, http_server_where(d->http, HTTP_DOOR_PLAIN),
                           http_server_where(d->http, HTTP_DOOR_TLS)))
        LOG_WARNING("app", "no node.run", "it cannot be written to %s: `iorio ping` asks http.port",
                    dir);
}

void doors_say(const struct doors *d)
{
    const char *plain = http_server_where(d->http, HTTP_DOOR_PLAIN);
    const char *tls = http_server_where(d->http, HTTP_DOOR_TLS);
    write_run_file(d);
    if (plain != NULL)
        LOG_INFO("http", "listening", "where=%s workers=%u", plain, d->app->worker_count);
    /* The words of the first Iorio DB: `[info] secure api enabled, starting`. */
    if (tls != NULL) LOG_INFO("secure", "api enabled, starting", "where=%s", tls);
}

/* ---- later ---- */

static bool move(struct doors *d, enum http_door door)
{
    struct ior_why why = {""};
    if (http_server_where(d->http, door) == NULL || configured(d, door)[0] != 0) return true;
    const char *address = d->password_is_shipped ? "127.0.0.1" : "::";
    enum ior_err err = http_server_move(d->http, door, address, &why);
    if (err == IOR_E_INVAL && !d->password_is_shipped)
        err = http_server_move(d->http, door, "0.0.0.0", &why);
    if (err == IOR_OK) {
        LOG_INFO(name_of(door), "moved", "where=%s: the admin's password is %s",
                 http_server_where(d->http, door),
                 d->password_is_shipped ? "the shipped one" : "no longer the shipped one");
        return true;
    }
    LOG_ERROR(name_of(door), "cannot move", "where=%s: %s", http_server_where(d->http, door),
              why.text);
    return false;
}

static void move_all(struct doors *d)
{
    for (int i = 0; i < HTTP_DOORS; i++) {
        if (d->to_move[i]) d->to_move[i] = !move(d, (enum http_door)i);
        if (d->to_move[i]) d->wait_ticks = RETRY_TICKS;
    }
    write_run_file(d);
}

static void check_work(struct job *j)
{
    struct doors *d = IOR_CONTAINER(j, struct doors, check);
    d->found_shipped = password_verify(d->hash, ior_slice_str(SHIPPED_PASSWORD));
}

static void check_done(struct job *j)
{
    struct doors *d = IOR_CONTAINER(j, struct doors, check);
    d->checking = false;
    d->credential = d->checked_credential;
    if (d->found_shipped == d->password_is_shipped) return;
    d->password_is_shipped = d->found_shipped;
    for (int i = 0; i < HTTP_DOORS; i++) d->to_move[i] = true;
    d->wait_ticks = 0;
}

static void look_at_password(struct doors *d)
{
    const struct policy *p = meta_policy(d->app->node->meta);
    const char *name = d->app->config->auth_admin_username;
    const struct policy_user *admin = policy_user(p, ior_slice_str(name));
    if (admin == NULL || admin->credential == d->credential) return;
    d->checked_credential = admin->credential;
    snprintf(d->hash, sizeof d->hash, "%s", admin->password);
    d->check = (struct job){.work = check_work, .done = check_done};
    d->checking = job_submit(d->app->crypto, &d->check) == IOR_OK;
}

void doors_tick(struct doors *d)
{
    if (d->http == NULL || !atomic_load(&d->app->ready) || atomic_load(&d->app->stopping)) return;
    if (!d->checking) look_at_password(d);
    if (d->wait_ticks > 0) {
        d->wait_ticks--;
    } else if (d->to_move[HTTP_DOOR_PLAIN] || d->to_move[HTTP_DOOR_TLS]) {
        move_all(d);
    }
}
