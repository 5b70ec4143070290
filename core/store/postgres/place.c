#include "store/postgres/place.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS_USUAL = 2 };

static const char own_prefix[] = "perigee_";

/* A network that swallows packets shows within half a minute; behind a pooler these concern the way to the pooler. */
static const char *const usual[][2] = {
	{ "application_name", "perigee" },
	{ "client_encoding", "UTF8" },
	{ "keepalives", "1" },
	{ "keepalives_idle", "10" },
	{ "keepalives_interval", "5" },
	{ "keepalives_count", "3" },
	{ "tcp_user_timeout", "20000" },
};

static bool is_uri(const char *url)
{
	return strncmp(url, "postgres://", 11) == 0 || strncmp(url, "postgresql://", 13) == 0;
}

bool place_is(const char *url)
{
	const char *equals = strchr(url, '='), *colon = strchr(url, ':');

	return is_uri(url) || (equals != NULL && (colon == NULL || colon > equals));
}

static int own_option(struct place *place, struct str option, struct errbuf *e)
{
	static const char readers[] = "perigee_readers=";
	int64_t n;

	if (!str_starts(option, readers))
		return err_set(e, ERR_STORE, "store: option '%.*s' is unknown; there is perigee_readers=N", STR_ARG(option));
	if (!str_to_int((struct str){ option.p + strlen(readers), option.n - strlen(readers) }, 1, PLACE_READERS_MAX, &n))
		return err_set(e, ERR_STORE, "store: %.*s: a number from 1 to %d is wanted", STR_ARG(option), PLACE_READERS_MAX);
	place->readers = (int)n;
	return 0;
}

/* Copy the query of a URI without our own options. */
static int strip_uri(struct place *place, const char *url, struct buf *out, struct errbuf *e)
{
	const char *query = strchr(url, '?');
	char before = '?';
	int code = 0;

	if (query == NULL) {
		buf_add_text(out, url);
		return 0;
	}
	buf_add(out, url, (size_t)(query - url));
	for (const char *p = query + 1; *p != '\0' && code == 0;) {
		size_t n = strcspn(p, "&");
		struct str option = { p, n };

		if (str_starts(option, own_prefix)) {
			code = own_option(place, option, e);
		} else if (n > 0) {
			buf_add_char(out, before);
			buf_add_str(out, option);
			before = '&';
		}
		p += n + (p[n] == '&');
	}
	return code;
}

/* The length of one `key = 'value'` from p, which is no blank. */
static size_t keyword_length(const char *p)
{
	bool quoted = false;
	size_t i = 0;

	for (; p[i] != '\0'; i++) {
		if (p[i] == '\\' && p[i + 1] != '\0')
			i++;
		else if (p[i] == '\'')
			quoted = !quoted;
		else if (!quoted && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n'))
			break;
	}
	return i;
}

static int strip_keywords(struct place *place, const char *text, struct buf *out, struct errbuf *e)
{
	int code = 0;

	for (const char *p = text; *p != '\0' && code == 0;) {
		size_t n = keyword_length(p);
		struct str option = { p, n };

		if (str_starts(option, own_prefix))
			code = own_option(place, option, e);
		else
			buf_add_str(out, option);
		p += n;
		for (; *p == ' ' || *p == '\t' || *p == '\n'; p++)
			buf_add_char(out, ' ');
	}
	return code;
}

static const char *value_of(const struct place *place, const char *key)
{
	for (size_t i = 0; i < place->count; i++)
		if (strcmp(place->keys[i], key) == 0)
			return place->values[i];
	return NULL;
}

void place_set(struct place *place, const char *key, const char *value)
{
	for (size_t i = 0; i < place->count; i++)
		if (strcmp(place->keys[i], key) == 0) {
			free(place->values[i]);
			place->values[i] = mem_copy(str_of(value));
			return;
		}
	BUG_ON(place->count >= PLACE_OPTIONS_MAX);
	place->keys[place->count] = mem_copy(str_of(key));
	place->values[place->count++] = mem_copy(str_of(value));
}

static void name_place(struct place *place)
{
	const char *host = value_of(place, "host"), *database = value_of(place, "dbname");

	if (host == NULL)
		host = getenv("PGHOST");
	if (database == NULL)
		database = getenv("PGDATABASE");
	snprintf(place->shown, sizeof(place->shown), "PostgreSQL %s/%s", host != NULL ? host : "localhost", database != NULL ? database : "");
}

int place_parse(struct place *place, const char *url, struct errbuf *e)
{
	PQconninfoOption *options;
	char *text = NULL;
	struct buf plain;
	int code;

	*place = (struct place){ .readers = READERS_USUAL };
	buf_init(&plain, 16384);
	code = is_uri(url) ? strip_uri(place, url, &plain, e) : strip_keywords(place, url, &plain, e);
	if (code == 0 && plain.full)
		code = err_set(e, ERR_STORE, "store: the URL is too long");
	options = code == 0 ? PQconninfoParse(buf_text(&plain), &text) : NULL;
	if (code == 0 && options == NULL)
		code = err_set(e, ERR_STORE, "store: the URL is not one of PostgreSQL's: %s", text != NULL ? text : "no memory");
	PQfreemem(text);
	for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
		if (o->val != NULL)
			place_set(place, o->keyword, o->val);
	PQconninfoFree(options);
	buf_free(&plain);
	for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		if (value_of(place, usual[i][0]) == NULL)
			place_set(place, usual[i][0], usual[i][1]);
	name_place(place);
	if (code != 0)
		place_free(place);
	return code;
}

void place_free(struct place *place)
{
	for (size_t i = 0; i < place->count; i++) {
		free(place->keys[i]);
		if (place->values[i] != NULL)
			memset(place->values[i], 0, strlen(place->values[i]));
		free(place->values[i]);
	}
	*place = (struct place){ 0 };
}
