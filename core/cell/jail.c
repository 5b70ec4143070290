#include "cell/jail.h"

#include "cell/exits.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <seccomp.h>

#define NOBODY 65534
#define STACK_BYTES ((rlim_t)128 << 20) /* nested callbacks of C functions need some; LuaJIT's own limit is met first */
#define STEM_FILES 65536  /* the kernel also counts what the user's processes have in flight between sockets, and refuses more */
#define CELL_FILES 4
#define PROGRAM_MAX 256

struct program {
	struct sock_filter code[PROGRAM_MAX];
	unsigned short length;
};

static struct program stem_program, cell_program;
int jail_null = -1;

static _Noreturn void fail(const char *what)
{
	char text[160];
	int n = snprintf(text, sizeof text, "perigee-cell: no jail: %s: %s\n", what, strerror(errno));

	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0) {
		/* the status says it too */
	}
	_exit(EXIT_JAIL);
}

static void need(int result, const char *what)
{
	if (result < 0)
		fail(what);
}

/* -- system call filters ------------------------------------------------------------------------------------------------- */

static void allow(scmp_filter_ctx filter, int call)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);

	if (error) {
		errno = -error;
		fail("seccomp rule");
	}
}

static void allow_if(scmp_filter_ctx filter, int call, unsigned count, const struct scmp_arg_cmp *conditions)
{
	int error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, count, conditions);

	if (error) {
		errno = -error;
		fail("seccomp rule");
	}
}

/* What a process without power needs: the channel, memory that is never code, an end. */
static void allow_cell(scmp_filter_ctx filter)
{
	static const int calls[] = { SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(exit_group),
				     SCMP_SYS(exit), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(madvise) };
	const struct scmp_arg_cmp map[] = { SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)~(PROT_READ | PROT_WRITE), 0),
					    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS) };
	const struct scmp_arg_cmp wake[] = { SCMP_A1(SCMP_CMP_MASKED_EQ, (scmp_datum_t)~FUTEX_PRIVATE_FLAG, FUTEX_WAKE) };
	size_t i;

	for (i = 0; i < sizeof calls / sizeof *calls; i++)
		allow(filter, calls[i]);
	allow_if(filter, SCMP_SYS(mmap), 2, map);
	allow_if(filter, SCMP_SYS(futex), 1, wake); /* pthread_once, in the unwinder, wakes whoever may wait: nobody */
}

/* Besides: fork, pass descriptors, reap, and put a cell into its jail. */
static void allow_stem(scmp_filter_ctx filter)
{
	static const int calls[] = { SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(wait4), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup3),
				     SCMP_SYS(getppid), SCMP_SYS(setitimer), SCMP_SYS(prlimit64), SCMP_SYS(ppoll), SCMP_SYS(rt_sigprocmask),
				     SCMP_SYS(rt_sigaction) };
	const struct scmp_arg_cmp flags[] = { SCMP_A0(SCMP_CMP_EQ, CLONE_PIDFD | SIGCHLD, 0) };
	const struct scmp_arg_cmp death[] = { SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG, 0) };
	const struct scmp_arg_cmp name[] = { SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0) };
	const struct scmp_arg_cmp mode[] = { SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER, 0) };
	size_t i;

	for (i = 0; i < sizeof calls / sizeof *calls; i++)
		allow(filter, calls[i]);
	allow_if(filter, SCMP_SYS(clone), 1, flags);
	allow_if(filter, SCMP_SYS(prctl), 1, death);
	allow_if(filter, SCMP_SYS(prctl), 1, name);
	allow_if(filter, SCMP_SYS(seccomp), 1, mode);
}

/* libseccomp writes programs to a descriptor only. */
static void export(scmp_filter_ctx filter, struct program *program)
{
	int fd = memfd_create("filter", MFD_CLOEXEC);
	ssize_t n;

	need(fd, "memfd_create");
	if (seccomp_export_bpf(filter, fd))
		fail("seccomp_export_bpf");
	n = pread(fd, program->code, sizeof program->code, 0);
	if (n <= 0 || (size_t)n >= sizeof program->code || (size_t)n % sizeof *program->code)
		fail("the filter is too long");
	program->length = (unsigned short)((size_t)n / sizeof *program->code);
	close(fd);
}

