# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings with times, as pcapng."""

from collections.abc import Iterable
from pathlib import Path

from tests.support import packets
from xdpctl.base.net.pcapng_writer import Writer

Sent = tuple[int, str, int]  # its time, its source, its length on the wire


def recorded(path: Path, sent: Iterable[Sent]) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        for unix_ns, source, length in sent:
            writer.packet("eth0", unix_ns, packets.to_frame(source), length)
    return path
