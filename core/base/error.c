#include "base/error.h"

#include <stdio.h>
#include <string.h>

struct error_row {
	int code;
	const char *name;
	enum err_class class;
	int http_status;
	const char *title;
};

static const struct error_row rows[] = {
#define X(code, name, class, status, title) { code, name, ERR_CLASS_##class, status, title },
	ERR_TABLE(X)
#undef X
};

static const struct error_row *row_of(int code)
{
	static const struct error_row ok = { ERR_NONE, "ok", ERR_CLASS_NONE, 200, "OK" };
	static const struct error_row unknown = { ERR_BUG, "host.bug", ERR_CLASS_BUG, 500,
						  "Internal error" };
	int first = ERR_BASE_ + 1, i = code - first;

	if (code == ERR_NONE)
		return &ok;
	if (i < 0 || (size_t)i >= sizeof rows / sizeof rows[0])
		return &unknown;
	return &rows[i];
}

const char *err_name(int code)
{
	return row_of(code)->name;
}

const char *err_title(int code)
{
	return row_of(code)->title;
}

enum err_class err_class(int code)
{
	return row_of(code)->class;
}

int err_http_status(int code)
{
	return row_of(code)->http_status;
}

int err_set(struct errbuf *e, int code, const char *format, ...)
{
	va_list args;

	if (!e)
		return code;
	va_start(args, format);
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	return code;
}

int err_wrap(struct errbuf *e, int code, const char *format, ...)
{
	char old[sizeof e->text];
	va_list args;
	size_t n;

	if (!e)
		return code;
	memcpy(old, e->text, sizeof old);
	old[sizeof old - 1] = '\0';
	va_start(args, format);
	vsnprintf(e->text, sizeof e->text, format, args);
	va_end(args);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof e->text - n, "%s%s", old[0] ? ": " : "", old);
	return code;
}
