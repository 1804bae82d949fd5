# SPDX-License-Identifier: GPL-2.0-or-later
"""What a request would cost, measured by the packets of the last seconds. Pure."""

from xdpctl.abi.constants import FlowState
from xdpctl.traffic.select import takes
from xdpctl.traffic.window import Seen
from xdpctl.upstream.request import Request

_LEAST = 20  # packets, of which a share can be said


def measured(request: Request, seen: Seen | None) -> Request:
    """The request, whose cost says how much of what it takes belongs to known flows.

    Known flows pass here, but the provider does not know them. `seen` is None if nothing is
    observed.
    """
    if seen is None:
        return request
    packets = seen.packets[takes(request.route.takes, seen.packets)]
    packets = packets[packets["flow"] != FlowState.NOT_ASKED]
    if len(packets) < _LEAST:
        return request
    weights = packets["weight"].astype(float)
    known = weights[packets["flow"] == FlowState.KNOWN].sum() / weights.sum()
    looked = f"of {len(packets):,} packets in {seen.seconds:.0f} s"
    said = "none" if not known else f"{known:.1%}" if known >= 0.001 else "less than 0.1%"
    text = f"{said} of what it takes now belongs to known flows, which pass here ({looked})"
    return request._replace(collateral=text)
