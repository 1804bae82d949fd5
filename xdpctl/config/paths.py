# SPDX-License-Identifier: GPL-2.0-or-later
"""Default paths; the configuration and the command line may change them."""

from pathlib import Path

CONFIG_FILE = Path("/etc/xdpctl/xdpctl.toml")
SOCKET = Path("/run/xdpctl/api.sock")
STATE_DIR = Path("/var/lib/xdpctl")
PIN_DIR = Path("/run/xdpctl/bpf")
