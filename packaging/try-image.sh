#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# try-image.sh FOLDER ROOTFS: the part of test-image.sh that runs in the namespaces of a box.
set -eu
place=$1 root=$2
# as docs/how-to/install.md names them
capabilities=bpf,perfmon,net_admin,sys_admin,chown,fowner,dac_override,dac_read_search,sys_ptrace,setuid,setgid,kill
container=

fail() {
	echo "try-image: $1" >&2
	[ ! -e "$place/log" ] || cat "$place/log" >&2
	exit 1
}

stop() {
	[ -z "$container" ] || kill -9 "$container" 2>/dev/null || true
	[ -z "$container" ] || wait "$container" 2>/dev/null || true
	container=
}
trap stop EXIT
trap 'exit 130' INT TERM

# contained COMMAND...: makes this subshell a container whose first process is the command. /run/xdpctl is shared with the
# box, so a mount below it stays when the container ends (bind-propagation=rshared).
contained() {
	# shellcheck disable=SC2016  # of the inner shell
	exec unshare --mount --pid --fork --kill-child --propagation unchanged sh -c '
		set -e
		root=$0 box=$1 capabilities=$2
		shift 2
		mount --bind "$root" "$root"
		mount --make-private "$root"
		mkdir -p "$root/run/xdpctl" "$root/var/lib/xdpctl"
		mount --rbind "$box/run" "$root/run/xdpctl"
		mount --bind "$box/state" "$root/var/lib/xdpctl"
		mount -t proc proc "$root/proc"
		mount -t sysfs -o ro sysfs "$root/sys"
		mount --rbind /dev "$root/dev"
		exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin setpriv \
			--bounding-set "-all,+$(echo "$capabilities" | sed "s/,/,+/g")" "$@"' \
		"$root" "$place" "$capabilities" "$@"
}

# start: starts a container that filters, and waits until it is ready
start() {
	contained xdpctl run -i port0 >"$place/log" 2>&1 &
	container=$!
	for _ in $(seq 300); do
		inside status >/dev/null 2>&1 && return
		kill -0 "$container" 2>/dev/null || fail "the container ended"
		sleep 0.1
	done
	fail "the container does not become ready"
}

# inside COMMAND...: xdpctl in the container that runs
inside() {
	first=$(pgrep --parent "$container") || return 1
	nsenter --target "$first" --mount --pid --root -- /usr/bin/env -i PATH=/usr/bin:/bin xdpctl "$@"
}

answered() {
	ip netns exec peer ping -n -q -c 3 -i 0.2 -W 1 192.0.2.1 >/dev/null
}

mkdir "$place/state" "$place/run"
mount -t tmpfs -o mode=755 tmpfs "$place/run"
mount --make-shared "$place/run"
mkdir -p /run/netns
mount -t tmpfs -o mode=755 tmpfs /run/netns # of this box
ip netns add peer
ip link set lo up
ip link add port0 type veth peer name port1 netns peer
ip addr add 192.0.2.1/24 dev port0
ip link set port0 up
ip -n peer addr add 192.0.2.2/24 dev port1
ip -n peer link set port1 up

start
answered || fail "no reply without a rule"
inside block 192.0.2.2 --ttl 10m --reason "a try" >/dev/null
! answered || fail "a reply in spite of the rule"
stop
! answered || fail "a reply while no container runs: the filter has ended with it"
start
! answered || fail "a reply after the container was started again"
hits=$(inside list -o json | tr -d ' \n' | sed -n 's/.*"packets":\([0-9]*\).*/\1/p')
[ "${hits:-0}" -ge 9 ] || fail "the rule has counted ${hits:-nothing}"
inside unblock 192.0.2.2 >/dev/null
answered || fail "no reply after the rule was removed"
stop
(contained xdpctl down >/dev/null) || fail "down failed"
! ip -details link show port0 | grep -q prog/xdp || fail "the filter is still attached"
echo "the image works: $hits packets dropped and counted, also while no container ran"
