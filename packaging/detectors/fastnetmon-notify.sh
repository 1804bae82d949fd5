#!/bin/sh
# FastNetMon's notify_script_path: ADDRESS incoming|outgoing PPS ban|unban, the report on stdin.
# The token is in a file that only FastNetMon's user can read; made by:
#   xdpctl token create fastnetmon --role detector --origin fastnetmon
set -eu
XDPCTL_URL=${XDPCTL_URL:-http://127.0.0.1:8460}
XDPCTL_TOKEN=$(cat "${XDPCTL_TOKEN_FILE:-/etc/xdpctl/fastnetmon.token}")
export XDPCTL_URL XDPCTL_TOKEN
exec xdpctl hook fastnetmon -- "$@"
