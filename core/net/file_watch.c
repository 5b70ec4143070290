#include "net/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_WATCH_MAGIC 0x66777463u
#define QUIET_US 60000            /* a burst is over when nothing changed for so long */
#define FOLDERS_MAX 4096          /* a root that is somebody's whole disk is refused, not followed */
#define CHANGES (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

struct folder {
	int descriptor;           /* of inotify */
	char *path;               /* owned */
};

/* The folder above one that is watched: tells when that one is made, or made again. */
struct above {
	int descriptor;
	char *below;              /* path of the watched one; owned */
};

struct file_watch {
	uint32_t magic;
	int fd;
	struct watch readable;
	struct timer quiet;
	struct folder *folders;
	size_t count;
	struct above *aboves;
	size_t aboves_count;
	void (*changed)(void *arg);
	void *arg;
};

static int
add_folder(struct file_watch *w, const char *path, struct errbuf *e)
{
	if (w->count == FOLDERS_MAX)
		return err_set(e, ERR_UNAVAILABLE, "watch %s: more than %d folders", path, FOLDERS_MAX);
	int descriptor = inotify_add_watch(w->fd, path, CHANGES);
	if (descriptor < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(e, ERR_UNAVAILABLE, "watch %s: %s", path, strerror(errno));
	for (size_t i = 0; i < w->count; i++)
		if (w->folders[i].descriptor == descriptor)
			return 0;
	w->folders = mem_grow(w->folders, w->count + 1, sizeof *w->folders);
	w->folders[w->count++] = (struct folder){ descriptor, mem_copy(str_of(path)) };

	DIR *dir = opendir(path);
	int code = 0;
	struct dirent *entry;
	while (dir && !code && (entry = readdir(dir))) {
		struct stat status;
		struct buf below;
		if (entry->d_name[0] == '.')
			continue;
		buf_init(&below, 4096);
		buf_addf(&below, "%s/%s", path, entry->d_name);
		if (!below.full && lstat(buf_text(&below), &status) == 0 && S_ISDIR(status.st_mode))
			code = add_folder(w, buf_text(&below), e);
		buf_free(&below);
	}
	if (dir)
		closedir(dir);
	return code;
}

static void
forget_folder(struct file_watch *w, int descriptor)
{
	for (size_t i = 0; i < w->count; i++) {
		if (w->folders[i].descriptor != descriptor)
			continue;
		free(w->folders[i].path);
		w->folders[i] = w->folders[--w->count];
		return;
	}
}

static void
add_new_folder(struct file_watch *w, const struct inotify_event *event)
{
	for (size_t i = 0; i < w->count; i++) {
		struct buf path;
		if (w->folders[i].descriptor != event->wd)
			continue;
		buf_init(&path, 4096);
		buf_addf(&path, "%s/%s", w->folders[i].path, event->name);
		/* Without watches left the folder is not followed; the reload itself still happens. */
		if (!path.full && add_folder(w, buf_text(&path), NULL)) {}
		buf_free(&path);
		return;
	}
}

static bool
is_followed(const struct file_watch *w, int descriptor)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->folders[i].descriptor == descriptor)
			return true;
	return false;
}

static int
add_above(struct file_watch *w, const char *path, struct errbuf *e)
{
	const char *slash = strrchr(path, '/');
	char *above = !slash ? mem_copy(STR(".")) : mem_copy(slash == path ? STR("/") : (struct str){ path, (size_t)(slash - path) });
	int descriptor = inotify_add_watch(w->fd, above, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD);
	int code = descriptor < 0 && errno != ENOENT && errno != ENOTDIR ? err_set(e, ERR_UNAVAILABLE, "watch %s: %s", above, strerror(errno)) : 0;
	free(above);
	if (descriptor < 0)
		return code;
	w->aboves = mem_grow(w->aboves, w->aboves_count + 1, sizeof *w->aboves);
	w->aboves[w->aboves_count++] = (struct above){ descriptor, mem_copy(str_of(path)) };
	return 0;
}

/* Something was made in a folder above. True when it was one of those to be watched. */
static bool
add_awaited(struct file_watch *w, const struct inotify_event *event)
{
	for (size_t i = 0; i < w->aboves_count; i++) {
		if (w->aboves[i].descriptor != event->wd)
			continue;
		const char *below = w->aboves[i].below, *slash = strrchr(below, '/');
		if (!event->len || strcmp(slash ? slash + 1 : below, event->name) != 0)
			continue;
		if (add_folder(w, below, NULL)) {}    /* without watches left it is not followed; the reload itself still happens */
		return true;
	}
	return false;
}

static void
file_watch_on_readable(int fd, int what, void *arg)
{
	struct file_watch *w = arg;
	char bytes[16384] __attribute__((aligned(8)));
	bool any = false;
	(void)what;

	for (;;) {
		ssize_t n = read(fd, bytes, sizeof bytes);
		if (n <= 0)
			break;
		for (char *p = bytes; p < bytes + n;) {
			struct inotify_event event;
			memcpy(&event, p, sizeof event);
			const struct inotify_event *whole = (const struct inotify_event *)(void *)p;
			bool counts = add_awaited(w, whole) || is_followed(w, event.wd);
			if (event.mask & IN_IGNORED)
				forget_folder(w, event.wd);
			else if ((event.mask & IN_ISDIR) && (event.mask & (IN_CREATE | IN_MOVED_TO)))
				add_new_folder(w, whole);
			/* Editors' swap and backup files come and go without meaning. */
			if (counts && event.len && whole->name[0] != '.' && whole->name[strlen(whole->name) - 1] != '~')
				any = true;
			p += sizeof event + event.len;
		}
	}
	if (any)
		timer_start_us(&w->quiet, QUIET_US);
}

static void
file_watch_on_quiet(void *arg)
{
	struct file_watch *w = arg;
	w->changed(w->arg);
}

int
file_watch_new(struct loop *loop, const char *const *folders, void (*changed)(void *arg), void *arg, struct file_watch **out, struct errbuf *e)
{
	struct file_watch *w = mem_alloc(sizeof *w);
	int code = 0;

	*out = NULL;
	w->magic = FILE_WATCH_MAGIC;
	w->changed = changed;
	w->arg = arg;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0) {
		code = err_set(e, ERR_UNAVAILABLE, "watch files: %s", strerror(errno));
		free(w);
		return code;
	}
	timer_init(&w->quiet, loop, file_watch_on_quiet, w);
	watch_init(&w->readable, loop, w->fd, WATCH_READ, file_watch_on_readable, w);
	watch_start(&w->readable);
	for (const char *const *folder = folders; *folder && !code; folder++)
		if (!(code = add_above(w, *folder, e)))
			code = add_folder(w, *folder, e);
	if (code)
		file_watch_free(w);
	else
		*out = w;
	return code;
}

void
file_watch_free(struct file_watch *w)
{
	if (!w)
		return;
	BUG_ON(w->magic != FILE_WATCH_MAGIC);
	w->magic = 0;
	watch_fini(&w->readable);
	timer_fini(&w->quiet);
	close(w->fd);
	for (size_t i = 0; i < w->count; i++)
		free(w->folders[i].path);
	free(w->folders);
	for (size_t i = 0; i < w->aboves_count; i++)
		free(w->aboves[i].below);
	free(w->aboves);
	free(w);
}
