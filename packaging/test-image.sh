#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test-image.sh OUT: tries the image of image.sh as a container engine would run it: its root folder
# unpacked from the layout, in namespaces, with the folders and the capabilities that the
# documentation names. The filter must go on while no container runs. Needs root.
set -eu
out=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
trap 'rm -rf --one-file-system "$place"' EXIT
trap 'exit 130' INT TERM
tag=$(umoci ls --layout "$out/image")
umoci unpack --image "$out/image:$tag" "$place/bundle" >/dev/null
skopeo inspect --config "oci-archive:$out/xdpctl-image.tar" | tr -d ' \n' | grep -q '"Entrypoint":\["xdpctl"\]' || {
	echo "test-image: the archive does not start xdpctl" >&2
	exit 1
}
unshare --mount --net --propagation private "$here/try-image.sh" "$place" "$place/bundle/rootfs"
