#!/bin/sh
# sqlgen.sh OUTDIR SQLITE_FOLDER POSTGRES_FOLDER: make OUTDIR/statements.h (enum statement) and OUTDIR/statements.c (a table for each engine) of
# the named statements in the .sql files of two folders.
#
# A statement in a .sql file:
#     -- name: record_get              a C name, unique over all files of its folder
#     -- scope: tenant                 tenant or platform: whose database it runs in
#     -- params: kind:text id:text     ?1, ?2 … in SQLite, $1, $2 … in PostgreSQL; types int, text, json, blob, and `?` after one: may be null
#     -- purpose: one row or none      for people, as is every comment line after the headers; `params` may go on in indented comment lines
#     -- only: postgres                there is none of this name for the other engine
#     -- many: run_append uncounted    (PostgreSQL) this is the form for many of that statement: the same parameters, each an array. Every one
#                                      of them changes one row; `uncounted`: however many, and nobody asks; `answers`: it answers with the
#                                      rows of all, led by the number of the element (from 1) that each is for
#     SELECT … ;
# It ends where the next `-- name:` begins. Comment lines inside are dropped. PostgreSQL: types are required, and $tenant, the tenant's name,
# becomes the parameter after the last; every statement of a tenant names it. Both engines have the same statements with as many parameters.
set -eu
[ $# -eq 3 ] || { echo "usage: sqlgen.sh OUTDIR SQLITE_FOLDER POSTGRES_FOLDER" >&2; exit 2; }
outdir=$1
mkdir -p "$outdir"
trap 'rm -f "$outdir/statements.h.$$" "$outdir/statements.c.$$"' EXIT
list() { for file in "$1"/*.sql; do [ ! -e "$file" ] || printf '%s\n' "$file"; done; }
sqlite=$(list "$2")
postgres=$(list "$3")
[ -n "$sqlite" ] || { echo "$2: no .sql files" >&2; exit 1; }
IFS='
'
# shellcheck disable=SC2086 # one file a line
LC_ALL=C awk -v header="$outdir/statements.h.$$" -v table="$outdir/statements.c.$$" '
function fault(why) { print FILENAME ":" FNR ": " why | "cat 1>&2"; bad = 1 }
function fault_at(where, why) { print where ": " why | "cat 1>&2"; bad = 1 }
function trimmed(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }
# "itb": the letter of each type, or "" with a fault
function letters(list, n,    i, s, type) {
	s = ""
	for (i = 1; i <= n; i++) {
		type = list[i]
		if (!sub(/^[a-z][a-z0-9_]*:/, "", type)) { fault_at(place[of, name], "parameter " list[i] " of " name " needs a type: " list[i] ":text"); return "" }
		sub(/\?$/, "", type)
		if (type == "int") s = s "i"
		else if (type == "text" || type == "json") s = s "t"
		else if (type == "blob") s = s "b"
		else { fault_at(place[of, name], "parameter " list[i] " of " name ": the types are int, text, json, blob"); return "" }
	}
	return s
}
function finish(    n, list, words) {
	if (name == "") return
	if (value["scope"] != "tenant" && value["scope"] != "platform") fault("statement " name ": scope must be tenant or platform")
	if (!("params" in value)) fault("statement " name ": no `-- params:`")
	if (sql == "") fault("statement " name ": no SQL")
	if ("only" in value && value["only"] != of) fault("statement " name ": `-- only:` names the engine of this folder, " of)
	n = split(value["params"], list, " ")
	types[of, name] = ""
	if (of == "postgres") {
		types[of, name] = letters(list, n)
		if (value["scope"] == "tenant" && sql !~ /\$tenant/) fault_at(place[of, name], "statement " name ": no $tenant")
		if (value["scope"] == "platform" && sql ~ /\$tenant/) fault_at(place[of, name], "statement " name " is of the platform: no $tenant there")
		gsub(/\$tenant/, "$" (n + 1), sql)
		if ("many" in value) {
			split(value["many"], words, " ")
			many_of[name] = words[1]; uncounted[name] = words[2] == "uncounted"; answers[name] = words[2] == "answers"
			if (words[2] != "" && words[2] != "uncounted" && words[2] != "answers") fault_at(place[of, name], "statement " name ": many: NAME, NAME uncounted or NAME answers")
		}
	}
	if (!(name in known)) { known[name] = 1; names[++count] = name }
	scope[of, name] = value["scope"]; params[of, name] = n; sqls[of, name] = sql; only[of, name] = "only" in value
	writes[of, name] = sql ~ /(INSERT INTO|UPDATE [a-z"]|DELETE FROM|MERGE INTO)/
	name = ""; sql = ""
}
function begin(s,    key) {
	finish()
	name = s
	for (key in value) delete value[key]
	if (name !~ /^[a-z][a-z0-9_]*$/) fault("statement name \"" name "\" is no C name of lower-case letters")
	if ((engine, name) in place) fault("statement " name " is already in " place[engine, name])
	place[engine, name] = FILENAME ":" FNR
}
FNR == 1 { finish(); key = ""; of = engine }
/^--/ {
	text = $0; sub(/^--/, "", text)
	if (match(text, /^ (name|scope|params|purpose|only|many):/) && (sql == "" || text ~ /^ name:/)) {
		key = substr(text, 2, RLENGTH - 2)
		text = trimmed(substr(text, RLENGTH + 1))
		if (key == "name") { begin(text); next }
		value[key] = text
	} else if (name != "" && sql == "" && key == "params" && text ~ /^[ \t][ \t]/) {
		value[key] = value[key] " " trimmed(text)
	}
	next
}
/[^ \t]/ {
	if (name == "") { fault("SQL before the first `-- name:`"); next }
	line = trimmed($0)
	gsub(/\\/, "&&", line); gsub(/"/, "\\\\&", line)
	sql = sql "\n\t\t\"" line "\\n\""
}
function pair(name,    other) {
	if ((("sqlite", name) in place) && !(("postgres", name) in place) && !only["sqlite", name])
		fault_at(place["sqlite", name], "statement " name " has no counterpart for PostgreSQL (or mark it `-- only: sqlite`)")
	if ((("postgres", name) in place) && !(("sqlite", name) in place) && !only["postgres", name])
		fault_at(place["postgres", name], "statement " name " has no counterpart for SQLite (or mark it `-- only: postgres`)")
	if (!(("sqlite", name) in place) || !(("postgres", name) in place)) return
	if (only["sqlite", name] || only["postgres", name]) fault_at(place["postgres", name], "statement " name " is marked as of one engine, and both have it")
	if (params["sqlite", name] != params["postgres", name])
		fault_at(place["postgres", name], "statement " name " has " params["postgres", name] " parameters here, " params["sqlite", name] " in " place["sqlite", name])
	if (scope["sqlite", name] != scope["postgres", name])
		fault_at(place["postgres", name], "statement " name ": its scope is another in " place["sqlite", name])
}
function check_many(name,    one) {
	one = many_of[name]
	if (!(("postgres", one) in place)) { fault_at(place["postgres", name], "statement " name " is for many of " one ", which there is not"); return }
	if (types["postgres", one] != types["postgres", name]) fault_at(place["postgres", name], "statement " name " has other parameters than " one)
	many[one] = name
}
function entry(which, name,    s) {
	if (!((which, name) in place)) return "{ .name = \"" name "\" }"
	s = "{ \"" name "\", " (scope[which, name] == "platform" ? "true" : "false") ", " params[which, name] "," sqls[which, name] ","
	s = s "\n\t\t\"" types[which, name] "\", .writes = " (writes[which, name] ? "true" : "false")
	if (which == "postgres" && name in many_of) s = s ", .many_of = 1 + STATEMENT_" many_of[name] (uncounted[name] ? ", .uncounted = true" : "") (answers[name] ? ", .answers = true" : "")
	if (which == "postgres" && name in many) s = s ", .many = 1 + STATEMENT_" many[name]
	return s " }"
}
function write_table(which,    i) {
	print "\nconst struct store_statement " which "_statements[STATEMENT_COUNT] = {" > table
	for (i = 1; i <= count; i++) print "\t[STATEMENT_" names[i] "] = " entry(which, names[i]) "," > table
	print "};" > table
}
END {
	finish()
	for (i = 1; i <= count; i++) pair(names[i])
	for (i = 1; i <= count; i++) if (names[i] in many_of) check_many(names[i])
	if (bad) exit 1
	print "/* Generated by tools/sqlgen.sh. */\n#pragma once\n\nenum statement {" > header
	for (i = 1; i <= count; i++) print "\tSTATEMENT_" names[i] "," > header
	print "\tSTATEMENT_COUNT\n};" > header
	print "/* Generated by tools/sqlgen.sh. */\n#include \"store/engine.h\"" > table
	write_table("sqlite")
	write_table("postgres")
}' engine=sqlite $sqlite engine=postgres $postgres
for file in statements.h statements.c; do
	mv "$outdir/$file.$$" "$outdir/$file"
done
