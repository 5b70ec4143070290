/* Digests and comparisons, over libsodium (used nowhere else for these). */
#pragma once

#include "base/bytes.h"

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65

int crypto_setup(void);                                       /* once per process, before anything else here */
void sha256(const void *p, size_t n, uint8_t out[SHA256_SIZE]);
struct sha256_state { unsigned char opaque[128] __attribute__((aligned(16))); };
void sha256_begin(struct sha256_state *s);
void sha256_add(struct sha256_state *s, const void *p, size_t n);
void sha256_end(struct sha256_state *s, uint8_t out[SHA256_SIZE]);
void hex_encode(const uint8_t *p, size_t n, char *out /* 2n + 1 */);
MUST_CHECK bool hex_decode(struct str text, uint8_t *out, size_t n); /* text.n must be 2n */
bool bytes_equal_constant_time(const void *a, const void *b, size_t n);
