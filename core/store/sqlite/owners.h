/* Processes that own runs: each holds a lock on FOLDER/workers/ID.lock, which the kernel lets go when it ends, however it ends. Any thread. */
#pragma once

#include "store/sqlite/connection.h"

/* The descriptor that keeps the lock, in *fd. ERR_STORE when another process has this name. */
MUST_CHECK int owner_lock(const struct folder *folder, const char *owner, int *fd, struct errbuf *e);
/* The file stays: an owner that is gone is listed until somebody has taken its runs over and forgets it. */
void owner_unlock(int fd);
bool owner_is_locked(const struct folder *folder, struct str owner);
void owner_remove(const struct folder *folder, struct str owner);      /* the file of one that is gone */
/* Ids of those that are gone, into an array; returns the number of those that are not. */
int64_t owners_list(const struct folder *folder, json_t *gone);
