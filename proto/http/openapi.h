/* proto/http/openapi.h - the OpenAPI document of the routes: a file of the build, written by
 * tools/openapi.py. */
#pragma once

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_bytes;
