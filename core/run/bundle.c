/* Collecting a bundle from folders. */
#include "run/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "run/runtime_files.h"

#define FILE_MAX_BYTES (1 << 20)
#define BUNDLE_MAX_BYTES (8 << 20)
#define FOLDER_DEPTH_MAX 16

struct collector {
	json_t *files;
	size_t bytes;
	struct errbuf *e;
};

static int add_file(struct collector *c, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	if (fd < 0 || fstat(fd, &status) != 0) {
		int code = err_set(c->e, ERR_IO, "read %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return code;
	}
	struct buf text;
	buf_init(&text, FILE_MAX_BYTES);
	ssize_t got = 0;
	do {
		char *room = buf_room(&text, 16384);
		got = room ? read(fd, room, 16384) : -1;
		if (got > 0)
			text.n += (size_t)got;
	} while (got > 0);
	close(fd);
	int code = 0;
	if (text.full)
		code = err_set(c->e, ERR_TOO_LARGE, "%s is over 1 MiB: split it", path);
	else if (got < 0)
		code = err_set(c->e, ERR_IO, "read %s: %s", path, strerror(errno));
	else if (!utf8_is_valid(buf_str(&text)))
		code = err_set(c->e, ERR_INVALID, "%s is not UTF-8: save it as such", path);
	else if ((c->bytes += text.n) > BUNDLE_MAX_BYTES)
		code = err_set(c->e, ERR_TOO_LARGE, "the bundle is over 8 MiB (at %s)", path);
	else
		json_put_str(c->files, name, buf_str(&text));
	buf_free(&text);
	return code;
}

static int add_folder(struct collector *c, const char *path, const char *name, int depth);

static int add_entry(struct collector *c, const char *folder, const char *folder_name, const struct dirent *entry, int depth)
{
	struct str file = str_of(entry->d_name);
	if (entry->d_name[0] == '.')
		return 0;
	struct buf path, name;
	buf_init(&path, 4096);
	buf_init(&name, 4096);
	buf_addf(&path, "%s/%s", folder, entry->d_name);
	buf_addf(&name, "%s/%s", folder_name, entry->d_name);
	struct stat status;
	int code = 0;
	if (path.full || stat(buf_text(&path), &status) != 0)
		code = err_set(c->e, ERR_IO, "read %s: %s", buf_text(&path), strerror(errno));
	else if (S_ISDIR(status.st_mode))
		code = add_folder(c, buf_text(&path), buf_text(&name), depth + 1);
	else if (S_ISREG(status.st_mode) && str_ends(file, ".lua") && !str_ends(file, "_spec.lua"))
		code = add_file(c, buf_text(&path), buf_text(&name));
	buf_free(&path);
	buf_free(&name);
	return code;
}

static int add_folder(struct collector *c, const char *path, const char *name, int depth)
{
	if (depth > FOLDER_DEPTH_MAX)
		return err_set(c->e, ERR_INVALID, "%s is nested more than %d deep: a link that points upwards?", path, FOLDER_DEPTH_MAX);
	DIR *folder = opendir(path);
	if (!folder)
		return err_set(c->e, ERR_IO, "read %s: %s", path, strerror(errno));
	int code = 0;
	const struct dirent *entry;
	while (code == 0 && (entry = readdir(folder)))
		code = add_entry(c, path, name, entry, depth);
	closedir(folder);
	return code;
}

/* scripts/ and methodology/ below base; *found tells whether there was one. */
static int add_root(struct collector *c, const char *base, bool *found)
{
	static const char *const folders[] = { "scripts", "methodology" };
	int code = 0;
	for (size_t i = 0; code == 0 && i < 2; i++) {
		struct buf path;
		buf_init(&path, 4096);
		buf_addf(&path, "%s/%s", base, folders[i]);
		struct stat status;
		if (!path.full && stat(buf_text(&path), &status) == 0 && S_ISDIR(status.st_mode)) {
			*found = true;
			code = add_folder(c, buf_text(&path), folders[i], 0);
		}
		buf_free(&path);
	}
	return code;
}

static int collect(struct collector *c, const char *root, const char *tenant)
{
	bool found = false, overlay = false;
	for (size_t i = 0; i < runtime_files_count; i++)
		json_put_text(c->files, runtime_files[i].path, runtime_files[i].text);
	int code = add_root(c, root, &found);
	if (code == 0 && !found)
		return err_set(c->e, ERR_NOT_FOUND, "%s has neither scripts/ nor methodology/: name the right folder with --root", root);
	if (code == 0 && tenant) {
		struct buf path;
		buf_init(&path, 4096);
		buf_addf(&path, "%s/tenants/%s", root, tenant);
		code = add_root(c, buf_text(&path), &overlay);
		buf_free(&path);
	}
	return code;
}

int bundle_from_files(json_t *files, struct bundle **out, struct errbuf *e)
{
	const char *path;
	json_t *text;
	json_object_foreach(files, path, text) {
		if (!json_is_string(text)) {
			json_decref(files);
			return err_set(e, ERR_INVALID, "bundle file %s is not text", path);
		}
	}
	struct bundle *bundle = mem_alloc(sizeof *bundle);
	bundle->files = files;
	char *canonical = json_to_text(files);
	uint8_t digest[SHA256_SIZE];
	sha256(canonical, strlen(canonical), digest);
	hex_encode(digest, sizeof digest, bundle->digest);
	free(canonical);
	*out = bundle;
	return 0;
}

int bundle_collect(const char *root, const char *tenant, struct bundle **out, struct errbuf *e)
{
	struct collector c = { .files = json_object(), .e = e };
	int code = collect(&c, root, tenant);
	if (code) {
		json_decref(c.files);
		return code;
	}
	return bundle_from_files(c.files, out, e);
}

void bundle_free(struct bundle *bundle)
{
	if (!bundle)
		return;
	json_decref(bundle->files);
	free(bundle);
}
