# SPDX-License-Identifier: GPL-2.0-or-later
"""A bridge between two cards, with the filter on the outer one; the machine's only program.

The host sends the frames of a round when the program requests the round by name.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.vm.inside.machine import ask, call, port, sh, tell, until

OUTSIDE, INSIDE, BRIDGE = "eth0", "eth1", "br0"
HOSTILE, HOSTILE6, SERVER = "203.0.113.0/24", "2001:db8:bad::/48", "198.51.100.7"
ROUND_SECONDS = 8.0
_SETTINGS = f'interfaces = ["{OUTSIDE}"]\nuser = "nobody"\ngroup = "nogroup"\n[listen]\nport = 0\n'
_RULES: tuple[dict[str, Any], ...] = (
    {"match": {"source": HOSTILE}},
    {"match": {"source": HOSTILE6}},
    {"match": {"destination": SERVER, "protocol": "udp", "source_port": "123"}},
    {
        "match": {"destination": SERVER, "protocol": "udp", "destination_port": "4500"},
        **{"action": "limit", "limit": {"pps": 1, "burst": 5}},
    },
)
_EVERYTHING = ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")


def bridge() -> None:
    sh("modprobe", "bridge")
    sh("ip", "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
    for card in (OUTSIDE, INSIDE):
        sh("ip", "link", "set", card, "master", BRIDGE)
        sh("ip", "link", "set", card, "up")
    sh("ip", "link", "set", BRIDGE, "up")
    time.sleep(1)


def rounds(name: str) -> None:
    ask(name)
    time.sleep(ROUND_SECONDS)


def main() -> int:
    bridge()
    rounds("bare")
    Path("/tmp/xdpctl.toml").write_text(_SETTINGS)
    command = [sys.executable, "-m", "xdpctl", "run", "--config", "/tmp/xdpctl.toml"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as running:
        until(lambda: port(OUTSIDE).startswith("attached"))
        tell("port", port(OUTSIDE))
        rounds("attached")
        for rule in _RULES:
            status, answer = call("POST", "/v1/rules", {"ttl": "1h", **rule})
            if status != 201:
                raise RuntimeError(answer)
        rounds("rules")
        for source in _EVERYTHING:
            status, answer = call("POST", "/v1/rules", {"match": {"source": source}, "force": True})
            if status != 201:
                raise RuntimeError(answer)
        rounds("everything")
        call("POST", "/v1/bypass", {"on": True})
        rounds("bypass")
        running.terminate()
    os.sync()
    return 0


if __name__ == "__main__":
    sys.exit(main())
