/* Schemas: [schema, value] as text. What the schema check accepts, the value check must finish on, the same way each time; what fits
 * without coercion fits with it; and what coercion made fits without. */
#include "base/json_schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check(const json_t *schema, const json_t *value)
{
	json_t *copy = json_deep_copy(value), *errors = json_array();
	int plain = json_schema_check(schema, &copy, false, errors), coerced;

	if (plain != json_schema_check(schema, &copy, false, NULL))
		abort();
	if ((plain != 0) != (json_array_size(errors) > 0))
		abort();
	coerced = json_schema_check(schema, &copy, true, errors);
	if (plain == 0 && coerced != 0)
		abort();
	if (coerced == 0 && json_schema_check(schema, &copy, false, NULL) != 0)
		abort();
	json_decref(errors);
	json_decref(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	json_t *both = json_read((struct str){ (const char *)p, n }, 1 << 20, NULL, NULL);
	const json_t *schema = json_array_get(both, 0), *value = json_array_get(both, 1);

	if (schema && value && json_schema_check_schema(schema, NULL) == 0)
		check(schema, value);
	json_decref(both);
	return 0;
}
