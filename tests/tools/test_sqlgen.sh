#!/bin/sh
# The generators of the store: what they make of good files, and that they name file and line of bad ones.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
number=0
check() {
	number=$((number + 1))
	if [ "$1" = 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; sed 's/^/# /' "$here/log"; fi
}
has() { grep -qF -- "$2" "$here/$1"; }

# refused TEXT PART TITLE: the statement file is refused with this part in the message, and nothing is made
refused() {
	printf '%s\n' "$1" >"$here/bad.sql"
	rm -rf "$here/out"
	"$top/tools/sqlgen.sh" "$here/out" "$here/bad.sql" >"$here/log" 2>&1
	[ $? != 0 ] && has log "bad.sql:" && has log "$2" && [ ! -e "$here/out/statements.h" ]
	check $? "$3"
}

cat >"$here/good.sql" <<'SQL'
-- A file may begin with prose.

-- name: thing_get
-- scope: tenant
-- params: kind:text
--   id
-- purpose: one row
SELECT "a" FROM things
-- a comment inside
WHERE kind = ?1 AND id = ?2 AND note <> 'back\slash';

-- name: all_list
-- scope: platform
-- params:
SELECT 1;
SQL
"$top/tools/sqlgen.sh" "$here/out" "$here/good.sql" >"$here/log" 2>&1
check $? "a good file is taken"
has out/statements.h STATEMENT_thing_get && has out/statements.h STATEMENT_all_list && has out/statements.h STATEMENT_COUNT
check $? "the enum has every statement"
has out/statements.c '{ "thing_get", false, 2,' && has out/statements.c '{ "all_list", true, 0,'
check $? "the table has scope and number of parameters"
has out/statements.c 'SELECT \"a\" FROM things\n' && has out/statements.c "'back\\\\slash'" && ! has out/statements.c "comment inside"
check $? "the SQL is quoted for C, without comments"

refused '-- name: a
-- params:
SELECT 1;' "scope must be" "a statement without scope is refused"
refused '-- name: a
-- scope: tenant
SELECT 1;' "params" "a statement without params is refused"
refused '-- name: a
-- scope: tenant
-- params:' "no SQL" "a statement without SQL is refused"
refused 'SELECT 1;' "before the first" "SQL without a name is refused"
refused '-- name: A b' "is no C name" "a name that is none is refused"
refused '-- name: a
-- scope: tenant
-- params:
SELECT 1;
-- name: a
-- scope: tenant
-- params:
SELECT 1;' "already in" "a name twice is refused"

mkdir -p "$here/migrations/tenant/sqlite"
printf 'CREATE TABLE a (b TEXT);\n' >"$here/migrations/tenant/sqlite/0001_create_a.sql"
"$top/tools/migrationsgen.sh" "$here/m.c" "$here/migrations" >"$here/log" 2>&1 && has m.c '{ "tenant", "sqlite", 1, "create_a",'
check $? "migrations are embedded with chain, engine, number and name"
printf 'SELECT 1;\n' >"$here/migrations/tenant/sqlite/0003_skip.sql"
! "$top/tools/migrationsgen.sh" "$here/m2.c" "$here/migrations" >"$here/log" 2>&1 && has log "2 was due" && [ ! -e "$here/m2.c" ]
check $? "a gap in the numbers is refused"
echo "1..$number"
