/* The page that a newcomer sees first: what must be on it, and what a conversation must not be able to do to a terminal. */
#include "cli/scorecard_print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char sample[] =
	"{\"status\":\"ok\",\"coverage\":{},\"as_of\":\"2026-11-22T10:00:00.000Z\",\"scorecards\":{"
	"\"bant\":{\"blocker\":\"budget\",\"qualified\":false,\"score_bp\":4350,\"dimensions\":{"
	"\"budget\":{\"level\":1,\"red\":true,\"evidence\":[\"e1\",\"e2\"],\"missing\":null},"
	"\"authority\":{\"level\":4,\"red\":false,\"evidence\":[\"e3\"],\"missing\":null},"
	"\"need\":{\"level\":0,\"red\":false,\"evidence\":[],\"missing\":\"a problem in their own words\"},"
	"\"timeline\":{\"level\":2,\"red\":false,\"evidence\":[\"e4\",\"e4\",\"e4\",\"e4\",\"e4\"],\"missing\":[\"a date\",\"what happens then\"]}}},"
	"\"meddic\":{\"blocker\":null,\"qualified\":null,\"score_bp\":1000,\"dimensions\":{\"economic_buyer\":{\"level\":0,\"red\":false,\"evidence\":[]}}}},"
	"\"stage\":{\"current\":\"discovery\",\"gates\":[{\"gate\":\"evaluation\",\"met\":false,\"missing\":[\"budget\",\"metrics\"]}]},"
	"\"next_action\":{\"action\":\"ask_when_budget_returns\",\"reasons\":[\"the budget was frozen\"],\"evidence\":[\"e2\"]},"
	"\"questions\":[{\"id\":\"q1\",\"text\":\"Who releases the budget again, and when?\",\"dimension\":\"budget\",\"for\":\"economic_buyer\"}],"
	"\"evidence\":["
	"{\"id\":\"e1\",\"dimension\":\"budget\",\"polarity\":1,\"quote\":\"We have forty thousand set aside\\nfor this\",\"speaker\":\"Dana Ortiz\",\"said_at\":\"2026-11-02T10:01:00Z\",\"start\":812,\"end\":848},"
	"{\"id\":\"e2\",\"dimension\":\"budget\",\"polarity\":-1,\"quote\":\"Finance has frozen everything that is not already signed, and nobody here can tell me until when that will be so\",\"speaker\":\"Dana Ortiz\",\"said_at\":null,\"start\":900,\"end\":990},"
	"{\"id\":\"e3\",\"dimension\":\"authority\",\"polarity\":1,\"quote\":\"I sign it \\u001b[31mmyself\\u009b2J\",\"speaker\":\"Eve\\u0007\",\"start\":1,\"end\":5},"
	"{\"id\":\"e4\",\"dimension\":\"timeline\",\"polarity\":1,\"quote\":\"By March\",\"speaker\":\"Dana\",\"start\":7,\"end\":9}]}";

static char *
print_sample(const struct style *style)
{
	struct buf out;
	int code;
	json_t *output = json_read(str_of(sample), sizeof sample, &code, NULL), *input = json_read(STR("{\"deal\":\"acme-42\"}"), 100, &code, NULL);
	assert_non_null(output);
	struct scorecard_page page = { "Budget promised, then frozen", "examples/03/input.json", input, output, 12345 };
	buf_init(&out, 1 << 20);
	scorecard_print(&out, style, &page);
	scorecard_print_line(&out, style, &page);
	assert_false(out.full);
	json_decref(output);
	json_decref(input);
	return buf_take(&out);
}

static const struct style plain = { "", "", "", "", "", "", "", "", false, 100 };

static void
the_page_shows_levels_words_places_and_what_is_missing(void **state)
{
	char *text = print_sample(&plain);
	const char *const wanted[] = {
		"Budget promised, then frozen", "acme-42", "examples/03/input.json", "BANT", "not qualified", "blocked by budget", "MEDDIC", "open",
		"RED", "“We have forty thousand set aside for this”", "Dana Ortiz · 2026-11-02 10:01:00 · bytes 812–848", "a problem in their own words",
		"a date; what happens then", "Contradicted", "bant: Budget", "Discovery", "before evaluation: budget; metrics",
		"Ask when budget returns", "the budget was frozen", "Who releases the budget again, and when? (budget, to the economic buyer)",
		"and 2 more", "nothing said",
	};
	(void)state;
	if (getenv("SHOW"))
		print_message("%s\n", text);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
		if (!strstr(text, wanted[i]))
			fail_msg("'%s' is missing in:\n%s", wanted[i], text);
	/* bad news first */
	assert_true(strstr(text, "✗ “Finance") < strstr(text, "✓ “We have"));
	free(text);
}

static void
no_line_is_wider_than_the_terminal(void **state)
{
	struct style narrow = plain;
	(void)state;
	for (narrow.columns = 60; narrow.columns < 140; narrow.columns += 13) {
		char *text = print_sample(&narrow);
		char *overview = strstr(text, "  Budget promised");     /* is for 90 columns or more */
		*overview = '\0';
		for (char *line = text, *end; *line; line = end + 1) {
			end = strchr(line, '\n');
			assert_non_null(end);
			struct str one = { line, (size_t)(end - line) };
			if (text_columns(one) > (size_t)narrow.columns)
				fail_msg("%d columns: %.*s", narrow.columns, STR_ARG(one));
		}
		free(text);
	}
}

static void
a_conversation_cannot_command_the_terminal(void **state)
{
	char *text = print_sample(&plain);
	(void)state;
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		assert_true(*c >= 0x20 || *c == '\n');
		assert_false(c[0] == 0xc2 && c[1] < 0xa0);
	}
	free(text);
}

static void
an_empty_output_prints_a_heading_and_nothing_breaks(void **state)
{
	struct buf out;
	int code;
	json_t *output = json_read(STR("{\"scorecards\":[],\"evidence\":{},\"questions\":7,\"next_action\":[],\"stage\":\"x\"}"), 200, &code, NULL);
	struct scorecard_page page = { "Nothing", NULL, NULL, output, 0 };
	(void)state;
	buf_init(&out, 1 << 16);
	scorecard_print(&out, &plain, &page);
	assert_non_null(strstr(buf_text(&out), "Nothing"));
	buf_free(&out);
	json_decref(output);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_shows_levels_words_places_and_what_is_missing),
		cmocka_unit_test(no_line_is_wider_than_the_terminal),
		cmocka_unit_test(a_conversation_cannot_command_the_terminal),
		cmocka_unit_test(an_empty_output_prints_a_heading_and_nothing_breaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
