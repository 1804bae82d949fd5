# SPDX-License-Identifier: GPL-2.0-or-later
"""The shapes of what services inside serve."""

from typing import Literal

from pydantic import BaseModel, Field

from xdpctl.abi.constants import WAITS
from xdpctl.base.net.prefix import text_of
from xdpctl.datapath.served import wait_bound
from xdpctl.model.match.components import TCP
from xdpctl.traffic.served import Figures

_HALF = (
    "within which half of the clients had it; it is measured by steps of four times as much, and "
    f"{wait_bound(WAITS - 1):.1f} stands for all that is longer than {wait_bound(WAITS - 2):.1f}; "
    "null: few were measured"
)


class ServedOut(BaseModel):
    """A service inside: whom it has served in the last 20 s, as rates a minute."""

    address: str
    protocol: Literal["tcp", "udp"]
    port: int
    served: float = Field(description="Connections over TCP that it took up, or answers over UDP")
    usual: float | None = Field(description="Those that are usual in this hour; null: not known")
    asked: float = Field(
        description="SYNs or questions, estimated from samples; those of attacks are among them"
    )
    syn_ack: float | None = Field(description=f"Seconds from the SYN to the SYN-ACK, {_HALF}")
    data: float | None = Field(
        description=f"Seconds from the end of the handshake to the first data, {_HALF}"
    )
    usual_data: float | None = Field(description="The same in this hour")
    fails: str = Field(description="In which way it fails those who ask; empty: it does not")


class ServedList(BaseModel):
    """The services that serve somebody, those that serve most first."""

    services: list[ServedOut]


def served_out(each: Figures) -> ServedOut:
    """A service as the API shows it."""
    return ServedOut(
        address=text_of(each.service.host),
        protocol="tcp" if each.service.protocol == TCP else "udp",
        port=each.service.port,
        served=each.served,
        usual=each.usual,
        asked=each.asked,
        syn_ack=each.syn_ack,
        data=each.data,
        usual_data=each.usual_data,
        fails=each.fails,
    )
