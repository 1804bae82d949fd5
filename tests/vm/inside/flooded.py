# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine whose network card is flooded: the packets that reach the network stack."""

import json
import time
from collections.abc import Callable

from tests.vm.inside.machine import port, sh, tell

CARD, ADDRESS = "eth0", "198.51.100.7/24"
HOSTILE, FRIEND = "203.0.113.0/24", "192.0.2.9"
HELD_SECONDS = 3.0
COUNTERS = f"""table inet vm {{
  counter hostile {{}}
  counter friend {{}}
  chain first {{
    type filter hook prerouting priority raw;
    ip saddr {HOSTILE} counter name hostile
    ip saddr {FRIEND} counter name friend
  }}
}}
"""


def attached() -> bool:
    return port(CARD).startswith("attached")


def reached() -> dict[str, int]:
    """The packets that reached the network stack since the last call."""
    said = json.loads(sh("nft", "-j", "reset", "counters"))["nftables"]
    return {o["counter"]["name"]: o["counter"]["packets"] for o in said if "counter" in o}


def held(name: str, doing: Callable[[], None] | None = None) -> None:
    """Report the packets that reach the stack during an action and a while after."""
    reached()
    if doing:
        doing()
    time.sleep(HELD_SECONDS)
    now = reached()
    tell(f"{name}.hostile", now["hostile"])
    tell(f"{name}.friend", now["friend"])
