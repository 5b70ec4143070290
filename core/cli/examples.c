#include "cli/examples.h"

#include "cli/invoke.h"
#include "cli/scorecard_print.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX (8u << 20)
#define PAGE_MAX (4u << 20)

struct examples {
	struct host *host;
	char *folder, *tenant;
	char **names;
	size_t count, at, failures;
	json_t *input;
	struct invocation *running;
	struct style style;
	struct buf overview;
	struct loop_item next;
	int64_t began_us;
	void (*done)(void *arg, size_t runs, size_t failures);
	void *arg;
};

static void
print(const struct buf *page)
{
	fflush(stdout);
	cli_write(STDOUT_FILENO, page);
}

/* Its title from the README ("# The champion who leaves"), else its name: "03-budget-frozen" → "Budget frozen". Owned. */
static char *
title_of(const struct examples *x, const char *name)
{
	struct buf path, text;
	char *title = NULL;

	buf_init(&path, 4096);
	buf_addf(&path, "%s/%s/README.md", x->folder, name);
	if (access(buf_text(&path), R_OK) == 0 && cli_read_file(buf_text(&path), 1 << 16, &text, NULL) == 0) {
		const char *heading = buf_text(&text);
		if (strncmp(heading, "# ", 2) == 0 && strcspn(heading + 2, "\r\n") > 0)
			title = mem_copy((struct str){ heading + 2, strcspn(heading + 2, "\r\n") });
		buf_free(&text);
	}
	buf_free(&path);
	if (title)
		return title;
	while (isdigit((unsigned char)*name))
		name++;
	while (*name == '-' || *name == '_')
		name++;
	title = mem_copy(str_of(name));
	for (char *c = title; *c; c++)
		*c = *c == '-' || *c == '_' ? ' ' : *c;
	title[0] = (char)toupper((unsigned char)title[0]);
	return title;
}

static json_t *
read_input(const struct examples *x, const char *name, struct errbuf *e)
{
	struct buf path, text;
	int code;

	buf_init(&path, 4096);
	buf_addf(&path, "%s/%s/input.json", x->folder, name);
	code = cli_read_file(buf_text(&path), INPUT_MAX, &text, e);
	json_t *input = NULL;
	if (code == 0) {
		input = json_read(buf_str(&text), INPUT_MAX, &code, e);
		buf_free(&text);
		if (!input)
			err_wrap(e, code, "%s", buf_text(&path));
	}
	buf_free(&path);
	return input;
}

static void
print_failure(struct examples *x, const char *title, const char *what, struct str why)
{
	struct buf page;
	buf_init(&page, PAGE_MAX);
	buf_addf(&page, "\n%s──%s %s%s%s\n   %s%s: %.*s%s\n", x->style.dim, x->style.off, x->style.bold, title, x->style.off, x->style.red, what,
	         STR_ARG(why), x->style.off);
	print(&page);
	buf_free(&page);
	x->failures++;
}

static void examples_on_next(void *arg);

static void
examples_on_done(void *arg, const struct invocation_end *end)
{
	struct examples *x = arg;
	const char *name = x->names[x->at];
	char *title = title_of(x, name);

	x->running = NULL;
	if (end->code) {
		const json_t *first = json_array_get(end->errors, 0);
		struct str message = json_member_str(first, "message");
		print_failure(x, title, err_title(end->code), message.n ? message : str_of(end->text));
	} else if (strcmp(end->status, "succeeded") != 0) {
		print_failure(x, title, end->status, json_member_str(end->error, "message"));
	} else {
		struct buf page, place;
		buf_init(&page, PAGE_MAX);
		buf_init(&place, 4096);
		buf_addf(&place, "%s/%s/input.json", x->folder, name);
		struct scorecard_page deal = { title, buf_text(&place), x->input, end->output, end->took_us };
		scorecard_print(&page, &x->style, &deal);
		scorecard_print_line(&x->overview, &x->style, &deal);
		print(&page);
		buf_free(&place);
		buf_free(&page);
	}
	free(title);
	json_decref(x->input);
	x->input = NULL;
	x->at++;
	loop_defer(x->host->loop, &x->next, examples_on_next, x);
}

