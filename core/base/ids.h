/* UUIDv7 (RFC 9562) for everything that is created; text form is 36 lower-case characters. */
#pragma once

#include "base/clock.h"

#define UUID_TEXT_SIZE 37

struct uuid { uint8_t b[16]; };

/* Monotonic within a process and source: ids made later sort later, also within a millisecond. */
struct uuid uuid_new(const struct clock *clock, const struct rng *rng);
struct uuid uuid_of_digest(const uint8_t digest[32]);   /* UUIDv8: same content, same id */
void uuid_format(struct uuid id, char out[UUID_TEXT_SIZE]);
MUST_CHECK bool uuid_parse(struct str text, struct uuid *out);
bool uuid_is_text(struct str text);                     /* exactly the form of uuid_format */
/* Names that scripts, tenants and agents give: [a-z][a-z0-9_-]{0,62}. Record ids: 1–200 bytes of UTF-8 without control characters. */
bool name_is_valid(struct str name);
bool record_id_is_valid(struct str id);
