#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# image.sh OUT DEB...: makes a container image (OCI) with the Debian packages, in a minimal root of
# this machine's release. OUT gets the folder `image` in OCI's layout, the root folder `root`, and
# xdpctl-image.tar, which podman and docker load. It needs root, and no container engine.
set -eu
out=$1
shift
version=$(dpkg-deb -f "$1" Version)
architecture=$(dpkg-deb -f "$1" Architecture)
# shellcheck disable=SC1091  # of this machine
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -rf --one-file-system "$out/root" "$out/image" "$out/xdpctl-image.tar"
include=ca-certificates,ethtool,systemd-standalone-sysusers
for deb; do
	include=$include,$(realpath "$deb")
done
mmdebstrap --quiet --variant=essential --include="$include" \
	--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	"$suite" "$out/root"

layout=$out/image
umoci init --layout "$layout"
umoci new --image "$layout:$version"
umoci insert --image "$layout:$version" --history.created_by "packaging/image.sh" "$out/root" /
umoci config --image "$layout:$version" --no-history --architecture "$architecture" --os linux \
	--created "$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" \
	--config.entrypoint xdpctl --config.cmd run \
	--config.env PATH=/usr/sbin:/usr/bin:/sbin:/bin --config.stopsignal SIGTERM \
	--config.volume /var/lib/xdpctl \
	--config.label org.opencontainers.image.title=xdpctl \
	--config.label "org.opencontainers.image.version=$version" \
	--config.label org.opencontainers.image.licenses=GPL-2.0-or-later
umoci gc --layout "$layout"
skopeo copy --quiet "oci:$layout:$version" "oci-archive:$out/xdpctl-image.tar:xdpctl:$version"
echo "$out/xdpctl-image.tar"
