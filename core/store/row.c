#include "store/row.h"

#include <stdlib.h>

#include "base/crypto.h"

enum {
	DOCUMENT_MAX = 64 << 20,      /* what we wrote ourselves; its own limits were checked then */
	CURSOR_MAX = 2048,            /* hex digits */
};

json_t *row_json(const struct store_result *r, size_t row, size_t column)
{
	json_t *value = NULL;
	int code;

	if (!store_is_null(r, row, column))
		value = json_read(store_text(r, row, column), DOCUMENT_MAX, &code, NULL);
	return value != NULL ? value : json_null();
}

void row_put_json(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column)
{
	json_put(object, key, row_json(r, row, column));
}

void row_put_text(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column)
{
	if (store_is_null(r, row, column))
		json_put(object, key, json_null());
	else
		json_put_str(object, key, store_text(r, row, column));
}

void row_put_int(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column)
{
	if (store_is_null(r, row, column))
		json_put(object, key, json_null());
	else
		json_put_int(object, key, store_int(r, row, column));
}

void row_put_time(json_t *object, const char *key, const struct store_result *r, size_t row, size_t column, enum row_times times)
{
	if (times == ROW_TIMES_US || store_is_null(r, row, column))
		row_put_int(object, key, r, row, column);
	else
		json_put(object, key, json_new_time(store_int(r, row, column)));
}

int64_t page_limit(int64_t asked)
{
	return asked <= 0 ? ROWS_DEFAULT : asked > ROWS_MAX ? ROWS_MAX : asked;
}

json_t *page_json(json_t *items, json_t *position)
{
	json_t *page = json_object();

	json_put(page, "items", items);
	json_put(page, "next_cursor", position != NULL ? cursor_encode(position) : json_null());
	return page;
}

json_t *cursor_encode(json_t *position)
{
	char *text = json_to_text(position), *hex;
	size_t n = str_of(text).n;
	json_t *cursor;

	hex = mem_alloc(2 * n + 1);
	hex_encode((const uint8_t *)text, n, hex);
	cursor = json_new_str((struct str){ hex, 2 * n });
	free(hex);
	free(text);
	json_decref(position);
	return cursor;
}

json_t *cursor_decode(struct str cursor, size_t n, struct errbuf *e)
{
	json_t *position = NULL;
	char *text;
	int code;

	if (cursor.n > 0 && cursor.n % 2 == 0 && cursor.n <= CURSOR_MAX) {
		text = mem_alloc(cursor.n / 2 + 1);
		if (hex_decode(cursor, (uint8_t *)text, cursor.n / 2))
			position = json_read((struct str){ text, cursor.n / 2 }, CURSOR_MAX, &code, NULL);
		free(text);
	}
	if (json_is_array(position) && json_array_size(position) == n)
		return position;
	json_decref(position);
	err_set(e, ERR_INVALID, "cursor: not one that this list has given: take next_cursor of the page before, or none for the first page");
	return NULL;
}

int cursor_newest(struct str cursor, json_t **position, int64_t *at_us, struct str *id, struct errbuf *e)
{
	*position = NULL;
	*at_us = INT64_MAX;
	*id = STR("");
	if (cursor.n == 0)
		return 0;
	*position = cursor_decode(cursor, 2, e);
	if (*position == NULL)
		return ERR_INVALID;
	*at_us = json_integer_value(json_array_get(*position, 0));
	*id = json_str(json_array_get(*position, 1));
	if (json_is_integer(json_array_get(*position, 0)) && id->p != NULL)
		return 0;
	json_decref(*position);
	*position = NULL;
	return err_set(e, ERR_INVALID, "cursor: not one that this list has given");
}
