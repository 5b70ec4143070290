#include "cli/newcomer.h"

#include "store/keys.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char new_key[KEY_TEXT_SIZE];     /* of this start; empty where the store has keys already */

static int
has_keys(struct host *host, bool *answer, struct errbuf *e)
{
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	size_t op = 0;
	int code = keys_tx_list(tx, STR(TENANT_OTHERWISE), 1, STR(""), &op, e);
	if (!code)
		code = store_read_now(tx, e);
	*answer = !code && store_tx_result(tx, op)->rows > 0;
	store_tx_free(tx);
	return code;
}

static int
make_key(struct host *host, struct errbuf *e)
{
	struct key_made made;
	json_t *scopes = json_pack("[s]", "*");
	struct key_request request = { .tenant = STR(TENANT_OTHERWISE), .scopes = scopes, .title = "made by perigee dev" };
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	keys_tx_create(tx, &request, &host->clock, &host->rng, &made);
	int code = store_write_now(tx, e);
	store_tx_free(tx);
	json_decref(scopes);
	if (!code)
		memcpy(new_key, made.text, sizeof new_key);
	return code;
}

/* Is the key of PERIGEE_ADMIN_KEY there already? */
static bool
is_known(struct host *host, struct str text)
{
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	struct key key = { 0 };
	size_t op = 0;
	bool known = keys_tx_find(tx, text, &op) == 0 && store_read_now(tx, NULL) == 0 &&
	             keys_verify(store_tx_result(tx, op), text, clock_now_us(&host->clock), &key) == 0;
	json_decref(key.scopes);
	store_tx_free(tx);
	return known;
}

static int
provide_admin_key(struct host *host, const char *text, struct errbuf *e)
{
	if (is_known(host, str_of(text)))
		return 0;
	json_t *scopes = json_pack("[s]", "*");
	struct key_request request = { .tenant = STR(""), .scopes = scopes, .title = "PERIGEE_ADMIN_KEY" };
	struct store_tx *tx = store_tx_new(host->store, STR(""));
	int code = keys_tx_create_known(tx, &request, str_of(text), &host->clock, &host->rng, e);
	if (!code)
		code = store_write_now(tx, e);
	store_tx_free(tx);
	json_decref(scopes);
	return code ? err_wrap(e, code, "PERIGEE_ADMIN_KEY") : 0;
}

int
newcomer_provide(struct host *host, const struct worker_options *options, struct errbuf *e)
{
	bool keys = false;
	int code = 0;
	if (options->settings->admin_key && (code = provide_admin_key(host, options->settings->admin_key, e)))
		return code;
	if (!options->dev)
		return 0;
	if ((code = store_tenant_create(host->store, STR(TENANT_OTHERWISE), "Example", e)) || (code = has_keys(host, &keys, e)) || keys)
		return code;
	return make_key(host, e);
}

void
newcomer_print_ready(const struct worker_options *options)
{
	struct style s = style_of(STDOUT_FILENO);

	if (!options->dev) {
		printf("perigee ready, listening on http://%s\n", options->address);
		fflush(stdout);
		return;
	}
	printf("%sperigee ready on http://%s%s\n", s.bold, options->address, s.off);
	printf("listening on http://%s\n", options->address);
	if (*new_key)
		printf("key: %s\n%s     for the tenant %s, shown this once: only its digest is stored%s\n", new_key, s.dim, TENANT_OTHERWISE, s.off);
	else
		printf("%skeys: as printed at the first start; another: perigee key create%s\n", s.dim, s.off);
	fflush(stdout);
	if (!options->examples || options->exit_after_examples)
		memset(new_key, 0, sizeof new_key);
}

void
newcomer_print_invitation(const char *address, const char *example)
{
	struct style s = style_of(STDOUT_FILENO);
	bool known = *new_key != '\0';
	printf("\n%sServing http://%s until Ctrl-C.%s Save a file in scripts/ or methodology/ and it is live. In another terminal:\n"
	       "  build/perigee run sales.qualify --input %s --trace\n"
	       "  curl -s http://%s/v1/agents/sales/qualify -H 'Authorization: Bearer %s' -H 'Prefer: wait=10' \\\n"
	       "    -H 'Content-Type: application/json' -d @%s\n"
	       "%s%s; build/perigee key create makes another%s\n",
	       s.bold, address, s.off, example, address, known ? new_key : "KEY", example, s.dim,
	       known ? "The key was made now and is not shown again" : "KEY was printed at the first start", s.off);
	fflush(stdout);
	memset(new_key, 0, sizeof new_key);
}
