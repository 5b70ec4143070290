/*
 * Time zones of the IANA database, through ICU: from an instant to what clocks on the wall show there, and back. Instants are unix microseconds,
 * wall times are seconds as if the wall's calendar were UTC.
 */
#pragma once

#include "base/error.h"

struct zone;

/* "Europe/Berlin"; only names of the database. ERR_INVALID with a text. Free with zone_close. */
MUST_CHECK int zone_open(struct str name, struct zone **out, struct errbuf *e);
void zone_close(struct zone *zone);          /* NULL is nothing */

int64_t zone_wall_s(struct zone *zone, int64_t at_us);
/* The instant at which clocks show this: the first of two; where they skip it, the moment of the skip. */
int64_t zone_instant_us(struct zone *zone, int64_t wall_s);
