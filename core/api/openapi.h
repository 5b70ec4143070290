/* The pieces of openapi.json. */
#pragma once

#include "api/router.h"

extern const char openapi_schemas[];   /* JSON object with ' for " */
json_t *openapi_operation(const struct route *route);   /* new reference */
/* Paths and schemas of every capability of the manifest. */
void openapi_add_capabilities(json_t *paths, json_t *schemas, const json_t *manifest);
json_t *openapi_reference(const char *section, const char *name);      /* {"$ref": "#/components/SECTION/NAME"} */
json_t *openapi_content(const char *type, json_t *schema /* taken */);  /* {TYPE: {schema}} */
void openapi_add_refusals(json_t *responses, const struct route *route);
