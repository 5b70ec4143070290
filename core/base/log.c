#include "base/log.h"

#include "base/clock.h"
#include "base/json_text.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX (32u << 10) /* bytes: a record is for people and shippers, not for documents */
#define VALUE_MAX (8u << 10)

static struct {
	pthread_mutex_t lock; /* keeps records whole where the sink takes a write in pieces */
	_Atomic int fd;
	_Atomic enum log_format format;
	_Atomic enum log_level least;
} sink = { PTHREAD_MUTEX_INITIALIZER, STDERR_FILENO, LOG_TEXT, LOG_INFO };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_setup(int fd, enum log_format format, enum log_level least)
{
	pthread_mutex_lock(&sink.lock);
	sink.fd = fd;
	sink.format = format;
	sink.least = least;
	pthread_mutex_unlock(&sink.lock);
}

bool log_level_parse(struct str name, enum log_level *out)
{
	int i;

	for (i = LOG_DEBUG; i <= LOG_ERROR; i++) {
		if (str_is(name, level_names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_wants(enum log_level level)
{
	return level >= sink.least;
}

/* The value, cut at VALUE_MAX on the boundary of a character. */
static struct str cut(const char *value)
{
	struct str s = { value, strnlen(value, VALUE_MAX) };

	if (s.n == VALUE_MAX) {
		while (s.n > 0 && ((unsigned char)value[s.n] & 0xc0) == 0x80)
			s.n--;
	}
	return s;
}

/* Bytes that a terminal would obey (C0, DEL, C1), or that are no UTF-8, become \xNN. */
static void add_plain(struct buf *b, struct str s, bool quoted)
{
	bool valid = utf8_is_valid(s);
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool c1 = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;

		if (c == '\n')
			buf_add_text(b, "\\n");
		else if (c == '\t')
			buf_add_text(b, "\\t");
		else if (c < 0x20 || c == 0x7f || c1 || (c >= 0x80 && !valid))
			buf_addf(b, "\\x%02x", c1 ? (unsigned char)s.p[++i] : c);
		else if (quoted && (c == '"' || c == '\\'))
			buf_addf(b, "\\%c", c);
		else
			buf_add_char(b, (char)c);
	}
}

static bool needs_quotes(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
			return true;
	}
	return s.n == 0;
}

static void add_text_value(struct buf *b, struct str s)
{
	bool quoted = needs_quotes(s);

	if (quoted)
		buf_add_char(b, '"');
	add_plain(b, s, quoted);
	if (quoted)
		buf_add_char(b, '"');
}

/* A JSON string for terminals too: DEL and C1 are escaped, bytes that are no UTF-8 U+FFFD. */
static void add_json_value(struct buf *b, struct str s)
{
	static const char replacement[] = "\xef\xbf\xbd";
	bool valid = utf8_is_valid(s);
	size_t i;

	buf_add_char(b, '"');
	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool c1 = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0;

		if (c >= 0x80 && !valid)
			buf_add_text(b, replacement);
		else if (c < 0x20 || c == 0x7f || (valid && c1))
			buf_addf(b, "\\u00%02x", c1 ? (unsigned char)s.p[++i] : c);
		else if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else
			buf_add_char(b, (char)c);
	}
	buf_add_char(b, '"');
}

static void add_json_record(struct buf *b, const char *at, enum log_level level, const char *event,
			    va_list pairs)
{
	const char *key, *value;

	buf_addf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":", at, level_names[level]);
	add_json_value(b, cut(event));
	while ((key = va_arg(pairs, const char *))) {
		value = va_arg(pairs, const char *);
		buf_add_char(b, ',');
		add_json_value(b, cut(key));
		buf_add_char(b, ':');
		if (value)
			add_json_value(b, cut(value));
		else
			buf_add_text(b, "null");
	}
	buf_add_text(b, "}");
}

static void add_text_record(struct buf *b, const char *at, enum log_level level, const char *event,
			    va_list pairs, bool colour)
{
	static const char *const colours[] = { "\033[2m", "\033[32m", "\033[33m", "\033[31m" };
	const char *key, *value;

	if (colour)
		buf_addf(b, "\033[2m%s\033[0m %s%-5s\033[0m \033[1m", at, colours[level],
			 level_names[level]);
	else
		buf_addf(b, "%s %-5s ", at, level_names[level]);
	add_plain(b, cut(event), false);
	if (colour)
		buf_add_text(b, "\033[0m");
	while ((key = va_arg(pairs, const char *))) {
		value = va_arg(pairs, const char *);
		buf_add_text(b, colour ? " \033[36m" : " ");
		add_plain(b, cut(key), false);
		buf_add_text(b, colour ? "\033[0m=" : "=");
		add_text_value(b, value ? cut(value) : STR("-"));
	}
}

/* A sink that blocks or is gone loses the record: logging never stops the host. */
static void write_record(const struct buf *b)
{
	size_t done = 0;
	ssize_t n;

	while (done < b->n) {
		n = write(sink.fd, b->p + done, b->n - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void log_event(enum log_level level, const char *event, ...)
{
	int saved = errno;
	char at[TIME_TEXT_SIZE];
	va_list pairs;
	struct buf b;

	if (!log_wants(level))
		return;
	buf_init(&b, RECORD_MAX);
	time_format(clock_now_us(&clock_system), at);
	va_start(pairs, event);
	if (sink.format == LOG_JSON)
		add_json_record(&b, at, level, event, pairs);
	else
		add_text_record(&b, at, level, event, pairs, sink.format == LOG_COLOUR);
	va_end(pairs);
	if (b.full) { /* values are bounded: there were very many */
		buf_reset(&b);
		buf_addf(&b, sink.format == LOG_JSON ?
				 "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"log.too_long\"}" :
				 "%s %s log.too_long",
			 at, level_names[level]);
	}
	buf_add_char(&b, '\n');
	pthread_mutex_lock(&sink.lock);
	write_record(&b);
	pthread_mutex_unlock(&sink.lock);
	buf_free(&b);
	errno = saved;
}
