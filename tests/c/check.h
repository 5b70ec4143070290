/* cmocka with what it needs before it, and assertions on our own types. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"

#include <string.h>

/* Slice and text are the same bytes; a failure shows both. */
#define assert_str(slice, text)                                                                    \
	do {                                                                                       \
		struct str slice_ = (slice);                                                       \
		char *copy_ = mem_copy(slice_);                                                    \
		assert_string_equal(copy_, (text));                                                \
		assert_int_equal(slice_.n, strlen(text));                                          \
		free(copy_);                                                                       \
	} while (0)

#define assert_buf(buf, text) assert_str(buf_str(buf), text)
