#include "cell_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(condition, what) ((condition) ? (void)0 : give_up(__LINE__, what))

static _Noreturn void give_up(int line, const char *what)
{
	fprintf(stderr, "cell_driver.c:%d: %s: %s\n", line, what, strerror(errno));
	exit(99);
}

static const char *program(void)
{
	const char *path = getenv("PERIGEE_CELL");

	return path ? path : "build/perigee-cell";
}

static void socket_pair(int type, int pair[2])
{
	MUST(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
}

static void send_frame(int socket, enum frame_type type, uint32_t sequence, struct str payload, int fd)
{
	uint8_t header[FRAME_HEADER_SIZE];
	struct iovec parts[2] = { { header, sizeof header }, { (void *)(uintptr_t)payload.p, payload.n } };
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = payload.n ? 2 : 1 };
	size_t done;

	frame_header(header, type, sequence, (uint32_t)payload.n);
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control.bytes;
		control.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.align), &fd, sizeof fd);
	}
	ssize_t n = sendmsg(socket, &message, MSG_NOSIGNAL);
	if (n < 0) /* the peer may have gone: what is received tells */
		return;
	done = (size_t)n;
	while (done < sizeof header + payload.n) {
		size_t at = done - sizeof header;

		n = send(socket, payload.p + at, payload.n - at, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

/* One read; *fd is -1 when none came along. */
static ssize_t receive(int socket, struct buf *in, int *fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char *to = buf_room(in, 65536);
	struct iovec part = { to, 65536 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes };
	ssize_t n;

	MUST(to, "buffer");
	n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n;
	in->n += (size_t)n;
	if (fd) {
		*fd = -1;
		if (CMSG_FIRSTHDR(&message))
			memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof *fd);
	}
	return n;
}

static void fill(struct message *out, const struct frame *frame)
{
	json_error_t error;

	*out = (struct message){ .type = frame->type, .sequence = frame->sequence, .size = frame->payload.n };
	out->text = mem_copy(frame->payload);
	if (!frame->payload.n)
		return;
	out->json = json_loadb(frame->payload.p, frame->payload.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (!out->json)
		fprintf(stderr, "payload of %s: %s: %.200s\n", frame_table[frame->type].name, error.text, out->text);
	MUST(out->json, "the payload is no JSON");
}

/* The next whole frame that comes this way. */
static bool next_frame(int socket, struct buf *in, enum frame_way way, struct message *out, int *fd, int timeout_ms)
{
	struct pollfd waiting = { .fd = socket, .events = POLLIN };
	struct frame frame;
	long used;

	while ((used = frame_take(buf_str(in), way, &frame)) == 0) {
		int got = -1;

		if (poll(&waiting, 1, timeout_ms) == 0)
			return false;
		if (receive(socket, in, fd ? &got : NULL) <= 0)
			return false;
		if (fd && got >= 0)
			*fd = got;
	}
	MUST(used > 0, "a frame that cannot be");
	fill(out, &frame);
	buf_drop_front(in, (size_t)used);
	return true;
}

void driver_open(struct driver *driver)
{
	char *argv[] = { (char *)(uintptr_t)program(), NULL }, *environment[] = { NULL };
	int pair[2];

	socket_pair(SOCK_SEQPACKET, pair);
	driver->control = pair[0];
	driver->zygote = fork();
	MUST(driver->zygote >= 0, "fork");
	if (driver->zygote == 0) {
		dup2(pair[1], 3);
		if (pair[1] == 3)
			fcntl(3, F_SETFD, 0);
		execve(argv[0], argv, environment);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(pair[1]);
}

int driver_close(struct driver *driver)
{
	int status = 0;

	close(driver->control);
	MUST(waitpid(driver->zygote, &status, 0) == driver->zygote, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool driver_next(struct driver *driver, struct message *out)
{
	struct buf packet;
	bool got;

	buf_init(&packet, 1 << 20);
	got = next_frame(driver->control, &packet, FRAME_FROM_ZYGOTE, out, NULL, 10000);
	buf_free(&packet);
	return got;
}

void driver_stem(struct driver *driver, uint32_t id, struct stem *stem)
{
	struct message answer;
	struct buf packet;
	int pair[2];

	*stem = (struct stem){ .pidfd = -1, .fd = -1 };
	buf_init(&stem->in, 64u << 20);
	socket_pair(SOCK_STREAM, pair);
	send_frame(driver->control, FRAME_STEM, id, STR(""), pair[1]);
	close(pair[1]);
	stem->socket = pair[0];
	buf_init(&packet, 1 << 20);
	MUST(next_frame(driver->control, &packet, FRAME_FROM_ZYGOTE, &answer, &stem->pidfd, 10000), "no answer to STEM");
	MUST(answer.type == FRAME_STEMMED && answer.sequence == id && stem->pidfd >= 0, "not STEMMED with a pidfd");
	message_free(&answer);
	buf_free(&packet);
}

void stem_load_text(struct stem *stem, const char *payload, struct message *answer)
{
	send_frame(stem->socket, FRAME_LOAD, 0, str_of(payload), -1);
	MUST(next_frame(stem->socket, &stem->in, FRAME_FROM_STEM, answer, NULL, 20000), "no answer to LOAD");
}

void stem_load(struct stem *stem, json_t *files, const char *mode, const char *limits, struct message *answer)
{
	json_t *load = json_pack("{s:O,s:s,s:o}", "files", files, "mode", mode, "limits",
				 json_loads(limits ? limits : "{\"memory_bytes\":67108864,\"cpu_ms\":500,\"wall_ms\":5000}", 0, NULL));
	char *text = json_dumps(load, JSON_SORT_KEYS | JSON_COMPACT);

	stem_load_text(stem, text, answer);
	free(text);
	json_decref(load);
}

void driver_close_stem(struct stem *stem)
{
	close(stem->socket);
	close(stem->pidfd);
	buf_free(&stem->in);
}

bool stem_next(struct stem *stem, struct message *out)
{
	/* A read may bring an EXITED and the FORKED behind it at once: the descriptor waits for its frame. */
	return next_frame(stem->socket, &stem->in, FRAME_FROM_STEM, out, &stem->fd, 20000);
}

static pid_t pid_of(int pidfd)
{
	char path[64], line[256];
	pid_t pid = -1;
	FILE *f;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "r");
	MUST(f, path);
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	fclose(f);
	return pid;
}

static void note_exit(struct stem *stem, const struct message *message);

void stem_fork(struct stem *stem, struct cell *cell)
{
	struct message answer;
	int pair[2];

	*cell = (struct cell){ .id = ++stem->cells, .pidfd = -1 };
	buf_init(&cell->in, 64u << 20);
	socket_pair(SOCK_STREAM, pair);
	cell->socket = pair[0];
	send_frame(stem->socket, FRAME_FORK, cell->id, STR(""), pair[1]);
	close(pair[1]);
	for (;;) {
		MUST(stem_next(stem, &answer), "no answer to FORK");
		if (answer.type == FRAME_FORKED)
			break;
		note_exit(stem, &answer);
		message_free(&answer);
	}
	cell->pidfd = stem->fd;
	stem->fd = -1;
	MUST(answer.sequence == cell->id && cell->pidfd >= 0, "not FORKED with a pidfd");
	message_free(&answer);
	cell->pid = pid_of(cell->pidfd);
}

static void note_exit(struct stem *stem, const struct message *message)
{
	MUST(message->sequence < sizeof stem->exits / sizeof *stem->exits, "too many cells for one stem of a test");
	stem->exits[message->sequence] = (struct exit_report){
		.seen = true,
		.status = (int)json_integer_value(json_object_get(message->json, "status")),
		.signal = (int)json_integer_value(json_object_get(message->json, "signal")),
		.cpu_us = json_integer_value(json_object_get(message->json, "cpu_us")),
		.rss_kb = json_integer_value(json_object_get(message->json, "rss_kb")),
	};
}

void stem_wait_exit(struct stem *stem, uint32_t cell, struct exit_report *report)
{
	struct message message;

	while (!stem->exits[cell].seen) {
		MUST(stem_next(stem, &message), "no EXITED");
		if (message.type == FRAME_EXITED)
			note_exit(stem, &message);
		message_free(&message);
	}
	*report = stem->exits[cell];
}

void cell_start(struct cell *cell, const char *capability, const char *input, int replay)
{
	struct buf start;

	buf_init(&start, 32u << 20);
	buf_addf(&start, "{\"agent\":\"t\",\"capability\":\"%s\",\"input\":", capability);
	buf_add_text(&start, input);
	buf_addf(&start, ",\"now\":1700000000000000,\"replay\":%d,\"run\":\"018bcfe5-6800-7000-8000-000000000001\","
			 "\"seed\":\"00112233445566778899aabbccddeeff\"}", replay);
	send_frame(cell->socket, FRAME_START, 0, buf_str(&start), -1);
	buf_free(&start);
}

void driver_send(struct cell *cell, enum frame_type type, uint32_t sequence, const char *payload)
{
	send_frame(cell->socket, type, sequence, str_of(payload), -1);
}

void cell_outcome(struct cell *cell, uint32_t effect, const char *ok)
{
	struct buf payload;

	buf_init(&payload, 32u << 20);
	buf_addf(&payload, "{\"at\":%lld,\"ok\":", 1700000000000000LL + effect * 1000LL);
	buf_add_text(&payload, ok);
	buf_add_char(&payload, '}');
	send_frame(cell->socket, FRAME_OUTCOME, effect, buf_str(&payload), -1);
	buf_free(&payload);
}

bool cell_next(struct cell *cell, struct message *out, int timeout_ms)
{
	return next_frame(cell->socket, &cell->in, FRAME_FROM_CELL, out, NULL, timeout_ms);
}

void cell_close(struct cell *cell)
{
	close(cell->socket);
	close(cell->pidfd);
	buf_free(&cell->in);
}

void message_free(struct message *message)
{
	json_decref(message->json);
	free(message->text);
	*message = (struct message){ 0 };
}

const char *message_member(const struct message *message, const char *name)
{
	const char *text = json_string_value(json_object_get(message->json, name));

	return text ? text : "";
}

json_t *bundle_of(const char *body)
{
	static const char registry[] =
		"local registry = {}\n"
		"local capabilities = {}\n"
		"function registry.add(t) capabilities = t end\n"
		"function registry.manifest() return { agents = { t = { capabilities = {} } }, kinds = {}, playbooks = {} } end\n"
		"function registry.call(agent, capability, input) return capabilities[capability](input) end\n"
		"return registry\n";
	static const char effects[] =
		"local host = require 'perigee.host'\n"
		"return { call = function(name, args) return host.effect(name, args) end, host = host }\n";
	json_t *files = json_object();
	struct buf agent;

	buf_init(&agent, 1 << 20);
	buf_add_text(&agent, "local capabilities = (function() ");
	buf_add_text(&agent, body);
	buf_add_text(&agent, "\nend)()\nrequire('perigee.registry').add(capabilities)\nreturn capabilities\n");
	json_object_set_new(files, "scripts/perigee/registry.lua", json_string(registry));
	json_object_set_new(files, "scripts/perigee/effects.lua", json_string(effects));
	json_object_set_new(files, "scripts/agents/t.lua", json_string(buf_text(&agent)));
	buf_free(&agent);
	return files;
}
