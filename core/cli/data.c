#include "cli/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES_MAX (256u << 20)
#define CELL_COLUMNS_MAX 48      /* a longer value is cut */

json_t *
data_rows(const struct store_result *r, const struct column *columns)
{
	json_t *rows = json_array();
	for (size_t row = 0; row < r->rows; row++) {
		json_t *item = json_object();
		for (size_t i = 0; i < r->columns && columns[i].name; i++) {
			const char *name = columns[i].name;
			if (store_is_null(r, row, i))
				json_put(item, name, NULL);
			else if (columns[i].type == 'i')
				json_put_int(item, name, store_int(r, row, i));
			else if (columns[i].type == 'm')
				json_put(item, name, json_new_time(store_int(r, row, i)));
			else if (columns[i].type == 'j')
				json_put(item, name, json_read(store_text(r, row, i), PAGE_BYTES_MAX, &(int){ 0 }, NULL));
			else
				json_put_str(item, name, store_text(r, row, i));
		}
		json_array_append_new(rows, item);
	}
	return rows;
}

json_t *
data_read(struct store_tx *tx, const struct column *columns)
{
	struct errbuf e = { "" };
	json_t *rows = NULL;
	int code = store_read_now(tx, &e);
	if (code)
		cli_fail(EXIT_NO_HOST, "cannot read the store: %s", *e.text ? e.text : err_title(code));
	else
		rows = data_rows(store_tx_result(tx, 0), columns);
	store_tx_free(tx);
	return rows;
}

static void
write_out(const json_t *value, bool pretty)
{
	struct buf out;
	buf_init(&out, PAGE_BYTES_MAX);
	if (pretty)
		json_write_pretty(&out, value);
	else
		json_write(&out, value);
	buf_add_char(&out, '\n');
	fflush(stdout);
	cli_write(STDOUT_FILENO, &out);
	buf_free(&out);
}

/* A value as one short line; control bytes never reach the terminal. */
static char *
cell_text(const json_t *value)
{
	struct buf b;
	buf_init(&b, PAGE_BYTES_MAX);
	if (!value || json_is_null(value))
		buf_add_text(&b, "-");
	else if (json_is_string(value))
		buf_add_str(&b, json_str(value));
	else
		json_write(&b, value);
	for (size_t i = 0; i < b.n; i++)
		if ((unsigned char)b.p[i] < 0x20 || b.p[i] == 0x7f)
			b.p[i] = ' ';
	if (b.n > CELL_COLUMNS_MAX) {
		size_t n = CELL_COLUMNS_MAX - 1;
		while (n > 0 && ((unsigned char)b.p[n] & 0xc0) == 0x80)
			n--;
		b.n = n;
		buf_add_text(&b, "…");
	}
	return b.n ? buf_take(&b) : mem_copy(STR("-"));
}

static void
add_padded(struct buf *b, const char *text, size_t width)
{
	size_t columns = text_columns(str_of(text));
	buf_add_text(b, text);
	for (; columns < width; columns++)
		buf_add_char(b, ' ');
}

static void
print_table(const json_t *items, const struct column *columns)
{
	struct style style = style_of(STDOUT_FILENO);
	size_t rows = json_array_size(items), count = 0, widths[32] = { 0 }, at = 0;
	struct buf out;

	while (columns[count].name)
		count++;
	BUG_ON(count > 32);
	char **cells = mem_array(rows * count + 1, sizeof *cells);
	for (size_t i = 0; i < count; i++)
		widths[i] = strlen(columns[i].name);
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = 0; i < count; i++, at++) {
			if (!columns[i].listed)
				continue;
			cells[at] = cell_text(json_member(json_array_get(items, row), columns[i].name));
			size_t width = text_columns(str_of(cells[at]));
			widths[i] = width > widths[i] ? width : widths[i];
		}
	}
	buf_init(&out, PAGE_BYTES_MAX);
	buf_add_text(&out, style.dim);
	for (size_t i = 0; i < count; i++)
		if (columns[i].listed)
			add_padded(&out, columns[i].name, widths[i] + 2);
	while (out.n && out.p[out.n - 1] == ' ')
		out.n--;
	buf_addf(&out, "%s\n", style.off);
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = 0; i < count; i++)
			if (columns[i].listed)
				add_padded(&out, cells[row * count + i], widths[i] + 2);
		while (out.n && out.p[out.n - 1] == ' ')
			out.n--;
		buf_add_char(&out, '\n');
	}
	fflush(stdout);
	cli_write(STDOUT_FILENO, &out);
	buf_free(&out);
	for (size_t i = 0; i < rows * count; i++)
		free(cells[i]);
	free(cells);
}

int
data_print_list(json_t *items, const struct column *columns, bool json)
{
	if (json) {
		json_t *page = json_object();
		json_put(page, "items", items);
		write_out(page, false);
		json_decref(page);
		return EXIT_DONE;
	}
	if (json_array_size(items))
		print_table(items, columns);
	else
		fprintf(stderr, "nothing there yet\n");
	json_decref(items);
	return EXIT_DONE;
}

int
data_print_one(json_t *item, bool json)
{
	write_out(item, !json);
	json_decref(item);
	return EXIT_DONE;
}

int64_t
data_limit(const char *text)
{
	int64_t limit = 50;
	if (text && !str_to_int(str_of(text), 1, 200, &limit)) {
		cli_fail(EXIT_USAGE, "--limit is a number from 1 to 200, not '%s'", text);
		return -1;
	}
	return limit;
}
