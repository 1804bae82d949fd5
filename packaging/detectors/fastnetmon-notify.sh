#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# For FastNetMon's notify_script_path, which passes ADDRESS incoming|outgoing PPS ban|unban, and the
# report on stdin. It uses the Unix socket, so FastNetMon's user must be root or in the group
# xdpctl. From another host, set XDPCTL_URL=https://BOX:8460, whose certificate is checked, and
# store a token in a file that only FastNetMon's user can read:
#   xdpctl token create fastnetmon --role detector --origin fastnetmon
set -eu
if [ -n "${XDPCTL_URL:-}" ]; then
	XDPCTL_TOKEN=$(cat "${XDPCTL_TOKEN_FILE:-/etc/xdpctl/fastnetmon.token}")
	export XDPCTL_URL XDPCTL_TOKEN
fi
exec xdpctl hook fastnetmon -- "$@"
