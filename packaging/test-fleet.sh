#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test-fleet.sh DEB...: founds a fleet on a box, and lets a relay join on another one, each with a
# systemd of its own, in namespaces: the units that `xdpctl fleet` writes start, are confined, come
# back after kill -9, and end. Needs root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=$(mktemp -d)
first='' second=''
# unshare ignores other signals while it waits
trap 'for each in $first $second; do kill -9 "$each"; done; wait; rm -rf --one-file-system "$place"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$place"
# shellcheck disable=SC1091  # of this machine
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
include=systemd-sysv,dbus,iproute2,procps,etcd-server,etcd-client
for deb; do
	needs=$(dpkg-deb -f "$deb" Depends | sed 's/ *([^)]*)//g; s/ *|[^,]*//g; s/xdpctl,//; s/ //g')
	include=$include,$needs
done
mmdebstrap --quiet --variant=apt --include="$include" "$suite" "$place/one"
for deb; do cp "$deb" "$place/one/root/"; done
chroot "$place/one" sh -ec 'dpkg -i /root/*.deb >/dev/null 2>&1; rm /root/*.deb
	systemctl disable etcd.service 2>/dev/null'
cp -a "$place/one" "$place/two"

# boot ROOT: its process
boot() {
	unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
		"$here/enter-root.sh" "$1" /lib/systemd/systemd --log-target=null --unit=multi-user.target \
		>/dev/null 2>&1 &
}
boot "$place/one"
first=$!
boot "$place/two"
second=$!

# on BOX COMMAND...: in a box, with its systemd
on() {
	leader=$(pgrep --parent "$1") || return 1
	shift
	nsenter --target "$leader" --all --root --wdns=/ -- "$@"
}
# comes BOX COMMAND...: waits until a command succeeds in a box
comes() {
	for _ in $(seq 150); do
		if on "$@" >/dev/null 2>&1; then return; fi
		sleep 0.2
	done
	on "$1" journalctl --no-pager --lines 40 >&2
	shift
	echo "test-fleet: this did not come: $*" >&2
	exit 1
}
for box in $first $second; do comes "$box" systemctl is-active --quiet dbus.service; done
ip link add one0 netns "$(pgrep --parent "$first")" type veth \
	peer name two0 netns "$(pgrep --parent "$second")"
on "$first" sh -ec 'ip addr add 10.9.0.1/24 dev one0; ip link set one0 up'
on "$second" sh -ec 'ip addr add 10.9.0.2/24 dev two0; ip link set two0 up'

on "$first" sh -ec 'echo "interfaces = [{name = \"one0\", side = \"outside\"}]" >/etc/xdpctl/xdpctl.toml
	systemctl restart xdpctl-loader xdpctl'
comes "$first" xdpctl status
on "$first" xdpctl fleet init edge1 --address 10.9.0.1 | grep -q 'xdpctl was restarted'
comes "$first" sh -c 'xdpctl fleet status | grep "1 of 1 members answer"'
on "$first" sh -ec 'for unit in xdpctl-etcd.service xdpctl-upkeep.timer; do
		systemctl is-active --quiet $unit
		systemctl is-enabled --quiet $unit
	done
	systemctl start xdpctl-upkeep.service'
token=$(on "$first" xdpctl fleet token relay1 --address 10.9.0.2 --relay -o json |
	sed -n 's/.*"token": "\([^"]*\)".*/\1/p')
on "$second" sh -ec 'systemctl disable --now xdpctl xdpctl-detect xdpctl-loader 2>/dev/null || true'
echo "$token" | on "$second" xdpctl fleet join 10.9.0.1 >"$place/said" 2>&1
grep -q 'joined as relay1, a relay' "$place/said"
comes "$first" sh -c 'xdpctl fleet status | grep -E "relay1 +ok"'
on "$second" sh -ec 'systemctl is-enabled --quiet xdpctl-relay.service
	first=$(systemctl show --value --property MainPID xdpctl-relay.service)
	[ "$(ps -o user= -p "$first")" = xdpctl ]
	echo "$first" >/run/first
	systemctl kill --signal KILL xdpctl-relay.service'
comes "$second" sh -ec 'systemctl is-active --quiet xdpctl-relay.service
	[ "$(systemctl show --value --property MainPID xdpctl-relay.service)" != "$(cat /run/first)" ]'
comes "$first" sh -c 'xdpctl fleet status | grep -E "relay1 +ok"'
on "$first" systemctl kill --signal KILL xdpctl-etcd.service
comes "$first" sh -c 'xdpctl block 203.0.113.7 --ttl 10m && xdpctl fleet status | grep "1 of 1 members answer"'
on "$second" xdpctl fleet leave --yes >/dev/null
on "$second" sh -ec '! systemctl is-active --quiet xdpctl-relay.service
	! systemctl is-enabled --quiet xdpctl-relay.service'
on "$first" xdpctl fleet revoke relay1 >/dev/null
echo "a fleet's units work: etcd, its upkeep and a relay start confined, come back after kill -9, and end"
