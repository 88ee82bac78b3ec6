/* src/app/banner.c - what `iorio console` prints when it is ready. */
#include <stdio.h>
#include <string.h>

#include "app/app.h"

void banner_print(const struct config *c, const char *config_file, const char *where,
                  bool password_is_shipped)
{
    const char *file = config_file[0] != 0 ? config_file : "iorio.conf";
    const char *port = strrchr(where, ':');
    char url[160];
    snprintf(url, sizeof url, "http://127.0.0.1%s", port == NULL ? "" : port);
    if (strncmp(where, "127.", 4) == 0) snprintf(url, sizeof url, "http://%s", where);
    printf("Iorio DB " IORIO_VERSION " is ready: node %s\n", c->nodename);
    printf("  listens on   %s\n", where);
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
    if (strncmp(where, "127.", 4) != 0)
        printf("               Other machines can reach it, without encryption;\n"
               "               http.bind = 127.0.0.1 keeps it on this one.\n");
    printf("  try          curl -sS --json '{\"msg\":\"hello\"}' %s/streams/public/hello -H "
           "\"X-Session: "
           "$(curl -sS --json '{\"username\":\"%s\",\"password\":\"%s\"}' %s/sessions | "
           "sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\"\n",
           url, c->auth_admin_username, password, url);
    printf("  stop         Ctrl-C\n");
    fflush(stdout);
}
