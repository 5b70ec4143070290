#include "cell/stem.h"

#include "cell/cell.h"
#include "cell/exits.h"
#include "cell/jail.h"
#include "cell/load.h"
#include "cell/watchdog.h"
#include "cell/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET 3            /* the number of a process's one socket */
#define EXITS_BATCH (16u << 10)

/* The living cells, by process id: open addressing, linear. */
struct children {
	struct child {
		pid_t pid;          /* 0: free */
		uint32_t cell;
	} *slots;
	size_t n, cap;              /* a power of two */
};

struct stem {
	pid_t pid;
	struct vm *vm;
	struct buf in, out;         /* out: EXITED frames not yet written */
	int fd;                     /* received, and its FORK not yet handled; -1 */
	bool asked, loaded;         /* LOAD came; LOAD was answered with MANIFEST: cells may be forked */
	struct children children;
};

static size_t slot_of(const struct children *children, pid_t pid)
{
	size_t at = ((size_t)pid * 2654435761u) & (children->cap - 1);

	while (children->slots[at].pid && children->slots[at].pid != pid)
		at = (at + 1) & (children->cap - 1);
	return at;
}

static void children_add(struct children *children, pid_t pid, uint32_t cell)
{
	struct children old = *children;
	size_t i;

	if (children->n * 2 >= children->cap) {
		children->cap = old.cap ? old.cap * 2 : 256;
		children->slots = mem_array(children->cap, sizeof *children->slots);
		for (i = 0; i < old.cap; i++)
			if (old.slots[i].pid)
				children->slots[slot_of(children, old.slots[i].pid)] = old.slots[i];
		free(old.slots);
	}
	children->slots[slot_of(children, pid)] = (struct child){ pid, cell };
	children->n++;
}

/* The cell's id, or 0 when the process is none. */
static uint32_t children_take(struct children *children, pid_t pid)
{
	size_t at, next, home, mask = children->cap - 1;
	uint32_t cell;

	if (!children->n)
		return 0;
	at = slot_of(children, pid);
	if (!children->slots[at].pid)
		return 0;
	cell = children->slots[at].cell;
	children->n--;
	for (next = (at + 1) & mask; children->slots[next].pid; next = (next + 1) & mask) { /* close the gap */
		home = ((size_t)children->slots[next].pid * 2654435761u) & mask;
		if (((next - home) & mask) >= ((next - at) & mask)) {
			children->slots[at] = children->slots[next];
			at = next;
		}
	}
	children->slots[at].pid = 0;
	return cell;
}

