#!/bin/sh
# lint.sh: what a machine can say about the sources. Faults (exit 1): floors, luacheck, absolute paths, trailing blanks, cppcheck,
# clang-tidy's errors. Warnings only: long files, long functions.
set -u
cd "$(dirname "$0")/.."
faults=0
fault() { printf '%s\n' "$1"; faults=$((faults + 1)); }
section() { printf '== %s\n' "$1"; }

section floors
tools/floors.sh core || faults=$((faults + 1))

section "absolute paths and trailing blanks"
sources=$(git ls-files -co --exclude-standard -- core scripts methodology spec tests tools bench Makefile perigee.lua .ci | grep -vE '^tests/(corpus|golden)/|\.(json|txt|eml)$')
# Assembled, so that this file does not find itself.
pattern="/(wo""rk|fa""rm|ro""ot|ho""me)/[a-z]"
found=$(printf '%s\n' "$sources" | xargs grep -nE "$pattern" /dev/null)
[ -z "$found" ] || fault "$found"
found=$(printf '%s\n' "$sources" | grep -E '\.(c|h|lua|sh|py)$' | xargs grep -nE '[[:blank:]]+$' /dev/null | head -20)
[ -z "$found" ] || fault "$found"

section luacheck
if command -v luacheck >/dev/null 2>&1; then
	folders=""
	for folder in scripts methodology spec tests/lua bench/root examples perigee.lua; do
		[ -e "$folder" ] && find "$folder" -name '*.lua' | grep -q . && folders="$folders $folder"
	done
	[ -z "$folders" ] || luacheck -q --no-color --ignore 631 -- $folders || faults=$((faults + 1))
else
	echo "luacheck is not installed: skipped"
fi

section "lengths (warnings)"
find core -name '*.[ch]' -o -path 'scripts/*' -name '*.lua' | xargs wc -l | awk '$2 != "total" && $1 > 500 { print "warning: " $2 ": " $1 " lines: is this one idea?" }'
find core -name '*.c' | LC_ALL=C sort | xargs awk '
	FNR == 1 { start = 0 }
	/^\{/ { start = FNR; next }
	/^\}/ && start { if (FNR - start > 60) print "warning: " FILENAME ":" start ": a function of " FNR - start " lines"; start = 0 }'
find core bench tests/c scripts methodology spec \( -name "*.[ch]" -o -name "*.lua" \) 2>/dev/null | LC_ALL=C sort | xargs awk '
	{ line = $0; gsub(/\t/, "        ", line); if (length(line) > 160) print "warning: " FILENAME ":" FNR ": " length(line) " columns" }'

section cppcheck
if command -v cppcheck >/dev/null 2>&1; then
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=nullPointerOutOfMemory --suppress=nullPointerRedundantCheck --suppress=varFuncNullUB --suppress=oppositeInnerCondition --template='{file}:{line}: {severity}: {message} [{id}]' \
		--include=tools/lint_macros.h -j "$(nproc)" -Icore -Ibuild/gen -D_GNU_SOURCE -DPERIGEE_VERSION='""' core || faults=$((faults + 1))
else
	echo "cppcheck is not installed: skipped"
fi

section clang-tidy
if command -v clang-tidy >/dev/null 2>&1; then
	flags="-std=c17 -D_GNU_SOURCE -DPERIGEE_VERSION=__FILE__ -Icore -Ibuild/gen $(pkg-config --cflags libevent sqlite3 jansson libsodium libpq hiredis libcurl icu-i18n luajit libseccomp 2>/dev/null)"
	# Its notes are pages long: the places are enough here. What does not compile is a fault, a warning is not.
	found=$(find core -name '*.c' | LC_ALL=C sort | xargs -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet "$@" -- '"$flags"' 2>/dev/null' tidy |
		grep -E '(warning|error):' | sed "s|^$PWD/||" | LC_ALL=C sort -u)
	[ -z "$found" ] || printf '%s\n' "$found"
	! printf '%s\n' "$found" | grep -q ' error: ' || faults=$((faults + 1))
else
	echo "clang-tidy is not installed: skipped"
fi

if [ "$faults" -gt 0 ]; then
	echo "lint: $faults section(s) with faults"
	exit 1
fi
echo "lint: clean"
