#include "base/metrics_process.h"

#include "base/metrics_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The front of a small file of /proc, terminated; "" when it cannot be read. */
static void read_front(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	out[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The number behind the n-th space of text (n from 0: its beginning), or 0. */
static unsigned long long field(const char *text, int n)
{
	for (; n > 0 && text; n--) {
		text = strchr(text, ' ');
		if (text)
			text++;
	}
	return text ? strtoull(text, NULL, 10) : 0;
}

static double start_time_seconds(void)
{
	char stat[1024], boot[8192];
	const char *behind_name, *btime;
	long ticks = sysconf(_SC_CLK_TCK);

	read_front("/proc/self/stat", stat, sizeof stat);
	behind_name = strrchr(stat, ')'); /* the name may hold anything */
	if (!behind_name || ticks <= 0)
		return 0;
	read_front("/proc/stat", boot, sizeof boot);
	btime = strstr(boot, "\nbtime ");
	if (!btime) { /* many CPUs before it: derive the boot from two clocks */
		struct timespec wall, up;

		clock_gettime(CLOCK_REALTIME, &wall);
		clock_gettime(CLOCK_BOOTTIME, &up);
		return (double)(wall.tv_sec - up.tv_sec) +
		       (double)field(behind_name + 2, 19) / (double)ticks;
	}
	return (double)strtoull(btime + 7, NULL, 10) +
	       (double)field(behind_name + 2, 19) / (double)ticks;
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned n = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* the directory's own */
}

static double cpu_seconds(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0)
		return 0;
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void add(struct metrics *out, const char *name, enum metric_kind kind, enum metric_combine combine, const char *help, double value)
{
	struct metric *metric = metrics_find(out, str_of(name));

	if (!metric) {
		metric = metric_declare(out, kind, name, help, NULL, NULL);
		metric->combine = combine;
	}
	metric->order[0]->value = value;
}

void metrics_process_update(struct metrics *out)
{
	char statm[256];
	struct rlimit files;
	double page = (double)sysconf(_SC_PAGESIZE);

	read_front("/proc/self/statm", statm, sizeof statm);
	add(out, "process_cpu_seconds_total", METRIC_COUNTER, COMBINE_SUM, "User and system CPU time spent.", cpu_seconds());
	add(out, "process_resident_memory_bytes", METRIC_GAUGE, COMBINE_SUM, "Resident memory.", (double)field(statm, 1) * page);
	add(out, "process_virtual_memory_bytes", METRIC_GAUGE, COMBINE_SUM, "Virtual memory.", (double)field(statm, 0) * page);
	add(out, "process_open_fds", METRIC_GAUGE, COMBINE_SUM, "Open file descriptors.", open_fds());
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		add(out, "process_max_fds", METRIC_GAUGE, COMBINE_LEAST, "Limit of open file descriptors, of one process.",
		    (double)files.rlim_cur);
	add(out, "process_start_time_seconds", METRIC_GAUGE, COMBINE_LEAST, "Start of the oldest process, unix time.",
	    start_time_seconds());
}
