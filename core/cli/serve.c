/*
 * perigee serve, perigee dev: the master. It reads the configuration, opens the listening socket, starts workers and keeps them alive (supervisor.c); it touches
 * no request and opens no store, so nothing that a request can do harms it.
 *
 * A worker that dies is started again, at once the first time and then more slowly. SIGHUP: scripts are reloaded; where the configuration has changed, workers are
 * replaced one after the other. SIGTERM and SIGINT: workers drain, then all ends; a second one ends them at once.
 */
#include "base/log.h"
#include "cli/commands.h"
#include "cli/host.h"
#include "cli/supervisor.h"
#include "net/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct master {
	const char *config;
	const struct setting_flags *flags;
	struct settings settings;
	struct worker_options worker;
	char address[96];
	char *scratch;
	int listen_fd;
};

/* -- start ------------------------------------------------------------------------------------------------------------ */

/* The address with the port that the kernel chose where 0 was asked for. */
static void
describe_address(struct master *m)
{
	const char *listen = m->settings.listen, *colon = strrchr(listen, ':');
	size_t n = colon ? (size_t)(colon - listen) : strlen(listen);
	snprintf(m->address, sizeof m->address, "%.*s:%u", n ? (int)n : 7, n ? listen : "0.0.0.0", http_listen_port(m->listen_fd));
}

static int
prepare(struct master *m, bool scratch, struct errbuf *e)
{
	int code = settings_read(m->config, m->flags, &m->settings, e);
	if (code)
		return code;
	bool json = strcmp(m->settings.log_format, "json") == 0;
	enum log_level level = LOG_INFO;
	if (!log_level_parse(str_of(m->settings.log_level), &level))
		level = LOG_INFO;
	log_setup(STDERR_FILENO, json ? LOG_JSON : style_of(STDERR_FILENO).is_terminal ? LOG_COLOUR : LOG_TEXT, level);
	if (scratch) {
		struct buf url;
		if (!(m->scratch = scratch_make(e)))
			return ERR_UNAVAILABLE;
		buf_init(&url, 4200);
		buf_addf(&url, "sqlite:%s", m->scratch);
		free(m->settings.store);
		m->settings.store = buf_take(&url);
	}
	code = http_listen(m->settings.listen, &m->listen_fd, e);
	if (code == 0)
		describe_address(m);
	return code;
}

static int
serve(struct master *m, bool scratch)
{
	struct errbuf e = { "" };
	int code = prepare(m, scratch, &e);
	if (code) {
		code = cli_fail(code == ERR_INVALID || code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_NO_HOST, "%s", e.text);
	} else {
		m->worker.address = m->address;
		struct supervisor_options options = {
			.config = m->config, .flags = m->flags, .worker = m->worker, .listen_fd = m->listen_fd, .scratch = m->scratch,
		};
		m->listen_fd = -1;
		code = supervise(&options, &m->settings);
	}
	if (m->listen_fd >= 0)
		close(m->listen_fd);
	scratch_remove(m->scratch);
	free(m->scratch);
	settings_free(&m->settings);
	return code;
}

#define OPTION_SERVING \
	{ "--listen", "ADDR:PORT", "where to answer (127.0.0.1:8080; port 0: a free one)", NULL, NULL, "listen" }, OPTION_STORE, OPTION_ROOT

static int
run_serve(const struct command *command, int argc, char **argv)
{
	struct setting_flags flags = { 0 };
	struct master m = { .flags = &flags, .listen_fd = -1 };
	struct words words;
	const struct option options[] = {
		OPTION_CONFIG(m.config), OPTION_SERVING,
		{ "--workers", "N", "processes that answer (1)", NULL, NULL, "workers" },
		{ "--redis", "URL", "redis://HOST:PORT/DB or unix:PATH", NULL, NULL, "redis" },
		{ 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 0, &words);
	return code >= 0 ? code : serve(&m, false);
}

static int
run_dev(const struct command *command, int argc, char **argv)
{
	struct setting_flags flags = { 0 };
	struct master m = { .flags = &flags, .listen_fd = -1, .worker = { .dev = true } };
	bool scratch = false;
	struct words words;
	const struct option options[] = {
		OPTION_CONFIG(m.config), OPTION_SERVING,
		{ "--scratch", NULL, "in a store of its own, gone afterwards", NULL, &scratch, NULL },
		{ "--examples", "DIR", "work through DIR/*/input.json first and print the scorecards", &m.worker.examples, NULL, NULL },
		{ "--exit", NULL, "end when the examples are done; 0 only if every run succeeded", NULL, &m.worker.exit_after_examples, NULL },
		{ 0 },
	};
	int code = options_parse(command, options, &flags, argc, argv, 0, 0, &words);
	if (code >= 0)
		return code;
	if (m.worker.exit_after_examples && !m.worker.examples)
		return cli_fail(EXIT_USAGE, "--exit goes with --examples DIR");
	return serve(&m, scratch);
}

const struct command command_serve = {
	"serve", "[OPTIONS]", "Serve HTTP: a master, its workers, their cells",
	"SIGHUP reloads scripts and configuration; SIGTERM drains (drain_timeout) and ends.", run_serve,
};
const struct command command_dev = {
	"dev", "[OPTIONS]", "Serve on an embedded store in .perigee/, reload on save, print a key to begin with",
	"Makes the tenant `example` and, the first time, an administrator's key, which is shown once.", run_dev,
};
