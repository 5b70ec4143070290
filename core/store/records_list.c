/*
 * Pages of records: choose the statement that an index serves.
 *
 *     a filter on an indexed field          record_list_where, …_where_sorted_* (the narrowest guess: the first such filter)
 *     else sorted by an indexed field       record_list_sorted_*
 *     else sorted by another                record_list_scanned_* (reads the whole kind)
 *     else                                  record_list
 *
 * Every filter is compared with the body besides: sort keys of long strings are cut.
 */
#include <string.h>

#include "store/record_key.h"
#include "store/records_fields.h"

struct list {
	const struct records_query *query;
	struct str paths[RECORD_FILTERS_MAX];   /* absent: {NULL, 0} */
	const json_t *values[RECORD_FILTERS_MAX];
	struct buf path_text[RECORD_FILTERS_MAX];
	size_t filters;
	struct str indexed_field;               /* of the filter that an index serves */
	struct buf indexed_key;
	struct str sort_field;
	bool descending;
	struct buf sort_path;
	json_t *position;                       /* of the cursor: [id] or [id, key] */
	struct str after_id, after_key;
};

static void list_init(struct list *l, const struct records_query *query)
{
	*l = (struct list){ .query = query, .after_id = STR(""), .after_key = STR("") };
	for (size_t i = 0; i < RECORD_FILTERS_MAX; i++)
		buf_init(&l->path_text[i], 1024);
	buf_init(&l->indexed_key, 1024);
	buf_init(&l->sort_path, 1024);
}

static void list_fini(struct list *l)
{
	for (size_t i = 0; i < RECORD_FILTERS_MAX; i++)
		buf_free(&l->path_text[i]);
	buf_free(&l->indexed_key);
	buf_free(&l->sort_path);
	json_decref(l->position);
}

static int refuse_field(struct str field, struct errbuf *e)
{
	return err_set(e, ERR_INVALID, "field '%.*s': letters, digits, _ and -, with dots between steps", STR_ARG(field));
}

static int read_filters(struct list *l, struct errbuf *e)
{
	json_t *where = json_is_object(l->query->where) ? json_incref((json_t *)(uintptr_t)l->query->where) : json_object(), *value;
	const char *name;
	int code = 0;

	json_object_foreach(where, name, value) {
		struct str field = str_of(name);
		size_t i = l->filters;

		if (i == RECORD_FILTERS_MAX) {
			code = err_set(e, ERR_INVALID, "where: at most %d fields", RECORD_FILTERS_MAX);
		} else if (json_is_object(value) || json_is_array(value)) {
			code = err_set(e, ERR_INVALID, "where: field '%s' needs a string, number, boolean or null", name);
		} else if (!record_field_path(field, &l->path_text[i])) {
			code = refuse_field(field, e);
		} else {
			l->paths[i] = buf_str(&l->path_text[i]);
			l->values[i] = value;
			l->filters++;
			if (l->indexed_field.n == 0 && record_field_is_indexed(l->query->manifest, l->query->kind, field)) {
				l->indexed_field = field;
				record_key_add(&l->indexed_key, value);
			}
		}
		if (code != 0)
			break;
	}
	json_decref(where);   /* the caller's reference keeps names and values alive */
	return code;
}

static int read_sort(struct list *l, struct errbuf *e)
{
	struct str field = l->query->sort;

	if (field.n == 0)
		return 0;
	l->descending = field.p[0] == '-';
	if (l->descending)
		field = (struct str){ field.p + 1, field.n - 1 };
	l->sort_field = field;
	return record_field_path(field, &l->sort_path) ? 0 : refuse_field(field, e);
}

static int read_cursor(struct list *l, struct errbuf *e)
{
	bool sorted = l->sort_field.n > 0;

	l->after_key = sorted && l->descending ? STR(RECORD_KEY_LAST) : STR("");
	if (l->query->cursor.n == 0)
		return 0;
	l->position = cursor_decode(l->query->cursor, sorted ? 2 : 1, e);
	if (l->position == NULL)
		return ERR_INVALID;
	l->after_id = json_str(json_array_get(l->position, 0));
	if (sorted)
		l->after_key = json_str(json_array_get(l->position, 1));
	if (l->after_id.p == NULL || l->after_key.p == NULL)
		return err_set(e, ERR_INVALID, "cursor: not one that this list has given");
	return 0;
}

#define COMMON "ssjsjsjsjis"
#define COMMON_VALUES(l) \
	(l)->query->kind, (l)->paths[0], (l)->values[0], (l)->paths[1], (l)->values[1], (l)->paths[2], (l)->values[2], (l)->paths[3], \
	    (l)->values[3], page_limit((l)->query->limit) + 1, (l)->after_id

static size_t add_sorted(struct store_tx *tx, const struct list *l)
{
	bool down = l->descending;

	if (l->indexed_field.n > 0)
		return store_tx_add(tx, down ? STATEMENT_record_list_where_sorted_descending : STATEMENT_record_list_where_sorted_ascending,
		    STORE_ANY, COMMON "ssss", COMMON_VALUES(l), l->indexed_field, buf_str(&l->indexed_key), buf_str(&l->sort_path), l->after_key);
	if (record_field_is_indexed(l->query->manifest, l->query->kind, l->sort_field))
		return store_tx_add(tx, down ? STATEMENT_record_list_sorted_descending : STATEMENT_record_list_sorted_ascending, STORE_ANY,
		    COMMON "ss", COMMON_VALUES(l), l->sort_field, l->after_key);
	return store_tx_add(tx, down ? STATEMENT_record_list_scanned_descending : STATEMENT_record_list_scanned_ascending, STORE_ANY,
	    COMMON "ss", COMMON_VALUES(l), buf_str(&l->sort_path), l->after_key);
}

static size_t add_list(struct store_tx *tx, const struct list *l)
{
	if (l->sort_field.n > 0)
		return add_sorted(tx, l);
	if (l->indexed_field.n > 0)
		return store_tx_add(tx, STATEMENT_record_list_where, STORE_ANY, COMMON "ss", COMMON_VALUES(l), l->indexed_field,
		    buf_str(&l->indexed_key));
	return store_tx_add(tx, STATEMENT_record_list, STORE_ANY, COMMON, COMMON_VALUES(l));
}

int records_tx_list(struct store_tx *tx, const struct records_query *query, size_t *op, struct errbuf *e)
{
	struct list l;
	int code;

	list_init(&l, query);
	if ((code = read_filters(&l, e)) == 0 && (code = read_sort(&l, e)) == 0 && (code = read_cursor(&l, e)) == 0)
		*op = add_list(tx, &l);
	list_fini(&l);
	return code;
}

json_t *records_list_json(const struct store_result *r, const struct records_query *query, enum row_times times)
{
	size_t limit = (size_t)page_limit(query->limit), n = r->rows > limit ? limit : r->rows;
	json_t *items = json_array(), *position = NULL;
	struct str sort = query->sort;
	struct buf key;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, records_json(r, i, times));
	if (r->rows > limit) {
		position = json_array();
		json_array_append_new(position, json_new_str(store_text(r, n - 1, 1)));
		if (sort.n > 0) {
			if (sort.p[0] == '-')
				sort = (struct str){ sort.p + 1, sort.n - 1 };
			buf_init(&key, 1024);
			record_key_add(&key, record_field_value(json_member(json_array_get(items, n - 1), "body"), sort));
			json_array_append_new(position, json_new_str(buf_str(&key)));
			buf_free(&key);
		}
	}
	return page_json(items, position);
}
