#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# release.sh OUT KEY: builds what is published of this commit: the Debian packages, a signed static
# apt repository with them, wheel and source archive, an SBOM of the packages, notes, and checksums.
# KEY names the signing key of gpg. The packages are built twice, and both builds must be the same.
set -eu
out=$1 key=$2
tools=${TOOLS:-.venv/bin/python}
version=$($tools -c 'import xdpctl; print(xdpctl.__version__)')
suite=stable
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
if [ -n "$(git status --porcelain)" ]; then
	echo "release: there are changes that are not committed" >&2
	exit 1
fi
mkdir -p "$out"
if [ -n "$(ls -A "$out")" ]; then
	echo "release: $out is not empty, and all that is in it would be signed: empty it first" >&2
	exit 1
fi
out=$(cd "$out" && pwd)
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT
trap 'exit 130' INT TERM

packaging/deb/build.sh "$out" >"$again/files"
packaging/deb/build.sh "$again" >/dev/null
set --
while read -r deb; do
	set -- "$@" "$deb"
	if ! cmp -s "$deb" "$again/$(basename "$deb")"; then
		echo "release: two builds of $(basename "$deb") differ" >&2
		exit 1
	fi
done <"$again/files"
architecture=$(dpkg-deb -f "$1" Architecture)
$tools -m hatchling build --directory "$out" >/dev/null
packaging/sbom.sh "$out/xdpctl_$version.cdx.json" "$@"
$tools -m tools.notes "$version" >"$out/NOTES.md"

repository=$out/apt
pool=$repository/pool/main
index=$repository/dists/$suite/main/binary-$architecture
mkdir -p "$pool" "$index"
cp "$@" "$pool/"
(cd "$repository" && apt-ftparchive packages pool) >"$index/Packages"
gzip -9nk "$index/Packages"
release=$repository/dists/$suite
apt-ftparchive \
	-o APT::FTPArchive::Release::Origin=xdpctl -o APT::FTPArchive::Release::Label=xdpctl \
	-o "APT::FTPArchive::Release::Suite=$suite" -o APT::FTPArchive::Release::Components=main \
	-o "APT::FTPArchive::Release::Architectures=$architecture" \
	release "$release" >"$again/Release"
mv "$again/Release" "$release/Release"
sign() {
	gpg --batch --yes --local-user "$key" --armor "$@"
}
sign --output "$release/InRelease" --clearsign "$release/Release"
sign --output "$release/Release.gpg" --detach-sign "$release/Release"
gpg --batch --yes --output "$repository/xdpctl.gpg" --export "$key"
(cd "$out" && find . -maxdepth 1 -type f ! -name 'SHA256SUMS*' -printf '%P\n' | sort |
	xargs sha256sum >SHA256SUMS)
sign --output "$out/SHA256SUMS.asc" --detach-sign "$out/SHA256SUMS"
echo "$out"
