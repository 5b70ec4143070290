#include "cli/test_report.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

#define JUNIT_MAX (64u << 20)

void
report_begin(struct report *r, enum report_form form)
{
	*r = (struct report){ .form = form, .style = style_of(1), .began_us = clock_monotonic_us() };
	buf_init(&r->junit, JUNIT_MAX);
	if (form == REPORT_TAP)
		printf("TAP version 13\n");
}

static void
print_indented(struct str text, const char *before)
{
	while (text.n) {
		const char *newline = memchr(text.p, '\n', text.n);
		size_t n = newline ? (size_t)(newline - text.p) : text.n;
		printf("%s%.*s\n", before, (int)n, text.p);
		n += newline ? 1 : 0;
		text.p += n;
		text.n -= n;
	}
}

/* One line for a name: TAP reads a '#' as a directive. */
static void
print_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		putchar(name.p[i] == '\n' || name.p[i] == '#' ? ' ' : name.p[i]);
}

static void
add_xml(struct buf *b, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c == '<')
			buf_add_text(b, "&lt;");
		else if (c == '>')
			buf_add_text(b, "&gt;");
		else if (c == '&')
			buf_add_text(b, "&amp;");
		else if (c == '"')
			buf_add_text(b, "&quot;");
		else if (c >= 0x20 || c == '\n' || c == '\t')
			buf_add_char(b, (char)c);
		else
			buf_addf(b, "\\x%02x", c);
	}
}

struct outcome {
	struct str name, path, message, traceback;
	int64_t line;
	bool failed, error, pending;
};

static void
tell_spec(const struct report *r, const struct outcome *o)
{
	const struct style *s = &r->style;
	printf("  %s%s%s ", o->failed ? s->red : o->pending ? s->yellow : s->green, o->failed ? "✗" : o->pending ? "–" : "✓", s->off);
	print_name(o->name);
	putchar('\n');
	if (!o->failed)
		return;
	printf("      %s%.*s:%lld%s\n", s->dim, STR_ARG(o->path), (long long)o->line, s->off);
	print_indented(o->message, "      ");
	if (o->traceback.n)
		print_indented(o->traceback, "      ");
}

static void
tell_tap(const struct report *r, const struct outcome *o)
{
	printf("%s %zu - ", o->failed ? "not ok" : "ok", r->number);
	print_name(o->name);
	printf("%s\n", o->pending ? " # SKIP pending" : "");
	if (!o->failed)
		return;
	printf("# %.*s:%lld\n", STR_ARG(o->path), (long long)o->line);
	print_indented(o->message, "# ");
	print_indented(o->traceback, "# ");
}

static void
tell_junit(struct report *r, const struct outcome *o)
{
	buf_add_text(&r->junit, "    <testcase name=\"");
	add_xml(&r->junit, o->name);
	buf_add_text(&r->junit, "\" classname=\"");
	add_xml(&r->junit, o->path);
	buf_addf(&r->junit, "\" line=\"%lld\">", (long long)o->line);
	if (o->pending && !o->message.n) {
		buf_add_text(&r->junit, "<skipped/>");
	} else if (o->pending) {
		buf_add_text(&r->junit, "<skipped message=\"");
		add_xml(&r->junit, o->message);
		buf_add_text(&r->junit, "\"/>");
	}
	if (o->failed) {
		buf_addf(&r->junit, "<%s message=\"", o->error ? "error" : "failure");
		add_xml(&r->junit, o->message);
		buf_add_text(&r->junit, "\">");
		add_xml(&r->junit, o->traceback);
		buf_addf(&r->junit, "</%s>", o->error ? "error" : "failure");
	}
	buf_add_text(&r->junit, "</testcase>\n");
}

static void
tell(struct report *r, const struct outcome *o)
{
	r->number++;
	if (o->error)
		r->errors++;
	if (o->failed)
		r->failed++;
	else if (o->pending)
		r->pending++;
	else
		r->passed++;
	switch (r->form) {
	case REPORT_SPEC:
		tell_spec(r, o);
		break;
	case REPORT_TAP:
		tell_tap(r, o);
		break;
	case REPORT_JUNIT:
		tell_junit(r, o);
		break;
	}
	fflush(stdout);
}

