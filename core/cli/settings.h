/*
 * The settings of a process: built-in defaults, then perigee.lua, then the environment, then the command line; each knows where it comes from.
 * perigee.lua is evaluated in a throw-away cell. What env(NAME) stands for is put in here: a value never enters Lua.
 */
#pragma once

#include "base/json.h"
#include "cli/cli.h"
#include "run/engine.h"

#define SETTINGS_ROWS 32

struct settings {
	char *config;                  /* path of the file that was read; NULL when there is none */
	char *cell_program;            /* path of perigee-cell, beside this program or in ../libexec/perigee */
	char *root;                    /* folder with scripts/ and methodology/ */
	char *listen, *store, *redis;
	int64_t workers;
	char *log_format, *log_level;
	int64_t drain_timeout_ms, lease_ms;
	int64_t cell_memory_bytes, cell_cpu_ms, cell_wall_ms, cell_resident;
	int64_t limit_body_bytes, limit_connections, limit_runs_per_tenant, limit_children;
	int64_t metrics_tenants;
	struct retention_rules retention;
	int64_t events_stream_length;
	char *admin_key, *master_key;  /* secrets: never printed */
	char *url, *key;               /* client commands */
	json_t *egress;                /* array of origins to which requests may go */
	json_t *providers, *roles;     /* objects with every env() resolved */
	const char *origins[SETTINGS_ROWS];   /* "default", "perigee.lua", "PERIGEE_LISTEN", "--listen" */
	char *origin_file;
};

/* flags may be NULL. ERR_INVALID (text with file and line), ERR_NOT_FOUND (a file named explicitly), ERR_UNAVAILABLE (no perigee-cell). Free with settings_free
 * also after a failure. */
MUST_CHECK int settings_read(const char *config /* NULL: PERIGEE_CONFIG, then ./perigee.lua when there is one */, const struct setting_flags *flags,
                             struct settings *out, struct errbuf *e);
void settings_free(struct settings *s);
bool settings_equal(const struct settings *a, const struct settings *b);
/* Where did the setting come from? */
const char *settings_origin(const struct settings *s, const char *path);
/* A URL of a store or of Redis for messages: owned, with the password as ***. */
char *settings_url_shown(const char *url);
/* `path = value (origin)` for each, secrets masked: for `perigee doctor`. */
void settings_write(const struct settings *s, struct buf *out);
