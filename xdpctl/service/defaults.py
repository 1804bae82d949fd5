# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are unless the configuration or the command line says otherwise."""

from pathlib import Path

CONFIG_FILE = Path("/etc/xdpctl/xdpctl.toml")
SOCKET = Path("/run/xdpctl/api.sock")
STATE_DIR = Path("/var/lib/xdpctl")
PIN_DIR = Path("/run/xdpctl/bpf")
