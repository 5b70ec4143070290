#!/bin/sh
# dependencies.sh GROUP…: install what is missing of the groups build, test, lint, fuzz, peers. Debian and Ubuntu.
#
# Asks dpkg what is there, never the network; says nothing and does nothing when all of it is. Works as root and with sudo.
set -eu

build="gcc make pkg-config libc6-dev libevent-dev libsqlite3-dev libjansson-dev libsodium-dev uthash-dev libluajit-5.1-dev libseccomp-dev libpq-dev libhiredis-dev libcurl4-openssl-dev libicu-dev"
test="libcmocka-dev lua-check curl python3 luajit postgresql redis-server pgbouncer"
lint="cppcheck clang-tidy clang lua-check"
peers="nodejs npm"
fuzz="clang libclang-rt-14-dev"

wanted=""
for group in "$@"; do
	case $group in
	build) wanted="$wanted $build" ;;
	test) wanted="$wanted $test" ;;
	lint) wanted="$wanted $lint" ;;
	fuzz) wanted="$wanted $fuzz" ;;
	peers) command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || wanted="$wanted $peers" ;;
	*) echo "dependencies.sh: no group '$group': use build, test, lint, fuzz or peers" >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
	# Not Debian: the build says by itself what it misses, as long as the tools are there.
	for tool in "${CC:-cc}" make pkg-config; do
		command -v "$tool" >/dev/null 2>&1 && continue
		echo "Perigee: this is no Debian or Ubuntu, so nothing is installed for you, and '$tool' is missing." >&2
		echo "Install by hand what these packages hold:$wanted" >&2
		exit 3
	done
	for library in libevent sqlite3 jansson libsodium libpq hiredis libcurl icu-i18n luajit libseccomp; do
		pkg-config --exists "$library" && continue
		echo "Perigee: this is no Debian or Ubuntu, so nothing is installed for you, and pkg-config does not find '$library'." >&2
		echo "Install by hand what these packages hold:$wanted" >&2
		exit 3
	done
	exit 0
fi

# One call: "ii  name" for each package that is there, also under its architecture's name; nothing for one that dpkg never saw.
present=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^.i. *//p') || true
missing=""
for package in $wanted; do
	case "
$present
" in
	*"
$package
"*) ;;
	*) case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac ;;
	esac
done
[ -n "$missing" ] || exit 0

echo "Perigee needs packages that are not installed yet:$missing"
sudo=""
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "Perigee: neither root nor sudo here. Ask an administrator to run: apt-get install --no-install-recommends$missing" >&2
		exit 3
	fi
	sudo="sudo"
fi
# Tests start servers of their own. Those that come with a package are not started (RUNLEVEL: by init scripts, SYSTEMD_OFFLINE: by systemctl), now or at the
# next boot; one that was there before is left as it is.
install() {
	$sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 $missing &&
		keep_servers_off
}
keep_servers_off() {
	[ -d /run/systemd/system ] || return 0
	for server in postgresql redis-server pgbouncer; do
		case " $missing " in *" $server "*) $sudo systemctl disable --now --quiet "$server" || return 1 ;; esac
	done
}
# The package lists of a fresh machine are empty or old: fetch them only when the first try does not get there.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if install >"$log" 2>&1; then
	echo "Installed."
	exit 0
fi
echo "Fetching the package lists first (apt-get update) …"
if $sudo apt-get update -q >>"$log" 2>&1 && install >>"$log" 2>&1; then
	echo "Installed."
	exit 0
fi
tail -n 15 "$log" >&2
echo "Perigee: apt-get could not install$missing (see above). Mend that, then run the same command again." >&2
exit 3
