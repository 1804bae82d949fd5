# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes that the payloads of an attack have in common, as windows of a match. Pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from xdpctl.abi.sizes import PAYLOAD_BYTES, PAYLOAD_WINDOWS, WINDOW_BYTES
from xdpctl.model.match.payload import Payload, Window
from xdpctl.traffic.split import Side, has

_WHOLE, _NOT_COMPARED = b"\xff", b"\0"


def shared(now: Side, normal: Side, least: float) -> Payload:
    """Windows that at least this share of `now` has together; () if none narrows a match.

    Each window excludes as many normal packets as possible. If there are no normal packets, the
    first window is taken: it excludes traffic that was not seen.
    """
    taken = list[Window]()
    wanted, common = least * now.total, _common(now, least)
    for _ in range(PAYLOAD_WINDOWS):
        windows = [window for window in _windows(common) if _apart(window, taken)]
        hits = [_mass(normal, window) for window in windows]
        best = int(np.argmin(hits)) if hits else -1
        if best < 0 or (hits[best] >= normal.total and (normal.total > 0 or taken)):
            break
        now = now.of(has("payload", (windows[best],), now.packets))
        if now.total < wanted:
            break
        taken.append(windows[best])
        normal = normal.of(has("payload", (windows[best],), normal.packets))
    return tuple(sorted(taken))


def _common(now: Side, least: float) -> dict[int, int]:
    """By offset, the byte that at least this share of the packets has."""
    common = dict[int, int]()
    if not now.total:
        return common
    starts, sizes = now.packets["payload"], now.packets["payload_bytes"]
    for at in range(PAYLOAD_BYTES):
        long = sizes > at
        sums = np.bincount(starts[long, at], now.mass[long], 256)
        if sums.sum() < least * now.total:
            break
        byte = int(np.argmax(sums))
        if sums[byte] >= least * now.total:
            common[at] = byte
    return common


def _windows(common: Mapping[int, int]) -> Iterator[Window]:
    """The window that begins at each of these bytes."""
    for first in common:
        places = range(first, max(at for at in common if at < first + WINDOW_BYTES) + 1)
        value = bytes(common.get(at, 0) for at in places)
        mask = b"".join(_WHOLE if at in common else _NOT_COMPARED for at in places)
        yield Window(first, value, mask)


def _apart(window: Window, taken: list[Window]) -> bool:
    return all(window.end <= other.at or other.end <= window.at for other in taken)


def _mass(side: Side, window: Window) -> float:
    return float(side.mass[has("payload", (window,), side.packets)].sum())
