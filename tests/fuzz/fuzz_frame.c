/* What comes from a cell: no bytes may harm the parser of frames, and what it takes it takes whole. */
#include "base/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	enum frame_way way = (enum frame_way)(data[0] % 6);
	struct str rest = { (const char *)data + 1, size - 1 };
	while (rest.n) {
		struct frame frame;
		long used = frame_take(rest, way, &frame);
		if (used <= 0)
			break;
		BUG_ON((size_t)used > rest.n || (size_t)used != FRAME_HEADER_SIZE + frame.payload.n);
		BUG_ON(frame_table[frame.type].way != way);
		rest.p += used;
		rest.n -= (size_t)used;
	}
	return 0;
}
