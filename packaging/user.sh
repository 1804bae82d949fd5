#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# user.sh: creates the control plane's unprivileged user, and the group that may use its socket.
set -eu
getent passwd xdpctl >/dev/null && getent group xdpctl >/dev/null && exit 0
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers "$(dirname "$0")/sysusers.d/xdpctl.conf"
else
	useradd --system --user-group --no-create-home --home-dir /var/lib/xdpctl \
		--shell /usr/sbin/nologin xdpctl
fi
