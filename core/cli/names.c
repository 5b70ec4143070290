#include "cli/names.h"

#include "base/ids.h"
#include "cli/data.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 2000        /* bytes of the names that a refusal lists */

/* The names of an object, in order, with commas. */
static void
write_names(struct buf *out, const json_t *names)
{
	const char *name;
	json_t *value;
	buf_init(out, LIST_MAX);
	json_object_foreach((json_t *)(uintptr_t)names, name, value)
		buf_addf(out, "%s%s", out->n ? ", " : "", name);
}

static int
refuse(const json_t *names, const char *what, const char *name, const char *next)
{
	struct buf list;
	write_names(&list, names);
	int code = cli_fail(EXIT_USAGE, "no %s %s; known: %s%s", what, name, list.n ? buf_text(&list) : "none", next);
	buf_free(&list);
	return code;
}

/* -- tenants ---------------------------------------------------------------------------------------------------------- */

static void
add_stored(json_t *names, struct store *store)
{
	json_t *stored = store_tenant_names(store), *name;
	size_t index;
	json_array_foreach(stored, index, name)
		json_put(names, json_string_value(name), json_true());
	json_decref(stored);
}

/* A scratch store is empty: the tenants are those of the real one, where there is one, and of the overlays. */
static void
add_known_elsewhere(json_t *names, const struct settings *settings)
{
	struct host_options options = { .settings = settings, .without_engine = true, .read_only = true };
	struct errbuf e;
	struct host real;
	if (host_open(&options, &real, &e) == 0) {
		add_stored(names, real.store);
		host_close(&real);
	}
	char *path = path_join(settings->root, "tenants");
	DIR *folder = opendir(path);
	const struct dirent *entry;
	while (folder && (entry = readdir(folder)))
		if (name_is_valid(str_of(entry->d_name)))
			json_put(names, entry->d_name, json_true());
	if (folder)
		closedir(folder);
	free(path);
}

int
names_need_tenant(struct host *host, const char *tenant)
{
	json_t *names = json_object();
	int code = -1;
	add_stored(names, host->store);
	bool unmade = json_object_size(names) == 0 && strcmp(tenant, TENANT_OTHERWISE) == 0;
	if (!unmade && !json_member(names, tenant)) {
		if (host->options.scratch)
			add_known_elsewhere(names, host->settings);
		if (!json_member(names, tenant))
			code = refuse(names, "tenant", tenant, "; perigee tenant create NAME makes one");
	}
	json_decref(names);
	return code;
}

/* -- what a tenant's bundles declare ---------------------------------------------------------------------------------- */

/* The members of one part of the manifests, and the names in its rows. NULL: the store was not to be read, and that was told. */
static json_t *
declared(struct host *host, const char *tenant, const char *part, enum statement in_rows)
{
	static const struct column manifest_columns[] = { { "manifest", 'j', false }, { 0 } }, name_columns[] = { { "name", 't', false }, { 0 } };
	struct store_tx *tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, STATEMENT_bundle_manifests, STORE_ANY, "");
	json_t *manifests = data_read(tx, manifest_columns), *names = json_object(), *row;
	size_t index;
	if (!manifests) {
		json_decref(names);
		return NULL;
	}
	json_array_foreach(manifests, index, row) {
		const char *name;
		json_t *value;
		json_object_foreach((json_t *)(uintptr_t)json_member(json_member(row, "manifest"), part), name, value)
			json_put(names, name, json_true());
	}
	json_decref(manifests);
	tx = store_tx_new(host->store, str_of(tenant));
	store_tx_add(tx, in_rows, STORE_ANY, "");
	json_t *rows = data_read(tx, name_columns);
	json_array_foreach(rows, index, row)
		json_put(names, json_string_value(json_member(row, "name")), json_true());
	json_decref(rows);
	if (in_rows == STATEMENT_record_kinds)
		json_put(names, "source", json_true());    /* the host's own */
	return names;
}

static int
need(struct host *host, const char *tenant, const char *name, const char *part, enum statement in_rows, const char *what)
{
	json_t *names = declared(host, tenant, part, in_rows);
	if (!names)
		return EXIT_NO_HOST;
	int code = json_member(names, name) ? -1 : refuse(names, what, name, "");
	json_decref(names);
	return code;
}

int
names_need_kind(struct host *host, const char *tenant, const char *kind)
{
	return need(host, tenant, kind, "kinds", STATEMENT_record_kinds, "kind of record");
}

int
names_need_agent(struct host *host, const char *tenant, const char *agent)
{
	return need(host, tenant, agent, "agents", STATEMENT_run_agents, "agent");
}
