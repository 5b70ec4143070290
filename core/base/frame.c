#include "base/frame.h"

#include <string.h>

#define LOG_PAYLOAD_MAX (256u << 10)
#define FAIL_PAYLOAD_MAX (256u << 10)
#define ERROR_PAYLOAD_MAX (1u << 20)
#define EXIT_PAYLOAD_MAX 4096u

#define ROW(type, way, max, numbered) \
	[FRAME_##type] = { FRAME_##type, #type, FRAME_##way, max, numbered }

const struct frame_row frame_table[FRAME_TYPES] = {
	ROW(LOAD, TO_STEM, FRAME_PAYLOAD_MAX, false),
	ROW(MANIFEST, FROM_STEM, FRAME_PAYLOAD_MAX, false),
	ROW(ERROR, FROM_STEM, ERROR_PAYLOAD_MAX, false),
	ROW(FORK, TO_STEM, 0, true),
	ROW(FORKED, FROM_STEM, 0, true),
	ROW(EXITED, FROM_STEM, EXIT_PAYLOAD_MAX, true),
	ROW(START, TO_CELL, FRAME_PAYLOAD_MAX, false),
	ROW(OUTCOME, TO_CELL, FRAME_PAYLOAD_MAX, true),
	ROW(CANCEL, TO_CELL, 0, false),
	ROW(EFFECT, FROM_CELL, FRAME_PAYLOAD_MAX, true),
	ROW(LOG, FROM_CELL, LOG_PAYLOAD_MAX, true),
	ROW(DONE, FROM_CELL, FRAME_PAYLOAD_MAX, false),
	ROW(FAIL, FROM_CELL, FAIL_PAYLOAD_MAX, false),
	ROW(STEM, TO_ZYGOTE, 0, true),
	ROW(STEMMED, FROM_ZYGOTE, 0, true),
	ROW(GONE, FROM_ZYGOTE, EXIT_PAYLOAD_MAX, true),
};

static void put_le32(uint8_t *out, uint32_t v)
{
	out[0] = (uint8_t)v;
	out[1] = (uint8_t)(v >> 8);
	out[2] = (uint8_t)(v >> 16);
	out[3] = (uint8_t)(v >> 24);
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void frame_header(uint8_t out[FRAME_HEADER_SIZE], enum frame_type type, uint32_t sequence,
		  uint32_t length)
{
	put_le32(out, length);
	put_le32(out + 4, (uint32_t)type & 0xffffu); /* u16 type, u16 zero */
	put_le32(out + 8, sequence);
}

void frame_add(struct buf *out, enum frame_type type, uint32_t sequence, struct str payload)
{
	char *room;

	BUG_ON(type < FRAME_LOAD || type >= FRAME_TYPES);
	BUG_ON(frame_table[type].numbered != (sequence != 0));
	if (payload.n > frame_table[type].payload_max) {
		out->full = true;
		return;
	}
	room = buf_room(out, FRAME_HEADER_SIZE + payload.n);
	if (!room)
		return;
	frame_header((uint8_t *)room, type, sequence, (uint32_t)payload.n);
	if (payload.n)
		memcpy(room + FRAME_HEADER_SIZE, payload.p, payload.n);
	out->n += FRAME_HEADER_SIZE + payload.n;
	out->p[out->n] = '\0';
}

long frame_take(struct str input, enum frame_way way, struct frame *out)
{
	const uint8_t *p = (const uint8_t *)input.p;
	const struct frame_row *row;
	uint32_t length, type, sequence;

	if (input.n < FRAME_HEADER_SIZE)
		return 0;
	length = get_le32(p);
	type = get_le32(p + 4); /* with the reserved half: a bit set there is an unknown type */
	sequence = get_le32(p + 8);
	if (type == 0 || type >= FRAME_TYPES)
		return -1;
	row = &frame_table[type];
	if (row->way != way || length > row->payload_max || row->numbered != (sequence != 0))
		return -1;
	if (input.n - FRAME_HEADER_SIZE < length)
		return 0;
	out->type = row->type;
	out->sequence = sequence;
	out->payload = (struct str){ input.p + FRAME_HEADER_SIZE, length };
	return (long)(FRAME_HEADER_SIZE + length);
}
