/*
 * The frame table: every message between a host and its cells. One header of 12 bytes, little endian (u32 payload length, u16 type,
 * u16 zero, u32 sequence), then a JSON payload. docs/internals/contracts.md §2 says what each carries. Both ends parse with frame_take and are
 * tested against frame_table.
 */
#pragma once

#include "base/bytes.h"

#define FRAME_HEADER_SIZE 12
#define FRAME_PAYLOAD_MAX (16u << 20)  /* bytes: an 8 MiB body, escaped at its worst, still fits */

enum frame_type {
	FRAME_LOAD = 1, FRAME_MANIFEST, FRAME_ERROR, FRAME_FORK, FRAME_FORKED, FRAME_EXITED,
	FRAME_START, FRAME_OUTCOME, FRAME_CANCEL, FRAME_EFFECT, FRAME_LOG, FRAME_DONE, FRAME_FAIL,
	FRAME_STEM, FRAME_STEMMED, FRAME_GONE,
	FRAME_TYPES
};
enum frame_way { FRAME_TO_ZYGOTE, FRAME_FROM_ZYGOTE, FRAME_TO_STEM, FRAME_FROM_STEM, FRAME_TO_CELL, FRAME_FROM_CELL };

struct frame_row {
	enum frame_type type;
	const char *name;
	enum frame_way way;
	uint32_t payload_max;  /* bytes; 0 = none allowed */
	bool numbered;         /* sequence must not be 0 */
};
extern const struct frame_row frame_table[FRAME_TYPES]; /* index = type; row 0 unused */

struct frame {
	enum frame_type type;
	uint32_t sequence;
	struct str payload;    /* borrowed from the input */
};

/* Append a whole frame. A payload above its row's maximum sets out->full and adds nothing. */
void frame_add(struct buf *out, enum frame_type type, uint32_t sequence, struct str payload);
void frame_header(uint8_t out[FRAME_HEADER_SIZE], enum frame_type type, uint32_t sequence, uint32_t length);
/* Take one frame that comes this way off the front of `input`. Returns bytes used (> 0), 0 when more input is needed,
 * -1 when the bytes can be no such frame (wrong type for the way, too long, reserved bits, sequence): the sender is broken or hostile. */
MUST_CHECK long frame_take(struct str input, enum frame_way way, struct frame *out);
