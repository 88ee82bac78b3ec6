/* src/app/doors.h - on which addresses the node listens; see doors.c. */
#pragma once

#include "auth/password.h"
#include "proto/http/server.h"

#define SHIPPED_PASSWORD "secret" /* auth.admin.password in config/keys.def */

struct doors {
    struct http_app *app; /* in, as the next three */
    struct http_server *http;
    bool password_is_shipped; /* the admin's */
    uint64_t credential;      /* of his, when that was looked at */

    /* private */
    bool checking;
    bool found_shipped;
    uint64_t checked_credential;
    struct job check;
    char hash[PASSWORD_HASH_BYTES];
    bool to_move[HTTP_DOORS];
    int wait_ticks;
};

/* Binds what is enabled. Errors as in http_server_listen(). */
IOR_MUST_CHECK enum ior_err doors_listen(struct doors *d, struct ior_why *why);
/* The workers accept: node.run and the log say where. */
void doors_say(const struct doors *d);
/* On worker 0, every 100 ms; does nothing while http is NULL or the node is not ready. */
void doors_tick(struct doors *d);
