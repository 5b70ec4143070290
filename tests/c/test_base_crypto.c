#include "check.h"

#include "base/crypto.h"

static void hex_of(struct str text, char out[SHA256_HEX_SIZE])
{
	uint8_t digest[SHA256_SIZE];

	sha256(text.p, text.n, digest);
	hex_encode(digest, sizeof digest, out);
}

static void digests_match_the_published_vectors(void **state)
{
	char hex[SHA256_HEX_SIZE];

	(void)state;
	hex_of((struct str){ NULL, 0 }, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hex_of(STR("abc"), hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hex_of(STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), hex);
	assert_string_equal(hex,
			    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_digest_in_parts_is_the_digest_of_the_whole(void **state)
{
	uint8_t whole[SHA256_SIZE], parts[SHA256_SIZE];
	struct sha256_state s;
	char text[1000];
	size_t at, step;

	(void)state;
	memset(text, 'p', sizeof text);
	sha256(text, sizeof text, whole);
	for (step = 1; step < 200; step += 17) {
		sha256_begin(&s);
		for (at = 0; at < sizeof text; at += step)
			sha256_add(&s, text + at,
				   sizeof text - at < step ? sizeof text - at : step);
		sha256_add(&s, NULL, 0);
		sha256_end(&s, parts);
		assert_memory_equal(whole, parts, sizeof whole);
	}
}

static void hex_goes_there_and_back(void **state)
{
	uint8_t bytes[4] = { 0x00, 0x9f, 0xa0, 0xff }, back[4];
	char text[9];

	(void)state;
	hex_encode(bytes, sizeof bytes, text);
	assert_string_equal(text, "009fa0ff");
	assert_true(hex_decode(str_of(text), back, sizeof back));
	assert_memory_equal(bytes, back, sizeof back);
	assert_true(hex_decode(STR("009FA0FF"), back, sizeof back));
	assert_false(hex_decode(STR("009fa0f"), back, sizeof back));
	assert_false(hex_decode(STR("009fa0ff0"), back, sizeof back));
	assert_false(hex_decode(STR("009fa0fg"), back, sizeof back));
	assert_true(hex_decode(STR(""), back, 0));
}

static void comparison_looks_at_every_byte(void **state)
{
	(void)state;
	assert_true(bytes_equal_constant_time("secret", "secret", 6));
	assert_false(bytes_equal_constant_time("secret", "secreT", 6));
	assert_true(bytes_equal_constant_time("a", "b", 0));
}

static int setup(void **state)
{
	(void)state;
	return crypto_setup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_match_the_published_vectors),
		cmocka_unit_test(a_digest_in_parts_is_the_digest_of_the_whole),
		cmocka_unit_test(hex_goes_there_and_back),
		cmocka_unit_test(comparison_looks_at_every_byte),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
