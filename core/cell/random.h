/* xoshiro256**: the chance of a run, a function of its seed. */
#pragma once

#include <stdint.h>

struct random {
	uint64_t s[4];
};

void random_seed(struct random *random, const uint64_t seed[2], uint64_t stream);
uint64_t random_next(struct random *random);
double random_unit(struct random *random);                        /* [0, 1), 53 bits */
uint64_t random_below(struct random *random, uint64_t bound);     /* [0, bound), without bias; bound > 0 */
