/* Text of URLs and headers. Pure functions. */
#pragma once

#include "base/bytes.h"

/* Percent-decode into out; plus_is_space for queries. False: malformed, not UTF-8, or with control characters. */
MUST_CHECK bool url_decode(struct str in, bool plus_is_space, struct buf *out);
void url_encode(struct buf *out, struct str in);           /* everything but unreserved characters */
/* The value of `name=N` or `name="N"` in a list like "respond-async, wait=10"; -1 when absent or malformed. */
int64_t preference(struct str header, const char *name);
/* Is the media type of a Content-Type JSON (application/json, application/ANY+json), in UTF-8? */
bool content_type_is_json(struct str header);
