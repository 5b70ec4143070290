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

mkdir -p "$here/lite" "$here/pg"

# made: run the generator on what lies in lite/ and pg/
made() {
	rm -rf "$here/out"
	"$top/tools/sqlgen.sh" "$here/out" "$here/lite" "$here/pg" >"$here/log" 2>&1
}
# refused FILE TEXT PART TITLE: with this file the folders are refused with file, line and this part in the message, and nothing is made
refused() {
	cp "$here/$1" "$here/kept"
	printf '%s\n' "$2" >"$here/$1"
	made
	[ $? != 0 ] && grep -qE "$1:[0-9]+: " "$here/log" && has log "$3" && [ ! -e "$here/out/statements.h" ]
	check $? "$4"
	cp "$here/kept" "$here/$1"
}

cat >"$here/lite/good.sql" <<'SQL'
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
cat >"$here/pg/good.sql" <<'SQL'
-- name: all_list
-- scope: platform
-- params:
SELECT 1;

-- name: thing_get
-- scope: tenant
-- params: kind:text id:int?
SELECT "a" FROM things
WHERE tenant_id = $tenant AND kind = $1 AND id = $2;

-- name: thing_get_many
-- scope: tenant
-- only: postgres
-- many: thing_get uncounted
-- params: kind:text id:int
UPDATE things SET a = 1 WHERE tenant_id = $tenant AND kind = ANY ($1);

-- name: all_list_many
-- scope: platform
-- only: postgres
-- many: all_list answers
-- params:
SELECT 1, 1;
SQL
made
check $? "good folders are taken"
has out/statements.h STATEMENT_thing_get && has out/statements.h STATEMENT_all_list && has out/statements.h STATEMENT_COUNT
check $? "the enum has every statement"
has out/statements.c '[STATEMENT_thing_get] = { "thing_get", false, 2,' && has out/statements.c '[STATEMENT_all_list] = { "all_list", true, 0,'
check $? "the table has scope and number of parameters"
has out/statements.c 'SELECT \"a\" FROM things\n' && has out/statements.c "'back\\\\slash'" && ! has out/statements.c "comment inside"
check $? "the SQL is quoted for C, without comments"
has out/statements.c 'WHERE tenant_id = $3 AND kind = $1' && has out/statements.c '"ti", .writes = false, .many = 1 + STATEMENT_thing_get_many'
check $? "PostgreSQL has types, and the tenant is the parameter after the last"
has out/statements.c '"ti", .writes = true, .many_of = 1 + STATEMENT_thing_get, .uncounted = true' && has out/statements.c '{ .name = "thing_get_many" }'
check $? "a form for many knows its statement; the other engine has none"
has out/statements.c '.many_of = 1 + STATEMENT_all_list, .answers = true'
check $? "a form for many may answer"

refused lite/good.sql '-- name: a
-- params:
SELECT 1;' "scope must be" "a statement without scope is refused"
refused lite/good.sql '-- name: a
-- scope: tenant
SELECT 1;' "params" "a statement without params is refused"
refused lite/good.sql '-- name: a
-- scope: tenant
-- params:' "no SQL" "a statement without SQL is refused"
refused lite/good.sql 'SELECT 1;' "before the first" "SQL without a name is refused"
refused lite/good.sql '-- name: A b' "is no C name" "a name that is none is refused"
refused lite/good.sql '-- name: a
-- scope: tenant
-- params:
SELECT 1;
-- name: a
-- scope: tenant
-- params:
SELECT 1;' "already in" "a name twice is refused"

one_of_two() { sed "$1" "$here/pg/good.sql"; }
refused pg/good.sql "$(one_of_two 's/kind:text id:int?/kind:text/')" "parameters here" "another number of parameters than SQLite's is refused"
refused pg/good.sql "$(one_of_two 's/id:int?/id/')" "needs a type" "a parameter without type is refused"
refused pg/good.sql "$(one_of_two 's/id:int?/id:jsonb/')" "the types are" "an unknown type is refused"
refused pg/good.sql "$(one_of_two 's/tenant_id = $tenant AND //')" 'no $tenant' "a statement that does not name the tenant is refused"
refused pg/good.sql "$(one_of_two 's/name: thing_get_many/name: other/; s/^-- only.*//')" "has no counterpart for SQLite" "a statement of PostgreSQL alone is refused"
refused pg/good.sql "$(one_of_two 's/many: thing_get/many: thing_put/')" "which there is not" "a form for many of nothing is refused"
refused pg/good.sql "$(one_of_two 's/scope: platform/scope: tenant/; s/SELECT 1/SELECT $tenant/')" "its scope is another" "another scope than SQLite's is refused"
cp "$here/pg/good.sql" "$here/kept.sql"
printf -- '-- name: all_list\n-- scope: platform\n-- params:\nSELECT 1;\n' >"$here/pg/good.sql"
! made && has log "lite/good.sql:3: statement thing_get has no counterpart for PostgreSQL"
check $? "a statement of SQLite alone is refused"
cp "$here/kept.sql" "$here/pg/good.sql"

mkdir -p "$here/migrations/tenant/sqlite"
printf 'CREATE TABLE a (b TEXT);\n' >"$here/migrations/tenant/sqlite/0001_create_a.sql"
"$top/tools/migrationsgen.sh" "$here/m.c" "$here/migrations" >"$here/log" 2>&1 && has m.c '{ "tenant", "sqlite", 1, "create_a",'
check $? "migrations are embedded with chain, engine, number and name"
printf 'SELECT 1;\n' >"$here/migrations/tenant/sqlite/0003_skip.sql"
! "$top/tools/migrationsgen.sh" "$here/m2.c" "$here/migrations" >"$here/log" 2>&1 && has log "2 was due" && [ ! -e "$here/m2.c" ]
check $? "a gap in the numbers is refused"
echo "1..$number"
