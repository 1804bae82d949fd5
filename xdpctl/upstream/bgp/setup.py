# SPDX-License-Identifier: GPL-2.0-or-later
"""The setup file that root writes into the folder of the speaker's processes."""

import json
from pathlib import Path

import msgspec

FILE = "setup.json"
BEAT_SOCKET = "beats.sock"  # to which the bridge says that it lives
BRIDGE = "xdpctl.upstream.bgp.bridge"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many routes of a peer are kept, how many it takes, and which others than FlowSpec."""

    kept: int
    most: int
    blackhole_from: int = 32
    blackhole_from_ipv6: int = 128
    draws: bool = False


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The setup; `peers` has the limits of each peer, by its address."""

    peers: dict[str, Limits]
    own: list[str]
    socket: str
    state: str
    beats: str
    users: list[int]


def read(path: Path) -> Setup:
    """The setup in a file that root has written."""
    return msgspec.convert(json.loads(path.read_text()), Setup)
