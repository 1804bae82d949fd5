#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# user.sh: creates the unprivileged users: the control plane's, whose group may use its socket, and
# the BGP speaker's.
set -eu
missing=
for name in xdpctl xdpctl-bgp; do
	getent passwd "$name" >/dev/null && getent group "$name" >/dev/null || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers "$(dirname "$0")/sysusers.d/xdpctl.conf"
	exit 0
fi
for name in $missing; do
	useradd --system --user-group --no-create-home --home-dir /var/lib/xdpctl \
		--shell /usr/sbin/nologin "$name"
done
