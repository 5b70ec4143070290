#include "store/migrations.h"

#include <string.h>

static bool is_of(const struct store_migration *m, const char *chain, const char *engine)
{
	return strcmp(m->chain, chain) == 0 && strcmp(m->engine, engine) == 0;
}

int migrations_known(const char *chain, const char *engine)
{
	int n = 0;

	for (const struct store_migration *m = store_migrations; m->chain != NULL; m++)
		n += is_of(m, chain, engine);
	return n;
}

const struct store_migration *migrations_find(const char *chain, const char *engine, int number)
{
	for (const struct store_migration *m = store_migrations; m->chain != NULL; m++)
		if (is_of(m, chain, engine) && m->number == number)
			return m;
	return NULL;
}

void migrations_checksum(const struct store_migration *m, char out[SHA256_HEX_SIZE])
{
	uint8_t digest[SHA256_SIZE];

	sha256(m->sql, strlen(m->sql), digest);
	hex_encode(digest, sizeof(digest), out);
}

void migrations_report(json_t *report, const char *place, const char *chain, int number, const char *name, const char *checksum, int64_t applied_at_us,
    const char *state)
{
	json_t *row = json_object();

	json_put_text(row, "place", place);
	json_put_text(row, "chain", chain);
	json_put_int(row, "number", number);
	json_put_text(row, "name", name);
	json_put_text(row, "checksum", checksum);
	json_put(row, "applied_at", applied_at_us != 0 ? json_new_time(applied_at_us) : NULL);
	json_put_text(row, "state", state);
	json_array_append_new(report, row);
}

static int migrations_of(const char *url, bool up, const struct clock *clock, json_t **report, struct errbuf *e)
{
	static const char sqlite[] = "sqlite:";
	int code;

	*report = json_array();
	if (strncmp(url, sqlite, sizeof(sqlite) - 1) == 0)
		code = sqlite_migrations(url + sizeof(sqlite) - 1, up, clock, *report, e);
	else
		code = postgres_migrations(url, up, *report, e);
	if (code != 0) {
		json_decref(*report);
		*report = NULL;
	}
	return code;
}

int store_migrations_status(const char *url, json_t **report, struct errbuf *e)
{
	return migrations_of(url, false, NULL, report, e);
}

int store_migrations_up(const char *url, const struct clock *clock, json_t **report, struct errbuf *e)
{
	return migrations_of(url, true, clock, report, e);
}
