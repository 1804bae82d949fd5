# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of the hosts inside that attack others."""

from datetime import datetime

from pydantic import BaseModel, Field

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import shown, text_of
from xdpctl.datapath.senders import Forger
from xdpctl.flood.attack import Does
from xdpctl.model.naming import Names
from xdpctl.watch.attackers import Attacker
from xdpctl.watch.policing import Limit
from xdpctl_api.shapes.common import timestamp


class AttackerOut(BaseModel):
    """A host inside that attacks others, with its loudest attack of a kind."""

    address: str | None = Field(description="null: it forges sources", examples=["10.0.3.7"])
    name: str = Field(description="Its name, if it has one")
    mac: str = Field(
        description="The source of its frames: the host, or the router before it; empty if the "
        "frames have the box's own"
    )
    does: Does = Field(description="What it does: floods, scans, tries ports, or is a reflector")
    kind: str = Field(description="The kind of packets", examples=[Traffic.UDP.setting])
    packets: float = Field(description="Packets a second, when it was first told or last doubled")
    destination: str | None = Field(description="A host or a network; null: many")
    port: int | None = Field(description="The port that it scans or floods, or answers from")
    seen: int = Field(description="How many addresses or ports were seen at least; 0: not counted")
    since: datetime = Field(description="When it was seen first")
    ago: float = Field(description="Seconds since it was seen last")
    text: str = Field(description="All this in words")


class HostLimitOut(BaseModel):
    """A limit of one host inside, by `detect.attackers_pps`."""

    address: str = Field(examples=["10.0.3.7"], description="The host")
    name: str = Field(description="Its name, if it has one")
    pps: int = Field(description="Packets a second that it may send of its attack")
    dropped: int = Field(description="Packets beyond that, so far")
    ends_in: float = Field(description="Seconds; then it begins again if the attack goes on")
    text: str = Field(description="Which packets are limited, in words")


class ForgerOut(BaseModel):
    """Who inside sends with forged sources, by the MAC address of the frames."""

    mac: str = Field(description="The host, or the router before it; empty if frames have none")
    source: str = Field(description="The source of its last such packet")
    packets: int = Field(description="Such packets so far")
    ago: float = Field(description="Seconds since the last one")
    text: str = Field(description="All this in words")


class AttackerList(BaseModel):
    """The hosts inside that have attacked others in the last ten minutes."""

    attackers: list[AttackerOut] = Field(description="The last one first")
    limits: list[HostLimitOut] = Field(description="Limits of hosts inside that are in force")
    forgers: list[ForgerOut] = Field(description="Who forged sources in the last hour")


class LimitsEnded(BaseModel):
    """A host inside that was released: for an hour it is not limited again."""

    address: str = Field(examples=["10.0.3.7"], description="The host")
    limits: list[str] = Field(description="The limits that were ended, in words")


def limit_out(limit: Limit, names: Names, now_ns: int) -> HostLimitOut:
    """The API model of a limit; `now_ns` (CLOCK_MONOTONIC) is the time now."""
    return HostLimitOut(
        address=text_of(limit.host),
        name=names.of(limit.host),
        pps=limit.policer.pps,
        dropped=limit.policer.dropped,
        ends_in=(limit.policer.until_ns - now_ns) / 1e9,
        text=names.tell(str(limit)),
    )


def forger_out(forger: Forger, now_ns: int) -> ForgerOut:
    """The API model of who forges sources; `now_ns` (CLOCK_MONOTONIC) is the time now."""
    return ForgerOut(
        mac=forger.mac,
        source=text_of(forger.source),
        packets=forger.packets,
        ago=(now_ns - forger.last_ns) / 1e9,
        text=str(forger),
    )


def attacker_out(attacker: Attacker, names: Names, now_ns: int, unix: float) -> AttackerOut:
    """The API model of an attacker; `now_ns` (CLOCK_MONOTONIC) and `unix` are the time now."""
    attack = attacker.attack
    return AttackerOut(
        address=text_of(attack.source) if attack.source else None,
        name=names.of(attack.source) if attack.source else "",
        mac=attack.mac,
        does=attack.does,
        kind=attack.kind.setting,
        packets=attack.rate,
        destination=shown(attack.destination) if attack.destination else None,
        port=attack.port,
        seen=attack.seen,
        since=timestamp(unix - (now_ns - attacker.first_ns) / 1e9),
        ago=(now_ns - attacker.last_ns) / 1e9,
        text=names.tell(str(attacker)),
    )
