/* perigee schedules: what fires by the clock, and when it would. */
#include "cli/commands.h"
#include "cli/data.h"
#include "cli/names.h"
#include "store/schedules.h"

#include <stdio.h>
#include <string.h>

#define TRIES 8

struct choices {
	const char *config, *tenant, *zone, *after, *count;
	bool json;
};

static const struct column columns[] = {
	{ "id", 't', true }, { "status", 't', true }, { "when", 't', true }, { "zone", 't', true }, { "next_at", 't', true }, { "last_slot", 't', true },
	{ "last_run", 't', false }, { "idle", 'i', true }, { 0 },
};

static int
list(struct host *host, const struct choices *c)
{
	struct errbuf e = { "" };
	struct store_tx *tx = store_tx_new(host->store, str_of(c->tenant));
	store_tx_add(tx, STATEMENT_schedule_list, STORE_ANY, "ti", "", (int64_t)ROWS_MAX);
	if (store_read_now(tx, &e)) {
		store_tx_free(tx);
		return cli_fail(EXIT_NO_HOST, "cannot read the store: %s", e.text);
	}
	json_t *items = json_array();
	for (size_t i = 0; i < store_tx_result(tx, 0)->rows; i++) {
		json_t *one = schedules_json(store_tx_result(tx, 0), i);
		struct str cron = json_member_str(one, "cron");
		json_put_str(one, "when", cron.p ? cron : json_member_str(one, "every"));
		json_array_append_new(items, one);
	}
	store_tx_free(tx);
	return data_print_list(items, columns, c->json);
}

/* 0, ERR_CONFLICT (try again) or another error with its text. */
static int
change(struct host *host, const char *tenant, const char *verb, const char *id, struct errbuf *e)
{
	struct store_tx *read = store_tx_new(host->store, str_of(tenant)), *tx = NULL;
	store_tx_add(read, STATEMENT_schedule_get, STORE_ANY, "t", id);
	int code = store_read_now(read, e);
	const struct store_result *r = store_tx_result(read, 0);
	int64_t now = clock_now_us(&clock_system);
	if (code == 0 && r->rows == 0)
		code = err_set(e, ERR_NOT_FOUND, "tenant %s has no schedule %s: perigee schedules lists them", tenant, id);
	else if (code == 0 && str_is(store_text(r, 0, SCHEDULE_STATUS), "removed"))
		code = err_set(e, ERR_INVALID, "schedule %s is no longer declared by the scripts", id);
	if (code == 0) {
		tx = store_tx_new(host->store, str_of(tenant));
		if (strcmp(verb, "fire") == 0)
			store_tx_add(tx, STATEMENT_schedule_ask, STORE_MUST, "ti", id, now);
		else
			schedules_tx_set_status(tx, r, strcmp(verb, "resume") == 0, now);
		code = store_write_now(tx, e);
		store_tx_free(tx);
	}
	store_tx_free(read);
	return code;
}

static int
change_until_done(struct host *host, const struct choices *c, const char *verb, const char *id)
{
	struct errbuf e = { "" };
	int code = ERR_CONFLICT;
	for (int i = 0; i < TRIES && code == ERR_CONFLICT; i++)
		code = change(host, c->tenant, verb, id, &e);
	if (code)
		return cli_fail(code == ERR_NOT_FOUND || code == ERR_INVALID ? EXIT_FAILED : EXIT_NO_HOST, "%s", *e.text ? e.text : err_title(code));
	if (strcmp(verb, "fire") == 0)
		printf("%s fires when a host that serves looks: within seconds\n", id);
	else
		printf("%s is %s\n", id, strcmp(verb, "resume") == 0 ? "active" : "paused");
	return EXIT_DONE;
}

/* perigee schedules when "weekday 08:00" --zone Europe/Berlin */
static int
when(const struct choices *c, const char *text)
{
	struct cron_rule rule;
	struct errbuf e = { "" }, other;
	struct zone *zone = NULL;
	int64_t count = 5, at = clock_now_us(&clock_system);
	if (c->count && !str_to_int(str_of(c->count), 1, 100000, &count))
		return cli_fail(EXIT_USAGE, "--count is a number from 1 to 100000, not '%s'", c->count);
	if (c->after && !time_parse(str_of(c->after), &at))
		return cli_fail(EXIT_USAGE, "--after is a time like 2026-11-22T10:00:00Z, not '%s'", c->after);
	if (cron_parse_every(str_of(text), &rule, &e) && cron_parse(str_of(text), &rule, &other))
		return cli_fail(EXIT_USAGE, "%s", strchr(text, '*') ? other.text : e.text);
	if (zone_open(c->zone ? str_of(c->zone) : STR("UTC"), &zone, &e))
		return cli_fail(EXIT_USAGE, "%s", e.text);
	while (count-- > 0 && (at = cron_next_us(&rule, zone, at)) != INT64_MAX) {
		char time[TIME_TEXT_SIZE];
		time_format(at, time);
		puts(time);
	}
	zone_close(zone);
	return EXIT_DONE;
}

static int
run(const struct command *command, int argc, char **argv)
{
	struct choices c = { .tenant = TENANT_OTHERWISE };
	struct setting_flags flags = { 0 };
	struct words words;
	const struct option options[] = {
		{ "--zone", "NAME", "with when: of the IANA database, like Europe/Berlin (UTC)", &c.zone, NULL, NULL },
		{ "--after", "TIME", "with when: times behind this (now)", &c.after, NULL, NULL },
		{ "--count", "N", "with when: so many (5)", &c.count, NULL, NULL },
		{ "--json", NULL, "for machines", NULL, &c.json, NULL },
		OPTION_TENANT(c.tenant), OPTION_CONFIG(c.config), OPTION_STORE, { 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 2, &words);
	if (code >= 0)
		return code;
	const char *verb = words.count ? words.items[0] : "list";
	bool lists = strcmp(verb, "list") == 0, changes = strcmp(verb, "pause") == 0 || strcmp(verb, "resume") == 0 || strcmp(verb, "fire") == 0;
	if (strcmp(verb, "when") == 0 && words.count == 2)
		return when(&c, words.items[1]);
	if ((!lists || words.count > 1) && (!changes || words.count != 2))
		return cli_fail(EXIT_USAGE, "perigee schedules list, or pause, resume or fire with an ID, or when with a rule");
	struct settings settings;
	struct host host;
	code = host_begin(c.config, &flags, (struct host_options){ .without_engine = true, .read_only = lists }, &settings, &host);
	if (code >= 0)
		return code;
	code = names_need_tenant(&host, c.tenant);
	if (code < 0)
		code = lists ? list(&host, &c) : change_until_done(&host, &c, verb, words.items[1]);
	host_end(&settings, &host);
	return code;
}

const struct command command_schedules = {
	"schedules", "[list | pause ID | resume ID | fire ID | when RULE] [OPTIONS]", "What fires by the clock; pause, resume, fire now",
	"`perigee schedules when \"weekday 08:00\" --zone Europe/Berlin` prints the next times of a rule (every or cron), without a store.", run,
};
