#!/bin/sh
# embed.sh FILE SYMBOL OUT: a file as a C array, `const char SYMBOL[]` (NUL behind it) and `const size_t SYMBOL_size` (without the NUL).
set -eu
file=$1 symbol=$2 out=$3
{
	printf '/* made by tools/embed.sh from %s */\n#include <stddef.h>\n\n' "$file"
	printf 'extern const char %s[];\nextern const size_t %s_size;\n\nconst char %s[] = {\n' "$symbol" "$symbol" "$symbol"
	od -An -v -tu1 "$file" | awk '{ line = "\t"; for (i = 1; i <= NF; i++) line = line ($i > 127 ? $i - 256 : $i) ", "; sub(/ $/, "", line); print line }'
	printf '\t0,\n};\nconst size_t %s_size = sizeof %s - 1;\n' "$symbol" "$symbol"
} >"$out.new"
mv "$out.new" "$out"
