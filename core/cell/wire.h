/* Frames with descriptors: the sockets of the zygote and of a stem. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/frame.h"

/* Write a whole frame, with a descriptor when fd >= 0. False when the peer is gone. */
MUST_CHECK bool wire_send(int socket, enum frame_type type, uint32_t sequence, struct str payload, int fd);
/* Append what there is to `in`, at most one descriptor with it (fd: -1 when none; further ones are closed). Bytes read, 0 at the end or when the peer is gone,
 * -1 with errno EAGAIN when there is nothing and `wait` is false. The descriptor belongs to the caller, who takes it off before the next call. */
ssize_t wire_receive(int socket, struct buf *in, int *fd, bool wait);
/* Fork; the child's pidfd into *pidfd (closed on exec). 0 in the child, -1 on failure. The flags are exactly those that the stem's jail allows. */
pid_t wire_fork(int *pidfd);
