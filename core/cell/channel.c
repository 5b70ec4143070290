#include "cell/channel.h"

#include "cell/exits.h"

#include <errno.h>
#include <unistd.h>

#define READ_AT_LEAST (16u << 10)

void channel_init(struct channel *channel, int fd)
{
	*channel = (struct channel){ .fd = fd };
	buf_init(&channel->in, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + READ_AT_LEAST);
	buf_init(&channel->out, FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + CHANNEL_BATCH);
}

void channel_flush(struct channel *channel)
{
	size_t done = 0;

	while (done < channel->out.n) {
		ssize_t n = write(channel->fd, channel->out.p + done, channel->out.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(errno == EPIPE ? EXIT_DONE : EXIT_IO); /* nobody listens: the run is over */
		done += (size_t)n;
	}
	buf_reset(&channel->out);
}

bool channel_send(struct channel *channel, enum frame_type type, uint32_t sequence, struct str payload)
{
	if (payload.n > frame_table[type].payload_max)
		return false;
	if (channel->out.n && channel->out.n + FRAME_HEADER_SIZE + payload.n > CHANNEL_BATCH)
		channel_flush(channel);
	frame_add(&channel->out, type, sequence, payload);
	BUG_ON(channel->out.full);
	if (!channel->hold || channel->out.n >= CHANNEL_BATCH)
		channel_flush(channel);
	return true;
}

static void read_more(struct channel *channel)
{
	size_t room;
	ssize_t n;
	char *to;

	channel_flush(channel);
	if (channel->taken == channel->in.n) {
		buf_reset(&channel->in);
		channel->taken = 0;
	} else if (channel->taken) {
		buf_drop_front(&channel->in, channel->taken);
		channel->taken = 0;
	}
	to = buf_room(&channel->in, READ_AT_LEAST);
	BUG_ON(!to); /* a whole frame is always smaller */
	room = channel->in.cap - channel->in.n - 1;
	do
		n = read(channel->fd, to, room);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		_exit(EXIT_DONE); /* the host has ended this run */
	if (n < 0)
		_exit(EXIT_IO);
	channel->in.n += (size_t)n;
}

void channel_next(struct channel *channel, struct frame *frame)
{
	long used;

	for (;;) {
		struct str rest = { channel->in.p + channel->taken, channel->in.n - channel->taken };

		used = rest.n ? frame_take(rest, FRAME_TO_CELL, frame) : 0;
		if (used)
			break;
		read_more(channel);
	}
	if (used < 0)
		_exit(EXIT_PROTOCOL);
	if (frame->type == FRAME_CANCEL)
		_exit(EXIT_DONE);
	channel->taken += (size_t)used;
}
