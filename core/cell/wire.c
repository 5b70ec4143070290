#include "cell/wire.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_AT_LEAST (16u << 10)

bool wire_send(int socket, enum frame_type type, uint32_t sequence, struct str payload, int fd)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec parts[2] = { { header, sizeof header }, { (void *)(uintptr_t)payload.p, payload.n } };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = payload.n ? 2 : 1 };
	struct cmsghdr *c = &control.align;
	ssize_t n;

	frame_header(header, type, sequence, (uint32_t)payload.n);
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control.bytes;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (parts[0].iov_len + parts[1].iov_len > 0) {
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
		if (n < 0 && errno == ETOOMANYREFS) { /* too many descriptors are under way: the host is about to take some */
			ppoll(NULL, 0, &(struct timespec){ .tv_nsec = 1000000 }, NULL);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		message.msg_control = NULL; /* it went with the first byte */
		message.msg_controllen = 0;
		for (int i = 0; i < 2; i++) {
			size_t part = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;

			parts[i].iov_base = (char *)parts[i].iov_base + part;
			parts[i].iov_len -= part;
			n -= (ssize_t)part;
		}
		message.msg_iovlen = 2;
	}
	return true;
}

/* Keep the first descriptor, close the rest. */
static void take_descriptors(struct msghdr *message, int *fd)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n, i;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
			if (*fd < 0)
				*fd = one;
			else
				close(one);
		}
	}
}

ssize_t wire_receive(int socket, struct buf *in, int *fd, bool wait)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control;
	char *to = buf_room(in, READ_AT_LEAST);
	struct iovec part = { to, in->cap - in->n - 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes };
	ssize_t n;

	*fd = -1;
	if (!to)
		return 0;
	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -1 : 0;
	take_descriptors(&message, fd);
	in->n += (size_t)n;
	return n;
}

pid_t wire_fork(int *pidfd)
{
	*pidfd = -1;
	/* No libc between: one thread, and nothing here depends on its cached ids. clone rather than clone3, because seccomp can look at its flags. */
	return (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
}
