/* SQL functions that statements use. They are not in the schema: the file can be read by any SQLite. */
#include "store/record_key.h"
#include "store/sqlite/connection.h"

/* perigee_sort_key(json): see record_key.h. */
static void sort_key(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	struct str json = { NULL, 0 };
	struct buf key;

	(void)argc;
	if (sqlite3_value_type(argv[0]) != SQLITE_NULL) {
		json.p = (const char *)sqlite3_value_text(argv[0]);
		json.n = (size_t)sqlite3_value_bytes(argv[0]);
	}
	buf_init(&key, 1024);
	record_key_add_text(&key, json);
	sqlite3_result_text(context, buf_text(&key), (int)key.n, SQLITE_TRANSIENT);
	buf_free(&key);
}

int functions_register(sqlite3 *db)
{
	return sqlite3_create_function_v2(db, "perigee_sort_key", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL, sort_key,
	    NULL, NULL, NULL);
}
