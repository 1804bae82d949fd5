#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test-distros.sh [SUITE...]: builds the packages of this checkout in a root folder of each
# distribution, installs them with apt in another one, which has no Python, and lets the filter drop
# packets there, in namespaces. Prints a line of a table for each; needs root. Without arguments:
# Debian 12, Debian 13 and Ubuntu 24.04.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tools=${TOOLS:-.venv/bin/python}
place=$(mktemp -d)
trap 'rm -rf --one-file-system "$place"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$place"
[ $# -gt 0 ] || set -- bookworm trixie noble
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)

# bootstrap SUITE ROOT PACKAGES: the mirrors are those that mmdebstrap knows for the suite
bootstrap() {
	case $1 in
	noble)
		mmdebstrap --quiet --variant=apt --components=main,universe --include="$3" \
			--keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg "$1" "$2"
		;;
	*)
		mmdebstrap --quiet --variant=apt --include="$3" "$1" "$2"
		;;
	esac
	cp /etc/resolv.conf "$2/etc/"
}

# in_root ROOT COMMAND...: with this machine's network and certificates
in_root() {
	root=$1
	shift
	# shellcheck disable=SC2016  # of the inner shell
	unshare --mount --pid --fork --kill-child sh -c '
		set -e
		mount --make-rprivate /
		mount -t proc proc "$0/proc"
		mount --rbind /dev "$0/dev"
		mkdir -p "$0/etc/ssl/certs"
		mount --bind -o ro /etc/ssl/certs "$0/etc/ssl/certs"
		root=$0
		exec chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root \
			PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' "$root" "$@"
}

# build ROOT: the packages, in /packages of the root
build() {
	mkdir "$1/project"
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$1/project"
	$tools -m tools.requirements fleet bgp xarf >"$1/project/wanted"
	echo hatchling >>"$1/project/wanted"
	sed -n 's/^\(pip==[^ ]*\).*/\1/p' requirements.lock >"$place/pip"
	$tools -m tools.requirements --locked "$place/pip" >"$1/project/pip.lock"
	# shellcheck disable=SC2016  # of the inner shell
	in_root "$1" sh -ec '
		cd /project
		python3 -m venv .venv
		.venv/bin/python -m pip install --quiet --require-hashes --requirement pip.lock
		.venv/bin/python -m pip install --quiet --no-warn-conflicts --require-hashes \
			--constraint requirements.lock --requirement wanted
		.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
		SOURCE_DATE_EPOCH=$1 packaging/deb/build.sh /packages' sh "$SOURCE_DATE_EPOCH"
}

echo "| distribution | Python in the package | glibc | package | installed | tried |"
echo "|---|---|---|---|---|---|"
for suite; do
	bootstrap "$suite" "$place/build" \
		python3,python3-dev,python3-venv,python3-bpfcc,g++,libc6-dev,dpkg-dev,ca-certificates
	build "$place/build" >"$place/log" 2>&1 || {
		cat "$place/log" >&2
		echo "test-distros: the packages are not built in $suite" >&2
		exit 1
	}
	bootstrap "$suite" "$place/box" iproute2,iputils-ping
	[ ! -e "$place/box/usr/bin/python3" ] || echo "note: the box of $suite has a Python" >&2
	mkdir "$place/box/packages"
	cp "$place"/build/packages/*.deb "$place/box/packages/"
	in_root "$place/box" sh -ec 'apt-get update -qq
		apt-get install -qq -y --no-install-recommends /packages/*.deb' >"$place/log" 2>&1 || {
		cat "$place/log" >&2
		echo "test-distros: apt does not install the packages in $suite" >&2
		exit 1
	}
	cp "$here/try-box.sh" "$place/box/packages/"
	tried=$(unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
		"$here/enter-root.sh" "$place/box" sh /packages/try-box.sh)
	# shellcheck disable=SC1091  # of the box
	name=$(. "$place/box/etc/os-release" && echo "$PRETTY_NAME")
	set -- "$place"/box/packages/xdpctl_*.deb
	python=$(dpkg-deb -f "$1" Built-Using | sed 's/.*= \(.*\))/\1/')
	glibc=$(chroot "$place/box" ldd --version | sed -n '1s/.* //p')
	size=$(($(stat -c %s "$1") / 1000000))
	installed=$(($(dpkg-deb -f "$1" Installed-Size) / 1000))
	echo "| $name | $python | $glibc | $size MB | $installed MB | $tried |"
	rm -rf --one-file-system "$place/build" "$place/box"
done
