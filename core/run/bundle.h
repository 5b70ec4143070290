/* A bundle: path → Lua source, named by the SHA-256 of its canonical JSON (docs/internals/contracts.md §1). */
#pragma once

#include "base/json.h"

struct bundle {
	json_t *files;         /* object, owned */
	char digest[65];
};

/* Collect scripts/ and methodology/ under root, the tenant's overlay and the embedded runtime. ERR_NOT_FOUND when root has neither folder;
 * ERR_TOO_LARGE for a file over 1 MiB or a bundle over 8 MiB; ERR_INVALID for a file that is not UTF-8. */
MUST_CHECK int bundle_collect(const char *root, const char *tenant /* or NULL */, struct bundle **out, struct errbuf *e);
MUST_CHECK int bundle_from_files(json_t *files /* taken */, struct bundle **out, struct errbuf *e);
void bundle_free(struct bundle *bundle);
