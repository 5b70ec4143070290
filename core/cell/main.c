/*
 * perigee-cell: runs scripts and nothing else. Started by a worker of the host with an empty environment and its control socket as descriptor 3.
 * It becomes the zygote, which forks stems (one per bundle), which fork cells (one per activation of a run). docs/internals/contracts.md §2.
 */
#include "cell/exits.h"
#include "cell/jail.h"
#include "cell/zygote.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONTROL 3

static int control_is_socket(void)
{
	int type = 0;
	socklen_t size = sizeof type;

	return getsockopt(CONTROL, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/* Descriptors 0 to 2 are something, and nothing is inherited but them and the control socket. */
static int tidy_descriptors(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -1;
	return close_range(CONTROL + 1, ~0U, 0);
}

int main(void)
{
	if (!control_is_socket()) {
		fprintf(stderr, "perigee-cell is started by perigee: descriptor 3 must be its control socket\n");
		return EXIT_PROTOCOL;
	}
	if (tidy_descriptors() < 0)
		return EXIT_JAIL;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_NAME, "perigee-zygote", 0, 0, 0);
	tzset();
	jail_enter();
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* behind the change of user, which clears it */
	zygote_main(CONTROL);
}
