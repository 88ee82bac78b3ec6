/* src/app/banner.c - what `iorio console` prints when it is ready. */
#include <stdio.h>
#include <string.h>

#include "app/app.h"

/* Where a client on this machine finds it. */
static void make_url(const char *http, const char *https, char *out, size_t room)
{
    const char *where = http != NULL ? http : https;
    const char *scheme = http != NULL ? "http" : "https";
    const char *port = strrchr(where, ':');
    if (strncmp(where, "127.", 4) == 0) {
        snprintf(out, room, "%s://%s", scheme, where);
    } else {
        snprintf(out, room, "%s://127.0.0.1%s", scheme, port == NULL ? "" : port);
    }
}

static bool on_loopback(const char *where)
{
    return where == NULL || strncmp(where, "127.", 4) == 0;
}

void banner_print(const struct config *c, const char *config_file, const char *http,
                  const char *https, bool password_is_shipped)
{
    const char *file = config_file[0] != 0 ? config_file : "iorio.conf";
    const char *curl = http != NULL ? "curl -sS" : "curl -sSk";
    char url[160];
    make_url(http, https, url, sizeof url);
    printf("Iorio DB " IORIO_VERSION " is ready: node %s\n", c->nodename);
    if (http != NULL) printf("  listens on   %s\n", http);
    if (https != NULL) printf("  TLS on       %s\n", https);
    printf("  data         %s\n", c->paths_data);
    printf("  config       %s\n", config_file[0] != 0 ? config_file : "(built-in defaults)");
    const char *password = "YOUR-PASSWORD";
    if (password_is_shipped) {
        password = "secret";
        printf("  login        %s / secret\n", c->auth_admin_username);
        printf("               This is the shipped password%s. To change it, set\n"
               "               auth.admin.password in %s\n"
               "               (or IORIO_AUTH_ADMIN_PASSWORD) and start again.\n",
               c->http_bind[0] == 0 ? ", so the node listens on loopback only" : "", file);
    }
    if (!on_loopback(http))
        printf("               Other machines can reach it, without encryption;\n"
               "               http.bind = 127.0.0.1 keeps it on this one.\n");
    printf("  try          %s --json '{\"msg\":\"hello\"}' %s/streams/public/hello -H "
           "\"X-Session: "
           "$(%s --json '{\"username\":\"%s\",\"password\":\"%s\"}' %s/sessions | "
           "sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\"\n",
           curl, url, curl, c->auth_admin_username, password, url);
    printf("  stop         Ctrl-C\n");
    fflush(stdout);
}