static void build(struct program *program, int stem)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!filter)
		fail("seccomp_init");
	allow_cell(filter);
	if (stem)
		allow_stem(filter);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree; older libraries lack it, and a list is as right */
	export(filter, program);
	seccomp_release(filter);
}

static void load(const struct program *program)
{
	struct sock_fprog code = { program->length, (struct sock_filter *)(uintptr_t)program->code };

	need((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code), "seccomp");
}

/* -- what all processes inherit ------------------------------------------------------------------------------------------ */

static void limit(int resource, rlim_t value, const char *what)
{
	struct rlimit both = { value, value }, now;

	if (getrlimit((__rlimit_resource_t)resource, &now) == 0 && now.rlim_max < value)
		both.rlim_cur = both.rlim_max = now.rlim_max; /* cannot be raised; less is as safe */
	need(setrlimit((__rlimit_resource_t)resource, &both), what);
}

static void drop_user(void)
{
	uid_t user[3];
	gid_t group[3];

	if (geteuid() != 0)
		return;
	need(setgroups(0, NULL), "setgroups");
	need(setresgid(NOBODY, NOBODY, NOBODY), "setresgid");
	need(setresuid(NOBODY, NOBODY, NOBODY), "setresuid");
	need(getresuid(&user[0], &user[1], &user[2]), "getresuid");
	need(getresgid(&group[0], &group[1], &group[2]), "getresgid");
	for (int i = 0; i < 3; i++)
		if (user[i] != NOBODY || group[i] != NOBODY)
			fail("the user was not dropped");
}

/* The rights that each version of the interface added; the header may be older than the kernel. */
struct landlock_rights {
	uint64_t files, network, scopes;
};

/* No path, no network, no signal to the outside: a ruleset that handles everything and allows nothing. */
static void enter_landlock(void)
{
	static const uint64_t files[] = { 0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_rights rights = { 0, 0, 0 };
	size_t size = sizeof(uint64_t);
	int ruleset;

	if (version < 1)
		return; /* not in this kernel, or switched off: seccomp has no open or socket either */
	rights.files = files[version < 5 ? version : 5];
	if (version >= 4) {
		rights.network = 3;
		size = 2 * sizeof(uint64_t);
	}
	if (version >= 6) {
		rights.scopes = 3;
		size = sizeof rights;
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, size, 0);
	need(ruleset, "landlock_create_ruleset");
	need((int)syscall(SYS_landlock_restrict_self, ruleset, 0), "landlock_restrict_self");
	close(ruleset);
}

void jail_enter(void)
{
	build(&stem_program, 1);
	build(&cell_program, 0);
	jail_null = open("/dev/null", O_RDWR | O_CLOEXEC);
	need(jail_null, "/dev/null");
	need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	drop_user();
	need(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable");
	enter_landlock();
	limit(RLIMIT_CORE, 0, "RLIMIT_CORE");
	limit(RLIMIT_FSIZE, 0, "RLIMIT_FSIZE");
	limit(RLIMIT_MEMLOCK, 0, "RLIMIT_MEMLOCK");
	limit(RLIMIT_MSGQUEUE, 0, "RLIMIT_MSGQUEUE");
	limit(RLIMIT_STACK, STACK_BYTES, "RLIMIT_STACK");
}

void jail_child(int parent)
{
	need(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "parent-death signal");
	if (getppid() != parent)
		_exit(EXIT_DONE); /* it died before */
}

void jail_stem(void)
{
	limit(RLIMIT_NOFILE, STEM_FILES, "RLIMIT_NOFILE");
	load(&stem_program);
}

void jail_cell(void)
{
	static const struct rlimit none = { 0, 0 }, files = { CELL_FILES, CELL_FILES };

	need(setrlimit(RLIMIT_NPROC, &none), "RLIMIT_NPROC");
	need(setrlimit(RLIMIT_NOFILE, &files), "RLIMIT_NOFILE");
	load(&cell_program);
}
