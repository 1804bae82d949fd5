# SPDX-License-Identifier: GPL-2.0-or-later
"""What a host inside does to others, in words. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix, shown, text_of
from xdpctl.base.units import si3
from xdpctl.model.services import KNOWN

_SERVICE_NAMES = {service.port: service.name for service in KNOWN}


class Does(StrEnum):
    """Much to one host, many addresses, many ports of one, or answers to forged requests."""

    FLOODS = "floods"
    SCANS = "scans"
    TRIES_PORTS = "tries_ports"
    REFLECTS = "reflects"


@dataclass(frozen=True, slots=True)
class Attack:
    """What one host inside does to others; `rate` in packets a second.

    `source` is None if it forges sources; then `mac` is all that is known of it. `mac` may be that
    of the router before it, and is empty where frames have none. `destination`, a host or its
    network, and `port` are those that all packets have. `seen` is how many sources, addresses or
    ports were seen at least. `certain`: packets of known flows come in for the address, and all
    that it sends has one MAC address, so it is probably the host's own. Behind a router inside, all
    have the router's.
    """

    does: Does
    kind: Traffic
    rate: float
    source: Prefix | None = None
    destination: Prefix | None = None
    port: int | None = None
    seen: int = 0
    mac: str = ""
    certain: bool = False

    @property
    def who(self) -> str:
        """The host, by its address or else its MAC address."""
        return text_of(self.source) if self.source else f"MAC {self.mac}" if self.mac else "a host"

    def __str__(self) -> str:
        to, rate = shown(self.destination) if self.destination else "", si3(self.rate)
        kind = self.kind.setting
        if self.does is Does.REFLECTS:
            name = _SERVICE_NAMES.get(self.port or 0, "a service")
            others = " and others" if self.seen > 1 else ""
            return (
                f"answers {rate} packets/s from UDP port {self.port} ({name}), to {to}{others}: "
                "attackers use it as a reflector"
            )
        if self.does is Does.SCANS:
            on = "" if self.port is None else f" port {self.port} of"
            return (
                f"tries{on} {self.seen} or more addresses by {kind}, {rate} packets/s, and nearly "
                "none answers: it scans"
            )
        if self.does is Does.TRIES_PORTS:
            return f"tries {self.seen} or more ports of {to}, {rate} packets/s: it scans"
        if self.source is None:
            return (
                f"sends {rate} packets/s of {kind} to {to or 'many networks'} from {self.seen} or "
                "more addresses of which none is in use: they are forged"
            )
        if self.seen:
            to = f"{self.seen} or more addresses{f' of {to}' if to else ''}"
        if self.kind is Traffic.SYN:
            return f"begins {rate} connections/s to {to}, and completes nearly none: it floods"
        return f"sends {rate} packets/s of {kind} to {to}, and nearly none comes back: it floods"
