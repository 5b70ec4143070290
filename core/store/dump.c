#include "store/dump.h"

#include "base/crypto.h"
#include "store/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DUMP_VERSION = 1 };
#define LINE_MAX_BYTES ((size_t)512 << 20)    /* a bundle's files are one value */

/* -- writing ------------------------------------------------------------------------------------------------------------ */

static void line_out(struct dump_writer *w, bool digested)
{
	buf_add_char(&w->line, '\n');
	if (w->line.full || fwrite(w->line.p, 1, w->line.n, w->file) != w->line.n)
		w->failed = true;
	else if (digested)
		sha256_add(w->digest, w->line.p, w->line.n);
	w->lines++;
	buf_reset(&w->line);
}

static void object_out(struct dump_writer *w, json_t *object /* taken */, bool digested)
{
	json_write(&w->line, object);
	json_decref(object);
	line_out(w, digested);
}

void dump_begin(struct dump_writer *w, FILE *file, const char *program, int64_t now_us)
{
	json_t *head = json_object();

	*w = (struct dump_writer){ .file = file, .digest = mem_alloc(sizeof(*w->digest)) };
	buf_init(&w->line, LINE_MAX_BYTES);
	sha256_begin(w->digest);
	json_put_text(head, "perigee", "dump");
	json_put_int(head, "version", DUMP_VERSION);
	json_put_text(head, "program", program);
	json_put(head, "made_at", json_new_time(now_us));
	object_out(w, head, true);
}

void dump_tenant(struct dump_writer *w, struct str tenant)
{
	json_t *section = json_object();

	json_put_str(section, "tenant", tenant);
	object_out(w, section, true);
}

void dump_table(struct dump_writer *w, const char *table, const char *const *columns, size_t count)
{
	json_t *head = json_object(), *names = json_array();

	BUG_ON(w->in_table || count > DUMP_COLUMNS_MAX);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(names, json_new_str(str_of(columns[i])));
	json_put_text(head, "table", table);
	json_put(head, "columns", names);
	object_out(w, head, true);
	w->in_table = true;
	w->table_rows = 0;
}

static void add_bytes(struct buf *line, struct str bytes)
{
	buf_add_text(line, "{\"hex\":\"");
	for (size_t i = 0; i < bytes.n; i++)
		buf_addf(line, "%02x", (unsigned)(unsigned char)bytes.p[i]);
	buf_add_text(line, "\"}");
}

void dump_row(struct dump_writer *w, const struct store_value *values, size_t count)
{
	BUG_ON(!w->in_table);
	buf_add_char(&w->line, '[');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_add_char(&w->line, ',');
		switch (values[i].type) {
		case STORE_NULL: buf_add_text(&w->line, "null"); break;
		case STORE_INT: json_add_int(&w->line, values[i].integer); break;
		case STORE_TEXT: json_add_string(&w->line, values[i].text); break;
		case STORE_BLOB: add_bytes(&w->line, values[i].text); break;
		}
	}
	buf_add_char(&w->line, ']');
	line_out(w, true);
	w->table_rows++;
	w->rows++;
}

void dump_rows_end(struct dump_writer *w)
{
	json_t *foot = json_object();

	BUG_ON(!w->in_table);
	json_put_int(foot, "rows", w->table_rows);
	object_out(w, foot, true);
	w->in_table = false;
}

void dump_abandon(struct dump_writer *w)
{
	buf_free(&w->line);
	free(w->digest);
	w->digest = NULL;
}

int dump_end(struct dump_writer *w, struct errbuf *e)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];
	json_t *end = json_object();
	bool written;

	sha256_end(w->digest, digest);
	hex_encode(digest, sizeof(digest), hex);
	json_put(end, "end", json_true());
	json_put_int(end, "rows", w->rows);
	json_put_text(end, "sha256", hex);
	object_out(w, end, false);
	written = !w->failed && fflush(w->file) == 0 && (fsync(fileno(w->file)) == 0 || errno == EINVAL || errno == EROFS);
	dump_abandon(w);
	return written ? 0 : err_set(e, ERR_IO, "the file cannot be written: %s", errno ? strerror(errno) : "a value is too long");
}

/* -- reading ------------------------------------------------------------------------------------------------------------ */

static int refuse(const struct dump_reader *r, struct errbuf *e, const char *why)
{
	return err_set(e, ERR_INVALID, "line %lld: %s", (long long)r->line, why);
}

/* The next line into r->value; its bytes are in r->text. */
static int line_in(struct dump_reader *r, size_t *length, struct errbuf *e)
{
	struct errbuf why;
	ssize_t n = getline(&r->text, &r->cap, r->file);
	int code;

	r->line++;
	if (n <= 0)
		return refuse(r, e, ferror(r->file) ? "cannot be read" : "the file ends here, before its end: it was cut off");
	if (r->text[n - 1] != '\n')
		return refuse(r, e, "the file was cut off within this line");
	*length = (size_t)n;
	json_decref(r->value);
	r->value = json_read((struct str){ r->text, *length - 1 }, LINE_MAX_BYTES, &code, &why);
	return r->value ? 0 : refuse(r, e, why.text);
}

