/*
 * Preloaded into a host under test. KILL_AT names a file with two words: `before` or `after`, and a number n. At the n-th commit from then on the whole process
 * group dies by SIGKILL: right before the commit leaves for the disk or the server, or right after its answer has come. The file goes with the kill,
 * so a host that is started again is left alone.
 *
 * A commit is an fdatasync or fsync (SQLite), or the message COMMIT of libpq's extended protocol and the answer to it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Parse with no name and the text COMMIT, as its own write: readers send theirs behind what they ask. */
#define COMMIT_AT 6

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long passed;
static int committing = -1;     /* the connection on which a COMMIT has no answer yet */

/* Count one side of a commit; at the wanted one of the wanted side nobody comes back. */
static void side(const char *which)
{
	const char *path = getenv("KILL_AT");
	char wanted[16];
	FILE *file;
	long n;

	if (path == NULL || (file = fopen(path, "r")) == NULL)
		return;
	pthread_mutex_lock(&lock);
	if (fscanf(file, "%15s %ld", wanted, &n) == 2 && strcmp(wanted, which) == 0 && ++passed >= n) {
		(void)unlink(path);
		kill(0, SIGKILL);
	}
	pthread_mutex_unlock(&lock);
	fclose(file);
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static int sync_between(const char *name, int fd)
{
	int (*real)(int) = (int (*)(int))next(name), result;

	side("before");
	result = real(fd);
	side("after");
	return result;
}

int fdatasync(int fd)
{
	return sync_between("fdatasync", fd);
}

int fsync(int fd)
{
	return sync_between("fsync", fd);
}

ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) = (ssize_t (*)(int, const void *, size_t, int))next("send");
	const char *p = bytes;

	if (count > COMMIT_AT + 7 && p[0] == 'P' && memcmp(p + COMMIT_AT, "COMMIT", 7) == 0) {
		side("before");
		committing = fd;
	}
	return real(fd, bytes, count, flags);
}

ssize_t recv(int fd, void *bytes, size_t count, int flags)
{
	ssize_t (*real)(int, void *, size_t, int) = (ssize_t (*)(int, void *, size_t, int))next("recv");
	ssize_t got = real(fd, bytes, count, flags);

	if (fd == committing && got > 0 && memmem(bytes, (size_t)got, "COMMIT", 7) != NULL) {
		committing = -1;
		side("after");
	}
	return got;
}
