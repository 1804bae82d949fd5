# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said of a service: who gets in, what is usual, and how it fails. Values only."""

from dataclasses import dataclass

from xdpctl.base.net.prefix import Prefix, shown
from xdpctl.datapath.served import Service
from xdpctl.model.match.components import TCP
from xdpctl.model.services import DNS

PART_SECONDS = 20.0
A_MINUTE = 60 / PART_SECONDS
_ENOUGH = 40.0  # connections or answers of a part that are usual: of fewer half may lack by chance
_FALLEN = 0.5  # of what is usual
_IN_VAIN = 0.5  # of those who are missing: so many ask and are not served
_ONE_ANSWER = (DNS, 123)  # UDP: of other services a question may have many packets, or no answer
_SLOW, _SLOWER = 0.25, 4.0  # seconds, and times the usual: who waits longer gives up


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Connections a minute at a host or network, or at all: of now, and those that are usual."""

    host: Prefix | None
    now: float
    usual: float

    def __str__(self) -> str:
        where = f" at {shown(self.host)}" if self.host else ""
        return f"{self.now:.0f} newcomers a minute get in{where}, usually {self.usual:.0f}"


@dataclass(frozen=True, slots=True)
class Figures:
    """A service in the last 20 s, and what is usual there; None for what is not known.

    `served` and `usual` are connections over TCP or answers over UDP a minute, `total` all since
    they are counted here. `asked` are SYNs or questions a minute, estimated, those of attacks among
    them. Half of the clients waited for at most `syn_ack` seconds for the SYN-ACK, and for at most
    `data` from there to the first data: the bound of a class of waits.
    """

    service: Service
    total: float
    served: float
    usual: float | None
    asked: float
    syn_ack: float | None
    data: float | None
    usual_data: float | None

    @property
    def fails(self) -> str:
        """In which way it fails those who ask; an empty text if it does not."""
        at, usual = f"{shown(self.service.host)} port {self.service.port}", self.usual or 0.0
        in_vain = self.asked - self.served > _IN_VAIN * (usual - self.served)
        few = usual >= _ENOUGH * A_MINUTE and self.served < _FALLEN * usual
        of_tcp = self.service.protocol == TCP
        if few and in_vain and (of_tcp or self.service.port in _ONE_ANSWER):
            what = "newcomers get in at" if of_tcp else "questions are answered by"
            return f"{self.served:.0f} {what} {at} a minute, and {usual:.0f} are usual: is it down?"
        if self.data is None or self.usual_data is None:
            return ""
        waited = self.data / 4  # for longer than that
        if waited < _SLOW or waited < _SLOWER * self.usual_data:
            return ""
        return (
            f"half of the newcomers at {at} wait for more than {waited:.1g} s for the first data, "
            f"and usually less than {self.usual_data:.1g} s"
        )
