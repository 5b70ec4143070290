#include "cell/zygote.h"

#include "cell/exits.h"
#include "cell/stem.h"
#include "cell/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct zygote {
	pid_t pid;
	int socket;
	struct stem_entry {
		pid_t pid;
		uint32_t id;
	} *stems;
	size_t n, cap;
};

static _Noreturn void end(struct zygote *zygote, int status)
{
	size_t i;

	for (i = 0; i < zygote->n; i++)
		kill(zygote->stems[i].pid, SIGKILL);
	_exit(status);
}

static void report_gone(struct zygote *zygote, uint32_t id, int status)
{
	char text[64];
	int n = snprintf(text, sizeof text, "{\"signal\":%d,\"status\":%d}", WIFSIGNALED(status) ? WTERMSIG(status) : 0,
			 WIFEXITED(status) ? WEXITSTATUS(status) : 0);

	if (!wire_send(zygote->socket, FRAME_GONE, id, (struct str){ text, (size_t)n }, -1))
		end(zygote, EXIT_DONE);
}

static void fork_stem(struct zygote *zygote, uint32_t id, int fd)
{
	int pidfd;
	pid_t pid = wire_fork(&pidfd);

	if (pid == 0)
		stem_main(fd, zygote->pid);
	close(fd);
	if (pid < 0) {
		report_gone(zygote, id, EXIT_IO << 8);
		return;
	}
	if (zygote->n == zygote->cap) {
		zygote->cap = zygote->cap ? zygote->cap * 2 : 16;
		zygote->stems = mem_grow(zygote->stems, zygote->cap, sizeof *zygote->stems);
	}
	zygote->stems[zygote->n++] = (struct stem_entry){ pid, id };
	if (!wire_send(zygote->socket, FRAME_STEMMED, id, STR(""), pidfd))
		end(zygote, EXIT_DONE);
	close(pidfd);
}

static void reap(struct zygote *zygote)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < zygote->n && zygote->stems[i].pid != pid; i++)
			;
		if (i == zygote->n)
			continue;
		report_gone(zygote, zygote->stems[i].id, status);
		zygote->stems[i] = zygote->stems[--zygote->n];
	}
}

/* One packet is one frame. */
static void receive(struct zygote *zygote)
{
	struct frame frame;
	struct buf packet;
	ssize_t n;
	int fd;

	buf_init(&packet, 32768);
	n = wire_receive(zygote->socket, &packet, &fd, false);
	if (n == 0)
		end(zygote, EXIT_DONE);
	if (n > 0) {
		if (frame_take(buf_str(&packet), FRAME_TO_ZYGOTE, &frame) != (long)packet.n || fd < 0)
			end(zygote, EXIT_PROTOCOL);
		fork_stem(zygote, frame.sequence, fd);
	}
	buf_free(&packet);
}

static void on_child(int signal)
{
	(void)signal; /* it only ends ppoll */
}

_Noreturn void zygote_main(int socket)
{
	struct zygote zygote = { .pid = getpid(), .socket = socket };
	struct pollfd poll = { .fd = socket, .events = POLLIN };
	struct sigaction action = { .sa_handler = on_child };
	sigset_t child, before;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	sigdelset(&before, SIGCHLD);
	sigaction(SIGCHLD, &action, NULL);
	for (;;) {
		reap(&zygote);
		if (ppoll(&poll, 1, NULL, &before) > 0)
			receive(&zygote);
	}
}
