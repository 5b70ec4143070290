/* What comes over HTTP: a document is refused with a reason, or written canonically, and then reads back to the same text. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct errbuf e = { "" };
	int code = 0;
	json_t *value = json_read((struct str){ (const char *)data, size }, 1 << 20, &code, &e);
	if (!value) {
		BUG_ON(code == 0 || !*e.text);
		return 0;
	}
	char *first = json_to_text(value);
	json_t *again = json_read(str_of(first), 16 << 20, &code, &e);
	BUG_ON(!again);
	char *second = json_to_text(again);
	BUG_ON(strcmp(first, second) != 0);
	free(first);
	free(second);
	json_decref(value);
	json_decref(again);
	return 0;
}