static void flush(struct stem *stem)
{
	size_t done = 0;
	ssize_t n;

	while (done < stem->out.n) {
		n = write(SOCKET, stem->out.p + done, stem->out.n - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(EXIT_DONE);
		done += (size_t)n;
	}
	buf_reset(&stem->out);
}

static void report_exit(struct stem *stem, uint32_t cell, int status, const struct rusage *usage)
{
	long long cpu_us = (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000LL + usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
	struct buf payload;

	buf_init(&payload, 256);
	buf_addf(&payload, "{\"cpu_us\":%lld,\"rss_kb\":%ld,\"signal\":%d,\"status\":%d}", cpu_us, usage->ru_maxrss,
		 WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
	frame_add(&stem->out, FRAME_EXITED, cell, buf_str(&payload));
	buf_free(&payload);
}

static void reap(struct stem *stem)
{
	struct rusage usage;
	uint32_t cell;
	int status;
	pid_t pid;

	while (stem->children.n && (pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		cell = children_take(&stem->children, pid);
		if (cell)
			report_exit(stem, cell, status, &usage);
		if (stem->out.n > EXITS_BATCH)
			flush(stem);
	}
}

static _Noreturn void become_cell(struct stem *stem, int fd)
{
	sigset_t all;

	jail_child(stem->pid);
	if (dup3(fd, SOCKET, 0) < 0 || close_range(SOCKET + 1, ~0U, 0) < 0)
		_exit(EXIT_JAIL);
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	watchdog_start(stem->vm->limits.cpu_ms); /* a timer of its own; setting one is not possible inside */
	jail_cell();
	cell_main(stem->vm, SOCKET);
}

static void fork_cell(struct stem *stem, uint32_t cell, int fd)
{
	static const struct rusage none;
	int pidfd;
	pid_t pid;

	if (!stem->loaded || fd < 0)
		_exit(EXIT_PROTOCOL);
	pid = wire_fork(&pidfd);
	if (pid == 0)
		become_cell(stem, fd);
	close(fd);
	if (pid < 0) { /* the system has no more processes: a cell that ended at once */
		report_exit(stem, cell, EXIT_IO << 8, &none);
		return;
	}
	children_add(&stem->children, pid, cell);
	if (!wire_send(SOCKET, FRAME_FORKED, cell, STR(""), pidfd))
		_exit(EXIT_DONE);
	close(pidfd);
}

static void load(struct stem *stem, struct str payload)
{
	enum frame_type type;
	struct buf answer;

	if (stem->asked)
		_exit(EXIT_PROTOCOL); /* one bundle per stem */
	stem->asked = true;
	buf_init(&answer, FRAME_PAYLOAD_MAX);
	type = load_bundle(stem->vm, payload, &answer);
	stem->loaded = type == FRAME_MANIFEST;
	if (!wire_send(SOCKET, type, 0, buf_str(&answer), -1))
		_exit(EXIT_DONE);
	buf_free(&answer);
	if (stem->loaded && !load_prepare(stem->vm))
		_exit(EXIT_CPU); /* the host loads the bundle anew for the next run, and says so */
}

static void handle(struct stem *stem)
{
	struct frame frame;
	size_t taken = 0;
	long used;

	for (;;) {
		struct str rest = { stem->in.p + taken, stem->in.n - taken };

		used = rest.n ? frame_take(rest, FRAME_TO_STEM, &frame) : 0;
		if (used < 0)
			_exit(EXIT_PROTOCOL);
		if (used == 0)
			break;
		taken += (size_t)used;
		if (frame.type == FRAME_LOAD) {
			load(stem, frame.payload);
		} else {
			fork_cell(stem, frame.sequence, stem->fd);
			stem->fd = -1;
		}
	}
	if (taken == stem->in.n)
		buf_reset(&stem->in);
	else
		buf_drop_front(&stem->in, taken);
	if (stem->loaded && stem->in.cap > EXITS_BATCH * 4 && !stem->in.n)
		buf_free(&stem->in); /* the sources of the bundle: no cell needs them */
}

static void on_child(int signal)
{
	(void)signal; /* it only ends ppoll */
}

static _Noreturn void serve(struct stem *stem)
{
	struct pollfd socket = { .fd = SOCKET, .events = POLLIN };
	sigset_t nothing;
	ssize_t n;
	int fd;

	sigemptyset(&nothing);
	for (;;) {
		n = wire_receive(SOCKET, &stem->in, &fd, false);
		if (n == 0)
			_exit(EXIT_DONE); /* cells die with their stem */
		if (fd >= 0 && stem->fd >= 0)
			_exit(EXIT_PROTOCOL); /* a FORK brings one, and the kernel never joins two in one read */
		if (fd >= 0)
			stem->fd = fd;
		if (n > 0)
			handle(stem);
		reap(stem);
		if (n > 0)
			continue;
		flush(stem);
		ppoll(&socket, 1, NULL, &nothing);
	}
}

_Noreturn void stem_main(int fd, int zygote)
{
	struct stem stem = { .pid = getpid(), .fd = -1 };
	struct sigaction action = { .sa_handler = on_child };
	sigset_t child;

	watchdog_stack_begin();
	jail_child(zygote);
	prctl(PR_SET_NAME, "perigee-stem", 0, 0, 0);
	if (dup3(jail_null, 0, 0) < 0 || dup3(jail_null, 1, 0) < 0 || dup3(jail_null, 2, 0) < 0 || (fd != SOCKET && dup3(fd, SOCKET, 0) < 0) ||
	    close_range(SOCKET + 1, ~0U, 0) < 0)
		_exit(EXIT_JAIL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigaction(SIGCHLD, &action, NULL);
	stem.vm = vm_open((struct vm_limits){ 0, 0 }); /* LuaJIT draws a seed from the system: nothing of a bundle has run yet */
	if (!stem.vm)
		_exit(EXIT_IO);
	jail_stem();
	buf_init(&stem.in, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + 65536);
	buf_init(&stem.out, 65536);
	serve(&stem);
}
