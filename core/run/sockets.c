/* Unix sockets, passed descriptors and pidfds: the system calls behind cells.c and stems.c. */
#include "run/cells_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECEIVE_CHUNK 65536

int socket_pair(int type, int fds[2])
{
	return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0 ? 0 : -errno;
}

int socket_send_fd(int fd, const void *p, size_t n, int passed)
{
	struct iovec vector = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (passed >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof passed);
	}
	ssize_t done;
	do {
		done = sendmsg(fd, &message, MSG_NOSIGNAL);
	} while (done < 0 && errno == EINTR);
	if (done < 0)
		return -errno;
	return (size_t)done == n ? 0 : -EAGAIN;
}

static void keep_descriptors(struct msghdr *message, struct fd_queue *fds)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (fds && fds->count < sizeof fds->fds / sizeof fds->fds[0])
				fds->fds[fds->count++] = fd;
			else
				close(fd);
		}
	}
}

int socket_receive(int fd, struct buf *in, struct fd_queue *fds)
{
	char *room = buf_room(in, RECEIVE_CHUNK);
	if (!room)
		return -1;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct iovec vector = { .iov_base = room, .iov_len = RECEIVE_CHUNK };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	if (fds) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof control.bytes;
	}
	ssize_t got;
	do {
		got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	if (fds)
		keep_descriptors(&message, fds);
	if (got == 0)
		return -1;
	in->n += (size_t)got;
	in->p[in->n] = 0;
	return 1;
}

int socket_flush(int fd, struct socket_out *out)
{
	while (out->sent < out->bytes.n) {
		ssize_t done = send(fd, out->bytes.p + out->sent, out->bytes.n - out->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == EAGAIN ? 0 : -1;
		out->sent += (size_t)done;
	}
	if (out->bytes.cap > 8192)
		buf_free(&out->bytes);
	else
		buf_reset(&out->bytes);
	out->sent = 0;
	return 1;
}

int process_kill(int pidfd)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* The fields of /proc/PID/stat behind the command's closing parenthesis; the pid behind a pidfd stands in its fdinfo. NULL: gone. */
static const char *process_stat(int pidfd, char text[512])
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	FILE *file = fopen(path, "re");
	long pid = -1;
	while (file && fgets(text, 512, file))
		if (sscanf(text, "Pid: %ld", &pid) == 1)
			break;
	if (file)
		fclose(file);
	if (pid <= 0)
		return NULL;
	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return NULL;
	const char *line = fgets(text, 512, file);
	fclose(file);
	const char *end = line ? strrchr(text, ')') : NULL;
	return end && end[1] == ' ' ? end + 2 : NULL;
}

int process_is_running(int pidfd)
{
	char text[512];
	const char *stat = process_stat(pidfd, text);
	return stat ? *stat == 'R' || *stat == 'D' : -1;
}

int64_t process_cpu_ms(int pidfd)
{
	char text[512];
	const char *stat = process_stat(pidfd, text);
	unsigned long user, system;
	/* state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime */
	if (!stat || sscanf(stat, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		return -1;
	return (int64_t)(user + system) * 1000 / sysconf(_SC_CLK_TCK);
}
