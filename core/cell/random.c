#include "cell/random.h"

static uint64_t mix(uint64_t *state) /* splitmix64 */
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

void random_seed(struct random *random, const uint64_t seed[2], uint64_t stream)
{
	uint64_t a = seed[0] ^ stream, b = seed[1];

	random->s[0] = mix(&a);
	random->s[1] = mix(&b);
	random->s[2] = mix(&a);
	random->s[3] = mix(&b);
	if (!(random->s[0] | random->s[1] | random->s[2] | random->s[3]))
		random->s[0] = 1;
}

uint64_t random_next(struct random *random)
{
	uint64_t *s = random->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

double random_unit(struct random *random)
{
	return (double)(random_next(random) >> 11) * 0x1.0p-53;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
	uint64_t least = (0 - bound) % bound, x;

	do
		x = random_next(random);
	while (x < least);
	return x % bound;
}
