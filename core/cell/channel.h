/*
 * The cell's end of the channel: blocking, in frames. Reading flushes what was written first. The process ends inside channel_next when the host
 * has closed the channel, cancels, or sends what it may not.
 */
#pragma once

#include <stdbool.h>

#include "base/frame.h"

struct channel {
	int fd;
	struct buf in;     /* read and not yet taken from `taken` on */
	size_t taken;
	struct buf out;
	bool hold;         /* replay: outcomes are under way, so that frames may be collected up to CHANNEL_BATCH */
};

#define CHANNEL_BATCH (64u << 10)

void channel_init(struct channel *channel, int fd);
/* Put a frame into the output; written at once unless `hold`. False: the payload is over the frame's limit, nothing was sent. */
MUST_CHECK bool channel_send(struct channel *channel, enum frame_type type, uint32_t sequence, struct str payload);
void channel_flush(struct channel *channel);
/* The next frame to a cell; its payload stays valid until the next call. */
void channel_next(struct channel *channel, struct frame *frame);
