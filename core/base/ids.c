#include "base/ids.h"

#include "base/json_text.h"

#include <pthread.h>
#include <string.h>

/*
 * The last id of each clock. Sources are few (the system's; a manual one in a test), so a handful
 * of rows taken in turn will do. A source that went back is a new one in the old one's place:
 * clocks never do.
 */
struct source {
	int64_t (*now_us)(void *context);
	void *context;
	int64_t latest_us;
	struct uuid last;
};

#define SOURCES 8
static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;
static struct source sources[SOURCES];
static size_t sources_next;

static struct source *source_of(const struct clock *clock, int64_t now_us)
{
	struct source *s = NULL;
	size_t i;

	for (i = 0; i < SOURCES && !s; i++) {
		if (sources[i].now_us == clock->now_us && sources[i].context == clock->context)
			s = &sources[i];
	}
	if (!s) {
		s = &sources[sources_next++ % SOURCES];
		*s = (struct source){ .now_us = clock->now_us, .context = clock->context };
	} else if (now_us < s->latest_us && clock->now_us != clock_system.now_us) {
		s->last = (struct uuid){ { 0 } };
		s->latest_us = 0;
	}
	return s;
}

static void set_version(struct uuid *id, unsigned version)
{
	id->b[6] = (uint8_t)((id->b[6] & 0x0f) | version << 4);
	id->b[8] = (uint8_t)((id->b[8] & 0x3f) | 0x80);
}

/* Milliseconds, their fraction in 12 bits (RFC 9562, method 3), then 62 random bits. */
static struct uuid fresh(int64_t now_us, uint64_t random)
{
	uint64_t ms = (uint64_t)now_us / 1000, fraction = (uint64_t)now_us % 1000 * 4096 / 1000;
	struct uuid id;
	int i;

	for (i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	id.b[6] = (uint8_t)(fraction >> 8);
	id.b[7] = (uint8_t)fraction;
	for (i = 0; i < 8; i++)
		id.b[8 + i] = (uint8_t)(random >> (56 - 8 * i));
	set_version(&id, 7);
	return id;
}

/* last + 1 + step in the 74 bits behind the milliseconds; a carry out of them moves the time on. */
static struct uuid following(struct uuid last, uint32_t step)
{
	uint64_t low = 0, carry, head = 0;
	int i;

	for (i = 8; i < 16; i++)
		low = low << 8 | last.b[i];
	low &= UINT64_C(0x3fffffffffffffff);
	low += (uint64_t)step + 1;
	carry = low >> 62;
	for (i = 0; i < 6; i++)
		head = head << 8 | last.b[i];
	head = head << 12 | (uint64_t)(last.b[6] & 0x0f) << 8 | last.b[7];
	head += carry;
	for (i = 0; i < 8; i++)
		last.b[8 + i] = (uint8_t)(low >> (56 - 8 * i));
	last.b[7] = (uint8_t)head;
	last.b[6] = (uint8_t)(head >> 8 & 0x0f);
	for (i = 0; i < 6; i++)
		last.b[i] = (uint8_t)(head >> (52 - 8 * i));
	set_version(&last, 7);
	return last;
}

struct uuid uuid_new(const struct clock *clock, const struct rng *rng)
{
	struct source *s;
	struct uuid id;
	uint64_t random;
	int64_t now_us;

	rng_fill(rng, &random, sizeof random);
	pthread_mutex_lock(&sources_lock);
	now_us = clock_now_us(clock);
	if (now_us < 0)
		now_us = 0;
	s = source_of(clock, now_us);
	id = fresh(now_us, random);
	if (memcmp(id.b, s->last.b, sizeof id.b) <= 0)
		id = following(s->last, (uint32_t)random);
	s->last = id;
	if (now_us > s->latest_us)
		s->latest_us = now_us;
	pthread_mutex_unlock(&sources_lock);
	return id;
}

struct uuid uuid_of_digest(const uint8_t digest[32])
{
	struct uuid id;

	memcpy(id.b, digest, sizeof id.b);
	set_version(&id, 8);
	return id;
}

static bool is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_format(struct uuid id, char out[UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	size_t i, nibble = 0;

	for (i = 0; i < UUID_TEXT_SIZE - 1; i++) {
		if (is_dash(i)) {
			out[i] = '-';
			continue;
		}
		out[i] = digits[id.b[nibble / 2] >> (nibble % 2 ? 0 : 4) & 15];
		nibble++;
	}
	out[i] = '\0';
}

static int hex_value(char c, bool capitals)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (capitals && c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse(struct str text, bool capitals, struct uuid *out)
{
	size_t i, nibble = 0;
	int value;

	if (text.n != UUID_TEXT_SIZE - 1)
		return false;
	*out = (struct uuid){ { 0 } };
	for (i = 0; i < text.n; i++) {
		if (is_dash(i)) {
			if (text.p[i] != '-')
				return false;
			continue;
		}
		value = hex_value(text.p[i], capitals);
		if (value < 0)
			return false;
		out->b[nibble / 2] |= (uint8_t)(nibble % 2 ? value : value << 4);
		nibble++;
	}
	return true;
}

bool uuid_parse(struct str text, struct uuid *out)
{
	return parse(text, true, out);
}

bool uuid_is_text(struct str text)
{
	struct uuid ignored;

	return parse(text, false, &ignored);
}

bool name_is_valid(struct str name)
{
	size_t i;

	if (name.n < 1 || name.n > 63 || name.p[0] < 'a' || name.p[0] > 'z')
		return false;
	for (i = 1; i < name.n; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool record_id_is_valid(struct str id)
{
	const unsigned char *p = (const unsigned char *)id.p;
	size_t i;

	if (id.n < 1 || id.n > 200 || !utf8_is_valid(id))
		return false;
	for (i = 0; i < id.n; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f)
			return false;
		if (p[i] == 0xc2 && p[i + 1] < 0xa0) /* C1 control; valid, so a byte follows */
			return false;
	}
	return true;
}