int dump_open(struct dump_reader *r, FILE *file, struct errbuf *e)
{
	size_t length = 0;
	int code;

	*r = (struct dump_reader){ .file = file, .digest = mem_alloc(sizeof(*r->digest)) };
	sha256_begin(r->digest);
	code = line_in(r, &length, NULL);
	if (code != 0 || !str_is(json_member_str(r->value, "perigee"), "dump"))
		code = err_set(e, ERR_INVALID, "no dump: perigee backup and perigee tenant export make one");
	else if (json_member_int(r->value, "version", 0) != DUMP_VERSION)
		code = err_set(e, ERR_INVALID, "a dump of version %lld, and this program knows %d: use the newer perigee that wrote it",
		    (long long)json_member_int(r->value, "version", 0), DUMP_VERSION);
	if (code == 0)
		sha256_add(r->digest, r->text, length);
	return code;
}

void dump_close(struct dump_reader *r)
{
	json_decref(r->value);
	free(r->text);
	free(r->digest);
	*r = (struct dump_reader){ 0 };
}

static int end_check(struct dump_reader *r, struct errbuf *e)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	sha256_end(r->digest, digest);
	hex_encode(digest, sizeof(digest), hex);
	r->ended = true;
	if (!str_is(json_member_str(r->value, "sha256"), hex))
		return refuse(r, e, "the digest of what comes before is another: the file was changed or damaged");
	if (json_member_int(r->value, "rows", -1) != r->rows)
		return refuse(r, e, "the number of rows is another");
	return getc(r->file) == EOF ? 0 : refuse(r, e, "something follows the end");
}

/* What this line is; ERR_INVALID when it cannot stand here. */
static int classify(struct dump_reader *r, struct errbuf *e)
{
	if (json_is_array(r->value) && r->in_table) {
		r->item = DUMP_ROW;
		r->rows++;
		r->table_rows++;
		return 0;
	}
	if (json_member(r->value, "rows") && r->in_table) {
		r->item = DUMP_ROWS;
		r->in_table = false;
		return json_member_int(r->value, "rows", -1) == r->table_rows ? 0 : refuse(r, e, "the number of rows of this table is another");
	}
	if (json_member(r->value, "table") && json_is_array(json_member(r->value, "columns")) && !r->in_table) {
		r->item = DUMP_TABLE;
		r->in_table = true;
		r->table_rows = 0;
		return 0;
	}
	if (json_member(r->value, "tenant") && !r->in_table) {
		r->item = DUMP_TENANT;
		return 0;
	}
	return refuse(r, e, "nothing that can stand here in a dump");
}

int dump_next(struct dump_reader *r, enum dump_item *item, struct errbuf *e)
{
	size_t length = 0;
	int code;

	BUG_ON(r->ended && !r->held);
	if (r->held) {
		r->held = false;
		*item = r->item;
		return 0;
	}
	code = line_in(r, &length, e);
	if (code != 0)
		return code;
	if (json_member_bool(r->value, "end", false) && !r->in_table) {
		r->item = *item = DUMP_END;
		return end_check(r, e);
	}
	sha256_add(r->digest, r->text, length);
	code = classify(r, e);
	*item = r->item;
	return code;
}

void dump_hold(struct dump_reader *r)
{
	r->held = true;
}

int dump_verify(FILE *file, int64_t *rows, struct errbuf *e)
{
	struct dump_reader r;
	enum dump_item item = DUMP_ROW;
	int code = dump_open(&r, file, e);

	while (code == 0 && item != DUMP_END)
		code = dump_next(&r, &item, e);
	*rows = r.rows;
	dump_close(&r);
	if (code == 0 && fseek(file, 0, SEEK_SET) != 0)
		code = err_set(e, ERR_IO, "the file cannot be read twice: give a file, not a pipe");
	return code;
}

int dump_value(const json_t *cell, struct buf *scratch, struct store_value *out, struct errbuf *e)
{
	struct str hex = json_member_str(cell, "hex");

	*out = (struct store_value){ .type = STORE_NULL };
	if (json_is_integer(cell)) {
		out->type = STORE_INT;
		out->integer = json_integer_value(cell);
	} else if (json_is_string(cell)) {
		out->type = STORE_TEXT;
		out->text = json_str(cell);
	} else if (json_is_object(cell)) {
		char *room = buf_room(scratch, hex.n / 2 + 1);

		if (hex.p == NULL || hex.n % 2 != 0 || room == NULL || !hex_decode(hex, (uint8_t *)room, hex.n / 2))
			return err_set(e, ERR_INVALID, "a value that is no bytes in hex");
		scratch->n += hex.n / 2;
		out->type = STORE_BLOB;
		out->text = (struct str){ room, hex.n / 2 };
	} else if (!json_is_null(cell)) {
		return err_set(e, ERR_INVALID, "a value that is no integer, text, bytes or null");
	}
	return 0;
}
