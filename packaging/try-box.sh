#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# try-box.sh: tries the installed xdpctl in a box of its own (enter-root.sh), with a peer on a pair of
# virtual cards. Prints the result of doctor, and how many packets a rule has dropped and counted.
set -eu
log=/tmp/xdpctl.log

fail() {
	echo "try-box: $1" >&2
	[ ! -e "$log" ] || cat "$log" >&2
	exit 1
}

answered() {
	ip netns exec peer ping -n -q -c 3 -i 0.2 -W 1 192.0.2.1 >/dev/null
}

ip netns add peer
ip link add port0 type veth peer name port1 netns peer
ip addr add 192.0.2.1/24 dev port0
ip link set port0 up
ip -n peer addr add 192.0.2.2/24 dev port1
ip -n peer link set port1 up

xdpctl run -i port0 >"$log" 2>&1 &
filter=$!
ready=
for _ in $(seq 300); do
	if xdpctl status >/dev/null 2>&1; then
		ready=yes
		break
	fi
	kill -0 "$filter" 2>/dev/null || fail "run ended"
	sleep 0.1
done
[ -n "$ready" ] || fail "run does not become ready"
doctor=0
xdpctl doctor -i port0 >/tmp/doctor || doctor=$?
[ "$doctor" = 0 ] || {
	cat /tmp/doctor >&2
	fail "doctor ended with $doctor"
}

answered || fail "no reply without a rule"
xdpctl block 192.0.2.2 --ttl 10m --reason "a try" >/dev/null
! answered || fail "a reply in spite of the rule"
hits=$(xdpctl list -o json | tr -d ' \n' | sed -n 's/.*"packets":\([0-9]*\).*/\1/p')
[ "${hits:-0}" -ge 3 ] || {
	xdpctl list -o json >&2
	fail "the rule has counted ${hits:-nothing}"
}
xdpctl unblock 192.0.2.2 >/dev/null
answered || fail "no reply after the rule was removed"
kill "$filter"
wait "$filter" || true
xdpctl down >/dev/null
echo "doctor ok, $hits packets dropped and counted"
