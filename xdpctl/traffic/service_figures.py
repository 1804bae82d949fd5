# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a service: who gets in, what is usual, and how it fails. Values only."""

from collections.abc import Sequence
from dataclasses import dataclass

from xdpctl.base.net.prefix import Prefix, shown
from xdpctl.datapath.served import Service
from xdpctl.model.match.components import TCP
from xdpctl.model.services import DNS

PART_SECONDS = 20.0
A_MINUTE = 60 / PART_SECONDS
_ENOUGH = 40.0  # usual connections or answers of a part: of fewer, half may be missing by chance
_FALLEN = 0.5  # share of the usual number, below which too few are served
_IN_VAIN = 0.5  # share of the missing clients that must have asked in vain
_ONE_ANSWER = (DNS, 123)  # UDP ports with one answer to each question; others may have many or none
_SLOW, _SLOWER = 0.25, 4.0  # seconds, and times the usual: clients that wait longer give up


@dataclass(frozen=True, slots=True)
class Newcomers:
    """Connections a minute at a host or network (None: everywhere), now and usually."""

    host: Prefix | None
    now: float
    usual: float

    def __str__(self) -> str:
        where = f" at {shown(self.host)}" if self.host else ""
        return f"{self.now:.0f} newcomers a minute get in{where}, usually {self.usual:.0f}"


def verdict(services: Sequence["Figures"]) -> str:
    """Whether services fail their clients, in a sentence."""
    failing = sum(bool(each.fails) for each in services)
    compared = sum(each.usual is not None for each in services)
    of = f"{compared} of {len(services)} services can be compared with what is usual"
    if not compared:
        return "what is usual is not known yet"
    fails = f"{failing} {'fails its' if failing == 1 else 'fail their'} clients"
    return f"{of}, and {fails if failing else 'none fails'}"


@dataclass(frozen=True, slots=True)
class Figures:
    """A service in the last 20 s, and what is usual there; None for what is not known.

    `served` and `usual` are connections over TCP or answers over UDP a minute; `total` is how many
    were counted here at all. `asked` is an estimate of SYNs or questions a minute, including those
    of attacks. Half of the clients waited at most `syn_ack` seconds for the SYN-ACK, and at most
    `data` seconds from there to the first data. Both are upper bounds of a class of waits.
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
        """How the service fails its clients; an empty text if it does not."""
        at, usual = f"{shown(self.service.host)} port {self.service.port}", self.usual or 0.0
        in_vain = self.asked - self.served > _IN_VAIN * (usual - self.served)
        few = usual >= _ENOUGH * A_MINUTE and self.served < _FALLEN * usual
        of_tcp = self.service.protocol == TCP
        if few and in_vain and (of_tcp or self.service.port in _ONE_ANSWER):
            what = "newcomers get in at" if of_tcp else "questions are answered by"
            return f"{self.served:.0f} {what} {at} a minute, and {usual:.0f} are usual: is it down?"
        if self.data is None or self.usual_data is None:
            return ""
        # waits are counted in bins, each four times as long as the one before: this is a lower edge
        waited = self.data / 4
        if waited < _SLOW or waited < _SLOWER * self.usual_data:
            return ""
        return (
            f"half of the newcomers at {at} wait for more than {waited:.1g} s for the first data, "
            f"and usually less than {self.usual_data:.1g} s"
        )
