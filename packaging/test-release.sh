#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test-release.sh: makes a release with a key of its own, and lets apt verify and fetch its packages.
set -eu
place=$(mktemp -d)
trap 'gpgconf --homedir "$place/gpg" --kill all 2>/dev/null || true; rm -rf "$place"' EXIT
trap 'exit 130' INT TERM
GNUPGHOME=$place/gpg
export GNUPGHOME
mkdir -m 700 "$GNUPGHOME"
key=release@example.org
gpg --batch --quiet --passphrase '' --quick-generate-key "$key" ed25519 sign never
packaging/release.sh "$place/out" "$key" >/dev/null

(cd "$place/out" && sha256sum --quiet --check SHA256SUMS && gpg --quiet --verify SHA256SUMS.asc SHA256SUMS)
root=$place/root
mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial" "$root/etc"
touch "$root/status"
from() {
	echo "deb [signed-by=$1] file://$place/out/apt stable main" >"$root/etc/sources.list"
}
fetch() {
	cd "$root" && apt-get -qq -o Dir::Etc="$root/etc" -o Dir::State="$root/state" \
		-o Dir::State::status="$root/status" -o Dir::Cache="$root/cache" -o APT::Sandbox::User=root "$@"
}
from "$place/out/apt/xdpctl.gpg"
(fetch update)
for each in xdpctl xdpctl-fleet xdpctl-bgp; do
	(fetch download "$each")
	cmp "$root/${each}"_*.deb "$place/out/${each}"_*.deb
done
# a repository that somebody changed is refused
sed -i 's/^Suite: stable/Suite: stolen/' "$place/out/apt/dists/stable/InRelease"
rm "$place/out/apt/dists/stable/Release.gpg"
rm -r "$root/state/lists" && mkdir -p "$root/state/lists/partial"
if (fetch update) 2>/dev/null; then
	echo "test-release: apt took a changed repository" >&2
	exit 1
fi
echo "test-release: two builds are one file; apt verified and fetched it"
ls -l "$place/out"
