#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Split at the last colon; a host in brackets may hold colons itself. */
static bool
split_address(const char *address, char host[256], char port[8])
{
	const char *colon = strrchr(address, ':');
	int64_t number;
	if (!colon || strlen(colon + 1) > 5 || !str_to_int(str_of(colon + 1), 0, 65535, &number))
		return false;
	struct str name = { address, (size_t)(colon - address) };
	if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
		name = (struct str){ name.p + 1, name.n - 2 };
	else if (memchr(name.p, ':', name.n))
		return false;
	if (name.n > 255)
		return false;
	memcpy(host, name.p, name.n);
	host[name.n] = '\0';
	snprintf(port, 8, "%lld", (long long)number);
	return true;
}

static void
describe(int fd, char bound[ADDRESS_TEXT_SIZE])
{
	struct sockaddr_storage at = { 0 };
	socklen_t size = sizeof at;
	char host[64] = "?", port[8] = "0";
	if (getsockname(fd, (struct sockaddr *)&at, &size) == 0)
		getnameinfo((struct sockaddr *)&at, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(bound, ADDRESS_TEXT_SIZE, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static int
open_one(const struct addrinfo *at)
{
	int on = 1;
	int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

int
listener_open(const char *address, int *fd, char bound[ADDRESS_TEXT_SIZE], struct errbuf *e)
{
	char host[256], port[8];
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_ADDRCONFIG }, *found = NULL;

	*fd = -1;
	if (!split_address(address, host, port))
		return err_set(e, ERR_INVALID, "listen: '%s' is not ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080", address);
	if (strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0)
		hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
	int answer = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (answer)
		return err_set(e, ERR_INVALID, "listen on %s: %s", address, gai_strerror(answer));
	for (const struct addrinfo *at = found; at && *fd < 0; at = at->ai_next)
		*fd = open_one(at);
	int error = errno;
	freeaddrinfo(found);
	if (*fd < 0)
		return err_set(e, ERR_UNAVAILABLE, "cannot listen on %s: %s%s", address, strerror(error),
		               error == EADDRINUSE ? "; end what runs there, or choose another with --listen 127.0.0.1:0" : "");
	describe(*fd, bound);
	return 0;
}
