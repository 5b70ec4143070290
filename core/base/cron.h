/*
 * When something happens again and again: `every` ("5 minutes", "weekday 08:00") and `cron` (five fields), as one kind of rule.
 *
 * every   N second|minute|hour|day[s] · 30s 15m 2h 1d · minute · hour      from 1970-01-01T00:00Z on, whatever the zone: 1 second to 366 days
 *         day HH:MM · weekday HH:MM · monday … sunday HH:MM · month D HH:MM     on the wall of the zone; a month without day D has none
 * cron    minute hour day-of-month month day-of-week, each *, N, N-M, names (jan, mon), lists a,b and, behind * or N-M, steps; 0 and 7 are sunday.
 *         As in POSIX: when both days are restricted, either will do; a field that begins with * restricts nothing of the two.
 *
 * On the wall: a time that clocks skip happens at the skip, one that they show twice happens the first time; no instant has two.
 */
#pragma once

#include "base/zone.h"

struct cron_rule {
	int64_t interval_us;           /* not 0: each multiple of it since 1970 */
	uint64_t minutes;              /* bit per value, of each field */
	uint32_t hours, days;
	uint16_t months;
	uint8_t weekdays;              /* bit 0: sunday */
	bool any_day, any_weekday;     /* the field began with * */
};

/* ERR_INVALID and what would be right. A rule that never happens ("0 0 30 2 *") is refused too. */
MUST_CHECK int cron_parse_every(struct str text, struct cron_rule *out, struct errbuf *e);
MUST_CHECK int cron_parse(struct str text, struct cron_rule *out, struct errbuf *e);

/* First time strictly behind; INT64_MAX: none before the year 9999. */
int64_t cron_next_us(const struct cron_rule *rule, struct zone *zone, int64_t after_us);
/* Last time at or before `at`, but behind `after`; INT64_MIN: none. */
int64_t cron_last_us(const struct cron_rule *rule, struct zone *zone, int64_t after_us, int64_t at_us);
