/* src/base/weblist.h - two lists that the configuration has as text, and that a browser's
 * questions are held against: web origins (http.cors.origins) and names of request headers
 * (http.cors.headers). Items are separated by commas or spaces.
 * Thread: any; nothing here has state or allocates. */
#pragma once

#include "base/buf.h"

/* Is it `*` or a list of origins ("https://app.example.com http://localhost:3000")? NULL: yes.
 * Else what is wrong, in words. */
const char *weblist_origins_problem(struct ior_slice list);
/* Does a good list allow this origin? Letters of either case are the same. */
bool weblist_origins_allow(struct ior_slice list, struct ior_slice origin);
/* Every origin: the list is `*`. */
bool weblist_is_star(struct ior_slice list);

/* A list of header names, perhaps empty? NULL: yes. */
const char *weblist_headers_problem(struct ior_slice list);
/* Adds each name of a good list with ", " in front. */
void weblist_headers_add(struct ior_buf *out, struct ior_slice list);
