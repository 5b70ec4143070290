/*
 * Preloaded into a PostgreSQL server under test: while the file FULL_DISK is there its disk is full. What lies inside of a file is written, as on a real one;
 * what would make a file longer fails with ENOSPC.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static bool no_room(int fd, off_t end)
{
	const char *path = getenv("FULL_DISK");
	struct stat at;

	if (path == NULL || access(path, F_OK) != 0 || fstat(fd, &at) != 0 || !S_ISREG(at.st_mode) || end <= at.st_size)
		return false;
	errno = ENOSPC;
	return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t) = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");

	return no_room(fd, at + (off_t)count) ? -1 : real(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at)
{
	return pwrite(fd, bytes, count, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
	ssize_t (*real)(int, const struct iovec *, int, off_t) = (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
	off_t end = at;

	for (int i = 0; i < count; i++)
		end += (off_t)pieces[i].iov_len;
	return no_room(fd, end) ? -1 : real(fd, pieces, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off_t at)
{
	return pwritev(fd, pieces, count, at);
}
