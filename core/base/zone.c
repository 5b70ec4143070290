#include "base/zone.h"

#include <stdlib.h>
#include <unicode/ucal.h>

#define DAY_S 86400

struct zone {
	UCalendar *calendar;           /* owned */
};

int zone_open(struct str name, struct zone **out, struct errbuf *e)
{
	UChar id[64], canonical[128];
	UBool known = 0;
	UErrorCode status = U_ZERO_ERROR;
	struct zone *zone;

	if (name.n == 0 || name.n >= sizeof id / sizeof *id)
		return err_set(e, ERR_INVALID, "zone is a name of the IANA database like \"Europe/Berlin\"");
	for (size_t i = 0; i < name.n; i++)
		id[i] = (UChar)(unsigned char)name.p[i];
	ucal_getCanonicalTimeZoneID(id, (int32_t)name.n, canonical, (int32_t)(sizeof canonical / sizeof *canonical), &known, &status);
	if (U_FAILURE(status) || !known)
		return err_set(e, ERR_INVALID, "no time zone \"%.*s\": a name of the IANA database is needed, like \"Europe/Berlin\"", STR_ARG(name));
	zone = mem_alloc(sizeof *zone);
	zone->calendar = ucal_open(id, (int32_t)name.n, "en_US", UCAL_GREGORIAN, &status);
	if (U_FAILURE(status)) {
		free(zone);
		return err_set(e, ERR_INVALID, "time zone \"%.*s\" does not open: %s", STR_ARG(name), u_errorName(status));
	}
	*out = zone;
	return 0;
}

void zone_close(struct zone *zone)
{
	if (!zone)
		return;
	ucal_close(zone->calendar);
	free(zone);
}

static void stand_at(struct zone *zone, int64_t at_s)
{
	UErrorCode status = U_ZERO_ERROR;

	ucal_setMillis(zone->calendar, (UDate)at_s * 1000.0, &status);
	BUG_ON(U_FAILURE(status));
}

static int64_t offset_s(struct zone *zone, int64_t at_s)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t offset;

	stand_at(zone, at_s);
	offset = ucal_get(zone->calendar, UCAL_ZONE_OFFSET, &status) + ucal_get(zone->calendar, UCAL_DST_OFFSET, &status);
	BUG_ON(U_FAILURE(status));
	return offset / 1000;
}

static int64_t floor_to_s(int64_t us)
{
	return us >= 0 ? us / 1000000 : -((-us + 999999) / 1000000);
}

int64_t zone_wall_s(struct zone *zone, int64_t at_us)
{
	int64_t at_s = floor_to_s(at_us);

	return at_s + offset_s(zone, at_s);
}

/* When clocks are next changed after this, INT64_MAX when never. */
static int64_t next_change_s(struct zone *zone, int64_t after_s)
{
	UErrorCode status = U_ZERO_ERROR;
	UDate at;

	stand_at(zone, after_s);
	if (!ucal_getTimeZoneTransitionDate(zone->calendar, UCAL_TZ_TRANSITION_NEXT, &at, &status) || U_FAILURE(status))
		return INT64_MAX;
	return (int64_t)(at / 1000.0);
}

/* Between two changes wall and instant differ by one offset: walk these stretches until one holds the wall time. */
int64_t zone_instant_us(struct zone *zone, int64_t wall_s)
{
	int64_t from_s = wall_s - 2 * DAY_S;

	for (;;) {
		int64_t offset = offset_s(zone, from_s), until_s = next_change_s(zone, from_s);

		if (wall_s < from_s + offset)
			return from_s * 1000000; /* clocks jumped over it when this stretch began */
		if (until_s == INT64_MAX || wall_s - offset < until_s)
			return (wall_s - offset) * 1000000;
		from_s = until_s;
	}
}
