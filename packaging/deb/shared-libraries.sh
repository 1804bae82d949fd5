#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# shared-libraries.sh FOLDER PROGRAM: the packages of the distribution whose shared libraries the
# files below the folder need, as a Depends field names them. PROGRAM is one of these files, or it is
# not below the folder.
set -eu
folder=$1 program=$2
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
mkdir "$place/debian"
printf 'Source: xdpctl\nPackage: xdpctl\n' >"$place/debian/control"
find "$folder" -type f \( -name '*.so' -o -name '*.so.*' -o -path "$program" \) >"$place/files"
[ -s "$place/files" ] || exit 0
# a library that a wheel has for itself belongs to no package
private=$(find "$folder" -type d -name '*.libs')
cd "$place"
set --
while read -r file; do
	set -- "$@" "$file"
done <"$place/files"
dpkg-shlibdeps -O --warnings=0 --ignore-missing-info ${private:+"-l$private"} "$@" |
	sed -n 's/^shlibs:Depends=//p'
