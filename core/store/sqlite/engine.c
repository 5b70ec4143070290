/*
 * The SQLite engine: a folder with a file for the platform and one for each tenant. See connection.h (files), lane.h (threads, group commit),
 * migrate.c (schema), owners.h (who is alive). The engine keeps one connection to the platform of its own, for what blocks: tenants.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ids.h"
#include "store/sqlite/dump.h"
#include "store/sqlite/execute.h"
#include "store/sqlite/lane.h"
#include "store/sqlite/owners.h"

enum {
	CONNECTIONS_MAX = 256,        /* open tenants per lane */
	CONNECTIONS_MIN = 16,
	DESCRIPTORS_PER_CONNECTION = 3,
	STALE_AFTER_S = 3600,         /* half-made tenants older than this were left by a crash */
};

struct sqlite_engine {
	struct store *store;
	struct folder folder;
	struct lane writer, reader;
	pthread_mutex_t lock;         /* over what follows */
	struct connection *platform;
	json_t *tenants;              /* known names → true; others may have come since */
	int owner_fd;
};

/* -- the folder ------------------------------------------------------------------------------------------------------- */

static int folder_make(const struct folder *folder, const char *below, bool create, struct errbuf *e)
{
	char path[CONNECTION_PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", folder->path, below);
	if (stat(path, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return err_set(e, ERR_STORE, "%s: a store is a folder and this is none: choose another place", path);
		return 0;
	}
	if (errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (!create)
		return err_set(e, ERR_STORE, "%s: no store there: check the path; perigee dev and perigee migrate up make a new one", path);
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_set(e, ERR_STORE, "%s: cannot be made: %s", path, strerror(errno));
	return 0;
}

static int folder_check(const struct folder *folder, bool create, struct errbuf *e)
{
	int code;

	if (folder->path[0] == '\0' || strlen(folder->path) > CONNECTION_PATH_MAX - 256)
		return err_set(e, ERR_STORE, "store 'sqlite:%s': name a folder", folder->path);
	code = folder_make(folder, "", create, e);
	if (code == 0 && !folder->read_only && access(folder->path, W_OK) != 0)
		code = err_set(e, ERR_STORE, "%s: read-only for this user: make it writable, or choose another folder", folder->path);
	if (code == 0 && !folder->read_only)
		code = folder_make(folder, "/tenants", true, e);
	if (code == 0 && !folder->read_only)
		code = folder_make(folder, "/workers", true, e);
	return code;
}

static void folder_sync(const struct folder *folder)
{
	char path[CONNECTION_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/tenants", folder->path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
}

/* What a crash in the middle of creating a tenant has left. */
static void sweep_unborn(const struct folder *folder)
{
	char path[CONNECTION_PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tenants", folder->path);
	dir = opendir(path);
	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (str_starts(str_of(entry->d_name), ".new-") && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
		    st.st_mtime + STALE_AFTER_S < time(NULL))
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

/* -- the platform's connection ---------------------------------------------------------------------------------------- */

/* Run a transaction here and now, on the engine's own connection (under the lock). */
static int platform_run(struct sqlite_engine *engine, struct store_tx *tx, struct errbuf *e)
{
	struct connection *c = engine->platform;
	enum executed outcome;
	int rc;

	rc = connection_control(c, tx->write ? CONTROL_BEGIN_WRITE : CONTROL_BEGIN_READ);
	if (rc != SQLITE_OK)
		return connection_explain(c, rc, "platform", e);
	outcome = execute_tx(c, tx);
	if (outcome == EXECUTED && (rc = connection_control(c, CONTROL_COMMIT)) != SQLITE_OK)
		store_tx_fail(tx, connection_explain(c, rc, "commit", e), 0, "%s", e != NULL ? e->text : "");
	if (sqlite3_get_autocommit(c->db) == 0)
		(void)connection_control(c, CONTROL_ROLLBACK);
	return tx->code != 0 ? err_set(e, tx->code, "%s", tx->error) : 0;
}

/* Every tenant, page by page, under the lock. */
static int tenants_read(struct sqlite_engine *engine, json_t *names, struct errbuf *e)
{
	const int64_t page = 500;
	char after[STORE_TENANT_SIZE] = "";
	struct store_tx *tx;
	size_t rows;
	int code;

	do {
		tx = store_tx_new(engine->store, STR(""));
		tx->code = 0;
		store_tx_add(tx, STATEMENT_tenants_here, STORE_ANY, "ti", after, page);
		code = platform_run(engine, tx, e);
		rows = code == 0 ? store_tx_result(tx, 0)->rows : 0;
		for (size_t i = 0; i < rows; i++) {
			struct str name = store_text(store_tx_result(tx, 0), i, 0);

			json_array_append_new(names, json_new_str(name));
			snprintf(after, sizeof(after), "%.*s", STR_ARG(name));
		}
		store_tx_free(tx);
	} while (rows == (size_t)page);
	return code;
}

static void tenant_known(struct sqlite_engine *engine, struct str name)
{
	json_object_setn_new(engine->tenants, name.p, name.n, json_true());
}

/* -- tenants ---------------------------------------------------------------------------------------------------------- */

static int check_tenants(struct sqlite_engine *engine, struct errbuf *e)
{
	json_t *names = json_array();
	struct connection *c;
	json_t *name;
	size_t i;
	int code;

	code = tenants_read(engine, names, e);
	json_array_foreach(names, i, name) {
		if (code != 0)
			break;
		code = connection_open(&engine->folder, json_str(name), CONNECTION_WRITE, &c, e);
		if (code == ERR_NOT_FOUND)
			code = err_set(e, ERR_STORE, "%s/tenants/%s.db: the file of this tenant is missing: restore it from a backup", engine->folder.path,
			    json_string_value(name));
		if (code == 0)
			code = migrate_connection(c, "tenant", engine->folder.read_only, engine->folder.clock, e);
		if (code == 0) {
			connection_close(c);
			tenant_known(engine, json_str(name));
		}
	}
	json_decref(names);
	return code;
}

static void unborn_remove(const char *unborn)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char path[CONNECTION_PATH_MAX + 80];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", unborn, suffixes[i]);
		(void)unlink(path);
	}
}

/* Migrate, and leave all of it in the file itself, none in a log beside it. */
static int unborn_fill(struct sqlite_engine *engine, const char *unborn, struct errbuf *e)
{
	struct connection *c;
	int code, rc;

	code = connection_open_file(&engine->folder, unborn, true, &c, e);
	if (code != 0)
		return code;
	code = migrate_connection(c, "tenant", false, engine->folder.clock, e);
	if (code == 0 && (rc = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL)) != SQLITE_OK)
		code = connection_explain(c, rc, "checkpoint", e);
	connection_close(c);
	return code;
}

/* A whole file or none: it is made under another name, then linked to its own. */
static int tenant_file_make(struct sqlite_engine *engine, struct str tenant, const char *file, struct errbuf *e)
{
	char unborn[CONNECTION_PATH_MAX + 64];
	int code;

	snprintf(unborn, sizeof(unborn), "%s/tenants/.new-%.*s-%d", engine->folder.path, STR_ARG(tenant), (int)getpid());
	unborn_remove(unborn);
	code = unborn_fill(engine, unborn, e);
	if (code == 0 && link(unborn, file) != 0 && errno != EEXIST)
		code = err_set(e, ERR_STORE, "%s: cannot be made: %s", file, strerror(errno));
	unborn_remove(unborn);
	folder_sync(&engine->folder);
	return code;
}

static int tenant_create(void *impl, struct str tenant, const char *title, struct errbuf *e)
{
	struct sqlite_engine *engine = impl;
	char file[CONNECTION_PATH_MAX];
	struct connection *c;
	struct store_tx *tx;
	int code = 0;

	if (engine->folder.read_only)
		return err_set(e, ERR_STORE, "%s: the store is opened read-only", engine->folder.path);
	folder_file(&engine->folder, tenant, file);
	pthread_mutex_lock(&engine->lock);
	if (access(file, F_OK) != 0)
		code = tenant_file_make(engine, tenant, file, e);
	if (code == 0 && (code = connection_open(&engine->folder, tenant, CONNECTION_WRITE, &c, e)) == 0)
		connection_close(c);
	if (code == 0) {
		tx = store_tx_new(engine->store, STR(""));
		tx->code = 0;
		tx->write = true;
		store_tx_add(tx, STATEMENT_tenant_insert, STORE_ANY, "sti", tenant, title != NULL ? title : "", clock_now_us(engine->folder.clock));
		code = platform_run(engine, tx, e);
		store_tx_free(tx);
	}
	if (code == 0)
		tenant_known(engine, tenant);
	pthread_mutex_unlock(&engine->lock);
	return code != 0 ? err_wrap(e, code, "create tenant %.*s", STR_ARG(tenant)) : 0;
}

static bool tenant_exists(void *impl, struct str tenant)
{
	struct sqlite_engine *engine = impl;
	char file[CONNECTION_PATH_MAX];
	struct store_tx *tx;
	bool known;

	folder_file(&engine->folder, tenant, file);
	pthread_mutex_lock(&engine->lock);
	known = json_object_getn(engine->tenants, tenant.p, tenant.n) != NULL;
	/* Another process may have created it: its file is there then. */
	if (!known && access(file, F_OK) == 0) {
		tx = store_tx_new(engine->store, STR(""));
		tx->code = 0;
		store_tx_add(tx, STATEMENT_tenant_here, STORE_ANY, "s", tenant);
		known = platform_run(engine, tx, NULL) == 0 && store_tx_result(tx, 0)->rows > 0;
		store_tx_free(tx);
		if (known)
			tenant_known(engine, tenant);
	}
	pthread_mutex_unlock(&engine->lock);
	return known;
}

static json_t *tenant_names(void *impl)
{
	struct sqlite_engine *engine = impl;
	json_t *names = json_array();

	pthread_mutex_lock(&engine->lock);
	(void)tenants_read(engine, names, NULL);
	pthread_mutex_unlock(&engine->lock);
	return names;
}

/* -- owners ----------------------------------------------------------------------------------------------------------- */

static int owner_register(void *impl, const char *owner, struct errbuf *e)
{
	struct sqlite_engine *engine = impl;
	int fd, code;

	if (engine->folder.read_only)
		return err_set(e, ERR_STORE, "%s: the store is opened read-only", engine->folder.path);
	pthread_mutex_lock(&engine->lock);
	if (engine->owner_fd >= 0) {
		owner_unlock(engine->owner_fd);
		engine->owner_fd = -1;
	}
	code = owner_lock(&engine->folder, owner, &fd, e);
	if (code == 0)
		engine->owner_fd = fd;
	pthread_mutex_unlock(&engine->lock);
	return code;
}

static bool owner_is_alive(void *impl, struct str owner)
{
	struct sqlite_engine *engine = impl;

	return owner_is_locked(&engine->folder, owner);
}

/* Others see that we are gone as soon as the lock is: there is nothing to lose before. */
static enum store_lease lease(void *impl)
{
	(void)impl;
	return STORE_LEASE_HELD;
}

/* A folder with a file for each process: read here and now, answered through the mailbox. */
static void owners_lost(void *impl, struct store_tx *tx)
{
	struct sqlite_engine *engine = impl;
	json_t *gone = json_array(), *id;
	int64_t alive = owners_list(&engine->folder, gone);
	struct store_value *values = store_result_make(tx, 0, json_array_size(gone), 1);
	size_t i;

	json_array_foreach(gone, i, id)
		values[i] = (struct store_value){ .type = STORE_TEXT, .text = arena_copy(&tx->arena, json_str(id)) };
	tx->ops[0].result.changed = alive;
	json_decref(gone);
	store_complete(engine->store, tx, NULL, -1);
}

static void owner_forget(void *impl, struct str owner)
{
	struct sqlite_engine *engine = impl;

	owner_remove(&engine->folder, owner);
}

static void owner_release(void *impl)
{
	struct sqlite_engine *engine = impl;

	pthread_mutex_lock(&engine->lock);
	owner_unlock(engine->owner_fd);
	engine->owner_fd = -1;
	pthread_mutex_unlock(&engine->lock);
}

/* -- whole tenants ---------------------------------------------------------------------------------------------------- */

static int engine_dump(void *impl, struct str tenant, unsigned parts, struct dump_writer *w, struct errbuf *e)
{
	struct sqlite_engine *engine = impl;
	int code;

	pthread_mutex_lock(&engine->lock);
	code = sqlite_dump_tenant(&engine->folder, engine->platform, tenant, parts, w, e);
	pthread_mutex_unlock(&engine->lock);
	return code;
}

/* The tenant's file, its keys and its row: the file first, so that a crash in between leaves a tenant that is missing, never one half there. */
static int engine_tenant_delete(void *impl, struct str tenant, struct errbuf *e)
{
	struct sqlite_engine *engine = impl;
	char file[CONNECTION_PATH_MAX];
	sqlite3_stmt *s = NULL;
	int rc = SQLITE_OK;

	folder_file(&engine->folder, tenant, file);
	pthread_mutex_lock(&engine->lock);
	unborn_remove(file);
	json_object_deln(engine->tenants, tenant.p, tenant.n);
	for (int i = 0; i < 2 && rc == SQLITE_OK; i++) {
		rc = sqlite3_prepare_v2(engine->platform->db, i ? "DELETE FROM tenants WHERE id = ?1" : "DELETE FROM keys WHERE tenant = ?1", -1, &s, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_bind_text(s, 1, tenant.p, (int)tenant.n, SQLITE_STATIC);
		if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_DONE)
			rc = SQLITE_OK;
		sqlite3_finalize(s);
	}
	rc = rc == SQLITE_OK ? 0 : connection_explain(engine->platform, rc, "delete tenant", e);
	pthread_mutex_unlock(&engine->lock);
	return rc;
}

static int engine_load(void *impl, struct str tenant, struct dump_reader *r, bool with_keys, struct errbuf *e)
{
	struct sqlite_engine *engine = impl;
	int code = tenant.n > 0 ? tenant_create(engine, tenant, "", e) : 0;

	if (code != 0)
		return code;
	pthread_mutex_lock(&engine->lock);
	code = sqlite_load_tenant(&engine->folder, engine->platform, tenant, r, with_keys, e);
	pthread_mutex_unlock(&engine->lock);
	if (code != 0 && tenant.n > 0 && engine_tenant_delete(engine, tenant, NULL) != 0)
		return err_wrap(e, code, "what was made of tenant %.*s could not be removed", STR_ARG(tenant));
	return code;
}

/* -- opening and closing ---------------------------------------------------------------------------------------------- */

static void library_setup(void)
{
	/* Counting allocations takes a lock on each; refused (harmlessly) when SQLite is in use already. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* Half of the descriptors that this process may have, for both lanes together. */
static size_t connections_max(void)
{
	struct rlimit limit;
	rlim_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return CONNECTIONS_MAX;
	n = limit.rlim_cur / 2 / 2 / DESCRIPTORS_PER_CONNECTION;
	return n > CONNECTIONS_MAX ? CONNECTIONS_MAX : n < CONNECTIONS_MIN ? CONNECTIONS_MIN : (size_t)n;
}

static int platform_open(struct sqlite_engine *engine, bool create, struct errbuf *e)
{
	char file[CONNECTION_PATH_MAX];
	int code;

	folder_file(&engine->folder, STR(""), file);
	code = connection_open_file(&engine->folder, file, create && !engine->folder.read_only, &engine->platform, e);
	if (code == ERR_NOT_FOUND)
		return err_set(e, ERR_STORE, "%s: no store there: check the path; perigee dev and perigee migrate up make a new one", file);
	if (code == 0)
		code = migrate_connection(engine->platform, "shared", engine->folder.read_only, engine->folder.clock, e);
	return code;
}

static void engine_free(struct sqlite_engine *engine)
{
	connection_close(engine->platform);
	json_decref(engine->tenants);
	pthread_mutex_destroy(&engine->lock);
	free(engine->folder.path);
	free(engine);
}

static int engine_open(struct store *store, const struct store_options *options, const char *path, void **out, struct errbuf *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sqlite_engine *engine;
	int code;

	pthread_once(&once, library_setup);
	engine = mem_alloc(sizeof(*engine));
	engine->store = store;
	engine->folder = (struct folder){ .path = mem_copy(str_of(path)), .read_only = options->read_only, .clock = options->clock };
	engine->tenants = json_object();
	engine->owner_fd = -1;
	pthread_mutex_init(&engine->lock, NULL);
	code = folder_check(&engine->folder, options->create, e);
	if (code == 0)
		code = platform_open(engine, options->create, e);
	if (code == 0)
		code = check_tenants(engine, e);
	if (code != 0) {
		engine_free(engine);
		return err_wrap(e, ERR_STORE, "open store");
	}
	if (!options->read_only)
		sweep_unborn(&engine->folder);
	lane_start(&engine->writer, store, &engine->folder, CONNECTION_WRITE, connections_max());
	lane_start(&engine->reader, store, &engine->folder, CONNECTION_READ, connections_max());
	*out = engine;
	return 0;
}

static void engine_close(void *impl)
{
	struct sqlite_engine *engine = impl;

	lane_stop(&engine->writer);
	lane_stop(&engine->reader);
	owner_unlock(engine->owner_fd);
	engine_free(engine);
}

static void engine_submit(void *impl, struct store_tx *tx)
{
	struct sqlite_engine *engine = impl;

	lane_submit(tx->write ? &engine->writer : &engine->reader, tx);
}

const struct store_engine store_engine_sqlite = {
	.scheme = "sqlite",
	.statements = sqlite_statements,
	.open = engine_open,
	.close = engine_close,
	.submit = engine_submit,
	.tenant_create = tenant_create,
	.tenant_exists = tenant_exists,
	.tenant_names = tenant_names,
	.owner_register = owner_register,
	.dump = engine_dump,
	.load = engine_load,
	.tenant_delete = engine_tenant_delete,
	.owner_is_alive = owner_is_alive,
	.lease = lease,
	.owners_lost = owners_lost,
	.owner_forget = owner_forget,
	.owner_release = owner_release,
};
