#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# bytecode.sh PYTHON ROOT: compiles the modules below ROOT/usr/lib/xdpctl, because at boot the network
# waits for the rules. Of the libraries only the compiled modules stay: their sources are published
# under the versions of requirements.lock. Sources of xdpctl stay, and those of Apprise's plugins:
# it looks for them by the names of their sources.
set -eu
python=$1 root=$2
list=$(mktemp)
trap 'rm -f "$list"' EXIT
trap 'exit 130' INT TERM
cd "$root/usr/lib/xdpctl"

# compile PART OPTION...: compileall, with the paths that the modules have when they are installed
compile() {
	module=$root/usr/lib/xdpctl/$1
	shift
	"$python" -m compileall -q -s "$root" -p / "$@" "$module"
}

find . -depth -name __pycache__ -exec rm -rf {} +
for place in python/lib/python3.* lib/python3.*/site-packages; do
	[ -d "$place" ] || continue
	find "$place" -mindepth 1 -maxdepth 1 \( -type d -o -name '*.py' \) | LC_ALL=C sort >"$list"
	while read -r part; do
		case ${part##*/} in
		xdpctl | xdpctl_api)
			compile "$part"
			;;
		apprise)
			compile "$part/plugins"
			compile "$part" -b -x /apprise/plugins/
			find "$part" -name '*.py' ! -path "$part/plugins/*" -delete
			;;
		*)
			compile "$part" -b
			find "$part" -name '*.py' -delete
			;;
		esac
	done <"$list"
done
