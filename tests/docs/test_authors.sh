#!/bin/sh
# Follows docs/authors.md: takes its playbook out of the page, puts it beside the others, and reads a conversation with it.
# usage: tests/docs/test_authors.sh [PERIGEE]   exit 0 when the third scorecard says what the page promises
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
perigee=${1:-${PERIGEE_PROGRAM:-$root/build/perigee}}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cp -r "$root/scripts" "$root/methodology" "$work/"
awk '/^```lua$/ && !done { on = 1; next } /^```$/ && on { on = 0; done = 1 } on' "$root/docs/authors.md" >"$work/methodology/renewal.lua"
[ -s "$work/methodology/renewal.lua" ] || { echo "docs/authors.md has no playbook in a lua block" >&2; exit 1; }
"$perigee" check --root "$work"
cat >"$work/input.json" <<'INPUT'
{"deal": "d1", "conversation": {"form": "transcript",
 "text": "Rep: Do you use the platform?\nCustomer: No, hardly anybody ever logs in.\nRep: When does the contract end?\nCustomer: It ends in June.\n"}}
INPUT
cd "$work"
out=$(PERIGEE_STORE="sqlite:$work/store" "$perigee" run sales.qualify --root "$work" --input "$work/input.json")
for part in '"renewal":{"blocker":"usage"' '"quote":"No, hardly anybody ever logs in."' '"quote":"It ends in June."' '"action":"'; do
  case $out in
    *"$part"*) ;;
    *) echo "not in the output: $part" >&2; echo "$out" >&2; exit 1 ;;
  esac
done
echo "ok 1 - the third playbook of docs/authors.md works"

block() { # the lua block with this word behind its fence
  awk -v fence="\`\`\`lua $1" '$0 == fence { on = 1; next } /^```$/ { on = 0 } on' "$root/docs/authors.md"
}
mkdir -p "$work/spec"
block agent >"$work/scripts/agents/renewals.lua"
block spec >"$work/spec/renewals_spec.lua"
"$perigee" check --root "$work"
"$perigee" test --root "$work" --output tap spec/renewals_spec.lua >"$work/tap" || { cat "$work/tap" >&2; exit 1; }
grep -q '^ok 1 .*hands each contract on' "$work/tap" || { cat "$work/tap" >&2; exit 1; }
echo "ok 2 - the agent of docs/authors.md and its spec work"
