/*
 * JSON documents in the host: jansson values behind our limits and our canonical writer. Values are reference-counted
 * (json_incref, json_decref of jansson); "new reference" means that the caller owns one.
 */
#pragma once

#include "base/error.h"
#include "base/json_text.h"

#include <jansson.h>

/* Parse a whole document: UTF-8, at most max bytes (ERR_TOO_LARGE), at most 64 levels, no duplicate keys, nothing behind it; any
 * JSON value. Returns a new reference, or NULL with *code and e set (ERR_INVALID names line and column). */
MUST_CHECK json_t *json_read(struct str text, size_t max, int *code, struct errbuf *e);
void json_write(struct buf *b, const json_t *value);         /* canonical (json_text.h); NULL writes null */
void json_write_pretty(struct buf *b, const json_t *value);  /* two spaces, keys in order, for people */
char *json_to_text(const json_t *value);                     /* canonical, owned; free() */

/* Convenience over objects; all accept NULL or a non-object and then find nothing. */
const json_t *json_member(const json_t *object, const char *key);
struct str json_member_str(const json_t *object, const char *key);            /* {NULL,0} when absent or no string */
int64_t json_member_int(const json_t *object, const char *key, int64_t otherwise);
bool json_member_bool(const json_t *object, const char *key, bool otherwise);
struct str json_str(const json_t *string);
json_t *json_new_str(struct str s);                                           /* new reference */
void json_put_str(json_t *object, const char *key, struct str s);
void json_put_text(json_t *object, const char *key, const char *s);           /* NULL puts null */
void json_put_int(json_t *object, const char *key, int64_t v);
void json_put(json_t *object, const char *key, json_t *value);                /* takes value; NULL puts null */
json_t *json_new_time(int64_t at_us);                                         /* RFC 3339 string; null for 0 */
