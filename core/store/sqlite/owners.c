#include "store/sqlite/owners.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Letters, digits, - and _: never a path. */
static bool owner_file(const struct folder *folder, struct str owner, char out[CONNECTION_PATH_MAX])
{
	int n;

	if (owner.n == 0 || owner.n > 128)
		return false;
	for (size_t i = 0; i < owner.n; i++)
		if (isalnum((unsigned char)owner.p[i]) == 0 && owner.p[i] != '-' && owner.p[i] != '_')
			return false;
	n = snprintf(out, CONNECTION_PATH_MAX, "%s/workers/%.*s.lock", folder->path, STR_ARG(owner));
	BUG_ON(n < 0 || n >= CONNECTION_PATH_MAX);
	return true;
}

/* Is fd still the file of that name? A sweep may have removed it between our open and our lock. */
static bool is_named(int fd, const char *file)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 && stat(file, &named) == 0 && ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

int owner_lock(const struct folder *folder, const char *owner, int *fd, struct errbuf *e)
{
	char file[CONNECTION_PATH_MAX];

	*fd = -1;
	if (!owner_file(folder, str_of(owner), file))
		return err_set(e, ERR_INVALID, "owner '%s': letters, digits, - and _ only", owner);
	for (;;) {
		*fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		if (*fd < 0)
			return err_set(e, ERR_STORE, "%s: cannot be made: %s", file, strerror(errno));
		if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
			close(*fd);
			*fd = -1;
			return err_set(e, ERR_STORE, "%s: another process runs under this name", file);
		}
		if (is_named(*fd, file))
			return 0;
		close(*fd);
	}
}

void owner_unlock(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Does somebody hold it? If not, its file goes when that is asked for. */
static bool look(const struct folder *folder, struct str owner, bool remove)
{
	char file[CONNECTION_PATH_MAX];
	bool locked;
	int fd;

	if (!owner_file(folder, owner, file))
		return false;
	fd = open(file, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT;    /* cannot tell: then nobody takes its runs */
	locked = flock(fd, LOCK_EX | LOCK_NB) != 0;
	if (!locked && remove && !folder->read_only && is_named(fd, file))
		(void)unlink(file);        /* under the lock: nobody can be registering on this file and keep it */
	close(fd);
	return locked;
}

bool owner_is_locked(const struct folder *folder, struct str owner)
{
	return look(folder, owner, false);
}

void owner_remove(const struct folder *folder, struct str owner)
{
	(void)look(folder, owner, true);
}

int64_t owners_list(const struct folder *folder, json_t *gone)
{
	char path[CONNECTION_PATH_MAX];
	struct dirent *entry;
	int64_t alive = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/workers", folder->path);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		struct str name = str_of(entry->d_name);

		if (!str_ends(name, ".lock"))
			continue;
		name.n -= strlen(".lock");
		if (look(folder, name, false))
			alive++;
		else
			json_array_append_new(gone, json_new_str(name));
	}
	closedir(dir);
	return alive;
}
