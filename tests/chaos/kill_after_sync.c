/*
 * Preloaded into a host under test: right after the n-th fdatasync or fsync of the process tree's writer (KILL_AFTER_SYNC=n) the whole process
 * group dies by SIGKILL, as if the power of the machine's owner had a say. So a test can stop a host at each commit in turn.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_long count;

static void after_sync(void)
{
	const char *limit = getenv("KILL_AFTER_SYNC");
	if (limit && atomic_fetch_add(&count, 1) + 1 == atol(limit))
		kill(0, SIGKILL);
}

int fdatasync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	int result = real(fd);
	after_sync();
	return result;
}

int fsync(int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
	int result = real(fd);
	after_sync();
	return result;
}
