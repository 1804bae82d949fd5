# SPDX-License-Identifier: GPL-2.0-or-later
"""Diversion: a scrubbing centre draws a prefix, cleans it, and sends it back by a tunnel or a VLAN.

Nobody is cut off by it as long as there is a way back. So it needs one, and ends without it. A
tunnel stays up when its far end is dead, so the way also counts as cut if nothing comes back.
"""

from dataclasses import dataclass, field

from xdpctl.base.net.interfaces import carried, device
from xdpctl.base.net.prefix import Prefix
from xdpctl.upstream.peers import Peer

SILENT_SECONDS = 30.0  # without a packet, after which a way back counts as cut
_HEADERS = {4: 40, 6: 60}  # bytes of IP and TCP headers without options
_ETHERNET_MTU = 1500


def no_way_back(peer: Peer) -> str:
    """Why a peer's packets cannot come back; "" if they can, or if it diverts nothing."""
    if peer.returns is None:
        return ""
    back = device(peer.returns)
    if back is None:
        return f"there is no interface {peer.returns}, by which {peer.name} sends packets back"
    return "" if back.up else f"{peer.returns} is down, by which {peer.name} sends packets back"


def refusal(peer: Peer, prefix: Prefix) -> str:
    """Why a peer may not divert a prefix; "" if it may.

    The tunnel itself must not be diverted into the tunnel.
    """
    if why := no_way_back(peer):
        return why
    back = device(peer.returns) if peer.returns else None
    if back and back.near and prefix.covers(back.near):
        return f"{prefix} has {back.near}, the end of the tunnel {back.name} by which it comes back"
    return ""


def cost(peer: Peer, prefix: Prefix) -> str:
    """What a diversion costs, in words."""
    back = device(peer.returns) if peer.returns else None
    way = f"everything to {prefix} goes through {peer.name}"
    if back is None:
        return way
    text = f"{way} and comes back by {back.name}, in packets of at most {back.mtu:,} bytes"
    if back.mtu < _ETHERNET_MTU:
        text += f": limit TCP's MSS to {back.mtu - _HEADERS[prefix.family]:,}, or pages hang"
    return f"{text}. It takes minutes until all networks follow, and again when it ends"


@dataclass(slots=True)
class WaysBack:
    """Whether packets come back, by interface: its count, and when that has changed (monotonic)."""

    _counts: dict[str, tuple[int, float]] = field(default_factory=dict)

    def silent(self, peer: Peer, since: float, now: float) -> str:
        """Why a way back that should be in use since then counts as cut; "" if it does not."""
        counted = carried(peer.returns) if peer.returns else None
        if peer.returns is None or counted is None:
            return ""
        before, at = self._counts.get(peer.returns, (-1, now))
        if counted.packets != before:
            at = now
        self._counts[peer.returns] = counted.packets, at
        if now - max(at, since) < SILENT_SECONDS:
            return ""
        return f"nothing comes back by {peer.returns} from {peer.name}"
