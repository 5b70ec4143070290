/*
 * Tenants that live in another database (`perigee tenant create NAME --database URL`): which, and the engines opened for them. Inside core/store/ only.
 *
 * The platform's row of such a tenant is in the store's own database and names the other one; its data, and nothing of anybody else's platform, is there. An engine
 * is opened in a thread of its own when the first of its tenants is learnt, again after it failed: a database that is away stops its own tenants and nobody else.
 * Only the thread that submits (the loop's) calls these.
 */
#pragma once

#include "store/engine.h"

struct places;

/* The options are copied; their url and metrics are not used. */
struct places *places_new(struct store *store, const struct store_options *options);
void places_free(struct places *places);               /* closes the engines; NULL is nothing */
/* What the platform says now: rows (id, database). */
void places_learn(struct places *places, const struct store_result *rows);
void places_learn_one(struct places *places, struct str tenant, struct str url);
void places_forget(struct places *places, struct str tenant);
/* Does the tenant live elsewhere? Then *impl is its engine's, or NULL while that cannot be had; wait_ms: wait so long for it. */
bool places_find(struct places *places, struct str tenant, int wait_ms, const struct store_engine **engine, void **impl);
/* Why an engine is not there. */
void places_explain(struct places *places, struct str tenant, struct errbuf *e);
/* Until every engine is open or failed, at most so long. */
void places_wait(struct places *places, int wait_ms);
void places_add_names(const struct places *places, json_t *names);
/* The engine for this URL; NULL with e. */
const struct store_engine *places_engine(const char *url, const char **path, struct errbuf *e);
