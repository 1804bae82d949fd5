#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# FastNetMon's notify_script_path: ADDRESS incoming|outgoing PPS ban|unban, the report on stdin.
# By the Unix socket, so FastNetMon's user is in the group xdpctl or is root. From another host:
# XDPCTL_URL=https://BOX:8460, whose certificate is checked, and a token in a file that only
# FastNetMon's user can read: xdpctl token create fastnetmon --role detector --origin fastnetmon
set -eu
if [ -n "${XDPCTL_URL:-}" ]; then
	XDPCTL_TOKEN=$(cat "${XDPCTL_TOKEN_FILE:-/etc/xdpctl/fastnetmon.token}")
	export XDPCTL_URL XDPCTL_TOKEN
fi
exec xdpctl hook fastnetmon -- "$@"
