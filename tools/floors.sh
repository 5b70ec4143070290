#!/bin/sh
# floors.sh [DIR]: does an include climb a floor, or a library appear outside its one owner? Prints file:line: reason; exit 1 then.
#
# Floors: base < net < store < run < llm < api < cli. A file includes from its own floor or one below. The cell is another
# program: it sees base/ and itself. DIR is the folder that holds the floors (default: core).
set -eu
cd "${1:-core}"
find . -name '*.[ch]' | LC_ALL=C sort | xargs grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' /dev/null | awk '
function level(folder) { return (folder in height) ? height[folder] : 0 }
function fault(why) { print file ":" line ": " why; bad = 1 }
BEGIN {
	n = split("base net store run llm api cli", order, " ")
	for (i = 1; i <= n; i++) height[order[i]] = i
	# header (a prefix of its name) -> pattern of the files that may include it
	owner["event2/"] = "^net/"; owner["event.h"] = "^net/"; owner["evhttp.h"] = "^net/"; owner["evdns.h"] = "^net/"
	owner["sqlite3"] = "^store/sqlite/"
	owner["libpq-fe.h"] = "^store/postgres/"; owner["postgresql/"] = "^store/postgres/"
	owner["curl/"] = "^(llm|net)/"
	owner["hiredis"] = "^net/"
	owner["lua.h"] = "^cell/"; owner["luajit"] = "^cell/"; owner["lauxlib.h"] = "^cell/"; owner["lualib.h"] = "^cell/"; owner["luaconf.h"] = "^cell/"
	owner["seccomp.h"] = "^cell/"; owner["linux/seccomp.h"] = "^cell/"
	owner["sodium"] = "^base/crypto[.]c$"
	owner["unicode/"] = "^base/zone[.]c$"
	owner["jansson.h"] = "^base/json"
}
{
	split($0, part, ":"); file = part[1]; sub(/^\.\//, "", file); line = part[2]
	text = $0; sub(/^[^:]*:[^:]*:/, "", text)
	quoted = text ~ /include[ \t]*"/
	match(text, /["<][^">]*[">]/); name = substr(text, RSTART + 1, RLENGTH - 2)
	split(file, folders, "/"); from = folders[1]
	for (header in owner)
		if (index(name, header) == 1 && file !~ owner[header])
			fault("<" name "> belongs to " owner[header] " alone: use what that folder offers")
	if (!quoted) next
	if (name ~ /^\.\.?\//) { fault("relative include \"" name "\": write it from core/, like \"base/bytes.h\""); next }
	slash = index(name, "/")
	if (!slash) { fault("include \"" name "\" names no floor: write it from core/"); next }
	to = substr(name, 1, slash - 1)
	if (from == "cell") {
		if (to != "cell" && to != "base") fault("the cell is another program and sees base/ only, not \"" name "\"")
	} else if (to == "cell") {
		fault("the host has no interpreter: \"" name "\" belongs to perigee-cell")
	} else if (level(from) && level(to) && level(to) > level(from)) {
		fault("include of \"" name "\" climbs from " from "/ to " to "/")
	}
}
END { exit bad }'
