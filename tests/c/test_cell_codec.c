/* JSON through a cell and back: what goes in comes out, byte for byte, and what is no JSON is refused. */
#include "check.h"

#include "base/json.h"
#include "cell_driver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY \
	"local host = require('perigee.effects').host\n" \
	"return {\n" \
	"  echo = function(input) return input end,\n" \
	"  text = function(input) return host.json_encode(host.json_decode(input)) end,\n" \
	"  refused = function(input)\n" \
	"    local accepted = host.array{}\n" \
	"    for _, text in ipairs(input) do if pcall(host.json_decode, text) then accepted[#accepted + 1] = text end end\n" \
	"    return accepted\n" \
	"  end,\n" \
	"  rebuild = function(input)\n" \
	"    local function copy(v)\n" \
	"      if type(v) ~= 'table' then return v end\n" \
	"      local t = host.is_array(v) and host.array{} or {}\n" \
	"      for k, x in pairs(v) do t[k] = copy(x) end\n" \
	"      return t\n" \
	"    end\n" \
	"    return copy(input)\n" \
	"  end,\n" \
	"}"

static struct driver driver;
static struct stem stem;
static uint64_t seed = 42;

static int open_all(void **state)
{
	json_t *files = bundle_of(BODY);
	struct message answer;

	(void)state;
	driver_open(&driver);
	driver_stem(&driver, 1, &stem);
	stem_load(&stem, files, "bundle", NULL, &answer);
	assert_int_equal(answer.type, FRAME_MANIFEST);
	message_free(&answer);
	json_decref(files);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	driver_close_stem(&stem);
	return driver_close(&driver);
}

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static json_t *random_string(void)
{
	static const char *const pieces[] = { "a", "b", "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "/", "\x7f", "0", " " };
	struct buf b;
	json_t *s;
	uint64_t n = draw() % 8;

	buf_init(&b, 256);
	while (n--)
		buf_add_text(&b, pieces[draw() % (sizeof pieces / sizeof *pieces)]);
	s = json_stringn(buf_text(&b), b.n);
	buf_free(&b);
	return s;
}

static json_t *random_number(void)
{
	union {
		uint64_t bits;
		double value;
	} u;

	switch (draw() % 6) {
	case 0: return json_integer((json_int_t)(draw() % 2001) - 1000);
	case 1: return json_integer((json_int_t)(draw() >> 11)); /* below 2^53 */
	case 2: return json_integer(-(json_int_t)(draw() >> 11));
	case 3: return json_real((double)(draw() % 100000) / 100);
	default:
		do
			u.bits = draw();
		while (!isfinite(u.value));
		return json_real(u.value);
	}
}

static json_t *random_value(int depth)
{
	uint64_t kind = draw() % (depth > 0 ? 8 : 6), n;
	json_t *value;

	switch (kind) {
	case 0: return json_null();
	case 1: return json_true();
	case 2: return json_false();
	case 3: return random_string();
	case 4: case 5: return random_number();
	case 6:
		value = json_array();
		for (n = draw() % 5; n > 0; n--)
			json_array_append_new(value, random_value(depth - 1));
		return value;
	default:
		value = json_object();
		for (n = draw() % 5; n > 0; n--) {
			json_t *key = random_string();

			json_object_setn_new(value, json_string_value(key), json_string_length(key), random_value(depth - 1));
			json_decref(key);
		}
		return value;
	}
}

static char *through_a_cell(const char *capability, const char *input)
{
	struct message message;
	struct cell cell;
	char *text;

	stem_fork(&stem, &cell);
	cell_start(&cell, capability, input, 0);
	assert_true(cell_next(&cell, &message, 10000));
	if (message.type != FRAME_DONE)
		fprintf(stderr, "%s: %.500s\n", capability, message.text);
	assert_int_equal(message.type, FRAME_DONE);
	text = message.text; /* {"output":…} */
	text[message.size - 1] = '\0';
	text = mem_copy(str_of(text + sizeof "{\"output\":" - 1));
	message_free(&message);
	cell_close(&cell);
	return text;
}

static void every_document_comes_back_as_it_went(void **state)
{
	static const char *const ways[] = { "echo", "rebuild" };
	int i;

	(void)state;
	for (i = 0; i < 60; i++) {
		json_t *all = json_array();
		char *text, *back;
		int j;

		for (j = 0; j < 50; j++)
			json_array_append_new(all, random_value(5));
		text = json_to_text(all);
		back = through_a_cell(ways[i % 2], text);
		assert_string_equal(back, text);
		free(back);
		free(text);
		json_decref(all);
	}
}

static void odd_numbers_keep_their_bits(void **state)
{
	static const char numbers[] = "[0,-0.0,5e-324,2.2250738585072014e-308,1.7976931348623157e+308,9007199254740991,-9007199254740991,0.1,1e-7,123456789012345680000,"
				      "0.3333333333333333,4.35,2.5e-05]";
	int code;
	struct errbuf e;
	json_t *document = json_read(STR(numbers), sizeof numbers, &code, &e);
	char *text = json_to_text(document), *back = through_a_cell("echo", text);

	(void)state;
	assert_string_equal(back, text);
	free(back);
	free(text);
	json_decref(document);
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const refused[] = {
		"", " ", "{", "}", "[", "[1", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "01", "-", "+1", "1.",
		".5", "1e", "1e+", "0x10", "NaN", "Infinity", "1e999", "-1e999", "tru", "nul", "'a'", "\"a", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"",
		"\"\\udc00\"", "\"\x01\"", "\"\t\"", "1 2", "[1]]", "//", "[1]//", "nan", "--1", "1-", "\"a\"b", "\xef\xbb\xbf{}",
	};
	json_t *input = json_array();
	char *text, *back;
	size_t i;
	struct buf deep;

	(void)state;
	for (i = 0; i < sizeof refused / sizeof *refused; i++)
		json_array_append_new(input, json_string(refused[i]));
	buf_init(&deep, 1000);
	for (i = 0; i < 65; i++)
		buf_add_char(&deep, '[');
	for (i = 0; i < 65; i++)
		buf_add_char(&deep, ']');
	json_array_append_new(input, json_string(buf_text(&deep)));
	text = json_to_text(input);
	back = through_a_cell("refused", text);
	assert_string_equal(back, "[]");
	free(back);
	free(text);
	json_decref(input);
	buf_free(&deep);
}

static void sixty_four_levels_are_read_and_written(void **state)
{
	struct buf deep;
	char *back;
	int i;

	(void)state;
	buf_init(&deep, 1000);
	buf_add_char(&deep, '"');
	for (i = 0; i < 64; i++)
		buf_add_char(&deep, '[');
	for (i = 0; i < 64; i++)
		buf_add_char(&deep, ']');
	buf_add_char(&deep, '"');
	back = through_a_cell("text", buf_text(&deep));
	assert_string_equal(back, buf_text(&deep));
	free(back);
	buf_free(&deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_document_comes_back_as_it_went),
		cmocka_unit_test(odd_numbers_keep_their_bits),
		cmocka_unit_test(what_is_no_json_is_refused),
		cmocka_unit_test(sixty_four_levels_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
