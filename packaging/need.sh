#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# need.sh PACKAGE...: installs missing Debian packages, or names them if it is not root.
set -eu
missing=
for package; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing:$missing; install them first, for example: sudo apt-get install$missing" >&2
	exit 1
fi
echo "installing$missing ..."
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
	apt-get update -qq >/dev/null
	apt-get install -qq -y --no-install-recommends $missing >/dev/null
}
