#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int
cli_fail(int code, const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	fflush(stdout);
	fprintf(stderr, "perigee: %s\n", text);
	return code;
}

int
cli_exit_code(int err)
{
	switch (err) {
	case 0:
		return EXIT_DONE;
	case ERR_INVALID:
	case ERR_NOT_FOUND:
	case ERR_SCHEMA:
		return EXIT_USAGE;
	case ERR_STORE:
	case ERR_UNAVAILABLE:
	case ERR_IO:
		return EXIT_NO_HOST;
	default:
		return EXIT_FAILED;
	}
}

struct style
style_of(int fd)
{
	static const struct style plain = { "", "", "", "", "", "", "", "", false, 100 };
	static const struct style colourful = {
		"\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[34m", "\033[36m", "\033[0m", true, 100
	};
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	struct winsize size;

	if (!isatty(fd))
		return plain;
	bool colours = !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
	struct style style = colours ? colourful : plain;
	style.is_terminal = true;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
		style.columns = size.ws_col;
	return style;
}

/* Scripts whose characters take two columns, in whole blocks: enough to keep a column straight. */
static bool
is_wide(uint32_t c)
{
	return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
	       (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}

size_t
text_columns(struct str text)
{
	size_t columns = 0;
	for (size_t i = 0; i < text.n;) {
		unsigned char lead = (unsigned char)text.p[i];
		size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
		uint32_t c = length == 1 ? lead : lead & (0x7fu >> length);
		for (size_t k = 1; k < length && i + k < text.n; k++)
			c = c << 6 | ((unsigned char)text.p[i + k] & 0x3fu);
		bool combining = (c >= 0x300 && c <= 0x36f) || c == 0x200d || (c >= 0xfe00 && c <= 0xfe0f);
		columns += combining ? 0 : is_wide(c) ? 2 : 1;
		i += length;
	}
	return columns;
}

void
cli_write(int fd, const struct buf *b)
{
	struct str rest = buf_str(b);
	while (rest.n) {
		ssize_t n = write(fd, rest.p, rest.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		rest.p += n;
		rest.n -= (size_t)n;
	}
}

int
cli_read_file(const char *path, size_t max, struct buf *out, struct errbuf *e)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	int code = 0;

	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %s: %s", path, strerror(errno));
	buf_init(out, max);
	for (;;) {
		char chunk[65536];
		ssize_t n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			code = err_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
		if (n <= 0)
			break;
		buf_add(out, chunk, (size_t)n);
		if (out->full) {
			code = err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
			break;
		}
	}
	if (!standard)
		close(fd);
	if (code)
		buf_free(out);
	return code;
}

char *
path_join(const char *folder, const char *name)
{
	struct buf b;
	buf_init(&b, 4096);
	if (name[0] != '/' && strcmp(folder, ".") != 0)
		buf_addf(&b, "%s/", folder);
	buf_add_text(&b, name);
	return buf_take(&b);
}

char *
path_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return mem_copy(STR("."));
	if (slash == path)
		return mem_copy(STR("/"));
	return mem_copy((struct str){ path, (size_t)(slash - path) });
}
