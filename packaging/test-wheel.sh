#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test-wheel.sh: tests the wheel alone, in a virtual environment of the distribution's Python, with
# the locked dependencies and no file of the checkout. It filters in network namespaces; needs root.
set -eu
tools=${TOOLS:-.venv/bin/python}
python=${PYTHON:-/usr/bin/python3}
case $tools in
/*) ;;
*) tools=$PWD/$tools ;;
esac
place=$(mktemp -d)
box=xdpctl-wheel-$$
peer=$box-peer
filter=

clean() {
	[ -z "$filter" ] || kill "$filter" 2>/dev/null || true
	[ -z "$filter" ] || wait "$filter" 2>/dev/null || true
	if mountpoint -q "$place/bpf"; then
		inside "$place/venv/bin/xdpctl" down --pin-dir "$place/bpf" >/dev/null || true
		! mountpoint -q "$place/bpf" || umount "$place/bpf"
	fi
	for host in "$box" "$peer"; do
		[ ! -e "/run/netns/$host" ] || ip netns del "$host"
	done
	rm -rf "$place"
}
trap clean EXIT
trap 'exit 130' INT TERM

fail() {
	echo "test-wheel: $1" >&2
	[ ! -e "$place/log" ] || cat "$place/log" >&2
	exit 1
}

inside() {
	nsenter "--net=/run/netns/$box" "$@"
}

xdpctl() {
	"$place/venv/bin/xdpctl" --socket "$place/api.sock" "$@"
}

install_wheel() {
	"$tools" -m hatchling build --target wheel --directory "$place/wheel" >/dev/null
	"$python" -m venv --system-site-packages --without-pip "$place/venv"
	set -- "$tools" -m pip --python "$place/venv/bin/python" install --quiet --no-compile --no-warn-conflicts
	"$tools" -m tools.requirements >"$place/wanted"
	"$@" --ignore-installed --require-hashes --constraint requirements.lock --requirement "$place/wanted"
	# without an index, so it fails if the wheel needs a dependency that is not locked
	"$@" --no-index "$place"/wheel/xdpctl-*.whl
}

hosts() {
	for host in "$box" "$peer"; do
		ip netns add "$host"
		ip -n "$host" link set lo up
	done
	ip -n "$box" link add port0 type veth peer name port1 netns "$peer"
	ip -n "$box" addr add 192.0.2.1/24 dev port0
	ip -n "$peer" addr add 192.0.2.2/24 dev port1
	ip -n "$box" link set port0 up
	ip -n "$peer" link set port1 up
}

start() {
	nsenter "--net=/run/netns/$box" "$place/venv/bin/xdpctl" run -i port0 --state-dir "$place/state" \
		--pin-dir "$place/bpf" --socket "$place/api.sock" --port 0 >"$place/log" 2>&1 &
	filter=$!
	for _ in $(seq 300); do
		xdpctl status >/dev/null 2>&1 && return
		kill -0 "$filter" 2>/dev/null || fail "run ended"
		sleep 0.1
	done
	fail "run does not become ready"
}

answered() {
	ip netns exec "$peer" ping -n -q -c 2 -i 0.2 -W 1 192.0.2.1 >/dev/null
}

chmod 755 "$place" # the control plane runs as another user
install_wheel
mkdir "$place/empty"
cd "$place/empty"
xdpctl --help >/dev/null
"$place/venv/bin/python" -I -c '
from pathlib import Path
import sys, xdpctl, xdpctl_api
assert all(Path(each.__file__).is_relative_to(sys.prefix) for each in (xdpctl, xdpctl_api))'
code=0
xdpctl doctor || code=$?
# 4: doctor reports a problem of this machine
[ "$code" = 0 ] || [ "$code" = 4 ] || fail "doctor ended with $code"

hosts
answered || fail "no reply without a filter"
start
answered || fail "no reply without a rule"
xdpctl block 192.0.2.2 --ttl 10m --reason "the wheel's test"
! answered || fail "a reply in spite of the rule"
xdpctl unblock 192.0.2.2
answered || fail "no reply after the rule was removed"
echo "the wheel works"
