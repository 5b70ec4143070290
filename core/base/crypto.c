#include "base/crypto.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct sha256_state),
	       "sha256_state must hold libsodium's state");
_Static_assert(SHA256_SIZE == crypto_hash_sha256_BYTES, "digest sizes must agree");

int crypto_setup(void)
{
	return sodium_init() < 0 ? -1 : 0;
}

void sha256(const void *p, size_t n, uint8_t out[SHA256_SIZE])
{
	static const uint8_t nothing[1];

	crypto_hash_sha256(out, n ? p : nothing, n);
}

static crypto_hash_sha256_state *state_of(struct sha256_state *s)
{
	return (crypto_hash_sha256_state *)(void *)s->opaque;
}

void sha256_begin(struct sha256_state *s)
{
	crypto_hash_sha256_init(state_of(s));
}

void sha256_add(struct sha256_state *s, const void *p, size_t n)
{
	if (n)
		crypto_hash_sha256_update(state_of(s), p, n);
}

void sha256_end(struct sha256_state *s, uint8_t out[SHA256_SIZE])
{
	crypto_hash_sha256_final(state_of(s), out);
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool hex_decode(struct str text, uint8_t *out, size_t n)
{
	size_t i;

	if (n > SIZE_MAX / 2 || text.n != 2 * n)
		return false;
	for (i = 0; i < n; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool bytes_equal_constant_time(const void *a, const void *b, size_t n)
{
	return n == 0 || sodium_memcmp(a, b, n) == 0;
}
