# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that carry IP in an encapsulation that the filter does not look into. Pure."""

from xdpctl.traffic.window import Seen

_NAMES = {
    0x8864: "PPPoE that is not plain IP",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x88E5: "MACsec",
    0x88E7: "PBB (802.1ah)",
    0x894F: "NSH",
    0x6558: "bridged Ethernet",
    0x22F3: "TRILL",
}
_LEAST = 1.0  # packets a second


def unread(window: Seen) -> dict[str, float]:
    """The packets a second of each encapsulation, largest first."""
    if window.seconds <= 0:
        return {}
    outer = window.packets[window.packets["family"] == 0]
    rates: dict[str, float] = {}
    for ethertype, name in _NAMES.items():
        weight = float(outer["weight"][outer["ethertype"] == ethertype].sum())
        rates[name] = rates.get(name, 0.0) + weight / window.seconds
    loud = {name: rate for name, rate in rates.items() if rate >= _LEAST}
    return dict(sorted(loud.items(), key=lambda item: -item[1]))