static void
finish(struct examples *x)
{
	double seconds = (double)(clock_monotonic_us() - x->began_us) / 1e6;
	struct buf line;
	buf_init(&line, PAGE_MAX);
	buf_addf(&line, "\n%s──%s %sOverview%s\n", x->style.dim, x->style.off, x->style.bold, x->style.off);
	buf_add_str(&line, buf_str(&x->overview));
	buf_addf(&line, "\n%s%zu conversation%s in %.2f s%s", x->style.bold, x->count, x->count == 1 ? "" : "s", seconds, x->style.off);
	if (x->failures)
		buf_addf(&line, ", %s%zu failed%s", x->style.red, x->failures, x->style.off);
	buf_add_text(&line, ".\n");
	print(&line);
	buf_free(&line);
	x->done(x->arg, x->count, x->failures);
}

static void
examples_on_next(void *arg)
{
	struct examples *x = arg;
	struct errbuf e = { "" };

	if (x->at == x->count) {
		finish(x);
		return;
	}
	x->input = read_input(x, x->names[x->at], &e);
	if (!x->input) {
		print_failure(x, x->names[x->at], "not read", str_of(e.text));
		x->at++;
		loop_defer(x->host->loop, &x->next, examples_on_next, x);
		return;
	}
	struct run_request request = {
		.tenant = str_of(x->tenant), .agent = "sales", .capability = "qualify", .input = x->input, .subject = json_member_str(x->input, "deal"),
	};
	x->running = invocation_start(x->host, &request, false, examples_on_done, x);
}

static int
list_folder(struct examples *x, struct errbuf *e)
{
	struct dirent **entries;
	int count = scandir(x->folder, &entries, NULL, alphasort);

	if (count < 0)
		return err_set(e, ERR_NOT_FOUND, "examples: cannot read %s: %s", x->folder, strerror(errno));
	x->names = mem_array((size_t)count + 1, sizeof *x->names);
	for (int i = 0; i < count; i++) {
		struct buf path;
		buf_init(&path, 4096);
		buf_addf(&path, "%s/%s/input.json", x->folder, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && access(buf_text(&path), F_OK) == 0)
			x->names[x->count++] = mem_copy(str_of(entries[i]->d_name));
		buf_free(&path);
		free(entries[i]);
	}
	free(entries);
	return x->count ? 0 : err_set(e, ERR_NOT_FOUND, "examples: there is no NAME/input.json in %s", x->folder);
}

int
examples_start(struct host *host, const char *folder, const char *tenant, void (*done)(void *arg, size_t runs, size_t failures), void *arg,
               struct examples **out, struct errbuf *e)
{
	struct examples *x = mem_alloc(sizeof *x);

	x->host = host;
	x->folder = mem_copy(str_of(folder));
	x->tenant = mem_copy(str_of(tenant));
	x->style = style_of(STDOUT_FILENO);
	x->done = done;
	x->arg = arg;
	x->began_us = clock_monotonic_us();
	buf_init(&x->overview, PAGE_MAX);
	int code = list_folder(x, e);
	if (code) {
		examples_free(x);
		return code;
	}
	loop_defer(host->loop, &x->next, examples_on_next, x);
	*out = x;
	return 0;
}

char *
examples_first(const struct examples *x)
{
	struct buf path;
	buf_init(&path, 4096);
	buf_addf(&path, "%s/%s/input.json", x->folder, x->names[0]);
	return buf_take(&path);
}

void
examples_free(struct examples *x)
{
	if (!x)
		return;
	invocation_forget(x->running);
	for (size_t i = 0; i < x->count; i++)
		free(x->names[i]);
	free(x->names);
	json_decref(x->input);
	buf_free(&x->overview);
	free(x->folder);
	free(x->tenant);
	free(x);
}
