/* The configuration file, evaluated in a throw-away cell: what comes back is data. Blocking, for start-up. */
#include <stdlib.h>
#include <string.h>

#include "run/cells.h"
#include "run/engine.h"

struct evaluation {
	struct loop *loop;
	json_t *result;
	int code;
	bool done;
	const char *file;
	struct errbuf *e;
};

static void on_loaded(void *arg, int code, const json_t *payload)
{
	struct evaluation *evaluation = arg;
	evaluation->done = true;
	evaluation->code = code;
	if (code == 0) {
		evaluation->result = json_deep_copy(payload);
	} else {
		struct str message = json_member_str(payload, "message");
		int64_t line = json_member_int(payload, "line", 0);
		if (line)
			err_set(evaluation->e, ERR_INVALID, "%s:%lld: %.*s", evaluation->file, (long long)line, STR_ARG(message));
		else
			err_set(evaluation->e, ERR_INVALID, "%s: %.*s", evaluation->file, STR_ARG(message));
	}
	loop_stop(evaluation->loop);
}

json_t *engine_evaluate_config(const char *cell_program, struct str source, const char *file, struct errbuf *e)
{
	struct evaluation evaluation = { .loop = loop_new(), .file = file, .e = e };
	struct cells_options options = {
		.loop = evaluation.loop, .program = cell_program, .memory_bytes = 16 << 20, .cpu_ms = 250, .wall_ms = 2000,
	};
	struct cells *cells;
	if (cells_new(&options, &cells, e) == 0) {
		json_t *files = json_object();
		json_put_str(files, file, source);
		stem_open(cells, "config", files, on_loaded, &evaluation);
		while (!evaluation.done)
			loop_run_once(evaluation.loop);
		json_decref(files);
		cells_free(cells);
	}
	loop_free(evaluation.loop);
	return evaluation.result;
}
