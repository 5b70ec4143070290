#include "store/record_key.h"

#include <string.h>

static void add_number(struct buf *out, double value)
{
	uint64_t bits;

	if (value == 0)
		value = 0;        /* -0 sorts as 0 */
	memcpy(&bits, &value, sizeof(bits));
	/* Doubles of one sign order as integers; negative ones the other way round. */
	bits = (bits >> 63) != 0 ? ~bits : bits | (UINT64_C(1) << 63);
	buf_addf(out, "3%016llx", (unsigned long long)bits);
}

static void add_string(struct buf *out, struct str s)
{
	const char *nul = s.n > 0 ? memchr(s.p, '\0', s.n) : NULL;
	size_t n = nul != NULL ? (size_t)(nul - s.p) : s.n;

	if (n > RECORD_KEY_TEXT_MAX)
		for (n = RECORD_KEY_TEXT_MAX; n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80; n--)
			;
	buf_add_char(out, '4');
	buf_add(out, s.p, n);
}

void record_key_add(struct buf *out, const json_t *value)
{
	switch (value == NULL ? JSON_NULL : json_typeof(value)) {
	case JSON_NULL: buf_add_char(out, '0'); return;
	case JSON_FALSE: buf_add_char(out, '1'); return;
	case JSON_TRUE: buf_add_char(out, '2'); return;
	case JSON_INTEGER: add_number(out, (double)json_integer_value(value)); return;
	case JSON_REAL: add_number(out, json_real_value(value)); return;
	case JSON_STRING: add_string(out, json_str(value)); return;
	case JSON_ARRAY:
	case JSON_OBJECT: buf_add_char(out, '5'); return;
	}
}

void record_key_add_text(struct buf *out, struct str json)
{
	json_t *value;
	int code;

	if (json.p == NULL || json.n == 0) {
		record_key_add(out, NULL);
		return;
	}
	if (json.p[0] == '{' || json.p[0] == '[') {
		buf_add_char(out, '5');
		return;
	}
	value = json_read(json, 16u << 20, &code, NULL);
	if (value == NULL) {
		add_string(out, json);
		return;
	}
	record_key_add(out, value);
	json_decref(value);
}
