/*
 * Tells when files under some folders have changed: `perigee dev` reloads on save. Everything in the loop's thread. Saves that come
 * together (an editor writes, renames and deletes; git touches a hundred files) are told once.
 */
#pragma once

#include "base/error.h"
#include "net/loop.h"

struct file_watch;

/* Watch each folder and all below it, also those made later; a folder that is missing is watched once it is made. `changed` fires 60 ms after the last change of a burst.
 * ERR_UNAVAILABLE when the kernel has no watches left to give. */
MUST_CHECK int file_watch_new(struct loop *loop, const char *const *folders /* ends with NULL */, void (*changed)(void *arg), void *arg,
                              struct file_watch **out, struct errbuf *e);
void file_watch_free(struct file_watch *watch);