/* Of one file: JUnit wants them before the tests. */
struct tally {
	size_t tests, failures, errors, skipped;
};

static struct tally
tally_of(const json_t *tests)
{
	struct tally tally = { .tests = json_array_size(tests) };
	for (size_t i = 0; i < tally.tests; i++) {
		struct str status = json_member_str(json_array_get(tests, i), "status");
		if (str_is(status, "pending"))
			tally.skipped++;
		else if (str_is(status, "error"))
			tally.errors++;
		else if (!str_is(status, "passed") && !str_is(status, "success"))
			tally.failures++;
	}
	return tally;
}

static void
begin_file(struct report *r, const char *path, const struct tally *tally, int64_t took_us)
{
	if (r->form == REPORT_SPEC) {
		printf("%s%s%s %s%.0f ms%s\n", r->style.bold, path, r->style.off, r->style.dim, (double)took_us / 1e3, r->style.off);
	} else if (r->form == REPORT_TAP) {
		printf("# %s\n", path);
	} else {
		buf_add_text(&r->junit, "  <testsuite name=\"");
		add_xml(&r->junit, str_of(path));
		buf_addf(&r->junit, "\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\">\n", tally->tests, tally->failures,
		         tally->errors, tally->skipped, (double)took_us / 1e6);
	}
}

static void
end_file(struct report *r)
{
	if (r->form == REPORT_JUNIT)
		buf_add_text(&r->junit, "  </testsuite>\n");
}

void
report_file(struct report *r, const char *path, const json_t *tests, int64_t took_us)
{
	struct tally tally = tally_of(tests);
	begin_file(r, path, &tally, took_us);
	for (size_t i = 0; i < json_array_size(tests); i++) {
		const json_t *test = json_array_get(tests, i);
		struct str status = json_member_str(test, "status"), at = json_member_str(test, "path");
		struct outcome o = {
			.name = json_member_str(test, "name"), .path = at.n ? at : str_of(path), .message = json_member_str(test, "message"),
			.traceback = json_member_str(test, "traceback"), .line = json_member_int(test, "line", 0),
			.pending = str_is(status, "pending"),
		};
		o.error = str_is(status, "error");
		o.failed = !o.pending && !str_is(status, "passed") && !str_is(status, "success");
		tell(r, &o);
	}
	end_file(r);
}

void
report_broken_file(struct report *r, const char *path, const json_t *error, int64_t took_us)
{
	struct buf message;
	struct str code = json_member_str(error, "code"), text = json_member_str(error, "message"), where = json_member_str(error, "where");

	buf_init(&message, 1 << 16);
	buf_addf(&message, "%.*s: %.*s", STR_ARG(code), STR_ARG(text));
	if (where.n)
		buf_addf(&message, " (%.*s)", STR_ARG(where));
	struct outcome o = {
		.name = STR("the file runs to its end"), .path = str_of(path), .message = buf_str(&message),
		.traceback = json_member_str(error, "traceback"), .line = 1, .failed = true, .error = true,
	};
	begin_file(r, path, &(struct tally){ .tests = 1, .errors = 1 }, took_us);
	tell(r, &o);
	end_file(r);
	buf_free(&message);
}

void
report_end(struct report *r)
{
	double seconds = (double)(clock_monotonic_us() - r->began_us) / 1e6;
	switch (r->form) {
	case REPORT_SPEC:
		printf("\n%s%zu passed, %zu failed, %zu pending%s in %.1f s\n", r->failed ? r->style.red : r->style.green, r->passed, r->failed, r->pending,
		       r->style.off, seconds);
		break;
	case REPORT_TAP:
		printf("1..%zu\n", r->number);
		break;
	case REPORT_JUNIT:
		printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\">\n%s</testsuites>\n",
		       r->number, r->failed - r->errors, r->errors, r->pending, seconds, buf_text(&r->junit));
		break;
	}
	buf_free(&r->junit);
}
