#!/bin/sh
# The floors lint fails on an include that climbs and on a library outside its owner, and passes what is allowed.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
number=0
mkdir -p "$here/base" "$here/net" "$here/store/sqlite" "$here/run" "$here/api" "$here/cell"

# expect pass|fail FILE INCLUDE TITLE
expect() {
	number=$((number + 1))
	printf '#include %s\n' "$3" >"$here/$2"
	if "$top/tools/floors.sh" "$here" >"$here/out" 2>&1; then got=pass; else got=fail; fi
	if [ "$got" = "$1" ]; then echo "ok $number - $4"; else echo "not ok $number - $4 (got $got)"; sed 's/^/# /' "$here/out"; fi
	if [ "$1" = fail ] && ! grep -q "^$2:1: " "$here/out"; then
		number=$((number + 1))
		echo "not ok $number - $4: names file and line"
	fi
	rm "$here/$2"
}
expect pass net/a.c '"base/bytes.h"' "a lower floor may be included"
expect pass api/a.c '"run/engine.h"' "a floor may skip floors on the way down"
expect pass cell/a.c '"base/frame.h"' "the cell sees base"
expect fail net/a.c '"api/pages.h"' "an include that climbs is refused"
expect fail base/a.h '"net/loop.h"' "a header that climbs is refused"
expect fail run/a.c '"../api/pages.h"' "a relative include is refused"
expect fail run/a.c '"pages.h"' "an include that names no floor is refused"
expect fail cell/a.c '"run/engine.h"' "the cell does not see the host"
expect fail run/a.c '"cell/vm.h"' "the host does not see the cell"
expect fail api/a.c '<sqlite3.h>' "SQLite belongs to store/sqlite"
expect pass store/sqlite/a.c '<sqlite3.h>' "store/sqlite may use SQLite"
expect fail run/a.c '<event2/event.h>' "libevent belongs to net"
expect fail run/a.c '<lua.h>' "the host has no interpreter"
expect fail run/a.c '<seccomp.h>' "seccomp belongs to the cell"
expect fail base/a.c '<sodium.h>' "sodium belongs to base/crypto.c"
expect fail store/sqlite/a.c '<libpq-fe.h>' "libpq belongs to store/postgres"
expect fail run/a.c '<hiredis/hiredis.h>' "hiredis belongs to net"
expect fail run/a.c '<curl/curl.h>' "libcurl belongs to llm and net"

number=$((number + 1))
if "$top/tools/floors.sh" "$top/core"; then echo "ok $number - core itself is clean"; else echo "not ok $number - core itself is clean"; fi
number=$((number + 1))
if make -C "$top" -n floors BUILD="$here/build" | grep -q tools/floors.sh; then
	echo "ok $number - the build runs the lint"
else
	echo "not ok $number - the build runs the lint"
fi
echo "1..$number"
