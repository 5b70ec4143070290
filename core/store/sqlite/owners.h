/* Processes that own runs: each holds a lock on FOLDER/workers/ID.lock, which the kernel lets go when it ends, however it ends. Any thread. */
#pragma once

#include "store/sqlite/connection.h"

/* The descriptor that keeps the lock, in *fd. ERR_STORE when another process has this name. */
MUST_CHECK int owner_lock(const struct folder *folder, const char *owner, int *fd, struct errbuf *e);
void owner_unlock(const struct folder *folder, const char *owner, int fd);
bool owner_is_locked(const struct folder *folder, struct str owner);   /* removes the file of one that is gone */
void owners_sweep(const struct folder *folder);                        /* removes all such files */
